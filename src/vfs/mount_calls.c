/*
 * mount(2), umount2(2), pivot_root(2): the decisions, in the order in which Linux makes
 * them. Trees and propagation are in mount.c and propagate.c.
 */
#include <stdlib.h>
#include <string.h>

#include "abi/sched.h"
#include "base/log.h"
#include "vfs/internal.h"
#include "vfs/landlock.h"
#include "vfs/mount.h"
#include "vfs/vfs.h"

#define MNT_FLAGS                                                                                  \
    (LX_MS_RDONLY | LX_MS_NOSUID | LX_MS_NODEV | LX_MS_NOEXEC | LX_MS_NOATIME | LX_MS_NODIRATIME | \
     LX_MS_RELATIME | LX_MS_STRICTATIME | LX_MS_NOSYMFOLLOW)
#define ATIME_FLAGS (LX_MS_NOATIME | LX_MS_RELATIME | LX_MS_STRICTATIME | LX_MS_NODIRATIME)
#define PROPAGATION (LX_MS_SHARED | LX_MS_PRIVATE | LX_MS_SLAVE | LX_MS_UNBINDABLE)

static struct mnt_ns *current_ns(void)
{
    return vfs_current ? vfs_current->mnt_ns : NULL;
}

bool mount_may(void)
{
    if (!vfs_current)
        return true;
    if (landlock_forbids_mounts())
        return false;
    if (vfs_capable_in && current_ns())
        return vfs_capable_in(current_ns()->user_ns, LX_CAP_SYS_ADMIN);
    return vfs_ns_capable(LX_CAP_SYS_ADMIN);
}

/* In the tree that the current task may change. Boot code has no task and may change any. */
bool mount_is_ours(const struct mount *m)
{
    return m->ns && (!current_ns() || m->ns == current_ns());
}

/* In a tree that a descriptor holds; W. */
static bool is_in_floating(const struct mount *m)
{
    while (m->parent)
        m = m->parent;
    return m->is_floating;
}

static u32 mnt_flags_of(u32 flags)
{
    u32 f = flags & MNT_FLAGS;
    if (!(f & (LX_MS_NOATIME | LX_MS_STRICTATIME)))
        f |= LX_MS_RELATIME;
    if (f & LX_MS_STRICTATIME)
        f &= ~(u32)(LX_MS_RELATIME | LX_MS_NOATIME);
    if (f & LX_MS_NOATIME)
        f &= ~(u32)LX_MS_RELATIME;
    return f;
}

static bool is_gone(struct dentry *d)
{
    return (d->inode->flags & INODE_DEAD) || (d->parent != d && !d->is_hashed);
}

int mount_attach(struct mount *m, const struct path *at)
{
    int r;
    if (mode_is_dir(m->root->inode->mode) != mode_is_dir(at->dentry->inode->mode))
        return -LX_ENOTDIR;
    mount_tree_begin();
    if (is_gone(at->dentry))
        r = -LX_ENOENT;
    else
        r = mount_attach_locked(m, at->mnt, at->dentry);
    mount_tree_end();
    return r;
}

/* As mount_attach, below our own namespace only, on what is on top now. */
static int attach_here(struct mount *m, const struct path *at)
{
    struct path top = *at;
    path_get(&top);
    for (struct mount *over; (over = mount_on(&top));) {
        path_put(&top);
        dentry_get(over->root);
        top = (struct path){over, over->root};
    }
    int r = mount_is_ours(top.mnt) ? mount_attach(m, &top) : -LX_EINVAL;
    path_put(&top);
    return r;
}

static int do_new_mount(const char *source, const struct path *at, const char *type, u32 flags,
                        const char *data)
{
    struct super *sb;
    if (!type || !*type)
        return -LX_EINVAL;
    const struct fs_type *t = fs_find(type);
    if (!t)
        return -LX_ENODEV;
    if (!vfs_capable(LX_CAP_SYS_ADMIN) && !(t->flags & FS_USERNS_MOUNT))
        return -LX_EPERM;
    int r = t->mount(t, flags, source ? source : "none", data ? data : "", &sb);
    if (r < 0)
        return r;
    r = super_set_subtype(sb, type);
    if (r < 0) {
        super_put(sb);
        return r;
    }
    if (flags & LX_MS_RDONLY)
        sb->flags |= SB_RDONLY;
    struct mount *m = mount_new(sb, mnt_flags_of(flags));
    super_put(sb);
    if (!m)
        return -LX_ENOMEM;
    bool is_same = at->mnt->sb == m->sb && at->mnt->root == at->dentry;
    if (is_same)
        r = -LX_EBUSY; /* the same file system twice on one place */
    else
        r = attach_here(m, at);
    mount_put(m);
    return r;
}

/* A detached copy of what is at `from`, as a bind mount shows it. */
int mount_bind_copy(const struct path *from, bool is_recursive, struct mount **ret_m)
{
    struct mount *m = from->mnt, *c;
    int r = -LX_EINVAL;
    mount_tree_begin();
    /* What is in no tree can be copied only if it is meant to be bound: a namespace's file. */
    bool is_free = !m->ns && ((m->sb->flags & SB_NAMED) || is_in_floating(m));
    if (m->is_unbindable || (!is_free && !mount_is_ours(m)))
        goto out;
    if (!is_recursive) {
        list_for_each (c, &m->children, sibling) {
            if (c->is_locked && dentry_is_ancestor(from->dentry, c->mountpoint))
                goto out; /* it would uncover what lies below */
        }
    }
    r = mount_copy_tree(m, from->dentry, is_recursive ? 0 : MOUNT_COPY_TOP_ONLY, ret_m);
    if (r == 0)
        (*ret_m)->is_locked = false;
out:
    mount_tree_end();
    return r;
}

static int do_bind(const char *source, const struct path *at, u32 flags)
{
    struct path from;
    struct mount *m;
    if (!source || !*source)
        return -LX_EINVAL;
    int r = vfs_walk(LX_AT_FDCWD, source, WALK_FOLLOW, &from);
    if (r < 0)
        return r;
    r = mount_is_ours(at->mnt) ? mount_bind_copy(&from, flags & LX_MS_REC, &m) : -LX_EINVAL;
    path_put(&from);
    if (r < 0)
        return r;
    r = attach_here(m, at);
    if (r < 0)
        mount_drop_detached(m);
    else
        mount_put(m);
    return r;
}

void mount_drop_detached(struct mount *m)
{
    struct list gone;
    list_init(&gone);
    mount_tree_begin();
    if (!m->ns && !m->parent)
        mount_tree_dissolve(m, false, &gone);
    mount_tree_end();
    mount_put_gone(&gone);
    mount_put(m);
}

static int do_propagation(const struct path *at, u32 flags)
{
    u32 type = flags & ~(u32)(LX_MS_REC | LX_MS_SILENT);
    struct mount *top = at->mnt;
    int r = 0;
    if (type & (type - 1) || (type & ~(u32)PROPAGATION))
        return -LX_EINVAL;
    if (at->dentry != top->root)
        return -LX_EINVAL;
    mount_tree_begin();
    if (!mount_is_ours(top))
        r = -LX_EINVAL;
    for (struct mount *m = top; r == 0 && m; m = mount_tree_next(m, top)) {
        mount_set_propagation(m, type);
        if (!(flags & LX_MS_REC))
            break;
    }
    if (r == 0)
        mount_ns_changed(top->ns);
    mount_tree_end();
    return r;
}

/* Linux's rule for MS_MOVE and move_mount(2). `from` is a mount's root. mount_lock not held. */
int mount_move(const struct path *from, const struct path *at)
{
    struct mount *m = from->mnt, *x;
    struct dentry *old = NULL;
    if (from->dentry != m->root)
        return -LX_EINVAL;
    if (mode_is_dir(m->root->inode->mode) != mode_is_dir(at->dentry->inode->mode))
        return -LX_ENOTDIR;
    mount_tree_begin();
    int r = -LX_EINVAL;
    bool is_attached = m->ns != NULL;
    bool is_into_floating = !at->mnt->ns && is_in_floating(at->mnt);
    if ((!mount_is_ours(at->mnt) && !is_into_floating) ||
        (is_attached && (!mount_is_ours(m) || !m->parent || m->is_locked)))
        goto out;
    if (is_attached && m->parent->peer_group)
        goto out;
    if (!is_attached && !m->is_floating)
        goto out; /* inside a detached tree, or of a tree that was unmounted */
    if (at->mnt->peer_group) {
        for (x = m; x; x = mount_tree_next(x, m)) {
            if (x->is_unbindable)
                goto out;
        }
    }
    r = -LX_ELOOP;
    for (x = at->mnt; x; x = x->parent) {
        if (x == m)
            goto out;
    }
    r = -LX_ENOENT;
    if (is_gone(at->dentry))
        goto out;
    if (is_into_floating) {
        r = is_attached ? -LX_EINVAL : 0;
        if (r == 0) {
            mount_get(m); /* the tree's */
            m->is_floating = false;
            mount_link(m, at->mnt, at->dentry);
        }
        goto out;
    }
    struct mount *op = m->parent;
    struct dentry *od = m->mountpoint;
    old = mount_unlink(m);
    r = mount_attach_locked(m, at->mnt, at->dentry);
    if (r < 0 && op) {
        mount_link(m, op, od);
    }
out:
    mount_tree_end();
    dentry_put(old);
    return r;
}

static int do_move(const char *source, const struct path *at)
{
    struct path from;
    if (!source || !*source)
        return -LX_EINVAL;
    int r = vfs_walk(LX_AT_FDCWD, source, WALK_FOLLOW, &from);
    if (r < 0)
        return r;
    r = from.mnt->ns ? mount_move(&from, at) : -LX_EINVAL;
    path_put(&from);
    return r;
}

u32 mount_changed_flags(const struct mount *m, u32 set, u32 clear, u32 atime)
{
    u32 f = (m->flags & ~clear) | set;
    return atime ? (f & ~(u32)(LX_MS_NOATIME | LX_MS_RELATIME | LX_MS_STRICTATIME)) | atime : f;
}

int mount_check_flags_locked(const struct mount *m, u32 flags)
{
    if (m->locked_flags & MOUNT_LOCKED_FLAGS & ~flags)
        return -LX_EPERM;
    if ((m->locked_flags & MOUNT_LOCK_ATIME) && ((flags ^ m->flags) & ATIME_FLAGS))
        return -LX_EPERM;
    if ((flags & LX_MS_RDONLY) && !(m->flags & LX_MS_RDONLY) && m->nwriters > 0)
        return -LX_EBUSY;
    return 0;
}

/* Sets the flags of one mount; W. */
int mount_set_flags_locked(struct mount *m, u32 flags)
{
    int r = mount_check_flags_locked(m, flags);
    if (r < 0)
        return r;
    m->flags = flags;
    if (m->ns)
        mount_ns_changed(m->ns);
    return 0;
}

static bool super_has_writers(const struct super *sb)
{
    struct mount *m;
    list_for_each (m, mount_all(), all_node) {
        if (m->sb == sb && m->nwriters > 0)
            return true;
    }
    return false;
}

int mount_reconfigure(struct super *sb, bool is_rdonly, const char *opts)
{
    int r =
        sb->ops && sb->ops->remount ? sb->ops->remount(sb, is_rdonly ? LX_MS_RDONLY : 0, opts) : 0;
    if (r < 0)
        return r;
    mount_tree_begin();
    if (is_rdonly && !(sb->flags & SB_RDONLY) && super_has_writers(sb))
        r = -LX_EBUSY;
    else if (is_rdonly)
        sb->flags |= SB_RDONLY;
    else
        sb->flags &= ~SB_RDONLY;
    mount_tree_end();
    return r;
}

static int do_remount(const struct path *at, u32 flags, const char *data)
{
    struct mount *m = at->mnt;
    struct super *sb = m->sb;
    int r = 0;
    if (at->dentry != m->root)
        return -LX_EINVAL;
    u32 mf = mnt_flags_of(flags);
    if (!(flags & ATIME_FLAGS))
        mf = (mf & ~(u32)ATIME_FLAGS) | (m->flags & ATIME_FLAGS);
    if (!(flags & LX_MS_BIND)) {
        if (!vfs_capable(LX_CAP_SYS_ADMIN) && !(sb->type->flags & FS_USERNS_MOUNT))
            return -LX_EPERM;
        if (sb->ops && sb->ops->remount)
            r = sb->ops->remount(sb, flags, data ? data : "");
        if (r < 0)
            return r;
    }
    mount_tree_begin();
    if (!mount_is_ours(m))
        r = -LX_EINVAL;
    else if (!(flags & LX_MS_BIND) && (flags & LX_MS_RDONLY) && super_has_writers(sb))
        r = -LX_EBUSY;
    if (r == 0)
        r = mount_set_flags_locked(m, mf);
    if (r == 0 && !(flags & LX_MS_BIND)) {
        if (flags & LX_MS_RDONLY)
            sb->flags |= SB_RDONLY;
        else
            sb->flags &= ~SB_RDONLY;
    }
    mount_tree_end();
    return r;
}

int vfs_mount(const char *source, const struct path *at, const char *type, u32 flags,
              const char *data)
{
    if ((flags & LX_MS_MGC_MSK) == LX_MS_MGC_VAL)
        flags &= ~LX_MS_MGC_MSK;
    if (flags & (u32)LX_MS_NOUSER)
        return -LX_EINVAL;
    if (!mount_may())
        return -LX_EPERM;
    if ((flags & (LX_MS_REMOUNT | LX_MS_BIND)) == (LX_MS_REMOUNT | LX_MS_BIND) ||
        (flags & LX_MS_REMOUNT))
        return do_remount(at, flags, data);
    if (flags & LX_MS_BIND)
        return do_bind(source, at, flags);
    if (flags & PROPAGATION)
        return do_propagation(at, flags);
    if (flags & LX_MS_MOVE)
        return do_move(source, at);
    return do_new_mount(source, at, type, flags, data);
}

/* Unmounting what the task has as its root only makes it read-only, as on Linux. */
static int umount_root(struct mount *m)
{
    int r = 0;
    mount_tree_begin();
    if (super_has_writers(m->sb))
        r = -LX_EBUSY;
    else
        m->sb->flags |= SB_RDONLY;
    mount_tree_end();
    return r;
}

int vfs_umount(const struct path *at, u32 flags)
{
    struct mount *m = at->mnt;
    struct list gone;
    struct path root = {0};
    if (flags & ~(u32)(LX_MNT_FORCE | LX_MNT_DETACH | LX_MNT_EXPIRE | LX_UMOUNT_NOFOLLOW))
        return -LX_EINVAL;
    if (!mount_may())
        return -LX_EPERM;
    if (at->dentry != m->root || !mount_is_ours(m) || m->is_locked)
        return -LX_EINVAL;
    if ((flags & LX_MNT_EXPIRE) && (flags & (LX_MNT_FORCE | LX_MNT_DETACH)))
        return -LX_EINVAL;
    if (vfs_current)
        fs_ctx_root(vfs_current->fs, &root);
    bool is_root = root.mnt == m;
    path_put(&root);
    if (is_root && (flags & LX_MNT_EXPIRE))
        return -LX_EINVAL;
    if ((flags & LX_MNT_FORCE) && m->sb->ops && m->sb->ops->abort)
        m->sb->ops->abort(m->sb);
    if (is_root && !(flags & LX_MNT_DETACH))
        return umount_root(m);
    list_init(&gone);
    mount_tree_begin();
    int r = 0;
    if (!mount_is_ours(m) || !m->parent)
        r = -LX_EINVAL;
    else if (!(flags & LX_MNT_DETACH) && (!list_empty(&m->children) || ref_read(&m->ref) > 2))
        r = -LX_EBUSY; /* the tree's reference and the caller's are expected */
    else if ((flags & LX_MNT_EXPIRE) && !m->is_expiring) {
        m->is_expiring = true;
        r = -LX_EAGAIN;
    } else {
        mount_detach_locked(m, &gone);
    }
    mount_tree_end();
    mount_put_gone(&gone);
    return r;
}

int vfs_pivot_root(const struct path *new_root, const struct path *put_old)
{
    struct path root = {0};
    struct mount *nm = new_root->mnt, *om, *x;
    struct dentry *gone[2] = {NULL, NULL};
    int r = -LX_EINVAL;
    if (!mount_may())
        return -LX_EPERM;
    if (!vfs_current)
        return -LX_EINVAL;
    fs_ctx_root(vfs_current->fs, &root);
    om = root.mnt;
    mount_tree_begin();
    if (put_old->mnt->peer_group || (nm->parent && nm->parent->peer_group) ||
        (om->parent && om->parent->peer_group))
        goto out;
    if (!mount_is_ours(om) || !mount_is_ours(nm) || nm->is_locked)
        goto out;
    r = -LX_ENOENT;
    if (is_gone(new_root->dentry))
        goto out;
    r = -LX_EBUSY;
    if (nm == om || put_old->mnt == om)
        goto out; /* on the current root file system */
    r = -LX_EINVAL;
    if (root.dentry != om->root || new_root->dentry != nm->root || !nm->parent)
        goto out;
    for (x = put_old->mnt; x && x != nm; x = x->parent)
        ;
    if (!x || (put_old->mnt == nm && !dentry_is_ancestor(nm->root, put_old->dentry)))
        goto out; /* put_old is not below new_root */
    for (x = nm; x && x != om; x = x->parent)
        ;
    if (!x)
        goto out; /* new_root is not reachable from the current root */
    struct mount *above = om->parent;
    struct dentry *at = om->mountpoint;
    gone[0] = mount_unlink(nm);
    gone[1] = mount_unlink(om);
    if (above)
        mount_link(nm, above, at);
    else
        nm->ns->root = nm;
    mount_link(om, put_old->mnt, put_old->dentry);
    nm->is_expiring = om->is_expiring = false;
    if (om->is_locked) {
        nm->is_locked = true;
        om->is_locked = false;
    }
    mount_ns_changed(nm->ns);
    r = 0;
out:
    mount_tree_end();
    dentry_put(gone[0]);
    dentry_put(gone[1]);
    if (r == 0)
        fs_ctx_replace_roots(&root, new_root);
    path_put(&root);
    return r;
}
