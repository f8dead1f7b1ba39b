/* Monotonic one-shot timers: a thin face of ktimer. */
#include "base/timer.h"

static void on_expiry(struct ktimer *kt)
{
    struct timer *t = container_of(kt, struct timer, kt);
    t->fn(t);
}

void timer_init(struct timer *t, timer_fn fn)
{
    t->fn = fn;
    ktimer_init(&t->kt, KTIMER_MONO, on_expiry, NULL);
}

int timer_arm(struct timer *t, s64 deadline_ns)
{
    if (deadline_ns == NO_DEADLINE)
        (void)ktimer_cancel(&t->kt);
    else
        ktimer_start(&t->kt, deadline_ns);
    return 0;
}

bool timer_disarm(struct timer *t)
{
    return ktimer_cancel(&t->kt);
}

void timer_done(struct timer *t)
{
    (void)ktimer_cancel_sync(&t->kt);
}
