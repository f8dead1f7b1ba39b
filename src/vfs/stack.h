/*
 * For file systems that stand on other file systems (overlay): the steps that system calls take,
 * on explicit directories and without permission checks.
 */
#ifndef VFS_STACK_H
#define VFS_STACK_H

#include "vfs/vfs.h"

/* dir->inode->lock held: as dentry_lookup. */
int dentry_lookup_locked(struct dentry *dir, const char *name, size_t size,
                         struct dentry **ret_d) must_check REQUIRES(dir->inode->lock);
/* Locks two directories of one super for a rename, the ancestor first. */
void lock_rename(struct dentry *a, struct dentry *b);
void unlock_rename(struct dentry *a, struct dentry *b);
/* After the file system's op succeeded, with the directories still locked. */
void dentry_unlinked(struct dentry *d);
void dentry_move(struct dentry *d, struct dentry *target);
void dentry_exchange(struct dentry *a, struct dentry *b);
/* What was read at p moves its access time, by the rules of p's mount. */
void path_accessed(const struct path *p);
/* A mount of the subtree at p, in no namespace: a layer. */
struct mount *mount_clone(struct mount *old, struct dentry *root) must_check;

#endif
