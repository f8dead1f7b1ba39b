/* Requests to the network broker. What it answers is checked as what comes from a guest is. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "host/fdpass.h"
#include "net/host/host.h"
#include "net/netlink/netlink.h"
#include "wire/netproto.h"

/* Sockets of a kind that came with another's: each request is for twice as many as the last. */
struct spares {
    s32 family, type, protocol;
    u32 asked, n;
    int fds[NETPROTO_MAX_SOCKETS];
};
#define KINDS 6 /* TCP, UDP and ping, of two families */

struct hostnet {
    struct mutex lock; /* one request at a time */
    int link;
    bool is_broken;              /* the broker is gone; guarded by lock */
    struct netproto_msg msg;     /* guarded by lock */
    struct spares spares[KINDS]; /* guarded by lock */
    u32 nkinds;
    u32 max_socks;
    _Atomic u32 nsocks;
};

int hostnet_new(int link, u32 max_socks, struct hostnet **ret)
{
    struct hostnet *h = calloc(1, sizeof(*h));
    if (!h)
        return -LX_ENOMEM;
    mutex_init(&h->lock, "hostnet");
    h->link = link;
    h->max_socks = max_socks;
    *ret = h;
    return 0;
}

void hostnet_free(struct hostnet *h)
{
    close(h->link);
    free(h);
}

int hostnet_charge(struct hostnet *h)
{
    if (atomic_fetch_add_explicit(&h->nsocks, 1, memory_order_relaxed) < h->max_socks)
        return 0;
    hostnet_uncharge(h);
    return -LX_ENFILE;
}

void hostnet_uncharge(struct hostnet *h)
{
    atomic_fetch_sub_explicit(&h->nsocks, 1, memory_order_relaxed);
}

static int send_request(struct hostnet *h, const struct netproto_head *head, const void *data,
                        int fd) REQUIRES(h->lock)
{
    if (h->is_broken)
        return -LX_EIO;
    h->msg.head = *head;
    if (head->size)
        memcpy(h->msg.data, data, head->size);
    return host_send_fds(h->link, &h->msg, netproto_size(&h->msg), &fd, fd >= 0);
}

/* One answer, into h->msg, with at most max descriptors: *ret_nfds. */
static int receive(struct hostnet *h, int *fds, u32 max, u32 *ret_nfds) REQUIRES(h->lock)
{
    u32 nfds;
    s64 n = host_recv_fds(h->link, &h->msg, sizeof(h->msg), fds, max, &nfds);
    bool is_good = n > 0 && netproto_is_whole(&h->msg, (size_t)n, NETPROTO_MAX_DATA) &&
                   h->msg.head.err <= 0 && h->msg.head.err > -4096;
    while (nfds > 0 && (!is_good || h->msg.head.err < 0))
        close(fds[--nfds]);
    *ret_nfds = nfds;
    return is_good ? 0 : -LX_EIO;
}

static void broken(struct hostnet *h, int err) REQUIRES(h->lock)
{
    if (!h->is_broken)
        log_error("the network broker does not answer: %d", err);
    h->is_broken = true;
}

/* Asks and gets at most max descriptors; 0, or the error that the answer says. */
static int ask_locked(struct hostnet *h, const struct netproto_head *head, const void *data, int fd,
                      int *fds, u32 max, u32 *ret_nfds) REQUIRES(h->lock)
{
    int r = send_request(h, head, data, fd);
    if (r == 0)
        r = receive(h, fds, max, ret_nfds);
    if (r < 0)
        broken(h, r);
    return r < 0 ? -LX_EIO : h->msg.head.err;
}

/* Whose answer is a descriptor. */
static int ask_fd(struct hostnet *h, const struct netproto_head *head, const void *data)
{
    int fd = -1;
    u32 n = 0;
    MUTEX_GUARD(&h->lock);
    int r = ask_locked(h, head, data, -1, &fd, 1, &n);
    /* Without one: this process has no room for another descriptor. */
    return r < 0 ? r : n ? fd : -LX_ENFILE;
}

static struct spares *spares_of(struct hostnet *h, s32 family, s32 type, s32 protocol)
    REQUIRES(h->lock)
{
    for (u32 i = 0; i < h->nkinds; i++) {
        struct spares *s = &h->spares[i];
        if (s->family == family && s->type == type && s->protocol == protocol)
            return s;
    }
    if (h->nkinds == KINDS)
        return NULL;
    struct spares *s = &h->spares[h->nkinds++];
    *s = (struct spares){.family = family, .type = type, .protocol = protocol};
    return s;
}

int hostnet_socket(struct hostnet *h, s32 family, s32 type, s32 protocol)
{
    struct netproto_head head = {
        .op = NETPROTO_SOCKET, .family = family, .type = type, .protocol = protocol};
    MUTEX_GUARD(&h->lock);
    struct spares *s = spares_of(h, family, type, protocol);
    if (!s)
        return -LX_EPROTONOSUPPORT;
    if (s->n == 0) {
        s->asked = head.count = s->asked ? MIN(s->asked * 2, NETPROTO_MAX_SOCKETS) : 1;
        int r = ask_locked(h, &head, NULL, -1, s->fds, NETPROTO_MAX_SOCKETS, &s->n);
        if (r < 0)
            return r;
        if (s->n == 0) { /* no room here for so many descriptors */
            s->asked = 0;
            return -LX_ENFILE;
        }
    }
    return s->fds[--s->n];
}

int hostnet_resolver(struct hostnet *h)
{
    struct netproto_head head = {.op = NETPROTO_RESOLVER};
    return ask_fd(h, &head, NULL);
}

int hostnet_bind(struct hostnet *h, int fd, const union saddr *addr, u32 len)
{
    struct netproto_head head = {.op = NETPROTO_BIND, .size = len};
    u32 n;
    MUTEX_GUARD(&h->lock);
    return ask_locked(h, &head, addr, fd, NULL, 0, &n);
}

int hostnet_route(struct hostnet *h, const struct lx_nlmsghdr *req, bool is_strict,
                  struct host_answer *ret)
{
    struct netproto_head head = {
        .op = NETPROTO_ROUTE, .flags = is_strict ? NETPROTO_STRICT : 0, .size = req->len};
    struct host_answer a = {0};
    if (req->len > NETPROTO_MAX_ASK)
        return -LX_EMSGSIZE;
    mutex_lock(&h->lock);
    int r = send_request(h, &head, req, -1), kept = 0;
    u32 n;
    while (r == 0 && (r = receive(h, NULL, 0, &n)) == 0 && h->msg.head.flags & NETPROTO_MORE)
        if (kept == 0) /* what is too much is taken from the socket all the same */
            kept = host_answer_add(&a, h->msg.data, h->msg.head.size);
    if (r < 0)
        broken(h, r);
    else if ((r = kept) == 0)
        r = h->msg.head.err;
    mutex_unlock(&h->lock);
    if (r == 0)
        r = host_answer_error(&a);
    if (r < 0)
        host_answer_done(&a);
    else
        *ret = a;
    return r;
}

s64 hostnet_proc_read(struct hostnet *h, const char *name, u64 off, void *buf, u32 size)
{
    u32 len = (u32)strlen(name);
    struct netproto_head head = {.op = NETPROTO_PROC, .size = len};
    if (!netproto_is_proc_file(name, len))
        return -LX_ENOENT;
    int fd = ask_fd(h, &head, name);
    if (fd < 0)
        return fd;
    ssize_t n = pread(fd, buf, size, (off_t)off);
    close(fd);
    return n < 0 ? -LX_EIO : n;
}
