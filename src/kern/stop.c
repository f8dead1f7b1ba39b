/*
 * Job control: a group stops when the last of its threads has noticed; SIGCONT
 * starts it again at once. The parent learns of both.
 *
 * States of a group: RUNNING → STOPPING (a stop signal took effect, nstopping
 * threads have yet to park) → STOPPED → (SIGCONT or SIGKILL) RUNNING.
 */
#include "base/log.h"
#include "kern/kern_int.h"

/* Under sig_lock: starts a group stop. False: the moment has passed. */
bool stop_begin(struct task *t, int signo)
{
    struct tgroup *g = t->tg;
    if (g->is_exiting || g->exec_task)
        return false;
    if (g->stop == TG_RUNNING) {
        g->stop_signo = signo;
        g->stop = TG_STOPPING;
        g->is_cont_unreported = false;
        g->nstopping = 0;
    }
    struct task *i;
    list_for_each(i, &g->tasks, tg_node) {
        u32 state = atomic_load(&i->state);
        if (i->is_stop_requested || i->is_exit_requested || state == TASK_STOPPED ||
            state == TASK_ZOMBIE || state == TASK_DEAD)
            continue;
        i->is_stop_requested = true;
        g->nstopping++;
        if (i != t)
            task_kick(i);
    }
    return true;
}

/* Under sig_lock: one thread fewer to wait for; true when the group has stopped just now. */
bool stop_count_down(struct task *t)
{
    struct tgroup *g = t->tg;
    if (!t->is_stop_requested)
        return false;
    t->is_stop_requested = false;
    if (g->nstopping == 0 || --g->nstopping > 0 || g->stop != TG_STOPPING)
        return false;
    g->stop = TG_STOPPED;
    g->is_stop_unreported = true;
    return true;
}

/* Own thread, no locks: parks until the group goes on or this thread must die. */
void stop_take_part(struct task *t)
{
    struct tgroup *g = t->tg;
    mutex_lock(&g->sig_lock);
    if (g->stop == TG_RUNNING || t->is_exit_requested) {
        t->is_stop_requested = false;
        mutex_unlock(&g->sig_lock);
        return;
    }
    atomic_store(&t->state, TASK_STOPPED);
    bool is_last = stop_count_down(t);
    mutex_unlock(&g->sig_lock);
    if (is_last)
        stop_notify_parent(g, LX_CLD_STOPPED);
    for (;;) {
        mutex_lock(&g->sig_lock);
        bool is_over = g->stop == TG_RUNNING || t->is_exit_requested ||
                       (t->ptrace && ptrace_wants_attention(t));
        if (is_over)
            atomic_store(&t->state, TASK_RUNNING);
        mutex_unlock(&g->sig_lock);
        if (is_over)
            return;
        (void)park_uninterruptible(NO_DEADLINE);
    }
}

void stop_notify_parent(struct tgroup *g, int why)
{
    rwlock_rdlock(&task_lock);
    struct tgroup *parent = g->parent;
    if (parent) {
        struct lx_siginfo info = {.si_signo = LX_SIGCHLD, .si_code = why};
        info.chld.pid = tgroup_pid_in(g, parent->pid->ns);
        info.chld.uid = from_kuid(parent->leader->cred->user_ns, g->leader->cred->uid);
        info.chld.status = why == LX_CLD_CONTINUED ? LX_SIGCONT : g->stop_signo;
        siginfo_child_times(&info, g);
        struct lx_sigaction act;
        mutex_lock(&parent->sighand->lock);
        act = parent->sighand->action[LX_SIGCHLD - 1];
        mutex_unlock(&parent->sighand->lock);
        if (act.handler != LX_SIG_IGN && !(act.flags & LX_SA_NOCLDSTOP))
            (void)signal_send(parent, NULL, &info, LX_SIGCHLD, 0);
        waitq_wake(&parent->child_wait, WAIT_ALL);
    }
    rwlock_rdunlock(&task_lock);
}
