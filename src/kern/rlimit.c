/* Resource limits: defaults, reading and changing. Their enforcement is where the resource is. */
#include "kern/rlimit.h"

#include "abi/sched.h"
#include "kern/host_info.h"
#include "kern/parts.h"
#include "kern/timer.h"

#define NR_OPEN_MAX 1048576UL

void rlimits_default(struct lx_rlimit *l)
{
    u64 nthreads = host_info.mem_total / (8 * 16384); /* as Linux sizes it by memory */
    nthreads = MIN(MAX(nthreads / 2, 1024UL), 63000UL);
    for (int i = 0; i < LX_RLIM_NLIMITS; i++)
        l[i] = (struct lx_rlimit){UINT64_MAX, UINT64_MAX};
    l[LX_RLIMIT_STACK].cur = 8UL << 20;
    l[LX_RLIMIT_CORE].cur = 0;
    l[LX_RLIMIT_NPROC] = (struct lx_rlimit){nthreads, nthreads};
    l[LX_RLIMIT_NOFILE] = (struct lx_rlimit){1024, 1048576};
    l[LX_RLIMIT_MEMLOCK] = (struct lx_rlimit){8UL << 20, 8UL << 20};
    l[LX_RLIMIT_SIGPENDING] = (struct lx_rlimit){nthreads, nthreads};
    l[LX_RLIMIT_MSGQUEUE] = (struct lx_rlimit){819200, 819200};
    l[LX_RLIMIT_NICE] = (struct lx_rlimit){0, 0};
    l[LX_RLIMIT_RTPRIO] = (struct lx_rlimit){0, 0};
}

u64 task_rlimit(struct task *t, int which)
{
    MUTEX_GUARD(&t->tg->limits_lock);
    return t->tg->rlimits[which].cur;
}

/* May the current task look at and change the limits of a thread of another process? */
static int may_change(struct task *t, struct task *target)
{
    const struct cred *c = t->cred, *o = task_get_cred(target);
    bool is_same = c->uid == o->euid && c->uid == o->suid && c->uid == o->uid &&
                   c->gid == o->egid && c->gid == o->sgid && c->gid == o->gid;
    int r = is_same || ns_capable(o->user_ns, LX_CAP_SYS_RESOURCE) ? 0 : -LX_EPERM;
    cred_put(o);
    return r;
}

/* What the vfs and mm keep copies of. Another process's threads see new file limits at once too:
 * the words are independent, and a call that races sees either. */
static void publish_task(struct task *t, void *arg)
{
    const struct lx_rlimit *l = arg;
    t->vt.rlimit_fsize = l[LX_RLIMIT_FSIZE].cur;
    t->vt.rlimit_nofile = l[LX_RLIMIT_NOFILE].cur;
}

static void publish(struct tgroup *g)
{
    struct lx_rlimit l[LX_RLIM_NLIMITS];
    struct mm *mm = task_get_mm(g->leader);
    {
        MUTEX_GUARD(&g->limits_lock);
        for (int i = 0; i < LX_RLIM_NLIMITS; i++)
            l[i] = g->rlimits[i];
    }
    tgroup_for_each_task(g, publish_task, l);
    if (mm && !g->is_mm_sharer) {
        MUTEX_GUARD(&mm->lock);
        mm->limits.as = l[LX_RLIMIT_AS].cur;
        mm->limits.data = l[LX_RLIMIT_DATA].cur;
        mm->limits.stack = l[LX_RLIMIT_STACK].cur;
        if (mm->limits.memlock != UINT64_MAX || l[LX_RLIMIT_MEMLOCK].cur == UINT64_MAX)
            mm->limits.memlock = l[LX_RLIMIT_MEMLOCK].cur; /* else: CAP_IPC_LOCK */
    }
    if (mm)
        mm_put(mm);
}

int rlimit_change(struct task *t, struct tgroup *g, u32 which, const struct lx_rlimit *new_limit,
                  struct lx_rlimit *ret_old)
{
    if (which >= LX_RLIM_NLIMITS)
        return -LX_EINVAL;
    if (new_limit) {
        if (new_limit->cur > new_limit->max)
            return -LX_EINVAL;
        if (which == LX_RLIMIT_NOFILE && new_limit->max > NR_OPEN_MAX)
            return -LX_EPERM;
    }
    bool can_raise = new_limit && ns_capable(&root_user_ns, LX_CAP_SYS_RESOURCE);
    {
        MUTEX_GUARD(&g->limits_lock);
        struct lx_rlimit *l = &g->rlimits[which];
        *ret_old = *l;
        if (!new_limit)
            return 0;
        if (new_limit->max > l->max && !can_raise)
            return -LX_EPERM;
        *l = *new_limit;
    }
    publish(g);
    if (which == LX_RLIMIT_CPU)
        cpu_limit_changed(g);
    return 0;
}

int rlimit_of_pid(struct task *t, s32 pid, u32 which, const struct lx_rlimit *new_limit,
                  struct lx_rlimit *ret_old)
{
    if (pid == 0)
        return rlimit_change(t, t->tg, which, new_limit, ret_old);
    struct task *target = task_find(task_pid_ns(t), pid);
    if (!target)
        return -LX_ESRCH;
    int r = target->tg == t->tg ? 0 : may_change(t, target);
    if (r == 0)
        r = rlimit_change(t, target->tg, which, new_limit, ret_old);
    task_put(target);
    return r;
}
