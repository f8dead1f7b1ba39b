/*
 * Controlling terminals and job control: who may read, write and change a
 * terminal, sessions and foreground groups.
 *
 * ctty_lock serialises changes of (session, pgrp); no signal is sent and no task
 * operation that blocks is called under any tty.lock.
 */
#include "abi/sched.h"
#include "fs/tty_int.h"

static struct mutex ctty_lock = MUTEX_INIT("ctty");

void tty_send_signals(const struct tty_signals *s)
{
    for (u64 set = s->set; set; set &= set - 1)
        vfs_task_ops->signal_pgrp(s->pgrp, __builtin_ctzll(set) + 1);
}

static bool is_own_ctty(struct tty *t)
{
    struct tty *own = vfs_task_ops->get_ctty();
    tty_put(own);
    return own == t;
}

int tty_check_background(struct tty *t, int signo)
{
    s32 fg = atomic_load(&t->pgrp), own = vfs_task_ops->pgrp();
    if (fg == 0 || own == fg || !is_own_ctty(t))
        return 0;
    if (vfs_task_ops->is_signal_ignored_or_blocked(signo))
        return signo == LX_SIGTTIN ? -LX_EIO : 0;
    if (vfs_task_ops->is_pgrp_orphaned(own))
        return -LX_EIO;
    vfs_task_ops->signal_pgrp(own, signo);
    return -LX_ERESTARTSYS;
}

/* ---- getting and losing -------------------------------------------------------------------- */

static void take_ctty(struct tty *t) REQUIRES(ctty_lock)
{
    atomic_store(&t->session, vfs_task_ops->session());
    atomic_store(&t->pgrp, vfs_task_ops->pgrp());
    vfs_task_ops->set_ctty(t);
}

static bool has_ctty(void)
{
    struct tty *own = vfs_task_ops->get_ctty();
    tty_put(own);
    return own != NULL;
}

void tty_open_ctty(struct tty *t, struct file *f)
{
    if (!vfs_task_ops->is_session_leader() || has_ctty() || !(f->mode & FMODE_READ))
        return;
    MUTEX_GUARD(&ctty_lock);
    if (atomic_load(&t->session) == 0)
        take_ctty(t);
}

static int set_ctty(struct tty *t, struct file *f, u64 arg)
{
    bool is_leader = vfs_task_ops->is_session_leader();
    MUTEX_GUARD(&ctty_lock);
    s32 holder = atomic_load(&t->session);
    if (is_leader && holder != 0 && holder == vfs_task_ops->session())
        return 0;
    if (!is_leader || has_ctty())
        return -LX_EPERM;
    if (holder != 0) {
        if (arg != 1 || !vfs_capable(LX_CAP_SYS_ADMIN))
            return -LX_EPERM;
        vfs_task_ops->session_clear_tty(holder, t); /* stolen */
    }
    if (!(f->mode & FMODE_READ) && !vfs_capable(LX_CAP_SYS_ADMIN))
        return -LX_EPERM;
    take_ctty(t);
    return 0;
}

static int drop_ctty(struct tty *t)
{
    if (!is_own_ctty(t))
        return -LX_ENOTTY;
    if (!vfs_task_ops->is_session_leader()) {
        vfs_task_ops->set_ctty(NULL);
        return 0;
    }
    s32 session, fg;
    {
        MUTEX_GUARD(&ctty_lock);
        session = atomic_exchange(&t->session, 0);
        fg = atomic_exchange(&t->pgrp, 0);
    }
    if (fg != 0) {
        vfs_task_ops->signal_pgrp(fg, LX_SIGHUP);
        vfs_task_ops->signal_pgrp(fg, LX_SIGCONT);
    }
    vfs_task_ops->session_clear_tty(session, t);
    return 0;
}

void tty_session_exit(struct tty *t, s32 session)
{
    s32 fg = 0;
    {
        MUTEX_GUARD(&ctty_lock);
        if (atomic_load(&t->session) != session)
            return;
        fg = atomic_exchange(&t->pgrp, 0);
        atomic_store(&t->session, 0);
    }
    if (fg != 0)
        vfs_task_ops->signal_pgrp(fg, LX_SIGHUP);
}

void tty_set_session(struct tty *t, s32 session, s32 pgrp)
{
    MUTEX_GUARD(&ctty_lock);
    atomic_store(&t->session, session);
    atomic_store(&t->pgrp, pgrp);
}

/* The terminal is gone: its session forgets it, the leader is told. */
static void hangup_session(struct tty *t)
{
    s32 session, fg;
    {
        MUTEX_GUARD(&ctty_lock);
        session = atomic_exchange(&t->session, 0);
        fg = atomic_exchange(&t->pgrp, 0);
    }
    if (session != 0)
        vfs_task_ops->session_hangup(session, t, fg);
}

void tty_hangup(struct tty *t)
{
    mutex_lock(&t->lock);
    t->hangup_gen++;
    t->nopen = 0;
    t->is_exclusive = false;
    ldisc_flush_input(t);
    mutex_unlock(&t->lock);
    waitq_wake(&t->wait, WAIT_ALL);
    waitq_wake(&t->master_wait, WAIT_ALL);
    hangup_session(t);
}

/* ---- groups -------------------------------------------------------------------------------- */

s32 tty_fg_pgrp(struct tty *t)
{
    return atomic_load(&t->pgrp);
}

static s64 set_pgrp(struct tty *t, uaddr_t arg)
{
    s32 vid;
    int r = tty_check_background(t, LX_SIGTTOU);
    if (r < 0)
        return r == -LX_EIO ? -LX_ENOTTY : r;
    s32 session = vfs_task_ops->session();
    if (!is_own_ctty(t) || atomic_load(&t->session) != session)
        return -LX_ENOTTY;
    if (get_user(vid, arg) < 0)
        return -LX_EFAULT;
    if (vid < 0)
        return -LX_EINVAL;
    s32 kid = vfs_task_ops->to_kid(VFS_WHO_PGRP, vid);
    if (kid <= 0)
        return -LX_ESRCH;
    if (vfs_task_ops->pgrp_session(kid) != session)
        return -LX_EPERM;
    MUTEX_GUARD(&ctty_lock);
    if (atomic_load(&t->session) != session)
        return -LX_ENOTTY;
    atomic_store(&t->pgrp, kid);
    return 0;
}

static s64 get_pgrp(struct tty *t, uaddr_t arg, bool is_master)
{
    if (!is_master && !is_own_ctty(t))
        return -LX_ENOTTY;
    s32 kid = atomic_load(&t->pgrp);
    return put_user(kid ? vfs_task_ops->to_vid(VFS_WHO_PGRP, kid) : 0, arg);
}

static s64 get_session(struct tty *t, uaddr_t arg, bool is_master)
{
    s32 kid = atomic_load(&t->session);
    if ((!is_master && !is_own_ctty(t)) || kid == 0)
        return -LX_ENOTTY;
    return put_user(vfs_task_ops->to_vid(VFS_WHO_PID, kid), arg);
}

bool tty_is_job_ioctl(u32 cmd)
{
    return cmd == LX_TIOCSCTTY || cmd == LX_TIOCNOTTY || cmd == LX_TIOCGPGRP ||
           cmd == LX_TIOCSPGRP || cmd == LX_TIOCGSID;
}

s64 tty_job_ioctl(struct tty *t, struct file *f, u32 cmd, u64 arg, bool is_master)
{
    switch (cmd) {
    case LX_TIOCSCTTY:
        return set_ctty(t, f, arg);
    case LX_TIOCNOTTY:
        return is_master ? -LX_ENOTTY : drop_ctty(t);
    case LX_TIOCGPGRP:
        return get_pgrp(t, uaddr(arg), is_master);
    case LX_TIOCSPGRP:
        return set_pgrp(t, uaddr(arg));
    case LX_TIOCGSID:
        return get_session(t, uaddr(arg), is_master);
    default:
        return -LX_ENOTTY;
    }
}
