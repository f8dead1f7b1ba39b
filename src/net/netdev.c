/*
 * Interfaces of a namespace and the ioctls that ask about them. There is the loopback; changing it
 * takes CAP_NET_ADMIN and is refused as unsupported, unless it asks for what is so already.
 */
#include "net/netdev.h"

#include <string.h>

#include "net/inet/inet.h"
#include "net/sock.h"

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

#define LO_FLAGS (LX_IFF_UP | LX_IFF_LOOPBACK | LX_IFF_RUNNING)

s32 netdev_index(struct net_ns *ns, const char *name)
{
    return strcmp(name, "lo") ? 0 : LO_IFINDEX;
}

bool netdev_exists(struct net_ns *ns, s32 index)
{
    return index == LO_IFINDEX;
}

bool netdev_name(struct net_ns *ns, s32 index, char *name)
{
    if (index != LO_IFINDEX)
        return false;
    memset(name, 0, LX_IFNAMSIZ);
    memcpy(name, "lo", 2);
    return true;
}

static s64 get_conf(u64 arg)
{
    struct lx_ifconf c;
    struct lx_ifreq r = {.name = "lo"};
    int err = copy_in(&c, uaddr(arg), sizeof(c));
    if (err < 0)
        return err;
    r.addr.in = (struct lx_sockaddr_in){.family = LX_AF_INET, .addr = net32(LX_INADDR_LOOPBACK)};
    if (!c.buf) {
        c.len = sizeof(r);
    } else if (c.len < (s32)sizeof(r)) {
        c.len = 0;
    } else {
        err = copy_out(uaddr(c.buf), &r, sizeof(r));
        c.len = sizeof(r);
    }
    return err < 0 ? err : put_user(c.len, uaddr(arg));
}

/* Addresses of the loopback; INET names may carry an alias (lo:1), which does not exist. */
static void fill_addr(struct lx_ifreq *r, u32 host_order)
{
    memset(r->bytes, 0, sizeof(r->bytes));
    r->addr.in = (struct lx_sockaddr_in){.family = LX_AF_INET, .addr = net32(host_order)};
}

static s64 get_one(struct net_ns *ns, u32 cmd, struct lx_ifreq *r)
{
    if (cmd == LX_SIOCGIFNAME)
        return netdev_name(ns, r->ivalue, r->name) ? 0 : -LX_ENODEV;
    r->name[LX_IFNAMSIZ - 1] = 0;
    if (!netdev_index(ns, r->name))
        return -LX_ENODEV;
    switch (cmd) {
    case LX_SIOCGIFFLAGS:
        r->flags = LO_FLAGS;
        return 0;
    case LX_SIOCGIFINDEX:
        r->ivalue = LO_IFINDEX;
        return 0;
    case LX_SIOCGIFMTU:
        r->ivalue = LO_MTU;
        return 0;
    case LX_SIOCGIFMETRIC:
        r->ivalue = 0;
        return 0;
    case LX_SIOCGIFTXQLEN:
        r->ivalue = 1000;
        return 0;
    case LX_SIOCGIFHWADDR:
        memset(r->bytes, 0, sizeof(r->bytes));
        r->addr.family = LX_ARPHRD_LOOPBACK;
        return 0;
    case LX_SIOCGIFMAP:
        memset(r->bytes, 0, sizeof(r->bytes));
        return 0;
    case LX_SIOCGIFADDR:
        fill_addr(r, LX_INADDR_LOOPBACK);
        return 0;
    case LX_SIOCGIFDSTADDR:
        fill_addr(r, LX_INADDR_LOOPBACK);
        return 0;
    case LX_SIOCGIFBRDADDR:
        fill_addr(r, 0);
        return 0;
    case LX_SIOCGIFNETMASK:
        fill_addr(r, 0xff000000);
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
    if (!netdev_index(ns, r->name))
        return -LX_ENODEV;
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

s64 net_ioctl(struct sock *sk, u32 cmd, u64 arg)
{
    bool is_inet = sk->family == LX_AF_INET || sk->family == LX_AF_INET6 ||
                   sk->family == LX_AF_PACKET;
    switch (cmd) {
    case LX_SIOCGIFCONF:
        return get_conf(arg);
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
        return -LX_ENOENT; /* no stamp was taken */
    case LX_SIOCETHTOOL: {
        struct lx_ifreq r;
        int err = copy_in(&r, uaddr(arg), sizeof(r));
        if (err < 0)
            return err;
        r.name[LX_IFNAMSIZ - 1] = 0;
        return netdev_index(sk->ns, r.name) ? -LX_EOPNOTSUPP : -LX_ENODEV;
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
