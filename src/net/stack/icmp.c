/*
 * ICMP (RFC 792, 1122), ICMPv6 (RFC 4443) and the host's part of neighbour discovery (RFC 4861):
 * echo, errors in and out, neighbour solicitation and advertisement. Router advertisements are not
 * acted upon: addresses and routes are those that the namespace had.
 */
#include "net/filter/ct.h"
#include "net/stack/error.h"
#include "net/stack/stack.h"

#define ND_SOLICIT   135
#define ND_ADVERT    136
#define ND_OPT_SLLA  1
#define ND_OPT_TLLA  2
#define QUOTE_MAX4   548U
#define QUOTE_MAX6   1232U
#define ERROR_GAP_NS (NSEC_PER_SEC / 1000) /* 1,000 errors a second, */
#define ERROR_BURST  50                    /* 50 at once */

static u64 pseudo6(const ipaddr *src, const ipaddr *dst, u32 size)
{
    u8 tail[8] = {0};
    wr32(tail, size);
    tail[7] = PROTO_ICMPV6;
    return csum_add(csum_add(csum_add(0, src->b, 16), dst->b, 16), tail, 8);
}

/* Sends an ICMP message that is complete but for its checksum. */
static int send_icmp(struct netstack *stk, const struct ip_flow *f, const u8 *msg, u32 size,
                     const u8 *more, u32 more_size)
{
    struct txbuf b;
    txb_init(&b);
    u8 *h = txb_push(&b, size);
    memcpy(h, msg, size);
    memset(h + 2, 0, 2);
    txb_data(&b, more, more_size);
    u64 sum = ipaddr_is_v4(&f->dst) ? 0 : pseudo6(&f->src, &f->dst, size + more_size);
    csum_store(h + 2, csum_add(csum_add(sum, h, size), more, more_size), true);
    STK_COUNT(stk, icmp_out);
    return ip_send(stk, f, NULL, &b);
}

/* ---- errors out ---------------------------------------------------------------------------- */

static bool may_send_error(void)
{
    static _Atomic s64 next; /* the time at which the bucket is empty, as Linux's global limit */
    s64 now = clock_mono_ns(), at = next;
    if (at < now - ERROR_BURST * ERROR_GAP_NS)
        at = now - ERROR_BURST * ERROR_GAP_NS;
    if (at > now)
        return false;
    next = at + ERROR_GAP_NS;
    return true;
}

static void send_error(struct rxpkt *p, u8 type, u8 code, u32 word)
{
    bool is_v4 = ipaddr_is_v4(&p->dst);
    if (!p->is_dst_local || p->is_link_multicast || ipaddr_is_any(&p->src) || !may_send_error())
        return;
    u8 h[ICMP_HLEN] = {type, code};
    wr32(h + 4, word);
    struct ip_flow f = {
        .src = p->dst,
        .dst = p->src,
        .protocol = is_v4 ? PROTO_ICMP : PROTO_ICMPV6,
        .ttl = 64,
        .is_answer = p->is_refused,
    };
    u32 quote = MIN(p->ip_len, is_v4 ? QUOTE_MAX4 : QUOTE_MAX6);
    STK_COUNT(p->ifc->stk, icmp_out_unreach);
    (void)send_icmp(p->ifc->stk, &f, h, sizeof(h), p->ip, quote); /* a lost error is allowed */
}

void icmp_unreachable(struct rxpkt *p, u8 code)
{
    if (ipaddr_is_v4(&p->dst))
        send_error(p, LX_ICMP_DEST_UNREACH, code, 0);
    else if (code == LX_ICMP_PROT_UNREACH)
        send_error(p, 4, 1, 6); /* a parameter problem that points at the next header field */
    else
        send_error(p, LX_ICMPV6_DEST_UNREACH, LX_ICMPV6_PORT_UNREACH, 0);
}

void icmp_reject(struct rxpkt *p, u8 code)
{
    send_error(p, ipaddr_is_v4(&p->dst) ? LX_ICMP_DEST_UNREACH : LX_ICMPV6_DEST_UNREACH, code, 0);
}

/* Is it an answer, or an error itself? About those there is none. */
static bool is_icmp_error(const struct rxpkt *p)
{
    bool is_v4 = ipaddr_is_v4(&p->dst);
    if (p->protocol != (is_v4 ? PROTO_ICMP : PROTO_ICMPV6) || !p->len)
        return false;
    u8 type = p->data[0];
    return is_v4 ? type != LX_ICMP_ECHO && type != LX_ICMP_ECHOREPLY && type != LX_ICMP_TIMESTAMP
                 : type < 128;
}

void icmp_error_about(struct rxpkt *p, u8 type, u8 code, u32 info)
{
    struct netstack *stk = p->ifc->stk;
    bool is_v4 = ipaddr_is_v4(&p->dst);
    struct stk_path path;
    u8 h[ICMP_HLEN] = {type, code};
    ipaddr any = {0};
    struct ip_flow f = {.src = is_v4 ? ipaddr_v4(0) : any,
                        .dst = p->src,
                        .protocol = is_v4 ? PROTO_ICMP : PROTO_ICMPV6,
                        .ttl = 64};
    bool is_later = is_v4 && rd16(p->ip + 6) & IP4_OFFSET;
    if (p->is_link_multicast || is_later || is_icmp_error(p) || !may_send_error() ||
        stk_route(stk, &f.dst, 0, &f.src, &path) < 0)
        return;
    wr32(h + 4, info);
    u32 quote = MIN(p->ip_len, is_v4 ? QUOTE_MAX4 : QUOTE_MAX6);
    STK_COUNT(stk, icmp_out_unreach);
    (void)send_icmp(stk, &f, h, sizeof(h), p->ip, quote); /* a lost error is allowed */
}

/* ---- errors in ----------------------------------------------------------------------------- */

/* What the quoted packet was when its sender made it. */
static void before_nat(struct netstack *stk, struct stk_quote *q, u8 l4[QUOTE_MAX6])
{
    if (q->protocol != PROTO_TCP && q->protocol != PROTO_UDP)
        return;
    struct ct_tuple t = {.src = q->src, .dst = q->dst, .sport = rd16(q->l4), .dport = rd16(q->l4 + 2),
                         .protocol = q->protocol};
    ct_unmap(stk->ns->ct_ns, &t);
    q->l4_len = MIN(q->l4_len, QUOTE_MAX6);
    memcpy(l4, q->l4, q->l4_len);
    wr16(l4, t.sport);
    wr16(l4 + 2, t.dport);
    q->l4 = l4;
    q->src = t.src;
    q->dst = t.dst;
}

void stk_error_quoted(struct netstack *stk, const u8 *ip, u32 len, bool is_v6, int err, u8 type,
                      u8 code, u32 mtu)
{
    struct stk_quote q = {.err = err, .code = code, .mtu = mtu, .is_v6 = is_v6};
    u32 header;
    if (is_v6) {
        if (len < IP6_HLEN)
            return;
        memcpy(q.src.b, ip + 8, 16);
        memcpy(q.dst.b, ip + 24, 16);
        q.protocol = ip[6];
        header = IP6_HLEN;
        q.type = err == LX_EMSGSIZE ? 2 : err == LX_EPROTO ? 3 : LX_ICMPV6_DEST_UNREACH;
    } else {
        if (len < IP4_HLEN)
            return;
        u32 a;
        memcpy(&a, ip + 12, 4);
        q.src = ipaddr_v4(a);
        memcpy(&a, ip + 16, 4);
        q.dst = ipaddr_v4(a);
        q.protocol = ip[9];
        header = (ip[0] & 15U) * 4;
        if (rd16(ip + 6) & IP4_OFFSET)
            return; /* a later piece has no ports */
        q.type = err == LX_EPROTO ? LX_ICMP_PARAMETERPROB : LX_ICMP_DEST_UNREACH;
    }
    if (type)
        q.type = type;
    if (header > len || len - header < 8)
        return;
    q.l4 = ip + header;
    q.l4_len = len - header;
    u8 l4[QUOTE_MAX6];
    if (nf_is_on(stk->ns, NF_TRACK))
        before_nat(stk, &q, l4);
    if (!stk_is_local(stk, &q.src))
        return;
    q.is_hard = err == LX_ECONNREFUSED || err == LX_ENOPROTOOPT;
    if (err == LX_EMSGSIZE && mtu)
        stk_pmtu_learn(stk, &q.dst, mtu);
    if (q.protocol == PROTO_TCP)
        tcp_error(stk, &q);
    else if (q.protocol == PROTO_UDP)
        udp_error(stk, &q);
}

/* Linux's icmp_err_convert. */
static int unreach_errno4(u8 code)
{
    static const u8 errs[] = {LX_ENETUNREACH,  LX_EHOSTUNREACH, LX_ENOPROTOOPT,  LX_ECONNREFUSED,
                              LX_EMSGSIZE,     LX_EOPNOTSUPP,   LX_ENETUNREACH,  LX_EHOSTDOWN,
                              LX_ENONET,       LX_ENETUNREACH,  LX_EHOSTUNREACH, LX_ENETUNREACH,
                              LX_EHOSTUNREACH, LX_EHOSTUNREACH, LX_EHOSTUNREACH, LX_EHOSTUNREACH};
    return code < ARRAY_SIZE(errs) ? errs[code] : LX_EHOSTUNREACH;
}

/* A router without RFC 1191 tells no MTU: the next lower common one. */
static u32 guess_mtu(const u8 *ip)
{
    static const u16 steps[] = {32000, 17914, 8166, 4352, 2002, 1492, 576};
    u32 total = rd16(ip + 2);
    for (size_t i = 0; i < ARRAY_SIZE(steps); i++)
        if (steps[i] < total)
            return steps[i];
    return 552;
}

static void raw_see(struct rxpkt *p, s32 protocol)
{
    struct dgram_cb cb = stk_cb_of(p);
    icmp_arrived(p->ifc->stk->ns, protocol, p->data, p->len, &cb);
}

/* From the address by which its sender is reached. */
static void reply_for_group(struct rxpkt *p)
{
    ipaddr to = p->dst;
    struct stk_path path;
    p->dst = ipaddr_v4(0);
    if (stk_route(p->ifc->stk, &p->src, p->ifc->index, &p->dst, &path) == 0)
        icmp_send_echo_reply(p);
    p->dst = to;
}

void icmp4_input(struct rxpkt *p)
{
    struct netstack *stk = p->ifc->stk;
    const u8 *h = p->data;
    STK_COUNT(stk, icmp_in);
    if (p->len < ICMP_HLEN || csum_fold(csum_add(0, h, p->len)) != 0xffff) {
        STK_COUNT(stk, icmp_in_errors);
        return;
    }
    raw_see(p, LX_IPPROTO_ICMP);
    switch (h[0]) {
    case LX_ICMP_ECHO:
        STK_COUNT(stk, icmp_in_echos);
        if (p->is_dst_local && !p->is_link_multicast && !net_sysctl(stk->ns, NSYS_ECHO_IGNORE))
            icmp_send_echo_reply(p);
        else if (!p->is_dst_local && !net_sysctl(stk->ns, NSYS_ECHO_IGNORE) &&
                 !net_sysctl(stk->ns, NSYS_ECHO_IGNORE_GROUPS) &&
                 (stk_is_broadcast(stk, &p->dst) || inet_is_joined(stk->ns, &p->dst)))
            reply_for_group(p);
        break;
    case LX_ICMP_DEST_UNREACH: {
        STK_COUNT(stk, icmp_in_unreach);
        u32 mtu = 0;
        if (h[1] == LX_ICMP_FRAG_NEEDED && p->len >= ICMP_HLEN + IP4_HLEN)
            mtu = rd16(h + 6) ? rd16(h + 6) : guess_mtu(h + ICMP_HLEN);
        if (p->is_dst_local)
            stk_error_quoted(stk, h + ICMP_HLEN, p->len - ICMP_HLEN, false, unreach_errno4(h[1]),
                             h[0], h[1], mtu);
        break;
    }
    case LX_ICMP_TIME_EXCEEDED:
    case LX_ICMP_PARAMETERPROB:
        if (p->is_dst_local)
            stk_error_quoted(stk, h + ICMP_HLEN, p->len - ICMP_HLEN, false,
                             h[0] == LX_ICMP_PARAMETERPROB ? LX_EPROTO : LX_EHOSTUNREACH, h[0],
                             h[1], 0);
        break;
    }
}

void icmp_send_echo_reply(struct rxpkt *p)
{
    bool is_v4 = ipaddr_is_v4(&p->dst);
    u8 h[ICMP_HLEN];
    memcpy(h, p->data, sizeof(h));
    h[0] = is_v4 ? LX_ICMP_ECHOREPLY : LX_ICMPV6_ECHO_REPLY;
    struct ip_flow f = {
        .src = p->dst, .dst = p->src, .protocol = p->protocol, .ttl = 64, .tos = p->tos};
    if (ipaddr_is_multicast(&f.src))
        f.src = (ipaddr){0};
    if (!is_v4 && ipaddr_is_link_local(&f.dst))
        f.oif = p->ifc->index;
    if (ipaddr_is_any(&f.src)) {
        struct stk_path path;
        if (stk_route(p->ifc->stk, &f.dst, f.oif, &f.src, &path) < 0)
            return;
    }
    STK_COUNT(p->ifc->stk, icmp_out_echo_reps);
    (void)send_icmp(p->ifc->stk, &f, h, sizeof(h), p->data + ICMP_HLEN,
                    p->len - ICMP_HLEN); /* as lost */
}

/* ---- neighbour discovery ------------------------------------------------------------------- */

/* The link address in an option of this type; NULL: none. False: malformed. */
static bool nd_option(const u8 *o, u32 len, u8 type, const u8 **ret_mac)
{
    *ret_mac = NULL;
    while (len >= 8) {
        u32 size = o[1] * 8U;
        if (!size || size > len)
            return false;
        if (o[0] == type && size >= 8 && !*ret_mac)
            *ret_mac = o + 2;
        o += size;
        len -= size;
    }
    return len == 0;
}

static void nd_send(struct stk_iface *ifc, u8 type, u32 flags, const ipaddr *target,
                    const ipaddr *src, const ipaddr *dst, const u8 *dst_mac)
{
    u8 m[32] = {0};
    struct txbuf b;
    bool has_option = !ipaddr_is_any(src);
    u32 size = has_option ? 32 : 24;
    m[0] = type;
    wr32(m + 4, flags);
    memcpy(m + 8, target->b, 16);
    m[24] = type == ND_SOLICIT ? ND_OPT_SLLA : ND_OPT_TLLA;
    m[25] = 1;
    stk_mac(ifc, m + 26);
    csum_store(m + 2, csum_add(pseudo6(src, dst, size), m, size), true);
    txb_init(&b);
    memcpy(txb_push(&b, size), m, size);
    u8 *h = txb_push(&b, IP6_HLEN);
    memset(h, 0, IP6_HLEN);
    h[0] = 0x60;
    wr16(h + 4, size);
    h[6] = PROTO_ICMPV6;
    h[7] = 255;
    memcpy(h + 8, src->b, 16);
    memcpy(h + 24, dst->b, 16);
    (void)link_send(ifc, &b, dst_mac, ETHTYPE_IPV6); /* asked again */
}

void nd_solicit(struct stk_iface *ifc, const ipaddr *target, const u8 *mac)
{
    ipaddr src = {0}, group = {.b = {0xff, 0x02, [11] = 1, 0xff}};
    struct stk_path path;
    u8 group_mac[6] = {0x33, 0x33, 0xff};
    memcpy(group.b + 13, target->b + 13, 3);
    memcpy(group_mac + 3, target->b + 13, 3);
    if (stk_route(ifc->stk, target, ifc->index, &src, &path) < 0)
        return;
    nd_send(ifc, ND_SOLICIT, 0, target, &src, mac ? target : &group, mac ? mac : group_mac);
}

static void nd_input(struct rxpkt *p)
{
    const u8 *h = p->data, *mac;
    ipaddr target;
    if (p->ttl != 255 || p->len < 24 || h[1] != 0)
        return;
    memcpy(target.b, h + 8, 16);
    bool is_ask = h[0] == ND_SOLICIT;
    if (ipaddr_is_multicast(&target) ||
        !nd_option(h + 24, p->len - 24, is_ask ? ND_OPT_SLLA : ND_OPT_TLLA, &mac))
        return;
    if (!is_ask) {
        bool is_answer = rd32(h + 4) >> 30 & 1;
        if (mac && !stk_is_local(p->ifc->stk, &target))
            neigh_learn(p->ifc, &target, mac, is_answer && !p->is_link_multicast, false);
        return;
    }
    if (!stk_is_iface_addr(p->ifc, &target))
        return;
    if (ipaddr_is_any(&p->src)) { /* somebody examines whether the address is free */
        ipaddr all = {.b = {0xff, 0x02, [15] = 1}};
        nd_send(p->ifc, ND_ADVERT, 1U << 29, &target, &target, &all,
                (const u8 *)"\x33\x33\0\0\0\x01");
        return;
    }
    if (mac)
        neigh_learn(p->ifc, &p->src, mac, false, true);
    if (mac)
        nd_send(p->ifc, ND_ADVERT, 3U << 29, &target, &target, &p->src, mac);
}

static int unreach_errno6(u8 code)
{
    static const u8 errs[] = {LX_ENETUNREACH,  LX_EACCES, LX_EHOSTUNREACH, LX_EHOSTUNREACH,
                              LX_ECONNREFUSED, LX_EACCES, LX_EACCES};
    return code < ARRAY_SIZE(errs) ? errs[code] : LX_EPROTO;
}

/* A group that this host is in: all nodes, those of its addresses, those that a socket joined. */
static bool is_member(struct rxpkt *p)
{
    static const u8 all_nodes[16] = {0xff, 2, [15] = 1}, solicited[13] = {0xff, 2, [11] = 1, 0xff};
    const u8 *g = p->dst.b;
    struct stk_addr a;
    if (!memcmp(g, all_nodes, 16) || (g[1] == 1 && !memcmp(g + 2, all_nodes + 2, 14)))
        return true;
    if (memcmp(g, solicited, 13))
        return inet_is_joined(p->ifc->stk->ns, &p->dst);
    for (u32 i = 0; stk_addrs(p->ifc->stk, i, &a, 1); i++)
        if (a.family == LX_AF_INET6 && a.ifindex == p->ifc->index &&
            !memcmp(a.addr.b + 13, g + 13, 3))
            return true;
    return false;
}

void icmp6_input(struct rxpkt *p)
{
    struct netstack *stk = p->ifc->stk;
    const u8 *h = p->data;
    STK_COUNT(stk, icmp_in);
    if (p->len < ICMP_HLEN ||
        csum_fold(csum_add(pseudo6(&p->src, &p->dst, p->len), h, p->len)) != 0xffff) {
        STK_COUNT(stk, icmp_in_errors);
        return;
    }
    raw_see(p, LX_IPPROTO_ICMPV6);
    switch (h[0]) {
    case LX_ICMPV6_ECHO_REQUEST:
        STK_COUNT(stk, icmp_in_echos);
        if (p->is_dst_local || (ipaddr_is_multicast(&p->dst) && is_member(p)))
            icmp_send_echo_reply(p);
        break;
    case 1:
    case 2:
    case 3:
    case 4:
        if (p->is_dst_local)
            stk_error_quoted(stk, h + ICMP_HLEN, p->len - ICMP_HLEN, true,
                             h[0] == 1   ? unreach_errno6(h[1])
                             : h[0] == 2 ? LX_EMSGSIZE
                             : h[0] == 3 ? LX_EHOSTUNREACH
                                         : LX_EPROTO,
                             h[0], h[1], h[0] == 2 ? rd32(h + 4) : 0);
        break;
    case ND_SOLICIT:
    case ND_ADVERT:
        nd_input(p);
        break;
    case 130:
        mld_input(p);
        break;
    }
}

/* ---- sockets ------------------------------------------------------------------------------- */

int stk_raw_send(struct inet_sock *from, u8 protocol, const u8 *data, u32 size,
                 const struct dgram_cb *cb)
{
    struct netstack *stk = from->sk.ns->stack;
    struct ip_flow f = {.src = cb->saddr,
                        .dst = cb->daddr,
                        .protocol = protocol,
                        .ttl = cb->ttl,
                        .tos = cb->tos,
                        .oif = cb->ifindex,
                        .owner = &from->sk};
    if (!stk_may_reach(stk, &cb->daddr, 0))
        return -LX_EPERM;
    if (protocol == (ipaddr_is_v4(&cb->daddr) ? PROTO_ICMP : PROTO_ICMPV6) && size >= ICMP_HLEN)
        return send_icmp(stk, &f, data, ICMP_HLEN, data + ICMP_HLEN, size - ICMP_HLEN);
    struct txbuf b;
    txb_init(&b);
    txb_data(&b, data, size);
    return ip_send(stk, &f, NULL, &b);
}
