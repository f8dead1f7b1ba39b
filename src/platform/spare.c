/*
 * Spare stubs: empty address spaces with one thread, made ahead of need, so
 * that exec does not wait for a fork of the zygote, a new thread and its
 * filter. One thread refills the pool after it was used, and sleeps otherwise.
 *
 * A spare aspace owns its spare thread (aspace.spare); uctx_new hands it out.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "abi/errno.h"
#include "base/log.h"
#include "host/futex.h"
#include "platform/internal.h"

#define MAX_SPARES 2

static struct {
    struct mutex lock;
    struct aspace *spares[MAX_SPARES]; /* guarded by lock */
    u32 nspares;                       /* guarded by lock */
    u32 nwanted;                       /* guarded by lock */
    volatile u32 work;                 /* futex: changes when there is something to do */
    bool is_stopping;                  /* guarded by lock */
    bool is_running;
    pthread_t thread;
} pool = {.lock = MUTEX_INIT("platform.spares"), .nwanted = 1};

static void poke(void)
{
    __atomic_add_fetch(&pool.work, 1, __ATOMIC_SEQ_CST);
    host_futex_wake(&pool.work, 1);
}

static int make_spare(struct aspace **ret_as)
{
    struct aspace *as;
    int r = aspace_new_cold(&as);
    if (r < 0)
        return r;
    aspace_settle(as);
    struct uctx *ctx;
    r = uctx_new(as, NULL, &ctx);
    if (r < 0) {
        aspace_put(as);
        return r;
    }
    as->spare = ctx;
    aspace_put(as); /* the thread's reference: it is the aspace's own now */
    *ret_as = as;
    return 0;
}

static void *refill_main(void *arg)
{
    (void)arg;
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    for (;;) {
        u32 seen = __atomic_load_n(&pool.work, __ATOMIC_SEQ_CST);
        bool is_short;
        {
            MUTEX_GUARD(&pool.lock);
            if (pool.is_stopping)
                return NULL;
            is_short = pool.nspares < pool.nwanted;
        }
        struct aspace *as = NULL;
        if (!is_short || make_spare(&as) < 0) {
            /* After a failure too: the next exec will ask again. */
            host_futex_wait(&pool.work, seen, -1);
            continue;
        }
        MUTEX_GUARD(&pool.lock);
        pool.spares[pool.nspares++] = as;
    }
}

int spare_start(void)
{
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 64 << 10);
    int r = -pthread_create(&pool.thread, &attr, refill_main, NULL);
    pthread_attr_destroy(&attr);
    pool.is_running = r == 0;
    return r;
}

void spare_stop(void)
{
    if (!pool.is_running)
        return;
    {
        MUTEX_GUARD(&pool.lock);
        pool.is_stopping = true;
    }
    poke();
    pthread_join(pool.thread, NULL);
    pool.is_running = false;
    while (pool.nspares)
        aspace_put(pool.spares[--pool.nspares]);
}

int aspace_new(struct aspace **ret_as)
{
    struct aspace *as = NULL;
    {
        MUTEX_GUARD(&pool.lock);
        while (pool.nspares && !as) {
            as = pool.spares[--pool.nspares];
            if (atomic_load(&as->is_dead)) {
                aspace_put(as);
                as = NULL;
            }
        }
        if (!as && pool.nwanted < MAX_SPARES)
            pool.nwanted++;
    }
    poke();
    if (!as)
        return aspace_new_cold(ret_as);
    *ret_as = as;
    return 0;
}

struct uctx *spare_take(struct aspace *as)
{
    struct uctx *ctx = __atomic_exchange_n(&as->spare, NULL, __ATOMIC_SEQ_CST);
    if (ctx)
        aspace_get(as);
    return ctx;
}
