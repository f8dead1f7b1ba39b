/* What the handlers of file calls share. */
#ifndef SYS_FSUTIL_H
#define SYS_FSUTIL_H

#include "vfs/file.h"
#include "vfs/vfs.h"

/*
 * The object that (dirfd, name, AT_* flags) names. LX_AT_SYMLINK_NOFOLLOW, LX_AT_EMPTY_PATH and
 * LX_AT_NO_AUTOMOUNT are understood, others are the caller's to refuse.
 */
int fs_walk_at(int dirfd, uaddr_t name, u32 at_flags, struct path *ret_path) must_check;
/* A path copied in; buf holds MAX_PATH. -LX_ENOENT for "" is the walk's. */
int fs_copy_path(char *buf, uaddr_t name) must_check;
/* A number for f; f is dropped on failure. r < 0 is passed on. */
s64 fs_install(int r, struct file *f, u32 flags) must_check;
/* Crosses to what is mounted on top of *p. */
void fs_path_top(struct path *p);

#endif
