/* Chains. */
#include <string.h>

#include "net/nft/nft.h"
#include "net/nft/run.h"
#include "net/stack/stack.h"

const u8 nft_min_chain[] = {[LX_NFTA_CHAIN_HANDLE] = 8,
                            [LX_NFTA_CHAIN_POLICY] = 4,
                            [LX_NFTA_CHAIN_FLAGS] = 4,
                            [LX_NFTA_CHAIN_ID] = 4,
                            [LX_NFTA_CHAIN_USERDATA] = 0};

static const char *const type_names[] = {"filter", "route", "nat"};
static const u8 type_hooks[] = {(1U << XT_HOOKS) - 1, XT_BIT(XT_OUTPUT),
                                XT_BIT(XT_PREROUTING) | XT_BIT(XT_INPUT) | XT_BIT(XT_OUTPUT) |
                                    XT_BIT(XT_POSTROUTING)};

static struct list *bucket_of(struct nft_ns *n, struct nft_table *t, const char *name)
{
    return &t->chain_hash[net_hash(n->secret, name, strlen(name)) % NFT_BUCKETS];
}

struct nft_chain *nft_chain_named(struct nft_ns *n, const struct nft_table *t, const char *name)
{
    struct list *b = bucket_of(n, (struct nft_table *)(uintptr_t)t, name);
    struct nft_chain *c;
    list_for_each (c, b, hash_node) {
        if (!strcmp(c->name, name))
            return c;
    }
    return NULL;
}

int nft_find_chain(struct nft_ctx *c, const struct nft_attr *a, struct nft_chain **ret)
{
    char name[NFT_NAME_MAX];
    int r = nft_name(a, name);
    if (r < 0)
        return r;
    *ret = nft_chain_named(c->n, c->table, name);
    return *ret ? 0 : nft_blame(c, a, -LX_ENOENT);
}

static struct nft_chain *by_handle(struct nft_ctx *c, u64 handle)
{
    struct nft_chain *ch;
    list_for_each (ch, &c->table->chains, node) {
        if (ch->handle == handle)
            return ch;
    }
    return NULL;
}

struct nft_chain *nft_chain_by_id(struct nft_ctx *c, u32 id)
{
    for (struct list *at = c->table->chains.prev; at != &c->table->chains; at = at->prev) {
        struct nft_chain *ch = list_entry(at, struct nft_chain, node);
        if (ch->id && ch->id == id)
            return ch;
    }
    return NULL;
}

/* ---- base chains --------------------------------------------------------------------------- */

struct hook {
    u8 type, hook;
    s32 priority;
};

static bool has_hooks(u8 family)
{
    return family == NFT_INET || family == NFT_IPV4 || family == NFT_IPV6;
}

static int read_type(struct nft_ctx *c, const struct nft_attr *a, struct hook *h)
{
    char name[NFT_NAME_MAX] = "filter";
    int r = a->p ? nft_name(a, name) : 0;
    if (r < 0)
        return r;
    for (h->type = 0; h->type < NFT_NTYPES; h->type++) {
        if (has_hooks(c->family) && !strcmp(name, type_names[h->type]))
            return 0;
    }
    return nft_blame(c, a, -LX_ENOENT);
}

static int read_hook(struct nft_ctx *c, const struct nft_attr *tb, struct hook *h)
{
    static const u8 min[] = {[LX_NFTA_HOOK_HOOKNUM] = 4, [LX_NFTA_HOOK_PRIORITY] = 4};
    struct nft_attr in[LX_NFTA_HOOK_PRIORITY + 1];
    int r = nft_parse_in(&tb[LX_NFTA_CHAIN_HOOK], in, min, LX_NFTA_HOOK_PRIORITY);
    if (r < 0)
        return r;
    if (!in[LX_NFTA_HOOK_HOOKNUM].p || !in[LX_NFTA_HOOK_PRIORITY].p)
        return -LX_ENOENT;
    u32 hook = nft_be32(&in[LX_NFTA_HOOK_HOOKNUM]);
    h->priority = (s32)nft_be32(&in[LX_NFTA_HOOK_PRIORITY]);
    if ((r = read_type(c, &tb[LX_NFTA_CHAIN_TYPE], h)) < 0)
        return r;
    if (hook >= XT_HOOKS || !(type_hooks[h->type] >> hook & 1))
        return -LX_EOPNOTSUPP;
    h->hook = (u8)hook;
    return h->type == NFT_NAT && h->priority <= NFT_PRIO_CT ? -LX_EOPNOTSUPP : 0;
}

static bool is_of(const struct nft_chain *c, u32 f)
{
    return c->table->family == NFT_INET || c->table->family == (f == XT_V6 ? NFT_IPV6 : NFT_IPV4);
}

/* The newest runs first among those of one priority, as on Linux. */
void nft_base_add(struct nft_ns *n, struct nft_chain *c)
{
    for (u32 f = 0; f < XT_FAMILIES; f++) {
        if (!is_of(c, f))
            continue;
        struct list *head = &n->base[f][c->hook], *at = head->next;
        while (at != head && list_entry(at, struct nft_chain, base_node[f])->priority < c->priority)
            at = at->next;
        list_add_tail(at, &c->base_node[f]);
    }
}

static u32 count_at(struct nft_ns *n, u8 hook)
{
    u32 most = 0;
    for (u32 f = 0; f < XT_FAMILIES; f++) {
        u32 i = 0;
        for (struct list *at = n->base[f][hook].next; at != &n->base[f][hook]; at = at->next)
            i++;
        most = MAX(most, i);
    }
    return most;
}

/* ---- new, changed -------------------------------------------------------------------------- */

static int read_counters(const struct nft_attr *a, u64 ret[2])
{
    static const u8 min[] = {[LX_NFTA_COUNTER_BYTES] = 8, [LX_NFTA_COUNTER_PACKETS] = 8};
    struct nft_attr tb[LX_NFTA_COUNTER_PACKETS + 1];
    int r = nft_parse_in(a, tb, min, LX_NFTA_COUNTER_PACKETS);
    if (r == 0 && (!tb[LX_NFTA_COUNTER_BYTES].p || !tb[LX_NFTA_COUNTER_PACKETS].p))
        r = -LX_EINVAL;
    if (r == 0) {
        ret[0] = nft_be64(&tb[LX_NFTA_COUNTER_PACKETS]);
        ret[1] = nft_be64(&tb[LX_NFTA_COUNTER_BYTES]);
    }
    return r;
}

static int rename_chain(struct nft_ctx *c, struct nft_chain *ch, const struct nft_attr *a)
{
    char name[NFT_NAME_MAX];
    struct nft_op *op;
    int r = nft_name(a, name);
    if (r < 0 || !strcmp(name, ch->name))
        return r;
    if (nft_chain_named(c->n, c->table, name))
        return nft_blame(c, a, -LX_EEXIST);
    char *own = nft_memdup(c->n, name, (u32)strlen(name) + 1);
    if (!own)
        return -LX_ENOMEM;
    if ((r = nft_op_new(c, NFT_UPD_CHAIN, &op)) < 0) {
        nft_free(own);
        return r;
    }
    op->chain = ch;
    op->old = ch->name;
    op->old_v[0] = ch->policy;
    nft_chain_rename(c->n, ch, own);
    return 0;
}

void nft_chain_rename(struct nft_ns *n, struct nft_chain *ch, char *name)
{
    ch->name = name;
    list_del(&ch->hash_node);
    list_add_tail(bucket_of(n, ch->table, name), &ch->hash_node);
}

static int change(struct nft_ctx *c, struct nft_chain *ch, const struct nft_attr *tb, u32 policy)
{
    struct nft_op *op;
    struct hook h;
    u64 counters[2];
    if (c->flags & LX_NLM_F_EXCL)
        return nft_blame(c, &tb[LX_NFTA_CHAIN_NAME], -LX_EEXIST);
    if (c->flags & LX_NLM_F_REPLACE)
        return -LX_EOPNOTSUPP;
    if (tb[LX_NFTA_CHAIN_HOOK].p) {
        if (!ch->is_base)
            return nft_blame(c, &tb[LX_NFTA_CHAIN_HOOK], -LX_EEXIST);
        int r = read_hook(c, tb, &h);
        if (r < 0)
            return r;
        if (h.hook != ch->hook || h.priority != ch->priority)
            return -LX_EOPNOTSUPP;
        if (h.type != ch->type)
            return nft_blame(c, &tb[LX_NFTA_CHAIN_HOOK], -LX_EEXIST);
    }
    if (tb[LX_NFTA_CHAIN_HANDLE].p && tb[LX_NFTA_CHAIN_NAME].p)
        return rename_chain(c, ch, &tb[LX_NFTA_CHAIN_NAME]);
    if (tb[LX_NFTA_CHAIN_COUNTERS].p) {
        if (!ch->is_base)
            return -LX_EOPNOTSUPP;
        int r = read_counters(&tb[LX_NFTA_CHAIN_COUNTERS], counters);
        if (r < 0)
            return r;
    }
    int r = nft_op_new(c, NFT_UPD_CHAIN, &op);
    if (r < 0)
        return r;
    op->chain = ch;
    op->old_v[0] = ch->policy;
    if (tb[LX_NFTA_CHAIN_POLICY].p)
        ch->policy = (u8)policy;
    if (tb[LX_NFTA_CHAIN_COUNTERS].p) {
        ch->has_counters = true;
        ch->packets = counters[0];
        ch->bytes = counters[1];
    }
    return 0;
}

static int fill(struct nft_ctx *c, struct nft_chain *ch, const struct nft_attr *tb, u32 policy)
{
    u64 counters[2] = {0};
    int r = 0;
    if (tb[LX_NFTA_CHAIN_HOOK].p) {
        struct hook h;
        if ((r = read_hook(c, tb, &h)) < 0)
            return r;
        if (count_at(c->n, h.hook) >= NFT_MAX_HOOKED)
            return -LX_E2BIG;
        ch->is_base = true;
        ch->type = h.type;
        ch->hook = h.hook;
        ch->priority = h.priority;
        ch->policy = (u8)policy;
    } else if (nft_be32(&tb[LX_NFTA_CHAIN_FLAGS]) & LX_NFT_CHAIN_BASE) {
        return -LX_EINVAL;
    }
    if (tb[LX_NFTA_CHAIN_COUNTERS].p && ch->is_base) {
        ch->has_counters = true;
        r = read_counters(&tb[LX_NFTA_CHAIN_COUNTERS], counters);
        ch->packets = counters[0];
        ch->bytes = counters[1];
    }
    return r < 0 ? r : nft_blob_set(c->n, &ch->udata, &tb[LX_NFTA_CHAIN_USERDATA]);
}

static int create(struct nft_ctx *c, const struct nft_attr *tb, u32 policy)
{
    char name[NFT_NAME_MAX];
    struct nft_op *op;
    int r = nft_name(&tb[LX_NFTA_CHAIN_NAME], name);
    if (r < 0)
        return r;
    struct nft_chain *ch = nft_alloc(c->n, sizeof(*ch));
    if (!ch)
        return -LX_ENOMEM;
    list_init(&ch->node);
    list_init(&ch->hash_node);
    list_init(&ch->rules);
    list_init(&ch->base_node[0]);
    list_init(&ch->base_node[1]);
    ch->table = c->table;
    ch->id = nft_be32(&tb[LX_NFTA_CHAIN_ID]);
    ch->name = nft_memdup(c->n, name, (u32)strlen(name) + 1);
    r = ch->name ? fill(c, ch, tb, policy) : -LX_ENOMEM;
    if (r == 0)
        r = nft_op_new(c, NFT_ADD_CHAIN, &op);
    if (r < 0) {
        nft_chain_free(ch);
        return r;
    }
    ch->handle = ++c->table->last_handle;
    list_add_tail(&c->table->chains, &ch->node);
    list_add_tail(bucket_of(c->n, c->table, name), &ch->hash_node);
    c->table->use++;
    if (ch->is_base)
        nft_base_add(c->n, ch);
    op->chain = ch;
    return 0;
}

int nft_new_chain(struct nft_ctx *c, const struct nft_attr *tb)
{
    struct nft_chain *ch = NULL;
    u32 policy = NFT_V_ACCEPT, flags = nft_be32(&tb[LX_NFTA_CHAIN_FLAGS]);
    int r = nft_find_table(c, &tb[LX_NFTA_CHAIN_TABLE]);
    if (r < 0)
        return r;
    if (tb[LX_NFTA_CHAIN_HANDLE].p) {
        if (!(ch = by_handle(c, nft_be64(&tb[LX_NFTA_CHAIN_HANDLE]))))
            return nft_blame(c, &tb[LX_NFTA_CHAIN_HANDLE], -LX_ENOENT);
    } else if (tb[LX_NFTA_CHAIN_NAME].p) {
        char name[NFT_NAME_MAX];
        if ((r = nft_name(&tb[LX_NFTA_CHAIN_NAME], name)) < 0)
            return r;
        if (!*name)
            return -LX_EINVAL;
        ch = nft_chain_named(c->n, c->table, name);
    } else {
        return tb[LX_NFTA_CHAIN_ID].p ? -LX_EOPNOTSUPP : -LX_EINVAL;
    }
    if (flags & ~(u32)LX_NFT_CHAIN_BASE)
        return -LX_EOPNOTSUPP; /* offloaded to hardware; part of a rule */
    if (tb[LX_NFTA_CHAIN_POLICY].p) {
        policy = nft_be32(&tb[LX_NFTA_CHAIN_POLICY]);
        if (!(ch ? ch->is_base : tb[LX_NFTA_CHAIN_HOOK].p != NULL))
            return nft_blame(c, &tb[LX_NFTA_CHAIN_POLICY], -LX_EOPNOTSUPP);
        if (policy != NFT_V_ACCEPT && policy != NFT_V_DROP)
            return -LX_EINVAL;
    }
    return ch ? change(c, ch, tb, policy) : create(c, tb, policy);
}

void nft_chain_free(struct nft_chain *ch)
{
    nft_free(ch->udata.p);
    nft_free(ch->name);
    nft_free(ch);
}

/* ---- gone ---------------------------------------------------------------------------------- */

int nft_chain_remove(struct nft_ctx *c, struct nft_chain *ch)
{
    struct nft_op *op;
    int r = nft_op_new(c, NFT_DEL_CHAIN, &op);
    if (r < 0)
        return r;
    op->chain = ch;
    op->prev = ch->node.prev;
    list_del(&ch->node);
    list_del(&ch->hash_node);
    for (u32 f = 0; f < XT_FAMILIES; f++) {
        op->base_prev[f] = ch->base_node[f].prev;
        list_del(&ch->base_node[f]);
    }
    ch->table->use--;
    return 0;
}

/* Puts it back where it was. */
void nft_chain_restore(struct nft_ns *n, const struct nft_op *op)
{
    struct nft_chain *ch = op->chain;
    list_add_head(op->prev, &ch->node);
    list_add_tail(bucket_of(n, ch->table, ch->name), &ch->hash_node);
    for (u32 f = 0; f < XT_FAMILIES; f++) {
        if (op->base_prev[f] != &ch->base_node[f])
            list_add_head(op->base_prev[f], &ch->base_node[f]);
    }
    ch->table->use++;
}

int nft_del_chain(struct nft_ctx *c, const struct nft_attr *tb)
{
    struct nft_chain *ch;
    int r = nft_find_table(c, &tb[LX_NFTA_CHAIN_TABLE]);
    if (r < 0)
        return r;
    const struct nft_attr *by =
        &tb[tb[LX_NFTA_CHAIN_HANDLE].p ? LX_NFTA_CHAIN_HANDLE : LX_NFTA_CHAIN_NAME];
    if (tb[LX_NFTA_CHAIN_HANDLE].p) {
        if (!(ch = by_handle(c, nft_be64(by))))
            return nft_blame(c, by, -LX_ENOENT);
    } else if ((r = nft_find_chain(c, by, &ch)) < 0) {
        return r;
    }
    if (c->flags & LX_NLM_F_NONREC && ch->use)
        return nft_blame(c, by, -LX_EBUSY);
    if ((r = nft_rules_remove(c, ch)) < 0)
        return r;
    return ch->use ? nft_blame(c, by, -LX_EBUSY) : nft_chain_remove(c, ch);
}

void nft_put_chain(struct nlbuf *b, struct nft_ns *n, u32 msg, u16 flags, const struct nft_chain *c)
{
    if (!nft_begin(b, n, msg, flags, c->table->family))
        return;
    nl_attr_str(b, LX_NFTA_CHAIN_TABLE, c->table->name);
    nl_attr_str(b, LX_NFTA_CHAIN_NAME, c->name);
    nft_put_be64(b, LX_NFTA_CHAIN_HANDLE, c->handle);
    if (msg == LX_NFT_MSG_DELCHAIN)
        return;
    if (c->is_base) {
        u32 at = nft_nest(b, LX_NFTA_CHAIN_HOOK);
        nft_put_be32(b, LX_NFTA_HOOK_HOOKNUM, c->hook);
        nft_put_be32(b, LX_NFTA_HOOK_PRIORITY, (u32)c->priority);
        nl_nest_end(b, at);
        nft_put_be32(b, LX_NFTA_CHAIN_POLICY, c->policy);
        nl_attr_str(b, LX_NFTA_CHAIN_TYPE, type_names[c->type]);
    }
    if (c->has_counters) {
        u32 at = nft_nest(b, LX_NFTA_CHAIN_COUNTERS);
        nft_put_be64(b, LX_NFTA_COUNTER_PACKETS, c->packets);
        nft_put_be64(b, LX_NFTA_COUNTER_BYTES, c->bytes);
        nl_nest_end(b, at);
    }
    if (c->is_base)
        nft_put_be32(b, LX_NFTA_CHAIN_FLAGS, LX_NFT_CHAIN_BASE);
    nft_put_be32(b, LX_NFTA_CHAIN_USE, c->use);
    nft_put_blob(b, LX_NFTA_CHAIN_USERDATA, &c->udata);
}
