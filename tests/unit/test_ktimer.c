/* The timer engine: order, re-arming from a callback, cancelling against a running callback. */
#include <pthread.h>
#include <time.h>
#include <unistd.h>

#include "base/ktimer.h"
#include "base/lock.h"
#include "base/wait.h"
#include "test.h"

static struct waitq q;
static _Atomic int nfired;
static _Atomic int order[64];

__attribute__((constructor)) static void init(void)
{
    waitq_init(&q);
}

static void on_fire(struct ktimer *t)
{
    order[nfired % 64] = (int)(intptr_t)t->arg;
    nfired++;
    waitq_wake(&q, WAIT_IN);
}

static int wait_fired(int n)
{
    return wait_event_interruptible(&q, WAIT_IN, nfired >= n, deadline_after_ns(5 * NSEC_PER_SEC));
}

TEST(fires_in_order_on_all_clocks)
{
    nfired = 0;
    struct ktimer t[3];
    s64 now[3]; /* taken together: only the deadlines decide the order */
    for (int i = 0; i < 3; i++)
        now[i] = ktimer_now((enum ktimer_clock)i);
    for (int i = 0; i < 3; i++) {
        ktimer_init(&t[i], (enum ktimer_clock)i, on_fire, (void *)(intptr_t)i);
        ktimer_start(&t[i], now[i] + (3 - i) * 200 * NSEC_PER_MSEC);
    }
    CHECK_EQ(wait_fired(3), 0);
    CHECK_EQ(order[0], 2);
    CHECK_EQ(order[1], 1);
    CHECK_EQ(order[2], 0);
    for (int i = 0; i < 3; i++)
        CHECK(!ktimer_cancel_sync(&t[i]));
}

TEST(earlier_deadline_rouses)
{
    nfired = 0;
    struct ktimer a, b;
    ktimer_init(&a, KTIMER_MONO, on_fire, NULL);
    ktimer_init(&b, KTIMER_MONO, on_fire, NULL);
    ktimer_start(&a, ktimer_now(KTIMER_MONO) + 100 * NSEC_PER_SEC);
    usleep(5000);
    s64 start = clock_mono_ns();
    ktimer_start(&b, start + NSEC_PER_MSEC);
    CHECK_EQ(wait_fired(1), 0);
    CHECK(clock_mono_ns() - start < NSEC_PER_SEC);
    CHECK(ktimer_is_armed(&a));
    CHECK(ktimer_cancel_sync(&a));
    CHECK(!ktimer_cancel_sync(&b));
}

static void on_periodic(struct ktimer *t)
{
    on_fire(t);
    if (nfired < 10)
        ktimer_start(t, t->deadline_ns + NSEC_PER_MSEC);
}

TEST(rearms_from_callback)
{
    nfired = 0;
    struct ktimer t;
    s64 start = clock_mono_ns();
    ktimer_init(&t, KTIMER_MONO, on_periodic, NULL);
    ktimer_start(&t, start + NSEC_PER_MSEC);
    CHECK_EQ(wait_fired(10), 0);
    CHECK(clock_mono_ns() - start >= 10 * NSEC_PER_MSEC);
    ktimer_cancel_sync(&t);
}

static _Atomic int is_inside;

static void on_slow(struct ktimer *t)
{
    is_inside = 1;
    waitq_wake(&q, WAIT_IN);
    usleep(30000);
    ktimer_start(t, 0);
    is_inside = 0;
}

TEST(cancel_sync_waits_for_callback)
{
    struct ktimer t;
    ktimer_init(&t, KTIMER_MONO, on_slow, NULL);
    ktimer_start(&t, 0);
    CHECK_EQ(wait_event_interruptible(&q, WAIT_IN, is_inside, NO_DEADLINE), 0);
    ktimer_cancel_sync(&t); /* the callback tries to arm it again, without end */
    CHECK(!is_inside);
    CHECK(!ktimer_is_armed(&t));
}

#define NSTRESS 4
static void *stress(void *arg)
{
    struct ktimer t[16];
    unsigned seed = (unsigned)(uintptr_t)arg;
    for (int i = 0; i < 16; i++)
        ktimer_init(&t[i], (enum ktimer_clock)(i % 3), on_fire, NULL);
    for (int n = 0; n < 3000; n++) {
        struct ktimer *x = &t[rand_r(&seed) % 16];
        switch (rand_r(&seed) % 3) {
        case 0:
            ktimer_start(x, ktimer_now((enum ktimer_clock)x->clock) + rand_r(&seed) % 200000);
            break;
        case 1:
            ktimer_cancel(x);
            break;
        default:
            ktimer_cancel_sync(x);
        }
    }
    for (int i = 0; i < 16; i++)
        ktimer_cancel_sync(&t[i]);
    return NULL;
}

TEST(stress)
{
    pthread_t th[NSTRESS];
    for (int i = 0; i < NSTRESS; i++)
        CHECK_EQ(pthread_create(&th[i], NULL, stress, (void *)(uintptr_t)(i + 1)), 0);
    for (int i = 0; i < NSTRESS; i++)
        pthread_join(th[i], NULL);
}
