/*
 * A connection between two queues as the segments that it would have been, for packet socks, raw
 * socks and filters. Sequence numbers follow from the tuple and the queue's positions, so that they
 * agree whenever somebody begins to look.
 */
#include <stdlib.h>
#include <string.h>

#include "net/filter.h"
#include "net/filter/hook.h"
#include "net/inet/tcp.h"
#include "net/inet/wire.h"

#define FIN    0x01U
#define SYN    0x02U
#define RST    0x04U
#define PSH    0x08U
#define ACK    0x10U
#define MSS    65495U
#define WINDOW 512U /* scaled by 7: 64 KiB */

struct tuple {
    struct dgram_cb cb;
    u32 iss, peer_iss;
};

/* As t sees it: what it sends. */
static struct tuple tuple_of(const struct tcp_sock *t)
{
    const struct inet_sock *i = &t->in;
    struct tuple r = {.cb = {.saddr = i->saddr,
                             .daddr = i->daddr,
                             .sport = i->sport,
                             .dport = i->dport,
                             .tos = (u8)i->tos,
                             .ttl = 64}};
    r.iss = inet_tuple_hash(&i->saddr, i->sport, &i->daddr, i->dport);
    r.peer_iss = inet_tuple_hash(&i->daddr, i->dport, &i->saddr, i->sport);
    return r;
}

/* As the peer sees it: what t is sent. */
static struct tuple tuple_back(const struct tcp_sock *t)
{
    struct tuple r = tuple_of(t);
    struct dgram_cb cb = r.cb;
    u32 iss = r.iss;
    cb.saddr = t->is_nat ? t->far.saddr : r.cb.daddr;
    cb.daddr = t->is_nat ? t->far.daddr : r.cb.saddr;
    cb.sport = t->is_nat ? t->far.sport : r.cb.dport;
    cb.dport = t->is_nat ? t->far.dport : r.cb.sport;
    return (struct tuple){.cb = cb, .iss = r.peer_iss, .peer_iss = iss};
}

static struct tuple mirror(const struct tuple *t)
{
    struct tuple r = *t;
    r.cb.saddr = t->cb.daddr;
    r.cb.daddr = t->cb.saddr;
    r.cb.sport = t->cb.dport;
    r.cb.dport = t->cb.sport;
    r.iss = t->peer_iss;
    r.peer_iss = t->iss;
    return r;
}

static u32 fill_head(const struct tuple *t, u32 flags, u32 seq, u32 ack, u8 head[WIRE_TCP + 4])
{
    u32 n = WIRE_TCP;
    memset(head, 0, WIRE_TCP + 4);
    put16(head, t->cb.sport);
    put16(head + 2, t->cb.dport);
    put32(head + 4, seq);
    put32(head + 8, flags & ACK ? ack : 0);
    head[13] = (u8)flags;
    put16(head + 14, flags & RST ? 0 : WINDOW);
    if (flags & SYN) {
        head[n] = 2;
        head[n + 1] = 4;
        put16(head + n + 2, MSS);
        n += 4;
    }
    head[12] = (u8)(n / 4 << 4);
    return n;
}

static struct wire build(const struct tuple *t, u32 flags, u32 seq, u32 ack, const u8 *data,
                         u32 size)
{
    u8 head[WIRE_TCP + 4];
    u32 n = fill_head(t, flags, seq, ack, head);
    return wire_new(&t->cb, LX_IPPROTO_TCP, head, n, data, size);
}

static void show(struct net_ns *ns, const struct tuple *t, u32 flags, u32 seq, u32 ack,
                 const u8 *data, u32 size)
{
    struct wire w = build(t, flags, seq, ack, data, size);
    if (!w.buf)
        return;
    wire_show(ns, &w);
    raw_deliver(ns, LX_IPPROTO_TCP, w.buf + w.l4, w.size - w.l4, &t->cb);
    wire_free(&w);
}

void tcp_show_open(struct tcp_sock *c)
{
    struct tuple t = tuple_of(c), back = mirror(&t);
    struct net_ns *ns = c->in.sk.ns;
    show(ns, &t, SYN, t.iss, 0, NULL, 0);
    show(ns, &back, SYN | ACK, back.iss, t.iss + 1, NULL, 0);
    show(ns, &t, ACK, t.iss + 1, back.iss + 1, NULL, 0);
}

void tcp_show_refused(struct tcp_sock *c)
{
    struct tuple t = tuple_of(c), back = mirror(&t);
    show(c->in.sk.ns, &t, SYN, t.iss, 0, NULL, 0);
    show(c->in.sk.ns, &back, RST | ACK, 0, t.iss + 1, NULL, 0);
}

void tcp_show_data(struct tcp_sock *s, u64 pos, const u8 *data, u32 size, u64 peer_pos)
{
    struct tuple t = tuple_of(s), back = mirror(&t);
    u32 seq = t.iss + 1 + (u32)pos, ack = t.peer_iss + 1 + (u32)peer_pos;
    show(s->in.sk.ns, &t, PSH | ACK, seq, ack, data, size);
    show(s->in.sk.ns, &back, ACK, ack, seq + size, NULL, 0);
}

/* Where the two directions stand. */
static void positions(struct tcp_sock *s, u64 *ret_tx, u64 *ret_rx)
{
    struct tcp_end *e cleanup(tcp_end_put_p) = tcp_take(s);
    *ret_tx = *ret_rx = 0;
    if (!e)
        return;
    mutex_lock(&e->tx->lock);
    *ret_tx = e->tx->tail;
    mutex_unlock(&e->tx->lock);
    mutex_lock(&e->rx->lock);
    *ret_rx = e->rx->tail + e->rx->is_eof;
    mutex_unlock(&e->rx->lock);
}

void tcp_show_fin(struct tcp_sock *s)
{
    struct tuple t = tuple_of(s), back = mirror(&t);
    u64 tx, rx;
    positions(s, &tx, &rx);
    u32 seq = t.iss + 1 + (u32)tx, ack = t.peer_iss + 1 + (u32)rx;
    show(s->in.sk.ns, &t, FIN | ACK, seq, ack, NULL, 0);
    show(s->in.sk.ns, &back, ACK, ack, seq + 1, NULL, 0);
}

void tcp_show_rst(struct tcp_sock *s)
{
    struct tuple t = tuple_of(s);
    u64 tx, rx;
    positions(s, &tx, &rx);
    show(s->in.sk.ns, &t, RST | ACK, t.iss + 1 + (u32)tx, t.peer_iss + 1 + (u32)rx, NULL, 0);
}

static u32 run_filter(struct sock *receiver, struct wire *w)
{
    if (!w->buf)
        return 0;
    struct bpf_packet p = {
        .buf = w->buf,
        .size = w->size,
        .net = w->net,
        .data = w->l4,
        .protocol = get16(w->buf + 12),
        .ifindex = LO_IFINDEX,
        .hatype = LX_ARPHRD_LOOPBACK,
    };
    u32 keep = filter_run(receiver, &p);
    wire_free(w);
    return keep;
}

u32 tcp_filter(struct sock *receiver, struct tcp_sock *from, u64 pos, const u8 *data, u32 size)
{
    struct tuple t = tuple_of(from);
    struct wire w = build(&t, PSH | ACK, t.iss + 1 + (u32)pos, t.peer_iss + 1, data, size);
    u32 keep = run_filter(receiver, &w);
    return keep ? MIN(MAX(keep, WIRE_TCP) - WIRE_TCP, size) : 0;
}

bool tcp_filter_syn(struct sock *listener, struct tcp_sock *from)
{
    struct tuple t = tuple_of(from);
    struct wire w = build(&t, SYN, t.iss, 0, NULL, 0);
    return run_filter(listener, &w);
}

static int judge(struct net_ns *ns, const struct sock *from, struct tuple *t, u32 flags, u64 pos,
                 u32 size)
{
    u8 head[WIRE_TCP + 4];
    bool is_hard;
    u32 seq = flags & SYN ? t->iss : t->iss + 1 + (u32)pos;
    u32 n = fill_head(t, flags, seq, t->peer_iss + 1, head);
    struct nf_fate f = nf_loopback(ns, from, &t->cb, LX_IPPROTO_TCP, head, n, size, NF_PLAIN);
    if (!f.is_lost)
        return 0;
    if (f.is_reset && !(flags & RST)) {
        struct tuple back = mirror(t);
        n = fill_head(&back, RST | ACK, 0, seq + size + !!(flags & (SYN | FIN)), head);
        f = nf_loopback(ns, NULL, &back.cb, LX_IPPROTO_TCP, head, n, 0, NF_ANSWER);
        return f.is_lost ? -LX_EAGAIN : -LX_ECONNRESET;
    }
    return f.code == NF_SILENT ? -LX_EAGAIN
                               : -nf_errno(!ipaddr_is_v4(&t->cb.daddr), f.code, &is_hard);
}

static const u8 flags_of[] = {SYN, SYN | ACK, ACK, PSH | ACK, FIN | ACK, RST | ACK};

int tcp_judge(const struct tcp_sock *s, enum tcp_step step, u64 pos, u32 size)
{
    struct tuple t = tuple_of(s);
    return judge(s->in.sk.ns, &s->in.sk, &t, flags_of[step], pos, size);
}

int tcp_judge_back(const struct tcp_sock *s, const struct sock *from, enum tcp_step step, u64 pos,
                   u32 size)
{
    struct tuple t = tuple_back(s);
    return judge(s->in.sk.ns, from, &t, flags_of[step], pos, size);
}

int tcp_judge_syn(const struct tcp_sock *s, struct dgram_cb *ret_at)
{
    struct tuple t = tuple_of(s);
    int r = judge(s->in.sk.ns, &s->in.sk, &t, SYN, 0, 0);
    *ret_at = t.cb;
    return r == -LX_ECONNRESET ? -LX_ECONNREFUSED : r;
}
