/*
 * net: sockets and the network namespaces that they live in.
 *
 * Theory
 *   A `sock` (sock.h) is behind every socket file. Its protocol's operations are a const table.
 *   Stream connections are a pair of byte queues (bq.h), one a direction, shared by the two ends;
 *   datagrams are messages in the receiver's queue (mq.h). Local traffic never becomes packets.
 *
 *   unix/     stream, datagram, seqpacket; names; ancillary data and its garbage collection (scm.h)
 *   inet/     TCP, UDP, ICMP and raw sockets over the loopback
 *   netlink/  route, sock_diag and the families that only refuse
 *
 * Lock order
 *   bq.wlock, bq.rlock, mq.rlock    held across user copies; a thread holds at most one
 *     → gc lock (scm.c)
 *       → ns port lock (inet), ns name lock (unix)
 *         → sock.lock               two socks: lower address first
 *           → bq.lock, mq.lock
 *             → waitq               usual wakes are made after bq.lock and mq.lock are dropped
 *   ns->socks_lock, memory accounts, chunk caches: leaves.
 *   No file and no last reference of a sock is dropped under a lock of this room: files go
 *   through scm_drain at the end of the operation.
 *
 * Limits: each sock's queues by its buffer sizes; everything together by NET_MEM_MAX and
 * NET_SOCKS_MAX; files in flight by RLIMIT_NOFILE of their sender's user and SCM_INFLIGHT_MAX.
 */
#ifndef NET_NET_H
#define NET_NET_H

#include "abi/errno.h"
#include "abi/socket.h"
#include "base/defs.h"
#include "base/list.h"
#include "base/lock.h"
#include "base/ref.h"

#define NET_MEM_MAX    (512ULL << 20) /* bytes in all queues of the sandbox */
#define NET_SOCKS_MAX  262144U        /* socks that exist, closed connections in TIME_WAIT included */

struct user_ns;
struct sock;
struct unix_ns;
struct inet_ns;
struct netlink_ns;

/* Values of net.core.* and net.ipv4.* that are per namespace; atomic where sysctls write. */
struct net_sysctl {
    _Atomic s32 somaxconn;
    _Atomic s32 unix_max_dgram_qlen;
    _Atomic s32 port_low, port_high;       /* ip_local_port_range */
    _Atomic s32 unprivileged_port_start;
    _Atomic s32 ip_default_ttl;
    _Atomic s32 ip_nonlocal_bind, ip6_nonlocal_bind;
    _Atomic s32 ip6_bindv6only;
    _Atomic s32 ping_group_low, ping_group_high;
    _Atomic s32 tcp_syn_retries, tcp_synack_retries, tcp_retries2;
    _Atomic s32 tcp_keepalive_time, tcp_keepalive_intvl, tcp_keepalive_probes;
    _Atomic s32 tcp_fin_timeout;
    _Atomic s32 tcp_tw_reuse;
    _Atomic s32 tcp_abort_on_overflow;
    _Atomic s32 ipv6_disabled;             /* conf/all/disable_ipv6 */
};

struct net_ns {
    struct ref ref;
    u64 ino;                  /* of /proc/PID/ns/net; immutable */
    u64 cookie;               /* SO_NETNS_COOKIE; immutable */
    struct user_ns *user_ns;  /* immutable; lives as long as the sandbox's tasks need it */
    struct net_sysctl sysctl;
    struct mutex socks_lock;  /* leaf */
    struct list socks;        /* struct sock.ns_node; guarded by socks_lock */
    _Atomic u32 nsocks;
    struct unix_ns *unix_ns;  /* immutable, owned; each made by its room's *_ns_new */
    struct inet_ns *inet_ns;
    struct netlink_ns *netlink_ns;
};

extern struct net_ns *root_net_ns; /* made by net_init */

/* Sets kern_hooks; call before the first task. */
int net_init(void) must_check;
int net_ns_new(struct user_ns *uns, struct net_ns **ret_ns) must_check;
void net_ns_get(struct net_ns *ns);
void net_ns_put(struct net_ns *ns);
/* Of the calling task; root_net_ns on threads without one. Not referenced. */
struct net_ns *net_ns_current(void);

/* Charges bytes against NET_MEM_MAX; false: over the limit, nothing charged. */
bool net_mem_charge(u64 bytes) must_check;
/* For what must not fail and is small and bounded otherwise. */
void net_mem_force(u64 bytes);
void net_mem_uncharge(u64 bytes);
u64 net_mem_used(void);

#endif
