/*
 * FUSE, inside: a connection between a mounted super and the descriptors of
 * /dev/fuse that its server reads requests from and writes answers to.
 *
 *   fuse_conn.c    the connection, its requests, who waits for them
 *   fuse_dev.c     the device; what the server says by itself
 *   fuse_super.c   options, the super, inodes and their attributes
 *   fuse_dir.c     names;  fuse_readdir.c  reading directories
 *   fuse_attr.c    setattr, extended attributes, ioctl
 *   fuse_file.c    open files;  fuse_map.c  what mappings of them show
 *
 * A request is PENDING in the connection's queue until the server has read it, SENT until it is
 * answered, then DONE. It belongs to whoever waits; one that nobody waits for (a RELEASE, or one
 * that was given up by who is being killed) is an orphan: it goes with its answer or the
 * connection, and the oldest go when there are many. Forgets wait in a list of their own. A waiter
 * that a signal came to is in conn.interrupts until the server has been told.
 *
 * The server is a guest: whatever it writes is checked here, and it may never answer. A wait ends
 * with the answer, with the connection (the last close of the device, the end of the mount,
 * MNT_FORCE) or with the waiter: who is killed, or has begun to exit, waits for nothing. Threads
 * that are no guest's ask nothing.
 *
 * Locks: waits are made with inode.lock, rename_lock, pos_lock and map_lock held where Linux
 * holds theirs, never under a lock that others need who do not use this mount; lookups and
 * attributes wait without any. conn.lock, table_lock, attr_lock and created_lock are leaves.
 *
 * Differs from Linux: little is cached (what was read ahead of an open file while its attributes
 * are good; what mappings show). Shared mappings of files that are open for writing are refused.
 * poll says always ready. Locks stay here. Nothing is stored, but what it invalidates is.
 */
#ifndef FS_FUSE_INT_H
#define FS_FUSE_INT_H

#include "abi/fuse.h"
#include "vfs/vfs.h"

#define FUSE_MAX_IO      (128U << 10) /* bytes of one read or write */
#define FUSE_MAX_ANSWER  (FUSE_MAX_IO + 4096U)
#define FUSE_NBUCKETS    1024U
#define FUSE_MAX_IN      4
#define FUSE_MAX_ORPHANS 1024U

/* conn.lacks: what the server has answered ENOSYS to: not asked again. */
#define FUSE_LACKS_OPEN      1U
#define FUSE_LACKS_OPENDIR   2U
#define FUSE_LACKS_CREATE    4U
#define FUSE_LACKS_FLUSH     8U
#define FUSE_LACKS_FSYNC     16U
#define FUSE_LACKS_FSYNCDIR  32U
#define FUSE_LACKS_GETXATTR  64U
#define FUSE_LACKS_SETXATTR  128U
#define FUSE_LACKS_LISTXATTR 256U
#define FUSE_LACKS_RMXATTR   512U
#define FUSE_LACKS_LSEEK     1024U
#define FUSE_LACKS_FALLOCATE 2048U
#define FUSE_LACKS_RENAME2   4096U
#define FUSE_LACKS_INTERRUPT 8192U
#define FUSE_LACKS_ACCESS    16384U

enum fuse_state { FUSE_PENDING, FUSE_SENT, FUSE_DONE };

struct fuse_req {
    struct list node; /* in pending or sent; guarded by conn.lock, as all below */
    struct list interrupt_node;
    enum fuse_state state;
    bool is_var;            /* the answer may be shorter than max_out */
    bool is_interrupted;    /* the server is to be told, or has been */
    struct parker *waiter;  /* NULL: an orphan */
    const struct file *dev; /* SENT: who read it; compared only */
    int error;
    u32 max_out, out_size;
    void *out; /* owned */
    u32 in_size;
    struct lx_fuse_in_header in; /* the message, in_size bytes with its tail */
    u8 tail[];
};

struct fuse_forget {
    struct list node;
    struct lx_fuse_forget_one one;
};

struct fuse_conn {
    struct ref ref;
    struct mutex lock;
    struct list pending, sent, forgets, interrupts; /* guarded by lock */
    u32 norphans, nforgets; /* guarded by lock: orphans that are SENT; in forgets */
    struct waitq readers;   /* EV_IN: something is to be read; WAIT_ERR: it has ended */
    struct waitq begun;     /* woken when INIT is answered */
    _Atomic u32 nready;     /* of pending, forgets and interrupts; written under lock */
    _Atomic bool is_connected, is_begun;
    u64 next_unique;  /* guarded by lock */
    u32 ndevs;        /* guarded by lock: open descriptions of the device */
    struct super *sb; /* guarded by lock: not counted, NULL at its end */
    _Atomic u32 lacks;
    _Atomic u64 attr_version;
    u32 max_write, max_read; /* immutable once is_begun */
    u32 init_flags;          /* the server's; likewise */
    u32 user_id, group_id;   /* kids; immutable, as all below */
    u32 max_read_option;
    struct user_ns *user_ns; /* counted, or NULL: the root one */
    bool is_allow_other, is_default_permissions;
    struct mutex table_lock;
    struct fuse_inode *buckets[FUSE_NBUCKETS]; /* guarded by table_lock */
};

struct fuse_inode {
    struct inode *inode;             /* immutable, not owned */
    struct fuse_inode *next, **link; /* guarded by table_lock */
    u64 nodeid, generation;          /* immutable */
    _Atomic u64 nlookup;
    struct mutex attr_lock;     /* guards the inode's attributes; a leaf */
    u64 attr_version;           /* guarded by attr_lock */
    u32 blksize;                /* likewise */
    bool is_atime_stale;        /* likewise */
    bool is_own_change;         /* likewise: the next mtime is of what was written here */
    _Atomic s64 valid_until_ns; /* CLOCK_MONOTONIC: attributes are good until then */
    _Atomic u32 names_gen; /* of a directory: moves when names below it are not believed any more */
    _Atomic u32 names_seq; /* likewise: moves around every change of a name that is made here */
    _Atomic bool wants_plus;       /* likewise: somebody looks at what it names */
    _Atomic u64 data_gen;          /* moves when contents may have changed */
    struct mutex created_lock;     /* guards what CREATE has opened for the open that follows */
    struct fuse_file *created;     /* owned */
    u64 created_by;                /* a number of that open's own */
    struct mutex map_lock;         /* held while the copy is filled */
    _Atomic int map_fd, map_fd_ro; /* the copy that mappings show, or -1; written under map_lock */
    u64 map_gen;                   /* guarded by map_lock: the data_gen that it shows */
    _Atomic u32 nopen;             /* open files */
};

struct fuse_file {
    u64 fh;
    u32 open_flags;
    struct mutex ahead_lock;
    struct fuse_ahead *ahead; /* owned, guarded by ahead_lock: what was read ahead */
    _Atomic u64 next_off;     /* where the last read ended */
};

struct fuse_args {
    u32 op;
    u64 nodeid;
    struct fuse_in {
        const void *p;
        size_t size;
    } in[FUSE_MAX_IN];
    void *out; /* NULL: no answer's body is expected */
    u32 out_size;
    bool is_var;
};

static inline struct fuse_conn *fuse_conn_of(const struct super *sb)
{
    return sb->priv;
}
static inline struct fuse_inode *fuse_of(const struct inode *i)
{
    return i->priv;
}

/* ---- fuse_conn.c --------------------------------------------------------------------------- */

#define FUSE_EV_IN (WAIT_IN | WAIT_RDNORM)

struct fuse_conn *fuse_conn_new(void) must_check;
void fuse_conn_put(struct fuse_conn *c);
/* A round trip: bytes of the answer's body, or the error. */
s64 fuse_call(struct fuse_conn *c, const struct fuse_args *a) must_check;
/* Sends what nobody waits for the answer of. */
void fuse_post(struct fuse_conn *c, const struct fuse_args *a);
void fuse_send_forget(struct fuse_conn *c, u64 nodeid, u64 nlookup);
void fuse_send_init(struct fuse_conn *c);
void fuse_abort(struct fuse_conn *c);
/* The next message, malloced, its size in *ret_size; 0: none. room: what the reader has. */
u32 fuse_take_message(struct fuse_conn *c, const struct file *dev, size_t room,
                      void **ret_msg) must_check;
/* The message could not be delivered. */
void fuse_undelivered(struct fuse_conn *c, const void *msg);
/* Gives a request its answer; takes *body (size bytes) over when it is of use. */
s64 fuse_answered(struct fuse_conn *c, const struct lx_fuse_out_header *h, void **body,
                  u32 size) must_check;
/* Another open description of the device; the last that goes ends the connection. */
void fuse_dev_added(struct fuse_conn *c);
void fuse_dev_gone(struct fuse_conn *c, const struct file *dev);
static inline bool fuse_lacks(struct fuse_conn *c, u32 what)
{
    return atomic_load_explicit(&c->lacks, memory_order_relaxed) & what;
}
/* True, and remembered, when r says that the server does not have the operation. */
bool fuse_is_lacking(struct fuse_conn *c, s64 r, u32 what);

/* ---- fuse_dev.c ---------------------------------------------------------------------------- */

extern const struct file_ops fuse_dev_fops;
/* The device's open file becomes the new connection c's. -LX_EINVAL: it has one. */
int fuse_dev_attach(struct file *f, struct fuse_conn *c) must_check;

/* ---- fuse_super.c -------------------------------------------------------------------------- */

/* The inode that an entry names (a reference, and one lookup counted). version: as of
 * fuse_attr_version before it was asked for. -LX_EIO: a bad entry. */
int fuse_inode_get(struct super *sb, const struct lx_fuse_entry_out *e, u64 version,
                   struct inode **ret_i) must_check;
/* The live inode of this node, referenced, or NULL. */
struct inode *fuse_inode_find(struct fuse_conn *c, u64 nodeid);
static inline u64 fuse_attr_version(struct fuse_conn *c)
{
    return atomic_load(&c->attr_version);
}
/* Attributes from the server, unless newer ones are known. -LX_EIO: bad ones. */
int fuse_store_attr(struct inode *i, const struct lx_fuse_attr *a, u64 valid, u32 nsec,
                    u64 version) must_check;
int fuse_refresh(struct inode *i) must_check;
/* The same unless they are good still. */
int fuse_update(struct inode *i) must_check;
bool fuse_is_fresh(const struct inode *i);
void fuse_mark_stale(struct inode *i);
/* i has this size now, by what was done here. */
void fuse_set_size(struct inode *i, u64 size);
/* 0, or -LX_EACCES: the mount is another user's. */
int fuse_may(struct fuse_conn *c) must_check;
int fuse_getattr(struct inode *i, struct kstat *st) must_check;
int fuse_permission(struct inode *i, u32 mask) must_check;
int fuse_access(struct inode *i, u32 mask) must_check;

/* ---- fuse_dir.c, fuse_readdir.c, fuse_attr.c ----------------------------------------------- */

extern const struct inode_ops fuse_dir_iops, fuse_file_iops, fuse_link_iops;
extern const struct file_ops fuse_dir_fops;
extern const struct dentry_ops fuse_dops;

/* What READDIRPLUS said about a name goes to the cache. seq: names_seq of before. */
void fuse_link_plus(struct dentry *dir, const struct lx_fuse_entry_out *e, const char *name,
                    size_t size, u32 seq, u64 version);

int fuse_setattr(struct inode *i, const struct iattr *a) must_check;
s64 fuse_getxattr(struct inode *i, const char *name, void *buf, size_t size) must_check;
int fuse_setxattr(struct inode *i, const char *name, const void *val, size_t size,
                  u32 flags) must_check;
s64 fuse_listxattr(struct inode *i, char *buf, size_t size) must_check;
int fuse_removexattr(struct inode *i, const char *name) must_check;
s64 fuse_ioctl(struct file *f, u32 cmd, u64 arg) must_check;

/* ---- fuse_file.c, fuse_map.c --------------------------------------------------------------- */

extern const struct file_ops fuse_reg_fops;

struct fuse_file *fuse_file_new(void) must_check;
void fuse_file_free(struct fuse_file *ff);
/* Tells the server that ff of i is closed, and frees it. */
void fuse_file_close(struct inode *i, struct fuse_file *ff, u32 op, u32 flags);
/* CREATE has opened i as ff for the open that this thread is about to make. */
void fuse_file_created(struct inode *i, struct fuse_file *ff);
int fuse_file_open(struct inode *i, struct file *f, u32 op, u32 lacks) must_check;
s64 fuse_read_piece(struct file *f, void *buf, u32 size, u64 off) must_check;
static inline struct fuse_file *fuse_file_of(const struct file *f)
{
    return f->priv;
}

/* file_ops.mmap and host_fd. */
int fuse_map(struct file *f, u32 prot, u32 flags) must_check;
int fuse_map_fd(struct file *f, u64 offset, u64 size, bool is_writable_shared, int *ret_fd,
                u64 *ret_offset) must_check;
/* Contents changed here, and the server has them: size bytes at off, or (buf NULL) the file's size;
 * what is mapped follows. */
void fuse_data_written(struct inode *i, const void *buf, u64 size, u64 off);
void fuse_data_resized(struct inode *i, u64 size);
/* Contents may be others now. */
void fuse_data_stale(struct inode *i);
/* Nobody has the file open or mapped any more. */
void fuse_map_drop(struct fuse_inode *fi);

#endif
