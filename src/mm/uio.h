/*
 * uio: a position in a list of buffers, guest's or ours: what file reads and
 * writes move data through. A uio is consumed as it is copied.
 */
#ifndef MM_UIO_H
#define MM_UIO_H

#include "mm/mm.h"

#define UIO_INLINE 8

struct uio_seg {
    u64 base; /* guest address, or our pointer when is_kernel */
    u64 size;
};

struct uio {
    bool is_kernel;
    struct mm *mm;       /* the guest space; not owned: the calling task's */
    struct uctx *ctx;    /* for the window, or NULL */
    struct uio_seg *segs;
    u32 nsegs, seg;      /* seg: the current one */
    u64 off;             /* in the current segment */
    u64 left;            /* bytes left in all */
    struct uio_seg inline_segs[UIO_INLINE];
};

/* One guest buffer of the current task. Sizes are capped at LX_MAX_RW_COUNT by the caller. */
void uio_init_user(struct uio *u, uaddr_t buf, u64 size);
void uio_init_kernel(struct uio *u, void *buf, u64 size);
/*
 * An iovec array of the current task. Errors as readv(2): LX_EINVAL for count > 1024 or a
 * negative sum, LX_EFAULT. Total is capped at MAX_RW_COUNT. uio_done frees.
 */
int uio_init_iovec(struct uio *u, uaddr_t iov, u64 count) must_check;
void uio_done(struct uio *u);

#define MAX_RW_COUNT 0x7ffff000UL

/*
 * Copies between `buf` and the uio's place and advances. Returns bytes copied, which is
 * short only at a fault or at the end; -LX_EFAULT when nothing could be copied and size > 0
 * and left > 0.
 */
s64 uio_copy_to(struct uio *u, const void *buf, u64 size) must_check;   /* a read(2): ours → guest */
s64 uio_copy_from(struct uio *u, void *buf, u64 size) must_check;       /* a write(2): guest → ours */
s64 uio_zero(struct uio *u, u64 size) must_check;
void uio_advance(struct uio *u, u64 size);
/* Undo of `size` bytes just consumed. */
void uio_revert(struct uio *u, u64 size);
/*
 * For host I/O straight into guest memory there is no mapping: callers bounce
 * through this thread's 64 KiB buffer. Valid until the thread's next call of it.
 */
void *uio_bounce(size_t *ret_size);

#endif
