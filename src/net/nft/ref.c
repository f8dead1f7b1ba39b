/* Expressions that use sets and objects: lookup, dynset, objref; and the objects themselves. */
#include <string.h>

#include "net/nft/nft.h"
#include "net/nft/regs.h"

/* An expression uses a set; a set without a name lives and goes with it. */
static void bind_set(struct nft_set *s)
{
    if (s->is_out)
        nft_set_put_back(s);
    s->nbound++;
    s->use++;
}

static void unbind_set(struct nft_set *s)
{
    s->nbound--;
    s->use--;
    if (s->flags & LX_NFT_SET_ANONYMOUS && !s->nbound && !s->is_out)
        nft_set_take_out(s);
}

static void drop_set(struct nft_set *s)
{
    if (s->flags & LX_NFT_SET_ANONYMOUS && s->is_out && !s->in_batch)
        nft_set_free(s->n, s);
}

/* May another expression use it? */
static int check_bind(const struct nft_set *s)
{
    return s->flags & LX_NFT_SET_ANONYMOUS && s->nbound ? -LX_EBUSY : 0;
}

static void run_elem(struct nft_elem *e, struct nft_regs *r, const struct nft_pkt *k)
{
    for (u32 i = 0; i < e->nexprs && r->code == LX_NFT_CONTINUE; i++)
        e->exprs[i]->ops->eval(e->exprs[i], r, k);
}

/* ---- lookup -------------------------------------------------------------------------------- */

struct lookup {
    struct nft_expr e;
    struct nft_set *set;
    u8 sreg, dreg;
    bool has_dreg, is_inverted;
};

static int lookup_init(struct nft_ctx *c, struct nft_expr *e, const struct nft_attr *tb)
{
    struct lookup *x = container_of(e, struct lookup, e);
    u32 flags = nft_be32(&tb[LX_NFTA_LOOKUP_FLAGS]);
    if (!tb[LX_NFTA_LOOKUP_SET].p || !tb[LX_NFTA_LOOKUP_SREG].p)
        return -LX_EINVAL;
    int r = nft_find_set(c, &tb[LX_NFTA_LOOKUP_SET], &tb[LX_NFTA_LOOKUP_SET_ID], &x->set);
    if (r == 0)
        r = check_bind(x->set);
    if (r == 0)
        r = nft_reg(&tb[LX_NFTA_LOOKUP_SREG], x->set->klen, &x->sreg);
    if (r < 0)
        return r;
    if (flags & ~(u32)LX_NFT_LOOKUP_F_INV)
        return -LX_EINVAL;
    x->is_inverted = flags & LX_NFT_LOOKUP_F_INV;
    if (!tb[LX_NFTA_LOOKUP_DREG].p)
        return 0;
    if (x->is_inverted || !(x->set->flags & LX_NFT_SET_MAP))
        return -LX_EINVAL;
    x->has_dreg = true;
    bool is_verdict = nft_be32(&tb[LX_NFTA_LOOKUP_DREG]) == LX_NFT_REG_VERDICT;
    if (is_verdict != (x->set->dtype == (u32)LX_NFT_DATA_VERDICT))
        return -LX_EINVAL;
    c->table->must_validate |= is_verdict;
    return is_verdict ? 0 : nft_reg(&tb[LX_NFTA_LOOKUP_DREG], x->set->dlen, &x->dreg);
}

static void lookup_eval(struct nft_expr *e, struct nft_regs *r, const struct nft_pkt *k)
{
    struct lookup *x = container_of(e, struct lookup, e);
    struct nft_set *s = x->set;
    nft_set_lock(s);
    struct nft_elem *el = nft_set_lookup(s, (const u8 *)&r->d[x->sreg]);
    if (!el != x->is_inverted) {
        r->code = LX_NFT_BREAK;
    } else if (el) {
        if (x->has_dreg && s->dtype == (u32)LX_NFT_DATA_VERDICT) {
            r->code = el->data.v.code;
            r->chain = el->data.v.chain;
        } else if (x->has_dreg) {
            nft_reg_set(r, x->dreg, &el->data, s->dlen);
        }
        if (r->code == LX_NFT_CONTINUE)
            run_elem(el, r, k);
    }
    nft_set_unlock(s);
}

static void lookup_put(struct nlbuf *b, struct nft_expr *e, bool is_reset)
{
    struct lookup *x = container_of(e, struct lookup, e);
    (void)is_reset;
    nl_attr_str(b, LX_NFTA_LOOKUP_SET, x->set->name);
    nft_put_reg(b, LX_NFTA_LOOKUP_SREG, x->sreg);
    if (x->has_dreg && x->set->dtype == (u32)LX_NFT_DATA_VERDICT)
        nft_put_be32(b, LX_NFTA_LOOKUP_DREG, LX_NFT_REG_VERDICT);
    else if (x->has_dreg)
        nft_put_reg(b, LX_NFTA_LOOKUP_DREG, x->dreg);
    nft_put_be32(b, LX_NFTA_LOOKUP_FLAGS, x->is_inverted ? LX_NFT_LOOKUP_F_INV : 0);
}

struct nft_set *nft_lookup_vmap(struct nft_expr *e)
{
    if (e->ops != &nft_ops_lookup)
        return NULL;
    struct lookup *x = container_of(e, struct lookup, e);
    return x->has_dreg && x->set->dtype == (u32)LX_NFT_DATA_VERDICT ? x->set : NULL;
}

static void lookup_link(struct nft_expr *e)
{
    bind_set(container_of(e, struct lookup, e)->set);
}

static void lookup_unlink(struct nft_expr *e)
{
    unbind_set(container_of(e, struct lookup, e)->set);
}

static void lookup_done(struct nft_expr *e)
{
    drop_set(container_of(e, struct lookup, e)->set);
}

const struct nft_expr_ops nft_ops_lookup = {
    .name = "lookup",
    .size = sizeof(struct lookup),
    .nattrs = LX_NFTA_LOOKUP_FLAGS,
    .min = (const u8[]){[LX_NFTA_LOOKUP_SREG] = 4,
                        [LX_NFTA_LOOKUP_DREG] = 4,
                        [LX_NFTA_LOOKUP_SET_ID] = 4,
                        [LX_NFTA_LOOKUP_FLAGS] = 4},
    .init = lookup_init,
    .done = lookup_done,
    .eval = lookup_eval,
    .put = lookup_put,
    .link = lookup_link,
    .unlink = lookup_unlink,
};

/* ---- dynset -------------------------------------------------------------------------------- */

struct dynset {
    struct nft_expr e;
    struct nft_set *set;
    u8 op, sreg, dreg;
    bool has_data, is_inverted;
    u64 timeout_ms;
    struct nft_expr **exprs; /* owned */
    u32 nexprs;
    struct nft_ns *n;
};

static int dynset_times(struct dynset *x, const struct nft_attr *a)
{
    if (!a->p)
        return 0;
    if (!(x->set->flags & LX_NFT_SET_TIMEOUT))
        return -LX_EOPNOTSUPP;
    x->timeout_ms = nft_be64(a);
    return x->timeout_ms > INT64_MAX / (u64)NSEC_PER_MSEC / 4 ? -LX_ERANGE : 0;
}

static int dynset_data(struct dynset *x, const struct nft_attr *a)
{
    const struct nft_set *s = x->set;
    if (!a->p)
        return s->flags & LX_NFT_SET_MAP ? -LX_EINVAL : 0;
    if (!(s->flags & LX_NFT_SET_MAP))
        return -LX_EOPNOTSUPP;
    if (s->dtype == (u32)LX_NFT_DATA_VERDICT)
        return -LX_EOPNOTSUPP;
    x->has_data = true;
    return nft_reg(a, s->dlen, &x->dreg);
}

static int dynset_exprs(struct nft_ctx *c, struct dynset *x, const struct nft_attr *tb)
{
    const struct nft_set *s = x->set;
    int r = nft_exprs_new(c, &tb[LX_NFTA_DYNSET_EXPR], &tb[LX_NFTA_DYNSET_EXPRESSIONS], &x->exprs,
                          &x->nexprs);
    if (r < 0 || !s->nexprs || !x->nexprs)
        return r;
    bool is_same = x->nexprs == s->nexprs;
    for (u32 i = 0; is_same && i < s->nexprs; i++)
        is_same = x->exprs[i]->ops == s->exprs[i]->ops;
    if (is_same)
        return 0;
    nft_exprs_free(c->n, x->exprs, x->nexprs);
    return -LX_EOPNOTSUPP;
}

static int dynset_init(struct nft_ctx *c, struct nft_expr *e, const struct nft_attr *tb)
{
    struct dynset *x = container_of(e, struct dynset, e);
    u32 op = nft_be32(&tb[LX_NFTA_DYNSET_OP]), flags = nft_be32(&tb[LX_NFTA_DYNSET_FLAGS]);
    if (!tb[LX_NFTA_DYNSET_SET_NAME].p || !tb[LX_NFTA_DYNSET_OP].p ||
        !tb[LX_NFTA_DYNSET_SREG_KEY].p ||
        flags & ~(u32)(LX_NFT_DYNSET_F_INV | LX_NFT_DYNSET_F_EXPR))
        return -LX_EINVAL;
    int r = nft_find_set(c, &tb[LX_NFTA_DYNSET_SET_NAME], &tb[LX_NFTA_DYNSET_SET_ID], &x->set);
    if (r == 0)
        r = check_bind(x->set);
    if (r < 0)
        return r;
    x->n = c->n;
    if (x->set->flags & (LX_NFT_SET_CONSTANT | LX_NFT_SET_OBJECT))
        return x->set->flags & LX_NFT_SET_CONSTANT ? -LX_EBUSY : -LX_EOPNOTSUPP;
    if (!(x->set->flags & LX_NFT_SET_EVAL) || x->set->flags & LX_NFT_SET_INTERVAL)
        return -LX_EOPNOTSUPP;
    if (op > LX_NFT_DYNSET_OP_DELETE ||
        (op == LX_NFT_DYNSET_OP_UPDATE && !(x->set->flags & LX_NFT_SET_TIMEOUT)))
        return -LX_EOPNOTSUPP;
    x->op = (u8)op;
    x->is_inverted = flags & LX_NFT_DYNSET_F_INV;
    r = dynset_times(x, &tb[LX_NFTA_DYNSET_TIMEOUT]);
    if (r == 0)
        r = nft_reg(&tb[LX_NFTA_DYNSET_SREG_KEY], x->set->klen, &x->sreg);
    if (r == 0)
        r = dynset_data(x, &tb[LX_NFTA_DYNSET_SREG_DATA]);
    return r < 0 ? r : dynset_exprs(c, x, tb);
}

static void set_expiry(struct dynset *x, struct nft_elem *e)
{
    u64 ms = x->timeout_ms ? x->timeout_ms : x->set->timeout_ms;
    e->timeout_ms = ms;
    e->expires_ns = ms ? clock_mono_ns() + (s64)ms * NSEC_PER_MSEC : 0;
}

/* A new element with what the expression or the set gives it. NULL: there is no room. */
static struct nft_elem *grow(struct dynset *x, const u8 *key, const struct nft_regs *r)
{
    struct nft_set *s = x->set;
    nft_store_sweep(s, clock_mono_ns());
    if (s->nelems >= s->size)
        return NULL;
    struct nft_elem *e = nft_elem_new(s, key, NULL);
    struct nft_expr **from = x->nexprs ? x->exprs : s->exprs;
    u32 count = x->nexprs ? x->nexprs : s->nexprs;
    if (!e)
        return NULL;
    if (x->has_data)
        memcpy(&e->data, &r->d[x->dreg], s->dlen);
    if (s->flags & LX_NFT_SET_TIMEOUT)
        set_expiry(x, e);
    e->exprs = count ? nft_alloc(x->n, count * sizeof(*e->exprs)) : NULL;
    while (e->exprs && e->nexprs < count &&
           (e->exprs[e->nexprs] = nft_expr_clone(x->n, from[e->nexprs])))
        e->nexprs++;
    if (e->nexprs < count || nft_store_add(s, e) < 0) {
        nft_elem_free(x->n, e);
        return NULL;
    }
    return e;
}

static bool is_gone(struct nft_set *s, struct nft_elem *e, bool is_wanted)
{
    if (!is_wanted && !nft_elem_is_over(e, clock_mono_ns()))
        return false;
    nft_store_del(s, e);
    nft_elem_free(s->n, e);
    return true;
}

static void dynset_eval(struct nft_expr *e, struct nft_regs *r, const struct nft_pkt *k)
{
    struct dynset *x = container_of(e, struct dynset, e);
    struct nft_set *s = x->set;
    const u8 *key = (const u8 *)&r->d[x->sreg];
    if (!k->is_live)
        return;
    nft_set_lock(s);
    struct nft_elem *el = nft_store_find(s, key, NULL, 0);
    if (el && is_gone(s, el, x->op == LX_NFT_DYNSET_OP_DELETE))
        el = NULL;
    if (x->op != LX_NFT_DYNSET_OP_DELETE) {
        if (el && x->op == LX_NFT_DYNSET_OP_UPDATE)
            set_expiry(x, el);
        if (!el)
            el = grow(x, key, r);
        if (el)
            run_elem(el, r, k);
        if (!el != x->is_inverted)
            r->code = LX_NFT_BREAK;
    }
    nft_set_unlock(s);
}

static void dynset_put(struct nlbuf *b, struct nft_expr *e, bool is_reset)
{
    struct dynset *x = container_of(e, struct dynset, e);
    nft_put_reg(b, LX_NFTA_DYNSET_SREG_KEY, x->sreg);
    if (x->has_data)
        nft_put_reg(b, LX_NFTA_DYNSET_SREG_DATA, x->dreg);
    nft_put_be32(b, LX_NFTA_DYNSET_OP, x->op);
    nl_attr_str(b, LX_NFTA_DYNSET_SET_NAME, x->set->name);
    if (x->timeout_ms)
        nft_put_be64(b, LX_NFTA_DYNSET_TIMEOUT, x->timeout_ms);
    if (!x->set->nexprs)
        nft_exprs_put(b, LX_NFTA_DYNSET_EXPR, LX_NFTA_DYNSET_EXPRESSIONS, x->exprs, x->nexprs,
                      is_reset);
    nft_put_be32(b, LX_NFTA_DYNSET_FLAGS, x->is_inverted ? LX_NFT_DYNSET_F_INV : 0);
}

static void dynset_link(struct nft_expr *e)
{
    bind_set(container_of(e, struct dynset, e)->set);
}

static void dynset_unlink(struct nft_expr *e)
{
    unbind_set(container_of(e, struct dynset, e)->set);
}

static void dynset_done(struct nft_expr *e)
{
    struct dynset *x = container_of(e, struct dynset, e);
    nft_exprs_free(x->n, x->exprs, x->nexprs);
    drop_set(x->set);
}

const struct nft_expr_ops nft_ops_dynset = {
    .name = "dynset",
    .size = sizeof(struct dynset),
    .nattrs = LX_NFTA_DYNSET_EXPRESSIONS,
    .min = (const u8[]){[LX_NFTA_DYNSET_SET_ID] = 4,
                        [LX_NFTA_DYNSET_OP] = 4,
                        [LX_NFTA_DYNSET_SREG_KEY] = 4,
                        [LX_NFTA_DYNSET_SREG_DATA] = 4,
                        [LX_NFTA_DYNSET_TIMEOUT] = 8,
                        [LX_NFTA_DYNSET_FLAGS] = 4,
                        [LX_NFTA_DYNSET_EXPRESSIONS] = 0},
    .init = dynset_init,
    .done = dynset_done,
    .eval = dynset_eval,
    .put = dynset_put,
    .link = dynset_link,
    .unlink = dynset_unlink,
};

/* ---- objref -------------------------------------------------------------------------------- */

struct objref {
    struct nft_expr e;
    struct nft_obj *obj; /* or, of what a map says: */
    struct nft_set *set;
    u8 sreg;
};

static int objref_init(struct nft_ctx *c, struct nft_expr *e, const struct nft_attr *tb)
{
    struct objref *x = container_of(e, struct objref, e);
    char name[NFT_NAME_MAX];
    int r;
    if (tb[LX_NFTA_OBJREF_SET_SREG].p && tb[LX_NFTA_OBJREF_SET_NAME].p) {
        r = nft_find_set(c, &tb[LX_NFTA_OBJREF_SET_NAME], &tb[LX_NFTA_OBJREF_SET_ID], &x->set);
        if (r == 0 && !(x->set->flags & LX_NFT_SET_OBJECT))
            r = -LX_EINVAL;
        if (r == 0)
            r = check_bind(x->set);
        return r < 0 ? r : nft_reg(&tb[LX_NFTA_OBJREF_SET_SREG], x->set->klen, &x->sreg);
    }
    if (!tb[LX_NFTA_OBJREF_IMM_NAME].p || !tb[LX_NFTA_OBJREF_IMM_TYPE].p)
        return -LX_EOPNOTSUPP;
    r = nft_name(&tb[LX_NFTA_OBJREF_IMM_NAME], name);
    if (r < 0)
        return r;
    x->obj = nft_obj_named(c->table, name, nft_be32(&tb[LX_NFTA_OBJREF_IMM_TYPE]));
    return x->obj ? 0 : -LX_ENOENT;
}

static void objref_eval(struct nft_expr *e, struct nft_regs *r, const struct nft_pkt *k)
{
    struct objref *x = container_of(e, struct objref, e);
    struct nft_obj *o = x->obj;
    if (x->set) {
        nft_set_lock(x->set);
        struct nft_elem *el = nft_set_lookup(x->set, (const u8 *)&r->d[x->sreg]);
        o = el ? el->obj : NULL; /* it stays while the rules are read */
        nft_set_unlock(x->set);
    }
    if (o)
        o->expr->ops->eval(o->expr, r, k);
    else
        r->code = LX_NFT_BREAK;
}

static void objref_put(struct nlbuf *b, struct nft_expr *e, bool is_reset)
{
    struct objref *x = container_of(e, struct objref, e);
    (void)is_reset;
    if (x->set) {
        nft_put_reg(b, LX_NFTA_OBJREF_SET_SREG, x->sreg);
        nl_attr_str(b, LX_NFTA_OBJREF_SET_NAME, x->set->name);
    } else {
        nl_attr_str(b, LX_NFTA_OBJREF_IMM_NAME, x->obj->name);
        nft_put_be32(b, LX_NFTA_OBJREF_IMM_TYPE, x->obj->type);
    }
}

static void objref_link(struct nft_expr *e)
{
    struct objref *x = container_of(e, struct objref, e);
    if (x->set)
        bind_set(x->set);
    else
        x->obj->use++;
}

static void objref_unlink(struct nft_expr *e)
{
    struct objref *x = container_of(e, struct objref, e);
    if (x->set)
        unbind_set(x->set);
    else
        x->obj->use--;
}

static void objref_done(struct nft_expr *e)
{
    struct objref *x = container_of(e, struct objref, e);
    if (x->set)
        drop_set(x->set);
}

const struct nft_expr_ops nft_ops_objref = {
    .name = "objref",
    .size = sizeof(struct objref),
    .nattrs = LX_NFTA_OBJREF_SET_ID,
    .min = (const u8[]){[LX_NFTA_OBJREF_IMM_TYPE] = 4,
                        [LX_NFTA_OBJREF_SET_SREG] = 4,
                        [LX_NFTA_OBJREF_SET_ID] = 4},
    .init = objref_init,
    .done = objref_done,
    .eval = objref_eval,
    .put = objref_put,
    .link = objref_link,
    .unlink = objref_unlink,
};

struct nft_set *nft_bound_set(struct nft_expr *e)
{
    if (e->ops == &nft_ops_lookup)
        return container_of(e, struct lookup, e)->set;
    if (e->ops == &nft_ops_dynset)
        return container_of(e, struct dynset, e)->set;
    return e->ops == &nft_ops_objref ? container_of(e, struct objref, e)->set : NULL;
}
