/*
 * The broker's whole life: a socket of its own for route requests, confinement, then requests one
 * after the other. Nothing is allocated and nothing is kept from one request to the next.
 */
#include "broker/broker.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "abi/errno.h"
#include "base/log.h"
#include "host/fdpass.h"
#include "wire/netproto.h"

static int route_fds[2] = {-1, -1}; /* lax, strict */
static u32 route_seq;
static struct netproto_msg in, out; /* large */

static int answer(int link, int err, int fd)
{
    out.head = (struct netproto_head){.err = err};
    return host_send_fds(link, &out, netproto_size(&out), &fd, fd >= 0);
}

/* What the filter allows, said as an error and not by the process's end. */
static int make_socket(s32 family, s32 type, s32 protocol)
{
    bool is_v4 = family == AF_INET;
    if (!is_v4 && family != AF_INET6)
        return -LX_EAFNOSUPPORT;
    if (!(type == SOCK_STREAM && protocol == IPPROTO_TCP) &&
        !(type == SOCK_DGRAM && protocol == IPPROTO_UDP) &&
        !(type == SOCK_DGRAM && protocol == (is_v4 ? (int)IPPROTO_ICMP : (int)IPPROTO_ICMPV6)))
        return -LX_EPROTONOSUPPORT;
    int fd = socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);
    return fd < 0 ? -errno : fd;
}

static int answer_sockets(int link, const struct netproto_head *h)
{
    int fds[NETPROTO_MAX_SOCKETS], r = 0;
    u32 n = 0;
    for (u32 i = 0; i < h->count && i < NETPROTO_MAX_SOCKETS; i++) {
        r = make_socket(h->family, h->type, h->protocol);
        if (r < 0)
            break;
        fds[n++] = r;
    }
    out.head = (struct netproto_head){.err = n ? 0 : r < 0 ? r : -LX_EPROTO};
    r = host_send_fds(link, &out, netproto_size(&out), fds, n);
    while (n > 0)
        close(fds[--n]);
    return r;
}

static int connect_resolver(void)
{
    struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_port = htons(53), .sin_addr.s_addr = htonl(0x7f00000b)};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_UDP);
    if (fd < 0 || connect(fd, (struct sockaddr *)&at, sizeof(at)) == 0)
        return fd < 0 ? -errno : fd;
    int r = -errno;
    close(fd);
    return r;
}

static int bind_socket(int fd, const u8 *addr, u32 size)
{
    int domain = 0;
    socklen_t len = sizeof(domain);
    struct sockaddr_storage sa = {0};
    if (fd < 0 || size < sizeof(sa.ss_family) || size > sizeof(sa))
        return -LX_EINVAL;
    memcpy(&sa, addr, size);
    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) < 0)
        return -errno;
    if (domain != AF_INET && domain != AF_INET6)
        return -LX_EAFNOSUPPORT;
    return bind(fd, (struct sockaddr *)&sa, size) < 0 ? -errno : 0;
}

static int open_proc(int dir, const u8 *data, u32 size)
{
    char name[32];
    if (dir < 0 || size >= sizeof(name) || !netproto_is_proc_file((const char *)data, size))
        return -LX_ENOENT;
    memcpy(name, data, size);
    name[size] = 0;
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    return fd < 0 ? -errno : fd;
}

/* ---- routes -------------------------------------------------------------------------------- */

static int open_routes(void)
{
    for (int i = 0; i < 2; i++) {
        struct sockaddr_nl nl = {.nl_family = AF_NETLINK};
        route_fds[i] = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
        if (route_fds[i] < 0 || bind(route_fds[i], (struct sockaddr *)&nl, sizeof(nl)) < 0 ||
            setsockopt(route_fds[i], SOL_NETLINK, NETLINK_GET_STRICT_CHK, &i, sizeof(i)) < 0)
            return -errno;
    }
    return 0;
}

/* Questions alone: every third type of rtnetlink's groups of four. */
static bool is_question(const struct nlmsghdr *h, u32 size)
{
    return size >= sizeof(*h) + 1 && h->nlmsg_len == size && h->nlmsg_type >= RTM_BASE &&
           h->nlmsg_type <= RTM_MAX && (h->nlmsg_type & 3) == 2;
}

/* Does the answer end with this datagram? It ends with an error, with DONE, or with a message that
 * is not one of many. */
static bool is_last(const u8 *data, size_t size)
{
    bool is_multi = false;
    size_t left = size;
    for (const struct nlmsghdr *h = (const void *)data; NLMSG_OK(h, left);
         h = (const void *)((const u8 *)h + NLMSG_ALIGN(h->nlmsg_len))) {
        if (h->nlmsg_type == NLMSG_DONE || h->nlmsg_type == NLMSG_ERROR)
            return true;
        is_multi = h->nlmsg_flags & NLM_F_MULTI;
        if (NLMSG_ALIGN(h->nlmsg_len) > left)
            break;
        left -= NLMSG_ALIGN(h->nlmsg_len);
    }
    return !is_multi;
}

static int ask_route(int link)
{
    struct nlmsghdr *h = (void *)in.data;
    if (!is_question(h, in.head.size))
        return answer(link, -LX_EOPNOTSUPP, -1);
    int route_fd = route_fds[!!(in.head.flags & NETPROTO_STRICT)];
    h->nlmsg_flags |= NLM_F_REQUEST;
    h->nlmsg_flags &= (u16)~NLM_F_ACK; /* an acknowledgement would be a second answer */
    h->nlmsg_pid = 0;
    h->nlmsg_seq = ++route_seq;
    if (send(route_fd, h, h->nlmsg_len, 0) < 0)
        return answer(link, -errno, -1);
    for (;;) {
        ssize_t n = recv(route_fd, out.data, sizeof(out.data), 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return answer(link, -errno, -1);
        const struct nlmsghdr *first = (const void *)out.data;
        if ((size_t)n < sizeof(*first) || first->nlmsg_seq != route_seq)
            continue; /* left over from an answer that ended in an error */
        out.head = (struct netproto_head){.flags = NETPROTO_MORE, .size = (u32)n};
        bool is_over = is_last(out.data, (size_t)n);
        int r = host_send_fds(link, &out, netproto_size(&out), NULL, 0);
        if (r < 0)
            return r;
        if (is_over)
            return answer(link, 0, -1);
    }
}

/* ---- serving ------------------------------------------------------------------------------- */

static int serve(const struct broker_config *cfg, int passed)
{
    const struct netproto_head *h = &in.head;
    int r;
    if (cfg->is_resolver != (h->op == NETPROTO_RESOLVER))
        return -LX_EPROTO;
    switch (h->op) {
    case NETPROTO_SOCKET:
        return answer_sockets(cfg->link_fd, h);
    case NETPROTO_BIND:
        return answer(cfg->link_fd, bind_socket(passed, in.data, h->size), -1);
    case NETPROTO_ROUTE:
        return ask_route(cfg->link_fd);
    case NETPROTO_PROC:
        r = open_proc(cfg->net_dir_fd, in.data, h->size);
        break;
    case NETPROTO_RESOLVER:
        r = connect_resolver();
        break;
    default:
        return -LX_EPROTO;
    }
    if (r < 0)
        return answer(cfg->link_fd, r, -1);
    int e = answer(cfg->link_fd, 0, r);
    close(r);
    return e;
}

int broker_main(const struct broker_config *cfg)
{
    prctl(PR_SET_NAME, "net-broker");
    log_set_name("broker");
    log_set_fd(STDERR_FILENO);
    int r = cfg->is_resolver ? 0 : open_routes();
    if (r == 0)
        r = broker_drop(cfg);
    if (r == 0)
        r = broker_filter(cfg);
    if (r < 0) {
        log_error("the network broker cannot confine itself: %s", strerror(-r));
        return 1;
    }
    for (;;) {
        int passed = -1;
        u32 nfds;
        s64 n = host_recv_fds(cfg->link_fd, &in, sizeof(in), &passed, 1, &nfds);
        if (n <= 0 || !netproto_is_whole(&in, (size_t)n, NETPROTO_MAX_ASK))
            return n < 0;
        r = serve(cfg, nfds ? passed : -1);
        if (nfds)
            close(passed);
        if (r < 0)
            return 1;
    }
}
