/*
 * TCP socks: making and freeing, readiness, and the steps of the protocol: FIN, RST, the end.
 */
#include "net/inet/tcp.h"

#include "net/filter/hook.h"
#include "net/inet/wire.h"

#include <stdlib.h>

struct tcp_sock *tcp_new(struct net_ns *ns, u16 family, int *ret_err)
{
    struct tcp_sock *t = calloc(1, sizeof(*t));
    if (!t) {
        *ret_err = -LX_ENOMEM;
        return NULL;
    }
    list_init(&t->accept_q);
    list_init(&t->syn_q);
    list_init(&t->accept_node);
    timer_init(&t->syn_timer, tcp_syn_timeout);
    t->created_ns = clock_mono_ns();
    *ret_err = inet_sock_init(&t->in, &tcp_ops, ns, family, LX_SOCK_STREAM, LX_IPPROTO_TCP);
    if (*ret_err < 0) {
        free(t);
        return NULL;
    }
    t->in.sk.sndbuf = TCP_SNDBUF_INIT;
    t->in.sk.rcvbuf = TCP_RCVBUF_INIT;
    return t;
}

int tcp_create(struct net_ns *ns, u16 family, struct sock **ret_sk)
{
    int r;
    struct tcp_sock *t = tcp_new(ns, family, &r);
    if (t)
        *ret_sk = &t->in.sk;
    return r;
}

void tcp_put(struct tcp_sock *t)
{
    if (t)
        sock_put(&t->in.sk);
}

void tcp_arm(struct tcp_sock *t, s64 at_ns)
{
    sock_get(&t->in.sk);
    if (timer_disarm(&t->syn_timer))
        tcp_put(t);
    if (timer_arm(&t->syn_timer, at_ns) < 0)
        tcp_put(t);
}

struct tcp_end *tcp_take(struct tcp_sock *t)
{
    MUTEX_GUARD(&t->in.sk.lock);
    if (t->end)
        ref_get(&t->end->ref);
    return t->end;
}

void tcp_end_put(struct tcp_end *e)
{
    if (!e || !ref_put(&e->ref))
        return;
    tcp_put(e->peer);
    stk_conn_put(e->conn);
    bq_put(e->rx);
    bq_put(e->tx);
    free(e);
}

static void tcp_destroy(struct sock *sk)
{
    tcp_end_put(tcp_sk(sk)->end);
    inet_sock_done(inet_sk(sk));
}

void tcp_lock_two(struct tcp_sock *a, struct tcp_sock *b)
{
    if (b && b < a) {
        struct tcp_sock *x = a;
        a = b;
        b = x;
    }
    mutex_lock(&a->in.sk.lock);
    if (b && b != a)
        mutex_lock(&b->in.sk.lock);
}

void tcp_unlock_two(struct tcp_sock *a, struct tcp_sock *b)
{
    mutex_unlock(&a->in.sk.lock);
    if (b && b != a)
        mutex_unlock(&b->in.sk.lock);
}

/*
 * What may wait between two ends: the send buffer of one and the window of the other. Buffers that
 * nobody set are as large as Linux lets them grow on the loopback.
 */
u64 tcp_tx_limit(const struct tcp_sock *t, const struct tcp_sock *peer)
{
    u64 snd = sock_has(&t->in.sk, SKF_SNDBUF_LOCK) ? (u32)t->in.sk.sndbuf : TCP_SNDBUF_AUTO;
    u64 rcv = sock_has(&peer->in.sk, SKF_RCVBUF_LOCK) ? (u32)peer->in.sk.rcvbuf / 2
                                                      : TCP_WINDOW_INIT;
    return snd + rcv;
}

static void tcp_opt_changed(struct sock *sk)
{
    struct tcp_sock *t = tcp_sk(sk);
    struct tcp_end *e cleanup(tcp_end_put_p) = tcp_take(t);
    if (sock_state(sk) == SOCK_LISTEN)
        tcp_promote(t);
    if (!e)
        return;
    if (e->conn) {
        stk_tcp_opts(e->conn);
        return;
    }
    mutex_lock(&e->tx->lock);
    e->tx->limit = tcp_tx_limit(t, e->peer);
    mutex_unlock(&e->tx->lock);
    mutex_lock(&e->rx->lock);
    e->rx->limit = tcp_tx_limit(e->peer, t);
    mutex_unlock(&e->rx->lock);
}

/* ---- steps --------------------------------------------------------------------------------- */

static void bq_end(struct bq *q, bool is_eof, bool is_broken)
{
    mutex_lock(&q->lock);
    q->is_eof |= is_eof;
    q->is_broken |= is_broken;
    mutex_unlock(&q->lock);
}

void tcp_done(struct tcp_sock *t, int err)
{
    struct sock *sk = &t->in.sk;
    mutex_lock(&sk->lock);
    bool was_open = sock_state(sk) != SOCK_CLOSED;
    sock_set_state(sk, SOCK_CLOSED);
    atomic_fetch_or(&sk->shutdown, SHUT_MASK);
    if (err)
        atomic_store(&sk->err, err);
    if (t->end)
        bq_end(t->end->tx, true, true);
    mutex_unlock(&sk->lock);
    if (!was_open)
        return;
    inet_unhash_tuple(&t->in);
    if (!t->in.is_port_bound)
        inet_put_port(&t->in);
    waitq_wake(&sk->wq, WAIT_ALL);
}

/* What is left of t's peer after its sock was released, or NULL. */
static struct tcp_wait *wait_of_peer(struct inet_table *tab, const struct tcp_sock *t)
{
    if (t->is_nat)
        return tcp_wait_find(tab, &t->far.saddr, t->far.sport, &t->far.daddr, t->far.dport);
    return tcp_wait_find(tab, &t->in.daddr, t->in.dport, &t->in.saddr, t->in.sport);
}

/* t's FIN is the second: its peer, which sent the first, waits out TIME_WAIT. */
static void peer_time_wait(struct inet_table *tab, struct tcp_sock *t, struct tcp_sock *peer)
{
    struct tcp_wait *w = wait_of_peer(tab, t);
    if (w)
        tcp_wait_restart(tab, w, SOCK_TIME_WAIT);
    else if (sock_state(&peer->in.sk) == SOCK_FIN_WAIT2)
        tcp_wait_add(&peer->in, SOCK_TIME_WAIT);
    tcp_done(peer, 0);
}

void tcp_fin(struct tcp_sock *t)
{
    struct sock *sk = &t->in.sk;
    struct inet_table *tab = inet_table_of(&t->in);
    struct tcp_end *e cleanup(tcp_end_put_p) = tcp_take(t);
    if (!e || !e->peer)
        return;
    if (wire_is_watched(sk->ns))
        tcp_show_fin(t);
    if (nf_is_on(sk->ns, NF_ALL))
        tcp_judge_fin(t, e);
    tcp_lock_two(t, e->peer);
    u32 state = sock_state(sk);
    struct sock *psk = &e->peer->in.sk;
    bq_end(e->tx, true, false);
    if (state == SOCK_ESTABLISHED) {
        sock_set_state(sk, e->peer == t ? SOCK_CLOSED : SOCK_FIN_WAIT2);
        if (sock_state(psk) == SOCK_ESTABLISHED)
            sock_set_state(psk, SOCK_CLOSE_WAIT);
        atomic_fetch_or(&psk->shutdown, SHUT_RCV);
        e->peer->is_done = true;
    } else if (state == SOCK_CLOSE_WAIT) {
        atomic_fetch_or(&psk->shutdown, SHUT_RCV);
        e->peer->is_done = true;
    }
    tcp_unlock_two(t, e->peer);
    if (state == SOCK_CLOSE_WAIT) {
        peer_time_wait(tab, t, e->peer);
        tcp_done(t, 0);
    }
    waitq_wake(&psk->wq, WAIT_READABLE | WAIT_RDHUP | WAIT_HUP);
    if (unlikely(e->peer->is_deferred))
        tcp_undefer_locked(e->peer);
}

static void count_reset(struct tcp_sock *t)
{
    u32 state = sock_state(&t->in.sk);
    if (state == SOCK_ESTABLISHED || state == SOCK_CLOSE_WAIT)
        atomic_fetch_add_explicit(&t->in.sk.ns->inet_ns->tcp_estab_resets, 1, memory_order_relaxed);
}

void tcp_rst(struct tcp_sock *t, int err)
{
    struct inet_table *tab = inet_table_of(&t->in);
    struct tcp_end *e cleanup(tcp_end_put_p) = tcp_take(t);
    if (e && e->peer && e->peer != t) {
        struct tcp_sock *p = e->peer;
        struct tcp_wait *w = wait_of_peer(tab, t);
        if (w)
            tcp_wait_drop(tab, w);
        u32 state = sock_state(&p->in.sk);
        if (wire_is_watched(p->in.sk.ns))
            tcp_show_rst(t);
        if (nf_is_on(p->in.sk.ns, NF_ALL)) /* whatever they say of it: it is seen */
            (void)!tcp_judge(t, TCP_STEP_RST, 0, 0);
        count_reset(t);
        count_reset(p);
        if (state != SOCK_CLOSED)
            tcp_done(p, state == SOCK_CLOSE_WAIT ? LX_EPIPE : LX_ECONNRESET);
        atomic_fetch_add_explicit(&t->in.sk.ns->inet_ns->tcp_out_rsts, 1, memory_order_relaxed);
    }
    tcp_done(t, err);
}

/* ---- readiness, queues --------------------------------------------------------------------- */

static u32 listen_poll(struct tcp_sock *t)
{
    MUTEX_GUARD(&t->in.sk.lock);
    return t->nqueued > t->ndeferred ? WAIT_READABLE : 0;
}

static u32 data_poll(struct tcp_sock *t, struct tcp_end *e)
{
    struct sock *sk = &t->in.sk;
    u32 mask = 0;
    u64 target = (u64)sk->rcvlowat;
    mutex_lock(&e->rx->lock);
    u64 have = bq_end_of_read(e->rx) - e->rx->head;
    if (e->rx->oob != BQ_OOB_NONE && e->rx->oob_pos == e->rx->head && !sock_has(sk, SKF_OOBINLINE))
        target++;
    if (have && have >= MIN(target, e->rx->limit))
        mask |= WAIT_READABLE;
    if (e->rx->oob == BQ_OOB_UNREAD)
        mask |= WAIT_PRI;
    mutex_unlock(&e->rx->lock);
    if (!(sock_shut(sk) & SHUT_SND)) {
        mutex_lock(&e->tx->lock);
        if (e->tx->is_broken || bq_load(e->tx) <= tcp_wake_at(e->tx))
            mask |= WAIT_WRITABLE;
        mutex_unlock(&e->tx->lock);
    } else {
        mask |= WAIT_WRITABLE;
    }
    return mask;
}

static u32 tcp_poll(struct sock *sk)
{
    struct tcp_sock *t = tcp_sk(sk);
    u32 mask = 0, state = sock_state(sk), shut = sock_shut(sk);
    if (state == SOCK_LISTEN)
        return listen_poll(t);
    if (shut == SHUT_MASK || state == SOCK_CLOSED)
        mask |= WAIT_HUP;
    struct tcp_end *e cleanup(tcp_end_put_p) = state == SOCK_SYN_SENT ? NULL : tcp_take(t);
    if (shut & SHUT_RCV && !(e && unlikely(tcp_is_end_held(e))))
        mask |= WAIT_READABLE | WAIT_RDHUP;
    if (state != SOCK_SYN_SENT)
        mask |= e ? data_poll(t, e) : WAIT_WRITABLE;
    if (atomic_load(&sk->err) || !mq_is_empty(&t->in.errq))
        mask |= WAIT_ERR;
    return mask;
}

s32 tcp_inq(struct sock *sk)
{
    if (sock_state(sk) == SOCK_LISTEN)
        return -LX_EINVAL;
    struct tcp_end *e cleanup(tcp_end_put_p) = tcp_take(tcp_sk(sk));
    if (!e)
        return 0;
    MUTEX_GUARD(&e->rx->lock);
    u64 n = bq_end_of_read(e->rx) - e->rx->head;
    /* Up to the urgent byte, which itself does not count at the head. */
    if (e->rx->oob != BQ_OOB_NONE && e->rx->oob_pos >= e->rx->head && !sock_has(sk, SKF_OOBINLINE))
        n = e->rx->oob_pos > e->rx->head ? e->rx->oob_pos - e->rx->head : n - 1;
    return (s32)MIN(n, (u64)INT32_MAX);
}

s32 tcp_outq(struct sock *sk)
{
    if (sock_state(sk) == SOCK_LISTEN)
        return -LX_EINVAL;
    struct tcp_end *e cleanup(tcp_end_put_p) = tcp_take(tcp_sk(sk));
    if (!e || sock_state(sk) == SOCK_CLOSED)
        return 0;
    /* What fits the peer's window was acknowledged at once. */
    MUTEX_GUARD(&e->tx->lock);
    u64 used = bq_used(e->tx);
    if (e->conn)
        return (s32)MIN(used, (u64)INT32_MAX);
    return (s32)(used > TCP_WINDOW_INIT ? used - TCP_WINDOW_INIT : 0);
}

s32 tcp_outq_unsent(struct sock *sk)
{
    if (tcp_outq(sk) < 0)
        return -LX_EINVAL;
    struct tcp_end *e cleanup(tcp_end_put_p) = tcp_take(tcp_sk(sk));
    return e && e->conn ? stk_tcp_unsent(e->conn) : 0;
}

s32 tcp_at_mark(struct sock *sk)
{
    struct tcp_end *e cleanup(tcp_end_put_p) = tcp_take(tcp_sk(sk));
    if (!e)
        return 0;
    MUTEX_GUARD(&e->rx->lock);
    return e->rx->oob != BQ_OOB_NONE && e->rx->oob_pos == e->rx->head;
}

const struct sock_ops tcp_ops = {
    .name = "tcp",
    .bind = inet_bind,
    .connect = tcp_connect,
    .listen = tcp_listen,
    .accept = tcp_accept,
    .getname = inet_getname,
    .getpeer = inet_getpeer,
    .sendmsg = tcp_send,
    .recvmsg = tcp_recv,
    .shutdown = tcp_shutdown,
    .setsockopt = tcp_setsockopt,
    .getsockopt = tcp_getsockopt,
    .poll = tcp_poll,
    .ioctl = inet_ioctl,
    .opt_changed = tcp_opt_changed,
    .release = tcp_release,
    .destroy = tcp_destroy,
};
