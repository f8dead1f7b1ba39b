/*
 * wire: bounded cursors over a message buffer.
 *
 * Both ends of every connection distrust the other, so encoders and decoders
 * share one discipline: a cursor carries a sticky `is_bad` flag, every put or
 * get checks its bounds, and callers look at the flag once at the end. A get
 * on a bad cursor returns zero. Numbers are in host order: both ends are
 * always on one machine. No I/O here.
 */
#ifndef WIRE_WIRE_H
#define WIRE_WIRE_H

#include <string.h>

#include "base/defs.h"

struct wire_out {
    u8 *buf;     /* not owned */
    size_t size; /* bytes written */
    size_t cap;
    bool is_bad;
};

struct wire_in {
    const u8 *buf; /* not owned */
    size_t size;
    size_t pos;
    bool is_bad;
};

struct wire_bytes { /* a range inside a message, or the caller's memory */
    const char *p;
    u32 size;
};

static inline void wire_out_init(struct wire_out *w, void *buf, size_t cap)
{
    *w = (struct wire_out){.buf = buf, .cap = cap};
}

static inline void wire_in_init(struct wire_in *w, const void *buf, size_t size)
{
    *w = (struct wire_in){.buf = buf, .size = size};
}

/* Room for size bytes, or NULL (and the cursor turns bad). */
static inline void *wire_reserve(struct wire_out *w, size_t size)
{
    if (unlikely(w->is_bad || size > w->cap - w->size)) {
        w->is_bad = true;
        return NULL;
    }
    void *p = w->buf + w->size;
    w->size += size;
    return p;
}

static inline void wire_put(struct wire_out *w, const void *p, size_t size)
{
    void *d = wire_reserve(w, size);
    if (likely(d != NULL) && size > 0)
        memcpy(d, p, size);
}

static inline const void *wire_take(struct wire_in *w, size_t size)
{
    if (unlikely(w->is_bad || size > w->size - w->pos)) {
        w->is_bad = true;
        return NULL;
    }
    const void *p = w->buf + w->pos;
    w->pos += size;
    return p;
}

static inline void wire_get(struct wire_in *w, void *ret, size_t size)
{
    const void *p = wire_take(w, size);
    if (likely(p != NULL))
        memcpy(ret, p, size);
    else
        memset(ret, 0, size);
}

#define WIRE_NUMBER_(type)                                                                         \
    static inline void wire_put_##type(struct wire_out *w, type v)                                 \
    {                                                                                              \
        wire_put(w, &v, sizeof(v));                                                                \
    }                                                                                              \
    static inline type wire_get_##type(struct wire_in *w)                                          \
    {                                                                                              \
        type v;                                                                                    \
        wire_get(w, &v, sizeof(v));                                                                \
        return v;                                                                                  \
    }
WIRE_NUMBER_(u8)
WIRE_NUMBER_(u16)
WIRE_NUMBER_(u32)
WIRE_NUMBER_(u64)
WIRE_NUMBER_(s32)
WIRE_NUMBER_(s64)

/* A counted range: u32 size, then the bytes and a NUL that is not counted, so
 * that a name can be used in place as a C string once it is known to hold none. */
static inline void wire_put_bytes(struct wire_out *w, const void *p, u32 size)
{
    wire_put_u32(w, size);
    wire_put(w, p, size);
    wire_put_u8(w, 0);
}

static inline struct wire_bytes wire_get_bytes(struct wire_in *w, u32 max)
{
    u32 size = wire_get_u32(w);
    if (size > max)
        w->is_bad = true;
    const char *p = wire_take(w, (size_t)size + 1);
    if (!p || p[size] != 0) {
        w->is_bad = true;
        return (struct wire_bytes){"", 0};
    }
    return (struct wire_bytes){p, size};
}

/* The whole message was used and nothing was out of bounds. */
static inline bool wire_in_is_done(const struct wire_in *w)
{
    return !w->is_bad && w->pos == w->size;
}

#endif
