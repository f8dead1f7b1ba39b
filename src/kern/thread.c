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
    struct list node; /* in idle_workers or spare_workers; guarded by pool_lock, as all below */
    void (*fn)(void *arg);
    void *arg;
    bool is_over;
    struct parker parker;
};

static struct mutex pool_lock = MUTEX_INIT("kthread_pool");
static struct list idle_workers = LIST_INIT(idle_workers); /* guarded by pool_lock, as all here */
/* Structs without a thread. They are never freed: whoever wakes one may do so a moment too late. */
static struct list spare_workers = LIST_INIT(spare_workers);
static u32 nidle, nthreads;

u32 kthread_count(void)
{
    MUTEX_GUARD(&pool_lock);
    return nthreads;
}

static struct worker *worker_alloc(void)
{
    mutex_lock(&pool_lock);
    struct worker *w = list_first(&spare_workers, struct worker, node);
    if (w)
        list_del(&w->node);
    mutex_unlock(&pool_lock);
    if (w)
        return w;
    w = calloc(1, sizeof(*w));
    if (!w)
        return NULL;
    list_init(&w->node);
    parker_init(&w->parker);
    return w;
}

static void worker_free(struct worker *w)
{
    MUTEX_GUARD(&pool_lock);
    w->fn = NULL;
    w->is_over = false;
    list_add_head(&spare_workers, &w->node);
}

/* Waits for work; false: end. */
static bool worker_wait(struct worker *w)
{
    for (;;) {
        mutex_lock(&pool_lock);
        bool has_work = w->fn != NULL, is_over = w->is_over;
        mutex_unlock(&pool_lock);
        if (has_work || is_over)
            return has_work;
        (void)park_uninterruptible(NO_DEADLINE);
    }
}

/* Puts w among the idle; false: there are enough of them. */
static bool worker_set_idle(struct worker *w)
{
    MUTEX_GUARD(&pool_lock);
    w->fn = NULL;
    if (nidle >= MAX_IDLE) {
        nthreads--;
        return false;
    }
    list_add_head(&idle_workers, &w->node); /* the last used has the warmest stack */
    nidle++;
    return true;
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    do {
        parker_set_self(&w->parker);
        if (!worker_wait(w))
            break;
        w->fn(w->arg);
        parker_set_self(&w->parker);
    } while (worker_set_idle(w));
    parker_set_self(NULL);
    worker_free(w);
    return NULL;
}

static struct worker *worker_new(void)
{
    struct worker *w = worker_alloc();
    if (!w)
        return NULL;
    pthread_attr_t attr;
    sigset_t all, old;
    pthread_t thread;
    sigfillset(&all);
    if (pthread_attr_init(&attr) != 0) {
        worker_free(w);
        return NULL;
    }
    pthread_attr_setstacksize(&attr, STACK_SIZE);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int r = pthread_create(&thread, &attr, worker_main, w);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attr);
    if (r != 0) {
        worker_free(w);
        return NULL;
    }
    return w;
}

struct worker *worker_take(void)
{
    mutex_lock(&pool_lock);
    struct worker *w = list_first(&idle_workers, struct worker, node);
    if (w) {
        list_del(&w->node);
        nidle--;
        mutex_unlock(&pool_lock);
        return w;
    }
    bool is_full = nthreads >= MAX_THREADS;
    if (!is_full)
        nthreads++;
    mutex_unlock(&pool_lock);
    if (is_full)
        return NULL;

    w = worker_new();
    if (!w) {
        mutex_lock(&pool_lock);
        nthreads--;
        mutex_unlock(&pool_lock);
    }
    return w;
}

void worker_run(struct worker *w, void (*fn)(void *arg), void *arg)
{
    mutex_lock(&pool_lock);
    w->arg = arg;
    w->fn = fn;
    mutex_unlock(&pool_lock);
    parker_wake(&w->parker);
}

void worker_put(struct worker *w)
{
    if (!w)
        return;
    mutex_lock(&pool_lock);
    if (nidle < MAX_IDLE) {
        list_add_head(&idle_workers, &w->node);
        nidle++;
    } else {
        w->is_over = true;
        nthreads--;
    }
    bool is_over = w->is_over;
    mutex_unlock(&pool_lock);
    if (is_over)
        parker_wake(&w->parker);
}
