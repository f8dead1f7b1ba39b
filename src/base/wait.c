/*
 * Parkers and wait queues; the contract is in the header.
 *
 * A parker's token is a futex word: park swaps 1→0 and returns, else announces
 * that it sleeps (2) and waits; wake stores 1 and rouses only a sleeper.
 */
#include "base/wait.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "abi/errno.h"
#include "base/log.h"
#include "base/spin.h"

enum { TOKEN_NONE, TOKEN_WOKEN, TOKEN_ASLEEP };

_Thread_local volatile u32 *spin_for_us;
_Thread_local bool park_has_work;
void (*_Atomic park_work)(void);

static _Thread_local struct parker own_parker;
static _Thread_local struct parker *self_parker;

void parker_init(struct parker *p)
{
    atomic_init(&p->token, TOKEN_NONE);
    atomic_init(&p->interrupted, 0);
    atomic_init(&p->where, NULL);
}

struct parker *parker_self(void)
{
    if (unlikely(!self_parker))
        self_parker = &own_parker;
    return self_parker;
}

void parker_set_self(struct parker *p)
{
    self_parker = p ? p : &own_parker;
}

static void rouse(_Atomic u32 *token)
{
    int saved = errno;
    syscall(SYS_futex, token, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    errno = saved;
}

/* Gives the token; true when its owner sleeps and must be roused. */
static bool give_token(struct parker *p)
{
    return atomic_exchange_explicit(&p->token, TOKEN_WOKEN, memory_order_acq_rel) == TOKEN_ASLEEP;
}

void parker_wake(struct parker *p)
{
    if (give_token(p))
        rouse(&p->token);
}

void parker_interrupt(struct parker *p)
{
    atomic_store_explicit(&p->interrupted, 1, memory_order_seq_cst);
    parker_wake(p);
}

void parker_clear_interrupt(struct parker *p)
{
    atomic_store_explicit(&p->interrupted, 0, memory_order_seq_cst);
}

/* Waits for a token; 0 or -LX_ETIMEDOUT. clock_flag: 0 or FUTEX_CLOCK_REALTIME. */
static int park_clock(struct parker *p, s64 deadline_ns, int clock_flag)
{
    for (;;) {
        u32 t = TOKEN_WOKEN;
        if (atomic_compare_exchange_strong_explicit(&p->token, &t, TOKEN_NONE, memory_order_acq_rel,
                                                    memory_order_acquire))
            return 0;
        if (t == TOKEN_NONE && !atomic_compare_exchange_strong(&p->token, &t, TOKEN_ASLEEP))
            continue;
        struct timespec ts = {0}, *tsp = NULL;
        if (deadline_ns != NO_DEADLINE) {
            s64 d = deadline_ns < 0 ? 0 : deadline_ns;
            ts = (struct timespec){d / NSEC_PER_SEC, d % NSEC_PER_SEC};
            tsp = &ts;
        }
        spin_stop();
        int saved = errno;
        atomic_store_explicit(&p->nsleeps,
                              atomic_load_explicit(&p->nsleeps, memory_order_relaxed) + 1,
                              memory_order_relaxed);
        long r = syscall(SYS_futex, &p->token, FUTEX_WAIT_BITSET_PRIVATE | clock_flag, TOKEN_ASLEEP,
                         tsp, NULL, FUTEX_BITSET_MATCH_ANY);
        int err = errno;
        errno = saved;
        if (r < 0 && err == ETIMEDOUT) {
            t = TOKEN_ASLEEP;
            if (atomic_compare_exchange_strong(&p->token, &t, TOKEN_NONE))
                return -LX_ETIMEDOUT;
        }
    }
}

static int park_interruptible_clock(s64 deadline_ns, int clock_flag)
{
    struct parker *p = parker_self();
    park_do_work();
    if (parker_is_interrupted(p))
        return -LX_ERESTARTSYS;
    int r = park_clock(p, deadline_ns, clock_flag);
    if (parker_is_interrupted(p))
        return -LX_ERESTARTSYS;
    return r;
}

int park_interruptible(s64 deadline_ns)
{
    return park_interruptible_clock(deadline_ns, 0);
}

int park_interruptible_real(s64 deadline_real_ns)
{
    return park_interruptible_clock(deadline_real_ns, FUTEX_CLOCK_REALTIME);
}

int park_uninterruptible(s64 deadline_ns)
{
    return park_clock(parker_self(), deadline_ns, 0);
}

void waitq_init(struct waitq *q)
{
    mutex_init(&q->lock, "waitq");
    list_init(&q->waiters);
    atomic_init(&q->nwaiters, 0);
}

void waitq_done(struct waitq *q)
{
    if (!list_empty(&q->waiters))
        panic("wait queue %p freed with waiters", (void *)q);
}

static void waiter_init(struct waiter *w, u32 events)
{
    list_init(&w->node);
    w->events = events;
    w->is_exclusive = false;
    w->is_declined = false;
    w->parker = NULL;
    w->fn = NULL;
    w->arg = NULL;
}

void waiter_init_thread(struct waiter *w, u32 events)
{
    waiter_init(w, events);
    w->parker = parker_self();
}

void waiter_init_fn(struct waiter *w, u32 events, waiter_fn fn, void *arg)
{
    waiter_init(w, events);
    w->fn = fn;
    w->arg = arg;
}

void waitq_add(struct waitq *q, struct waiter *w)
{
    MUTEX_GUARD(&q->lock);
    list_add_head(&q->waiters, &w->node);
    atomic_fetch_add_explicit(&q->nwaiters, 1, memory_order_seq_cst);
}

void waitq_add_exclusive(struct waitq *q, struct waiter *w)
{
    w->is_exclusive = true;
    MUTEX_GUARD(&q->lock);
    list_add_tail(&q->waiters, &w->node);
    atomic_fetch_add_explicit(&q->nwaiters, 1, memory_order_seq_cst);
}

void waitq_del(struct waitq *q, struct waiter *w)
{
    MUTEX_GUARD(&q->lock);
    if (list_empty(&w->node))
        return;
    list_del(&w->node);
    atomic_fetch_sub_explicit(&q->nwaiters, 1, memory_order_relaxed);
}

void waitq_wake(struct waitq *q, u32 events)
{
    waitq_wake_n(q, events, UINT32_MAX);
}

void waitq_wake_n(struct waitq *q, u32 events, u32 n)
{
    /* The waker changed the condition before; pairs with the adder's check after adding. */
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load_explicit(&q->nwaiters, memory_order_relaxed) == 0)
        return;
    /*
     * Sleepers are roused after the unlock, so that they do not run into the lock. By then a parker
     * may be gone, if its owner woke by itself: a futex wake of its old address harms nobody.
     */
    _Atomic u32 *asleep[16];
    size_t nasleep = 0;
    mutex_lock(&q->lock);
    struct waiter *w, *tmp;
    list_for_each_safe (w, tmp, &q->waiters, node) {
        if (!(w->events & events))
            continue;
        if (w->is_exclusive && n == 0)
            continue;
        w->is_declined = false;
        if (w->fn)
            w->fn(w, events);
        else if (!give_token(w->parker))
            ;
        else if (nasleep < ARRAY_SIZE(asleep))
            asleep[nasleep++] = &w->parker->token;
        else
            rouse(&w->parker->token);
        if (w->is_exclusive && !w->is_declined)
            n--;
    }
    mutex_unlock(&q->lock);
    for (size_t i = 0; i < nasleep; i++)
        rouse(asleep[i]);
}

s64 clock_mono_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec;
}

s64 deadline_after_ns(s64 timeout_ns)
{
    s64 sum;
    if (timeout_ns < 0 || __builtin_add_overflow(clock_mono_ns(), timeout_ns, &sum))
        return NO_DEADLINE;
    return sum;
}
