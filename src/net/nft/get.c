/*
 * Reading: single objects and dumps. A dump goes on where its place in the order of things says,
 * whatever has changed meanwhile, of which its reader is told (NLM_F_DUMP_INTR).
 */
#include <string.h>

#include "kern/task.h"
#include "net/nft/batch.h"
#include "net/nft/nft.h"

#define SOFT_SIZE NL_BUF_SIZE /* of a datagram; what does not fit is longer by itself */

enum { ARG_GEN, ARG_TABLE, ARG_INNER, ARG_WHAT }; /* of nl_dump.arg; 0: any */

/* With the name of the process that asks, or that has made the change. */
void nft_put_gen(struct nlbuf *b, struct nft_ns *n)
{
    struct task *t = task_current();
    char who[16] = "";
    if (t) {
        mutex_lock(&t->tg->sig_lock);
        memcpy(who, t->comm, sizeof(who) - 1);
        mutex_unlock(&t->tg->sig_lock);
    }
    if (!nft_begin(b, n, LX_NFT_MSG_NEWGEN, 0, NFT_UNSPEC))
        return;
    nft_put_be32(b, LX_NFTA_GEN_ID, atomic_load(&n->gen));
    nft_put_be32(b, LX_NFTA_GEN_PROC_PID, t ? (u32)tgroup_pid_in(t->tg, task_pid_ns(t)) : 0);
    nl_attr_str(b, LX_NFTA_GEN_PROC_NAME, who);
}

/* ---- dumps --------------------------------------------------------------------------------- */

struct dump {
    struct nft_ns *n;
    struct nl_dump *d;
    struct nlbuf *b;
    u8 family;
    u32 msg;
    u64 at; /* objects gone by */
};

/* Closes the message; false: it is taken back, for the next datagram. */
static bool fits(struct dump *x)
{
    bool is_first = x->b->msg == 0;
    if (!nl_end(x->b))
        return is_first; /* too long for any: left out */
    if (x->b->size > SOFT_SIZE && !is_first) {
        x->b->size = x->b->msg;
        return false;
    }
    return true;
}

static u16 flags_of(struct dump *x)
{
    u32 gen = atomic_load(&x->n->gen);
    bool is_other = x->d->arg[ARG_GEN] != gen;
    x->d->arg[ARG_GEN] = gen;
    return is_other ? LX_NLM_F_DUMP_INTR : 0;
}

/* Is the next object behind the cursor, which is due? */
static bool is_due(struct dump *x)
{
    return x->at++ >= x->d->cursor;
}

static bool put_one(struct dump *x, const void *o)
{
    u16 flags = flags_of(x);
    bool is_reset = x->msg == LX_NFT_MSG_GETOBJ_RESET || x->msg == NFT_MSG_GETRULE_RESET;
    for (u32 pass = 0; pass < 1U + is_reset; pass++) { /* reset what has been told, only */
        if (pass)
            x->b->size = x->b->msg;
        switch (x->msg) {
        case LX_NFT_MSG_GETTABLE:
            nft_put_table(x->b, x->n, LX_NFT_MSG_NEWTABLE, flags, o);
            break;
        case LX_NFT_MSG_GETCHAIN:
            nft_put_chain(x->b, x->n, LX_NFT_MSG_NEWCHAIN, flags, o);
            break;
        case LX_NFT_MSG_GETSET:
            nft_put_set(x->b, x->n, LX_NFT_MSG_NEWSET, flags, o);
            break;
        case LX_NFT_MSG_GETRULE:
        case NFT_MSG_GETRULE_RESET:
            nft_put_rule(x->b, x->n, LX_NFT_MSG_NEWRULE, flags, o, pass);
            break;
        default:
            nft_put_obj(x->b, x->n, LX_NFT_MSG_NEWOBJ, flags, o, pass);
        }
        if (!fits(x))
            return false;
    }
    x->d->cursor = x->at;
    return true;
}

static bool dump_rules(struct dump *x, const struct nft_table *t)
{
    struct nft_chain *c;
    struct nft_rule *r;
    list_for_each (c, &t->chains, node) {
        if (x->d->arg[ARG_INNER] && c->handle != x->d->arg[ARG_INNER])
            continue;
        if (x->at + c->nrules <= x->d->cursor) {
            x->at += c->nrules;
            continue;
        }
        list_for_each (r, &c->rules, node) {
            if (is_due(x) && !put_one(x, r))
                return false;
        }
    }
    return true;
}

static bool dump_objs(struct dump *x, const struct nft_table *t)
{
    struct nft_obj *o;
    list_for_each (o, &t->objs, node) {
        if (x->d->arg[ARG_WHAT] && o->type != x->d->arg[ARG_WHAT])
            continue;
        if (is_due(x) && !put_one(x, o))
            return false;
    }
    return true;
}

static bool dump_table(struct dump *x, const struct nft_table *t)
{
    struct nft_chain *c;
    struct nft_set *s;
    switch (x->msg) {
    case LX_NFT_MSG_GETTABLE:
        return !is_due(x) || put_one(x, t);
    case LX_NFT_MSG_GETCHAIN:
        list_for_each (c, &t->chains, node) {
            if (is_due(x) && !put_one(x, c))
                return false;
        }
        return true;
    case LX_NFT_MSG_GETSET:
        list_for_each (s, &t->sets, node) {
            if (is_due(x) && !put_one(x, s))
                return false;
        }
        return true;
    case LX_NFT_MSG_GETRULE:
    case NFT_MSG_GETRULE_RESET:
        return dump_rules(x, t);
    case LX_NFT_MSG_GETOBJ:
    case LX_NFT_MSG_GETOBJ_RESET:
        return dump_objs(x, t);
    default:
        return true;
    }
}

static u8 family_of(const struct nl_dump *d)
{
    return d->req_size >= sizeof(struct lx_nfgenmsg) ? d->req[0] : NFT_UNSPEC;
}

/* Every kind's dump: the tables in turn, of each what is asked for. */
static bool step(struct nl_sock *s, struct nl_dump *d, struct nlbuf *b)
{
    struct nft_ns *n = s->sk.ns->nft_ns;
    struct dump x = {.n = n, .d = d, .b = b, .family = family_of(d), .msg = (u32)d->what};
    struct nft_table *t;
    bool is_over = true;
    rwlock_rdlock(&n->lock);
    list_for_each (t, &n->tables, node) {
        if (!is_over || (x.family != NFT_UNSPEC && t->family != x.family) ||
            (d->arg[ARG_TABLE] && t->handle != d->arg[ARG_TABLE]))
            continue;
        is_over = dump_table(&x, t);
    }
    rwlock_rdunlock(&n->lock);
    return is_over;
}

static struct nft_set *set_of(struct nft_ns *n, const struct nl_dump *d)
{
    struct nft_table *t;
    struct nft_set *s;
    list_for_each (t, &n->tables, node) {
        if (t->handle != d->arg[ARG_TABLE])
            continue;
        list_for_each (s, &t->sets, node) {
            if (s->handle == d->arg[ARG_INNER])
                return s;
        }
    }
    return NULL;
}

/* The elements of one set: a message a datagram, as many as fit. */
static bool step_elems(struct nl_sock *sk, struct nl_dump *d, struct nlbuf *b)
{
    struct nft_ns *n = sk->sk.ns->nft_ns;
    struct dump x = {.n = n, .d = d, .b = b};
    u32 bucket = (u32)(d->cursor >> 32), nth = (u32)d->cursor, nest;
    struct nft_elem *e = NULL;
    s64 now = clock_mono_ns();
    rwlock_rdlock(&n->lock);
    struct nft_set *s = set_of(n, d);
    if (s && nft_begin_elems(b, n, LX_NFT_MSG_NEWSETELEM, flags_of(&x), s, &nest)) {
        bool is_reset = d->what == NFT_MSG_GETSETELEM_RESET;
        u32 count = 0;
        nft_set_lock(s);
        while ((e = nft_store_next(s, &bucket, &nth))) {
            u32 before = b->size;
            if (nft_elem_is_over(e, now))
                continue;
            nft_put_elem(b, s, e, false);
            if (b->is_full || (b->size > SOFT_SIZE && count)) {
                b->is_full = false;
                b->size = before;
                break;
            }
            if (is_reset) {
                b->size = before;
                nft_put_elem(b, s, e, true);
            }
            count++;
            d->cursor = (u64)bucket << 32 | nth;
        }
        nft_set_unlock(s);
        nl_nest_end(b, nest);
        if (!count)
            b->size = b->msg;
        else
            (void)nl_end(b);
    }
    rwlock_rdunlock(&n->lock);
    return !e;
}

/* ---- requests ------------------------------------------------------------------------------ */

static int done(struct nlbuf *b)
{
    return nl_end(b) ? 0 : -LX_ENOSPC;
}

static int get_gen(struct nft_ns *n, struct nlbuf *b)
{
    nft_put_gen(b, n);
    return done(b);
}

static int get_table(struct nft_ctx *c, const struct nft_attr *tb, struct nlbuf *b)
{
    int r = nft_find_table(c, &tb[LX_NFTA_TABLE_NAME]);
    if (r < 0)
        return r;
    nft_put_table(b, c->n, LX_NFT_MSG_NEWTABLE, 0, c->table);
    return done(b);
}

static int get_chain(struct nft_ctx *c, const struct nft_attr *tb, struct nlbuf *b)
{
    struct nft_chain *ch;
    int r = nft_find_table(c, &tb[LX_NFTA_CHAIN_TABLE]);
    if (r == 0)
        r = nft_find_chain(c, &tb[LX_NFTA_CHAIN_NAME], &ch);
    if (r < 0)
        return r;
    nft_put_chain(b, c->n, LX_NFT_MSG_NEWCHAIN, 0, ch);
    return done(b);
}

static int get_rule(struct nft_ctx *c, const struct nft_attr *tb, struct nlbuf *b, bool is_reset)
{
    struct nft_chain *ch;
    int r = nft_find_table(c, &tb[LX_NFTA_RULE_TABLE]);
    if (r == 0)
        r = nft_find_chain(c, &tb[LX_NFTA_RULE_CHAIN], &ch);
    if (r < 0)
        return r;
    struct nft_rule *rule = nft_rule_by_handle(ch, nft_be64(&tb[LX_NFTA_RULE_HANDLE]));
    if (!rule)
        return nft_blame(c, &tb[LX_NFTA_RULE_HANDLE], -LX_ENOENT);
    nft_put_rule(b, c->n, LX_NFT_MSG_NEWRULE, 0, rule, is_reset);
    return done(b);
}

static int get_set(struct nft_ctx *c, const struct nft_attr *tb, struct nlbuf *b)
{
    static const struct nft_attr none;
    struct nft_set *s;
    int r = nft_find_table(c, &tb[LX_NFTA_SET_TABLE]);
    if (r == 0)
        r = nft_find_set(c, &tb[LX_NFTA_SET_NAME], &none, &s);
    if (r < 0)
        return r;
    nft_put_set(b, c->n, LX_NFT_MSG_NEWSET, 0, s);
    return done(b);
}

static int get_obj(struct nft_ctx *c, const struct nft_attr *tb, struct nlbuf *b, bool is_reset)
{
    char name[NFT_NAME_MAX];
    int r = nft_find_table(c, &tb[LX_NFTA_OBJ_TABLE]);
    if (r == 0)
        r = nft_name(&tb[LX_NFTA_OBJ_NAME], name);
    if (r < 0)
        return r;
    struct nft_obj *o = nft_obj_named(c->table, name, nft_be32(&tb[LX_NFTA_OBJ_TYPE]));
    if (!o)
        return nft_blame(c, &tb[LX_NFTA_OBJ_NAME], -LX_ENOENT);
    nft_put_obj(b, c->n, LX_NFT_MSG_NEWOBJ, 0, o, is_reset);
    return done(b);
}

/* The attributes of a kind's messages; false: it is not for asking. */
static bool shape_of(u32 type, const u8 **ret_min, u32 *ret_max)
{
    switch (type) {
    case LX_NFT_MSG_GETTABLE:
        *ret_min = nft_min_table;
        *ret_max = LX_NFTA_TABLE_OWNER;
        return true;
    case LX_NFT_MSG_GETCHAIN:
        *ret_min = nft_min_chain;
        *ret_max = LX_NFTA_CHAIN_USERDATA;
        return true;
    case LX_NFT_MSG_GETRULE:
    case NFT_MSG_GETRULE_RESET:
        *ret_min = nft_min_rule;
        *ret_max = LX_NFTA_RULE_CHAIN_ID;
        return true;
    case LX_NFT_MSG_GETSET:
        *ret_min = nft_min_set;
        *ret_max = LX_NFTA_SET_EXPRESSIONS;
        return true;
    case LX_NFT_MSG_GETSETELEM:
    case NFT_MSG_GETSETELEM_RESET:
        *ret_min = nft_min_list;
        *ret_max = LX_NFTA_SET_ELEM_LIST_SET_ID;
        return true;
    case LX_NFT_MSG_GETOBJ:
    case LX_NFT_MSG_GETOBJ_RESET:
        *ret_min = nft_min_obj;
        *ret_max = LX_NFTA_OBJ_USERDATA;
        return true;
    case LX_NFT_MSG_GETGEN:
    case LX_NFT_MSG_GETFLOWTABLE:
        *ret_min = NULL;
        *ret_max = 0;
        return true;
    default:
        return false;
    }
}

/* Which objects a dump is limited to. What does not exist leaves nothing to tell. */
static int start(struct nft_ctx *c, u32 type, const struct nft_attr *tb, struct nl_dump *d)
{
    struct nft_chain *ch;
    struct nft_set *s;
    bool is_elems = type == LX_NFT_MSG_GETSETELEM || type == NFT_MSG_GETSETELEM_RESET;
    bool is_rules = type == LX_NFT_MSG_GETRULE || type == NFT_MSG_GETRULE_RESET;
    d->arg[ARG_GEN] = atomic_load(&c->n->gen);
    d->what = type;
    d->step = is_elems ? step_elems : step;
    if (is_elems) {
        int r = nft_find_table(c, &tb[LX_NFTA_SET_ELEM_LIST_TABLE]);
        if (r == 0)
            r = nft_find_set(c, &tb[LX_NFTA_SET_ELEM_LIST_SET], &tb[LX_NFTA_SET_ELEM_LIST_SET_ID],
                             &s);
        if (r < 0) {
            d->step = NULL;
            return r;
        }
        d->arg[ARG_TABLE] = c->table->handle;
        d->arg[ARG_INNER] = s->handle;
        return 0;
    }
    /* the table's name is the first attribute of all kinds */
    if (type == LX_NFT_MSG_GETFLOWTABLE || type == LX_NFT_MSG_GETTABLE || !tb[1].p)
        return 0;
    if (nft_find_table(c, &tb[1]) < 0) {
        d->arg[ARG_TABLE] = UINT64_MAX;
        c->bad = NULL;
        return 0;
    }
    d->arg[ARG_TABLE] = c->table->handle;
    if (is_rules && tb[LX_NFTA_RULE_CHAIN].p)
        d->arg[ARG_INNER] =
            nft_find_chain(c, &tb[LX_NFTA_RULE_CHAIN], &ch) == 0 ? ch->handle : UINT64_MAX;
    if (type == LX_NFT_MSG_GETOBJ || type == LX_NFT_MSG_GETOBJ_RESET)
        d->arg[ARG_WHAT] = nft_be32(&tb[LX_NFTA_OBJ_TYPE]);
    return 0;
}

static int get(struct nft_ctx *c, u32 type, const struct nft_attr *tb, struct nlbuf *b)
{
    switch (type) {
    case LX_NFT_MSG_GETTABLE:
        return get_table(c, tb, b);
    case LX_NFT_MSG_GETCHAIN:
        return get_chain(c, tb, b);
    case LX_NFT_MSG_GETRULE:
    case NFT_MSG_GETRULE_RESET:
        return get_rule(c, tb, b, type == NFT_MSG_GETRULE_RESET);
    case LX_NFT_MSG_GETSET:
        return get_set(c, tb, b);
    case LX_NFT_MSG_GETSETELEM:
    case NFT_MSG_GETSETELEM_RESET:
        return nft_get_elem(c, tb, b);
    case LX_NFT_MSG_GETOBJ:
    case LX_NFT_MSG_GETOBJ_RESET:
        return get_obj(c, tb, b, type == LX_NFT_MSG_GETOBJ_RESET);
    default:
        return -LX_ENOENT; /* flow tables: there are none */
    }
}

int nft_request(struct nl_sock *s, const struct lx_nlmsghdr *req, struct nlbuf *b,
                struct nl_dump *ret_dump)
{
    struct nft_ns *n = s->sk.ns->nft_ns;
    struct nft_attr tb[32];
    struct lx_nfgenmsg g;
    const u8 *min;
    u32 max, type = req->type & 0xff, head = sizeof(*req) + sizeof(g);
    if (!shape_of(type, &min, &max))
        return -LX_EINVAL;
    memcpy(&g, req + 1, sizeof(g));
    struct nft_ctx c = {.net = s->sk.ns,
                        .n = n,
                        .req = req,
                        .family = g.family,
                        .portid = s->portid,
                        .flags = req->flags};
    int r = nft_parse((const u8 *)req + head, req->len - head, tb, min, max);
    if (r < 0)
        return r;
    rwlock_rdlock(&n->lock);
    if (type == LX_NFT_MSG_GETGEN)
        r = get_gen(n, b);
    else if ((req->flags & LX_NLM_F_DUMP) == LX_NLM_F_DUMP)
        r = start(&c, type, tb, ret_dump);
    else
        r = get(&c, type, tb, b);
    rwlock_rdunlock(&n->lock);
    if (r < 0 && c.bad)
        b->extack_at = (u32)(c.bad - (const u8 *)req - sizeof(struct lx_nlattr));
    return r;
}
