/*
 * Host calls that change directories and attributes, relative to directory
 * fds; only the gofer makes them. Errors are -LX_E*. A name is one component;
 * an empty name means the fd itself where the call allows AT_EMPTY_PATH.
 */
#ifndef HOST_FSAT_H
#define HOST_FSAT_H

#include "base/defs.h"

struct timespec;

int host_mkdirat(int dirfd, const char *name, u32 mode) must_check;
int host_mknodat(int dirfd, const char *name, u32 mode, u64 dev) must_check;
int host_symlinkat(const char *target, int dirfd, const char *name) must_check;
int host_linkat(int odirfd, const char *oname, int ndirfd, const char *nname, int flags) must_check;
int host_unlinkat(int dirfd, const char *name, int flags) must_check;
int host_renameat2(int odirfd, const char *oname, int ndirfd, const char *nname,
                   u32 flags) must_check;
/* Of the object behind fd, which may be O_PATH. */
int host_chown_fd(int fd, u32 uid, u32 gid) must_check;
/* times: two, atime and mtime. */
int host_utimens_fd(int fd, const struct timespec *times) must_check;
/* fchmodat2 (Linux 6.6); before that through proc_self_fd when it is not -1. -LX_EOPNOTSUPP. */
int host_chmod_fd(int fd, u32 mode, int proc_self_fd) must_check;

/* Of an fd that is not O_PATH. */
s64 host_fgetxattr(int fd, const char *name, void *buf, size_t size) must_check;
s64 host_flistxattr(int fd, char *buf, size_t size) must_check;
int host_fsetxattr(int fd, const char *name, const void *val, size_t size, int flags) must_check;
int host_fremovexattr(int fd, const char *name) must_check;

#endif
