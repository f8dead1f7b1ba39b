/* Rules. */
#include <string.h>

#include "net/nft/nft.h"

const u8 nft_min_rule[] = {
    [LX_NFTA_RULE_HANDLE] = 8,   [LX_NFTA_RULE_POSITION] = 8,    [LX_NFTA_RULE_ID] = 4,
    [LX_NFTA_RULE_CHAIN_ID] = 4, [LX_NFTA_RULE_POSITION_ID] = 4,
};

struct nft_rule *nft_rule_by_handle(const struct nft_chain *c, u64 handle)
{
    struct nft_rule *r;
    list_for_each (r, &c->rules, node) {
        if (r->handle == handle)
            return r;
    }
    return NULL;
}

static struct nft_rule *by_id(const struct nft_chain *c, u32 id)
{
    for (struct list *at = c->rules.prev; at != &c->rules; at = at->prev) {
        struct nft_rule *r = list_entry(at, struct nft_rule, node);
        if (r->id && r->id == id)
            return r;
    }
    return NULL;
}

void nft_rule_link(struct nft_ns *n, struct nft_rule *r)
{
    for (u32 i = r->nexprs; i--;)
        nft_expr_link(n, r->exprs[i]);
}

void nft_rule_unlink(struct nft_ns *n, struct nft_rule *r)
{
    for (u32 i = 0; i < r->nexprs; i++)
        nft_expr_unlink(n, r->exprs[i]);
}

void nft_rule_free(struct nft_ns *n, struct nft_rule *r)
{
    for (u32 i = 0; i < r->nexprs; i++)
        nft_expr_free(n, r->exprs[i]);
    nft_free(r->udata.p);
    nft_free(r);
}

static int read_compat(struct nft_ctx *c, const struct nft_attr *a)
{
    static const u8 min[] = {[LX_NFTA_RULE_COMPAT_PROTO] = 4, [LX_NFTA_RULE_COMPAT_FLAGS] = 4};
    struct nft_attr tb[LX_NFTA_RULE_COMPAT_FLAGS + 1];
    c->compat_proto = 0;
    c->is_compat_inverted = false;
    if (!a->p)
        return 0;
    int r = nft_parse_in(a, tb, min, LX_NFTA_RULE_COMPAT_FLAGS);
    if (r < 0)
        return r;
    if (!tb[LX_NFTA_RULE_COMPAT_PROTO].p || !tb[LX_NFTA_RULE_COMPAT_FLAGS].p)
        return -LX_EINVAL;
    u32 flags = nft_be32(&tb[LX_NFTA_RULE_COMPAT_FLAGS]);
    if (flags & ~(u32)LX_NFT_RULE_COMPAT_F_MASK)
        return -LX_EINVAL;
    c->is_compat_inverted = flags & LX_NFT_RULE_COMPAT_F_INV;
    c->compat_proto = (u8)nft_be32(&tb[LX_NFTA_RULE_COMPAT_PROTO]);
    return 0;
}

static int read_exprs(struct nft_ctx *c, struct nft_rule *rule, const struct nft_attr *list, u32 n)
{
    struct nft_attr a;
    u32 at = 0;
    u16 type;
    while (rule->nexprs < n && nft_each(list, &at, &type, &a)) {
        int r = nft_expr_new(c, &a, &rule->exprs[rule->nexprs]);
        if (r < 0)
            return nft_blame(c, &a, r);
        rule->nexprs++;
    }
    return 0;
}

static int make(struct nft_ctx *c, const struct nft_attr *tb, struct nft_rule **ret)
{
    const struct nft_attr *list = &tb[LX_NFTA_RULE_EXPRESSIONS];
    struct nft_attr a;
    u32 n = 0, at = 0;
    u16 type;
    while (nft_each(list, &at, &type, &a)) {
        if (type != LX_NFTA_LIST_ELEM)
            return -LX_EINVAL;
        if (n++ == NFT_MAX_EXPRS)
            return -LX_EINVAL;
    }
    int r = read_compat(c, &tb[LX_NFTA_RULE_COMPAT]);
    if (r < 0)
        return r;
    struct nft_rule *rule = nft_alloc(c->n, sizeof(*rule) + n * sizeof(rule->exprs[0]));
    if (!rule)
        return -LX_ENOMEM;
    list_init(&rule->node);
    rule->chain = c->chain;
    rule->id = nft_be32(&tb[LX_NFTA_RULE_ID]);
    rule->handle = ++c->table->last_handle;
    r = nft_blob_set(c->n, &rule->udata, &tb[LX_NFTA_RULE_USERDATA]);
    if (r == 0)
        r = read_exprs(c, rule, list, n);
    if (r < 0) {
        nft_rule_unlink(c->n, rule);
        nft_rule_free(c->n, rule);
        return r;
    }
    *ret = rule;
    return 0;
}

static void put_in(struct nft_rule *rule, struct list *before)
{
    list_add_tail(before, &rule->node);
    rule->chain->use++;
    rule->chain->nrules++;
}

static int take_out(struct nft_ctx *c, struct nft_rule *rule)
{
    struct nft_op *op;
    int r = nft_op_new(c, NFT_DEL_RULE, &op);
    if (r < 0)
        return r;
    op->rule = rule;
    op->prev = rule->node.prev;
    list_del(&rule->node);
    rule->chain->use--;
    rule->chain->nrules--;
    nft_rule_unlink(c->n, rule);
    return 0;
}

int nft_rules_remove(struct nft_ctx *c, struct nft_chain *ch)
{
    struct nft_rule *rule;
    int r = 0;
    while (r == 0 && (rule = list_first(&ch->rules, struct nft_rule, node)))
        r = take_out(c, rule);
    return r;
}

static int open_chain(struct nft_ctx *c, const struct nft_attr *tb)
{
    int r = nft_find_table(c, &tb[LX_NFTA_RULE_TABLE]);
    if (r < 0)
        return r;
    if (tb[LX_NFTA_RULE_CHAIN].p)
        return nft_find_chain(c, &tb[LX_NFTA_RULE_CHAIN], &c->chain);
    if (!tb[LX_NFTA_RULE_CHAIN_ID].p)
        return -LX_EINVAL;
    c->chain = nft_chain_by_id(c, nft_be32(&tb[LX_NFTA_RULE_CHAIN_ID]));
    return c->chain ? 0 : nft_blame(c, &tb[LX_NFTA_RULE_CHAIN_ID], -LX_ENOENT);
}

/* The rule that the new one replaces or stands beside, if any. */
static int find_place(struct nft_ctx *c, const struct nft_attr *tb, struct nft_rule **ret)
{
    *ret = NULL;
    if (tb[LX_NFTA_RULE_HANDLE].p) {
        *ret = nft_rule_by_handle(c->chain, nft_be64(&tb[LX_NFTA_RULE_HANDLE]));
        if (!*ret)
            return nft_blame(c, &tb[LX_NFTA_RULE_HANDLE], -LX_ENOENT);
        if (c->flags & LX_NLM_F_EXCL)
            return nft_blame(c, &tb[LX_NFTA_RULE_HANDLE], -LX_EEXIST);
        return c->flags & LX_NLM_F_REPLACE ? 0 : -LX_EOPNOTSUPP;
    }
    if (!(c->flags & LX_NLM_F_CREATE) || c->flags & LX_NLM_F_REPLACE)
        return -LX_EINVAL;
    if (tb[LX_NFTA_RULE_POSITION].p) {
        *ret = nft_rule_by_handle(c->chain, nft_be64(&tb[LX_NFTA_RULE_POSITION]));
        return *ret ? 0 : nft_blame(c, &tb[LX_NFTA_RULE_POSITION], -LX_ENOENT);
    }
    if (tb[LX_NFTA_RULE_POSITION_ID].p) {
        *ret = by_id(c->chain, nft_be32(&tb[LX_NFTA_RULE_POSITION_ID]));
        return *ret ? 0 : nft_blame(c, &tb[LX_NFTA_RULE_POSITION_ID], -LX_ENOENT);
    }
    return 0;
}

int nft_new_rule(struct nft_ctx *c, const struct nft_attr *tb)
{
    struct nft_rule *beside = NULL, *rule = NULL;
    struct nft_op *op;
    int r = open_chain(c, tb);
    if (r == 0)
        r = find_place(c, tb, &beside);
    if (r == 0)
        r = make(c, tb, &rule);
    if (r < 0)
        return r;
    struct list *before = beside                       ? &beside->node
                          : c->flags & LX_NLM_F_APPEND ? &c->chain->rules
                                                       : c->chain->rules.next;
    if (beside && !tb[LX_NFTA_RULE_HANDLE].p && c->flags & LX_NLM_F_APPEND)
        before = before->next;
    if (tb[LX_NFTA_RULE_HANDLE].p) {
        before = beside->node.next;
        r = take_out(c, beside);
    }
    if (r == 0)
        r = nft_op_new(c, NFT_ADD_RULE, &op);
    if (r < 0) {
        nft_rule_unlink(c->n, rule);
        nft_rule_free(c->n, rule);
        return r;
    }
    op->rule = rule;
    put_in(rule, before);
    return 0;
}

int nft_del_rule(struct nft_ctx *c, const struct nft_attr *tb)
{
    struct nft_rule *rule;
    struct nft_chain *ch;
    int r = nft_find_table(c, &tb[LX_NFTA_RULE_TABLE]);
    if (r < 0)
        return r;
    if (!tb[LX_NFTA_RULE_CHAIN].p) {
        list_for_each (ch, &c->table->chains, node) {
            if ((r = nft_rules_remove(c, ch)) < 0)
                return r;
        }
        return 0;
    }
    if ((r = nft_find_chain(c, &tb[LX_NFTA_RULE_CHAIN], &ch)) < 0)
        return r;
    if (tb[LX_NFTA_RULE_HANDLE].p) {
        rule = nft_rule_by_handle(ch, nft_be64(&tb[LX_NFTA_RULE_HANDLE]));
        return rule ? take_out(c, rule) : nft_blame(c, &tb[LX_NFTA_RULE_HANDLE], -LX_ENOENT);
    }
    if (tb[LX_NFTA_RULE_ID].p) {
        rule = by_id(ch, nft_be32(&tb[LX_NFTA_RULE_ID]));
        return rule ? take_out(c, rule) : nft_blame(c, &tb[LX_NFTA_RULE_ID], -LX_ENOENT);
    }
    return nft_rules_remove(c, ch);
}

void nft_put_rule(struct nlbuf *b, struct nft_ns *n, u32 msg, u16 flags, const struct nft_rule *r,
                  bool is_reset)
{
    const struct nft_chain *c = r->chain;
    bool is_listed = b->flags & LX_NLM_F_MULTI; /* where it stands is of interest in a list */
    if (!nft_begin(b, n, msg, flags, c->table->family))
        return;
    nl_attr_str(b, LX_NFTA_RULE_TABLE, c->table->name);
    nl_attr_str(b, LX_NFTA_RULE_CHAIN, c->name);
    nft_put_be64(b, LX_NFTA_RULE_HANDLE, r->handle);
    if (is_listed && r->node.prev != &c->rules && r->node.prev != &r->node)
        nft_put_be64(b, LX_NFTA_RULE_POSITION,
                     list_entry(r->node.prev, const struct nft_rule, node)->handle);
    u32 at = nft_nest(b, LX_NFTA_RULE_EXPRESSIONS);
    for (u32 i = 0; i < r->nexprs; i++)
        nft_expr_put(b, LX_NFTA_LIST_ELEM, r->exprs[i], is_reset);
    nl_nest_end(b, at);
    nft_put_blob(b, LX_NFTA_RULE_USERDATA, &r->udata);
}
