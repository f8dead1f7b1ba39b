/*
 * Reference counts. They saturate rather than wrap; taking a reference from
 * zero and dropping one too many abort, since both are our own bugs.
 */
#ifndef BASE_REF_H
#define BASE_REF_H

#include "base/defs.h"

struct ref {
    _Atomic u32 count; /* atomic */
};

#define REF_SATURATED 0x80000000U

void ref_bug(const struct ref *r, u32 seen) noreturn_fn;

static inline void ref_init(struct ref *r)
{
    atomic_init(&r->count, 1);
}

static inline void ref_get(struct ref *r)
{
    u32 old = atomic_fetch_add_explicit(&r->count, 1, memory_order_relaxed);
    if (unlikely(old == 0))
        ref_bug(r, old);
    if (unlikely(old >= REF_SATURATED))
        atomic_store_explicit(&r->count, REF_SATURATED, memory_order_relaxed);
}

/* Takes a reference unless the count has reached zero; true when taken. For lookups under a lock. */
static inline bool ref_get_unless_zero(struct ref *r)
{
    u32 old = atomic_load_explicit(&r->count, memory_order_relaxed);
    do {
        if (old == 0)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&r->count, &old, old + 1, memory_order_acquire,
                                                    memory_order_relaxed));
    return true;
}

/* Drops a reference; true when it was the last one and the caller must free the object. */
static inline must_check bool ref_put(struct ref *r)
{
    u32 old = atomic_fetch_sub_explicit(&r->count, 1, memory_order_acq_rel);
    if (unlikely(old == 0))
        ref_bug(r, old);
    if (unlikely(old >= REF_SATURATED)) {
        atomic_store_explicit(&r->count, REF_SATURATED, memory_order_relaxed);
        return false;
    }
    return old == 1;
}

static inline u32 ref_read(const struct ref *r)
{
    return atomic_load_explicit(&((struct ref *)(void *)(uintptr_t)r)->count, memory_order_relaxed);
}

#endif
