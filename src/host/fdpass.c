/* See fdpass.h. */
#include "host/fdpass.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "abi/errno.h"

union fd_control {
    struct cmsghdr align;
    char buf[CMSG_SPACE(sizeof(int) * FDPASS_MAX)];
};

int host_seqpacket_pair(int ret_fds[2])
{
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ret_fds) < 0 ? -errno : 0;
}

int host_send_fds(int sock, const void *buf, size_t size, const int *fds, u32 nfds)
{
    if (nfds == 0) {
        for (;;) {
            ssize_t r = send(sock, buf, size, MSG_NOSIGNAL);
            if (r >= 0)
                return 0;
            if (errno != EINTR)
                return -errno;
        }
    }
    if (nfds > FDPASS_MAX)
        return -LX_EINVAL;
    union fd_control control;
    struct iovec iov = {(void *)(uintptr_t)buf, size};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.buf};
    memset(&control, 0, sizeof(control));
    m.msg_controllen = CMSG_SPACE(sizeof(int) * nfds);
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int) * nfds);
    memcpy(CMSG_DATA(c), fds, sizeof(int) * nfds);
    for (;;) {
        if (sendmsg(sock, &m, MSG_NOSIGNAL) >= 0)
            return 0;
        if (errno != EINTR)
            return -errno;
    }
}

/* Takes at most max_fds out of the control message; true when all of them fitted. */
static bool take_fds(struct msghdr *m, int *ret_fds, u32 max_fds, u32 *ret_nfds)
{
    bool is_ok = !(m->msg_flags & MSG_TRUNC);
    u32 n = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
            if (n < max_fds) {
                ret_fds[n++] = fd;
            } else {
                close(fd);
                is_ok = false;
            }
        }
    }
    /* MSG_CTRUNC: too many, or no room in our table; then none of them is of use. */
    if (!is_ok || (m->msg_flags & MSG_CTRUNC)) {
        while (n > 0)
            close(ret_fds[--n]);
    }
    *ret_nfds = n;
    return is_ok;
}

s64 host_recv_fds(int sock, void *buf, size_t size, int *ret_fds, u32 max_fds, u32 *ret_nfds)
{
    union fd_control control;
    struct iovec iov = {buf, size};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.buf};
    *ret_nfds = 0;
    for (;;) {
        m.msg_controllen = sizeof(control.buf);
        ssize_t r = recvmsg(sock, &m, MSG_CMSG_CLOEXEC);
        if (r < 0) {
            if (errno == EINTR)
                continue;
            return -errno;
        }
        if (!take_fds(&m, ret_fds, max_fds, ret_nfds))
            return -LX_EMSGSIZE;
        return r;
    }
}

void host_shutdown(int sock)
{
    shutdown(sock, SHUT_RDWR);
}
