/* Waiting for children: what wait4 and waitid share. */
#ifndef KERN_WAIT_H
#define KERN_WAIT_H

#include "kern/kern_int.h"

struct wait_req {
    int type;         /* LX_P_* */
    struct pid *pid;  /* of P_PID, P_PGID, P_PIDFD; counted by the caller; NULL matches nothing */
    u32 flags;        /* LX_W*; WEXITED set for wait4 */
    bool is_nonblock; /* a pidfd with O_NONBLOCK: -LX_EAGAIN instead of sleeping */
};

struct wait_result {
    s32 pid;
    u32 uid;
    int status;    /* wait4's */
    int code;      /* waitid's si_code and si_status */
    int si_status;
    struct task_usage usage; /* of the child and its waited-for children */
};

/* 1: *ret is filled. 0: WNOHANG and nothing to report. -LX_ECHILD, -LX_EAGAIN, -LX_ERESTARTSYS. */
int wait_children(struct task *t, const struct wait_req *rq, struct wait_result *ret) must_check;

int tgroup_wait_status(const struct tgroup *g);
void siginfo_from_status(struct lx_siginfo *info, int status); /* si_code and chld.status */

/* ptrace.c: under task_lock. */
bool ptrace_hides_zombie(const struct tgroup *c, const struct task *waiter);
int ptrace_wait_scan(struct task *t, const struct wait_req *rq, struct wait_result *ret,
                     struct tgroup **ret_dead);

#endif
