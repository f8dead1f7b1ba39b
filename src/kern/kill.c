/* kill(2) and kin. */
#include "kern/kill.h"

#include "vfs/landlock.h"

/* As kill(2)'s "Permission" says; si_code from a kernel source needs none. */
static bool may_signal(struct task *t, struct tgroup *g, int signo)
{
    if (g == t->tg)
        return true;
    const struct cred *own = t->cred;
    mutex_lock(&g->sig_lock);
    const struct cred *c = g->leader->cred;
    struct user_ns *uns = c->user_ns;
    bool is_ok = own->euid == c->suid || own->euid == c->uid || own->uid == c->suid ||
                 own->uid == c->uid;
    is_ok = is_ok || ns_capable(uns, LX_CAP_KILL) ||
            (signo == LX_SIGCONT && g->session == t->tg->session);
    if (landlock_is_scoped(own->domain, c->domain, LL_SCOPE_SIGNAL))
        is_ok = false;
    mutex_unlock(&g->sig_lock);
    return is_ok;
}

/* Under task_lock. */
static s64 send_checked(struct task *t, struct tgroup *g, struct task *target, int signo,
                        const struct lx_siginfo *info)
{
    if (signo < 0 || signo > LX_NSIG)
        return -LX_EINVAL;
    if (!may_signal(t, g, signo))
        return -LX_EPERM;
    return signo ? signal_send(g, target, info, signo, 0) : 0;
}

static s64 kill_pgrp(struct task *t, struct pid *pgrp, int signo, const struct lx_siginfo *info)
{
    s64 r = -LX_ESRCH;
    bool is_sent = false;
    struct tgroup *g;
    list_for_each(g, &pgrp->pgrp_members, pgrp_node) {
        g->pgrp_signal_seq++;
        s64 one = send_checked(t, g, NULL, signo, info);
        if (one == 0)
            is_sent = true;
        else
            r = one;
    }
    return is_sent ? 0 : r;
}

/* kill(-1): everybody that can be signalled but pid 1 and the caller. */
static s64 kill_all(struct task *t, int signo, const struct lx_siginfo *info)
{
    struct pid_ns *ns = task_pid_ns(t);
    struct tgroup *g;
    s64 r = 0;
    u32 count = 0;
    list_for_each(g, &all_tgroups, all_node) {
        if (g == t->tg || tgroup_pid_in(g, ns) <= 1)
            continue;
        count++;
        g->pgrp_signal_seq++;
        s64 one = send_checked(t, g, NULL, signo, info);
        if (one != -LX_EPERM)
            r = one;
    }
    return count ? r : -LX_ESRCH;
}

s64 kill_pid(struct task *t, s32 pid, int signo, const struct lx_siginfo *info)
{
    struct pid_ns *ns = task_pid_ns(t);
    s64 r = -LX_ESRCH;
    if (pid == INT32_MIN)
        return -LX_ESRCH;
    rwlock_rdlock(&task_lock);
    if (pid > 0) {
        struct pid *p = pid_lookup(ns, pid);
        struct tgroup *g = p ? (p->tgroup ? p->tgroup : p->task ? p->task->tg : NULL) : NULL;
        if (g)
            r = send_checked(t, g, NULL, signo, info);
    } else if (pid == -1) {
        r = kill_all(t, signo, info);
    } else {
        struct pid *p = pid == 0 ? t->tg->pgrp : pid_lookup(ns, -pid);
        if (p)
            r = kill_pgrp(t, p, signo, info);
    }
    rwlock_rdunlock(&task_lock);
    return r;
}

s64 kill_thread(struct task *t, s32 tgid, s32 tid, int signo, const struct lx_siginfo *info)
{
    struct pid_ns *ns = task_pid_ns(t);
    s64 r = -LX_ESRCH;
    rwlock_rdlock(&task_lock);
    struct pid *p = pid_lookup(ns, tid);
    if (p && p->task && (tgid == 0 || tgroup_pid_in(p->task->tg, ns) == tgid))
        r = send_checked(t, p->task->tg, p->task, signo, info);
    rwlock_rdunlock(&task_lock);
    return r;
}

s64 kill_struct_pid(struct task *t, struct pid *p, enum kill_scope scope, int signo,
                    const struct lx_siginfo *info)
{
    s64 r = -LX_ESRCH;
    rwlock_rdlock(&task_lock);
    if (scope == KILL_THREAD && p->task)
        r = send_checked(t, p->task->tg, p->task, signo, info);
    else if (scope == KILL_PROCESS && p->tgroup)
        r = send_checked(t, p->tgroup, NULL, signo, info);
    else if (scope == KILL_PGRP)
        r = kill_pgrp(t, p, signo, info);
    rwlock_rdunlock(&task_lock);
    return r;
}
