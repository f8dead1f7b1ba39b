/* Timers on CPU time, by sampling; the rule is in timer.h. */
#include "kern/time.h"
#include "kern/timer.h"

static void on_sample(struct ktimer *kt);

void cpu_timers_init(struct cpu_timers *c)
{
    mutex_init(&c->lock, "cpu_timers");
    list_init(&c->armed);
    waitq_init(&c->done);
    ktimer_init(&c->kt, KTIMER_MONO, on_sample, c);
}

void cpu_timers_done(struct cpu_timers *c)
{
    (void)ktimer_cancel_sync(&c->kt);
    waitq_done(&c->done);
}

void cpu_timer_init(struct cpu_timer *ct, struct tgroup *tg, struct task *task, enum cpu_what what,
                    cpu_timer_fn fn)
{
    *ct = (struct cpu_timer){.tg = tg, .task = task, .what = what, .fn = fn};
    list_init(&ct->node);
}

static s64 sample(const struct cpu_timer *ct)
{
    return clock_cpu_sample(ct->tg, ct->task, ct->what);
}

/* The shortest real time in which the timer could expire. */
static s64 earliest(const struct tgroup *tg, const struct task *task, s64 left)
{
    u32 nrunners = task ? 1 : MAX(tg->ntasks, 1U); /* a stale count only mistimes a sample */
    return left / nrunners;
}

/* An expired timer, taken out and marked running; NULL: none, and *ret_wait when to look again. */
static struct cpu_timer *take_expired(struct cpu_timers *c, s64 *ret_now, s64 *ret_wait)
    REQUIRES(c->lock)
{
    struct cpu_timer *ct;
    s64 wait = INT64_MAX, sum = 0;
    list_for_each(ct, &c->armed, node) {
        s64 now = sample(ct);
        sum += now;
        if (now >= ct->expires_ns) {
            list_del(&ct->node);
            ct->is_armed = false;
            c->running = ct;
            *ret_now = now;
            return ct;
        }
        wait = MIN(wait, earliest(ct->tg, ct->task, ct->expires_ns - now));
    }
    c->period_ns = sum == c->last_sum_ns ? MIN(c->period_ns * 2, CPU_TIMER_IDLE_NS) : CPU_TIMER_MIN_NS;
    c->last_sum_ns = sum;
    *ret_wait = wait;
    return NULL;
}

static void on_sample(struct ktimer *kt)
{
    struct cpu_timers *c = kt->arg;
    struct cpu_timer *ct;
    s64 now, wait = INT64_MAX;
    mutex_lock(&c->lock);
    while ((ct = take_expired(c, &now, &wait)) != NULL) {
        mutex_unlock(&c->lock);
        ct->fn(ct, now);
        mutex_lock(&c->lock);
        c->running = NULL;
        mutex_unlock(&c->lock);
        waitq_wake(&c->done, WAIT_ALL);
        mutex_lock(&c->lock);
    }
    s64 at;
    if (!list_empty(&c->armed) &&
        !__builtin_add_overflow(clock_mono_ns(), MAX(wait, c->period_ns), &at))
        ktimer_start(kt, at);
    mutex_unlock(&c->lock);
}

void cpu_timer_start(struct cpu_timers *c, struct cpu_timer *ct, s64 expires_ns)
{
    MUTEX_GUARD(&c->lock);
    if (!ct->is_armed)
        list_add_tail(&c->armed, &ct->node);
    ct->is_armed = true;
    ct->expires_ns = expires_ns;
    c->period_ns = CPU_TIMER_MIN_NS;
    if (c->running) /* on_sample looks at the list again before it sleeps */
        return;
    s64 left = expires_ns - sample(ct), at = 0;
    if (left > 0 && __builtin_add_overflow(clock_mono_ns(),
                                           MAX(earliest(ct->tg, ct->task, left), CPU_TIMER_MIN_NS), &at))
        at = INT64_MAX;
    if (!ktimer_is_armed(&c->kt) || at < c->kt.deadline_ns)
        ktimer_start(&c->kt, at);
}

void cpu_timer_disarm(struct cpu_timers *c, struct cpu_timer *ct)
{
    MUTEX_GUARD(&c->lock);
    if (ct->is_armed)
        list_del(&ct->node);
    ct->is_armed = false;
}

static bool is_quiet(struct cpu_timers *c, struct cpu_timer *ct)
{
    MUTEX_GUARD(&c->lock);
    if (ct->is_armed)
        list_del(&ct->node);
    ct->is_armed = false;
    return c->running != ct;
}

void cpu_timer_cancel(struct cpu_timers *c, struct cpu_timer *ct)
{
    struct waiter w;
    if (is_quiet(c, ct))
        return;
    waiter_init_thread(&w, WAIT_ALL);
    waitq_add(&c->done, &w);
    while (!is_quiet(c, ct))
        (void)park_uninterruptible(NO_DEADLINE);
    waitq_del(&c->done, &w);
}

/* ---- sleeping on CPU time -------------------------------------------------------------------- */

int cpu_timer_sleep(struct tgroup *tg, struct task *task, enum cpu_what what, s64 deadline_ns)
{
    s64 last = -1, period = CPU_TIMER_MIN_NS, at;
    for (;;) {
        s64 now = clock_cpu_sample(tg, task, what);
        if (now >= deadline_ns)
            return 0;
        if (tg->is_zombie) /* racy: the next round sees it */
            return -LX_ESRCH;
        period = now == last ? MIN(period * 2, CPU_TIMER_IDLE_NS) : CPU_TIMER_MIN_NS;
        last = now;
        if (__builtin_add_overflow(clock_mono_ns(), MAX(earliest(tg, task, deadline_ns - now), period),
                                   &at))
            at = NO_DEADLINE;
        int r = park_interruptible(at);
        if (r == -LX_ERESTARTSYS)
            return r;
    }
}
