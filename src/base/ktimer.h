/*
 * ktimer: one-shot timers for the whole Sentry.
 *
 * Armed timers stand in one sorted tree for each clock. A host thread for each
 * kind of host sleep (monotonic, real time) is started with the first timer
 * that needs it and sleeps until the earliest deadline: nothing ticks when
 * nothing is armed. Real-time deadlines follow steps of the host's clock.
 *
 * A callback runs on the engine's thread with no lock of the engine held. It
 * may take any lock but must not sleep for long, may start its own timer again
 * (periodic timers do), and may free it. Anybody else keeps the memory of a timer
 * alive until it is neither armed nor running: ktimer_cancel_sync before freeing.
 *
 * Lock order: engine lock is a leaf.
 */
#ifndef BASE_KTIMER_H
#define BASE_KTIMER_H

#include "base/defs.h"
#include "base/rbtree.h"

enum ktimer_clock {
    KTIMER_MONO, /* CLOCK_MONOTONIC */
    KTIMER_BOOT, /* CLOCK_BOOTTIME */
    KTIMER_REAL, /* CLOCK_REALTIME; CLOCK_TAI is offset by the caller */
    KTIMER_NCLOCKS,
};

struct ktimer;
typedef void (*ktimer_fn)(struct ktimer *t);

struct ktimer {
    struct rb_node rb;       /* all guarded by the engine's lock */
    s64 deadline_ns;         /* on its clock */
    bool is_armed;           /* in the tree */
    u8 clock;                /* enum ktimer_clock; immutable */
    u32 ncancelling;         /* threads inside ktimer_cancel_sync: it cannot be armed meanwhile */
    ktimer_fn fn;            /* immutable */
    void *arg;               /* the owner's */
};

void ktimer_init(struct ktimer *t, enum ktimer_clock clock, ktimer_fn fn, void *arg);
/* (Re)arms for an absolute time of its clock; a past one fires at once, on the engine's thread. */
void ktimer_start(struct ktimer *t, s64 deadline_ns);
/* Disarms; true when it was armed. The callback may be running at this moment. */
bool ktimer_cancel(struct ktimer *t);
/*
 * Disarms and waits until the callback is not running; a ktimer_start meanwhile has no effect.
 * Not under a lock that the callback takes. From its own callback: only disarms. True when it
 * was armed.
 */
bool ktimer_cancel_sync(struct ktimer *t);
bool ktimer_is_armed(struct ktimer *t);
/* Now, on a timer's clock. */
s64 ktimer_now(enum ktimer_clock clock);

#endif
