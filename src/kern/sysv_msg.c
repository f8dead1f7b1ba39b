/*
 * System V message queues. Senders wait for room and receivers for a message on one wait
 * queue each and look for themselves when woken; order among several is not kept, as POSIX allows.
 */
#include <stdlib.h>
#include <string.h>

#include "abi/sched.h"
#include "base/wait.h"
#include "kern/ipc.h"
#include "kern/parts.h"

#define MSG_NOERROR 010000U
#define MSG_EXCEPT  020000U
#define MSG_COPY    040000U
#define MSG_STAT     11
#define MSG_INFO     12
#define MSG_STAT_ANY 13

#define MSG_SIZE_MAX  (1UL << 20)   /* of one message, whatever kernel.msgmax says */
#define MSG_BYTES_MAX (256UL << 20) /* of a namespace: what its memory allows */

struct msg {
    struct list node;
    s64 type;
    u64 size;
    u8 text[];
};

struct msg_queue {
    struct ipc_obj obj;      /* first; its lock guards all below */
    struct list msgs;
    u64 cbytes, qnum, qbytes;
    s64 stime, rtime;
    s32 lspid, lrpid;
    struct waitq senders, receivers;
};

struct lx_msqid_ds {
    struct lx_ipc_perm perm;
    s64 stime, rtime, ctime;
    u64 cbytes, qnum, qbytes;
    s32 lspid, lrpid;
    u64 unused[2];
};
_Static_assert(sizeof(struct lx_msqid_ds) == 120, "msqid64_ds");

static struct msg_queue *queue_of(struct ipc_obj *o)
{
    return container_of(o, struct msg_queue, obj);
}

void msg_free(struct ipc_obj *o)
{
    struct msg_queue *q = queue_of(o);
    struct msg *m, *tmp;
    list_for_each_safe(m, tmp, &q->msgs, node) {
        atomic_fetch_sub(&o->ns->msg_bytes, m->size);
        atomic_fetch_sub(&o->ns->nmsgs, 1);
        free(m);
    }
    waitq_done(&q->senders);
    waitq_done(&q->receivers);
    free(q);
}

static int msg_make(struct ipc_ns *ns, const struct ipc_get *g, struct ipc_obj **ret_o)
{
    struct msg_queue *q = calloc(1, sizeof(*q));
    if (!q)
        return -LX_ENOMEM;
    ipc_obj_init(&q->obj);
    list_init(&q->msgs);
    waitq_init(&q->senders);
    waitq_init(&q->receivers);
    q->qbytes = (u64)atomic_load(&sysctl_msgmnb);
    *ret_o = &q->obj;
    return 0;
}

static int msg_check(struct ipc_obj *o, const struct ipc_get *g)
{
    return 0;
}

s64 msg_get_call(struct task *t, s32 key, u32 flags)
{
    struct ipc_get g = {.ids = &ipc_ns_of(t)->msg,
                        .key = key,
                        .flags = flags,
                        .limit = (u64)atomic_load(&sysctl_msgmni),
                        .make = msg_make,
                        .check = msg_check};
    return ipc_get(t, &g);
}

/* ---- msgsnd ---------------------------------------------------------------------------------- */

/* Queues m if there is room: 0, -LX_EAGAIN, -LX_EIDRM, -LX_EACCES. */
static int try_send(struct task *t, struct msg_queue *q, struct msg *m)
{
    MUTEX_GUARD(&q->obj.lock);
    if (q->obj.is_removed)
        return -LX_EIDRM;
    int r = ipc_permitted(t, &q->obj, 0222);
    if (r < 0)
        return r;
    if (q->cbytes + m->size > q->qbytes || q->qnum + 1 > q->qbytes)
        return -LX_EAGAIN;
    list_add_tail(&q->msgs, &m->node);
    q->cbytes += m->size;
    q->qnum++;
    atomic_fetch_add(&q->obj.ns->nmsgs, 1);
    q->lspid = ipc_own_pid(t);
    q->stime = ipc_now();
    return 0;
}

static int send_waiting(struct task *t, struct msg_queue *q, struct msg *m)
{
    int r;
    struct waiter w;
    waiter_init_thread(&w, WAIT_ALL);
    waitq_add(&q->senders, &w);
    for (;;) {
        r = try_send(t, q, m);
        if (r != -LX_EAGAIN)
            break;
        r = park_interruptible(NO_DEADLINE);
        if (r < 0) {
            r = -LX_ERESTARTNOHAND;
            break;
        }
    }
    waitq_del(&q->senders, &w);
    return r;
}

static int copy_in_msg(struct ipc_ns *ns, uaddr_t msgp, u64 size, struct msg **ret_m)
{
    s64 type;
    int r = get_user(type, msgp);
    if (r < 0)
        return r;
    if (type < 1)
        return -LX_EINVAL;
    if (atomic_fetch_add(&ns->msg_bytes, size) + size > MSG_BYTES_MAX) {
        atomic_fetch_sub(&ns->msg_bytes, size);
        return -LX_ENOMEM;
    }
    struct msg *m = malloc(sizeof(*m) + size);
    r = m ? copy_in(m->text, uaddr_add(msgp, sizeof(s64)), size) : -LX_ENOMEM;
    if (r < 0) {
        atomic_fetch_sub(&ns->msg_bytes, size);
        free(m);
        return r;
    }
    m->type = type;
    m->size = size;
    list_init(&m->node);
    *ret_m = m;
    return 0;
}

s64 msg_snd_call(struct task *t, s32 id, uaddr_t msgp, u64 size, u32 flags)
{
    struct ipc_ns *ns = ipc_ns_of(t);
    struct ipc_obj *o;
    struct msg *m;
    if (size > (u64)atomic_load(&sysctl_msgmax) || size > MSG_SIZE_MAX || id < 0)
        return -LX_EINVAL;
    int r = copy_in_msg(ns, msgp, size, &m);
    if (r < 0)
        return r;
    r = ipc_find(&ns->msg, id, &o);
    if (r == 0) {
        struct msg_queue *q = queue_of(o);
        r = try_send(t, q, m);
        if (r == -LX_EAGAIN && !(flags & LX_IPC_NOWAIT))
            r = send_waiting(t, q, m);
        if (r == 0)
            waitq_wake(&q->receivers, WAIT_ALL);
        ipc_obj_put(o);
    }
    if (r < 0) {
        atomic_fetch_sub(&ns->msg_bytes, size);
        free(m);
    }
    return r;
}

/* ---- msgrcv ---------------------------------------------------------------------------------- */

struct want {
    u64 size;
    s64 type;
    u32 flags;
};

static bool suits(const struct msg *m, const struct want *w)
{
    if (w->type == 0)
        return true;
    if (w->type < 0) /* at most this; the smallest is chosen among them */
        return m->type <= (w->type == INT64_MIN ? INT64_MAX : -w->type);
    return (m->type == w->type) == !(w->flags & MSG_EXCEPT);
}

static struct msg *choose(struct msg_queue *q, const struct want *w) REQUIRES(q->obj.lock)
{
    struct msg *m, *best = NULL;
    s64 index = 0;
    list_for_each(m, &q->msgs, node) {
        if (w->flags & MSG_COPY) {
            if (index++ == w->type)
                return m;
            continue;
        }
        if (!suits(m, w))
            continue;
        if (w->type >= 0)
            return m;
        if (!best || m->type < best->type)
            best = m;
    }
    return best;
}

/* Takes (or copies) a message: 0; -LX_ENOMSG when there is none. */
static int try_receive(struct task *t, struct msg_queue *q, const struct want *w, struct msg **ret_m)
{
    MUTEX_GUARD(&q->obj.lock);
    if (q->obj.is_removed)
        return -LX_EIDRM;
    int r = ipc_permitted(t, &q->obj, 0444);
    if (r < 0)
        return r;
    struct msg *m = choose(q, w);
    if (!m)
        return -LX_ENOMSG;
    if (m->size > w->size && !(w->flags & MSG_NOERROR))
        return -LX_E2BIG;
    if (m->size > w->size && (w->flags & MSG_COPY))
        return -LX_EINVAL;
    if (w->flags & MSG_COPY) {
        struct msg *copy = malloc(sizeof(*copy) + m->size);
        if (!copy)
            return -LX_ENOMEM;
        memcpy(copy, m, sizeof(*m) + m->size);
        *ret_m = copy;
        return 0;
    }
    list_del(&m->node);
    q->cbytes -= m->size;
    q->qnum--;
    q->lrpid = ipc_own_pid(t);
    q->rtime = ipc_now();
    atomic_fetch_sub(&q->obj.ns->msg_bytes, m->size);
    atomic_fetch_sub(&q->obj.ns->nmsgs, 1);
    *ret_m = m;
    return 0;
}

static int receive_waiting(struct task *t, struct msg_queue *q, const struct want *want,
                           struct msg **ret_m)
{
    int r;
    struct waiter w;
    waiter_init_thread(&w, WAIT_ALL);
    waitq_add(&q->receivers, &w);
    for (;;) {
        r = try_receive(t, q, want, ret_m);
        if (r != -LX_ENOMSG)
            break;
        r = park_interruptible(NO_DEADLINE);
        if (r < 0) {
            r = -LX_ERESTARTNOHAND;
            break;
        }
    }
    waitq_del(&q->receivers, &w);
    return r;
}

s64 msg_rcv_call(struct task *t, s32 id, uaddr_t msgp, u64 size, s64 type, u32 flags)
{
    struct want w = {size, type, flags};
    struct ipc_obj *o;
    struct msg *m = NULL;
    if (id < 0 || size > INT64_MAX)
        return -LX_EINVAL;
    if ((flags & MSG_COPY) && ((flags & MSG_EXCEPT) || !(flags & LX_IPC_NOWAIT)))
        return -LX_EINVAL;
    s64 r = ipc_find(&ipc_ns_of(t)->msg, id, &o);
    if (r < 0)
        return r;
    struct msg_queue *q = queue_of(o);
    r = try_receive(t, q, &w, &m);
    if (r == -LX_ENOMSG && !(flags & LX_IPC_NOWAIT))
        r = receive_waiting(t, q, &w, &m);
    if (r == 0)
        waitq_wake(&q->senders, WAIT_ALL);
    ipc_obj_put(o);
    if (r < 0)
        return r;
    u64 n = MIN(m->size, size);
    r = put_user(m->type, msgp);
    if (r == 0)
        r = copy_out(uaddr_add(msgp, sizeof(s64)), m->text, n);
    free(m);
    return r < 0 ? r : (s64)n;
}

/* ---- msgctl ---------------------------------------------------------------------------------- */

static s64 msg_info(struct task *t, int cmd, uaddr_t buf)
{
    struct ipc_ns *ns = ipc_ns_of(t);
    struct {
        s32 pool, map, max, mnb, mni, ssz, tql;
        u16 seg, pad;
    } info = {.max = (s32)atomic_load(&sysctl_msgmax),
              .mnb = (s32)atomic_load(&sysctl_msgmnb),
              .mni = (s32)atomic_load(&sysctl_msgmni),
              .ssz = 16,
              .seg = 0xffff};
    if (cmd == MSG_INFO) {
        MUTEX_GUARD(&ns->msg.lock);
        info.pool = (s32)ns->msg.count;
        info.map = (s32)MIN(atomic_load(&ns->nmsgs), (u64)INT32_MAX);
        info.tql = (s32)MIN(atomic_load(&ns->msg_bytes), (u64)INT32_MAX);
    } else {
        info.pool = (s32)(atomic_load(&sysctl_msgmni) * atomic_load(&sysctl_msgmnb) / 1024);
        info.map = info.tql = info.mnb;
    }
    int r = put_user(info, buf);
    return r < 0 ? r : MAX(ipc_highest(&ns->msg), 0);
}

static s64 msg_stat(struct task *t, struct ipc_obj *o, int cmd, uaddr_t buf)
{
    struct msg_queue *q = queue_of(o);
    struct lx_msqid_ds ds = {0};
    mutex_lock(&o->lock);
    int r = cmd == MSG_STAT_ANY ? 0 : ipc_permitted(t, o, 0444);
    ipc_fill_perm(t, o, &ds.perm);
    ds.stime = q->stime;
    ds.rtime = q->rtime;
    ds.ctime = o->ctime;
    ds.cbytes = q->cbytes;
    ds.qnum = q->qnum;
    ds.qbytes = q->qbytes;
    s32 lspid = q->lspid, lrpid = q->lrpid;
    mutex_unlock(&o->lock);
    if (r < 0)
        return r;
    ds.lspid = ipc_show_pid(t, lspid);
    ds.lrpid = ipc_show_pid(t, lrpid);
    r = put_user(ds, buf);
    return r < 0 ? r : cmd == LX_IPC_STAT ? 0 : o->id;
}

static s64 msg_set(struct task *t, struct ipc_obj *o, uaddr_t buf)
{
    struct msg_queue *q = queue_of(o);
    struct lx_msqid_ds ds;
    int r = get_user(ds, buf);
    if (r < 0)
        return r;
    bool can_raise = ns_capable(ipc_ns_of(t)->user_ns, LX_CAP_SYS_RESOURCE);
    {
        MUTEX_GUARD(&o->lock);
        r = ipc_may_control(t, o);
        if (r == 0 && ds.qbytes > (u64)atomic_load(&sysctl_msgmnb) && !can_raise)
            r = -LX_EPERM;
        if (r == 0)
            r = ipc_apply_perm(t, o, &ds.perm);
        if (r < 0)
            return r;
        q->qbytes = ds.qbytes;
    }
    waitq_wake(&q->senders, WAIT_ALL);
    waitq_wake(&q->receivers, WAIT_ALL); /* who may not read any more learns it */
    return 0;
}

static s64 msg_remove(struct task *t, struct ipc_obj *o)
{
    struct msg_queue *q = queue_of(o);
    {
        MUTEX_GUARD(&o->lock);
        int r = ipc_may_control(t, o);
        if (r < 0)
            return r;
        o->is_removed = true;
    }
    waitq_wake(&q->senders, WAIT_ALL);
    waitq_wake(&q->receivers, WAIT_ALL);
    (void)ipc_unlink(o); /* false: somebody removed it at the same time */
    return 0;
}

s64 msg_ctl_call(struct task *t, s32 id, int cmd, uaddr_t buf)
{
    struct ipc_ids *ids = &ipc_ns_of(t)->msg;
    struct ipc_obj *o;
    if (id < 0 || cmd < 0)
        return -LX_EINVAL;
    if (cmd == LX_IPC_INFO || cmd == MSG_INFO)
        return msg_info(t, cmd, buf);
    s64 r = cmd == MSG_STAT || cmd == MSG_STAT_ANY ? ipc_find_slot(ids, (u32)id, &o)
                                                   : ipc_find(ids, id, &o);
    if (r < 0)
        return r;
    switch (cmd) {
    case LX_IPC_STAT:
    case MSG_STAT:
    case MSG_STAT_ANY:
        r = msg_stat(t, o, cmd, buf);
        break;
    case LX_IPC_SET:
        r = msg_set(t, o, buf);
        break;
    case LX_IPC_RMID:
        r = msg_remove(t, o);
        break;
    default:
        r = -LX_EINVAL;
    }
    ipc_obj_put(o);
    return r;
}

bool msg_describe(struct ipc_ns *ns, u32 slot, struct msg_line *ret)
{
    struct ipc_obj *o;
    if (ipc_find_slot(&ns->msg, slot, &o) < 0)
        return false;
    struct msg_queue *q = queue_of(o);
    mutex_lock(&o->lock);
    *ret = (struct msg_line){o->key,  o->id,   q->lspid,  q->lrpid, o->mode,  o->uid,   o->gid,
                             o->cuid, o->cgid, q->cbytes, q->qnum,  q->stime, q->rtime, o->ctime};
    mutex_unlock(&o->lock);
    ipc_obj_put(o);
    return true;
}
