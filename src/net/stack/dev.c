/*
 * Interfaces of a stack: slots, kinds, and what happens when one goes up, down, away or elsewhere.
 *
 * dev_lock is the one lock of configuration, as Linux's rtnl: it is held over every change of an
 * interface, an address or a route that a program asks for, and is taken before all locks of
 * stacks. No guest memory is touched and no namespace's last reference is dropped under it.
 */
#include <stdio.h>
#include <stdlib.h>

#include "net/netdev.h"
#include "net/stack/frame.h"
#include "net/tun.h"

#define NET_DEVS_MAX 1024U /* of the sandbox, loopbacks and links of the host aside */
#define CHANGEABLE   (LX_IFF_UP | LX_IFF_PROMISC | LX_IFF_ALLMULTI | LX_IFF_NOARP | LX_IFF_DEBUG)

struct mutex dev_lock = MUTEX_INIT("net_dev");

static u32 ndevs; /* guarded by dev_lock */

#define ETHER (LX_IFF_BROADCAST | LX_IFF_MULTICAST)

struct kind_info {
    const char *name, *prefix; /* of IFLA_INFO_KIND; of names that nobody chose */
    u32 flags, mtu, min_mtu, max_mtu, txqlen;
    bool can_make; /* by netlink */
    bool can_remove, has_operstate, is_stacked;
};
static const struct kind_info kinds[] = {
    [DEV_LOOPBACK] = {NULL, "lo", LX_IFF_LOOPBACK, LO_MTU, 0, 0, 1000, 0, 0, 0, 0},
    [DEV_LINK] = {NULL, "eth", ETHER, 1500, 68, 65535, 1000, 0, 0, 1, 0},
    [DEV_DUMMY] = {"dummy", "dummy", LX_IFF_BROADCAST | LX_IFF_NOARP, 1500, 0, 0, 1000, 1, 1, 0, 0},
    [DEV_VETH] = {"veth", "veth", ETHER, 1500, 68, 65535, 1000, 1, 1, 1, 1},
    [DEV_BRIDGE] = {"bridge", "bridge", ETHER, 1500, 68, 65535, 1000, 1, 1, 1, 0},
    [DEV_TUN] = {"tun", "tun", LX_IFF_POINTOPOINT | LX_IFF_MULTICAST | LX_IFF_NOARP, 1500, 68,
                 65535, 500, 0, 1, 0, 0},
    [DEV_TAP] = {"tun", "tap", ETHER, 1500, 68, 65535, 1000, 0, 1, 0, 0},
};

/* ---- slots --------------------------------------------------------------------------------- */

static struct stk_iface *free_slot(struct netstack *stk)
{
    for (u32 i = 1; i < stk->nifaces; i++)
        if (stk->ifaces[i]->kind == DEV_NONE)
            return stk->ifaces[i];
    if (stk->nifaces == STK_MAX_IFACES)
        return NULL;
    struct stk_iface *ifc = calloc(1, sizeof(*ifc));
    if (!ifc)
        return NULL;
    ifc->stk = stk;
    ifc->fd = -1;
    list_init(&ifc->rxq);
    list_init(&ifc->pending_node);
    stk->ifaces[stk->nifaces] = ifc;
    atomic_fetch_add_explicit(&stk->nifaces, 1, memory_order_release);
    return ifc;
}

static void clear_counters(struct stk_iface *ifc)
{
    ifc->rx_packets = ifc->rx_bytes = ifc->rx_dropped = ifc->rx_errors = ifc->rx_multicast = 0;
    ifc->tx_packets = ifc->tx_bytes = ifc->tx_dropped = 0;
}

int stk_dev_new(struct netstack *stk, enum dev_kind kind, const char *name, s32 index,
                struct stk_iface **ret)
{
    if (index && stk_iface(stk, index))
        return -LX_EBUSY;
    struct stk_iface *ifc = free_slot(stk);
    if (!ifc)
        return stk->nifaces == STK_MAX_IFACES ? -LX_ENFILE : -LX_ENOMEM;
    if (!index) {
        do
            stk->last_index = stk->last_index < INT32_MAX ? stk->last_index + 1 : 1;
        while (stk_iface(stk, stk->last_index));
        index = stk->last_index;
    }
    clear_counters(ifc);
    const struct kind_info *k = &kinds[kind];
    ifc->flags = k->flags;
    ifc->mac = 0;
    ifc->type = kind == DEV_LOOPBACK ? LX_ARPHRD_LOOPBACK
                : kind == DEV_TUN    ? LX_ARPHRD_NONE
                                     : LX_ARPHRD_ETHER;
    ifc->mtu = k->mtu;
    ifc->txqlen = k->txqlen;
    ifc->group = 0;
    ifc->has_qdisc = false;
    ifc->has_carrier = kind == DEV_LOOPBACK || kind == DEV_LINK || kind == DEV_DUMMY;
    ifc->is_mac_set = ifc->is_mtu_set = ifc->is_hairpin = false;
    rwlock_wrlock(&stk->cfg_lock);
    memset(ifc->name, 0, sizeof(ifc->name));
    memcpy(ifc->name, name, strnlen(name, sizeof(ifc->name) - 1));
    ifc->kind = kind;
    ifc->index = index;
    atomic_fetch_add(&stk->gen, 1);
    rwlock_wrunlock(&stk->cfg_lock);
    *ret = ifc;
    return 0;
}

bool stk_dev_kind(const char *name, enum dev_kind *ret)
{
    for (u32 k = 0; k < ARRAY_SIZE(kinds); k++) {
        if (!kinds[k].name || !kinds[k].can_make || strcmp(kinds[k].name, name))
            continue;
        *ret = k;
        return true;
    }
    return false;
}

void stk_dev_describe(const struct stk_iface *f, struct netdev_info *d)
{
    const struct kind_info *k = &kinds[f->kind];
    d->kind_name = k->name;
    d->min_mtu = k->min_mtu;
    d->max_mtu = k->max_mtu;
    d->has_operstate = k->has_operstate;
    d->is_stacked = k->is_stacked;
    d->link_nsid = -1;
    rwlock_rdlock(&wire_lock);
    const struct stk_iface *peer = f->peer;
    if (peer)
        d->link = peer->index;
    const struct stk_iface *master = f->master;
    d->master = master ? master->index : 0;
    d->is_hairpin = f->is_hairpin;
    if (peer && peer->stk != f->stk)
        d->link_nsid = net_ns_id(f->stk->ns, peer->stk->ns);
    rwlock_rdunlock(&wire_lock);
}

/* ---- up and down --------------------------------------------------------------------------- */

static void loopback_up(struct netstack *stk)
{
    struct stk_addr a = {.addr = ipaddr_v4(net32(LX_INADDR_LOOPBACK)),
                         .ifindex = LO_IFINDEX,
                         .family = LX_AF_INET,
                         .prefix_len = 8,
                         .scope = 254,
                         .flags = LX_IFA_F_PERMANENT};
    struct stk_addr old;
    a.peer = a.addr;
    if (!stk_addr_first(stk, LO_IFINDEX, &old))
        (void)!stk_addr_add(stk, &a); /* without room there is none */
    a = (struct stk_addr){.addr = {.b = {[15] = 1}},
                          .peer = {.b = {[15] = 1}},
                          .ifindex = LO_IFINDEX,
                          .family = LX_AF_INET6,
                          .prefix_len = 128,
                          .scope = 254,
                          .flags = LX_IFA_F_PERMANENT};
    (void)!stk_addr_add(stk, &a);
}

/* The link-local address that an interface gives itself (RFC 4291 2.5.6). */
static void add_link_local(struct stk_iface *ifc)
{
    u8 mac[6];
    struct stk_addr a = {.addr = {.b = {0xfe, 0x80, [11] = 0xff, 0xfe}},
                         .ifindex = ifc->index,
                         .family = LX_AF_INET6,
                         .prefix_len = 64,
                         .scope = 253,
                         .flags = LX_IFA_F_PERMANENT};
    if (net_sysctl(ifc->stk->ns, NSYS_IPV6_DISABLED))
        return;
    ifc->has_groups = true;
    if (ifc->type != LX_ARPHRD_ETHER)
        return;
    stk_mac(ifc, mac);
    memcpy(a.addr.b + 8, mac, 3);
    memcpy(a.addr.b + 13, mac + 3, 3);
    a.addr.b[8] ^= 2;
    a.peer = a.addr;
    (void)!stk_addr_add(ifc->stk, &a); /* without room, or there already */
}

static void went_up(struct stk_iface *ifc)
{
    struct stk_addr a;
    if (ifc->kind == DEV_LOOPBACK) {
        loopback_up(ifc->stk);
        return;
    }
    for (u32 i = 0; stk_addrs(ifc->stk, i, &a, 1); i++)
        if (a.ifindex == ifc->index)
            stk_addr_connect(ifc->stk, &a);
    if (ifc->has_carrier)
        add_link_local(ifc);
    stk_groups_up(ifc);
}

static void went_down(struct stk_iface *ifc)
{
    ifc->has_groups = false;
    stk_route_flush(ifc->stk, ifc->index);
    stk_addr_flush(ifc->stk, ifc->index, LX_AF_INET6);
    neigh_flush(ifc);
}

static void update_bridge(struct stk_iface *br);

static void set_carrier(struct stk_iface *ifc, bool is_on)
{
    if (ifc->has_carrier == is_on)
        return;
    ifc->has_carrier = is_on;
    atomic_fetch_add(&ifc->stk->gen, 1);
    if (!stk_is_up(ifc))
        return;
    if (is_on && ifc->kind != DEV_LINK)
        add_link_local(ifc);
    stk_tell_link(ifc, true, 0);
}

void stk_dev_set_carrier(struct stk_iface *ifc, bool is_on)
{
    set_carrier(ifc, is_on);
    if (ifc->master)
        update_bridge(ifc->master);
}

/* A bridge has a carrier while a port has; its address and MTU are the least of its ports'. */
static void update_bridge(struct stk_iface *br)
{
    struct netstack *stk = br->stk;
    bool is_on = false, is_changed = false;
    u8 mac[6], least[6] = {0};
    u32 mtu = 0, nports = 0;
    for (u32 i = 0; i < stk->nifaces; i++) {
        struct stk_iface *p = stk->ifaces[i];
        if (p->master != br)
            continue;
        is_on |= stk_is_up(p) && p->has_carrier;
        mtu = nports ? MIN(mtu, (u32)p->mtu) : (u32)p->mtu;
        stk_mac(p, mac);
        if (!nports++ || memcmp(mac, least, 6) < 0)
            memcpy(least, mac, 6);
    }
    if (nports && !br->is_mac_set && !stk_mac_is(br, least)) {
        stk_set_mac(br, least);
        neigh_flush(br);
        is_changed = true;
    }
    if (nports && !br->is_mtu_set && br->mtu != mtu) {
        br->mtu = mtu;
        is_changed = true;
    }
    atomic_fetch_add(&stk->gen, 1);
    if (is_changed)
        stk_tell_link(br, true, 0);
    set_carrier(br, is_on);
}

static void update_master(struct stk_iface *port)
{
    struct stk_iface *br = port->master;
    if (br)
        update_bridge(br);
}

/* A veth has a carrier while both ends are up. */
static void update_carriers(struct stk_iface *ifc)
{
    struct stk_iface *peer = ifc->peer;
    if (ifc->kind == DEV_VETH) {
        bool is_on = peer && stk_is_up(peer) && stk_is_up(ifc);
        set_carrier(ifc, is_on);
        if (peer) {
            set_carrier(peer, is_on);
            update_master(peer);
        }
    }
    update_master(ifc);
}

int stk_set_flags(struct netstack *stk, s32 index, u32 flags)
{
    struct stk_iface *f = stk_iface(stk, index);
    if (!f)
        return -LX_ENODEV;
    u32 old = f->flags, now = (old & ~(u32)CHANGEABLE) | (flags & CHANGEABLE);
    if (now == old)
        return 0;
    if (f->kind == DEV_LINK && (now ^ old) & ~(u32)LX_IFF_UP)
        return -LX_EOPNOTSUPP; /* what the host's socket hears is fixed */
    f->flags = now;
    atomic_fetch_add(&stk->gen, 1);
    if (!((now ^ old) & LX_IFF_UP)) {
        stk_tell_link(f, true, now ^ old);
        return 0;
    }
    f->has_qdisc |= (now & LX_IFF_UP) != 0;
    if (!(now & LX_IFF_UP))
        update_carriers(f);
    else if (f->kind == DEV_VETH && f->peer && stk_is_up(f->peer))
        f->has_carrier = true;
    stk_tell_link(f, true, now ^ old);
    if (now & LX_IFF_UP) {
        went_up(f);
        update_carriers(f);
    } else {
        went_down(f);
    }
    return 0;
}

/* ---- changing ------------------------------------------------------------------------------ */

static bool is_valid_name(const char *name)
{
    if (!name[0] || strlen(name) >= STK_NAME || !strcmp(name, ".") || !strcmp(name, ".."))
        return false;
    for (const char *c = name; *c; c++)
        if (*c == '/' || *c == ':' || *c == ' ' || (*c >= '\t' && *c <= '\r'))
            return false;
    return true;
}

/* "veth%d": the first number that is free. */
static int fill_in_name(struct netstack *stk, const char *pattern, char name[STK_NAME])
{
    const char *at = strchr(pattern, '%');
    if (!at)
        return -LX_EINVAL;
    if (at[1] != 'd' || strchr(at + 2, '%'))
        return -LX_EINVAL;
    for (u32 i = 0; i <= STK_MAX_IFACES; i++) {
        int n = snprintf(name, STK_NAME, "%.*s%u%s", (int)(at - pattern), pattern, i, at + 2);
        if (n >= STK_NAME)
            return -LX_EINVAL;
        if (!stk_iface_named(stk, name))
            return 0;
    }
    return -LX_ENFILE;
}

static int pick_name(struct netstack *stk, enum dev_kind kind, const char *asked,
                     char name[STK_NAME])
{
    char pattern[STK_NAME];
    if (asked[0] && !is_valid_name(asked))
        return -LX_EINVAL;
    if (!asked[0])
        snprintf(pattern, sizeof(pattern), "%s%%d", kinds[kind].prefix);
    else
        memcpy(pattern, asked, STK_NAME);
    if (strchr(pattern, '%'))
        return fill_in_name(stk, pattern, name);
    memcpy(name, pattern, STK_NAME);
    return stk_iface_named(stk, name) ? -LX_EEXIST : 0;
}

int stk_dev_rename(struct stk_iface *ifc, const char *asked)
{
    struct netstack *stk = ifc->stk;
    char name[STK_NAME];
    if (!strcmp(ifc->name, asked))
        return 0;
    int r = pick_name(stk, ifc->kind, asked, name);
    if (r < 0)
        return r;
    rwlock_wrlock(&stk->cfg_lock);
    memcpy(ifc->name, name, sizeof(ifc->name));
    rwlock_wrunlock(&stk->cfg_lock);
    stk_tell_link(ifc, true, 0);
    return 0;
}

int stk_dev_set_mtu(struct stk_iface *ifc, u32 mtu)
{
    if (ifc->mtu == mtu)
        return 0;
    if (ifc->kind == DEV_LINK)
        return -LX_EOPNOTSUPP; /* it is the host's */
    ifc->mtu = mtu;
    ifc->is_mtu_set = true;
    atomic_fetch_add(&ifc->stk->gen, 1);
    stk_tell_link(ifc, true, 0);
    update_master(ifc);
    return 0;
}

int stk_dev_set_mac(struct stk_iface *ifc, const u8 mac[6])
{
    if (stk_mac_is(ifc, mac))
        return 0;
    if (ifc->kind == DEV_LINK || ifc->kind == DEV_LOOPBACK)
        return -LX_EOPNOTSUPP;
    if (mac[0] & 1 || !(mac[0] | mac[1] | mac[2] | mac[3] | mac[4] | mac[5]))
        return -LX_EADDRNOTAVAIL;
    stk_set_mac(ifc, mac);
    ifc->is_mac_set = true;
    neigh_flush(ifc);
    stk_tell_link(ifc, true, 0);
    update_master(ifc);
    return 0;
}

static void leave_master(struct stk_iface *ifc)
{
    struct stk_iface *br = ifc->master;
    if (!br)
        return;
    bridge_leave(ifc);
    stk_tell_link(ifc, true, 0);
    update_bridge(br);
}

int stk_dev_set_master(struct stk_iface *ifc, s32 master, const char **ret_why)
{
    struct stk_iface *br = stk_iface(ifc->stk, master);
    if (master && !br)
        return -LX_EINVAL;
    if (br && ifc->master == br)
        return 0;
    leave_master(ifc);
    if (!br)
        return 0;
    if (br->kind != DEV_BRIDGE)
        return -LX_EOPNOTSUPP;
    if (ifc->kind == DEV_BRIDGE) {
        *ret_why = "Can not enslave a bridge to a bridge";
        return -LX_ELOOP;
    }
    if (ifc->type != LX_ARPHRD_ETHER)
        return -LX_EINVAL;
    if (ifc->kind == DEV_LINK && ifc->stk->is_egress_limited)
        return -LX_EPERM; /* frames could evade the policy, which names destinations */
    bridge_join(br, ifc);
    stk_tell_link(ifc, true, 0);
    update_bridge(br);
    return 0;
}

/* ---- making and removing ------------------------------------------------------------------- */

static void random_mac(u8 mac[6])
{
    u32 a = net_random(), b = net_random();
    memcpy(mac, &a, 4);
    memcpy(mac + 4, &b, 2);
    mac[0] = (u8)((mac[0] & 0xfc) | 2); /* local, one host's */
}

/* Frees the slot of an interface that nothing is connected to any more. */
static void unmake(struct stk_iface *ifc)
{
    struct netstack *stk = ifc->stk;
    rwlock_wrlock(&stk->cfg_lock);
    ifc->flags = 0;
    ifc->index = 0;
    ifc->kind = DEV_NONE;
    memset(ifc->name, 0, sizeof(ifc->name));
    atomic_fetch_add(&stk->gen, 1);
    rwlock_wrunlock(&stk->cfg_lock);
    work_forget(ifc);
    neigh_flush(ifc);
}

static int make(struct netstack *stk, enum dev_kind kind, const struct stk_dev_spec *s,
                struct stk_iface **ret)
{
    char name[STK_NAME];
    u8 mac[6];
    int r = pick_name(stk, kind, s->name, name);
    if (r == 0 && ndevs >= NET_DEVS_MAX)
        r = -LX_ENFILE;
    if (r == 0)
        r = stk_dev_new(stk, kind, name, s->index, ret);
    if (r < 0)
        return r;
    ndevs++;
    memset(mac, 0, 6);
    if (s->has_mac)
        memcpy(mac, s->mac, 6);
    else if (kind != DEV_TUN)
        random_mac(mac);
    stk_set_mac(*ret, mac);
    (*ret)->is_mac_set = s->has_mac;
    r = kind == DEV_BRIDGE ? bridge_new(*ret) : 0;
    if (r < 0) {
        unmake(*ret);
        ndevs--;
    }
    return r;
}

static void connect_ends(struct stk_iface *a, struct stk_iface *b)
{
    rwlock_wrlock(&wire_lock);
    a->peer = b;
    if (b)
        b->peer = a;
    rwlock_wrunlock(&wire_lock);
}

int stk_dev_create(struct netstack *stk, enum dev_kind kind, const struct stk_dev_spec *s,
                   struct netstack *peer_stk, const struct stk_dev_spec *peer,
                   struct stk_iface **ret, struct stk_iface **ret_peer)
{
    struct stk_iface *f, *p = NULL;
    int r = 0;
    if (kind == DEV_VETH) /* the other end comes first, as on Linux: its index is the lower */
        r = make(peer_stk, kind, peer, &p);
    if (r == 0)
        r = make(stk, kind, s, &f);
    if (r < 0) {
        if (p) {
            unmake(p);
            ndevs--;
        }
        return r;
    }
    if (p) {
        connect_ends(f, p);
        stk_tell_link(p, true, UINT32_MAX);
        *ret_peer = p;
    }
    stk_tell_link(f, true, UINT32_MAX);
    *ret = f;
    return 0;
}

/* Everything that an interface has goes; it is still there. */
static void strip(struct stk_iface *ifc)
{
    struct netstack *stk = ifc->stk;
    leave_master(ifc);
    for (u32 i = 0; ifc->kind == DEV_BRIDGE && i < stk->nifaces; i++)
        if (stk->ifaces[i]->master == ifc)
            leave_master(stk->ifaces[i]);
    (void)!stk_set_flags(ifc->stk, ifc->index, ifc->flags & ~(u32)LX_IFF_UP);
    stk_addr_flush(ifc->stk, ifc->index, 0);
    stk_route_flush(ifc->stk, ifc->index);
}

static void destroy_one(struct stk_iface *ifc)
{
    strip(ifc);
    if (ifc->kind == DEV_BRIDGE)
        bridge_free(ifc);
    stk_tell_link(ifc, false, UINT32_MAX);
    unmake(ifc);
    ndevs--;
}

int stk_dev_destroy(struct stk_iface *ifc)
{
    if (!kinds[ifc->kind].can_remove)
        return -LX_EOPNOTSUPP;
    struct stk_iface *peer = ifc->peer;
    strip(ifc);
    if (peer)
        strip(peer);
    rwlock_wrlock(&wire_lock); /* nobody sends to them any more */
    tun_part(ifc);
    ifc->peer = NULL;
    if (peer)
        peer->peer = NULL;
    rwlock_wrunlock(&wire_lock);
    destroy_one(ifc);
    if (peer)
        destroy_one(peer);
    return 0;
}

void stk_dev_destroy_all(struct netstack *stk)
{
    mutex_lock(&dev_lock);
    for (u32 i = 0; i < stk->nifaces; i++)
        if (stk->ifaces[i]->kind != DEV_NONE)
            (void)!stk_dev_destroy(stk->ifaces[i]); /* the loopback stays */
    mutex_unlock(&dev_lock);
}

/* ---- moving -------------------------------------------------------------------------------- */

int stk_dev_move(struct stk_iface *ifc, struct netstack *to, const char *name,
                 struct stk_iface **ret, const char **ret_why)
{
    struct stk_iface *n;
    char chosen[STK_NAME];
    u8 mac[6];
    if (!kinds[ifc->kind].can_remove) {
        *ret_why = "The interface netns is immutable";
        return -LX_EINVAL;
    }
    int r = pick_name(to, ifc->kind, name ? name : ifc->name, chosen);
    if (r < 0) {
        *ret_why = r == -LX_EEXIST && !name
                       ? "An interface with the same name exists in the target netns"
                       : NULL;
        return r;
    }
    r = stk_dev_new(to, ifc->kind, chosen, stk_iface(to, ifc->index) ? 0 : ifc->index, &n);
    if (r < 0)
        return r;
    strip(ifc);
    stk_mac(ifc, mac);
    stk_set_mac(n, mac);
    n->mtu = ifc->mtu;
    n->flags = ifc->flags & ~(u32)LX_IFF_UP;
    n->type = ifc->type;
    n->txqlen = ifc->txqlen;
    n->is_mac_set = ifc->is_mac_set;
    n->is_mtu_set = ifc->is_mtu_set;
    n->is_persistent = ifc->is_persistent;
    n->has_carrier = ifc->has_carrier;
    stk_tell_link(ifc, false, UINT32_MAX);
    rwlock_wrlock(&wire_lock);
    n->peer = ifc->peer;
    if (n->peer)
        n->peer->peer = n;
    ifc->peer = NULL;
    n->bridge = take_ptr(ifc->bridge);
    tun_moved(n, take_ptr(ifc->tun));
    rwlock_wrunlock(&wire_lock);
    unmake(ifc);
    stk_tell_link(n, true, UINT32_MAX);
    *ret = n;
    return 0;
}

/* ---- sending ------------------------------------------------------------------------------- */

static void count_tx(struct stk_iface *ifc, u32 size)
{
    STK_COUNT(ifc, tx_packets);
    atomic_fetch_add_explicit(&ifc->tx_bytes, size, memory_order_relaxed);
}

int dev_xmit_locked(struct stk_iface *ifc, struct stk_frame *f)
{
    struct stk_iface *peer;
    int r = 0;
    switch ((enum dev_kind)ifc->kind) {
    case DEV_LINK:
        r = link_xmit(ifc, f);
        frame_free(f);
        return r;
    case DEV_VETH:
        peer = ifc->peer;
        if (peer && stk_is_up(peer) && stk_is_up(ifc)) {
            count_tx(ifc, f->size);
            work_queue(peer, f);
            return 0;
        }
        STK_COUNT(ifc, tx_dropped);
        break;
    case DEV_TUN:
    case DEV_TAP:
        if (stk_is_up(ifc)) {
            count_tx(ifc, f->size - (ifc->kind == DEV_TUN ? ETHER_HLEN : 0));
            tun_xmit(ifc, f);
            return 0;
        }
        STK_COUNT(ifc, tx_dropped);
        break;
    case DEV_BRIDGE:
        if (ifc->bridge && stk_is_up(ifc)) {
            count_tx(ifc, f->size);
            bridge_xmit(ifc, f);
            return 0;
        }
        STK_COUNT(ifc, tx_dropped);
        break;
    case DEV_DUMMY:
    case DEV_LOOPBACK: /* its subnets have nobody else in them */
        count_tx(ifc, f->size);
        break;
    case DEV_NONE:
        r = -LX_ENETDOWN;
        break;
    }
    frame_free(f);
    return r;
}

int dev_xmit(struct stk_iface *ifc, struct stk_frame *f)
{
    rwlock_rdlock(&wire_lock);
    int r = dev_xmit_locked(ifc, f);
    rwlock_rdunlock(&wire_lock);
    return r;
}
