/*
 * Packets, for those who look at them: the loopback moves data between queues and builds a packet
 * only when a packet socket, a raw socket, a socket filter or an ICMP error wants to see one.
 */
#ifndef NET_INET_WIRE_H
#define NET_INET_WIRE_H

#include "net/filter/hook.h"
#include "net/inet/inet.h"

#define WIRE_ETH 14U
#define WIRE_IP4 20U
#define WIRE_IP6 40U
#define WIRE_UDP 8U
#define WIRE_TCP 20U
#define ICMP_HDR 8U

struct wire {
    u8 *buf; /* owned; Ethernet header first; NULL: no memory, nobody sees it */
    u32 size;
    u32 net, l4; /* offsets of the headers */
};

/*
 * A packet of this tuple: head (a transport header, or NULL) and payload follow the IP header.
 * Lengths and checksums of IP, UDP, TCP and ICMPv6 are filled in.
 */
struct wire wire_new(const struct dgram_cb *cb, u8 protocol, const void *head, u32 head_size,
                     const void *payload, u32 size);
struct wire wire_udp(const struct dgram_cb *cb, const void *payload, u32 size);
void wire_free(struct wire *w);

/* Does anybody in the namespace look at what the loopback carries? */
static inline bool wire_is_watched(const struct net_ns *ns)
{
    return unlikely(atomic_load_explicit(&ns->nwatchers, memory_order_relaxed) != 0);
}
/* Shows a packet to packet socks as the loopback interface does: going out and coming in. */
void wire_show(struct net_ns *ns, const struct wire *w);

/* Bytes of UDP payload that the sock's filter keeps; -1: drop. */
s64 wire_filter_udp(struct sock *sk, const struct dgram_cb *cb, const void *payload, u32 size);

void put16(u8 *p, u16 v);
u16 get16(const u8 *p);
void put32(u8 *p, u32 v);
void icmp_checksum(u8 *p, u32 size, const struct dgram_cb *cb);
bool icmp_is_intact(const u8 *p, u32 size);
bool udp_is_intact(const u8 *p, u32 size, const struct dgram_cb *cb);
/* A transport's checksum, with the pseudo header, at p + off. */
void wire_checksum(u8 *p, u32 size, u32 off, u8 protocol, const struct dgram_cb *cb);
void ip6_header(u8 *p, u32 payload, u8 protocol, const struct dgram_cb *cb);
void ip_header(u8 *p, u32 total, u8 protocol, const struct dgram_cb *cb);
/* IP_HDRINCL: what the kernel fills into a header that its sender wrote: length, id, checksum. */
void ip_finish(u8 *p, u32 head, u32 total);

/* icmp.c: a packet of this protocol came in: raw socks get a copy. No reference is dropped here. */
void raw_deliver(struct net_ns *ns, s32 protocol, const u8 *p, u32 size, const struct dgram_cb *cb);
/* An ICMP message over the loopback; p is changed in place when it is answered. -LX_EPERM: rules say no. */
int icmp_input(struct net_ns *ns, const struct sock *from, u8 *p, u32 size, const struct dgram_cb *cb) must_check;
/* Do rules let an ICMP error about a datagram (of `size` bytes from its UDP header on) come back? */
bool icmp_error_passes(struct net_ns *ns, const struct dgram_cb *about, u8 type, u8 code, u32 size,
                       enum nf_why why) must_check;
/* The error that a host sends back about a packet that it could not deliver: to those who look. */
void icmp_show_error(struct net_ns *ns, const struct wire *about, const struct dgram_cb *cb,
                     u8 type, u8 code);
/* udp.c: a datagram, with its header, that a packet or raw socket sent. */
void udp_input(struct net_ns *ns, const struct dgram_cb *cb, const u8 *p, u32 size);

/* tcp_wire.c: steps of a connection as the segments that they stand for. */
struct tcp_sock;
void tcp_show_open(struct tcp_sock *c);
void tcp_show_refused(struct tcp_sock *c);
void tcp_show_data(struct tcp_sock *t, u64 pos, const u8 *data, u32 size, u64 peer_pos);
void tcp_show_fin(struct tcp_sock *t);
void tcp_show_rst(struct tcp_sock *t);
/* Bytes of a segment's payload that the receiver's filter takes. */
u32 tcp_filter(struct sock *receiver, struct tcp_sock *from, u64 pos, const u8 *data, u32 size);
bool tcp_filter_syn(struct sock *listener, struct tcp_sock *from);
/*
 * What rules make of a segment that t sends at position pos of its queue: 0; -LX_EAGAIN: it is
 * lost; -LX_ECONNRESET: a reset answers it; another errno: an ICMP error does.
 */
enum tcp_step { TCP_STEP_SYN, TCP_STEP_SYN_ACK, TCP_STEP_ACK, TCP_STEP_DATA, TCP_STEP_FIN, TCP_STEP_RST };
/* The SYN of t: as it arrives, in *ret_at. */
int tcp_judge_syn(const struct tcp_sock *t, struct dgram_cb *ret_at) must_check;
int tcp_judge(const struct tcp_sock *t, enum tcp_step step, u64 pos, u32 size) must_check;
/* The same of one that `from` (or NULL: nobody) sends to t. */
int tcp_judge_back(const struct tcp_sock *t, const struct sock *from, enum tcp_step step, u64 pos,
                   u32 size) must_check;

#endif
