/*
 * Addresses of a stack's interfaces. They stand in one array in the order in which they are shown:
 * IPv4 first, by interface; of IPv4 the primaries before the secondaries, of IPv6 the wider scopes
 * first and the newest of a scope before the others. An address of an interface that is up brings
 * its subnet's route with it. On the loopback the whole subnet of an IPv4 address is this host.
 */
#include "net/stack/stack.h"

#define SCOPE_LINK 253
#define SCOPE_HOST 254

static u32 net_mask(u8 len)
{
    return len ? net32(UINT32_MAX << (32 - len)) : 0;
}

static bool covers(const struct stk_addr *a, const ipaddr *b)
{
    if (ipaddr_equal(&a->addr, b))
        return true;
    return a->ifindex == LO_IFINDEX && a->family == LX_AF_INET && ipaddr_is_v4(b) &&
           !((ipaddr_to_v4(&a->addr) ^ ipaddr_to_v4(b)) & net_mask(a->prefix_len));
}

static bool has_addr(struct netstack *stk, const ipaddr *a, s32 ifindex)
{
    bool is_found = false;
    rwlock_rdlock(&stk->cfg_lock);
    for (u32 i = 0; i < stk->naddrs && !is_found; i++)
        is_found = (!ifindex || stk->addrs[i].ifindex == ifindex) && covers(&stk->addrs[i], a);
    rwlock_rdunlock(&stk->cfg_lock);
    return is_found;
}

bool stk_is_local(struct netstack *stk, const ipaddr *a)
{
    if (ipaddr_is_loopback(a))
        return atomic_load_explicit(ipaddr_is_v4(a) ? &stk->has_lo4 : &stk->has_lo6,
                                    memory_order_relaxed);
    return has_addr(stk, a, 0);
}

bool stk_is_iface_addr(struct stk_iface *ifc, const ipaddr *a)
{
    return has_addr(ifc->stk, a, ifc->index);
}

ipaddr stk_iface_first_addr(struct stk_iface *ifc, bool is_v6)
{
    struct netstack *stk = ifc->stk;
    ipaddr r = {0};
    rwlock_rdlock(&stk->cfg_lock);
    for (u32 i = 0; i < stk->naddrs && ipaddr_is_any(&r); i++) {
        const struct stk_addr *a = &stk->addrs[i];
        if (a->ifindex == ifc->index && (a->family == LX_AF_INET6) == is_v6 &&
            !ipaddr_is_link_local(&a->addr))
            r = a->addr;
    }
    rwlock_rdunlock(&stk->cfg_lock);
    return r;
}

bool stk_is_broadcast(struct netstack *stk, const ipaddr *a)
{
    bool is_found = false;
    if (!ipaddr_is_v4(a))
        return false;
    if (ipaddr_is_broadcast(a))
        return true;
    u32 v = ipaddr_to_v4(a);
    rwlock_rdlock(&stk->cfg_lock);
    for (u32 i = 0; i < stk->naddrs && !is_found; i++) {
        const struct stk_addr *s = &stk->addrs[i];
        if (s->family != LX_AF_INET)
            break;
        is_found = s->bcast && s->bcast == v;
        if (!is_found && s->prefix_len < 31 && s->prefix_len)
            is_found = v == (ipaddr_to_v4(&s->addr) | ~net_mask(s->prefix_len));
    }
    rwlock_rdunlock(&stk->cfg_lock);
    return is_found;
}

/* ---- coming and going ---------------------------------------------------------------------- */

static void connected_route(const struct stk_addr *a, struct stk_route *ret)
{
    u32 bits = a->prefix_len + (a->family == LX_AF_INET ? 96U : 0);
    *ret = (struct stk_route){.dst = a->peer,
                              .oif = a->ifindex,
                              .family = a->family,
                              .dst_len = a->prefix_len,
                              .table = 254,
                              .protocol = 2,
                              .type = 1};
    if (a->family == LX_AF_INET) {
        ret->scope = SCOPE_LINK;
        ret->prefsrc = a->addr;
    } else {
        ret->metric = 256;
    }
    for (u32 i = 0; i < 16; i++) {
        u32 keep = bits > i * 8 ? MIN(bits - i * 8, 8U) : 0;
        ret->dst.b[i] &= (u8)(0xff00U >> keep);
    }
}

/* Does the address bring a route of its subnet? */
static bool is_connecting(const struct stk_addr *a)
{
    bool is_v4 = a->family == LX_AF_INET, has_peer = !ipaddr_equal(&a->addr, &a->peer);
    if (a->flags & LX_IFA_F_NOPREFIXROUTE || (is_v4 && a->flags & LX_IFA_F_SECONDARY))
        return false;
    if (is_v4 && a->ifindex == LO_IFINDEX)
        return false; /* the subnet is local */
    return has_peer || a->prefix_len < (is_v4 ? 32 : 128);
}

void stk_addr_connect(struct netstack *stk, const struct stk_addr *a)
{
    struct stk_route r;
    if (!is_connecting(a))
        return;
    connected_route(a, &r);
    if (stk_route_add(stk, &r) == 0)
        stk_tell_route(stk, true, &r);
}

static void disconnect(struct netstack *stk, const struct stk_addr *a)
{
    struct stk_route r;
    if (!is_connecting(a))
        return;
    connected_route(a, &r);
    r.metric = 0;
    if (stk_route_del(stk, &r, &r) == 0) /* another address may have made it its own */
        stk_tell_route(stk, false, &r);
}

static u32 scope6(const ipaddr *a)
{
    return ipaddr_is_loopback(a) ? 1 : ipaddr_is_link_local(a) ? 2 : 14;
}

/* Where a belongs. */
static u32 place_of(const struct netstack *stk, const struct stk_addr *a)
{
    u32 i = 0;
    for (; i < stk->naddrs; i++) {
        const struct stk_addr *o = &stk->addrs[i];
        if (o->family != a->family) {
            if (a->family == LX_AF_INET)
                break;
            continue;
        }
        if (o->ifindex != a->ifindex) {
            if (o->ifindex > a->ifindex)
                break;
            continue;
        }
        if (a->family == LX_AF_INET6
                ? scope6(&o->addr) <= scope6(&a->addr)
                : !(a->flags & LX_IFA_F_SECONDARY) && o->flags & LX_IFA_F_SECONDARY)
            break;
    }
    return i;
}

static bool is_same_subnet(const struct stk_addr *a, const struct stk_addr *b)
{
    return a->family == LX_AF_INET && b->family == LX_AF_INET && a->ifindex == b->ifindex &&
           a->prefix_len == b->prefix_len &&
           !((ipaddr_to_v4(&a->peer) ^ ipaddr_to_v4(&b->peer)) & net_mask(a->prefix_len));
}

static void note_loopback(struct netstack *stk)
{
    bool has4 = false, has6 = false;
    for (u32 i = 0; i < stk->naddrs; i++) {
        const struct stk_addr *a = &stk->addrs[i];
        has4 |= a->ifindex == LO_IFINDEX && a->family == LX_AF_INET && a->addr.b[12] == 127;
        has6 |= a->family == LX_AF_INET6 && ipaddr_is_loopback(&a->addr);
    }
    stk->has_lo4 = has4;
    stk->has_lo6 = has6;
}

int stk_addr_insert(struct netstack *stk, struct stk_addr *a)
{
    int err = 0;
    rwlock_wrlock(&stk->cfg_lock);
    for (u32 i = 0; i < stk->naddrs && err == 0; i++) {
        const struct stk_addr *o = &stk->addrs[i];
        if (is_same_subnet(o, a) && !(o->flags & LX_IFA_F_SECONDARY))
            a->flags |= LX_IFA_F_SECONDARY;
        if (o->ifindex == a->ifindex && ipaddr_equal(&o->addr, &a->addr) &&
            (o->family == LX_AF_INET6 || is_same_subnet(o, a)))
            err = -LX_EEXIST;
    }
    if (err == 0 && stk->naddrs == STK_MAX_ADDRS)
        err = -LX_ENOBUFS;
    if (err == 0) {
        u32 at = place_of(stk, a);
        memmove(&stk->addrs[at + 1], &stk->addrs[at], (stk->naddrs - at) * sizeof(*a));
        stk->addrs[at] = *a;
        stk->naddrs++;
        note_loopback(stk);
        atomic_fetch_add(&stk->gen, 1);
    }
    rwlock_wrunlock(&stk->cfg_lock);
    return err;
}

int stk_addr_add(struct netstack *stk, const struct stk_addr *a)
{
    struct stk_addr n = *a;
    struct stk_iface *ifc = stk_iface(stk, a->ifindex);
    int err = ifc ? stk_addr_insert(stk, &n) : -LX_ENODEV;
    if (err < 0)
        return err;
    stk_tell_addr(stk, true, &n);
    if (stk_is_up(ifc)) {
        stk_addr_connect(stk, &n);
        stk_group_of_addr(ifc, &n.addr, GROUP_JOINED);
    }
    return 0;
}

static void remove_at(struct netstack *stk, u32 i)
{
    memmove(&stk->addrs[i], &stk->addrs[i + 1], (stk->naddrs - i - 1) * sizeof(stk->addrs[0]));
    stk->naddrs--;
    note_loopback(stk);
    atomic_fetch_add(&stk->gen, 1);
}

/* Takes out the first address that fits; false: none. */
static bool take(struct netstack *stk, bool (*fits)(const struct stk_addr *, const void *),
                 const void *arg, struct stk_addr *ret)
{
    bool is_found = false;
    rwlock_wrlock(&stk->cfg_lock);
    for (u32 i = 0; i < stk->naddrs && !is_found; i++) {
        if (!fits(&stk->addrs[i], arg))
            continue;
        *ret = stk->addrs[i];
        remove_at(stk, i);
        is_found = true;
    }
    rwlock_wrunlock(&stk->cfg_lock);
    return is_found;
}

static void gone(struct netstack *stk, const struct stk_addr *a)
{
    struct stk_iface *ifc = stk_iface(stk, a->ifindex);
    disconnect(stk, a);
    if (ifc)
        stk_group_of_addr(ifc, &a->addr, GROUP_LEFT);
    stk_tell_addr(stk, false, a);
}

static bool fits_asked(const struct stk_addr *a, const void *arg)
{
    const struct stk_addr *q = arg;
    return a->ifindex == q->ifindex && a->family == q->family && ipaddr_equal(&a->addr, &q->addr) &&
           (!q->prefix_len || a->prefix_len == q->prefix_len) &&
           (ipaddr_is_any(&q->peer) || ipaddr_equal(&a->peer, &q->peer));
}

static bool fits_secondary(const struct stk_addr *a, const void *arg)
{
    return a->flags & LX_IFA_F_SECONDARY && is_same_subnet(a, arg);
}

int stk_addr_del(struct netstack *stk, const struct stk_addr *a)
{
    struct stk_addr old, more;
    if (!take(stk, fits_asked, a, &old))
        return -LX_EADDRNOTAVAIL;
    if (old.family == LX_AF_INET && !(old.flags & LX_IFA_F_SECONDARY)) /* they go with it */
        while (take(stk, fits_secondary, &old, &more))
            gone(stk, &more);
    gone(stk, &old);
    return 0;
}

struct of_iface {
    s32 index;
    u8 family; /* 0: both */
};

static bool fits_iface(const struct stk_addr *a, const void *arg)
{
    const struct of_iface *q = arg;
    return a->ifindex == q->index && (!q->family || a->family == q->family);
}

void stk_addr_flush(struct netstack *stk, s32 ifindex, u8 family)
{
    struct of_iface q = {ifindex, family};
    struct stk_addr a;
    while (take(stk, fits_iface, &q, &a))
        gone(stk, &a);
}

bool stk_addr_first(struct netstack *stk, s32 ifindex, struct stk_addr *ret)
{
    bool is_found = false;
    rwlock_rdlock(&stk->cfg_lock);
    for (u32 i = 0; i < stk->naddrs && !is_found; i++) {
        is_found = stk->addrs[i].ifindex == ifindex && stk->addrs[i].family == LX_AF_INET;
        if (is_found)
            *ret = stk->addrs[i];
    }
    rwlock_rdunlock(&stk->cfg_lock);
    return is_found;
}

s32 stk_index_of_addr(struct netstack *stk, const ipaddr *a)
{
    s32 index = 0;
    rwlock_rdlock(&stk->cfg_lock);
    for (u32 i = 0; i < stk->naddrs && !index; i++)
        if (covers(&stk->addrs[i], a))
            index = stk->addrs[i].ifindex;
    rwlock_rdunlock(&stk->cfg_lock);
    return index;
}

ipaddr stk_link_local(struct stk_iface *ifc)
{
    struct netstack *stk = ifc->stk;
    ipaddr r = {0};
    rwlock_rdlock(&stk->cfg_lock);
    for (u32 i = 0; i < stk->naddrs && ipaddr_is_any(&r); i++)
        if (stk->addrs[i].ifindex == ifc->index && stk->addrs[i].family == LX_AF_INET6 &&
            ipaddr_is_link_local(&stk->addrs[i].addr))
            r = stk->addrs[i].addr;
    rwlock_rdunlock(&stk->cfg_lock);
    return r;
}

u32 stk_addrs(struct netstack *stk, u32 from, struct stk_addr *ret, u32 max)
{
    u32 n = 0;
    rwlock_rdlock(&stk->cfg_lock);
    while (n < max && from + n < stk->naddrs) {
        ret[n] = stk->addrs[from + n];
        n++;
    }
    rwlock_rdunlock(&stk->cfg_lock);
    return n;
}
