/*
 * POSIX timers (timer_create and kin).
 *
 * A timer has one queue entry for its signal, made with it. While the entry is queued the
 * timer counts a reference for it, and an interval timer rests: it is armed anew when
 * the signal is taken, and the intervals that passed meanwhile are its overrun.
 * A timer whose signal is ignored goes on by itself at intervals of at least a tick.
 *
 * Life cycle: timer_create → the group's list → timer_delete, exec or exit: out of the list,
 * disarmed with no callback running → the last reference (list, signal, a call
 * in progress) frees.
 *
 * ptimer.lock → cpu_timers.lock → sig_lock (sampling); signals are sent after dropping it.
 */
#include "kern/timer.h"

#include <stdlib.h>

#include "abi/sched.h"
#include "kern/parts.h"
#include "kern/time.h"

#define IGNORED_MIN_NS (4 * NSEC_PER_MSEC)

struct ptimer {
    struct ref ref;
    struct list node;       /* guarded by posix_timers.lock */
    s32 id;                 /* immutable, as all to clock */
    int notify, signo;
    u64 value;
    struct tgroup *tg;      /* not owned: the group ends its timers before it goes */
    struct task *target;    /* SIGEV_THREAD_ID: counted */
    struct clock_ref clock; /* owns its references */
    struct sigqueue_entry *entry; /* owned; NULL: SIGEV_NONE */

    struct ktimer drop;     /* armed at once when the signal was dropped */
    struct mutex lock;      /* guards what follows */
    struct ktimer kt;       /* armed while a host clock runs */
    struct cpu_timer ct;    /* while a CPU clock does */
    bool is_set;            /* runs, or waits for its signal to be taken */
    bool is_resting;        /* interval timer that waits for its signal to be taken */
    bool is_gone;
    s64 expires_ns;         /* of the guest's clock */
    s64 interval_ns;
    s64 overrun, last_overrun;
};

struct lx_sigevent { /* 64 bytes */
    u64 value;
    s32 signo, notify, tid;
    u8 pad[44];
};
_Static_assert(sizeof(struct lx_sigevent) == 64, "sigevent");

static void on_host_clock(struct ktimer *kt);
static void on_cpu_clock(struct cpu_timer *ct, s64 now_ns);

static void ptimer_put(struct ptimer *pt)
{
    if (!ref_put(&pt->ref))
        return;
    if (pt->entry)
        sigqueue_free(pt->entry);
    if (pt->target)
        task_put(pt->target);
    clock_done(&pt->clock);
    free(pt);
}

/* ---- arming --------------------------------------------------------------------------------- */

static void arm(struct ptimer *pt) REQUIRES(pt->lock)
{
    const struct clock_ref *c = &pt->clock;
    s64 at;
    if (pt->is_gone)
        return;
    if (c->kind == CLK_CPU) {
        cpu_timer_start(&pt->tg->timers->cpu, &pt->ct, pt->expires_ns);
        return;
    }
    if (pt->expires_ns == INT64_MAX || __builtin_sub_overflow(pt->expires_ns, c->offset_ns, &at))
        at = INT64_MAX;
    ktimer_start(&pt->kt, at);
}

/* Moves the expiry past `now` in whole intervals; how many. */
static s64 forward(struct ptimer *pt, s64 now) REQUIRES(pt->lock)
{
    if (now < pt->expires_ns)
        return 0;
    s64 n = (now - pt->expires_ns) / pt->interval_ns + 1, step;
    if (__builtin_mul_overflow(n, pt->interval_ns, &step) ||
        __builtin_add_overflow(pt->expires_ns, step, &pt->expires_ns))
        pt->expires_ns = INT64_MAX;
    return n;
}

static s32 overrun_to_int(s64 n)
{
    return n > INT32_MAX ? INT32_MAX : (s32)n;
}

/* An interval timer whose signal nobody will take goes on, not too fast. */
static void go_on(struct ptimer *pt) REQUIRES(pt->lock)
{
    s64 now = clock_sample(&pt->clock);
    pt->overrun += forward(pt, now);
    if (pt->interval_ns < IGNORED_MIN_NS)
        pt->overrun += forward(pt, now + IGNORED_MIN_NS);
    pt->is_resting = false;
    arm(pt);
}

/* On the engine's thread: the time has come. */
static void expire(struct ptimer *pt)
{
    mutex_lock(&pt->lock);
    if (!pt->is_set || pt->is_gone || pt->is_resting) {
        mutex_unlock(&pt->lock);
        return;
    }
    if (!pt->entry) { /* SIGEV_NONE: only timer_gettime looks */
        mutex_unlock(&pt->lock);
        return;
    }
    pt->is_resting = pt->interval_ns > 0;
    pt->is_set = pt->is_resting;
    ref_get(&pt->ref); /* the queued signal's */
    mutex_unlock(&pt->lock);

    int r = signal_send_timer(pt->tg, pt->target, pt->entry);
    if (r == 1)
        return;
    mutex_lock(&pt->lock);
    if (r == 0)
        pt->overrun++; /* its last signal (of an earlier setting) has not been taken */
    if (r < 0 && pt->is_resting && !pt->is_gone)
        go_on(pt);
    mutex_unlock(&pt->lock);
    ptimer_put(pt); /* not the last one: the list's goes after this callback has ended */
}

static void on_host_clock(struct ktimer *kt)
{
    expire(container_of(kt, struct ptimer, kt));
}

static void on_cpu_clock(struct cpu_timer *ct, s64 now_ns)
{
    expire(container_of(ct, struct ptimer, ct));
}

void timer_signal_taken(void *timer, struct lx_siginfo *info)
{
    struct ptimer *pt = timer;
    {
        MUTEX_GUARD(&pt->lock);
        s64 overrun = pt->overrun;
        if (pt->is_resting) {
            overrun += forward(pt, clock_sample(&pt->clock)) - 1;
            overrun = MAX(overrun, 0);
            pt->is_resting = false;
            arm(pt);
        }
        pt->overrun = 0;
        pt->last_overrun = overrun;
        info->timer.overrun = overrun_to_int(overrun);
    }
    ptimer_put(pt);
}

static void on_dropped(struct ktimer *kt)
{
    struct ptimer *pt = container_of(kt, struct ptimer, drop);
    mutex_lock(&pt->lock);
    if (pt->is_resting && !pt->is_gone)
        go_on(pt);
    mutex_unlock(&pt->lock);
    ptimer_put(pt);
}

/*
 * The queue was flushed (SIG_IGN, exec, exit), possibly under sig_lock, which is below
 * our locks: the engine's thread does what there is to do, with the signal's reference.
 */
void timer_signal_dropped(void *timer)
{
    struct ptimer *pt = timer;
    ktimer_start(&pt->drop, 0);
}

/* ---- the calls ------------------------------------------------------------------------------ */

/* Referenced, or NULL. */
static struct ptimer *find(struct task *t, s32 id)
{
    struct posix_timers *p = t->tg->timers;
    struct ptimer *pt;
    if (!p)
        return NULL;
    MUTEX_GUARD(&p->lock);
    list_for_each(pt, &p->timers, node) {
        if (pt->id == id) {
            ref_get(&pt->ref);
            return pt;
        }
    }
    return NULL;
}

static int decode_sigevent(struct task *t, uaddr_t sev, struct ptimer *pt)
{
    struct lx_sigevent e = {.signo = LX_SIGALRM, .notify = LX_SIGEV_SIGNAL};
    int r = sev.v ? get_user(e, sev) : 0;
    if (r < 0)
        return r;
    pt->notify = e.notify;
    pt->signo = e.signo;
    pt->value = e.value;
    switch (e.notify) {
    case LX_SIGEV_NONE:
        return 0;
    case LX_SIGEV_THREAD_ID:
        pt->target = task_find(task_pid_ns(t), e.tid);
        if (!pt->target || pt->target->tg != t->tg)
            return -LX_EINVAL;
        break;
    case LX_SIGEV_SIGNAL:
    case LX_SIGEV_THREAD:
        break;
    default:
        return -LX_EINVAL;
    }
    return e.signo < 1 || e.signo > LX_NSIG ? -LX_EINVAL : 0;
}

/* Gives the timer the next free number and its place. */
static int link_timer(struct posix_timers *p, struct ptimer *pt)
{
    MUTEX_GUARD(&p->lock);
    struct ptimer *o;
    bool is_taken = true;
    for (u32 tries = 0; is_taken && tries <= p->ntimers; tries++) {
        pt->id = p->next_id;
        p->next_id = (p->next_id + 1) & INT32_MAX;
        is_taken = false;
        list_for_each(o, &p->timers, node)
            is_taken |= o->id == pt->id;
    }
    list_add_tail(&p->timers, &pt->node);
    p->ntimers++;
    ref_get(&pt->ref);
    return 0;
}

/* Takes the timer out of its list; false: another thread did. */
static bool unlink_timer(struct posix_timers *p, struct ptimer *pt)
{
    MUTEX_GUARD(&p->lock);
    if (list_empty(&pt->node))
        return false;
    list_del(&pt->node);
    p->ntimers--;
    return true;
}

static void stop(struct posix_timers *p, struct ptimer *pt)
{
    if (pt->clock.kind == CLK_CPU)
        cpu_timer_cancel(&p->cpu, &pt->ct);
    else
        (void)ktimer_cancel_sync(&pt->kt);
}

static void delete(struct posix_timers *p, struct ptimer *pt)
{
    if (!unlink_timer(p, pt))
        return;
    mutex_lock(&pt->lock);
    pt->is_gone = true;
    pt->is_set = pt->is_resting = false;
    mutex_unlock(&pt->lock);
    stop(p, pt);
    ptimer_put(pt);
}

static int create(struct task *t, s32 clock, uaddr_t sev, struct ptimer *pt)
{
    int r = clock_decode(t, clock, &pt->clock);
    if (r < 0)
        return r;
    if (!pt->clock.can_timer)
        return -LX_EOPNOTSUPP;
    r = decode_sigevent(t, sev, pt);
    if (r < 0)
        return r;
    if (pt->clock.is_alarm && !ns_capable(&root_user_ns, LX_CAP_WAKE_ALARM))
        return -LX_EPERM;
    ktimer_init(&pt->kt, pt->clock.base, on_host_clock, pt);
    ktimer_init(&pt->drop, KTIMER_MONO, on_dropped, pt);
    cpu_timer_init(&pt->ct, pt->clock.tg, pt->clock.task, pt->clock.what, on_cpu_clock);
    if (pt->notify == LX_SIGEV_NONE)
        return 0;
    pt->entry = sigqueue_alloc(t);
    if (!pt->entry)
        return -LX_EAGAIN;
    pt->entry->timer = pt;
    return 0;
}

s64 timer_create_call(struct task *t, s32 clock, uaddr_t sev, uaddr_t idp)
{
    struct posix_timers *p = timers_of(t->tg);
    struct ptimer *pt = calloc(1, sizeof(*pt));
    s64 r = -LX_EAGAIN;
    if (!p || !pt) {
        free(pt);
        return r;
    }
    ref_init(&pt->ref);
    list_init(&pt->node);
    mutex_init(&pt->lock, "ptimer");
    pt->tg = t->tg;
    r = create(t, clock, sev, pt);
    if (r == 0)
        r = link_timer(p, pt);
    if (r == 0) {
        if (!sev.v)
            pt->value = (u64)pt->id;
        if (pt->entry)
            pt->entry->info = (struct lx_siginfo){
                .si_signo = pt->signo,
                .si_code = LX_SI_TIMER,
                .timer = {.timerid = pt->id, .value = pt->value},
            };
        r = put_user(pt->id, idp);
        if (r < 0)
            delete(p, pt);
    }
    ptimer_put(pt);
    return r;
}

/* What timer_gettime tells. */
static void describe(struct ptimer *pt, s64 *ret_value, s64 *ret_interval) REQUIRES(pt->lock)
{
    *ret_interval = pt->interval_ns;
    *ret_value = 0;
    if (!pt->is_set)
        return;
    s64 now = clock_sample(&pt->clock), left = pt->expires_ns - now;
    if (pt->interval_ns > 0 && left <= 0) {
        /* rests until its signal is taken, or nobody is told: as if it had gone on */
        s64 n = (now - pt->expires_ns) / pt->interval_ns + 1;
        left += n * pt->interval_ns;
    }
    *ret_value = left > 0 ? left : pt->entry ? 1 : 0;
}

s64 timer_gettime_call(struct task *t, s32 id, uaddr_t value)
{
    struct ptimer *pt = find(t, id);
    s64 left, interval;
    if (!pt)
        return -LX_EINVAL;
    {
        MUTEX_GUARD(&pt->lock);
        describe(pt, &left, &interval);
    }
    ptimer_put(pt);
    struct lx_itimerspec its = {ns_to_timespec(interval), ns_to_timespec(left)};
    return put_user(its, value);
}

static void set(struct task *t, struct ptimer *pt, int flags, s64 value, s64 interval,
                s64 *ret_old_value, s64 *ret_old_interval)
{
    mutex_lock(&pt->lock);
    describe(pt, ret_old_value, ret_old_interval);
    pt->is_set = pt->is_resting = false;
    mutex_unlock(&pt->lock);
    stop(t->tg->timers, pt); /* no callback of the old setting runs after this */
    MUTEX_GUARD(&pt->lock);
    pt->interval_ns = interval;
    pt->overrun = pt->last_overrun = 0;
    if (value == 0)
        return;
    bool is_abs = flags & LX_TIMER_ABSTIME;
    if (is_abs)
        pt->expires_ns = value;
    else if (__builtin_add_overflow(clock_sample(&pt->clock), value, &pt->expires_ns))
        pt->expires_ns = INT64_MAX;
    pt->is_set = true;
    if (pt->entry)
        arm(pt);
}

s64 timer_settime_call(struct task *t, s32 id, int flags, uaddr_t new_value, uaddr_t old_value)
{
    struct lx_itimerspec its;
    s64 value, interval, old[2];
    if (!new_value.v)
        return -LX_EINVAL;
    s64 r = get_user(its, new_value);
    if (r < 0)
        return r;
    if (!timespec_to_ns(&its.it_value, &value) || !timespec_to_ns(&its.it_interval, &interval))
        return -LX_EINVAL;
    struct ptimer *pt = find(t, id);
    if (!pt)
        return -LX_EINVAL;
    set(t, pt, flags, value, interval, &old[0], &old[1]);
    ptimer_put(pt);
    its = (struct lx_itimerspec){ns_to_timespec(old[1]), ns_to_timespec(old[0])};
    return old_value.v ? put_user(its, old_value) : 0;
}

s64 timer_getoverrun_call(struct task *t, s32 id)
{
    struct ptimer *pt = find(t, id);
    if (!pt)
        return -LX_EINVAL;
    mutex_lock(&pt->lock);
    s64 n = overrun_to_int(pt->last_overrun);
    mutex_unlock(&pt->lock);
    ptimer_put(pt);
    return n;
}

s64 timer_delete_call(struct task *t, s32 id)
{
    struct ptimer *pt = find(t, id);
    if (!pt)
        return -LX_EINVAL;
    delete(t->tg->timers, pt);
    ptimer_put(pt);
    return 0;
}

static struct ptimer *first(struct posix_timers *p)
{
    MUTEX_GUARD(&p->lock);
    struct ptimer *pt = list_first(&p->timers, struct ptimer, node);
    if (pt)
        ref_get(&pt->ref);
    return pt;
}

void timers_exec(struct tgroup *g)
{
    struct posix_timers *p = g->timers;
    struct ptimer *pt;
    while (p && (pt = first(p)) != NULL) {
        delete(p, pt);
        ptimer_put(pt);
    }
}

void timers_exit(struct tgroup *g)
{
    struct posix_timers *p = g->timers;
    if (!p)
        return;
    timers_exec(g);
    itimers_done(p);
    cpu_timers_done(&p->cpu);
    __atomic_store_n(&g->timers, NULL, __ATOMIC_RELEASE);
    free(p);
}

bool timers_describe(struct tgroup *g, u32 i, struct ptimer_info *ret)
{
    struct posix_timers *p = g->timers;
    struct ptimer *pt;
    if (!p)
        return false;
    MUTEX_GUARD(&p->lock);
    list_for_each(pt, &p->timers, node) {
        if (i-- == 0) {
            *ret = (struct ptimer_info){.id = pt->id,
                                        .signo = pt->signo,
                                        .notify = pt->notify,
                                        .clock = pt->clock.id,
                                        .value = pt->value};
            return true;
        }
    }
    return false;
}
