/*
 * hook: where packets meet rule sets, connection tracking and NAT.
 *
 * A packet of the stack passes PREROUTING and INPUT when it is whole (ip.c), OUTPUT and POSTROUTING
 * in ip_send, when its way is known. The loopback builds no packets: what a step of it would have
 * sent is described by a tuple and a transport header, and passes all four at once (nf_loopback).
 * What is forwarded passes PREROUTING, FORWARD, both interfaces named, and POSTROUTING
 * (stack/forward.c); xt_packet.i goes from hook to hook.
 *
 * Chains of nf_tables (net/nft) run between these steps, by their priorities.
 *
 *   PREROUTING   raw, tracking, mangle, nat (destination)
 *   INPUT        mangle, filter, nat (source), confirmation
 *   FORWARD      mangle, filter
 *   OUTPUT       raw, tracking, mangle, nat (destination), filter
 *   POSTROUTING  mangle, nat (source), confirmation
 *
 * Without rules all of it is one load and a branch that is not taken: nf_is_on. Tracking is on
 * while a rule asks for it, as on Linux.
 *
 * Lock order: what calls in → ipt_ns.lock | nft_ns.lock → ct_ns.lock.
 */
#ifndef NET_FILTER_HOOK_H
#define NET_FILTER_HOOK_H

#include "net/filter/xt.h"
#include "net/inet/inet.h"

#define NF_PRE          XT_BIT(XT_PREROUTING)
#define NF_IN           XT_BIT(XT_INPUT)
#define NF_FORWARD      XT_BIT(XT_FORWARD)
#define NF_OUT          XT_BIT(XT_OUTPUT)
#define NF_POST         XT_BIT(XT_POSTROUTING)
#define NF_ALL          (NF_PRE | NF_IN | NF_FORWARD | NF_OUT | NF_POST)
#define NF_TRACK        0x20U
#define NF_NAT_OUT      0x40U /* nat has rules at OUTPUT: a destination may become another */
#define NF_FAMILY_SHIFT 8

/* Sets net_ns.nf_hooks from what iptables and nf_tables say; after each change of theirs. */
void nf_publish(struct net_ns *ns);
/* net_ns.nf_hooks of the two families. Does any rule of these hooks say more than ACCEPT? */
static inline bool nf_is_on(const struct net_ns *ns, u32 bits)
{
    return unlikely(atomic_load_explicit(&ns->nf_hooks, memory_order_relaxed) &
                    (bits | bits << NF_FAMILY_SHIFT));
}

/* What becomes of a packet. */
struct nf_fate {
    bool is_lost;
    bool is_out;   /* lost at OUTPUT or POSTROUTING: its sender is told */
    bool is_reset; /* an answer is due: a TCP reset, */
    u8 code;       /* or, not NF_SILENT, "unreachable" with this code of ICMP or ICMPv6 */
};
#define NF_SILENT 0xff

/* A packet at one hook. p->i goes on with it; when it is lost, nf_done is still due. */
struct nf_fate nf_judge(struct net_ns *ns, enum xt_hook hook, struct xt_packet *p) must_check;
void nf_done(struct xt_packet *p);
void nf_release(struct xt_info *i);
/* Who sends p: sk, or NULL: the kernel. */
void nf_set_owner(struct xt_packet *p, const struct sock *sk);

/*
 * A packet of *cb over the loopback; l4: its transport header, of a payload of `size` bytes more.
 * NAT changes both. from: its sender, or NULL. NF_ANSWER: it answers one that a rule has refused.
 */
enum nf_why { NF_PLAIN, NF_ANSWER };
struct nf_fate nf_loopback(struct net_ns *ns, const struct sock *from, struct dgram_cb *cb,
                           u8 protocol, u8 *l4, u32 l4_len, u32 size, enum nf_why why) must_check;
/* Would NAT send a packet to *dst, which is not ours, to this host itself? Nothing is counted or
 * kept. */
bool nf_turns_home(struct net_ns *ns, const struct sock *from, const struct dgram_cb *cb,
                   u8 protocol) must_check;

/* The errno that an "unreachable" of this code means. ret_is_hard: for a connected datagram socket
 * too. */
int nf_errno(bool is_v6, u8 code, bool *ret_is_hard);

#endif
