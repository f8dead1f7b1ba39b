/*
 * NETLINK_ROUTE about the stack's interfaces: their links, addresses, routes and neighbours, and
 * changes of these. Kinds of routes, flags and attributes that have no effect here are refused.
 */
#include <string.h>

#include "net/netdev.h"
#include "net/netlink/route.h"
#include "net/stack/stack.h"

#define OPER_DOWN        2
#define OPER_UP          6
#define LX_RTNH_F_ONLINK 4U

/* ---- showing ------------------------------------------------------------------------------- */

static bool put_link(struct nlbuf *b, const struct netdev_info *d)
{
    static const u8 all[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    bool is_up = d->flags & LX_IFF_UP;
    u64 s64v[24] = {d->rx_packets, d->tx_packets, d->rx_bytes,    d->tx_bytes, d->rx_errors, 0,
                    d->rx_dropped, d->tx_dropped, d->rx_multicast};
    u32 s32v[24];
    for (u32 i = 0; i < 24; i++)
        s32v[i] = (u32)s64v[i];
    struct lx_ifinfomsg *ifi = nl_begin(b, LX_RTM_NEWLINK, 0, sizeof(*ifi));
    if (!ifi)
        return false;
    *ifi = (struct lx_ifinfomsg){.type = d->type,
                                 .index = d->index,
                                 .flags = is_up ? d->flags | LX_IFF_RUNNING | LX_IFF_LOWER_UP
                                                : d->flags & ~(u32)LX_IFF_RUNNING};
    nl_attr_str(b, IFLA_IFNAME, d->name);
    nl_attr_u32(b, LX_IFLA_TXQLEN, 1000);
    nl_attr_u8(b, IFLA_OPERSTATE, is_up ? OPER_UP : OPER_DOWN);
    nl_attr_u8(b, IFLA_LINKMODE, 0);
    nl_attr_u32(b, IFLA_MTU, d->mtu);
    nl_attr_u32(b, IFLA_MIN_MTU, 68);
    nl_attr_u32(b, IFLA_MAX_MTU, 65535);
    nl_attr_u32(b, IFLA_GROUP, 0);
    nl_attr_u32(b, LX_IFLA_PROMISCUITY, 0);
    nl_attr_u32(b, IFLA_NUM_TX_QUEUES, 1);
    nl_attr_u32(b, IFLA_GSO_MAX_SEGS, 65535);
    nl_attr_u32(b, IFLA_GSO_MAX_SIZE, 65536);
    nl_attr_u32(b, IFLA_NUM_RX_QUEUES, 1);
    nl_attr_u8(b, IFLA_CARRIER, is_up);
    nl_attr_str(b, IFLA_QDISC, "noqueue");
    nl_attr_u32(b, IFLA_CARRIER_CHANGES, 0);
    nl_attr(b, IFLA_ADDRESS, d->mac, sizeof(d->mac));
    nl_attr(b, IFLA_BROADCAST, all, sizeof(all));
    nl_attr(b, IFLA_STATS64, s64v, sizeof(s64v));
    nl_attr(b, IFLA_STATS, s32v, sizeof(s32v));
    return nl_end(b);
}

bool rt_put_links(struct net_ns *ns, struct nlbuf *b, u64 *at)
{
    struct netdev_info d;
    for (; ns->stack && stk_netdev(ns->stack, (u32)*at, &d); ++*at)
        if (!put_link(b, &d))
            return false;
    return true;
}

int rt_get_link(struct net_ns *ns, s32 index, const char *name, struct nlbuf *b)
{
    struct netdev_info d;
    for (u32 i = 0; ns->stack && stk_netdev(ns->stack, i, &d); i++) {
        if (name ? strcmp(d.name, name) : d.index != index)
            continue;
        return put_link(b, &d) ? 0 : -LX_EMSGSIZE;
    }
    return -LX_ENODEV;
}

/* The bytes of an address as its family's messages carry it. */
static void attr_addr(struct nlbuf *b, u16 type, const ipaddr *a, u8 family)
{
    if (family == LX_AF_INET)
        nl_attr(b, type, a->b + 12, 4);
    else
        nl_attr(b, type, a->b, 16);
}

static bool put_addr(struct nlbuf *b, const struct stk_addr *a, const char *label)
{
    u32 forever[4] = {UINT32_MAX, UINT32_MAX, 0, 0};
    struct lx_ifaddrmsg *ifa = nl_begin(b, LX_RTM_NEWADDR, 0, sizeof(*ifa));
    if (!ifa)
        return false;
    *ifa = (struct lx_ifaddrmsg){.family = a->family,
                                 .prefixlen = a->prefix_len,
                                 .flags = a->flags,
                                 .scope = a->scope,
                                 .index = (u32)a->ifindex};
    attr_addr(b, IFA_ADDRESS, &a->peer, a->family);
    if (a->family == LX_AF_INET) {
        attr_addr(b, IFA_LOCAL, &a->addr, a->family);
        if (a->bcast)
            nl_attr(b, IFA_BROADCAST, &a->bcast, 4);
        nl_attr_str(b, IFA_LABEL, label);
    }
    nl_attr_u32(b, IFA_FLAGS, a->flags);
    nl_attr(b, IFA_CACHEINFO, forever, sizeof(forever));
    return nl_end(b);
}

bool rt_put_addrs(struct net_ns *ns, struct nlbuf *b, u64 *at, u8 family, s32 ifindex)
{
    struct stk_addr a;
    for (; ns->stack && stk_addrs(ns->stack, (u32)*at, &a, 1); ++*at) {
        struct stk_iface *f = stk_iface(ns->stack, a.ifindex);
        if ((family && a.family != family) || (ifindex && a.ifindex != ifindex))
            continue;
        if (!put_addr(b, &a, f ? f->name : ""))
            return false;
    }
    return true;
}

static bool put_route(struct nlbuf *b, const struct stk_route *r)
{
    u32 cache[8] = {0};
    struct lx_rtmsg *rtm = nl_begin(b, LX_RTM_NEWROUTE, 0, sizeof(*rtm));
    if (!rtm)
        return false;
    *rtm = (struct lx_rtmsg){.family = r->family,
                             .dst_len = r->dst_len,
                             .table = r->table,
                             .protocol = r->protocol,
                             .scope = r->scope,
                             .type = r->type};
    nl_attr_u32(b, RTA_TABLE, r->table);
    if (r->dst_len)
        attr_addr(b, RTA_DST, &r->dst, r->family);
    if (r->metric)
        nl_attr_u32(b, RTA_PRIORITY, r->metric);
    if (r->mtu) {
        u32 nest = nl_nest(b, RTA_METRICS);
        nl_attr_u32(b, 2 /* RTAX_MTU */, r->mtu);
        nl_nest_end(b, nest);
    }
    if (r->has_gateway)
        attr_addr(b, RTA_GATEWAY, &r->gateway, r->family);
    if (!ipaddr_is_any(&r->prefsrc))
        attr_addr(b, RTA_PREFSRC, &r->prefsrc, r->family);
    if (r->oif)
        nl_attr_u32(b, RTA_OIF, (u32)r->oif);
    if (r->family == LX_AF_INET6) {
        nl_attr(b, RTA_CACHEINFO, cache, sizeof(cache));
        nl_attr_u8(b, RTA_PREF, 0);
    }
    return nl_end(b);
}

/* The local table's entry for an address. */
static struct stk_route local_route(const struct stk_addr *a)
{
    bool is_v4 = a->family == LX_AF_INET;
    struct stk_route r = {
        .oif = a->ifindex, .family = a->family, .table = TABLE_LOCAL, .protocol = 2};
    r.dst = a->addr;
    r.dst_len = is_v4 ? 32 : 128;
    r.scope = is_v4 ? SCOPE_HOST : SCOPE_UNIVERSE;
    r.type = RTN_LOCAL;
    if (is_v4)
        r.prefsrc = a->addr;
    return r;
}

#define LOCALS (1ULL << 32) /* *at from here on: the addresses */

bool rt_put_routes(struct net_ns *ns, struct nlbuf *b, u64 *at, u8 family, u8 table)
{
    struct stk_route r;
    struct stk_addr a;
    if (!ns->stack)
        return true;
    for (; *at < LOCALS && stk_routes(ns->stack, (u32)*at, &r, 1); ++*at)
        if ((!family || r.family == family) && (!table || r.table == table) && !put_route(b, &r))
            return false;
    if (*at < LOCALS)
        *at = LOCALS;
    for (; stk_addrs(ns->stack, (u32)*at, &a, 1); ++*at) {
        r = local_route(&a);
        if ((!family || a.family == family) && (!table || table == TABLE_LOCAL) &&
            !put_route(b, &r))
            return false;
    }
    return true;
}

bool rt_put_neighs(struct net_ns *ns, struct nlbuf *b, u64 *at, u8 family)
{
    struct neigh_info n;
    for (; ns->stack && neigh_list(ns->stack, (u32)*at, &n, 1); ++*at) {
        u8 f = ipaddr_is_v4(&n.addr) ? LX_AF_INET : LX_AF_INET6;
        if (family && family != f)
            continue;
        struct lx_ndmsg *nd = nl_begin(b, LX_RTM_NEWNEIGH, 0, sizeof(*nd));
        if (!nd)
            return false;
        *nd = (struct lx_ndmsg){
            .family = f, .ifindex = n.ifindex, .state = n.state, .type = RTN_UNICAST};
        attr_addr(b, NDA_DST, &n.addr, f);
        if (!(n.state & (NEIGH_INCOMPLETE | NEIGH_FAILED)))
            nl_attr(b, NDA_LLADDR, n.mac, sizeof(n.mac));
        if (!nl_end(b))
            return false;
    }
    return true;
}

int rt_get_route(struct net_ns *ns, const struct lx_rtmsg *q, const ipaddr *dst, s32 oif,
                 struct nlbuf *b)
{
    struct stk_path path;
    bool is_v4 = q->family == LX_AF_INET;
    ipaddr src = is_v4 ? ipaddr_v4(0) : (ipaddr){0};
    u32 cache[8] = {0};
    if (!ns->stack)
        return -LX_ENETUNREACH;
    int r = stk_route(ns->stack, dst, oif, &src, &path);
    if (r < 0)
        return r;
    struct lx_rtmsg *rtm = nl_begin(b, LX_RTM_NEWROUTE, 0, sizeof(*rtm));
    if (!rtm)
        return -LX_EMSGSIZE;
    *rtm = (struct lx_rtmsg){.family = q->family,
                             .dst_len = is_v4 ? 32 : 128,
                             .table = TABLE_MAIN,
                             .type = RTN_UNICAST,
                             .flags = is_v4 ? LX_RTM_F_CLONED : 0};
    nl_attr_u32(b, RTA_TABLE, TABLE_MAIN);
    attr_addr(b, RTA_DST, dst, q->family);
    if (!ipaddr_equal(&path.nexthop, dst))
        attr_addr(b, RTA_GATEWAY, &path.nexthop, q->family);
    nl_attr_u32(b, RTA_OIF, (u32)path.ifc->index);
    attr_addr(b, RTA_PREFSRC, &src, q->family);
    nl_attr(b, RTA_CACHEINFO, cache, sizeof(cache));
    (void)nl_end(b);
    return 0;
}

/* ---- changes ------------------------------------------------------------------------------- */

/* An address attribute of the family; false: absent. */
static bool find_addr(const struct lx_nlmsghdr *req, u32 head, u16 type, u8 family, ipaddr *ret)
{
    u32 size = family == LX_AF_INET ? 4 : 16;
    const void *p = nl_find(req, head, type, size, NULL);
    *ret = family == LX_AF_INET ? ipaddr_v4(0) : (ipaddr){0};
    if (p)
        memcpy(ret->b + 16 - size, p, size);
    return p;
}

static u32 find_u32(const struct lx_nlmsghdr *req, u32 head, u16 type)
{
    u32 v = 0;
    const void *p = nl_find(req, head, type, sizeof(v), NULL);
    if (p)
        memcpy(&v, p, sizeof(v));
    return v;
}

static bool is_family(u8 family)
{
    return family == LX_AF_INET || family == LX_AF_INET6;
}

static int change_addr(struct netstack *stk, const struct lx_nlmsghdr *req)
{
    const struct lx_ifaddrmsg *m = nl_payload(req, sizeof(*m));
    ipaddr peer;
    if (!m || !is_family(m->family) || m->prefixlen > (m->family == LX_AF_INET ? 32 : 128))
        return -LX_EINVAL;
    if (!stk_iface(stk, (s32)m->index))
        return m->index == LO_IFINDEX ? -LX_EOPNOTSUPP : -LX_ENODEV;
    struct stk_addr a = {.ifindex = (s32)m->index,
                         .family = m->family,
                         .prefix_len = m->prefixlen,
                         .scope = m->scope,
                         .flags = LX_IFA_F_PERMANENT};
    bool has_peer = find_addr(req, sizeof(*m), IFA_ADDRESS, m->family, &peer);
    if (!find_addr(req, sizeof(*m), IFA_LOCAL, m->family, &a.addr)) {
        if (!has_peer)
            return -LX_EINVAL;
        a.addr = peer;
    }
    a.peer = has_peer ? peer : a.addr;
    if (m->family == LX_AF_INET)
        a.bcast = find_u32(req, sizeof(*m), IFA_BROADCAST);
    if (ipaddr_is_any(&a.addr) || ipaddr_is_multicast(&a.addr) || ipaddr_is_loopback(&a.addr))
        return -LX_EINVAL;
    if (req->type == LX_RTM_DELADDR)
        return stk_addr_del(stk, &a);
    int r = stk_addr_add(stk, &a);
    return r == -LX_EEXIST && req->flags & LX_NLM_F_REPLACE ? 0 : r;
}

static int change_route(struct netstack *stk, const struct lx_nlmsghdr *req)
{
    const struct lx_rtmsg *m = nl_payload(req, sizeof(*m));
    if (!m || !is_family(m->family) || m->dst_len > (m->family == LX_AF_INET ? 32 : 128))
        return -LX_EINVAL;
    bool is_new = req->type == LX_RTM_NEWROUTE;
    u32 table = nl_find(req, sizeof(*m), RTA_TABLE, 4, NULL) ? find_u32(req, sizeof(*m), RTA_TABLE)
                                                             : m->table;
    bool is_wall =
        m->type == RTN_BLACKHOLE || m->type == RTN_UNREACHABLE || m->type == RTN_PROHIBIT;
    if ((table && table != TABLE_MAIN) || m->src_len || m->tos ||
        (is_new && m->type != RTN_UNICAST && !is_wall))
        return -LX_EOPNOTSUPP;
    struct stk_route r = {.family = m->family,
                          .dst_len = m->dst_len,
                          .table = TABLE_MAIN,
                          .protocol = m->protocol,
                          .scope = m->scope,
                          .type = m->type,
                          .oif = (s32)find_u32(req, sizeof(*m), RTA_OIF),
                          .metric = find_u32(req, sizeof(*m), RTA_PRIORITY)};
    (void)find_addr(req, sizeof(*m), RTA_DST, m->family, &r.dst);
    r.has_gateway = find_addr(req, sizeof(*m), RTA_GATEWAY, m->family, &r.gateway);
    (void)find_addr(req, sizeof(*m), RTA_PREFSRC, m->family, &r.prefsrc);
    if (!is_new)
        return stk_route_del(stk, &r);
    if (m->family == LX_AF_INET6 && !r.metric)
        r.metric = 1024;
    if (!ipaddr_is_any(&r.prefsrc) && !stk_is_local(stk, &r.prefsrc))
        return -LX_EINVAL;
    if (!is_wall && !r.oif) {
        struct stk_path path;
        ipaddr src = m->family == LX_AF_INET ? ipaddr_v4(0) : (ipaddr){0};
        if (!r.has_gateway || stk_route(stk, &r.gateway, 0, &src, &path) < 0)
            return r.has_gateway ? -LX_ENETUNREACH : -LX_ENODEV;
        r.oif = path.ifc->index;
    }
    if (!is_wall && !stk_iface(stk, r.oif))
        return -LX_ENODEV;
    return stk_route_add(stk, &r, req->flags & LX_NLM_F_REPLACE);
}

static int change_neigh(struct netstack *stk, const struct lx_nlmsghdr *req)
{
    const struct lx_ndmsg *m = nl_payload(req, sizeof(*m));
    struct neigh_info n = {0};
    if (!m || !is_family(m->family) || !find_addr(req, sizeof(*m), NDA_DST, m->family, &n.addr))
        return -LX_EINVAL;
    n.ifindex = m->ifindex;
    if (req->type == LX_RTM_DELNEIGH)
        return neigh_delete(stk, n.ifindex, &n.addr);
    const void *mac = nl_find(req, sizeof(*m), NDA_LLADDR, 6, NULL);
    if (!mac || m->flags)
        return mac ? -LX_EOPNOTSUPP : -LX_EINVAL;
    memcpy(n.mac, mac, 6);
    n.state = (u8)m->state;
    return neigh_set(stk, &n);
}

static int change_link(struct netstack *stk, const struct lx_nlmsghdr *req)
{
    const struct lx_ifinfomsg *m = nl_payload(req, sizeof(*m));
    struct stk_iface *f = NULL;
    u32 size = 0;
    if (!m)
        return -LX_EINVAL;
    const char *name = nl_find(req, sizeof(*m), IFLA_IFNAME, 1, &size);
    if (m->index > 0) {
        f = stk_iface(stk, m->index);
    } else if (name && memchr(name, 0, size)) {
        f = stk_iface_named(stk, name);
    }
    if (!f)
        return -LX_ENODEV;
    bool has_more = req->len > sizeof(*req) + sizeof(*m) && !name;
    if (m->change & ~(u32)LX_IFF_UP || has_more)
        return -LX_EOPNOTSUPP;
    u32 flags =
        m->change & LX_IFF_UP ? (f->flags & ~(u32)LX_IFF_UP) | (m->flags & LX_IFF_UP) : f->flags;
    return (int)stk_set_flags(stk, f->index, flags);
}

int rt_change(struct net_ns *ns, const struct lx_nlmsghdr *req)
{
    if (!ns->stack)
        return -LX_EOPNOTSUPP;
    switch (req->type) {
    case LX_RTM_NEWADDR:
    case LX_RTM_DELADDR:
        return change_addr(ns->stack, req);
    case LX_RTM_NEWROUTE:
    case LX_RTM_DELROUTE:
        return change_route(ns->stack, req);
    case LX_RTM_NEWNEIGH:
    case LX_RTM_DELNEIGH:
        return change_neigh(ns->stack, req);
    case LX_RTM_NEWLINK:
    case LX_RTM_SETLINK:
        return change_link(ns->stack, req);
    default:
        return -LX_EOPNOTSUPP;
    }
}
