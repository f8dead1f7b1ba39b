/*
 * What files ask about tasks (vfs/task_ops.h). Numbers handed to files are
 * those of the root pid namespace.
 */
#include <string.h>

#include "fs/tty.h"
#include "kern/kern_int.h"
#include "vfs/task_ops.h"

static s32 op_session(void)
{
    struct task *t = task_current();
    if (!t)
        return 0;
    rwlock_rdlock(&task_lock);
    s32 r = t->tg->session ? t->tg->session->pid->nr[0] : 0;
    rwlock_rdunlock(&task_lock);
    return r;
}

static s32 op_pgrp(void)
{
    struct task *t = task_current();
    if (!t)
        return 0;
    rwlock_rdlock(&task_lock);
    s32 r = t->tg->pgrp ? t->tg->pgrp->nr[0] : 0;
    rwlock_rdunlock(&task_lock);
    return r;
}

static bool op_is_session_leader(void)
{
    struct task *t = task_current();
    if (!t)
        return false;
    rwlock_rdlock(&task_lock);
    bool r = t->tg->session && t->tg->session->pid == t->tg->pid;
    rwlock_rdunlock(&task_lock);
    return r;
}

static s32 op_pgrp_session(s32 pgrp)
{
    s32 r = -LX_ESRCH;
    rwlock_rdlock(&task_lock);
    struct pid *p = pid_lookup(&root_pid_ns, pgrp);
    struct tgroup *g = p ? list_first(&p->pgrp_members, struct tgroup, pgrp_node) : NULL;
    if (g && g->session)
        r = g->session->pid->nr[0];
    rwlock_rdunlock(&task_lock);
    return r;
}

static bool op_is_pgrp_orphaned(s32 pgrp)
{
    rwlock_rdlock(&task_lock);
    struct pid *p = pid_lookup(&root_pid_ns, pgrp);
    bool r = !p || pgrp_is_orphaned(p, NULL);
    rwlock_rdunlock(&task_lock);
    return r;
}

static bool is_used_as(const struct pid *p, enum vfs_who who)
{
    switch (who) {
    case VFS_WHO_TID:
        return p->task != NULL;
    case VFS_WHO_PID:
        return p->tgroup != NULL;
    case VFS_WHO_PGRP:
        return !list_empty(&p->pgrp_members);
    default:
        return false;
    }
}

static s32 op_to_kid(enum vfs_who who, s32 vid)
{
    struct task *t = task_current();
    struct pid_ns *ns = t ? task_pid_ns(t) : &root_pid_ns;
    s32 r = -LX_ESRCH;
    rwlock_rdlock(&task_lock);
    struct pid *p = pid_lookup(ns, vid);
    if (p && is_used_as(p, who))
        r = p->nr[0];
    rwlock_rdunlock(&task_lock);
    return r;
}

static s32 op_to_vid(enum vfs_who who, s32 kid)
{
    struct task *t = task_current();
    struct pid_ns *ns = t ? task_pid_ns(t) : &root_pid_ns;
    rwlock_rdlock(&task_lock);
    struct pid *p = pid_lookup(&root_pid_ns, kid);
    s32 r = p ? pid_nr_in(p, ns) : 0;
    rwlock_rdunlock(&task_lock);
    return r;
}

static void op_signal_pgrp(s32 pgrp, int signo)
{
    rwlock_rdlock(&task_lock);
    struct pid *p = pid_lookup(&root_pid_ns, pgrp);
    if (p)
        (void)signal_send_pgrp_locked(p, NULL, signo);
    rwlock_rdunlock(&task_lock);
}

static void op_signal_pid(s32 pid, int signo)
{
    struct tgroup *g = tgroup_find(&root_pid_ns, pid);
    if (!g)
        return;
    (void)signal_send_tgroup(g, NULL, signo);
    tgroup_put(g);
}

static void op_session_clear_tty(s32 session, struct tty *tty)
{
    struct pid *p = pid_find(&root_pid_ns, session);
    if (!p)
        return;
    session_forget_tty(p, tty);
    pid_put(p);
}

static void op_session_hangup(s32 session, struct tty *tty, s32 fg_pgrp)
{
    rwlock_wrlock(&task_lock);
    struct pid *p = pid_lookup(&root_pid_ns, session);
    if (p && p->tgroup)
        p->tgroup->tty_old_pgrp = fg_pgrp;
    rwlock_wrunlock(&task_lock);
    op_signal_pid(session, LX_SIGHUP);
    op_signal_pid(session, LX_SIGCONT);
    op_session_clear_tty(session, tty);
}

static bool op_is_signal_ignored_or_blocked(int signo)
{
    struct task *t = task_current();
    return t && ((t->blocked & SIGMASK(signo)) || signal_is_ignored(t, signo));
}

static bool op_has_pending_interrupt(void)
{
    struct task *t = task_current();
    return t && signal_is_pending(t);
}

static bool op_is_dying(void)
{
    struct task *t = task_current();
    if (!t)
        return false;
    MUTEX_GUARD(&t->tg->sig_lock);
    return t->tg->is_exiting || t->is_exit_requested ||
           ((t->pending.set | t->tg->shared.set) & SIGMASK(LX_SIGKILL));
}

static struct tty *op_get_ctty(void)
{
    struct task *t = task_current();
    if (!t)
        return NULL;
    rwlock_rdlock(&task_lock);
    struct tty *tty = t->tg->tty;
    if (tty)
        tty_get(tty);
    rwlock_rdunlock(&task_lock);
    return tty;
}

static void op_set_ctty(struct tty *tty)
{
    struct task *t = task_current();
    if (!t)
        return;
    if (tty)
        tty_get(tty);
    rwlock_wrlock(&task_lock);
    struct tty *old = t->tg->tty;
    t->tg->tty = tty;
    rwlock_wrunlock(&task_lock);
    tty_put(old);
}

static u64 op_pending_signals(void)
{
    struct task *t = task_current();
    return t ? signal_pending_set(t) : 0;
}

static void to_signalfd(const struct lx_siginfo *i, struct lx_signalfd_siginfo *s)
{
    memset(s, 0, sizeof(*s));
    s->ssi_signo = (u32)i->si_signo;
    s->ssi_errno = i->si_errno;
    s->ssi_code = i->si_code;
    if (i->si_code == LX_SI_TIMER) {
        s->ssi_tid = (u32)i->timer.timerid;
        s->ssi_overrun = (u32)i->timer.overrun;
        s->ssi_ptr = i->timer.value;
        s->ssi_int = (s32)i->timer.value;
    } else if (i->si_code <= LX_SI_USER || i->si_code == LX_SI_KERNEL) {
        s->ssi_pid = (u32)i->rt.pid;
        s->ssi_uid = i->rt.uid;
        s->ssi_ptr = i->rt.value;
        s->ssi_int = (s32)i->rt.value;
    } else if (i->si_signo == LX_SIGCHLD) {
        s->ssi_pid = (u32)i->chld.pid;
        s->ssi_uid = i->chld.uid;
        s->ssi_status = i->chld.status;
        s->ssi_utime = (u64)i->chld.utime;
        s->ssi_stime = (u64)i->chld.stime;
    } else if (SIGMASK(i->si_signo) & SIGMASK_SYNC & ~SIGMASK(LX_SIGSYS)) {
        s->ssi_addr = i->fault.addr;
        s->ssi_addr_lsb = (u16)i->fault.addr_lsb;
    } else if (i->si_signo == LX_SIGSYS) {
        s->ssi_call_addr = i->sys.call_addr;
        s->ssi_syscall = i->sys.syscall;
        s->ssi_arch = i->sys.arch;
    } else {
        s->ssi_band = (u32)i->poll.band;
        s->ssi_fd = i->poll.fd;
    }
}

static int op_dequeue_signal(u64 mask, struct lx_signalfd_siginfo *ret_info)
{
    struct task *t = task_current();
    struct lx_siginfo info;
    int signo = t ? signal_dequeue(t, mask, &info) : 0;
    if (signo > 0)
        to_signalfd(&info, ret_info);
    return signo;
}

static s32 op_tgid(void)
{
    struct task *t = task_current();
    return t ? t->tg->pid->nr[0] : 0;
}

/* As kill(2) checks, but with the credentials that the owner was set with. */
static bool may_signal(const struct cred *c, struct tgroup *g)
{
    MUTEX_GUARD(&g->sig_lock);
    const struct cred *target = g->leader->cred;
    return !c || c->euid == 0 || c->euid == target->suid || c->euid == target->uid ||
           c->uid == target->suid || c->uid == target->uid;
}

static void send_sigio_to(struct tgroup *g, struct task *t, const struct cred *owner_cred, int signo,
                          int code, u32 band, int fd)
{
    if (!may_signal(owner_cred, g))
        return;
    if (signo != 0) {
        struct lx_siginfo info = {.si_signo = signo, .si_code = code};
        info.poll.band = band;
        info.poll.fd = fd;
        if (signal_send(g, t, &info, signo, 0) == 0)
            return;
    }
    (void)signal_send(g, t, NULL, LX_SIGIO, 0); /* also when the queue is full */
}

static void op_send_sigio(enum vfs_who who, s32 kid, const struct cred *owner_cred, int signo,
                          int code, u32 band, int fd)
{
    struct tgroup *g;
    rwlock_rdlock(&task_lock);
    struct pid *p = pid_lookup(&root_pid_ns, kid);
    if (p && who == VFS_WHO_TID && p->task)
        send_sigio_to(p->task->tg, p->task, owner_cred, signo, code, band, fd);
    else if (p && who == VFS_WHO_PID && p->tgroup)
        send_sigio_to(p->tgroup, NULL, owner_cred, signo, code, band, fd);
    else if (p && who == VFS_WHO_PGRP)
        list_for_each(g, &p->pgrp_members, pgrp_node)
            send_sigio_to(g, NULL, owner_cred, signo, code, band, fd);
    rwlock_rdunlock(&task_lock);
}

const struct vfs_task_ops kern_task_ops = {
    .session = op_session,
    .pgrp = op_pgrp,
    .is_session_leader = op_is_session_leader,
    .pgrp_session = op_pgrp_session,
    .is_pgrp_orphaned = op_is_pgrp_orphaned,
    .to_kid = op_to_kid,
    .to_vid = op_to_vid,
    .signal_pgrp = op_signal_pgrp,
    .signal_pid = op_signal_pid,
    .session_hangup = op_session_hangup,
    .session_clear_tty = op_session_clear_tty,
    .is_signal_ignored_or_blocked = op_is_signal_ignored_or_blocked,
    .has_pending_interrupt = op_has_pending_interrupt,
    .is_dying = op_is_dying,
    .get_ctty = op_get_ctty,
    .set_ctty = op_set_ctty,
    .pending_signals = op_pending_signals,
    .dequeue_signal = op_dequeue_signal,
    .tgid = op_tgid,
    .send_sigio = op_send_sigio,
};
