/*
 * Signals on the receiving side: what a thread does about them on its way back
 * to the application. Stops, ends the process, skips what is ignored, and
 * hands the caller at most one signal that has a handler.
 */
#include "base/log.h"
#include "kern/kern_int.h"

static bool is_pgrp_orphaned_now(struct tgroup *g)
{
    rwlock_rdlock(&task_lock);
    bool is_orphaned = pgrp_is_orphaned(g->pgrp, NULL);
    rwlock_rdunlock(&task_lock);
    return is_orphaned;
}

/* A stop signal's default action, off when SIGCONTs came since seq. Called and returns without locks. */
static void default_stop(struct task *t, int signo, u64 seq)
{
    struct tgroup *g = t->tg;
    if (signo != LX_SIGSTOP && is_pgrp_orphaned_now(g))
        return; /* nobody could continue it */
    mutex_lock(&g->sig_lock);
    if (g->cont_seq == seq)
        (void)stop_begin(t, signo); /* the caller's loop takes part */
    mutex_unlock(&g->sig_lock);
}

/* Takes the next signal and its action (reset when SA_RESETHAND); 0: none. Called with sig_lock, which it may drop. */
static int next_signal(struct task *t, struct ksignal *ks) NO_THREAD_ANALYSIS
{
    struct tgroup *g = t->tg;
    void *timer = NULL;
    int signo = signal_take_sync_locked(t, &ks->info);
    if (!signo)
        signo = signal_take_locked(t, ~t->blocked, &ks->info, &timer);
    if (!signo)
        return 0;
    ks->cont_seq = g->cont_seq;
    if (timer) {
        mutex_unlock(&g->sig_lock);
        timer_signal_taken(timer, &ks->info);
        mutex_lock(&g->sig_lock);
    }
    if (t->ptrace && ptrace_is_traced(t) && signo != LX_SIGKILL) {
        mutex_unlock(&g->sig_lock);
        signo = ptrace_signal_stop(t, signo, &ks->info);
        mutex_lock(&g->sig_lock);
        if (!signo)
            return -1;
    }
    mutex_lock(&g->sighand->lock);
    struct lx_sigaction *act = &g->sighand->action[signo - 1];
    ks->act = *act;
    if (act->handler != LX_SIG_DFL && act->handler != LX_SIG_IGN && (act->flags & LX_SA_RESETHAND))
        act->handler = LX_SIG_DFL;
    mutex_unlock(&g->sighand->lock);
    return signo;
}

bool signal_get(struct task *t, struct ksignal *ret)
{
    struct tgroup *g = t->tg;
    for (;;) {
        mutex_lock(&g->sig_lock);
        if (t->is_exit_requested) {
            int code = g->is_exiting ? g->exit_code : 0; /* exec of another thread: nobody sees it */
            mutex_unlock(&g->sig_lock);
            task_exit_thread(t, code);
        }
        if (g->cont_notify) {
            int why = g->cont_notify;
            g->cont_notify = 0;
            mutex_unlock(&g->sig_lock);
            stop_notify_parent(g, why);
            continue;
        }
        if (t->is_stop_requested || ptrace_has_trap(t)) {
            bool is_traced = ptrace_is_traced(t);
            mutex_unlock(&g->sig_lock);
            if (is_traced)
                ptrace_trap_stop(t);
            else
                stop_take_part(t);
            continue;
        }
        int signo = next_signal(t, ret);
        bool is_unkillable = g->is_unkillable;
        mutex_unlock(&g->sig_lock);
        if (signo == 0)
            return false;
        if (signo < 0 || ret->act.handler == LX_SIG_IGN)
            continue;
        if (ret->act.handler != LX_SIG_DFL) {
            ret->signo = signo;
            return true;
        }
        if (signal_default_is_ignore(signo))
            continue;
        if (is_unkillable && !(SIGMASK(signo) & SIGMASK_UNBLOCKABLE))
            continue;
        if (SIGMASK(signo) & SIGMASK_STOP) {
            default_stop(t, signo, ret->cont_seq);
            continue;
        }
        if (signal_default_is_core(signo))
            log_debug("task %d: %s ends by signal %d", t->pid->nr[0], t->comm, signo);
        tgroup_exit_start(g, signo);
        /* The loop's next round leaves with the group's code, ours or an earlier one's. */
    }
}
