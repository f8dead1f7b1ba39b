/*
 * Priority-inheritance futexes.
 *
 * The word holds the owner's thread id; an owner without waiters locks and unlocks
 * it in user space. The first waiter comes here, sets LX_FUTEX_WAITERS (the
 * owner's unlock then comes here too) and queues on a `pi_state`, found by what
 * the address means: (mm, address) for private memory, (object, offset) for shared.
 *
 * A pi_state lives while somebody is inside a call on it. Its lock covers the
 * compare-and-exchange on the word together with the queue, so an unlock and a new
 * waiter cannot miss each other. Handing over: the unlocker writes the new
 * owner's id into the word. When the owner died, nobody has an address for the
 * word but the waiter, which writes it when it wakes.
 *
 * Ownership of a state with waiters is also remembered as a task (`owner`), to
 * pass it on when the owner ends without unlocking, and a sleeper's place as its
 * task's `pi_waiter`: from a state to its owner, to the state that one sleeps on, and
 * so on, is the chain that a new sleeper must not close (EDEADLK) and along which
 * priorities are lent. Order of waiters: real-time priority, then arrival. The host
 * runs no thread of a guest at a real-time priority, so that what is lent is only seen
 * (/proc/PID/stat), as the guest's own policies are.
 *
 * FUTEX_WAIT_REQUEUE_PI waiters queue on a pi_state of the first address (only its queue is
 * used) and are moved to that of the second, or are given its lock, by
 * FUTEX_CMP_REQUEUE_PI.
 */
#include "kern/futex.h"

#include <stdlib.h>

#include "abi/sched.h"
#include "base/wait.h"

enum pi_key_kind { KEY_MM, KEY_INODE, KEY_OBJECT };

struct pi_key {
    enum pi_key_kind kind;
    void *obj; /* struct mm, inode or mappable; counted while in a pi_state */
    u64 off;
};

struct pi_state {
    struct list node; /* guarded by pi_table_lock, as key and nusers */
    struct pi_key key;
    u32 nusers;
    struct mutex lock;
    struct list waiters; /* read under either lock, written under both, as the waiters' prio */
    struct task *owner;  /* counted; written under lock and pi_table_lock; NULL: none or unknown */
};

enum pi_wait { PI_WAITING, PI_GRANTED, PI_GRANTED_DEAD };

struct pi_waiter {
    struct list node;            /* in st->waiters */
    struct task *task;           /* the sleeper */
    struct pi_state *_Atomic st; /* changed by a requeuer that holds both locks */
    enum pi_wait state;          /* guarded by st->lock */
    u32 prio;
    bool is_requeue;    /* FUTEX_WAIT_REQUEUE_PI, not moved yet */
    struct pi_key key2; /* of is_requeue: where to; counted */
};

#define PI_BUCKETS 64
static struct mutex pi_table_lock = MUTEX_INIT("pi_table");
static struct list pi_table[PI_BUCKETS]; /* guarded by pi_table_lock */
static _Atomic u32 npi_states;           /* written under pi_table_lock */

/* ---- keys and states ----------------------------------------------------------------------- */

static int key_of(struct mm *mm, u64 addr, bool is_private, struct pi_key *ret_key)
{
    struct pi_key key = {KEY_MM, mm, addr};
    if (addr % 4 != 0)
        return -LX_EINVAL;
    if (!is_private) {
        MUTEX_GUARD(&mm->lock);
        struct vma *v = mm_find(mm, addr);
        if (!v || v->start > addr)
            return -LX_EFAULT;
        if ((v->flags & VMA_SHARED) && v->obj) {
            key.off = v->offset + (addr - v->start);
            key.kind = v->obj->ops == &file_mappable_ops ? KEY_INODE : KEY_OBJECT;
            key.obj = key.kind == KEY_INODE ? (void *)file_of_mappable(v->obj)->inode : v->obj;
        }
        /* Counted before the lock goes: an unmap may drop the last other reference. */
        if (key.kind == KEY_INODE)
            inode_get(key.obj);
        else if (key.kind == KEY_OBJECT)
            v->obj->ops->get(v->obj);
    }
    if (key.kind == KEY_MM)
        mm_get(mm);
    *ret_key = key;
    return 0;
}

static void key_put(struct pi_key *key)
{
    struct mappable *m = key->obj;
    if (!m)
        return;
    if (key->kind == KEY_MM)
        mm_put(key->obj);
    else if (key->kind == KEY_INODE)
        inode_put(key->obj);
    else
        m->ops->put(m);
    key->obj = NULL;
}

static bool key_equal(const struct pi_key *a, const struct pi_key *b)
{
    return a->kind == b->kind && a->obj == b->obj && a->off == b->off;
}

static struct list *bucket_of(const struct pi_key *key)
{
    u64 h = (((uintptr_t)key->obj >> 4) ^ (key->off >> 2)) * 0x9e3779b97f4a7c15ULL;
    struct list *b = &pi_table[(h >> 40) % PI_BUCKETS];
    if (!b->next)
        list_init(b);
    return b;
}

static struct pi_state *state_lookup(const struct pi_key *key) REQUIRES(pi_table_lock)
{
    struct pi_state *st;
    struct list *b = bucket_of(key);
    list_for_each(st, b, node) {
        if (key_equal(&st->key, key))
            return st;
    }
    return NULL;
}

/* Finds or makes the state of an address of the current mm. */
static int state_get(struct task *t, u64 addr, bool is_private, struct pi_state **ret_st)
{
    struct pi_key key;
    int r = key_of(t->mm, addr, is_private, &key);
    if (r < 0)
        return r;
    struct pi_state *fresh = calloc(1, sizeof(*fresh));
    mutex_lock(&pi_table_lock);
    struct pi_state *st = state_lookup(&key);
    if (!st && fresh) {
        st = take_ptr(fresh);
        mutex_init(&st->lock, "pi_state");
        list_init(&st->waiters);
        st->key = key;
        key.obj = NULL;
        list_add_tail(bucket_of(&st->key), &st->node);
        atomic_fetch_add(&npi_states, 1);
    }
    if (st)
        st->nusers++;
    mutex_unlock(&pi_table_lock);
    free(fresh);
    key_put(&key);
    if (!st)
        return -LX_ENOMEM;
    *ret_st = st;
    return 0;
}

static void set_owner(struct pi_state *st, struct task *owner) REQUIRES(st->lock)
{
    if (owner)
        task_get(owner);
    mutex_lock(&pi_table_lock);
    struct task *old = st->owner;
    st->owner = owner;
    mutex_unlock(&pi_table_lock);
    if (old)
        task_put(old);
}

static void state_put(struct pi_state *st)
{
    mutex_lock(&pi_table_lock);
    bool is_last = --st->nusers == 0;
    if (is_last) {
        list_del(&st->node);
        atomic_fetch_sub(&npi_states, 1);
    }
    mutex_unlock(&pi_table_lock);
    if (!is_last)
        return;
    if (st->owner)
        task_put(st->owner);
    key_put(&st->key);
    free(st);
}

bool futex_pi_has_waiters(struct task *t, u64 uaddr, bool is_private)
{
    struct pi_key key;
    bool has = false;
    if (likely(atomic_load_explicit(&npi_states, memory_order_relaxed) == 0))
        return false;
    if (key_of(t->mm, uaddr, is_private, &key) < 0)
        return false;
    mutex_lock(&pi_table_lock);
    struct pi_state *st = state_lookup(&key);
    has = st && !list_empty(&st->waiters); /* racy as Linux's answer is: a hint for misuse */
    mutex_unlock(&pi_table_lock);
    key_put(&key);
    return has;
}

/* ---- the word ------------------------------------------------------------------------------ */

static int read_word(struct task *t, u64 addr, u32 *ret)
{
    return mm_read(t->mm, addr, ret, sizeof(*ret)) == sizeof(*ret) ? 0 : -LX_EFAULT;
}

static u32 own_tid(struct task *t)
{
    return (u32)task_tid_in(t, task_pid_ns(t));
}

/* The one that a word names becomes the owner of a state that gets its first waiter. */
static int attach_owner(struct task *t, struct pi_state *st, u32 tid) REQUIRES(st->lock)
{
    if (!list_empty(&st->waiters))
        return st->owner && own_tid(st->owner) == tid ? 0 : -LX_EINVAL;
    struct task *owner = task_find(task_pid_ns(t), (s32)tid);
    if (!owner)
        return -LX_ESRCH;
    mutex_lock(&pi_table_lock);
    /* Either its exit sees us (it looks through the table under this lock), or we see it. */
    bool is_dead = atomic_load(&owner->is_futex_dead);
    struct task *old = st->owner;
    if (!is_dead)
        st->owner = owner;
    mutex_unlock(&pi_table_lock);
    if (is_dead) {
        task_put(owner);
        return -LX_ESRCH;
    }
    if (old)
        task_put(old);
    return 0;
}

/*
 * Takes the lock for `who`, or marks the word as waited for and finds the owner.
 * 1: taken; 0: must wait; negative: an error. The word is in t's memory.
 */
static int try_acquire(struct task *t, struct pi_state *st, u64 addr, struct task *who,
                       bool set_waiters) REQUIRES(st->lock)
{
    u32 tid = own_tid(who), word, seen;
    int r = read_word(t, addr, &word);
    for (; r == 0; word = seen) {
        u32 owner = word & LX_FUTEX_TID_MASK;
        if (owner == tid)
            return -LX_EDEADLK;
        bool is_free = owner == 0 && list_empty(&st->waiters);
        if (owner == 0 && !is_free)
            return -LX_EINVAL; /* the guest wrote over a word that is waited for */
        u32 want = is_free
                       ? (word & LX_FUTEX_OWNER_DIED) | tid | (set_waiters ? LX_FUTEX_WAITERS : 0)
                       : word | LX_FUTEX_WAITERS;
        r = aspace_cmpxchg_u32(t->mm->as, addr, word, want, &seen);
        if (r < 0 || seen != word)
            continue;
        if (is_free)
            return 1;
        r = attach_owner(t, st, owner);
        if (r != -LX_ESRCH)
            return r;
        /* The owner may have gone properly since we looked: only an unchanged word is an error. */
        r = read_word(t, addr, &seen);
        if (r == 0 && seen == want)
            return -LX_ESRCH;
    }
    return r;
}

static u32 waiter_prio(const struct task *t)
{
    return t->sched_policy == LX_SCHED_FIFO || t->sched_policy == LX_SCHED_RR ? t->sched_priority
                                                                              : 0;
}

/* Whoever owns a state sleeps, when it does, on the next one of the chain. */
static struct pi_state *next_in_chain(const struct pi_state *st) REQUIRES(pi_table_lock)
{
    struct pi_waiter *w = st->owner ? st->owner->pi_waiter : NULL;
    return w ? atomic_load(&w->st) : NULL;
}

/* As long as Linux follows a chain before it calls it a deadlock (kernel.max_lock_depth). */
#define PI_MAX_CHAIN 1024

/* Would `who` wait for itself? Longer chains than one may have count as such. */
static bool is_deadlock(struct pi_state *st, const struct task *who) REQUIRES(pi_table_lock)
{
    for (u32 i = 0; st && i < PI_MAX_CHAIN; i++) {
        if (st->owner == who)
            return true;
        st = next_in_chain(st);
    }
    return st != NULL;
}

static void insert_by_prio(struct pi_state *st, struct pi_waiter *w) REQUIRES(pi_table_lock)
{
    struct pi_waiter *o;
    list_for_each(o, &st->waiters, node) {
        if (o->prio < w->prio)
            break;
    }
    list_add_tail(&o->node, &w->node);
}

/* w stands in line. One that waits for the lock itself (no requeue) is a link of a chain. */
static int enqueue(struct pi_state *st, struct pi_waiter *w) REQUIRES(st->lock)
{
    MUTEX_GUARD(&pi_table_lock);
    if (!w->is_requeue) {
        if (is_deadlock(st, w->task))
            return -LX_EDEADLK;
        w->task->pi_waiter = w;
    }
    atomic_store(&w->st, st);
    insert_by_prio(st, w);
    return 0;
}

static void dequeue(struct pi_waiter *w) EXCLUDES(pi_table_lock)
{
    MUTEX_GUARD(&pi_table_lock);
    list_del(&w->node);
    w->task->pi_waiter = NULL;
}

/* An owner is known only where somebody waits. */
static void forget_unawaited_owner(struct pi_state *st) REQUIRES(st->lock)
{
    if (list_empty(&st->waiters))
        set_owner(st, NULL);
}

/* How far priorities are lent from lock to lock. */
#define PI_LENT_DEPTH 16

static bool waits_for(const struct pi_state *st, const struct task *t) REQUIRES(pi_table_lock)
{
    for (u32 i = 0; st && i < PI_LENT_DEPTH; i++) {
        if (st->owner == t)
            return true;
        st = next_in_chain(st);
    }
    return false;
}

u32 futex_pi_lent_prio(const struct task *t)
{
    u32 prio = 0;
    if (likely(atomic_load_explicit(&npi_states, memory_order_relaxed) == 0))
        return 0;
    MUTEX_GUARD(&pi_table_lock);
    for (u32 i = 0; i < PI_BUCKETS; i++) {
        struct pi_state *st;
        if (!pi_table[i].next)
            continue;
        list_for_each(st, &pi_table[i], node) {
            /* The first in line has the most to lend. */
            struct pi_waiter *w = list_first(&st->waiters, struct pi_waiter, node);
            if (!list_empty(&st->waiters) && w->prio > prio && waits_for(st, t))
                prio = w->prio;
        }
    }
    return prio;
}

/* The state that t sleeps on, counted, or NULL. */
static struct pi_state *awaited_by(const struct task *t)
{
    MUTEX_GUARD(&pi_table_lock);
    struct pi_state *st = t->pi_waiter ? atomic_load(&t->pi_waiter->st) : NULL;
    if (st)
        st->nusers++;
    return st;
}

static void reorder_in(struct pi_state *st, struct task *t) REQUIRES(st->lock)
{
    MUTEX_GUARD(&pi_table_lock);
    struct pi_waiter *w = t->pi_waiter;
    if (!w || atomic_load(&w->st) != st || w->prio == waiter_prio(t))
        return;
    w->prio = waiter_prio(t);
    list_del(&w->node);
    insert_by_prio(st, w);
}

void futex_pi_reorder(struct task *t)
{
    struct pi_state *st = awaited_by(t);
    if (!st)
        return;
    mutex_lock(&st->lock);
    reorder_in(st, t);
    mutex_unlock(&st->lock);
    state_put(st);
}

static struct pi_state *lock_state_of(struct pi_waiter *w) NO_THREAD_ANALYSIS
{
    for (;;) {
        struct pi_state *st = atomic_load(&w->st);
        mutex_lock(&st->lock); /* alive: the waiter counts as its user */
        if (atomic_load(&w->st) == st)
            return st;
        mutex_unlock(&st->lock);
    }
}

/*
 * The new owner writes itself into the word after its predecessor died. The
 * queue may have grown: keep the waiters bit.
 */
static s64 fix_word(struct task *t, u64 addr)
{
    u32 word, seen;
    int r = read_word(t, addr, &word);
    for (; r == 0; word = seen) {
        u32 want = own_tid(t) | LX_FUTEX_WAITERS | LX_FUTEX_OWNER_DIED;
        r = aspace_cmpxchg_u32(t->mm->as, addr, word, want, &seen);
        if (r < 0 || seen == word)
            break;
    }
    return r;
}

/* Sleeps until w is granted the lock of addr. Takes it out of its queue in any case. */
static s64 wait_granted(struct task *t, struct pi_waiter *w, u64 addr, struct futex_deadline dl)
{
    int r = 0;
    enum pi_wait state;
    for (;;) {
        struct pi_state *st = lock_state_of(w);
        state = w->state;
        if (state == PI_WAITING && r < 0) {
            dequeue(w);
            forget_unawaited_owner(st);
            mutex_unlock(&st->lock);
            break;
        }
        if (state == PI_GRANTED_DEAD)
            r = (int)fix_word(t, addr); /* under the lock: the next unlock must see it */
        mutex_unlock(&st->lock);
        if (state != PI_WAITING)
            return state == PI_GRANTED_DEAD ? r : 0;
        r = dl.is_real ? park_interruptible_real(dl.ns) : park_interruptible(dl.ns);
    }
    return r == -LX_ETIMEDOUT ? r : -LX_ERESTARTNOINTR;
}

/* Gives the lock to the first waiter. */
static void grant(struct pi_state *st, enum pi_wait how) REQUIRES(st->lock)
{
    struct pi_waiter *w = list_first(&st->waiters, struct pi_waiter, node);
    dequeue(w);
    set_owner(st, list_empty(&st->waiters) ? NULL : w->task);
    w->state = how;
    parker_wake(&w->task->parker);
}

/* ---- operations ---------------------------------------------------------------------------- */

s64 futex_lock_pi(struct task *t, u64 uaddr, bool is_private, struct futex_deadline dl)
{
    struct pi_state *st;
    s64 r = state_get(t, uaddr, is_private, &st);
    if (r < 0)
        return r;
    struct pi_waiter w = {.task = t, .state = PI_WAITING, .prio = waiter_prio(t)};
    mutex_lock(&st->lock);
    r = try_acquire(t, st, uaddr, t, false);
    if (r == 0) {
        r = enqueue(st, &w);
        if (r < 0)
            forget_unawaited_owner(st);
    }
    mutex_unlock(&st->lock);
    if (r == 0)
        r = wait_granted(t, &w, uaddr, dl);
    state_put(st);
    return r > 0 ? 0 : r;
}

s64 futex_trylock_pi(struct task *t, u64 uaddr, bool is_private)
{
    struct pi_state *st;
    s64 r = state_get(t, uaddr, is_private, &st);
    if (r < 0)
        return r;
    mutex_lock(&st->lock);
    r = try_acquire(t, st, uaddr, t, false);
    if (r == 0)
        forget_unawaited_owner(st);
    mutex_unlock(&st->lock);
    state_put(st);
    return r > 0 ? 0 : r == 0 ? -LX_EAGAIN : r;
}

/* The queue is not empty: hands over to its head. */
static s64 unlock_to_waiter(struct task *t, struct pi_state *st, u64 addr, u32 word)
    REQUIRES(st->lock)
{
    struct pi_waiter *w = list_first(&st->waiters, struct pi_waiter, node);
    u32 seen, want = own_tid(w->task) | LX_FUTEX_WAITERS;
    if (st->owner != t)
        return -LX_EINVAL;
    int r = aspace_cmpxchg_u32(t->mm->as, addr, word, want, &seen);
    if (r < 0)
        return r;
    if (seen != word)
        return (seen & LX_FUTEX_TID_MASK) == (word & LX_FUTEX_TID_MASK) ? -LX_EAGAIN : -LX_EINVAL;
    grant(st, PI_GRANTED);
    return 0;
}

s64 futex_unlock_pi(struct task *t, u64 uaddr, bool is_private)
{
    u32 word, seen;
    s64 r = read_word(t, uaddr, &word);
    if (r < 0)
        return r;
    if ((word & LX_FUTEX_TID_MASK) != own_tid(t))
        return -LX_EPERM;
    struct pi_state *st;
    r = state_get(t, uaddr, is_private, &st);
    if (r < 0)
        return r;
    mutex_lock(&st->lock);
    for (;;) {
        r = read_word(t, uaddr, &word);
        if (r < 0)
            break;
        if ((word & LX_FUTEX_TID_MASK) != own_tid(t)) {
            r = -LX_EPERM;
            break;
        }
        if (list_empty(&st->waiters)) {
            r = aspace_cmpxchg_u32(t->mm->as, uaddr, word, 0, &seen);
            if (r < 0 || seen == word)
                break;
        } else {
            r = unlock_to_waiter(t, st, uaddr, word);
            if (r != -LX_EAGAIN)
                break;
        }
    }
    mutex_unlock(&st->lock);
    state_put(st);
    return r;
}

static void lock_two(struct pi_state *a, struct pi_state *b) NO_THREAD_ANALYSIS
{
    mutex_lock(&MIN(a, b)->lock);
    mutex_lock(&MAX(a, b)->lock);
}

static void unlock_two(struct pi_state *a, struct pi_state *b) NO_THREAD_ANALYSIS
{
    mutex_unlock(&a->lock);
    mutex_unlock(&b->lock);
}

s64 futex_wait_requeue_pi(struct task *t, u64 uaddr, bool is_private, u32 val,
                          struct futex_deadline dl, u64 uaddr2)
{
    struct pi_state *st = NULL;
    struct pi_waiter w = {
        .task = t, .state = PI_WAITING, .prio = waiter_prio(t), .is_requeue = true};
    if (uaddr == uaddr2)
        return -LX_EINVAL;
    s64 r = key_of(t->mm, uaddr2, is_private, &w.key2);
    if (r < 0)
        return r;
    r = state_get(t, uaddr, is_private, &st);
    if (r == 0) {
        u32 word;
        mutex_lock(&st->lock);
        r = key_equal(&w.key2, &st->key) ? -LX_EINVAL : read_word(t, uaddr, &word);
        if (r == 0 && word != val)
            r = -LX_EAGAIN;
        if (r == 0)
            r = enqueue(st, &w);
        mutex_unlock(&st->lock);
    }
    if (r == 0) {
        r = wait_granted(t, &w, uaddr2, dl);
        struct pi_state *last = atomic_load(&w.st);
        if (last != st) {
            /* Moved: the wait on the first futex is over and cannot be restarted as a whole. */
            if (r == -LX_ERESTARTNOINTR)
                r = -LX_EAGAIN;
            state_put(last);
        }
    }
    if (st)
        state_put(st);
    key_put(&w.key2);
    return r;
}

/* Moves or grants the head of st1's queue. 1: done; else an error. */
static int requeue_one(struct task *t, struct pi_state *st1, struct pi_state *st2, u64 uaddr2,
                       bool set_waiters) REQUIRES(st1->lock) REQUIRES(st2->lock)
{
    struct pi_waiter *w = list_first(&st1->waiters, struct pi_waiter, node);
    if (!w->is_requeue || !key_equal(&w->key2, &st2->key))
        return -LX_EINVAL;
    int r = try_acquire(t, st2, uaddr2, w->task, set_waiters);
    if (r < 0)
        return r;
    dequeue(w);
    w->is_requeue = false;
    if (r == 0 && enqueue(st2, w) < 0) {
        w->is_requeue = true;
        (void)enqueue(st1, w); /* a requeue's wait closes no chain */
        forget_unawaited_owner(st2);
        return -LX_EDEADLK;
    }
    mutex_lock(&pi_table_lock);
    st2->nusers++; /* the waiter's, dropped when it wakes */
    mutex_unlock(&pi_table_lock);
    if (r == 1) {
        w->state = PI_GRANTED;
        atomic_store(&w->st, st2);
        parker_wake(&w->task->parker);
    }
    return 1;
}

s64 futex_cmp_requeue_pi(struct task *t, u64 uaddr, bool is_private, u32 nr_wake, u32 nr_requeue,
                         u64 uaddr2, u32 cmpval)
{
    struct pi_state *st1, *st2;
    if (nr_wake != 1 || uaddr == uaddr2 || (s32)nr_requeue < 0)
        return -LX_EINVAL;
    s64 r = state_get(t, uaddr, is_private, &st1);
    if (r < 0)
        return r;
    r = state_get(t, uaddr2, is_private, &st2);
    if (r < 0) {
        state_put(st1);
        return r;
    }
    u32 word = 0, ndone = 0;
    if (st1 == st2) {
        r = -LX_EINVAL;
    } else {
        lock_two(st1, st2);
        r = read_word(t, uaddr, &word);
        if (r == 0 && word != cmpval)
            r = -LX_EAGAIN;
        u64 nmax = (u64)nr_requeue + nr_wake;
        while (r >= 0 && ndone < nmax && !list_empty(&st1->waiters)) {
            r = requeue_one(t, st1, st2, uaddr2, nr_requeue > 0);
            ndone += r == 1;
        }
        unlock_two(st1, st2);
    }
    state_put(st1);
    state_put(st2);
    return ndone > 0 ? ndone : r;
}

/* ---- end of an owner ----------------------------------------------------------------------- */

/* A state that t owns, counted; NULL: none left. */
static struct pi_state *owned_by(struct task *t)
{
    MUTEX_GUARD(&pi_table_lock);
    for (u32 i = 0; i < PI_BUCKETS; i++) {
        struct pi_state *st;
        if (!pi_table[i].next)
            continue;
        list_for_each(st, &pi_table[i], node) {
            if (st->owner == t) {
                st->nusers++;
                return st;
            }
        }
    }
    return NULL;
}

void futex_pi_exit(struct task *t)
{
    struct pi_state *st;
    mutex_lock(&pi_table_lock);
    atomic_store(&t->is_futex_dead, true);
    mutex_unlock(&pi_table_lock);
    if (likely(atomic_load(&npi_states) == 0))
        return;
    while ((st = owned_by(t)) != NULL) {
        mutex_lock(&st->lock);
        if (st->owner == t) {
            if (list_empty(&st->waiters))
                set_owner(st, NULL);
            else
                grant(st, PI_GRANTED_DEAD);
        }
        mutex_unlock(&st->lock);
        state_put(st);
    }
}
