/*
 * Messages through host sockets. A guest's bytes go by way of this thread's bounce buffer, a
 * stream's in pieces of its size. Ancillary data is copied entry by entry, those of the lists
 * below.
 *
 * Differs from Linux: MSG_ZEROCOPY copies and MSG_FASTOPEN is refused, as where they are off; a
 * stream's bytes that cannot be copied to the guest (EFAULT) are gone; one peek sees at most as
 * much as the bounce buffer holds.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "net/host/host.h"

#define CONTROL_MAX 2048U

#define SEND_FLAGS (LX_MSG_OOB | LX_MSG_DONTROUTE | LX_MSG_CONFIRM | LX_MSG_MORE | LX_MSG_EOR)
#define RECV_FLAGS (LX_MSG_OOB | LX_MSG_PEEK | LX_MSG_TRUNC | LX_MSG_ERRQUEUE)

struct cmsg_kind {
    s32 level, type;
};

/* A guest's, on the way out. */
static const struct cmsg_kind sent[] = {
    {LX_SOL_SOCKET, LX_SO_TIMESTAMPING_OLD},
    {LX_SOL_SOCKET, LX_SO_PRIORITY},
    {LX_IPPROTO_IP, LX_IP_PKTINFO},
    {LX_IPPROTO_IP, LX_IP_TTL},
    {LX_IPPROTO_IP, LX_IP_TOS},
    {LX_IPPROTO_IPV6, LX_IPV6_PKTINFO},
    {LX_IPPROTO_IPV6, LX_IPV6_HOPLIMIT},
    {LX_IPPROTO_IPV6, LX_IPV6_TCLASS},
    {LX_IPPROTO_IPV6, LX_IPV6_DONTFRAG},
    {LX_IPPROTO_UDP, LX_UDP_SEGMENT},
};

/* The host's, on the way in. */
static const struct cmsg_kind received[] = {
    {LX_SOL_SOCKET, LX_SO_TIMESTAMP_OLD},
    {LX_SOL_SOCKET, LX_SO_TIMESTAMP_NEW},
    {LX_SOL_SOCKET, LX_SO_TIMESTAMPNS_OLD},
    {LX_SOL_SOCKET, LX_SO_TIMESTAMPNS_NEW},
    {LX_SOL_SOCKET, LX_SO_TIMESTAMPING_OLD},
    {LX_SOL_SOCKET, LX_SO_TIMESTAMPING_NEW},
    {LX_SOL_SOCKET, LX_SO_RXQ_OVFL},
    {LX_IPPROTO_IP, LX_IP_PKTINFO},
    {LX_IPPROTO_IP, LX_IP_TTL},
    {LX_IPPROTO_IP, LX_IP_TOS},
    {LX_IPPROTO_IP, LX_IP_RECVERR},
    {LX_IPPROTO_IP, LX_IP_ORIGDSTADDR},
    {LX_IPPROTO_IPV6, LX_IPV6_PKTINFO},
    {LX_IPPROTO_IPV6, LX_IPV6_HOPLIMIT},
    {LX_IPPROTO_IPV6, LX_IPV6_TCLASS},
    {LX_IPPROTO_IPV6, LX_IPV6_RECVERR},
    {LX_IPPROTO_IPV6, LX_IPV6_ORIGDSTADDR},
    {LX_IPPROTO_IPV6, LX_IPV6_PATHMTU},
    {LX_IPPROTO_UDP, LX_UDP_GRO},
    {LX_IPPROTO_TCP, LX_TCP_INQ},
};

static bool is_among(const struct cmsg_kind *kinds, size_t n, s32 level, s32 type)
{
    for (size_t i = 0; i < n; i++)
        if (kinds[i].level == level && kinds[i].type == type)
            return true;
    return false;
}

/* ---- sending ------------------------------------------------------------------------------- */

/*
 * The entries of a guest's control buffer that the host is to have; their size. What Linux's
 * internet families ignore is ignored: unknown levels, files and credentials. Unknown types of
 * known levels are LX_EINVAL.
 */
static s64 copy_control(const struct smsg *m, u8 *to)
{
    struct lx_cmsghdr h;
    const u8 *data;
    u32 off = 0, size, used = 0;
    int r;
    while ((r = cmsg_next(m->control, m->control_len, &off, &h, &data, &size)) > 0) {
        if (!is_among(sent, ARRAY_SIZE(sent), h.level, h.type)) {
            bool is_scm = h.level == LX_SOL_SOCKET &&
                          (h.type == LX_SCM_RIGHTS || h.type == LX_SCM_CREDENTIALS);
            if (!is_scm && (h.level == LX_SOL_SOCKET || h.level == LX_IPPROTO_IP ||
                            h.level == LX_IPPROTO_IPV6 || h.level == LX_IPPROTO_UDP))
                return -LX_EINVAL;
            continue;
        }
        if (CMSG_SPACE_OF(size) > CONTROL_MAX - used)
            return -LX_ENOBUFS;
        h.len = CMSG_HDR_SIZE + size;
        memcpy(to + used, &h, sizeof(h));
        memcpy(to + used + CMSG_HDR_SIZE, data, size);
        used += (u32)CMSG_SPACE_OF(size);
    }
    return r < 0 ? r : used;
}

struct send_arg {
    struct msghdr hdr;
    int flags;
};

static s64 try_send(struct host_sock *h, void *arg)
{
    struct send_arg *a = arg;
    ssize_t n = sendmsg(h->fd, &a->hdr, a->flags);
    return n < 0 ? (errno == EINTR ? -LX_EAGAIN : -errno) : n;
}

/* A piece that was copied in; *ret_done of it went. 0 or an error. */
static int send_piece(struct host_sock *h, struct send_arg *a, u8 *buf, u64 size, s64 deadline_ns,
                      u64 *ret_done)
{
    struct iovec iov;
    *ret_done = 0;
    a->hdr.msg_iov = &iov;
    a->hdr.msg_iovlen = 1;
    do {
        iov = (struct iovec){buf + *ret_done, size - *ret_done};
        s64 n = host_retry(h, WAIT_OUT, deadline_ns, try_send, a);
        if (n < 0)
            return (int)n;
        *ret_done += (u64)n;
        a->hdr.msg_control = NULL; /* was said with the first bytes */
        a->hdr.msg_controllen = 0;
        if (deadline_ns == 0)
            break; /* a short write says that the buffer is full */
    } while (*ret_done < size);
    return 0;
}

s64 host_sendmsg(struct sock *sk, struct smsg *m)
{
    struct host_sock *h = host_sk(sk);
    bool is_stream = sk->type == LX_SOCK_STREAM, is_nonblock = m->flags & LX_MSG_DONTWAIT;
    u8 control[CONTROL_MAX] __attribute__((aligned(8)));
    size_t room;
    u8 *buf = uio_bounce(&room);
    s64 done = 0, deadline = sock_send_deadline(sk, is_nonblock);
    u32 flags = m->flags & SEND_FLAGS;
    struct send_arg a = {
        .hdr = {.msg_name = m->name_len ? m->name : NULL, .msg_namelen = m->name_len}};
    if (m->flags & LX_MSG_FASTOPEN)
        return -LX_EOPNOTSUPP;
    if (!is_stream && m->uio->left > room)
        return -LX_EMSGSIZE;
    if (m->control_len) {
        s64 n = copy_control(m, control);
        if (n < 0)
            return n;
        a.hdr.msg_control = n ? control : NULL;
        a.hdr.msg_controllen = (size_t)n;
    }
    do {
        u64 part = MIN((u64)m->uio->left, (u64)room), went;
        s64 got = part ? uio_copy_from(m->uio, buf, part) : 0;
        if (got < 0 || (!is_stream && (u64)got < part))
            return done ? done : -LX_EFAULT;
        bool is_more = is_stream && m->uio->left > 0 && (u64)got == part;
        a.flags = (int)(flags | MSG_DONTWAIT | MSG_NOSIGNAL | (is_more ? MSG_MORE : 0));
        int r = send_piece(h, &a, buf, (u64)got, deadline, &went);
        done += (s64)went;
        if (r < 0 && done == 0)
            return r == -LX_EPIPE && is_stream ? sock_epipe(m) : r;
        if (r < 0 || went < (u64)got || (u64)got < part)
            break;
    } while (m->uio->left > 0);
    return done;
}

/* ---- receiving ----------------------------------------------------------------------------- */

struct recv_arg {
    struct msghdr hdr;
    struct iovec iov;
    union saddr *name;
    u8 *control;
    int flags;
    bool is_waiting;
    u32 want; /* bytes before it is worth to return: SO_RCVLOWAT, or a whole peek; 0: any */
};

/* Are there fewer bytes than are wanted, and more to come? */
static bool is_too_early(struct host_sock *h, const struct recv_arg *a)
{
    int n = 0;
    struct pollfd p = {h->fd, (short)WAIT_RDHUP, 0};
    return a->want > 1 && ioctl(h->fd, LX_FIONREAD, &n) == 0 && (u32)n < a->want &&
           poll(&p, 1, 0) == 0;
}

static s64 try_recv(struct host_sock *h, void *arg)
{
    struct recv_arg *a = arg;
    if (is_too_early(h, a))
        return -LX_EAGAIN;
    a->hdr = (struct msghdr){
        .msg_name = a->name,
        .msg_namelen = a->name ? sizeof(*a->name) : 0,
        .msg_iov = &a->iov,
        .msg_iovlen = 1,
        .msg_control = a->control,
        .msg_controllen = a->control ? CONTROL_MAX : 0,
    };
    ssize_t n = recvmsg(h->fd, &a->hdr, a->flags);
    /* A datagram socket that is shut down looks empty to who does not wait, and at its end to who
     * does. */
    if (n < 0 && errno == EAGAIN && a->is_waiting && h->sk.type == LX_SOCK_DGRAM &&
        sock_shut(&h->sk) & SHUT_RCV)
        return 0;
    return n < 0 ? (errno == EINTR ? -LX_EAGAIN : -errno) : n;
}

/* What came beside the bytes. */
static void report(struct smsg *m, const struct recv_arg *a)
{
    m->ret_flags = (u32)a->hdr.msg_flags &
                   (LX_MSG_TRUNC | LX_MSG_OOB | LX_MSG_EOR | LX_MSG_ERRQUEUE | LX_MSG_CTRUNC);
    if (a->name)
        m->name_len = MIN((u32)a->hdr.msg_namelen, (u32)sizeof(*a->name));
    u32 off = 0, size;
    struct lx_cmsghdr h;
    const u8 *data;
    u32 len = a->control ? MIN((u32)a->hdr.msg_controllen, CONTROL_MAX) : 0;
    while (cmsg_next(a->control, len, &off, &h, &data, &size) > 0)
        if (is_among(received, ARRAY_SIZE(received), h.level, h.type))
            cmsg_put(m->cmsg, h.level, h.type, data, size);
}

s64 host_recvmsg(struct sock *sk, struct smsg *m)
{
    struct host_sock *h = host_sk(sk);
    bool is_stream = sk->type == LX_SOCK_STREAM, is_peek = m->flags & LX_MSG_PEEK;
    bool is_nonblock = m->flags & (LX_MSG_DONTWAIT | LX_MSG_ERRQUEUE);
    bool is_all = is_stream && m->flags & LX_MSG_WAITALL && !is_nonblock;
    u8 control[CONTROL_MAX] __attribute__((aligned(8)));
    size_t room;
    u8 *buf = uio_bounce(&room);
    s64 done = 0, deadline = sock_recv_deadline(sk, is_nonblock);
    struct recv_arg a = {.name = m->name,
                         .control = m->cmsg->buf ? control : NULL,
                         .is_waiting = !is_nonblock,
                         .flags = (int)((m->flags & RECV_FLAGS) | MSG_DONTWAIT)};
    int e = sock_error(sk); /* of recvmmsg */
    if (e < 0)
        return e;
    for (;;) {
        u64 part = MIN((u64)m->uio->left, (u64)room);
        a.iov = (struct iovec){buf, part};
        if (is_stream && deadline != 0 && !(m->flags & LX_MSG_OOB))
            a.want = is_all && is_peek ? (u32)part : (u32)MIN((u64)sk->rcvlowat, part);
        s64 n = host_retry(h, m->flags & LX_MSG_OOB ? WAIT_PRI : WAIT_IN, deadline, try_recv, &a);
        if (n < 0)
            return done ? done : n;
        if (done == 0)
            report(m, &a);
        u64 got = MIN((u64)n, part);
        if (is_stream && m->flags & LX_MSG_TRUNC) { /* discarded, not copied */
            uio_advance(m->uio, got);
        } else if (got && uio_copy_to(m->uio, buf, got) != (s64)got) {
            return done ? done : -LX_EFAULT;
        }
        done += n;
        if (n == 0 || m->uio->left == 0 || !is_stream || m->flags & (LX_MSG_PEEK | LX_MSG_OOB))
            return done;
        if (!is_all && (u64)n < part)
            return done;
        if (!is_all) {
            deadline = 0; /* a full buffer: there may be more at hand */
            a.want = 0;
        }
    }
}
