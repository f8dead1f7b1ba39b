/* Handlers: scheduling, cpus, priorities. */
#include "kern/sched.h"

#include <sched.h>
#include <string.h>

#include "abi/sched.h"
#include "kern/host_info.h"
#include "kern/time.h"
#include "sys/sys.h"

#define RESET_ON_FORK ((u32)LX_SCHED_RESET_ON_FORK)

s64 sys_sched_yield(struct task *t, const u64 a[6])
{
    sched_yield();
    return 0;
}

static s64 set_policy(struct task *t, s32 tid, u32 policy, bool keeps_policy, uaddr_t param)
{
    s32 priority;
    if (tid < 0 || !param.v)
        return -LX_EINVAL;
    int r = get_user(priority, param);
    if (r < 0)
        return r;
    struct sched_change c = {.policy = policy & ~RESET_ON_FORK,
                             .priority = (u32)priority,
                             .is_reset_on_fork = policy & RESET_ON_FORK,
                             .keeps_policy = keeps_policy};
    if (keeps_policy) {
        struct task *o = sched_find(t, tid);
        if (!o)
            return -LX_ESRCH;
        c.is_reset_on_fork = o->is_sched_reset_on_fork;
        task_put(o);
    }
    return sched_change(t, tid, &c);
}

s64 sys_sched_setscheduler(struct task *t, const u64 a[6])
{
    if ((s32)a[1] < 0)
        return -LX_EINVAL;
    return set_policy(t, (s32)a[0], (u32)a[1], false, uaddr(a[2]));
}

s64 sys_sched_setparam(struct task *t, const u64 a[6])
{
    return set_policy(t, (s32)a[0], 0, true, uaddr(a[1]));
}

s64 sys_sched_getscheduler(struct task *t, const u64 a[6])
{
    if ((s32)a[0] < 0)
        return -LX_EINVAL;
    struct task *o = sched_find(t, (s32)a[0]);
    if (!o)
        return -LX_ESRCH;
    s64 r = o->sched_policy | (o->is_sched_reset_on_fork ? RESET_ON_FORK : 0);
    task_put(o);
    return r;
}

s64 sys_sched_getparam(struct task *t, const u64 a[6])
{
    if ((s32)a[0] < 0 || !a[1])
        return -LX_EINVAL;
    struct task *o = sched_find(t, (s32)a[0]);
    if (!o)
        return -LX_ESRCH;
    s32 priority = (s32)o->sched_priority;
    task_put(o);
    return put_user(priority, uaddr(a[1]));
}

s64 sys_sched_get_priority_max(struct task *t, const u64 a[6])
{
    return sched_priority_limit((int)a[0], true);
}

s64 sys_sched_get_priority_min(struct task *t, const u64 a[6])
{
    return sched_priority_limit((int)a[0], false);
}

s64 sys_sched_rr_get_interval(struct task *t, const u64 a[6])
{
    if ((s32)a[0] < 0)
        return -LX_EINVAL;
    struct task *o = sched_find(t, (s32)a[0]);
    if (!o)
        return -LX_ESRCH;
    s64 ns = o->sched_policy == LX_SCHED_RR     ? 100 * NSEC_PER_MSEC
             : o->sched_policy == LX_SCHED_FIFO ? 0
                                                : 4 * NSEC_PER_MSEC;
    task_put(o);
    return copy_out_timespec(uaddr(a[1]), ns);
}

struct lx_sched_attr {
    u32 size, policy;
    u64 flags;
    s32 nice;
    u32 priority;
    u64 runtime, deadline, period;
    u32 util_min, util_max;
};
_Static_assert(sizeof(struct lx_sched_attr) == LX_SCHED_ATTR_SIZE_VER1, "sched_attr");

/* The size field says how much the caller knows; on E2BIG it is told what we know. */
static int copy_in_attr(struct lx_sched_attr *attr, uaddr_t from)
{
    u32 size;
    int r = get_user(size, from);
    if (r < 0)
        return r;
    if (size == 0)
        size = LX_SCHED_ATTR_SIZE_VER0;
    if (size < LX_SCHED_ATTR_SIZE_VER0 || size > PAGE_SIZE)
        r = -LX_E2BIG;
    else
        r = copy_in_struct(attr, sizeof(*attr), from, size);
    if (r == -LX_E2BIG) {
        u32 known = sizeof(*attr);
        if (put_user(known, from) < 0)
            return -LX_EFAULT;
    }
    if (r == 0 && size < LX_SCHED_ATTR_SIZE_VER1 && (attr->flags & LX_SCHED_FLAG_UTIL_CLAMP))
        r = -LX_EINVAL;
    return r;
}

s64 sys_sched_setattr(struct task *t, const u64 a[6])
{
    struct lx_sched_attr attr;
    if (!a[1] || (s32)a[0] < 0 || (u32)a[2] != 0)
        return -LX_EINVAL;
    int r = copy_in_attr(&attr, uaddr(a[1]));
    if (r < 0)
        return r;
    if ((s32)attr.policy < 0 || (attr.flags & ~(u64)LX_SCHED_FLAG_ALL))
        return -LX_EINVAL;
    if (attr.flags & LX_SCHED_FLAG_UTIL_CLAMP)
        return -LX_EOPNOTSUPP; /* as a kernel without utilisation clamping */
    struct sched_change c = {.policy = attr.policy,
                             .priority = attr.priority,
                             .nice = MIN(MAX(attr.nice, LX_PRIO_MIN), 19),
                             .has_nice = true,
                             .is_reset_on_fork = attr.flags & LX_SCHED_FLAG_RESET_ON_FORK,
                             .keeps_policy = attr.flags & LX_SCHED_FLAG_KEEP_POLICY,
                             .keeps_params = attr.flags & LX_SCHED_FLAG_KEEP_PARAMS,
                             .has_deadline = attr.runtime >= 1024 && attr.deadline >= attr.runtime &&
                                             attr.deadline <= INT64_MAX &&
                                             (!attr.period || attr.period >= attr.deadline)};
    return sched_change(t, (s32)a[0], &c);
}

s64 sys_sched_getattr(struct task *t, const u64 a[6])
{
    u32 size = (u32)a[2];
    if (!a[1] || (s32)a[0] < 0 || size < LX_SCHED_ATTR_SIZE_VER0 || size > PAGE_SIZE || (u32)a[3])
        return -LX_EINVAL;
    struct task *o = sched_find(t, (s32)a[0]);
    if (!o)
        return -LX_ESRCH;
    struct lx_sched_attr attr = {
        .size = MIN(size, (u32)sizeof(attr)),
        .policy = o->sched_policy,
        .flags = o->is_sched_reset_on_fork ? LX_SCHED_FLAG_RESET_ON_FORK : 0,
        .priority = o->sched_priority,
        .nice = o->sched_priority ? 0 : o->nice,
    };
    task_put(o);
    return copy_out(uaddr(a[1]), &attr, attr.size);
}

/* ---- cpus ------------------------------------------------------------------------------------ */

s64 sys_sched_setaffinity(struct task *t, const u64 a[6])
{
    u64 mask = 0;
    int r = copy_in(&mask, uaddr(a[2]), MIN(a[1], sizeof(mask)));
    if (r < 0)
        return r;
    return (s32)a[0] < 0 ? -LX_ESRCH : sched_set_affinity(t, (s32)a[0], mask);
}

s64 sys_sched_getaffinity(struct task *t, const u64 a[6])
{
    if (a[1] * 8 < host_info.ncpus || a[1] % sizeof(u64) != 0)
        return -LX_EINVAL;
    struct task *o = (s32)a[0] < 0 ? NULL : sched_find(t, (s32)a[0]);
    if (!o)
        return -LX_ESRCH;
    u64 mask = sched_affinity(o);
    task_put(o);
    int r = put_user(mask, uaddr(a[2]));
    return r < 0 ? r : (s64)sizeof(mask);
}

s64 sys_getcpu(struct task *t, const u64 a[6])
{
    u32 cpu = sched_current_cpu(t), node = 0;
    int r = a[0] ? put_user(cpu, uaddr(a[0])) : 0;
    return r == 0 && a[1] ? put_user(node, uaddr(a[1])) : r;
}

/* ---- priorities ------------------------------------------------------------------------------ */

s64 sys_getpriority(struct task *t, const u64 a[6])
{
    return prio_get(t, (int)a[0], (s32)a[1]);
}

s64 sys_setpriority(struct task *t, const u64 a[6])
{
    return prio_set(t, (int)a[0], (s32)a[1], (s32)a[2]);
}

s64 sys_ioprio_get(struct task *t, const u64 a[6])
{
    return ioprio_get(t, (int)a[0], (s32)a[1]);
}

s64 sys_ioprio_set(struct task *t, const u64 a[6])
{
    return ioprio_set(t, (int)a[0], (s32)a[1], (u32)a[2]);
}
