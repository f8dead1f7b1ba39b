/* What file systems may ask of the dentry cache besides names (vfs.h). */
#ifndef VFS_DCACHE_H
#define VFS_DCACHE_H

#include "vfs/vfs.h"

/*
 * Drops the names of sb that nobody uses, present and absent, so that they are looked up again:
 * for a file system that others have changed. Directories with cached names below stay.
 */
void dentry_forget_unused(struct super *sb);

#endif
