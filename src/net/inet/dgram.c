/*
 * What datagram socks of the internet families share: connections, destinations and control
 * data, receiving with its control data, the error queue, readiness.
 */
#include <string.h>

#include "net/filter.h"
#include "net/inet/inet.h"
#include "net/inet/tcp.h"
#include "net/inet/wire.h"

struct lx_in_pktinfo {
    s32 ifindex;
    u32 spec_dst, addr;
};
struct __attribute__((packed, aligned(4))) lx_in6_pktinfo {
    ipaddr addr;
    u32 ifindex;
};
_Static_assert(sizeof(struct lx_in6_pktinfo) == 20, "in6_pktinfo");
struct lx_sock_extended_err {
    u32 ee_errno;
    u8 origin, type, code, pad;
    u32 info, data;
};

#define EE_CODE_COPIED 1 /* MSG_ZEROCOPY was served by a copy */
#define ERRQ_MAX       256

/* ---- connections --------------------------------------------------------------------------- */

#define SIN6_LEN_RFC2133 24U /* without the scope */

static int disconnect(struct inet_sock *i)
{
    struct inet_table *t = inet_table_of(i);
    MUTEX_GUARD(&t->lock);
    mutex_lock(&i->sk.lock);
    i->daddr = inet_any(i);
    i->dport = 0;
    if (!i->is_addr_bound)
        i->saddr = i->rcv_saddr = inet_any(i);
    sock_set_state(&i->sk, SOCK_CLOSED);
    bool is_released = !i->is_port_bound && i->sk.type == LX_SOCK_DGRAM;
    if (is_released)
        i->sport = 0;
    mutex_unlock(&i->sk.lock);
    if (is_released)
        inet_put_port(i);
    return 0;
}

int dgram_connect(struct sock *sk, const union saddr *addr, u32 len, bool is_nonblock)
{
    struct inet_sock *i = inet_sk(sk);
    struct inet_dest d;
    ipaddr src;
    if (len < sizeof(addr->family))
        return -LX_EINVAL;
    if (addr->family == LX_AF_UNSPEC)
        return disconnect(i);
    if (inet_is_v6(i) && addr->family == LX_AF_INET) {
        if (len < sizeof(addr->in))
            return -LX_EINVAL;
        if (inet_opt(i) & IPF6_V6ONLY || sk->type == LX_SOCK_RAW)
            return -LX_EAFNOSUPPORT;
        d = (struct inet_dest){.addr = ipaddr_v4(addr->in.addr), .port = net16(addr->in.port)};
    } else {
        int r = inet_parse_dest(i, addr, len, &d);
        if (r < 0)
            return r;
    }
    s32 oif = sk->bound_dev;
    if (!oif && ipaddr_is_multicast(&d.addr))
        oif = inet_is_v6(i) ? i->mc_if6 : i->mc_if;
    if (sk->type == LX_SOCK_DGRAM) {
        int r = inet_autobind(i);
        if (r < 0)
            return r;
    }
    MUTEX_GUARD(&inet_table_of(i)->lock);
    int r = inet_route(i, &d.addr, &i->rcv_saddr, oif, &src);
    if (r == 0 && ipaddr_is_broadcast(&d.addr) && !sock_has(sk, SKF_BROADCAST))
        r = -LX_EACCES;
    if (r < 0)
        return r;
    MUTEX_GUARD(&sk->lock);
    if (ipaddr_is_any(&i->saddr))
        i->saddr = src;
    if (ipaddr_is_any(&i->rcv_saddr))
        i->rcv_saddr = src;
    i->daddr = d.addr;
    i->dport = d.port;
    i->scope_id = d.scope_id;
    sock_set_state(sk, SOCK_ESTABLISHED);
    return 0;
}

int dgram_shutdown(struct sock *sk, u32 how)
{
    atomic_fetch_or(&sk->shutdown, how);
    waitq_wake(&sk->wq, WAIT_ALL);
    return sock_state(sk) == SOCK_ESTABLISHED ? 0 : -LX_ENOTCONN;
}

/* ---- sending ------------------------------------------------------------------------------- */

static int take_ip_cmsg(struct dgram_send *s, s32 type, const u8 *data, u32 size)
{
    struct lx_in_pktinfo pi;
    s32 v;
    switch (type) {
    case LX_IP_PKTINFO:
        if (size != sizeof(pi))
            return -LX_EINVAL;
        memcpy(&pi, data, sizeof(pi));
        if (pi.ifindex)
            s->oif = pi.ifindex;
        if (pi.spec_dst)
            s->src = ipaddr_v4(pi.spec_dst);
        return 0;
    case LX_IP_TTL:
    case LX_IP_TOS:
        if (size == 1) {
            v = data[0];
        } else {
            if (size != sizeof(v))
                return -LX_EINVAL;
            memcpy(&v, data, sizeof(v));
        }
        if (v < (type == LX_IP_TTL ? 1 : 0) || v > 255)
            return -LX_EINVAL;
        *(type == LX_IP_TTL ? &s->ttl : &s->tos) = v;
        return 0;
    default:
        return -LX_EINVAL;
    }
}

static int take_ip6_cmsg(struct dgram_send *s, s32 type, const u8 *data, u32 size)
{
    struct lx_in6_pktinfo pi;
    s32 v;
    switch (type) {
    case LX_IPV6_PKTINFO:
        if (size < sizeof(pi))
            return -LX_EINVAL;
        memcpy(&pi, data, sizeof(pi));
        if (pi.ifindex)
            s->oif = (s32)pi.ifindex;
        if (pi.addr.w[3])
            s->src = pi.addr;
        return 0;
    case LX_IPV6_HOPLIMIT:
    case LX_IPV6_TCLASS:
        if (size != sizeof(v))
            return -LX_EINVAL;
        memcpy(&v, data, sizeof(v));
        if (v < -1 || v > 255)
            return -LX_EINVAL;
        *(type == LX_IPV6_HOPLIMIT ? &s->ttl : &s->tos) = v;
        return 0;
    case LX_IPV6_DONTFRAG:
        return size == sizeof(v) ? 0 : -LX_EINVAL;
    default:
        return -LX_EINVAL;
    }
}

static int take_cmsgs(struct inet_sock *i, const struct smsg *m, struct dgram_send *s)
{
    struct lx_cmsghdr h;
    const u8 *data;
    u32 off = 0, n;
    u16 gso;
    int r;
    while ((r = cmsg_next(m->control, m->control_len, &off, &h, &data, &n)) > 0) {
        r = 0;
        if (h.level == LX_SOL_SOCKET) {
            if (h.type != LX_SCM_RIGHTS && h.type != LX_SCM_CREDENTIALS)
                r = -LX_EINVAL;
        } else if (h.level == LX_IPPROTO_IP) {
            r = take_ip_cmsg(s, h.type, data, n);
        } else if (h.level == LX_IPPROTO_IPV6 && inet_is_v6(i)) {
            r = take_ip6_cmsg(s, h.type, data, n);
        } else if (h.level == LX_IPPROTO_UDP && h.type == LX_UDP_SEGMENT) {
            if (n != sizeof(gso))
                return -LX_EINVAL;
            memcpy(&gso, data, sizeof(gso));
            s->gso_size = gso;
        }
        if (r < 0)
            return r;
    }
    return r;
}

/* The destination in m's name. UDP on IPv6 takes an IPv4 name too. */
static int name_dest(struct inet_sock *i, const struct smsg *m, struct inet_dest *d)
{
    const union saddr *sa = m->name;
    u32 len = m->name_len;
    if (inet_is_v6(i) && sa->family == LX_AF_INET) {
        if (i->sk.type == LX_SOCK_RAW)
            return len < SIN6_LEN_RFC2133 ? -LX_EINVAL : -LX_EAFNOSUPPORT;
        if (inet_opt(i) & IPF6_V6ONLY)
            return -LX_ENETUNREACH;
        if (len < sizeof(sa->in))
            return -LX_EINVAL;
        *d = (struct inet_dest){.addr = ipaddr_v4(sa->in.addr), .port = net16(sa->in.port)};
        return 0;
    }
    if (!inet_is_v6(i) && sa->family == LX_AF_UNSPEC && len >= sizeof(sa->in)) {
        *d = (struct inet_dest){.addr = ipaddr_v4(sa->in.addr), .port = net16(sa->in.port)};
        return 0;
    }
    return inet_parse_dest(i, sa, len, d);
}

int dgram_prepare(struct inet_sock *i, const struct smsg *m, struct dgram_send *s)
{
    struct sock *sk = &i->sk;
    int r = 0;
    *s = (struct dgram_send){.tos = -1, .ttl = -1, .oif = sk->bound_dev, .gso_size = i->gso_size};
    if (m->name_len) {
        r = name_dest(i, m, &s->dest);
        if (r == 0 && sk->type == LX_SOCK_DGRAM && sk->protocol == LX_IPPROTO_UDP && !s->dest.port)
            r = -LX_EINVAL;
    }
    mutex_lock(&sk->lock);
    s->src = i->saddr;
    if (!m->name_len) {
        s->is_connected = true;
        s->dest = (struct inet_dest){.addr = i->daddr, .port = i->dport, .scope_id = i->scope_id};
        if (sock_state(sk) != SOCK_ESTABLISHED)
            r = -LX_EDESTADDRREQ;
    }
    mutex_unlock(&sk->lock);
    if (r == 0 && m->control_len)
        r = take_cmsgs(i, m, s);
    if (r < 0)
        return r;
    if (ipaddr_is_multicast(&s->dest.addr)) {
        bool is_v4 = ipaddr_is_v4(&s->dest.addr);
        if (!s->oif)
            s->oif = is_v4 ? i->mc_if : i->mc_if6;
        if (is_v4 && i->mc_addr && ipaddr_is_any(&s->src))
            s->src = ipaddr_v4(i->mc_addr);
        if (s->ttl < 0)
            s->ttl = is_v4 ? i->mc_ttl : i->mc_hops;
        if (s->ttl < 0)
            s->ttl = 1;
    }
    r = inet_route(i, &s->dest.addr, &s->src, s->oif, &s->src);
    if (r == 0 && ipaddr_is_broadcast(&s->dest.addr) && !sock_has(sk, SKF_BROADCAST))
        r = -LX_EACCES;
    bool is_v4 = ipaddr_is_v4(&s->dest.addr);
    if (s->ttl < 0)
        s->ttl = is_v4 ? i->ttl : i->hops;
    if (s->ttl < 0)
        s->ttl = (s32)net_sysctl(sk->ns, NSYS_TTL);
    if (s->tos < 0)
        s->tos = is_v4 ? i->tos : i->tclass;
    return r;
}

static void release_rmem(struct nmsg *msg)
{
    struct sock *sk = (struct sock *)(uintptr_t)msg->cb[ARRAY_SIZE(msg->cb) - 1];
    atomic_fetch_sub(&sk->rmem, msg->truesize);
}

struct nmsg *dgram_copy(const struct nmsg *msg)
{
    struct nmsg *c = nmsg_new(msg->size, NULL);
    if (c) {
        memcpy(c->data, msg->data, msg->size);
        *dgram_cb(c) = *dgram_cb(msg);
    }
    return c;
}

u32 dgram_score(const struct inet_sock *i, const struct dgram_cb *cb)
{
    s32 ifindex = cb->ifindex ? cb->ifindex : LO_IFINDEX;
    bool is_v4 = ipaddr_is_v4(&cb->daddr);
    u32 score = 1;
    if (!inet_is_v6(i) && !is_v4)
        return 0;
    if (inet_is_v6(i) && is_v4 && inet_opt(i) & IPF6_V6ONLY)
        return 0;
    if (i->sk.bound_dev) {
        if (i->sk.bound_dev != ifindex)
            return 0;
        score += 2;
    }
    if (ipaddr_equal(&i->rcv_saddr, &cb->daddr))
        score += 16;
    else if (!ipaddr_is_any(&i->rcv_saddr) || (ipaddr_is_v4(&i->rcv_saddr) && !is_v4))
        return 0;
    if (!ipaddr_is_any(&i->daddr)) {
        if (!ipaddr_equal(&i->daddr, &cb->saddr))
            return 0;
        score += 8;
    }
    if (i->dport && i->sk.protocol == LX_IPPROTO_UDP) {
        if (i->dport != cb->sport)
            return 0;
        score += 4;
    }
    return score + (inet_is_v6(i) != is_v4);
}

/* Shortens msg to what the sock's filter keeps; false: drop it. */
static bool pass_filter(struct inet_sock *i, struct nmsg *msg)
{
    struct sock *sk = &i->sk;
    s64 keep;
    if (sk->type == LX_SOCK_DGRAM && sk->protocol == LX_IPPROTO_UDP) {
        keep = wire_filter_udp(sk, dgram_cb(msg), msg->data, msg->size);
    } else {
        keep = filter_run_bytes(sk, msg->data, msg->size);
        if (!keep)
            keep = -1;
    }
    if (keep < 0)
        return false;
    msg->size = (u32)MIN(keep, (s64)msg->size);
    return true;
}

void dgram_deliver(struct inet_sock *i, struct nmsg *msg)
{
    struct sock *sk = &i->sk;
    if (unlikely(filter_is_set(sk)) && !pass_filter(i, msg)) {
        atomic_fetch_add(&sk->drops, 1);
        nmsg_free(msg);
        return;
    }
    u32 used = atomic_fetch_add(&sk->rmem, msg->truesize);
    /* The message that overflows is still taken when something is left, as on Linux. */
    if (used > (u32)sk->rcvbuf) {
        atomic_fetch_sub(&sk->rmem, msg->truesize);
        atomic_fetch_add(&sk->drops, 1);
        atomic_fetch_add_explicit(&sk->ns->inet_ns->udp_rcvbuf_errors, 1, memory_order_relaxed);
        nmsg_free(msg);
        return;
    }
    msg->cb[ARRAY_SIZE(msg->cb) - 1] = (u64)(uintptr_t)sk;
    msg->free_cb = release_rmem;
    msg->stamp_ns = sock_stamp(sk);
    mq_push(&i->rxq, msg);
    waitq_wake(&sk->wq, WAIT_READABLE);
}

void dgram_error(struct inet_sock *i, const struct nmsg *sent, u32 err, u8 type, u8 code)
{
    struct sock *sk = &i->sk;
    const struct dgram_cb *from = dgram_cb(sent);
    bool is_v4 = ipaddr_is_v4(&from->daddr);
    bool is_wanted = inet_opt(i) & (is_v4 ? IPF_RECVERR : IPF6_RECVERR);
    if (is_wanted && mq_count(&i->errq) < 64) {
        struct nmsg *e = nmsg_new(sent->size, NULL);
        if (e) {
            memcpy(e->data, sent->data, e->size);
            *dgram_cb(e) = *from;
            dgram_cb(e)->ee_errno = err;
            dgram_cb(e)->ee_origin = is_v4 ? EE_ORIGIN_ICMP : EE_ORIGIN_ICMP6;
            dgram_cb(e)->ee_type = type;
            dgram_cb(e)->ee_code = code;
            mq_push(&i->errq, e);
        }
    }
    if (is_wanted || sock_state(sk) == SOCK_ESTABLISHED)
        sock_report(sk, (int)err);
}

static void queue_notice(struct inet_sock *i, const struct dgram_cb *cb, const struct wire *w)
{
    struct nmsg *e = mq_count(&i->errq) < ERRQ_MAX ? nmsg_new(w ? w->size : 0, NULL) : NULL;
    if (!e)
        return;
    if (w)
        memcpy(e->data, w->buf, w->size);
    *dgram_cb(e) = *cb;
    mq_push(&i->errq, e);
    waitq_wake(&i->sk.wq, WAIT_ERR);
}

void dgram_too_big(struct inet_sock *i, const struct dgram_send *s)
{
    struct dgram_cb cb = {.daddr = s->dest.addr,
                          .dport = s->dest.port,
                          .ee_errno = LX_EMSGSIZE,
                          .ee_origin = EE_ORIGIN_LOCAL,
                          .ee_info = LO_MTU};
    queue_notice(i, &cb, NULL);
}

/* Numbers in a row make one notice. */
static void notice_copied(struct inet_sock *i, const struct dgram_cb *from)
{
    u32 id = atomic_fetch_add(&i->zc_next, 1);
    mutex_lock(&i->errq.lock);
    struct nmsg *last = list_last(&i->errq.msgs, struct nmsg, node);
    bool is_merged = last && dgram_cb(last)->ee_origin == EE_ORIGIN_ZEROCOPY &&
                     dgram_cb(last)->ee_data == id - 1;
    if (is_merged)
        dgram_cb(last)->ee_data = id;
    mutex_unlock(&i->errq.lock);
    struct dgram_cb cb = *from;
    cb.ee_origin = EE_ORIGIN_ZEROCOPY;
    cb.ee_code = EE_CODE_COPIED;
    cb.ee_info = cb.ee_data = id;
    if (!is_merged)
        queue_notice(i, &cb, NULL);
}

void dgram_sent(struct inet_sock *i, const struct smsg *m, const struct dgram_cb *from,
                const u8 *payload, u32 size)
{
    u32 ts = i->sk.tsflags;
    bool is_stream = i->sk.type == LX_SOCK_STREAM;
    struct dgram_cb cb = *from;
    cb.gso = 0;
    if (is_stream) /* its level follows the family of the sock */
        cb.daddr = inet_any(i);
    if (m->flags & LX_MSG_ZEROCOPY && sock_has(&i->sk, SKF_ZEROCOPY))
        notice_copied(i, &cb);
    if (!(ts & LX_SOF_TX_ANY))
        return;
    struct wire w = {0};
    if (payload && !(ts & LX_SOF_OPT_TSONLY))
        w = wire_udp(from, payload, size);
    cb.ee_errno = LX_ENOMSG;
    cb.ee_origin = EE_ORIGIN_STAMP;
    if (ts & LX_SOF_OPT_ID) /* a stream counts bytes and names the last */
        cb.ee_data = atomic_fetch_add(&i->sk.tskey, is_stream ? size : 1) + (is_stream ? size - 1 : 0);
    static const struct {
        u32 flag, info;
    } steps[] = {{LX_SOF_TX_SCHED, 1}, {LX_SOF_TX_SOFTWARE, 0}, {LX_SOF_TX_ACK, 2}};
    for (size_t k = 0; k < ARRAY_SIZE(steps); k++) {
        if (!(ts & steps[k].flag) || (steps[k].flag == LX_SOF_TX_ACK && !is_stream))
            continue;
        cb.ee_info = steps[k].info;
        cb.tx_stamp_ns = sock_real_ns();
        queue_notice(i, &cb, w.buf ? &w : NULL);
    }
    wire_free(&w);
}

/* ---- receiving ----------------------------------------------------------------------------- */

static void dup_cb(struct nmsg *copy, const struct nmsg *from)
{
    *dgram_cb(copy) = *dgram_cb(from);
}

static void put_ip_cmsgs(struct inet_sock *i, struct cmsg_out *c, const struct dgram_cb *cb)
{
    u64 opt = inet_opt(i);
    s32 v;
    if (opt & IPF_PKTINFO) {
        struct lx_in_pktinfo pi = {cb->ifindex ? cb->ifindex : LO_IFINDEX, ipaddr_to_v4(&cb->daddr), ipaddr_to_v4(&cb->daddr)};
        if (ipaddr_is_multicast(&cb->daddr))
            pi.spec_dst = net32(LX_INADDR_LOOPBACK);
        cmsg_put(c, LX_IPPROTO_IP, LX_IP_PKTINFO, &pi, sizeof(pi));
    }
    if (opt & IPF_RECVTTL) {
        v = cb->ttl;
        cmsg_put(c, LX_IPPROTO_IP, LX_IP_TTL, &v, sizeof(v));
    }
    if (opt & IPF_RECVTOS)
        cmsg_put(c, LX_IPPROTO_IP, LX_IP_TOS, &cb->tos, 1);
    if (opt & IPF_ORIGDST) {
        union saddr sa;
        u32 len;
        inet_fill_sockaddr(LX_AF_INET, &cb->daddr, cb->dport, 0, &sa, &len);
        cmsg_put(c, LX_IPPROTO_IP, LX_IP_ORIGDSTADDR, &sa, len);
    }
}

static void put_ip6_cmsgs(struct inet_sock *i, struct cmsg_out *c, const struct dgram_cb *cb)
{
    u64 opt = inet_opt(i);
    s32 v;
    if (opt & IPF6_RECVPKTINFO) {
        struct lx_in6_pktinfo pi = {cb->daddr, (u32)(cb->ifindex ? cb->ifindex : LO_IFINDEX)};
        cmsg_put(c, LX_IPPROTO_IPV6, LX_IPV6_PKTINFO, &pi, sizeof(pi));
    }
    if (ipaddr_is_v4(&cb->daddr)) /* the rest is IPv4's own, as IPPROTO_IP asks for it */
        return;
    if (opt & IPF6_RECVHOPLIMIT) {
        v = cb->ttl;
        cmsg_put(c, LX_IPPROTO_IPV6, LX_IPV6_HOPLIMIT, &v, sizeof(v));
    }
    if (opt & IPF6_RECVTCLASS) {
        v = cb->tos;
        cmsg_put(c, LX_IPPROTO_IPV6, LX_IPV6_TCLASS, &v, sizeof(v));
    }
    if (opt & IPF_ORIGDST) {
        union saddr sa;
        u32 len;
        inet_fill_sockaddr(LX_AF_INET6, &cb->daddr, cb->dport, 0, &sa, &len);
        cmsg_put(c, LX_IPPROTO_IPV6, LX_IPV6_ORIGDSTADDR, &sa, len);
    }
}

static void put_cmsgs(struct inet_sock *i, struct cmsg_out *c, const struct nmsg *msg)
{
    const struct dgram_cb *cb = dgram_cb(msg);
    struct sock *sk = &i->sk;
    sock_put_timestamp(sk, c, msg->stamp_ns);
    if (sock_has(sk, SKF_RXQ_OVFL)) {
        u32 drops = atomic_load(&sk->drops);
        if (drops)
            cmsg_put(c, LX_SOL_SOCKET, LX_SO_RXQ_OVFL, &drops, sizeof(drops));
    }
    if (unlikely(cb->gso) && i->is_gro) {
        s32 gso = cb->gso;
        cmsg_put(c, LX_IPPROTO_UDP, LX_UDP_GRO, &gso, sizeof(gso));
    }
    if (inet_is_v6(i))
        put_ip6_cmsgs(i, c, cb);
    if (ipaddr_is_v4(&cb->daddr))
        put_ip_cmsgs(i, c, cb);
}

static bool is_icmp_error(const struct dgram_cb *cb)
{
    return cb->ee_origin == EE_ORIGIN_ICMP || cb->ee_origin == EE_ORIGIN_ICMP6;
}

/* SO_ERROR follows the ICMP errors that are left. */
static void next_soft_error(struct inet_sock *i)
{
    MUTEX_GUARD(&i->errq.lock);
    const struct nmsg *next = list_first(&i->errq.msgs, struct nmsg, node);
    bool is_icmp = next && is_icmp_error(dgram_cb(next));
    atomic_store(&i->sk.err, is_icmp ? (s32)dgram_cb(next)->ee_errno : 0);
}

/* MSG_ERRQUEUE: the payload of what was sent, who said so, and why. */
static s64 recv_error(struct inet_sock *i, struct smsg *m)
{
    struct nmsg *e = mq_pop(&i->errq);
    if (!e)
        return -LX_EAGAIN;
    const struct dgram_cb *cb = dgram_cb(e);
    struct {
        struct lx_sock_extended_err ee;
        union saddr offender;
    } err = {.ee = {.ee_errno = cb->ee_errno,
                    .origin = cb->ee_origin,
                    .type = cb->ee_type,
                    .code = cb->ee_code,
                    .info = cb->ee_info,
                    .data = cb->ee_data}};
    bool is_v4 = ipaddr_is_v4(&cb->daddr), is_icmp = is_icmp_error(cb);
    u32 len = 0;
    if (m->name && cb->ee_origin <= EE_ORIGIN_ICMP6)
        inet_fill_sockaddr(i->sk.family, &cb->daddr, cb->dport, 0, m->name, &m->name_len);
    inet_fill_sockaddr(is_v4 ? LX_AF_INET : LX_AF_INET6, &cb->daddr, 0, 0, &err.offender, &len);
    if (!is_icmp)
        memset(&err.offender, 0, sizeof(err.offender));
    if (cb->ee_origin == EE_ORIGIN_STAMP)
        sock_put_scm_timestamping(m->cmsg, cb->tx_stamp_ns);
    if (is_icmp)
        next_soft_error(i);
    cmsg_put(m->cmsg, is_v4 ? LX_IPPROTO_IP : LX_IPPROTO_IPV6,
             is_v4 ? LX_IP_RECVERR : LX_IPV6_RECVERR, &err, (u32)sizeof(err.ee) + len);
    s64 n = nmsg_copy_out(e, m, 0);
    m->ret_flags |= LX_MSG_ERRQUEUE;
    nmsg_free(e);
    return n;
}

static bool can_recv(struct inet_sock *i)
{
    return !mq_is_empty(&i->rxq) || atomic_load(&i->sk.err) || sock_shut(&i->sk) & SHUT_RCV;
}

static int next_message(struct inet_sock *i, struct smsg *m, u64 off, struct nmsg **ret_msg,
                        u64 *ret_skip)
{
    struct sock *sk = &i->sk;
    s64 deadline = sock_recv_deadline(sk, m->flags & LX_MSG_DONTWAIT);
    for (;;) {
        int r = sock_error(sk);
        if (r < 0)
            return r;
        r = mq_take(&i->rxq, m->flags & LX_MSG_PEEK, off, m->uio->left, dup_cb, ret_msg,
                    ret_skip);
        if (r < 0 || *ret_msg)
            return r;
        if (!deadline)
            return -LX_EAGAIN;
        if (sock_shut(sk) & SHUT_RCV)
            return 0;
        r = wait_event_interruptible(&sk->wq, WAIT_READABLE | WAIT_HUP | WAIT_ERR, can_recv(i),
                                     deadline);
        if (r < 0)
            return sock_wait_error(r, deadline);
        if (off && !mq_is_empty(&i->rxq) && !atomic_load(&sk->err))
            return -LX_EAGAIN; /* a peek beyond what is queued */
    }
}

s64 dgram_recv(struct sock *sk, struct smsg *m)
{
    struct inet_sock *i = inet_sk(sk);
    struct nmsg *msg = NULL;
    s32 peek_off = sk->peek_off;
    bool is_peek = m->flags & LX_MSG_PEEK;
    u64 skip = 0;
    if (m->flags & LX_MSG_OOB)
        return -LX_EOPNOTSUPP;
    if (m->flags & LX_MSG_ERRQUEUE)
        return recv_error(i, m);
    s64 r = next_message(i, m, is_peek && peek_off > 0 ? (u64)peek_off : 0, &msg, &skip);
    if (r < 0 || !msg)
        return r;
    const struct dgram_cb *cb = dgram_cb(msg);
    if (m->name) {
        u16 port = sk->type == LX_SOCK_RAW || sk->protocol != LX_IPPROTO_UDP ? 0 : cb->sport;
        inet_fill_sockaddr(sk->family, &cb->saddr, port, (u32)(cb->ifindex ? cb->ifindex : LO_IFINDEX), m->name, &m->name_len);
    }
    r = nmsg_copy_out(msg, m, skip);
    if (r >= 0) {
        if (peek_off >= 0)
            sk->peek_off = is_peek ? peek_off + (s32)MIN(r, (s64)(msg->size - skip))
                                   : MAX(0, peek_off - (s32)msg->size);
        put_cmsgs(i, m->cmsg, msg);
    }
    nmsg_free(msg);
    return r;
}

u32 dgram_poll(struct sock *sk)
{
    struct inet_sock *i = inet_sk(sk);
    u32 mask = 0, shut = sock_shut(sk);
    if (atomic_load(&sk->err) || !mq_is_empty(&i->errq))
        mask |= WAIT_ERR | (sock_has(sk, SKF_ERR_QUEUE) ? WAIT_PRI : 0);
    if (shut & SHUT_RCV)
        mask |= WAIT_RDHUP | WAIT_READABLE;
    if (shut == SHUT_MASK)
        mask |= WAIT_HUP;
    if (!mq_is_empty(&i->rxq))
        mask |= WAIT_READABLE;
    if (atomic_load(&sk->wmem) < (u32)sk->sndbuf / 2 || sk->sndbuf == 0)
        mask |= WAIT_WRITABLE | WAIT_WRBAND;
    return mask;
}
