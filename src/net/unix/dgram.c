/*
 * UNIX datagrams and seqpackets: messages in the receiver's queue.
 *
 * A sender waits for its own send buffer and then for room in the receiver's queue (peer_wait
 * of the receiver). Readiness of a connected sender depends on the receiver's queue too: the
 * receiver knows the socks connected to it (clients) and wakes them when its queue has room again.
 */
#include "net/unix/unix.h"

#include "net/filter.h"

#define WAKE_WRITER (WAIT_WRITABLE | WAIT_WRBAND)

static void free_from(struct nmsg *m)
{
    unix_addr_put((struct unix_addr *)(uintptr_t)m->cb[0]);
}

static void set_from(struct nmsg *m, struct unix_addr *a)
{
    if (a)
        ref_get(&a->ref);
    m->cb[0] = (u64)(uintptr_t)a;
    m->free_cb = free_from;
}

static void dup_from(struct nmsg *copy, const struct nmsg *from)
{
    set_from(copy, (struct unix_addr *)(uintptr_t)from->cb[0]);
}

/* ---- connections --------------------------------------------------------------------------- */

void unix_dgram_disconnect(struct unix_sock *u, struct unix_sock *want)
{
    struct unix_sock *peer = unix_get_peer(u);
    if (!peer)
        return;
    bool is_done = false;
    unix_lock_two(u, peer);
    if (u->peer == peer && (!want || want == peer)) {
        list_del(&u->client_node);
        u->peer = NULL;
        if (sock_state(&u->sk) == SOCK_ESTABLISHED)
            sock_set_state(&u->sk, SOCK_CLOSED);
        is_done = true;
    }
    unix_unlock_two(u, peer);
    if (is_done) {
        waitq_wake(&u->sk.wq, WAKE_WRITER);
        unix_put(peer);
    }
    unix_put(peer);
}

/* Linux's unix_may_send: a sock that is connected takes messages of its peer only. */
static bool may_send(const struct unix_sock *u, const struct unix_sock *other)
{
    return !other->peer || other->peer == u;
}

/*
 * u is no longer connected to old: messages that wait are not for the new connection. When old was
 * connected to u and messages were lost, it learns so by ECONNRESET.
 */
static void drop_disconnected(struct unix_sock *u, struct unix_sock *old)
{
    if (mq_is_empty(&u->rxq))
        return;
    mq_purge(&u->rxq);
    waitq_wake(&u->peer_wait, WAKE_WRITER);
    mutex_lock(&old->sk.lock);
    bool is_mutual = old->peer == u && !sock_has(&old->sk, SKF_DEAD);
    mutex_unlock(&old->sk.lock);
    if (is_mutual)
        sock_report(&old->sk, LX_ECONNRESET);
}

/* REQUIRES both locks. */
static int may_connect(struct unix_sock *u, struct unix_sock *other)
{
    if (sock_has(&other->sk, SKF_DEAD))
        return -LX_ECONNREFUSED;
    return may_send(u, other) ? 0 : -LX_EPERM;
}

int unix_dgram_connect(struct sock *sk, const union saddr *addr, u32 len, bool is_nonblock)
{
    struct unix_sock *u = unix_sk(sk), *other = NULL;
    int r = 0;
    if (len < sizeof(u16))
        return -LX_EINVAL;
    if (addr->family != LX_AF_UNSPEC) {
        r = unix_check_addr(addr, len);
        if (r == 0 && sock_has(sk, SKF_PASSCRED | SKF_PASSPIDFD) && !unix_addr_of(u))
            r = unix_autobind(u);
        if (r == 0)
            r = unix_find(u, addr, len, &other);
        if (r < 0)
            return r;
        unix_lock_two(u, other);
        r = may_connect(u, other);
        unix_unlock_two(u, other);
    }
    struct unix_sock *old = unix_get_peer(u);
    if (r == 0 && old && old != other) {
        unix_dgram_disconnect(u, old);
        drop_disconnected(u, old);
    }
    if (r == 0 && other) {
        unix_lock_two(u, other);
        r = may_connect(u, other);
        if (r == 0 && !u->peer) {
            sock_get(&other->sk);
            u->peer = other;
            list_add_tail(&other->clients, &u->client_node);
            sock_set_state(sk, SOCK_ESTABLISHED);
        }
        unix_unlock_two(u, other);
    }
    unix_put(old);
    unix_put(other);
    return r;
}

/* ---- sending ------------------------------------------------------------------------------- */

static bool has_sndbuf(struct unix_sock *u)
{
    return atomic_load(&u->sk.wmem) < (u32)u->sk.sndbuf || atomic_load(&u->sk.err) ||
           sock_shut(&u->sk) & SHUT_SND;
}

/* A message with the bytes to be sent, charged to u. Blocks for the send buffer. */
static int make_message(struct unix_sock *u, struct smsg *m, s64 deadline, struct nmsg **ret_msg)
{
    u64 size = m->uio->left;
    if (size > (u64)MAX(u->sk.sndbuf - 32, 0))
        return -LX_EMSGSIZE;
    for (;;) {
        int r = sock_error(&u->sk);
        if (r < 0)
            return r;
        if (sock_shut(&u->sk) & SHUT_SND)
            return -LX_EPIPE;
        if (atomic_load(&u->sk.wmem) < (u32)u->sk.sndbuf)
            break;
        if (!deadline)
            return -LX_EAGAIN;
        r = wait_event_interruptible(&u->sk.wq, WAKE_WRITER | WAIT_HUP, has_sndbuf(u), deadline);
        if (r < 0)
            return sock_wait_error(r, deadline);
    }
    struct nmsg *msg = nmsg_new((u32)size, &u->sk);
    if (!msg)
        return -LX_ENOBUFS;
    if (size) {
        s64 c = uio_copy_from(m->uio, msg->data, size);
        if (c < 0 || (u64)c < size) {
            nmsg_free(msg);
            return -LX_EFAULT;
        }
    }
    *ret_msg = msg;
    return 0;
}

static bool has_queue_room(struct unix_sock *other)
{
    return !unix_is_full(other) || sock_has(&other->sk, SKF_DEAD) ||
           sock_shut(&other->sk) & SHUT_RCV;
}

/* Queues msg at other, waiting for room; consumes msg when 0. */
static int deliver(struct unix_sock *u, struct unix_sock *other, struct nmsg *msg, s64 deadline)
{
    for (;;) {
        int r = 0;
        mutex_lock(&other->sk.lock);
        if (sock_has(&other->sk, SKF_DEAD))
            r = -LX_ECONNREFUSED;
        else if (!may_send(u, other) && u->sk.type == LX_SOCK_DGRAM)
            r = -LX_EPERM;
        else if (sock_shut(&other->sk) & SHUT_RCV)
            r = -LX_EPIPE;
        else if (other != u && other->peer != u && unix_is_full(other))
            r = -LX_EAGAIN;
        else
            mq_push(&other->rxq, msg);
        mutex_unlock(&other->sk.lock);
        if (r == 0)
            waitq_wake(&other->sk.wq, WAIT_READABLE);
        if (r != -LX_EAGAIN || !deadline)
            return r;
        r = wait_event_interruptible(&other->peer_wait, WAKE_WRITER, has_queue_room(other),
                                     deadline);
        if (r < 0)
            return sock_wait_error(r, deadline);
    }
}

s64 unix_dgram_send(struct sock *sk, struct smsg *m)
{
    struct unix_sock *u = unix_sk(sk), *other = NULL;
    struct nmsg *msg = NULL;
    struct scm scm;
    s64 deadline = sock_send_deadline(sk, m->flags & LX_MSG_DONTWAIT);
    s64 size = (s64)m->uio->left;
    int r;
    if (m->flags & LX_MSG_OOB)
        return -LX_EOPNOTSUPP;
    scm_init(&scm);
    r = m->control_len ? scm_send(m->control, m->control_len, true, &scm) : 0;
    if (r == 0 && m->name_len) {
        r = unix_check_addr(m->name, m->name_len);
    } else if (r == 0) {
        other = unix_get_peer(u);
        r = other ? 0 : -LX_ENOTCONN;
    }
    if (r == 0 && sock_has(sk, SKF_PASSCRED | SKF_PASSPIDFD) && !unix_addr_of(u))
        r = unix_autobind(u);
    if (r == 0)
        r = make_message(u, m, deadline, &msg);
    if (r == 0 && !other)
        r = unix_find(u, m->name, m->name_len, &other);
    if (r == 0)
        r = scm_launch(&scm);
    if (r == 0) {
        unix_maybe_who(u, other, &scm);
        msg->scm = scm;
        scm_init(&scm);
        set_from(msg, unix_addr_of(u));
        msg->stamp_ns = sock_stamp(&other->sk);
        u32 keep = filter_run_bytes(&other->sk, msg->data, msg->size);
        msg->size = MIN(msg->size, keep);
        if (keep) { /* else it is gone, and the sender does not learn so */
            r = deliver(u, other, msg, deadline);
            if (r == 0)
                msg = NULL;
        }
    }
    if (r == -LX_ECONNREFUSED && other && !m->name_len)
        unix_dgram_disconnect(u, other);
    nmsg_free(msg);
    scm_done(&scm);
    unix_put(other);
    return r < 0 ? r : size;
}

s64 unix_seqpacket_send(struct sock *sk, struct smsg *m)
{
    int r = sock_error(sk);
    if (r < 0)
        return r;
    if (sock_state(sk) != SOCK_ESTABLISHED)
        return -LX_ENOTCONN;
    m->name_len = 0; /* ignored */
    s64 n = unix_dgram_send(sk, m);
    return n == -LX_ECONNREFUSED ? -LX_EPIPE : n;
}

/* ---- receiving ----------------------------------------------------------------------------- */

/* True when a wait for a message is over, also without one. */
static bool can_recv(struct unix_sock *u)
{
    return !mq_is_empty(&u->rxq) || atomic_load(&u->sk.err) || sock_shut(&u->sk) & SHUT_RCV;
}

/* Takes or peeks the next message. 0 with *ret_msg NULL: end of the stream. */
static int next_message(struct unix_sock *u, struct smsg *m, u64 off, s64 deadline,
                        struct nmsg **ret_msg, u64 *ret_skip)
{
    struct waiter w;
    bool is_queued = false;
    int r, err = 0;
    for (;;) {
        r = mq_take(&u->rxq, m->flags & LX_MSG_PEEK, off, m->uio->left, dup_from, ret_msg,
                    ret_skip);
        if (r < 0 || *ret_msg)
            break;
        r = err ? err : sock_error(&u->sk);
        if (r < 0)
            break;
        if (sock_shut(&u->sk) & SHUT_RCV) {
            r = deadline || u->sk.type == LX_SOCK_SEQPACKET ? 0 : -LX_EAGAIN;
            break;
        }
        if (!deadline) {
            r = -LX_EAGAIN;
            break;
        }
        if (!is_queued) {
            waiter_init_thread(&w, WAIT_READABLE | WAIT_HUP | WAIT_ERR);
            waitq_add(&u->sk.wq, &w);
            is_queued = true;
            continue;
        }
        if (can_recv(u) && off == 0)
            continue;
        int p = park_interruptible(deadline);
        if (p < 0)
            err = sock_wait_error(p, deadline); /* one more look */
    }
    if (is_queued)
        waitq_del(&u->sk.wq, &w);
    return r;
}

s64 unix_dgram_recv(struct sock *sk, struct smsg *m)
{
    struct unix_sock *u = unix_sk(sk);
    struct nmsg *msg;
    s32 peek_off = sk->peek_off;
    bool is_peek = m->flags & LX_MSG_PEEK;
    u64 skip, off = is_peek && peek_off > 0 ? (u64)peek_off : 0;
    if (m->flags & LX_MSG_OOB)
        return -LX_EOPNOTSUPP;
    s64 deadline = sock_recv_deadline(sk, m->flags & LX_MSG_DONTWAIT);
    s64 r = next_message(u, m, off, deadline, &msg, &skip);
    if (r < 0 || !msg)
        return r;
    if (!is_peek && mq_count(&u->rxq) <= (u32)u->backlog) {
        waitq_wake(&u->peer_wait, WAKE_WRITER);
        if (!list_empty(&u->clients)) /* a hint; a client that joins now sees room itself */
            unix_wake_clients(u);
    }
    struct unix_addr *from = (struct unix_addr *)(uintptr_t)msg->cb[0];
    if (m->name && from)
        unix_fill_name(from, m->name, &m->name_len);
    r = nmsg_copy_out(msg, m, skip);
    if (r >= 0) {
        s64 taken = MIN((s64)(msg->size - skip), (s64)r);
        if (peek_off >= 0)
            sk->peek_off = is_peek ? peek_off + (s32)taken : MAX(0, peek_off - (s32)msg->size);
        sock_put_timestamp(sk, m->cmsg, msg->stamp_ns);
        scm_recv(sk, m->cmsg, &msg->scm);
    }
    nmsg_free(msg);
    return r;
}

s64 unix_seqpacket_recv(struct sock *sk, struct smsg *m)
{
    if (sock_state(sk) != SOCK_ESTABLISHED)
        return -LX_ENOTCONN;
    return unix_dgram_recv(sk, m);
}
