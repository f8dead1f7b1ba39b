/* Positions in lists of buffers; see uio.h. */
#include "mm/uio.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "mm/mm_internal.h"

#define UIO_MAX_SEGS    1024
#define BOUNCE_SIZE     (64UL << 10)
#define BOUNCE_FALLBACK 512

struct lx_iovec {
    u64 base, len;
};

static void init_one(struct uio *u, u64 base, u64 size)
{
    u->segs = u->inline_segs;
    u->inline_segs[0] = (struct uio_seg){base, size};
    u->nsegs = 1;
    u->seg = 0;
    u->off = 0;
    u->left = size;
}

void uio_init_user(struct uio *u, uaddr_t buf, u64 size)
{
    u->is_kernel = false;
    u->mm = mm_current();
    u->ctx = mm_current_ctx();
    init_one(u, buf.v, size);
}

void uio_init_kernel(struct uio *u, void *buf, u64 size)
{
    u->is_kernel = true;
    u->mm = NULL;
    u->ctx = NULL;
    init_one(u, (u64)(uintptr_t)buf, size);
}

int uio_init_iovec(struct uio *u, uaddr_t iov, u64 count)
{
    _Static_assert(sizeof(struct lx_iovec) == sizeof(struct uio_seg), "copied in place");
    uio_init_user(u, uaddr(0), 0);
    u->nsegs = 0;
    if (count > UIO_MAX_SEGS)
        return -LX_EINVAL;
    if (count > UIO_INLINE) {
        u->segs = malloc(count * sizeof(*u->segs));
        if (!u->segs) {
            u->segs = u->inline_segs;
            return -LX_ENOMEM;
        }
    }
    int r = count ? copy_in(u->segs, iov, count * sizeof(*u->segs)) : 0;
    for (u64 i = 0; i < count && r == 0; i++) {
        struct uio_seg *s = &u->segs[i];
        u64 end;
        if (s->size > INT64_MAX)
            r = -LX_EINVAL;
        else if (add_overflows(s->base, s->size, &end) || end > PLATFORM_MAX)
            r = -LX_EFAULT;
        else
            s->size = MIN(s->size, MAX_RW_COUNT - u->left);
        if (r == 0)
            u->left += s->size;
    }
    if (r < 0) {
        uio_done(u);
        return r;
    }
    u->nsegs = (u32)count;
    return 0;
}

void uio_done(struct uio *u)
{
    if (u->segs != u->inline_segs)
        free(u->segs);
    u->segs = u->inline_segs;
    u->nsegs = 0;
    u->left = 0;
}

void uio_advance(struct uio *u, u64 size)
{
    size = MIN(size, u->left);
    u->left -= size;
    while (size) {
        u64 n = MIN(size, u->segs[u->seg].size - u->off);
        u->off += n;
        size -= n;
        if (u->off == u->segs[u->seg].size && u->seg + 1 < u->nsegs) {
            u->seg++;
            u->off = 0;
        }
    }
}

void uio_revert(struct uio *u, u64 size)
{
    u->left += size;
    while (size) {
        if (u->off == 0) {
            u->seg--;
            u->off = u->segs[u->seg].size;
            continue;
        }
        u64 n = MIN(size, u->off);
        u->off -= n;
        size -= n;
    }
}

enum direction { TO_UIO, FROM_UIO };

/* One stretch in one segment: bytes copied. */
static u64 copy_stretch(struct uio *u, u64 at, void *buf, u64 n, enum direction dir)
{
    if (u->is_kernel) {
        void *p = (void *)(uintptr_t)at;
        if (dir == TO_UIO)
            memcpy(p, buf, n);
        else
            memcpy(buf, p, n);
        return n;
    }
    return dir == TO_UIO ? mm_copy_to(u->mm, u->ctx, at, buf, n)
                         : mm_copy_from(u->mm, u->ctx, at, buf, n);
}

static s64 copy(struct uio *u, char *buf, u64 size, enum direction dir)
{
    u64 done = 0;
    size = MIN(size, u->left);
    while (done < size) {
        const struct uio_seg *s = &u->segs[u->seg];
        u64 n = MIN(size - done, s->size - u->off);
        u64 moved = n ? copy_stretch(u, s->base + u->off, buf + done, n, dir) : 0;
        uio_advance(u, moved);
        done += moved;
        if (n == 0) { /* an empty segment, or one used up */
            u->seg++;
            u->off = 0;
        } else if (moved < n) {
            return done ? (s64)done : -LX_EFAULT;
        }
    }
    return (s64)done;
}

s64 uio_copy_to(struct uio *u, const void *buf, u64 size)
{
    /* TO_UIO only reads buf; the cast lets both directions share one loop. */
    return copy(u, (char *)(uintptr_t)buf, size, TO_UIO);
}

s64 uio_copy_from(struct uio *u, void *buf, u64 size)
{
    return copy(u, buf, size, FROM_UIO);
}

s64 uio_zero(struct uio *u, u64 size)
{
    static const char zeros[16384];
    u64 done = 0;
    size = MIN(size, u->left);
    while (done < size) {
        u64 n = MIN(size - done, sizeof(zeros));
        s64 r = uio_copy_to(u, zeros, n);
        if (r < 0)
            return done ? (s64)done : r;
        done += (u64)r;
        if ((u64)r < n)
            break;
    }
    return (s64)done;
}

/* ---- the bounce buffer: made at a thread's first use, freed when the thread ends ------------ */

static pthread_key_t bounce_key;
static pthread_once_t bounce_once = PTHREAD_ONCE_INIT;
static bool has_bounce_key;
static _Thread_local void *bounce;
static _Thread_local char bounce_fallback[BOUNCE_FALLBACK];

static void make_key(void)
{
    has_bounce_key = pthread_key_create(&bounce_key, free) == 0;
}

void *uio_bounce(size_t *ret_size)
{
    if (likely(bounce)) {
        *ret_size = BOUNCE_SIZE;
        return bounce;
    }
    pthread_once(&bounce_once, make_key);
    void *p = has_bounce_key ? aligned_alloc(64, BOUNCE_SIZE) : NULL;
    if (p && pthread_setspecific(bounce_key, p) != 0) {
        free(p);
        p = NULL;
    }
    if (!p) {
        *ret_size = BOUNCE_FALLBACK;
        return bounce_fallback;
    }
    bounce = p;
    *ret_size = BOUNCE_SIZE;
    return p;
}
