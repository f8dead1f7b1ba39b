/*
 * Frames between virtual interfaces, and the thread that carries them.
 *
 * Sending on a virtual interface never enters the receiver: the frame is queued at the interface
 * that it arrives at, and one thread for all takes the queues in turn, a share each. So nothing
 * recurses however interfaces are put together, and a full queue is a frame lost, as on a wire.
 * An interface's queue is bounded in frames and bytes, all together by NET_MEM_MAX.
 *
 * Locks: wire_lock (rwlock) guards what is connected to what: peers, masters, ports, and what a
 * tun descriptor stands for. It is read-locked over the sending of a frame; below it are leaves
 * only: an interface's queue, a bridge's table, the pending list.
 */
#ifndef NET_STACK_FRAME_H
#define NET_STACK_FRAME_H

#include <linux/virtio_net.h>

#include "net/stack/stack.h"

#define FRAME_MAX 65568U /* 64 KiB of IP and an Ethernet header with a tag, rounded up */
#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

struct stk_frame {
    struct list node;
    struct virtio_net_hdr vnet; /* what is left to do: checksum, cutting; offsets in data */
    u32 size;
    u8 pad[2]; /* puts the IP header on a multiple of 4 */
    u8 data[]; /* an Ethernet frame */
};

extern struct rwlock wire_lock;

/* Charged to NET_MEM_MAX; NULL: no memory. */
struct stk_frame *frame_new(u32 size) must_check;
struct stk_frame *frame_copy(const struct stk_frame *f) must_check;
void frame_free(struct stk_frame *f);

/* Queues f at the interface that it arrives at. Consumes it. REQUIRES wire_lock for reading. */
void work_queue(struct stk_iface *to, struct stk_frame *f);
/* The interface's queue is emptied and it waits no more. */
void work_forget(struct stk_iface *ifc);

/* Sends f by ifc, whatever that is. Consumes it. EXCLUDES wire_lock. -LX_ENETDOWN, -LX_EAGAIN. */
int dev_xmit(struct stk_iface *ifc, struct stk_frame *f);
/* The same under wire_lock, read-locked. */
int dev_xmit_locked(struct stk_iface *ifc, struct stk_frame *f);
/* link.c: to the host. */
int link_xmit(struct stk_iface *ifc, struct stk_frame *f);
/* A frame arrived at ifc: looked at, counted, given to whoever it is for. Consumes it. No lock. */
void dev_receive(struct stk_iface *ifc, struct stk_frame *f);
/* The same, from the link layer's own buffer. */
void frame_input(struct stk_iface *ifc, const struct virtio_net_hdr *vnet, const u8 *frame,
                 u32 size);
/* Up the stack as what ifc received. */
void frame_deliver(struct stk_iface *ifc, const struct virtio_net_hdr *vnet, const u8 *frame,
                   u32 size);

/* gso.c: false: what is left to do makes no sense. */
bool frame_finish_csum(struct stk_frame *f) must_check;
/* Cuts what is to be cut; emit gets finished frames, which it consumes. Consumes f. */
void frame_split(struct stk_frame *f, void (*emit)(struct stk_frame *f, void *arg), void *arg);

/* ---- bridge.c ------------------------------------------------------------------------------ */

int bridge_new(struct stk_iface *br) must_check;
void bridge_free(struct stk_iface *br);
void bridge_join(struct stk_iface *br, struct stk_iface *port);
void bridge_leave(struct stk_iface *port);
/* Under wire_lock. Sends by the bridge; consumes f. */
void bridge_xmit(struct stk_iface *br, struct stk_frame *f);
/* Under wire_lock. A port's frame: f when it is for the bridge too, else NULL and consumed. */
struct stk_frame *bridge_receive(struct stk_iface *br, struct stk_iface *port, struct stk_frame *f);

/* Shows a frame that goes out to packet sockets. */
void link_show_output(struct stk_iface *ifc, const u8 *frame, u32 size, const struct sock *but);

#endif
