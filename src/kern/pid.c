/*
 * Process numbers. A `struct pid` is one identity with a number in its
 * namespace and in each of the ancestors; a namespace maps numbers to
 * identities through a two-level table that grows as numbers are first used.
 *
 * A number is taken by pid_alloc, before the task is visible, and is free
 * again when the identity serves as no thread, process, group or session any
 * more (pid_release_if_unused). The identity itself lives on while pidfds refer to it.
 *
 * Lock order: task_lock → pidmap.lock (leaf). Identities found are good while
 * task_lock is held, or with a reference.
 */
#include <stdlib.h>

#include "base/log.h"
#include "kern/kern_int.h"

#define CHUNK_BITS   10
#define CHUNK_SIZE   (1 << CHUNK_BITS)
#define PID_LIMIT    4194304
#define NR_CHUNKS    (PID_LIMIT / CHUNK_SIZE)
#define RESERVED_PIDS 300 /* where the search begins again after pid_max */

struct pidmap {
    struct mutex lock;
    struct pid **chunks[NR_CHUNKS]; /* guarded by lock, as all below */
    s32 last;
    u32 count;
};

_Atomic s32 pid_max = 32768;
static struct pidmap root_map;
struct pid_ns root_pid_ns;

u64 ns_ino_alloc(void)
{
    static _Atomic u64 next = 0xf0000001ULL;
    return atomic_fetch_add(&next, 1);
}

/* ---- the map ------------------------------------------------------------------------------- */

static struct pid **map_slot(struct pidmap *m, s32 nr, bool is_made)
{
    if (nr <= 0 || nr >= PID_LIMIT)
        return NULL;
    struct pid ***chunk = &m->chunks[nr >> CHUNK_BITS];
    if (!*chunk) {
        if (!is_made)
            return NULL;
        *chunk = calloc(CHUNK_SIZE, sizeof(struct pid *));
        if (!*chunk)
            return NULL;
    }
    return &(*chunk)[nr & (CHUNK_SIZE - 1)];
}

static int map_take(struct pidmap *m, s32 nr, struct pid *p)
{
    struct pid **slot = map_slot(m, nr, true);
    if (!slot)
        return -LX_ENOMEM;
    if (*slot)
        return -LX_EEXIST;
    *slot = p;
    m->count++;
    return 0;
}

/* The next free number after the last one given. */
static int map_take_next(struct pidmap *m, struct pid *p, s32 *ret_nr)
{
    s32 max = atomic_load_explicit(&pid_max, memory_order_relaxed);
    s32 nr = m->last;
    for (s32 tries = 0; tries < max; tries++) {
        nr++;
        if (nr >= max)
            nr = m->last < RESERVED_PIDS ? 1 : RESERVED_PIDS;
        struct pid **slot = map_slot(m, nr, true);
        if (!slot)
            return -LX_ENOMEM;
        if (*slot)
            continue;
        *slot = p;
        m->count++;
        m->last = nr;
        *ret_nr = nr;
        return 0;
    }
    return -LX_EAGAIN;
}

static void map_drop(struct pidmap *m, s32 nr)
{
    MUTEX_GUARD(&m->lock);
    struct pid **slot = map_slot(m, nr, false);
    if (!slot || !*slot)
        panic("pid %d is not in its map", nr);
    *slot = NULL;
    m->count--;
}

/* ---- identities ---------------------------------------------------------------------------- */

void pid_get(struct pid *p)
{
    if (p)
        ref_get(&p->ref);
}

void pid_put(struct pid *p)
{
    if (!p || !ref_put(&p->ref))
        return;
    waitq_done(&p->exit_wait);
    pid_ns_put(p->ns);
    free(p);
}

static void drop_numbers(struct pid *p, u32 lowest_level)
{
    struct pid_ns *ns = p->ns;
    for (u32 i = p->level + 1; i-- > 0; ns = ns->parent) {
        if (i < lowest_level)
            break;
        if (p->nr[i] != 0)
            map_drop(ns->map, p->nr[i]);
    }
}

int pid_alloc(struct pid_ns *ns, const s32 *set_tid, u32 set_tid_count, struct pid **ret_pid)
{
    if (set_tid_count > ns->level + 1)
        return -LX_EINVAL;
    struct pid *p = calloc(1, sizeof(*p));
    if (!p)
        return -LX_ENOMEM;
    ref_init(&p->ref);
    p->level = ns->level;
    p->ns = ns;
    pid_ns_get(ns);
    list_init(&p->pgrp_members);
    list_init(&p->session_members);
    waitq_init(&p->exit_wait);

    int r = 0;
    struct pid_ns *n = ns;
    for (u32 i = 0; r == 0 && n; i++, n = n->parent) {
        s32 *nr = &p->nr[ns->level - i];
        MUTEX_GUARD(&n->map->lock);
        if (i < set_tid_count) {
            s32 want = set_tid[i];
            if (want < 1 || want >= atomic_load(&pid_max) || (want != 1 && !n->init)) {
                r = -LX_EINVAL;
            } else {
                r = map_take(n->map, want, p);
                if (r == 0)
                    *nr = want;
            }
        } else {
            s32 got = 0;
            r = map_take_next(n->map, p, &got);
            *nr = got;
        }
    }
    if (r < 0) {
        drop_numbers(p, 0);
        pid_put(p);
        return r;
    }
    *ret_pid = p;
    return 0;
}

void pid_ns_keep_first(struct pid_ns *ns)
{
    MUTEX_GUARD(&ns->map->lock);
    ns->map->last = MAX(ns->map->last, 1);
}

void pid_release_if_unused(struct pid *p) NO_THREAD_ANALYSIS
{
    if (p->task || p->tgroup || !list_empty(&p->pgrp_members) || !list_empty(&p->session_members))
        return;
    if (p->nr[0] == 0)
        return; /* done before */
    drop_numbers(p, 0);
    for (u32 i = 0; i <= p->level; i++)
        p->nr[i] = 0;
    if (kern_hooks.pid_gone)
        kern_hooks.pid_gone(p);
}

struct pid *pid_lookup(struct pid_ns *ns, s32 nr)
{
    MUTEX_GUARD(&ns->map->lock);
    struct pid **slot = map_slot(ns->map, nr, false);
    return slot ? *slot : NULL;
}

struct pid *pid_find(struct pid_ns *ns, s32 nr)
{
    rwlock_rdlock(&task_lock);
    struct pid *p = pid_lookup(ns, nr);
    pid_get(p);
    rwlock_rdunlock(&task_lock);
    return p;
}

s32 pid_nr_in(const struct pid *p, const struct pid_ns *ns)
{
    if (!p || ns->level > p->level)
        return 0;
    const struct pid_ns *n = p->ns;
    while (n->level > ns->level)
        n = n->parent;
    return n == ns ? p->nr[ns->level] : 0;
}

s32 task_tid_in(const struct task *t, const struct pid_ns *ns)
{
    return pid_nr_in(t->pid, ns);
}

s32 tgroup_pid_in(const struct tgroup *g, const struct pid_ns *ns)
{
    return pid_nr_in(g->pid, ns);
}

struct pid_ns *task_pid_ns(const struct task *t)
{
    return t->pid->ns;
}

struct task *task_find(struct pid_ns *ns, s32 tid)
{
    rwlock_rdlock(&task_lock);
    struct pid *p = pid_lookup(ns, tid);
    struct task *t = p ? p->task : NULL;
    if (t)
        task_get(t);
    rwlock_rdunlock(&task_lock);
    return t;
}

struct tgroup *tgroup_find(struct pid_ns *ns, s32 pid)
{
    rwlock_rdlock(&task_lock);
    struct pid *p = pid_lookup(ns, pid);
    struct tgroup *g = p ? p->tgroup : NULL;
    if (g)
        tgroup_get(g);
    rwlock_rdunlock(&task_lock);
    return g;
}

struct tgroup *tgroup_next(struct pid_ns *ns, s32 nr, s32 *ret_nr)
{
    struct tgroup *found = NULL;
    rwlock_rdlock(&task_lock);
    mutex_lock(&ns->map->lock);
    for (nr = MAX(nr, 1); nr < PID_LIMIT && !found; nr++) {
        struct pid **chunk = ns->map->chunks[nr >> CHUNK_BITS];
        if (!chunk) {
            nr |= CHUNK_SIZE - 1;
            continue;
        }
        struct pid *p = chunk[nr & (CHUNK_SIZE - 1)];
        if (!p || !p->tgroup)
            continue;
        found = p->tgroup;
        *ret_nr = nr;
        tgroup_get(found);
    }
    mutex_unlock(&ns->map->lock);
    rwlock_rdunlock(&task_lock);
    return found;
}

/* ---- namespaces ---------------------------------------------------------------------------- */

u32 pid_ns_count(struct pid_ns *ns)
{
    MUTEX_GUARD(&ns->map->lock);
    return ns->map->count;
}

s32 pid_ns_last(struct pid_ns *ns)
{
    MUTEX_GUARD(&ns->map->lock);
    return ns->map->last;
}

bool pid_ns_is_below(const struct pid_ns *ns, const struct pid_ns *ancestor)
{
    while (ns && ns->level > ancestor->level)
        ns = ns->parent;
    return ns == ancestor;
}

int pid_ns_new(struct pid_ns *parent, struct user_ns *uns, struct pid_ns **ret_ns)
{
    if (parent->level >= MAX_PID_LEVEL)
        return -LX_ENOSPC;
    struct pid_ns *ns = calloc(1, sizeof(*ns));
    struct pidmap *map = calloc(1, sizeof(*map));
    if (!ns || !map) {
        free(ns);
        free(map);
        return -LX_ENOMEM;
    }
    ref_init(&ns->ref);
    mutex_init(&map->lock, "pidmap");
    ns->map = map;
    ns->level = parent->level + 1;
    ns->ino = ns_ino_alloc();
    ns->parent = parent;
    pid_ns_get(parent);
    ns->user_ns = uns;
    user_ns_get(uns);
    *ret_ns = ns;
    return 0;
}

void pid_ns_get(struct pid_ns *ns)
{
    ref_get(&ns->ref);
}

void pid_ns_put(struct pid_ns *ns)
{
    while (ns && ref_put(&ns->ref)) {
        struct pid_ns *parent = ns->parent;
        for (int i = 0; i < NR_CHUNKS; i++)
            free(ns->map->chunks[i]);
        free(ns->map);
        user_ns_put(ns->user_ns);
        free(ns);
        ns = parent;
    }
}

int pid_init(void)
{
    ref_init(&root_pid_ns.ref); /* never dropped to zero */
    mutex_init(&root_map.lock, "pidmap");
    root_pid_ns.map = &root_map;
    root_pid_ns.ino = NS_INO_ROOT_PID;
    root_pid_ns.user_ns = &root_user_ns;
    return 0;
}
