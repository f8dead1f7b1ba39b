/* Mounts by file descriptor: fsopen, fsconfig, fsmount, fspick, open_tree, move_mount,
 * mount_setattr. */
#include <linux/mount.h>
#include <sched.h>

#include "fs_common.h"

static int sys_fsopen(const char *t, unsigned f)
{
    return (int)syscall(SYS_fsopen, t, f);
}
static int sys_fsconfig(int fd, unsigned cmd, const char *k, const void *v, int aux)
{
    return (int)syscall(SYS_fsconfig, fd, cmd, k, v, aux);
}
static int sys_fsmount(int fd, unsigned f, unsigned a)
{
    return (int)syscall(SYS_fsmount, fd, f, a);
}
static int sys_open_tree(int d, const char *p, unsigned f)
{
    return (int)syscall(SYS_open_tree, d, p, f);
}
static int sys_move_mount(int fd, const char *f, int td, const char *t, unsigned fl)
{
    return (int)syscall(SYS_move_mount, fd, f, td, t, fl);
}
static int sys_mount_setattr(int d, const char *p, unsigned f, void *a, size_t n)
{
    return (int)syscall(SYS_mount_setattr, d, p, f, a, n);
}

static void enter(void)
{
    if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0)
        SKIP("needs a mount namespace");
    CHECK_EQ(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
}

static int make_tmpfs(const char *size, unsigned attr)
{
    int fs = sys_fsopen("tmpfs", FSOPEN_CLOEXEC);
    CHECK(fs >= 0);
    CHECK_EQ(sys_fsconfig(fs, FSCONFIG_SET_STRING, "source", "mine", 0), 0);
    if (size)
        CHECK_EQ(sys_fsconfig(fs, FSCONFIG_SET_STRING, "size", size, 0), 0);
    CHECK_EQ(sys_fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0), 0);
    int m = sys_fsmount(fs, FSMOUNT_CLOEXEC, attr);
    CHECK(m >= 0);
    close(fs);
    return m;
}

TEST(new_mount)
{
    struct statfs sf;
    struct statvfs sv;
    enter();
    CHECK_EQ(mkdir("a", 0755), 0);
    int m = make_tmpfs("1m", MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
    CHECK_EQ(fstatfs(m, &sf), 0);
    CHECK_EQ(sf.f_type, 0x01021994);
    CHECK_EQ(sf.f_blocks * (unsigned long)sf.f_bsize, 1 << 20);
    int f = openat(m, "before", O_CREAT | O_RDWR, 0644);
    CHECK(f >= 0);
    close(f);
    CHECK_EQ(sys_move_mount(m, "", AT_FDCWD, "a", MOVE_MOUNT_F_EMPTY_PATH), 0);
    CHECK_EQ(access("a/before", F_OK), 0);
    CHECK_EQ(statvfs("a", &sv), 0);
    CHECK_EQ(sv.f_flag & (ST_NODEV | ST_NOEXEC | ST_NOSUID | ST_RDONLY), ST_NODEV | ST_NOEXEC);
    close(m);
    CHECK_EQ(access("a/before", F_OK), 0);
    CHECK_EQ(umount("a"), 0);
    CHECK_EQ(rmdir("a"), 0);
}

TEST(context_errors)
{
    enter();
    CHECK_ERR(sys_fsopen("nosuchfs", 0), ENODEV);
    CHECK_ERR(sys_fsopen("tmpfs", 2), EINVAL);
    CHECK_ERR(sys_fsopen(NULL, 0), EFAULT);
    int fs = sys_fsopen("tmpfs", 0);
    CHECK(fs >= 0);
    char buf[64];
    CHECK_ERR(read(fs, buf, sizeof(buf)), ENODATA);
    CHECK_ERR(sys_fsconfig(fs, FSCONFIG_SET_FLAG, NULL, NULL, 0), EINVAL);
    CHECK_ERR(sys_fsconfig(fs, FSCONFIG_SET_FLAG, "ro", "x", 0), EINVAL);
    CHECK_ERR(sys_fsconfig(fs, FSCONFIG_SET_STRING, "size", NULL, 0), EINVAL);
    CHECK_ERR(sys_fsconfig(fs, FSCONFIG_CMD_CREATE, "x", NULL, 0), EINVAL);
    CHECK_ERR(sys_fsconfig(fs, 99, NULL, NULL, 0), EOPNOTSUPP);
    CHECK_ERR(sys_fsconfig(-1, FSCONFIG_SET_FLAG, "ro", NULL, 0), EINVAL);
    CHECK_ERR(sys_fsconfig(999, FSCONFIG_SET_FLAG, "ro", NULL, 0), EBADF);
    CHECK_ERR(sys_fsconfig(fs, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0), EBUSY);
    CHECK_ERR(sys_fsconfig(fs, FSCONFIG_SET_STRING, "nosuchoption", "1", 0), EINVAL);
    CHECK_ERR(sys_fsmount(fs, 0, 0x40000000), EINVAL);
    CHECK_ERR(sys_fsmount(fs, 2, 0), EINVAL);
    CHECK_EQ(sys_fsconfig(fs, FSCONFIG_SET_STRING, "source", "one", 0), 0);
    CHECK_ERR(sys_fsconfig(fs, FSCONFIG_SET_STRING, "source", "two", 0), EINVAL);
    CHECK_EQ(sys_fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0), 0);
    CHECK_ERR(sys_fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0), EBUSY);
    CHECK_ERR(sys_fsconfig(fs, FSCONFIG_SET_FLAG, "ro", NULL, 0), EBUSY);
    int m = sys_fsmount(fs, 0, 0);
    CHECK(m >= 0);
    CHECK_ERR(sys_fsmount(fs, 0, 0), EBUSY);
    close(m);
    close(fs);
    int fd = open("/", O_RDONLY);
    CHECK_ERR(sys_fsconfig(fd, FSCONFIG_SET_FLAG, "ro", NULL, 0), EINVAL);
    CHECK_ERR(sys_fsmount(fd, 0, 0), EINVAL);
    close(fd);
}

TEST(pick)
{
    struct statvfs sv;
    enter();
    CHECK_EQ(mkdir("p", 0755), 0);
    int m = make_tmpfs(NULL, 0);
    CHECK_EQ(sys_move_mount(m, "", AT_FDCWD, "p", MOVE_MOUNT_F_EMPTY_PATH), 0);
    close(m);
    write_file("p/f", "x");
    CHECK_EQ(mkdir("p/d", 0755), 0);
    CHECK_ERR(syscall(SYS_fspick, AT_FDCWD, "p/d", 0), EINVAL);
    CHECK_ERR(syscall(SYS_fspick, AT_FDCWD, "p", 0x100), EINVAL);
    int fs = (int)syscall(SYS_fspick, AT_FDCWD, "p", FSPICK_CLOEXEC);
    CHECK(fs >= 0);
    CHECK_ERR(sys_fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0), EBUSY);
    CHECK_EQ(sys_fsconfig(fs, FSCONFIG_SET_FLAG, "ro", NULL, 0), 0);
    CHECK_EQ(sys_fsconfig(fs, FSCONFIG_SET_STRING, "size", "2m", 0), 0);
    CHECK_EQ(sys_fsconfig(fs, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0), 0);
    CHECK_ERR(open("p/g", O_CREAT | O_RDWR, 0644), EROFS);
    CHECK_EQ(statvfs("p", &sv), 0);
    CHECK_EQ(sv.f_blocks * sv.f_frsize, 2 << 20);
    CHECK_EQ(sys_fsconfig(fs, FSCONFIG_SET_FLAG, "rw", NULL, 0), 0);
    CHECK_EQ(sys_fsconfig(fs, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0), 0);
    write_file("p/g", "y");
    close(fs);
    CHECK_EQ(umount("p"), 0);
    CHECK_EQ(rmdir("p"), 0);
}

TEST(clone_tree)
{
    enter();
    CHECK_EQ(mkdir("t", 0755), 0);
    CHECK_EQ(mkdir("u", 0755), 0);
    CHECK_EQ(mount("one", "t", "tmpfs", 0, NULL), 0);
    CHECK_EQ(mkdir("t/sub", 0755), 0);
    CHECK_EQ(mount("two", "t/sub", "tmpfs", 0, NULL), 0);
    write_file("t/sub/deep", "d");
    CHECK_ERR(sys_open_tree(AT_FDCWD, "t", AT_RECURSIVE), EINVAL);
    CHECK_ERR(sys_open_tree(AT_FDCWD, "t", 0x40000000), EINVAL);
    int top = sys_open_tree(AT_FDCWD, "t", OPEN_TREE_CLONE);
    int all = sys_open_tree(AT_FDCWD, "t", OPEN_TREE_CLONE | AT_RECURSIVE | OPEN_TREE_CLOEXEC);
    CHECK(top >= 0 && all >= 0);
    CHECK_ERR(faccessat(top, "sub/deep", F_OK, 0), ENOENT);
    CHECK_EQ(faccessat(all, "sub/deep", F_OK, 0), 0);
    CHECK_EQ(umount2("t", MNT_DETACH), 0);
    CHECK_EQ(faccessat(all, "sub/deep", F_OK, 0), 0);
    CHECK_ERR(sys_move_mount(all, "sub", AT_FDCWD, "u", 0), EINVAL);
    CHECK_EQ(sys_move_mount(all, "", AT_FDCWD, "u", MOVE_MOUNT_F_EMPTY_PATH), 0);
    CHECK_STR(read_file("u/sub/deep"), "d");
    CHECK_EQ(umount2("u", MNT_DETACH), 0);
    CHECK_ERR(sys_move_mount(all, "", AT_FDCWD, "u", MOVE_MOUNT_F_EMPTY_PATH), EINVAL);
    close(all);
    close(top);
    int plain = sys_open_tree(AT_FDCWD, "u", 0);
    CHECK(plain >= 0);
    CHECK_EQ(fcntl(plain, F_GETFL) & O_PATH, O_PATH);
    close(plain);
    CHECK_EQ(rmdir("t"), 0);
    CHECK_EQ(rmdir("u"), 0);
}

TEST(move_attached)
{
    enter();
    CHECK_EQ(mkdir("m", 0755), 0);
    CHECK_EQ(mkdir("n", 0755), 0);
    CHECK_EQ(mount("x", "m", "tmpfs", 0, NULL), 0);
    CHECK_EQ(mkdir("m/in", 0755), 0);
    CHECK_ERR(sys_move_mount(AT_FDCWD, "m", AT_FDCWD, "n", 0x80000000), EINVAL);
    CHECK_ERR(sys_move_mount(AT_FDCWD, "m", AT_FDCWD, "m/in", 0), ELOOP);
    CHECK_ERR(sys_move_mount(AT_FDCWD, "m/in", AT_FDCWD, "n", 0), EINVAL);
    CHECK_EQ(sys_move_mount(AT_FDCWD, "m", AT_FDCWD, "n", 0), 0);
    CHECK_EQ(access("n/in", F_OK), 0);
    CHECK_ERR(access("m/in", F_OK), ENOENT);
    CHECK_EQ(umount("n"), 0);
    CHECK_EQ(rmdir("m"), 0);
    CHECK_EQ(rmdir("n"), 0);
}

TEST(setattr)
{
    struct statvfs sv;
    struct mount_attr a = {.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID};
    enter();
    CHECK_EQ(mkdir("s", 0755), 0);
    CHECK_EQ(mount("x", "s", "tmpfs", MS_NODEV, NULL), 0);
    CHECK_EQ(mkdir("s/in", 0755), 0);
    CHECK_EQ(mount("y", "s/in", "tmpfs", 0, NULL), 0);
    CHECK_ERR(sys_mount_setattr(AT_FDCWD, "s", 0x40000000, &a, sizeof(a)), EINVAL);
    CHECK_ERR(sys_mount_setattr(AT_FDCWD, "s", 0, &a, 8), EINVAL);
    CHECK_ERR(sys_mount_setattr(AT_FDCWD, "s", 0, &a, 10000), E2BIG);
    CHECK_EQ(sys_mount_setattr(AT_FDCWD, "s", 0, &a, sizeof(a)), 0);
    CHECK_EQ(statvfs("s", &sv), 0);
    CHECK_EQ(sv.f_flag & (ST_NODEV | ST_NOSUID | ST_RDONLY), ST_NODEV | ST_NOSUID | ST_RDONLY);
    CHECK_EQ(statvfs("s/in", &sv), 0);
    CHECK_EQ(sv.f_flag & (ST_NOSUID | ST_RDONLY), 0);
    a = (struct mount_attr){.attr_clr = MOUNT_ATTR_RDONLY, .attr_set = MOUNT_ATTR_NOEXEC};
    CHECK_EQ(sys_mount_setattr(AT_FDCWD, "s", AT_RECURSIVE, &a, sizeof(a)), 0);
    CHECK_EQ(statvfs("s/in", &sv), 0);
    CHECK_EQ(sv.f_flag & (ST_NOEXEC | ST_RDONLY), ST_NOEXEC);
    CHECK_EQ(statvfs("s", &sv), 0);
    CHECK_EQ(sv.f_flag & (ST_NOEXEC | ST_RDONLY), ST_NOEXEC);
    a = (struct mount_attr){.attr_set = MOUNT_ATTR_NOATIME};
    CHECK_ERR(sys_mount_setattr(AT_FDCWD, "s", 0, &a, sizeof(a)), EINVAL);
    a.attr_clr = MOUNT_ATTR__ATIME;
    CHECK_EQ(sys_mount_setattr(AT_FDCWD, "s", 0, &a, sizeof(a)), 0);
    CHECK_EQ(statvfs("s", &sv), 0);
    CHECK_EQ(sv.f_flag & (ST_NOATIME | ST_RELATIME), ST_NOATIME);
    a = (struct mount_attr){.propagation = MS_SHARED};
    CHECK_EQ(sys_mount_setattr(AT_FDCWD, "s", 0, &a, sizeof(a)), 0);
    a = (struct mount_attr){.propagation = MS_SHARED | MS_SLAVE};
    CHECK_ERR(sys_mount_setattr(AT_FDCWD, "s", 0, &a, sizeof(a)), EINVAL);
    a = (struct mount_attr){.attr_set = 1ULL << 40};
    CHECK_ERR(sys_mount_setattr(AT_FDCWD, "s", 0, &a, sizeof(a)), EINVAL);
    /* A writer keeps a mount writable, and then nothing of a tree is changed. */
    int fd = open("s/in/w", O_CREAT | O_WRONLY, 0644);
    CHECK(fd >= 0);
    a = (struct mount_attr){.attr_set = MOUNT_ATTR_RDONLY};
    CHECK_ERR(sys_mount_setattr(AT_FDCWD, "s", AT_RECURSIVE, &a, sizeof(a)), EBUSY);
    CHECK_EQ(statvfs("s", &sv), 0);
    CHECK_EQ(sv.f_flag & ST_RDONLY, 0);
    close(fd);
    CHECK_EQ(umount2("s", MNT_DETACH), 0);
    CHECK_EQ(rmdir("s"), 0);
}

TEST(without_privilege)
{
    if (geteuid() != 0)
        SKIP("needs root");
    pid_t pid = fork();
    if (pid == 0) {
        struct mount_attr a = {.attr_set = MOUNT_ATTR_RDONLY};
        int ok = setresuid(1234, 1234, 1234) == 0;
        ok &= sys_fsopen("tmpfs", 0) == -1 && errno == EPERM;
        ok &= sys_open_tree(AT_FDCWD, "/", OPEN_TREE_CLONE) == -1 && errno == EPERM;
        ok &= sys_move_mount(AT_FDCWD, "/", AT_FDCWD, "/", 0) == -1 && errno == EPERM;
        ok &= sys_mount_setattr(AT_FDCWD, "/", 0, &a, sizeof(a)) == -1 && errno == EPERM;
        ok &= syscall(SYS_fspick, AT_FDCWD, "/", 0) == -1 && errno == EPERM;
        ok &= sys_open_tree(AT_FDCWD, "/", 0) >= 0;
        _exit(ok ? 0 : 1);
    }
    int st;
    CHECK_EQ(waitpid(pid, &st, 0), pid);
    CHECK_EQ(st, 0);
}

/* ---- by number: kernels since 6.8 ---------------------------------------------------------- */

struct id_req {
    uint32_t size, spare;
    uint64_t mnt_id, param;
};
struct stat_mount {
    uint32_t size, opts;
    uint64_t mask;
    uint32_t dev_major, dev_minor;
    uint64_t magic;
    uint32_t sb_flags, fs_type;
    uint64_t id, parent;
    uint32_t id_old, parent_old;
    uint64_t attr, propagation, peer_group, master, from;
    uint32_t root, point;
    uint64_t spare[50];
    char str[512];
};

TEST(by_number)
{
    struct stat_mount sm;
    struct statx x, y;
    uint64_t ids[16];
    enter();
    struct id_req q = {24, 0, UINT64_MAX, 0};
    if (syscall(458, &q, ids, 1, 0) < 0 && errno == ENOSYS)
        SKIP("no listmount");
    CHECK_EQ(mkdir("z", 0755), 0);
    CHECK_EQ(mount("num", "z", "tmpfs", MS_NOSUID, NULL), 0);
    CHECK_EQ(mkdir("z/q", 0755), 0);
    CHECK_EQ(mount("z/q", "z/q", NULL, MS_BIND, NULL), 0);
    CHECK_EQ(statx(AT_FDCWD, "z", 0, 0x4000, &x), 0);
    CHECK_EQ(statx(AT_FDCWD, "z/q", 0, 0x4000, &y), 0);
    uint64_t zid = ((uint64_t *)&x)[18], qid = ((uint64_t *)&y)[18];
    q.mnt_id = zid;
    CHECK_EQ(syscall(458, &q, ids, 16, 0), 1);
    CHECK_EQ(ids[0], qid);
    q.mnt_id = qid;
    q.param = 0x3f;
    memset(&sm, 0, sizeof(sm));
    CHECK_EQ(syscall(457, &q, &sm, sizeof(sm), 0), 0);
    CHECK_EQ(sm.id, qid);
    CHECK_EQ(sm.parent, zid);
    CHECK_EQ(sm.magic, 0x01021994);
    CHECK_STR(sm.str + sm.fs_type, "tmpfs");
    CHECK_STR(sm.str + sm.root, "/q");
    CHECK(strstr(sm.str + sm.point, "/z/q") != NULL);
    CHECK_EQ(sm.attr & (MOUNT_ATTR_NOSUID | MOUNT_ATTR_RDONLY), MOUNT_ATTR_NOSUID);
    q.mnt_id = 12;
    CHECK_ERR(syscall(457, &q, &sm, sizeof(sm), 0), EINVAL);
    q.mnt_id = qid + 100000;
    CHECK_ERR(syscall(457, &q, &sm, sizeof(sm), 0), ENOENT);
    q.mnt_id = qid;
    CHECK_ERR(syscall(457, &q, &sm, 520, 0), EOVERFLOW);
    CHECK_ERR(syscall(457, &q, &sm, sizeof(sm), 1), EINVAL);
    q.size = 8;
    CHECK_ERR(syscall(457, &q, &sm, sizeof(sm), 0), EINVAL);
    CHECK_EQ(umount2("z", MNT_DETACH), 0);
    CHECK_EQ(rmdir("z"), 0);
}
