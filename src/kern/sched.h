/*
 * Scheduling attributes. Affinity binds the host thread; policies and nice
 * values are checked and kept as Linux does but only shown: the host schedules
 * every thread of a sandbox alike.
 */
#ifndef KERN_SCHED_H
#define KERN_SCHED_H

#include "kern/task.h"

struct sched_change {
    u32 policy;          /* LX_SCHED_* */
    u32 priority;
    s32 nice;
    bool has_nice;       /* change it too */
    bool is_reset_on_fork;
    bool keeps_policy, keeps_params;
    bool has_deadline;   /* of SCHED_DEADLINE: its three times make sense */
};
/* Of the thread with this number (0: the caller). Errors: LX_EINVAL, LX_ESRCH, LX_EPERM. */
int sched_change(struct task *t, s32 tid, const struct sched_change *c) must_check;
int sched_set_affinity(struct task *t, s32 tid, u64 guest_mask) must_check;
/* Referenced, or NULL; tid 0: the caller. */
struct task *sched_find(struct task *t, s32 tid);
u64 sched_affinity(struct task *t); /* guest cpus */
s64 sched_priority_limit(int policy, bool is_max); /* -LX_EINVAL */
u32 sched_current_cpu(struct task *t);

/* LX_PRIO_*; who 0: the caller's. */
s64 prio_get(struct task *t, int which, s32 who) must_check; /* 20 - nice */
int prio_set(struct task *t, int which, s32 who, s32 nice) must_check;
s64 ioprio_get(struct task *t, int which, s32 who) must_check;
int ioprio_set(struct task *t, int which, s32 who, u32 ioprio) must_check;

#endif
