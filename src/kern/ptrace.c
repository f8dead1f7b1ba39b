/* ptrace: tracing relations, stops, events, and what the tracer's wait sees. */
#include "kern/ptrace.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "vfs/landlock.h"

#define EFLAGS_TF 0x100U

/* ---- who traces whom ----------------------------------------------------------------------- */

bool ptrace_is_traced(const struct task *t)
{
    return t->ptrace && t->ptrace->tracer;
}

int ptrace_link(struct task *t, struct task *tracer, u32 options, bool is_seized)
{
    struct ptrace_state *ps = t->ptrace;
    if (ps && ps->tracer)
        return -LX_EPERM;
    if (!ps) {
        ps = calloc(1, sizeof(*ps));
        if (!ps)
            return -LX_ENOMEM;
        list_init(&ps->node);
    } else {
        memset(ps, 0, sizeof(*ps));
        list_init(&ps->node);
    }
    ps->task = t;
    ps->options = options;
    ps->is_seized = is_seized;
    mutex_lock(&t->tg->sig_lock);
    ps->tracer = tracer;
    t->ptrace = ps;
    if (atomic_load(&t->state) == TASK_STOPPED) {
        ps->is_trapping = true;
        task_kick(t);
    }
    mutex_unlock(&t->tg->sig_lock);
    list_add_tail(&tracer->tracees, &ps->node);
    return 0;
}

void ptrace_unlink(struct task *t)
{
    struct ptrace_state *ps = t->ptrace;
    list_del(&ps->node);
    mutex_lock(&t->tg->sig_lock);
    ps->tracer = NULL;
    ps->options = 0;
    ps->is_trap_wanted = ps->is_listening = false;
    ptrace_trapped(t);
    atomic_fetch_and(&t->call_work, ~CALL_WORK_TRACE);
    /* A group stop that it was kept out of is its business now. */
    if (t->tg->stop != TG_RUNNING && !t->is_exit_requested && !t->is_stop_requested) {
        t->is_stop_requested = true;
        if (t->tg->stop == TG_STOPPING)
            t->tg->nstopping++;
        task_kick(t);
    }
    mutex_unlock(&t->tg->sig_lock);
}

s32 ptrace_tracer_pid(struct task *t, const struct pid_ns *ns)
{
    rwlock_rdlock(&task_lock);
    struct task *tracer = t->ptrace ? t->ptrace->tracer : NULL;
    s32 pid = tracer ? tgroup_pid_in(tracer->tg, ns) : 0;
    rwlock_rdunlock(&task_lock);
    return pid;
}

bool ptrace_makes_exec_unsafe(const struct task *t)
{
    bool is_unsafe = false;
    rwlock_rdlock(&task_lock);
    struct task *tracer = t->ptrace ? t->ptrace->tracer : NULL;
    if (tracer)
        is_unsafe = !task_capable_in(tracer, t->cred->user_ns, LX_CAP_SYS_PTRACE);
    rwlock_rdunlock(&task_lock);
    return is_unsafe;
}

/* ptrace(2)'s "Ptrace access mode checking", without the LSM step. */
int ptrace_may_access(struct task *t, bool is_attach)
{
    struct task *self = task_current();
    if (!self || t->tg == self->tg)
        return 0;
    const struct cred *c = task_get_cred(t);
    const struct cred *own = self->cred;
    u32 uid = is_attach ? own->uid : own->fsuid, gid = is_attach ? own->gid : own->fsgid;
    bool is_same = uid == c->euid && uid == c->suid && uid == c->uid && gid == c->egid &&
                   gid == c->sgid && gid == c->gid;
    bool is_able = ns_capable(c->user_ns, LX_CAP_SYS_PTRACE);
    bool is_cap_subset =
        own->user_ns == c->user_ns && (c->cap_permitted & ~own->cap_permitted) == 0;
    bool is_outer = landlock_is_outer(own->domain, c->domain);
    cred_put(c);
    if (!is_outer)
        return -LX_EPERM;
    if (is_able)
        return 0;
    if (!is_same || !is_cap_subset)
        return -LX_EPERM;
    MUTEX_GUARD(&t->ptr_lock);
    return t->mm && t->mm->dumpable != 1 ? -LX_EPERM : 0;
}

/* ---- stops --------------------------------------------------------------------------------- */

/* The tracer hears of t's stop, or of its end (why: LX_CLD_*). No locks but, possibly, task_lock. */
static void tell_tracer(struct task *t, int why, int status)
{
    struct task *tracer = t->ptrace->tracer;
    if (!tracer)
        return;
    struct tgroup *g = tracer->tg;
    struct lx_siginfo info = {.si_signo = LX_SIGCHLD, .si_code = why};
    info.chld.pid = task_tid_in(t, g->pid->ns);
    info.chld.uid = from_kuid(tracer->cred->user_ns, t->cred->uid);
    info.chld.status = status;
    mutex_lock(&g->sighand->lock);
    struct lx_sigaction act = g->sighand->action[LX_SIGCHLD - 1];
    mutex_unlock(&g->sighand->lock);
    bool is_stop = why == LX_CLD_TRAPPED || why == LX_CLD_STOPPED;
    if (act.handler != LX_SIG_IGN && !(is_stop && (act.flags & LX_SA_NOCLDSTOP)))
        (void)signal_send(g, NULL, &info, LX_SIGCHLD, 0);
    waitq_wake(&g->child_wait, WAIT_ALL);
}

void ptrace_resume_locked(struct task *t, enum ptrace_resume how, int signo)
{
    struct ptrace_state *ps = t->ptrace;
    ps->how = how;
    ps->inject = signo;
    ps->is_stopped = ps->is_unwaited = ps->is_listening = false;
    if (how == RESUME_CONT || how == RESUME_STEP)
        atomic_fetch_and(&t->call_work, ~CALL_WORK_TRACE);
    else
        atomic_fetch_or(&t->call_work, CALL_WORK_TRACE);
    parker_wake(&t->parker);
}

void ptrace_trapped(struct task *t)
{
    if (!t->ptrace || !t->ptrace->is_trapping)
        return;
    t->ptrace->is_trapping = false;
    waitq_wake(&t->tg->stop_wait, WAIT_ALL);
}

int ptrace_stop(struct task *t, int code, int why, u64 message, const struct lx_siginfo *info)
{
    struct tgroup *g = t->tg;
    struct ptrace_state *ps = t->ptrace;
    /* The last stop of all is for those who have to die, too. */
    bool is_end = code == (LX_SIGTRAP | LX_PTRACE_EVENT_EXIT << 8);
    ptrace_disarm_step(t);
    mutex_lock(&g->sig_lock);
    ptrace_trapped(t);
    if (!ps->tracer || (t->is_exit_requested && !is_end)) {
        mutex_unlock(&g->sig_lock);
        return 0;
    }
    ps->code = code;
    ps->message = message;
    ps->inject = 0;
    ps->has_info = info || why == LX_CLD_TRAPPED;
    if (info) {
        ps->info = *info;
    } else {
        signal_info_user(&ps->info, LX_SIGTRAP, code);
    }
    ps->is_stopped = ps->is_unwaited = true;
    ps->is_trap_wanted = false;
    bool is_group_done = stop_count_down(t);
    atomic_store(&t->state, TASK_TRACED);
    mutex_unlock(&g->sig_lock);

    rwlock_rdlock(&task_lock);
    tell_tracer(t, why, code & 0x7f);
    rwlock_rdunlock(&task_lock);
    if (is_group_done)
        stop_notify_parent(g, LX_CLD_STOPPED);

    for (;;) {
        mutex_lock(&g->sig_lock);
        bool is_over = ps->nfrozen == 0 && (!ps->is_stopped || !ps->tracer || (t->is_exit_requested && !is_end));
        if (is_over) {
            ps->is_stopped = ps->is_unwaited = ps->is_listening = ps->has_info = false;
            atomic_store(&t->state, TASK_RUNNING);
        }
        int inject = ps->inject;
        mutex_unlock(&g->sig_lock);
        if (is_over)
            return inject;
        (void)park_uninterruptible(NO_DEADLINE);
    }
}

int ptrace_signal_stop(struct task *t, int signo, struct lx_siginfo *info)
{
    struct ptrace_state *ps = t->ptrace;
    int now = ptrace_stop(t, signo, LX_CLD_TRAPPED, 0, info);
    if (!now)
        return 0;
    if (now == signo) {
        *info = ps->info; /* PTRACE_SETSIGINFO may have changed it */
    } else {
        memset(info, 0, sizeof(*info));
        info->si_signo = now;
        info->si_code = LX_SI_USER;
        rwlock_rdlock(&task_lock);
        if (ps->tracer) {
            info->rt.pid = tgroup_pid_in(ps->tracer->tg, task_pid_ns(t));
            info->rt.uid = from_kuid(t->cred->user_ns, ps->tracer->cred->uid);
        }
        rwlock_rdunlock(&task_lock);
    }
    if (t->blocked & SIGMASK(now)) { /* blocked meanwhile: it waits */
        (void)signal_send_task(t, info, now);
        return 0;
    }
    return now;
}

/* A group stop, or PTRACE_INTERRUPT, as a tracee takes it. */
void ptrace_trap_stop(struct task *t)
{
    struct tgroup *g = t->tg;
    mutex_lock(&g->sig_lock);
    bool is_seized = t->ptrace->is_seized;
    bool is_stop = t->is_stop_requested || t->ptrace->is_trapping;
    int signo = g->stop != TG_RUNNING || t->ptrace->is_trapping ? g->stop_signo : LX_SIGTRAP;
    t->ptrace->is_trap_wanted = false;
    mutex_unlock(&g->sig_lock);
    if (is_seized)
        (void)ptrace_stop(t, signo | LX_PTRACE_EVENT_STOP << 8, LX_CLD_STOPPED, 0, NULL);
    else if (is_stop)
        (void)ptrace_stop(t, signo, LX_CLD_STOPPED, 0, NULL);
}

bool ptrace_wants_attention(const struct task *t)
{
    return t->ptrace && t->ptrace->tracer;
}

bool ptrace_has_trap(const struct task *t)
{
    return ptrace_is_traced(t) && (t->ptrace->is_trap_wanted || t->ptrace->is_trapping);
}

/* Under sig_lock: SIGCONT. A seized tracee reports that a stop is over: at once if it is listening.
 */
void ptrace_continued(struct task *t)
{
    struct ptrace_state *ps = t->ptrace;
    if (!ptrace_is_traced(t) || !ps->is_seized)
        return;
    ps->is_trap_wanted = true;
    if (ps->is_listening)
        ptrace_resume_locked(t, RESUME_CONT, 0);
    task_kick(t);
}

/* ---- events -------------------------------------------------------------------------------- */

static bool is_event_on(struct task *t, int event)
{
    return ptrace_is_traced(t) && (t->ptrace->options & (1U << event));
}

u64 ptrace_nr_for_tracer(struct task *t, struct pid *p)
{
    rwlock_rdlock(&task_lock);
    struct task *tracer = t->ptrace->tracer;
    u64 nr = tracer ? (u64)pid_nr_in(p, task_pid_ns(tracer)) : 0;
    rwlock_rdunlock(&task_lock);
    return nr;
}

static void event_stop(struct task *t, int event, u64 message)
{
    (void)ptrace_stop(t, LX_SIGTRAP | event << 8, LX_CLD_TRAPPED, message, NULL);
}

/* The event that this clone is, when the tracer wants it; 0: none. */
static int clone_event(struct task *t, const struct clone_args *a)
{
    int event = a->flags & LX_CLONE_VFORK             ? LX_PTRACE_EVENT_VFORK
                : a->exit_signal != LX_SIGCHLD        ? LX_PTRACE_EVENT_CLONE
                                                      : LX_PTRACE_EVENT_FORK;
    if ((a->flags & LX_CLONE_UNTRACED) || !is_event_on(t, event))
        return 0;
    return event;
}

/* Under task_lock, written: the child of a tracee is traced, too. */
void ptrace_clone_link(struct task *t, struct task *child, const struct clone_args *a)
{
    if (!ptrace_is_traced(t) || (!clone_event(t, a) && !(a->flags & LX_CLONE_PTRACE)))
        return;
    struct ptrace_state *ps = t->ptrace;
    if (ptrace_link(child, ps->tracer, ps->options, ps->is_seized) < 0)
        return; /* no memory: an untraced child is better than none */
    aspace_fastpath_off(child->mm->as, FASTPATH_OFF_TRACED, true);
    mutex_lock(&child->tg->sig_lock);
    if (ps->is_seized)
        child->ptrace->is_trap_wanted = true;
    else
        child->pending.set |= SIGMASK(LX_SIGSTOP);
    atomic_store(&child->is_kicked, true);
    mutex_unlock(&child->tg->sig_lock);
}

void ptrace_clone_event(struct task *t, struct pid *child, const struct clone_args *a)
{
    int event = clone_event(t, a);
    if (event)
        event_stop(t, event, ptrace_nr_for_tracer(t, child));
}

void ptrace_vfork_done(struct task *t, struct pid *child)
{
    if (is_event_on(t, LX_PTRACE_EVENT_VFORK_DONE))
        event_stop(t, LX_PTRACE_EVENT_VFORK_DONE, ptrace_nr_for_tracer(t, child));
}

void ptrace_exec_event(struct task *t, u64 old_tid)
{
    if (!ptrace_is_traced(t))
        return;
    memset(t->ptrace->dr, 0, sizeof(t->ptrace->dr)); /* addresses of another program */
    t->ptrace->dr7 = 0;
    if (is_event_on(t, LX_PTRACE_EVENT_EXEC)) {
        event_stop(t, LX_PTRACE_EVENT_EXEC, old_tid);
    } else if (!t->ptrace->is_seized) {
        struct lx_siginfo info;
        signal_info_user(&info, LX_SIGTRAP, LX_SI_USER);
        (void)signal_send_task(t, &info, LX_SIGTRAP);
    }
}

void ptrace_exit_event(struct task *t, int code)
{
    if (is_event_on(t, LX_PTRACE_EVENT_EXIT))
        event_stop(t, LX_PTRACE_EVENT_EXIT, (u64)code);
}

bool ptrace_seccomp_event(struct task *t, u32 data, struct uevent *ev, s64 *ret_result)
{
    *ret_result = -LX_ENOSYS;
    if (!is_event_on(t, LX_PTRACE_EVENT_SECCOMP))
        return false;
    struct uregs *regs = uctx_regs(t->uctx);
    regs->rax = (u64)-LX_ENOSYS;
    uctx_regs_changed(t->uctx);
    struct ptrace_state *ps = t->ptrace;
    ps->call_op = LX_PTRACE_SYSCALL_INFO_SECCOMP;
    ps->call_nr = ev->nr;
    memcpy(ps->call_args, ev->args, sizeof(ps->call_args));
    ps->seccomp_data = data;
    event_stop(t, LX_PTRACE_EVENT_SECCOMP, data);
    ps->call_op = 0;
    return ptrace_reread_call(t, ev, ret_result);
}

/* ---- system calls -------------------------------------------------------------------------- */

/* The tracer may have changed the call. False: it is not to be made; rax is its answer. */
bool ptrace_reread_call(struct task *t, struct uevent *ev, s64 *ret_result)
{
    struct uregs *regs = uctx_regs(t->uctx);
    ev->nr = (u32)regs->orig_rax;
    ev->args[0] = regs->rdi;
    ev->args[1] = regs->rsi;
    ev->args[2] = regs->rdx;
    ev->args[3] = regs->r10;
    ev->args[4] = regs->r8;
    ev->args[5] = regs->r9;
    *ret_result = (s64)regs->rax;
    return (s32)ev->nr != -1;
}

static void call_stop(struct task *t, u64 message)
{
    int code = LX_SIGTRAP | (t->ptrace->options & LX_PTRACE_O_TRACESYSGOOD ? 0x80 : 0);
    int signo = ptrace_stop(t, code, LX_CLD_TRAPPED, message, NULL);
    if (signo) {
        struct lx_siginfo info;
        signal_info_user(&info, signo, LX_SI_USER);
        (void)signal_send_task(t, &info, signo);
    }
}

bool ptrace_call_entry(struct task *t, struct uevent *ev, s64 *ret_result)
{
    if (!ptrace_is_traced(t))
        return true;
    struct ptrace_state *ps = t->ptrace;
    bool is_emulated = ps->how == RESUME_SYSEMU || ps->how == RESUME_SYSEMU_STEP;
    struct uregs *regs = uctx_regs(t->uctx);
    regs->rax = (u64)-LX_ENOSYS;
    uctx_regs_changed(t->uctx);
    ps->call_op = LX_PTRACE_SYSCALL_INFO_ENTRY;
    ps->call_nr = ev->nr;
    memcpy(ps->call_args, ev->args, sizeof(ps->call_args));
    call_stop(t, LX_PTRACE_EVENTMSG_SYSCALL_ENTRY);
    ps->call_op = 0;
    bool is_made = ptrace_reread_call(t, ev, ret_result);
    return is_made && !is_emulated;
}

void ptrace_call_exit(struct task *t, s64 *result)
{
    struct ptrace_state *ps = t->ptrace;
    if (!ptrace_is_traced(t) || ps->how != RESUME_SYSCALL)
        return;
    struct uregs *regs = uctx_regs(t->uctx);
    if (!t->is_result_set) {
        regs->rax = (u64)*result;
        uctx_regs_changed(t->uctx);
    }
    ps->call_op = LX_PTRACE_SYSCALL_INFO_EXIT;
    call_stop(t, LX_PTRACE_EVENTMSG_SYSCALL_EXIT);
    ps->call_op = 0;
    if (!t->is_result_set)
        *result = (s64)uctx_regs(t->uctx)->rax;
}

static bool is_step_mode(const struct task *t)
{
    return ptrace_is_traced(t) &&
           (t->ptrace->how == RESUME_STEP || t->ptrace->how == RESUME_SYSEMU_STEP);
}

bool ptrace_arm_step(struct task *t)
{
    bool is_watching = ptrace_is_watching(t);
    if (!is_watching && !is_step_mode(t))
        return false;
    if (is_watching)
        ptrace_watch_begin(t);
    struct uregs *regs = uctx_regs(t->uctx);
    if (!(regs->eflags & EFLAGS_TF)) {
        regs->eflags |= EFLAGS_TF;
        t->ptrace->is_stepping = true;
        uctx_regs_changed(t->uctx);
    }
    return true;
}

void ptrace_disarm_step(struct task *t)
{
    struct ptrace_state *ps = t->ptrace;
    if (!ps || !ps->is_stepping)
        return;
    ps->is_stepping = false;
    if (!t->uctx)
        return;
    uctx_regs(t->uctx)->eflags &= ~(u64)EFLAGS_TF;
    uctx_regs_changed(t->uctx);
}

bool ptrace_trap(struct task *t, struct lx_siginfo *info)
{
    return ptrace_watch_end(t, is_step_mode(t), info);
}

void ptrace_call_stepped(struct task *t)
{
    if (!is_step_mode(t))
        return; /* the call's own stop was the step's, or the tracer is gone */
    struct lx_siginfo info = {.si_signo = LX_SIGTRAP, .si_code = LX_TRAP_BRKPT};
    info.fault.addr = uctx_regs(t->uctx)->rip;
    signal_force(t, &info);
}

void ptrace_handler_step(struct task *t)
{
    if (t->ptrace && is_step_mode(t))
        (void)ptrace_stop(t, LX_SIGTRAP, LX_CLD_TRAPPED, 0, NULL);
}

/* ---- detaching and ends -------------------------------------------------------------------- */

/* In-stub answers and rewriting come back when nobody of the process is traced any more. */
static void untraced(struct task *t)
{
    bool is_any = false;
    struct task *i;
    mutex_lock(&t->tg->sig_lock);
    list_for_each(i, &t->tg->tasks, tg_node)
        is_any |= ptrace_is_traced(i);
    mutex_unlock(&t->tg->sig_lock);
    MUTEX_GUARD(&t->ptr_lock);
    if (!is_any && t->mm)
        aspace_fastpath_off(t->mm->as, FASTPATH_OFF_TRACED, false);
}

void ptrace_detach_locked(struct task *t, int signo)
{
    bool is_stopped;
    ptrace_unlink(t);
    mutex_lock(&t->tg->sig_lock);
    is_stopped = t->ptrace->is_stopped;
    if (is_stopped)
        ptrace_resume_locked(t, RESUME_CONT, signo);
    mutex_unlock(&t->tg->sig_lock);
    untraced(t);
}

/* Under task_lock, written: a zombie thread that only its tracer knew is gone. */
static void release_thread(struct task *t)
{
    t->is_reaped = true;
    task_uncount(t);
    atomic_store(&t->state, TASK_DEAD);
    t->pid->task = NULL;
    pid_release_if_unused(t->pid);
}

static bool is_zombie_thread(const struct task *t)
{
    return t != t->tg->leader && atomic_load(&t->state) == TASK_ZOMBIE;
}

static bool is_hidden_zombie(const struct tgroup *g)
{
    struct task *leader = g->leader;
    return g->is_zombie && ptrace_is_traced(leader) && leader->ptrace->tracer->tg != g->parent;
}

bool ptrace_hides_zombie(const struct tgroup *g)
{
    return is_hidden_zombie(g);
}

bool ptrace_is_traced_by(const struct task *t, const struct tgroup *g)
{
    return ptrace_is_traced(t) && t->ptrace->tracer->tg == g;
}

void ptrace_tell_exit(struct task *t, int status)
{
    struct lx_siginfo info;
    siginfo_from_status(&info, status);
    tell_tracer(t, info.si_code, info.chld.status);
}

/* The real parent's turn, once the tracer is done with a zombie of it. */
static void give_to_parent(struct tgroup *g, struct list *dead_groups)
{
    if (g->is_zombie && !g->is_reaped && exit_notify_parent(g)) {
        tgroup_release(g);
        list_add_tail(dead_groups, &g->sibling);
    }
}

void ptrace_exit_tracer(struct task *t, struct list *dead_groups, struct list *dead_threads)
{
    struct ptrace_state *ps, *tmp;
    list_for_each_safe(ps, tmp, &t->tracees, node) {
        struct task *tracee = ps->task;
        bool is_killed = ps->options & LX_PTRACE_O_EXITKILL;
        bool was_hidden = is_hidden_zombie(tracee->tg);
        ptrace_detach_locked(tracee, 0);
        if (is_killed)
            (void)signal_send(tracee->tg, tracee, NULL, LX_SIGKILL, SIGNAL_FORCE);
        if (is_zombie_thread(tracee)) {
            release_thread(tracee);
            list_add_tail(dead_threads, &tracee->tg_node);
        } else if (was_hidden && tracee == tracee->tg->leader) {
            give_to_parent(tracee->tg, dead_groups);
        }
    }
}

/* ---- the tracer's wait --------------------------------------------------------------------- */

static void fill_thread(struct task *waiter, struct task *t, int status, struct wait_result *ret)
{
    struct lx_siginfo info;
    memset(ret, 0, sizeof(*ret));
    ret->pid = task_tid_in(t, task_pid_ns(waiter));
    ret->uid = from_kuid(waiter->cred->user_ns, t->cred->uid);
    ret->status = status;
    siginfo_from_status(&info, status);
    ret->code = info.si_code;
    ret->si_status = info.chld.status;
    task_usage_now(t, &ret->usage);
}

/* Of a thread that has ended: the group's code once its exit has begun. */
static int thread_status(struct task *t)
{
    MUTEX_GUARD(&t->tg->sig_lock);
    return t->tg->is_exiting ? t->tg->exit_code : t->exit_code;
}

static bool take_zombie(struct task *waiter, struct task *t, const struct wait_req *rq,
                        struct wait_result *ret, struct wait_dead *dead)
{
    struct tgroup *g = t->tg;
    bool is_thread = is_zombie_thread(t);
    if (!(rq->flags & LX_WEXITED) || (!is_thread && !is_hidden_zombie(g)))
        return false;
    fill_thread(waiter, t, is_thread ? thread_status(t) : tgroup_wait_status(g), ret);
    if (rq->flags & LX_WNOWAIT)
        return true;
    ptrace_detach_locked(t, 0);
    if (is_thread) {
        release_thread(t);
        dead->task = t;
    } else {
        struct list groups = LIST_INIT(groups);
        give_to_parent(g, &groups);
        if (!list_empty(&groups)) {
            list_del(&g->sibling);
            dead->group = g;
        }
    }
    return true;
}

static bool take_trap(struct task *waiter, struct task *t, const struct wait_req *rq,
                      struct wait_result *ret)
{
    struct ptrace_state *ps = t->ptrace;
    mutex_lock(&t->tg->sig_lock);
    bool is_taken = ps->is_stopped && ps->is_unwaited;
    int code = ps->code;
    if (is_taken && !(rq->flags & LX_WNOWAIT))
        ps->is_unwaited = false;
    mutex_unlock(&t->tg->sig_lock);
    if (!is_taken)
        return false;
    fill_thread(waiter, t, 0, ret);
    ret->status = code << 8 | 0x7f;
    ret->code = LX_CLD_TRAPPED;
    ret->si_status = code;
    return true;
}

static bool is_selected(const struct wait_req *rq, const struct task *t)
{
    switch (rq->type) {
    case LX_P_ALL:
        return true;
    case LX_P_PGID:
        return t->tg->pgrp == rq->pid;
    default:
        return t->pid == rq->pid;
    }
}

int ptrace_wait_scan(struct task *t, const struct wait_req *rq, struct wait_result *ret,
                     struct wait_dead *dead)
{
    int r = -LX_ECHILD;
    struct task *tracer;
    struct ptrace_state *ps;
    list_for_each(tracer, &t->tg->tasks, tg_node) {
        if ((rq->flags & LX_WNOTHREAD) && tracer != t)
            continue;
        list_for_each(ps, &tracer->tracees, node) {
            if (!is_selected(rq, ps->task))
                continue;
            r = 0;
            if (take_trap(t, ps->task, rq, ret) || take_zombie(t, ps->task, rq, ret, dead))
                return 1;
        }
    }
    return r;
}
