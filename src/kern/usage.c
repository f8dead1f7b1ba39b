/*
 * Resource usage.
 *
 * CPU time has two halves: a stub's (the application, and host system time for
 * its page faults) counts as user time; that of the Sentry thread which runs a
 * task's system calls as system time. Both are clocks of the host, read when somebody asks.
 * A whole group's user time is the clock of its stub process, which keeps what
 * ended threads have used; the sum over its threads would cost a clock each.
 *
 * Faults and preemptions are the stub's, too, which has to be asked for them (usage_refresh, and at
 * its end): a group has them, a thread only when it is alone. A voluntary switch is a sleep in a
 * system call; sleeps on futexes that the stub makes by itself are not counted.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "abi/sched.h"
#include "kern/parts.h"
#include "kern/time.h"
#include "kern/timer.h"
#include "platform/counts.h"

void usage_add(struct task_usage *sum, const struct task_usage *u)
{
    sum->utime_ns += u->utime_ns;
    sum->stime_ns += u->stime_ns;
    sum->minflt += u->minflt;
    sum->majflt += u->majflt;
    sum->nvcsw += u->nvcsw;
    sum->nivcsw += u->nivcsw;
    sum->inblock += u->inblock;
    sum->oublock += u->oublock;
    sum->maxrss = MAX(sum->maxrss, u->maxrss);
}

/* Of all that ended since the start: /proc/stat's counters never go back. */
static _Atomic u64 ended_utime_ns, ended_stime_ns;

void usage_add_io(struct vfs_io *sum, const struct vfs_io *io)
{
    sum->rchar += io->rchar;
    sum->wchar += io->wchar;
    sum->syscr += io->syscr;
    sum->syscw += io->syscw;
}

void tgroup_io_now(struct tgroup *g, struct vfs_io *ret)
{
    struct task *t;
    MUTEX_GUARD(&g->sig_lock);
    *ret = g->dead_io;
    list_for_each (t, &g->tasks, tg_node)
        if (!t->is_usage_final)
            usage_add_io(ret, &t->vt.io); /* racy: counters of a thread that runs */
}

static u64 read_clock(clockid_t id)
{
    struct timespec ts;
    if (clock_gettime(id, &ts) < 0)
        return 0;
    return (u64)ts.tv_sec * NSEC_PER_SEC + (u64)ts.tv_nsec;
}

/* CPU time of the Sentry thread on behalf of t. */
static u64 sentry_ns(const struct task *t)
{
    if (!t->host_tid)
        return 0;
    clockid_t id = (clockid_t)((~(u32)t->host_tid << 3) | 6); /* CPUCLOCK_SCHED of a thread */
    u64 now = read_clock(id);
    return now > t->host_cpu_base_ns ? now - t->host_cpu_base_ns : 0;
}

static u64 stub_ns(struct task *t)
{
    MUTEX_GUARD(&t->ptr_lock);
    return t->uctx ? uctx_cpu_ns(t->uctx) : 0;
}

void usage_task_start(struct task *t)
{
    t->host_cpu_base_ns = read_clock(CLOCK_THREAD_CPUTIME_ID);
    t->host_tid = (s32)syscall(SYS_gettid);
    /* The guest's slack is added where it sleeps; our own waits are to end on time. */
    prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
    /* A limit on CPU time comes with fork; the counting begins here. */
    if (t == t->tg->leader && t->tg->rlimits[LX_RLIMIT_CPU].cur != UINT64_MAX)
        cpu_limit_changed(t->tg);
}

/* Live numbers; under sig_lock, so that the task cannot become final in between. */
static void usage_live(struct task *t, struct task_usage *ret) REQUIRES(t->tg->sig_lock)
{
    *ret = t->usage;
    if (t->is_usage_final)
        return;
    ret->utime_ns = stub_ns(t);
    ret->stime_ns = sentry_ns(t);
    ret->nvcsw = atomic_load_explicit(&t->parker.nsleeps, memory_order_relaxed);
}

static void add_counts(struct task_usage *u, const struct aspace *as)
{
    struct aspace_counts c;
    aspace_counts_last(as, &c);
    u->minflt += c.minflt;
    u->majflt += c.majflt;
    u->nivcsw += c.nivcsw;
}

void usage_refresh(struct task *t)
{
    struct mm *mm = task_get_mm(t);
    if (mm)
        aspace_counts_refresh(mm->as);
    mm_put(mm);
}

void task_usage_now(struct task *t, struct task_usage *ret)
{
    MUTEX_GUARD(&t->tg->sig_lock);
    usage_live(t, ret);
    bool is_alone = t->tg->ntasks == 1 && !t->tg->is_mm_sharer && !t->is_usage_final;
    struct mm *mm = is_alone ? task_get_mm(t) : NULL;
    if (!mm)
        return;
    add_counts(ret, mm->as);
    mm_put(mm); /* not the last reference: the task has its own while it is live */
}

void usage_task_exit(struct task *t)
{
    struct tgroup *g = t->tg;
    MUTEX_GUARD(&g->sig_lock);
    if (t->is_usage_final)
        return;
    usage_live(t, &t->usage);
    t->is_usage_final = true;
    usage_add_io(&g->dead_io, &t->vt.io);
    struct task_usage u = t->usage;
    if (!g->is_mm_sharer)
        u.utime_ns = 0; /* in the stub's clock: usage_mm_left */
    usage_add(&g->dead_usage, &u);
    atomic_fetch_add(&ended_utime_ns, u.utime_ns);
    atomic_fetch_add(&ended_stime_ns, u.stime_ns);
}

/* A question to the stub at its end is felt by what is small and runs for less: its size stands for
 * what it had resident, and its faults stay uncounted. */
#define ASKED_FROM_BYTES (8UL << 20)
#define ASKED_FROM_NS    (2 * NSEC_PER_MSEC)

/* Asks for the last time what the host counts. The most that mm ever had resident, KiB. */
static u64 last_counts(struct mm *mm)
{
    u64 touchable, text, total;
    {
        MUTEX_GUARD(&mm->lock);
        touchable = mm->data_size + mm->stack_size;
        text = mm->exec_size;
        total = mm->total_size;
    }
    u64 maxrss_kib = 0;
    if (touchable >= ASKED_FROM_BYTES || aspace_cpu_ns(mm->as) >= ASKED_FROM_NS) {
        aspace_counts_refresh(mm->as);
        maxrss_kib = aspace_maxrss_kib(mm->as);
    }
    /* The stub may tell tales of itself. */
    return MIN(maxrss_kib ? maxrss_kib : (touchable + text) / 1024, total / 1024);
}

void usage_mm_left(struct tgroup *g, struct mm *mm)
{
    u64 rss_kib = g->is_mm_sharer ? 0 : last_counts(mm);
    MUTEX_GUARD(&g->sig_lock);
    if (g->is_mm_sharer || g->folded_mm == mm)
        return;
    u64 ns = aspace_cpu_ns(mm->as);
    g->dead_usage.utime_ns += ns;
    add_counts(&g->dead_usage, mm->as);
    g->dead_usage.maxrss = MAX(g->dead_usage.maxrss, rss_kib);
    g->folded_mm = mm;
    atomic_fetch_add(&ended_utime_ns, ns);
}

/* What runs still. */
static void group_live(struct tgroup *g, struct task_usage *ret) REQUIRES(g->sig_lock)
{
    struct task *t;
    struct mm *mm = NULL;
    *ret = (struct task_usage){0};
    list_for_each (t, &g->tasks, tg_node) {
        struct task_usage u;
        if (t->is_usage_final)
            continue;
        usage_live(t, &u);
        if (!g->is_mm_sharer) {
            u.utime_ns = 0;
            if (!mm)
                mm = task_get_mm(t);
        }
        usage_add(ret, &u);
    }
    if (!mm)
        return;
    if (mm != g->folded_mm) {
        ret->utime_ns += aspace_cpu_ns(mm->as);
        add_counts(ret, mm->as);
    }
    mm_put(mm); /* not the last reference: the task has its own while it is live */
}

void tgroup_usage_now(struct tgroup *g, struct task_usage *ret)
{
    MUTEX_GUARD(&g->sig_lock);
    group_live(g, ret);
    usage_add(ret, &g->dead_usage);
}

u64 usage_stub_now(struct tgroup *g, struct task *task)
{
    struct task *t;
    struct mm *mm = NULL;
    u64 sum = 0;
    if (task)
        return stub_ns(task);
    MUTEX_GUARD(&g->sig_lock);
    list_for_each (t, &g->tasks, tg_node) {
        if (g->is_mm_sharer)
            sum += stub_ns(t);
        else if (!mm)
            mm = task_get_mm(t);
    }
    if (mm) {
        sum = aspace_cpu_ns(mm->as);
        mm_put(mm); /* not the last reference, as above */
    }
    return sum;
}

void usage_total_now(struct task_usage *ret)
{
    struct tgroup *g;
    *ret = (struct task_usage){0};
    rwlock_rdlock(&task_lock);
    list_for_each (g, &all_tgroups, all_node) {
        struct task_usage u;
        MUTEX_GUARD(&g->sig_lock);
        group_live(g, &u);
        usage_add(ret, &u);
    }
    ret->utime_ns += atomic_load(&ended_utime_ns);
    ret->stime_ns += atomic_load(&ended_stime_ns);
    rwlock_rdunlock(&task_lock);
}

/* ---- resident memory ------------------------------------------------------------------------ */

#define RSS_CHUNK    (16UL << 20) /* of one question */
#define RSS_SCAN_MAX (64UL << 30) /* of address space, in one walk */

u64 vma_rss(struct mm *mm, u64 start, u64 end)
{
    u8 vec[RSS_CHUNK / PAGE_SIZE];
    u64 npages = 0, step = sizeof(vec) * PAGE_SIZE;
    for (u64 at = start; at < end; at += step) {
        u64 size = MIN(end - at, step);
        if (aspace_mincore(mm->as, at, size, vec) < 0)
            continue; /* unmapped meanwhile, or by the process behind our back */
        for (u64 i = 0; i < size / PAGE_SIZE; i++)
            npages += vec[i] & 1;
    }
    return npages * PAGE_SIZE;
}

u64 mm_rss_now(struct mm *mm)
{
    u64 sum = 0, at = 0, nscanned = 0;
    while (nscanned < RSS_SCAN_MAX) {
        u64 start, end;
        {
            MUTEX_GUARD(&mm->lock);
            struct vma *v = mm_find(mm, at);
            while (v && !(v->flags & (LX_PROT_READ | LX_PROT_WRITE | LX_PROT_EXEC)))
                v = mm_next(v); /* reserved only */
            if (!v)
                break;
            start = MAX(v->start, at);
            end = MIN(v->end, start + RSS_SCAN_MAX);
        }
        sum += vma_rss(mm, start, end);
        nscanned += end - start;
        at = end;
    }
    return sum;
}

/* Calls for every mm that processes run in, once each process. */
static u32 collect_mms(struct mm **mms, u32 max)
{
    struct tgroup *g;
    u32 n = 0;
    rwlock_rdlock(&task_lock);
    list_for_each (g, &all_tgroups, all_node) {
        struct mm *mm = n < max && !g->is_mm_sharer ? task_get_mm(g->leader) : NULL;
        if (mm)
            mms[n++] = mm;
    }
    rwlock_rdunlock(&task_lock);
    return n;
}

#define USED_MAX_MMS   4096
#define USED_CACHED_NS (500 * NSEC_PER_MSEC)

u64 usage_memory_now(void)
{
    static struct mutex lock = MUTEX_INIT("usage_memory");
    static s64 cached_at = INT64_MIN / 2; /* guarded by lock, as cached */
    static u64 cached;
    MUTEX_GUARD(&lock);
    s64 now = clock_mono_ns();
    if (now - cached_at < USED_CACHED_NS)
        return cached;
    struct mm **mms = calloc(USED_MAX_MMS, sizeof(struct mm *));
    u32 n = mms ? collect_mms(mms, USED_MAX_MMS) : 0;
    u64 sum = 0;
    for (u32 i = 0; i < n; i++) {
        sum += mm_rss_now(mms[i]);
        mm_put(mms[i]);
    }
    free(mms);
    cached = sum;
    cached_at = now;
    return sum;
}

/* ---- the ABI's form -------------------------------------------------------------------------- */

struct lx_rusage {
    struct lx_timeval utime, stime;
    s64 maxrss, ixrss, idrss, isrss, minflt, majflt, nswap, inblock, oublock, msgsnd, msgrcv,
        nsignals, nvcsw, nivcsw;
};
_Static_assert(sizeof(struct lx_rusage) == 144, "rusage");

static struct lx_timeval to_timeval(u64 ns)
{
    return (struct lx_timeval){(s64)(ns / NSEC_PER_SEC), (s64)(ns % NSEC_PER_SEC / 1000)};
}

void usage_to_abi(const struct task_usage *u, void *ret_rusage)
{
    struct lx_rusage r = {
        .utime = to_timeval(u->utime_ns),
        .stime = to_timeval(u->stime_ns),
        .maxrss = (s64)u->maxrss,
        .minflt = (s64)u->minflt,
        .majflt = (s64)u->majflt,
        .inblock = (s64)u->inblock,
        .oublock = (s64)u->oublock,
        .nvcsw = (s64)u->nvcsw,
        .nivcsw = (s64)u->nivcsw,
    };
    memcpy(ret_rusage, &r, sizeof(r));
}
