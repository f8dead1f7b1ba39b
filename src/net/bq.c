/*
 * Byte queues; the theory is in the header.
 *
 * Invariants: chunks stand in order and only the tail may be empty, and that only while a
 * writer copies into it; the sum of (end - start) over chunks is tail - head.
 */
#include "net/bq.h"

#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "net/net.h"

#define CHUNK_SMALL 4096U
#define CACHE_MAX   64U /* big chunks kept for reuse */

struct chunk {
    struct list node;
    u32 start, end; /* published bytes: data[start..end) */
    u32 cap;        /* immutable, as charged */
    u8 data[];
};

/* Room for a write of 64 KiB, the usual one, in one piece. */
#define CHUNK_BIG ((u32)(65536 + sizeof(struct chunk)))

static struct mutex cache_lock = MUTEX_INIT("bq_cache"); /* leaf */
static struct list cache = LIST_INIT(cache);
static u32 ncached;

/* is_first: the queue is empty, so a small chunk is granted even over the memory limit. */
static struct chunk *chunk_new(u64 want, bool is_first)
{
    u32 cap = want <= CHUNK_SMALL - sizeof(struct chunk) ? CHUNK_SMALL : CHUNK_BIG;
    if (!net_mem_charge(cap)) {
        if (!is_first)
            return NULL;
        cap = CHUNK_SMALL;
        net_mem_force(cap);
    }
    struct chunk *c = NULL;
    if (cap == CHUNK_BIG) {
        MUTEX_GUARD(&cache_lock);
        c = list_first(&cache, struct chunk, node);
        if (c) {
            list_del(&c->node);
            ncached--;
        }
    }
    if (!c)
        c = malloc(cap);
    if (!c) {
        net_mem_uncharge(cap);
        return NULL;
    }
    list_init(&c->node);
    c->start = c->end = 0;
    c->cap = cap;
    return c;
}

static inline u32 chunk_room(const struct chunk *c)
{
    return c->cap - (u32)sizeof(struct chunk) - c->end;
}

static void chunk_free(struct chunk *c)
{
    net_mem_uncharge(c->cap);
    if (c->cap == CHUNK_BIG) {
        MUTEX_GUARD(&cache_lock);
        if (ncached < CACHE_MAX) {
            list_add_head(&cache, &c->node);
            ncached++;
            return;
        }
    }
    free(c);
}

static void chunks_free(struct list *l)
{
    struct chunk *c, *tmp;
    list_for_each_safe(c, tmp, l, node) {
        list_del(&c->node);
        chunk_free(c);
    }
}

void bq_mark_free(struct bq_mark *m)
{
    if (!m)
        return;
    scm_done(&m->scm);
    free(m);
}

static void marks_free(struct list *l)
{
    struct bq_mark *m, *tmp;
    list_for_each_safe(m, tmp, l, node) {
        list_del(&m->node);
        bq_mark_free(m);
    }
}

struct bq *bq_new(u64 limit)
{
    struct bq *q = calloc(1, sizeof(*q));
    if (!q)
        return NULL;
    ref_init(&q->ref);
    mutex_init(&q->wlock, "bq_wlock");
    mutex_init(&q->rlock, "bq_rlock");
    mutex_init(&q->lock, "bq");
    list_init(&q->chunks);
    list_init(&q->marks);
    q->limit = limit;
    q->hold = UINT64_MAX;
    return q;
}

void bq_get(struct bq *q)
{
    ref_get(&q->ref);
}

void bq_put(struct bq *q)
{
    if (!q || !ref_put(&q->ref))
        return;
    chunks_free(&q->chunks);
    marks_free(&q->marks);
    free(q);
}

u64 bq_space(struct bq *q)
{
    u64 load = bq_load(q);
    if (load >= q->limit)
        return 0;
    if (unlikely(net_mem_used() >= NET_MEM_MAX) && q->tail != q->head) {
        q->is_pressed = true;
        return 0;
    }
    return q->limit - load;
}

static struct bq_mark *last_mark(struct bq *q)
{
    return list_last(&q->marks, struct bq_mark, node);
}

/* Covers the piece [tail, tail + n) that is being published. *new_mark is used up or left. */
static void mark_piece(struct bq *q, u64 n, struct scm *scm, struct bq_mark **new_mark)
{
    struct bq_mark *last = last_mark(q);
    if (last && last->end == q->tail && !scm->files && !last->scm.files && scm->has_who &&
        last->scm.has_who && scm_who_equal(&last->scm.who, &scm->who)) {
        last->end += n;
        return;
    }
    struct bq_mark *m = take_ptr(*new_mark);
    m->start = q->tail;
    m->end = q->tail + n;
    m->scm.files = take_ptr(scm->files);
    list_add_tail(&q->marks, &m->node);
    q->nmarks++;
}

static struct bq_mark *mark_new(const struct scm *scm)
{
    struct bq_mark *m = calloc(1, sizeof(*m));
    if (!m)
        return NULL;
    list_init(&m->node);
    scm_init(&m->scm);
    if (scm->has_who) {
        m->scm.has_who = true;
        m->scm.who = scm_who_copy(&scm->who);
    }
    return m;
}

/* The tail chunk with room to copy into, reserved for this writer; NULL and *ret_err set otherwise. */
static struct chunk *reserve(struct bq *q, u64 max, u64 *ret_n, int *ret_err)
{
    *ret_err = 0;
    mutex_lock(&q->lock);
    if (q->is_broken) {
        mutex_unlock(&q->lock);
        *ret_err = -LX_EPIPE;
        return NULL;
    }
    u64 n = MIN(max, bq_space(q));
    struct chunk *c = list_last(&q->chunks, struct chunk, node);
    bool is_empty = q->head == q->tail;
    if (n == 0 || (c && chunk_room(c) > 0)) {
        if (n) {
            n = MIN(n, chunk_room(c));
            q->is_writer_copying = true;
        } else {
            c = NULL;
        }
        mutex_unlock(&q->lock);
        *ret_n = n;
        return c;
    }
    mutex_unlock(&q->lock);
    c = chunk_new(n, is_empty);
    if (!c) {
        *ret_err = -LX_ENOBUFS;
        return NULL;
    }
    mutex_lock(&q->lock);
    list_add_tail(&q->chunks, &c->node);
    q->is_writer_copying = true;
    mutex_unlock(&q->lock);
    *ret_n = MIN(n, chunk_room(c));
    return c;
}

s64 bq_write(struct bq *q, struct uio *from, u64 max, struct scm *scm)
{
    u64 n;
    int err;
    struct bq_mark *mark = NULL;
    if (scm && (scm->files || scm->has_who)) {
        mark = mark_new(scm);
        if (!mark)
            return -LX_ENOBUFS;
    } else {
        scm = NULL;
    }
    struct chunk *c = reserve(q, MIN(max, from->left), &n, &err);
    if (!c) {
        bq_mark_free(mark);
        return err;
    }
    s64 r = uio_copy_from(from, c->data + c->end, n);
    struct chunk *drained = NULL;
    mutex_lock(&q->lock);
    q->is_writer_copying = false;
    if (r > 0) {
        if (scm)
            mark_piece(q, (u64)r, scm, &mark);
        c->end += (u32)r;
        q->tail += (u64)r;
    } else if (c->start == c->end) {
        if (q->hint == &c->node)
            q->hint = NULL;
        list_del(&c->node);
        drained = c;
    }
    mutex_unlock(&q->lock);
    if (drained)
        chunk_free(drained);
    bq_mark_free(mark);
    return r;
}

/* Finds the chunk that holds pos. NULL at the end of the queue. */
static struct chunk *chunk_at(struct bq *q, u64 pos, u64 *ret_off)
{
    u64 off = pos - q->head;
    struct chunk *c;
    list_for_each(c, &q->chunks, node) {
        u32 have = c->end - c->start;
        if (off < have) {
            *ret_off = off;
            return c;
        }
        off -= have;
    }
    return NULL;
}

s64 bq_copy(struct bq *q, u64 pos, struct uio *to, u64 max)
{
    u64 done = 0;
    if (!to) {
        mutex_lock(&q->lock);
        done = pos < q->tail ? MIN(max, q->tail - pos) : 0;
        mutex_unlock(&q->lock);
        return (s64)done;
    }
    while (done < max) {
        u64 off = 0;
        mutex_lock(&q->lock);
        struct chunk *c = chunk_at(q, pos + done, &off);
        u64 n = c ? MIN(max - done, c->end - c->start - off) : 0;
        const u8 *src = c ? c->data + c->start + off : NULL;
        mutex_unlock(&q->lock);
        if (!n)
            break;
        /* The reader holds rlock, so the chunk stays; published bytes do not change. */
        s64 r = uio_copy_to(to, src, n);
        if (r < 0)
            return done ? (s64)done : r;
        done += (u64)r;
        if ((u64)r < n)
            break;
    }
    return (s64)done;
}

bool bq_consume(struct bq *q, u64 size, u64 wake_at)
{
    struct list gone, gone_marks;
    list_init(&gone);
    list_init(&gone_marks);
    mutex_lock(&q->lock);
    u64 before = bq_load(q);
    q->head += size;
    while (size) {
        struct chunk *c = list_first(&q->chunks, struct chunk, node);
        u32 have = c->end - c->start;
        if (size < have) {
            c->start += (u32)size;
            break;
        }
        size -= have;
        c->start = c->end;
        bool is_tail = c->node.next == &q->chunks;
        if (q->hint == &c->node)
            q->hint = NULL;
        if (is_tail && q->is_writer_copying)
            break;
        list_del(&c->node);
        list_add_tail(&gone, &c->node);
    }
    struct bq_mark *m, *tmp;
    list_for_each_safe(m, tmp, &q->marks, node) {
        if (m->end > q->head)
            break;
        list_del(&m->node);
        list_add_tail(&gone_marks, &m->node);
        q->nmarks--;
    }
    u64 after = bq_load(q);
    bool is_wake = q->is_pressed || (before > wake_at && after <= wake_at);
    q->is_pressed = false;
    mutex_unlock(&q->lock);
    chunks_free(&gone);
    marks_free(&gone_marks);
    return is_wake;
}

bool bq_drop(struct bq *q, u64 size, u64 wake_at) NO_THREAD_ANALYSIS
{
    return bq_consume(q, size, wake_at);
}

u64 bq_append(struct bq *q, const void *data, u64 size)
{
    const u8 *p = data;
    u64 left = size;
    while (left) {
        mutex_lock(&q->lock);
        struct chunk *c = list_last(&q->chunks, struct chunk, node);
        bool is_first = !c;
        if (!c || !chunk_room(c)) {
            mutex_unlock(&q->lock);
            c = chunk_new(left, is_first);
            if (!c)
                break;
            mutex_lock(&q->lock);
            list_add_tail(&q->chunks, &c->node);
        }
        u32 n = (u32)MIN(left, (u64)chunk_room(c));
        q->is_writer_copying = true; /* the chunk stays; the bytes beyond its end are ours alone */
        mutex_unlock(&q->lock);
        memcpy(c->data + c->end, p, n);
        mutex_lock(&q->lock);
        q->is_writer_copying = false;
        c->end += n;
        q->tail += n;
        mutex_unlock(&q->lock);
        p += n;
        left -= n;
    }
    return size - left;
}

u64 bq_peek(struct bq *q, u64 pos, u64 max, struct iovec *iov, u32 niov, u32 *ret_n)
{
    u64 found = 0, at = q->head;
    u32 n = 0;
    MUTEX_GUARD(&q->lock);
    struct list *l = q->chunks.next;
    at = q->head;
    if (q->hint && q->hint_pos <= pos && q->hint_pos >= q->head) {
        l = q->hint;
        at = q->hint_pos;
    }
    for (; l != &q->chunks && n < niov && found < max; l = l->next) {
        struct chunk *c = list_entry(l, struct chunk, node);
        u32 have = c->end - c->start;
        if (pos + found >= at + have) {
            at += have;
            continue;
        }
        u64 off = pos + found - at, take = MIN(have - off, max - found);
        iov[n++] = (struct iovec){c->data + c->start + off, take};
        found += take;
        q->hint = l;
        q->hint_pos = at;
        at += have;
    }
    *ret_n = n;
    return found;
}

void bq_purge(struct bq *q)
{
    struct list gone_marks, gone;
    list_init(&gone_marks);
    list_init(&gone);
    mutex_lock(&q->rlock);
    mutex_lock(&q->lock);
    q->hint = NULL;
    struct chunk *c, *tmp;
    list_for_each_safe(c, tmp, &q->chunks, node) {
        c->start = c->end;
        if (c->node.next == &q->chunks && q->is_writer_copying)
            break;
        list_del(&c->node);
        list_add_tail(&gone, &c->node);
    }
    q->head = q->tail;
    q->hold = UINT64_MAX;
    list_splice_tail(&gone_marks, &q->marks);
    q->nmarks = 0;
    mutex_unlock(&q->lock);
    mutex_unlock(&q->rlock);
    chunks_free(&gone);
    marks_free(&gone_marks);
}

struct bq_mark *bq_mark_at(struct bq *q, u64 pos, u64 *ret_next)
{
    struct bq_mark *m;
    *ret_next = UINT64_MAX;
    list_for_each(m, &q->marks, node) {
        if (m->end <= pos)
            continue;
        if (m->start <= pos)
            return m;
        *ret_next = m->start;
        break;
    }
    return NULL;
}
