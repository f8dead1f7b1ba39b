/* Control groups: where they are, making, joining, removing. See cgroup.h. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <jansson.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "oci/cgroup_int.h"

#define REMOVE_TRIES 200 /* times 10 ms */
#define MAX_PIDS     (1U << 20)

static const char *const controller_names[CG_N] = {
    [CG_CPU] = "cpu",         [CG_CPUACCT] = "cpuacct",    [CG_CPUSET] = "cpuset",
    [CG_MEMORY] = "memory",   [CG_PIDS] = "pids",          [CG_BLKIO] = "blkio",
    [CG_HUGETLB] = "hugetlb", [CG_NET_CLS] = "net_cls",    [CG_NET_PRIO] = "net_prio",
    [CG_RDMA] = "rdma",       [CG_DEVICES] = "devices",    [CG_FREEZER] = "freezer",
    [CG_PERF] = "perf_event", [CG_NAMED] = "name=systemd",
};

/* As bits, from a list of names with any of " ,\n" between. */
static u32 read_controllers(const char *list, bool is_v2)
{
    u32 bits = 0;
    while (*list) {
        size_t n = strcspn(list, " ,\n");
        for (u32 c = 0; c < CG_N; c++) {
            const char *name = is_v2 && c == CG_BLKIO ? "io" : controller_names[c];
            if (strlen(name) == n && !memcmp(name, list, n))
                bits |= 1U << c;
        }
        list += n + (list[n] != 0);
    }
    if (is_v2)
        bits |= 1U << CG_CPUACCT; /* cpu.stat is always there */
    return bits;
}

/* ---- files --------------------------------------------------------------------------------- */

int cg_read(const char *dir, const char *file, char *buf, size_t size)
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof(path), "%s/%s", dir, file) >= (int)sizeof(path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    size_t n = 0;
    ssize_t r = 0;
    while (n < size - 1 && (r = read(fd, buf + n, size - 1 - n)) > 0)
        n += (size_t)r;
    close(fd);
    buf[n] = 0;
    return r < 0 ? -1 : 0;
}

static int write_file(const char *dir, const char *file, const char *text)
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof(path), "%s/%s", dir, file) >= (int)sizeof(path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t n = write(fd, text, strlen(text));
    int saved = errno;
    close(fd);
    errno = saved;
    return n < 0 ? -1 : 0;
}

int cg_write(const struct cg_dir *d, const char *file, const char *text, struct err *e)
{
    if (write_file(d->path, file, text) < 0)
        return err_errno(e, "cannot set '%s' of the cgroup '%s' to '%.200s'", file, d->path, text);
    return 0;
}

bool cg_has_file(const struct cg_dir *d, const char *file)
{
    char path[PATH_MAX];
    return snprintf(path, sizeof(path), "%s/%s", d->path, file) < (int)sizeof(path) &&
           access(path, F_OK) == 0;
}

/* ---- finding hierarchies ------------------------------------------------------------------- */

const struct cg_dir *cg_find(const struct oci_cgroup *cg, enum cg_controller c)
{
    for (u32 i = 0; i < cg->ndirs; i++)
        if (cg->dirs[i].controllers & 1U << c)
            return &cg->dirs[i];
    return NULL;
}

const char *oci_cgroup_dir(const struct oci_cgroup *cg, const char *controller)
{
    const struct cg_dir *d = NULL;
    for (u32 c = 0; c < CG_N && !d; c++)
        if (!strcmp(controller_names[c], controller))
            d = cg_find(cg, c);
    return d ? d->path : NULL;
}

static int add_hierarchy(struct oci_cgroup *cg, const char *mount_point, bool is_v2,
                         const char *options)
{
    char list[4096] = "";
    u32 taken = 0;
    if (is_v2 && cg_read(mount_point, "cgroup.controllers", list, sizeof(list)) < 0)
        list[0] = 0;
    u32 bits = read_controllers(is_v2 ? list : options, is_v2);
    for (u32 i = 0; i < cg->ndirs; i++)
        taken |= cg->dirs[i].controllers;
    bits &= ~taken; /* the same hierarchy may be mounted twice */
    if (cg->ndirs == CG_MAX_DIRS || (!bits && !is_v2))
        return 0;
    struct cg_dir *d = &cg->dirs[cg->ndirs];
    d->base = strdup(mount_point);
    if (!d->base)
        return -1;
    d->is_v2 = is_v2;
    d->controllers = bits;
    cg->ndirs++;
    return 0;
}

static int find_hierarchies(struct oci_cgroup *cg, struct err *e)
{
    char *line = NULL;
    size_t room = 0;
    int r = 0;
    FILE *f = fopen("/proc/self/mountinfo", "re");
    if (!f)
        return err_errno(e, "cannot open /proc/self/mountinfo");
    while (r == 0 && getline(&line, &room, f) > 0) {
        char mount_point[PATH_MAX], type[32], options[512];
        const char *tail = strstr(line, " - ");
        if (!tail || sscanf(line, "%*s %*s %*s %*s %4095s", mount_point) != 1 ||
            sscanf(tail, " - %31s %*s %511s", type, options) != 2)
            continue;
        if (!strcmp(type, "cgroup") || !strcmp(type, "cgroup2"))
            r = add_hierarchy(cg, mount_point, !strcmp(type, "cgroup2"), options);
    }
    free(line);
    fclose(f);
    return r < 0 ? err_set(e, "cannot find the host's cgroups: out of memory") : 0;
}

/* Our own cgroup in the hierarchy of d: "" for its root. */
static void own_path(const struct cg_dir *d, char *ret, size_t size)
{
    char buf[8192], *save = NULL;
    ret[0] = 0;
    if (cg_read("/proc/self", "cgroup", buf, sizeof(buf)) < 0)
        return;
    for (char *line = strtok_r(buf, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        char *list = strchr(line, ':');
        char *path = list ? strchr(list + 1, ':') : NULL;
        if (!path)
            continue;
        *path++ = 0;
        bool is_it = d->is_v2 ? !strncmp(line, "0:", 2)
                              : (read_controllers(list + 1, false) & d->controllers) != 0;
        if (is_it && strcmp(path, "/") && !strstr(path, ".."))
            snprintf(ret, size, "%s", path);
    }
}

/* Takes ".", ".." and doubled slashes out, as if "/" were its root: "a/../../b" is "/b". */
static void clean_path(const char *path, char *ret, size_t size)
{
    size_t n = 0;
    ret[0] = 0;
    while (*path) {
        size_t len = strcspn(path, "/");
        if (len == 2 && !memcmp(path, "..", 2)) {
            while (n > 0 && ret[--n] != '/')
                ;
            ret[n] = 0;
        } else if (len > 0 && !(len == 1 && path[0] == '.') && n + len + 2 < size) {
            ret[n++] = '/';
            memcpy(ret + n, path, len);
            n += len;
            ret[n] = 0;
        }
        path += len + (path[len] == '/');
    }
}

static int set_path(struct cg_dir *d, const char *cgroups_path, const char *id, struct err *e)
{
    char own[PATH_MAX] = "", clean[PATH_MAX];
    bool is_absolute = cgroups_path && cgroups_path[0] == '/';
    clean_path(cgroups_path && cgroups_path[0] ? cgroups_path : id, clean, sizeof(clean));
    if (!clean[0])
        return err_set(e, "linux.cgroupsPath: '%s' is not the path of a container's cgroup",
                       cgroups_path);
    if (!is_absolute) {
        own_path(d, own, sizeof(own));
        char *slash = strrchr(own, '/');
        if (d->is_v2 &&
            slash) /* beside ours: a group with processes has no groups with controllers */
            *slash = 0;
    }
    return asprintf(&d->path, "%s%s%s", d->base, own, clean) < 0
               ? err_set(e, "cannot make a cgroup: out of memory")
               : 0;
}

/* ---- making -------------------------------------------------------------------------------- */

/* A new cpuset has no cpus and no memory nodes, and nothing can join it: it gets its parent's. */
static void inherit_cpuset(const char *parent, const char *dir)
{
    static const char *const files[] = {"cpuset.cpus", "cpuset.mems"};
    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        char buf[1024];
        if (cg_read(dir, files[i], buf, sizeof(buf)) < 0 || (buf[0] && buf[0] != '\n'))
            continue;
        if (cg_read(parent, files[i], buf, sizeof(buf)) == 0)
            (void)!write_file(dir, files[i], buf); /* what is missing shows when a process joins */
    }
}

/* Lets the children of dir have the controllers; what cannot be had shows when a limit is set. */
static void delegate(const char *dir, u32 controllers)
{
    for (u32 c = 0; c < CG_N; c++) {
        char text[32];
        if (!(controllers & 1U << c) || c == CG_CPUACCT)
            continue;
        snprintf(text, sizeof(text), "+%s", c == CG_BLKIO ? "io" : controller_names[c]);
        (void)!write_file(dir, "cgroup.subtree_control", text);
    }
}

/* mkdir -p below d->base. *ret_is_new: the last one was not there. is_systemd: what is above is not
 * ours to change. */
static int make_dirs(struct cg_dir *d, bool is_systemd, bool *ret_is_new)
{
    char path[PATH_MAX], parent[PATH_MAX];
    *ret_is_new = false;
    if (snprintf(path, sizeof(path), "%s", d->path) >= (int)sizeof(path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    snprintf(parent, sizeof(parent), "%s", d->base);
    for (char *p = path + strlen(d->base) + 1;; p++) {
        if (*p && *p != '/')
            continue;
        char c = *p;
        *p = 0;
        if (d->is_v2 && !is_systemd)
            delegate(parent, d->controllers);
        if (mkdir(path, 0755) == 0)
            *ret_is_new = c == 0;
        else if (errno != EEXIST)
            return -1;
        if (d->controllers & 1U << CG_CPUSET && !d->is_v2)
            inherit_cpuset(parent, path);
        snprintf(parent, sizeof(parent), "%s", path);
        *p = c;
        if (!c)
            return 0;
    }
}

static bool has_processes(const struct cg_dir *d)
{
    char buf[64];
    return cg_read(d->path, "cgroup.procs", buf, sizeof(buf)) == 0 && buf[0];
}

static bool is_asked(const struct oci_opt *o)
{
    return o->is_set && o->v != 0;
}

/* Where cgroups cannot be made: whether anything was asked for that they would have to do. */
static bool wants_limits(const struct oci_resources *r)
{
    const struct oci_opt *const numbers[] = {
        &r->memory.limit, &r->memory.reservation, &r->memory.swap,   &r->cpu.shares,
        &r->cpu.quota,    &r->cpu.rt_runtime,     &r->cpu.rt_period, &r->cpu.idle,
        &r->blkio.weight, &r->network.class_id,
    };
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
        if (is_asked(numbers[i]))
            return true;
    return r->memory.swappiness.is_set || (r->cpu.cpus && r->cpu.cpus[0]) ||
           (r->cpu.mems && r->cpu.mems[0]) || r->blkio.weight_devices.n || r->blkio.read_bps.n ||
           r->blkio.write_bps.n || r->blkio.read_iops.n || r->blkio.write_iops.n ||
           r->hugepages.n || r->network.priorities.n || r->rdma.n || r->unified.n;
}

static void drop_dir(struct oci_cgroup *cg, u32 i)
{
    free(cg->dirs[i].base);
    free(cg->dirs[i].path);
    memmove(&cg->dirs[i], &cg->dirs[i + 1], (cg->ndirs - i - 1) * sizeof(cg->dirs[0]));
    memset(&cg->dirs[--cg->ndirs], 0, sizeof(cg->dirs[0]));
}

static void remove_made(struct oci_cgroup *cg, u32 made)
{
    for (u32 i = 0; i < cg->ndirs; i++)
        if (made & 1U << i)
            rmdir(cg->dirs[i].path);
}

/* The scope has no processes of its own any more: its groups can have controllers. */
static void delegate_scope(const struct cg_dir *d)
{
    char scope[PATH_MAX];
    snprintf(scope, sizeof(scope), "%s", d->path);
    *strrchr(scope, '/') = 0;
    delegate(scope, d->controllers);
}

bool oci_cgroup_is_ours(const struct oci_cgroup *cg)
{
    return cg && cg->is_ours;
}

int oci_cgroup_make(struct oci_cgroup *cg, const struct oci_spec *spec, pid_t pid, struct err *e)
{
    bool may_lack = !wants_limits(&spec->linux_.resources);
    u32 made = 0;
    if (cg->is_systemd && cg_systemd_start(cg, pid, e) < 0)
        return -1;
    cg->is_ours = cg->is_systemd;
    for (u32 i = 0; i < cg->ndirs;) {
        struct cg_dir *d = &cg->dirs[i];
        bool is_new;
        if (make_dirs(d, cg->is_systemd, &is_new) < 0) {
            if (may_lack && (errno == EACCES || errno == EPERM || errno == EROFS)) {
                drop_dir(cg, i);
                continue;
            }
            if (errno == EACCES || errno == EPERM || errno == EROFS)
                err_errno(e,
                          "cannot make the cgroup '%s', which the limits in linux.resources need",
                          d->path);
            else
                err_errno(e, "cannot make the cgroup '%s'", d->path);
            remove_made(cg, made);
            return -1;
        }
        if (is_new) {
            made |= 1U << i;
        } else if (has_processes(d)) {
            err_set(e, "the cgroup '%s' is in use: there are processes in it", d->path);
            remove_made(cg, made);
            return -1;
        }
        i++;
    }
    cg->is_ours = true;
    int r = pid > 0 && cg->is_systemd ? oci_cgroup_join(cg, pid, e) : 0;
    for (u32 i = 0; r == 0 && cg->is_systemd && i < cg->ndirs; i++)
        if (cg->dirs[i].is_v2)
            delegate_scope(&cg->dirs[i]);
    if (r == 0)
        r = oci_cgroup_set(cg, &spec->linux_.resources, e);
    if (r == 0 && pid > 0 && !cg->is_systemd)
        r = oci_cgroup_join(cg, pid, e);
    if (r < 0)
        remove_made(cg, made);
    return r;
}

int oci_cgroup_plan(const struct oci_spec *spec, const char *id, bool is_systemd,
                    struct oci_cgroup **ret_cg, struct err *e)
{
    struct oci_cgroup *cg = calloc(1, sizeof(*cg));
    if (!cg)
        return err_set(e, "cannot make a cgroup: out of memory");
    int r = find_hierarchies(cg, e);
    if (r == 0 && is_systemd)
        r = cg_systemd_plan(cg, spec->linux_.cgroups_path, id, e);
    for (u32 i = 0; r == 0 && !is_systemd && i < cg->ndirs; i++)
        r = set_path(&cg->dirs[i], spec->linux_.cgroups_path, id, e);
    if (r < 0) {
        oci_cgroup_free(cg);
        return -1;
    }
    *ret_cg = cg;
    return 0;
}

int oci_cgroup_join(const struct oci_cgroup *cg, pid_t pid, struct err *e)
{
    char text[16];
    snprintf(text, sizeof(text), "%d", pid);
    for (u32 i = 0; i < cg->ndirs; i++)
        if (write_file(cg->dirs[i].path, "cgroup.procs", text) < 0)
            return err_errno(e, "cannot move process %d to the cgroup '%s'", pid, cg->dirs[i].path);
    return 0;
}

int oci_cgroup_open_procs(const struct oci_cgroup *cg, int *ret_fds, u32 max, struct err *e)
{
    u32 n = 0;
    for (u32 i = 0; i < cg->ndirs && n < max; i++) {
        char path[PATH_MAX];
        snprintf(path, sizeof(path), "%s/cgroup.procs", cg->dirs[i].path);
        ret_fds[n] = open(path, O_WRONLY | O_CLOEXEC);
        if (ret_fds[n] >= 0) {
            n++;
        } else if (errno != ENOENT) {
            err_errno(e, "cannot open '%s'", path);
            while (n > 0)
                close(ret_fds[--n]);
            return -1;
        }
    }
    return (int)n;
}

void oci_cgroup_free(struct oci_cgroup *cg)
{
    if (!cg)
        return;
    for (u32 i = 0; i < cg->ndirs; i++) {
        free(cg->dirs[i].base);
        free(cg->dirs[i].path);
    }
    free(cg->unit);
    free(cg->slice);
    free(cg);
}

/* ---- removing ------------------------------------------------------------------------------ */

/* Directories of a tree, the inner ones first; fn's argument is the directory. */
static int walk_dirs(const char *top, int (*fn)(const char *dir, void *arg), void *arg);

struct walk_ctx {
    int (*fn)(const char *dir, void *arg);
    void *arg;
};
static __thread struct walk_ctx walking;
static int walk_visit(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)ftw;
    return type == FTW_DP ? walking.fn(path, walking.arg) : 0;
}
static int walk_dirs(const char *top, int (*fn)(const char *dir, void *arg), void *arg)
{
    walking = (struct walk_ctx){fn, arg};
    return nftw(top, walk_visit, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

struct pid_list {
    pid_t *v;
    u32 n, room;
    bool is_failed;
};

static int collect(const char *dir, void *arg)
{
    struct pid_list *l = arg;
    char path[PATH_MAX];
    int pid;
    snprintf(path, sizeof(path), "%s/cgroup.procs", dir);
    FILE *f = fopen(path, "re");
    while (f && fscanf(f, "%d", &pid) == 1 && l->n < MAX_PIDS) {
        if (l->n == l->room) {
            u32 room = l->room ? l->room * 2 : 64;
            pid_t *v = realloc(l->v, room * sizeof(*v));
            if (!v) {
                l->is_failed = true;
                break;
            }
            l->v = v;
            l->room = room;
        }
        l->v[l->n++] = pid;
    }
    if (f)
        fclose(f);
    return 0;
}

int oci_cgroup_pids(const struct oci_cgroup *cg, pid_t **ret_pids, u32 *ret_n, struct err *e)
{
    struct pid_list l = {0};
    const struct cg_dir *d = cg_find(cg, CG_MEMORY);
    if (!d)
        d = cg->ndirs ? &cg->dirs[0] : NULL;
    if (d)
        (void)walk_dirs(d->path, collect, &l); /* a directory that is gone has no processes */
    if (l.is_failed) {
        free(l.v);
        return err_set(e, "cannot list the processes of the cgroup: out of memory");
    }
    *ret_pids = l.v;
    *ret_n = l.n;
    return 0;
}

static int kill_in(const char *dir, void *arg)
{
    struct pid_list l = {0};
    (void)arg;
    if (write_file(dir, "cgroup.kill", "1") == 0)
        return 0;
    (void)collect(dir, &l);
    for (u32 i = 0; i < l.n; i++)
        kill(l.v[i], SIGKILL);
    free(l.v);
    return 0;
}

static int remove_in(const char *dir, void *arg)
{
    int *failed = arg;
    if (rmdir(dir) < 0 && errno != ENOENT)
        *failed = errno;
    return 0;
}

/* In hierarchies that systemd does not use its groups were made by us. */
static void remove_scope(const struct oci_cgroup *cg)
{
    for (u32 i = 0; i < cg->ndirs; i++) {
        char scope[PATH_MAX];
        snprintf(scope, sizeof(scope), "%s", cg->dirs[i].path);
        char *slash = strrchr(scope, '/');
        if (slash > scope + strlen(cg->dirs[i].base)) {
            *slash = 0;
            rmdir(scope); /* else it is systemd's, which takes its time */
        }
    }
}

int oci_cgroup_destroy(struct oci_cgroup *cg, struct err *e)
{
    int r = 0;
    for (u32 i = 0; i < cg->ndirs; i++) {
        const char *dir = cg->dirs[i].path;
        int failed = 0;
        /* Most have nothing in them: there is no need to look. */
        if (rmdir(dir) == 0)
            continue;
        for (int try = 0; try < REMOVE_TRIES; try++) {
            const struct timespec pause = {
                0, 10 * NSEC_PER_MSEC}; /* the kernel ends processes in its own time */
            failed = 0;
            if (walk_dirs(dir, remove_in, &failed) < 0 || failed != EBUSY)
                break;
            (void)walk_dirs(dir, kill_in, NULL);
            nanosleep(&pause, NULL);
        }
        if (failed && r == 0) {
            errno = failed;
            r = err_errno(e, "cannot remove the cgroup '%s'", dir);
        }
    }
    if (cg->is_systemd) {
        cg_systemd_stop(cg);
        remove_scope(cg);
    }
    return r;
}

/* ---- saving -------------------------------------------------------------------------------- */

char *oci_cgroup_save(const struct oci_cgroup *cg)
{
    json_t *dirs = json_array();
    for (u32 i = 0; i < cg->ndirs; i++)
        (void)json_array_append_new(dirs,
                                    json_pack("{s:b, s:i, s:s, s:s}", "v2", cg->dirs[i].is_v2,
                                              "controllers", (int)cg->dirs[i].controllers, "base",
                                              cg->dirs[i].base, "path", cg->dirs[i].path));
    json_t *top =
        json_pack("{s:b, s:s*, s:o}", "systemd", cg->is_systemd, "unit", cg->unit, "dirs", dirs);
    char *text = top ? json_dumps(top, JSON_COMPACT) : NULL;
    json_decref(top);
    return text;
}

static int load_dir(struct oci_cgroup *cg, json_t *o)
{
    const char *base, *path;
    int is_v2, controllers;
    if (cg->ndirs == CG_MAX_DIRS ||
        json_unpack(o, "{s:b, s:i, s:s, s:s}", "v2", &is_v2, "controllers", &controllers, "base",
                    &base, "path", &path) < 0)
        return -1;
    size_t n = strlen(base);
    if (base[0] != '/' || strncmp(path, base, n) || path[n] != '/' || !path[n + 1] ||
        strstr(path, "/../"))
        return -1;
    struct cg_dir *d = &cg->dirs[cg->ndirs++];
    *d = (struct cg_dir){.is_v2 = is_v2,
                         .controllers = (u32)controllers,
                         .base = strdup(base),
                         .path = strdup(path)};
    return d->base && d->path ? 0 : -1;
}

int oci_cgroup_load(const char *text, struct oci_cgroup **ret_cg, struct err *e)
{
    json_error_t je;
    json_t *top = json_loads(text, 0, &je), *o;
    struct oci_cgroup *cg = calloc(1, sizeof(*cg));
    const char *unit = NULL;
    json_t *dirs = NULL;
    int is_systemd = 0, r = -1;
    size_t i;
    if (top && cg &&
        json_unpack(top, "{s:b, s?s, s:o}", "systemd", &is_systemd, "unit", &unit, "dirs", &dirs) ==
            0) {
        cg->is_systemd = is_systemd;
        cg->unit = unit ? strdup(unit) : NULL;
        r = json_is_array(dirs) ? 0 : -1;
        json_array_foreach(dirs, i, o)
        {
            if (r == 0)
                r = load_dir(cg, o);
        }
    }
    json_decref(top);
    if (r < 0) {
        oci_cgroup_free(cg);
        return err_set(e, "the container's state is damaged: its cgroups cannot be read");
    }
    *ret_cg = cg;
    return 0;
}
