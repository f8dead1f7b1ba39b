/*
 * inotify(7): instances, watches, and the queue of events. The emitting side,
 * vfs_notify and vfs_notify_name, is in vfs.h; both cost one load while nothing is watched.
 *
 * A watch holds its inode. The vfs core reports LX_IN_DELETE_SELF (vfs_notify) when an inode's
 * last name and last use are gone; that ends its watches (LX_IN_IGNORED). notify_unmount
 * ends those of a file system that goes away.
 */
#ifndef VFS_NOTIFY_H
#define VFS_NOTIFY_H

#include "vfs/vfs.h"

/* flags: LX_IN_NONBLOCK, LX_IN_CLOEXEC (checked). */
int inotify_new(u32 flags, struct file **ret_f) must_check;
bool is_inotify(const struct file *f);
/* Of inotify_add_watch(2), before anything else is looked at: 0 or -LX_EINVAL. */
int inotify_check_mask(u32 mask) must_check;
/* Returns the watch descriptor. path is not consumed. f must be an inotify file (LX_EINVAL). */
int inotify_add(struct file *f, const struct path *p, u32 mask) must_check;
int inotify_rm(struct file *f, s32 wd) must_check;
/* The last mount of sb is going: IN_UNMOUNT and IN_IGNORED to every watch in it. */
void notify_unmount(struct super *sb);
/* inode_put: frees i->marks, on which no watch is left (each holds the inode). NULL is fine. */
void notify_free(struct inode *i);

/* Whether any watch is there at all. */
bool notify_is_watching(void);

#endif
