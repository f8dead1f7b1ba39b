/*
 * Epoch-based reclamation. A global epoch counts up; a thread in a section
 * has announced the epoch that it saw on entry. The epoch moves on only when
 * every announced one equals it, so an object retired in epoch e is out of
 * everybody's sight when the global epoch has reached e + 2: three limbo lists suffice.
 *
 * Thread records are never freed; those of ended threads are used again.
 */
#include "vfs/epoch.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/lock.h"
#include "base/log.h"

#define LIMBO_BATCH 64 /* retired objects between attempts to move on */

struct record {
    _Atomic u64 state; /* epoch * 2 + 1 in a section, 0 outside */
    u32 depth;         /* own thread's */
    _Atomic bool is_used;
    struct record *next; /* immutable once published */
} cacheline_aligned;

static _Atomic u64 global_epoch = 2;
static struct record *_Atomic records;
static _Thread_local struct record *self;
static pthread_once_t key_once = PTHREAD_ONCE_INIT;
static pthread_key_t key;

static struct mutex limbo_lock = MUTEX_INIT("epoch_limbo");
static struct epoch_node *limbo[3]; /* guarded by limbo_lock; by epoch % 3 */
static u32 nlimbo;                  /* guarded by limbo_lock; since the last attempt */

static void record_release(void *arg)
{
    struct record *r = arg;
    r->depth = 0;
    atomic_store_explicit(&r->state, 0, memory_order_release);
    atomic_store_explicit(&r->is_used, false, memory_order_release);
}

static void make_key(void)
{
    if (pthread_key_create(&key, record_release) != 0)
        panic("no thread-specific key");
}

static struct record *record_acquire(void)
{
    pthread_once(&key_once, make_key);
    struct record *r;
    for (r = atomic_load(&records); r; r = r->next) {
        bool is_free = false;
        if (atomic_compare_exchange_strong(&r->is_used, &is_free, true))
            break;
    }
    if (!r) {
        r = aligned_alloc(_Alignof(struct record), sizeof(*r));
        if (!r)
            panic("out of memory for a thread's epoch record");
        *r = (struct record){.is_used = true, .next = atomic_load(&records)};
        while (!atomic_compare_exchange_weak(&records, &r->next, r))
            ;
    }
    self = r;
    pthread_setspecific(key, r);
    return r;
}

void epoch_enter(void)
{
    struct record *r = self;
    if (unlikely(!r))
        r = record_acquire();
    if (r->depth++ > 0)
        return;
    u64 e = atomic_load_explicit(&global_epoch, memory_order_acquire);
    /* A full fence: the announcement is seen before any load of the section is made. */
    (void)atomic_exchange_explicit(&r->state, e * 2 + 1, memory_order_seq_cst);
}

void epoch_exit(void)
{
    struct record *r = self;
    if (--r->depth == 0)
        atomic_store_explicit(&r->state, 0, memory_order_release);
}

/* Moves the epoch on if nobody is behind; returns what became free. Under limbo_lock. */
static struct epoch_node *try_advance(void)
{
    u64 e = atomic_load_explicit(&global_epoch, memory_order_relaxed);
    nlimbo = 0;
    atomic_thread_fence(memory_order_seq_cst);
    for (struct record *r = atomic_load(&records); r; r = r->next) {
        u64 s = atomic_load_explicit(&r->state, memory_order_acquire);
        if ((s & 1) && s / 2 != e)
            return NULL;
    }
    atomic_store_explicit(&global_epoch, e + 1, memory_order_seq_cst);
    struct epoch_node *list = limbo[(e + 2) % 3]; /* retired in e - 1 */
    limbo[(e + 2) % 3] = NULL;
    return list;
}

static void free_list(struct epoch_node *n)
{
    while (n) {
        struct epoch_node *next = n->next;
        n->fn(n);
        n = next;
    }
}

void epoch_defer(struct epoch_node *n, void (*fn)(struct epoch_node *n))
{
    struct epoch_node *list = NULL;
    n->fn = fn;
    mutex_lock(&limbo_lock);
    u64 e = atomic_load_explicit(&global_epoch, memory_order_relaxed);
    n->next = limbo[e % 3];
    limbo[e % 3] = n;
    if (++nlimbo >= LIMBO_BATCH)
        list = try_advance();
    mutex_unlock(&limbo_lock);
    free_list(list);
}

void epoch_drain(void)
{
    for (int i = 0; i < 3; i++) {
        mutex_lock(&limbo_lock);
        struct epoch_node *list = try_advance();
        mutex_unlock(&limbo_lock);
        free_list(list);
    }
}
