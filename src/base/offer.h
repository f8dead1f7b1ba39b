/*
 * Offers: who sleeps in a call lets its waker finish the call.
 *
 * A reader that finds nothing leaves an offer in a slot of the object (one a slot) and sleeps. Who
 * brings bytes takes the offer out, makes the attempt for the reader and gives the
 * answer to the application at once; the reader's own thread is woken after that, and finds that it
 * has only to unwind. So the application waits for one wake, not for two in a row.
 *
 *     reader                                   waker
 *       offer_wait: puts the offer, sleeps       offer_take under the slot's lock
 *                                                offer_complete with no lock held
 *       wakes, and if the offer was taken        wakes the queue the reader sleeps in
 *       waits for the end of its completion
 *
 * Only calls whose answer is the attempt's result and nothing else may be offered: offer_answerer
 * says so. What the call does afterwards, its own thread does beside the application.
 */
#ifndef BASE_OFFER_H
#define BASE_OFFER_H

#include "base/wait.h"

/* Gives an application the answer to a call whose thread sleeps in it. */
struct answerer {
    /* False: not now; the thread itself must look. After true follows one of the other two. */
    bool (*begin)(struct answerer *a);
    void (*give)(struct answerer *a, s64 result);
    void (*cancel)(struct answerer *a);
};

/* Of this thread's call, or NULL: nobody else may answer it. */
extern _Thread_local struct answerer *offer_answerer;

/* More bytes are the reader's own work, beside the writer. */
#define OFFER_MAX_BYTES 16384U

#define OFFER_AGAIN (-11) /* what an attempt says that found nothing */

struct offer {
    _Atomic u32 state; /* OFFER_* */
    bool is_answered;  /* good once the state is OFFER_OVER */
    struct answerer *answerer;
    /* What the call returns; runs on the waker's thread. OFFER_AGAIN: nothing was there. */
    s64 (*attempt)(struct offer *o);
};
enum { OFFER_NONE, OFFER_OPEN, OFFER_TAKEN, OFFER_OVER };

struct offer_place {
    struct mutex *lock; /* guards *slot; a leaf */
    struct offer **slot;
    struct waitq *q;
    u32 events;
    bool is_exclusive;
    bool (*is_ready)(void *arg);
    void *arg;
};

/*
 * Sleeps until is_ready, as wait_event_interruptible, with the offer in its slot if that is free
 * and the call may be offered. 1: the call has been answered, and the attempt's effects are done.
 */
int offer_wait(const struct offer_place *p, struct offer *o, s64 deadline_ns) must_check;

/* Takes the offer out of the slot, whose lock is held; NULL: there is none. */
static inline struct offer *offer_take(struct offer **slot)
{
    struct offer *o = *slot;
    if (likely(!o))
        return NULL;
    *slot = NULL;
    atomic_store_explicit(&o->state, OFFER_TAKEN, memory_order_relaxed);
    return o;
}

/* Without locks. The offer is gone afterwards, and its owner's queue must be woken: all who sleep.
 */
void offer_complete(struct offer *o);

#endif
