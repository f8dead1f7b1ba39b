/*
 * NETLINK_ROUTE: the loopback's link, addresses, routes and rules, as Linux prints them, and after
 * them those of the stack (route_stack.c). Changes of the loopback are refused with EOPNOTSUPP, but for
 * those that ask for what is there already ("ip link set lo up").
 */
#include <string.h>

#include "net/inet/inet.h"
#include "net/netdev.h"
#include "net/netlink/route.h"

#define FR_ACT_TO_TBL 1
#define RTPROT_KERNEL 2
#define IFAPROT_KERNEL_LO 1

static const u8 lo6_addr[16] = {[15] = 1};

/* ---- links --------------------------------------------------------------------------------- */

static void put_link(struct nlbuf *b, u16 flags)
{
    u8 mac[6] = {0};
    u64 stats64[24] = {0};
    u32 stats[24] = {0};
    struct lx_ifinfomsg *ifi = nl_begin(b, LX_RTM_NEWLINK, flags, sizeof(*ifi));
    if (!ifi)
        return;
    *ifi = (struct lx_ifinfomsg){
        .type = LX_ARPHRD_LOOPBACK,
        .index = LO_IFINDEX,
        .flags = LX_IFF_UP | LX_IFF_LOOPBACK | LX_IFF_RUNNING | LX_IFF_LOWER_UP,
    };
    nl_attr_str(b, IFLA_IFNAME, "lo");
    nl_attr_u32(b, LX_IFLA_TXQLEN, 1000);
    nl_attr_u8(b, IFLA_OPERSTATE, 0);
    nl_attr_u8(b, IFLA_LINKMODE, 0);
    nl_attr_u32(b, IFLA_MTU, LO_MTU);
    nl_attr_u32(b, IFLA_MIN_MTU, 0);
    nl_attr_u32(b, IFLA_MAX_MTU, 0);
    nl_attr_u32(b, IFLA_GROUP, 0);
    nl_attr_u32(b, LX_IFLA_PROMISCUITY, 0);
    nl_attr_u32(b, IFLA_NUM_TX_QUEUES, 1);
    nl_attr_u32(b, IFLA_GSO_MAX_SEGS, 65535);
    nl_attr_u32(b, IFLA_GSO_MAX_SIZE, 65536);
    nl_attr_u32(b, IFLA_NUM_RX_QUEUES, 1);
    nl_attr_u8(b, IFLA_CARRIER, 1);
    nl_attr_str(b, IFLA_QDISC, "noqueue");
    nl_attr_u32(b, IFLA_CARRIER_CHANGES, 0);
    nl_attr(b, IFLA_ADDRESS, mac, sizeof(mac));
    nl_attr(b, IFLA_BROADCAST, mac, sizeof(mac));
    nl_attr(b, IFLA_STATS64, stats64, sizeof(stats64));
    nl_attr(b, IFLA_STATS, stats, sizeof(stats));
    (void)nl_end(b);
}

static bool dump_links(struct nl_sock *n, struct nl_dump *d, struct nlbuf *b)
{
    if (!d->cursor++)
        put_link(b, 0);
    u64 at = d->cursor - 1;
    bool is_over = rt_put_links(n->sk.ns, b, &at);
    d->cursor = at + 1;
    return is_over;
}

static bool is_name_attr(const struct lx_nlmsghdr *req, u16 type, bool *ret_is_lo)
{
    u32 size;
    const char *name = nl_find(req, sizeof(struct lx_ifinfomsg), type, 1, &size);
    if (!name)
        return false;
    *ret_is_lo = strnlen(name, size) == 2 && !memcmp(name, "lo", 2);
    return true;
}

static int get_link(struct net_ns *ns, const struct lx_nlmsghdr *req, struct nlbuf *b)
{
    const struct lx_ifinfomsg *ifi = nl_payload(req, sizeof(*ifi));
    bool is_lo = false;
    if (!ifi)
        return -LX_EINVAL;
    if (ifi->index > 0)
        is_lo = ifi->index == LO_IFINDEX;
    else if (!is_name_attr(req, IFLA_IFNAME, &is_lo) && !is_name_attr(req, IFLA_ALT_IFNAME, &is_lo))
        return -LX_EINVAL;
    if (is_lo) {
        put_link(b, 0);
        return 0;
    }
    char name[LX_IFNAMSIZ] = "";
    u32 size = 0;
    const char *p = nl_find(req, sizeof(*ifi), IFLA_IFNAME, 1, &size);
    if (!p)
        p = nl_find(req, sizeof(*ifi), IFLA_ALT_IFNAME, 1, &size);
    if (p)
        memcpy(name, p, MIN(size, (u32)sizeof(name) - 1));
    return rt_get_link(ns, ifi->index, ifi->index > 0 ? NULL : name, b);
}

/* SETLINK and NEWLINK: bringing the loopback up, which it is. */
static int set_link(struct net_ns *ns, const struct lx_nlmsghdr *req)
{
    const struct lx_ifinfomsg *ifi = nl_payload(req, sizeof(*ifi));
    bool is_lo = false;
    if (!ifi)
        return -LX_EINVAL;
    if (ifi->index > 0)
        is_lo = ifi->index == LO_IFINDEX;
    else
        (void)is_name_attr(req, IFLA_IFNAME, &is_lo);
    if (!is_lo) {
        int r = ns->stack ? rt_change(ns, req) : -LX_ENODEV;
        return r == -LX_ENODEV && req->flags & LX_NLM_F_CREATE ? -LX_EOPNOTSUPP : r;
    }
    bool has_attrs = req->len > sizeof(*req) + sizeof(*ifi) && !nl_find(req, sizeof(*ifi), IFLA_IFNAME, 1, NULL);
    bool is_up = ifi->flags & LX_IFF_UP;
    return is_up && !(ifi->change & ~(u32)LX_IFF_UP) && !has_attrs ? 0 : -LX_EOPNOTSUPP;
}

/* The loopback cannot be removed; others are not there. */
static int del_link(struct net_ns *ns, const struct lx_nlmsghdr *req)
{
    const struct lx_ifinfomsg *ifi = nl_payload(req, sizeof(*ifi));
    bool is_lo = false;
    if (!ifi)
        return -LX_EINVAL;
    if (ifi->index > 0)
        is_lo = ifi->index == LO_IFINDEX;
    else if (!is_name_attr(req, IFLA_IFNAME, &is_lo) && !is_name_attr(req, IFLA_ALT_IFNAME, &is_lo))
        return -LX_EINVAL;
    if (is_lo)
        return -LX_EOPNOTSUPP;
    return ns->stack ? rt_change(ns, req) : -LX_ENODEV;
}

/* ---- addresses ----------------------------------------------------------------------------- */

static void put_addr(struct nlbuf *b, u8 family)
{
    u32 forever[4] = {UINT32_MAX, UINT32_MAX, 0, 0}, lo4 = net32(LX_INADDR_LOOPBACK);
    struct lx_ifaddrmsg *ifa = nl_begin(b, LX_RTM_NEWADDR, 0, sizeof(*ifa));
    if (!ifa)
        return;
    *ifa = (struct lx_ifaddrmsg){
        .family = family,
        .prefixlen = family == LX_AF_INET ? 8 : 128,
        .flags = LX_IFA_F_PERMANENT,
        .scope = SCOPE_HOST,
        .index = LO_IFINDEX,
    };
    if (family == LX_AF_INET) {
        nl_attr(b, IFA_ADDRESS, &lo4, sizeof(lo4));
        nl_attr(b, IFA_LOCAL, &lo4, sizeof(lo4));
        nl_attr_str(b, IFA_LABEL, "lo");
    } else {
        nl_attr(b, IFA_ADDRESS, lo6_addr, sizeof(lo6_addr));
    }
    nl_attr_u32(b, IFA_FLAGS, LX_IFA_F_PERMANENT);
    nl_attr(b, IFA_CACHEINFO, forever, sizeof(forever));
    if (family == LX_AF_INET6)
        nl_attr_u8(b, IFA_PROTO, IFAPROT_KERNEL_LO);
    (void)nl_end(b);
}

/* Family and interface that a dump asks for: 0 all. An old request has only the family byte. */
static u8 dump_family(const struct nl_dump *d)
{
    return d->req_size ? d->req[0] : 0;
}

static bool has_v6(const struct nl_sock *n)
{
    return !net_sysctl(n->sk.ns, NSYS_IPV6_DISABLED);
}

static bool dump_addrs(struct nl_sock *n, struct nl_dump *d, struct nlbuf *b)
{
    u8 family = dump_family(d);
    u32 index = 0;
    if (d->req_size >= sizeof(struct lx_ifaddrmsg))
        memcpy(&index, d->req + offsetof(struct lx_ifaddrmsg, index), sizeof(index));
    if (!d->cursor++ && (!index || index == LO_IFINDEX)) {
        if (family == 0 || family == LX_AF_INET)
            put_addr(b, LX_AF_INET);
        if ((family == 0 || family == LX_AF_INET6) && has_v6(n))
            put_addr(b, LX_AF_INET6);
    }
    u64 at = d->cursor - 1;
    bool is_over = rt_put_addrs(n->sk.ns, b, &at, family, (s32)index);
    d->cursor = at + 1;
    return is_over;
}

static int get_addr(struct nl_sock *n, const struct lx_nlmsghdr *req, struct nlbuf *b)
{
    const struct lx_ifaddrmsg *ifa = nl_payload(req, sizeof(*ifa));
    if (!ifa || ifa->family != LX_AF_INET6)
        return -LX_EOPNOTSUPP;
    const void *a = nl_find(req, sizeof(*ifa), IFA_ADDRESS, 16, NULL);
    if (!a || memcmp(a, lo6_addr, 16) || !has_v6(n))
        return -LX_EADDRNOTAVAIL;
    put_addr(b, LX_AF_INET6);
    return 0;
}

/* ---- routes -------------------------------------------------------------------------------- */

struct route {
    u8 family, dst_len, table, scope, type;
    u32 dst; /* IPv4, host order */
};
static const struct route routes[] = {
    {LX_AF_INET, 8, TABLE_LOCAL, SCOPE_HOST, RTN_LOCAL, 0x7f000000},
    {LX_AF_INET, 32, TABLE_LOCAL, SCOPE_HOST, RTN_LOCAL, 0x7f000001},
    {LX_AF_INET, 32, TABLE_LOCAL, SCOPE_LINK, RTN_BROADCAST, 0x7fffffff},
    {LX_AF_INET6, 128, TABLE_MAIN, SCOPE_UNIVERSE, RTN_UNICAST, 0},
    {LX_AF_INET6, 128, TABLE_LOCAL, SCOPE_UNIVERSE, RTN_LOCAL, 0},
};

static void put_route(struct nlbuf *b, const struct route *r)
{
    u32 dst = net32(r->dst), src = net32(LX_INADDR_LOOPBACK), cache[8] = {0};
    struct lx_rtmsg *rtm = nl_begin(b, LX_RTM_NEWROUTE, 0, sizeof(*rtm));
    if (!rtm)
        return;
    *rtm = (struct lx_rtmsg){
        .family = r->family,
        .dst_len = r->dst_len,
        .table = r->table,
        .protocol = RTPROT_KERNEL,
        .scope = r->scope,
        .type = r->type,
    };
    nl_attr_u32(b, RTA_TABLE, r->table);
    if (r->family == LX_AF_INET) {
        nl_attr(b, RTA_DST, &dst, sizeof(dst));
        nl_attr(b, RTA_PREFSRC, &src, sizeof(src));
        nl_attr_u32(b, RTA_OIF, LO_IFINDEX);
    } else {
        nl_attr(b, RTA_DST, lo6_addr, sizeof(lo6_addr));
        nl_attr_u32(b, RTA_PRIORITY, r->table == TABLE_MAIN ? 256 : 0);
        nl_attr_u32(b, RTA_OIF, LO_IFINDEX);
        nl_attr(b, RTA_CACHEINFO, cache, sizeof(cache));
        nl_attr_u8(b, RTA_PREF, 0);
    }
    (void)nl_end(b);
}

static bool dump_routes(struct nl_sock *n, struct nl_dump *d, struct nlbuf *b)
{
    u8 family = dump_family(d), table = 0;
    if (n->opt >> LX_NETLINK_GET_STRICT_CHK & 1 && d->req_size >= sizeof(struct lx_rtmsg))
        table = d->req[offsetof(struct lx_rtmsg, table)];
    for (size_t i = 0; !d->cursor && i < ARRAY_SIZE(routes); i++) {
        const struct route *r = &routes[i];
        if ((family && family != r->family) || (table && table != r->table))
            continue;
        if (r->family == LX_AF_INET6 && !has_v6(n))
            continue;
        put_route(b, r);
    }
    u64 at = d->cursor ? d->cursor - 1 : 0;
    bool is_over = rt_put_routes(n->sk.ns, b, &at, family, table);
    d->cursor = at + 1;
    return is_over;
}

/* "ip route get": which way a packet would take. */
static int get_route(struct nl_sock *n, const struct lx_nlmsghdr *req, struct nlbuf *b)
{
    const struct lx_rtmsg *q = nl_payload(req, sizeof(*q));
    if (!q || (q->family != LX_AF_INET && q->family != LX_AF_INET6))
        return -LX_EINVAL;
    u32 size = q->family == LX_AF_INET ? 4 : 16, cache[8] = {0};
    const void *dst = nl_find(req, sizeof(*q), RTA_DST, size, NULL);
    ipaddr a = {0};
    u32 v4 = net32(LX_INADDR_LOOPBACK);
    if (q->family == LX_AF_INET) {
        if (dst)
            memcpy(&v4, dst, sizeof(v4));
        a = ipaddr_v4(v4);
    } else {
        memcpy(&a, dst ? dst : lo6_addr, 16);
    }
    if (!ipaddr_is_local(n->sk.ns, &a)) {
        u32 oif = 0;
        const void *p = nl_find(req, sizeof(*q), RTA_OIF, sizeof(oif), NULL);
        if (p)
            memcpy(&oif, p, sizeof(oif));
        return rt_get_route(n->sk.ns, q, &a, (s32)oif, b);
    }
    struct lx_rtmsg *rtm = nl_begin(b, LX_RTM_NEWROUTE, 0, sizeof(*rtm));
    if (!rtm)
        return -LX_EMSGSIZE;
    *rtm = (struct lx_rtmsg){
        .family = q->family,
        .dst_len = (u8)(size * 8),
        .table = q->family == LX_AF_INET && !(q->flags & LX_RTM_F_LOOKUP_TABLE) ? TABLE_MAIN
                                                                                : TABLE_LOCAL,
        .protocol = q->family == LX_AF_INET ? 0 : RTPROT_KERNEL,
        .type = RTN_LOCAL,
        .flags = q->family == LX_AF_INET ? LX_RTM_F_CLONED : 0,
    };
    nl_attr_u32(b, RTA_TABLE, rtm->table);
    if (q->family == LX_AF_INET) {
        u32 src = net32(LX_INADDR_LOOPBACK);
        nl_attr(b, RTA_DST, &v4, sizeof(v4));
        nl_attr_u32(b, RTA_OIF, LO_IFINDEX);
        nl_attr(b, RTA_PREFSRC, &src, sizeof(src));
    } else {
        nl_attr(b, RTA_DST, &a, 16);
        nl_attr_u32(b, RTA_OIF, LO_IFINDEX);
        nl_attr(b, RTA_PREFSRC, lo6_addr, 16);
        nl_attr_u32(b, RTA_PRIORITY, 0);
    }
    nl_attr(b, RTA_CACHEINFO, cache, sizeof(cache));
    (void)nl_end(b);
    return 0;
}

/* ---- rules, queueing ----------------------------------------------------------------------- */

static void put_rule(struct nlbuf *b, u8 family, u32 table, u32 priority)
{
    struct lx_rtmsg *r = nl_begin(b, LX_RTM_NEWRULE, 0, sizeof(*r)); /* fib_rule_hdr: same layout */
    if (!r)
        return;
    *r = (struct lx_rtmsg){.family = family, .table = (u8)table, .type = FR_ACT_TO_TBL};
    nl_attr_u32(b, FRA_TABLE, table);
    nl_attr_u32(b, FRA_SUPPRESS_PREFIXLEN, UINT32_MAX);
    nl_attr_u8(b, FRA_PROTOCOL, RTPROT_KERNEL);
    if (priority)
        nl_attr_u32(b, FRA_PRIORITY, priority);
    (void)nl_end(b);
}

static bool dump_rules(struct nl_sock *n, struct nl_dump *d, struct nlbuf *b)
{
    u8 family = dump_family(d);
    if (family == 0 || family == LX_AF_INET) {
        put_rule(b, LX_AF_INET, TABLE_LOCAL, 0);
        put_rule(b, LX_AF_INET, TABLE_MAIN, 32766);
        put_rule(b, LX_AF_INET, TABLE_DEFAULT, 32767);
    }
    if ((family == 0 || family == LX_AF_INET6) && has_v6(n)) {
        put_rule(b, LX_AF_INET6, TABLE_LOCAL, 0);
        put_rule(b, LX_AF_INET6, TABLE_MAIN, 32766);
    }
    return true;
}

static bool dump_qdiscs(struct nl_sock *n, struct nl_dump *d, struct nlbuf *b)
{
    struct lx_tcmsg *t = nl_begin(b, LX_RTM_NEWQDISC, 0, sizeof(*t));
    if (t) {
        *t = (struct lx_tcmsg){.ifindex = LO_IFINDEX, .parent = UINT32_MAX, .info = 2};
        nl_attr_str(b, TCA_KIND, "noqueue");
        (void)nl_end(b);
    }
    return true;
}

static bool dump_neighs(struct nl_sock *n, struct nl_dump *d, struct nlbuf *b)
{
    return rt_put_neighs(n->sk.ns, b, &d->cursor, dump_family(d));
}

static bool dump_nothing(struct nl_sock *n, struct nl_dump *d, struct nlbuf *b)
{
    return true;
}

/* ---- dispatch ------------------------------------------------------------------------------ */

static int start(struct nl_dump *d, bool (*step)(struct nl_sock *, struct nl_dump *, struct nlbuf *))
{
    d->step = step;
    return 0;
}

static int dump_request(u16 type, struct nl_dump *d)
{
    switch (type) {
    case LX_RTM_GETLINK:
        return start(d, dump_links);
    case LX_RTM_GETADDR:
        return start(d, dump_addrs);
    case LX_RTM_GETROUTE:
        return start(d, dump_routes);
    case LX_RTM_GETRULE:
        return start(d, dump_rules);
    case LX_RTM_GETQDISC:
        return start(d, dump_qdiscs);
    case LX_RTM_GETNEIGH:
        return start(d, dump_neighs);
    case LX_RTM_GETNEXTHOP:
    case LX_RTM_GETMULTICAST:
    case LX_RTM_GETANYCAST:
    case LX_RTM_GETADDRLABEL:
    case LX_RTM_GETTCLASS:
    case LX_RTM_GETTFILTER:
        return start(d, dump_nothing);
    default:
        return -LX_EOPNOTSUPP;
    }
}

/*
 * NETLINK_GET_STRICT_CHK: what a dump cannot filter by must be zero. The answer is a dump that ends
 * with the error.
 */
static int strict_error(struct net_ns *ns, const struct lx_nlmsghdr *req)
{
    const struct lx_ifinfomsg *ifi = nl_payload(req, sizeof(*ifi));
    const struct lx_ifaddrmsg *ifa = nl_payload(req, sizeof(*ifa));
    const struct lx_rtmsg *rtm = nl_payload(req, sizeof(*rtm));
    switch (req->type) {
    case LX_RTM_GETLINK:
        if (!ifi || ifi->pad || ifi->type || ifi->flags || ifi->change || ifi->index)
            return -LX_EINVAL;
        return 0;
    case LX_RTM_GETADDR:
        if (!ifa || ifa->prefixlen || ifa->flags || ifa->scope)
            return -LX_EINVAL;
        return ifa->index && !netdev_exists(ns, (s32)ifa->index) ? -LX_ENODEV : 0;
    case LX_RTM_GETROUTE:
        if (!rtm || rtm->dst_len || rtm->src_len || rtm->tos || rtm->scope ||
            rtm->flags & ~(u32)(LX_RTM_F_CLONED | LX_RTM_F_PREFIX))
            return -LX_EINVAL;
        return 0;
    case LX_RTM_GETRULE:
        if (!rtm || rtm->dst_len || rtm->src_len || rtm->tos || rtm->table || rtm->protocol ||
            rtm->scope || rtm->type || rtm->flags)
            return -LX_EINVAL;
        return 0;
    default:
        return 0;
    }
}

int nl_route_request(struct nl_sock *n, const struct lx_nlmsghdr *req, struct nlbuf *b,
                     struct nl_dump *d)
{
    u16 type = req->type;
    if (type > LX_RTM_MAX)
        return -LX_EOPNOTSUPP;
    if (req->len < sizeof(*req) + 1) /* every request has at least its family */
        return 0;
    bool is_get = (type & 3) == 2;
    if (!is_get && !net_capable(n->sk.ns, LX_CAP_NET_ADMIN))
        return -LX_EPERM;
    if (is_get && (req->flags & LX_NLM_F_DUMP)) {
        int r = dump_request(type, d);
        if (r == 0 && n->opt >> LX_NETLINK_GET_STRICT_CHK & 1 && (d->err = strict_error(n->sk.ns, req)) < 0)
            d->step = dump_nothing;
        return r;
    }
    switch (type) {
    case LX_RTM_GETLINK:
        return get_link(n->sk.ns, req, b);
    case LX_RTM_GETADDR:
        return get_addr(n, req, b);
    case LX_RTM_GETROUTE:
        return get_route(n, req, b);
    case LX_RTM_NEWLINK:
    case LX_RTM_SETLINK:
        return set_link(n->sk.ns, req);
    case LX_RTM_DELLINK:
        return del_link(n->sk.ns, req);
    default:
        return is_get ? -LX_EOPNOTSUPP : rt_change(n->sk.ns, req);
    }
}
