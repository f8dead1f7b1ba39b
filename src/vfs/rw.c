/*
 * The bodies of read, write, lseek and kin: modes, position, limits, notification.
 */
#include "abi/signal.h"
#include "vfs/file.h"
#include "vfs/internal.h"
#include "vfs/vfs.h"

static bool is_special(const struct file *f)
{
    return f->mode & FMODE_STREAM;
}

/* rw_verify_area: the range must not pass the end of what an offset can say. */
static bool is_beyond(s64 pos, u64 count)
{
    s64 end;
    return count > INT64_MAX || __builtin_add_overflow(pos, (s64)count, &end);
}

static void count_io(s64 n, bool is_write)
{
    if (!vfs_current)
        return;
    struct vfs_io *io = &vfs_current->io;
    if (is_write) {
        io->syscw++;
        io->wchar += n > 0 ? (u64)n : 0;
    } else {
        io->syscr++;
        io->rchar += n > 0 ? (u64)n : 0;
    }
}

s64 vfs_read(struct file *f, struct uio *to, s64 *off)
{
    s64 pos = 0;
    if (off && !(f->mode & FMODE_PREAD))
        return -LX_ESPIPE;
    if (!(f->mode & FMODE_READ))
        return -LX_EBADF;
    if (!f->ops->read)
        return mode_is_dir(f->inode->mode) ? -LX_EISDIR : -LX_EINVAL;
    if (off && *off < 0)
        return -LX_EINVAL;
    bool has_pos = !off && !is_special(f);
    if (has_pos) {
        mutex_lock(&f->pos_lock);
        pos = f->pos;
    } else if (off) {
        pos = *off;
    }
    s64 n =
        is_beyond(pos, to->left) ? -LX_EINVAL : f->ops->read(f, to, off || has_pos ? &pos : NULL);
    if (has_pos) {
        f->pos = pos;
        mutex_unlock(&f->pos_lock);
    } else if (off && n >= 0) {
        *off = pos;
    }
    if (n > 0 && !(f->mode & FMODE_NOTIFY_OFF))
        vfs_notify(f->path.dentry, LX_IN_ACCESS);
    count_io(n, false);
    return n;
}

s64 vfs_write_limit(u64 pos, u64 count)
{
    u64 limit = vfs_current ? vfs_current->rlimit_fsize : UINT64_MAX;
    if (limit != UINT64_MAX) {
        if (pos >= limit) {
            if (vfs_current->send_signal)
                vfs_current->send_signal(LX_SIGXFSZ);
            return -LX_EFBIG;
        }
        count = MIN(count, limit - pos);
    }
    if (pos >= INT64_MAX)
        return -LX_EFBIG;
    return (s64)MIN(count, (u64)INT64_MAX - pos);
}

/* Shortens `from` to what the limit allows; what was cut off comes back in *ret_cut. */
static int apply_write_limit(struct file *f, struct uio *from, s64 pos, u64 *ret_cut)
{
    *ret_cut = 0;
    if (!mode_is_reg(f->inode->mode) || from->left == 0)
        return 0;
    if (file_io_flags(f) & LX_O_APPEND)
        pos = (s64)f->inode->size;
    s64 n = vfs_write_limit((u64)pos, from->left);
    if (n < 0)
        return (int)n;
    *ret_cut = from->left - (u64)n;
    from->left = (u64)n;
    return 0;
}

s64 vfs_write(struct file *f, struct uio *from, s64 *off)
{
    s64 pos = 0;
    u64 cut = 0;
    if (off && !(f->mode & FMODE_PREAD))
        return -LX_ESPIPE;
    if (!(f->mode & FMODE_WRITE))
        return -LX_EBADF;
    if (!f->ops->write)
        return -LX_EINVAL;
    if (off && *off < 0)
        return -LX_EINVAL;
    bool has_pos = !off && !is_special(f);
    if (has_pos) {
        mutex_lock(&f->pos_lock);
        pos = f->pos;
    } else if (off) {
        pos = *off;
    }
    s64 n = is_beyond(pos, from->left) ? -LX_EINVAL : apply_write_limit(f, from, pos, &cut);
    if (n == 0 && from->left > 0)
        n = file_remove_privs(f);
    if (n == 0)
        n = f->ops->write(f, from, off || has_pos ? &pos : NULL);
    from->left += cut;
    if (has_pos) {
        f->pos = pos;
        mutex_unlock(&f->pos_lock);
    } else if (off && n >= 0) {
        *off = pos;
    }
    if (n > 0 && !(f->mode & FMODE_NOTIFY_OFF))
        vfs_notify(f->path.dentry, LX_IN_MODIFY);
    count_io(n, true);
    return n;
}

_Thread_local u32 vfs_io_set, vfs_io_clear;

#define RW_FLAGS                                                                                   \
    (LX_RWF_HIPRI | LX_RWF_DSYNC | LX_RWF_SYNC | LX_RWF_NOWAIT | LX_RWF_APPEND | LX_RWF_NOAPPEND)

static int begin_flags(struct file *f, u32 rw)
{
    u32 type = f->inode->mode & LX_S_IFMT;
    if (rw & ~(u32)RW_FLAGS)
        return -LX_EOPNOTSUPP;
    if ((rw & LX_RWF_APPEND) && (rw & LX_RWF_NOAPPEND))
        return -LX_EINVAL;
    if ((rw & LX_RWF_NOWAIT) && type != LX_S_IFIFO && type != LX_S_IFSOCK &&
        !(f->mode & FMODE_NOWAIT))
        return -LX_EOPNOTSUPP;
    if ((rw & LX_RWF_NOAPPEND) && (f->inode->flags & INODE_APPEND))
        return -LX_EPERM;
    vfs_io_set = (rw & LX_RWF_SYNC ? LX_O_SYNC : 0) | (rw & LX_RWF_DSYNC ? LX_O_DSYNC : 0) |
                 (rw & LX_RWF_NOWAIT ? LX_O_NONBLOCK : 0) | (rw & LX_RWF_APPEND ? LX_O_APPEND : 0);
    vfs_io_clear = rw & LX_RWF_NOAPPEND ? LX_O_APPEND : 0;
    return 0;
}

static void end_flags(void)
{
    vfs_io_set = vfs_io_clear = 0;
}

s64 vfs_read_flags(struct file *f, struct uio *to, s64 *off, u32 rw_flags)
{
    s64 r = begin_flags(f, rw_flags);
    if (r == 0)
        r = vfs_read(f, to, off);
    end_flags();
    return r;
}

s64 vfs_write_flags(struct file *f, struct uio *from, s64 *off, u32 rw_flags)
{
    s64 r = begin_flags(f, rw_flags);
    if (r == 0)
        r = vfs_write(f, from, off);
    end_flags();
    return r;
}

s64 file_pread(struct file *f, void *buf, size_t size, s64 off)
{
    struct uio u;
    uio_init_kernel(&u, buf, size);
    return vfs_read(f, &u, &off);
}

s64 file_pwrite(struct file *f, const void *buf, size_t size, s64 off)
{
    struct uio u;
    uio_init_kernel(&u, (void *)(uintptr_t)buf, size);
    return vfs_write(f, &u, &off);
}

s64 generic_seek(struct file *f, s64 off, int whence)
{
    u64 size = atomic_load(&f->inode->size);
    s64 pos;
    switch (whence) {
    case LX_SEEK_SET:
        pos = off;
        break;
    case LX_SEEK_CUR:
        if (__builtin_add_overflow(f->pos, off, &pos))
            return -LX_EINVAL;
        break;
    case LX_SEEK_END:
        if (__builtin_add_overflow((s64)size, off, &pos))
            return -LX_EINVAL;
        break;
    case LX_SEEK_DATA:
        if (off < 0 || (u64)off >= size)
            return -LX_ENXIO;
        pos = off;
        break;
    case LX_SEEK_HOLE:
        if (off < 0 || (u64)off >= size)
            return -LX_ENXIO;
        pos = (s64)size;
        break;
    default:
        return -LX_EINVAL;
    }
    if (pos < 0)
        return -LX_EINVAL;
    f->pos = pos;
    return pos;
}

s64 vfs_seek(struct file *f, s64 off, int whence)
{
    if (!(f->mode & FMODE_LSEEK))
        return -LX_ESPIPE;
    if (whence < 0 || whence > LX_SEEK_MAX)
        return -LX_EINVAL;
    MUTEX_GUARD(&f->pos_lock);
    return f->ops->seek(f, off, whence);
}

u32 vfs_poll(struct file *f)
{
    return f->ops->poll ? f->ops->poll(f) : WAIT_IN | WAIT_OUT | WAIT_RDNORM | WAIT_WRNORM;
}

struct waitq *vfs_pollq(struct file *f)
{
    return f->ops->pollq ? f->ops->pollq(f) : NULL;
}

int vfs_fsync(struct file *f, bool is_data_only)
{
    return f->ops->fsync ? f->ops->fsync(f, is_data_only) : -LX_EINVAL;
}

int vfs_fallocate(struct file *f, u32 mode, s64 off, s64 len)
{
    struct inode *i = f->inode;
    u32 known = LX_FALLOC_FL_KEEP_SIZE | LX_FALLOC_FL_PUNCH_HOLE | LX_FALLOC_FL_COLLAPSE_RANGE |
                LX_FALLOC_FL_ZERO_RANGE | LX_FALLOC_FL_INSERT_RANGE | LX_FALLOC_FL_UNSHARE_RANGE;
    if (off < 0 || len <= 0)
        return -LX_EINVAL;
    if (mode & ~known)
        return -LX_EOPNOTSUPP;
    u32 op = mode & ~(u32)LX_FALLOC_FL_KEEP_SIZE;
    if (op & (op - 1))
        return op & LX_FALLOC_FL_PUNCH_HOLE ? -LX_EOPNOTSUPP : -LX_EINVAL;
    if ((op & LX_FALLOC_FL_PUNCH_HOLE) && !(mode & LX_FALLOC_FL_KEEP_SIZE))
        return -LX_EOPNOTSUPP;
    if ((op & (LX_FALLOC_FL_COLLAPSE_RANGE | LX_FALLOC_FL_INSERT_RANGE)) &&
        (mode & LX_FALLOC_FL_KEEP_SIZE))
        return -LX_EINVAL;
    if (!(f->mode & FMODE_WRITE))
        return -LX_EBADF;
    if ((i->flags & INODE_APPEND) && op)
        return -LX_EPERM;
    if (i->flags & INODE_IMMUTABLE)
        return -LX_EPERM;
    if ((i->mode & LX_S_IFMT) == LX_S_IFIFO)
        return -LX_ESPIPE;
    if (mode_is_dir(i->mode))
        return -LX_EISDIR;
    if (!mode_is_reg(i->mode))
        return -LX_ENODEV;
    u64 end;
    if (add_overflows((u64)off, (u64)len, &end) || end > INT64_MAX)
        return -LX_EFBIG;
    if (!(mode & (LX_FALLOC_FL_KEEP_SIZE | LX_FALLOC_FL_PUNCH_HOLE)) && end > i->size) {
        s64 n = vfs_write_limit(end - 1, 1);
        if (n < 0)
            return (int)n;
    }
    if (!f->ops->fallocate)
        return -LX_EOPNOTSUPP;
    int r = file_remove_privs(f);
    if (r == 0)
        r = f->ops->fallocate(f, mode, off, len);
    if (r == 0)
        vfs_notify(f->path.dentry, LX_IN_MODIFY);
    return r;
}
