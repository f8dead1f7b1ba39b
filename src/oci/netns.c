/*
 * Taking over a network namespace: what it has is read with netlink, its interfaces' frames come
 * and go by packet sockets from then on, and the host's own addresses there are removed.
 *
 * The order matters: everything that can fail is done first, addresses go last.
 */
#include "oci/netns.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_arp.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "wire/netcfg.h"

#ifndef PACKET_IGNORE_OUTGOING
#define PACKET_IGNORE_OUTGOING 23
#endif
#define QUEUE_BYTES (8 << 20) /* of a packet socket, each way */
#define NL_BUF      65536

/* ---- netlink ------------------------------------------------------------------------------- */

typedef int (*nl_fn)(struct netcfg *c, struct nlmsghdr *h);

struct attrs {
    struct rtattr *a[64];
};

static void find_attrs(struct attrs *t, struct nlmsghdr *h, size_t head)
{
    memset(t, 0, sizeof(*t));
    if (h->nlmsg_len < NLMSG_LENGTH(head))
        return;
    struct rtattr *a = (void *)((char *)NLMSG_DATA(h) + NLMSG_ALIGN(head));
    u32 left = h->nlmsg_len - (u32)NLMSG_SPACE(head);
    if (h->nlmsg_len < NLMSG_SPACE(head))
        return;
    for (; RTA_OK(a, left); a = RTA_NEXT(a, left))
        if ((a->rta_type & NLA_TYPE_MASK) < ARRAY_SIZE(t->a))
            t->a[a->rta_type & NLA_TYPE_MASK] = a;
}

static u32 attr_u32(struct rtattr *a)
{
    u32 v = 0;
    if (a && RTA_PAYLOAD(a) >= sizeof(v))
        memcpy(&v, RTA_DATA(a), sizeof(v));
    return v;
}

/* An address of the family as 16 bytes. */
static bool attr_addr(struct rtattr *a, u8 family, u8 out[16])
{
    size_t n = family == AF_INET ? 4 : 16;
    memset(out, 0, 16);
    if (family == AF_INET)
        out[10] = out[11] = 0xff;
    if (!a || RTA_PAYLOAD(a) < n)
        return false;
    memcpy(out + 16 - n, RTA_DATA(a), n);
    return true;
}

#define GROW(array, count)                                                                         \
    ({                                                                                             \
        void *grow_p_ = realloc((array), ((count) + 1) * sizeof(*(array)));                        \
        if (grow_p_) {                                                                             \
            (array) = grow_p_;                                                                     \
            memset(&(array)[count], 0, sizeof(*(array)));                                          \
        }                                                                                          \
        grow_p_ != NULL;                                                                           \
    })

static int on_link(struct netcfg *c, struct nlmsghdr *h)
{
    const struct ifinfomsg *ifi = NLMSG_DATA(h);
    struct attrs t;
    find_attrs(&t, h, sizeof(*ifi));
    if (ifi->ifi_type != ARPHRD_ETHER || !(ifi->ifi_flags & IFF_UP) || !t.a[IFLA_IFNAME] ||
        !t.a[IFLA_ADDRESS] || RTA_PAYLOAD(t.a[IFLA_ADDRESS]) != 6)
        return 0;
    if (c->nifaces == NETCFG_MAX_IFACES)
        return -E2BIG;
    if (!GROW(c->ifaces, c->nifaces))
        return -ENOMEM;
    struct netcfg_iface *f = &c->ifaces[c->nifaces++];
    f->index = ifi->ifi_index;
    f->fd = -1;
    snprintf(f->name, sizeof(f->name), "%.*s", (int)RTA_PAYLOAD(t.a[IFLA_IFNAME]),
             (const char *)RTA_DATA(t.a[IFLA_IFNAME]));
    memcpy(f->mac, RTA_DATA(t.a[IFLA_ADDRESS]), 6);
    f->type = ifi->ifi_type;
    f->flags = ifi->ifi_flags;
    f->mtu = attr_u32(t.a[IFLA_MTU]);
    return 0;
}

static bool has_iface(const struct netcfg *c, s32 index)
{
    for (u32 i = 0; i < c->nifaces; i++)
        if (c->ifaces[i].index == index)
            return true;
    return false;
}

static int on_addr(struct netcfg *c, struct nlmsghdr *h)
{
    const struct ifaddrmsg *ifa = NLMSG_DATA(h);
    struct attrs t;
    find_attrs(&t, h, sizeof(*ifa));
    if ((ifa->ifa_family != AF_INET && ifa->ifa_family != AF_INET6) ||
        !has_iface(c, (s32)ifa->ifa_index))
        return 0;
    if (c->naddrs == NETCFG_MAX_ADDRS)
        return -E2BIG;
    if (!GROW(c->addrs, c->naddrs))
        return -ENOMEM;
    struct netcfg_addr *a = &c->addrs[c->naddrs++];
    a->ifindex = (s32)ifa->ifa_index;
    a->family = ifa->ifa_family;
    a->prefix_len = ifa->ifa_prefixlen;
    a->scope = ifa->ifa_scope;
    a->flags = ifa->ifa_flags;
    (void)attr_addr(t.a[IFA_ADDRESS], a->family, a->peer);
    if (!attr_addr(t.a[IFA_LOCAL], a->family, a->addr))
        memcpy(a->addr, a->peer, 16);
    if (t.a[IFA_BROADCAST] && RTA_PAYLOAD(t.a[IFA_BROADCAST]) == 4)
        memcpy(a->bcast, RTA_DATA(t.a[IFA_BROADCAST]), 4);
    return 0;
}

static int on_route(struct netcfg *c, struct nlmsghdr *h)
{
    const struct rtmsg *r = NLMSG_DATA(h);
    struct attrs t;
    find_attrs(&t, h, sizeof(*r));
    u32 table = t.a[RTA_TABLE] ? attr_u32(t.a[RTA_TABLE]) : r->rtm_table;
    s32 oif = (s32)attr_u32(t.a[RTA_OIF]);
    bool is_way = r->rtm_type == RTN_UNICAST && has_iface(c, oif);
    bool is_wall = r->rtm_type == RTN_UNREACHABLE || r->rtm_type == RTN_BLACKHOLE ||
                   r->rtm_type == RTN_PROHIBIT;
    if ((r->rtm_family != AF_INET && r->rtm_family != AF_INET6) || table != RT_TABLE_MAIN ||
        r->rtm_flags & RTM_F_CLONED || (!is_way && !is_wall))
        return 0;
    if (c->nroutes == NETCFG_MAX_ROUTES)
        return -E2BIG;
    if (!GROW(c->routes, c->nroutes))
        return -ENOMEM;
    struct netcfg_route *out = &c->routes[c->nroutes++];
    out->family = r->rtm_family;
    out->dst_len = r->rtm_dst_len;
    out->table = RT_TABLE_MAIN;
    out->protocol = r->rtm_protocol;
    out->scope = r->rtm_scope;
    out->type = r->rtm_type;
    out->flags = r->rtm_flags & RTNH_F_ONLINK;
    out->oif = oif;
    out->metric = attr_u32(t.a[RTA_PRIORITY]);
    (void)attr_addr(t.a[RTA_DST], out->family, out->dst);
    out->has_gateway = attr_addr(t.a[RTA_GATEWAY], out->family, out->gateway);
    (void)attr_addr(t.a[RTA_PREFSRC], out->family, out->prefsrc);
    if (t.a[RTA_METRICS]) {
        struct rtattr *m = RTA_DATA(t.a[RTA_METRICS]);
        u32 left = (u32)RTA_PAYLOAD(t.a[RTA_METRICS]);
        for (; RTA_OK(m, left); m = RTA_NEXT(m, left))
            if (m->rta_type == RTAX_MTU)
                out->mtu = attr_u32(m);
    }
    return 0;
}

static int on_neigh(struct netcfg *c, struct nlmsghdr *h)
{
    const struct ndmsg *n = NLMSG_DATA(h);
    struct attrs t;
    find_attrs(&t, h, sizeof(*n));
    if ((n->ndm_family != AF_INET && n->ndm_family != AF_INET6) ||
        !(n->ndm_state & NUD_PERMANENT) || !has_iface(c, n->ndm_ifindex) || !t.a[NDA_LLADDR] ||
        RTA_PAYLOAD(t.a[NDA_LLADDR]) != 6 || c->nneighs == NETCFG_MAX_NEIGHS)
        return 0;
    if (!GROW(c->neighs, c->nneighs))
        return -ENOMEM;
    struct netcfg_neigh *out = &c->neighs[c->nneighs++];
    out->family = n->ndm_family;
    out->ifindex = n->ndm_ifindex;
    memcpy(out->mac, RTA_DATA(t.a[NDA_LLADDR]), 6);
    (void)attr_addr(t.a[NDA_DST], out->family, out->addr);
    return 0;
}

/* Sends a request and gives every message of the answer to fn (or only waits for the result). */
static int nl_talk(int fd, const void *req, size_t size, struct netcfg *c, nl_fn fn)
{
    static char buf[NL_BUF];
    if (send(fd, req, size, 0) < 0)
        return -errno;
    for (;;) {
        ssize_t n = recv(fd, buf, sizeof(buf), 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EIO;
        u32 left = (u32)n;
        for (struct nlmsghdr *h = (void *)buf; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
            if (h->nlmsg_type == NLMSG_DONE)
                return 0;
            if (h->nlmsg_type == NLMSG_ERROR)
                return ((const struct nlmsgerr *)NLMSG_DATA(h))->error;
            int r = fn ? fn(c, h) : 0;
            if (r < 0)
                return r;
        }
    }
}

static int nl_dump(int fd, u16 type, struct netcfg *c, nl_fn fn)
{
    struct {
        struct nlmsghdr h;
        u8 body[16];
    } req = {.h = {.nlmsg_len = sizeof(req),
                   .nlmsg_type = type,
                   .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP}};
    return nl_talk(fd, &req, sizeof(req), c, fn);
}

static int read_namespace(int nl, struct netcfg *c)
{
    static const struct {
        u16 type;
        nl_fn fn;
    } steps[] = {{RTM_GETLINK, on_link},
                 {RTM_GETADDR, on_addr},
                 {RTM_GETROUTE, on_route},
                 {RTM_GETNEIGH, on_neigh}};
    for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
        int r = nl_dump(nl, steps[i].type, c, steps[i].fn);
        if (r < 0)
            return r;
    }
    return 0;
}

static int remove_addr(int nl, const struct netcfg_addr *a)
{
    u32 n = a->family == AF_INET ? 4 : 16;
    struct {
        struct nlmsghdr h;
        struct ifaddrmsg ifa;
        struct rtattr attr;
        u8 addr[16];
    } req = {
        .h = {.nlmsg_type = RTM_DELADDR, .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK},
        .ifa = {.ifa_family = a->family,
                .ifa_prefixlen = a->prefix_len,
                .ifa_index = (u32)a->ifindex},
        .attr = {.rta_type = IFA_LOCAL, .rta_len = (u16)(sizeof(struct rtattr) + n)},
    };
    memcpy(req.addr, a->addr + 16 - n, n);
    req.h.nlmsg_len = (u32)(offsetof(__typeof__(req), addr) + n);
    return nl_talk(nl, &req, req.h.nlmsg_len, NULL, NULL);
}

/* The host's IPv6 must not make new addresses there; an interface without IPv6 has no such file. */
static void disable_ipv6(const char *name)
{
    char path[96];
    snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/disable_ipv6", name);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    (void)!write(fd, "1", 1); /* the addresses are removed one by one as well */
    close(fd);
}

/* ---- packet sockets ------------------------------------------------------------------------ */

static int open_link(const struct netcfg_iface *f)
{
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0), one = 1, bytes = QUEUE_BYTES;
    if (fd < 0)
        return -1;
    struct sockaddr_ll ll = {
        .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = f->index};
    struct packet_mreq mr = {.mr_ifindex = f->index, .mr_type = PACKET_MR_ALLMULTI};
    if (setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof(one)) < 0 ||
        setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one)) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)) < 0 ||
        setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &mr, sizeof(mr)) < 0 ||
        bind(fd, (struct sockaddr *)&ll, sizeof(ll)) < 0) {
        int saved = errno;
        close(fd);
        errno = saved;
        return -1;
    }
    return fd;
}

static int take(struct netcfg *c, struct sandbox_params *p, struct err *e)
{
    int nl = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE), r = -1;
    if (nl < 0)
        return err_errno(e, "cannot read the network namespace");
    r = read_namespace(nl, c);
    if (r < 0) {
        errno = -r;
        r = err_errno(e, "cannot read the network namespace");
    }
    for (u32 i = 0; r == 0 && i < c->nifaces; i++) {
        int fd = open_link(&c->ifaces[i]);
        if (fd < 0) {
            r = err_errno(e, "cannot open a packet socket on '%s'", c->ifaces[i].name);
            break;
        }
        p->net_fds[p->nnet_fds++] = fd;
        c->ifaces[i].fd = (s32)(BOOT_FD_NET + i);
    }
    void *blob = NULL;
    size_t size = 0;
    if (r == 0 && netcfg_encode(c, &blob, &size) < 0)
        r = err_set(e, "the network namespace has more than a sandbox can take over");
    for (u32 i = 0; r == 0 && i < c->nifaces; i++)
        disable_ipv6(c->ifaces[i].name);
    for (u32 i = 0; r == 0 && i < c->naddrs; i++) {
        int x = remove_addr(nl, &c->addrs[i]);
        if (x < 0 && x != -EADDRNOTAVAIL) {
            errno = -x;
            r = err_errno(e, "cannot remove an address of the network namespace");
        }
    }
    close(nl);
    if (r < 0) {
        while (p->nnet_fds)
            close(p->net_fds[--p->nnet_fds]);
        free(blob);
        return -1;
    }
    p->boot->net = blob;
    p->boot->net_size = (u32)size;
    return 0;
}

/*
 * Process 1's namespace is the host's own as far as we can see. Where that cannot be read, a
 * namespace that was named and is not ours will do, since ours is then no less likely to be the
 * host's.
 */
static int check_not_hosts(int ns_fd, int self_fd, bool is_named, struct err *e)
{
    struct stat ours, hosts;
    bool is_known =
        stat("/proc/1/ns/net", &hosts) == 0 || (is_named && fstat(self_fd, &hosts) == 0);
    if (!is_known)
        return err_errno(e, "cannot tell whether the network namespace is the host's own");
    if (fstat(ns_fd, &ours) < 0)
        return err_errno(e, "cannot examine the network namespace");
    if (ours.st_ino == hosts.st_ino && ours.st_dev == hosts.st_dev)
        return err_set(
            e, "--network=sandbox takes a network namespace over, and this one is the host's own; "
               "start in another or name one with --netns");
    return 0;
}

int netns_take(const char *path, const char *egress, struct sandbox_params *p, struct err *e)
{
    struct netcfg c = {0};
    int self = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), target = -1, r = -1;
    if (self < 0)
        return err_errno(e, "cannot open /proc/self/ns/net");
    if (path && (target = open(path, O_RDONLY | O_CLOEXEC)) < 0) {
        err_errno(e, "cannot open the network namespace '%s'", path);
    } else if (egress && !netcfg_parse_egress(&c, egress)) {
        err_set(e, "--egress takes deny or allow:CIDR[:PORT[-PORT]],…, not '%s'", egress);
    } else if (check_not_hosts(path ? target : self, self, path, e) == 0) {
        if (path && setns(target, CLONE_NEWNET) < 0) {
            err_errno(e, "cannot enter the network namespace '%s'", path);
        } else {
            r = take(&c, p, e);
            if (path && setns(self, CLONE_NEWNET) < 0)
                r = err_errno(e, "cannot go back to the own network namespace");
        }
    }
    netcfg_done(&c);
    if (target >= 0)
        close(target);
    close(self);
    return r;
}

bool netns_has_resolver(void)
{
    FILE *f = fopen("/proc/self/net/udp", "re");
    char line[512];
    bool has = false;
    while (f && fgets(line, sizeof(line), f))
        has |= strstr(line, ": 0B00007F:") != NULL; /* 127.0.0.11 */
    if (f)
        fclose(f);
    return has;
}

int netns_enter(const char *path, struct err *e)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_errno(e, "cannot open the network namespace '%s'", path);
    int r = setns(fd, CLONE_NEWNET) < 0
                ? err_errno(e, "cannot enter the network namespace '%s'", path)
                : 0;
    close(fd);
    return r;
}

/* Any interface but the loopback. */
static bool has_interface(void)
{
    FILE *f = fopen("/proc/self/net/dev", "re");
    char line[512], name[64];
    bool is_any = false;
    while (f && fgets(line, sizeof(line), f))
        is_any |= sscanf(line, " %63[^: ]:", name) == 1 && strchr(line, ':') && strcmp(name, "lo") != 0;
    if (f)
        fclose(f);
    return is_any;
}

static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_dev == b->st_dev;
}

bool netns_is_hosts(const struct stat *left)
{
    struct stat here, hosts;
    return stat("/proc/self/ns/net", &here) == 0 &&
           (is_same(&here, left) || (stat("/proc/1/ns/net", &hosts) == 0 && is_same(&here, &hosts)));
}

int netns_take_entered(const struct stat *left, const char *egress, struct sandbox_params *p,
                       struct err *e)
{
    struct netcfg c = {0};
    if (netns_is_hosts(left) || !has_interface())
        return 0;
    int r = egress && !netcfg_parse_egress(&c, egress)
                ? err_set(e, "--egress takes deny or allow:CIDR[:PORT[-PORT]],…, not '%s'", egress)
                : take(&c, p, e);
    netcfg_done(&c);
    return r;
}

/* In the namespace: 1: an interface besides the loopback has an address; 0: none has. */
static int has_address(struct err *e)
{
    struct netcfg c = {0};
    int nl = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    int r = nl < 0 ? -errno : read_namespace(nl, &c);
    int has = c.naddrs > 0;
    if (nl >= 0)
        close(nl);
    netcfg_done(&c);
    if (r < 0) {
        errno = -r;
        return err_errno(e, "cannot read the network namespace");
    }
    return has;
}

int netns_take_late(pid_t pid, const char *egress, struct sandbox_params *p, struct err *e)
{
    char path[40];
    struct stat left;
    int self = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    if (self < 0 || fstat(self, &left) < 0) {
        if (self >= 0)
            close(self);
        return err_errno(e, "cannot open /proc/self/ns/net");
    }
    snprintf(path, sizeof(path), "/proc/%d/ns/net", pid);
    int r = netns_enter(path, e);
    if (r == 0) {
        r = netns_is_hosts(&left) ? 0 : has_address(e);
        if (r > 0)
            r = netns_take_entered(&left, egress, p, e);
        if (setns(self, CLONE_NEWNET) < 0)
            r = err_errno(e, "cannot go back to the own network namespace");
    }
    close(self);
    return r;
}

bool netns_is_egress(const char *text)
{
    struct netcfg c = {0};
    bool is_ok = netcfg_parse_egress(&c, text);
    netcfg_done(&c);
    return is_ok;
}
