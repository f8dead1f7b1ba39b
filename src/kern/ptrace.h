/*
 * ptrace(2).
 *
 * A tracee's state hangs off its task from the first attach on. A tracee stops
 * by parking its own thread in ptrace_stop, with the registers in its uctx; the tracer
 * then works on it directly. `is_frozen` keeps a stopped tracee from leaving
 * (by SIGKILL) while a request looks at it.
 *
 * Who traces whom is guarded by task_lock (written) and the tracee's sig_lock
 * together; everything else of the state by the tracee's sig_lock.
 */
#ifndef KERN_PTRACE_H
#define KERN_PTRACE_H

#include "kern/wait.h"

enum ptrace_resume { RESUME_CONT, RESUME_SYSCALL, RESUME_STEP, RESUME_SYSEMU, RESUME_SYSEMU_STEP };

struct ptrace_state {
    struct task *tracer;   /* not counted: it lets go when it ends; NULL: not traced (any more) */
    struct list node;      /* in tracer->tracees */
    struct task *task;     /* whose state this is */
    u32 options;           /* LX_PTRACE_O_* */
    bool is_seized;
    enum ptrace_resume how; /* what to stop at */
    bool is_stepping;       /* we set the trap flag */
    bool is_stopped, is_unwaited, is_listening;
    u32 nfrozen;
    int code;               /* as wait4's status >> 8 */
    int inject;             /* the signal to go on with */
    bool has_info;
    struct lx_siginfo info;
    u64 message;
    bool is_trapping;       /* was in a group stop when attached to: stops for us, whatever comes */
    bool is_trap_wanted;    /* PTRACE_INTERRUPT, or the first stop of a seized child */
    u8 call_op;             /* LX_PTRACE_SYSCALL_INFO_* of the stop */
    u32 seccomp_data;
    u64 call_nr, call_args[6]; /* of the stop, for GET_SYSCALL_INFO */
    u64 dr[4], dr6, dr7;    /* debug registers */
    u64 watched[4];         /* what the watched places held before the step; own thread */
};

/* ---- ptrace.c ------------------------------------------------------------------------------ */

/* Makes `tracer` trace t. Under task_lock, written. -LX_EPERM: traced already. */
int ptrace_link(struct task *t, struct task *tracer, u32 options, bool is_seized) must_check;
void ptrace_unlink(struct task *t); /* under task_lock, written */
/* Own thread: stops with that code; the signal to go on with. info NULL: made up from the code. */
int ptrace_stop(struct task *t, int code, int why, u64 message, const struct lx_siginfo *info);
/* System call stops. entry: false: skip the call, *ret_result is its answer. */
bool ptrace_call_entry(struct task *t, struct uevent *ev, s64 *ret_result);
void ptrace_call_exit(struct task *t, s64 *result);
/* After a stop: the call as the tracer left it. False: it is not to be made; *ret_result is its answer. */
bool ptrace_reread_call(struct task *t, struct uevent *ev, s64 *ret_result);
/* Before the application goes on: the trap flag as the resume mode wants it. */
bool ptrace_arm_step(struct task *t); /* true: it single-steps */
void ptrace_disarm_step(struct task *t);
void ptrace_call_stepped(struct task *t);  /* the step was over a system call */
void ptrace_handler_step(struct task *t);  /* a signal frame was made: a step ends at the handler */
/* The tracee goes on as told. Under its sig_lock. */
void ptrace_resume_locked(struct task *t, enum ptrace_resume how, int signo);

/* A trap of the application: false: it was ours alone, for debug registers that were not hit. */
bool ptrace_trap(struct task *t, struct lx_siginfo *info);

/* ---- ptrace_watch.c ------------------------------------------------------------------------ */

/* Debug register n of a stopped tracee. -LX_EINVAL, -LX_ENOSPC, -LX_EIO (there is none of that number). */
int ptrace_set_debugreg(struct ptrace_state *ps, u32 n, u64 value) must_check;
u64 ptrace_get_debugreg(const struct ptrace_state *ps, u32 n);
bool ptrace_is_watching(const struct task *t);
/* Around an instruction; own thread. end: false: nothing to tell. is_stepped: the tracer steps, too. */
void ptrace_watch_begin(struct task *t);
bool ptrace_watch_end(struct task *t, bool is_stepped, struct lx_siginfo *info);

/* ---- ptrace_req.c -------------------------------------------------------------------------- */

s64 ptrace_call(struct task *t, s64 req, s32 pid, u64 addr, u64 data) must_check;

#endif
