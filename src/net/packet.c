/*
 * Packet sockets: what interfaces send and receive, whole. The loopback shows packets only while
 * somebody listens (net_ns.nwatchers); what is sent on it by a packet socket is taken in again.
 *
 * A sock listens while its protocol is not 0. Frames are queued, or put into its ring
 * (packet_ring.c). PACKET_FANOUT, PACKET_TX_RING and PACKET_VNET_HDR are refused.
 */
#include "net/packet.h"

#include <stdlib.h>
#include <string.h>

#include "abi/tty.h"
#include "net/filter.h"
#include "net/inet/wire.h"
#include "net/netdev.h"
#include "net/parts.h"
#include "net/stack/stack.h"

#define LL_ADDR_OFF offsetof(struct lx_sockaddr_ll, addr)
#define ETH_ALEN    6
#define ALLOWED_FLAGS                                                                              \
    (LX_MSG_PEEK | LX_MSG_DONTWAIT | LX_MSG_TRUNC | LX_MSG_ERRQUEUE | LX_MSG_CMSG_CLOEXEC)

struct packet_sock {
    struct sock sk;
    struct list node;     /* in packet_ns.listening; guarded by its lock */
    _Atomic u16 protocol; /* host order; 0: hears nothing. Written under packet_ns.lock */
    _Atomic s32 ifindex;  /* 0: all */
    _Atomic u32 npackets, ndrops;
    _Atomic bool is_auxdata, is_origdev, is_outgoing_ignored, is_loss, is_lossy;
    _Atomic s32 version;
    _Atomic u32 reserve, copy_thresh;
    struct mq rxq;
    struct packet_ring
        *ring;              /* guarded by packet_ns.lock and ring_lock: either is enough to read */
    struct mutex ring_lock; /* before packet_ns.lock; held for set-up and mapping */
};

struct packet_ns {
    struct mutex lock; /* inside inet's locks; before mq.lock, packet_ring.lock, waitq */
    struct list listening;
};

struct frame_cb { /* nmsg.cb */
    struct lx_sockaddr_ll sll;
    u32 origlen, net;
};
_Static_assert(sizeof(struct frame_cb) <= sizeof(((struct nmsg *)NULL)->cb) - 8, "nmsg.cb");

struct lx_tpacket_auxdata {
    u32 status, len, snaplen;
    u16 mac, net, vlan_tci, vlan_tpid;
};

static inline struct packet_sock *packet_sk(struct sock *sk)
{
    return container_of(sk, struct packet_sock, sk);
}

static const struct sock_ops packet_ops;

struct packet_ns *packet_ns_new(void)
{
    struct packet_ns *n = calloc(1, sizeof(*n));
    if (!n)
        return NULL;
    mutex_init(&n->lock, "packet_ns");
    list_init(&n->listening);
    return n;
}

void packet_ns_free(struct packet_ns *n)
{
    free(n);
}

/* ---- listening ----------------------------------------------------------------------------- */

static void listen_to(struct packet_sock *p, u16 protocol, s32 ifindex)
{
    struct net_ns *ns = p->sk.ns;
    MUTEX_GUARD(&ns->packet_ns->lock);
    bool was_on = p->protocol != 0;
    p->protocol = protocol;
    p->ifindex = ifindex;
    if (protocol && !was_on) {
        list_add_tail(&ns->packet_ns->listening, &p->node);
        atomic_fetch_add(&ns->nwatchers, 1);
    } else if (!protocol && was_on) {
        list_del(&p->node);
        atomic_fetch_sub(&ns->nwatchers, 1);
    }
}

int packet_create(struct net_ns *ns, s32 type, s32 protocol, struct sock **ret_sk)
{
    if (!net_capable(ns, LX_CAP_NET_RAW) || ns->host) /* not for the host's network */
        return -LX_EPERM;
    if (type != LX_SOCK_RAW && type != LX_SOCK_DGRAM)
        return -LX_ESOCKTNOSUPPORT;
    struct packet_sock *p = calloc(1, sizeof(*p));
    if (!p)
        return -LX_ENOMEM;
    list_init(&p->node);
    mq_init(&p->rxq);
    mutex_init(&p->ring_lock, "packet_ring_setup");
    int r = sock_init(&p->sk, &packet_ops, ns, LX_AF_PACKET, (u16)type, protocol);
    if (r < 0) {
        free(p);
        return r;
    }
    listen_to(p, net16((u16)protocol), 0);
    *ret_sk = &p->sk;
    return 0;
}

/* ---- what comes in ------------------------------------------------------------------------- */

static struct lx_sockaddr_ll address_of(const struct packet_frame *f)
{
    struct lx_sockaddr_ll a = {
        .family = LX_AF_PACKET,
        .protocol = net16(f->protocol),
        .ifindex = f->ifindex,
        .hatype = f->hatype,
        .pkttype = f->pkttype,
    };
    if (f->net >= 2 * ETH_ALEN) {
        a.halen = ETH_ALEN;
        memcpy(a.addr, f->buf + ETH_ALEN, ETH_ALEN);
    }
    return a;
}

static void release_rmem(struct nmsg *m)
{
    struct sock *sk = (struct sock *)(uintptr_t)m->cb[ARRAY_SIZE(m->cb) - 1];
    atomic_fetch_sub(&sk->rmem, m->truesize);
}

static bool enqueue(struct packet_sock *p, const struct packet_frame *f, u32 from, u32 keep)
{
    struct sock *sk = &p->sk;
    if (atomic_load(&sk->rmem) >= (u32)sk->rcvbuf)
        return false;
    struct nmsg *m = nmsg_new(keep, NULL);
    if (!m)
        return false;
    memcpy(m->data, f->buf + from, keep);
    struct frame_cb cb = {address_of(f), f->size - from, f->net - from};
    memcpy(m->cb, &cb, sizeof(cb));
    m->cb[ARRAY_SIZE(m->cb) - 1] = (u64)(uintptr_t)sk;
    m->free_cb = release_rmem;
    atomic_fetch_add(&sk->rmem, m->truesize);
    m->stamp_ns = sock_stamp(sk);
    mq_push(&p->rxq, m);
    waitq_wake(&sk->wq, WAIT_READABLE);
    return true;
}

/* REQUIRES packet_ns.lock. */
static void hear(struct packet_sock *p, const struct packet_frame *f)
{
    u32 from = p->sk.type == LX_SOCK_DGRAM ? f->net : 0, keep = f->size - from;
    if (filter_is_set(&p->sk)) {
        struct bpf_packet bp = {
            .buf = f->buf,
            .size = f->size,
            .net = f->net,
            .data = from,
            .protocol = f->protocol,
            .pkttype = f->pkttype,
            .ifindex = (u32)f->ifindex,
            .hatype = f->hatype,
        };
        keep = MIN(keep, filter_run(&p->sk, &bp));
        if (!keep)
            return;
    }
    struct lx_sockaddr_ll sll = address_of(f);
    bool is_ok = p->ring
                     ? packet_ring_put(p->ring, f, from, keep, &sll, p->is_lossy, sock_real_ns())
                     : enqueue(p, f, from, keep);
    if (is_ok) {
        atomic_fetch_add(&p->npackets, 1);
    } else {
        p->is_lossy = true;
        atomic_fetch_add(&p->ndrops, 1);
        atomic_fetch_add(&p->sk.drops, 1);
    }
}

void packet_show(struct net_ns *ns, const struct packet_frame *f, const struct sock *but)
{
    struct packet_sock *p;
    MUTEX_GUARD(&ns->packet_ns->lock);
    list_for_each (p, &ns->packet_ns->listening, node) {
        bool is_all = p->protocol == LX_ETH_P_ALL, is_out = f->pkttype == LX_PACKET_OUTGOING;
        if (&p->sk == but || (p->ifindex && p->ifindex != f->ifindex))
            continue;
        if ((!is_all && (is_out || p->protocol != f->protocol)) ||
            (is_out && p->is_outgoing_ignored))
            continue;
        hear(p, f);
    }
}

/* ---- names --------------------------------------------------------------------------------- */

static int packet_bind(struct sock *sk, const union saddr *addr, u32 len)
{
    struct packet_sock *p = packet_sk(sk);
    if (len < sizeof(addr->ll) || addr->family != LX_AF_PACKET)
        return -LX_EINVAL;
    if (addr->ll.ifindex && !netdev_exists(sk->ns, addr->ll.ifindex))
        return -LX_ENODEV;
    u16 protocol = addr->ll.protocol ? net16(addr->ll.protocol) : p->protocol;
    listen_to(p, protocol, addr->ll.ifindex);
    return 0;
}

static int packet_getname(struct sock *sk, union saddr *ret, u32 *ret_len)
{
    struct packet_sock *p = packet_sk(sk);
    *ret = (union saddr){
        .ll = {.family = LX_AF_PACKET, .protocol = net16(p->protocol), .ifindex = p->ifindex}};
    if (p->ifindex) {
        ret->ll.hatype = LX_ARPHRD_LOOPBACK;
        ret->ll.halen = ETH_ALEN;
    }
    *ret_len = (u32)LL_ADDR_OFF + ret->ll.halen;
    return 0;
}

/* ---- sending ------------------------------------------------------------------------------- */

/* The loopback takes in what was sent on it, as far as this host has somebody for it. */
static void loopback_input(struct net_ns *ns, const struct packet_frame *f)
{
    const u8 *ip = f->buf + f->net;
    u32 size = f->size - f->net, head, total;
    struct dgram_cb cb = {0};
    u8 protocol;
    if (f->protocol == LX_ETH_P_IP) {
        if (size < WIRE_IP4 || ip[0] >> 4 != 4)
            return;
        head = (ip[0] & 0xfU) * 4;
        total = get16(ip + 2);
        u32 a[2];
        memcpy(a, ip + 12, sizeof(a));
        cb.saddr = ipaddr_v4(a[0]);
        cb.daddr = ipaddr_v4(a[1]);
        protocol = ip[9];
        cb.ttl = ip[8];
        cb.tos = ip[1];
        /* Fragments find nobody to put them together; 127/8 from outside the stack is martian. */
        if (head < WIRE_IP4 || get16(ip + 6) & 0x3fff ||
            ((ip[12] == 127 || ip[16] == 127) && !net_sysctl(ns, NSYS_ROUTE_LOCALNET)))
            return;
    } else if (f->protocol == LX_ETH_P_IPV6) {
        if (size < WIRE_IP6 || ip[0] >> 4 != 6)
            return;
        head = WIRE_IP6;
        total = head + get16(ip + 4);
        memcpy(&cb.saddr, ip + 8, 16);
        memcpy(&cb.daddr, ip + 24, 16);
        protocol = ip[6];
        cb.ttl = ip[7];
        cb.tos = (u8)(ip[0] << 4 | ip[1] >> 4);
    } else {
        return;
    }
    if (total < head || total > size || !ipaddr_is_local(ns, &cb.daddr))
        return;
    const u8 *l4 = ip + head;
    u32 n = total - head;
    if (protocol == (f->protocol == LX_ETH_P_IP ? LX_IPPROTO_ICMP : LX_IPPROTO_ICMPV6)) {
        u8 *copy = malloc(n ? n : 1);
        if (copy) {
            memcpy(copy, l4, n);
            (void)!icmp_input(ns, NULL, copy, n, &cb);
        }
        free(copy);
        return;
    }
    raw_deliver(ns, protocol, l4, n, &cb);
    if (protocol == LX_IPPROTO_UDP)
        udp_input(ns, &cb, l4, n);
}

static s64 packet_send(struct sock *sk, struct smsg *m)
{
    struct packet_sock *p = packet_sk(sk);
    u64 size = m->uio->left;
    s32 ifindex = p->ifindex;
    u16 protocol = p->protocol;
    const struct lx_sockaddr_ll *to = m->name_len ? &m->name->ll : NULL;
    if (to) {
        if (m->name_len < sizeof(*to) || to->halen > sizeof(to->addr))
            return -LX_EINVAL;
        protocol = net16(to->protocol);
        ifindex = to->ifindex;
    }
    if (!ifindex || !netdev_exists(sk->ns, ifindex))
        return -LX_ENXIO;
    const struct stk_iface *ifc = stk_iface(sk->ns->stack, ifindex);
    bool is_bare = ifc && ifc->type == LX_ARPHRD_NONE; /* its packets have no header of a link */
    u32 head = sk->type == LX_SOCK_DGRAM || is_bare ? WIRE_ETH : 0;
    if (head + size > LO_MTU + WIRE_ETH)
        return -LX_EMSGSIZE;
    if (!head && size < WIRE_ETH)
        return -LX_EINVAL;
    if (to && head && !is_bare && to->halen < ETH_ALEN)
        return -LX_EINVAL;
    u8 *buf = calloc(1, head + size);
    if (!buf)
        return -LX_ENOBUFS;
    s64 r = size ? uio_copy_from(m->uio, buf + head, size) : 0;
    if (r == (s64)size) {
        if (head) {
            if (to && !is_bare)
                memcpy(buf, to->addr, ETH_ALEN);
            put16(buf + 12, protocol);
        }
        static const u8 own[ETH_ALEN];
        struct packet_frame f = {
            .buf = buf,
            .size = head + (u32)size,
            .net = WIRE_ETH,
            .protocol = get16(buf + 12),
            .ifindex = ifindex,
            .hatype = LX_ARPHRD_LOOPBACK,
            .pkttype = LX_PACKET_OUTGOING,
        };
        if (ifindex != LO_IFINDEX) {
            r = stk_packet_send(sk, ifindex, buf, f.size);
            free(buf);
            return r < 0 ? r : (s64)size;
        }
        packet_show(sk->ns, &f, sk);
        f.pkttype = memcmp(buf, own, ETH_ALEN) ? LX_PACKET_OTHERHOST : LX_PACKET_HOST;
        if (buf[0] & 1)
            f.pkttype = LX_PACKET_MULTICAST;
        packet_show(sk->ns, &f, NULL);
        if (f.pkttype == LX_PACKET_HOST)
            loopback_input(sk->ns, &f);
        r = (s64)size;
    } else {
        r = -LX_EFAULT;
    }
    free(buf);
    return r;
}

/* ---- receiving ----------------------------------------------------------------------------- */

static void dup_cb(struct nmsg *copy, const struct nmsg *from)
{
    memcpy(copy->cb, from->cb, sizeof(struct frame_cb));
}

static int next_frame(struct packet_sock *p, struct smsg *m, struct nmsg **ret_m, u64 *ret_skip)
{
    struct sock *sk = &p->sk;
    s64 deadline = sock_recv_deadline(sk, m->flags & LX_MSG_DONTWAIT);
    for (;;) {
        int r = sock_error(sk);
        if (r == 0)
            r = mq_take(&p->rxq, m->flags & LX_MSG_PEEK, 0, m->uio->left, dup_cb, ret_m, ret_skip);
        if (r < 0 || *ret_m)
            return r;
        if (!deadline)
            return -LX_EAGAIN;
        r = wait_event_interruptible(&sk->wq, WAIT_READABLE | WAIT_ERR,
                                     !mq_is_empty(&p->rxq) || atomic_load(&sk->err), deadline);
        if (r < 0)
            return sock_wait_error(r, deadline);
    }
}

static s64 packet_recv(struct sock *sk, struct smsg *m)
{
    struct packet_sock *p = packet_sk(sk);
    struct nmsg *msg = NULL;
    struct frame_cb cb;
    u64 skip;
    if (m->flags & ~(u32)ALLOWED_FLAGS)
        return -LX_EINVAL;
    if (m->flags & LX_MSG_ERRQUEUE)
        return -LX_EAGAIN;
    s64 r = next_frame(p, m, &msg, &skip);
    if (r < 0)
        return r;
    memcpy(&cb, msg->cb, sizeof(cb));
    p->is_lossy = false;
    if (m->name) {
        memset(m->name, 0, sizeof(*m->name));
        m->name->ll = cb.sll;
        m->name_len = sizeof(cb.sll);
    }
    u32 snaplen = msg->size;
    r = nmsg_copy_out(msg, m, skip);
    if (r >= 0) {
        sock_put_timestamp(sk, m->cmsg, msg->stamp_ns);
        if (p->is_auxdata) {
            struct lx_tpacket_auxdata aux = {
                .status = 1, .len = cb.origlen, .snaplen = snaplen, .net = (u16)cb.net};
            cmsg_put(m->cmsg, LX_SOL_PACKET, LX_PACKET_AUXDATA, &aux, sizeof(aux));
        }
    }
    nmsg_free(msg);
    return r;
}

static u32 packet_poll(struct sock *sk)
{
    struct packet_sock *p = packet_sk(sk);
    u32 mask = WAIT_WRITABLE | WAIT_WRBAND;
    if (atomic_load(&sk->err))
        mask |= WAIT_ERR;
    if (!mq_is_empty(&p->rxq))
        mask |= WAIT_READABLE;
    MUTEX_GUARD(&sk->ns->packet_ns->lock);
    if (p->ring && packet_ring_is_readable(p->ring))
        mask |= WAIT_READABLE;
    return mask;
}

/* ---- options ------------------------------------------------------------------------------- */

static int set_ring(struct packet_sock *p, const struct optval *val)
{
    struct lx_tpacket_req3 q = {0};
    struct packet_ring *ring = NULL;
    int r = optval_read(val, &q, p->version == TPACKET_V3 ? sizeof(q) : 16);
    if (r < 0)
        return r;
    MUTEX_GUARD(&p->ring_lock);
    if (p->ring && packet_ring_is_mapped(p->ring))
        return -LX_EBUSY;
    if (!q.block_nr && q.frame_nr)
        return -LX_EINVAL;
    if (q.block_nr && p->ring)
        return -LX_EBUSY;
    if (q.block_nr)
        r = packet_ring_new(&q, p->version, p->reserve, &p->sk.wq, &ring);
    if (r < 0)
        return r;
    struct net_ns *ns = p->sk.ns;
    mutex_lock(&ns->packet_ns->lock);
    struct packet_ring *old = p->ring;
    p->ring = ring;
    mutex_unlock(&ns->packet_ns->lock);
    packet_ring_free(old);
    mq_purge(&p->rxq);
    return 0;
}

struct lx_packet_mreq {
    s32 ifindex;
    u16 type, alen;
    u8 address[8];
};

/* The loopback hears everything whatever was asked for. */
static int membership(struct packet_sock *p, const struct optval *val)
{
    struct lx_packet_mreq q;
    int r = optval_read(val, &q, sizeof(q));
    if (r < 0)
        return r;
    if (q.alen > sizeof(q.address))
        return -LX_EINVAL;
    return netdev_exists(p->sk.ns, q.ifindex) ? 0 : -LX_ENODEV;
}

static int set_when_ringless(struct packet_sock *p, _Atomic u32 *field, u32 v)
{
    MUTEX_GUARD(&p->ring_lock);
    if (p->ring)
        return -LX_EBUSY;
    *field = v;
    return 0;
}

static int packet_setsockopt(struct sock *sk, s32 level, s32 name, const struct optval *val)
{
    struct packet_sock *p = packet_sk(sk);
    s32 v;
    if (level != LX_SOL_PACKET)
        return -LX_ENOPROTOOPT;
    if (name == LX_PACKET_ADD_MEMBERSHIP || name == LX_PACKET_DROP_MEMBERSHIP)
        return membership(p, val);
    if (name == LX_PACKET_RX_RING)
        return set_ring(p, val);
    int r = optval_int(val, &v);
    if (r < 0)
        return r;
    switch (name) {
    case LX_PACKET_AUXDATA:
        p->is_auxdata = v != 0;
        return 0;
    case LX_PACKET_ORIGDEV:
        p->is_origdev = v != 0;
        return 0;
    case LX_PACKET_IGNORE_OUTGOING:
        if (v < 0 || v > 1)
            return -LX_EINVAL;
        p->is_outgoing_ignored = v;
        return 0;
    case LX_PACKET_COPY_THRESH:
        p->copy_thresh = (u32)v;
        return 0;
    case LX_PACKET_RESERVE:
        return v < 0 ? -LX_EINVAL : set_when_ringless(p, &p->reserve, (u32)v);
    case LX_PACKET_VERSION:
        if (!packet_header_size(v))
            return -LX_EINVAL;
        return set_when_ringless(p, (_Atomic u32 *)&p->version, (u32)v);
    case LX_PACKET_TX_RING:
    case LX_PACKET_VNET_HDR:
    case LX_PACKET_FANOUT:
        return -LX_EOPNOTSUPP;
    default:
        return -LX_ENOPROTOOPT;
    }
}

static int get_statistics(struct packet_sock *p, struct optval *val)
{
    u32 drops = atomic_exchange(&p->ndrops, 0);
    u32 st[3] = {atomic_exchange(&p->npackets, 0) + drops, drops, 0};
    u32 size = p->version == TPACKET_V3 ? sizeof(st) : 8;
    return optval_write(val, st, size);
}

static int packet_getsockopt(struct sock *sk, s32 level, s32 name, struct optval *val)
{
    struct packet_sock *p = packet_sk(sk);
    s32 v = 0;
    if (level != LX_SOL_PACKET)
        return -LX_ENOPROTOOPT;
    switch (name) {
    case LX_PACKET_STATISTICS:
        return get_statistics(p, val);
    case LX_PACKET_AUXDATA:
        v = p->is_auxdata;
        break;
    case LX_PACKET_ORIGDEV:
        v = p->is_origdev;
        break;
    case LX_PACKET_IGNORE_OUTGOING:
        v = p->is_outgoing_ignored;
        break;
    case LX_PACKET_VERSION:
        v = p->version;
        break;
    case LX_PACKET_RESERVE:
        v = (s32)p->reserve;
        break;
    case LX_PACKET_COPY_THRESH:
        v = (s32)p->copy_thresh;
        break;
    case LX_PACKET_VNET_HDR:
    case LX_PACKET_LOSS:
    case LX_PACKET_TIMESTAMP:
    case LX_PACKET_FANOUT:
    case LX_PACKET_QDISC_BYPASS:
        break;
    case LX_PACKET_HDRLEN: {
        int r = optval_int(val, &v);
        if (r < 0)
            return r;
        v = (s32)packet_header_size(v);
        if (!v)
            return -LX_EINVAL;
        break;
    }
    default:
        return -LX_ENOPROTOOPT;
    }
    return optval_write_int(val, v);
}

static s64 packet_ioctl(struct sock *sk, u32 cmd, u64 arg)
{
    struct packet_sock *p = packet_sk(sk);
    switch (cmd) {
    case LX_FIONREAD:
        return put_user((s32)mq_first_size(&p->rxq), uaddr(arg));
    case LX_TIOCOUTQ:
        return put_user((s32)atomic_load(&sk->wmem), uaddr(arg));
    default:
        return -LX_ENOIOCTLCMD;
    }
}

/* ---- mapping the ring ---------------------------------------------------------------------- */

static int packet_host_fd(struct sock *sk, u64 offset, u64 size, bool is_writable_shared,
                          int *ret_fd, u64 *ret_offset)
{
    struct packet_sock *p = packet_sk(sk);
    MUTEX_GUARD(&p->ring_lock);
    return p->ring
               ? packet_ring_host_fd(p->ring, offset, size, is_writable_shared, ret_fd, ret_offset)
               : -LX_EINVAL;
}

static void packet_mapped(struct sock *sk, bool is_more)
{
    struct packet_sock *p = packet_sk(sk);
    MUTEX_GUARD(&p->ring_lock);
    if (p->ring)
        packet_ring_mapped(p->ring, is_more);
}

static void packet_release(struct sock *sk)
{
    struct packet_sock *p = packet_sk(sk);
    listen_to(p, 0, 0);
    mq_purge(&p->rxq);
}

static void packet_destroy(struct sock *sk)
{
    struct packet_sock *p = packet_sk(sk);
    packet_ring_free(p->ring);
    mq_purge(&p->rxq);
}

static const struct sock_ops packet_ops = {
    .name = "packet",
    .bind = packet_bind,
    .getname = packet_getname,
    .sendmsg = packet_send,
    .recvmsg = packet_recv,
    .setsockopt = packet_setsockopt,
    .getsockopt = packet_getsockopt,
    .poll = packet_poll,
    .ioctl = packet_ioctl,
    .host_fd = packet_host_fd,
    .mapped = packet_mapped,
    .release = packet_release,
    .destroy = packet_destroy,
};
