/*
 * timerfd(2).
 *
 * What a timer shows follows from its deadline and the clock: it is readable
 * when the deadline has passed. The ktimer only wakes those who wait. As in
 * Linux a periodic timer is not armed again until it is read: one that nobody
 * reads costs one wake, not one a period; missed periods are counted at the read.
 *
 * Not as Linux: TFD_TIMER_CANCEL_ON_SET is noticed by reads and polls, but a step of the
 * host's clock does not wake a sleeping reader.
 */
#include "fs/timerfd.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/ktimer.h"
#include "vfs/special.h"

#define DISARMED   INT64_MAX
#define STEP_MIN_NS (NSEC_PER_SEC / 10) /* a real-time offset that moved by more was a step */

struct timerfd {
    struct mutex lock;
    u32 clock;               /* LX_CLOCK_*; immutable */
    enum ktimer_clock engine; /* immutable */
    u64 ticks;               /* guarded by lock, as the rest: counted but not read */
    s64 deadline_ns;         /* on the clock; DISARMED */
    s64 interval_ns;         /* 0: one shot */
    u32 set_flags;
    s64 real_offset_ns;      /* real time less monotonic when set, for CANCEL_ON_SET */
    struct ktimer kt;
    struct waitq wait;
};

static const struct file_ops timerfd_fops;

static s64 real_offset(void)
{
    return ktimer_now(KTIMER_REAL) - ktimer_now(KTIMER_MONO);
}

static bool was_clock_set(const struct timerfd *t)
{
    if (!(t->set_flags & LX_TFD_TIMER_CANCEL_ON_SET))
        return false;
    s64 moved = real_offset() - t->real_offset_ns;
    return moved > STEP_MIN_NS || moved < -STEP_MIN_NS;
}

static bool is_due(const struct timerfd *t)
{
    return t->deadline_ns != DISARMED && ktimer_now(t->engine) >= t->deadline_ns;
}

/* Counts the periods that have passed and arms the next. */
static void advance(struct timerfd *t)
{
    if (!is_due(t))
        return;
    if (t->interval_ns == 0) {
        t->ticks++;
        t->deadline_ns = DISARMED;
        return;
    }
    s64 late = ktimer_now(t->engine) - t->deadline_ns;
    s64 n = 1 + late / t->interval_ns;
    t->ticks += (u64)n;
    t->deadline_ns += n * t->interval_ns;
    ktimer_start(&t->kt, t->deadline_ns);
}

static void timerfd_fired(struct ktimer *kt)
{
    struct timerfd *t = kt->arg;
    waitq_wake(&t->wait, WAIT_IN | WAIT_RDNORM);
}

/* Ticks to report, 0, or -LX_ECANCELED. */
static s64 take(struct timerfd *t)
{
    MUTEX_GUARD(&t->lock);
    if (was_clock_set(t)) {
        t->real_offset_ns = real_offset();
        t->ticks = 0;
        return -LX_ECANCELED;
    }
    advance(t);
    s64 n = (s64)MIN(t->ticks, (u64)INT64_MAX);
    t->ticks = 0;
    return n;
}

static s64 timerfd_read(struct file *f, struct uio *to, s64 *off)
{
    struct timerfd *t = f->priv;
    if (to->left < sizeof(u64))
        return -LX_EINVAL;
    s64 n = take(t);
    if (n == 0) {
        if (file_is_nonblock(f))
            return -LX_EAGAIN;
        struct waiter w;
        int r = 0;
        waiter_init_thread(&w, WAIT_IN);
        waitq_add(&t->wait, &w);
        while ((n = take(t)) == 0 && r == 0)
            r = park_interruptible(NO_DEADLINE);
        waitq_del(&t->wait, &w);
        if (n == 0)
            return r;
    }
    if (n < 0)
        return n;
    u64 v = (u64)n;
    return uio_copy_to(to, &v, sizeof(v)) == (s64)sizeof(v) ? (s64)sizeof(v) : -LX_EFAULT;
}

static u32 timerfd_poll(struct file *f)
{
    struct timerfd *t = f->priv;
    MUTEX_GUARD(&t->lock);
    return t->ticks > 0 || is_due(t) || was_clock_set(t) ? WAIT_IN : 0;
}

static struct waitq *timerfd_pollq(struct file *f)
{
    struct timerfd *t = f->priv;
    return &t->wait;
}

static void timerfd_release(struct file *f)
{
    struct timerfd *t = f->priv;
    ktimer_cancel_sync(&t->kt);
    waitq_done(&t->wait);
    free(t);
}

/* ---- times --------------------------------------------------------------------------------- */

static bool is_valid_time(const struct lx_timespec *ts)
{
    return ts->tv_sec >= 0 && ts->tv_nsec >= 0 && ts->tv_nsec < NSEC_PER_SEC;
}

static s64 to_ns(const struct lx_timespec *ts) /* saturates */
{
    s64 ns;
    if (__builtin_mul_overflow(ts->tv_sec, NSEC_PER_SEC, &ns) ||
        __builtin_add_overflow(ns, ts->tv_nsec, &ns))
        return INT64_MAX - 1;
    return ns;
}

static struct lx_timespec from_ns(s64 ns)
{
    return (struct lx_timespec){ns / NSEC_PER_SEC, ns % NSEC_PER_SEC};
}

static void get_locked(struct timerfd *t, struct lx_itimerspec *ret) REQUIRES(t->lock)
{
    advance(t);
    s64 left = 0;
    if (t->deadline_ns != DISARMED)
        left = MAX(t->deadline_ns - ktimer_now(t->engine), (s64)1);
    *ret = (struct lx_itimerspec){from_ns(t->interval_ns), from_ns(left)};
}

int timerfd_get(struct file *f, struct lx_itimerspec *ret)
{
    struct timerfd *t = f->priv;
    if (f->ops != &timerfd_fops)
        return -LX_EINVAL;
    MUTEX_GUARD(&t->lock);
    get_locked(t, ret);
    return 0;
}

int timerfd_set(struct file *f, u32 flags, const struct lx_itimerspec *its,
                struct lx_itimerspec *ret_old)
{
    struct timerfd *t = f->priv;
    if ((flags & ~(u32)(LX_TFD_TIMER_ABSTIME | LX_TFD_TIMER_CANCEL_ON_SET)) ||
        !is_valid_time(&its->it_value) || !is_valid_time(&its->it_interval) ||
        f->ops != &timerfd_fops)
        return -LX_EINVAL;
    s64 value = to_ns(&its->it_value), deadline = DISARMED;
    if (value > 0 && (flags & LX_TFD_TIMER_ABSTIME))
        deadline = value;
    else if (value > 0 && __builtin_add_overflow(ktimer_now(t->engine), value, &deadline))
        deadline = INT64_MAX - 1;
    MUTEX_GUARD(&t->lock);
    if (ret_old)
        get_locked(t, ret_old);
    bool is_real = t->engine == KTIMER_REAL;
    t->set_flags = is_real && (flags & LX_TFD_TIMER_ABSTIME) ? flags : flags & LX_TFD_TIMER_ABSTIME;
    t->real_offset_ns = real_offset();
    t->ticks = 0;
    t->interval_ns = value > 0 ? to_ns(&its->it_interval) : 0;
    t->deadline_ns = deadline;
    if (deadline == DISARMED)
        (void)ktimer_cancel(&t->kt); /* a late wake finds nothing due */
    else
        ktimer_start(&t->kt, deadline);
    return 0;
}

static void timerfd_fdinfo(struct file *f, char *buf, size_t size)
{
    struct timerfd *t = f->priv;
    struct lx_itimerspec its;
    MUTEX_GUARD(&t->lock);
    get_locked(t, &its);
    snprintf(buf, size,
             "clockid: %u\nticks: %llu\nsettime flags: 0%o\nit_value: (%lld, %lld)\n"
             "it_interval: (%lld, %lld)\n",
             t->clock, (unsigned long long)t->ticks, t->set_flags, (long long)its.it_value.tv_sec,
             (long long)its.it_value.tv_nsec, (long long)its.it_interval.tv_sec,
             (long long)its.it_interval.tv_nsec);
}

static const struct file_ops timerfd_fops = {
    .read = timerfd_read,
    .seek = noop_seek,
    .poll = timerfd_poll,
    .pollq = timerfd_pollq,
    .release = timerfd_release,
    .show_fdinfo = timerfd_fdinfo,
};

int timerfd_new(u32 clock, u32 flags, struct file **ret_f)
{
    enum ktimer_clock engine;
    switch (clock) {
    case LX_CLOCK_REALTIME:
    case LX_CLOCK_REALTIME_ALARM:
        engine = KTIMER_REAL;
        break;
    case LX_CLOCK_MONOTONIC:
        engine = KTIMER_MONO;
        break;
    case LX_CLOCK_BOOTTIME:
    case LX_CLOCK_BOOTTIME_ALARM:
        engine = KTIMER_BOOT;
        break;
    default:
        return -LX_EINVAL;
    }
    struct timerfd *t = calloc(1, sizeof(*t));
    if (!t)
        return -LX_ENOMEM;
    mutex_init(&t->lock, "timerfd");
    waitq_init(&t->wait);
    t->clock = clock;
    t->engine = engine;
    t->deadline_ns = DISARMED;
    ktimer_init(&t->kt, engine, timerfd_fired, t);
    int r = file_new_anon("anon_inode:[timerfd]", 0600, &timerfd_fops, t,
                          LX_O_RDWR | (flags & LX_O_NONBLOCK),
                          FMODE_READ | FMODE_WRITE | FMODE_NOOP_SEEK, ret_f);
    if (r < 0)
        free(t);
    return r;
}
