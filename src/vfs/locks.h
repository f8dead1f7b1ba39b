/*
 * Advisory locks of files: flock(2), POSIX record locks, open file description
 * locks and leases. All of an inode's locks hang on inode->locks.
 *
 * Owners: POSIX locks belong to a file table (what CLONE_FILES shares), OFD locks and
 * flocks to an open file, leases to an open file.
 *
 * The vfs core calls
 *   locks_close_fd(f, table)   for every close(2), dup2 over, and table teardown:
 *                              drops the POSIX locks of that table on f's inode;
 *   locks_release_file(f)      at the last file_put: drops flock, OFD locks, lease;
 *   locks_free(i)              when an inode is freed;
 *   lease_break(i, flags)      at open and truncate, before write access is given.
 * Each returns at once while inode->locks is NULL.
 */
#ifndef VFS_LOCKS_H
#define VFS_LOCKS_H

#include "vfs/vfs.h"

/* op: LX_LOCK_*. -LX_EWOULDBLOCK, -LX_ERESTARTSYS, -LX_EINVAL, -LX_ENOLCK. */
int vfs_flock(struct file *f, int op) must_check;
void locks_close_fd(struct file *f, struct fdtable *table);
void locks_release_file(struct file *f);
void locks_free(struct inode *i);
/*
 * Breaks a lease that conflicts with an open with `flags` (LX_O_*; truncate: LX_O_WRONLY). Waits for
 * the holder up to lease-break-time; -LX_EWOULDBLOCK with O_NONBLOCK, -LX_ERESTARTSYS.
 */
int lease_break(struct inode *i, u32 flags) must_check;
/* The lines of /proc/locks, through emit (a whole line with its newline). */
void locks_for_each_line(void (*emit)(void *arg, const char *line), void *arg);

#endif
