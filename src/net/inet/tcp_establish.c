/*
 * TCP connections come to be: the listener for a SYN, the two ends, the child in its listener's queue, and
 * children that wait for data first (TCP_DEFER_ACCEPT).
 */
#include <stdlib.h>

#include "net/filter.h"
#include "net/inet/tcp_conn.h"
#include "net/inet/wire.h"

/* ---- finding the listener ------------------------------------------------------------------ */

/* How well a listener fits: 0 not at all; exact address, then family, then interface count. */
static u32 score_of(const struct inet_sock *l, const ipaddr *daddr, s32 ifindex)
{
    bool is_v4 = ipaddr_is_v4(daddr);
    u32 score = 1;
    if (sock_state(&l->sk) != SOCK_LISTEN)
        return 0;
    if (!inet_is_v6(l) && !is_v4)
        return 0;
    if (inet_is_v6(l) && is_v4 && inet_opt(l) & IPF6_V6ONLY)
        return 0;
    if (l->sk.bound_dev && l->sk.bound_dev != ifindex)
        return 0;
    if (ipaddr_equal(&l->rcv_saddr, daddr))
        score += 8;
    else if (!ipaddr_is_any(&l->rcv_saddr) ||
             (ipaddr_is_v4(&l->rcv_saddr) && !is_v4))
        return 0;
    if (inet_is_v6(l) != is_v4)
        score += 2;
    if (l->sk.bound_dev)
        score += 4;
    return score;
}

struct tcp_sock *tcp_find_listener(struct inet_table *tab, const ipaddr *saddr, u16 sport,
                                   const ipaddr *daddr, u16 dport, s32 ifindex)
{
    struct port_bucket *b = inet_find_bucket(tab, dport);
    struct inet_sock *l, *best = NULL;
    u32 best_score = 0, nbest = 0;
    if (!b)
        return NULL;
    list_for_each(l, &b->holders, port_node) {
        u32 s = score_of(l, daddr, ifindex);
        if (s > best_score) {
            best = l;
            best_score = s;
            nbest = 0;
        }
        nbest += s && s == best_score && sock_has(&l->sk, SKF_REUSEPORT);
    }
    if (best && nbest > 1) {
        u32 pick = UINT32_MAX;
        list_for_each(l, &b->holders, port_node) {
            if (score_of(l, daddr, ifindex) == best_score && sock_has(&l->sk, SKF_REUSEPORT))
                pick = MIN(pick, filter_pick(&l->sk, NULL, 0));
        }
        if (pick < nbest)
            pick = nbest - 1 - pick; /* it counts in the order of binding; the newest is first here */
        else
            pick = (u32)((u64)inet_tuple_hash(saddr, sport, daddr, dport) * nbest >> 32);
        list_for_each(l, &b->holders, port_node) {
            if (score_of(l, daddr, ifindex) != best_score || !sock_has(&l->sk, SKF_REUSEPORT))
                continue;
            best = l;
            if (pick-- == 0)
                break;
        }
    }
    if (best)
        sock_get(&best->sk);
    return best ? tcp_sk(&best->sk) : NULL;
}

/* ---- establishing -------------------------------------------------------------------------- */

static struct tcp_end *end_new(struct tcp_sock *peer, struct bq *rx, struct bq *tx)
{
    struct tcp_end *e = calloc(1, sizeof(*e));
    if (!e)
        return NULL;
    ref_init(&e->ref);
    sock_get(&peer->in.sk);
    bq_get(rx);
    bq_get(tx);
    e->peer = peer;
    e->rx = rx;
    e->tx = tx;
    return e;
}

/* Gives a and b (which may be one sock) the two ends of a new connection. */
static int make_ends(struct tcp_sock *a, struct tcp_sock *b)
{
    struct bq *ab = bq_new(tcp_tx_limit(a, b));
    struct bq *ba = a == b ? ab : bq_new(tcp_tx_limit(b, a));
    struct tcp_end *ea = ab && ba ? end_new(b, ba, ab) : NULL;
    struct tcp_end *eb = ea && a != b ? end_new(a, ab, ba) : NULL;
    bq_put(ab);
    if (ba != ab)
        bq_put(ba);
    if (!ea || (a != b && !eb)) {
        tcp_end_put(ea);
        return -LX_ENOMEM;
    }
    a->end = ea;
    if (a != b)
        b->end = eb;
    return 0;
}

static void grow_sndbuf(struct tcp_sock *t)
{
    if (!sock_has(&t->in.sk, SKF_SNDBUF_LOCK))
        t->in.sk.sndbuf = TCP_SNDBUF_AUTO;
}

/* A child starts with its listener's options. */
void tcp_inherit(struct tcp_sock *c, struct tcp_sock *l)
{
    struct sock *cs = &c->in.sk, *ls = &l->in.sk;
    cs->family = ls->family; /* the child was made before its listener was known */
    cs->uid = ls->uid;
    cs->gid = ls->gid;
    atomic_store(&cs->flags, sock_flags(ls) & ~(SKF_DEAD | SKF_HAS_PEERCRED));
    cs->sndbuf = ls->sndbuf;
    cs->rcvbuf = ls->rcvbuf;
    cs->rcvlowat = ls->rcvlowat;
    cs->sndtimeo_ns = ls->sndtimeo_ns;
    cs->rcvtimeo_ns = ls->rcvtimeo_ns;
    cs->linger_s = ls->linger_s;
    cs->priority = ls->priority;
    cs->bound_dev = ls->bound_dev;
    cs->mark = ls->mark;
    cs->max_pacing_rate = ls->max_pacing_rate;
    cs->tsflags = ls->tsflags;
    c->in.opt = l->in.opt;
    c->in.tos = l->in.tos;
    c->in.ttl = l->in.ttl;
    c->in.tclass = l->in.tclass;
    c->in.hops = l->in.hops;
    c->in.pmtudisc = l->in.pmtudisc;
    c->in.pmtudisc6 = l->in.pmtudisc6;
    c->is_nodelay = l->is_nodelay;
    c->is_cork = l->is_cork;
    c->keepidle = l->keepidle;
    c->keepintvl = l->keepintvl;
    c->keepcnt = l->keepcnt;
    c->syncnt = l->syncnt;
    c->linger2 = l->linger2;
    c->window_clamp = l->window_clamp;
    c->user_timeout = l->user_timeout;
    c->maxseg = l->maxseg;
    c->cc = l->cc;
    c->is_inq = l->is_inq;
    filter_inherit(cs, ls);
}

/* REQUIRES the table's lock and l's. */
static void defer(struct tcp_sock *child, struct tcp_sock *l)
{
    sock_get(&l->in.sk);
    child->deferrer = l;
    child->is_deferred = true;
    l->ndeferred++;
    sock_get(&child->in.sk); /* the timer's */
    if (timer_arm(&child->syn_timer, clock_mono_ns() + tcp_defer_seconds(l) * NSEC_PER_SEC) < 0)
        tcp_put(child);
}

int tcp_establish(struct tcp_sock *c, struct tcp_sock *l, struct tcp_sock *child)
{
    int r = 0;
    tcp_lock_two(c, l);
    if (sock_state(&l->in.sk) != SOCK_LISTEN)
        r = -LX_ECONNREFUSED;
    else if ((s64)l->nqueued > l->backlog ||
             (filter_is_set(&l->in.sk) && !tcp_filter_syn(&l->in.sk, c)))
        r = -LX_EAGAIN;
    else if (c->is_nat && inet_find_tuple(inet_table_of(&c->in), &c->far.saddr, c->far.sport, &c->far.daddr,
                                          c->far.dport))
        r = -LX_EADDRNOTAVAIL; /* two clients that NAT made one: on Linux the second is answered by a reset */
    if (r == 0) {
        tcp_inherit(child, l);
        r = make_ends(c, child);
    }
    if (r == 0) {
        child->is_nat = c->is_nat;
        child->far = (struct tcp_tuple){c->in.saddr, c->in.daddr, c->in.sport, c->in.dport};
        child->in.saddr = child->in.rcv_saddr = c->is_nat ? c->far.saddr : c->in.daddr;
        child->in.daddr = c->is_nat ? c->far.daddr : c->in.saddr;
        child->in.dport = c->is_nat ? c->far.dport : c->in.sport;
        child->connecting = TCP_CONNECTED;
        grow_sndbuf(c);
        grow_sndbuf(child);
        inet_inherit_port(&child->in, &l->in);
        inet_hash_tuple(&child->in);
        sock_set_state(&child->in.sk, SOCK_ESTABLISHED);
        sock_set_state(&c->in.sk, SOCK_ESTABLISHED);
        sock_get(&child->in.sk); /* the queue's */
        list_add_tail(&l->accept_q, &child->accept_node);
        l->nqueued++;
        if (unlikely(l->defer_accept))
            defer(child, l);
    }
    tcp_unlock_two(c, l);
    if (r == 0) {
        STAT(c->in.sk.ns, tcp_active_opens);
        STAT(c->in.sk.ns, tcp_passive_opens);
        if (!child->is_deferred)
            waitq_wake_n(&l->in.sk.wq, WAIT_READABLE, 1);
    }
    return r;
}

struct tcp_sock *tcp_listener_for(struct net_ns *ns, const ipaddr *saddr, u16 sport, const ipaddr *daddr,
                                  u16 dport, s32 ifindex)
{
    struct inet_table *tab = &ns->inet_ns->tcp;
    MUTEX_GUARD(&tab->lock);
    return tcp_find_listener(tab, saddr, sport, daddr, dport, ifindex);
}

int tcp_admit(struct tcp_sock *l, struct tcp_sock *child)
{
    struct inet_table *tab = inet_table_of(&l->in);
    int r = 0;
    mutex_lock(&tab->lock);
    mutex_lock(&l->in.sk.lock);
    if (sock_state(&l->in.sk) != SOCK_LISTEN)
        r = -LX_ECONNREFUSED;
    else if ((s64)l->nqueued > l->backlog)
        r = -LX_EAGAIN;
    else if (inet_find_tuple(tab, &child->in.saddr, child->in.sport, &child->in.daddr, child->in.dport))
        r = -LX_EEXIST;
    if (r == 0) {
        inet_inherit_port(&child->in, &l->in);
        inet_hash_tuple(&child->in);
        sock_get(&child->in.sk); /* the queue's */
        list_add_tail(&l->accept_q, &child->accept_node);
        l->nqueued++;
    }
    mutex_unlock(&l->in.sk.lock);
    mutex_unlock(&tab->lock);
    if (r == 0)
        waitq_wake_n(&l->in.sk.wq, WAIT_READABLE, 1);
    return r;
}

/* ---- TCP_DEFER_ACCEPT ---------------------------------------------------------------------- */

struct tcp_sock *tcp_end_deferral(struct tcp_sock *c)
{
    struct tcp_sock *l = take_ptr(c->deferrer);
    if (!l)
        return NULL;
    mutex_lock(&l->in.sk.lock);
    l->ndeferred--;
    c->is_deferred = false;
    mutex_unlock(&l->in.sk.lock);
    if (timer_disarm(&c->syn_timer))
        tcp_put(c);
    return l;
}

void tcp_undefer_locked(struct tcp_sock *c)
{
    struct tcp_sock *l = tcp_end_deferral(c);
    if (!l)
        return;
    waitq_wake_n(&l->in.sk.wq, WAIT_READABLE, 1);
    tcp_put(l); /* not the last: a listener that is released ends all deferrals before */
}

void tcp_undefer(struct tcp_sock *c)
{
    struct inet_table *tab = inet_table_of(&c->in);
    mutex_lock(&tab->lock);
    struct tcp_sock *l = tcp_end_deferral(c);
    mutex_unlock(&tab->lock);
    if (l)
        waitq_wake_n(&l->in.sk.wq, WAIT_READABLE, 1);
    tcp_put(l);
}

int tcp_establish_self(struct tcp_sock *t)
{
    MUTEX_GUARD(&t->in.sk.lock);
    int r = make_ends(t, t);
    if (r == 0) {
        grow_sndbuf(t);
        sock_set_state(&t->in.sk, SOCK_ESTABLISHED);
    }
    return r;
}
