/* Internet addresses: forms, scopes, sockaddrs, and where a destination is reached. */
#include <string.h>

#include "net/inet/inet.h"
#include "net/stack/stack.h"

ipaddr ipaddr_v4(u32 be_addr)
{
    ipaddr a = {.w = {0, 0, net32(0xffff), be_addr}};
    return a;
}

bool ipaddr_is_v4(const ipaddr *a)
{
    return a->d[0] == 0 && a->w[2] == net32(0xffff);
}

bool ipaddr_is_any(const ipaddr *a)
{
    return a->d[0] == 0 && a->w[3] == 0 && (a->w[2] == 0 || a->w[2] == net32(0xffff));
}

bool ipaddr_is_multicast(const ipaddr *a)
{
    return ipaddr_is_v4(a) ? (a->b[12] & 0xf0) == 0xe0 : a->b[0] == 0xff;
}

bool ipaddr_is_broadcast(const ipaddr *a)
{
    return ipaddr_is_v4(a) && a->w[3] == UINT32_MAX;
}

bool ipaddr_is_link_local(const ipaddr *a)
{
    return a->b[0] == 0xfe && (a->b[1] & 0xc0) == 0x80;
}

bool ipaddr_is_loopback(const ipaddr *a)
{
    if (ipaddr_is_v4(a))
        return a->b[12] == 127;
    return a->d[0] == 0 && a->w[2] == 0 && a->w[3] == net32(1);
}

bool ipaddr_is_local(struct net_ns *ns, const ipaddr *a)
{
    if (!ipaddr_is_v4(a) && net_sysctl(ns, NSYS_IPV6_DISABLED))
        return false;
    return stk_is_local(ns->stack, a);
}

bool inet_is_remote(struct net_ns *ns, const ipaddr *dst, s32 oif)
{
    return oif != LO_IFINDEX && !ipaddr_is_local(ns, dst);
}

/* The way by the stack's interfaces. */
static int route_out(const struct inet_sock *i, const ipaddr *dst, const ipaddr *want_src, s32 oif, ipaddr *ret_src)
{
    struct stk_path path;
    ipaddr src = *want_src;
    if (!ipaddr_is_v4(dst) && net_sysctl(i->sk.ns, NSYS_IPV6_DISABLED))
        return ipaddr_is_loopback(dst) ? -LX_EADDRNOTAVAIL : -LX_ENETUNREACH;
    if (ipaddr_is_any(&src))
        src = ipaddr_is_v4(dst) ? ipaddr_v4(0) : (ipaddr){0};
    else if (ipaddr_is_loopback(&src))
        return -LX_EINVAL;
    int r = stk_route(i->sk.ns->stack, dst, oif, &src, &path);
    if (r == 0)
        *ret_src = src;
    return r;
}

ipaddr inet_any(const struct inet_sock *i)
{
    return inet_is_v6(i) ? (ipaddr){0} : ipaddr_v4(0);
}

int inet_parse_dest(const struct inet_sock *i, const union saddr *sa, u32 len, struct inet_dest *ret)
{
    *ret = (struct inet_dest){0};
    if (!inet_is_v6(i)) {
        if (len < sizeof(sa->in))
            return -LX_EINVAL;
        if (sa->family != LX_AF_INET)
            return -LX_EAFNOSUPPORT;
        ret->addr = ipaddr_v4(sa->in.addr);
        ret->port = net16(sa->in.port);
        return 0;
    }
    if (len < LX_SIN6_LEN_RFC2133)
        return -LX_EINVAL;
    if (sa->family != LX_AF_INET6)
        return -LX_EAFNOSUPPORT;
    ret->addr = sa->in6.addr;
    ret->port = net16(sa->in6.port);
    ret->flowinfo = sa->in6.flowinfo;
    if (len >= sizeof(sa->in6))
        ret->scope_id = sa->in6.scope_id;
    if (ipaddr_is_v4(&ret->addr) && inet_opt(i) & IPF6_V6ONLY)
        return -LX_ENETUNREACH;
    return 0;
}

void inet_fill_sockaddr(u16 family, const ipaddr *a, u16 port, u32 scope_id, union saddr *ret,
                        u32 *ret_len)
{
    memset(ret, 0, sizeof(*ret));
    ret->family = family;
    if (family == LX_AF_INET) {
        ret->in.port = net16(port);
        ret->in.addr = ipaddr_to_v4(a);
        *ret_len = sizeof(ret->in);
        return;
    }
    ret->in6.port = net16(port);
    ret->in6.addr = *a;
    ret->in6.scope_id = ipaddr_is_link_local(a) ? scope_id : 0;
    *ret_len = sizeof(ret->in6);
}

int inet_route(const struct inet_sock *i, ipaddr *dst, const ipaddr *want_src, s32 oif,
               ipaddr *ret_src)
{
    bool is_v4 = ipaddr_is_v4(dst) || !inet_is_v6(i);
    bool has_src = !ipaddr_is_any(want_src);
    ipaddr lo = is_v4 ? ipaddr_v4(net32(LX_INADDR_LOOPBACK)) : (ipaddr){.b = {[15] = 1}};
    bool is_lo_up = stk_is_up(stk_lo(i->sk.ns->stack));
    if (ipaddr_is_any(dst)) {
        /* "This host": the bound address, or the loopback of the family in use. */
        if (has_src) {
            is_v4 = ipaddr_is_v4(want_src);
            *dst = *want_src;
        } else {
            *dst = lo;
        }
    }
    if (has_src && ipaddr_is_v4(want_src) != is_v4)
        return is_v4 ? -LX_ENETUNREACH : -LX_EAFNOSUPPORT; /* the source is of the other kind */
    if (!oif && is_v4 && has_src && want_src->b[12] == 127 &&
        (ipaddr_is_multicast(dst) || ipaddr_is_broadcast(dst)))
        oif = LO_IFINDEX; /* the source names the interface */
    if (inet_is_remote(i->sk.ns, dst, oif))
        return route_out(i, dst, want_src, oif, ret_src);
    if (!is_lo_up)
        return -LX_ENETUNREACH;
    if (ipaddr_is_multicast(dst)) {
        /* No route for groups on a namespace without other interfaces, unless told the interface. */
        if (!oif)
            return -LX_ENETUNREACH;
    } else if (!ipaddr_is_local(i->sk.ns, dst)) {
        if (ipaddr_is_broadcast(dst) && oif) {
            *ret_src = has_src ? *want_src : lo;
            return 0;
        }
        if (!is_v4 && net_sysctl(i->sk.ns, NSYS_IPV6_DISABLED))
            return -LX_EADDRNOTAVAIL;
        return -LX_ENETUNREACH;
    }
    *ret_src = has_src ? *want_src : ipaddr_is_local(i->sk.ns, dst) && !ipaddr_is_loopback(dst) ? *dst : lo;
    return 0;
}
