/*
 * TCP connections: listening, connecting, accepting, shutting down, closing.
 *
 * A connect finds the listener and makes the server's side at once. When the backlog is full the
 * client waits in the listener's syn_q, as its SYNs would be dropped and sent again, until an accept
 * makes room, the listener closes, or the time for retries is over. A SYN that rules drop (filter/hook.h) is
 * sent again in fact.
 */
#include <stdlib.h>

#include "net/filter.h"
#include "net/filter/hook.h"
#include "net/inet/tcp_conn.h"
#include "net/inet/wire.h"

/* ---- waiting for the backlog --------------------------------------------------------------- */

/* Takes t out of its listener's syn_q. REQUIRES the table's lock. True when it was there. */
static bool leave_syn_q(struct tcp_sock *t)
{
    struct tcp_sock *l = take_ptr(t->listener);
    if (!l)
        return false;
    mutex_lock(&l->in.sk.lock);
    list_del(&t->accept_node);
    mutex_unlock(&l->in.sk.lock);
    if (timer_disarm(&t->syn_timer))
        tcp_put(t);
    tcp_put(l);
    tcp_put(t); /* the queue's; the caller has another */
    return true;
}

static void send_syn_again(struct tcp_sock *t);

void tcp_syn_timeout(struct timer *timer)
{
    struct tcp_sock *t = container_of(timer, struct tcp_sock, syn_timer);
    struct inet_table *tab = inet_table_of(&t->in);
    mutex_lock(&tab->lock);
    if (leave_syn_q(t))
        tcp_done(t, LX_ETIMEDOUT);
    mutex_unlock(&tab->lock);
    send_syn_again(t);
    tcp_undefer(t);
    tcp_retry(t);
    tcp_put(t);
}

/* Retries double from one second: n of them take 2^(n+1) - 1 seconds. */
static s64 syn_deadline(const struct tcp_sock *t)
{
    s32 n = t->syncnt ? t->syncnt : (s32)net_sysctl(t->in.sk.ns, NSYS_SYN_RETRIES);
    s64 ns = ((1LL << (MIN(n, 30) + 1)) - 1) * NSEC_PER_SEC;
    if (t->user_timeout)
        ns = MIN(ns, t->user_timeout * NSEC_PER_MSEC);
    return clock_mono_ns() + ns;
}

static void enter_syn_q(struct tcp_sock *c, struct tcp_sock *l)
{
    sock_get(&c->in.sk);
    sock_get(&l->in.sk);
    c->listener = l;
    mutex_lock(&l->in.sk.lock);
    list_add_tail(&l->syn_q, &c->accept_node);
    mutex_unlock(&l->in.sk.lock);
    STAT(c->in.sk.ns, tcp_listen_overflows);
    sock_get(&c->in.sk); /* the timer's */
    if (timer_arm(&c->syn_timer, syn_deadline(c)) < 0)
        tcp_put(c);
}

/* A SYN, or its answer, was lost on the way. REQUIRES the table's lock. */
static void wait_for_retry(struct tcp_sock *t)
{
    s64 now = clock_mono_ns();
    if (!t->syn_until_ns) {
        t->syn_until_ns = syn_deadline(t);
        t->retry_ns = NSEC_PER_SEC;
    }
    if (now >= t->syn_until_ns) {
        tcp_done(t, LX_ETIMEDOUT);
        return;
    }
    tcp_arm(t, MIN(now + t->retry_ns, t->syn_until_ns));
    t->retry_ns = t->retry_ns * 2;
}

/* An accept made room: the first client that waits gets it. True: there may be another. */
static bool promote(struct tcp_sock *l)
{
    struct inet_table *tab = inet_table_of(&l->in);
    int r = -LX_EAGAIN;
    struct tcp_sock *child = tcp_new(l->in.sk.ns, l->in.sk.family, &r);
    mutex_lock(&tab->lock);
    mutex_lock(&l->in.sk.lock);
    struct tcp_sock *c = list_first(&l->syn_q, struct tcp_sock, accept_node);
    if (c)
        sock_get(&c->in.sk);
    mutex_unlock(&l->in.sk.lock);
    if (c && child && (r = tcp_establish(c, l, child)) == 0) {
        (void)leave_syn_q(c);
        waitq_wake(&c->in.sk.wq, WAIT_ALL);
    }
    mutex_unlock(&tab->lock);
    tcp_put(child);
    tcp_put(c);
    return c && r == 0;
}

void tcp_promote(struct tcp_sock *l)
{
    while (promote(l))
        ;
}

/* ---- connect ------------------------------------------------------------------------------- */

/* The connection over the stack, referenced, while it is in the table; or NULL. */
static struct stk_conn *take_conn(struct tcp_sock *t)
{
    MUTEX_GUARD(&inet_table_of(&t->in)->lock);
    if (t->conn)
        stk_tcp_conn_get(t->conn);
    return t->conn;
}

/* Resets a connection over the stack, if there is one. */
static void abort_conn(struct tcp_sock *t, int err)
{
    struct stk_conn *conn = take_conn(t);
    if (conn)
        stk_tcp_abort(conn, err);
    stk_conn_put(conn);
}

/* Forgets a connection so that the sock can be used again. REQUIRES the table's lock. */
static void forget(struct tcp_sock *t)
{
    struct inet_sock *i = &t->in;
    struct tcp_end *e;
    mutex_lock(&i->sk.lock);
    e = take_ptr(t->end);
    t->connecting = TCP_UNCONNECTED;
    t->is_done = t->is_nat = false;
    i->dport = 0;
    i->daddr = inet_any(i);
    if (!i->is_addr_bound)
        i->saddr = i->rcv_saddr = inet_any(i);
    atomic_store(&i->sk.shutdown, 0);
    mutex_unlock(&i->sk.lock);
    if (e) {
        mutex_lock(&e->rx->lock);
        e->rx->is_broken = true;
        mutex_unlock(&e->rx->lock);
    }
    tcp_end_put(e);
}

static void stop_listening(struct tcp_sock *t);

/* connect to AF_UNSPEC, shutdown of a listener, or a connect that failed. */
static int tcp_disconnect(struct tcp_sock *t)
{
    struct sock *sk = &t->in.sk;
    struct inet_table *tab = inet_table_of(&t->in);
    abort_conn(t, LX_ECONNRESET);
    u32 state = sock_state(sk);
    if (state == SOCK_LISTEN)
        stop_listening(t);
    mutex_lock(&tab->lock);
    (void)leave_syn_q(t);
    t->syn_until_ns = 0;
    if (state == SOCK_SYN_SENT)
        tcp_done(t, LX_ECONNRESET);
    else if (state != SOCK_LISTEN && state != SOCK_CLOSED)
        tcp_rst(t, LX_ECONNRESET);
    forget(t);
    if (!t->in.is_port_bound)
        inet_put_port(&t->in);
    mutex_unlock(&tab->lock);
    waitq_wake(&sk->wq, WAIT_ALL);
    return 0;
}

/* What rules make of the answer to t's SYN: by l, or (NULL) a reset. */
static int judge_answer(struct tcp_sock *t, const struct tcp_sock *l)
{
    if (tcp_judge_back(t, l ? &l->in.sk : NULL, l ? TCP_STEP_SYN_ACK : TCP_STEP_RST, 0, 0) < 0)
        return -LX_EAGAIN;
    if (l)
        (void)!tcp_judge(t, TCP_STEP_ACK, 0, 0); /* the first data says it again */
    return 0;
}

/* NAT has made *at of the SYN: what the peer's own tuple is. */
static void set_far(struct tcp_sock *t, const struct dgram_cb *at)
{
    const struct inet_sock *i = &t->in;
    t->far = (struct tcp_tuple){at->daddr, at->saddr, at->dport, at->sport};
    t->is_nat = at->sport != i->sport || at->dport != i->dport || !ipaddr_equal(&at->saddr, &i->saddr) ||
                !ipaddr_equal(&at->daddr, &i->daddr);
}

/* Does NAT send a connection to another host to this one? */
static bool turns_home(const struct tcp_sock *t)
{
    const struct inet_sock *i = &t->in;
    struct dgram_cb cb = {
        .saddr = i->saddr, .daddr = i->daddr, .sport = i->sport, .dport = i->dport, .ttl = 64};
    return nf_is_on(i->sk.ns, NF_NAT_OUT) && nf_turns_home(i->sk.ns, &i->sk, &cb, LX_IPPROTO_TCP);
}

/* A SYN over the loopback: state is SYN_SENT, ESTABLISHED, or CLOSED with an error then. REQUIRES the
 * table's lock. */
static void send_syn(struct tcp_sock *t, struct tcp_sock *child)
{
    struct inet_sock *i = &t->in;
    struct inet_table *tab = inet_table_of(i);
    struct dgram_cb at = {.saddr = i->saddr, .daddr = i->daddr, .sport = i->sport, .dport = i->dport};
    bool is_ruled = nf_is_on(i->sk.ns, NF_ALL);
    int r = is_ruled ? tcp_judge_syn(t, &at) : 0;
    if (r == 0)
        set_far(t, &at);
    struct tcp_sock *l = r == 0 ? tcp_find_listener(tab, &at.saddr, at.sport, &at.daddr, at.dport, LO_IFINDEX) : NULL;
    bool is_self = !l && at.sport == at.dport && ipaddr_equal(&at.saddr, &at.daddr);
    if (r == 0 && is_ruled)
        r = judge_answer(t, is_self ? t : l);
    bool is_lost = r == -LX_EAGAIN;
    if (r == 0)
        r = l ? tcp_establish(t, l, child) : is_self ? tcp_establish_self(t) : -LX_ECONNREFUSED;
    if (wire_is_watched(i->sk.ns) && !is_lost) {
        if (r == 0)
            tcp_show_open(t);
        else if (r == -LX_ECONNREFUSED)
            tcp_show_refused(t);
    }
    if (is_lost) {
        wait_for_retry(t);
    } else if (r == -LX_EAGAIN) {
        enter_syn_q(t, l);
    } else if (r < 0) {
        STAT(i->sk.ns, tcp_active_opens);
        STAT(i->sk.ns, tcp_attempt_fails);
        if (r == -LX_ECONNREFUSED)
            STAT(i->sk.ns, tcp_out_rsts);
        tcp_done(t, -r);
    }
    tcp_put(l);
}

/* Sets the tuple and sends the "SYN". 0: state is SYN_SENT, ESTABLISHED, or CLOSED with an error. */
static int start_connect(struct tcp_sock *t, struct inet_dest *d, struct tcp_sock *child)
{
    struct inet_sock *i = &t->in;
    struct inet_table *tab = inet_table_of(i);
    ipaddr src;
    MUTEX_GUARD(&tab->lock);
    int r = inet_route(i, &d->addr, &i->rcv_saddr, i->sk.bound_dev, &src);
    if (r == 0 && (ipaddr_is_multicast(&d->addr) || ipaddr_is_broadcast(&d->addr)))
        r = -LX_ENETUNREACH;
    if (r < 0)
        return r;
    mutex_lock(&i->sk.lock);
    i->daddr = d->addr;
    i->dport = d->port;
    i->saddr = src;
    if (ipaddr_is_any(&i->rcv_saddr))
        i->rcv_saddr = src;
    i->scope_id = d->scope_id;
    sock_set_state(&i->sk, SOCK_SYN_SENT);
    atomic_store(&i->sk.shutdown, 0);
    mutex_unlock(&i->sk.lock);
    r = inet_get_conn_port(i);
    if (r < 0) {
        sock_set_state(&i->sk, SOCK_CLOSED);
        forget(t);
        return r;
    }
    inet_hash_tuple(i);
    t->syn_until_ns = 0;
    if (inet_is_remote(i->sk.ns, &i->daddr, i->sk.bound_dev) && !turns_home(t)) {
        r = stk_tcp_connect(t);
        if (r < 0)
            tcp_done(t, -r);
        return 0;
    }
    send_syn(t, child);
    return 0;
}

/* The SYN of a connect was lost: its time has come. */
static void send_syn_again(struct tcp_sock *t)
{
    struct inet_table *tab = inet_table_of(&t->in);
    int err;
    if (!t->syn_until_ns)
        return;
    struct tcp_sock *child = tcp_new(t->in.sk.ns, t->in.sk.family, &err);
    mutex_lock(&tab->lock);
    if (!t->syn_until_ns || sock_state(&t->in.sk) != SOCK_SYN_SENT || t->listener)
        ;
    else if (!child || clock_mono_ns() >= t->syn_until_ns)
        wait_for_retry(t);
    else
        send_syn(t, child);
    mutex_unlock(&tab->lock);
    tcp_put(child);
    waitq_wake(&t->in.sk.wq, WAIT_ALL);
}

static int wait_syn(struct tcp_sock *t, s64 deadline)
{
    struct sock *sk = &t->in.sk;
    return wait_event_interruptible(&sk->wq, WAIT_ALL, sock_state(sk) != SOCK_SYN_SENT, deadline);
}

int tcp_wait_connected(struct tcp_sock *t, s64 deadline)
{
    struct sock *sk = &t->in.sk;
    while (sock_state(sk) == SOCK_SYN_SENT) {
        int r = sock_error(sk);
        if (r < 0)
            return r;
        if (!deadline)
            return -LX_EAGAIN;
        r = wait_syn(t, deadline);
        if (r < 0)
            return sock_wait_error(r, deadline);
    }
    return 0;
}

/* The first half of connect: 1 when it had been started before. */
static int begin(struct tcp_sock *t, const union saddr *addr, u32 len)
{
    struct sock *sk = &t->in.sk;
    struct inet_dest d;
    mutex_lock(&sk->lock);
    enum tcp_connecting c = t->connecting;
    u32 state = sock_state(sk);
    mutex_unlock(&sk->lock);
    if (c == TCP_CONNECTING)
        return 1;
    if (c == TCP_CONNECTED || state != SOCK_CLOSED)
        return -LX_EISCONN;
    int r = inet_parse_dest(&t->in, addr, len, &d);
    if (r < 0)
        return r;
    struct tcp_sock *child = tcp_new(sk->ns, sk->family, &r);
    if (!child)
        return r;
    r = start_connect(t, &d, child);
    tcp_put(child);
    if (r < 0)
        return r;
    mutex_lock(&sk->lock);
    t->connecting = TCP_CONNECTING;
    mutex_unlock(&sk->lock);
    return 0;
}

int tcp_connect(struct sock *sk, const union saddr *addr, u32 len, bool is_nonblock)
{
    struct tcp_sock *t = tcp_sk(sk);
    if (len < sizeof(addr->family))
        return -LX_EINVAL;
    if (addr->family == LX_AF_UNSPEC)
        return tcp_disconnect(t);
    int r = begin(t, addr, len);
    if (r < 0)
        return r;
    /* A first non-blocking connect says EINPROGRESS even when the answer is there already. */
    if (is_nonblock && r == 0)
        return -LX_EINPROGRESS;
    if (sock_state(sk) == SOCK_SYN_SENT) {
        s64 deadline = sock_send_deadline(sk, is_nonblock);
        int pending = r == 0 ? -LX_EINPROGRESS : -LX_EALREADY;
        if (!deadline)
            return pending;
        r = wait_syn(t, deadline);
        if (r < 0)
            return r == -LX_ETIMEDOUT ? pending : sock_wait_error(r, deadline);
    }
    if (sock_state(sk) == SOCK_CLOSED) {
        r = sock_error(sk);
        (void)tcp_disconnect(t); /* cannot fail */
        return r ? r : -LX_ECONNABORTED;
    }
    mutex_lock(&sk->lock);
    t->connecting = TCP_CONNECTED;
    mutex_unlock(&sk->lock);
    return 0;
}

/* ---- listen, accept ------------------------------------------------------------------------ */

int tcp_listen(struct sock *sk, s32 backlog)
{
    struct tcp_sock *t = tcp_sk(sk);
    struct inet_table *tab = inet_table_of(&t->in);
    MUTEX_GUARD(&tab->lock);
    mutex_lock(&sk->lock);
    u32 state = sock_state(sk);
    bool is_ok = t->connecting == TCP_UNCONNECTED &&
                 (state == SOCK_CLOSED || state == SOCK_LISTEN);
    if (is_ok) {
        t->backlog = backlog;
        sock_set_state(sk, SOCK_LISTEN);
        atomic_store(&sk->shutdown, 0);
    }
    mutex_unlock(&sk->lock);
    if (!is_ok)
        return -LX_EINVAL;
    /* Two may have bound one port with SO_REUSEADDR; only one may listen on it. */
    int r = state == SOCK_LISTEN ? 0 : inet_get_port(&t->in, t->in.bucket ? t->in.sport : 0);
    if (r < 0)
        sock_set_state(sk, SOCK_CLOSED);
    return r;
}

static struct tcp_sock *next_child(struct tcp_sock *l, int *ret_err, bool *ret_is_waiting)
{
    struct tcp_sock *c;
    MUTEX_GUARD(&l->in.sk.lock);
    *ret_err = sock_state(&l->in.sk) == SOCK_LISTEN ? 0 : -LX_EINVAL;
    *ret_is_waiting = !list_empty(&l->syn_q);
    if (*ret_err)
        return NULL;
    list_for_each(c, &l->accept_q, accept_node) {
        if (c->is_deferred)
            continue;
        list_del(&c->accept_node);
        l->nqueued--;
        return c;
    }
    return NULL;
}

int tcp_accept(struct sock *sk, bool is_nonblock, struct sock **ret_child)
{
    struct tcp_sock *l = tcp_sk(sk), *c;
    s64 deadline = sock_recv_deadline(sk, is_nonblock);
    bool is_waiting;
    int err, r = 0;
    c = next_child(l, &err, &is_waiting);
    if (!c && !err && !deadline)
        return -LX_EAGAIN;
    if (!c && !err) {
        struct waiter w;
        waiter_init_thread(&w, WAIT_READABLE | WAIT_HUP);
        waitq_add_exclusive(&sk->wq, &w);
        while (!(c = next_child(l, &err, &is_waiting)) && !err) {
            r = park_interruptible(deadline);
            if (r < 0) {
                c = next_child(l, &err, &is_waiting);
                break;
            }
        }
        waitq_del(&sk->wq, &w);
    }
    if (c && is_waiting)
        (void)promote(l); /* one place, one client */
    if (!c)
        return err ? err : sock_wait_error(r, deadline);
    *ret_child = &c->in.sk;
    return 0;
}

/* Ends a listener: children that nobody accepted are reset, clients that wait refused. */
static void stop_listening(struct tcp_sock *t)
{
    struct inet_table *tab = inet_table_of(&t->in);
    struct tcp_sock *c;
    struct list children;
    list_init(&children);
    mutex_lock(&tab->lock);
    mutex_lock(&t->in.sk.lock);
    sock_set_state(&t->in.sk, SOCK_CLOSED);
    list_splice_tail(&children, &t->accept_q);
    t->nqueued = 0;
    mutex_unlock(&t->in.sk.lock);
    while ((c = list_first(&t->syn_q, struct tcp_sock, accept_node))) {
        sock_get(&c->in.sk);
        (void)leave_syn_q(c);
        tcp_done(c, LX_ECONNREFUSED);
        tcp_put(c);
    }
    mutex_unlock(&tab->lock);
    while ((c = list_first(&children, struct tcp_sock, accept_node))) {
        list_del(&c->accept_node);
        sock_set_flag(&c->in.sk, SKF_DEAD, true);
        abort_conn(c, 0);
        mutex_lock(&tab->lock);
        tcp_put(tcp_end_deferral(c)); /* not the last: the listener is being released */
        if (sock_state(&c->in.sk) != SOCK_CLOSED)
            tcp_rst(c, 0);
        inet_put_port(&c->in);
        forget(c);
        mutex_unlock(&tab->lock);
        tcp_put(c);
    }
}

/* ---- shutdown, close ----------------------------------------------------------------------- */

int tcp_shutdown(struct sock *sk, u32 how)
{
    struct tcp_sock *t = tcp_sk(sk);
    struct inet_table *tab = inet_table_of(&t->in);
    u32 state = sock_state(sk);
    if (state == SOCK_LISTEN || state == SOCK_SYN_SENT)
        return how & SHUT_RCV || state == SOCK_SYN_SENT ? tcp_disconnect(t) : 0;
    u32 old = atomic_fetch_or(&sk->shutdown, how);
    if (how & SHUT_SND && !(old & SHUT_SND) && state != SOCK_CLOSED) {
        struct stk_conn *conn = take_conn(t);
        if (conn) {
            stk_tcp_shutdown(conn);
            stk_conn_put(conn);
        } else {
            mutex_lock(&tab->lock);
            tcp_fin(t);
            mutex_unlock(&tab->lock);
        }
    }
    waitq_wake(&sk->wq, WAIT_ALL);
    return state == SOCK_CLOSED ? -LX_ENOTCONN : 0;
}

static bool has_unread(struct tcp_end *e)
{
    MUTEX_GUARD(&e->rx->lock);
    return bq_used(e->rx) > 0;
}

static bool is_flushed(struct sock *sk)
{
    u32 state = sock_state(sk);
    return state == SOCK_CLOSED || state == SOCK_FIN_WAIT2;
}

/* Over the stack the connection goes on without a file until its bytes and its FIN are acknowledged. */
static void release_conn(struct tcp_sock *t, struct stk_conn *conn)
{
    struct sock *sk = &t->in.sk;
    bool is_lingering = sock_has(sk, SKF_LINGER);
    struct tcp_end *e = tcp_take(t);
    bool is_abort = (is_lingering && sk->linger_s == 0) || (e && has_unread(e));
    stk_tcp_close(conn, is_abort);
    if (is_lingering && !is_abort) /* the time, or a signal, ends the wait: close(2) says nothing of it */
        (void)wait_event_interruptible(&sk->wq, WAIT_ALL, is_flushed(sk),
                                       deadline_after_ns((s64)MIN(sk->linger_s, 1U << 30) * NSEC_PER_SEC));
    mutex_lock(&sk->lock);
    struct tcp_end *own = take_ptr(t->end);
    mutex_unlock(&sk->lock);
    tcp_end_put(own);
    if (e)
        bq_purge(e->rx);
    tcp_end_put(e);
}

void tcp_release(struct sock *sk)
{
    struct tcp_sock *t = tcp_sk(sk);
    struct inet_table *tab = inet_table_of(&t->in);
    sock_set_flag(sk, SKF_DEAD, true);
    if (sock_state(sk) == SOCK_LISTEN)
        stop_listening(t);
    struct stk_conn *conn = take_conn(t);
    if (conn) {
        release_conn(t, conn);
        stk_conn_put(conn);
        return;
    }
    struct tcp_end *e = tcp_take(t);
    mutex_lock(&tab->lock);
    (void)leave_syn_q(t);
    if (timer_disarm(&t->syn_timer)) /* a retry's */
        tcp_put(t);
    u32 state = sock_state(sk);
    if (state == SOCK_SYN_SENT) {
        tcp_done(t, 0);
    } else if (e && state != SOCK_CLOSED) {
        bool is_abort = sock_has(sk, SKF_LINGER) && sk->linger_s == 0;
        if (is_abort || has_unread(e)) {
            tcp_rst(t, 0);
        } else {
            if (state == SOCK_ESTABLISHED || state == SOCK_CLOSE_WAIT)
                tcp_fin(t);
            if (sock_state(sk) == SOCK_FIN_WAIT2)
                tcp_wait_add(&t->in, SOCK_FIN_WAIT2);
        }
        tcp_done(t, 0);
    }
    inet_unhash_tuple(&t->in);
    inet_put_port(&t->in);
    forget(t); /* data that comes now finds nobody */
    mutex_unlock(&tab->lock);
    if (e && e->peer)
        waitq_wake(&e->peer->in.sk.wq, WAIT_WRITABLE);
    if (e)
        bq_purge(e->rx);
    tcp_end_put(e);
}
