/*
 * tmpfs's own parts: tmpfs.c (supers, inodes, options), tmpfs_dir.c (names),
 * tmpfs_data.c (file contents), tmpfs_file.c (operations of open files).
 */
#ifndef FS_TMPFS_INT_H
#define FS_TMPFS_INT_H

#include "base/rbtree.h"
#include "fs/tmpfs.h"
#include "fs/xattr_store.h"

struct tmpfs_super {
    _Atomic u64 max_pages, max_inodes; /* 0: no limit */
    _Atomic u64 used_pages, used_inodes;
    u32 mode, uid, gid; /* of the root; options as given */
};

static inline struct tmpfs_super *tmpfs_sb(const struct super *sb)
{
    return sb->priv;
}

/* Charging against the limits; -LX_ENOSPC. */
int tmpfs_charge_pages(struct tmpfs_super *ts, u64 npages) must_check;
void tmpfs_uncharge_pages(struct tmpfs_super *ts, u64 npages);
int tmpfs_charge_inode(struct tmpfs_super *ts) must_check;
void tmpfs_uncharge_inode(struct tmpfs_super *ts);

/* ---- file contents (tmpfs_data.c) ---------------------------------------------------------- */

#define TMPFS_SMALL     32768U /* bytes kept in one malloced buffer */
#define TMPFS_SEG_SHIFT 21
#define TMPFS_SEG_SIZE  (1UL << TMPFS_SEG_SHIFT)
#define TMPFS_SEG_PAGES (TMPFS_SEG_SIZE / PAGE_SIZE)

struct tmpfs_seg {
    struct rb_node rb;
    u64 index; /* offset / TMPFS_SEG_SIZE */
    u8 *data;  /* TMPFS_SEG_SIZE bytes of an arena */
    u32 npages;
    u64 bits[TMPFS_SEG_PAGES / 64]; /* pages that hold data */
};

struct tmpfs_data {
    struct rwlock
        lock;  /* after inode.lock; user copies happen under it, mm.lock is never held then */
    u8 *small; /* owned: the first small_cap bytes, while the file is no larger */
    u32 small_cap, small_bits; /* one bit a page of small that holds data */
    struct rb_tree segs;
    _Atomic u64 npages; /* charged; written under lock */
    _Atomic int memfd; /* -1: not mapped so far; else the contents are there and nowhere else */
    int memfd_ro;      /* the same, opened read-only; made with memfd */
};

void tmpfs_data_init(struct tmpfs_data *d);
void tmpfs_data_done(struct tmpfs_data *d, struct tmpfs_super *ts);
/* Reads what there is of [off, off + left) below size. */
s64 tmpfs_data_read(struct tmpfs_data *d, u64 size, u64 off, struct uio *to) must_check;
/* Writes; the caller moves i->size. A short count when space or the guest's memory ends. */
s64 tmpfs_data_write(struct tmpfs_data *d, struct tmpfs_super *ts, u64 off,
                     struct uio *from) must_check;
/* The file gets `size`; old_size is what it had. */
int tmpfs_data_truncate(struct tmpfs_data *d, struct tmpfs_super *ts, u64 old_size,
                        u64 size) must_check;
int tmpfs_data_punch(struct tmpfs_data *d, struct tmpfs_super *ts, u64 off, u64 end) must_check;
/* Makes every page of the range allocated. */
int tmpfs_data_allocate(struct tmpfs_data *d, struct tmpfs_super *ts, u64 off, u64 end) must_check;
/* SEEK_DATA, SEEK_HOLE below size. */
s64 tmpfs_data_seek(struct tmpfs_data *d, u64 size, u64 off, bool is_hole) must_check;
/* Moves the contents to a memfd (once); its fds stay until the data's end. */
int tmpfs_data_promote(struct tmpfs_data *d, u64 size) must_check;
u64 tmpfs_data_pages(struct tmpfs_data *d);

/* ---- inodes -------------------------------------------------------------------------------- */

struct tmpfs_dirent {
    struct rb_node rb;         /* in the directory, by cookie */
    struct tmpfs_dirent *next; /* chain of the directory's hash */
    u64 cookie;
    struct inode *inode; /* owned */
    u32 hash, name_size;
    char name[];
};

struct tmpfs_dir { /* all guarded by the directory's inode lock */
    struct rb_tree by_cookie;
    struct tmpfs_dirent **buckets; /* owned; nbuckets is a power of two, or 0 */
    u32 nbuckets, count;
    u64 next_cookie;
    _Atomic u64 parent_ino; /* what ".." shows; 0: the root's own. Moves under the parents' locks */
};

#define TMPFS_SHORT_LINK 128

struct tmpfs_node { /* inode.priv */
    union {
        struct tmpfs_dir dir;
        struct tmpfs_data data;
    };
    struct xattr_store xattrs;
    u64 xattr_pages; /* of access control lists too */
    u32 link_pages;             /* a long symbolic link is charged as a page, as on Linux */
    _Atomic u32 seals;          /* LX_F_SEAL_* */
    _Atomic u32 nwritable_maps; /* VMAs that may write it, shared */
};

static inline struct tmpfs_node *tmpfs_node(const struct inode *i)
{
    return i->priv;
}

extern const struct inode_ops tmpfs_dir_iops, tmpfs_file_iops;
extern const struct file_ops tmpfs_dir_fops, tmpfs_file_fops;

int tmpfs_inode_new(struct super *sb, const struct inode *dir, u32 mode, u64 rdev,
                    struct inode **ret_i) must_check;
void tmpfs_dir_init(struct tmpfs_dir *d);
/* Drops all entries; deep trees are taken apart without deep recursion. */
void tmpfs_dir_done(struct tmpfs_dir *d);

int tmpfs_memfd_init(void) must_check;
int tmpfs_setattr(struct inode *i, const struct iattr *a) must_check;
int tmpfs_getattr(struct inode *i, struct kstat *st) must_check;
s64 tmpfs_getxattr(struct inode *i, const char *name, void *buf, size_t size) must_check;
int tmpfs_setxattr(struct inode *i, const char *name, const void *val, size_t size,
                   u32 flags) must_check;
s64 tmpfs_listxattr(struct inode *i, char *buf, size_t size) must_check;
int tmpfs_removexattr(struct inode *i, const char *name) must_check;
int tmpfs_set_acl(struct inode *i, bool is_default, struct acl *a) must_check;
s64 tmpfs_ioctl(struct file *f, u32 cmd, u64 arg) must_check;
/* A new inode takes what dir's default list gives. */
int tmpfs_inherit_acl(struct inode *i, struct inode *dir) must_check;

#endif
