/*
 * Neighbours: the link addresses of next hops, for IPv4 (ARP, RFC 826) and IPv6 (RFC 4861 7.3).
 * States are Linux's. What is sent to a neighbour that is being asked for waits, three frames at
 * most; when no answer comes its senders hear of an unreachable host.
 *
 * An entry of a host that only spoke to us is made, so that it can be answered, but gives way to
 * others: when the table is full the least recently used entry goes.
 */
#include <stdlib.h>

#include "net/stack/error.h"
#include "net/stack/stack.h"

#define BUCKETS      256U
#define MAX_ENTRIES  1024U
#define MAX_WAITING  3U
#define REACHABLE_NS (30 * NSEC_PER_SEC)
#define DELAY_NS     (5 * NSEC_PER_SEC)
#define RETRANS_NS   (1 * NSEC_PER_SEC)
#define MAX_PROBES   3U
#define GC_NS        (60 * NSEC_PER_SEC)

struct waiting {
    struct list node;
    u16 ether_type;
    u32 len;
    bool is_csum_partial;
    u32 l4;
    u8 csum_offset;
    u16 gso_size;
    bool is_gso_v6, is_gso_udp;
    u8 data[];
};

struct neigh {
    struct list node, lru_node;
    ipaddr addr;
    struct stk_iface *ifc;
    u8 mac[6];
    u8 state, nprobes;
    u32 nwaiting;
    struct list waiting;
    s64 confirmed_ns, used_ns, next_probe_ns;
};

struct neigh_table {
    struct mutex lock;
    struct list buckets[BUCKETS];
    struct list lru; /* least recently made or learnt first */
    u32 count;
};

struct neigh_table *neigh_table_new(void)
{
    struct neigh_table *t = calloc(1, sizeof(*t));
    if (!t)
        return NULL;
    mutex_init(&t->lock, "neigh");
    list_init(&t->lru);
    for (u32 i = 0; i < BUCKETS; i++)
        list_init(&t->buckets[i]);
    return t;
}

static struct list *bucket_of(struct netstack *stk, const ipaddr *addr, s32 ifindex)
{
    struct {
        ipaddr a;
        u64 index;
    } key = {*addr, (u64)ifindex};
    return &stk->neighs->buckets[stk_hash(stk, &key, sizeof(key)) % BUCKETS];
}

static struct neigh *find(struct netstack *stk, const ipaddr *addr, s32 ifindex)
{
    struct neigh *n;
    list_for_each (n, bucket_of(stk, addr, ifindex), node) {
        if (n->ifc->index == ifindex && ipaddr_equal(&n->addr, addr))
            return n;
    }
    return NULL;
}

/* Moves what waits to `out`. */
static void take_waiting(struct neigh *n, struct list *out)
{
    list_splice_tail(out, &n->waiting);
    n->nwaiting = 0;
}

static void free_waiting(struct waiting *w)
{
    net_mem_uncharge(sizeof(*w) + w->len);
    free(w);
}

static void drop_waiting(struct list *l)
{
    struct waiting *w;
    while ((w = list_first(l, struct waiting, node))) {
        list_del(&w->node);
        free_waiting(w);
    }
}

static void forget(struct neigh_table *t, struct neigh *n)
{
    list_del(&n->node);
    list_del(&n->lru_node);
    drop_waiting(&n->waiting);
    free(n);
    t->count--;
}

void neigh_table_free(struct neigh_table *t)
{
    struct neigh *n;
    if (!t)
        return;
    while ((n = list_first(&t->lru, struct neigh, lru_node)))
        forget(t, n);
    free(t);
}

static bool make_room(struct neigh_table *t)
{
    struct neigh *n, *tmp;
    if (t->count < MAX_ENTRIES)
        return true;
    list_for_each_safe (n, tmp, &t->lru, lru_node) {
        if (n->state == NEIGH_PERMANENT)
            continue;
        forget(t, n);
        return true;
    }
    return false;
}

static struct neigh *make(struct stk_iface *ifc, const ipaddr *addr, u8 state)
{
    struct neigh_table *t = ifc->stk->neighs;
    struct neigh *n = make_room(t) ? calloc(1, sizeof(*n)) : NULL;
    if (!n)
        return NULL;
    n->addr = *addr;
    n->ifc = ifc;
    n->state = state;
    n->used_ns = n->confirmed_ns = clock_mono_ns();
    list_init(&n->waiting);
    list_add_head(bucket_of(ifc->stk, addr, ifc->index), &n->node);
    list_add_tail(&t->lru, &n->lru_node);
    t->count++;
    return n;
}

/* ---- asking -------------------------------------------------------------------------------- */

static void arp_send(struct stk_iface *ifc, u16 op, const ipaddr *target, const u8 *target_mac,
                     const ipaddr *source, const u8 *dst_mac)
{
    static const u8 everybody[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    struct txbuf b;
    txb_init(&b);
    u8 *a = txb_push(&b, ARP_LEN);
    memset(a, 0, ARP_LEN);
    wr16(a, 1);
    wr16(a + 2, ETHTYPE_IP);
    a[4] = 6;
    a[5] = 4;
    wr16(a + 6, op);
    stk_mac(ifc, a + 8);
    if (source)
        memcpy(a + 14, source->b + 12, 4);
    if (target_mac)
        memcpy(a + 18, target_mac, 6);
    memcpy(a + 24, target->b + 12, 4);
    (void)link_send(ifc, &b, dst_mac ? dst_mac : everybody,
                    ETHTYPE_ARP); /* asked again by the tick */
}

/* mac: unicast, to see whether it is still there. */
static void solicit(struct stk_iface *ifc, const ipaddr *addr, const u8 *mac)
{
    if (!ipaddr_is_v4(addr)) {
        nd_solicit(ifc, addr, mac);
        return;
    }
    struct stk_path path;
    ipaddr src = ipaddr_v4(0);
    if (stk_route(ifc->stk, addr, ifc->index, &src, &path) < 0)
        return;
    arp_send(ifc, 1, addr, NULL, &src, mac);
}

/* ---- sending ------------------------------------------------------------------------------- */

static void hold(struct neigh *n, const struct txbuf *b, u16 ether_type)
{
    u32 head = TXB_ROOM - b->off, len = txb_len(b);
    if (!net_mem_charge(sizeof(struct waiting) + len))
        return;
    struct waiting *w = malloc(sizeof(*w) + len);
    if (!w) {
        net_mem_uncharge(sizeof(*w) + len);
        return;
    }
    list_init(&w->node);
    w->ether_type = ether_type;
    w->len = len;
    w->is_csum_partial = b->is_csum_partial;
    w->l4 = b->l4 ? b->l4 - b->off : 0;
    w->csum_offset = b->csum_offset;
    w->gso_size = b->gso_size;
    w->is_gso_v6 = b->is_gso_v6;
    w->is_gso_udp = b->is_gso_udp;
    memcpy(w->data, b->head + b->off, head);
    u8 *at = w->data + head;
    for (u32 i = 0; i < b->ndata; i++) {
        memcpy(at, b->data[i].iov_base, b->data[i].iov_len);
        at += b->data[i].iov_len;
    }
    if (n->nwaiting == MAX_WAITING) {
        struct waiting *old = list_first(&n->waiting, struct waiting, node);
        list_del(&old->node);
        free_waiting(old);
        n->nwaiting--;
    }
    list_add_tail(&n->waiting, &w->node);
    n->nwaiting++;
}

static void send_waiting(struct stk_iface *ifc, const u8 mac[6], struct list *l)
{
    struct waiting *w;
    list_for_each (w, l, node) {
        struct txbuf b;
        txb_init(&b);
        u32 head = MIN(w->len, TXB_ROOM - ETHER_HLEN - 2U);
        if (w->is_csum_partial)
            head = MIN(head, w->l4 + 60);
        memcpy(txb_push(&b, head), w->data, head);
        txb_data(&b, w->data + head, w->len - head);
        b.l4 = b.off + w->l4;
        b.is_csum_partial = w->is_csum_partial;
        b.csum_offset = w->csum_offset;
        b.gso_size = w->gso_size;
        b.is_gso_v6 = w->is_gso_v6;
        b.is_gso_udp = w->is_gso_udp;
        (void)link_send(ifc, &b, mac, w->ether_type); /* as lost on the way */
    }
    drop_waiting(l);
}

static bool multicast_mac(struct stk_iface *ifc, const ipaddr *addr, u8 mac[6])
{
    if (ipaddr_is_multicast(addr)) {
        if (ipaddr_is_v4(addr)) {
            memcpy(mac, "\x01\x00\x5e", 3);
            memcpy(mac + 3, addr->b + 13, 3);
            mac[3] &= 0x7f;
        } else {
            mac[0] = mac[1] = 0x33;
            memcpy(mac + 2, addr->b + 12, 4);
        }
        return true;
    }
    if (stk_is_broadcast(ifc->stk, addr)) {
        memset(mac, 0xff, 6);
        return true;
    }
    return false;
}

int neigh_send(struct stk_iface *ifc, const ipaddr *addr, struct txbuf *b, u16 ether_type)
{
    struct neigh_table *t = ifc->stk->neighs;
    u8 mac[6];
    bool is_asking = false;
    if (ifc->flags & LX_IFF_NOARP) {
        if (!multicast_mac(ifc, addr, mac))
            memset(mac, 0, sizeof(mac));
        return link_send(ifc, b, mac, ether_type);
    }
    mutex_lock(&t->lock);
    struct neigh *n = find(ifc->stk, addr, ifc->index);
    if (!n) {
        mutex_unlock(&t->lock);
        if (multicast_mac(ifc, addr, mac))
            return link_send(ifc, b, mac, ether_type);
        mutex_lock(&t->lock);
        n = find(ifc->stk, addr, ifc->index);
        if (!n)
            n = make(ifc, addr, 0);
        if (!n) {
            mutex_unlock(&t->lock);
            return -LX_ENOBUFS;
        }
    }
    s64 now = clock_mono_ns();
    n->used_ns = now;
    if (n->state == NEIGH_REACHABLE && now - n->confirmed_ns > REACHABLE_NS)
        n->state = NEIGH_STALE;
    if (n->state == NEIGH_STALE) {
        n->state = NEIGH_PROBE;
        n->nprobes = 0;
        n->next_probe_ns = now + DELAY_NS;
        is_asking = true;
    }
    if (n->state == NEIGH_REACHABLE || n->state == NEIGH_PROBE || n->state == NEIGH_PERMANENT) {
        memcpy(mac, n->mac, 6);
        mutex_unlock(&t->lock);
        if (is_asking)
            stk_need_tick(ifc->stk);
        return link_send(ifc, b, mac, ether_type);
    }
    if (n->state != NEIGH_INCOMPLETE) {
        n->state = NEIGH_INCOMPLETE;
        n->nprobes = 1;
        n->next_probe_ns = now + RETRANS_NS;
        is_asking = true;
    }
    hold(n, b, ether_type);
    mutex_unlock(&t->lock);
    if (is_asking) {
        solicit(ifc, addr, NULL);
        stk_need_tick(ifc->stk);
    }
    return 0;
}

/* ---- learning ------------------------------------------------------------------------------ */

void neigh_learn(struct stk_iface *ifc, const ipaddr *addr, const u8 mac[6], bool is_answer,
                 bool is_new)
{
    struct neigh_table *t = ifc->stk->neighs;
    struct list waiting;
    list_init(&waiting);
    static const u8 everybody[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    if (!memcmp(mac, everybody, 6))
        return; /* nobody's; a group's may be that of a cluster of hosts */
    mutex_lock(&t->lock);
    struct neigh *n = find(ifc->stk, addr, ifc->index);
    if (!n && is_new)
        n = make(ifc, addr, 0);
    if (n && n->state != NEIGH_PERMANENT) {
        bool is_same = !memcmp(n->mac, mac, 6);
        if (is_answer) {
            n->state = NEIGH_REACHABLE;
            n->confirmed_ns = clock_mono_ns();
        } else if (!is_same || !(n->state & (NEIGH_REACHABLE | NEIGH_PROBE))) {
            n->state = NEIGH_STALE;
        }
        memcpy(n->mac, mac, 6);
        take_waiting(n, &waiting);
        list_del(&n->lru_node);
        list_add_tail(&t->lru, &n->lru_node);
    }
    mutex_unlock(&t->lock);
    send_waiting(ifc, mac, &waiting);
}

void neigh_confirm(struct stk_iface *ifc, const ipaddr *addr)
{
    MUTEX_GUARD(&ifc->stk->neighs->lock);
    struct neigh *n = find(ifc->stk, addr, ifc->index);
    if (!n || !(n->state & (NEIGH_REACHABLE | NEIGH_STALE | NEIGH_PROBE)))
        return;
    n->state = NEIGH_REACHABLE;
    n->confirmed_ns = clock_mono_ns();
}

int neigh_set(struct netstack *stk, const struct neigh_info *i)
{
    struct stk_iface *ifc = stk_iface(stk, i->ifindex);
    struct list waiting;
    list_init(&waiting);
    if (!ifc)
        return -LX_ENODEV;
    mutex_lock(&stk->neighs->lock);
    struct neigh *n = find(stk, &i->addr, i->ifindex);
    if (!n)
        n = make(ifc, &i->addr, 0);
    if (n) {
        memcpy(n->mac, i->mac, 6);
        n->state = i->state & NEIGH_PERMANENT   ? NEIGH_PERMANENT
                   : i->state & NEIGH_REACHABLE ? NEIGH_REACHABLE
                                                : NEIGH_STALE;
        n->confirmed_ns = clock_mono_ns();
        take_waiting(n, &waiting);
    }
    mutex_unlock(&stk->neighs->lock);
    send_waiting(ifc, i->mac, &waiting);
    return n ? 0 : -LX_ENOBUFS;
}

int neigh_delete(struct netstack *stk, s32 ifindex, const ipaddr *addr)
{
    MUTEX_GUARD(&stk->neighs->lock);
    struct neigh *n = find(stk, addr, ifindex);
    if (!n)
        return -LX_ENOENT;
    forget(stk->neighs, n);
    return 0;
}

bool neigh_get(struct netstack *stk, s32 ifindex, const ipaddr *addr, struct neigh_info *ret)
{
    MUTEX_GUARD(&stk->neighs->lock);
    struct neigh *n = find(stk, addr, ifindex);
    if (!n)
        return false;
    *ret = (struct neigh_info){.addr = n->addr, .ifindex = ifindex, .state = n->state};
    memcpy(ret->mac, n->mac, 6);
    return true;
}

void neigh_flush(struct stk_iface *ifc)
{
    struct neigh_table *t = ifc->stk->neighs;
    struct neigh *n, *tmp;
    MUTEX_GUARD(&t->lock);
    list_for_each_safe (n, tmp, &t->lru, lru_node)
        if (n->ifc == ifc)
            forget(t, n);
}

u32 neigh_list(struct netstack *stk, u32 from, struct neigh_info *ret, u32 max)
{
    u32 at = 0, out = 0;
    struct neigh *n;
    MUTEX_GUARD(&stk->neighs->lock);
    list_for_each (n, &stk->neighs->lru, lru_node) {
        if (at++ < from)
            continue;
        if (out == max)
            break;
        ret[out] =
            (struct neigh_info){.addr = n->addr, .ifindex = n->ifc->index, .state = n->state};
        memcpy(ret[out++].mac, n->mac, 6);
    }
    return out;
}

/* ---- time ---------------------------------------------------------------------------------- */

struct due { /* what the tick does after the lock */
    struct stk_iface *ifc;
    ipaddr addr;
    u8 mac[6];
    bool is_unicast;
};
#define MAX_DUE 64U

/* Nobody is there for what waited: its sender hears of it, here or where it came from. */
static void tell_lost(struct netstack *stk, const struct waiting *w)
{
    bool is_v6 = w->ether_type == ETHTYPE_IPV6;
    const u8 *ip = w->data;
    u32 a[2], hlen = is_v6 ? IP6_HLEN : IP4_HLEN;
    struct rxpkt p = {.ifc = stk_lo(stk), .ip = ip, .ip_len = w->len};
    if (w->len < hlen)
        return;
    if (is_v6) {
        memcpy(p.src.b, ip + 8, 16);
        memcpy(p.dst.b, ip + 24, 16);
        p.protocol = ip[6];
    } else {
        memcpy(a, ip + 12, sizeof(a));
        p.src = ipaddr_v4(a[0]);
        p.dst = ipaddr_v4(a[1]);
        p.protocol = ip[9];
        hlen = MIN((ip[0] & 15U) * 4, w->len);
    }
    p.data = ip + hlen;
    p.len = w->len - hlen;
    if (stk_is_local(stk, &p.src))
        stk_error_quoted(stk, ip, w->len, is_v6, LX_EHOSTUNREACH, 0, 1, 0);
    else
        icmp_error_about(&p, is_v6 ? LX_ICMPV6_DEST_UNREACH : LX_ICMP_DEST_UNREACH, is_v6 ? 3 : 1,
                         0);
}

bool neigh_tick(struct netstack *stk, s64 now)
{
    struct neigh_table *t = stk->neighs;
    struct due due[MAX_DUE];
    struct list lost;
    struct neigh *n, *tmp;
    u32 ndue = 0;
    bool is_busy = false;
    list_init(&lost);
    mutex_lock(&t->lock);
    list_for_each_safe (n, tmp, &t->lru, lru_node) {
        bool is_asked = n->state == NEIGH_INCOMPLETE || n->state == NEIGH_PROBE;
        if (!is_asked) {
            if (n->state != NEIGH_PERMANENT && now - n->used_ns > GC_NS &&
                now - n->confirmed_ns > GC_NS)
                forget(t, n);
            continue;
        }
        is_busy = true;
        if (n->next_probe_ns > now || ndue == MAX_DUE)
            continue;
        if (n->nprobes >= MAX_PROBES) {
            take_waiting(n, &lost);
            n->state = NEIGH_FAILED;
            continue;
        }
        n->nprobes++;
        n->next_probe_ns = now + RETRANS_NS;
        due[ndue] =
            (struct due){.ifc = n->ifc, .addr = n->addr, .is_unicast = n->state == NEIGH_PROBE};
        memcpy(due[ndue++].mac, n->mac, 6);
    }
    mutex_unlock(&t->lock);
    for (u32 i = 0; i < ndue; i++)
        solicit(due[i].ifc, &due[i].addr, due[i].is_unicast ? due[i].mac : NULL);
    struct waiting *w;
    list_for_each (w, &lost, node)
        tell_lost(stk, w);
    drop_waiting(&lost);
    return is_busy;
}

/* ---- ARP ----------------------------------------------------------------------------------- */

void arp_input(struct rxpkt *p)
{
    const u8 *a = p->data;
    u32 src4, dst4;
    if (p->len < ARP_LEN || rd16(a) != 1 || rd16(a + 2) != ETHTYPE_IP || a[4] != 6 || a[5] != 4)
        return;
    memcpy(&src4, a + 14, 4);
    memcpy(&dst4, a + 24, 4);
    ipaddr src = ipaddr_v4(src4), dst = ipaddr_v4(dst4);
    u16 op = rd16(a + 6);
    bool is_mine = stk_is_local(p->ifc->stk, &dst) && !ipaddr_is_loopback(&dst); /* by any link */
    if (op != 1 && op != 2)
        return;
    if (stk_is_local(p->ifc->stk, &src) || ipaddr_is_multicast(&src) ||
        stk_is_broadcast(p->ifc->stk, &src))
        return; /* our own address, or none that a host has */
    if (src4)
        neigh_learn(p->ifc, &src, a + 8, op == 2 && is_mine, op == 1 && is_mine);
    if (op == 1 && is_mine)
        arp_send(p->ifc, 2, &src, a + 8, &dst, a + 8);
}
