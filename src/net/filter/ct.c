/*
 * The table of connections; see ct.h.
 *
 * Lock: ct_ns.lock, a leaf, guards the table and what changes of a connection that is in it. A
 * connection that is not in it yet belongs to the thread that has its packet.
 */
#include "net/filter/ct.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/list.h"
#include "net/inet/inet.h"
#include "net/stack/stack.h"

#define BUCKETS    4096U
#define SWEEP      4U /* buckets that a new connection looks through for what has expired */
#define TRIES      128U
#define SECONDS    NSEC_PER_SEC
#define TCP_FIN    0x01U
#define TCP_SYN    0x02U
#define TCP_RST    0x04U
#define TCP_ACK    0x10U
#define ICMP_QUOTE 8U /* bytes of a quoted transport header */

enum tcp_step { TCP_SENT, TCP_RECV, TCP_OPEN, TCP_FIN_WAIT, TCP_LAST, TCP_CLOSED };

struct end {
    struct list node; /* in a bucket; guarded by the table's lock */
    struct ct_tuple tuple;
    u8 dir; /* which of the two it is */
};

struct ct {
    struct end end[2]; /* tuples are fixed once it is in the table */
    struct ref ref;
    _Atomic s64 expires_ns; /* guarded by the table's lock, as below */
    u8 tcp;                 /* enum tcp_step */
    u8 closed;              /* a bit a direction: it sent a FIN */
    _Atomic bool is_confirmed, has_reply, is_assured;
    bool is_decided[2]; /* NAT, by enum ct_manip */
    bool is_mapped[2];
    bool is_set[2]; /* by a target */
    _Atomic u32 mark;
};

struct ct_ns {
    struct mutex lock;
    u64 secret[2];
    struct list *buckets; /* BUCKETS of them, or NULL: nothing was tracked yet */
    u32 count, sweep;
};

struct ct_ns *ct_ns_new(void)
{
    struct ct_ns *n = calloc(1, sizeof(*n));
    if (!n)
        return NULL;
    mutex_init(&n->lock, "conntrack");
    if (getrandom(n->secret, sizeof(n->secret), GRND_NONBLOCK) != sizeof(n->secret))
        n->secret[0] = (u64)clock_mono_ns() ^ (u64)(uintptr_t)n;
    return n;
}

static void put(struct ct *c)
{
    if (!c || !ref_put(&c->ref))
        return;
    net_mem_uncharge(sizeof(*c));
    free(c);
}

static struct ct *ct_of(struct end *e)
{
    return container_of(e - e->dir, struct ct, end[0]);
}

/* Takes c out of the table. REQUIRES the lock. */
static void forget(struct ct_ns *n, struct ct *c)
{
    list_del(&c->end[0].node);
    list_del(&c->end[1].node);
    n->count--;
    put(c);
}

void ct_ns_free(struct ct_ns *n)
{
    if (!n)
        return;
    for (u32 i = 0; n->buckets && i < BUCKETS; i++) {
        struct end *e;
        while ((e = list_first(&n->buckets[i], struct end, node)))
            forget(n, ct_of(e));
    }
    free(n->buckets);
    free(n);
}

void ct_release(struct xt_info *i)
{
    put(take_ptr(i->ct));
}

u32 ct_count(struct ct_ns *n)
{
    MUTEX_GUARD(&n->lock);
    return n->count;
}

/* ---- tuples -------------------------------------------------------------------------------- */

static bool is_icmp(u8 protocol)
{
    return protocol == PROTO_ICMP || protocol == PROTO_ICMPV6;
}

static bool has_ports(u8 protocol)
{
    return protocol == PROTO_TCP || protocol == PROTO_UDP;
}

/* The type that answers an ICMP query, or -1. */
static s32 answer_type(u8 protocol, u8 type)
{
    static const u8 v4[][2] = {{8, 0}, {13, 14}, {15, 16}, {17, 18}};
    if (protocol == PROTO_ICMPV6)
        return type == 128 ? 129 : type == 129 ? 128 : -1;
    for (size_t i = 0; i < ARRAY_SIZE(v4); i++) {
        if (v4[i][0] == type)
            return v4[i][1];
        if (v4[i][1] == type)
            return v4[i][0];
    }
    return -1;
}

static bool is_query(u8 protocol, u8 type)
{
    return protocol == PROTO_ICMPV6 ? type == 128
                                    : type == 8 || type == 13 || type == 15 || type == 17;
}

/* False: no connection can be told from it. */
static bool tuple_of(u8 protocol, const struct lx_in6_addr *src, const struct lx_in6_addr *dst,
                     const u8 *l4, u32 len, struct ct_tuple *ret)
{
    *ret = (struct ct_tuple){.src = *src, .dst = *dst, .protocol = protocol};
    if (has_ports(protocol)) {
        if (len < 4)
            return false;
        ret->sport = rd16(l4);
        ret->dport = rd16(l4 + 2);
    } else if (is_icmp(protocol)) {
        if (len < ICMP_HLEN || answer_type(protocol, l4[0]) < 0)
            return false;
        ret->sport = rd16(l4 + 4);
        ret->dport = (u16)(l4[0] << 8 | l4[1]);
    }
    return true;
}

static struct ct_tuple turned(const struct ct_tuple *t)
{
    struct ct_tuple r = {.src = t->dst, .dst = t->src, .protocol = t->protocol};
    if (is_icmp(t->protocol)) {
        r.sport = t->sport;
        r.dport = (u16)(answer_type(t->protocol, (u8)(t->dport >> 8)) << 8 | (t->dport & 0xff));
    } else {
        r.sport = t->dport;
        r.dport = t->sport;
    }
    return r;
}

static bool is_equal(const struct ct_tuple *a, const struct ct_tuple *b)
{
    return a->sport == b->sport && a->dport == b->dport && a->protocol == b->protocol &&
           ipaddr_equal(&a->src, &b->src) && ipaddr_equal(&a->dst, &b->dst);
}

static struct list *bucket_of(struct ct_ns *n, const struct ct_tuple *t)
{
    return &n->buckets[net_hash(n->secret, t, sizeof(*t)) % BUCKETS];
}

/* The end whose tuple is t. REQUIRES the lock. */
static struct end *find(struct ct_ns *n, const struct ct_tuple *t)
{
    struct end *e;
    if (!n->buckets)
        return NULL;
    s64 now = clock_mono_ns();
    list_for_each (e, bucket_of(n, t), node) {
        if (!is_equal(&e->tuple, t))
            continue;
        if (ct_of(e)->expires_ns > now)
            return e;
        forget(n, ct_of(e));
        return NULL;
    }
    return NULL;
}

/* ---- making room --------------------------------------------------------------------------- */

/* Looks through some buckets for what has expired, or, when it is urgent, what nothing shows to be
 * in use. */
static void sweep(struct ct_ns *n, u32 nbuckets, bool is_urgent)
{
    s64 now = clock_mono_ns();
    while (nbuckets--) {
        struct list *b = &n->buckets[n->sweep++ % BUCKETS], *at, *next;
        for (at = b->next; at != b; at = next) {
            struct end *e = list_entry(at, struct end, node);
            struct ct *c = ct_of(e);
            next = at->next;
            if (next == &c->end[!e->dir].node) /* both ends in one bucket */
                next = next->next;
            if (c->expires_ns > now && !(is_urgent && !c->is_assured))
                continue;
            forget(n, c);
            if (is_urgent)
                return;
        }
    }
}

static bool make_table(struct ct_ns *n)
{
    if (n->buckets)
        return true;
    n->buckets = malloc(BUCKETS * sizeof(*n->buckets));
    for (u32 i = 0; n->buckets && i < BUCKETS; i++)
        list_init(&n->buckets[i]);
    return n->buckets;
}

/* ---- time and state ------------------------------------------------------------------------ */

static s64 tcp_life(u8 step)
{
    static const s64 seconds[] = {[TCP_SENT] = 120,     [TCP_RECV] = 60,  [TCP_OPEN] = 432000,
                                  [TCP_FIN_WAIT] = 120, [TCP_LAST] = 120, [TCP_CLOSED] = 10};
    return seconds[step] * SECONDS;
}

static void tcp_advance(struct ct *c, u8 dir, u8 flags)
{
    if (flags & TCP_RST) {
        c->tcp = TCP_CLOSED;
    } else if (flags & TCP_FIN) {
        c->closed |= (u8)(1U << dir);
        c->tcp = c->closed == 3 ? TCP_LAST : TCP_FIN_WAIT;
    } else if (flags & TCP_SYN) {
        if (flags & TCP_ACK && dir == CT_REPLY && c->tcp == TCP_SENT)
            c->tcp = TCP_RECV;
    } else if (flags & TCP_ACK && c->tcp <= TCP_RECV && (c->tcp == TCP_RECV || c->has_reply)) {
        c->tcp = TCP_OPEN;
        c->is_assured = true;
    }
}

static u8 tcp_flags(const struct xt_packet *p)
{
    return p->protocol == PROTO_TCP && p->l4_len >= TCP_HLEN ? p->l4[13] : 0;
}

/* A packet of c in this direction: REQUIRES the lock when c is in the table. */
static void refresh(struct ct *c, u8 dir, const struct xt_packet *p)
{
    s64 life = 600 * SECONDS;
    if (dir == CT_REPLY)
        c->has_reply = true;
    if (p->protocol == PROTO_TCP) {
        tcp_advance(c, dir, tcp_flags(p));
        life = tcp_life(c->tcp);
    } else if (p->protocol == PROTO_UDP) {
        c->is_assured |= c->has_reply && dir == CT_ORIGINAL;
        life = (c->is_assured ? 120 : 30) * SECONDS;
    } else if (is_icmp(p->protocol)) {
        life = 30 * SECONDS;
    }
    c->expires_ns = clock_mono_ns() + life;
}

/* ---- tracking ------------------------------------------------------------------------------ */

static bool is_error(const struct xt_packet *p)
{
    if (!is_icmp(p->protocol) || !p->l4_len)
        return false;
    u8 t = p->l4[0];
    return p->protocol == PROTO_ICMPV6 ? t >= 1 && t <= 4
                                       : t == 3 || t == 4 || t == 5 || t == 11 || t == 12;
}

/* The tuple of the packet that an error quotes, as an answer to it would come. */
static bool quoted(const struct xt_packet *p, struct ct_tuple *ret)
{
    const u8 *ip = p->l4 + ICMP_HLEN;
    u32 len = p->l4_len > ICMP_HLEN ? p->l4_len - ICMP_HLEN : 0;
    struct lx_in6_addr src = {0}, dst = {0};
    u32 head = p->is_v6 ? IP6_HLEN : len ? (ip[0] & 15U) * 4 : 0;
    if (head < (p->is_v6 ? IP6_HLEN : IP4_HLEN) || len < head + ICMP_QUOTE)
        return false;
    u8 protocol = p->is_v6 ? ip[6] : ip[9];
    if (p->is_v6) {
        memcpy(src.b, ip + 8, 16);
        memcpy(dst.b, ip + 24, 16);
    } else {
        src.h[5] = dst.h[5] = 0xffff;
        memcpy(src.b + 12, ip + 12, 4);
        memcpy(dst.b + 12, ip + 16, 4);
    }
    struct ct_tuple t;
    if (!tuple_of(protocol, &src, &dst, ip + head, len - head, &t))
        return false;
    *ret = turned(&t);
    return true;
}

static void take(struct xt_packet *p, struct ct *c, u8 state, u8 dir)
{
    ref_get(&c->ref);
    p->i.ct = c;
    p->i.state = state;
    p->i.dir = dir;
}

static void track_error(struct ct_ns *n, struct xt_packet *p)
{
    struct ct_tuple t;
    p->i.state = CT_INVALID;
    if (!quoted(p, &t))
        return;
    MUTEX_GUARD(&n->lock);
    struct end *e = find(n, &t);
    if (e)
        take(p, ct_of(e), CT_RELATED, e->dir);
}

static void track_answer(struct ct_ns *n, struct xt_packet *p)
{
    struct ct_tuple t;
    if (is_error(p) ? !quoted(p, &t)
                    : !tuple_of(p->protocol, &p->src, &p->dst, p->l4, p->l4_len, &t))
        return;
    MUTEX_GUARD(&n->lock);
    struct end *e = find(n, &t);
    if (e)
        take(p, ct_of(e), CT_RELATED, e->dir);
}

static struct ct *make(const struct ct_tuple *t, const struct xt_packet *p)
{
    if (!net_mem_charge(sizeof(struct ct)))
        return NULL;
    struct ct *c = calloc(1, sizeof(*c));
    if (!c) {
        net_mem_uncharge(sizeof(*c));
        return NULL;
    }
    ref_init(&c->ref);
    list_init(&c->end[0].node);
    list_init(&c->end[1].node);
    c->end[CT_ORIGINAL].tuple = *t;
    c->end[CT_REPLY].tuple = turned(t);
    c->end[CT_REPLY].dir = CT_REPLY;
    refresh(c, CT_ORIGINAL, p);
    return c;
}

/* May a packet that belongs to no connection begin one? */
static bool can_begin(const struct xt_packet *p)
{
    u8 flags = tcp_flags(p);
    if (p->protocol == PROTO_TCP)
        return p->l4_len >= TCP_HLEN && !(flags & TCP_RST) &&
               (flags & (TCP_SYN | TCP_ACK)) != (TCP_SYN | TCP_ACK) &&
               flags & (TCP_SYN | TCP_ACK | TCP_FIN);
    return !is_icmp(p->protocol) || is_query(p->protocol, p->l4[0]);
}

/* REQUIRES the lock. A SYN for a connection that is over begins another. */
static bool is_over(const struct ct *c, const struct xt_packet *p)
{
    return p->protocol == PROTO_TCP && (tcp_flags(p) & (TCP_SYN | TCP_ACK)) == TCP_SYN &&
           c->tcp >= TCP_FIN_WAIT;
}

void ct_track(struct ct_ns *n, struct xt_packet *p)
{
    struct ct_tuple t;
    if (p->i.ct || p->i.state == CT_UNTRACKED)
        return;
    if (p->i.state == CT_RELATED) { /* what a rule answers: it makes no connection */
        track_answer(n, p);
        return;
    }
    if (is_error(p)) {
        track_error(n, p);
        return;
    }
    p->i.state = CT_INVALID;
    if (!tuple_of(p->protocol, &p->src, &p->dst, p->l4, p->l4_len, &t))
        return;
    mutex_lock(&n->lock);
    struct end *e = find(n, &t);
    if (e && is_over(ct_of(e), p) && !p->i.is_dry) {
        forget(n, ct_of(e));
        e = NULL;
    }
    if (e) {
        struct ct *c = ct_of(e);
        if (!p->i.is_dry)
            refresh(c, e->dir, p);
        take(p, c, e->dir == CT_REPLY || c->has_reply ? CT_ESTABLISHED : CT_NEW, e->dir);
    }
    mutex_unlock(&n->lock);
    if (e || !can_begin(p))
        return;
    struct ct *c = make(&t, p);
    if (!c)
        return;
    take(p, c, CT_NEW, CT_ORIGINAL);
    put(c);
}

bool ct_confirm(struct ct_ns *n, struct xt_packet *p)
{
    struct ct *c = p->i.ct;
    if (!c || c->is_confirmed || p->i.state == CT_RELATED || p->i.is_dry)
        return true;
    MUTEX_GUARD(&n->lock);
    if (!make_table(n))
        return false;
    struct end *e = find(n, &c->end[CT_ORIGINAL].tuple);
    if (e) /* another packet of it was faster; the same decision was made for both, or this one is
              lost */
        return is_equal(&ct_of(e)->end[CT_REPLY].tuple, &c->end[CT_REPLY].tuple);
    if (find(n, &c->end[CT_REPLY].tuple))
        return false;
    sweep(n, SWEEP, false);
    if (n->count >= CT_MAX)
        sweep(n, BUCKETS / 8, true);
    if (n->count >= CT_MAX)
        return false;
    list_add_tail(bucket_of(n, &c->end[CT_ORIGINAL].tuple), &c->end[CT_ORIGINAL].node);
    list_add_tail(bucket_of(n, &c->end[CT_REPLY].tuple), &c->end[CT_REPLY].node);
    c->is_confirmed = true;
    n->count++;
    ref_get(&c->ref);
    return true;
}

/* ---- NAT ----------------------------------------------------------------------------------- */

bool ct_nat_begin(struct xt_packet *p, enum ct_manip m)
{
    struct ct *c = p->i.ct;
    if (!c || p->i.state != CT_NEW || c->is_confirmed || c->is_decided[m])
        return false;
    c->is_decided[m] = true;
    return true;
}

/* An address of the range, the same for the same pair of hosts. */
static struct lx_in6_addr pick_addr(struct ct_ns *n, const struct ct_tuple *t,
                                    const struct ct_range *r)
{
    struct lx_in6_addr a = r->min;
    struct {
        struct lx_in6_addr src, dst;
    } key = {t->src, t->dst};
    u32 low = net32(r->min.w[3]), high = net32(r->max.w[3]);
    u64 size = (u64)high - low + 1;
    if (high > low)
        a.w[3] = net32(low + (u32)(net_hash(n->secret, &key, sizeof(key)) % size));
    return a;
}

/* Ports that a source may get whose port is taken: of its own class, as on Linux. */
static void source_ports(u16 port, u32 *ret_min, u32 *ret_size)
{
    *ret_min = port < 512 ? 1 : port < 1024 ? 600 : 1024;
    *ret_size = (port < 512 ? 511U : port < 1024 ? 1023U : 65535U) - *ret_min + 1;
}

/* Gives want (a packet's tuple after NAT) a port that no other connection's answers come with. */
static bool pick_port(struct ct_ns *n, struct ct_tuple *want, enum ct_manip m,
                      const struct ct_range *r)
{
    u16 *port = m == CT_SOURCE ? &want->sport : &want->dport;
    u32 min = r->port_min, size = (u32)r->port_max - r->port_min + 1;
    MUTEX_GUARD(&n->lock);
    struct ct_tuple back = turned(want);
    bool is_in = !r->has_port || (*port >= r->port_min && *port <= r->port_max);
    if (is_in && !find(n, &back))
        return true;
    if (!has_ports(want->protocol) || (m == CT_DESTINATION && !r->has_port))
        return false;
    if (!r->has_port)
        source_ports(*port, &min, &size);
    u32 at = net_random() % size;
    for (u32 i = 0; i < MIN(size, TRIES); i++) {
        *port = (u16)(min + (at + i) % size);
        back = turned(want);
        if (!find(n, &back))
            return true;
    }
    return false;
}

bool ct_nat(struct ct_ns *n, struct xt_packet *p, enum ct_manip m, const struct ct_range *r)
{
    struct ct *c = p->i.ct;
    if (!c || c->is_confirmed)
        return true;
    struct ct_tuple want = turned(&c->end[CT_REPLY].tuple);
    if (r->has_addr && m == CT_SOURCE)
        want.src = pick_addr(n, &want, r);
    else if (r->has_addr)
        want.dst = pick_addr(n, &want, r);
    if (!pick_port(n, &want, m, r))
        return false;
    c->end[CT_REPLY].tuple = turned(&want);
    c->is_mapped[m] = c->is_set[m] = true;
    return true;
}

bool ct_nat_is_set(const struct xt_packet *p, enum ct_manip m)
{
    return p->i.ct && p->i.ct->is_set[m];
}

u32 ct_id(const struct xt_packet *p)
{
    return p->i.ct ? (u32)((uintptr_t)p->i.ct >> 4) : 0;
}

static void fix_csum_at(struct xt_packet *p, u32 at, const void *old, const void *new, u32 size,
                        bool is_pseudo)
{
    u16 sum;
    if (p->csum == XT_CSUM_NONE || p->l4_len < at + 2 || (p->csum == XT_CSUM_PSEUDO && !is_pseudo))
        return;
    memcpy(&sum, p->l4 + at, sizeof(sum));
    bool is_whole = p->csum == XT_CSUM_WHOLE;
    if (is_whole && p->protocol == PROTO_UDP && !sum)
        return; /* there is none */
    u64 v = is_whole ? (u16)~sum : sum;
    v += (u16)~csum_fold(csum_add(0, old, size)); /* RFC 1624 */
    v += csum_fold(csum_add(0, new, size));
    csum_store(p->l4 + at, v, is_whole);
    memcpy(&sum, p->l4 + at, sizeof(sum));
    if (is_whole && p->protocol == PROTO_UDP && !sum)
        memset(p->l4 + at, 0xff, 2);
}

static void fix_csum(struct xt_packet *p, const void *old, const void *new, u32 size,
                     bool is_pseudo)
{
    fix_csum_at(p, p->protocol == PROTO_TCP ? 16 : 6, old, new, size, is_pseudo);
}

void xt_fix_csum(struct xt_packet *p, u32 at, const void *old, const void *new, u32 size)
{
    fix_csum_at(p, at, old, new, size, false);
}

static void rewrite(struct xt_packet *p, enum ct_manip m, const struct lx_in6_addr *addr, u16 port)
{
    struct lx_in6_addr *a = m == CT_SOURCE ? &p->src : &p->dst;
    u8 *at = p->l4 + (m == CT_SOURCE ? 0 : 2), now[2];
    bool is_ported = has_ports(p->protocol) && p->l4_len >= 4;
    if (is_ported)
        fix_csum(p, a->b + (p->is_v6 ? 0 : 12), addr->b + (p->is_v6 ? 0 : 12), p->is_v6 ? 16 : 4,
                 true);
    *a = *addr;
    if (!is_ported)
        return;
    wr16(now, port);
    fix_csum(p, at, now, 2, false);
    memcpy(at, now, 2);
}

/* Corrects a checksum (inverted) in the packet for bytes that change. */
static void fix_sum(u8 *at, const void *old, const void *new, u32 size)
{
    u16 sum;
    memcpy(&sum, at, sizeof(sum));
    u64 v = (u16)~sum;
    v += (u16)~csum_fold(csum_add(0, old, size));
    v += csum_fold(csum_add(0, new, size));
    csum_store(at, v, true);
}

/*
 * An error about a packet of a connection that NAT changed: what it quotes becomes what was sent,
 * and its own address is as the packet's would be. The quoted packet goes the other way.
 */
static bool translate_error(struct xt_packet *p, enum ct_manip m, const struct ct_tuple *want)
{
    u8 *ip = p->l4 + ICMP_HLEN, *sum = p->l4 + 2;
    u32 head = p->is_v6 ? IP6_HLEN : (ip[0] & 15U) * 4, n = p->is_v6 ? 16 : 4;
    struct lx_in6_addr *outer = m == CT_SOURCE ? &p->src : &p->dst;
    const struct lx_in6_addr *addr = m == CT_SOURCE ? &want->src : &want->dst;
    const u8 *new = addr->b + 16 - n;
    u8 *inner = ip + (p->is_v6 ? 8 : 12) + (m == CT_SOURCE ? n : 0);
    u8 *at = ip + head + (m == CT_SOURCE ? 2 : 0), port[2];
    wr16(port, m == CT_SOURCE ? want->sport : want->dport);
    bool is_ported = has_ports(want->protocol) && memcmp(at, port, 2);
    if (!memcmp(inner, new, n) && !is_ported)
        return false;
    if (p->is_v6) { /* of IPv4, the quoted header's own checksum makes up for its addresses */
        fix_sum(sum, inner, new, n);
        fix_sum(sum, outer->b, new, n);
    } else {
        fix_sum(ip + 10, inner, new, n);
    }
    memcpy(inner, new, n);
    *outer = *addr;
    if (is_ported) {
        fix_sum(sum, at, port, 2);
        memcpy(at, port, 2);
    }
    return true;
}

bool ct_translate(struct xt_packet *p, enum ct_manip m)
{
    struct ct *c = p->i.ct;
    if (!c)
        return false;
    struct ct_tuple want = turned(&c->end[!p->i.dir].tuple);
    if (is_error(p))
        return translate_error(p, m, &want);
    const struct lx_in6_addr *addr = m == CT_SOURCE ? &want.src : &want.dst;
    u16 port = m == CT_SOURCE ? want.sport : want.dport;
    u16 now =
        has_ports(p->protocol) && p->l4_len >= 4 ? rd16(p->l4 + (m == CT_SOURCE ? 0 : 2)) : port;
    if (ipaddr_equal(addr, m == CT_SOURCE ? &p->src : &p->dst) && now == port)
        return false;
    rewrite(p, m, addr, port);
    return true;
}

void ct_unmap(struct ct_ns *n, struct ct_tuple *sent)
{
    MUTEX_GUARD(&n->lock);
    struct ct_tuple back = turned(sent);
    struct end *e = find(n, &back);
    if (e)
        *sent = ct_of(e)->end[!e->dir].tuple;
}

bool ct_original_dst(struct ct_ns *n, const struct ct_tuple *local, struct lx_in6_addr *ret_addr,
                     u16 *ret_port)
{
    MUTEX_GUARD(&n->lock);
    struct end *e = find(n, local);
    if (!e)
        return false;
    *ret_addr = ct_of(e)->end[CT_ORIGINAL].tuple.dst;
    *ret_port = ct_of(e)->end[CT_ORIGINAL].tuple.dport;
    return true;
}

/* ---- for matches --------------------------------------------------------------------------- */

u32 ct_mark(const struct xt_packet *p)
{
    return p->i.ct ? atomic_load_explicit(&p->i.ct->mark, memory_order_relaxed) : 0;
}

void ct_set_mark(struct xt_packet *p, u32 mark)
{
    if (p->i.ct && !p->i.is_dry)
        atomic_store_explicit(&p->i.ct->mark, mark, memory_order_relaxed);
}

bool ct_look(const struct xt_packet *p, struct ct_view *ret)
{
    const struct ct *c = p->i.ct;
    if (!c)
        return false;
    s64 left = c->expires_ns - clock_mono_ns();
    *ret = (struct ct_view){
        .tuple = {c->end[0].tuple, c->end[1].tuple},
        .is_snat = c->is_mapped[CT_SOURCE],
        .is_dnat = c->is_mapped[CT_DESTINATION],
        .has_reply = c->has_reply,
        .is_assured = c->is_assured,
        .is_confirmed = c->is_confirmed,
        .left_s = left > 0 ? (u32)(left / SECONDS) : 0,
    };
    return true;
}
