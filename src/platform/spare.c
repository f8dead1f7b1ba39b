/*
 * Spare stubs: empty address spaces with one thread, made ahead of need, so
 * that exec does not wait for a fork of the zygote, a new thread and its
 * filter. One thread refills the pools (one a family) after they were used, and sleeps otherwise.
 * A family's first spare is for its first program. Many a program is the only one: no more are made
 * until there is a fork or another exec.
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
#include "platform/family.h"
#include "platform/internal.h"

#define MAX_SPARES 2

struct stub_family {
    struct ref ref;                    /* the first family is static, and has none */
    struct aspace *zygote;             /* owned; NULL: the platform's */
    struct list node;                  /* guarded by pool.lock, as all below */
    struct aspace *spares[MAX_SPARES]; /* owned */
    u32 nspares, nwanted;
    bool is_used;            /* one has been taken */
    _Atomic bool is_resting; /* written under the lock */
};

_Thread_local struct stub_family *platform_family;
static struct stub_family first_family = {.nwanted = 1};

static struct {
    struct mutex lock;
    struct list families; /* those that want spares; guarded by lock */
    volatile u32 work;    /* futex: changes when there is something to do */
    bool is_stopping;     /* guarded by lock */
    bool is_running;
    pthread_t thread;
} pool = {.lock = MUTEX_INIT("platform.spares"), .families = LIST_INIT(pool.families)};

static void poke(void)
{
    __atomic_add_fetch(&pool.work, 1, __ATOMIC_SEQ_CST);
    host_futex_wake(&pool.work, 1);
}

/* A dead zygote's family goes on with the platform's. */
static struct aspace *zygote_of(const struct stub_family *f)
{
    return f->zygote && !atomic_load(&f->zygote->is_dead) ? f->zygote : platform_zygote();
}

static int make_spare(const struct stub_family *f, struct aspace **ret_as)
{
    struct aspace *as;
    int r = aspace_new_cold(zygote_of(f), &as);
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

/* A family that lacks spares, counted; NULL: none does. */
static struct stub_family *find_short(void) REQUIRES(pool.lock)
{
    struct stub_family *f;
    list_for_each (f, &pool.families, node) {
        if (f->nspares < f->nwanted && !atomic_load(&f->is_resting)) {
            family_get(f);
            return f;
        }
    }
    return NULL;
}

static void *refill_main(void *arg)
{
    (void)arg;
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    for (;;) {
        u32 seen = __atomic_load_n(&pool.work, __ATOMIC_SEQ_CST);
        struct stub_family *f;
        {
            MUTEX_GUARD(&pool.lock);
            if (pool.is_stopping)
                return NULL;
            f = find_short();
        }
        struct aspace *as = NULL;
        if (!f || make_spare(f, &as) < 0) {
            family_put(f);
            /* After a failure too: the next exec will ask again. */
            host_futex_wait(&pool.work, seen, -1);
            continue;
        }
        {
            MUTEX_GUARD(&pool.lock);
            f->spares[f->nspares++] = as; /* nobody else adds any */
        }
        family_put(f);
    }
}

int spare_start(void)
{
    pthread_attr_t attr;
    pool.is_stopping = false;
    list_add_tail(&pool.families, &first_family.node);
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 64 << 10);
    int r = -pthread_create(&pool.thread, &attr, refill_main, NULL);
    pthread_attr_destroy(&attr);
    pool.is_running = r == 0;
    return r;
}

static void drop_spares(struct stub_family *f)
{
    while (f->nspares)
        aspace_put(f->spares[--f->nspares]);
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
    list_del(&first_family.node);
    drop_spares(&first_family);
}

/* ---- families ------------------------------------------------------------------------------ */

int family_new(struct stub_family **ret_f)
{
    struct stub_family *f = calloc(1, sizeof(*f));
    if (!f)
        return -LX_ENOMEM;
    ref_init(&f->ref);
    list_init(&f->node);
    f->nwanted = 1;
    int r = aspace_new_cold(platform_zygote(), &f->zygote);
    if (r < 0) {
        free(f);
        return r;
    }
    aspace_settle(f->zygote);
    *ret_f = f;
    return 0;
}

void family_publish(struct stub_family *f)
{
    {
        MUTEX_GUARD(&pool.lock);
        list_add_tail(&pool.families, &f->node);
    }
    poke();
}

int family_host_pid(const struct stub_family *f)
{
    return aspace_host_pid(f->zygote);
}

void family_get(struct stub_family *f)
{
    if (f != &first_family)
        ref_get(&f->ref);
}

/* The list holds no reference: whoever finds it there does so under the lock, before its last use
 * is over or not at all. */
void family_put(struct stub_family *f)
{
    if (!f || f == &first_family)
        return;
    {
        MUTEX_GUARD(&pool.lock);
        if (!ref_put(&f->ref))
            return;
        list_del(&f->node);
    }
    drop_spares(f);
    aspace_put(f->zygote);
    free(f);
}

static struct stub_family *own_family(void)
{
    return platform_family ? platform_family : &first_family;
}

void spare_expect(void)
{
    struct stub_family *f = own_family();
    if (likely(!atomic_load_explicit(&f->is_resting, memory_order_relaxed)))
        return;
    mutex_lock(&pool.lock);
    atomic_store(&f->is_resting, false);
    mutex_unlock(&pool.lock);
    poke();
}

int aspace_new(struct aspace **ret_as)
{
    struct aspace *as = NULL;
    struct stub_family *f = own_family();
    bool is_first, was_resting;
    {
        MUTEX_GUARD(&pool.lock);
        is_first = !f->is_used;
        was_resting = f->is_resting;
        f->is_used = true;
        atomic_store(&f->is_resting, is_first);
        while (f->nspares && !as) {
            as = f->spares[--f->nspares];
            if (atomic_load(&as->is_dead)) {
                aspace_put(as);
                as = NULL;
            }
        }
        if (!as && !was_resting && f->nwanted < MAX_SPARES)
            f->nwanted++;
    }
    if (!is_first)
        poke();
    if (!as)
        return aspace_new_cold(zygote_of(f), ret_as);
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
