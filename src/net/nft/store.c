/*
 * What a set holds: a hash table of all its elements by key, and for intervals a tree in the order
 * of keys, in which the greatest element that is not above a key says whether the key is in one: it
 * is, unless that element is an interval's end (which is not part of it).
 *
 * Concatenations of ranges are looked through one by one.
 */
#include <string.h>

#include "net/nft/nft.h"
#include "net/stack/stack.h"

#define MIN_BUCKETS 8U
#define SWEEP_NS    NSEC_PER_SEC

static u32 hash_of(const struct nft_set *s, const u8 *key)
{
    return (u32)net_hash(s->n->secret, key, s->klen) & (s->nbuckets - 1);
}

static bool is_end(const struct nft_elem *e)
{
    return e->flags & LX_NFT_SET_ELEM_INTERVAL_END;
}

static bool is_tree(const struct nft_set *s)
{
    return s->flags & LX_NFT_SET_INTERVAL && !(s->flags & LX_NFT_SET_CONCAT && s->nfields > 1);
}

static bool is_ranges(const struct nft_set *s)
{
    return s->flags & LX_NFT_SET_INTERVAL && s->flags & LX_NFT_SET_CONCAT && s->nfields > 1;
}

bool nft_elem_is_over(const struct nft_elem *e, s64 now)
{
    return e->expires_ns && e->expires_ns <= now;
}

/* ---- the hash table ------------------------------------------------------------------------ */

static bool grow(struct nft_set *s)
{
    u32 n = s->nbuckets ? s->nbuckets * 4 : MIN_BUCKETS, old = s->nbuckets;
    struct nft_elem **to = nft_alloc(s->n, n * sizeof(*to)), **from = s->buckets;
    if (!to)
        return old != 0; /* it gets slower */
    s->buckets = to;
    s->nbuckets = n;
    for (u32 i = 0; i < old; i++) {
        struct nft_elem *e, *next;
        for (e = from[i]; e; e = next) {
            u32 h = hash_of(s, e->key);
            next = e->hash_next;
            e->hash_next = to[h];
            to[h] = e;
        }
    }
    nft_free(from);
    return true;
}

struct nft_elem *nft_store_find(struct nft_set *s, const u8 *key, const u8 *end, u32 flags)
{
    if (flags & LX_NFT_SET_ELEM_CATCHALL)
        return s->catchall;
    if (!s->nbuckets)
        return NULL;
    struct nft_elem *e = s->buckets[hash_of(s, key)];
    for (; e; e = e->hash_next) {
        if (memcmp(e->key, key, s->klen) || (e->flags ^ flags) & LX_NFT_SET_ELEM_INTERVAL_END)
            continue;
        const u8 *mine = e->has_end ? e->key + s->klen : e->key;
        if (!memcmp(mine, end ? end : key, s->klen))
            return e;
    }
    return NULL;
}

/* ---- the tree ------------------------------------------------------------------------------ */

static struct nft_elem *elem_at(struct rb_node *n)
{
    return n ? rb_entry(n, struct nft_elem, node) : NULL;
}

/* Ends stand before what begins at the same key. */
static int compare(const struct nft_set *s, const u8 *key, bool is_key_end,
                   const struct nft_elem *e)
{
    int d = memcmp(key, e->key, s->klen);
    return d ? d : (int)is_end(e) - (int)is_key_end;
}

static void tree_add(struct nft_set *s, struct nft_elem *e)
{
    struct rb_node **link = &s->tree.root, *parent = NULL;
    while (*link) {
        parent = *link;
        bool is_less = compare(s, e->key, is_end(e), elem_at(parent)) < 0;
        link = is_less ? &parent->left : &parent->right;
    }
    rb_link(&s->tree, &e->node, parent, link);
}

static struct nft_elem *tree_floor(struct nft_set *s, const u8 *key)
{
    struct nft_elem *best = NULL;
    for (struct rb_node *n = s->tree.root; n;) {
        struct nft_elem *e = elem_at(n);
        if (compare(s, key, false, e) < 0) {
            n = n->left;
        } else {
            best = e;
            n = n->right;
        }
    }
    return best && !is_end(best) ? best : NULL;
}

/* The first end that is not below the key. */
struct nft_elem *nft_store_end(struct nft_set *s, const u8 *key)
{
    struct nft_elem *best = NULL;
    for (struct rb_node *n = s->tree.root; n;) {
        struct nft_elem *e = elem_at(n);
        if (memcmp(key, e->key, s->klen) <= 0) {
            best = is_end(e) ? e : best;
            n = n->left;
        } else {
            n = n->right;
        }
    }
    return best;
}

/* Beginnings and ends take turns. */
bool nft_store_overlaps(struct nft_set *s, const struct nft_elem *e)
{
    if (!is_tree(s) || e->flags & LX_NFT_SET_ELEM_CATCHALL || !e->is_linked)
        return false;
    struct nft_elem *before = elem_at(rb_prev(&e->node)), *after = elem_at(rb_next(&e->node));
    if (before && is_end(before) == is_end(e))
        return true;
    return after && is_end(after) == is_end(e);
}

/* ---- looking up ---------------------------------------------------------------------------- */

/* Is every field of the key in the element's range? Fields begin at words. */
static bool is_in_ranges(const struct nft_set *s, const struct nft_elem *e, const u8 *key)
{
    const u8 *end = e->has_end ? e->key + s->klen : e->key;
    for (u32 i = 0, at = 0; i < s->nfields; i++) {
        u32 n = s->fields[i];
        if (memcmp(key + at, e->key + at, n) < 0 || memcmp(key + at, end + at, n) > 0)
            return false;
        at += NL_ALIGN(n);
    }
    return true;
}

static struct nft_elem *look_through(struct nft_set *s, const u8 *key)
{
    for (u32 i = 0; i < s->nbuckets; i++) {
        for (struct nft_elem *e = s->buckets[i]; e; e = e->hash_next) {
            if (is_in_ranges(s, e, key))
                return e;
        }
    }
    return NULL;
}

struct nft_elem *nft_set_lookup(struct nft_set *s, const u8 *key)
{
    struct nft_elem *e;
    if (is_tree(s))
        e = tree_floor(s, key);
    else if (is_ranges(s))
        e = look_through(s, key);
    else
        e = nft_store_find(s, key, NULL, 0);
    if (e && e->expires_ns && nft_elem_is_over(e, clock_mono_ns()))
        e = NULL;
    return e ? e : s->catchall;
}

/* ---- adding, removing ---------------------------------------------------------------------- */

int nft_store_add(struct nft_set *s, struct nft_elem *e)
{
    if (e->flags & LX_NFT_SET_ELEM_CATCHALL) {
        s->catchall = e;
        e->is_linked = true;
        s->nelems++;
        return 0;
    }
    if (s->nelems >= s->nbuckets * 2 && !grow(s))
        return -LX_ENOMEM;
    u32 h = hash_of(s, e->key);
    e->hash_next = s->buckets[h];
    s->buckets[h] = e;
    if (is_tree(s))
        tree_add(s, e);
    e->is_linked = true;
    s->nelems++;
    return 0;
}

void nft_store_del(struct nft_set *s, struct nft_elem *e)
{
    if (!e->is_linked)
        return;
    e->is_linked = false;
    s->nelems--;
    if (e->flags & LX_NFT_SET_ELEM_CATCHALL) {
        s->catchall = NULL;
        return;
    }
    struct nft_elem **at = &s->buckets[hash_of(s, e->key)];
    while (*at != e)
        at = &(*at)->hash_next;
    *at = e->hash_next;
    if (is_tree(s))
        rb_erase(&s->tree, &e->node);
}

static bool has_verdict(const struct nft_set *s, const struct nft_elem *e)
{
    return s->flags & LX_NFT_SET_MAP && s->dtype == (u32)LX_NFT_DATA_VERDICT && !is_end(e);
}

/* Takes out what is over; at most once in a while. The caller holds the set's lock. */
void nft_store_sweep(struct nft_set *s, s64 now)
{
    if (now - s->swept_ns < SWEEP_NS)
        return;
    s->swept_ns = now;
    for (u32 i = 0; i < s->nbuckets; i++) {
        struct nft_elem *e, *next;
        for (e = s->buckets[i]; e; e = next) {
            next = e->hash_next;
            if (!nft_elem_is_over(e, now) || has_verdict(s, e) || e->obj)
                continue; /* what counts references goes by a batch alone */
            nft_store_del(s, e);
            nft_elem_free(s->n, e);
        }
    }
}

/* One after the other, by place. */
struct nft_elem *nft_store_next(struct nft_set *s, u32 *bucket, u32 *nth)
{
    for (; *bucket < s->nbuckets; (*bucket)++, *nth = 0) {
        u32 i = 0;
        for (struct nft_elem *e = s->buckets[*bucket]; e; e = e->hash_next) {
            if (i++ == *nth) {
                (*nth)++;
                return e;
            }
        }
    }
    if (*bucket == s->nbuckets && s->catchall) {
        (*bucket)++;
        return s->catchall;
    }
    return NULL;
}

/* ---- elements ------------------------------------------------------------------------------ */

struct nft_elem *nft_elem_new(struct nft_set *s, const u8 *key, const u8 *end)
{
    struct nft_elem *e = nft_alloc(s->n, sizeof(*e) + (end ? 2 : 1) * s->klen);
    if (!e)
        return NULL;
    if (key)
        memcpy(e->key, key, s->klen);
    if (end)
        memcpy(e->key + s->klen, end, s->klen);
    e->has_end = end;
    return e;
}

void nft_elem_free(struct nft_ns *n, struct nft_elem *e)
{
    if (!e)
        return;
    nft_exprs_free(n, e->exprs, e->nexprs);
    nft_free(e->udata.p);
    nft_free(e);
}

void nft_elem_link(struct nft_set *s, struct nft_elem *e)
{
    if (has_verdict(s, e) && e->data.v.chain)
        e->data.v.chain->use++;
    if (e->obj)
        e->obj->use++;
}

void nft_elem_unlink(struct nft_set *s, struct nft_elem *e)
{
    if (has_verdict(s, e) && e->data.v.chain)
        e->data.v.chain->use--;
    if (e->obj)
        e->obj->use--;
}

void nft_elems_link(struct nft_set *s)
{
    u32 bucket = 0, nth = 0;
    struct nft_elem *e;
    while ((e = nft_store_next(s, &bucket, &nth)))
        nft_elem_link(s, e);
}

void nft_elems_unlink(struct nft_set *s)
{
    u32 bucket = 0, nth = 0;
    struct nft_elem *e;
    while ((e = nft_store_next(s, &bucket, &nth)))
        nft_elem_unlink(s, e);
}

void nft_set_take_out(struct nft_set *s)
{
    s->prev = s->node.prev;
    list_del(&s->node);
    s->is_out = true;
    s->table->use--;
    nft_elems_unlink(s);
}

void nft_set_put_back(struct nft_set *s)
{
    list_add_head(s->prev, &s->node);
    s->is_out = false;
    s->table->use++;
    nft_elems_link(s);
}
