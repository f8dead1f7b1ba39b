/*
 * ktimer: the engine; the contract is in the header.
 *
 * Two sleepers serve three clocks. The monotonic one also serves CLOCK_BOOTTIME, which
 * differs by the time the host was suspended: its tree is compared after
 * subtracting the present difference, again on every wake. The real-time one
 * sleeps in a futex with an absolute CLOCK_REALTIME timeout, which the host
 * moves when its clock is set.
 *
 * A sleeper notes the deadline that it sleeps to; ktimer_start rouses it only when
 * the new one is earlier. Cancelling never does: the sleeper then wakes
 * once for nothing.
 */
#include "base/ktimer.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/lock.h"
#include "base/log.h"
#include "base/wait.h"

#define KTIMER_STACK (128 * 1024)

struct sleeper {
    _Atomic u32 word;  /* futex: bumped to rouse */
    s64 sleeping_to;   /* on mono or real; INT64_MAX: until roused; guarded by engine_lock */
    bool is_started;   /* guarded by engine_lock */
    bool is_real;      /* immutable */
    struct ktimer *running; /* whose callback runs; may be freed by now: only compared; guarded by
                               engine_lock */
    pthread_t thread;
};

static struct mutex engine_lock = MUTEX_INIT("ktimer");
static struct rb_tree trees[KTIMER_NCLOCKS]; /* guarded by engine_lock */
static struct sleeper sleepers[2] = {{.is_real = false}, {.is_real = true}};
static _Atomic u32 done_word; /* futex: bumped when a callback that somebody waits for ended */
static u32 nsync_waiters;     /* guarded by engine_lock */

static struct sleeper *sleeper_of(u8 clock)
{
    return &sleepers[clock == KTIMER_REAL];
}

s64 ktimer_now(enum ktimer_clock clock)
{
    static const clockid_t ids[] = {CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_REALTIME};
    struct timespec ts;
    clock_gettime(ids[clock], &ts);
    return ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec;
}

static void rouse(_Atomic u32 *word, int n)
{
    atomic_fetch_add(word, 1);
    int saved = errno;
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, n, NULL, NULL, 0);
    errno = saved;
}

static struct ktimer *first_of(enum ktimer_clock clock)
{
    struct rb_node *n = rb_first(&trees[clock]);
    return n ? rb_entry(n, struct ktimer, rb) : NULL;
}

/* Takes out a timer whose time has come, or NULL and in *ret_next when to look again. */
static struct ktimer *take_due(struct sleeper *s, s64 *ret_next) REQUIRES(engine_lock)
{
    s64 next = INT64_MAX;
    u8 lo = s->is_real ? KTIMER_REAL : KTIMER_MONO, hi = s->is_real ? KTIMER_REAL : KTIMER_BOOT;
    s64 base = ktimer_now(lo);
    for (u8 c = lo; c <= hi; c++) {
        struct ktimer *t = first_of(c);
        if (!t)
            continue;
        s64 now = c == lo ? base : ktimer_now(c);
        if (t->deadline_ns <= now) {
            rb_erase(&trees[c], &t->rb);
            t->is_armed = false;
            return t;
        }
        s64 left = t->deadline_ns - now, at;
        if (__builtin_add_overflow(base, left, &at))
            at = INT64_MAX;
        next = MIN(next, at);
    }
    *ret_next = next;
    return NULL;
}

static void *sleeper_main(void *arg)
{
    struct sleeper *s = arg;
    prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
    prctl(PR_SET_NAME, s->is_real ? "timer-real" : "timer", 0UL, 0UL, 0UL);
    mutex_lock(&engine_lock);
    for (;;) {
        s64 next = 0;
        struct ktimer *t = take_due(s, &next);
        if (t) {
            s->running = t;
            mutex_unlock(&engine_lock);
            t->fn(t); /* may free t */
            mutex_lock(&engine_lock);
            s->running = NULL;
            if (nsync_waiters)
                rouse(&done_word, INT32_MAX);
            continue;
        }
        s->sleeping_to = next;
        u32 seen = atomic_load(&s->word);
        mutex_unlock(&engine_lock);
        struct timespec ts = {next / NSEC_PER_SEC, next % NSEC_PER_SEC};
        int op = FUTEX_WAIT_BITSET_PRIVATE | (s->is_real ? FUTEX_CLOCK_REALTIME : 0);
        syscall(SYS_futex, &s->word, op, seen, next == INT64_MAX ? NULL : &ts, NULL,
                FUTEX_BITSET_MATCH_ANY);
        mutex_lock(&engine_lock);
        s->sleeping_to = INT64_MIN; /* awake: will look at the trees by itself */
    }
    return NULL;
}

/* The thread takes no signals: they are for the threads that chose to. */
static void sleeper_start(struct sleeper *s) REQUIRES(engine_lock)
{
    pthread_attr_t attr;
    sigset_t all, old;
    sigfillset(&all);
    sigdelset(&all, SIGSYS);
    s->sleeping_to = INT64_MIN;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, KTIMER_STACK);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int err = pthread_create(&s->thread, &attr, sleeper_main, s);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attr);
    if (err)
        log_once(LOG_ERROR, "cannot start the timer thread: error %d; timers are late", err);
    else
        s->is_started = true; /* else the next ktimer_start tries again */
}

void ktimer_init(struct ktimer *t, enum ktimer_clock clock, ktimer_fn fn, void *arg)
{
    *t = (struct ktimer){.clock = (u8)clock, .fn = fn, .arg = arg};
}

void ktimer_start(struct ktimer *t, s64 deadline_ns)
{
    struct sleeper *s = sleeper_of(t->clock);
    MUTEX_GUARD(&engine_lock);
    if (t->ncancelling)
        return;
    if (t->is_armed)
        rb_erase(&trees[t->clock], &t->rb);
    t->deadline_ns = deadline_ns;
    t->is_armed = true;
    struct rb_node **link = &trees[t->clock].root, *parent = NULL;
    while (*link) {
        parent = *link;
        /* equal deadlines fire in the order of arming */
        link = deadline_ns < rb_entry(parent, struct ktimer, rb)->deadline_ns ? &parent->left
                                                                               : &parent->right;
    }
    rb_link(&trees[t->clock], &t->rb, parent, link);
    if (!s->is_started) {
        sleeper_start(s);
        return;
    }
    s64 at = deadline_ns;
    if (t->clock == KTIMER_BOOT)
        at -= ktimer_now(KTIMER_BOOT) - ktimer_now(KTIMER_MONO);
    if (at < s->sleeping_to)
        rouse(&s->word, 1);
}

static bool disarm(struct ktimer *t) REQUIRES(engine_lock)
{
    bool was = t->is_armed;
    if (was)
        rb_erase(&trees[t->clock], &t->rb);
    t->is_armed = false;
    return was;
}

bool ktimer_cancel(struct ktimer *t)
{
    MUTEX_GUARD(&engine_lock);
    return disarm(t);
}

bool ktimer_cancel_sync(struct ktimer *t)
{
    struct sleeper *s = sleeper_of(t->clock);
    mutex_lock(&engine_lock);
    bool was = disarm(t);
    t->ncancelling++;
    for (;;) {
        if (s->running != t || pthread_equal(pthread_self(), s->thread))
            break;
        nsync_waiters++;
        u32 seen = atomic_load(&done_word);
        mutex_unlock(&engine_lock);
        syscall(SYS_futex, &done_word, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
        mutex_lock(&engine_lock);
        nsync_waiters--;
    }
    t->ncancelling--;
    mutex_unlock(&engine_lock);
    return was;
}

bool ktimer_is_armed(struct ktimer *t)
{
    MUTEX_GUARD(&engine_lock);
    return t->is_armed;
}
