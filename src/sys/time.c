/* Handlers: clocks, sleeping, timers, CPU time. */
#include "abi/sched.h"
#include "kern/parts.h"
#include "kern/time.h"
#include "kern/timer.h"
#include "sys/sys.h"

#define USER_HZ 100

s64 sys_time(struct task *t, const u64 a[6])
{
    s64 now = clock_real_ns() / NSEC_PER_SEC;
    int r = a[0] ? put_user(now, uaddr(a[0])) : 0;
    return r < 0 ? r : now;
}

s64 sys_gettimeofday(struct task *t, const u64 a[6])
{
    struct lx_timespec now = ns_to_timespec(clock_real_ns());
    struct lx_timeval tv = {now.tv_sec, now.tv_nsec / 1000};
    u64 zone = 0; /* UTC */
    int r = a[0] ? put_user(tv, uaddr(a[0])) : 0;
    return r == 0 && a[1] ? put_user(zone, uaddr(a[1])) : r;
}

s64 sys_clock_gettime(struct task *t, const u64 a[6])
{
    return clock_gettime_call(t, (s32)a[0], uaddr(a[1]));
}

s64 sys_clock_settime(struct task *t, const u64 a[6])
{
    return clock_settime_call(t, (s32)a[0], uaddr(a[1]));
}

s64 sys_clock_getres(struct task *t, const u64 a[6])
{
    return clock_getres_call(t, (s32)a[0], uaddr(a[1]));
}

s64 sys_clock_nanosleep(struct task *t, const u64 a[6])
{
    return clock_nanosleep_call(t, (s32)a[0], (int)a[1], uaddr(a[2]), uaddr(a[3]));
}

s64 sys_nanosleep(struct task *t, const u64 a[6])
{
    return clock_nanosleep_call(t, LX_CLOCK_MONOTONIC, 0, uaddr(a[0]), uaddr(a[1]));
}

s64 sys_adjtimex(struct task *t, const u64 a[6])
{
    return clock_adjtime_call(t, LX_CLOCK_REALTIME, uaddr(a[0]));
}

s64 sys_clock_adjtime(struct task *t, const u64 a[6])
{
    return clock_adjtime_call(t, (s32)a[0], uaddr(a[1]));
}

/* ---- interval timers ------------------------------------------------------------------------ */

static bool timeval_to_ns(const struct lx_timeval *tv, s64 *ret_ns)
{
    if (tv->tv_usec < 0 || tv->tv_usec >= 1000000)
        return false;
    struct lx_timespec ts = {tv->tv_sec, tv->tv_usec * 1000};
    return timespec_to_ns(&ts, ret_ns);
}

static struct lx_timeval ns_to_timeval(s64 ns)
{
    return (struct lx_timeval){ns / NSEC_PER_SEC, ns % NSEC_PER_SEC / 1000};
}

static int put_itimerval(uaddr_t to, s64 value, s64 interval)
{
    struct lx_itimerval v = {ns_to_timeval(interval), ns_to_timeval(value)};
    return put_user(v, to);
}

s64 sys_getitimer(struct task *t, const u64 a[6])
{
    s64 value, interval;
    int r = itimer_get(t->tg, (int)a[0], &value, &interval);
    return r < 0 ? r : put_itimerval(uaddr(a[1]), value, interval);
}

s64 sys_setitimer(struct task *t, const u64 a[6])
{
    struct lx_itimerval v = {0};
    s64 value, interval, old_value, old_interval;
    int r = a[1] ? get_user(v, uaddr(a[1])) : 0; /* NULL: as zeros (setitimer(2), BUGS) */
    if (r < 0)
        return r;
    if (!timeval_to_ns(&v.it_value, &value) || !timeval_to_ns(&v.it_interval, &interval))
        return -LX_EINVAL;
    r = itimer_set(t->tg, (int)a[0], value, interval, &old_value, &old_interval);
    return r == 0 && a[2] ? put_itimerval(uaddr(a[2]), old_value, old_interval) : r;
}

s64 sys_alarm(struct task *t, const u64 a[6])
{
    s64 old, old_interval;
    u64 sec = MIN((u64)(u32)a[0], (u64)INT32_MAX);
    int r = itimer_set(t->tg, LX_ITIMER_REAL, (s64)sec * NSEC_PER_SEC, 0, &old, &old_interval);
    if (r < 0)
        return r;
    /* whole seconds, to the nearest; never 0 while one was set */
    s64 left = (old + NSEC_PER_SEC / 2) / NSEC_PER_SEC;
    return old > 0 ? MAX(left, (s64)1) : 0;
}

/* ---- POSIX timers --------------------------------------------------------------------------- */

s64 sys_timer_create(struct task *t, const u64 a[6])
{
    return timer_create_call(t, (s32)a[0], uaddr(a[1]), uaddr(a[2]));
}

s64 sys_timer_settime(struct task *t, const u64 a[6])
{
    return timer_settime_call(t, (s32)a[0], (int)a[1], uaddr(a[2]), uaddr(a[3]));
}

s64 sys_timer_gettime(struct task *t, const u64 a[6])
{
    return timer_gettime_call(t, (s32)a[0], uaddr(a[1]));
}

s64 sys_timer_getoverrun(struct task *t, const u64 a[6])
{
    return timer_getoverrun_call(t, (s32)a[0]);
}

s64 sys_timer_delete(struct task *t, const u64 a[6])
{
    return timer_delete_call(t, (s32)a[0]);
}

/* ---- CPU time ------------------------------------------------------------------------------- */

static s64 ticks(u64 ns)
{
    return (s64)(ns / (NSEC_PER_SEC / USER_HZ));
}

static void child_usage(struct tgroup *g, struct task_usage *ret)
{
    MUTEX_GUARD(&g->sig_lock);
    *ret = g->child_usage;
}

s64 sys_times(struct task *t, const u64 a[6])
{
    struct task_usage u, c;
    if (a[0]) {
        tgroup_usage_now(t->tg, &u);
        child_usage(t->tg, &c);
        s64 tms[4] = {ticks(u.utime_ns), ticks(u.stime_ns), ticks(c.utime_ns), ticks(c.stime_ns)};
        int r = copy_out(uaddr(a[0]), tms, sizeof(tms));
        if (r < 0)
            return r;
    }
    return ticks((u64)(clock_mono_ns() + time_ns_mono_off(t)));
}

s64 sys_getrusage(struct task *t, const u64 a[6])
{
    struct task_usage u;
    u8 out[144];
    switch ((int)a[0]) {
    case LX_RUSAGE_SELF:
        usage_refresh(t);
        tgroup_usage_now(t->tg, &u);
        u.maxrss = MAX(u.maxrss, mm_rss_now(t->mm) / 1024);
        break;
    case LX_RUSAGE_THREAD:
        usage_refresh(t);
        task_usage_now(t, &u);
        break;
    case LX_RUSAGE_CHILDREN:
        child_usage(t->tg, &u);
        break;
    default:
        return -LX_EINVAL;
    }
    usage_to_abi(&u, out);
    return copy_out(uaddr(a[1]), out, sizeof(out));
}
