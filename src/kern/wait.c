/*
 * wait4 and waitid: one scan over the children under task_lock, repeated each
 * time a child changes state. A child may report its end, a stop, or that it
 * was continued; WNOWAIT leaves the report for later.
 */
#include <string.h>

#include "base/log.h"
#include "kern/wait.h"

static bool is_selected(const struct wait_req *rq, const struct tgroup *c)
{
    switch (rq->type) {
    case LX_P_ALL:
        return true;
    case LX_P_PID:
    case LX_P_PIDFD:
        return c->pid == rq->pid;
    case LX_P_PGID:
        return c->pgrp == rq->pid;
    default:
        return false;
    }
}

/* The kinds of children that the flags ask for (clone children: those that send another signal). */
static bool is_eligible(const struct wait_req *rq, const struct task *t, const struct tgroup *c)
{
    if (!is_selected(rq, c))
        return false;
    if ((rq->flags & LX_WNOTHREAD) && c->parent_task != t)
        return false;
    if (rq->flags & LX_WALL || ptrace_is_traced_by(c->leader, t->tg))
        return true;
    return (c->exit_signal != LX_SIGCHLD) == ((rq->flags & LX_WCLONE) != 0);
}

static void fill(struct task *t, struct tgroup *c, struct wait_result *ret)
{
    memset(ret, 0, sizeof(*ret));
    ret->pid = tgroup_pid_in(c, task_pid_ns(t));
    ret->uid = from_kuid(t->cred->user_ns, c->leader->cred->uid);
    tgroup_usage_now(c, &ret->usage);
    usage_add(&ret->usage, &c->child_usage);
}

static void take_exit(struct task *t, struct tgroup *c, const struct wait_req *rq,
                      struct wait_result *ret, struct tgroup **ret_dead)
{
    fill(t, c, ret);
    ret->status = tgroup_wait_status(c);
    struct lx_siginfo info;
    siginfo_from_status(&info, ret->status);
    ret->code = info.si_code;
    ret->si_status = info.chld.status;
    if (rq->flags & LX_WNOWAIT)
        return;
    struct vfs_io io;
    tgroup_io_now(c, &io);
    mutex_lock(&t->tg->sig_lock);
    usage_add(&t->tg->child_usage, &ret->usage);
    usage_add_io(&t->tg->dead_io, &io);
    mutex_unlock(&t->tg->sig_lock);
    tgroup_release(c);
    *ret_dead = c;
}

/* A stop or continue to report, under the child's sig_lock. */
static bool take_stop(struct task *t, struct tgroup *c, const struct wait_req *rq,
                      struct wait_result *ret)
{
    bool is_taken = !(rq->flags & LX_WNOWAIT);
    bool is_stop = false, is_cont = false;
    int signo = 0;
    mutex_lock(&c->sig_lock);
    if ((rq->flags & LX_WSTOPPED) && c->stop == TG_STOPPED && c->is_stop_unreported &&
        !ptrace_is_traced_by(c->leader, t->tg)) { /* a tracer sees its tracees' own stops */
        is_stop = true;
        signo = c->stop_signo;
        if (is_taken)
            c->is_stop_unreported = false;
    } else if ((rq->flags & LX_WCONTINUED) && c->is_cont_unreported) {
        is_cont = true;
        if (is_taken)
            c->is_cont_unreported = false;
    }
    mutex_unlock(&c->sig_lock);
    if (!is_stop && !is_cont)
        return false;
    fill(t, c, ret);
    ret->status = is_stop ? (signo << 8) | 0x7f : 0xffff;
    ret->code = is_stop ? LX_CLD_STOPPED : LX_CLD_CONTINUED;
    ret->si_status = is_stop ? signo : LX_SIGCONT;
    return true;
}

/* 1: *ret is filled; 0: children, but nothing to report; -LX_ECHILD. Under task_lock, written. */
static int scan(struct task *t, const struct wait_req *rq, struct wait_result *ret,
                struct wait_dead *dead)
{
    int r = -LX_ECHILD;
    struct tgroup *c;
    list_for_each (c, &t->tg->children, sibling) {
        if (!is_eligible(rq, t, c))
            continue;
        if (c->is_zombie) {
            /* A traced zombie is its tracer's first. One whose end is not asked for does not count.
             */
            if (ptrace_hides_zombie(c))
                r = 0;
            if (ptrace_hides_zombie(c) || !(rq->flags & LX_WEXITED))
                continue;
            take_exit(t, c, rq, ret, &dead->group);
            return 1;
        }
        r = 0;
        if (take_stop(t, c, rq, ret))
            return 1;
    }
    int traced = ptrace_wait_scan(t, rq, ret, dead);
    return traced == -LX_ECHILD ? r : traced;
}

int wait_children(struct task *t, const struct wait_req *rq, struct wait_result *ret)
{
    struct waiter w;
    int r;
    waiter_init_thread(&w, WAIT_ALL);
    waitq_add(&t->tg->child_wait, &w);
    for (;;) {
        struct wait_dead dead = {0};
        rwlock_wrlock(&task_lock);
        r = scan(t, rq, ret, &dead);
        rwlock_wrunlock(&task_lock);
        tgroup_put(dead.group);
        task_put_base(dead.task);
        if (r != 0 || (rq->flags & LX_WNOHANG))
            break;
        if (rq->is_nonblock) {
            r = -LX_EAGAIN;
            break;
        }
        r = park_interruptible(NO_DEADLINE);
        if (r < 0)
            break;
    }
    waitq_del(&t->tg->child_wait, &w);
    return r;
}
