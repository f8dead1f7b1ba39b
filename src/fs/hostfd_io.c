/* Host I/O without blocking; waiting for it is hostwatch.h's. */
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "abi/signal.h"
#include "fs/hostfd_int.h"

#define TTY_WRITE_MAX 1024U /* a terminal that polls writable takes this much without waiting */

/* ---- single tries -------------------------------------------------------------------------- */

u32 host_poll_now(struct hostfd *h, u32 events)
{
    struct pollfd p = {h->fd, (short)events, 0};
    if (h->kind == HOSTFD_REG || h->kind == HOSTFD_CHR)
        return events & (WAIT_IN | WAIT_OUT | WAIT_RDNORM | WAIT_WRNORM);
    return poll(&p, 1, 0) > 0 ? (u32)(u16)p.revents : 0;
}

static s64 result(ssize_t n)
{
    if (n >= 0)
        return n;
    return errno == EINTR ? -LX_EAGAIN : -errno; /* host errnos are the ABI's */
}

/* Asks first; another reader of the same description may still get there before us. */
static s64 read_after_poll(struct hostfd *h, void *buf, size_t size)
{
    if (!(host_poll_now(h, WAIT_IN) & (WAIT_IN | WAIT_HUP | WAIT_ERR)))
        return -LX_EAGAIN;
    return result(read(h->fd, buf, size));
}

static s64 write_after_poll(struct hostfd *h, const void *buf, size_t size)
{
    if (!(host_poll_now(h, WAIT_OUT) & (WAIT_OUT | WAIT_ERR)))
        return -LX_EAGAIN;
    size_t max = h->kind == HOSTFD_TTY ? TTY_WRITE_MAX : LX_PIPE_BUF;
    return result(write(h->fd, buf, MIN(size, max)));
}

s64 host_try_read(struct hostfd *h, void *buf, size_t size, s64 off)
{
    struct iovec v = {buf, size};
    switch (h->kind) {
    case HOSTFD_REG:
        return result(off < 0 ? read(h->fd, buf, size) : pread(h->fd, buf, size, off));
    case HOSTFD_CHR:
        return result(read(h->fd, buf, size));
    case HOSTFD_SOCK:
        return result(recv(h->fd, buf, size, MSG_DONTWAIT));
    case HOSTFD_PIPE:
        if (!h->is_nowait_off) {
            s64 n = result(preadv2(h->fd, &v, 1, -1, RWF_NOWAIT));
            if (n != -LX_EOPNOTSUPP)
                return n;
            h->is_nowait_off = true;
        }
        return read_after_poll(h, buf, size);
    case HOSTFD_TTY:
        return read_after_poll(h, buf, size);
    }
    return -LX_EIO;
}

s64 host_try_write(struct hostfd *h, const void *buf, size_t size, s64 off)
{
    struct iovec v = {(void *)(uintptr_t)buf, size};
    switch (h->kind) {
    case HOSTFD_REG:
        return result(off < 0 ? write(h->fd, buf, size) : pwrite(h->fd, buf, size, off));
    case HOSTFD_CHR:
        return result(write(h->fd, buf, size));
    case HOSTFD_SOCK:
        return result(send(h->fd, buf, size, MSG_DONTWAIT | MSG_NOSIGNAL));
    case HOSTFD_PIPE:
        if (!h->is_nowait_off) {
            s64 n = result(pwritev2(h->fd, &v, 1, -1, RWF_NOWAIT));
            if (n != -LX_EOPNOTSUPP)
                return n;
            h->is_nowait_off = true;
        }
        return write_after_poll(h, buf, size);
    case HOSTFD_TTY:
        return write_after_poll(h, buf, size);
    }
    return -LX_EIO;
}

/* ---- waiting ----------------------------------------------------------------------------------- */

void hostfd_arm(struct hostfd *h)
{
    if (h->kind != HOSTFD_REG && h->kind != HOSTFD_CHR)
        hostwatch_arm(&h->watch);
}

int hostfd_wait(struct hostfd *h, u32 events, s64 deadline_ns)
{
    struct waiter w;
    int r = 0;
    u32 wanted = events | WAIT_HUP | WAIT_ERR;
    waiter_init_thread(&w, wanted | WAIT_RDNORM | WAIT_WRNORM);
    waitq_add(&h->wait, &w);
    hostfd_arm(h);
    while (!(host_poll_now(h, events) & wanted) && r == 0)
        r = park_interruptible(deadline_ns);
    waitq_del(&h->wait, &w);
    return r;
}

/* ---- whole reads and writes ---------------------------------------------------------------- */

s64 hostfd_read_uio(struct hostfd *h, struct uio *to, s64 *off, bool is_nonblock)
{
    size_t room;
    u8 *buf = uio_bounce(&room);
    s64 done = 0;
    while (to->left > 0) {
        size_t part = MIN((size_t)to->left, room);
        s64 n = host_try_read(h, buf, part, off ? *off : -1);
        if (n == -LX_EAGAIN && done == 0 && !is_nonblock) {
            int r = hostfd_wait(h, WAIT_IN, NO_DEADLINE);
            if (r < 0)
                return r;
            continue;
        }
        if (n <= 0)
            return done ? done : n;
        s64 copied = uio_copy_to(to, buf, (u64)n);
        if (copied > 0) {
            done += copied;
            if (off)
                *off += copied;
        }
        if (copied != n)
            return done ? done : -LX_EFAULT;
        if ((size_t)n < part || h->kind != HOSTFD_REG)
            break;
    }
    /* An edge-triggered watcher may sleep now: the next bytes must wake it. */
    if (atomic_load(&h->wait.nwaiters) > 0)
        hostfd_arm(h);
    return done;
}

static void raise_sigpipe(void)
{
    if (vfs_current && vfs_current->send_signal)
        vfs_current->send_signal(LX_SIGPIPE);
}

/* Writes what was copied in; *ret_done: bytes written. 0 or an error. */
static int write_piece(struct hostfd *h, const u8 *buf, u64 size, s64 *off, bool is_nonblock,
                       u64 *ret_done)
{
    *ret_done = 0;
    while (*ret_done < size) {
        s64 n = host_try_write(h, buf + *ret_done, size - *ret_done, off ? *off : -1);
        if (n > 0) {
            *ret_done += (u64)n;
            if (off)
                *off += n;
            continue;
        }
        if (n == -LX_EPIPE)
            raise_sigpipe();
        if (n < 0 && (n != -LX_EAGAIN || is_nonblock))
            return (int)n;
        int r = hostfd_wait(h, WAIT_OUT, NO_DEADLINE);
        if (r < 0)
            return r;
    }
    return 0;
}

s64 hostfd_write_uio(struct hostfd *h, struct uio *from, s64 *off, bool is_nonblock)
{
    size_t room;
    u8 *buf = uio_bounce(&room);
    s64 done = 0;
    while (from->left > 0) {
        u64 part = MIN((u64)from->left, (u64)room), sent;
        s64 got = uio_copy_from(from, buf, part);
        if (got <= 0)
            return done ? done : -LX_EFAULT;
        int r = write_piece(h, buf, (u64)got, off, is_nonblock, &sent);
        done += (s64)sent;
        if (r < 0)
            return done ? done : r;
    }
    return done;
}
