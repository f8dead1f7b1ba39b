/* Families that are not there yet. */
#include <stdlib.h>

#include "net/parts.h"
#include "net/sock.h"

int netlink_create(struct net_ns *ns, s32 type, s32 protocol, struct sock **ret_sk)
{
    return -LX_EAFNOSUPPORT;
}

int packet_create(struct net_ns *ns, s32 type, s32 protocol, struct sock **ret_sk)
{
    return -LX_EAFNOSUPPORT;
}

struct netlink_ns *netlink_ns_new(void)
{
    return calloc(1, 1);
}

void netlink_ns_free(struct netlink_ns *n)
{
    free(n);
}
