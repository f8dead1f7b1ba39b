/*
 * A stack as programs see it: interfaces by ioctl and netlink, and
 * /proc/net/{dev,arp,route,if_inet6,ipv6_route}.
 */
#include <stdarg.h>
#include <stdio.h>

#include "net/net_proc.h"
#include "net/netdev.h"
#include "net/stack/stack.h"

#define BATCH 16U

static struct stk_iface *next_iface(struct netstack *stk, s32 after)
{
    struct stk_iface *best = NULL;
    s32 best_index = INT32_MAX;
    for (u32 i = 0; i < stk->nifaces; i++) {
        s32 index = stk->ifaces[i]->index;
        if (index <= after || index > best_index)
            continue;
        best = stk->ifaces[i];
        best_index = index;
    }
    return best;
}

bool stk_netdev(struct netstack *stk, s32 after, struct netdev_info *ret)
{
    struct stk_addr a;
    rwlock_rdlock(&stk->cfg_lock);
    struct stk_iface *f = next_iface(stk, after);
    if (f) {
        *ret = (struct netdev_info){
            .index = f->index,
            .kind = f->kind,
            .flags = f->flags,
            .mtu = f->mtu,
            .type = (u16)f->type,
            .group = f->group,
            .txqlen = f->txqlen,
            .has_qdisc = f->has_qdisc,
            .rx_bytes = f->rx_bytes,
            .rx_packets = f->rx_packets,
            .rx_errors = f->rx_errors,
            .rx_dropped = f->rx_dropped,
            .rx_multicast = f->rx_multicast,
            .tx_bytes = f->tx_bytes,
            .tx_packets = f->tx_packets,
            .tx_dropped = f->tx_dropped,
        };
        memcpy(ret->name, f->name, sizeof(ret->name));
        stk_mac(f, ret->mac);
    }
    rwlock_rdunlock(&stk->cfg_lock);
    if (!f || !ret->index)
        return false;
    stk_dev_describe(f, ret);
    if (ret->flags & LX_IFF_UP && f->has_carrier)
        ret->flags |= LX_IFF_RUNNING | LX_IFF_LOWER_UP;
    else
        ret->flags &= ~(u32)(LX_IFF_RUNNING | LX_IFF_LOWER_UP);
    if (stk_addr_first(stk, ret->index, &a)) {
        ret->addr = ipaddr_to_v4(&a.addr);
        ret->mask = a.prefix_len ? net32(UINT32_MAX << (32 - a.prefix_len)) : 0;
        ret->bcast = a.bcast;
    }
    return true;
}

/* ---- /proc/net ----------------------------------------------------------------------------- */

static unsigned long long llu(u64 v)
{
    return v;
}

void stk_proc_dev(struct net_ns *ns, const struct net_proc_out *o, u64 *cursor)
{
    struct netdev_info d;
    o->puts(o->arg, "Inter-|   Receive                                                |  Transmit\n"
                    " face |bytes    packets errs drop fifo frame compressed multicast|bytes    "
                    "packets errs drop fifo colls carrier compressed\n");
    for (s32 at = 0; netdev_next(ns, at, &d); at = d.index)
        np_emit(
            o,
            "%6s: %7llu %7llu %4llu %4llu    0     0          0 %9llu %8llu %7llu    0 %4llu    0 "
            "    0       0          0\n",
            d.name, llu(d.rx_bytes), llu(d.rx_packets), llu(d.rx_errors), llu(d.rx_dropped),
            llu(d.rx_multicast), llu(d.tx_bytes), llu(d.tx_packets), llu(d.tx_dropped));
    *cursor = NET_PROC_END;
}

static void arp_line(const struct net_proc_out *o, const struct neigh_info *n, const char *dev)
{
    char addr[16];
    const u8 *b = n->addr.b, *m = n->mac;
    bool is_known = n->state & (NEIGH_REACHABLE | NEIGH_STALE | NEIGH_PROBE | NEIGH_PERMANENT);
    snprintf(addr, sizeof(addr), "%u.%u.%u.%u", b[12], b[13], b[14], b[15]);
    np_emit(o, "%-16s 0x1         0x%x         %02x:%02x:%02x:%02x:%02x:%02x     *        %s\n",
            addr,
            n->state == NEIGH_PERMANENT ? 6U
            : is_known                  ? 2U
                                        : 0U,
            m[0], m[1], m[2], m[3], m[4], m[5], dev);
}

void stk_proc_arp(struct net_ns *ns, const struct net_proc_out *o, u64 *cursor)
{
    struct neigh_info n[BATCH];
    u32 from = (u32)*cursor, got = 0;
    if (!from)
        o->puts(o->arg,
                "IP address       HW type     Flags       HW address            Mask     Device\n");
    while ((got = neigh_list(ns->stack, from, n, BATCH)) && !o->is_full(o->arg)) {
        for (u32 i = 0; i < got; i++) {
            struct stk_iface *f = stk_iface(ns->stack, n[i].ifindex);
            if (ipaddr_is_v4(&n[i].addr) && f)
                arp_line(o, &n[i], f->name);
        }
        from += got;
    }
    *cursor = got ? from : NET_PROC_END;
}

#define RTF_UP      1U
#define RTF_GATEWAY 2U
#define RTF_HOST    4U
#define RTF_REJECT  0x200U

static u32 route_flags(const struct stk_route *r)
{
    bool is_host = r->dst_len == (r->family == LX_AF_INET ? 32 : 128);
    return RTF_UP | (r->has_gateway ? RTF_GATEWAY : 0) | (is_host ? RTF_HOST : 0) |
           (r->type != 1 ? RTF_REJECT : 0);
}

typedef void (*route_line_fn)(const struct net_proc_out *, const struct stk_route *, const char *);

/* Routes of a family from *cursor on, a line each. */
static void routes(struct net_ns *ns, const struct net_proc_out *o, u64 *cursor, u8 family,
                   route_line_fn line)
{
    struct stk_route r[BATCH];
    u32 from = (u32)*cursor, got = 0;
    while ((got = stk_routes(ns->stack, from, r, BATCH)) && !o->is_full(o->arg)) {
        for (u32 i = 0; i < got; i++) {
            struct stk_iface *f = stk_iface(ns->stack, r[i].oif);
            if (r[i].family == family)
                line(o, &r[i], f ? f->name : "*");
        }
        from += got;
    }
    *cursor = got ? from : NET_PROC_END;
}

static void route_line(const struct net_proc_out *o, const struct stk_route *r, const char *dev)
{
    char line[160];
    u32 mask = r->dst_len ? net32(UINT32_MAX << (32 - r->dst_len)) : 0;
    snprintf(line, sizeof(line), "%s\t%08X\t%08X\t%04X\t0\t0\t%u\t%08X\t%u\t0\t0", dev,
             ipaddr_to_v4(&r->dst), r->has_gateway ? ipaddr_to_v4(&r->gateway) : 0, route_flags(r),
             r->metric, mask, r->mtu);
    np_emit(o, "%-127s\n", line);
}

void stk_proc_route(struct net_ns *ns, const struct net_proc_out *o, u64 *cursor)
{
    routes(ns, o, cursor, LX_AF_INET, route_line);
}

static void hex6(char out[33], const ipaddr *a)
{
    for (u32 i = 0; i < 16; i++)
        snprintf(out + 2 * i, 3, "%02x", a->b[i]);
}

static void route6_line(const struct net_proc_out *o, const struct stk_route *r, const char *dev)
{
    char dst[33], gw[33];
    ipaddr none = {0};
    hex6(dst, &r->dst);
    hex6(gw, r->has_gateway ? &r->gateway : &none);
    np_emit(o, "%s %02x 00000000000000000000000000000000 00 %s %08x 00000001 00000000 %08x %8s\n",
            dst, r->dst_len, gw, r->metric, route_flags(r), dev);
}

void stk_proc_ipv6_route(struct net_ns *ns, const struct net_proc_out *o, u64 *cursor)
{
    routes(ns, o, cursor, LX_AF_INET6, route6_line);
}

void stk_proc_if_inet6(struct net_ns *ns, const struct net_proc_out *o, u64 *cursor)
{
    struct stk_addr a[BATCH];
    u32 from = 0, got;
    while ((got = stk_addrs(ns->stack, from, a, BATCH))) {
        for (u32 i = 0; i < got; i++) {
            struct stk_iface *f = stk_iface(ns->stack, a[i].ifindex);
            char text[33];
            if (a[i].family != LX_AF_INET6 || !f)
                continue;
            hex6(text, &a[i].addr);
            np_emit(o, "%s %02x %02x %02x %02x %8s\n", text, (u32)f->index, a[i].prefix_len,
                    a[i].scope == 254   ? 0x10U
                    : a[i].scope == 253 ? 0x20U
                                        : 0U,
                    a[i].flags & 0xff, f->name);
        }
        from += got;
    }
    *cursor = NET_PROC_END;
}
