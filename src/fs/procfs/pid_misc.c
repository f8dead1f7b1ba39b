/* The smaller files of /proc/PID. */
#include <stdio.h>
#include <string.h>

#include "abi/nr.h"
#include "abi/sched.h"
#include "abi/signal.h"
#include "kern/kern_int.h"
#include "kern/timer.h"
#include "procfs/pid.h"

/* ---- files that only answer an error ------------------------------------------------------------------ */

int show_einval(struct seq *s, const struct pinode *pi)
{
    return -LX_EINVAL;
}

int show_eacces(struct seq *s, const struct pinode *pi)
{
    return -LX_EACCES;
}

/* ---- comm ------------------------------------------------------------------------------------------------ */

int show_comm(struct seq *s, const struct pinode *pi)
{
    char comm[16];
    struct task *t = pinode_task(pi);
    if (!t)
        return -LX_ESRCH;
    mutex_lock(&t->tg->sig_lock);
    memcpy(comm, t->comm, sizeof(comm));
    mutex_unlock(&t->tg->sig_lock);
    comm[15] = 0;
    task_put(t);
    seq_escape(s, comm, "\n\\");
    seq_putc(s, '\n');
    return 0;
}

s64 write_comm(struct file *f, const struct pinode *pi, char *buf, size_t size, s64 off)
{
    struct task *t = pinode_task(pi), *self = task_current();
    s64 r = (s64)size;
    if (!t)
        return -LX_ESRCH;
    if (self && self->tg == t->tg) {
        MUTEX_GUARD(&t->tg->sig_lock);
        memset(t->comm, 0, sizeof(t->comm));
        memcpy(t->comm, buf, MIN(strlen(buf), sizeof(t->comm) - 1));
    } else {
        r = -LX_EINVAL;
    }
    task_put(t);
    return r;
}

/* ---- limits ----------------------------------------------------------------------------------------------- */

static void put_limit(struct seq *s, u64 v)
{
    if (v == UINT64_MAX)
        seq_printf(s, "%-20s ", "unlimited");
    else
        seq_printf(s, "%-20llu ", (unsigned long long)v);
}

int show_limits(struct seq *s, const struct pinode *pi)
{
    static const struct {
        const char *name, *unit;
    } rows[LX_RLIM_NLIMITS] = {
        [LX_RLIMIT_CPU] = {"Max cpu time", "seconds"},
        [LX_RLIMIT_FSIZE] = {"Max file size", "bytes"},
        [LX_RLIMIT_DATA] = {"Max data size", "bytes"},
        [LX_RLIMIT_STACK] = {"Max stack size", "bytes"},
        [LX_RLIMIT_CORE] = {"Max core file size", "bytes"},
        [LX_RLIMIT_RSS] = {"Max resident set", "bytes"},
        [LX_RLIMIT_NPROC] = {"Max processes", "processes"},
        [LX_RLIMIT_NOFILE] = {"Max open files", "files"},
        [LX_RLIMIT_MEMLOCK] = {"Max locked memory", "bytes"},
        [LX_RLIMIT_AS] = {"Max address space", "bytes"},
        [LX_RLIMIT_LOCKS] = {"Max file locks", "locks"},
        [LX_RLIMIT_SIGPENDING] = {"Max pending signals", "signals"},
        [LX_RLIMIT_MSGQUEUE] = {"Max msgqueue size", "bytes"},
        [LX_RLIMIT_NICE] = {"Max nice priority", ""},
        [LX_RLIMIT_RTPRIO] = {"Max realtime priority", ""},
        [LX_RLIMIT_RTTIME] = {"Max realtime timeout", "us"},
    };
    struct lx_rlimit l[LX_RLIM_NLIMITS];
    struct task *t = pinode_task(pi);
    if (!t)
        return 0;
    mutex_lock(&t->tg->limits_lock);
    memcpy(l, t->tg->rlimits, sizeof(l));
    mutex_unlock(&t->tg->limits_lock);
    task_put(t);
    seq_printf(s, "%-25s %-20s %-20s %-10s\n", "Limit", "Soft Limit", "Hard Limit", "Units");
    for (int i = 0; i < LX_RLIM_NLIMITS; i++) {
        seq_printf(s, "%-25s ", rows[i].name);
        put_limit(s, l[i].cur);
        put_limit(s, l[i].max);
        seq_printf(s, rows[i].unit[0] ? "%-10s\n" : "%s\n", rows[i].unit);
    }
    return 0;
}

/* ---- what it is doing ------------------------------------------------------------------------------------- */

int show_syscall(struct seq *s, const struct pinode *pi)
{
    struct task *t = pinode_task(pi);
    if (!t)
        return -LX_ESRCH;
    u32 nr = __atomic_load_n(&t->cur_nr, __ATOMIC_RELAXED);
    if (nr >= LX_NR_COUNT || task_state_letter(t) == 'R')
        seq_puts(s, "running\n");
    else
        seq_printf(s, "%u 0x%llx 0x%llx 0x%llx 0x%llx 0x%llx 0x%llx 0x0 0x0\n", nr,
                   (unsigned long long)t->cur_args[0], (unsigned long long)t->cur_args[1],
                   (unsigned long long)t->cur_args[2], (unsigned long long)t->cur_args[3],
                   (unsigned long long)t->cur_args[4], (unsigned long long)t->cur_args[5]);
    task_put(t);
    return 0;
}

int show_wchan(struct seq *s, const struct pinode *pi)
{
    struct task *t = pinode_task(pi);
    if (!t)
        return -LX_ESRCH;
    const char *where = ptrace_may_access(t, false) == 0 ? atomic_load(&t->parker.where) : NULL;
    seq_puts(s, where && parker_is_asleep(&t->parker) ? where : "0");
    task_put(t);
    return 0;
}

int show_children(struct seq *s, const struct pinode *pi)
{
    struct task *t = pinode_task(pi);
    struct tgroup *c;
    if (!t)
        return -LX_ESRCH;
    rwlock_rdlock(&task_lock);
    list_for_each(c, &t->tg->children, sibling) {
        s32 pid = tgroup_pid_in(c, pinode_ns(pi));
        if (pid && (!pi->is_thread || c->parent_task == t))
            seq_printf(s, "%d ", pid);
    }
    rwlock_rdunlock(&task_lock);
    task_put(t);
    return 0;
}

int show_sched(struct seq *s, const struct pinode *pi)
{
    struct task_usage u;
    struct task *t = pinode_task(pi);
    char comm[16];
    if (!t)
        return -LX_ESRCH;
    task_usage_now(t, &u);
    mutex_lock(&t->tg->sig_lock);
    memcpy(comm, t->comm, sizeof(comm));
    u32 nthreads = t->tg->ntasks;
    mutex_unlock(&t->tg->sig_lock);
    comm[15] = 0;
    u64 ns = u.utime_ns + u.stime_ns;
    seq_printf(s, "%s (%d, #threads: %u)\n", comm, task_tid_in(t, pinode_ns(pi)), nthreads);
    seq_puts(s, "-------------------------------------------------------------------\n");
    seq_printf(s, "%-45s:%14llu.%06llu\n", "se.sum_exec_runtime",
               (unsigned long long)(ns / 1000000), (unsigned long long)(ns % 1000000));
    seq_printf(s, "%-45s:%21llu\n", "nr_switches", (unsigned long long)(u.nvcsw + u.nivcsw));
    seq_printf(s, "%-45s:%21llu\n", "nr_voluntary_switches", (unsigned long long)u.nvcsw);
    seq_printf(s, "%-45s:%21llu\n", "nr_involuntary_switches", (unsigned long long)u.nivcsw);
    seq_printf(s, "%-45s:%21u\n", "policy", t->sched_policy);
    seq_printf(s, "%-45s:%21d\n", "prio", 120 + t->nice);
    task_put(t);
    return 0;
}

int show_schedstat(struct seq *s, const struct pinode *pi)
{
    struct task_usage u;
    struct task *t = pinode_task(pi);
    if (!t)
        return -LX_ESRCH;
    task_usage_now(t, &u);
    task_put(t);
    seq_printf(s, "%llu 0 %llu\n", (unsigned long long)(u.utime_ns + u.stime_ns),
               (unsigned long long)(u.nvcsw + u.nivcsw));
    return 0;
}

int show_io(struct seq *s, const struct pinode *pi)
{
    struct vfs_io io;
    struct task *t = pinode_task(pi);
    if (!t)
        return -LX_ESRCH;
    if (pi->is_thread)
        io = t->vt.io;
    else
        tgroup_io_now(t->tg, &io);
    task_put(t);
    seq_printf(s, "rchar: %llu\nwchar: %llu\nsyscr: %llu\nsyscw: %llu\nread_bytes: 0\nwrite_bytes: 0\n"
                  "cancelled_write_bytes: 0\n",
               (unsigned long long)io.rchar, (unsigned long long)io.wchar,
               (unsigned long long)io.syscr, (unsigned long long)io.syscw);
    return 0;
}

int show_personality(struct seq *s, const struct pinode *pi)
{
    struct task *t = pinode_task(pi);
    if (!t)
        return -LX_ESRCH;
    seq_printf(s, "%08x\n", t->personality);
    task_put(t);
    return 0;
}

/* ---- groups of control, out of memory ---------------------------------------------------------------------- */

int show_cgroup(struct seq *s, const struct pinode *pi)
{
    seq_puts(s, "0::/\n");
    return 0;
}

int show_cpuset(struct seq *s, const struct pinode *pi)
{
    seq_puts(s, "/\n");
    return 0;
}

#define OOM_ADJ_MAX       15
#define OOM_DISABLE       (-17)
#define OOM_SCORE_ADJ_MAX 1000

static int get_oom(const struct pinode *pi, s32 *ret_adj)
{
    struct task *t = pinode_task(pi);
    if (!t)
        return -LX_ESRCH;
    *ret_adj = (s32)__atomic_load_n(&t->tg->oom_score_adj, __ATOMIC_RELAXED);
    task_put(t);
    return 0;
}

int show_oom_score(struct seq *s, const struct pinode *pi)
{
    s32 adj;
    int r = get_oom(pi, &adj);
    if (r < 0)
        return r;
    struct mm *mm = pinode_mm(pi);
    s64 share = mm ? (s64)(mm_rss_now(mm) * 1000 / MAX(mm_total_memory(), 1UL)) : 0;
    if (mm)
        mm_put(mm);
    s64 points = adj == -OOM_SCORE_ADJ_MAX ? 0 : (1000 + share + adj) * 2 / 3;
    seq_printf(s, "%lld\n", (long long)MAX(points, (s64)0));
    return 0;
}

int show_oom_score_adj(struct seq *s, const struct pinode *pi)
{
    s32 adj;
    int r = get_oom(pi, &adj);
    if (r == 0)
        seq_printf(s, "%d\n", adj);
    return r;
}

int show_oom_adj(struct seq *s, const struct pinode *pi)
{
    s32 adj;
    int r = get_oom(pi, &adj);
    if (r == 0)
        seq_printf(s, "%d\n", adj == OOM_SCORE_ADJ_MAX ? OOM_ADJ_MAX : adj * -OOM_DISABLE / OOM_SCORE_ADJ_MAX);
    return r;
}

static s64 set_oom(const struct pinode *pi, s32 adj, size_t size)
{
    struct task *t = pinode_task(pi);
    s64 r = (s64)size;
    if (!t)
        return -LX_ESRCH;
    if (adj < (s32)t->tg->oom_score_adj && !ns_capable(&root_user_ns, LX_CAP_SYS_RESOURCE))
        r = -LX_EACCES;
    else
        __atomic_store_n(&t->tg->oom_score_adj, (u32)adj, __ATOMIC_RELAXED);
    task_put(t);
    return r;
}

s64 write_oom_score_adj(struct file *f, const struct pinode *pi, char *buf, size_t size, s64 off)
{
    s64 v;
    if (!parse_s64(buf, &v) || v < -OOM_SCORE_ADJ_MAX || v > OOM_SCORE_ADJ_MAX)
        return -LX_EINVAL;
    return set_oom(pi, (s32)v, size);
}

s64 write_oom_adj(struct file *f, const struct pinode *pi, char *buf, size_t size, s64 off)
{
    s64 v;
    if (!parse_s64(buf, &v) || ((v < -16 || v > OOM_ADJ_MAX) && v != OOM_DISABLE))
        return -LX_EINVAL;
    s32 adj = v == OOM_ADJ_MAX ? OOM_SCORE_ADJ_MAX : (s32)(v * OOM_SCORE_ADJ_MAX / -OOM_DISABLE);
    return set_oom(pi, adj, size);
}

/* ---- audit ids, dumps, slack -------------------------------------------------------------------------------- */

int show_loginuid(struct seq *s, const struct pinode *pi)
{
    seq_printf(s, "%u", UINT32_MAX); /* nobody logged in */
    return 0;
}

s64 write_loginuid(struct file *f, const struct pinode *pi, char *buf, size_t size, s64 off)
{
    return -LX_EPERM; /* as without CAP_AUDIT_CONTROL */
}

#define COREDUMP_DEFAULT 0x33U

int show_coredump_filter(struct seq *s, const struct pinode *pi)
{
    struct task *t = pinode_task(pi);
    if (!t)
        return -LX_ESRCH;
    seq_printf(s, "%08x\n", t->tg->coredump_filter ^ COREDUMP_DEFAULT);
    task_put(t);
    return 0;
}

s64 write_coredump_filter(struct file *f, const struct pinode *pi, char *buf, size_t size, s64 off)
{
    u64 v;
    if (!parse_u64(buf, &v) || v > UINT32_MAX)
        return -LX_EINVAL;
    struct task *t = pinode_task(pi);
    if (!t)
        return -LX_ESRCH;
    t->tg->coredump_filter = ((u32)v & 0x1ff) ^ COREDUMP_DEFAULT;
    task_put(t);
    return (s64)size;
}

/* Another's needs CAP_SYS_NICE over it. */
static bool may_slack(struct task *t)
{
    struct task *self = task_current();
    if (!self || self == t)
        return true;
    const struct cred *c = task_get_cred(t);
    bool may = ns_capable(c->user_ns, LX_CAP_SYS_NICE);
    cred_put(c);
    return may;
}

int show_timerslack(struct seq *s, const struct pinode *pi)
{
    struct task *t = pinode_task(pi);
    if (!t)
        return -LX_ESRCH;
    int r = may_slack(t) ? 0 : -LX_EPERM;
    if (r == 0)
        seq_printf(s, "%llu\n", (unsigned long long)t->timer_slack_ns);
    task_put(t);
    return r;
}

s64 write_timerslack(struct file *f, const struct pinode *pi, char *buf, size_t size, s64 off)
{
    u64 v;
    if (!parse_u64(buf, &v))
        return -LX_EINVAL;
    struct task *t = pinode_task(pi);
    if (!t)
        return -LX_ESRCH;
    s64 r = may_slack(t) ? (s64)size : -LX_EPERM;
    if (r > 0)
        t->timer_slack_ns = v ? v : 50000;
    task_put(t);
    return r;
}

/* ---- timers ------------------------------------------------------------------------------------------------- */

int show_timers(struct seq *s, const struct pinode *pi)
{
    static const char *const notify[] = {"signal", "none", "thread", "?", "signal"};
    struct ptimer_info p;
    struct task *t = pinode_task(pi);
    if (!t)
        return -LX_ESRCH;
    for (u32 i = 0; timers_describe(t->tg, i, &p) && !seq_is_full(s); i++)
        seq_printf(s, "ID: %d\nsignal: %d/%016llx\nnotify: %s/%s.%d\nClockID: %d\n", p.id, p.signo,
                   (unsigned long long)p.value, notify[MIN((u32)p.notify, 4U)],
                   p.notify == LX_SIGEV_THREAD_ID ? "tid" : "pid",
                   tgroup_pid_in(t->tg, pinode_ns(pi)), p.clock);
    task_put(t);
    return 0;
}
