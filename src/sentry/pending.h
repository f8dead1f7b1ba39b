/* What boot expects of rooms that are being written; see pending.c. */
#ifndef SENTRY_PENDING_H
#define SENTRY_PENDING_H

#include "vfs/vfs.h"

int overlay_new_on_tmpfs(struct super *lower, u64 size, struct super **ret_sb) must_check;
extern int (*vfs_host_reopen_ro)(int fd);

#endif
