/*
 * Clocks as guests see them: conversion, sampling, sleeping, time namespaces.
 * Times are nanoseconds in s64, saturated at INT64_MAX as the kernel's ktime_t is.
 */
#ifndef KERN_TIME_H
#define KERN_TIME_H

#include "abi/time.h"
#include "base/ktimer.h"
#include "kern/task.h"

#define LX_HZ 250 /* ticks of a usual kernel's clock: what coarse answers round to */

/* -LX_EFAULT; -LX_EINVAL when negative or not normal. */
int copy_in_timespec(uaddr_t src, s64 *ret_ns) must_check;
int copy_out_timespec(uaddr_t dst, s64 ns) must_check;
bool timespec_to_ns(const struct lx_timespec *ts, s64 *ret_ns); /* false: invalid */
struct lx_timespec ns_to_timespec(s64 ns);

/* What a clock id means. */
enum clock_kind {
    CLK_HOST,    /* read from the host; base says on which clock timers and sleeps of it run */
    CLK_CPU,     /* CPU time of a thread or process */
};
/* The values of a CPU clock id's low bits. SCHED is the stub's own clock, as the application reads
 * it inside the stub: it begins with the program and leaves out what the Sentry did for it. */
enum cpu_what { CPU_PROF, CPU_VIRT, CPU_SCHED };

struct clock_ref {
    enum clock_kind kind;
    s32 id;
    enum ktimer_clock base;   /* CLK_HOST */
    s64 offset_ns;            /* CLK_HOST: guest = host base clock + offset */
    bool can_sleep, can_timer; /* else EOPNOTSUPP */
    bool is_alarm;            /* needs CAP_WAKE_ALARM */
    struct tgroup *tg;        /* CLK_CPU: counted; whose */
    struct task *task;        /* CLK_CPU: counted; NULL: the whole group's */
    enum cpu_what what;        /* CLK_CPU */
};
/* -LX_EINVAL: no such clock. clock_done drops what it holds. */
int clock_decode(struct task *t, s32 id, struct clock_ref *ret_c) must_check;
void clock_done(struct clock_ref *c);
s64 clock_sample(const struct clock_ref *c);
s64 clock_cpu_sample(struct tgroup *tg, struct task *task, enum cpu_what what);

s64 clock_gettime_call(struct task *t, s32 id, uaddr_t tp) must_check;
s64 clock_getres_call(struct task *t, s32 id, uaddr_t tp) must_check;
s64 clock_settime_call(struct task *t, s32 id, uaddr_t tp) must_check;
s64 clock_nanosleep_call(struct task *t, s32 id, int flags, uaddr_t req, uaddr_t rem) must_check;
s64 clock_adjtime_call(struct task *t, s32 id, uaddr_t tx) must_check;

/* Time namespaces: guest clock = host clock + offset. */
struct time_ns {
    struct ref ref;
    u64 ino;
    struct user_ns *user_ns;
    _Atomic s64 mono_off_ns, boot_off_ns;
    _Atomic bool is_frozen; /* a task runs in it: offsets are fixed */
};
s64 time_ns_mono_to_host(const struct task *t, s64 ns);
s64 time_ns_mono_off(const struct task *t);
s64 time_ns_boot_off(const struct task *t);
/* /proc/PID/timens_offsets: -LX_EACCES once frozen, -LX_ERANGE. clock: LX_CLOCK_MONOTONIC or _BOOTTIME. */
int time_ns_set_offset(struct time_ns *ns, s32 clock, s64 off_ns) must_check;

#endif
