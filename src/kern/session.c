/*
 * Sessions and process groups. Both are identified by the struct pid of their
 * first member; membership lists hang off it, under task_lock.
 */
#include <stdlib.h>

#include "base/log.h"
#include "fs/tty.h"
#include "vfs/task_ops.h"
#include "kern/kern_int.h"

int session_new(struct pid *leader, struct session **ret_s)
{
    struct session *s = calloc(1, sizeof(*s));
    if (!s)
        return -LX_ENOMEM;
    ref_init(&s->ref);
    s->pid = leader;
    pid_get(leader);
    *ret_s = s;
    return 0;
}

void session_get(struct session *s)
{
    ref_get(&s->ref);
}

void session_put(struct session *s)
{
    if (!s || !ref_put(&s->ref))
        return;
    pid_put(s->pid);
    free(s);
}

void tgroup_pgrp_set(struct tgroup *g, struct pid *pgrp)
{
    struct pid *old = g->pgrp;
    pid_get(pgrp);
    list_del(&g->pgrp_node);
    g->pgrp = pgrp;
    list_add_tail(&pgrp->pgrp_members, &g->pgrp_node);
    if (old && old != pgrp)
        pid_release_if_unused(old);
    pid_put(old);
}

/* Under task_lock, written. Consumes s. */
static void tgroup_session_set(struct tgroup *g, struct session *s)
{
    struct session *old = g->session;
    list_del(&g->session_node);
    g->session = s;
    list_add_tail(&s->pid->session_members, &g->session_node);
    if (old)
        pid_release_if_unused(old->pid);
    session_put(old);
}

/* The first process of a container: its own session and group. Under task_lock. Consumes s. */
void tgroup_session_init(struct tgroup *g, struct session *s)
{
    tgroup_session_set(g, s);
    tgroup_pgrp_set(g, g->pid);
}

s64 session_create(struct task *t)
{
    struct tgroup *g = t->tg;
    struct session *s = NULL;
    struct tty *tty = NULL;
    int r = session_new(g->pid, &s);
    if (r < 0)
        return r;
    rwlock_wrlock(&task_lock);
    bool is_leader = g->session->pid == g->pid;
    if (is_leader || !list_empty(&g->pid->pgrp_members)) {
        rwlock_wrunlock(&task_lock);
        session_put(s);
        return -LX_EPERM;
    }
    tgroup_session_init(g, s);
    tty = take_ptr(g->tty);
    g->tty_old_pgrp = 0;
    tgroup_publish_ids(g);
    s64 sid = pid_nr_in(g->pid, task_pid_ns(t));
    rwlock_wrunlock(&task_lock);
    tty_put(tty);
    return sid;
}

/* setpgid(2) on g, under task_lock. */
static int move_to_pgrp(struct task *t, struct tgroup *g, s32 pgid)
{
    struct tgroup *self = t->tg;
    if (g->parent == self) {
        if (g->session != self->session)
            return -LX_EPERM;
        if (g->has_execed)
            return -LX_EACCES;
    } else if (g != self) {
        return -LX_ESRCH;
    }
    if (g->session->pid == g->pid)
        return -LX_EPERM; /* a session leader stays */
    struct pid *pgrp = g->pid;
    if (pgid != tgroup_pid_in(g, task_pid_ns(t))) {
        pgrp = pid_lookup(task_pid_ns(t), pgid);
        struct tgroup *member =
            pgrp ? list_first(&pgrp->pgrp_members, struct tgroup, pgrp_node) : NULL;
        if (!member || member->session != self->session)
            return -LX_EPERM;
    }
    if (g->pgrp != pgrp) {
        tgroup_pgrp_set(g, pgrp);
        tgroup_publish_ids(g);
    }
    return 0;
}

s64 session_setpgid(struct task *t, s32 pid, s32 pgid)
{
    struct pid_ns *ns = task_pid_ns(t);
    if (pid == 0)
        pid = tgroup_pid_in(t->tg, ns);
    if (pgid == 0)
        pgid = pid;
    if (pgid < 0)
        return -LX_EINVAL;
    rwlock_wrlock(&task_lock);
    struct pid *p = pid_lookup(ns, pid);
    int r = -LX_ESRCH;
    if (p && p->tgroup)
        r = move_to_pgrp(t, p->tgroup, pgid);
    else if (p && p->task)
        r = -LX_EINVAL; /* a thread that is no leader */
    rwlock_wrunlock(&task_lock);
    return r;
}

s64 session_getpgid(struct task *t, s32 pid, bool is_session)
{
    struct pid_ns *ns = task_pid_ns(t);
    s64 r = -LX_ESRCH;
    rwlock_rdlock(&task_lock);
    struct tgroup *g = t->tg;
    if (pid != 0) {
        struct pid *p = pid_lookup(ns, pid);
        g = p && p->task ? p->task->tg : p ? p->tgroup : NULL;
    }
    if (g)
        r = pid_nr_in(is_session ? g->session->pid : g->pgrp, ns);
    rwlock_rdunlock(&task_lock);
    return r;
}

/* Every process of the session forgets tty; the counted references are dropped after unlocking. */
void session_forget_tty(struct pid *session, struct tty *tty)
{
    for (;;) {
        struct tty *taken = NULL;
        rwlock_wrlock(&task_lock);
        struct tgroup *g;
        list_for_each(g, &session->session_members, session_node) {
            if (g->tty && g->tty == tty) {
                taken = take_ptr(g->tty);
                break;
            }
        }
        rwlock_wrunlock(&task_lock);
        if (!taken)
            return;
        tty_put(taken);
    }
}

void session_disassociate(struct tgroup *g)
{
    rwlock_rdlock(&task_lock);
    bool is_leader = g->session && g->session->pid == g->pid;
    struct tty *tty = is_leader ? g->tty : NULL;
    s32 old_pgrp = is_leader && !tty ? g->tty_old_pgrp : 0;
    if (tty)
        tty_get(tty);
    rwlock_rdunlock(&task_lock);
    if (old_pgrp) {
        vfs_task_ops->signal_pgrp(old_pgrp, LX_SIGHUP);
        vfs_task_ops->signal_pgrp(old_pgrp, LX_SIGCONT);
    }
    if (!tty)
        return;
    tty_session_exit(tty, g->pid->nr[0]);
    session_forget_tty(g->pid, tty);
    tty_put(tty);
}
