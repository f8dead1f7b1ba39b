/* Mounts and the overlay, in a mount namespace of their own: root only. */
#include <sched.h>

#include "fs_common.h"

static void own_namespace(void (*fn)(void))
{
    pid_t pid = fork();
    int st;
    if (pid == 0) {
        jmp_buf jmp;
        test_jmp = &jmp;
        if (setjmp(jmp) == 0) {
            CHECK_EQ(unshare(CLONE_NEWNS), 0);
            CHECK_EQ(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
            fn();
            _exit(0);
        }
        fprintf(stderr, "%s\n", test_msg);
        _exit(1);
    }
    CHECK_EQ(waitpid(pid, &st, 0), pid);
    CHECK_EQ(st, 0);
}

static void tmpfs_options(void)
{
    struct statfs sf;
    CHECK_EQ(mkdir("m", 0755), 0);
    CHECK_ERR(mount("x", "m", "nosuchfs", 0, NULL), ENODEV);
    CHECK_ERR(mount("x", "none", "tmpfs", 0, NULL), ENOENT);
    CHECK_ERR(mount("x", "m", "tmpfs", 0, "bogus=1"), EINVAL);
    CHECK_EQ(mount("x", "m", "tmpfs", MS_NODEV | MS_NOEXEC, "size=64k,mode=0711,uid=5,gid=6"), 0);
    struct stat st = stat_of("m");
    CHECK_EQ(st.st_mode, S_IFDIR | 0711);
    CHECK_EQ(st.st_uid, 5);
    CHECK_EQ(st.st_gid, 6);
    CHECK_EQ(statfs("m", &sf), 0);
    CHECK_EQ(sf.f_type, 0x01021994);
    CHECK_EQ(sf.f_blocks, 16);
    char buf[70000] = {0};
    int fd = open("m/f", O_CREAT | O_RDWR, 0644);
    CHECK_EQ(write(fd, buf, sizeof(buf)), 65536);
    CHECK_ERR(write(fd, buf, 1), ENOSPC);
    CHECK_EQ(ftruncate(fd, 0), 0);
    CHECK_EQ(write(fd, buf, 4096), 4096);
    CHECK_ERR(umount("m"), EBUSY);
    close(fd);
    CHECK_EQ(system("cp /bin/true m/true"), 0);
    CHECK_ERR(execl("m/true", "true", NULL), EACCES); /* noexec */
    CHECK_ERR(access("m/true", X_OK), EACCES);
    CHECK_EQ(mknod("m/null", S_IFCHR | 0666, makedev(1, 3)), 0);
    CHECK_ERR(open("m/null", O_RDWR), EACCES); /* nodev */
    CHECK_EQ(mount(NULL, "m", NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
    CHECK_ERR(open("m/g", O_CREAT | O_WRONLY, 0644), EROFS);
    CHECK_ERR(mkdir("m/true", 0755), EEXIST);
    CHECK_EQ(umount("m"), 0);
    CHECK_STR(names_in("m"), "");
    CHECK_ERR(umount("m"), EINVAL);
}

TEST(tmpfs)
{
    NEED_ROOT();
    fresh_dir("t_tmpfs");
    own_namespace(tmpfs_options);
}

static void binds(void)
{
    CHECK_EQ(mkdir("a", 0755), 0);
    CHECK_EQ(mkdir("b", 0755), 0);
    write_file("a/f", "bound");
    write_file("file", "");
    CHECK_EQ(mount("a", "b", NULL, MS_BIND, NULL), 0);
    CHECK_STR(read_file("b/f"), "bound");
    CHECK_ERR(rename("a/f", "b/g"), EXDEV); /* one file system, two mounts */
    CHECK_ERR(link("a/f", "b/g"), EXDEV);
    CHECK_ERR(rmdir("b"), EBUSY);
    CHECK_EQ(mount("a/f", "file", NULL, MS_BIND, NULL), 0);
    CHECK_STR(read_file("file"), "bound");
    CHECK_ERR(unlink("file"), EBUSY);
    CHECK_ERR(mount("a", "file", NULL, MS_BIND, NULL), ENOTDIR);
    CHECK_EQ(mount(NULL, "b", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL), 0);
    CHECK_ERR(open("b/new", O_CREAT | O_WRONLY, 0644), EROFS);
    CHECK_EQ(umount2("b", MNT_DETACH), 0);
    CHECK_EQ(umount("file"), 0);
    CHECK_EQ(access("b/f", F_OK), -1);
}

TEST(bind)
{
    NEED_ROOT();
    fresh_dir("t_bind");
    own_namespace(binds);
}

/* An overlay on tmpfs, as a container in the container would make it. */
static void overlays(void)
{
    CHECK_EQ(mkdir("t", 0755), 0);
    CHECK_EQ(mount("x", "t", "tmpfs", 0, NULL), 0);
    CHECK_EQ(chdir("t"), 0);
    const char *const dirs[] = {"low", "low/d", "low/d/e", "low2", "up", "work", "m"};
    for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++)
        CHECK_EQ(mkdir(dirs[i], 0755), 0);
    write_file("low/d/f", "lower");
    write_file("low/h1", "hard");
    CHECK_EQ(link("low/h1", "low/h2"), 0);
    write_file("low2/second", "2");
    CHECK_ERR(mount("o", "m", "overlay", 0, "lowerdir=none"), ENOENT);
    CHECK_EQ(mount("o", "m", "overlay", 0, "lowerdir=low:low2,upperdir=up,workdir=work"), 0);
    struct statfs sf;
    CHECK_EQ(statfs("m", &sf), 0);
    CHECK_EQ(sf.f_type, 0x794c7630);
    CHECK_STR(names_in("m"), "d h1 h2 second");
    struct stat before = stat_of("m/d/f");
    int rd = open("m/d/f", O_RDONLY);
    write_file("m/d/f", "changed");
    CHECK_STR(read_file("m/d/f"), "changed");
    CHECK_STR(read_file("low/d/f"), "lower");
    CHECK_STR(read_file("up/d/f"), "changed");
    CHECK_EQ(stat_of("m/d/f").st_ino, before.st_ino);
    close(rd);
    CHECK_EQ(unlink("m/second"), 0);
    CHECK(S_ISCHR(stat_of("up/second").st_mode));
    CHECK_STR(names_in("m"), "d h1 h2");
    int r = rename("m/d", "m/d2"); /* moved, or EXDEV and mv(1) copies */
    CHECK(r == 0 || errno == EXDEV);
    if (r == 0) {
        CHECK_STR(names_in("m/d2"), "e f");
        CHECK_EQ(rename("m/d2", "m/d"), 0);
    }
    CHECK_EQ(unlink("m/d/f"), 0);
    CHECK_EQ(rmdir("m/d/e"), 0);
    CHECK_EQ(rmdir("m/d"), 0);
    CHECK_EQ(mkdir("m/d", 0755), 0);
    CHECK_STR(names_in("m/d"), "");
    CHECK_EQ(rename2("m/h1", "m/d", RENAME_EXCHANGE), 0);
    CHECK_STR(read_file("m/d"), "hard");
    CHECK_EQ(umount("m"), 0);
    CHECK_EQ(mount("o", "m", "overlay", MS_RDONLY, "lowerdir=up:low:low2"), 0);
    CHECK_STR(names_in("m"), "d h1 h2");
    CHECK_STR(read_file("m/d"), "hard");
    CHECK_EQ(umount("m"), 0);
}

TEST(overlay)
{
    NEED_ROOT();
    fresh_dir("t_overlay");
    own_namespace(overlays);
}

static void pivots(void)
{
    CHECK_EQ(mkdir("new", 0755), 0);
    CHECK_EQ(mount("x", "new", "tmpfs", 0, NULL), 0);
    CHECK_EQ(mkdir("new/old", 0755), 0);
    write_file("new/here", "h");
    CHECK_ERR(syscall(SYS_pivot_root, "new/old", "new/old"), EINVAL);
    CHECK_EQ(syscall(SYS_pivot_root, "new", "new/old"), 0);
    CHECK_EQ(chdir("/"), 0);
    CHECK_STR(read_file("/here"), "h");
    CHECK_EQ(access("/old/etc", F_OK), 0);
    CHECK_EQ(umount2("/old", MNT_DETACH), 0);
    CHECK_STR(names_in("/old"), "");
    CHECK_STR(names_in("/"), "here old");
}

TEST(pivot_root)
{
    NEED_ROOT();
    fresh_dir("t_pivot");
    own_namespace(pivots);
}

static void chroots(void)
{
    char cwd[PATH_MAX];
    CHECK_EQ(mkdir("jail", 0755), 0);
    CHECK_EQ(mkdir("jail/in", 0755), 0);
    CHECK_EQ(symlink("/in", "jail/abs"), 0);
    CHECK_EQ(chroot("jail"), 0);
    long n = syscall(SYS_getcwd, cwd, sizeof(cwd)); /* still outside */
    CHECK(n > 0 && !strncmp(cwd, "(unreachable)/", 14));
    CHECK_EQ(chdir("/"), 0);
    CHECK_EQ(chdir("../../.."), 0);
    CHECK_STR(names_in("."), "abs in");
    CHECK_EQ(chdir("abs"), 0);
    CHECK(getcwd(cwd, sizeof(cwd)) != NULL);
    CHECK_STR(cwd, "/in");
}

TEST(chroot)
{
    NEED_ROOT();
    fresh_dir("t_chroot");
    own_namespace(chroots);
}
