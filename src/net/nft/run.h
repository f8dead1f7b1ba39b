/* run: what the hooks know of nf_tables; see nft.h. */
#ifndef NET_NFT_RUN_H
#define NET_NFT_RUN_H

#include "net/filter/xt.h"

struct nft_ns;
struct net_ns;

/* Places of the steps between which chains run. */
#define NFT_PRIO_FIRST  INT32_MIN
#define NFT_PRIO_RAW    (-300)
#define NFT_PRIO_CT     (-200)
#define NFT_PRIO_MANGLE (-150)
#define NFT_PRIO_DNAT   (-100)
#define NFT_PRIO_FILTER 0
#define NFT_PRIO_SNAT   100

struct nft_ns *nft_ns_new(struct net_ns *net) must_check;
void nft_ns_free(struct nft_ns *n);
/* As net_ns.nf_hooks. */
u32 nft_hooks(const struct nft_ns *n);
/* Chains at p->hook, other than for NAT, with from < priority <= to. */
enum xt_verdict nft_run(struct nft_ns *n, struct xt_packet *p, s64 from, s64 to) must_check;
/* Chains for NAT likewise, until one has decided. */
enum xt_verdict nft_run_nat(struct nft_ns *n, struct xt_packet *p, s64 from, s64 to) must_check;

#endif
