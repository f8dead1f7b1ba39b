/*
 * TCP data: from the sender's memory into the queue, and from the queue into the receiver's.
 *
 * A sender wakes its peer after each piece that it publishes, so that a bulk transfer runs on
 * two cores; a receiver wakes a sender that was held up once, when a third of the queue is free.
 *
 * The urgent byte stays in the queue at oob_pos; reads stop before it and step over it unless
 * SO_OOBINLINE, as tcp_recvmsg does.
 */
#include "net/inet/tcp.h"

#include <stdlib.h>

#include "net/filter.h"
#include "net/filter/hook.h"
#include "net/inet/wire.h"

#define SEGMENT     32768U
#define RTO_FIRST   (200 * NSEC_PER_MSEC)
#define RTO_MAX     (120 * NSEC_PER_SEC)
#define MAX_RETRIES 15

/* ---- sending ------------------------------------------------------------------------------- */

static s64 stream_error(struct sock *sk, const struct smsg *m, s64 err)
{
    if (err == -LX_EPIPE) {
        int pending = sock_error(sk);
        err = pending ? pending : -LX_EPIPE;
    }
    return err == -LX_EPIPE ? sock_epipe(m) : err;
}

/* The peer's sock is gone or takes nothing more: the bytes are lost, and a RST comes back. */
static s64 send_into_void(struct tcp_sock *t, struct tcp_end *e, struct smsg *m)
{
    struct inet_table *tab = inet_table_of(&t->in);
    u64 n = m->uio->left;
    uio_advance(m->uio, n);
    mutex_lock(&tab->lock);
    if (sock_state(&t->in.sk) != SOCK_CLOSED)
        tcp_rst(e->peer, LX_ECONNRESET);
    if (sock_state(&t->in.sk) != SOCK_CLOSED) { /* the peer had forgotten us: it cannot tell us */
        u32 state = sock_state(&t->in.sk);
        tcp_rst(t, state == SOCK_CLOSE_WAIT ? LX_EPIPE : LX_ECONNRESET);
    }
    mutex_unlock(&tab->lock);
    return (s64)n;
}

/* Data for an end that has sent its FIN and shut down reading aborts the connection. */
static bool is_peer_deaf(const struct tcp_end *e)
{
    if (e->conn)
        return false;
    const struct sock *p = &e->peer->in.sk;
    return sock_shut(p) & SHUT_RCV && sock_state(p) == SOCK_FIN_WAIT2;
}

static bool can_send(struct tcp_sock *t, struct tcp_end *e)
{
    struct sock *sk = &t->in.sk;
    if (atomic_load(&sk->err) || sock_shut(sk) & SHUT_SND)
        return true;
    MUTEX_GUARD(&e->tx->lock);
    return e->tx->is_broken || bq_space(e->tx) > 0;
}

/* ---- looked at ------------------------------------------------------------------------------
 *
 * While somebody watches the wire, or the receiver has a filter, the sender's bytes go through a
 * buffer, a segment at a time. What the filter, or a rule of iptables, does not take was lost on the way: the
 * receiver reads up to there (bq.hold), and its timer tries again as the sender would retransmit. A
 * FIN that is lost is a hold at the end of what was sent.
 */

static bool is_looked_at(const struct tcp_sock *t, const struct tcp_end *e)
{
    if (e->conn)
        return false;
    return wire_is_watched(t->in.sk.ns) || unlikely(filter_is_set(&e->peer->in.sk)) ||
           unlikely(e->tx->hold != UINT64_MAX);
}

static void arm_retry(struct tcp_sock *receiver, s64 delay_ns)
{
    receiver->retry_ns = delay_ns;
    tcp_arm(receiver, clock_mono_ns() + delay_ns);
}

static bool is_ruled(const struct tcp_sock *t)
{
    return nf_is_on(t->in.sk.ns, NF_ALL);
}

/* A rule answered a segment of t with a reset: t's connection is over, its peer's is not. */
static void reset_by_rule(struct tcp_sock *t)
{
    MUTEX_GUARD(&inet_table_of(&t->in)->lock);
    tcp_done(t, LX_ECONNRESET);
}

static void hold_from(struct bq *q, u64 pos)
{
    MUTEX_GUARD(&q->lock);
    q->hold = pos;
}

/* Nobody looks, but there are rules: they are asked before the bytes are in the queue. */
static s64 write_judged(struct tcp_sock *t, struct tcp_end *e, struct smsg *m, u64 max)
{
    struct bq *q = e->tx;
    mutex_lock(&q->lock);
    u64 pos = q->tail, n = MIN(max, (u64)SEGMENT);
    if (!q->is_broken)
        n = MIN(n, bq_space(q));
    mutex_unlock(&q->lock);
    int v = n ? tcp_judge(t, TCP_STEP_DATA, pos, (u32)n) : 0;
    if (v == 0)
        return bq_write(q, m->uio, n ? n : max, NULL);
    if (v == -LX_ECONNRESET) { /* it was sent, and the answer is here */
        uio_advance(m->uio, n);
        reset_by_rule(t);
        return (s64)n;
    }
    hold_from(q, pos);
    s64 r = bq_write(q, m->uio, n, NULL);
    if (r <= 0) {
        hold_from(q, UINT64_MAX);
        return r;
    }
    e->peer->nretries = 0;
    arm_retry(e->peer, RTO_FIRST);
    return r;
}

void tcp_judge_fin(struct tcp_sock *t, struct tcp_end *e)
{
    struct bq *q = e->tx;
    mutex_lock(&q->lock);
    u64 pos = q->tail;
    bool is_held = q->hold != UINT64_MAX;
    mutex_unlock(&q->lock);
    if (is_held || tcp_judge(t, TCP_STEP_FIN, pos, 0) == 0)
        return;
    hold_from(q, pos);
    e->peer->nretries = 0;
    arm_retry(e->peer, RTO_FIRST);
}

static s64 write_segment(struct tcp_sock *t, struct tcp_end *e, struct smsg *m, u64 max)
{
    struct bq *q = e->tx;
    struct sock *psk = &e->peer->in.sk;
    u64 n = MIN(max, SEGMENT), keep = n;
    u8 *buf = malloc(n);
    if (!buf)
        return -LX_ENOBUFS;
    s64 got = uio_copy_from(m->uio, buf, n);
    if (got <= 0) {
        free(buf);
        return got;
    }
    n = keep = (u64)got;
    mutex_lock(&q->lock);
    u64 pos = q->tail;
    bool was_held = q->hold != UINT64_MAX;
    if (!was_held && (filter_is_set(psk) || is_ruled(t)))
        q->hold = pos; /* until the filter has spoken */
    mutex_unlock(&q->lock);
    mutex_lock(&e->rx->lock);
    u64 peer_pos = e->rx->tail;
    mutex_unlock(&e->rx->lock);
    struct uio u;
    uio_init_kernel(&u, buf, n);
    s64 r = bq_write(q, &u, n, NULL);
    uio_done(&u);
    if (r < (s64)n)
        uio_revert(m->uio, n - (u64)MAX(r, (s64)0));
    if (r > 0 && wire_is_watched(psk->ns))
        tcp_show_data(t, pos, buf, (u32)r, peer_pos);
    if (r > 0 && !was_held && is_ruled(t)) {
        int v = tcp_judge(t, TCP_STEP_DATA, pos, (u32)r);
        keep = v ? 0 : keep;
        if (v == -LX_ECONNRESET)
            reset_by_rule(t);
    }
    if (r > 0 && keep && !was_held && filter_is_set(psk))
        keep = tcp_filter(psk, t, pos, buf, (u32)r);
    if (!was_held) {
        mutex_lock(&q->lock);
        q->hold = r > 0 && keep < (u64)r ? pos + keep : UINT64_MAX;
        mutex_unlock(&q->lock);
        if (r > 0 && keep < (u64)r) {
            e->peer->nretries = 0;
            arm_retry(e->peer, RTO_FIRST);
        }
    }
    free(buf);
    return r;
}

/* Do rules let a segment that is sent to t again come? */
static bool may_come(const struct tcp_sock *t, const struct tcp_end *e, enum tcp_step step, u64 pos, u32 size)
{
    return !is_ruled(t) || tcp_judge_back(t, &e->peer->in.sk, step, pos, size) == 0;
}

/* One more segment that was held back, copied out of t's queue. False: none, or the filter says no. */
static bool retry_one(struct tcp_sock *t, struct tcp_end *e, u8 *buf)
{
    struct bq *q = e->rx;
    bool is_more = false;
    mutex_lock(&q->rlock);
    mutex_lock(&q->lock);
    u64 pos = q->hold, n = pos < q->tail ? MIN(q->tail - pos, (u64)SEGMENT) : 0;
    bool is_end = pos == q->tail && q->is_eof;
    mutex_unlock(&q->lock);
    if (n) {
        struct uio u;
        uio_init_kernel(&u, buf, n);
        s64 got = bq_copy(q, pos, &u, n);
        uio_done(&u);
        u32 keep = got > 0 && may_come(t, e, TCP_STEP_DATA, pos, (u32)got)
                       ? tcp_filter(&t->in.sk, e->peer, pos, buf, (u32)got)
                       : 0;
        mutex_lock(&q->lock);
        if (q->hold == pos)
            q->hold = pos + keep == q->tail && !q->is_eof ? UINT64_MAX : pos + keep;
        is_more = keep && q->hold != UINT64_MAX;
        mutex_unlock(&q->lock);
    } else if (is_end && may_come(t, e, TCP_STEP_FIN, pos, 0)) {
        hold_from(q, UINT64_MAX);
    }
    mutex_unlock(&q->rlock);
    return is_more;
}

void tcp_retry(struct tcp_sock *t)
{
    struct tcp_end *e cleanup(tcp_end_put_p) = tcp_take(t);
    u8 *buf = e ? malloc(SEGMENT) : NULL;
    if (!buf)
        return;
    while (retry_one(t, e, buf))
        ;
    free(buf);
    mutex_lock(&e->rx->lock);
    bool is_held = e->rx->hold != UINT64_MAX;
    mutex_unlock(&e->rx->lock);
    waitq_wake(&t->in.sk.wq, is_held ? WAIT_READABLE : WAIT_READABLE | WAIT_RDHUP | WAIT_HUP);
    if (is_held && t->nretries++ < MAX_RETRIES)
        arm_retry(t, MIN(t->retry_ns * 2, RTO_MAX));
}

static s64 write_piece(struct tcp_sock *t, struct tcp_end *e, struct smsg *m, u64 max)
{
    if (unlikely(is_looked_at(t, e)))
        return write_segment(t, e, m, max);
    return !e->conn && is_ruled(t) ? write_judged(t, e, m, max)
                                   : bq_write(e->tx, m->uio, max, NULL);
}

static s64 send_bytes(struct tcp_sock *t, struct tcp_end *e, struct smsg *m, u64 size, s64 deadline)
{
    struct sock *sk = &t->in.sk;
    struct bq *q = e->tx;
    u64 sent = 0;
    s64 r = 0;
    mutex_lock(&q->wlock);
    while (sent < size) {
        if (atomic_load(&sk->err) || sock_shut(sk) & SHUT_SND) {
            r = -LX_EPIPE;
            break;
        }
        r = write_piece(t, e, m, size - sent);
        if (r > 0) {
            sent += (u64)r;
            if (e->conn) {
                stk_tcp_push(e->conn, m->flags & LX_MSG_MORE || sent < size);
                continue;
            }
            struct sock *psk = &e->peer->in.sk;
            if (unlikely(sock_flags(psk) & (SKF_TSTAMP | SKF_STAMPING) || psk->tsflags))
                e->peer->rx_stamp_ns = sock_real_ns();
            if (unlikely(e->peer->is_deferred))
                tcp_undefer(e->peer);
            if (sent < size || size > OFFER_MAX_BYTES)
                waitq_wake(&psk->wq, WAIT_READABLE);
            continue;
        }
        if (r < 0)
            break;
        if (!deadline) {
            r = -LX_EAGAIN;
            break;
        }
        mutex_unlock(&q->wlock);
        r = wait_event_interruptible(&sk->wq, WAIT_WRITABLE | WAIT_HUP | WAIT_ERR, can_send(t, e),
                                     deadline);
        mutex_lock(&q->wlock);
        if (r < 0) {
            r = sock_wait_error((int)r, deadline);
            break;
        }
    }
    mutex_unlock(&q->wlock);
    if (sent == size && size <= OFFER_MAX_BYTES && !e->conn) {
        (void)bq_answer(q, size);
        waitq_wake(&e->peer->in.sk.wq, WAIT_READABLE);
    }
    atomic_fetch_add_explicit(&t->bytes_out, sent, memory_order_relaxed);
    return sent ? (s64)sent : r;
}

/* The last byte sent becomes the urgent one. */
static void mark_urgent(struct tcp_end *e, u8 byte)
{
    mutex_lock(&e->tx->lock);
    e->tx->oob = BQ_OOB_UNREAD;
    e->tx->oob_pos = e->tx->tail - 1;
    e->tx->oob_byte = byte;
    mutex_unlock(&e->tx->lock);
    if (e->conn)
        return stk_tcp_urgent(e->conn);
    waitq_wake(&e->peer->in.sk.wq, WAIT_READABLE | WAIT_PRI);
    sock_urgent(&e->peer->in.sk);
}

static s64 send_urgent(struct tcp_sock *t, struct tcp_end *e, struct smsg *m, s64 deadline)
{
    u64 size = m->uio->left;
    s64 sent = 0;
    u8 byte;
    if (size > 1) {
        sent = send_bytes(t, e, m, size - 1, deadline);
        if (sent < 0 || (u64)sent < size - 1)
            return sent;
    }
    if (uio_copy_from(m->uio, &byte, 1) != 1)
        return sent ? sent : -LX_EFAULT;
    struct uio one;
    uio_init_kernel(&one, &byte, 1);
    struct smsg m1 = {.uio = &one, .flags = m->flags};
    s64 r = send_bytes(t, e, &m1, 1, deadline);
    uio_done(&one);
    if (r < 0)
        return sent ? sent : r;
    mark_urgent(e, byte);
    return sent + 1;
}

s64 tcp_send(struct sock *sk, struct smsg *m)
{
    struct tcp_sock *t = tcp_sk(sk);
    s64 deadline = sock_send_deadline(sk, m->flags & LX_MSG_DONTWAIT), r = 0;
    if (m->flags & LX_MSG_FASTOPEN && m->name_len && sock_state(sk) == SOCK_CLOSED) {
        r = tcp_connect(sk, m->name, m->name_len, false);
        if (r < 0)
            return r;
    }
    if (unlikely(sock_state(sk) == SOCK_SYN_SENT))
        r = tcp_wait_connected(t, deadline);
    if (r < 0)
        return stream_error(sk, m, r);
    u32 state = sock_state(sk);
    if (atomic_load(&sk->err) || sock_shut(sk) & SHUT_SND ||
        (state != SOCK_ESTABLISHED && state != SOCK_CLOSE_WAIT))
        return stream_error(sk, m, -LX_EPIPE);
    struct tcp_end *e cleanup(tcp_end_put_p) = tcp_take(t);
    if (!e)
        return stream_error(sk, m, -LX_EPIPE);
    u64 size = m->uio->left;
    if (!size)
        return 0;
    if (unlikely(is_peer_deaf(e)))
        return send_into_void(t, e, m);
    if (unlikely(m->flags & LX_MSG_OOB))
        r = send_urgent(t, e, m, deadline);
    else
        r = send_bytes(t, e, m, size, deadline);
    if (r == -LX_EPIPE && !e->conn && !atomic_load(&sk->err) && !(sock_shut(sk) & SHUT_SND))
        return send_into_void(t, e, m);
    if (r > 0 && dgram_owes(&t->in, m))
        dgram_sent(&t->in, m, &(struct dgram_cb){.daddr = t->in.daddr}, NULL, (u32)MIN(r, (s64)UINT32_MAX));
    return r < 0 ? stream_error(sk, m, r) : r;
}

/* ---- receiving ----------------------------------------------------------------------------- */

struct reading {
    struct offer offer;
    struct tcp_sock *t;
    struct tcp_end *e;
    struct smsg *m;
    bool is_peek, is_inline, is_wake;
    u64 skip, copied, want;
    u64 told; /* of copied, what the other end knows of */
};

enum step { STEP_GO, STEP_STOP, STEP_EMPTY };

/* Moves one piece. *ret_err is set with STEP_STOP. REQUIRES rx->rlock. */
static enum step read_piece(struct reading *r, s64 *ret_err)
{
    struct bq *q = r->e->rx;
    *ret_err = 0;
    mutex_lock(&q->lock);
    u64 pos = q->head + r->skip;
    u64 end = bq_end_of_read(q);
    if (pos >= end) {
        mutex_unlock(&q->lock);
        return STEP_EMPTY;
    }
    u64 n = MIN(end - pos, r->want - r->copied);
    if (unlikely(q->oob != BQ_OOB_NONE) && q->oob_pos >= pos) {
        if (q->oob_pos == pos && r->copied) {
            mutex_unlock(&q->lock);
            return STEP_STOP;
        }
        if (q->oob_pos == pos && !r->is_inline) { /* a hole */
            if (!r->is_peek)
                q->oob = BQ_OOB_NONE;
            mutex_unlock(&q->lock);
            if (r->is_peek)
                r->skip++;
            else
                r->is_wake |= bq_consume(q, 1, tcp_wake_at(q));
            return STEP_GO;
        }
        if (q->oob_pos > pos)
            n = MIN(n, q->oob_pos - pos);
        else if (!r->is_peek)
            q->oob = BQ_OOB_NONE; /* read inline, with what follows */
    }
    mutex_unlock(&q->lock);
    s64 c = bq_copy(q, pos, r->m->flags & LX_MSG_TRUNC ? NULL : r->m->uio, n);
    if (c < 0) {
        *ret_err = c;
        return STEP_STOP;
    }
    r->copied += (u64)c;
    if (r->is_peek)
        r->skip += (u64)c;
    else
        r->is_wake |= bq_consume(q, (u64)c, tcp_wake_at(q));
    return (u64)c < n || r->copied == r->want ? STEP_STOP : STEP_GO;
}

/* A FIN behind bytes that are held back has not been seen yet. */
bool tcp_is_end_held(struct tcp_end *e)
{
    MUTEX_GUARD(&e->rx->lock);
    return e->rx->hold != UINT64_MAX;
}

static bool can_recv(void *arg)
{
    struct reading *r = arg;
    struct sock *sk = &r->t->in.sk;
    struct bq *q = r->e->rx;
    bool is_over = sock_shut(sk) & SHUT_RCV || sock_state(sk) == SOCK_CLOSED;
    if (atomic_load(&sk->err))
        return true;
    MUTEX_GUARD(&q->lock);
    return bq_end_of_read(q) > q->head + r->skip || (is_over && q->hold == UINT64_MAX);
}

static bool has_bytes(struct reading *r)
{
    MUTEX_GUARD(&r->e->rx->lock);
    return bq_end_of_read(r->e->rx) > r->e->rx->head + r->skip;
}

/* Why reading ends with nothing queued: 0 for end of file, or an error; 1: it may wait. */
static s64 why_empty(struct tcp_sock *t, struct tcp_end *e)
{
    struct sock *sk = &t->in.sk;
    if (e && unlikely(tcp_is_end_held(e)) && !atomic_load(&sk->err))
        return 1;
    if (t->is_done)
        return 0;
    int err = sock_error(sk);
    if (err)
        return err;
    if (sock_shut(sk) & SHUT_RCV)
        return 0;
    return sock_state(sk) == SOCK_CLOSED ? -LX_ENOTCONN : 1;
}

/* Bytes have left the queue: a sender that waits, or the peer's window. */
static void tell_sender(struct reading *r)
{
    if (r->e->conn) {
        if (r->copied > r->told && !r->is_peek)
            stk_tcp_rcvd(r->e->conn);
        r->told = r->copied;
    } else if (r->is_wake) {
        waitq_wake(&r->e->peer->in.sk.wq, WAIT_WRITABLE);
    }
    r->is_wake = false;
}

/* What is there now, for a reader that sleeps. */
static s64 attempt(struct offer *o)
{
    struct reading *r = container_of(o, struct reading, offer);
    s64 err = 0;
    MUTEX_GUARD(&r->e->rx->rlock);
    while (read_piece(r, &err) == STEP_GO)
        ;
    return r->copied ? (s64)r->copied : err ? err : OFFER_AGAIN;
}

/* Sleeps until there is something to read. 1: the call has been answered. */
static int wait_bytes(struct reading *r, u64 target, s64 deadline)
{
    struct sock *sk = &r->t->in.sk;
    if (r->is_peek || target > 1)
        return wait_event_interruptible(&sk->wq, WAIT_READABLE | WAIT_HUP | WAIT_ERR, can_recv(r),
                                        deadline);
    struct bq *q = r->e->rx;
    struct offer_place p = {.lock = &q->lock,
                            .slot = &q->offer,
                            .q = &sk->wq,
                            .events = WAIT_READABLE | WAIT_HUP | WAIT_ERR,
                            .is_ready = can_recv,
                            .arg = r};
    r->offer.attempt = attempt;
    return offer_wait(&p, &r->offer, deadline);
}

static s64 read_bytes(struct reading *r, u64 target, s64 deadline)
{
    struct sock *sk = &r->t->in.sk;
    struct bq *q = r->e->rx;
    s64 err = 0;
    mutex_lock(&q->rlock);
    for (;;) {
        enum step st = read_piece(r, &err);
        if (st == STEP_STOP)
            break;
        if (st == STEP_GO)
            continue;
        if (r->copied && (r->copied >= target || !deadline || atomic_load(&sk->err) ||
                          (sock_shut(sk) & SHUT_RCV && !tcp_is_end_held(r->e))))
            break;
        if (!r->copied) {
            err = why_empty(r->t, r->e);
            if (err == 0 && has_bytes(r)) /* they came before the end that was just seen */
                continue;
            if (err <= 0)
                break;
            if (!deadline) {
                err = -LX_EAGAIN;
                break;
            }
        }
        mutex_unlock(&q->rlock);
        tell_sender(r);
        int w = wait_bytes(r, target, deadline);
        if (w > 0)
            return (s64)r->copied;
        mutex_lock(&q->rlock);
        if (w < 0) {
            err = sock_wait_error(w, deadline);
            break;
        }
    }
    mutex_unlock(&q->rlock);
    return r->copied ? (s64)r->copied : err;
}

static s64 recv_urgent(struct tcp_sock *t, struct tcp_end *e, struct smsg *m)
{
    struct sock *sk = &t->in.sk;
    struct bq *q = e->rx;
    mutex_lock(&q->lock);
    enum bq_oob oob = q->oob;
    u8 byte = q->oob_byte;
    if (oob == BQ_OOB_UNREAD && !sock_has(sk, SKF_OOBINLINE) && !(m->flags & LX_MSG_PEEK))
        q->oob = BQ_OOB_READ;
    mutex_unlock(&q->lock);
    if (sock_has(sk, SKF_OOBINLINE) || oob != BQ_OOB_UNREAD)
        return -LX_EINVAL;
    m->ret_flags |= LX_MSG_OOB;
    if (!m->uio->left) {
        m->ret_flags |= LX_MSG_TRUNC;
        return 0;
    }
    if (m->flags & LX_MSG_TRUNC)
        return 1;
    return uio_copy_to(m->uio, &byte, 1);
}

static void put_inq(struct tcp_sock *t, struct tcp_end *e, struct smsg *m)
{
    mutex_lock(&e->rx->lock);
    s32 left = (s32)MIN(bq_used(e->rx), (u64)INT32_MAX);
    mutex_unlock(&e->rx->lock);
    if (!left && t->is_done)
        left = 1; /* an end of file waits */
    cmsg_put(m->cmsg, LX_IPPROTO_TCP, LX_TCP_CM_INQ, &left, sizeof(left));
}

s64 tcp_recv(struct sock *sk, struct smsg *m)
{
    struct tcp_sock *t = tcp_sk(sk);
    s64 deadline = sock_recv_deadline(sk, m->flags & LX_MSG_DONTWAIT), n;
    if (sock_state(sk) == SOCK_LISTEN)
        return -LX_ENOTCONN;
    if (unlikely(m->flags & LX_MSG_ERRQUEUE))
        return dgram_recv(sk, m);
    if (unlikely(sock_state(sk) == SOCK_SYN_SENT)) {
        n = tcp_wait_connected(t, deadline);
        if (n < 0)
            return n;
    }
    struct tcp_end *e cleanup(tcp_end_put_p) = tcp_take(t);
    if (!e)
        return m->flags & LX_MSG_OOB ? -LX_EINVAL : MIN(why_empty(t, NULL), (s64)0);
    if (unlikely(m->flags & LX_MSG_OOB))
        return recv_urgent(t, e, m);
    struct reading r = {
        .t = t,
        .e = e,
        .m = m,
        .is_peek = m->flags & LX_MSG_PEEK,
        .is_inline = sock_has(sk, SKF_OOBINLINE),
        .want = m->uio->left,
    };
    s32 peek_off = sk->peek_off;
    if (r.is_peek && peek_off > 0)
        r.skip = (u64)peek_off;
    u64 target = m->flags & LX_MSG_WAITALL ? r.want : MIN((u64)sk->rcvlowat, r.want);
    n = read_bytes(&r, MAX(target, (u64)1), deadline);
    tell_sender(&r);
    if (n > 0) {
        atomic_fetch_add_explicit(&t->bytes_in, (u64)n, memory_order_relaxed);
        if (peek_off >= 0)
            sk->peek_off = r.is_peek ? peek_off + (s32)n : MAX(0, peek_off - (s32)n);
    }
    if (n > 0)
        sock_put_timestamp(sk, m->cmsg, t->rx_stamp_ns);
    if (n >= 0 && unlikely(t->is_inq))
        put_inq(t, e, m);
    return n;
}
