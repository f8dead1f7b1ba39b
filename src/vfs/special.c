/*
 * Special inodes and the table of character devices; the contract is in the
 * header. The table is filled at start, before the first task, and constant
 * afterwards: lookups take no lock.
 */
#include "vfs/special.h"

#include "base/log.h"
#include "vfs/task_ops.h"

#define MAX_CHRDEVS 64

struct chrdev_range {
    u32 major, minor, count;
    const char *name;
    const struct file_ops *fops;
};

static struct chrdev_range chrdevs[MAX_CHRDEVS];
static u32 nchrdevs;
static const struct file_ops *fifo_fops;

void (*vfs_epoll_release)(struct file *f);
bool (*vfs_may_device)(bool is_block, u32 major, u32 minor, u32 access);

void special_set_fifo(const struct file_ops *fops)
{
    fifo_fops = fops;
}

void chrdev_register(u32 major, u32 minor, u32 count, const char *name, const struct file_ops *fops)
{
    if (nchrdevs == MAX_CHRDEVS)
        panic("too many character devices: %s", name);
    chrdevs[nchrdevs++] = (struct chrdev_range){major, minor, count, name, fops};
}

bool chrdev_describe(u32 i, u32 *ret_major, const char **ret_name)
{
    if (i >= nchrdevs)
        return false;
    *ret_major = chrdevs[i].major;
    *ret_name = chrdevs[i].name;
    return true;
}

s64 noop_seek(struct file *f, s64 off, int whence)
{
    return 0;
}

s64 cursor_seek(struct file *f, s64 off, int whence)
{
    s64 pos = off;
    if (whence == LX_SEEK_CUR && __builtin_add_overflow(f->pos, off, &pos))
        return -LX_EINVAL;
    if ((whence != LX_SEEK_SET && whence != LX_SEEK_CUR) || pos < 0)
        return -LX_EINVAL;
    return f->pos = pos;
}

static int chrdev_open(struct inode *i, struct file *f)
{
    u32 major = DEV_MAJOR(i->rdev), minor = DEV_MINOR(i->rdev);
    for (u32 n = 0; n < nchrdevs; n++) {
        const struct chrdev_range *c = &chrdevs[n];
        if (c->major != major || minor < c->minor || minor - c->minor >= c->count)
            continue;
        u32 access =
            (f->mode & FMODE_READ ? DEVICE_READ : 0) | (f->mode & FMODE_WRITE ? DEVICE_WRITE : 0);
        if (vfs_may_device && !vfs_may_device(false, major, minor, access))
            return -LX_EPERM;
        f->ops = c->fops;
        return c->fops->open ? c->fops->open(i, f) : 0;
    }
    return -LX_ENXIO;
}

static int no_open(struct inode *i, struct file *f)
{
    return -LX_ENXIO;
}

static const struct file_ops chrdev_fops = {.open = chrdev_open};
static const struct file_ops no_fops = {.open = no_open};

const struct file_ops *special_fops(u32 mode)
{
    switch (mode & LX_S_IFMT) {
    case LX_S_IFIFO:
        return fifo_fops ? fifo_fops : &no_fops;
    case LX_S_IFCHR:
        return &chrdev_fops;
    case LX_S_IFBLK:
    case LX_S_IFSOCK:
        return &no_fops;
    default:
        return NULL;
    }
}

/* ---- the table of task operations before kern has set its own ------------------------------ */

static s32 no_id(void)
{
    return 0;
}
static bool no_fact(void)
{
    return false;
}
static s32 no_pgrp_session(s32 pgrp)
{
    return -LX_ESRCH;
}
static bool no_pgrp_fact(s32 pgrp)
{
    return false;
}
static s32 no_to_kid(enum vfs_who who, s32 vid)
{
    return -LX_ESRCH;
}
static s32 no_to_vid(enum vfs_who who, s32 kid)
{
    return 0;
}
static void no_signal(s32 kid, int signo)
{
}
static void no_session_op(s32 session, struct tty *tty)
{
}
static void no_session_hangup(s32 session, struct tty *tty, s32 fg_pgrp)
{
}
static bool no_sig_fact(int signo)
{
    return false;
}
static struct tty *no_ctty(void)
{
    return NULL;
}
static void no_set_ctty(struct tty *tty)
{
}
static u64 no_pending(void)
{
    return 0;
}
static int no_dequeue(u64 mask, struct lx_signalfd_siginfo *ret_info)
{
    return 0;
}
static void no_sigio(enum vfs_who who, s32 kid, const struct cred *owner_cred, int signo, int code,
                     u32 band, int fd)
{
}

static const struct vfs_task_ops no_task_ops = {
    .session = no_id,
    .pgrp = no_id,
    .is_session_leader = no_fact,
    .pgrp_session = no_pgrp_session,
    .is_pgrp_orphaned = no_pgrp_fact,
    .to_kid = no_to_kid,
    .to_vid = no_to_vid,
    .signal_pgrp = no_signal,
    .signal_pid = no_signal,
    .session_hangup = no_session_hangup,
    .session_clear_tty = no_session_op,
    .is_signal_ignored_or_blocked = no_sig_fact,
    .has_pending_interrupt = no_fact,
    .is_dying = no_fact,
    .get_ctty = no_ctty,
    .set_ctty = no_set_ctty,
    .pending_signals = no_pending,
    .dequeue_signal = no_dequeue,
    .tgid = no_id,
    .send_sigio = no_sigio,
};

const struct vfs_task_ops *vfs_task_ops = &no_task_ops;
