/*
 * NETLINK_SOCK_DIAG: lists of sockets for ss(8) and its kin: TCP, UDP, UNIX. Closed connections
 * in TIME_WAIT follow the socks of a TCP dump.
 */
#include <string.h>

#include "net/inet/tcp.h"
#include "net/netlink/netlink.h"
#include "net/unix/unix.h"

#define BATCH          16
#define CURSOR_WAITS   (1ULL << 62) /* from here on a cursor counts tcp_waits */
#define NO_COOKIE      UINT32_MAX

struct __attribute__((packed, aligned(4))) lx_inet_diag_sockid {
    u16 sport, dport;
    u8 src[16], dst[16];
    u32 ifindex;
    u32 cookie[2];
};
struct lx_inet_diag_req {
    u8 family, protocol, ext, pad;
    u32 states;
    struct lx_inet_diag_sockid id;
};
struct lx_inet_diag_msg {
    u8 family, state, timer, retrans;
    struct lx_inet_diag_sockid id;
    u32 expires, rqueue, wqueue, uid, inode;
};
_Static_assert(sizeof(struct lx_inet_diag_msg) == 72, "inet_diag_msg");

struct lx_unix_diag_req {
    u8 family, protocol;
    u16 pad;
    u32 states, ino, show, cookie[2];
};
struct lx_unix_diag_msg {
    u8 family, type, state, pad;
    u32 ino, cookie[2];
};

enum { INET_DIAG_MEMINFO = 1, INET_DIAG_INFO, INET_DIAG_SKMEMINFO = 7, INET_DIAG_SHUTDOWN };
enum { UNIX_DIAG_NAME, UNIX_DIAG_VFS, UNIX_DIAG_PEER, UNIX_DIAG_ICONS, UNIX_DIAG_RQLEN,
       UNIX_DIAG_MEMINFO, UNIX_DIAG_SHUTDOWN, UNIX_DIAG_UID };
#define UDIAG_SHOW_NAME    1
#define UDIAG_SHOW_VFS     2
#define UDIAG_SHOW_PEER    4
#define UDIAG_SHOW_RQLEN   16
#define UDIAG_SHOW_MEMINFO 32
#define UDIAG_SHOW_UID     64

static u32 uid_for_reader(u32 kuid)
{
    struct user_ns *uns = vfs_cred()->user_ns;
    return uns ? from_kuid(uns, kuid) : kuid;
}

static void put_cookie(u32 cookie[2], u64 v)
{
    cookie[0] = (u32)v;
    cookie[1] = (u32)(v >> 32);
}

static bool is_cookie_wanted(const u32 want[2], u64 have)
{
    return (want[0] == NO_COOKIE && want[1] == NO_COOKIE) ||
           (want[0] == (u32)have && want[1] == (u32)(have >> 32));
}

static void put_mem(struct nlbuf *b, u16 type, struct sock *sk)
{
    u32 m[9] = {sk->rmem, (u32)sk->rcvbuf, sk->wmem, (u32)sk->sndbuf, 0, 0, 0, 0, sk->drops};
    nl_attr(b, type, m, sizeof(m));
}

/* ---- internet ------------------------------------------------------------------------------ */

static void put_id(struct lx_inet_diag_sockid *id, u16 family, const ipaddr *src, u16 sport,
                   const ipaddr *dst, u16 dport)
{
    *id = (struct lx_inet_diag_sockid){.sport = net16(sport), .dport = net16(dport)};
    if (family == LX_AF_INET) {
        memcpy(id->src, src->b + 12, 4);
        memcpy(id->dst, dst->b + 12, 4);
    } else {
        memcpy(id->src, src->b, 16);
        memcpy(id->dst, dst->b, 16);
    }
}

static bool put_inet(struct nlbuf *b, struct sock *sk, u8 ext)
{
    struct inet_sock *i = inet_sk(sk);
    u32 state = sock_state(sk);
    struct lx_inet_diag_msg *m = nl_begin(b, LX_SOCK_DIAG_BY_FAMILY, 0, sizeof(*m));
    if (!m)
        return false;
    mutex_lock(&sk->lock);
    *m = (struct lx_inet_diag_msg){.family = (u8)sk->family, .state = (u8)state};
    put_id(&m->id, sk->family, ipaddr_is_any(&i->saddr) ? &i->rcv_saddr : &i->saddr, i->sport,
           &i->daddr, i->dport);
    mutex_unlock(&sk->lock);
    m->id.ifindex = (u32)sk->bound_dev;
    put_cookie(m->id.cookie, sk->cookie);
    m->uid = uid_for_reader(sk->uid);
    m->inode = (u32)sk->ino;
    if (sk->type == LX_SOCK_STREAM && state == SOCK_LISTEN) {
        struct tcp_sock *t = tcp_sk(sk);
        mutex_lock(&sk->lock);
        m->rqueue = t->nqueued;
        m->wqueue = (u32)t->backlog;
        mutex_unlock(&sk->lock);
    } else if (sk->type == LX_SOCK_STREAM) {
        m->rqueue = (u32)MAX(tcp_inq(sk), 0);
        m->wqueue = (u32)MAX(tcp_outq(sk), 0);
    } else {
        m->rqueue = sk->rmem;
    }
    nl_attr_u8(b, INET_DIAG_SHUTDOWN, (u8)sock_shut(sk));
    if (ext & 1U << (INET_DIAG_SKMEMINFO - 1))
        put_mem(b, INET_DIAG_SKMEMINFO, sk);
    if (ext & 1U << (INET_DIAG_INFO - 1) && sk->type == LX_SOCK_STREAM)
        tcp_put_info(b, sk);
    return nl_end(b);
}

static bool put_wait(struct nlbuf *b, const struct tcp_wait *w, s64 now)
{
    struct lx_inet_diag_msg *m = nl_begin(b, LX_SOCK_DIAG_BY_FAMILY, 0, sizeof(*m));
    if (!m)
        return false;
    *m = (struct lx_inet_diag_msg){
        .family = (u8)w->family,
        .state = w->state,
        .timer = 3, /* TIME_WAIT's */
        .expires = (u32)(MAX(w->expires_ns - now, (s64)0) / NSEC_PER_MSEC),
        .uid = uid_for_reader(w->uid),
    };
    put_id(&m->id, w->family, &w->saddr, w->sport, &w->daddr, w->dport);
    m->id.cookie[0] = m->id.cookie[1] = NO_COOKIE;
    return nl_end(b);
}

/* TIME_WAIT entries from the cursor on; true when all are done. */
static bool dump_waits(struct nl_sock *n, struct nl_dump *d, struct nlbuf *b,
                       const struct lx_inet_diag_req *req)
{
    struct inet_table *t = &n->sk.ns->inet_ns->tcp;
    struct tcp_wait *w;
    u64 at = 0, from = d->cursor - CURSOR_WAITS;
    s64 now = clock_mono_ns();
    MUTEX_GUARD(&t->lock);
    tcp_wait_expire(t);
    list_for_each(w, &t->wait_fifo, fifo_node) {
        if (at++ < from || w->family != req->family || !(req->states >> w->state & 1))
            continue;
        if (!put_wait(b, w, now))
            return false;
        d->cursor = CURSOR_WAITS + at;
    }
    return true;
}

static bool dump_inet(struct nl_sock *n, struct nl_dump *d, struct nlbuf *b)
{
    struct lx_inet_diag_req req;
    struct sock *found[BATCH];
    memcpy(&req, d->req, sizeof(req));
    while (d->cursor < CURSOR_WAITS) {
        u32 k, count = net_collect(n->sk.ns, d->cursor, req.family, req.protocol, found, BATCH);
        bool is_full = false;
        for (k = 0; k < count; k++) {
            struct sock *sk = found[k];
            bool is_shown = req.states >> sock_state(sk) & 1 && sk->type != LX_SOCK_RAW &&
                            (sock_state(sk) != SOCK_CLOSED || inet_sk(sk)->bucket);
            if (!is_full && is_shown && !put_inet(b, sk, req.ext))
                is_full = true;
            if (!is_full)
                d->cursor = sk->cookie;
            sock_put(sk);
        }
        if (is_full)
            return false;
        if (count < BATCH)
            d->cursor = CURSOR_WAITS;
    }
    return req.protocol != LX_IPPROTO_TCP || dump_waits(n, d, b, &req);
}

/* One sock by its addresses or cookie. */
static int get_inet(struct nl_sock *n, const struct lx_inet_diag_req *req, struct nlbuf *b)
{
    struct sock *found[BATCH];
    u64 cursor = 0;
    for (;;) {
        u32 count = net_collect(n->sk.ns, cursor, req->family, req->protocol, found, BATCH);
        int r = -LX_ENOENT;
        for (u32 k = 0; k < count; k++) {
            struct inet_sock *i = inet_sk(found[k]);
            u32 addr_size = req->family == LX_AF_INET ? 4 : 16;
            const ipaddr *src = ipaddr_is_any(&i->saddr) ? &i->rcv_saddr : &i->saddr;
            bool is_it = i->sport == net16(req->id.sport) && i->dport == net16(req->id.dport) &&
                         !memcmp(req->id.src, src->b + 16 - addr_size, addr_size) &&
                         !memcmp(req->id.dst, i->daddr.b + 16 - addr_size, addr_size) &&
                         is_cookie_wanted(req->id.cookie, found[k]->cookie);
            if (is_it && r == -LX_ENOENT)
                r = put_inet(b, found[k], req->ext) ? 0 : -LX_EMSGSIZE;
            cursor = found[k]->cookie;
            sock_put(found[k]);
        }
        if (r != -LX_ENOENT || count < BATCH)
            return r;
    }
}

/* ---- UNIX ---------------------------------------------------------------------------------- */

static bool put_unix(struct nlbuf *b, struct sock *sk, u32 show)
{
    struct unix_sock *u = unix_sk(sk);
    struct lx_unix_diag_msg *m = nl_begin(b, LX_SOCK_DIAG_BY_FAMILY, 0, sizeof(*m));
    if (!m)
        return false;
    *m = (struct lx_unix_diag_msg){.family = LX_AF_UNIX,
                                   .type = (u8)sk->type,
                                   .state = (u8)sock_state(sk),
                                   .ino = (u32)sk->ino};
    put_cookie(m->cookie, sk->cookie);
    struct unix_addr *a = unix_addr_of(u);
    if (show & UDIAG_SHOW_NAME && a)
        nl_attr(b, UNIX_DIAG_NAME, a->un.path, a->len - (u32)offsetof(struct lx_sockaddr_un, path));
    if (show & UDIAG_SHOW_PEER) {
        struct unix_sock *peer = unix_get_peer(u);
        if (peer) {
            nl_attr_u32(b, UNIX_DIAG_PEER, (u32)peer->sk.ino);
            unix_put(peer);
        }
    }
    if (show & UDIAG_SHOW_RQLEN) {
        u32 rq[2];
        unix_queue_lengths(u, &rq[0], &rq[1]);
        nl_attr(b, UNIX_DIAG_RQLEN, rq, sizeof(rq));
    }
    if (show & UDIAG_SHOW_MEMINFO)
        put_mem(b, UNIX_DIAG_MEMINFO, sk);
    nl_attr_u8(b, UNIX_DIAG_SHUTDOWN, (u8)sock_shut(sk));
    if (show & UDIAG_SHOW_UID)
        nl_attr_u32(b, UNIX_DIAG_UID, uid_for_reader(sk->uid));
    return nl_end(b);
}

static bool dump_unix(struct nl_sock *n, struct nl_dump *d, struct nlbuf *b)
{
    struct lx_unix_diag_req req;
    struct sock *found[BATCH];
    memcpy(&req, d->req, sizeof(req));
    for (;;) {
        u32 count = net_collect(n->sk.ns, d->cursor, LX_AF_UNIX, -1, found, BATCH);
        bool is_full = false;
        for (u32 k = 0; k < count; k++) {
            bool is_shown = req.states >> sock_state(found[k]) & 1;
            if (!is_full && is_shown && !put_unix(b, found[k], req.show))
                is_full = true;
            if (!is_full)
                d->cursor = found[k]->cookie;
            sock_put(found[k]);
        }
        if (is_full)
            return false;
        if (count < BATCH)
            return true;
    }
}

static int get_unix(struct nl_sock *n, const struct lx_unix_diag_req *req, struct nlbuf *b)
{
    struct sock *found[BATCH];
    u64 cursor = 0;
    if (!req->ino)
        return -LX_EINVAL;
    for (;;) {
        u32 count = net_collect(n->sk.ns, cursor, LX_AF_UNIX, -1, found, BATCH);
        int r = -LX_ENOENT;
        for (u32 k = 0; k < count; k++) {
            bool is_it = (u32)found[k]->ino == req->ino &&
                         is_cookie_wanted(req->cookie, found[k]->cookie);
            if (is_it && r == -LX_ENOENT)
                r = put_unix(b, found[k], req->show) ? 0 : -LX_EMSGSIZE;
            cursor = found[k]->cookie;
            sock_put(found[k]);
        }
        if (r != -LX_ENOENT || count < BATCH)
            return r;
    }
}

/* ---- dispatch ------------------------------------------------------------------------------ */

int nl_diag_request(struct nl_sock *n, const struct lx_nlmsghdr *req, struct nlbuf *b,
                    struct nl_dump *d)
{
    const u8 *family = nl_payload(req, 1);
    bool is_dump = req->flags & LX_NLM_F_DUMP;
    bool is_unix = req->type == LX_SOCK_DIAG_BY_FAMILY && family && *family == LX_AF_UNIX;
    if (n->sk.ns->host && is_dump && !is_unix)
        return -LX_ENOENT; /* as without the module: /proc/net has the host's sockets */
    if (req->type == LX_SOCK_DESTROY)
        return net_capable(n->sk.ns, LX_CAP_NET_ADMIN) ? -LX_EOPNOTSUPP : -LX_EPERM;
    if (req->type != LX_SOCK_DIAG_BY_FAMILY || !family)
        return -LX_EINVAL;
    if (*family == LX_AF_UNIX) {
        struct lx_unix_diag_req q;
        const void *p = nl_payload(req, sizeof(q));
        if (!p)
            return -LX_EINVAL;
        memcpy(&q, p, sizeof(q));
        d->step = is_dump ? dump_unix : NULL;
        return is_dump ? 0 : get_unix(n, &q, b);
    }
    if (*family == LX_AF_INET || *family == LX_AF_INET6) {
        struct lx_inet_diag_req q;
        const void *p = nl_payload(req, sizeof(q));
        if (!p)
            return -LX_EINVAL;
        memcpy(&q, p, sizeof(q));
        if (q.protocol != LX_IPPROTO_TCP && q.protocol != LX_IPPROTO_UDP)
            return -LX_ENOENT;
        d->step = is_dump ? dump_inet : NULL;
        return is_dump ? 0 : get_inet(n, &q, b);
    }
    return -LX_ENOENT;
}
