/* Scheduling attributes: see sched.h. Permission rules follow sched(7), setpriority(2), ioprio_set(2). */
#include "kern/sched.h"

#include <sched.h>

#include "abi/sched.h"
#include "kern/futex.h"
#include "kern/host_info.h"
#include "kern/kern_int.h"
#include "kern/parts.h"

struct task *sched_find(struct task *t, s32 tid)
{
    if (tid != 0)
        return tid < 0 ? NULL : task_find(task_pid_ns(t), tid);
    task_get(t);
    return t;
}

static bool is_rt(u32 policy)
{
    return policy == LX_SCHED_FIFO || policy == LX_SCHED_RR;
}

s64 sched_priority_limit(int policy, bool is_max)
{
    switch (policy) {
    case LX_SCHED_FIFO:
    case LX_SCHED_RR:
        return is_max ? 99 : 1;
    case LX_SCHED_OTHER:
    case LX_SCHED_BATCH:
    case LX_SCHED_IDLE:
    case LX_SCHED_DEADLINE:
        return 0;
    default:
        return -LX_EINVAL;
    }
}

static bool is_same_owner(struct task *t, struct task *target)
{
    const struct cred *o = task_get_cred(target);
    bool is_same = t->cred->euid == o->euid || t->cred->euid == o->uid;
    cred_put(o);
    return is_same;
}

static bool has_nice_cap(struct task *target)
{
    const struct cred *o = task_get_cred(target);
    bool has = ns_capable(o->user_ns, LX_CAP_SYS_NICE);
    cred_put(o);
    return has;
}

static bool can_nice(struct task *target, s32 nice)
{
    return 20 - nice <= (s64)MIN(task_rlimit(target, LX_RLIMIT_NICE), 40UL);
}

/* True when the change needs no capability. */
static bool is_change_free(struct task *t, struct task *target, const struct sched_change *c)
{
    if (is_rt(c->policy)) {
        u64 limit = task_rlimit(target, LX_RLIMIT_RTPRIO);
        if (c->policy != target->sched_policy && limit == 0)
            return false;
        if (c->priority > target->sched_priority && c->priority > limit)
            return false;
    } else if (c->has_nice && c->nice < target->nice && !can_nice(target, c->nice)) {
        return false;
    }
    if (c->policy == LX_SCHED_DEADLINE)
        return false;
    if (target->sched_policy == LX_SCHED_IDLE && c->policy != LX_SCHED_IDLE &&
        !can_nice(target, target->nice))
        return false;
    if (target->is_sched_reset_on_fork && !c->is_reset_on_fork)
        return false;
    return is_same_owner(t, target);
}

int sched_change(struct task *t, s32 tid, const struct sched_change *change)
{
    struct sched_change c = *change;
    struct task *target = sched_find(t, tid);
    if (!target)
        return -LX_ESRCH;
    if (c.keeps_policy)
        c.policy = target->sched_policy;
    if (c.keeps_params) {
        c.priority = target->sched_priority;
        c.has_nice = false;
    }
    int r = 0;
    if (sched_priority_limit((int)c.policy, true) < 0 || (is_rt(c.policy) != (c.priority != 0)) ||
        c.priority > 99 || (c.policy == LX_SCHED_DEADLINE && !c.has_deadline))
        r = -LX_EINVAL;
    else if (!is_change_free(t, target, &c) && !has_nice_cap(target))
        r = -LX_EPERM;
    else if (c.policy == LX_SCHED_DEADLINE)
        r = -LX_EBUSY; /* there is no bandwidth that we could promise */
    if (r == 0) {
        MUTEX_GUARD(&target->tg->sig_lock);
        target->sched_policy = c.policy;
        target->sched_priority = c.priority;
        target->is_sched_reset_on_fork = c.is_reset_on_fork;
        if (c.has_nice && !is_rt(c.policy))
            target->nice = c.nice;
    }
    if (r == 0)
        futex_pi_reorder(target);
    task_put(target);
    return r;
}

/* ---- cpus ----------------------------------------------------------------------------------- */

static u64 all_cpus(void)
{
    return host_info.ncpus >= 64 ? UINT64_MAX : (1ULL << host_info.ncpus) - 1;
}

u64 sched_affinity(struct task *t)
{
    return t->affinity & all_cpus();
}

int sched_set_affinity(struct task *t, s32 tid, u64 guest_mask)
{
    struct task *target = sched_find(t, tid);
    if (!target)
        return -LX_ESRCH;
    int r = 0;
    u64 mask = guest_mask & all_cpus();
    if (!is_same_owner(t, target) && !has_nice_cap(target))
        r = -LX_EPERM;
    else if (!mask)
        r = -LX_EINVAL;
    if (r == 0) {
        MUTEX_GUARD(&target->ptr_lock);
        if (target->uctx)
            r = uctx_set_affinity(target->uctx, cpus_to_host(mask));
        if (r == 0)
            target->affinity = mask;
    }
    task_put(target);
    return r;
}

u32 sched_current_cpu(struct task *t)
{
    u64 mask = sched_affinity(t);
    int cpu = sched_getcpu();
    u64 here = cpu >= 0 && cpu < 64 ? cpus_to_guest(1ULL << cpu) : 0;
    return (u32)__builtin_ctzll(here & mask ? here & mask : mask);
}

/* ---- over processes, groups and users --------------------------------------------------------- */

typedef void (*each_fn)(struct task *t, void *arg);

static void each_of_group(struct tgroup *g, each_fn fn, void *arg)
{
    struct task *t;
    list_for_each(t, &g->tasks, tg_node)
        fn(t, arg);
}

static void each_of_user(struct task *t, u32 kuid, each_fn fn, void *arg) REQUIRES(task_lock)
{
    struct tgroup *g;
    struct task *o;
    list_for_each(g, &all_tgroups, all_node) {
        list_for_each(o, &g->tasks, tg_node) {
            const struct cred *c = task_get_cred(o);
            bool is_his = c->uid == kuid && task_tid_in(o, task_pid_ns(t)) != 0;
            cred_put(c);
            if (is_his)
                fn(o, arg);
        }
    }
}

/* which: PROCESS, PGRP, USER in this order from `first`. fn runs under task_lock. */
static int for_each(struct task *t, int which, s32 who, each_fn fn, void *arg)
{
    int r = 0;
    if (which == LX_PRIO_PROCESS) {
        struct task *target = sched_find(t, who);
        if (!target)
            return 0;
        rwlock_rdlock(&task_lock);
        fn(target, arg);
        rwlock_rdunlock(&task_lock);
        task_put(target);
        return 0;
    }
    rwlock_rdlock(&task_lock);
    if (which == LX_PRIO_PGRP) {
        struct pid *p = who ? pid_lookup(task_pid_ns(t), who) : t->tg->pgrp;
        struct tgroup *g;
        if (p)
            list_for_each(g, &p->pgrp_members, pgrp_node)
                each_of_group(g, fn, arg);
    } else if (which == LX_PRIO_USER) {
        u32 kuid = who ? make_kuid(t->cred->user_ns, (u32)who) : t->cred->uid;
        if (kuid != UINT32_MAX)
            each_of_user(t, kuid, fn, arg);
    } else {
        r = -LX_EINVAL;
    }
    rwlock_rdunlock(&task_lock);
    return r;
}

struct prio_arg {
    struct task *self;
    s64 result;
    s32 nice;
    u32 ioprio;
    bool is_raw;
};

static void get_one(struct task *t, void *arg)
{
    struct prio_arg *a = arg;
    a->result = MAX(a->result, (s64)20 - t->nice);
}

s64 prio_get(struct task *t, int which, s32 who)
{
    struct prio_arg a = {.self = t, .result = -LX_ESRCH};
    int r = for_each(t, which, who, get_one, &a);
    return r < 0 ? r : a.result;
}

static void set_one(struct task *t, void *arg)
{
    struct prio_arg *a = arg;
    const struct cred *c = a->self->cred, *o = task_get_cred(t);
    bool is_his = o->uid == c->euid || o->euid == c->euid;
    bool has_cap = ns_capable(o->user_ns, LX_CAP_SYS_NICE);
    cred_put(o);
    if (!is_his && !has_cap) {
        a->result = -LX_EPERM;
    } else if (a->nice < t->nice && !can_nice(t, a->nice) && !has_cap) {
        a->result = -LX_EACCES;
    } else {
        if (a->result == -LX_ESRCH)
            a->result = 0;
        t->nice = a->nice;
    }
}

int prio_set(struct task *t, int which, s32 who, s32 nice)
{
    struct prio_arg a = {.self = t, .result = -LX_ESRCH, .nice = MIN(MAX(nice, LX_PRIO_MIN), 19)};
    int r = for_each(t, which, who, set_one, &a);
    return r < 0 ? r : (int)a.result;
}

/* ---- I/O priorities --------------------------------------------------------------------------- */

#define IOPRIO_CLASS(v) ((v) >> LX_IOPRIO_CLASS_SHIFT)
enum { IOCLASS_NONE, IOCLASS_RT, IOCLASS_BE, IOCLASS_IDLE };

static void ioget_one(struct task *t, void *arg)
{
    struct prio_arg *a = arg;
    s64 v = t->ioprio;
    /* Without one of its own, what the nice value stands for; a single thread's is shown as set. */
    if (!a->is_raw && IOPRIO_CLASS(v) == IOCLASS_NONE)
        v = IOCLASS_BE << LX_IOPRIO_CLASS_SHIFT | (t->nice + 20) / 5;
    a->result = a->result < 0 ? v : MIN(a->result, v);
}

s64 ioprio_get(struct task *t, int which, s32 who)
{
    struct prio_arg a = {.self = t, .result = -LX_ESRCH, .is_raw = which == 1};
    int r = for_each(t, which - 1, who, ioget_one, &a); /* IOPRIO_WHO_* begin at 1 */
    return r < 0 ? r : a.result;
}

static void ioset_one(struct task *t, void *arg)
{
    struct prio_arg *a = arg;
    const struct cred *c = a->self->cred, *o = task_get_cred(t);
    bool is_his = o->uid == c->euid || o->uid == c->uid;
    bool has_cap = ns_capable(&root_user_ns, LX_CAP_SYS_NICE);
    cred_put(o);
    if (!is_his && !has_cap) {
        a->result = -LX_EPERM;
        return;
    }
    if (a->result == -LX_ESRCH)
        a->result = 0;
    t->ioprio = a->ioprio;
}

int ioprio_set(struct task *t, int which, s32 who, u32 ioprio)
{
    u32 class = IOPRIO_CLASS(ioprio), level = ioprio & LX_IOPRIO_LEVEL_MASK;
    if (ioprio > UINT16_MAX || class > IOCLASS_IDLE || (class == IOCLASS_NONE && level))
        return -LX_EINVAL;
    if (class == IOCLASS_RT && !ns_capable(&root_user_ns, LX_CAP_SYS_NICE) &&
        !ns_capable(&root_user_ns, LX_CAP_SYS_ADMIN))
        return -LX_EPERM;
    struct prio_arg a = {.self = t, .result = -LX_ESRCH, .ioprio = ioprio};
    int r = for_each(t, which - 1, who, ioset_one, &a);
    return r < 0 ? r : (int)a.result;
}
