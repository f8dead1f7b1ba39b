/*
 * Overlay: changes of names. Each is done in the upper directory; what the lower layers
 * would then show under a name that is gone is covered by a whiteout.
 *
 * A directory that has lower parts is renamed like any other: a "redirect" mark on its
 * upper part says under which path its lower parts are found. One without lower parts that
 * comes to a place where the lower layers have something is marked "opaque".
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "fs/overlay_int.h"

static struct path *upper_of(struct inode *i)
{
    return &ovl_node(i)->upper;
}

/* ---- whiteouts ----------------------------------------------------------------------------- */

/* ud is negative, its directory locked. */
static int make_whiteout(struct ovl_super *os, struct inode *udir, struct dentry *ud)
{
    if (!udir->ops->mknod)
        return -LX_EROFS;
    int r = udir->ops->mknod(udir, ud, LX_S_IFCHR, 0);
    if (r == 0 && os->is_private)
        ud->inode->flags |= INODE_WHITEOUT;
    return r;
}

/* The same by name, after something was removed. */
static int cover(struct ovl_super *os, struct path *updir, const char *name, size_t size)
{
    struct dentry *ud;
    int r = dentry_lookup_locked(updir->dentry, name, size, &ud);
    if (r < 0)
        return r;
    r = ud->inode ? -LX_EIO : make_whiteout(os, updir->dentry->inode, ud);
    dentry_put(ud);
    return r;
}

static int remove_upper(struct inode *udir, struct dentry *ud)
{
    int r = ovl_is_dir(ud->inode) ? (udir->ops->rmdir ? udir->ops->rmdir(udir, ud) : -LX_EROFS)
                                  : (udir->ops->unlink ? udir->ops->unlink(udir, ud) : -LX_EROFS);
    if (r == 0)
        dentry_unlinked(ud);
    return r;
}

/*
 * Finds the upper dentry of a name that the overlay does not have, taking a whiteout away
 * (*ret_was_white). The upper directory is locked by the caller.
 */
static int free_upper_name(struct ovl_super *os, struct path *updir, const char *name, size_t size,
                           struct dentry **ret_ud, bool *ret_was_white)
{
    struct dentry *ud;
    *ret_was_white = false;
    int r = dentry_lookup_locked(updir->dentry, name, size, &ud);
    if (r == 0 && ud->inode) {
        if (ovl_is_whiteout(os, ud->inode, true)) {
            r = remove_upper(updir->dentry->inode, ud);
            *ret_was_white = r == 0;
        } else {
            r = -LX_EEXIST; /* somebody changed the layer itself */
        }
        dentry_put(ud);
        if (r == 0)
            r = dentry_lookup_locked(updir->dentry, name, size, &ud);
    }
    if (r == 0)
        *ret_ud = ud;
    return r;
}

/* ---- making -------------------------------------------------------------------------------- */

struct making {
    u32 mode;
    u64 rdev;
    const char *target;   /* of a symbolic link */
    struct inode *linked; /* upper inode that gets a name */
};

static int make_in_upper(struct inode *udir, struct dentry *ud, const struct making *m)
{
    const struct inode_ops *o = udir->ops;
    if (m->linked)
        return o->link ? o->link(udir, ud, m->linked) : -LX_EPERM;
    switch (m->mode & LX_S_IFMT) {
    case LX_S_IFDIR:
        return o->mkdir ? o->mkdir(udir, ud, m->mode) : -LX_EPERM;
    case LX_S_IFREG:
        return o->create ? o->create(udir, ud, m->mode) : -LX_EPERM;
    case LX_S_IFLNK:
        return o->symlink ? o->symlink(udir, ud, m->target) : -LX_EPERM;
    default:
        return o->mknod ? o->mknod(udir, ud, m->mode, m->rdev) : -LX_EPERM;
    }
}

/* On success *ret_up is the new upper object, with references. */
static int make_upper(struct inode *dir, struct dentry *d, const struct making *m,
                      struct path *ret_up)
{
    struct ovl_super *os = ovl_sb(dir->sb);
    struct dentry *ud;
    bool was_white;
    int r = ovl_copy_up(dir, 0);
    if (r < 0)
        return r;
    struct path *updir = upper_of(dir);
    struct inode *udir = updir->dentry->inode;
    mutex_lock(&udir->lock);
    r = udir->flags & INODE_DEAD
            ? -LX_ENOENT
            : free_upper_name(os, updir, d->name, d->name_size, &ud, &was_white);
    if (r == 0) {
        r = make_in_upper(udir, ud, m);
        /* Without the mark the new directory would show what the whiteout covered. */
        if (r == 0 && was_white && (m->mode & LX_S_IFMT) == LX_S_IFDIR && !m->linked) {
            r = ovl_set_mark(os, ud->inode, "opaque", "y", 1);
            if (r < 0 && remove_upper(udir, ud) < 0)
                log_warn("overlay: a directory was left behind");
        }
        if (r < 0 && was_white && cover(os, updir, d->name, d->name_size) < 0)
            log_warn("overlay: a removed name came back: no room for its whiteout");
        if (r == 0) {
            mount_get(updir->mnt);
            *ret_up = (struct path){updir->mnt, ud};
        } else {
            dentry_put(ud);
        }
    }
    mutex_unlock(&udir->lock);
    return r;
}

static int make(struct inode *dir, struct dentry *d, const struct making *m)
{
    struct path up;
    struct inode *i;
    int r = make_upper(dir, d, m, &up);
    if (r < 0)
        return r;
    r = ovl_make(dir->sb, dir, &up, NULL, 0, &i);
    if (r == 0)
        dentry_instantiate(d, i);
    ovl_mirror(dir);
    return r;
}

static int ovl_create(struct inode *dir, struct dentry *d, u32 mode)
{
    return make(dir, d, &(struct making){.mode = mode});
}

static int ovl_mknod(struct inode *dir, struct dentry *d, u32 mode, u64 rdev)
{
    return make(dir, d, &(struct making){.mode = mode, .rdev = rdev});
}

static int ovl_mkdir(struct inode *dir, struct dentry *d, u32 mode)
{
    return make(dir, d, &(struct making){.mode = mode});
}

static int ovl_symlink(struct inode *dir, struct dentry *d, const char *target)
{
    int r = make(dir, d, &(struct making){.mode = LX_S_IFLNK | 0777, .target = target});
    if (r == 0) {
        char *copy = strdup(target), *none = NULL;
        struct inode *i = d->inode;
        if (copy && !atomic_compare_exchange_strong(&i->link, &none, copy))
            free(copy);
    }
    return r;
}

static int ovl_link(struct inode *dir, struct dentry *d, struct inode *target)
{
    struct path up;
    int r = ovl_copy_up(target, UINT64_MAX);
    if (r < 0)
        return r;
    struct making m = {.linked = upper_of(target)->dentry->inode};
    r = make_upper(dir, d, &m, &up);
    if (r < 0)
        return r;
    path_put(&up);
    if (ovl_node(target)->has_own_nlink)
        atomic_fetch_add(&target->nlink, 1);
    inode_get(target);
    dentry_instantiate(d, target);
    ovl_mirror(target);
    ovl_mirror(dir);
    return 0;
}

static int ovl_tmpfile(struct inode *dir, u32 mode, struct inode **ret_i)
{
    struct inode *ui;
    int r = ovl_copy_up(dir, 0);
    if (r < 0)
        return r;
    struct path *updir = upper_of(dir);
    struct inode *udir = updir->dentry->inode;
    if (!udir->ops->tmpfile)
        return -LX_EOPNOTSUPP;
    mutex_lock(&udir->lock);
    r = udir->ops->tmpfile(udir, mode, &ui);
    mutex_unlock(&udir->lock);
    if (r < 0)
        return r;
    struct dentry *ud = dentry_alloc_unhashed(updir->dentry, "#tmp", 4);
    if (!ud) {
        inode_put(ui);
        return -LX_ENOMEM;
    }
    dentry_instantiate(ud, ui);
    struct path up = {updir->mnt, ud};
    mount_get(up.mnt);
    return ovl_make(dir->sb, dir, &up, NULL, 0, ret_i);
}

/* ---- removing ------------------------------------------------------------------------------ */

/* A name of i is gone: what is not mirrored from the upper layer is kept here. */
static void lost_name(struct inode *i)
{
    struct ovl_node *n = ovl_node(i);
    if (ovl_is_dir(i)) {
        atomic_store(&i->nlink, 0);
        if (!ovl_has_upper(n))
            n->is_orphan = true;
        return;
    }
    if (n->has_own_nlink || !ovl_has_upper(n)) {
        u32 left = atomic_fetch_sub(&i->nlink, 1) - 1;
        if (!ovl_has_upper(n))
            n->is_orphan = true; /* the name by which it would be copied up */
        if (left > 0)
            ovl_pin(i); /* its other names find this count, and the copy if there is one */
        else
            ovl_unpin(i);
    }
    if (ovl_has_upper(n))
        ovl_mirror(i);
}

static int ovl_remove(struct inode *dir, struct dentry *d)
{
    struct ovl_super *os = ovl_sb(dir->sb);
    struct inode *i = d->inode;
    struct dentry *ud;
    int below = ovl_has_lower_name(dir, d->name, d->name_size);
    int r = below < 0 ? below : ovl_copy_up(dir, 0);
    if (r < 0)
        return r;
    if (ovl_is_dir(i)) {
        r = ovl_clear_if_empty(i);
        if (r < 0)
            return r;
    }
    struct path *updir = upper_of(dir);
    struct inode *udir = updir->dentry->inode;
    mutex_lock(&udir->lock);
    r = dentry_lookup_locked(updir->dentry, d->name, d->name_size, &ud);
    if (r == 0) {
        /* Another name of a copied-up file need not exist in the upper layer. */
        if (ud->inode) {
            bool is_dir = ovl_is_dir(ud->inode);
            r = remove_upper(udir, ud);
            if (r == 0 && is_dir)
                ud->inode->flags |= INODE_DEAD;
        }
        if (r == 0 && below)
            r = cover(os, updir, d->name, d->name_size);
        dentry_put(ud);
    }
    mutex_unlock(&udir->lock);
    if (r == 0)
        lost_name(i);
    ovl_mirror(dir);
    return r;
}

/* ---- rename -------------------------------------------------------------------------------- */

/* Gives the upper object of a copied-up file the name under which it is known here. */
static int ensure_name(struct inode *dir, struct dentry *d)
{
    struct ovl_super *os = ovl_sb(dir->sb);
    struct inode *real = upper_of(d->inode)->dentry->inode;
    struct path *updir = upper_of(dir);
    struct inode *udir = updir->dentry->inode;
    struct dentry *ud;
    bool was_white;
    MUTEX_GUARD(&udir->lock);
    int r = dentry_lookup_locked(updir->dentry, d->name, d->name_size, &ud);
    if (r < 0)
        return r;
    bool is_there = ud->inode == real;
    dentry_put(ud);
    if (is_there)
        return 0;
    r = free_upper_name(os, updir, d->name, d->name_size, &ud, &was_white);
    if (r == 0) {
        r = udir->ops->link ? udir->ops->link(udir, ud, real) : -LX_EXDEV;
        dentry_put(ud);
    }
    return r;
}

/* Where the lower parts of a merged directory are, from the layers' roots. */
static int set_redirect(struct ovl_super *os, struct ovl_node *n)
{
    char buf[MAX_PATH], c;
    const struct path *low = &n->lower[0];
    struct path root = {low->mnt, low->mnt->root};
    if (ovl_get_mark(os, n->upper.dentry->inode, "redirect", &c, 0) > 0)
        return 0; /* it has moved before: the mark is of the lower path, which stays */
    s64 size = vfs_path_string(low, &root, buf, sizeof(buf));
    if (size < 0)
        return -LX_EXDEV;
    int r = ovl_set_mark(os, n->upper.dentry->inode, "redirect", buf, (size_t)size);
    return r == -LX_EOPNOTSUPP ? -LX_EXDEV : r;
}

/* Before a directory moves to a name that the lower layers may know. */
static int prepare_dir(struct ovl_super *os, struct inode *i, int below_new)
{
    struct ovl_node *n = ovl_node(i);
    if (!ovl_is_dir(i))
        return 0;
    if (n->nlower > 0)
        return set_redirect(os, n);
    return below_new ? ovl_set_mark(os, n->upper.dentry->inode, "opaque", "y", 1) : 0;
}

struct renaming {
    struct ovl_super *os;
    struct inode *odir, *ndir;
    struct dentry *od, *nd;
    u32 flags;
    int below_old, below_new; /* do the lower layers know these names */
};

static int rename_prepare(struct renaming *n)
{
    struct inode *i = n->od->inode, *t = n->nd->inode;
    bool is_exchange = n->flags & LX_RENAME_EXCHANGE;
    int r = ovl_copy_up(i, UINT64_MAX);
    if (r == 0)
        r = ovl_copy_up(n->odir, 0);
    if (r == 0)
        r = ovl_copy_up(n->ndir, 0);
    if (r == 0 && is_exchange)
        r = ovl_copy_up(t, UINT64_MAX);
    if (r == 0)
        r = ensure_name(n->odir, n->od);
    if (r == 0 && is_exchange)
        r = ensure_name(n->ndir, n->nd);
    if (r < 0)
        return r;
    n->below_old = ovl_has_lower_name(n->odir, n->od->name, n->od->name_size);
    n->below_new = ovl_has_lower_name(n->ndir, n->nd->name, n->nd->name_size);
    if (n->below_old < 0 || n->below_new < 0)
        return n->below_old < 0 ? n->below_old : n->below_new;
    if (!is_exchange && t && ovl_is_dir(t))
        r = ovl_clear_if_empty(t);
    if (r == 0)
        r = prepare_dir(n->os, i, n->below_new);
    if (r == 0 && is_exchange)
        r = prepare_dir(n->os, t, n->below_old);
    return r;
}

/* The rename itself, both upper directories locked. */
static int rename_upper(struct renaming *n, struct path *oup, struct path *nup)
{
    struct inode *uodir = oup->dentry->inode, *undir = nup->dentry->inode;
    struct dentry *uod = NULL, *und = NULL;
    bool was_white, is_exchange = n->flags & LX_RENAME_EXCHANGE;
    int r = dentry_lookup_locked(oup->dentry, n->od->name, n->od->name_size, &uod);
    if (r == 0)
        r = dentry_lookup_locked(nup->dentry, n->nd->name, n->nd->name_size, &und);
    if (r == 0 && und->inode && !is_exchange && ovl_is_whiteout(n->os, und->inode, true)) {
        dentry_put(take_ptr(und));
        r = free_upper_name(n->os, nup, n->nd->name, n->nd->name_size, &und, &was_white);
    }
    if (r == 0 && (!uod->inode || (is_exchange && !und->inode)))
        r = -LX_ENOENT;
    if (r == 0 && !uodir->ops->rename)
        r = -LX_EPERM;
    if (r == 0 && uod->inode == und->inode) { /* names of one file: only ours to forget */
        r = remove_upper(uodir, uod);
    } else if (r == 0) {
        bool is_white = !is_exchange && (n->below_old || (n->flags & LX_RENAME_WHITEOUT));
        struct inode *replaced = und->inode;
        u32 uflags = is_exchange ? LX_RENAME_EXCHANGE : is_white ? LX_RENAME_WHITEOUT : 0U;
        r = uodir->ops->rename(uodir, uod, undir, und, uflags);
        if (r == -LX_EINVAL && is_white) /* an upper that cannot: in two steps, below */
            r = uodir->ops->rename(uodir, uod, undir, und, 0);
        if (r == 0 && is_exchange)
            dentry_exchange(uod, und);
        else if (r == 0)
            dentry_move(uod, und);
        if (r == 0 && replaced && !is_exchange && ovl_is_dir(replaced))
            replaced->flags |= INODE_DEAD;
    }
    dentry_put(uod);
    dentry_put(und);
    return r;
}

/* The old name after a rename: nothing, our whiteout, or the one that the guest asked for. */
static int settle_old_name(struct renaming *n, struct path *oup)
{
    struct dentry *ud;
    bool is_guests = n->flags & LX_RENAME_WHITEOUT;
    if ((!n->below_old && !is_guests) || (n->flags & LX_RENAME_EXCHANGE))
        return 0;
    int r = dentry_lookup_locked(oup->dentry, n->od->name, n->od->name_size, &ud);
    if (r < 0)
        return r;
    if (!ud->inode)
        r = make_whiteout(n->os, oup->dentry->inode, ud);
    if (r == 0 && n->os->is_private) {
        if (is_guests)
            ud->inode->flags &= ~INODE_WHITEOUT;
        else
            ud->inode->flags |= INODE_WHITEOUT;
    }
    dentry_put(ud);
    return r;
}

static int ovl_rename(struct inode *odir, struct dentry *od, struct inode *ndir, struct dentry *nd,
                      u32 flags)
{
    struct renaming n = {ovl_sb(odir->sb), odir, ndir, od, nd, flags, 0, 0};
    struct inode *i = od->inode, *t = nd->inode;
    int r = rename_prepare(&n);
    if (r < 0)
        return r;
    struct path *oup = upper_of(odir), *nup = upper_of(ndir);
    if (oup->dentry->sb != nup->dentry->sb)
        return -LX_EXDEV;
    lock_rename(oup->dentry, nup->dentry);
    r = rename_upper(&n, oup, nup);
    if (r == 0 && settle_old_name(&n, oup) < 0)
        log_warn("overlay: a renamed name came back: no room for its whiteout");
    unlock_rename(oup->dentry, nup->dentry);
    if (r < 0)
        return r;
    ovl_mirror(odir);
    ovl_mirror(ndir);
    ovl_mirror(i);
    if (t && (flags & LX_RENAME_EXCHANGE))
        ovl_mirror(t);
    else if (t)
        lost_name(t);
    return 0;
}

const struct inode_ops ovl_dir_iops = {
    .lookup = ovl_lookup,
    .create = ovl_create,
    .mknod = ovl_mknod,
    .mkdir = ovl_mkdir,
    .symlink = ovl_symlink,
    .link = ovl_link,
    .unlink = ovl_remove,
    .rmdir = ovl_remove,
    .rename = ovl_rename,
    .tmpfile = ovl_tmpfile,
    OVL_ATTR_OPS,
};
