/*
 * What the files of the vfs room share with each other only.
 */
#ifndef VFS_INTERNAL_H
#define VFS_INTERNAL_H

#include "vfs/stack.h"
#include "vfs/vfs.h"

#define VFS_MAX_UNUSED_DENTRIES 65536
#define VFS_MAX_LINKS           40     /* symbolic links followed in one resolution */

static inline bool mode_is_dir(u32 mode)
{
    return (mode & LX_S_IFMT) == LX_S_IFDIR;
}
static inline bool mode_is_reg(u32 mode)
{
    return (mode & LX_S_IFMT) == LX_S_IFREG;
}
static inline bool mode_is_lnk(u32 mode)
{
    return (mode & LX_S_IFMT) == LX_S_IFLNK;
}

/* ---- dentry.c ------------------------------------------------------------------------------ */

/* The text of a dentry's name, shared by dentries and freed by epoch; d->name points at s. */
struct dname {
    struct epoch_node rcu;
    struct ref ref;
    u32 size, hash;
    char s[];
};
static inline struct dname *dname_of(char *name)
{
    return container_of(name, struct dname, s);
}

/* Odd while a dentry is being moved; changes with every move. */
extern _Atomic u32 vfs_rename_seq;
u32 vfs_rename_seq_begin(void); /* waits for an even value */
static inline bool vfs_rename_seq_retry(u32 seq)
{
    atomic_thread_fence(memory_order_acquire);
    return atomic_load_explicit(&vfs_rename_seq, memory_order_relaxed) != seq;
}

u32 dentry_name_hash(const char *name, size_t size);
/* Inside an epoch: the hashed child, unreferenced, or NULL (then check vfs_rename_seq). */
struct dentry *dentry_find_rcu(struct dentry *dir, const char *name, size_t size, u32 hash);
/* Takes every cached dentry below root out: the super is going. */
void dentry_shrink_tree(struct dentry *root);
/* Frees unused dentries while there are too many. No locks held. */
void dentry_shrink(void);

/* ---- mount.c ------------------------------------------------------------------------------- */

extern struct rwlock mount_lock;
/* Changes with every change of any mount tree; odd during it. */
extern _Atomic u32 vfs_mount_seq;
/* The topmost-but-one step down: the mount on p, referenced, or NULL. */
struct mount *mount_on(const struct path *p);
/* Inside an epoch: the same, unreferenced. */
struct mount *mount_on_rcu(struct mount *parent, struct dentry *d);
/* One step up from a mount's root; false at a tree's root. Consumes and replaces *p. */
bool path_up_mount(struct path *p);
/* To the parent, across mounts, whatever the root is; false: there is none. */
bool path_step_up(struct path *p);
/* 0, or -LX_EROFS: may anything behind this mount be changed. */
int mount_want_write(const struct mount *m) must_check;
/* True when some mount of the current task's namespace covers d. */
bool dentry_is_local_mountpoint(struct dentry *d);
/* Takes away the mounts that other namespaces have on a dentry that is being removed. */
void mount_detach_from(struct dentry *d);

/* ---- fdtable.c ----------------------------------------------------------------------------- */

/* Its registrations for in-stub preads; fast.c's. */
struct list *fdtable_fast(struct fdtable *t);
/* A number that no other table had or will have. */
u32 fdtable_id(const struct fdtable *t);
bool fdtable_is_at(struct fdtable *t, int fd, const struct file *f);

/* ---- file.c -------------------------------------------------------------------------------- */

/* On anonfs: its name stands for its path. anon.c */
bool dentry_is_anon(const struct dentry *d);
/* pivot_root: every task whose root or cwd is `from` gets `to`. */
void fs_ctx_replace_roots(const struct path *from, const struct path *to);

/* ---- walk.c -------------------------------------------------------------------------------- */

enum last_type { LAST_NORM, LAST_DOT, LAST_DOTDOT, LAST_ROOT };

struct walk {
    struct path cur;  /* owned */
    struct path root; /* owned: where absolute names start and ".." stops */
    u32 flags;        /* WALK_* */
    u32 nlinks;
    const char *rest; /* what is left of the current string */
    u32 depth;        /* strings under way: links inside links */
    struct {
        char *buf;        /* owned: the link's target */
        const char *rest; /* of the string that held the link */
    } stack[VFS_MAX_LINKS + 1];
    enum last_type last_type;
    const char *last; /* the last component; in the caller's string or in the stack */
    u32 last_size;
    bool has_trailing_slash;
};

/* From dirfd; walk_done in any case. */
int walk_begin(struct walk *w, int dirfd, const char *name, u32 flags) must_check;
int walk_begin_at(struct walk *w, const struct path *base, const char *name, u32 flags) must_check;
void walk_done(struct walk *w);
/* Resolves up to the parent of the last component: w->cur, w->last*. */
int walk_parent(struct walk *w) must_check;
/* walk_begin and walk_parent in one, by the fast way when that works. */
int walk_begin_parent(struct walk *w, int dirfd, const char *name, u32 flags) must_check;
/* Puts the string of a final link in front; w->cur is its directory. walk_parent goes on from
 * there. */
int walk_push_link(struct walk *w, const struct path *link) must_check;
/* Resolves the last component (after walk_parent), following links by the flags, into w->cur. */
int walk_last(struct walk *w) must_check;
/* Crosses the mounts on *p; consumes and replaces it. */
int walk_cross(struct walk *w, struct path *p) must_check;
/* Without locks or references; false: use the slow way. *ret_err: 0 or the error. walk_fast.c */
bool walk_fast(int dirfd, const char *name, u32 flags, int *ret_err,
               struct path *ret_path) must_check;
/* True: w stands at the parent. */
bool walk_fast_parent(struct walk *w, int dirfd, const char *name, u32 flags) must_check;

/* ---- namei.c ------------------------------------------------------------------------------- */

/* fs.protected_symlinks: may the last link of a path, in dir, be followed. */
int may_follow_link(const struct inode *dir, const struct inode *link) must_check;
/* Write and search permission on dir, which must not have been removed. */
int may_create_in(struct inode *dir) must_check;

/* ---- attr.c -------------------------------------------------------------------------------- */

/* i->lock held; the mount is writable. */
int setattr_locked(const struct path *p, struct iattr *a) must_check;
/* Drops set-id bits and file capabilities before a write; i->lock not held. */
int file_remove_privs(struct file *f) must_check;
/* O_TRUNC of a file just opened; permission was checked. */
int open_truncate(struct file *f) must_check;

/* ---- open.c -------------------------------------------------------------------------------- */

u32 current_umask(void);

#endif
