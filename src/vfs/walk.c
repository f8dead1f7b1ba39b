/*
 * Path resolution, as path_resolution(7) and openat2(2) describe it.
 *
 * A walk holds a reference to where it is (cur) and to its root. Strings are
 * worked off from the left; a symbolic link in the middle puts its target in
 * front: the rest of the string that held it waits on the stack. A link is only
 * pushed with a rest that is not empty, so the depth is bounded by VFS_MAX_LINKS.
 *
 * "Last component" follows Linux: walk_parent stops before the last component
 * of the outermost string; when that is a link which must be followed, its target
 * becomes the outermost string (walk_push_link) and walk_parent goes on.
 */
#include <stdlib.h>
#include <string.h>

#include "vfs/ahead.h"
#include "vfs/internal.h"
#include "vfs/vfs.h"

#define WALK_SCOPED (WALK_BENEATH | WALK_IN_ROOT)

_Thread_local struct walk_ahead vfs_ahead;

/* ---- beginning and end --------------------------------------------------------------------- */

static void task_root(struct path *ret)
{
    if (vfs_current)
        fs_ctx_root(vfs_current->fs, ret);
    else
        *ret = (struct path){0};
}

/* Consumes base. */
static int begin(struct walk *w, struct path *base, const char *name, u32 flags)
{
    /* Not the stack: it is large and depth says how much of it is valid. */
    w->cur = *base;
    w->root = (struct path){0};
    w->flags = flags;
    w->nlinks = 0;
    w->depth = 0;
    w->rest = name;
    w->last = NULL;
    w->last_size = 0;
    w->last_type = LAST_ROOT;
    w->has_trailing_slash = false;
    if (flags & WALK_SCOPED) {
        w->root = *base;
        path_get(&w->root);
    } else {
        task_root(&w->root);
        if (!w->root.mnt) {
            w->root = *base;
            path_get(&w->root);
        }
    }
    if (*name != '/')
        return 0;
    if (flags & WALK_BENEATH)
        return -LX_EXDEV;
    if ((flags & WALK_NO_XDEV) && w->root.mnt != w->cur.mnt)
        return -LX_EXDEV;
    path_put(&w->cur);
    w->cur = w->root;
    path_get(&w->cur);
    return 0;
}

/* The directory that dirfd names. */
static int get_base(int dirfd, const char *name, u32 flags, struct path *ret)
{
    if (dirfd == LX_AT_FDCWD || (*name == '/' && !(flags & WALK_SCOPED))) {
        if (!vfs_current)
            return -LX_EBADF;
        fs_ctx_cwd(vfs_current->fs, ret);
        return 0;
    }
    struct file *f = fd_get_raw(dirfd);
    if (!f)
        return -LX_EBADF;
    if (*name && !mode_is_dir(f->inode->mode)) {
        file_put(f);
        return -LX_ENOTDIR;
    }
    *ret = f->path;
    path_get(ret);
    file_put(f);
    return 0;
}

int walk_begin(struct walk *w, int dirfd, const char *name, u32 flags)
{
    struct path base;
    w->cur = w->root = (struct path){0};
    w->depth = 0;
    if (!*name && !(flags & WALK_EMPTY))
        return -LX_ENOENT;
    int r = get_base(dirfd, name, flags, &base);
    if (r < 0)
        return r;
    return begin(w, &base, name, flags);
}

int walk_begin_at(struct walk *w, const struct path *base, const char *name, u32 flags)
{
    struct path b = *base;
    w->cur = w->root = (struct path){0};
    w->depth = 0;
    if (!*name && !(flags & WALK_EMPTY))
        return -LX_ENOENT;
    path_get(&b);
    return begin(w, &b, name, flags);
}

void walk_done(struct walk *w)
{
    path_put(&w->cur);
    path_put(&w->root);
    while (w->depth > 0)
        free(w->stack[--w->depth].buf);
}

/* ---- steps --------------------------------------------------------------------------------- */

int walk_cross(struct walk *w, struct path *p)
{
    struct mount *m;
    while ((m = mount_on(p))) {
        if (w->flags & WALK_NO_XDEV) {
            mount_put(m);
            return -LX_EXDEV;
        }
        path_put(p);
        dentry_get(m->root);
        *p = (struct path){m, m->root};
    }
    return 0;
}

static bool path_equal(const struct path *a, const struct path *b)
{
    return a->mnt == b->mnt && a->dentry == b->dentry;
}

bool path_step_up(struct path *p)
{
    while (p->dentry == p->mnt->root) {
        if (!path_up_mount(p))
            return false;
    }
    struct dentry *up = dentry_get_parent(p->dentry);
    if (up == p->dentry) {
        dentry_put(up);
        return false; /* a root that is no mount's */
    }
    dentry_put(p->dentry);
    p->dentry = up;
    return true;
}

static int walk_dotdot(struct walk *w)
{
    for (;;) {
        if (path_equal(&w->cur, &w->root))
            return w->flags & WALK_BENEATH ? -LX_EXDEV : 0;
        if (w->cur.dentry != w->cur.mnt->root)
            break;
        struct mount *was = w->cur.mnt;
        if (!path_up_mount(&w->cur))
            return 0; /* the root of a tree: stays */
        if ((w->flags & WALK_NO_XDEV) && w->cur.mnt != was)
            return -LX_EXDEV;
    }
    struct dentry *p = dentry_get_parent(w->cur.dentry);
    dentry_put(w->cur.dentry);
    w->cur.dentry = p;
    /* A rename may have moved us out of a bind mount's subtree, or out of the scope. */
    struct mount *m = w->cur.mnt;
    if (m->root != m->sb->root && !dentry_is_ancestor(m->root, p))
        return -LX_ENOENT;
    if ((w->flags & WALK_SCOPED) && m == w->root.mnt && !dentry_is_ancestor(w->root.dentry, p))
        return -LX_EAGAIN;
    return walk_cross(w, &w->cur);
}

/* The name's child of cur, mounts crossed. The dentry may be negative. */
static int walk_child(struct walk *w, const char *name, u32 size, struct path *ret)
{
    struct dentry *d;
    if (size > LX_NAME_MAX)
        return -LX_ENAMETOOLONG;
    int r = dentry_lookup(w->cur.dentry, name, size, &d);
    if (r < 0)
        return r;
    *ret = (struct path){w->cur.mnt, d};
    mount_get(ret->mnt);
    r = walk_cross(w, ret);
    if (r < 0)
        path_put(ret);
    return r;
}

static void set_cur(struct walk *w, struct path *p)
{
    path_put(&w->cur);
    w->cur = *p;
    *p = (struct path){0};
}

/*
 * Follows `link` from cur (its directory): jumps (magic links) or puts its
 * target in front, with `rest` to be done after it ("" for a final link).
 */
static int follow_link(struct walk *w, const struct path *link, const char *rest)
{
    struct inode *i = link->dentry->inode;
    if ((w->flags & WALK_NO_SYMLINKS) || ++w->nlinks > VFS_MAX_LINKS ||
        (link->mnt->flags & LX_MS_NOSYMFOLLOW))
        return -LX_ELOOP;
    path_accessed(link);
    if (i->ops->follow) {
        struct path to;
        if (w->flags & WALK_NO_MAGIC)
            return -LX_ELOOP;
        int r = i->ops->follow(i, &to);
        if (r < 0)
            return r;
        if ((w->flags & WALK_SCOPED) || ((w->flags & WALK_NO_XDEV) && to.mnt != w->cur.mnt)) {
            path_put(&to);
            return -LX_EXDEV;
        }
        set_cur(w, &to);
        w->rest = rest;
        return 0;
    }
    if (!i->ops->readlink)
        return -LX_EINVAL;
    char *buf = malloc(MAX_PATH + 1);
    if (!buf)
        return -LX_ENOMEM;
    s64 n = i->ops->readlink(i, buf, MAX_PATH);
    if (n <= 0 || n > MAX_PATH) {
        free(buf);
        return n < 0 ? (int)n : -LX_ENOENT;
    }
    buf[n] = '\0';
    /* A finished string below is not needed any more, unless its text is `rest`. */
    w->stack[w->depth].buf = buf;
    w->stack[w->depth].rest = rest;
    w->depth++;
    w->rest = buf;
    if (*buf != '/')
        return 0;
    if (w->flags & WALK_BENEATH)
        return -LX_EXDEV;
    if ((w->flags & WALK_NO_XDEV) && w->root.mnt != w->cur.mnt)
        return -LX_EXDEV;
    struct path root = w->root;
    path_get(&root);
    set_cur(w, &root);
    return 0;
}

int walk_push_link(struct walk *w, const struct path *link)
{
    int r = may_follow_link(w->cur.dentry->inode, link->dentry->inode);
    if (r < 0)
        return r;
    return follow_link(w, link, "");
}

/* The text that is left when the current string is done: pops to the next that has any. */
static const char *pop_rest(struct walk *w)
{
    while (w->depth > 0) {
        const char *rest = w->stack[w->depth - 1].rest;
        if (!*rest)
            return NULL; /* that link was final: its string is the outermost now */
        free(w->stack[w->depth - 1].buf);
        w->depth--;
        return rest;
    }
    return NULL;
}

/* True when nothing waits below the current string. */
static bool is_outermost(const struct walk *w)
{
    return w->depth == 0 || !*w->stack[w->depth - 1].rest;
}

int walk_parent(struct walk *w)
{
    for (;;) {
        const char *s = w->rest;
        while (*s == '/')
            s++;
        if (!*s) {
            const char *rest = pop_rest(w);
            if (!rest) {
                w->last_type = LAST_ROOT;
                w->last = s;
                w->last_size = 0;
                w->rest = s;
                return 0;
            }
            w->rest = rest;
            continue;
        }
        struct inode *dir = w->cur.dentry->inode;
        if (!mode_is_dir(dir->mode))
            return -LX_ENOTDIR;
        int r = inode_permission(dir, LX_X_OK);
        if (r < 0)
            return r;
        const char *e = s;
        while (*e && *e != '/')
            e++;
        u32 size = (u32)(e - s);
        const char *next = e;
        while (*next == '/')
            next++;
        enum last_type type = LAST_NORM;
        if (s[0] == '.' && size == 1)
            type = LAST_DOT;
        else if (s[0] == '.' && s[1] == '.' && size == 2)
            type = LAST_DOTDOT;
        if (!*next && is_outermost(w)) {
            w->last_type = type;
            w->last = s;
            w->last_size = size;
            w->has_trailing_slash |= *e == '/';
            w->rest = next;
            return 0;
        }
        w->rest = next;
        if (type == LAST_DOT)
            continue;
        if (type == LAST_DOTDOT) {
            r = walk_dotdot(w);
            if (r < 0)
                return r;
            continue;
        }
        struct path child;
        vfs_ahead = (struct walk_ahead){s, size, next};
        r = walk_child(w, s, size, &child);
        vfs_ahead.rest = NULL;
        if (r < 0)
            return r;
        struct inode *i = child.dentry->inode;
        if (i && mode_is_lnk(i->mode)) {
            const char *rest = w->rest;
            if (!*rest) { /* the end of a link's target: what waited below it is next */
                rest = pop_rest(w);
            }
            r = follow_link(w, &child, rest);
        } else if (!i) {
            r = -LX_ENOENT;
        } else {
            set_cur(w, &child);
        }
        path_put(&child);
        if (r < 0)
            return r;
        if (!mode_is_dir(w->cur.dentry->inode->mode))
            return -LX_ENOTDIR;
    }
}

int walk_last(struct walk *w)
{
    for (;;) {
        struct path child;
        int r;
        if (w->last_type == LAST_ROOT || w->last_type == LAST_DOT) {
            r = 0;
            break;
        }
        if (w->last_type == LAST_DOTDOT) {
            r = walk_dotdot(w);
            if (r < 0)
                return r;
            break;
        }
        r = walk_child(w, w->last, w->last_size, &child);
        if (r < 0)
            return r;
        struct inode *i = child.dentry->inode;
        if (!i) {
            path_put(&child);
            return -LX_ENOENT;
        }
        if (!mode_is_lnk(i->mode) || !((w->flags & WALK_FOLLOW) || w->has_trailing_slash)) {
            set_cur(w, &child);
            break;
        }
        r = walk_push_link(w, &child);
        path_put(&child);
        if (r == 0)
            r = walk_parent(w);
        if (r < 0)
            return r;
    }
    bool must_be_dir = (w->flags & WALK_DIRECTORY) || w->has_trailing_slash;
    if (must_be_dir && !mode_is_dir(w->cur.dentry->inode->mode))
        return -LX_ENOTDIR;
    return 0;
}

int walk_begin_parent(struct walk *w, int dirfd, const char *name, u32 flags)
{
    if (walk_fast_parent(w, dirfd, name, flags))
        return 0;
    int r = walk_begin(w, dirfd, name, flags);
    return r < 0 ? r : walk_parent(w);
}

/* ---- the public forms ---------------------------------------------------------------------- */

static int finish(struct walk *w, int r, struct path *ret_path)
{
    if (r == 0)
        r = walk_parent(w);
    if (r == 0 && !(w->flags & WALK_PARENT))
        r = walk_last(w);
    if (r == 0) {
        *ret_path = w->cur;
        w->cur = (struct path){0};
    }
    walk_done(w);
    return r;
}

int vfs_walk(int dirfd, const char *name, u32 walk_flags, struct path *ret_path)
{
    struct walk w;
    int r;
    if (walk_fast(dirfd, name, walk_flags, &r, ret_path))
        return r;
    if (walk_flags & WALK_CACHED)
        return -LX_EAGAIN;
    r = walk_begin(&w, dirfd, name, walk_flags);
    return finish(&w, r, ret_path);
}

int vfs_walk_at(const struct path *base, const char *name, u32 walk_flags, struct path *ret_path)
{
    struct walk w;
    int r = walk_begin_at(&w, base, name, walk_flags);
    return finish(&w, r, ret_path);
}
