/* Open files and fs contexts: beyond vfs.h, for the vfs, fs and sys rooms. */
#ifndef VFS_FILE_H
#define VFS_FILE_H

#include "vfs/vfs.h"

/* A file on p (consumed, also on failure) with operations of the caller's choice; open is not
 * called. */
int file_new_at(struct path *p, const struct file_ops *ops, void *priv, u32 flags, u32 fmode,
                struct file **ret_f) must_check;
/* Of file.mode, beside those of vfs.h: can tell whether a read or write would wait (RWF_NOWAIT). */
#define FMODE_NOWAIT 8192U
/* O_* of the open(2) whose file ops->create is making on this thread; 0: not from open. */
extern _Thread_local u32 vfs_create_flags;
/* Replace a context's root or working directory (checked by the caller); refs p. */
void fs_ctx_set_root(struct fs_ctx *fs, const struct path *p);
void fs_ctx_set_cwd(struct fs_ctx *fs, const struct path *p);
/* /proc/sys/fs: protected_symlinks and kin (proc_sys_fs(5)), mount-max. */
extern _Atomic s64 vfs_protected_symlinks, vfs_protected_hardlinks, vfs_protected_fifos,
    vfs_protected_regular, vfs_mount_max;
/* How many bytes of a write of `count` at pos RLIMIT_FSIZE allows: > 0, or -LX_EFBIG after SIGXFSZ.
 */
s64 vfs_write_limit(u64 pos, u64 count) must_check;
/* Waits for, or starts, writing back; absent op: -LX_EINVAL. */
int vfs_fsync(struct file *f, bool is_data_only) must_check;
int vfs_fallocate(struct file *f, u32 mode, s64 off, s64 len) must_check;
int vfs_ftruncate(struct file *f, s64 size) must_check;
/*
 * A second host descriptor of a memfd, open for reading only: mappings that a guest may not write
 * are made from it. Set by sentry to what works inside the sandbox; until then by /proc/self/fd.
 * The new fd (CLOEXEC), or -LX_Exxx.
 */
extern int (*vfs_host_reopen_ro)(int fd);

#endif
