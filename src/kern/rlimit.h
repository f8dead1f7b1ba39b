/* Resource limits. */
#ifndef KERN_RLIMIT_H
#define KERN_RLIMIT_H

#include "kern/task.h"

/*
 * Reads a limit of g and, with new_limit, changes it. -LX_EINVAL; -LX_EPERM to raise a hard limit
 * without CAP_SYS_RESOURCE. t: the current task.
 */
int rlimit_change(struct task *t, struct tgroup *g, u32 which, const struct lx_rlimit *new_limit,
                  struct lx_rlimit *ret_old) must_check;
/* prlimit(2): pid 0 is the caller. Also -LX_ESRCH, -LX_EPERM. */
int rlimit_of_pid(struct task *t, s32 pid, u32 which, const struct lx_rlimit *new_limit,
                  struct lx_rlimit *ret_old) must_check;

#endif
