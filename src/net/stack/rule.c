/*
 * Policy rules: which table's routes are asked, by a packet's addresses and the interface that its
 * sender is bound to. They stand by priority, of one priority in the order of their coming. The
 * local table is always asked first, and its rule is not one of these.
 */
#include <stdlib.h>

#include "net/stack/stack.h"

#define MAX_POLICIES 256U

static const struct stk_policy defaults[] = {
    {.family = LX_AF_INET, .action = 1, .priority = 32766, .table = 254, .protocol = 2},
    {.family = LX_AF_INET, .action = 1, .priority = 32767, .table = 253, .protocol = 2},
    {.family = LX_AF_INET6, .action = 1, .priority = 32766, .table = 254, .protocol = 2},
};

int stk_policies_init(struct netstack *stk)
{
    stk->policies = malloc(sizeof(defaults));
    if (!stk->policies)
        return -LX_ENOMEM;
    memcpy(stk->policies, defaults, sizeof(defaults));
    stk->npolicies = ARRAY_SIZE(defaults);
    return 0;
}

static bool is_same(const struct stk_policy *a, const struct stk_policy *b)
{
    return a->family == b->family && a->src_len == b->src_len && a->dst_len == b->dst_len &&
           a->action == b->action && a->is_inverted == b->is_inverted && a->table == b->table &&
           ipaddr_equal(&a->src, &b->src) && ipaddr_equal(&a->dst, &b->dst) &&
           !strcmp(a->oif, b->oif);
}

/* Without one, a rule goes before the first that is not the local table's. */
static u32 free_priority(const struct netstack *stk, u8 family)
{
    for (u32 i = 0; i < stk->npolicies; i++)
        if (stk->policies[i].family == family)
            return stk->policies[i].priority ? stk->policies[i].priority - 1 : 0;
    return 0;
}

int stk_policy_add(struct netstack *stk, struct stk_policy *p, bool is_exclusive)
{
    int err = 0;
    rwlock_wrlock(&stk->cfg_lock);
    bool is_given = p->priority;
    if (!is_given)
        p->priority = free_priority(stk, p->family);
    for (u32 i = 0; is_exclusive && is_given && i < stk->npolicies; i++)
        if (is_same(&stk->policies[i], p) && stk->policies[i].priority == p->priority)
            err = -LX_EEXIST;
    struct stk_policy *all = NULL;
    if (err == 0 && stk->npolicies == MAX_POLICIES)
        err = -LX_ENOBUFS;
    if (err == 0 && !(all = realloc(stk->policies, (stk->npolicies + 1) * sizeof(*all))))
        err = -LX_ENOMEM;
    if (err == 0) {
        u32 at = 0;
        stk->policies = all;
        while (at < stk->npolicies &&
               (all[at].family < p->family ||
                (all[at].family == p->family && all[at].priority <= p->priority)))
            at++;
        memmove(&all[at + 1], &all[at], (stk->npolicies - at) * sizeof(*all));
        all[at] = *p;
        stk->npolicies++;
        atomic_fetch_add(&stk->gen, 1);
    }
    rwlock_wrunlock(&stk->cfg_lock);
    return err;
}

/* What q leaves open (priority, table, action, lengths of 0) fits any. */
static bool fits(const struct stk_policy *p, const struct stk_policy *q)
{
    return p->family == q->family && (!q->priority || p->priority == q->priority) &&
           (!q->table || p->table == q->table) && (!q->action || p->action == q->action) &&
           (!q->src_len || (p->src_len == q->src_len && ipaddr_equal(&p->src, &q->src))) &&
           (!q->dst_len || (p->dst_len == q->dst_len && ipaddr_equal(&p->dst, &q->dst))) &&
           (!q->oif[0] || !strcmp(p->oif, q->oif)) && (!q->is_inverted || p->is_inverted);
}

int stk_policy_del(struct netstack *stk, const struct stk_policy *q)
{
    int err = -LX_ENOENT;
    rwlock_wrlock(&stk->cfg_lock);
    for (u32 i = 0; i < stk->npolicies && err; i++) {
        if (!fits(&stk->policies[i], q))
            continue;
        memmove(&stk->policies[i], &stk->policies[i + 1],
                (stk->npolicies - i - 1) * sizeof(stk->policies[0]));
        stk->npolicies--;
        atomic_fetch_add(&stk->gen, 1);
        err = 0;
    }
    rwlock_wrunlock(&stk->cfg_lock);
    return err;
}

bool stk_policy_nth(struct netstack *stk, u32 nth, struct stk_policy *ret)
{
    rwlock_rdlock(&stk->cfg_lock);
    bool is = nth < stk->npolicies;
    if (is)
        *ret = stk->policies[nth];
    rwlock_rdunlock(&stk->cfg_lock);
    return is;
}

bool stk_policy_applies(struct netstack *stk, const struct stk_policy *p, const ipaddr *dst,
                        const ipaddr *src, s32 oif)
{
    bool is_met = (!p->dst_len || stk_prefix_match(dst, &p->dst, p->family, p->dst_len)) &&
                  (!p->src_len || stk_prefix_match(src, &p->src, p->family, p->src_len));
    if (p->oif[0]) {
        const struct stk_iface *ifc = stk_iface(stk, oif);
        is_met = is_met && ifc && !strcmp(ifc->name, p->oif);
    }
    return is_met != p->is_inverted;
}
