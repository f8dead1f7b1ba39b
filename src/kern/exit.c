/*
 * How tasks and processes end.
 *
 * A thread gives back what it holds, leaves its group and is gone; a leader
 * stays as a name for its group. When the last thread has left, the process is
 * a zombie: its children go to the next reaper, its parent is told, and it is
 * reaped at once if the parent does not care.
 *
 * The end of pid 1 takes its whole pid namespace along before it becomes a zombie
 * (pid_namespaces(7)).
 */
#include <string.h>

#include "base/log.h"
#include "fs/tty.h"
#include "kern/wait.h"
#include "vfs/fast.h"
#include "vfs/task_ops.h"

/* ---- orphaned process groups --------------------------------------------------------------- */

/* No member has a parent in another group of the same session: nobody does job control on it. */
bool pgrp_is_orphaned(struct pid *pgrp, struct tgroup *ignored)
{
    struct tgroup *g;
    list_for_each(g, &pgrp->pgrp_members, pgrp_node) {
        if (g == ignored || g->is_zombie || !g->parent)
            continue;
        if (g->parent->pgrp != pgrp && g->parent->session == g->session)
            return false;
    }
    return true;
}

static bool has_stopped_member(struct pid *pgrp)
{
    struct tgroup *g;
    list_for_each(g, &pgrp->pgrp_members, pgrp_node) {
        if (g->stop == TG_STOPPED)
            return true;
    }
    return false;
}

/* g loses its parent (or, ignored, ends itself): a group that gets orphaned by it and has stopped
 * members is hung up and continued, as POSIX wants. */
static void hangup_if_orphaned(struct tgroup *g, struct tgroup *parent, struct tgroup *ignored)
{
    struct pid *pgrp = g->pgrp;
    if (!parent || parent->pgrp == pgrp || parent->session != g->session)
        return;
    if (!pgrp_is_orphaned(pgrp, ignored) || !has_stopped_member(pgrp))
        return;
    (void)signal_send_pgrp_locked(pgrp, NULL, LX_SIGHUP);
    (void)signal_send_pgrp_locked(pgrp, NULL, LX_SIGCONT);
}

/* ---- telling the parent -------------------------------------------------------------------- */

int tgroup_wait_status(const struct tgroup *g)
{
    return g->is_exiting ? g->exit_code : g->leader->exit_code;
}

void siginfo_from_status(struct lx_siginfo *info, int status)
{
    if ((status & 0x7f) == 0) {
        info->si_code = LX_CLD_EXITED;
        info->chld.status = (status >> 8) & 0xff;
    } else {
        info->si_code = status & 0x80 ? LX_CLD_DUMPED : LX_CLD_KILLED;
        info->chld.status = status & 0x7f;
    }
}

void siginfo_child_times(struct lx_siginfo *info, struct tgroup *g)
{
    struct task_usage u;
    tgroup_usage_now(g, &u);
    info->chld.utime = (s64)(u.utime_ns / (NSEC_PER_SEC / 100));
    info->chld.stime = (s64)(u.stime_ns / (NSEC_PER_SEC / 100));
}

/* Under task_lock. True: the parent does not want to know, reap it now. */
bool exit_notify_parent(struct tgroup *g)
{
    struct tgroup *parent = g->parent;
    if (!parent)
        return !g->is_sentry_owned;
    int signo = g->exit_signal;
    if (signo != LX_SIGCHLD && g->parent_exec_seq != parent->exec_seq)
        signo = LX_SIGCHLD; /* the parent's program is another one by now */

    struct lx_siginfo info;
    memset(&info, 0, sizeof(info));
    info.si_signo = signo;
    siginfo_from_status(&info, tgroup_wait_status(g));
    info.chld.pid = tgroup_pid_in(g, parent->pid->ns);
    info.chld.uid = from_kuid(parent->leader->cred->user_ns, g->leader->cred->uid);
    siginfo_child_times(&info, g);

    bool is_reaped = false;
    if (signo == LX_SIGCHLD) {
        mutex_lock(&parent->sighand->lock);
        struct lx_sigaction act = parent->sighand->action[LX_SIGCHLD - 1];
        mutex_unlock(&parent->sighand->lock);
        if (act.handler == LX_SIG_IGN) {
            is_reaped = true;
            signo = 0;
        } else if (act.flags & LX_SA_NOCLDWAIT) {
            is_reaped = true;
        }
    }
    if (signo)
        (void)signal_send(parent, NULL, &info, signo, 0);
    waitq_wake(&parent->child_wait, WAIT_ALL);
    return is_reaped;
}

/* Whoever waits for his namespace to be empty (ns_end) waits for those below it too. Under
 * task_lock, written; when a group there has ended, and when it has been reaped: by a parent
 * from outside, perhaps. */
static void wake_ending_ns(struct pid_ns *ns)
{
    for (; ns; ns = ns->parent) {
        if (ns->init && ns->is_dying)
            waitq_wake(&ns->init->child_wait, WAIT_ALL);
    }
}

/* Under task_lock, written. The caller drops the list's reference (tgroup_put) after unlocking. */
void tgroup_release(struct tgroup *g)
{
    struct pid_ns *ns = g->pid->ns;
    g->is_reaped = true;
    if (ptrace_is_traced(g->leader))
        ptrace_detach_locked(g->leader, 0);
    list_del(&g->all_node);
    list_del(&g->sibling);
    list_del(&g->pgrp_node);
    list_del(&g->session_node);
    mutex_lock(&g->sig_lock);
    list_del(&g->leader->tg_node);
    mutex_unlock(&g->sig_lock);
    g->leader->is_reaped = true;
    task_uncount(g->leader);
    atomic_store(&g->leader->state, TASK_DEAD);
    if (g->pid->task == g->leader)
        g->pid->task = NULL;
    g->pid->tgroup = NULL;
    if (ns->init == g)
        ns->init = NULL;
    pid_release_if_unused(g->pid);
    if (g->pgrp != g->pid)
        pid_release_if_unused(g->pgrp);
    if (g->session && g->session->pid != g->pid)
        pid_release_if_unused(g->session->pid);
    wake_ending_ns(ns);
}

/* ---- children of the dying ----------------------------------------------------------------- */

static struct task *other_live_task(struct tgroup *g, struct task *t)
{
    struct task *i;
    list_for_each(i, &g->tasks, tg_node) {
        if (i != t && atomic_load(&i->state) != TASK_ZOMBIE && !i->is_exit_requested)
            return i;
    }
    return NULL;
}

/* Who takes the children of g: the nearest subreaper, or pid 1; NULL: nobody is left. */
static struct tgroup *find_reaper(struct tgroup *g)
{
    struct pid_ns *ns = g->pid->ns;
    struct tgroup *init = ns->init;
    if (g->has_child_subreaper) {
        for (struct tgroup *p = g->parent; p && p->pid->ns == ns && p != init; p = p->parent) {
            if (p->is_subreaper && p->ntasks > 0)
                return p;
        }
    }
    return init != g && init && init->ntasks > 0 ? init : NULL;
}

static void send_pdeath(struct tgroup *child)
{
    struct task *i;
    struct lx_siginfo info;
    int signals[8], n = 0;
    mutex_lock(&child->sig_lock);
    list_for_each(i, &child->tasks, tg_node) {
        if (i->pdeath_signal && n < (int)ARRAY_SIZE(signals))
            signals[n++] = i->pdeath_signal;
    }
    mutex_unlock(&child->sig_lock);
    for (int k = 0; k < n; k++) {
        signal_info_user(&info, signals[k], LX_SI_USER);
        (void)signal_send(child, NULL, &info, signals[k], 0);
    }
}

/* Under task_lock: children of thread t go on. Zombies that nobody wants are put on `dead`. */
static void reparent_children(struct task *t, struct list *dead)
{
    struct tgroup *g = t->tg, *child, *tmp;
    if (list_empty(&g->children))
        return;
    struct task *heir = other_live_task(g, t);
    struct tgroup *reaper = heir ? g : find_reaper(g);
    if (!heir && reaper) {
        heir = other_live_task(reaper, NULL);
        if (!heir)
            heir = reaper->leader;
    }
    list_for_each_safe(child, tmp, &g->children, sibling) {
        if (child->parent_task != t && reaper == g)
            continue;
        send_pdeath(child);
        child->parent_task = heir;
        if (reaper == g)
            continue;
        list_del(&child->sibling);
        child->parent = reaper;
        if (reaper)
            list_add_tail(&reaper->children, &child->sibling);
        child->exit_signal = LX_SIGCHLD;
        if (child->is_zombie) {
            if (!ptrace_hides_zombie(child) && exit_notify_parent(child)) {
                tgroup_release(child);
                list_add_tail(dead, &child->sibling);
            }
            continue;
        }
        tgroup_publish_ids(child);
        hangup_if_orphaned(child, g, NULL);
    }
}

/* ---- the end of a pid namespace ------------------------------------------------------------ */

/* Kills what is left in ns; true when nothing but g lives in it. Under task_lock, written. */
static bool ns_kill_round(struct pid_ns *ns, struct tgroup *g, struct list *dead)
{
    bool is_empty = true;
    struct tgroup *i, *tmp;
    list_for_each_safe(i, tmp, &all_tgroups, all_node) {
        if (i == g || !pid_ns_is_below(i->pid->ns, ns))
            continue;
        if (!i->is_zombie) {
            is_empty = false;
            if (!i->is_exiting)
                (void)signal_send(i, NULL, NULL, LX_SIGKILL, SIGNAL_FORCE);
        } else if (i->parent == g) {
            tgroup_release(i);
            list_add_tail(dead, &i->sibling);
        } else if (i->parent) {
            is_empty = false; /* comes to us when its parent ends */
        }
    }
    return is_empty;
}

static void put_dead(struct list *dead)
{
    struct tgroup *g, *tmp;
    list_for_each_safe(g, tmp, dead, sibling) {
        list_del(&g->sibling);
        tgroup_put(g);
    }
}

static void put_dead_threads(struct list *dead)
{
    struct task *t, *tmp;
    list_for_each_safe(t, tmp, dead, tg_node) {
        list_del(&t->tg_node);
        task_put_base(t);
    }
}

/* A tracee of init may be in a stop that only its tracer ends. */
static void release_tracees(struct task *t)
{
    struct list dead = LIST_INIT(dead), dead_threads = LIST_INIT(dead_threads);
    rwlock_wrlock(&task_lock);
    ptrace_exit_tracer(t, &dead, &dead_threads);
    rwlock_wrunlock(&task_lock);
    put_dead(&dead);
    put_dead_threads(&dead_threads);
}

static void ns_end(struct tgroup *g)
{
    struct pid_ns *ns = g->pid->ns;
    struct waiter w;
    waiter_init_thread(&w, WAIT_ALL);
    waitq_add(&g->child_wait, &w);
    for (;;) {
        struct list dead = LIST_INIT(dead);
        rwlock_wrlock(&task_lock);
        ns->is_dying = true;
        bool is_empty = ns_kill_round(ns, g, &dead);
        rwlock_wrunlock(&task_lock);
        put_dead(&dead);
        if (is_empty)
            break;
        (void)park_uninterruptible(NO_DEADLINE);
    }
    waitq_del(&g->child_wait, &w);
}

/* ---- the end of a thread ------------------------------------------------------------------- */

/* No signals from here on: what this thread might have taken is another's; a stop need not wait.
 * True: t is the last to end. */
static bool leave_signals(struct task *t, int code)
{
    struct tgroup *g = t->tg;
    struct task *i;
    mutex_lock(&g->sig_lock);
    t->is_exit_requested = true;
    ptrace_trapped(t);
    bool is_last = --g->nlive == 0;
    if (is_last && !g->is_exiting) {
        g->is_exiting = true;
        g->exit_code = code; /* the status is the last thread's */
    }
    bool has_stopped = stop_count_down(t);
    sigset_lx left = g->shared.set & ~t->blocked;
    if (left && !g->is_exiting) {
        list_for_each(i, &g->tasks, tg_node) {
            if (i != t && !i->is_exit_requested && (left & ~i->blocked))
                task_kick(i);
        }
    }
    mutex_unlock(&g->sig_lock);
    if (has_stopped)
        stop_notify_parent(g, LX_CLD_STOPPED);
    return is_last;
}

void exit_clear_tid(struct task *t)
{
    u64 addr = t->clear_child_tid;
    t->clear_child_tid = 0;
    if (!addr || ref_read(&t->mm->ref) <= 1)
        return; /* nobody can look */
    if (put_user((u32)0, uaddr(addr)) == 0 &&
        aspace_futex(t->mm->as, addr, LX_FUTEX_WAKE, 1, 0, 0, 0) < 0)
        log_debug("task %d: no wake of its thread id futex", t->pid->nr[0]);
}

/* Under task_lock, written: t leaves its group. True: it was the last one. *ret_is_kept: its tracer
 * has yet to wait for it. */
static bool leave_group(struct task *t, bool *ret_is_kept)
{
    struct tgroup *g = t->tg;
    bool is_kept = t != g->leader && ptrace_is_traced(t);
    *ret_is_kept = is_kept;
    mutex_lock(&g->sig_lock);
    atomic_store(&t->state, TASK_ZOMBIE);
    bool is_last = --g->ntasks == 0;
    if (t != g->leader) {
        list_del(&t->tg_node);
        if (!is_kept)
            atomic_store(&t->state, TASK_DEAD);
    }
    if (is_last)
        g->is_zombie = true;
    if (g->exec_task)
        parker_wake(&g->exec_task->parker);
    mutex_unlock(&g->sig_lock);
    if (t != g->leader) {
        t->pid->is_exited = true;
        if (!is_kept) {
            t->is_reaped = true;
            task_uncount(t);
            t->pid->task = NULL;
            pid_release_if_unused(t->pid);
        }
    }
    if (is_last)
        g->pid->is_exited = true;
    return is_last;
}

static void exit_notify(struct task *t)
{
    struct tgroup *g = t->tg;
    struct list dead = LIST_INIT(dead), dead_threads = LIST_INIT(dead_threads);
    bool is_leader, is_kept, is_reaped = false;
    rwlock_wrlock(&task_lock);
    ptrace_exit_tracer(t, &dead, &dead_threads);
    reparent_children(t, &dead);
    is_leader = t == g->leader;
    bool is_last = leave_group(t, &is_kept);
    if (is_kept)
        ptrace_tell_exit(t, t->exit_code);
    if (is_last) {
        hangup_if_orphaned(g, g->parent, g);
        if (ptrace_hides_zombie(g))
            ptrace_tell_exit(g->leader, tgroup_wait_status(g));
        else
            is_reaped = exit_notify_parent(g);
        if (is_reaped)
            tgroup_release(g);
        else
            wake_ending_ns(g->pid->ns);
    }
    rwlock_wrunlock(&task_lock);
    put_dead(&dead);
    put_dead_threads(&dead_threads);
    if (!is_leader) {
        waitq_wake(&t->pid->exit_wait, WAIT_ALL);
        if (!is_kept)
            task_put_base(t);
    }
    if (is_last) {
        waitq_wake(&g->pid->exit_wait, WAIT_ALL);
        if (is_reaped)
            tgroup_put(g);
    }
}

void task_exit_thread(struct task *t, int code)
{
    struct tgroup *g = t->tg;
    ptrace_exit_event(t, code);
    bool is_last = leave_signals(t, code);
    t->exit_code = code;
    if (t->mm) {
        futex_exit_task(t);
        exit_clear_tid(t);
    }
    sysvsem_exit(t);
    usage_task_exit(t);
    struct mm *mm = is_last ? task_get_mm(t) : NULL;
    if (mm)
        usage_mm_left(g, mm);
    if (is_last)
        session_disassociate(g); /* before its files close: a terminal's other end may be among them */
    task_drop_resources(t, true);
    vfork_release(t);
    if (is_last) {
        if (mm && g->is_mm_sharer)
            mm_sharer_del(mm);
        if (mm) {
            fast_drop_space(mm->as);
            mm_put(take_ptr(mm));
        }
        if (g->pid->ns->init == g) {
            release_tracees(t);
            ns_end(g);
        }
        if (g->timers)
            timers_exit(g);
        if (kern_hooks.tgroup_gone)
            kern_hooks.tgroup_gone(g);
    }
    exit_notify(t);
    task_leave(t);
}
