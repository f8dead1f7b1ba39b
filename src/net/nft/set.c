/* Sets: making them, taking them away. */
#include <stdio.h>
#include <string.h>

#include "net/nft/nft.h"

#define FLAGS_ALL 0x1ffU
#define NFIELDS   16U

const u8 nft_min_set[] = {
    [LX_NFTA_SET_FLAGS] = 4,     [LX_NFTA_SET_KEY_TYPE] = 4, [LX_NFTA_SET_KEY_LEN] = 4,
    [LX_NFTA_SET_DATA_TYPE] = 4, [LX_NFTA_SET_DATA_LEN] = 4, [LX_NFTA_SET_POLICY] = 4,
    [LX_NFTA_SET_ID] = 4,        [LX_NFTA_SET_TIMEOUT] = 8,  [LX_NFTA_SET_GC_INTERVAL] = 4,
    [LX_NFTA_SET_OBJ_TYPE] = 4,  [LX_NFTA_SET_HANDLE] = 8,   [LX_NFTA_SET_EXPRESSIONS] = 0,
};

struct nft_set *nft_set_named(const struct nft_table *t, const char *name)
{
    struct nft_set *s;
    list_for_each (s, &t->sets, node) {
        if (!strcmp(s->name, name))
            return s;
    }
    return NULL;
}

int nft_find_set(struct nft_ctx *c, const struct nft_attr *name, const struct nft_attr *id,
                 struct nft_set **ret)
{
    char n[NFT_NAME_MAX];
    int r = nft_name(name, n);
    if (r < 0)
        return r;
    struct nft_set *s = nft_set_named(c->table, n), *o;
    for (struct list *at = c->table->sets.prev; !s && id->p && at != &c->table->sets;
         at = at->prev) {
        o = list_entry(at, struct nft_set, node);
        if (o->in_batch && o->id == nft_be32(id))
            s = o;
    }
    if (!s)
        return nft_blame(c, name, -LX_ENOENT);
    *ret = s;
    return 0;
}

/* "%d" in a name becomes the least number that is free. */
static int give_name(struct nft_ctx *c, char name[NFT_NAME_MAX])
{
    char *at = strchr(name, '%'), full[NFT_NAME_MAX + 16];
    if (!at)
        return 0;
    if (at[1] != 'd' || strchr(at + 2, '%') || at[2] || strlen(name) > 15)
        return -LX_EINVAL;
    *at = 0;
    for (u32 i = 0; i < 65536; i++) {
        (void)snprintf(full, sizeof(full), "%s%u", name, i);
        if (!nft_set_named(c->table, full)) {
            memcpy(name, full, strlen(full) + 1);
            return 0;
        }
    }
    return -LX_ENFILE;
}

static int read_fields(struct nft_set *s, const struct nft_attr *list)
{
    struct nft_attr a, tb[LX_NFTA_SET_FIELD_LEN + 1];
    static const u8 min[] = {[LX_NFTA_SET_FIELD_LEN] = 4};
    u32 at = 0, sum = 0;
    u16 type;
    while (nft_each(list, &at, &type, &a)) {
        int r = type == LX_NFTA_LIST_ELEM ? nft_parse_in(&a, tb, min, LX_NFTA_SET_FIELD_LEN)
                                          : -LX_EINVAL;
        if (r < 0)
            return r;
        u32 len = nft_be32(&tb[LX_NFTA_SET_FIELD_LEN]);
        if (!len || len > LX_NFT_DATA_VALUE_MAXLEN)
            return -LX_EINVAL;
        if (s->nfields == NFIELDS)
            return -LX_E2BIG;
        s->fields[s->nfields++] = (u8)len;
        sum += NL_ALIGN(len);
    }
    return sum == s->klen ? 0 : -LX_EINVAL;
}

static int read_desc(struct nft_set *s, const struct nft_attr *a)
{
    static const u8 min[] = {[LX_NFTA_SET_DESC_SIZE] = 4, [LX_NFTA_SET_DESC_CONCAT] = 0};
    struct nft_attr tb[LX_NFTA_SET_DESC_CONCAT + 1];
    if (!a->p)
        return 0;
    int r = nft_parse_in(a, tb, min, LX_NFTA_SET_DESC_CONCAT);
    if (r < 0)
        return r;
    s->size = nft_be32(&tb[LX_NFTA_SET_DESC_SIZE]);
    return tb[LX_NFTA_SET_DESC_CONCAT].p ? read_fields(s, &tb[LX_NFTA_SET_DESC_CONCAT]) : 0;
}

static int read_flags(struct nft_set *s, const struct nft_attr *tb)
{
    u32 f = nft_be32(&tb[LX_NFTA_SET_FLAGS]);
    s->flags = f;
    if (f & ~FLAGS_ALL)
        return -LX_EOPNOTSUPP;
    if ((f & (LX_NFT_SET_MAP | LX_NFT_SET_OBJECT)) == (LX_NFT_SET_MAP | LX_NFT_SET_OBJECT) ||
        (f & (LX_NFT_SET_EVAL | LX_NFT_SET_OBJECT)) == (LX_NFT_SET_EVAL | LX_NFT_SET_OBJECT))
        return -LX_EOPNOTSUPP;
    if ((f & (LX_NFT_SET_ANONYMOUS | LX_NFT_SET_TIMEOUT | LX_NFT_SET_EVAL)) ==
            (LX_NFT_SET_ANONYMOUS | LX_NFT_SET_TIMEOUT | LX_NFT_SET_EVAL) ||
        (f & (LX_NFT_SET_CONSTANT | LX_NFT_SET_TIMEOUT)) ==
            (LX_NFT_SET_CONSTANT | LX_NFT_SET_TIMEOUT))
        return -LX_EOPNOTSUPP;
    return 0;
}

static int read_data(struct nft_set *s, const struct nft_attr *tb)
{
    if (tb[LX_NFTA_SET_DATA_TYPE].p) {
        if (!(s->flags & LX_NFT_SET_MAP))
            return -LX_EINVAL;
        s->dtype = nft_be32(&tb[LX_NFTA_SET_DATA_TYPE]);
        if ((s->dtype & 0xffffff00U) == 0xffffff00U && s->dtype != (u32)LX_NFT_DATA_VERDICT)
            return -LX_EINVAL;
        if (s->dtype != (u32)LX_NFT_DATA_VERDICT) {
            if (!tb[LX_NFTA_SET_DATA_LEN].p)
                return -LX_EINVAL;
            s->dlen = nft_be32(&tb[LX_NFTA_SET_DATA_LEN]);
            if (!s->dlen || s->dlen > LX_NFT_DATA_VALUE_MAXLEN)
                return -LX_EINVAL;
        }
    } else if (s->flags & LX_NFT_SET_MAP) {
        return -LX_EINVAL;
    }
    if (tb[LX_NFTA_SET_OBJ_TYPE].p) {
        if (!(s->flags & LX_NFT_SET_OBJECT))
            return -LX_EINVAL;
        s->objtype = nft_be32(&tb[LX_NFTA_SET_OBJ_TYPE]);
        if (!s->objtype || s->objtype > LX_NFT_OBJECT_SECMARK + 2U)
            return -LX_EOPNOTSUPP;
    } else if (s->flags & LX_NFT_SET_OBJECT) {
        return -LX_EINVAL;
    }
    return 0;
}

static int read_times(struct nft_set *s, const struct nft_attr *tb)
{
    if (tb[LX_NFTA_SET_TIMEOUT].p) {
        if (!(s->flags & LX_NFT_SET_TIMEOUT))
            return -LX_EINVAL;
        s->timeout_ms = nft_be64(&tb[LX_NFTA_SET_TIMEOUT]);
        if (s->timeout_ms > INT64_MAX / (u64)NSEC_PER_MSEC / 4)
            return -LX_ERANGE;
    }
    if (tb[LX_NFTA_SET_GC_INTERVAL].p) {
        if (!(s->flags & LX_NFT_SET_TIMEOUT))
            return -LX_EINVAL;
        s->gc_ms = nft_be32(&tb[LX_NFTA_SET_GC_INTERVAL]);
    }
    return 0;
}

static int read_set(struct nft_ctx *c, struct nft_set *s, const struct nft_attr *tb)
{
    s->klen = nft_be32(&tb[LX_NFTA_SET_KEY_LEN]);
    s->ktype = nft_be32(&tb[LX_NFTA_SET_KEY_TYPE]);
    s->id = nft_be32(&tb[LX_NFTA_SET_ID]);
    s->policy = nft_be32(&tb[LX_NFTA_SET_POLICY]);
    if (!s->klen || s->klen > LX_NFT_DATA_VALUE_MAXLEN)
        return -LX_EINVAL;
    int r = read_flags(s, tb);
    if (r == 0)
        r = read_data(s, tb);
    if (r == 0)
        r = read_times(s, tb);
    if (r == 0)
        r = read_desc(s, &tb[LX_NFTA_SET_DESC]);
    if (r == 0)
        r = nft_blob_set(c->n, &s->udata, &tb[LX_NFTA_SET_USERDATA]);
    if (r == 0)
        r = nft_exprs_new(c, &tb[LX_NFTA_SET_EXPR], &tb[LX_NFTA_SET_EXPRESSIONS], &s->exprs,
                          &s->nexprs);
    if (s->flags & LX_NFT_SET_EVAL && !s->size)
        s->size = NFT_MAX_ELEMS; /* as Linux has it, where packets may add to it */
    s->is_live = s->flags & (LX_NFT_SET_EVAL | LX_NFT_SET_TIMEOUT) || s->nexprs;
    return r;
}

static int exists(struct nft_ctx *c, const struct nft_set *s, const struct nft_attr *tb)
{
    u32 f = nft_be32(&tb[LX_NFTA_SET_FLAGS]);
    if (c->flags & LX_NLM_F_EXCL)
        return nft_blame(c, &tb[LX_NFTA_SET_NAME], -LX_EEXIST);
    if (c->flags & LX_NLM_F_REPLACE)
        return -LX_EOPNOTSUPP;
    if (f & LX_NFT_SET_ANONYMOUS)
        return -LX_EOPNOTSUPP;
    u32 dtype = nft_be32(&tb[LX_NFTA_SET_DATA_TYPE]);
    bool is_same = s->ktype == nft_be32(&tb[LX_NFTA_SET_KEY_TYPE]) &&
                   s->klen == nft_be32(&tb[LX_NFTA_SET_KEY_LEN]) && s->flags == f &&
                   s->dtype == dtype;
    return is_same ? 0 : nft_blame(c, &tb[LX_NFTA_SET_NAME], -LX_EEXIST);
}

int nft_new_set(struct nft_ctx *c, const struct nft_attr *tb)
{
    char name[NFT_NAME_MAX];
    if (!tb[LX_NFTA_SET_TABLE].p || !tb[LX_NFTA_SET_NAME].p || !tb[LX_NFTA_SET_KEY_LEN].p ||
        !tb[LX_NFTA_SET_ID].p)
        return -LX_EINVAL;
    int r = nft_find_table(c, &tb[LX_NFTA_SET_TABLE]);
    if (r == 0)
        r = nft_name(&tb[LX_NFTA_SET_NAME], name);
    if (r < 0)
        return r;
    struct nft_set *s = nft_set_named(c->table, name);
    if (s)
        return exists(c, s, tb);
    if (!(c->flags & LX_NLM_F_CREATE))
        return -LX_ENOENT;
    if ((r = give_name(c, name)) < 0)
        return r;
    s = nft_alloc(c->n, sizeof(*s));
    if (!s)
        return -LX_ENOMEM;
    list_init(&s->node);
    mutex_init(&s->lock, "nft_set");
    s->n = c->n;
    s->table = c->table;
    s->name = nft_memdup(c->n, name, (u32)strlen(name) + 1);
    r = s->name ? read_set(c, s, tb) : -LX_ENOMEM;
    struct nft_op *op;
    if (r == 0)
        r = nft_op_new(c, NFT_ADD_SET, &op);
    if (r < 0) {
        nft_set_free(c->n, s);
        return r;
    }
    s->handle = ++c->table->last_handle;
    s->in_batch = true;
    list_add_tail(&c->table->sets, &s->node);
    c->table->use++;
    op->set = s;
    return 0;
}

void nft_set_free(struct nft_ns *n, struct nft_set *s)
{
    if (!s)
        return;
    for (u32 i = 0; i < s->nbuckets; i++) {
        struct nft_elem *e;
        while ((e = s->buckets[i])) {
            s->buckets[i] = e->hash_next;
            nft_elem_free(n, e);
        }
    }
    nft_elem_free(n, s->catchall);
    nft_free(s->buckets);
    nft_exprs_free(n, s->exprs, s->nexprs);
    nft_free(s->udata.p);
    nft_free(s->name);
    nft_free(s);
}

int nft_set_remove(struct nft_ctx *c, struct nft_set *s)
{
    struct nft_op *op;
    int r = nft_op_new(c, NFT_DEL_SET, &op);
    if (r < 0)
        return r;
    op->set = s;
    nft_set_take_out(s);
    return 0;
}

int nft_del_set(struct nft_ctx *c, const struct nft_attr *tb)
{
    struct nft_set *s = NULL;
    if (!tb[LX_NFTA_SET_TABLE].p || (!tb[LX_NFTA_SET_NAME].p && !tb[LX_NFTA_SET_HANDLE].p))
        return -LX_EINVAL;
    int r = nft_find_table(c, &tb[LX_NFTA_SET_TABLE]);
    if (r < 0)
        return r;
    if (tb[LX_NFTA_SET_HANDLE].p) {
        struct nft_set *o;
        list_for_each (o, &c->table->sets, node) {
            if (o->handle == nft_be64(&tb[LX_NFTA_SET_HANDLE]))
                s = o;
        }
        if (!s)
            return nft_blame(c, &tb[LX_NFTA_SET_HANDLE], -LX_ENOENT);
    } else {
        char name[NFT_NAME_MAX];
        if ((r = nft_name(&tb[LX_NFTA_SET_NAME], name)) < 0)
            return r;
        if (!(s = nft_set_named(c->table, name)))
            return nft_blame(c, &tb[LX_NFTA_SET_NAME], -LX_ENOENT);
    }
    if (s->use || (s->nbound && s->flags & LX_NFT_SET_ANONYMOUS))
        return nft_blame(c, &tb[tb[LX_NFTA_SET_HANDLE].p ? LX_NFTA_SET_HANDLE : LX_NFTA_SET_NAME],
                         -LX_EBUSY);
    return nft_set_remove(c, s);
}

static void put_desc(struct nlbuf *b, const struct nft_set *s)
{
    u32 at = nft_nest(b, LX_NFTA_SET_DESC);
    if (s->size)
        nft_put_be32(b, LX_NFTA_SET_DESC_SIZE, s->size);
    if (s->nfields > 1) {
        u32 list = nft_nest(b, LX_NFTA_SET_DESC_CONCAT);
        for (u32 i = 0; i < s->nfields; i++) {
            u32 in = nft_nest(b, LX_NFTA_LIST_ELEM);
            nft_put_be32(b, LX_NFTA_SET_FIELD_LEN, s->fields[i]);
            nl_nest_end(b, in);
        }
        nl_nest_end(b, list);
    }
    nl_nest_end(b, at);
}

void nft_put_set(struct nlbuf *b, struct nft_ns *n, u32 msg, u16 flags, const struct nft_set *s)
{
    if (!nft_begin(b, n, msg, flags, s->table->family))
        return;
    nl_attr_str(b, LX_NFTA_SET_TABLE, s->table->name);
    nl_attr_str(b, LX_NFTA_SET_NAME, s->name);
    nft_put_be64(b, LX_NFTA_SET_HANDLE, s->handle);
    if (msg == LX_NFT_MSG_DELSET)
        return;
    if (s->flags)
        nft_put_be32(b, LX_NFTA_SET_FLAGS, s->flags);
    nft_put_be32(b, LX_NFTA_SET_KEY_TYPE, s->ktype);
    nft_put_be32(b, LX_NFTA_SET_KEY_LEN, s->klen);
    if (s->flags & LX_NFT_SET_MAP) {
        nft_put_be32(b, LX_NFTA_SET_DATA_TYPE, s->dtype);
        nft_put_be32(b, LX_NFTA_SET_DATA_LEN,
                     s->dtype == (u32)LX_NFT_DATA_VERDICT ? LX_NFT_REG_SIZE : s->dlen);
    }
    if (s->flags & LX_NFT_SET_OBJECT)
        nft_put_be32(b, LX_NFTA_SET_OBJ_TYPE, s->objtype);
    if (s->timeout_ms)
        nft_put_be64(b, LX_NFTA_SET_TIMEOUT, s->timeout_ms);
    if (s->gc_ms)
        nft_put_be32(b, LX_NFTA_SET_GC_INTERVAL, s->gc_ms);
    if (s->policy)
        nft_put_be32(b, LX_NFTA_SET_POLICY, s->policy);
    nft_put_blob(b, LX_NFTA_SET_USERDATA, &s->udata);
    put_desc(b, s);
    nft_exprs_put(b, LX_NFTA_SET_EXPR, LX_NFTA_SET_EXPRESSIONS, s->exprs, s->nexprs, false);
}
