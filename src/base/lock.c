/*
 * Locks on one futex word each. A mutex spins briefly (the holder usually runs
 * on the other core and leaves soon) and then sleeps.
 *
 * Debug builds keep the stack of classes that the thread holds and a matrix of
 * "was held while acquiring": a new edge that closes a cycle of two aborts.
 */
#include "base/lock.h"

#include <errno.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"

#define SPIN_ROUNDS 60

static void futex_sleep(_Atomic u32 *word, u32 expected)
{
    int saved = errno;
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, NULL, NULL, 0);
    errno = saved;
}

static void futex_rouse(_Atomic u32 *word, int count)
{
    int saved = errno;
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0);
    errno = saved;
}

#ifdef LOCK_DEBUG
#define MAX_CLASSES 256
#define MAX_HELD    32

static const char *_Atomic class_names[MAX_CLASSES];
static _Atomic u8 class_after[MAX_CLASSES][MAX_CLASSES]; /* [a][b]: b was acquired under a */
static _Thread_local int held[MAX_HELD];
static _Thread_local int nheld;

static int class_id(const char *name)
{
    if (!name)
        return -1;
    for (int i = 0; i < MAX_CLASSES; i++) {
        const char *have = atomic_load(&class_names[i]);
        if (!have) {
            const char *none = NULL;
            if (atomic_compare_exchange_strong(&class_names[i], &none, name))
                return i;
            have = none;
        }
        if (!strcmp(have, name))
            return i;
    }
    return -1;
}

static void order_acquire(const char *name)
{
    int c = class_id(name);
    if (c < 0)
        return;
    for (int i = 0; i < nheld; i++) {
        int h = held[i];
        if (h == c)
            continue; /* two of one class: ordered by address or by hierarchy, the caller's rule */
        if (atomic_load_explicit(&class_after[c][h], memory_order_relaxed))
            panic("lock order: acquiring %s while holding %s, but %s was acquired under %s",
                  name, class_names[h], class_names[h], name);
        atomic_store_explicit(&class_after[h][c], 1, memory_order_relaxed);
    }
    if (nheld < MAX_HELD)
        held[nheld++] = c;
}

static void order_release(const char *name)
{
    int c = class_id(name);
    for (int i = nheld - 1; i >= 0; i--) {
        if (held[i] != c)
            continue;
        memmove(&held[i], &held[i + 1], (size_t)(nheld - i - 1) * sizeof(held[0]));
        nheld--;
        return;
    }
}
#define ORDER_ACQUIRE(l) order_acquire((l)->class_name)
#define ORDER_RELEASE(l) order_release((l)->class_name)
#else
#define ORDER_ACQUIRE(l) ((void)0)
#define ORDER_RELEASE(l) ((void)0)
#endif

void mutex_init(struct mutex *m, const char *class_name)
{
    memset(m, 0, sizeof(*m));
#ifdef LOCK_DEBUG
    m->class_name = class_name;
#else
    (void)class_name;
#endif
}

static void mutex_lock_slow(struct mutex *m)
{
    for (int i = 0; i < SPIN_ROUNDS; i++) {
        u32 v = atomic_load_explicit(&m->word, memory_order_relaxed);
        if (v == 2)
            break;
        if (v == 0 && atomic_compare_exchange_weak_explicit(&m->word, &v, 1, memory_order_acquire,
                                                            memory_order_relaxed))
            return;
        __builtin_ia32_pause();
    }
    while (atomic_exchange_explicit(&m->word, 2, memory_order_acquire) != 0)
        futex_sleep(&m->word, 2);
}

void mutex_lock(struct mutex *m) NO_THREAD_ANALYSIS
{
    ORDER_ACQUIRE(m);
    u32 free_word = 0;
    if (!atomic_compare_exchange_strong_explicit(&m->word, &free_word, 1, memory_order_acquire,
                                                 memory_order_relaxed))
        mutex_lock_slow(m);
#ifdef LOCK_DEBUG
    m->owner_tid = (int)syscall(SYS_gettid);
#endif
}

bool mutex_trylock(struct mutex *m) NO_THREAD_ANALYSIS
{
    u32 free_word = 0;
    if (!atomic_compare_exchange_strong_explicit(&m->word, &free_word, 1, memory_order_acquire,
                                                 memory_order_relaxed))
        return false;
    ORDER_ACQUIRE(m);
#ifdef LOCK_DEBUG
    m->owner_tid = (int)syscall(SYS_gettid);
#endif
    return true;
}

void mutex_unlock(struct mutex *m) NO_THREAD_ANALYSIS
{
#ifdef LOCK_DEBUG
    m->owner_tid = 0;
#endif
    ORDER_RELEASE(m);
    u32 old = atomic_exchange_explicit(&m->word, 0, memory_order_release);
    if (unlikely(old == 2))
        futex_rouse(&m->word, 1);
    else if (unlikely(old == 0))
        panic("mutex %p unlocked twice", (void *)m);
}

void mutex_assert_held(const struct mutex *m)
{
    struct mutex *plain = (struct mutex *)(uintptr_t)m;
    if (atomic_load_explicit(&plain->word, memory_order_relaxed) == 0)
        panic("mutex %p should be held", (const void *)m);
#ifdef LOCK_DEBUG
    if (m->owner_tid != (int)syscall(SYS_gettid))
        panic("mutex %p should be held by this thread", (const void *)m);
#endif
}

/* state: bit 31 writer, bit 30 somebody sleeps, the rest counts readers. */
#define RW_WRITER  0x80000000U
#define RW_WAITERS 0x40000000U
#define RW_READERS 0x3fffffffU

void rwlock_init(struct rwlock *l, const char *class_name)
{
    memset(l, 0, sizeof(*l));
#ifdef LOCK_DEBUG
    l->class_name = class_name;
#else
    (void)class_name;
#endif
}

/* Marks that somebody sleeps on `seen` and sleeps, unless the state has moved on. */
static void rw_sleep(struct rwlock *l, u32 seen)
{
    u32 want = seen | RW_WAITERS;
    if (seen != want && !atomic_compare_exchange_strong(&l->state, &seen, want))
        return;
    futex_sleep(&l->state, want);
}

void rwlock_rdlock(struct rwlock *l) NO_THREAD_ANALYSIS
{
    ORDER_ACQUIRE(l);
    for (;;) {
        u32 s = atomic_load_explicit(&l->state, memory_order_relaxed);
        if (!(s & RW_WRITER) && atomic_load_explicit(&l->writers, memory_order_relaxed) == 0) {
            if (atomic_compare_exchange_weak_explicit(&l->state, &s, s + 1, memory_order_acquire,
                                                      memory_order_relaxed))
                return;
            continue;
        }
        if ((s & (RW_WRITER | RW_READERS)) == 0) {
            __builtin_ia32_pause(); /* a writer is about to take it */
            continue;
        }
        rw_sleep(l, s);
    }
}

void rwlock_rdunlock(struct rwlock *l) NO_THREAD_ANALYSIS
{
    ORDER_RELEASE(l);
    u32 s = atomic_fetch_sub_explicit(&l->state, 1, memory_order_release) - 1;
    while ((s & (RW_READERS | RW_WRITER)) == 0 && (s & RW_WAITERS)) {
        if (atomic_compare_exchange_weak(&l->state, &s, s & ~RW_WAITERS)) {
            futex_rouse(&l->state, INT32_MAX);
            return;
        }
    }
}

void rwlock_wrlock(struct rwlock *l) NO_THREAD_ANALYSIS
{
    ORDER_ACQUIRE(l);
    atomic_fetch_add_explicit(&l->writers, 1, memory_order_relaxed);
    for (;;) {
        u32 s = atomic_load_explicit(&l->state, memory_order_relaxed);
        if ((s & (RW_WRITER | RW_READERS)) == 0) {
            if (atomic_compare_exchange_weak_explicit(&l->state, &s, s | RW_WRITER,
                                                      memory_order_acquire, memory_order_relaxed))
                break;
            continue;
        }
        rw_sleep(l, s);
    }
    atomic_fetch_sub_explicit(&l->writers, 1, memory_order_relaxed);
}

void rwlock_wrunlock(struct rwlock *l) NO_THREAD_ANALYSIS
{
    ORDER_RELEASE(l);
    u32 s = atomic_exchange_explicit(&l->state, 0, memory_order_release);
    if (s & RW_WAITERS)
        futex_rouse(&l->state, INT32_MAX);
}
