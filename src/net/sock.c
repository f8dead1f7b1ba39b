/*
 * The socket core: making socks and their files, the operations behind the system calls, and
 * what protocols share. What a flag or a state means is a protocol's matter; what every
 * socket refuses alike is refused here.
 */
#include "net/sock.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "kern/task.h"
#include "net/filter.h"
#include "net/netdev.h"
#include "vfs/fcntl_ext.h"
#include "vfs/landlock.h"

static const struct file_ops sock_fops;
static _Atomic u32 nsocks;
static _Atomic u64 next_cookie = 1;

int sock_init(struct sock *sk, const struct sock_ops *ops, struct net_ns *ns, u16 family, u16 type,
              s32 protocol)
{
    if (atomic_fetch_add_explicit(&nsocks, 1, memory_order_relaxed) >= NET_SOCKS_MAX) {
        atomic_fetch_sub_explicit(&nsocks, 1, memory_order_relaxed);
        return -LX_ENFILE;
    }
    ref_init(&sk->ref);
    sk->ops = ops;
    sk->family = family;
    sk->type = type;
    sk->protocol = protocol;
    sk->uid = vfs_cred()->fsuid;
    sk->gid = vfs_cred()->fsgid;
    sk->domain = vfs_cred()->domain;
    landlock_get(sk->domain);
    sk->ns = ns;
    net_ns_get(ns);
    waitq_init(&sk->wq);
    mutex_init(&sk->lock, "sock");
    mutex_init(&sk->filter_lock, "sock_filter");
    sock_set_state(sk, SOCK_CLOSED);
    sk->sndbuf = sk->rcvbuf = SOCK_BUF_DEFAULT;
    sk->rcvlowat = 1;
    sk->sndtimeo_ns = sk->rcvtimeo_ns = -1;
    sk->peek_off = -1;
    sk->incoming_cpu = -1;
    sk->last_stamp_ns = -1;
    sk->txrehash = 1;
    sk->max_pacing_rate = UINT64_MAX;
    sk->peercred = SCM_WHO_NOBODY;
    list_init(&sk->gc_node);
    list_init(&sk->ns_node);
    MUTEX_GUARD(&ns->socks_lock);
    sk->cookie = atomic_fetch_add_explicit(&next_cookie, 1, memory_order_relaxed);
    list_add_tail(&ns->socks, &sk->ns_node);
    atomic_fetch_add_explicit(&ns->nsocks, 1, memory_order_relaxed);
    return 0;
}

void sock_put(struct sock *sk)
{
    if (!sk || !ref_put(&sk->ref))
        return;
    struct net_ns *ns = sk->ns;
    mutex_lock(&ns->socks_lock);
    list_del(&sk->ns_node);
    mutex_unlock(&ns->socks_lock);
    atomic_fetch_sub_explicit(&ns->nsocks, 1, memory_order_relaxed);
    sk->ops->destroy(sk);
    landlock_put(sk->domain);
    scm_who_done(&sk->peercred);
    if (sk->peer_groups)
        cred_put(sk->peer_groups);
    filter_put(sk->filter);
    filter_put(sk->reuse_filter);
    waitq_done(&sk->wq);
    free(sk);
    net_ns_put(ns);
    atomic_fetch_sub_explicit(&nsocks, 1, memory_order_relaxed);
}

u32 net_collect(struct net_ns *ns, u64 after, u16 family, s32 protocol, struct sock **ret_socks,
                u32 max)
{
    struct sock *sk;
    u32 n = 0;
    MUTEX_GUARD(&ns->socks_lock);
    list_for_each(sk, &ns->socks, ns_node) {
        if (sk->cookie <= after || sk->family != family || sk->ops->is_host ||
            (protocol >= 0 && sk->protocol != protocol) || !ref_get_unless_zero(&sk->ref))
            continue;
        ret_socks[n++] = sk;
        if (n == max)
            break;
    }
    return n;
}

int sock_file(struct sock *sk, u32 flags, struct file **ret_f)
{
    u32 oflags = LX_O_RDWR | (flags & LX_SOCK_NONBLOCK ? LX_O_NONBLOCK : 0);
    struct file *f;
    int r = file_new_anon("socket:", LX_S_IFSOCK | 0777, &sock_fops, sk, oflags,
                          FMODE_READ | FMODE_WRITE | FMODE_STREAM, &f);
    if (r < 0)
        return r;
    sk->file = f;
    atomic_store_explicit(&sk->ino, f->inode->ino, memory_order_relaxed);
    *ret_f = f;
    return 0;
}

struct sock *sock_of_file(struct file *f)
{
    return f->ops == &sock_fops ? f->priv : NULL;
}

/* ---- making ------------------------------------------------------------------------------- */

int sock_create(s32 family, s32 type, s32 protocol, struct sock **ret_sk)
{
    struct net_ns *ns = net_ns_current();
    if (family < 0 || family >= LX_AF_MAX)
        return -LX_EAFNOSUPPORT;
    if (type < 0 || type > LX_SOCK_PACKET)
        return -LX_EINVAL;
    if (family == LX_AF_INET && type == LX_SOCK_PACKET)
        family = LX_AF_PACKET;
    switch (family) {
    case LX_AF_UNIX:
        return unix_create(ns, type, protocol, ret_sk);
    case LX_AF_INET:
    case LX_AF_INET6:
        return inet_create(ns, (u16)family, type, protocol, ret_sk);
    case LX_AF_NETLINK:
        return netlink_create(ns, type, protocol, ret_sk);
    case LX_AF_PACKET:
        return packet_create(ns, type, protocol, ret_sk);
    default:
        return -LX_EAFNOSUPPORT;
    }
}

int sock_socket(s32 family, s32 type, s32 protocol, struct file **ret_f)
{
    struct sock *sk;
    u32 flags = (u32)type & ~0xfU;
    if (flags & ~(u32)(LX_SOCK_CLOEXEC | LX_SOCK_NONBLOCK))
        return -LX_EINVAL;
    int r = sock_create(family, type & 0xf, protocol, &sk);
    if (r < 0)
        return r;
    r = sock_file(sk, flags, ret_f);
    if (r < 0) {
        sk->ops->release(sk);
        sock_put(sk);
    }
    return r;
}

int sock_socketpair(s32 family, s32 type, s32 protocol, struct file *ret_f[2])
{
    ret_f[0] = ret_f[1] = NULL;
    for (int i = 0; i < 2; i++) {
        int r = sock_socket(family, type, protocol, &ret_f[i]);
        if (r < 0) {
            if (i)
                file_put(take_ptr(ret_f[0]));
            return r;
        }
    }
    struct sock *a = sock_of_file(ret_f[0]), *b = sock_of_file(ret_f[1]);
    int r = a->ops->pair ? a->ops->pair(a, b) : -LX_EOPNOTSUPP;
    if (r < 0) {
        file_put(take_ptr(ret_f[0]));
        file_put(take_ptr(ret_f[1]));
    }
    return r;
}

/* ---- operations --------------------------------------------------------------------------- */

int sock_accept(struct sock *sk, u32 flags, bool is_nonblock, struct file **ret_f,
                union saddr *ret_peer, u32 *ret_peer_len)
{
    struct sock *child;
    if (flags & ~(u32)(LX_SOCK_CLOEXEC | LX_SOCK_NONBLOCK))
        return -LX_EINVAL;
    if (!sk->ops->accept)
        return -LX_EOPNOTSUPP;
    int r = sk->ops->accept(sk, is_nonblock, &child);
    if (r < 0)
        return r;
    if (ret_peer && child->ops->getpeer(child, ret_peer, ret_peer_len) < 0) {
        /* It was reset before we came: the address is gone with the connection. */
        r = -LX_ECONNABORTED;
    } else {
        r = sock_file(child, flags, ret_f);
    }
    if (r < 0) {
        child->ops->release(child);
        sock_put(child);
    }
    scm_drain();
    return r;
}

int sock_bind(struct sock *sk, const union saddr *addr, u32 len)
{
    return sk->ops->bind ? sk->ops->bind(sk, addr, len) : -LX_EOPNOTSUPP;
}

int sock_connect(struct sock *sk, const union saddr *addr, u32 len, bool is_nonblock)
{
    int r = sk->ops->connect ? sk->ops->connect(sk, addr, len, is_nonblock) : -LX_EOPNOTSUPP;
    scm_drain();
    return r;
}

int sock_listen(struct sock *sk, s32 backlog)
{
    s32 max = (s32)net_sysctl(sk->ns, NSYS_SOMAXCONN);
    if ((u32)backlog > (u32)max)
        backlog = max;
    return sk->ops->listen ? sk->ops->listen(sk, backlog) : -LX_EOPNOTSUPP;
}

int sock_shutdown(struct sock *sk, s32 how)
{
    if (how < LX_SHUT_RD || how > LX_SHUT_RDWR)
        return -LX_EINVAL;
    return sk->ops->shutdown ? sk->ops->shutdown(sk, (u32)how + 1) : -LX_EOPNOTSUPP;
}

s64 sock_sendmsg(struct sock *sk, struct smsg *m)
{
    s64 r = sk->ops->sendmsg(sk, m);
    scm_drain();
    return r;
}

s64 sock_recvmsg(struct sock *sk, struct smsg *m)
{
    s64 r = sk->ops->recvmsg(sk, m);
    scm_drain();
    return r;
}

int sock_setsockopt(struct sock *sk, s32 level, s32 name, const struct optval *val)
{
    if (level == LX_SOL_SOCKET && !sk->ops->is_host)
        return sock_setsockopt_generic(sk, name, val);
    return sk->ops->setsockopt ? sk->ops->setsockopt(sk, level, name, val) : -LX_EOPNOTSUPP;
}

int sock_getsockopt(struct sock *sk, s32 level, s32 name, struct optval *val)
{
    if (level == LX_SOL_SOCKET && !sk->ops->is_host)
        return sock_getsockopt_generic(sk, name, val);
    return sk->ops->getsockopt ? sk->ops->getsockopt(sk, level, name, val) : -LX_EOPNOTSUPP;
}

int optval_read_at(const struct optval *o, u32 off, void *dst, u32 size)
{
    if (o->len < off || o->len - off < size)
        return -LX_EINVAL;
    if (o->kern) {
        memcpy(dst, o->kern + off, size);
        return 0;
    }
    return copy_in(dst, uaddr_add(o->user, off), size);
}

int optval_read(const struct optval *o, void *dst, u32 size)
{
    return optval_read_at(o, 0, dst, size);
}

int optval_write(struct optval *o, const void *src, u32 size)
{
    if (o->len > size)
        o->len = size;
    if (o->kern) {
        memcpy(o->kern, src, o->len);
        return 0;
    }
    return copy_out(o->user, src, o->len);
}

int optval_write_int(struct optval *o, s32 v)
{
    return optval_write(o, &v, sizeof(v));
}

/* ---- for protocols ------------------------------------------------------------------------- */

void sock_report(struct sock *sk, int err)
{
    atomic_store(&sk->err, err);
    waitq_wake(&sk->wq, WAIT_ALL);
}

void sock_urgent(struct sock *sk)
{
    mutex_lock(&sk->lock);
    struct file *f = sk->file;
    if (f && !ref_get_unless_zero(&f->ref))
        f = NULL;
    mutex_unlock(&sk->lock);
    if (!f)
        return;
    fowner_signal(f, LX_SIGURG, LX_SI_KERNEL, 0);
    file_put(f);
}

s64 sock_recv_deadline(const struct sock *sk, bool is_nonblock)
{
    s64 t = atomic_load_explicit(&sk->rcvtimeo_ns, memory_order_relaxed);
    return is_nonblock ? 0 : t < 0 ? NO_DEADLINE : deadline_after_ns(t);
}

s64 sock_send_deadline(const struct sock *sk, bool is_nonblock)
{
    s64 t = atomic_load_explicit(&sk->sndtimeo_ns, memory_order_relaxed);
    return is_nonblock ? 0 : t < 0 ? NO_DEADLINE : deadline_after_ns(t);
}

s64 sock_epipe(const struct smsg *m)
{
    if (!(m->flags & LX_MSG_NOSIGNAL) && vfs_current && vfs_current->send_signal)
        vfs_current->send_signal(LX_SIGPIPE);
    return -LX_EPIPE;
}

void sock_set_peercred_current(struct sock *sk)
{
    struct scm_who old = sk->peercred;
    const struct cred *old_groups = sk->peer_groups;
    sk->peercred = scm_who_current();
    sk->peer_groups = vfs_cred();
    cred_get(sk->peer_groups);
    sock_set_flag(sk, SKF_HAS_PEERCRED, true);
    scm_who_done(&old);
    if (old_groups)
        cred_put(old_groups);
}

void sock_copy_peercred(struct sock *sk, struct sock *from)
{
    struct scm_who old = sk->peercred;
    const struct cred *old_groups = sk->peer_groups;
    sk->peercred = scm_who_copy(&from->peercred);
    sk->peer_groups = from->peer_groups;
    if (sk->peer_groups)
        cred_get(sk->peer_groups);
    sock_set_flag(sk, SKF_HAS_PEERCRED, sock_has(from, SKF_HAS_PEERCRED));
    scm_who_done(&old);
    if (old_groups)
        cred_put(old_groups);
}

s64 sock_real_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    return ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec;
}

s64 sock_stamp(const struct sock *sk)
{
    return sock_has(sk, SKF_TSTAMP | SKF_TSTAMPNS | SKF_STAMPING) ||
                   sk->tsflags & LX_SOF_RX_SOFTWARE
               ? sock_real_ns()
               : 0;
}

void sock_put_scm_timestamping(struct cmsg_out *c, s64 stamp_ns)
{
    s64 v[6] = {stamp_ns / NSEC_PER_SEC, stamp_ns % NSEC_PER_SEC};
    cmsg_put(c, LX_SOL_SOCKET, LX_SO_TIMESTAMPING_OLD, v, sizeof(v));
}

void sock_put_timestamp(struct sock *sk, struct cmsg_out *c, s64 stamp_ns)
{
    bool is_asked = sock_has(sk, SKF_TSTAMP | SKF_TSTAMPNS);
    u32 rx = LX_SOF_RX_SOFTWARE | LX_SOF_SOFTWARE;
    if (!is_asked && !(sk->tsflags & rx)) {
        if (sock_has(sk, SKF_STAMPING))
            sk->last_stamp_ns = stamp_ns;
        else if (unlikely(sk->last_stamp_ns == -1))
            sk->last_stamp_ns = 0;
        return;
    }
    if (!stamp_ns)
        stamp_ns = sock_real_ns();
    if (is_asked) {
        bool is_new = sock_has(sk, SKF_TSTAMP_NEW);
        s64 v[2] = {stamp_ns / NSEC_PER_SEC, stamp_ns % NSEC_PER_SEC};
        s32 type = is_new ? LX_SO_TIMESTAMPNS_NEW : LX_SO_TIMESTAMPNS_OLD;
        if (!sock_has(sk, SKF_TSTAMPNS)) {
            v[1] /= NSEC_PER_USEC;
            type = is_new ? LX_SO_TIMESTAMP_NEW : LX_SO_TIMESTAMP_OLD;
        }
        cmsg_put(c, LX_SOL_SOCKET, type, v, sizeof(v));
    }
    if ((sk->tsflags & rx) == rx)
        sock_put_scm_timestamping(c, stamp_ns);
}

s64 sock_get_stamp(struct sock *sk, bool is_ns, uaddr_t to)
{
    sock_set_flag(sk, SKF_STAMPING, true);
    s64 ns = sk->last_stamp_ns;
    if (ns == -1)
        return -LX_ENOENT;
    if (ns == 0)
        sk->last_stamp_ns = ns = sock_real_ns();
    s64 v[2] = {ns / NSEC_PER_SEC, ns % NSEC_PER_SEC / (is_ns ? 1 : NSEC_PER_USEC)};
    return copy_out(to, v, sizeof(v));
}

/* ---- the file ------------------------------------------------------------------------------ */

static s64 sock_fop_read(struct file *f, struct uio *to, s64 *off)
{
    struct cmsg_out none = {0};
    struct smsg m = {.uio = to, .cmsg = &none};
    if (to->left == 0)
        return 0;
    m.flags = file_is_nonblock(f) ? LX_MSG_DONTWAIT : 0;
    return sock_recvmsg(f->priv, &m);
}

static s64 sock_fop_write(struct file *f, struct uio *from, s64 *off)
{
    struct sock *sk = f->priv;
    struct smsg m = {.uio = from};
    m.flags = file_is_nonblock(f) ? LX_MSG_DONTWAIT : 0;
    if (sk->type == LX_SOCK_SEQPACKET)
        m.flags |= LX_MSG_EOR;
    return sock_sendmsg(sk, &m);
}

static u32 sock_fop_poll(struct file *f)
{
    struct sock *sk = f->priv;
    return sk->ops->poll(sk);
}

static struct waitq *sock_fop_pollq(struct file *f)
{
    struct sock *sk = f->priv;
    return &sk->wq;
}

static s64 sock_fop_ioctl(struct file *f, u32 cmd, u64 arg)
{
    struct sock *sk = f->priv;
    s64 r = sk->ops->ioctl ? sk->ops->ioctl(sk, cmd, arg) : -LX_ENOIOCTLCMD;
    return r == -LX_ENOIOCTLCMD ? net_ioctl(sk, cmd, arg) : r;
}

static int sock_fop_mmap(struct file *f, u32 prot, u32 flags)
{
    struct sock *sk = f->priv;
    return sk->ops->host_fd ? 0 : -LX_ENODEV;
}

static int sock_fop_host_fd(struct file *f, u64 offset, u64 size, bool is_writable_shared,
                            int *ret_fd, u64 *ret_offset)
{
    struct sock *sk = f->priv;
    return sk->ops->host_fd
               ? sk->ops->host_fd(sk, offset, size, is_writable_shared, ret_fd, ret_offset)
               : -LX_ENODEV;
}

static int sock_fop_vma_opened(struct file *f, bool is_writable_shared)
{
    struct sock *sk = f->priv;
    if (sk->ops->mapped)
        sk->ops->mapped(sk, true);
    return 0;
}

static void sock_fop_vma_closed(struct file *f, bool is_writable_shared)
{
    struct sock *sk = f->priv;
    if (sk->ops->mapped)
        sk->ops->mapped(sk, false);
}

static void sock_fop_release(struct file *f)
{
    struct sock *sk = f->priv;
    sock_set_flag(sk, SKF_DEAD, true);
    mutex_lock(&sk->lock);
    sk->file = NULL;
    mutex_unlock(&sk->lock);
    sk->ops->release(sk);
    sock_put(sk);
    scm_drain();
}

static const struct file_ops sock_fops = {
    .read = sock_fop_read,
    .write = sock_fop_write,
    .poll = sock_fop_poll,
    .pollq = sock_fop_pollq,
    .ioctl = sock_fop_ioctl,
    .mmap = sock_fop_mmap,
    .host_fd = sock_fop_host_fd,
    .vma_opened = sock_fop_vma_opened,
    .vma_closed = sock_fop_vma_closed,
    .release = sock_fop_release,
};
