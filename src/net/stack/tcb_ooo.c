/*
 * Out-of-order data: disjoint ranges, the most recently touched first, each a list of pieces in
 * order. A new piece is cut to what is not there yet. Bounded by the window in bytes and by
 * TCB_MAX_RANGES in ranges; beyond these a piece is dropped, as if the network had lost it.
 */
#include <stdlib.h>

#include "net/net.h"
#include "net/stack/tcb.h"
#include "net/stack/wirefmt.h"

#define PIECE_ROOM 2048U /* a small piece leaves room for the next */

struct piece {
    struct list node;
    u32 size, room;
    u8 data[];
};

struct tcp_range {
    struct list node;
    u64 start, end;
    struct list pieces;
    u32 charged;
};

static void free_pieces(struct tcp_range *r)
{
    struct piece *p;
    while ((p = list_first(&r->pieces, struct piece, node))) {
        list_del(&p->node);
        free(p);
    }
    net_mem_uncharge(r->charged);
    r->charged = 0;
}

static void free_range(struct tcb *c, struct tcp_range *r)
{
    list_del(&r->node);
    c->nranges--;
    c->ooo_bytes -= r->end - r->start;
    free_pieces(r);
    free(r);
}

void tcb_ooo_drop(struct tcb *c)
{
    struct tcp_range *r;
    while ((r = list_first(&c->ooo, struct tcp_range, node)))
        free_range(c, r);
}

/* Appends to r, which ends where data begins. */
static bool append(struct tcb *c, struct tcp_range *r, const u8 *data, u32 len)
{
    struct piece *last = list_last(&r->pieces, struct piece, node);
    if (last && last->room - last->size >= len) {
        memcpy(last->data + last->size, data, len);
        last->size += len;
    } else {
        u32 room = MAX(len, PIECE_ROOM), weight = room + (u32)sizeof(*last);
        if (!net_mem_charge(weight))
            return false;
        struct piece *p = malloc(sizeof(*p) + room);
        if (!p) {
            net_mem_uncharge(weight);
            return false;
        }
        list_init(&p->node);
        p->size = len;
        p->room = room;
        memcpy(p->data, data, len);
        list_add_tail(&r->pieces, &p->node);
        r->charged += weight;
    }
    r->end += len;
    c->ooo_bytes += len;
    return true;
}

static struct tcp_range *range_at(struct tcb *c, u64 pos) /* the one that holds or ends at pos */
{
    struct tcp_range *r;
    list_for_each (r, &c->ooo, node) {
        if (r->start <= pos && pos <= r->end)
            return r;
    }
    return NULL;
}

/* Where the next range after pos begins. */
static u64 next_start(struct tcb *c, u64 pos)
{
    u64 next = UINT64_MAX;
    struct tcp_range *r;
    list_for_each (r, &c->ooo, node) {
        if (r->start > pos)
            next = MIN(next, r->start);
    }
    return next;
}

static void join(struct tcp_range *a, struct tcp_range *b, struct tcb *c)
{
    list_splice_tail(&a->pieces, &b->pieces);
    a->end = b->end;
    a->charged += b->charged;
    list_del(&b->node);
    c->nranges--;
    free(b);
}

static struct tcp_range *new_range(struct tcb *c, u64 start)
{
    struct tcp_range *r = c->nranges < TCB_MAX_RANGES ? calloc(1, sizeof(*r)) : NULL;
    if (!r)
        return NULL;
    r->start = r->end = start;
    list_init(&r->pieces);
    list_add_head(&c->ooo, &r->node);
    c->nranges++;
    return r;
}

void tcb_ooo_add(struct tcb *c, u64 seq, const u8 *data, u32 len)
{
    u64 end = seq + len;
    bool is_new = false;
    struct tcp_range *r = NULL;
    while (seq < end) {
        r = range_at(c, seq);
        if (r && r->end > seq) { /* there already, as far as r goes */
            u64 skip = MIN(r->end, end) - seq;
            if (!is_new && c->dsack_start == c->dsack_end) {
                c->dsack_start = seq;
                c->dsack_end = seq + skip;
            }
            seq += skip;
            data += skip;
            continue;
        }
        u32 n = (u32)(MIN(end, next_start(c, seq)) - seq);
        if (!r)
            r = new_range(c, seq);
        if (!r)
            return;
        if (!append(c, r, data, n)) {
            if (r->start == r->end)
                free_range(c, r);
            return;
        }
        is_new = true;
        seq += n;
        data += n;
        struct tcp_range *b;
        list_for_each (b, &c->ooo, node) {
            if (b != r && b->start == r->end) {
                join(r, b, c);
                break;
            }
        }
    }
    if (r) {
        list_del(&r->node);
        list_add_head(&c->ooo, &r->node);
    }
}

void tcb_ooo_drain(struct tcb *c)
{
    for (;;) {
        struct tcp_range *r, *hit = NULL;
        list_for_each (r, &c->ooo, node) {
            if (r->start <= c->rcv_nxt) {
                hit = r;
                break;
            }
        }
        if (!hit)
            return;
        u64 pos = hit->start;
        struct piece *p;
        list_for_each (p, &hit->pieces, node) {
            u64 skip = c->rcv_nxt > pos ? MIN(c->rcv_nxt - pos, (u64)p->size) : 0;
            if (skip < p->size) {
                u64 n = bq_append(c->rx, p->data + skip, p->size - skip);
                c->rcv_nxt += n;
                if (n < p->size - skip) /* no memory: the rest is lost and will be sent again */
                    break;
            }
            pos += p->size;
        }
        free_range(c, hit);
    }
}

u32 tcb_put_sacks(const struct tcb *c, u8 *o, u32 room)
{
    u32 n = 0, max = room >= 12 ? (room - 4) / 8 : 0;
    if (!max || (list_empty(&c->ooo) && c->dsack_start == c->dsack_end))
        return 0;
    max = MIN(max, TCP_MAX_SACKS);
    u8 *at = o + 4;
    if (c->dsack_start != c->dsack_end) {
        wr32(at, (u32)c->dsack_start);
        wr32(at + 4, (u32)c->dsack_end);
        at += 8;
        n++;
    }
    const struct tcp_range *r;
    list_for_each (r, &c->ooo, node) {
        if (n == max)
            break;
        wr32(at, (u32)r->start);
        wr32(at + 4, (u32)r->end);
        at += 8;
        n++;
    }
    o[0] = o[1] = 1;
    o[2] = 5;
    o[3] = (u8)(2 + 8 * n);
    return 4 + 8 * n;
}
