/* Handlers: futexes. */
#include "kern/futex.h"
#include "kern/parts.h"
#include "sys/sys.h"

#define ROBUST_HEAD_SIZE 24

s64 sys_futex(struct task *t, const u64 a[6])
{
    return futex_call(t, a);
}

s64 sys_futex_wake(struct task *t, const u64 a[6])
{
    return futex2_wake(t, a[0], a[1], (s32)a[2], (u32)a[3]);
}

s64 sys_futex_wait(struct task *t, const u64 a[6])
{
    return futex2_wait(t, a);
}

s64 sys_futex_waitv(struct task *t, const u64 a[6])
{
    return futex2_waitv(t, a);
}

s64 sys_futex_requeue(struct task *t, const u64 a[6])
{
    return futex2_requeue(t, uaddr(a[0]), (u32)a[1], (s32)a[2], (s32)a[3]);
}

s64 sys_set_robust_list(struct task *t, const u64 a[6])
{
    if (a[1] != ROBUST_HEAD_SIZE)
        return -LX_EINVAL;
    t->robust_list = a[0];
    return 0;
}

s64 sys_get_robust_list(struct task *t, const u64 a[6])
{
    u64 head = t->robust_list, size = ROBUST_HEAD_SIZE;
    if ((s32)a[0] != 0) {
        struct task *o = task_find(task_pid_ns(t), (s32)a[0]);
        if (!o)
            return -LX_ESRCH;
        int r = ptrace_may_access(o, false);
        head = __atomic_load_n(&o->robust_list, __ATOMIC_RELAXED);
        task_put(o);
        if (r < 0)
            return -LX_EPERM;
    }
    int r = put_user(size, uaddr(a[2]));
    return r < 0 ? r : put_user(head, uaddr(a[1]));
}
