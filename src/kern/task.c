/*
 * Tasks and thread groups as objects: making, references, freeing, and what
 * of them is published to the vfs and to the stub.
 *
 * Ownership
 *   A group's list of tasks owns one reference of each task; the group owns its
 *   leader for as long as it exists. Every other reference of a task also
 *   counts for its group (task_get), so that t->tg never dangles. The list
 *   all_tgroups owns one reference of each group, which reaping drops.
 */
#include "kern/kern_int.h"
#include "kern/keys.h"

#include <stdlib.h>
#include <string.h>

#include "abi/nr.h"
#include "base/log.h"
#include "fs/tty.h"
#include "kern/seccomp.h"
#include "vfs/task_ops.h"

struct rwlock task_lock = RWLOCK_INIT("task_lock");
struct list all_tgroups = LIST_INIT(all_tgroups);
struct kern_hooks kern_hooks;

static _Thread_local struct task *current_task;

struct task *task_current(void)
{
    return current_task;
}

static void send_signal_current(int signo)
{
    struct task *t = current_task;
    struct lx_siginfo info;
    if (!t)
        return;
    /* As from the task itself: SIGPIPE and SIGXFSZ are answers to its own calls. */
    signal_info_user(&info, signo, LX_SI_USER);
    (void)signal_send(t->tg, t, &info, signo, 0);
}

void task_set_current(struct task *t)
{
    current_task = t;
    parker_set_self(t ? &t->parker : NULL);
    vfs_current = t ? &t->vt : NULL;
    mm_use(t ? t->mm : NULL, t ? t->uctx : NULL);
}

/* ---- signal actions ------------------------------------------------------------------------ */

struct sighand *sighand_new(void)
{
    struct sighand *s = calloc(1, sizeof(*s));
    if (!s)
        return NULL;
    ref_init(&s->ref);
    mutex_init(&s->lock, "sighand");
    return s;
}

void sighand_put(struct sighand *s)
{
    if (s && ref_put(&s->ref))
        free(s);
}

/* ---- objects ------------------------------------------------------------------------------- */

struct task *task_alloc(void)
{
    struct task *t = calloc(1, sizeof(*t));
    if (!t)
        return NULL;
    ref_init(&t->ref);
    list_init(&t->tg_node);
    list_init(&t->tracees);
    parker_init(&t->parker);
    mutex_init(&t->ptr_lock, "task_ptr");
    sigpending_init(&t->pending);
    t->altstack.flags = LX_SS_DISABLE;
    t->cur_nr = LX_NR_COUNT;
    t->affinity = UINT64_MAX;
    t->timer_slack_ns = 50000;
    t->vt.send_signal = send_signal_current;
    t->vt.task = t;
    return t;
}

struct tgroup *tgroup_alloc(void)
{
    struct tgroup *g = calloc(1, sizeof(*g));
    if (!g)
        return NULL;
    ref_init(&g->ref);
    list_init(&g->pgrp_node);
    list_init(&g->session_node);
    list_init(&g->all_node);
    list_init(&g->tasks);
    list_init(&g->children);
    list_init(&g->sibling);
    waitq_init(&g->child_wait);
    waitq_init(&g->sigfd_wait);
    waitq_init(&g->stop_wait);
    mutex_init(&g->sig_lock, "sig_lock");
    mutex_init(&g->limits_lock, "rlimits");
    sigpending_init(&g->shared);
    g->exit_signal = LX_SIGCHLD;
    return g;
}

int task_count_in(struct task *t, struct task_limits *l)
{
    if (!l)
        return 0;
    if (atomic_fetch_add(&l->ntasks, 1) >= atomic_load(&l->max_tasks)) {
        atomic_fetch_sub(&l->ntasks, 1);
        return -LX_EAGAIN;
    }
    t->counted = l;
    return 0;
}

void task_uncount(struct task *t)
{
    struct task_limits *l = take_ptr(t->counted);
    if (l)
        atomic_fetch_sub(&l->ntasks, 1);
    if (t->is_user_counted)
        atomic_fetch_sub(&t->user->ntasks, 1);
    t->is_user_counted = false;
}

/* Frees the memory; everything that it held while it ran is gone already or goes now. */
static void task_free(struct task *t)
{
    task_drop_resources(t, true);
    signal_flush(&t->pending, UINT64_MAX);
    vfork_release(t);
    seccomp_put(t->seccomp);
    free(t->ptrace);
    keys_task_free(t);
    cred_put(t->cred);
    task_uncount(t);
    if (t->user && atomic_load(&t->user->ntasks) == 0)
        keys_user_left(t->user);
    user_put(t->user);
    pid_put(t->pid);
    free(t);
}

void task_get(struct task *t)
{
    ref_get(&t->ref);
    ref_get(&t->tg->ref);
}

void task_put(struct task *t)
{
    if (!t)
        return;
    struct tgroup *g = t->tg;
    if (ref_put(&t->ref))
        task_free(t);
    tgroup_put(g);
}

void task_put_base(struct task *t)
{
    if (t && ref_put(&t->ref))
        task_free(t);
}

void tgroup_get(struct tgroup *g)
{
    ref_get(&g->ref);
}

void tgroup_put(struct tgroup *g)
{
    if (!g || !ref_put(&g->ref))
        return;
    task_put_base(g->leader);
    signal_flush(&g->shared, UINT64_MAX);
    if (g->timers)
        timers_exit(g);
    keys_tgroup_free(g);
    sighand_put(g->sighand);
    if (g->tty)
        tty_put(g->tty);
    session_put(g->session);
    pid_put(g->pgrp);
    pid_put(g->pid);
    waitq_done(&g->child_wait);
    waitq_done(&g->sigfd_wait);
    waitq_done(&g->stop_wait);
    free(g);
}

/* ---- what a task owns ---------------------------------------------------------------------- */

void task_drop_resources(struct task *t, bool is_mm_too)
{
    mutex_lock(&t->ptr_lock);
    struct fdtable *files = take_ptr(t->files);
    struct fs_ctx *fs = take_ptr(t->fs);
    struct nsproxy *ns = take_ptr(t->ns);
    struct uctx *uctx = is_mm_too ? take_ptr(t->uctx) : NULL;
    struct mm *mm = is_mm_too ? take_ptr(t->mm) : NULL;
    mutex_unlock(&t->ptr_lock);
    t->vt.files = NULL;
    t->vt.fs = NULL;
    t->vt.mnt_ns = NULL;
    if (t == current_task && is_mm_too)
        mm_use(NULL, NULL);
    if (files)
        fdtable_put(files);
    if (fs)
        fs_ctx_put(fs);
    if (ns)
        nsproxy_put(ns);
    if (uctx && mm)
        mm_forget_ctx(mm, uctx);
    if (uctx)
        uctx_free(uctx);
    if (mm)
        mm_put(mm);
}

#define DEFINE_TASK_GET(type, field, get)                                                          \
    struct type *task_get_##field(struct task *t)                                                  \
    {                                                                                              \
        MUTEX_GUARD(&t->ptr_lock);                                                                 \
        struct type *p = t->field;                                                                 \
        if (p)                                                                                     \
            get(p);                                                                                \
        return p;                                                                                  \
    }
DEFINE_TASK_GET(mm, mm, mm_get)
DEFINE_TASK_GET(fs_ctx, fs, fs_ctx_get)
DEFINE_TASK_GET(fdtable, files, fdtable_ref)
DEFINE_TASK_GET(nsproxy, ns, nsproxy_get)

const struct cred *task_get_cred(struct task *t)
{
    MUTEX_GUARD(&t->tg->sig_lock);
    cred_get(t->cred);
    return t->cred;
}

void task_set_cred(struct task *t, const struct cred *c)
{
    struct user_struct *user = NULL;
    if (c->uid != t->cred->uid)
        user = user_get(c->uid);
    mutex_lock(&t->tg->sig_lock);
    const struct cred *old = t->cred;
    t->cred = c;
    t->vt.cred = c;
    struct user_struct *old_user = NULL;
    bool is_last = false;
    if (user) {
        old_user = t->user;
        t->user = user;
        atomic_fetch_add(&user->ntasks, 1);
        if (t->is_user_counted)
            is_last = atomic_fetch_sub(&old_user->ntasks, 1) == 1;
        t->is_user_counted = true;
    }
    bool is_mixed = t->tg->ntasks > 1;
    mutex_unlock(&t->tg->sig_lock);
    if (is_mixed && !t->tg->has_mixed_creds) {
        t->tg->has_mixed_creds = true;
        aspace_fastpath_off(t->mm->as, FASTPATH_OFF_CREDS, true);
    }
    cred_put(old);
    if (is_last)
        keys_user_left(old_user);
    user_put(old_user);
    task_publish(t);
}

void tgroup_for_each_task(struct tgroup *g, void (*fn)(struct task *t, void *arg), void *arg)
{
    MUTEX_GUARD(&g->sig_lock);
    struct task *t;
    list_for_each(t, &g->tasks, tg_node)
        fn(t, arg);
}

/* ---- vfork --------------------------------------------------------------------------------- */

void vfork_release(struct task *t)
{
    struct vfork_done *v = take_ptr(t->vfork_done);
    if (!v)
        return;
    atomic_store(&v->is_done, true);
    if (v->waiter)
        parker_wake(&v->waiter->parker);
    vfork_done_put(v);
}

void vfork_done_put(struct vfork_done *v)
{
    if (!v || !ref_put(&v->ref))
        return;
    task_put(v->waiter);
    free(v);
}

/* ---- kicks --------------------------------------------------------------------------------- */

void task_kick(struct task *t)
{
    atomic_store(&t->is_kicked, true);
    parker_interrupt(&t->parker);
    MUTEX_GUARD(&t->ptr_lock);
    if (t->uctx)
        uctx_kick(t->uctx);
}

/* ---- publishing ---------------------------------------------------------------------------- */

/* The ids that the stub answers by itself. Under task_lock, so that family and groups hold still. */
void tgroup_publish_ids(struct tgroup *g)
{
    if (g->is_mm_sharer || g->is_zombie)
        return;
    struct pid_ns *ns = g->pid->ns;
    struct aspace_ids ids = {
        .pid = (u32)pid_nr_in(g->pid, ns),
        .ppid = g->parent ? (u32)pid_nr_in(g->parent->pid, ns) : 0,
        .pgid = (u32)pid_nr_in(g->pgrp, ns),
        .sid = g->session ? (u32)pid_nr_in(g->session->pid, ns) : 0,
    };
    mutex_lock(&g->sig_lock);
    struct task *t;
    list_for_each(t, &g->tasks, tg_node) {
        const struct cred *c = t->cred;
        ids.uid = from_kuid(c->user_ns, c->uid);
        ids.euid = from_kuid(c->user_ns, c->euid);
        ids.gid = from_kgid(c->user_ns, c->gid);
        ids.egid = from_kgid(c->user_ns, c->egid);
        mutex_lock(&t->ptr_lock); /* keeps the mm without a reference that might be the last */
        bool has_mm = t->mm != NULL;
        if (has_mm)
            aspace_set_ids(t->mm->as, &ids);
        mutex_unlock(&t->ptr_lock);
        if (has_mm)
            break;
    }
    mutex_unlock(&g->sig_lock);
}

void task_publish_limits(struct task *t)
{
    struct tgroup *g = t->tg;
    mutex_lock(&g->limits_lock);
    t->vt.rlimit_fsize = g->rlimits[LX_RLIMIT_FSIZE].cur;
    t->vt.rlimit_nofile = g->rlimits[LX_RLIMIT_NOFILE].cur;
    struct mm_limits l = {
        .as = g->rlimits[LX_RLIMIT_AS].cur,
        .data = g->rlimits[LX_RLIMIT_DATA].cur,
        .stack = g->rlimits[LX_RLIMIT_STACK].cur,
        .memlock = g->rlimits[LX_RLIMIT_MEMLOCK].cur,
    };
    mutex_unlock(&g->limits_lock);
    if (cred_has_cap(t->cred, LX_CAP_IPC_LOCK))
        l.memlock = UINT64_MAX;
    if (t->mm && !g->is_mm_sharer)
        t->mm->limits = l;
}

void task_publish(struct task *t)
{
    t->vt.cred = t->cred;
    t->vt.fs = t->fs;
    t->vt.files = t->files;
    t->vt.mnt_ns = t->ns ? t->ns->mnt : NULL;
    t->vt.pid = t->pid->nr[0];
    t->vt.tgid = t->tg->pid->nr[0];
    task_publish_limits(t);
    if (t->uctx)
        uctx_set_tid(t->uctx, (u32)task_tid_in(t, task_pid_ns(t)));
    rwlock_rdlock(&task_lock);
    tgroup_publish_ids(t->tg);
    rwlock_rdunlock(&task_lock);
}

void task_publish_fastpath(struct task *t)
{
    u32 reasons = kern_hooks.fastpath_off;
    if (!seccomp_is_fast(t))
        reasons |= FASTPATH_OFF_SECCOMP;
    if (t->ns->time && time_ns_has_offsets(t->ns->time))
        reasons |= FASTPATH_OFF_TIMENS;
    if (t->ptrace && ptrace_is_traced(t))
        reasons |= FASTPATH_OFF_TRACED;
    if (reasons)
        aspace_fastpath_off(t->mm->as, reasons, true);
}

/* Fast paths of an mm that several processes run in. */
static struct mutex share_lock = MUTEX_INIT("mm_share");

void mm_sharer_add(struct mm *mm)
{
    MUTEX_GUARD(&share_lock);
    if (mm->nsharers++ == 0)
        aspace_fastpath_off(mm->as, FASTPATH_OFF_SHARED, true);
}

void mm_sharer_del(struct mm *mm)
{
    MUTEX_GUARD(&share_lock);
    if (--mm->nsharers == 0)
        aspace_fastpath_off(mm->as, FASTPATH_OFF_SHARED, false);
}
