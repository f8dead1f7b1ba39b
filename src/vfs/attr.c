/*
 * Attributes: stat, chmod, chown, utimens, truncate, access. The rules are those
 * of Linux's notify_change: who may change what, and which set-id bits go.
 */
#include "abi/sched.h"
#include "vfs/file.h"
#include "vfs/internal.h"
#include "vfs/landlock.h"
#include "vfs/locks.h"
#include "vfs/vfs.h"

int vfs_stat(const struct path *p, struct kstat *ret)
{
    struct inode *i = p->dentry->inode;
    if (i->ops->getattr) {
        int r = i->ops->getattr(i, ret);
        if (r < 0)
            return r;
    } else {
        inode_fill_stat(i, ret);
    }
    ret->attributes_mask |= LX_STATX_ATTR_MOUNT_ROOT;
    if (p->mnt && p->dentry == p->mnt->root)
        ret->attributes |= LX_STATX_ATTR_MOUNT_ROOT;
    return 0;
}

int vfs_access(const struct path *p, u32 mask)
{
    struct inode *i = p->dentry->inode;
    if ((mask & LX_X_OK) && mode_is_reg(i->mode) && (p->mnt->flags & LX_MS_NOEXEC))
        return -LX_EACCES;
    if (mask == 0)
        return 0;
    int r = inode_permission(i, mask);
    u32 type = i->mode & LX_S_IFMT;
    bool is_special =
        type == LX_S_IFCHR || type == LX_S_IFBLK || type == LX_S_IFIFO || type == LX_S_IFSOCK;
    if (r == 0 && (mask & LX_W_OK) && !is_special)
        r = mount_want_write(p->mnt);
    return r == 0 && i->ops->access ? i->ops->access(i, mask) : r;
}

int vfs_statfs(const struct path *p, struct kstatfs *ret)
{
    struct super *sb = p->dentry->sb;
    *ret = (struct kstatfs){0};
    if (!sb->ops || !sb->ops->statfs)
        return -LX_ENOSYS;
    int r = sb->ops->statfs(sb, ret);
    if (r < 0)
        return r;
    if (ret->frsize == 0)
        ret->frsize = ret->bsize;
    if (dentry_is_anon(p->dentry)) { /* our anonfs is several of Linux's file systems */
        u32 kind = p->dentry->inode->mode & LX_S_IFMT;
        ret->type = kind == LX_S_IFIFO    ? LX_PIPEFS_MAGIC
                    : kind == LX_S_IFSOCK ? LX_SOCKFS_MAGIC
                                          : ret->type;
    }
    /* ST_* of statfs(2): the mount's flags in their own numbering. */
    u32 mf = p->mnt->flags;
    ret->flags |= 0x20; /* ST_VALID */
    if ((mf & LX_MS_RDONLY) || (sb->flags & SB_RDONLY))
        ret->flags |= 1;
    ret->flags |=
        mf & (LX_MS_NOSUID | LX_MS_NODEV | LX_MS_NOEXEC | LX_MS_NOATIME | LX_MS_NODIRATIME);
    if (mf & LX_MS_RELATIME)
        ret->flags |= 0x1000;
    if (mf & LX_MS_NOSYMFOLLOW)
        ret->flags |= 0x2000;
    return 0;
}

/* ---- changes ------------------------------------------------------------------------------- */

static int may_chown(const struct inode *i, const struct iattr *a)
{
    const struct cred *c = vfs_cred();
    bool is_owner = c->fsuid == i->uid;
    if ((a->valid & ATTR_UID) && !(is_owner && a->uid == i->uid) &&
        !vfs_capable_over(LX_CAP_CHOWN, i->uid, i->gid))
        return -LX_EPERM;
    if ((a->valid & ATTR_GID) && !(is_owner && (a->gid == i->gid || cred_in_group(c, a->gid))) &&
        !vfs_capable_over(LX_CAP_CHOWN, i->uid, i->gid))
        return -LX_EPERM;
    return 0;
}

static int may_set_times(struct inode *i, const struct iattr *a)
{
    u32 times = a->valid & (ATTR_ATIME | ATTR_MTIME);
    if (!times || (a->valid & ATTR_SIZE))
        return 0;
    if (i->flags & (INODE_IMMUTABLE))
        return -LX_EPERM;
    bool is_all_now = (!(times & ATTR_ATIME) || (a->valid & ATTR_ATIME_NOW)) &&
                      (!(times & ATTR_MTIME) || (a->valid & ATTR_MTIME_NOW));
    if (inode_owner_or_capable(i))
        return (i->flags & INODE_APPEND) && !is_all_now ? -LX_EPERM : 0;
    /* Only "both to now" is allowed to those who may write; utimensat(2). */
    if (times != (ATTR_ATIME | ATTR_MTIME) || !is_all_now)
        return -LX_EPERM;
    int r = inode_permission(i, LX_W_OK);
    return r == -LX_EPERM ? r : r < 0 ? -LX_EACCES : 0;
}

/* i->lock held. */
static void drop_file_caps(struct inode *i)
{
    if (!(i->flags & INODE_PRIV_XATTR))
        return;
    int r = i->ops->removexattr ? i->ops->removexattr(i, "security.capability") : 0;
    if (r < 0 && r != -LX_ENODATA)
        return; /* asked again at the next write */
    i->flags &= ~INODE_PRIV_XATTR;
}

int setattr_locked(const struct path *p, struct iattr *a)
{
    struct inode *i = p->dentry->inode;
    u32 mode = i->mode;
    if ((i->flags & (INODE_IMMUTABLE | INODE_APPEND)) &&
        (a->valid & (ATTR_MODE | ATTR_UID | ATTR_GID)))
        return -LX_EPERM;
    bool has_own_rules = i->sb->flags & SB_OWN_RULES;
    int r = has_own_rules ? 0 : may_chown(i, a);
    if (r == 0 && !has_own_rules)
        r = may_set_times(i, a);
    if (r < 0)
        return r;
    if ((a->valid & ATTR_MODE) && !has_own_rules) {
        u32 gid = a->valid & ATTR_GID ? a->gid : i->gid;
        if (!inode_owner_or_capable(i))
            return -LX_EPERM;
        if ((a->mode & LX_S_ISGID) && !cred_in_group(vfs_cred(), gid) &&
            !vfs_capable_over(LX_CAP_FSETID, i->uid, i->gid))
            a->mode &= ~(u32)LX_S_ISGID;
    }
    if ((a->valid & ATTR_KILL_PRIV) && !(a->valid & ATTR_MODE) && !mode_is_dir(mode)) {
        u32 keep = mode & 07777U & ~(u32)LX_S_ISUID;
        if (mode & LX_S_IXGRP)
            keep &= ~(u32)LX_S_ISGID;
        if (keep != (mode & 07777U)) {
            a->valid |= ATTR_MODE;
            a->mode = keep;
        }
    }
    if (a->valid & ATTR_MODE)
        a->mode = (mode & LX_S_IFMT) | (a->mode & 07777U);
    if (i->ops->setattr)
        r = i->ops->setattr(i, a);
    else
        inode_apply_attr(i, a);
    if (r == 0 && (a->valid & ATTR_KILL_PRIV))
        drop_file_caps(i);
    return r;
}

static void notify_attr(struct dentry *d, u32 valid)
{
    u32 mask = 0;
    if (valid & (ATTR_UID | ATTR_GID | ATTR_MODE))
        mask |= LX_IN_ATTRIB;
    if (valid & ATTR_SIZE)
        mask |= LX_IN_MODIFY;
    if ((valid & (ATTR_ATIME | ATTR_MTIME)) == (ATTR_ATIME | ATTR_MTIME))
        mask |= LX_IN_ATTRIB;
    else if (valid & ATTR_ATIME)
        mask |= LX_IN_ACCESS;
    else if (valid & ATTR_MTIME)
        mask |= LX_IN_MODIFY;
    if (mask)
        vfs_notify(d, mask | VFS_NOTIFY_ATTR);
}

int vfs_setattr(const struct path *p, struct iattr *a)
{
    struct inode *i = p->dentry->inode;
    int r = mount_want_write(p->mnt);
    if (r < 0)
        return r;
    mutex_lock(&i->lock);
    r = setattr_locked(p, a);
    mutex_unlock(&i->lock);
    if (r == 0)
        notify_attr(p->dentry, a->valid);
    return r;
}

int file_remove_privs(struct file *f)
{
    struct inode *i = f->inode;
    u32 mode = i->mode;
    if (!mode_is_reg(mode))
        return 0;
    bool has_setid =
        (mode & LX_S_ISUID) || (mode & (LX_S_ISGID | LX_S_IXGRP)) == (LX_S_ISGID | LX_S_IXGRP);
    if (has_setid && vfs_capable_over(LX_CAP_FSETID, i->uid, i->gid))
        has_setid = false;
    if (!has_setid && !(i->flags & INODE_PRIV_XATTR))
        return 0;
    mutex_lock(&i->lock);
    int r = 0;
    if (has_setid) {
        u32 keep = mode & 07777U & ~(u32)LX_S_ISUID;
        if (mode & LX_S_IXGRP)
            keep &= ~(u32)LX_S_ISGID;
        struct iattr a = {.valid = ATTR_MODE | ATTR_KILL_PRIV, .mode = (mode & LX_S_IFMT) | keep};
        if (i->ops->setattr)
            r = i->ops->setattr(i, &a);
        else
            inode_apply_attr(i, &a);
    }
    if (r == 0)
        drop_file_caps(i);
    mutex_unlock(&i->lock);
    return r;
}

static int check_size(const struct inode *i, u64 size)
{
    if (size > INT64_MAX)
        return -LX_EINVAL;
    if (size > i->size) {
        s64 n = vfs_write_limit(size - 1, 1);
        if (n < 0)
            return (int)n;
    }
    return 0;
}

static int do_truncate(const struct path *p, u64 size, struct file *f, u32 extra)
{
    struct inode *i = p->dentry->inode;
    struct iattr a = {.valid = ATTR_SIZE | extra, .size = size, .file = f};
    if (!vfs_capable_over(LX_CAP_FSETID, i->uid, i->gid) || (i->flags & INODE_PRIV_XATTR))
        a.valid |= ATTR_KILL_PRIV;
    mutex_lock(&i->lock);
    int r = setattr_locked(p, &a);
    mutex_unlock(&i->lock);
    if (r == 0)
        vfs_notify(p->dentry, LX_IN_MODIFY | VFS_NOTIFY_ATTR);
    return r;
}

int vfs_truncate(const struct path *p, u64 size)
{
    struct inode *i = p->dentry->inode;
    if (size > INT64_MAX)
        return -LX_EINVAL;
    if (mode_is_dir(i->mode))
        return -LX_EISDIR;
    if (!mode_is_reg(i->mode))
        return -LX_EINVAL;
    int r = mount_want_write(p->mnt);
    if (r == 0)
        r = inode_permission(i, LX_W_OK);
    if (r == 0 && (i->flags & INODE_APPEND))
        r = -LX_EPERM;
    if (r == 0 && landlock_denied(p, LL_FS_TRUNCATE))
        r = -LX_EACCES;
    if (r == 0)
        r = inode_get_write(i);
    if (r < 0)
        return r;
    r = lease_break(i, LX_O_WRONLY);
    if (r == 0)
        r = check_size(i, size);
    if (r == 0)
        r = do_truncate(p, size, NULL, ATTR_MTIME | ATTR_MTIME_NOW);
    inode_put_write(i);
    return r;
}

int vfs_ftruncate(struct file *f, s64 size)
{
    struct inode *i = f->inode;
    if (size < 0)
        return -LX_EINVAL;
    if (!mode_is_reg(i->mode) || !(f->mode & FMODE_WRITE))
        return -LX_EINVAL;
    if (i->flags & INODE_APPEND)
        return -LX_EPERM;
    if (f->mode & FMODE_NO_TRUNCATE)
        return -LX_EACCES;
    int r = check_size(i, (u64)size);
    return r < 0 ? r
                 : do_truncate(&f->path, (u64)size, f, ATTR_MTIME | ATTR_MTIME_NOW | ATTR_CTIME);
}

/* O_TRUNC; the caller has checked permission. */
int open_truncate(struct file *f)
{
    struct inode *i = f->inode;
    bool is_counted = !(f->mode & FMODE_WROTE);
    int r = is_counted ? inode_get_write(i) : 0;
    if (r < 0)
        return r;
    r = do_truncate(&f->path, 0, f->mode & FMODE_WRITE ? f : NULL,
                    ATTR_OPEN_TRUNC | ATTR_MTIME | ATTR_MTIME_NOW | ATTR_CTIME);
    if (is_counted)
        inode_put_write(i);
    return r;
}
