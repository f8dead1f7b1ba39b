/*
 * Routes of a stack. They stand in one array, longest prefix first, then by metric: the first that
 * matches is the way.
 *
 * Path MTUs that ICMP told of are kept for ten minutes, the oldest of a set gives way.
 */
#include <stdlib.h>

#include "net/stack/stack.h"

#define PMTU_SETS 64U
#define PMTU_WAYS 4U
#define PMTU_NS   (600 * NSEC_PER_SEC)
#define MIN_MTU4  68U
#define MIN_PMTU4 552U
#define MIN_PMTU6 1280U

struct pmtu {
    ipaddr dst;
    u32 mtu; /* 0: free */
    s64 expires_ns;
};

struct pmtu_table {
    struct mutex lock; /* leaf */
    struct pmtu sets[PMTU_SETS][PMTU_WAYS];
    _Atomic u32 count;
};

bool stk_prefix_match(const ipaddr *a, const ipaddr *prefix, u8 family, u8 len)
{
    u32 bits = family == LX_AF_INET ? 96U + len : len;
    if ((family == LX_AF_INET) != ipaddr_is_v4(a))
        return false;
    u32 bytes = bits / 8, rest = bits % 8;
    if (memcmp(a->b, prefix->b, bytes))
        return false;
    return !rest || !((a->b[bytes] ^ prefix->b[bytes]) >> (8 - rest));
}

struct stk_iface *stk_iface(struct netstack *stk, s32 index)
{
    u32 n = atomic_load_explicit(&stk->nifaces, memory_order_acquire);
    for (u32 i = 0; index > 0 && i < n; i++)
        if (atomic_load_explicit(&stk->ifaces[i]->index, memory_order_relaxed) == index)
            return stk->ifaces[i];
    return NULL;
}

struct stk_iface *stk_iface_named(struct netstack *stk, const char *name)
{
    struct stk_iface *found = NULL;
    rwlock_rdlock(&stk->cfg_lock);
    for (u32 i = 0; i < stk->nifaces && !found; i++)
        if (stk->ifaces[i]->index && !strcmp(stk->ifaces[i]->name, name))
            found = stk->ifaces[i];
    rwlock_rdunlock(&stk->cfg_lock);
    return found;
}

/* ---- routes -------------------------------------------------------------------------------- */

static int compare(const struct stk_route *a, const struct stk_route *b)
{
    u32 la = a->dst_len + (a->family == LX_AF_INET ? 96U : 0),
        lb = b->dst_len + (b->family == LX_AF_INET ? 96U : 0);
    if (la != lb)
        return la > lb ? -1 : 1;
    return a->metric < b->metric ? -1 : a->metric > b->metric;
}

static int insert_locked(struct netstack *stk, const struct stk_route *r)
{
    if (stk->nroutes == STK_MAX_ROUTES)
        return -LX_ENOSPC;
    struct stk_route *all = realloc(stk->routes, (stk->nroutes + 1) * sizeof(*all));
    if (!all)
        return -LX_ENOMEM;
    stk->routes = all;
    u32 at = 0;
    while (at < stk->nroutes && compare(&all[at], r) <= 0)
        at++;
    memmove(&all[at + 1], &all[at], (stk->nroutes - at) * sizeof(*all));
    all[at] = *r;
    all[at].seq = ++stk->route_seq;
    stk->nroutes++;
    atomic_fetch_add(&stk->gen, 1);
    return 0;
}

static bool is_same_dst(const struct stk_route *a, const struct stk_route *b)
{
    return a->family == b->family && a->dst_len == b->dst_len && a->table == b->table &&
           ipaddr_equal(&a->dst, &b->dst);
}

static bool is_same_way(const struct stk_route *a, const struct stk_route *b)
{
    return a->oif == b->oif && a->type == b->type && a->has_gateway == b->has_gateway &&
           ipaddr_equal(&a->gateway, &b->gateway);
}

int stk_route_put(struct netstack *stk, const struct stk_route *r, u32 nlm_flags)
{
    int err = 0;
    bool has_same = false;
    rwlock_wrlock(&stk->cfg_lock);
    for (u32 i = 0; i < stk->nroutes && err == 0; i++) {
        struct stk_route *o = &stk->routes[i];
        if (!is_same_dst(o, r) || o->metric != r->metric)
            continue;
        has_same = true;
        if (nlm_flags & LX_NLM_F_EXCL) {
            err = -LX_EEXIST;
        } else if (nlm_flags & LX_NLM_F_REPLACE) {
            *o = *r;
            atomic_fetch_add(&stk->gen, 1);
            break;
        } else if (is_same_way(o, r)) {
            err = -LX_EEXIST;
        }
    }
    if (err == 0 && !(has_same && nlm_flags & LX_NLM_F_REPLACE))
        err = nlm_flags & LX_NLM_F_CREATE ? insert_locked(stk, r) : -LX_ENOENT;
    rwlock_wrunlock(&stk->cfg_lock);
    return err;
}

int stk_route_add(struct netstack *stk, const struct stk_route *r)
{
    return stk_route_put(stk, r, LX_NLM_F_CREATE);
}

/* A zero oif, metric or absent gateway in r matches any. */
int stk_route_del(struct netstack *stk, const struct stk_route *r, struct stk_route *ret)
{
    int err = -LX_ESRCH;
    rwlock_wrlock(&stk->cfg_lock);
    for (u32 i = 0; i < stk->nroutes; i++) {
        const struct stk_route *o = &stk->routes[i];
        if (!is_same_dst(o, r) || (r->oif && o->oif != r->oif) ||
            (r->metric && o->metric != r->metric) ||
            (r->has_gateway && (!o->has_gateway || !ipaddr_equal(&o->gateway, &r->gateway))) ||
            (r->type && o->type != r->type) || (r->protocol && o->protocol != r->protocol) ||
            (!ipaddr_is_any(&r->prefsrc) && !ipaddr_equal(&o->prefsrc, &r->prefsrc)))
            continue;
        struct stk_route found = *o;
        memmove(&stk->routes[i], &stk->routes[i + 1], (stk->nroutes - i - 1) * sizeof(*o));
        stk->nroutes--;
        atomic_fetch_add(&stk->gen, 1);
        err = 0;
        *ret = found;
        break;
    }
    rwlock_wrunlock(&stk->cfg_lock);
    return err;
}

/* The first route by an interface, taken out; false: none is left. */
static bool take_of_iface(struct netstack *stk, s32 ifindex, u8 family, struct stk_route *ret)
{
    bool is_found = false;
    rwlock_wrlock(&stk->cfg_lock);
    for (u32 i = 0; i < stk->nroutes && !is_found; i++) {
        if (stk->routes[i].oif != ifindex || (family && stk->routes[i].family != family))
            continue;
        *ret = stk->routes[i];
        memmove(&stk->routes[i], &stk->routes[i + 1], (stk->nroutes - i - 1) * sizeof(*ret));
        stk->nroutes--;
        atomic_fetch_add(&stk->gen, 1);
        is_found = true;
    }
    rwlock_wrunlock(&stk->cfg_lock);
    return is_found;
}

void stk_route_flush(struct netstack *stk, s32 ifindex)
{
    struct stk_route r;
    while (take_of_iface(stk, ifindex, LX_AF_INET6, &r))
        stk_tell_route(stk, false, &r);
    while (take_of_iface(stk, ifindex, 0, &r))
        ; /* Linux says nothing of those of IPv4 that go with their interface */
}

u32 stk_routes(struct netstack *stk, u32 from, struct stk_route *ret, u32 max)
{
    u32 n = 0;
    rwlock_rdlock(&stk->cfg_lock);
    while (n < max && from + n < stk->nroutes) {
        ret[n] = stk->routes[from + n];
        n++;
    }
    rwlock_rdunlock(&stk->cfg_lock);
    return n;
}

/* ---- the way ------------------------------------------------------------------------------- */

static u32 common_bits(const ipaddr *a, const ipaddr *b)
{
    u32 n = 0;
    while (n < 128 && !((a->b[n / 8] ^ b->b[n / 8]) & (0x80 >> n % 8)))
        n++;
    return n;
}

/* The source for dst by ifc: of the same scope, then the longest prefix in common (RFC 6724 in
 * short). */
static bool pick_source(const struct netstack *stk, s32 ifindex, const ipaddr *dst, ipaddr *ret)
{
    bool is_v4 = ipaddr_is_v4(dst),
         is_link =
             ipaddr_is_link_local(dst) || (!is_v4 && dst->b[0] == 0xff && (dst->b[1] & 15) == 2);
    const struct stk_addr *best = NULL;
    u32 best_rank = 0;
    for (u32 i = 0; i < stk->naddrs; i++) {
        const struct stk_addr *a = &stk->addrs[i];
        if ((a->family == LX_AF_INET) != is_v4)
            continue;
        u32 rank =
            1 + (is_v4 ? (stk_prefix_match(dst, &a->addr, a->family, a->prefix_len) ? 1U : 0U)
                       : common_bits(&a->addr, dst));
        rank += a->ifindex == ifindex ? 1024 : 0;
        rank += !is_v4 && ipaddr_is_link_local(&a->addr) == is_link ? 512 : 0;
        if ((ipaddr_is_link_local(&a->addr) && a->ifindex != ifindex) || a->scope == 254)
            continue; /* not to be seen elsewhere */
        if (rank > best_rank) {
            best = a;
            best_rank = rank;
        }
    }
    if (best)
        *ret = best->addr;
    return best;
}

static int route_error(u8 type)
{
    switch (type) {
    case 6: /* blackhole */
        return -LX_EINVAL;
    case 8: /* prohibit */
        return -LX_EACCES;
    default: /* unreachable */
        return -LX_EHOSTUNREACH;
    }
}

static const struct stk_route *in_table(struct netstack *stk, u32 table, const ipaddr *dst, s32 oif)
{
    for (u32 i = 0; i < stk->nroutes; i++) {
        const struct stk_route *o = &stk->routes[i];
        if (o->table == table && (!oif || !o->oif || o->oif == oif) &&
            stk_prefix_match(dst, &o->dst, o->family, o->dst_len))
            return o;
    }
    return NULL;
}

/* The route that the rules lead to: 0 with NULL: none. */
static int by_policy(struct netstack *stk, const ipaddr *dst, const ipaddr *src, s32 oif,
                     const struct stk_route **ret)
{
    u8 family = ipaddr_is_v4(dst) ? LX_AF_INET : LX_AF_INET6;
    *ret = NULL;
    for (u32 i = 0; i < stk->npolicies && !*ret; i++) {
        const struct stk_policy *p = &stk->policies[i];
        if (p->family != family || !stk_policy_applies(stk, p, dst, src, oif))
            continue;
        if (p->action != 1)
            return p->action == 7 ? -LX_ENETUNREACH : route_error(p->action);
        *ret = in_table(stk, p->table, dst, oif);
    }
    return *ret && (*ret)->type != 1 ? route_error((*ret)->type) : 0;
}

static int find_way(struct netstack *stk, const ipaddr *dst, s32 oif, ipaddr *src,
                    struct stk_path *ret, struct stk_route *ret_route)
{
    const struct stk_route *r = NULL;
    bool is_v4 = ipaddr_is_v4(dst);
    bool is_group = ipaddr_is_multicast(dst) || ipaddr_is_broadcast(dst);
    int err = by_policy(stk, dst, src, oif, &r);
    if (err < 0)
        return err;
    bool is_on_link = is_group || ipaddr_is_link_local(dst);
    for (u32 i = 1; is_group && !is_v4 && !oif && !r && i < stk->nifaces; i++)
        if (stk->ifaces[i]->has_groups)
            oif = stk->ifaces[i]->index; /* each has a route for all groups */
    if (!r && !(oif && is_on_link))
        return -LX_ENETUNREACH;
    struct stk_iface *ifc = stk_iface(stk, r && !(oif && is_on_link) ? r->oif : oif);
    if (!ifc)
        return -LX_ENODEV;
    if (!stk_is_up(ifc))
        return -LX_ENETUNREACH;
    if (ipaddr_is_any(src)) {
        if (r && !ipaddr_is_any(&r->prefsrc))
            *src = r->prefsrc;
        else if (!pick_source(stk, ifc->index, r && r->has_gateway && is_v4 ? &r->gateway : dst,
                              src))
            return -LX_EADDRNOTAVAIL;
    }
    if (r && ret_route)
        *ret_route = *r;
    ret->ifc = ifc;
    ret->nexthop = r && r->has_gateway && !is_on_link ? r->gateway : *dst;
    ret->mtu = r && r->mtu ? MIN(r->mtu, ifc->mtu) : ifc->mtu;
    ret->mtu = MAX(ret->mtu, is_v4 ? MIN_MTU4 : MIN_PMTU6); /* less cannot be cut to */
    return 0;
}

int stk_route(struct netstack *stk, const ipaddr *dst, s32 oif, ipaddr *src, struct stk_path *ret)
{
    return stk_route_explain(stk, dst, oif, src, ret, NULL);
}

int stk_route_explain(struct netstack *stk, const ipaddr *dst, s32 oif, ipaddr *src,
                      struct stk_path *ret, struct stk_route *ret_route)
{
    rwlock_rdlock(&stk->cfg_lock);
    ret->gen = stk->gen;
    int r = find_way(stk, dst, oif, src, ret, ret_route);
    rwlock_rdunlock(&stk->cfg_lock);
    if (r == 0)
        ret->mtu = stk_pmtu(stk, dst, ret->mtu);
    return r;
}

/* ---- path MTU ------------------------------------------------------------------------------ */

struct pmtu_table *pmtu_table_new(void);
struct pmtu_table *pmtu_table_new(void)
{
    struct pmtu_table *t = calloc(1, sizeof(*t));
    if (t)
        mutex_init(&t->lock, "pmtu");
    return t;
}

void stk_pmtu_learn(struct netstack *stk, const ipaddr *dst, u32 mtu)
{
    struct pmtu_table *t = stk->pmtus;
    struct pmtu *set = t->sets[stk_hash(stk, dst, sizeof(*dst)) % PMTU_SETS], *p = &set[0];
    mtu = MAX(mtu, ipaddr_is_v4(dst) ? MIN_PMTU4 : MIN_PMTU6);
    mutex_lock(&t->lock);
    for (u32 i = 0; i < PMTU_WAYS; i++) {
        if (set[i].mtu && ipaddr_equal(&set[i].dst, dst)) {
            p = &set[i];
            break;
        }
        if (set[i].expires_ns < p->expires_ns)
            p = &set[i];
    }
    if (p->mtu && ipaddr_equal(&p->dst, dst))
        mtu = MIN(mtu, p->mtu);
    *p = (struct pmtu){*dst, mtu, clock_mono_ns() + PMTU_NS};
    t->count = 1;
    mutex_unlock(&t->lock);
    atomic_fetch_add(&stk->gen, 1);
}

u32 stk_pmtu(struct netstack *stk, const ipaddr *dst, u32 link_mtu)
{
    struct pmtu_table *t = stk->pmtus;
    if (likely(!t->count))
        return link_mtu;
    const struct pmtu *set = t->sets[stk_hash(stk, dst, sizeof(*dst)) % PMTU_SETS];
    MUTEX_GUARD(&t->lock);
    for (u32 i = 0; i < PMTU_WAYS; i++)
        if (set[i].mtu && ipaddr_equal(&set[i].dst, dst) && set[i].expires_ns > clock_mono_ns())
            return MIN(link_mtu, set[i].mtu);
    return link_mtu;
}

/* ---- egress -------------------------------------------------------------------------------- */

bool stk_may_reach(struct netstack *stk, const ipaddr *dst, u16 port)
{
    if (!stk->is_egress_limited)
        return true;
    for (u32 i = 0; i < stk->nrules; i++) {
        const struct stk_rule *r = &stk->rules[i];
        if (!stk_prefix_match(dst, &r->addr, r->family, r->prefix_len))
            continue;
        if (r->port_low == 0 && r->port_high == 65535)
            return true;
        if (port && port >= r->port_low && port <= r->port_high)
            return true;
    }
    STK_COUNT(stk, egress_denied);
    return false;
}
