/* Objects: counters, quotas and limits with a name. */
#include <string.h>

#include "net/nft/nft.h"

const u8 nft_min_obj[] = {
    [LX_NFTA_OBJ_TYPE] = 4, [LX_NFTA_OBJ_HANDLE] = 8, [LX_NFTA_OBJ_USERDATA] = 0};

static const struct nft_expr_ops *ops_of(u32 type)
{
    switch (type) {
    case LX_NFT_OBJECT_COUNTER:
        return &nft_ops_counter;
    case LX_NFT_OBJECT_QUOTA:
        return &nft_ops_quota;
    case LX_NFT_OBJECT_LIMIT:
        return &nft_ops_limit;
    default:
        return NULL;
    }
}

struct nft_obj *nft_obj_named(const struct nft_table *t, const char *name, u32 type)
{
    struct nft_obj *o;
    list_for_each (o, &t->objs, node) {
        if (o->type == type && !strcmp(o->name, name))
            return o;
    }
    return NULL;
}

/* It is there: what it says may change. */
static int change(struct nft_ctx *c, struct nft_obj *o, const struct nft_attr *tb)
{
    struct nft_op *op;
    struct nft_expr *e;
    if (c->flags & LX_NLM_F_EXCL)
        return nft_blame(c, &tb[LX_NFTA_OBJ_NAME], -LX_EEXIST);
    if (c->flags & LX_NLM_F_REPLACE)
        return -LX_EOPNOTSUPP;
    if (o->type != LX_NFT_OBJECT_QUOTA) /* of the rest, Linux has nothing to change */
        return 0;
    int r = nft_expr_make(c, ops_of(o->type), &tb[LX_NFTA_OBJ_DATA], &e);
    if (r < 0)
        return r;
    if ((r = nft_op_new(c, NFT_UPD_OBJ, &op)) < 0) {
        nft_expr_free(c->n, e);
        return r;
    }
    op->obj = o;
    op->old = o->expr;
    o->expr = e;
    return 0;
}

int nft_new_obj(struct nft_ctx *c, const struct nft_attr *tb)
{
    char name[NFT_NAME_MAX];
    u32 type = nft_be32(&tb[LX_NFTA_OBJ_TYPE]);
    struct nft_op *op;
    if (!tb[LX_NFTA_OBJ_TYPE].p || !tb[LX_NFTA_OBJ_NAME].p || !tb[LX_NFTA_OBJ_DATA].p)
        return -LX_EINVAL;
    int r = nft_find_table(c, &tb[LX_NFTA_OBJ_TABLE]);
    if (r == 0)
        r = nft_name(&tb[LX_NFTA_OBJ_NAME], name);
    if (r < 0)
        return r;
    struct nft_obj *o = nft_obj_named(c->table, name, type);
    if (o)
        return change(c, o, tb);
    if (!ops_of(type))
        return nft_blame(c, &tb[LX_NFTA_OBJ_TYPE], -LX_ENOENT);
    o = nft_alloc(c->n, sizeof(*o));
    if (!o)
        return -LX_ENOMEM;
    list_init(&o->node);
    o->table = c->table;
    o->type = type;
    o->name = nft_memdup(c->n, name, (u32)strlen(name) + 1);
    r = o->name ? nft_blob_set(c->n, &o->udata, &tb[LX_NFTA_OBJ_USERDATA]) : -LX_ENOMEM;
    if (r == 0)
        r = nft_expr_make(c, ops_of(type), &tb[LX_NFTA_OBJ_DATA], &o->expr);
    if (r == 0)
        r = nft_op_new(c, NFT_ADD_OBJ, &op);
    if (r < 0) {
        nft_obj_free(c->n, o);
        return r;
    }
    o->handle = ++c->table->last_handle;
    list_add_tail(&c->table->objs, &o->node);
    c->table->use++;
    op->obj = o;
    return 0;
}

void nft_obj_free(struct nft_ns *n, struct nft_obj *o)
{
    if (!o)
        return;
    nft_expr_free(n, o->expr);
    nft_free(o->udata.p);
    nft_free(o->name);
    nft_free(o);
}

int nft_obj_remove(struct nft_ctx *c, struct nft_obj *o)
{
    struct nft_op *op;
    int r = nft_op_new(c, NFT_DEL_OBJ, &op);
    if (r < 0)
        return r;
    op->obj = o;
    op->prev = o->node.prev;
    list_del(&o->node);
    o->table->use--;
    return 0;
}

int nft_del_obj(struct nft_ctx *c, const struct nft_attr *tb)
{
    char name[NFT_NAME_MAX];
    struct nft_obj *o = NULL, *at;
    u32 type = nft_be32(&tb[LX_NFTA_OBJ_TYPE]);
    if (!tb[LX_NFTA_OBJ_TYPE].p || (!tb[LX_NFTA_OBJ_NAME].p && !tb[LX_NFTA_OBJ_HANDLE].p))
        return -LX_EINVAL;
    int r = nft_find_table(c, &tb[LX_NFTA_OBJ_TABLE]);
    if (r < 0)
        return r;
    const struct nft_attr *by =
        &tb[tb[LX_NFTA_OBJ_HANDLE].p ? LX_NFTA_OBJ_HANDLE : LX_NFTA_OBJ_NAME];
    if (tb[LX_NFTA_OBJ_HANDLE].p) {
        list_for_each (at, &c->table->objs, node) {
            if (at->type == type && at->handle == nft_be64(by))
                o = at;
        }
    } else {
        if ((r = nft_name(by, name)) < 0)
            return r;
        o = nft_obj_named(c->table, name, type);
    }
    if (!o || o->use)
        return nft_blame(c, by, o ? -LX_EBUSY : -LX_ENOENT);
    return nft_obj_remove(c, o);
}

void nft_put_obj(struct nlbuf *b, struct nft_ns *n, u32 msg, u16 flags, const struct nft_obj *o,
                 bool is_reset)
{
    if (!nft_begin(b, n, msg, flags, o->table->family))
        return;
    nl_attr_str(b, LX_NFTA_OBJ_TABLE, o->table->name);
    nl_attr_str(b, LX_NFTA_OBJ_NAME, o->name);
    nft_put_be32(b, LX_NFTA_OBJ_TYPE, o->type);
    nft_put_be64(b, LX_NFTA_OBJ_HANDLE, o->handle);
    if (msg == LX_NFT_MSG_DELOBJ)
        return;
    nft_put_be32(b, LX_NFTA_OBJ_USE, o->use);
    u32 at = nft_nest(b, LX_NFTA_OBJ_DATA);
    o->expr->ops->put(b, o->expr, is_reset);
    nl_nest_end(b, at);
    nft_put_blob(b, LX_NFTA_OBJ_USERDATA, &o->udata);
}
