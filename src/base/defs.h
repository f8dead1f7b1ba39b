/*
 * Vocabulary that every room uses: fixed-width names, attributes, checked
 * arithmetic, scope cleanup.
 */
#ifndef BASE_DEFS_H
#define BASE_DEFS_H

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int8_t s8;
typedef int16_t s16;
typedef int32_t s32;
typedef int64_t s64;

#define must_check         __attribute__((warn_unused_result))
#define printf_like(f, a)  __attribute__((format(printf, f, a)))
#define noreturn_fn        __attribute__((noreturn))
#define unused_arg         __attribute__((unused))
#define always_inline_fn   static inline __attribute__((always_inline))
#define cacheline_aligned  __attribute__((aligned(64)))

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define container_of(ptr, type, member)                                                            \
    ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#define MIN(a, b)                                                                                  \
    ({                                                                                             \
        __auto_type min_a_ = (a);                                                                  \
        __auto_type min_b_ = (b);                                                                  \
        min_a_ < min_b_ ? min_a_ : min_b_;                                                         \
    })
#define MAX(a, b)                                                                                  \
    ({                                                                                             \
        __auto_type max_a_ = (a);                                                                  \
        __auto_type max_b_ = (b);                                                                  \
        max_a_ > max_b_ ? max_a_ : max_b_;                                                         \
    })

#define PAGE_SHIFT 12
#define PAGE_SIZE  4096UL
#define PAGE_MASK  (~(PAGE_SIZE - 1))

static inline u64 page_down(u64 v)
{
    return v & PAGE_MASK;
}

/* Rounds up to a page; wraps to 0 when v is in the last page of the address space. */
static inline u64 page_up(u64 v)
{
    return (v + PAGE_SIZE - 1) & PAGE_MASK;
}

/* True when a + b does not fit in 64 bits; *ret_sum is written only otherwise. */
static inline bool add_overflows(u64 a, u64 b, u64 *ret_sum)
{
    u64 sum;
    if (__builtin_add_overflow(a, b, &sum))
        return true;
    *ret_sum = sum;
    return false;
}

/* Moves ownership out of a variable: returns its value and leaves NULL. */
#define take_ptr(p)                                                                                \
    ({                                                                                             \
        __auto_type take_p_ = &(p);                                                                \
        __auto_type take_v_ = *take_p_;                                                            \
        *take_p_ = NULL;                                                                           \
        take_v_;                                                                                   \
    })
/* The same for a host fd: leaves -1. */
#define take_fd(fd)                                                                                \
    ({                                                                                             \
        int *take_p_ = &(fd);                                                                      \
        int take_v_ = *take_p_;                                                                    \
        *take_p_ = -1;                                                                             \
        take_v_;                                                                                   \
    })

#define cleanup(fn) __attribute__((cleanup(fn)))

/* Defines fn##_p(type *), for use as cleanup(fn##_p) on a variable of that pointer type. */
#define DEFINE_CLEANUP_PTR(type, fn)                                                               \
    static inline void fn##_p(type *p)                                                             \
    {                                                                                              \
        if (*p)                                                                                    \
            fn(*p);                                                                                \
    }

#define NSEC_PER_SEC  1000000000LL
#define NSEC_PER_MSEC 1000000LL
#define NSEC_PER_USEC 1000LL

/* A guest address. A struct, so that it can be neither dereferenced nor added to by accident. */
typedef struct {
    u64 v;
} uaddr_t;

static inline uaddr_t uaddr(u64 v)
{
    return (uaddr_t){v};
}

static inline uaddr_t uaddr_add(uaddr_t a, u64 off)
{
    return (uaddr_t){a.v + off};
}

#endif
