/* Elements of sets: adding, removing, reading them. */
#include <string.h>

#include "net/nft/nft.h"

#define FLAGS_ALL (LX_NFT_SET_ELEM_INTERVAL_END | LX_NFT_SET_ELEM_CATCHALL)

const u8 nft_min_list[] = {[LX_NFTA_SET_ELEM_LIST_SET_ID] = 4};
static const u8 min_elem[] = {[LX_NFTA_SET_ELEM_FLAGS] = 4,
                              [LX_NFTA_SET_ELEM_TIMEOUT] = 8,
                              [LX_NFTA_SET_ELEM_EXPIRATION] = 8,
                              [LX_NFTA_SET_ELEM_EXPRESSIONS] = 0};

/* What an element's message says. */
struct spec {
    u32 flags;
    struct nft_data key, end, data;
    bool has_end, has_data;
};

static bool is_verdict_map(const struct nft_set *s)
{
    return s->flags & LX_NFT_SET_MAP && s->dtype == (u32)LX_NFT_DATA_VERDICT;
}

static int read_key(const struct nft_set *s, const struct nft_attr *a, struct nft_data *ret)
{
    u32 len;
    int r = nft_data_value(a, ret, &len);
    return r == 0 && len != s->klen ? -LX_EINVAL : r;
}

static int read_spec(const struct nft_set *s, const struct nft_attr *tb, struct spec *x)
{
    memset(x, 0, sizeof(*x));
    x->flags = nft_be32(&tb[LX_NFTA_SET_ELEM_FLAGS]);
    bool is_all = x->flags & LX_NFT_SET_ELEM_CATCHALL;
    if (x->flags & ~(u32)FLAGS_ALL || (is_all && x->flags != LX_NFT_SET_ELEM_CATCHALL))
        return -LX_EOPNOTSUPP;
    if (x->flags & LX_NFT_SET_ELEM_INTERVAL_END && !(s->flags & LX_NFT_SET_INTERVAL))
        return -LX_EINVAL;
    if (is_all == !!tb[LX_NFTA_SET_ELEM_KEY].p)
        return -LX_EINVAL;
    if (is_all)
        return 0;
    int r = read_key(s, &tb[LX_NFTA_SET_ELEM_KEY], &x->key);
    if (r == 0 && tb[LX_NFTA_SET_ELEM_KEY_END].p) {
        if (!(s->flags & LX_NFT_SET_INTERVAL) || s->nfields < 2)
            return -LX_EINVAL;
        x->has_end = true;
        r = read_key(s, &tb[LX_NFTA_SET_ELEM_KEY_END], &x->end);
    }
    return r;
}

static int read_data(struct nft_ctx *c, struct nft_set *s, const struct nft_attr *tb,
                     struct spec *x)
{
    const struct nft_attr *d = &tb[LX_NFTA_SET_ELEM_DATA];
    bool is_end = x->flags & LX_NFT_SET_ELEM_INTERVAL_END;
    u32 len;
    if (!(s->flags & LX_NFT_SET_MAP) || is_end)
        return d->p ? -LX_EINVAL : 0;
    if (!d->p)
        return -LX_EINVAL;
    x->has_data = true;
    if (is_verdict_map(s))
        return nft_data_verdict(c, d, &x->data);
    int r = nft_data_value(d, &x->data, &len);
    return r == 0 && len != s->dlen ? -LX_EINVAL : r;
}

static int read_times(struct nft_set *s, const struct nft_attr *tb, struct nft_elem *e)
{
    const struct nft_attr *t = &tb[LX_NFTA_SET_ELEM_TIMEOUT], *x = &tb[LX_NFTA_SET_ELEM_EXPIRATION];
    if (t->p || x->p) {
        if (!(s->flags & LX_NFT_SET_TIMEOUT))
            return -LX_EINVAL;
    }
    if (e->flags & LX_NFT_SET_ELEM_INTERVAL_END)
        return t->p ? -LX_EINVAL : 0;
    u64 limit = INT64_MAX / (u64)NSEC_PER_MSEC / 4;
    e->timeout_ms = t->p ? nft_be64(t) : s->timeout_ms;
    if (e->timeout_ms > limit)
        return -LX_ERANGE;
    u64 left = x->p ? MIN(nft_be64(x), limit) : e->timeout_ms;
    if (x->p && left > e->timeout_ms)
        return -LX_ERANGE;
    if (e->timeout_ms)
        e->expires_ns = clock_mono_ns() + (s64)left * NSEC_PER_MSEC;
    return 0;
}

static int read_object(struct nft_ctx *c, struct nft_set *s, const struct nft_attr *tb,
                       struct nft_elem *e)
{
    char name[NFT_NAME_MAX];
    const struct nft_attr *a = &tb[LX_NFTA_SET_ELEM_OBJREF];
    bool is_due = s->flags & LX_NFT_SET_OBJECT && !(e->flags & LX_NFT_SET_ELEM_INTERVAL_END);
    if (is_due != !!a->p)
        return -LX_EINVAL;
    if (!is_due)
        return 0;
    int r = nft_name(a, name);
    if (r < 0)
        return r;
    e->obj = nft_obj_named(c->table, name, s->objtype);
    return e->obj ? 0 : -LX_ENOENT;
}

static int read_exprs(struct nft_ctx *c, struct nft_set *s, const struct nft_attr *tb,
                      struct nft_elem *e)
{
    int r = nft_exprs_new(c, &tb[LX_NFTA_SET_ELEM_EXPR], &tb[LX_NFTA_SET_ELEM_EXPRESSIONS],
                          &e->exprs, &e->nexprs);
    if (r < 0 || e->flags & LX_NFT_SET_ELEM_INTERVAL_END)
        return r < 0 ? r : e->nexprs ? -LX_EINVAL : 0;
    if (e->nexprs && s->nexprs) {
        if (e->nexprs != s->nexprs)
            return -LX_EOPNOTSUPP;
        for (u32 i = 0; i < s->nexprs; i++) {
            if (e->exprs[i]->ops != s->exprs[i]->ops)
                return -LX_EOPNOTSUPP;
        }
    }
    if (e->nexprs && !s->is_live)
        return -LX_EOPNOTSUPP; /* who runs them needs the set's lock */
    if (e->nexprs || !s->nexprs)
        return 0;
    e->exprs = nft_alloc(c->n, s->nexprs * sizeof(*e->exprs));
    for (u32 i = 0; e->exprs && i < s->nexprs; i++) {
        if (!(e->exprs[i] = nft_expr_clone(c->n, s->exprs[i])))
            return -LX_ENOMEM;
        e->nexprs++;
    }
    return e->exprs ? 0 : -LX_ENOMEM;
}

static int make(struct nft_ctx *c, struct nft_set *s, const struct nft_attr *tb,
                const struct spec *x, struct nft_elem **ret)
{
    struct nft_elem *e = nft_elem_new(s, x->key.b, x->has_end ? x->end.b : NULL);
    if (!e)
        return -LX_ENOMEM;
    e->flags = x->flags;
    e->data = x->data;
    int r = read_times(s, tb, e);
    if (r == 0)
        r = read_object(c, s, tb, e);
    if (r == 0)
        r = read_exprs(c, s, tb, e);
    if (r == 0)
        r = nft_blob_set(c->n, &e->udata, &tb[LX_NFTA_SET_ELEM_USERDATA]);
    if (r < 0)
        nft_elem_free(c->n, e);
    else
        *ret = e;
    return r;
}

/* It is there already. */
static int again(struct nft_ctx *c, struct nft_set *s, struct nft_elem *old, struct nft_elem *e)
{
    struct nft_op *op;
    bool is_same = old->obj == e->obj;
    if (is_verdict_map(s))
        is_same &= old->data.v.code == e->data.v.code && old->data.v.chain == e->data.v.chain;
    else
        is_same &= !memcmp(&old->data, &e->data, sizeof(e->data));
    if (!is_same)
        return -LX_EEXIST;
    if (c->flags & LX_NLM_F_EXCL)
        return -LX_EEXIST;
    if (!e->timeout_ms || !(s->flags & LX_NFT_SET_TIMEOUT))
        return 0;
    int r = nft_op_new(c, NFT_UPD_ELEM, &op);
    if (r < 0)
        return r;
    op->set = s;
    op->elem = old;
    op->old_v[0] = old->timeout_ms;
    op->old_v[1] = (u64)old->expires_ns;
    old->timeout_ms = e->timeout_ms;
    old->expires_ns = e->expires_ns;
    return 0;
}

static int remove_elem(struct nft_ctx *c, struct nft_set *s, struct nft_elem *e, bool is_quiet)
{
    struct nft_op *op;
    int r = nft_op_new(c, NFT_DEL_ELEM, &op);
    if (r < 0)
        return r;
    op->set = s;
    op->elem = e;
    op->is_quiet = is_quiet;
    nft_elem_unlink(s, e);
    nft_store_del(s, e);
    return 0;
}

static bool is_full(const struct nft_set *s)
{
    u64 max = (u64)s->size * (s->flags & LX_NFT_SET_INTERVAL ? 2 : 1) +
              (s->flags & LX_NFT_SET_INTERVAL ? 1 : 0);
    return s->size && s->nelems >= max;
}

/* What is over makes room, now and then; a batch that fails brings it back. */
static int sweep(struct nft_ctx *c, struct nft_set *s, s64 now)
{
    u32 bucket = 0, nth = 0;
    struct nft_elem *e;
    int r = 0;
    if (!(s->flags & LX_NFT_SET_TIMEOUT) || (!is_full(s) && now - s->swept_ns < NSEC_PER_SEC))
        return 0;
    s->swept_ns = now;
    while (r == 0 && (e = nft_store_next(s, &bucket, &nth))) {
        if (!nft_elem_is_over(e, now))
            continue;
        r = remove_elem(c, s, e, true);
        nth -= nth != 0; /* the next one has taken its place */
    }
    return r;
}

static int put_in(struct nft_ctx *c, struct nft_set *s, struct nft_elem *e)
{
    struct nft_op *op;
    if (is_full(s))
        return -LX_ENFILE;
    int r = nft_op_new(c, NFT_ADD_ELEM, &op);
    if (r == 0)
        r = nft_store_add(s, e);
    if (r < 0)
        return r;
    op->set = s;
    op->elem = e;
    nft_elem_link(s, e);
    return 1;
}

static int add_one(struct nft_ctx *c, struct nft_set *s, const struct nft_attr *a)
{
    struct nft_attr tb[LX_NFTA_SET_ELEM_EXPRESSIONS + 1];
    struct nft_elem *e, *old;
    struct spec x;
    int r = nft_parse_in(a, tb, min_elem, LX_NFTA_SET_ELEM_EXPRESSIONS);
    if (r == 0)
        r = read_spec(s, tb, &x);
    if (r == 0)
        r = read_data(c, s, tb, &x);
    if (r == 0)
        r = make(c, s, tb, &x, &e);
    if (r < 0)
        return r;
    s64 now = clock_mono_ns();
    r = sweep(c, s, now);
    old = nft_store_find(s, x.key.b, x.has_end ? x.end.b : NULL, x.flags);
    if (r == 0 && old && nft_elem_is_over(old, now)) {
        r = remove_elem(c, s, old, true);
        old = NULL;
    }
    if (r == 0)
        r = old ? again(c, s, old, e) : put_in(c, s, e);
    if (r != 1)
        nft_elem_free(c->n, e);
    return MIN(r, 0);
}

static int open_set(struct nft_ctx *c, const struct nft_attr *tb, struct nft_set **ret)
{
    if (!tb[LX_NFTA_SET_ELEM_LIST_TABLE].p)
        return -LX_EINVAL;
    int r = nft_find_table(c, &tb[LX_NFTA_SET_ELEM_LIST_TABLE]);
    if (r == 0)
        r = nft_find_set(c, &tb[LX_NFTA_SET_ELEM_LIST_SET], &tb[LX_NFTA_SET_ELEM_LIST_SET_ID], ret);
    if (r == 0 && (*ret)->flags & LX_NFT_SET_CONSTANT && (*ret)->nbound)
        r = -LX_EBUSY;
    return r;
}

int nft_new_elem(struct nft_ctx *c, const struct nft_attr *tb)
{
    const struct nft_attr *list = &tb[LX_NFTA_SET_ELEM_LIST_ELEMENTS];
    struct nft_attr a;
    struct nft_set *s;
    u32 at = 0;
    u16 type;
    if (!list->p)
        return -LX_EINVAL;
    int r = open_set(c, tb, &s);
    while (r == 0 && nft_each(list, &at, &type, &a)) {
        r = add_one(c, s, &a);
        if (r < 0 && !c->bad)
            c->bad = a.p;
    }
    return r;
}

static int find_one(struct nft_set *s, const struct nft_attr *a, struct nft_elem **ret)
{
    struct nft_attr tb[LX_NFTA_SET_ELEM_EXPRESSIONS + 1];
    struct spec x;
    int r = nft_parse_in(a, tb, min_elem, LX_NFTA_SET_ELEM_EXPRESSIONS);
    if (r == 0)
        r = read_spec(s, tb, &x);
    if (r < 0)
        return r;
    *ret = nft_store_find(s, x.key.b, x.has_end ? x.end.b : NULL, x.flags);
    return *ret && !nft_elem_is_over(*ret, clock_mono_ns()) ? 0 : -LX_ENOENT;
}

static int remove_all(struct nft_ctx *c, struct nft_set *s)
{
    u32 bucket = 0, nth = 0;
    struct nft_elem *e;
    int r = 0;
    while (r == 0 && (e = nft_store_next(s, &bucket, &nth))) {
        r = remove_elem(c, s, e, false);
        nth = 0; /* the next one has taken its place */
    }
    return r;
}

int nft_del_elem(struct nft_ctx *c, const struct nft_attr *tb)
{
    const struct nft_attr *list = &tb[LX_NFTA_SET_ELEM_LIST_ELEMENTS];
    struct nft_attr a;
    struct nft_elem *e;
    struct nft_set *s;
    u32 at = 0;
    u16 type;
    int r = open_set(c, tb, &s);
    if (r == 0 && s->flags & LX_NFT_SET_ANONYMOUS)
        r = -LX_EOPNOTSUPP;
    if (r < 0 || !list->p)
        return r < 0 ? r : remove_all(c, s);
    while (r == 0 && nft_each(list, &at, &type, &a)) {
        r = find_one(s, &a, &e);
        if (r == -LX_ENOENT && (c->req->type & 0xff) > LX_NFT_MSG_MAX)
            r = 0; /* "destroy": whether it is there or not */
        else if (r == 0)
            r = remove_elem(c, s, e, false);
        if (r < 0)
            c->bad = a.p;
    }
    return r;
}

/* ---- telling ------------------------------------------------------------------------------- */

void nft_put_elem(struct nlbuf *b, struct nft_set *s, const struct nft_elem *e, bool is_reset)
{
    u32 at = nft_nest(b, LX_NFTA_LIST_ELEM);
    bool is_end = e->flags & LX_NFT_SET_ELEM_INTERVAL_END;
    if (!(e->flags & LX_NFT_SET_ELEM_CATCHALL))
        nft_put_value(b, LX_NFTA_SET_ELEM_KEY, e->key, s->klen);
    if (e->has_end)
        nft_put_value(b, LX_NFTA_SET_ELEM_KEY_END, e->key + s->klen, s->klen);
    if (is_verdict_map(s) && !is_end)
        nft_put_verdict(b, LX_NFTA_SET_ELEM_DATA, &e->data);
    else if (s->flags & LX_NFT_SET_MAP && !is_end)
        nft_put_value(b, LX_NFTA_SET_ELEM_DATA, &e->data, s->dlen);
    nft_exprs_put(b, LX_NFTA_SET_ELEM_EXPR, LX_NFTA_SET_ELEM_EXPRESSIONS, e->exprs, e->nexprs,
                  is_reset);
    if (e->obj)
        nl_attr_str(b, LX_NFTA_SET_ELEM_OBJREF, e->obj->name);
    if (e->flags)
        nft_put_be32(b, LX_NFTA_SET_ELEM_FLAGS, e->flags);
    if (e->timeout_ms && e->timeout_ms != s->timeout_ms)
        nft_put_be64(b, LX_NFTA_SET_ELEM_TIMEOUT, e->timeout_ms);
    if (e->expires_ns) {
        s64 left = e->expires_ns - clock_mono_ns();
        nft_put_be64(b, LX_NFTA_SET_ELEM_EXPIRATION, left > 0 ? (u64)(left / NSEC_PER_MSEC) : 0);
    }
    nft_put_blob(b, LX_NFTA_SET_ELEM_USERDATA, &e->udata);
    nl_nest_end(b, at);
}

void *nft_begin_elems(struct nlbuf *b, struct nft_ns *n, u32 msg, u16 flags,
                      const struct nft_set *s, u32 *ret_nest)
{
    void *p = nft_begin(b, n, msg, flags, s->table->family);
    nl_attr_str(b, LX_NFTA_SET_ELEM_LIST_TABLE, s->table->name);
    nl_attr_str(b, LX_NFTA_SET_ELEM_LIST_SET, s->name);
    *ret_nest = nft_nest(b, LX_NFTA_SET_ELEM_LIST_ELEMENTS);
    return p;
}

/* What of an interval is asked for: the whole of it. */
static struct nft_elem *find_in(struct nft_set *s, const struct nft_attr *a, int *ret)
{
    struct nft_attr tb[LX_NFTA_SET_ELEM_EXPRESSIONS + 1];
    struct nft_elem *e = NULL;
    struct spec x;
    *ret = nft_parse_in(a, tb, min_elem, LX_NFTA_SET_ELEM_EXPRESSIONS);
    if (*ret == 0)
        *ret = read_spec(s, tb, &x);
    if (*ret < 0)
        return NULL;
    bool is_tree = s->flags & LX_NFT_SET_INTERVAL && s->nfields < 2;
    if (is_tree && x.flags & LX_NFT_SET_ELEM_INTERVAL_END) {
        e = nft_store_find(s, x.key.b, NULL, x.flags);
        e = e ? e : nft_store_end(s, x.key.b);
    } else if (!(x.flags & LX_NFT_SET_ELEM_CATCHALL)) {
        e = nft_set_lookup(s, x.key.b);
        if (e == s->catchall)
            e = NULL;
    } else {
        e = s->catchall;
    }
    *ret = e ? 0 : -LX_ENOENT;
    return e;
}

int nft_get_elem(struct nft_ctx *c, const struct nft_attr *tb, struct nlbuf *b)
{
    const struct nft_attr *list = &tb[LX_NFTA_SET_ELEM_LIST_ELEMENTS];
    struct nft_attr a;
    struct nft_set *s;
    u32 at = 0, nest;
    u16 type;
    if (!list->p || !tb[LX_NFTA_SET_ELEM_LIST_TABLE].p)
        return -LX_EINVAL;
    int r = nft_find_table(c, &tb[LX_NFTA_SET_ELEM_LIST_TABLE]);
    if (r == 0)
        r = nft_find_set(c, &tb[LX_NFTA_SET_ELEM_LIST_SET], &tb[LX_NFTA_SET_ELEM_LIST_SET_ID], &s);
    while (r == 0 && nft_each(list, &at, &type, &a)) {
        nft_set_lock(s);
        struct nft_elem *e = find_in(s, &a, &r);
        if (e && nft_begin_elems(b, c->n, LX_NFT_MSG_NEWSETELEM, 0, s, &nest)) {
            nft_put_elem(b, s, e, false);
            nl_nest_end(b, nest);
        }
        nft_set_unlock(s);
        if (e && !nl_end(b))
            r = -LX_ENOSPC;
        if (r < 0)
            c->bad = a.p;
    }
    return r;
}
