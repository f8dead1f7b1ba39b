/*
 * The fcntl(2) commands beyond descriptors and status flags: locks, owners and
 * signals, pipe sizes, seals, leases, dnotify, write hints. The dispatcher handles
 * F_DUPFD*, F_GETFD, F_SETFD, F_GETFL, F_SETFL itself and sends the rest here.
 */
#ifndef VFS_FCNTL_EXT_H
#define VFS_FCNTL_EXT_H

#include "vfs/vfs.h"

/* -LX_EINVAL for an unknown command. O_PATH files never come here (EBADF is the caller's). */
s64 fcntl_ext(struct file *f, int fd, int cmd, u64 arg) must_check;

/*
 * O_ASYNC was set or cleared by F_SETFL (or FIOASYNC): starts or stops SIGIO
 * for f. Called after f->flags changed. Errors: LX_ENOMEM.
 */
int fasync_update(struct file *f, int fd, bool is_on) must_check;
/* file release: frees f->fasync. No callback runs afterwards. */
void fasync_release(struct file *f);

/* FIOSETOWN, SIOCSPGRP: as F_SETOWN; FIOGETOWN as F_GETOWN (vids; groups negative). */
int fowner_set(struct file *f, s32 vid) must_check;
s32 fowner_get(struct file *f);
/* Raises the owner's signal now (urgent data, a broken lease): code LX_POLL_*, band WAIT_*. signo 0: the
 * one of F_SETSIG, or SIGIO. Without an owner: nothing. Takes no lock that callers may hold. */
void fowner_signal(struct file *f, int signo, int code, u32 band);

#endif
