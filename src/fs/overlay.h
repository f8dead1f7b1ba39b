/*
 * overlay: lower layers that are never changed, below an upper one that takes all
 * changes. Serves mount(2) (type "overlay", Linux's options and formats on the layers)
 * and the container's root (private formats that the guest cannot meet or forge).
 */
#ifndef FS_OVERLAY_H
#define FS_OVERLAY_H

#include "vfs/vfs.h"

extern struct fs_type overlay_type;

/*
 * A root file system: lowers from the topmost down, upper may be NULL (then it is
 * read-only). References are taken. Whiteouts and marks in the upper layer are private:
 * character devices 0/0 and trusted.overlay.* attributes in it are the guest's own.
 */
int overlay_new(struct super *const *lowers, u32 nlowers, struct super *upper,
                struct super **ret_sb) must_check;
/* An overlay whose upper layer is a fresh tmpfs of that size (0: half of memory). */
int overlay_new_on_tmpfs(struct super *lower, u64 size, struct super **ret_sb) must_check;

#endif
