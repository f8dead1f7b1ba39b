/* Matches. Each reads its data by memcpy: a rule set is bytes. */
#include <string.h>

#include "base/timer.h"
#include "net/filter/ct.h"
#include "net/filter/xt_ext.h"
#include "net/inet/inet.h"
#include "net/stack/stack.h"

#define INV_SRC   1U
#define INV_DST   2U
#define INV_FLAGS 4U
#define INV_OPT   8U

/* ---- tcp, udp, icmp ------------------------------------------------------------------------ */

struct lx_xt_tcp {
    u16 spts[2], dpts[2];
    u8 option, flg_mask, flg_cmp, invflags;
};
struct lx_xt_udp {
    u16 spts[2], dpts[2];
    u8 invflags, pad;
};
struct lx_ipt_icmp {
    u8 type, code[2], invflags;
};

static bool is_in(const u16 range[2], u16 port, bool is_inverted)
{
    return (port >= range[0] && port <= range[1]) != is_inverted;
}

/* Later pieces have no ports; a piece at byte 8 would overwrite the flags and is dropped. */
static enum xt_answer has_ports(const struct xt_packet *p, u32 need)
{
    if (p->frag_off)
        return p->protocol == PROTO_TCP && p->frag_off == 8 ? XT_HOTDROP : XT_NO;
    return p->l4_len < need ? XT_HOTDROP : XT_YES;
}

static bool has_option(const struct xt_packet *p, u8 option, bool is_inverted, bool *ret_is_bad)
{
    u32 end = (p->l4[12] >> 4) * 4U;
    *ret_is_bad = end > p->l4_len;
    for (u32 at = TCP_HLEN; at < end && !*ret_is_bad;) {
        if (p->l4[at] == option)
            return !is_inverted;
        if (p->l4[at] < 2)
            at++;
        else if (at + 1 < end)
            at += p->l4[at + 1] ? p->l4[at + 1] : 1;
        else
            break;
    }
    return is_inverted;
}

static bool tcp_check(const u8 *data, const struct xt_place *at)
{
    struct lx_xt_tcp m;
    (void)at;
    memcpy(&m, data, sizeof(m));
    return !(m.invflags & ~(INV_SRC | INV_DST | INV_FLAGS | INV_OPT));
}

static enum xt_answer tcp_run(const u8 *data, _Atomic u64 *state, const struct xt_packet *p)
{
    struct lx_xt_tcp m;
    (void)state;
    memcpy(&m, data, sizeof(m));
    enum xt_answer a = has_ports(p, TCP_HLEN);
    if (a != XT_YES)
        return a;
    if (!is_in(m.spts, xt_be16(p->l4), m.invflags & INV_SRC) ||
        !is_in(m.dpts, xt_be16(p->l4 + 2), m.invflags & INV_DST))
        return XT_NO;
    if (((p->l4[13] & m.flg_mask) == m.flg_cmp) == !!(m.invflags & INV_FLAGS))
        return XT_NO;
    if (!m.option)
        return XT_YES;
    if ((p->l4[12] >> 4) * 4U < TCP_HLEN)
        return XT_HOTDROP;
    bool is_bad, is_there = has_option(p, m.option, m.invflags & INV_OPT, &is_bad);
    return is_bad ? XT_HOTDROP : is_there ? XT_YES : XT_NO;
}

static bool udp_check(const u8 *data, const struct xt_place *at)
{
    struct lx_xt_udp m;
    (void)at;
    memcpy(&m, data, sizeof(m));
    return !(m.invflags & ~(INV_SRC | INV_DST));
}

static enum xt_answer udp_run(const u8 *data, _Atomic u64 *state, const struct xt_packet *p)
{
    struct lx_xt_udp m;
    (void)state;
    memcpy(&m, data, sizeof(m));
    enum xt_answer a = has_ports(p, UDP_HLEN);
    if (a != XT_YES)
        return a;
    return is_in(m.spts, xt_be16(p->l4), m.invflags & INV_SRC) &&
                   is_in(m.dpts, xt_be16(p->l4 + 2), m.invflags & INV_DST)
               ? XT_YES
               : XT_NO;
}

static bool icmp_check(const u8 *data, const struct xt_place *at)
{
    (void)at;
    return !(data[3] & ~1U);
}

static enum xt_answer icmp_run(const u8 *data, _Atomic u64 *state, const struct xt_packet *p)
{
    struct lx_ipt_icmp m;
    (void)state;
    memcpy(&m, data, sizeof(m));
    if (p->frag_off)
        return XT_NO;
    if (p->l4_len < (p->is_v6 ? 4U : ICMP_HLEN))
        return XT_HOTDROP;
    bool is_any = m.type == 0xff && !p->is_v6;
    bool is_match =
        is_any || (p->l4[0] == m.type && p->l4[1] >= m.code[0] && p->l4[1] <= m.code[1]);
    return is_match != (m.invflags & 1) ? XT_YES : XT_NO;
}

/* ---- multiport ----------------------------------------------------------------------------- */

#define MULTIPORT_MAX 15

struct lx_xt_multiport {
    u8 flags; /* 0: source, 1: destination, 2: either */
    u8 count;
    u16 ports[MULTIPORT_MAX];
    u8 is_range[MULTIPORT_MAX]; /* the next one ends it */
    u8 invert;
};
_Static_assert(sizeof(struct lx_xt_multiport) == 48, "xt_multiport_v1");

static bool multiport_check(const u8 *data, const struct xt_place *at)
{
    struct lx_xt_multiport m;
    memcpy(&m, data, sizeof(m));
    bool is_protocol = at->protocol == PROTO_TCP || at->protocol == PROTO_UDP ||
                       at->protocol == 136 || at->protocol == 132 || at->protocol == 33;
    return is_protocol && m.flags <= 2 && m.count <= MULTIPORT_MAX;
}

static bool is_listed(const struct lx_xt_multiport *m, u16 port)
{
    for (u32 i = 0; i < m->count; i++) {
        u16 low = m->ports[i], high = low;
        if (m->is_range[i] && i + 1 < m->count)
            high = m->ports[++i];
        if (port >= low && port <= high)
            return true;
    }
    return false;
}

static enum xt_answer multiport_run(const u8 *data, _Atomic u64 *state, const struct xt_packet *p)
{
    struct lx_xt_multiport m;
    (void)state;
    memcpy(&m, data, sizeof(m));
    if (p->frag_off)
        return XT_NO;
    if (p->l4_len < 4)
        return XT_HOTDROP;
    bool is_src = m.flags != 1 && is_listed(&m, xt_be16(p->l4));
    bool is_dst = m.flags != 0 && is_listed(&m, xt_be16(p->l4 + 2));
    return (is_src || is_dst) != !!m.invert ? XT_YES : XT_NO;
}

/* ---- addrtype ------------------------------------------------------------------------------ */

#define TYPE_UNSPEC    0x001U
#define TYPE_UNICAST   0x002U
#define TYPE_LOCAL     0x004U
#define TYPE_BROADCAST 0x008U
#define TYPE_ANYCAST   0x010U
#define TYPE_MULTICAST 0x020U
#define TYPE_UNREACH   0x080U
#define TYPE_KNOWN                                                                                 \
    (TYPE_UNSPEC | TYPE_UNICAST | TYPE_LOCAL | TYPE_BROADCAST | TYPE_ANYCAST | TYPE_MULTICAST)
#define ADDRTYPE_INV_SRC 1U
#define ADDRTYPE_INV_DST 2U
#define ADDRTYPE_IN      4U
#define ADDRTYPE_OUT     8U

struct lx_xt_addrtype {
    u16 source, dest;
    u32 flags;
};
struct lx_xt_addrtype0 {
    u16 source, dest;
    u32 invert_source, invert_dest;
};

static bool addrtype_check(const u8 *data, const struct xt_place *at)
{
    struct lx_xt_addrtype m;
    memcpy(&m, data, sizeof(m));
    u32 sides = m.flags & (ADDRTYPE_IN | ADDRTYPE_OUT);
    if (m.flags & ~15U || sides == (ADDRTYPE_IN | ADDRTYPE_OUT))
        return false;
    if (at->hooks & (XT_BIT(XT_PREROUTING) | XT_BIT(XT_INPUT)) && sides & ADDRTYPE_OUT)
        return false;
    if (at->hooks & (XT_BIT(XT_POSTROUTING) | XT_BIT(XT_OUTPUT)) && sides & ADDRTYPE_IN)
        return false;
    return !((m.source | m.dest) & ~TYPE_KNOWN);
}

static bool addrtype_check0(const u8 *data, const struct xt_place *at)
{
    struct lx_xt_addrtype0 m;
    (void)at;
    memcpy(&m, data, sizeof(m));
    return !((m.source | m.dest) & ~TYPE_KNOWN);
}

u32 xt_addr_type(const struct xt_packet *p, const struct lx_in6_addr *a)
{
    if (ipaddr_is_any(a))
        return p->is_v6 ? TYPE_UNSPEC : TYPE_BROADCAST; /* 0.0.0.0/8 of old */
    if (ipaddr_is_multicast(a))
        return TYPE_MULTICAST;
    if (!p->is_v6 && stk_is_broadcast(p->ns->stack, a))
        return TYPE_BROADCAST;
    return ipaddr_is_local(p->ns, a) ? TYPE_LOCAL : TYPE_UNICAST;
}

static enum xt_answer addrtype_run(const u8 *data, _Atomic u64 *state, const struct xt_packet *p)
{
    struct lx_xt_addrtype m;
    (void)state;
    memcpy(&m, data, sizeof(m));
    if (m.source && !!(xt_addr_type(p, &p->src) & m.source) == !!(m.flags & ADDRTYPE_INV_SRC))
        return XT_NO;
    if (m.dest && !!(xt_addr_type(p, &p->dst) & m.dest) == !!(m.flags & ADDRTYPE_INV_DST))
        return XT_NO;
    return XT_YES;
}

static enum xt_answer addrtype_run0(const u8 *data, _Atomic u64 *state, const struct xt_packet *p)
{
    struct lx_xt_addrtype0 m;
    (void)state;
    memcpy(&m, data, sizeof(m));
    if (m.source && !!(xt_addr_type(p, &p->src) & m.source) == !!m.invert_source)
        return XT_NO;
    if (m.dest && !!(xt_addr_type(p, &p->dst) & m.dest) == !!m.invert_dest)
        return XT_NO;
    return XT_YES;
}

/* ---- state, conntrack ---------------------------------------------------------------------- */

#define STATE_INVALID     0x01U
#define STATE_ESTABLISHED 0x02U
#define STATE_RELATED     0x04U
#define STATE_NEW         0x08U
#define STATE_UNTRACKED   0x40U
#define STATE_SNAT        0x40U /* conntrack's masks */
#define STATE_DNAT        0x80U
#define STATE_UNTRACKED3  0x100U

#define BY_STATE        (1U << 0)
#define BY_PROTO        (1U << 1)
#define BY_ORIGSRC      (1U << 2)
#define BY_ORIGDST      (1U << 3)
#define BY_REPLSRC      (1U << 4)
#define BY_REPLDST      (1U << 5)
#define BY_STATUS       (1U << 6)
#define BY_EXPIRES      (1U << 7)
#define BY_ORIGSRC_PORT (1U << 8)
#define BY_ORIGDST_PORT (1U << 9)
#define BY_REPLSRC_PORT (1U << 10)
#define BY_REPLDST_PORT (1U << 11)
#define BY_DIRECTION    (1U << 12)

struct lx_xt_conntrack {
    struct lx_in6_addr origsrc, origsrc_mask, origdst, origdst_mask;
    struct lx_in6_addr replsrc, replsrc_mask, repldst, repldst_mask;
    u32 expires_min, expires_max;
    u16 l4proto, origsrc_port, origdst_port, replsrc_port, repldst_port; /* network order */
    u16 match_flags, invert_flags, state_mask, status_mask;
    u16 port_high[4]; /* revision 3 */
};
#define CONNTRACK1_SIZE 152U
#define CONNTRACK2_SIZE 156U /* up to status_mask, rounded up */
#define CONNTRACK3_SIZE 164U
_Static_assert(offsetof(struct lx_xt_conntrack, port_high) == 154, "xt_conntrack_mtinfo2");

static u32 state_bit(const struct xt_packet *p)
{
    static const u16 bits[] = {[CT_NONE] = STATE_INVALID,
                               [CT_INVALID] = STATE_INVALID,
                               [CT_ESTABLISHED] = STATE_ESTABLISHED,
                               [CT_RELATED] = STATE_RELATED,
                               [CT_NEW] = STATE_NEW,
                               [CT_UNTRACKED] = STATE_UNTRACKED};
    return bits[p->i.state];
}

static enum xt_answer state_run(const u8 *data, _Atomic u64 *state, const struct xt_packet *p)
{
    u32 mask;
    (void)state;
    memcpy(&mask, data, sizeof(mask));
    return state_bit(p) & mask ? XT_YES : XT_NO;
}

/* An IPv4 address of a rule stands in the first word; the tables' form is another. */
static bool addr_differs(const struct xt_packet *p, const struct lx_in6_addr *a,
                         const struct lx_in6_addr *want, const struct lx_in6_addr *mask)
{
    return p->is_v6 ? !xt_addr_match(a, want, mask) : (a->w[3] ^ want->w[0]) & mask->w[0];
}

static bool port_differs(u16 port, u16 low, u16 high)
{
    return port < low || port > high;
}

static bool conntrack_state(const struct lx_xt_conntrack *m, const struct xt_packet *p,
                            const struct ct_view *v, bool has_ct)
{
    u32 bits = p->i.state == CT_UNTRACKED ? STATE_UNTRACKED3 : state_bit(p);
    if (has_ct)
        bits |= (v->is_snat ? STATE_SNAT : 0) | (v->is_dnat ? STATE_DNAT : 0);
    return !!(bits & m->state_mask) != !!(m->invert_flags & BY_STATE);
}

static bool conntrack_addrs(const struct lx_xt_conntrack *m, const struct xt_packet *p,
                            const struct ct_view *v)
{
    const struct {
        u32 flag;
        const struct lx_in6_addr *a, *want, *mask;
    } t[] = {
        {BY_ORIGSRC, &v->tuple[0].src, &m->origsrc, &m->origsrc_mask},
        {BY_ORIGDST, &v->tuple[0].dst, &m->origdst, &m->origdst_mask},
        {BY_REPLSRC, &v->tuple[1].src, &m->replsrc, &m->replsrc_mask},
        {BY_REPLDST, &v->tuple[1].dst, &m->repldst, &m->repldst_mask},
    };
    for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
        if (m->match_flags & t[i].flag &&
            addr_differs(p, t[i].a, t[i].want, t[i].mask) != !!(m->invert_flags & t[i].flag))
            return false;
    }
    return true;
}

static bool conntrack_ports(const struct lx_xt_conntrack *m, const struct ct_view *v,
                            bool has_ranges)
{
    const struct {
        u32 flag;
        u16 port, low, high;
    } t[] = {
        {BY_ORIGSRC_PORT, v->tuple[0].sport, m->origsrc_port, m->port_high[0]},
        {BY_ORIGDST_PORT, v->tuple[0].dport, m->origdst_port, m->port_high[1]},
        {BY_REPLSRC_PORT, v->tuple[1].sport, m->replsrc_port, m->port_high[2]},
        {BY_REPLDST_PORT, v->tuple[1].dport, m->repldst_port, m->port_high[3]},
    };
    if (m->match_flags & BY_PROTO &&
        (v->tuple[0].protocol == m->l4proto) == !!(m->invert_flags & BY_PROTO))
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
        /* revision 3 has ranges in host order, before there was one port in the network's */
        u16 low = has_ranges ? t[i].low : net16(t[i].low), high = has_ranges ? t[i].high : low;
        if (m->match_flags & t[i].flag &&
            port_differs(t[i].port, low, high) != !!(m->invert_flags & t[i].flag))
            return false;
    }
    return true;
}

static bool conntrack_status(const struct lx_xt_conntrack *m, const struct ct_view *v)
{
    u32 status = (v->has_reply ? 2U : 0) | (v->is_assured ? 4U : 0) | (v->is_confirmed ? 8U : 0) |
                 (v->is_snat ? 16U : 0) | (v->is_dnat ? 32U : 0);
    bool is_one = status & m->status_mask || (!m->status_mask && !status);
    return is_one != !!(m->invert_flags & BY_STATUS);
}

static enum xt_answer conntrack_one(const struct lx_xt_conntrack *m, const struct xt_packet *p,
                                    bool has_ranges)
{
    struct ct_view v;
    bool has_ct = ct_look(p, &v);
    if (m->match_flags & BY_STATE && !conntrack_state(m, p, &v, has_ct))
        return XT_NO;
    if (!has_ct)
        return m->match_flags & BY_STATE ? XT_YES : XT_NO;
    if (m->match_flags & BY_DIRECTION &&
        (p->i.dir == CT_ORIGINAL) == !!(m->invert_flags & BY_DIRECTION))
        return XT_NO;
    if (!conntrack_addrs(m, p, &v) || !conntrack_ports(m, &v, has_ranges))
        return XT_NO;
    if (m->match_flags & BY_STATUS && !conntrack_status(m, &v))
        return XT_NO;
    if (m->match_flags & BY_EXPIRES && (v.left_s >= m->expires_min && v.left_s <= m->expires_max) ==
                                           !!(m->invert_flags & BY_EXPIRES))
        return XT_NO;
    return XT_YES;
}

/* Its masks are a byte each. */
static enum xt_answer conntrack1_run(const u8 *data, _Atomic u64 *state, const struct xt_packet *p)
{
    u32 at = offsetof(struct lx_xt_conntrack, state_mask);
    struct lx_xt_conntrack m = {0};
    (void)state;
    memcpy(&m, data, at);
    m.state_mask = data[at];
    m.status_mask = data[at + 1];
    return conntrack_one(&m, p, false);
}

static enum xt_answer conntrack2_run(const u8 *data, _Atomic u64 *state, const struct xt_packet *p)
{
    struct lx_xt_conntrack m = {0};
    (void)state;
    memcpy(&m, data, offsetof(struct lx_xt_conntrack, port_high));
    return conntrack_one(&m, p, false);
}

static enum xt_answer conntrack3_run(const u8 *data, _Atomic u64 *state, const struct xt_packet *p)
{
    struct lx_xt_conntrack m;
    (void)state;
    memcpy(&m, data, offsetof(struct lx_xt_conntrack, port_high) + sizeof(m.port_high));
    return conntrack_one(&m, p, true);
}

/* ---- comment, limit, statistic ------------------------------------------------------------- */

static enum xt_answer comment_run(const u8 *data, _Atomic u64 *state, const struct xt_packet *p)
{
    (void)data; /* text, for people */
    (void)state;
    (void)p;
    return XT_YES;
}

#define LIMIT_SCALE 10000U
struct lx_xt_limit {
    u32 avg, burst; /* avg: of 1/10000 s, one packet */
    u64 prev;
    u32 credit, credit_cap, cost;
    u64 master;
};
_Static_assert(sizeof(struct lx_xt_limit) == 40, "xt_rateinfo");

static bool limit_check(const u8 *data, const struct xt_place *at)
{
    struct lx_xt_limit m;
    (void)at;
    memcpy(&m, data, sizeof(m));
    return m.avg && m.burst && m.avg * m.burst >= m.avg && m.avg * (u64)m.burst <= UINT32_MAX;
}

/* state[0]: when the bucket would be full again, from the clock's 0 on. */
static enum xt_answer limit_run(const u8 *data, _Atomic u64 *state, const struct xt_packet *p)
{
    struct lx_xt_limit m;
    memcpy(&m, data, sizeof(m));
    u64 now = (u64)clock_mono_ns(), one = m.avg * (NSEC_PER_SEC / LIMIT_SCALE), all = one * m.burst;
    u64 full = atomic_load(state), at;
    do {
        at = MAX(full, now) + one;
        if (at > now + all)
            return XT_NO;
    } while (!p->i.is_dry && !atomic_compare_exchange_weak(state, &full, at));
    return XT_YES;
}

struct lx_xt_statistic {
    u16 mode, flags;
    u32 every, packet, count; /* mode 0: every is the probability, of 2^31 */
    u64 master;
};

static bool statistic_check(const u8 *data, const struct xt_place *at)
{
    struct lx_xt_statistic m;
    (void)at;
    memcpy(&m, data, sizeof(m));
    return m.mode <= 1 && !(m.flags & ~1U);
}

static enum xt_answer statistic_run(const u8 *data, _Atomic u64 *state, const struct xt_packet *p)
{
    struct lx_xt_statistic m;
    memcpy(&m, data, sizeof(m));
    bool is_hit;
    if (m.mode == 0) {
        is_hit = (net_random() & 0x7fffffffU) < m.every;
    } else { /* state[0]: how many have come */
        u64 n = p->i.is_dry ? atomic_load(state) : atomic_fetch_add(state, 1);
        is_hit = (n + 1 + m.packet) % ((u64)m.every + 1) == 0;
    }
    return is_hit != (m.flags & 1) ? XT_YES : XT_NO;
}

/* ---- owner, mark, connmark, mac, iprange, length, ttl -------------------------------------- */

struct lx_xt_owner {
    u32 uid_min, uid_max, gid_min, gid_max;
    u8 match, invert; /* 1: uid, 2: gid, 4: a socket */
};

static bool owner_check(const u8 *data, const struct xt_place *at)
{
    struct lx_xt_owner m;
    memcpy(&m, data, sizeof(m));
    return !(m.match & ~7U) && !(at->hooks & ~(XT_BIT(XT_OUTPUT) | XT_BIT(XT_POSTROUTING)));
}

static enum xt_answer owner_run(const u8 *data, _Atomic u64 *state, const struct xt_packet *p)
{
    struct lx_xt_owner m;
    (void)state;
    memcpy(&m, data, sizeof(m));
    if (!p->has_owner)
        return !(m.match ^ m.invert) ? XT_YES : XT_NO;
    if (m.match & m.invert & 4)
        return XT_NO;
    if (m.match & 1 && (p->uid >= m.uid_min && p->uid <= m.uid_max) == !!(m.invert & 1))
        return XT_NO;
    if (m.match & 2 && (p->gid >= m.gid_min && p->gid <= m.gid_max) == !!(m.invert & 2))
        return XT_NO;
    return XT_YES;
}

struct lx_xt_mark {
    u32 mark, mask;
    u8 invert;
};

static enum xt_answer mark_run(const u8 *data, _Atomic u64 *state, const struct xt_packet *p)
{
    struct lx_xt_mark m;
    (void)state;
    memcpy(&m, data, sizeof(m));
    return ((p->i.mark & m.mask) == m.mark) != m.invert ? XT_YES : XT_NO;
}

static enum xt_answer connmark_run(const u8 *data, _Atomic u64 *state, const struct xt_packet *p)
{
    struct lx_xt_mark m;
    (void)state;
    memcpy(&m, data, sizeof(m));
    return p->i.ct && ((ct_mark(p) & m.mask) == m.mark) != m.invert ? XT_YES : XT_NO;
}

struct lx_xt_mac {
    u8 src[6], pad[2];
    s32 invert;
};

static bool mac_check(const u8 *data, const struct xt_place *at)
{
    (void)data;
    return !(at->hooks & ~(XT_BIT(XT_PREROUTING) | XT_BIT(XT_INPUT) | XT_BIT(XT_FORWARD)));
}

static enum xt_answer mac_run(const u8 *data, _Atomic u64 *state, const struct xt_packet *p)
{
    struct lx_xt_mac m;
    (void)state;
    memcpy(&m, data, sizeof(m));
    return p->mac && !memcmp(p->mac, m.src, 6) != !!m.invert ? XT_YES : XT_NO;
}

struct lx_xt_iprange {
    struct lx_in6_addr src_min, src_max, dst_min, dst_max;
    u8 flags; /* 1: source, 2: destination; 16, 32: inverted */
};
#define IPRANGE_SIZE 68U

static bool is_between(const struct xt_packet *p, const struct lx_in6_addr *a,
                       const struct lx_in6_addr *min, const struct lx_in6_addr *max)
{
    if (p->is_v6)
        return memcmp(a->b, min->b, 16) >= 0 && memcmp(a->b, max->b, 16) <= 0;
    return net32(a->w[3]) >= net32(min->w[0]) && net32(a->w[3]) <= net32(max->w[0]);
}

static bool iprange_check(const u8 *data, const struct xt_place *at)
{
    (void)at;
    return !(data[offsetof(struct lx_xt_iprange, flags)] & ~0x33U);
}

static enum xt_answer iprange_run(const u8 *data, _Atomic u64 *state, const struct xt_packet *p)
{
    struct lx_xt_iprange m;
    (void)state;
    memcpy(&m, data, offsetof(struct lx_xt_iprange, flags) + 1);
    if (m.flags & 1 && is_between(p, &p->src, &m.src_min, &m.src_max) == !!(m.flags & 16))
        return XT_NO;
    if (m.flags & 2 && is_between(p, &p->dst, &m.dst_min, &m.dst_max) == !!(m.flags & 32))
        return XT_NO;
    return XT_YES;
}

struct lx_xt_length {
    u16 min, max;
    u8 invert;
};

static enum xt_answer length_run(const u8 *data, _Atomic u64 *state, const struct xt_packet *p)
{
    struct lx_xt_length m;
    (void)state;
    memcpy(&m, data, sizeof(m));
    return (p->size >= m.min && p->size <= m.max) != !!m.invert ? XT_YES : XT_NO;
}

struct lx_ipt_ttl {
    u8 mode, ttl; /* equal, not equal, less, greater */
};

static bool ttl_check(const u8 *data, const struct xt_place *at)
{
    (void)at;
    return data[0] <= 3;
}

static enum xt_answer ttl_run(const u8 *data, _Atomic u64 *state, const struct xt_packet *p)
{
    (void)state;
    switch (data[0]) {
    case 0:
        return p->ttl == data[1] ? XT_YES : XT_NO;
    case 1:
        return p->ttl != data[1] ? XT_YES : XT_NO;
    case 2:
        return p->ttl < data[1] ? XT_YES : XT_NO;
    default:
        return p->ttl > data[1] ? XT_YES : XT_NO;
    }
}

const struct xt_match xt_matches[] = {
    {"tcp", XT_IN_BOTH, 0, PROTO_TCP, sizeof(struct lx_xt_tcp), false, tcp_check, tcp_run},
    {"udp", XT_IN_BOTH, 0, PROTO_UDP, sizeof(struct lx_xt_udp), false, udp_check, udp_run},
    {"icmp", XT_IN_V4, 0, PROTO_ICMP, sizeof(struct lx_ipt_icmp), false, icmp_check, icmp_run},
    {"icmp6", XT_IN_V6, 0, PROTO_ICMPV6, sizeof(struct lx_ipt_icmp), false, icmp_check, icmp_run},
    {"multiport", XT_IN_BOTH, 1, 0, sizeof(struct lx_xt_multiport), false, multiport_check,
     multiport_run},
    {"addrtype", XT_IN_V4, 0, 0, sizeof(struct lx_xt_addrtype0), false, addrtype_check0,
     addrtype_run0},
    {"addrtype", XT_IN_BOTH, 1, 0, sizeof(struct lx_xt_addrtype), false, addrtype_check,
     addrtype_run},
    {"state", XT_IN_BOTH, 0, 0, sizeof(u32), true, NULL, state_run},
    {"conntrack", XT_IN_BOTH, 1, 0, CONNTRACK1_SIZE, true, NULL, conntrack1_run},
    {"conntrack", XT_IN_BOTH, 2, 0, CONNTRACK2_SIZE, true, NULL, conntrack2_run},
    {"conntrack", XT_IN_BOTH, 3, 0, CONNTRACK3_SIZE, true, NULL, conntrack3_run},
    {"comment", XT_IN_BOTH, 0, 0, 256, false, NULL, comment_run},
    {"limit", XT_IN_BOTH, 0, 0, sizeof(struct lx_xt_limit), false, limit_check, limit_run},
    {"statistic", XT_IN_BOTH, 0, 0, sizeof(struct lx_xt_statistic), false, statistic_check,
     statistic_run},
    {"owner", XT_IN_BOTH, 1, 0, sizeof(struct lx_xt_owner), false, owner_check, owner_run},
    {"mark", XT_IN_BOTH, 1, 0, sizeof(struct lx_xt_mark), false, NULL, mark_run},
    {"connmark", XT_IN_BOTH, 1, 0, sizeof(struct lx_xt_mark), true, NULL, connmark_run},
    {"mac", XT_IN_BOTH, 0, 0, sizeof(struct lx_xt_mac), false, mac_check, mac_run},
    {"iprange", XT_IN_BOTH, 1, 0, IPRANGE_SIZE, false, iprange_check, iprange_run},
    {"length", XT_IN_BOTH, 0, 0, sizeof(struct lx_xt_length), false, NULL, length_run},
    {"ttl", XT_IN_V4, 0, 0, sizeof(struct lx_ipt_ttl), false, ttl_check, ttl_run},
};
const u32 xt_nmatches = ARRAY_SIZE(xt_matches);
