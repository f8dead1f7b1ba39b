/*
 * vfs: inodes, dentries, mounts, open files, path walk.
 *
 * The model is Linux's: a `super` is one file system instance; an `inode` one
 * object in it; a `dentry` one name in the cache (positive or negative); a
 * `mount` a super's subtree at a place; a `path` = mount + dentry; a `file` an
 * open file description. Operations are in const tables; an absent operation
 * has the errno written beside it.
 *
 * Life cycles
 *   inode: made by its file system with inode_new (one reference), held by
 *   dentries and files; at the last inode_put, if nlink is 0 the file system's
 *   evict frees its storage, else it may be kept by the file system's own table.
 *   dentry: dentry_new under a parent in the cache; holds parent and inode.
 *   Unused dentries stay in an LRU bounded by VFS_MAX_UNUSED_DENTRIES.
 *   file: file_new → fd table, VMAs (mappable), SCM_RIGHTS … → file_put →
 *   release.
 *
 * Lock order
 *   rename_lock (per super) → inode.lock (parent before child; two directories:
 *   ancestor first, else by address) → dentry.lock → LRU lock
 *   mount_lock (rwlock, all mount trees) is taken before inode locks.
 *   file.pos_lock → inode.lock
 *   fdtable.lock and waitq locks are leaves.
 *
 * Current task: kern sets `vfs_current` for every task thread. It gives the
 * credentials, root, cwd, umask and fd table that a system call acts with.
 */
#ifndef VFS_VFS_H
#define VFS_VFS_H

#include "abi/errno.h"
#include "abi/fs.h"
#include "base/defs.h"
#include "base/list.h"
#include "base/lock.h"
#include "base/ref.h"
#include "base/wait.h"
#include "mm/mm.h"
#include "mm/uio.h"
#include "vfs/cred.h"
#include "vfs/epoch.h"

struct inode;
struct dentry;
struct mount;
struct mnt_ns;
struct file;
struct super;
struct acl;
struct path {
    struct mount *mnt;
    struct dentry *dentry;
};

struct ktime { /* a file time: CLOCK_REALTIME */
    s64 sec;
    u32 nsec;
};
struct ktime ktime_now(void); /* coarse, as file times are */

/* ---- attributes ---------------------------------------------------------------------------- */

struct kstat {
    u64 dev, ino;
    u32 mode, uid, gid;
    u64 nlink, rdev, size, blocks; /* blocks of 512 bytes */
    u32 blksize;
    struct ktime atime, mtime, ctime, btime;
    bool has_btime;
    u64 attributes, attributes_mask; /* LX_STATX_ATTR_* */
};

/* iattr.valid */
#define ATTR_MODE      1U
#define ATTR_UID       2U
#define ATTR_GID       4U
#define ATTR_SIZE      8U
#define ATTR_ATIME     16U /* to atime */
#define ATTR_MTIME     32U
#define ATTR_ATIME_NOW 64U
#define ATTR_MTIME_NOW 128U
#define ATTR_CTIME     256U
#define ATTR_KILL_PRIV 512U /* write or chown: drop set-id bits and security.capability */
#define ATTR_OPEN_TRUNC 1024U /* the size change comes from O_TRUNC */

struct iattr {
    u32 valid;
    u32 mode, uid, gid;
    u64 size;
    struct ktime atime, mtime;
    struct file *file; /* ftruncate, fchmod …: the open file, or NULL */
};

/* Linux's dev_t of major and minor, in the kernel-to-user (huge) encoding. */
#define MKDEV(ma, mi)                                                                              \
    ((((u64)(ma)&0xfffULL) << 8) | (((u64)(ma) & ~0xfffULL) << 32) | ((u64)(mi)&0xffULL) |         \
     (((u64)(mi) & ~0xffULL) << 12))
#define DEV_MAJOR(d) ((u32)((((d) >> 8) & 0xfffU) | (((d) >> 32) & ~0xfffU)))
#define DEV_MINOR(d) ((u32)(((d)&0xffU) | (((d) >> 12) & ~0xffU)))

/* ---- super --------------------------------------------------------------------------------- */

struct kstatfs {
    u64 type, bsize, blocks, bfree, bavail, files, ffree, namelen, frsize, flags;
};

struct super_ops {
    int (*statfs)(struct super *sb, struct kstatfs *ret); /* absent: ENOSYS */
    int (*sync)(struct super *sb);                        /* absent: nothing to do */
    void (*evict)(struct inode *i); /* last reference gone: free private data; absent: nothing */
    /* The last mount has gone: drop what the file system itself holds of its inodes. Absent: nothing. */
    void (*shutdown)(struct super *sb);
    void (*kill)(struct super *sb); /* last mount and inode gone: free everything */
    int (*remount)(struct super *sb, u32 flags, const char *opts); /* absent: flags only */
    void (*show_options)(struct super *sb, char *buf, size_t size); /* for mountinfo; leading comma */
    /* umount2(MNT_FORCE): what is under way fails, and what comes. Absent: nothing. No locks held. */
    void (*abort)(struct super *sb);
};

#define SB_RDONLY 1U
#define SB_NODEV_INTERNAL 2U
#define SB_NAMED 8U /* a dentry's name stands for its whole path, as on anonfs (nsfs) */
#define SB_REVALIDATE 4U /* dentries go through dentry_ops.revalidate on every walk */
/* A process in the sandbox answers for it (FUSE), or does not: lookups are made without the directory's
 * lock, no call of it under a lock of mm or for what only shows state, and nothing is stacked on it. */
#define SB_SERVED 16U
#define SB_OWN_RULES 32U /* who may change attributes is for its setattr alone to say */
#define SB_NO_UMASK 64U  /* its own to apply */
#define SB_NODEV 128U    /* its device nodes cannot be opened, whatever the mount says */

struct super {
    struct ref ref;
    const struct super_ops *ops; /* immutable */
    const struct fs_type *type;  /* immutable */
    const char *source;          /* owned; mount's first field */
    const char *subtype;         /* owned, or NULL: of "type.subtype"; set before it is seen */
    _Atomic u32 flags;           /* SB_* */
    u64 dev;                     /* st_dev; from super_alloc_dev for file systems without a device */
    struct dentry *root;         /* owned */
    const struct dentry_ops *d_ops; /* or NULL */
    u32 depth;                   /* 0, or one more than that of the supers it is stacked on; set once */
    struct mutex rename_lock;
    _Atomic u64 next_ino;
    _Atomic u32 ninodes; /* inodes alive, and one for the super itself: freed at 0 */
    struct epoch_node rcu;
    void *priv;
};

struct fs_type {
    const char *name;
    u32 flags; /* FS_* */
    /* Makes a super. source and opts are NUL-terminated, never NULL. */
    int (*mount)(const struct fs_type *t, u32 ms_flags, const char *source, const char *opts,
                 struct super **ret_sb) must_check;
    /* Is this option known and good, val NULL when it has none. Absent: mount says. */
    bool (*check_option)(const char *key, const char *val);
    const struct fs_type *next;
};
#define FS_REQUIRES_DEV 1U
#define FS_USERNS_MOUNT 2U
#define FS_HAS_SUBTYPE  4U /* also by the name "type.subtype" */

void fs_register(struct fs_type *t);
const struct fs_type *fs_find(const char *name);
/* A new super of the type that was found by this name: sets subtype. */
int super_set_subtype(struct super *sb, const char *name) must_check;
const struct fs_type *fs_types(void); /* list, for /proc/filesystems */
struct super *super_new(const struct fs_type *t, const struct super_ops *ops, const char *source,
                        void *priv); /* NULL: out of memory. dev is allocated */
/* Of a new super without inodes. Locks of a stacked super come before those of what it stands on. */
#define VFS_MAX_DEPTH 4
void super_set_depth(struct super *sb, u32 depth);
void super_get(struct super *sb);
void super_put(struct super *sb);

/* ---- inode --------------------------------------------------------------------------------- */

/*
 * Directory operations are called with dir->lock held exclusively (lookup: held
 * too), after permission checks, with names that are valid components (1 to
 * 255 bytes, no '/', not "." or ".."). On success they instantiate the dentry with
 * dentry_instantiate (create, mkdir, …); the vfs moves and drops dentries for
 * unlink, rmdir and rename. The file system updates times, nlink and size of
 * its inodes. May block. Default errno of an absent operation: EPERM
 * for making and removing, ENOTDIR for lookup.
 */
struct inode_ops {
    /* Sets the dentry's inode (dentry_instantiate) or leaves it negative and returns 0. */
    int (*lookup)(struct inode *dir, struct dentry *d) must_check;
    int (*create)(struct inode *dir, struct dentry *d, u32 mode) must_check;
    int (*mknod)(struct inode *dir, struct dentry *d, u32 mode, u64 rdev) must_check;
    int (*mkdir)(struct inode *dir, struct dentry *d, u32 mode) must_check;
    int (*symlink)(struct inode *dir, struct dentry *d, const char *target) must_check;
    int (*link)(struct inode *dir, struct dentry *d, struct inode *target) must_check;
    int (*unlink)(struct inode *dir, struct dentry *d) must_check;
    int (*rmdir)(struct inode *dir, struct dentry *d) must_check;
    /* flags: LX_RENAME_*; both directories locked, rename_lock held; the target may be negative. Absent: EPERM. */
    int (*rename)(struct inode *odir, struct dentry *od, struct inode *ndir, struct dentry *nd,
                  u32 flags) must_check;
    /* An unnamed regular file (O_TMPFILE). Absent: EOPNOTSUPP. */
    int (*tmpfile)(struct inode *dir, u32 mode, struct inode **ret_inode) must_check;
    /* Target of a symbolic link, NUL-terminated; length. Absent: EINVAL. */
    s64 (*readlink)(struct inode *i, char *buf, size_t size) must_check;
    /* Magic links of proc: jumps to a path (with references). Absent: readlink is followed. */
    int (*follow)(struct inode *i, struct path *ret_path) must_check;
    /* Fills st from the inode; absent: inode_fill_stat. */
    int (*getattr)(struct inode *i, struct kstat *st) must_check;
    /* Applies (i->lock held), after permission checks; absent: inode_apply_attr (memory only). */
    int (*setattr)(struct inode *i, const struct iattr *a) must_check;
    /* mask of LX_{R,W,X}_OK; absent: inode_generic_permission. */
    int (*permission)(struct inode *i, u32 mask) must_check;
    /* access(2) and chdir(2) alone, when permission has not refused. Absent: nothing more. */
    int (*access)(struct inode *i, u32 mask) must_check;
    /* value size; size 0 asks for the needed size. Absent: EOPNOTSUPP. Names carry the prefix. */
    s64 (*getxattr)(struct inode *i, const char *name, void *buf, size_t size) must_check;
    int (*setxattr)(struct inode *i, const char *name, const void *val, size_t size,
                    u32 flags) must_check;
    s64 (*listxattr)(struct inode *i, char *buf, size_t size) must_check;
    int (*removexattr)(struct inode *i, const char *name) must_check;
    /* A POSIX access control list, NULL to remove it; i->lock held, the caller keeps his reference. Lists are
     * read from the inode (acl.h), never by getxattr. Absent: EOPNOTSUPP. */
    int (*set_acl)(struct inode *i, bool is_default, struct acl *a) must_check;
};

#define INODE_APPEND    1U /* FS_APPEND_FL */
#define INODE_IMMUTABLE 2U
#define INODE_DEAD      4U  /* a directory that was removed: nothing can be made in it */
#define INODE_LINKABLE  8U  /* O_TMPFILE without O_EXCL: linkat may give it a first name */
#define INODE_WHITEOUT  32U /* in the upper layer of an overlay of ours: the name does not exist */
#define INODE_PRIV_XATTR 16U /* may carry security.capability: writes must drop it */

struct inode {
    struct ref ref;
    const struct inode_ops *ops;  /* immutable */
    const struct file_ops *fops;  /* immutable; what open gives a file */
    struct super *sb;             /* immutable, not owned (the mount holds it) */
    u64 ino;                      /* immutable */
    struct mutex lock;            /* Linux's i_rwsem */
    u32 mode, uid, gid;           /* guarded by lock for writing; read without */
    _Atomic u32 flags;            /* INODE_* */
    _Atomic u32 nlink;
    u64 rdev;                     /* immutable */
    _Atomic u64 size;             /* written under lock */
    u64 blocks;                   /* guarded by lock */
    struct ktime atime, mtime, ctime, btime; /* guarded by lock */
    _Atomic u32 nfast;            /* registrations of its files; fast.c's */
    _Atomic s32 write_count;      /* > 0: open for writing; < 0: being executed (ETXTBSY) */
    struct file_locks *locks;     /* flock, POSIX and OFD locks; made on first use; lock_flock.c's */
    struct inotify_marks *marks;  /* made on first use */
    void *pipe;                   /* FIFO: the pipe behind it, while open */
    void *sock;                   /* bound UNIX socket, owned by the socket */
    char *_Atomic link;           /* text of a symbolic link, if it is known and cannot change: malloced,
                                     freed with the inode. Lets walks follow without readlink */
    struct acl *_Atomic acl, *_Atomic default_acl; /* counted; written under lock, read in an epoch */
    struct inode *stacked;        /* of an upper layer: the overlay's inode on top of it; overlay.c's */
    struct epoch_node rcu;
    void *priv;                   /* the file system's */
};

/* ino 0: takes the super's next number. Mode and owner as given; times now; nlink 1. */
struct inode *inode_new(struct super *sb, u64 ino, u32 mode, const struct inode_ops *ops,
                        const struct file_ops *fops) must_check;
void inode_get(struct inode *i);
void inode_put(struct inode *i);
/* Owner of a new inode: fsuid, fsgid or the directory's with S_ISGID (which directories inherit). */
void inode_init_owner(struct inode *i, const struct inode *dir, u32 mode);
void inode_fill_stat(struct inode *i, struct kstat *st);
void inode_apply_attr(struct inode *i, const struct iattr *a) REQUIRES(i->lock);
int inode_generic_permission(struct inode *i, u32 mask) must_check;
/* The full check that vfs does: read-only super, ops->permission or generic. mask of LX_*_OK. */
int inode_permission(struct inode *i, u32 mask) must_check;
void inode_touch(struct inode *i, bool is_atime, bool is_mtime, bool is_ctime);
/* A read through f: moves atime as the mount's and the file's flags (relatime …) say. */
void file_accessed(struct file *f);
bool inode_owner_or_capable(const struct inode *i);

/* ---- dentry -------------------------------------------------------------------------------- */

struct dentry_ops {
    /* 1: still good; 0: drop it and look up again; negative: error. May block. No locks held. */
    int (*revalidate)(struct dentry *d) must_check;
    /* True: do not cache after the last use (proc). */
    bool (*is_transient)(struct dentry *d);
    /* What a lookup of an SB_SERVED super has made is in the cache now. */
    void (*cached)(struct dentry *d);
};

struct dentry {
    struct ref ref;
    struct mutex lock;
    struct super *sb;          /* immutable */
    struct dentry *_Atomic parent; /* owned; itself for a root; changed under rename_lock + lock */
    struct inode *_Atomic inode; /* owned; NULL: negative. Set once; an unlinked dentry keeps it */
    char *_Atomic name;        /* owned; changed by rename under lock; read it in an epoch */
    u32 name_size, hash;
    _Atomic bool is_hashed;    /* reachable by lookup; guarded by parent's lock */
    _Atomic bool is_mountpoint; /* some mount covers it in some namespace */
    _Atomic bool is_hidden;    /* being removed: lookups wait for the directory's lock */
    _Atomic bool is_used;      /* looked up since the LRU's hand last passed */
    u32 nmounts;               /* mounts on it, in all namespaces; guarded by mount_lock */
    struct list children;      /* guarded by lock */
    struct list sibling;       /* guarded by parent->lock */
    struct list bucket, lru;
    struct list doomed;        /* of the thread that took it out with a tree */
    struct epoch_node rcu;
    void *priv;
};

void dentry_get(struct dentry *d);
void dentry_put(struct dentry *d);
/* The parent, referenced; without d's parent's lock a rename may move d meanwhile. */
struct dentry *dentry_get_parent(struct dentry *d);
/* The same, with the name there (NUL-terminated). */
struct dentry *dentry_get_place(struct dentry *d, char name[LX_NAME_MAX + 1], size_t *ret_size);
/* Makes a root dentry for a super. Consumes the inode reference. */
struct dentry *dentry_make_root(struct super *sb, struct inode *i) must_check;
/* Gives a negative dentry its inode. Consumes the inode reference. */
void dentry_instantiate(struct dentry *d, struct inode *i);
/*
 * For a file system that must know whether anybody uses an object whose name it removes. The directory is
 * locked; from here on nobody finds d in the cache, and the count of its users only falls.
 * dentry_unhide if the name stays.
 */
static inline void dentry_hide(struct dentry *d)
{
    atomic_store_explicit(&d->is_hidden, true, memory_order_seq_cst);
}
static inline void dentry_unhide(struct dentry *d)
{
    atomic_store_explicit(&d->is_hidden, false, memory_order_seq_cst);
}
/* By whoever has just taken a reference to what he found in the cache: false, then it must be put. */
static inline bool dentry_is_findable(struct dentry *d)
{
    atomic_thread_fence(memory_order_seq_cst);
    return !atomic_load_explicit(&d->is_hidden, memory_order_relaxed);
}
/* Drops a name from the cache (host changes, revalidation). */
void dentry_drop(struct dentry *d);
/* Finds or makes (by lookup) the child; positive or negative, referenced. dir->lock not held. */
int dentry_lookup(struct dentry *dir, const char *name, size_t size, struct dentry **ret_d) must_check;
/* Cached child only; NULL when not cached. */
struct dentry *dentry_peek(struct dentry *dir, const char *name, size_t size);
/* Adds a cached positive child (readdir-ahead of remote file systems); no-op when one is cached. Consumes i. */
void dentry_prime(struct dentry *dir, const char *name, size_t size, struct inode *i);
/* A negative dentry that no lookup finds, for files without a name (O_TMPFILE, memfd): shown as
 * "name (deleted)". */
struct dentry *dentry_alloc_unhashed(struct dentry *parent, const char *name, size_t size) must_check;
bool dentry_is_ancestor(struct dentry *ancestor, struct dentry *d);

/* ---- mounts -------------------------------------------------------------------------------- */

/* mount.flags: LX_MS_RDONLY, NOSUID, NODEV, NOEXEC, NOATIME, NODIRATIME, RELATIME, … */
struct mount {
    struct ref ref;
    int id;                     /* immutable; mountinfo's first field */
    struct super *sb;           /* owned */
    struct dentry *root;        /* owned: the subtree shown */
    struct mnt_ns *_Atomic ns;  /* not owned; NULL: detached; changed under mount_lock */
    struct mount *parent;       /* guarded by mount_lock, as all below; NULL: namespace root */
    struct dentry *mountpoint;  /* owned; in parent */
    struct list children, sibling, ns_node;
    u32 flags;
    int peer_group, master_group; /* propagation: shared:N, master:N; 0 none */
    struct list peer_node, slave_node; /* in those groups */
    bool is_unbindable, is_expiring, is_marked;
    bool is_floating;           /* the top of a tree that a descriptor holds and that is mounted nowhere yet */
    bool is_locked;             /* from a more privileged user namespace: stays where it is */
    u32 locked_flags;           /* … and keeps these; MOUNT_LOCK_ATIME: and its atime rule */
    _Atomic u32 nwriters;       /* files open for writing through it */
    struct list hash, all_node; /* by (parent, mountpoint); all mounts that are in a namespace */
    struct mount *scratch;      /* of one operation under mount_lock */
    struct epoch_node rcu;
};

struct mnt_ns {
    struct ref ref;
    u64 ino;                    /* of /proc/PID/ns/mnt */
    struct mount *root;
    struct list mounts;         /* in mount order; guarded by mount_lock */
    u32 nmounts;
    _Atomic u64 event;          /* bumps on every change: pollable mountinfo */
    struct waitq wait;
    struct user_ns *user_ns;    /* its owner, counted; NULL: the root one */
};

void path_get(const struct path *p);
void path_put(struct path *p); /* harmless on a zeroed path; zeroes it */

struct mount *mount_new(struct super *sb, u32 flags) must_check; /* consumes nothing; refs sb */
void mount_get(struct mount *m);
void mount_put(struct mount *m);
int mnt_ns_new(struct mount *root, struct mnt_ns **ret_ns) must_check;
void mnt_ns_set_owner(struct mnt_ns *ns, struct user_ns *owner); /* before ns is seen; takes a reference */
/* A copy (unshare): *root and *cwd are moved to their counterparts. */
int mnt_ns_copy(struct mnt_ns *ns, struct path *root, struct path *cwd,
                struct mnt_ns **ret_ns) must_check;
/* After a copy into a less privileged user namespace: its mounts cannot be taken apart or made
 * less restricted, and what is shared becomes a slave. */
void mnt_ns_lock(struct mnt_ns *ns);
void mnt_ns_get(struct mnt_ns *ns);
void mnt_ns_put(struct mnt_ns *ns);
/* Attaches m (and what is mounted below it) on top of `at`; the tree takes its own reference. */
int mount_attach(struct mount *m, const struct path *at) must_check;
/* The system calls, after permission checks of their own; Linux's errnos. */
int vfs_mount(const char *source, const struct path *at, const char *type, u32 flags,
              const char *data) must_check;
int vfs_umount(const struct path *at, u32 flags) must_check;
int vfs_pivot_root(const struct path *new_root, const struct path *put_old) must_check;
/* Calls fn for each mount of ns that is reachable from root, in order, under mount_lock. */
void mnt_ns_for_each(struct mnt_ns *ns, void (*fn)(struct mount *m, void *arg), void *arg);
/*
 * Absolute path as seen from root: length, -LX_ENAMETOOLONG. What was removed ends in " (deleted)".
 * What root does not reach begins with "(unreachable)" (getcwd); the _any form gives its path from
 * where its mounts begin (links in /proc, maps).
 */
s64 vfs_path_string(const struct path *p, const struct path *root, char *buf, size_t size) must_check;
s64 vfs_path_string_any(const struct path *p, const struct path *root, char *buf,
                        size_t size) must_check;

/* ---- open files ---------------------------------------------------------------------------- */

struct dir_ctx {
    /* Takes one entry; false: full, stop (and do not advance). type: LX_DT_*. */
    bool (*emit)(struct dir_ctx *c, const char *name, size_t name_size, u64 ino, u32 type,
                 s64 next_off);
};

struct file_ops {
    /*
     * Data at an explicit offset (streams ignore it: it is NULL there but for pread). Return bytes moved, 0 at
     * the end, or an error. The vfs has checked the mode, handles f_pos, and
     * rejects what is absent with EINVAL. Blocking unless file_is_nonblock(f)
     * (then -LX_EAGAIN); an interrupted wait gives -LX_ERESTARTSYS. write
     * with O_APPEND: *off is set to the end by the operation itself.
     */
    s64 (*read)(struct file *f, struct uio *to, s64 *off) must_check;
    s64 (*write)(struct file *f, struct uio *from, s64 *off) must_check;
    /* New position; absent: ESPIPE. generic_seek serves files with a size. */
    s64 (*seek)(struct file *f, s64 off, int whence) must_check;
    /* Emits from f->pos on, updating it. "." and ".." included. Absent: ENOTDIR. */
    int (*readdir)(struct file *f, struct dir_ctx *ctx) must_check;
    /* The events that are ready now (WAIT_*). Absent: IN|OUT|RDNORM|WRNORM always. Must not block. */
    u32 (*poll)(struct file *f);
    /* The queue on which changes of poll are woken; absent: never changes. */
    struct waitq *(*pollq)(struct file *f);
    /* Absent: ENOTTY. FIONBIO, FIOCLEX and kin are done by the vfs. */
    s64 (*ioctl)(struct file *f, u32 cmd, u64 arg) must_check;
    /* May this be mapped so: 0 or errno (prot, flags: LX_*); absent together with host_fd: ENODEV. */
    int (*mmap)(struct file *f, u32 prot, u32 flags) must_check;
    /* As mappable_ops.host_fd. */
    int (*host_fd)(struct file *f, u64 offset, u64 size, bool is_writable_shared, int *ret_fd,
                   u64 *ret_offset) must_check;
    /* A host fd open for reading only with the whole contents at the same offsets, which change through
     * the Sentry alone while the file is open. Optional: see fast.h. */
    int (*stable_fd)(struct file *f, int *ret_fd) must_check;
    /* As the mappable_ops of the same names; optional. */
    int (*vma_opened)(struct file *f, bool is_writable_shared) must_check;
    void (*vma_closed)(struct file *f, bool is_writable_shared);
    int (*fsync)(struct file *f, bool is_data_only) must_check;            /* absent: EINVAL */
    int (*fallocate)(struct file *f, u32 mode, s64 off, s64 len) must_check; /* absent: EOPNOTSUPP */
    int (*open)(struct inode *i, struct file *f) must_check; /* absent: success; sets f->priv, may change f->ops */
    int (*flush)(struct file *f); /* each close(2) of an fd, which gives its error */
    void (*release)(struct file *f); /* last reference gone: frees f->priv */
    int (*check_flags)(struct file *f, u32 flags) must_check; /* fcntl(F_SETFL) */
    /* F_SETPIPE_SZ, F_GETPIPE_SZ, F_ADD_SEALS, F_GET_SEALS. Absent: EBADF for pipes', EINVAL for seals. */
    s64 (*fcntl)(struct file *f, int cmd, u64 arg) must_check;
    void (*show_fdinfo)(struct file *f, char *buf, size_t size); /* extra lines of /proc/PID/fdinfo */
};

/* file.mode */
#define FMODE_READ   1U
#define FMODE_WRITE  2U
#define FMODE_EXEC   4U
#define FMODE_PATH   8U  /* O_PATH */
#define FMODE_STREAM 16U /* no position: pread is ESPIPE, no pos lock */
#define FMODE_LSEEK  32U
#define FMODE_PREAD  64U
#define FMODE_WROTE  128U /* holds a write_count of the inode */
#define FMODE_NOTIFY_OFF 256U
#define FMODE_NO_TRUNCATE 1024U /* the opener's Landlock domain forbids it */
#define FMODE_NO_IOCTL    2048U /* likewise, of a device */
#define FMODE_MESSAGES 4096U /* a read or write is of one message, whole: splice must not cut */
#define FMODE_TRUNC  512U /* seen by ops->open: O_TRUNC, the contents need not be kept */

struct file {
    struct ref ref;
    const struct file_ops *ops;
    struct path path;           /* owned; never zero: anonymous files have a dentry of anonfs */
    struct inode *inode;        /* = path.dentry->inode; owned */
    u32 mode;                   /* FMODE_*; immutable after open */
    _Atomic u32 flags;          /* LX_O_* as F_GETFL shows them (creation flags dropped) */
    struct mutex pos_lock;
    s64 pos;                    /* guarded by pos_lock */
    const struct cred *cred;    /* owned: of the opener */
    struct mappable map;        /* what VMAs refer to; keeps the file */
    struct list epoll_items;    /* watches of this file; epoll.c's, under its global lock */
    void *fasync;               /* F_SETOWN state, or NULL */
    u32 lease;
    _Atomic u32 npreads, nfast; /* fast.c: preads seen here; registrations */
    struct epoch_node rcu;
    void *priv;
};

/* A file on an anonymous inode of anonfs: name as in "anon_inode:[eventfd]"; one that ends in ':'
 * gets the inode's number ("pipe:" → "pipe:[123]"). The inode's mode is given (0600 for plain anon
 * inodes, S_IFIFO, S_IFSOCK …) and its fops are ops; ops->open is not called. flags: LX_O_*. */
int file_new_anon(const char *name, u32 imode, const struct file_ops *ops, void *priv, u32 flags,
                  u32 fmode, struct file **ret_f) must_check;
/* Opens an existing inode at path with flags (permission is the caller's matter); refs path. */
int file_open_path(const struct path *p, u32 flags, struct file **ret_f) must_check;
void file_get(struct file *f);
void file_put(struct file *f);
static inline struct file *file_of_mappable(struct mappable *m)
{
    return container_of(m, struct file, map);
}
extern const struct mappable_ops file_mappable_ops; /* to tell a file's mappable from others */
/* Flags that one call of this thread adds to and takes from those of its file: RWF_*. */
extern _Thread_local u32 vfs_io_set, vfs_io_clear;
/* The flags that a read or write goes by. */
static inline u32 file_io_flags(const struct file *f)
{
    u32 flags = atomic_load_explicit(&((struct file *)(uintptr_t)f)->flags, memory_order_relaxed);
    return (flags | vfs_io_set) & ~vfs_io_clear;
}
static inline bool file_is_nonblock(struct file *f)
{
    return file_io_flags(f) & LX_O_NONBLOCK;
}
/* As preadv2 and pwritev2: rw_flags are LX_RWF_*. -LX_EOPNOTSUPP: not with this file. */
s64 vfs_read_flags(struct file *f, struct uio *to, s64 *off, u32 rw_flags) must_check;
s64 vfs_write_flags(struct file *f, struct uio *from, s64 *off, u32 rw_flags) must_check;

/* Kernel-side use of a file (loader, sendfile, procfs): mode checked, position explicit. */
s64 file_pread(struct file *f, void *buf, size_t size, s64 off) must_check;
s64 file_pwrite(struct file *f, const void *buf, size_t size, s64 off) must_check;
/* The read(2) and write(2) bodies: off NULL uses and moves the file's position. Does mode checks, RLIMIT_FSIZE, notify. */
s64 vfs_read(struct file *f, struct uio *to, s64 *off) must_check;
s64 vfs_write(struct file *f, struct uio *from, s64 *off) must_check;
s64 vfs_seek(struct file *f, s64 off, int whence) must_check;
s64 generic_seek(struct file *f, s64 off, int whence) must_check;
u32 vfs_poll(struct file *f);            /* ready events */
struct waitq *vfs_pollq(struct file *f); /* or NULL */
s64 vfs_ioctl(struct file *f, u32 cmd, u64 arg) must_check;
/* Takes the write_count; -LX_ETXTBSY. */
int inode_get_write(struct inode *i) must_check;
void inode_put_write(struct inode *i);
int inode_deny_write(struct inode *i) must_check; /* exec: -LX_ETXTBSY when open for writing */
void inode_allow_write(struct inode *i);

/* ---- path walk ----------------------------------------------------------------------------- */

/* walk flags */
#define WALK_FOLLOW       1U  /* follow a final symbolic link */
#define WALK_EMPTY        2U  /* AT_EMPTY_PATH */
#define WALK_DIRECTORY    4U  /* the result must be a directory */
#define WALK_PARENT       8U  /* stop at the parent; the last component is returned */
#define WALK_NO_MAGIC     16U /* RESOLVE_NO_MAGICLINKS */
#define WALK_NO_SYMLINKS  32U
#define WALK_BENEATH      64U
#define WALK_IN_ROOT      128U
#define WALK_NO_XDEV      256U
#define WALK_CACHED       512U
#define WALK_NO_AUTOMOUNT 1024U

#define MAX_PATH 4096 /* with the NUL */

/*
 * Resolves a NUL-terminated path as the current task, from dirfd (LX_AT_FDCWD or an fd;
 * absolute paths ignore it). *ret_path gets references. Errors are those of path_resolution(7).
 */
int vfs_walk(int dirfd, const char *name, u32 walk_flags, struct path *ret_path) must_check;
/* The same from an explicit base. */
int vfs_walk_at(const struct path *base, const char *name, u32 walk_flags,
                struct path *ret_path) must_check;
/* Copies the path in from the guest first. */
int vfs_walk_user(int dirfd, uaddr_t name, u32 walk_flags, struct path *ret_path) must_check;

struct open_how {
    u32 flags, mode, walk_flags;
};
int vfs_open(int dirfd, const char *name, const struct open_how *how, struct file **ret_f) must_check;
int vfs_open_at(const struct path *base, const char *name, const struct open_how *how,
                struct file **ret_f) must_check;

/* The namespace-changing system calls; paths are ours (copied in). */
int vfs_mkdir(int dirfd, const char *name, u32 mode) must_check;
int vfs_mknod(int dirfd, const char *name, u32 mode, u64 rdev) must_check;
int vfs_symlink(const char *target, int dirfd, const char *name) must_check;
int vfs_link(int odirfd, const char *oname, int ndirfd, const char *nname, u32 at_flags) must_check;
int vfs_unlink(int dirfd, const char *name) must_check;
int vfs_rmdir(int dirfd, const char *name) must_check;
int vfs_rename(int odirfd, const char *oname, int ndirfd, const char *nname, u32 flags) must_check;
/* On an inode found by a walk. */
int vfs_stat(const struct path *p, struct kstat *ret) must_check;
int vfs_setattr(const struct path *p, struct iattr *a) must_check; /* permission checks, locking, notify */
int vfs_truncate(const struct path *p, u64 size) must_check;
int vfs_access(const struct path *p, u32 mask) must_check;
s64 vfs_readlink(const struct path *p, char *buf, size_t size) must_check;
int vfs_statfs(const struct path *p, struct kstatfs *ret) must_check;
/* Extended attributes, with Linux's rules for each name space. size 0 asks for the size. */
s64 vfs_getxattr(const struct path *p, const char *name, void *buf, size_t size) must_check;
int vfs_setxattr(const struct path *p, const char *name, const void *val, size_t size,
                 u32 flags) must_check;
s64 vfs_listxattr(const struct path *p, char *buf, size_t size) must_check;
int vfs_removexattr(const struct path *p, const char *name) must_check;

/* ---- the current task's view --------------------------------------------------------------- */

struct fs_ctx { /* CLONE_FS shares it */
    struct ref ref;
    struct mutex lock;
    struct path root, cwd; /* guarded by lock; owned */
    u32 umask;             /* guarded by lock */
    struct list node;      /* all of them, for pivot_root; file.c's */
};
struct fs_ctx *fs_ctx_new(const struct path *root, const struct path *cwd, u32 umask) must_check;
struct fs_ctx *fs_ctx_copy(struct fs_ctx *fs) must_check;
void fs_ctx_get(struct fs_ctx *fs);
void fs_ctx_put(struct fs_ctx *fs);
void fs_ctx_root(struct fs_ctx *fs, struct path *ret); /* referenced copies */
void fs_ctx_cwd(struct fs_ctx *fs, struct path *ret);

struct fdtable;
struct vfs_io { /* what /proc/PID/io tells: bytes and calls of read(2), write(2) and kin */
    u64 rchar, wchar, syscr, syscw;
};
struct vfs_task {
    const struct cred *cred;  /* the task's effective ones (owned by the task) */
    struct fs_ctx *fs;
    struct fdtable *files;
    struct mnt_ns *mnt_ns;
    u64 rlimit_fsize, rlimit_nofile;
    s32 pid, tgid;            /* in the root pid namespace: lock owners, F_GETLK */
    void (*send_signal)(int signo); /* SIGXFSZ, SIGPIPE to the calling thread */
    void *task;               /* kern's struct task */
    struct vfs_io io;         /* own thread writes */
};
extern _Thread_local struct vfs_task *vfs_current; /* NULL on threads without a task */
const struct cred *vfs_cred(void); /* vfs_current's, or the kernel's own (root) */

/* ---- fd table ------------------------------------------------------------------------------ */

/* Lookups take no lock; fds are found by fdtable_get with a reference. CLONE_FILES shares the table. */
struct fdtable *fdtable_new(void) must_check;
struct fdtable *fdtable_copy(struct fdtable *t, u32 first_dropped, u32 last_dropped) must_check;
void fdtable_ref(struct fdtable *t);
void fdtable_put(struct fdtable *t);
/* Referenced, or NULL. O_PATH files only from the raw form. */
struct file *fd_get(int fd);      /* current task; NULL also for O_PATH files */
struct file *fd_get_raw(int fd);
struct file *fdtable_get(struct fdtable *t, int fd); /* raw */
/* Lowest free fd >= min; -LX_EMFILE. Consumes f on success only. flags: LX_O_CLOEXEC. */
int fd_install(struct file *f, int min, u32 flags) must_check;
/* 0 when fd_install would find a descriptor now, else -LX_EMFILE: for calls (accept) that must not
 * take what they could not install. */
int fd_check_room(void) must_check;
int fdtable_install(struct fdtable *t, struct file *f, int min, u32 flags, u64 limit) must_check;
/* dup2: replaces fd. Consumes f on success. */
int fdtable_install_at(struct fdtable *t, struct file *f, int fd, u32 flags, u64 limit) must_check;
int fd_close(int fd) must_check;
int fdtable_close_range(struct fdtable *t, u32 first, u32 last, bool is_cloexec_only) must_check;
int fdtable_cloexec(struct fdtable *t, int fd, int set) must_check; /* set <0: read; 0/1 write */
void fdtable_do_cloexec(struct fdtable *t); /* exec */
/* For /proc/PID/fd: the first fd >= from that is open, or -1. */
int fdtable_next(struct fdtable *t, int from);
u32 fdtable_size(struct fdtable *t); /* FDSize */

DEFINE_CLEANUP_PTR(struct file *, file_put)

/* ---- events for watchers (inotify) --------------------------------------------------------- */

/* mask: LX_IN_*. name is NULL for the object itself (then its parent is told too, with its name). */
void vfs_notify(struct dentry *d, u32 mask);
#define VFS_NOTIFY_ATTR LX_IN_EXCL_UNLINK /* with LX_IN_MODIFY: by a truncate, not through an open file */
/* The object alone: its link count changed. */
void vfs_notify_inode(struct inode *i, u32 mask);
void vfs_notify_name(struct inode *dir, const char *name, u32 mask, u32 cookie, struct inode *child);

/* ---- set-up -------------------------------------------------------------------------------- */

int vfs_init(void) must_check; /* anonfs and tables */

#endif
