/* netlink sockets: ports, requests, dumps, groups, options. */
#include "net/netlink_post.h"
#include "net/netlink/netlink.h"

#include <stdlib.h>
#include <string.h>

#include "abi/nftables.h"
#include "abi/tty.h"
#include "net/filter.h"
#include "net/inet/inet.h"
#include "net/nft/batch.h"
#include "net/parts.h"

#define MAX_REQUEST 131072U
#define MAX_BATCH   (8U << 20)
#define LONG_SIZE   65536U
#define MAX_GROUPS  64
#define MAX_QUEUED  1024U /* messages of others that wait at one socket */

struct netlink_ns {
    struct mutex lock;
    struct list bound; /* nl_sock.node; guarded by lock */
};

static const struct sock_ops netlink_ops;

struct netlink_ns *netlink_ns_new(void)
{
    struct netlink_ns *ns = calloc(1, sizeof(*ns));
    if (!ns)
        return NULL;
    mutex_init(&ns->lock, "netlink_ns");
    list_init(&ns->bound);
    return ns;
}

void netlink_ns_free(struct netlink_ns *ns)
{
    free(ns);
}

static bool has_protocol(s32 protocol)
{
    return protocol == LX_NETLINK_ROUTE || protocol == LX_NETLINK_SOCK_DIAG ||
           protocol == LX_NETLINK_GENERIC || protocol == LX_NETLINK_NETFILTER ||
           protocol == LX_NETLINK_KOBJECT_UEVENT;
}

int netlink_create(struct net_ns *ns, s32 type, s32 protocol, struct sock **ret_sk)
{
    if (type != LX_SOCK_RAW && type != LX_SOCK_DGRAM)
        return -LX_ESOCKTNOSUPPORT;
    if (protocol < 0 || protocol >= NL_MAX_PROTO || !has_protocol(protocol))
        return -LX_EPROTONOSUPPORT;
    struct nl_sock *n = calloc(1, sizeof(*n));
    if (!n)
        return -LX_ENOMEM;
    list_init(&n->node);
    mutex_init(&n->dump_lock, "netlink_dump");
    mq_init(&n->rxq);
    int r = sock_init(&n->sk, &netlink_ops, ns, LX_AF_NETLINK, (u16)type, protocol);
    if (r < 0)
        free(n);
    else
        *ret_sk = &n->sk;
    return r;
}

/* ---- ports --------------------------------------------------------------------------------- */

static bool is_taken(struct netlink_ns *ns, s32 protocol, u32 portid)
{
    struct nl_sock *o;
    list_for_each (o, &ns->bound, node) {
        if (o->sk.protocol == protocol && o->portid == portid)
            return true;
    }
    return false;
}

/* portid 0: the process's number, or another that is free. */
static int take_port(struct nl_sock *n, u32 portid)
{
    struct netlink_ns *ns = n->sk.ns->netlink_ns;
    struct task *t = task_current();
    MUTEX_GUARD(&ns->lock);
    if (n->is_bound)
        return portid && portid != n->portid ? -LX_EINVAL : 0;
    if (portid) {
        if (is_taken(ns, n->sk.protocol, portid))
            return -LX_EADDRINUSE;
    } else {
        portid = t ? (u32)tgroup_pid_in(t->tg, task_pid_ns(t)) : 1;
        while (!portid || is_taken(ns, n->sk.protocol, portid))
            portid = 0x80000000U | net_random();
    }
    mutex_lock(&n->sk.lock);
    n->portid = portid;
    n->is_bound = true;
    mutex_unlock(&n->sk.lock);
    list_add_tail(&ns->bound, &n->node);
    return 0;
}

static int check_addr(const union saddr *addr, u32 len)
{
    if (len < sizeof(addr->nl) || addr->family != LX_AF_NETLINK)
        return -LX_EINVAL;
    return 0;
}

static bool may_listen(const struct nl_sock *n)
{
    /* Any user may listen on route, generic and uevent groups. */
    bool is_open =
        n->sk.protocol != LX_NETLINK_SOCK_DIAG && n->sk.protocol != LX_NETLINK_NETFILTER;
    return is_open || net_capable(n->sk.ns, LX_CAP_NET_ADMIN);
}

static int nl_bind(struct sock *sk, const union saddr *addr, u32 len)
{
    struct nl_sock *n = nl_sk(sk);
    int r = check_addr(addr, len);
    if (r == 0 && addr->nl.groups && !may_listen(n))
        r = -LX_EPERM;
    if (r == 0)
        r = take_port(n, addr->nl.pid);
    if (r < 0)
        return r;
    MUTEX_GUARD(&sk->lock);
    n->groups = (n->groups & ~0xffffffffULL) | addr->nl.groups;
    return 0;
}

static int nl_connect(struct sock *sk, const union saddr *addr, u32 len, bool is_nonblock)
{
    struct nl_sock *n = nl_sk(sk);
    if (len < sizeof(addr->family))
        return -LX_EINVAL;
    if (addr->family == LX_AF_UNSPEC) {
        MUTEX_GUARD(&sk->lock);
        n->dst_pid = n->dst_groups = 0;
        sock_set_state(sk, SOCK_CLOSED);
        return 0;
    }
    int r = check_addr(addr, len);
    if (r == 0 && (addr->nl.groups || addr->nl.pid) && !net_capable(sk->ns, LX_CAP_NET_ADMIN))
        r = -LX_EPERM;
    if (r == 0)
        r = take_port(n, 0);
    if (r < 0)
        return r;
    MUTEX_GUARD(&sk->lock);
    n->dst_pid = addr->nl.pid;
    n->dst_groups = addr->nl.groups;
    sock_set_state(sk, SOCK_ESTABLISHED);
    return 0;
}

static void fill_addr(u32 pid, u32 groups, union saddr *ret, u32 *ret_len)
{
    *ret = (union saddr){.nl = {.family = LX_AF_NETLINK, .pid = pid, .groups = groups}};
    *ret_len = sizeof(ret->nl);
}

static int nl_getname(struct sock *sk, union saddr *ret, u32 *ret_len)
{
    struct nl_sock *n = nl_sk(sk);
    MUTEX_GUARD(&sk->lock);
    fill_addr(n->portid, (u32)n->groups, ret, ret_len);
    return 0;
}

static int nl_getpeer(struct sock *sk, union saddr *ret, u32 *ret_len)
{
    struct nl_sock *n = nl_sk(sk);
    MUTEX_GUARD(&sk->lock);
    fill_addr(n->dst_pid, n->dst_groups, ret, ret_len);
    return 0;
}

/* ---- messages to other sockets ------------------------------------------------------------- */

struct nl_from { /* nmsg.cb */
    u32 pid, group;
};

/* What waits counts against its receiver's buffer. */
static void release_rmem(struct nmsg *m)
{
    struct sock *sk = (struct sock *)(uintptr_t)m->cb[ARRAY_SIZE(m->cb) - 1];
    atomic_fetch_sub(&sk->rmem, m->truesize);
}

/* Queues a copy at `to`, or tells it that it missed one. */
static void give(struct nl_sock *to, const u8 *data, u32 size, u32 pid, u32 group, bool is_user)
{
    struct sock *sk = &to->sk;
    u32 keep = filter_run_bytes(sk, data, size);
    if (!keep)
        return;
    bool has_room = mq_count(&to->rxq) < MAX_QUEUED && sk->rmem <= (u32)sk->rcvbuf;
    struct nmsg *m = has_room ? nmsg_new(MIN(size, keep), NULL) : NULL;
    if (!m) {
        if (!(to->opt >> LX_NETLINK_NO_ENOBUFS & 1))
            sock_report(sk, LX_ENOBUFS);
        atomic_fetch_add(&sk->drops, 1);
        return;
    }
    memcpy(m->data, data, m->size);
    struct nl_from from = {pid, group};
    memcpy(m->cb, &from, sizeof(from));
    m->cb[ARRAY_SIZE(m->cb) - 1] = (u64)(uintptr_t)sk;
    m->free_cb = release_rmem;
    atomic_fetch_add(&sk->rmem, m->truesize);
    if (is_user) {
        m->scm.who = scm_who_current();
        m->scm.has_who = true;
    }
    mq_push(&to->rxq, m);
    waitq_wake(&sk->wq, WAIT_READABLE);
}

int netlink_post_check(struct file *f)
{
    struct sock *sk = sock_of_file(f);
    if (!sk)
        return -LX_ENOTSOCK;
    return sk->ops == &netlink_ops ? 0 : -LX_EINVAL;
}

void netlink_post(struct file *f, const void *data, u32 size)
{
    give(nl_sk(sock_of_file(f)), data, size, 0, 0, false);
}

/* To one socket by its port. -LX_ECONNREFUSED. */
static int unicast(struct nl_sock *n, u32 pid, const u8 *data, u32 size)
{
    struct netlink_ns *ns = n->sk.ns->netlink_ns;
    struct nl_sock *o;
    MUTEX_GUARD(&ns->lock);
    list_for_each (o, &ns->bound, node) {
        if (o->sk.protocol != n->sk.protocol || o->portid != pid)
            continue;
        give(o, data, size, n->portid, 0, true);
        return 0;
    }
    return -LX_ECONNREFUSED;
}

bool nl_has_listener(struct net_ns *net, s32 protocol, u32 group)
{
    struct netlink_ns *ns = net->netlink_ns;
    struct nl_sock *o;
    MUTEX_GUARD(&ns->lock);
    list_for_each (o, &ns->bound, node)
        if (o->sk.protocol == protocol && o->groups >> (group - 1) & 1)
            return true;
    return false;
}

void nl_broadcast(struct net_ns *net, s32 protocol, u32 group, const struct nl_sock *from,
                  u32 except_pid, const void *data, u32 size)
{
    struct netlink_ns *ns = net->netlink_ns;
    struct nl_sock *o;
    MUTEX_GUARD(&ns->lock);
    list_for_each (o, &ns->bound, node) {
        if (o == from || o->sk.protocol != protocol || !(o->groups >> (group - 1) & 1) ||
            (except_pid && o->portid == except_pid))
            continue;
        give(o, data, size, from ? from->portid : 0, group, from);
    }
}

/* ---- requests ------------------------------------------------------------------------------ */

void nl_flush(struct nl_sock *n, struct nlbuf *b)
{
    if (!b->size)
        return;
    struct nmsg *m = nmsg_new(b->size, NULL);
    if (!m) {
        sock_report(&n->sk, LX_ENOBUFS);
        b->size = 0;
        return;
    }
    memcpy(m->data, b->data, b->size);
    b->size = 0;
    u32 keep = filter_run_bytes(&n->sk, m->data, m->size);
    m->size = MIN(m->size, keep);
    if (!keep) {
        nmsg_free(m);
        return;
    }
    mq_push(&n->rxq, m);
    waitq_wake(&n->sk.wq, WAIT_READABLE);
}

#define NLMSGERR_ATTR_MSG  1
#define NLMSGERR_ATTR_OFFS 2

/* NLMSG_ERROR: err 0 is an acknowledgement. The request's payload goes along with an error. */
static bool put_answer(struct nl_sock *n, struct nlbuf *b, const struct lx_nlmsghdr *req, int err)
{
    bool is_capped = err == 0 || n->opt >> LX_NETLINK_CAP_ACK & 1;
    bool has_text = err && (b->extack || b->extack_at) && n->opt >> LX_NETLINK_EXT_ACK & 1;
    u32 copy = is_capped ? (u32)sizeof(*req) : req->len;
    if (copy > NL_BUF_SIZE / 2) {
        copy = sizeof(*req);
        is_capped = true;
    }
    u16 flags =
        (u16)((is_capped && err ? LX_NLM_F_CAPPED : 0) | (has_text ? LX_NLM_F_ACK_TLVS : 0));
    u8 *p = nl_begin(b, LX_NLMSG_ERROR, flags, (u32)sizeof(s32) + copy);
    if (!p)
        return false;
    memcpy(p, &err, sizeof(s32));
    memcpy(p + sizeof(s32), req, copy);
    if (has_text && b->extack)
        nl_attr_str(b, NLMSGERR_ATTR_MSG, b->extack);
    if (has_text && b->extack_at)
        nl_attr_u32(b, NLMSGERR_ATTR_OFFS, b->extack_at);
    return nl_end(b);
}

void nl_answer(struct nl_sock *n, struct nlbuf *b, const struct lx_nlmsghdr *req, int err)
{
    if (put_answer(n, b, req, err))
        return;
    nl_flush(n, b);
    (void)put_answer(n, b, req, err); /* fits an empty buffer */
}

/* One more datagram of a dump. REQUIRES dump_lock. */
static void dump_step(struct nl_sock *n, struct nlbuf *b)
{
    struct nl_dump *d = &n->dump;
    b->pid = d->pid;
    b->seq = d->seq;
    b->flags = LX_NLM_F_MULTI;
    b->size = 0;
    /* The end is a datagram of its own, unless nothing came before it in this one. */
    bool is_over = d->is_over || (d->is_over = d->step(n, d, b));
    if (is_over && !b->size) {
        s32 *err = nl_begin(b, LX_NLMSG_DONE, 0, sizeof(s32));
        if (err) {
            *err = d->err;
            (void)nl_end(b);
            n->is_dumping = false;
            host_answer_done(&d->host);
        }
    }
    nl_flush(n, b);
}

static int start_dump(struct nl_sock *n, struct nlbuf *b, const struct lx_nlmsghdr *req,
                      const struct nl_dump *d)
{
    MUTEX_GUARD(&n->dump_lock);
    if (n->is_dumping)
        return -LX_EBUSY;
    nl_flush(n, b);
    n->dump = *d;
    n->dump.cursor = 0;
    n->dump.is_over = false;
    n->dump.pid = n->portid;
    n->dump.seq = req->seq;
    n->dump.req_size = MIN(req->len - (u32)sizeof(*req), (u32)sizeof(n->dump.req));
    memcpy(n->dump.req, (const u8 *)req + sizeof(*req), n->dump.req_size);
    n->is_dumping = true;
    dump_step(n, b);
    return 0;
}

static nl_request_fn handler_of(s32 protocol)
{
    switch (protocol) {
    case LX_NETLINK_ROUTE:
        return nl_route_request;
    case LX_NETLINK_SOCK_DIAG:
        return nl_diag_request;
    case LX_NETLINK_GENERIC:
        return nl_generic_request;
    case LX_NETLINK_NETFILTER:
        return nl_netfilter_request;
    default:
        return NULL;
    }
}

static _Thread_local u32 asker_pid, asker_seq;

void nl_asker(u32 *ret_pid, u32 *ret_seq)
{
    *ret_pid = asker_pid;
    *ret_seq = asker_seq;
}

static void handle(struct nl_sock *n, struct nlbuf *b, const struct lx_nlmsghdr *req)
{
    nl_request_fn fn = handler_of(n->sk.protocol);
    struct nl_dump d = {0};
    b->pid = n->portid;
    b->seq = req->seq;
    b->flags = 0;
    b->extack = NULL;
    b->extack_at = 0;
    asker_pid = n->portid;
    asker_seq = req->seq;
    int r = fn && req->type >= LX_NLMSG_MIN_TYPE ? fn(n, req, b, &d) : 0;
    asker_pid = asker_seq = 0;
    if (r == 0 && d.step) {
        r = start_dump(n, b, req, &d);
        if (r == 0)
            return; /* NLMSG_DONE acknowledges */
        host_answer_done(&d.host);
    }
    b->pid = n->portid;
    b->seq = req->seq;
    b->flags = 0;
    if (r == 0 && req->flags & LX_NLM_F_ACK)
        nl_flush(n, b); /* the acknowledgement is a datagram of its own */
    if (r < 0 || req->flags & LX_NLM_F_ACK)
        nl_answer(n, b, req, r);
}

/* Messages of netfilter may be longer than a page. */
static u32 buf_size(const struct nl_sock *n)
{
    return n->sk.protocol == LX_NETLINK_NETFILTER ? LONG_SIZE : NL_BUF_SIZE;
}

static bool is_batch(const u8 *buf, u32 size)
{
    struct lx_nlmsghdr h;
    if (size < sizeof(h))
        return false;
    memcpy(&h, buf, sizeof(h));
    return h.type == LX_NFNL_MSG_BATCH_BEGIN;
}

static void handle_all(struct nl_sock *n, u8 *buf, u32 size)
{
    struct nlbuf b = {.cap = buf_size(n)};
    if (!(b.data = malloc(b.cap))) {
        sock_report(&n->sk, LX_ENOBUFS);
        return;
    }
    if (n->sk.protocol == LX_NETLINK_NETFILTER && is_batch(buf, size)) {
        nft_batch(n, &b, buf, size);
        size = 0;
    }
    while (size >= sizeof(struct lx_nlmsghdr)) {
        struct lx_nlmsghdr *h = (struct lx_nlmsghdr *)(void *)buf; /* 4-aligned within the copy */
        if (h->len < sizeof(*h) || h->len > size)
            break;
        if (h->flags & LX_NLM_F_REQUEST)
            handle(n, &b, h);
        nl_flush(n, &b);
        u32 step = MIN(NL_ALIGN(h->len), size);
        buf += step;
        size -= step;
    }
    free(b.data);
}

static s64 nl_send(struct sock *sk, struct smsg *m)
{
    struct nl_sock *n = nl_sk(sk);
    u64 size = m->uio->left;
    u32 pid = n->dst_pid, groups = n->dst_groups;
    if (m->flags & LX_MSG_OOB)
        return -LX_EOPNOTSUPP;
    if (size == 0)
        return -LX_ENODATA;
    if (m->control_len) {
        struct scm scm;
        scm_init(&scm);
        int r = scm_send(m->control, m->control_len, false, &scm);
        scm_done(&scm);
        if (r < 0)
            return r;
    }
    if (m->name_len) {
        int r = check_addr(m->name, m->name_len);
        if (r < 0)
            return r;
        pid = m->name->nl.pid;
        groups = m->name->nl.groups;
        if ((pid || groups) && !net_capable(sk->ns, LX_CAP_NET_ADMIN))
            return -LX_EPERM;
    }
    int r = take_port(n, 0);
    if (r < 0)
        return r;
    if (size > (u64)MAX(sk->sndbuf - 32, 0) || size > (sk->protocol == LX_NETLINK_NETFILTER ? MAX_BATCH : MAX_REQUEST))
        return -LX_EMSGSIZE;
    u8 *buf = malloc(size);
    if (!buf)
        return -LX_ENOBUFS;
    if (uio_copy_from(m->uio, buf, size) != (s64)size) {
        free(buf);
        return -LX_EFAULT;
    }
    if (groups)
        nl_broadcast(sk->ns, sk->protocol, (u32)__builtin_ctz(groups) + 1, n, pid, buf, (u32)size);
    if (!pid)
        handle_all(n, buf, (u32)size);
    else
        r = unicast(n, pid, buf, (u32)size);
    free(buf);
    return r < 0 ? r : (s64)size;
}

/* ---- receiving ----------------------------------------------------------------------------- */

static void continue_dump(struct nl_sock *n)
{
    if (!n->is_dumping || !mq_is_empty(&n->rxq))
        return;
    MUTEX_GUARD(&n->dump_lock);
    struct nlbuf b = {.cap = buf_size(n)};
    if (!n->is_dumping || !mq_is_empty(&n->rxq) || !(b.data = malloc(b.cap)))
        return;
    dump_step(n, &b);
    free(b.data);
}

static void dup_from(struct nmsg *copy, const struct nmsg *from)
{
    memcpy(copy->cb, from->cb, sizeof(struct nl_from));
}

static s64 nl_recv(struct sock *sk, struct smsg *m)
{
    struct nl_sock *n = nl_sk(sk);
    s64 deadline = sock_recv_deadline(sk, m->flags & LX_MSG_DONTWAIT);
    struct nmsg *msg;
    u64 skip;
    if (m->flags & LX_MSG_OOB)
        return -LX_EOPNOTSUPP;
    for (;;) {
        int r = sock_error(sk);
        if (r == 0)
            r = mq_take(&n->rxq, m->flags & LX_MSG_PEEK, 0, m->uio->left, dup_from, &msg, &skip);
        if (r < 0)
            return r;
        if (msg)
            break;
        if (!deadline)
            return -LX_EAGAIN;
        if (sock_shut(sk) & SHUT_RCV)
            return 0;
        r = wait_event_interruptible(
            &sk->wq, WAIT_READABLE | WAIT_HUP | WAIT_ERR,
            !mq_is_empty(&n->rxq) || atomic_load(&sk->err) || sock_shut(sk) & SHUT_RCV, deadline);
        if (r < 0)
            return sock_wait_error(r, deadline);
    }
    struct nl_from from;
    memcpy(&from, msg->cb, sizeof(from));
    if (m->name)
        fill_addr(from.pid, from.group ? 1U << (from.group - 1) : 0, m->name, &m->name_len);
    s64 r = nmsg_copy_out(msg, m, skip);
    if (r >= 0) {
        if (n->opt >> LX_NETLINK_PKTINFO & 1)
            cmsg_put(m->cmsg, LX_SOL_NETLINK, LX_NETLINK_PKTINFO, &from.group, sizeof(from.group));
        if (sock_has(sk, SKF_PASSCRED)) {
            struct lx_ucred u = {0}; /* the kernel */
            if (msg->scm.has_who)
                scm_who_to_ucred(&msg->scm.who, &u);
            cmsg_put(m->cmsg, LX_SOL_SOCKET, LX_SCM_CREDENTIALS, &u, sizeof(u));
        }
    }
    nmsg_free(msg);
    continue_dump(n);
    return r;
}

static u32 nl_poll(struct sock *sk)
{
    u32 mask = WAIT_WRITABLE | WAIT_WRBAND, shut = sock_shut(sk);
    if (atomic_load(&sk->err))
        mask |= WAIT_ERR;
    if (shut & SHUT_RCV)
        mask |= WAIT_RDHUP | WAIT_READABLE;
    if (shut == SHUT_MASK)
        mask |= WAIT_HUP;
    if (!mq_is_empty(&nl_sk(sk)->rxq))
        mask |= WAIT_READABLE;
    return mask;
}

/* ---- options ------------------------------------------------------------------------------- */

static bool is_switch(s32 name)
{
    return name == LX_NETLINK_PKTINFO || name == LX_NETLINK_BROADCAST_ERROR ||
           name == LX_NETLINK_NO_ENOBUFS || name == LX_NETLINK_LISTEN_ALL_NSID ||
           name == LX_NETLINK_CAP_ACK || name == LX_NETLINK_EXT_ACK ||
           name == LX_NETLINK_GET_STRICT_CHK;
}

static int nl_setsockopt(struct sock *sk, s32 level, s32 name, const struct optval *val)
{
    struct nl_sock *n = nl_sk(sk);
    s32 v = 0;
    if (level != LX_SOL_NETLINK)
        return -LX_ENOPROTOOPT;
    int r = optval_int(val, &v);
    if (r < 0)
        return r;
    if (name == LX_NETLINK_ADD_MEMBERSHIP || name == LX_NETLINK_DROP_MEMBERSHIP) {
        if (!may_listen(n))
            return -LX_EPERM;
        if (v <= 0 || v > MAX_GROUPS)
            return -LX_EINVAL;
        MUTEX_GUARD(&sk->lock);
        u64 bit = 1ULL << (v - 1);
        n->groups = name == LX_NETLINK_ADD_MEMBERSHIP ? n->groups | bit : n->groups & ~bit;
        return 0;
    }
    if (!is_switch(name))
        return -LX_ENOPROTOOPT;
    if (name == LX_NETLINK_LISTEN_ALL_NSID && !net_capable(sk->ns, LX_CAP_NET_BROADCAST))
        return -LX_EPERM;
    if (v)
        atomic_fetch_or(&n->opt, 1U << name);
    else
        atomic_fetch_and(&n->opt, ~(1U << name));
    return 0;
}

static int nl_getsockopt(struct sock *sk, s32 level, s32 name, struct optval *val)
{
    struct nl_sock *n = nl_sk(sk);
    if (level != LX_SOL_NETLINK)
        return -LX_ENOPROTOOPT;
    if (name == LX_NETLINK_LIST_MEMBERSHIPS) {
        mutex_lock(&sk->lock);
        u64 groups = n->groups;
        mutex_unlock(&sk->lock);
        int r = optval_write(val, &groups, sizeof(groups));
        val->len = sizeof(groups);
        return r;
    }
    if (!is_switch(name))
        return -LX_ENOPROTOOPT;
    if (val->len < sizeof(s32))
        return -LX_EINVAL;
    return optval_write_int(val, n->opt >> name & 1);
}

static s64 nl_ioctl(struct sock *sk, u32 cmd, u64 arg)
{
    return -LX_ENOIOCTLCMD;
}

static void nl_release(struct sock *sk)
{
    struct nl_sock *n = nl_sk(sk);
    struct netlink_ns *ns = sk->ns->netlink_ns;
    mutex_lock(&ns->lock);
    list_del(&n->node);
    mutex_unlock(&ns->lock);
    mq_purge(&n->rxq);
}

static void nl_destroy(struct sock *sk)
{
    mq_purge(&nl_sk(sk)->rxq);
    host_answer_done(&nl_sk(sk)->dump.host);
}

static const struct sock_ops netlink_ops = {
    .name = "netlink",
    .bind = nl_bind,
    .connect = nl_connect,
    .getname = nl_getname,
    .getpeer = nl_getpeer,
    .sendmsg = nl_send,
    .recvmsg = nl_recv,
    .setsockopt = nl_setsockopt,
    .getsockopt = nl_getsockopt,
    .poll = nl_poll,
    .ioctl = nl_ioctl,
    .release = nl_release,
    .destroy = nl_destroy,
};
