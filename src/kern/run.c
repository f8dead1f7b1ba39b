/*
 * The life of a task's host thread: let the application run, answer what it
 * asks, look after signals, again.
 *
 * Between a system call's answer and the application there is no lock and no
 * allocation unless there is work: task.is_kicked says so. A kick sets is_kicked, interrupts waits
 * and kicks the stub; this loop clears is_kicked and the interruption before
 * it looks, so what comes later is seen by the next look, or ends uctx_run at
 * once (its kicks are sticky).
 *
 * Restarting a call. A call that returns one of LX_ERESTART* did not happen.
 * If a handler is about to run, it becomes EINTR or is set up to be made again
 * after the handler, by Linux's rules. If no handler runs, it is made again
 * right here: the application never sees that it was disturbed.
 */
#include <setjmp.h>
#include <string.h>

#include "abi/nr.h"
#include "base/log.h"
#include "base/offer.h"
#include "kern/ptrace.h"
#include "kern/seccomp.h"
#include "platform/answer.h"

static _Thread_local jmp_buf thread_bottom;

/* For a blocked read that whoever brings the bytes may answer (base/offer.h). */
static _Thread_local struct own_answer {
    struct answerer a;
    struct task *t;
    bool is_given;  /* the application has its answer and runs */
} own_answer;

static bool answer_begin(struct answerer *a)
{
    struct task *t = container_of(a, struct own_answer, a)->t;
    /* A kick sets is_kicked before it kicks the uctx: it is seen here, or by the stub. */
    return !atomic_load(&t->is_kicked) && !atomic_load(&t->call_work) && !t->ptrace &&
           uctx_answer_begin(t->uctx) &&
           (likely(!atomic_load(&t->is_kicked)) || (uctx_answer_cancel(t->uctx), false));
}

static void answer_give(struct answerer *a, s64 result)
{
    struct own_answer *o = container_of(a, struct own_answer, a);
    uctx_answer(o->t->uctx, result);
    o->is_given = true;
}

static void answer_cancel(struct answerer *a)
{
    uctx_answer_cancel(container_of(a, struct own_answer, a)->t->uctx);
}

/* Is the answer of the call what its read returns, and no more? */
static bool may_be_answered(const struct uevent *ev)
{
    return ev->kind == UEV_SYSCALL &&
           (ev->nr == LX_NR_read || (ev->nr == LX_NR_recvfrom && !ev->args[4])) &&
           !(kern_hooks.fastpath_off & FASTPATH_OFF_STRACE);
}

/* What there is to finish on the way back to the application. */
struct unfinished {
    bool is_call;    /* result is to be given */
    bool is_in_regs; /* a tracee: a tracer may change it, so it is in rax meanwhile */
    s64 result;
};

static bool is_restart(s64 r)
{
    return r == -LX_ERESTARTSYS || r == -LX_ERESTARTNOINTR || r == -LX_ERESTARTNOHAND ||
           r == -LX_ERESTART_RESTARTBLOCK;
}

/* A handler runs now: what the interrupted call returns, or its making again, goes in the registers. */
static void finish_before_handler(struct task *t, struct unfinished *u, const struct ksignal *ks)
{
    if (!u->is_call)
        return;
    u->is_call = false;
    struct uregs *regs = uctx_regs(t->uctx);
    s64 r = u->is_in_regs ? (s64)regs->rax : u->result;
    if (u->is_in_regs && regs->orig_rax == UINT64_MAX)
        return; /* the tracer wants no restart */
    bool is_again = r == -LX_ERESTARTNOINTR ||
                    (r == -LX_ERESTARTSYS && (ks->act.flags & LX_SA_RESTART));
    if (is_again) {
        regs->rax = regs->orig_rax;
        regs->rip -= 2;
    } else {
        regs->rax = (u64)(is_restart(r) ? -LX_EINTR : r);
    }
    uctx_regs_changed(t->uctx);
}

static void restore_mask(struct task *t)
{
    if (!t->has_saved_mask)
        return;
    t->has_saved_mask = false;
    signal_set_blocked(t, t->saved_mask);
}

static bool was_interrupted(const struct unfinished *u)
{
    return u->is_call && (is_restart(u->result) || u->result == -LX_EINTR);
}

static bool is_frozen(const struct task *t)
{
    const struct freezer *f = t->tg->freezer;
    return f && atomic_load(&f->is_on) && !t->is_exit_requested;
}

/* Stays here until its container is let go, or it is to end. Other work meanwhile stays undone. */
static void freezer_wait(struct task *t)
{
    bool was_kicked = false;
    while (is_frozen(t)) {
        if (wait_event_interruptible(&t->tg->freezer->wait, WAIT_IN, !is_frozen(t), NO_DEADLINE) < 0) {
            was_kicked = true;
            parker_clear_interrupt(&t->parker);
        }
    }
    if (was_kicked)
        atomic_store(&t->is_kicked, true); /* there was something else: look again */
}

/* The slow way out. On return nothing is left to do, but the result of a call (u->is_call). */
static void do_work(struct task *t, struct unfinished *u)
{
    for (;;) {
        atomic_store(&t->is_kicked, false);
        parker_clear_interrupt(&t->parker);
        if (unlikely(is_frozen(t)))
            freezer_wait(t);
        if (!was_interrupted(u))
            restore_mask(t); /* ppoll and kin finished: their mask is over before signals are looked at */
        struct ksignal ks;
        if (!signal_get(t, &ks)) {
            if (!t->has_saved_mask)
                return;
            restore_mask(t); /* may unblock what is pending */
            continue;
        }
        finish_before_handler(t, u, &ks);
        if (sigframe_setup(t, &ks) == 0) /* a failure has queued SIGSEGV */
            ptrace_handler_step(t);
    }
}

static void work(struct task *t, struct unfinished *u)
{
    do
        do_work(t, u);
    while (unlikely(atomic_load(&t->is_kicked)));
}

/* The call itself, with what stands around it. */
static s64 make_call(struct task *t, struct uevent *ev)
{
    u32 around = atomic_load_explicit(&t->call_work, memory_order_relaxed);
    s64 r;
    if (likely(!around)) {
        r = kern_hooks.syscall(t, ev->nr, ev->args);
        if (unlikely(atomic_load_explicit(&t->call_work, memory_order_relaxed) & CALL_WORK_TRACE))
            ptrace_call_exit(t, &r); /* since a stop inside the call */
        return r;
    }
    if (around & CALL_WORK_TRACE)
        mm_use(t->mm, NULL); /* its tracer reads and changes the arguments: nothing through the window */
    if ((!(around & CALL_WORK_TRACE) || ptrace_call_entry(t, ev, &r)) &&
        (!(around & CALL_WORK_SECCOMP) || seccomp_allows(t, ev, &r)))
        r = kern_hooks.syscall(t, ev->nr, ev->args);
    if (atomic_load(&t->call_work) & CALL_WORK_TRACE)
        ptrace_call_exit(t, &r);
    mm_use(t->mm, t->uctx);
    return r;
}

/* A tracee's interrupted call without a handler to run: as Linux, by setting the registers back. */
static void restart_in_regs(struct task *t)
{
    struct uregs *regs = uctx_regs(t->uctx);
    s64 r = (s64)regs->rax;
    if (!is_restart(r) || regs->orig_rax == UINT64_MAX)
        return;
    regs->rax = r == -LX_ERESTART_RESTARTBLOCK ? LX_NR_restart_syscall : regs->orig_rax;
    regs->rip -= 2;
    uctx_regs_changed(t->uctx);
}

/* One system call, made again until it is done or has a handler to run first. */
static void handle_call(struct task *t, struct uevent *ev)
{
    t->cur_nr = ev->nr;
    memcpy(t->cur_args, ev->args, sizeof(t->cur_args));
    offer_answerer = may_be_answered(ev) ? &own_answer.a : NULL;
    s64 r = ev->kind == UEV_FUTEX ? futex_interrupted(t, ev) : make_call(t, ev);
    for (;;) {
        park_do_work();
        if (own_answer.is_given)
            break;
        if (likely(!atomic_load_explicit(&t->is_kicked, memory_order_acquire) &&
                   !t->is_result_set && !is_restart(r))) {
            uctx_set_result(t->uctx, r);
            break;
        }
        struct unfinished u = {.is_call = !t->is_result_set, .result = r};
        t->is_result_set = false;
        if (u.is_call && unlikely(t->ptrace && ptrace_is_traced(t))) {
            u.is_in_regs = true;
            uctx_regs(t->uctx)->rax = (u64)r;
            uctx_regs_changed(t->uctx);
        }
        work(t, &u);
        if (!u.is_call)
            break;
        if (u.is_in_regs) {
            restart_in_regs(t);
            break;
        }
        if (!is_restart(r)) {
            uctx_set_result(t->uctx, r);
            break;
        }
        if (r == -LX_ERESTART_RESTARTBLOCK && t->restart.fn)
            r = t->restart.fn(t, &t->restart);
        else
            r = make_call(t, ev);
    }
    t->cur_nr = LX_NR_COUNT;
}

/*
 * A call through the vsyscall page. It never sleeps and has returned to its caller already; a bad
 * pointer is a fault there, not an error.
 */
static void handle_vsyscall(struct task *t, struct uevent *ev)
{
    u32 nr = ev->nr;
    s64 r = -LX_ENOSYS;
    bool is_allowed = !(atomic_load(&t->call_work) & CALL_WORK_SECCOMP) || seccomp_allows(t, ev, &r);
    if (is_allowed && ev->nr == nr)
        r = kern_hooks.syscall(t, nr, ev->args);
    if (r == -LX_EFAULT) {
        struct lx_siginfo info = {.si_signo = LX_SIGSEGV, .si_code = LX_SI_KERNEL};
        signal_force(t, &info);
    }
    t->is_result_set = false;
    uctx_set_result(t->uctx, r);
}

/* A fault of the application: mended by the memory manager, or a signal. */
static void handle_fault(struct task *t, const struct uevent *ev)
{
    struct lx_siginfo info = {.si_signo = ev->signo, .si_code = ev->code};
    info.fault.addr = ev->addr;
    bool is_memory = (ev->signo == LX_SIGSEGV || ev->signo == LX_SIGBUS) &&
                     ev->code != LX_SI_KERNEL;
    if (is_memory) {
        int code = ev->code;
        int signo = mm_fault(t->mm, ev, &code);
        if (signo == 0)
            return;
        info.si_signo = signo;
        info.si_code = code;
    }
    t->fault_addr = is_memory ? ev->addr : 0;
    t->fault_trapno = (u64)ev->trapno;
    t->fault_err = ev->err;
    if (info.si_signo < 1 || info.si_signo > LX_NSIG)
        info.si_signo = LX_SIGSEGV;
    if (unlikely(t->ptrace != NULL) && info.si_signo == LX_SIGTRAP && !ptrace_trap(t, &info))
        return;
    log_debug("task %d: fault: signal %d code %d at %llx rip %llx", t->pid->nr[0], info.si_signo,
              info.si_code, (unsigned long long)ev->addr,
              (unsigned long long)uctx_regs(t->uctx)->rip);
    signal_force(t, &info);
}

/* The stub is gone: the host killed it (out of memory), or another task's exit did. */
static void handle_death(struct task *t, const struct uevent *ev)
{
    int signo = ev->wait_status & 0x7f;
    if (!t->is_exit_requested)
        log_info("task %d: its stub has died, status %#x", t->pid->nr[0], (u32)ev->wait_status);
    tgroup_exit_start(t->tg, signo ? signo : LX_SIGKILL);
    task_exit_thread(t, t->tg->exit_code);
}

static noreturn_fn void run_loop(struct task *t)
{
    struct uevent ev;
    for (;;) {
        if (unlikely(atomic_load_explicit(&t->is_kicked, memory_order_acquire)) &&
            !own_answer.is_given) {
            struct unfinished none = {0};
            work(t, &none);
        }
        bool is_step =
            unlikely(t->ptrace != NULL) && !own_answer.is_given && ptrace_arm_step(t);
        if (own_answer.is_given) {
            own_answer.is_given = false;
            uctx_await(t->uctx, &ev); /* a kick since then has gone to the application */
        } else {
            uctx_run(t->uctx, &ev);
        }
        if (unlikely(is_step))
            ptrace_disarm_step(t);
        if (likely(ev.kind == UEV_SYSCALL)) {
            handle_call(t, &ev);
            if (unlikely(is_step))
                ptrace_call_stepped(t);
            continue;
        }
        switch (ev.kind) {
        case UEV_FUTEX:
            handle_call(t, &ev);
            break;
        case UEV_VSYSCALL:
            handle_vsyscall(t, &ev);
            break;
        case UEV_FAULT:
            handle_fault(t, &ev);
            break;
        case UEV_DEAD:
            handle_death(t, &ev);
            break;
        case UEV_KICK:
        case UEV_SYSCALL:
            break;
        }
    }
}

void kern_freeze(struct freezer *f)
{
    struct tgroup *g;
    struct task *t;
    atomic_store(&f->is_on, true);
    rwlock_rdlock(&task_lock);
    list_for_each(g, &all_tgroups, all_node) {
        if (g->freezer != f)
            continue;
        list_for_each(t, &g->tasks, tg_node) {
            atomic_store(&t->is_kicked, true);
            MUTEX_GUARD(&t->ptr_lock);
            if (t->uctx)
                uctx_kick(t->uctx);
        }
    }
    rwlock_rdunlock(&task_lock);
}

void kern_thaw(struct freezer *f)
{
    atomic_store(&f->is_on, false);
    waitq_wake(&f->wait, WAIT_IN);
}

void task_main(void *arg)
{
    struct task *t = arg;
    task_set_current(t);
    own_answer.a = (struct answerer){answer_begin, answer_give, answer_cancel};
    own_answer.t = t;
    if (setjmp(thread_bottom) == 0) {
        usage_task_start(t);
        task_started(t);
        if (is_frozen(t)) /* made while its container froze */
            atomic_store(&t->is_kicked, true);
        run_loop(t);
    }
    task_set_current(NULL);
    task_put(t);
}

void task_leave(struct task *t)
{
    if (t != task_current())
        panic("task %p is not this thread's", (void *)t);
    longjmp(thread_bottom, 1);
}
