/* ptrace: the places where the rest of kern asks about tracers. Nothing is traced yet. */
#include "kern/wait.h"

bool ptrace_is_traced(const struct task *t)
{
    return t->ptrace != NULL;
}

s32 ptrace_tracer_pid(struct task *t, const struct pid_ns *ns)
{
    return 0;
}

bool ptrace_wants_attention(const struct task *t)
{
    return false;
}

int ptrace_signal_stop(struct task *t, int signo, struct lx_siginfo *info)
{
    return signo;
}

bool ptrace_makes_exec_unsafe(const struct task *t)
{
    return false;
}

void ptrace_exit_event(struct task *t, int code)
{
}

void ptrace_exit(struct task *t)
{
}

void ptrace_exec_event(struct task *t, s32 old_tid)
{
}

void ptrace_clone_event(struct task *t, struct task *child, const struct clone_args *args)
{
}

void ptrace_vfork_done(struct task *t, s32 tid)
{
}

bool ptrace_hides_zombie(const struct tgroup *c, const struct task *waiter)
{
    return false;
}

int ptrace_wait_scan(struct task *t, const struct wait_req *rq, struct wait_result *ret,
                     struct tgroup **ret_dead)
{
    return -LX_ECHILD;
}

/* ptrace(2)'s "Ptrace access mode checking", without the LSM step. */
int ptrace_may_access(struct task *t, bool is_attach)
{
    struct task *self = task_current();
    if (!self || t->tg == self->tg)
        return 0;
    const struct cred *c = task_get_cred(t);
    const struct cred *own = self->cred;
    bool is_same = own->fsuid == c->euid && own->fsuid == c->suid && own->fsuid == c->uid &&
                   own->fsgid == c->egid && own->fsgid == c->sgid && own->fsgid == c->gid;
    bool is_able = ns_capable(c->user_ns, LX_CAP_SYS_PTRACE);
    struct user_ns *uns = c->user_ns;
    bool is_cap_subset = own->user_ns == uns && (c->cap_permitted & ~own->cap_permitted) == 0;
    cred_put(c);
    if (!is_same && !is_able)
        return -LX_EPERM;
    struct mm *mm = task_get_mm(t);
    bool is_dumpable = !mm || mm->dumpable == 1;
    if (mm)
        mm_put(mm);
    if (!is_dumpable && !is_able)
        return -LX_EPERM;
    if (!is_cap_subset && !is_able)
        return -LX_EPERM;
    return 0;
}
