/* /proc/PID/status and stat. Field order and spelling are proc_pid_status(5)'s and proc_pid_stat(5)'s. */
#include <string.h>

#include "abi/sched.h"
#include "fs/tty.h"
#include "kern/futex.h"
#include "kern/host_info.h"
#include "kern/kern_int.h"
#include "kern/sched.h"
#include "kern/time.h"
#include "procfs/pid.h"

char task_state_letter(struct task *t)
{
    switch (atomic_load(&t->state)) {
    case TASK_STOPPED:
        return 'T';
    case TASK_TRACED:
        return 't';
    case TASK_ZOMBIE:
        return 'Z';
    case TASK_DEAD:
        return 'X';
    case TASK_DISK:
        return 'D';
    case TASK_SLEEPING:
        return 'S';
    default:
        break;
    }
    MUTEX_GUARD(&t->ptr_lock);
    if (t->uctx && uctx_is_in_app(t->uctx))
        return uctx_is_in_futex(t->uctx) ? 'S' : 'R';
    return parker_is_asleep(&t->parker) ? 'S' : 'R';
}

static const char *state_text(char c)
{
    switch (c) {
    case 'R':
        return "R (running)";
    case 'S':
        return "S (sleeping)";
    case 'D':
        return "D (disk sleep)";
    case 'T':
        return "T (stopped)";
    case 't':
        return "t (tracing stop)";
    case 'Z':
        return "Z (zombie)";
    default:
        return "X (dead)";
    }
}

/* ---- what both show ------------------------------------------------------------------------------- */

struct signals {
    sigset_lx pending, shared, blocked, ignored, caught;
    u32 nqueued;
    u64 limit;
    u32 nthreads;
    char comm[16];
};

static void get_signals(struct task *t, struct signals *ret)
{
    struct tgroup *g = t->tg;
    *ret = (struct signals){.limit = task_rlimit(t, LX_RLIMIT_SIGPENDING)};
    MUTEX_GUARD(&g->sig_lock);
    memcpy(ret->comm, t->comm, sizeof(ret->comm));
    ret->comm[sizeof(ret->comm) - 1] = 0;
    ret->pending = t->pending.set;
    ret->shared = g->shared.set;
    ret->blocked = t->blocked;
    ret->nthreads = g->ntasks + g->leader->is_usage_final; /* a leader counts until its process is reaped */
    ret->nqueued = t->user ? atomic_load(&t->user->nsigpending) : 0;
    if (!g->sighand)
        return;
    MUTEX_GUARD(&g->sighand->lock);
    for (int i = 0; i < LX_NSIG; i++) {
        u64 h = g->sighand->action[i].handler;
        if (h == LX_SIG_IGN)
            ret->ignored |= 1ULL << i;
        else if (h != LX_SIG_DFL)
            ret->caught |= 1ULL << i;
    }
}

struct family {
    s32 tgid, pid, ppid, pgrp, session, tty_nr, tpgid;
};

static void get_family(struct task *t, const struct pid_ns *ns, struct family *ret)
{
    struct tgroup *g = t->tg;
    struct tty *tty = NULL;
    *ret = (struct family){.tpgid = -1};
    rwlock_rdlock(&task_lock);
    ret->tgid = tgroup_pid_in(g, ns);
    ret->pid = task_tid_in(t, ns);
    ret->ppid = g->parent ? tgroup_pid_in(g->parent, ns) : 0;
    ret->pgrp = g->pgrp ? pid_nr_in(g->pgrp, ns) : 0;
    ret->session = g->session ? pid_nr_in(g->session->pid, ns) : 0;
    tty = g->tty;
    if (tty)
        tty_get(tty);
    rwlock_rdunlock(&task_lock);
    if (!tty)
        return;
    ret->tty_nr = (s32)tty_dev(tty);
    struct pid *fg = pid_find(&root_pid_ns, tty_fg_pgrp(tty));
    if (fg) {
        ret->tpgid = pid_nr_in(fg, ns);
        pid_put(fg);
    }
    tty_put(tty);
}

/* ---- status ----------------------------------------------------------------------------------------- */

static void put_ids(struct seq *s, const char *label, const u32 ids[4])
{
    seq_printf(s, "%s:\t%u\t%u\t%u\t%u\n", label, ids[0], ids[1], ids[2], ids[3]);
}

static void put_cred(struct seq *s, const struct cred *c, u32 fdsize)
{
    struct user_ns *ns = vfs_cred()->user_ns ? vfs_cred()->user_ns : &root_user_ns;
    u32 uids[4] = {from_kuid(ns, c->uid), from_kuid(ns, c->euid), from_kuid(ns, c->suid),
                   from_kuid(ns, c->fsuid)};
    u32 gids[4] = {from_kgid(ns, c->gid), from_kgid(ns, c->egid), from_kgid(ns, c->sgid),
                   from_kgid(ns, c->fsgid)};
    put_ids(s, "Uid", uids);
    put_ids(s, "Gid", gids);
    seq_printf(s, "FDSize:\t%u\nGroups:\t", fdsize);
    for (u32 i = 0; i < c->ngroups; i++)
        seq_printf(s, "%s%u", i ? " " : "", from_kgid(ns, c->groups[i]));
    seq_puts(s, " \n");
}

static void put_ns_ids(struct seq *s, const char *label, const struct pid *p, const struct pid_ns *ns)
{
    seq_printf(s, "%s:", label);
    for (u32 l = ns->level; p && l <= p->level; l++)
        seq_printf(s, "\t%d", p->nr[l]);
    seq_putc(s, '\n');
}

static void put_memory(struct seq *s, struct mm *mm)
{
    struct mm_resident rss;
    mm_resident_now(mm, &rss);
    u64 all = rss.anon + rss.file + rss.shmem;
    mutex_lock(&mm->lock);
    u64 peak = MAX(mm->peak_size, mm->total_size), text = (mm->end_code - mm->start_code) >> 10;
    const struct {
        const char *label;
        u64 kib;
    } rows[] = {
        {"VmPeak", peak >> 10},        {"VmSize", mm->total_size >> 10}, {"VmLck", mm->locked_size >> 10},
        {"VmPin", 0},                  {"VmHWM", all >> 10},             {"VmRSS", all >> 10},
        {"RssAnon", rss.anon >> 10},   {"RssFile", rss.file >> 10},      {"RssShmem", rss.shmem >> 10},
        {"VmData", mm->data_size >> 10}, {"VmStk", mm->stack_size >> 10}, {"VmExe", text},
        {"VmLib", mm->exec_size >> 10 > text ? (mm->exec_size >> 10) - text : 0},
        {"VmPTE", (all >> 21 << 2) + 40}, {"VmSwap", 0},                 {"HugetlbPages", 0},
    };
    mutex_unlock(&mm->lock);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        seq_printf(s, "%s:\t%8llu kB\n", rows[i].label, (unsigned long long)rows[i].kib);
    seq_puts(s, "CoreDumping:\t0\nTHP_enabled:\t1\nuntag_mask:\t0xffffffffffffffff\n");
}

static void put_signals(struct seq *s, const struct signals *sg)
{
    seq_printf(s, "Threads:\t%u\nSigQ:\t%u/%llu\n", sg->nthreads, sg->nqueued,
               (unsigned long long)sg->limit);
    seq_printf(s, "SigPnd:\t%016llx\nShdPnd:\t%016llx\nSigBlk:\t%016llx\nSigIgn:\t%016llx\nSigCgt:\t%016llx\n",
               (unsigned long long)sg->pending, (unsigned long long)sg->shared,
               (unsigned long long)sg->blocked, (unsigned long long)sg->ignored,
               (unsigned long long)sg->caught);
}

static void put_caps(struct seq *s, const struct cred *c)
{
    seq_printf(s, "CapInh:\t%016llx\nCapPrm:\t%016llx\nCapEff:\t%016llx\nCapBnd:\t%016llx\nCapAmb:\t%016llx\n",
               (unsigned long long)c->cap_inheritable, (unsigned long long)c->cap_permitted,
               (unsigned long long)c->cap_effective, (unsigned long long)c->cap_bounding,
               (unsigned long long)c->cap_ambient);
}

void seq_cpu_list(struct seq *s, u64 mask)
{
    bool is_first = true;
    for (int i = 0; i < 64; i++) {
        if (!((mask >> i) & 1))
            continue;
        int end = i;
        while (end < 63 && ((mask >> (end + 1)) & 1))
            end++;
        seq_printf(s, end > i ? "%s%d-%d" : "%s%d", is_first ? "" : ",", i, end);
        is_first = false;
        i = end;
    }
}

void seq_cpu_mask(struct seq *s, u64 mask)
{
    u32 ncpus = host_info.ncpus;
    if (ncpus > 32)
        seq_printf(s, "%0*x,%08x", (int)((ncpus - 32 + 3) / 4), (u32)(mask >> 32), (u32)mask);
    else
        seq_printf(s, "%0*x", (int)((ncpus + 3) / 4), (u32)mask);
}

static void put_tail(struct seq *s, struct task *t)
{
    struct task_usage u;
    usage_refresh(t);
    task_usage_now(t, &u);
    u64 cpus = sched_affinity(t);
    seq_printf(s, "Seccomp:\t%u\nSeccomp_filters:\t%u\n", t->seccomp_mode, seccomp_count(t));
    seq_puts(s, "Speculation_Store_Bypass:\tunknown\nSpeculationIndirectBranch:\tunknown\n");
    seq_puts(s, "Cpus_allowed:\t");
    seq_cpu_mask(s, cpus);
    seq_puts(s, "\nCpus_allowed_list:\t");
    seq_cpu_list(s, cpus);
    seq_puts(s, "\nMems_allowed:\t1\nMems_allowed_list:\t0\n");
    seq_printf(s, "voluntary_ctxt_switches:\t%llu\nnonvoluntary_ctxt_switches:\t%llu\n",
               (unsigned long long)u.nvcsw, (unsigned long long)u.nivcsw);
}

static u32 umask_of(struct task *t)
{
    struct fs_ctx *fs = task_get_fs(t);
    if (!fs)
        return 0;
    mutex_lock(&fs->lock);
    u32 m = fs->umask;
    mutex_unlock(&fs->lock);
    fs_ctx_put(fs);
    return m;
}

static u32 fdsize_of(struct task *t)
{
    struct fdtable *ft = task_get_files(t);
    if (!ft)
        return 0;
    u32 n = fdtable_size(ft);
    fdtable_put(ft);
    return n;
}

int show_pid_status(struct seq *s, const struct pinode *pi)
{
    const struct pid_ns *ns = pinode_ns(pi);
    struct task *t = pinode_task(pi);
    struct signals sg;
    struct family fam;
    if (!t)
        return -LX_ESRCH;
    get_signals(t, &sg);
    get_family(t, ns, &fam);
    const struct cred *c = task_get_cred(t);
    struct mm *mm = task_get_mm(t);
    seq_puts(s, "Name:\t");
    seq_escape(s, sg.comm, "\n\\");
    seq_putc(s, '\n');
    u32 fdsize = fdsize_of(t);
    if (mm || fdsize)
        seq_printf(s, "Umask:\t%#04o\n", umask_of(t));
    seq_printf(s, "State:\t%s\nTgid:\t%d\nNgid:\t0\nPid:\t%d\nPPid:\t%d\nTracerPid:\t%d\n",
               state_text(task_state_letter(t)), fam.tgid, fam.pid, fam.ppid,
               ptrace_tracer_pid(t, ns));
    put_cred(s, c, fdsize);
    rwlock_rdlock(&task_lock);
    put_ns_ids(s, "NStgid", t->tg->pid, ns);
    put_ns_ids(s, "NSpid", t->pid, ns);
    put_ns_ids(s, "NSpgid", t->tg->pgrp, ns);
    put_ns_ids(s, "NSsid", t->tg->session ? t->tg->session->pid : NULL, ns);
    rwlock_rdunlock(&task_lock);
    seq_puts(s, "Kthread:\t0\n");
    if (mm)
        put_memory(s, mm);
    put_signals(s, &sg);
    put_caps(s, c);
    seq_printf(s, "NoNewPrivs:\t%d\n", c->is_no_new_privs || atomic_load(&t->is_nnp_forced));
    put_tail(s, t);
    if (mm)
        mm_put(mm);
    cred_put(c);
    task_put(t);
    return 0;
}

/* ---- stat ------------------------------------------------------------------------------------------- */

static u64 ticks(u64 ns)
{
    return ns / 10000000;
}

struct stat_mm {
    u64 vsize, rss, start_code, end_code, start_stack, start_data, end_data, start_brk, arg_start,
        arg_end, env_start, env_end;
};

static void get_stat_mm(struct task *t, bool may_look, struct stat_mm *ret)
{
    struct mm *mm = task_get_mm(t);
    *ret = (struct stat_mm){0};
    if (!mm)
        return;
    ret->rss = mm_rss_now(mm) / PAGE_SIZE;
    mutex_lock(&mm->lock);
    ret->vsize = mm->total_size;
    if (may_look) {
        ret->start_code = mm->start_code;
        ret->end_code = mm->end_code;
        ret->start_stack = mm->start_stack;
        ret->start_data = mm->start_data;
        ret->end_data = mm->end_data;
        ret->start_brk = mm->brk_start;
        ret->arg_start = mm->arg_start;
        ret->arg_end = mm->arg_end;
        ret->env_start = mm->env_start;
        ret->env_end = mm->env_end;
    } else {
        ret->start_code = ret->end_code = 1; /* as Linux shows them to strangers */
    }
    mutex_unlock(&mm->lock);
    mm_put(mm);
}

static void get_times(struct task *t, bool is_thread, struct task_usage *self, struct task_usage *child)
{
    usage_refresh(t);
    if (is_thread)
        task_usage_now(t, self);
    else
        tgroup_usage_now(t->tg, self);
    MUTEX_GUARD(&t->tg->sig_lock);
    *child = is_thread ? (struct task_usage){0} : t->tg->child_usage;
}

/* What waits on its PI futexes lends it priority. */
static long priority_of(const struct task *t)
{
    bool is_rt = t->sched_policy == LX_SCHED_FIFO || t->sched_policy == LX_SCHED_RR;
    u32 lent = futex_pi_lent_prio(t), own = is_rt ? t->sched_priority : 0;
    u32 prio = MAX(own, lent);
    return prio ? -1 - (long)prio : 20 + t->nice;
}

int show_pid_stat(struct seq *s, const struct pinode *pi)
{
    struct task *t = pinode_task(pi);
    struct signals sg;
    struct family f;
    struct task_usage u, c;
    struct stat_mm m;
    if (!t)
        return -LX_ESRCH;
    bool may_look = ptrace_may_access(t, false) == 0;
    get_signals(t, &sg);
    get_family(t, pinode_ns(pi), &f);
    get_times(t, pi->is_thread, &u, &c);
    get_stat_mm(t, may_look, &m);
    s64 start = pi->is_thread ? t->start_boot_ns : t->tg->start_boot_ns;
    struct task *self = task_current();
    s64 boot_off = self ? time_ns_boot_off(self) : 0;
    u64 rss_limit = task_rlimit(t, LX_RLIMIT_RSS);
    u32 flags = 0x400000 | (t->tg->has_execed ? 0 : 0x40); /* PF_RANDOMIZE, PF_FORKNOEXEC */

    seq_printf(s, "%d (", pi->is_thread ? f.pid : f.tgid);
    seq_puts(s, sg.comm);
    seq_printf(s, ") %c %d %d %d %d %d %u %llu %llu %llu %llu", task_state_letter(t), f.ppid, f.pgrp,
               f.session, f.tty_nr, f.tpgid, flags, (unsigned long long)u.minflt,
               (unsigned long long)c.minflt, (unsigned long long)u.majflt,
               (unsigned long long)c.majflt);
    seq_printf(s, " %llu %llu %llu %llu %ld %d %u 0 %llu %llu %llu %llu",
               (unsigned long long)ticks(u.utime_ns), (unsigned long long)ticks(u.stime_ns),
               (unsigned long long)ticks(c.utime_ns), (unsigned long long)ticks(c.stime_ns),
               priority_of(t), t->nice, sg.nthreads, (unsigned long long)ticks((u64)(start + boot_off)),
               (unsigned long long)m.vsize, (unsigned long long)m.rss, (unsigned long long)rss_limit);
    seq_printf(s, " %llu %llu %llu 0 0 %llu %llu %llu %llu 0 0 0 %d %u %u %u 0 0 0",
               (unsigned long long)m.start_code, (unsigned long long)m.end_code,
               (unsigned long long)m.start_stack, (unsigned long long)(sg.pending & 0x7fffffff),
               (unsigned long long)(sg.blocked & 0x7fffffff),
               (unsigned long long)(sg.ignored & 0x7fffffff),
               (unsigned long long)(sg.caught & 0x7fffffff),
               t->tg->leader == t ? t->tg->exit_signal : -1, sched_current_cpu(t),
               t->sched_priority, t->sched_policy);
    seq_printf(s, " %llu %llu %llu %llu %llu %llu %llu %d\n", (unsigned long long)m.start_data,
               (unsigned long long)m.end_data, (unsigned long long)m.start_brk,
               (unsigned long long)m.arg_start, (unsigned long long)m.arg_end,
               (unsigned long long)m.env_start, (unsigned long long)m.env_end,
               may_look ? t->exit_code : 0);
    task_put(t);
    return 0;
}
