/* UDP over the stack (RFC 768): datagrams from and to the socks of inet/udp.c. */
#include "net/stack/error.h"
#include "net/stack/stack.h"

static u64 pseudo(const ipaddr *src, const ipaddr *dst, u8 protocol, u32 size)
{
    u8 tail[8] = {0};
    bool is_v4 = ipaddr_is_v4(dst);
    wr32(tail, size);
    tail[7] = protocol;
    u64 sum = csum_add(0, tail, 8);
    return is_v4 ? csum_add(csum_add(sum, src->b + 12, 4), dst->b + 12, 4)
                 : csum_add(csum_add(sum, src->b, 16), dst->b, 16);
}

int stk_udp_send(struct inet_sock *from, const struct nmsg *msg)
{
    struct netstack *stk = from->sk.ns->stack;
    const struct dgram_cb *cb = dgram_cb(msg);
    bool is_v4 = ipaddr_is_v4(&cb->daddr);
    s32 pmtu = is_v4 ? from->pmtudisc : from->pmtudisc6;
    struct ip_flow f = {.src = cb->saddr,
                        .dst = cb->daddr,
                        .protocol = PROTO_UDP,
                        .ttl = cb->ttl,
                        .tos = cb->tos,
                        .oif = cb->ifindex,
                        .owner = &from->sk,
                        .is_df = pmtu == LX_IP_PMTUDISC_DO || pmtu == LX_IP_PMTUDISC_PROBE ||
                                 (!is_v4 && inet_opt(from) & IPF6_DONTFRAG)};
    struct txbuf b;
    if (!stk_may_reach(stk, &cb->daddr, cb->dport))
        return -LX_EPERM;
    txb_init(&b);
    txb_data(&b, msg->data, msg->size);
    u8 *h = txb_push(&b, UDP_HLEN);
    u32 size = UDP_HLEN + msg->size;
    wr16(h, cb->sport);
    wr16(h + 2, cb->dport);
    wr16(h + 4, size);
    b.l4 = b.off;
    if (sock_has(&from->sk, SKF_NO_CHECK) && is_v4) {
        wr16(h + 6, 0);
    } else {
        csum_store(h + 6, pseudo(&f.src, &f.dst, PROTO_UDP, size), false);
        b.is_csum_partial = true;
        b.csum_offset = 6;
    }
    struct stk_path path = {0};
    int r = ip_send(stk, &f, &path, &b);
    if (unlikely(path.fate.is_lost) && path.fate.code != NF_SILENT) {
        bool is_hard;
        int err = nf_errno(!is_v4, path.fate.code, &is_hard);
        udp_error_arrived(stk->ns, cb, msg->data, msg->size, err,
                          is_v4 ? LX_ICMP_DEST_UNREACH : LX_ICMPV6_DEST_UNREACH, path.fate.code, 0);
    }
    return r == -LX_EAGAIN ? 0
                           : r; /* the link's queue is full: lost, as on Linux without IP_RECVERR */
}

static void deliver(struct rxpkt *p, u16 sport, u16 dport, const u8 *data, u32 size)
{
    struct nmsg *m = nmsg_new(size, NULL);
    if (!m) {
        STK_COUNT(p->ifc->stk, ip_in_discards);
        return;
    }
    memcpy(m->data, data, size);
    *dgram_cb(m) = stk_cb_of(p);
    dgram_cb(m)->sport = sport;
    dgram_cb(m)->dport = dport;
    if (!udp_arrived(p->ifc->stk->ns, m))
        icmp_unreachable(p, LX_ICMP_PORT_UNREACH);
}

void stk_udp_input(struct rxpkt *p)
{
    const u8 *h = p->data;
    bool is_v4 = ipaddr_is_v4(&p->dst);
    if (p->len < UDP_HLEN)
        goto bad;
    u32 size = rd16(h + 4);
    u16 sum = rd16(h + 6), sport = rd16(h), dport = rd16(h + 2);
    if (p->is_gso_udp)
        size = p->len; /* each piece's own length; the checksum is the host's to have checked */
    if (size < UDP_HLEN || size > p->len || (!sum && !is_v4))
        goto bad;
    if (sum && !p->is_csum_ok && !p->is_gso_udp &&
        csum_fold(csum_add(pseudo(&p->src, &p->dst, PROTO_UDP, size), h, size)) != 0xffff)
        goto bad;
    u32 piece = p->is_gso_udp && p->gso_size ? p->gso_size : size;
    for (u32 off = UDP_HLEN; off < size || off == UDP_HLEN; off += piece)
        deliver(p, sport, dport, h + off, MIN(piece, size - off));
    return;
bad:
    STK_COUNT(p->ifc->stk, udp_in_errs);
}

void udp_error(struct netstack *stk, const struct stk_quote *q)
{
    struct dgram_cb cb = {
        .saddr = q->src, .daddr = q->dst, .sport = rd16(q->l4), .dport = rd16(q->l4 + 2)};
    u32 size = q->l4_len > UDP_HLEN ? q->l4_len - UDP_HLEN : 0;
    udp_error_arrived(stk->ns, &cb, q->l4 + UDP_HLEN, size, q->err, q->type, q->code, q->mtu);
}
