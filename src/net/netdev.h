/*
 * Network interfaces of a namespace as programs ask for them: by ioctl, netlink and
 * /proc/net/dev: the loopback, index 1, always up, and those of the namespace's stack.
 */
#ifndef NET_NETDEV_H
#define NET_NETDEV_H

#include "net/net.h"

#define LO_IFINDEX 1
#define LO_MTU     65536

struct sock;

/* An interface as programs see it. */
struct netdev_info {
    s32 index;
    char name[16];
    u32 flags; /* LX_IFF_* */
    u32 mtu;
    u16 type; /* LX_ARPHRD_* */
    u8 mac[6];
    u64 rx_bytes, rx_packets, rx_errors, rx_dropped, rx_multicast;
    u64 tx_bytes, tx_packets, tx_dropped;
    u32 addr, mask, bcast; /* the first IPv4 address; 0: none */
};
/* The interfaces in order: the nth, from 0; false: there are not so many. */
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
