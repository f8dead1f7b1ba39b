/* The FUSE protocol, version 7.31: fuse(4) and the kernel's uapi. */
#ifndef ABI_FUSE_H
#define ABI_FUSE_H

#include <stdint.h>

#define LX_FUSE_VERSION       7U
#define LX_FUSE_MINOR         31U
#define LX_FUSE_ROOT_ID       1U
#define LX_FUSE_MIN_READ      8192U
#define LX_FUSE_DEV_IOC_CLONE 0x8004e500U
#define LX_FUSE_MAJOR         10U /* misc devices */
#define LX_FUSE_DEV_MINOR     229U

enum {
    LX_FUSE_LOOKUP = 1,
    LX_FUSE_FORGET = 2,
    LX_FUSE_GETATTR = 3,
    LX_FUSE_SETATTR = 4,
    LX_FUSE_READLINK = 5,
    LX_FUSE_SYMLINK = 6,
    LX_FUSE_MKNOD = 8,
    LX_FUSE_MKDIR = 9,
    LX_FUSE_UNLINK = 10,
    LX_FUSE_RMDIR = 11,
    LX_FUSE_RENAME = 12,
    LX_FUSE_LINK = 13,
    LX_FUSE_OPEN = 14,
    LX_FUSE_READ = 15,
    LX_FUSE_WRITE = 16,
    LX_FUSE_STATFS = 17,
    LX_FUSE_RELEASE = 18,
    LX_FUSE_FSYNC = 20,
    LX_FUSE_SETXATTR = 21,
    LX_FUSE_GETXATTR = 22,
    LX_FUSE_LISTXATTR = 23,
    LX_FUSE_REMOVEXATTR = 24,
    LX_FUSE_FLUSH = 25,
    LX_FUSE_INIT = 26,
    LX_FUSE_OPENDIR = 27,
    LX_FUSE_READDIR = 28,
    LX_FUSE_RELEASEDIR = 29,
    LX_FUSE_FSYNCDIR = 30,
    LX_FUSE_ACCESS = 34,
    LX_FUSE_CREATE = 35,
    LX_FUSE_INTERRUPT = 36,
    LX_FUSE_IOCTL = 39,
    LX_FUSE_NOTIFY_REPLY = 41,
    LX_FUSE_BATCH_FORGET = 42,
    LX_FUSE_FALLOCATE = 43,
    LX_FUSE_READDIRPLUS = 44,
    LX_FUSE_RENAME2 = 45,
    LX_FUSE_LSEEK = 46,
};

/* INIT flags */
#define LX_FUSE_ATOMIC_O_TRUNC     (1U << 3)
#define LX_FUSE_BIG_WRITES         (1U << 5)
#define LX_FUSE_DONT_MASK          (1U << 6)
#define LX_FUSE_HAS_IOCTL_DIR      (1U << 11)
#define LX_FUSE_AUTO_INVAL_DATA    (1U << 12)
#define LX_FUSE_DO_READDIRPLUS     (1U << 13)
#define LX_FUSE_READDIRPLUS_AUTO   (1U << 14)
#define LX_FUSE_NO_OPEN_SUPPORT    (1U << 17)
#define LX_FUSE_PARALLEL_DIROPS    (1U << 18)
#define LX_FUSE_MAX_PAGES          (1U << 22)
#define LX_FUSE_NO_OPENDIR_SUPPORT (1U << 24)
#define LX_FUSE_EXPLICIT_INVAL     (1U << 25)

#define LX_FATTR_MODE      1U
#define LX_FATTR_UID       2U
#define LX_FATTR_GID       4U
#define LX_FATTR_SIZE      8U
#define LX_FATTR_ATIME     16U
#define LX_FATTR_MTIME     32U
#define LX_FATTR_FH        64U
#define LX_FATTR_ATIME_NOW 128U
#define LX_FATTR_MTIME_NOW 256U

#define LX_FOPEN_DIRECT_IO   1U
#define LX_FOPEN_KEEP_CACHE  2U
#define LX_FOPEN_NONSEEKABLE 4U
#define LX_FOPEN_STREAM      16U

#define LX_FUSE_NOTIFY_INVAL_INODE 2
#define LX_FUSE_NOTIFY_INVAL_ENTRY 3
#define LX_FUSE_NOTIFY_STORE       4
#define LX_FUSE_NOTIFY_RETRIEVE    5
#define LX_FUSE_NOTIFY_DELETE      6

#define LX_FUSE_IOCTL_DIR     16U
#define LX_FUSE_IOCTL_RETRY   4U
#define LX_FUSE_IOCTL_MAX_IOV 256

struct lx_fuse_in_header {
    uint32_t len, opcode;
    uint64_t unique, nodeid;
    uint32_t uid, gid, pid, padding;
};
struct lx_fuse_out_header {
    uint32_t len;
    int32_t error;
    uint64_t unique;
};
struct lx_fuse_attr {
    uint64_t ino, size, blocks, atime, mtime, ctime;
    uint32_t atimensec, mtimensec, ctimensec, mode, nlink, uid, gid, rdev, blksize, flags;
};
struct lx_fuse_entry_out {
    uint64_t nodeid, generation, entry_valid, attr_valid;
    uint32_t entry_valid_nsec, attr_valid_nsec;
    struct lx_fuse_attr attr;
};
struct lx_fuse_attr_out {
    uint64_t attr_valid;
    uint32_t attr_valid_nsec, dummy;
    struct lx_fuse_attr attr;
};
struct lx_fuse_init_in {
    uint32_t major, minor, max_readahead, flags;
};
struct lx_fuse_init_out {
    uint32_t major, minor, max_readahead, flags;
    uint16_t max_background, congestion_threshold;
    uint32_t max_write, time_gran;
    uint16_t max_pages, padding;
    uint32_t unused[8];
};
struct lx_fuse_getattr_in {
    uint32_t flags, dummy;
    uint64_t fh;
};
struct lx_fuse_setattr_in {
    uint32_t valid, padding;
    uint64_t fh, size, lock_owner, atime, mtime, ctime;
    uint32_t atimensec, mtimensec, ctimensec, mode, unused4, uid, gid, unused5;
};
struct lx_fuse_open_in {
    uint32_t flags, open_flags;
};
struct lx_fuse_create_in {
    uint32_t flags, mode, umask, open_flags;
};
struct lx_fuse_open_out {
    uint64_t fh;
    uint32_t open_flags, padding;
};
struct lx_fuse_mknod_in {
    uint32_t mode, rdev, umask, padding;
};
struct lx_fuse_mkdir_in {
    uint32_t mode, umask;
};
struct lx_fuse_rename2_in {
    uint64_t newdir;
    uint32_t flags, padding;
};
struct lx_fuse_read_in {
    uint64_t fh, offset;
    uint32_t size, read_flags;
    uint64_t lock_owner;
    uint32_t flags, padding;
};
struct lx_fuse_write_in {
    uint64_t fh, offset;
    uint32_t size, write_flags;
    uint64_t lock_owner;
    uint32_t flags, padding;
};
struct lx_fuse_write_out {
    uint32_t size, padding;
};
struct lx_fuse_release_in {
    uint64_t fh;
    uint32_t flags, release_flags;
    uint64_t lock_owner;
};
struct lx_fuse_flush_in {
    uint64_t fh;
    uint32_t unused, padding;
    uint64_t lock_owner;
};
struct lx_fuse_fsync_in {
    uint64_t fh;
    uint32_t fsync_flags, padding;
};
struct lx_fuse_statfs_out {
    uint64_t blocks, bfree, bavail, files, ffree;
    uint32_t bsize, namelen, frsize, padding, spare[6];
};
struct lx_fuse_xattr_in { /* of get, list (size, 0) and set (size, flags) */
    uint32_t size, flags;
};
struct lx_fuse_xattr_out {
    uint32_t size, padding;
};
struct lx_fuse_fallocate_in {
    uint64_t fh, offset, length;
    uint32_t mode, padding;
};
struct lx_fuse_lseek_in {
    uint64_t fh, offset;
    uint32_t whence, padding;
};
struct lx_fuse_dirent {
    uint64_t ino, off;
    uint32_t namelen, type;
    char name[];
};
struct lx_fuse_direntplus { /* the entry that LOOKUP gives, then a dirent */
    struct lx_fuse_entry_out entry;
    struct lx_fuse_dirent dirent;
};
struct lx_fuse_access_in {
    uint32_t mask, padding;
};
struct lx_fuse_interrupt_in {
    uint64_t unique;
};
struct lx_fuse_forget_in {
    uint64_t nlookup;
};
struct lx_fuse_batch_forget_in {
    uint32_t count, dummy;
};
struct lx_fuse_forget_one {
    uint64_t nodeid, nlookup;
};
struct lx_fuse_ioctl_in {
    uint64_t fh;
    uint32_t flags, cmd;
    uint64_t arg;
    uint32_t in_size, out_size;
};
struct lx_fuse_ioctl_out {
    int32_t result;
    uint32_t flags, in_iovs, out_iovs;
};
struct lx_fuse_notify_store { /* and retrieve, with notify_unique first */
    uint64_t nodeid, offset;
    uint32_t size, padding;
};
struct lx_fuse_notify_retrieve {
    uint64_t notify_unique, nodeid, offset;
    uint32_t size, padding;
};
struct lx_fuse_notify_retrieve_in {
    uint64_t dummy1, offset;
    uint32_t size, dummy2;
    uint64_t dummy3, dummy4;
};
struct lx_fuse_notify_delete {
    uint64_t parent, child;
    uint32_t namelen, padding;
};
struct lx_fuse_inval_inode {
    uint64_t ino;
    int64_t off, len;
};
struct lx_fuse_inval_entry {
    uint64_t parent;
    uint32_t namelen, flags;
};

#endif
