/* Names: making, removing, linking, renaming; the errno of each way to be wrong. */
#include "fs_common.h"

TEST(mkdir_rmdir)
{
    char name[300];
    fresh_dir("t_mkdir");
    CHECK_EQ(mkdir("d", 0755), 0);
    CHECK_ERR(mkdir("d", 0755), EEXIST);
    CHECK_EQ(mkdir("d/e/", 0700), 0);
    CHECK_ERR(mkdir("none/x", 0755), ENOENT);
    CHECK_ERR(mkdir(".", 0755), EEXIST);
    CHECK_ERR(mkdir("", 0755), ENOENT);
    write_file("f", "x");
    CHECK_ERR(mkdir("f/x", 0755), ENOTDIR);
    CHECK_ERR(mkdir("f", 0755), EEXIST);
    CHECK_ERR(rmdir("d"), ENOTEMPTY);
    CHECK_ERR(rmdir("f"), ENOTDIR);
    CHECK_ERR(rmdir("d/."), EINVAL);
    CHECK_ERR(rmdir("d/e/.."), ENOTEMPTY);
    CHECK_ERR(rmdir("/"), EBUSY);
    CHECK_ERR(unlink("d"), EISDIR);
    CHECK_ERR(unlink("f/"), ENOTDIR);
    CHECK_ERR(unlink("none/"), ENOENT);
    CHECK_EQ(rmdir("d/e/"), 0);
    CHECK_EQ(rmdir("d"), 0);
    memset(name, 'n', 256);
    name[256] = 0;
    CHECK_ERR(mkdir(name, 0755), ENAMETOOLONG);
    CHECK_ERR(open(name, O_CREAT | O_WRONLY, 0644), ENAMETOOLONG);
    CHECK_ERR(open(name, O_RDONLY), ENAMETOOLONG);
    name[255] = 0;
    CHECK_EQ(mkdir(name, 0755), 0);
    CHECK_EQ(rmdir(name), 0);
    mode_t old = umask(077);
    CHECK_EQ(mkdir("m", 01777), 0);
    umask(old);
    CHECK_EQ(stat_of("m").st_mode, S_IFDIR | 01700);
}

/* find(1) takes two links for "no subdirectories". */
TEST(directory_links)
{
    fresh_dir("t_nlink");
    CHECK_EQ(mkdir("d", 0755), 0);
    nlink_t empty = stat_of("d").st_nlink;
    CHECK_EQ(mkdir("d/a", 0755), 0);
    CHECK_EQ(mkdir("d/b", 0755), 0);
    nlink_t n = stat_of("d").st_nlink;
    CHECK((empty == 2 && n == 4) || (empty == 1 && n == 1));
    CHECK_EQ(rename("d/a", "a"), 0);
    CHECK_EQ(rmdir("d/b"), 0);
    CHECK_EQ(stat_of("d").st_nlink, empty);
}

TEST(hard_links)
{
    fresh_dir("t_link");
    write_file("a", "one");
    CHECK_EQ(link("a", "b"), 0);
    CHECK_ERR(link("a", "b"), EEXIST);
    CHECK_ERR(link("none", "c"), ENOENT);
    CHECK_ERR(link("a", "c/"), ENOENT);
    CHECK_ERR(link("a/", "c"), ENOTDIR);
    CHECK_EQ(mkdir("d", 0755), 0);
    CHECK_ERR(link("d", "e"), EPERM);
    CHECK_ERR(link("a", "a/b"), ENOTDIR);
    write_file("b", "second");
    struct stat a = stat_of("a"), b = stat_of("b");
    CHECK_EQ(a.st_ino, b.st_ino);
    CHECK_EQ(a.st_size, 6);
    CHECK_EQ(b.st_nlink, 2);
    CHECK_EQ(chmod("b", 0600), 0);
    CHECK_EQ(stat_of("a").st_mode & 07777, 0600);
    CHECK_STR(read_file("a"), "second");
    CHECK_EQ(rename("a", "b"), 0); /* two names of one file: nothing happens */
    CHECK_EQ(stat_of("a").st_nlink, 2);
    CHECK_EQ(symlink("a", "s"), 0);
    CHECK_EQ(link("s", "s2"), 0); /* the link itself */
    CHECK(S_ISLNK(stat_of("s2").st_mode));
    CHECK_EQ(linkat(AT_FDCWD, "s", AT_FDCWD, "s3", AT_SYMLINK_FOLLOW), 0);
    CHECK_EQ(stat_of("s3").st_ino, a.st_ino);
    CHECK_ERR(linkat(AT_FDCWD, "a", AT_FDCWD, "x", 0x2), EINVAL);
}

TEST(rename_matrix)
{
    fresh_dir("t_rename");
    write_file("a", "A");
    write_file("b", "B");
    CHECK_EQ(mkdir("d", 0755), 0);
    CHECK_EQ(mkdir("d/e", 0755), 0);
    CHECK_EQ(mkdir("empty", 0755), 0);
    CHECK_ERR(rename("none", "x"), ENOENT);
    CHECK_ERR(rename("a", "none/x"), ENOENT);
    CHECK_ERR(rename("a", "d"), EISDIR);
    CHECK_ERR(rename("d", "a"), ENOTDIR);
    CHECK_ERR(rename("empty", "d"), ENOTEMPTY);
    CHECK_ERR(rename("d", "d/e/x"), EINVAL);
    CHECK_ERR(rename("d/e", "d"), ENOTEMPTY);
    CHECK_ERR(rename("a/", "x"), ENOTDIR);
    CHECK_ERR(rename("a", "x/"), ENOTDIR);
    CHECK_ERR(rename("d/.", "x"), EBUSY);
    CHECK_ERR(rename("a", "d/.."), EBUSY);
    CHECK_EQ(rename("d", "d2/"), 0);
    CHECK_EQ(rename("d2", "d"), 0);
    CHECK_EQ(rename("a", "b"), 0);
    CHECK_STR(read_file("b"), "A");
    CHECK_EQ(rename("d", "empty"), 0); /* over an empty directory */
    CHECK_STR(names_in("."), "b empty");
    CHECK_STR(names_in("empty"), "e");
}

TEST(rename_flags)
{
    fresh_dir("t_rename2");
    write_file("a", "A");
    write_file("b", "B");
    CHECK_EQ(mkdir("d", 0755), 0);
    write_file("d/in", "I");
    CHECK_ERR(rename2("a", "b", RENAME_NOREPLACE), EEXIST);
    CHECK_EQ(rename2("a", "c", RENAME_NOREPLACE), 0);
    CHECK_ERR(rename2("c", "none", RENAME_EXCHANGE), ENOENT);
    CHECK_ERR(rename2("c", "b", RENAME_EXCHANGE | RENAME_NOREPLACE), EINVAL);
    CHECK_ERR(rename2("c", "b", 0x80), EINVAL);
    CHECK_EQ(rename2("c", "b", RENAME_EXCHANGE), 0);
    CHECK_STR(read_file("c"), "B");
    CHECK_STR(read_file("b"), "A");
    CHECK_EQ(rename2("c", "d", RENAME_EXCHANGE), 0); /* a file against a directory */
    CHECK_STR(read_file("d"), "B");
    CHECK_STR(read_file("c/in"), "I");
    CHECK_ERR(rename2("c", "c/in", RENAME_EXCHANGE), EINVAL);
    NEED_ROOT();
    CHECK_EQ(rename2("b", "w", RENAME_WHITEOUT), 0);
    struct stat st = stat_of("b");
    CHECK(S_ISCHR(st.st_mode));
    CHECK_EQ(st.st_rdev, 0);
    CHECK_STR(read_file("w"), "A");
}

TEST(removed_directory)
{
    char buf[PATH_MAX];
    fresh_dir("t_removed");
    CHECK_EQ(mkdir("d", 0755), 0);
    int fd = open("d", O_RDONLY | O_DIRECTORY);
    CHECK_EQ(fchdir(fd), 0);
    CHECK_EQ(rmdir("../d"), 0);
    CHECK_ERR(open("x", O_CREAT | O_WRONLY, 0644), ENOENT);
    CHECK_ERR(mkdir("x", 0755), ENOENT);
    CHECK_ERR(syscall(SYS_getcwd, buf, sizeof(buf)), ENOENT);
    CHECK_EQ(fchdir(fd), 0);
    char ents[256];
    CHECK_ERR(syscall(SYS_getdents64, fd, ents, sizeof(ents)), ENOENT);
    struct stat st;
    CHECK_EQ(fstat(fd, &st), 0);
    CHECK_EQ(st.st_nlink, 0);
    CHECK_EQ(chdir(".."), 0);
    CHECK_STR(names_in("."), "");
    close(fd);
}

TEST(symlinks)
{
    char buf[64], name[32], to[32];
    fresh_dir("t_symlink");
    write_file("f", "text");
    CHECK_EQ(symlink("f", "l"), 0);
    CHECK_ERR(symlink("f", "l"), EEXIST);
    CHECK_ERR(symlink("", "m"), ENOENT);
    CHECK_EQ(readlink("l", buf, sizeof(buf)), 1);
    CHECK_EQ(readlink("l", buf, 1), 1);
    CHECK_ERR(readlink("f", buf, sizeof(buf)), EINVAL);
    CHECK_ERR(readlink("none", buf, sizeof(buf)), ENOENT);
    CHECK_ERR(syscall(SYS_readlink, "l", buf, 0), EINVAL);
    CHECK_EQ(stat_of("l").st_size, 1);
    CHECK_EQ(stat_of("l").st_mode, S_IFLNK | 0777);
    CHECK_ERR(open("l/", O_RDONLY), ENOTDIR);
    CHECK_ERR(open("l", O_RDONLY | O_NOFOLLOW), ELOOP);
    CHECK_ERR(open("l", O_CREAT | O_EXCL | O_WRONLY, 0644), EEXIST);
    CHECK_EQ(symlink("loop", "loop"), 0);
    CHECK_ERR(open("loop", O_RDONLY), ELOOP);
    CHECK_EQ(symlink("made", "dangling"), 0);
    int fd = open("dangling", O_CREAT | O_WRONLY, 0644);
    CHECK(fd >= 0);
    close(fd);
    CHECK_EQ(access("made", F_OK), 0);
    strcpy(to, "f");
    for (int i = 0; i < 41; i++) {
        snprintf(name, sizeof(name), "n%d", i);
        CHECK_EQ(symlink(to, name), 0);
        strcpy(to, name);
    }
    CHECK_STR(read_file("n39"), "text"); /* 40 links are followed */
    CHECK_ERR(open("n40", O_RDONLY), ELOOP);
    fd = open("l", O_PATH | O_NOFOLLOW);
    CHECK(fd >= 0);
    CHECK_EQ(readlinkat(fd, "", buf, sizeof(buf)), 1);
    close(fd);
}

TEST(special_files)
{
    fresh_dir("t_mknod");
    CHECK_EQ(mknod("fifo", S_IFIFO | 0640, 0), 0);
    CHECK_EQ(stat_of("fifo").st_mode, S_IFIFO | 0640);
    CHECK_EQ(mknod("reg", 0600, 0), 0);
    CHECK(S_ISREG(stat_of("reg").st_mode));
    CHECK_EQ(mknod("sock", S_IFSOCK | 0600, 0), 0);
    CHECK_ERR(open("sock", O_RDWR), ENXIO);
    CHECK_ERR(mknod("dir", S_IFDIR | 0700, 0), EPERM);
    CHECK_ERR(mknod("bad", S_IFLNK | 0700, 0), EINVAL);
    CHECK_ERR(mknod("fifo", S_IFIFO | 0600, 0), EEXIST);
    CHECK_ERR(open("fifo", O_WRONLY | O_NONBLOCK), ENXIO);
}

/* Long paths: PATH_MAX with its NUL, and deeper by steps. */
TEST(long_paths)
{
    fresh_dir("t_long");
    char path[PATH_MAX + 10], part[202];
    memset(part, 'p', 200);
    part[200] = '/';
    part[201] = 0;
    for (int i = 0; i < 30; i++) {
        part[200] = 0;
        CHECK_EQ(mkdir(part, 0755), 0);
        CHECK_EQ(chdir(part), 0);
    }
    CHECK_ERR(syscall(SYS_getcwd, path, (size_t)PATH_MAX), ENAMETOOLONG);
    write_file("deep", "deep");
    CHECK_STR(read_file("./././deep"), "deep");
    memset(path, '/', PATH_MAX);
    memcpy(path, "deep", 4);
    path[0] = '.';
    for (int i = 1; i < PATH_MAX; i++)
        path[i] = i % 2 ? '/' : '.';
    path[PATH_MAX - 1] = 0;
    CHECK_EQ(access(path, F_OK), 0);
    path[PATH_MAX - 1] = '/';
    path[PATH_MAX] = 0;
    CHECK_ERR(access(path, F_OK), ENAMETOOLONG);
    fresh_dir("t_long");
}
