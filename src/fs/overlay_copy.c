/*
 * Copy-up: an object of a lower layer gets a copy in the upper one before its
 * first change: data, mode, owner, times and extended attributes. Its parents come first.
 *
 * The copy is made under its final name. That is safe because lookups of that name find the
 * overlay's dentry, which whoever asks for the copy holds; a failure removes it again.
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "fs/overlay_int.h"
#include "vfs/acl.h"
#include "vfs/file.h"

#define COPY_CHUNK 65536U

int ovl_real_stat(const struct path *p, struct kstat *st)
{
    struct inode *i = p->dentry->inode;
    if (i->ops->getattr)
        return i->ops->getattr(i, st);
    inode_fill_stat(i, st);
    return 0;
}

int ovl_real_setattr(struct inode *real, const struct iattr *a)
{
    MUTEX_GUARD(&real->lock);
    if (real->ops->setattr)
        return real->ops->setattr(real, a);
    inode_apply_attr(real, a);
    return 0;
}

/* ---- contents ------------------------------------------------------------------------------ */

static s64 write_all(struct file *f, char *buf, s64 n, s64 off)
{
    s64 done = 0;
    while (done < n) {
        struct uio u;
        s64 at = off + done;
        uio_init_kernel(&u, buf + done, (u64)(n - done));
        s64 w = f->ops->write(f, &u, &at);
        if (w <= 0)
            return w < 0 ? w : -LX_ENOSPC;
        done += w;
    }
    return done;
}

/* Where data comes next at or after off; holes are not copied. */
static s64 next_data(struct file *f, s64 off, s64 size)
{
    if (!f->ops->seek)
        return off;
    s64 r = f->ops->seek(f, off, LX_SEEK_DATA);
    return r == -LX_ENXIO ? size : r < off ? off : r;
}

static int copy_bytes(struct file *from, struct file *to, s64 size)
{
    char *buf = malloc(COPY_CHUNK);
    s64 off = 0, r = 0;
    if (!buf)
        return -LX_ENOMEM;
    while (off < size) {
        if (off % (16 * (s64)COPY_CHUNK) == 0)
            off = next_data(from, off, size);
        struct uio u;
        s64 at = off;
        uio_init_kernel(&u, buf, (u64)MIN(size - off, (s64)COPY_CHUNK));
        r = u.left ? from->ops->read(from, &u, &at) : 0;
        if (r <= 0)
            break;
        s64 w = write_all(to, buf, r, off);
        if (w < 0) {
            r = w;
            break;
        }
        off += r;
    }
    free(buf);
    return r < 0 ? (int)r : 0;
}

static int copy_contents(const struct path *lower, const struct path *upper, u64 keep)
{
    struct kstat st;
    struct file *from, *to;
    int r = ovl_real_stat(lower, &st);
    if (r < 0)
        return r;
    u64 size = MIN(st.size, keep);
    if (size > 0) {
        r = file_open_path(lower, LX_O_RDONLY | LX_O_LARGEFILE | LX_O_NOATIME, &from);
        if (r < 0)
            return r;
        r = file_open_path(upper, LX_O_WRONLY | LX_O_LARGEFILE, &to);
        if (r == 0) {
            r = from->ops->read && to->ops->write ? copy_bytes(from, to, (s64)size) : -LX_EIO;
            file_put(to);
        }
        file_put(from);
    }
    if (r == 0 && upper->dentry->inode->size < size) { /* ends in a hole */
        struct iattr a = {.valid = ATTR_SIZE, .size = size};
        r = ovl_real_setattr(upper->dentry->inode, &a);
    }
    return r;
}

/* security.* and system.* attributes that the upper layer refuses are left behind, as on Linux. */
static int copy_one_xattr(struct ovl_super *os, struct inode *from, struct inode *to,
                          const char *name)
{
    if (ovl_is_mark(os, name))
        return 0;
    s64 n = from->ops->getxattr(from, name, NULL, 0);
    if (n < 0 || n > LX_XATTR_SIZE_MAX)
        return 0;
    char *val = malloc((size_t)n + 1);
    if (!val)
        return -LX_ENOMEM;
    n = from->ops->getxattr(from, name, val, (size_t)n + 1);
    int r = 0;
    if (n >= 0) {
        mutex_lock(&to->lock);
        r = to->ops->setxattr(to, name, val, (size_t)n, 0);
        if (r == 0 && !strcmp(name, "security.capability"))
            to->flags |= INODE_PRIV_XATTR;
        mutex_unlock(&to->lock);
    }
    free(val);
    bool may_skip = r == -LX_EOPNOTSUPP || r == -LX_EPERM || !strncmp(name, "security.", 9);
    return may_skip ? 0 : r;
}

static int copy_xattrs(struct ovl_super *os, struct inode *from, struct inode *to)
{
    if (!from->ops->listxattr || !from->ops->getxattr || !to->ops->setxattr)
        return 0;
    s64 n = from->ops->listxattr(from, NULL, 0);
    if (n <= 0)
        return 0;
    n = MIN(n, (s64)LX_XATTR_LIST_MAX);
    char *list = malloc((size_t)n + 1);
    if (!list)
        return -LX_ENOMEM;
    n = from->ops->listxattr(from, list, (size_t)n);
    int r = 0;
    for (s64 at = 0; r == 0 && at < n;) {
        list[n] = '\0';
        r = copy_one_xattr(os, from, to, list + at);
        at += (s64)strlen(list + at) + 1;
    }
    free(list);
    return r;
}

/* ---- one object ---------------------------------------------------------------------------- */

static int make_object(struct inode *dir, struct dentry *d, const struct path *lower,
                       const struct kstat *st)
{
    switch (st->mode & LX_S_IFMT) {
    case LX_S_IFDIR:
        return dir->ops->mkdir ? dir->ops->mkdir(dir, d, st->mode) : -LX_EROFS;
    case LX_S_IFREG:
        return dir->ops->create ? dir->ops->create(dir, d, LX_S_IFREG | 0600) : -LX_EROFS;
    case LX_S_IFLNK: {
        char to[MAX_PATH + 1];
        struct inode *li = lower->dentry->inode;
        s64 n = li->ops->readlink ? li->ops->readlink(li, to, MAX_PATH) : -LX_EIO;
        if (n < 0)
            return (int)n;
        to[n] = '\0';
        return dir->ops->symlink ? dir->ops->symlink(dir, d, to) : -LX_EROFS;
    }
    default:
        return dir->ops->mknod ? dir->ops->mknod(dir, d, st->mode, st->rdev) : -LX_EROFS;
    }
}

/* A name of its own in the parent's upper directory, or none at all. */
static int make_named(struct ovl_node *n, const struct path *lower, const struct kstat *st,
                      struct path *ret)
{
    struct path *up = &ovl_node(n->parent)->upper;
    struct inode *dir = up->dentry->inode;
    char name[LX_NAME_MAX + 1];
    struct dentry *d;
    epoch_enter();
    size_t size = MIN(strlen(lower->dentry->name), (size_t)LX_NAME_MAX);
    memcpy(name, lower->dentry->name, size);
    epoch_exit();
    MUTEX_GUARD(&dir->lock);
    int r = dir->flags & INODE_DEAD ? -LX_ENOENT : dentry_lookup_locked(up->dentry, name, size, &d);
    if (r < 0)
        return r;
    struct ktime atime = dir->atime, mtime = dir->mtime;
    r = d->inode ? -LX_EIO : make_object(dir, d, lower, st); /* a guest changed the layer itself */
    if (r < 0) {
        dentry_put(d);
        return r;
    }
    dir->atime = atime; /* the directory did not change as far as anybody can see */
    dir->mtime = mtime;
    mount_get(up->mnt);
    *ret = (struct path){up->mnt, d};
    return 0;
}

static int make_unnamed(struct ovl_super *os, const struct kstat *st, struct path *ret)
{
    struct inode *dir = os->upper.dentry->inode, *i;
    if ((st->mode & LX_S_IFMT) != LX_S_IFREG || !dir->ops->tmpfile)
        return -LX_ENOENT;
    mutex_lock(&dir->lock);
    int r = dir->ops->tmpfile(dir, LX_S_IFREG | 0600, &i);
    mutex_unlock(&dir->lock);
    if (r < 0)
        return r;
    struct dentry *d = dentry_alloc_unhashed(os->upper.dentry, "#ovl", 4);
    if (!d) {
        inode_put(i);
        return -LX_ENOMEM;
    }
    dentry_instantiate(d, i);
    mount_get(os->upper.mnt);
    *ret = (struct path){os->upper.mnt, d};
    return 0;
}

static void unmake(struct ovl_node *n, struct path *p)
{
    struct dentry *d = p->dentry;
    struct inode *dir = d->parent->inode;
    if (d->is_hashed) {
        mutex_lock(&dir->lock);
        int r = ovl_is_dir(d->inode) ? dir->ops->rmdir(dir, d) : dir->ops->unlink(dir, d);
        if (r == 0)
            dentry_unlinked(d);
        mutex_unlock(&dir->lock);
    }
    path_put(p);
}

static int finish_object(struct ovl_super *os, struct ovl_node *n, const struct path *lower,
                         const struct kstat *st, const struct path *up, u64 keep)
{
    struct inode *to = up->dentry->inode;
    u64 origin[2] = {n->dev == n->inode->sb->dev ? 0 : n->dev, n->ino};
    int r = (st->mode & LX_S_IFMT) == LX_S_IFREG ? copy_contents(lower, up, keep) : 0;
    if (r == 0)
        r = copy_xattrs(os, lower->dentry->inode, to);
    if (r < 0)
        return r;
    mutex_lock(&to->lock);
    for (int k = 0; k < 2; k++) /* not what the upper directory's default gave */
        inode_put_acl(to, k, inode_get_acl(lower->dentry->inode, k));
    mutex_unlock(&to->lock);
    /* A layer that keeps no marks shows another number after a remount; nothing else is lost. */
    r = ovl_set_mark(os, to, "origin", origin, sizeof(origin));
    if (r == 0 && n->parent && !atomic_exchange(&ovl_node(n->parent)->is_impure, true))
        r = ovl_set_mark(os, ovl_node(n->parent)->upper.dentry->inode, "impure", "y", 1);
    if (r < 0 && r != -LX_EOPNOTSUPP)
        return r;
    struct inode *oi = n->inode;
    struct iattr a = {
        .valid = ATTR_MODE | ATTR_UID | ATTR_GID | ATTR_ATIME | ATTR_MTIME,
        .mode = st->mode,
        .uid = st->uid,
        .gid = st->gid,
        .atime = oi->atime,
        .mtime = st->mtime,
    };
    if ((st->mode & LX_S_IFMT) == LX_S_IFLNK)
        a.valid &= ~ATTR_MODE;
    return ovl_real_setattr(to, &a);
}

static int copy_up_one(struct inode *i, u64 keep)
{
    struct ovl_super *os = ovl_sb(i->sb);
    struct ovl_node *n = ovl_node(i);
    struct path up = {0};
    struct kstat st;
    MUTEX_GUARD(&n->lock);
    if (ovl_has_upper(n))
        return 0;
    const struct path *lower = &n->lower[0];
    int r = ovl_real_stat(lower, &st);
    if (r == 0)
        r = n->is_orphan ? make_unnamed(os, &st, &up) : make_named(n, lower, &st, &up);
    if (r < 0)
        return r;
    r = finish_object(os, n, lower, &st, &up, keep);
    if (r < 0) {
        unmake(n, &up);
        return r;
    }
    mutex_lock(&os->table_lock);
    up.dentry->inode->stacked = i;
    mutex_unlock(&os->table_lock);
    n->upper = up;
    atomic_store_explicit(&n->has_upper, true, memory_order_release);
    if (n->has_own_nlink)
        ovl_pin(i); /* its other names lead to the lower object, and from there to this node only */
    ovl_mirror(i);
    return 0;
}

int ovl_copy_up(struct inode *i, u64 keep)
{
    struct ovl_super *os = ovl_sb(i->sb);
    if (ovl_has_upper(ovl_node(i)))
        return 0;
    if (!os->upper.dentry)
        return -LX_EROFS;
    for (;;) {
        struct inode *t = i;
        if (!ovl_node(i)->is_orphan) {
            while (ovl_node(t)->parent && !ovl_has_upper(ovl_node(ovl_node(t)->parent)))
                t = ovl_node(t)->parent;
        }
        int r = copy_up_one(t, t == i ? keep : 0);
        if (r < 0 || t == i)
            return r;
    }
}
