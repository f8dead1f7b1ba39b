/* See idmap.h. */
#include "oci/idmap.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAP_TEXT 4096 /* what the kernel takes: one write of less than a page */

int idmap_from_spec(const struct oci_idmaps *from, const char *what, u32 *ret_n,
                    struct boot_idmap **ret_map, struct err *e)
{
    if (from->n > BOOT_MAX_IDMAPS)
        return err_set(e, "linux.%s: more than %d ranges", what, BOOT_MAX_IDMAPS);
    struct boot_idmap *map = calloc(from->n + 1, sizeof(*map));
    if (!map)
        return err_set(e, "out of memory");
    for (u32 i = 0; i < from->n; i++) {
        const struct oci_idmap *m = &from->v[i];
        for (u32 j = 0; j < i; j++)
            if ((m->inner - map[j].first < map[j].count || map[j].first - m->inner < m->size) ||
                (m->outer - map[j].lower < map[j].count || map[j].lower - m->outer < m->size)) {
                free(map);
                return err_set(e, "linux.%s[%u] overlaps with another range", what, i);
            }
        map[i] = (struct boot_idmap){m->inner, m->outer, m->size};
    }
    if (!idmap_has(map, from->n, 0)) {
        free(map);
        return err_set(e, "linux.%s: there is no id for the container's root", what);
    }
    *ret_n = from->n;
    *ret_map = map;
    return 0;
}

bool idmap_has(const struct boot_idmap *map, u32 n, u32 id)
{
    for (u32 i = 0; i < n; i++)
        if (id - map[i].first < map[i].count)
            return true;
    return false;
}

/* ---- our own -------------------------------------------------------------------------------- */

static int read_own(const char *path, u32 *ret_n, struct boot_idmap **ret_map, struct err *e)
{
    FILE *f = fopen(path, "re");
    struct boot_idmap *map = calloc(BOOT_MAX_IDMAPS, sizeof(*map)), m;
    u32 n = 0;
    if (!map)
        err_set(e, "out of memory");
    else if (!f)
        err_errno(e, "cannot read '%s'", path);
    while (f && map && n < BOOT_MAX_IDMAPS &&
           fscanf(f, "%u %u %u", &m.first, &m.lower, &m.count) == 3)
        map[n++] = m;
    if (f)
        fclose(f);
    if (n == 0) {
        free(map);
        return f && map ? err_set(e, "'%s' is empty", path) : -1;
    }
    *ret_n = n;
    *ret_map = map;
    return 0;
}

static bool is_all(const struct boot_idmap *map, u32 n)
{
    return n == 1 && map[0].first == 0 && map[0].lower == 0 && map[0].count == UINT32_MAX;
}

int idmap_own(struct bootcfg *boot, struct err *e)
{
    struct boot_idmap *uids = NULL, *gids = NULL;
    u32 nuids, ngids;
    if (read_own("/proc/self/uid_map", &nuids, &uids, e) < 0)
        return -1;
    if (read_own("/proc/self/gid_map", &ngids, &gids, e) < 0) {
        free(uids);
        return -1;
    }
    if (is_all(uids, nuids) && is_all(gids, ngids)) {
        free(uids);
        free(gids);
        return 0;
    }
    boot->uid_map = uids;
    boot->nuid_map = nuids;
    boot->gid_map = gids;
    boot->ngid_map = ngids;
    return 0;
}

bool idmap_single(const struct bootcfg *boot, u32 uid, u32 gid, u32 *ret_uid, u32 *ret_gid)
{
    const struct boot_idmap *u = boot->uid_map, *g = boot->gid_map;
    if (boot->nuid_map != 1 || boot->ngid_map != 1 || u->count != 1 || g->count != 1 ||
        u->lower != uid || g->lower != gid)
        return false;
    *ret_uid = u->first;
    *ret_gid = g->first;
    return true;
}

/* ---- writing -------------------------------------------------------------------------------- */

static int write_directly(pid_t pid, const char *file, const struct boot_idmap *map, u32 n)
{
    char path[64], text[MAP_TEXT];
    size_t size = 0;
    for (u32 i = 0; i < n; i++) {
        int k = snprintf(text + size, sizeof(text) - size, "%u %u %u\n", map[i].first, map[i].lower,
                         map[i].count);
        if (k < 0 || (size_t)k >= sizeof(text) - size) {
            errno = E2BIG;
            return -1;
        }
        size += (size_t)k;
    }
    snprintf(path, sizeof(path), "/proc/%d/%s", pid, file);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t k = write(fd, text, size);
    int saved = errno;
    close(fd);
    errno = saved;
    return k == (ssize_t)size ? 0 : -1;
}

/* newuidmap PID INNER OUTER COUNT…, which is set-user-ID or has the capability. */
static int write_with(const char *program, pid_t pid, const struct boot_idmap *map, u32 n,
                      struct err *e)
{
    char numbers[3 * BOOT_MAX_IDMAPS + 1][12];
    char *argv[3 * BOOT_MAX_IDMAPS + 3];
    u32 k = 0;
    int status;
    snprintf(numbers[k++], sizeof(numbers[0]), "%d", pid);
    for (u32 i = 0; i < n; i++) {
        snprintf(numbers[k++], sizeof(numbers[0]), "%u", map[i].first);
        snprintf(numbers[k++], sizeof(numbers[0]), "%u", map[i].lower);
        snprintf(numbers[k++], sizeof(numbers[0]), "%u", map[i].count);
    }
    argv[0] = strdup(program);
    for (u32 i = 0; i < k; i++)
        argv[1 + i] = numbers[i];
    argv[1 + k] = NULL;
    pid_t child = argv[0] ? fork() : -1;
    if (child == 0) {
        execvp(program, argv);
        _exit(errno == ENOENT ? 127 : 126);
    }
    free(argv[0]);
    if (child < 0)
        return err_errno(e, "cannot run %s", program);
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return err_errno(e, "cannot wait for %s", program);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
        return err_set(e, "a user namespace of several ids needs the program %s (package uidmap)",
                       program);
    if (status != 0)
        return err_set(e, "%s failed: does /etc/sub%cid allow this user these ids?", program,
                       program[3]);
    return 0;
}

int idmap_write(pid_t pid, const struct bootcfg *boot, bool is_privileged, struct err *e)
{
    if (!is_privileged)
        return write_with("newuidmap", pid, boot->uid_map, boot->nuid_map, e) < 0 ||
                       write_with("newgidmap", pid, boot->gid_map, boot->ngid_map, e) < 0
                   ? -1
                   : 0;
    if (write_directly(pid, "uid_map", boot->uid_map, boot->nuid_map) < 0)
        return err_errno(e, "cannot give the container linux.uidMappings");
    if (write_directly(pid, "gid_map", boot->gid_map, boot->ngid_map) < 0)
        return err_errno(e, "cannot give the container linux.gidMappings");
    return 0;
}
