/*
 * Network interfaces of a namespace as programs ask for them: by ioctl, netlink and
 * /proc/net/dev: the loopback, index 1, and what the namespace has besides.
 */
#ifndef NET_NETDEV_H
#define NET_NETDEV_H

#include "net/net.h"

#define LO_IFINDEX 1
#define LO_MTU     65536

#define LX_SIOCGSTAMP_NEW   0x80108906U
#define LX_SIOCGSTAMPNS_NEW 0x80108907U

struct sock;

/* An interface as programs see it. */
struct netdev_info {
    s32 index;
    char name[16];
    u32 kind;  /* enum dev_kind */
    u32 flags; /* LX_IFF_* */
    u32 mtu, min_mtu, max_mtu, txqlen, group;
    u16 type; /* LX_ARPHRD_* */
    u8 mac[6];
    const char *kind_name; /* static; NULL: none */
    s32 link, link_nsid;   /* the other end, or what it stands on: 0: none; -1: of this namespace */
    s32 master;            /* 0: none */
    bool has_qdisc, has_operstate, is_stacked, is_hairpin;
    u64 rx_bytes, rx_packets, rx_errors, rx_dropped, rx_multicast;
    u64 tx_bytes, tx_packets, tx_dropped;
    u32 addr, mask, bcast; /* the first IPv4 address; 0: none */
};
/* The interfaces in the order of their indices: the one after an index (0: the first); false: none.
 */
bool netdev_next(struct net_ns *ns, s32 after, struct netdev_info *ret);
/* The nth, from 0. */
bool netdev_nth(struct net_ns *ns, u32 nth, struct netdev_info *ret);
bool netdev_get(struct net_ns *ns, s32 index, struct netdev_info *ret);

/* 0 when there is none. */
s32 netdev_index(struct net_ns *ns, const char *name);
bool netdev_exists(struct net_ns *ns, s32 index);
/* name has LX_IFNAMSIZ bytes. */
bool netdev_name(struct net_ns *ns, s32 index, char *name);

/* ioctls of any socket: SIOC[GS]IF* and kin; -LX_ENOTTY for others. */
s64 net_ioctl(struct sock *sk, u32 cmd, u64 arg) must_check;

#endif
