/*
 * epoll(7).
 *
 * Each watch is an item: a callback on the watched file's wait queue and a
 * place on its epoll's ready list. The callback only links the item and wakes
 * one waiter. What is reported is asked of the file (its poll) when the
 * waiter collects; level-triggered items go back to the end of the list, to be
 * asked again by the next wait, and fall off when they have nothing.
 *
 * Locks
 *   nest_lock (one at a time adds a watch of an epoll file, so that no loop closes)
 *     → ep.mutex (items, collecting; an outer epoll's before an inner's)
 *       → watches_lock (file->epoll_items of every file)
 *   watched file's waitq.lock → ep.lock (ready list), a leaf; the epoll's own queue is woken
 *   after ep.lock is dropped, so chains of nested epolls hold one lock of each kind.
 *
 * Life: items belong to their epoll and do not hold the file. The last file_put
 * of a watched file calls release_watches, which takes each owner's mutex, so
 * whoever holds ep.mutex may use item->file. An eventpoll lives while its file
 * or a release_watches in progress holds it.
 */
#include "fs/epoll.h"

#include <stdio.h>
#include <stdlib.h>

#include "vfs/account.h"
#include "vfs/special.h"

#define MAX_NESTS   4       /* epolls below an epoll */

#define EV_FLAGS   (LX_EPOLLET | LX_EPOLLONESHOT | LX_EPOLLWAKEUP | LX_EPOLLEXCLUSIVE)
#define EV_ALWAYS  (WAIT_ERR | WAIT_HUP)
#define EV_EXCL_OK                                                                                 \
    (WAIT_IN | WAIT_OUT | EV_ALWAYS | LX_EPOLLWAKEUP | LX_EPOLLET | LX_EPOLLEXCLUSIVE)

struct eventpoll {
    struct ref ref;
    struct account *user; /* owned: whose it is */
    struct file *file;   /* not owned; NULL once released; guarded by watches_lock */
    struct mutex mutex;
    struct rb_tree items; /* guarded by mutex */
    struct mutex lock;
    struct list ready;    /* guarded by lock */
    _Atomic bool has_ready; /* !list_empty(&ready), for a look without the lock */
    struct waitq wait;    /* epoll_wait sleepers, and watchers of this epoll */
    u64 visit_gen, visit_up_gen; /* check_nesting's; guarded by nest_lock, as the rest */
    u32 visit_levels, visit_up_levels, visit_up_paths;
};

struct item {
    struct rb_node rb;       /* guarded by ep->mutex */
    struct list file_node;   /* in file->epoll_items; guarded by watches_lock */
    struct list ready_node;  /* in ep->ready or a collector's list; guarded by ep->lock */
    struct eventpoll *ep;    /* immutable */
    struct file *file;       /* immutable */
    int fd;                  /* immutable */
    struct waiter waiter;
    struct waitq *q;         /* what waiter is on, or NULL; immutable */
    _Atomic u32 events;      /* 0 besides EV_FLAGS: disarmed by ONESHOT */
    u64 data;                /* guarded by ep->mutex */
};

static struct mutex nest_lock = MUTEX_INIT("epoll.nest");
static struct mutex watches_lock = MUTEX_INIT("epoll.watches");

static const struct file_ops epoll_fops;

static inline bool is_epoll(const struct file *f)
{
    return f->ops == &epoll_fops;
}

static void ep_put(struct eventpoll *ep)
{
    if (!ref_put(&ep->ref))
        return;
    waitq_done(&ep->wait);
    account_put(ep->user);
    free(ep);
}

/* ---- the ready list ------------------------------------------------------------------------ */

/* Wakers may name one half of a pair (IN without RDNORM): both count. */
static u32 widen(u32 ev)
{
    if (ev & (WAIT_IN | WAIT_RDNORM))
        ev |= WAIT_IN | WAIT_RDNORM;
    if (ev & (WAIT_OUT | WAIT_WRNORM))
        ev |= WAIT_OUT | WAIT_WRNORM;
    return ev;
}

static bool push_ready(struct item *it)
{
    struct eventpoll *ep = it->ep;
    MUTEX_GUARD(&ep->lock);
    if (!list_empty(&it->ready_node))
        return false;
    list_add_tail(&ep->ready, &it->ready_node);
    atomic_store_explicit(&ep->has_ready, true, memory_order_release);
    return true;
}

static void wake_waiters(struct eventpoll *ep)
{
    waitq_wake_n(&ep->wait, WAIT_IN | WAIT_RDNORM, 1);
}

/* The watched file's waker calls this under its queue's lock. */
static void item_woken(struct waiter *w, u32 events)
{
    struct item *it = w->arg;
    u32 wanted = atomic_load_explicit(&it->events, memory_order_acquire);
    u32 seen = widen(events) & wanted & ~EV_FLAGS;
    if (seen == 0) {
        w->is_declined = true;
        return;
    }
    (void)push_ready(it);
    /* An exclusive watch is satisfied by an epoll on which somebody waits; else ask the next. */
    w->is_declined = atomic_load_explicit(&it->ep->wait.nwaiters, memory_order_relaxed) == 0;
    wake_waiters(it->ep);
}

static void unready(struct item *it)
{
    struct eventpoll *ep = it->ep;
    MUTEX_GUARD(&ep->lock);
    list_del(&it->ready_node);
    atomic_store_explicit(&ep->has_ready, !list_empty(&ep->ready), memory_order_release);
}

/* Takes the first of the collector's list; NULL when it is empty. */
static struct item *pop(struct eventpoll *ep, struct list *collected)
{
    MUTEX_GUARD(&ep->lock);
    struct item *it = list_first(collected, struct item, ready_node);
    if (it)
        list_del(&it->ready_node);
    return it;
}

static void begin_collect(struct eventpoll *ep, struct list *collected)
{
    MUTEX_GUARD(&ep->lock);
    list_init(collected);
    list_splice_tail(collected, &ep->ready);
    atomic_store_explicit(&ep->has_ready, false, memory_order_release);
}

/* Puts what was not looked at back in front. */
static void end_collect(struct eventpoll *ep, struct list *collected)
{
    MUTEX_GUARD(&ep->lock);
    list_splice_tail(collected, &ep->ready);
    list_splice_tail(&ep->ready, collected);
    atomic_store_explicit(&ep->has_ready, !list_empty(&ep->ready), memory_order_release);
}

/* Ready and wanted events of an item. Disarmed ones have none. */
static u32 item_poll(struct item *it)
{
    u32 wanted = atomic_load_explicit(&it->events, memory_order_acquire);
    if ((wanted & ~EV_FLAGS) == 0)
        return 0;
    return vfs_poll(it->file) & wanted & ~EV_FLAGS;
}

/* ---- collecting ---------------------------------------------------------------------------- */

#define BATCH 32

struct reported {
    struct item *it;
    u32 wanted; /* before a one-shot was disarmed */
};

struct batch { /* what one wait reports */
    struct lx_epoll_event *ev;
    struct reported *items;
    u32 n, max;
};

/* Items reported by level go back to the end of the list, one-shot ones are disarmed. */
static void collect(struct eventpoll *ep, struct batch *b) REQUIRES(ep->mutex)
{
    struct list collected;
    struct item *it;
    begin_collect(ep, &collected);
    while (b->n < b->max && (it = pop(ep, &collected)) != NULL) {
        u32 ev = item_poll(it);
        if (ev == 0)
            continue;
        u32 wanted = atomic_load(&it->events);
        b->ev[b->n] = (struct lx_epoll_event){ev, it->data};
        b->items[b->n++] = (struct reported){it, wanted};
        if (wanted & LX_EPOLLONESHOT)
            atomic_store(&it->events, wanted & EV_FLAGS);
        else if (!(wanted & LX_EPOLLET))
            (void)push_ready(it);
    }
    end_collect(ep, &collected);
}

/* The guest's buffer was bad: nothing was reported. */
static void uncollect(struct batch *b)
{
    for (u32 i = 0; i < b->n; i++) {
        atomic_store(&b->items[i].it->events, b->items[i].wanted);
        (void)push_ready(b->items[i].it);
    }
}

static u32 count_ready(struct eventpoll *ep, u32 max)
{
    u32 n = 0;
    MUTEX_GUARD(&ep->lock);
    for (struct list *l = ep->ready.next; l != &ep->ready && n < max; l = l->next)
        n++;
    return n;
}

static s64 collect_to_guest(struct eventpoll *ep, uaddr_t to, u32 max)
{
    struct lx_epoll_event ev[BATCH];
    struct reported items[BATCH];
    struct batch b = {ev, items, 0, MIN(max, (u32)BATCH)};
    void *mem = NULL;
    MUTEX_GUARD(&ep->mutex);
    if (max > BATCH) {
        u32 n = count_ready(ep, max);
        mem = n > BATCH ? malloc((u64)n * (sizeof(ev[0]) + sizeof(items[0]))) : NULL;
        if (mem) {
            b.items = mem;
            b.ev = (void *)(b.items + n);
            b.max = n;
        }
    }
    collect(ep, &b);
    s64 r = b.n;
    if (b.n > 0 && copy_out(to, b.ev, b.n * sizeof(b.ev[0])) < 0) {
        uncollect(&b);
        r = -LX_EFAULT;
    }
    free(mem);
    if (r != 0 && atomic_load(&ep->has_ready))
        wake_waiters(ep);
    return r;
}

static bool has_ready(struct eventpoll *ep)
{
    return atomic_load(&ep->has_ready);
}

s64 epoll_wait_events(struct file *f, uaddr_t to, u32 max, s64 deadline_ns)
{
    struct eventpoll *ep = f->priv;
    int r = 0;
    if (!is_epoll(f))
        return -LX_EINVAL;
    for (;;) {
        if (has_ready(ep)) {
            s64 n = collect_to_guest(ep, to, max);
            if (n != 0)
                return n;
        }
        if (r < 0 || deadline_ns == 0)
            return r == -LX_ETIMEDOUT ? 0 : r;
        struct waiter w;
        waiter_init_thread(&w, WAIT_IN);
        waitq_add_exclusive(&ep->wait, &w);
        while (!has_ready(ep) && r == 0)
            r = park_interruptible(deadline_ns);
        waitq_del(&ep->wait, &w);
    }
}

/* An epoll is readable when an item is: drops those from the list that are not. */
static u32 epoll_poll(struct file *f)
{
    struct eventpoll *ep = f->priv;
    struct list collected;
    struct item *it;
    u32 ev = 0;
    if (!has_ready(ep))
        return 0;
    MUTEX_GUARD(&ep->mutex);
    begin_collect(ep, &collected);
    while (ev == 0 && (it = pop(ep, &collected)) != NULL) {
        if (item_poll(it) == 0)
            continue;
        ev = WAIT_IN | WAIT_RDNORM;
        mutex_lock(&ep->lock);
        list_del(&it->ready_node); /* a wake may have listed it meanwhile */
        list_add_head(&collected, &it->ready_node);
        mutex_unlock(&ep->lock);
    }
    end_collect(ep, &collected);
    return ev;
}

static struct waitq *epoll_pollq(struct file *f)
{
    struct eventpoll *ep = f->priv;
    return &ep->wait;
}

/* ---- items --------------------------------------------------------------------------------- */

static int item_order(const struct file *f, int fd, const struct item *it)
{
    if (f != it->file)
        return f < it->file ? -1 : 1;
    return fd == it->fd ? 0 : fd < it->fd ? -1 : 1;
}

static struct item *find_item(struct eventpoll *ep, struct file *f, int fd) REQUIRES(ep->mutex)
{
    struct rb_node *n = ep->items.root;
    while (n) {
        struct item *it = rb_entry(n, struct item, rb);
        int c = item_order(f, fd, it);
        if (c == 0)
            return it;
        n = c < 0 ? n->left : n->right;
    }
    return NULL;
}

int epoll_watched(struct file *f, int fd, u32 nth, const void **ret_file)
{
    if (!is_epoll(f))
        return -LX_EINVAL;
    struct eventpoll *ep = f->priv;
    MUTEX_GUARD(&ep->mutex);
    for (struct rb_node *n = rb_first(&ep->items); n; n = rb_next(n)) {
        const struct item *it = rb_entry(n, struct item, rb);
        if (it->fd == fd && nth-- == 0) {
            *ret_file = it->file;
            return 0;
        }
    }
    return -LX_ENOENT;
}

static void link_item(struct eventpoll *ep, struct item *it) REQUIRES(ep->mutex)
{
    struct rb_node **link = &ep->items.root, *parent = NULL;
    while (*link) {
        parent = *link;
        link = item_order(it->file, it->fd, rb_entry(parent, struct item, rb)) < 0
                   ? &parent->left
                   : &parent->right;
    }
    rb_link(&ep->items, &it->rb, parent, link);
}

/* Reports the item when it is ready as it stands. */
static void check_item(struct item *it) REQUIRES(it->ep->mutex)
{
    if (item_poll(it) != 0 && push_ready(it))
        wake_waiters(it->ep);
}

static int add_item(struct eventpoll *ep, struct file *f, int fd, const struct lx_epoll_event *ev)
    REQUIRES(ep->mutex)
{
    if (!account_charge(&ep->user->epoll_watches, 1, sysctl_epoll_watches))
        return -LX_ENOSPC;
    struct item *it = calloc(1, sizeof(*it));
    if (!it) {
        atomic_fetch_sub(&ep->user->epoll_watches, 1);
        return -LX_ENOMEM;
    }
    it->ep = ep;
    it->file = f;
    it->fd = fd;
    it->data = ev->data;
    atomic_init(&it->events, ev->events);
    list_init(&it->ready_node);
    link_item(ep, it);
    mutex_lock(&watches_lock);
    list_add_tail(&f->epoll_items, &it->file_node);
    mutex_unlock(&watches_lock);
    waiter_init_fn(&it->waiter, WAIT_ALL, item_woken, it);
    it->q = vfs_pollq(f);
    if (it->q && (ev->events & LX_EPOLLEXCLUSIVE))
        waitq_add_exclusive(it->q, &it->waiter);
    else if (it->q)
        waitq_add(it->q, &it->waiter);
    check_item(it);
    return 0;
}

static void remove_item(struct eventpoll *ep, struct item *it) REQUIRES(ep->mutex)
{
    if (it->q)
        waitq_del(it->q, &it->waiter);
    unready(it);
    rb_erase(&ep->items, &it->rb);
    mutex_lock(&watches_lock);
    list_del(&it->file_node);
    mutex_unlock(&watches_lock);
    free(it);
    atomic_fetch_sub(&ep->user->epoll_watches, 1);
}

static struct item *first_watch(struct file *f)
{
    MUTEX_GUARD(&watches_lock);
    return list_first(&f->epoll_items, struct item, file_node);
}

/* vfs_epoll_release: f has no reference left and its release has not begun. */
static void release_watches(struct file *f)
{
    for (;;) {
        mutex_lock(&watches_lock);
        struct item *it = list_first(&f->epoll_items, struct item, file_node);
        struct eventpoll *ep = it ? it->ep : NULL;
        if (ep)
            ref_get(&ep->ref);
        mutex_unlock(&watches_lock);
        if (!ep)
            return;
        mutex_lock(&ep->mutex);
        while ((it = first_watch(f)) != NULL && it->ep == ep) /* with the mutex, it stays */
            remove_item(ep, it);
        mutex_unlock(&ep->mutex);
        ep_put(ep);
    }
}

static void epoll_release(struct file *f)
{
    struct eventpoll *ep = f->priv;
    mutex_lock(&watches_lock);
    ep->file = NULL;
    mutex_unlock(&watches_lock);
    mutex_lock(&ep->mutex);
    struct rb_node *n;
    while ((n = rb_first(&ep->items)) != NULL)
        remove_item(ep, rb_entry(n, struct item, rb));
    mutex_unlock(&ep->mutex);
    ep_put(ep);
}

/* ---- nesting ------------------------------------------------------------------------------- */

static u64 visit_gen; /* guarded by nest_lock, as the visit_* fields */

/* Epolls below ep, as levels; above MAX_NESTS when `top` is among them. */
static u32 levels_below(struct eventpoll *ep, const struct eventpoll *top, u32 depth)
    REQUIRES(nest_lock)
{
    if (ep == top || depth > MAX_NESTS)
        return MAX_NESTS + 1;
    if (ep->visit_gen == visit_gen)
        return ep->visit_levels;
    u32 levels = 0;
    mutex_lock(&ep->mutex);
    for (struct rb_node *n = rb_first(&ep->items); n && levels <= MAX_NESTS; n = rb_next(n)) {
        struct item *it = rb_entry(n, struct item, rb);
        if (is_epoll(it->file))
            levels = MAX(levels, levels_below(it->file->priv, top, depth + 1) + 1);
    }
    mutex_unlock(&ep->mutex);
    ep->visit_gen = visit_gen;
    ep->visit_levels = levels;
    return levels;
}

struct above {
    u32 levels;
    u32 npaths; /* how many epolls a wake of this one reaches; saturates */
};
#define MAX_PATHS 1000U

static struct above look_above(struct eventpoll *ep) REQUIRES(watches_lock)
{
    struct above a = {0, 1};
    struct item *it;
    if (!ep->file)
        return a;
    if (ep->visit_up_gen == visit_gen)
        return (struct above){ep->visit_up_levels, ep->visit_up_paths};
    list_for_each(it, &ep->file->epoll_items, file_node) {
        struct above o = look_above(it->ep);
        a.levels = MAX(a.levels, o.levels + 1);
        a.npaths = MIN(a.npaths + o.npaths, MAX_PATHS + 1);
    }
    ep->visit_up_gen = visit_gen;
    ep->visit_up_levels = a.levels;
    ep->visit_up_paths = a.npaths;
    return a;
}

/*
 * May ep watch the epoll `inner`? -LX_ELOOP for a loop or more than MAX_NESTS levels. One
 * wake must not fan out without bound either (-LX_EINVAL), as Linux's path limits have it.
 */
static int check_nesting(struct eventpoll *ep, struct eventpoll *inner) REQUIRES(nest_lock)
{
    visit_gen++;
    u32 below = levels_below(inner, ep, 0);
    if (below > MAX_NESTS)
        return -LX_ELOOP;
    mutex_lock(&watches_lock);
    struct above up = look_above(ep), in = look_above(inner);
    mutex_unlock(&watches_lock);
    if (below + 1 + up.levels > MAX_NESTS)
        return -LX_ELOOP;
    return up.npaths + in.npaths > MAX_PATHS ? -LX_EINVAL : 0;
}

/* ---- epoll_ctl ----------------------------------------------------------------------------- */

static int ctl_locked(struct eventpoll *ep, int op, struct file *target, int fd,
                      const struct lx_epoll_event *ev) REQUIRES(ep->mutex)
{
    struct item *it = find_item(ep, target, fd);
    struct lx_epoll_event armed = {ev->events | EV_ALWAYS, ev->data};
    switch (op) {
    case LX_EPOLL_CTL_ADD:
        return it ? -LX_EEXIST : add_item(ep, target, fd, &armed);
    case LX_EPOLL_CTL_DEL:
        if (!it)
            return -LX_ENOENT;
        remove_item(ep, it);
        return 0;
    case LX_EPOLL_CTL_MOD:
        if (!it)
            return -LX_ENOENT;
        if (atomic_load(&it->events) & LX_EPOLLEXCLUSIVE)
            return -LX_EINVAL;
        it->data = armed.data;
        atomic_store(&it->events, armed.events);
        check_item(it);
        return 0;
    default:
        return -LX_EINVAL;
    }
}

int epoll_ctl_file(struct file *f, int op, struct file *target, int fd,
                   const struct lx_epoll_event *ev)
{
    static const struct lx_epoll_event none;
    if (!target->ops->poll)
        return -LX_EPERM;
    if (f == target || !is_epoll(f))
        return -LX_EINVAL;
    if (op == LX_EPOLL_CTL_DEL)
        ev = &none;
    if (ev->events & LX_EPOLLEXCLUSIVE) {
        if (op == LX_EPOLL_CTL_MOD)
            return -LX_EINVAL;
        if (op == LX_EPOLL_CTL_ADD && (is_epoll(target) || (ev->events & ~EV_EXCL_OK)))
            return -LX_EINVAL;
    }
    struct eventpoll *ep = f->priv;
    bool is_nesting = op == LX_EPOLL_CTL_ADD && is_epoll(target);
    int r = 0;
    if (is_nesting) {
        mutex_lock(&nest_lock);
        r = check_nesting(ep, target->priv);
    }
    if (r == 0) {
        mutex_lock(&ep->mutex);
        r = ctl_locked(ep, op, target, fd, ev);
        mutex_unlock(&ep->mutex);
    }
    if (is_nesting)
        mutex_unlock(&nest_lock);
    return r;
}

/* ---- the file ------------------------------------------------------------------------------ */

static void epoll_fdinfo(struct file *f, char *buf, size_t size)
{
    struct eventpoll *ep = f->priv;
    size_t used = 0;
    MUTEX_GUARD(&ep->mutex);
    if (size > 0)
        buf[0] = '\0';
    for (struct rb_node *n = rb_first(&ep->items); n; n = rb_next(n)) {
        struct item *it = rb_entry(n, struct item, rb);
        int len = snprintf(buf + used, size - used,
                           "tfd: %8d events: %8x data: %16llx  pos:%lli ino:%llx sdev:%llx\n",
                           it->fd, atomic_load(&it->events), (unsigned long long)it->data,
                           (long long)it->file->pos, (unsigned long long)it->file->inode->ino,
                           (unsigned long long)it->file->inode->sb->dev);
        if (len < 0 || (size_t)len >= size - used) {
            buf[used] = '\0';
            return;
        }
        used += (size_t)len;
    }
}

static const struct file_ops epoll_fops = {
    .seek = noop_seek,
    .poll = epoll_poll,
    .pollq = epoll_pollq,
    .release = epoll_release,
    .show_fdinfo = epoll_fdinfo,
};

int epoll_new(u32 flags, struct file **ret_f)
{
    struct eventpoll *ep = calloc(1, sizeof(*ep));
    if (!ep)
        return -LX_ENOMEM;
    ep->user = account_get();
    if (!ep->user) {
        free(ep);
        return -LX_ENOMEM;
    }
    ref_init(&ep->ref);
    mutex_init(&ep->mutex, "epoll.mutex");
    mutex_init(&ep->lock, "epoll.lock");
    list_init(&ep->ready);
    waitq_init(&ep->wait);
    struct file *f;
    int r = file_new_anon("anon_inode:[eventpoll]", 0600, &epoll_fops, ep,
                          LX_O_RDWR | (flags & LX_O_NONBLOCK),
                          FMODE_READ | FMODE_WRITE | FMODE_NOOP_SEEK, &f);
    if (r < 0) {
        account_put(ep->user);
        free(ep);
        return r;
    }
    ep->file = f;
    *ret_f = f;
    return 0;
}

void epoll_init(void)
{
    vfs_epoll_release = release_watches;
}
