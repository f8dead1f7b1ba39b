/* Futexes in memory shared with other processes. The words are volatile: the other side writes. */
#ifndef HOST_FUTEX_H
#define HOST_FUTEX_H

#include "base/defs.h"

/* Sleeps while *word == expected; timeout_ns < 0: for ever. 0, -LX_EAGAIN, -LX_EINTR,
 * -LX_ETIMEDOUT. */
int host_futex_wait(volatile u32 *word, u32 expected, s64 timeout_ns);
void host_futex_wake(volatile u32 *word, int count);

#endif
