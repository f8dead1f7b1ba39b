/* Permission, ownership, set-id bits, times. Most of it needs root to begin with. */
#include "fs_common.h"

static void user_walks(void)
{
    struct stat st;
    CHECK_ERR(stat("priv/f", &st), EACCES);
    CHECK_ERR(stat("priv/none", &st), EACCES);
    CHECK_ERR(open("new", O_CREAT | O_WRONLY, 0644), EACCES);
    CHECK_ERR(mkdir("new", 0755), EACCES);
    CHECK_ERR(open("ro", O_WRONLY), EACCES);
    CHECK_ERR(open("ro", O_RDONLY | O_TRUNC), EACCES);
    CHECK_ERR(chmod("ro", 0666), EPERM);
    CHECK_ERR(truncate("ro", 0), EACCES);
    CHECK_ERR(open("ro", O_RDONLY | O_NOATIME), EPERM);
    CHECK_EQ(access("ro", R_OK), 0);
    CHECK_ERR(access("ro", W_OK), EACCES);
    CHECK_ERR(access("ro", X_OK), EACCES);
    CHECK_ERR(access("none", F_OK), ENOENT);
    CHECK_ERR(unlink("ro"), EACCES);
    CHECK_ERR(rename("ro", "x"), EACCES);
    CHECK_ERR(chdir("priv"), EACCES);
    CHECK_ERR(opendir("noread") ? 0 : -1, EACCES);
    CHECK_EQ(access("noread/f", R_OK), 0);
    CHECK_ERR(mkdir("ro/x", 0755), ENOTDIR);
}

TEST(user_is_kept_out)
{
    NEED_ROOT();
    fresh_dir("t_perm");
    CHECK_EQ(chmod("..", 0755), 0);
    CHECK_EQ(mkdir("priv", 0700), 0);
    write_file("priv/f", "x");
    write_file("ro", "x");
    CHECK_EQ(mkdir("noread", 0711), 0);
    write_file("noread/f", "x");
    as_user(1000, 1000, user_walks);
}

static void user_sticky(void)
{
    write_file("st/mine", "m");
    CHECK_ERR(unlink("st/roots"), EPERM);
    CHECK_ERR(rename("st/roots", "st/r2"), EPERM);
    CHECK_ERR(rename("st/mine", "st/roots"), EPERM);
    CHECK_ERR(rmdir("st/dir"), EPERM);
    CHECK_EQ(unlink("st/mine"), 0);
    CHECK_EQ(unlink("open/roots"), 0); /* write permission on the directory is enough there */
}

TEST(sticky)
{
    NEED_ROOT();
    fresh_dir("t_sticky");
    CHECK_EQ(mkdir("st", 0755), 0);
    CHECK_EQ(chmod("st", 01777), 0);
    write_file("st/roots", "x");
    CHECK_EQ(mkdir("st/dir", 0777), 0);
    CHECK_EQ(mkdir("open", 0755), 0);
    CHECK_EQ(chmod("open", 0777), 0);
    write_file("open/roots", "x");
    as_user(1000, 1000, user_sticky);
}

static void user_chown(void)
{
    CHECK_ERR(chown("f", 0, (gid_t)-1), EPERM);
    CHECK_ERR(chown("f", (uid_t)-1, 7), EPERM);
    CHECK_EQ(chown("f", 1000, 1000), 0);
    CHECK_EQ(chown("f", (uid_t)-1, (gid_t)-1), 0);
    CHECK_EQ(chmod("f", 06755), 0);
    CHECK_EQ(stat_of("f").st_mode & 07777, 06755);
    int fd = open("f", O_WRONLY);
    CHECK_EQ(write(fd, "x", 1), 1);
    CHECK_EQ(stat_of("f").st_mode & 07777, 0755); /* a write takes set-id bits away */
    CHECK_EQ(fchmod(fd, 04700), 0);
    CHECK_EQ(ftruncate(fd, 0), 0);
    CHECK_EQ(stat_of("f").st_mode & 07777, 0700);
    close(fd);
    CHECK_EQ(chmod("f", 02744), 0); /* set-group-ID without group execute: mandatory locking once */
    CHECK_EQ(chown("f", 1000, 1000), 0);
    CHECK_EQ(stat_of("f").st_mode & 07777, 02744);
    CHECK_EQ(chmod("other", 02755), 0);
    CHECK_EQ(stat_of("other").st_mode & 07777, 0755); /* not in that group */
}

TEST(set_id_bits)
{
    NEED_ROOT();
    fresh_dir("t_setid");
    write_file("f", "x");
    CHECK_EQ(chown("f", 1000, 1000), 0);
    write_file("other", "x");
    CHECK_EQ(chown("other", 1000, 7), 0);
    as_user(1000, 1000, user_chown);
    CHECK_EQ(chmod("f", 06755), 0);
    CHECK_EQ(chown("f", 1, 1), 0); /* root's chown drops them too */
    CHECK_EQ(stat_of("f").st_mode & 07777, 0755);
    CHECK_EQ(mkdir("d", 0755), 0);
    CHECK_EQ(chmod("d", 06755), 0);
    CHECK_EQ(chown("d", 1, 1), 0); /* but not of a directory */
    CHECK_EQ(stat_of("d").st_mode & 07777, 06755);
}

TEST(set_gid_directory)
{
    NEED_ROOT();
    fresh_dir("t_sgid");
    CHECK_EQ(mkdir("d", 0755), 0);
    CHECK_EQ(chown("d", 0, 77), 0);
    CHECK_EQ(chmod("d", 02777), 0);
    write_file("d/f", "x");
    CHECK_EQ(stat_of("d/f").st_gid, 77);
    CHECK_EQ(mkdir("d/s", 0700), 0);
    CHECK_EQ(stat_of("d/s").st_gid, 77);
    CHECK_EQ(stat_of("d/s").st_mode & 07777, 02700);
}

static void user_times(void)
{
    struct timespec now[2] = {{0, UTIME_NOW}, {0, UTIME_NOW}}, set[2] = {{1, 0}, {2, 0}};
    struct timespec mixed[2] = {{0, UTIME_NOW}, {0, UTIME_OMIT}}, omit[2] = {{0, UTIME_OMIT}, {0, UTIME_OMIT}};
    CHECK_EQ(utimensat(AT_FDCWD, "writable", now, 0), 0);
    CHECK_EQ(utimensat(AT_FDCWD, "writable", NULL, 0), 0);
    CHECK_ERR(utimensat(AT_FDCWD, "writable", set, 0), EPERM);
    CHECK_ERR(utimensat(AT_FDCWD, "writable", mixed, 0), EPERM);
    CHECK_ERR(utimensat(AT_FDCWD, "readable", now, 0), EACCES);
    CHECK_EQ(utimensat(AT_FDCWD, "readable", omit, 0), 0);
    CHECK_EQ(utimensat(AT_FDCWD, "no such file", omit, 0), 0); /* nothing to do, nothing looked at */
}

TEST(times)
{
    struct timespec set[2] = {{100, 5}, {200, 6}}, part[2] = {{0, UTIME_OMIT}, {300, 7}}, bad[2] = {{0, -1}, {0, 0}};
    fresh_dir("t_times");
    write_file("f", "x");
    CHECK_EQ(utimensat(AT_FDCWD, "f", set, 0), 0);
    struct stat st = stat_of("f");
    CHECK_EQ(st.st_atim.tv_sec, 100);
    CHECK_EQ(st.st_atim.tv_nsec, 5);
    CHECK_EQ(st.st_mtim.tv_nsec, 6);
    CHECK(st.st_ctim.tv_sec > 1000);
    CHECK_EQ(utimensat(AT_FDCWD, "f", part, 0), 0);
    st = stat_of("f");
    CHECK_EQ(st.st_atim.tv_sec, 100);
    CHECK_EQ(st.st_mtim.tv_sec, 300);
    CHECK_ERR(utimensat(AT_FDCWD, "f", bad, 0), EINVAL);
    CHECK_EQ(symlink("f", "l"), 0);
    CHECK_EQ(utimensat(AT_FDCWD, "l", set, AT_SYMLINK_NOFOLLOW), 0);
    CHECK_EQ(stat_of("l").st_mtim.tv_sec, 200);
    CHECK_EQ(stat_of("f").st_mtim.tv_sec, 300);
    int fd = open("f", O_RDWR);
    CHECK_EQ(futimens(fd, set), 0);
    CHECK_EQ(stat_of("f").st_mtim.tv_sec, 200);
    CHECK_EQ(write(fd, "y", 1), 1);
    CHECK(stat_of("f").st_mtim.tv_sec > 1000);
    CHECK_EQ(futimens(fd, set), 0);
    CHECK_EQ(ftruncate(fd, 1), 0); /* the same size: still a change */
    CHECK(stat_of("f").st_mtim.tv_sec > 1000);
    close(fd);
    CHECK_EQ(mkdir("d", 0755), 0);
    CHECK_EQ(utimensat(AT_FDCWD, "d", set, 0), 0);
    write_file("d/new", "");
    CHECK(stat_of("d").st_mtim.tv_sec > 1000);
    NEED_ROOT();
    write_file("writable", "");
    write_file("readable", "");
    CHECK_EQ(chmod("writable", 0666), 0);
    as_user(1000, 1000, user_times);
}

static void user_links(void)
{
    CHECK_ERR(link("st/roots", "st/l1"), EPERM); /* fs.protected_hardlinks */
    CHECK_ERR(open("st/others", O_RDONLY), EACCES); /* fs.protected_symlinks */
    CHECK_ERR(open("st/roots", O_CREAT | O_WRONLY, 0644), EACCES); /* fs.protected_regular */
}

static long sysctl_of(const char *name)
{
    char path[100];
    snprintf(path, sizeof(path), "/proc/sys/fs/%s", name);
    return atol(read_file(path));
}

TEST(protected_links)
{
    NEED_ROOT();
    if (sysctl_of("protected_hardlinks") != 1 || sysctl_of("protected_symlinks") != 1 ||
        sysctl_of("protected_regular") < 1)
        return;
    fresh_dir("t_protected");
    CHECK_EQ(mkdir("st", 0755), 0);
    CHECK_EQ(chown("st", 0, 0), 0);
    CHECK_EQ(chmod("st", 01777), 0);
    write_file("st/roots", "x");
    CHECK_EQ(chown("st/roots", 5, 5), 0);
    CHECK_EQ(chmod("st/roots", 0444), 0);
    CHECK_EQ(symlink("/dev/null", "st/others"), 0);
    CHECK_EQ(lchown("st/others", 5, 5), 0);
    as_user(1000, 1000, user_links);
}

static void only_executable(void)
{
    CHECK_ERR(open("prog", O_RDONLY), EACCES);
    pid_t pid = fork();
    if (pid == 0) {
        execl("./prog", "prog", NULL);
        _exit(1);
    }
    int st;
    CHECK_EQ(waitpid(pid, &st, 0), pid);
    CHECK_EQ(st, 0);
}

TEST(execute_without_read)
{
    NEED_ROOT();
    fresh_dir("t_0111");
    CHECK_EQ(system("cp /bin/true prog"), 0);
    CHECK_EQ(chmod("prog", 0111), 0);
    as_user(1000, 1000, only_executable);
}

TEST(xattrs)
{
    char buf[64];
    fresh_dir("t_xattr");
    write_file("f", "x");
    if (setxattr("f", "user.a", "val", 3, 0) < 0 && errno == EOPNOTSUPP)
        return;
    CHECK_EQ(getxattr("f", "user.a", buf, sizeof(buf)), 3);
    CHECK_EQ(getxattr("f", "user.a", NULL, 0), 3);
    CHECK_ERR(getxattr("f", "user.a", buf, 2), ERANGE);
    CHECK_ERR(getxattr("f", "user.none", buf, 2), ENODATA);
    CHECK_ERR(setxattr("f", "user.a", "v", 1, XATTR_CREATE), EEXIST);
    CHECK_ERR(setxattr("f", "user.b", "v", 1, XATTR_REPLACE), ENODATA);
    CHECK_ERR(setxattr("f", "bogus.b", "v", 1, 0), EOPNOTSUPP);
    CHECK_ERR(setxattr("f", "", "v", 1, 0), ERANGE);
    CHECK_EQ(listxattr("f", NULL, 0), 7);
    CHECK_EQ(listxattr("f", buf, sizeof(buf)), 7);
    CHECK_ERR(listxattr("f", buf, 3), ERANGE);
    CHECK_EQ(symlink("f", "l"), 0);
    CHECK_ERR(lsetxattr("l", "user.a", "v", 1, 0), EPERM);
    CHECK_EQ(removexattr("f", "user.a"), 0);
    CHECK_ERR(removexattr("f", "user.a"), ENODATA);
}
