/* What poll, select and epoll_wait share: deadlines, temporary signal masks, waiting on many files. */
#ifndef SYS_POLLSET_H
#define SYS_POLLSET_H

#include "abi/time.h"
#include "sys/sys.h"

struct poll_entry {
    struct file *file; /* owned; NULL: ignored */
    u32 want;          /* events of interest, exactly */
    u32 got;           /* after pollset_wait */
    struct waiter w;
    struct waitq *q;
};

/*
 * Waits until some entry has what it wants. Value: how many have; 0 at the deadline (0: no wait);
 * -LX_ERESTARTSYS. Entries whose got is set before count as ready.
 */
s64 pollset_wait(struct poll_entry *e, u32 n, s64 deadline_ns);

/* A relative timeout in guest memory as an absolute deadline; NULL: NO_DEADLINE; zero: 0. */
int deadline_from_timespec(uaddr_t ts, s64 *ret_deadline) must_check;
int deadline_from_parts(s64 sec, s64 nsec, s64 *ret_deadline) must_check;

/* NULL mask: nothing. -LX_EINVAL for a wrong size, -LX_EFAULT. */
int mask_enter(struct task *t, uaddr_t mask, u64 size) must_check;
/* The call is over with result r: unless a signal interrupted it, the mask is as before. */
void mask_leave(struct task *t, s64 r);

#endif
