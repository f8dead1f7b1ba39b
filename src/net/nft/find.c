/* Expressions that ask others: ct, fib, rt, numgen, hash, notrack. */
#include <string.h>

#include "base/timer.h"
#include "net/filter/ct.h"
#include "net/nft/nft.h"
#include "net/nft/regs.h"
#include "net/stack/stack.h"

/* ---- ct ------------------------------------------------------------------------------------ */

#define NO_DIR 255U

struct ctx_key {
    struct nft_expr e;
    u8 key, reg, dir, len;
    bool is_set;
};

static u32 ct_len(u32 key, u8 family)
{
    switch (key) {
    case LX_NFT_CT_STATE:
    case LX_NFT_CT_STATUS:
    case LX_NFT_CT_MARK:
    case LX_NFT_CT_EXPIRATION:
    case LX_NFT_CT_ID:
    case LX_NFT_CT_SRC_IP:
    case LX_NFT_CT_DST_IP:
        return 4;
    case LX_NFT_CT_DIRECTION:
    case LX_NFT_CT_L3PROTOCOL:
    case LX_NFT_CT_PROTOCOL:
        return 1;
    case LX_NFT_CT_SRC:
    case LX_NFT_CT_DST:
        return family == NFT_IPV4 ? 4 : family == NFT_IPV6 || family == NFT_INET ? 16 : 0;
    case LX_NFT_CT_SRC_IP6:
    case LX_NFT_CT_DST_IP6:
    case LX_NFT_CT_HELPER:
    case LX_NFT_CT_LABELS:
        return 16;
    case LX_NFT_CT_PROTO_SRC:
    case LX_NFT_CT_PROTO_DST:
    case LX_NFT_CT_ZONE:
        return 2;
    case LX_NFT_CT_PKTS:
    case LX_NFT_CT_BYTES:
    case LX_NFT_CT_AVGPKT:
        return 8;
    default:
        return 0;
    }
}

/* Is it said of one direction? */
static bool needs_dir(u32 key)
{
    return key == LX_NFT_CT_SRC || key == LX_NFT_CT_DST || key == LX_NFT_CT_PROTO_SRC ||
           key == LX_NFT_CT_PROTO_DST || (key >= LX_NFT_CT_SRC_IP && key <= LX_NFT_CT_DST_IP6);
}

static bool may_have_dir(u32 key)
{
    return needs_dir(key) || key == LX_NFT_CT_PKTS || key == LX_NFT_CT_BYTES ||
           key == LX_NFT_CT_AVGPKT || key == LX_NFT_CT_ZONE;
}

static int ct_init(struct nft_ctx *c, struct nft_expr *e, const struct nft_attr *tb)
{
    struct ctx_key *x = container_of(e, struct ctx_key, e);
    u32 key = nft_be32(&tb[LX_NFTA_CT_KEY]), len = ct_len(key, c->family);
    const struct nft_attr *dir = &tb[LX_NFTA_CT_DIRECTION];
    if (!tb[LX_NFTA_CT_KEY].p)
        return -LX_EINVAL;
    if (!len)
        return -LX_EOPNOTSUPP;
    x->key = (u8)key;
    x->len = (u8)len;
    x->dir = dir->p ? *dir->p : NO_DIR;
    if (tb[LX_NFTA_CT_SREG].p) {
        if (tb[LX_NFTA_CT_DREG].p)
            return -LX_EINVAL;
        if (key != LX_NFT_CT_MARK || dir->p)
            return dir->p ? -LX_EINVAL : -LX_EOPNOTSUPP;
        x->is_set = true;
        return nft_reg(&tb[LX_NFTA_CT_SREG], len, &x->reg);
    }
    if (needs_dir(key) != !!dir->p && !(dir->p && may_have_dir(key)))
        return -LX_EINVAL;
    if (dir->p && x->dir > CT_REPLY)
        return -LX_EINVAL;
    return nft_reg(&tb[LX_NFTA_CT_DREG], len, &x->reg);
}

static u32 ct_state_bits(const struct xt_packet *p)
{
    static const u8 bits[] = {[CT_NONE] = 1,    [CT_INVALID] = 1, [CT_ESTABLISHED] = 2,
                              [CT_RELATED] = 4, [CT_NEW] = 8,     [CT_UNTRACKED] = 64};
    return bits[p->i.state];
}

static u32 ct_status(const struct ct_view *v)
{
    return (v->has_reply ? 2U : 0) | (v->is_assured ? 4U : 0) | (v->is_confirmed ? 8U : 0) |
           (v->is_snat ? 16U : 0) | (v->is_dnat ? 32U : 0);
}

static void ct_addr(struct nft_regs *r, const struct ctx_key *x, const struct lx_in6_addr *a,
                    bool is_v6)
{
    if (is_v6)
        nft_reg_set(r, x->reg, a->b, MIN(x->len, 16U));
    else
        nft_reg_u32(r, x->reg, a->w[3]);
}

static bool ct_get(const struct ctx_key *x, struct nft_regs *r, const struct xt_packet *p)
{
    static const u8 none[16];
    struct ct_view v;
    if (x->key == LX_NFT_CT_STATE) {
        nft_reg_u32(r, x->reg, ct_state_bits(p));
        return true;
    }
    if (!ct_look(p, &v))
        return false;
    const struct ct_tuple *t = &v.tuple[x->dir == CT_REPLY];
    switch (x->key) {
    case LX_NFT_CT_DIRECTION:
        nft_reg_u32(r, x->reg, p->i.dir);
        return true;
    case LX_NFT_CT_STATUS:
        nft_reg_u32(r, x->reg, ct_status(&v));
        return true;
    case LX_NFT_CT_MARK:
        nft_reg_u32(r, x->reg, ct_mark(p));
        return true;
    case LX_NFT_CT_EXPIRATION:
        nft_reg_u32(r, x->reg, v.left_s * 1000U);
        return true;
    case LX_NFT_CT_ID:
        nft_reg_u32(r, x->reg, ct_id(p));
        return true;
    case LX_NFT_CT_L3PROTOCOL:
        nft_reg_u32(r, x->reg, p->is_v6 ? NFT_IPV6 : NFT_IPV4);
        return true;
    case LX_NFT_CT_PROTOCOL:
        nft_reg_u32(r, x->reg, t->protocol);
        return true;
    case LX_NFT_CT_SRC:
    case LX_NFT_CT_DST:
        ct_addr(r, x, x->key == LX_NFT_CT_SRC ? &t->src : &t->dst, p->is_v6);
        return true;
    case LX_NFT_CT_SRC_IP:
    case LX_NFT_CT_DST_IP:
        ct_addr(r, x, x->key == LX_NFT_CT_SRC_IP ? &t->src : &t->dst, false);
        return !p->is_v6;
    case LX_NFT_CT_SRC_IP6:
    case LX_NFT_CT_DST_IP6:
        ct_addr(r, x, x->key == LX_NFT_CT_SRC_IP6 ? &t->src : &t->dst, true);
        return p->is_v6;
    case LX_NFT_CT_PROTO_SRC:
    case LX_NFT_CT_PROTO_DST:
        nft_reg_u32(r, x->reg, net16(x->key == LX_NFT_CT_PROTO_SRC ? t->sport : t->dport));
        return true;
    case LX_NFT_CT_HELPER:
        return false;
    default: /* labels, zone, and what is counted only when it is asked for */
        nft_reg_set(r, x->reg, none, x->len);
        return true;
    }
}

static void ct_eval(struct nft_expr *e, struct nft_regs *r, const struct nft_pkt *k)
{
    struct ctx_key *x = container_of(e, struct ctx_key, e);
    if (x->is_set)
        ct_set_mark(k->p, r->d[x->reg]);
    else if (!ct_get(x, r, k->p))
        r->code = LX_NFT_BREAK;
}

static void ct_put(struct nlbuf *b, struct nft_expr *e, bool is_reset)
{
    struct ctx_key *x = container_of(e, struct ctx_key, e);
    (void)is_reset;
    nft_put_reg(b, x->is_set ? LX_NFTA_CT_SREG : LX_NFTA_CT_DREG, x->reg);
    nft_put_be32(b, LX_NFTA_CT_KEY, x->key);
    if (x->dir != NO_DIR)
        nl_attr_u8(b, LX_NFTA_CT_DIRECTION, x->dir);
}

const struct nft_expr_ops nft_ops_ct = {
    .name = "ct",
    .size = sizeof(struct ctx_key),
    .nattrs = LX_NFTA_CT_SREG,
    .is_tracking = true,
    .min = (const u8[]){[LX_NFTA_CT_DREG] = 4,
                        [LX_NFTA_CT_KEY] = 4,
                        [LX_NFTA_CT_DIRECTION] = 1,
                        [LX_NFTA_CT_SREG] = 4},
    .init = ct_init,
    .eval = ct_eval,
    .put = ct_put,
};

static void notrack_eval(struct nft_expr *e, struct nft_regs *r, const struct nft_pkt *k)
{
    (void)e;
    (void)r;
    if (!k->p->i.ct && k->p->i.state == CT_NONE)
        k->p->i.state = CT_UNTRACKED;
}

const struct nft_expr_ops nft_ops_notrack = {
    .name = "notrack",
    .size = sizeof(struct nft_expr),
    .eval = notrack_eval,
};

/* ---- fib ----------------------------------------------------------------------------------- */

#define FIB_ALL                                                                                    \
    (LX_NFTA_FIB_F_SADDR | LX_NFTA_FIB_F_DADDR | LX_NFTA_FIB_F_MARK | LX_NFTA_FIB_F_IIF |          \
     LX_NFTA_FIB_F_OIF | LX_NFTA_FIB_F_PRESENT)

struct fib {
    struct nft_expr e;
    u8 reg, result;
    u32 flags;
};

static int fib_init(struct nft_ctx *c, struct nft_expr *e, const struct nft_attr *tb)
{
    struct fib *x = container_of(e, struct fib, e);
    u32 result = nft_be32(&tb[LX_NFTA_FIB_RESULT]), flags = nft_be32(&tb[LX_NFTA_FIB_FLAGS]);
    u32 side = flags & (LX_NFTA_FIB_F_SADDR | LX_NFTA_FIB_F_DADDR);
    (void)c;
    if (!tb[LX_NFTA_FIB_DREG].p || !tb[LX_NFTA_FIB_RESULT].p || !tb[LX_NFTA_FIB_FLAGS].p)
        return -LX_EINVAL;
    if (!side || side == (LX_NFTA_FIB_F_SADDR | LX_NFTA_FIB_F_DADDR) || flags & ~(u32)FIB_ALL)
        return -LX_EINVAL;
    if ((flags & (LX_NFTA_FIB_F_IIF | LX_NFTA_FIB_F_OIF)) ==
        (LX_NFTA_FIB_F_IIF | LX_NFTA_FIB_F_OIF))
        return -LX_EINVAL;
    x->flags = flags;
    x->result = (u8)result;
    switch (result) {
    case LX_NFT_FIB_RESULT_OIF:
        if (flags & LX_NFTA_FIB_F_OIF)
            return -LX_EINVAL;
        return nft_reg(&tb[LX_NFTA_FIB_DREG], 4, &x->reg);
    case LX_NFT_FIB_RESULT_OIFNAME:
        if (flags & LX_NFTA_FIB_F_OIF)
            return -LX_EINVAL;
        return nft_reg(&tb[LX_NFTA_FIB_DREG], flags & LX_NFTA_FIB_F_PRESENT ? 4 : 16, &x->reg);
    case LX_NFT_FIB_RESULT_ADDRTYPE:
        return nft_reg(&tb[LX_NFTA_FIB_DREG], 4, &x->reg);
    default:
        return -LX_EINVAL;
    }
}

/* Where packets to the address would go, by the interface that the flags name. */
static struct stk_iface *fib_iface(const struct fib *x, const struct xt_packet *p)
{
    const struct lx_in6_addr *a = x->flags & LX_NFTA_FIB_F_SADDR ? &p->src : &p->dst;
    struct lx_in6_addr src = {0};
    struct stk_path path = {0};
    struct stk_iface *by = NULL;
    if (x->flags & LX_NFTA_FIB_F_IIF && !(by = stk_iface_named(p->ns->stack, p->in)))
        return NULL;
    if (ipaddr_is_local(p->ns, a))
        return by ? by : stk_lo(p->ns->stack);
    if (stk_route(p->ns->stack, a, by ? by->index : 0, &src, &path) < 0)
        return NULL;
    return path.ifc;
}

static void fib_eval(struct nft_expr *e, struct nft_regs *r, const struct nft_pkt *k)
{
    struct fib *x = container_of(e, struct fib, e);
    const struct xt_packet *p = k->p;
    if (x->result == LX_NFT_FIB_RESULT_ADDRTYPE) {
        /* a bit a type there, the types of routes here */
        nft_reg_u32(r, x->reg,
                    (u32)__builtin_ctz(
                        xt_addr_type(p, x->flags & LX_NFTA_FIB_F_SADDR ? &p->src : &p->dst)));
        return;
    }
    struct stk_iface *f = fib_iface(x, p);
    char name[16] = {0};
    if (x->flags & LX_NFTA_FIB_F_PRESENT) {
        nft_reg_u32(r, x->reg, f != NULL);
    } else if (x->result == LX_NFT_FIB_RESULT_OIF) {
        nft_reg_u32(r, x->reg, f ? (u32)f->index : 0);
    } else {
        if (f)
            memcpy(name, f->name, sizeof(name) - 1);
        nft_reg_set(r, x->reg, name, sizeof(name));
    }
}

static void fib_put(struct nlbuf *b, struct nft_expr *e, bool is_reset)
{
    struct fib *x = container_of(e, struct fib, e);
    (void)is_reset;
    nft_put_reg(b, LX_NFTA_FIB_DREG, x->reg);
    nft_put_be32(b, LX_NFTA_FIB_RESULT, x->result);
    nft_put_be32(b, LX_NFTA_FIB_FLAGS, x->flags);
}

static int fib_validate(struct nft_expr *e, const struct nft_chain *base)
{
    struct fib *x = container_of(e, struct fib, e);
    u32 hooks = XT_BIT(XT_PREROUTING) | XT_BIT(XT_INPUT) | XT_BIT(XT_FORWARD);
    if (x->result == LX_NFT_FIB_RESULT_ADDRTYPE) {
        if (x->flags & LX_NFTA_FIB_F_OIF)
            hooks = XT_BIT(XT_OUTPUT) | XT_BIT(XT_POSTROUTING) | XT_BIT(XT_FORWARD);
        else if (!(x->flags & LX_NFTA_FIB_F_IIF))
            hooks = (1U << XT_HOOKS) - 1;
    }
    return hooks >> base->hook & 1 ? 0 : -LX_EOPNOTSUPP;
}

const struct nft_expr_ops nft_ops_fib = {
    .name = "fib",
    .size = sizeof(struct fib),
    .nattrs = LX_NFTA_FIB_FLAGS,
    .has_rules = true,
    .min = (const u8[]){[LX_NFTA_FIB_DREG] = 4, [LX_NFTA_FIB_RESULT] = 4, [LX_NFTA_FIB_FLAGS] = 4},
    .init = fib_init,
    .eval = fib_eval,
    .put = fib_put,
    .validate = fib_validate,
};

/* ---- rt ------------------------------------------------------------------------------------ */

struct rt {
    struct nft_expr e;
    u8 reg, key;
};

static int rt_init(struct nft_ctx *c, struct nft_expr *e, const struct nft_attr *tb)
{
    struct rt *x = container_of(e, struct rt, e);
    u32 key = nft_be32(&tb[LX_NFTA_RT_KEY]);
    (void)c;
    if (!tb[LX_NFTA_RT_KEY].p || !tb[LX_NFTA_RT_DREG].p)
        return -LX_EINVAL;
    x->key = (u8)key;
    switch (key) {
    case LX_NFT_RT_NEXTHOP4:
        return nft_reg(&tb[LX_NFTA_RT_DREG], 4, &x->reg);
    case LX_NFT_RT_NEXTHOP6:
        return nft_reg(&tb[LX_NFTA_RT_DREG], 16, &x->reg);
    case LX_NFT_RT_TCPMSS:
        return nft_reg(&tb[LX_NFTA_RT_DREG], 2, &x->reg);
    default:
        return -LX_EOPNOTSUPP;
    }
}

static u32 mtu_to(const struct xt_packet *p, const struct lx_in6_addr *a, struct stk_path *path)
{
    struct lx_in6_addr src = {0};
    if (ipaddr_is_local(p->ns, a))
        return stk_lo(p->ns->stack)->mtu;
    return stk_route(p->ns->stack, a, 0, &src, path) < 0 ? 0 : path->mtu;
}

static void rt_eval(struct nft_expr *e, struct nft_regs *r, const struct nft_pkt *k)
{
    struct rt *x = container_of(e, struct rt, e);
    struct stk_path path = {0};
    const struct xt_packet *p = k->p;
    u32 mtu = mtu_to(p, &p->dst, &path), heads = (p->is_v6 ? IP6_HLEN : IP4_HLEN) + TCP_HLEN;
    if (x->key == LX_NFT_RT_TCPMSS) {
        u32 back = mtu_to(p, &p->src, &path);
        mtu = back ? MIN(mtu, back) : mtu;
        nft_reg_u32(r, x->reg, net16(mtu > heads ? (u16)MIN(mtu - heads, 65535U) : 0));
    } else if (p->is_v6 != (x->key == LX_NFT_RT_NEXTHOP6) || !mtu) {
        r->code = LX_NFT_BREAK;
    } else {
        const struct lx_in6_addr *a = path.ifc ? &path.nexthop : &p->dst;
        nft_reg_set(r, x->reg, a->b + (p->is_v6 ? 0 : 12), p->is_v6 ? 16 : 4);
    }
}

static void rt_put(struct nlbuf *b, struct nft_expr *e, bool is_reset)
{
    struct rt *x = container_of(e, struct rt, e);
    (void)is_reset;
    nft_put_be32(b, LX_NFTA_RT_KEY, x->key);
    nft_put_reg(b, LX_NFTA_RT_DREG, x->reg);
}

static int rt_validate(struct nft_expr *e, const struct nft_chain *base)
{
    struct rt *x = container_of(e, struct rt, e);
    u32 hooks = x->key == LX_NFT_RT_TCPMSS
                    ? XT_BIT(XT_FORWARD) | XT_BIT(XT_OUTPUT) | XT_BIT(XT_POSTROUTING)
                    : (1U << XT_HOOKS) - 1;
    return hooks >> base->hook & 1 ? 0 : -LX_EOPNOTSUPP;
}

const struct nft_expr_ops nft_ops_rt = {
    .name = "rt",
    .size = sizeof(struct rt),
    .nattrs = LX_NFTA_RT_KEY,
    .has_rules = true,
    .min = (const u8[]){[LX_NFTA_RT_DREG] = 4, [LX_NFTA_RT_KEY] = 4},
    .init = rt_init,
    .eval = rt_eval,
    .put = rt_put,
    .validate = rt_validate,
};

/* ---- numgen, hash -------------------------------------------------------------------------- */

struct gen {
    struct nft_expr e;
    u8 reg, sreg, type;
    u32 modulus, offset, len, seed;
    bool has_seed;
    u64 secret[2];
    _Atomic u32 next;
};

static int modulus(struct gen *x, const struct nft_attr *m, const struct nft_attr *off)
{
    x->modulus = nft_be32(m);
    x->offset = nft_be32(off);
    if (!m->p || !x->modulus)
        return m->p ? -LX_ERANGE : -LX_EINVAL;
    return x->offset + x->modulus - 1 < x->offset ? -LX_EOVERFLOW : 0;
}

static int numgen_init(struct nft_ctx *c, struct nft_expr *e, const struct nft_attr *tb)
{
    struct gen *x = container_of(e, struct gen, e);
    u32 type = nft_be32(&tb[LX_NFTA_NG_TYPE]);
    (void)c;
    if (!tb[LX_NFTA_NG_TYPE].p || !tb[LX_NFTA_NG_DREG].p)
        return -LX_EINVAL;
    int r = modulus(x, &tb[LX_NFTA_NG_MODULUS], &tb[LX_NFTA_NG_OFFSET]);
    if (r == 0 && type > LX_NFT_NG_RANDOM)
        r = -LX_EINVAL;
    x->type = (u8)type;
    return r < 0 ? r : nft_reg(&tb[LX_NFTA_NG_DREG], 4, &x->reg);
}

static void numgen_eval(struct nft_expr *e, struct nft_regs *r, const struct nft_pkt *k)
{
    struct gen *x = container_of(e, struct gen, e);
    u32 v = (u32)((u64)net_random() * x->modulus >> 32);
    if (x->type == LX_NFT_NG_INCREMENTAL) {
        u32 old = x->next, next;
        do {
            next = old + 1 < x->modulus ? old + 1 : 0;
        } while (k->is_live && !atomic_compare_exchange_weak(&x->next, &old, next));
        v = next;
    }
    nft_reg_u32(r, x->reg, v + x->offset);
}

static void numgen_put(struct nlbuf *b, struct nft_expr *e, bool is_reset)
{
    struct gen *x = container_of(e, struct gen, e);
    (void)is_reset;
    nft_put_reg(b, LX_NFTA_NG_DREG, x->reg);
    nft_put_be32(b, LX_NFTA_NG_MODULUS, x->modulus);
    nft_put_be32(b, LX_NFTA_NG_TYPE, x->type);
    nft_put_be32(b, LX_NFTA_NG_OFFSET, x->offset);
}

const struct nft_expr_ops nft_ops_numgen = {
    .name = "numgen",
    .size = sizeof(struct gen),
    .nattrs = LX_NFTA_NG_OFFSET,
    .min = (const u8[]){[LX_NFTA_NG_DREG] = 4,
                        [LX_NFTA_NG_MODULUS] = 4,
                        [LX_NFTA_NG_TYPE] = 4,
                        [LX_NFTA_NG_OFFSET] = 4},
    .init = numgen_init,
    .eval = numgen_eval,
    .put = numgen_put,
};

static int hash_init(struct nft_ctx *c, struct nft_expr *e, const struct nft_attr *tb)
{
    struct gen *x = container_of(e, struct gen, e);
    u32 type = nft_be32(&tb[LX_NFTA_HASH_TYPE]);
    if (!tb[LX_NFTA_HASH_DREG].p || type > LX_NFT_HASH_SYM)
        return -LX_EINVAL;
    x->type = (u8)type;
    int r = modulus(x, &tb[LX_NFTA_HASH_MODULUS], &tb[LX_NFTA_HASH_OFFSET]);
    if (r == 0)
        r = nft_reg(&tb[LX_NFTA_HASH_DREG], 4, &x->reg);
    memcpy(x->secret, c->n->secret, sizeof(x->secret));
    if (r < 0 || type == LX_NFT_HASH_SYM)
        return r;
    x->len = nft_be32(&tb[LX_NFTA_HASH_LEN]);
    if (!x->len || x->len > NFT_KEY_MAX)
        return -LX_ERANGE;
    x->has_seed = tb[LX_NFTA_HASH_SEED].p;
    x->seed = nft_be32(&tb[LX_NFTA_HASH_SEED]);
    if (x->has_seed) { /* the same for the same seed, which is all that can be asked */
        x->secret[0] = x->seed;
        x->secret[1] = 0;
    }
    return nft_reg(&tb[LX_NFTA_HASH_SREG], x->len, &x->sreg);
}

static u32 symmetric(const struct gen *x, const struct xt_packet *p)
{
    struct ct_tuple t = {.src = p->src, .dst = p->dst, .protocol = p->protocol};
    bool has_ports = (p->protocol == PROTO_TCP || p->protocol == PROTO_UDP) && p->l4_len >= 4;
    if (has_ports) {
        t.sport = rd16(p->l4);
        t.dport = rd16(p->l4 + 2);
    }
    int d = memcmp(&t.src, &t.dst, sizeof(t.src));
    if (d > 0 || (d == 0 && t.sport > t.dport)) {
        t = (struct ct_tuple){.src = p->dst,
                              .dst = p->src,
                              .protocol = p->protocol,
                              .sport = t.dport,
                              .dport = t.sport};
    }
    return (u32)net_hash(x->secret, &t, sizeof(t));
}

static void hash_eval(struct nft_expr *e, struct nft_regs *r, const struct nft_pkt *k)
{
    struct gen *x = container_of(e, struct gen, e);
    u32 h = x->type == LX_NFT_HASH_SYM ? symmetric(x, k->p)
                                       : (u32)net_hash(x->secret, &r->d[x->sreg], x->len);
    nft_reg_u32(r, x->reg, (u32)((u64)h * x->modulus >> 32) + x->offset);
}

static void hash_put(struct nlbuf *b, struct nft_expr *e, bool is_reset)
{
    struct gen *x = container_of(e, struct gen, e);
    (void)is_reset;
    if (x->type != LX_NFT_HASH_SYM) {
        nft_put_reg(b, LX_NFTA_HASH_SREG, x->sreg);
        nft_put_be32(b, LX_NFTA_HASH_LEN, x->len);
        if (x->has_seed)
            nft_put_be32(b, LX_NFTA_HASH_SEED, x->seed);
    }
    nft_put_reg(b, LX_NFTA_HASH_DREG, x->reg);
    nft_put_be32(b, LX_NFTA_HASH_MODULUS, x->modulus);
    if (x->offset)
        nft_put_be32(b, LX_NFTA_HASH_OFFSET, x->offset);
    nft_put_be32(b, LX_NFTA_HASH_TYPE, x->type);
}

const struct nft_expr_ops nft_ops_hash = {
    .name = "hash",
    .size = sizeof(struct gen),
    .nattrs = LX_NFTA_HASH_TYPE,
    .min = (const u8[]){[LX_NFTA_HASH_SREG] = 4,
                        [LX_NFTA_HASH_DREG] = 4,
                        [LX_NFTA_HASH_LEN] = 4,
                        [LX_NFTA_HASH_MODULUS] = 4,
                        [LX_NFTA_HASH_SEED] = 4,
                        [LX_NFTA_HASH_OFFSET] = 4,
                        [LX_NFTA_HASH_TYPE] = 4},
    .init = hash_init,
    .eval = hash_eval,
    .put = hash_put,
};
