/* NETLINK_NETFILTER: requests outside of batches, by subsystem. All need CAP_NET_ADMIN. */
#include "abi/nftables.h"
#include "net/inet/inet.h"
#include "net/nft/batch.h"

int nl_netfilter_request(struct nl_sock *n, const struct lx_nlmsghdr *req, struct nlbuf *b,
                         struct nl_dump *ret_dump)
{
    if (!net_capable(n->sk.ns, LX_CAP_NET_ADMIN))
        return -LX_EPERM;
    if (!nl_payload(req, 4)) /* what every one begins with */
        return 0;
    switch (req->type >> 8) {
    case LX_NFNL_SUBSYS_NFTABLES:
        return nft_request(n, req, b, ret_dump);
    case LX_NFNL_SUBSYS_NFT_COMPAT:
        return nft_compat_request(n, req, b);
    default:
        return -LX_EINVAL;
    }
}
