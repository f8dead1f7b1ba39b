/*
 * Host threads for tasks. A thread that has finished its task waits a while
 * for the next one: making a host thread costs about 20 µs, handing a task to
 * an idle one a third of that. Idle threads sleep without a timeout.
 *
 * Every thread runs with all host signals blocked and a small stack with a
 * guard page.
 */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "base/log.h"
#include "kern/kern_int.h"

#define STACK_SIZE   (256UL * 1024)
#define MAX_THREADS  16384U
#define MAX_IDLE     12U

struct worker {
    struct list node; /* in idle_workers; guarded by pool_lock, as fn and arg while there */
    void (*fn)(void *arg);
    void *arg;
    struct parker parker;
};

static struct mutex pool_lock = MUTEX_INIT("kthread_pool");
static struct list idle_workers = LIST_INIT(idle_workers); /* guarded by pool_lock, as all here */
static u32 nidle, nthreads;

u32 kthread_count(void)
{
    MUTEX_GUARD(&pool_lock);
    return nthreads;
}

/* Puts w among the idle and waits for work; false: there are enough idle ones, end. */
static bool worker_wait(struct worker *w)
{
    mutex_lock(&pool_lock);
    if (nidle >= MAX_IDLE) {
        nthreads--;
        mutex_unlock(&pool_lock);
        return false;
    }
    w->fn = NULL;
    list_add_head(&idle_workers, &w->node); /* the last used has the warmest stack */
    nidle++;
    mutex_unlock(&pool_lock);
    for (;;) {
        mutex_lock(&pool_lock);
        bool has_work = w->fn != NULL;
        mutex_unlock(&pool_lock);
        if (has_work)
            return true;
        (void)park_uninterruptible(NO_DEADLINE);
    }
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    do {
        parker_set_self(&w->parker);
        w->fn(w->arg);
        parker_set_self(&w->parker);
    } while (worker_wait(w));
    parker_set_self(NULL);
    free(w);
    return NULL;
}

static int worker_new(void (*fn)(void *arg), void *arg)
{
    struct worker *w = calloc(1, sizeof(*w));
    if (!w)
        return -LX_EAGAIN;
    list_init(&w->node);
    parker_init(&w->parker);
    w->fn = fn;
    w->arg = arg;

    pthread_attr_t attr;
    sigset_t all, old;
    pthread_t thread;
    sigfillset(&all);
    if (pthread_attr_init(&attr) != 0) {
        free(w);
        return -LX_EAGAIN;
    }
    pthread_attr_setstacksize(&attr, STACK_SIZE);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int r = pthread_create(&thread, &attr, worker_main, w);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attr);
    if (r != 0) {
        free(w);
        return -LX_EAGAIN;
    }
    return 0;
}

int kthread_start(void (*fn)(void *arg), void *arg)
{
    mutex_lock(&pool_lock);
    struct worker *w = list_first(&idle_workers, struct worker, node);
    if (w) {
        list_del(&w->node);
        nidle--;
        w->fn = fn;
        w->arg = arg;
        mutex_unlock(&pool_lock);
        parker_wake(&w->parker);
        return 0;
    }
    if (nthreads >= MAX_THREADS) {
        mutex_unlock(&pool_lock);
        return -LX_EAGAIN;
    }
    nthreads++;
    mutex_unlock(&pool_lock);

    int r = worker_new(fn, arg);
    if (r < 0) {
        mutex_lock(&pool_lock);
        nthreads--;
        mutex_unlock(&pool_lock);
    }
    return r;
}
