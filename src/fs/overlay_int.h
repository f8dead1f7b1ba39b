/*
 * Overlay's own parts: overlay.c (supers, options), overlay_node.c (nodes, lookup),
 * overlay_copy.c (copy-up), overlay_dir.c (changes of names), overlay_inode.c
 * (attributes), overlay_file.c (open files), overlay_readdir.c.
 *
 * A node (inode.priv) stands for an object of the merged tree:
 *
 *            upper only      new files, and opaque directories
 *            lower only      one for files; a stack for directories
 *   copy-up  both            the upper one counts; a directory is merged
 *
 * Attributes are mirrored in the overlay's inode: permission checks and stat of a
 * cached name look at no layer, but stat of what has an upper reads that (memory).
 *
 * Lock order: overlay dir inode.lock → overlay inode.lock → node.lock → upper dir inode.lock →
 * upper inode.lock; ovl_super.table_lock is a leaf.
 */
#ifndef FS_OVERLAY_INT_H
#define FS_OVERLAY_INT_H

#include "fs/overlay.h"
#include "vfs/stack.h"

#define OVL_MAX_LOWERS 500
#define OVL_MAX_DEPTH  VFS_MAX_DEPTH /* overlays on overlays */
#define OVL_NBUCKETS   256

struct ovl_super {
    struct path upper;   /* root of the upper layer, owned; zero: read-only */
    struct path *lowers; /* roots, topmost first; owned */
    u32 nlowers, depth;
    bool is_private;    /* whiteouts by INODE_WHITEOUT, marks that guests cannot name */
    const char *prefix; /* of our marks: "trusted.overlay." … */
    char *options;      /* for mountinfo; owned */
    struct mutex table_lock;
    struct list by_lower[OVL_NBUCKETS]; /* nodes of lower files with several names */
};

struct ovl_node {
    struct inode *inode; /* immutable, not owned */
    struct list bucket;  /* in by_lower; guarded by table_lock */
    struct mutex lock;   /* copy-up */
    struct path upper;   /* owned; valid once has_upper; then constant */
    _Atomic bool has_upper;
    struct path *lower; /* owned; nlower of them, immutable */
    u32 nlower;
    struct inode *parent;   /* owned; the overlay's directory, for copy-up; NULL: the root */
    _Atomic bool is_orphan; /* lower only, and its name was removed */
    bool is_pinned;     /* one more reference: it differs from what a lookup would find; dir lock */
    bool has_own_nlink; /* several lower names: nlink is counted here */
    _Atomic bool is_impure; /* a directory with copied-up entries: their numbers are not upper's */
    u64 dev, ino;           /* immutable: as stat shows them */
    struct ktime btime;
    bool has_btime;
    u32 blksize;
};

static inline struct ovl_super *ovl_sb(const struct super *sb)
{
    return sb->priv;
}
static inline struct ovl_node *ovl_node(const struct inode *i)
{
    return i->priv;
}
static inline bool ovl_has_upper(const struct ovl_node *n)
{
    return atomic_load_explicit(&((struct ovl_node *)(uintptr_t)n)->has_upper,
                                memory_order_acquire);
}
/* The layer's object that counts now. */
static inline const struct path *ovl_real(const struct ovl_node *n)
{
    return ovl_has_upper(n) ? &n->upper : &n->lower[0];
}
static inline bool ovl_is_dir(const struct inode *i)
{
    return (i->mode & LX_S_IFMT) == LX_S_IFDIR;
}

/* ---- overlay_node.c ------------------------------------------------------------------------ */

extern const struct inode_ops ovl_dir_iops, ovl_inode_iops;
extern const struct file_ops ovl_dir_fops, ovl_file_fops;
extern const struct super_ops ovl_super_ops;
extern const struct dentry_ops ovl_shared_dops;

/*
 * The overlay's inode for these layer objects, which are consumed (the array `lower` too) in
 * any case. Hard links find the inode that is there already.
 */
int ovl_make(struct super *sb, struct inode *parent, struct path *upper, struct path *lower,
             u32 nlower, struct inode **ret_i) must_check;
void ovl_evict(struct inode *i);
int ovl_lookup(struct inode *dir, struct dentry *d) must_check;
/* Keeps the node for the super's life. */
void ovl_pin(struct inode *i);
void ovl_unpin(struct inode *i);
/* The child of a layer's directory; *ret_p zero when there is none. */
int ovl_child(const struct path *dir, const char *name, size_t size, struct path *ret_p) must_check;
bool ovl_is_whiteout(const struct ovl_super *os, const struct inode *real, bool is_upper);
/* Is there something in the lower layers that a name in dir would show if the upper had nothing. */
int ovl_has_lower_name(struct inode *dir, const char *name, size_t size) must_check;
/* st_ino as the overlay shows an object of the upper layer, without making a node. */
u64 ovl_upper_ino(struct ovl_super *os, struct inode *real);
u64 ovl_lower_ino(struct ovl_super *os, u32 layer, u64 ino);
/* Brings the mirrored attributes up to date. */
void ovl_mirror(struct inode *i);

/* Our marks on layer objects: name without the prefix. */
s64 ovl_get_mark(struct ovl_super *os, struct inode *real, const char *name, void *buf,
                 size_t size) must_check;
int ovl_set_mark(struct ovl_super *os, struct inode *real, const char *name, const void *val,
                 size_t size) must_check;
bool ovl_is_mark(const struct ovl_super *os, const char *xattr);

/* ---- overlay_copy.c ------------------------------------------------------------------------ */

/* Gives i an upper object, its parents first. Of a file, the first `keep` bytes matter. */
int ovl_copy_up(struct inode *i, u64 keep) must_check;
/* Real operations with the locking that they need. */
int ovl_real_setattr(struct inode *real, const struct iattr *a) must_check;
int ovl_real_stat(const struct path *p, struct kstat *st) must_check;

/* ---- overlay_inode.c ----------------------------------------------------------------------- */

int ovl_getattr(struct inode *i, struct kstat *st) must_check;
int ovl_setattr(struct inode *i, const struct iattr *a) must_check;
s64 ovl_getxattr(struct inode *i, const char *name, void *buf, size_t size) must_check;
int ovl_setxattr(struct inode *i, const char *name, const void *val, size_t size,
                 u32 flags) must_check;
s64 ovl_listxattr(struct inode *i, char *buf, size_t size) must_check;
int ovl_removexattr(struct inode *i, const char *name) must_check;
int ovl_set_acl(struct inode *i, bool is_default, struct acl *a) must_check;
#define OVL_ATTR_OPS                                                                               \
    .getattr = ovl_getattr, .setattr = ovl_setattr, .getxattr = ovl_getxattr,                      \
    .setxattr = ovl_setxattr, .listxattr = ovl_listxattr, .removexattr = ovl_removexattr, .set_acl = ovl_set_acl

/* ---- overlay_readdir.c --------------------------------------------------------------------- */

/* 0: nothing is left in it but whiteouts of the upper layer, which are now removed. */
int ovl_clear_if_empty(struct inode *dir) must_check;

#endif
