/*
 * TCP between the stack and the socks of net/inet: which connection a segment is for, what a
 * socket call does to its machine, and what the machine's events mean to the sock.
 */
#include "net/stack/tcp.h"

#include <stdlib.h>

#include "net/filter.h"
#include "net/stack/error.h"
#include "net/stack/syn.h"

#define CONFIRM_NS (5 * NSEC_PER_SEC) /* how often progress is told to the neighbour table */

static u64 pseudo(const struct ip_flow *f, u32 size)
{
    u8 tail[8] = {0};
    wr32(tail, size);
    tail[7] = PROTO_TCP;
    u64 sum = csum_add(0, tail, 8);
    return ipaddr_is_v4(&f->dst) ? csum_add(csum_add(sum, f->src.b + 12, 4), f->dst.b + 12, 4)
                                 : csum_add(csum_add(sum, f->src.b, 16), f->dst.b, 16);
}

u32 stk_tcp_overhead(const ipaddr *dst)
{
    return (ipaddr_is_v4(dst) ? IP4_HLEN : IP6_HLEN) + TCP_HLEN;
}

/* RFC 6528: a clock of 4 µs steps and a hash of the tuple. */
u32 stk_isn(struct netstack *stk, const struct ip_flow *f, u16 sport, u16 dport, s64 now)
{
    struct {
        ipaddr a, b;
        u64 ports;
    } key = {f->src, f->dst, (u64)sport << 16 | dport};
    return (u32)stk_hash(stk, &key, sizeof(key)) + (u32)(now / 4000);
}

u32 stk_ts_offset(struct netstack *stk, const struct ip_flow *f)
{
    struct {
        ipaddr a, b;
        u64 tag;
    } key = {f->src, f->dst, 0x7473};
    return (u32)stk_hash(stk, &key, sizeof(key));
}

int stk_tcp_send(struct netstack *stk, const struct ip_flow *f, struct stk_path *path, u16 sport,
                 u16 dport, const struct tcp_tx *t)
{
    struct txbuf b;
    struct ip_flow marked;
    txb_init(&b);
    if (t->is_ect) {
        marked = *f;
        marked.tos = (u8)((f->tos & ~3U) | 2U); /* ECT(0) */
        f = &marked;
    }
    memcpy(b.data, t->data, t->ndata * sizeof(t->data[0]));
    b.ndata = t->ndata;
    b.data_len = t->len;
    u32 hlen = TCP_HLEN + t->optlen;
    u8 *h = txb_push(&b, hlen);
    wr16(h, sport);
    wr16(h + 2, dport);
    wr32(h + 4, t->seq);
    wr32(h + 8, t->ack);
    h[12] = (u8)(hlen / 4 << 4);
    h[13] = t->flags;
    wr16(h + 14, t->win);
    wr16(h + 18, t->urg);
    memcpy(h + TCP_HLEN, t->opts, t->optlen);
    csum_store(h + 16, pseudo(f, hlen + t->len), false);
    b.l4 = b.off;
    b.is_csum_partial = true;
    b.csum_offset = 16;
    b.gso_size = t->gso_size;
    b.is_gso_v6 = !ipaddr_is_v4(&f->dst);
    atomic_fetch_add_explicit(&stk->ns->inet_ns->tcp_out_segs,
                              t->gso_size ? (t->len + t->gso_size - 1) / t->gso_size : 1,
                              memory_order_relaxed);
    if (t->flags & TCPF_RST)
        STK_COUNT(stk->ns->inet_ns, tcp_out_rsts);
    return ip_send(stk, f, path, &b);
}

void stk_tcp_refuse(struct rxpkt *p, const struct tcp_rx *s, u16 sport, u16 dport)
{
    struct ip_flow f = {
        .src = p->dst, .dst = p->src, .protocol = PROTO_TCP, .ttl = 64, .is_df = true, .is_answer = p->is_refused};
    struct tcp_tx t = {.flags = TCPF_RST};
    if (s->flags & TCPF_RST)
        return;
    if (s->flags & TCPF_ACK) {
        t.seq = s->ack;
    } else {
        t.flags |= TCPF_ACK;
        t.ack = s->seq + s->len + !!(s->flags & TCPF_SYN) + !!(s->flags & TCPF_FIN);
    }
    if (ipaddr_is_link_local(&f.dst))
        f.oif = p->ifc->index;
    (void)stk_tcp_send(p->ifc->stk, &f, NULL, dport, sport, &t); /* lost: asked for again */
}

static bool is_intact(struct rxpkt *p, struct tcp_rx *s)
{
    struct ip_flow f = {.src = p->src, .dst = p->dst};
    return tcp_parse(p->data, p->len, s) &&
           (p->is_csum_ok || csum_fold(csum_add(pseudo(&f, p->len), p->data, p->len)) == 0xffff);
}

void stk_tcp_reject(struct rxpkt *p)
{
    struct tcp_rx s;
    if (is_intact(p, &s))
        stk_tcp_refuse(p, &s, rd16(p->data), rd16(p->data + 2));
}

/* ---- the machine's effects ----------------------------------------------------------------- */

static struct stk_conn *conn_of(struct tcb *c)
{
    return container_of(c, struct stk_conn, tcb);
}

static int io_send(struct tcb *c, const struct tcp_tx *t)
{
    struct stk_conn *conn = conn_of(c);
    return stk_tcp_send(conn->stk, &conn->flow, &conn->path, conn->sport, conn->dport, t);
}

static void io_arm(struct tcb *c, s64 deadline)
{
    (void)!timer_arm(&conn_of(c)->timer, deadline); /* always succeeds */
}

static void io_on_state(struct tcb *c)
{
    struct tcp_sock *t = conn_of(c)->t;
    struct sock *sk = &t->in.sk;
    bool is_over = c->state == SOCK_CLOSED || c->state == SOCK_TIME_WAIT;
    if (is_over) {
        if (c->err && !c->is_orphan)
            atomic_store(&sk->err, c->err);
        mutex_lock(&c->tx->lock);
        c->tx->is_eof = c->tx->is_broken = true;
        mutex_unlock(&c->tx->lock);
    }
    if (c->state == SOCK_CLOSE_WAIT || c->state == SOCK_CLOSING || c->state == SOCK_TIME_WAIT ||
        c->state == SOCK_LAST_ACK) {
        t->is_done = true;
        atomic_fetch_or(&sk->shutdown, SHUT_RCV);
    }
    if (is_over)
        atomic_fetch_or(&sk->shutdown, SHUT_MASK);
    sock_set_state(sk, is_over ? SOCK_CLOSED : c->state);
}

static const struct tcb_io conn_io = {.send = io_send, .arm = io_arm, .on_state = io_on_state};

static void conn_timer(struct timer *timer)
{
    struct stk_conn *conn = container_of(timer, struct stk_conn, timer);
    if (!ref_get_unless_zero(&conn->ref))
        return;
    stk_conn_lock(conn);
    tcb_timer(&conn->tcb, clock_mono_ns());
    stk_conn_unlock(conn);
    stk_conn_put(conn);
}

/* ---- life ---------------------------------------------------------------------------------- */

static void apply_options(struct stk_conn *conn)
{
    struct tcb *c = &conn->tcb;
    struct tcp_sock *t = conn->t;
    struct sock *sk = &t->in.sk;
    const struct net_ns *ns = sk->ns;
    c->is_nodelay = t->is_nodelay;
    c->is_cork = t->is_cork;
    c->is_quickack_off = t->is_quickack_off;
    c->is_keepalive = sock_has(sk, SKF_KEEPALIVE);
    c->keepidle_s = (u32)(t->keepidle ? t->keepidle : net_sysctl(ns, NSYS_KEEPALIVE_TIME));
    c->keepintvl_s = (u32)(t->keepintvl ? t->keepintvl : net_sysctl(ns, NSYS_KEEPALIVE_INTVL));
    c->keepcnt = (u32)(t->keepcnt ? t->keepcnt : net_sysctl(ns, NSYS_KEEPALIVE_PROBES));
    c->syn_retries = (u32)(t->syncnt ? t->syncnt : net_sysctl(ns, NSYS_SYN_RETRIES));
    c->user_timeout_ms = (u32)t->user_timeout;
    c->max_retries = (u32)net_sysctl(ns, NSYS_RETRIES2);
    c->orphan_retries = (u32)net_sysctl(ns, NSYS_ORPHAN_RETRIES);
    if (!c->orphan_retries)
        c->orphan_retries = 8; /* as Linux reads the 0 */
    c->no_ts = !net_sysctl(ns, NSYS_TIMESTAMPS);
    c->no_sack = !net_sysctl(ns, NSYS_SACK);
    c->no_wscale = !net_sysctl(ns, NSYS_WINDOW_SCALING);
    c->no_idle_restart = !net_sysctl(ns, NSYS_SLOW_AFTER_IDLE);
    c->window_clamp = (u32)t->window_clamp;
    c->fin_timeout_s =
        t->linger2 < 0 ? 0 : (u32)(t->linger2 ? t->linger2 : net_sysctl(ns, NSYS_FIN_TIMEOUT));
    c->is_sndbuf_fixed = sock_has(sk, SKF_SNDBUF_LOCK);
    c->is_rcvbuf_fixed = sock_has(sk, SKF_RCVBUF_LOCK) || !net_sysctl(ns, NSYS_MODERATE_RCVBUF);
    if (sock_has(sk, SKF_RCVBUF_LOCK))
        c->rcv_wnd_max = MAX((u64)(u32)sk->rcvbuf / 2, 2048ULL);
    if (c->is_sndbuf_fixed) {
        mutex_lock(&c->tx->lock);
        c->tx->limit = MAX((u64)(u32)sk->sndbuf / 2, 2048ULL);
        mutex_unlock(&c->tx->lock);
    }
    if (c->cc.algo != (u32)t->cc)
        tcb_set_cc(c, (u32)t->cc);
}

struct stk_conn *stk_conn_new(struct netstack *stk, struct tcp_sock *t)
{
    struct stk_conn *conn = calloc(1, sizeof(*conn));
    struct bq *rx = bq_new(TCP_RCVBUF_INIT), *tx = bq_new(256 << 10);
    if (!conn || !rx || !tx) {
        bq_put(rx);
        bq_put(tx);
        free(conn);
        return NULL;
    }
    const struct inet_sock *i = &t->in;
    bool is_v4 = ipaddr_is_v4(&i->daddr);
    ref_init(&conn->ref);
    conn->stk = stk;
    sock_get(&t->in.sk);
    conn->t = t;
    conn->sport = i->sport;
    conn->dport = i->dport;
    s32 ttl = is_v4 ? i->ttl : i->hops;
    conn->flow = (struct ip_flow){.src = i->saddr,
                                  .dst = i->daddr,
                                  .protocol = PROTO_TCP,
                                  .is_df = true,
                                  .ttl = (u8)(ttl < 0 ? net_sysctl(i->sk.ns, NSYS_TTL) : ttl),
                                  .tos = (u8)(is_v4 ? i->tos : i->tclass),
                                  .oif = i->sk.bound_dev,
                                  .owner = &t->in.sk};
    if (!conn->flow.oif && ipaddr_is_link_local(&i->daddr))
        conn->flow.oif = (s32)i->scope_id;
    timer_init(&conn->timer, conn_timer);
    tcb_init(&conn->tcb, &conn_io, rx, tx);
    conn->tcb.hdr_overhead = stk_tcp_overhead(&i->daddr);
    conn->tcb.gso_max = 65535 - conn->tcb.hdr_overhead - TCP_OPT_MAX;
    if (t->maxseg)
        conn->tcb.mss_clamp = (u32)t->maxseg;
    apply_options(conn);
    return conn;
}

void stk_conn_put(struct stk_conn *conn)
{
    if (!conn || !ref_put(&conn->ref))
        return;
    timer_done(&conn->timer);
    tcb_done(&conn->tcb);
    tcp_put(conn->t);
    free(conn);
}

int stk_conn_attach(struct stk_conn *conn)
{
    struct tcp_end *e = calloc(1, sizeof(*e));
    if (!e)
        return -LX_ENOMEM;
    ref_init(&e->ref);
    e->rx = conn->tcb.rx;
    e->tx = conn->tcb.tx;
    bq_get(e->rx);
    bq_get(e->tx);
    ref_get(&conn->ref);
    e->conn = conn;
    ref_get(&conn->ref);
    conn->t->conn = conn;
    conn->t->end = e;
    return 0;
}

void stk_conn_lock(struct stk_conn *conn)
{
    mutex_lock(&conn->tcb.lock);
}

/* What stays behind in the table for TIME_WAIT. REQUIRES the table's lock. */
static void leave_wait(struct stk_conn *conn, struct inet_table *tab)
{
    struct inet_sock *i = &conn->t->in;
    const struct tcb *c = &conn->tcb;
    tcp_wait_add(i, SOCK_TIME_WAIT);
    struct tcp_wait *w = tcp_wait_find(tab, &i->saddr, i->sport, &i->daddr, i->dport);
    if (!w)
        return;
    w->is_remote = true;
    w->has_ts = c->has_ts;
    w->snd_nxt = (u32)c->nxt;
    w->rcv_nxt = (u32)c->rcv_nxt;
    w->ts_recent = c->ts_recent;
    w->ts_offset = c->ts_offset;
}

/* The machine is done: its sock leaves the table. */
static void finish(struct stk_conn *conn)
{
    struct tcp_sock *t = conn->t;
    struct inet_table *tab = inet_table_of(&t->in);
    struct stk_conn *own = NULL;
    mutex_lock(&tab->lock);
    if (t->conn == conn) {
        own = take_ptr(t->conn);
        if (conn->tcb.state == SOCK_TIME_WAIT)
            leave_wait(conn, tab);
        inet_unhash_tuple(&t->in);
        if (!t->in.is_port_bound || sock_has(&t->in.sk, SKF_DEAD))
            inet_put_port(&t->in);
    }
    mutex_unlock(&tab->lock);
    stk_conn_put(own);
}

/* Rules refused a segment with an answer: what that does to its sender. */
static void take_refusal(struct stk_conn *conn)
{
    struct tcb *c = &conn->tcb;
    struct nf_fate f = conn->path.fate;
    bool is_hard;
    conn->path.fate.is_lost = false;
    if (f.is_reset)
        tcb_end(c, c->state == SOCK_SYN_SENT     ? LX_ECONNREFUSED
                   : c->state == SOCK_CLOSE_WAIT ? LX_EPIPE
                                                 : LX_ECONNRESET);
    else if (f.code != NF_SILENT)
        tcb_soft_error(c, nf_errno(!ipaddr_is_v4(&conn->flow.dst), f.code, &is_hard), true,
                       clock_mono_ns());
}

void stk_conn_unlock(struct stk_conn *conn)
{
    struct tcb *c = &conn->tcb;
    struct sock *sk = &conn->t->in.sk;
    s64 now = 0;
    if (unlikely(conn->path.ifc && conn->path.mtu < c->path_mtu))
        tcb_set_mtu(c, conn->path.mtu, clock_mono_ns());
    if (unlikely(conn->path.fate.is_lost))
        take_refusal(conn);
    u32 e = tcb_take_events(c);
    bool is_confirmed = false;
    ipaddr hop = conn->path.nexthop;
    struct stk_iface *ifc = conn->path.ifc;
    if (e & TCB_PROGRESS && ifc && (now = clock_mono_ns()) - conn->confirmed_ns > CONFIRM_NS) {
        conn->confirmed_ns = now;
        is_confirmed = true;
    }
    mutex_unlock(&c->lock);
    if (is_confirmed)
        neigh_confirm(ifc, &hop);
    if (unlikely(e & TCB_CLOSED))
        finish(conn);
    u32 wake = (e & TCB_READABLE ? WAIT_READABLE : 0) | (e & TCB_WRITABLE ? WAIT_WRITABLE : 0) |
               (e & TCB_URGENT ? WAIT_READABLE | WAIT_PRI : 0) | (e & TCB_CHANGED ? WAIT_ALL : 0);
    if (wake)
        waitq_wake(&sk->wq, wake);
    if (e & TCB_URGENT)
        sock_urgent(sk);
}

/* ---- segments ------------------------------------------------------------------------------ */

/* A segment for a connection in TIME_WAIT. True: it was that; false: it may open a new connection.
 */
static bool wait_input(struct rxpkt *p, const struct tcp_rx *s, u16 sport, u16 dport,
                       struct inet_table *tab)
{
    struct ip_flow f = {
        .src = p->dst, .dst = p->src, .protocol = PROTO_TCP, .ttl = 64, .is_df = true};
    struct tcp_tx t = {.flags = TCPF_ACK};
    bool is_answer = false;
    mutex_lock(&tab->lock);
    struct tcp_wait *w = tcp_wait_find(tab, &p->dst, dport, &p->src, sport);
    if (!w || !w->is_remote) {
        mutex_unlock(&tab->lock);
        return false;
    }
    bool is_newer = w->has_ts && s->has_ts ? (s32)(s->tsval - w->ts_recent) > 0
                                           : (s32)(s->seq - w->rcv_nxt) > 0;
    if (s->flags & TCPF_SYN && !(s->flags & (TCPF_ACK | TCPF_RST)) && is_newer) { /* RFC 6191 */
        tcp_wait_drop(tab, w);
        mutex_unlock(&tab->lock);
        return false;
    }
    if (!(s->flags & TCPF_RST) &&
        (s->len || s->flags & (TCPF_SYN | TCPF_FIN) || s->seq != w->rcv_nxt)) {
        is_answer = true;
        t.seq = w->snd_nxt;
        t.ack = w->rcv_nxt;
        t.win = 65535 >> TCP_WSCALE;
        if (w->has_ts) {
            t.opts[0] = t.opts[1] = 1;
            t.opts[2] = 8;
            t.opts[3] = 10;
            wr32(t.opts + 4, (u32)(clock_mono_ns() / NSEC_PER_MSEC) + w->ts_offset);
            wr32(t.opts + 8, w->ts_recent);
            t.optlen = 12;
        }
        if (s->flags & TCPF_FIN)
            tcp_wait_restart(tab, w, SOCK_TIME_WAIT);
    }
    mutex_unlock(&tab->lock);
    if (is_answer)
        (void)stk_tcp_send(p->ifc->stk, &f, NULL, dport, sport, &t); /* lost: asked for again */
    return true;
}

static struct stk_conn *find_conn(struct net_ns *ns, const ipaddr *ours, u16 port,
                                  const ipaddr *theirs, u16 their_port)
{
    struct inet_table *tab = &ns->inet_ns->tcp;
    MUTEX_GUARD(&tab->lock);
    struct inet_sock *i = inet_find_tuple(tab, ours, port, theirs, their_port);
    struct stk_conn *conn = i ? tcp_sk(&i->sk)->conn : NULL;
    if (conn)
        ref_get(&conn->ref);
    return conn;
}

bool stk_tcp_filter(struct sock *sk, const struct rxpkt *p, struct tcp_rx *s)
{
    if (likely(!filter_is_set(sk)))
        return true;
    bool has_ip = p->data >= p->ip && p->data + p->len <= p->ip + p->ip_len; /* not reassembled */
    struct bpf_packet b = {
        .buf = has_ip ? p->ip : p->data,
        .size = has_ip ? p->ip_len : p->len,
        .data = has_ip ? (u32)(p->data - p->ip) : 0,
        .protocol = p->ip[0] >> 4 == 4 ? LX_ETH_P_IP : LX_ETH_P_IPV6,
        .ifindex = p->ifc->index,
        .hatype = LX_ARPHRD_ETHER,
    };
    u32 keep = filter_run(sk, &b), head = p->len - s->len;
    s->len = MIN(s->len, MAX(keep, head) - head); /* the header always stays */
    return keep != 0;
}

void stk_tcp_input(struct rxpkt *p)
{
    struct netstack *stk = p->ifc->stk;
    struct tcp_rx s;
    if (!p->is_dst_local || p->is_link_multicast)
        return;
    STK_COUNT(stk->ns->inet_ns, tcp_in_segs);
    if (!is_intact(p, &s)) {
        STK_COUNT(stk, tcp_in_errs);
        return;
    }
    if (p->gso_size)
        s.piece = p->gso_size;
    s.is_ce = (p->tos & 3) == 3;
    u16 sport = rd16(p->data), dport = rd16(p->data + 2);
    struct stk_conn *conn = find_conn(stk->ns, &p->dst, dport, &p->src, sport);
    if (likely(conn)) {
        if (stk_tcp_filter(&conn->t->in.sk, p, &s)) {
            stk_conn_lock(conn);
            tcb_input(&conn->tcb, &s, clock_mono_ns());
            stk_conn_unlock(conn);
        }
        stk_conn_put(conn);
        return;
    }
    if (!wait_input(p, &s, sport, dport, &stk->ns->inet_ns->tcp))
        syn_input(p, &s, sport, dport);
}

void tcp_error(struct netstack *stk, const struct stk_quote *q)
{
    struct stk_conn *conn = find_conn(stk->ns, &q->src, rd16(q->l4), &q->dst, rd16(q->l4 + 2));
    if (!conn)
        return;
    u32 seq = rd32(q->l4 + 4);
    stk_conn_lock(conn);
    struct tcb *c = &conn->tcb;
    u64 at = tcb_unwrap(c->una, seq);
    if (at >= c->una && at <= c->nxt) { /* about something that is on its way: not made up */
        if (q->err == LX_EMSGSIZE)
            tcb_set_mtu(c, stk_pmtu(stk, &q->dst, c->path_mtu), clock_mono_ns());
        else
            tcb_soft_error(c, q->err, q->is_hard, clock_mono_ns());
    }
    stk_conn_unlock(conn);
    stk_conn_put(conn);
}

/* ---- socket calls -------------------------------------------------------------------------- */

int stk_tcp_connect(struct tcp_sock *t)
{
    struct netstack *stk = t->in.sk.ns->stack;
    if (!stk_may_reach(stk, &t->in.daddr, t->in.dport))
        return -LX_EPERM;
    struct stk_conn *conn = stk_conn_new(stk, t);
    if (!conn)
        return -LX_ENOMEM;
    ipaddr src = conn->flow.src;
    int r = stk_route(stk, &conn->flow.dst, conn->flow.oif, &src, &conn->path);
    if (r == 0)
        r = stk_conn_attach(conn);
    if (r == 0) {
        s64 now = clock_mono_ns();
        mutex_lock(&conn->tcb.lock);
        conn->tcb.ts_offset = stk_ts_offset(stk, &conn->flow);
        conn->tcb.has_ts = false;
        conn->tcb.is_ecn_asked = net_sysctl(stk->ns, NSYS_ECN) == 1;
        tcb_connect(&conn->tcb, stk_isn(stk, &conn->flow, conn->sport, conn->dport, now),
                    conn->path.mtu, now);
        if (conn->path.fate.is_lost) /* looked at without the table's lock */
            io_arm(&conn->tcb, now);
        mutex_unlock(&conn->tcb.lock);
        STK_COUNT(stk->ns->inet_ns, tcp_active_opens);
    }
    stk_conn_put(conn);
    return r;
}

void stk_tcp_push(struct stk_conn *conn, bool is_more)
{
    stk_conn_lock(conn);
    tcb_push(&conn->tcb, is_more, clock_mono_ns());
    stk_conn_unlock(conn);
}

void stk_tcp_urgent(struct stk_conn *conn)
{
    stk_conn_lock(conn);
    tcb_urgent(&conn->tcb, clock_mono_ns());
    stk_conn_unlock(conn);
}

void stk_tcp_rcvd(struct stk_conn *conn)
{
    stk_conn_lock(conn);
    tcb_rcvd(&conn->tcb, clock_mono_ns());
    stk_conn_unlock(conn);
}

void stk_tcp_shutdown(struct stk_conn *conn)
{
    stk_conn_lock(conn);
    tcb_shutdown(&conn->tcb, clock_mono_ns());
    stk_conn_unlock(conn);
}

void stk_tcp_abort(struct stk_conn *conn, int err)
{
    stk_conn_lock(conn);
    tcb_abort(&conn->tcb, err, clock_mono_ns());
    stk_conn_unlock(conn);
}

void stk_tcp_close(struct stk_conn *conn, bool has_unread)
{
    stk_conn_lock(conn);
    tcb_close(&conn->tcb, has_unread, clock_mono_ns());
    stk_conn_unlock(conn);
}

void stk_tcp_opts(struct stk_conn *conn)
{
    stk_conn_lock(conn);
    apply_options(conn);
    tcb_opts_changed(&conn->tcb, clock_mono_ns());
    stk_conn_unlock(conn);
}

void stk_tcp_conn_get(struct stk_conn *conn)
{
    ref_get(&conn->ref);
}

s32 stk_tcp_unsent(struct stk_conn *conn)
{
    stk_conn_lock(conn);
    u64 end = tcb_data_end(&conn->tcb), n = end > conn->tcb.nxt ? end - conn->tcb.nxt : 0;
    stk_conn_unlock(conn);
    return (s32)MIN(n, (u64)INT32_MAX);
}

void stk_tcp_stat(struct stk_conn *conn, struct stk_tcp_stat *st)
{
    stk_conn_lock(conn);
    const struct tcb *c = &conn->tcb;
    s64 now = clock_mono_ns();
    u32 mss = MAX(c->mss, 1U);
    *st = (struct stk_tcp_stat){
        .mss = c->mss,
        .rcv_mss = c->rcv_mss,
        .adv_mss = c->adv_mss,
        .pmtu = c->path_mtu,
        .options = (u8)(c->has_ts | c->has_sack << 1 | c->has_wscale << 2 | c->has_ecn << 3 |
                        c->is_ce_seen << 4),
        .snd_wscale = c->snd_wscale,
        .rcv_wscale = c->rcv_wscale,
        .ca_state = c->ca == CA_OPEN       ? 0
                    : c->ca == CA_RECOVERY ? 3
                                           : 4,
        .retransmits = (u8)MIN(c->nretries, 255U),
        .probes = (u8)MIN(c->nprobes, 255U),
        .backoff = (u8)c->backoff,
        .rto_us = (u32)(c->rto_ns / 1000),
        .rtt_us = (u32)(c->srtt_ns / 1000),
        .rttvar_us = (u32)(c->rttvar_ns / 1000),
        .min_rtt_us = c->min_rtt_ns == INT64_MAX ? UINT32_MAX : (u32)(c->min_rtt_ns / 1000),
        .rcv_rtt_us = (u32)(c->rcv_rtt_ns / 1000),
        .cwnd = (u32)(c->cc.cwnd / mss),
        .ssthresh = c->cc.ssthresh == UINT64_MAX ? INT32_MAX : (u32)(c->cc.ssthresh / mss),
        .unacked = (u32)((c->nxt - c->una + mss - 1) / mss),
        .sacked = (u32)(c->sacked / mss),
        .lost = (u32)(c->lost / mss),
        .retrans = (u32)(c->retrans / mss),
        .total_retrans = c->total_retrans,
        .last_tx_ms = (u32)((now - c->last_data_tx_ns) / NSEC_PER_MSEC),
        .last_rx_ms = (u32)((now - c->last_data_rx_ns) / NSEC_PER_MSEC),
        .last_ack_ms = (u32)((now - c->last_rx_ns) / NSEC_PER_MSEC),
        .bytes_acked = c->bytes_acked + 1,
        .bytes_received = c->bytes_received,
        .bytes_sent = c->bytes_sent,
        .bytes_retrans = c->bytes_retrans,
        .segs_out = c->segs_out,
        .segs_in = c->segs_in,
        .data_segs_in = c->data_segs_in,
        .data_segs_out = c->data_segs_out,
        .delivered = c->delivered,
        .dsack_dups = c->ndsacks,
        .rcv_ooopack = c->nooo,
        .snd_wnd = (u32)c->snd_wnd,
        .rcv_wnd = (u32)(c->rcv_adv > c->rcv_nxt ? c->rcv_adv - c->rcv_nxt : 0),
        .rcv_space = (u32)c->rcv_wnd_max,
    };
    stk_conn_unlock(conn);
}
