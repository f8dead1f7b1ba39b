/* What a sender left to the link, done here for a receiver that wants finished packets. */
#include "net/stack/frame.h"

bool frame_finish_csum(struct stk_frame *f)
{
    struct virtio_net_hdr *v = &f->vnet;
    if (!(v->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM))
        return true;
    u32 start = v->csum_start, at = start + v->csum_offset;
    if (start > f->size || at + 2U > f->size)
        return false;
    u8 *field = f->data + at;
    csum_store(field, csum_add(0, f->data + start, f->size - start), true);
    if (v->csum_offset == 6 && !field[0] && !field[1])
        field[0] = field[1] = 0xff; /* UDP: 0 says that there is none */
    v->flags = 0;
    return true;
}

/* The headers of a TCP packet to be cut; false: it is none. */
static bool find_headers(const struct stk_frame *f, u32 *ret_ip, u32 *ret_tcp)
{
    const u8 *ip = f->data + ETHER_HLEN;
    bool is_v4 = (f->vnet.gso_type & ~VIRTIO_NET_HDR_GSO_ECN) == VIRTIO_NET_HDR_GSO_TCPV4;
    u32 left = f->size - ETHER_HLEN;
    if (f->size < ETHER_HLEN + IP6_HLEN || ip[0] >> 4 != (is_v4 ? 4 : 6) ||
        ip[is_v4 ? 9 : 6] != PROTO_TCP)
        return false;
    u32 hlen = is_v4 ? (ip[0] & 15U) * 4 : IP6_HLEN;
    if (hlen < IP4_HLEN || left < hlen + TCP_HLEN)
        return false;
    u32 tlen = (ip[hlen + 12] >> 4) * 4U;
    *ret_ip = hlen;
    *ret_tcp = tlen;
    return tlen >= TCP_HLEN && left >= hlen + tlen;
}

static void finish_piece(u8 *ip, u32 hlen, u32 tlen, u32 n, u32 index, u32 off, bool is_last)
{
    bool is_v4 = ip[0] >> 4 == 4;
    u8 *tcp = ip + hlen, tail[8] = {0};
    u32 l4 = tlen + n;
    wr32(tcp + 4, rd32(tcp + 4) + off);
    if (!is_last)
        tcp[13] &= (u8)~9U; /* FIN, PSH: the last one's */
    if (index)
        tcp[13] &= (u8)~0x80U; /* CWR: the first one's */
    if (is_v4) {
        wr16(ip + 2, hlen + l4);
        wr16(ip + 4, rd16(ip + 4) + index);
        memset(ip + 10, 0, 2);
        csum_store(ip + 10, csum_add(0, ip, hlen), true);
    } else {
        wr16(ip + 4, l4);
    }
    memset(tcp + 16, 0, 2);
    wr32(tail, l4);
    tail[7] = PROTO_TCP;
    u64 sum = csum_add(csum_add(0, tail, 8), ip + (is_v4 ? 12 : 8), is_v4 ? 8 : 32);
    csum_store(tcp + 16, csum_add(sum, tcp, l4), true);
}

void frame_split(struct stk_frame *f, void (*emit)(struct stk_frame *f, void *arg), void *arg)
{
    u32 hlen, tlen, size = f->vnet.gso_size;
    u8 type = f->vnet.gso_type & (u8)~VIRTIO_NET_HDR_GSO_ECN;
    if (type != VIRTIO_NET_HDR_GSO_TCPV4 && type != VIRTIO_NET_HDR_GSO_TCPV6)
        size = 0;
    if (size < 8 || !find_headers(f, &hlen, &tlen)) {
        frame_free(f);
        return;
    }
    u32 head = ETHER_HLEN + hlen + tlen, total = f->size - head;
    for (u32 off = 0, index = 0; off < total || !index; off += size, index++) {
        u32 n = MIN(size, total - off);
        struct stk_frame *p = frame_new(head + n);
        if (!p)
            break;
        memcpy(p->data, f->data, head);
        memcpy(p->data + head, f->data + head + off, n);
        finish_piece(p->data + ETHER_HLEN, hlen, tlen, n, index, off, off + n == total);
        emit(p, arg);
    }
    frame_free(f);
}
