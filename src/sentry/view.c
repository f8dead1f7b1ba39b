/* What the host is shown of a container's processes (CTL_VIEW). See sentry.h. */
#include <stdlib.h>
#include <string.h>

#include "abi/fs.h"
#include "fs/tty.h"
#include "kern/kern_int.h"
#include "kern/parts.h"
#include "procfs/procfs.h"
#include "sentry/sentry.h"

static void put_cred(const struct cred *c, struct ctl_view *v)
{
    const u32 uid[4] = {c->uid, c->euid, c->suid, c->fsuid},
              gid[4] = {c->gid, c->egid, c->sgid, c->fsgid};
    const u64 caps[5] = {c->cap_inheritable, c->cap_permitted, c->cap_effective, c->cap_bounding,
                         c->cap_ambient};
    memcpy(v->uid, uid, sizeof(uid));
    memcpy(v->gid, gid, sizeof(gid));
    memcpy(v->caps, caps, sizeof(caps));
    v->is_no_new_privs = c->is_no_new_privs;
}

/* Under task_lock. */
static void describe(struct tgroup *g, struct pid_ns *ns, struct ctl_view *v)
{
    struct task *t = g->leader;
    struct task_usage u;
    *v = (struct ctl_view){
        .pid = tgroup_pid_in(g, ns),
        .ppid = g->parent ? tgroup_pid_in(g->parent, ns) : 0,
        .pgrp = g->pgrp ? pid_nr_in(g->pgrp, ns) : 0,
        .session = g->session ? pid_nr_in(g->session->pid, ns) : 0,
        .start_ns = (u64)g->start_boot_ns,
        .ntasks = g->ntasks,
        .tty = g->tty ? (s32)tty_dev(g->tty) : 0,
        .nice = t->nice,
        .seccomp = (u8)t->seccomp_mode,
    };
    mutex_lock(&g->sig_lock);
    if (t->cred)
        put_cred(t->cred, v);
    memcpy(v->comm, t->comm, sizeof(v->comm));
    mutex_unlock(&g->sig_lock);
    v->comm[sizeof(v->comm) - 1] = 0;
    tgroup_usage_now(g, &u);
    v->user_ns = u.utime_ns;
    v->system_ns = u.stime_ns;
}

/* With no locks: its arguments are the program's memory. */
static void put_rest(struct tgroup *g, struct ctl_view *v)
{
    rwlock_rdlock(&task_lock);
    struct task *t = g->leader;
    task_get(t);
    rwlock_rdunlock(&task_lock);
    v->state = (u8)task_state_letter(t);
    struct mm *mm = task_get_mm(t);
    task_put(t);
    if (!mm)
        return;
    mutex_lock(&mm->lock);
    u64 start = mm->arg_start, end = mm->arg_end;
    mutex_unlock(&mm->lock);
    if (end > start)
        v->nargs = (u32)mm_read(mm, start, v->args, MIN(end - start, (u64)sizeof(v->args)));
    mm_put(mm);
}

u32 container_view(struct container *c, u32 first, struct ctl_view *ret, u32 max)
{
    struct tgroup *g, **groups = calloc(max, sizeof(struct tgroup *));
    u32 nth = 0, n = 0;
    rwlock_rdlock(&task_lock);
    list_for_each (g, &all_tgroups, all_node) {
        if (g->container != c)
            continue;
        if (groups && nth >= first && n < max) {
            describe(g, c->ns->pid_for_children, &ret[n]);
            tgroup_get(g);
            groups[n++] = g;
        }
        nth++;
    }
    rwlock_rdunlock(&task_lock);
    for (u32 i = 0; i < n; i++) {
        put_rest(groups[i], &ret[i]);
        tgroup_put(groups[i]);
    }
    free(groups);
    return nth;
}
