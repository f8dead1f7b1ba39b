/*
 * Reassembly (RFC 815 in spirit; RFC 5722 and, like Linux, for IPv4 as well: a datagram whose
 * pieces overlap is dropped whole). Bounded in datagrams, in bytes and in time; the oldest gives
 * way.
 */
#include <stdlib.h>

#include "net/stack/stack.h"

#define MAX_DATAGRAMS 64U
#define MAX_BYTES     (4U << 20)
#define MAX_PIECES    1100U /* of a datagram: 64 KiB in pieces of a small MTU */
#define MAX_SIZE      65535U
#define TIMEOUT_NS    (30 * NSEC_PER_SEC)
#define MAX_HEADER    60U

struct piece {
    struct list node; /* by off */
    u32 off, size;
    u8 data[];
};

struct datagram {
    struct list node; /* oldest first */
    struct list pieces;
    ipaddr src, dst;
    u32 id;
    u8 protocol;
    u32 npieces, bytes, total; /* total: 0 until the last piece is there */
    s64 expires_ns;
    u32 header_len; /* of the first piece, as below; IPv6: without extension headers */
    u8 header[MAX_HEADER];
    u8 tos, ttl;
};

struct frag_table {
    struct mutex lock;
    struct list datagrams;
    u32 count, bytes;
};

struct frag_table *frag_table_new(void)
{
    struct frag_table *t = calloc(1, sizeof(*t));
    if (!t)
        return NULL;
    mutex_init(&t->lock, "frag");
    list_init(&t->datagrams);
    return t;
}

static void drop(struct frag_table *t, struct datagram *d)
{
    struct piece *q;
    while ((q = list_first(&d->pieces, struct piece, node))) {
        list_del(&q->node);
        t->bytes -= q->size + (u32)sizeof(*q);
        net_mem_uncharge(q->size + sizeof(*q));
        free(q);
    }
    list_del(&d->node);
    t->count--;
    free(d);
}

void frag_table_free(struct frag_table *t)
{
    struct datagram *d;
    if (!t)
        return;
    while ((d = list_first(&t->datagrams, struct datagram, node)))
        drop(t, d);
    free(t);
}

static struct datagram *find(struct frag_table *t, const struct rxpkt *p, u32 id)
{
    struct datagram *d;
    list_for_each (d, &t->datagrams, node) {
        if (d->id == id && d->protocol == p->protocol && ipaddr_equal(&d->src, &p->src) &&
            ipaddr_equal(&d->dst, &p->dst))
            return d;
    }
    return NULL;
}

static struct datagram *make(struct frag_table *t, const struct rxpkt *p, u32 id)
{
    struct datagram *d = calloc(1, sizeof(*d));
    if (!d)
        return NULL;
    if (t->count == MAX_DATAGRAMS)
        drop(t, list_first(&t->datagrams, struct datagram, node));
    d->src = p->src;
    d->dst = p->dst;
    d->id = id;
    d->protocol = p->protocol;
    d->expires_ns = clock_mono_ns() + TIMEOUT_NS;
    list_init(&d->pieces);
    list_add_tail(&t->datagrams, &d->node);
    t->count++;
    return d;
}

/* False: it overlaps or is malformed, and the datagram is to go. */
static bool add(struct frag_table *t, struct datagram *d, const struct rxpkt *p, u32 off,
                bool is_last)
{
    u32 size = p->len, end = off + size;
    struct piece *after, *q;
    if (end > MAX_SIZE || (!is_last && size % 8) || !size || d->npieces == MAX_PIECES)
        return false;
    if (is_last) {
        after = list_last(&d->pieces, struct piece, node);
        if (d->total || (after && after->off + after->size > end))
            return false;
    } else if (d->total && end > d->total) {
        return false;
    }
    struct list *at = d->pieces.prev; /* pieces come in order as a rule */
    for (; at != &d->pieces; at = at->prev) {
        after = list_entry(at, struct piece, node);
        if (after->off <= off)
            break;
    }
    if (at != &d->pieces) {
        after = list_entry(at, struct piece, node);
        if (after->off == off && after->size == size)
            return true; /* the same again */
        if (after->off + after->size > off)
            return false;
    }
    if (at->next != &d->pieces && list_entry(at->next, struct piece, node)->off < end)
        return false;
    while (t->bytes + size + sizeof(*q) > MAX_BYTES) {
        struct datagram *old = list_first(&t->datagrams, struct datagram, node);
        if (old == d)
            return false;
        drop(t, old);
    }
    if (!net_mem_charge(sizeof(*q) + size))
        return false;
    q = malloc(sizeof(*q) + size);
    if (!q) {
        net_mem_uncharge(sizeof(*q) + size);
        return false;
    }
    q->off = off;
    q->size = size;
    memcpy(q->data, p->data, size);
    list_insert_(&q->node, at, at->next);
    t->bytes += size + (u32)sizeof(*q);
    d->bytes += size;
    d->npieces++;
    if (is_last)
        d->total = end;
    if (!off) {
        d->header_len = ipaddr_is_v4(&p->dst) ? (p->ip[0] & 15U) * 4 : IP6_HLEN;
        memcpy(d->header, p->ip, d->header_len);
        d->tos = p->tos;
        d->ttl = p->ttl;
    }
    return true;
}

/* The header of the whole: the first piece's, with what is different. */
static void put_header(u8 *h, const struct datagram *d)
{
    memcpy(h, d->header, d->header_len);
    if (!ipaddr_is_v4(&d->dst)) {
        wr16(h + 4, d->total);
        h[6] = d->protocol;
        return;
    }
    wr16(h + 2, d->header_len + d->total);
    memset(h + 6, 0, 2);
    memset(h + 10, 0, 2);
    csum_store(h + 10, csum_add(0, h, d->header_len), true);
}

void frag_input(struct rxpkt *p, u32 id, u32 off, bool is_last)
{
    struct netstack *stk = p->ifc->stk;
    struct frag_table *t = stk->frags;
    u8 *whole = NULL;
    struct rxpkt w = *p;
    STK_COUNT(stk, ip_reasm_reqds);
    mutex_lock(&t->lock);
    struct datagram *d = find(t, p, id);
    if (!d)
        d = make(t, p, id);
    if (d && !add(t, d, p, off, is_last)) {
        drop(t, d);
        d = NULL;
        STK_COUNT(stk, ip_reasm_fails);
    }
    if (d && d->total && d->bytes == d->total) {
        struct piece *q;
        u32 header = d->header_len;
        bool is_ok = !ipaddr_is_v4(&d->dst) || header + d->total <= MAX_SIZE;
        whole = is_ok ? malloc(header + d->total) : NULL;
        if (whole) {
            put_header(whole, d);
            list_for_each (q, &d->pieces, node)
                memcpy(whole + header + q->off, q->data, q->size);
        }
        w.ip = whole;
        w.ip_len = header + d->total;
        w.data = whole + header;
        w.len = d->total;
        w.tos = d->tos;
        w.ttl = d->ttl;
        drop(t, d);
    }
    mutex_unlock(&t->lock);
    stk_need_tick(stk);
    if (!whole)
        return;
    STK_COUNT(stk, ip_reasm_oks);
    w.is_csum_ok = false;
    w.gso_size = 0;
    w.is_gso_udp = false;
    ip_whole(&w);
    free(whole);
}

bool frag_tick(struct netstack *stk, s64 now)
{
    struct frag_table *t = stk->frags;
    struct datagram *d;
    MUTEX_GUARD(&t->lock);
    while ((d = list_first(&t->datagrams, struct datagram, node)) && d->expires_ns <= now) {
        drop(t, d);
        STK_COUNT(stk, ip_reasm_fails);
    }
    return d;
}
