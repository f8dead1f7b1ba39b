/* Making a stack from what a namespace had, and its slow clock. */
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/log.h"
#include "net/parts.h"
#include "net/stack/stack.h"
#include "net/stack/syn.h"
#include "wire/netcfg.h"

#define TICK_NS (NSEC_PER_SEC / 4)

struct pmtu_table *pmtu_table_new(void);

/* SipHash-2-4's round, one a word: keyed, so that the network cannot choose buckets or guess
 * numbers. */
u64 net_hash(const u64 secret[2], const void *p, size_t size)
{
    u64 v0 = secret[0] ^ 0x736f6d6570736575ULL, v1 = secret[1] ^ 0x646f72616e646f6dULL;
    u64 v2 = secret[0] ^ 0x6c7967656e657261ULL, v3 = secret[1] ^ 0x7465646279746573ULL;
#define ROTL(x, n) ((x) << (n) | (x) >> (64 - (n)))
#define ROUND()                                                                                    \
    (v0 += v1, v1 = ROTL(v1, 13), v1 ^= v0, v0 = ROTL(v0, 32), v2 += v3, v3 = ROTL(v3, 16),        \
     v3 ^= v2, v0 += v3, v3 = ROTL(v3, 21), v3 ^= v0, v2 += v1, v1 = ROTL(v1, 17), v1 ^= v2,       \
     v2 = ROTL(v2, 32))
    const u8 *b = p;
    u64 m = 0, last = (u64)size << 56;
    for (; size >= 8; b += 8, size -= 8) {
        memcpy(&m, b, 8);
        v3 ^= m;
        ROUND();
        ROUND();
        v0 ^= m;
    }
    for (size_t i = 0; i < size; i++)
        last |= (u64)b[i] << (8 * i);
    v3 ^= last;
    ROUND();
    ROUND();
    v0 ^= last;
    v2 ^= 0xff;
    ROUND();
    ROUND();
    ROUND();
    ROUND();
#undef ROUND
#undef ROTL
    return v0 ^ v1 ^ v2 ^ v3;
}

static void tick(struct timer *timer)
{
    struct netstack *stk = container_of(timer, struct netstack, tick);
    s64 now = clock_mono_ns();
    atomic_store(&stk->is_ticking, false);
    bool is_busy = neigh_tick(stk, now);
    is_busy |= frag_tick(stk, now);
    is_busy |= syn_tick(stk, now);
    is_busy |= inet_groups_tick(stk->ns, now);
    is_busy |= stk_groups_tick(stk, now);
    if (is_busy)
        stk_need_tick(stk);
}

void stk_need_tick(struct netstack *stk)
{
    if (!atomic_load_explicit(&stk->is_ticking, memory_order_relaxed) &&
        !atomic_exchange(&stk->is_ticking, true))
        (void)!timer_arm(&stk->tick, clock_mono_ns() + TICK_NS); /* always succeeds */
}

static void add_addr(struct netstack *stk, const struct netcfg_addr *a)
{
    struct stk_addr s = {.ifindex = a->ifindex,
                         .family = a->family,
                         .prefix_len = a->prefix_len,
                         .scope = a->scope,
                         .flags = (a->flags & ~0x40U) | 0x80};
    memcpy(&s.addr, a->addr, 16);
    memcpy(&s.peer, a->peer, 16);
    memcpy(&s.bcast, a->bcast, 4);
    (void)!stk_addr_insert(stk, &s); /* beyond the limit there are no more */
}

static int add_route(struct netstack *stk, const struct netcfg_route *r)
{
    struct stk_route s = {.oif = r->oif,
                          .metric = r->metric,
                          .mtu = r->mtu,
                          .family = r->family,
                          .dst_len = r->dst_len,
                          .table = r->table,
                          .protocol = r->protocol,
                          .scope = r->scope,
                          .type = r->type,
                          .has_gateway = r->has_gateway};
    memcpy(&s.dst, r->dst, 16);
    memcpy(&s.gateway, r->gateway, 16);
    memcpy(&s.prefsrc, r->prefsrc, 16);
    int e = stk_route_add(stk, &s);
    return e == -LX_EEXIST ? 0 : e;
}

static int add_rules(struct netstack *stk, const struct netcfg *cfg)
{
    stk->is_egress_limited = cfg->is_egress_limited;
    if (!cfg->nrules)
        return 0;
    stk->rules = calloc(cfg->nrules, sizeof(*stk->rules));
    if (!stk->rules)
        return -LX_ENOMEM;
    for (u32 i = 0; i < cfg->nrules; i++) {
        const struct netcfg_rule *r = &cfg->rules[i];
        stk->rules[i] = (struct stk_rule){.family = r->family,
                                          .prefix_len = r->prefix_len,
                                          .port_low = r->port_low,
                                          .port_high = r->port_high};
        memcpy(&stk->rules[i].addr, r->addr, 16);
    }
    stk->nrules = cfg->nrules;
    return 0;
}

void netstack_free(struct netstack *stk)
{
    if (!stk)
        return;
    timer_done(&stk->tick);
    neigh_table_free(stk->neighs);
    frag_table_free(stk->frags);
    syn_table_free(stk->syns);
    free(stk->pmtus);
    free(stk->routes);
    free(stk->rules);
    free(stk->policies);
    for (u32 i = 0; i < stk->nifaces; i++)
        free(stk->ifaces[i]);
    free(stk);
}

static int add_loopback(struct netstack *stk)
{
    struct stk_iface *lo;
    int r = stk_dev_new(stk, DEV_LOOPBACK, "lo", LO_IFINDEX, &lo);
    if (r < 0)
        return r;
    stk->last_index = LO_IFINDEX;
    return 0;
}

int netstack_new(struct net_ns *ns, struct netstack **ret)
{
    struct netstack *stk = calloc(1, sizeof(*stk));
    int r = 0;
    if (!stk)
        return -LX_ENOMEM;
    stk->ns = ns;
    rwlock_init(&stk->cfg_lock, "stack_cfg");
    timer_init(&stk->tick, tick);
    if (getrandom(stk->secret, sizeof(stk->secret), 0) != sizeof(stk->secret))
        r = -LX_EIO;
    stk->ip_id = net_random();
    stk->neighs = neigh_table_new();
    stk->frags = frag_table_new();
    stk->syns = syn_table_new();
    stk->pmtus = pmtu_table_new();
    if (!stk->neighs || !stk->frags || !stk->syns || !stk->pmtus)
        r = -LX_ENOMEM;
    if (r == 0)
        r = stk_policies_init(stk);
    if (r == 0)
        r = add_loopback(stk);
    if (r < 0) {
        netstack_free(stk);
        return r;
    }
    *ret = stk;
    return 0;
}

static int add_iface(struct netstack *stk, const struct netcfg_iface *c)
{
    struct stk_iface *f;
    int r = stk_dev_new(stk, DEV_LINK, c->name, c->index, &f);
    if (r < 0)
        return r;
    f->fd = c->fd;
    f->mtu = c->mtu;
    f->type = c->type;
    f->flags = c->flags & ~(u32)(LX_IFF_RUNNING | LX_IFF_LOWER_UP);
    f->has_qdisc = true;
    f->has_groups = stk_is_up(f);
    stk_set_mac(f, c->mac);
    stk->last_index = MAX(stk->last_index, c->index);
    return 0;
}

int netstack_configure(struct netstack *stk, const struct netcfg *cfg)
{
    int r = 0;
    for (u32 i = 0; r == 0 && i < cfg->nifaces; i++)
        r = add_iface(stk, &cfg->ifaces[i]);
    for (u32 i = 0; r == 0 && i < cfg->naddrs; i++)
        add_addr(stk, &cfg->addrs[i]);
    for (u32 i = 0; r == 0 && i < cfg->nroutes; i++)
        r = add_route(stk, &cfg->routes[i]);
    for (u32 i = 0; r == 0 && i < cfg->nneighs; i++) {
        struct neigh_info n = {.ifindex = cfg->neighs[i].ifindex, .state = NEIGH_PERMANENT};
        memcpy(&n.addr, cfg->neighs[i].addr, 16);
        memcpy(n.mac, cfg->neighs[i].mac, 6);
        r = neigh_set(stk, &n);
    }
    return r < 0 ? r : add_rules(stk, cfg);
}

int netstack_start(struct netstack *stk)
{
    for (u32 i = 0; i < stk->nifaces; i++) {
        int r = stk->ifaces[i]->kind == DEV_LINK ? link_start(stk->ifaces[i]) : 0;
        if (r < 0)
            return r;
        stk_groups_up(stk->ifaces[i]);
    }
    return 0;
}
