/*
 * Matches and targets of iptables inside of rules, as iptables-nft writes them: the same code as in
 * iptables' own tables runs them.
 */
#include <string.h>

#include "net/filter/xt_ext.h"
#include "net/nft/batch.h"
#include "net/nft/nft.h"

#define DATA_MAX 512U /* bytes of a match or target */

struct compat {
    struct nft_expr e;
    const struct xt_match *match;
    const struct xt_target *target;
    struct xt_place place;
    _Atomic u64 state[2];
    u32 size;
    char table[32];
    u8 data[DATA_MAX];
};

static enum xt_family family_of(u8 family)
{
    return family == NFT_IPV6 ? XT_V6 : XT_V4;
}

static bool table_id(const char *name, enum xt_table_id *ret)
{
    static const char *const names[] = {"raw", "mangle", "nat", "filter"};
    for (u32 i = 0; i < XT_TABLES; i++) {
        if (!strcmp(name, names[i])) {
            *ret = (enum xt_table_id)i;
            return true;
        }
    }
    return false;
}

/* What both have: the name, and data of at least the size that its code reads. */
static int read_common(struct nft_ctx *c, struct compat *x, const struct nft_attr *name,
                       const struct nft_attr *rev, const struct nft_attr *info, char out[32])
{
    if (!name->p || !rev->p || !info->p || rev->len < 4)
        return -LX_EINVAL;
    if (c->family != NFT_IPV4 && c->family != NFT_IPV6)
        return -LX_EOPNOTSUPP;
    size_t n = strnlen((const char *)name->p, name->len);
    if (n >= 29)
        return -LX_ENOENT;
    memcpy(out, name->p, n);
    out[n] = 0;
    if (info->len > DATA_MAX)
        return -LX_EINVAL;
    memcpy(x->data, info->p, info->len);
    x->size = info->len;
    x->place = (struct xt_place){.family = family_of(c->family)};
    if (c->compat_proto && !c->is_compat_inverted)
        x->place.protocol = c->compat_proto;
    if (c->chain && c->chain->is_base)
        x->place.hooks = XT_BIT(c->chain->hook);
    x->place.table = XT_FILTER;
    (void)table_id(c->table->name, &x->place.table); /* others are like filter */
    strncpy(x->table, c->table->name, sizeof(x->table) - 1);
    return 0;
}

/* ---- match --------------------------------------------------------------------------------- */

static int match_init(struct nft_ctx *c, struct nft_expr *e, const struct nft_attr *tb)
{
    struct compat *x = container_of(e, struct compat, e);
    char name[32];
    int r = read_common(c, x, &tb[LX_NFTA_MATCH_NAME], &tb[LX_NFTA_MATCH_REV],
                        &tb[LX_NFTA_MATCH_INFO], name);
    if (r < 0)
        return r;
    u32 rev = nft_be32(&tb[LX_NFTA_MATCH_REV]);
    for (u32 i = 0; i < xt_nmatches && !x->match; i++) {
        const struct xt_match *m = &xt_matches[i];
        if (!strcmp(m->name, name) && m->revision == rev && m->families >> x->place.family & 1)
            x->match = m;
    }
    if (!x->match)
        return -LX_ENOENT;
    if (XT_ALIGN(x->size) != XT_ALIGN(x->match->size) ||
        (x->match->protocol && x->match->protocol != x->place.protocol) ||
        (x->match->check && !x->match->check(x->data, &x->place)))
        return -LX_EINVAL;
    return 0;
}

static void match_eval(struct nft_expr *e, struct nft_regs *r, const struct nft_pkt *k)
{
    struct compat *x = container_of(e, struct compat, e);
    enum xt_answer a = x->match->run(x->data, x->state, k->p);
    if (a != XT_YES)
        r->code = a == XT_HOTDROP ? NFT_V_DROP : LX_NFT_BREAK;
}

static void match_put(struct nlbuf *b, struct nft_expr *e, bool is_reset)
{
    struct compat *x = container_of(e, struct compat, e);
    (void)is_reset;
    nl_attr_str(b, LX_NFTA_MATCH_NAME, x->match->name);
    nft_put_be32(b, LX_NFTA_MATCH_REV, x->match->revision);
    nl_attr(b, LX_NFTA_MATCH_INFO, x->data, x->size);
}

static bool is_tracking(struct nft_expr *e)
{
    struct compat *x = container_of(e, struct compat, e);
    return x->match ? x->match->is_tracking : x->target && x->target->is_tracking;
}

/* Where a base chain leads is where it may be asked. */
static int match_validate(struct nft_expr *e, const struct nft_chain *base)
{
    struct compat *x = container_of(e, struct compat, e);
    struct xt_place at = x->place;
    at.hooks = XT_BIT(base->hook);
    return x->match->check && !x->match->check(x->data, &at) ? -LX_EINVAL : 0;
}

const struct nft_expr_ops nft_ops_match = {
    .name = "match",
    .size = sizeof(struct compat),
    .nattrs = LX_NFTA_MATCH_INFO,
    .has_rules = true,
    .min = (const u8[]){[LX_NFTA_MATCH_REV] = 4, [LX_NFTA_MATCH_INFO] = 0},
    .init = match_init,
    .eval = match_eval,
    .put = match_put,
    .validate = match_validate,
    .asks_ct = is_tracking,
};

/* ---- target -------------------------------------------------------------------------------- */

static int target_fits(const struct compat *x, const struct xt_place *at)
{
    const struct xt_target *g = x->target;
    if ((g->hooks && at->hooks & ~g->hooks) || (g->check && !g->check(x->data, at)))
        return -LX_EINVAL;
    return 0;
}

static int target_init(struct nft_ctx *c, struct nft_expr *e, const struct nft_attr *tb)
{
    struct compat *x = container_of(e, struct compat, e);
    char name[32];
    int r = read_common(c, x, &tb[LX_NFTA_TARGET_NAME], &tb[LX_NFTA_TARGET_REV],
                        &tb[LX_NFTA_TARGET_INFO], name);
    if (r < 0)
        return r;
    u32 rev = nft_be32(&tb[LX_NFTA_TARGET_REV]);
    for (u32 i = 0; i < xt_ntargets && !x->target; i++) {
        const struct xt_target *g = &xt_targets[i];
        if (!strcmp(g->name, name) && g->revision == rev && g->families >> x->place.family & 1)
            x->target = g;
    }
    if (!x->target)
        return -LX_ENOENT;
    enum xt_table_id id = XT_FILTER;
    bool is_named = table_id(x->table, &id);
    if (x->target->tables && (!is_named || !(x->target->tables >> id & 1)))
        return -LX_EINVAL;
    if (XT_ALIGN(x->size) != XT_ALIGN(x->target->size))
        return -LX_EINVAL;
    return target_fits(x, &x->place);
}

static void target_eval(struct nft_expr *e, struct nft_regs *r, const struct nft_pkt *k)
{
    struct compat *x = container_of(e, struct compat, e);
    switch (x->target->run(x->data, k->p)) {
    case XT_ACCEPT:
        r->code = NFT_V_ACCEPT;
        break;
    case XT_REJECT:
        r->code = NFT_V_REJECT;
        break;
    case XT_CONTINUE:
        break;
    default:
        r->code = NFT_V_DROP;
    }
}

static void target_put(struct nlbuf *b, struct nft_expr *e, bool is_reset)
{
    struct compat *x = container_of(e, struct compat, e);
    (void)is_reset;
    nl_attr_str(b, LX_NFTA_TARGET_NAME, x->target->name);
    nft_put_be32(b, LX_NFTA_TARGET_REV, x->target->revision);
    nl_attr(b, LX_NFTA_TARGET_INFO, x->data, x->size);
}

static int target_validate(struct nft_expr *e, const struct nft_chain *base)
{
    struct compat *x = container_of(e, struct compat, e);
    struct xt_place at = x->place;
    bool is_nat = x->target->tables == 1U << XT_NAT;
    at.hooks = XT_BIT(base->hook);
    return is_nat && base->type != NFT_NAT ? -LX_EINVAL : target_fits(x, &at);
}

const struct nft_expr_ops nft_ops_target = {
    .name = "target",
    .size = sizeof(struct compat),
    .nattrs = LX_NFTA_TARGET_INFO,
    .has_rules = true,
    .min = (const u8[]){[LX_NFTA_TARGET_REV] = 4, [LX_NFTA_TARGET_INFO] = 0},
    .init = target_init,
    .eval = target_eval,
    .put = target_put,
    .validate = target_validate,
    .asks_ct = is_tracking,
};

/* ---- which revisions there are ------------------------------------------------------------- */

int nft_compat_request(struct nl_sock *s, const struct lx_nlmsghdr *req, struct nlbuf *b)
{
    static const u8 min[] = {[LX_NFTA_COMPAT_REV] = 4, [LX_NFTA_COMPAT_TYPE] = 4};
    struct nft_attr tb[LX_NFTA_COMPAT_TYPE + 1];
    struct lx_nfgenmsg g, *out;
    char name[NFT_NAME_MAX];
    (void)s;
    memcpy(&g, req + 1, sizeof(g));
    u32 head = sizeof(*req) + sizeof(g);
    int r = nft_parse((const u8 *)req + head, req->len - head, tb, min, LX_NFTA_COMPAT_TYPE);
    if (r < 0 || (req->type & 0xff) != LX_NFNL_MSG_COMPAT_GET)
        return r < 0 ? r : -LX_EINVAL;
    if (!tb[LX_NFTA_COMPAT_NAME].p || !tb[LX_NFTA_COMPAT_REV].p || !tb[LX_NFTA_COMPAT_TYPE].p)
        return -LX_EINVAL;
    if ((r = nft_name(&tb[LX_NFTA_COMPAT_NAME], name)) < 0)
        return r;
    if (g.family != NFT_IPV4 && g.family != NFT_IPV6)
        return g.family == NFT_ARP || g.family == NFT_BRIDGE ? -LX_ENOENT : -LX_EINVAL;
    u32 rev = nft_be32(&tb[LX_NFTA_COMPAT_REV]), type = nft_be32(&tb[LX_NFTA_COMPAT_TYPE]);
    r = type == 1 ? xt_target_revision(family_of(g.family), name, (u8)rev)
                  : xt_match_revision(family_of(g.family), name, (u8)rev);
    if (r < 0 || rev > 255)
        return r < 0 ? r : -LX_EPROTONOSUPPORT;
    out = nl_begin(b, LX_NFNL_SUBSYS_NFT_COMPAT << 8 | LX_NFNL_MSG_COMPAT_GET, 0, sizeof(*out));
    if (!out)
        return -LX_ENOBUFS;
    *out = (struct lx_nfgenmsg){.family = g.family};
    nl_attr_str(b, LX_NFTA_COMPAT_NAME, name);
    nft_put_be32(b, LX_NFTA_COMPAT_REV, rev);
    nft_put_be32(b, LX_NFTA_COMPAT_TYPE, type);
    return nl_end(b) ? 0 : -LX_ENOBUFS;
}
