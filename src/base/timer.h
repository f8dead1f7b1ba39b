/*
 * One-shot monotonic timers with a lean interface, for what must happen at a time with
 * nobody waiting; ktimer.h is the engine and offers the other clocks. A thread that
 * waits itself parks with a deadline instead.
 *
 * Callbacks run on the engine's thread, one at a time, with no lock held; they
 * must not block for long. A callback may arm its own timer again.
 *
 * Lock order: the timer lock is a leaf.
 */
#ifndef BASE_TIMER_H
#define BASE_TIMER_H

#include "base/defs.h"
#include "base/ktimer.h"
#include "base/wait.h"

struct timer;
typedef void (*timer_fn)(struct timer *t);

struct timer {
    struct ktimer kt;
    timer_fn fn; /* immutable */
};

void timer_init(struct timer *t, timer_fn fn);
/* Arms or re-arms for CLOCK_MONOTONIC; NO_DEADLINE disarms. Always 0. */
int timer_arm(struct timer *t, s64 deadline_ns) must_check;
/* Disarms; a callback may still be running. True when it was armed. */
bool timer_disarm(struct timer *t);
/* Disarms and waits for a running callback, unless called from it. The timer may be freed then.
 * Not with a lock that the callback takes. */
void timer_done(struct timer *t);

#endif
