/* Message queues; the contract is in the header. */
#include "net/mq.h"

#include <stdlib.h>
#include <string.h>

#define SKB_SIZE     256U /* sizeof(struct sk_buff), aligned */
#define SKB_OVERHEAD 384U /* headroom and skb_shared_info */

u32 nmsg_truesize(u32 size)
{
    u32 need = size + SKB_OVERHEAD;
    if (need > 16384)
        return SKB_SIZE + (u32)page_up(need);
    u32 slab = 512;
    while (slab < need)
        slab *= 2;
    return SKB_SIZE + slab;
}

struct nmsg *nmsg_new(u32 size, struct sock *owner)
{
    u32 truesize = nmsg_truesize(size);
    if (!net_mem_charge(truesize))
        return NULL;
    struct nmsg *m = malloc(sizeof(*m) + size);
    if (!m) {
        net_mem_uncharge(truesize);
        return NULL;
    }
    memset(m, 0, sizeof(*m));
    list_init(&m->node);
    m->size = size;
    m->truesize = truesize;
    scm_init(&m->scm);
    if (owner) {
        sock_get(owner);
        m->owner = owner;
        atomic_fetch_add(&owner->wmem, truesize);
    }
    return m;
}

void nmsg_free(struct nmsg *m)
{
    if (!m)
        return;
    struct sock *owner = m->owner;
    if (owner) {
        u32 left = atomic_fetch_sub(&owner->wmem, m->truesize) - m->truesize;
        if ((u64)left * 4 <= (u32)owner->sndbuf)
            waitq_wake(&owner->wq, WAIT_WRITABLE | WAIT_WRBAND);
        sock_put(owner);
    }
    scm_done(&m->scm);
    if (m->free_cb)
        m->free_cb(m);
    net_mem_uncharge(m->truesize);
    free(m);
}

void mq_init(struct mq *q)
{
    mutex_init(&q->rlock, "mq_rlock");
    mutex_init(&q->lock, "mq");
    list_init(&q->msgs);
}

void mq_push_locked(struct mq *q, struct nmsg *m)
{
    list_add_tail(&q->msgs, &m->node);
    atomic_fetch_add(&q->bytes, m->size);
    atomic_fetch_add(&q->count, 1);
}

void mq_push(struct mq *q, struct nmsg *m)
{
    MUTEX_GUARD(&q->lock);
    mq_push_locked(q, m);
}

void mq_remove_locked(struct mq *q, struct nmsg *m)
{
    list_del(&m->node);
    atomic_fetch_sub(&q->bytes, m->size);
    atomic_fetch_sub(&q->count, 1);
}

struct nmsg *mq_pop(struct mq *q)
{
    if (mq_is_empty(q))
        return NULL;
    MUTEX_GUARD(&q->rlock);
    MUTEX_GUARD(&q->lock);
    struct nmsg *m = list_first(&q->msgs, struct nmsg, node);
    if (m)
        mq_remove_locked(q, m);
    return m;
}

void mq_purge(struct mq *q)
{
    struct nmsg *m;
    while ((m = mq_pop(q)))
        nmsg_free(m);
}

u32 mq_first_size(struct mq *q)
{
    MUTEX_GUARD(&q->lock);
    struct nmsg *m = list_first(&q->msgs, struct nmsg, node);
    return m ? m->size : 0;
}

/* The message in which a peek at `off` begins; *off becomes the place in it. */
static struct nmsg *find_at(struct mq *q, u64 *off)
{
    struct nmsg *m;
    list_for_each(m, &q->msgs, node) {
        if (*off == 0 || *off < m->size)
            return m;
        *off -= m->size;
    }
    return NULL;
}

int mq_take(struct mq *q, bool is_peek, u64 off, u64 want,
            void (*dup_cb)(struct nmsg *copy, const struct nmsg *from), struct nmsg **ret_m,
            u64 *ret_skip)
{
    *ret_m = NULL;
    *ret_skip = 0;
    if (!is_peek) {
        *ret_m = mq_pop(q);
        return 0;
    }
    struct nmsg *copy = NULL;
    int r = 0;
    mutex_lock(&q->rlock);
    mutex_lock(&q->lock);
    struct nmsg *m = find_at(q, &off);
    mutex_unlock(&q->lock);
    if (m) {
        u32 n = (u32)MIN(want, m->size - off);
        /* Only the part that is asked for; charged like any message, freed within this call. */
        copy = nmsg_new(n, NULL);
        r = copy ? scm_peek(&m->scm, &copy->scm) : -LX_ENOBUFS;
        if (r == 0) {
            memcpy(copy->data, m->data + off, n);
            copy->size = m->size;
            copy->stamp_ns = m->stamp_ns;
            if (dup_cb)
                dup_cb(copy, m);
        }
    }
    mutex_unlock(&q->rlock);
    if (r < 0) {
        nmsg_free(copy);
        return r;
    }
    *ret_m = copy;
    *ret_skip = off;
    return 0;
}

s64 nmsg_copy_out(const struct nmsg *msg, struct smsg *m, u64 skip)
{
    u64 have = msg->size - skip, n = MIN(have, m->uio->left);
    bool is_copy = m->flags & LX_MSG_PEEK; /* holds only the bytes from skip on */
    if (n < have)
        m->ret_flags |= LX_MSG_TRUNC;
    if (n > 0) {
        s64 r = uio_copy_to(m->uio, msg->data + (is_copy ? 0 : skip), n);
        if (r < 0 || (u64)r < n)
            return -LX_EFAULT;
    }
    return (s64)(m->flags & LX_MSG_TRUNC ? have : n);
}
