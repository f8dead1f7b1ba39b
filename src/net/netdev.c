/*
 * Interfaces of a namespace and the ioctls that ask about them. There is the loopback; changing it
 * takes CAP_NET_ADMIN and is refused as unsupported, unless it asks for what is so already.
 */
#include "net/netdev.h"

#include <string.h>

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

#define LX_SIOCGSTAMP_NEW   0x80108906U
#define LX_SIOCGSTAMPNS_NEW 0x80108907U

#define LO_FLAGS (LX_IFF_UP | LX_IFF_LOOPBACK | LX_IFF_RUNNING)

bool netdev_nth(struct net_ns *ns, u32 nth, struct netdev_info *ret)
{
    if (nth)
        return ns->stack && stk_netdev(ns->stack, nth - 1, ret);
    *ret = (struct netdev_info){.index = LO_IFINDEX,
                                .name = "lo",
                                .flags = LO_FLAGS,
                                .mtu = LO_MTU,
                                .type = LX_ARPHRD_LOOPBACK,
                                .addr = net32(LX_INADDR_LOOPBACK),
                                .mask = net32(0xff000000)};
    return true;
}

bool netdev_get(struct net_ns *ns, s32 index, struct netdev_info *ret)
{
    for (u32 i = 0; netdev_nth(ns, i, ret); i++)
        if (ret->index == index)
            return true;
    return false;
}

s32 netdev_index(struct net_ns *ns, const char *name)
{
    struct netdev_info d;
    for (u32 i = 0; netdev_nth(ns, i, &d); i++)
        if (!strcmp(d.name, name))
            return d.index;
    return 0;
}

bool netdev_exists(struct net_ns *ns, s32 index)
{
    struct netdev_info d;
    return netdev_get(ns, index, &d);
}

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
    s32 done = 0;
    int err = copy_in(&c, uaddr(arg), sizeof(c));
    if (err < 0)
        return err;
    for (u32 i = 0; netdev_nth(ns, i, &d); i++) {
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
        r->ivalue = 1000;
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
        fill_addr(r, cmd == LX_SIOCGIFNETMASK  ? d.mask
                     : cmd == LX_SIOCGIFBRDADDR ? d.bcast
                                                : d.addr);
        return 0;
    default:
        return -LX_EINVAL;
    }
}

/* Setting: only what is there already. */
static s64 set_one(struct net_ns *ns, u32 cmd, struct lx_ifreq *r)
{
    r->name[LX_IFNAMSIZ - 1] = 0;
    if (!net_capable(ns, LX_CAP_NET_ADMIN))
        return -LX_EPERM;
    s32 index = netdev_index(ns, r->name);
    if (!index)
        return -LX_ENODEV;
    if (index != LO_IFINDEX)
        return cmd == LX_SIOCSIFFLAGS ? stk_set_flags(ns->stack, index, (u32)(u16)r->flags)
                                      : -LX_EOPNOTSUPP;
    switch (cmd) {
    case LX_SIOCSIFFLAGS:
        return (r->flags & LX_IFF_UP) && !(r->flags & ~(s16)(LO_FLAGS | LX_IFF_MULTICAST))
                   ? 0
                   : -LX_EOPNOTSUPP;
    case LX_SIOCSIFADDR:
        return r->addr.in.addr == net32(LX_INADDR_LOOPBACK) ? 0 : -LX_EOPNOTSUPP;
    case LX_SIOCSIFNETMASK:
        return r->addr.in.addr == net32(0xff000000) ? 0 : -LX_EOPNOTSUPP;
    case LX_SIOCSIFMTU:
        return r->ivalue == LO_MTU ? 0 : -LX_EOPNOTSUPP;
    default:
        return -LX_EOPNOTSUPP;
    }
}

static s64 ifreq_ioctl(struct net_ns *ns, u32 cmd, u64 arg, s64 (*fn)(struct net_ns *, u32, struct lx_ifreq *),
                       bool is_answer)
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
    bool is_inet = sk->family == LX_AF_INET || sk->family == LX_AF_INET6 ||
                   sk->family == LX_AF_PACKET;
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
        return net_capable(sk->ns, LX_CAP_NET_ADMIN) ? -LX_EOPNOTSUPP : -LX_EPERM;
    case LX_SIOCGARP:
        return -LX_ENXIO;
    default:
        return -LX_ENOTTY;
    }
}
