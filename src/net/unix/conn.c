/*
 * UNIX connections: listening, connecting, accepting, pairs, shutdown and the end of a sock.
 *
 * connect makes the server's side and queues it on the listener; the client may write at
 * once. A child that is still queued when its listener closes is released with the listener,
 * and its client reads ECONNRESET.
 */
#include <stdlib.h>

#include "net/unix/unix.h"

#define PEER_WOKEN WAIT_WRITABLE

int unix_listen(struct sock *sk, s32 backlog)
{
    struct unix_sock *u = unix_sk(sk);
    if (!unix_addr_of(u))
        return -LX_EINVAL;
    mutex_lock(&sk->lock);
    u32 state = sock_state(sk);
    bool is_ok = state == SOCK_CLOSED || state == SOCK_LISTEN;
    if (is_ok) {
        bool is_more = backlog > u->backlog;
        u->backlog = backlog;
        sock_set_state(sk, SOCK_LISTEN);
        sock_set_peercred_current(sk); /* what connecting clients see as their peer */
        mutex_unlock(&sk->lock);
        if (is_more)
            waitq_wake(&u->peer_wait, PEER_WOKEN);
        return 0;
    }
    mutex_unlock(&sk->lock);
    return -LX_EINVAL;
}

static bool has_backlog_room(struct unix_sock *u)
{
    MUTEX_GUARD(&u->sk.lock);
    return sock_state(&u->sk) != SOCK_LISTEN || (s64)u->nqueued <= u->backlog ||
           sock_shut(&u->sk) & SHUT_RCV;
}

/* Gives both ends their queues: rx of one is tx of the other. */
static int make_queues(struct unix_sock *a, struct unix_sock *b)
{
    struct bq *ab = bq_new((u32)a->sk.sndbuf), *ba = bq_new((u32)b->sk.sndbuf);
    if (!ab || !ba) {
        bq_put(ab);
        bq_put(ba);
        return -LX_ENOMEM;
    }
    bq_get(ab);
    bq_get(ba);
    a->tx = ab;
    b->rx = ab;
    a->rx = ba;
    b->tx = ba;
    return 0;
}

/* Each refers to the other. REQUIRES both locks. */
static void marry(struct unix_sock *a, struct unix_sock *b)
{
    sock_get(&a->sk);
    sock_get(&b->sk);
    a->peer = b;
    b->peer = a;
    sock_set_state(&a->sk, SOCK_ESTABLISHED);
    sock_set_state(&b->sk, SOCK_ESTABLISHED);
}

/* REQUIRES both locks. 0; -LX_EAGAIN: the backlog is full; others are final. */
static int try_connect(struct unix_sock *u, struct unix_sock *other, struct unix_sock *child)
{
    if (sock_state(&other->sk) != SOCK_LISTEN || sock_shut(&other->sk) & SHUT_RCV)
        return -LX_ECONNREFUSED;
    if ((s64)other->nqueued > other->backlog)
        return -LX_EAGAIN;
    if (sock_state(&u->sk) == SOCK_ESTABLISHED)
        return -LX_EISCONN;
    if (sock_state(&u->sk) != SOCK_CLOSED)
        return -LX_EINVAL;
    if (u->sk.type == LX_SOCK_STREAM) {
        int r = make_queues(u, child);
        if (r < 0)
            return r;
    }
    struct unix_addr *a = unix_addr_of(other);
    if (a)
        ref_get(&a->ref);
    atomic_store_explicit(&child->addr, a, memory_order_release);
    sock_set_peercred_current(&child->sk);
    sock_copy_peercred(&u->sk, &other->sk);
    marry(u, child);
    sock_get(&child->sk); /* the queue's */
    list_add_tail(&other->accept_q, &child->accept_node);
    other->nqueued++;
    return 0;
}

int unix_conn_connect(struct sock *sk, const union saddr *addr, u32 len, bool is_nonblock)
{
    struct unix_sock *u = unix_sk(sk), *other;
    s64 deadline = sock_send_deadline(sk, is_nonblock);
    int r = unix_check_addr(addr, len);
    if (r == 0 && sock_has(sk, SKF_PASSCRED | SKF_PASSPIDFD) && !unix_addr_of(u))
        r = unix_autobind(u);
    if (r < 0)
        return r;
    for (;;) {
        r = unix_find(u, addr, len, &other);
        if (r < 0)
            return r;
        struct unix_sock *child = unix_new(other->sk.ns, sk->type, &r);
        if (!child) {
            unix_put(other);
            return r;
        }
        if (other == u) { /* a listener that calls itself */
            r = sock_state(sk) == SOCK_LISTEN ? -LX_EINVAL : -LX_ECONNREFUSED;
        } else {
            unix_lock_two(u, other);
            r = try_connect(u, other, child);
            unix_unlock_two(u, other);
        }
        if (r == 0)
            waitq_wake_n(&other->sk.wq, WAIT_READABLE, 1);
        unix_put(child);
        if (r == -LX_EAGAIN && deadline) {
            r = wait_event_interruptible(&other->peer_wait, PEER_WOKEN, has_backlog_room(other),
                                         deadline);
            r = r == 0 ? 1 : sock_wait_error(r, deadline);
        }
        unix_put(other);
        if (r <= 0)
            return r;
    }
}

/* Takes the first child off the queue, or NULL. *ret_err: why there can be none. */
static struct unix_sock *next_child(struct unix_sock *u, int *ret_err)
{
    struct unix_sock *child = NULL;
    bool is_room;
    mutex_lock(&u->sk.lock);
    *ret_err = 0;
    if (sock_state(&u->sk) != SOCK_LISTEN)
        *ret_err = -LX_EINVAL;
    else
        child = list_first(&u->accept_q, struct unix_sock, accept_node);
    if (child) {
        list_del(&child->accept_node);
        u->nqueued--;
    } else if (sock_shut(&u->sk) & SHUT_RCV) {
        *ret_err = -LX_EINVAL;
    }
    is_room = child && (s64)u->nqueued <= u->backlog;
    mutex_unlock(&u->sk.lock);
    if (is_room)
        waitq_wake(&u->peer_wait, PEER_WOKEN);
    return child;
}

int unix_accept(struct sock *sk, bool is_nonblock, struct sock **ret_child)
{
    struct unix_sock *u = unix_sk(sk), *child;
    s64 deadline = sock_recv_deadline(sk, is_nonblock);
    struct waiter w;
    int err, r = 0;
    child = next_child(u, &err);
    if (!child && !err && !deadline)
        return -LX_EAGAIN;
    if (!child && !err) {
        waiter_init_thread(&w, WAIT_READABLE | WAIT_HUP);
        waitq_add_exclusive(&sk->wq, &w);
        while (!(child = next_child(u, &err)) && !err) {
            r = park_interruptible(deadline);
            if (r < 0) {
                child = next_child(u, &err);
                break;
            }
        }
        waitq_del(&sk->wq, &w);
    }
    if (!child)
        return err ? err : sock_wait_error(r, deadline);
    sock_set_flag(&child->sk, sock_flags(sk) & (SKF_PASSCRED | SKF_PASSPIDFD | SKF_PASSSEC), true);
    *ret_child = &child->sk;
    return 0;
}

int unix_pair(struct sock *sa, struct sock *sb)
{
    struct unix_sock *a = unix_sk(sa), *b = unix_sk(sb);
    int r = 0;
    unix_lock_two(a, b);
    if (sa->type == LX_SOCK_STREAM)
        r = make_queues(a, b);
    if (r == 0) {
        sock_set_peercred_current(sa);
        sock_set_peercred_current(sb);
        marry(a, b);
        if (sa->type == LX_SOCK_DGRAM) {
            list_add_tail(&b->clients, &a->client_node);
            list_add_tail(&a->clients, &b->client_node);
        }
    }
    unix_unlock_two(a, b);
    return r;
}

/* Tells the queues of `u` what its shutdown state means. */
static void apply_shutdown(struct unix_sock *u, u32 how)
{
    if (how & SHUT_RCV && u->rx) {
        mutex_lock(&u->rx->lock);
        u->rx->is_broken = true;
        mutex_unlock(&u->rx->lock);
    }
    if (how & SHUT_SND && u->tx) {
        mutex_lock(&u->tx->lock);
        u->tx->is_eof = true;
        mutex_unlock(&u->tx->lock);
    }
}

int unix_shutdown(struct sock *sk, u32 how)
{
    struct unix_sock *u = unix_sk(sk);
    u32 mirrored = (how & SHUT_RCV ? SHUT_SND : 0) | (how & SHUT_SND ? SHUT_RCV : 0);
    struct unix_sock *peer = unix_get_peer(u);
    atomic_fetch_or(&sk->shutdown, how);
    if (sk->type != LX_SOCK_DGRAM && sock_state(sk) == SOCK_ESTABLISHED)
        apply_shutdown(u, how);
    if (peer && sk->type != LX_SOCK_DGRAM) {
        atomic_fetch_or(&peer->sk.shutdown, mirrored);
        waitq_wake(&peer->sk.wq, WAIT_ALL);
    }
    waitq_wake(&sk->wq, WAIT_ALL);
    if (how & SHUT_RCV)
        waitq_wake(&u->peer_wait, PEER_WOKEN);
    unix_put(peer);
    return 0;
}

static bool has_unread(struct unix_sock *u)
{
    if (!mq_is_empty(&u->rxq))
        return true;
    if (!u->rx)
        return false;
    MUTEX_GUARD(&u->rx->lock);
    return bq_used(u->rx) > 0;
}

/* The other end of a connection learns that u is gone. is_reset: it reads ECONNRESET. */
static void leave_peer(struct unix_sock *u, struct unix_sock *peer, bool is_reset)
{
    apply_shutdown(u, SHUT_MASK);
    atomic_fetch_or(&peer->sk.shutdown, SHUT_MASK);
    if (is_reset)
        atomic_store(&peer->sk.err, LX_ECONNRESET);
    waitq_wake(&peer->sk.wq, WAIT_ALL);
}

void unix_release(struct sock *sk)
{
    struct unix_sock *u = unix_sk(sk), *peer, *child;
    struct list children;
    list_init(&children);
    bool is_embryo = !sk->ino;
    sock_set_flag(sk, SKF_DEAD, true);
    unix_unbind(u);
    if (sk->type == LX_SOCK_DGRAM)
        unix_dgram_disconnect(u, NULL);
    mutex_lock(&sk->lock);
    peer = take_ptr(u->peer);
    bool was_listening = sock_state(sk) == SOCK_LISTEN;
    sock_set_state(sk, SOCK_CLOSED);
    atomic_fetch_or(&sk->shutdown, SHUT_MASK);
    list_splice_tail(&children, &u->accept_q);
    u->nqueued = 0;
    mutex_unlock(&sk->lock);
    if (peer) {
        leave_peer(u, peer, is_embryo || has_unread(u));
        unix_put(peer);
    }
    if (u->rx)
        bq_purge(u->rx);
    mq_purge(&u->rxq);
    while ((child = list_first(&children, struct unix_sock, accept_node))) {
        list_del(&child->accept_node);
        unix_release(&child->sk);
        unix_put(child);
    }
    if (was_listening)
        waitq_wake(&sk->wq, WAIT_ALL);
    waitq_wake(&u->peer_wait, PEER_WOKEN);
    unix_wake_clients(u);
    scm_gc();
}
