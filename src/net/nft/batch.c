/*
 * Batches: messages carried out one after the other, then kept or undone as a whole; see nft.h.
 *
 * Errors are gathered and told at the end, an answer a message, as are acknowledgements.
 */
#include "net/nft/batch.h"

#include <stdlib.h>
#include <string.h>

#include "net/nft/nft.h"

struct entry {
    const u8 *min;
    u16 max;
    nft_fn fn;
    bool may_miss; /* "destroy": what is not there is no error */
};

#define TABLE nft_min_table, LX_NFTA_TABLE_OWNER
#define CHAIN nft_min_chain, LX_NFTA_CHAIN_USERDATA
#define RULE  nft_min_rule, LX_NFTA_RULE_CHAIN_ID
#define SET   nft_min_set, LX_NFTA_SET_EXPRESSIONS
#define LIST  nft_min_list, LX_NFTA_SET_ELEM_LIST_SET_ID
#define OBJ   nft_min_obj, LX_NFTA_OBJ_USERDATA

static const struct entry entries[] = {
    [LX_NFT_MSG_NEWTABLE] = {TABLE, nft_new_table, false},
    [LX_NFT_MSG_DELTABLE] = {TABLE, nft_del_table, false},
    [LX_NFT_MSG_NEWCHAIN] = {CHAIN, nft_new_chain, false},
    [LX_NFT_MSG_DELCHAIN] = {CHAIN, nft_del_chain, false},
    [LX_NFT_MSG_NEWRULE] = {RULE, nft_new_rule, false},
    [LX_NFT_MSG_DELRULE] = {RULE, nft_del_rule, false},
    [LX_NFT_MSG_NEWSET] = {SET, nft_new_set, false},
    [LX_NFT_MSG_DELSET] = {SET, nft_del_set, false},
    [LX_NFT_MSG_NEWSETELEM] = {LIST, nft_new_elem, false},
    [LX_NFT_MSG_DELSETELEM] = {LIST, nft_del_elem, false},
    [LX_NFT_MSG_NEWOBJ] = {OBJ, nft_new_obj, false},
    [LX_NFT_MSG_DELOBJ] = {OBJ, nft_del_obj, false},
    [NFT_MSG_DESTROYTABLE] = {TABLE, nft_del_table, true},
    [NFT_MSG_DESTROYCHAIN] = {CHAIN, nft_del_chain, true},
    [NFT_MSG_DESTROYRULE] = {RULE, nft_del_rule, true},
    [NFT_MSG_DESTROYSET] = {SET, nft_del_set, true},
    [NFT_MSG_DESTROYSETELEM] = {LIST, nft_del_elem, true},
    [NFT_MSG_DESTROYOBJ] = {OBJ, nft_del_obj, true},
};

struct answer {
    const struct lx_nlmsghdr *req;
    int err;
    u32 bad; /* where the attribute to blame is */
    const char *text;
};

struct nft_batch {
    struct nl_sock *s;
    struct net_ns *net;
    struct nft_ns *n;
    struct nft_op *ops; /* owned, as answers */
    u32 nops, cap;
    struct answer *answers;
    u32 nanswers, answers_cap;
    u32 msg; /* the number of the message that is handled */
    const struct lx_nlmsghdr *now;
    bool is_failed, is_ended, is_careful; /* careful: looks at jumps after every message */
};

int nft_op_new(struct nft_ctx *c, enum nft_op_kind kind, struct nft_op **ret)
{
    struct nft_batch *b = c->batch;
    if (b->nops == b->cap) {
        u32 cap = b->cap ? b->cap * 2 : 64;
        struct nft_op *ops = realloc(b->ops, cap * sizeof(*ops));
        if (!ops)
            return -LX_ENOMEM;
        b->ops = ops;
        b->cap = cap;
    }
    struct nft_op *op = &b->ops[b->nops++];
    *op = (struct nft_op){.kind = (u8)kind, .flags = c->flags, .msg = b->msg, .seq = c->req->seq};
    *ret = op;
    return 0;
}

/* ---- undoing ------------------------------------------------------------------------------- */

static void undo_chain(struct nft_ns *n, struct nft_op *op)
{
    struct nft_chain *ch = op->chain;
    if (op->kind == NFT_ADD_CHAIN) {
        list_del(&ch->node);
        list_del(&ch->hash_node);
        list_del(&ch->base_node[0]);
        list_del(&ch->base_node[1]);
        ch->table->use--;
        nft_chain_free(ch);
    } else if (op->kind == NFT_DEL_CHAIN) {
        nft_chain_restore(n, op);
    } else {
        ch->policy = (u8)op->old_v[0];
        if (op->old) {
            nft_free(ch->name);
            nft_chain_rename(n, ch, op->old);
        }
    }
}

static void undo_rule(struct nft_ns *n, struct nft_op *op)
{
    struct nft_rule *r = op->rule;
    if (op->kind == NFT_ADD_RULE) {
        list_del(&r->node);
        r->chain->use--;
        r->chain->nrules--;
        nft_rule_unlink(n, r);
        nft_rule_free(n, r);
    } else {
        list_add_head(op->prev, &r->node);
        r->chain->use++;
        r->chain->nrules++;
        nft_rule_link(n, r);
    }
}

static void undo_elem(struct nft_ns *n, struct nft_op *op)
{
    struct nft_set *s = op->set;
    if (op->kind == NFT_UPD_ELEM) {
        op->elem->timeout_ms = op->old_v[0];
        op->elem->expires_ns = (s64)op->old_v[1];
    } else if (op->kind == NFT_ADD_ELEM) {
        if (!s->is_out)
            nft_elem_unlink(s, op->elem);
        nft_store_del(s, op->elem);
        nft_elem_free(n, op->elem);
    } else {
        (void)!nft_store_add(s, op->elem); /* where it was there is room */
        if (!s->is_out)
            nft_elem_link(s, op->elem);
    }
}

static void undo_set(struct nft_ns *n, struct nft_op *op)
{
    struct nft_set *s = op->set;
    if (op->kind == NFT_DEL_SET) {
        nft_set_put_back(s);
        return;
    }
    if (!s->is_out) {
        list_del(&s->node);
        s->table->use--;
    }
    nft_set_free(n, s);
}

static void undo_obj(struct nft_ns *n, struct nft_op *op)
{
    struct nft_obj *o = op->obj;
    if (op->kind == NFT_ADD_OBJ) {
        list_del(&o->node);
        o->table->use--;
        nft_obj_free(n, o);
    } else if (op->kind == NFT_DEL_OBJ) {
        list_add_head(op->prev, &o->node);
        o->table->use++;
    } else {
        nft_expr_free(n, o->expr);
        o->expr = op->old;
    }
}

static void undo_table(struct nft_ns *n, struct nft_op *op)
{
    struct nft_table *t = op->table;
    if (op->kind == NFT_ADD_TABLE) {
        list_del(&t->node);
        n->ntables--;
        nft_table_free(n, t);
    } else if (op->kind == NFT_DEL_TABLE) {
        list_add_head(op->prev, &t->node);
        n->ntables++;
    } else {
        t->flags = (u32)op->old_v[0];
    }
}

static void undo_all(struct nft_batch *b)
{
    struct nft_table *t;
    while (b->nops) {
        struct nft_op *op = &b->ops[--b->nops];
        if (!op->table) /* it failed before it did anything */
            continue;
        if (op->kind <= NFT_UPD_TABLE)
            undo_table(b->n, op);
        else if (op->kind <= NFT_UPD_CHAIN)
            undo_chain(b->n, op);
        else if (op->kind <= NFT_DEL_RULE)
            undo_rule(b->n, op);
        else if (op->kind <= NFT_DEL_SET)
            undo_set(b->n, op);
        else if (op->kind <= NFT_UPD_ELEM)
            undo_elem(b->n, op);
        else
            undo_obj(b->n, op);
    }
    list_for_each (t, &b->n->tables, node)
        t->must_validate = false; /* it is as it was */
}

/* ---- keeping, telling ---------------------------------------------------------------------- */

/* To listeners, and to who asked to be told of his own (NLM_F_ECHO). */
static void tell(struct nft_batch *b, struct nlbuf *m, u16 flags)
{
    bool is_echo = flags & LX_NLM_F_ECHO;
    if (!nl_end(m))
        return;
    nl_broadcast(b->net, LX_NETLINK_NETFILTER, LX_NFNLGRP_NFTABLES, NULL,
                 is_echo ? b->s->portid : 0, m->data, m->size);
    if (is_echo)
        nl_flush(b->s, m);
    m->size = 0;
}

static void put_op(struct nft_batch *b, struct nlbuf *m, const struct nft_op *op)
{
    u16 add = op->flags & (LX_NLM_F_CREATE | LX_NLM_F_EXCL), app = op->flags & LX_NLM_F_APPEND;
    u32 nest;
    switch (op->kind) {
    case NFT_ADD_TABLE:
    case NFT_UPD_TABLE:
        nft_put_table(m, b->n, LX_NFT_MSG_NEWTABLE, add, op->table);
        break;
    case NFT_DEL_TABLE:
        nft_put_table(m, b->n, LX_NFT_MSG_DELTABLE, 0, op->table);
        break;
    case NFT_ADD_CHAIN:
    case NFT_UPD_CHAIN:
        nft_put_chain(m, b->n, LX_NFT_MSG_NEWCHAIN, add, op->chain);
        break;
    case NFT_DEL_CHAIN:
        nft_put_chain(m, b->n, LX_NFT_MSG_DELCHAIN, 0, op->chain);
        break;
    case NFT_ADD_RULE:
        nft_put_rule(m, b->n, LX_NFT_MSG_NEWRULE, add | app, op->rule, false);
        break;
    case NFT_DEL_RULE:
        nft_put_rule(m, b->n, LX_NFT_MSG_DELRULE, 0, op->rule, false);
        break;
    case NFT_ADD_SET:
        nft_put_set(m, b->n, LX_NFT_MSG_NEWSET, add, op->set);
        break;
    case NFT_DEL_SET:
        nft_put_set(m, b->n, LX_NFT_MSG_DELSET, 0, op->set);
        break;
    case NFT_ADD_ELEM:
    case NFT_UPD_ELEM:
    case NFT_DEL_ELEM:
        (void)!nft_begin_elems(
            m, b->n, op->kind == NFT_DEL_ELEM ? LX_NFT_MSG_DELSETELEM : LX_NFT_MSG_NEWSETELEM,
            op->kind == NFT_DEL_ELEM ? 0 : add, op->set, &nest);
        nft_put_elem(m, op->set, op->elem, false);
        nl_nest_end(m, nest);
        break;
    case NFT_ADD_OBJ:
    case NFT_UPD_OBJ:
        nft_put_obj(m, b->n, LX_NFT_MSG_NEWOBJ, add, op->obj, false);
        break;
    default:
        nft_put_obj(m, b->n, LX_NFT_MSG_DELOBJ, 0, op->obj, false);
    }
}

/* A step, and the sets that go with a rule. */
static void tell_op(struct nft_batch *b, struct nlbuf *m, const struct nft_op *op)
{
    m->seq = op->seq;
    put_op(b, m, op);
    tell(b, m, op->flags);
    for (u32 i = 0; op->kind == NFT_DEL_RULE && i < op->rule->nexprs; i++) {
        const struct nft_set *s = nft_bound_set(op->rule->exprs[i]);
        if (!s || !s->is_out || !(s->flags & LX_NFT_SET_ANONYMOUS))
            continue;
        nft_put_set(m, b->n, LX_NFT_MSG_DELSET, 0, s);
        tell(b, m, op->flags);
    }
}

/* What is left of a step that is final. */
static void finish(struct nft_ns *n, struct nft_op *op)
{
    switch (op->kind) {
    case NFT_DEL_TABLE:
        nft_table_free(n, op->table);
        break;
    case NFT_ADD_CHAIN:
        op->chain->id = 0;
        break;
    case NFT_UPD_CHAIN:
        nft_free(op->old);
        break;
    case NFT_DEL_CHAIN:
        nft_chain_free(op->chain);
        break;
    case NFT_ADD_RULE:
        op->rule->id = 0;
        break;
    case NFT_DEL_RULE:
        nft_rule_free(n, op->rule);
        break;
    case NFT_ADD_SET:
        op->set->in_batch = false;
        break;
    case NFT_DEL_SET:
        nft_set_free(n, op->set);
        break;
    case NFT_DEL_ELEM:
        nft_elem_free(n, op->elem);
        break;
    case NFT_DEL_OBJ:
        nft_obj_free(n, op->obj);
        break;
    case NFT_UPD_OBJ:
        nft_expr_free(n, op->old);
        break;
    default:
        break;
    }
}

static void commit(struct nft_batch *b, struct nlbuf *m)
{
    struct nft_ns *n = b->n;
    bool is_heard = nl_has_listener(b->net, LX_NETLINK_NETFILTER, LX_NFNLGRP_NFTABLES);
    u16 flags = 0;
    while (atomic_fetch_add(&n->gen, 1) == UINT32_MAX)
        ;
    m->flags = 0;
    m->pid = b->s->portid;
    m->size = 0;
    for (u32 i = 0; i < b->nops; i++) {
        struct nft_op *op = &b->ops[i];
        if (!op->table)
            continue;
        flags |= op->flags;
        if (!op->is_quiet && (is_heard || op->flags & LX_NLM_F_ECHO))
            tell_op(b, m, op);
        finish(n, op);
    }
    if (is_heard || flags & LX_NLM_F_ECHO) {
        m->seq = b->ops[b->nops - 1].seq;
        nft_put_gen(m, n);
        tell(b, m, flags);
    }
    b->nops = 0;
    nft_publish(n);
}

/* ---- checking ------------------------------------------------------------------------------ */

static int walk(struct nft_ns *n, struct nft_chain *base, struct nft_chain *c, u32 level);

static int walk_elems(struct nft_ns *n, struct nft_chain *base, struct nft_set *s, u32 level)
{
    for (u32 i = 0; i < s->nbuckets; i++) {
        for (struct nft_elem *e = s->buckets[i]; e; e = e->hash_next) {
            if (!n->budget--)
                return -LX_EMLINK;
            int r = e->data.v.chain ? walk(n, base, e->data.v.chain, level) : 0;
            if (r < 0)
                return r;
        }
    }
    return s->catchall && s->catchall->data.v.chain
               ? walk(n, base, s->catchall->data.v.chain, level)
               : 0;
}

static int walk_rule(struct nft_ns *n, struct nft_chain *base, const struct nft_rule *rule,
                     u32 level)
{
    for (u32 i = 0; i < rule->nexprs; i++) {
        struct nft_expr *e = rule->exprs[i];
        struct nft_chain *to = nft_immediate_chain(e);
        struct nft_set *s = nft_lookup_vmap(e);
        int r = e->ops->validate ? e->ops->validate(e, base) : 0;
        if (r == 0 && to)
            r = walk(n, base, to, level + 1);
        if (r == 0 && s)
            r = walk_elems(n, base, s, level + 1);
        if (r < 0)
            return r;
    }
    return 0;
}

/* What a chain can reach, unless that has been looked at from as deep. */
static int walk(struct nft_ns *n, struct nft_chain *base, struct nft_chain *c, u32 level)
{
    struct nft_rule *rule;
    if (level == NFT_MAX_DEPTH)
        return -LX_EMLINK;
    if (c->seen_pass == n->pass && c->seen_level > level)
        return 0;
    c->seen_pass = n->pass;
    c->seen_level = level + 1;
    list_for_each (rule, &c->rules, node) {
        if (!n->budget--)
            return -LX_EMLINK;
        int r = walk_rule(n, base, rule, level);
        if (r < 0)
            return r;
    }
    return 0;
}

int nft_validate(struct nft_ns *n)
{
    struct nft_table *t;
    struct nft_chain *c;
    list_for_each (t, &n->tables, node) {
        if (!t->must_validate)
            continue;
        for (u32 kind = 0; kind < NFT_NTYPES * XT_HOOKS; kind++) {
            n->pass++;
            list_for_each (c, &t->chains, node) {
                if (!c->is_base || c->type * XT_HOOKS + c->hook != kind)
                    continue;
                int r = walk(n, c, c, 0);
                if (r < 0)
                    return r;
            }
        }
        t->must_validate = false;
    }
    return 0;
}

/* Intervals overlap; a set without a name that no rule has taken. */
static int check_ops(struct nft_batch *b, u32 *ret_msg)
{
    for (u32 i = 0; i < b->nops; i++) {
        const struct nft_op *op = &b->ops[i];
        int r = 0;
        if (!op->table)
            continue;
        if (op->kind == NFT_ADD_ELEM && nft_store_overlaps(op->set, op->elem))
            r = -LX_EEXIST;
        if (op->kind == NFT_ADD_SET && op->set->flags & LX_NFT_SET_ANONYMOUS && !op->set->nbound &&
            !op->set->is_out)
            r = -LX_EINVAL;
        *ret_msg = op->msg;
        if (r < 0)
            return r;
    }
    return 0;
}

/* ---- messages ------------------------------------------------------------------------------ */

static bool answer(struct nft_batch *b, const struct lx_nlmsghdr *req, int err,
                   const struct nft_ctx *c)
{
    if (b->nanswers == b->answers_cap) {
        u32 cap = b->answers_cap ? b->answers_cap * 2 : 16;
        struct answer *a = realloc(b->answers, cap * sizeof(*a));
        if (!a)
            return false;
        b->answers = a;
        b->answers_cap = cap;
    }
    struct answer *a = &b->answers[b->nanswers++];
    *a = (struct answer){.req = req, .err = err};
    if (err < 0 && c) {
        a->text = c->text;
        if (c->bad) /* an attribute's place is that of its head */
            a->bad = (u32)(c->bad - (const u8 *)req - sizeof(struct lx_nlattr));
    }
    return true;
}

static int run_one(struct nft_batch *b, const struct lx_nlmsghdr *h, struct nft_ctx *c)
{
    struct nft_attr tb[32];
    struct lx_nfgenmsg g;
    u32 type = h->type & 0xff, head = sizeof(*h) + sizeof(g);
    if (!(h->flags & LX_NLM_F_REQUEST) || h->type < LX_NLMSG_MIN_TYPE ||
        h->type >> 8 != LX_NFNL_SUBSYS_NFTABLES || type >= ARRAY_SIZE(entries) || !entries[type].fn)
        return -LX_EINVAL;
    memcpy(&g, h + 1, sizeof(g));
    *c = (struct nft_ctx){.net = b->net,
                          .n = b->n,
                          .batch = b,
                          .req = h,
                          .family = g.family,
                          .portid = b->s->portid,
                          .flags = h->flags};
    const struct entry *e = &entries[type];
    int r = nft_parse((const u8 *)h + head, h->len - head, tb, e->min, e->max);
    if (r == 0)
        r = e->fn(c, tb);
    if (r == -LX_ENOENT && e->may_miss)
        r = 0;
    if (r == 0 && b->is_careful)
        r = nft_validate(b->n);
    return r;
}

/* Everything from the first message after BATCH_BEGIN. */
static void run_all(struct nft_batch *b, const u8 *p, u32 left)
{
    b->msg = 0;
    while (left >= sizeof(struct lx_nlmsghdr)) {
        const struct lx_nlmsghdr *h = (const struct lx_nlmsghdr *)(const void *)p;
        struct nft_ctx c = {0};
        if (h->len < sizeof(*h) + sizeof(struct lx_nfgenmsg) || h->len > left ||
            h->type == LX_NFNL_MSG_BATCH_BEGIN) {
            b->nanswers = 0;
            b->is_failed = true;
            return;
        }
        if (h->type == LX_NFNL_MSG_BATCH_END && h->flags & LX_NLM_F_REQUEST) {
            b->is_ended = true;
            return;
        }
        int r = run_one(b, h, &c);
        b->is_failed |= r < 0;
        if ((r < 0 || h->flags & LX_NLM_F_ACK) && !answer(b, h, r, &c)) {
            b->is_failed = true;
            return;
        }
        u32 step = MIN(NL_ALIGN(h->len), left);
        p += step;
        left -= step;
        b->msg++;
    }
}

static const struct lx_nlmsghdr *nth(const u8 *p, u32 msg)
{
    while (msg--)
        p += NL_ALIGN(((const struct lx_nlmsghdr *)(const void *)p)->len);
    return (const struct lx_nlmsghdr *)(const void *)p;
}

#define BUDGET 4000000U /* rules and elements that one batch may have looked at */

/* Carries out what stands in [p, p + left); then it holds, or nothing of it does. */
static void run_batch(struct nft_batch *b, struct nlbuf *m, const u8 *p, u32 left)
{
    u32 msg = 0;
    b->n->budget = BUDGET;
    run_all(b, p, left);
    int r = b->is_ended && !b->is_failed ? nft_validate(b->n) : 0;
    if (r < 0) { /* once more, to see whose fault it is */
        undo_all(b);
        b->nanswers = 0;
        b->is_ended = false;
        b->is_careful = true;
        b->n->budget = BUDGET * 4;
        run_all(b, p, left);
    }
    if (b->is_ended && !b->is_failed && (r = check_ops(b, &msg)) < 0) {
        struct nft_ctx c = {0};
        b->is_failed = true;
        b->nanswers = 0;
        (void)answer(b, nth(p, msg), r, &c); /* without room there is no answer */
    }
    if (b->is_ended && !b->is_failed && b->nops)
        commit(b, m);
    else
        undo_all(b);
}

static void deliver(struct nft_batch *b, struct nlbuf *m)
{
    for (u32 i = 0; i < b->nanswers; i++) {
        const struct answer *a = &b->answers[i];
        m->pid = b->s->portid;
        m->seq = a->req->seq;
        m->flags = 0;
        m->size = 0;
        m->extack = a->text;
        m->extack_at = a->bad;
        nl_answer(b->s, m, a->req, a->err);
        nl_flush(b->s, m);
    }
    m->extack = NULL;
    m->extack_at = 0;
}

/* What BATCH_BEGIN says. */
static int begin(const struct lx_nlmsghdr *h, struct nft_ns *n)
{
    static const u8 min[] = {[LX_NFNL_BATCH_GENID] = 4};
    struct nft_attr tb[LX_NFNL_BATCH_GENID + 1];
    struct lx_nfgenmsg g;
    u32 head = sizeof(*h) + sizeof(g);
    memcpy(&g, h + 1, sizeof(g));
    u16 subsys = g.res_id == LX_NFNL_SUBSYS_NFTABLES ? g.res_id : net16(g.res_id);
    int r = nft_parse((const u8 *)h + head, h->len - head, tb, min, LX_NFNL_BATCH_GENID);
    if (r < 0)
        return r;
    if (subsys != LX_NFNL_SUBSYS_NFTABLES)
        return -LX_EOPNOTSUPP;
    u32 gen = nft_be32(&tb[LX_NFNL_BATCH_GENID]);
    return gen && gen != atomic_load(&n->gen) ? -LX_ERESTART : 0;
}

void nft_batch(struct nl_sock *s, struct nlbuf *m, const u8 *buf, u32 size)
{
    const struct lx_nlmsghdr *h = (const struct lx_nlmsghdr *)(const void *)buf;
    struct nft_ns *n = s->sk.ns->nft_ns;
    struct nft_batch b = {.s = s, .net = s->sk.ns, .n = n};
    if (h->len < sizeof(*h) + sizeof(struct lx_nfgenmsg) || h->len > size)
        return;
    MUTEX_GUARD(&n->commit);
    rwlock_wrlock(&n->lock);
    int r = net_capable(b.net, LX_CAP_NET_ADMIN) ? begin(h, n) : -LX_EPERM;
    u32 step = MIN(NL_ALIGN(h->len), size);
    if (r < 0)
        (void)answer(&b, h, r, NULL); /* without room there is no answer */
    else
        run_batch(&b, m, buf + step, size - step);
    rwlock_wrunlock(&n->lock);
    deliver(&b, m);
    free(b.ops);
    free(b.answers);
}
