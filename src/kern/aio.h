/*
 * Linux AIO contexts (io_setup(2)): where completions wait to be collected. What a request does
 * is the system calls' (sys/aio.c); a context counts requests, keeps their results, and
 * watches files for IOCB_CMD_POLL.
 *
 * A context is named by where its ring is mapped; it follows the ring when that is moved, and
 * cannot be found any more once it is unmapped. The ring shows the completions (aio_ring.h).
 *
 * Lock order: contexts_lock → ctx.lock;  ctx.ring_lock → ctx.lock;  watched file's waitq.lock → ctx.lock → ctx.wait
 */
#ifndef KERN_AIO_H
#define KERN_AIO_H

#include "kern/task.h"

struct lx_io_event {
    u64 data, obj;
    s64 res, res2;
};

struct aio_ctx;
extern _Atomic s64 aio_nr, aio_max_nr; /* /proc/sys/fs */

/* A context for max requests; *ret_id names it. -LX_EAGAIN past fs.aio-max-nr. */
int aio_setup(struct task *t, u32 max, u64 *ret_id) must_check;
/* Referenced; NULL: id names none of the task's address space. */
struct aio_ctx *aio_find(struct task *t, u64 id);
void aio_put(struct aio_ctx *c);
/* Nobody finds it any more, its waiters return, its watches end. -LX_EINVAL: somebody was faster. */
int aio_destroy(struct task *t, struct aio_ctx *c, u64 id) must_check;

/* Room for one completion; false: as many are under way and uncollected as were asked for. */
bool aio_reserve(struct aio_ctx *c) must_check;
void aio_unreserve(struct aio_ctx *c);
/* Uses the reservation. resfd: an eventfd to count up, or NULL. */
void aio_complete(struct aio_ctx *c, const struct lx_io_event *ev, struct file *resfd);
/* Completes once f has one of events. Consumes the reservation, f and resfd unless it fails. */
int aio_watch(struct aio_ctx *c, struct file *f, u32 events, const struct lx_io_event *ev,
              struct file *resfd) must_check;
/* Ends the watch of the request at obj: it completes with 0. -LX_EINVAL: there is none. */
int aio_cancel(struct aio_ctx *c, u64 obj) must_check;

/*
 * Copies out up to max completions as they come, until there were min; fewer at the deadline
 * (CLOCK_MONOTONIC; 0: no wait) or at a signal. -LX_EINTR, -LX_EFAULT, -LX_EINVAL (destroyed)
 * when none was copied.
 */
s64 aio_collect(struct aio_ctx *c, u64 min, u64 max, uaddr_t to, s64 deadline_ns) must_check;

#endif
