/* NETLINK_ROUTE: its messages, and what the listeners of its groups are told. */
#include <stdlib.h>
#include <string.h>

#include "net/netdev.h"
#include "net/netlink/route.h"

#define OPER_UNKNOWN        0
#define OPER_DOWN           2
#define OPER_LOWERLAYERDOWN 3
#define OPER_UP             6
#define IFAPROT_KERNEL_LO   1
#define IFAPROT_KERNEL_LL   3

/* ---- links --------------------------------------------------------------------------------- */

static u8 oper_state(const struct netdev_info *d)
{
    if (!(d->flags & LX_IFF_UP))
        return OPER_DOWN;
    if (!(d->flags & LX_IFF_LOWER_UP))
        return d->is_stacked ? OPER_LOWERLAYERDOWN : OPER_DOWN;
    return d->has_operstate ? OPER_UP : OPER_UNKNOWN;
}

static void put_kind(struct nlbuf *b, const struct netdev_info *d)
{
    if (!d->kind_name && !d->master)
        return;
    u32 nest = nl_nest(b, IFLA_LINKINFO);
    if (d->kind_name)
        nl_attr_str(b, IFLA_INFO_KIND, d->kind_name);
    if (d->master)
        nl_attr_str(b, IFLA_INFO_SLAVE_KIND, "bridge");
    nl_nest_end(b, nest);
}

bool rt_put_link(struct nlbuf *b, u16 type, const struct netdev_info *d, u32 change)
{
    static const u8 all[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, none[6] = {0};
    bool is_lo = d->type == LX_ARPHRD_LOOPBACK, has_mac = d->type != LX_ARPHRD_NONE;
    u64 s64v[24] = {d->rx_packets, d->tx_packets, d->rx_bytes,    d->tx_bytes, d->rx_errors, 0,
                    d->rx_dropped, d->tx_dropped, d->rx_multicast};
    u32 s32v[24];
    for (u32 i = 0; i < 24; i++)
        s32v[i] = (u32)s64v[i];
    struct lx_ifinfomsg *ifi = nl_begin(b, type, 0, sizeof(*ifi));
    if (!ifi)
        return false;
    *ifi = (struct lx_ifinfomsg){
        .type = d->type, .index = d->index, .flags = d->flags, .change = change};
    nl_attr_str(b, IFLA_IFNAME, d->name);
    nl_attr_u32(b, LX_IFLA_TXQLEN, d->txqlen);
    nl_attr_u8(b, IFLA_OPERSTATE, oper_state(d));
    nl_attr_u8(b, IFLA_LINKMODE, 0);
    nl_attr_u32(b, IFLA_MTU, d->mtu);
    nl_attr_u32(b, IFLA_MIN_MTU, d->min_mtu);
    nl_attr_u32(b, IFLA_MAX_MTU, d->max_mtu);
    nl_attr_u32(b, IFLA_GROUP, d->group);
    nl_attr_u32(b, LX_IFLA_PROMISCUITY, 0);
    nl_attr_u32(b, IFLA_NUM_TX_QUEUES, 1);
    nl_attr_u32(b, IFLA_GSO_MAX_SEGS, 65535);
    nl_attr_u32(b, IFLA_GSO_MAX_SIZE, 65536);
    nl_attr_u32(b, IFLA_NUM_RX_QUEUES, 1);
    if (d->link)
        nl_attr_u32(b, IFLA_LINK, (u32)d->link);
    if (d->master)
        nl_attr_u32(b, IFLA_MASTER, (u32)d->master);
    nl_attr_u8(b, IFLA_CARRIER, (d->flags & LX_IFF_LOWER_UP) != 0);
    nl_attr_str(b, IFLA_QDISC, d->has_qdisc ? "noqueue" : "noop");
    nl_attr_u32(b, IFLA_CARRIER_CHANGES, 0);
    if (has_mac) {
        nl_attr(b, IFLA_ADDRESS, d->mac, sizeof(d->mac));
        nl_attr(b, IFLA_BROADCAST, is_lo ? none : all, sizeof(all));
    }
    nl_attr(b, IFLA_STATS64, s64v, sizeof(s64v));
    nl_attr(b, IFLA_STATS, s32v, sizeof(s32v));
    put_kind(b, d);
    if (d->link_nsid >= 0)
        nl_attr_u32(b, IFLA_LINK_NETNSID, (u32)d->link_nsid);
    return nl_end(b);
}

bool rt_put_port(struct nlbuf *b, const struct netdev_info *d)
{
    bool is_on = d->flags & LX_IFF_LOWER_UP;
    struct lx_ifinfomsg *ifi = nl_begin(b, LX_RTM_NEWLINK, 0, sizeof(*ifi));
    if (!ifi)
        return false;
    *ifi = (struct lx_ifinfomsg){
        .family = LX_PF_BRIDGE, .type = d->type, .index = d->index, .flags = d->flags};
    nl_attr_str(b, IFLA_IFNAME, d->name);
    nl_attr_u32(b, IFLA_MTU, d->mtu);
    nl_attr_u8(b, IFLA_OPERSTATE, oper_state(d));
    nl_attr_u32(b, IFLA_MASTER, (u32)d->master);
    nl_attr(b, IFLA_ADDRESS, d->mac, sizeof(d->mac));
    if (d->link)
        nl_attr_u32(b, IFLA_LINK, (u32)d->link);
    u32 nest = nl_nest(b, LX_IFLA_PROTINFO | 0x8000);
    nl_attr_u8(b, IFLA_BRPORT_STATE, is_on ? 3 : 0);
    nl_attr_u16(b, IFLA_BRPORT_PRIORITY, 32);
    nl_attr_u32(b, IFLA_BRPORT_COST, 2);
    nl_attr_u8(b, IFLA_BRPORT_MODE, d->is_hairpin);
    nl_nest_end(b, nest);
    return nl_end(b);
}

/* ---- addresses ----------------------------------------------------------------------------- */

void rt_attr_addr(struct nlbuf *b, u16 type, const ipaddr *a, u8 family)
{
    if (family == LX_AF_INET)
        nl_attr(b, type, a->b + 12, 4);
    else
        nl_attr(b, type, a->b, 16);
}

bool rt_put_addr(struct nlbuf *b, u16 type, struct netstack *stk, const struct stk_addr *a)
{
    u32 forever[4] = {UINT32_MAX, UINT32_MAX, 0, 0};
    bool is_v4 = a->family == LX_AF_INET, has_peer = !ipaddr_equal(&a->addr, &a->peer);
    char name[LX_IFNAMSIZ] = "";
    struct lx_ifaddrmsg *ifa = nl_begin(b, type, 0, sizeof(*ifa));
    if (!ifa)
        return false;
    *ifa = (struct lx_ifaddrmsg){.family = a->family,
                                 .prefixlen = a->prefix_len,
                                 .flags = (u8)a->flags,
                                 .scope = a->scope,
                                 .index = (u32)a->ifindex};
    if (is_v4 || has_peer)
        rt_attr_addr(b, IFA_LOCAL, &a->addr, a->family);
    rt_attr_addr(b, IFA_ADDRESS, &a->peer, a->family);
    if (is_v4) {
        if (a->bcast)
            nl_attr(b, IFA_BROADCAST, &a->bcast, 4);
        if (a->label[0])
            nl_attr_str(b, IFA_LABEL, a->label);
        else if (netdev_name(stk->ns, a->ifindex, name))
            nl_attr_str(b, IFA_LABEL, name);
    }
    nl_attr_u32(b, IFA_FLAGS, a->flags);
    nl_attr(b, IFA_CACHEINFO, forever, sizeof(forever));
    if (!is_v4 && a->ifindex == LO_IFINDEX && ipaddr_is_loopback(&a->addr))
        nl_attr_u8(b, IFA_PROTO, IFAPROT_KERNEL_LO);
    return nl_end(b);
}

/* ---- routes -------------------------------------------------------------------------------- */

bool rt_put_route(struct nlbuf *b, u16 type, struct netstack *stk, const struct stk_route *r)
{
    u32 cache[8] = {0};
    bool is_v4 = r->family == LX_AF_INET;
    struct netdev_info d;
    struct lx_rtmsg *rtm = nl_begin(b, type, 0, sizeof(*rtm));
    if (!rtm)
        return false;
    *rtm = (struct lx_rtmsg){.family = r->family,
                             .dst_len = r->dst_len,
                             .table = r->table > 255 ? 252 : (u8)r->table,
                             .protocol = r->protocol,
                             .scope = r->scope,
                             .type = r->type,
                             .tos = r->tos};
    if (r->is_onlink)
        rtm->flags |= LX_RTNH_F_ONLINK;
    if (r->oif && r->type != RTN_LOCAL && netdev_get(stk->ns, r->oif, &d) && d.flags & LX_IFF_UP &&
        !(d.flags & LX_IFF_LOWER_UP))
        rtm->flags |= LX_RTNH_F_LINKDOWN;
    nl_attr_u32(b, RTA_TABLE, r->table);
    if (r->dst_len)
        rt_attr_addr(b, RTA_DST, &r->dst, r->family);
    if (r->metric || !is_v4)
        nl_attr_u32(b, RTA_PRIORITY, r->metric);
    if (r->mtu) {
        u32 nest = nl_nest(b, RTA_METRICS);
        nl_attr_u32(b, RTAX_MTU, r->mtu);
        nl_nest_end(b, nest);
    }
    if (r->has_gateway)
        rt_attr_addr(b, RTA_GATEWAY, &r->gateway, r->family);
    if (!ipaddr_is_any(&r->prefsrc))
        rt_attr_addr(b, RTA_PREFSRC, &r->prefsrc, r->family);
    if (r->oif || !is_v4)
        nl_attr_u32(b, RTA_OIF, r->oif ? (u32)r->oif : LO_IFINDEX);
    if (!is_v4) {
        nl_attr(b, RTA_CACHEINFO, cache, sizeof(cache));
        nl_attr_u8(b, RTA_PREF, 0);
    }
    return nl_end(b);
}

struct route_list {
    struct stk_route *all;
    u32 count, cap;
};

static bool push(struct route_list *l, const struct stk_route *r)
{
    if (l->count == l->cap) {
        u32 cap = l->cap ? l->cap * 2 : 64;
        struct stk_route *all = realloc(l->all, cap * sizeof(*all));
        if (!all)
            return false;
        l->all = all;
        l->cap = cap;
    }
    l->all[l->count++] = *r;
    return true;
}

static ipaddr masked(const ipaddr *a, u32 bits)
{
    ipaddr m = *a;
    for (u32 i = 0; i < 16; i++) {
        u32 keep = bits > i * 8 ? MIN(bits - i * 8, 8U) : 0;
        m.b[i] &= (u8)(0xff00U >> keep);
    }
    return m;
}

/* The first of an address's subnet. */
static ipaddr primary_of(struct netstack *stk, const struct stk_addr *a)
{
    struct stk_addr o;
    for (u32 i = 0; a->flags & LX_IFA_F_SECONDARY && stk_addrs(stk, i, &o, 1); i++)
        if (o.ifindex == a->ifindex && o.family == a->family && o.prefix_len == a->prefix_len &&
            !(o.flags & LX_IFA_F_SECONDARY) &&
            stk_prefix_match(&a->peer, &o.peer, o.family, o.prefix_len))
            return o.addr;
    return a->addr;
}

/* The local table's entries for an address. */
static bool push_local(struct route_list *l, struct netstack *stk, const struct stk_addr *a)
{
    bool is_v4 = a->family == LX_AF_INET;
    struct stk_iface *ifc = stk_iface(stk, a->ifindex);
    struct stk_route r = {.dst = a->addr,
                          .dst_len = is_v4 ? 32 : 128,
                          .oif = a->ifindex,
                          .family = a->family,
                          .table = TABLE_LOCAL,
                          .protocol = RTPROT_KERNEL,
                          .scope = is_v4 ? SCOPE_HOST : SCOPE_UNIVERSE,
                          .type = RTN_LOCAL};
    if (is_v4)
        r.prefsrc = primary_of(stk, a);
    if (!push(l, &r))
        return false;
    if (!is_v4 || a->prefix_len >= 31)
        return true;
    if (a->ifindex == LO_IFINDEX) {
        r.dst = masked(&a->addr, 96U + a->prefix_len);
        r.dst_len = a->prefix_len;
        if (!push(l, &r))
            return false;
    }
    if (!ifc || !stk_is_up(ifc) || a->flags & LX_IFA_F_SECONDARY)
        return true;
    u32 mask = a->prefix_len ? net32(UINT32_MAX << (32 - a->prefix_len)) : 0;
    r.dst = ipaddr_v4(ipaddr_to_v4(&a->peer) | ~mask);
    r.dst_len = 32;
    r.scope = SCOPE_LINK;
    r.type = RTN_BROADCAST;
    return push(l, &r);
}

static bool push_groups(struct route_list *l, struct netstack *stk)
{
    struct stk_route r = {.dst = {.b = {0xff}},
                          .dst_len = 8,
                          .family = LX_AF_INET6,
                          .table = TABLE_LOCAL,
                          .protocol = RTPROT_KERNEL,
                          .type = RTN_MULTICAST,
                          .metric = 256};
    for (u32 i = 1; i < stk->nifaces; i++) {
        r.oif = stk->ifaces[i]->index;
        if (r.oif && stk->ifaces[i]->has_groups && !push(l, &r))
            return false;
    }
    return true;
}

/* IPv4 first; tables by number; destinations ascending, of one the longest first. */
static int compare(const void *x, const void *y)
{
    const struct stk_route *a = x, *b = y;
    if (a->family != b->family)
        return a->family < b->family ? -1 : 1;
    if (a->table != b->table)
        return a->table < b->table ? -1 : 1;
    int r = memcmp(a->dst.b, b->dst.b, 16);
    if (r)
        return r;
    if (a->dst_len != b->dst_len)
        return a->dst_len > b->dst_len ? -1 : 1;
    if (a->metric != b->metric)
        return a->metric < b->metric ? -1 : 1;
    if (a->seq != b->seq)
        return a->seq < b->seq ? -1 : 1;
    return a->oif < b->oif ? -1 : a->oif > b->oif;
}

int rt_all_routes(struct netstack *stk, u8 family, u32 table, struct stk_route **ret,
                  u32 *ret_count)
{
    struct route_list l = {0};
    struct stk_route r;
    struct stk_addr a;
    bool has_v6 = !net_sysctl(stk->ns, NSYS_IPV6_DISABLED), is_ok = true;
    for (u32 i = 0; is_ok && stk_routes(stk, i, &r, 1); i++)
        if ((!family || r.family == family) && (!table || r.table == table))
            is_ok = push(&l, &r);
    for (u32 i = 0; is_ok && (!table || table == TABLE_LOCAL) && stk_addrs(stk, i, &a, 1); i++)
        if ((!family || a.family == family) && (a.family == LX_AF_INET || has_v6))
            is_ok = push_local(&l, stk, &a);
    if (is_ok && family != LX_AF_INET && (!table || table == TABLE_LOCAL) && has_v6)
        is_ok = push_groups(&l, stk);
    if (!is_ok) {
        free(l.all);
        return -LX_ENOMEM;
    }
    if (l.count)
        qsort(l.all, l.count, sizeof(*l.all), compare);
    *ret = l.all;
    *ret_count = l.count;
    return 0;
}

/* ---- neighbours ---------------------------------------------------------------------------- */

bool rt_put_neigh(struct nlbuf *b, u16 type, const struct neigh_info *n)
{
    u8 f = ipaddr_is_v4(&n->addr) ? LX_AF_INET : LX_AF_INET6;
    u32 cache[4] = {0};
    struct lx_ndmsg *nd = nl_begin(b, type, 0, sizeof(*nd));
    if (!nd)
        return false;
    *nd = (struct lx_ndmsg){
        .family = f, .ifindex = n->ifindex, .state = n->state, .type = RTN_UNICAST};
    rt_attr_addr(b, NDA_DST, &n->addr, f);
    if (!(n->state & (NEIGH_INCOMPLETE | NEIGH_FAILED)))
        nl_attr(b, NDA_LLADDR, n->mac, sizeof(n->mac));
    nl_attr(b, NDA_CACHEINFO, cache, sizeof(cache));
    return nl_end(b);
}

/* ---- telling ------------------------------------------------------------------------------- */

static bool open_note(struct net_ns *ns, u32 group, struct nlbuf *b)
{
    if (!nl_has_listener(ns, LX_NETLINK_ROUTE, group))
        return false;
    *b = (struct nlbuf){.cap = NL_BUF_SIZE, .data = malloc(NL_BUF_SIZE)};
    nl_asker(&b->pid, &b->seq);
    return b->data;
}

static void send_note(struct net_ns *ns, u32 group, struct nlbuf *b)
{
    if (b->size)
        nl_broadcast(ns, LX_NETLINK_ROUTE, group, NULL, 0, b->data, b->size);
    free(b->data);
}

void stk_tell_link(struct stk_iface *ifc, bool is_new, u32 change)
{
    struct net_ns *ns = ifc->stk->ns;
    struct netdev_info d;
    struct nlbuf b;
    if (!open_note(ns, LX_RTNLGRP_LINK, &b))
        return;
    b.pid = b.seq = 0; /* as Linux, whoever asked */
    if (netdev_get(ns, ifc->index, &d))
        (void)rt_put_link(&b, is_new ? LX_RTM_NEWLINK : LX_RTM_DELLINK, &d, change);
    send_note(ns, LX_RTNLGRP_LINK, &b);
}

void stk_tell_addr(struct netstack *stk, bool is_new, const struct stk_addr *a)
{
    u32 group = a->family == LX_AF_INET ? LX_RTNLGRP_IPV4_IFADDR : LX_RTNLGRP_IPV6_IFADDR;
    struct nlbuf b;
    if (!open_note(stk->ns, group, &b))
        return;
    (void)rt_put_addr(&b, is_new ? LX_RTM_NEWADDR : LX_RTM_DELADDR, stk, a);
    send_note(stk->ns, group, &b);
}

void stk_tell_route(struct netstack *stk, bool is_new, const struct stk_route *r)
{
    u32 group = r->family == LX_AF_INET ? LX_RTNLGRP_IPV4_ROUTE : LX_RTNLGRP_IPV6_ROUTE;
    struct nlbuf b;
    if (!open_note(stk->ns, group, &b))
        return;
    (void)rt_put_route(&b, is_new ? LX_RTM_NEWROUTE : LX_RTM_DELROUTE, stk, r);
    send_note(stk->ns, group, &b);
}

void stk_tell_neigh(struct netstack *stk, bool is_new, const struct neigh_info *n)
{
    struct nlbuf b;
    if (!open_note(stk->ns, LX_RTNLGRP_NEIGH, &b))
        return;
    (void)rt_put_neigh(&b, is_new ? LX_RTM_NEWNEIGH : LX_RTM_DELNEIGH, n);
    send_note(stk->ns, LX_RTNLGRP_NEIGH, &b);
}
