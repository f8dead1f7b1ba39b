/*
 * What the files of tasks and signals share among themselves. Nothing here is
 * for other rooms.
 *
 * Rules beside those of task.h
 *   tgroup.tasks changes under task_lock (writing) and sig_lock together.
 *   signal_* functions never take task_lock, so they may be called with and
 *   without it, except signal_send_pgrp, which reads it.
 *   A kick sets is_kicked before it interrupts; the run loop clears both before it looks at
 *   what there is to do. So a kick is never lost, and a stale one costs one more look.
 */
#ifndef KERN_INT_H
#define KERN_INT_H

#include "kern/parts.h"
#include "kern/task.h"

/* For a call whose failure changes nothing, with the reason beside it. */
#define ignore_result(e)                                                                           \
    do {                                                                                           \
        if (e) {                                                                                   \
        }                                                                                          \
    } while (0)

/* ---- thread.c: host threads ---------------------------------------------------------------- */

struct worker;
/*
 * A host thread with all signals blocked, an idle one or a new one: taken first, so that what needs
 * it cannot fail later; then given its work, or put back.
 */
struct worker *worker_take(void) must_check; /* NULL: the limit */
void worker_run(struct worker *w, void (*fn)(void *arg), void *arg);
void worker_put(struct worker *w);
u32 kthread_count(void);

/* ---- pid.c --------------------------------------------------------------------------------- */

void pid_get(struct pid *p);
void pid_put(struct pid *p);
/* Numbers in ns and its ancestors. -LX_EAGAIN, -LX_ENOMEM, -LX_EEXIST, -LX_EINVAL. Not yet visible. */
int pid_alloc(struct pid_ns *ns, const s32 *set_tid, u32 set_tid_count,
              struct pid **ret_pid) must_check;
/* From now on nobody gets number 1 of ns without asking for it: its init is yet to come. */
void pid_ns_keep_first(struct pid_ns *ns);
/* Gives the numbers back when nothing uses the pid as any type. */
void pid_release_if_unused(struct pid *p) REQUIRES(task_lock);
struct pid *pid_lookup(struct pid_ns *ns, s32 nr); /* under task_lock; not referenced */
struct pid *pid_find(struct pid_ns *ns, s32 nr);   /* referenced, or NULL */
int pid_ns_new(struct pid_ns *parent, struct user_ns *uns, struct pid_ns **ret_ns) must_check;
void pid_ns_get(struct pid_ns *ns);
void pid_ns_put(struct pid_ns *ns);
bool pid_ns_is_below(const struct pid_ns *ns, const struct pid_ns *ancestor);
int pid_init(void) must_check;

/* ---- task.c -------------------------------------------------------------------------------- */

struct task *task_alloc(void) must_check;
struct tgroup *tgroup_alloc(void) must_check;
void task_set_current(struct task *t); /* also parker, vfs_current and mm_use */
struct sighand *sighand_new(void) must_check;
void sighand_reset(struct sighand *s); /* exec: handlers become the default; what is ignored stays */
void sighand_put(struct sighand *s);

struct vfork_done {
    struct ref ref;
    _Atomic bool is_done;
    struct task *waiter; /* counted */
};
void vfork_release(struct task *t); /* wakes the parent of a vfork child */
void vfork_done_put(struct vfork_done *v);
/* Makes t one of l's tasks until it is freed; l may be NULL. -LX_EAGAIN: there are as many as may be. */
int task_count_in(struct task *t, struct task_limits *l) must_check;
/* It counts no more: before anybody can know that it is gone, as a task in its place may follow at
 * once. When it is reaped, under task_lock; or when it is freed without having been there. */
void task_uncount(struct task *t);
void task_put_base(struct task *t); /* the list's or the group's own reference */
void tgroup_publish_ids(struct tgroup *g); /* under task_lock */
void task_publish_limits(struct task *t);
void task_publish_fastpath(struct task *t); /* which in-stub answers a fresh aspace must not give */
void mm_sharer_add(struct mm *mm);
void mm_sharer_del(struct mm *mm);

void task_drop_resources(struct task *t, bool is_mm_too);
void task_set_cred(struct task *t, const struct cred *c); /* own thread; consumes */

/* ---- nsproxy.c, user_ns.c ------------------------------------------------------------------ */

void user_ns_get(struct user_ns *ns);
void user_ns_put(struct user_ns *ns);
int user_ns_new(const struct cred *owner, struct user_ns **ret_ns) must_check;
void uts_ns_get(struct uts_ns *ns);
void uts_ns_put(struct uts_ns *ns);
struct nsproxy *nsproxy_new_root(struct mnt_ns *mnt) must_check;
void nsproxy_get(struct nsproxy *p);
void nsproxy_put(struct nsproxy *p);
#define CLONE_NS_FLAGS                                                                             \
    (LX_CLONE_NEWNS | LX_CLONE_NEWUTS | LX_CLONE_NEWIPC | LX_CLONE_NEWPID | LX_CLONE_NEWNET |      \
     LX_CLONE_NEWCGROUP | LX_CLONE_NEWTIME)
/* A copy of `old` with new namespaces for the flags; fs is moved into a new mount namespace. */
int nsproxy_copy(struct nsproxy *old, u64 flags, const struct cred *cred, struct fs_ctx *fs,
                 struct nsproxy **ret) must_check;
struct nsproxy *nsproxy_dup(const struct nsproxy *old) must_check;
void cred_set_new_user_ns(struct cred *c, struct user_ns *ns); /* all capabilities in it; consumes ns */

#define CALL_WORK_SECCOMP 1U
#define CALL_WORK_TRACE   2U

/* ---- run.c --------------------------------------------------------------------------------- */

void task_main(void *arg); /* a task's host thread */
/* Leaves the run loop for good: jumps to the bottom of the host thread. */
noreturn_fn void task_leave(struct task *t);
void task_started(struct task *t); /* clone.c: a new task, first on its own thread */

/* ---- signal.c ------------------------------------------------------------------------------ */

#define SIGNAL_PREFER_RUNNING 2U /* to the group: a thread that uses the CPU now, each in turn (profiling) */
#define SIGNAL_FORCE 1U /* from an ancestor namespace or the kernel: pid 1 obeys KILL and STOP */
int signal_send(struct tgroup *g, struct task *t, const struct lx_siginfo *info, int signo,
                u32 flags);
int signal_send_pgrp_locked(struct pid *pgrp, const struct lx_siginfo *info, int signo);
void sigpending_init(struct sigpending *p);
void signal_flush(struct sigpending *p, sigset_lx mask) ; /* under sig_lock */
/* Asks every other thread of g to exit; under sig_lock. */
void tgroup_zap_others(struct tgroup *g, struct task *self);
/* Clears stop state and wakes everybody; under sig_lock. */
void tgroup_resume(struct tgroup *g);
bool signal_is_ignored(struct task *t, int signo); /* disposition now; takes sig_lock */
void signal_info_user(struct lx_siginfo *info, int signo, int code); /* from the current task */
void siginfo_kernel(struct lx_siginfo *info, int signo);
bool signal_default_is_ignore(int signo);
bool signal_default_is_core(int signo);

/* Under sig_lock: takes one of mask; *ret_timer is to be told after unlocking. */
int signal_take_locked(struct task *t, sigset_lx mask, struct lx_siginfo *ret, void **ret_timer);
int signal_take_sync_locked(struct task *t, struct lx_siginfo *ret); /* a fault of this thread */
int signal_set_action(struct task *t, int signo, const struct lx_sigaction *act,
                      struct lx_sigaction *ret_old) must_check;
/* sigtimedwait: signo, -LX_EAGAIN, -LX_EINTR. deadline 0: do not wait. */
int signal_wait(struct task *t, sigset_lx these, s64 deadline_ns,
                struct lx_siginfo *ret_info) must_check;
/* utime and stime of a SIGCHLD, in clock ticks. */
void siginfo_child_times(struct lx_siginfo *info, struct tgroup *g);

/* What get_signal found. */
struct ksignal {
    int signo; /* 0: nothing to deliver */
    struct lx_siginfo info;
    struct lx_sigaction act;
    u64 cont_seq; /* the group's when it was taken: a later SIGCONT undoes a stop */
};
/* Stops, exits and drops what needs no handler; own thread, no locks. */
bool signal_get(struct task *t, struct ksignal *ret);

/* ---- sigframe.c ---------------------------------------------------------------------------- */

/* Failures: SIGSEGV is queued, or, with -LX_ESRCH, the stub is gone. */
int sigframe_setup(struct task *t, const struct ksignal *ks) must_check;
s64 sigframe_return(struct task *t); /* rt_sigreturn */
/* sigaltstack(2): as seen with the stack pointer at sp. min_size: below it -LX_ENOMEM. */
#define KERNEL_MINSIGSTKSZ 2048
void altstack_get(const struct task *t, u64 sp, struct lx_stack *ret);
int altstack_set(struct task *t, u64 sp, const struct lx_stack *ss, u64 min_size) must_check;

/* ---- stop.c -------------------------------------------------------------------------------- */

bool stop_begin(struct task *t, int signo); /* under sig_lock */
bool stop_count_down(struct task *t);       /* under sig_lock */
void stop_take_part(struct task *t);
/* Tells the parent (and tracer) CLD_STOPPED or CLD_CONTINUED. No locks. */
void stop_notify_parent(struct tgroup *g, int why);

/* ---- exit.c -------------------------------------------------------------------------------- */

void exit_clear_tid(struct task *t); /* CLONE_CHILD_CLEARTID's zero and wake; t->mm is still there */
void tgroup_release(struct tgroup *g); /* reap: under task_lock */
bool pgrp_is_orphaned(struct pid *pgrp, struct tgroup *ignored);
void tgroup_pgrp_set(struct tgroup *g, struct pid *pgrp); /* under task_lock; takes a reference */

/* ---- session.c ----------------------------------------------------------------------------- */

int session_new(struct pid *leader, struct session **ret_s) must_check;
void session_get(struct session *s);
void session_put(struct session *s);
void tgroup_session_init(struct tgroup *g, struct session *s); /* under task_lock; consumes s */
s64 session_create(struct task *t);                            /* setsid */
s64 session_setpgid(struct task *t, s32 pid, s32 pgid);
s64 session_getpgid(struct task *t, s32 pid, bool is_session);
void session_forget_tty(struct pid *session, struct tty *tty); /* no locks */
void session_disassociate(struct tgroup *g); /* leader's exit: hang up its terminal. No locks */

/* ---- pidfd.c -------------------------------------------------------------------------------- */

#define LX_PIDFD_THREAD LX_O_EXCL
int pidfd_install(struct pid *p, u32 flags) must_check; /* the new fd, close-on-exec */
struct pid *pidfd_pid(struct file *f);                  /* not referenced; NULL: not a pidfd */
bool pidfd_is_thread(struct file *f);

/* ---- aio.c ---------------------------------------------------------------------------------- */

void aio_init(void);

/* ---- exec.c -------------------------------------------------------------------------------- */

/* ---- ptrace.c ------------------------------------------------------------------------------ */

bool ptrace_is_traced(const struct task *t);
bool ptrace_makes_exec_unsafe(const struct task *t);
bool ptrace_has_trap(const struct task *t); /* under sig_lock: must stop for its tracer */
void ptrace_trapped(struct task *t); /* under sig_lock: its tracer need not wait for a stop */
void ptrace_trap_stop(struct task *t);      /* that, or a group stop of a tracee; own thread, no locks */
void ptrace_continued(struct task *t);      /* under sig_lock: SIGCONT */
void ptrace_exit_event(struct task *t, int code);
void ptrace_exec_event(struct task *t, u64 old_tid); /* t's number before, as the tracer saw it */
u64 ptrace_nr_for_tracer(struct task *t, struct pid *p); /* 0: the tracer has gone */
void ptrace_clone_link(struct task *t, struct task *child, const struct clone_args *args);
void ptrace_clone_event(struct task *t, struct pid *child, const struct clone_args *args);
/* SECCOMP_RET_TRACE: true to look again (the call may be another); false: *ret_result is the answer. */
bool ptrace_seccomp_event(struct task *t, u32 data, struct uevent *ev, s64 *ret_result);
void ptrace_vfork_done(struct task *t, struct pid *child);
/* Stops for the tracer; the signal to go on with, 0: none. *info may be changed. No locks. */
int ptrace_signal_stop(struct task *t, int signo, struct lx_siginfo *info);
bool ptrace_wants_attention(const struct task *t); /* under sig_lock: leave a group stop for the tracer */

/* ---- seccomp.c ----------------------------------------------------------------------------- */

void seccomp_get(struct seccomp_filter *f);
void seccomp_put(struct seccomp_filter *f);

#endif
