/*
 * The ring of an AIO context as its owner sees it: completions that a library may take by itself,
 * by moving the head, without a call. It is a copy for the guest's eyes: what the kernel hands out
 * comes from its own queue, and of the ring it only believes a head that says that fewer
 * completions are left than the kernel has.
 */
#ifndef KERN_AIO_RING_H
#define KERN_AIO_RING_H

#include "kern/aio.h"

struct mappable;

struct aio_ring {
    struct mappable *obj; /* owned; mapped into the guest */
    int fd;               /* obj's; both immutable, as nslots */
    u32 nslots;
    u32 head, tail; /* ours; guarded by the context's ring_lock */
};

/* For at least `max` completions. -LX_ENOMEM. */
int aio_ring_init(struct aio_ring *r, u32 max) must_check;
void aio_ring_done(struct aio_ring *r);
u64 aio_ring_size(const struct aio_ring *r); /* bytes, whole pages */
/* One more; there is room for it. */
void aio_ring_put(struct aio_ring *r, const struct lx_io_event *ev);
/* How many of the `count` in it its owner has taken since we looked last: the first ones. */
u32 aio_ring_taken(struct aio_ring *r, u32 count);
/* The kernel hands out the first n, or (negative) takes the last that it did back. */
void aio_ring_move_head(struct aio_ring *r, s32 n);

#endif
