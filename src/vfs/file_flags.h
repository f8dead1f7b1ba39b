/*
 * Flags of files as chattr(1) sets them: append-only, immutable and kin. A file system that keeps
 * them names file_flags_ioctl in its files' and directories' ioctl.
 */
#ifndef VFS_FILE_FLAGS_H
#define VFS_FILE_FLAGS_H

#include "vfs/vfs.h"

/* Of inode.flags, beside those of vfs.h: FS_NODUMP_FL, FS_NOATIME_FL. */
#define INODE_NODUMP     64U
#define INODE_NOATIME    128U
#define INODE_FILE_FLAGS (INODE_APPEND | INODE_IMMUTABLE | INODE_NODUMP | INODE_NOATIME)

/* Sets these of INODE_FILE_FLAGS, clears the others. */
void inode_set_file_flags(struct inode *i, u32 flags);
/*
 * FS_IOC_GETFLAGS, FS_IOC_SETFLAGS, FS_IOC_FSGETXATTR, FS_IOC_FSSETXATTR; others are -LX_ENOTTY. What statx
 * tells of a file is shown too. set applies INODE_FILE_FLAGS with i->lock held; NULL: none can be
 * set here.
 */
s64 file_flags_ioctl(struct file *f, u32 cmd, u64 arg,
                     int (*set)(struct inode *i, u32 flags)) must_check;

#endif
