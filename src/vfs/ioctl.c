/* ioctl(2): what every file answers; the rest is the file's own. FIOCLEX and FIONCLEX are the
 * handler's. */
#include "abi/socket.h"
#include "vfs/fcntl_ext.h"
#include "vfs/internal.h"
#include "vfs/vfs.h"

#define LX_FIOSETOWN 0x8901U
#define LX_FIOGETOWN 0x8903U
#define FIOQSIZE 0x5460U
#define FIGETBSZ 2U
#define FICLONE      0x40049409U
#define FICLONERANGE 0x4020940dU

static s64 set_nonblock(struct file *f, u64 arg)
{
    s32 on;
    if (get_user(on, uaddr(arg)) < 0)
        return -LX_EFAULT;
    if (on)
        atomic_fetch_or(&f->flags, LX_O_NONBLOCK);
    else
        atomic_fetch_and(&f->flags, ~(u32)LX_O_NONBLOCK);
    return 0;
}

static s64 set_async(struct file *f, u64 arg)
{
    s32 on;
    if (get_user(on, uaddr(arg)) < 0)
        return -LX_EFAULT;
    u32 old =
        on ? atomic_fetch_or(&f->flags, LX_O_ASYNC) : atomic_fetch_and(&f->flags, ~(u32)LX_O_ASYNC);
    if (!(old & LX_O_ASYNC) == !on)
        return 0;
    return fasync_update(f, -1, on != 0);
}

static s64 socket_owner(struct file *f, u32 cmd, uaddr_t arg)
{
    s32 vid;
    if (cmd == LX_FIOGETOWN || cmd == LX_SIOCGPGRP)
        return put_user(fowner_get(f), arg);
    if (get_user(vid, arg) < 0)
        return -LX_EFAULT;
    return fowner_set(f, vid);
}

/* FICLONE: none of our file systems shares blocks between files; Linux's errors up to there. */
static s64 refuse_clone(struct file *f, s64 fd)
{
    struct file *from cleanup(file_put_p) = fd < 0 || fd > INT32_MAX ? NULL : fd_get((int)fd);
    if (!from)
        return -LX_EBADF;
    if (from->inode->sb != f->inode->sb)
        return -LX_EXDEV;
    if (mode_is_dir(f->inode->mode) || mode_is_dir(from->inode->mode))
        return -LX_EISDIR;
    if (!mode_is_reg(f->inode->mode) || !mode_is_reg(from->inode->mode))
        return -LX_EINVAL;
    if (!(from->mode & FMODE_READ) || !(f->mode & FMODE_WRITE) || (f->flags & LX_O_APPEND))
        return -LX_EBADF;
    return -LX_EOPNOTSUPP;
}

s64 vfs_ioctl(struct file *f, u32 cmd, u64 arg)
{
    struct inode *i = f->inode;
    switch (cmd) {
    case LX_FIONBIO:
        return set_nonblock(f, arg);
    case LX_FIOASYNC:
        return set_async(f, arg);
    case FIOQSIZE:
        if (!mode_is_reg(i->mode) && !mode_is_dir(i->mode) && !mode_is_lnk(i->mode))
            return -LX_ENOTTY;
        return put_user((s64)i->size, uaddr(arg));
    case FICLONE:
        return refuse_clone(f, (s64)(s32)arg);
    case FICLONERANGE: {
        s64 fd;
        return get_user(fd, uaddr(arg)) < 0 ? -LX_EFAULT : refuse_clone(f, fd);
    }
    case FIGETBSZ:
        return put_user((s32)4096, uaddr(arg));
    case LX_FIOSETOWN:
    case LX_SIOCSPGRP:
    case LX_FIOGETOWN:
    case LX_SIOCGPGRP:
        if ((i->mode & LX_S_IFMT) == LX_S_IFSOCK)
            return socket_owner(f, cmd, uaddr(arg));
        break;
    case LX_FIONREAD:
        if (mode_is_reg(i->mode)) {
            s64 left = (s64)i->size - f->pos;
            return put_user((s32)MIN(left, (s64)INT32_MAX), uaddr(arg));
        }
        break;
    default:
        break;
    }
    if (f->mode & FMODE_NO_IOCTL)
        return -LX_EACCES;
    s64 r = f->ops->ioctl ? f->ops->ioctl(f, cmd, arg) : -LX_ENOTTY;
    return r;
}
