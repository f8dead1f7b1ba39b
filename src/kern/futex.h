/*
 * futex(2) for the calls that reach the Sentry.
 *
 * Plain waits and wakes are normally answered in the stub, on the host's futex of the
 * guest's own memory. Those that come here do the same: waits through
 * uctx_futex_wait, wakes and requeues through aspace_futex, so that all of them
 * meet. Priority-inheritance futexes have no host counterpart (their words hold
 * guest thread ids): futex_pi.c queues their waiters in the Sentry.
 *
 * Lock order: pi_state.lock (two: by address) → pi table lock (leaf)
 * Guest memory is read and written under pi_state.lock, never under the table's.
 */
#ifndef KERN_FUTEX_H
#define KERN_FUTEX_H

#include "kern/task.h"

s64 futex_call(struct task *t, const u64 a[6]) must_check;
/* futex_wake(2), futex_wait(2), futex_requeue(2). */
s64 futex2_wake(struct task *t, u64 uaddr, u64 mask, s32 nr, u32 flags) must_check;
s64 futex2_wait(struct task *t, const u64 a[6]) must_check;
s64 futex2_waitv(struct task *t, const u64 a[6]) must_check; /* futex_waitv(2) */
s64 futex2_requeue(struct task *t, uaddr_t waiters, u32 flags, s32 nr_wake,
                   s32 nr_requeue) must_check;

/* futex_pi.c. deadline_ns is on the real-time clock when is_real; INT64_MAX: none. */
struct futex_deadline {
    s64 ns;
    bool is_real;
};
s64 futex_lock_pi(struct task *t, u64 uaddr, bool is_private, struct futex_deadline dl) must_check;
s64 futex_trylock_pi(struct task *t, u64 uaddr, bool is_private) must_check;
s64 futex_unlock_pi(struct task *t, u64 uaddr, bool is_private) must_check;
s64 futex_wait_requeue_pi(struct task *t, u64 uaddr, bool is_private, u32 val,
                          struct futex_deadline dl, u64 uaddr2) must_check;
s64 futex_cmp_requeue_pi(struct task *t, u64 uaddr, bool is_private, u32 nr_wake, u32 nr_requeue,
                         u64 uaddr2, u32 cmpval) must_check;
/* True when waiters of this file's kind sleep there: a plain wake is then EINVAL. */
bool futex_pi_has_waiters(struct task *t, u64 uaddr, bool is_private);
/* The task ends or execs: whoever waits for it gets its futexes as "owner died". */
void futex_pi_exit(struct task *t);
/* Its real-time priority has changed: where t sleeps on a lock, its place in line does too. */
void futex_pi_reorder(struct task *t);
/* The highest real-time priority among those that wait for t; 0: none. */
u32 futex_pi_lent_prio(const struct task *t);

#endif
