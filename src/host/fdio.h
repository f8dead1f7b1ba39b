/*
 * Host calls on file descriptors, with the project's error convention: a value
 * of at least 0, or -LX_E* (host and guest numbers are the same on Linux).
 * Interrupted calls are repeated. No call here opens a path but those with
 * "at" in their name, which the Sentry's filter allows only with directfs.
 */
#ifndef HOST_FDIO_H
#define HOST_FDIO_H

#include "base/defs.h"

struct statx;
struct statfs;
struct timespec;

void host_close(int fd); /* harmless on -1 */
int host_dup(int fd) must_check;
s64 host_pread(int fd, void *buf, size_t size, s64 off) must_check;
/* -LX_EAGAIN where that would wait for a disk. */
s64 host_pread_nowait(int fd, void *buf, size_t size, s64 off) must_check;
/* flags: RWF_APPEND, RWF_SYNC, RWF_DSYNC as on the host; with RWF_APPEND off is ignored. */
s64 host_pwrite(int fd, const void *buf, size_t size, s64 off, u32 flags) must_check;
s64 host_lseek(int fd, s64 off, int whence) must_check;
int host_ftruncate(int fd, s64 size) must_check;
int host_fallocate(int fd, int mode, s64 off, s64 size) must_check;
int host_fsync(int fd, bool is_data_only) must_check;
/* Attributes of the open file itself. */
int host_fstatx(int fd, u32 mask, struct statx *ret) must_check;
int host_statxat(int dirfd, const char *name, int flags, u32 mask, struct statx *ret) must_check;
int host_syncfs(int fd) must_check;
int host_fstatfs(int fd, struct statfs *ret) must_check;
/* Raw linux_dirent64 records; 0 at the end. */
s64 host_getdents(int fd, void *buf, size_t size) must_check;
s64 host_readlinkat(int dirfd, const char *name, char *buf, size_t size) must_check;
/* openat2: O_CLOEXEC is added. resolve: RESOLVE_*. An fd. */
int host_openat2(int dirfd, const char *name, u64 flags, u32 mode, u64 resolve) must_check;

#endif
