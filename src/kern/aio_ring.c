/* The guest's side of AIO contexts; see the header. Its pages are a memfd's, written through that.
 */
#include "kern/aio_ring.h"

#include <stddef.h>

#include "base/log.h"
#include "host/fdio.h"
#include "kern/host_info.h"

#define RING_MAGIC 0xa10a10a1U

struct lx_aio_ring { /* of the ABI, in front of the events */
    u32 id, nr, head, tail, magic, compat_features, incompat_features, header_length;
};
_Static_assert(sizeof(struct lx_aio_ring) == sizeof(struct lx_io_event), "aio_ring");

static void store(struct aio_ring *r, const void *from, size_t size, u64 off)
{
    if (host_pwrite(r->fd, from, size, (s64)off, 0) != (s64)size)
        log_debug("an AIO ring cannot be written"); /* the host is out of memory */
}

int aio_ring_init(struct aio_ring *r, u32 max)
{
    u64 n = MAX((u64)max, (u64)host_info.ncpus * 4) * 2 + 2;
    u64 size = page_up((n + 1) * sizeof(struct lx_io_event));
    u64 off;
    *r = (struct aio_ring){.nslots = (u32)(size / sizeof(struct lx_io_event) - 1)};
    if (shmem_ring_new(size, "/[aio] (deleted)", &r->obj) < 0)
        return -LX_ENOMEM;
    if (r->obj->ops->host_fd(r->obj, 0, size, true, &r->fd, &off) < 0) {
        aio_ring_done(r);
        return -LX_ENOMEM;
    }
    struct lx_aio_ring header = {
        .nr = r->nslots,
        .magic = RING_MAGIC,
        .compat_features = 1,
        .header_length = sizeof(header),
    };
    store(r, &header, sizeof(header), 0);
    return 0;
}

void aio_ring_done(struct aio_ring *r)
{
    if (r->obj)
        r->obj->ops->put(r->obj);
    r->obj = NULL;
}

u64 aio_ring_size(const struct aio_ring *r)
{
    return (r->nslots + 1UL) * sizeof(struct lx_io_event);
}

void aio_ring_put(struct aio_ring *r, const struct lx_io_event *ev)
{
    store(r, ev, sizeof(*ev), (r->tail + 1UL) * sizeof(*ev));
    r->tail = (r->tail + 1) % r->nslots;
    store(r, &r->tail, sizeof(r->tail), offsetof(struct lx_aio_ring, tail)); /* after the event */
}

u32 aio_ring_taken(struct aio_ring *r, u32 count)
{
    u32 head;
    if (host_pread(r->fd, &head, sizeof(head), offsetof(struct lx_aio_ring, head)) !=
            (s64)sizeof(head) ||
        head >= r->nslots)
        return 0;
    u32 n = (head + r->nslots - r->head) % r->nslots;
    if (n > count)
        return 0;
    r->head = head;
    return n;
}

void aio_ring_move_head(struct aio_ring *r, s32 n)
{
    r->head = (u32)(((s64)r->head + n + r->nslots) % r->nslots);
    store(r, &r->head, sizeof(r->head), offsetof(struct lx_aio_ring, head));
}
