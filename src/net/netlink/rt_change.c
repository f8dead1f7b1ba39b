/*
 * NETLINK_ROUTE: changes of addresses, routes and neighbours. What has no effect here is refused.
 * Errors and their texts are Linux's, since programs compare both.
 */
#include <string.h>

#include "net/netdev.h"
#include "net/netlink/route.h"

bool rt_find_addr(const struct lx_nlmsghdr *req, u32 head, u16 type, u8 family, ipaddr *ret)
{
    u32 size = family == LX_AF_INET ? 4 : 16;
    const void *p = nl_find(req, head, type, size, NULL);
    *ret = family == LX_AF_INET ? ipaddr_v4(0) : (ipaddr){0};
    if (p)
        memcpy(ret->b + 16 - size, p, size);
    return p;
}

u32 rt_find_u32(const struct lx_nlmsghdr *req, u32 head, u16 type)
{
    u32 v = 0;
    const void *p = nl_find(req, head, type, sizeof(v), NULL);
    if (p)
        memcpy(&v, p, sizeof(v));
    return v;
}

static bool has_bits_below(const ipaddr *a, u32 bits)
{
    for (u32 i = bits; i < 128; i++)
        if (a->b[i / 8] & 0x80U >> i % 8)
            return true;
    return false;
}

/* ---- addresses ----------------------------------------------------------------------------- */

#define NEVER UINT32_MAX

/* Lifetimes end: what does not live for ever is refused. */
static int check_lifetime(const struct lx_nlmsghdr *req)
{
    u32 life[2]; /* preferred, valid */
    const void *p = nl_find(req, sizeof(struct lx_ifaddrmsg), IFA_CACHEINFO, 16, NULL);
    if (!p)
        return 0;
    memcpy(life, p, sizeof(life));
    if (!life[1] || life[0] > life[1])
        return -LX_EINVAL;
    return life[0] == NEVER && life[1] == NEVER ? 0 : -LX_EOPNOTSUPP;
}

static u8 scope_of(const ipaddr *a)
{
    return ipaddr_is_loopback(a) ? SCOPE_HOST : ipaddr_is_link_local(a) ? SCOPE_LINK : 0;
}

static int parse_addr(const struct lx_nlmsghdr *req, struct stk_addr *a, struct nlbuf *b)
{
    const struct lx_ifaddrmsg *m = nl_payload(req, sizeof(*m));
    bool is_v4 = m->family == LX_AF_INET;
    u32 flags = m->flags, size = 0;
    if (nl_find(req, sizeof(*m), IFA_FLAGS, 4, NULL))
        flags = rt_find_u32(req, sizeof(*m), IFA_FLAGS);
    *a = (struct stk_addr){.ifindex = (s32)m->index,
                           .family = m->family,
                           .prefix_len = m->prefixlen,
                           .scope = m->scope,
                           .flags = flags};
    bool has_local = rt_find_addr(req, sizeof(*m), IFA_LOCAL, m->family, &a->addr);
    bool has_peer = rt_find_addr(req, sizeof(*m), IFA_ADDRESS, m->family, &a->peer);
    if (is_v4 && !has_local && req->type == LX_RTM_NEWADDR)
        return rt_fail(b, -LX_EINVAL, "ipv4: Local address is not supplied");
    if (!is_v4 && !has_local && !has_peer)
        return -LX_EINVAL;
    if (!has_local)
        a->addr = a->peer;
    if (!has_peer && req->type == LX_RTM_NEWADDR)
        a->peer = a->addr;
    if (!is_v4)
        a->scope = scope_of(&a->addr);
    else
        a->bcast = rt_find_u32(req, sizeof(*m), IFA_BROADCAST);
    const char *label = nl_find(req, sizeof(*m), IFA_LABEL, 1, &size);
    if (label && is_v4)
        memcpy(a->label, label, strnlen(label, MIN(size, (u32)sizeof(a->label) - 1)));
    return 0;
}

static int add_addr(struct netstack *stk, const struct lx_nlmsghdr *req, struct stk_addr *a,
                    struct nlbuf *b)
{
    const u32 known = LX_IFA_F_PERMANENT | LX_IFA_F_NODAD | LX_IFA_F_NOPREFIXROUTE |
                      LX_IFA_F_OPTIMISTIC | LX_IFA_F_SECONDARY;
    bool is_v4 = a->family == LX_AF_INET;
    int r = check_lifetime(req);
    if (r < 0)
        return r;
    if (a->flags & ~known)
        return -LX_EOPNOTSUPP;
    if (!is_v4 && net_sysctl(stk->ns, NSYS_IPV6_DISABLED))
        return rt_fail(b, -LX_EACCES, "ipv6: IPv6 is disabled on this device");
    if (is_v4 ? ipaddr_is_multicast(&a->addr)
              : ipaddr_is_any(&a->addr) || ipaddr_is_multicast(&a->addr) ||
                    (ipaddr_is_loopback(&a->addr) && a->ifindex != LO_IFINDEX))
        return is_v4 ? -LX_EINVAL : rt_fail(b, -LX_EADDRNOTAVAIL, "ipv6: Invalid address");
    a->flags = (a->flags & (LX_IFA_F_NODAD | LX_IFA_F_NOPREFIXROUTE)) | LX_IFA_F_PERMANENT;
    r = stk_addr_add(stk, a);
    if (r != -LX_EEXIST)
        return r;
    if (req->flags & LX_NLM_F_REPLACE && !(req->flags & LX_NLM_F_EXCL))
        return 0;
    return rt_fail(b, r,
                   is_v4 ? "ipv4: Address already assigned" : "ipv6: address already assigned");
}

int rt_change_addr(struct net_ns *ns, const struct lx_nlmsghdr *req, struct nlbuf *b)
{
    const struct lx_ifaddrmsg *m = nl_payload(req, sizeof(*m));
    struct stk_addr a;
    if (!m)
        return -LX_EINVAL;
    if (!rt_is_family(m->family))
        return -LX_EOPNOTSUPP;
    bool is_v4 = m->family == LX_AF_INET, is_new = req->type == LX_RTM_NEWADDR;
    if (m->prefixlen > (is_v4 ? 32 : 128))
        return rt_fail(b, -LX_EINVAL,
                       is_v4 ? "ipv4: Invalid prefix length" : "ipv6: Invalid prefix length");
    int r = parse_addr(req, &a, b);
    if (r < 0)
        return r;
    if (!stk_iface(ns->stack, a.ifindex))
        return rt_fail(b, -LX_ENODEV,
                       is_v4 ? "ipv4: Device not found" : "ipv6: Unable to find the interface");
    if (is_new)
        return add_addr(ns->stack, req, &a, b);
    r = stk_addr_del(ns->stack, &a);
    return r < 0 ? rt_fail(b, r, is_v4 ? "ipv4: Address not found" : "ipv6: address not found") : 0;
}

/* ---- routes -------------------------------------------------------------------------------- */

static u32 find_mtu(const struct lx_nlmsghdr *req)
{
    u32 size, mtu = 0;
    const u8 *p = nl_find(req, sizeof(struct lx_rtmsg), RTA_METRICS, 4, &size);
    struct lx_nlattr a;
    while (p && size >= sizeof(a)) {
        memcpy(&a, p, sizeof(a));
        if (a.len < sizeof(a) || a.len > size)
            break;
        if ((a.type & NLA_TYPE_MASK) == RTAX_MTU && a.len >= sizeof(a) + sizeof(mtu))
            memcpy(&mtu, p + sizeof(a), sizeof(mtu));
        u32 step = MIN(NL_ALIGN(a.len), size);
        p += step;
        size -= step;
    }
    return mtu;
}

static int parse_route(const struct lx_nlmsghdr *req, struct stk_route *r, struct nlbuf *b)
{
    const struct lx_rtmsg *m = nl_payload(req, sizeof(*m));
    bool is_new = req->type == LX_RTM_NEWROUTE, is_v4 = m->family == LX_AF_INET;
    u32 table = nl_find(req, sizeof(*m), RTA_TABLE, 4, NULL)
                    ? rt_find_u32(req, sizeof(*m), RTA_TABLE)
                    : m->table;
    bool is_wall =
        m->type == RTN_BLACKHOLE || m->type == RTN_UNREACHABLE || m->type == RTN_PROHIBIT;
    *r = (struct stk_route){.family = m->family,
                            .dst_len = m->dst_len,
                            .table = table ? table : TABLE_MAIN,
                            .protocol = m->protocol,
                            .scope = m->scope == SCOPE_NOWHERE ? 0 : m->scope,
                            .type = m->type,
                            .tos = m->tos,
                            .is_onlink = m->flags & LX_RTNH_F_ONLINK,
                            .oif = (s32)rt_find_u32(req, sizeof(*m), RTA_OIF),
                            .mtu = find_mtu(req),
                            .metric = rt_find_u32(req, sizeof(*m), RTA_PRIORITY)};
    (void)rt_find_addr(req, sizeof(*m), RTA_DST, m->family, &r->dst);
    r->has_gateway = rt_find_addr(req, sizeof(*m), RTA_GATEWAY, m->family, &r->gateway);
    (void)rt_find_addr(req, sizeof(*m), RTA_PREFSRC, m->family, &r->prefsrc);
    if (has_bits_below(&r->dst, (is_v4 ? 96U : 0) + r->dst_len))
        return is_v4 ? rt_fail(b, -LX_EINVAL, "Invalid prefix for given prefix length")
                     : -LX_EINVAL;
    if (!is_new)
        return 0;
    if (m->src_len || (m->type != RTN_UNICAST && !is_wall) || m->tos || r->table == TABLE_LOCAL ||
        nl_find(req, sizeof(*m), RTA_MULTIPATH, 0, NULL) ||
        nl_find(req, sizeof(*m), RTA_VIA, 0, NULL) || nl_find(req, sizeof(*m), RTA_NH_ID, 0, NULL))
        return -LX_EOPNOTSUPP;
    return 0;
}

/* The gateway must be on a link; says by which interface. */
static int check_gateway(struct netstack *stk, struct stk_route *r, struct nlbuf *b)
{
    struct stk_path path;
    bool is_v4 = r->family == LX_AF_INET;
    struct stk_route by;
    ipaddr src = is_v4 ? ipaddr_v4(0) : (ipaddr){0};
    if (r->is_onlink || (!is_v4 && ipaddr_is_link_local(&r->gateway) && r->oif))
        return 0;
    int e = ipaddr_is_local(stk->ns, &r->gateway)
                ? -LX_EINVAL
                : stk_route_explain(stk, &r->gateway, r->oif, &src, &path, &by);
    if (e == 0 && by.has_gateway)
        e = -LX_ENETUNREACH;
    if (e < 0 && is_v4)
        return rt_fail(b, e == -LX_EINVAL ? e : -LX_ENETUNREACH, "Nexthop has invalid gateway");
    if (e < 0)
        return e == -LX_EINVAL ? e : -LX_EHOSTUNREACH;
    r->oif = path.ifc->index;
    return 0;
}

static int add_route(struct netstack *stk, const struct lx_nlmsghdr *req, struct stk_route *r,
                     struct nlbuf *b)
{
    bool is_v4 = r->family == LX_AF_INET, is_wall = r->type != RTN_UNICAST;
    if (!is_v4 && !r->metric)
        r->metric = 1024;
    if (!ipaddr_is_any(&r->prefsrc) && !stk_is_local(stk, &r->prefsrc))
        return is_v4 ? -LX_EINVAL : -LX_EINVAL;
    struct stk_iface *ifc = r->oif ? stk_iface(stk, r->oif) : NULL;
    if (r->oif && !ifc)
        return -LX_ENODEV;
    if (is_wall) {
        r->oif = 0;
        r->has_gateway = false;
    } else {
        if (!r->oif && !r->has_gateway)
            return is_v4 ? rt_fail(b, -LX_ENODEV, NULL) : -LX_ENODEV;
        if (ifc && !stk_is_up(ifc))
            return is_v4 ? rt_fail(b, -LX_ENETDOWN, "Device for nexthop is not up")
                         : rt_fail(b, -LX_ENETDOWN, NULL);
        int e = r->has_gateway ? check_gateway(stk, r, b) : 0;
        if (e < 0)
            return e;
    }
    int e = stk_route_put(stk, r, req->flags);
    if (e == 0)
        stk_tell_route(stk, true, r);
    return e;
}

int rt_change_route(struct net_ns *ns, const struct lx_nlmsghdr *req, struct nlbuf *b)
{
    const struct lx_rtmsg *m = nl_payload(req, sizeof(*m));
    struct stk_route r;
    if (!m)
        return -LX_EINVAL;
    if (!rt_is_family(m->family))
        return -LX_EOPNOTSUPP;
    if (m->dst_len > (m->family == LX_AF_INET ? 32 : 128))
        return rt_fail(b, -LX_EINVAL, "Invalid prefix length");
    int e = parse_route(req, &r, b);
    if (e < 0)
        return e;
    if (req->type == LX_RTM_NEWROUTE)
        return add_route(ns->stack, req, &r, b);
    struct stk_route old;
    e = stk_route_del(ns->stack, &r, &old);
    if (e == 0)
        stk_tell_route(ns->stack, false, &old);
    return e;
}

/* ---- rules --------------------------------------------------------------------------------- */

int rt_change_rule(struct net_ns *ns, const struct lx_nlmsghdr *req, struct nlbuf *b)
{
    const struct lx_rtmsg *m = nl_payload(req, sizeof(*m)); /* fib_rule_hdr: same layout */
    bool is_new = req->type == LX_RTM_NEWRULE;
    u32 size = 0, value;
    if (!m)
        return -LX_EINVAL;
    if (!rt_is_family(m->family))
        return -LX_EAFNOSUPPORT;
    struct stk_policy p = {.family = m->family,
                           .action = m->type,
                           .dst_len = m->dst_len,
                           .src_len = m->src_len,
                           .is_inverted = m->flags & 2,
                           .priority = rt_find_u32(req, sizeof(*m), FRA_PRIORITY),
                           .table = nl_find(req, sizeof(*m), FRA_TABLE, 4, NULL)
                                        ? rt_find_u32(req, sizeof(*m), FRA_TABLE)
                                        : m->table};
    u8 bits = m->family == LX_AF_INET ? 32 : 128;
    bool has_dst = rt_find_addr(req, sizeof(*m), FRA_DST, m->family, &p.dst);
    bool has_src = rt_find_addr(req, sizeof(*m), FRA_SRC, m->family, &p.src);
    if (m->src_len > bits || m->dst_len > bits || (m->src_len && !has_src) ||
        (m->dst_len && !has_dst))
        return rt_fail(b, -LX_EINVAL, "Invalid rule");
    const u8 *protocol = nl_find(req, sizeof(*m), FRA_PROTOCOL, 1, NULL);
    p.protocol = protocol ? *protocol : 0;
    const char *oif = nl_find(req, sizeof(*m), FRA_OIFNAME, 1, &size);
    if (oif)
        memcpy(p.oif, oif, strnlen(oif, MIN(size, (u32)sizeof(p.oif) - 1)));
    for (u16 type = 1; type <= 32; type++) { /* what would narrow it further is not here */
        const void *a = nl_find(req, sizeof(*m), type, 0, &size);
        bool is_known = type == FRA_DST || type == FRA_SRC || type == FRA_PRIORITY ||
                        type == FRA_TABLE || type == FRA_OIFNAME || type == FRA_PROTOCOL;
        if (!a || is_known)
            continue;
        if (type == FRA_SUPPRESS_PREFIXLEN && size >= 4) {
            memcpy(&value, a, 4);
            if (value == UINT32_MAX)
                continue;
        }
        return -LX_EOPNOTSUPP;
    }
    if (m->tos || m->flags & ~2U)
        return -LX_EOPNOTSUPP;
    if (!is_new)
        return stk_policy_del(ns->stack, &p);
    bool is_wall =
        p.action == RTN_BLACKHOLE || p.action == RTN_UNREACHABLE || p.action == RTN_PROHIBIT;
    if (p.action != 1 && !is_wall)
        return -LX_EOPNOTSUPP;
    if (p.action == 1 && !p.table)
        return rt_fail(b, -LX_EINVAL, "Invalid table");
    return p.table == TABLE_LOCAL ? -LX_EOPNOTSUPP
                                  : stk_policy_add(ns->stack, &p, req->flags & LX_NLM_F_EXCL);
}

/* ---- neighbours ---------------------------------------------------------------------------- */

int rt_change_neigh(struct net_ns *ns, const struct lx_nlmsghdr *req, struct nlbuf *b)
{
    const struct lx_ndmsg *m = nl_payload(req, sizeof(*m));
    struct netstack *stk = ns->stack;
    struct neigh_info n = {0};
    if (!m)
        return -LX_EINVAL;
    if (!rt_is_family(m->family))
        return -LX_EOPNOTSUPP;
    if (!rt_find_addr(req, sizeof(*m), NDA_DST, m->family, &n.addr))
        return rt_fail(b, -LX_EINVAL, "Network address not specified");
    n.ifindex = m->ifindex;
    if (!stk_iface(stk, n.ifindex))
        return -LX_ENODEV;
    if (req->type == LX_RTM_DELNEIGH) {
        int r = neigh_delete(stk, n.ifindex, &n.addr);
        n.state = NEIGH_FAILED;
        if (r == 0)
            stk_tell_neigh(stk, false, &n);
        return r;
    }
    const void *mac = nl_find(req, sizeof(*m), NDA_LLADDR, 6, NULL);
    if (m->flags & ~0x7fU || (m->flags & 0x0a)) /* proxies, and what others manage */
        return -LX_EOPNOTSUPP;
    bool has_old = neigh_get(stk, n.ifindex, &n.addr, &(struct neigh_info){0});
    if (!has_old && !(req->flags & LX_NLM_F_CREATE))
        return -LX_ENOENT;
    if (has_old && req->flags & LX_NLM_F_EXCL)
        return -LX_EEXIST;
    if (!mac)
        return -LX_EINVAL;
    memcpy(n.mac, mac, 6);
    n.state = (u8)m->state;
    int r = neigh_set(stk, &n);
    if (r == 0 && neigh_get(stk, n.ifindex, &n.addr, &n))
        stk_tell_neigh(stk, true, &n);
    return r;
}
