/*
 * Mount trees: what mount.c (trees) offers to propagate.c (copies and
 * propagation) and mount_calls.c (the system calls). Functions marked W need
 * mount_lock for writing (mount_tree_begin).
 */
#ifndef VFS_MOUNT_H
#define VFS_MOUNT_H

#include "vfs/mount_fd.h"
#include "vfs/stack.h"
#include "vfs/vfs.h"

#define MOUNT_LOCKED_FLAGS (LX_MS_RDONLY | LX_MS_NOSUID | LX_MS_NODEV | LX_MS_NOEXEC)
#define MOUNT_LOCK_ATIME   0x80000000U /* in locked_flags */

void mount_tree_begin(void); /* takes mount_lock for writing */
void mount_tree_end(void);
struct list *mount_all(void); /* all mounts in trees, by all_node */
struct mount *mount_tree_next(struct mount *m, struct mount *top); /* pre-order; any lock mode */
void mount_link(struct mount *m, struct mount *parent, struct dentry *d); /* W */
struct dentry *mount_unlink(struct mount *m);                             /* W; put the result */
void mount_tree_enter_ns(struct mount *top, struct mnt_ns *ns);           /* W */
void mount_ns_changed(struct mnt_ns *ns);                                 /* W */
void mount_set_propagation(struct mount *m, u32 type);                    /* W; LX_MS_SHARED … */
void mount_lock_one(struct mount *m);                                     /* W */
/* W. The lowest number without peers and slaves, until one of these uses it; 0: out of memory. */
int mount_new_group(void);
void mount_set_peer(struct mount *m, int group);                /* W */
void mount_set_master(struct mount *m, int group);              /* W */
struct list *mount_peers(int group);                            /* by peer_node */
struct list *mount_slaves(int group);                           /* by slave_node */
u64 *mount_group_stamp(int group);                              /* of the operation that was there last; W */
void mount_tree_dissolve(struct mount *top, bool is_sealed, struct list *gone); /* W */
void mount_put_gone(struct list *gone);                         /* no lock */
struct mnt_ns *mount_ns_alloc(void) must_check;

/* ---- propagate.c --------------------------------------------------------------------------- */

#define MOUNT_COPY_UNBINDABLE 1U /* also what may not be bound (a namespace's copy) */
#define MOUNT_COPY_TOP_ONLY   2U
/* W. A detached copy of the part of m's tree below `root`; the caller owns the top's reference. */
int mount_copy_tree(struct mount *m, struct dentry *root, u32 flags,
                    struct mount **ret_top) must_check;
/* W. Puts m's tree at (parent, d) and everywhere that it propagates to. */
int mount_attach_locked(struct mount *m, struct mount *parent, struct dentry *d) must_check;
/* W. Dissolves m and what its removal propagates to. */
void mount_detach_locked(struct mount *m, struct list *gone);

/* ---- mount_calls.c: also for the file-descriptor based calls ------------------------------- */

int mount_bind_copy(const struct path *from, bool is_recursive, struct mount **ret_m) must_check;
/* Frees a detached tree that its owner gives up (no-op on one that was attached), and the
 * reference. */
void mount_drop_detached(struct mount *m);
int mount_move(const struct path *from, const struct path *at) must_check;
int mount_check_flags_locked(const struct mount *m, u32 flags) must_check; /* W; may they be set */
int mount_set_flags_locked(struct mount *m, u32 flags) must_check;         /* W */
/* m's flags with some set and cleared; atime: LX_MS_RELATIME …, 0: as it is. */
u32 mount_changed_flags(const struct mount *m, u32 set, u32 clear, u32 atime);
bool mount_is_ours(const struct mount *m);
/* Remounts the file system: the super, not a mount. */
int mount_reconfigure(struct super *sb, bool is_rdonly, const char *opts) must_check;

#endif
