/* Handlers: signals. */
#include <string.h>

#include "abi/time.h"
#include "kern/kern_int.h"
#include "kern/kill.h"
#include "kern/time.h"
#include "sys/sys.h"

static bool is_sigset_size(u64 size)
{
    return size == sizeof(sigset_lx);
}

s64 sys_rt_sigaction(struct task *t, const u64 a[6])
{
    struct lx_sigaction act, old;
    if (!is_sigset_size(a[3]))
        return -LX_EINVAL;
    if (a[1] && copy_in(&act, uaddr(a[1]), sizeof(act)) < 0)
        return -LX_EFAULT;
    int r = signal_set_action(t, (int)a[0], a[1] ? &act : NULL, &old);
    if (r == 0 && a[2])
        r = copy_out(uaddr(a[2]), &old, sizeof(old));
    return r;
}

s64 sys_rt_sigprocmask(struct task *t, const u64 a[6])
{
    sigset_lx set, old = t->blocked;
    if (!is_sigset_size(a[3]))
        return -LX_EINVAL;
    if (a[1]) {
        if (get_user(set, uaddr(a[1])) < 0)
            return -LX_EFAULT;
        switch ((int)a[0]) {
        case LX_SIG_BLOCK:
            set |= old;
            break;
        case LX_SIG_UNBLOCK:
            set = old & ~set;
            break;
        case LX_SIG_SETMASK:
            break;
        default:
            return -LX_EINVAL;
        }
        set &= ~SIGMASK_UNBLOCKABLE;
        if (set != old)
            signal_set_blocked(t, set);
    }
    return a[2] ? put_user(old, uaddr(a[2])) : 0;
}

s64 sys_rt_sigreturn(struct task *t, const u64 a[6])
{
    return sigframe_return(t);
}

s64 sys_rt_sigpending(struct task *t, const u64 a[6])
{
    if (a[1] > sizeof(sigset_lx))
        return -LX_EINVAL;
    sigset_lx set = signal_pending_set(t) & t->blocked;
    return copy_out(uaddr(a[0]), &set, a[1]);
}

s64 sys_rt_sigtimedwait(struct task *t, const u64 a[6])
{
    sigset_lx these;
    struct lx_siginfo info;
    s64 timeout_ns = -1;
    if (!is_sigset_size(a[3]))
        return -LX_EINVAL;
    if (get_user(these, uaddr(a[0])) < 0)
        return -LX_EFAULT;
    if (a[2]) {
        int r = copy_in_timespec(uaddr(a[2]), &timeout_ns);
        if (r < 0)
            return r;
    }
    s64 deadline = timeout_ns == 0 ? 0 : deadline_after_ns(timeout_ns);
    int signo = signal_wait(t, these, deadline, &info);
    if (signo > 0 && a[1] && copy_out(uaddr(a[1]), &info, sizeof(info)) < 0)
        return -LX_EFAULT;
    return signo;
}

s64 sys_rt_sigsuspend(struct task *t, const u64 a[6])
{
    sigset_lx mask;
    if (!is_sigset_size(a[1]))
        return -LX_EINVAL;
    if (get_user(mask, uaddr(a[0])) < 0)
        return -LX_EFAULT;
    signal_set_temporary_mask(t, mask);
    while (!signal_is_pending(t)) {
        if (park_interruptible(NO_DEADLINE) < 0)
            break;
    }
    return -LX_ERESTARTNOHAND;
}

s64 sys_pause(struct task *t, const u64 a[6])
{
    while (park_interruptible(NO_DEADLINE) == 0)
        ;
    return -LX_ERESTARTNOHAND;
}

s64 sys_restart_syscall(struct task *t, const u64 a[6])
{
    if (!t->restart.fn)
        return -LX_EINTR;
    return t->restart.fn(t, &t->restart);
}

s64 sys_sigaltstack(struct task *t, const u64 a[6])
{
    struct lx_stack ss, old;
    u64 sp = uctx_regs(t->uctx)->rsp;
    if (a[0] && copy_in(&ss, uaddr(a[0]), sizeof(ss)) < 0)
        return -LX_EFAULT;
    altstack_get(t, sp, &old);
    if (a[0]) {
        int r = altstack_set(t, sp, &ss, KERNEL_MINSIGSTKSZ);
        if (r < 0)
            return r;
    }
    return a[1] ? copy_out(uaddr(a[1]), &old, sizeof(old)) : 0;
}

/* ---- sending ------------------------------------------------------------------------------- */

s64 sys_kill(struct task *t, const u64 a[6])
{
    struct lx_siginfo info;
    signal_info_user(&info, (int)a[1], LX_SI_USER);
    return kill_pid(t, (s32)a[0], (int)a[1], &info);
}

static s64 do_tkill(struct task *t, s32 tgid, s32 tid, int signo)
{
    struct lx_siginfo info;
    signal_info_user(&info, signo, LX_SI_TKILL);
    return kill_thread(t, tgid, tid, signo, &info);
}

s64 sys_tkill(struct task *t, const u64 a[6])
{
    if ((s32)a[0] <= 0)
        return -LX_EINVAL;
    return do_tkill(t, 0, (s32)a[0], (int)a[1]);
}

s64 sys_tgkill(struct task *t, const u64 a[6])
{
    if ((s32)a[0] <= 0 || (s32)a[1] <= 0)
        return -LX_EINVAL;
    return do_tkill(t, (s32)a[0], (s32)a[1], (int)a[2]);
}

/* A guest may not pretend to be the kernel or kill(2) towards others. */
static s64 read_siginfo(u64 addr, int signo, bool is_self, struct lx_siginfo *ret)
{
    if (copy_in(ret, uaddr(addr), sizeof(*ret)) < 0)
        return -LX_EFAULT;
    ret->si_signo = signo;
    if ((ret->si_code >= 0 || ret->si_code == LX_SI_TKILL) && !is_self)
        return -LX_EPERM;
    return 0;
}

s64 sys_rt_sigqueueinfo(struct task *t, const u64 a[6])
{
    struct lx_siginfo info;
    s32 pid = (s32)a[0];
    s64 r = read_siginfo(a[2], (int)a[1], pid == task_tid_in(t, task_pid_ns(t)), &info);
    if (r < 0)
        return r;
    return pid > 0 ? kill_pid(t, pid, (int)a[1], &info) : -LX_ESRCH;
}

s64 sys_rt_tgsigqueueinfo(struct task *t, const u64 a[6])
{
    struct lx_siginfo info;
    s32 tid = (s32)a[1];
    if ((s32)a[0] <= 0 || tid <= 0)
        return -LX_EINVAL;
    s64 r = read_siginfo(a[3], (int)a[2], tid == task_tid_in(t, task_pid_ns(t)), &info);
    return r < 0 ? r : kill_thread(t, (s32)a[0], tid, (int)a[2], &info);
}
