/* /proc/sysvipc: one line an object; what the reader's user namespace cannot name is shown as the overflow id. */
#include "kern/ipc.h"
#include "procfs/proc_int.h"

static struct ipc_ns *own_ns(void)
{
    struct task *t = task_current();
    return t && t->ns ? t->ns->ipc : root_ipc_ns;
}

static u32 uid(u32 kuid)
{
    return from_kuid(vfs_cred()->user_ns ? vfs_cred()->user_ns : &root_user_ns, kuid);
}

static u32 gid(u32 kgid)
{
    return from_kgid(vfs_cred()->user_ns ? vfs_cred()->user_ns : &root_user_ns, kgid);
}

static s32 pid(s32 nr)
{
    struct task *t = task_current();
    return t ? ipc_show_pid(t, nr) : nr;
}

/* Calls fn for the slots from the cursor on. */
static int for_each(struct seq *s, bool (*fn)(struct seq *s, struct ipc_ns *ns, u32 slot))
{
    struct ipc_ns *ns = own_ns();
    u32 slot = s->cursor == 0 ? 0 : (u32)s->cursor - 1;
    for (; slot < IPC_MAX_IDS && !seq_is_full(s); slot++)
        (void)fn(s, ns, slot);
    s->cursor = slot < IPC_MAX_IDS ? (u64)slot + 1 : SEQ_END;
    return 0;
}

static bool put_msg(struct seq *s, struct ipc_ns *ns, u32 slot)
{
    struct msg_line l;
    if (!msg_describe(ns, slot, &l))
        return false;
    seq_printf(s, "%10d %10d  %4o  %10llu %10llu %5d %5d %5u %5u %5u %5u %10lld %10lld %10lld\n", l.key, l.id,
               l.mode, (unsigned long long)l.cbytes, (unsigned long long)l.qnum, pid(l.lspid),
               pid(l.lrpid), uid(l.uid), gid(l.gid), uid(l.cuid), gid(l.cgid), (long long)l.stime,
               (long long)l.rtime, (long long)l.ctime);
    return true;
}

int show_sysvipc_msg(struct seq *s, const struct pinode *pi)
{
    if (s->cursor == 0)
        seq_puts(s, "       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid  cuid  cgid      "
                    "stime      rtime      ctime\n");
    return for_each(s, put_msg);
}

static bool put_sem(struct seq *s, struct ipc_ns *ns, u32 slot)
{
    struct sem_line l;
    if (!sem_describe(ns, slot, &l))
        return false;
    seq_printf(s, "%10d %10d  %4o %10u %5u %5u %5u %5u %10lld %10lld\n", l.key, l.id, l.mode, l.nsems,
               uid(l.uid), gid(l.gid), uid(l.cuid), gid(l.cgid), (long long)l.otime,
               (long long)l.ctime);
    return true;
}

int show_sysvipc_sem(struct seq *s, const struct pinode *pi)
{
    if (s->cursor == 0)
        seq_puts(s, "       key      semid perms      nsems   uid   gid  cuid  cgid      otime      ctime\n");
    return for_each(s, put_sem);
}

static bool put_shm(struct seq *s, struct ipc_ns *ns, u32 slot)
{
    struct shm_line l;
    if (!shm_describe(ns, slot, &l))
        return false;
    seq_printf(s, "%10d %10d  %4o %21llu %5d %5d  %5llu %5u %5u %5u %5u %10lld %10lld %10lld %21llu %21d\n",
               l.key, l.id, l.mode, (unsigned long long)l.size, pid(l.cpid), pid(l.lpid),
               (unsigned long long)l.nattch, uid(l.uid), gid(l.gid), uid(l.cuid), gid(l.cgid),
               (long long)l.atime, (long long)l.dtime, (long long)l.ctime,
               (unsigned long long)l.size, 0);
    return true;
}

int show_sysvipc_shm(struct seq *s, const struct pinode *pi)
{
    if (s->cursor == 0)
        seq_puts(s, "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid      "
                    "atime      dtime      ctime                   rss                  swap\n");
    return for_each(s, put_shm);
}
