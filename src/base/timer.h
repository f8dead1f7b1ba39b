/*
 * One-shot timers on one service thread, made on first use and asleep while
 * nothing is armed. For what must happen at a time with nobody waiting: timerfd,
 * interval timers, alarms. A thread that waits itself parks with a deadline instead.
 *
 * Callbacks run on the service thread, one at a time, with no lock held; they
 * must not block for long. A callback may arm its own timer again.
 *
 * Lock order: the timer lock is a leaf.
 */
#ifndef BASE_TIMER_H
#define BASE_TIMER_H

#include "base/defs.h"
#include "base/rbtree.h"
#include "base/wait.h"

struct timer;
typedef void (*timer_fn)(struct timer *t);

struct timer {
    struct rb_node rb; /* guarded by the timer lock, as all below */
    s64 deadline_ns;   /* CLOCK_MONOTONIC; NO_DEADLINE: not armed */
    timer_fn fn;       /* immutable */
};

void timer_init(struct timer *t, timer_fn fn);
/* Arms or re-arms; NO_DEADLINE disarms. -LX_ENOMEM or -LX_EAGAIN when the thread cannot be made. */
int timer_arm(struct timer *t, s64 deadline_ns) must_check;
/* Disarms; a callback may still be running. True when it was armed. */
bool timer_disarm(struct timer *t);
/* Disarms and waits for a running callback, unless called from it. The timer may be freed then.
 * Not with a lock that the callback takes. */
void timer_done(struct timer *t);

#endif
