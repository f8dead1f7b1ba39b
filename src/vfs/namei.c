/*
 * The calls that change directories: mkdir, mknod, symlink, link, unlink, rmdir, rename.
 *
 * The order of checks is Linux's, because programs see it in the errno: the walk,
 * then what the last component is, then existence, then permission, then the
 * file system. A read-only mount is reported only when nothing earlier is wrong.
 */
#include <string.h>

#include "abi/sched.h"
#include "vfs/acl.h"
#include "vfs/file.h"
#include "vfs/internal.h"
#include "vfs/landlock.h"
#include "vfs/special.h"
#include "vfs/vfs.h"

_Atomic s64 vfs_protected_symlinks = 1, vfs_protected_hardlinks = 1, vfs_protected_fifos = 1,
            vfs_protected_regular = 2;

int may_follow_link(const struct inode *dir, const struct inode *link)
{
    u32 shared = LX_S_ISVTX | LX_S_IWOTH;
    if (!vfs_protected_symlinks || vfs_cred()->fsuid == link->uid ||
        (dir->mode & shared) != shared || dir->uid == link->uid)
        return 0;
    return -LX_EACCES;
}

/* fs.protected_hardlinks: only the owner makes links to what others could not have made. */
static int may_link(struct inode *i)
{
    u32 type = i->mode & LX_S_IFMT;
    if (!vfs_protected_hardlinks || inode_owner_or_capable(i))
        return 0;
    bool is_setgid = (i->mode & (LX_S_ISGID | LX_S_IXGRP)) == (LX_S_ISGID | LX_S_IXGRP);
    if (type != LX_S_IFREG || (i->mode & LX_S_ISUID) || is_setgid ||
        inode_permission(i, LX_R_OK | LX_W_OK) < 0)
        return -LX_EPERM;
    return 0;
}

int may_create_in(struct inode *dir)
{
    if (dir->flags & INODE_DEAD)
        return -LX_ENOENT;
    return inode_permission(dir, LX_W_OK | LX_X_OK);
}

/* May d be removed from dir (locked), as a directory or as something else. */
static int may_delete(struct inode *dir, struct dentry *d, bool is_dir_wanted)
{
    struct inode *i = d->inode;
    int r = inode_permission(dir, LX_W_OK | LX_X_OK);
    if (r < 0)
        return r;
    if (dir->flags & INODE_APPEND)
        return -LX_EPERM;
    const struct cred *c = vfs_cred();
    bool is_sticky = (dir->mode & LX_S_ISVTX) && c->fsuid != i->uid && c->fsuid != dir->uid &&
                     !vfs_capable_over(LX_CAP_FOWNER, i->uid, i->gid);
    if (is_sticky || (i->flags & (INODE_APPEND | INODE_IMMUTABLE)))
        return -LX_EPERM;
    if (is_dir_wanted) {
        if (!mode_is_dir(i->mode))
            return -LX_ENOTDIR;
        if (d->parent == d)
            return -LX_EBUSY;
    } else if (mode_is_dir(i->mode)) {
        return -LX_EISDIR;
    }
    return dir->flags & INODE_DEAD ? -LX_ENOENT : 0;
}

/* ---- making -------------------------------------------------------------------------------- */

/*
 * Walks to the parent, locks it and finds the last component, which must not exist, to be made of
 * this kind; move is for another name of `linked`, else NULL, and the caller checks it. On success
 * *ret_d is negative and create_end must follow; on failure only walk_done.
 */
static int create_begin(struct walk *w, int dirfd, const char *name, u32 mode,
                        const struct path *linked, struct landlock_move *move,
                        struct dentry **ret_d)
{
    bool is_dir = mode_is_dir(mode);
    struct dentry *d;
    int r = walk_begin_parent(w, dirfd, name, 0);
    if (r < 0)
        return r;
    if (w->last_type != LAST_NORM)
        return -LX_EEXIST;
    if (w->last_size > LX_NAME_MAX)
        return -LX_ENAMETOOLONG;
    struct inode *dir = w->cur.dentry->inode;
    if (!dir->ops->lookup)
        return -LX_ENOTDIR;
    if (dir->sb->flags &
        SB_REVALIDATE) { /* brings the cache up to date; the answer is found below */
        r = dentry_lookup(w->cur.dentry, w->last, w->last_size, &d);
        if (r < 0)
            return r;
        dentry_put(d);
    }
    u64 denied = move ? 0 : landlock_denied(&w->cur, landlock_make_right(mode));
    if (move)
        landlock_link_begin(move, linked, &w->cur);
    mutex_lock(&dir->lock);
    r = dentry_lookup_locked(w->cur.dentry, w->last, w->last_size, &d);
    if (r == 0) {
        if (d->inode)
            r = -LX_EEXIST;
        else if (w->has_trailing_slash && !is_dir)
            r = -LX_ENOENT;
        if (r == 0)
            r = mount_want_write(w->cur.mnt);
        if (r == 0 && denied)
            r = -LX_EACCES;
        if (r == 0)
            r = may_create_in(dir);
        if (r < 0)
            dentry_put(d);
    }
    if (r < 0)
        mutex_unlock(&dir->lock);
    else
        *ret_d = d;
    return r;
}

static void create_end(struct walk *w, struct dentry *d, int r, u32 mask)
{
    struct inode *dir = w->cur.dentry->inode;
    mutex_unlock(&dir->lock);
    if (r == 0)
        vfs_notify_name(dir, d->name, mask, 0, d->inode);
    dentry_put(d);
    dentry_shrink();
}

int vfs_mkdir(int dirfd, const char *name, u32 mode)
{
    struct walk w;
    struct dentry *d;
    int r = create_begin(&w, dirfd, name, LX_S_IFDIR, NULL, NULL, &d);
    if (r == 0) {
        struct inode *dir = w.cur.dentry->inode;
        mode = LX_S_IFDIR | acl_create_mode(dir, mode & 01777U);
        r = dir->ops->mkdir ? dir->ops->mkdir(dir, d, mode) : -LX_EPERM;
        create_end(&w, d, r, LX_IN_CREATE | LX_IN_ISDIR);
    }
    walk_done(&w);
    return r;
}

int vfs_mknod(int dirfd, const char *name, u32 mode, u64 rdev)
{
    struct walk w;
    struct dentry *d;
    u32 type = mode & LX_S_IFMT;
    if (type == 0)
        type = LX_S_IFREG;
    if (type == LX_S_IFDIR)
        return -LX_EPERM;
    if (type != LX_S_IFREG && type != LX_S_IFCHR && type != LX_S_IFBLK && type != LX_S_IFIFO &&
        type != LX_S_IFSOCK)
        return -LX_EINVAL;
    int r = create_begin(&w, dirfd, name, type, NULL, NULL, &d);
    if (r == 0) {
        struct inode *dir = w.cur.dentry->inode;
        bool is_whiteout = type == LX_S_IFCHR && rdev == 0;
        mode = type | acl_create_mode(dir, mode & 07777U);
        if ((type == LX_S_IFCHR || type == LX_S_IFBLK) && !is_whiteout &&
            (!vfs_capable(LX_CAP_MKNOD) ||
             (vfs_may_device &&
              !vfs_may_device(type == LX_S_IFBLK, DEV_MAJOR(rdev), DEV_MINOR(rdev), DEVICE_MKNOD))))
            r = -LX_EPERM;
        else if (type == LX_S_IFREG)
            r = dir->ops->create ? dir->ops->create(dir, d, mode) : -LX_EACCES;
        else
            r = dir->ops->mknod ? dir->ops->mknod(dir, d, mode, rdev) : -LX_EPERM;
        create_end(&w, d, r, LX_IN_CREATE);
    }
    walk_done(&w);
    return r;
}

int vfs_symlink(const char *target, int dirfd, const char *name)
{
    struct walk w;
    struct dentry *d;
    if (!*target)
        return -LX_ENOENT;
    int r = create_begin(&w, dirfd, name, LX_S_IFLNK, NULL, NULL, &d);
    if (r == 0) {
        struct inode *dir = w.cur.dentry->inode;
        r = dir->ops->symlink ? dir->ops->symlink(dir, d, target) : -LX_EPERM;
        create_end(&w, d, r, LX_IN_CREATE);
    }
    walk_done(&w);
    return r;
}

static int link_locked(struct inode *dir, struct dentry *d, struct inode *i)
{
    if (i->sb != dir->sb)
        return -LX_EXDEV;
    if (i->flags & (INODE_APPEND | INODE_IMMUTABLE))
        return -LX_EPERM;
    if (!dir->ops->link || mode_is_dir(i->mode))
        return -LX_EPERM;
    if (i->nlink == 0 && !(i->flags & INODE_LINKABLE))
        return -LX_ENOENT;
    int r = dir->ops->link(dir, d, i);
    if (r == 0)
        i->flags &= ~INODE_LINKABLE;
    return r;
}

/* AT_EMPTY_PATH: for whoever opened the file itself, or has the capability. */
static bool may_link_fd(int fd)
{
    if (fd == LX_AT_FDCWD)
        return true;
    struct file *f = fd_get_raw(fd);
    if (!f)
        return true; /* EBADF is the walk's to say */
    bool is_ok = f->cred == vfs_cred() || !vfs_capable_in
                     ? f->cred == vfs_cred() || vfs_ns_capable(LX_CAP_DAC_READ_SEARCH)
                     : vfs_capable_in(f->cred->user_ns, LX_CAP_DAC_READ_SEARCH);
    file_put(f);
    return is_ok;
}

int vfs_link(int odirfd, const char *oname, int ndirfd, const char *nname, u32 at_flags)
{
    struct path old;
    struct walk w;
    struct dentry *d;
    struct landlock_move move;
    u32 wf = 0;
    if (at_flags & ~(u32)(LX_AT_SYMLINK_FOLLOW | LX_AT_EMPTY_PATH))
        return -LX_EINVAL;
    if (at_flags & LX_AT_EMPTY_PATH) {
        if (!*oname && !may_link_fd(odirfd))
            return -LX_ENOENT;
        wf |= WALK_EMPTY;
    }
    if (at_flags & LX_AT_SYMLINK_FOLLOW)
        wf |= WALK_FOLLOW;
    int r = vfs_walk(odirfd, oname, wf, &old);
    if (r < 0)
        return r;
    r = create_begin(&w, ndirfd, nname, 0, &old, &move, &d);
    if (r == 0) {
        struct inode *i = old.dentry->inode;
        if (old.mnt != w.cur.mnt)
            r = -LX_EXDEV;
        else
            r = may_link(i);
        if (r == 0)
            r = landlock_move_check(&move, i, NULL, false, false);
        if (r == 0)
            r = link_locked(w.cur.dentry->inode, d, i);
        if (r == 0)
            vfs_notify_inode(old.dentry->inode, LX_IN_ATTRIB);
        create_end(&w, d, r, LX_IN_CREATE);
    }
    walk_done(&w);
    path_put(&old);
    return r;
}

/* ---- removing ------------------------------------------------------------------------------ */

/* As create_begin for what must exist: *ret_d is positive or the errno says why not. */
static int remove_begin(struct walk *w, struct dentry **ret_d)
{
    struct dentry *d;
    struct inode *dir = w->cur.dentry->inode;
    if (w->last_size > LX_NAME_MAX)
        return -LX_ENAMETOOLONG;
    if (!dir->ops->lookup)
        return -LX_ENOTDIR;
    if (dir->sb->flags & SB_REVALIDATE) {
        int r = dentry_lookup(w->cur.dentry, w->last, w->last_size, &d);
        if (r < 0)
            return r;
        dentry_put(d);
    }
    mutex_lock(&dir->lock);
    int r = dentry_lookup_locked(w->cur.dentry, w->last, w->last_size, &d);
    if (r == 0 && !d->inode) {
        dentry_put(d);
        r = -LX_ENOENT;
    }
    if (r < 0)
        mutex_unlock(&dir->lock);
    else
        *ret_d = d;
    return r;
}

/* Drops d. The object's own end (IN_DELETE_SELF, unless it is open) is told before its directory
 * hears of the removal. */
static void end_removal(struct walk *w, struct dentry *d, bool is_removed, u32 mask)
{
    struct inode *i = d->inode;
    char name[LX_NAME_MAX + 1];
    if (is_removed) {
        memcpy(name, w->last, w->last_size);
        name[w->last_size] = '\0';
        inode_get(i);
    }
    dentry_put(d);
    if (is_removed) {
        vfs_notify_name(w->cur.dentry->inode, name, mask, 0, i);
        inode_put(i);
    }
}

int vfs_unlink(int dirfd, const char *name)
{
    struct walk w;
    struct dentry *d = NULL;
    int r = walk_begin_parent(&w, dirfd, name, 0);
    if (r == 0 && w.last_type != LAST_NORM)
        r = -LX_EISDIR;
    u64 denied = r == 0 ? landlock_denied(&w.cur, LL_FS_REMOVE_FILE) : 0;
    if (r == 0)
        r = remove_begin(&w, &d);
    if (r < 0) {
        walk_done(&w);
        return r;
    }
    struct inode *dir = w.cur.dentry->inode, *i = d->inode;
    if (w.has_trailing_slash)
        r = mode_is_dir(i->mode) ? -LX_EISDIR : -LX_ENOTDIR;
    if (r == 0)
        r = mount_want_write(w.cur.mnt);
    if (r == 0 && denied)
        r = -LX_EACCES;
    if (r == 0)
        r = may_delete(dir, d, false);
    if (r == 0 && !dir->ops->unlink)
        r = -LX_EPERM;
    if (r == 0) {
        if (dentry_is_local_mountpoint(d)) {
            r = -LX_EBUSY;
        } else {
            mutex_lock(&i->lock);
            r = dir->ops->unlink(dir, d);
            mutex_unlock(&i->lock);
            if (r == 0)
                dentry_unlinked(d);
        }
    }
    mutex_unlock(&dir->lock);
    if (r == 0) {
        mount_detach_from(d);
        vfs_notify_inode(i, LX_IN_ATTRIB);
    }
    end_removal(&w, d, r == 0, LX_IN_DELETE);
    walk_done(&w);
    return r;
}

int vfs_rmdir(int dirfd, const char *name)
{
    struct walk w;
    struct dentry *d = NULL;
    static const int by_type[] = {
        [LAST_NORM] = 0,
        [LAST_DOT] = -LX_EINVAL,
        [LAST_DOTDOT] = -LX_ENOTEMPTY,
        [LAST_ROOT] = -LX_EBUSY,
    };
    int r = walk_begin_parent(&w, dirfd, name, 0);
    if (r == 0)
        r = by_type[w.last_type];
    u64 denied = r == 0 ? landlock_denied(&w.cur, LL_FS_REMOVE_DIR) : 0;
    if (r == 0)
        r = remove_begin(&w, &d);
    if (r < 0) {
        walk_done(&w);
        return r;
    }
    struct inode *dir = w.cur.dentry->inode, *i = d->inode;
    r = mount_want_write(w.cur.mnt);
    if (r == 0 && denied)
        r = -LX_EACCES;
    if (r == 0)
        r = may_delete(dir, d, true);
    if (r == 0 && !dir->ops->rmdir)
        r = -LX_EPERM;
    if (r == 0) {
        mutex_lock(&i->lock);
        if (dentry_is_local_mountpoint(d))
            r = -LX_EBUSY;
        else
            r = dir->ops->rmdir(dir, d);
        if (r == 0)
            i->flags |= INODE_DEAD;
        mutex_unlock(&i->lock);
        if (r == 0)
            dentry_unlinked(d);
    }
    mutex_unlock(&dir->lock);
    if (r == 0)
        mount_detach_from(d);
    end_removal(&w, d, r == 0, LX_IN_DELETE | LX_IN_ISDIR);
    walk_done(&w);
    return r;
}

/* ---- rename -------------------------------------------------------------------------------- */

/* Locks both directories, the ancestor first; rename_lock too when they differ. */
void lock_rename(struct dentry *a, struct dentry *b)
{
    if (a->inode == b->inode) { /* also by two names of one directory, when its host has moved it */
        mutex_lock(&a->inode->lock);
        return;
    }
    mutex_lock(&a->sb->rename_lock);
    struct dentry *first = a < b ? a : b, *second = a < b ? b : a;
    if (dentry_is_ancestor(second, first)) {
        struct dentry *t = first;
        first = second;
        second = t;
    }
    mutex_lock(&first->inode->lock);
    mutex_lock(&second->inode->lock);
}

void unlock_rename(struct dentry *a, struct dentry *b)
{
    mutex_unlock(&a->inode->lock);
    if (a->inode == b->inode)
        return;
    mutex_unlock(&b->inode->lock);
    mutex_unlock(&a->sb->rename_lock);
}

struct renaming {
    struct walk ow, nw;
    struct dentry *od, *nd;
    u32 flags;
    struct landlock_move move;
};

/* Everything that is checked before the file system is asked; Linux's do_renameat2 and vfs_rename.
 */
static int rename_check(struct renaming *n)
{
    struct dentry *od = n->od, *nd = n->nd;
    struct inode *odir = n->ow.cur.dentry->inode, *ndir = n->nw.cur.dentry->inode;
    bool is_exchange = n->flags & LX_RENAME_EXCHANGE;
    if (!od->inode)
        return -LX_ENOENT;
    if ((n->flags & LX_RENAME_NOREPLACE) && nd->inode)
        return -LX_EEXIST;
    bool is_dir = mode_is_dir(od->inode->mode);
    if (is_exchange) {
        if (!nd->inode)
            return -LX_ENOENT;
        if (n->nw.has_trailing_slash && !mode_is_dir(nd->inode->mode))
            return -LX_ENOTDIR;
    }
    if (!is_dir) {
        if (n->ow.has_trailing_slash)
            return -LX_ENOTDIR;
        if (!is_exchange && n->nw.has_trailing_slash)
            return -LX_ENOTDIR;
    }
    if (od == n->nw.cur.dentry || dentry_is_ancestor(od, n->nw.cur.dentry))
        return -LX_EINVAL; /* into itself */
    if (nd == n->ow.cur.dentry || dentry_is_ancestor(nd, n->ow.cur.dentry))
        return is_exchange ? -LX_EINVAL : -LX_ENOTEMPTY;
    int r = mount_want_write(n->ow.cur.mnt);
    if (r == 0)
        r = landlock_move_check(&n->move, od->inode, nd->inode, true, is_exchange);
    if (r < 0)
        return r;
    if (od->inode == nd->inode)
        return 1; /* two names of one file: nothing to do */
    r = may_delete(odir, od, is_dir);
    if (r < 0)
        return r;
    if (!nd->inode)
        r = may_create_in(ndir);
    else if (is_exchange)
        r = may_delete(ndir, nd, mode_is_dir(nd->inode->mode));
    else
        r = may_delete(ndir, nd, is_dir);
    if (r < 0)
        return r;
    if (!odir->ops->rename)
        return -LX_EPERM;
    /* A directory that moves gets a new "..": that is a write to it. */
    if (odir != ndir && is_dir)
        r = inode_permission(od->inode, LX_W_OK);
    if (r == 0 && odir != ndir && is_exchange && mode_is_dir(nd->inode->mode))
        r = inode_permission(nd->inode, LX_W_OK);
    if (r < 0)
        return r;
    if (dentry_is_local_mountpoint(od) || dentry_is_local_mountpoint(nd))
        return -LX_EBUSY;
    return 0;
}

static void rename_notify(struct renaming *n, const char *oname, const char *nname,
                          struct inode *replaced)
{
    static _Atomic u32 next_cookie = 1;
    struct inode *odir = n->ow.cur.dentry->inode, *ndir = n->nw.cur.dentry->inode;
    u32 cookie = atomic_fetch_add(&next_cookie, 1);
    u32 isdir = mode_is_dir(n->od->inode->mode) ? LX_IN_ISDIR : 0;
    vfs_notify_name(odir, oname, LX_IN_MOVED_FROM | isdir, cookie, n->od->inode);
    vfs_notify_name(ndir, nname, LX_IN_MOVED_TO | isdir, cookie, n->od->inode);
    if (n->od->inode->marks)
        vfs_notify(n->od, LX_IN_MOVE_SELF | isdir);
    if (n->flags & LX_RENAME_EXCHANGE) {
        cookie = atomic_fetch_add(&next_cookie, 1);
        isdir = mode_is_dir(n->nd->inode->mode) ? LX_IN_ISDIR : 0;
        vfs_notify_name(ndir, nname, LX_IN_MOVED_FROM | isdir, cookie, n->nd->inode);
        vfs_notify_name(odir, oname, LX_IN_MOVED_TO | isdir, cookie, n->nd->inode);
    } else if (replaced && replaced->marks) {
        vfs_notify_inode(n->nd->inode, LX_IN_ATTRIB);
    }
}

static int rename_do(struct renaming *n)
{
    struct inode *odir = n->ow.cur.dentry->inode, *ndir = n->nw.cur.dentry->inode;
    struct inode *target = n->nd->inode;
    char oname[LX_NAME_MAX + 1], nname[LX_NAME_MAX + 1];
    memcpy(oname, n->od->name, n->od->name_size + 1U);
    memcpy(nname, n->nd->name, n->nd->name_size + 1U);
    int r = odir->ops->rename(odir, n->od, ndir, n->nd, n->flags);
    if (r < 0)
        return r;
    if (n->flags & LX_RENAME_EXCHANGE) {
        dentry_exchange(n->od, n->nd);
    } else {
        if (target && mode_is_dir(target->mode))
            target->flags |= INODE_DEAD;
        dentry_move(n->od, n->nd);
    }
    rename_notify(n, oname, nname, target);
    return 0;
}

static int rename_find(struct walk *w, struct dentry **ret_d)
{
    return dentry_lookup_locked(w->cur.dentry, w->last, w->last_size, ret_d);
}

static int rename_types(struct renaming *n)
{
    if (n->ow.cur.mnt != n->nw.cur.mnt)
        return -LX_EXDEV;
    if (n->ow.last_type != LAST_NORM)
        return -LX_EBUSY;
    if (n->nw.last_type != LAST_NORM)
        return n->flags & LX_RENAME_NOREPLACE ? -LX_EEXIST : -LX_EBUSY;
    if (n->ow.last_size > LX_NAME_MAX || n->nw.last_size > LX_NAME_MAX)
        return -LX_ENAMETOOLONG;
    if (!n->ow.cur.dentry->inode->ops->lookup || !n->nw.cur.dentry->inode->ops->lookup)
        return -LX_ENOTDIR;
    return 0;
}

static int rename_begun(struct renaming *n)
{
    struct dentry *odir = n->ow.cur.dentry, *ndir = n->nw.cur.dentry, *d;
    int r = rename_types(n);
    for (int k = 0; r == 0 && k < 2 && (odir->sb->flags & SB_REVALIDATE); k++) {
        struct walk *w = k ? &n->nw : &n->ow;
        r = dentry_lookup(w->cur.dentry, w->last, w->last_size, &d);
        if (r == 0)
            dentry_put(d);
    }
    if (r < 0)
        return r;
    landlock_move_begin(&n->move, &n->ow.cur, &n->nw.cur);
    lock_rename(odir, ndir);
    r = rename_find(&n->ow, &n->od);
    if (r == 0)
        r = rename_find(&n->nw, &n->nd);
    if (r == 0)
        r = rename_check(n);
    if (r == 0)
        r = rename_do(n);
    unlock_rename(odir, ndir);
    if (r == 0 && n->nd && n->nd->is_mountpoint && !(n->flags & LX_RENAME_EXCHANGE))
        mount_detach_from(n->nd); /* other namespaces' mounts on what was replaced */
    return r > 0 ? 0 : r;
}

int vfs_rename(int odirfd, const char *oname, int ndirfd, const char *nname, u32 flags)
{
    struct renaming n = {.flags = flags};
    if (flags & ~(u32)(LX_RENAME_NOREPLACE | LX_RENAME_EXCHANGE | LX_RENAME_WHITEOUT))
        return -LX_EINVAL;
    if ((flags & (LX_RENAME_NOREPLACE | LX_RENAME_WHITEOUT)) && (flags & LX_RENAME_EXCHANGE))
        return -LX_EINVAL;
    if ((flags & LX_RENAME_WHITEOUT) && !vfs_capable(LX_CAP_MKNOD))
        return -LX_EPERM;
    int r = walk_begin_parent(&n.ow, odirfd, oname, 0);
    if (r == 0)
        r = walk_begin_parent(&n.nw, ndirfd, nname, 0);
    if (r == 0)
        r = rename_begun(&n);
    dentry_put(n.od);
    dentry_put(n.nd);
    walk_done(&n.ow);
    walk_done(&n.nw);
    return r;
}
