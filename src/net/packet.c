/* AF_PACKET: refused as by a kernel without it; the loopback carries no packets to capture yet. */
#include "net/sock.h"

int packet_create(struct net_ns *ns, s32 type, s32 protocol, struct sock **ret_sk)
{
    return net_capable(ns, LX_CAP_NET_RAW) ? -LX_EAFNOSUPPORT : -LX_EPERM;
}
