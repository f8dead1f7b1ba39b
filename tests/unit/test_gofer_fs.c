/* fs: the gofer's client file system under the real vfs, against a real gofer. */
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <time.h>

#include "fs/gofer_client.h"
#include "gofer_fixture.h"
#include "vfs_fixture.h"
#include "wire/gofer_proto.h"

static struct gofer_fix fx;
static struct super *sb;

static void shell(const char *fmt)
{
    char cmd[1024];
    snprintf(cmd, sizeof(cmd), "cd %s && %s", fx.dir, fmt);
    CHECK_EQ(system(cmd), 0);
}

/* The suite runs once more with directfs: what needs round trips otherwise may need none then. */
static bool is_direct(void)
{
    return getenv("GOFER_DIRECTFS") != NULL;
}
#define CHECK_TRIPS(n, want)                                                                       \
    do {                                                                                           \
        if (is_direct())                                                                           \
            CHECK((n) <= (want));                                                                  \
        else                                                                                       \
            CHECK_EQ(n, want);                                                                     \
    } while (0)

static void start_at(const char *dir, u32 gofer_flags, u32 client_flags)
{
    fix_start(&fx, dir, gofer_flags, NULL);
    CHECK_EQ(gofer_super_new(fx.lanes, FIX_LANES, 0,
                             client_flags | (is_direct() ? GOFER_DIRECTFS : 0), &sb),
             0);
    vfix_enter(sb, 0);
}

static void start(u32 gofer_flags, u32 client_flags)
{
    start_at("", gofer_flags, client_flags);
}

/* Also shows that nothing was leaked: the lanes close with the super, and the gofer then ends. */
static void stop(void)
{
    vfix_leave();
    CHECK_EQ(fix_wait(&fx), 0);
    if (!strncmp(fx.dir, "/tmp/", 5))
        fix_remove(&fx);
}

static void host_stat(const char *name, struct stat *st)
{
    char path[300];
    snprintf(path, sizeof(path), "%s/%s", fx.dir, name);
    CHECK_EQ(lstat(path, st), 0);
}

static void check_same(const char *name)
{
    struct stat h;
    struct kstat g;
    CHECK_EQ(vfix_stat(name, 0, &g), 0);
    host_stat(name, &h);
    CHECK_EQ(g.ino, h.st_ino);
    CHECK_EQ(g.mode, h.st_mode);
    CHECK_EQ(g.nlink, h.st_nlink);
    CHECK_EQ(g.uid, h.st_uid);
    CHECK_EQ(g.gid, h.st_gid);
    CHECK_EQ(g.size, h.st_size);
    CHECK_EQ(g.blocks, h.st_blocks);
    CHECK_EQ(g.mtime.sec, h.st_mtim.tv_sec);
    CHECK_EQ(g.mtime.nsec, h.st_mtim.tv_nsec);
    CHECK_EQ(g.ctime.sec, h.st_ctim.tv_sec);
    CHECK_EQ(g.ctime.nsec, h.st_ctim.tv_nsec);
}

TEST(stat_is_the_hosts)
{
    start(GOFER_RDONLY, 0);
    shell("mkdir -p a/b c && echo hello >a/f && ln a/f a/g && ln -s f a/l && mkfifo p && "
          "chmod 4711 a/f && chown 5:6 c");
    static const char *const names[] = {"a", "a/b", "c", "a/f", "a/g", "a/l", "p"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        check_same(names[i]);
    struct kstat s, t;
    CHECK_EQ(vfix_stat("a/f", 0, &s), 0);
    CHECK_EQ(vfix_stat("a/g", 0, &t), 0);
    CHECK_EQ(s.ino, t.ino);
    CHECK_EQ(s.dev, t.dev);
    CHECK(s.has_btime && s.btime.sec > 0);
    CHECK_EQ(vfix_stat("a/l", WALK_FOLLOW, &t), 0);
    CHECK_EQ(s.ino, t.ino);
    CHECK_EQ(vfix_stat("a/none", 0, &t), -LX_ENOENT);
    CHECK_EQ(vfix_stat("a/f/x", 0, &t), -LX_ENOTDIR);
    /* Two names of one inode are one inode. */
    struct path p, q;
    CHECK_EQ(vfs_walk(LX_AT_FDCWD, "/a/f", 0, &p), 0);
    CHECK_EQ(vfs_walk(LX_AT_FDCWD, "/a/g", 0, &q), 0);
    CHECK(p.dentry->inode == q.dentry->inode);
    path_put(&p);
    path_put(&q);
    stop();
}

TEST(names_are_cached_in_exclusive_mode)
{
    struct kstat st;
    start(GOFER_RDONLY, 0);
    shell("mkdir -p a/b && touch a/b/f");
    CHECK_EQ(vfix_stat("a/b/f", 0, &st), 0);
    CHECK_EQ(vfix_stat("a/b/none", 0, &st), -LX_ENOENT);
    u64 n = gofer_super_ncalls(sb);
    for (int i = 0; i < 10; i++) {
        CHECK_EQ(vfix_stat("a/b/f", 0, &st), 0);
        CHECK_EQ(vfix_stat("a/b/none", 0, &st), -LX_ENOENT);
    }
    CHECK_TRIPS(gofer_super_ncalls(sb), n);
    stop();
}

TEST(a_path_is_asked_for_as_a_whole)
{
    struct kstat st;
    struct file *f;
    char buf[16];
    start(0, 0);
    shell("mkdir -p a/b/c x/y && echo hello >a/b/c/f && ln -s b a/l && touch a/plain");
    u64 n = gofer_super_ncalls(sb);
    CHECK_EQ(vfix_open("/a/b//c/f", LX_O_RDONLY, 0, &f), 0); /* its fd comes along */
    CHECK_EQ(file_pread(f, buf, sizeof(buf), 0), 6);
    CHECK_TRIPS(gofer_super_ncalls(sb), n + 1);
    file_put(f);
    CHECK_EQ(vfix_stat("/x/y/none/deeper", 0, &st), -LX_ENOENT);
    CHECK_TRIPS(gofer_super_ncalls(sb), n + 2);
    CHECK_EQ(vfix_stat("/x/y/none", 0, &st), -LX_ENOENT);
    CHECK_TRIPS(gofer_super_ncalls(sb), n + 2);
    check_same("a/b/c/f");
    CHECK_EQ(vfix_stat("/a/l/c/f", WALK_FOLLOW, &st), 0);
    CHECK_EQ(st.size, 6);
    CHECK_EQ(vfix_stat("/a/plain/x", 0, &st), -LX_ENOTDIR);
    CHECK_EQ(vfix_stat("/a/../x/./y", 0, &st), 0);
    /* A name that was found missing on the way can be made. */
    CHECK_EQ(vfs_mkdir(LX_AT_FDCWD, "/x/y/none", 0755), 0);
    CHECK_EQ(vfs_mkdir(LX_AT_FDCWD, "/x/y/none/deeper", 0755), 0);
    check_same("x/y/none/deeper");
    stop();
}

#define NR_MOVED 100

static _Atomic u32 moving;

/* Moves and removes names that nobody has looked at yet. */
static void *move_names(void *arg)
{
    char from[32], to[32];
    vfs_current = arg;
    for (u32 k = 0; k < NR_MOVED; k++) {
        atomic_store(&moving, k);
        snprintf(from, sizeof(from), "/r/%u/d", k);
        snprintf(to, sizeof(to), "/r/%u/e", k);
        CHECK_EQ(vfs_rename(LX_AT_FDCWD, from, LX_AT_FDCWD, to, 0), 0);
        CHECK_EQ(vfs_mkdir(LX_AT_FDCWD, from, 0755), 0);
        if (k % 2)
            CHECK_EQ(vfs_rmdir(LX_AT_FDCWD, from), 0);
    }
    return NULL;
}

/* What is looked up ahead while another thread moves and removes it is not remembered wrongly. */
TEST(looking_ahead_among_changes)
{
    struct vfs_task other;
    pthread_t thread;
    struct kstat st;
    char name[32];
    start(0, 0);
    other = *vfs_current;
    shell("for k in $(seq 0 99); do mkdir -p r/$k/d/in; done");
    atomic_store(&moving, 0);
    CHECK_EQ(pthread_create(&thread, NULL, move_names, &other), 0);
    for (u32 k = 0; k < NR_MOVED - 1; k = atomic_load(&moving)) {
        snprintf(name, sizeof(name), "/r/%u/d/in", k + 1);
        int r = vfix_stat(name, 0, &st);
        CHECK(r == 0 || r == -LX_ENOENT);
    }
    CHECK_EQ(pthread_join(thread, NULL), 0);
    for (u32 k = 0; k < NR_MOVED; k++) {
        snprintf(name, sizeof(name), "/r/%u/d/in", k);
        CHECK_EQ(vfix_stat(name, 0, &st), -LX_ENOENT);
        snprintf(name, sizeof(name), "/r/%u/d", k);
        CHECK_EQ(vfix_stat(name, 0, &st), k % 2 ? -LX_ENOENT : 0);
        snprintf(name, sizeof(name), "r/%u/e/in", k);
        check_same(name);
    }
    stop();
}

TEST(shared_mode_sees_the_host_change)
{
    struct kstat st;
    start(0, GOFER_SHARED);
    shell("mkdir d && echo 1 >d/f");
    CHECK_EQ(vfix_stat("d/f", 0, &st), 0);
    CHECK_EQ(vfix_stat("d/new", 0, &st), -LX_ENOENT);
    shell("echo 12345 >d/f && touch d/new");
    CHECK_EQ(vfix_stat("d/f", 0, &st), 0);
    CHECK_EQ(st.size, 6);
    CHECK_EQ(vfix_stat("d/new", 0, &st), 0);
    shell("rm d/new && mv d/f d/g && mv d e");
    CHECK_EQ(vfix_stat("d/new", 0, &st), -LX_ENOENT);
    CHECK_EQ(vfix_stat("d/f", 0, &st), -LX_ENOENT);
    CHECK_EQ(vfix_stat("e/g", 0, &st), 0);
    CHECK_EQ(st.size, 6);
    struct file *f;
    char buf[8];
    CHECK_EQ(vfix_open("e/g", LX_O_RDONLY, 0, &f), 0);
    CHECK_EQ(file_pread(f, buf, 8, 0), 6);
    shell("echo abc >e/g");
    CHECK_EQ(file_pread(f, buf, 8, 0), 4);
    CHECK_EQ(vfs_seek(f, 0, LX_SEEK_END), 4);
    file_put(f);
    stop();
}

static int list(const char *name, struct vfix_entry *ret, u32 max, u32 step)
{
    struct file *f;
    u32 count = 0;
    int r = vfix_open(name, LX_O_RDONLY | LX_O_DIRECTORY, 0, &f);
    if (r < 0)
        return r;
    while (count < max && (r = vfix_readdir(f, ret + count, MIN(step, max - count))) > 0)
        count += (u32)r;
    file_put(f);
    return r < 0 ? r : (int)count;
}

#define MANY 2500
static struct vfix_entry entries[MANY + 100], again[MANY + 100];

TEST(listing_and_seeking)
{
    start(GOFER_RDONLY, 0);
    shell("mkdir d && cd d && seq 1 2500 | xargs touch && mkdir sub && ln -s x link");
    int n = list("d", entries, ARRAY_SIZE(entries), 7);
    CHECK_EQ(n, MANY + 4);
    static bool is_seen[MANY + 1];
    memset(is_seen, 0, sizeof(is_seen));
    int ndots = 0;
    struct stat h;
    host_stat("d", &h);
    for (int i = 0; i < n; i++) {
        int k = atoi(entries[i].name);
        if (k > 0) {
            CHECK(!is_seen[k]);
            is_seen[k] = true;
            CHECK_EQ(entries[i].type, LX_DT_REG);
        } else if (entries[i].name[0] == '.') {
            ndots++;
            if (!entries[i].name[1])
                CHECK_EQ(entries[i].ino, h.st_ino);
        } else {
            CHECK_EQ(entries[i].type, entries[i].name[0] == 's' ? LX_DT_DIR : LX_DT_LNK);
        }
    }
    CHECK_EQ(ndots, 2);
    CHECK_EQ(list("d", again, ARRAY_SIZE(again), 1000), n);
    for (int i = 0; i < n; i++)
        CHECK(!strcmp(entries[i].name, again[i].name));
    /* Every cookie leads back to the entry after it. */
    struct file *f;
    CHECK_EQ(vfix_open("d", LX_O_RDONLY, 0, &f), 0);
    for (int i = n - 2; i >= 0; i -= 97) {
        CHECK_EQ(vfs_seek(f, entries[i].next_off, LX_SEEK_SET), entries[i].next_off);
        CHECK(vfix_readdir(f, again, 3) >= 1);
        CHECK(!strcmp(again[0].name, entries[i + 1].name));
    }
    CHECK_EQ(vfs_seek(f, 0, LX_SEEK_SET), 0);
    CHECK_EQ(vfix_readdir(f, again, 1), 1);
    CHECK(!strcmp(again[0].name, entries[0].name));
    file_put(f);
    stop();
}

TEST(listing_primes_subdirectories)
{
    struct kstat st;
    start(GOFER_RDONLY, 0);
    shell("mkdir d && cd d && for i in $(seq 1 50); do mkdir s$i; done");
    CHECK_EQ(list("d", entries, 100, 100), 52);
    u64 n = gofer_super_ncalls(sb);
    for (int i = 1; i <= 50; i++) {
        char name[16];
        snprintf(name, sizeof(name), "d/s%d", i);
        CHECK_EQ(vfix_stat(name, 0, &st), 0);
    }
    CHECK_TRIPS(gofer_super_ncalls(sb), n);
    /* A tree walk costs at most one round trip a directory. */
    for (int i = 1; i <= 50; i++) {
        char name[16];
        snprintf(name, sizeof(name), "d/s%d", i);
        CHECK_EQ(list(name, entries, 100, 100), 2);
    }
    CHECK(gofer_super_ncalls(sb) <= n + 50);
    stop();
}

/* Walks a tree as find(1) does; the number of names seen. */
static int walk_tree(const char *name)
{
    struct vfix_entry *own = calloc(64, sizeof(*own));
    int n = list(name, own, 64, 64), sum = n;
    for (int i = 0; i < n; i++) {
        char sub[600];
        if (own[i].type != LX_DT_DIR || own[i].name[0] == '.')
            continue;
        snprintf(sub, sizeof(sub), "%s/%.200s", name, own[i].name);
        sum += walk_tree(sub);
    }
    free(own);
    return sum;
}

TEST(tree_walks_are_foreseen)
{
    start(0, 0);
    shell("for a in 1 2 3 4 5 6 7; do for b in 1 2 3 4 5 6 7; do mkdir -p t/$a/$b/x; "
          "touch t/$a/$b/f; done; done");
    u64 n = gofer_super_ncalls(sb);
    CHECK_EQ(walk_tree("t"), 1 * 9 + 7 * 9 + 49 * 4 + 49 * 2);
    CHECK(gofer_super_ncalls(sb) - n < 40); /* of 106 directories */
    n = gofer_super_ncalls(sb);
    CHECK_EQ(walk_tree("t"), 1 * 9 + 7 * 9 + 49 * 4 + 49 * 2);
    CHECK(gofer_super_ncalls(sb) - n < 5);
    /* What came ahead and is no longer so is not believed. */
    CHECK_EQ(vfs_mkdir(LX_AT_FDCWD, "t/3/3/new", 0755), 0);
    CHECK_EQ(vfs_rmdir(LX_AT_FDCWD, "t/5/5/x"), 0);
    CHECK_EQ(vfs_unlink(LX_AT_FDCWD, "t/6/6/f"), 0);
    CHECK_EQ(walk_tree("t"), 1 * 9 + 7 * 9 + 49 * 4 + 49 * 2 + (1 + 2) - (1 + 2) - 1);
    stop();
}

TEST(attributes_along_a_listing_are_foreseen)
{
    static const char *const dirs[] = {"a", "b", "c", "d", "e"};
    struct kstat st;
    start(GOFER_RDONLY, 0);
    shell("for d in a b c d e; do mkdir $d; for i in $(seq 1 200); do echo $i >$d/f$i; done; done");
    for (size_t k = 0; k < ARRAY_SIZE(dirs); k++) {
        CHECK_EQ(list(dirs[k], entries, 300, 300), 202);
        u64 n = gofer_super_ncalls(sb);
        for (int i = 0; i < 202; i++) {
            char name[300];
            snprintf(name, sizeof(name), "%s/%.200s", dirs[k], entries[i].name);
            CHECK_EQ(vfix_stat(name, 0, &st), 0);
            if (entries[i].type == LX_DT_REG)
                CHECK_EQ(st.size, atoi(entries[i].name + 1) >= 100  ? 4
                                  : atoi(entries[i].name + 1) >= 10 ? 3
                                                                    : 2);
        }
        CHECK(gofer_super_ncalls(sb) - n <= (k < 3 ? 12 : 0));
        CHECK_EQ(vfix_stat("a/none", 0, &st), -LX_ENOENT);
    }
    check_same("c/f100");
    stop();
}

TEST(reading_needs_one_round_trip)
{
    struct file *f, *g;
    char buf[100];
    start(GOFER_RDONLY, 0);
    shell("echo hello >f");
    CHECK_EQ(vfix_open("f", LX_O_RDONLY, 0, &f), 0);
    u64 n = gofer_super_ncalls(sb);
    CHECK_EQ(file_pread(f, buf, sizeof(buf), 0), 6);
    CHECK_EQ(file_pread(f, buf, sizeof(buf), 2), 4);
    CHECK_EQ(file_pread(f, buf, sizeof(buf), 6), 0);
    CHECK_EQ(vfix_open("f", LX_O_RDONLY, 0, &g), 0);
    int fd;
    u64 off;
    CHECK_EQ(f->ops->host_fd(f, 4096, 4096, false, &fd, &off), 0);
    CHECK_EQ(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
    CHECK_EQ(off, 4096);
    CHECK_EQ(f->ops->host_fd(f, 0, 4096, true, &fd, &off), -LX_EACCES);
    CHECK_EQ(vfs_seek(f, -1, LX_SEEK_END), 5);
    CHECK_EQ(vfs_seek(f, 2, LX_SEEK_DATA), 2);
    CHECK_EQ(vfs_seek(f, 2, LX_SEEK_HOLE), 6);
    file_put(f);
    file_put(g);
    CHECK_EQ(vfix_open("f", LX_O_RDONLY, 0, &f), 0);
    file_put(f);
    CHECK_TRIPS(gofer_super_ncalls(sb), n);
    CHECK_EQ(vfix_open("f", LX_O_RDWR, 0, &f), -LX_EROFS);
    CHECK_EQ(vfix_open("new", LX_O_RDWR | LX_O_CREAT, 0644, &f), -LX_EROFS);
    CHECK_EQ(vfs_mkdir(LX_AT_FDCWD, "new", 0755), -LX_EROFS);
    stop();
}

TEST(writing)
{
    struct file *f, *g;
    char buf[100];
    start(0, 0);
    CHECK_EQ(vfix_open("f", LX_O_RDWR | LX_O_CREAT | LX_O_EXCL, 0666, &f), 0);
    u64 n = gofer_super_ncalls(sb);
    CHECK_EQ(file_pwrite(f, "hello", 5, 0), 5);
    CHECK_EQ(file_pwrite(f, "world", 5, 5), 5);
    CHECK_EQ(file_pread(f, buf, sizeof(buf), 0), 10);
    CHECK(!memcmp(buf, "helloworld", 10));
    check_same("f");
    CHECK_TRIPS(gofer_super_ncalls(sb), n);
    shell("test \"$(cat f)\" = helloworld && test $(stat -c %a f) = 644");
    CHECK_EQ(vfix_open("f", LX_O_WRONLY | LX_O_APPEND, 0, &g), 0);
    struct uio u;
    s64 off = 0;
    uio_init_kernel(&u, (char[]){"++"}, 2);
    CHECK_EQ(g->ops->write(g, &u, &off), 2);
    CHECK_EQ(off, 12);
    CHECK_EQ(vfs_seek(f, 0, LX_SEEK_END), 12);
    int fd, fd2;
    u64 o;
    CHECK_EQ(f->ops->host_fd(f, 0, 4096, true, &fd, &o), 0);
    CHECK_EQ(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDWR);
    CHECK_EQ(f->ops->host_fd(f, 0, 4096, false, &fd2, &o), 0);
    CHECK_EQ(fcntl(fd2, F_GETFL) & O_ACCMODE, O_RDONLY);
    CHECK_EQ(f->ops->fallocate(f, 0, 0, 8192), 0);
    CHECK_EQ(f->ops->fsync(f, false), 0);
    check_same("f");
    file_put(g);
    CHECK_EQ(vfix_open("f", LX_O_RDONLY | LX_O_TRUNC, 0, &g), 0);
    check_same("f");
    file_put(g);
    file_put(f);
    CHECK_EQ(vfix_open("f", LX_O_WRONLY | LX_O_TRUNC, 0, &g), 0);
    check_same("f");
    file_put(g);
    struct path p;
    CHECK_EQ(vfs_walk(LX_AT_FDCWD, "f", 0, &p), 0);
    CHECK_EQ(vfs_truncate(&p, 777), 0);
    path_put(&p);
    check_same("f");
    stop();
}

TEST(names_come_and_go)
{
    struct kstat st;
    start(0, 0);
    CHECK_EQ(vfs_mkdir(LX_AT_FDCWD, "d", 0755), 0);
    CHECK_EQ(vfs_mkdir(LX_AT_FDCWD, "d", 0755), -LX_EEXIST);
    CHECK_EQ(vfs_mkdir(LX_AT_FDCWD, "d/e", 0755), 0);
    check_same("d");
    CHECK_EQ(vfs_symlink("target", LX_AT_FDCWD, "d/l"), 0);
    CHECK_EQ(vfs_mknod(LX_AT_FDCWD, "d/p", LX_S_IFIFO | 0640, 0), 0);
    CHECK_EQ(vfs_mknod(LX_AT_FDCWD, "d/f", LX_S_IFREG | 0640, 0), 0);
    CHECK_EQ(vfs_link(LX_AT_FDCWD, "d/f", LX_AT_FDCWD, "d/g", 0), 0);
    check_same("d/l");
    check_same("d/p");
    check_same("d/f");
    check_same("d/g");
    check_same("d");
    CHECK_EQ(vfs_rename(LX_AT_FDCWD, "d/e", LX_AT_FDCWD, "moved", 0), 0);
    check_same("moved");
    check_same("d");
    CHECK_EQ(vfix_stat("d/e", 0, &st), -LX_ENOENT);
    CHECK_EQ(vfs_mkdir(LX_AT_FDCWD, "moved/x", 0700), 0);
    check_same("moved/x");
    CHECK_EQ(vfs_rename(LX_AT_FDCWD, "moved", LX_AT_FDCWD, "d", LX_RENAME_NOREPLACE), -LX_EEXIST);
    CHECK_EQ(vfs_rename(LX_AT_FDCWD, "moved", LX_AT_FDCWD, "d/f", LX_RENAME_EXCHANGE), 0);
    shell("test -d d/f/x && test -f moved");
    check_same("d/f/x");
    check_same("moved");
    CHECK_EQ(vfs_mkdir(LX_AT_FDCWD, "d/f/y", 0700), 0);
    CHECK_EQ(vfs_unlink(LX_AT_FDCWD, "d/g"), 0);
    check_same("moved");
    CHECK_EQ(vfs_rmdir(LX_AT_FDCWD, "d/f"), -LX_ENOTEMPTY);
    CHECK_EQ(vfs_rmdir(LX_AT_FDCWD, "d/f/x"), 0);
    CHECK_EQ(vfs_rmdir(LX_AT_FDCWD, "d/f/y"), 0);
    CHECK_EQ(vfs_rmdir(LX_AT_FDCWD, "d/f"), 0);
    check_same("d");
    CHECK_EQ(vfs_unlink(LX_AT_FDCWD, "d/none"), -LX_ENOENT);
    shell("test \"$(ls d)\" = \"$(printf 'l\\np')\"");
    stop();
}

TEST(an_open_file_outlives_its_names)
{
    struct file *f;
    struct path p;
    char buf[10];
    start(0, 0);
    CHECK_EQ(vfix_open("f", LX_O_RDWR | LX_O_CREAT, 0644, &f), 0);
    CHECK_EQ(vfs_unlink(LX_AT_FDCWD, "f"), 0);
    CHECK_EQ(file_pwrite(f, "abc", 3, 0), 3);
    struct kstat st;
    CHECK_EQ(vfs_stat(&f->path, &st), 0);
    CHECK_EQ(st.nlink, 0);
    CHECK_EQ(st.size, 3);
    struct iattr a = {.valid = ATTR_MODE, .mode = 0400};
    CHECK_EQ(vfs_setattr(&f->path, &a), 0);
    CHECK_EQ(vfs_stat(&f->path, &st), 0);
    CHECK_EQ(st.mode, LX_S_IFREG | 0400);
    file_put(f);
    /* By an O_PATH-like hold only, opened again after the unlink. */
    shell("echo hello >g && mkdir d");
    CHECK_EQ(vfs_walk(LX_AT_FDCWD, "g", 0, &p), 0);
    CHECK_EQ(vfs_unlink(LX_AT_FDCWD, "g"), 0);
    CHECK_EQ(file_open_path(&p, LX_O_RDONLY, &f), 0);
    CHECK_EQ(file_pread(f, buf, 10, 0), 6);
    file_put(f);
    path_put(&p);
    /* The same name again is another file. */
    CHECK_EQ(vfix_open("g", LX_O_RDWR | LX_O_CREAT | LX_O_EXCL, 0644, &f), 0);
    CHECK_EQ(file_pread(f, buf, 10, 0), 0);
    /* Replaced by rename while open. */
    shell("echo other >h");
    CHECK_EQ(vfs_rename(LX_AT_FDCWD, "h", LX_AT_FDCWD, "g", 0), 0);
    CHECK_EQ(vfs_stat(&f->path, &st), 0);
    CHECK_EQ(st.nlink, 0);
    CHECK_EQ(file_pwrite(f, "xyz", 3, 0), 3);
    shell("test \"$(cat g)\" = other");
    file_put(f);
    /* A directory that is somebody's place and goes. */
    CHECK_EQ(vfs_walk(LX_AT_FDCWD, "d", 0, &p), 0);
    CHECK_EQ(vfs_rmdir(LX_AT_FDCWD, "d"), 0);
    CHECK_EQ(vfs_stat(&p, &st), 0);
    CHECK_EQ(st.nlink, 0);
    path_put(&p);
    stop();
}

TEST(unnamed_files_can_be_named)
{
    struct file *f;
    start(0, 0);
    CHECK_EQ(vfix_open("/", LX_O_TMPFILE | LX_O_RDWR, 0640, &f), 0);
    CHECK_EQ(file_pwrite(f, "tmp", 3, 0), 3);
    int fd = fd_install(f, 0, 0);
    CHECK(fd >= 0);
    CHECK_EQ(vfs_link(fd, "", LX_AT_FDCWD, "named", LX_AT_EMPTY_PATH), 0);
    shell("test \"$(cat named)\" = tmp");
    check_same("named");
    CHECK_EQ(fd_close(fd), 0);
    stop();
}

TEST(attributes_are_changed_on_the_host)
{
    struct path p;
    start(0, 0);
    shell("touch f && mkdir d && ln -s x l");
    CHECK_EQ(vfs_walk(LX_AT_FDCWD, "f", 0, &p), 0);
    struct iattr a = {.valid = ATTR_MODE, .mode = 04755};
    CHECK_EQ(vfs_setattr(&p, &a), 0);
    check_same("f");
    a = (struct iattr){.valid = ATTR_UID | ATTR_GID | ATTR_KILL_PRIV, .uid = 10, .gid = 20};
    CHECK_EQ(vfs_setattr(&p, &a), 0);
    check_same("f");
    a = (struct iattr){.valid = ATTR_ATIME | ATTR_MTIME | ATTR_MTIME_NOW, .atime = {1000, 5}};
    CHECK_EQ(vfs_setattr(&p, &a), 0);
    check_same("f");
    struct kstat st;
    CHECK_EQ(vfs_stat(&p, &st), 0);
    CHECK_EQ(st.atime.sec, 1000);
    CHECK_EQ(st.atime.nsec, 5);
    CHECK_EQ(st.mode, LX_S_IFREG | 0755);
    CHECK_EQ(vfs_setxattr(&p, "user.k", "v", 1, 0), 0);
    char buf[100];
    CHECK_EQ(vfs_getxattr(&p, "user.k", buf, sizeof(buf)), 1);
    CHECK_EQ(vfs_getxattr(&p, "user.k", NULL, 0), 1);
    CHECK_EQ(vfs_getxattr(&p, "user.none", buf, sizeof(buf)), -LX_ENODATA);
    CHECK_EQ(vfs_listxattr(&p, buf, sizeof(buf)), 7);
    CHECK_STR(buf, "user.k");
    CHECK_EQ(vfs_removexattr(&p, "user.k"), 0);
    CHECK_EQ(vfs_listxattr(&p, NULL, 0), 0);
    path_put(&p);
    struct kstatfs sf;
    CHECK_EQ(vfs_walk(LX_AT_FDCWD, "/", 0, &p), 0);
    CHECK_EQ(vfs_statfs(&p, &sf), 0);
    struct statfs h;
    CHECK_EQ(statfs(fx.dir, &h), 0);
    CHECK_EQ(sf.type, h.f_type);
    CHECK_EQ(sf.blocks, h.f_blocks);
    path_put(&p);
    stop();
}

TEST(fds_are_bounded)
{
    enum { N = 3000 };
    struct file *f;
    start(0, 0);
    shell("mkdir d && cd d && seq 1 3000 | xargs touch");
    for (int i = 1; i <= N; i++) {
        char name[16];
        snprintf(name, sizeof(name), "d/%d", i);
        CHECK_EQ(vfix_open(name, LX_O_RDONLY, 0, &f), 0);
        file_put(f);
        snprintf(name, sizeof(name), "d/new%d", i);
        CHECK_EQ(vfix_open(name, LX_O_RDONLY | LX_O_CREAT, 0600, &f), 0);
        file_put(f);
    }
    int nopen = 0;
    for (int fd = 0; fd < 20000; fd++)
        nopen += fcntl(fd, F_GETFD) >= 0;
    CHECK(nopen < 2200);
    stop();
}

/* Lists dir and opens its regular files in that order, or sorted; the round trips that took. */
static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct vfix_entry *)a)->name, ((const struct vfix_entry *)b)->name);
}

static u64 open_all(const char *dir, int n, bool is_sorted)
{
    u64 before = gofer_super_ncalls(sb);
    int nentries = list(dir, entries, 300, 300), nopened = 0;
    if (is_sorted)
        qsort(entries, (size_t)nentries, sizeof(entries[0]), by_name);
    for (int i = 0; i < nentries; i++) {
        char name[300], buf[32];
        struct file *f;
        if (entries[i].type != LX_DT_REG)
            continue;
        snprintf(name, sizeof(name), "%s/%.200s", dir, entries[i].name);
        CHECK_EQ(vfix_open(name, LX_O_RDONLY, 0, &f), 0);
        s64 size = file_pread(f, buf, sizeof(buf) - 1, 0);
        CHECK(size > 0);
        buf[size] = 0;
        CHECK(!strcmp(buf, entries[i].name)); /* each has its name in it */
        file_put(f);
        nopened++;
    }
    CHECK_EQ(nopened, n);
    return gofer_super_ncalls(sb) - before;
}

/* Fds of this process of files that have no name any more. */
static int count_nameless(void)
{
    int n = 0;
    for (int fd = 0; fd < 20000; fd++) {
        struct stat st;
        n += fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink == 0;
    }
    return n;
}

#define MAKE_FILES                                                                                 \
    "for i in $(seq 100 199); do printf f$i >%s/f$i; done; mkfifo %s/p; ln -s f100 %s/l"

static void make_files(const char *dir)
{
    char cmd[300];
    snprintf(cmd, sizeof(cmd), "mkdir %s; " MAKE_FILES, dir, dir, dir, dir);
    shell(cmd);
}

TEST(files_opened_in_a_row_come_ahead)
{
    start(GOFER_RDONLY, 0);
    make_files("a");
    make_files("b");
    make_files("c");
    CHECK(open_all("a", 100, false) < 35); /* of which 20 or so are for attributes */
    CHECK(open_all("b", 100, true) < 35);
    CHECK(open_all("c", 100, false) < 25);
    stop();
}

TEST(shared_mode_opens_nothing_ahead)
{
    start(0, GOFER_SHARED);
    make_files("a");
    u64 n = open_all("a", 100, false);
    if (!is_direct())
        CHECK(n >= 100);
    stop();
}

/* What the guest itself does to files whose fds are here already. */
TEST(what_came_ahead_follows_changes)
{
    struct file *f;
    struct path p;
    char buf[16] = "", name[300];
    start(0, 0);
    make_files("a");
    int n = list("a", entries, 300, 300), nopened = 0, first = n;
    for (int i = 0; i < n && nopened < 4; i++) {
        if (entries[i].type != LX_DT_REG)
            continue;
        snprintf(name, sizeof(name), "a/%.200s", entries[i].name);
        CHECK_EQ(vfix_open(name, LX_O_RDONLY, 0, &f), 0);
        file_put(f);
        nopened++;
        first = i + 1;
    }
    char next[5][300];
    int k = 0;
    for (int i = first; i < n && k < 5; i++) {
        if (entries[i].type == LX_DT_REG)
            snprintf(next[k++], sizeof(next[0]), "a/%.200s", entries[i].name);
    }
    CHECK_EQ(k, 5);
    /* Gone at once on the host, by removal and by replacement. */
    CHECK_EQ(vfs_unlink(LX_AT_FDCWD, next[0]), 0);
    CHECK_EQ(vfix_open(next[0], LX_O_RDONLY, 0, &f), -LX_ENOENT);
    CHECK_EQ(vfs_rename(LX_AT_FDCWD, next[1], LX_AT_FDCWD, next[2], 0), 0);
    CHECK_EQ(count_nameless(), 0);
    CHECK_EQ(vfix_open(next[2], LX_O_RDONLY, 0, &f), 0);
    CHECK_EQ(file_pread(f, buf, 15, 0), 4);
    CHECK(!strcmp(buf, next[1] + 2));
    file_put(f);
    CHECK_EQ(vfix_open(next[1], LX_O_RDONLY, 0, &f), -LX_ENOENT);
    /* A new file of an old name is another one. */
    CHECK_EQ(vfix_open(next[0], LX_O_WRONLY | LX_O_CREAT | LX_O_EXCL, 0644, &f), 0);
    CHECK_EQ(file_pwrite(f, "new", 3, 0), 3);
    file_put(f);
    CHECK_EQ(vfix_open(next[0], LX_O_RDONLY, 0, &f), 0);
    CHECK_EQ(file_pread(f, buf, 15, 0), 3);
    CHECK(!memcmp(buf, "new", 3));
    file_put(f);
    /* Writes and truncation. */
    CHECK_EQ(vfix_open(next[3], LX_O_WRONLY, 0, &f), 0);
    CHECK_EQ(file_pwrite(f, "0123456789", 10, 0), 10);
    file_put(f);
    CHECK_EQ(vfix_open(next[3], LX_O_RDONLY, 0, &f), 0);
    CHECK_EQ(file_pread(f, buf, 15, 0), 10);
    file_put(f);
    CHECK_EQ(vfs_walk(LX_AT_FDCWD, next[4], 0, &p), 0);
    CHECK_EQ(vfs_truncate(&p, 1), 0);
    path_put(&p);
    CHECK_EQ(vfix_open(next[4], LX_O_RDONLY, 0, &f), 0);
    CHECK_EQ(file_pread(f, buf, 15, 0), 1);
    file_put(f);
    gofer_super_renew(sb);
    check_same(next[3] + 0);
    stop();
}

TEST(deep_trees)
{
    enum { DEPTH = 3000 };
    start(0, 0);
    struct path at;
    CHECK_EQ(vfs_walk(LX_AT_FDCWD, "/", 0, &at), 0);
    for (int i = 0; i < DEPTH; i++) {
        struct dentry *d;
        struct inode *dir = at.dentry->inode;
        CHECK_EQ(dentry_lookup(at.dentry, "d", 1, &d), 0);
        mutex_lock(&dir->lock);
        CHECK_EQ(dir->ops->mkdir(dir, d, LX_S_IFDIR | 0755), 0);
        mutex_unlock(&dir->lock);
        dentry_put(at.dentry);
        at.dentry = d;
    }
    struct file *f;
    struct open_how how = {.flags = LX_O_RDWR | LX_O_CREAT, .mode = 0600};
    CHECK_EQ(vfs_open_at(&at, "f", &how, &f), 0);
    file_put(f);
    path_put(&at);
    stop();
}

TEST(what_the_sentry_may_not_see_itself_goes_through_the_gofer)
{
    struct kstat st;
    struct file *f;
    char buf[8];
    start(GOFER_RDONLY, 0);
    shell(
        "mkdir -m 755 pub && echo secret >pub/f && chmod 600 pub/f && mkdir -m 700 priv priv/d && "
        "echo hello >priv/d/g");
    CHECK_EQ(syscall(SYS_setresuid, -1, 65534, -1), 0); /* this thread alone */
    int r1 = vfix_stat("priv/d/g", 0, &st);
    int r2 = vfix_open("priv/d/g", LX_O_RDONLY, 0, &f);
    int n2 = r2 == 0 ? (int)file_pread(f, buf, 8, 0) : -1;
    if (r2 == 0)
        file_put(f);
    int r3 = vfix_open("pub/f", LX_O_RDONLY, 0, &f);
    int n3 = r3 == 0 ? (int)file_pread(f, buf, 8, 0) : -1;
    if (r3 == 0)
        file_put(f);
    int n4 = list("priv/d", entries, 10, 10);
    CHECK_EQ(syscall(SYS_setresuid, -1, 0, -1), 0);
    CHECK_EQ(r1, 0);
    CHECK_EQ(r2, 0);
    CHECK_EQ(n2, 6);
    CHECK_EQ(r3, 0);
    CHECK_EQ(n3, 7);
    CHECK_EQ(n4, 3);
    stop();
}

TEST(the_gofer_dies)
{
    struct kstat st;
    struct file *f;
    char buf[8];
    start(0, 0);
    shell("mkdir d && echo hello >f && touch d/x");
    CHECK_EQ(vfix_open("f", LX_O_RDWR, 0, &f), 0);
    CHECK_EQ(kill(fx.pid, SIGKILL), 0);
    CHECK(WIFSIGNALED(fix_wait(&fx)));
    CHECK_EQ(vfix_stat("d", 0, &st), -LX_EIO);
    CHECK_EQ(vfs_mkdir(LX_AT_FDCWD, "e", 0755), -LX_EIO);
    CHECK_EQ(file_pread(f, buf, 8, 0), 6);
    CHECK_EQ(file_pwrite(f, "J", 1, 0), 1);
    CHECK_EQ(vfs_stat(&f->path, &st), 0);
    file_put(f);
    vfix_leave();
    fix_remove(&fx);
}

TEST(the_hosts_root)
{
    struct kstat st;
    struct stat h;
    start_at("/", GOFER_RDONLY | GOFER_CROSS_MOUNTS, 0);
    check_same("usr/bin/env");
    CHECK_EQ(vfix_stat("/bin/sh", WALK_FOLLOW, &st), 0);
    CHECK_EQ(stat("/bin/sh", &h), 0);
    CHECK_EQ(st.ino, h.st_ino);
    /* Other file systems below are other devices. */
    struct kstat shm;
    CHECK_EQ(vfix_stat("/", 0, &st), 0);
    CHECK_EQ(vfix_stat("/dev/shm", 0, &shm), 0);
    CHECK(st.dev != shm.dev);
    CHECK_EQ(list("/proc", entries, 100, 100), 2);
    stop();
}

/* ---- a gofer that lies --------------------------------------------------------------------- */

/* Between client and gofer: each answer goes through `lie` before it is passed on. */
struct proxy {
    int client, server;
    pthread_t thread;
};
static struct proxy proxies[FIX_LANES];
static struct gp_attr root_attr; /* of the export, from the answer to GP_ATTACH */
static enum { LIE_NOT, LIE_ALL_IS_ROOT, LIE_TYPES, LIE_BYTES } _Atomic lie_kind;

static size_t lie(u8 *buf, size_t size)
{
    static _Atomic unsigned seed = 12345;
    struct gp_resp r;
    if (lie_kind == LIE_BYTES) {
        unsigned v = seed = seed * 1103515245U + 12345U;
        if (size > 0 && (v >> 16) % 4 == 0)
            buf[(v >> 8) % size] ^= (u8)(1U << ((v >> 20) % 8));
        return size;
    }
    if (!gp_resp_decode(buf, size, &r))
        return size;
    if (r.op == GP_ATTACH && r.err == 0)
        root_attr = r.attr;
    if (lie_kind == LIE_NOT || r.err)
        return size;
    for (u32 i = 0; i <= r.nattrs; i++) {
        struct gp_attr *a = i < r.nattrs ? &r.found[i].attr : &r.attr;
        if (lie_kind == LIE_ALL_IS_ROOT && (a->mode & S_IFMT) == S_IFDIR) {
            a->dev = root_attr.dev;
            a->ino = root_attr.ino;
            a->mnt = root_attr.mnt;
            a->btime = root_attr.btime;
        } else if (lie_kind == LIE_TYPES && a->mode) {
            a->mode = (a->mode & 07777U) | ((a->mode & S_IFMT) == S_IFDIR ? S_IFREG : S_IFDIR);
        }
    }
    static __thread u8 out[GP_MAX_MSG];
    size_t n = gp_resp_encode(&r, out, sizeof(out));
    if (n > 0)
        memcpy(buf, out, n);
    return n > 0 ? n : size;
}

static bool pass(int from, int to, bool is_answer)
{
    static __thread u8 buf[GP_MAX_MSG];
    char ctl[CMSG_SPACE(8 * sizeof(int))];
    struct iovec iov = {buf, sizeof(buf)};
    struct msghdr m = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = ctl, .msg_controllen = sizeof(ctl)};
    ssize_t n = recvmsg(from, &m, MSG_CMSG_CLOEXEC);
    if (n <= 0)
        return false;
    iov.iov_len = is_answer ? lie(buf, (size_t)n) : (size_t)n;
    if (m.msg_controllen == 0)
        m.msg_control = NULL;
    bool is_sent = sendmsg(to, &m, MSG_NOSIGNAL) >= 0;
    for (struct cmsghdr *c = m.msg_controllen ? CMSG_FIRSTHDR(&m) : NULL; c;
         c = CMSG_NXTHDR(&m, c)) {
        for (size_t k = 0; k < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); k++)
            close(((int *)(void *)CMSG_DATA(c))[k]);
    }
    return is_sent;
}

static void *proxy_run(void *arg)
{
    struct proxy *p = arg;
    struct pollfd fds[2] = {{p->client, POLLIN, 0}, {p->server, POLLIN, 0}};
    while (poll(fds, 2, -1) > 0) {
        if (fds[0].revents && !pass(p->client, p->server, false))
            break;
        if (fds[1].revents && !pass(p->server, p->client, true))
            break;
    }
    close(p->client);
    close(p->server);
    return NULL;
}

static void start_behind_proxy(void)
{
    lie_kind = LIE_NOT;
    fix_start(&fx, "", 0, NULL);
    for (int i = 0; i < FIX_LANES; i++) {
        int sv[2];
        CHECK_EQ(host_seqpacket_pair(sv), 0);
        proxies[i] = (struct proxy){.client = sv[1], .server = fx.lanes[i]};
        fx.lanes[i] = sv[0];
        CHECK_EQ(pthread_create(&proxies[i].thread, NULL, proxy_run, &proxies[i]), 0);
    }
    shell("mkdir -p a/b/c d && echo x > a/f && echo y > d/g");
    CHECK_EQ(gofer_super_new(fx.lanes, FIX_LANES, 0, 0, &sb), 0);
    vfix_enter(sb, 0);
}

static void stop_behind_proxy(void)
{
    vfix_leave();
    for (int i = 0; i < FIX_LANES; i++)
        pthread_join(proxies[i].thread, NULL);
    (void)fix_wait(&fx);
    fix_remove(&fx);
}

/* Whatever comes of it, it comes. */
static void do_everything(void)
{
    struct kstat st;
    struct file *f;
    char buf[64];
    static const char *const names[] = {"a", "a/b", "a/b/c", "a/f", "d", "d/g", "new", "a/new"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        (void)!vfix_stat(names[i], 0, &st);
        (void)!list(names[i], entries, 100, 100);
        if (vfix_open(names[i], LX_O_RDWR | LX_O_CREAT, 0644, &f) == 0) {
            (void)!file_pwrite(f, "z", 1, 0);
            (void)!file_pread(f, buf, sizeof(buf), 0);
            file_put(f);
        }
        (void)!vfs_rename(LX_AT_FDCWD, names[i], LX_AT_FDCWD, names[(i * 3 + 1) % 8], 0);
        (void)!vfs_rename(LX_AT_FDCWD, names[i], LX_AT_FDCWD, names[(i * 5 + 2) % 8],
                          LX_RENAME_EXCHANGE);
        (void)!vfs_link(LX_AT_FDCWD, names[i], LX_AT_FDCWD, "a/link", 0);
        (void)!vfs_unlink(LX_AT_FDCWD, names[(i + 3) % 8]);
        (void)!vfs_rmdir(LX_AT_FDCWD, names[(i + 5) % 8]);
        (void)!vfs_mkdir(LX_AT_FDCWD, names[i], 0755);
    }
}

TEST(a_tree_that_contains_itself)
{
    struct kstat st;
    start_behind_proxy();
    lie_kind = LIE_ALL_IS_ROOT;
    CHECK_EQ(vfix_stat("a", 0, &st), -LX_EIO);
    CHECK(vfix_stat("a/f", 0, &st) < 0);
    do_everything();
    stop_behind_proxy();
}

TEST(types_that_are_others)
{
    start_behind_proxy();
    do_everything();
    lie_kind = LIE_TYPES;
    do_everything();
    lie_kind = LIE_NOT;
    do_everything();
    stop_behind_proxy();
}

TEST(answers_with_wrong_bits)
{
    for (int round = 0; round < 20; round++) {
        start_behind_proxy();
        lie_kind = LIE_BYTES;
        do_everything();
        stop_behind_proxy();
    }
}
