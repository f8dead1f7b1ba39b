/* Network namespaces, links, addresses and routes for tests, by netlink. */
#ifndef NET_LINK_H
#define NET_LINK_H

#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sched.h>

#include "net_common.h"

/* A namespace of the test's own; without the right to one the test is skipped. */
__attribute__((unused)) static void fresh_ns(void)
{
    if (unshare(CLONE_NEWNET) < 0)
        SKIP("no network namespaces here");
}
__attribute__((unused)) static int own_ns(void)
{
    int fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    CHECK(fd >= 0);
    return fd;
}
__attribute__((unused)) static void enter_ns(int fd)
{
    CHECK(setns(fd, CLONE_NEWNET) == 0);
}

struct nlreq {
    struct nlmsghdr h;
    char b[2048];
};

__attribute__((unused)) static void nlq_init(struct nlreq *q, int type, int flags, const void *head,
                                             size_t size)
{
    memset(q, 0, sizeof(*q));
    q->h.nlmsg_type = (unsigned short)type;
    q->h.nlmsg_flags = (unsigned short)(NLM_F_REQUEST | NLM_F_ACK | flags);
    q->h.nlmsg_seq = 1;
    q->h.nlmsg_len = (unsigned)NLMSG_LENGTH(size);
    memcpy(NLMSG_DATA(&q->h), head, size);
}
__attribute__((unused)) static struct rtattr *nlq_attr(struct nlreq *q, int type, const void *data,
                                                       size_t size)
{
    struct rtattr *a = (void *)((char *)q + NLMSG_ALIGN(q->h.nlmsg_len));
    a->rta_type = (unsigned short)type;
    a->rta_len = (unsigned short)RTA_LENGTH(size);
    if (size)
        memcpy(RTA_DATA(a), data, size);
    q->h.nlmsg_len = (unsigned)(NLMSG_ALIGN(q->h.nlmsg_len) + RTA_ALIGN(a->rta_len));
    return a;
}
__attribute__((unused)) static void nlq_str(struct nlreq *q, int type, const char *s)
{
    nlq_attr(q, type, s, strlen(s) + 1);
}
__attribute__((unused)) static void nlq_u32(struct nlreq *q, int type, unsigned v)
{
    nlq_attr(q, type, &v, sizeof(v));
}
__attribute__((unused)) static void nlq_end(struct nlreq *q, struct rtattr *nest)
{
    nest->rta_len = (unsigned short)((char *)q + NLMSG_ALIGN(q->h.nlmsg_len) - (char *)nest);
}
__attribute__((unused)) static int nl_open(unsigned groups)
{
    int s = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    struct sockaddr_nl a = {.nl_family = AF_NETLINK, .nl_groups = groups};
    struct timeval tv = {20, 0};
    CHECK(s >= 0 && bind(s, (struct sockaddr *)&a, sizeof(a)) == 0);
    CHECK(setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)) == 0);
    return s;
}
/* Sends it; 0 or -errno. */
__attribute__((unused)) static int nlq_do(struct nlreq *q)
{
    int s = nl_open(0);
    union {
        char b[8192];
        struct nlmsghdr h;
    } r;
    CHECK_EQ(send(s, q, q->h.nlmsg_len, 0), q->h.nlmsg_len);
    CHECK(recv(s, &r, sizeof(r), 0) >= (ssize_t)sizeof(r.h));
    close(s);
    CHECK_EQ(r.h.nlmsg_type, NLMSG_ERROR);
    return ((struct nlmsgerr *)NLMSG_DATA(&r.h))->error;
}

__attribute__((unused)) static int link_req(struct nlreq *q, const char *kind, const char *name)
{
    struct ifinfomsg i = {0};
    nlq_init(q, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &i, sizeof(i));
    nlq_str(q, IFLA_IFNAME, name);
    struct rtattr *info = nlq_attr(q, IFLA_LINKINFO, NULL, 0);
    nlq_str(q, IFLA_INFO_KIND, kind);
    nlq_end(q, info);
    return 0;
}
__attribute__((unused)) static int add_link(const char *kind, const char *name)
{
    struct nlreq q;
    link_req(&q, kind, name);
    return nlq_do(&q);
}
/* A pair; ns: where the second end is made, or -1. */
__attribute__((unused)) static int add_veth(const char *a, const char *b, int ns)
{
    struct nlreq q;
    struct ifinfomsg i = {0};
    nlq_init(&q, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &i, sizeof(i));
    nlq_str(&q, IFLA_IFNAME, a);
    struct rtattr *info = nlq_attr(&q, IFLA_LINKINFO, NULL, 0);
    nlq_str(&q, IFLA_INFO_KIND, "veth");
    struct rtattr *data = nlq_attr(&q, IFLA_INFO_DATA, NULL, 0);
    struct rtattr *peer = nlq_attr(&q, VETH_INFO_PEER, &i, sizeof(i));
    nlq_str(&q, IFLA_IFNAME, b);
    if (ns >= 0)
        nlq_u32(&q, IFLA_NET_NS_FD, (unsigned)ns);
    nlq_end(&q, peer);
    nlq_end(&q, data);
    nlq_end(&q, info);
    return nlq_do(&q);
}
__attribute__((unused)) static int del_link(const char *name)
{
    struct nlreq q;
    struct ifinfomsg i = {0};
    nlq_init(&q, RTM_DELLINK, 0, &i, sizeof(i));
    nlq_str(&q, IFLA_IFNAME, name);
    return nlq_do(&q);
}
__attribute__((unused)) static int set_link(const char *name, int attr, unsigned v)
{
    struct nlreq q;
    struct ifinfomsg i = {.ifi_index = (int)if_nametoindex(name)};
    nlq_init(&q, RTM_NEWLINK, 0, &i, sizeof(i));
    nlq_u32(&q, attr, v);
    return nlq_do(&q);
}
__attribute__((unused)) static int link_up(const char *name, int is_up)
{
    struct nlreq q;
    struct ifinfomsg i = {.ifi_index = (int)if_nametoindex(name),
                          .ifi_flags = is_up ? IFF_UP : 0,
                          .ifi_change = IFF_UP};
    nlq_init(&q, RTM_NEWLINK, 0, &i, sizeof(i));
    return nlq_do(&q);
}
__attribute__((unused)) static unsigned link_flags(const char *name)
{
    struct ifreq r = {0};
    int s = socket(AF_INET, SOCK_DGRAM, 0);
    strncpy(r.ifr_name, name, IFNAMSIZ - 1);
    int e = ioctl(s, SIOCGIFFLAGS, &r);
    close(s);
    return e < 0 ? 0 : (unsigned short)r.ifr_flags;
}
/* An address of either family, as text. */
__attribute__((unused)) static int change_addr(int type, const char *dev, const char *text, int len)
{
    struct nlreq q;
    unsigned char a[16];
    int family = strchr(text, ':') ? AF_INET6 : AF_INET;
    size_t size = family == AF_INET ? 4 : 16;
    CHECK_EQ(inet_pton(family, text, a), 1);
    struct ifaddrmsg m = {.ifa_family = (unsigned char)family,
                          .ifa_prefixlen = (unsigned char)len,
                          .ifa_flags = family == AF_INET6 ? IFA_F_NODAD : 0,
                          .ifa_index = if_nametoindex(dev)};
    nlq_init(&q, type, type == RTM_NEWADDR ? NLM_F_CREATE | NLM_F_EXCL : 0, &m, sizeof(m));
    nlq_attr(&q, IFA_LOCAL, a, size);
    nlq_attr(&q, IFA_ADDRESS, a, size);
    return nlq_do(&q);
}
__attribute__((unused)) static int add_addr(const char *dev, const char *text, int len)
{
    return change_addr(RTM_NEWADDR, dev, text, len);
}
/* via NULL: on the link; dev NULL: none. dst "": the default. */
__attribute__((unused)) static int change_route(int type, int flags, const char *dst, int len,
                                                const char *via, const char *dev)
{
    struct nlreq q;
    unsigned char a[16];
    int family = strchr(dst[0] ? dst : via, ':') ? AF_INET6 : AF_INET;
    size_t size = family == AF_INET ? 4 : 16;
    struct rtmsg m = {.rtm_family = (unsigned char)family,
                      .rtm_dst_len = (unsigned char)len,
                      .rtm_table = RT_TABLE_MAIN,
                      .rtm_protocol = RTPROT_BOOT,
                      .rtm_scope = via ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK,
                      .rtm_type = RTN_UNICAST};
    if (type == RTM_DELROUTE)
        m = (struct rtmsg){.rtm_family = (unsigned char)family,
                           .rtm_dst_len = (unsigned char)len,
                           .rtm_table = RT_TABLE_MAIN,
                           .rtm_scope = RT_SCOPE_NOWHERE};
    nlq_init(&q, type, flags, &m, sizeof(m));
    if (dst[0]) {
        CHECK_EQ(inet_pton(family, dst, a), 1);
        nlq_attr(&q, RTA_DST, a, size);
    }
    if (via) {
        CHECK_EQ(inet_pton(family, via, a), 1);
        nlq_attr(&q, RTA_GATEWAY, a, size);
    }
    if (dev)
        nlq_u32(&q, RTA_OIF, if_nametoindex(dev));
    return nlq_do(&q);
}
__attribute__((unused)) static int add_route(const char *dst, int len, const char *via,
                                             const char *dev)
{
    return change_route(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, dst, len, via, dev);
}
__attribute__((unused)) static int write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY);
    ssize_t n = fd < 0 ? -1 : write(fd, text, strlen(text));
    if (fd >= 0)
        close(fd);
    return n == (ssize_t)strlen(text) ? 0 : -1;
}

/* ---- traffic ------------------------------------------------------------------------------- */

__attribute__((unused)) static socklen_t name_of(struct sockaddr_storage *ss, const char *text,
                                                 int port)
{
    memset(ss, 0, sizeof(*ss));
    struct sockaddr_in6 *a6 = (void *)ss;
    struct sockaddr_in *a4 = (void *)ss;
    if (strchr(text, ':')) {
        a6->sin6_family = AF_INET6;
        a6->sin6_port = htons((uint16_t)port);
        CHECK_EQ(inet_pton(AF_INET6, text, &a6->sin6_addr), 1);
        return sizeof(*a6);
    }
    a4->sin_family = AF_INET;
    a4->sin_port = htons((uint16_t)port);
    CHECK_EQ(inet_pton(AF_INET, text, &a4->sin_addr), 1);
    return sizeof(*a4);
}
/* A socket of the namespace that the thread is in, bound; it may wait for twenty seconds. */
__attribute__((unused)) static int sock_at(int type, const char *text, int port)
{
    struct sockaddr_storage ss;
    struct timeval tv = {20, 0};
    socklen_t len = name_of(&ss, text, port);
    int s = socket(ss.ss_family, type | SOCK_CLOEXEC, 0);
    CHECK(s >= 0);
    CHECK(setopt_int(s, SOL_SOCKET, SO_REUSEADDR, 1) == 0);
    CHECK(bind(s, (struct sockaddr *)&ss, len) == 0);
    CHECK(setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)) == 0);
    CHECK(setsockopt(s, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)) == 0);
    return s;
}
__attribute__((unused)) static int connect_to(int s, const char *text, int port)
{
    struct sockaddr_storage ss;
    socklen_t len = name_of(&ss, text, port);
    return connect(s, (struct sockaddr *)&ss, len);
}
/* A datagram from one to the other and back. */
__attribute__((unused)) static void udp_both_ways(int a, int b, const char *b_addr, int b_port)
{
    struct sockaddr_storage from;
    socklen_t len = sizeof(from);
    char buf[64];
    CHECK(connect_to(a, b_addr, b_port) == 0);
    CHECK_EQ(send(a, "question", 8, 0), 8);
    CHECK_EQ(recvfrom(b, buf, sizeof(buf), 0, (struct sockaddr *)&from, &len), 8);
    CHECK_EQ(sendto(b, "answer", 6, 0, (struct sockaddr *)&from, len), 6);
    CHECK_EQ(recv(a, buf, sizeof(buf), 0), 6);
}

#endif
