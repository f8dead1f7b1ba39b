/* Contents: reading, writing, holes, space, copies, directories as data. */
#include <sys/resource.h>

#include <sys/ioctl.h>

#include "fs_common.h"

TEST(positions)
{
    char buf[32];
    fresh_dir("t_pos");
    write_file("f", "0123456789");
    int fd = open("f", O_RDWR);
    CHECK_EQ(lseek(fd, -3, SEEK_END), 7);
    CHECK_EQ(read(fd, buf, 32), 3);
    CHECK_EQ(read(fd, buf, 32), 0);
    CHECK_EQ(lseek(fd, 100, SEEK_SET), 100);
    CHECK_EQ(read(fd, buf, 1), 0);
    CHECK_ERR(lseek(fd, -1, SEEK_SET), EINVAL);
    CHECK_ERR(lseek(fd, -101, SEEK_CUR), EINVAL);
    CHECK_ERR(lseek(fd, 0, 99), EINVAL);
    CHECK_ERR(lseek(fd, INT64_MAX, SEEK_END), EINVAL);
    CHECK_EQ(pread(fd, buf, 4, 8), 2);
    CHECK_ERR(pread(fd, buf, 1, -1), EINVAL);
    CHECK_ERR(pread(fd, buf, 10, INT64_MAX), EINVAL);
    CHECK_EQ(pwrite(fd, "x", 1, 20), 1);
    CHECK_EQ(pread(fd, buf, 32, 8), 13);
    CHECK(memcmp(buf, "89\0\0\0\0\0\0\0\0\0\0x", 13) == 0);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 100);
    struct iovec v[3] = {{buf, 2}, {NULL, 0}, {buf + 5, 3}};
    CHECK_EQ(preadv(fd, v, 3, 1), 5);
    CHECK(memcmp(buf, "12", 2) == 0 && memcmp(buf + 5, "345", 3) == 0);
    CHECK_ERR(readv(fd, v, -1), EINVAL);
    CHECK_ERR(readv(fd, v, 2000), EINVAL);
    v[0].iov_len = SIZE_MAX;
    CHECK_ERR(readv(fd, v, 3), EINVAL);
    CHECK_ERR(write(fd, (void *)(uintptr_t)16, 5), EFAULT);
    CHECK_EQ(write(fd, (void *)(uintptr_t)16, 0), 0);
    close(fd);
    int p[2];
    CHECK_EQ(pipe(p), 0);
    CHECK_ERR(lseek(p[0], 0, SEEK_CUR), ESPIPE);
    CHECK_ERR(pread(p[0], buf, 1, 0), ESPIPE);
    close(p[0]);
    close(p[1]);
}

TEST(holes)
{
    fresh_dir("t_holes");
    int fd = open("f", O_CREAT | O_RDWR, 0644);
    CHECK_EQ(ftruncate(fd, 10 << 20), 0);
    CHECK_EQ(stat_of("f").st_blocks, 0);
    CHECK_EQ(pwrite(fd, "x", 1, 5 << 20), 1);
    CHECK(stat_of("f").st_blocks <= 64);
    CHECK_EQ(lseek(fd, 0, SEEK_DATA), 5 << 20);
    CHECK_EQ(lseek(fd, 0, SEEK_HOLE), 0);
    off_t end = lseek(fd, 5 << 20, SEEK_HOLE);
    CHECK(end > 5 << 20 && end <= (5 << 20) + 65536);
    CHECK_ERR(lseek(fd, end, SEEK_DATA), ENXIO);
    CHECK_ERR(lseek(fd, 10 << 20, SEEK_HOLE), ENXIO);
    CHECK_EQ(ftruncate(fd, (5 << 20) + 1), 0);
    char c = 1;
    CHECK_EQ(ftruncate(fd, 10 << 20), 0);
    CHECK_EQ(pread(fd, &c, 1, (5 << 20) + 1), 1);
    CHECK_EQ(c, 0);
    CHECK_ERR(ftruncate(fd, -1), EINVAL);
    close(fd);
    fd = open("f", O_RDONLY);
    CHECK_ERR(ftruncate(fd, 0), EINVAL);
    close(fd);
    CHECK_ERR(truncate(".", 0), EISDIR);
    CHECK_ERR(truncate("none", 0), ENOENT);
}

TEST(space)
{
    char buf[100];
    fresh_dir("t_space");
    int fd = open("f", O_CREAT | O_RDWR, 0644);
    memset(buf, 'a', 100);
    CHECK_EQ(write(fd, buf, 100), 100);
    if (fallocate(fd, 0, 0, 200) < 0 && errno == EOPNOTSUPP)
        return;
    CHECK_EQ(stat_of("f").st_size, 200);
    CHECK_EQ(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 1 << 20), 0);
    CHECK_EQ(stat_of("f").st_size, 200);
    CHECK(stat_of("f").st_blocks >= 2048);
    CHECK_EQ(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 10, 20), 0);
    CHECK_EQ(pread(fd, buf, 40, 0), 40);
    CHECK_EQ(buf[9], 'a');
    CHECK_EQ(buf[10], 0);
    CHECK_EQ(buf[29], 0);
    CHECK_EQ(buf[30], 'a');
    CHECK_ERR(fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, 10), EOPNOTSUPP);
    CHECK_ERR(fallocate(fd, 0, 0, 0), EINVAL);
    CHECK_ERR(fallocate(fd, 0, -1, 10), EINVAL);
    CHECK_ERR(fallocate(fd, 0, INT64_MAX, 10), EFBIG);
    close(fd);
    fd = open("f", O_RDONLY);
    CHECK_ERR(fallocate(fd, 0, 0, 10), EBADF);
    close(fd);
}

TEST(copy_range)
{
    fresh_dir("t_copy");
    char buf[8192];
    for (int i = 0; i < 8192; i++)
        buf[i] = (char)(i * 7);
    int a = open("a", O_CREAT | O_RDWR, 0644), b = open("b", O_CREAT | O_RDWR, 0644);
    CHECK_EQ(write(a, buf, 8192), 8192);
    loff_t in = 1000, out = 0;
    CHECK_EQ(copy_file_range(a, &in, b, &out, 4096, 0), 4096);
    CHECK_EQ(in, 5096);
    CHECK_EQ(out, 4096);
    char got[4096];
    CHECK_EQ(pread(b, got, 4096, 0), 4096);
    CHECK(memcmp(got, buf + 1000, 4096) == 0);
    CHECK_EQ(lseek(a, 0, SEEK_SET), 0);
    CHECK_EQ(copy_file_range(a, NULL, b, NULL, 100, 0), 100);
    CHECK_EQ(lseek(a, 0, SEEK_CUR), 100);
    CHECK_EQ(lseek(b, 0, SEEK_CUR), 100);
    in = 8192;
    CHECK_EQ(copy_file_range(a, &in, b, NULL, 100, 0), 0);
    in = 0;
    out = 10;
    CHECK_ERR(copy_file_range(a, &in, a, &out, 100, 0), EINVAL); /* overlapping */
    CHECK_ERR(copy_file_range(a, NULL, b, NULL, 1, 1), EINVAL);
    int ro = open("b", O_RDONLY), d = open(".", O_RDONLY);
    CHECK_ERR(copy_file_range(a, NULL, ro, NULL, 1, 0), EBADF);
    CHECK_ERR(copy_file_range(d, NULL, b, NULL, 1, 0), EISDIR);
    close(a);
    close(b);
    close(ro);
    close(d);
}

TEST(file_size_limit)
{
    fresh_dir("t_fsize");
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit old, small;
    CHECK_EQ(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = old;
    small.rlim_cur = 10;
    int fd = open("f", O_CREAT | O_RDWR, 0644);
    CHECK_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
    ssize_t first = write(fd, "0123456789abc", 13);
    ssize_t second = write(fd, "x", 1);
    int second_errno = errno;
    int third = ftruncate(fd, 11);
    int third_errno = errno;
    CHECK_EQ(setrlimit(RLIMIT_FSIZE, &old), 0);
    signal(SIGXFSZ, SIG_DFL);
    CHECK_EQ(first, 10);
    CHECK_EQ(second, -1);
    CHECK_EQ(second_errno, EFBIG);
    CHECK_EQ(third, -1);
    CHECK_EQ(third_errno, EFBIG);
    close(fd);
}

TEST(big_file)
{
    enum { MB = 1 << 20, N = 24 };
    fresh_dir("t_big");
    char *buf = malloc(MB);
    int fd = open("f", O_CREAT | O_RDWR, 0644);
    for (int i = 0; i < N; i++) {
        memset(buf, 'A' + i, MB);
        CHECK_EQ(write(fd, buf, MB), MB);
    }
    for (int i = N - 1; i >= 0; i--) {
        CHECK_EQ(pread(fd, buf, MB, (off_t)i * MB), MB);
        CHECK(buf[0] == 'A' + i && buf[MB - 1] == 'A' + i);
    }
    CHECK_EQ(pread(fd, buf, MB, MB / 2), MB);
    CHECK(buf[0] == 'A' && buf[MB - 1] == 'B');
    char *m = mmap(NULL, (size_t)N * MB, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(m != MAP_FAILED);
    CHECK_EQ(m[3 * MB], 'D');
    m[3 * MB] = '!';
    CHECK_EQ(pread(fd, buf, 1, 3 * MB), 1);
    CHECK_EQ(buf[0], '!');
    CHECK_EQ(pwrite(fd, "?", 1, 3 * MB + 1), 1);
    CHECK_EQ(m[3 * MB + 1], '?');
    CHECK_EQ(munmap(m, (size_t)N * MB), 0);
    close(fd);
    free(buf);
}

TEST(directories)
{
    enum { N = 500 };
    char name[32];
    fresh_dir("t_readdir");
    for (int i = 0; i < N; i++) {
        snprintf(name, sizeof(name), "name-%d", i);
        write_file(name, "");
    }
    DIR *d = opendir(".");
    struct dirent *e;
    long at = 0;
    int n = 0, seen[N] = {0};
    while ((e = readdir(d))) {
        int k;
        if (sscanf(e->d_name, "name-%d", &k) == 1) {
            CHECK(k >= 0 && k < N && !seen[k]);
            seen[k] = 1;
            CHECK_EQ(e->d_type, DT_REG);
            CHECK_EQ(e->d_ino, stat_of(e->d_name).st_ino);
        }
        if (++n == 100)
            at = telldir(d);
        if (n % 50 == 0) /* what goes meanwhile hurts nobody else */
            CHECK_EQ(unlink(e->d_name), 0);
    }
    CHECK_EQ(n, N + 2);
    seekdir(d, at);
    int rest = 0;
    while (readdir(d))
        rest++;
    CHECK(rest <= N + 2 - 100 && rest >= N + 2 - 100 - 10);
    rewinddir(d);
    n = 0;
    while (readdir(d))
        n++;
    CHECK_EQ(n, N + 2 - 10);
    closedir(d);
    char small[20];
    int fd = open(".", O_RDONLY);
    CHECK_ERR(syscall(SYS_getdents64, fd, small, sizeof(small)), EINVAL);
    CHECK_ERR(syscall(SYS_getdents64, fd, (void *)8, 4096), EFAULT);
    CHECK(syscall(SYS_getdents64, fd, (void *)8, 4096) == -1); /* all of the 64 bits */
    close(fd);
    fd = open(names_in(".")[0] ? "name-1" : ".", O_RDONLY);
    CHECK_ERR(syscall(SYS_getdents64, fd, small, sizeof(small)), ENOTDIR);
    close(fd);
}

TEST(statx_and_statfs)
{
    struct statx sx;
    struct statfs sf;
    fresh_dir("t_statx");
    write_file("f", "12345");
    CHECK_EQ(statx(AT_FDCWD, "f", 0, STATX_BASIC_STATS, &sx), 0);
    CHECK_EQ(sx.stx_size, 5);
    CHECK_EQ(sx.stx_mask & STATX_BASIC_STATS, STATX_BASIC_STATS);
    CHECK_EQ(sx.stx_ino, stat_of("f").st_ino);
    int fd = open("f", O_RDONLY);
    CHECK_EQ(statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &sx), 0);
    CHECK_ERR(statx(fd, "", 0, STATX_BASIC_STATS, &sx), ENOENT);
    CHECK_ERR(statx(fd, "x", 0, STATX_BASIC_STATS, &sx), ENOTDIR);
    CHECK_ERR(statx(AT_FDCWD, "f", 0x80000, STATX_BASIC_STATS, &sx), EINVAL);
    CHECK_EQ(fstatfs(fd, &sf), 0);
    CHECK(sf.f_bsize > 0 && sf.f_namelen == 255);
    CHECK(sf.f_blocks >= sf.f_bfree && sf.f_bfree >= sf.f_bavail);
    close(fd);
    CHECK_ERR(statfs("none", &sf), ENOENT);
    CHECK_EQ(statx(AT_FDCWD, "/proc", 0, 0, &sx), 0);
    CHECK(sx.stx_attributes & STATX_ATTR_MOUNT_ROOT);
}

TEST(writes_after_unlink)
{
    char buf[16] = {0};
    fresh_dir("t_unlinked");
    write_file("f", "abc");
    int a = open("f", O_RDWR), b = open("f", O_RDONLY);
    CHECK_EQ(unlink("f"), 0);
    CHECK_EQ(pwrite(a, "XYZ", 3, 1), 3);
    CHECK_EQ(read(b, buf, 16), 4);
    CHECK_STR(buf, "aXYZ");
    struct stat st;
    CHECK_EQ(fstat(a, &st), 0);
    CHECK_EQ(st.st_nlink, 0);
    CHECK_EQ(fchmod(a, 0600), 0);
    char path[64], to[PATH_MAX];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", a);
    ssize_t n = readlink(path, to, sizeof(to) - 1);
    to[n > 0 ? n : 0] = 0;
    CHECK(strlen(to) > 10 && !strcmp(to + strlen(to) - 10, " (deleted)"));
    close(a);
    close(b);
}

TEST(rw_flags)
{
    char buf[32] = {0};
    struct iovec w = {"XY", 2}, r = {buf, sizeof(buf)};
    write_file("rwf", "abcdef");
    int fd = open("rwf", O_RDWR), ap = open("rwf", O_RDWR | O_APPEND);
    CHECK(fd >= 0 && ap >= 0);
    CHECK_EQ(pwritev2(fd, &w, 1, 1, RWF_DSYNC), 2);
    CHECK_EQ(pwritev2(fd, &w, 1, 0, RWF_APPEND | RWF_SYNC), 2);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 0);
    CHECK_EQ(pwritev2(fd, &w, 1, -1, RWF_APPEND), 2);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 10);
    CHECK_EQ(preadv2(fd, &r, 1, 0, RWF_HIPRI), 10);
    CHECK_STR(buf, "aXYdefXYXY");
    CHECK_ERR(pwritev2(fd, &w, 1, 0, 0x4000), EOPNOTSUPP);
    CHECK_ERR(preadv2(fd, &r, 1, -2, 0), EINVAL);
    CHECK_EQ(pwritev2(ap, &w, 1, 0, 0), 2);
    CHECK_EQ(lseek(fd, 0, SEEK_END), 12);
    if (pwritev2(ap, &w, 1, 0, 0x20) == 2) { /* RWF_NOAPPEND: since 6.9 */
        CHECK_EQ(lseek(fd, 0, SEEK_END), 12);
        CHECK_ERR(pwritev2(ap, &w, 1, 0, 0x20 | RWF_APPEND), EINVAL);
    }
    close(ap);
    close(fd);
    int p[2];
    CHECK_EQ(pipe(p), 0);
    CHECK_ERR(preadv2(p[0], &r, 1, -1, RWF_NOWAIT), EAGAIN);
    CHECK_EQ(pwritev2(p[1], &w, 1, -1, RWF_NOWAIT), 2);
    CHECK_EQ(preadv2(p[0], &r, 1, -1, RWF_NOWAIT), 2);
    CHECK_ERR(preadv2(p[0], &r, 1, 0, 0), ESPIPE);
    CHECK_EQ(fcntl(p[0], F_GETFL) & O_NONBLOCK, 0);
    int null = open("/dev/null", O_RDWR), full = open("/dev/full", O_RDWR), proc = open("/proc/self/stat", O_RDONLY);
    CHECK_EQ(preadv2(null, &r, 1, 0, RWF_NOWAIT), 0);
    CHECK_EQ(pwritev2(null, &w, 1, 0, RWF_NOWAIT), 2);
    CHECK_ERR(pwritev2(full, &w, 1, 0, RWF_NOWAIT), EOPNOTSUPP);
    CHECK_ERR(preadv2(proc, &r, 1, 0, RWF_NOWAIT), EOPNOTSUPP);
    CHECK_EQ(close(null) | close(full) | close(proc), 0);
    close(p[0]);
    close(p[1]);
    unlink("rwf");
}

#ifndef FICLONE
#define FICLONE 0x40049409
#endif

TEST(no_reflinks)
{
    int a = memfd_create("a", 0), b = memfd_create("b", 0), d = open("/dev/null", O_RDWR);
    int dir = open(".", O_RDONLY);
    CHECK(a >= 0 && b >= 0 && d >= 0 && dir >= 0);
    CHECK_EQ(write(a, "xyz", 3), 3);
    CHECK_ERR(ioctl(b, FICLONE, a), EOPNOTSUPP);
    CHECK_ERR(ioctl(b, FICLONE, -1), EBADF);
    CHECK_ERR(ioctl(b, FICLONE, d), EXDEV);
    CHECK_ERR(ioctl(b, FICLONE, dir), EXDEV);
    close(a);
    close(b);
    close(d);
    close(dir);
}

TEST(reading_moves_atime)
{
    char c;
    struct timespec old[2] = {{1000, 0}, {2000, 0}};
    write_file("at", "x");
    CHECK_EQ(utimensat(AT_FDCWD, "at", old, 0), 0);
    int fd = open("at", O_RDONLY);
    CHECK_EQ(read(fd, &c, 1), 1);
    close(fd);
    CHECK(stat_of("at").st_atim.tv_sec > 2000);
    CHECK_EQ(stat_of("at").st_mtim.tv_sec, 2000);
    CHECK_EQ(utimensat(AT_FDCWD, "at", old, 0), 0);
    fd = open("at", O_RDONLY | O_NOATIME);
    CHECK_EQ(read(fd, &c, 1), 1);
    close(fd);
    CHECK_EQ(stat_of("at").st_atim.tv_sec, 1000);
    unlink("at");
}
