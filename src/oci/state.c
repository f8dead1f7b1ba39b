/* See state.h. */
#include "oci/state.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "oci/client.h"
#include "wire/control.h"

#define MAX_STATE (4U << 20)

const char *oci_status_name(enum oci_status s)
{
    static const char *const names[] = {"creating", "created", "running", "paused", "stopped"};
    return names[s];
}

bool oci_id_is_ok(const char *id)
{
    return ctl_id_is_ok(id, strlen(id));
}

/* ---- directories --------------------------------------------------------------------------- */

static int make_dirs(const char *path, struct err *e)
{
    char buf[4096];
    if (snprintf(buf, sizeof(buf), "%s", path) >= (int)sizeof(buf))
        return err_set(e, "the path '%.100s…' is too long", path);
    for (char *p = buf + 1;; p++) {
        if (*p != '/' && *p)
            continue;
        char c = *p;
        *p = 0;
        if (mkdir(buf, 0711) < 0 && errno != EEXIST)
            return err_errno(e, "cannot make the directory '%s'", buf);
        *p = c;
        if (!c)
            return 0;
    }
}

/* An ordinary user of the host who is root in a user namespace, as rootless engines make one. */
static bool is_mapped_root(void)
{
    char text[64] = "";
    const char *user = getenv("USER");
    int fd = open("/proc/self/uid_map", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (fd >= 0)
        close(fd);
    unsigned long from, to, count;
    if (n <= 0 || sscanf(text, "%lu %lu %lu", &from, &to, &count) != 3)
        return false;
    return !(from == 0 && to == 0 && count == 4294967295UL) && !(user && !strcmp(user, "root"));
}

int state_root(const char *root, bool is_made, char **ret_path, struct err *e)
{
    char buf[4096];
    if (!root) {
        const char *run = getenv("XDG_RUNTIME_DIR");
        bool is_root = geteuid() == 0 && !is_mapped_root();
        if (is_root || !run || *run != '/')
            snprintf(buf, sizeof(buf), is_root ? "/run/cvisor" : "/tmp/cvisor-%u", geteuid());
        else
            snprintf(buf, sizeof(buf), "%s/cvisor", run);
        root = buf;
    } else if (*root != '/') {
        char cwd[2048];
        if (!getcwd(cwd, sizeof(cwd)))
            return err_errno(e, "cannot find the working directory");
        snprintf(buf, sizeof(buf), "%s/%.2000s", cwd, root);
        root = buf;
    }
    if (is_made && make_dirs(root, e) < 0)
        return -1;
    *ret_path = strdup(root);
    return *ret_path ? 0 : err_set(e, "out of memory");
}

static int open_dir(const char *root, const char *id)
{
    char path[4096 + 1100];
    snprintf(path, sizeof(path), "%s/%s", root, id);
    return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
}

static int take_lock(int dir, int timeout_ms, struct err *e)
{
    int fd = openat(dir, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_errno(e, "cannot open the container's lock");
    for (int waited = 0;; waited += 10) {
        if (flock(fd, LOCK_EX | LOCK_NB) == 0)
            return fd;
        if (errno != EWOULDBLOCK || waited >= timeout_ms)
            break;
        nanosleep(&(struct timespec){0, 10000000}, NULL);
    }
    int saved = errno;
    close(fd);
    errno = saved;
    if (errno == EWOULDBLOCK)
        return err_set(e, "another command is at work on the container");
    return err_errno(e, "cannot lock the container");
}

int state_create(const char *root, const char *id, struct oci_state *ret, int *ret_lock,
                 struct err *e)
{
    char path[4096 + 1100];
    struct oci_state s = {.dir = -1, .sandbox_dir = -1};
    snprintf(path, sizeof(path), "%s/%s", root, id);
    if (mkdir(path, 0711) < 0) {
        if (errno == EEXIST)
            return err_set(e, "container with given ID already exists");
        return err_errno(e, "cannot make the directory '%s'", path);
    }
    s.dir = open_dir(root, id);
    int lock = s.dir < 0 ? err_errno(e, "cannot open the directory '%s'", path)
                         : take_lock(s.dir, 1000, e);
    if (lock < 0) {
        state_done(&s);
        rmdir(path);
        return -1;
    }
    s.id = strdup(id);
    struct timespec now;
    struct tm tm;
    char text[64];
    clock_gettime(CLOCK_REALTIME, &now);
    size_t n = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", gmtime_r(&now.tv_sec, &tm));
    snprintf(text + n, sizeof(text) - n, ".%09ldZ", now.tv_nsec);
    s.created = strdup(text);
    *ret = s;
    *ret_lock = lock;
    return 0;
}

int state_lock(const struct oci_state *s, int timeout_ms, struct err *e)
{
    return take_lock(s->dir, timeout_ms, e);
}

void state_done(struct oci_state *s)
{
    free(s->id);
    free(s->bundle);
    free(s->rootfs);
    free(s->created);
    free(s->owner);
    free(s->cgroup);
    free(s->pod);
    for (char **a = s->annotations; a && *a; a++)
        free(*a);
    free(s->annotations);
    if (s->dir >= 0)
        close(s->dir);
    if (s->sandbox_dir >= 0)
        close(s->sandbox_dir);
    *s = (struct oci_state){.dir = -1, .sandbox_dir = -1};
}

int state_remove(const char *root, const char *id, struct err *e)
{
    char path[4096 + 1100];
    int dir = open_dir(root, id);
    snprintf(path, sizeof(path), "%s/%s", root, id);
    if (dir < 0)
        return errno == ENOENT ? 0 : err_errno(e, "cannot open the directory '%s'", path);
    DIR *d = fdopendir(dir);
    if (!d) {
        close(dir);
        return err_errno(e, "cannot read the directory '%s'", path);
    }
    /* The lock last: who waits for it finds its directory gone. */
    struct dirent *de;
    while ((de = readdir(d)))
        if (strcmp(de->d_name, ".") && strcmp(de->d_name, ".."))
            unlinkat(dirfd(d), de->d_name, 0);
    closedir(d);
    if (rmdir(path) < 0 && errno != ENOENT)
        return err_errno(e, "cannot remove the directory '%s'", path);
    return 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

int state_list(const char *root, char ***ret_ids, struct err *e)
{
    char **ids = calloc(1, sizeof(*ids));
    size_t n = 0;
    DIR *d = opendir(root);
    if (!ids)
        goto no_memory;
    if (!d) {
        *ret_ids = ids;
        return errno == ENOENT ? 0 : err_errno(e, "cannot read the directory '%s'", root);
    }
    struct dirent *de;
    while ((de = readdir(d))) {
        if (!oci_id_is_ok(de->d_name))
            continue;
        char **more = realloc(ids, (n + 2) * sizeof(*ids));
        if (!more)
            goto no_memory;
        ids = more;
        ids[n] = strdup(de->d_name);
        if (!ids[n])
            goto no_memory;
        ids[++n] = NULL;
    }
    closedir(d);
    qsort(ids, n, sizeof(*ids), by_name);
    *ret_ids = ids;
    return 0;
no_memory:
    if (d)
        closedir(d);
    return err_set(e, "out of memory");
}

/* ---- state.json ---------------------------------------------------------------------------- */

static json_t *annotations_json(const struct oci_state *s)
{
    json_t *o = json_object();
    for (char **a = s->annotations; o && a && a[0] && a[1]; a += 2)
        json_object_set_new(o, a[0], json_string(a[1]));
    return o;
}

int state_save(struct oci_state *s, struct err *e)
{
    json_t *o = json_pack("{s:s, s:s, s:i, s:I, s:s*, s:s*, s:s*, s:s*, s:s*, s:o}",
                          "ociVersion", OCI_VERSION, "id", s->id, "pid", (int)s->pid, "pidStart",
                          (json_int_t)s->pid_start, "bundle", s->bundle, "rootfs", s->rootfs,
                          "created", s->created, "cgroup", s->cgroup, "pod", s->pod,
                          "annotations", annotations_json(s));
    char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;
    json_decref(o);
    if (!text)
        return err_set(e, "cannot write the container's state: out of memory");
    int fd = openat(s->dir, "state.new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), r = 0;
    size_t n = strlen(text);
    if (fd < 0 || write(fd, text, n) != (ssize_t)n ||
        renameat(s->dir, "state.new", s->dir, "state.json") < 0)
        r = err_errno(e, "cannot write the container's state");
    if (fd >= 0)
        close(fd);
    free(text);
    return r;
}

static json_t *read_json(int dir, const char *name)
{
    struct stat st;
    json_t *o = NULL;
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    char *text =
        fstat(fd, &st) == 0 && st.st_size <= MAX_STATE ? malloc((size_t)st.st_size + 1) : NULL;
    ssize_t n = text ? read(fd, text, (size_t)st.st_size) : -1;
    if (n > 0)
        o = json_loadb(text, (size_t)n, 0, NULL);
    free(text);
    close(fd);
    return o;
}

static char *get_str(json_t *o, const char *name)
{
    const char *s = json_string_value(json_object_get(o, name));
    return s ? strdup(s) : NULL;
}

static void get_annotations(json_t *o, struct oci_state *s)
{
    const char *name;
    json_t *v;
    size_t n = 0;
    s->annotations = calloc(2 * json_object_size(o) + 1, sizeof(char *));
    if (!s->annotations)
        return;
    json_object_foreach(o, name, v)
    {
        const char *value = json_string_value(v);
        if (!value)
            continue;
        s->annotations[n++] = strdup(name);
        s->annotations[n++] = strdup(value);
    }
}

static char *owner_of(int dir)
{
    struct stat st;
    char number[16], *name = NULL;
    if (fstat(dir, &st) < 0)
        return NULL;
    FILE *f = fopen("/etc/passwd", "re");
    struct passwd *pw;
    while (f && !name && (pw = fgetpwent(f)))
        if (pw->pw_uid == st.st_uid)
            name = strdup(pw->pw_name);
    if (f)
        fclose(f);
    snprintf(number, sizeof(number), "#%u", st.st_uid);
    return name ? name : strdup(number);
}

int state_load(const char *root, const char *id, struct oci_state *ret, struct err *e)
{
    struct oci_state s = {.dir = -1, .sandbox_dir = -1};
    if (!oci_id_is_ok(id))
        return err_set(e, "invalid container ID format: '%.100s'", id);
    s.dir = open_dir(root, id);
    if (s.dir < 0) {
        if (errno != ENOENT)
            return err_errno(e, "cannot open the directory '%s/%s'", root, id);
        err_set(e, "container does not exist");
        e->status = ENOENT;
        return -1;
    }
    s.id = strdup(id);
    s.owner = owner_of(s.dir);
    json_t *o = read_json(s.dir, "state.json");
    if (o) {
        s.bundle = get_str(o, "bundle");
        s.rootfs = get_str(o, "rootfs");
        s.created = get_str(o, "created");
        s.cgroup = get_str(o, "cgroup");
        s.pod = get_str(o, "pod");
        if (s.pod && oci_id_is_ok(s.pod))
            s.sandbox_dir = open_dir(root, s.pod);
        s.pid = (pid_t)json_integer_value(json_object_get(o, "pid"));
        s.pid_start = (u64)json_integer_value(json_object_get(o, "pidStart"));
        get_annotations(json_object_get(o, "annotations"), &s);
        json_decref(o);
    }
    *ret = s;
    return 0;
}

char *state_json(const struct oci_state *s, enum oci_status status, bool is_indented, struct err *e)
{
    json_t *o = json_pack("{s:s, s:s, s:i, s:s, s:s, s:s, s:s}", "ociVersion", OCI_VERSION, "id",
                          s->id, "pid", status == OCI_ST_STOPPED ? 0 : (int)s->pid, "status",
                          oci_status_name(status), "bundle", s->bundle ? s->bundle : "", "rootfs",
                          s->rootfs ? s->rootfs : "", "created", s->created ? s->created : "");
    if (o && s->annotations && s->annotations[0])
        json_object_set_new(o, "annotations", annotations_json(s));
    if (o)
        json_object_set_new(o, "owner", json_string(s->owner ? s->owner : ""));
    char *text = o ? json_dumps(o, is_indented ? JSON_INDENT(2) : JSON_COMPACT) : NULL;
    json_decref(o);
    if (!text)
        err_set(e, "out of memory");
    return text;
}

/* ---- is it alive? -------------------------------------------------------------------------- */

bool proc_stat(pid_t pid, char *ret_state, u64 *ret_start)
{
    char path[64], buf[1024];
    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, buf, sizeof(buf) - 1);
    close(fd);
    if (n <= 0)
        return false;
    buf[n] = 0;
    char *p = strrchr(buf, ')');
    if (!p || p[1] != ' ')
        return false;
    p += 2;
    *ret_state = *p;
    for (int field = 3; field < 22 && p; field++) { /* starttime is the 22nd */
        p = strchr(p, ' ');
        if (p)
            p++;
    }
    *ret_start = p ? strtoull(p, NULL, 10) : 0;
    return p != NULL;
}

bool state_is_alive(const struct oci_state *s)
{
    char state;
    u64 start;
    if (s->pid <= 0 || !proc_stat(s->pid, &state, &start))
        return false;
    return start == s->pid_start && state != 'Z' && state != 'X';
}

enum oci_status state_status(const struct oci_state *s)
{
    struct ctl_reply reply;
    if (!state_is_alive(s)) {
        /* Not written yet, by a command that is still at it? */
        if (s->pid == 0) {
            int lock = take_lock(s->dir, 0, NULL);
            if (lock < 0)
                return OCI_ST_CREATING;
            close(lock);
        }
        return OCI_ST_STOPPED;
    }
    if (client_request(s, CTL_STATE, 0, 0, CLIENT_QUICK_MS, &reply, NULL) < 0) {
        if (!state_is_alive(s))
            return OCI_ST_STOPPED;
        if (reply.is_timeout)
            return OCI_ST_RUNNING;
        /* Nobody answers: it is being made, by a command that is at it, or it is ending. */
        int lock = take_lock(s->dir, 0, NULL);
        if (lock < 0)
            return OCI_ST_CREATING;
        close(lock);
        return OCI_ST_STOPPED;
    }
    switch (reply.m.a) {
    case CTL_ST_CREATED:
        return OCI_ST_CREATED;
    case CTL_ST_PAUSED:
        return OCI_ST_PAUSED;
    case CTL_ST_STOPPED:
        return OCI_ST_STOPPED;
    default:
        return OCI_ST_RUNNING;
    }
}
