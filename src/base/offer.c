/* Offers; the theory is in the header. */
#include "base/offer.h"

_Thread_local struct answerer *offer_answerer;

static void put_offer(const struct offer_place *p, struct offer *o)
{
    o->answerer = offer_answerer;
    atomic_init(&o->state, OFFER_NONE);
    o->is_answered = false;
    if (!o->answerer)
        return;
    MUTEX_GUARD(p->lock);
    if (*p->slot)
        return;
    atomic_store_explicit(&o->state, OFFER_OPEN, memory_order_relaxed);
    *p->slot = o;
}

/* Takes it back, or waits for who has taken it: he runs, and wakes the queue afterwards. */
static bool end_offer(const struct offer_place *p, struct offer *o)
{
    if (atomic_load_explicit(&o->state, memory_order_relaxed) == OFFER_NONE)
        return false;
    mutex_lock(p->lock);
    bool is_mine = *p->slot == o;
    if (is_mine)
        *p->slot = NULL;
    mutex_unlock(p->lock);
    if (is_mine)
        return false;
    while (atomic_load_explicit(&o->state, memory_order_acquire) != OFFER_OVER)
        (void)park_uninterruptible(NO_DEADLINE);
    return o->is_answered;
}

int offer_wait(const struct offer_place *p, struct offer *o, s64 deadline_ns)
{
    struct waiter w;
    int r = 0;
    waiter_init_thread(&w, p->events);
    if (p->is_exclusive)
        waitq_add_exclusive(p->q, &w);
    else
        waitq_add(p->q, &w);
    put_offer(p, o);
    while (!p->is_ready(p->arg) &&
           atomic_load_explicit(&o->state, memory_order_acquire) != OFFER_OVER) {
        r = park_interruptible(deadline_ns);
        if (r < 0)
            break;
    }
    if (end_offer(p, o)) {
        offer_answerer = NULL; /* what follows is beside the application */
        r = 1;
    } else if (r < 0 && p->is_ready(p->arg)) {
        r = 0; /* a wake meant for us alone must not be lost */
    }
    waitq_del(p->q, &w);
    return r;
}

void offer_complete(struct offer *o)
{
    struct answerer *a = o->answerer;
    if (a->begin(a)) {
        s64 r = o->attempt(o);
        if (r == OFFER_AGAIN) {
            a->cancel(a);
        } else {
            a->give(a, r);
            o->is_answered = true;
        }
    }
    atomic_store_explicit(&o->state, OFFER_OVER, memory_order_release);
}
