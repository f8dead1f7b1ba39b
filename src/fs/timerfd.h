/* timerfd(2). */
#ifndef FS_TIMERFD_H
#define FS_TIMERFD_H

#include "abi/time.h"
#include "vfs/vfs.h"

/* clock: LX_CLOCK_* that timerfd_create(2) takes, else -LX_EINVAL. flags: LX_TFD_* (checked). */
int timerfd_new(u32 clock, u32 flags, struct file **ret_f) must_check;
/* -LX_EINVAL: no timerfd, bad flags or times. ret_old may be NULL. */
int timerfd_set(struct file *f, u32 flags, const struct lx_itimerspec *its,
                struct lx_itimerspec *ret_old) must_check;
int timerfd_get(struct file *f, struct lx_itimerspec *ret) must_check;

#endif
