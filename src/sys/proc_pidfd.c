/* Handlers: pidfds. */
#include <string.h>

#include "kern/kill.h"
#include "procfs/procfs.h"
#include "sys/sys.h"

#define PIDFD_SIGNAL_THREAD        1U
#define PIDFD_SIGNAL_THREAD_GROUP  2U
#define PIDFD_SIGNAL_PROCESS_GROUP 4U

s64 sys_pidfd_open(struct task *t, const u64 a[6])
{
    s32 nr = (s32)a[0];
    u32 flags = (u32)a[1];
    if (flags & ~(u32)(LX_PIDFD_NONBLOCK | LX_PIDFD_THREAD))
        return -LX_EINVAL;
    if (nr <= 0)
        return -LX_EINVAL;
    struct pid *p = pid_find(task_pid_ns(t), nr);
    if (!p)
        return -LX_ESRCH;
    rwlock_rdlock(&task_lock);
    bool is_there = flags & LX_PIDFD_THREAD ? p->task != NULL : p->tgroup != NULL;
    rwlock_rdunlock(&task_lock);
    s64 r = is_there ? pidfd_install(p, flags) : -LX_EINVAL;
    pid_put(p);
    return r;
}

static s64 read_info(struct task *t, struct pid *p, u64 addr, int signo, struct lx_siginfo *ret)
{
    if (!addr) {
        signal_info_user(ret, signo, LX_SI_USER);
        return 0;
    }
    if (copy_in(ret, uaddr(addr), sizeof(*ret)) < 0)
        return -LX_EFAULT;
    if (ret->si_signo != signo)
        return -LX_EINVAL;
    if (p != t->pid && (ret->si_code >= 0 || ret->si_code == LX_SI_TKILL))
        return -LX_EPERM;
    return 0;
}

s64 sys_pidfd_send_signal(struct task *t, const u64 a[6])
{
    struct lx_siginfo info;
    u32 flags = (u32)a[3];
    enum kill_scope scope;
    if (flags & ~(PIDFD_SIGNAL_THREAD | PIDFD_SIGNAL_THREAD_GROUP | PIDFD_SIGNAL_PROCESS_GROUP) ||
        (flags & (flags - 1)))
        return -LX_EINVAL;
    struct file *f cleanup(file_put_p) = fd_get((int)a[0]);
    struct pid *p = f ? pidfd_pid(f) : NULL;
    if (f && !p)
        p = procfs_pid_of_dir(f); /* from before there were pidfds of their own */
    if (!p)
        return -LX_EBADF;
    if (!pid_ns_is_below(p->ns, task_pid_ns(t)))
        return -LX_EINVAL;
    if (flags == PIDFD_SIGNAL_THREAD || (!flags && pidfd_is_thread(f)))
        scope = KILL_THREAD;
    else if (flags == PIDFD_SIGNAL_PROCESS_GROUP)
        scope = KILL_PGRP;
    else
        scope = KILL_PROCESS;
    s64 r = read_info(t, p, a[2], (int)a[1], &info);
    return r < 0 ? r : kill_struct_pid(t, p, scope, (int)a[1], &info);
}

s64 sys_pidfd_getfd(struct task *t, const u64 a[6])
{
    if ((u32)a[2])
        return -LX_EINVAL;
    struct file *f cleanup(file_put_p) = fd_get((int)a[0]);
    struct pid *p = f ? pidfd_pid(f) : NULL;
    if (!p)
        return -LX_EBADF;
    rwlock_rdlock(&task_lock);
    struct task *target = p->task;
    if (target)
        task_get(target);
    rwlock_rdunlock(&task_lock);
    if (!target)
        return -LX_ESRCH;
    s64 r = ptrace_may_access(target, true);
    struct fdtable *files = r == 0 ? task_get_files(target) : NULL;
    if (r == 0 && !files)
        r = -LX_ESRCH;
    if (r == 0) {
        struct file *theirs = fdtable_get(files, (int)a[1]);
        r = theirs ? fd_install(theirs, 0, LX_O_CLOEXEC) : -LX_EBADF;
        if (theirs && r < 0)
            file_put(theirs);
    }
    if (files)
        fdtable_put(files);
    task_put(target);
    return r;
}

/* The process has been killed, and nobody else lives in its memory. */
static bool is_releasing(struct tgroup *g)
{
    MUTEX_GUARD(&g->sig_lock);
    bool is_killed = g->is_exiting || g->shared.set & SIGMASK(LX_SIGKILL);
    return is_killed && !g->is_mm_sharer;
}

/*
 * What a killed process has is on its way back already: the call waits for it. It cannot be taken
 * from a process that holds on in its end (a stop for its tracer), as Linux does.
 */
s64 sys_process_mrelease(struct task *t, const u64 a[6])
{
    if ((u32)a[1])
        return -LX_EINVAL;
    struct file *f cleanup(file_put_p) = fd_get((int)a[0]);
    struct pid *p = f ? pidfd_pid(f) : NULL;
    if (!p)
        return -LX_EBADF;
    rwlock_rdlock(&task_lock);
    struct tgroup *g = p->tgroup;
    bool is_over = !g || g->is_zombie;
    if (g)
        tgroup_get(g);
    rwlock_rdunlock(&task_lock);
    bool is_dying = g && is_releasing(g);
    tgroup_put(g);
    if (is_over || !is_dying)
        return is_over ? -LX_ESRCH : -LX_EINVAL;
    struct waiter w;
    s64 r = 0;
    waiter_init_thread(&w, WAIT_ALL);
    waitq_add(&p->exit_wait, &w);
    while (r == 0) {
        rwlock_rdlock(&task_lock);
        bool is_exited = p->is_exited;
        rwlock_rdunlock(&task_lock);
        if (is_exited)
            break;
        r = park_interruptible(NO_DEADLINE);
    }
    waitq_del(&p->exit_wait, &w);
    return r;
}
