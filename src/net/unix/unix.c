/*
 * UNIX sockets: making and freeing, names as programs read them, readiness, ioctls, and the
 * walk over files in their queues for garbage collection. Readiness follows unix_poll and
 * unix_dgram_poll of Linux bit by bit.
 */
#include "net/unix/unix.h"

#include <stdlib.h>
#include <string.h>

#include "abi/tty.h"
#include "net/parts.h"

struct unix_ns *unix_ns_new(void)
{
    struct unix_ns *u = calloc(1, sizeof(*u));
    if (!u)
        return NULL;
    mutex_init(&u->lock, "unix_names");
    for (size_t i = 0; i < UNIX_NAME_BUCKETS; i++)
        list_init(&u->names[i]);
    return u;
}

void unix_ns_free(struct unix_ns *u)
{
    free(u);
}

struct unix_sock *unix_new(struct net_ns *ns, u16 type, int *ret_err)
{
    const struct sock_ops *ops = type == LX_SOCK_STREAM  ? &unix_stream_ops
                                 : type == LX_SOCK_DGRAM ? &unix_dgram_ops
                                                         : &unix_seqpacket_ops;
    struct unix_sock *u = calloc(1, sizeof(*u));
    if (!u) {
        *ret_err = -LX_ENOMEM;
        return NULL;
    }
    mutex_init(&u->bind_lock, "unix_bind");
    list_init(&u->name_node);
    mq_init(&u->rxq);
    list_init(&u->accept_q);
    list_init(&u->accept_node);
    list_init(&u->clients);
    list_init(&u->client_node);
    waitq_init(&u->peer_wait);
    u->backlog = (s32)net_sysctl(ns, NSYS_UNIX_QLEN);
    *ret_err = sock_init(&u->sk, ops, ns, LX_AF_UNIX, type, 0);
    if (*ret_err < 0) {
        free(u);
        return NULL;
    }
    return u;
}

int unix_create(struct net_ns *ns, s32 type, s32 protocol, struct sock **ret_sk)
{
    int r = 0;
    if (protocol && protocol != LX_PF_UNIX)
        return -LX_EPROTONOSUPPORT;
    if (type == LX_SOCK_RAW)
        type = LX_SOCK_DGRAM;
    if (type != LX_SOCK_STREAM && type != LX_SOCK_DGRAM && type != LX_SOCK_SEQPACKET)
        return -LX_ESOCKTNOSUPPORT;
    struct unix_sock *u = unix_new(ns, (u16)type, &r);
    if (u)
        *ret_sk = &u->sk;
    return r;
}

void unix_put(struct unix_sock *u)
{
    if (u)
        sock_put(&u->sk);
}

void unix_addr_put(struct unix_addr *a)
{
    if (a && ref_put(&a->ref))
        free(a);
}

static void unix_destroy(struct sock *sk)
{
    struct unix_sock *u = unix_sk(sk);
    mq_purge(&u->rxq);
    bq_put(u->rx);
    bq_put(u->tx);
    unix_addr_put(unix_addr_of(u));
    waitq_done(&u->peer_wait);
}

void unix_lock_two(struct unix_sock *a, struct unix_sock *b)
{
    if (a > b) {
        struct unix_sock *t = a;
        a = b;
        b = t;
    }
    if (a)
        mutex_lock(&a->sk.lock);
    if (b && b != a)
        mutex_lock(&b->sk.lock);
}

void unix_unlock_two(struct unix_sock *a, struct unix_sock *b)
{
    if (a)
        mutex_unlock(&a->sk.lock);
    if (b && b != a)
        mutex_unlock(&b->sk.lock);
}

struct unix_sock *unix_get_peer(struct unix_sock *u)
{
    MUTEX_GUARD(&u->sk.lock);
    if (u->peer)
        sock_get(&u->peer->sk);
    return u->peer;
}

void unix_wake_clients(struct unix_sock *u)
{
    struct unix_sock *c;
    MUTEX_GUARD(&u->sk.lock);
    list_for_each(c, &u->clients, client_node)
        waitq_wake(&c->sk.wq, WAIT_WRITABLE | WAIT_WRBAND);
}

void unix_maybe_who(struct unix_sock *u, struct unix_sock *other, struct scm *scm)
{
    if (scm->has_who)
        return;
    /* A child that nobody accepted yet may still be given SO_PASSCRED. */
    bool is_wanted = sock_has(&u->sk, SKF_PASSCRED | SKF_PASSPIDFD) ||
                     sock_has(&other->sk, SKF_PASSCRED | SKF_PASSPIDFD) ||
                     (!other->sk.ino && !sock_has(&other->sk, SKF_DEAD));
    if (!is_wanted)
        return;
    scm->who = scm_who_current_real();
    scm->has_who = true;
}

void unix_fill_name(const struct unix_addr *a, union saddr *ret, u32 *ret_len)
{
    memset(ret, 0, sizeof(*ret));
    ret->family = LX_AF_UNIX;
    *ret_len = UNIX_ADDR_MIN;
    if (a) {
        memcpy(ret, &a->un, a->len > sizeof(a->un) ? sizeof(a->un) : a->len);
        *ret_len = a->len;
    }
}

static int unix_getname(struct sock *sk, union saddr *ret, u32 *ret_len)
{
    unix_fill_name(unix_addr_of(unix_sk(sk)), ret, ret_len);
    return 0;
}

static int unix_getpeer(struct sock *sk, union saddr *ret, u32 *ret_len)
{
    struct unix_sock *peer = unix_get_peer(unix_sk(sk));
    if (!peer)
        return -LX_ENOTCONN;
    unix_fill_name(unix_addr_of(peer), ret, ret_len);
    unix_put(peer);
    return 0;
}

/* ---- readiness ----------------------------------------------------------------------------- */

static u32 poll_common(struct sock *sk)
{
    u32 mask = 0, shut = sock_shut(sk);
    if (atomic_load(&sk->err))
        mask |= WAIT_ERR;
    if (shut == SHUT_MASK)
        mask |= WAIT_HUP;
    if (shut & SHUT_RCV)
        mask |= WAIT_RDHUP | WAIT_READABLE;
    return mask;
}

static u32 unix_stream_poll(struct sock *sk)
{
    struct unix_sock *u = unix_sk(sk);
    u32 mask = poll_common(sk), state = sock_state(sk);
    if (state == SOCK_CLOSED)
        return mask | WAIT_HUP | WAIT_WRITABLE | WAIT_WRBAND;
    if (state == SOCK_LISTEN) {
        mutex_lock(&sk->lock);
        if (u->nqueued)
            mask |= WAIT_READABLE;
        mutex_unlock(&sk->lock);
        return mask;
    }
    mutex_lock(&u->rx->lock);
    if (u->rx->oob == BQ_OOB_UNREAD)
        mask |= WAIT_PRI;
    if (bq_used(u->rx))
        mask |= WAIT_READABLE;
    mutex_unlock(&u->rx->lock);
    mutex_lock(&u->tx->lock);
    if (u->tx->is_broken || bq_load(u->tx) * 4 <= u->tx->limit)
        mask |= WAIT_WRITABLE | WAIT_WRBAND;
    mutex_unlock(&u->tx->lock);
    return mask;
}

static u32 unix_msg_poll(struct sock *sk)
{
    struct unix_sock *u = unix_sk(sk);
    u32 mask = poll_common(sk), state = sock_state(sk);
    if (!mq_is_empty(&u->rxq))
        mask |= WAIT_READABLE;
    if (sk->type == LX_SOCK_SEQPACKET) {
        if (state == SOCK_CLOSED)
            mask |= WAIT_HUP;
        if (state == SOCK_LISTEN) {
            mutex_lock(&sk->lock);
            if (u->nqueued)
                mask |= WAIT_READABLE;
            mutex_unlock(&sk->lock);
            return mask;
        }
    }
    bool is_writable = (u64)atomic_load(&sk->wmem) * 4 <= (u32)sk->sndbuf;
    if (is_writable) {
        mutex_lock(&sk->lock);
        struct unix_sock *peer = u->peer;
        if (peer && peer->peer != u && unix_is_full(peer))
            is_writable = false;
        mutex_unlock(&sk->lock);
    }
    return is_writable ? mask | WAIT_WRITABLE | WAIT_WRBAND : mask;
}

/* ---- ioctl, options ------------------------------------------------------------------------ */

void unix_queue_lengths(struct unix_sock *u, u32 *ret_rx, u32 *ret_tx)
{
    u32 state = sock_state(&u->sk);
    *ret_rx = *ret_tx = 0;
    MUTEX_GUARD(&u->sk.lock);
    if (state == SOCK_LISTEN) {
        *ret_rx = u->nqueued;
        *ret_tx = (u32)u->backlog;
    } else if (u->sk.type != LX_SOCK_STREAM) {
        *ret_rx = (u32)atomic_load(&u->rxq.bytes);
        *ret_tx = atomic_load(&u->sk.wmem);
    } else if (state == SOCK_ESTABLISHED) {
        mutex_lock(&u->rx->lock);
        *ret_rx = (u32)bq_used(u->rx);
        mutex_unlock(&u->rx->lock);
        mutex_lock(&u->tx->lock);
        *ret_tx = (u32)bq_load(u->tx);
        mutex_unlock(&u->tx->lock);
    }
}

static s64 unix_ioctl(struct sock *sk, u32 cmd, u64 arg)
{
    struct unix_sock *u = unix_sk(sk);
    s32 v = 0;
    bool is_stream = sk->type == LX_SOCK_STREAM;
    switch (cmd) {
    case LX_FIONREAD: /* SIOCINQ */
        if (sock_state(sk) == SOCK_LISTEN)
            return -LX_EINVAL;
        if (is_stream && u->rx && sock_state(sk) == SOCK_ESTABLISHED) {
            mutex_lock(&u->rx->lock);
            v = (s32)bq_used(u->rx);
            mutex_unlock(&u->rx->lock);
        } else if (sk->type == LX_SOCK_SEQPACKET) {
            v = (s32)atomic_load(&u->rxq.bytes);
        } else if (!is_stream) {
            v = (s32)mq_first_size(&u->rxq);
        }
        break;
    case LX_TIOCOUTQ: /* SIOCOUTQ */
        if (sock_state(sk) == SOCK_LISTEN)
            return -LX_EINVAL;
        if (is_stream && sock_state(sk) == SOCK_ESTABLISHED) {
            mutex_lock(&u->tx->lock);
            v = (s32)bq_load(u->tx);
            mutex_unlock(&u->tx->lock);
        } else {
            v = (s32)atomic_load(&sk->wmem);
        }
        break;
    case LX_SIOCATMARK:
        if (is_stream && sock_state(sk) == SOCK_ESTABLISHED) {
            mutex_lock(&u->rx->lock);
            v = u->rx->oob != BQ_OOB_NONE && u->rx->oob_pos == u->rx->head;
            mutex_unlock(&u->rx->lock);
        }
        break;
    default:
        return -LX_ENOIOCTLCMD;
    }
    return put_user(v, uaddr(arg));
}

static void unix_opt_changed(struct sock *sk)
{
    struct unix_sock *u = unix_sk(sk);
    if (sk->type != LX_SOCK_STREAM || sock_state(sk) != SOCK_ESTABLISHED)
        return;
    mutex_lock(&u->tx->lock);
    u->tx->limit = (u32)sk->sndbuf;
    mutex_unlock(&u->tx->lock);
}

/* ---- garbage collection -------------------------------------------------------------------- */

static void files_of_bq(struct bq *q, void (*fn)(struct scm_files *, void *), void *arg)
{
    struct bq_mark *m;
    if (!q)
        return;
    MUTEX_GUARD(&q->lock);
    list_for_each(m, &q->marks, node) {
        if (m->scm.files)
            fn(m->scm.files, arg);
    }
}

static void files_of_mq(struct mq *q, void (*fn)(struct scm_files *, void *), void *arg)
{
    struct nmsg *m;
    MUTEX_GUARD(&q->lock);
    list_for_each(m, &q->msgs, node) {
        if (m->scm.files)
            fn(m->scm.files, arg);
    }
}

static void unix_for_each_files(struct sock *sk, void (*fn)(struct scm_files *, void *), void *arg)
{
    struct unix_sock *u = unix_sk(sk), *child;
    MUTEX_GUARD(&sk->lock);
    files_of_bq(u->rx, fn, arg);
    files_of_mq(&u->rxq, fn, arg);
    list_for_each(child, &u->accept_q, accept_node) {
        files_of_bq(child->rx, fn, arg);
        files_of_mq(&child->rxq, fn, arg);
    }
}

/* Nobody can reach sk any more: what waits in it is dropped, so that what it holds is closed. */
static void unix_purge(struct sock *sk)
{
    struct unix_sock *u = unix_sk(sk), *child;
    if (u->rx)
        bq_purge(u->rx);
    mq_purge(&u->rxq);
    mutex_lock(&sk->lock);
    struct list children;
    list_init(&children);
    list_splice_tail(&children, &u->accept_q);
    u->nqueued = 0;
    mutex_unlock(&sk->lock);
    while ((child = list_first(&children, struct unix_sock, accept_node))) {
        list_del(&child->accept_node);
        unix_release(&child->sk);
        unix_put(child);
    }
}

#define UNIX_COMMON_OPS                                                                            \
    .bind = unix_bind, .getname = unix_getname, .getpeer = unix_getpeer, .pair = unix_pair,        \
    .shutdown = unix_shutdown, .ioctl = unix_ioctl, .opt_changed = unix_opt_changed,               \
    .release = unix_release, .destroy = unix_destroy, .for_each_files = unix_for_each_files,       \
    .purge = unix_purge

const struct sock_ops unix_stream_ops = {
    .name = "unix_stream",
    UNIX_COMMON_OPS,
    .connect = unix_conn_connect,
    .listen = unix_listen,
    .accept = unix_accept,
    .sendmsg = unix_stream_send,
    .recvmsg = unix_stream_recv,
    .poll = unix_stream_poll,
};

const struct sock_ops unix_dgram_ops = {
    .name = "unix_dgram",
    UNIX_COMMON_OPS,
    .connect = unix_dgram_connect,
    .sendmsg = unix_dgram_send,
    .recvmsg = unix_dgram_recv,
    .poll = unix_msg_poll,
};

const struct sock_ops unix_seqpacket_ops = {
    .name = "unix_seqpacket",
    UNIX_COMMON_OPS,
    .connect = unix_conn_connect,
    .listen = unix_listen,
    .accept = unix_accept,
    .sendmsg = unix_seqpacket_send,
    .recvmsg = unix_seqpacket_recv,
    .poll = unix_msg_poll,
};
