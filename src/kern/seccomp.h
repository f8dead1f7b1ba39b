/*
 * seccomp filters of guests: classic BPF programs over the number, arguments
 * and instruction pointer of a call. A task's filters are a chain, newest
 * first, shared along forks; the most severe answer of all counts.
 */
#ifndef KERN_SECCOMP_H
#define KERN_SECCOMP_H

#include "kern/bpf.h"
#include "kern/kern_int.h"

struct lx_seccomp_data { /* what a filter reads */
    s32 nr;
    u32 arch;
    u64 instruction_pointer;
    u64 args[6];
};

/* ---- seccomp.c ----------------------------------------------------------------------------- */

#define SECCOMP_CACHED 512 /* numbers above are always asked about */

struct seccomp_filter {
    struct ref ref;              /* the users together have one, the listener's file another */
    _Atomic u32 nusers;          /* tasks and newer filters */
    struct seccomp_filter *prev; /* owned, as a user */
    u32 ninsns, depth;           /* depth: instructions of the whole chain, with a toll for each filter */
    bool is_logging;
    u64 allows[SECCOMP_CACHED / 64]; /* calls that the whole chain always allows, as bits */
    struct mutex lock;
    struct seccomp_listener *listener; /* guarded by lock; its file clears it */
    struct lx_sock_filter insns[];
};

/*
 * Before a call is made: true to go on with it. False: *ret_result is the
 * answer (or t->is_result_set). May not return: the task may have to die.
 */
bool seccomp_allows(struct task *t, struct uevent *ev, s64 *ret_result);
s64 seccomp_call(struct task *t, u32 op, u32 flags, uaddr_t args) must_check;
s64 seccomp_set_mode(struct task *t, u64 mode, uaddr_t prog) must_check; /* prctl(PR_SET_SECCOMP) */
/*
 * A filter for a task that has not run yet, as a container's profile asks for it. flags: those of
 * the call that change nothing about who has the filter. -LX_EINVAL, -LX_ENOMEM.
 */
int seccomp_begin(struct task *t, const struct lx_sock_filter *insns, u32 count, u32 flags) must_check;
/* True when no call that a stub answers by itself needs to be seen. */
bool seccomp_is_fast(const struct task *t);
/* A new thread or process gets what its maker has by now; under the maker's sig_lock. */
void seccomp_inherit(struct task *child, struct task *t);

/* ---- seccomp_notify.c ---------------------------------------------------------------------- */

int seccomp_listener_new(struct seccomp_filter *f, u32 flags, struct file **ret_f) must_check;
/* The supervised side: waits for the answer. True: go on with the call (USER_NOTIF_FLAG_CONTINUE). */
bool seccomp_notify(struct task *t, struct seccomp_filter *f, const struct lx_seccomp_data *d,
                    s64 *ret_result);
/* The last task with this filter is gone: polls of the listener see HUP. */
void seccomp_listener_orphan(struct seccomp_filter *f);
void seccomp_filter_unref(struct seccomp_filter *f);

#endif
