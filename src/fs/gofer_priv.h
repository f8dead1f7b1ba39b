/*
 * What the files of the gofer client share with each other only.
 *
 * An inode of a gofer stands for one (device, inode) of the host and is found by
 * that pair, so that hard links agree. A directory's identity includes the host's mount: one that
 * the host shows in two places is two, else a tree could contain itself. Its "place" is one name
 * under which the gofer can find it: (inode of a directory, name); every operation on it is sent as
 * (node of that directory, name), or by a node of its own when it has one. Renames and unlinks of
 * ours keep places true; an inode that loses its last known place while it is in use gets a node
 * (an orphan's).
 *
 *   made by gofer_inode_make (lookup, readdir, create) → in the table while alive
 *   → evict: out of the table, node forgotten, place dropped.
 *
 * The gofer moves a name before we can say so here: calls that go by a place exclude those that
 * move or remove one (move_lock), so that they neither miss their object nor meet another one.
 *
 * Lock order (all leaves towards the vfs, none but move_lock held over a gofer call):
 *   inode.lock → gofer_sb.move_lock → gofer_inode.lock
 *   gofer_sb.place_lock → gofer_inode.lock
 *   inode.lock → gofer_inode.lock
 *   gofer_sb.fd_lock → gofer_inode.lock
 *   gofer_sb.lock (the table) → gofer_inode.lock
 */
#ifndef FS_GOFER_PRIV_H
#define FS_GOFER_PRIV_H

#include "fs/gofer_client.h"
#include "fs/gofer_conn.h"
#include "vfs/vfs.h"

#define GOFER_BUCKETS      128U /* at first */
#define GOFER_MAX_BUCKETS  8192U
#define GOFER_MAX_DEVS     64U
#define GOFER_MAX_IDLE_FDS 2048U /* host fds kept for files that nobody has open */
#define GOFER_AHEAD_FDS    64U   /* … that came ahead, for files that nobody has opened yet */
#define GOFER_OPEN_WINDOW  4U    /* files opened ahead at first, and at least */

struct gofer_fd { /* a donated host fd, shared by open files */
    struct ref ref;
    int fd;
    bool is_writable, is_readable;
    /* What a sync of the host failed with, and above it how often one did: the host tells each open
     * file of its own once, and all of ours that share this one are to hear of it. */
    _Atomic u64 sync_err;
};

/* A host fd that came before its file was opened; it is the object's whose numbers it has. */
struct gofer_ahead_fd {
    u64 dev, ino;
    int fd;
};

/* A regular file in a listing: where its entry ends, and what else files are opened in the order
 * of. */
struct gofer_spot {
    u32 at; /* 0: none */
    u64 ino;
    struct wire_bytes name; /* in the listing */
};

/*
 * A batch of directory entries as the gofer sent them, kept for a while: an
 * open directory reads from it, lookups find their neighbours' names in it, and
 * whole listings (also those that came ahead) answer later opens of the directory.
 */
struct gofer_list {
    struct ref ref;
    struct list bucket, lru; /* guarded by sb.list_lock */
    u64 hdev, hino;          /* the directory's */
    u32 hmnt;
    u64 node;          /* its id, if not given to the inode yet; guarded by sb.list_lock */
    u32 seq;           /* sb.change_seq when it was asked for */
    s64 pos;           /* directory offset of the first entry */
    u32 nattrs, nused; /* attributes of files in it, and lookups answered from them; by list_lock */
    bool is_whole;     /* all of the directory */
    bool was_ahead;    /* came unasked, and has not been used */
    bool is_for_lookups; /* asked for because names were looked up; by list_lock */
    u32 cursor, nmisses; /* where lookups last found a name, and how many in a row; by list_lock */
    struct gofer_index
        *index; /* owned; made when a name is looked for out of order; by list_lock */
    struct gofer_spot
        opened; /* the file in it that was asked for or came ahead last; by list_lock */
    u32 size;
    char data[];
};

#define GOFER_LIST_BUCKETS 256U
#define GOFER_LIST_MAX     (1U << 20) /* bytes kept */

struct gofer_sb {
    struct super *sb;         /* not owned */
    struct gofer_conn *conn;  /* owned */
    u32 flags;                /* GOFER_* */
    u32 export_flags;         /* GP_EXPORT_* */
    bool is_direct;           /* directfs works; set at attach */
    struct gofer_fd *root_fd; /* owned, with directfs */
    struct mutex lock;
    struct gofer_inode **buckets; /* guarded by lock, as the next three */
    u32 nbuckets;                 /* a power of two */
    u32 nhashed;
    struct gofer_inode *first_buckets[GOFER_BUCKETS];
    struct {
        u64 host, guest;
    } devs[GOFER_MAX_DEVS]; /* guarded by lock for adding */
    _Atomic u32 ndevs;
    struct rwlock
        move_lock; /* read: calls by place; written: renames, removals of what is in use */
    struct mutex place_lock; /* changes of directories' places */
    struct mutex fd_lock;
    struct list fd_lru; /* inodes with a read fd; guarded by fd_lock */
    u32 nfds;
    struct gofer_ahead_fd *ahead_fds; /* owned: GOFER_AHEAD_FDS, or NULL; by fd_lock, as the next */
    u32 nahead_fds;                   /* the oldest first */
    _Atomic u32 open_window; /* how many files to open ahead: grows while they are then opened */
    _Atomic u32 change_seq;  /* counts our changes of anything: older listings are not believed */
    struct mutex list_lock;
    struct list list_buckets[GOFER_LIST_BUCKETS]; /* guarded by list_lock, as all below */
    struct list list_lru;
    u32 list_bytes;
    u32 ahead_size; /* bytes to ask for ahead: grows while what came is used */
    u32 nlisted;    /* listings so far */
    u32 nfollowed;  /* listings whose names were then looked up in order, in a row */
    u32 nattrs,
        nattrs_used; /* attributes that came with listings since this was judged, and their uses */
    u32 nopened;     /* files asked for, in a row, each the next of its directory in open_order */
    u32 open_order;
    u32 nworth;  /* listings asked for by lookups that have paid, in a row */
    u32 nwalked; /* in a row, of children of directories listed not long ago */
};

/* gofer_inode.state */
#define GI_STALE    1U /* the host's attributes may have changed through us: ask before telling */
#define GI_MASKED   2U
#define GI_NO_CAPS  4U  /* known to have no security.capability */
#define GI_INDIRECT 16U /* a directory that directfs cannot look into: the gofer is asked */

struct gofer_inode {
    struct inode *inode;              /* immutable, not owned */
    struct gofer_inode *next, **link; /* in a bucket (link NULL: in none); guarded by sb.lock */
    u64 hdev, hino;                   /* immutable: the host's */
    u32 hmnt;                         /* immutable; counts for directories only */
    u64 mnt_id;                       /* the host's, of a directory that was opened with directfs */
    struct gp_time btime;             /* immutable; tells a reused inode number */
    _Atomic u64 node;                 /* id, or 0 */
    _Atomic u32 state;                /* GI_* */
    u32 blksize;
    u64 attributes, attributes_mask;
    bool has_btime;
    char *target; /* of a symbolic link; immutable once set; owned */
    u32 target_size;
    struct mutex append_lock; /* one append at a time, so that its end is known */
    struct mutex lock;
    struct inode *dir;        /* the place, guarded by lock; counted. NULL: a root, or none */
    char *name;               /* owned */
    u32 place_seq;            /* counts changes of the place */
    struct gofer_fd *rd, *wr; /* guarded by lock; rd is the cache's, wr lives while nwriters > 0 */
    u32 nwriters;
    _Atomic u32 size_seq; /* counts our changes of the size, before each */
    struct list fd_lru;   /* guarded by sb.fd_lock */
    _Atomic u32 dir_seq;  /* of a directory: counts our changes of its names */
    u32 listed_at;        /* of a directory: sb.nlisted when it was last listed; by sb.list_lock */
    u32 nlookups, lookup_seq;        /* of a directory: round trips that looked up names in it since
                                        change_seq was lookup_seq; by inode.lock */
    struct gofer_inode *next_doomed; /* of one thread's evictions */
};

static inline struct gofer_sb *gofer_sb_of(const struct super *sb)
{
    return sb->priv;
}
static inline struct gofer_inode *gofer_of(const struct inode *i)
{
    return i->priv;
}
static inline bool gofer_is_shared(const struct gofer_sb *s)
{
    return s->flags & GOFER_SHARED;
}

/* ---- gofer_inode.c ------------------------------------------------------------------------- */

/* The inode of these attributes found at (dir, name), referenced. node: an id given for it
 * (consumed), or 0. */
int gofer_inode_make(struct super *sb, const struct gp_attr *a, struct inode *dir,
                     struct wire_bytes name, u64 node, struct wire_bytes target,
                     struct inode **ret_i) must_check;
void gofer_evict(struct inode *i);
/* -LX_ESTALE when a is not of the same object. */
int gofer_apply_attr(struct gofer_inode *gi, const struct gp_attr *a) must_check;
/* -LX_EIO: a directory would come to be below itself. */
int gofer_set_place(struct gofer_inode *gi, struct inode *dir, struct wire_bytes name) must_check;
/* A referenced copy of the place; name has 256 bytes. -LX_ESTALE: none is known. */
int gofer_get_place(struct gofer_inode *gi, struct inode **ret_dir, char *name,
                    u32 *ret_seq) must_check;
void gofer_clear_place(struct gofer_inode *gi);
bool gofer_has_place(struct gofer_inode *gi, const struct inode *dir, struct wire_bytes name);
void gofer_give_node(struct gofer_inode *gi, u64 node);
/* Takes i out of the table: a later object with the same number is another one. */
void gofer_unhash(struct gofer_inode *gi);
u64 gofer_guest_dev(struct gofer_sb *s, u64 host_dev);
/* A directory's node, asked for when it has none. */
int gofer_node_of(struct inode *i, u64 *ret_node) must_check;
/*
 * A round trip about one object: fills call->req.node and name from i's place. Asks
 * again when the place changed on the way.
 */
int gofer_call_on(struct inode *i, struct gofer_call *call) must_check;
/* A round trip about names in a directory. What it misses was removed meanwhile: -LX_ENOENT. */
int gofer_call_dir(struct gofer_sb *s, struct gofer_call *call) must_check;
/* Attributes from the host: by an open fd if there is one. */
int gofer_refresh(struct inode *i) must_check;
void gofer_mark_stale(struct inode *i);
void gofer_mark_all_stale(struct gofer_sb *s);
struct wire_bytes gofer_dname(const struct dentry *d); /* valid while the parent is locked */

/* ---- gofer_direct.c ------------------------------------------------------------------------ */

/* Gets the root's fd and finds out whether directfs works here: 0 or why not. */
int gofer_direct_begin(struct gofer_sb *s, struct inode *root) must_check;
/* As asking the gofer, and -LX_EAGAIN when the gofer is to be asked. */
int gofer_direct_find(struct inode *dir, struct wire_bytes name, struct inode **ret_i) must_check;
/* An fd for reading; the caller's. */
int gofer_direct_open(struct inode *i) must_check;
struct gofer_direct;
struct gofer_direct *gofer_direct_opendir(struct inode *i) must_check;
void gofer_direct_close(struct gofer_direct *d);
int gofer_direct_readdir(struct gofer_direct *d, struct file *f, struct dir_ctx *ctx) must_check;

/* ---- gofer_list.c -------------------------------------------------------------------------- */

void gofer_list_init(struct gofer_sb *s);
void gofer_list_done(struct gofer_sb *s);
void gofer_list_put(struct gofer_list *l);
/* The whole listing of gi, referenced, if one is kept and nothing has changed since. */
struct gofer_list *gofer_list_find(struct gofer_sb *s, struct gofer_inode *gi);
/* A copy of an answer's entries, referenced, also kept when it is whole; and the sections that came
 * with it. */
struct gofer_list *gofer_list_new(struct gofer_sb *s, const struct gofer_inode *gi, u32 seq,
                                  const struct gp_resp *resp, s64 pos, bool has_attrs) must_check;
/* How many bytes to ask for ahead when gi is listed: 0 unless this looks like a tree walk. */
u32 gofer_list_ahead(struct gofer_sb *s, struct gofer_inode *gi);
/*
 * The directories that follow gi in its parent's kept listing, for GP_RD_TREE: fills q's node2 and
 * names, which point into the list returned (referenced, the caller's to put; or NULL).
 */
struct gofer_list *gofer_list_siblings(struct gofer_sb *s, struct gofer_inode *gi,
                                       struct gp_req *q) must_check;
/* l was asked for because names were looked up: whether that pays will be counted. */
void gofer_list_for_lookups(struct gofer_sb *s, struct gofer_list *l);
/* Have the last such listings paid? */
bool gofer_list_lookups_pay(struct gofer_sb *s);
/* What the kept listings know of (gi, name) when a lookup has missed the dentry cache. */
#define GOFER_AHEAD_NAMES (GP_MAX_WALK - 1)
struct gofer_hint {
    struct gofer_list
        *list; /* what e and names point into; referenced, the caller's to put. NULL: neither */
    bool is_absent; /* the name does not exist */
    bool is_found;  /* e is its entry, with attributes */
    struct gp_dirent e;
    u32 nnames; /* else: names that are likely to be looked up next */
    struct wire_bytes names[GOFER_AHEAD_NAMES];
};
void gofer_list_hint(struct gofer_sb *s, struct gofer_inode *gi, struct wire_bytes name,
                     struct gofer_hint *ret);
/*
 * The files that are likely to be opened after gi, for GP_OPEN: fills q's names and ids, which
 * point into the lists that are held, until they are put.
 */
#define GOFER_OPENS_LISTS 8U
struct gofer_opens {
    u32 nlists;
    struct gofer_list *lists[GOFER_OPENS_LISTS]; /* referenced */
};
void gofer_list_opens(struct gofer_sb *s, struct gofer_inode *gi, struct gp_req *q,
                      struct gofer_opens *ret);
void gofer_list_opens_put(struct gofer_opens *o);
/* GP_RD_ATTR_*: what attributes are worth asking for with a listing. */
u32 gofer_list_wanted(struct gofer_sb *s);
static inline void gofer_changed(struct gofer_sb *s)
{
    atomic_fetch_add_explicit(&s->change_seq, 1, memory_order_relaxed);
}

/* ---- gofer_ahead.c ------------------------------------------------------------------------- */

/* Keeps an fd that came ahead, asked for when sb.change_seq was seq; consumes it. */
void gofer_ahead_put(struct gofer_sb *s, int fd, u32 seq);
/* The fd that came for gi, now the caller's; -1: none. */
int gofer_ahead_take(struct gofer_sb *s, const struct gofer_inode *gi);
/* Closes gi's: the host is to free a file without names at once. */
void gofer_ahead_drop(struct gofer_sb *s, const struct gofer_inode *gi);
void gofer_ahead_drop_all(struct gofer_sb *s);

/* ---- gofer_file.c, gofer_dir.c, gofer_change.c --------------------------------------------- */

extern const struct file_ops gofer_reg_fops, gofer_dir_fops;
extern const struct inode_ops gofer_dir_iops, gofer_file_iops, gofer_link_iops;
extern const struct dentry_ops gofer_shared_dops;

s64 gofer_ioctl(struct file *f, u32 cmd, u64 arg) must_check;
void gofer_fd_put(struct gofer_fd *f);
/* A holder of its own for fd, which is consumed. NULL: no memory. */
struct gofer_fd *gofer_fd_new(int fd);
/* A donated fd must be of a regular file: -LX_EIO, and fd is closed, when it is not. */
int gofer_fd_check(int fd) must_check;
/* Makes fd the read fd of gi, unless there is one; the one to use, referenced. Consumes fd. */
struct gofer_fd *gofer_fd_cache(struct gofer_inode *gi, int fd);
/* An open fd of i, referenced, of whatever mode, without asking for one; NULL: none is open. */
struct gofer_fd *gofer_fd_any(struct gofer_inode *gi);
/* Drops i's cached fds (evict). */
void gofer_fd_forget(struct gofer_inode *gi);
/* Closes idle fds: all of them when this process has run out. */
void gofer_fd_shrink(struct gofer_sb *s, u32 max);
/* Wraps a donated fd of a file just made, as i's writable one; consumes fd. */
int gofer_fd_adopt(struct gofer_inode *gi, int fd) must_check;

int gofer_lookup(struct inode *dir, struct dentry *d) must_check;
int gofer_create(struct inode *dir, struct dentry *d, u32 mode) must_check;
int gofer_mknod(struct inode *dir, struct dentry *d, u32 mode, u64 rdev) must_check;
int gofer_mkdir(struct inode *dir, struct dentry *d, u32 mode) must_check;
int gofer_symlink(struct inode *dir, struct dentry *d, const char *target) must_check;
int gofer_link(struct inode *dir, struct dentry *d, struct inode *target) must_check;
int gofer_unlink(struct inode *dir, struct dentry *d) must_check;
int gofer_rmdir(struct inode *dir, struct dentry *d) must_check;
int gofer_rename(struct inode *odir, struct dentry *od, struct inode *ndir, struct dentry *nd,
                 u32 flags) must_check;
int gofer_tmpfile(struct inode *dir, u32 mode, struct inode **ret_i) must_check;
s64 gofer_readlink(struct inode *i, char *buf, size_t size) must_check;
int gofer_getattr(struct inode *i, struct kstat *st) must_check;
int gofer_setattr(struct inode *i, const struct iattr *a) must_check;
s64 gofer_getxattr(struct inode *i, const char *name, void *buf, size_t size) must_check;
int gofer_setxattr(struct inode *i, const char *name, const void *val, size_t size,
                   u32 flags) must_check;
s64 gofer_listxattr(struct inode *i, char *buf, size_t size) must_check;
int gofer_removexattr(struct inode *i, const char *name) must_check;

#endif
