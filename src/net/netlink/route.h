/* NETLINK_ROUTE: what its parts share: building messages (rt_put.c), dumps (route.c), changes. */
#ifndef NET_NETLINK_ROUTE_H
#define NET_NETLINK_ROUTE_H

#include "net/netlink/netlink.h"
#include "net/stack/stack.h"

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
       IFLA_MASTER = 10,
       IFLA_OPERSTATE = 16,
       IFLA_LINKMODE,
       IFLA_LINKINFO,
       IFLA_NET_NS_PID,
       IFLA_IFALIAS,
       IFLA_STATS64 = 23,
       IFLA_GROUP = 27,
       IFLA_NET_NS_FD = 28,
       IFLA_NUM_TX_QUEUES = 31,
       IFLA_NUM_RX_QUEUES = 32,
       IFLA_CARRIER = 33,
       IFLA_CARRIER_CHANGES = 35,
       IFLA_LINK_NETNSID = 37,
       IFLA_GSO_MAX_SEGS = 40,
       IFLA_GSO_MAX_SIZE = 41,
       IFLA_MIN_MTU = 50,
       IFLA_MAX_MTU = 51,
       IFLA_ALT_IFNAME = 53,
       IFLA_INFO_KIND = 1,
       IFLA_INFO_DATA,
       IFLA_INFO_SLAVE_KIND = 4,
       VETH_INFO_PEER = 1,
       IFLA_BR_AGEING_TIME = 4,
       IFLA_BR_STP_STATE,
       IFLA_BR_PRIORITY,
       IFLA_BR_VLAN_FILTERING,
       IFLA_BR_MCAST_SNOOPING = 23,
       IFLA_BRPORT_STATE = 1,
       IFLA_BRPORT_PRIORITY,
       IFLA_BRPORT_COST,
       IFLA_BRPORT_MODE,
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
       RTA_MULTIPATH,
       RTA_CACHEINFO = 12,
       RTA_TABLE = 15,
       RTA_MARK = 16,
       RTA_VIA = 18,
       RTA_PREF = 20,
       RTA_UID = 25,
       RTA_NH_ID = 30,
       RTAX_MTU = 2,
       NDA_DST = 1,
       NDA_LLADDR,
       NDA_CACHEINFO,
       NDA_MASTER = 9,
       FRA_DST = 1,
       FRA_SRC,
       FRA_PRIORITY = 6,
       FRA_SUPPRESS_PREFIXLEN = 14,
       FRA_TABLE = 15,
       FRA_OIFNAME = 17,
       FRA_PROTOCOL = 21,
       TCA_KIND = 1,
       NETNSA_NSID = 1,
       NETNSA_PID,
       NETNSA_FD,
};
enum {
    RTN_UNICAST = 1,
    RTN_LOCAL,
    RTN_BROADCAST,
    RTN_ANYCAST,
    RTN_MULTICAST,
    RTN_BLACKHOLE,
    RTN_UNREACHABLE,
    RTN_PROHIBIT
};
enum { SCOPE_UNIVERSE = 0, SCOPE_LINK = 253, SCOPE_HOST = 254, SCOPE_NOWHERE = 255 };
enum { TABLE_DEFAULT = 253, TABLE_MAIN = 254, TABLE_LOCAL = 255 };
#define LX_PF_BRIDGE       7
#define RTPROT_KERNEL      2
#define LX_RTNH_F_ONLINK   4U
#define LX_RTNH_F_LINKDOWN 16U
#define LX_RTCF_LOCAL      0x80000000U

/* ---- rt_put.c: each adds one message; false: b is full ------------------------------------- */

bool rt_put_link(struct nlbuf *b, u16 type, const struct netdev_info *d, u32 change);
/* The same of a port for PF_BRIDGE. */
bool rt_put_port(struct nlbuf *b, const struct netdev_info *d);
bool rt_put_addr(struct nlbuf *b, u16 type, struct netstack *stk, const struct stk_addr *a);
bool rt_put_route(struct nlbuf *b, u16 type, struct netstack *stk, const struct stk_route *r);
bool rt_put_neigh(struct nlbuf *b, u16 type, const struct neigh_info *n);
/* The bytes of an address as its family's messages carry it. */
void rt_attr_addr(struct nlbuf *b, u16 type, const ipaddr *a, u8 family);
/*
 * All routes that a family (0: all) and table (0: all) have, the local table made of the addresses,
 * in the order in which they are shown. *ret: malloc'ed. -LX_ENOMEM.
 */
int rt_all_routes(struct netstack *stk, u8 family, u32 table, struct stk_route **ret,
                  u32 *ret_count) must_check;

/* ---- changes: under dev_lock --------------------------------------------------------------- */

/* b->extack says more about a failure. */
int rt_change_addr(struct net_ns *ns, const struct lx_nlmsghdr *req, struct nlbuf *b) must_check;
int rt_change_route(struct net_ns *ns, const struct lx_nlmsghdr *req, struct nlbuf *b) must_check;
int rt_change_neigh(struct net_ns *ns, const struct lx_nlmsghdr *req, struct nlbuf *b) must_check;
int rt_change_rule(struct net_ns *ns, const struct lx_nlmsghdr *req, struct nlbuf *b) must_check;
/* NEWLINK, SETLINK, DELLINK. */
int rt_change_link(struct net_ns *ns, const struct lx_nlmsghdr *req, struct nlbuf *b) must_check;
/* GETNSID and NEWNSID; takes no lock but leaves. */
int rt_nsid(struct net_ns *ns, const struct lx_nlmsghdr *req, struct nlbuf *b) must_check;
/* The interface that a link message names; NULL with *ret_err. */
struct stk_iface *rt_find_link(struct net_ns *ns, const struct lx_nlmsghdr *req, int *ret_err);

/* An address attribute of the family; false: absent. */
bool rt_find_addr(const struct lx_nlmsghdr *req, u32 head, u16 type, u8 family, ipaddr *ret);
u32 rt_find_u32(const struct lx_nlmsghdr *req, u32 head, u16 type);
static inline bool rt_is_family(u8 family)
{
    return family == LX_AF_INET || family == LX_AF_INET6;
}
static inline int rt_fail(struct nlbuf *b, int err, const char *why)
{
    b->extack = why;
    return err;
}

/* With the host's network: as nl_route_request. */
int rt_host_request(struct nl_sock *n, const struct lx_nlmsghdr *req, struct nlbuf *b,
                    struct nl_dump *ret_dump) must_check;

#endif
