/*
 * Expressions that read a packet into registers, or write it: payload, meta, exthdr.
 *
 * A packet at a hook is fields and a transport header (struct xt_packet): its network header is
 * made of these when a rule asks for its bytes, without options and with an identification of 0.
 */
#include <string.h>

#include "net/nft/nft.h"
#include "net/nft/regs.h"
#include "net/stack/stack.h"

#define HEAD_MAX 40U
#define ETH_HEAD 14U

/* ---- payload ------------------------------------------------------------------------------- */

struct payload {
    struct nft_expr e;
    u8 base, reg;
    bool is_set;
    u32 off, len;
    u32 csum_type, csum_off, csum_flags;
};

static int payload_init(struct nft_ctx *c, struct nft_expr *e, const struct nft_attr *tb)
{
    struct payload *x = container_of(e, struct payload, e);
    u32 base = nft_be32(&tb[LX_NFTA_PAYLOAD_BASE]);
    (void)c;
    if (!tb[LX_NFTA_PAYLOAD_BASE].p || !tb[LX_NFTA_PAYLOAD_OFFSET].p || !tb[LX_NFTA_PAYLOAD_LEN].p)
        return -LX_EINVAL;
    if (base > LX_NFT_PAYLOAD_INNER_HEADER)
        return -LX_EOPNOTSUPP;
    x->base = (u8)base;
    x->off = nft_be32(&tb[LX_NFTA_PAYLOAD_OFFSET]);
    x->len = nft_be32(&tb[LX_NFTA_PAYLOAD_LEN]);
    if (x->off > 255 || x->len > 255)
        return -LX_ERANGE;
    if (!tb[LX_NFTA_PAYLOAD_SREG].p)
        return nft_reg(&tb[LX_NFTA_PAYLOAD_DREG], x->len, &x->reg);
    if (tb[LX_NFTA_PAYLOAD_DREG].p)
        return -LX_EINVAL;
    x->is_set = true;
    x->csum_type = nft_be32(&tb[LX_NFTA_PAYLOAD_CSUM_TYPE]);
    x->csum_off = nft_be32(&tb[LX_NFTA_PAYLOAD_CSUM_OFFSET]);
    x->csum_flags = nft_be32(&tb[LX_NFTA_PAYLOAD_CSUM_FLAGS]);
    if (base != LX_NFT_PAYLOAD_TRANSPORT_HEADER || x->csum_type > LX_NFT_PAYLOAD_CSUM_INET)
        return -LX_EOPNOTSUPP; /* what is sent on has a network header of the stack's own */
    if (x->csum_off > 255)
        return -LX_ERANGE;
    return nft_reg(&tb[LX_NFTA_PAYLOAD_SREG], x->len, &x->reg);
}

static u32 network_header(const struct xt_packet *p, u8 h[HEAD_MAX])
{
    memset(h, 0, HEAD_MAX);
    if (p->is_v6) {
        h[0] = (u8)(0x60 | p->tos >> 4);
        h[1] = (u8)(p->tos << 4);
        wr16(h + 4, p->size - IP6_HLEN);
        h[6] = p->protocol;
        h[7] = p->ttl;
        memcpy(h + 8, p->src.b, 16);
        memcpy(h + 24, p->dst.b, 16);
        return IP6_HLEN;
    }
    h[0] = 0x45;
    h[1] = p->tos;
    wr16(h + 2, p->size);
    wr16(h + 6, p->frag_off / 8);
    h[8] = p->ttl;
    h[9] = p->protocol;
    memcpy(h + 12, p->src.b + 12, 4);
    memcpy(h + 16, p->dst.b + 12, 4);
    csum_store(h + 10, csum_add(0, h, IP4_HLEN), true);
    return IP4_HLEN;
}

/* Where the data behind the transport header begins; 0: not known. */
static u32 inner_at(const struct xt_packet *p)
{
    if (p->frag_off)
        return 0;
    if (p->protocol == PROTO_UDP)
        return UDP_HLEN;
    return p->protocol == PROTO_TCP && p->l4_len >= TCP_HLEN ? (p->l4[12] >> 4) * 4U : 0;
}

static bool copy_at(u8 *to, u32 off, u32 len, const u8 *from, u32 size)
{
    if (off > size || len > size - off)
        return false;
    memcpy(to, from + off, len);
    return true;
}

static bool load_link(const struct payload *x, const struct xt_packet *p, u8 *to)
{
    u8 h[ETH_HEAD] = {0};
    struct stk_iface *in = p->mac ? stk_iface_named(p->ns->stack, p->in) : NULL;
    if (!in)
        return false;
    stk_mac(in, h);
    memcpy(h + 6, p->mac, 6);
    wr16(h + 12, p->is_v6 ? ETHTYPE_IPV6 : ETHTYPE_IP);
    return copy_at(to, x->off, x->len, h, sizeof(h));
}

static bool load(const struct payload *x, const struct xt_packet *p, u8 *to)
{
    u8 h[HEAD_MAX];
    u32 n, at;
    switch (x->base) {
    case LX_NFT_PAYLOAD_LL_HEADER:
        return load_link(x, p, to);
    case LX_NFT_PAYLOAD_NETWORK_HEADER:
        n = network_header(p, h);
        if (x->off < n)
            return copy_at(to, x->off, x->len, h, n);
        return copy_at(to, x->off - n, x->len, p->l4, p->l4_len);
    case LX_NFT_PAYLOAD_TRANSPORT_HEADER:
        return !p->frag_off && copy_at(to, x->off, x->len, p->l4, p->l4_len);
    default:
        at = inner_at(p);
        return at && copy_at(to, at + x->off, x->len, p->l4, p->l4_len);
    }
}

/* The sum counts 16-bit words: of what changes, the words that it is in. */
static bool store(const struct payload *x, struct xt_packet *p, const u8 *from)
{
    u8 old[258], new[258];
    u32 begin = x->off & ~1U, end = (x->off + x->len + 1) & ~1U;
    if (p->frag_off || x->off + x->len > p->l4_len)
        return false;
    end = MIN(end, p->l4_len);
    memcpy(old, p->l4 + begin, end - begin);
    memcpy(new, old, end - begin);
    memcpy(new + (x->off - begin), from, x->len);
    if (x->csum_type == LX_NFT_PAYLOAD_CSUM_INET)
        xt_fix_csum(p, x->csum_off, old, new, end - begin);
    memcpy(p->l4 + x->off, from, x->len);
    return true;
}

static void payload_eval(struct nft_expr *e, struct nft_regs *r, const struct nft_pkt *k)
{
    struct payload *x = container_of(e, struct payload, e);
    u8 b[256];
    bool is_done;
    if (x->is_set) {
        is_done = !k->is_live || store(x, k->p, (const u8 *)&r->d[x->reg]);
    } else {
        is_done = load(x, k->p, b);
        if (is_done)
            nft_reg_set(r, x->reg, b, x->len);
    }
    if (!is_done)
        r->code = LX_NFT_BREAK;
}

static void payload_put(struct nlbuf *b, struct nft_expr *e, bool is_reset)
{
    struct payload *x = container_of(e, struct payload, e);
    (void)is_reset;
    nft_put_reg(b, x->is_set ? LX_NFTA_PAYLOAD_SREG : LX_NFTA_PAYLOAD_DREG, x->reg);
    nft_put_be32(b, LX_NFTA_PAYLOAD_BASE, x->base);
    nft_put_be32(b, LX_NFTA_PAYLOAD_OFFSET, x->off);
    nft_put_be32(b, LX_NFTA_PAYLOAD_LEN, x->len);
    if (x->is_set) {
        nft_put_be32(b, LX_NFTA_PAYLOAD_CSUM_TYPE, x->csum_type);
        nft_put_be32(b, LX_NFTA_PAYLOAD_CSUM_OFFSET, x->csum_off);
        nft_put_be32(b, LX_NFTA_PAYLOAD_CSUM_FLAGS, x->csum_flags);
    }
}

const struct nft_expr_ops nft_ops_payload = {
    .name = "payload",
    .size = sizeof(struct payload),
    .nattrs = LX_NFTA_PAYLOAD_CSUM_FLAGS,
    .min = (const u8[]){[LX_NFTA_PAYLOAD_DREG] = 4,
                        [LX_NFTA_PAYLOAD_BASE] = 4,
                        [LX_NFTA_PAYLOAD_OFFSET] = 4,
                        [LX_NFTA_PAYLOAD_LEN] = 4,
                        [LX_NFTA_PAYLOAD_SREG] = 4,
                        [LX_NFTA_PAYLOAD_CSUM_TYPE] = 4,
                        [LX_NFTA_PAYLOAD_CSUM_OFFSET] = 4,
                        [LX_NFTA_PAYLOAD_CSUM_FLAGS] = 4},
    .init = payload_init,
    .eval = payload_eval,
    .put = payload_put,
};

/* ---- meta ---------------------------------------------------------------------------------- */

struct meta {
    struct nft_expr e;
    u8 key, reg;
    bool is_set;
};

/* Bytes that a key reads; 0: it is not here. */
static u32 meta_len(u32 key)
{
    switch (key) {
    case LX_NFT_META_LEN:
    case LX_NFT_META_PRIORITY:
    case LX_NFT_META_MARK:
    case LX_NFT_META_IIF:
    case LX_NFT_META_OIF:
    case LX_NFT_META_SKUID:
    case LX_NFT_META_SKGID:
    case LX_NFT_META_CPU:
    case LX_NFT_META_IIFGROUP:
    case LX_NFT_META_OIFGROUP:
    case LX_NFT_META_PRANDOM:
    case LX_NFT_META_TIME_HOUR:
        return 4;
    case LX_NFT_META_PROTOCOL:
    case LX_NFT_META_IIFTYPE:
    case LX_NFT_META_OIFTYPE:
        return 2;
    case LX_NFT_META_NFPROTO:
    case LX_NFT_META_L4PROTO:
    case LX_NFT_META_PKTTYPE:
    case LX_NFT_META_TIME_DAY:
        return 1;
    case LX_NFT_META_IIFNAME:
    case LX_NFT_META_OIFNAME:
        return 16;
    case LX_NFT_META_TIME_NS:
        return 8;
    default:
        return 0;
    }
}

static int meta_init(struct nft_ctx *c, struct nft_expr *e, const struct nft_attr *tb)
{
    struct meta *x = container_of(e, struct meta, e);
    u32 key = nft_be32(&tb[LX_NFTA_META_KEY]), len = meta_len(key);
    (void)c;
    if (!tb[LX_NFTA_META_KEY].p)
        return -LX_EINVAL;
    x->key = (u8)key;
    if (!tb[LX_NFTA_META_SREG].p)
        return len ? nft_reg(&tb[LX_NFTA_META_DREG], len, &x->reg) : -LX_EOPNOTSUPP;
    if (tb[LX_NFTA_META_DREG].p)
        return -LX_EINVAL;
    if (key != LX_NFT_META_MARK && key != LX_NFT_META_PRIORITY && key != LX_NFT_META_NFTRACE)
        return -LX_EOPNOTSUPP;
    x->is_set = true;
    return nft_reg(&tb[LX_NFTA_META_SREG], key == LX_NFT_META_NFTRACE ? 1 : 4, &x->reg);
}

static struct stk_iface *iface_of(const struct xt_packet *p, const char *name)
{
    return *name ? stk_iface_named(p->ns->stack, name) : NULL;
}

static bool meta_iface(const struct meta *x, const struct xt_packet *p, struct nft_regs *r)
{
    bool is_in = x->key == LX_NFT_META_IIF || x->key == LX_NFT_META_IIFTYPE ||
                 x->key == LX_NFT_META_IIFGROUP;
    struct stk_iface *f = iface_of(p, is_in ? p->in : p->out);
    if (x->key == LX_NFT_META_IIF || x->key == LX_NFT_META_OIF) {
        nft_reg_u32(r, x->reg, f ? (u32)f->index : 0);
        return true;
    }
    if (!f)
        return false;
    if (x->key == LX_NFT_META_IIFTYPE || x->key == LX_NFT_META_OIFTYPE)
        nft_reg_u32(r, x->reg, (u16)f->type);
    else
        nft_reg_u32(r, x->reg, f->group);
    return true;
}

static bool meta_name(const char *name, struct nft_regs *r, u8 reg)
{
    char n[16] = {0};
    strncpy(n, name, sizeof(n) - 1);
    nft_reg_set(r, reg, n, sizeof(n));
    return true;
}

static u32 packet_type(const struct xt_packet *p)
{
    if (ipaddr_is_multicast(&p->dst))
        return 2;
    return !p->is_v6 && *p->in && stk_is_broadcast(p->ns->stack, &p->dst) ? 1 : 0;
}

static bool meta_time(const struct meta *x, struct nft_regs *r)
{
    s64 now = sock_real_ns(), s = now / NSEC_PER_SEC;
    if (x->key == LX_NFT_META_TIME_NS)
        nft_reg_set(r, x->reg, &now, sizeof(now));
    else if (x->key == LX_NFT_META_TIME_DAY)
        nft_reg_u32(r, x->reg, (u32)((s / 86400 + 4) % 7)); /* 1970 began on a Thursday */
    else
        nft_reg_u32(r, x->reg, (u32)(s % 86400));
    return true;
}

static bool meta_get(const struct meta *x, struct nft_regs *r, const struct xt_packet *p)
{
    switch (x->key) {
    case LX_NFT_META_LEN:
        nft_reg_u32(r, x->reg, p->size);
        return true;
    case LX_NFT_META_PROTOCOL:
        nft_reg_u32(r, x->reg, net16(p->is_v6 ? ETHTYPE_IPV6 : ETHTYPE_IP));
        return true;
    case LX_NFT_META_MARK:
        nft_reg_u32(r, x->reg, p->i.mark);
        return true;
    case LX_NFT_META_PRIORITY:
    case LX_NFT_META_CPU:
        nft_reg_u32(r, x->reg, 0);
        return true;
    case LX_NFT_META_IIFNAME:
        return meta_name(p->in, r, x->reg);
    case LX_NFT_META_OIFNAME:
        return meta_name(p->out, r, x->reg);
    case LX_NFT_META_SKUID:
        nft_reg_u32(r, x->reg, p->uid);
        return p->has_owner;
    case LX_NFT_META_SKGID:
        nft_reg_u32(r, x->reg, p->gid);
        return p->has_owner;
    case LX_NFT_META_NFPROTO:
        nft_reg_u32(r, x->reg, p->is_v6 ? NFT_IPV6 : NFT_IPV4);
        return true;
    case LX_NFT_META_L4PROTO:
        nft_reg_u32(r, x->reg, p->protocol);
        return true;
    case LX_NFT_META_PKTTYPE:
        nft_reg_u32(r, x->reg, packet_type(p));
        return true;
    case LX_NFT_META_PRANDOM:
        nft_reg_u32(r, x->reg, net_random());
        return true;
    case LX_NFT_META_TIME_NS:
    case LX_NFT_META_TIME_DAY:
    case LX_NFT_META_TIME_HOUR:
        return meta_time(x, r);
    default:
        return meta_iface(x, p, r);
    }
}

static void meta_eval(struct nft_expr *e, struct nft_regs *r, const struct nft_pkt *k)
{
    struct meta *x = container_of(e, struct meta, e);
    if (x->is_set) {
        if (x->key == LX_NFT_META_MARK)
            k->p->i.mark = r->d[x->reg];
    } else if (!meta_get(x, r, k->p)) {
        r->code = LX_NFT_BREAK;
    }
}

static void meta_put(struct nlbuf *b, struct nft_expr *e, bool is_reset)
{
    struct meta *x = container_of(e, struct meta, e);
    (void)is_reset;
    nft_put_be32(b, LX_NFTA_META_KEY, x->key);
    nft_put_reg(b, x->is_set ? LX_NFTA_META_SREG : LX_NFTA_META_DREG, x->reg);
}

const struct nft_expr_ops nft_ops_meta = {
    .name = "meta",
    .size = sizeof(struct meta),
    .nattrs = LX_NFTA_META_SREG,
    .min = (const u8[]){[LX_NFTA_META_DREG] = 4, [LX_NFTA_META_KEY] = 4, [LX_NFTA_META_SREG] = 4},
    .init = meta_init,
    .eval = meta_eval,
    .put = meta_put,
};

/* ---- exthdr -------------------------------------------------------------------------------- */

#define TCPOPT_MAXSEG 2

struct exthdr {
    struct nft_expr e;
    u8 type, off, len, op, reg, flags;
    bool is_set;
};

static int exthdr_init(struct nft_ctx *c, struct nft_expr *e, const struct nft_attr *tb)
{
    struct exthdr *x = container_of(e, struct exthdr, e);
    u32 off = nft_be32(&tb[LX_NFTA_EXTHDR_OFFSET]), len = nft_be32(&tb[LX_NFTA_EXTHDR_LEN]);
    u32 op = nft_be32(&tb[LX_NFTA_EXTHDR_OP]), flags = nft_be32(&tb[LX_NFTA_EXTHDR_FLAGS]);
    (void)c;
    if (!tb[LX_NFTA_EXTHDR_TYPE].p || !tb[LX_NFTA_EXTHDR_OFFSET].p || !tb[LX_NFTA_EXTHDR_LEN].p ||
        flags & ~(u32)LX_NFT_EXTHDR_F_PRESENT)
        return -LX_EINVAL;
    if (off > 255 || len > 255)
        return -LX_ERANGE;
    if (op > LX_NFT_EXTHDR_OP_IPV4)
        return -LX_EOPNOTSUPP;
    x->type = *tb[LX_NFTA_EXTHDR_TYPE].p;
    x->off = (u8)off;
    x->len = (u8)len;
    x->op = (u8)op;
    x->flags = (u8)flags;
    if (!tb[LX_NFTA_EXTHDR_SREG].p)
        return nft_reg(&tb[LX_NFTA_EXTHDR_DREG], len, &x->reg);
    if (tb[LX_NFTA_EXTHDR_DREG].p || flags)
        return -LX_EINVAL;
    if (op != LX_NFT_EXTHDR_OP_TCPOPT || (len != 2 && len != 4) || off < 2)
        return -LX_EOPNOTSUPP;
    x->is_set = true;
    return nft_reg(&tb[LX_NFTA_EXTHDR_SREG], len, &x->reg);
}

/* The TCP option of this kind: where it stands and its length; 0: there is none. */
static u32 find_option(const struct xt_packet *p, u8 kind, u32 *ret_len)
{
    if (p->protocol != PROTO_TCP || p->frag_off || p->l4_len < TCP_HLEN)
        return 0;
    u32 end = MIN((p->l4[12] >> 4) * 4U, p->l4_len);
    for (u32 at = TCP_HLEN; at < end;) {
        u32 len = p->l4[at] < 2 ? 1 : at + 1 < end ? p->l4[at + 1] : 0;
        if (p->l4[at] >= 2 && (len < 2 || len > end - at))
            return 0;
        if (p->l4[at] == kind) {
            *ret_len = len;
            return at;
        }
        at += len;
    }
    return 0;
}

static void option_set(const struct exthdr *x, struct nft_regs *r, struct xt_packet *p)
{
    u32 len, at = find_option(p, x->type, &len);
    u8 old[8], new[8];
    if (!at || (u32)x->off + x->len > len) {
        r->code = at ? r->code : LX_NFT_BREAK;
        return;
    }
    u32 begin = (at + x->off) & ~1U, end = (at + x->off + x->len + 1) & ~1U;
    const u8 *from = (const u8 *)&r->d[x->reg];
    if (end > p->l4_len ||
        (x->type == TCPOPT_MAXSEG && x->len == 2 && rd16(p->l4 + at + x->off) <= rd16(from)))
        return; /* a larger one could stall the connection */
    memcpy(old, p->l4 + begin, end - begin);
    memcpy(new, old, end - begin);
    memcpy(new + (at + x->off - begin), from, x->len);
    xt_fix_csum(p, 16, old, new, end - begin);
    memcpy(p->l4 + at + x->off, from, x->len);
}

static void exthdr_eval(struct nft_expr *e, struct nft_regs *r, const struct nft_pkt *k)
{
    struct exthdr *x = container_of(e, struct exthdr, e);
    u32 len = 0, at = 0;
    if (x->is_set) {
        if (k->is_live)
            option_set(x, r, k->p);
        return;
    }
    if (x->op == LX_NFT_EXTHDR_OP_TCPOPT) /* of the rest, none is left on a packet at a hook */
        at = find_option(k->p, x->type, &len);
    if (x->flags & LX_NFT_EXTHDR_F_PRESENT)
        nft_reg_u32(r, x->reg, at != 0);
    else if (at && (u32)x->off + x->len <= len)
        nft_reg_set(r, x->reg, k->p->l4 + at + x->off, x->len);
    else
        r->code = LX_NFT_BREAK;
}

static void exthdr_put(struct nlbuf *b, struct nft_expr *e, bool is_reset)
{
    struct exthdr *x = container_of(e, struct exthdr, e);
    (void)is_reset;
    nft_put_reg(b, x->is_set ? LX_NFTA_EXTHDR_SREG : LX_NFTA_EXTHDR_DREG, x->reg);
    nl_attr_u8(b, LX_NFTA_EXTHDR_TYPE, x->type);
    nft_put_be32(b, LX_NFTA_EXTHDR_OFFSET, x->off);
    nft_put_be32(b, LX_NFTA_EXTHDR_LEN, x->len);
    nft_put_be32(b, LX_NFTA_EXTHDR_FLAGS, x->flags);
    nft_put_be32(b, LX_NFTA_EXTHDR_OP, x->op);
}

const struct nft_expr_ops nft_ops_exthdr = {
    .name = "exthdr",
    .size = sizeof(struct exthdr),
    .nattrs = LX_NFTA_EXTHDR_SREG,
    .min = (const u8[]){[LX_NFTA_EXTHDR_DREG] = 4,
                        [LX_NFTA_EXTHDR_TYPE] = 1,
                        [LX_NFTA_EXTHDR_OFFSET] = 4,
                        [LX_NFTA_EXTHDR_LEN] = 4,
                        [LX_NFTA_EXTHDR_FLAGS] = 4,
                        [LX_NFTA_EXTHDR_OP] = 4,
                        [LX_NFTA_EXTHDR_SREG] = 4},
    .init = exthdr_init,
    .eval = exthdr_eval,
    .put = exthdr_put,
};
