/*
 * Listening: half-open connections as small records, and SYN cookies when there are too many.
 *
 * A record holds what the handshake agreed on; the sock of the connection is made when the third
 * segment comes. With a cookie (as D. J. Bernstein's and Linux's) the initial number itself says
 * what was agreed, and the low bits of the timestamp hold the window scale and SACK.
 */
#include "net/stack/syn.h"

#include <stdlib.h>

#define BUCKETS   512U
#define MAX_HALF  1024U
#define RTO_NS    (1 * NSEC_PER_SEC)
#define COOKIE_NS (64 * NSEC_PER_SEC)
#define COOKIE_TS 63U /* bits of the timestamp: scale (4), no scale, SACK */

struct half {
    struct list node, fifo_node;
    struct ip_flow flow;
    u16 sport, dport; /* ours, theirs */
    u32 irs, iss, ts_recent, ts_offset, mtu;
    u16 mss;
    s8 wscale;
    bool has_ts, has_sack, has_ecn;
    u8 ntries;
    s64 next_ns;
};

struct syn_table {
    struct mutex lock;
    struct list buckets[BUCKETS];
    struct list fifo;
    u32 count;
    s64 cookies_ns; /* when the last one was sent */
};

static const u16 cookie_mss[8] = {536, 1220, 1300, 1380, 1440, 1460, 4312, 8960};

struct syn_table *syn_table_new(void)
{
    struct syn_table *t = calloc(1, sizeof(*t));
    if (!t)
        return NULL;
    mutex_init(&t->lock, "syn");
    list_init(&t->fifo);
    for (u32 i = 0; i < BUCKETS; i++)
        list_init(&t->buckets[i]);
    return t;
}

static void drop(struct syn_table *t, struct half *h)
{
    list_del(&h->node);
    list_del(&h->fifo_node);
    t->count--;
    free(h);
}

void syn_table_free(struct syn_table *t)
{
    struct half *h;
    if (!t)
        return;
    while ((h = list_first(&t->fifo, struct half, fifo_node)))
        drop(t, h);
    free(t);
}

static u64 tuple_hash(struct netstack *stk, const struct ip_flow *f, u16 sport, u16 dport, u64 more)
{
    struct {
        ipaddr a, b;
        u64 ports, more;
    } key = {f->src, f->dst, (u64)sport << 16 | dport, more};
    return stk_hash(stk, &key, sizeof(key));
}

static struct list *bucket_of(struct netstack *stk, const struct ip_flow *f, u16 sport, u16 dport)
{
    return &stk->syns->buckets[tuple_hash(stk, f, sport, dport, 0) % BUCKETS];
}

static struct half *find(struct netstack *stk, const struct ip_flow *f, u16 sport, u16 dport)
{
    struct half *h;
    list_for_each (h, bucket_of(stk, f, sport, dport), node) {
        if (h->sport == sport && h->dport == dport && ipaddr_equal(&h->flow.src, &f->src) &&
            ipaddr_equal(&h->flow.dst, &f->dst))
            return h;
    }
    return NULL;
}

/* ---- answering ----------------------------------------------------------------------------- */

static void send_synack(struct netstack *stk, const struct half *h, u32 tsval)
{
    struct tcp_tx t = {
        .seq = h->iss, .ack = h->irs + 1, .flags = TCPF_SYN | TCPF_ACK, .win = 65535};
    if (h->has_ecn)
        t.flags |= TCPF_ECE;
    u32 mss = MIN(h->mtu - stk_tcp_overhead(&h->flow.dst), 65535U);
    t.optlen = tcp_put_syn_opts(t.opts, (u16)mss, h->wscale >= 0 ? TCP_WSCALE : -1, h->has_sack,
                                h->has_ts, tsval, h->ts_recent);
    (void)stk_tcp_send(stk, &h->flow, NULL, h->sport, h->dport, &t); /* sent again by the tick */
}

static u32 now_ts(const struct half *h, s64 now)
{
    return (u32)(now / NSEC_PER_MSEC) + h->ts_offset;
}

/* ---- cookies ------------------------------------------------------------------------------- */

/* 5 bits of time, 3 of MSS, 24 of hash. */
static u32 make_cookie(struct netstack *stk, const struct half *h, s64 now)
{
    u32 minute = (u32)(now / COOKIE_NS), at = 0;
    while (at < 7 && cookie_mss[at + 1] <= h->mss)
        at++;
    u64 hash = tuple_hash(stk, &h->flow, h->sport, h->dport,
                          (u64)h->irs << 32 | (minute & 31) << 8 | at | 0x80);
    return (minute & 31) << 27 | at << 24 | (u32)(hash & 0xffffff);
}

static bool check_cookie(struct netstack *stk, struct half *h, s64 now)
{
    u32 minute = h->iss >> 27, at = h->iss >> 24 & 7, age = ((u32)(now / COOKIE_NS) - minute) & 31;
    if (age > 1)
        return false;
    u64 hash =
        tuple_hash(stk, &h->flow, h->sport, h->dport, (u64)h->irs << 32 | minute << 8 | at | 0x80);
    h->mss = cookie_mss[at];
    return (h->iss & 0xffffff) == (u32)(hash & 0xffffff);
}

static u32 cookie_ts(const struct half *h, s64 now)
{
    u32 bits = (h->wscale >= 0 ? (u32)h->wscale : 15) | (h->has_sack ? 16U : 0);
    return (now_ts(h, now) & ~COOKIE_TS) | bits;
}

/* ---- SYN ----------------------------------------------------------------------------------- */

static bool is_queue_full(struct tcp_sock *l)
{
    MUTEX_GUARD(&l->in.sk.lock);
    return (s64)l->nqueued > l->backlog;
}

/* tcp_syncookies 2: none is kept, to try cookies out. */
static u32 max_half(struct netstack *stk, s64 cookies)
{
    s64 asked = net_sysctl(stk->ns, NSYS_SYN_BACKLOG);
    return cookies == 2 ? 0 : (u32)MIN(MAX(asked, 1), (s64)MAX_HALF);
}

static void got_syn(struct rxpkt *p, const struct tcp_rx *s, struct half *in, struct tcp_sock *l,
                    s64 now)
{
    struct netstack *stk = p->ifc->stk;
    struct syn_table *t = stk->syns;
    struct stk_path path;
    ipaddr src = in->flow.src;
    if (is_queue_full(l)) {
        STK_COUNT(stk->ns->inet_ns, tcp_listen_overflows);
        return;
    }
    if (stk_route(stk, &in->flow.dst, in->flow.oif, &src, &path) < 0)
        return;
    in->mtu = path.mtu;
    in->irs = s->seq;
    in->mss = s->mss_opt ? MAX(s->mss_opt, (u16)TCP_MIN_MSS) : 536;
    in->wscale = net_sysctl(stk->ns, NSYS_WINDOW_SCALING) ? s->wscale : (s8)-1;
    in->has_ts = s->has_ts && net_sysctl(stk->ns, NSYS_TIMESTAMPS);
    in->has_sack = s->has_sack_ok && net_sysctl(stk->ns, NSYS_SACK);
    in->has_ecn = (s->flags & (TCPF_ECE | TCPF_CWR)) == (TCPF_ECE | TCPF_CWR) &&
                  net_sysctl(stk->ns, NSYS_ECN);
    in->ts_recent = s->tsval;
    in->ts_offset = stk_ts_offset(stk, &in->flow);
    in->iss = stk_isn(stk, &in->flow, in->sport, in->dport, now);
    mutex_lock(&t->lock);
    struct half *h = find(stk, &in->flow, in->sport, in->dport);
    if (h && h->irs != in->irs) {
        drop(t, h);
        h = NULL;
    }
    s64 cookies = net_sysctl(stk->ns, NSYS_SYNCOOKIES);
    bool is_cookie = false;
    if (!h) {
        h = t->count < max_half(stk, cookies) ? calloc(1, sizeof(*h)) : NULL;
        is_cookie = !h;
        if (h) {
            *h = *in;
            h->next_ns = now + RTO_NS;
            list_add_head(bucket_of(stk, &h->flow, h->sport, h->dport), &h->node);
            list_add_tail(&t->fifo, &h->fifo_node);
            t->count++;
        } else {
            t->cookies_ns = now;
        }
    }
    if (h)
        *in = *h;
    mutex_unlock(&t->lock);
    if (is_cookie && !cookies)
        return; /* it asks again */
    if (is_cookie)
        in->has_ecn = false; /* a cookie has no room for it */
    if (is_cookie)
        in->iss = make_cookie(stk, in, now);
    else
        stk_need_tick(stk);
    send_synack(stk, in, is_cookie ? cookie_ts(in, now) : now_ts(in, now));
}

/* ---- the third segment --------------------------------------------------------------------- */

static struct stk_conn *make_child(struct netstack *stk, const struct half *h,
                                   const struct tcp_rx *s, struct tcp_sock *l, s64 now)
{
    int r;
    struct tcp_sock *c = tcp_new(stk->ns, l->in.sk.family, &r);
    if (!c)
        return NULL;
    c->in.saddr = c->in.rcv_saddr = h->flow.src;
    c->in.daddr = h->flow.dst;
    c->in.sport = h->sport;
    c->in.dport = h->dport;
    c->in.scope_id = (u32)h->flow.oif;
    tcp_inherit(c, l);
    struct stk_conn *conn = stk_conn_new(stk, c);
    if (conn && stk_conn_attach(conn) < 0) {
        stk_conn_put(conn);
        conn = NULL;
    }
    if (conn) {
        struct tcb_accept a = {.iss = h->iss,
                               .irs = h->irs,
                               .mtu = h->mtu,
                               .mss = h->mss,
                               .wscale = h->wscale,
                               .has_ts = h->has_ts,
                               .has_sack = h->has_sack,
                               .has_ecn = h->has_ecn,
                               .ts_offset = h->ts_offset,
                               .ts_recent = s->has_ts ? s->tsval : h->ts_recent,
                               .win = s->win};
        c->connecting = TCP_CONNECTED;
        mutex_lock(&conn->tcb.lock);
        tcb_accept(&conn->tcb, &a, now);
        mutex_unlock(&conn->tcb.lock);
    }
    tcp_put(c); /* conn has it */
    return conn;
}

static void unmake_child(struct stk_conn *conn)
{
    struct tcp_sock *t = conn->t;
    mutex_lock(&conn->tcb.lock);
    tcb_end(&conn->tcb, 0);
    mutex_unlock(&conn->tcb.lock);
    struct stk_conn *own = take_ptr(t->conn);
    struct tcp_end *e = take_ptr(t->end);
    stk_conn_put(own);
    tcp_end_put(e);
    stk_conn_put(conn);
}

/* True: the segment was one of a handshake. */
static bool got_ack(struct rxpkt *p, const struct tcp_rx *s, struct half *in, struct tcp_sock *l,
                    s64 now)
{
    struct netstack *stk = p->ifc->stk;
    struct syn_table *t = stk->syns;
    bool is_known = false;
    mutex_lock(&t->lock);
    struct half *h = find(stk, &in->flow, in->sport, in->dport);
    if (h && s->ack == h->iss + 1) {
        *in = *h;
        is_known = true;
    }
    bool may_be_cookie = !h && t->cookies_ns && now - t->cookies_ns < 2 * COOKIE_NS;
    mutex_unlock(&t->lock);
    if (!is_known) {
        struct stk_path path;
        ipaddr src = in->flow.src;
        in->iss = s->ack - 1;
        in->irs = s->seq - 1;
        if (!may_be_cookie || !check_cookie(stk, in, now) ||
            stk_route(stk, &in->flow.dst, in->flow.oif, &src, &path) < 0)
            return false;
        in->mtu = path.mtu;
        in->ts_offset = stk_ts_offset(stk, &in->flow);
        in->has_ts = s->has_ts;
        in->wscale = s->has_ts && (s->tsecr & 15) != 15 ? (s8)MIN(s->tsecr & 15, 14U) : (s8)-1;
        in->has_sack = s->has_ts && s->tsecr & 16;
        in->ts_recent = s->tsval;
    } else if (s->seq - (in->irs + 1) > 65535) {
        return true; /* outside the window that was announced */
    }
    struct stk_conn *conn = make_child(stk, in, s, l, now);
    if (!conn)
        return true; /* as if it had been lost */
    int r = tcp_admit(l, conn->t);
    if (r < 0) {
        unmake_child(conn);
        if (r == -LX_EAGAIN)
            STK_COUNT(stk->ns->inet_ns, tcp_listen_overflows);
        return r == -LX_EAGAIN || r == -LX_EEXIST;
    }
    STK_COUNT(stk->ns->inet_ns, tcp_passive_opens);
    mutex_lock(&t->lock);
    h = find(stk, &in->flow, in->sport, in->dport);
    if (h && h->iss == in->iss)
        drop(t, h);
    mutex_unlock(&t->lock);
    stk_conn_lock(conn);
    tcb_input(&conn->tcb, s, now);
    stk_conn_unlock(conn);
    stk_conn_put(conn);
    return true;
}

void syn_input(struct rxpkt *p, const struct tcp_rx *s, u16 sport, u16 dport)
{
    struct netstack *stk = p->ifc->stk;
    struct syn_table *t = stk->syns;
    struct half in = {
        .flow = {.src = p->dst, .dst = p->src, .protocol = PROTO_TCP, .ttl = 64, .is_df = true},
        .sport = dport,
        .dport = sport};
    s64 now = clock_mono_ns();
    if (ipaddr_is_link_local(&p->src))
        in.flow.oif = p->ifc->index;
    if (s->flags & TCPF_RST) {
        mutex_lock(&t->lock);
        struct half *h = find(stk, &in.flow, dport, sport);
        if (h && s->seq == h->irs + 1)
            drop(t, h);
        mutex_unlock(&t->lock);
        return;
    }
    struct tcp_sock *l = tcp_listener_for(stk->ns, &p->src, sport, &p->dst, dport, p->ifc->index);
    struct tcp_rx seen = *s;
    bool is_taken = l && !stk_tcp_filter(&l->in.sk, p, &seen);
    if (is_taken)
        ; /* the listener's filter drops it: nobody answers */
    else if (l && (s->flags & (TCPF_SYN | TCPF_ACK)) == TCPF_SYN) {
        if (!(s->flags & TCPF_FIN))
            got_syn(p, s, &in, l, now);
        is_taken = true;
    } else if (l && s->flags & TCPF_ACK && !(s->flags & TCPF_SYN)) {
        is_taken = got_ack(p, s, &in, l, now);
    }
    tcp_put(l);
    if (!is_taken)
        stk_tcp_refuse(p, s, sport, dport);
}

bool syn_tick(struct netstack *stk, s64 now)
{
    struct syn_table *t = stk->syns;
    struct half again[32], *h, *tmp;
    u32 tries = (u32)net_sysctl(stk->ns, NSYS_SYNACK_RETRIES);
    u32 n = 0;
    bool is_busy = false;
    mutex_lock(&t->lock);
    list_for_each_safe (h, tmp, &t->fifo, fifo_node) {
        is_busy = true;
        if (h->next_ns > now || n == ARRAY_SIZE(again))
            continue;
        if (h->ntries >= tries) {
            drop(t, h);
            continue;
        }
        h->ntries++;
        h->next_ns = now + (RTO_NS << MIN(h->ntries, 6U));
        again[n++] = *h;
    }
    mutex_unlock(&t->lock);
    for (u32 i = 0; i < n; i++)
        send_synack(stk, &again[i], now_ts(&again[i], now));
    return is_busy;
}
