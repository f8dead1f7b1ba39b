/*
 * Interfaces, addresses and routes of the host's network namespace, as its kernel tells them: the
 * broker asks by netlink, read only (wire/netproto.h). The answers are data from outside: every
 * length is checked before it is followed.
 */
#include <stdlib.h>
#include <string.h>

#include "net/host/host.h"
#include "net/netlink/route.h"

#define ANSWER_FIRST 16384U

#define HDR sizeof(struct lx_nlmsghdr)

void host_answer_done(struct host_answer *a)
{
    if (!a->data)
        return;
    net_mem_uncharge(a->cap);
    free(a->data);
    *a = (struct host_answer){0};
}

int host_answer_add(struct host_answer *a, const void *data, u32 size)
{
    u64 cap = MAX(a->cap, ANSWER_FIRST);
    while (cap < (u64)a->size + size)
        cap *= 2;
    if (cap > HOST_ANSWER_MAX)
        return -LX_ENOBUFS;
    if (cap > a->cap) {
        if (!net_mem_charge(cap - a->cap))
            return -LX_ENOBUFS;
        u8 *p = realloc(a->data, cap);
        if (!p) {
            net_mem_uncharge(cap - a->cap);
            return -LX_ENOBUFS;
        }
        a->data = p;
        a->cap = (u32)cap;
    }
    memcpy(a->data + a->size, data, size);
    a->size += NL_ALIGN(size); /* what it lacks of that is within cap, which is a multiple */
    return 0;
}

const struct lx_nlmsghdr *host_answer_next(const struct host_answer *a, u64 *at)
{
    const struct lx_nlmsghdr *h = (const void *)(a->data + *at); /* 4-aligned: steps are */
    if (a->size < *at || a->size - *at < HDR || h->len < HDR || h->len > a->size - *at)
        return NULL;
    *at += NL_ALIGN(h->len);
    return h;
}

int host_answer_error(struct host_answer *a)
{
    u64 at = 0;
    const struct lx_nlmsghdr *h;
    for (u64 from = 0; (h = host_answer_next(a, &at)) != NULL; from = at) {
        s32 e = 0;
        if (h->type != LX_NLMSG_ERROR && h->type != LX_NLMSG_DONE)
            continue;
        if (h->len >= HDR + sizeof(e))
            memcpy(&e, (const u8 *)h + HDR, sizeof(e));
        a->size = (u32)from; /* nothing of a guest's concern follows */
        return e > 0 || e <= -4096 ? -LX_EIO : e;
    }
    return 0;
}

/* ---- interfaces ---------------------------------------------------------------------------- */

static int ask(struct hostnet *h, u16 type, u8 family, struct host_answer *ret)
{
    struct {
        struct lx_nlmsghdr h;
        struct lx_ifinfomsg ifi;
    } req = {{sizeof(req), type, LX_NLM_F_REQUEST | LX_NLM_F_DUMP, 0, 0}, {.family = family}};
    return hostnet_route(h, &req.h, false, ret);
}

static u32 attr_u32(const struct lx_nlmsghdr *h, u32 head, u16 type)
{
    u32 v = 0;
    const void *p = nl_find(h, head, type, sizeof(v), NULL);
    if (p)
        memcpy(&v, p, sizeof(v));
    return v;
}

static bool parse_link(const struct lx_nlmsghdr *h, struct netdev_info *d)
{
    const struct lx_ifinfomsg *ifi = nl_payload(h, sizeof(*ifi));
    const u32 head = sizeof(*ifi);
    u32 size = 0;
    const char *name = ifi ? nl_find(h, head, IFLA_IFNAME, 1, &size) : NULL;
    if (h->type != LX_RTM_NEWLINK || !name || ifi->index <= 0)
        return false;
    *d = (struct netdev_info){.index = ifi->index,
                              .flags = ifi->flags,
                              .type = ifi->type,
                              .mtu = attr_u32(h, head, IFLA_MTU),
                              .min_mtu = attr_u32(h, head, IFLA_MIN_MTU),
                              .max_mtu = attr_u32(h, head, IFLA_MAX_MTU),
                              .txqlen = attr_u32(h, head, LX_IFLA_TXQLEN),
                              .group = attr_u32(h, head, IFLA_GROUP),
                              .link_nsid = -1,
                              .master = (s32)attr_u32(h, head, IFLA_MASTER)};
    memcpy(d->name, name, MIN(size, (u32)sizeof(d->name) - 1));
    const void *mac = nl_find(h, head, IFLA_ADDRESS, sizeof(d->mac), NULL);
    if (mac)
        memcpy(d->mac, mac, sizeof(d->mac));
    u64 s[9]; /* struct rtnl_link_stats64, from its start */
    const void *stats = nl_find(h, head, IFLA_STATS64, sizeof(s), NULL);
    if (stats) {
        memcpy(s, stats, sizeof(s));
        d->rx_packets = s[0];
        d->tx_packets = s[1];
        d->rx_bytes = s[2];
        d->tx_bytes = s[3];
        d->rx_errors = s[4];
        d->rx_dropped = s[6];
        d->tx_dropped = s[7];
        d->rx_multicast = s[8];
    }
    return true;
}

/* The first IPv4 address of d's interface. */
static void find_addr(const struct host_answer *a, struct netdev_info *d)
{
    const struct lx_nlmsghdr *h;
    for (u64 at = 0; (h = host_answer_next(a, &at)) != NULL;) {
        const struct lx_ifaddrmsg *ifa = nl_payload(h, sizeof(*ifa));
        if (h->type != LX_RTM_NEWADDR || !ifa || ifa->index != (u32)d->index ||
            ifa->family != LX_AF_INET)
            continue;
        u32 bits = MIN((u32)ifa->prefixlen, 32U);
        d->addr = attr_u32(h, sizeof(*ifa), IFA_LOCAL);
        d->bcast = attr_u32(h, sizeof(*ifa), IFA_BROADCAST);
        d->mask = bits ? net32(~0U << (32 - bits)) : 0;
        return;
    }
}

bool hostnet_netdev(struct hostnet *h, s32 after, const char *name, struct netdev_info *ret)
{
    struct host_answer links = {0}, addrs = {0};
    const struct lx_nlmsghdr *m;
    struct netdev_info d;
    bool is_found = false;
    if (ask(h, LX_RTM_GETLINK, LX_AF_UNSPEC, &links) < 0)
        return false;
    for (u64 at = 0; (m = host_answer_next(&links, &at)) != NULL;) {
        if (!parse_link(m, &d) || (name ? strcmp(d.name, name) != 0 : d.index <= after) ||
            (is_found && d.index > ret->index))
            continue;
        *ret = d;
        is_found = true;
    }
    if (is_found && ask(h, LX_RTM_GETADDR, LX_AF_INET, &addrs) == 0)
        find_addr(&addrs, ret);
    host_answer_done(&links);
    host_answer_done(&addrs);
    return is_found;
}
