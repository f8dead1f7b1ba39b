/*
 * Bridges (IEEE 802.1D without the spanning tree): ports are interfaces of the same namespace, and
 * a port is never a bridge, so a frame is passed on once. What a port receives is learned from,
 * goes out of the port that is known for its destination or of all, and up the stack as the
 * bridge's own when it is for the bridge. Addresses are forgotten after five minutes unseen.
 *
 * The table is bounded; when it is full nothing more is learned and unknown addresses are flooded.
 */
#include <stdlib.h>

#include "net/stack/frame.h"

#define BUCKETS 256U
#define MAX_FDB 2048U
#define AGE_NS  (300 * NSEC_PER_SEC)

struct fdb {
    struct list node;
    u8 mac[6];
    struct stk_iface *port;
    s64 seen_ns;
};

struct bridge {
    struct mutex lock; /* leaf; below wire_lock */
    struct list buckets[BUCKETS];
    u32 count;
};

int bridge_new(struct stk_iface *br)
{
    struct bridge *b = calloc(1, sizeof(*b));
    if (!b)
        return -LX_ENOMEM;
    mutex_init(&b->lock, "bridge");
    for (u32 i = 0; i < BUCKETS; i++)
        list_init(&b->buckets[i]);
    rwlock_wrlock(&wire_lock);
    br->bridge = b;
    rwlock_wrunlock(&wire_lock);
    return 0;
}

static void forget(struct bridge *b, struct fdb *e)
{
    list_del(&e->node);
    b->count--;
    free(e);
}

/* Entries of a port; NULL: all. */
static void purge(struct bridge *b, const struct stk_iface *port)
{
    struct fdb *e, *tmp;
    MUTEX_GUARD(&b->lock);
    for (u32 i = 0; i < BUCKETS; i++)
        list_for_each_safe (e, tmp, &b->buckets[i], node)
            if (!port || e->port == port)
                forget(b, e);
}

void bridge_free(struct stk_iface *br)
{
    rwlock_wrlock(&wire_lock);
    struct bridge *b = take_ptr(br->bridge);
    rwlock_wrunlock(&wire_lock);
    if (b)
        purge(b, NULL);
    free(b);
}

void bridge_join(struct stk_iface *br, struct stk_iface *port)
{
    rwlock_wrlock(&wire_lock);
    port->master = br;
    rwlock_wrunlock(&wire_lock);
}

void bridge_leave(struct stk_iface *port)
{
    rwlock_wrlock(&wire_lock);
    struct stk_iface *br = port->master;
    port->master = NULL;
    port->is_hairpin = false;
    if (br && br->bridge)
        purge(br->bridge, port);
    rwlock_wrunlock(&wire_lock);
}

/* ---- the table ----------------------------------------------------------------------------- */

static struct list *bucket_of(struct netstack *stk, struct bridge *b, const u8 *mac)
{
    return &b->buckets[stk_hash(stk, mac, 6) % BUCKETS];
}

/* REQUIRES b->lock. */
static struct fdb *find(struct list *bucket, const u8 *mac)
{
    struct fdb *e;
    list_for_each (e, bucket, node)
        if (!memcmp(e->mac, mac, 6))
            return e;
    return NULL;
}

static void drop_old(struct bridge *b, s64 now)
{
    struct fdb *e, *tmp;
    for (u32 i = 0; i < BUCKETS; i++)
        list_for_each_safe (e, tmp, &b->buckets[i], node)
            if (now - e->seen_ns > AGE_NS)
                forget(b, e);
}

static void learn(struct stk_iface *br, struct stk_iface *port, const u8 *mac)
{
    struct bridge *b = br->bridge;
    s64 now = clock_mono_ns();
    if (mac[0] & 1)
        return; /* nobody's own */
    MUTEX_GUARD(&b->lock);
    struct list *bucket = bucket_of(br->stk, b, mac);
    struct fdb *e = find(bucket, mac);
    if (!e) {
        if (b->count == MAX_FDB)
            drop_old(b, now);
        e = b->count < MAX_FDB ? calloc(1, sizeof(*e)) : NULL;
        if (!e)
            return;
        memcpy(e->mac, mac, 6);
        list_add_head(bucket, &e->node);
        b->count++;
    }
    e->port = port;
    e->seen_ns = now;
}

static struct stk_iface *port_for(struct stk_iface *br, const u8 *mac)
{
    struct bridge *b = br->bridge;
    MUTEX_GUARD(&b->lock);
    struct fdb *e = find(bucket_of(br->stk, b, mac), mac);
    return e && clock_mono_ns() - e->seen_ns <= AGE_NS ? e->port : NULL;
}

bool stk_fdb_nth(struct stk_iface *br, u32 nth, u8 mac[6], s32 *ret_port)
{
    bool is_found = false;
    u32 at = 0;
    struct fdb *e;
    rwlock_rdlock(&wire_lock);
    struct bridge *b = br->bridge;
    if (b)
        mutex_lock(&b->lock);
    for (u32 i = 0; b && i < BUCKETS && !is_found; i++)
        list_for_each (e, &b->buckets[i], node) {
            if (at++ != nth)
                continue;
            memcpy(mac, e->mac, 6);
            *ret_port = e->port->index;
            is_found = true;
            break;
        }
    if (b)
        mutex_unlock(&b->lock);
    rwlock_rdunlock(&wire_lock);
    return is_found;
}

/* ---- frames: all under wire_lock, read-locked ---------------------------------------------- */

static void send_by(struct stk_iface *port, struct stk_frame *f)
{
    bool is_big = f->size > port->mtu + ETHER_HLEN + 4 && !f->vnet.gso_type;
    if (!stk_is_up(port) || is_big) {
        STK_COUNT(port, tx_dropped);
        frame_free(f);
        return;
    }
    link_show_output(port, f->data, f->size, NULL);
    (void)dev_xmit_locked(port, f); /* lost, as on the wire */
}

/* A copy out of every port but one. */
static void flood(struct stk_iface *br, const struct stk_iface *from, const struct stk_frame *f)
{
    struct netstack *stk = br->stk;
    for (u32 i = 0; i < stk->nifaces; i++) {
        struct stk_iface *port = stk->ifaces[i];
        if (port->master != br || (port == from && !port->is_hairpin) || !stk_is_up(port))
            continue;
        struct stk_frame *copy = frame_copy(f);
        if (copy)
            send_by(port, copy);
        else
            STK_COUNT(port, tx_dropped);
    }
}

/* Is it the bridge's own address, or one of its ports'? */
static bool is_own(struct stk_iface *br, const u8 *mac)
{
    struct netstack *stk = br->stk;
    if (stk_mac_is(br, mac))
        return true;
    for (u32 i = 0; i < stk->nifaces; i++)
        if (stk->ifaces[i]->master == br && stk_mac_is(stk->ifaces[i], mac))
            return true;
    return false;
}

void bridge_xmit(struct stk_iface *br, struct stk_frame *f)
{
    struct stk_iface *port = f->data[0] & 1 ? NULL : port_for(br, f->data);
    if (port && port->master == br) {
        send_by(port, f);
        return;
    }
    flood(br, NULL, f);
    frame_free(f);
}

struct stk_frame *bridge_receive(struct stk_iface *br, struct stk_iface *port, struct stk_frame *f)
{
    static const u8 reserved[5] = {0x01, 0x80, 0xc2, 0, 0}; /* 802.1D 7.12.6: not passed on */
    if (!br->bridge || !stk_is_up(br) ||
        (!memcmp(f->data, reserved, 5) && (f->data[5] & 0xf0) == 0)) {
        frame_free(f);
        return NULL;
    }
    learn(br, port, f->data + 6);
    if (f->data[0] & 1) {
        flood(br, port, f);
        return f;
    }
    if (is_own(br, f->data))
        return f;
    struct stk_iface *to = port_for(br, f->data);
    if (to && to->master == br) {
        if (to != port || port->is_hairpin)
            send_by(to, f);
        else
            frame_free(f);
        return NULL;
    }
    flood(br, port, f);
    frame_free(f);
    return NULL;
}
