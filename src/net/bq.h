/*
 * bq: a queue of bytes, one direction of a stream connection.
 *
 * Bytes stand in a list of chunks and are numbered from 0 for ever (u64). The writer copies
 * from its guest straight into the tail chunk, beyond what is published, then publishes
 * under `lock`; the reader copies straight out to its guest. Either side's copy is serialised
 * by wlock or rlock and runs beside the other's. A chunk leaves when it is drained, so an idle
 * connection holds no memory; big chunks are recycled last in, first out, which keeps a
 * bulk transfer inside the processor's cache.
 *
 * Marks carry what belongs to a range of bytes (credentials, files); see scm.h.
 * One byte may be marked urgent (out of band).
 */
#ifndef NET_BQ_H
#define NET_BQ_H

#include "base/list.h"
#include "base/lock.h"
#include "base/offer.h"
#include "base/ref.h"
#include "mm/uio.h"
#include "net/scm.h"

struct bq_mark {
    struct list node;
    u64 start, end; /* absolute positions [start, end) */
    struct scm scm;
};

enum bq_oob { BQ_OOB_NONE, BQ_OOB_UNREAD, BQ_OOB_READ };

struct bq {
    struct ref ref;
    struct mutex wlock, rlock; /* copies; see net.h */
    struct mutex lock;
    struct list chunks;        /* guarded by lock, as all below */
    struct list marks;         /* bq_mark, by start */
    struct offer *offer;       /* a reader that waits for bytes, or NULL */
    struct list *hint;         /* a chunk's node, or NULL; where bq_peek was last */
    u64 hint_pos;              /* the position of its first byte */
    u64 head, tail;            /* bytes [head, tail) are queued */
    u64 limit;                 /* the writer stops when used reaches it */
    u64 charged;               /* NET_MEM_MAX bytes held by chunks */
    bool is_eof;               /* no more bytes will come: the writer shut down or closed */
    bool is_broken;            /* bytes are no longer taken: the reader is gone or shut down */
    bool is_writer_copying;    /* a copy into the tail chunk is under way */
    bool is_pressed;           /* the writer was refused for lack of memory: wake it at any progress */
    u32 nmarks;
    u64 hold;                  /* bytes from here on wait for a retransmission; UINT64_MAX: none.
                                * TCP with a filter (tcp_data.c): readers stop at it */
    enum bq_oob oob;           /* state of the byte at oob_pos */
    u8 oob_byte;
    u64 oob_pos;
};

struct iovec;

struct bq *bq_new(u64 limit) must_check;
void bq_get(struct bq *q);
void bq_put(struct bq *q);

static inline u64 bq_used(const struct bq *q) REQUIRES(q->lock)
{
    return q->tail - q->head;
}

/* Where a reader's bytes end. */
static inline u64 bq_end_of_read(const struct bq *q) REQUIRES(q->lock)
{
    return MIN(q->tail, q->hold);
}

/* What the queue weighs against its limit: a mark costs the sender memory too. */
#define BQ_MARK_WEIGHT 256
static inline u64 bq_load(const struct bq *q) REQUIRES(q->lock)
{
    return q->tail - q->head + (u64)q->nmarks * BQ_MARK_WEIGHT;
}

/* Bytes that a write could take now; 0: full, and the reader's next step wakes the writer. */
u64 bq_space(struct bq *q) REQUIRES(q->lock);

/*
 * Moves at most `max` bytes of `from` into the queue, as one published piece of at most one
 * chunk. scm may be NULL; when it has files they move into a mark over this piece
 * and are NULL afterwards, when it has credentials the piece carries a copy. Bytes moved;
 * -LX_EFAULT when nothing could be copied; 0 when the queue is full; -LX_EPIPE: is_broken;
 * -LX_ENOBUFS: no memory.
 */
s64 bq_write(struct bq *q, struct uio *from, u64 max, struct scm *scm) must_check
    REQUIRES(q->wlock);

/*
 * Copies out from position pos (>= head) at most `max` bytes and not beyond what is queued;
 * does not consume. to NULL: only counts. Bytes; -LX_EFAULT when the first could not be copied.
 */
s64 bq_copy(struct bq *q, u64 pos, struct uio *to, u64 max) must_check REQUIRES(q->rlock);
/*
 * Consumes `size` bytes from the head. Marks that end there are dropped (their files
 * too: take them first). Returns true when a writer that was held up may go on: the queue fell
 * to or below wake_at.
 */
bool bq_consume(struct bq *q, u64 size, u64 wake_at) REQUIRES(q->rlock);
/* Drops everything. */
void bq_purge(struct bq *q);

/*
 * For a protocol machine at the other end of the queue, which serialises itself.
 *
 * bq_append: adds bytes of ours, whatever the limit; the caller is the only writer. Bytes; fewer without memory.
 * bq_peek: where the bytes from pos on are, as at most niov pieces of together at most max bytes; they
 * stay until they are consumed. Bytes found. Calls with growing pos are cheap.
 * bq_drop: bq_consume of the only reader.
 */
u64 bq_append(struct bq *q, const void *data, u64 size) must_check;
u64 bq_peek(struct bq *q, u64 pos, u64 max, struct iovec *iov, u32 niov, u32 *ret_n);
bool bq_drop(struct bq *q, u64 size, u64 wake_at);

/* The writer has done with `size` new bytes: a reader that has offered to be answered is. No locks. */
static inline bool bq_answer(struct bq *q, u64 size)
{
    if (size > OFFER_MAX_BYTES)
        return false;
    mutex_lock(&q->lock);
    struct offer *o = offer_take(&q->offer);
    mutex_unlock(&q->lock);
    if (o)
        offer_complete(o);
    return o != NULL;
}

/* The mark that covers pos, or NULL; *ret_next: where the next mark begins (or UINT64_MAX). */
struct bq_mark *bq_mark_at(struct bq *q, u64 pos, u64 *ret_next) REQUIRES(q->lock);
void bq_mark_free(struct bq_mark *m);

#endif
