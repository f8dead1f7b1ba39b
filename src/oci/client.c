/* See client.h. */
#include "oci/client.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "host/fdpass.h"

/* By way of the directory's descriptor: a socket's own path may be no longer than 107 bytes. */
static void address(const struct oci_state *s, struct sockaddr_un *a)
{
    *a = (struct sockaddr_un){.sun_family = AF_UNIX};
    snprintf(a->sun_path, sizeof(a->sun_path), "/proc/self/fd/%d/control",
             s->pod ? s->sandbox_dir : s->dir);
}

int client_listen(const struct oci_state *s, struct err *e)
{
    struct sockaddr_un a;
    address(s, &a);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_errno(e, "cannot make the control socket");
    if (bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(fd, 64) < 0) {
        err_errno(e, "cannot listen on the control socket");
        close(fd);
        return -1;
    }
    return fd;
}

int client_connect(const struct oci_state *s, struct err *e)
{
    struct sockaddr_un a;
    address(s, &a);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_errno(e, "cannot make a socket");
    /* A sentry that has been stopped accepts nobody: its queue may be full. */
    struct timeval patience = {.tv_sec = CLIENT_QUICK_MS / 1000};
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0) {
        err_errno(e, "cannot reach the container's sentry");
        close(fd);
        return -1;
    }
    return fd;
}

int client_send(int fd, u32 type, s32 a, s32 b, const char *id, const int *fds, u32 nfds,
                struct err *e)
{
    u8 buf[CTL_MAX_ID + 64];
    struct ctl_msg m = {.type = type, .a = a, .b = b, .id = {id, id ? (u32)strlen(id) : 0}};
    size_t n = ctl_encode(&m, buf, sizeof(buf));
    int r = n > 0 ? host_send_fds(fd, buf, n, fds, nfds) : -LX_EMSGSIZE;
    if (r < 0) {
        errno = -r;
        return err_errno(e, "cannot talk to the container's sentry");
    }
    return 0;
}

int client_send_data(int fd, u32 type, const void *data, size_t size, const char *id, struct err *e)
{
    u8 buf[CTL_MAX_ID + 1024];
    struct ctl_msg m = {.type = type, .id = {id, (u32)strlen(id)}, .data = {data, (u32)size}};
    size_t n = ctl_encode(&m, buf, sizeof(buf));
    int r = n > 0 ? host_send_fds(fd, buf, n, NULL, 0) : -LX_EMSGSIZE;
    if (r < 0) {
        errno = -r;
        return err_errno(e, "cannot talk to the container's sentry");
    }
    return 0;
}

int client_receive(int fd, int timeout_ms, struct ctl_reply *ret, struct err *e)
{
    struct pollfd p = {fd, POLLIN, 0};
    int n;
    u32 nfds;
    ret->is_timeout = false;
    while ((n = poll(&p, 1, timeout_ms)) < 0 && errno == EINTR)
        ;
    if (n == 0) {
        ret->is_timeout = true;
        return err_set(e, "the container's sentry does not answer");
    }
    s64 size = host_recv_fds(fd, ret->buf, sizeof(ret->buf), NULL, 0, &nfds);
    if (size <= 0)
        return err_set(e, "the sandbox has ended");
    if (!ctl_decode(ret->buf, (size_t)size, &ret->m))
        return err_set(e, "the container's sentry sent something malformed");
    if (ret->m.type != CTL_FAILED)
        return 0;
    err_set(e, "%s", ret->m.data.p);
    if (e)
        e->status = ret->m.b;
    return -1;
}

int client_request(const struct oci_state *s, u32 type, s32 a, s32 b, int timeout_ms,
                   struct ctl_reply *ret, struct err *e)
{
    ret->is_timeout = false;
    int fd = client_connect(s, e);
    if (fd < 0)
        return -1;
    int r = client_send(fd, type, a, b, s->id, NULL, 0, e);
    if (r == 0)
        r = client_receive(fd, timeout_ms, ret, e);
    close(fd);
    return r;
}
