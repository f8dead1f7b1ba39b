/*
 * UDP: a datagram is copied from its sender into the queue of the sock that the ports name. One for a
 * port that nobody holds comes back as the ICMP error that Linux's loopback would bring.
 */
#include <stdlib.h>
#include <string.h>

#include "net/filter.h"
#include "net/filter/hook.h"
#include "net/inet/inet.h"
#include "net/inet/wire.h"
#include "net/stack/stack.h"

#define UDP_MAX_V4   65507
#define UDP_MAX_V6   65527
#define UDP_MAX_SEGS 128
#define MAX_FANOUT   64 /* receivers of one multicast datagram */

#define STAT(ns, field) atomic_fetch_add_explicit(&(ns)->inet_ns->field, 1, memory_order_relaxed)

static const struct sock_ops udp_ops;

int udp_create(struct net_ns *ns, u16 family, struct sock **ret_sk)
{
    struct inet_sock *i = calloc(1, sizeof(*i));
    if (!i)
        return -LX_ENOMEM;
    int r = inet_sock_init(i, &udp_ops, ns, family, LX_SOCK_DGRAM, LX_IPPROTO_UDP);
    if (r < 0)
        free(i);
    else
        *ret_sk = &i->sk;
    return r;
}

/* ---- delivery ------------------------------------------------------------------------------ */

static bool is_in_group(const struct inet_sock *i)
{
    return sock_has(&i->sk, SKF_REUSEPORT) && !i->dport;
}

/* The best receiver, referenced; of equals with SO_REUSEPORT, one by the group's program or the
 * hash of the tuple. */
static struct inet_sock *find_one(struct inet_table *t, const struct nmsg *msg)
{
    const struct dgram_cb *cb = dgram_cb(msg);
    MUTEX_GUARD(&t->lock);
    struct port_bucket *b = inet_find_bucket(t, cb->dport);
    struct inet_sock *i, *best = NULL;
    u32 best_score = 0, nbest = 0;
    if (!b)
        return NULL;
    list_for_each(i, &b->holders, port_node) {
        u32 s = dgram_score(i, cb);
        if (s > best_score) {
            best = i;
            best_score = s;
            nbest = 0;
        }
        nbest += s && s == best_score && is_in_group(i);
    }
    if (nbest > 1) {
        u32 pick = UINT32_MAX;
        list_for_each(i, &b->holders, port_node) {
            if (dgram_score(i, cb) == best_score && is_in_group(i))
                pick = MIN(pick, filter_pick(&i->sk, msg->data, msg->size));
        }
        if (pick < nbest)
            pick = nbest - 1 - pick; /* it counts in the order of binding; the newest is first here */
        else /* no program, or one that names nobody */
            pick = (u32)((u64)inet_tuple_hash(&cb->saddr, cb->sport, &cb->daddr, cb->dport) *
                         nbest >> 32);
        list_for_each(i, &b->holders, port_node) {
            if (dgram_score(i, cb) != best_score || !is_in_group(i))
                continue;
            best = i;
            if (pick-- == 0)
                break;
        }
    }
    if (best)
        sock_get(&best->sk);
    return best;
}

/* Members, and with IP_MULTICAST_ALL whoever is bound so while anybody here is a member. */
static bool takes_group(struct inet_sock *i, const ipaddr *group, bool is_joined)
{
    u64 all = ipaddr_is_v4(group) ? IPF_MC_ALL : IPF6_MC_ALL;
    return is_joined && (inet_opt(i) & all || inet_is_member(i, group));
}

/* Every receiver of a multicast or broadcast datagram; false: there was none. Consumes msg. */
static bool deliver_all(struct net_ns *ns, struct inet_table *t, struct nmsg *msg)
{
    const struct dgram_cb *cb = dgram_cb(msg);
    bool is_mc = ipaddr_is_multicast(&cb->daddr);
    struct inet_sock *found[MAX_FANOUT], *i;
    u32 n = 0;
    bool is_joined = is_mc && inet_is_joined(ns, &cb->daddr);
    mutex_lock(&t->lock);
    struct port_bucket *b = inet_find_bucket(t, cb->dport);
    if (b) {
        list_for_each(i, &b->holders, port_node) {
            if (n == MAX_FANOUT || !dgram_score(i, cb) || (is_mc && !takes_group(i, &cb->daddr, is_joined)))
                continue;
            sock_get(&i->sk);
            found[n++] = i;
        }
    }
    mutex_unlock(&t->lock);
    for (u32 k = 0; k < n; k++) {
        struct nmsg *m = k + 1 < n ? dgram_copy(msg) : take_ptr(msg);
        if (m)
            dgram_deliver(found[k], m);
        sock_put(&found[k]->sk);
    }
    nmsg_free(msg);
    return n;
}

bool udp_arrived(struct net_ns *ns, struct nmsg *msg)
{
    struct inet_table *t = &ns->inet_ns->udp;
    const struct dgram_cb *cb = dgram_cb(msg);
    if (ipaddr_is_multicast(&cb->daddr) || !ipaddr_is_local(ns, &cb->daddr)) {
        (void)deliver_all(ns, t, msg); /* nobody is told that a group has no members */
        return true;
    }
    struct inet_sock *to = find_one(t, msg);
    if (!to) {
        STAT(ns, udp_no_ports);
        nmsg_free(msg);
        return false;
    }
    STAT(ns, udp_in);
    dgram_deliver(to, msg);
    sock_put(&to->sk);
    return true;
}

void udp_error_arrived(struct net_ns *ns, const struct dgram_cb *sent, const u8 *data, u32 size, int err,
                       u8 type, u8 code, u32 mtu)
{
    struct nmsg *m = nmsg_new(size, NULL);
    if (!m)
        return;
    memcpy(m->data, data, size);
    *dgram_cb(m) = (struct dgram_cb){
        .saddr = sent->daddr, .daddr = sent->saddr, .sport = sent->dport, .dport = sent->sport};
    struct inet_sock *to = find_one(&ns->inet_ns->udp, m);
    if (to) {
        *dgram_cb(m) = *sent;
        dgram_cb(m)->ee_info = mtu;
        dgram_error(to, m, (u32)err, type, code);
        sock_put(&to->sk);
    }
    nmsg_free(m);
}

/* To hosts beyond the stack's interfaces, or to a group there. Consumes msg. */
static int send_out(struct inet_sock *from, struct nmsg *msg)
{
    const struct dgram_cb *cb = dgram_cb(msg);
    bool is_v4 = ipaddr_is_v4(&cb->daddr);
    int r = stk_udp_send(from, msg);
    bool is_looped = ipaddr_is_multicast(&cb->daddr)
                         ? (inet_opt(from) & (is_v4 ? IPF_MC_LOOP : IPF6_MC_LOOP)) != 0
                         : stk_is_broadcast(from->sk.ns->stack, &cb->daddr);
    if (r == 0 && is_looped)
        (void)deliver_all(from->sk.ns, inet_table_of(from), msg); /* members here, if any */
    else
        nmsg_free(msg);
    return r;
}

/* A datagram for those who look at the wire; r: what becomes of it, which an ICMP error may tell. */
static void show(struct net_ns *ns, const struct nmsg *msg, bool is_refused)
{
    const struct dgram_cb *cb = dgram_cb(msg);
    if (!wire_is_watched(ns))
        return;
    struct wire w = wire_udp(cb, msg->data, msg->size);
    if (w.buf && !is_refused) {
        wire_show(ns, &w);
        raw_deliver(ns, LX_IPPROTO_UDP, w.buf + w.l4, w.size - w.l4, cb);
    } else if (w.buf) {
        bool is_v4 = ipaddr_is_v4(&cb->daddr);
        icmp_show_error(ns, &w, cb, is_v4 ? LX_ICMP_DEST_UNREACH : LX_ICMPV6_DEST_UNREACH,
                        is_v4 ? LX_ICMP_PORT_UNREACH : LX_ICMPV6_PORT_UNREACH);
    }
    wire_free(&w);
}

void udp_input(struct net_ns *ns, const struct dgram_cb *from, const u8 *p, u32 size)
{
    struct dgram_cb cb = *from;
    u32 n = size >= WIRE_UDP ? get16(p + 4) : 0;
    if (n < WIRE_UDP || n > size || !ipaddr_is_local(ns, &cb.daddr) || !udp_is_intact(p, n, &cb))
        return;
    struct nmsg *msg = nmsg_new(n - WIRE_UDP, NULL);
    if (!msg)
        return;
    if (msg->size)
        memcpy(msg->data, p + WIRE_UDP, msg->size);
    cb.sport = get16(p);
    cb.dport = get16(p + 2);
    *dgram_cb(msg) = cb;
    struct inet_sock *to = find_one(&ns->inet_ns->udp, msg);
    if (!to) {
        show(ns, msg, true);
        nmsg_free(msg);
        return;
    }
    STAT(ns, udp_in);
    dgram_deliver(to, msg);
    sock_put(&to->sk);
}

/* Cuts a message that was sent as segments for a receiver that does not take them whole. */
static void deliver_segments(struct inet_sock *to, const struct nmsg *msg)
{
    u32 gso = dgram_cb(msg)->gso;
    for (u32 at = 0; at < msg->size; at += gso) {
        u32 n = MIN(gso, msg->size - at);
        struct nmsg *m = nmsg_new(n, NULL);
        if (!m)
            return;
        memcpy(m->data, msg->data + at, n);
        *dgram_cb(m) = *dgram_cb(msg);
        dgram_cb(m)->gso = 0;
        dgram_deliver(to, m);
    }
}

/* "Unreachable" with this code comes back about msg, which was *sent before NAT, unless a rule drops it. */
static void refuse(struct inet_sock *from, struct nmsg *msg, const struct dgram_cb *sent, u8 code,
                   enum nf_why why)
{
    struct net_ns *ns = from->sk.ns;
    struct dgram_cb *cb = dgram_cb(msg);
    bool is_v4 = ipaddr_is_v4(&cb->daddr), is_hard;
    u8 type = is_v4 ? LX_ICMP_DEST_UNREACH : LX_ICMPV6_DEST_UNREACH;
    if (nf_is_on(ns, NF_ALL) && !icmp_error_passes(ns, cb, type, code, WIRE_UDP + msg->size, why))
        return;
    *cb = *sent;
    int err = nf_errno(!is_v4, code, &is_hard);
    if (is_hard || inet_opt(from) & (is_v4 ? IPF_RECVERR : IPF6_RECVERR))
        dgram_error(from, msg, (u32)err, type, code);
}

/* What rules make of a datagram over the loopback. 0; 1: lost; -LX_EPERM: lost, and its sender is told. */
static int judge(struct inet_sock *from, struct nmsg *msg)
{
    struct dgram_cb *cb = dgram_cb(msg), sent = *cb;
    u8 head[WIRE_UDP] = {0};
    put16(head, cb->sport);
    put16(head + 2, cb->dport);
    put16(head + 4, (u16)(WIRE_UDP + msg->size));
    struct nf_fate f = nf_loopback(from->sk.ns, &from->sk, cb, LX_IPPROTO_UDP, head, WIRE_UDP, msg->size,
                                   NF_PLAIN);
    if (f.code != NF_SILENT && ipaddr_is_local(from->sk.ns, &cb->daddr))
        refuse(from, msg, &sent, f.code, NF_ANSWER);
    return !f.is_lost ? 0 : f.is_out ? -LX_EPERM : 1;
}

/* Does it leave by the stack? Not what NAT sends to ourselves. */
static bool is_remote(struct inet_sock *from, const struct dgram_cb *cb)
{
    if (!inet_is_remote(from->sk.ns, &cb->daddr, cb->ifindex))
        return false;
    return !nf_is_on(from->sk.ns, NF_NAT_OUT) || !nf_turns_home(from->sk.ns, &from->sk, cb, LX_IPPROTO_UDP);
}

/* Consumes msg. */
static int route_message(struct inet_sock *from, struct nmsg *msg)
{
    struct inet_table *t = inet_table_of(from);
    struct dgram_cb *cb = dgram_cb(msg);
    STAT(from->sk.ns, udp_out);
    if (is_remote(from, cb))
        return send_out(from, msg);
    cb->ifindex = LO_IFINDEX;
    struct dgram_cb sent = *cb;
    if (nf_is_on(from->sk.ns, NF_ALL)) {
        int r = judge(from, msg);
        if (r) {
            nmsg_free(msg);
            return MIN(r, 0);
        }
    }
    show(from->sk.ns, msg, false);
    if (ipaddr_is_multicast(&cb->daddr) || ipaddr_is_broadcast(&cb->daddr)) {
        /* The loopback brings back what is sent on it whatever IP_MULTICAST_LOOP says. */
        (void)deliver_all(from->sk.ns, t, msg); /* members, if any */
        return 0;
    }
    struct inet_sock *to = find_one(t, msg);
    if (to) {
        STAT(from->sk.ns, udp_in);
        if (unlikely(cb->gso) && !to->is_gro) {
            deliver_segments(to, msg);
            nmsg_free(msg);
        } else {
            dgram_deliver(to, msg);
        }
        sock_put(&to->sk);
        return 0;
    }
    STAT(from->sk.ns, udp_no_ports);
    show(from->sk.ns, msg, true);
    refuse(from, msg, &sent,
           ipaddr_is_v4(&cb->daddr) ? LX_ICMP_PORT_UNREACH : LX_ICMPV6_PORT_UNREACH, NF_PLAIN);
    nmsg_free(msg);
    return 0;
}

/* ---- sending ------------------------------------------------------------------------------- */

static void address(struct inet_sock *i, struct nmsg *msg, const struct dgram_send *s)
{
    *dgram_cb(msg) = (struct dgram_cb){
        .saddr = s->src,
        .daddr = s->dest.addr,
        .sport = i->sport,
        .dport = s->dest.port,
        .tos = (u8)s->tos,
        .ttl = (u8)s->ttl,
        .ifindex = s->oif ? s->oif : ipaddr_is_link_local(&s->dest.addr) ? (s32)s->dest.scope_id : 0,
    };
}

static int read_message(struct uio *from, u64 size, struct nmsg **ret_msg)
{
    struct nmsg *msg = nmsg_new((u32)size, NULL);
    if (!msg)
        return -LX_ENOBUFS;
    if (size) {
        s64 c = uio_copy_from(from, msg->data, size);
        if (c < 0 || (u64)c < size) {
            nmsg_free(msg);
            return -LX_EFAULT;
        }
    }
    *ret_msg = msg;
    return 0;
}

int udp_push(struct inet_sock *i)
{
    mutex_lock(&i->sk.lock);
    struct nmsg *msg = take_ptr(i->corked);
    mutex_unlock(&i->sk.lock);
    return msg ? route_message(i, msg) : 0;
}

/* Appends msg to what is held back and holds that, or all of it goes. Consumes msg on success. */
static int cork(struct inet_sock *i, struct nmsg *msg, bool is_more)
{
    u32 max = ipaddr_is_v4(&dgram_cb(msg)->daddr) ? UDP_MAX_V4 : UDP_MAX_V6;
    mutex_lock(&i->sk.lock);
    struct nmsg *old = take_ptr(i->corked), *all = msg;
    if (old) {
        all = old->size + msg->size <= max ? nmsg_new(old->size + msg->size, NULL) : NULL;
        if (!all) {
            i->corked = old;
            u32 total = old->size + msg->size;
            mutex_unlock(&i->sk.lock);
            return total > max ? -LX_EMSGSIZE : -LX_ENOBUFS;
        }
        memcpy(all->data, old->data, old->size);
        memcpy(all->data + old->size, msg->data, msg->size);
        *dgram_cb(all) = *dgram_cb(old);
    }
    i->corked = is_more ? all : NULL;
    mutex_unlock(&i->sk.lock);
    nmsg_free(old);
    if (all != msg)
        nmsg_free(msg);
    if (!is_more)
        (void)route_message(i, all); /* what was held back is gone either way */
    return 0;
}

/* Sends size bytes as datagrams of gso_size: to many receivers one by one. */
static int send_segments(struct inet_sock *i, struct smsg *m, const struct dgram_send *s, u64 size)
{
    while (size) {
        struct nmsg *msg;
        u64 n = MIN(size, (u64)s->gso_size);
        int r = read_message(m->uio, n, &msg);
        if (r < 0)
            return r;
        address(i, msg, s);
        r = route_message(i, msg);
        if (r < 0)
            return r;
        size -= n;
    }
    return 0;
}

static s64 udp_send(struct sock *sk, struct smsg *m)
{
    struct inet_sock *i = inet_sk(sk);
    struct dgram_send s;
    struct nmsg *msg;
    u64 size = m->uio->left;
    if (size > 0xffff && !inet_is_v6(i))
        return -LX_EMSGSIZE;
    if (m->flags & LX_MSG_OOB)
        return -LX_EOPNOTSUPP;
    int r = i->bucket ? 0 : inet_autobind(i);
    if (r == 0)
        r = dgram_prepare(i, m, &s);
    if (r == 0)
        r = sock_error(sk);
    if (r < 0)
        return r;
    if (size > (ipaddr_is_v4(&s.dest.addr) ? UDP_MAX_V4 : UDP_MAX_V6)) {
        if (!ipaddr_is_v4(&s.dest.addr) && inet_opt(i) & IPF6_RECVERR)
            dgram_too_big(i, &s);
        return -LX_EMSGSIZE;
    }
    if (sock_shut(sk) & SHUT_SND)
        return -LX_EPIPE;
    bool is_cut = s.gso_size && size > s.gso_size;
    if (is_cut && (size + s.gso_size - 1) / s.gso_size > UDP_MAX_SEGS)
        return -LX_EINVAL;
    bool is_whole = !ipaddr_is_multicast(&s.dest.addr) && !ipaddr_is_broadcast(&s.dest.addr) &&
                    !inet_is_remote(sk->ns, &s.dest.addr, s.oif);
    if (is_cut && !is_whole) {
        r = send_segments(i, m, &s, size);
        return r < 0 ? r : (s64)size;
    }
    r = read_message(m->uio, size, &msg);
    if (r < 0)
        return r;
    address(i, msg, &s);
    if (is_cut)
        dgram_cb(msg)->gso = (u16)s.gso_size;
    if (dgram_owes(i, m))
        dgram_sent(i, m, dgram_cb(msg), msg->data, msg->size);
    bool is_more = i->is_cork || m->flags & LX_MSG_MORE;
    if (unlikely(is_more || i->corked)) {
        r = cork(i, msg, is_more);
        if (r < 0) {
            nmsg_free(msg);
            return r;
        }
    } else {
        r = route_message(i, msg);
    }
    return r < 0 ? r : (s64)size;
}

static void udp_release(struct sock *sk)
{
    struct inet_sock *i = inet_sk(sk);
    struct inet_table *t = inet_table_of(i);
    mutex_lock(&t->lock);
    inet_put_port(i);
    mutex_unlock(&t->lock);
    mutex_lock(&sk->lock);
    struct nmsg *corked = take_ptr(i->corked);
    mutex_unlock(&sk->lock);
    nmsg_free(corked);
    mq_purge(&i->rxq);
    waitq_wake(&sk->wq, WAIT_ALL);
}

static void udp_destroy(struct sock *sk)
{
    inet_sock_done(inet_sk(sk));
}

static const struct sock_ops udp_ops = {
    .name = "udp",
    .bind = inet_bind,
    .connect = dgram_connect,
    .getname = inet_getname,
    .getpeer = inet_getpeer,
    .sendmsg = udp_send,
    .recvmsg = dgram_recv,
    .shutdown = dgram_shutdown,
    .setsockopt = inet_setsockopt,
    .getsockopt = inet_getsockopt,
    .poll = dgram_poll,
    .ioctl = inet_ioctl,
    .release = udp_release,
    .destroy = udp_destroy,
};
