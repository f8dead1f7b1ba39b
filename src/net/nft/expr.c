/* Expressions: by name, with counts of what they refer to; those on registers alone. */
#include <string.h>

#include "net/nft/nft.h"

#define MAX_ATTRS 16U

static const struct nft_expr_ops *const all[] = {
    &nft_ops_immediate, &nft_ops_cmp,    &nft_ops_bitwise, &nft_ops_byteorder, &nft_ops_range,
    &nft_ops_counter,   &nft_ops_limit,  &nft_ops_quota,   &nft_ops_last,      &nft_ops_meta,
    &nft_ops_payload,   &nft_ops_exthdr, &nft_ops_ct,      &nft_ops_fib,       &nft_ops_numgen,
    &nft_ops_hash,      &nft_ops_rt,     &nft_ops_lookup,  &nft_ops_dynset,    &nft_ops_objref,
    &nft_ops_reject,    &nft_ops_log,    &nft_ops_nat,     &nft_ops_masq,      &nft_ops_redir,
    &nft_ops_notrack,   &nft_ops_match,  &nft_ops_target,
};

int nft_expr_make(struct nft_ctx *c, const struct nft_expr_ops *ops, const struct nft_attr *data,
                  struct nft_expr **ret)
{
    struct nft_attr tb[MAX_ATTRS + 1];
    int r = nft_parse(data->p, data->p ? data->len : 0, tb, ops->min, ops->nattrs);
    if (r < 0)
        return r;
    struct nft_expr *e = nft_alloc(c->n, ops->size);
    if (!e)
        return -LX_ENOMEM;
    e->ops = ops;
    r = ops->init ? ops->init(c, e, tb) : 0;
    if (r < 0) {
        nft_free(e);
        return r;
    }
    nft_expr_link(c->n, e);
    if (ops->has_rules && c->table)
        c->table->must_validate = true;
    *ret = e;
    return 0;
}

int nft_expr_new(struct nft_ctx *c, const struct nft_attr *a, struct nft_expr **ret)
{
    struct nft_attr tb[LX_NFTA_EXPR_DATA + 1];
    char name[NFT_NAME_MAX];
    int r = nft_parse_in(a, tb, NULL, LX_NFTA_EXPR_DATA);
    if (r == 0)
        r = nft_name(&tb[LX_NFTA_EXPR_NAME], name);
    if (r < 0)
        return r;
    for (u32 i = 0; i < ARRAY_SIZE(all); i++) {
        if (strcmp(name, all[i]->name))
            continue;
        r = nft_expr_make(c, all[i], &tb[LX_NFTA_EXPR_DATA], ret);
        if (r < 0 && !c->bad)
            c->bad = tb[LX_NFTA_EXPR_NAME].p;
        return r;
    }
    c->bad = tb[LX_NFTA_EXPR_NAME].p;
    return -LX_ENOENT;
}

void nft_expr_free(struct nft_ns *n, struct nft_expr *e)
{
    (void)n;
    if (!e)
        return;
    if (e->ops->done)
        e->ops->done(e);
    nft_free(e);
}

static bool asks_ct(struct nft_expr *e)
{
    return e->ops->asks_ct ? e->ops->asks_ct(e) : e->ops->is_tracking;
}

void nft_expr_link(struct nft_ns *n, struct nft_expr *e)
{
    n->ntracking += asks_ct(e);
    if (e->ops->link)
        e->ops->link(e);
}

void nft_expr_unlink(struct nft_ns *n, struct nft_expr *e)
{
    n->ntracking -= asks_ct(e);
    if (e->ops->unlink)
        e->ops->unlink(e);
}

void nft_expr_put(struct nlbuf *b, u16 type, struct nft_expr *e, bool is_reset)
{
    u32 at = nft_nest(b, type);
    nl_attr_str(b, LX_NFTA_EXPR_NAME, e->ops->name);
    if (e->ops->put) {
        u32 in = nft_nest(b, LX_NFTA_EXPR_DATA);
        e->ops->put(b, e, is_reset);
        nl_nest_end(b, in);
    }
    nl_nest_end(b, at);
}

/* ---- lists of stateful ones ---------------------------------------------------------------- */

/* Stateful expressions hold no pointers. */
struct nft_expr *nft_expr_clone(struct nft_ns *n, const struct nft_expr *e)
{
    return nft_memdup(n, e, e->ops->size);
}

void nft_exprs_free(struct nft_ns *n, struct nft_expr **e, u32 count)
{
    for (u32 i = 0; e && i < count; i++)
        nft_expr_free(n, e[i]);
    nft_free(e);
}

static int add_stateful(struct nft_ctx *c, const struct nft_attr *a, struct nft_expr **e, u32 *n)
{
    if (*n == 2)
        return -LX_E2BIG;
    int r = nft_expr_new(c, a, &e[*n]);
    if (r < 0)
        return r;
    (*n)++;
    return e[*n - 1]->ops->is_stateful ? 0 : -LX_EOPNOTSUPP;
}

int nft_exprs_new(struct nft_ctx *c, const struct nft_attr *one, const struct nft_attr *list,
                  struct nft_expr ***ret, u32 *ret_n)
{
    u32 n = 0, at = 0;
    struct nft_attr a;
    u16 type;
    int r = 0;
    *ret = NULL;
    *ret_n = 0;
    if (!one->p && !list->p)
        return 0;
    struct nft_expr **e = nft_alloc(c->n, 2 * sizeof(*e));
    if (!e)
        return -LX_ENOMEM;
    if (one->p)
        r = add_stateful(c, one, e, &n);
    while (r == 0 && nft_each(list, &at, &type, &a))
        r = type == LX_NFTA_LIST_ELEM ? add_stateful(c, &a, e, &n) : -LX_EINVAL;
    if (r < 0) {
        nft_exprs_free(c->n, e, n);
        return r;
    }
    *ret = e;
    *ret_n = n;
    return 0;
}

void nft_exprs_put(struct nlbuf *b, u16 one, u16 list, struct nft_expr **e, u32 count,
                   bool is_reset)
{
    if (count == 1)
        nft_expr_put(b, one, e[0], is_reset);
    if (count < 2)
        return;
    u32 at = nft_nest(b, list);
    for (u32 i = 0; i < count; i++)
        nft_expr_put(b, LX_NFTA_LIST_ELEM, e[i], is_reset);
    nl_nest_end(b, at);
}

/* ---- immediate ----------------------------------------------------------------------------- */

struct immediate {
    struct nft_expr e;
    u8 reg;
    bool is_verdict;
    u32 len;
    struct nft_data data;
};

static int immediate_init(struct nft_ctx *c, struct nft_expr *e, const struct nft_attr *tb)
{
    struct immediate *x = container_of(e, struct immediate, e);
    const struct nft_attr *d = &tb[LX_NFTA_IMMEDIATE_DATA];
    if (!tb[LX_NFTA_IMMEDIATE_DREG].p || !d->p)
        return -LX_EINVAL;
    if (nft_be32(&tb[LX_NFTA_IMMEDIATE_DREG]) == LX_NFT_REG_VERDICT) {
        x->is_verdict = true;
        return nft_data_verdict(c, d, &x->data);
    }
    int r = nft_data_value(d, &x->data, &x->len);
    return r < 0 ? r : nft_reg(&tb[LX_NFTA_IMMEDIATE_DREG], x->len, &x->reg);
}

static void immediate_eval(struct nft_expr *e, struct nft_regs *r, const struct nft_pkt *k)
{
    struct immediate *x = container_of(e, struct immediate, e);
    (void)k;
    if (x->is_verdict) {
        r->code = x->data.v.code;
        r->chain = x->data.v.chain;
    } else {
        memcpy(&r->d[x->reg], &x->data, NL_ALIGN(x->len));
    }
}

static void immediate_put(struct nlbuf *b, struct nft_expr *e, bool is_reset)
{
    struct immediate *x = container_of(e, struct immediate, e);
    (void)is_reset;
    if (x->is_verdict)
        nft_put_be32(b, LX_NFTA_IMMEDIATE_DREG, LX_NFT_REG_VERDICT);
    else
        nft_put_reg(b, LX_NFTA_IMMEDIATE_DREG, x->reg);
    if (x->is_verdict)
        nft_put_verdict(b, LX_NFTA_IMMEDIATE_DATA, &x->data);
    else
        nft_put_value(b, LX_NFTA_IMMEDIATE_DATA, &x->data, x->len);
}

struct nft_chain *nft_immediate_chain(struct nft_expr *e)
{
    if (e->ops != &nft_ops_immediate)
        return NULL;
    struct immediate *x = container_of(e, struct immediate, e);
    return x->is_verdict ? x->data.v.chain : NULL;
}

static void immediate_link(struct nft_expr *e)
{
    struct nft_chain *c = nft_immediate_chain(e);
    if (c)
        c->use++;
}

static void immediate_unlink(struct nft_expr *e)
{
    struct nft_chain *c = nft_immediate_chain(e);
    if (c)
        c->use--;
}

const struct nft_expr_ops nft_ops_immediate = {
    .name = "immediate",
    .size = sizeof(struct immediate),
    .nattrs = LX_NFTA_IMMEDIATE_DATA,
    .min = (const u8[]){[LX_NFTA_IMMEDIATE_DREG] = 4, [LX_NFTA_IMMEDIATE_DATA] = 0},
    .init = immediate_init,
    .eval = immediate_eval,
    .put = immediate_put,
    .link = immediate_link,
    .unlink = immediate_unlink,
};

/* ---- cmp, range ---------------------------------------------------------------------------- */

struct cmp {
    struct nft_expr e;
    u8 reg, op;
    u32 len;
    struct nft_data data, to;
};

static int cmp_init(struct nft_ctx *c, struct nft_expr *e, const struct nft_attr *tb)
{
    struct cmp *x = container_of(e, struct cmp, e);
    (void)c;
    if (!tb[LX_NFTA_CMP_SREG].p || !tb[LX_NFTA_CMP_OP].p || !tb[LX_NFTA_CMP_DATA].p)
        return -LX_EINVAL;
    int r = nft_data_value(&tb[LX_NFTA_CMP_DATA], &x->data, &x->len);
    if (r == 0)
        r = nft_reg(&tb[LX_NFTA_CMP_SREG], x->len, &x->reg);
    if (r < 0)
        return r;
    u32 op = nft_be32(&tb[LX_NFTA_CMP_OP]);
    x->op = (u8)op;
    return op <= LX_NFT_CMP_GTE ? 0 : -LX_EINVAL;
}

static void cmp_eval(struct nft_expr *e, struct nft_regs *r, const struct nft_pkt *k)
{
    struct cmp *x = container_of(e, struct cmp, e);
    int d = memcmp(&r->d[x->reg], &x->data, x->len);
    const bool is[] = {d == 0, d != 0, d<0, d <= 0, d> 0, d >= 0};
    (void)k;
    if (!is[x->op])
        r->code = LX_NFT_BREAK;
}

static void cmp_put(struct nlbuf *b, struct nft_expr *e, bool is_reset)
{
    struct cmp *x = container_of(e, struct cmp, e);
    (void)is_reset;
    nft_put_reg(b, LX_NFTA_CMP_SREG, x->reg);
    nft_put_be32(b, LX_NFTA_CMP_OP, x->op);
    nft_put_value(b, LX_NFTA_CMP_DATA, &x->data, x->len);
}

const struct nft_expr_ops nft_ops_cmp = {
    .name = "cmp",
    .size = sizeof(struct cmp),
    .nattrs = LX_NFTA_CMP_DATA,
    .min = (const u8[]){[LX_NFTA_CMP_SREG] = 4, [LX_NFTA_CMP_OP] = 4, [LX_NFTA_CMP_DATA] = 0},
    .init = cmp_init,
    .eval = cmp_eval,
    .put = cmp_put,
};

static int range_init(struct nft_ctx *c, struct nft_expr *e, const struct nft_attr *tb)
{
    struct cmp *x = container_of(e, struct cmp, e);
    u32 len;
    (void)c;
    if (!tb[LX_NFTA_RANGE_SREG].p || !tb[LX_NFTA_RANGE_OP].p)
        return -LX_EINVAL;
    int r = nft_data_value(&tb[LX_NFTA_RANGE_FROM_DATA], &x->data, &x->len);
    if (r == 0)
        r = nft_data_value(&tb[LX_NFTA_RANGE_TO_DATA], &x->to, &len);
    if (r == 0 && len != x->len)
        r = -LX_EINVAL;
    if (r == 0)
        r = nft_reg(&tb[LX_NFTA_RANGE_SREG], x->len, &x->reg);
    if (r < 0)
        return r;
    u32 op = nft_be32(&tb[LX_NFTA_RANGE_OP]);
    x->op = (u8)op;
    return op <= LX_NFT_RANGE_NEQ ? 0 : -LX_EINVAL;
}

static void range_eval(struct nft_expr *e, struct nft_regs *r, const struct nft_pkt *k)
{
    struct cmp *x = container_of(e, struct cmp, e);
    bool is_in =
        memcmp(&r->d[x->reg], &x->data, x->len) >= 0 && memcmp(&r->d[x->reg], &x->to, x->len) <= 0;
    (void)k;
    if (is_in != (x->op == LX_NFT_RANGE_EQ))
        r->code = LX_NFT_BREAK;
}

static void range_put(struct nlbuf *b, struct nft_expr *e, bool is_reset)
{
    struct cmp *x = container_of(e, struct cmp, e);
    (void)is_reset;
    nft_put_reg(b, LX_NFTA_RANGE_SREG, x->reg);
    nft_put_be32(b, LX_NFTA_RANGE_OP, x->op);
    nft_put_value(b, LX_NFTA_RANGE_FROM_DATA, &x->data, x->len);
    nft_put_value(b, LX_NFTA_RANGE_TO_DATA, &x->to, x->len);
}

const struct nft_expr_ops nft_ops_range = {
    .name = "range",
    .size = sizeof(struct cmp),
    .nattrs = LX_NFTA_RANGE_TO_DATA,
    .min =
        (const u8[]){[LX_NFTA_RANGE_SREG] = 4, [LX_NFTA_RANGE_OP] = 4, [LX_NFTA_RANGE_TO_DATA] = 0},
    .init = range_init,
    .eval = range_eval,
    .put = range_put,
};

/* ---- bitwise ------------------------------------------------------------------------------- */

struct bitwise {
    struct nft_expr e;
    u8 sreg, dreg, op;
    u32 len;
    struct nft_data mask, xor; /* of a shift: mask.d[0] bits */
};

static int bitwise_init(struct nft_ctx *c, struct nft_expr *e, const struct nft_attr *tb)
{
    struct bitwise *x = container_of(e, struct bitwise, e);
    u32 len, op = nft_be32(&tb[LX_NFTA_BITWISE_OP]);
    (void)c;
    x->len = nft_be32(&tb[LX_NFTA_BITWISE_LEN]);
    if (!tb[LX_NFTA_BITWISE_LEN].p || op > LX_NFT_BITWISE_RSHIFT)
        return tb[LX_NFTA_BITWISE_LEN].p ? -LX_EOPNOTSUPP : -LX_EINVAL;
    if (x->len > 255)
        return -LX_ERANGE;
    x->op = (u8)op;
    int r = nft_reg(&tb[LX_NFTA_BITWISE_SREG], x->len, &x->sreg);
    if (r == 0)
        r = nft_reg(&tb[LX_NFTA_BITWISE_DREG], x->len, &x->dreg);
    if (r < 0)
        return r;
    const struct nft_attr *mask = &tb[LX_NFTA_BITWISE_MASK], *xor = &tb[LX_NFTA_BITWISE_XOR],
                          *data = &tb[LX_NFTA_BITWISE_DATA];
    if (op == LX_NFT_BITWISE_MASK_XOR) {
        if (data->p)
            return -LX_EINVAL;
        r = nft_data_value(mask, &x->mask, &len);
        if (r == 0 && len != x->len)
            r = -LX_EINVAL;
        if (r == 0)
            r = nft_data_value(xor, &x->xor, &len);
        return r == 0 && len != x->len ? -LX_EINVAL : r;
    }
    if (mask->p || xor->p || !data->p)
        return -LX_EINVAL;
    r = nft_data_value(data, &x->mask, &len);
    return r == 0 && (len != 4 || x->mask.d[0] >= 32) ? -LX_EINVAL : r;
}

static void bitwise_eval(struct nft_expr *e, struct nft_regs *r, const struct nft_pkt *k)
{
    struct bitwise *x = container_of(e, struct bitwise, e);
    u32 n = (x->len + 3) / 4, shift = x->mask.d[0], carry = 0;
    u32 *to = &r->d[x->dreg], *from = &r->d[x->sreg];
    (void)k;
    if (x->op == LX_NFT_BITWISE_MASK_XOR) {
        for (u32 i = 0; i < n; i++)
            to[i] = (from[i] & x->mask.d[i]) ^ x->xor.d[i];
    } else if (x->op == LX_NFT_BITWISE_LSHIFT) {
        for (u32 i = n; i--;) {
            u32 v = from[i];
            to[i] = v << shift | carry;
            carry = shift ? v >> (32 - shift) : 0;
        }
    } else {
        for (u32 i = 0; i < n; i++) {
            u32 v = from[i];
            to[i] = carry | v >> shift;
            carry = shift ? v << (32 - shift) : 0;
        }
    }
}

static void bitwise_put(struct nlbuf *b, struct nft_expr *e, bool is_reset)
{
    struct bitwise *x = container_of(e, struct bitwise, e);
    (void)is_reset;
    nft_put_reg(b, LX_NFTA_BITWISE_SREG, x->sreg);
    nft_put_reg(b, LX_NFTA_BITWISE_DREG, x->dreg);
    nft_put_be32(b, LX_NFTA_BITWISE_LEN, x->len);
    nft_put_be32(b, LX_NFTA_BITWISE_OP, x->op);
    if (x->op == LX_NFT_BITWISE_MASK_XOR) {
        nft_put_value(b, LX_NFTA_BITWISE_MASK, &x->mask, x->len);
        nft_put_value(b, LX_NFTA_BITWISE_XOR, &x->xor, x->len);
    } else {
        nft_put_value(b, LX_NFTA_BITWISE_DATA, &x->mask, 4);
    }
}

const struct nft_expr_ops nft_ops_bitwise = {
    .name = "bitwise",
    .size = sizeof(struct bitwise),
    .nattrs = LX_NFTA_BITWISE_DATA,
    .min = (const u8[]){[LX_NFTA_BITWISE_SREG] = 4,
                        [LX_NFTA_BITWISE_DREG] = 4,
                        [LX_NFTA_BITWISE_LEN] = 4,
                        [LX_NFTA_BITWISE_OP] = 4,
                        [LX_NFTA_BITWISE_DATA] = 0},
    .init = bitwise_init,
    .eval = bitwise_eval,
    .put = bitwise_put,
};

/* ---- byteorder ----------------------------------------------------------------------------- */

struct byteorder {
    struct nft_expr e;
    u8 sreg, dreg, op, size;
    u32 len;
};

static int byteorder_init(struct nft_ctx *c, struct nft_expr *e, const struct nft_attr *tb)
{
    struct byteorder *x = container_of(e, struct byteorder, e);
    u32 op = nft_be32(&tb[LX_NFTA_BYTEORDER_OP]), size = nft_be32(&tb[LX_NFTA_BYTEORDER_SIZE]);
    (void)c;
    x->len = nft_be32(&tb[LX_NFTA_BYTEORDER_LEN]);
    if (!tb[LX_NFTA_BYTEORDER_OP].p || op > LX_NFT_BYTEORDER_HTON ||
        (size != 2 && size != 4 && size != 8))
        return -LX_EINVAL;
    if (x->len > NFT_KEY_MAX || x->len % size)
        return -LX_ERANGE;
    x->op = (u8)op;
    x->size = (u8)size;
    int r = nft_reg(&tb[LX_NFTA_BYTEORDER_SREG], x->len, &x->sreg);
    return r < 0 ? r : nft_reg(&tb[LX_NFTA_BYTEORDER_DREG], x->len, &x->dreg);
}

/* Either direction swaps on this machine. */
static void byteorder_eval(struct nft_expr *e, struct nft_regs *r, const struct nft_pkt *k)
{
    struct byteorder *x = container_of(e, struct byteorder, e);
    u8 in[NFT_KEY_MAX], *out = (u8 *)&r->d[x->dreg];
    (void)k;
    memcpy(in, &r->d[x->sreg], x->len);
    for (u32 i = 0; i < x->len; i += x->size) {
        for (u32 j = 0; j < x->size; j++)
            out[i + j] = in[i + x->size - 1 - j];
    }
}

static void byteorder_put(struct nlbuf *b, struct nft_expr *e, bool is_reset)
{
    struct byteorder *x = container_of(e, struct byteorder, e);
    (void)is_reset;
    nft_put_reg(b, LX_NFTA_BYTEORDER_SREG, x->sreg);
    nft_put_reg(b, LX_NFTA_BYTEORDER_DREG, x->dreg);
    nft_put_be32(b, LX_NFTA_BYTEORDER_OP, x->op);
    nft_put_be32(b, LX_NFTA_BYTEORDER_LEN, x->len);
    nft_put_be32(b, LX_NFTA_BYTEORDER_SIZE, x->size);
}

const struct nft_expr_ops nft_ops_byteorder = {
    .name = "byteorder",
    .size = sizeof(struct byteorder),
    .nattrs = LX_NFTA_BYTEORDER_SIZE,
    .min = (const u8[]){[LX_NFTA_BYTEORDER_SREG] = 4,
                        [LX_NFTA_BYTEORDER_DREG] = 4,
                        [LX_NFTA_BYTEORDER_OP] = 4,
                        [LX_NFTA_BYTEORDER_LEN] = 4,
                        [LX_NFTA_BYTEORDER_SIZE] = 4},
    .init = byteorder_init,
    .eval = byteorder_eval,
    .put = byteorder_put,
};
