/* What internet socks share: making, binding, names, ioctls. */
#include "net/inet/inet.h"

#include <string.h>

#include "abi/tty.h"
#include "net/host/host.h"
#include "net/inet/tcp.h"

int inet_sock_init(struct inet_sock *i, const struct sock_ops *ops, struct net_ns *ns, u16 family,
                   u16 type, s32 protocol)
{
    mq_init(&i->rxq);
    mq_init(&i->errq);
    list_init(&i->port_node);
    list_init(&i->tuple_node);
    i->ttl = i->mc_ttl = i->hops = i->mc_hops = -1;
    i->checksum_off = type == LX_SOCK_RAW && protocol == LX_IPPROTO_ICMPV6 ? 2 : -1;
    i->pmtudisc = LX_IP_PMTUDISC_WANT;
    i->pmtudisc6 = LX_IPV6_PMTUDISC_WANT;
    i->opt = IPF_MC_LOOP | IPF_MC_ALL | IPF6_MC_LOOP | IPF6_MC_ALL | IPF6_AUTOFLOW;
    if (net_sysctl(ns, NSYS_BINDV6ONLY))
        i->opt |= IPF6_V6ONLY;
    if (family == LX_AF_INET)
        i->rcv_saddr = i->saddr = i->daddr = ipaddr_v4(0);
    return sock_init(&i->sk, ops, ns, family, type, protocol);
}

void inet_sock_done(struct inet_sock *i)
{
    inet_leave_all(i);
    mq_purge(&i->rxq);
    mq_purge(&i->errq);
}

/* What a type and a protocol number of socket(2) name; Linux's inetsw search. */
static int pick_protocol(u16 family, s32 type, s32 protocol, s32 *ret_protocol)
{
    s32 icmp = family == LX_AF_INET ? LX_IPPROTO_ICMP : LX_IPPROTO_ICMPV6;
    if (protocol < 0 || protocol > LX_IPPROTO_MPTCP)
        return -LX_EINVAL;
    switch (type) {
    case LX_SOCK_STREAM:
        if (protocol && protocol != LX_IPPROTO_TCP)
            return -LX_EPROTONOSUPPORT;
        *ret_protocol = LX_IPPROTO_TCP;
        return 0;
    case LX_SOCK_DGRAM:
        if (protocol && protocol != LX_IPPROTO_UDP && protocol != icmp)
            return -LX_EPROTONOSUPPORT;
        *ret_protocol = protocol ? protocol : LX_IPPROTO_UDP;
        return 0;
    case LX_SOCK_RAW:
        if (!protocol)
            return -LX_EPROTONOSUPPORT;
        *ret_protocol = protocol;
        return 0;
    default:
        return -LX_ESOCKTNOSUPPORT;
    }
}

int inet_create(struct net_ns *ns, u16 family, s32 type, s32 protocol, struct sock **ret_sk)
{
    s32 p = 0;
    int r = pick_protocol(family, type, protocol, &p);
    if (r < 0)
        return r;
    if (ns->host) /* raw sockets are not for the host's network */
        return type == LX_SOCK_RAW ? -LX_EPERM : host_sock_create(ns, family, type, p, ret_sk);
    if (type == LX_SOCK_RAW)
        return net_capable(ns, LX_CAP_NET_RAW) ? raw_create(ns, family, p, ret_sk) : -LX_EPERM;
    if (p == LX_IPPROTO_TCP)
        return tcp_create(ns, family, ret_sk);
    return p == LX_IPPROTO_UDP ? udp_create(ns, family, ret_sk) : ping_create(ns, family, ret_sk);
}

/* ---- bind ---------------------------------------------------------------------------------- */

/* The sockaddr of a bind, which is laxer about families than one of a connect. */
static int parse_bind(struct inet_sock *i, const union saddr *sa, u32 len, struct inet_dest *ret)
{
    if (!inet_is_v6(i) && len >= sizeof(sa->in) && sa->family == LX_AF_UNSPEC) {
        if (sa->in.addr)
            return -LX_EAFNOSUPPORT;
        *ret = (struct inet_dest){.addr = ipaddr_v4(0), .port = net16(sa->in.port)};
        return 0;
    }
    int r = inet_parse_dest(i, sa, len, ret);
    return r == -LX_ENETUNREACH ? -LX_EINVAL : r; /* v4-mapped on a v6-only sock */
}

static int check_bind_addr(struct inet_sock *i, const struct inet_dest *d)
{
    bool is_lax = inet_opt(i) & (IPF_FREEBIND | IPF_TRANSPARENT);
    if (ipaddr_is_any(&d->addr))
        return 0;
    if (ipaddr_is_v4(&d->addr)) {
        if (is_lax || net_sysctl(i->sk.ns, NSYS_NONLOCAL_BIND) || ipaddr_is_multicast(&d->addr) ||
            ipaddr_is_broadcast(&d->addr) || ipaddr_is_local(i->sk.ns, &d->addr))
            return 0;
        return -LX_EADDRNOTAVAIL;
    }
    if (ipaddr_is_multicast(&d->addr))
        return i->sk.type == LX_SOCK_STREAM ? -LX_EINVAL : 0;
    if (ipaddr_is_link_local(&d->addr)) {
        if (!d->scope_id && !i->sk.bound_dev)
            return -LX_EINVAL; /* a link-local address needs its interface */
        if (d->scope_id && !netdev_exists(i->sk.ns, (s32)d->scope_id))
            return -LX_ENODEV;
    }
    if (is_lax || net_sysctl(i->sk.ns, NSYS_NONLOCAL_BIND6) || ipaddr_is_local(i->sk.ns, &d->addr))
        return 0;
    return -LX_EADDRNOTAVAIL;
}

int inet_bind(struct sock *sk, const union saddr *addr, u32 len)
{
    struct inet_sock *i = inet_sk(sk);
    struct inet_table *t = inet_table_of(i);
    struct inet_dest d;
    int r = parse_bind(i, addr, len, &d);
    if (r == 0)
        r = check_bind_addr(i, &d);
    if (r < 0)
        return r;
    if (d.port && d.port < net_sysctl(sk->ns, NSYS_UNPRIV_PORT) &&
        !net_capable(sk->ns, LX_CAP_NET_BIND_SERVICE))
        return -LX_EACCES;
    MUTEX_GUARD(&t->lock);
    if (sock_state(sk) != SOCK_CLOSED || i->bucket || i->is_addr_bound)
        return -LX_EINVAL;
    mutex_lock(&sk->lock);
    i->rcv_saddr = d.addr;
    /* Groups and broadcast are where to receive; the source of what is sent is chosen then. */
    i->saddr = ipaddr_is_multicast(&d.addr) || ipaddr_is_broadcast(&d.addr) ? inet_any(i) : d.addr;
    i->scope_id = d.scope_id;
    mutex_unlock(&sk->lock);
    if (d.port || !(inet_opt(i) & IPF_BIND_NO_PORT))
        r = inet_get_port(i, d.port);
    mutex_lock(&sk->lock);
    if (r < 0)
        i->rcv_saddr = i->saddr = inet_any(i);
    else
        i->is_addr_bound = !ipaddr_is_any(&d.addr);
    i->is_port_bound = r == 0 && d.port; /* an automatic port is given back by a disconnect */
    mutex_unlock(&sk->lock);
    return r;
}

/* ---- names --------------------------------------------------------------------------------- */

int inet_getname(struct sock *sk, union saddr *ret, u32 *ret_len)
{
    struct inet_sock *i = inet_sk(sk);
    MUTEX_GUARD(&sk->lock);
    const ipaddr *a = ipaddr_is_any(&i->saddr) ? &i->rcv_saddr : &i->saddr;
    u16 port = sk->type == LX_SOCK_RAW ? (u16)sk->protocol : i->sport;
    inet_fill_sockaddr(sk->family, a, port, i->scope_id, ret, ret_len);
    return 0;
}

int inet_getpeer(struct sock *sk, union saddr *ret, u32 *ret_len)
{
    struct inet_sock *i = inet_sk(sk);
    MUTEX_GUARD(&sk->lock);
    u32 state = sock_state(sk);
    bool is_embryo = !atomic_load(&sk->ino); /* accept tells its address even if it was reset */
    if (!i->dport || state == SOCK_SYN_SENT ||
        (state == SOCK_CLOSED && sk->type == LX_SOCK_STREAM && !is_embryo))
        return -LX_ENOTCONN;
    inet_fill_sockaddr(sk->family, &i->daddr, i->dport, i->scope_id, ret, ret_len);
    return 0;
}

s64 inet_ioctl(struct sock *sk, u32 cmd, u64 arg)
{
    s32 v;
    switch (cmd) {
    case LX_FIONREAD:
        v = sk->type == LX_SOCK_STREAM ? tcp_inq(sk) : (s32)mq_first_size(&inet_sk(sk)->rxq);
        break;
    case LX_TIOCOUTQ:
        v = sk->type == LX_SOCK_STREAM ? tcp_outq(sk) : (s32)atomic_load(&sk->wmem);
        break;
    case LX_SIOCATMARK:
        if (sk->type != LX_SOCK_STREAM)
            return -LX_ENOIOCTLCMD;
        v = tcp_at_mark(sk);
        break;
    case LX_SIOCOUTQNSD:
        if (sk->type != LX_SOCK_STREAM)
            return -LX_ENOIOCTLCMD;
        v = tcp_outq_unsent(sk);
        break;
    default:
        return -LX_ENOIOCTLCMD;
    }
    return v < 0 ? v : put_user(v, uaddr(arg));
}
