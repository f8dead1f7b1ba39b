/*
 * Network interfaces of a namespace as programs ask for them: by ioctl, netlink and
 * /proc/net/dev. A namespace has the loopback, index 1, always up, for now.
 */
#ifndef NET_NETDEV_H
#define NET_NETDEV_H

#include "net/net.h"

#define LO_IFINDEX 1
#define LO_MTU     65536

struct sock;

/* 0 when there is none. */
s32 netdev_index(struct net_ns *ns, const char *name);
bool netdev_exists(struct net_ns *ns, s32 index);
/* name has LX_IFNAMSIZ bytes. */
bool netdev_name(struct net_ns *ns, s32 index, char *name);

/* ioctls of any socket: SIOC[GS]IF* and kin; -LX_ENOTTY for others. */
s64 net_ioctl(struct sock *sk, u32 cmd, u64 arg) must_check;

#endif
