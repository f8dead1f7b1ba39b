/*
 * TCP between sockets of one namespace: two byte queues instead of packets.
 *
 * A connection is two tcp_socks that refer to each other (`peer`), sharing a queue in each
 * direction. States change as segments would have changed them, at once: a FIN is the queue's
 * is_eof, an acknowledgement is implied, and a RST sets the other end's error. The end that closes
 * first leaves a tcp_wait behind its port (port.c).
 *
 * What an end needs of its connection is a tcp_end, counted: a call takes a reference under
 * sk.lock (tcp_take) and is safe from a disconnect (connect to AF_UNSPEC) meanwhile. A tcp_end
 * keeps the peer's sock in memory; a released sock gives up its own tcp_end, so there is no cycle.
 */
#ifndef NET_INET_TCP_H
#define NET_INET_TCP_H

#include "base/timer.h"
#include "net/bq.h"
#include "net/inet/inet.h"

#define TCP_SNDBUF_INIT  16384
#define TCP_SNDBUF_AUTO  3939840 /* what Linux grows a loopback connection's send buffer to */
#define TCP_RCVBUF_INIT  131072
#define TCP_WINDOW_INIT  65536

/* The steps of connect(2), Linux's socket_state. */
enum tcp_connecting { TCP_UNCONNECTED, TCP_CONNECTING, TCP_CONNECTED };

struct stk_conn; /* net/stack/tcp.h */

struct tcp_end {
    struct ref ref;
    struct tcp_sock *peer; /* owned, as all; immutable. Itself: a self-connect. NULL: over the stack */
    struct stk_conn *conn; /* the connection over the stack, or NULL */
    struct bq *rx, *tx;
};

struct tcp_tuple {
    ipaddr saddr, daddr;
    u16 sport, dport;
};

struct tcp_sock {
    struct inet_sock in;
    bool is_nat;                /* far is not our own tuple turned round; guarded by the table's lock, as far */
    struct tcp_tuple far;       /* the peer's own tuple, over the loopback */
    struct tcp_end *end;        /* owned; guarded by sk.lock */
    struct stk_conn *conn;      /* over the stack and in the table; owned; guarded by the table's lock */
    enum tcp_connecting connecting; /* guarded by sk.lock */
    _Atomic bool is_done;       /* a FIN arrived: reads end quietly, whatever error came after */
    struct list accept_q;       /* listener: established children; guarded by sk.lock, as below */
    struct list syn_q;          /* listener: clients that found the backlog full; own a reference */
    u32 nqueued;
    s32 backlog;
    struct list accept_node;    /* in the listener's accept_q or syn_q */
    struct tcp_sock *listener;  /* SYN_SENT and in its syn_q; owned; guarded by the table's lock */
    struct timer syn_timer;     /* ends such a wait, or retries what a filter held back; armed, it
                                 * owns a reference */
    _Atomic s64 retry_ns;
    _Atomic s64 syn_until_ns;   /* rules drop its SYNs: until when it sends them; 0: they do not */
    _Atomic u32 nretries;
    struct tcp_sock *deferrer;  /* in this listener's accept_q but not to be accepted before data
                                 * comes (TCP_DEFER_ACCEPT); owned; guarded by the table's lock */
    _Atomic bool is_deferred;
    u32 ndeferred;              /* listener: such children; guarded by sk.lock */
    _Atomic s64 rx_stamp_ns;    /* when the last bytes came, if the options ask for it */

    _Atomic bool is_nodelay, is_cork, is_quickack_off, is_fastopen_connect, is_inq;
    _Atomic bool is_repair, is_thin_lto, is_thin_dupack;
    _Atomic s32 keepidle, keepintvl, keepcnt, syncnt, linger2, defer_accept, window_clamp;
    _Atomic s32 user_timeout, maxseg, fastopen_qlen, cc; /* cc: index of the name */
    _Atomic u64 bytes_in, bytes_out;
    s64 created_ns;
};

static inline struct tcp_sock *tcp_sk(struct sock *sk)
{
    return container_of(sk, struct tcp_sock, in.sk);
}

extern const struct sock_ops tcp_ops;

/* tcp.c */
struct tcp_sock *tcp_new(struct net_ns *ns, u16 family, int *ret_err) must_check;
void tcp_put(struct tcp_sock *t);
/* Arms syn_timer with a reference of its own. */
void tcp_arm(struct tcp_sock *t, s64 at_ns);
struct tcp_end *tcp_take(struct tcp_sock *t) must_check; /* a reference, or NULL: not connected */
void tcp_end_put(struct tcp_end *e);
DEFINE_CLEANUP_PTR(struct tcp_end *, tcp_end_put)
s32 tcp_inq(struct sock *sk);
s32 tcp_outq(struct sock *sk);
s32 tcp_outq_unsent(struct sock *sk); /* -LX_EINVAL: listening */
s32 tcp_at_mark(struct sock *sk);
u64 tcp_tx_limit(const struct tcp_sock *t, const struct tcp_sock *peer);
static inline u64 tcp_wake_at(const struct bq *q)
{
    return q->limit / 3 * 2;
}
/* Locks of two socks by address; b may be NULL or a. */
void tcp_lock_two(struct tcp_sock *a, struct tcp_sock *b);
void tcp_unlock_two(struct tcp_sock *a, struct tcp_sock *b);

/* Steps of the protocol. REQUIRES the table's lock, and no sock's. They wake whom they concern. */
void tcp_fin(struct tcp_sock *t);
/* A RST from t to its peer, if that is still there. err: what t itself reports, or 0. */
void tcp_rst(struct tcp_sock *t, int err);
/* The end of a connection: state CLOSED, no tuple, no automatic port. err: SO_ERROR or 0. */
void tcp_done(struct tcp_sock *t, int err);

/* tcp_conn.c */
int tcp_connect(struct sock *sk, const union saddr *addr, u32 len, bool is_nonblock) must_check;
int tcp_listen(struct sock *sk, s32 backlog) must_check;
int tcp_accept(struct sock *sk, bool is_nonblock, struct sock **ret_child) must_check;
int tcp_shutdown(struct sock *sk, u32 how) must_check;
void tcp_syn_timeout(struct timer *timer);
/* Data came for a child that waits for it: it may be accepted. Not under the table's lock. */
void tcp_undefer(struct tcp_sock *child);
void tcp_undefer_locked(struct tcp_sock *child); /* REQUIRES the table's lock */
/* TCP_DEFER_ACCEPT as seconds. tcp_opt.c */
s32 tcp_defer_seconds(const struct tcp_sock *l);
/* Lets clients that wait for the backlog (or were filtered out) in. */
void tcp_promote(struct tcp_sock *l);
void tcp_release(struct sock *sk);
/* Waits until a connection that is being made is there. For send and receive. */
int tcp_wait_connected(struct tcp_sock *t, s64 deadline) must_check;

/* A child of a listener gets its options; it is in no table yet. */
void tcp_inherit(struct tcp_sock *c, struct tcp_sock *l);
/* The listener for a segment, referenced, or NULL. */
struct tcp_sock *tcp_listener_for(struct net_ns *ns, const ipaddr *saddr, u16 sport, const ipaddr *daddr,
                                  u16 dport, s32 ifindex);
/* An established child enters the table and l's queue. -LX_EAGAIN: the queue is full; -LX_ECONNREFUSED:
 * l does not listen any more; -LX_EEXIST: the tuple is taken. */
int tcp_admit(struct tcp_sock *l, struct tcp_sock *child) must_check;

/* net/stack/tcp.c: connections over the stack. None under a lock of net, but stk_tcp_connect under the table's. */
int stk_tcp_connect(struct tcp_sock *t) must_check;
void stk_tcp_push(struct stk_conn *conn, bool is_more);
void stk_tcp_urgent(struct stk_conn *conn);
void stk_tcp_rcvd(struct stk_conn *conn);
void stk_tcp_shutdown(struct stk_conn *conn);
void stk_tcp_abort(struct stk_conn *conn, int err);
void stk_tcp_close(struct stk_conn *conn, bool has_unread);
void stk_tcp_opts(struct stk_conn *conn);
s32 stk_tcp_unsent(struct stk_conn *conn);
void stk_tcp_conn_get(struct stk_conn *conn);
void stk_conn_put(struct stk_conn *conn);
struct stk_tcp_stat {
    u32 mss, rcv_mss, adv_mss, pmtu;
    u8 options, snd_wscale, rcv_wscale, ca_state, retransmits, probes, backoff;
    u32 rto_us, rtt_us, rttvar_us, min_rtt_us, rcv_rtt_us, cwnd, ssthresh, unacked, sacked, lost, retrans,
        total_retrans, last_tx_ms, last_rx_ms, last_ack_ms;
    u64 bytes_acked, bytes_received, bytes_sent, bytes_retrans;
    u32 segs_out, segs_in, data_segs_in, data_segs_out, delivered, dsack_dups, rcv_ooopack, snd_wnd, rcv_wnd,
        rcv_space;
};
void stk_tcp_stat(struct stk_conn *conn, struct stk_tcp_stat *st);

/* tcp_data.c */
s64 tcp_send(struct sock *sk, struct smsg *m) must_check;
s64 tcp_recv(struct sock *sk, struct smsg *m) must_check;
/* Bytes that t's filter held back are offered to it again. */
void tcp_retry(struct tcp_sock *t);
/* Rules may drop the FIN that t is about to send: its peer learns of the end when it is sent again. */
void tcp_judge_fin(struct tcp_sock *t, struct tcp_end *e);
bool tcp_is_end_held(struct tcp_end *e);

/* tcp_opt.c */
struct nlbuf;
void tcp_put_info(struct nlbuf *b, struct sock *sk); /* the attribute INET_DIAG_INFO */
int tcp_setsockopt(struct sock *sk, s32 level, s32 name, const struct optval *val) must_check;
int tcp_getsockopt(struct sock *sk, s32 level, s32 name, struct optval *val) must_check;

#endif
