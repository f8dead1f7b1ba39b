/*
 * Overlay: open files. Each has an open file of the layer that counts behind it. When a file
 * that is open for reading is copied up, the next use goes over to the copy; the old
 * one stays open, since mappings were made of it.
 */
#include <stdlib.h>

#include "fs/overlay_int.h"
#include "fs/overlay_readdir.h"
#include "fs/tmpfs.h"
#include "vfs/file.h"
#include "vfs/file_flags.h"
#include "vfs/special.h"

#define REAL_FLAGS (LX_O_APPEND | LX_O_NONBLOCK | LX_O_DIRECT | LX_O_SYNC | LX_O_NOATIME)

struct ovl_file {
    struct mutex lock;
    struct file *_Atomic real; /* owned; changed once, under lock */
    struct file *old;          /* owned: the lower one before */
    bool is_lower;             /* guarded by lock: real is of a lower layer */
    struct ovl_listing *list;  /* of a directory; guarded by file.pos_lock */
    bool is_streamed;          /* a directory: real's positions are ours */
};

static void ovl_file_free(struct ovl_file *of)
{
    if (!of)
        return;
    file_put(of->real);
    file_put(of->old);
    ovl_listing_free(of->list);
    free(of);
}

static int open_real(struct inode *i, u32 flags, struct file **ret_f)
{
    return file_open_path(ovl_real(ovl_node(i)), flags, ret_f);
}

static int ovl_open(struct inode *i, struct file *f)
{
    struct ovl_node *n = ovl_node(i);
    struct file *real;
    int r = 0;
    if (f->mode & FMODE_WRITE)
        r = ovl_copy_up(i, f->mode & FMODE_TRUNC ? 0 : UINT64_MAX);
    if (r < 0)
        return r;
    struct ovl_file *of = calloc(1, sizeof(*of));
    if (!of)
        return -LX_ENOMEM;
    mutex_init(&of->lock, "ovl_file");
    of->is_lower = !ovl_has_upper(n);
    r = open_real(i, f->flags, &real);
    if (r < 0) {
        free(of);
        return r;
    }
    of->real = real;
    f->priv = of;
    return 0;
}

static void ovl_release(struct file *f)
{
    ovl_file_free(f->priv);
}

/* The file to use now; it stays while f does. */
static int real_of(struct file *f, struct file **ret)
{
    struct ovl_file *of = f->priv;
    if (unlikely(of->is_lower && ovl_has_upper(ovl_node(f->inode)))) {
        MUTEX_GUARD(&of->lock);
        if (of->is_lower) {
            struct file *now;
            int r = open_real(f->inode, f->flags, &now);
            if (r < 0)
                return r;
            of->old = of->real;
            atomic_store(&of->real, now);
            of->is_lower = false;
        }
    }
    *ret = atomic_load(&of->real);
    u32 want = f->flags & REAL_FLAGS, has = (*ret)->flags & REAL_FLAGS;
    if (unlikely(want != has))
        (*ret)->flags = ((*ret)->flags & ~(u32)REAL_FLAGS) | want;
    return 0;
}

static s64 ovl_read(struct file *f, struct uio *to, s64 *off)
{
    struct file *real;
    int r = real_of(f, &real);
    if (r < 0)
        return r;
    if (!real->ops->read)
        return -LX_EINVAL;
    s64 n = real->ops->read(real, to, off);
    const struct ovl_node *node = ovl_node(f->inode);
    if (n >= 0 && ovl_has_upper(node) && !(file_io_flags(f) & LX_O_NOATIME)) {
        /* The layer's time is the one that counts, by the rules of the mount that is seen. */
        struct path p = {f->path.mnt, node->upper.dentry};
        path_accessed(&p);
    }
    return n;
}

static void sync_size(struct inode *i, struct file *real)
{
    MUTEX_GUARD(&i->lock);
    atomic_store(&i->size, atomic_load(&real->inode->size));
}

static s64 ovl_write(struct file *f, struct uio *from, s64 *off)
{
    struct file *real;
    int r = real_of(f, &real);
    if (r < 0)
        return r;
    if (!real->ops->write)
        return -LX_EINVAL;
    s64 n = real->ops->write(real, from, off);
    if (n > 0)
        sync_size(f->inode, real);
    return n;
}

static s64 ovl_seek(struct file *f, s64 off, int whence)
{
    struct file *real;
    if (whence != LX_SEEK_DATA && whence != LX_SEEK_HOLE)
        return generic_seek(f, off, whence);
    int r = real_of(f, &real);
    if (r < 0)
        return r;
    if (!real->ops->seek)
        return generic_seek(f, off, whence);
    s64 pos = real->ops->seek(real, off, whence);
    if (pos >= 0)
        f->pos = pos;
    return pos;
}

static int ovl_mmap(struct file *f, u32 prot, u32 flags)
{
    struct file *real;
    int r = real_of(f, &real);
    if (r < 0)
        return r;
    if (!real->ops->host_fd)
        return -LX_ENODEV;
    return real->ops->mmap ? real->ops->mmap(real, prot, flags) : 0;
}

static int ovl_host_fd(struct file *f, u64 offset, u64 size, bool is_writable_shared, int *ret_fd,
                       u64 *ret_offset)
{
    struct file *real;
    int r = real_of(f, &real);
    if (r < 0)
        return r;
    if (!real->ops->host_fd)
        return -LX_ENODEV;
    return real->ops->host_fd(real, offset, size, is_writable_shared, ret_fd, ret_offset);
}

static int ovl_stable_fd(struct file *f, int *ret_fd)
{
    struct file *real;
    int r = real_of(f, &real);
    if (r < 0)
        return r;
    return real->ops->stable_fd ? real->ops->stable_fd(real, ret_fd) : -LX_ENODEV;
}

static int ovl_vma_opened(struct file *f, bool is_writable_shared)
{
    struct file *real = ((struct ovl_file *)f->priv)->real;
    return real->ops->vma_opened ? real->ops->vma_opened(real, is_writable_shared) : 0;
}

static void ovl_vma_closed(struct file *f, bool is_writable_shared)
{
    struct file *real = ((struct ovl_file *)f->priv)->real;
    if (real->ops->vma_closed)
        real->ops->vma_closed(real, is_writable_shared);
}

static int ovl_fsync(struct file *f, bool is_data_only)
{
    struct file *real;
    int r = real_of(f, &real);
    if (r < 0)
        return r;
    return real->ops->fsync ? real->ops->fsync(real, is_data_only) : 0;
}

static int ovl_fallocate(struct file *f, u32 mode, s64 off, s64 len)
{
    struct file *real;
    int r = real_of(f, &real);
    if (r < 0)
        return r;
    if (!real->ops->fallocate)
        return -LX_EOPNOTSUPP;
    r = real->ops->fallocate(real, mode, off, len);
    sync_size(f->inode, real);
    return r;
}

static int set_flags(struct inode *i, u32 flags)
{
    int r = ovl_copy_up(i, UINT64_MAX);
    if (r < 0)
        return r;
    struct inode *real = ovl_node(i)->upper.dentry->inode;
    mutex_lock(&real->lock);
    r = tmpfs_set_flags(real, flags);
    mutex_unlock(&real->lock);
    if (r == 0)
        ovl_mirror(i);
    return r;
}

static s64 ovl_ioctl(struct file *f, u32 cmd, u64 arg)
{
    const struct path *upper = &ovl_sb(f->inode->sb)->upper;
    bool is_kept = upper->dentry && upper->dentry->sb->type == &tmpfs_type;
    return file_flags_ioctl(f, cmd, arg, is_kept ? set_flags : NULL);
}

const struct file_ops ovl_file_fops = {
    .ioctl = ovl_ioctl,
    .open = ovl_open,
    .release = ovl_release,
    .read = ovl_read,
    .write = ovl_write,
    .seek = ovl_seek,
    .mmap = ovl_mmap,
    .host_fd = ovl_host_fd,
    .stable_fd = ovl_stable_fd,
    .vma_opened = ovl_vma_opened,
    .vma_closed = ovl_vma_closed,
    .fsync = ovl_fsync,
    .fallocate = ovl_fallocate,
};

/* ---- directories --------------------------------------------------------------------------- */

static int dir_open(struct inode *i, struct file *f)
{
    struct ovl_super *os = ovl_sb(i->sb);
    struct ovl_node *n = ovl_node(i);
    struct ovl_file *of = calloc(1, sizeof(*of));
    if (!of)
        return -LX_ENOMEM;
    mutex_init(&of->lock, "ovl_file");
    of->is_streamed = !ovl_has_upper(n) && n->nlower == 1 && os->is_private && os->nlowers == 1;
    f->priv = of;
    return 0;
}

static u64 parent_ino(struct file *f)
{
    struct dentry *d = f->path.dentry, *p;
    epoch_enter();
    p = d->parent;
    struct inode *i = p->inode;
    u64 ino = i ? i->ino : 0;
    epoch_exit();
    return ino;
}

static int dir_readdir(struct file *f, struct dir_ctx *ctx)
{
    struct ovl_file *of = f->priv;
    int r;
    file_accessed(f);
    if (of->is_streamed && f->pos == 0 && ovl_has_upper(ovl_node(f->inode))) {
        of->is_streamed = false; /* it was copied up since: from the start it can be merged */
        file_put(atomic_exchange(&of->real, NULL));
    }
    if (of->is_streamed) {
        struct file *real = of->real;
        if (!real) {
            r = file_open_path(&ovl_node(f->inode)->lower[0], LX_O_RDONLY | LX_O_DIRECTORY, &real);
            if (r < 0)
                return r;
            of->real = real;
        }
        real->pos = f->pos;
        r = real->ops->readdir ? real->ops->readdir(real, ctx) : -LX_ENOTDIR;
        f->pos = real->pos;
        return r;
    }
    if (!of->list)
        of->list = ovl_listing_new();
    if (!of->list)
        return -LX_ENOMEM;
    return ovl_listing_read(of->list, f->inode, parent_ino(f), &f->pos, ctx);
}

static int dir_fsync(struct file *f, bool is_data_only)
{
    return 0;
}

const struct file_ops ovl_dir_fops = {
    .ioctl = ovl_ioctl,
    .open = dir_open,
    .release = ovl_release,
    .readdir = dir_readdir,
    .seek = cursor_seek,
    .fsync = dir_fsync,
};
