/*
 * Timers of processes: interval timers, POSIX timers, timers on CPU time.
 *
 * Lock order: posix_timers.lock | ptimer.lock → cpu_timers.lock → tgroup.sig_lock (for samples of CPU
 * time). Signals are sent after dropping them.
 */
#ifndef KERN_TIMER_H
#define KERN_TIMER_H

#include "base/ktimer.h"
#include "kern/task.h"
#include "kern/time.h"

/* ---- timer_cpu.c: timers on CPU time -------------------------------------------------------- */

/*
 * Nothing tells us when a guest thread has used so much CPU time, so a process with an armed CPU
 * timer is sampled: not before the earliest moment at which all its threads
 * running together could get there, never more often than CPU_TIMER_MIN_NS, and ever
 * more rarely (up to CPU_TIMER_IDLE_NS) while it uses no CPU.
 */
#define CPU_TIMER_MIN_NS  (1 * NSEC_PER_MSEC)
#define CPU_TIMER_IDLE_NS (100 * NSEC_PER_MSEC)

struct cpu_timer;
typedef void (*cpu_timer_fn)(struct cpu_timer *ct, s64 now_ns);

struct cpu_timer {
    struct list node;      /* in the group's list; guarded by cpu_timers.lock, as all below */
    struct tgroup *tg;     /* whose time; counted by the owner; immutable */
    struct task *task;     /* NULL: the group's; counted by the owner; immutable */
    enum cpu_what what;     /* immutable */
    _Atomic bool is_armed; /* written under lock */
    s64 expires_ns;        /* on its clock */
    cpu_timer_fn fn;       /* on the engine's thread, disarmed, no locks held; immutable */
};

struct cpu_timers { /* those that a process has made, on whosever time */
    struct mutex lock;
    struct list armed;     /* guarded by lock, as all below */
    struct cpu_timer *running; /* whose callback runs */
    struct waitq done;     /* a callback ended */
    s64 last_sum_ns, period_ns;
    struct ktimer kt;
};

void cpu_timers_init(struct cpu_timers *c);
void cpu_timers_done(struct cpu_timers *c);
void cpu_timer_init(struct cpu_timer *ct, struct tgroup *tg, struct task *task, enum cpu_what what,
                    cpu_timer_fn fn);
void cpu_timer_start(struct cpu_timers *c, struct cpu_timer *ct, s64 expires_ns);
/* A callback may be running, or about to. */
void cpu_timer_disarm(struct cpu_timers *c, struct cpu_timer *ct);
/* Disarms and waits for a running callback. */
void cpu_timer_cancel(struct cpu_timers *c, struct cpu_timer *ct);
/* clock_nanosleep on a CPU clock: 0, -LX_ERESTARTSYS, or -LX_ESRCH when the process has ended. */
int cpu_timer_sleep(struct tgroup *tg, struct task *task, enum cpu_what what,
                    s64 deadline_ns) must_check;

/* ---- itimer.c ------------------------------------------------------------------------------- */

struct itimer_cpu {
    struct cpu_timer ct;
    s64 interval_ns;       /* guarded by posix_timers.lock */
    int signo;
    struct tgroup *tg;
};

struct posix_timers {
    struct mutex lock;
    struct tgroup *tg;     /* not owned: the group ends its timers before it goes */
    struct list timers;    /* ptimers by id; guarded by lock, as next_id */
    u32 ntimers;
    s32 next_id;
    struct ktimer real;    /* ITIMER_REAL */
    s64 real_interval_ns;  /* guarded by lock */
    struct cpu_timers cpu;
    struct itimer_cpu virt, prof;
    struct cpu_timer limit; /* RLIMIT_CPU */
};

/* The group's, made on first use; NULL: no memory. */
struct posix_timers *timers_of(struct tgroup *g) must_check;
void itimers_init(struct posix_timers *p);
void itimers_done(struct posix_timers *p);
/* which: LX_ITIMER_*; times in ns. 0, -LX_EINVAL, -LX_ENOMEM. */
int itimer_get(struct tgroup *g, int which, s64 *ret_value, s64 *ret_interval) must_check;
int itimer_set(struct tgroup *g, int which, s64 value, s64 interval, s64 *ret_old_value,
               s64 *ret_old_interval) must_check;
/* RLIMIT_CPU was changed, or the process has just got it by fork: watches CPU time. */
void cpu_limit_changed(struct tgroup *g);

/* ---- timer.c: POSIX timers ------------------------------------------------------------------ */

s64 timer_create_call(struct task *t, s32 clock, uaddr_t sev, uaddr_t idp) must_check;
s64 timer_settime_call(struct task *t, s32 id, int flags, uaddr_t new_value,
                       uaddr_t old_value) must_check;
s64 timer_gettime_call(struct task *t, s32 id, uaddr_t value) must_check;
s64 timer_getoverrun_call(struct task *t, s32 id) must_check;
s64 timer_delete_call(struct task *t, s32 id) must_check;
/* /proc/PID/timers. */
struct ptimer_info {
    s32 id, signo, notify, target, clock;
    u64 value;
};
bool timers_describe(struct tgroup *g, u32 i, struct ptimer_info *ret);

#endif
