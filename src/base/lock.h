/*
 * Mutexes and reader-writer locks: one futex word each, adaptive, annotated
 * for clang's thread-safety analysis. Debug builds (-DLOCK_DEBUG) also check
 * the order by lock class: classes are the strings given to MUTEX_INIT or
 * mutex_init, and acquiring A while B is held after B was ever acquired while
 * A is held aborts with both names.
 */
#ifndef BASE_LOCK_H
#define BASE_LOCK_H

#include "base/defs.h"

#if defined(__clang__) && __clang_major__ >= 19
#define LOCK_ATTR(x) __attribute__((x))
#else
#define LOCK_ATTR(x)
#endif
#define CAPABILITY(x)       LOCK_ATTR(capability(x))
#define GUARDED_BY(l)       LOCK_ATTR(guarded_by(l))
#define REQUIRES(...)       LOCK_ATTR(requires_capability(__VA_ARGS__))
#define EXCLUDES(...)       LOCK_ATTR(locks_excluded(__VA_ARGS__))
#define ACQUIRES(...)       LOCK_ATTR(acquire_capability(__VA_ARGS__))
#define RELEASES(...)       LOCK_ATTR(release_capability(__VA_ARGS__))
#define TRY_ACQUIRES(...)   LOCK_ATTR(try_acquire_capability(__VA_ARGS__))
#define NO_THREAD_ANALYSIS  LOCK_ATTR(no_thread_safety_analysis)

struct CAPABILITY("mutex") mutex {
    _Atomic u32 word; /* 0 free, 1 held, 2 held and somebody waits */
#ifdef LOCK_DEBUG
    const char *class_name;
    int owner_tid;
#endif
};

#ifdef LOCK_DEBUG
#define MUTEX_INIT(name) {0, name, 0}
#else
#define MUTEX_INIT(name) {0}
#endif

void mutex_init(struct mutex *m, const char *class_name);
void mutex_lock(struct mutex *m) ACQUIRES(*m);
bool mutex_trylock(struct mutex *m) TRY_ACQUIRES(true, *m);
void mutex_unlock(struct mutex *m) RELEASES(*m);
/* Aborts unless the mutex is held (by this thread, in debug builds). */
void mutex_assert_held(const struct mutex *m);

/* Writers first; not recursive. */
struct CAPABILITY("rwlock") rwlock {
    _Atomic u32 state;   /* readers, or RWLOCK_WRITER; waiter bit */
    _Atomic u32 writers; /* writers waiting */
#ifdef LOCK_DEBUG
    const char *class_name;
#endif
};

#ifdef LOCK_DEBUG
#define RWLOCK_INIT(name) {0, 0, name}
#else
#define RWLOCK_INIT(name) {0, 0}
#endif

void rwlock_init(struct rwlock *l, const char *class_name);
void rwlock_rdlock(struct rwlock *l) LOCK_ATTR(acquire_shared_capability(*l));
void rwlock_rdunlock(struct rwlock *l) LOCK_ATTR(release_shared_capability(*l));
void rwlock_wrlock(struct rwlock *l) ACQUIRES(*l);
void rwlock_wrunlock(struct rwlock *l) RELEASES(*l);

/* Scope guard: `MUTEX_GUARD(&x->lock);` holds until the end of the block. */
static inline void mutex_guard_release_(struct mutex **m) NO_THREAD_ANALYSIS
{
    mutex_unlock(*m);
}
#define MUTEX_GUARD_NAME2_(l) mutex_guard_##l##_
#define MUTEX_GUARD_NAME_(l)  MUTEX_GUARD_NAME2_(l)
#define MUTEX_GUARD(m)                                                                             \
    struct mutex *MUTEX_GUARD_NAME_(__LINE__) cleanup(mutex_guard_release_) = (m);                 \
    mutex_lock(MUTEX_GUARD_NAME_(__LINE__))

#endif
