/*
 * NETLINK_ROUTE: requests and dumps. Messages are made in rt_put.c, changes in rt_change.c and
 * rt_link.c.
 */
#include <stdlib.h>
#include <string.h>

#include "net/netdev.h"
#include "net/netlink/route.h"

#define FIB_RULE_INVERT 2U

/* Family and interface that a dump asks for: 0 all. An old request has only the family byte. */
static u8 dump_family(const struct nl_dump *d)
{
    return d->req_size ? d->req[0] : 0;
}

static bool has_v6(const struct nl_sock *n)
{
    return !net_sysctl(n->sk.ns, NSYS_IPV6_DISABLED);
}

/* ---- links --------------------------------------------------------------------------------- */

static bool dump_links(struct nl_sock *n, struct nl_dump *d, struct nlbuf *b)
{
    struct netdev_info i;
    bool is_ports = dump_family(d) == LX_PF_BRIDGE;
    while (netdev_next(n->sk.ns, (s32)d->cursor, &i)) {
        if (is_ports ? i.master && !rt_put_port(b, &i) : !rt_put_link(b, LX_RTM_NEWLINK, &i, 0))
            return false;
        d->cursor = (u64)i.index;
    }
    return true;
}

static int get_link(struct net_ns *ns, const struct lx_nlmsghdr *req, struct nlbuf *b)
{
    struct netdev_info d;
    int r = 0;
    struct stk_iface *f = rt_find_link(ns, req, &r);
    if (!f || !netdev_get(ns, f->index, &d))
        return f ? -LX_ENODEV : r;
    return rt_put_link(b, LX_RTM_NEWLINK, &d, 0) ? 0 : -LX_EMSGSIZE;
}

/* ---- addresses ----------------------------------------------------------------------------- */

static bool dump_addrs(struct nl_sock *n, struct nl_dump *d, struct nlbuf *b)
{
    u8 family = dump_family(d);
    u32 index = 0;
    struct stk_addr a;
    if (d->req_size >= sizeof(struct lx_ifaddrmsg))
        memcpy(&index, d->req + offsetof(struct lx_ifaddrmsg, index), sizeof(index));
    for (; stk_addrs(n->sk.ns->stack, (u32)d->cursor, &a, 1); d->cursor++) {
        if ((family && a.family != family) || (index && a.ifindex != (s32)index) ||
            (a.family == LX_AF_INET6 && !has_v6(n)))
            continue;
        if (!rt_put_addr(b, LX_RTM_NEWADDR, n->sk.ns->stack, &a))
            return false;
    }
    return true;
}

static int get_addr(struct nl_sock *n, const struct lx_nlmsghdr *req, struct nlbuf *b)
{
    const struct lx_ifaddrmsg *ifa = nl_payload(req, sizeof(*ifa));
    struct stk_addr a;
    ipaddr want;
    if (!ifa || ifa->family != LX_AF_INET6)
        return -LX_EOPNOTSUPP;
    if (!rt_find_addr(req, sizeof(*ifa), IFA_ADDRESS, LX_AF_INET6, &want) || !has_v6(n))
        return -LX_EADDRNOTAVAIL;
    for (u32 i = 0; stk_addrs(n->sk.ns->stack, i, &a, 1); i++)
        if (ipaddr_equal(&a.addr, &want) && (!ifa->index || (s32)ifa->index == a.ifindex))
            return rt_put_addr(b, LX_RTM_NEWADDR, n->sk.ns->stack, &a) ? 0 : -LX_EMSGSIZE;
    return -LX_EADDRNOTAVAIL;
}

/* ---- routes -------------------------------------------------------------------------------- */

static bool dump_routes(struct nl_sock *n, struct nl_dump *d, struct nlbuf *b)
{
    u8 family = dump_family(d), table = 0;
    struct stk_route *all;
    u32 count;
    if (n->opt >> LX_NETLINK_GET_STRICT_CHK & 1 && d->req_size >= sizeof(struct lx_rtmsg))
        table = d->req[offsetof(struct lx_rtmsg, table)];
    if (rt_all_routes(n->sk.ns->stack, family, table, &all, &count) < 0) {
        d->err = -LX_ENOMEM;
        return true;
    }
    while (d->cursor < count && rt_put_route(b, LX_RTM_NEWROUTE, n->sk.ns->stack, &all[d->cursor]))
        d->cursor++;
    free(all);
    return d->cursor >= count;
}

/* "ip route get": which way a packet would take. */
static int put_way(struct nl_sock *n, const struct lx_rtmsg *q, const ipaddr *dst, s32 oif,
                   const ipaddr *from, struct nlbuf *b)
{
    bool is_v4 = q->family == LX_AF_INET, is_local = ipaddr_is_local(n->sk.ns, dst);
    struct stk_path path = {0};
    struct stk_route found = {.family = q->family, .table = TABLE_MAIN, .type = RTN_UNICAST};
    ipaddr src = *from;
    u32 cache[8] = {0};
    if (!is_local) {
        int r = stk_route_explain(n->sk.ns->stack, dst, oif, &src, &path, &found);
        if (r < 0)
            return r;
    } else if (ipaddr_is_any(&src)) {
        src = *dst;
    }
    struct lx_rtmsg *rtm = nl_begin(b, LX_RTM_NEWROUTE, 0, sizeof(*rtm));
    if (!rtm)
        return -LX_EMSGSIZE;
    *rtm = (struct lx_rtmsg){.family = q->family,
                             .dst_len = is_v4 ? 32 : 128,
                             .table = (u8)found.table,
                             .type = is_local ? RTN_LOCAL : RTN_UNICAST,
                             .protocol = is_v4      ? 0
                                         : is_local ? RTPROT_KERNEL
                                                    : found.protocol,
                             .flags = is_v4 ? LX_RTM_F_CLONED : 0,
                             .src_len = !is_v4                ? 128
                                        : ipaddr_is_any(from) ? 0
                                                              : 32};
    if (is_local && is_v4)
        rtm->flags |= LX_RTCF_LOCAL;
    if (is_local && !is_v4) /* Linux has both in one of IPv4 until there are other rules */
        rtm->table = TABLE_LOCAL;
    nl_attr_u32(b, RTA_TABLE, rtm->table);
    rt_attr_addr(b, RTA_DST, dst, q->family);
    if (!is_v4 || !ipaddr_is_any(from))
        rt_attr_addr(b, RTA_SRC, from, q->family);
    if (!is_local && !ipaddr_equal(&path.nexthop, dst))
        rt_attr_addr(b, RTA_GATEWAY, &path.nexthop, q->family);
    nl_attr_u32(b, RTA_OIF, is_local ? LO_IFINDEX : (u32)path.ifc->index);
    if (!is_v4 || ipaddr_is_any(from))
        rt_attr_addr(b, RTA_PREFSRC, &src, q->family);
    if (!is_v4)
        nl_attr_u32(b, RTA_PRIORITY, found.metric);
    if (is_v4)
        nl_attr_u32(b, RTA_UID, 0);
    nl_attr(b, RTA_CACHEINFO, cache, sizeof(cache));
    if (!is_v4)
        nl_attr_u8(b, RTA_PREF, 0);
    (void)nl_end(b);
    return 0;
}

static int get_route(struct nl_sock *n, const struct lx_nlmsghdr *req, struct nlbuf *b)
{
    const struct lx_rtmsg *q = nl_payload(req, sizeof(*q));
    ipaddr dst, src;
    if (!q || !rt_is_family(q->family))
        return -LX_EINVAL;
    if (!rt_find_addr(req, sizeof(*q), RTA_DST, q->family, &dst))
        dst = q->family == LX_AF_INET ? ipaddr_v4(net32(LX_INADDR_LOOPBACK))
                                      : (ipaddr){.b = {[15] = 1}};
    (void)rt_find_addr(req, sizeof(*q), RTA_SRC, q->family, &src);
    return put_way(n, q, &dst, (s32)rt_find_u32(req, sizeof(*q), RTA_OIF), &src, b);
}

/* ---- rules, queueing ----------------------------------------------------------------------- */

static bool put_rule(struct nlbuf *b, const struct stk_policy *p)
{
    struct lx_rtmsg *r = nl_begin(b, LX_RTM_NEWRULE, 0, sizeof(*r)); /* fib_rule_hdr: same layout */
    if (!r)
        return false;
    *r = (struct lx_rtmsg){.family = p->family,
                           .dst_len = p->dst_len,
                           .src_len = p->src_len,
                           .table = p->table > 255 ? 252 : (u8)p->table,
                           .type = p->action,
                           .flags = p->is_inverted ? FIB_RULE_INVERT : 0};
    nl_attr_u32(b, FRA_TABLE, p->table);
    nl_attr_u32(b, FRA_SUPPRESS_PREFIXLEN, UINT32_MAX);
    nl_attr_u8(b, FRA_PROTOCOL, p->protocol);
    if (p->priority)
        nl_attr_u32(b, FRA_PRIORITY, p->priority);
    if (p->oif[0])
        nl_attr_str(b, FRA_OIFNAME, p->oif);
    if (p->dst_len)
        rt_attr_addr(b, FRA_DST, &p->dst, p->family);
    if (p->src_len)
        rt_attr_addr(b, FRA_SRC, &p->src, p->family);
    return nl_end(b);
}

/* The cursor counts the local table's rule before those of its family. */
static bool dump_rules(struct nl_sock *n, struct nl_dump *d, struct nlbuf *b)
{
    static const u8 families[] = {LX_AF_INET, LX_AF_INET6};
    u8 family = dump_family(d);
    u64 at = 0;
    for (u32 i = 0; i < ARRAY_SIZE(families); i++) {
        struct stk_policy p = {
            .family = families[i], .action = 1, .table = TABLE_LOCAL, .protocol = RTPROT_KERNEL};
        if ((family && family != families[i]) || (families[i] == LX_AF_INET6 && !has_v6(n)))
            continue;
        for (u32 k = 0;; k++) {
            if (p.family == families[i] && at++ >= d->cursor) {
                if (!put_rule(b, &p))
                    return false;
                d->cursor = at;
            }
            if (!stk_policy_nth(n->sk.ns->stack, k, &p))
                break;
        }
    }
    return true;
}

static bool dump_qdiscs(struct nl_sock *n, struct nl_dump *d, struct nlbuf *b)
{
    struct netdev_info i;
    for (; netdev_next(n->sk.ns, (s32)d->cursor, &i); d->cursor = (u64)i.index) {
        struct lx_tcmsg *t = nl_begin(b, LX_RTM_NEWQDISC, 0, sizeof(*t));
        if (!t)
            return false;
        *t = (struct lx_tcmsg){.ifindex = i.index, .parent = UINT32_MAX, .info = 2};
        nl_attr_str(b, TCA_KIND, i.has_qdisc ? "noqueue" : "noop");
        if (!nl_end(b))
            return false;
    }
    return true;
}

/* PF_BRIDGE: what bridges have learned. The cursor: a bridge's index, and which of its entries. */
static bool dump_fdb(struct nl_sock *n, struct nl_dump *d, struct nlbuf *b)
{
    struct netdev_info i;
    u8 mac[6];
    s32 port;
    while (netdev_next(n->sk.ns, (s32)(d->cursor >> 32), &i)) {
        struct stk_iface *br = stk_iface(n->sk.ns->stack, i.index);
        while (br && stk_fdb_nth(br, (u32)d->cursor, mac, &port)) {
            struct lx_ndmsg *nd = nl_begin(b, LX_RTM_NEWNEIGH, 0, sizeof(*nd));
            if (!nd)
                return false;
            *nd = (struct lx_ndmsg){
                .family = LX_PF_BRIDGE, .ifindex = port, .state = NEIGH_REACHABLE};
            nl_attr(b, NDA_LLADDR, mac, sizeof(mac));
            nl_attr_u32(b, NDA_MASTER, (u32)i.index);
            if (!nl_end(b))
                return false;
            d->cursor++;
        }
        d->cursor = (u64)i.index << 32;
    }
    return true;
}

static bool dump_neighs(struct nl_sock *n, struct nl_dump *d, struct nlbuf *b)
{
    struct neigh_info i;
    u8 family = dump_family(d);
    if (family == LX_PF_BRIDGE)
        return dump_fdb(n, d, b);
    for (; neigh_list(n->sk.ns->stack, (u32)d->cursor, &i, 1); d->cursor++) {
        if (family && family != (ipaddr_is_v4(&i.addr) ? LX_AF_INET : LX_AF_INET6))
            continue;
        if (!rt_put_neigh(b, LX_RTM_NEWNEIGH, &i))
            return false;
    }
    return true;
}

static bool dump_nsids(struct nl_sock *n, struct nl_dump *d, struct nlbuf *b)
{
    for (; d->cursor < NET_NS_IDS; d->cursor++) {
        if (!net_ns_has_id(n->sk.ns, (s32)d->cursor))
            continue;
        u8 *h = nl_begin(b, LX_RTM_NEWNSID, 0, 4);
        if (!h)
            return false;
        nl_attr_u32(b, NETNSA_NSID, (u32)d->cursor);
        if (!nl_end(b))
            return false;
    }
    return true;
}

static bool dump_nothing(struct nl_sock *n, struct nl_dump *d, struct nlbuf *b)
{
    return true;
}

/* ---- dispatch ------------------------------------------------------------------------------ */

static int start(struct nl_dump *d,
                 bool (*step)(struct nl_sock *, struct nl_dump *, struct nlbuf *))
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
    case LX_RTM_GETNSID:
        return start(d, dump_nsids);
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

static int change(struct net_ns *ns, const struct lx_nlmsghdr *req, struct nlbuf *b)
{
    switch (req->type) {
    case LX_RTM_NEWLINK:
    case LX_RTM_SETLINK:
    case LX_RTM_DELLINK:
        return rt_change_link(ns, req, b);
    case LX_RTM_NEWADDR:
    case LX_RTM_DELADDR: {
        MUTEX_GUARD(&dev_lock);
        return rt_change_addr(ns, req, b);
    }
    case LX_RTM_NEWROUTE:
    case LX_RTM_DELROUTE: {
        MUTEX_GUARD(&dev_lock);
        return rt_change_route(ns, req, b);
    }
    case LX_RTM_NEWRULE:
    case LX_RTM_DELRULE: {
        MUTEX_GUARD(&dev_lock);
        return rt_change_rule(ns, req, b);
    }
    case LX_RTM_NEWNEIGH:
    case LX_RTM_DELNEIGH: {
        MUTEX_GUARD(&dev_lock);
        return rt_change_neigh(ns, req, b);
    }
    default:
        return -LX_EOPNOTSUPP;
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
    if (n->sk.ns->host)
        return rt_host_request(n, req, b, d);
    bool is_get = (type & 3) == 2;
    if (!is_get && !net_capable(n->sk.ns, LX_CAP_NET_ADMIN))
        return -LX_EPERM;
    if (is_get && (req->flags & LX_NLM_F_DUMP)) {
        int r = dump_request(type, d);
        if (r == 0 && n->opt >> LX_NETLINK_GET_STRICT_CHK & 1 &&
            (d->err = strict_error(n->sk.ns, req)) < 0)
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
    case LX_RTM_GETNSID:
    case LX_RTM_NEWNSID:
        return rt_nsid(n->sk.ns, req, b);
    default:
        return is_get ? -LX_EOPNOTSUPP : change(n->sk.ns, req, b);
    }
}
