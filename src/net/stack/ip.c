/*
 * IPv4 (RFC 791, 1122) and IPv6 (RFC 8200) of a host; routers see forward.c. Options of IPv4 are skipped,
 * extension headers of IPv6 are walked with a bound; a routing header with segments left is for
 * routers.
 */
#include <stdlib.h>

#include "net/filter/ct.h"
#include "net/stack/stack.h"

#define MAX_EXT_HEADERS 8

/* ---- sending ------------------------------------------------------------------------------- */

static void header4(struct netstack *stk, const struct ip_flow *f, struct txbuf *b, u16 id,
                    u16 frag)
{
    u32 total = txb_len(b) + IP4_HLEN;
    u8 *h = txb_push(b, IP4_HLEN);
    h[0] = 0x45;
    h[1] = f->tos;
    wr16(h + 2, total);
    wr16(h + 4, id);
    wr16(h + 6, frag);
    h[8] = f->ttl;
    h[9] = f->protocol;
    memset(h + 10, 0, 2);
    memcpy(h + 12, f->src.b + 12, 4);
    memcpy(h + 16, f->dst.b + 12, 4);
    csum_store(h + 10, csum_add(0, h, IP4_HLEN), true);
}

static void header6(const struct ip_flow *f, struct txbuf *b, u8 next)
{
    u32 payload = txb_len(b);
    u8 *h = txb_push(b, IP6_HLEN);
    wr32(h, 6U << 28 | (u32)f->tos << 20);
    wr16(h + 4, payload);
    h[6] = next;
    h[7] = f->ttl;
    memcpy(h + 8, f->src.b, 16);
    memcpy(h + 24, f->dst.b, 16);
}

/* Sends b in pieces that fit mtu. The checksum has to be ours then. */
static int send_fragments(struct netstack *stk, const struct ip_flow *f,
                          const struct stk_path *path, struct txbuf *b)
{
    bool is_v4 = ipaddr_is_v4(&f->dst);
    u32 size = txb_len(b), head = TXB_ROOM - b->off, hlen = is_v4 ? IP4_HLEN : IP6_HLEN + 8;
    u32 piece = (path->mtu - hlen) & ~7U, id = atomic_fetch_add(&stk->ip_id, 1);
    u8 *all = malloc(size), *at = all;
    int r = 0;
    if (!all)
        return -LX_ENOBUFS;
    memcpy(at, b->head + b->off, head);
    at += head;
    for (u32 i = 0; i < b->ndata; i++) {
        memcpy(at, b->data[i].iov_base, b->data[i].iov_len);
        at += b->data[i].iov_len;
    }
    if (b->is_csum_partial) { /* the field holds the pseudo header's sum */
        u8 *field = all + b->csum_offset;
        u64 sum = csum_add(0, all, size);
        csum_store(field, sum, true);
        if (f->protocol == PROTO_UDP && !field[0] && !field[1])
            field[0] = field[1] = 0xff;
    }
    for (u32 off = 0; off < size && r == 0; off += piece) {
        struct txbuf t;
        u32 n = MIN(piece, size - off);
        bool is_last = off + n == size;
        txb_init(&t);
        txb_data(&t, all + off, n);
        if (is_v4) {
            header4(stk, f, &t, (u16)id, (u16)(off / 8 | (is_last ? 0 : IP4_MF)));
        } else {
            u8 *h = txb_push(&t, 8);
            h[0] = f->protocol;
            h[1] = 0;
            wr16(h + 2, off | !is_last);
            wr32(h + 4, id);
            header6(f, &t, PROTO_FRAGMENT);
        }
        r = neigh_send(path->ifc, &path->nexthop, &t, is_v4 ? ETHTYPE_IP : ETHTYPE_IPV6);
        STK_COUNT(stk, ip_frag_creates);
    }
    free(all);
    if (r == 0)
        STK_COUNT(stk, ip_frag_oks);
    return r;
}

#define RULES_SEE 192U /* bytes of an ICMP message, for what it quotes */

/* A packet of ours as rules see it. copy: room for an ICMP message. */
static struct xt_packet packet_out(const struct ip_flow *f, const struct txbuf *b, u8 copy[RULES_SEE])
{
    bool is_v6 = !ipaddr_is_v4(&f->dst), has_head = b->off < TXB_ROOM || !b->ndata;
    struct xt_packet p = {.src = f->src,
                          .dst = f->dst,
                          .protocol = f->protocol,
                          .tos = f->tos,
                          .ttl = f->ttl,
                          .is_v6 = is_v6,
                          .in = "",
                          .size = txb_len(b) + (is_v6 ? IP6_HLEN : IP4_HLEN)};
    p.l4 = has_head ? (u8 *)(uintptr_t)b->head + b->off : b->data[0].iov_base;
    p.l4_len = has_head ? TXB_ROOM - b->off : (u32)b->data[0].iov_len;
    if (p.protocol == PROTO_TCP || p.protocol == PROTO_UDP) {
        bool has_none = has_head && !b->is_csum_partial; /* UDP without */
        p.csum = b->is_csum_partial ? XT_CSUM_PSEUDO : has_none ? XT_CSUM_NONE : XT_CSUM_WHOLE;
    } else if (has_head && b->ndata && p.l4_len < RULES_SEE) {
        u32 more = MIN((u32)b->data[0].iov_len, RULES_SEE - p.l4_len);
        memcpy(copy, p.l4, p.l4_len);
        memcpy(copy + p.l4_len, b->data[0].iov_base, more);
        p.l4 = copy;
        p.l4_len += more;
    }
    nf_set_owner(&p, f->owner);
    p.i.state = f->is_answer ? CT_RELATED : CT_NONE;
    return p;
}

/* NAT has made the destination another. */
static int route_again(struct netstack *stk, const struct ip_flow *f, const struct xt_packet *p,
                       struct stk_path *path)
{
    ipaddr src = f->src;
    bool has_port = (p->protocol == PROTO_TCP || p->protocol == PROTO_UDP) && p->l4_len >= 4;
    if (p->i.dir != CT_REPLY && !stk_may_reach(stk, &p->dst, has_port ? rd16(p->l4 + 2) : 0))
        return -LX_EPERM;
    if (ipaddr_is_local(stk->ns, &p->dst)) /* too late: those who send ask before */
        return -LX_EPERM;
    return stk_route(stk, &p->dst, 0, &src, path);
}

/* What rules of OUTPUT and POSTROUTING make of b, which holds the transport header. They may change *f and *path. */
static int judge_output(struct netstack *stk, struct ip_flow *f, struct stk_path *path, const struct txbuf *b)
{
    u8 copy[RULES_SEE];
    struct xt_packet p = packet_out(f, b, copy);
    struct nf_fate fate = {.code = NF_SILENT};
    int r = 0;
    p.out = path->ifc->name;
    if (nf_is_on(stk->ns, NF_OUT))
        fate = nf_judge(stk->ns, XT_OUTPUT, &p);
    if (!fate.is_lost && !ipaddr_equal(&p.dst, &f->dst))
        r = route_again(stk, f, &p, path);
    if (!fate.is_lost && r == 0 && nf_is_on(stk->ns, NF_POST)) {
        p.out = path->ifc->name;
        p.masq = stk_iface_first_addr(path->ifc, p.is_v6);
        fate = nf_judge(stk->ns, XT_POSTROUTING, &p);
    }
    nf_done(&p);
    f->src = p.src;
    f->dst = p.dst;
    if (fate.is_lost) {
        path->fate = fate;
        r = -LX_EPERM;
    }
    if (r < 0)
        STK_COUNT(stk, ip_out_discards);
    return r;
}

int ip_send(struct netstack *stk, const struct ip_flow *f, struct stk_path *path, struct txbuf *b)
{
    struct stk_path own = {0};
    bool is_v4 = ipaddr_is_v4(&f->dst);
    if (!path)
        path = &own;
    if (!path->ifc || path->gen != atomic_load_explicit(&stk->gen, memory_order_relaxed)) {
        ipaddr src = f->src;
        int r = stk_route(stk, &f->dst, f->oif, &src, path);
        if (r < 0) {
            path->ifc = NULL;
            STK_COUNT(stk, ip_no_routes);
            return r;
        }
    }
    STK_COUNT(stk, ip_out);
    u32 hlen = is_v4 ? IP4_HLEN : IP6_HLEN, size = txb_len(b) + hlen;
    if (size > 65535 + (is_v4 ? 0 : IP6_HLEN))
        return -LX_EMSGSIZE;
    struct ip_flow own_flow = *f;
    struct stk_path own_path = *path;
    if (nf_is_on(stk->ns, NF_OUT | NF_POST)) {
        int r = judge_output(stk, &own_flow, &own_path, b);
        path->fate = own_path.fate;
        if (r < 0)
            return r;
        f = &own_flow;
        path = &own_path;
    }
    if (size > path->mtu && !b->gso_size) {
        if (f->is_df) {
            STK_COUNT(stk, ip_frag_fails);
            return -LX_EMSGSIZE;
        }
        return send_fragments(stk, f, path, b);
    }
    if (is_v4)
        header4(stk, f, b, (u16)atomic_fetch_add_explicit(&stk->ip_id, 1, memory_order_relaxed),
                f->protocol == PROTO_TCP || f->is_df ? IP4_DF : 0);
    else
        header6(f, b, f->protocol);
    return neigh_send(path->ifc, &path->nexthop, b, is_v4 ? ETHTYPE_IP : ETHTYPE_IPV6);
}

/* ---- receiving ----------------------------------------------------------------------------- */

void eth_input(struct rxpkt *p)
{
    const u8 *e = p->data;
    u16 type = rd16(e + 12);
    p->is_link_multicast = e[0] & 1;
    if (p->is_link_multicast)
        STK_COUNT(p->ifc, rx_multicast);
    else if (!stk_mac_is(p->ifc, e))
        return; /* somebody else's */
    p->data += ETHER_HLEN;
    p->len -= ETHER_HLEN;
    p->mac = e + 6;
    if (!(p->ifc->flags & LX_IFF_UP))
        return;
    switch (type) {
    case ETHTYPE_IP:
        ip_input(p, false);
        break;
    case ETHTYPE_IPV6:
        if (!net_sysctl(p->ifc->stk->ns, NSYS_IPV6_DISABLED))
            ip_input(p, true);
        break;
    case ETHTYPE_ARP:
        arp_input(p);
        break;
    }
}

static void set_ip(struct rxpkt *p, u32 total, u32 header)
{
    p->ip = p->data;
    p->ip_len = total;
    p->data += header;
    p->len = total - header;
}

/* Would an answer leave by the interface that it came by (1), or by any (2)? RFC 3704. */
static bool is_from_elsewhere(struct rxpkt *p)
{
    s64 mode = net_sysctl(p->ifc->stk->ns, NSYS_RP_FILTER);
    struct stk_path path;
    ipaddr src = p->dst;
    if (likely(!mode) || ipaddr_is_any(&p->src) || ipaddr_to_v4(&p->src) == 0)
        return false;
    int r = stk_route(p->ifc->stk, &p->src, 0, &src, &path);
    return r < 0 || (mode == 1 && path.ifc != p->ifc);
}

/* Can the source be a host that is not us? */
static bool is_martian(struct rxpkt *p)
{
    struct netstack *stk = p->ifc->stk;
    bool is_v4 = ipaddr_is_v4(&p->dst);
    if (ipaddr_is_multicast(&p->src) || stk_is_broadcast(stk, &p->src) ||
        (stk_is_local(stk, &p->src) && !(is_v4 && net_sysctl(stk->ns, NSYS_ACCEPT_LOCAL))))
        return true;
    if (is_v4 && is_from_elsewhere(p))
        return true;
    return is_v4 ? p->src.b[12] == 127 || p->dst.b[12] == 127
                 : (p->src.d[0] == 0 && p->src.w[2] == 0 && p->src.w[3] == net32(1)) ||
                       ipaddr_is_v4(&p->src);
}

static bool is_for_us(struct rxpkt *p)
{
    struct netstack *stk = p->ifc->stk;
    p->is_dst_local = stk_is_local(stk, &p->dst);
    p->is_ours = p->is_dst_local || ipaddr_is_multicast(&p->dst) || stk_is_broadcast(stk, &p->dst);
    return p->is_ours;
}

/* Is it worth going on with here? What is not for us may be so after NAT, or goes on elsewhere. */
static bool is_taken(struct rxpkt *p)
{
    struct netstack *stk = p->ifc->stk;
    if (!is_martian(p)) {
        if (nf_is_on(stk->ns, NF_PRE) || is_for_us(p))
            return true;
        if (ip_forward(p))
            return false;
    }
    STK_COUNT(stk, ip_in_addr_errors);
    return false;
}

static void input4(struct rxpkt *p)
{
    struct netstack *stk = p->ifc->stk;
    const u8 *h = p->data;
    if (p->len < IP4_HLEN || h[0] >> 4 != 4) {
        STK_COUNT(stk, ip_in_hdr_errors);
        return;
    }
    u32 header = (h[0] & 15U) * 4, total = rd16(h + 2);
    if (header < IP4_HLEN || total < header || total > p->len ||
        csum_fold(csum_add(0, h, header)) != 0xffff) {
        STK_COUNT(stk, ip_in_hdr_errors);
        return;
    }
    u32 a;
    memcpy(&a, h + 12, 4);
    p->src = ipaddr_v4(a);
    memcpy(&a, h + 16, 4);
    p->dst = ipaddr_v4(a);
    p->tos = h[1];
    p->ttl = h[8];
    p->protocol = h[9];
    u32 frag = rd16(h + 6), id = rd16(h + 4);
    set_ip(p, total, header);
    if (!is_taken(p))
        return;
    if (frag & (IP4_MF | IP4_OFFSET))
        frag_input(p, id, (frag & IP4_OFFSET) * 8, !(frag & IP4_MF));
    else
        ip_whole(p);
}

static void input6(struct rxpkt *p)
{
    struct netstack *stk = p->ifc->stk;
    const u8 *h = p->data;
    if (p->len < IP6_HLEN || h[0] >> 4 != 6) {
        STK_COUNT(stk, ip_in_hdr_errors);
        return;
    }
    u32 payload = rd16(h + 4);
    if (payload + IP6_HLEN > p->len) {
        STK_COUNT(stk, ip_in_hdr_errors);
        return;
    }
    memcpy(p->src.b, h + 8, 16);
    memcpy(p->dst.b, h + 24, 16);
    p->tos = (u8)(rd32(h) >> 20);
    p->ttl = h[7];
    u8 next = p->protocol = h[6];
    set_ip(p, payload + IP6_HLEN, IP6_HLEN);
    if (!is_taken(p))
        return;
    for (u32 i = 0; i < MAX_EXT_HEADERS; i++) {
        const u8 *x = p->data;
        if (next == PROTO_FRAGMENT) {
            if (p->len < 8)
                return;
            p->protocol = x[0];
            u32 off = rd16(x + 2), id = rd32(x + 4);
            p->data += 8;
            p->len -= 8;
            if (off & ~6U) /* not one whole datagram (RFC 6946) */
                frag_input(p, id, off & ~7U, !(off & 1));
            else
                ip_whole(p);
            return;
        }
        if (next != PROTO_HOPOPTS && next != PROTO_DSTOPTS && next != PROTO_ROUTING) {
            p->protocol = next;
            ip_whole(p);
            return;
        }
        if (p->len < 8 || p->len < (x[1] + 1U) * 8 || (next == PROTO_ROUTING && x[3]) ||
            (next == PROTO_HOPOPTS && i))
            break;
        next = x[0];
        u32 size = (x[1] + 1U) * 8;
        p->data += size;
        p->len -= size;
    }
    STK_COUNT(stk, ip_in_hdr_errors);
}

void ip_input(struct rxpkt *p, bool is_v6)
{
    STK_COUNT(p->ifc->stk, ip_in);
    if (is_v6)
        input6(p);
    else
        input4(p);
}

struct dgram_cb stk_cb_of(const struct rxpkt *p)
{
    return (struct dgram_cb){
        .saddr = p->src, .daddr = p->dst, .tos = p->tos, .ttl = p->ttl, .ifindex = p->ifc->index};
}

/* What rules make of p at a hook. False: it is lost. NAT may change its addresses and ports. */
static bool judge_input(struct rxpkt *p, enum xt_hook hook)
{
    bool is_v6 = !ipaddr_is_v4(&p->dst);
    struct xt_packet x = {
        .src = p->src,
        .dst = p->dst,
        .protocol = p->protocol,
        .tos = p->tos,
        .ttl = p->ttl,
        .is_v6 = is_v6,
        .in = p->ifc->name,
        .out = "",
        .l4 = (u8 *)(uintptr_t)p->data, /* in the reader's buffer */
        .l4_len = p->len,
        .size = p->ip_len,
        .csum = rx_is_partial(p) ? XT_CSUM_PSEUDO : XT_CSUM_WHOLE,
        .mac = p->mac,
        .masq = stk_iface_first_addr(p->ifc, is_v6),
        .i = p->nf,
    };
    struct nf_fate f = nf_judge(p->ifc->stk->ns, hook, &x);
    p->nf = x.i;
    p->is_refused = f.is_lost;
    p->src = x.src;
    p->dst = x.dst;
    if (f.is_reset)
        stk_tcp_reject(p);
    else if (f.code != NF_SILENT)
        icmp_reject(p, f.code);
    return !f.is_lost;
}

void ip_whole(struct rxpkt *p)
{
    bool is_let = true;
    if (nf_is_on(p->ifc->stk->ns, NF_PRE)) {
        is_let = judge_input(p, XT_PREROUTING) && !ipaddr_is_loopback(&p->dst);
        if (is_let && !is_for_us(p) && !ip_forward(p))
            STK_COUNT(p->ifc->stk, ip_in_addr_errors);
    }
    if (is_let && p->is_ours)
        ip_deliver(p);
    nf_release(&p->nf);
}

void ip_deliver(struct rxpkt *p)
{
    struct netstack *stk = p->ifc->stk;
    bool is_v4 = ipaddr_is_v4(&p->dst);
    if (nf_is_on(stk->ns, NF_IN) && !judge_input(p, XT_INPUT))
        return;
    STK_COUNT(stk, ip_in_delivers);
    if (p->protocol != (is_v4 ? PROTO_ICMP : PROTO_ICMPV6) && inet_has_raw(stk->ns)) {
        struct dgram_cb cb = stk_cb_of(p);
        icmp_arrived(stk->ns, p->protocol, p->data, p->len, &cb);
    }
    switch (p->protocol) {
    case PROTO_TCP:
        stk_tcp_input(p);
        break;
    case PROTO_UDP:
        stk_udp_input(p);
        break;
    case PROTO_ICMP:
        if (is_v4)
            icmp4_input(p);
        break;
    case PROTO_ICMPV6:
        if (!is_v4)
            icmp6_input(p);
        break;
    case PROTO_IGMP:
        if (is_v4)
            igmp_input(p);
        break;
    default:
        if (!inet_has_raw(stk->ns))
            icmp_unreachable(p, LX_ICMP_PROT_UNREACH);
    }
}
