/* Errors that the network, or our own link, reports about a packet that we sent. */
#ifndef NET_STACK_ERROR_H
#define NET_STACK_ERROR_H

#include "net/stack/stack.h"

/*
 * `ip` holds the packet as far as it was quoted. err: a positive errno; type, code: ICMP's, of the
 * family; type 0: what says unreachable. mtu: what fits, for LX_EMSGSIZE.
 */
void stk_error_quoted(struct netstack *stk, const u8 *ip, u32 len, bool is_v6, int err, u8 type,
                      u8 code, u32 mtu);

/* One quoted packet as the transports see it. */
struct stk_quote {
    ipaddr src, dst; /* src: ours */
    u8 protocol;
    const u8 *l4;
    u32 l4_len;
    int err;
    u8 type, code;
    u32 mtu;
    bool is_v6, is_hard;
};
void udp_error(struct netstack *stk, const struct stk_quote *q);
void tcp_error(struct netstack *stk, const struct stk_quote *q);

#endif
