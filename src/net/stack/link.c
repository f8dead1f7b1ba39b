/*
 * The link: frames to and from the host by a packet socket with virtio headers.
 *
 * A reader takes a batch of frames into buffers of its own and hands one after another up;
 * nothing above keeps a pointer into them. Bigger frames than the interface's MTU are segments
 * that the host has not cut or has put together.
 */
#include <errno.h>
#include <linux/virtio_net.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/log.h"
#include "net/packet.h"
#include "net/stack/stack.h"

#define FRAME_MAX 65568U /* 64 KiB of IP and an Ethernet header with a tag, rounded up */
#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

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
    struct packet_frame f = {.buf = frame,
                             .size = size,
                             .net = ETHER_HLEN,
                             .protocol = rd16(frame + 12),
                             .hatype = ifc->type,
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
    u8 type = !memcmp(frame, all, 6)       ? LX_PACKET_BROADCAST
              : frame[0] & 1               ? LX_PACKET_MULTICAST
              : memcmp(frame, ifc->mac, 6) ? LX_PACKET_OTHERHOST
                                           : LX_PACKET_HOST;
    show(ifc, frame, size, type, NULL);
}

/* What is sent, in one piece; without memory nobody sees it. */
static void show_output(struct stk_iface *ifc, const struct iovec *iov, u32 n)
{
    size_t size = 0;
    for (u32 i = 0; i < n; i++)
        size += iov[i].iov_len;
    u8 *buf = malloc(size), *at = buf;
    if (!buf)
        return;
    for (u32 i = 0; i < n; i++) {
        memcpy(at, iov[i].iov_base, iov[i].iov_len);
        at += iov[i].iov_len;
    }
    show(ifc, buf, (u32)size, LX_PACKET_OUTGOING, NULL);
    free(buf);
}

int stk_packet_send(const struct sock *from, s32 ifindex, const u8 *frame, u32 size)
{
    struct netstack *stk = from->ns->stack;
    struct stk_iface *ifc = stk ? stk_iface(stk, ifindex) : NULL;
    struct virtio_net_hdr vnet = {0};
    if (!ifc)
        return -LX_ENXIO;
    if (!(ifc->flags & LX_IFF_UP))
        return -LX_ENETDOWN;
    if (stk->is_egress_limited)
        return -LX_EPERM;
    if (size > ifc->mtu + ETHER_HLEN + 4)
        return -LX_EMSGSIZE;
    struct iovec iov[2] = {{&vnet, sizeof(vnet)}, {(void *)(uintptr_t)frame, size}};
    struct msghdr m = {.msg_iov = iov, .msg_iovlen = 2};
    if (is_watched(ifc))
        show(ifc, frame, size, LX_PACKET_OUTGOING, from);
    if (sendmsg(ifc->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        return -LX_ENOBUFS;
    STK_COUNT(ifc, tx_packets);
    atomic_fetch_add_explicit(&ifc->tx_bytes, size, memory_order_relaxed);
    return 0;
}

/* ---- frames -------------------------------------------------------------------------------- */

static void frame_input(struct stk_iface *ifc, const struct slot *s, u32 size)
{
    struct rxpkt p = {.ifc = ifc, .data = s->frame, .len = size};
    u8 gso = s->vnet.gso_type & (u8)~VIRTIO_NET_HDR_GSO_ECN;
    p.is_csum_ok = s->vnet.flags & (VIRTIO_NET_HDR_F_NEEDS_CSUM | VIRTIO_NET_HDR_F_DATA_VALID);
    if (gso == VIRTIO_NET_HDR_GSO_TCPV4 || gso == VIRTIO_NET_HDR_GSO_TCPV6) {
        p.gso_size = s->vnet.gso_size;
    } else if (gso == VIRTIO_NET_HDR_GSO_UDP_L4) {
        p.gso_size = s->vnet.gso_size;
        p.is_gso_udp = true;
    } else if (gso != VIRTIO_NET_HDR_GSO_NONE) {
        STK_COUNT(ifc, rx_dropped);
        return;
    }
    STK_COUNT(ifc, rx_packets);
    atomic_fetch_add_explicit(&ifc->rx_bytes, size, memory_order_relaxed);
    if (is_watched(ifc))
        show_input(ifc, s->frame, size);
    eth_input(&p);
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
                frame_input(ifc, &slots[i], size - (u32)sizeof(struct virtio_net_hdr));
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

int link_send(struct stk_iface *ifc, struct txbuf *b, const u8 dst_mac[6], u16 ether_type)
{
    struct virtio_net_hdr vnet = {0};
    struct iovec iov[TXB_IOV + 2];
    u8 *eth = txb_push(b, ETHER_HLEN);
    memcpy(eth, dst_mac, 6);
    memcpy(eth + 6, ifc->mac, 6);
    wr16(eth + 12, ether_type);
    u32 head = TXB_ROOM - b->off;
    if (b->is_csum_partial) {
        vnet.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
        vnet.csum_start = (u16)(b->l4 - b->off);
        vnet.csum_offset = b->csum_offset;
    }
    vnet.hdr_len = (u16)head;
    if (b->gso_size && b->data_len > b->gso_size) {
        vnet.gso_type = b->is_gso_v6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4;
        vnet.gso_size = b->gso_size;
    }
    iov[0] = (struct iovec){&vnet, sizeof(vnet)};
    iov[1] = (struct iovec){eth, head};
    memcpy(iov + 2, b->data, b->ndata * sizeof(iov[0]));
    struct msghdr m = {.msg_iov = iov, .msg_iovlen = 2 + b->ndata};
    if (is_watched(ifc))
        show_output(ifc, iov + 1, 1 + b->ndata);
    ssize_t n;
    while ((n = sendmsg(ifc->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL)) < 0 && errno == EINTR)
        ;
    int err = errno;
    b->off += ETHER_HLEN;
    if (n < 0) {
        STK_COUNT(ifc, tx_dropped);
        if (err == EAGAIN || err == ENOBUFS)
            return -LX_EAGAIN;
        log_debug("a frame of %u bytes was refused by %s: %d", head + b->data_len, ifc->name, err);
        return -LX_ENOBUFS;
    }
    STK_COUNT(ifc, tx_packets);
    atomic_fetch_add_explicit(&ifc->tx_bytes, head + b->data_len, memory_order_relaxed);
    return 0;
}
