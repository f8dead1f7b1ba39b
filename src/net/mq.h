/*
 * mq: a queue of messages (datagrams, records), and messages themselves.
 *
 * A message is charged to its sender (sock.wmem) until it is freed, when it is one
 * that blocks senders (UNIX), or to its receiver (sock.rmem) while it waits there; and always
 * to NET_MEM_MAX. Weights follow Linux's truesize, so that buffers of a given size take
 * about as many messages.
 */
#ifndef NET_MQ_H
#define NET_MQ_H

#include "net/sock.h"

struct nmsg {
    struct list node;
    struct sock *owner;   /* owned: charged in wmem; or NULL */
    u32 size, truesize;
    s64 stamp_ns;         /* CLOCK_REALTIME, or 0 */
    struct scm scm;
    void (*free_cb)(struct nmsg *m); /* frees what cb owns, or NULL */
    u64 cb[14];           /* the protocol's own */
    u8 data[];
};

struct mq {
    struct mutex rlock;   /* takers and peekers: a message stays while one looks at it */
    struct mutex lock;
    struct list msgs;     /* guarded by lock */
    _Atomic u32 count;    /* written under lock */
    _Atomic u64 bytes;    /* sum of sizes; written under lock */
};

/* Linux's truesize of a message of this size. */
u32 nmsg_truesize(u32 size);
/* NULL: no memory or NET_MEM_MAX. owner (or NULL) is charged and referenced. */
struct nmsg *nmsg_new(u32 size, struct sock *owner) must_check;
/* Not under a lock: ends what it carries and wakes a sender. */
void nmsg_free(struct nmsg *m);

void mq_init(struct mq *q);
static inline bool mq_is_empty(const struct mq *q)
{
    return atomic_load_explicit(&q->count, memory_order_acquire) == 0;
}
static inline u32 mq_count(const struct mq *q)
{
    return atomic_load_explicit(&q->count, memory_order_acquire);
}
void mq_push(struct mq *q, struct nmsg *m);
void mq_push_locked(struct mq *q, struct nmsg *m) REQUIRES(q->lock);
/* Takes the first message; NULL when empty. */
struct nmsg *mq_pop(struct mq *q);
/* Takes a message out. */
void mq_remove_locked(struct mq *q, struct nmsg *m) REQUIRES(q->lock);
void mq_purge(struct mq *q);
/* Size of the first message; 0 when empty. */
u32 mq_first_size(struct mq *q);

/*
 * Receives one message. `off` (SO_PEEK_OFF, or 0) skips bytes across messages when peeking;
 * *ret_skip is what is left of it within the message found. Without MSG_PEEK the message is
 * taken and is the caller's. With it a reference-free copy is made: payload from *ret_skip to at most
 * `want` bytes, size as the original's, cb through dup_cb. 0 and *ret_m NULL when there is none.
 */
int mq_take(struct mq *q, bool is_peek, u64 off, u64 want,
            void (*dup_cb)(struct nmsg *copy, const struct nmsg *from), struct nmsg **ret_m,
            u64 *ret_skip) must_check;

/*
 * Copies payload from skip on to the receiver, sets MSG_TRUNC in m->ret_flags when it did not fit,
 * and returns what recvmsg returns (the true size with MSG_TRUNC in m->flags). -LX_EFAULT.
 */
s64 nmsg_copy_out(const struct nmsg *msg, struct smsg *m, u64 skip) must_check;

#endif
