/*
 * Mounts by file descriptor: what the handlers of fsopen(2) and kin call. Permission to mount is
 * checked here unless said otherwise; paths are ours.
 */
#ifndef VFS_MOUNT_FD_H
#define VFS_MOUNT_FD_H

#include "abi/mount.h"
#include "vfs/vfs.h"

/* May the current task change mounts. */
bool mount_may(void);
int vfs_fsopen(const char *type, struct file **ret_f) must_check;
/* A context of the mounted file system whose root `at` is; permission was checked. */
int vfs_fspick(const struct path *at, struct file **ret_f) must_check;
bool vfs_is_fscontext(const struct file *f);
/* cmd: LX_FSCONFIG_*; key and val as the command has them (checked), else NULL. */
int vfs_fsconfig(struct file *f, u32 cmd, const char *key, const char *val) must_check;
/* attr: LX_MOUNT_ATTR_*. An O_PATH file that owns the new, detached mount; permission was checked.
 */
int vfs_fsmount(struct file *f, u64 attr, struct file **ret_f) must_check;
/* open_tree(OPEN_TREE_CLONE); permission was checked. */
int vfs_clone_tree(const struct path *at, bool is_recursive, struct file **ret_f) must_check;
int vfs_move_mount(const struct path *from, const struct path *at) must_check;
/* a's values were checked, and permission. */
int vfs_mount_setattr(const struct path *at, const struct lx_mount_attr *a,
                      bool is_recursive) must_check;
/*
 * statmount(2): fills st and the strings behind it (buf, of size; offsets in st count from
 * buf's start). id as statmount's, of the current namespace. Errors are the call's.
 */
s64 vfs_statmount(u64 id, u64 mask, struct lx_statmount *st, char *buf, size_t size) must_check;
/* listmount(2): numbers of mounts below `id`, after the number `last` (0: from the start). */
s64 vfs_listmount(u64 id, u64 last, bool is_reverse, u64 *ids, size_t count) must_check;

#endif
