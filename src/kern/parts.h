/*
 * What the parts of kern owe each other. Each function is defined by the file
 * named above it; task.c, clone.c, exec.c, exit.c, run.c and signal.c call them at the places said.
 */
#ifndef KERN_PARTS_H
#define KERN_PARTS_H

#include "kern/task.h"

/* ---- futex.c ------------------------------------------------------------------------------- */

/* Own thread, at exit and at exec, while t->mm is still the old one: walks the robust list (and
 * sets t->robust_list to 0), marks PI futexes that it owns. */
void futex_exit_task(struct task *t);
/*
 * An in-stub futex wait was interrupted (UEV_FUTEX; registers still as in the call). Returns
 * what Linux's futex(2) would: 0 when it was woken after all, -LX_ERESTARTSYS, or
 * -LX_ERESTART_RESTARTBLOCK after task_set_restart for a wait with a timeout.
 */
s64 futex_interrupted(struct task *t, const struct uevent *ev);

/* ---- rseq.c -------------------------------------------------------------------------------- */

s64 rseq_call(struct task *t, u64 addr, u32 size, u32 flags, u32 sig) must_check;
void rseq_started(struct task *t); /* own thread, first thing: a fork has its parent's */
/* Own thread, inside its last call in t->mm, while others may go on there. */
void rseq_leave(struct task *t);

/* ---- timer.c: interval timers, POSIX timers, alarms ----------------------------------------- */

/* exec: POSIX timers go, interval timers stay. Own thread, no locks. */
void timers_exec(struct tgroup *g);
/* The last thread of g ended, or g is freed without ever having run. No locks. g->timers is NULL after. */
void timers_exit(struct tgroup *g);
/*
 * A queued signal of a POSIX timer was taken: *info gets its overrun, and an interval
 * timer is armed anew. Called with no lock held. `timer` is sigqueue_entry.timer, on which timer.c
 * counts the entry as a reference; timer_signal_dropped gives it back when the
 * entry is flushed instead (may be called under sig_lock: leaf).
 */
void timer_signal_taken(void *timer, struct lx_siginfo *info);
void timer_signal_dropped(void *timer);
/* signal.c: queues the timer's one entry (made by the timer with sigqueue_alloc; e->info filled).
 * t NULL: to the group. 1: queued, which takes a timer reference; 0: it is still queued, an overrun;
 * -1: ignored, so nothing will be taken and an interval timer goes on by itself. */
int signal_send_timer(struct tgroup *g, struct task *t, struct sigqueue_entry *e);
struct sigqueue_entry *sigqueue_alloc(struct task *t); /* counted against t's user; NULL: limit */
void sigqueue_free(struct sigqueue_entry *e);

/* ---- rlimit.c, usage.c, sched.c ------------------------------------------------------------- */

void rlimits_default(struct lx_rlimit *ret_limits); /* of a container's first process */
/* Adds `u` to the sum. */
void usage_add(struct task_usage *sum, const struct task_usage *u);
void usage_add_io(struct vfs_io *sum, const struct vfs_io *io);
void tgroup_io_now(struct tgroup *g, struct vfs_io *ret); /* live and ended threads, waited-for children */
/* Own thread: first thing of a task, and last (then its times are final and in the group's sum). No locks. */
/* Has faults and preemptions counted anew, for who reads them next. May block: no locks. */
void usage_refresh(struct task *t);
void usage_task_start(struct task *t);
void usage_task_exit(struct task *t);
/* g leaves mm for good (exec; its last thread's end): CPU time of the stub goes to dead_usage. Before
 * the aspace's last reference goes; no locks. */
void usage_mm_left(struct tgroup *g, struct mm *mm);
/* CPU time of the stub alone, since the program began: a thread's, or (task NULL) the process's. */
u64 usage_stub_now(struct tgroup *g, struct task *task);
/* CPU time of everything that ever ran in the sandbox: never goes back. */
void usage_total_now(struct task_usage *ret);
/* Resident memory of all processes, bytes; up to half a second old. */
u64 usage_memory_now(void);
/* Resident bytes of mm: walks its areas, asking the stub's helper; for getrusage and /proc. */
u64 mm_rss_now(struct mm *mm);
u64 vma_rss(struct mm *mm, u64 start, u64 end); /* of one range */
/* Fills the ABI's struct rusage (144 bytes) from u. */
void usage_to_abi(const struct task_usage *u, void *ret_rusage);

/* ---- ipc.c, sysv*.c ------------------------------------------------------------------------ */

int ipc_ns_new(struct user_ns *uns, struct ipc_ns **ret_ns) must_check;
void ipc_ns_get(struct ipc_ns *ns);
void ipc_ns_put(struct ipc_ns *ns);
u64 ipc_ns_ino(const struct ipc_ns *ns);
struct user_ns *ipc_ns_owner(const struct ipc_ns *ns); /* not referenced */
extern struct ipc_ns *root_ipc_ns; /* made by ipc_init, which kern_init calls */
int ipc_init(void) must_check;
/* SEM_UNDO lists: share (CLONE_SYSVSEM; may make the parent's list), leave (exit, unshare). */
int sysvsem_share(struct task *parent, struct task *child) must_check;
void sysvsem_exit(struct task *t);

/* ---- cgroup_ns.c ---------------------------------------------------------------------------- */

extern struct cgroup_ns *const root_cgroup_ns;
struct cgroup_ns *cgroup_ns_new(struct user_ns *uns) must_check; /* NULL: no memory */
void cgroup_ns_get(struct cgroup_ns *ns);
void cgroup_ns_put(struct cgroup_ns *ns);
u64 cgroup_ns_ino(const struct cgroup_ns *ns);
struct user_ns *cgroup_ns_owner(const struct cgroup_ns *ns); /* not referenced */

/* ---- time.c: time namespaces --------------------------------------------------------------- */

struct time_ns *time_ns_copy(struct time_ns *old, struct user_ns *uns) must_check; /* NULL: no memory */
void time_ns_get(struct time_ns *ns);
void time_ns_put(struct time_ns *ns);
u64 time_ns_ino(const struct time_ns *ns);
struct user_ns *time_ns_owner(const struct time_ns *ns); /* not referenced */
extern struct time_ns *root_time_ns;
/* True when its offsets are not zero: the vDSO would tell the wrong time. */
bool time_ns_has_offsets(const struct time_ns *ns);

/* ---- user.c: accounting by real uid --------------------------------------------------------- */

struct user_struct *user_get(u32 kuid) must_check; /* finds or makes; NULL: no memory */
void user_ref(struct user_struct *u);
void user_put(struct user_struct *u);

/* ---- pid.c ---------------------------------------------------------------------------------- */

/* nsproxy.c: a host or domain name was changed: pollers of /proc/sys/kernel/hostname are told. */
void uts_changed(void);
extern _Atomic u64 uts_event;
extern struct waitq uts_wait;

u64 ns_ino_alloc(void); /* inode numbers of namespaces: 0xf0000000 upward */
#define NS_INO_ROOT_IPC  0xEFFFFFFFULL
#define NS_INO_ROOT_UTS  0xEFFFFFFEULL
#define NS_INO_ROOT_USER 0xEFFFFFFDULL
#define NS_INO_ROOT_PID  0xEFFFFFFCULL
#define NS_INO_ROOT_CGROUP 0xEFFFFFFBULL
#define NS_INO_ROOT_TIME 0xEFFFFFFAULL
/* For /proc: the first live process with number >= nr in ns, referenced; NULL at the end. */
struct tgroup *tgroup_next(struct pid_ns *ns, s32 nr, s32 *ret_nr);
u32 pid_ns_count(struct pid_ns *ns); /* tasks in it, for sysinfo and loadavg */
s32 pid_ns_last(struct pid_ns *ns);  /* the last number given */
extern _Atomic s32 pid_max;          /* kernel.pid_max */

/* ---- for /proc and ptrace ------------------------------------------------------------------- */

/* May the current task look into t (PTRACE_MODE_READ and, is_attach, _ATTACH)? 0, -LX_EPERM, -LX_EACCES. */
int ptrace_may_access(struct task *t, bool is_attach) must_check;
s32 ptrace_tracer_pid(struct task *t, const struct pid_ns *ns); /* 0: not traced */
u32 seccomp_count(struct task *t);                              /* filters in force */
/* References to another task's objects; NULL when it is exiting. */
struct mm *task_get_mm(struct task *t);
struct fs_ctx *task_get_fs(struct task *t);
struct fdtable *task_get_files(struct task *t);
struct nsproxy *task_get_ns(struct task *t);
const struct cred *task_get_cred(struct task *t);
/* Calls fn for each live task of g; fn must not block or take task_lock. */
void tgroup_for_each_task(struct tgroup *g, void (*fn)(struct task *t, void *arg), void *arg);

/* As from an ancestor namespace: also pid 1 obeys. For the control server: kill, ^C of the host. */
int kern_signal_init(struct tgroup *g, int signo);

#endif
