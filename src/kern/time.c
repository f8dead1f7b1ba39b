/*
 * Clocks: decoding of clock ids, reading, sleeping; time namespaces.
 *
 * Most reads of clocks never come here: the guest uses the host's vDSO. Sleeps
 * run on the task's own thread, parked in a host futex with an absolute deadline,
 * so that their precision (and the guest's timer slack, set on that thread) is the host's.
 */
#include "kern/time.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "abi/sched.h"
#include "kern/kern_int.h"
#include "kern/parts.h"
#include "kern/timer.h"

/* ---- conversion ---------------------------------------------------------------------------- */

bool timespec_to_ns(const struct lx_timespec *ts, s64 *ret_ns)
{
    s64 ns;
    if (ts->tv_sec < 0 || ts->tv_nsec < 0 || ts->tv_nsec >= NSEC_PER_SEC)
        return false;
    if (__builtin_mul_overflow(ts->tv_sec, NSEC_PER_SEC, &ns) ||
        __builtin_add_overflow(ns, ts->tv_nsec, &ns))
        ns = INT64_MAX;
    *ret_ns = ns;
    return true;
}

struct lx_timespec ns_to_timespec(s64 ns)
{
    struct lx_timespec ts = {ns / NSEC_PER_SEC, ns % NSEC_PER_SEC};
    if (ts.tv_nsec < 0) {
        ts.tv_sec--;
        ts.tv_nsec += NSEC_PER_SEC;
    }
    return ts;
}

int copy_in_timespec(uaddr_t src, s64 *ret_ns)
{
    struct lx_timespec ts;
    int r = get_user(ts, src);
    if (r < 0)
        return r;
    return timespec_to_ns(&ts, ret_ns) ? 0 : -LX_EINVAL;
}

int copy_out_timespec(uaddr_t dst, s64 ns)
{
    return put_user(ns_to_timespec(ns), dst);
}

static s64 sat_add(s64 a, s64 b)
{
    s64 sum;
    if (__builtin_add_overflow(a, b, &sum))
        return b > 0 ? INT64_MAX : INT64_MIN;
    return sum;
}

s64 clock_boot_ns(void)
{
    return ktimer_now(KTIMER_BOOT);
}

s64 clock_real_ns(void)
{
    return ktimer_now(KTIMER_REAL);
}

/* ---- time namespaces ----------------------------------------------------------------------- */

static struct time_ns root_time_ns_storage = {.ref = {1}, .user_ns = &root_user_ns, .ino = NS_INO_ROOT_TIME, .is_frozen = true};
struct time_ns *root_time_ns = &root_time_ns_storage;

struct time_ns *time_ns_copy(struct time_ns *old, struct user_ns *uns)
{
    struct time_ns *ns = calloc(1, sizeof(*ns));
    if (!ns)
        return NULL;
    ref_init(&ns->ref);
    ns->ino = ns_ino_alloc();
    ns->user_ns = uns;
    user_ns_get(uns);
    ns->mono_off_ns = atomic_load(&old->mono_off_ns);
    ns->boot_off_ns = atomic_load(&old->boot_off_ns);
    return ns;
}

void time_ns_get(struct time_ns *ns)
{
    ref_get(&ns->ref);
}

void time_ns_put(struct time_ns *ns)
{
    if (!ns || !ref_put(&ns->ref) || ns == root_time_ns)
        return;
    user_ns_put(ns->user_ns);
    free(ns);
}

u64 time_ns_ino(const struct time_ns *ns)
{
    return ns->ino;
}

struct user_ns *time_ns_owner(const struct time_ns *ns)
{
    return ns->user_ns;
}

bool time_ns_has_offsets(const struct time_ns *ns)
{
    return atomic_load(&ns->mono_off_ns) != 0 || atomic_load(&ns->boot_off_ns) != 0;
}

int time_ns_set_offset(struct time_ns *ns, s32 clock, s64 off_ns)
{
    enum ktimer_clock base = clock == LX_CLOCK_BOOTTIME ? KTIMER_BOOT : KTIMER_MONO;
    if (atomic_load(&ns->is_frozen))
        return -LX_EACCES;
    s64 now = sat_add(ktimer_now(base), off_ns);
    if (now < 0 || now > INT64_MAX / 2)
        return -LX_ERANGE;
    atomic_store(base == KTIMER_BOOT ? &ns->boot_off_ns : &ns->mono_off_ns, off_ns);
    return 0;
}

s64 time_ns_mono_off(const struct task *t)
{
    return atomic_load_explicit(&t->ns->time->mono_off_ns, memory_order_relaxed);
}

s64 time_ns_boot_off(const struct task *t)
{
    return atomic_load_explicit(&t->ns->time->boot_off_ns, memory_order_relaxed);
}

s64 time_ns_mono_to_host(const struct task *t, s64 ns)
{
    return ns == INT64_MAX ? ns : sat_add(ns, -time_ns_mono_off(t));
}

/* ---- clock ids ----------------------------------------------------------------------------- */

/* CPU clocks: bits 0-1 what is counted, bit 2 a thread's, the rest the inverted id. */
#define CPUCLOCK_WHICH(id)     ((id)&3)
#define CPUCLOCK_PERTHREAD(id) ((id)&4)
#define CPUCLOCK_PROF  0
#define CPUCLOCK_VIRT  1
#define CPUCLOCK_SCHED 2

static int decode_cpu(struct task *t, s32 id, struct clock_ref *c)
{
    s32 nr = ~(id >> 3);
    c->kind = CLK_CPU;
    c->can_timer = true;
    c->can_sleep = true;
    if (CPUCLOCK_WHICH(id) > CPUCLOCK_SCHED)
        return -LX_EINVAL; /* a clock of a file: no such devices */
    c->what = (enum cpu_what)CPUCLOCK_WHICH(id);
    if (CPUCLOCK_PERTHREAD(id)) {
        struct task *who = nr == 0 ? t : task_find(task_pid_ns(t), nr);
        if (who == t && nr == 0)
            task_get(t);
        if (!who)
            return -LX_EINVAL;
        if (who->tg != t->tg) {
            task_put(who);
            return -LX_EINVAL;
        }
        c->task = who;
        c->can_sleep = who != t;
        c->tg = t->tg;
        tgroup_get(c->tg);
        return 0;
    }
    if (nr == 0) {
        c->tg = t->tg;
        tgroup_get(c->tg);
        return 0;
    }
    c->tg = tgroup_find(task_pid_ns(t), nr);
    return c->tg ? 0 : -LX_EINVAL;
}

static const struct host_clock {
    bool is_known;
    u8 base;
    u8 flags; /* 1: sleep and timers, 2: alarm */
} host_clocks[] = {
    [LX_CLOCK_REALTIME] = {true, KTIMER_REAL, 1},
    [LX_CLOCK_MONOTONIC] = {true, KTIMER_MONO, 1},
    [LX_CLOCK_MONOTONIC_RAW] = {true, KTIMER_MONO, 0},
    [LX_CLOCK_REALTIME_COARSE] = {true, KTIMER_REAL, 0},
    [LX_CLOCK_MONOTONIC_COARSE] = {true, KTIMER_MONO, 0},
    [LX_CLOCK_BOOTTIME] = {true, KTIMER_BOOT, 1},
    [LX_CLOCK_REALTIME_ALARM] = {true, KTIMER_REAL, 3},
    [LX_CLOCK_BOOTTIME_ALARM] = {true, KTIMER_BOOT, 3},
    [LX_CLOCK_TAI] = {true, KTIMER_REAL, 1},
};

static s64 host_clock_ns(s32 id)
{
    struct timespec ts = {0};
    clock_gettime(id, &ts);
    return ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec;
}

int clock_decode(struct task *t, s32 id, struct clock_ref *ret_c)
{
    struct clock_ref c = {.kind = CLK_HOST, .id = id};
    int r = 0;
    if (id < 0) {
        r = decode_cpu(t, id, &c);
    } else if (id == LX_CLOCK_PROCESS_CPUTIME_ID || id == LX_CLOCK_THREAD_CPUTIME_ID) {
        bool is_thread = id == LX_CLOCK_THREAD_CPUTIME_ID;
        r = decode_cpu(t, (s32)(~0U << 3) | CPUCLOCK_SCHED | (is_thread ? 4 : 0), &c);
        c.can_sleep = !is_thread;
    } else if ((size_t)id < ARRAY_SIZE(host_clocks) && host_clocks[id].is_known) {
        const struct host_clock *h = &host_clocks[id];
        c.base = h->base;
        c.can_sleep = c.can_timer = h->flags & 1;
        c.is_alarm = h->flags & 2;
        if (c.base == KTIMER_MONO)
            c.offset_ns = time_ns_mono_off(t);
        else if (c.base == KTIMER_BOOT)
            c.offset_ns = time_ns_boot_off(t);
        else if (id == LX_CLOCK_TAI) /* whole seconds, so the skew between the reads rounds away */
            c.offset_ns = (host_clock_ns(CLOCK_TAI) - host_clock_ns(CLOCK_REALTIME) +
                           NSEC_PER_SEC / 2) / NSEC_PER_SEC * NSEC_PER_SEC;
    } else {
        r = -LX_EINVAL;
    }
    if (r < 0)
        return r;
    *ret_c = c;
    return 0;
}

void clock_done(struct clock_ref *c)
{
    if (c->task)
        task_put(c->task);
    if (c->tg)
        tgroup_put(c->tg);
    c->task = NULL;
    c->tg = NULL;
}

s64 clock_cpu_sample(struct tgroup *tg, struct task *task, enum cpu_what what)
{
    struct task_usage u;
    if (what == CPU_SCHED)
        return (s64)usage_stub_now(tg, task);
    if (task)
        task_usage_now(task, &u);
    else
        tgroup_usage_now(tg, &u);
    return (s64)(what == CPU_VIRT ? u.utime_ns : u.utime_ns + u.stime_ns);
}

s64 clock_sample(const struct clock_ref *c)
{
    if (c->kind == CLK_CPU)
        return clock_cpu_sample(c->tg, c->task, c->what);
    switch (c->id) {
    case LX_CLOCK_TAI:
    case LX_CLOCK_REALTIME_ALARM:
    case LX_CLOCK_BOOTTIME_ALARM:
        return ktimer_now(c->base) + c->offset_ns;
    default:
        return host_clock_ns(c->id) + c->offset_ns;
    }
}

/* ---- calls --------------------------------------------------------------------------------- */

s64 clock_gettime_call(struct task *t, s32 id, uaddr_t tp)
{
    struct clock_ref c;
    int r = clock_decode(t, id, &c);
    if (r < 0)
        return r;
    s64 now = clock_sample(&c);
    clock_done(&c);
    return copy_out_timespec(tp, now);
}

s64 clock_getres_call(struct task *t, s32 id, uaddr_t tp)
{
    struct clock_ref c;
    struct timespec ts = {0, 1};
    int r = clock_decode(t, id, &c);
    if (r < 0)
        return r;
    if (c.kind == CLK_CPU && id < 0 && CPUCLOCK_WHICH(id) != CPUCLOCK_SCHED)
        ts.tv_nsec = NSEC_PER_SEC / LX_HZ;
    else if (id == LX_CLOCK_REALTIME_COARSE || id == LX_CLOCK_MONOTONIC_COARSE)
        clock_getres(id, &ts);
    clock_done(&c);
    return tp.v ? copy_out_timespec(tp, ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec) : 0;
}

s64 clock_settime_call(struct task *t, s32 id, uaddr_t tp)
{
    struct clock_ref c;
    int r = clock_decode(t, id, &c);
    if (r < 0)
        return r;
    bool is_cpu = c.kind == CLK_CPU;
    clock_done(&c);
    if (id != LX_CLOCK_REALTIME && !is_cpu)
        return -LX_EINVAL;
    struct lx_timespec ts;
    r = get_user(ts, tp);
    return r < 0 ? r : -LX_EPERM; /* the clock is the host's */
}

/* struct timex of x86-64: 208 bytes. */
struct lx_timex {
    u32 modes, pad0;
    s64 offset, freq, maxerror, esterror;
    s32 status, pad1;
    s64 constant, precision, tolerance;
    struct lx_timeval time;
    s64 tick, ppsfreq, jitter;
    s32 shift, pad2;
    s64 stabil, jitcnt, calcnt, errcnt, stbcnt;
    s32 tai, pad3[11];
};
_Static_assert(sizeof(struct lx_timex) == 208, "timex");

s64 clock_adjtime_call(struct task *t, s32 id, uaddr_t tx)
{
    struct lx_timex in;
    struct clock_ref c;
    int r = clock_decode(t, id, &c);
    if (r < 0)
        return r;
    clock_done(&c);
    if (id != LX_CLOCK_REALTIME)
        return -LX_EOPNOTSUPP;
    r = get_user(in, tx);
    if (r < 0)
        return r;
    if (in.modes & 0x8000) { /* ADJ_ADJTIME */
        if (!(in.modes & 1))
            return -LX_EINVAL;
        if (!(in.modes & 0x2000))
            return -LX_EPERM;
    } else if (in.modes) {
        return -LX_EPERM; /* the clock is the host's */
    }
    struct lx_timespec now = ns_to_timespec(clock_real_ns());
    /* What a kernel says whose clock nobody disciplines: how the host's is steered is not ours to tell. */
    struct lx_timex out = {
        .modes = in.modes,
        .maxerror = 16000000,
        .esterror = 16000000,
        .status = LX_STA_UNSYNC,
        .constant = 2,
        .precision = 1,
        .tolerance = 32768000,
        .time = {now.tv_sec, now.tv_nsec / 1000},
        .tick = 10000,
    };
    r = put_user(out, tx);
    return r < 0 ? r : LX_TIME_ERROR;
}

/* ---- sleeping ------------------------------------------------------------------------------ */

enum { SLEEP_CLOCK, SLEEP_DEADLINE, SLEEP_REM, SLEEP_NARGS };

/* What it takes to wake the application's thread after ours woke. */
#define WAKE_LEAD_NS 25000

/*
 * Until the host-clock deadline; 0, or -LX_ERESTARTSYS. The guest's timer slack (50 µs unless it changed
 * it) is when the host's kernel would wake a native sleeper; ours wakes that much after the deadline
 * less what the way back takes, so that both end about the same time and never early.
 */
static int sleep_host(struct task *t, enum ktimer_clock base, s64 deadline)
{
    int r;
    u64 slack = t->timer_slack_ns;
    s64 late = slack > WAKE_LEAD_NS ? (s64)MIN(slack - WAKE_LEAD_NS, 1000000000UL) : 0;
    do {
        s64 at = sat_add(deadline, late);
        if (base == KTIMER_BOOT) /* there is no futex on this clock; they differ by suspension only */
            at = sat_add(at, ktimer_now(KTIMER_MONO) - ktimer_now(KTIMER_BOOT));
        r = base == KTIMER_REAL ? park_interruptible_real(at) : park_interruptible(at);
        /* a park may end early without cause */
    } while (r == 0 || (r == -LX_ETIMEDOUT && base == KTIMER_BOOT && ktimer_now(base) < deadline));
    return r == -LX_ETIMEDOUT ? 0 : r;
}

static int sleep_until(struct task *t, const struct clock_ref *c, s64 deadline)
{
    if (c->kind == CLK_CPU)
        return cpu_timer_sleep(c->tg, c->task, c->what, deadline);
    return sleep_host(t, c->base,
                      deadline == INT64_MAX ? deadline : sat_add(deadline, -c->offset_ns));
}

static s64 sleep_restart(struct task *t, struct restart_block *rb);

/* A relative sleep, as its absolute end on the clock as the guest sees it. */
static s64 sleep_relative(struct task *t, const struct clock_ref *c, s64 deadline, uaddr_t rem)
{
    int r = sleep_until(t, c, deadline);
    if (r != -LX_ERESTARTSYS)
        return r;
    s64 left = sat_add(deadline, -clock_sample(c));
    if (left <= 0)
        return 0;
    if (rem.v) {
        r = copy_out_timespec(rem, left);
        if (r < 0)
            return r;
    }
    u64 args[SLEEP_NARGS] = {(u64)(s64)c->id, (u64)deadline, rem.v};
    return task_set_restart(t, sleep_restart, args, SLEEP_NARGS);
}

static s64 sleep_restart(struct task *t, struct restart_block *rb)
{
    struct clock_ref c;
    s64 deadline = (s64)rb->arg[SLEEP_DEADLINE];
    uaddr_t rem = uaddr(rb->arg[SLEEP_REM]);
    int r = clock_decode(t, (s32)rb->arg[SLEEP_CLOCK], &c);
    if (r < 0)
        return r;
    s64 ret = sleep_relative(t, &c, deadline, rem);
    clock_done(&c);
    return ret;
}

s64 clock_nanosleep_call(struct task *t, s32 id, int flags, uaddr_t req, uaddr_t rem)
{
    struct clock_ref c;
    s64 ns;
    s64 r = clock_decode(t, id, &c);
    if (r < 0)
        return r;
    if (!c.can_sleep)
        r = c.kind == CLK_CPU && id < 0 ? -LX_EINVAL : -LX_EOPNOTSUPP;
    else
        r = copy_in_timespec(req, &ns);
    if (r == 0 && c.is_alarm && !ns_capable(&root_user_ns, LX_CAP_WAKE_ALARM))
        r = -LX_EPERM;
    if (r == 0) {
        if (flags & LX_TIMER_ABSTIME) {
            r = sleep_until(t, &c, ns);
            if (r == -LX_ERESTARTSYS)
                r = -LX_ERESTARTNOHAND;
        } else {
            /* CLOCK_REALTIME: a relative sleep does not follow steps of the clock (clock_nanosleep(2)) */
            if (c.base == KTIMER_REAL && c.kind == CLK_HOST) {
                c.id = LX_CLOCK_MONOTONIC;
                c.base = KTIMER_MONO;
                c.offset_ns = time_ns_mono_off(t);
            }
            r = sleep_relative(t, &c, sat_add(clock_sample(&c), ns), rem);
        }
    }
    clock_done(&c);
    return r;
}
