/* What POSIX message queues (fs/mqueue.c) need of tasks: namespace, signals, limits. */
#include "abi/sched.h"
#include "abi/signal.h"
#include "fs/mqueue.h"
#include "kern/ipc.h"
#include "kern/kern_int.h"

static int mq_super(struct super **ret_sb)
{
    struct task *t = task_current();
    struct ipc_ns *ns = t && t->ns ? t->ns->ipc : root_ipc_ns;
    MUTEX_GUARD(&ns->mq_lock);
    int r = ns->mq_sb ? 0 : mqueue_super_new(&ns->mq_sb);
    if (r < 0)
        return r;
    super_get(ns->mq_sb);
    *ret_sb = ns->mq_sb;
    return 0;
}

static void mq_signal(s32 pid, int signo, u64 value)
{
    struct task *self = task_current();
    struct tgroup *g = tgroup_find(&root_pid_ns, pid);
    if (!g)
        return;
    struct lx_siginfo info = {.si_signo = signo, .si_code = LX_SI_MESGQ, .rt = {.value = value}};
    if (self) {
        info.rt.pid = tgroup_pid_in(self->tg, g->pid->ns);
        info.rt.uid = from_kuid(g->leader->cred->user_ns, self->cred->uid);
    }
    (void)signal_send_tgroup(g, &info, signo); /* a full queue: the notification is lost, as on Linux */
    tgroup_put(g);
}

static int mq_charge(u64 bytes, void **ret_user)
{
    struct task *t = task_current();
    struct user_struct *u = t ? t->user : NULL;
    *ret_user = u;
    if (!u)
        return 0;
    u64 limit = task_rlimit(t, LX_RLIMIT_MSGQUEUE);
    if (atomic_fetch_add(&u->mq_bytes, bytes) + bytes > limit) {
        atomic_fetch_sub(&u->mq_bytes, bytes);
        return -LX_EMFILE;
    }
    user_ref(u);
    return 0;
}

static void mq_uncharge(void *user, u64 bytes)
{
    struct user_struct *u = user;
    if (!u)
        return;
    atomic_fetch_sub(&u->mq_bytes, bytes);
    user_put(u);
}

static const struct mqueue_hooks hooks = {mq_super, mq_signal, mq_charge, mq_uncharge};

void ipc_mq_init(void)
{
    mqueue_hooks = &hooks;
}
