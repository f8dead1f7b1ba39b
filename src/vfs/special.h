/*
 * Special inodes: what open(2) of a FIFO or a character device gives. File
 * systems make such inodes with special_fops(mode) as their fops.
 *
 * Character devices are found by number at open: the driver's ops replace the file's, and its
 * own open is called. No driver: ENXIO. Sockets and block devices: ENXIO.
 * The mount's nodev is the caller's to check (EACCES).
 */
#ifndef VFS_SPECIAL_H
#define VFS_SPECIAL_H

#include "vfs/vfs.h"

/* For S_IFIFO, S_IFCHR, S_IFBLK and S_IFSOCK; NULL for other modes. */
const struct file_ops *special_fops(u32 mode);

/* At start, by the fs room. */
void special_set_fifo(const struct file_ops *fops);
/* Minors [minor, minor + count). name: static, for /proc/devices. */
void chrdev_register(u32 major, u32 minor, u32 count, const char *name,
                     const struct file_ops *fops);
/* The seek of files whose position nothing uses (eventfd and kin): any seek succeeds with 0. */
s64 noop_seek(struct file *f, s64 off, int whence);
/* Where the position counts entries, or bytes of a text without a size: from the start and from
 * where it is, never below 0. */
s64 cursor_seek(struct file *f, s64 off, int whence) must_check;
#define FMODE_NOOP_SEEK (FMODE_STREAM | FMODE_LSEEK)

/*
 * Set by the sentry, at start: whether the calling task's container may make or open a device (its
 * rules, which are the devices control group's of other kernels). NULL: everything.
 */
#define DEVICE_MKNOD 1U
#define DEVICE_READ  2U
#define DEVICE_WRITE 4U
extern bool (*vfs_may_device)(bool is_block, u32 major, u32 minor, u32 access);

/* For /proc/devices: the i-th registered range; false past the end. */
bool chrdev_describe(u32 i, u32 *ret_major, const char **ret_name);

/*
 * Set by epoll: takes every watch of f away. file_put calls it at the last reference, before
 * ops->release, when f->epoll_items is not empty.
 */
extern void (*vfs_epoll_release)(struct file *f);

#endif
