/*
 * Record locks: POSIX (fcntl F_SETLK) and open file description locks.
 *
 * An owner's locks on one inode never overlap, and neighbours of one type are
 * one lock: a new lock swallows what it covers, trims what it cuts and joins
 * what it touches. A change needs at most two new records (the lock, and the rear part of one cut
 * in the middle), which are allocated before anything is changed.
 *
 * Deadlocks are looked for among POSIX waiters: `blocked` lists who waits and
 * for whom; a chain that leads back to the asker is EDEADLK. As Linux, chains are
 * followed for a limited number of steps, and OFD locks are not looked at.
 *
 * Lock order: locks (file_locks.lock) → blocked_mutex
 */
#include "vfs/lock_int.h"

#define MAX_CHAIN 10

struct blocked {
    struct list node; /* guarded by blocked_mutex, as the rest */
    const struct file_locks *where;
    const void *owner, *waits_for;
};

static struct mutex blocked_mutex = MUTEX_INIT("locks.blocked");
static struct list blocked_list = LIST_INIT(blocked_list); /* guarded by blocked_mutex */

static bool overlaps(const struct file_lock *l, s64 start, s64 end)
{
    return l->start <= end && start <= l->end;
}

static struct file_lock *find_conflict(struct file_locks *ls, const struct lock_range *r)
    REQUIRES(ls->lock)
{
    struct file_lock *l;
    list_for_each(l, &ls->posix, node) {
        if (l->owner != r->owner && overlaps(l, r->start, r->end) &&
            (l->is_write || r->type == LX_F_WRLCK))
            return l;
    }
    return NULL;
}

/* ---- changing the owner's ranges ----------------------------------------------------------- */

struct spare { /* records allocated beforehand */
    struct file_lock *l[2];
};

static struct file_lock *take_spare(struct spare *s)
{
    struct file_lock *l = s->l[0] ? take_ptr(s->l[0]) : take_ptr(s->l[1]);
    return l;
}

/* Cuts [start, end] out of l; a middle cut needs a spare. */
static void cut(struct file_lock *l, s64 start, s64 end, struct spare *spare)
{
    bool has_front = l->start < start, has_rear = l->end > end;
    if (has_front && has_rear) {
        struct file_lock *rear = take_spare(spare);
        struct list node = rear->node;
        *rear = *l;
        rear->node = node;
        list_init(&rear->node);
        rear->start = end + 1;
        l->end = start - 1;
        list_add_head(&l->node, &rear->node);
    } else if (has_front) {
        l->end = start - 1;
    } else if (has_rear) {
        l->start = end + 1;
    } else {
        list_del(&l->node);
        lock_free(l);
    }
}

/* True when l and [start, end] touch or overlap. */
static bool touches(const struct file_lock *l, s64 start, s64 end)
{
    bool is_after = end != INT64_MAX && l->start > end + 1;
    bool is_before = l->end != INT64_MAX && start > l->end + 1;
    return !is_after && !is_before;
}

/* Owner let something of ls go: those who waited for it look again, and wait for nobody until then. */
static void forget_waiters(struct file_locks *ls, const void *owner) REQUIRES(ls->lock)
{
    struct blocked *b, *tmp;
    MUTEX_GUARD(&blocked_mutex);
    list_for_each_safe(b, tmp, &blocked_list, node) {
        if (b->where == ls && b->waits_for == owner)
            list_del(&b->node);
    }
}

static void apply(struct file_locks *ls, const struct lock_range *r, struct spare *spare)
    REQUIRES(ls->lock)
{
    struct file_lock *l, *tmp;
    s64 start = r->start, end = r->end;
    bool is_write = r->type == LX_F_WRLCK;
    if (r->kind == LOCK_POSIX && r->type != LX_F_WRLCK)
        forget_waiters(ls, r->owner);
    list_for_each_safe(l, tmp, &ls->posix, node) {
        if (l->owner != r->owner)
            continue;
        if (r->type != LX_F_UNLCK && l->is_write == is_write && touches(l, r->start, r->end)) {
            start = MIN(start, l->start);
            end = MAX(end, l->end);
            list_del(&l->node);
            lock_free(l);
        } else if (overlaps(l, r->start, r->end)) {
            cut(l, r->start, r->end, spare);
        }
    }
    if (r->type == LX_F_UNLCK)
        return;
    l = take_spare(spare);
    l->owner = r->owner;
    l->kind = r->kind;
    l->is_write = is_write;
    l->start = start;
    l->end = end;
    l->pid = r->pid;
    list_add_tail(&ls->posix, &l->node);
}

/* ---- deadlocks ----------------------------------------------------------------------------- */

static const void *waits_for(const void *owner) REQUIRES(blocked_mutex)
{
    struct blocked *b;
    list_for_each(b, &blocked_list, node) {
        if (b->owner == owner)
            return b->waits_for;
    }
    return NULL;
}

/* Records that owner waits for holder; false when that would close a circle. */
static bool block_on(struct blocked *b, const struct file_locks *ls, const void *owner,
                     const void *holder)
{
    MUTEX_GUARD(&blocked_mutex);
    const void *o = holder;
    for (int i = 0; i < MAX_CHAIN && o; i++) {
        o = waits_for(o);
        if (o == owner)
            return false;
    }
    b->where = ls;
    b->owner = owner;
    b->waits_for = holder;
    if (list_empty(&b->node))
        list_add_tail(&blocked_list, &b->node);
    return true;
}

static void unblock(struct blocked *b)
{
    MUTEX_GUARD(&blocked_mutex);
    list_del(&b->node);
}

/* ---- the calls ----------------------------------------------------------------------------- */

/* 0: done. -LX_EAGAIN: somebody is in the way; then, with b, it is recorded whom we wait for, or
 * -LX_EDEADLK. */
static int try_lock(struct file_locks *ls, const struct lock_range *r, struct spare *spare,
                    struct blocked *b)
{
    MUTEX_GUARD(&ls->lock);
    struct file_lock *c = r->type == LX_F_UNLCK ? NULL : find_conflict(ls, r);
    if (!c) {
        apply(ls, r, spare);
        return 0;
    }
    bool is_checked = b && r->kind == LOCK_POSIX && c->kind == LOCK_POSIX;
    if (is_checked && !block_on(b, ls, r->owner, c->owner))
        return -LX_EDEADLK;
    return -LX_EAGAIN;
}

static int wait_lock(struct file_locks *ls, const struct lock_range *r, struct spare *spare)
{
    struct blocked b = {.owner = NULL};
    struct waiter w;
    int e, park = 0;
    list_init(&b.node);
    waiter_init_thread(&w, WAIT_ALL);
    waitq_add(&ls->wait, &w);
    while ((e = try_lock(ls, r, spare, &b)) == -LX_EAGAIN && park == 0)
        park = park_interruptible(NO_DEADLINE);
    waitq_del(&ls->wait, &w);
    unblock(&b);
    return e == -LX_EAGAIN ? park : e;
}

int posix_lock(struct inode *i, const struct lock_range *r, bool is_waiting)
{
    if (r->type == LX_F_UNLCK && !__atomic_load_n(&i->locks, __ATOMIC_ACQUIRE))
        return 0;
    struct file_locks *ls = locks_get(i);
    struct spare spare = {{lock_alloc(), lock_alloc()}};
    int e = -LX_ENOLCK;
    bool is_whole = r->start == 0 && r->end == INT64_MAX; /* such an unlock needs no records */
    if (ls && ((spare.l[0] && spare.l[1]) || (r->type == LX_F_UNLCK && is_whole))) {
        e = try_lock(ls, r, &spare, NULL);
        if (e == -LX_EAGAIN && is_waiting)
            e = wait_lock(ls, r, &spare);
    }
    lock_free(spare.l[0]);
    lock_free(spare.l[1]);
    if (e == 0)
        locks_wake(ls); /* an unlock, or a write lock that became a read lock */
    return e;
}

bool posix_test(struct inode *i, const struct lock_range *r, struct file_lock *ret_lock)
{
    struct file_locks *ls = __atomic_load_n(&i->locks, __ATOMIC_ACQUIRE);
    if (!ls)
        return false;
    MUTEX_GUARD(&ls->lock);
    struct file_lock *c = find_conflict(ls, r);
    if (c)
        *ret_lock = *c;
    return c != NULL;
}

void posix_drop_owner(struct file_locks *ls, const void *owner)
{
    struct file_lock *l, *tmp;
    bool has_dropped = false;
    mutex_lock(&ls->lock);
    list_for_each_safe(l, tmp, &ls->posix, node) {
        if (l->owner != owner)
            continue;
        list_del(&l->node);
        lock_free(l);
        has_dropped = true;
    }
    if (has_dropped)
        forget_waiters(ls, owner);
    mutex_unlock(&ls->lock);
    if (has_dropped)
        locks_wake(ls);
}
