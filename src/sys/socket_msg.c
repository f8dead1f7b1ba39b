/*
 * Handlers of the socket calls that move data. Each builds a struct smsg from what the guest
 * says, once, and hands it to sock_sendmsg or sock_recvmsg.
 */
#include <stdlib.h>

#include "sys/socket.h"

#define MAX_IOV        1024U
#define MAX_MMSG       1024U
#define CONTROL_INLINE 512U

struct lx_timespec {
    s64 sec, nsec;
};

s64 sys_sendto(struct task *t, const u64 a[6])
{
    struct file *f cleanup(file_put_p) = NULL;
    struct sock *sk;
    struct uio uio;
    union saddr name;
    struct smsg m = {.uio = &uio, .flags = (u32)a[3]};
    int r = socket_of_fd((int)a[0], &f, &sk);
    if (r == 0 && a[4]) {
        r = sockaddr_in_from_user(a[4], a[5], &name, &m.name_len);
        m.name = &name;
    }
    if (r < 0)
        return r;
    if (file_is_nonblock(f))
        m.flags |= LX_MSG_DONTWAIT;
    uio_init_user(&uio, uaddr(a[1]), MIN(a[2], MAX_RW_COUNT));
    s64 n = sock_sendmsg(sk, &m);
    uio_done(&uio);
    return n;
}

s64 sys_recvfrom(struct task *t, const u64 a[6])
{
    struct file *f cleanup(file_put_p) = NULL;
    struct sock *sk;
    struct uio uio;
    union saddr name;
    struct cmsg_out none = {0};
    struct smsg m = {.uio = &uio, .cmsg = &none, .flags = (u32)a[3]};
    int r = socket_of_fd((int)a[0], &f, &sk);
    if (r < 0)
        return r;
    if (a[4])
        m.name = &name;
    if (file_is_nonblock(f))
        m.flags |= LX_MSG_DONTWAIT;
    uio_init_user(&uio, uaddr(a[1]), MIN(a[2], MAX_RW_COUNT));
    s64 n = sock_recvmsg(sk, &m);
    uio_done(&uio);
    if (n >= 0 && a[4]) {
        r = sockaddr_to_user(&name, m.name_len, a[4], a[5]);
        if (r < 0)
            n = r;
    }
    return n;
}

/* Reads a msghdr and makes the uio of its vector. *ret_name_room: capped namelen. */
static int read_msghdr(u64 addr, struct lx_msghdr *h, struct uio *uio)
{
    int r = copy_in(h, uaddr(addr), sizeof(*h));
    if (r < 0)
        return r;
    if (!h->name)
        h->namelen = 0;
    if ((s32)h->namelen < 0)
        return -LX_EINVAL;
    if (h->namelen > sizeof(union saddr))
        h->namelen = sizeof(union saddr);
    if (h->iovlen > MAX_IOV)
        return -LX_EMSGSIZE;
    return uio_init_iovec(uio, uaddr(h->iov), h->iovlen);
}

static s64 send_one(struct file *f, struct sock *sk, u64 hdr_addr, u32 flags)
{
    struct lx_msghdr h;
    struct uio uio;
    union saddr name;
    u8 small[CONTROL_INLINE], *big = NULL;
    struct smsg m = {.uio = &uio, .flags = flags};
    s64 n = read_msghdr(hdr_addr, &h, &uio);
    if (n < 0)
        return n;
    if (h.namelen) {
        n = sockaddr_in_from_user(h.name, h.namelen, &name, &m.name_len);
        m.name = &name;
    }
    if (n == 0 && h.controllen > SCM_CONTROL_MAX)
        n = -LX_ENOBUFS;
    if (n == 0 && h.controllen) {
        u8 *buf = h.controllen <= sizeof(small) ? small : (big = malloc(h.controllen));
        n = buf ? copy_in(buf, uaddr(h.control), h.controllen) : -LX_ENOBUFS;
        m.control = buf;
        m.control_len = (u32)h.controllen;
    }
    if (n == 0) {
        if (file_is_nonblock(f))
            m.flags |= LX_MSG_DONTWAIT;
        n = sock_sendmsg(sk, &m);
    }
    free(big);
    uio_done(&uio);
    return n;
}

s64 sys_sendmsg(struct task *t, const u64 a[6])
{
    struct file *f cleanup(file_put_p) = NULL;
    struct sock *sk;
    int r = socket_of_fd((int)a[0], &f, &sk);
    return r < 0 ? r : send_one(f, sk, a[1], (u32)a[2]);
}

s64 sys_sendmmsg(struct task *t, const u64 a[6])
{
    struct file *f cleanup(file_put_p) = NULL;
    struct sock *sk;
    u32 count = MIN((u32)a[2], MAX_MMSG), done = 0;
    int r = socket_of_fd((int)a[0], &f, &sk);
    if (r < 0)
        return r;
    for (; done < count; done++) {
        u64 at = a[1] + done * sizeof(struct lx_mmsghdr);
        s64 n = send_one(f, sk, at, (u32)a[3]);
        if (n < 0)
            return done ? done : n;
        r = put_user((u32)n, uaddr(at + offsetof(struct lx_mmsghdr, len)));
        if (r < 0)
            return done ? done : r;
    }
    return done;
}

/* Everything but the data goes back to the guest's header. */
static int write_back(u64 hdr_addr, const struct lx_msghdr *h, const struct smsg *m)
{
    const struct cmsg_out *c = m->cmsg;
    int r = 0;
    if (h->name) {
        u32 n = MIN(h->namelen, m->name_len);
        if (n)
            r = copy_out(uaddr(h->name), m->name, n);
        if (r == 0)
            r = put_user(m->name_len, uaddr(hdr_addr + offsetof(struct lx_msghdr, namelen)));
    }
    if (r == 0 && c->used)
        r = copy_out(uaddr(h->control), c->buf, c->used);
    u32 flags = m->ret_flags | c->flags | (m->flags & LX_MSG_CMSG_CLOEXEC);
    if (r == 0)
        r = put_user(flags, uaddr(hdr_addr + offsetof(struct lx_msghdr, flags)));
    if (r == 0)
        r = put_user((u64)c->used, uaddr(hdr_addr + offsetof(struct lx_msghdr, controllen)));
    return r;
}

static s64 recv_one(struct file *f, struct sock *sk, u64 hdr_addr, u32 flags)
{
    struct lx_msghdr h;
    struct uio uio;
    union saddr name;
    u8 small[CONTROL_INLINE], *big = NULL;
    struct cmsg_out cmsg = {.is_cloexec = flags & LX_MSG_CMSG_CLOEXEC};
    struct smsg m = {.uio = &uio, .cmsg = &cmsg, .flags = flags};
    s64 n = read_msghdr(hdr_addr, &h, &uio);
    if (n < 0)
        return n;
    if (h.name)
        m.name = &name;
    if (h.control && h.controllen) {
        cmsg.size = (u32)MIN(h.controllen, (u64)CMSG_OUT_MAX);
        cmsg.buf = cmsg.size <= sizeof(small) ? small : (big = malloc(cmsg.size));
        if (!cmsg.buf)
            n = -LX_ENOBUFS;
    }
    if (n == 0) {
        if (file_is_nonblock(f))
            m.flags |= LX_MSG_DONTWAIT;
        n = sock_recvmsg(sk, &m);
    }
    if (n >= 0) {
        int r = write_back(hdr_addr, &h, &m);
        if (r < 0)
            n = r;
    }
    free(big);
    uio_done(&uio);
    return n;
}

s64 sys_recvmsg(struct task *t, const u64 a[6])
{
    struct file *f cleanup(file_put_p) = NULL;
    struct sock *sk;
    int r = socket_of_fd((int)a[0], &f, &sk);
    return r < 0 ? r : recv_one(f, sk, a[1], (u32)a[2]);
}

/* recvmmsg's timeout: the deadline, looked at only between messages as on Linux. */
static int read_deadline(u64 addr, s64 *ret_ns)
{
    struct lx_timespec ts;
    *ret_ns = NO_DEADLINE;
    if (!addr)
        return 0;
    int r = copy_in(&ts, uaddr(addr), sizeof(ts));
    if (r < 0)
        return r;
    if (ts.sec < 0 || ts.nsec < 0 || ts.nsec >= NSEC_PER_SEC)
        return -LX_EINVAL;
    if (ts.sec < INT64_MAX / NSEC_PER_SEC - 1)
        *ret_ns = deadline_after_ns(ts.sec * NSEC_PER_SEC + ts.nsec);
    return 0;
}

static int write_remaining(u64 addr, s64 deadline_ns)
{
    if (!addr || deadline_ns == NO_DEADLINE)
        return 0;
    s64 left = MAX(deadline_ns - clock_mono_ns(), (s64)0);
    struct lx_timespec ts = {left / NSEC_PER_SEC, left % NSEC_PER_SEC};
    return copy_out(uaddr(addr), &ts, sizeof(ts));
}

s64 sys_recvmmsg(struct task *t, const u64 a[6])
{
    struct file *f cleanup(file_put_p) = NULL;
    struct sock *sk;
    u32 count = (u32)a[2], flags = (u32)a[3], done = 0;
    s64 deadline, n = 0;
    int r = read_deadline(a[4], &deadline);
    if (r == 0)
        r = socket_of_fd((int)a[0], &f, &sk);
    if (r == 0)
        r = sock_error(sk);
    if (r < 0)
        return r;
    while (done < count) {
        u64 at = a[1] + done * sizeof(struct lx_mmsghdr);
        n = recv_one(f, sk, at, flags & ~(u32)LX_MSG_WAITFORONE);
        if (n >= 0)
            n = put_user((u32)n, uaddr(at + offsetof(struct lx_mmsghdr, len)));
        if (n < 0)
            break;
        done++;
        if (flags & LX_MSG_WAITFORONE)
            flags |= LX_MSG_DONTWAIT;
        if (clock_mono_ns() >= deadline)
            break;
    }
    r = write_remaining(a[4], deadline);
    if (r < 0)
        return r;
    if (!done)
        return n;
    if (n < 0 && n != -LX_EAGAIN) /* the next call reports it */
        atomic_store(&sk->err, (s32)-n);
    return done;
}
