/* open(2), openat2(2), O_TMPFILE, O_PATH, descriptors. */
#include <linux/openat2.h>

#include "fs_common.h"

static int openat2_(int dfd, const char *name, uint64_t flags, uint64_t mode, uint64_t resolve)
{
    struct open_how how = {.flags = flags, .mode = mode, .resolve = resolve};
    return (int)syscall(SYS_openat2, dfd, name, &how, sizeof(how));
}

TEST(flags)
{
    fresh_dir("t_flags");
    write_file("f", "0123456789");
    CHECK_EQ(mkdir("d", 0755), 0);
    CHECK_ERR(open("d", O_WRONLY), EISDIR);
    CHECK_ERR(open("d", O_RDWR | O_CREAT, 0644), EISDIR);
    CHECK_ERR(open("new/", O_CREAT | O_WRONLY, 0644), EISDIR);
    CHECK_ERR(open("f", O_RDONLY | O_DIRECTORY), ENOTDIR);
    CHECK_ERR(open("f", O_CREAT | O_EXCL | O_WRONLY, 0644), EEXIST);
    CHECK_ERR(open("f/", O_RDONLY), ENOTDIR);
    CHECK_ERR(open("", O_RDONLY), ENOENT);
    CHECK_ERR(open("d", O_RDONLY | O_DIRECT), EINVAL);
    int fd = open("f", O_WRONLY | O_APPEND);
    CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
    CHECK_EQ(write(fd, "ab", 2), 2);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 12);
    CHECK_EQ(pwrite(fd, "c", 1, 0), 1); /* appends too */
    CHECK_STR(read_file("f"), "0123456789abc");
    char c;
    CHECK_ERR(read(fd, &c, 1), EBADF);
    CHECK_EQ(fcntl(fd, F_GETFL) & (O_ACCMODE | O_APPEND), O_WRONLY | O_APPEND);
    CHECK_EQ(fcntl(fd, F_GETFL) & (O_CREAT | O_TRUNC | O_CLOEXEC), 0);
    close(fd);
    fd = open("f", O_RDONLY | O_TRUNC);
    CHECK(fd >= 0);
    CHECK_EQ(stat_of("f").st_size, 0);
    CHECK_ERR(write(fd, "x", 1), EBADF);
    close(fd);
    fd = open("f", O_RDWR | O_CREAT | O_CLOEXEC, 0);
    CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
    close(fd);
}

TEST(creation_mode)
{
    fresh_dir("t_mode");
    mode_t old = umask(027);
    int fd = open("a", O_CREAT | O_RDWR, 06777);
    umask(old);
    CHECK_EQ(stat_of("a").st_mode & 07777, 06750);
    close(fd);
    fd = open("b", O_CREAT | O_RDWR, 0); /* no permission, yet this descriptor may write */
    CHECK_EQ(write(fd, "x", 1), 1);
    CHECK_EQ(stat_of("b").st_mode & 07777, 0);
    close(fd);
}

TEST(tmpfile)
{
    char path[64];
    fresh_dir("t_tmpfile");
    CHECK_ERR(open(".", O_TMPFILE | O_RDONLY, 0600), EINVAL);
    int fd = openat(AT_FDCWD, ".", O_TMPFILE | O_RDWR, 0600);
    CHECK(fd >= 0);
    CHECK_EQ(write(fd, "tmp", 3), 3);
    struct stat st;
    CHECK_EQ(fstat(fd, &st), 0);
    CHECK_EQ(st.st_nlink, 0);
    CHECK_STR(names_in("."), "");
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    CHECK_EQ(linkat(AT_FDCWD, path, AT_FDCWD, "named", AT_SYMLINK_FOLLOW), 0);
    CHECK_STR(read_file("named"), "tmp");
    CHECK_EQ(stat_of("named").st_nlink, 1);
    close(fd);
    fd = open(".", O_TMPFILE | O_RDWR | O_EXCL, 0600);
    CHECK(fd >= 0);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    CHECK_ERR(linkat(AT_FDCWD, path, AT_FDCWD, "no", AT_SYMLINK_FOLLOW), ENOENT);
    close(fd);
}

TEST(path_descriptors)
{
    char c;
    struct stat st;
    fresh_dir("t_opath");
    write_file("f", "hello");
    CHECK_EQ(mkdir("d", 0755), 0);
    write_file("d/in", "in");
    int fd = open("f", O_PATH);
    CHECK(fd >= 0);
    CHECK_ERR(read(fd, &c, 1), EBADF);
    CHECK_ERR(fchmod(fd, 0600), EBADF);
    CHECK_ERR(ftruncate(fd, 0), EBADF);
    CHECK_ERR(fcntl(fd, F_SETFL, O_APPEND), EBADF);
    CHECK_EQ(fcntl(fd, F_GETFL) & O_PATH, O_PATH);
    CHECK_EQ(fstat(fd, &st), 0);
    CHECK_EQ(st.st_size, 5);
    char proc[64];
    snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
    int again = open(proc, O_RDONLY);
    CHECK_EQ(read(again, &c, 1), 1);
    CHECK_EQ(c, 'h');
    close(again);
    int dfd = open("d", O_PATH);
    again = openat(dfd, "in", O_RDONLY);
    CHECK(again >= 0);
    close(again);
    CHECK_EQ(fchdir(dfd), 0);
    CHECK_STR(read_file("in"), "in");
    close(dfd);
    close(fd);
}

TEST(openat2_scopes)
{
    fresh_dir("t_openat2");
    write_file("top", "t");
    CHECK_EQ(mkdir("d", 0755), 0);
    CHECK_EQ(mkdir("d/e", 0755), 0);
    write_file("d/e/f", "f");
    CHECK_EQ(symlink("/e/f", "d/abs"), 0);
    CHECK_EQ(symlink("../top", "d/up"), 0);
    CHECK_EQ(symlink("e", "d/in"), 0);
    int d = open("d", O_RDONLY | O_DIRECTORY), fd;
    CHECK_ERR(openat2_(d, "../x", O_RDONLY, 0, RESOLVE_BENEATH), EXDEV);
    CHECK_ERR(openat2_(d, "../top", O_RDONLY, 0, RESOLVE_BENEATH), EXDEV);
    CHECK_ERR(openat2_(d, "up", O_RDONLY, 0, RESOLVE_BENEATH), EXDEV);
    CHECK_ERR(openat2_(d, "abs", O_RDONLY, 0, RESOLVE_BENEATH), EXDEV);
    CHECK_ERR(openat2_(d, "/etc", O_RDONLY, 0, RESOLVE_BENEATH), EXDEV);
    fd = openat2_(d, "e/../in/f", O_RDONLY, 0, RESOLVE_BENEATH);
    CHECK(fd >= 0);
    close(fd);
    fd = openat2_(d, "abs", O_RDONLY, 0, RESOLVE_IN_ROOT);
    CHECK(fd >= 0);
    close(fd);
    fd = openat2_(d, "/../../e/f", O_RDONLY, 0, RESOLVE_IN_ROOT);
    CHECK(fd >= 0);
    close(fd);
    CHECK_ERR(openat2_(d, "up", O_RDONLY, 0, RESOLVE_IN_ROOT), ENOENT);
    CHECK_ERR(openat2_(d, "in/f", O_RDONLY, 0, RESOLVE_NO_SYMLINKS), ELOOP);
    CHECK_ERR(openat2_(AT_FDCWD, "/proc/self/exe", O_RDONLY, 0, RESOLVE_NO_MAGICLINKS), ELOOP);
    CHECK_ERR(openat2_(AT_FDCWD, "/proc/self/status", O_RDONLY, 0, RESOLVE_NO_XDEV), EXDEV);
    CHECK_ERR(openat2_(d, "e", O_RDONLY, 0, RESOLVE_BENEATH | RESOLVE_IN_ROOT), EINVAL);
    CHECK_ERR(openat2_(d, "e", O_RDONLY, 0, 0x10000), EINVAL);
    CHECK_ERR(openat2_(d, "e", O_RDONLY | (1ULL << 40), 0, 0), EINVAL);
    CHECK_ERR(openat2_(d, "x", O_RDONLY, 0600, 0), EINVAL);
    CHECK_ERR(openat2_(d, "x", O_CREAT | O_WRONLY, 010000, 0), EINVAL);
    CHECK_ERR(openat2_(d, "e", O_PATH | O_WRONLY, 0, 0), EINVAL);
    CHECK_ERR(syscall(SYS_openat2, d, "e", &(struct open_how){0}, 8UL), EINVAL);
    struct {
        struct open_how how;
        uint64_t more;
    } big = {.how = {.flags = O_RDONLY}};
    fd = (int)syscall(SYS_openat2, d, "e", &big, sizeof(big));
    CHECK(fd >= 0);
    close(fd);
    big.more = 1;
    CHECK_ERR(syscall(SYS_openat2, d, "e", &big, sizeof(big)), E2BIG);
    close(d);
}

TEST(descriptors)
{
    fresh_dir("t_fds");
    write_file("f", "abcdef");
    char c;
    int a = open("f", O_RDONLY), b = dup(a);
    CHECK_EQ(read(a, &c, 1), 1);
    CHECK_EQ(read(b, &c, 1), 1);
    CHECK_EQ(c, 'b'); /* one position for both */
    CHECK_EQ(dup2(a, a), a);
    CHECK_ERR(dup3(a, a, 0), EINVAL);
    CHECK_ERR(dup2(999, 5), EBADF);
    CHECK_ERR(dup2(a, -1), EBADF);
    CHECK_ERR(dup2(a, 1 << 30), EBADF);
    int n = fcntl(a, F_DUPFD_CLOEXEC, 100);
    CHECK(n >= 100);
    CHECK_EQ(fcntl(n, F_GETFD), FD_CLOEXEC);
    CHECK_ERR(fcntl(a, F_DUPFD, -1), EINVAL);
    CHECK_EQ(syscall(SYS_close_range, 100, ~0U, 0), 0);
    CHECK_ERR(fcntl(n, F_GETFD), EBADF);
    CHECK_ERR(syscall(SYS_close_range, 10, 5, 0), EINVAL);
    CHECK_EQ(close(b), 0);
    CHECK_ERR(close(b), EBADF);
    CHECK_EQ(dup(a), b); /* the lowest number */
    close(a);
    close(b);
}

TEST(busy_text)
{
    fresh_dir("t_txtbsy");
    CHECK_EQ(system("cp /bin/sleep ./prog"), 0);
    pid_t pid = fork();
    if (pid == 0) {
        execl("./prog", "prog", "30", NULL);
        _exit(127);
    }
    char path[64], exe[PATH_MAX];
    snprintf(path, sizeof(path), "/proc/%d/exe", pid);
    for (;;) { /* until it runs the new program */
        ssize_t k = readlink(path, exe, sizeof(exe) - 1);
        exe[k > 0 ? k : 0] = 0;
        if (strstr(exe, "/prog"))
            break;
        usleep(1000);
    }
    CHECK_ERR(open("prog", O_WRONLY), ETXTBSY);
    CHECK_ERR(open("prog", O_RDONLY | O_TRUNC), ETXTBSY);
    CHECK_ERR(truncate("prog", 0), ETXTBSY);
    CHECK_EQ(kill(pid, 9), 0);
    waitpid(pid, NULL, 0);
    int fd = open("prog", O_WRONLY);
    CHECK(fd >= 0);
    pid = fork();
    if (pid == 0) {
        execl("./prog", "prog", "0", NULL);
        _exit(errno == ETXTBSY ? 55 : 56);
    }
    int st;
    waitpid(pid, &st, 0);
    CHECK_EQ(WEXITSTATUS(st), 55);
    close(fd);
}
