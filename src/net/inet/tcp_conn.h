/* Between tcp_establish.c and tcp_conn.c. */
#ifndef NET_INET_TCP_CONN_H
#define NET_INET_TCP_CONN_H

#include "net/inet/tcp.h"

#define STAT(ns, field) atomic_fetch_add_explicit(&(ns)->inet_ns->field, 1, memory_order_relaxed)

/* The listener for a SYN, referenced; of a reuseport group, one by the hash of the tuple. */
struct tcp_sock *tcp_find_listener(struct inet_table *tab, const ipaddr *saddr, u16 sport,
                                   const ipaddr *daddr, u16 dport, s32 ifindex);
/*
 * Completes the handshake of c with listener l, making `child` its server side. 0; -LX_EAGAIN:
 * the backlog is full; -LX_ECONNREFUSED: l stopped listening. REQUIRES the table's lock.
 */
int tcp_establish(struct tcp_sock *c, struct tcp_sock *l, struct tcp_sock *child) must_check;
/* A sock that connects to its own port: a simultaneous open with itself. */
int tcp_establish_self(struct tcp_sock *t) must_check;
/* Takes a child out of its listener's care. REQUIRES the table's lock. The listener, referenced, or
 * NULL: it was not deferred. */
struct tcp_sock *tcp_end_deferral(struct tcp_sock *c);

#endif
