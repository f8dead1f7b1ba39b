/* Tables. */
#include <string.h>

#include "net/nft/nft.h"

#define TABLE_F_ALL ((u32)(LX_NFT_TABLE_F_DORMANT | LX_NFT_TABLE_F_OWNER))

const u8 nft_min_table[] = {
    [LX_NFTA_TABLE_FLAGS] = 4, [LX_NFTA_TABLE_HANDLE] = 8, [LX_NFTA_TABLE_OWNER] = 4};

static bool is_family(u8 family)
{
    return family == NFT_INET || family == NFT_IPV4 || family == NFT_ARP || family == NFT_NETDEV ||
           family == NFT_BRIDGE || family == NFT_IPV6;
}

static struct nft_table *named(struct nft_ns *n, u8 family, const char *name)
{
    struct nft_table *t;
    list_for_each (t, &n->tables, node) {
        if (t->family == family && !strcmp(t->name, name))
            return t;
    }
    return NULL;
}

static bool is_others(const struct nft_ctx *c, const struct nft_table *t)
{
    return c->batch && t->flags & LX_NFT_TABLE_F_OWNER && t->owner != c->portid;
}

int nft_find_table(struct nft_ctx *c, const struct nft_attr *a)
{
    char name[NFT_NAME_MAX];
    int r = nft_name(a, name);
    if (r < 0)
        return r;
    c->table = named(c->n, c->family, name);
    if (!c->table)
        return nft_blame(c, a, -LX_ENOENT);
    return is_others(c, c->table) ? nft_blame(c, a, -LX_EPERM) : 0;
}

struct nft_table *nft_table_nth(struct nft_ns *n, u8 family, u64 *nth)
{
    struct nft_table *t;
    u64 i = 0;
    list_for_each (t, &n->tables, node) {
        if (i++ < *nth)
            continue;
        *nth = i;
        if (family == NFT_UNSPEC || t->family == family)
            return t;
    }
    return NULL;
}

static int change(struct nft_ctx *c, const struct nft_attr *tb)
{
    struct nft_op *op;
    struct nft_table *t = c->table;
    u32 flags = nft_be32(&tb[LX_NFTA_TABLE_FLAGS]);
    if (c->flags & LX_NLM_F_EXCL)
        return nft_blame(c, &tb[LX_NFTA_TABLE_NAME], -LX_EEXIST);
    if (c->flags & LX_NLM_F_REPLACE)
        return -LX_EOPNOTSUPP;
    if (!tb[LX_NFTA_TABLE_FLAGS].p || flags == t->flags)
        return 0;
    if (flags & ~TABLE_F_ALL || (flags ^ t->flags) & LX_NFT_TABLE_F_OWNER)
        return flags & ~TABLE_F_ALL ? -LX_EOPNOTSUPP : -LX_EOPNOTSUPP;
    int r = nft_op_new(c, NFT_UPD_TABLE, &op);
    if (r < 0)
        return r;
    op->table = t;
    op->old_v[0] = t->flags;
    t->flags = flags;
    return 0;
}

int nft_new_table(struct nft_ctx *c, const struct nft_attr *tb)
{
    char name[NFT_NAME_MAX];
    struct nft_op *op;
    u32 flags = nft_be32(&tb[LX_NFTA_TABLE_FLAGS]);
    if (!tb[LX_NFTA_TABLE_NAME].p)
        return -LX_EINVAL;
    int r = nft_find_table(c, &tb[LX_NFTA_TABLE_NAME]);
    if (r != -LX_ENOENT)
        return r < 0 ? r : change(c, tb);
    c->bad = NULL;
    if (flags & ~TABLE_F_ALL || !is_family(c->family))
        return -LX_EOPNOTSUPP;
    if ((r = nft_name(&tb[LX_NFTA_TABLE_NAME], name)) < 0)
        return r;
    if (!*name)
        return -LX_EINVAL;
    if (c->n->ntables >= NFT_MAX_TABLES)
        return -LX_ENFILE;
    struct nft_table *t = nft_alloc(c->n, sizeof(*t));
    if (!t)
        return -LX_ENOMEM;
    *t = (struct nft_table){.family = c->family, .flags = flags};
    t->owner = flags & LX_NFT_TABLE_F_OWNER ? c->portid : 0;
    list_init(&t->node);
    list_init(&t->chains);
    list_init(&t->sets);
    list_init(&t->objs);
    for (u32 i = 0; i < NFT_BUCKETS; i++)
        list_init(&t->chain_hash[i]);
    t->name = nft_memdup(c->n, name, (u32)strlen(name) + 1);
    r = t->name ? nft_blob_set(c->n, &t->udata, &tb[LX_NFTA_TABLE_USERDATA]) : -LX_ENOMEM;
    if (r == 0)
        r = nft_op_new(c, NFT_ADD_TABLE, &op);
    if (r < 0) {
        nft_table_free(c->n, t);
        return r;
    }
    t->handle = ++c->n->last_table;
    list_add_tail(&c->n->tables, &t->node);
    c->n->ntables++;
    op->table = t;
    return 0;
}

void nft_table_free(struct nft_ns *n, struct nft_table *t)
{
    (void)n;
    nft_free(t->udata.p);
    nft_free(t->name);
    nft_free(t);
}

/* A table goes with all that is in it: rules first, which refer to the rest. */
static int remove_table(struct nft_ctx *c, struct nft_table *t)
{
    struct nft_chain *ch;
    struct nft_set *s;
    struct nft_obj *o;
    struct nft_op *op;
    int r = 0;
    c->table = t;
    list_for_each (ch, &t->chains, node) {
        if ((r = nft_rules_remove(c, ch)) < 0)
            return r;
    }
    while (r == 0 && (s = list_first(&t->sets, struct nft_set, node)))
        r = nft_set_remove(c, s);
    while (r == 0 && (o = list_first(&t->objs, struct nft_obj, node)))
        r = nft_obj_remove(c, o);
    while (r == 0 && (ch = list_first(&t->chains, struct nft_chain, node)))
        r = nft_chain_remove(c, ch);
    if (r == 0)
        r = nft_op_new(c, NFT_DEL_TABLE, &op);
    if (r < 0)
        return r;
    op->table = t;
    op->prev = t->node.prev;
    list_del(&t->node);
    c->n->ntables--;
    return 0;
}

/* Without a name: all of the family, or of all families. */
static int remove_many(struct nft_ctx *c)
{
    struct nft_table *t, *next;
    int r = 0;
    list_for_each_safe (t, next, &c->n->tables, node) {
        if (r < 0 || (c->family != NFT_UNSPEC && t->family != c->family) || is_others(c, t))
            continue;
        r = remove_table(c, t);
    }
    return r;
}

int nft_del_table(struct nft_ctx *c, const struct nft_attr *tb)
{
    struct nft_table *t, *found = NULL;
    if (c->family == NFT_UNSPEC || (!tb[LX_NFTA_TABLE_NAME].p && !tb[LX_NFTA_TABLE_HANDLE].p))
        return remove_many(c);
    if (!tb[LX_NFTA_TABLE_HANDLE].p) {
        int r = nft_find_table(c, &tb[LX_NFTA_TABLE_NAME]);
        return r < 0 ? r : remove_table(c, c->table);
    }
    list_for_each (t, &c->n->tables, node) {
        if (t->family == c->family && t->handle == nft_be64(&tb[LX_NFTA_TABLE_HANDLE]))
            found = t;
    }
    if (!found || is_others(c, found))
        return nft_blame(c, &tb[LX_NFTA_TABLE_HANDLE], found ? -LX_EPERM : -LX_ENOENT);
    return remove_table(c, found);
}

void nft_put_table(struct nlbuf *b, struct nft_ns *n, u32 msg, u16 flags, const struct nft_table *t)
{
    if (!nft_begin(b, n, msg, flags, t->family))
        return;
    nl_attr_str(b, LX_NFTA_TABLE_NAME, t->name);
    nft_put_be64(b, LX_NFTA_TABLE_HANDLE, t->handle);
    if (msg == LX_NFT_MSG_DELTABLE)
        return;
    nft_put_be32(b, LX_NFTA_TABLE_USE, t->use);
    nft_put_be32(b, LX_NFTA_TABLE_FLAGS, t->flags);
    if (t->flags & LX_NFT_TABLE_F_OWNER)
        nft_put_be32(b, LX_NFTA_TABLE_OWNER, t->owner);
    nft_put_blob(b, LX_NFTA_TABLE_USERDATA, &t->udata);
}
