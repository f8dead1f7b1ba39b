/* A namespace's nf_tables, and packets under way through their chains; see nft.h, run.h. */
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "net/filter/ct.h"
#include "net/nft/nft.h"
#include "net/nft/run.h"

struct nft_ns *nft_ns_new(struct net_ns *net)
{
    struct nft_ns *n = calloc(1, sizeof(*n));
    if (!n)
        return NULL;
    n->net = net;
    n->gen = 1;
    mutex_init(&n->commit, "nft_commit");
    rwlock_init(&n->lock, "nftables");
    list_init(&n->tables);
    for (u32 i = 0; i < XT_FAMILIES * XT_HOOKS; i++)
        list_init(&n->base[i / XT_HOOKS][i % XT_HOOKS]);
    if (getrandom(n->secret, sizeof(n->secret), GRND_NONBLOCK) != sizeof(n->secret))
        n->secret[0] = (u64)clock_mono_ns() ^ (u64)(uintptr_t)n;
    return n;
}

static void free_table(struct nft_ns *n, struct nft_table *t)
{
    struct nft_chain *c;
    struct nft_rule *r;
    struct nft_set *s;
    struct nft_obj *o;
    list_for_each (c, &t->chains, node) {
        while ((r = list_first(&c->rules, struct nft_rule, node))) {
            list_del(&r->node);
            nft_rule_unlink(n, r);
            nft_rule_free(n, r);
        }
    }
    while ((s = list_first(&t->sets, struct nft_set, node))) {
        list_del(&s->node);
        nft_set_free(n, s);
    }
    while ((o = list_first(&t->objs, struct nft_obj, node))) {
        list_del(&o->node);
        nft_obj_free(n, o);
    }
    while ((c = list_first(&t->chains, struct nft_chain, node))) {
        list_del(&c->node);
        nft_chain_free(c);
    }
    nft_table_free(n, t);
}

void nft_ns_free(struct nft_ns *n)
{
    struct nft_table *t;
    while (n && (t = list_first(&n->tables, struct nft_table, node))) {
        list_del(&t->node);
        free_table(n, t);
    }
    free(n);
}

u32 nft_hooks(const struct nft_ns *n)
{
    return atomic_load(&((struct nft_ns *)(uintptr_t)n)->hooks);
}

/* Tells packets where there is something to ask. REQUIRES the lock. */
void nft_publish(struct nft_ns *n)
{
    u32 busy = 0, all;
    bool has_nat = false;
    struct nft_chain *c;
    for (u32 f = 0; f < XT_FAMILIES; f++) {
        for (u32 h = 0; h < XT_HOOKS; h++) {
            list_for_each (c, &n->base[f][h], base_node[f]) {
                if (c->table->flags & LX_NFT_TABLE_F_DORMANT ||
                    (!c->nrules && c->policy == NFT_V_ACCEPT))
                    continue;
                busy |= XT_BIT(h) << (f * NF_FAMILY_SHIFT);
                has_nat |= c->type == NFT_NAT;
                if (c->type == NFT_NAT && h == XT_OUTPUT)
                    busy |= NF_NAT_OUT << (f * NF_FAMILY_SHIFT);
            }
        }
    }
    n->has_natted |= has_nat;
    all = busy;
    if (n->ntracking || n->has_natted)
        all |= (NF_ALL | NF_TRACK) | (NF_ALL | NF_TRACK) << NF_FAMILY_SHIFT;
    atomic_store(&n->busy, busy);
    atomic_store(&n->hooks, all);
    nf_publish(n->net);
}

/* ---- running ------------------------------------------------------------------------------- */

struct walker {
    struct nft_regs r;
    struct nft_pkt k;
    struct {
        struct nft_chain *chain;
        struct list *at; /* the rule that goes on */
    } back[NFT_MAX_DEPTH];
    u32 depth, steps;
};

/* One rule: CONTINUE, or what it says of the packet. */
static s32 run_rule(struct walker *w, struct nft_rule *rule)
{
    w->r.code = LX_NFT_CONTINUE;
    for (u32 i = 0; i < rule->nexprs && w->r.code == LX_NFT_CONTINUE; i++)
        rule->exprs[i]->ops->eval(rule->exprs[i], &w->r, &w->k);
    return w->r.code == LX_NFT_BREAK ? LX_NFT_CONTINUE : w->r.code;
}

static enum xt_verdict policy(struct nft_chain *base, const struct walker *w)
{
    if (base->has_counters && w->k.is_live) {
        atomic_fetch_add_explicit(&base->packets, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&base->bytes, w->k.p->size, memory_order_relaxed);
    }
    return base->policy == NFT_V_ACCEPT ? XT_ACCEPT : XT_DROP;
}

enum xt_verdict nft_run_chain(struct nft_chain *base, struct xt_packet *p)
{
    struct walker w = {.k = {.p = p, .base = base, .is_live = !p->i.is_dry}};
    struct nft_chain *c = base;
    struct list *at = c->rules.next;
    for (;;) {
        s32 v = LX_NFT_RETURN;
        if (at != &c->rules) {
            if (w.steps++ == NFT_MAX_STEPS)
                return XT_DROP;
            v = run_rule(&w, list_entry(at, struct nft_rule, node));
            at = at->next;
        }
        switch (v) {
        case LX_NFT_CONTINUE:
            continue;
        case NFT_V_ACCEPT:
            return XT_ACCEPT;
        case NFT_V_REJECT:
            return XT_REJECT;
        case LX_NFT_RETURN:
            if (!w.depth)
                return policy(base, &w);
            w.depth--;
            c = w.back[w.depth].chain;
            at = w.back[w.depth].at;
            continue;
        case LX_NFT_JUMP:
            if (w.depth == NFT_MAX_DEPTH)
                return XT_DROP;
            w.back[w.depth].chain = c;
            w.back[w.depth++].at = at;
            c = w.r.chain;
            at = c->rules.next;
            continue;
        case LX_NFT_GOTO:
            c = w.r.chain;
            at = c->rules.next;
            continue;
        default:
            return XT_DROP;
        }
    }
}

static bool has_any(const struct nft_ns *n, const struct xt_packet *p)
{
    u32 bit = XT_BIT(p->hook) << (p->is_v6 ? NF_FAMILY_SHIFT : 0);
    return atomic_load_explicit(&n->busy, memory_order_relaxed) & bit;
}

static bool is_next(const struct nft_chain *c, bool is_nat, s64 from, s64 to)
{
    return (c->type == NFT_NAT) == is_nat && c->priority > from && c->priority <= to &&
           !(c->table->flags & LX_NFT_TABLE_F_DORMANT);
}

static enum xt_verdict run(struct nft_ns *n, struct xt_packet *p, bool is_nat, s64 from, s64 to)
{
    enum xt_family f = p->is_v6 ? XT_V6 : XT_V4;
    enum ct_manip m = p->hook == XT_INPUT || p->hook == XT_POSTROUTING ? CT_SOURCE : CT_DESTINATION;
    enum xt_verdict v = XT_ACCEPT;
    struct nft_chain *c;
    if (likely(!has_any(n, p)))
        return v;
    rwlock_rdlock(&n->lock);
    list_for_each (c, &n->base[f][p->hook], base_node[f]) {
        if (v != XT_ACCEPT || (is_nat && ct_nat_is_set(p, m)))
            break;
        if (is_next(c, is_nat, from, to))
            v = nft_run_chain(c, p);
    }
    rwlock_rdunlock(&n->lock);
    return v;
}

enum xt_verdict nft_run(struct nft_ns *n, struct xt_packet *p, s64 from, s64 to)
{
    return run(n, p, false, from, to);
}

enum xt_verdict nft_run_nat(struct nft_ns *n, struct xt_packet *p, s64 from, s64 to)
{
    return run(n, p, true, from, to);
}
