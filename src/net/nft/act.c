/* Expressions that act: reject, log, nat, masq, redir. */
#include <string.h>

#include "net/filter/ct.h"
#include "net/nft/nft.h"
#include "net/stack/wirefmt.h"

#define HOOKS_SRC (XT_BIT(XT_POSTROUTING) | XT_BIT(XT_INPUT))
#define HOOKS_DST (XT_BIT(XT_PREROUTING) | XT_BIT(XT_OUTPUT))

static int at_hooks(const struct nft_chain *base, u32 hooks)
{
    return hooks >> base->hook & 1 ? 0 : -LX_EOPNOTSUPP;
}

/* ---- reject -------------------------------------------------------------------------------- */

struct reject {
    struct nft_expr e;
    u8 type, code, family;
};

static int reject_init(struct nft_ctx *c, struct nft_expr *e, const struct nft_attr *tb)
{
    struct reject *x = container_of(e, struct reject, e);
    u32 type = nft_be32(&tb[LX_NFTA_REJECT_TYPE]);
    if (!tb[LX_NFTA_REJECT_TYPE].p)
        return -LX_EINVAL;
    if (type > LX_NFT_REJECT_ICMPX_UNREACH ||
        (type == LX_NFT_REJECT_ICMPX_UNREACH && c->family != NFT_INET))
        return -LX_EINVAL;
    x->type = (u8)type;
    x->family = c->family;
    if (type == LX_NFT_REJECT_TCP_RST)
        return 0;
    if (!tb[LX_NFTA_REJECT_ICMP_CODE].p)
        return -LX_EINVAL;
    x->code = *tb[LX_NFTA_REJECT_ICMP_CODE].p;
    return type == LX_NFT_REJECT_ICMPX_UNREACH && x->code > LX_NFT_REJECT_ICMPX_MAX ? -LX_EINVAL
                                                                                    : 0;
}

static void reject_eval(struct nft_expr *e, struct nft_regs *r, const struct nft_pkt *k)
{
    static const u8 codes4[] = {0, 3, 1, 13}, codes6[] = {0, 4, 3, 1};
    struct reject *x = container_of(e, struct reject, e);
    struct xt_packet *p = k->p;
    p->is_reset = x->type == LX_NFT_REJECT_TCP_RST && p->protocol == PROTO_TCP;
    if (x->type == LX_NFT_REJECT_TCP_RST)
        p->code = NF_SILENT;
    else if (x->type == LX_NFT_REJECT_ICMPX_UNREACH)
        p->code = p->is_v6 ? codes6[x->code] : codes4[x->code];
    else
        p->code = x->code;
    r->code = NFT_V_REJECT;
}

static void reject_put(struct nlbuf *b, struct nft_expr *e, bool is_reset)
{
    struct reject *x = container_of(e, struct reject, e);
    (void)is_reset;
    nft_put_be32(b, LX_NFTA_REJECT_TYPE, x->type);
    if (x->type != LX_NFT_REJECT_TCP_RST)
        nl_attr_u8(b, LX_NFTA_REJECT_ICMP_CODE, x->code);
}

static int reject_validate(struct nft_expr *e, const struct nft_chain *base)
{
    (void)e;
    return at_hooks(base, XT_BIT(XT_PREROUTING) | XT_BIT(XT_INPUT) | XT_BIT(XT_FORWARD) |
                              XT_BIT(XT_OUTPUT));
}

const struct nft_expr_ops nft_ops_reject = {
    .name = "reject",
    .size = sizeof(struct reject),
    .nattrs = LX_NFTA_REJECT_ICMP_CODE,
    .has_rules = true,
    .min = (const u8[]){[LX_NFTA_REJECT_TYPE] = 4, [LX_NFTA_REJECT_ICMP_CODE] = 1},
    .init = reject_init,
    .eval = reject_eval,
    .put = reject_put,
    .validate = reject_validate,
};

/* ---- log ----------------------------------------------------------------------------------- */

/* As on Linux in a namespace that is not the first (net.netfilter.nf_log_all_netns is 0): nothing
 * is written; and nobody listens to a group. */
struct log {
    struct nft_expr e;
    bool has_prefix, has_group;
    char prefix[128];
    u16 group, threshold;
    u32 snaplen, level, flags;
};

static int log_init(struct nft_ctx *c, struct nft_expr *e, const struct nft_attr *tb)
{
    struct log *x = container_of(e, struct log, e);
    (void)c;
    if (tb[LX_NFTA_LOG_LEVEL].p && tb[LX_NFTA_LOG_GROUP].p)
        return -LX_EINVAL;
    if (tb[LX_NFTA_LOG_PREFIX].p) {
        if (tb[LX_NFTA_LOG_PREFIX].len > sizeof(x->prefix))
            return -LX_ERANGE;
        memcpy(x->prefix, tb[LX_NFTA_LOG_PREFIX].p, tb[LX_NFTA_LOG_PREFIX].len);
        x->prefix[sizeof(x->prefix) - 1] = 0;
        x->has_prefix = true;
    }
    if (tb[LX_NFTA_LOG_GROUP].p) {
        x->has_group = true;
        x->group = rd16(tb[LX_NFTA_LOG_GROUP].p);
        x->snaplen = nft_be32(&tb[LX_NFTA_LOG_SNAPLEN]);
        x->threshold = tb[LX_NFTA_LOG_QTHRESHOLD].p ? rd16(tb[LX_NFTA_LOG_QTHRESHOLD].p) : 0;
        return 0;
    }
    x->level = tb[LX_NFTA_LOG_LEVEL].p ? nft_be32(&tb[LX_NFTA_LOG_LEVEL]) : LX_NFT_LOGLEVEL_WARNING;
    x->flags = nft_be32(&tb[LX_NFTA_LOG_FLAGS]);
    if (x->level > LX_NFT_LOGLEVEL_DEBUG)
        return x->level == LX_NFT_LOGLEVEL_AUDIT ? -LX_EOPNOTSUPP : -LX_EINVAL;
    return x->flags & ~0x1fU ? -LX_EINVAL : 0;
}

static void log_eval(struct nft_expr *e, struct nft_regs *r, const struct nft_pkt *k)
{
    (void)e;
    (void)r;
    (void)k;
}

static void log_put(struct nlbuf *b, struct nft_expr *e, bool is_reset)
{
    struct log *x = container_of(e, struct log, e);
    (void)is_reset;
    if (x->has_prefix)
        nl_attr_str(b, LX_NFTA_LOG_PREFIX, x->prefix);
    if (!x->has_group) {
        nft_put_be32(b, LX_NFTA_LOG_LEVEL, x->level);
        if (x->flags)
            nft_put_be32(b, LX_NFTA_LOG_FLAGS, x->flags);
        return;
    }
    nft_put_be16(b, LX_NFTA_LOG_GROUP, x->group);
    if (x->snaplen)
        nft_put_be32(b, LX_NFTA_LOG_SNAPLEN, x->snaplen);
    if (x->threshold)
        nft_put_be16(b, LX_NFTA_LOG_QTHRESHOLD, x->threshold);
}

const struct nft_expr_ops nft_ops_log = {
    .name = "log",
    .size = sizeof(struct log),
    .nattrs = LX_NFTA_LOG_FLAGS,
    .min = (const u8[]){[LX_NFTA_LOG_GROUP] = 2,
                        [LX_NFTA_LOG_SNAPLEN] = 4,
                        [LX_NFTA_LOG_QTHRESHOLD] = 2,
                        [LX_NFTA_LOG_LEVEL] = 4,
                        [LX_NFTA_LOG_FLAGS] = 4},
    .init = log_init,
    .eval = log_eval,
    .put = log_put,
};

/* ---- nat, masq, redir ---------------------------------------------------------------------- */

#define RANGE_ADDR    1U
#define RANGE_PORT    2U
#define RANGE_MASK    0x7fU
#define RANGE_REFUSED 0x60U /* an offset of ports; prefixes mapped one to one */
#define NO_REG        0U

struct nat {
    struct nft_expr e;
    u8 family, type, addr_min, addr_max, port_min, port_max; /* registers, or NO_REG */
    u32 flags;
};

static int nat_flags(struct nat *x, const struct nft_attr *a)
{
    u32 flags = nft_be32(a);
    x->flags |= flags;
    if (flags & ~RANGE_MASK)
        return -LX_EOPNOTSUPP;
    return flags & RANGE_REFUSED ? -LX_EOPNOTSUPP : 0;
}

static int nat_ports(struct nat *x, const struct nft_attr *min, const struct nft_attr *max)
{
    if (!min->p)
        return 0;
    int r = nft_reg(min, 2, &x->port_min);
    x->port_max = x->port_min;
    if (r == 0 && max->p)
        r = nft_reg(max, 2, &x->port_max);
    x->flags |= RANGE_PORT;
    return r;
}

static int nat_init(struct nft_ctx *c, struct nft_expr *e, const struct nft_attr *tb)
{
    struct nat *x = container_of(e, struct nat, e);
    u32 type = nft_be32(&tb[LX_NFTA_NAT_TYPE]), family = nft_be32(&tb[LX_NFTA_NAT_FAMILY]);
    int r = 0;
    if (!tb[LX_NFTA_NAT_TYPE].p ||
        (!tb[LX_NFTA_NAT_REG_ADDR_MIN].p && !tb[LX_NFTA_NAT_REG_PROTO_MIN].p))
        return -LX_EINVAL;
    if (type > LX_NFT_NAT_DNAT)
        return -LX_EINVAL;
    if (!tb[LX_NFTA_NAT_FAMILY].p)
        return -LX_EINVAL;
    if (c->family != NFT_INET && c->family != family)
        return -LX_EOPNOTSUPP;
    if (family != NFT_IPV4 && family != NFT_IPV6 &&
        (family != NFT_INET || tb[LX_NFTA_NAT_REG_ADDR_MIN].p))
        return family == NFT_INET ? -LX_EINVAL : -LX_EAFNOSUPPORT;
    x->type = (u8)type;
    x->family = (u8)family;
    if (tb[LX_NFTA_NAT_REG_ADDR_MIN].p) {
        u32 len = family == NFT_IPV4 ? 4 : 16;
        r = nft_reg(&tb[LX_NFTA_NAT_REG_ADDR_MIN], len, &x->addr_min);
        x->addr_max = x->addr_min;
        if (r == 0 && tb[LX_NFTA_NAT_REG_ADDR_MAX].p)
            r = nft_reg(&tb[LX_NFTA_NAT_REG_ADDR_MAX], len, &x->addr_max);
        x->flags |= RANGE_ADDR;
    }
    if (r == 0)
        r = nat_ports(x, &tb[LX_NFTA_NAT_REG_PROTO_MIN], &tb[LX_NFTA_NAT_REG_PROTO_MAX]);
    return r < 0 ? r : nat_flags(x, &tb[LX_NFTA_NAT_FLAGS]);
}

static struct lx_in6_addr addr_in(const struct nft_regs *r, u8 reg, bool is_v6)
{
    struct lx_in6_addr a;
    if (!is_v6)
        return ipaddr_v4(r->d[reg]);
    memcpy(&a, &r->d[reg], sizeof(a));
    return a;
}

static u16 port_in(const struct nft_regs *r, u8 reg)
{
    return rd16((const u8 *)&r->d[reg]);
}

static bool ports_of(const struct nat *x, const struct nft_regs *r, struct ct_range *ret)
{
    if (x->port_min == NO_REG)
        return true;
    ret->has_port = true;
    ret->port_min = port_in(r, x->port_min);
    ret->port_max = port_in(r, x->port_max);
    return ret->port_min <= ret->port_max;
}

static void set_up(struct nft_regs *r, const struct nft_pkt *k, enum ct_manip m,
                   const struct ct_range *range)
{
    bool is_done = ct_nat(k->p->ns->ct_ns, k->p, m, range);
    r->code = is_done ? NFT_V_ACCEPT : NFT_V_DROP;
}

static void nat_eval(struct nft_expr *e, struct nft_regs *r, const struct nft_pkt *k)
{
    struct nat *x = container_of(e, struct nat, e);
    bool is_v6 = k->p->is_v6;
    struct ct_range g = {0};
    if (x->family != NFT_INET && (x->family == NFT_IPV6) != is_v6)
        return;
    if (x->addr_min != NO_REG) {
        g.has_addr = true;
        g.min = addr_in(r, x->addr_min, is_v6);
        g.max = addr_in(r, x->addr_max, is_v6);
    }
    if (ports_of(x, r, &g))
        set_up(r, k, x->type == LX_NFT_NAT_SNAT ? CT_SOURCE : CT_DESTINATION, &g);
    else
        r->code = NFT_V_DROP;
}

static void nat_put(struct nlbuf *b, struct nft_expr *e, bool is_reset)
{
    struct nat *x = container_of(e, struct nat, e);
    (void)is_reset;
    nft_put_be32(b, LX_NFTA_NAT_TYPE, x->type);
    nft_put_be32(b, LX_NFTA_NAT_FAMILY, x->family);
    if (x->addr_min != NO_REG) {
        nft_put_reg(b, LX_NFTA_NAT_REG_ADDR_MIN, x->addr_min);
        nft_put_reg(b, LX_NFTA_NAT_REG_ADDR_MAX, x->addr_max);
    }
    if (x->port_min != NO_REG) {
        nft_put_reg(b, LX_NFTA_NAT_REG_PROTO_MIN, x->port_min);
        nft_put_reg(b, LX_NFTA_NAT_REG_PROTO_MAX, x->port_max);
    }
    if (x->flags)
        nft_put_be32(b, LX_NFTA_NAT_FLAGS, x->flags);
}

static int nat_validate(struct nft_expr *e, const struct nft_chain *base)
{
    struct nat *x = container_of(e, struct nat, e);
    if (base->type != NFT_NAT)
        return -LX_EOPNOTSUPP;
    return at_hooks(base, x->type == LX_NFT_NAT_SNAT ? HOOKS_SRC : HOOKS_DST);
}

const struct nft_expr_ops nft_ops_nat = {
    .name = "nat",
    .size = sizeof(struct nat),
    .nattrs = LX_NFTA_NAT_FLAGS,
    .is_tracking = true,
    .has_rules = true,
    .min = (const u8[]){[LX_NFTA_NAT_TYPE] = 4,
                        [LX_NFTA_NAT_FAMILY] = 4,
                        [LX_NFTA_NAT_REG_ADDR_MIN] = 4,
                        [LX_NFTA_NAT_REG_ADDR_MAX] = 4,
                        [LX_NFTA_NAT_REG_PROTO_MIN] = 4,
                        [LX_NFTA_NAT_REG_PROTO_MAX] = 4,
                        [LX_NFTA_NAT_FLAGS] = 4},
    .init = nat_init,
    .eval = nat_eval,
    .put = nat_put,
    .validate = nat_validate,
};

static int masq_init(struct nft_ctx *c, struct nft_expr *e, const struct nft_attr *tb)
{
    struct nat *x = container_of(e, struct nat, e);
    (void)c;
    int r = nat_flags(x, &tb[LX_NFTA_MASQ_FLAGS]);
    return r < 0 ? r
                 : nat_ports(x, &tb[LX_NFTA_MASQ_REG_PROTO_MIN], &tb[LX_NFTA_MASQ_REG_PROTO_MAX]);
}

/* The address of the interface that the packet leaves by. */
static void masq_eval(struct nft_expr *e, struct nft_regs *r, const struct nft_pkt *k)
{
    struct nat *x = container_of(e, struct nat, e);
    struct ct_range g = {.has_addr = true, .min = k->p->masq, .max = k->p->masq};
    if (ipaddr_is_any(&g.min) || !ports_of(x, r, &g))
        r->code = NFT_V_DROP;
    else
        set_up(r, k, CT_SOURCE, &g);
}

static void ports_put(struct nlbuf *b, const struct nat *x, u16 flags, u16 min, u16 max)
{
    if (x->flags)
        nft_put_be32(b, flags, x->flags);
    if (x->port_min != NO_REG) {
        nft_put_reg(b, min, x->port_min);
        nft_put_reg(b, max, x->port_max);
    }
}

static void masq_put(struct nlbuf *b, struct nft_expr *e, bool is_reset)
{
    (void)is_reset;
    ports_put(b, container_of(e, struct nat, e), LX_NFTA_MASQ_FLAGS, LX_NFTA_MASQ_REG_PROTO_MIN,
              LX_NFTA_MASQ_REG_PROTO_MAX);
}

static int masq_validate(struct nft_expr *e, const struct nft_chain *base)
{
    (void)e;
    return base->type != NFT_NAT ? -LX_EOPNOTSUPP : at_hooks(base, XT_BIT(XT_POSTROUTING));
}

const struct nft_expr_ops nft_ops_masq = {
    .name = "masq",
    .size = sizeof(struct nat),
    .nattrs = LX_NFTA_MASQ_REG_PROTO_MAX,
    .is_tracking = true,
    .has_rules = true,
    .min = (const u8[]){[LX_NFTA_MASQ_FLAGS] = 4,
                        [LX_NFTA_MASQ_REG_PROTO_MIN] = 4,
                        [LX_NFTA_MASQ_REG_PROTO_MAX] = 4},
    .init = masq_init,
    .eval = masq_eval,
    .put = masq_put,
    .validate = masq_validate,
};

static int redir_init(struct nft_ctx *c, struct nft_expr *e, const struct nft_attr *tb)
{
    struct nat *x = container_of(e, struct nat, e);
    (void)c;
    int r = nat_ports(x, &tb[LX_NFTA_REDIR_REG_PROTO_MIN], &tb[LX_NFTA_REDIR_REG_PROTO_MAX]);
    return r < 0 ? r : nat_flags(x, &tb[LX_NFTA_REDIR_FLAGS]);
}

/* To this host: of OUTPUT to the loopback, else to the interface that it came by. */
static void redir_eval(struct nft_expr *e, struct nft_regs *r, const struct nft_pkt *k)
{
    struct nat *x = container_of(e, struct nat, e);
    struct lx_in6_addr lo6 = {.b = {[15] = 1}};
    struct ct_range g = {.has_addr = true, .min = k->p->masq};
    if (k->p->hook == XT_OUTPUT)
        g.min = k->p->is_v6 ? lo6 : ipaddr_v4(net32(LX_INADDR_LOOPBACK));
    g.max = g.min;
    if (ipaddr_is_any(&g.min) || !ports_of(x, r, &g))
        r->code = NFT_V_DROP;
    else
        set_up(r, k, CT_DESTINATION, &g);
}

static void redir_put(struct nlbuf *b, struct nft_expr *e, bool is_reset)
{
    (void)is_reset;
    ports_put(b, container_of(e, struct nat, e), LX_NFTA_REDIR_FLAGS, LX_NFTA_REDIR_REG_PROTO_MIN,
              LX_NFTA_REDIR_REG_PROTO_MAX);
}

static int redir_validate(struct nft_expr *e, const struct nft_chain *base)
{
    (void)e;
    return base->type != NFT_NAT ? -LX_EOPNOTSUPP : at_hooks(base, HOOKS_DST);
}

const struct nft_expr_ops nft_ops_redir = {
    .name = "redir",
    .size = sizeof(struct nat),
    .nattrs = LX_NFTA_REDIR_FLAGS,
    .is_tracking = true,
    .has_rules = true,
    .min = (const u8[]){[LX_NFTA_REDIR_REG_PROTO_MIN] = 4,
                        [LX_NFTA_REDIR_REG_PROTO_MAX] = 4,
                        [LX_NFTA_REDIR_FLAGS] = 4},
    .init = redir_init,
    .eval = redir_eval,
    .put = redir_put,
    .validate = redir_validate,
};
