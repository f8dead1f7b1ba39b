/* Attributes of messages: reading and writing them; memory that is counted to the namespace. */
#include <stdlib.h>
#include <string.h>

#include "net/nft/nft.h"

#define NLA_F_NESTED 0x8000U

/* ---- reading ------------------------------------------------------------------------------- */

bool nft_each(const struct nft_attr *list, u32 *at, u16 *ret_type, struct nft_attr *ret)
{
    struct lx_nlattr a;
    if (!list->p || *at > list->len || list->len - *at < sizeof(a))
        return false;
    memcpy(&a, list->p + *at, sizeof(a));
    if (a.len < sizeof(a) || a.len > list->len - *at)
        return false;
    *ret_type = a.type & NLA_TYPE_MASK;
    *ret = (struct nft_attr){list->p + *at + sizeof(a), a.len - (u32)sizeof(a)};
    *at += NL_ALIGN(a.len);
    return true;
}

int nft_parse(const u8 *p, u32 len, struct nft_attr *tb, const u8 *min, u32 max)
{
    struct nft_attr all = {p, len}, a;
    u32 at = 0;
    u16 type;
    memset(tb, 0, sizeof(*tb) * (max + 1));
    while (nft_each(&all, &at, &type, &a)) {
        if (type > max)
            continue;
        if (min && a.len < min[type])
            return -LX_ERANGE;
        tb[type] = a;
    }
    return 0;
}

int nft_parse_in(const struct nft_attr *a, struct nft_attr *tb, const u8 *min, u32 max)
{
    return a->p ? nft_parse(a->p, a->len, tb, min, max) : -LX_EINVAL;
}

u32 nft_be32(const struct nft_attr *a)
{
    u32 v = 0;
    if (a->p && a->len >= sizeof(v))
        memcpy(&v, a->p, sizeof(v));
    return net32(v);
}

u64 nft_be64(const struct nft_attr *a)
{
    u64 v = 0;
    if (a->p && a->len >= sizeof(v))
        memcpy(&v, a->p, sizeof(v));
    return __builtin_bswap64(v);
}

int nft_name(const struct nft_attr *a, char ret[NFT_NAME_MAX])
{
    if (!a->p)
        return -LX_EINVAL;
    size_t n = strnlen((const char *)a->p, a->len);
    if (n >= NFT_NAME_MAX)
        return -LX_ERANGE;
    memcpy(ret, a->p, n);
    memset(ret + n, 0, NFT_NAME_MAX - n);
    return 0;
}

/* ---- writing ------------------------------------------------------------------------------- */

void nft_put_be16(struct nlbuf *b, u16 type, u16 v)
{
    nl_attr_u16(b, type, net16(v));
}

void nft_put_be32(struct nlbuf *b, u16 type, u32 v)
{
    nl_attr_u32(b, type, net32(v));
}

void nft_put_be64(struct nlbuf *b, u16 type, u64 v)
{
    v = __builtin_bswap64(v);
    nl_attr(b, type, &v, sizeof(v));
}

u32 nft_nest(struct nlbuf *b, u16 type)
{
    return nl_nest(b, (u16)(type | NLA_F_NESTED));
}

void *nft_begin(struct nlbuf *b, struct nft_ns *n, u32 msg, u16 flags, u8 family)
{
    struct lx_nfgenmsg *g =
        nl_begin(b, (u16)(LX_NFNL_SUBSYS_NFTABLES << 8 | msg), flags, sizeof(*g));
    if (g)
        *g = (struct lx_nfgenmsg){.family = family, .res_id = net16((u16)atomic_load(&n->gen))};
    return g;
}

/* ---- values, verdicts, registers ----------------------------------------------------------- */

bool nft_data_is_verdict(const struct nft_attr *a)
{
    struct nft_attr tb[LX_NFTA_DATA_VERDICT + 1];
    return nft_parse_in(a, tb, NULL, LX_NFTA_DATA_VERDICT) == 0 && tb[LX_NFTA_DATA_VERDICT].p;
}

int nft_data_value(const struct nft_attr *a, struct nft_data *ret, u32 *ret_len)
{
    struct nft_attr tb[LX_NFTA_DATA_VERDICT + 1];
    int r = nft_parse_in(a, tb, NULL, LX_NFTA_DATA_VERDICT);
    if (r < 0)
        return r;
    const struct nft_attr *v = &tb[LX_NFTA_DATA_VALUE];
    if (!v->p || !v->len)
        return -LX_EINVAL;
    if (v->len > NFT_KEY_MAX)
        return -LX_EOVERFLOW;
    memset(ret, 0, sizeof(*ret));
    memcpy(ret->b, v->p, v->len);
    *ret_len = v->len;
    return 0;
}

static int jump_target(struct nft_ctx *c, const struct nft_attr *tb, struct nft_chain **ret)
{
    int r = 0;
    struct nft_chain *ch = NULL;
    if (tb[LX_NFTA_VERDICT_CHAIN].p) {
        r = nft_find_chain(c, &tb[LX_NFTA_VERDICT_CHAIN], &ch);
    } else if (tb[LX_NFTA_VERDICT_CHAIN_ID].p) {
        ch = nft_chain_by_id(c, nft_be32(&tb[LX_NFTA_VERDICT_CHAIN_ID]));
        r = ch ? 0 : -LX_ENOENT;
    } else {
        r = -LX_EINVAL;
    }
    if (r == 0 && ch->is_base)
        r = -LX_EOPNOTSUPP;
    if (r == 0)
        *ret = ch;
    return r;
}

int nft_data_verdict(struct nft_ctx *c, const struct nft_attr *a, struct nft_data *ret)
{
    static const u8 min[] = {[LX_NFTA_VERDICT_CODE] = 4, [LX_NFTA_VERDICT_CHAIN_ID] = 4};
    struct nft_attr out[LX_NFTA_DATA_VERDICT + 1], tb[LX_NFTA_VERDICT_CHAIN_ID + 1];
    int r = nft_parse_in(a, out, NULL, LX_NFTA_DATA_VERDICT);
    if (r == 0)
        r = nft_parse_in(&out[LX_NFTA_DATA_VERDICT], tb, min, LX_NFTA_VERDICT_CHAIN_ID);
    if (r < 0)
        return r;
    if (!tb[LX_NFTA_VERDICT_CODE].p)
        return -LX_EINVAL;
    memset(ret, 0, sizeof(*ret));
    ret->v.code = (s32)nft_be32(&tb[LX_NFTA_VERDICT_CODE]);
    switch (ret->v.code) {
    case NFT_V_ACCEPT:
    case NFT_V_DROP:
    case LX_NFT_CONTINUE:
    case LX_NFT_BREAK:
    case LX_NFT_RETURN:
        return 0;
    case LX_NFT_JUMP:
    case LX_NFT_GOTO:
        c->table->must_validate = true;
        return jump_target(c, tb, &ret->v.chain);
    default:
        return -LX_EINVAL;
    }
}

void nft_put_value(struct nlbuf *b, u16 type, const void *v, u32 len)
{
    u32 at = nft_nest(b, type);
    nl_attr(b, LX_NFTA_DATA_VALUE, v, len);
    nl_nest_end(b, at);
}

void nft_put_verdict(struct nlbuf *b, u16 type, const struct nft_data *d)
{
    u32 at = nft_nest(b, type), in = nft_nest(b, LX_NFTA_DATA_VERDICT);
    nft_put_be32(b, LX_NFTA_VERDICT_CODE, (u32)d->v.code);
    if (d->v.chain)
        nl_attr_str(b, LX_NFTA_VERDICT_CHAIN, d->v.chain->name);
    nl_nest_end(b, in);
    nl_nest_end(b, at);
}

int nft_reg(const struct nft_attr *a, u32 len, u8 *ret)
{
    if (!a->p)
        return -LX_EINVAL;
    u32 reg = nft_be32(a), at;
    if (reg >= LX_NFT_REG_1 && reg <= LX_NFT_REG_4)
        at = reg * LX_NFT_REG_SIZE / 4;
    else if (reg >= LX_NFT_REG32_00 && reg <= LX_NFT_REG32_15)
        at = reg + LX_NFT_REG_SIZE / 4 - LX_NFT_REG32_00;
    else
        return -LX_ERANGE;
    if (!len)
        return -LX_EINVAL;
    if (len > (NFT_NREGS - at) * 4)
        return -LX_ERANGE;
    *ret = (u8)at;
    return 0;
}

void nft_put_reg(struct nlbuf *b, u16 type, u8 reg)
{
    u32 v = reg % 4 ? reg - LX_NFT_REG_SIZE / 4 + LX_NFT_REG32_00 : reg / 4U;
    nft_put_be32(b, type, v);
}

/* ---- memory -------------------------------------------------------------------------------- */

struct head {
    struct nft_ns *n;
    u64 size;
};

void *nft_alloc(struct nft_ns *n, u64 size)
{
    u64 full = size + sizeof(struct head) + 16; /* and what malloc needs itself */
    if (atomic_fetch_add(&n->mem, full) + full > NFT_MAX_MEM || !net_mem_charge(full)) {
        atomic_fetch_sub(&n->mem, full);
        return NULL;
    }
    struct head *h = calloc(1, sizeof(*h) + size);
    if (!h) {
        atomic_fetch_sub(&n->mem, full);
        net_mem_uncharge(full);
        return NULL;
    }
    *h = (struct head){n, full};
    return h + 1;
}

void nft_free(void *p)
{
    if (!p)
        return;
    struct head *h = (struct head *)p - 1;
    atomic_fetch_sub(&h->n->mem, h->size);
    net_mem_uncharge(h->size);
    free(h);
}

void *nft_memdup(struct nft_ns *n, const void *p, u32 size)
{
    void *d = nft_alloc(n, size);
    if (d)
        memcpy(d, p, size);
    return d;
}

int nft_blob_set(struct nft_ns *n, struct nft_blob *b, const struct nft_attr *a)
{
    *b = (struct nft_blob){0};
    if (!a->p || !a->len)
        return 0;
    if (a->len > LX_NFT_USERDATA_MAXLEN)
        return -LX_ERANGE;
    b->p = nft_memdup(n, a->p, a->len);
    b->len = a->len;
    return b->p ? 0 : -LX_ENOMEM;
}

void nft_put_blob(struct nlbuf *b, u16 type, const struct nft_blob *v)
{
    if (v->p)
        nl_attr(b, type, v->p, v->len);
}
