/*
 * hook: where packets meet the rule sets.
 *
 * A packet of the stack passes INPUT in ip_deliver, when it is whole, and OUTPUT in ip_send, when
 * its way is known. The loopback builds no packets: what a step of it would have sent is described
 * by a tuple and a transport header, and passes OUTPUT and INPUT at once (nf_loopback). Nobody
 * forwards yet; whoever does asks nf_judge with XT_FORWARD, both interfaces named.
 *
 * Without rules all of it is one load and a branch that is not taken: nf_is_on.
 */
#ifndef NET_FILTER_HOOK_H
#define NET_FILTER_HOOK_H

#include "net/filter/xt.h"
#include "net/inet/inet.h"

#define NF_IN      (1U << XT_INPUT)
#define NF_FORWARD (1U << XT_FORWARD)
#define NF_OUT     (1U << XT_OUTPUT)

/* Does any rule of these hooks say more than ACCEPT? */
static inline bool nf_is_on(const struct net_ns *ns, u32 hooks)
{
    return unlikely(atomic_load_explicit(&ns->nf_hooks, memory_order_relaxed) & hooks);
}

/* What becomes of a packet. */
struct nf_fate {
    bool is_lost;
    bool is_out;   /* lost at OUTPUT: its sender is told */
    bool is_reset; /* an answer is due: a TCP reset, */
    u8 code;       /* or, not NF_SILENT, "unreachable" with this code of ICMP or ICMPv6 */
};
#define NF_SILENT 0xff

struct nf_fate nf_judge(struct net_ns *ns, enum xt_hook hook, struct xt_packet *p) must_check;

/* A packet of this tuple over the loopback; l4: its transport header, of a payload of `size` bytes
 * more. */
struct nf_fate nf_loopback(struct net_ns *ns, const struct dgram_cb *cb, u8 protocol, const u8 *l4,
                           u32 l4_len, u32 size) must_check;

/* The errno that an "unreachable" of this code means. ret_is_hard: for a connected datagram socket
 * too. */
int nf_errno(bool is_v6, u8 code, bool *ret_is_hard);

#endif
