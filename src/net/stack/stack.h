/*
 * stack: the network stack of a namespace: its interfaces, addresses, routes and neighbours. Every
 * namespace has one; what is for an address of its own goes by queues (net/inet) all the same.
 *
 * Theory
 *   A thread for each link of the host reads frames (link.c), one thread those of all virtual
 *   interfaces (frame.h), and takes each all the way up: Ethernet, ARP and neighbours (neigh.c), IP
 *   (ip.c, frag.c), ICMP and neighbour discovery (icmp.c), then into a socket (udp.c, tcp.c).
 *   Sending runs on the thread that sends: a txbuf on its stack gathers headers and data, ip_send
 *   finds the way and link_send hands it to the host or queues it at the other end.
 *
 *   Everything that arrives is hostile. A frame is one linear buffer; each layer checks that what
 *   it reads is inside `l4_len` or `len` before it reads, and nothing is kept that points into it.
 *
 * Lock order
 *   dev_lock (dev.c: all changes of configuration) → stack.cfg_lock (addresses, routes; rwlock).
 *   Below sock.lock and tcb.lock: cfg_lock | neigh.lock | frag.lock | synq.lock: leaves; none is
 *   held while a frame is sent, so what waits for a neighbour is taken out first. Below all:
 *   wire_lock (frame.h).
 */
#ifndef NET_STACK_STACK_H
#define NET_STACK_STACK_H

#include <sys/uio.h>

#include "base/timer.h"
#include "net/filter/hook.h"
#include "net/inet/inet.h"
#include "net/stack/wirefmt.h"

#define STK_MAX_IFACES 256 /* of one namespace */
#define STK_MAX_ADDRS  256
#define STK_MAX_ROUTES 4096
#define STK_NAME       16

struct netstack;

/* What is behind an interface. */
enum dev_kind {
    DEV_NONE, /* the slot is free */
    DEV_LOOPBACK,
    DEV_LINK, /* a packet socket of the host */
    DEV_DUMMY,
    DEV_VETH,
    DEV_BRIDGE,
    DEV_TUN,
    DEV_TAP,
};

/*
 * A slot of its stack's table: it is made when first needed and stays until the stack goes, so a
 * pointer to it is good as long as the namespace is referenced; what it stands for may change.
 * Whoever kept a pointer sees by the kind, or by stk->gen, that the interface is gone.
 */
struct stk_iface {
    struct netstack *stk; /* immutable */
    _Atomic s32 index;    /* 0: the slot is free; as all here changed under dev_lock */
    _Atomic u32 kind;     /* enum dev_kind */
    char name[STK_NAME];  /* written under cfg_lock too */
    _Atomic u64 mac;      /* see stk_mac */
    _Atomic u32 type;     /* LX_ARPHRD_* */
    _Atomic u32 mtu, flags, group, txqlen;
    _Atomic bool has_qdisc;               /* was up */
    _Atomic bool has_carrier, has_groups; /* has_groups: IPv6 has begun */
    struct stk_iface *peer; /* DEV_VETH: the other end; guarded by wire_lock (frame.h) */
    _Atomic(struct stk_iface *)
        master; /* a bridge of the same namespace; written under wire_lock */
    _Atomic bool is_hairpin, is_mac_set, is_mtu_set; /* set: by somebody, not by a bridge's ports */
    _Atomic bool is_persistent; /* DEV_TUN, DEV_TAP: stays when nobody has it open */
    struct tun_file *tun;       /* of those; guarded by wire_lock */
    struct bridge *bridge;      /* DEV_BRIDGE; guarded by wire_lock */
    struct list pending_node;   /* guarded by the worker's lock, as the queue of what arrived */
    struct list rxq;
    u32 rxq_frames, rxq_bytes;
    _Atomic s64 igmp_v1_until_ns, igmp_v2_until_ns, mld_v1_until_ns; /* older routers are there */
    _Atomic s64 mld_answer_ns; /* when a router is told the groups of addresses; 0: none asked */
    int fd; /* DEV_LINK; owned */
    _Atomic u64 rx_packets, rx_bytes, rx_dropped, rx_errors, rx_multicast;
    _Atomic u64 tx_packets, tx_bytes, tx_dropped;
};

struct stk_addr {
    ipaddr addr, peer;
    u32 bcast; /* network order, 0: none */
    u32 flags; /* LX_IFA_F_* */
    s32 ifindex;
    u8 family, prefix_len, scope;
    char label[STK_NAME]; /* IPv4; "": the interface's name */
};

struct stk_route {
    ipaddr dst, gateway, prefsrc;
    s32 oif;
    u32 metric, mtu, table, seq; /* seq: of its coming, for showing */
    u8 family, dst_len, protocol, scope, type, tos;
    bool has_gateway, is_onlink;
};

struct stk_policy { /* which table is asked */
    ipaddr src, dst;
    u32 priority, table;
    u8 family, src_len, dst_len, protocol;
    u8 action; /* 1: look up; 6, 7, 8: black hole, unreachable, prohibit */
    bool is_inverted;
    char oif[STK_NAME];
};

/* Where a destination is reached. */
struct stk_path {
    struct stk_iface *ifc;
    ipaddr nexthop;
    u32 mtu;
    u32 gen;             /* of the configuration it was found in */
    struct nf_fate fate; /* is_lost: what rules said of the last packet that they refused; the user
                            clears it */
};

struct stk_rule {
    ipaddr addr;
    u8 family, prefix_len;
    u16 port_low, port_high;
};

struct neigh_table;
struct frag_table;
struct syn_table;
struct pmtu_table;

struct netstack {
    struct net_ns *ns; /* not owned: it owns us; immutable */
    _Atomic(struct stk_iface *)
        ifaces[STK_MAX_IFACES];    /* [0]: the loopback. Filled from the front */
    _Atomic u32 nifaces;           /* slots that exist */
    s32 last_index;                /* guarded by dev_lock */
    _Atomic bool has_lo4, has_lo6; /* 127.0.0.1 and ::1 are there */
    struct rwlock cfg_lock;
    struct stk_addr addrs[STK_MAX_ADDRS]; /* guarded by cfg_lock, as below */
    u32 naddrs;
    struct stk_route *routes; /* longest prefix first, then by metric */
    u32 nroutes, route_seq;
    struct stk_policy *policies; /* IPv4's first, by priority; never NULL */
    u32 npolicies;
    _Atomic u32 gen;        /* changes with addrs and routes */
    struct stk_rule *rules; /* immutable */
    u32 nrules;
    bool is_egress_limited; /* immutable */
    u64 secret[2];          /* immutable: of hashes that the network must not guess */
    _Atomic u32 ip_id;
    struct neigh_table *neighs; /* immutable pointers; owned */
    struct frag_table *frags;
    struct syn_table *syns;
    struct pmtu_table *pmtus;
    struct timer tick; /* armed while neighbours, fragments or half-open connections need it */
    _Atomic bool is_ticking;
    /* Counters of /proc/net/snmp */
    _Atomic u64 ip_in, ip_in_hdr_errors, ip_in_addr_errors, ip_in_discards, ip_in_delivers, ip_out,
        ip_no_routes, ip_out_discards, ip_reasm_reqds, ip_reasm_oks, ip_reasm_fails, ip_frag_oks,
        ip_frag_creates, ip_frag_fails, ip_forwarded;
    _Atomic u64 icmp_in, icmp_in_errors, icmp_out, icmp_in_echos, icmp_out_echo_reps,
        icmp_out_unreach, icmp_in_unreach;
    _Atomic u64 tcp_in_errs, tcp_retrans_segs, tcp_timeouts;
    _Atomic u64 udp_in_errs, egress_denied;
};

static inline void stk_mac(const struct stk_iface *ifc, u8 out[6])
{
    u64 v = atomic_load_explicit(&ifc->mac, memory_order_relaxed);
    memcpy(out, &v, 6);
}
static inline bool stk_mac_is(const struct stk_iface *ifc, const u8 *mac)
{
    u64 v = 0;
    memcpy(&v, mac, 6);
    return atomic_load_explicit(&ifc->mac, memory_order_relaxed) == v;
}
static inline void stk_set_mac(struct stk_iface *ifc, const u8 *mac)
{
    u64 v = 0;
    memcpy(&v, mac, 6);
    atomic_store_explicit(&ifc->mac, v, memory_order_relaxed);
}
static inline bool stk_is_up(const struct stk_iface *ifc)
{
    return atomic_load_explicit(&ifc->flags, memory_order_relaxed) & LX_IFF_UP;
}
/* The loopback; local traffic passes while it is up. */
static inline struct stk_iface *stk_lo(struct netstack *stk)
{
    return atomic_load_explicit(&stk->ifaces[0], memory_order_relaxed);
}

#define STK_COUNT(stk, field) atomic_fetch_add_explicit(&(stk)->field, 1, memory_order_relaxed)

/* ---- sending ------------------------------------------------------------------------------- */

#define TXB_ROOM 192
#define TXB_IOV  36

struct txbuf {
    u8 head[TXB_ROOM]; /* headers, built from the end to the front */
    u32 off;           /* where they begin */
    struct iovec data[TXB_IOV];
    u32 ndata, data_len;
    /* The host fills in the checksum at l4 + csum_offset when is_csum_partial (it holds the pseudo
     * header's sum), and cuts TCP data into pieces of gso_size when that is not 0. */
    u32 l4; /* offset in head of the transport header */
    bool is_csum_partial;
    u8 csum_offset;
    u16 gso_size;
    bool is_gso_v6, is_gso_udp;
};

static inline void txb_init(struct txbuf *b)
{
    b->off = TXB_ROOM;
    b->ndata = b->data_len = b->l4 = 0;
    b->is_csum_partial = b->is_gso_v6 = b->is_gso_udp = false;
    b->csum_offset = 0;
    b->gso_size = 0;
}
static inline void *txb_push(struct txbuf *b, u32 size)
{
    b->off -= size;
    return b->head + b->off;
}
static inline u32 txb_len(const struct txbuf *b)
{
    return TXB_ROOM - b->off + b->data_len;
}
static inline void txb_data(struct txbuf *b, const void *p, u32 size)
{
    if (!size)
        return;
    b->data[b->ndata++] = (struct iovec){(void *)(uintptr_t)p, size};
    b->data_len += size;
}

struct ip_flow {
    ipaddr src, dst;
    u8 protocol, ttl, tos;
    bool is_df;               /* IPv4: not to be cut, by us or on the way */
    s32 oif;                  /* 0: any */
    const struct sock *owner; /* whose packet it is, for rules; NULL: ours */
    bool is_answer;           /* to a packet that a rule has refused */
};

/*
 * Sends b, which holds a transport header and data. path NULL: found here; *path is used when it is
 * current and found again otherwise. 0; -LX_EMSGSIZE: is_df and larger than the path;
 * -LX_ENETUNREACH; -LX_EAGAIN: the link takes nothing now; -LX_EPERM: a rule of OUTPUT drops it
 * (path->fate: what it answers). The egress policy is not checked here: see stk_may_reach.
 */
int ip_send(struct netstack *stk, const struct ip_flow *f, struct stk_path *path,
            struct txbuf *b) must_check;

/* ---- receiving ----------------------------------------------------------------------------- */

struct virtio_net_hdr;

struct rxpkt {
    struct stk_iface *ifc;
    const struct virtio_net_hdr *vnet; /* what the sender left undone; NULL: nothing */
    const u8 *data;                    /* what is left: from the current layer's header on */
    u32 len;
    bool is_csum_ok; /* the host vouches for the transport checksum, or it never was on a wire */
    u16 gso_size;
    bool is_gso_udp;
    bool is_link_multicast;
    /* set by ip.c */
    ipaddr src, dst;
    u8 protocol, ttl, tos;
    bool is_dst_local, is_ours;
    const u8 *ip;      /* the IP header, for errors that quote it */
    u32 ip_len;        /* header and payload */
    const u8 *mac;     /* of the sender */
    struct xt_info nf; /* what rules know of it */
    bool is_refused;   /* by a rule: what is sent about it is the answer */
};

void eth_input(struct rxpkt *p);
void ip_input(struct rxpkt *p, bool is_v6);
/* A whole datagram, whoever it is for. */
void ip_whole(struct rxpkt *p);
/* The payload of a whole datagram for us: transport. */
void ip_deliver(struct rxpkt *p);
void icmp4_input(struct rxpkt *p);
void icmp6_input(struct rxpkt *p);
void stk_udp_input(struct rxpkt *p);
void stk_tcp_input(struct rxpkt *p);
/* inet/icmp.c: raw and echo sockets see it. data: from the ICMP header on, or the raw protocol's.
 */
void icmp_arrived(struct net_ns *ns, s32 protocol, const u8 *data, u32 size,
                  const struct dgram_cb *cb);
struct dgram_cb stk_cb_of(const struct rxpkt *p);

/* An ICMP error about p: unreachable with this code (IPv4's numbering; translated for IPv6).
 * Rate-limited. */
void icmp_unreachable(struct rxpkt *p, u8 code);
/* As a rule's REJECT: the code is the family's. */
void icmp_reject(struct rxpkt *p, u8 code);
/* Any error about a packet that may be on its way to somebody else; info: the header's last word.
 */
void icmp_error_about(struct rxpkt *p, u8 type, u8 code, u32 info);
void icmp_send_echo_reply(struct rxpkt *p);
/* Has its sender left the transport's checksum to the link? */
bool rx_is_partial(const struct rxpkt *p);
/* forward.c: p is not for us. False: nor does this host forward. */
bool ip_forward(struct rxpkt *p) must_check;
/* tcp.c: a reset answers the segment p, if its checksum is right and it is none itself. */
void stk_tcp_reject(struct rxpkt *p);

/* ---- group.c ------------------------------------------------------------------------------- */

enum group_change { GROUP_THERE, GROUP_JOINED, GROUP_LEFT };
/* Tells routers; nothing where there are none, or of groups that are never reported. */
void stk_group_report(struct stk_iface *ifc, const ipaddr *group, enum group_change change);
/* The group in which neighbours look for an address of IPv6. */
void stk_group_of_addr(struct stk_iface *ifc, const ipaddr *addr, enum group_change change);
/* The interface is up: all that is so. */
void stk_groups_up(struct stk_iface *ifc);
bool stk_groups_tick(struct netstack *stk, s64 now); /* true: some is left to say */
void igmp_input(struct rxpkt *p);
void mld_input(struct rxpkt *p); /* its checksum is right */

/* ---- link.c -------------------------------------------------------------------------------- */

int link_start(struct stk_iface *ifc) must_check;
/*
 * A whole frame of a packet socket. -LX_EPERM: the egress policy names destinations, which a frame
 * could evade. -LX_ENETDOWN, -LX_ENOBUFS, -LX_EMSGSIZE.
 */
int stk_packet_send(const struct sock *from, s32 ifindex, const u8 *frame, u32 size) must_check;
/* b: from the IP header on. -LX_EAGAIN: the host's queue is full. */
int link_send(struct stk_iface *ifc, struct txbuf *b, const u8 dst_mac[6], u16 ether_type);

/* ---- neigh.c ------------------------------------------------------------------------------- */

enum neigh_state {
    NEIGH_INCOMPLETE = 1,
    NEIGH_REACHABLE = 2,
    NEIGH_STALE = 4,
    NEIGH_PROBE = 16,
    NEIGH_FAILED = 32,
    NEIGH_PERMANENT = 128
};
struct neigh_info {
    ipaddr addr;
    s32 ifindex;
    u8 mac[6];
    u8 state;
};

struct neigh_table *neigh_table_new(void) must_check;
void neigh_table_free(struct neigh_table *t);
/* Sends b (from the IP header on) to a neighbour, or holds a copy while its address is asked for.
 */
int neigh_send(struct stk_iface *ifc, const ipaddr *addr, struct txbuf *b, u16 ether_type);
/* Somebody said that addr has this mac. is_answer: to a question of ours; is_new: make an entry. */
void neigh_learn(struct stk_iface *ifc, const ipaddr *addr, const u8 mac[6], bool is_answer,
                 bool is_new);
/* Traffic shows that the neighbour is there. */
void neigh_confirm(struct stk_iface *ifc, const ipaddr *addr);
int neigh_set(struct netstack *stk, const struct neigh_info *n) must_check; /* permanent */
int neigh_delete(struct netstack *stk, s32 ifindex, const ipaddr *addr) must_check;
bool neigh_get(struct netstack *stk, s32 ifindex, const ipaddr *addr, struct neigh_info *ret);
/* Forgets all of an interface. */
void neigh_flush(struct stk_iface *ifc);
u32 neigh_list(struct netstack *stk, u32 from, struct neigh_info *ret, u32 max);
/* True: call again in a second. */
bool neigh_tick(struct netstack *stk, s64 now);
void arp_input(struct rxpkt *p);
/* Asks for an IPv6 neighbour (icmp.c). mac NULL: by multicast. */
void nd_solicit(struct stk_iface *ifc, const ipaddr *target, const u8 *mac);

/* ---- frag.c -------------------------------------------------------------------------------- */

struct frag_table *frag_table_new(void) must_check;
void frag_table_free(struct frag_table *t);
/* A piece of a datagram at byte `off`. Calls ip_whole when the datagram is whole. */
void frag_input(struct rxpkt *p, u32 id, u32 off, bool is_last);
bool frag_tick(struct netstack *stk, s64 now);

/* ---- route.c ------------------------------------------------------------------------------- */

/*
 * The way to dst, and the source address to use when *src is any. oif: 0 or the interface it must
 * leave by. -LX_ENETUNREACH, -LX_EHOSTUNREACH, -LX_EACCES, -LX_EINVAL (blackhole),
 * -LX_EADDRNOTAVAIL.
 */
int stk_route(struct netstack *stk, const ipaddr *dst, s32 oif, ipaddr *src,
              struct stk_path *ret) must_check;
/* As stk_route; also the route that was taken, if any. */
int stk_route_explain(struct netstack *stk, const ipaddr *dst, s32 oif, ipaddr *src,
                      struct stk_path *ret, struct stk_route *ret_route) must_check;
/* By LX_NLM_F_{CREATE,EXCL,REPLACE}: -LX_EEXIST, -LX_ENOENT, -LX_ENOSPC. */
int stk_route_put(struct netstack *stk, const struct stk_route *r, u32 nlm_flags) must_check;
int stk_route_add(struct netstack *stk, const struct stk_route *r) must_check;
/* A zero oif, metric, type, protocol or prefsrc, or no gateway in r, fits any. *ret: what it was.
 */
int stk_route_del(struct netstack *stk, const struct stk_route *r,
                  struct stk_route *ret) must_check;
/* All routes by an interface. */
void stk_route_flush(struct netstack *stk, s32 ifindex);
u32 stk_routes(struct netstack *stk, u32 from, struct stk_route *ret, u32 max);
bool stk_prefix_match(const ipaddr *a, const ipaddr *prefix, u8 family, u8 len);
struct stk_iface *stk_iface(struct netstack *stk, s32 index);
struct stk_iface *stk_iface_named(struct netstack *stk, const char *name);
/* Egress policy: may a packet that nobody asked for go there? port 0: a protocol without. */
bool stk_may_reach(struct netstack *stk, const ipaddr *dst, u16 port);
/* Path MTU that an ICMP error told of. */
void stk_pmtu_learn(struct netstack *stk, const ipaddr *dst, u32 mtu);
u32 stk_pmtu(struct netstack *stk, const ipaddr *dst, u32 link_mtu);

/* ---- stack.c ------------------------------------------------------------------------------- */

struct netcfg;
/* A stack with its loopback, which is down. */
int netstack_new(struct net_ns *ns, struct netstack **ret) must_check;
/* Gives it what a namespace of the host had; takes the descriptors over. Before the first task. */
int netstack_configure(struct netstack *stk, const struct netcfg *cfg) must_check;
/* Starts the threads that read frames. After the host-call filter is there. */
int netstack_start(struct netstack *stk) must_check;
void stk_need_tick(struct netstack *stk);
/* A keyed hash: SipHash-2-4. */
u64 net_hash(const u64 secret[2], const void *p, size_t size);
static inline u64 stk_hash(const struct netstack *stk, const void *p, size_t size)
{
    return net_hash(stk->secret, p, size);
}

/* ---- rule.c --------------------------------------------------------------------------------- */

int stk_policies_init(struct netstack *stk) must_check;
/* priority 0: one is chosen. -LX_EEXIST, -LX_ENOBUFS, -LX_ENOMEM. */
int stk_policy_add(struct netstack *stk, struct stk_policy *p, bool is_exclusive) must_check;
int stk_policy_del(struct netstack *stk, const struct stk_policy *q) must_check; /* -LX_ENOENT */
bool stk_policy_nth(struct netstack *stk, u32 nth, struct stk_policy *ret);
/* Under cfg_lock. */
bool stk_policy_applies(struct netstack *stk, const struct stk_policy *p, const ipaddr *dst,
                        const ipaddr *src, s32 oif);

/* ---- addr.c --------------------------------------------------------------------------------- */

/* -LX_EEXIST, -LX_ENOBUFS, -LX_ENODEV. */
int stk_addr_add(struct netstack *stk, const struct stk_addr *a) must_check;
/* Without a word and without its route; sets the flags that its neighbours give it. */
int stk_addr_insert(struct netstack *stk, struct stk_addr *a) must_check;
/* prefix_len 0 and peer any: any. -LX_EADDRNOTAVAIL. */
int stk_addr_del(struct netstack *stk, const struct stk_addr *a) must_check;
/* The address's subnet becomes reachable. */
void stk_addr_connect(struct netstack *stk, const struct stk_addr *a);
/* All of an interface; family 0: of both. */
void stk_addr_flush(struct netstack *stk, s32 ifindex, u8 family);
bool stk_addr_first(struct netstack *stk, s32 ifindex, struct stk_addr *ret); /* of IPv4 */
s32 stk_index_of_addr(struct netstack *stk, const ipaddr *a); /* whose it is; 0: nobody's */
ipaddr stk_link_local(struct stk_iface *ifc);                 /* of IPv6; any: it has none */
u32 stk_addrs(struct netstack *stk, u32 from, struct stk_addr *ret, u32 max);
bool stk_is_local(struct netstack *stk, const ipaddr *a);
bool stk_is_iface_addr(struct stk_iface *ifc, const ipaddr *a);
/* The interface's first address of the family; any: it has none. */
ipaddr stk_iface_first_addr(struct stk_iface *ifc, bool is_v6);
/* IPv4 broadcast of an interface (or the limited one). */
bool stk_is_broadcast(struct netstack *stk, const ipaddr *a);

/* ---- what listeners of NETLINK_ROUTE's groups are told (netlink/tell.c). Takes leaves only. ----
 */

void stk_tell_addr(struct netstack *stk, bool is_new, const struct stk_addr *a);
void stk_tell_route(struct netstack *stk, bool is_new, const struct stk_route *r);
void stk_tell_neigh(struct netstack *stk, bool is_new, const struct neigh_info *n);
/* change: the flags that changed. */
void stk_tell_link(struct stk_iface *ifc, bool is_new, u32 change);

/* ---- dev.c: interfaces come, change and go ------------------------------------------------- */

extern struct mutex dev_lock;

struct stk_dev_spec {    /* of an interface to be made */
    char name[STK_NAME]; /* "": the next of its kind */
    s32 index;           /* 0: the next */
    bool has_mac;
    u8 mac[6];
};

/* All REQUIRE dev_lock, or that nobody else is there yet. */

/* A free slot, filled, and nobody told. -LX_EBUSY: the index is taken. */
int stk_dev_new(struct netstack *stk, enum dev_kind kind, const char *name, s32 index,
                struct stk_iface **ret) must_check;
struct netdev_info;
/* What is the kind's. Takes wire_lock. */
void stk_dev_describe(const struct stk_iface *f, struct netdev_info *d);
/* The kind that programs may make by this name; false: none. */
bool stk_dev_kind(const char *name, enum dev_kind *ret);
/* peer_*: of a veth, else NULL. -LX_EEXIST, -LX_EINVAL, -LX_EBUSY, -LX_ENFILE. */
int stk_dev_create(struct netstack *stk, enum dev_kind kind, const struct stk_dev_spec *s,
                   struct netstack *peer_stk, const struct stk_dev_spec *peer,
                   struct stk_iface **ret, struct stk_iface **ret_peer) must_check;
int stk_dev_destroy(struct stk_iface *ifc) must_check; /* -LX_EOPNOTSUPP: not of those */
/* To another namespace, down and without addresses; name NULL: it keeps its own. */
int stk_dev_move(struct stk_iface *ifc, struct netstack *to, const char *name,
                 struct stk_iface **ret, const char **ret_why) must_check;
void stk_dev_set_carrier(struct stk_iface *ifc, bool is_on);
int stk_dev_rename(struct stk_iface *ifc, const char *name) must_check;
int stk_dev_set_mtu(struct stk_iface *ifc, u32 mtu) must_check;
int stk_dev_set_mac(struct stk_iface *ifc, const u8 mac[6]) must_check;
int stk_dev_set_master(struct stk_iface *ifc, s32 master, const char **ret_why) must_check;
/* Of a bridge: the nth address it has learned and the port it is behind; false: there is none. */
bool stk_fdb_nth(struct stk_iface *br, u32 nth, u8 mac[6], s32 *ret_port);
/* All that go with their namespace. */
void stk_dev_destroy_all(struct netstack *stk);
/* Of the flags only those that mean something here can change: -LX_EOPNOTSUPP. */
int stk_set_flags(struct netstack *stk, s32 index, u32 flags) must_check;

/* ---- show.c: what programs see and change -------------------------------------------------- */

struct netdev_info;
struct net_proc_out;
/* The interface of the lowest index above `after`; false: none. */
bool stk_netdev(struct netstack *stk, s32 after, struct netdev_info *ret);
void stk_proc_dev(struct net_ns *ns, const struct net_proc_out *o, u64 *cursor);
void stk_proc_arp(struct net_ns *ns, const struct net_proc_out *o, u64 *cursor);
void stk_proc_route(struct net_ns *ns, const struct net_proc_out *o, u64 *cursor);
void stk_proc_if_inet6(struct net_ns *ns, const struct net_proc_out *o, u64 *cursor);
void stk_proc_ipv6_route(struct net_ns *ns, const struct net_proc_out *o, u64 *cursor);

/* ---- for net/inet -------------------------------------------------------------------------- */

/* udp.c, icmp.c: sends a datagram whose cb says from where to where. */
int stk_udp_send(struct inet_sock *from, const struct nmsg *msg) must_check;
/* data: from the ICMP header (or the raw protocol's) on; checksums are filled in. */
int stk_raw_send(struct inet_sock *from, u8 protocol, const u8 *data, u32 size,
                 const struct dgram_cb *cb) must_check;

#endif
