/*
 * What the gofer client costs without a guest: the vfs calls that programs
 * make, against a real gofer, next to the same work done natively.
 *
 *   bench_gofer [-d] [-o] [DIR]   -d: directfs; -o: below an overlay; DIR: the tree that is
 *                                 walked (default /usr)
 */
#include <dirent.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <time.h>

#include "fs/gofer_client.h"
#include "fs/overlay.h"
#define TEST_NO_MAIN
#include "gofer_fixture.h"
#include "vfs_fixture.h"

static double now_us(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

static double cpu_us(int who)
{
    struct rusage ru;
    getrusage(who, &ru);
    return (double)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) * 1e6 +
           (double)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec);
}

static double best_us = 0;
#define TIMED(what, n, body)                                                                       \
    do {                                                                                           \
        double t0_ = now_us(), c0_ = cpu_us(RUSAGE_SELF);                                          \
        body;                                                                                      \
        best_us = now_us() - t0_;                                                                  \
        printf("%-40s %10.0f us (%7.2f us each of %ld), cpu %.0f\n", what, best_us,                \
               best_us / (double)(n), (long)(n), cpu_us(RUSAGE_SELF) - c0_);                       \
    } while (0)

static long ndirs, nfiles;

static void native_walk(int dirfd, const char *name, bool stats_all)
{
    int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (fd < 0)
        return;
    DIR *d = fdopendir(fd);
    struct dirent *e;
    ndirs++;
    while ((e = readdir(d))) {
        struct stat st;
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
            continue;
        nfiles++;
        if (stats_all || e->d_type == DT_DIR)
            fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW);
        if (e->d_type == DT_DIR)
            native_walk(fd, e->d_name, stats_all);
    }
    closedir(d);
}

struct names {
    char *p;
    size_t size, cap;
};

static struct vfix_entry batch[1024];

static void guest_walk(const struct path *dir, const char *name, bool stats_all)
{
    struct open_how how = {.flags = LX_O_RDONLY | LX_O_DIRECTORY | LX_O_NOFOLLOW};
    struct file *f;
    struct names subs = {0};
    if (vfs_open_at(dir, name, &how, &f) < 0)
        return;
    ndirs++;
    int n;
    while ((n = vfix_readdir(f, batch, ARRAY_SIZE(batch))) > 0) {
        for (int i = 0; i < n; i++) {
            const struct vfix_entry *e = &batch[i];
            if (!strcmp(e->name, ".") || !strcmp(e->name, ".."))
                continue;
            nfiles++;
            if (stats_all || e->type == LX_DT_DIR) {
                struct path p;
                struct kstat st;
                if (vfs_walk_at(&f->path, e->name, 0, &p) == 0) {
                    (void)!vfs_stat(&p, &st);
                    path_put(&p);
                }
            }
            if (e->type == LX_DT_DIR) {
                size_t len = strlen(e->name) + 1;
                if (subs.size + len > subs.cap) {
                    subs.cap = (subs.size + len) * 2;
                    subs.p = realloc(subs.p, subs.cap);
                }
                memcpy(subs.p + subs.size, e->name, len);
                subs.size += len;
            }
        }
    }
    for (size_t i = 0; i < subs.size; i += strlen(subs.p + i) + 1)
        guest_walk(&f->path, subs.p + i, stats_all);
    free(subs.p);
    file_put(f);
}

static struct gofer_fix fx;
static struct super *sb;
static bool is_overlay;

static void enter(u32 flags)
{
    fix_start(&fx, "/", GOFER_RDONLY | GOFER_CROSS_MOUNTS, NULL);
    if (gofer_super_new(fx.lanes, FIX_LANES, 0, flags, &sb) < 0)
        exit(1);
    struct super *top = sb;
    super_get(sb);
    if (is_overlay) {
        if (overlay_new_on_tmpfs(sb, 1U << 20, &top) < 0)
            exit(1);
        super_put(sb);
    }
    vfix_enter(top, 0);
}

static void leave(void)
{
    printf("  round trips: %llu\n", (unsigned long long)gofer_super_ncalls(sb));
    vfix_leave();
    super_put(sb);
    double c0 = cpu_us(RUSAGE_CHILDREN);
    fix_wait(&fx);
    printf("  the gofer's cpu: %.0f us\n", cpu_us(RUSAGE_CHILDREN) - c0);
}

static void walk_both(const char *tree, u32 flags, bool stats_all)
{
    char what[100];
    native_walk(AT_FDCWD, tree, stats_all); /* warms the host's caches */
    ndirs = nfiles = 0;
    snprintf(what, sizeof(what), "native walk%s", stats_all ? ", stat of all" : "");
    TIMED(what, ndirs, native_walk(AT_FDCWD, tree, stats_all));
    double native = best_us;
    enter(flags);
    struct path root;
    if (vfs_walk(LX_AT_FDCWD, "/", 0, &root) < 0)
        exit(1);
    for (int round = 0; round < 2; round++) {
        ndirs = nfiles = 0;
        snprintf(what, sizeof(what), "%s walk%s", round ? "second" : "cold",
                 stats_all ? ", stat of all" : "");
        TIMED(what, ndirs, guest_walk(&root, tree, stats_all));
        printf("  %ld directories, %ld names, %.2f x native\n", ndirs, nfiles, best_us / native);
    }
    path_put(&root);
    leave();
    struct rusage ru;
    getrusage(RUSAGE_SELF, &ru);
    printf("  max rss %ld KiB\n", ru.ru_maxrss);
}

static void small_things(u32 flags)
{
    enum { N = 20000 };
    struct kstat st;
    struct file *f;
    char buf[4096];
    enter(flags);
    struct path p;
    if (vfs_walk(LX_AT_FDCWD, "/usr/bin/env", 0, &p) < 0)
        exit(1);
    struct kstatfs sf;
    TIMED("statfs: one round trip", N, for (int i = 0; i < N; i++)(void) !vfs_statfs(&p, &sf));
    path_put(&p);
    TIMED("stat, cached", N, for (int i = 0; i < N; i++) vfix_stat("/usr/bin/env", 0, &st));
    TIMED(
        "stat of new missing names", N, for (int i = 0; i < N; i++) {
            char name[64];
            snprintf(name, sizeof(name), "/usr/lib/none-%d", i);
            vfix_stat(name, 0, &st);
        });
    TIMED(
        "open + pread 4K + close, cached", N, for (int i = 0; i < N; i++) {
            if (vfix_open("/usr/bin/env", LX_O_RDONLY, 0, &f) == 0) {
                (void)!file_pread(f, buf, sizeof(buf), 0);
                file_put(f);
            }
        });
    struct stat h;
    TIMED(
        "native: stat of new missing names", N, for (int i = 0; i < N; i++) {
            char name[64];
            snprintf(name, sizeof(name), "/usr/lib/none-%d", i);
            (void)!stat(name, &h);
        });
    TIMED(
        "native: open + pread 4K + close", N, for (int i = 0; i < N; i++) {
            int fd = open("/usr/bin/env", O_RDONLY);
            (void)!pread(fd, buf, sizeof(buf), 0);
            close(fd);
        });
    leave();
}

int main(int argc, char **argv)
{
    u32 flags = 0;
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (; argc > 1 && argv[1][0] == '-'; argv++, argc--) {
        flags |= argv[1][1] == 'd' ? GOFER_DIRECTFS : 0;
        is_overlay |= argv[1][1] == 'o';
    }
    const char *tree = argc > 1 ? argv[1] : "/usr";
    if (!getenv("FIND_ONLY") && !getenv("STAT_ONLY"))
        small_things(flags);
    if (!getenv("STAT_ONLY"))
        walk_both(tree, flags, false);
    if (!getenv("FIND_ONLY"))
        walk_both(tree, flags, true);
    return 0;
}
