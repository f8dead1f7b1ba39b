/* Interfaces of a namespace: the loopback. */
#include "net/netdev.h"

#include <string.h>

#include "net/sock.h"

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

s64 net_ioctl(struct sock *sk, u32 cmd, u64 arg)
{
    return -LX_ENOTTY;
}
