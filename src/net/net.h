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
 *   host/     sockets of the host's instead of inet/, in a sandbox with its network
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
#include "abi/inet.h"
#include "abi/link.h"
#include "abi/netlink.h"
#include "abi/socket.h"
#include "base/defs.h"
#include "base/list.h"
#include "base/lock.h"
#include "base/ref.h"

#define NET_MEM_MAX    (512ULL << 20) /* bytes in all queues of the sandbox */
#define NET_NS_MAX     1024U /* namespaces that exist */
#define NET_NS_IDS     64U   /* others that one has numbers for (IFLA_LINK_NETNSID) */
#define NET_SOCKS_MAX  262144U        /* socks that exist, closed connections in TIME_WAIT included */

struct user_ns;
struct sock;
struct unix_ns;
struct inet_ns;
struct netlink_ns;
struct packet_ns;
struct ipt_ns;
struct ct_ns;
struct nft_ns;
struct netstack;
struct hostnet;

/* Values of net.core.*, net.ipv4.* and kin that the stack reads. */
enum net_sysctl_id {
    NSYS_SOMAXCONN,
    NSYS_UNIX_QLEN,        /* unix.max_dgram_qlen */
    NSYS_PORT_LOW,         /* ipv4.ip_local_port_range; the second of a pair follows the first */
    NSYS_PORT_HIGH,
    NSYS_UNPRIV_PORT,      /* ipv4.ip_unprivileged_port_start */
    NSYS_TTL,
    NSYS_NONLOCAL_BIND,
    NSYS_NONLOCAL_BIND6,
    NSYS_BINDV6ONLY,
    NSYS_PING_LOW,         /* ipv4.ping_group_range */
    NSYS_PING_HIGH,
    NSYS_SYN_RETRIES,
    NSYS_KEEPALIVE_TIME,
    NSYS_KEEPALIVE_INTVL,
    NSYS_KEEPALIVE_PROBES,
    NSYS_FIN_TIMEOUT,
    NSYS_TW_REUSE,
    NSYS_WMEM_MAX,         /* core.wmem_max, core.rmem_max */
    NSYS_RMEM_MAX,
    NSYS_ROUTE_LOCALNET,   /* ipv4.conf.lo.route_localnet */
    NSYS_IPV6_DISABLED,    /* ipv6.conf.all.disable_ipv6 */
    NSYS_FORWARD4,         /* ipv4.ip_forward, ipv4.conf.all.forwarding */
    NSYS_FORWARD4_ALL,
    NSYS_FORWARD6,         /* ipv6.conf.all.forwarding */
    NSYS_ECHO_IGNORE,      /* ipv4.icmp_echo_ignore_all, .._broadcasts */
    NSYS_ECHO_IGNORE_GROUPS,
    NSYS_RETRIES2,         /* ipv4.tcp_*, as all below */
    NSYS_ORPHAN_RETRIES,
    NSYS_SYNACK_RETRIES,
    NSYS_SYN_BACKLOG,
    NSYS_SYNCOOKIES,
    NSYS_TIMESTAMPS,
    NSYS_SACK,
    NSYS_WINDOW_SCALING,
    NSYS_ECN,
    NSYS_SLOW_AFTER_IDLE,
    NSYS_MODERATE_RCVBUF,
    NSYS_RP_FILTER,        /* ipv4.conf.all.rp_filter, .accept_local */
    NSYS_ACCEPT_LOCAL,
    NSYS_COUNT,
};

struct net_ns {
    struct ref ref;
    u64 ino;                  /* of /proc/PID/ns/net; immutable */
    u64 cookie;               /* SO_NETNS_COOKIE; immutable */
    struct user_ns *user_ns;  /* owned, immutable */
    _Atomic s64 sysctl_own[NSYS_COUNT];
    _Atomic s64 *sysctl[NSYS_COUNT]; /* where each value is: here, or behind /proc/sys; set at start */
    struct mutex socks_lock;  /* leaf */
    struct list socks;        /* struct sock.ns_node; guarded by socks_lock */
    _Atomic u32 nsocks;
    struct unix_ns *unix_ns;  /* immutable, owned; each made by its room's *_ns_new */
    struct inet_ns *inet_ns;
    struct netlink_ns *netlink_ns;
    struct packet_ns *packet_ns;
    struct ipt_ns *ipt_ns;
    struct ct_ns *ct_ns;
    struct nft_ns *nft_ns;
    _Atomic u32 nf_hooks;     /* where rule sets say something: a bit a hook; see filter/hook.h */
    _Atomic u32 nwatchers;    /* packet socks that listen, raw socks: see inet/wire.h */
    struct hostnet *host;     /* the root namespace's with --network=host: its internet sockets are the
                               * host's. Set before the first task, then immutable; never freed */
    struct netstack *stack;   /* owned, immutable */
    struct list all_node;     /* guarded by the list's lock, as ids */
    u64 ids[NET_NS_IDS];      /* cookies of others, at their numbers here; 0: free */
    void *sysctls;            /* owned: what is behind /proc/sys/net; see net_sysctl_hooks */
};

extern struct net_ns *root_net_ns; /* made by net_init */

/* Sets kern_hooks; call before the first task. */
int net_init(void) must_check;
int net_ns_new(struct user_ns *uns, struct net_ns **ret_ns) must_check;
void net_ns_get(struct net_ns *ns);
void net_ns_put(struct net_ns *ns);
/* Of the calling task; root_net_ns on threads without one. Not referenced. */
struct net_ns *net_ns_current(void);

static inline s64 net_sysctl(const struct net_ns *ns, enum net_sysctl_id id)
{
    return atomic_load_explicit(ns->sysctl[id], memory_order_relaxed);
}
/* The number that ns has for another; -1: none is free. Takes a leaf. */
s32 net_ns_id(struct net_ns *ns, const struct net_ns *other);
/* The number without making one; -1: none. */
s32 net_ns_find_id(const struct net_ns *ns, const struct net_ns *other);

bool net_ns_has_id(const struct net_ns *ns, s32 id);
/* Gives other a number, -1: any. -LX_EEXIST, -LX_ENOSPC. */
int net_ns_set_id(struct net_ns *ns, const struct net_ns *other, s32 id) must_check;

/* How a namespace comes to its values of /proc/sys/net, which another room keeps; set at start. */
struct net_sysctl_hooks {
    int (*attach)(struct net_ns *ns) must_check; /* sets ns->sysctls, binds values */
    void (*detach)(void *sysctls);
};
extern struct net_sysctl_hooks net_sysctl_hooks;

/* The file of a value below /proc/sys/net; NULL for the second of a pair. */
const char *net_sysctl_path(enum net_sysctl_id id);
/* Makes ns read the value at *where, which has the default already and lives as long as ns. */
void net_sysctl_bind(struct net_ns *ns, enum net_sysctl_id id, _Atomic s64 *where);

/* Charges bytes against NET_MEM_MAX; false: over the limit, nothing charged. */
bool net_mem_charge(u64 bytes) must_check;
/* For what must not fail and is small and bounded otherwise. */
void net_mem_force(u64 bytes);
void net_mem_uncharge(u64 bytes);
u64 net_mem_used(void);

#endif
