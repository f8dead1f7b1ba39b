/* See fsat.h. */
#include "host/fsat.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "abi/errno.h"

#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif

static int result(int r)
{
    return r < 0 ? -errno : r;
}

int host_mkdirat(int dirfd, const char *name, u32 mode)
{
    return result(mkdirat(dirfd, name, mode));
}

int host_mknodat(int dirfd, const char *name, u32 mode, u64 dev)
{
    return result(mknodat(dirfd, name, mode, dev));
}

int host_symlinkat(const char *target, int dirfd, const char *name)
{
    return result(symlinkat(target, dirfd, name));
}

int host_linkat(int odirfd, const char *oname, int ndirfd, const char *nname, int flags)
{
    return result(linkat(odirfd, oname, ndirfd, nname, flags));
}

int host_unlinkat(int dirfd, const char *name, int flags)
{
    return result(unlinkat(dirfd, name, flags));
}

int host_renameat2(int odirfd, const char *oname, int ndirfd, const char *nname, u32 flags)
{
    return result((int)syscall(SYS_renameat2, odirfd, oname, ndirfd, nname, flags));
}

int host_chown_fd(int fd, u32 uid, u32 gid)
{
    return result(fchownat(fd, "", uid, gid, AT_EMPTY_PATH));
}

int host_utimens_fd(int fd, const struct timespec *times)
{
    return result((int)syscall(SYS_utimensat, fd, "", times, AT_EMPTY_PATH));
}

int host_chmod_fd(int fd, u32 mode, int proc_self_fd)
{
    int r = result((int)syscall(SYS_fchmodat2, fd, "", mode, AT_EMPTY_PATH));
    if (r != -LX_ENOSYS || proc_self_fd < 0)
        return r == -LX_ENOSYS ? -LX_EOPNOTSUPP : r;
    char name[16];
    snprintf(name, sizeof(name), "%d", fd);
    return result(fchmodat(proc_self_fd, name, mode, 0));
}

s64 host_fgetxattr(int fd, const char *name, void *buf, size_t size)
{
    ssize_t r = fgetxattr(fd, name, buf, size);
    return r < 0 ? -errno : r;
}

s64 host_flistxattr(int fd, char *buf, size_t size)
{
    ssize_t r = flistxattr(fd, buf, size);
    return r < 0 ? -errno : r;
}

int host_fsetxattr(int fd, const char *name, const void *val, size_t size, int flags)
{
    return result(fsetxattr(fd, name, val, size, flags));
}

int host_fremovexattr(int fd, const char *name)
{
    return result(fremovexattr(fd, name));
}
