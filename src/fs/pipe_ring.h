/*
 * A pipe's ring of slots; the theory is in pipe.c. Only whoever holds the lock changes it; head and
 * tail are one word, for those who only look.
 */
#ifndef FS_PIPE_RING_H
#define FS_PIPE_RING_H

#include <stdlib.h>

#include "base/offer.h"
#include "vfs/account.h"

struct slot {
    u32 off, len; /* in its page */
    bool is_packet;
};

struct pipe {
    struct mutex lock;
    struct slot *slots; /* guarded by lock, as the rest; nslots of them */
    u8 *data;           /* nslots pages; NULL until the first write */
    _Atomic u32 nslots; /* a power of two; written under lock */
    _Atomic u64 ring;   /* head << 32 | tail; written under lock, read as one by polls */
    _Atomic u32 nreaders, nwriters;         /* open files */
    _Atomic u32 reader_opens, writer_opens; /* ever; tells a waiting open of its partner */
    u32 nfiles;                             /* guarded by inode->lock of the FIFO; frees at 0 */
    struct account *user;                   /* owned */
    struct waitq wait;
    struct offer *offer; /* guarded by lock; a reader that sleeps, or NULL */
};

static inline u64 ring_load(struct pipe *p)
{
    return atomic_load_explicit(&p->ring, memory_order_acquire);
}

static inline void ring_store(struct pipe *p, u32 head, u32 tail)
{
    atomic_store_explicit(&p->ring, (u64)head << 32 | tail, memory_order_release);
}

static inline u32 ring_head(struct pipe *p)
{
    return (u32)(ring_load(p) >> 32);
}

static inline u32 ring_tail(struct pipe *p)
{
    return (u32)ring_load(p);
}

static inline u32 used_slots(struct pipe *p)
{
    u64 r = ring_load(p);
    return (u32)(r >> 32) - (u32)r;
}

static inline bool is_empty(struct pipe *p)
{
    return used_slots(p) == 0;
}

static inline bool is_full(struct pipe *p)
{
    return used_slots(p) >= p->nslots;
}

static inline struct slot *slot_at(struct pipe *p, u32 i)
{
    return &p->slots[i & (p->nslots - 1)];
}

static inline u8 *page_at(struct pipe *p, u32 i)
{
    return p->data + (u64)(i & (p->nslots - 1)) * PAGE_SIZE;
}

static inline void release_slots(struct pipe *p, u32 n)
{
    u32 head = ring_head(p), tail = ring_tail(p) + n;
    if (tail == head)
        ring_store(p, 0, 0); /* empty: back to the first page */
    else
        ring_store(p, head, tail);
}

/* How many slots from the tail on can be read as one piece, and its size. */
static inline u64 readable_run(struct pipe *p, u64 max)
{
    u32 t = ring_tail(p), n = used_slots(p);
    struct slot *s = slot_at(p, t);
    u64 run = s->len;
    if (s->is_packet)
        return MIN(run, max);
    for (u32 i = 1; i < n && run < max; i++) {
        struct slot *prev = slot_at(p, t + i - 1), *next = slot_at(p, t + i);
        bool is_adjacent = ((t + i) & (p->nslots - 1)) != 0 && next->off == 0 &&
                           prev->off + prev->len == PAGE_SIZE && !next->is_packet;
        if (!is_adjacent)
            break;
        run += next->len;
    }
    return MIN(run, max);
}

/* Takes size bytes off the front; packets go whole. */
static inline void consume(struct pipe *p, u64 size)
{
    u32 t = ring_tail(p), n = 0;
    while (size > 0) {
        struct slot *s = slot_at(p, t + n);
        u32 part = (u32)MIN((u64)s->len, size);
        size -= part;
        s->off += part;
        s->len = s->is_packet ? 0 : s->len - part;
        if (s->len > 0)
            break;
        n++;
    }
    if (n > 0)
        release_slots(p, n);
}

static inline bool ensure_data(struct pipe *p)
{
    if (!p->data)
        p->data = malloc((u64)p->nslots * PAGE_SIZE);
    return p->data != NULL;
}

/* Free slots from the head on that lie in one piece, at most `want`. */
static inline u32 writable_run(struct pipe *p, u32 want)
{
    u32 h = ring_head(p), nfree = p->nslots - used_slots(p);
    u32 to_end = p->nslots - (h & (p->nslots - 1)), run = MIN(nfree, to_end);
    return MIN(run, want);
}

static inline void commit(struct pipe *p, u64 size, bool is_packet)
{
    u32 h = ring_head(p);
    while (size > 0) {
        u32 part = (u32)MIN((u64)PAGE_SIZE, size);
        *slot_at(p, h) = (struct slot){0, part, is_packet};
        size -= part;
        h++;
    }
    ring_store(p, h, ring_tail(p));
}

/* Where a small write may join the last slot: the place, or NULL. */
static inline u8 *merge_place(struct pipe *p, u64 size)
{
    if (is_empty(p))
        return NULL;
    struct slot *s = slot_at(p, ring_head(p) - 1);
    if (s->is_packet || s->off + s->len + size > PAGE_SIZE)
        return NULL;
    return page_at(p, ring_head(p) - 1) + s->off + s->len;
}

#endif
