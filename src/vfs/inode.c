/*
 * Supers and inodes: life cycle, ownership, permission, attributes in memory.
 *
 * A super lives until its last mount has gone (super_put) and its last inode
 * too: an inode may outlast the mounts while a watch or another file system
 * holds it, and its evict still needs the super.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "abi/sched.h"
#include "base/log.h"
#include "vfs/acl.h"
#include "vfs/fast.h"
#include "vfs/file_flags.h"
#include "vfs/internal.h"
#include "vfs/locks.h"
#include "vfs/notify.h"
#include "vfs/vfs.h"

struct ktime ktime_now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME_COARSE, &ts);
    return (struct ktime){ts.tv_sec, (u32)ts.tv_nsec};
}

/* ---- file system types and supers ---------------------------------------------------------- */

static const struct fs_type *_Atomic fs_list; /* set up before the first task */

void fs_register(struct fs_type *t)
{
    t->next = fs_list;
    fs_list = t;
}

const struct fs_type *fs_find(const char *name)
{
    for (const struct fs_type *t = fs_list; t; t = t->next) {
        size_t n = strlen(t->name);
        if (!strncmp(t->name, name, n) &&
            (!name[n] || ((t->flags & FS_HAS_SUBTYPE) && name[n] == '.' && name[n + 1])))
            return t;
    }
    return NULL;
}

const struct fs_type *fs_types(void)
{
    return fs_list;
}

struct super *super_new(const struct fs_type *t, const struct super_ops *ops, const char *source,
                        void *priv)
{
    static _Atomic u32 next_minor = 20; /* anonymous devices, as Linux numbers them: 0:N */
    struct super *sb = calloc(1, sizeof(*sb));
    char *src = strdup(source ? source : "none");
    if (!sb || !src) {
        free(sb);
        free(src);
        return NULL;
    }
    ref_init(&sb->ref);
    sb->ops = ops;
    sb->type = t;
    sb->source = src;
    sb->dev = MKDEV(0, atomic_fetch_add(&next_minor, 1));
    mutex_init(&sb->rename_lock, "sb_rename");
    atomic_init(&sb->next_ino, 1);
    atomic_init(&sb->ninodes, 1);
    sb->priv = priv;
    return sb;
}

/* Classes of locks, by depth. */
static const char *const inode_class[VFS_MAX_DEPTH + 1] = {"inode", "inode.1", "inode.2", "inode.3",
                                                           "inode.4"};
static const char *const rename_class[VFS_MAX_DEPTH + 1] = {
    "sb_rename", "sb_rename.1", "sb_rename.2", "sb_rename.3", "sb_rename.4"};

void super_set_depth(struct super *sb, u32 depth)
{
    sb->depth = depth;
    mutex_init(&sb->rename_lock, rename_class[MIN(depth, VFS_MAX_DEPTH + 0U)]);
}

void super_get(struct super *sb)
{
    ref_get(&sb->ref);
}

static void super_free(struct epoch_node *n)
{
    struct super *sb = container_of(n, struct super, rcu);
    free((void *)(uintptr_t)sb->source);
    free((void *)(uintptr_t)sb->subtype);
    free(sb);
}

int super_set_subtype(struct super *sb, const char *name)
{
    size_t n = strlen(sb->type->name);
    if (strlen(name) <= n)
        return 0;
    sb->subtype = strdup(name + n + 1);
    return sb->subtype ? 0 : -LX_ENOMEM;
}

static void super_drop_inode(struct super *sb)
{
    if (atomic_fetch_sub_explicit(&sb->ninodes, 1, memory_order_acq_rel) != 1)
        return;
    if (sb->ops && sb->ops->kill)
        sb->ops->kill(sb);
    epoch_defer(&sb->rcu, super_free);
}

void super_put(struct super *sb)
{
    if (!sb || !ref_put(&sb->ref))
        return;
    notify_unmount(sb);
    if (sb->root) {
        dentry_shrink_tree(sb->root);
        struct dentry *root = sb->root;
        sb->root = NULL;
        dentry_put(root);
    }
    if (sb->ops && sb->ops->shutdown)
        sb->ops->shutdown(sb);
    super_drop_inode(sb);
}

/* ---- inodes -------------------------------------------------------------------------------- */

struct inode *inode_new(struct super *sb, u64 ino, u32 mode, const struct inode_ops *ops,
                        const struct file_ops *fops)
{
    struct inode *i = calloc(1, sizeof(*i));
    if (!i)
        return NULL;
    ref_init(&i->ref);
    i->ops = ops;
    i->fops = fops;
    i->sb = sb;
    i->ino = ino ? ino : atomic_fetch_add_explicit(&sb->next_ino, 1, memory_order_relaxed);
    mutex_init(&i->lock, inode_class[MIN(sb->depth, VFS_MAX_DEPTH + 0U)]);
    i->mode = mode;
    atomic_init(&i->nlink, 1);
    i->atime = i->mtime = i->ctime = i->btime = ktime_now();
    atomic_fetch_add_explicit(&sb->ninodes, 1, memory_order_relaxed);
    return i;
}

void inode_get(struct inode *i)
{
    ref_get(&i->ref);
}

static void inode_free(struct epoch_node *n)
{
    struct inode *i = container_of(n, struct inode, rcu);
    notify_free(i);
    acl_put(i->acl);
    acl_put(i->default_acl);
    free(i->link);
    free(i);
}

void inode_put(struct inode *i)
{
    if (!i || !ref_put(&i->ref))
        return;
    struct super *sb = i->sb;
    if (i->locks)
        locks_free(i);
    if (sb->ops && sb->ops->evict)
        sb->ops->evict(i);
    epoch_defer(&i->rcu, inode_free);
    super_drop_inode(sb);
}

void inode_init_owner(struct inode *i, const struct inode *dir, u32 mode)
{
    const struct cred *c = vfs_cred();
    i->uid = c->fsuid;
    i->gid = c->fsgid;
    if (dir && (dir->mode & LX_S_ISGID)) {
        i->gid = dir->gid;
        if ((mode & LX_S_IFMT) == LX_S_IFDIR)
            mode |= LX_S_ISGID;
        else if ((mode & (LX_S_ISGID | LX_S_IXGRP)) == (LX_S_ISGID | LX_S_IXGRP) &&
                 !cred_in_group(c, dir->gid) &&
                 !vfs_capable_over(LX_CAP_FSETID, dir->uid, dir->gid))
            mode &= ~(u32)LX_S_ISGID;
    }
    i->mode = mode;
}

void inode_fill_stat(struct inode *i, struct kstat *st)
{
    *st = (struct kstat){
        .dev = i->sb->dev,
        .ino = i->ino,
        .mode = i->mode,
        .uid = i->uid,
        .gid = i->gid,
        .nlink = atomic_load_explicit(&i->nlink, memory_order_relaxed),
        .rdev = i->rdev,
        .size = atomic_load_explicit(&i->size, memory_order_relaxed),
        .blocks = i->blocks,
        .blksize = 4096,
        .atime = i->atime,
        .mtime = i->mtime,
        .ctime = i->ctime,
        .btime = i->btime,
        .attributes_mask = LX_STATX_ATTR_IMMUTABLE | LX_STATX_ATTR_APPEND,
    };
    if (i->flags & INODE_IMMUTABLE)
        st->attributes |= LX_STATX_ATTR_IMMUTABLE;
    if (i->flags & INODE_APPEND)
        st->attributes |= LX_STATX_ATTR_APPEND;
}

void inode_apply_attr(struct inode *i, const struct iattr *a)
{
    struct ktime now = ktime_now();
    if (a->valid & ATTR_UID)
        i->uid = a->uid;
    if (a->valid & ATTR_GID)
        i->gid = a->gid;
    if (a->valid & ATTR_MODE)
        i->mode = (i->mode & LX_S_IFMT) | (a->mode & 07777U);
    if (a->valid & ATTR_SIZE)
        atomic_store_explicit(&i->size, a->size, memory_order_relaxed);
    if (a->valid & ATTR_ATIME)
        i->atime = a->valid & ATTR_ATIME_NOW ? now : a->atime;
    if (a->valid & ATTR_MTIME)
        i->mtime = a->valid & ATTR_MTIME_NOW ? now : a->mtime;
    i->ctime = now;
}

void inode_touch(struct inode *i, bool is_atime, bool is_mtime, bool is_ctime)
{
    struct ktime now = ktime_now();
    if (is_atime)
        i->atime = now;
    if (is_mtime)
        i->mtime = now;
    if (is_ctime)
        i->ctime = now;
}

static bool ktime_is_after(struct ktime a, struct ktime b)
{
    return a.sec != b.sec ? a.sec > b.sec : a.nsec > b.nsec;
}

/* Whether a read must move atime, by Linux's relatime rule or the mount's stricter one. */
void path_accessed(const struct path *p)
{
    struct inode *i = p->dentry->inode;
    u32 mf = p->mnt->flags;
    if ((mf & (LX_MS_NOATIME | LX_MS_RDONLY)) || (i->sb->flags & SB_RDONLY) ||
        (i->flags & INODE_NOATIME))
        return;
    bool is_dir = (i->mode & LX_S_IFMT) == LX_S_IFDIR;
    if (is_dir && (mf & LX_MS_NODIRATIME))
        return;
    struct ktime now = ktime_now();
    if (!(mf & LX_MS_STRICTATIME) && ktime_is_after(i->atime, i->mtime) &&
        ktime_is_after(i->atime, i->ctime) && now.sec - i->atime.sec < 24 * 60 * 60)
        return;
    i->atime = now;
}

void file_accessed(struct file *f)
{
    if (!(f->flags & LX_O_NOATIME))
        path_accessed(&f->path);
}

/* ---- permission ---------------------------------------------------------------------------- */

bool inode_owner_or_capable(const struct inode *i)
{
    return vfs_cred()->fsuid == i->uid || vfs_capable_over(LX_CAP_FOWNER, i->uid, i->gid);
}

int inode_generic_permission(struct inode *i, u32 mask)
{
    const struct cred *c = vfs_cred();
    u32 mode = i->mode;
    u32 bits = mode;
    int by_list = -LX_EAGAIN;
    if (c->fsuid == i->uid)
        bits = mode >> 6;
    else if (i->acl && (mode & 070U))
        by_list = acl_permission(i, mask);
    else if (cred_in_group(c, i->gid))
        bits = mode >> 3;
    if (by_list == 0 || (by_list == -LX_EAGAIN && !(mask & ~bits & 7U)))
        return 0;
    bool is_dir = (mode & LX_S_IFMT) == LX_S_IFDIR;
    bool is_override_enough = is_dir || !(mask & LX_X_OK) || (mode & 0111U);
    if (is_override_enough && vfs_capable_over(LX_CAP_DAC_OVERRIDE, i->uid, i->gid))
        return 0;
    bool is_search_enough = is_dir ? !(mask & LX_W_OK) : mask == LX_R_OK;
    if (is_search_enough && vfs_capable_over(LX_CAP_DAC_READ_SEARCH, i->uid, i->gid))
        return 0;
    return -LX_EACCES;
}

int inode_permission(struct inode *i, u32 mask)
{
    if (mask & LX_W_OK) {
        u32 type = i->mode & LX_S_IFMT;
        if ((i->sb->flags & SB_RDONLY) &&
            (type == LX_S_IFREG || type == LX_S_IFDIR || type == LX_S_IFLNK))
            return -LX_EROFS;
        if (i->flags & INODE_IMMUTABLE)
            return -LX_EPERM;
    }
    if (i->ops->permission)
        return i->ops->permission(i, mask);
    return inode_generic_permission(i, mask);
}

/* ---- writers against executions ------------------------------------------------------------ */

/* write_count: n > 0 writers, n < 0 executions; the other side gets ETXTBSY. */
static int count_move(_Atomic s32 *count, s32 step)
{
    s32 old = atomic_load_explicit(count, memory_order_relaxed);
    do {
        if (step > 0 ? old < 0 : old > 0)
            return -LX_ETXTBSY;
        if (old == INT32_MAX || old == INT32_MIN)
            return -LX_ENFILE;
    } while (!atomic_compare_exchange_weak(count, &old, old + step));
    return 0;
}

int inode_get_write(struct inode *i)
{
    int r = count_move(&i->write_count, 1);
    if (r == 0)
        fast_drop_inode(i);
    return r;
}

void inode_put_write(struct inode *i)
{
    atomic_fetch_sub(&i->write_count, 1);
}

int inode_deny_write(struct inode *i)
{
    return count_move(&i->write_count, -1);
}

void inode_allow_write(struct inode *i)
{
    atomic_fetch_add(&i->write_count, 1);
}
