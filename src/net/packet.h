/*
 * AF_PACKET: sockets that see and send whole frames of the namespace's interfaces, by queue or by
 * a ring that the guest maps (PACKET_RX_RING).
 */
#ifndef NET_PACKET_H
#define NET_PACKET_H

#include "net/mq.h"
#include "net/sock.h"

/* A frame that an interface sent or received. */
struct packet_frame {
    const u8 *buf;
    u32 size;
    u32 net;      /* offset of the network header: what the link header takes */
    u16 protocol; /* LX_ETH_P_*, host order */
    u16 hatype;
    s32 ifindex;
    u8 pkttype; /* LX_PACKET_HOST, _OUTGOING, … */
};
/*
 * Gives a copy to every packet sock that listens; `but` (who sent it, or NULL) gets none. Takes
 * leaves only and drops no references: may be called with the locks of inet held. Callers look at
 * ns->nwatchers first.
 */
void packet_show(struct net_ns *ns, const struct packet_frame *f, const struct sock *but);

/* ---- packet_ring.c ------------------------------------------------------------------------- */

enum { TPACKET_V1, TPACKET_V2, TPACKET_V3 };

struct packet_ring;
struct lx_tpacket_req3 {
    u32 block_size, block_nr, frame_size, frame_nr, retire_ms, priv_size, features;
};
/* -LX_EINVAL, -LX_ENOMEM. `wq` is woken when there is something to read; it outlives the ring. */
int packet_ring_new(const struct lx_tpacket_req3 *req, int version, u32 reserve, struct waitq *wq,
                    struct packet_ring **ret_r) must_check;
void packet_ring_free(struct packet_ring *r);
bool packet_ring_is_mapped(const struct packet_ring *r);
void packet_ring_mapped(struct packet_ring *r, bool is_more);
int packet_ring_host_fd(struct packet_ring *r, u64 offset, u64 size, bool is_writable_shared,
                        int *ret_fd, u64 *ret_offset) must_check;
/* One frame in, `keep` bytes of it from `from` on. False: the ring is full. */
bool packet_ring_put(struct packet_ring *r, const struct packet_frame *f, u32 from, u32 keep,
                     const struct lx_sockaddr_ll *sll, bool is_lossy, s64 stamp_ns);
bool packet_ring_is_readable(struct packet_ring *r);
u32 packet_header_size(int version); /* 0: no such version */

#endif
