/* See fdio.h. */
#include "host/fdio.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <linux/stat.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* The value of a host call, repeated while it is interrupted. */
#define HOST_CALL(call)                                                                            \
    ({                                                                                             \
        s64 call_r_;                                                                               \
        do                                                                                         \
            call_r_ = (call);                                                                      \
        while (call_r_ < 0 && errno == EINTR);                                                     \
        call_r_ < 0 ? -(s64)errno : call_r_;                                                       \
    })

void host_close(int fd)
{
    if (fd >= 0)
        close(fd);
}

int host_dup(int fd)
{
    return (int)HOST_CALL(fcntl(fd, F_DUPFD_CLOEXEC, 0));
}

s64 host_pread(int fd, void *buf, size_t size, s64 off)
{
    return HOST_CALL(pread(fd, buf, size, off));
}

s64 host_pread_nowait(int fd, void *buf, size_t size, s64 off)
{
    struct iovec iov = {buf, size};
    return HOST_CALL(preadv2(fd, &iov, 1, off, RWF_NOWAIT));
}

s64 host_pwrite(int fd, const void *buf, size_t size, s64 off, u32 flags)
{
    if (flags == 0)
        return HOST_CALL(pwrite(fd, buf, size, off));
    struct iovec iov = {(void *)(uintptr_t)buf, size};
    return HOST_CALL(pwritev2(fd, &iov, 1, off, (int)flags));
}

s64 host_lseek(int fd, s64 off, int whence)
{
    return HOST_CALL(lseek(fd, off, whence));
}

int host_ftruncate(int fd, s64 size)
{
    return (int)HOST_CALL(ftruncate(fd, size));
}

int host_fallocate(int fd, int mode, s64 off, s64 size)
{
    return (int)HOST_CALL(fallocate(fd, mode, off, size));
}

int host_fsync(int fd, bool is_data_only)
{
    return (int)HOST_CALL(is_data_only ? fdatasync(fd) : fsync(fd));
}

int host_syncfs(int fd)
{
    return (int)HOST_CALL(syncfs(fd));
}

int host_fstatx(int fd, u32 mask, struct statx *ret)
{
    return (int)HOST_CALL(statx(fd, "", AT_EMPTY_PATH, mask, ret));
}

int host_statxat(int dirfd, const char *name, int flags, u32 mask, struct statx *ret)
{
    return (int)HOST_CALL(statx(dirfd, name, flags, mask, ret));
}

int host_fstatfs(int fd, struct statfs *ret)
{
    return (int)HOST_CALL(fstatfs(fd, ret));
}

s64 host_getdents(int fd, void *buf, size_t size)
{
    return HOST_CALL(syscall(SYS_getdents64, fd, buf, size));
}

s64 host_readlinkat(int dirfd, const char *name, char *buf, size_t size)
{
    return HOST_CALL(readlinkat(dirfd, name, buf, size));
}

int host_openat2(int dirfd, const char *name, u64 flags, u32 mode, u64 resolve)
{
    struct open_how how = {.flags = flags | O_CLOEXEC, .mode = mode, .resolve = resolve};
    return (int)HOST_CALL(syscall(SYS_openat2, dirfd, name, &how, sizeof(how)));
}
