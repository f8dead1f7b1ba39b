/*
 * Threads that do random things to files at the same time.
 *
 * modelled: each thread works in a directory of its own and keeps a model of what must be there;
 * every answer is compared with it. shared: all threads work on the same few names, so that every
 * call may meet any other; what they get must be one of the errors that the race allows, and what
 * they read must be something that was written. `shared` also runs under a watch, and with mounts.
 *
 * FS_STRESS_SECONDS (default 2) is how long each test runs. The seed is printed when one fails.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/inotify.h>

#include "fs_common.h"

#define NTHREADS 4
#define NNAMES   6
#define MAX_DATA 9000

static double run_seconds(void)
{
    const char *s = getenv("FS_STRESS_SECONDS");
    return s ? atof(s) : 2;
}

static double now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static _Atomic int is_over;
static char failure[512];
static pthread_mutex_t failure_lock = PTHREAD_MUTEX_INITIALIZER;

#define EXPECT(cond)                                                                               \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            int expect_errno_ = errno;                                                             \
            pthread_mutex_lock(&failure_lock);                                                     \
            if (!failure[0])                                                                       \
                snprintf(failure, sizeof(failure), "line %d: %s (errno %d, seed %u)", __LINE__,    \
                         #cond, expect_errno_, w->seed);                                           \
            pthread_mutex_unlock(&failure_lock);                                                   \
            is_over = 1;                                                                           \
            return;                                                                                \
        }                                                                                          \
    } while (0)

struct worker {
    unsigned seed, state, index;
    int dir; /* fd */
    pthread_t thread;
    struct model {
        char kind;  /* 0 nothing, 'f', 'd', 'l' */
        int object; /* not of a directory: names of one inode share it */
    } names[NNAMES];
    struct object {
        int nlink, size;
        unsigned char data[MAX_DATA];
    } objects[NNAMES + 1];
};

static unsigned rnd(struct worker *w, unsigned n)
{
    w->state = w->state * 1103515245U + 12345U;
    return (w->state >> 16) % n;
}

static void (*run_step)(struct worker *w);

static void *run_thread(void *arg)
{
    struct worker *w = arg;
    double end = now() + run_seconds();
    while (!is_over && now() < end) {
        for (int i = 0; i < 50 && !is_over; i++)
            run_step(w);
    }
    return NULL;
}

static void run_workers(const char *dir, void (*step)(struct worker *w))
{
    static struct worker ws[NTHREADS];
    failure[0] = 0;
    is_over = 0;
    run_step = step;
    for (unsigned i = 0; i < NTHREADS; i++) {
        unsigned seed = (unsigned)getpid() * 16 + i;
        ws[i] = (struct worker){.seed = seed, .state = seed, .index = i};
        ws[i].dir = open(dir, O_RDONLY | O_DIRECTORY);
        CHECK(ws[i].dir >= 0);
        CHECK_EQ(pthread_create(&ws[i].thread, NULL, run_thread, &ws[i]), 0);
    }
    for (unsigned i = 0; i < NTHREADS; i++) {
        pthread_join(ws[i].thread, NULL);
        close(ws[i].dir);
    }
    if (failure[0]) {
        snprintf(test_msg, sizeof(test_msg), "%s", failure);
        test_fail();
    }
}

/* ---- with a model -------------------------------------------------------------------------- */

static const char *path_of(struct worker *w, unsigned i, char buf[32])
{
    snprintf(buf, 32, "own%u/n%u", w->index, i);
    return buf;
}

static int free_object(struct worker *w)
{
    int o = 0;
    while (w->objects[o].nlink)
        o++;
    return o;
}

static void forget(struct worker *w, struct model *m)
{
    if (m->kind && m->kind != 'd')
        w->objects[m->object].nlink--;
    m->kind = 0;
}

static void make(struct worker *w, struct model *m, char kind)
{
    *m = (struct model){kind, free_object(w)};
    w->objects[m->object].nlink = 1;
    w->objects[m->object].size = 0;
}

static void check_file(struct worker *w, const char *p, const struct object *o)
{
    static __thread unsigned char buf[MAX_DATA + 1];
    struct stat st;
    int fd = openat(w->dir, p, O_RDONLY);
    EXPECT(fd >= 0);
    ssize_t n = read(fd, buf, sizeof(buf));
    int r = fstat(fd, &st);
    close(fd);
    EXPECT(r == 0);
    EXPECT(n == o->size);
    EXPECT(st.st_size == o->size);
    EXPECT((int)st.st_nlink == o->nlink);
    EXPECT(!memcmp(buf, o->data, (size_t)n));
}

static void write_some(struct worker *w, const char *p, struct object *o)
{
    static __thread unsigned char buf[4000];
    unsigned off = rnd(w, MAX_DATA - sizeof(buf)), n = rnd(w, sizeof(buf)) + 1;
    memset(buf, (int)rnd(w, 256), n);
    int fd = openat(w->dir, p, O_WRONLY);
    EXPECT(fd >= 0);
    bool is_append = rnd(w, 3) == 0 && o->size + (int)n <= MAX_DATA;
    if (is_append) {
        off = (unsigned)o->size;
        fcntl(fd, F_SETFL, O_APPEND);
    }
    ssize_t r = is_append ? write(fd, buf, n) : pwrite(fd, buf, n, off);
    close(fd);
    EXPECT(r == (ssize_t)n);
    if ((int)off > o->size)
        memset(o->data + o->size, 0, off - (unsigned)o->size);
    memcpy(o->data + off, buf, n);
    o->size = (int)(off + n) > o->size ? (int)(off + n) : o->size;
}

static void check_listing(struct worker *w)
{
    char own[32];
    snprintf(own, sizeof(own), "own%u", w->index);
    int fd = openat(w->dir, own, O_RDONLY | O_DIRECTORY), seen = 0, want = 0;
    EXPECT(fd >= 0);
    DIR *d = fdopendir(fd);
    for (struct dirent *e; (e = readdir(d));) {
        if (e->d_name[0] != 'n')
            continue;
        unsigned i = (unsigned)atoi(e->d_name + 1);
        if (i >= NNAMES || !w->names[i].kind || (seen & (1 << i))) {
            closedir(d);
            EXPECT(!"a name is listed that does not exist, or twice");
        }
        seen |= 1 << i;
    }
    closedir(d);
    for (unsigned i = 0; i < NNAMES; i++)
        want |= w->names[i].kind ? 1 << i : 0;
    EXPECT(seen == want);
}

static void model_step(struct worker *w)
{
    char pa[32], pb[32], to[32];
    unsigned a = rnd(w, NNAMES), b = rnd(w, NNAMES);
    struct model *ma = &w->names[a], *mb = &w->names[b];
    struct object *o = &w->objects[ma->object];
    struct stat st;
    int r;
    path_of(w, a, pa);
    path_of(w, b, pb);
    switch (rnd(w, 12)) {
    case 0: {
        int fd = openat(w->dir, pa, O_CREAT | O_EXCL | O_RDWR, 0644);
        EXPECT((fd >= 0) == !ma->kind);
        EXPECT(fd >= 0 || errno == EEXIST);
        if (fd < 0)
            break;
        close(fd);
        make(w, ma, 'f');
        break;
    }
    case 1:
        r = unlinkat(w->dir, pa, 0);
        if (ma->kind == 0)
            EXPECT(r < 0 && errno == ENOENT);
        else if (ma->kind == 'd')
            EXPECT(r < 0 && errno == EISDIR);
        else
            EXPECT(r == 0);
        if (r == 0)
            forget(w, ma);
        break;
    case 2:
        r = mkdirat(w->dir, pa, 0755);
        EXPECT(ma->kind ? r < 0 && errno == EEXIST : r == 0);
        if (r == 0)
            ma->kind = 'd';
        break;
    case 3:
        r = unlinkat(w->dir, pa, AT_REMOVEDIR);
        EXPECT(ma->kind == 'd' ? r == 0 : r < 0 && errno == (ma->kind ? ENOTDIR : ENOENT));
        if (r == 0)
            ma->kind = 0;
        break;
    case 4:
    case 5:
        r = renameat(w->dir, pa, w->dir, pb);
        if (!ma->kind)
            EXPECT(r < 0 && errno == ENOENT);
        else if (a == b || !mb->kind || (ma->kind == 'd') == (mb->kind == 'd'))
            EXPECT(r == 0);
        else
            EXPECT(r < 0 && errno == (ma->kind == 'd' ? ENOTDIR : EISDIR));
        if (r < 0 || a == b)
            break;
        if (ma->kind != 'd' && mb->kind == ma->kind && ma->object == mb->object)
            break; /* two names of one object: both stay */
        forget(w, mb);
        *mb = *ma;
        ma->kind = 0;
        break;
    case 6:
        r = (int)syscall(SYS_renameat2, w->dir, pa, w->dir, pb, RENAME_EXCHANGE);
        EXPECT(ma->kind && mb->kind ? r == 0 : r < 0 && errno == ENOENT);
        if (r == 0) {
            struct model t = *ma;
            *ma = *mb;
            *mb = t;
        }
        break;
    case 7:
        r = linkat(w->dir, pa, w->dir, pb, 0);
        if (!ma->kind)
            EXPECT(r < 0 && errno == ENOENT);
        else if (mb->kind)
            EXPECT(r < 0 && errno == EEXIST);
        else if (ma->kind == 'd')
            EXPECT(r < 0 && errno == EPERM);
        else
            EXPECT(r == 0);
        if (r < 0)
            break;
        *mb = *ma;
        o->nlink++;
        break;
    case 8:
        r = symlinkat("nowhere", w->dir, pa);
        EXPECT(ma->kind ? r < 0 && errno == EEXIST : r == 0);
        if (r == 0)
            make(w, ma, 'l');
        break;
    case 9:
        if (ma->kind == 'f')
            write_some(w, pa, o);
        break;
    case 10:
        if (ma->kind == 'f') {
            check_file(w, pa, o);
            break;
        }
        r = fstatat(w->dir, pa, &st, AT_SYMLINK_NOFOLLOW);
        EXPECT(ma->kind ? r == 0 : r < 0 && errno == ENOENT);
        EXPECT(ma->kind != 'd' || S_ISDIR(st.st_mode));
        EXPECT(ma->kind != 'l' ||
               (S_ISLNK(st.st_mode) && readlinkat(w->dir, pa, to, sizeof(to)) == 7));
        break;
    case 11:
        if (ma->kind == 'f' && rnd(w, 2)) {
            int size = (int)rnd(w, MAX_DATA), fd = openat(w->dir, pa, O_WRONLY);
            EXPECT(fd >= 0);
            r = ftruncate(fd, size);
            close(fd);
            EXPECT(r == 0);
            if (size > o->size)
                memset(o->data + o->size, 0, (size_t)(size - o->size));
            o->size = size;
            break;
        }
        check_listing(w);
        break;
    }
}

static void run_modelled(const char *dir)
{
    for (int i = 0; i < NTHREADS; i++) {
        char own[64];
        snprintf(own, sizeof(own), "%s/own%d", dir, i);
        CHECK_EQ(mkdir(own, 0755), 0);
    }
    run_workers(dir, model_step);
}

/* ---- without ------------------------------------------------------------------------------- */

static bool is_raced(int r, int err)
{
    /* What somebody else's rename, removal or creation in between can cause. */
    return r >= 0 || err == ENOENT || err == EEXIST || err == ENOTDIR || err == EISDIR ||
           err == ENOTEMPTY || err == EINVAL || err == EXDEV || err == EBUSY || err == ELOOP;
}

static void shared_path(struct worker *w, char *buf)
{
    static const char *const top[] = {"a", "b", "c"}, *const leaf[] = {"x", "y", "z"};
    unsigned depth = rnd(w, 3) + 1;
    buf[0] = 0;
    for (unsigned i = 0; i < depth; i++) {
        strcat(buf, i == 0 ? "" : "/");
        strcat(buf, i + 1 < depth ? top[rnd(w, 3)] : rnd(w, 2) ? top[rnd(w, 3)] : leaf[rnd(w, 3)]);
    }
}

static void use_open_file(struct worker *w, int fd)
{
    unsigned char buf[3000];
    struct stat st;
    int c = (int)rnd(w, 255) + 1;
    memset(buf, c, sizeof(buf));
    EXPECT(fstat(fd, &st) == 0);
    if (S_ISDIR(st.st_mode)) {
        char names[2048];
        lseek(fd, (off_t)rnd(w, 4), SEEK_SET);
        long r = syscall(SYS_getdents64, fd, names, sizeof(names));
        EXPECT(r >= 0 || errno == ENOENT);
        return;
    }
    if (!S_ISREG(st.st_mode))
        return;
    fsetxattr(fd, "user.t", "v", 1, 0);
    EXPECT(fremovexattr(fd, "user.t") == 0 || errno == ENODATA || errno == EOPNOTSUPP ||
           errno == EPERM || errno == EBADF);
    (void)!fchmod(fd, rnd(w, 2) ? 0644 : 0600);
    if (rnd(w, 8) == 0)
        EXPECT(ftruncate(fd, (off_t)rnd(w, 20000)) == 0 || errno == EINVAL || errno == EBADF);
    ssize_t n = pwrite(fd, buf, rnd(w, sizeof(buf)) + 1, (off_t)rnd(w, 9000));
    EXPECT(n > 0 || errno == EBADF);
    n = pread(fd, buf, sizeof(buf), (off_t)rnd(w, 9000));
    EXPECT(n >= 0 || errno == EBADF);
    if (rnd(w, 16) == 0 && n > 0) {
        void *m = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
        EXPECT(m != MAP_FAILED || errno == EACCES);
        if (m != MAP_FAILED)
            munmap(m, 4096);
    }
}

static void shared_step(struct worker *w)
{
    char p[64], q[64], cwd[300];
    struct stat st;
    int r = 0, fd;
    shared_path(w, p);
    shared_path(w, q);
    errno = 0;
    switch (rnd(w, 14)) {
    case 0:
    case 1:
        r = mkdirat(w->dir, p, 0755);
        break;
    case 2:
        r = unlinkat(w->dir, p, rnd(w, 2) ? AT_REMOVEDIR : 0);
        break;
    case 3:
    case 4:
        r = renameat(w->dir, p, w->dir, q);
        break;
    case 5:
        r = (int)syscall(SYS_renameat2, w->dir, p, w->dir, q, RENAME_EXCHANGE);
        break;
    case 6:
        r = linkat(w->dir, p, w->dir, q, 0);
        EXPECT(r == 0 || errno == EPERM || is_raced(r, errno));
        return;
    case 7:
        r = symlinkat(q, w->dir, p);
        break;
    case 8:
    case 9:
        fd = openat(w->dir, p, (int)(O_CREAT | (rnd(w, 4) == 0 ? O_TRUNC : 0) | O_RDWR), 0644);
        EXPECT(fd >= 0 || is_raced(fd, errno));
        if (fd >= 0) {
            use_open_file(w, fd);
            close(fd);
        }
        return;
    case 10:
        fd = openat(w->dir, p, O_RDONLY | O_NONBLOCK);
        EXPECT(fd >= 0 || is_raced(fd, errno));
        if (fd >= 0) {
            sched_yield();
            use_open_file(w, fd);
            snprintf(q, sizeof(q), "/proc/self/fd/%d", fd);
            EXPECT(readlink(q, cwd, sizeof(cwd)) > 0);
            close(fd);
        }
        return;
    case 11:
        r = fstatat(w->dir, p, &st, 0);
        break;
    case 12:
        snprintf(cwd, sizeof(cwd), "%s/../%s", p, q);
        r = faccessat(w->dir, cwd, R_OK, 0);
        break;
    case 13:
        fd = openat(w->dir, p, O_PATH | O_DIRECTORY);
        EXPECT(fd >= 0 || is_raced(fd, errno));
        if (fd >= 0) {
            r = mkdirat(fd, "x", 0755);
            close(fd);
        }
        break;
    }
    EXPECT(is_raced(r, errno));
}

static void watched_step(struct worker *w)
{
    char buf[4096], p[64];
    if (w->index > 0) {
        shared_step(w);
        return;
    }
    int in = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    EXPECT(in >= 0 || errno == EMFILE);
    for (int i = 0; i < 6; i++) {
        char proc[128];
        shared_path(w, p);
        snprintf(proc, sizeof(proc), "/proc/self/fd/%d/%s", w->dir, p);
        int wd = inotify_add_watch(in, proc, IN_ALL_EVENTS | (rnd(w, 3) ? 0 : IN_ONESHOT));
        EXPECT(wd >= 0 || is_raced(wd, errno));
        shared_step(w);
        if (wd >= 0 && rnd(w, 3) == 0)
            inotify_rm_watch(in, wd);
    }
    while (read(in, buf, sizeof(buf)) > 0)
        ;
    close(in);
}

static void mounting_step(struct worker *w)
{
    char p[64], at[128], from[128];
    if (w->index > 1) {
        shared_step(w);
        return;
    }
    shared_path(w, p);
    snprintf(at, sizeof(at), "/proc/self/fd/%d/%s", w->dir, p);
    shared_path(w, p);
    snprintf(from, sizeof(from), "/proc/self/fd/%d/%s", w->dir, p);
    switch (rnd(w, 5)) {
    case 0:
        (void)!mount("t", at, "tmpfs", 0, "size=1m");
        break;
    case 1:
        (void)!mount(from, at, NULL, MS_BIND | (rnd(w, 2) ? MS_REC : 0), NULL);
        break;
    case 2:
        (void)!mount(NULL, at, NULL, rnd(w, 2) ? MS_SHARED : MS_PRIVATE, NULL);
        break;
    default:
        (void)!umount2(at, MNT_DETACH);
        break;
    }
    for (int i = 0; i < 4; i++)
        shared_step(w);
}

/* ---- where --------------------------------------------------------------------------------- */

static void in_tmpfs(const char *dir)
{
    CHECK_EQ(mkdir(dir, 0755), 0);
    if (geteuid() != 0)
        SKIP("needs to mount");
    if (unshare(CLONE_NEWNS) < 0)
        SKIP("needs a mount namespace");
    CHECK_EQ(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
    CHECK_EQ(mount("stress", dir, "tmpfs", 0, "size=64m"), 0);
}

static void clean(const char *dir)
{
    for (int i = 0; i < 200 && umount2(dir, MNT_DETACH) == 0; i++)
        ;
    char cmd[128];
    snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
    CHECK_EQ(system(cmd), 0);
}

TEST(modelled)
{
    CHECK_EQ(mkdir("m", 0755), 0);
    run_modelled("m");
    clean("m");
}

TEST(modelled_tmpfs)
{
    in_tmpfs("mt");
    run_modelled("mt");
    clean("mt");
}

TEST(shared)
{
    CHECK_EQ(mkdir("s", 0755), 0);
    run_workers("s", shared_step);
    clean("s");
}

TEST(shared_tmpfs)
{
    in_tmpfs("st");
    run_workers("st", shared_step);
    clean("st");
}

TEST(shared_watched)
{
    CHECK_EQ(mkdir("w", 0755), 0);
    run_workers("w", watched_step);
    clean("w");
}

TEST(shared_mounted)
{
    in_tmpfs("mm");
    run_workers("mm", mounting_step);
    clean("mm");
}
