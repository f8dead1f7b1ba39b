/*
 * The link: frames to and from the host by a packet socket with virtio headers.
 *
 * A reader takes a batch of frames into buffers of its own and hands one after another up;
 * nothing above keeps a pointer into them. Bigger frames than the interface's MTU are segments
 * that the host has not cut or has put together.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/log.h"
#include "net/packet.h"
#include "net/stack/frame.h"

#define BATCH        16
#define READER_STACK (256 * 1024)

struct slot {
    struct virtio_net_hdr vnet;
    u8 pad[6]; /* puts the IP header on a multiple of 16 */
    u8 frame[FRAME_MAX];
};

/* ---- packet sockets ------------------------------------------------------------------------ */

static void show(struct stk_iface *ifc, const u8 *frame, u32 size, u8 pkttype,
                 const struct sock *but)
{
    u32 skip = ifc->type == LX_ARPHRD_NONE ? ETHER_HLEN : 0; /* it has no headers of its own */
    struct packet_frame f = {.buf = frame + skip,
                             .size = size - skip,
                             .net = ETHER_HLEN - skip,
                             .protocol = rd16(frame + 12),
                             .hatype = (u16)ifc->type,
                             .ifindex = ifc->index,
                             .pkttype = pkttype};
    packet_show(ifc->stk->ns, &f, but);
}

static inline bool is_watched(const struct stk_iface *ifc)
{
    return unlikely(atomic_load_explicit(&ifc->stk->ns->nwatchers, memory_order_relaxed));
}

static void show_input(struct stk_iface *ifc, const u8 *frame, u32 size)
{
    static const u8 all[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    u8 type = !memcmp(frame, all, 6)    ? LX_PACKET_BROADCAST
              : frame[0] & 1            ? LX_PACKET_MULTICAST
              : !stk_mac_is(ifc, frame) ? LX_PACKET_OTHERHOST
                                        : LX_PACKET_HOST;
    show(ifc, frame, size, type, NULL);
}

void link_show_output(struct stk_iface *ifc, const u8 *frame, u32 size, const struct sock *but)
{
    if (is_watched(ifc))
        show(ifc, frame, size, LX_PACKET_OUTGOING, but);
}

int stk_packet_send(const struct sock *from, s32 ifindex, const u8 *frame, u32 size)
{
    struct netstack *stk = from->ns->stack;
    struct stk_iface *ifc = stk_iface(stk, ifindex);
    if (!ifc)
        return -LX_ENXIO;
    if (!stk_is_up(ifc))
        return -LX_ENETDOWN;
    if (stk->is_egress_limited)
        return -LX_EPERM;
    if (size > ifc->mtu + ETHER_HLEN + 4)
        return -LX_EMSGSIZE;
    struct stk_frame *f = frame_new(size);
    if (!f)
        return -LX_ENOBUFS;
    memcpy(f->data, frame, size);
    link_show_output(ifc, frame, size, from);
    int r = dev_xmit(ifc, f);
    return r == -LX_EAGAIN ? -LX_ENOBUFS : r;
}

/* ---- frames -------------------------------------------------------------------------------- */

void frame_deliver(struct stk_iface *ifc, const struct virtio_net_hdr *vnet, const u8 *frame,
                   u32 size)
{
    struct rxpkt p = {.ifc = ifc, .data = frame, .len = size, .vnet = vnet};
    u8 gso = vnet->gso_type & (u8)~VIRTIO_NET_HDR_GSO_ECN;
    p.is_csum_ok = vnet->flags & (VIRTIO_NET_HDR_F_NEEDS_CSUM | VIRTIO_NET_HDR_F_DATA_VALID);
    if (gso == VIRTIO_NET_HDR_GSO_TCPV4 || gso == VIRTIO_NET_HDR_GSO_TCPV6) {
        p.gso_size = vnet->gso_size;
    } else if (gso == VIRTIO_NET_HDR_GSO_UDP_L4) {
        p.gso_size = vnet->gso_size;
        p.is_gso_udp = true;
    } else if (gso != VIRTIO_NET_HDR_GSO_NONE) {
        STK_COUNT(ifc, rx_dropped);
        return;
    }
    eth_input(&p);
}

static void note_input(struct stk_iface *ifc, const u8 *frame, u32 size)
{
    STK_COUNT(ifc, rx_packets);
    atomic_fetch_add_explicit(&ifc->rx_bytes, size, memory_order_relaxed);
    if (is_watched(ifc))
        show_input(ifc, frame, size);
}

void dev_receive(struct stk_iface *ifc, struct stk_frame *f)
{
    if (!stk_is_up(ifc) || f->size < ETHER_HLEN) {
        frame_free(f);
        return;
    }
    note_input(ifc, f->data, f->size);
    if (unlikely(ifc->master)) {
        rwlock_rdlock(&wire_lock);
        struct stk_iface *br = ifc->master;
        if (br)
            f = bridge_receive(br, ifc, f);
        rwlock_rdunlock(&wire_lock);
        if (!f)
            return;
        if (br) { /* a slot of the same stack: good outside the lock too */
            ifc = br;
            note_input(ifc, f->data, f->size);
        }
    }
    frame_deliver(ifc, &f->vnet, f->data, f->size);
    frame_free(f);
}

void frame_input(struct stk_iface *ifc, const struct virtio_net_hdr *vnet, const u8 *frame,
                 u32 size)
{
    if (likely(!ifc->master)) {
        note_input(ifc, frame, size);
        frame_deliver(ifc, vnet, frame, size);
        return;
    }
    struct stk_frame *f = frame_new(size);
    if (!f) {
        STK_COUNT(ifc, rx_dropped);
        return;
    }
    f->vnet = *vnet;
    memcpy(f->data, frame, size);
    dev_receive(ifc, f);
}

static void *reader_main(void *arg)
{
    struct stk_iface *ifc = arg;
    struct slot *slots = calloc(BATCH, sizeof(*slots));
    struct mmsghdr msgs[BATCH];
    struct iovec iov[BATCH][2];
    if (!slots)
        panic("no memory for the frames of %s", ifc->name);
    for (int i = 0; i < BATCH; i++) {
        iov[i][0] = (struct iovec){&slots[i].vnet, sizeof(slots[i].vnet)};
        iov[i][1] = (struct iovec){slots[i].frame, FRAME_MAX};
        msgs[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = iov[i], .msg_iovlen = 2}};
    }
    for (;;) {
        int n = recvmmsg(ifc->fd, msgs, BATCH, MSG_WAITFORONE, NULL);
        if (n < 0) {
            if (errno == EINTR || errno == EAGAIN)
                continue;
            if (errno == ENETDOWN ||
                errno == ENOBUFS) { /* said once; frames come again when it is up */
                struct pollfd pfd = {ifc->fd, POLLIN, 0};
                (void)poll(&pfd, 1, 1000);
                continue;
            }
            log_error("the interface %s is gone: %d", ifc->name, errno);
            return NULL;
        }
        for (int i = 0; i < n; i++) {
            u32 size = msgs[i].msg_len;
            if (msgs[i].msg_hdr.msg_flags & MSG_TRUNC ||
                size < sizeof(struct virtio_net_hdr) + ETHER_HLEN)
                STK_COUNT(ifc, rx_errors);
            else
                frame_input(ifc, &slots[i].vnet, slots[i].frame,
                            size - (u32)sizeof(struct virtio_net_hdr));
        }
    }
}

int link_start(struct stk_iface *ifc)
{
    pthread_t th;
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, READER_STACK);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    int r = pthread_create(&th, &attr, reader_main, ifc);
    pthread_attr_destroy(&attr);
    return -r;
}

static void fill_vnet(struct virtio_net_hdr *v, const struct txbuf *b)
{
    *v = (struct virtio_net_hdr){.hdr_len = (u16)(TXB_ROOM - b->off)};
    if (b->is_csum_partial) {
        v->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
        v->csum_start = (u16)(b->l4 - b->off);
        v->csum_offset = b->csum_offset;
    }
    if (b->gso_size && b->data_len > b->gso_size) {
        v->gso_type = b->is_gso_udp  ? VIRTIO_NET_HDR_GSO_UDP_L4
                      : b->is_gso_v6 ? VIRTIO_NET_HDR_GSO_TCPV6
                                     : VIRTIO_NET_HDR_GSO_TCPV4;
        v->gso_size = b->gso_size;
    }
}

/* Hands a frame to the host. */
static int host_send(struct stk_iface *ifc, const struct virtio_net_hdr *vnet,
                     const struct iovec *parts, u32 nparts, u32 size)
{
    struct iovec iov[TXB_IOV + 2];
    iov[0] = (struct iovec){(void *)(uintptr_t)vnet, sizeof(*vnet)};
    memcpy(iov + 1, parts, nparts * sizeof(iov[0]));
    struct msghdr m = {.msg_iov = iov, .msg_iovlen = 1 + nparts};
    ssize_t n;
    while ((n = sendmsg(ifc->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL)) < 0 && errno == EINTR)
        ;
    if (n < 0) {
        int err = errno;
        STK_COUNT(ifc, tx_dropped);
        if (err == EAGAIN || err == ENOBUFS)
            return -LX_EAGAIN;
        log_debug("a frame of %u bytes was refused by %s: %d", size, ifc->name, err);
        return -LX_ENOBUFS;
    }
    STK_COUNT(ifc, tx_packets);
    atomic_fetch_add_explicit(&ifc->tx_bytes, size, memory_order_relaxed);
    return 0;
}

int link_xmit(struct stk_iface *ifc, struct stk_frame *f)
{
    struct iovec iov = {f->data, f->size};
    return host_send(ifc, &f->vnet, &iov, 1, f->size);
}

static void gather(u8 *to, const struct txbuf *b)
{
    u32 head = TXB_ROOM - b->off;
    memcpy(to, b->head + b->off, head);
    to += head;
    for (u32 i = 0; i < b->ndata; i++) {
        memcpy(to, b->data[i].iov_base, b->data[i].iov_len);
        to += b->data[i].iov_len;
    }
}

/* In one piece, for a virtual interface or for who looks at it. */
static struct stk_frame *frame_of(const struct txbuf *b)
{
    struct stk_frame *f = frame_new(txb_len(b));
    if (!f)
        return NULL;
    gather(f->data, b);
    fill_vnet(&f->vnet, b);
    return f;
}

int link_send(struct stk_iface *ifc, struct txbuf *b, const u8 dst_mac[6], u16 ether_type)
{
    u8 *eth = txb_push(b, ETHER_HLEN);
    memcpy(eth, dst_mac, 6);
    stk_mac(ifc, eth + 6);
    wr16(eth + 12, ether_type);
    bool is_host = ifc->kind == DEV_LINK;
    struct stk_frame *f = !is_host || is_watched(ifc) ? frame_of(b) : NULL;
    if (f)
        link_show_output(ifc, f->data, f->size, NULL); /* without memory nobody sees it */
    int r;
    if (is_host) {
        struct virtio_net_hdr vnet;
        struct iovec iov[TXB_IOV + 1];
        fill_vnet(&vnet, b);
        iov[0] = (struct iovec){eth, TXB_ROOM - b->off};
        memcpy(iov + 1, b->data, b->ndata * sizeof(iov[0]));
        r = host_send(ifc, &vnet, iov, 1 + b->ndata, txb_len(b));
        frame_free(f);
    } else {
        r = f ? dev_xmit(ifc, f) : -LX_ENOBUFS;
    }
    b->off += ETHER_HLEN;
    return r;
}
