/*
 * ICMP over the loopback: echo sockets (SOCK_DGRAM with IPPROTO_ICMP or ICMPV6), raw sockets, and
 * the host that answers echo requests.
 *
 * An echo socket's port is the identifier. Raw IPv4 socks see whole packets, so an IPv4
 * header is built for them; raw IPv6 socks see the payload. Checksums are filled in as the
 * kernel would, since programs check them.
 */
#include <stdlib.h>
#include <string.h>

#include "net/filter.h"
#include "net/filter/hook.h"
#include "net/inet/wire.h"
#include "net/stack/stack.h"

#define IP_HDR WIRE_IP4
#define IP_MAX 65535

#define ECHO_REQ4 LX_ICMP_ECHO
#define ECHO_REP4 LX_ICMP_ECHOREPLY
#define ECHO_REQ6 LX_ICMPV6_ECHO_REQUEST
#define ECHO_REP6 LX_ICMPV6_ECHO_REPLY

static const struct sock_ops ping_ops, raw_ops;

static int icmp_new(struct net_ns *ns, const struct sock_ops *ops, u16 family, u16 type,
                    s32 protocol, struct sock **ret_sk)
{
    struct inet_sock *i = calloc(1, sizeof(*i));
    if (!i)
        return -LX_ENOMEM;
    int r = inet_sock_init(i, ops, ns, family, type, protocol);
    if (r < 0)
        free(i);
    else
        *ret_sk = &i->sk;
    return r;
}

static bool may_ping(struct net_ns *ns)
{
    const struct cred *c = vfs_cred();
    u32 low = (u32)net_sysctl(ns, NSYS_PING_LOW), high = (u32)net_sysctl(ns, NSYS_PING_HIGH);
    if (c->egid >= low && c->egid <= high)
        return true;
    for (u32 n = 0; n < c->ngroups; n++) {
        if (c->groups[n] >= low && c->groups[n] <= high)
            return true;
    }
    return false;
}

int ping_create(struct net_ns *ns, u16 family, struct sock **ret_sk)
{
    s32 protocol = family == LX_AF_INET ? LX_IPPROTO_ICMP : LX_IPPROTO_ICMPV6;
    if (!may_ping(ns))
        return -LX_EACCES;
    return icmp_new(ns, &ping_ops, family, LX_SOCK_DGRAM, protocol, ret_sk);
}

int raw_create(struct net_ns *ns, u16 family, s32 protocol, struct sock **ret_sk)
{
    int r = icmp_new(ns, &raw_ops, family, LX_SOCK_RAW, protocol, ret_sk);
    if (r == 0) {
        struct inet_sock *i = inet_sk(*ret_sk);
        if (family == LX_AF_INET && protocol == LX_IPPROTO_RAW)
            i->opt |= IPF_HDRINCL;
        MUTEX_GUARD(&ns->inet_ns->raw_lock);
        list_add_tail(&ns->inet_ns->raw, &i->port_node);
        atomic_fetch_add(&ns->nwatchers, 1);
    }
    return r;
}

/* ---- delivery ------------------------------------------------------------------------------ */

/* True when the sock's filter drops this type. */
static bool is_filtered(struct inet_sock *i, s32 protocol, u8 type)
{
    if (protocol == LX_IPPROTO_ICMP)
        return type < 32 && i->icmp_filter >> type & 1;
    if (protocol != LX_IPPROTO_ICMPV6)
        return false;
    MUTEX_GUARD(&i->sk.lock);
    return i->icmp6_filter[type / 32] >> (type % 32) & 1;
}

/* IPV6_CHECKSUM: the kernel looks at the sum where the socket says that it is. */
static bool is_sum_right(const struct inet_sock *i, const u8 *p, u32 size,
                         const struct dgram_cb *cb)
{
    u8 tail[8] = {0};
    if (!inet_is_v6(i) || i->checksum_off < 0 || i->sk.protocol == LX_IPPROTO_ICMPV6)
        return true; /* those were looked at */
    wr32(tail, size);
    tail[7] = (u8)i->sk.protocol;
    u64 sum = csum_add(csum_add(csum_add(0, cb->saddr.b, 16), cb->daddr.b, 16), tail, 8);
    return csum_fold(csum_add(sum, p, size)) == 0xffff;
}

/* ip: the header as its sender wrote it (20 bytes), or NULL: one is made. */
static void deliver_raw(struct net_ns *ns, s32 protocol, const u8 *ip, const u8 *p, u32 size,
                        const struct dgram_cb *cb)
{
    struct inet_ns *n = ns->inet_ns;
    struct inet_sock *i;
    bool is_v4 = ipaddr_is_v4(&cb->daddr);
    u32 head = is_v4 ? IP_HDR : 0;
    if (!wire_is_watched(ns))
        return;
    MUTEX_GUARD(&n->raw_lock);
    list_for_each (i, &n->raw, port_node) {
        if (i->sk.protocol != protocol || inet_is_v6(i) == is_v4 || !dgram_score(i, cb) ||
            (size && is_filtered(i, protocol, p[0])) || !is_sum_right(i, p, size, cb))
            continue;
        struct nmsg *m = nmsg_new(size + head, NULL);
        if (!m)
            continue;
        if (head && ip)
            memcpy(m->data, ip, head);
        else if (head)
            ip_header(m->data, size + head, (u8)protocol, cb);
        if (size)
            memcpy(m->data + head, p, size);
        *dgram_cb(m) = *cb;
        dgram_deliver(i, m);
    }
}

void raw_deliver(struct net_ns *ns, s32 protocol, const u8 *p, u32 size, const struct dgram_cb *cb)
{
    deliver_raw(ns, protocol, NULL, p, size, cb);
}

/* An echo reply for the echo socket whose identifier it carries. */
static void deliver_ping(struct net_ns *ns, const u8 *p, u32 size, const struct dgram_cb *cb)
{
    bool is_v4 = ipaddr_is_v4(&cb->daddr);
    struct inet_table *t = is_v4 ? &ns->inet_ns->icmp : &ns->inet_ns->icmp6;
    struct inet_sock *i, *to = NULL;
    mutex_lock(&t->lock);
    struct port_bucket *b = inet_find_bucket(t, get16(p + 4));
    if (b) {
        list_for_each (i, &b->holders, port_node) {
            if (!dgram_score(i, cb))
                continue;
            sock_get(&i->sk);
            to = i;
            break;
        }
    }
    mutex_unlock(&t->lock);
    struct nmsg *m = to ? nmsg_new(size, NULL) : NULL;
    if (m) {
        memcpy(m->data, p, size);
        *dgram_cb(m) = *cb;
        dgram_deliver(to, m);
    }
    if (to)
        sock_put(&to->sk);
}

void icmp_arrived(struct net_ns *ns, s32 protocol, const u8 *data, u32 size,
                  const struct dgram_cb *cb)
{
    bool is_v4 = ipaddr_is_v4(&cb->daddr);
    raw_deliver(ns, protocol, data, size, cb);
    if (size >= ICMP_HDR && protocol == (is_v4 ? LX_IPPROTO_ICMP : LX_IPPROTO_ICMPV6) &&
        data[0] == (is_v4 ? ECHO_REP4 : ECHO_REP6))
        deliver_ping(ns, data, size, cb);
}

static void show(struct net_ns *ns, s32 protocol, const u8 *p, u32 size, const struct dgram_cb *cb)
{
    if (!wire_is_watched(ns))
        return;
    struct wire w = wire_new(cb, (u8)protocol, NULL, 0, p, size);
    wire_show(ns, &w);
    wire_free(&w);
}

void icmp_show_error(struct net_ns *ns, const struct wire *about, const struct dgram_cb *cb,
                     u8 type, u8 code)
{
    bool is_v4 = ipaddr_is_v4(&cb->daddr);
    u8 buf[ICMP_HDR + 1280] = {type, code};
    u32 max = is_v4 ? 576 - IP_HDR - ICMP_HDR : 1280 - WIRE_IP6 - ICMP_HDR;
    if (!about->buf)
        return;
    u32 n = MIN(about->size - about->net, max);
    memcpy(buf + ICMP_HDR, about->buf + about->net, n);
    struct dgram_cb back = *cb;
    back.saddr = cb->daddr;
    back.daddr = cb->saddr;
    back.ttl = 64;
    back.tos = is_v4 ? 0xc0 : 0;
    icmp_checksum(buf, ICMP_HDR + n, &back);
    (void)!icmp_input(ns, NULL, buf, ICMP_HDR + n, &back); /* lost */
}

/* What rules make of a packet over the loopback. 0; 1: lost; -LX_EPERM: lost, and its sender is
 * told. */
static int judge(struct net_ns *ns, const struct sock *from, u8 protocol, u8 *p, u32 size,
                 struct dgram_cb *cb, enum nf_why why)
{
    if (likely(!nf_is_on(ns, NF_ALL)))
        return 0;
    struct nf_fate f = nf_loopback(ns, from, cb, protocol, p, size, 0, why);
    return !f.is_lost ? 0 : f.is_out ? -LX_EPERM : 1;
}

bool icmp_error_passes(struct net_ns *ns, const struct dgram_cb *about, u8 type, u8 code, u32 size,
                       enum nf_why why)
{
    bool is_v4 = ipaddr_is_v4(&about->daddr);
    u32 head = is_v4 ? WIRE_IP4 : WIRE_IP6;
    u8 buf[ICMP_HDR + WIRE_IP6 + WIRE_UDP] = {type, code};
    if (is_v4)
        ip_header(buf + ICMP_HDR, head + size, LX_IPPROTO_UDP, about);
    else
        ip6_header(buf + ICMP_HDR, size, LX_IPPROTO_UDP, about);
    put16(buf + ICMP_HDR + head, about->sport);
    put16(buf + ICMP_HDR + head + 2, about->dport);
    struct dgram_cb back = *about;
    back.saddr = about->daddr;
    back.daddr = about->saddr;
    back.tos = is_v4 ? 0xc0 : 0;
    back.ttl = 64;
    return !judge(ns, NULL, is_v4 ? LX_IPPROTO_ICMP : LX_IPPROTO_ICMPV6, buf,
                  ICMP_HDR + head + WIRE_UDP, &back, why);
}

/* Raw socks see the message, requests are answered. -LX_EPERM: a rule of OUTPUT drops it. */
int icmp_input(struct net_ns *ns, const struct sock *from, u8 *p, u32 size,
               const struct dgram_cb *sent)
{
    struct dgram_cb own = *sent, *cb = &own;
    bool is_v4 = ipaddr_is_v4(&cb->daddr);
    s32 protocol = is_v4 ? LX_IPPROTO_ICMP : LX_IPPROTO_ICMPV6;
    int r = judge(ns, from, (u8)protocol, p, size, cb, NF_PLAIN);
    if (r)
        return MIN(r, 0);
    show(ns, protocol, p, size, cb);
    raw_deliver(ns, protocol, p, size, cb);
    if (size < ICMP_HDR || (is_v4 && !icmp_is_intact(p, size)))
        return 0;
    if (p[0] == (is_v4 ? ECHO_REP4 : ECHO_REP6)) {
        deliver_ping(ns, p, size, cb);
        return 0;
    }
    if (p[0] != (is_v4 ? ECHO_REQ4 : ECHO_REQ6) || !ipaddr_is_local(ns, &cb->daddr) ||
        (is_v4 && net_sysctl(ns, NSYS_ECHO_IGNORE)))
        return 0;
    struct dgram_cb back = *cb;
    back.saddr = cb->daddr;
    back.daddr = cb->saddr;
    back.ttl = 64;
    p[0] = is_v4 ? ECHO_REP4 : ECHO_REP6;
    icmp_checksum(p, size, &back);
    if (judge(ns, NULL, (u8)protocol, p, size, &back, NF_PLAIN))
        return 0;
    show(ns, protocol, p, size, &back);
    raw_deliver(ns, protocol, p, size, &back);
    deliver_ping(ns, p, size, &back);
    return 0;
}

/* ---- sending ------------------------------------------------------------------------------- */

static int read_payload(struct smsg *m, u64 size, u8 **ret_buf)
{
    u8 *buf = malloc(size ? size : 1);
    if (!buf)
        return -LX_ENOBUFS;
    if (size && uio_copy_from(m->uio, buf, size) != (s64)size) {
        free(buf);
        return -LX_EFAULT;
    }
    *ret_buf = buf;
    return 0;
}

static struct dgram_cb cb_of(const struct dgram_send *s)
{
    return (struct dgram_cb){.saddr = s->src,
                             .daddr = s->dest.addr,
                             .tos = (u8)s->tos,
                             .ttl = (u8)s->ttl,
                             .ifindex = s->oif ? s->oif
                                        : ipaddr_is_link_local(&s->dest.addr)
                                            ? (s32)s->dest.scope_id
                                            : 0};
}

static s64 ping_send(struct sock *sk, struct smsg *m)
{
    struct inet_sock *i = inet_sk(sk);
    struct dgram_send s;
    u64 size = m->uio->left;
    u8 *buf = NULL, want = inet_is_v6(i) ? ECHO_REQ6 : ECHO_REQ4;
    if (size > 0xffff)
        return -LX_EMSGSIZE;
    if (size < ICMP_HDR)
        return -LX_EINVAL;
    if (m->flags & LX_MSG_OOB)
        return -LX_EOPNOTSUPP;
    if (m->name_len && m->name->family != sk->family)
        return -LX_EAFNOSUPPORT;
    int r = inet_autobind(i);
    if (r == 0)
        r = dgram_prepare(i, m, &s);
    if (r == 0 && size > IP_MAX - IP_HDR)
        r = -LX_EMSGSIZE;
    if (r == 0)
        r = read_payload(m, size, &buf);
    if (r < 0)
        return r;
    if (buf[0] != want || buf[1] != 0) {
        free(buf);
        return -LX_EINVAL;
    }
    struct dgram_cb cb = cb_of(&s);
    put16(buf + 4, i->sport);
    if (inet_is_remote(sk->ns, &cb.daddr, cb.ifindex)) {
        r = stk_raw_send(i, (u8)sk->protocol, buf, (u32)size, &cb);
    } else {
        icmp_checksum(buf, (u32)size, &cb);
        r = icmp_input(sk->ns, sk, buf, (u32)size, &cb);
    }
    free(buf);
    return r < 0 ? r : (s64)size;
}

/* IP_HDRINCL: the header is the sender's; what the kernel fills in is filled in. */
static int take_header(u8 *buf, u64 size, struct dgram_cb *cb, u8 *ret_protocol, u32 *ret_head)
{
    if (size < IP_HDR)
        return -LX_EINVAL;
    u32 head = (buf[0] & 0xfU) * 4;
    if (head < IP_HDR || head > size)
        return -LX_EINVAL;
    u32 src;
    memcpy(&src, buf + 12, 4);
    if (src)
        cb->saddr = ipaddr_v4(src);
    else
        memcpy(buf + 12, cb->saddr.b + 12, 4);
    cb->ttl = buf[8];
    cb->tos = buf[1];
    ip_finish(buf, head, (u32)size);
    *ret_protocol = buf[9];
    *ret_head = head;
    return 0;
}

/* The same of IPv6: extension headers are the sender's too and come with the payload. */
static int take_header6(const u8 *buf, u64 size, struct dgram_cb *cb, u8 *ret_protocol,
                        u32 *ret_head)
{
    ipaddr src;
    if (size < IP6_HLEN)
        return -LX_EINVAL;
    memcpy(src.b, buf + 8, 16);
    if (!ipaddr_is_any(&src))
        cb->saddr = src;
    cb->tos = (u8)(rd16(buf) >> 4);
    cb->ttl = buf[7];
    *ret_protocol = buf[6];
    *ret_head = IP6_HLEN;
    return 0;
}

static s64 raw_send(struct sock *sk, struct smsg *m)
{
    struct inet_sock *i = inet_sk(sk);
    struct dgram_send s;
    u64 size = m->uio->left;
    u8 *buf = NULL, protocol = (u8)sk->protocol;
    u32 head = 0;
    if (size > IP_MAX)
        return -LX_EMSGSIZE;
    if (m->flags & LX_MSG_OOB)
        return -LX_EOPNOTSUPP;
    int r = dgram_prepare(i, m, &s);
    bool is_hdr6 = inet_is_v6(i) && sk->protocol == LX_IPPROTO_RAW;
    bool is_hdr = (inet_opt(i) & IPF_HDRINCL && !inet_is_v6(i)) || is_hdr6;
    if (r == 0 && is_hdr && sock_shut(sk) & SHUT_SND)
        r = -LX_EPIPE; /* others do not ask, as on Linux */
    if (r == 0 && !is_hdr && size > (inet_is_v6(i) ? IP_MAX : IP_MAX - IP_HDR))
        r = -LX_EMSGSIZE;
    if (r == 0)
        r = read_payload(m, size, &buf);
    if (r < 0)
        return r;
    struct dgram_cb cb = cb_of(&s);
    if (is_hdr6)
        r = take_header6(buf, size, &cb, &protocol, &head);
    else if (is_hdr)
        r = take_header(buf, size, &cb, &protocol, &head);
    if (r == 0) {
        u8 *p = buf + head;
        u32 n = (u32)size - head;
        s32 off = i->checksum_off;
        if (inet_is_v6(i) && off >= 0 && (u64)off + 2 > n)
            r = -LX_EINVAL;
        else if (inet_is_v6(i) && off >= 0)
            wire_checksum(p, n, (u32)off, protocol, &cb);
    }
    if (r == 0) {
        u8 *p = buf + head;
        u32 n = (u32)size - head;
        bool is_icmp = protocol == (inet_is_v6(i) ? LX_IPPROTO_ICMPV6 : LX_IPPROTO_ICMP);
        if (inet_is_remote(sk->ns, &cb.daddr, cb.ifindex))
            r = stk_raw_send(i, protocol, p, n, &cb);
        else if (is_icmp)
            r = icmp_input(sk->ns, sk, p, n, &cb);
        else if ((r = judge(sk->ns, sk, protocol, p, n, &cb, NF_PLAIN)) == 0) {
            show(sk->ns, protocol, p, n, &cb);
            deliver_raw(sk->ns, protocol, head == IP_HDR ? buf : NULL, p, n, &cb);
            if (protocol == LX_IPPROTO_UDP)
                udp_input(sk->ns, &cb, p, n);
        }
    }
    free(buf);
    return r < 0 ? r : (s64)size; /* what a rule of INPUT drops was sent */
}

/* ---- the rest ------------------------------------------------------------------------------ */

static void ping_release(struct sock *sk)
{
    struct inet_sock *i = inet_sk(sk);
    struct inet_table *t = inet_table_of(i);
    mutex_lock(&t->lock);
    inet_put_port(i);
    mutex_unlock(&t->lock);
    mq_purge(&i->rxq);
}

static void raw_release(struct sock *sk)
{
    struct inet_sock *i = inet_sk(sk);
    mutex_lock(&sk->ns->inet_ns->raw_lock);
    list_del(&i->port_node);
    mutex_unlock(&sk->ns->inet_ns->raw_lock);
    atomic_fetch_sub(&sk->ns->nwatchers, 1);
    mq_purge(&i->rxq);
}

/* A raw sock has an address and no port. */
static int raw_bind(struct sock *sk, const union saddr *addr, u32 len)
{
    struct inet_sock *i = inet_sk(sk);
    struct inet_dest d;
    int r = inet_parse_dest(i, addr, len, &d);
    if (r < 0)
        return r == -LX_EAFNOSUPPORT ? -LX_EINVAL : r;
    bool is_ok = ipaddr_is_any(&d.addr) || ipaddr_is_multicast(&d.addr) ||
                 ipaddr_is_broadcast(&d.addr) || ipaddr_is_local(sk->ns, &d.addr) ||
                 inet_opt(i) & (IPF_FREEBIND | IPF_TRANSPARENT);
    if (!is_ok)
        return -LX_EADDRNOTAVAIL;
    if (sock_state(sk) != SOCK_CLOSED)
        return -LX_EINVAL;
    MUTEX_GUARD(&sk->lock);
    i->rcv_saddr = i->saddr = d.addr;
    i->is_addr_bound = !ipaddr_is_any(&d.addr);
    return 0;
}

static void icmp_destroy(struct sock *sk)
{
    inet_sock_done(inet_sk(sk));
}

#define ICMP_COMMON_OPS                                                                            \
    .connect = dgram_connect, .getname = inet_getname, .getpeer = inet_getpeer,                    \
    .recvmsg = dgram_recv, .shutdown = dgram_shutdown, .setsockopt = inet_setsockopt,              \
    .getsockopt = inet_getsockopt, .poll = dgram_poll, .ioctl = inet_ioctl,                        \
    .destroy = icmp_destroy

static const struct sock_ops ping_ops = {
    .name = "ping",
    ICMP_COMMON_OPS,
    .bind = inet_bind,
    .sendmsg = ping_send,
    .release = ping_release,
};

static const struct sock_ops raw_ops = {
    .name = "raw",
    ICMP_COMMON_OPS,
    .bind = raw_bind,
    .sendmsg = raw_send,
    .release = raw_release,
};
