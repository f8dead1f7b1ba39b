/*
 * The quick way through cached names: no locks, no references but on the
 * result. It reads the hash tables in an epoch and believes what it saw only if neither
 * a rename nor a change of mounts happened meanwhile. Whatever is out of the
 * ordinary (not cached, revalidation, magic links, errors other than a cached
 * "no such name") makes it give up, and the slow way finds out what to say.
 */
#include <string.h>

#include "vfs/internal.h"
#include "vfs/vfs.h"

#define FAST_FLAGS                                                                                 \
    (WALK_FOLLOW | WALK_DIRECTORY | WALK_EMPTY | WALK_NO_AUTOMOUNT | WALK_CACHED | WALK_NO_MAGIC)
#define FAST_LINKS 8

struct fast {
    struct mount *mnt; /* no references: valid in the epoch */
    struct dentry *d;
    struct path root;
    u32 flags;
    bool is_parent_wanted;
    u32 rename_seq, mount_seq;
    u32 nlinks, depth;
    const char *rests[FAST_LINKS];
    const char *last;
    u32 last_size;
    enum last_type last_type;
    bool has_trailing_slash;
};

enum fast_result { FAST_OK, FAST_NOENT, FAST_GIVE_UP };

static enum fast_result fast_dotdot(struct fast *f)
{
    if (f->d == f->root.dentry && f->mnt == f->root.mnt)
        return FAST_OK;
    if (f->d == f->mnt->root || f->mnt->root->parent != f->mnt->root)
        return FAST_GIVE_UP; /* up a mount, or a bind mount that a rename may have left */
    f->d = f->d->parent;
    return f->d->is_mountpoint ? FAST_GIVE_UP : FAST_OK;
}

static inline struct dentry *fast_cross(struct fast *f, struct dentry *d, struct mount **m)
{
    *m = f->mnt;
    while (unlikely(atomic_load_explicit(&d->is_mountpoint, memory_order_relaxed))) {
        struct mount *over = mount_on_rcu(*m, d);
        if (!over)
            break;
        *m = over;
        d = over->root;
    }
    return d;
}

/* Starts on the text of a link whose directory is f->d; `rest` waits. NULL: give up. */
static const char *fast_link(struct fast *f, struct mount *m, struct dentry *d, const char *rest)
{
    const char *text = d->inode->link;
    if (!text || !*text || f->depth == FAST_LINKS || ++f->nlinks > VFS_MAX_LINKS ||
        (m->flags & LX_MS_NOSYMFOLLOW))
        return NULL;
    struct path p = {m, d};
    path_accessed(&p);
    if (*rest)
        f->rests[f->depth++] = rest;
    if (*text == '/') {
        f->mnt = f->root.mnt;
        f->d = f->root.dentry;
    }
    return text;
}

static enum fast_result fast_run(struct fast *f, const char *s)
{
    for (;;) {
        while (*s == '/')
            s++;
        if (!*s) {
            if (f->depth == 0) {
                f->last_type = LAST_ROOT;
                return FAST_OK;
            }
            s = f->rests[--f->depth];
            continue;
        }
        struct inode *dir = f->d->inode;
        if (!dir || !mode_is_dir(dir->mode) || dir->ops->permission ||
            (f->d->sb->flags & SB_REVALIDATE) || inode_generic_permission(dir, LX_X_OK) < 0)
            return FAST_GIVE_UP;
        const char *e = s + 1;
        while (*e && *e != '/')
            e++;
        u32 size = (u32)(e - s);
        const char *next = e;
        while (*next == '/')
            next++;
        bool is_last = !*next && f->depth == 0;
        enum last_type type = LAST_NORM;
        if (s[0] == '.')
            type = size == 1 ? LAST_DOT : size == 2 && s[1] == '.' ? LAST_DOTDOT : LAST_NORM;
        if (is_last)
            f->has_trailing_slash |= *e == '/';
        if (is_last && f->is_parent_wanted) {
            f->last = s;
            f->last_size = size;
            f->last_type = type;
            return FAST_OK;
        }
        s = next;
        if (type == LAST_DOT)
            continue;
        if (type == LAST_DOTDOT) {
            if (fast_dotdot(f) != FAST_OK)
                return FAST_GIVE_UP;
            continue;
        }
        if (size > LX_NAME_MAX)
            return FAST_GIVE_UP;
        struct dentry *d = dentry_find_rcu(f->d, e - size, size, dentry_name_hash(e - size, size));
        if (!d)
            return FAST_GIVE_UP;
        if (!atomic_load_explicit(&d->is_used, memory_order_relaxed))
            atomic_store_explicit(&d->is_used, true, memory_order_relaxed);
        struct mount *m;
        d = fast_cross(f, d, &m);
        struct inode *i = d->inode;
        if (!i)
            return FAST_NOENT;
        if (mode_is_lnk(i->mode) &&
            (!is_last || (f->flags & WALK_FOLLOW) || f->has_trailing_slash)) {
            if (i->ops->follow || (is_last && may_follow_link(dir, i) < 0))
                return FAST_GIVE_UP;
            s = fast_link(f, m, d, s);
            if (!s)
                return FAST_GIVE_UP;
            continue;
        }
        f->mnt = m;
        f->d = d;
    }
}

static bool fast_is_valid(const struct fast *f)
{
    return !vfs_rename_seq_retry(f->rename_seq) && atomic_load(&vfs_mount_seq) == f->mount_seq;
}

/* Runs with the epoch open and leaves it; on FAST_OK *ret has references. */
static enum fast_result fast_walk(struct fast *f, int dirfd, const char *name, struct path *ret,
                                  struct path *ret_root)
{
    struct fs_ctx *fs = vfs_current->fs;
    struct file *file = NULL;
    if (*name != '/' && dirfd != LX_AT_FDCWD) {
        file = fd_get_raw(dirfd);
        if (!file)
            return FAST_GIVE_UP;
    }
    epoch_enter();
    f->rename_seq = atomic_load(&vfs_rename_seq);
    f->mount_seq = atomic_load(&vfs_mount_seq);
    mutex_lock(&fs->lock);
    f->root = fs->root;
    struct path base = *name == '/' ? fs->root : file ? file->path : fs->cwd;
    mutex_unlock(&fs->lock);
    f->mnt = base.mnt;
    f->d = base.dentry;
    enum fast_result r = FAST_GIVE_UP;
    if (!((f->rename_seq | f->mount_seq) & 1))
        r = fast_run(f, name);
    bool has_d = false, has_m = false, has_root = false;
    if (r == FAST_OK) {
        struct inode *i = f->d->inode;
        bool must_be_dir =
            !f->is_parent_wanted && ((f->flags & WALK_DIRECTORY) || f->has_trailing_slash);
        if (!i || (must_be_dir && !mode_is_dir(i->mode))) {
            r = FAST_GIVE_UP;
        } else {
            has_d = ref_get_unless_zero(&f->d->ref);
            has_m = ref_get_unless_zero(&f->mnt->ref);
            if (ret_root) {
                has_root = ref_get_unless_zero(&f->root.mnt->ref);
                if (has_root && !ref_get_unless_zero(&f->root.dentry->ref)) {
                    r = FAST_GIVE_UP;
                    ret_root = NULL;
                }
            }
        }
        if (!has_d || !has_m || (ret_root && !has_root) || !dentry_is_findable(f->d))
            r = FAST_GIVE_UP;
    }
    if (r != FAST_GIVE_UP && !fast_is_valid(f))
        r = FAST_GIVE_UP;
    epoch_exit();
    file_put(file);
    if (r == FAST_OK) {
        *ret = (struct path){f->mnt, f->d};
        if (ret_root)
            *ret_root = f->root;
        return r;
    }
    if (has_d)
        dentry_put(f->d);
    if (has_m)
        mount_put(f->mnt);
    if (has_root) {
        mount_put(f->root.mnt);
        if (ret_root)
            dentry_put(f->root.dentry);
    }
    return r;
}

bool walk_fast(int dirfd, const char *name, u32 flags, int *ret_err, struct path *ret_path)
{
    if (!vfs_current || !*name || (flags & ~(u32)FAST_FLAGS))
        return false;
    struct fast f = {.flags = flags};
    enum fast_result r = fast_walk(&f, dirfd, name, ret_path, NULL);
    *ret_err = r == FAST_NOENT ? -LX_ENOENT : 0;
    return r != FAST_GIVE_UP;
}

bool walk_fast_parent(struct walk *w, int dirfd, const char *name, u32 flags)
{
    if (!vfs_current || !*name || (flags & ~(u32)FAST_FLAGS))
        return false;
    struct fast f = {.flags = flags, .is_parent_wanted = true};
    if (fast_walk(&f, dirfd, name, &w->cur, &w->root) != FAST_OK)
        return false;
    w->flags = flags;
    w->nlinks = f.nlinks;
    w->depth = 0;
    w->rest = "";
    w->last_type = f.last_type;
    w->last = f.last;
    w->last_size = f.last_size;
    w->has_trailing_slash = f.has_trailing_slash;
    return true;
}
