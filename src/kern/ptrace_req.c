/* ptrace(2): the tracer's requests. */
#include <stdlib.h>
#include <string.h>

#include "kern/ptrace.h"

#define USER_SIZE      928 /* struct user */
#define USER_REGS_SIZE (27 * 8)
#define USER_DEBUGREG  848
#define EFLAGS_SETTABLE                                                                            \
    (0x1U | 0x4U | 0x10U | 0x40U | 0x80U | 0x100U | 0x400U | 0x800U | 0x4000U | 0x10000U | 0x40000U)
#define NT_PRSTATUS   1
#define NT_PRFPREG    2
#define NT_X86_XSTATE 0x202
#define FXSAVE_SIZE   512
#define XSTATE_MASK_OFFSET 464 /* where an image tells its feature mask */
#define AUDIT_ARCH_X86_64  0xC000003EU

/* ---- finding and holding a tracee ---------------------------------------------------------- */

/* A reference, when pid is traced by the calling thread. */
static struct task *find_tracee(struct task *t, s32 pid)
{
    struct task *tracee = NULL;
    rwlock_rdlock(&task_lock);
    struct pid *p = pid_lookup(task_pid_ns(t), pid);
    if (p && p->task && ptrace_is_traced(p->task) && p->task->ptrace->tracer == t) {
        tracee = p->task;
        task_get(tracee);
    }
    rwlock_rdunlock(&task_lock);
    return tracee;
}

/* Keeps a stopped tracee stopped. -LX_ESRCH: it is not. */
static int freeze(struct task *t)
{
    MUTEX_GUARD(&t->tg->sig_lock);
    bool is_end = t->ptrace->code == (LX_SIGTRAP | LX_PTRACE_EVENT_EXIT << 8);
    if (!t->ptrace->is_stopped || t->ptrace->is_listening || (t->is_exit_requested && !is_end))
        return -LX_ESRCH;
    t->ptrace->nfrozen++;
    return 0;
}

static void thaw(struct task *t)
{
    mutex_lock(&t->tg->sig_lock);
    t->ptrace->nfrozen--;
    mutex_unlock(&t->tg->sig_lock);
    parker_wake(&t->parker);
}

/* ---- memory -------------------------------------------------------------------------------- */

static s64 peek(struct task *c, u64 addr, u64 data)
{
    u64 word = 0;
    if (aspace_read_force(c->mm->as, addr, &word, sizeof(word)) != sizeof(word))
        return -LX_EIO;
    return put_user(word, uaddr(data));
}

static s64 poke(struct task *c, u64 addr, u64 word)
{
    return aspace_write_force(c->mm->as, addr, &word, sizeof(word)) == sizeof(word) ? 0 : -LX_EIO;
}

/* ---- registers ----------------------------------------------------------------------------- */

_Static_assert(sizeof(struct uregs) == USER_REGS_SIZE, "user_regs_struct");

static bool is_settable(const struct uregs *r)
{
    return r->fs_base < PLATFORM_MAX && r->gs_base < PLATFORM_MAX;
}

/* Takes over what a program may have in its registers; segments stay ours. */
static s64 set_regs(struct task *c, const struct uregs *want)
{
    struct uregs *r = uctx_regs(c->uctx);
    if (!is_settable(want))
        return -LX_EIO;
    struct uregs now = *want;
    now.cs = r->cs;
    now.ss = r->ss;
    now.ds = r->ds;
    now.es = r->es;
    now.fs = r->fs;
    now.gs = r->gs;
    now.eflags = (r->eflags & ~(u64)EFLAGS_SETTABLE) | (want->eflags & EFLAGS_SETTABLE);
    *r = now;
    uctx_regs_changed(c->uctx);
    return 0;
}

static s64 peek_user(struct task *c, u64 addr, u64 data)
{
    u64 word = 0;
    if (addr % 8 || addr >= USER_SIZE)
        return -LX_EIO;
    if (addr >= USER_DEBUGREG)
        word = ptrace_get_debugreg(c->ptrace, (u32)(addr - USER_DEBUGREG) / 8);
    else if (addr < USER_REGS_SIZE)
        memcpy(&word, (u8 *)uctx_regs(c->uctx) + addr, sizeof(word));
    return put_user(word, uaddr(data));
}

static s64 poke_user(struct task *c, u64 addr, u64 word)
{
    if (addr % 8 || addr >= USER_SIZE)
        return -LX_EIO;
    if (addr >= USER_DEBUGREG && addr < USER_DEBUGREG + 64)
        return ptrace_set_debugreg(c->ptrace, (u32)(addr - USER_DEBUGREG) / 8, word);
    if (addr >= USER_REGS_SIZE)
        return -LX_EIO;
    struct uregs want = *uctx_regs(c->uctx);
    memcpy((u8 *)&want + addr, &word, sizeof(word));
    return set_regs(c, &want);
}

static u8 *xstate_of(struct task *c)
{
    u8 *buf = calloc(1, platform_xstate_size());
    if (buf && uctx_get_xstate(c->uctx, buf) < 0) {
        free(buf);
        return NULL;
    }
    return buf;
}

/* The tracee's vector state, `size` bytes of it at most; bytes copied. */
static s64 get_fpregs(struct task *c, u64 data, u64 size)
{
    u8 *buf = xstate_of(c);
    if (!buf)
        return -LX_ENOMEM;
    size = MIN(size, (u64)platform_xstate_size());
    u64 mask = platform_xcr0();
    if (size > FXSAVE_SIZE)
        memcpy(buf + XSTATE_MASK_OFFSET, &mask, sizeof(mask));
    s64 r = copy_out(uaddr(data), buf, size);
    free(buf);
    return r < 0 ? r : (s64)size;
}

static s64 set_fpregs(struct task *c, u64 data, u64 size)
{
    if (size < FXSAVE_SIZE)
        return -LX_EINVAL;
    u8 *buf = xstate_of(c);
    if (!buf)
        return -LX_ENOMEM;
    size = MIN(size, (u64)platform_xstate_size());
    s64 r = copy_in(buf, uaddr(data), size);
    if (r == 0) {
        u64 header[8] = {0};
        u32 mxcsr;
        memcpy(header, buf + FXSAVE_SIZE, sizeof(header[0]));
        header[0] = (header[0] & platform_xcr0()) | 3;
        memcpy(buf + FXSAVE_SIZE, header, sizeof(header));
        memset(buf + XSTATE_MASK_OFFSET, 0, 48);
        memcpy(&mxcsr, buf + 24, sizeof(mxcsr));
        mxcsr &= 0xffffU;
        memcpy(buf + 24, &mxcsr, sizeof(mxcsr));
        r = uctx_set_xstate(c->uctx, buf);
    }
    free(buf);
    return r < 0 ? r : (s64)size;
}

struct lx_iovec {
    u64 base, size;
};

static s64 regset(struct task *c, u64 type, u64 data, bool is_set)
{
    struct lx_iovec iov;
    if (get_user(iov, uaddr(data)) < 0)
        return -LX_EFAULT;
    s64 r;
    if (type == NT_PRSTATUS) {
        u64 size = MIN(iov.size, (u64)USER_REGS_SIZE);
        struct uregs regs = *uctx_regs(c->uctx);
        if (size % 8)
            return -LX_EINVAL;
        r = is_set ? copy_in(&regs, uaddr(iov.base), size) : copy_out(uaddr(iov.base), &regs, size);
        if (r == 0 && is_set)
            r = set_regs(c, &regs);
        if (r == 0)
            r = (s64)size;
    } else if (type == NT_PRFPREG || type == NT_X86_XSTATE) {
        u64 size = type == NT_PRFPREG ? MIN(iov.size, (u64)FXSAVE_SIZE) : iov.size;
        r = is_set ? set_fpregs(c, iov.base, size) : get_fpregs(c, iov.base, size);
    } else {
        return -LX_EINVAL;
    }
    if (r < 0)
        return r;
    iov.size = (u64)r;
    return put_user(iov, uaddr(data));
}

/* ---- what a stop was about ----------------------------------------------------------------- */

static s64 get_siginfo(struct task *c, u64 data)
{
    struct lx_siginfo info;
    mutex_lock(&c->tg->sig_lock);
    bool has_info = c->ptrace->has_info;
    info = c->ptrace->info;
    mutex_unlock(&c->tg->sig_lock);
    return has_info ? copy_out(uaddr(data), &info, sizeof(info)) : -LX_EINVAL;
}

static s64 set_siginfo(struct task *c, u64 data)
{
    struct lx_siginfo info;
    if (copy_in(&info, uaddr(data), sizeof(info)) < 0)
        return -LX_EFAULT;
    MUTEX_GUARD(&c->tg->sig_lock);
    if (!c->ptrace->has_info)
        return -LX_EINVAL;
    c->ptrace->info = info;
    return 0;
}

static s64 sigmask(struct task *c, u64 size, u64 data, bool is_set)
{
    sigset_lx set;
    if (size != sizeof(set))
        return -LX_EINVAL;
    if (!is_set)
        return put_user(c->has_saved_mask ? c->saved_mask : c->blocked, uaddr(data));
    if (get_user(set, uaddr(data)) < 0)
        return -LX_EFAULT;
    MUTEX_GUARD(&c->tg->sig_lock);
    c->has_saved_mask = false;
    c->blocked = set & ~SIGMASK_UNBLOCKABLE;
    atomic_store(&c->is_kicked, true); /* it looks at its signals when it goes on */
    return 0;
}

struct lx_syscall_info {
    u8 op, pad[3];
    u32 arch;
    u64 instruction_pointer, stack_pointer;
    union {
        struct {
            u64 nr, args[6];
            u32 ret_data, pad;
        } entry; /* and seccomp, with ret_data */
        struct {
            s64 rval;
            u8 is_error;
        } exit;
    };
};

static s64 syscall_info(struct task *c, u64 size, u64 data)
{
    struct ptrace_state *ps = c->ptrace;
    struct uregs *regs = uctx_regs(c->uctx);
    struct lx_syscall_info i;
    memset(&i, 0, sizeof(i));
    u64 actual = offsetof(struct lx_syscall_info, entry);
    i.op = ps->call_op;
    i.arch = AUDIT_ARCH_X86_64;
    i.instruction_pointer = regs->rip;
    i.stack_pointer = regs->rsp;
    switch (ps->call_op) {
    case LX_PTRACE_SYSCALL_INFO_ENTRY:
    case LX_PTRACE_SYSCALL_INFO_SECCOMP:
        i.entry.nr = ps->call_nr;
        memcpy(i.entry.args, ps->call_args, sizeof(i.entry.args));
        actual = offsetof(struct lx_syscall_info, entry.ret_data);
        if (ps->call_op == LX_PTRACE_SYSCALL_INFO_SECCOMP) {
            i.entry.ret_data = ps->seccomp_data;
            actual += sizeof(u32);
        }
        break;
    case LX_PTRACE_SYSCALL_INFO_EXIT:
        i.exit.rval = (s64)regs->rax;
        i.exit.is_error = regs->rax >= (u64)-4095;
        actual = offsetof(struct lx_syscall_info, exit.is_error) + 1;
        break;
    default:
        break;
    }
    s64 r = copy_out(uaddr(data), &i, MIN(size, actual));
    return r < 0 ? r : (s64)actual;
}

/* ---- attaching ----------------------------------------------------------------------------- */

static s64 trace_me(struct task *t)
{
    rwlock_wrlock(&task_lock);
    struct task *tracer = t->tg->parent_task;
    s64 r = tracer ? ptrace_link(t, tracer, 0, false) : 0;
    rwlock_wrunlock(&task_lock);
    if (r == 0 && tracer)
        aspace_fastpath_off(t->mm->as, FASTPATH_OFF_TRACED, true);
    return r;
}

static bool is_dying(struct task *t)
{
    MUTEX_GUARD(&t->tg->sig_lock);
    return t->is_exit_requested;
}

/* Until the group stop that c was in is one for us: a SIGCONT right after attaching is too late for
 * it. */
static void wait_trapped(struct task *t, struct task *c)
{
    struct waiter w;
    waiter_init_thread(&w, WAIT_ALL);
    waitq_add(&c->tg->stop_wait, &w);
    for (;;) {
        mutex_lock(&c->tg->sig_lock);
        bool is_trapping = c->ptrace->is_trapping;
        mutex_unlock(&c->tg->sig_lock);
        if (!is_trapping || is_dying(t))
            break;
        (void)park_uninterruptible(NO_DEADLINE);
    }
    waitq_del(&c->tg->stop_wait, &w);
}

static s64 attach(struct task *t, s32 pid, bool is_seize, u64 addr, u64 options)
{
    if (is_seize && (addr || (options & ~(u64)LX_PTRACE_O_MASK)))
        return -LX_EIO;
    struct task *c = task_find(task_pid_ns(t), pid);
    if (!c)
        return -LX_ESRCH;
    s64 r = c->tg == t->tg ? -LX_EPERM : ptrace_may_access(c, true);
    if (r == 0) {
        rwlock_wrlock(&task_lock);
        u32 state = atomic_load(&c->state);
        if (state == TASK_ZOMBIE || state == TASK_DEAD || c->is_exit_requested)
            r = -LX_EPERM;
        else
            r = ptrace_link(c, t, is_seize ? (u32)options : 0, is_seize);
        rwlock_wrunlock(&task_lock);
    }
    if (r == 0) {
        mutex_lock(&c->ptr_lock);
        if (c->mm)
            aspace_fastpath_off(c->mm->as, FASTPATH_OFF_TRACED, true);
        mutex_unlock(&c->ptr_lock);
        wait_trapped(t, c);
        if (!is_seize)
            (void)signal_send(c->tg, c, NULL, LX_SIGSTOP, SIGNAL_FORCE);
    }
    task_put(c);
    return r;
}

static s64 interrupt(struct task *c)
{
    if (!c->ptrace->is_seized)
        return -LX_EIO;
    mutex_lock(&c->tg->sig_lock);
    c->ptrace->is_trap_wanted = true;
    if (c->ptrace->is_listening)
        ptrace_resume_locked(c, RESUME_CONT, 0);
    task_kick(c);
    mutex_unlock(&c->tg->sig_lock);
    return 0;
}

static s64 listen(struct task *c)
{
    MUTEX_GUARD(&c->tg->sig_lock);
    if (!c->ptrace->is_seized || c->ptrace->code >> 8 != LX_PTRACE_EVENT_STOP)
        return -LX_EIO;
    c->ptrace->is_listening = true;
    if (c->ptrace->is_trap_wanted) /* something happened since it stopped: it says so */
        ptrace_resume_locked(c, RESUME_CONT, 0);
    return 0;
}

static s64 resume(struct task *c, enum ptrace_resume how, u64 signo)
{
    if (signo > LX_NSIG)
        return -LX_EIO;
    MUTEX_GUARD(&c->tg->sig_lock);
    ptrace_resume_locked(c, how, (int)signo);
    return 0;
}

static s64 detach(struct task *c, u64 signo)
{
    if (signo > LX_NSIG)
        return -LX_EIO;
    rwlock_wrlock(&task_lock);
    ptrace_detach_locked(c, (int)signo);
    rwlock_wrunlock(&task_lock);
    return 0;
}

/* Requests to a stopped, frozen tracee. */
static s64 request(struct task *c, s64 req, u64 addr, u64 data)
{
    switch (req) {
    case LX_PTRACE_PEEKTEXT:
    case LX_PTRACE_PEEKDATA:
        return peek(c, addr, data);
    case LX_PTRACE_POKETEXT:
    case LX_PTRACE_POKEDATA:
        return poke(c, addr, data);
    case LX_PTRACE_PEEKUSR:
        return peek_user(c, addr, data);
    case LX_PTRACE_POKEUSR:
        return poke_user(c, addr, data);
    case LX_PTRACE_GETREGS:
        return copy_out(uaddr(data), uctx_regs(c->uctx), USER_REGS_SIZE);
    case LX_PTRACE_SETREGS: {
        struct uregs regs;
        return copy_in(&regs, uaddr(data), sizeof(regs)) < 0 ? -LX_EIO : set_regs(c, &regs);
    }
    case LX_PTRACE_GETFPREGS:
        return MIN(get_fpregs(c, data, FXSAVE_SIZE), 0);
    case LX_PTRACE_SETFPREGS:
        return MIN(set_fpregs(c, data, FXSAVE_SIZE), 0);
    case LX_PTRACE_GETREGSET:
    case LX_PTRACE_SETREGSET:
        return regset(c, addr, data, req == LX_PTRACE_SETREGSET);
    case LX_PTRACE_OLDSETOPTIONS:
    case LX_PTRACE_SETOPTIONS:
        if (data & ~(u64)LX_PTRACE_O_MASK)
            return -LX_EINVAL;
        if (data & LX_PTRACE_O_SUSPEND_SECCOMP)
            return -LX_EPERM;
        c->ptrace->options = (u32)data;
        return 0;
    case LX_PTRACE_GETEVENTMSG:
        return put_user(c->ptrace->message, uaddr(data));
    case LX_PTRACE_GETSIGINFO:
        return get_siginfo(c, data);
    case LX_PTRACE_SETSIGINFO:
        return set_siginfo(c, data);
    case LX_PTRACE_GETSIGMASK:
    case LX_PTRACE_SETSIGMASK:
        return sigmask(c, addr, data, req == LX_PTRACE_SETSIGMASK);
    case LX_PTRACE_GET_SYSCALL_INFO:
        return syscall_info(c, addr, data);
    case LX_PTRACE_CONT:
        return resume(c, RESUME_CONT, data);
    case LX_PTRACE_SYSCALL:
        return resume(c, RESUME_SYSCALL, data);
    case LX_PTRACE_SINGLESTEP:
        return resume(c, RESUME_STEP, data);
    case LX_PTRACE_SYSEMU:
        return resume(c, RESUME_SYSEMU, data);
    case LX_PTRACE_SYSEMU_SINGLESTEP:
        return resume(c, RESUME_SYSEMU_STEP, data);
    case LX_PTRACE_DETACH:
        return detach(c, data);
    case LX_PTRACE_LISTEN:
        return listen(c);
    default:
        return -LX_EIO;
    }
}

s64 ptrace_call(struct task *t, s64 req, s32 pid, u64 addr, u64 data)
{
    if (req == LX_PTRACE_TRACEME)
        return trace_me(t);
    if (req == LX_PTRACE_ATTACH || req == LX_PTRACE_SEIZE)
        return attach(t, pid, req == LX_PTRACE_SEIZE, addr, data);
    struct task *c = find_tracee(t, pid);
    if (!c)
        return -LX_ESRCH;
    s64 r;
    if (req == LX_PTRACE_KILL) {
        r = signal_send(c->tg, c, NULL, LX_SIGKILL, SIGNAL_FORCE);
    } else if (req == LX_PTRACE_INTERRUPT) {
        r = interrupt(c);
    } else {
        r = freeze(c);
        if (r == 0) {
            r = request(c, req, addr, data);
            thaw(c);
        }
    }
    task_put(c);
    return r;
}
