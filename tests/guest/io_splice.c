/* splice, tee, vmsplice, sendfile; memfd; devices. */
#include <sys/mman.h>
#include <termios.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>

#include "io_common.h"

static int file_with(const char *text)
{
    unlink("splice.tmp");
    int fd = open("splice.tmp", O_RDWR | O_CREAT, 0600);
    CHECK(fd >= 0);
    CHECK_EQ(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
    unlink("splice.tmp");
    return fd;
}

TEST(file_to_pipe_and_back)
{
    int fd = file_with("hello world"), p[2];
    char buf[32] = {0};
    off_t off = 6;
    CHECK_EQ(pipe(p), 0);
    CHECK_EQ(splice(fd, NULL, p[1], NULL, 5, 0), 5);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 5);
    CHECK_EQ(splice(fd, &off, p[1], NULL, 100, 0), 5);
    CHECK_EQ(off, 11);
    CHECK_EQ(splice(fd, &off, p[1], NULL, 100, 0), 0); /* end of file */
    CHECK_EQ(read(p[0], buf, 3), 3);
    off = 0;
    CHECK_EQ(splice(p[0], NULL, fd, &off, 100, 0), 7);
    CHECK_EQ(off, 7);
    CHECK_EQ(pread(fd, buf, sizeof(buf), 0), 11);
    CHECK(!memcmp(buf, "loworldorld", 11));
    close(p[1]);
    CHECK_EQ(splice(p[0], NULL, fd, NULL, 100, 0), 0);
    close(p[0]);
    close(fd);
}

TEST(splice_errors)
{
    int fd = file_with("hello"), p[2], q[2];
    off_t off = 0;
    CHECK_EQ(pipe(p), 0);
    CHECK_EQ(pipe(q), 0);
    CHECK_ERR(splice(fd, NULL, fd, NULL, 5, 0), EINVAL);
    CHECK_ERR(splice(p[0], &off, fd, NULL, 5, 0), ESPIPE);
    CHECK_ERR(splice(fd, NULL, p[1], &off, 5, 0), ESPIPE);
    CHECK_ERR(splice(p[1], NULL, fd, NULL, 5, 0), EBADF);
    CHECK_ERR(splice(fd, NULL, p[0], NULL, 5, 0), EBADF);
    CHECK_ERR(splice(p[0], NULL, p[1], NULL, 5, 0), EINVAL);
    CHECK_ERR(splice(fd, NULL, p[1], NULL, 5, 0x100), EINVAL);
    CHECK_ERR(splice(p[0], NULL, fd, NULL, 5, SPLICE_F_NONBLOCK), EAGAIN);
    CHECK_EQ(splice(p[0], NULL, fd, NULL, 0, 0), 0);
    CHECK_EQ(fcntl(fd, F_SETFL, O_APPEND), 0);
    CHECK_EQ(write(p[1], "x", 1), 1);
    CHECK_ERR(splice(p[0], NULL, fd, NULL, 1, 0), EINVAL);
    for (int i = 0; i < 2; i++) {
        close(p[i]);
        close(q[i]);
    }
    close(fd);
}

TEST(pipe_to_pipe_and_tee)
{
    int p[2], q[2];
    char buf[16] = {0};
    CHECK_EQ(pipe(p), 0);
    CHECK_EQ(pipe(q), 0);
    CHECK_EQ(write(p[1], "abcdef", 6), 6);
    CHECK_EQ(tee(p[0], q[1], 4, 0), 4);
    CHECK_EQ(read(q[0], buf, 16), 4);
    CHECK(!memcmp(buf, "abcd", 4));
    CHECK_EQ(splice(p[0], NULL, q[1], NULL, 3, 0), 3);
    CHECK_EQ(read(q[0], buf, 16), 3);
    CHECK(!memcmp(buf, "abc", 3));
    CHECK_EQ(read(p[0], buf, 16), 3);
    CHECK(!memcmp(buf, "def", 3));
    CHECK_ERR(tee(p[0], q[1], 4, SPLICE_F_NONBLOCK), EAGAIN);
    CHECK_ERR(tee(p[0], p[1], 4, 0), EINVAL);
    CHECK_EQ(tee(p[0], q[1], 0, 0), 0);
    for (int i = 0; i < 2; i++) {
        close(p[i]);
        close(q[i]);
    }
}

TEST(vmsplice_both_ways)
{
    int p[2];
    char a[4] = "abc", b[8] = {0};
    struct iovec w = {a, 3}, r = {b, 8};
    CHECK_EQ(pipe(p), 0);
    CHECK_EQ(vmsplice(p[1], &w, 1, 0), 3);
    CHECK_EQ(vmsplice(p[0], &r, 1, 0), 3);
    CHECK_STR(b, "abc");
    CHECK_ERR(vmsplice(p[0], &r, 1, SPLICE_F_NONBLOCK), EAGAIN);
    CHECK_ERR(vmsplice(0x7fff, &r, 1, 0), EBADF);
    close(p[0]);
    close(p[1]);
}

TEST(sendfile_copies)
{
    int fd = file_with("hello world"), s[2], p[2];
    char buf[32] = {0};
    off_t off = 6;
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, s), 0);
    CHECK_EQ(sendfile(s[0], fd, &off, 100), 5);
    CHECK_EQ(off, 11);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 0);
    CHECK_EQ(sendfile(s[0], fd, NULL, 5), 5);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 5);
    CHECK_EQ(read(s[1], buf, sizeof(buf)), 10);
    CHECK_STR(buf, "worldhello");
    CHECK_EQ(pipe(p), 0);
    CHECK_EQ(sendfile(p[1], fd, NULL, 3), 3);
    CHECK_ERR(sendfile(fd, p[0], NULL, 3), EINVAL);
    CHECK_ERR(sendfile(p[0], fd, NULL, 3), EBADF);
    off = -1;
    CHECK_ERR(sendfile(s[0], fd, &off, 3), EINVAL);
    int out = file_with("");
    off = 0;
    CHECK_EQ(sendfile(out, fd, &off, 11), 11);
    CHECK_EQ(pread(out, buf, sizeof(buf), 0), 11);
    for (int i = 0; i < 2; i++) {
        close(s[i]);
        close(p[i]);
    }
    close(out);
    close(fd);
}

TEST(sendfile_big)
{
    enum { SIZE = 1 << 20 };
    int fd = file_with(""), out = file_with("");
    char *buf = malloc(SIZE), *back = malloc(SIZE);
    for (int i = 0; i < SIZE; i++)
        buf[i] = (char)(i * 7 / 3);
    CHECK_EQ(write(fd, buf, SIZE), SIZE);
    CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
    CHECK_EQ(sendfile(out, fd, NULL, SIZE * 2), SIZE);
    CHECK_EQ(pread(out, back, SIZE, 0), SIZE);
    CHECK(!memcmp(buf, back, SIZE));
    free(buf);
    free(back);
    close(fd);
    close(out);
}

#ifndef F_ADD_SEALS
#define F_ADD_SEALS 1033
#define F_GET_SEALS 1034
#endif

TEST(memfd_and_seals)
{
    char buf[8];
    int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    CHECK(fd >= 0);
    CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
    CHECK_EQ(fcntl(fd, F_GET_SEALS), 0);
    CHECK_EQ(write(fd, "hello", 5), 5);
    CHECK_EQ(pread(fd, buf, 8, 0), 5);
    CHECK_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW), 0);
    CHECK_ERR(ftruncate(fd, 100), EPERM);
    CHECK_EQ(ftruncate(fd, 3), 0);
    CHECK_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
    CHECK_ERR(ftruncate(fd, 1), EPERM);
    void *m = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(m != MAP_FAILED);
    CHECK_ERR(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EBUSY);
    CHECK_EQ(munmap(m, 4096), 0);
    CHECK_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SEAL), 0);
    CHECK_ERR(pwrite(fd, "x", 1, 0), EPERM);
    CHECK_ERR(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW), EPERM);
    CHECK_EQ(fcntl(fd, F_GET_SEALS), F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
    CHECK(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
    close(fd);
    fd = memfd_create("plain", 0);
    CHECK_EQ(fcntl(fd, F_GET_SEALS), F_SEAL_SEAL);
    CHECK_ERR(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW), EPERM);
    close(fd);
    char name[300];
    memset(name, 'x', sizeof(name));
    name[250] = 0;
    CHECK_ERR(memfd_create(name, 0), EINVAL);
    name[249] = 0;
    fd = memfd_create(name, 0);
    CHECK(fd >= 0);
    close(fd);
    CHECK_ERR(memfd_create("x", 0x80000000U), EINVAL);
    CHECK_ERR(memfd_create(bad_ptr(), 0), EFAULT);
}

TEST(devices)
{
    char buf[64];
    struct stat st;
    int null = open("/dev/null", O_RDWR), zero = open("/dev/zero", O_RDWR), full = open("/dev/full", O_RDWR);
    CHECK(null >= 0 && zero >= 0 && full >= 0);
    CHECK_EQ(read(null, buf, 8), 0);
    CHECK_EQ(write(null, buf, 8), 8);
    CHECK_EQ(lseek(null, 100, SEEK_SET), 0);
    memset(buf, 'x', sizeof(buf));
    CHECK_EQ(read(zero, buf, 64), 64);
    for (int i = 0; i < 64; i++)
        CHECK_EQ(buf[i], 0);
    CHECK_EQ(write(zero, buf, 64), 64);
    CHECK_EQ(read(full, buf, 64), 64);
    CHECK_ERR(write(full, buf, 1), ENOSPC);
    CHECK_ERR(ioctl(null, TCGETS, buf), ENOTTY);
    CHECK_EQ(fstat(null, &st), 0);
    CHECK(S_ISCHR(st.st_mode));
    CHECK_EQ(st.st_rdev, makedev(1, 3));
    CHECK_EQ(ftruncate(null, 0), -1);
    close(null);
    null = open("/dev/null", O_WRONLY | O_TRUNC | O_CREAT, 0666);
    CHECK(null >= 0);
    char *m = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE, zero, 0);
    CHECK(m != MAP_FAILED);
    CHECK_EQ(m[5000], 0);
    m[5000] = 1;
    CHECK_EQ(munmap(m, 8192), 0);
    m = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, zero, 0);
    CHECK(m != MAP_FAILED);
    m[0] = 1;
    if (fork() == 0) {
        m[1] = 2;
        _exit(0);
    }
    wait(NULL);
    CHECK_EQ(m[1], 2);
    CHECK_EQ(munmap(m, 8192), 0);
    close(null);
    close(zero);
    close(full);
}

TEST(random_devices)
{
    unsigned char a[64], b[64];
    int r = open("/dev/urandom", O_RDONLY), q = open("/dev/random", O_RDONLY);
    CHECK(r >= 0 && q >= 0);
    CHECK_EQ(read(r, a, 64), 64);
    CHECK_EQ(read(q, b, 64), 64);
    CHECK(memcmp(a, b, 64) != 0);
    CHECK_EQ(poll_of(r, POLLIN), POLLIN);
    close(r);
    close(q);
}

TEST(dev_links)
{
    char buf[64];
    ssize_t n = readlink("/dev/fd", buf, sizeof(buf));
    CHECK_EQ(n, 13);
    CHECK(!memcmp(buf, "/proc/self/fd", 13));
    struct stat st;
    CHECK_EQ(stat("/dev/shm", &st), 0);
    CHECK_EQ(st.st_mode & 07777, 01777);
    CHECK_EQ(stat("/dev/ptmx", &st), 0);
    CHECK(S_ISCHR(st.st_mode));
    CHECK_EQ(st.st_rdev, makedev(5, 2));
}
