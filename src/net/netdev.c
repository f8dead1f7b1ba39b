/* Interfaces of a namespace and the ioctls that ask about them and change them. */
#include "net/netdev.h"

#include <string.h>

#include "net/host/host.h"
#include "net/inet/inet.h"
#include "net/sock.h"
#include "net/stack/stack.h"

struct lx_ifreq {
    char name[LX_IFNAMSIZ];
    union {
        union {
            u16 family;
            struct lx_sockaddr_in in;
        } addr;
        s16 flags;
        s32 ivalue;
        u64 ptr;
        struct {
            u64 mem_start, mem_end;
            u16 base_addr;
            u8 irq, dma, port, pad[3];
        } map;
        u8 bytes[24];
    };
};
_Static_assert(sizeof(struct lx_ifreq) == 40, "ifreq");

struct lx_ifconf {
    s32 len, pad;
    u64 buf;
};

bool netdev_next(struct net_ns *ns, s32 after, struct netdev_info *ret)
{
    return ns->host ? hostnet_netdev(ns->host, after, NULL, ret) : stk_netdev(ns->stack, after, ret);
}

bool netdev_nth(struct net_ns *ns, u32 nth, struct netdev_info *ret)
{
    s32 at = 0;
    for (u32 i = 0; netdev_next(ns, at, ret); i++) {
        if (i == nth)
            return true;
        at = ret->index;
    }
    return false;
}

bool netdev_get(struct net_ns *ns, s32 index, struct netdev_info *ret)
{
    return index > 0 && netdev_next(ns, index - 1, ret) && ret->index == index;
}

s32 netdev_index(struct net_ns *ns, const char *name)
{
    struct netdev_info d;
    if (ns->host)
        return hostnet_netdev(ns->host, 0, name, &d) ? d.index : 0;
    struct stk_iface *f = stk_iface_named(ns->stack, name);
    return f ? f->index : 0;
}

bool netdev_exists(struct net_ns *ns, s32 index)
{
    struct netdev_info d;
    return ns->host ? netdev_get(ns, index, &d) : stk_iface(ns->stack, index) != NULL;
}

/* name has LX_IFNAMSIZ bytes. */
bool netdev_name(struct net_ns *ns, s32 index, char *name)
{
    struct netdev_info d;
    if (!netdev_get(ns, index, &d))
        return false;
    memset(name, 0, LX_IFNAMSIZ);
    memcpy(name, d.name, MIN(sizeof(d.name), (size_t)LX_IFNAMSIZ));
    return true;
}

static s64 get_conf(struct net_ns *ns, u64 arg)
{
    struct lx_ifconf c;
    struct netdev_info d;
    s32 done = 0, at = 0;
    int err = copy_in(&c, uaddr(arg), sizeof(c));
    if (err < 0)
        return err;
    for (; netdev_next(ns, at, &d); at = d.index) {
        struct lx_ifreq r = {0};
        if (!d.addr)
            continue;
        memcpy(r.name, d.name, sizeof(r.name));
        r.addr.in = (struct lx_sockaddr_in){.family = LX_AF_INET, .addr = d.addr};
        if (c.buf) {
            if (c.len - done < (s32)sizeof(r))
                break;
            err = copy_out(uaddr(c.buf + (u64)done), &r, sizeof(r));
            if (err < 0)
                return err;
        }
        done += (s32)sizeof(r);
    }
    return put_user(done, uaddr(arg));
}

static void fill_addr(struct lx_ifreq *r, u32 addr)
{
    memset(r->bytes, 0, sizeof(r->bytes));
    r->addr.in = (struct lx_sockaddr_in){.family = LX_AF_INET, .addr = addr};
}

static s64 get_one(struct net_ns *ns, u32 cmd, struct lx_ifreq *r)
{
    struct netdev_info d;
    if (cmd == LX_SIOCGIFNAME)
        return netdev_name(ns, r->ivalue, r->name) ? 0 : -LX_ENODEV;
    r->name[LX_IFNAMSIZ - 1] = 0;
    if (!netdev_get(ns, netdev_index(ns, r->name), &d)) /* aliases (lo:1) do not exist */
        return -LX_ENODEV;
    switch (cmd) {
    case LX_SIOCGIFFLAGS:
        r->flags = (s16)(d.flags & 0xffff);
        return 0;
    case LX_SIOCGIFINDEX:
        r->ivalue = d.index;
        return 0;
    case LX_SIOCGIFMTU:
        r->ivalue = (s32)d.mtu;
        return 0;
    case LX_SIOCGIFMETRIC:
        r->ivalue = 0;
        return 0;
    case LX_SIOCGIFTXQLEN:
        r->ivalue = (s32)d.txqlen;
        return 0;
    case LX_SIOCGIFHWADDR:
        memset(r->bytes, 0, sizeof(r->bytes));
        r->addr.family = d.type;
        memcpy(r->bytes + 2, d.mac, sizeof(d.mac));
        return 0;
    case LX_SIOCGIFMAP:
        memset(r->bytes, 0, sizeof(r->bytes));
        return 0;
    case LX_SIOCGIFADDR:
    case LX_SIOCGIFDSTADDR:
    case LX_SIOCGIFBRDADDR:
    case LX_SIOCGIFNETMASK:
        if (!d.addr)
            return -LX_EADDRNOTAVAIL;
        fill_addr(r, cmd == LX_SIOCGIFNETMASK   ? d.mask
                     : cmd == LX_SIOCGIFBRDADDR ? d.bcast
                                                : d.addr);
        return 0;
    default:
        return -LX_EINVAL;
    }
}

static u8 prefix_of(u32 mask)
{
    return (u8)__builtin_popcount(mask);
}

static u32 class_mask(u32 addr)
{
    u8 top = (u8)addr;
    return net32(top < 128 ? 0xff000000 : top < 192 ? 0xffff0000 : 0xffffff00);
}

/* The first IPv4 address of the interface becomes a; 0.0.0.0: there is none. */
static s64 replace_addr(struct netstack *stk, struct stk_addr *old, struct stk_addr *a)
{
    if (old->ifindex)
        (void)!stk_addr_del(stk, old); /* somebody was faster */
    if (ipaddr_is_any(&a->addr))
        return 0;
    return stk_addr_add(stk, a);
}

static s64 set_addr(struct netstack *stk, s32 index, u32 cmd, const struct lx_ifreq *r)
{
    struct stk_addr old = {0}, a;
    u32 v = r->addr.in.addr;
    if (r->addr.family != LX_AF_INET)
        return -LX_EINVAL;
    bool has_old = stk_addr_first(stk, index, &old);
    if (!has_old && cmd != LX_SIOCSIFADDR)
        return -LX_EADDRNOTAVAIL;
    a = old;
    if (!has_old)
        a = (struct stk_addr){.ifindex = index, .family = LX_AF_INET, .flags = LX_IFA_F_PERMANENT};
    switch (cmd) {
    case LX_SIOCSIFADDR:
        a.addr = a.peer = ipaddr_v4(v);
        a.prefix_len = prefix_of(class_mask(v));
        a.bcast = v | ~class_mask(v);
        a.scope = (u8)(ipaddr_is_loopback(&a.addr) ? 254 : 0);
        a.flags &= ~(u32)LX_IFA_F_SECONDARY;
        break;
    case LX_SIOCSIFNETMASK:
        if (~net32(v) & (~net32(v) + 1))
            return -LX_EINVAL;
        if (a.bcast == (ipaddr_to_v4(&a.addr) |
                        ~(a.prefix_len ? net32(UINT32_MAX << (32 - a.prefix_len)) : 0)))
            a.bcast = ipaddr_to_v4(&a.addr) | ~v;
        a.prefix_len = prefix_of(v);
        break;
    case LX_SIOCSIFBRDADDR:
        a.bcast = v;
        break;
    default:
        return -LX_EOPNOTSUPP;
    }
    return replace_addr(stk, &old, &a);
}

static s64 set_locked(struct net_ns *ns, u32 cmd, struct lx_ifreq *r)
{
    struct stk_iface *f = stk_iface_named(ns->stack, r->name);
    struct netdev_info d;
    if (!f || !netdev_get(ns, f->index, &d))
        return -LX_ENODEV;
    switch (cmd) {
    case LX_SIOCSIFFLAGS:
        return stk_set_flags(ns->stack, d.index, (u32)(u16)r->flags);
    case LX_SIOCSIFMTU:
        if (r->ivalue < 0 || (u32)r->ivalue < d.min_mtu ||
            (d.max_mtu && (u32)r->ivalue > d.max_mtu))
            return -LX_EINVAL;
        return stk_dev_set_mtu(f, (u32)r->ivalue);
    case LX_SIOCSIFHWADDR:
        return r->addr.family == d.type ? stk_dev_set_mac(f, r->bytes + 2) : -LX_EINVAL;
    case LX_SIOCSIFNAME: {
        char name[LX_IFNAMSIZ];
        memcpy(name, r->bytes, sizeof(name));
        name[sizeof(name) - 1] = 0;
        return stk_dev_rename(f, name);
    }
    case LX_SIOCSIFTXQLEN:
        if (r->ivalue < 0)
            return -LX_EINVAL;
        f->txqlen = (u32)r->ivalue;
        return 0;
    default:
        return set_addr(ns->stack, d.index, cmd, r);
    }
}

static s64 set_one(struct net_ns *ns, u32 cmd, struct lx_ifreq *r)
{
    r->name[LX_IFNAMSIZ - 1] = 0;
    if (!net_capable(ns, LX_CAP_NET_ADMIN) || ns->host) /* the host's are not ours to change */
        return -LX_EPERM;
    MUTEX_GUARD(&dev_lock);
    return set_locked(ns, cmd, r);
}

static s64 ifreq_ioctl(struct net_ns *ns, u32 cmd, u64 arg,
                       s64 (*fn)(struct net_ns *, u32, struct lx_ifreq *), bool is_answer)
{
    struct lx_ifreq r;
    int err = copy_in(&r, uaddr(arg), sizeof(r));
    if (err < 0)
        return err;
    s64 v = fn(ns, cmd, &r);
    return v < 0 || !is_answer ? v : copy_out(uaddr(arg), &r, sizeof(r));
}

struct lx_ethtool_ts_info {
    u32 cmd, stamping;
    s32 phc_index;
    u32 tx_types, tx_reserved[3], rx_filters, rx_reserved[3];
};
#define ETHTOOL_GLINK       0x0aU
#define ETHTOOL_GET_TS_INFO 0x41U

/* What the loopback answers: that its link is up, and that it has software stamps. */
static s64 ethtool(u64 arg)
{
    u32 cmd;
    int r = get_user(cmd, uaddr(arg));
    if (r < 0)
        return r;
    if (cmd == ETHTOOL_GLINK) {
        u32 v[2] = {cmd, 1};
        return copy_out(uaddr(arg), v, sizeof(v));
    }
    if (cmd == ETHTOOL_GET_TS_INFO) {
        struct lx_ethtool_ts_info t = {
            .cmd = cmd,
            .stamping = LX_SOF_TX_SOFTWARE | LX_SOF_RX_SOFTWARE | LX_SOF_SOFTWARE,
            .phc_index = -1,
        };
        return copy_out(uaddr(arg), &t, sizeof(t));
    }
    return -LX_EOPNOTSUPP;
}

s64 net_ioctl(struct sock *sk, u32 cmd, u64 arg)
{
    bool is_inet =
        sk->family == LX_AF_INET || sk->family == LX_AF_INET6 || sk->family == LX_AF_PACKET;
    switch (cmd) {
    case LX_SIOCGIFCONF:
        return get_conf(sk->ns, arg);
    case LX_SIOCGIFADDR:
    case LX_SIOCGIFDSTADDR:
    case LX_SIOCGIFBRDADDR:
    case LX_SIOCGIFNETMASK:
        if (!is_inet)
            return -LX_ENOTTY;
        return ifreq_ioctl(sk->ns, cmd, arg, get_one, true);
    case LX_SIOCGIFNAME:
    case LX_SIOCGIFFLAGS:
    case LX_SIOCGIFINDEX:
    case LX_SIOCGIFMTU:
    case LX_SIOCGIFMETRIC:
    case LX_SIOCGIFTXQLEN:
    case LX_SIOCGIFHWADDR:
    case LX_SIOCGIFMAP:
        return ifreq_ioctl(sk->ns, cmd, arg, get_one, true);
    case LX_SIOCSIFFLAGS:
    case LX_SIOCSIFADDR:
    case LX_SIOCSIFDSTADDR:
    case LX_SIOCSIFBRDADDR:
    case LX_SIOCSIFNETMASK:
    case LX_SIOCSIFMTU:
    case LX_SIOCSIFTXQLEN:
    case LX_SIOCSIFHWADDR:
    case LX_SIOCSIFNAME:
        return ifreq_ioctl(sk->ns, cmd, arg, set_one, false);
    case LX_SIOCGIFCOUNT:
        return -LX_EINVAL;
    case LX_SIOCGSTAMP_OLD:
    case LX_SIOCGSTAMPNS_OLD:
    case LX_SIOCGSTAMP_NEW:
    case LX_SIOCGSTAMPNS_NEW:
        if (!is_inet)
            return -LX_ENOTTY;
        return sock_get_stamp(sk, cmd == LX_SIOCGSTAMPNS_OLD || cmd == LX_SIOCGSTAMPNS_NEW,
                              uaddr(arg));
    case LX_SIOCETHTOOL: {
        struct lx_ifreq r;
        int err = copy_in(&r, uaddr(arg), sizeof(r));
        if (err < 0)
            return err;
        r.name[LX_IFNAMSIZ - 1] = 0;
        return netdev_index(sk->ns, r.name) ? ethtool(r.ptr) : -LX_ENODEV;
    }
    case LX_SIOCADDRT:
    case LX_SIOCDELRT:
    case LX_SIOCSARP:
    case LX_SIOCDARP:
        return net_capable(sk->ns, LX_CAP_NET_ADMIN) && !sk->ns->host ? -LX_EOPNOTSUPP : -LX_EPERM;
    case LX_SIOCGARP:
        return -LX_ENXIO;
    default:
        return -LX_ENOTTY;
    }
}
