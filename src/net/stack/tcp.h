/*
 * Connections over the stack: a tcb, its socket, and its way out.
 *
 * Life cycle: stk_tcp_connect or syn.c makes one; the sock's tcp_end and the sock itself
 * (tcp_sock.conn, while the connection is in the table) hold references, and it holds the sock.
 * When the machine is done (TCB_CLOSED) the sock leaves the table and gives its reference up.
 */
#ifndef NET_STACK_TCP_H
#define NET_STACK_TCP_H

#include "net/inet/tcp.h"
#include "net/stack/stack.h"
#include "net/stack/tcb.h"

struct stk_conn {
    struct ref ref;
    struct tcb tcb;
    struct netstack *stk; /* not owned: lives as long as the namespace, which the sock holds */
    struct tcp_sock *t;   /* owned; immutable */
    struct ip_flow flow;  /* immutable */
    u16 sport, dport;     /* immutable */
    struct stk_path path; /* guarded by tcb.lock, as below */
    s64 confirmed_ns;
    struct timer timer;
};

/* A connection for t, whose addresses are set. NULL: no memory. The reference is the caller's. */
struct stk_conn *stk_conn_new(struct netstack *stk, struct tcp_sock *t) must_check;
void stk_conn_put(struct stk_conn *conn);
DEFINE_CLEANUP_PTR(struct stk_conn *, stk_conn_put)
/* Ends: gives t the end of the connection. */
int stk_conn_attach(struct stk_conn *conn) must_check;
void stk_conn_lock(struct stk_conn *conn) ACQUIRES(conn->tcb.lock);
/* Unlocks and does what the machine asked for. Not under a lock of net above tcb.lock. */
void stk_conn_unlock(struct stk_conn *conn) RELEASES(conn->tcb.lock);

/* Sends one segment that belongs to no connection. */
int stk_tcp_send(struct netstack *stk, const struct ip_flow *f, struct stk_path *path, u16 sport,
                 u16 dport, const struct tcp_tx *t);
/* A sock's filter looks at a segment, which may get shorter. False: it was never here. */
bool stk_tcp_filter(struct sock *sk, const struct rxpkt *p, struct tcp_rx *s) must_check;
/* A RST for a segment that nobody wants. */
void stk_tcp_refuse(struct rxpkt *p, const struct tcp_rx *s, u16 sport, u16 dport);
u32 stk_tcp_overhead(const ipaddr *dst); /* IP and TCP headers without options */
u32 stk_isn(struct netstack *stk, const struct ip_flow *f, u16 sport, u16 dport, s64 now);
u32 stk_ts_offset(struct netstack *stk, const struct ip_flow *f);

#endif
