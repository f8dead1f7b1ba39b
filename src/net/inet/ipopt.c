/*
 * Options of IPPROTO_IP, IPPROTO_IPV6, IPPROTO_UDP, IPPROTO_RAW and IPPROTO_ICMPV6, and multicast
 * memberships. An int option of IPPROTO_IP may be given as one byte.
 */
#include <stdlib.h>
#include <string.h>

#include "net/filter/ct.h"
#include "net/filter/iptables.h"
#include "net/inet/inet.h"
#include "net/stack/stack.h"

struct lx_ip_mreqn {
    u32 group, addr;
    s32 ifindex;
};

struct __attribute__((packed, aligned(4))) lx_ipv6_mreq {
    ipaddr group;
    s32 ifindex;
};

struct lx_group_req {
    u32 ifindex, pad;
    union saddr group;
};

#define LX_MCAST_MEMBER_V4 12
#define RAW_ICMP_FILTER    1 /* SOL_RAW */

struct flag_option {
    s32 name;
    u64 flag;
};

static const struct flag_option ip_flags[] = {
    {LX_IP_PKTINFO, IPF_PKTINFO},         {LX_IP_RECVTTL, IPF_RECVTTL},
    {LX_IP_RECVTOS, IPF_RECVTOS},         {LX_IP_RECVOPTS, IPF_RECVOPTS},
    {LX_IP_RETOPTS, IPF_RETOPTS},         {LX_IP_FREEBIND, IPF_FREEBIND},
    {LX_IP_RECVERR, IPF_RECVERR},         {LX_IP_RECVORIGDSTADDR, IPF_ORIGDST},
    {LX_IP_MULTICAST_LOOP, IPF_MC_LOOP},  {LX_IP_MULTICAST_ALL, IPF_MC_ALL},
    {LX_IP_BIND_ADDRESS_NO_PORT, IPF_BIND_NO_PORT}, {LX_IP_CHECKSUM, IPF_CHECKSUM},
    {LX_IP_RECVERR_RFC4884, IPF_RECVERR_4884}, {LX_IP_PASSSEC, IPF_PASSSEC},
};

static const struct flag_option ip6_flags[] = {
    {LX_IPV6_RECVPKTINFO, IPF6_RECVPKTINFO},   {LX_IPV6_RECVHOPLIMIT, IPF6_RECVHOPLIMIT},
    {LX_IPV6_RECVTCLASS, IPF6_RECVTCLASS},     {LX_IPV6_RECVRTHDR, IPF6_RECVRTHDR},
    {LX_IPV6_RECVHOPOPTS, IPF6_RECVHOPOPTS},   {LX_IPV6_RECVDSTOPTS, IPF6_RECVDSTOPTS},
    {LX_IPV6_RECVERR, IPF6_RECVERR},           {LX_IPV6_MULTICAST_LOOP, IPF6_MC_LOOP},
    {LX_IPV6_MULTICAST_ALL, IPF6_MC_ALL},      {LX_IPV6_DONTFRAG, IPF6_DONTFRAG},
    {LX_IPV6_AUTOFLOWLABEL, IPF6_AUTOFLOW},    {LX_IPV6_RECVPATHMTU, IPF6_RECVPATHMTU},
    {LX_IPV6_FLOWINFO_SEND, IPF6_FLOWSEND},    {LX_IPV6_FREEBIND, IPF_FREEBIND},
    {LX_IPV6_RECVORIGDSTADDR, IPF_ORIGDST},
};

static u64 find_flag(const struct flag_option *t, size_t n, s32 name)
{
    for (size_t i = 0; i < n; i++) {
        if (t[i].name == name)
            return t[i].flag;
    }
    return 0;
}

static void set_flag(struct inet_sock *i, u64 flag, bool is_on)
{
    if (is_on)
        atomic_fetch_or(&i->opt, flag);
    else
        atomic_fetch_and(&i->opt, ~flag);
}

/* An int, or one byte for those that IPPROTO_IP takes so. */
static int read_ip_int(const struct optval *val, s32 *ret)
{
    u8 b;
    if (val->len >= sizeof(*ret))
        return optval_int(val, ret);
    if (val->len < 1) {
        *ret = 0;
        return 0;
    }
    int r = optval_read(val, &b, 1);
    *ret = b;
    return r;
}

/* ---- memberships --------------------------------------------------------------------------- */

/* The interface of an IPv4 request: by index, by its address, or that of the route to the group.
 * -LX_ENODEV. */
static s32 mreq_ifindex(struct net_ns *ns, const struct lx_ip_mreqn *m)
{
    ipaddr a = ipaddr_v4(m->addr), group = ipaddr_v4(m->group);
    if (m->ifindex)
        return m->ifindex;
    if (!m->addr)
        return inet_group_ifindex(ns, &group);
    s32 index = stk_index_of_addr(ns->stack, &a);
    return index ? index : -LX_ENODEV;
}

static int ip_membership(struct inet_sock *i, s32 name, const struct optval *val)
{
    struct lx_ip_mreqn m = {0};
    if (val->len < 8)
        return -LX_EINVAL;
    int r = optval_read(val, &m, val->len >= sizeof(m) ? sizeof(m) : 8);
    if (r < 0)
        return r;
    ipaddr g = ipaddr_v4(m.group);
    if (name != LX_IP_ADD_MEMBERSHIP) {
        s32 from = mreq_ifindex(i->sk.ns, &m);
        if (from < 0)
            return m.addr ? -LX_EADDRNOTAVAIL : from;
        return inet_leave(i, &g, m.ifindex || m.addr ? from : 0);
    }
    if (!ipaddr_is_multicast(&g))
        return -LX_EINVAL;
    s32 ifindex = mreq_ifindex(i->sk.ns, &m);
    return ifindex < 0 ? ifindex : inet_join(i, &g, ifindex);
}

static int ip6_membership(struct inet_sock *i, s32 name, const struct optval *val)
{
    struct lx_ipv6_mreq m;
    int r = optval_read(val, &m, sizeof(m));
    if (r < 0)
        return r;
    ipaddr g = m.group;
    if (ipaddr_is_v4(&g))
        return -LX_EINVAL;
    return name == LX_IPV6_ADD_MEMBERSHIP ? inet_join(i, &g, m.ifindex)
                                          : inet_leave(i, &g, m.ifindex);
}

static int group_membership(struct inet_sock *i, s32 name, const struct optval *val)
{
    struct lx_group_req g;
    int r = optval_read(val, &g, sizeof(g));
    if (r < 0)
        return r;
    ipaddr a;
    if (g.group.family == LX_AF_INET)
        a = ipaddr_v4(g.group.in.addr);
    else if (g.group.family == LX_AF_INET6)
        a = g.group.in6.addr;
    else
        return -LX_EINVAL;
    return name == LX_MCAST_JOIN_GROUP ? inet_join(i, &a, (s32)g.ifindex)
                                       : inet_leave(i, &a, (s32)g.ifindex);
}

static int set_multicast_if(struct inet_sock *i, const struct optval *val)
{
    struct lx_ip_mreqn m = {0};
    int r;
    if (val->len >= sizeof(m)) {
        r = optval_read(val, &m, sizeof(m));
    } else if (val->len >= 8) {
        r = optval_read(val, &m, 8);
    } else {
        r = optval_read(val, &m.addr, sizeof(m.addr));
    }
    if (r < 0)
        return r;
    if (!m.ifindex && !m.addr) {
        i->mc_if = 0;
        i->mc_addr = 0;
        return 0;
    }
    s32 ifindex = mreq_ifindex(i->sk.ns, &m);
    if (ifindex <= 0)
        return -LX_EADDRNOTAVAIL;
    if (!netdev_exists(i->sk.ns, ifindex))
        return m.ifindex ? -LX_EADDRNOTAVAIL : -LX_ENODEV;
    if (i->sk.bound_dev && i->sk.bound_dev != ifindex)
        return -LX_EINVAL;
    i->mc_if = ifindex;
    i->mc_addr = m.addr;
    return 0;
}

/* ---- IPPROTO_IP ---------------------------------------------------------------------------- */

static int set_ranged(_Atomic s32 *field, s32 v, s32 low, s32 high)
{
    if (v < low || v > high)
        return -LX_EINVAL;
    *field = v;
    return 0;
}

static int set_transparent(struct inet_sock *i, s32 v)
{
    if (v && !net_capable(i->sk.ns, LX_CAP_NET_RAW) && !net_capable(i->sk.ns, LX_CAP_NET_ADMIN))
        return -LX_EPERM;
    set_flag(i, IPF_TRANSPARENT, v != 0);
    return 0;
}

static int set_port_range(struct inet_sock *i, const struct optval *val)
{
    u32 v;
    if (val->len != sizeof(v))
        return -LX_EINVAL;
    int r = optval_read(val, &v, sizeof(v));
    if (r < 0)
        return r;
    u32 low = v & 0xffff, high = v >> 16;
    if (low && high && low > high)
        return -LX_EINVAL;
    i->port_range = v;
    return 0;
}

static int set_unicast_if(struct inet_sock *i, _Atomic s32 *field, s32 v)
{
    s32 ifindex = (s32)net32((u32)v);
    if (ifindex && !netdev_exists(i->sk.ns, ifindex))
        return -LX_EADDRNOTAVAIL;
    *field = ifindex;
    return 0;
}

static int ip_set(struct inet_sock *i, s32 name, const struct optval *val)
{
    s32 v;
    switch (name) {
    case LX_IP_ADD_MEMBERSHIP:
    case LX_IP_DROP_MEMBERSHIP:
        return ip_membership(i, name, val);
    case LX_MCAST_JOIN_GROUP:
    case LX_MCAST_LEAVE_GROUP:
        return group_membership(i, name, val);
    case LX_IP_MULTICAST_IF:
        return i->sk.type == LX_SOCK_STREAM ? -LX_ENOPROTOOPT : set_multicast_if(i, val);
    case LX_IP_LOCAL_PORT_RANGE:
        return set_port_range(i, val);
    case LX_IP_OPTIONS:
        return val->len > 40 ? -LX_EINVAL : val->len ? -LX_EOPNOTSUPP : 0;
    case LX_IP_IPSEC_POLICY:
    case LX_IP_XFRM_POLICY:
        return net_capable(i->sk.ns, LX_CAP_NET_ADMIN) ? -LX_EOPNOTSUPP : -LX_EPERM;
    }
    int r = read_ip_int(val, &v);
    if (r < 0)
        return r;
    u64 flag = find_flag(ip_flags, ARRAY_SIZE(ip_flags), name);
    if (flag) {
        if (val->len < 1)
            return -LX_EINVAL;
        if ((name == LX_IP_MULTICAST_ALL || name == LX_IP_RECVERR_RFC4884) && (v < 0 || v > 1))
            return -LX_EINVAL;
        set_flag(i, flag, v != 0);
        if (name == LX_IP_RECVERR && !v)
            mq_purge(&i->errq);
        return 0;
    }
    switch (name) {
    case LX_IP_TOS:
        /* ECN bits of a stream are the protocol's. */
        i->tos = (i->sk.type == LX_SOCK_STREAM ? v & ~3 : v) & 0xff;
        return 0;
    case LX_IP_TTL:
        if (val->len < 1)
            return -LX_EINVAL;
        if (v != -1 && (v < 1 || v > 255))
            return -LX_EINVAL;
        i->ttl = v;
        return 0;
    case LX_IP_MTU_DISCOVER:
        return set_ranged(&i->pmtudisc, v, LX_IP_PMTUDISC_DONT, LX_IP_PMTUDISC_OMIT);
    case LX_IP_MULTICAST_TTL:
        if (i->sk.type == LX_SOCK_STREAM || val->len < 1)
            return -LX_EINVAL;
        return set_ranged(&i->mc_ttl, v == -1 ? 1 : v, 0, 255);
    case LX_IP_MINTTL:
        if (val->len < 1)
            return -LX_EINVAL;
        return set_ranged(&i->min_ttl, v, 0, 255);
    case LX_IP_TRANSPARENT:
        return set_transparent(i, v);
    case LX_IP_HDRINCL:
    case LX_IP_NODEFRAG:
        if (i->sk.type != LX_SOCK_RAW)
            return -LX_ENOPROTOOPT;
        set_flag(i, name == LX_IP_HDRINCL ? IPF_HDRINCL : IPF_NODEFRAG, v != 0);
        return 0;
    case LX_IP_ROUTER_ALERT:
        return i->sk.type == LX_SOCK_RAW ? 0 : -LX_EINVAL;
    case LX_IP_UNICAST_IF:
        return val->len != sizeof(v) ? -LX_EINVAL : set_unicast_if(i, &i->ucast_if, v);
    default:
        return -LX_ENOPROTOOPT;
    }
}

static int ip_get_int(struct inet_sock *i, s32 name, s32 *ret)
{
    s32 ttl = (s32)net_sysctl(i->sk.ns, NSYS_TTL), v;
    u64 flag = find_flag(ip_flags, ARRAY_SIZE(ip_flags), name);
    if (flag) {
        *ret = (inet_opt(i) & flag) != 0;
        return 0;
    }
    switch (name) {
    case LX_IP_TOS:
        v = i->tos;
        break;
    case LX_IP_TTL:
        v = i->ttl == -1 ? ttl : i->ttl;
        break;
    case LX_IP_MTU_DISCOVER:
        v = i->pmtudisc;
        break;
    case LX_IP_MULTICAST_TTL:
        v = i->mc_ttl == -1 ? 1 : i->mc_ttl;
        break;
    case LX_IP_MINTTL:
        v = i->min_ttl;
        break;
    case LX_IP_TRANSPARENT:
        v = (inet_opt(i) & IPF_TRANSPARENT) != 0;
        break;
    case LX_IP_HDRINCL:
    case LX_IP_NODEFRAG:
        v = (inet_opt(i) & (name == LX_IP_HDRINCL ? IPF_HDRINCL : IPF_NODEFRAG)) != 0;
        break;
    case LX_IP_MTU:
        if (ipaddr_is_any(&i->daddr))
            return -LX_ENOTCONN;
        v = LO_MTU;
        break;
    case LX_IP_UNICAST_IF:
        v = (s32)net32((u32)i->ucast_if);
        break;
    case LX_IP_LOCAL_PORT_RANGE:
        v = (s32)i->port_range;
        break;
    case LX_IP_PROTOCOL:
        v = i->sk.protocol;
        break;
    default:
        return -LX_ENOPROTOOPT;
    }
    *ret = v;
    return 0;
}

static int ip_get(struct inet_sock *i, s32 name, struct optval *val)
{
    s32 v = 0;
    u32 mc_addr;
    switch (name) {
    case LX_IP_OPTIONS:
    case LX_IP_PKTOPTIONS:
        val->len = 0;
        return name == LX_IP_PKTOPTIONS && i->sk.type != LX_SOCK_STREAM ? -LX_ENOPROTOOPT : 0;
    case LX_IP_MULTICAST_IF:
        mc_addr = i->mc_addr;
        return optval_write(val, &mc_addr, sizeof(mc_addr));
    }
    int r = ip_get_int(i, name, &v);
    if (r < 0)
        return r;
    if (val->len < sizeof(v) && val->len > 0 && v >= 0 && v <= 255) {
        u8 b = (u8)v;
        val->len = 1;
        return optval_write(val, &b, 1);
    }
    return optval_write_int(val, v);
}

/* ---- IPPROTO_IPV6 -------------------------------------------------------------------------- */

static int set_v6only(struct inet_sock *i, const struct optval *val, s32 v)
{
    if (val->len < sizeof(v) || i->bucket)
        return -LX_EINVAL;
    set_flag(i, IPF6_V6ONLY, v != 0);
    return 0;
}

static int set_multicast_if6(struct inet_sock *i, s32 v)
{
    if (i->sk.type == LX_SOCK_STREAM)
        return -LX_ENOPROTOOPT;
    if (v < 0 || (v && !netdev_exists(i->sk.ns, v)))
        return -LX_ENODEV;
    if (v && i->sk.bound_dev && i->sk.bound_dev != v)
        return -LX_EINVAL;
    i->mc_if6 = v;
    return 0;
}

static int ip6_set(struct inet_sock *i, s32 name, const struct optval *val)
{
    s32 v;
    switch (name) {
    case LX_IPV6_ADD_MEMBERSHIP:
    case LX_IPV6_DROP_MEMBERSHIP:
        return ip6_membership(i, name, val);
    case LX_MCAST_JOIN_GROUP:
    case LX_MCAST_LEAVE_GROUP:
        return group_membership(i, name, val);
    }
    int r = val->len < sizeof(v) ? -LX_EINVAL : optval_int(val, &v);
    if (r < 0)
        return r;
    u64 flag = find_flag(ip6_flags, ARRAY_SIZE(ip6_flags), name);
    if (flag) {
        if (val->len < sizeof(v))
            return -LX_EINVAL;
        if ((name == LX_IPV6_MULTICAST_LOOP || name == LX_IPV6_MULTICAST_ALL) && (v < 0 || v > 1))
            return -LX_EINVAL;
        set_flag(i, flag, v != 0);
        if (name == LX_IPV6_RECVERR && !v)
            mq_purge(&i->errq);
        return 0;
    }
    switch (name) {
    case LX_IPV6_V6ONLY:
        return set_v6only(i, val, v);
    case LX_IPV6_UNICAST_HOPS:
        return val->len < sizeof(v) ? -LX_EINVAL : set_ranged(&i->hops, v, -1, 255);
    case LX_IPV6_MULTICAST_HOPS:
        if (i->sk.type == LX_SOCK_STREAM)
            return -LX_ENOPROTOOPT;
        if (v < -1 || v > 255)
            return -LX_EINVAL;
        i->mc_hops = v == -1 ? 1 : v;
        return 0;
    case LX_IPV6_MULTICAST_IF:
        return set_multicast_if6(i, v);
    case LX_IPV6_MTU_DISCOVER:
        return set_ranged(&i->pmtudisc6, v, LX_IPV6_PMTUDISC_DONT, LX_IPV6_PMTUDISC_OMIT);
    case LX_IPV6_MTU:
        if (v && v < 1280)
            return -LX_EINVAL;
        i->mtu6 = v;
        return 0;
    case LX_IPV6_TCLASS:
        if (v < -1 || v > 255)
            return -LX_EINVAL;
        i->tclass = v == -1 ? 0 : v;
        return 0;
    case LX_IPV6_MINHOPCOUNT:
        return set_ranged(&i->min_hops, v, 0, 255);
    case LX_IPV6_ADDR_PREFERENCES:
        i->addr_pref = v;
        return 0;
    case LX_IPV6_TRANSPARENT:
        return set_transparent(i, v);
    case LX_IPV6_UNICAST_IF:
        return val->len != sizeof(v) ? -LX_EINVAL : set_unicast_if(i, &i->ucast_if6, v);
    case LX_IPV6_CHECKSUM:
        if (i->sk.type != LX_SOCK_RAW)
            return -LX_ENOPROTOOPT;
        if (i->sk.protocol == LX_IPPROTO_ICMPV6 || (v > 0 && v & 1))
            return -LX_EINVAL;
        i->checksum_off = MAX(v, -1);
        return 0;
    case LX_IPV6_ADDRFORM:
        return -LX_EADDRNOTAVAIL;
    default:
        return -LX_ENOPROTOOPT;
    }
}

static int ip6_get(struct inet_sock *i, s32 name, struct optval *val)
{
    s32 v;
    u64 flag = find_flag(ip6_flags, ARRAY_SIZE(ip6_flags), name);
    if (flag)
        return optval_write_int(val, (inet_opt(i) & flag) != 0);
    switch (name) {
    case LX_IPV6_V6ONLY:
        v = (inet_opt(i) & IPF6_V6ONLY) != 0;
        break;
    case LX_IPV6_UNICAST_HOPS:
        v = i->hops == -1 ? 64 : i->hops;
        break;
    case LX_IPV6_MULTICAST_HOPS:
        v = i->mc_hops == -1 ? 1 : i->mc_hops;
        break;
    case LX_IPV6_MULTICAST_IF:
        v = i->mc_if6;
        break;
    case LX_IPV6_MTU_DISCOVER:
        v = i->pmtudisc6;
        break;
    case LX_IPV6_MTU:
        if (ipaddr_is_any(&i->daddr))
            return -LX_ENOTCONN;
        v = LO_MTU;
        break;
    case LX_IPV6_TCLASS:
        v = i->tclass;
        break;
    case LX_IPV6_MINHOPCOUNT:
        v = i->min_hops;
        break;
    case LX_IPV6_ADDR_PREFERENCES:
        v = i->addr_pref;
        break;
    case LX_IPV6_TRANSPARENT:
        v = (inet_opt(i) & IPF_TRANSPARENT) != 0;
        break;
    case LX_IPV6_UNICAST_IF:
        v = (s32)net32((u32)i->ucast_if6);
        break;
    case LX_IPV6_CHECKSUM:
        if (i->sk.type != LX_SOCK_RAW)
            return -LX_ENOPROTOOPT;
        v = i->checksum_off;
        break;
    case LX_IPV6_2292PKTOPTIONS:
        val->len = 0;
        return i->sk.type == LX_SOCK_STREAM ? 0 : -LX_ENOPROTOOPT;
    default:
        return -LX_ENOPROTOOPT;
    }
    return optval_write_int(val, v);
}

/* ---- other levels -------------------------------------------------------------------------- */

static int udp_set(struct inet_sock *i, s32 name, const struct optval *val)
{
    s32 v;
    int r = optval_int(val, &v);
    if (r < 0)
        return r;
    switch (name) {
    case LX_UDP_CORK:
        i->is_cork = v != 0;
        return v ? 0 : udp_push(i);
    case LX_UDP_SEGMENT:
        if (v < 0 || v > UINT16_MAX)
            return -LX_EINVAL;
        i->gso_size = (u32)v;
        return 0;
    case LX_UDP_GRO:
        i->is_gro = v != 0;
        return 0;
    case LX_UDP_NO_CHECK6_TX: /* there are no checksums between local socks */
    case LX_UDP_NO_CHECK6_RX:
        set_flag(i, name == LX_UDP_NO_CHECK6_TX ? IPF6_NO_CHECK_TX : IPF6_NO_CHECK_RX, v != 0);
        return 0;
    default:
        return -LX_ENOPROTOOPT;
    }
}

static int udp_get(struct inet_sock *i, s32 name, struct optval *val)
{
    switch (name) {
    case LX_UDP_CORK:
        return optval_write_int(val, i->is_cork);
    case LX_UDP_SEGMENT:
        return optval_write_int(val, (s32)i->gso_size);
    case LX_UDP_GRO:
        return optval_write_int(val, i->is_gro);
    case LX_UDP_ENCAP:
        return optval_write_int(val, 0);
    case LX_UDP_NO_CHECK6_TX:
        return optval_write_int(val, (inet_opt(i) & IPF6_NO_CHECK_TX) != 0);
    case LX_UDP_NO_CHECK6_RX:
        return optval_write_int(val, (inet_opt(i) & IPF6_NO_CHECK_RX) != 0);
    default:
        return -LX_ENOPROTOOPT;
    }
}

static int raw_filter(struct inet_sock *i, s32 level, s32 name, const struct optval *set,
                      struct optval *get)
{
    bool is_v4 = level == LX_SOL_RAW;
    if (i->sk.type != LX_SOCK_RAW || name != RAW_ICMP_FILTER ||
        i->sk.protocol != (is_v4 ? LX_IPPROTO_ICMP : LX_IPPROTO_ICMPV6))
        return i->sk.type == LX_SOCK_RAW && is_v4 && name == RAW_ICMP_FILTER ? -LX_EOPNOTSUPP
                                                                             : -LX_ENOPROTOOPT;
    if (is_v4) {
        u32 f = i->icmp_filter;
        if (get)
            return optval_write(get, &f, sizeof(f));
        int r = optval_read(set, &f, MIN(set->len, (u32)sizeof(f)));
        i->icmp_filter = f;
        return r;
    }
    u32 f6[8];
    mutex_lock(&i->sk.lock);
    memcpy(f6, i->icmp6_filter, sizeof(f6));
    mutex_unlock(&i->sk.lock);
    if (get)
        return optval_write(get, f6, sizeof(f6));
    int r = optval_read(set, f6, MIN(set->len, (u32)sizeof(f6)));
    mutex_lock(&i->sk.lock);
    memcpy(i->icmp6_filter, f6, sizeof(f6));
    mutex_unlock(&i->sk.lock);
    return r;
}

/* IPV6_CHECKSUM at SOL_RAW, where ICMPv6 socks may set it too. */
static int raw_checksum(struct inet_sock *i, const struct optval *val)
{
    s32 v;
    int r = i->sk.type == LX_SOCK_RAW ? optval_int(val, &v) : -LX_ENOPROTOOPT;
    if (r < 0)
        return r;
    if (v > 0 && v & 1)
        return -LX_EINVAL;
    i->checksum_off = MAX(v, -1);
    return 0;
}

/* Where a connection went before NAT: SO_ORIGINAL_DST, of the family that the connection is of. */
static int original_dst(struct inet_sock *i, struct optval *val)
{
    struct ct_tuple t = {.protocol = LX_IPPROTO_TCP};
    ipaddr addr;
    u16 port;
    union saddr sa;
    u32 len;
    if (i->sk.type != LX_SOCK_STREAM)
        return -LX_ENOPROTOOPT;
    mutex_lock(&i->sk.lock);
    t.src = i->saddr;
    t.sport = i->sport;
    t.dst = i->daddr;
    t.dport = i->dport;
    mutex_unlock(&i->sk.lock);
    bool is_v4 = ipaddr_is_v4(&t.dst);
    if (val->len < (is_v4 ? sizeof(sa.in) : sizeof(sa.in6)))
        return -LX_EINVAL;
    if (!ct_original_dst(i->sk.ns->ct_ns, &t, &addr, &port))
        return -LX_ENOENT;
    inet_fill_sockaddr(is_v4 ? LX_AF_INET : LX_AF_INET6, &addr, port, 0, &sa, &len);
    return optval_write(val, &sa, len);
}

int inet_setsockopt(struct sock *sk, s32 level, s32 name, const struct optval *val)
{
    struct inet_sock *i = inet_sk(sk);
    switch (level) {
    case LX_IPPROTO_IP:
        if (inet_is_v6(i) && sk->type == LX_SOCK_RAW)
            return -LX_ENOPROTOOPT;
        return ipt_is_option(XT_V4, name) && !inet_is_v6(i) ? ipt_setsockopt(sk, XT_V4, name, val)
                                                            : ip_set(i, name, val);
    case LX_IPPROTO_IPV6:
        if (!inet_is_v6(i))
            return -LX_ENOPROTOOPT;
        return ipt_is_option(XT_V6, name) ? ipt_setsockopt(sk, XT_V6, name, val)
                                          : ip6_set(i, name, val);
    case LX_IPPROTO_UDP:
        return sk->protocol == LX_IPPROTO_UDP && sk->type == LX_SOCK_DGRAM ? udp_set(i, name, val)
                                                                            : -LX_ENOPROTOOPT;
    case LX_SOL_RAW:
    case LX_IPPROTO_ICMPV6:
        if (level == LX_SOL_RAW && inet_is_v6(i) && name == LX_IPV6_CHECKSUM)
            return raw_checksum(i, val);
        return raw_filter(i, level, name, val, NULL);
    default:
        return -LX_ENOPROTOOPT;
    }
}

int inet_getsockopt(struct sock *sk, s32 level, s32 name, struct optval *val)
{
    struct inet_sock *i = inet_sk(sk);
    switch (level) {
    case LX_IPPROTO_IP:
        if (inet_is_v6(i) && sk->type == LX_SOCK_RAW)
            return -LX_ENOPROTOOPT;
        if (name == LX_SO_ORIGINAL_DST)
            return original_dst(i, val);
        return ipt_is_option(XT_V4, name) && !inet_is_v6(i) ? ipt_getsockopt(sk, XT_V4, name, val)
                                                            : ip_get(i, name, val);
    case LX_IPPROTO_IPV6:
        if (!inet_is_v6(i))
            return -LX_EOPNOTSUPP;
        if (name == LX_SO_ORIGINAL_DST)
            return original_dst(i, val);
        return ipt_is_option(XT_V6, name) ? ipt_getsockopt(sk, XT_V6, name, val)
                                          : ip6_get(i, name, val);
    case LX_IPPROTO_UDP:
        return sk->protocol == LX_IPPROTO_UDP && sk->type == LX_SOCK_DGRAM ? udp_get(i, name, val)
                                                                            : -LX_ENOPROTOOPT;
    case LX_SOL_RAW:
        return raw_filter(i, level, name, NULL, val);
    case LX_IPPROTO_ICMPV6:
        return inet_is_v6(i) ? raw_filter(i, level, name, NULL, val) : -LX_EOPNOTSUPP;
    default:
        return inet_is_v6(i) || level == LX_SOL_SOCKET ? -LX_ENOPROTOOPT : -LX_EOPNOTSUPP;
    }
}
