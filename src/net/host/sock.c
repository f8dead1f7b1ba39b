/* Host sockets: making, names, connections, readiness. The theory is in host.h. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "abi/tty.h"
#include "net/host/host.h"
#include "net/netdev.h"

static const struct sock_ops host_ops;

/* ---- waiting ------------------------------------------------------------------------------- */

u32 host_poll(struct sock *sk)
{
    struct host_sock *h = host_sk(sk);
    struct pollfd p = {h->fd,
                       POLLIN | POLLOUT | POLLPRI | POLLRDNORM | POLLWRNORM | POLLRDBAND |
                           POLLWRBAND | (short)WAIT_RDHUP,
                       0};
    /* A caller that has queued itself relies on being woken: from now on. */
    hostwatch_arm_for_waiters(&h->watch);
    u32 r = poll(&p, 1, 0) > 0 ? (u32)(u16)p.revents : 0;
    return atomic_load_explicit(&sk->err, memory_order_relaxed) ? r | WAIT_ERR : r;
}

/*
 * What comes soon, as the answer of a peer on this machine does, finds the thread asleep in the
 * host itself: one wake and not two, the reactor's and ours. A signal has to wait for that long.
 */
#define SHORT_WAIT_NS 300000

static bool is_soon(struct host_sock *h, u32 events)
{
    struct pollfd p = {h->fd, (short)events, 0};
    struct timespec t = {0, SHORT_WAIT_NS};
    return ppoll(&p, 1, &t, NULL) > 0;
}

s64 host_retry(struct host_sock *h, u32 events, s64 deadline_ns, host_try_fn fn, void *arg)
{
    struct waiter w;
    s64 n = fn(h, arg);
    if (n != -LX_EAGAIN || deadline_ns == 0)
        return n;
    if (is_soon(h, events) && (n = fn(h, arg)) != -LX_EAGAIN)
        return n;
    waiter_init_thread(&w, events | WAIT_HUP | WAIT_ERR);
    waitq_add(&h->sk.wq, &w);
    hostwatch_arm(&h->watch);
    while ((n = fn(h, arg)) == -LX_EAGAIN) {
        int r = park_interruptible(deadline_ns);
        if (r < 0) {
            n = sock_wait_error(r, deadline_ns);
            break;
        }
    }
    waitq_del(&h->sk.wq, &w);
    return n;
}

static int result(int r)
{
    return r < 0 ? -errno : r; /* host errnos are the ABI's */
}

/* ---- making -------------------------------------------------------------------------------- */

/* Takes fd over, whatever comes. It has its place among the namespace's (hostnet_charge). */
static int wrap(struct net_ns *ns, int fd, u16 family, u16 type, s32 protocol, struct sock **ret_sk)
{
    struct host_sock *h = calloc(1, sizeof(*h));
    int r = h ? sock_init(&h->sk, &host_ops, ns, family, type, protocol) : -LX_ENOMEM;
    if (r < 0) {
        free(h);
        close(fd);
        hostnet_uncharge(ns->host);
        return r;
    }
    h->fd = fd;
    hostwatch_init(&h->watch, fd, &h->sk.wq);
    *ret_sk = &h->sk;
    return 0;
}

int host_sock_create(struct net_ns *ns, u16 family, s32 type, s32 protocol, struct sock **ret_sk)
{
    int r = hostnet_charge(ns->host);
    if (r < 0)
        return r;
    int fd = hostnet_socket(ns->host, family, type, protocol);
    if (fd < 0) {
        hostnet_uncharge(ns->host);
        return fd;
    }
    return wrap(ns, fd, family, (u16)type, protocol, ret_sk);
}

static void host_release(struct sock *sk)
{
}

static void host_destroy(struct sock *sk)
{
    struct host_sock *h = host_sk(sk);
    hostwatch_done(&h->watch);
    close(h->fd);
    hostnet_uncharge(sk->ns->host);
}

/* ---- names and connections ----------------------------------------------------------------- */

/*
 * The host decides who may have which port, without privilege; what it reserves is for those that
 * have the capability here, and taken by the broker, which has it there.
 */
static int host_bind(struct sock *sk, const union saddr *addr, u32 len)
{
    struct host_sock *h = host_sk(sk);
    int r = result(bind(h->fd, (const struct sockaddr *)addr, len));
    if (r == -LX_EACCES && net_capable(sk->ns, LX_CAP_NET_BIND_SERVICE))
        r = hostnet_bind(sk->ns->host, h->fd, addr, len);
    return r;
}

struct connect_arg {
    const union saddr *addr;
    u32 len;
};

/* While it is under way, the same call again says how it is, and at its end how it went. */
static s64 try_connect(struct host_sock *h, void *arg)
{
    struct connect_arg *c = arg;
    int r = result(connect(h->fd, (const struct sockaddr *)c->addr, c->len));
    return r == -LX_EINPROGRESS || r == -LX_EALREADY ? -LX_EAGAIN : r;
}

static int host_connect(struct sock *sk, const union saddr *addr, u32 len, bool is_nonblock)
{
    struct host_sock *h = host_sk(sk);
    struct connect_arg c = {addr, len};
    if (is_nonblock)
        return result(connect(h->fd, (const struct sockaddr *)addr, len));
    int r = (int)host_retry(h, WAIT_OUT, sock_send_deadline(sk, false), try_connect, &c);
    return r == -LX_EAGAIN ? -LX_EINPROGRESS : r;
}

static int host_listen(struct sock *sk, s32 backlog)
{
    return result(listen(host_sk(sk)->fd, backlog));
}

struct accept_arg {
    union saddr peer;
    u32 len;
};

static s64 try_accept(struct host_sock *h, void *arg)
{
    struct accept_arg *a = arg;
    a->len = sizeof(a->peer);
    return result(
        accept4(h->fd, (struct sockaddr *)&a->peer, &a->len, SOCK_NONBLOCK | SOCK_CLOEXEC));
}

static int host_accept(struct sock *sk, bool is_nonblock, struct sock **ret_child)
{
    struct host_sock *h = host_sk(sk);
    struct accept_arg from;
    int r = hostnet_charge(sk->ns->host);
    if (r < 0)
        return r;
    int fd = (int)host_retry(h, WAIT_IN, sock_recv_deadline(sk, is_nonblock), try_accept, &from);
    if (fd < 0) {
        hostnet_uncharge(sk->ns->host);
        return fd;
    }
    struct sock *child;
    r = wrap(sk->ns, fd, sk->family, sk->type, sk->protocol, &child);
    if (r < 0)
        return r;
    host_sk(child)->peer = from.peer;
    host_sk(child)->peer_len = MIN(from.len, (u32)sizeof(from.peer));
    child->rcvtimeo_ns = sk->rcvtimeo_ns;
    child->sndtimeo_ns = sk->sndtimeo_ns;
    child->linger_s = sk->linger_s;
    child->rcvlowat = sk->rcvlowat;
    sock_set_flag(child, SKF_LINGER, sock_has(sk, SKF_LINGER));
    *ret_child = child;
    return 0;
}

static int host_getname(struct sock *sk, union saddr *ret, u32 *ret_len)
{
    *ret_len = sizeof(*ret);
    return result(getsockname(host_sk(sk)->fd, (struct sockaddr *)ret, ret_len));
}

static int host_getpeer(struct sock *sk, union saddr *ret, u32 *ret_len)
{
    struct host_sock *h = host_sk(sk);
    if (h->peer_len && !atomic_load(&sk->ino)) { /* for accept, which tells it in any case */
        *ret = h->peer;
        *ret_len = h->peer_len;
        return 0;
    }
    *ret_len = sizeof(*ret);
    return result(getpeername(host_sk(sk)->fd, (struct sockaddr *)ret, ret_len));
}

static int host_shutdown_op(struct sock *sk, u32 how)
{
    int r = result(shutdown(host_sk(sk)->fd, (int)how - 1));
    if (r == 0 || r == -LX_ENOTCONN)
        atomic_fetch_or(&sk->shutdown, how); /* for a datagram socket that has no peer too */
    return r;
}

static s64 get_stamp(struct host_sock *h, u32 cmd, u64 arg)
{
    s64 v[2];
    return ioctl(h->fd, cmd, v) < 0 ? -errno : copy_out(uaddr(arg), v, sizeof(v));
}

static s64 host_ioctl(struct sock *sk, u32 cmd, u64 arg)
{
    int v = 0;
    switch (cmd) {
    case LX_SIOCATMARK:
    case LX_SIOCOUTQNSD:
        if (sk->type != LX_SOCK_STREAM)
            return -LX_ENOIOCTLCMD;
        break;
    case LX_FIONREAD:
    case LX_TIOCOUTQ:
        break;
    case LX_SIOCGSTAMP_OLD:
    case LX_SIOCGSTAMPNS_OLD:
        return get_stamp(host_sk(sk), cmd, arg);
    case LX_SIOCGSTAMP_NEW: /* the same layout here */
        return get_stamp(host_sk(sk), LX_SIOCGSTAMP_OLD, arg);
    case LX_SIOCGSTAMPNS_NEW:
        return get_stamp(host_sk(sk), LX_SIOCGSTAMPNS_OLD, arg);
    default:
        return -LX_ENOIOCTLCMD;
    }
    return ioctl(host_sk(sk)->fd, cmd, &v) < 0 ? -errno : put_user((s32)v, uaddr(arg));
}

static const struct sock_ops host_ops = {
    .name = "host",
    .is_host = true,
    .bind = host_bind,
    .connect = host_connect,
    .listen = host_listen,
    .accept = host_accept,
    .getname = host_getname,
    .getpeer = host_getpeer,
    .sendmsg = host_sendmsg,
    .recvmsg = host_recvmsg,
    .shutdown = host_shutdown_op,
    .setsockopt = host_setsockopt,
    .getsockopt = host_getsockopt,
    .poll = host_poll,
    .ioctl = host_ioctl,
    .release = host_release,
    .destroy = host_destroy,
};
