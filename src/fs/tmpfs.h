/* tmpfs: files in memory. For boot, the overlay's upper layer and memfd_create. */
#ifndef FS_TMPFS_H
#define FS_TMPFS_H

#include "vfs/vfs.h"

extern struct fs_type tmpfs_type;

/* Registers the type and makes the internal mount of memfds. */
int tmpfs_init(void) must_check;
/* What size= and nr_inodes= default to: half of this many bytes. At start; else the host's memory.
 */
void tmpfs_set_memory(u64 bytes);
/* memfd_create(2): flags LX_MFD_CLOEXEC, ALLOW_SEALING, NOEXEC_SEAL, EXEC (checked by the caller).
 */
int tmpfs_memfd_new(const char *name, u32 mfd_flags, struct file **ret_f) must_check;
/* Flags of a file of a tmpfs (file_flags.h); i->lock held. */
int tmpfs_set_flags(struct inode *i, u32 flags) must_check;

#endif
