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

/* What a scan has taken out; dropped after unlocking. */
struct wait_dead {
    struct tgroup *group;
    struct task *task;
};

/* Under task_lock, written: tells g's parent of its end; true: it does not want to know. exit.c */
bool exit_notify_parent(struct tgroup *g);

/* ptrace.c: under task_lock, written. */
bool ptrace_hides_zombie(const struct tgroup *g); /* its tracer must be done with it first */
bool ptrace_is_traced_by(const struct task *t, const struct tgroup *g);
/* As wait.c's scan, of tracees. */
int ptrace_wait_scan(struct task *t, const struct wait_req *rq, struct wait_result *ret,
                     struct wait_dead *dead);
void ptrace_tell_exit(struct task *t, int status);
/* t ends: its tracees are free; lists by sibling and by tg_node, to be dropped after unlocking. */
void ptrace_exit_tracer(struct task *t, struct list *dead_groups, struct list *dead_threads);
void ptrace_detach_locked(struct task *t, int signo);

/* On a thread without a task: until the process is a zombie, or gone. */
void kern_await_end(struct tgroup *g);

#endif
