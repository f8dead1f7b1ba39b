/*
 * How a Sentry thread waits for its application thread, and where it runs.
 *
 * With an idle core it spins for as long as two wakes on another core take (30 to 100 µs), which
 * answers a short call in well under a microsecond; it then keeps off the application's core.
 * Otherwise it sleeps, and moves to the application's core, where a wake costs
 * a context switch and not an interrupt to another (virtual) core.
 *
 * Which of the two is learned: each uctx has a credit that successful spins earn and failed ones
 * lose; a gap in our own spinning means that somebody else wants the core, and
 * ends spinning for a while. At most half the cores are spent on spinners.
 */
#include <sched.h>
#include <time.h>
#include <unistd.h>

#include "abi/errno.h"
#include "host/futex.h"
#include "platform/internal.h"

#define SPIN_MIN_US 30
#define SPIN_MAX_US 100
/* Between two looks, more than this: we were off the core. (A timer's interrupt takes up to 60 µs
 * in a nested guest.) */
#define GAP_US      100
#define BACKOFF_US  4000
#define CREDIT_MAX  8
#define PROBE_EVERY 64 /* sleeps between two tries to spin */
#define PIN_AFTER   3  /* sleeps in a row before the thread follows the application's core */
/* Sleeps before it follows once more: with another core idle the host may wake the application
 * there each time, and each move costs more than a wake on another core. */
#define REPIN_AFTER 16

static u64 cycles_per_us = 2000;
static _Atomic int nspinning;
static int max_spinning;
static cpu_set_t all_cpus;
/* What a wake on another core costs when nothing else runs there, as measured. */
static _Atomic u32 wake_cycles;

/* A new thread inherits its creator's binding, which was for another application thread. */
#define PIN_INHERITED (-2)
static _Thread_local int my_pin = PIN_INHERITED; /* cpu that this thread is bound to */
static _Thread_local int my_avoid = -1;          /* cpu that it keeps away from */
static _Thread_local u32 my_stay; /* sleeps left until it may leave my_pin for another */

static inline u64 rdtsc(void)
{
    return __builtin_ia32_rdtsc();
}

void wait_init(void)
{
    struct timespec a, b;
    clock_gettime(CLOCK_MONOTONIC, &a);
    u64 begin = rdtsc();
    s64 ns;
    do {
        clock_gettime(CLOCK_MONOTONIC, &b);
        ns = (b.tv_sec - a.tv_sec) * NSEC_PER_SEC + (b.tv_nsec - a.tv_nsec);
    } while (ns < 200 * NSEC_PER_USEC);
    cycles_per_us = MAX((rdtsc() - begin) * 1000 / (u64)ns, 1UL);
    if (sched_getaffinity(0, sizeof(all_cpus), &all_cpus) < 0)
        CPU_ZERO(&all_cpus);
    atomic_store(&wake_cycles, (u32)(SPIN_MIN_US * cycles_per_us / 2));
    max_spinning = MIN(platform_cfg.nr_cpus, CPU_COUNT(&all_cpus)) / 2;
}

const void *wait_all_cpus(size_t *ret_size)
{
    *ret_size = sizeof(all_cpus);
    return &all_cpus;
}

u32 wait_spin_cycles(void)
{
    if (max_spinning < 1)
        return 0;
    u64 wakes = 2 * (u64)atomic_load_explicit(&wake_cycles, memory_order_relaxed);
    return (u32)MIN(MAX(wakes, SPIN_MIN_US * cycles_per_us), SPIN_MAX_US * cycles_per_us);
}

/* The stub says when it woke us. A lower figure is believed at once, a higher one by and by: with
 * others about, a wake takes longer than it costs. `posted` is the guest's word: it moves the limit
 * between its bounds and nothing else. */
static void note_wake(u64 posted)
{
    u64 took = rdtsc() - posted, most = SPIN_MAX_US * cycles_per_us;
    u32 old = atomic_load_explicit(&wake_cycles, memory_order_relaxed);
    if (took > 10 * most)
        return;
    took = MIN(took, most);
    u32 now = took < old ? (u32)took : old + (u32)(took - old) / 4;
    atomic_store_explicit(&wake_cycles, now, memory_order_relaxed);
}

/* ---- placement
 * ----------------------------------------------------------------------------------- */

static void place_on(u32 cpu)
{
    if (my_pin == (int)cpu || cpu >= CPU_SETSIZE || !CPU_ISSET(cpu, &all_cpus))
        return;
    if (my_pin >= 0 && my_stay) {
        my_stay--;
        return;
    }
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    if (sched_setaffinity(0, sizeof(one), &one) == 0) {
        my_pin = (int)cpu;
        my_avoid = -1;
        my_stay = REPIN_AFTER;
    }
}

static void place_off(u32 cpu)
{
    if ((my_pin < 0 && my_avoid == (int)cpu) || cpu >= CPU_SETSIZE)
        return;
    cpu_set_t rest = all_cpus;
    CPU_CLR(cpu, &rest);
    if (CPU_COUNT(&rest) && sched_setaffinity(0, sizeof(rest), &rest) == 0) {
        my_pin = -1;
        my_avoid = (int)cpu;
    }
}

/* ---- waiting
 * -------------------------------------------------------------------------------------- */

/* Its spins have not paid yet, and it has hardly slept. To leave the application's core for a spin
 * costs a running thread many times what a sleep there does, and many a process makes a call or
 * two. */
static bool is_young(const struct uctx *ctx)
{
    return ctx->credit <= CREDIT_FIRST && ctx->nslept < PIN_AFTER;
}

static bool may_spin(struct uctx *ctx)
{
    if (max_spinning < 1)
        return false;
    if (ctx->credit <= 0) {
        if (ctx->nslept < PROBE_EVERY || rdtsc() < ctx->no_spin_before)
            return false;
        ctx->nslept = 0;
    }
    if (atomic_fetch_add(&nspinning, 1) >= max_spinning) {
        atomic_fetch_sub(&nspinning, 1);
        return false;
    }
    return true;
}

/* True when the event came while spinning. */
static bool spin(struct uctx *ctx)
{
    const volatile u32 *state = &ctx->ch->state;
    u64 begin = rdtsc(), last = begin;
    u64 limit = wait_spin_cycles(), gap = GAP_US * cycles_per_us;
    for (;;) {
        if (__atomic_load_n(state, __ATOMIC_ACQUIRE) != CH_APP) {
            if (ctx->credit < CREDIT_MAX)
                ctx->credit++;
            return true;
        }
        __builtin_ia32_pause();
        u64 now = rdtsc();
        if (now - last > gap) {
            ctx->credit = -1;
            ctx->no_spin_before = now + BACKOFF_US * cycles_per_us;
            return false;
        }
        if (now - begin > limit) {
            ctx->credit--;
            return false;
        }
        last = now;
    }
}

void wait_for_event(struct uctx *ctx)
{
    volatile struct stub_channel *ch = ctx->ch;
    struct aspace *as = ctx->as;
    if (__atomic_load_n(&ch->state, __ATOMIC_ACQUIRE) != CH_APP)
        return;
    if (unlikely(my_pin == PIN_INHERITED)) {
        my_pin = -1;
        (void)!sched_setaffinity(0, sizeof(all_cpus), &all_cpus);
    }
    bool is_same_core = sched_getcpu() == (int)ch->cpu;
    if (!(is_same_core && is_young(ctx)) && may_spin(ctx)) {
        if (is_same_core)
            place_off(ch->cpu);
        bool has_come = spin(ctx);
        atomic_fetch_sub(&nspinning, 1);
        if (has_come) {
            ctx->nslept = 0;
            return;
        }
    }
    if (ctx->nslept >= PIN_AFTER && max_spinning > 0)
        place_on(ch->cpu);
    ctx->nslept++;
    ch->posted = 0;
    for (;;) {
        __atomic_store_n(&ch->is_sentry_waiting, 1, __ATOMIC_SEQ_CST);
        bool has_slept = false;
        if (__atomic_load_n(&ch->state, __ATOMIC_SEQ_CST) == CH_APP && !atomic_load(&as->is_dead))
            has_slept = host_futex_wait(&ch->state, CH_APP, -1) == 0;
        __atomic_store_n(&ch->is_sentry_waiting, 0, __ATOMIC_SEQ_CST);
        if (has_slept && my_pin < 0 && sched_getcpu() != (int)ch->cpu)
            note_wake(ch->posted);
        if (__atomic_load_n(&ch->state, __ATOMIC_ACQUIRE) != CH_APP || atomic_load(&as->is_dead))
            return;
    }
}
