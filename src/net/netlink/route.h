/* NETLINK_ROUTE: what the loopback's part (route.c) and the stack's (route_stack.c) share. */
#ifndef NET_NETLINK_ROUTE_H
#define NET_NETLINK_ROUTE_H

#include "net/netlink/netlink.h"

struct lx_ifinfomsg {
    u8 family, pad;
    u16 type;
    s32 index;
    u32 flags, change;
};
struct lx_ifaddrmsg {
    u8 family, prefixlen, flags, scope;
    u32 index;
};
struct lx_rtmsg {
    u8 family, dst_len, src_len, tos, table, protocol, scope, type;
    u32 flags;
};
struct lx_ndmsg {
    u8 family, pad1;
    u16 pad2;
    s32 ifindex;
    u16 state;
    u8 flags, type;
};
struct lx_tcmsg {
    u8 family, pad1;
    u16 pad2;
    s32 ifindex;
    u32 handle, parent, info;
};

enum { /* attributes used here; the abi header has the others */
       IFLA_ADDRESS = 1,
       IFLA_BROADCAST,
       IFLA_IFNAME,
       IFLA_MTU,
       IFLA_LINK,
       IFLA_QDISC,
       IFLA_STATS,
       IFLA_OPERSTATE = 16,
       IFLA_LINKMODE,
       IFLA_STATS64 = 23,
       IFLA_GROUP = 27,
       IFLA_NUM_TX_QUEUES = 31,
       IFLA_NUM_RX_QUEUES = 32,
       IFLA_CARRIER = 33,
       IFLA_CARRIER_CHANGES = 35,
       IFLA_GSO_MAX_SEGS = 40,
       IFLA_GSO_MAX_SIZE = 41,
       IFLA_MIN_MTU = 50,
       IFLA_MAX_MTU = 51,
       IFLA_ALT_IFNAME = 53,
       IFA_ADDRESS = 1,
       IFA_LOCAL,
       IFA_LABEL,
       IFA_BROADCAST,
       IFA_CACHEINFO = 6,
       IFA_FLAGS = 8,
       IFA_PROTO = 11,
       RTA_DST = 1,
       RTA_SRC,
       RTA_IIF,
       RTA_OIF,
       RTA_GATEWAY,
       RTA_PRIORITY,
       RTA_PREFSRC,
       RTA_METRICS,
       RTA_CACHEINFO = 12,
       RTA_TABLE = 15,
       RTA_UID = 25,
       RTA_PREF = 20,
       NDA_DST = 1,
       NDA_LLADDR,
       FRA_PRIORITY = 6,
       FRA_SUPPRESS_PREFIXLEN = 14,
       FRA_TABLE = 15,
       FRA_PROTOCOL = 21,
       TCA_KIND = 1,
};
enum {
    RTN_UNICAST = 1,
    RTN_LOCAL,
    RTN_BROADCAST,
    RTN_BLACKHOLE = 6,
    RTN_UNREACHABLE,
    RTN_PROHIBIT
};
enum { SCOPE_UNIVERSE = 0, SCOPE_LINK = 253, SCOPE_HOST = 254 };
enum { TABLE_DEFAULT = 253, TABLE_MAIN = 254, TABLE_LOCAL = 255 };

/* Each adds the entries after *at (which counts those of the stack) until b is full; true: that was
 * all. */
bool rt_put_links(struct net_ns *ns, struct nlbuf *b, u64 *at);
bool rt_put_addrs(struct net_ns *ns, struct nlbuf *b, u64 *at, u8 family, s32 ifindex);
bool rt_put_routes(struct net_ns *ns, struct nlbuf *b, u64 *at, u8 family, u8 table);
bool rt_put_neighs(struct net_ns *ns, struct nlbuf *b, u64 *at, u8 family);
/* One interface; -LX_ENODEV. name NULL: by index. */
int rt_get_link(struct net_ns *ns, s32 index, const char *name, struct nlbuf *b) must_check;
/* The way to dst; -LX_ENETUNREACH. */
int rt_get_route(struct net_ns *ns, const struct lx_rtmsg *q, const struct lx_in6_addr *dst,
                 s32 oif, struct nlbuf *b) must_check;
/* NEWADDR, DELADDR, NEWROUTE, DELROUTE, NEWNEIGH, DELNEIGH, and SETLINK of the stack's interfaces.
 */
int rt_change(struct net_ns *ns, const struct lx_nlmsghdr *req) must_check;

#endif
