/*
 * Forwarding: what a router does with a packet that is for somebody else (RFC 1812 5, RFC 8200).
 * It is on by net.ipv4.ip_forward and net.ipv6.conf.all.forwarding of the namespace.
 *
 * The packet goes on as it came but for its hop count: what its sender left to the link (checksum,
 * cutting) stays left. Redirects are not sent. Options of IPv4 are passed on and not acted upon.
 */
#include <stdlib.h>

#include "net/filter/hook.h"
#include "net/stack/frame.h"

#define MIN_MTU6 1280U

static bool is_forwarding(struct netstack *stk, bool is_v4)
{
    return is_v4 ? net_sysctl(stk->ns, NSYS_FORWARD4) || net_sysctl(stk->ns, NSYS_FORWARD4_ALL)
                 : net_sysctl(stk->ns, NSYS_FORWARD6);
}

/* Neither from nor to something that never leaves its link or its host. */
static bool may_pass(const struct rxpkt *p)
{
    struct netstack *stk = p->ifc->stk;
    bool is_v4 = ipaddr_is_v4(&p->dst);
    if (p->is_link_multicast || ipaddr_is_multicast(&p->dst) || ipaddr_is_multicast(&p->src) ||
        ipaddr_is_any(&p->src) || ipaddr_is_any(&p->dst) || ipaddr_is_loopback(&p->src) ||
        ipaddr_is_loopback(&p->dst) || stk_is_local(stk, &p->src) || stk_is_local(stk, &p->dst))
        return false;
    if (!is_v4)
        return !ipaddr_is_link_local(&p->src) && !ipaddr_is_link_local(&p->dst) &&
               !ipaddr_is_v4(&p->src);
    return p->src.b[12] != 127 && p->dst.b[12] != 127 && p->src.b[12] != 0 && p->dst.b[12] < 240 &&
           !stk_is_broadcast(stk, &p->src) && !stk_is_broadcast(stk, &p->dst);
}

static u32 ip_header_len(const struct rxpkt *p)
{
    return ipaddr_is_v4(&p->dst) ? (p->ip[0] & 15U) * 4 : IP6_HLEN;
}

static u16 dst_port(const struct rxpkt *p)
{
    bool has_ports = p->protocol == PROTO_TCP || p->protocol == PROTO_UDP;
    return has_ports && p->len >= 4 ? rd16(p->data + 2) : 0;
}

bool rx_is_partial(const struct rxpkt *p)
{
    return p->vnet && p->vnet->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM;
}

/* What rules of FORWARD and POSTROUTING say. NAT may change the source and the transport header. */
static bool is_let_through(struct rxpkt *p, const struct stk_path *path)
{
    struct net_ns *ns = p->ifc->stk->ns;
    bool is_v6 = !ipaddr_is_v4(&p->dst);
    if (!nf_is_on(ns, NF_FORWARD | NF_POST))
        return true;
    struct xt_packet x = {.src = p->src,
                          .dst = p->dst,
                          .protocol = p->protocol,
                          .tos = p->tos,
                          .ttl = p->ttl,
                          .is_v6 = is_v6,
                          .in = p->ifc->name,
                          .out = path->ifc->name,
                          .l4 = (u8 *)(uintptr_t)p->data, /* in a frame that is ours */
                          .l4_len = p->len,
                          .frag_off = is_v6 ? 0 : (rd16(p->ip + 6) & IP4_OFFSET) * 8,
                          .size = p->ip_len,
                          .csum = rx_is_partial(p) ? XT_CSUM_PSEUDO : XT_CSUM_WHOLE,
                          .mac = p->mac,
                          .masq = stk_iface_first_addr(path->ifc, is_v6),
                          .i = p->nf};
    struct nf_fate f = {.code = NF_SILENT};
    if (nf_is_on(ns, NF_FORWARD))
        f = nf_judge(ns, XT_FORWARD, &x);
    if (f.is_lost && f.is_reset)
        stk_tcp_reject(p);
    else if (f.is_lost && f.code != NF_SILENT)
        icmp_error_about(p, is_v6 ? LX_ICMPV6_DEST_UNREACH : LX_ICMP_DEST_UNREACH, f.code, 0);
    if (!f.is_lost && nf_is_on(ns, NF_POST)) {
        x.in = "";
        f = nf_judge(ns, XT_POSTROUTING, &x);
    }
    p->nf = x.i;
    p->src = x.src;
    return !f.is_lost;
}

/* ---- sending on ---------------------------------------------------------------------------- */

/* The header that it goes on with: one hop less, and the addresses that NAT gave it. */
static void put_header(u8 *h, const struct rxpkt *p, const u8 *from, u32 hlen)
{
    memcpy(h, from, hlen);
    if (!ipaddr_is_v4(&p->dst)) {
        h[7]--;
        memcpy(h + 8, p->src.b, 16);
        memcpy(h + 24, p->dst.b, 16);
        return;
    }
    h[8]--;
    memcpy(h + 12, p->src.b + 12, 4);
    memcpy(h + 16, p->dst.b + 12, 4);
}

static void sum_header(u8 *h, u32 hlen)
{
    memset(h + 10, 0, 2);
    csum_store(h + 10, csum_add(0, h, hlen), true);
}

/* The packet in one piece, its transport checksum filled in. malloc'ed. */
static u8 *whole(const struct rxpkt *p, u32 start, u32 offset, bool is_partial)
{
    u8 *all = malloc(p->ip_len);
    if (!all)
        return NULL;
    memcpy(all, p->ip, p->ip_len);
    if (is_partial) {
        csum_store(all + start + offset, csum_add(0, all + start, p->ip_len - start), true);
        if (p->protocol == PROTO_UDP && !all[start + offset] && !all[start + offset + 1])
            all[start + offset] = all[start + offset + 1] = 0xff;
    }
    return all;
}

/* Cuts an IPv4 packet for a narrower link; it may be a piece already. all: with its header. */
static void send_pieces(struct rxpkt *p, const struct stk_path *path, const u8 *all)
{
    struct netstack *stk = p->ifc->stk;
    u32 hlen = ip_header_len(p), size = p->ip_len - hlen, piece = (path->mtu - hlen) & ~7U;
    u32 flags = rd16(all + 6), base = flags & IP4_OFFSET;
    for (u32 off = 0; off < size; off += piece) {
        struct txbuf b;
        u32 n = MIN(piece, size - off);
        bool is_last = off + n == size && !(flags & IP4_MF);
        txb_init(&b);
        txb_data(&b, all + hlen + off, n);
        u8 *h = txb_push(&b, hlen);
        put_header(h, p, all, hlen);
        wr16(h + 2, hlen + n);
        wr16(h + 6, (base + off / 8) | (is_last ? 0 : IP4_MF));
        sum_header(h, hlen);
        if (neigh_send(path->ifc, &path->nexthop, &b, ETHTYPE_IP) < 0)
            return;
        STK_COUNT(stk, ip_frag_creates);
    }
    STK_COUNT(stk, ip_frag_oks);
}

static void send_on(struct rxpkt *p, const struct stk_path *path, bool is_v4)
{
    struct txbuf b;
    u32 hlen = ip_header_len(p);
    const struct virtio_net_hdr *v = p->vnet;
    txb_init(&b);
    txb_data(&b, p->ip + hlen, p->ip_len - hlen);
    u8 *h = txb_push(&b, hlen);
    put_header(h, p, p->ip, hlen);
    if (is_v4)
        sum_header(h, hlen);
    if (rx_is_partial(p)) {
        b.is_csum_partial = true;
        b.l4 = b.off + (v->csum_start - ETHER_HLEN);
        b.csum_offset = (u8)v->csum_offset;
    }
    b.gso_size = p->gso_size;
    b.is_gso_udp = p->is_gso_udp;
    b.is_gso_v6 = !is_v4;
    (void)neigh_send(path->ifc, &path->nexthop, &b,
                     is_v4 ? ETHTYPE_IP : ETHTYPE_IPV6); /* lost, as on the wire */
}

/* Where the sender left the checksum to be is inside the packet. */
static bool is_partial_sane(const struct rxpkt *p)
{
    const struct virtio_net_hdr *v = p->vnet;
    if (!rx_is_partial(p))
        return true;
    u32 at = v->csum_start;
    return at >= ETHER_HLEN + ip_header_len(p) && v->csum_offset <= 254 &&
           at + v->csum_offset + 2U <= ETHER_HLEN + p->ip_len;
}

/* Longer than the link takes. */
static void too_long(struct rxpkt *p, const struct stk_path *path, bool is_v4)
{
    const struct virtio_net_hdr *v = p->vnet;
    bool is_partial = rx_is_partial(p);
    if (!is_v4) {
        icmp_error_about(p, LX_ICMPV6_PKT_TOOBIG, 0, MAX(path->mtu, MIN_MTU6));
        return;
    }
    if (rd16(p->ip + 6) & IP4_DF || p->gso_size) {
        STK_COUNT(p->ifc->stk, ip_frag_fails);
        icmp_error_about(p, LX_ICMP_DEST_UNREACH, LX_ICMP_FRAG_NEEDED, path->mtu);
        return;
    }
    u8 *all = whole(p, is_partial ? v->csum_start - ETHER_HLEN : 0, is_partial ? v->csum_offset : 0,
                    is_partial);
    if (all)
        send_pieces(p, path, all);
    free(all);
}

static void no_way(struct rxpkt *p, int err, bool is_v4)
{
    STK_COUNT(p->ifc->stk, ip_no_routes);
    if (err == -LX_EINVAL)
        return; /* a black hole */
    if (is_v4)
        icmp_error_about(p, LX_ICMP_DEST_UNREACH,
                         err == -LX_EACCES         ? 13
                         : err == -LX_EHOSTUNREACH ? LX_ICMP_HOST_UNREACH
                                                   : LX_ICMP_NET_UNREACH,
                         0);
    else
        icmp_error_about(p, LX_ICMPV6_DEST_UNREACH, err == -LX_EACCES ? 1 : 0, 0);
}

bool ip_forward(struct rxpkt *p)
{
    struct netstack *stk = p->ifc->stk;
    bool is_v4 = ipaddr_is_v4(&p->dst);
    struct stk_path path;
    ipaddr src = p->src;
    if (!is_forwarding(stk, is_v4) || !may_pass(p))
        return false;
    if (!is_partial_sane(p))
        return true;
    if (p->ttl <= 1) {
        icmp_error_about(p, is_v4 ? LX_ICMP_TIME_EXCEEDED : LX_ICMPV6_TIME_EXCEED, 0, 0);
        return true;
    }
    int r = stk_route(stk, &p->dst, 0, &src, &path);
    if (r < 0) {
        no_way(p, r, is_v4);
        return true;
    }
    if (path.ifc->kind == DEV_LINK && !stk_may_reach(stk, &p->dst, dst_port(p)))
        return true;
    if (!is_let_through(p, &path))
        return true;
    STK_COUNT(stk, ip_forwarded);
    u32 l4 = p->protocol == PROTO_TCP && p->len > 12 ? (p->data[12] >> 4) * 4U : UDP_HLEN;
    u32 size = p->gso_size ? p->ip_len - p->len + l4 + p->gso_size : p->ip_len;
    if (size > path.mtu)
        too_long(p, &path, is_v4);
    else
        send_on(p, &path, is_v4);
    return true;
}
