/*
 * inet: TCP, UDP, ICMP echo and raw sockets over the loopback of a namespace.
 *
 * Addresses are kept in one form: IPv6, with IPv4 as ::ffff:a.b.c.d (for a bound AF_INET
 * sock "any" is ::ffff:0.0.0.0, for AF_INET6 it is ::). Ports are kept in host order.
 *
 * Ports: a `port_bucket` exists for each port of a protocol that somebody holds; it lists the
 * holders. All of a protocol's tables stand under one lock (inet_table.lock), which is taken
 * before sock locks. An inet_sock's addresses change under both the table's lock and sk.lock, so
 * holding either is enough to read them.
 */
#ifndef NET_INET_INET_H
#define NET_INET_INET_H

#include "net/mq.h"
#include "net/netdev.h"
#include "net/sock.h"

#define PORT_BUCKETS  1024
#define TUPLE_BUCKETS 4096

typedef struct lx_in6_addr ipaddr;

struct port_bucket {
    struct list node;    /* in inet_table.ports */
    u16 port;
    u32 nbound;          /* holders by bind, listen or inheritance: not for ephemeral use */
    struct list holders; /* inet_sock.port_node */
    struct list waits;   /* tcp_wait.port_node */
};

struct inet_table {
    struct mutex lock;
    struct list ports[PORT_BUCKETS];
    struct list tuples[TUPLE_BUCKETS]; /* TCP: inet_sock.tuple_node of connections */
    struct list wait_tuples[TUPLE_BUCKETS]; /* TCP: tcp_wait.tuple_node */
    struct list wait_fifo;             /* tcp_wait.fifo_node, by expiry */
    u32 nwaits;
};

struct inet_ns {
    struct inet_table tcp, udp, icmp, icmp6;
    struct mutex mc_lock;
    struct list groups; /* struct mc_group: what the sockets here have joined; guarded by mc_lock */
    struct mutex raw_lock;
    struct list raw; /* inet_sock.port_node of raw socks; guarded by raw_lock */
    /* Counters of /proc/net/snmp and netstat. */
    _Atomic u64 tcp_active_opens, tcp_passive_opens, tcp_attempt_fails, tcp_estab_resets;
    _Atomic u64 tcp_in_segs, tcp_out_segs, tcp_out_rsts, tcp_listen_overflows;
    _Atomic u64 udp_in, udp_out, udp_no_ports, udp_rcvbuf_errors;
};

/* inet_sock.opt: boolean options of IPPROTO_IP and IPPROTO_IPV6. */
#define IPF_RECVERR       (1U << 0)
#define IPF_PKTINFO       (1U << 1)
#define IPF_RECVTTL       (1U << 2)
#define IPF_RECVTOS       (1U << 3)
#define IPF_RECVOPTS      (1U << 4)
#define IPF_RETOPTS       (1U << 5)
#define IPF_HDRINCL       (1U << 6)
#define IPF_FREEBIND      (1U << 7)
#define IPF_TRANSPARENT   (1U << 8)
#define IPF_MC_LOOP       (1U << 9)
#define IPF_MC_ALL        (1U << 10)
#define IPF_ORIGDST       (1U << 11)
#define IPF_NODEFRAG      (1U << 12)
#define IPF_BIND_NO_PORT  (1U << 13)
#define IPF_CHECKSUM      (1U << 14)
#define IPF6_NO_CHECK_TX  (1U << 15)
#define IPF_RECVERR_4884  (1U << 16)
#define IPF_PASSSEC       (1U << 17)
#define IPF6_V6ONLY       (1U << 18)
#define IPF6_RECVERR      (1U << 19)
#define IPF6_RECVPKTINFO  (1U << 20)
#define IPF6_RECVHOPLIMIT (1U << 21)
#define IPF6_RECVTCLASS   (1U << 22)
#define IPF6_RECVRTHDR    (1U << 23)
#define IPF6_RECVHOPOPTS  (1U << 24)
#define IPF6_RECVDSTOPTS  (1U << 25)
#define IPF6_MC_LOOP      (1U << 26)
#define IPF6_MC_ALL       (1U << 27)
#define IPF6_DONTFRAG     (1U << 28)
#define IPF6_AUTOFLOW     (1U << 29)
#define IPF6_RECVPATHMTU  (1U << 30)
#define IPF6_FLOWSEND     (1U << 31)
#define IPF6_NO_CHECK_RX  (1ULL << 32)

struct mc_member { /* a multicast group joined */
    ipaddr group;
    s32 ifindex;
};
#define MC_MAX 20 /* net.ipv4.igmp_max_memberships */

struct inet_sock {
    struct sock sk;
    /* Guarded by the table's lock and sk.lock, see above. */
    ipaddr rcv_saddr;          /* bound address, or any */
    ipaddr saddr, daddr;       /* of a connection; saddr also of a bound sock */
    u16 sport, dport;
    u32 scope_id, flowinfo;
    bool is_addr_bound, is_port_bound; /* by bind: they survive a disconnect */
    bool is_counted;           /* in bucket->nbound */
    struct port_bucket *bucket; /* NULL: holds no port, whatever sport says */
    struct list port_node, tuple_node;

    _Atomic u64 opt;           /* IPF_* */
    _Atomic s32 tos, ttl, mc_ttl, pmtudisc, min_ttl;   /* -1: default */
    _Atomic s32 tclass, hops, mc_hops, pmtudisc6, min_hops, addr_pref;
    _Atomic s32 mc_if, mc_if6, ucast_if, ucast_if6, mtu6;
    _Atomic u32 mc_addr;       /* IP_MULTICAST_IF's address */
    _Atomic u32 port_range;    /* IP_LOCAL_PORT_RANGE */
    _Atomic u32 icmp_filter;
    u32 icmp6_filter[8];       /* guarded by sk.lock, as memberships */
    struct mc_member members[MC_MAX];
    u32 nmembers;

    /* UDP */
    _Atomic bool is_cork, is_gro;
    _Atomic u32 gso_size;      /* UDP_SEGMENT */
    _Atomic s32 checksum_off;  /* raw IPv6: where the kernel puts a checksum; -1: nowhere */
    _Atomic u32 zc_next;       /* number of the next MSG_ZEROCOPY send */
    struct nmsg *corked;       /* what UDP_CORK and MSG_MORE hold back; guarded by sk.lock */

    struct mq rxq;             /* datagrams */
    struct mq errq;            /* IP_RECVERR */
};

static inline struct inet_sock *inet_sk(struct sock *sk)
{
    return container_of(sk, struct inet_sock, sk);
}
static inline u64 inet_opt(const struct inet_sock *i)
{
    return atomic_load_explicit(&i->opt, memory_order_relaxed);
}
static inline bool inet_is_v6(const struct inet_sock *i)
{
    return i->sk.family == LX_AF_INET6;
}

/* ---- addr.c -------------------------------------------------------------------------------- */

ipaddr ipaddr_v4(u32 be_addr);
bool ipaddr_is_v4(const ipaddr *a);
static inline u32 ipaddr_to_v4(const ipaddr *a)
{
    return a->w[3];
}
static inline bool ipaddr_equal(const ipaddr *a, const ipaddr *b)
{
    return a->d[0] == b->d[0] && a->d[1] == b->d[1];
}
/* 0.0.0.0 in either form, or :: */
bool ipaddr_is_any(const ipaddr *a);
bool ipaddr_is_multicast(const ipaddr *a);
bool ipaddr_is_broadcast(const ipaddr *a);
bool ipaddr_is_link_local(const ipaddr *a);
/* An address of this host: 127/8, ::1, and those of its interfaces. */
bool ipaddr_is_local(struct net_ns *ns, const ipaddr *a);
bool ipaddr_is_loopback(const ipaddr *a);
/* Does traffic to dst leave by the stack? */
bool inet_is_remote(struct net_ns *ns, const ipaddr *dst, s32 oif);
/* The "any" of the sock's family. */
ipaddr inet_any(const struct inet_sock *i);

/*
 * The address and port of a sockaddr for this sock: checks the size and the family as Linux's
 * bind or connect does. -LX_EINVAL, -LX_EAFNOSUPPORT, -LX_ENETUNREACH (v4-mapped on a v6-only sock).
 */
struct inet_dest {
    ipaddr addr;
    u16 port;
    u32 scope_id, flowinfo;
};
int inet_parse_dest(const struct inet_sock *i, const union saddr *sa, u32 len,
                    struct inet_dest *ret) must_check;
void inet_fill_sockaddr(u16 family, const ipaddr *a, u16 port, u32 scope_id, union saddr *ret,
                        u32 *ret_len);
/*
 * Route: the destination that "any" means, and the source to use. want_src: the bound address or any.
 * oif: bound interface or 0. -LX_ENETUNREACH, -LX_EADDRNOTAVAIL, -LX_EINVAL.
 */
int inet_route(const struct inet_sock *i, ipaddr *dst, const ipaddr *want_src, s32 oif,
               ipaddr *ret_src) must_check;

/* ---- port.c -------------------------------------------------------------------------------- */

struct inet_table *inet_table_of(const struct inet_sock *i);
void inet_table_init(struct inet_table *t);
/* Gives the sock a port (0: an ephemeral one) at its rcv_saddr. -LX_EADDRINUSE. */
int inet_get_port(struct inet_sock *i, u16 port) must_check REQUIRES(inet_table_of(i)->lock);
/* A port for a connection to daddr:dport that makes the tuple unique. -LX_EADDRNOTAVAIL. */
int inet_get_conn_port(struct inet_sock *i) must_check;
void inet_put_port(struct inet_sock *i);
/* Joins the bucket of another holder (an accepted child its listener's). */
void inet_inherit_port(struct inet_sock *child, struct inet_sock *from);
/* The connection of a tuple enters or leaves the table. */
void inet_hash_tuple(struct inet_sock *i);
void inet_unhash_tuple(struct inet_sock *i);
struct inet_sock *inet_find_tuple(struct inet_table *t, const ipaddr *saddr, u16 sport,
                                  const ipaddr *daddr, u16 dport);
struct port_bucket *inet_find_bucket(struct inet_table *t, u16 port);
/* Makes sure the sock has a port: before connect and send. */
int inet_autobind(struct inet_sock *i) must_check;
u32 inet_tuple_hash(const ipaddr *saddr, u16 sport, const ipaddr *daddr, u16 dport);
u32 net_random(void);

/* A closed connection that still holds its port: TIME_WAIT, or FIN_WAIT2 without a sock. */
struct tcp_wait {
    struct list port_node, tuple_node, fifo_node;
    struct port_bucket *bucket;
    ipaddr saddr, daddr;
    u16 sport, dport;
    u16 family;
    u8 state;        /* SOCK_TIME_WAIT or SOCK_FIN_WAIT2 */
    bool is_reuse;   /* the sock had SO_REUSEADDR */
    bool is_reuseport, is_v6only;
    u32 uid;
    s64 expires_ns;
    /* A connection over the stack: what its last segments are answered with. */
    bool is_remote, has_ts;
    u32 snd_nxt, rcv_nxt, ts_recent, ts_offset;
};
/* All under the table's lock. */
void tcp_wait_add(struct inet_sock *i, u8 state);
struct tcp_wait *tcp_wait_find(struct inet_table *t, const ipaddr *saddr, u16 sport,
                               const ipaddr *daddr, u16 dport);
void tcp_wait_restart(struct inet_table *t, struct tcp_wait *w, u8 state);
void tcp_wait_drop(struct inet_table *t, struct tcp_wait *w);
void tcp_wait_expire(struct inet_table *t);

/* ---- inet.c: what TCP, UDP, ICMP and raw socks share ---------------------------------------- */

int inet_sock_init(struct inet_sock *i, const struct sock_ops *ops, struct net_ns *ns, u16 family,
                   u16 type, s32 protocol) must_check;
int inet_bind(struct sock *sk, const union saddr *addr, u32 len) must_check;
int inet_getname(struct sock *sk, union saddr *ret, u32 *ret_len) must_check;
int inet_getpeer(struct sock *sk, union saddr *ret, u32 *ret_len) must_check;
s64 inet_ioctl(struct sock *sk, u32 cmd, u64 arg) must_check;
/* Frees what inet_sock_init made; for ops->destroy. */
void inet_sock_done(struct inet_sock *i);

/* ipopt.c */
int inet_setsockopt(struct sock *sk, s32 level, s32 name, const struct optval *val) must_check;
int inet_getsockopt(struct sock *sk, s32 level, s32 name, struct optval *val) must_check;
bool inet_is_member(struct inet_sock *i, const ipaddr *group);
/* group.c. Has any socket of the namespace joined the group? */
bool inet_is_joined(struct net_ns *ns, const ipaddr *group);
void inet_leave_all(struct inet_sock *i);
/* ifindex 0: join by the route to the group, leave the first found. -LX_EINVAL, -LX_ENODEV,
 * -LX_EADDRINUSE, -LX_ENOBUFS; -LX_EADDRNOTAVAIL. */
int inet_join(struct inet_sock *i, const ipaddr *group, s32 ifindex) must_check;
int inet_leave(struct inet_sock *i, const ipaddr *group, s32 ifindex) must_check;
s32 inet_group_ifindex(struct net_ns *ns, const ipaddr *group); /* -LX_ENODEV */
struct stk_iface;
/* A router wants to know of a group (NULL: of all of a family) within this time. */
void inet_groups_asked(struct stk_iface *ifc, const ipaddr *group, bool is_v6, s64 within_ns);
bool inet_groups_tick(struct net_ns *ns, s64 now); /* true: some is left to say */
void inet_groups_free(struct inet_ns *n);

/* Families of socks */
int tcp_create(struct net_ns *ns, u16 family, struct sock **ret_sk) must_check;
int udp_create(struct net_ns *ns, u16 family, struct sock **ret_sk) must_check;
int ping_create(struct net_ns *ns, u16 family, struct sock **ret_sk) must_check;
int raw_create(struct net_ns *ns, u16 family, s32 protocol, struct sock **ret_sk) must_check;

/* dgram.c: what UDP, ICMP and raw share: connections, receiving, errors */
struct dgram_cb { /* nmsg.cb of a datagram */
    ipaddr saddr, daddr;
    u16 sport, dport;
    u8 tos, ttl;
    s32 ifindex; /* that it came in by or is to leave by; 0: any */
    /* error queue */
    u32 ee_errno;
    u8 ee_origin, ee_type, ee_code;
    u32 ee_info, ee_data;
    u16 gso;          /* UDP: the payload is segments of this size, not cut yet */
    s64 tx_stamp_ns;  /* error queue, EE_ORIGIN_STAMP */
};
#define EE_ORIGIN_LOCAL    1
#define EE_ORIGIN_ICMP     2
#define EE_ORIGIN_ICMP6    3
#define EE_ORIGIN_STAMP    4
#define EE_ORIGIN_ZEROCOPY 5
/* The last word of nmsg.cb is the receiver that a waiting message is charged to. */
_Static_assert(sizeof(struct dgram_cb) <= sizeof(((struct nmsg *)NULL)->cb) - 8, "nmsg.cb");
static inline struct dgram_cb *dgram_cb(const struct nmsg *m)
{
    return (struct dgram_cb *)(uintptr_t)m->cb;
}
int dgram_connect(struct sock *sk, const union saddr *addr, u32 len, bool is_nonblock) must_check;
int dgram_shutdown(struct sock *sk, u32 how) must_check;
s64 dgram_recv(struct sock *sk, struct smsg *m) must_check;
u32 dgram_poll(struct sock *sk);
/* Where a message goes: m's name or the connection. Parses IP-level control data into *d too. */
struct dgram_send {
    struct inet_dest dest;
    ipaddr src;
    s32 oif;
    s32 tos, ttl;     /* -1: default */
    u32 gso_size;
    bool is_connected; /* the destination is the connection's */
};
int dgram_prepare(struct inet_sock *i, const struct smsg *m, struct dgram_send *ret) must_check;
/* UDP: sends what was held back. */
int udp_push(struct inet_sock *i) must_check;
/* A copy of msg (without what it carries) for one more receiver; NULL: no memory. */
struct nmsg *dgram_copy(const struct nmsg *msg) must_check;
/* Does i, bound as it is, take a datagram of this tuple? 0: no; the higher the better. */
u32 dgram_score(const struct inet_sock *i, const struct dgram_cb *cb);
/* Queues msg at i, or counts a drop. Consumes msg. */
void dgram_deliver(struct inet_sock *i, struct nmsg *msg);
/* Datagrams and errors that the stack received. udp_arrived consumes msg; false: nobody has the port. */
bool udp_arrived(struct net_ns *ns, struct nmsg *msg);
void udp_error_arrived(struct net_ns *ns, const struct dgram_cb *sent, const u8 *data, u32 size, int err,
                       u8 type, u8 code, u32 mtu);
/* Is there any raw sock? A hint. */
static inline bool inet_has_raw(struct net_ns *ns)
{
    return !list_empty(&ns->inet_ns->raw);
}
/* What a send brings to the sender's own error queue: SO_TIMESTAMPING's transmit stamps and
 * MSG_ZEROCOPY's notices. cb: the tuple; payload: of the datagram, or NULL for a stream. */
void dgram_sent(struct inet_sock *i, const struct smsg *m, const struct dgram_cb *cb,
                const u8 *payload, u32 size);
/* Does a send with these flags owe its sender anything? */
static inline bool dgram_owes(const struct inet_sock *i, const struct smsg *m)
{
    return unlikely(atomic_load_explicit(&i->sk.tsflags, memory_order_relaxed) & LX_SOF_TX_ANY) ||
           unlikely(m->flags & LX_MSG_ZEROCOPY && sock_has(&i->sk, SKF_ZEROCOPY));
}
/* IPV6_RECVERR: a message of i was too big for the interface. */
void dgram_too_big(struct inet_sock *i, const struct dgram_send *s);
/* An ICMP error came back to i for a message it sent. */
void dgram_error(struct inet_sock *i, const struct nmsg *sent, u32 err, u8 type, u8 code);

#endif
