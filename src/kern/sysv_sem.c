/*
 * System V semaphores.
 *
 * A semop is tried as a whole under the set's lock; one that must wait queues a copy
 * of itself. Whoever changes values runs through the queue in order and completes
 * what has become possible, so sleepers find their operation done.
 *
 * SEM_UNDO: each process (or group of CLONE_SYSVSEM sharers) has a list of adjustments,
 * one a set. It holds the set; a removed set's are dropped with the list. At the
 * last sharer's end they are applied.
 *
 * Lock order: sem_undo_list.lock → set lock.
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "abi/sched.h"
#include "kern/ipc.h"
#include "kern/parts.h"
#include "kern/time.h"

#define SEMVMX 32767
#define SEMAEM 32767
#define MAX_SEMS      4000000U        /* of a namespace: what its memory allows */
#define MAX_UNDO_SEMS 4000000U

#define LX_SEM_UNDO 0x1000
#define GETPID   11
#define GETVAL   12
#define GETALL   13
#define GETNCNT  14
#define GETZCNT  15
#define SETVAL   16
#define SETALL   17
#define SEM_STAT 18
#define SEM_INFO 19
#define SEM_STAT_ANY 20

struct lx_sembuf {
    u16 num;
    s16 op, flg;
};

struct sem {
    s32 val;
    s32 pid;
};

struct sem_set {
    struct ipc_obj obj;      /* first; its lock guards all below */
    u32 nsems;               /* immutable */
    s64 otime;
    struct list waiters;     /* sem_waiter */
    struct list undos;       /* sem_undo.set_node */
    struct sem sems[];
};

struct sem_undo {
    struct list node;        /* in the list; guarded by its lock */
    struct list set_node;    /* guarded by the set's lock, as adj */
    struct sem_set *set;     /* counted */
    s16 adj[];
};

struct sem_undo_list {
    struct ref ref;
    struct mutex lock;
    struct list undos;       /* guarded by lock */
};

struct sem_waiter {
    struct list node;
    struct parker *parker;
    struct lx_sembuf *ops;
    u32 nops, blocked;       /* blocked: index of the operation that waits */
    struct sem_undo *undo;
    s32 pid;
    int status;              /* -LX_EINTR while it waits; then the result */
};

struct lx_semid_ds {
    struct lx_ipc_perm perm;
    s64 otime, unused1, ctime, unused2;
    u64 nsems, unused3, unused4;
};
_Static_assert(sizeof(struct lx_semid_ds) == 104, "semid64_ds");

static _Atomic u64 nundo_sems;

static struct sem_set *set_of(struct ipc_obj *o)
{
    return container_of(o, struct sem_set, obj);
}

void sem_free(struct ipc_obj *o)
{
    struct sem_set *s = set_of(o);
    atomic_fetch_sub(&o->ns->nsems, s->nsems);
    free(s);
}

/* ---- semget ---------------------------------------------------------------------------------- */

static int sem_make(struct ipc_ns *ns, const struct ipc_get *g, struct ipc_obj **ret_o)
{
    if (g->size == 0)
        return -LX_EINVAL;
    u64 limit = MIN((u64)atomic_load(&sysctl_sem[1]), (u64)MAX_SEMS);
    if (atomic_load(&ns->nsems) + g->size > limit)
        return -LX_ENOSPC;
    struct sem_set *s = calloc(1, sizeof(*s) + g->size * sizeof(s->sems[0]));
    if (!s)
        return -LX_ENOMEM;
    ipc_obj_init(&s->obj);
    list_init(&s->waiters);
    list_init(&s->undos);
    s->nsems = (u32)g->size;
    atomic_fetch_add(&ns->nsems, g->size);
    *ret_o = &s->obj;
    return 0;
}

static int sem_check(struct ipc_obj *o, const struct ipc_get *g)
{
    return g->size > set_of(o)->nsems ? -LX_EINVAL : 0;
}

s64 sem_get_call(struct task *t, s32 key, s32 nsems, u32 flags)
{
    if (nsems < 0 || nsems > atomic_load(&sysctl_sem[0]))
        return -LX_EINVAL;
    struct ipc_get g = {.ids = &ipc_ns_of(t)->sem,
                        .key = key,
                        .flags = flags,
                        .limit = (u64)atomic_load(&sysctl_sem[3]),
                        .make = sem_make,
                        .check = sem_check,
                        .size = (u64)nsems};
    return ipc_get(t, &g);
}

/* ---- operations ------------------------------------------------------------------------------ */

/* Undoes the first n operations of ops on the values. */
static void roll_back(struct sem_set *s, const struct lx_sembuf *ops, u32 n) REQUIRES(s->obj.lock)
{
    while (n-- > 0)
        s->sems[ops[n].num].val -= ops[n].op;
}

/* Whether the adjustments stay in their range. */
static bool fits_undo(const struct lx_sembuf *ops, u32 nops, const struct sem_undo *un)
{
    for (u32 i = 0; i < nops; i++) {
        s32 adj = ops[i].flg & LX_SEM_UNDO ? un->adj[ops[i].num] : 0;
        for (u32 j = 0; j <= i && (ops[i].flg & LX_SEM_UNDO); j++)
            if (ops[j].num == ops[i].num && (ops[j].flg & LX_SEM_UNDO))
                adj -= ops[j].op;
        if (adj < -SEMAEM - 1 || adj > SEMAEM)
            return false;
    }
    return true;
}

/* 0: done; 1: must wait, for ops[*ret_blocked]; negative: an error. */
static int try_ops(struct sem_set *s, const struct lx_sembuf *ops, u32 nops, struct sem_undo *un, s32 pid,
                   u32 *ret_blocked) REQUIRES(s->obj.lock)
{
    int r = 0;
    u32 i;
    for (i = 0; i < nops; i++) {
        struct sem *m = &s->sems[ops[i].num];
        s32 val = m->val + ops[i].op;
        if ((ops[i].op == 0 && m->val != 0) || val < 0) {
            *ret_blocked = i;
            r = ops[i].flg & LX_IPC_NOWAIT ? -LX_EAGAIN : 1;
            break;
        }
        if (val > SEMVMX) {
            r = -LX_ERANGE;
            break;
        }
        m->val = val;
    }
    if (r == 0 && un && !fits_undo(ops, nops, un))
        r = -LX_ERANGE;
    if (r != 0) {
        roll_back(s, ops, i);
        return r;
    }
    for (i = 0; i < nops; i++) {
        s->sems[ops[i].num].pid = pid;
        if (un && (ops[i].flg & LX_SEM_UNDO))
            un->adj[ops[i].num] = (s16)(un->adj[ops[i].num] - ops[i].op);
    }
    s->otime = ipc_now();
    return 0;
}

static void finish(struct sem_waiter *w, int status)
{
    list_del(&w->node);
    w->status = status;
    parker_wake(w->parker);
}

static bool is_altering(const struct lx_sembuf *ops, u32 nops)
{
    for (u32 i = 0; i < nops; i++)
        if (ops[i].op != 0)
            return true;
    return false;
}

/* Values have changed: completes every operation that is possible now, in the order of arrival. */
static void run_queue(struct sem_set *s) REQUIRES(s->obj.lock)
{
    struct sem_waiter *w, *tmp;
    bool is_again = true;
    while (is_again) {
        is_again = false;
        list_for_each_safe(w, tmp, &s->waiters, node) {
            u32 blocked = w->blocked;
            int r = try_ops(s, w->ops, w->nops, w->undo, w->pid, &blocked);
            w->blocked = blocked;
            if (r == 1)
                continue;
            is_again = r == 0 && is_altering(w->ops, w->nops);
            finish(w, r);
            if (is_again)
                break; /* those before it may be possible now */
        }
    }
}

/* ---- undo lists ------------------------------------------------------------------------------ */

static struct sem_undo_list *undo_list_of(struct task *t)
{
    struct sem_undo_list *l = t->sem_undo;
    if (l)
        return l;
    l = calloc(1, sizeof(*l));
    if (!l)
        return NULL;
    ref_init(&l->ref);
    mutex_init(&l->lock, "sem_undo_list");
    list_init(&l->undos);
    t->sem_undo = l;
    return l;
}

static void undo_free(struct sem_undo *un)
{
    atomic_fetch_sub(&nundo_sems, un->set->nsems);
    ipc_obj_put(&un->set->obj);
    free(un);
}

static struct sem_undo *undo_find(struct sem_undo_list *l, const struct sem_set *s) REQUIRES(l->lock)
{
    struct sem_undo *un;
    list_for_each(un, &l->undos, node)
        if (un->set == s)
            return un;
    return NULL;
}

/* Drops those of sets that are removed. */
static void undo_purge(struct sem_undo_list *l) REQUIRES(l->lock)
{
    struct sem_undo *un, *tmp;
    list_for_each_safe(un, tmp, &l->undos, node) {
        mutex_lock(&un->set->obj.lock);
        bool is_removed = un->set->obj.is_removed;
        if (is_removed)
            list_del(&un->set_node);
        mutex_unlock(&un->set->obj.lock);
        if (is_removed) {
            list_del(&un->node);
            undo_free(un);
        }
    }
}

static int undo_get(struct task *t, struct sem_set *s, struct sem_undo **ret_un)
{
    struct sem_undo_list *l = undo_list_of(t);
    if (!l)
        return -LX_ENOMEM;
    MUTEX_GUARD(&l->lock);
    struct sem_undo *un = undo_find(l, s);
    if (!un) {
        undo_purge(l);
        if (atomic_fetch_add(&nundo_sems, s->nsems) + s->nsems > MAX_UNDO_SEMS) {
            atomic_fetch_sub(&nundo_sems, s->nsems);
            return -LX_ENOSPC;
        }
        un = calloc(1, sizeof(*un) + s->nsems * sizeof(un->adj[0]));
        if (!un) {
            atomic_fetch_sub(&nundo_sems, s->nsems);
            return -LX_ENOMEM;
        }
        un->set = s;
        ref_get(&s->obj.ref);
        list_add_tail(&l->undos, &un->node);
        MUTEX_GUARD(&s->obj.lock);
        list_add_tail(&s->undos, &un->set_node);
    }
    *ret_un = un;
    return 0;
}

int sysvsem_share(struct task *parent, struct task *child)
{
    struct sem_undo_list *l = undo_list_of(parent);
    if (!l)
        return -LX_ENOMEM;
    ref_get(&l->ref);
    child->sem_undo = l;
    return 0;
}

static void apply_undo(struct sem_undo *un, s32 pid)
{
    struct sem_set *s = un->set;
    MUTEX_GUARD(&s->obj.lock);
    list_del(&un->set_node);
    if (s->obj.is_removed)
        return;
    for (u32 i = 0; i < s->nsems; i++) {
        if (un->adj[i] == 0)
            continue;
        s32 val = s->sems[i].val + un->adj[i];
        s->sems[i].val = MIN(MAX(val, 0), SEMVMX);
        s->sems[i].pid = pid;
    }
    s->otime = ipc_now();
    run_queue(s);
}

void sysvsem_exit(struct task *t)
{
    struct sem_undo_list *l = take_ptr(*(struct sem_undo_list **)(void *)&t->sem_undo);
    if (!l || !ref_put(&l->ref))
        return;
    struct sem_undo *un, *tmp;
    list_for_each_safe(un, tmp, &l->undos, node) {
        list_del(&un->node);
        apply_undo(un, ipc_own_pid(t));
        undo_free(un);
    }
    free(l);
}

/* ---- semop ----------------------------------------------------------------------------------- */

/* Sleeps until w is finished, the deadline or a signal. */
static int wait_finished(struct sem_set *s, struct sem_waiter *w, s64 deadline)
{
    for (;;) {
        int r = park_interruptible(deadline);
        MUTEX_GUARD(&s->obj.lock);
        if (list_empty(&w->node))
            return w->status;
        if (r < 0) {
            list_del(&w->node);
            return r == -LX_ETIMEDOUT ? -LX_EAGAIN : -LX_EINTR;
        }
    }
}

static int run_ops(struct task *t, struct sem_set *s, struct lx_sembuf *ops, u32 nops, s64 deadline)
{
    struct sem_undo *un = NULL;
    bool has_undo = false, is_alter = is_altering(ops, nops);
    for (u32 i = 0; i < nops; i++) {
        if (ops[i].num >= s->nsems)
            return -LX_EFBIG;
        has_undo |= (ops[i].flg & LX_SEM_UNDO) != 0;
    }
    int r = has_undo ? undo_get(t, s, &un) : 0;
    if (r < 0)
        return r;
    struct sem_waiter w = {.parker = parker_self(),
                           .ops = ops,
                           .nops = nops,
                           .undo = un,
                           .pid = ipc_own_pid(t),
                           .status = -LX_EINTR};
    {
        MUTEX_GUARD(&s->obj.lock);
        r = ipc_permitted(t, &s->obj, is_alter ? 0222 : 0444);
        if (r == 0 && s->obj.is_removed)
            r = -LX_EIDRM;
        if (r == 0)
            r = try_ops(s, ops, nops, un, w.pid, &w.blocked);
        if (r == 0 && is_alter)
            run_queue(s);
        if (r != 1)
            return r;
        list_add_tail(&s->waiters, &w.node);
    }
    return wait_finished(s, &w, deadline);
}

s64 sem_op_call(struct task *t, s32 id, uaddr_t uops, u64 nops, uaddr_t timeout)
{
    struct lx_sembuf few[16], *ops = few;
    s64 deadline = NO_DEADLINE, ns;
    struct ipc_obj *o;
    s64 r = 0;
    if (timeout.v) {
        r = copy_in_timespec(timeout, &ns);
        if (r < 0)
            return r;
        deadline = deadline_after_ns(ns);
    }
    if (nops < 1 || id < 0)
        return -LX_EINVAL;
    if (nops > (u64)atomic_load(&sysctl_sem[2]) || nops > 100000)
        return -LX_E2BIG;
    if (nops > ARRAY_SIZE(few))
        ops = calloc(nops, sizeof(*ops));
    if (!ops)
        return -LX_ENOMEM;
    r = copy_in(ops, uops, nops * sizeof(*ops));
    if (r == 0)
        r = ipc_find(&ipc_ns_of(t)->sem, id, &o);
    if (r == 0) {
        r = run_ops(t, set_of(o), ops, (u32)nops, deadline);
        ipc_obj_put(o);
    }
    if (ops != few)
        free(ops);
    return r;
}

/* ---- semctl ---------------------------------------------------------------------------------- */

static s64 sem_info(struct task *t, int cmd, uaddr_t buf)
{
    struct ipc_ns *ns = ipc_ns_of(t);
    s32 mni = (s32)atomic_load(&sysctl_sem[3]), msl = (s32)atomic_load(&sysctl_sem[0]);
    s32 mns = (s32)atomic_load(&sysctl_sem[1]);
    s32 usz = 20, aem = SEMAEM;
    if (cmd == SEM_INFO) {
        MUTEX_GUARD(&ns->sem.lock);
        usz = (s32)ns->sem.count;
        aem = (s32)atomic_load(&ns->nsems);
    }
    s32 info[10] = {mns, mni, mns, mns, msl, (s32)atomic_load(&sysctl_sem[2]),
                    (s32)atomic_load(&sysctl_sem[2]), usz, SEMVMX, aem};
    int r = copy_out(buf, info, sizeof(info));
    return r < 0 ? r : MAX(ipc_highest(&ns->sem), 0);
}

static s64 sem_stat(struct task *t, struct ipc_obj *o, int cmd, uaddr_t buf)
{
    struct sem_set *s = set_of(o);
    struct lx_semid_ds ds = {.nsems = s->nsems};
    mutex_lock(&o->lock);
    int r = cmd == SEM_STAT_ANY ? 0 : ipc_permitted(t, o, 0444);
    ipc_fill_perm(t, o, &ds.perm);
    ds.otime = s->otime;
    ds.ctime = o->ctime;
    mutex_unlock(&o->lock);
    if (r == 0)
        r = put_user(ds, buf);
    return r < 0 ? r : cmd == LX_IPC_STAT ? 0 : o->id;
}

static s64 sem_remove(struct task *t, struct ipc_obj *o)
{
    struct sem_set *s = set_of(o);
    struct sem_waiter *w, *tmp;
    {
        MUTEX_GUARD(&o->lock);
        int r = ipc_may_control(t, o);
        if (r < 0)
            return r;
        o->is_removed = true;
        list_for_each_safe(w, tmp, &s->waiters, node)
            finish(w, -LX_EIDRM);
    }
    (void)ipc_unlink(o); /* false: somebody removed it at the same time */
    return 0;
}

static s64 sem_set_perm(struct task *t, struct ipc_obj *o, uaddr_t buf)
{
    struct lx_semid_ds ds;
    int r = get_user(ds, buf);
    if (r < 0)
        return r;
    MUTEX_GUARD(&o->lock);
    r = ipc_may_control(t, o);
    return r < 0 ? r : ipc_apply_perm(t, o, &ds.perm);
}

static void clear_undos(struct sem_set *s, u32 num) REQUIRES(s->obj.lock)
{
    struct sem_undo *un;
    list_for_each(un, &s->undos, set_node)
        un->adj[num] = 0;
}

static s64 sem_setval(struct task *t, struct sem_set *s, u32 num, s32 val)
{
    if (val < 0 || val > SEMVMX)
        return -LX_ERANGE;
    MUTEX_GUARD(&s->obj.lock);
    int r = ipc_permitted(t, &s->obj, 0222);
    if (r < 0)
        return r;
    if (s->obj.is_removed)
        return -LX_EIDRM;
    s->sems[num].val = val;
    s->sems[num].pid = ipc_own_pid(t);
    clear_undos(s, num);
    s->obj.ctime = ipc_now();
    run_queue(s);
    return 0;
}

/* GETNCNT and GETZCNT: sleepers whose first impossible operation is on this semaphore. */
static s64 count_waiters(struct sem_set *s, u32 num, bool is_zero) REQUIRES(s->obj.lock)
{
    struct sem_waiter *w;
    s64 n = 0;
    list_for_each(w, &s->waiters, node) {
        const struct lx_sembuf *op = &w->ops[w->blocked];
        n += op->num == num && (op->op == 0) == is_zero;
    }
    return n;
}

static s64 sem_get_one(struct task *t, struct sem_set *s, u32 num, int cmd)
{
    s32 pid;
    {
        MUTEX_GUARD(&s->obj.lock);
        int r = ipc_permitted(t, &s->obj, 0444);
        if (r < 0)
            return r;
        if (cmd == GETVAL)
            return s->sems[num].val;
        if (cmd != GETPID)
            return count_waiters(s, num, cmd == GETZCNT);
        pid = s->sems[num].pid;
    }
    return ipc_show_pid(t, pid);
}

static s64 sem_all(struct task *t, struct sem_set *s, int cmd, uaddr_t buf)
{
    u16 *vals = calloc(s->nsems, sizeof(*vals));
    int r = vals ? 0 : -LX_ENOMEM;
    if (r == 0 && cmd == SETALL)
        r = copy_in(vals, buf, s->nsems * sizeof(*vals));
    for (u32 i = 0; r == 0 && i < s->nsems; i++)
        if (vals[i] > SEMVMX)
            r = -LX_ERANGE;
    if (r == 0) {
        MUTEX_GUARD(&s->obj.lock);
        r = ipc_permitted(t, &s->obj, cmd == SETALL ? 0222 : 0444);
        if (r == 0 && s->obj.is_removed)
            r = -LX_EIDRM;
        for (u32 i = 0; r == 0 && i < s->nsems; i++) {
            if (cmd == GETALL) {
                vals[i] = (u16)s->sems[i].val;
                continue;
            }
            s->sems[i].val = vals[i];
            s->sems[i].pid = ipc_own_pid(t);
            clear_undos(s, i);
        }
        if (r == 0 && cmd == SETALL) {
            s->obj.ctime = ipc_now();
            run_queue(s);
        }
    }
    if (r == 0 && cmd == GETALL)
        r = copy_out(buf, vals, s->nsems * sizeof(*vals));
    free(vals);
    return r;
}

static s64 sem_ctl_on(struct task *t, struct ipc_obj *o, s32 num, int cmd, u64 arg)
{
    struct sem_set *s = set_of(o);
    switch (cmd) {
    case LX_IPC_STAT:
    case SEM_STAT:
    case SEM_STAT_ANY:
        return sem_stat(t, o, cmd, uaddr(arg));
    case LX_IPC_SET:
        return sem_set_perm(t, o, uaddr(arg));
    case LX_IPC_RMID:
        return sem_remove(t, o);
    case GETALL:
    case SETALL:
        return sem_all(t, s, cmd, uaddr(arg));
    case GETPID:
    case GETVAL:
    case GETNCNT:
    case GETZCNT:
    case SETVAL:
        if (num < 0 || (u32)num >= s->nsems)
            return -LX_EINVAL;
        return cmd == SETVAL ? sem_setval(t, s, (u32)num, (s32)arg) : sem_get_one(t, s, (u32)num, cmd);
    default:
        return -LX_EINVAL;
    }
}

s64 sem_ctl_call(struct task *t, s32 id, s32 num, int cmd, u64 arg)
{
    struct ipc_ids *ids = &ipc_ns_of(t)->sem;
    struct ipc_obj *o;
    if (id < 0)
        return -LX_EINVAL;
    if (cmd == LX_IPC_INFO || cmd == SEM_INFO)
        return sem_info(t, cmd, uaddr(arg));
    s64 r = cmd == SEM_STAT || cmd == SEM_STAT_ANY ? ipc_find_slot(ids, (u32)id, &o)
                                                   : ipc_find(ids, id, &o);
    if (r < 0)
        return r;
    r = sem_ctl_on(t, o, num, cmd, arg);
    ipc_obj_put(o);
    return r;
}

bool sem_describe(struct ipc_ns *ns, u32 slot, struct sem_line *ret)
{
    struct ipc_obj *o;
    if (ipc_find_slot(&ns->sem, slot, &o) < 0)
        return false;
    struct sem_set *s = set_of(o);
    mutex_lock(&o->lock);
    *ret = (struct sem_line){o->key,  o->id,   o->mode,  o->uid,   o->gid,
                             o->cuid, o->cgid, s->nsems, s->otime, o->ctime};
    mutex_unlock(&o->lock);
    ipc_obj_put(o);
    return true;
}
