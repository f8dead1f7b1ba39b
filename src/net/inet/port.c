/*
 * Ports: who holds which, and what may share one. The rules of sharing are those of Linux's
 * inet_csk_bind_conflict (TCP) and udp_lib_lport_inuse (UDP).
 *
 * Connections that were closed actively keep their port as a tcp_wait for TIME_WAIT's minute.
 * Nothing ticks for them: the oldest are dropped when the table is next touched.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "net/inet/inet.h"
#include "net/parts.h"

#define TIMEWAIT_NS (60 * NSEC_PER_SEC)
#define TW_REUSE_NS (1 * NSEC_PER_SEC) /* tcp_tw_reuse: for the loopback after a second */
#define MAX_WAITS   16384              /* net.ipv4.tcp_max_tw_buckets */

u32 net_random(void)
{
    static _Thread_local u64 state;
    if (unlikely(!state)) {
        if (getrandom(&state, sizeof(state), GRND_NONBLOCK) != sizeof(state))
            state = (u64)clock_mono_ns() ^ (u64)(uintptr_t)&state;
        state |= 1;
    }
    state ^= state << 13; /* xorshift: ports need to be spread, not secret */
    state ^= state >> 7;
    state ^= state << 17;
    return (u32)(state >> 32);
}

/* Buckets are zero until used: a namespace touches the pages of those that it needs. Locked. */
static struct list *bucket(struct list *l)
{
    if (!l->next)
        list_init(l);
    return l;
}

void inet_table_init(struct inet_table *t)
{
    mutex_init(&t->lock, "inet_table");
    list_init(&t->wait_fifo);
}

struct inet_ns *inet_ns_new(void)
{
    struct inet_ns *n = calloc(1, sizeof(*n));
    if (!n)
        return NULL;
    inet_table_init(&n->tcp);
    inet_table_init(&n->udp);
    inet_table_init(&n->icmp);
    inet_table_init(&n->icmp6);
    mutex_init(&n->mc_lock, "inet_groups");
    list_init(&n->groups);
    mutex_init(&n->raw_lock, "inet_raw");
    list_init(&n->raw);
    return n;
}

void inet_ns_free(struct inet_ns *n)
{
    if (!n)
        return;
    struct tcp_wait *w;
    while ((w = list_first(&n->tcp.wait_fifo, struct tcp_wait, fifo_node)))
        tcp_wait_drop(&n->tcp, w);
    inet_groups_free(n);
    free(n);
}

struct inet_table *inet_table_of(const struct inet_sock *i)
{
    struct inet_ns *n = i->sk.ns->inet_ns;
    switch (i->sk.protocol) {
    case LX_IPPROTO_TCP:
        return &n->tcp;
    case LX_IPPROTO_ICMP:
        return &n->icmp;
    case LX_IPPROTO_ICMPV6:
        return &n->icmp6;
    default:
        return &n->udp;
    }
}

/* ---- buckets ------------------------------------------------------------------------------- */

struct port_bucket *inet_find_bucket(struct inet_table *t, u16 port)
{
    struct port_bucket *b;
    list_for_each (b, bucket(&t->ports[port % PORT_BUCKETS]), node) {
        if (b->port == port)
            return b;
    }
    return NULL;
}

static struct port_bucket *bucket_get(struct inet_table *t, u16 port)
{
    struct port_bucket *b = inet_find_bucket(t, port);
    if (b || !(b = calloc(1, sizeof(*b))))
        return b;
    b->port = port;
    list_init(&b->holders);
    list_init(&b->waits);
    list_add_head(bucket(&t->ports[port % PORT_BUCKETS]), &b->node);
    return b;
}

static void bucket_trim(struct port_bucket *b)
{
    if (!list_empty(&b->holders) || !list_empty(&b->waits))
        return;
    list_del(&b->node);
    free(b);
}

static int hold(struct inet_sock *i, u16 port, bool is_counted)
{
    struct port_bucket *b = bucket_get(inet_table_of(i), port);
    if (!b)
        return -LX_ENOMEM;
    mutex_lock(&i->sk.lock);
    i->sport = port;
    mutex_unlock(&i->sk.lock);
    i->bucket = b;
    i->is_counted = is_counted;
    b->nbound += is_counted;
    /* The newest first: of equals, datagrams go to the sock that was bound last. */
    list_add_head(&b->holders, &i->port_node);
    return 0;
}

void inet_put_port(struct inet_sock *i)
{
    struct port_bucket *b = i->bucket;
    if (!b)
        return;
    list_del(&i->port_node);
    b->nbound -= i->is_counted;
    i->bucket = NULL;
    i->is_counted = i->is_port_bound = false;
    bucket_trim(b);
}

void inet_inherit_port(struct inet_sock *child, struct inet_sock *from)
{
    child->bucket = from->bucket;
    child->sport = from->sport;
    child->is_counted = true;
    child->bucket->nbound++;
    list_add_tail(&child->bucket->holders, &child->port_node);
}

/* ---- conflicts ----------------------------------------------------------------------------- */

/* is_a_only, is_b_only: IPV6_V6ONLY. An IPv6 "any" covers IPv4 too unless it is v6 only. */
static bool overlap(const ipaddr *a, bool is_a_only, const ipaddr *b, bool is_b_only)
{
    bool is_a4 = ipaddr_is_v4(a), is_b4 = ipaddr_is_v4(b);
    if (is_a4 == is_b4)
        return ipaddr_equal(a, b) || ipaddr_is_any(a) || ipaddr_is_any(b);
    if (is_a4)
        return ipaddr_is_any(b) && !is_b_only;
    return ipaddr_is_any(a) && !is_a_only;
}

static bool is_dev_overlap(const struct inet_sock *a, const struct inet_sock *b)
{
    return !a->sk.bound_dev || !b->sk.bound_dev || a->sk.bound_dev == b->sk.bound_dev;
}

struct rival { /* another holder as the rules see it */
    bool is_reuse, is_reuseport, is_listening, is_waiting;
    u32 uid;
};

static bool tcp_conflicts(const struct inet_sock *i, const struct rival *r, bool is_relaxed)
{
    bool is_reuse = sock_has(&i->sk, SKF_REUSEADDR);
    bool is_reuseport = sock_has(&i->sk, SKF_REUSEPORT);
    bool is_group = is_reuseport && r->is_reuseport && (r->is_waiting || r->uid == i->sk.uid);
    if (is_reuse && r->is_reuse && !r->is_listening)
        return !is_relaxed;
    return !is_relaxed || !is_group;
}

static bool udp_conflicts(const struct inet_sock *i, const struct rival *r, bool is_relaxed)
{
    if (!is_relaxed)
        return true;
    if (sock_has(&i->sk, SKF_REUSEADDR) && r->is_reuse)
        return false;
    return !(sock_has(&i->sk, SKF_REUSEPORT) && r->is_reuseport && r->uid == i->sk.uid);
}

/* is_relaxed: the port was asked for by number, so sharing is meant. */
static bool has_conflict(struct inet_sock *i, struct port_bucket *b, bool is_relaxed)
{
    bool is_tcp = i->sk.protocol == LX_IPPROTO_TCP;
    bool is_only = inet_opt(i) & IPF6_V6ONLY;
    struct inet_sock *o;
    list_for_each (o, &b->holders, port_node) {
        if (o == i || !is_dev_overlap(i, o))
            continue;
        if (!overlap(&i->rcv_saddr, is_only, &o->rcv_saddr, inet_opt(o) & IPF6_V6ONLY))
            continue;
        struct rival r = {sock_has(&o->sk, SKF_REUSEADDR), sock_has(&o->sk, SKF_REUSEPORT),
                          sock_state(&o->sk) == SOCK_LISTEN, false, o->sk.uid};
        if (is_tcp ? tcp_conflicts(i, &r, is_relaxed) : udp_conflicts(i, &r, is_relaxed))
            return true;
    }
    struct tcp_wait *w;
    list_for_each (w, &b->waits, port_node) {
        struct rival r = {w->is_reuse, w->is_reuseport, false, w->state == SOCK_TIME_WAIT, w->uid};
        if (overlap(&i->rcv_saddr, is_only, &w->saddr, w->is_v6only) &&
            tcp_conflicts(i, &r, is_relaxed))
            return true;
    }
    return false;
}

/* The range for automatic ports: IP_LOCAL_PORT_RANGE within the namespace's. */
static void port_range(const struct inet_sock *i, u32 *ret_low, u32 *ret_high)
{
    u32 low = (u32)net_sysctl(i->sk.ns, NSYS_PORT_LOW);
    u32 high = (u32)net_sysctl(i->sk.ns, NSYS_PORT_HIGH);
    u32 own = i->port_range, own_low = own & 0xffff, own_high = own >> 16;
    if (own_low && own_low >= low && own_low <= high)
        low = own_low;
    if (own_high && own_high <= high && own_high >= low)
        high = own_high;
    *ret_low = low;
    *ret_high = high;
}

/* Calls try for every port of the range, of parity `odd` first; the first it takes, or 0. */
static u16 scan_ports(struct inet_sock *i, u32 odd, bool (*try)(struct inet_sock *i, u16 port))
{
    u32 low, high;
    port_range(i, &low, &high);
    u32 n = high - low + 1, start = net_random() % n;
    start = (start & ~1U) | ((odd ^ low) & 1U);
    for (u32 half = 0; half < 2; half++) {
        for (u32 k = 0; k < n; k += 2) {
            u32 port = low + (start + half + k) % n;
            if (try(i, (u16)port))
                return (u16)port;
        }
        if (n == 1)
            break;
    }
    return 0;
}

static bool try_bind(struct inet_sock *i, u16 port)
{
    struct port_bucket *b = inet_find_bucket(inet_table_of(i), port);
    return !b || !has_conflict(i, b, false);
}

int inet_get_port(struct inet_sock *i, u16 port)
{
    struct inet_table *t = inet_table_of(i);
    tcp_wait_expire(t);
    if (!port) {
        port = scan_ports(i, 1, try_bind);
        return port ? hold(i, port, true) : -LX_EADDRINUSE;
    }
    struct port_bucket *b = inet_find_bucket(t, port);
    if (b && has_conflict(i, b, true))
        return -LX_EADDRINUSE;
    return i->bucket ? 0 : hold(i, port, true);
}

int inet_autobind(struct inet_sock *i)
{
    struct inet_table *t = inet_table_of(i);
    MUTEX_GUARD(&t->lock);
    int r = i->bucket ? 0 : inet_get_port(i, 0);
    return r == -LX_EADDRINUSE ? -LX_EAGAIN : r;
}

/* ---- connections --------------------------------------------------------------------------- */

u32 inet_tuple_hash(const ipaddr *saddr, u16 sport, const ipaddr *daddr, u16 dport)
{
    u64 h = saddr->d[0] ^ saddr->d[1] * 0x9e3779b97f4a7c15ULL;
    h ^= (daddr->d[0] ^ daddr->d[1]) * 0xc2b2ae3d27d4eb4fULL;
    h ^= ((u64)sport << 16 | dport) * 0x165667b19e3779f9ULL;
    h ^= h >> 29;
    h *= 0xbf58476d1ce4e5b9ULL;
    return (u32)(h >> 32);
}

void inet_hash_tuple(struct inet_sock *i)
{
    u32 h = inet_tuple_hash(&i->saddr, i->sport, &i->daddr, i->dport);
    list_add_head(bucket(&inet_table_of(i)->tuples[h % TUPLE_BUCKETS]), &i->tuple_node);
}

void inet_unhash_tuple(struct inet_sock *i)
{
    list_del(&i->tuple_node);
}

struct inet_sock *inet_find_tuple(struct inet_table *t, const ipaddr *saddr, u16 sport,
                                  const ipaddr *daddr, u16 dport)
{
    u32 h = inet_tuple_hash(saddr, sport, daddr, dport);
    struct inet_sock *i;
    list_for_each (i, bucket(&t->tuples[h % TUPLE_BUCKETS]), tuple_node) {
        if (i->sport == sport && i->dport == dport && ipaddr_equal(&i->saddr, saddr) &&
            ipaddr_equal(&i->daddr, daddr))
            return i;
    }
    return NULL;
}

/* May the connection i→daddr:dport use this local port? Gives up an old TIME_WAIT for it. */
static bool is_tuple_free(struct inet_sock *i, u16 port)
{
    struct inet_table *t = inet_table_of(i);
    if (inet_find_tuple(t, &i->saddr, port, &i->daddr, i->dport))
        return false;
    struct tcp_wait *w = tcp_wait_find(t, &i->saddr, port, &i->daddr, i->dport);
    if (!w)
        return true;
    bool is_old = w->state == SOCK_TIME_WAIT && net_sysctl(i->sk.ns, NSYS_TW_REUSE) &&
                  w->expires_ns - clock_mono_ns() < TIMEWAIT_NS - TW_REUSE_NS;
    if (is_old)
        tcp_wait_drop(t, w);
    return is_old;
}

static bool try_connect(struct inet_sock *i, u16 port)
{
    struct port_bucket *b = inet_find_bucket(inet_table_of(i), port);
    return !b || (b->nbound == 0 && is_tuple_free(i, port));
}

int inet_get_conn_port(struct inet_sock *i)
{
    tcp_wait_expire(inet_table_of(i));
    if (i->bucket)
        return is_tuple_free(i, i->sport) ? 0 : -LX_EADDRNOTAVAIL;
    u16 port = scan_ports(i, 0, try_connect);
    return port ? hold(i, port, false) : -LX_EADDRNOTAVAIL;
}

/* ---- TIME_WAIT ----------------------------------------------------------------------------- */

void tcp_wait_drop(struct inet_table *t, struct tcp_wait *w)
{
    list_del(&w->tuple_node);
    list_del(&w->fifo_node);
    list_del(&w->port_node);
    bucket_trim(w->bucket);
    t->nwaits--;
    free(w);
}

void tcp_wait_expire(struct inet_table *t)
{
    struct tcp_wait *w = list_first(&t->wait_fifo, struct tcp_wait, fifo_node);
    if (!w)
        return;
    s64 now = clock_mono_ns();
    for (; w && w->expires_ns <= now; w = list_first(&t->wait_fifo, struct tcp_wait, fifo_node))
        tcp_wait_drop(t, w);
}

void tcp_wait_restart(struct inet_table *t, struct tcp_wait *w, u8 state)
{
    w->state = state;
    w->expires_ns = clock_mono_ns() + TIMEWAIT_NS;
    list_del(&w->fifo_node);
    list_add_tail(&t->wait_fifo, &w->fifo_node);
}

struct tcp_wait *tcp_wait_find(struct inet_table *t, const ipaddr *saddr, u16 sport,
                               const ipaddr *daddr, u16 dport)
{
    u32 h = inet_tuple_hash(saddr, sport, daddr, dport);
    struct tcp_wait *w;
    list_for_each (w, bucket(&t->wait_tuples[h % TUPLE_BUCKETS]), tuple_node) {
        if (w->sport == sport && w->dport == dport && ipaddr_equal(&w->saddr, saddr) &&
            ipaddr_equal(&w->daddr, daddr))
            return w;
    }
    return NULL;
}

/* i is leaving: its port stays taken. Without memory or beyond the limit it does not, as on Linux.
 */
void tcp_wait_add(struct inet_sock *i, u8 state)
{
    struct inet_table *t = inet_table_of(i);
    tcp_wait_expire(t);
    struct tcp_wait *w = i->bucket && t->nwaits < MAX_WAITS ? calloc(1, sizeof(*w)) : NULL;
    if (!w)
        return;
    w->bucket = i->bucket;
    w->saddr = i->saddr;
    w->daddr = i->daddr;
    w->sport = i->sport;
    w->dport = i->dport;
    w->family = i->sk.family;
    w->is_reuse = sock_has(&i->sk, SKF_REUSEADDR);
    w->is_reuseport = sock_has(&i->sk, SKF_REUSEPORT);
    w->is_v6only = inet_opt(i) & IPF6_V6ONLY;
    w->uid = i->sk.uid;
    u32 h = inet_tuple_hash(&w->saddr, w->sport, &w->daddr, w->dport);
    list_add_head(bucket(&t->wait_tuples[h % TUPLE_BUCKETS]), &w->tuple_node);
    list_add_tail(&w->bucket->waits, &w->port_node);
    list_init(&w->fifo_node);
    t->nwaits++;
    tcp_wait_restart(t, w, state);
}
