/* Handlers: waiting for children, process numbers, sessions. */
#include <string.h>

#include "kern/wait.h"
#include "sys/sys.h"

static struct pid *find_pid_of(struct task *t, s32 nr)
{
    return pid_find(task_pid_ns(t), nr);
}

s64 sys_wait4(struct task *t, const u64 a[6])
{
    s32 upid = (s32)a[0];
    u32 options = (u32)a[2];
    if (options & ~(u32)(LX_WNOHANG | LX_WUNTRACED | LX_WCONTINUED | LX_WNOTHREAD | LX_WCLONE |
                         LX_WALL))
        return -LX_EINVAL;
    if (upid == INT32_MIN)
        return -LX_ESRCH;
    struct wait_req rq = {.type = LX_P_ALL, .flags = options | LX_WEXITED};
    if (upid > 0) {
        rq.type = LX_P_PID;
        rq.pid = find_pid_of(t, upid);
    } else if (upid < -1) {
        rq.type = LX_P_PGID;
        rq.pid = find_pid_of(t, -upid);
    } else if (upid == 0) {
        rq.type = LX_P_PGID;
        rwlock_rdlock(&task_lock);
        rq.pid = t->tg->pgrp;
        pid_get(rq.pid);
        rwlock_rdunlock(&task_lock);
    }
    struct wait_result res;
    int r = wait_children(t, &rq, &res);
    pid_put(rq.pid);
    if (r <= 0)
        return r;
    if (a[1] && put_user(res.status, uaddr(a[1])) < 0)
        return -LX_EFAULT;
    if (a[3]) {
        u8 rusage[144];
        usage_to_abi(&res.usage, rusage);
        if (copy_out(uaddr(a[3]), rusage, sizeof(rusage)) < 0)
            return -LX_EFAULT;
    }
    return res.pid;
}

/* The struct pid that waitid's id names; P_ALL has none. */
static s64 waitid_target(struct task *t, int type, s32 id, struct wait_req *rq)
{
    rq->type = type;
    switch (type) {
    case LX_P_ALL:
        return 0;
    case LX_P_PID:
        if (id <= 0)
            return -LX_EINVAL;
        rq->pid = find_pid_of(t, id);
        return 0;
    case LX_P_PGID:
        if (id < 0)
            return -LX_EINVAL;
        if (id != 0) {
            rq->pid = find_pid_of(t, id);
            return 0;
        }
        rwlock_rdlock(&task_lock);
        rq->pid = t->tg->pgrp;
        pid_get(rq->pid);
        rwlock_rdunlock(&task_lock);
        return 0;
    case LX_P_PIDFD: {
        if (id < 0)
            return -LX_EINVAL;
        struct file *f cleanup(file_put_p) = fd_get(id);
        struct pid *p = f ? pidfd_pid(f) : NULL;
        if (!p)
            return -LX_EBADF;
        pid_get(p);
        rq->pid = p;
        rq->is_nonblock = file_is_nonblock(f);
        return 0;
    }
    default:
        return -LX_EINVAL;
    }
}

s64 sys_waitid(struct task *t, const u64 a[6])
{
    u32 options = (u32)a[3];
    struct wait_req rq = {.flags = options};
    if (options & ~(u32)(LX_WNOHANG | LX_WNOWAIT | LX_WEXITED | LX_WSTOPPED | LX_WCONTINUED |
                         LX_WNOTHREAD | LX_WCLONE | LX_WALL))
        return -LX_EINVAL;
    if (!(options & (LX_WEXITED | LX_WSTOPPED | LX_WCONTINUED)))
        return -LX_EINVAL;
    s64 r = waitid_target(t, (int)a[0], (s32)a[1], &rq);
    if (r < 0)
        return r;
    struct wait_result res;
    memset(&res, 0, sizeof(res));
    r = wait_children(t, &rq, &res);
    pid_put(rq.pid);
    if (r < 0)
        return r;
    if (r > 0 && a[4]) {
        u8 rusage[144];
        usage_to_abi(&res.usage, rusage);
        if (copy_out(uaddr(a[4]), rusage, sizeof(rusage)) < 0)
            return -LX_EFAULT;
    }
    if (a[2]) {
        /* Linux writes these six words and leaves the rest of the guest's siginfo alone. */
        s32 head[7] = {r > 0 ? LX_SIGCHLD : 0, 0, res.code, 0, res.pid, (s32)res.uid,
                       res.si_status};
        if (copy_out(uaddr(a[2]), head, 3 * sizeof(s32)) < 0 ||
            copy_out(uaddr(a[2] + 16), &head[4], 3 * sizeof(s32)) < 0)
            return -LX_EFAULT;
    }
    return 0;
}

/* ---- numbers ------------------------------------------------------------------------------- */

s64 sys_getpid(struct task *t, const u64 a[6])
{
    return tgroup_pid_in(t->tg, task_pid_ns(t));
}

s64 sys_gettid(struct task *t, const u64 a[6])
{
    return task_tid_in(t, task_pid_ns(t));
}

s64 sys_getppid(struct task *t, const u64 a[6])
{
    rwlock_rdlock(&task_lock);
    s64 r = t->tg->parent ? tgroup_pid_in(t->tg->parent, task_pid_ns(t)) : 0;
    rwlock_rdunlock(&task_lock);
    return r;
}

s64 sys_getpgid(struct task *t, const u64 a[6])
{
    return session_getpgid(t, (s32)a[0], false);
}

s64 sys_getpgrp(struct task *t, const u64 a[6])
{
    return session_getpgid(t, 0, false);
}

s64 sys_setpgid(struct task *t, const u64 a[6])
{
    return session_setpgid(t, (s32)a[0], (s32)a[1]);
}

s64 sys_getsid(struct task *t, const u64 a[6])
{
    return session_getpgid(t, (s32)a[0], true);
}

s64 sys_setsid(struct task *t, const u64 a[6])
{
    return session_create(t);
}

s64 sys_set_tid_address(struct task *t, const u64 a[6])
{
    t->clear_child_tid = a[0];
    return task_tid_in(t, task_pid_ns(t));
}
