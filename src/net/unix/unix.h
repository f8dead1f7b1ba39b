/*
 * UNIX sockets: stream (byte queues), datagram and seqpacket (message queues).
 *
 * A connected pair refers to each other through `peer`; for streams and seqpackets that
 * is set once, before the state becomes SOCK_ESTABLISHED, and cleared only when the own file is
 * released, so a system call on the sock may use it without a lock. Datagram sockets may
 * change theirs at any time, under sk.lock.
 *
 * Names: abstract ones in the namespace's table; a path's inode points at the sock (inode->sock),
 * guarded by the one unix_path_lock, since inodes are shared by namespaces.
 */
#ifndef NET_UNIX_UNIX_H
#define NET_UNIX_UNIX_H

#include "net/bq.h"
#include "net/mq.h"
#include "net/sock.h"

#define UNIX_NAME_BUCKETS 256
#define UNIX_ADDR_MIN     2 /* only the family: unnamed */

struct unix_ns {
    struct mutex lock;
    struct list names[UNIX_NAME_BUCKETS]; /* unix_sock.name_node; guarded by lock */
    _Atomic u32 next_auto;
};

struct unix_addr {
    struct ref ref;
    u32 len;               /* of the sockaddr */
    struct lx_sockaddr_un un;
    char nul;              /* ends a full path */
};

struct unix_sock {
    struct sock sk;
    struct mutex bind_lock;    /* one bind at a time; before every other lock */
    _Atomic(struct unix_addr *) addr; /* owned; set once */
    struct path path;          /* guarded by unix_path_lock */
    struct list name_node;     /* guarded by unix_ns.lock */

    struct unix_sock *peer;    /* owned; guarded by sk.lock, see above */
    struct bq *rx, *tx;        /* stream: owned; set once before ESTABLISHED */
    struct mq rxq;             /* datagram, seqpacket */
    struct list accept_q;      /* listener: children; guarded by sk.lock, as the next two */
    u32 nqueued;
    s32 backlog;               /* listener: connections; datagram: messages */
    struct list accept_node;   /* in the listener's accept_q */
    struct waitq peer_wait;    /* senders and connecters that found this sock's queue full */
    struct list clients;       /* datagram socks connected to this one; guarded by sk.lock */
    struct list client_node;   /* guarded by peer->sk.lock */
};

static inline struct unix_sock *unix_sk(struct sock *sk)
{
    return container_of(sk, struct unix_sock, sk);
}

extern const struct sock_ops unix_stream_ops, unix_dgram_ops, unix_seqpacket_ops;

/* unix.c */
struct unix_sock *unix_new(struct net_ns *ns, u16 type, int *ret_err) must_check;
void unix_put(struct unix_sock *u);
/* Two locks of one class, in address order; either may be NULL or both the same. */
void unix_lock_two(struct unix_sock *a, struct unix_sock *b);
void unix_unlock_two(struct unix_sock *a, struct unix_sock *b);
struct unix_sock *unix_get_peer(struct unix_sock *u); /* referenced or NULL */
void unix_fill_name(const struct unix_addr *a, union saddr *ret, u32 *ret_len);
static inline struct unix_addr *unix_addr_of(const struct unix_sock *u)
{
    return atomic_load_explicit(&u->addr, memory_order_acquire);
}
void unix_addr_put(struct unix_addr *a);
void unix_wake_clients(struct unix_sock *u);
/* What waits to be read or accepted, and what was sent and not read or the backlog's limit. */
void unix_queue_lengths(struct unix_sock *u, u32 *ret_rx, u32 *ret_tx);
static inline bool unix_is_full(const struct unix_sock *u)
{
    return (s64)mq_count(&u->rxq) > u->backlog;
}
/* Fills ret from the sender's identity when one of the two wants it. */
void unix_maybe_who(struct unix_sock *u, struct unix_sock *other, struct scm *scm);

/* name.c */
int unix_check_addr(const union saddr *addr, u32 len) must_check;
int unix_bind(struct sock *sk, const union saddr *addr, u32 len) must_check;
int unix_autobind(struct unix_sock *u) must_check;
/* The sock of an address, referenced. -LX_ECONNREFUSED, -LX_EPROTOTYPE, errors of the path walk. */
int unix_find(struct unix_sock *u, const union saddr *addr, u32 len,
              struct unix_sock **ret_other) must_check;
void unix_unbind(struct unix_sock *u);

/* conn.c: streams and seqpackets */
int unix_listen(struct sock *sk, s32 backlog) must_check;
int unix_conn_connect(struct sock *sk, const union saddr *addr, u32 len, bool is_nonblock) must_check;
int unix_accept(struct sock *sk, bool is_nonblock, struct sock **ret_child) must_check;
int unix_pair(struct sock *a, struct sock *b) must_check;
int unix_shutdown(struct sock *sk, u32 how) must_check;
void unix_release(struct sock *sk);

/* stream.c, dgram.c */
s64 unix_stream_send(struct sock *sk, struct smsg *m) must_check;
s64 unix_stream_recv(struct sock *sk, struct smsg *m) must_check;
int unix_dgram_connect(struct sock *sk, const union saddr *addr, u32 len, bool is_nonblock) must_check;
s64 unix_dgram_send(struct sock *sk, struct smsg *m) must_check;
s64 unix_dgram_recv(struct sock *sk, struct smsg *m) must_check;
s64 unix_seqpacket_send(struct sock *sk, struct smsg *m) must_check;
s64 unix_seqpacket_recv(struct sock *sk, struct smsg *m) must_check;
/* Ends u's datagram connection, if it still is to `peer` (NULL: to anyone). Drops the peer reference. */
void unix_dgram_disconnect(struct unix_sock *u, struct unix_sock *peer);

#endif
