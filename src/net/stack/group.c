/*
 * What routers of a link are told of the multicast groups that this host is in: IGMP (RFC 2236,
 * RFC 3376) and MLD (RFC 2710, RFC 3810). Reports are those of IGMPv3 and MLDv2 until a router that
 * asks is heard to be older; then they are its version's for as long as those RFCs say.
 *
 * Sources are not filtered here, so a record's mode says all: EXCLUDE of nobody is membership,
 * INCLUDE of nobody is none. Another member's report silences nobody (as in the newer versions).
 */
#include "net/stack/stack.h"

#define IGMP_QUERY     0x11
#define IGMP_REPORT_V1 0x12
#define IGMP_REPORT_V2 0x16
#define IGMP_LEAVE     0x17
#define IGMP_REPORT_V3 0x22
#define MLD_QUERY      130
#define MLD_REPORT_V1  131
#define MLD_DONE       132
#define MLD_REPORT_V2  143
#define V1_PRESENT_NS  (400 * NSEC_PER_SEC)
#define OLD_PRESENT_NS (260 * NSEC_PER_SEC) /* two query intervals and a response's time */

/* Of a record: what is so when asked, what it has changed to. */
static u8 record_type(enum group_change c)
{
    return c == GROUP_THERE ? 2 : c == GROUP_JOINED ? 4 : 3;
}

static bool is_silent(const ipaddr *g) /* groups that everybody is in, and those of one host */
{
    if (ipaddr_is_v4(g))
        return ipaddr_to_v4(g) == net32(0xe0000001);
    static const u8 all_nodes[16] = {0xff, 2, [15] = 1};
    return (g->b[1] & 15) < 2 || !memcmp(g->b, all_nodes, 16);
}

/* ---- IGMP ----------------------------------------------------------------------------------- */

static void send4(struct stk_iface *ifc, u32 to, const u8 *msg, u32 size)
{
    struct txbuf b;
    struct stk_addr a;
    u32 from = stk_addr_first(ifc->stk, ifc->index, &a) ? ipaddr_to_v4(&a.addr) : 0;
    u8 mac[6] = {1, 0, 0x5e};
    txb_init(&b);
    u8 *m = txb_push(&b, size);
    memcpy(m, msg, size);
    csum_store(m + 2, csum_add(0, m, size), true);
    u8 *h = txb_push(&b, 24);
    memset(h, 0, 24);
    h[0] = 0x46;
    h[1] = 0xc0; /* internetwork control */
    wr16(h + 2, 24 + size);
    wr16(h + 4, (u16)atomic_fetch_add_explicit(&ifc->stk->ip_id, 1, memory_order_relaxed));
    wr16(h + 6, IP4_DF);
    h[8] = 1;
    h[9] = PROTO_IGMP;
    memcpy(h + 12, &from, 4);
    wr32(h + 16, to);
    h[20] = 0x94; /* router alert */
    h[21] = 4;
    csum_store(h + 10, csum_add(0, h, 24), true);
    mac[3] = h[17] & 0x7f;
    mac[4] = h[18];
    mac[5] = h[19];
    (void)link_send(ifc, &b, mac, ETHTYPE_IP); /* sent twice, and routers ask */
}

static void report4(struct stk_iface *ifc, const ipaddr *group, enum group_change change)
{
    s64 now = clock_mono_ns();
    u8 m[16] = {0};
    u32 to = net32(ipaddr_to_v4(group));
    if (ifc->igmp_v1_until_ns <= now && ifc->igmp_v2_until_ns <= now) {
        m[0] = IGMP_REPORT_V3;
        m[7] = 1;
        m[8] = record_type(change);
        memcpy(m + 12, group->b + 12, 4);
        send4(ifc, 0xe0000016, m, 16);
        return;
    }
    bool is_v1 = ifc->igmp_v1_until_ns > now;
    memcpy(m + 4, group->b + 12, 4);
    m[0] = change == GROUP_LEFT ? IGMP_LEAVE : is_v1 ? IGMP_REPORT_V1 : IGMP_REPORT_V2;
    if (change != GROUP_LEFT)
        send4(ifc, to, m, 8);
    else if (!is_v1)
        send4(ifc, 0xe0000002, m, 8);
}

void igmp_input(struct rxpkt *p)
{
    const u8 *m = p->data;
    u32 v;
    if (p->len < 8 || csum_fold(csum_add(0, m, p->len)) != 0xffff || m[0] != IGMP_QUERY)
        return;
    s64 now = clock_mono_ns(), tenths = m[1];
    if (p->len >= 12) {
        if (m[1] >= 128)
            tenths = (s64)((m[1] & 15U) | 16U) << ((m[1] >> 4 & 7) + 3);
    } else if (!m[1]) {
        p->ifc->igmp_v1_until_ns = now + V1_PRESENT_NS;
        tenths = 100;
    } else {
        p->ifc->igmp_v2_until_ns = now + OLD_PRESENT_NS;
    }
    memcpy(&v, m + 4, 4);
    ipaddr group = ipaddr_v4(v);
    inet_groups_asked(p->ifc, v ? &group : NULL, false, MAX(tenths, 1) * (NSEC_PER_SEC / 10));
}

/* ---- MLD ------------------------------------------------------------------------------------ */

static void send6(struct stk_iface *ifc, const ipaddr *to, const u8 *msg, u32 size)
{
    struct txbuf b;
    ipaddr from = stk_link_local(ifc);
    u8 mac[6] = {0x33, 0x33}, tail[8] = {[7] = PROTO_ICMPV6};
    memcpy(mac + 2, to->b + 12, 4);
    wr32(tail, size);
    txb_init(&b);
    u8 *m = txb_push(&b, size);
    memcpy(m, msg, size);
    u64 sum = csum_add(csum_add(csum_add(0, from.b, 16), to->b, 16), tail, 8);
    csum_store(m + 2, csum_add(sum, m, size), true);
    u8 *x = txb_push(&b, 8); /* hop-by-hop options: router alert of MLD, padding */
    memcpy(x, (const u8[8]){PROTO_ICMPV6, 0, 5, 2, 0, 0, 1, 0}, 8);
    u8 *h = txb_push(&b, IP6_HLEN);
    memset(h, 0, IP6_HLEN);
    h[0] = 0x60;
    wr16(h + 4, 8 + size);
    h[6] = PROTO_HOPOPTS;
    h[7] = 1;
    memcpy(h + 8, from.b, 16);
    memcpy(h + 24, to->b, 16);
    (void)link_send(ifc, &b, mac, ETHTYPE_IPV6); /* as above */
}

static void report6(struct stk_iface *ifc, const ipaddr *group, enum group_change change)
{
    static const ipaddr routers = {.b = {0xff, 2, [15] = 2}},
                        v2_routers = {.b = {0xff, 2, [15] = 22}};
    u8 m[28] = {0};
    if (ifc->mld_v1_until_ns <= clock_mono_ns()) {
        m[0] = MLD_REPORT_V2;
        m[7] = 1;
        m[8] = record_type(change);
        memcpy(m + 12, group->b, 16);
        send6(ifc, &v2_routers, m, 28);
        return;
    }
    m[0] = change == GROUP_LEFT ? MLD_DONE : MLD_REPORT_V1;
    memcpy(m + 8, group->b, 16);
    send6(ifc, change == GROUP_LEFT ? &routers : group, m, 24);
}

/* The group in which neighbours look for an address. */
static ipaddr solicited_node(const ipaddr *a)
{
    ipaddr g = {.b = {0xff, 2, [11] = 1, 0xff}};
    memcpy(g.b + 13, a->b + 13, 3);
    return g;
}

/* Those of the interface's addresses; group NULL: all. */
static void answer_for_addrs(struct stk_iface *ifc, const ipaddr *group)
{
    struct stk_addr a;
    for (u32 i = 0; stk_addrs(ifc->stk, i, &a, 1); i++) {
        if (a.family != LX_AF_INET6 || a.ifindex != ifc->index)
            continue;
        ipaddr g = solicited_node(&a.addr);
        if (!group || ipaddr_equal(group, &g))
            report6(ifc, &g, GROUP_THERE);
    }
}

void mld_input(struct rxpkt *p)
{
    const u8 *m = p->data;
    ipaddr group;
    if (p->len < 24 || p->ttl != 1 || !ipaddr_is_link_local(&p->src) || m[0] != MLD_QUERY)
        return;
    u32 code = rd16(m + 4);
    s64 ms = code;
    if (p->len < 28)
        p->ifc->mld_v1_until_ns = clock_mono_ns() + OLD_PRESENT_NS;
    else if (code >= 0x8000)
        ms = (s64)((code & 0xfff) | 0x1000) << ((code >> 12 & 7) + 3);
    memcpy(group.b, m + 8, 16);
    bool is_general = ipaddr_is_any(&group);
    if (is_general)
        p->ifc->mld_answer_ns = clock_mono_ns() + MIN(ms, 1000) / 2 * NSEC_PER_MSEC + 1;
    else
        answer_for_addrs(p->ifc, &group);
    inet_groups_asked(p->ifc, is_general ? NULL : &group, true, MAX(ms, 1) * NSEC_PER_MSEC);
}

/* ---- both ----------------------------------------------------------------------------------- */

static bool has_routers(const struct stk_iface *ifc)
{
    return ifc->kind != DEV_LOOPBACK && ifc->type == LX_ARPHRD_ETHER && stk_is_up(ifc) &&
           ifc->flags & LX_IFF_MULTICAST;
}

void stk_group_report(struct stk_iface *ifc, const ipaddr *group, enum group_change change)
{
    if (!has_routers(ifc) || is_silent(group))
        return;
    if (ipaddr_is_v4(group))
        report4(ifc, group, change);
    else if (!net_sysctl(ifc->stk->ns, NSYS_IPV6_DISABLED))
        report6(ifc, group, change);
}

bool stk_groups_tick(struct netstack *stk, s64 now)
{
    bool is_left = false;
    for (u32 i = 0; i < stk->nifaces; i++) {
        struct stk_iface *ifc = stk->ifaces[i];
        if (ifc->mld_answer_ns && ifc->mld_answer_ns <= now) {
            ifc->mld_answer_ns = 0;
            if (has_routers(ifc))
                answer_for_addrs(ifc, NULL);
        }
        is_left |= ifc->mld_answer_ns != 0;
    }
    return is_left;
}

void stk_groups_up(struct stk_iface *ifc)
{
    if (!has_routers(ifc))
        return;
    answer_for_addrs(ifc, NULL);
    inet_groups_asked(ifc, NULL, false, NSEC_PER_SEC);
    inet_groups_asked(ifc, NULL, true, NSEC_PER_SEC);
}

void stk_group_of_addr(struct stk_iface *ifc, const ipaddr *addr, enum group_change change)
{
    ipaddr g = solicited_node(addr);
    if (!ipaddr_is_v4(addr))
        stk_group_report(ifc, &g, change);
}
