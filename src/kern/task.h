/*
 * kern: tasks, thread groups, process groups, sessions, signals.
 *
 * A `task` is one guest thread: one Sentry host thread runs its system calls
 * as blocking code (task_main in run.c). A `tgroup` is one guest process.
 *
 * Life cycle of a task
 *   task_clone makes it (not yet visible) → task_start links it into its
 *   tgroup and the pid tables and starts its host thread → task_main loops:
 *   uctx_run, event, signals → task_exit (own thread only): leaves its group;
 *   the last one of a group makes the group a zombie → wait or auto-reap frees
 *   the pid → task_put by the last reference frees.
 *
 * Lock order
 *   task_lock (rwlock: family tree, groups, sessions, pid tables, ptrace links)
 *     → tgroup.sig_lock (signals of all the group's tasks, actions, stop state)
 *       → (leaf) itimers, waitq
 *   mm.lock and vfs locks are never taken under task_lock or sig_lock.
 */
#ifndef KERN_TASK_H
#define KERN_TASK_H

#include "abi/errno.h"
#include "abi/sched.h"
#include "abi/signal.h"
#include "base/defs.h"
#include "base/list.h"
#include "base/lock.h"
#include "base/ref.h"
#include "base/wait.h"
#include "mm/mm.h"
#include "platform/platform.h"
#include "vfs/vfs.h"

struct task;
struct tgroup;

/* ---- signals ------------------------------------------------------------------------------- */

typedef u64 sigset_lx; /* bit signo-1 */
#define SIGMASK(signo)     (1ULL << ((signo)-1))
#define SIGMASK_UNBLOCKABLE (SIGMASK(LX_SIGKILL) | SIGMASK(LX_SIGSTOP))
#define SIGMASK_STOP                                                                               \
    (SIGMASK(LX_SIGSTOP) | SIGMASK(LX_SIGTSTP) | SIGMASK(LX_SIGTTIN) | SIGMASK(LX_SIGTTOU))
#define SIGMASK_SYNC                                                                               \
    (SIGMASK(LX_SIGSEGV) | SIGMASK(LX_SIGBUS) | SIGMASK(LX_SIGILL) | SIGMASK(LX_SIGTRAP) |         \
     SIGMASK(LX_SIGFPE) | SIGMASK(LX_SIGSYS))

struct lx_siginfo { /* siginfo_t of the ABI: 128 bytes */
    s32 si_signo, si_errno, si_code, pad0;
    union {
        struct {
            s32 pid;
            u32 uid;
            u64 value; /* sigval */
        } rt;
        struct {
            s32 pid;
            u32 uid;
            s32 status, pad;
            s64 utime, stime; /* clock ticks */
        } chld;
        struct {
            u64 addr;
            s16 addr_lsb;
            s16 pad[3];
            u64 lower, upper;
        } fault;
        struct {
            s32 timerid, overrun;
            u64 value;
        } timer;
        struct {
            s64 band;
            s32 fd;
        } poll;
        struct {
            u64 call_addr;
            s32 syscall;
            u32 arch;
        } sys;
        u8 bytes[112];
    };
};
_Static_assert(sizeof(struct lx_siginfo) == 128, "siginfo_t");

struct lx_sigaction { /* the kernel's struct sigaction */
    u64 handler, flags, restorer;
    sigset_lx mask;
};

struct lx_stack {
    u64 sp;
    s32 flags, pad;
    u64 size;
};

struct sigqueue_entry {
    struct list node;
    struct lx_siginfo info;
    struct user_struct *user; /* whose SIGPENDING it counts against; NULL: none */
    void *timer;              /* POSIX timer that owns the entry (overrun), or NULL */
};

struct sigpending {
    sigset_lx set;     /* guarded by tgroup.sig_lock, as the list */
    struct list queue; /* sigqueue_entry */
};

struct sighand { /* CLONE_SIGHAND shares it */
    struct ref ref;
    struct mutex lock; /* after sig_lock */
    struct lx_sigaction action[LX_NSIG]; /* guarded by lock */
};

/* ---- namespaces of kern's own -------------------------------------------------------------- */

struct pid_ns {
    struct ref ref;
    struct pid_ns *parent; /* owned */
    u32 level;
    u64 ino;
    struct user_ns *user_ns;
    struct tgroup *init;   /* its pid 1; guarded by task_lock */
    struct pidmap *map;    /* pid.c's */
    bool is_dying;
};

#define MAX_PID_LEVEL 8

struct pid { /* one identity, with a number per namespace level */
    struct ref ref;
    u32 level;
    struct pid_ns *ns;               /* deepest; owned */
    s32 nr[MAX_PID_LEVEL + 1];
    struct task *task;               /* PIDTYPE_TID user; guarded by task_lock, as all below */
    struct tgroup *tgroup;           /* as leader */
    struct list pgrp_members;        /* tgroups */
    struct list session_members;     /* tgroups */
    struct waitq exit_wait;          /* pidfd polls */
    bool is_exited;                  /* the tgroup has become a zombie or is gone */
};

struct id_map_entry {
    u32 first, lower_first, count;
};
struct user_ns {
    struct ref ref;
    struct user_ns *parent; /* owned; NULL: root */
    u32 level;
    u64 ino;
    u32 owner_uid, owner_gid;
    struct mutex lock;
    u32 nuid_map, ngid_map;
    struct id_map_entry uid_map[340], gid_map[340];
    bool is_setgroups_denied;
};
extern struct user_ns root_user_ns;
/* Between a namespace's ids and kuids; make_*: (u32)-1 when unmapped; from_*: overflow id 65534. */
u32 make_kuid(struct user_ns *ns, u32 uid);
u32 make_kgid(struct user_ns *ns, u32 gid);
u32 from_kuid(struct user_ns *ns, u32 kuid);
u32 from_kgid(struct user_ns *ns, u32 kgid);
u32 from_kuid_raw(struct user_ns *ns, u32 kuid); /* (u32)-1 when unmapped */
u32 from_kgid_raw(struct user_ns *ns, u32 kgid);
bool ns_capable(struct user_ns *ns, int cap); /* of the current task */
bool task_capable_in(struct task *t, struct user_ns *ns, int cap);

struct uts_ns {
    struct ref ref;
    u64 ino;
    struct user_ns *user_ns;
    struct mutex lock;
    char nodename[65], domainname[65];
};

struct ipc_ns; /* ipc.c's */
struct net_ns; /* net's; opaque here */
struct cgroup_ns;
struct time_ns;

struct nsproxy { /* shared; replaced as a whole by unshare/setns */
    struct ref ref;
    struct uts_ns *uts;
    struct ipc_ns *ipc;
    struct mnt_ns *mnt;
    struct pid_ns *pid_for_children;
    struct net_ns *net;
    struct time_ns *time, *time_for_children;
    struct cgroup_ns *cgroup;
};

/* ---- limits and accounting ----------------------------------------------------------------- */

struct lx_rlimit {
    u64 cur, max;
};

struct user_struct { /* one real uid: RLIMIT_NPROC, SIGPENDING, MSGQUEUE accounting */
    struct ref ref;
    struct list node;
    u32 uid;
    _Atomic u32 ntasks; /* that are not reaped */
    _Atomic u32 nsigpending, nfiles_inflight;
    _Atomic u64 mq_bytes, locked_bytes;
    u32 nkeys, key_bytes;           /* guarded by the keys' lock, as the rest */
    struct key *ring, *session_ring; /* counted, or NULL */
};

struct task_usage {
    u64 utime_ns, stime_ns;
    u64 minflt, majflt, nvcsw, nivcsw, inblock, oublock;
    u64 maxrss; /* KiB */
};

/* ---- processes ----------------------------------------------------------------------------- */

/* Stops all tasks of a container (kern_freeze): none goes back to its application while it is on. */
struct freezer {
    _Atomic bool is_on;
    struct waitq wait;
};

/* What the processes of a container may use together; its cgroup files show it. Outlives them. */
struct task_limits {
    _Atomic u64 ntasks;    /* that are there, until they are reaped */
    _Atomic u64 max_tasks; /* more are refused; UINT64_MAX: no limit */
    _Atomic u64 cpu_quota_us, cpu_period_us; /* shown: the host holds them; 0: no limit */
};

enum tgroup_stop { TG_RUNNING, TG_STOPPING, TG_STOPPED };

struct posix_timers;
struct tty; /* the session's controlling terminal; opaque */

struct key;

struct session {
    struct ref ref;
    struct pid *pid;        /* leader's */
};

struct tgroup {
    struct ref ref;
    struct pid *pid;            /* owned */
    struct pid *pgrp;           /* owned; guarded by task_lock */
    struct session *session;    /* owned; guarded by task_lock */
    struct list pgrp_node, session_node;
    struct list all_node;       /* in all_tgroups; guarded by task_lock */

    struct task *leader;        /* owned; never NULL, lives as long as the group */
    struct list tasks;          /* changed under task_lock and sig_lock; either suffices to read */
    u32 ntasks;                 /* that have not ended; as tasks */
    u32 nlive;                  /* of those, not ending; guarded by sig_lock */
    struct tty *tty;            /* controlling terminal, counted; guarded by task_lock */
    s32 tty_old_pgrp;           /* leader whose terminal hung up: its foreground group (root number),
                                   told when the leader ends; guarded by task_lock */

    struct tgroup *parent;      /* guarded by task_lock; NULL: init */
    struct list children, sibling;
    struct task *parent_task;   /* who made it (for __WNOTHREAD, PDEATHSIG) */
    bool is_subreaper, has_child_subreaper;
    int exit_signal;            /* sent to the parent at the end; 0 none */
    struct waitq child_wait;    /* of this group's waiters: wait4 */

    struct mutex sig_lock;
    struct sighand *sighand;    /* owned */
    struct sigpending shared;   /* guarded by sig_lock, as the rest of this block */
    enum tgroup_stop stop;
    int stop_signo;             /* group stop's signal */
    u32 nstopping;              /* tasks that have yet to stop */
    bool is_stop_unreported, is_cont_unreported;
    bool is_exiting;            /* group exit in progress: exit_code is set */
    int exit_code;              /* wait status form */
    struct task *exec_task;     /* de-threading for this one */
    const void *profiled;       /* the thread that a profiling signal went to last; guarded by sig_lock */
    int cont_notify;            /* CLD_* that the next thread to look tells the parent; 0 none */
    u64 cont_seq;               /* SIGCONTs sent: a stop begun before one is off */
    u64 pgrp_signal_seq;        /* signals sent to many processes at once: fork restarts on them */
    bool is_unkillable;         /* pid 1: signals without a handler do nothing from inside */
    u32 exec_seq, parent_exec_seq; /* a child made before its parent's exec reports SIGCHLD */
    struct waitq sigfd_wait;    /* signalfd watchers */
    struct waitq stop_wait;     /* tasks sleeping in a stop; thread-exit watchers */

    bool is_zombie;             /* written under task_lock and sig_lock */
    bool is_sentry_owned;       /* made by kern_start_process: kern_wait_process reaps it */
    bool is_reaped;
    bool has_execed;            /* setpgid's EACCES */
    bool is_mm_sharer;          /* runs in another process's mm (vfork, CLONE_VM) */
    bool is_files_shared;       /* another process may use its fd table (CLONE_FILES) */
    bool has_mixed_creds;       /* threads may differ: ids are not answered in the stub */
    u32 oom_score_adj;
    u32 coredump_filter;        /* exclusive-or with the default */

    struct mutex limits_lock;
    struct lx_rlimit rlimits[LX_RLIM_NLIMITS]; /* guarded by limits_lock */
    struct posix_timers *timers; /* timer.c's: itimers and POSIX timers */
    struct task_usage dead_usage;      /* of exited threads; guarded by sig_lock */
    struct task_usage child_usage;     /* of waited-for children; guarded by sig_lock */
    struct vfs_io dead_io;      /* of exited threads and waited-for children; guarded by sig_lock */
    const void *folded_mm;      /* its CPU time is in dead_usage already; guarded by sig_lock */
    s64 start_boot_ns;
    _Atomic u64 cpu_start_ns;
    struct key *process_keys;   /* counted, or NULL; guarded by the keys' lock */
    void *container;            /* sentry's */
    struct freezer *freezer;    /* its container's, or NULL; immutable */
    struct task_limits *limits; /* likewise */
};

/* task.state, for /proc and wait */
enum task_state { TASK_RUNNING, TASK_SLEEPING, TASK_DISK, TASK_STOPPED, TASK_TRACED, TASK_ZOMBIE, TASK_DEAD };

struct key;

struct task_keys { /* own thread, under the keys' lock; see keys.h */
    struct key *thread, *session; /* counted, or NULL */
    int request_ring;             /* KEYCTL_SET_REQKEY_KEYRING */
};

struct restart_block {
    s64 (*fn)(struct task *t, struct restart_block *rb);
    u64 arg[6];
};

struct seccomp_filter;
struct ptrace_state;

struct task {
    struct ref ref;
    struct pid *pid;             /* owned */
    struct tgroup *tg;           /* owned */
    struct list tg_node;         /* in tg->tasks */
    struct parker parker;
    struct mutex ptr_lock;       /* leaf. Own thread changes mm to ns under it and reads them
                                    without; others use task_get_mm and kin */
    struct mm *mm;               /* owned; NULL after exit; own thread changes it (exec) */
    struct uctx *uctx;           /* owned */
    struct fs_ctx *fs;           /* owned */
    struct fdtable *files;       /* owned */
    struct nsproxy *ns;          /* owned */
    const struct cred *cred;     /* owned; own thread changes it; others read under tg->sig_lock */
    struct user_struct *user;    /* owned: of cred->uid */
    struct task_limits *counted; /* where it is one of ntasks, or NULL; changed by task_uncount only */
    bool is_user_counted;        /* one of user->ntasks; likewise */
    struct vfs_task vt;          /* the vfs's view; vfs_current of this thread */

    _Atomic u32 state;           /* enum task_state */
    char comm[16];               /* guarded by tg->sig_lock */
    u32 personality;
    bool is_vfork_child;         /* wakes vfork_done at exec or exit */
    struct vfork_done *vfork_done; /* owned reference */
    u64 clear_child_tid;         /* set_tid_address / CLONE_CHILD_CLEARTID */
    u64 set_child_tid;           /* CLONE_CHILD_SETTID, until the child has run */
    u64 robust_list;
    _Atomic bool is_futex_dead;  /* futex_exit_task has run: owns no PI futex any more; exec clears it */
    struct pi_waiter *pi_waiter; /* futex_pi.c's: where it sleeps, or NULL; guarded by its table lock */
    u64 rseq_addr;               /* registered area, 0: none; own thread, as rseq_sig */
    u32 rseq_sig;

    /* Signals; guarded by tg->sig_lock unless said otherwise */
    struct sigpending pending;
    sigset_lx blocked;           /* own thread changes it, under sig_lock */
    sigset_lx saved_mask;        /* to restore after sigsuspend, ppoll …; own thread */
    bool has_saved_mask;
    sigset_lx real_blocked;      /* sigtimedwait */
    struct lx_stack altstack;    /* own thread */
    struct restart_block restart;
    _Atomic bool is_kicked;      /* work to do before returning to the application */
    _Atomic u32 call_work;       /* CALL_WORK_*: what stands around each system call */
    bool is_exit_requested;      /* die: group exit or exec of another thread */
    bool is_stop_requested;      /* take part in a group stop */
    int pdeath_signal;
    u64 fault_addr, fault_trapno, fault_err; /* of the last fault, for signal frames */
    bool is_result_set;          /* the call set registers itself (sigreturn, exec) */

    _Atomic bool is_nnp_forced;     /* no_new_privs that came with another thread's filters */
    struct seccomp_filter *seccomp; /* owned; NULL none */
    u32 seccomp_mode;
    struct ptrace_state *ptrace; /* ptrace.c's; NULL: never traced; freed with the task */
    struct list tracees;         /* ptrace_states; guarded by task_lock */

    int exit_code;
    struct task_keys keys;
    void *sem_undo;              /* sysvsem's */
    bool is_reaped;              /* its pid is gone; guarded by task_lock */
    struct task_usage usage;     /* final once is_usage_final; until then counters without times */
    bool is_usage_final;         /* the thread has ended; guarded by tg->sig_lock */
    s32 host_tid;                /* of the Sentry thread that runs it; 0: not started */
    u64 host_cpu_base_ns;        /* that thread's CPU clock when it took this task */
    s64 start_boot_ns;
    s32 nice;
    u32 sched_policy, sched_priority;
    bool is_sched_reset_on_fork;
    u64 affinity;                /* cpu mask */
    u64 timer_slack_ns;
    u32 ioprio;
    u32 mempolicy;               /* set_mempolicy's mode with flags; own thread; inherited */
    u64 mempolicy_nodes;
    bool is_tsc_denied, is_keepcaps_unused, is_io_flusher, is_thp_disabled;
    u32 strace_depth;
    u32 cur_nr;                  /* system call in progress, LX_NR_COUNT: none; for /proc/PID/syscall */
    u64 cur_args[6];
};

/* All groups and the family tree. */
extern struct rwlock task_lock;
extern struct list all_tgroups; /* guarded by task_lock */
extern struct pid_ns root_pid_ns;
extern struct uts_ns root_uts_ns;

struct task *task_current(void); /* NULL on threads without one */
void task_get(struct task *t);
void task_put(struct task *t);
void tgroup_get(struct tgroup *g);
void tgroup_put(struct tgroup *g);

/*
 * A reference to a task also holds its group, so t->tg is good as long as t is.
 *
 * Numbers as seen in `ns`; 0 when invisible there.
 */
s32 task_tid_in(const struct task *t, const struct pid_ns *ns);
s32 tgroup_pid_in(const struct tgroup *g, const struct pid_ns *ns);
s32 pid_nr_in(const struct pid *p, const struct pid_ns *ns);
struct pid_ns *task_pid_ns(const struct task *t);
/* Referenced or NULL. */
struct task *task_find(struct pid_ns *ns, s32 tid);
struct tgroup *tgroup_find(struct pid_ns *ns, s32 pid);

/* ---- making and ending --------------------------------------------------------------------- */

struct clone_args { /* as struct clone_args of clone3(2), decoded */
    u64 flags;
    int exit_signal;
    u64 stack, stack_size, tls;
    uaddr_t pidfd, child_tid, parent_tid;
    u32 set_tid_count;
    s32 set_tid[MAX_PID_LEVEL + 1];
    int cgroup_fd;
};
s64 task_clone(struct task *t, const struct clone_args *args) must_check; /* child's tid */

struct init_args { /* the first process of a container, or an exec into one */
    const char *path;             /* looked up in PATH of envp when it has no '/' and is_path_search */
    bool is_path_search;
    char **argv, **envp;          /* NULL-terminated */
    struct fs_ctx *fs;            /* consumed */
    struct fdtable *files;        /* consumed */
    struct nsproxy *ns;           /* a reference is taken */
    const struct cred *cred;      /* consumed */
    struct file *tty;             /* becomes the controlling terminal, or NULL; a reference is taken */
    const struct lx_rlimit *rlimits; /* LX_RLIM_NLIMITS, or NULL for defaults */
    bool is_init;                 /* pid 1 of ns->pid_for_children */
    bool is_init_mortal;          /* though pid 1, signals have their default actions (cvisor do) */
    void *container;              /* tgroup.container of the process and of what it makes */
    struct freezer *freezer;      /* likewise; outlives them */
    s32 oom_score_adj;
    struct task_limits *limits;   /* as freezer */
    u32 sched_policy, sched_priority, ioprio, personality;
    s32 nice;
    const struct lx_sock_filter *seccomp; /* a filter that the program begins with, of nseccomp */
    u32 nseccomp, seccomp_flags;
};
/* Makes a process and starts it. Errors are exec's: LX_ENOENT, LX_EACCES, … */
int kern_start_process(const struct init_args *args, struct tgroup **ret_tg) must_check;
/*
 * Freezes, or lets go, the processes with this freezer. A task that sleeps in a call is left
 * there; it stops on its way back to the application. SIGKILL ends frozen processes.
 */
void kern_freeze(struct freezer *f);
void kern_thaw(struct freezer *f);
/* Blocks until the group is a zombie; its wait status. Reaps it when its parent is nobody. */
int kern_wait_process(struct tgroup *tg);

noreturn_fn void task_exit_thread(struct task *t, int code);         /* exit(2) */
void tgroup_exit_start(struct tgroup *g, int wait_status);           /* exit_group, fatal signal */
s64 task_exec(struct task *t, struct file *exe, const char *path, char *const *argv,
              char *const *envp, u32 flags) must_check;

/* ---- signals ------------------------------------------------------------------------------- */

/* info NULL: SI_KERNEL. Honour ignored, stop/cont rules, queue limits. -LX_EAGAIN: queue full. */
int signal_send_task(struct task *t, const struct lx_siginfo *info, int signo);
int signal_send_tgroup(struct tgroup *g, const struct lx_siginfo *info, int signo);
int signal_send_pgrp(struct pid *pgrp, const struct lx_siginfo *info, int signo);
/* A synchronous fault of the current task: unblocks and resets when blocked or ignored. */
void signal_force(struct task *t, const struct lx_siginfo *info);
bool signal_is_pending(struct task *t); /* unblocked, not ignored */
sigset_lx signal_pending_set(struct task *t);
void signal_set_blocked(struct task *t, sigset_lx mask);
/* For ppoll, sigsuspend …: mask until the call returns to the application (or its handler ran). */
void signal_set_temporary_mask(struct task *t, sigset_lx mask);
/* Takes one pending signal of `mask` (sigtimedwait, signalfd); signo or 0. */
int signal_dequeue(struct task *t, sigset_lx mask, struct lx_siginfo *ret_info);
/* Asks the task to look at its work (signals, exit, stop) soon: interrupts waits, kicks the stub. */
void task_kick(struct task *t);
/* Makes the current call restartable by restart_syscall(2); returns -LX_ERESTART_RESTARTBLOCK. */
s64 task_set_restart(struct task *t, s64 (*fn)(struct task *, struct restart_block *),
                     const u64 *args, int nargs);

/* ---- misc ---------------------------------------------------------------------------------- */

u64 task_rlimit(struct task *t, int which); /* current soft limit */
/* Updates vt, stub ids and mm limits after creds, pids, limits or namespaces changed. Own thread. */
void task_publish(struct task *t);
void task_usage_now(struct task *t, struct task_usage *ret);
void tgroup_usage_now(struct tgroup *g, struct task_usage *ret); /* live + dead threads */
s64 clock_boot_ns(void);
s64 clock_real_ns(void);

/* Hooks that higher rooms set at start (each may be NULL). */
struct kern_hooks {
    s64 (*syscall)(struct task *t, u32 nr, const u64 args[6]); /* sys_dispatch */
    void (*net_ns_get)(struct net_ns *ns);
    void (*net_ns_put)(struct net_ns *ns);
    int (*net_ns_new)(struct user_ns *owner, struct net_ns **ret_ns);
    u64 (*net_ns_ino)(struct net_ns *ns);
    struct user_ns *(*net_ns_owner)(struct net_ns *ns); /* not referenced */
    struct net_ns *root_net_ns;            /* what the first process is in */
    void (*tgroup_gone)(struct tgroup *g); /* last thread of a process ended */
    void (*pid_gone)(struct pid *p);       /* proc drops its dentries; under task_lock: must not block */
    u32 fastpath_off; /* FASTPATH_OFF_* of every process (--strace) */
};
extern struct kern_hooks kern_hooks;

int kern_init(void) must_check;

#endif
