/*
 * Blocking and readiness.
 *
 * A `waitq` is a list of waiters interested in some events of one object. It
 * serves both sleepers (a thread that parks until a condition holds) and
 * readiness watchers (epoll, poll, select, SIGIO): a waiter is either a thread
 * or a callback.
 *
 * Every thread that runs guest work owns one `parker`. A wake sets its token
 * and wakes it; `park` consumes the token. `parker_interrupt` marks a pending
 * interruption (a guest signal, an exit): an interruptible park then returns
 * -LX_ERESTARTSYS until `parker_clear_interrupt`. Tokens are never lost: a
 * wake before the park makes that park return at once. A park may return early
 * without cause; always re-check the condition.
 *
 * The pattern (see wait_event_* below for the usual cases):
 *
 *     struct waiter w;
 *     waiter_init_thread(&w, WAIT_IN);
 *     waitq_add(&q, &w);
 *     while (!condition) {              // checked after being on the queue
 *         r = park_interruptible(deadline_ns);
 *         if (r < 0) break;
 *     }
 *     waitq_del(&q, &w);
 *
 * Lock order: waitq.lock is a leaf; callbacks run under it, so a callback may
 * take only locks that are leaves themselves and must not touch this queue.
 */
#ifndef BASE_WAIT_H
#define BASE_WAIT_H

#include "base/defs.h"
#include "base/list.h"
#include "base/lock.h"

/* Event bits: the values of poll(2). */
#define WAIT_IN    0x001U
#define WAIT_PRI   0x002U
#define WAIT_OUT   0x004U
#define WAIT_ERR   0x008U
#define WAIT_HUP   0x010U
#define WAIT_NVAL  0x020U
#define WAIT_RDNORM 0x040U
#define WAIT_RDBAND 0x080U
#define WAIT_WRNORM 0x100U
#define WAIT_WRBAND 0x200U
#define WAIT_MSG   0x400U
#define WAIT_RDHUP 0x2000U
#define WAIT_ALL   0xffffffffU

#define NO_DEADLINE INT64_MAX /* deadlines are CLOCK_MONOTONIC nanoseconds */

struct parker {
    _Atomic u32 token;       /* 0 none, 1 woken, 2 asleep */
    _Atomic u32 interrupted; /* atomic: non-zero while an interruption is pending */
    _Atomic u64 nsleeps;     /* atomic: how often it has slept; its own thread counts */
    _Atomic(const char *) where; /* what it waits for, for debug dumps; static string */
};

void parker_init(struct parker *p);
/* This thread's parker. Threads without a task get a private one on first use. */
struct parker *parker_self(void);
/* Makes p this thread's parker (NULL: back to the private one). */
void parker_set_self(struct parker *p);
void parker_wake(struct parker *p);
void parker_interrupt(struct parker *p);
void parker_clear_interrupt(struct parker *p);
static inline bool parker_is_interrupted(struct parker *p)
{
    return atomic_load_explicit(&p->interrupted, memory_order_acquire) != 0;
}

/* Racy: for showing what a thread does. */
static inline bool parker_is_asleep(struct parker *p)
{
    return atomic_load_explicit(&p->token, memory_order_relaxed) == 2;
}

/* 0 when woken (or spuriously), -LX_ETIMEDOUT at the deadline, -LX_ERESTARTSYS when interrupted. */
int park_interruptible(s64 deadline_ns) must_check;
/* The same with a deadline on CLOCK_REALTIME, which follows steps of the host's clock. */
int park_interruptible_real(s64 deadline_real_ns) must_check;
/* As above but never interrupted: 0 or -LX_ETIMEDOUT. For waits that only our own threads end. */
int park_uninterruptible(s64 deadline_ns);

/*
 * Work that a thread has left for the moment when it holds no lock: it is done before the thread
 * parks interruptibly, and at the end of its system call. Whoever leaves some sets both.
 */
extern _Thread_local bool park_has_work;
extern void (*_Atomic park_work)(void);
static inline void park_do_work(void)
{
    if (__builtin_expect(park_has_work, 0))
        atomic_load(&park_work)();
}

struct waiter;
/* Runs under the queue's lock, on the waker's thread; `events` are those that happened. */
typedef void (*waiter_fn)(struct waiter *w, u32 events);

struct waiter {
    struct list node;       /* guarded by waitq.lock */
    u32 events;             /* mask of interest */
    bool is_exclusive;      /* at most `n` exclusive waiters are woken by waitq_wake_n */
    bool is_declined;       /* set by an exclusive callback that had no use for this wake: it is
                               not counted and the next one is woken too */
    struct parker *parker;  /* sleeper, or NULL */
    waiter_fn fn;           /* callback, or NULL */
    void *arg;              /* the callback's own */
};

struct waitq {
    struct mutex lock;
    struct list waiters; /* guarded by lock */
    _Atomic u32 nwaiters; /* lets a wake of an empty queue skip the lock */
};

void waitq_init(struct waitq *q);
/* Asserts that nobody waits. */
void waitq_done(struct waitq *q);
void waiter_init_thread(struct waiter *w, u32 events);
void waiter_init_fn(struct waiter *w, u32 events, waiter_fn fn, void *arg);
void waitq_add(struct waitq *q, struct waiter *w);
/* Exclusive sleepers go to the tail and are woken one at a time by waitq_wake_n. */
void waitq_add_exclusive(struct waitq *q, struct waiter *w);
/* Harmless when w is in no queue. No callback of w runs after it returns. */
void waitq_del(struct waitq *q, struct waiter *w);
/* Wakes everybody interested in any of `events`. Callable with any lock that is not a leaf. */
void waitq_wake(struct waitq *q, u32 events);
/* Wakes every non-exclusive and at most n exclusive waiters. */
void waitq_wake_n(struct waitq *q, u32 events, u32 n);

/*
 * Sleeps until cond is true. Value: 0, or the negative error of park_interruptible.
 * cond is evaluated with no lock of this header held.
 */
#define wait_event_interruptible(q, ev, cond, deadline_ns)                                         \
    ({                                                                                             \
        int wait_r_ = 0;                                                                           \
        if (!(cond)) {                                                                             \
            struct waiter wait_w_;                                                                 \
            waiter_init_thread(&wait_w_, (ev));                                                    \
            waitq_add((q), &wait_w_);                                                              \
            while (!(cond)) {                                                                      \
                wait_r_ = park_interruptible(deadline_ns);                                         \
                if (wait_r_ < 0) {                                                                 \
                    if (cond)                                                                      \
                        wait_r_ = 0;                                                               \
                    break;                                                                         \
                }                                                                                  \
            }                                                                                      \
            waitq_del((q), &wait_w_);                                                              \
        }                                                                                          \
        wait_r_;                                                                                   \
    })

/* CLOCK_MONOTONIC now, and now + timeout saturated to NO_DEADLINE (negative timeout: NO_DEADLINE). */
s64 clock_mono_ns(void);
s64 deadline_after_ns(s64 timeout_ns);

#endif
