/*
 * AIO contexts. Reads and writes are done by the thread that submits them, as Linux does those of
 * the page cache; so only watches (IOCB_CMD_POLL) are ever under way.
 *
 * A watch: armed (on the file's queue and ctx.armed) → the queue's callback moves it to
 * ctx.triggered and starts ctx.timer, since a callback may not complete anything by itself → the
 * timer asks the file, and arms it again or completes it → ctx.dead, whose file is let go by the
 * next call on the context (the timer's thread must not do what may take long).
 */
#include "kern/aio_ring.h"

#include <stdlib.h>

#include "base/ktimer.h"
#include "fs/eventfd.h"
#include "kern/kern_int.h"

#define RING_MAX_EVENTS (0x10000000U / sizeof(struct lx_io_event))
#define BATCH           32U

struct aio_ctx {
    struct ref ref;
    struct list node;      /* in mm->aio; guarded by contexts_lock */
    struct mm *mm;         /* not counted: its end ends the context; immutable */
    u32 max;               /* immutable */
    struct mutex ring_lock; /* the queue and its ring change together; before lock */
    struct aio_ring ring;
    struct mutex lock;
    u32 nreserved;      /* under way and uncollected; guarded by lock, as all below */
    u32 first, nevents; /* of events, a ring of max */
    struct lx_io_event *events;
    struct list armed, triggered, dead; /* aio_watches */
    bool is_dead;
    struct waitq wait;
    struct ktimer timer; /* looks at the triggered */
};

struct aio_watch {
    struct ref ref;      /* its list's, and that of who uses it without the lock */
    struct list node;    /* guarded by ctx->lock */
    struct aio_ctx *ctx; /* not counted: a context outlives its watches */
    struct file *f, *resfd;
    struct waitq *q;
    struct waiter waiter;
    u32 events;
    bool is_over; /* somebody completes it; guarded by ctx->lock */
    struct lx_io_event ev;
};

_Atomic s64 aio_nr, aio_max_nr = 65536;
static struct mutex contexts_lock = MUTEX_INIT("aio_contexts");

/* ---- life ---------------------------------------------------------------------------------- */

static void watch_put(struct aio_watch *w)
{
    if (!ref_put(&w->ref))
        return;
    file_put(w->f);
    if (w->resfd)
        file_put(w->resfd);
    free(w);
}

static void move_to(struct list *l, struct aio_watch *w)
{
    list_del(&w->node);
    list_add_tail(l, &w->node);
}

static void free_watches(struct list *l)
{
    struct aio_watch *w;
    while ((w = list_first(l, struct aio_watch, node))) {
        list_del(&w->node);
        watch_put(w);
    }
}

static void reap(struct aio_ctx *c)
{
    struct list l;
    list_init(&l);
    mutex_lock(&c->lock);
    list_splice_tail(&l, &c->dead);
    mutex_unlock(&c->lock);
    free_watches(&l);
}

void aio_put(struct aio_ctx *c)
{
    if (!c || !ref_put(&c->ref))
        return;
    atomic_fetch_sub(&aio_nr, c->max);
    free_watches(&c->dead);
    waitq_done(&c->wait);
    aio_ring_done(&c->ring);
    free(c->events);
    free(c);
}

static void timer_fired(struct ktimer *timer);

static struct aio_ctx *ctx_new(struct mm *mm, u32 max)
{
    struct aio_ctx *c = calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    ref_init(&c->ref);
    list_init(&c->node);
    mutex_init(&c->ring_lock, "aio_ring");
    mutex_init(&c->lock, "aio_ctx");
    waitq_init(&c->wait);
    list_init(&c->armed);
    list_init(&c->triggered);
    list_init(&c->dead);
    ktimer_init(&c->timer, KTIMER_MONO, timer_fired, c);
    c->mm = mm;
    c->max = max;
    c->events = calloc(max, sizeof(*c->events));
    if (!c->events || aio_ring_init(&c->ring, max) < 0) {
        free(c->events);
        free(c);
        return NULL;
    }
    atomic_fetch_add(&aio_nr, max);
    return c;
}

int aio_setup(struct task *t, u32 max, u64 *ret_id)
{
    if ((u64)max * 2 > RING_MAX_EVENTS)
        return -LX_EINVAL;
    mutex_lock(&contexts_lock); /* so that the limit holds */
    bool is_full = (s64)max > atomic_load(&aio_max_nr) - atomic_load(&aio_nr);
    struct aio_ctx *c = is_full ? NULL : ctx_new(t->mm, max);
    mutex_unlock(&contexts_lock);
    if (!c)
        return is_full ? -LX_EAGAIN : -LX_ENOMEM;
    struct mm_map_req rq = {
        .size = aio_ring_size(&c->ring),
        .prot = LX_PROT_READ | LX_PROT_WRITE,
        .flags = LX_MAP_SHARED,
        .vma_flags = VMA_MAY_ALL,
        .obj = c->ring.obj,
    };
    s64 at = mm_map(t->mm, NULL, &rq);
    if (at < 0) {
        aio_put(c);
        return -LX_ENOMEM;
    }
    mutex_lock(&contexts_lock);
    list_add_tail(&t->mm->aio, &c->node);
    mutex_unlock(&contexts_lock);
    *ret_id = (u64)at;
    return 0;
}

/* What is mapped, readable and from its first byte on, at addr; compared only. */
static struct mappable *mapped_at(struct mm *mm, u64 addr)
{
    MUTEX_GUARD(&mm->lock);
    struct vma *v = mm_find(mm, addr);
    bool is_start = v && v->start <= addr && v->offset + (addr - v->start) == 0;
    return is_start && v->flags & LX_PROT_READ ? v->obj : NULL;
}

struct aio_ctx *aio_find(struct task *t, u64 id)
{
    struct mappable *ring = mapped_at(t->mm, id);
    struct aio_ctx *c;
    if (!ring)
        return NULL;
    MUTEX_GUARD(&contexts_lock);
    list_for_each (c, &t->mm->aio, node) {
        if (c->ring.obj == ring) {
            ref_get(&c->ref);
            return c;
        }
    }
    return NULL;
}

/* It is in no list of contexts any more. Drops that list's reference. */
static void end_ctx(struct aio_ctx *c)
{
    struct aio_watch *w;
    mutex_lock(&c->lock);
    c->is_dead = true;
    mutex_unlock(&c->lock);
    (void)ktimer_cancel_sync(&c->timer);
    for (;;) {
        mutex_lock(&c->lock);
        w = list_first(&c->armed, struct aio_watch, node);
        if (!w)
            w = list_first(&c->triggered, struct aio_watch, node);
        if (w)
            move_to(&c->dead, w);
        mutex_unlock(&c->lock);
        if (!w)
            break;
        waitq_del(w->q, &w->waiter);
    }
    waitq_wake(&c->wait, WAIT_IN);
    reap(c);
    aio_put(c);
}

int aio_destroy(struct task *t, struct aio_ctx *c, u64 id)
{
    mutex_lock(&contexts_lock);
    bool is_mine = !list_empty(&c->node);
    list_del(&c->node);
    mutex_unlock(&contexts_lock);
    if (!is_mine)
        return -LX_EINVAL;
    ignore_result(mm_unmap(t->mm, NULL, id, aio_ring_size(&c->ring))); /* the guest may have unmapped it */
    end_ctx(c);
    return 0;
}

/* The address space ends. */
static void mm_ends(struct mm *mm)
{
    struct aio_ctx *c;
    while ((c = list_first(&mm->aio, struct aio_ctx, node))) {
        list_del(&c->node);
        end_ctx(c);
    }
}

void aio_init(void)
{
    mm_aio_exit = mm_ends;
}

/* ---- completions --------------------------------------------------------------------------- */

/* What the guest has taken out of the ring by itself has been collected. */
static void sync_ring(struct aio_ctx *c) REQUIRES(c->ring_lock)
{
    MUTEX_GUARD(&c->lock);
    if (c->nevents == 0)
        return;
    u32 n = aio_ring_taken(&c->ring, c->nevents);
    c->first = (c->first + n) % c->max;
    c->nevents -= n;
    c->nreserved -= n;
}

bool aio_reserve(struct aio_ctx *c)
{
    MUTEX_GUARD(&c->ring_lock);
    mutex_lock(&c->lock);
    bool is_full = c->nreserved >= c->max;
    mutex_unlock(&c->lock);
    if (is_full)
        sync_ring(c);
    MUTEX_GUARD(&c->lock);
    if (c->nreserved >= c->max || c->is_dead)
        return false;
    c->nreserved++;
    return true;
}

void aio_unreserve(struct aio_ctx *c)
{
    MUTEX_GUARD(&c->lock);
    c->nreserved--;
}

void aio_complete(struct aio_ctx *c, const struct lx_io_event *ev, struct file *resfd)
{
    mutex_lock(&c->ring_lock);
    mutex_lock(&c->lock);
    c->events[(c->first + c->nevents++) % c->max] = *ev; /* a reservation is a place */
    mutex_unlock(&c->lock);
    aio_ring_put(&c->ring, ev);
    mutex_unlock(&c->ring_lock);
    if (resfd)
        eventfd_signal(resfd, 1);
    waitq_wake(&c->wait, WAIT_IN);
}

/* Takes up to n; *ret_is_dead: the context was destroyed. */
static u32 take(struct aio_ctx *c, struct lx_io_event *to, u32 n, bool *ret_is_dead)
{
    MUTEX_GUARD(&c->ring_lock);
    sync_ring(c);
    {
        MUTEX_GUARD(&c->lock);
        *ret_is_dead = c->is_dead;
        n = MIN(n, c->nevents);
        for (u32 i = 0; i < n; i++)
            to[i] = c->events[(c->first + i) % c->max];
        c->first = (c->first + n) % c->max;
        c->nevents -= n;
    }
    if (n)
        aio_ring_move_head(&c->ring, (s32)n);
    return n;
}

/* A fault: they go back in front, in their order. Their reservations were kept. */
static void untake(struct aio_ctx *c, const struct lx_io_event *ev, u32 n)
{
    mutex_lock(&c->ring_lock);
    aio_ring_move_head(&c->ring, -(s32)n);
    mutex_lock(&c->lock);
    c->first = (c->first + c->max - n) % c->max;
    for (u32 i = 0; i < n; i++)
        c->events[(c->first + i) % c->max] = ev[i];
    c->nevents += n;
    mutex_unlock(&c->lock);
    mutex_unlock(&c->ring_lock);
    waitq_wake(&c->wait, WAIT_IN);
}

/* Copies what is there; adds to *got. 0, -LX_EFAULT, -LX_EINVAL. */
static s64 copy_ready(struct aio_ctx *c, u64 max, uaddr_t to, u64 *got)
{
    struct lx_io_event ev[BATCH];
    while (*got < max) {
        bool is_dead;
        u32 n = take(c, ev, (u32)MIN(max - *got, (u64)BATCH), &is_dead);
        if (n == 0)
            return is_dead ? -LX_EINVAL : 0;
        if (copy_out(uaddr_add(to, *got * sizeof(ev[0])), ev, n * sizeof(ev[0])) < 0) {
            untake(c, ev, n);
            return -LX_EFAULT;
        }
        mutex_lock(&c->lock);
        c->nreserved -= n;
        mutex_unlock(&c->lock);
        *got += n;
    }
    return 0;
}

s64 aio_collect(struct aio_ctx *c, u64 min, u64 max, uaddr_t to, s64 deadline_ns)
{
    u64 got = 0;
    reap(c);
    s64 r = copy_ready(c, max, to, &got);
    if (r == 0 && got < min && deadline_ns != 0) {
        struct waiter w;
        waiter_init_thread(&w, WAIT_IN);
        waitq_add(&c->wait, &w);
        int e = 0;
        while ((r = copy_ready(c, max, to, &got)) == 0 && got < min && e == 0)
            e = park_interruptible(deadline_ns);
        waitq_del(&c->wait, &w);
        if (r == 0 && e < 0 && e != -LX_ETIMEDOUT)
            r = -LX_EINTR;
    }
    return got ? (s64)got : r;
}

/* ---- watches ------------------------------------------------------------------------------- */

/* Under the file's queue's lock: the rest is the timer's. */
static void watch_woken(struct waiter *waiter, u32 events)
{
    struct aio_watch *w = waiter->arg;
    struct aio_ctx *c = w->ctx;
    MUTEX_GUARD(&c->lock);
    if (c->is_dead)
        return;
    move_to(&c->triggered, w);
    ktimer_start(&c->timer, 0);
}

/* It is in the list of the dead, and nobody but the caller completes it. */
static void end_watch(struct aio_watch *w, s64 res)
{
    struct lx_io_event ev = w->ev;
    ev.res = res;
    aio_complete(w->ctx, &ev, w->resfd);
}

static struct aio_watch *next_triggered(struct aio_ctx *c)
{
    MUTEX_GUARD(&c->lock);
    struct aio_watch *w = list_first(&c->triggered, struct aio_watch, node);
    if (w)
        move_to(&c->armed, w); /* before the file is asked: what comes now counts */
    return w;
}

/* Takes an armed or triggered one for its end; false: another was faster. */
static bool claim(struct aio_ctx *c, struct aio_watch *w)
{
    MUTEX_GUARD(&c->lock);
    if (w->is_over)
        return false;
    w->is_over = true;
    return true;
}

static void bury(struct aio_ctx *c, struct aio_watch *w)
{
    MUTEX_GUARD(&c->lock);
    if (!c->is_dead) /* else end_ctx does it, or has */
        move_to(&c->dead, w);
}

static void timer_fired(struct ktimer *timer)
{
    struct aio_ctx *c = timer->arg;
    struct aio_watch *w;
    while ((w = next_triggered(c))) {
        u32 got = vfs_poll(w->f) & w->events;
        if (got == 0 || !claim(c, w))
            continue;
        waitq_del(w->q, &w->waiter);
        end_watch(w, got);
        bury(c, w);
    }
}

int aio_watch(struct aio_ctx *c, struct file *f, u32 events, const struct lx_io_event *ev,
              struct file *resfd)
{
    events = (events & 0xffffU) | WAIT_ERR | WAIT_HUP;
    reap(c);
    u32 got = vfs_poll(f) & events;
    if (got) {
        struct lx_io_event done = *ev;
        done.res = got;
        aio_complete(c, &done, resfd);
        file_put(f);
        if (resfd)
            file_put(resfd);
        return 0;
    }
    struct waitq *q = vfs_pollq(f);
    if (!q)
        return -LX_EINVAL;
    struct aio_watch *w = calloc(1, sizeof(*w));
    if (!w)
        return -LX_EAGAIN;
    *w = (struct aio_watch){.ctx = c, .f = f, .resfd = resfd, .q = q, .events = events, .ev = *ev};
    ref_init(&w->ref);
    list_init(&w->node);
    waiter_init_fn(&w->waiter, WAIT_ALL, watch_woken, w);
    mutex_lock(&c->lock);
    bool is_over = c->is_dead;
    if (!is_over) {
        list_add_tail(&c->armed, &w->node);
        ref_get(&w->ref);
    }
    mutex_unlock(&c->lock);
    if (is_over) {
        free(w);
        return -LX_EINVAL;
    }
    waitq_add(q, &w->waiter);
    mutex_lock(&c->lock);
    is_over = w->is_over || c->is_dead;
    if (!is_over) { /* it may have become ready before it was watched */
        move_to(&c->triggered, w);
        ktimer_start(&c->timer, 0);
    }
    mutex_unlock(&c->lock);
    if (is_over)
        waitq_del(q, &w->waiter);
    watch_put(w);
    return 0;
}

int aio_cancel(struct aio_ctx *c, u64 obj)
{
    struct aio_watch *w, *found = NULL;
    struct list *const lists[] = {&c->armed, &c->triggered};
    mutex_lock(&c->lock);
    for (size_t i = 0; i < ARRAY_SIZE(lists) && !found; i++) {
        list_for_each (w, lists[i], node) {
            if (w->ev.obj == obj && !w->is_over) {
                w->is_over = true;
                ref_get(&w->ref);
                found = w;
                break;
            }
        }
    }
    mutex_unlock(&c->lock);
    if (!found)
        return -LX_EINVAL;
    waitq_del(found->q, &found->waiter);
    end_watch(found, 0);
    bury(c, found);
    watch_put(found);
    return 0;
}
