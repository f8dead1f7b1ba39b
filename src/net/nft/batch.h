/* batch: what netlink hands over to nf_tables. */
#ifndef NET_NFT_BATCH_H
#define NET_NFT_BATCH_H

#include "net/netlink/netlink.h"

/* Newer than what LX_NFT_MSG_MAX counts. */
#define NFT_MSG_GETRULE_RESET    25
#define NFT_MSG_DESTROYTABLE     26
#define NFT_MSG_DESTROYCHAIN     27
#define NFT_MSG_DESTROYRULE      28
#define NFT_MSG_DESTROYSET       29
#define NFT_MSG_DESTROYSETELEM   30
#define NFT_MSG_DESTROYOBJ       31
#define NFT_MSG_GETSETELEM_RESET 33

/* A datagram that begins with NFNL_MSG_BATCH_BEGIN; its length is at least that of a message's
 * head. */
void nft_batch(struct nl_sock *s, struct nlbuf *m, const u8 *buf, u32 size);
/* A request of NFNL_SUBSYS_NFTABLES outside of batches. */
int nft_request(struct nl_sock *s, const struct lx_nlmsghdr *req, struct nlbuf *b,
                struct nl_dump *ret_dump) must_check;
/* One of NFNL_SUBSYS_NFT_COMPAT. */
int nft_compat_request(struct nl_sock *s, const struct lx_nlmsghdr *req,
                       struct nlbuf *b) must_check;

#endif
