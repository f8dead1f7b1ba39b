/*
 * Multicast groups that sockets have joined. A namespace counts who joined what on which interface;
 * what the first join and the last leave change is told to the routers of the link (stack/group.c),
 * at once and a second time up to a second later (RFC 3376 5.1, RFC 3810 6.1: the robustness
 * variable is 2), and again when a router asks.
 *
 * A group that nobody is in any more stays in the list until its second report is sent.
 */
#include <stdlib.h>

#include "net/inet/inet.h"
#include "net/netdev.h"
#include "net/stack/stack.h"

#define BATCH 16

struct mc_group {
    struct list node;
    ipaddr group;
    s32 ifindex;
    u32 count;     /* sockets; 0: it was left */
    s64 repeat_ns; /* when the change is reported again, 0: it was */
    s64 answer_ns; /* when a router is answered, 0: none asked */
};

bool inet_is_member(struct inet_sock *i, const ipaddr *group)
{
    MUTEX_GUARD(&i->sk.lock);
    for (u32 n = 0; n < i->nmembers; n++) {
        if (ipaddr_equal(&i->members[n].group, group))
            return true;
    }
    return false;
}

static bool is_member_by(struct inet_sock *i, const ipaddr *group, s32 ifindex)
{
    MUTEX_GUARD(&i->sk.lock);
    for (u32 n = 0; n < i->nmembers; n++) {
        if (ipaddr_equal(&i->members[n].group, group) && i->members[n].ifindex == ifindex)
            return true;
    }
    return false;
}

/* REQUIRES mc_lock. ifindex 0: of any interface, with somebody in it. */
static struct mc_group *find_group(struct inet_ns *n, const ipaddr *group, s32 ifindex)
{
    struct mc_group *g;
    list_for_each (g, &n->groups, node) {
        if (ipaddr_equal(&g->group, group) && (ifindex ? g->ifindex == ifindex : g->count > 0))
            return g;
    }
    return NULL;
}

bool inet_is_joined(struct net_ns *ns, const ipaddr *group)
{
    static const ipaddr all6 = {.b = {0xff, 2, [15] = 1}};
    ipaddr all4 = ipaddr_v4(net32(0xe0000001));
    if (ipaddr_equal(group, &all4) || ipaddr_equal(group, &all6))
        return true;
    MUTEX_GUARD(&ns->inet_ns->mc_lock);
    return find_group(ns->inet_ns, group, 0);
}

s32 inet_group_ifindex(struct net_ns *ns, const ipaddr *group)
{
    struct stk_path path;
    ipaddr src = ipaddr_is_v4(group) ? ipaddr_v4(0) : (ipaddr){0};
    int r = stk_route(ns->stack, group, 0, &src, &path);
    return r < 0 ? -LX_ENODEV : path.ifc->index;
}

/* ---- reports -------------------------------------------------------------------------------- */

static s64 soon(s64 within_ns)
{
    return clock_mono_ns() + (s64)(net_random() % (u32)(within_ns / NSEC_PER_USEC)) * NSEC_PER_USEC;
}

static void report(struct net_ns *ns, s32 ifindex, const ipaddr *group, enum group_change change)
{
    struct stk_iface *ifc = stk_iface(ns->stack, ifindex);
    if (ifc)
        stk_group_report(ifc, group, change);
}

static int count_group(struct net_ns *ns, const ipaddr *group, s32 ifindex)
{
    struct inet_ns *n = ns->inet_ns;
    bool is_first = false;
    mutex_lock(&n->mc_lock);
    struct mc_group *g = find_group(n, group, ifindex);
    if (!g && (g = calloc(1, sizeof(*g)))) {
        g->group = *group;
        g->ifindex = ifindex;
        list_add_tail(&n->groups, &g->node);
    }
    if (g && (is_first = g->count++ == 0) && ifindex != LO_IFINDEX)
        g->repeat_ns = soon(NSEC_PER_SEC);
    mutex_unlock(&n->mc_lock);
    if (!g)
        return -LX_ENOBUFS;
    if (is_first && ifindex != LO_IFINDEX) {
        report(ns, ifindex, group, GROUP_JOINED);
        stk_need_tick(ns->stack);
    }
    return 0;
}

static void uncount_group(struct net_ns *ns, const ipaddr *group, s32 ifindex)
{
    struct inet_ns *n = ns->inet_ns;
    bool is_last = false;
    mutex_lock(&n->mc_lock);
    struct mc_group *g = find_group(n, group, ifindex);
    if (g && g->count && (is_last = --g->count == 0)) {
        g->answer_ns = 0;
        g->repeat_ns = soon(NSEC_PER_SEC);
        if (ifindex == LO_IFINDEX) {
            list_del(&g->node);
            free(g);
        }
    }
    mutex_unlock(&n->mc_lock);
    if (is_last && ifindex != LO_IFINDEX) {
        report(ns, ifindex, group, GROUP_LEFT);
        stk_need_tick(ns->stack);
    }
}

void inet_groups_asked(struct stk_iface *ifc, const ipaddr *group, bool is_v6, s64 within_ns)
{
    struct inet_ns *n = ifc->stk->ns->inet_ns;
    struct mc_group *g;
    mutex_lock(&n->mc_lock);
    list_for_each (g, &n->groups, node) {
        bool is_asked = group ? ipaddr_equal(&g->group, group) : ipaddr_is_v4(&g->group) != is_v6;
        if (!is_asked || !g->count || g->ifindex != ifc->index)
            continue;
        s64 at = soon(within_ns);
        g->answer_ns = g->answer_ns ? MIN(g->answer_ns, at) : at;
    }
    mutex_unlock(&n->mc_lock);
    stk_need_tick(ifc->stk);
}

struct due {
    ipaddr group;
    s32 ifindex;
    enum group_change change;
};

/* Takes what is due out of the list; *ret_is_left: some is due later. */
static u32 take_due(struct inet_ns *n, s64 now, struct due *ret, bool *ret_is_left)
{
    struct mc_group *g, *tmp;
    u32 count = 0;
    *ret_is_left = false;
    MUTEX_GUARD(&n->mc_lock);
    list_for_each_safe (g, tmp, &n->groups, node) {
        bool is_repeat = g->repeat_ns && g->repeat_ns <= now;
        if ((is_repeat || (g->answer_ns && g->answer_ns <= now)) && count < BATCH) {
            enum group_change c = !is_repeat ? GROUP_THERE : g->count ? GROUP_JOINED : GROUP_LEFT;
            ret[count++] = (struct due){g->group, g->ifindex, c};
            if (is_repeat)
                g->repeat_ns = 0;
            g->answer_ns = 0;
        }
        *ret_is_left |= g->repeat_ns || g->answer_ns;
        if (!g->count && !g->repeat_ns) {
            list_del(&g->node);
            free(g);
        }
    }
    return count;
}

bool inet_groups_tick(struct net_ns *ns, s64 now)
{
    struct due due[BATCH];
    bool is_left;
    u32 count = take_due(ns->inet_ns, now, due, &is_left);
    for (u32 i = 0; i < count; i++)
        report(ns, due[i].ifindex, &due[i].group, due[i].change);
    return is_left;
}

void inet_groups_free(struct inet_ns *n)
{
    struct mc_group *g;
    while ((g = list_first(&n->groups, struct mc_group, node))) {
        list_del(&g->node);
        free(g);
    }
}

/* ---- sockets -------------------------------------------------------------------------------- */

void inet_leave_all(struct inet_sock *i)
{
    while (i->nmembers) {
        struct mc_member m = i->members[--i->nmembers];
        uncount_group(i->sk.ns, &m.group, m.ifindex);
    }
}

int inet_join(struct inet_sock *i, const ipaddr *group, s32 ifindex)
{
    struct net_ns *ns = i->sk.ns;
    if (!ipaddr_is_multicast(group))
        return -LX_EINVAL;
    if (!ifindex)
        ifindex = inet_group_ifindex(ns, group);
    if (ifindex < 0 || !netdev_exists(ns, ifindex))
        return -LX_ENODEV;
    if (is_member_by(i, group, ifindex))
        return -LX_EADDRINUSE;
    int r = count_group(ns, group, ifindex);
    if (r < 0)
        return r;
    mutex_lock(&i->sk.lock);
    bool has_room = i->nmembers < MC_MAX;
    if (has_room)
        i->members[i->nmembers++] = (struct mc_member){*group, ifindex};
    mutex_unlock(&i->sk.lock);
    if (has_room)
        return 0;
    uncount_group(ns, group, ifindex);
    return -LX_ENOBUFS;
}

int inet_leave(struct inet_sock *i, const ipaddr *group, s32 ifindex)
{
    struct mc_member found = {.ifindex = 0};
    mutex_lock(&i->sk.lock);
    for (u32 n = 0; n < i->nmembers && !found.ifindex; n++) {
        if (ipaddr_equal(&i->members[n].group, group) &&
            (!ifindex || i->members[n].ifindex == ifindex)) {
            found = i->members[n];
            i->members[n] = i->members[--i->nmembers];
        }
    }
    mutex_unlock(&i->sk.lock);
    if (!found.ifindex)
        return -LX_EADDRNOTAVAIL;
    uncount_group(i->sk.ns, group, found.ifindex);
    return 0;
}
