/*
 * Timers: a red-black tree by deadline and one thread that sleeps until the
 * first of them; the contract is in the header.
 */
#include "base/timer.h"

#include <pthread.h>
#include <signal.h>

#include "abi/errno.h"
#include "base/lock.h"

static struct mutex timer_lock = MUTEX_INIT("timer");
static struct rb_tree timers;       /* guarded by timer_lock, as all below */
static struct timer *running;       /* whose callback runs */
static pthread_t service;
static bool has_service;
static s64 service_wakes_at;        /* what the thread sleeps until */
static struct parker service_parker;
static struct waitq done_waitq = {MUTEX_INIT("timer_done"), LIST_INIT(done_waitq.waiters), 0};

void timer_init(struct timer *t, timer_fn fn)
{
    *t = (struct timer){.deadline_ns = NO_DEADLINE, .fn = fn};
}

static void unlink_timer(struct timer *t)
{
    rb_erase(&timers, &t->rb);
    t->deadline_ns = NO_DEADLINE;
}

static void link_timer(struct timer *t, s64 deadline_ns)
{
    struct rb_node **link = &timers.root, *parent = NULL;
    t->deadline_ns = deadline_ns;
    while (*link) {
        parent = *link;
        struct timer *o = rb_entry(parent, struct timer, rb);
        link = deadline_ns < o->deadline_ns ? &parent->left : &parent->right;
    }
    rb_link(&timers, &t->rb, parent, link);
}

/* Runs what is due; returns the next deadline. */
static s64 run_due(void)
{
    mutex_lock(&timer_lock);
    for (;;) {
        struct rb_node *n = rb_first(&timers);
        struct timer *t = n ? rb_entry(n, struct timer, rb) : NULL;
        if (!t || t->deadline_ns > clock_mono_ns()) {
            service_wakes_at = t ? t->deadline_ns : NO_DEADLINE;
            mutex_unlock(&timer_lock);
            return service_wakes_at;
        }
        timer_fn fn = t->fn;
        unlink_timer(t);
        running = t;
        mutex_unlock(&timer_lock);
        fn(t);
        mutex_lock(&timer_lock);
        running = NULL;
        mutex_unlock(&timer_lock);
        waitq_wake(&done_waitq, WAIT_ALL);
        mutex_lock(&timer_lock);
    }
}

static noreturn_fn void *service_main(void *arg)
{
    parker_set_self(&service_parker);
    for (;;)
        (void)park_uninterruptible(run_due()); /* woken or due: look again either way */
}

static int start_service(void)
{
    sigset_t all, old;
    parker_init(&service_parker);
    service_wakes_at = NO_DEADLINE;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int r = pthread_create(&service, NULL, service_main, NULL);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (r != 0)
        return -LX_EAGAIN;
    pthread_detach(service);
    has_service = true;
    return 0;
}

int timer_arm(struct timer *t, s64 deadline_ns)
{
    bool is_first = false;
    {
        MUTEX_GUARD(&timer_lock);
        if (t->deadline_ns != NO_DEADLINE)
            unlink_timer(t);
        if (deadline_ns == NO_DEADLINE)
            return 0;
        if (!has_service) {
            int r = start_service();
            if (r < 0)
                return r;
        }
        link_timer(t, deadline_ns);
        is_first = deadline_ns < service_wakes_at; /* else it looks again before it sleeps */
        if (is_first)
            service_wakes_at = deadline_ns;
    }
    if (is_first)
        parker_wake(&service_parker);
    return 0;
}

bool timer_disarm(struct timer *t)
{
    MUTEX_GUARD(&timer_lock);
    if (t->deadline_ns == NO_DEADLINE)
        return false;
    unlink_timer(t);
    return true;
}

static bool is_idle(struct timer *t)
{
    MUTEX_GUARD(&timer_lock);
    return running != t;
}

void timer_done(struct timer *t)
{
    (void)timer_disarm(t);
    if (is_idle(t) || pthread_equal(pthread_self(), service))
        return;
    struct waiter w;
    waiter_init_thread(&w, WAIT_ALL);
    waitq_add(&done_waitq, &w);
    while (!is_idle(t))
        (void)park_uninterruptible(NO_DEADLINE);
    waitq_del(&done_waitq, &w);
}
