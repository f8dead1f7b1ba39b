/*
 * Interval timers (setitimer, alarm), RLIMIT_CPU, and the home of a process's timers.
 *
 * Where this differs from Linux: an interval timer on real time whose signal
 * has not been taken yet goes on at intervals of at least ITIMER_BACKOFF_NS
 * (Linux stops it until the signal is taken); both tell the application the same.
 */
#include <stdlib.h>

#include "abi/time.h"
#include "base/wait.h"
#include "kern/kern_int.h"
#include "kern/time.h"
#include "kern/timer.h"

#define ITIMER_BACKOFF_NS (1 * NSEC_PER_MSEC)
#define ITIMER_MIN_NS     (20 * NSEC_PER_USEC)

struct posix_timers *timers_of(struct tgroup *g)
{
    struct posix_timers *p = __atomic_load_n(&g->timers, __ATOMIC_ACQUIRE), *none = NULL;
    if (p)
        return p;
    p = calloc(1, sizeof(*p));
    if (!p)
        return NULL;
    mutex_init(&p->lock, "posix_timers");
    p->tg = g;
    list_init(&p->timers);
    cpu_timers_init(&p->cpu);
    itimers_init(p);
    if (__atomic_compare_exchange_n(&g->timers, &none, p, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        return p;
    itimers_done(p); /* somebody else was faster */
    cpu_timers_done(&p->cpu);
    free(p);
    return none;
}

/* ---- ITIMER_REAL ---------------------------------------------------------------------------- */

static bool is_pending(struct tgroup *g, int signo)
{
    MUTEX_GUARD(&g->sig_lock);
    return g->shared.set & SIGMASK(signo);
}

static void on_real(struct ktimer *kt)
{
    struct posix_timers *p = kt->arg;
    bool was_pending = is_pending(p->tg, LX_SIGALRM);
    if (!was_pending)
        (void)signal_send_tgroup(p->tg, NULL, LX_SIGALRM); /* a full queue loses nothing: no info */
    MUTEX_GUARD(&p->lock);
    if (p->real_interval_ns <= 0 || ktimer_is_armed(kt)) /* setitimer may have been faster */
        return;
    /* On the grid of the interval, the first point that is far enough away. */
    s64 from = ktimer_now(KTIMER_MONO) + (was_pending ? ITIMER_BACKOFF_NS : ITIMER_MIN_NS);
    s64 next = kt->deadline_ns + p->real_interval_ns;
    if (next < from)
        next += (from - next + p->real_interval_ns - 1) / p->real_interval_ns * p->real_interval_ns;
    ktimer_start(kt, next);
}

static void real_get(struct posix_timers *p, s64 *ret_value, s64 *ret_interval)
{
    *ret_value = 0;
    *ret_interval = p->real_interval_ns;
    if (ktimer_is_armed(&p->real))
        *ret_value = MAX(p->real.deadline_ns - ktimer_now(KTIMER_MONO), NSEC_PER_USEC);
}

/* ---- ITIMER_VIRTUAL, ITIMER_PROF ------------------------------------------------------------ */

static void on_cpu(struct cpu_timer *ct, s64 now_ns)
{
    struct itimer_cpu *it = container_of(ct, struct itimer_cpu, ct);
    struct posix_timers *p = it->tg->timers;
    (void)signal_send(it->tg, NULL, NULL, it->signo, SIGNAL_PREFER_RUNNING); /* as on_real */
    MUTEX_GUARD(&p->lock);
    s64 interval = it->interval_ns;
    if (interval <= 0 || ct->is_armed)
        return;
    s64 next = ct->expires_ns + interval;
    if (next <= now_ns)
        next += ((now_ns - next) / interval + 1) * interval;
    cpu_timer_start(&p->cpu, ct, next);
}

static void cpu_get(struct itimer_cpu *it, s64 *ret_value, s64 *ret_interval)
{
    *ret_value = 0;
    *ret_interval = it->interval_ns;
    if (it->ct.is_armed) {
        s64 now = clock_cpu_sample(it->tg, NULL, it->ct.what);
        *ret_value = MAX(it->ct.expires_ns - now, NSEC_PER_USEC);
    }
}

/* ---- both ----------------------------------------------------------------------------------- */

static void on_limit(struct cpu_timer *ct, s64 now_ns);

static void itimer_cpu_init(struct itimer_cpu *it, struct tgroup *g, enum cpu_what what, int signo)
{
    cpu_timer_init(&it->ct, g, NULL, what, on_cpu);
    it->tg = g;
    it->signo = signo;
}

void itimers_init(struct posix_timers *p)
{
    ktimer_init(&p->real, KTIMER_MONO, on_real, p);
    itimer_cpu_init(&p->virt, p->tg, CPU_VIRT, LX_SIGVTALRM);
    itimer_cpu_init(&p->prof, p->tg, CPU_PROF, LX_SIGPROF);
    cpu_timer_init(&p->limit, p->tg, NULL, CPU_PROF, on_limit);
}

static void stop(struct posix_timers *p, struct itimer_cpu *it)
{
    {
        MUTEX_GUARD(&p->lock);
        it->interval_ns = 0;
    }
    cpu_timer_cancel(&p->cpu, &it->ct);
}

void itimers_done(struct posix_timers *p)
{
    {
        MUTEX_GUARD(&p->lock);
        p->real_interval_ns = 0;
    }
    (void)ktimer_cancel_sync(&p->real);
    stop(p, &p->virt);
    stop(p, &p->prof);
    cpu_timer_cancel(&p->cpu, &p->limit);
}

int itimer_get(struct tgroup *g, int which, s64 *ret_value, s64 *ret_interval)
{
    if (which < LX_ITIMER_REAL || which > LX_ITIMER_PROF)
        return -LX_EINVAL;
    struct posix_timers *p = __atomic_load_n(&g->timers, __ATOMIC_ACQUIRE);
    *ret_value = *ret_interval = 0;
    if (!p)
        return 0;
    MUTEX_GUARD(&p->lock);
    if (which == LX_ITIMER_REAL)
        real_get(p, ret_value, ret_interval);
    else
        cpu_get(which == LX_ITIMER_VIRTUAL ? &p->virt : &p->prof, ret_value, ret_interval);
    return 0;
}

static void real_set(struct posix_timers *p, s64 value, s64 interval) REQUIRES(p->lock)
{
    s64 at;
    (void)ktimer_cancel(&p->real); /* a callback that runs now still sends its signal: it was due */
    p->real_interval_ns = interval;
    if (value == 0)
        return;
    if (__builtin_add_overflow(ktimer_now(KTIMER_MONO), value, &at))
        at = INT64_MAX;
    ktimer_start(&p->real, at);
}

static void cpu_set(struct posix_timers *p, struct itimer_cpu *it, s64 value, s64 interval)
    REQUIRES(p->lock)
{
    s64 at;
    it->interval_ns = interval;
    if (value == 0) {
        it->interval_ns = 0;
        cpu_timer_disarm(&p->cpu, &it->ct);
        return;
    }
    if (__builtin_add_overflow(clock_cpu_sample(it->tg, NULL, it->ct.what), value, &at))
        at = INT64_MAX;
    cpu_timer_start(&p->cpu, &it->ct, at);
}

int itimer_set(struct tgroup *g, int which, s64 value, s64 interval, s64 *ret_old_value,
               s64 *ret_old_interval)
{
    if (which < LX_ITIMER_REAL || which > LX_ITIMER_PROF)
        return -LX_EINVAL;
    struct posix_timers *p = timers_of(g);
    if (!p)
        return -LX_ENOMEM;
    struct itimer_cpu *it = which == LX_ITIMER_REAL      ? NULL
                            : which == LX_ITIMER_VIRTUAL ? &p->virt
                                                         : &p->prof;
    MUTEX_GUARD(&p->lock);
    if (it) {
        cpu_get(it, ret_old_value, ret_old_interval);
        cpu_set(p, it, value, interval);
    } else {
        real_get(p, ret_old_value, ret_old_interval);
        real_set(p, value, value ? interval : 0);
    }
    return 0;
}

/* ---- RLIMIT_CPU ----------------------------------------------------------------------------- */

static struct lx_rlimit cpu_limit(struct tgroup *g)
{
    MUTEX_GUARD(&g->limits_lock);
    return g->rlimits[LX_RLIMIT_CPU];
}

static s64 limit_to_ns(u64 sec)
{
    return sec >= (u64)INT64_MAX / NSEC_PER_SEC ? INT64_MAX : (s64)sec * NSEC_PER_SEC;
}

/* SIGXCPU at the soft limit and each second after; SIGKILL at the hard one. */
static void on_limit(struct cpu_timer *ct, s64 now_ns)
{
    struct tgroup *g = ct->tg;
    struct lx_rlimit l = cpu_limit(g);
    s64 soft = limit_to_ns(l.cur), hard = limit_to_ns(l.max);
    if (now_ns >= hard) {
        (void)signal_send_tgroup(g, NULL, LX_SIGKILL);
        return;
    }
    s64 next = soft;
    if (now_ns >= soft) {
        (void)signal_send_tgroup(g, NULL, LX_SIGXCPU);
        next = (now_ns / NSEC_PER_SEC + 1) * NSEC_PER_SEC;
    }
    cpu_timer_start(&g->timers->cpu, ct, MIN(next, hard));
}

void cpu_limit_changed(struct tgroup *g)
{
    struct lx_rlimit l = cpu_limit(g);
    if (l.cur == UINT64_MAX && !g->timers)
        return;
    struct posix_timers *p = timers_of(g);
    if (!p)
        return; /* no memory: the limit is not watched; the next change tries again */
    if (l.cur == UINT64_MAX)
        cpu_timer_disarm(&p->cpu, &p->limit);
    else
        cpu_timer_start(&p->cpu, &p->limit, limit_to_ns(MAX(l.cur, 1UL)));
}
