/*
 * The dentry cache.
 *
 * Hashed dentries are found by (parent, name) in one table without a lock, in an
 * epoch (epoch.h): chains are singly linked and a dentry that leaves its chain
 * keeps its link until nobody can stand on it. Adding and removing takes the
 * parent's lock and the chain's.
 *
 *      lookup                    last put of an unhashed or transient one
 *   -------------> hashed, in LRU -----------> unhashed ---------------> freed
 *                  (cache holds a   unlink,               put = 0
 *                   reference)      shrink, drop
 *
 * The cache's own reference is what the LRU list owns: "unused" means that it
 * is the only one. The LRU is a clock: lookups set is_used, the hand gives each
 * dentry a second chance and frees it when it can swap the count from 1 to 0.
 * A child holds its parent, so a count of 1 also means that it has no children. A
 * transient dentry (proc) has no such reference and goes with its last user.
 *
 * A dentry's inode goes from NULL to its value once and then stays: whoever
 * holds a positive dentry can use its inode. Unlink therefore unhashes the
 * dentry and puts a new negative one in its place.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/log.h"
#include "vfs/ahead.h"
#include "vfs/dcache.h"
#include "vfs/internal.h"
#include "vfs/vfs.h"

#define MIN_BUCKETS (1U << 9)
#define MAX_BUCKETS (1U << 15)
#define NLOCKS      64

/* It grows with the number of names: a sandbox that looks at few touches one page of it. */
struct table {
    u32 nbuckets; /* a power of two, at least NLOCKS: a name's lock is the same in every table */
    struct epoch_node rcu;
    struct list *_Atomic *heads; /* immutable; they are written under the chain's lock */
};

static struct list *_Atomic first_heads[MIN_BUCKETS];
static struct table first_table = {.nbuckets = MIN_BUCKETS, .heads = first_heads};
/* Written under move_lock and all bucket_locks. */
static struct table *_Atomic table = &first_table;
static struct mutex bucket_locks[NLOCKS]; /* zero is unlocked */
static struct mutex lru_lock = MUTEX_INIT("dentry_lru");
static struct list lru = LIST_INIT(lru); /* guarded by lru_lock */
static _Atomic u32 nlru;                 /* written under lru_lock */
static struct mutex move_lock = MUTEX_INIT("dentry_move");
_Atomic u32 vfs_rename_seq;
static u64 hash_key;

u32 vfs_rename_seq_begin(void)
{
    for (;;) {
        u32 seq = atomic_load_explicit(&vfs_rename_seq, memory_order_acquire);
        if (!(seq & 1))
            return seq;
        __builtin_ia32_pause();
    }
}

/* ---- names and hashing --------------------------------------------------------------------- */

static inline u64 mix(u64 h, u64 v)
{
    __uint128_t m = (__uint128_t)(h ^ v ^ 0x9e3779b97f4a7c15ULL) * 0xd6e8feb86659fd93ULL;
    return (u64)m ^ (u64)(m >> 64);
}

u32 dentry_name_hash(const char *name, size_t size)
{
    if (unlikely(!hash_key)) {
        u64 key = 0;
        if (getrandom(&key, sizeof(key), GRND_NONBLOCK) != sizeof(key))
            key = (u64)(uintptr_t)&hash_key * 0x9e3779b97f4a7c15ULL;
        hash_key = key | 1; /* vfs_init hashes once before there are threads */
    }
    u64 h = hash_key ^ size;
    while (size >= 8) {
        u64 v;
        memcpy(&v, name, 8);
        h = mix(h, v);
        name += 8;
        size -= 8;
    }
    u64 v = 0;
    memcpy(&v, name, size);
    return (u32)mix(h, v);
}

static inline u64 place_of(const struct dentry *parent, u32 hash)
{
    return mix(hash, (uintptr_t)parent >> 4);
}

/* Its chain in the present table: for readers in an epoch and holders of the chain's lock. */
static struct list *_Atomic *bucket_of(u64 h)
{
    struct table *t = atomic_load_explicit(&table, memory_order_acquire);
    return &t->heads[h & (t->nbuckets - 1)];
}

static struct dname *dname_new(const char *name, size_t size)
{
    struct dname *n = malloc(sizeof(*n) + size + 1);
    if (!n)
        return NULL;
    ref_init(&n->ref);
    n->size = (u32)size;
    n->hash = dentry_name_hash(name, size);
    memcpy(n->s, name, size);
    n->s[size] = '\0';
    return n;
}

static void dname_free(struct epoch_node *e)
{
    free(container_of(e, struct dname, rcu));
}

static void dname_put(char *name)
{
    struct dname *n = dname_of(name);
    if (ref_put(&n->ref))
        epoch_defer(&n->rcu, dname_free);
}

static void set_name(struct dentry *d, struct dname *n)
{
    d->name = n->s;
    d->name_size = n->size;
    d->hash = n->hash;
}

/* ---- life cycle ---------------------------------------------------------------------------- */

/* Takes over the reference to n; takes one of parent's. */
static struct dentry *dentry_alloc(struct super *sb, struct dentry *parent, struct dname *n)
{
    struct dentry *d = n ? calloc(1, sizeof(*d)) : NULL;
    if (!d) {
        if (n)
            dname_put(n->s);
        return NULL;
    }
    ref_init(&d->ref);
    mutex_init(&d->lock, "dentry");
    d->sb = sb;
    list_init(&d->children);
    list_init(&d->sibling);
    list_init(&d->lru);
    list_init(&d->doomed);
    set_name(d, n);
    if (parent)
        dentry_get(parent);
    d->parent = parent ? parent : d;
    return d;
}

struct dentry *dentry_make_root(struct super *sb, struct inode *i)
{
    struct dentry *d = dentry_alloc(sb, NULL, dname_new("/", 1));
    if (!d) {
        inode_put(i);
        return NULL;
    }
    d->inode = i;
    return d;
}

struct dentry *dentry_alloc_unhashed(struct dentry *parent, const char *name, size_t size)
{
    return dentry_alloc(parent->sb, parent, dname_new(name, size));
}

void dentry_get(struct dentry *d)
{
    ref_get(&d->ref);
}

static void dentry_free(struct epoch_node *n)
{
    free(container_of(n, struct dentry, rcu));
}

/* Out of the chain; d keeps its own link for readers that stand on it. */
static void bucket_remove(struct dentry *parent, struct dentry *d)
{
    u64 h = place_of(parent, d->hash);
    MUTEX_GUARD(&bucket_locks[h % NLOCKS]);
    struct list *_Atomic *head = bucket_of(h);
    if (*head == &d->bucket) {
        *head = d->bucket.next;
        return;
    }
    for (struct list *l = *head; l; l = l->next) {
        if (l->next == &d->bucket) {
            __atomic_store_n(&l->next, d->bucket.next, __ATOMIC_RELEASE);
            return;
        }
    }
}

static void bucket_insert(struct dentry *parent, struct dentry *d)
{
    u64 h = place_of(parent, d->hash);
    MUTEX_GUARD(&bucket_locks[h % NLOCKS]);
    struct list *_Atomic *head = bucket_of(h);
    __atomic_store_n(&d->bucket.next, *head, __ATOMIC_RELAXED);
    *head = &d->bucket;
}

/* Takes d off the LRU; true when it was there: the caller then owns the cache's reference. */
static bool lru_remove(struct dentry *d)
{
    MUTEX_GUARD(&lru_lock);
    if (list_empty(&d->lru))
        return false;
    list_del(&d->lru);
    atomic_fetch_sub_explicit(&nlru, 1, memory_order_relaxed);
    return true;
}

static void unhash_locked(struct dentry *parent, struct dentry *d)
{
    if (!d->is_hashed)
        return;
    d->is_hashed = false;
    bucket_remove(parent, d);
    list_del(&d->sibling);
}

struct dentry *dentry_get_parent(struct dentry *d)
{
    for (;;) {
        epoch_enter();
        struct dentry *p = d->parent;
        bool is_live = ref_get_unless_zero(&p->ref);
        epoch_exit();
        if (is_live)
            return p; /* else d was moved away from it meanwhile */
    }
}

/* The parent of d, locked and referenced: it cannot change until it is unlocked. */
static struct dentry *lock_parent(struct dentry *d)
{
    for (;;) {
        struct dentry *p = dentry_get_parent(d);
        mutex_lock(&p->lock);
        if (d->parent == p)
            return p;
        mutex_unlock(&p->lock);
        dentry_put(p);
    }
}

struct dentry *dentry_get_place(struct dentry *d, char name[LX_NAME_MAX + 1], size_t *ret_size)
{
    struct dentry *p = lock_parent(d);
    size_t size = MIN((size_t)d->name_size, (size_t)LX_NAME_MAX);
    memcpy(name, d->name, size);
    name[size] = '\0';
    mutex_unlock(&p->lock);
    *ret_size = size;
    return p;
}

/* Leaves the cache; the cache's reference, if there was one, is dropped. The caller holds another.
 */
static void unhash(struct dentry *d)
{
    if (d->parent == d)
        return;
    struct dentry *p = lock_parent(d);
    unhash_locked(p, d);
    mutex_unlock(&p->lock);
    dentry_put(p);
    if (lru_remove(d))
        dentry_put(d);
}

/* The count is 0 and nobody can raise it. Returns the parent, whose reference is now the caller's.
 */
static struct dentry *dentry_kill(struct dentry *d)
{
    struct dentry *p = d->parent; /* stable: a move needs a reference */
    if (p != d) {
        mutex_lock(&p->lock);
        unhash_locked(p, d);
        mutex_unlock(&p->lock);
    }
    struct inode *i = d->inode;
    if (i && i->marks && atomic_load(&i->nlink) == 0 && p != d)
        vfs_notify_inode(i, LX_IN_DELETE_SELF);
    inode_put(i);
    dname_put(d->name);
    epoch_defer(&d->rcu, dentry_free);
    return p == d ? NULL : p;
}

void dentry_put(struct dentry *d)
{
    while (d && ref_put(&d->ref))
        d = dentry_kill(d); /* a loop, so that a deep path does not take a deep stack */
}

void dentry_instantiate(struct dentry *d, struct inode *i)
{
    if (d->inode)
        panic("dentry %s has an inode already", d->name);
    d->inode = i;
}

/* With what is cached below: that would keep d, and could not be found again to be freed. */
static void unhash_tree(struct dentry *d)
{
    unhash(d);
    struct inode *i = d->inode;
    if (i && mode_is_dir(i->mode))
        dentry_shrink_tree(d);
}

void dentry_drop(struct dentry *d)
{
    unhash_tree(d);
}

/* Under lru_lock, which is dropped: n were moved from lru to dead, their count to 0. */
static void end_unused(struct list *dead, u32 n) RELEASES(lru_lock)
{
    struct dentry *d;
    atomic_fetch_sub_explicit(&nlru, n, memory_order_relaxed);
    mutex_unlock(&lru_lock);
    while ((d = list_first(dead, struct dentry, lru))) {
        list_del(&d->lru);
        dentry_put(dentry_kill(d));
    }
}

void dentry_shrink(void)
{
    while (atomic_load_explicit(&nlru, memory_order_relaxed) > VFS_MAX_UNUSED_DENTRIES) {
        struct list dead;
        struct dentry *d;
        u32 nfreed = 0;
        list_init(&dead);
        mutex_lock(&lru_lock);
        for (int n = 0; n < 256 && (d = list_last(&lru, struct dentry, lru)); n++) {
            u32 one = 1;
            list_del(&d->lru);
            if (atomic_exchange_explicit(&d->is_used, false, memory_order_relaxed) ||
                !atomic_compare_exchange_strong(&d->ref.count, &one, 0)) {
                list_add_head(&lru, &d->lru);
                continue;
            }
            list_add_tail(&dead, &d->lru);
            nfreed++;
        }
        end_unused(&dead, nfreed);
        if (nfreed == 0)
            return; /* all in use, or used since the last pass: the next caller goes on */
    }
}

void dentry_forget_unused(struct super *sb)
{
    struct list dead;
    struct dentry *d, *next;
    u32 nfreed = 0;
    list_init(&dead);
    mutex_lock(&lru_lock);
    list_for_each_safe (d, next, &lru, lru) {
        u32 one = 1;
        if (d->sb != sb || !atomic_compare_exchange_strong(&d->ref.count, &one, 0))
            continue;
        list_del(&d->lru);
        list_add_tail(&dead, &d->lru);
        nfreed++;
    }
    end_unused(&dead, nfreed);
}

void dentry_shrink_tree(struct dentry *root)
{
    struct list work;
    struct dentry *d = root, *c;
    list_init(&work);
    dentry_get(root);
    while (d) {
        for (;;) {
            mutex_lock(&d->lock);
            c = list_first(&d->children, struct dentry, sibling);
            bool is_live = c && ref_get_unless_zero(&c->ref);
            if (c)
                unhash_locked(d, c);
            mutex_unlock(&d->lock);
            if (!c)
                break;
            if (!is_live)
                continue; /* somebody is freeing it */
            if (lru_remove(c))
                dentry_put(c);
            list_add_tail(&work, &c->doomed);
        }
        dentry_put(d);
        d = list_first(&work, struct dentry, doomed);
        if (d)
            list_del(&d->doomed);
    }
}

/* ---- finding ------------------------------------------------------------------------------- */

struct dentry *dentry_find_rcu(struct dentry *dir, const char *name, size_t size, u32 hash)
{
    struct list *_Atomic *head = bucket_of(place_of(dir, hash));
    for (struct list *l = atomic_load_explicit(head, memory_order_acquire); l;
         l = __atomic_load_n(&l->next, __ATOMIC_ACQUIRE)) {
        struct dentry *d = list_entry(l, struct dentry, bucket);
        if (atomic_load_explicit(&d->parent, memory_order_relaxed) != dir)
            continue;
        struct dname *n = dname_of(atomic_load_explicit(&d->name, memory_order_acquire));
        if (n->hash == hash && n->size == size && !memcmp(n->s, name, size) && d->is_hashed)
            return d;
    }
    return NULL;
}

struct dentry *dentry_peek(struct dentry *dir, const char *name, size_t size)
{
    u32 hash = dentry_name_hash(name, size);
    epoch_enter();
    for (;;) {
        u32 seq = vfs_rename_seq_begin();
        struct dentry *d = dentry_find_rcu(dir, name, size, hash);
        if (d && !ref_get_unless_zero(&d->ref))
            d = NULL; /* dying: as good as gone, and the next lookup adds a new one before it */
        if (vfs_rename_seq_retry(seq)) {
            epoch_exit();
            dentry_put(d);
            epoch_enter();
            continue;
        }
        epoch_exit();
        if (d && !dentry_is_findable(d)) {
            dentry_put(d);
            return NULL;
        }
        if (d && !atomic_load_explicit(&d->is_used, memory_order_relaxed))
            atomic_store_explicit(&d->is_used, true, memory_order_relaxed);
        return d;
    }
}

static void table_free(struct epoch_node *n)
{
    free(container_of(n, struct table, rcu));
}

/*
 * Moves all chains to a table eight times as large. Readers may lose their way
 * meanwhile, which they take for a rename and look again.
 */
static void table_grow(void) NO_THREAD_ANALYSIS
{
    MUTEX_GUARD(&move_lock);
    struct table *old = table;
    u32 n = old->nbuckets * 8;
    if (n > MAX_BUCKETS || atomic_load_explicit(&nlru, memory_order_relaxed) < 2 * old->nbuckets)
        return;
    struct table *t = calloc(1, sizeof(*t) + n * sizeof(t->heads[0]));
    if (!t)
        return; /* chains get longer */
    t->nbuckets = n;
    t->heads = (struct list * _Atomic *)(void *)(t + 1);
    atomic_fetch_add_explicit(&vfs_rename_seq, 1, memory_order_seq_cst);
    for (u32 i = 0; i < NLOCKS; i++)
        mutex_lock(&bucket_locks[i]);
    for (u32 i = 0; i < old->nbuckets; i++) {
        struct list *l = old->heads[i], *next;
        for (; l; l = next) {
            struct dentry *d = list_entry(l, struct dentry, bucket);
            struct list *_Atomic *head = &t->heads[place_of(d->parent, d->hash) & (n - 1)];
            next = l->next;
            __atomic_store_n(&l->next, *head, __ATOMIC_RELEASE);
            atomic_store_explicit(head, l, memory_order_relaxed);
        }
    }
    atomic_store_explicit(&table, t, memory_order_release);
    for (u32 i = 0; i < NLOCKS; i++)
        mutex_unlock(&bucket_locks[i]);
    atomic_fetch_add_explicit(&vfs_rename_seq, 1, memory_order_seq_cst);
    if (old != &first_table)
        epoch_defer(&old->rcu, table_free);
}

static bool is_table_full(void)
{
    struct table *t = atomic_load_explicit(&table, memory_order_relaxed);
    return t->nbuckets < MAX_BUCKETS &&
           atomic_load_explicit(&nlru, memory_order_relaxed) >= 2 * t->nbuckets;
}

/*
 * Makes d reachable under its parent. When somebody was faster, returns theirs
 * with a reference and drops d; else returns d.
 */
static struct dentry *dentry_add(struct dentry *d)
{
    struct dentry *p = d->parent;
    struct dentry *old;
    u32 seq;
    mutex_lock(&p->lock);
    epoch_enter();
    do {
        seq = vfs_rename_seq_begin();
        old = dentry_find_rcu(p, d->name, d->name_size, d->hash);
    } while (vfs_rename_seq_retry(seq));
    if (old && !ref_get_unless_zero(&old->ref))
        old = NULL;
    epoch_exit();
    if (!old) {
        list_add_head(&p->children, &d->sibling);
        d->is_hashed = true;
        bucket_insert(p, d);
    }
    mutex_unlock(&p->lock);
    if (old) {
        dentry_put(d);
        return old;
    }
    const struct dentry_ops *ops = d->sb->d_ops;
    if (ops && ops->is_transient && ops->is_transient(d))
        return d;
    dentry_get(d);
    mutex_lock(&lru_lock);
    list_add_head(&lru, &d->lru);
    atomic_fetch_add_explicit(&nlru, 1, memory_order_relaxed);
    mutex_unlock(&lru_lock);
    if (is_table_full())
        table_grow();
    return d;
}

int dentry_lookup_locked(struct dentry *dir, const char *name, size_t size, struct dentry **ret_d)
{
    struct dentry *d = dentry_peek(dir, name, size);
    if (d) {
        *ret_d = d;
        return 0;
    }
    struct inode *i = dir->inode;
    if (i->flags & INODE_DEAD)
        return -LX_ENOENT;
    if (size > LX_NAME_MAX)
        return -LX_ENAMETOOLONG;
    d = dentry_alloc(dir->sb, dir, dname_new(name, size));
    if (!d)
        return -LX_ENOMEM;
    int r = i->ops->lookup(i, d);
    if (r < 0) {
        dentry_put(d);
        return r;
    }
    struct dentry *in = dentry_add(d);
    if (in == d && d->sb->d_ops && d->sb->d_ops->cached)
        d->sb->d_ops->cached(d);
    *ret_d = in;
    return 0;
}

int dentry_lookup(struct dentry *dir, const char *name, size_t size, struct dentry **ret_d)
{
    struct dentry *d = dentry_peek(dir, name, size);
    if (d) {
        if (!(d->sb->flags & SB_REVALIDATE) || !d->sb->d_ops || !d->sb->d_ops->revalidate) {
            *ret_d = d;
            return 0;
        }
        int r = d->sb->d_ops->revalidate(d);
        if (r > 0) {
            *ret_d = d;
            return 0;
        }
        if (r == 0)
            dentry_drop(d);
        dentry_put(d);
        if (r < 0)
            return r;
    }
    struct inode *i = dir->inode;
    if (!i->ops->lookup)
        return -LX_ENOTDIR;
    bool is_served = dir->sb->flags & SB_SERVED;
    if (!is_served)
        mutex_lock(&i->lock);
    int r = dentry_lookup_locked(dir, name, size, ret_d);
    if (!is_served)
        mutex_unlock(&i->lock);
    dentry_shrink();
    return r;
}

struct dentry *dentry_prime_get(struct dentry *dir, const char *name, size_t size, struct inode *i)
{
    struct dentry *d = dentry_alloc(dir->sb, dir, dname_new(name, size));
    if (!d) {
        inode_put(i);
        return NULL;
    }
    d->inode = i;
    return dentry_add(d);
}

void dentry_prime(struct dentry *dir, const char *name, size_t size, struct inode *i)
{
    dentry_put(dentry_prime_get(dir, name, size, i));
}

bool dentry_is_ancestor(struct dentry *ancestor, struct dentry *d)
{
    epoch_enter();
    for (;;) {
        u32 seq = vfs_rename_seq_begin();
        struct dentry *p = d;
        while (p != ancestor && p->parent != p)
            p = p->parent;
        if (!vfs_rename_seq_retry(seq)) {
            epoch_exit();
            return p == ancestor;
        }
    }
}

/* ---- after the file system's change -------------------------------------------------------- */

void dentry_unlinked(struct dentry *d)
{
    struct dentry *p = d->parent;
    bool was_hashed = d->is_hashed;
    unhash_tree(d);
    if (!was_hashed || (p->sb->flags & SB_REVALIDATE) || (p->inode->flags & INODE_DEAD))
        return;
    struct dname *n = dname_of(d->name);
    ref_get(&n->ref);
    struct dentry *neg = dentry_alloc(d->sb, p, n);
    if (neg)
        dentry_put(dentry_add(neg));
}

static void lock_two(struct dentry *a, struct dentry *b)
{
    if (a == b) {
        mutex_lock(&a->lock);
        return;
    }
    mutex_lock(a < b ? &a->lock : &b->lock);
    mutex_lock(a < b ? &b->lock : &a->lock);
}

static void unlock_two(struct dentry *a, struct dentry *b)
{
    mutex_unlock(&a->lock);
    if (a != b)
        mutex_unlock(&b->lock);
}

/* Puts d under parent with name n (whose reference it takes over). Its old chain was left; what was
 * in none, because somebody takes the cache's tree apart, stays out. */
static void place(struct dentry *d, struct dentry *parent, struct dname *n, bool was_hashed)
{
    set_name(d, n);
    d->parent = parent;
    if (!was_hashed)
        return;
    list_add_head(&parent->children, &d->sibling);
    d->is_hashed = true;
    bucket_insert(parent, d);
}

/* The directories are locked and rename_lock is held, so that neither parent can change. */
void dentry_move(struct dentry *d, struct dentry *target)
{
    struct dentry *op = d->parent, *np = target->parent;
    char *old_name = d->name;
    struct dname *n = dname_of(target->name);
    unhash_tree(target);
    mutex_lock(&move_lock);
    lock_two(op, np);
    atomic_fetch_add_explicit(&vfs_rename_seq, 1, memory_order_seq_cst);
    bool was_hashed = d->is_hashed;
    unhash_locked(op, d);
    ref_get(&n->ref);
    if (op != np)
        dentry_get(np);
    place(d, np, n, was_hashed);
    atomic_fetch_add_explicit(&vfs_rename_seq, 1, memory_order_seq_cst);
    unlock_two(op, np);
    mutex_unlock(&move_lock);
    if (op != np)
        dentry_put(op);
    dname_put(old_name);
}

void dentry_exchange(struct dentry *a, struct dentry *b)
{
    struct dentry *ap = a->parent, *bp = b->parent;
    struct dname *an = dname_of(a->name), *bn = dname_of(b->name);
    mutex_lock(&move_lock);
    lock_two(ap, bp);
    atomic_fetch_add_explicit(&vfs_rename_seq, 1, memory_order_seq_cst);
    bool a_was_hashed = a->is_hashed, b_was_hashed = b->is_hashed;
    unhash_locked(ap, a);
    unhash_locked(bp, b);
    place(a, bp, bn, a_was_hashed); /* the references to parents and names change hands */
    place(b, ap, an, b_was_hashed);
    atomic_fetch_add_explicit(&vfs_rename_seq, 1, memory_order_seq_cst);
    unlock_two(ap, bp);
    mutex_unlock(&move_lock);
}
