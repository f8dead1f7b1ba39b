/*
 * open(2) and openat2(2): the walk to the file, creation, permission, truncation.
 */
#include "abi/sched.h"
#include "vfs/acl.h"
#include "vfs/file.h"
#include "vfs/internal.h"
#include "vfs/landlock.h"
#include "vfs/locks.h"
#include "vfs/vfs.h"

#define OPEN_TMPFILE (LX_O_TMPFILE & ~LX_O_DIRECTORY)

_Thread_local u32 vfs_create_flags;

u32 current_umask(void)
{
    return vfs_current ? vfs_current->fs->umask & 0777U : 0;
}

static u32 access_mask(u32 flags)
{
    static const u8 by_accmode[4] = {LX_R_OK, LX_W_OK, LX_R_OK | LX_W_OK, LX_R_OK | LX_W_OK};
    u32 mask = by_accmode[flags & LX_O_ACCMODE];
    return flags & LX_O_TRUNC ? mask | LX_W_OK : mask;
}

/* Linux's may_open: what kind of thing it is, then whether this task may have it so. */
static int may_open(const struct path *p, u32 flags)
{
    struct inode *i = p->dentry->inode;
    u32 mask = access_mask(flags);
    switch (i->mode & LX_S_IFMT) {
    case LX_S_IFLNK:
        return -LX_ELOOP;
    case LX_S_IFDIR:
        if (mask & LX_W_OK)
            return -LX_EISDIR;
        break;
    case LX_S_IFCHR:
    case LX_S_IFBLK:
        if ((p->mnt->flags & LX_MS_NODEV) || (i->sb->flags & SB_NODEV))
            return -LX_EACCES;
        break;
    default:
        break;
    }
    int r = inode_permission(i, mask);
    if (r < 0)
        return r;
    if (i->flags & INODE_APPEND) {
        if ((flags & LX_O_ACCMODE) != LX_O_RDONLY && !(flags & LX_O_APPEND))
            return -LX_EPERM;
        if (flags & LX_O_TRUNC)
            return -LX_EPERM;
    }
    if ((flags & LX_O_NOATIME) && !inode_owner_or_capable(i))
        return -LX_EPERM;
    return 0;
}

/* fs.protected_fifos and _regular: O_CREAT finds somebody else's file in a sticky directory. */
static int may_open_in_sticky(const struct inode *dir, const struct inode *i)
{
    u32 type = i->mode & LX_S_IFMT;
    s64 level = type == LX_S_IFIFO   ? vfs_protected_fifos
                : type == LX_S_IFREG ? vfs_protected_regular
                                     : 0;
    if (level == 0 || !(dir->mode & LX_S_ISVTX) || i->uid == dir->uid ||
        vfs_cred()->fsuid == i->uid)
        return 0;
    return (dir->mode & LX_S_IWOTH) || ((dir->mode & LX_S_IWGRP) && level >= 2) ? -LX_EACCES : 0;
}

static int open_path(const struct path *p, u32 flags, bool is_created, struct file **ret_f)
{
    struct inode *i = p->dentry->inode;
    if (flags & LX_O_PATH)
        return file_open_path(p, flags, ret_f);
    if (!is_created && (flags & LX_O_CREAT) && mode_is_dir(i->mode))
        return -LX_EISDIR;
    if (!mode_is_reg(i->mode))
        flags &= mode_is_dir(i->mode) ? ~0U : ~(u32)LX_O_TRUNC;
    u32 fmode = 0;
    int r = is_created ? 0 : may_open(p, flags);
    if (r == 0)
        r = landlock_open(p, is_created ? flags & ~(u32)LX_O_TRUNC : flags, false, &fmode);
    if (r < 0)
        return r;
    bool is_truncated = (flags & LX_O_TRUNC) && !is_created;
    if (is_truncated) {
        r = mount_want_write(p->mnt);
        if (r < 0)
            return r;
    }
    if (i->locks) {
        r = lease_break(i, flags);
        if (r < 0)
            return r;
    }
    struct file *f;
    r = file_open_path(p, flags, &f);
    if (r < 0)
        return r;
    f->mode |= fmode;
    if (is_truncated) {
        r = open_truncate(f);
        if (r < 0) {
            file_put(f);
            return r;
        }
    }
    *ret_f = f;
    return 0;
}

/* Makes the last component of w under dir's lock unless it is there by now. */
static int create_last(struct walk *w, const struct open_how *how, struct dentry **ret_d,
                       bool *ret_created)
{
    struct dentry *dir = w->cur.dentry, *d;
    struct inode *di = dir->inode;
    *ret_created = false;
    if (!di->ops->lookup)
        return -LX_ENOTDIR;
    u64 denied = landlock_denied(&w->cur, LL_FS_MAKE_REG);
    mutex_lock(&di->lock);
    int r = dentry_lookup_locked(dir, w->last, w->last_size, &d);
    if (r == 0 && !d->inode) {
        r = mount_want_write(w->cur.mnt);
        if (r == 0 && denied)
            r = -LX_EACCES;
        if (r == 0)
            r = may_create_in(di);
        vfs_create_flags = how->flags;
        if (r == 0)
            r = di->ops->create
                    ? di->ops->create(di, d, LX_S_IFREG | acl_create_mode(di, how->mode & 07777U))
                    : -LX_EACCES;
        vfs_create_flags = 0;
        if (r < 0)
            dentry_put(d);
        *ret_created = r == 0;
    }
    mutex_unlock(&di->lock);
    if (*ret_created)
        vfs_notify_name(di, d->name, LX_IN_CREATE, 0, d->inode);
    if (r == 0)
        *ret_d = d;
    return r;
}

/* With O_CREAT, after walk_parent. Loops while the last component is a link to follow. */
static int open_create(struct walk *w, const struct open_how *how, struct file **ret_f)
{
    for (;;) {
        struct dentry *d;
        bool is_created = false;
        if (w->last_type != LAST_NORM) {
            if (how->flags & LX_O_EXCL)
                return -LX_EEXIST;
            return -LX_EISDIR;
        }
        if (w->has_trailing_slash)
            return -LX_EISDIR;
        if (w->last_size > LX_NAME_MAX)
            return -LX_ENAMETOOLONG;
        int r = dentry_lookup(w->cur.dentry, w->last, w->last_size, &d);
        if (r == 0 && !d->inode) {
            dentry_put(d);
            r = create_last(w, how, &d, &is_created);
        }
        if (r < 0)
            return r;
        struct path p = {w->cur.mnt, d};
        mount_get(p.mnt);
        if (is_created) {
            r = open_path(&p, how->flags, true, ret_f);
            path_put(&p);
            return r;
        }
        r = walk_cross(w, &p);
        if (r == 0 && (how->flags & LX_O_EXCL))
            r = -LX_EEXIST;
        bool is_link = r == 0 && mode_is_lnk(p.dentry->inode->mode);
        if (is_link && (how->flags & LX_O_NOFOLLOW))
            r = -LX_ELOOP;
        if (r == 0 && !is_link)
            r = may_open_in_sticky(w->cur.dentry->inode, p.dentry->inode);
        if (r == 0 && !is_link)
            r = open_path(&p, how->flags, false, ret_f);
        else if (r == 0)
            r = walk_push_link(w, &p);
        path_put(&p);
        if (r < 0 || !is_link)
            return r;
        r = walk_parent(w);
        if (r < 0)
            return r;
        if (w->last_type == LAST_ROOT) /* a magic link, or a link to "/": we stand on it */
            return open_path(&w->cur, how->flags, false, ret_f);
    }
}

static int open_tmpfile(const struct path *dir, const struct open_how *how, struct file **ret_f)
{
    struct inode *di = dir->dentry->inode, *i;
    int r = mount_want_write(dir->mnt);
    if (r == 0)
        r = inode_permission(di, LX_W_OK | LX_X_OK);
    if (r < 0)
        return r;
    if (!di->ops->tmpfile)
        return -LX_EOPNOTSUPP;
    mutex_lock(&di->lock);
    r = di->flags & INODE_DEAD
            ? -LX_ENOENT
            : di->ops->tmpfile(di, LX_S_IFREG | acl_create_mode(di, how->mode & 07777U), &i);
    mutex_unlock(&di->lock);
    if (r < 0)
        return r;
    if (!(how->flags & LX_O_EXCL))
        i->flags |= INODE_LINKABLE;
    char name[24] = "#";
    u32 n = 1;
    for (u64 v = 1000000000000000000ULL, ino = i->ino; v > 0; v /= 10) {
        if (n > 1 || ino / v % 10 || v == 1)
            name[n++] = (char)('0' + ino / v % 10);
    }
    struct dentry *d = dentry_alloc_unhashed(dir->dentry, name, n);
    if (!d) {
        inode_put(i);
        return -LX_ENOMEM;
    }
    dentry_instantiate(d, i);
    struct path p = {dir->mnt, d};
    mount_get(p.mnt);
    r = open_path(&p, how->flags & ~(u32)(OPEN_TMPFILE | LX_O_DIRECTORY | LX_O_EXCL), true, ret_f);
    if (r == 0)
        (*ret_f)->flags |= LX_O_TMPFILE;
    path_put(&p);
    return r;
}

/* openat2(2)'s checks of flags; open(2) has dropped what it ignores before. */
static int check_how(const struct open_how *how)
{
    u32 f = how->flags;
    if ((f & LX_O_TMPFILE) == LX_O_TMPFILE) {
        if ((f & LX_O_CREAT) || (f & LX_O_ACCMODE) == LX_O_RDONLY)
            return -LX_EINVAL;
    } else if (f & OPEN_TMPFILE) {
        return -LX_EINVAL;
    } else if ((f & LX_O_CREAT) && (f & LX_O_DIRECTORY)) {
        return -LX_EINVAL;
    }
    return 0;
}

static u32 walk_flags_of(const struct open_how *how)
{
    u32 f = how->walk_flags;
    if (how->flags & LX_O_DIRECTORY)
        f |= WALK_DIRECTORY;
    if (!(how->flags & LX_O_NOFOLLOW))
        f |= WALK_FOLLOW;
    return f;
}

static int open_found(const struct path *p, const struct open_how *how, struct file **ret_f)
{
    if ((how->flags & LX_O_TMPFILE) == LX_O_TMPFILE)
        return open_tmpfile(p, how, ret_f);
    return open_path(p, how->flags, false, ret_f);
}

int vfs_open(int dirfd, const char *name, const struct open_how *how_arg, struct file **ret_f)
{
    struct open_how how = *how_arg;
    struct path p;
    if (how.flags & LX_O_PATH)
        how.flags &= LX_O_PATH | LX_O_DIRECTORY | LX_O_NOFOLLOW | LX_O_CLOEXEC;
    int r = check_how(&how);
    if (r < 0)
        return r;
    if (how.flags & LX_O_CREAT) {
        struct walk w;
        u32 wf = walk_flags_of(&how);
        if (wf & WALK_CACHED)
            return -LX_EAGAIN;
        r = walk_begin_parent(&w, dirfd, name, wf);
        if (r == 0)
            r = open_create(&w, &how, ret_f);
        walk_done(&w);
        dentry_shrink();
        return r;
    }
    r = vfs_walk(dirfd, name, walk_flags_of(&how), &p);
    if (r < 0)
        return r;
    r = open_found(&p, &how, ret_f);
    path_put(&p);
    return r;
}

int vfs_open_at(const struct path *base, const char *name, const struct open_how *how,
                struct file **ret_f)
{
    struct path p;
    int r = check_how(how);
    if (r < 0)
        return r;
    if (how->flags & LX_O_CREAT) {
        struct walk w;
        r = walk_begin_at(&w, base, name, walk_flags_of(how));
        if (r == 0)
            r = walk_parent(&w);
        if (r == 0)
            r = open_create(&w, how, ret_f);
        walk_done(&w);
        return r;
    }
    r = vfs_walk_at(base, name, walk_flags_of(how), &p);
    if (r < 0)
        return r;
    r = open_found(&p, how, ret_f);
    path_put(&p);
    return r;
}
