/* Flags of files (FS_IOC_GETFLAGS, FS_IOC_FSGETXATTR and their setters): append-only, immutable and
 * kin. */
#include <linux/capability.h>
#include <linux/fs.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>

#include "fs_common.h"

static void enter(void)
{
    if (geteuid() != 0 || prctl(PR_CAPBSET_READ, CAP_LINUX_IMMUTABLE) != 1 ||
        unshare(CLONE_NEWNS) < 0)
        SKIP("needs root with CAP_LINUX_IMMUTABLE");
    CHECK_EQ(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
    CHECK(mkdir("flags", 0755) == 0 || errno == EEXIST);
    CHECK_EQ(mount("flags", "flags", "tmpfs", 0, "mode=755"), 0);
    CHECK_EQ(chdir("flags"), 0);
    write_file("f", "text");
    int fd = open("f", O_RDONLY), fl;
    int is_kept = ioctl(fd, FS_IOC_GETFLAGS, &fl) == 0;
    CHECK_EQ(close(fd), 0);
    if (!is_kept) { /* tmpfs has them since Linux 6.6 */
        CHECK_EQ(chdir(".."), 0);
        CHECK_EQ(umount2("flags", MNT_DETACH), 0);
        SKIP("tmpfs keeps no flags here");
    }
}

static void leave(void)
{
    CHECK_EQ(chdir(".."), 0);
    CHECK_EQ(umount2("flags", MNT_DETACH), 0);
}

static int get_flags(const char *name)
{
    int fl = -1, fd = open(name, O_RDONLY);
    CHECK(fd >= 0);
    CHECK_EQ(ioctl(fd, FS_IOC_GETFLAGS, &fl), 0);
    CHECK_EQ(close(fd), 0);
    return fl;
}

/* 0 or the errno. */
static int set_flags(const char *name, int fl)
{
    int fd = open(name, O_RDONLY);
    CHECK(fd >= 0);
    int r = ioctl(fd, FS_IOC_SETFLAGS, &fl) < 0 ? errno : 0;
    CHECK_EQ(close(fd), 0);
    return r;
}

static int set_as(uid_t uid, const char *name, int fl)
{
    int st;
    pid_t pid = fork();
    if (pid == 0) {
        if (setgroups(0, NULL) < 0 || setresgid(uid, uid, uid) < 0 || setresuid(uid, uid, uid) < 0)
            _exit(200);
        _exit(set_flags(name, fl));
    }
    CHECK_EQ(waitpid(pid, &st, 0), pid);
    return WEXITSTATUS(st);
}

static void values(void)
{
    struct fsxattr x;
    struct statx sx;
    CHECK_EQ(get_flags("f"), 0);
    CHECK_EQ(set_flags("f", FS_NODUMP_FL | FS_NOATIME_FL), 0);
    CHECK_EQ(get_flags("f"), FS_NODUMP_FL | FS_NOATIME_FL);
    int fd = open("f", O_RDONLY);
    memset(&x, 0xff, sizeof(x));
    CHECK_EQ(ioctl(fd, FS_IOC_FSGETXATTR, &x), 0);
    CHECK_EQ(x.fsx_xflags, FS_XFLAG_NODUMP | FS_XFLAG_NOATIME);
    CHECK_EQ(x.fsx_extsize | x.fsx_nextents | x.fsx_projid | x.fsx_cowextsize, 0);
    x.fsx_xflags = FS_XFLAG_APPEND;
    CHECK_EQ(ioctl(fd, FS_IOC_FSSETXATTR, &x), 0);
    CHECK_EQ(get_flags("f"), FS_APPEND_FL);
    CHECK_EQ(statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &sx), 0);
    CHECK_EQ(sx.stx_attributes & 0x70, STATX_ATTR_APPEND);
    CHECK_EQ(sx.stx_attributes_mask & 0x70, 0x70);
    x = (struct fsxattr){.fsx_extsize = 4096};
    CHECK_ERR(ioctl(fd, FS_IOC_FSSETXATTR, &x), EOPNOTSUPP);
    CHECK_EQ(set_flags("f", FS_SYNC_FL), EOPNOTSUPP);
    CHECK_ERR(ioctl(fd, FS_IOC_GETFLAGS, 1), EFAULT);
    CHECK_ERR(ioctl(fd, FS_IOC_SETFLAGS, 1), EFAULT);
    CHECK_EQ(set_flags("f", 0), 0);
    CHECK_EQ(get_flags("f"), 0);
    CHECK_EQ(close(fd), 0);
    int mem = memfd_create("m", 0), fl = FS_NODUMP_FL;
    CHECK_EQ(ioctl(mem, FS_IOC_SETFLAGS, &fl), 0);
    fl = 0;
    CHECK_EQ(ioctl(mem, FS_IOC_GETFLAGS, &fl), 0);
    CHECK_EQ(fl, FS_NODUMP_FL);
    CHECK_EQ(close(mem), 0);
    int p[2];
    CHECK_EQ(pipe(p), 0);
    CHECK_ERR(ioctl(p[0], FS_IOC_GETFLAGS, &fd), ENOTTY);
    CHECK_EQ(close(p[0]) | close(p[1]), 0);
    int proc = open("/proc/self/stat", O_RDONLY), null = open("/dev/null", O_RDONLY);
    CHECK_ERR(ioctl(proc, FS_IOC_GETFLAGS, &fd), ENOTTY);
    CHECK_ERR(ioctl(null, FS_IOC_GETFLAGS, &fd), ENOTTY);
    CHECK_EQ(close(proc) | close(null), 0);
    /* A directory hands some of its own down. */
    CHECK_EQ(mkdir("d", 0755), 0);
    CHECK_EQ(set_flags("d", FS_NODUMP_FL | FS_NOATIME_FL | FS_APPEND_FL), 0);
    CHECK_EQ(mkdir("d/sub", 0755), 0);
    write_file("d/f", "");
    CHECK_EQ(get_flags("d/sub"), FS_NODUMP_FL | FS_NOATIME_FL);
    CHECK_EQ(get_flags("d/f"), FS_NODUMP_FL | FS_NOATIME_FL);
    CHECK_ERR(unlink("d/f"), EPERM); /* names can be added only */
    CHECK_ERR(rename("d/f", "d/g"), EPERM);
    CHECK_EQ(set_flags("d", 0), 0);
    CHECK_EQ(unlink("d/f"), 0);
    CHECK_EQ(rmdir("d/sub") | rmdir("d"), 0);
}

static void append_only(void)
{
    CHECK_EQ(set_flags("f", FS_APPEND_FL), 0);
    CHECK_ERR(open("f", O_RDWR), EPERM);
    CHECK_ERR(open("f", O_WRONLY | O_APPEND | O_TRUNC), EPERM);
    int fd = open("f", O_WRONLY | O_APPEND);
    CHECK(fd >= 0);
    CHECK_EQ(write(fd, "+more", 5), 5);
    CHECK_EQ(pwrite(fd, "!", 1, 0), 1); /* as with O_APPEND: at the end */
    CHECK_ERR(fcntl(fd, F_SETFL, 0), EPERM);
    CHECK_ERR(ftruncate(fd, 0), EPERM);
    CHECK_EQ(close(fd), 0);
    CHECK_STR(read_file("f"), "text+more!");
    CHECK_ERR(truncate("f", 0), EPERM);
    CHECK_ERR(unlink("f"), EPERM);
    CHECK_ERR(rename("f", "g"), EPERM);
    CHECK_ERR(link("f", "g"), EPERM);
    CHECK_ERR(chmod("f", 0600), EPERM);
    CHECK_ERR(setxattr("f", "user.x", "", 0, 0), EPERM);
    CHECK_EQ(utimensat(AT_FDCWD, "f", NULL, 0), 0); /* to now, one may */
    CHECK_ERR(utimensat(AT_FDCWD, "f", (struct timespec[2]){{1, 0}, {1, 0}}, 0), EPERM);
    CHECK_EQ(set_flags("f", 0), 0);
    CHECK_EQ(truncate("f", 4), 0);
}

static void immutable(void)
{
    int held = open("f", O_RDWR);
    CHECK_EQ(set_flags("f", FS_IMMUTABLE_FL), 0);
    CHECK_EQ(get_flags("f"), FS_IMMUTABLE_FL);
    CHECK_ERR(open("f", O_RDWR), EPERM);
    CHECK_ERR(open("f", O_WRONLY | O_APPEND), EPERM);
    CHECK_ERR(truncate("f", 0), EPERM);
    CHECK_ERR(unlink("f"), EPERM);
    CHECK_ERR(rename("f", "g"), EPERM);
    CHECK_ERR(link("f", "g"), EPERM);
    CHECK_ERR(chmod("f", 0600), EPERM);
    CHECK_ERR(chown("f", 1, 1), EPERM);
    CHECK_ERR(setxattr("f", "user.x", "", 0, 0), EPERM);
    CHECK_ERR(utimensat(AT_FDCWD, "f", NULL, 0), EPERM);
    CHECK_EQ(write(held, "T", 1), 1); /* what was open before goes on */
    CHECK_ERR(fallocate(held, 0, 0, 10), EPERM);
    CHECK_EQ(close(held), 0);
    CHECK_STR(read_file("f"), "Text");
    CHECK_EQ(set_flags("f", 0), 0);
    CHECK_EQ(mkdir("d", 0755), 0);
    write_file("d/f", "");
    CHECK_EQ(set_flags("d", FS_IMMUTABLE_FL), 0);
    CHECK_ERR(open("d/g", O_CREAT | O_WRONLY, 0600), EPERM);
    CHECK_ERR(unlink("d/f"), EPERM);
    CHECK_ERR(mkdir("d/e", 0755), EPERM);
    write_file("d/f", "contents are not the directory's");
    CHECK_EQ(set_flags("d", 0), 0);
    CHECK_EQ(unlink("d/f") | rmdir("d"), 0);
}

static void privilege(void)
{
    CHECK_EQ(chown("f", 1000, 1000), 0);
    CHECK_EQ(set_as(1000, "f", FS_NODUMP_FL), 0);
    CHECK_EQ(set_as(1000, "f", FS_APPEND_FL), EPERM);
    CHECK_EQ(set_as(1000, "f", FS_IMMUTABLE_FL), EPERM);
    CHECK_EQ(set_as(1001, "f", 0), EPERM);
    CHECK_EQ(set_flags("f", FS_APPEND_FL), 0);
    CHECK_EQ(set_as(1000, "f", FS_APPEND_FL | FS_NODUMP_FL),
             0); /* no change of what is privileged */
    CHECK_EQ(set_as(1000, "f", 0), EPERM);
    CHECK_EQ(set_flags("f", 0), 0);
    CHECK_EQ(chown("f", 0, 0), 0);
    CHECK_EQ(mount(NULL, ".", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL), 0);
    CHECK_EQ(set_flags("f", FS_NODUMP_FL), EROFS);
    CHECK_EQ(get_flags("f"), 0);
    CHECK_EQ(mount(NULL, ".", NULL, MS_REMOUNT | MS_BIND, NULL), 0);
}

static void all(void)
{
    values();
    append_only();
    immutable();
    privilege();
}

TEST(tmpfs)
{
    enter();
    all();
    leave();
}

TEST(overlay)
{
    enter();
    CHECK_EQ(mkdir("l", 0755) | mkdir("u", 0755) | mkdir("w", 0755) | mkdir("m", 0755), 0);
    write_file("l/f", "text");
    write_file("l/keep", "lower");
    CHECK_EQ(mount("o", "m", "overlay", 0, "lowerdir=l,upperdir=u,workdir=w"), 0);
    CHECK_EQ(chdir("m"), 0);
    all();
    CHECK_EQ(chdir(".."), 0);
    CHECK_EQ(umount("m"), 0);
    leave();
}
