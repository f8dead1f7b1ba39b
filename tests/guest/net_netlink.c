/* netlink: requests, acknowledgements, dumps, messages between sockets. True on Linux. */
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>

#include "net_common.h"

static int netlink(uint32_t groups)
{
    int s = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
    struct sockaddr_nl a = {.nl_family = AF_NETLINK, .nl_groups = groups};
    struct timeval tv = {5, 0};
    CHECK(s >= 0 && bind(s, (struct sockaddr *)&a, sizeof(a)) == 0);
    CHECK(setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)) == 0);
    return s;
}

static uint32_t port_id(int s)
{
    struct sockaddr_nl a;
    socklen_t len = sizeof(a);
    CHECK(getsockname(s, (struct sockaddr *)&a, &len) == 0);
    CHECK_EQ(len, sizeof(a));
    return a.nl_pid;
}

struct link_req {
    struct nlmsghdr h;
    struct ifinfomsg i;
    char attrs[64];
};

static void add_attr(struct link_req *q, int type, const void *data, size_t size)
{
    struct rtattr *a = (void *)((char *)q + NLMSG_ALIGN(q->h.nlmsg_len));
    a->rta_type = (unsigned short)type;
    a->rta_len = (unsigned short)RTA_LENGTH(size);
    memcpy(RTA_DATA(a), data, size);
    q->h.nlmsg_len = (unsigned)(NLMSG_ALIGN(q->h.nlmsg_len) + RTA_ALIGN(a->rta_len));
}

/* The error of the answer, whatever its size. */
static int ask(int s, struct link_req *q, struct nlmsghdr *ret_h, size_t *ret_size)
{
    union {
        char b[8192];
        struct nlmsghdr h;
    } r;
    CHECK_EQ(send(s, q, q->h.nlmsg_len, 0), q->h.nlmsg_len);
    ssize_t n = recv(s, &r, sizeof(r), 0);
    CHECK(n >= (ssize_t)sizeof(r.h));
    CHECK_EQ(r.h.nlmsg_seq, q->h.nlmsg_seq);
    if (ret_h)
        *ret_h = r.h;
    if (ret_size)
        *ret_size = (size_t)n;
    return r.h.nlmsg_type == NLMSG_ERROR ? ((struct nlmsgerr *)NLMSG_DATA(&r.h))->error : 1;
}

TEST(acks_and_errors)
{
    int s = netlink(0);
    struct nlmsghdr h;
    size_t size;
    struct link_req q = {
        .h = {NLMSG_LENGTH(sizeof(q.i)), RTM_GETLINK, NLM_F_REQUEST | NLM_F_ACK, 7, 0}};
    q.i.ifi_index = (int)if_nametoindex("lo");
    CHECK_EQ(ask(s, &q, &h, NULL), 1);
    CHECK_EQ(h.nlmsg_type, RTM_NEWLINK);
    CHECK_EQ(h.nlmsg_pid, port_id(s));
    union {
        char b[8192];
        struct nlmsghdr h;
    } r;
    CHECK_EQ(recv(s, &r, sizeof(r), 0), NLMSG_LENGTH(sizeof(struct nlmsgerr)));
    CHECK_EQ(r.h.nlmsg_type, NLMSG_ERROR);
    CHECK_EQ(((struct nlmsgerr *)NLMSG_DATA(&r.h))->error, 0);
    q.i.ifi_index = 9999;
    q.h.nlmsg_flags = NLM_F_REQUEST;
    CHECK_EQ(ask(s, &q, NULL, &size), -ENODEV);
    CHECK_EQ(size, NLMSG_LENGTH(sizeof(int) + q.h.nlmsg_len)); /* with the whole request */
    CHECK(setopt_int(s, SOL_NETLINK, NETLINK_CAP_ACK, 1) == 0);
    CHECK_EQ(ask(s, &q, &h, &size), -ENODEV);
    CHECK_EQ(size, NLMSG_LENGTH(sizeof(struct nlmsgerr)));
    CHECK(h.nlmsg_flags & NLM_F_CAPPED);
    q.h.nlmsg_type = RTM_DELLINK;
    q.i.ifi_index = 0;
    add_attr(&q, IFLA_IFNAME, "nosuch0", 8);
    CHECK_EQ(ask(s, &q, NULL, NULL), -ENODEV);
    q.h.nlmsg_type = 999;
    CHECK_EQ(ask(s, &q, NULL, NULL), -EOPNOTSUPP);
    q.h.nlmsg_type = NLMSG_NOOP;
    q.h.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
    CHECK_EQ(ask(s, &q, NULL, NULL), 0);
    close(s);
}

TEST(dump_ends)
{
    int s = netlink(0);
    struct {
        struct nlmsghdr h;
        struct rtgenmsg g;
    } q = {{sizeof(q), RTM_GETADDR, NLM_F_REQUEST | NLM_F_DUMP, 3, 0}, {AF_UNSPEC}};
    CHECK_EQ(send(s, &q, sizeof(q), 0), sizeof(q));
    int addrs = 0, is_done = 0;
    while (!is_done) {
        union {
            char b[16384];
            struct nlmsghdr h;
        } r;
        ssize_t n = recv(s, &r, sizeof(r), 0);
        CHECK(n > 0);
        for (struct nlmsghdr *h = &r.h; NLMSG_OK(h, n); h = NLMSG_NEXT(h, n)) {
            CHECK(h->nlmsg_flags & NLM_F_MULTI);
            CHECK_EQ(h->nlmsg_seq, 3);
            addrs += h->nlmsg_type == RTM_NEWADDR;
            is_done |= h->nlmsg_type == NLMSG_DONE;
        }
    }
    CHECK(addrs >= 1);
    char b[16];
    CHECK_ERR(recv(s, b, sizeof(b), MSG_DONTWAIT), EAGAIN);
    close(s);
}

TEST(strict_checking)
{
    int s = netlink(0);
    CHECK(setopt_int(s, SOL_NETLINK, NETLINK_GET_STRICT_CHK, 1) == 0);
    struct {
        struct nlmsghdr h;
        struct ifaddrmsg a;
    } q = {{sizeof(q), RTM_GETADDR, NLM_F_REQUEST | NLM_F_DUMP, 4, 0}, {.ifa_family = AF_INET}};
    union {
        char b[16384];
        struct nlmsghdr h;
    } r;
    q.a.ifa_prefixlen = 8; /* a dump may not ask for it */
    CHECK_EQ(send(s, &q, sizeof(q), 0), sizeof(q));
    CHECK(recv(s, &r, sizeof(r), 0) > 0);
    CHECK(r.h.nlmsg_type == NLMSG_ERROR || r.h.nlmsg_type == NLMSG_DONE);
    CHECK_EQ(*(int *)NLMSG_DATA(&r.h), -EINVAL);
    q.a.ifa_prefixlen = 0;
    q.a.ifa_index = 9999;
    CHECK_EQ(send(s, &q, sizeof(q), 0), sizeof(q));
    CHECK(recv(s, &r, sizeof(r), 0) > 0);
    CHECK(r.h.nlmsg_type == NLMSG_ERROR || r.h.nlmsg_type == NLMSG_DONE);
    CHECK_EQ(*(int *)NLMSG_DATA(&r.h), -ENODEV);
    q.a.ifa_index = if_nametoindex("lo");
    CHECK_EQ(send(s, &q, sizeof(q), 0), sizeof(q));
    CHECK(recv(s, &r, sizeof(r), 0) > 0);
    CHECK_EQ(r.h.nlmsg_type, RTM_NEWADDR);
    close(s);
}

TEST(between_sockets)
{
    int a = netlink(0), b = netlink(RTMGRP_LINK);
    char buf[32];
    struct sockaddr_nl to = {.nl_family = AF_NETLINK, .nl_pid = port_id(b)}, from;
    socklen_t len = sizeof(from);
    CHECK_EQ(sendto(a, "hello", 5, 0, (struct sockaddr *)&to, sizeof(to)), 5);
    CHECK_EQ(recvfrom(b, buf, sizeof(buf), 0, (struct sockaddr *)&from, &len), 5);
    CHECK_EQ(from.nl_pid, port_id(a));
    CHECK_EQ(from.nl_groups, 0);
    to.nl_pid = 0x7ffffff1;
    CHECK_ERR(sendto(a, "hello", 5, 0, (struct sockaddr *)&to, sizeof(to)), ECONNREFUSED);
    to.nl_pid = port_id(a);
    to.nl_groups = RTMGRP_LINK;
    CHECK(setopt_int(b, SOL_SOCKET, SO_PASSCRED, 1) == 0);
    CHECK_EQ(sendto(a, "group", 5, 0, (struct sockaddr *)&to, sizeof(to)), 5);
    union {
        char c[128];
        struct cmsghdr align;
    } c;
    struct iovec v = {buf, sizeof(buf)};
    struct msghdr m = {.msg_name = &from,
                       .msg_namelen = sizeof(from),
                       .msg_iov = &v,
                       .msg_iovlen = 1,
                       .msg_control = &c,
                       .msg_controllen = sizeof(c)};
    CHECK_EQ(recvmsg(b, &m, 0), 5);
    CHECK_EQ(from.nl_groups, RTMGRP_LINK);
    struct cmsghdr *h = CMSG_FIRSTHDR(&m);
    CHECK(h && h->cmsg_type == SCM_CREDENTIALS);
    struct ucred u;
    memcpy(&u, CMSG_DATA(h), sizeof(u));
    CHECK_EQ(u.pid, getpid());
    close(a);
    close(b);
}
