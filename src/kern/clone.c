/*
 * Making tasks: fork, vfork, clone and clone3 are all task_clone.
 *
 * Order: check the flags; build the child out of copies and shares, invisible
 * to everybody; fork or extend the stub; take a host thread; then, under
 * task_lock, make it visible, unless the parent has been told to die or a
 * signal went to a whole process group meanwhile (then the call is made
 * again after the signal, so that the group's signal is not missed by the child). After that
 * nothing can fail.
 */
#include <stdlib.h>
#include <string.h>

#include "abi/nr.h"
#include "base/log.h"
#include "fs/tty.h"
#include "kern/kern_int.h"
#include "kern/keys.h"
#include "kern/seccomp.h"

static int check_flags(struct task *t, const struct clone_args *a)
{
    u64 f = a->flags;
    struct pid_ns *ns = t->ns->pid_for_children;
    if ((f & LX_CLONE_FS) && (f & (LX_CLONE_NEWNS | LX_CLONE_NEWUSER)))
        return -LX_EINVAL;
    if ((f & LX_CLONE_THREAD) && !(f & LX_CLONE_SIGHAND))
        return -LX_EINVAL;
    if ((f & LX_CLONE_SIGHAND) && !(f & LX_CLONE_VM))
        return -LX_EINVAL;
    if ((f & LX_CLONE_SIGHAND) && (f & LX_CLONE_CLEAR_SIGHAND))
        return -LX_EINVAL;
    if ((f & LX_CLONE_PARENT) && t->tg->pid->ns->init == t->tg)
        return -LX_EINVAL;
    if ((f & LX_CLONE_THREAD) &&
        ((f & (LX_CLONE_NEWUSER | LX_CLONE_NEWPID)) || task_pid_ns(t) != ns))
        return -LX_EINVAL;
    if ((f & LX_CLONE_VM) && t->ns->time != t->ns->time_for_children && !(f & LX_CLONE_VFORK))
        return -LX_EINVAL;
    if ((f & LX_CLONE_PIDFD) && (f & LX_CLONE_DETACHED))
        return -LX_EINVAL;
    if ((f & LX_CLONE_NEWIPC) && (f & LX_CLONE_SYSVSEM))
        return -LX_EINVAL;
    return f & LX_CLONE_SETTLS && a->tls >= PLATFORM_MAX ? -LX_EPERM : 0;
}

static int check_limits(struct task *t)
{
    u64 limit = task_rlimit(t, LX_RLIMIT_NPROC);
    if (t->user && atomic_load(&t->user->ntasks) >= limit && t->cred->uid != 0 &&
        !ns_capable(&root_user_ns, LX_CAP_SYS_RESOURCE) &&
        !ns_capable(&root_user_ns, LX_CAP_SYS_ADMIN))
        return -LX_EAGAIN;
    return 0;
}

/* ---- the parts ----------------------------------------------------------------------------- */

static int copy_cred(struct task *c, struct task *t, u64 flags)
{
    if (!(flags & LX_CLONE_NEWUSER)) {
        cred_get(t->cred);
        c->cred = t->cred;
    } else {
        struct user_ns *uns = NULL;
        int r = user_ns_new(t->cred, &uns);
        if (r < 0)
            return r;
        struct cred *cred = cred_copy(t->cred);
        if (!cred) {
            user_ns_put(uns);
            return -LX_ENOMEM;
        }
        cred_set_new_user_ns(cred, uns);
        c->cred = cred;
    }
    c->vt.cred = c->cred;
    c->user = t->user;
    if (c->user) {
        user_ref(c->user);
        atomic_fetch_add(&c->user->ntasks, 1);
        c->is_user_counted = true;
    }
    return 0;
}

static int copy_fs_files(struct task *c, struct task *t, u64 flags)
{
    if (flags & LX_CLONE_FS) {
        fs_ctx_get(t->fs);
        c->fs = t->fs;
    } else {
        c->fs = fs_ctx_copy(t->fs);
    }
    if (flags & LX_CLONE_FILES) {
        fdtable_ref(t->files);
        c->files = t->files;
        if (!(flags & LX_CLONE_THREAD))
            t->tg->is_files_shared = c->tg->is_files_shared = true;
    } else {
        c->files = fdtable_copy(t->files, 1, 0);
    }
    return c->fs && c->files ? 0 : -LX_ENOMEM;
}

static int copy_namespaces(struct task *c, struct task *t, u64 flags)
{
    bool is_time_entered = t->ns->time != t->ns->time_for_children && !(flags & LX_CLONE_VM);
    if (!(flags & CLONE_NS_FLAGS) && !is_time_entered) {
        nsproxy_get(t->ns);
        c->ns = t->ns;
        return 0;
    }
    if ((flags & CLONE_NS_FLAGS) && !(flags & LX_CLONE_NEWUSER) &&
        !ns_capable(t->cred->user_ns, LX_CAP_SYS_ADMIN))
        return -LX_EPERM;
    int r = nsproxy_copy(t->ns, flags & CLONE_NS_FLAGS, c->cred, c->fs, &c->ns);
    if (r == 0 && c->ns->time != c->ns->time_for_children && !(flags & LX_CLONE_VM)) {
        time_ns_get(c->ns->time_for_children);
        time_ns_put(c->ns->time);
        c->ns->time = c->ns->time_for_children;
    }
    return r;
}

static int copy_sighand(struct tgroup *g, struct task *t, u64 flags)
{
    struct sighand *old = t->tg->sighand;
    if (flags & LX_CLONE_SIGHAND) {
        ref_get(&old->ref);
        g->sighand = old;
        return 0;
    }
    struct sighand *s = sighand_new();
    if (!s)
        return -LX_ENOMEM;
    mutex_lock(&old->lock);
    memcpy(s->action, old->action, sizeof(s->action));
    mutex_unlock(&old->lock);
    if (flags & LX_CLONE_CLEAR_SIGHAND)
        sighand_reset(s);
    g->sighand = s;
    return 0;
}

void sighand_reset(struct sighand *s)
{
    for (int i = 0; i < LX_NSIG; i++) {
        if (s->action[i].handler != LX_SIG_IGN)
            s->action[i].handler = LX_SIG_DFL;
        s->action[i].flags = 0;
        s->action[i].mask = 0;
        s->action[i].restorer = 0;
    }
}

/* A new process's group, or the shared one with a reference. */
static int make_group(struct task *c, struct task *t, u64 flags)
{
    if (flags & LX_CLONE_THREAD) {
        tgroup_get(t->tg); /* dropped when the task is linked: then the list's reference counts */
        c->tg = t->tg;
        return 0;
    }
    struct tgroup *g = tgroup_alloc();
    if (!g)
        return -LX_ENOMEM;
    c->tg = g;
    g->leader = c;
    int r = copy_sighand(g, t, flags);
    if (r < 0)
        return r;
    struct tgroup *p = t->tg;
    mutex_lock(&p->limits_lock);
    memcpy(g->rlimits, p->rlimits, sizeof(g->rlimits));
    mutex_unlock(&p->limits_lock);
    g->oom_score_adj = p->oom_score_adj;
    g->container = p->container;
    g->freezer = p->freezer;
    g->limits = p->limits;
    g->has_execed = false;
    g->start_boot_ns = c->start_boot_ns;
    g->has_mixed_creds = false;
    return 0;
}

static void copy_plain(struct task *c, struct task *t, const struct clone_args *a)
{
    u64 f = a->flags;
    mutex_lock(&t->tg->sig_lock);
    memcpy(c->comm, t->comm, sizeof(c->comm));
    mutex_unlock(&t->tg->sig_lock);
    c->personality = t->personality;
    c->blocked = t->blocked;
    if (!(f & LX_CLONE_VM) || (f & LX_CLONE_VFORK))
        c->altstack = t->altstack;
    if (f & LX_CLONE_CHILD_CLEARTID)
        c->clear_child_tid = a->child_tid.v;
    if (!(f & LX_CLONE_VM)) {
        c->rseq_addr = t->rseq_addr;
        c->rseq_sig = t->rseq_sig;
    }
    c->nice = t->nice;
    c->sched_policy = t->sched_policy;
    c->sched_priority = t->sched_priority;
    if (t->is_sched_reset_on_fork) {
        c->nice = MAX(t->nice, 0);
        if (c->sched_policy == LX_SCHED_FIFO || c->sched_policy == LX_SCHED_RR) {
            c->sched_policy = LX_SCHED_NORMAL;
            c->sched_priority = 0;
            c->nice = 0;
        }
    }
    c->affinity = t->affinity;
    c->timer_slack_ns = t->timer_slack_ns;
    c->ioprio = t->ioprio;
    c->mempolicy = t->mempolicy;
    c->mempolicy_nodes = t->mempolicy_nodes;
    c->is_tsc_denied = t->is_tsc_denied;
    c->is_io_flusher = t->is_io_flusher;
    c->is_thp_disabled = t->is_thp_disabled;
    c->strace_depth = t->strace_depth;
    keys_clone(c, t);
    c->start_boot_ns = clock_boot_ns();
}

/* The stub side: a thread in the same space, or a copy of it. */
static int copy_mm(struct task *c, struct task *t, const struct clone_args *a)
{
    int r;
    if (a->flags & LX_CLONE_VM) {
        r = uctx_new(t->mm->as, t->uctx, &c->uctx);
        if (r == 0) {
            mm_get(t->mm);
            c->mm = t->mm;
        }
    } else {
        r = mm_fork(t->mm, t->uctx, &c->mm, &c->uctx);
    }
    if (r < 0)
        return r;
    if (!(a->flags & LX_CLONE_VM))
        aspace_fastpath_off(c->mm->as,
                            FASTPATH_OFF_SHARED | FASTPATH_OFF_CREDS | FASTPATH_OFF_TRACED, false);
    struct uregs *regs = uctx_regs(c->uctx);
    regs->rax = 0;
    if (a->stack)
        regs->rsp = a->stack + a->stack_size;
    if (a->flags & LX_CLONE_SETTLS)
        regs->fs_base = a->tls;
    uctx_regs_changed(c->uctx);
    return 0;
}

/* ---- making it visible --------------------------------------------------------------------- */

static void link_group(struct task *c, struct task *t, const struct clone_args *a)
{
    struct tgroup *g = c->tg, *p = t->tg;
    g->pid = c->pid;
    pid_get(g->pid);
    c->pid->tgroup = g;
    if (a->flags & LX_CLONE_PARENT) {
        g->parent = p->parent;
        g->parent_task = p->parent_task;
        g->exit_signal = p->exit_signal;
        g->parent_exec_seq = p->parent_exec_seq;
    } else {
        g->parent = p;
        g->parent_task = t;
        g->exit_signal = a->exit_signal;
        g->parent_exec_seq = p->exec_seq;
    }
    if (g->parent)
        list_add_tail(&g->parent->children, &g->sibling);
    g->has_child_subreaper = p->has_child_subreaper || p->is_subreaper;
    if (c->pid->nr[c->pid->level] == 1 && !c->pid->ns->init) {
        c->pid->ns->init = g;
        g->is_unkillable = true;
    }
    tgroup_pgrp_set(g, p->pgrp);
    g->session = p->session;
    session_get(g->session);
    list_add_tail(&g->session->pid->session_members, &g->session_node);
    g->tty = p->tty;
    if (g->tty)
        tty_get(g->tty);
    list_add_tail(&all_tgroups, &g->all_node);
}

/* 0, or why the child may not come to be after all. Under task_lock. */
static int link_task(struct task *c, struct task *t, const struct clone_args *a, u64 pgrp_seq)
{
    struct tgroup *g = c->tg;
    if (c->pid->ns->is_dying)
        return -LX_ENOMEM;
    mutex_lock(&t->tg->sig_lock);
    bool is_dying = t->is_exit_requested || t->tg->is_exiting;
    bool is_disturbed = t->tg->pgrp_signal_seq != pgrp_seq;
    if (is_dying || (is_disturbed && !(a->flags & LX_CLONE_THREAD))) {
        mutex_unlock(&t->tg->sig_lock);
        return is_dying ? -LX_EINTR : -LX_ERESTARTNOINTR;
    }
    if (a->flags & LX_CLONE_THREAD) {
        list_add_tail(&g->tasks, &c->tg_node);
        g->ntasks++;
        g->nlive++;
        if (g->stop != TG_RUNNING) {
            c->is_stop_requested = true;
            if (g->stop == TG_STOPPING)
                g->nstopping++;
            atomic_store(&c->is_kicked, true);
        }
    }
    seccomp_inherit(c, t); /* not before: a filter may have been synchronised meanwhile */
    mutex_unlock(&t->tg->sig_lock);
    c->pid->task = c;
    if (!(a->flags & LX_CLONE_THREAD)) {
        mutex_lock(&g->sig_lock);
        list_add_tail(&g->tasks, &c->tg_node);
        g->ntasks = g->nlive = 1;
        mutex_unlock(&g->sig_lock);
        link_group(c, t, a);
        if (!g->is_mm_sharer)
            tgroup_publish_ids(g);
    }
    ptrace_clone_link(t, c, a);
    return 0;
}

/* A child that never became visible. */
static void discard(struct task *c, u64 flags)
{
    if (!c)
        return;
    struct tgroup *g = c->tg;
    if (c->pid) {
        rwlock_wrlock(&task_lock);
        pid_release_if_unused(c->pid);
        rwlock_wrunlock(&task_lock);
    }
    if (g && g->is_mm_sharer && c->mm)
        mm_sharer_del(c->mm);
    if (g && !(flags & LX_CLONE_THREAD)) {
        tgroup_put(g); /* frees its leader, too */
        return;
    }
    task_put_base(c);
    tgroup_put(g);
}

static int build(struct task *c, struct task *t, const struct clone_args *a)
{
    copy_plain(c, t, a);
    int r = make_group(c, t, a->flags);
    if (r == 0)
        r = copy_cred(c, t, a->flags);
    if (r == 0)
        r = copy_fs_files(c, t, a->flags);
    if (r == 0)
        r = copy_namespaces(c, t, a->flags);
    if (r == 0 && (a->flags & LX_CLONE_SYSVSEM))
        r = sysvsem_share(t, c);
    if (r == 0)
        r = pid_alloc(c->ns->pid_for_children, a->set_tid, a->set_tid_count, &c->pid);
    if (r == 0)
        r = copy_mm(c, t, a);
    if (r < 0)
        return r;
    if ((a->flags & LX_CLONE_VM) && !(a->flags & LX_CLONE_THREAD)) {
        c->tg->is_mm_sharer = true;
        mm_sharer_add(c->mm);
    }
    return 0;
}

/* What a new task publishes, done by its parent before it runs. */
static void publish_new(struct task *c)
{
    c->vt.fs = c->fs;
    c->vt.files = c->files;
    c->vt.mnt_ns = c->ns->mnt;
    c->vt.pid = c->pid->nr[0];
    c->vt.tgid = c->tg->pid ? c->tg->pid->nr[0] : c->pid->nr[0];
    task_publish_limits(c);
    uctx_set_tid(c->uctx, (u32)task_tid_in(c, task_pid_ns(c)));
}

static int make_vfork(struct task *c, struct task *t, struct vfork_done **ret)
{
    struct vfork_done *v = calloc(1, sizeof(*v));
    if (!v)
        return -LX_ENOMEM;
    ref_init(&v->ref);
    v->waiter = t;
    task_get(t);
    ref_get(&v->ref);
    c->vfork_done = v;
    c->is_vfork_child = true;
    *ret = v;
    return 0;
}

/* Sleeps until the child has its own memory or is gone; only death ends the wait early. */
static void wait_vfork(struct task *t, struct vfork_done *v)
{
    atomic_store(&t->state, TASK_DISK);
    while (!atomic_load(&v->is_done) && !t->is_exit_requested)
        (void)park_uninterruptible(NO_DEADLINE);
    atomic_store(&t->state, TASK_RUNNING);
    vfork_done_put(v);
}

s64 task_clone(struct task *t, const struct clone_args *a)
{
    u64 flags = a->flags;
    int r = check_flags(t, a);
    if (r == 0)
        r = check_limits(t);
    if (r < 0)
        return r;
    mutex_lock(&t->tg->sig_lock);
    u64 pgrp_seq = t->tg->pgrp_signal_seq;
    mutex_unlock(&t->tg->sig_lock);
    if (signal_is_pending(t))
        return -LX_ERESTARTNOINTR;

    struct task *c = task_alloc();
    if (!c)
        return -LX_ENOMEM;
    struct worker *w = NULL;
    struct vfork_done *vfork = NULL;
    int pidfd = -1;
    r = task_count_in(c, t->tg->limits);
    if (r == 0)
        r = build(c, t, a);
    if (r == 0 && (flags & LX_CLONE_VFORK))
        r = make_vfork(c, t, &vfork);
    if (r == 0 && (flags & LX_CLONE_PIDFD)) {
        pidfd = pidfd_install(c->pid, flags & LX_CLONE_THREAD ? LX_PIDFD_THREAD : 0);
        r = pidfd < 0 ? pidfd : put_user(pidfd, a->pidfd);
    }
    if (r == 0) {
        w = worker_take();
        if (!w)
            r = -LX_EAGAIN;
    }
    if (r == 0) {
        publish_new(c);
        rwlock_wrlock(&task_lock);
        r = link_task(c, t, a, pgrp_seq);
        rwlock_wrunlock(&task_lock);
    }
    if (r < 0) {
        if (pidfd >= 0)
            ignore_result(fd_close(pidfd)); /* it was there a moment ago */
        worker_put(w);
        discard(c, flags);
        vfork_done_put(vfork);
        return r;
    }
    /* The host thread's reference; for a thread, make_group's of the group becomes part of it. */
    if (flags & LX_CLONE_THREAD)
        ref_get(&c->ref);
    else
        task_get(c);
    s32 tid = task_tid_in(c, task_pid_ns(t));
    if (flags & LX_CLONE_PARENT_SETTID)
        ignore_result(put_user(tid, a->parent_tid)); /* as Linux: a bad address is no error */
    c->set_child_tid = flags & LX_CLONE_CHILD_SETTID ? a->child_tid.v : 0;
    struct pid *pid = c->pid;
    bool is_traced = ptrace_is_traced(t);
    if (is_traced)
        pid_get(pid);
    worker_run(w, task_main, c);
    if (is_traced)
        ptrace_clone_event(t, pid, a);
    if (vfork) {
        wait_vfork(t, vfork);
        if (is_traced)
            ptrace_vfork_done(t, pid);
    }
    if (is_traced)
        pid_put(pid);
    return tid;
}

void task_started(struct task *t)
{
    if (t->set_child_tid)
        ignore_result(put_user(task_tid_in(t, task_pid_ns(t)), uaddr(t->set_child_tid)));
    t->set_child_tid = 0;
    rseq_started(t);
}
