/*
 * Signals: sending, queues, masks, and what the default actions are.
 *
 * A signal is noted in a pending set (a thread's or the group's) and, if the
 * limits allow, queued with its siginfo. Sending picks a thread that would
 * take it and kicks that one only; a default action that ends the process
 * takes effect at once, in the sender. The receiving side is signal_get
 * (sigwork.c), on the thread's own way out of the kernel.
 *
 * All of it is under tgroup.sig_lock, with sighand.lock inside for the
 * actions, which processes may share. Nothing here takes task_lock, but for
 * signal_send_pgrp.
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "fs/signalfd.h"
#include "kern/kern_int.h"

#define SIGMASK_IGNORE                                                                             \
    (SIGMASK(LX_SIGCHLD) | SIGMASK(LX_SIGCONT) | SIGMASK(LX_SIGURG) | SIGMASK(LX_SIGWINCH))
#define SIGMASK_CORE                                                                               \
    (SIGMASK(LX_SIGQUIT) | SIGMASK(LX_SIGILL) | SIGMASK(LX_SIGTRAP) | SIGMASK(LX_SIGABRT) |        \
     SIGMASK(LX_SIGBUS) | SIGMASK(LX_SIGFPE) | SIGMASK(LX_SIGSEGV) | SIGMASK(LX_SIGXCPU) |         \
     SIGMASK(LX_SIGXFSZ) | SIGMASK(LX_SIGSYS))
#define IS_LEGACY(signo) ((signo) < LX_SIGRTMIN)

bool signal_default_is_ignore(int signo)
{
    return SIGMASK_IGNORE & SIGMASK(signo);
}

bool signal_default_is_core(int signo)
{
    return SIGMASK_CORE & SIGMASK(signo);
}

void siginfo_kernel(struct lx_siginfo *info, int signo)
{
    memset(info, 0, sizeof(*info));
    info->si_signo = signo;
    info->si_code = LX_SI_KERNEL;
}

void signal_info_user(struct lx_siginfo *info, int signo, int code)
{
    struct task *t = task_current();
    memset(info, 0, sizeof(*info));
    info->si_signo = signo;
    info->si_code = code;
    info->rt.pid = tgroup_pid_in(t->tg, task_pid_ns(t));
    info->rt.uid = from_kuid(t->cred->user_ns, t->cred->uid);
}

static bool has_pid_and_uid(const struct lx_siginfo *info)
{
    int code = info->si_code;
    return code == LX_SI_USER || code == LX_SI_QUEUE || code == LX_SI_TKILL || code == LX_SI_MESGQ;
}

/* ---- queues -------------------------------------------------------------------------------- */

void sigpending_init(struct sigpending *p)
{
    p->set = 0;
    list_init(&p->queue);
}

struct sigqueue_entry *sigqueue_alloc(struct task *t)
{
    struct user_struct *u = t->user;
    u64 limit = task_rlimit(t, LX_RLIMIT_SIGPENDING);
    if (u && atomic_fetch_add(&u->nsigpending, 1) >= limit) {
        atomic_fetch_sub(&u->nsigpending, 1);
        return NULL;
    }
    struct sigqueue_entry *e = calloc(1, sizeof(*e));
    if (!e) {
        if (u)
            atomic_fetch_sub(&u->nsigpending, 1);
        return NULL;
    }
    list_init(&e->node);
    if (u)
        user_ref(u);
    e->user = u;
    return e;
}

/* Past the limit: for signals that the kernel must not lose. */
static struct sigqueue_entry *sigqueue_alloc_always(struct task *t)
{
    struct sigqueue_entry *e = calloc(1, sizeof(*e));
    if (!e)
        return NULL;
    list_init(&e->node);
    e->user = t->user;
    if (e->user) {
        user_ref(e->user);
        atomic_fetch_add(&e->user->nsigpending, 1);
    }
    return e;
}

void sigqueue_free(struct sigqueue_entry *e)
{
    if (!e)
        return;
    if (e->user) {
        atomic_fetch_sub(&e->user->nsigpending, 1);
        user_put(e->user);
    }
    free(e);
}

/* An entry leaves its queue for good. */
static void entry_drop(struct sigqueue_entry *e)
{
    list_del(&e->node);
    if (e->timer)
        timer_signal_dropped(e->timer);
    else
        sigqueue_free(e);
}

void signal_flush(struct sigpending *p, sigset_lx mask)
{
    if (!(p->set & mask))
        return;
    p->set &= ~mask;
    struct sigqueue_entry *e, *tmp;
    list_for_each_safe(e, tmp, &p->queue, node) {
        if (mask & SIGMASK(e->info.si_signo))
            entry_drop(e);
    }
}

static void flush_group(struct tgroup *g, sigset_lx mask)
{
    signal_flush(&g->shared, mask);
    struct task *t;
    list_for_each(t, &g->tasks, tg_node)
        signal_flush(&t->pending, mask);
}

/* Takes the first of signo off the queue. *ret_timer: its POSIX timer, to be told after unlocking. */
static void collect(struct sigpending *p, int signo, struct lx_siginfo *ret, void **ret_timer)
{
    struct sigqueue_entry *e, *first = NULL;
    bool has_more = false;
    list_for_each(e, &p->queue, node) {
        if (e->info.si_signo != signo)
            continue;
        if (first) {
            has_more = true;
            break;
        }
        first = e;
    }
    if (!has_more)
        p->set &= ~SIGMASK(signo);
    *ret_timer = NULL;
    if (!first) { /* it was noted without a siginfo: over the limit, or a plain kill */
        memset(ret, 0, sizeof(*ret));
        ret->si_signo = signo;
        return;
    }
    *ret = first->info;
    list_del(&first->node);
    if (first->timer)
        *ret_timer = first->timer;
    else
        sigqueue_free(first);
}

int signal_take_locked(struct task *t, sigset_lx mask, struct lx_siginfo *ret, void **ret_timer)
{
    struct sigpending *queues[] = {&t->pending, &t->tg->shared};
    for (int i = 0; i < 2; i++) {
        sigset_lx set = queues[i]->set & mask;
        if (!set)
            continue;
        sigset_lx sync = set & SIGMASK_SYNC;
        int signo = __builtin_ctzll(sync ? sync : set) + 1;
        collect(queues[i], signo, ret, ret_timer);
        return signo;
    }
    return 0;
}

int signal_take_sync_locked(struct task *t, struct lx_siginfo *ret)
{
    struct sigqueue_entry *e;
    if (!(t->pending.set & ~t->blocked & SIGMASK_SYNC))
        return 0;
    list_for_each(e, &t->pending.queue, node) {
        int signo = e->info.si_signo;
        if (e->info.si_code <= LX_SI_USER || !(SIGMASK(signo) & SIGMASK_SYNC & ~t->blocked) ||
            e->timer)
            continue;
        *ret = e->info;
        list_del(&e->node);
        sigqueue_free(e);
        bool has_more = false;
        list_for_each(e, &t->pending.queue, node)
            has_more |= e->info.si_signo == signo;
        if (!has_more)
            t->pending.set &= ~SIGMASK(signo);
        return signo;
    }
    return 0;
}

int signal_dequeue(struct task *t, sigset_lx mask, struct lx_siginfo *ret_info)
{
    void *timer = NULL;
    mutex_lock(&t->tg->sig_lock);
    int signo = signal_take_locked(t, mask & ~SIGMASK_UNBLOCKABLE, ret_info, &timer);
    mutex_unlock(&t->tg->sig_lock);
    if (timer)
        timer_signal_taken(timer, ret_info);
    return signo;
}

/* ---- dispositions -------------------------------------------------------------------------- */

static u64 handler_of(struct tgroup *g, int signo)
{
    MUTEX_GUARD(&g->sighand->lock);
    return g->sighand->action[signo - 1].handler;
}

static bool is_ignored_locked(struct task *t, int signo, bool is_forced)
{
    if ((t->blocked | t->real_blocked) & SIGMASK(signo))
        return false;
    if (t->ptrace && ptrace_is_traced(t) && signo != LX_SIGKILL)
        return false;
    u64 handler = handler_of(t->tg, signo);
    if (t->tg->is_unkillable && handler == LX_SIG_DFL &&
        !(is_forced && (SIGMASK(signo) & SIGMASK_UNBLOCKABLE)))
        return true;
    return handler == LX_SIG_IGN || (handler == LX_SIG_DFL && signal_default_is_ignore(signo));
}

bool signal_is_ignored(struct task *t, int signo)
{
    u64 handler = handler_of(t->tg, signo);
    return handler == LX_SIG_IGN || (handler == LX_SIG_DFL && signal_default_is_ignore(signo));
}

int signal_set_action(struct task *t, int signo, const struct lx_sigaction *act,
                      struct lx_sigaction *ret_old)
{
    if (signo < 1 || signo > LX_NSIG || (act && (SIGMASK(signo) & SIGMASK_UNBLOCKABLE)))
        return -LX_EINVAL;
    struct tgroup *g = t->tg;
    struct lx_sigaction *slot = &g->sighand->action[signo - 1];
    mutex_lock(&g->sig_lock);
    mutex_lock(&g->sighand->lock);
    if (ret_old)
        *ret_old = *slot;
    bool is_now_ignored = false;
    if (act) {
        *slot = *act;
        slot->mask &= ~SIGMASK_UNBLOCKABLE;
        is_now_ignored = act->handler == LX_SIG_IGN ||
                         (act->handler == LX_SIG_DFL && signal_default_is_ignore(signo));
    }
    mutex_unlock(&g->sighand->lock);
    if (is_now_ignored) /* POSIX: what is pending is discarded */
        flush_group(g, SIGMASK(signo));
    mutex_unlock(&g->sig_lock);
    return 0;
}

/* ---- sending ------------------------------------------------------------------------------- */

void tgroup_resume(struct tgroup *g)
{
    g->stop = TG_RUNNING;
    g->nstopping = 0;
    struct task *t;
    list_for_each(t, &g->tasks, tg_node) {
        t->is_stop_requested = false;
        parker_wake(&t->parker);
    }
    waitq_wake(&g->stop_wait, WAIT_ALL);
}

void tgroup_zap_others(struct tgroup *g, struct task *self)
{
    tgroup_resume(g);
    struct task *t;
    list_for_each(t, &g->tasks, tg_node) {
        if (t == self || t->is_exit_requested)
            continue;
        t->is_exit_requested = true;
        task_kick(t);
    }
}

static void exit_start_locked(struct tgroup *g, int wait_status)
{
    if (g->is_exiting)
        return;
    g->is_exiting = true;
    g->exit_code = wait_status;
    tgroup_zap_others(g, NULL);
}

void tgroup_exit_start(struct tgroup *g, int wait_status)
{
    MUTEX_GUARD(&g->sig_lock);
    exit_start_locked(g, wait_status);
}

/* Stop and continue signals undo each other when sent, whether or not they are ignored. */
static void prepare_stop_cont(struct tgroup *g, int signo)
{
    if (SIGMASK(signo) & SIGMASK_STOP) {
        flush_group(g, SIGMASK(LX_SIGCONT));
        return;
    }
    flush_group(g, SIGMASK_STOP);
    g->cont_seq++;
    if (g->stop == TG_STOPPED) {
        g->cont_notify = LX_CLD_CONTINUED;
        g->is_cont_unreported = true;
    } else if (g->stop == TG_STOPPING) {
        g->cont_notify = LX_CLD_STOPPED;
    }
    g->is_stop_unreported = false;
    tgroup_resume(g);
    struct task *t;
    list_for_each(t, &g->tasks, tg_node)
        ptrace_continued(t);
    if (g->cont_notify) {
        list_for_each(t, &g->tasks, tg_node) {
            if (!t->is_exit_requested) {
                task_kick(t); /* somebody must tell the parent */
                break;
            }
        }
    }
}

static bool wants_signal(struct task *t, int signo)
{
    if ((t->blocked & SIGMASK(signo)) || t->is_exit_requested)
        return false;
    u32 state = atomic_load_explicit(&t->state, memory_order_relaxed);
    if (state == TASK_ZOMBIE || state == TASK_DEAD)
        return false;
    if (signo == LX_SIGKILL)
        return true;
    if (state == TASK_STOPPED || state == TASK_TRACED)
        return false;
    return t == task_current() || !parker_is_interrupted(&t->parker);
}

static bool is_fatal(struct tgroup *g, int signo)
{
    return !((SIGMASK_IGNORE | SIGMASK_STOP) & SIGMASK(signo)) &&
           handler_of(g, signo) == LX_SIG_DFL;
}

static bool is_on_cpu(struct task *t)
{
    MUTEX_GUARD(&t->ptr_lock);
    return t->uctx && uctx_is_in_app(t->uctx) && !uctx_is_in_futex(t->uctx);
}

/* The next thread after the one chosen last that runs now; the leader when none does. */
static struct task *pick_running(struct tgroup *g, int signo)
{
    struct task *i, *first = NULL, *after = NULL;
    bool is_past = false;
    list_for_each(i, &g->tasks, tg_node) {
        if (wants_signal(i, signo) && is_on_cpu(i)) {
            first = first ? first : i;
            if (is_past && !after)
                after = i;
        }
        is_past |= i == g->profiled;
    }
    i = after ? after : first;
    g->profiled = i; /* only compared: may be gone by then */
    return i ? i : g->leader;
}

/* The signal is in its set: finds who takes it. */
static void complete(struct tgroup *g, struct task *t, int signo, u32 flags)
{
    struct task *target = NULL, *i;
    struct task *first = t ? t : flags & SIGNAL_PREFER_RUNNING ? pick_running(g, signo) : g->leader;
    if (wants_signal(first, signo)) {
        target = first;
    } else if (!t) {
        list_for_each(i, &g->tasks, tg_node) {
            if (wants_signal(i, signo)) {
                target = i;
                break;
            }
        }
    }
    if (!target)
        return; /* blocked everywhere, or all are about to look anyway */
    if (is_fatal(g, signo) && !g->is_exiting && !(target->real_blocked & SIGMASK(signo)) &&
        (signo == LX_SIGKILL || !(target->ptrace && ptrace_is_traced(target))) &&
        !signal_default_is_core(signo)) {
        exit_start_locked(g, signo);
        return;
    }
    task_kick(target);
}

/* What the receiver may know of the sender; true when the sender is in an ancestor pid namespace. */
static bool fix_sender(struct tgroup *g, struct lx_siginfo *info)
{
    struct task *self = task_current();
    if (!self || !has_pid_and_uid(info))
        return info->si_code == LX_SI_KERNEL;
    struct user_ns *their_ns = g->leader->cred->user_ns;
    if (self->cred->user_ns != their_ns)
        info->rt.uid = from_kuid(their_ns, make_kuid(self->cred->user_ns, info->rt.uid));
    if (tgroup_pid_in(self->tg, g->pid->ns) == 0) {
        info->rt.pid = 0;
        return true;
    }
    if (self->tg->pid->ns != g->pid->ns)
        info->rt.pid = tgroup_pid_in(self->tg, g->pid->ns);
    return false;
}

static int send_locked(struct tgroup *g, struct task *t, const struct lx_siginfo *given, int signo,
                       u32 flags, bool *ret_is_queued)
{
    struct lx_siginfo info;
    if (given)
        info = *given;
    else
        siginfo_kernel(&info, signo);
    info.si_signo = signo;
    bool is_forced = (fix_sender(g, &info) || (flags & SIGNAL_FORCE) || !given);

    if (g->is_exiting || g->is_zombie)
        return 0;
    if ((SIGMASK(signo) & SIGMASK_STOP) || signo == LX_SIGCONT)
        prepare_stop_cont(g, signo);
    struct task *owner = t ? t : g->leader;
    if (is_ignored_locked(owner, signo, is_forced))
        return 0;
    struct sigpending *p = t ? &t->pending : &g->shared;
    if (IS_LEGACY(signo) && (p->set & SIGMASK(signo)))
        return 0;
    if (signo != LX_SIGKILL) {
        bool is_sure = IS_LEGACY(signo) && info.si_code >= 0;
        struct sigqueue_entry *e = is_sure ? sigqueue_alloc_always(owner) : sigqueue_alloc(owner);
        if (e) {
            e->info = info;
            list_add_tail(&p->queue, &e->node);
        } else if (!IS_LEGACY(signo) && info.si_code != LX_SI_USER) {
            return -LX_EAGAIN;
        }
    }
    p->set |= SIGMASK(signo);
    *ret_is_queued = true;
    complete(g, t, signo, flags);
    return 0;
}

int signal_send(struct tgroup *g, struct task *t, const struct lx_siginfo *info, int signo,
                u32 flags)
{
    if (signo < 1 || signo > LX_NSIG)
        return -LX_EINVAL;
    bool is_queued = false;
    mutex_lock(&g->sig_lock);
    int r = send_locked(g, t, info, signo, flags, &is_queued);
    mutex_unlock(&g->sig_lock);
    if (is_queued)
        signalfd_wake(g->pid->nr[0]);
    return r;
}

int signal_send_task(struct task *t, const struct lx_siginfo *info, int signo)
{
    return signal_send(t->tg, t, info, signo, 0);
}

int signal_send_tgroup(struct tgroup *g, const struct lx_siginfo *info, int signo)
{
    return signal_send(g, NULL, info, signo, 0);
}

int signal_send_pgrp_locked(struct pid *pgrp, const struct lx_siginfo *info, int signo)
{
    int r = -LX_ESRCH;
    bool is_sent = false;
    struct tgroup *g;
    list_for_each(g, &pgrp->pgrp_members, pgrp_node) {
        g->pgrp_signal_seq++;
        r = signal_send(g, NULL, info, signo, 0);
        is_sent |= r == 0;
    }
    return is_sent ? 0 : r;
}

int signal_send_pgrp(struct pid *pgrp, const struct lx_siginfo *info, int signo)
{
    rwlock_rdlock(&task_lock);
    int r = signal_send_pgrp_locked(pgrp, info, signo);
    rwlock_rdunlock(&task_lock);
    return r;
}

int signal_send_timer(struct tgroup *g, struct task *t, struct sigqueue_entry *e)
{
    int signo = e->info.si_signo;
    int r = 0;
    mutex_lock(&g->sig_lock);
    if (!list_empty(&e->node)) {
        r = 0;
    } else if (g->is_exiting || g->is_zombie || is_ignored_locked(t ? t : g->leader, signo, false)) {
        r = -1;
    } else {
        struct sigpending *p = t ? &t->pending : &g->shared;
        list_add_tail(&p->queue, &e->node);
        p->set |= SIGMASK(signo);
        complete(g, t, signo, 0);
        r = 1;
    }
    mutex_unlock(&g->sig_lock);
    if (r > 0)
        signalfd_wake(g->pid->nr[0]);
    return r;
}

void signal_force(struct task *t, const struct lx_siginfo *info)
{
    struct tgroup *g = t->tg;
    int signo = info->si_signo;
    bool is_queued = false;
    mutex_lock(&g->sig_lock);
    mutex_lock(&g->sighand->lock);
    struct lx_sigaction *act = &g->sighand->action[signo - 1];
    if ((t->blocked & SIGMASK(signo)) || act->handler == LX_SIG_IGN) {
        act->handler = LX_SIG_DFL;
        t->blocked &= ~SIGMASK(signo);
    }
    if (act->handler == LX_SIG_DFL)
        g->is_unkillable = false; /* a fault of pid 1 itself does end it */
    mutex_unlock(&g->sighand->lock);
    (void)send_locked(g, t, info, signo, SIGNAL_FORCE, &is_queued);
    mutex_unlock(&g->sig_lock);
}

int kern_signal_init(struct tgroup *g, int signo)
{
    if (signo < 1 || signo > LX_NSIG)
        return -LX_EINVAL;
    /* Whoever stands outside the sandbox has the default action mean what it says. */
    mutex_lock(&g->sig_lock);
    bool is_default = handler_of(g, signo) == LX_SIG_DFL && g->is_unkillable;
    if (is_default && is_fatal(g, signo) && !(g->leader->blocked & SIGMASK(signo)))
        exit_start_locked(g, signo);
    mutex_unlock(&g->sig_lock);
    struct lx_siginfo info = {.si_signo = signo, .si_code = LX_SI_USER};
    int send_signo = is_default && (SIGMASK(signo) & SIGMASK_STOP) ? LX_SIGSTOP : signo;
    return signal_send(g, NULL, &info, send_signo, SIGNAL_FORCE);
}

/* ---- masks --------------------------------------------------------------------------------- */

sigset_lx signal_pending_set(struct task *t)
{
    MUTEX_GUARD(&t->tg->sig_lock);
    return t->pending.set | t->tg->shared.set;
}

static bool has_work_locked(struct task *t)
{
    return ((t->pending.set | t->tg->shared.set) & ~t->blocked) || t->is_exit_requested ||
           t->is_stop_requested || ptrace_has_trap(t);
}

bool signal_is_pending(struct task *t)
{
    MUTEX_GUARD(&t->tg->sig_lock);
    return has_work_locked(t);
}

/* Signals of the group that this thread stops taking may be another's now. */
static void retarget_shared(struct task *t, sigset_lx newly_blocked)
{
    sigset_lx left = t->tg->shared.set & newly_blocked;
    struct task *i;
    if (!left)
        return;
    list_for_each(i, &t->tg->tasks, tg_node) {
        if (i == t || !(left & ~i->blocked) || i->is_exit_requested)
            continue;
        left &= i->blocked;
        if (!parker_is_interrupted(&i->parker))
            task_kick(i);
        if (!left)
            break;
    }
}

static void set_blocked_locked(struct task *t, sigset_lx mask)
{
    mask &= ~SIGMASK_UNBLOCKABLE;
    retarget_shared(t, mask & ~t->blocked);
    t->blocked = mask;
    if (has_work_locked(t)) {
        atomic_store(&t->is_kicked, true);
        parker_interrupt(&t->parker);
    }
}

void signal_set_blocked(struct task *t, sigset_lx mask)
{
    MUTEX_GUARD(&t->tg->sig_lock);
    set_blocked_locked(t, mask);
}

void signal_set_temporary_mask(struct task *t, sigset_lx mask)
{
    MUTEX_GUARD(&t->tg->sig_lock);
    t->saved_mask = t->blocked;
    t->has_saved_mask = true;
    set_blocked_locked(t, mask);
    atomic_store(&t->is_kicked, true); /* the way out restores it */
}

s64 task_set_restart(struct task *t, s64 (*fn)(struct task *, struct restart_block *),
                     const u64 *args, int nargs)
{
    memset(&t->restart, 0, sizeof(t->restart));
    t->restart.fn = fn;
    for (int i = 0; i < nargs && i < (int)ARRAY_SIZE(t->restart.arg); i++)
        t->restart.arg[i] = args[i];
    return -LX_ERESTART_RESTARTBLOCK;
}

/* ---- sigtimedwait -------------------------------------------------------------------------- */

int signal_wait(struct task *t, sigset_lx these, s64 deadline_ns, struct lx_siginfo *ret_info)
{
    struct tgroup *g = t->tg;
    void *timer = NULL;
    these &= ~SIGMASK_UNBLOCKABLE;
    mutex_lock(&g->sig_lock);
    int signo = signal_take_locked(t, these, ret_info, &timer);
    if (!signo && deadline_ns != 0) {
        t->real_blocked = t->blocked;
        t->blocked &= ~these;
        mutex_unlock(&g->sig_lock);
        int r = 0;
        while (r == 0)
            r = park_interruptible(deadline_ns);
        mutex_lock(&g->sig_lock);
        set_blocked_locked(t, t->real_blocked);
        t->real_blocked = 0;
        signo = signal_take_locked(t, these, ret_info, &timer);
        if (!signo && r != -LX_ETIMEDOUT)
            signo = -LX_EINTR;
    }
    mutex_unlock(&g->sig_lock);
    if (timer)
        timer_signal_taken(timer, ret_info);
    return signo ? signo : -LX_EAGAIN;
}
