/* UDP over the loopback. True on Linux. */
#include "net_common.h"

#include <linux/errqueue.h>

static int udp4(void)
{
    int s = socket(AF_INET, SOCK_DGRAM, 0);
    CHECK(s >= 0);
    return s;
}

static int bound(const char *ip, int port)
{
    int s = udp4();
    struct sockaddr_in a = lo4(port);
    inet_pton(AF_INET, ip, &a.sin_addr);
    CHECK(bind(s, (struct sockaddr *)&a, sizeof(a)) == 0);
    return s;
}

TEST(basic)
{
    int s = bound("127.0.0.1", 0), c = udp4(), n;
    struct sockaddr_in a = lo4(port_of(s)), from;
    socklen_t len = sizeof(from);
    char b[64];
    CHECK_EQ(events_of(s), EPOLLOUT);
    CHECK_ERR(send(c, "x", 1, 0), EDESTADDRREQ);
    CHECK_EQ(sendto(c, "hello", 5, 0, (struct sockaddr *)&a, sizeof(a)), 5);
    CHECK_EQ(events_of(s), EPOLLIN | EPOLLOUT);
    CHECK(ioctl(s, FIONREAD, &n) == 0);
    CHECK_EQ(n, 5);
    CHECK_EQ(recvfrom(s, b, 3, MSG_PEEK, (struct sockaddr *)&from, &len), 3);
    CHECK_EQ(ntohs(from.sin_port), port_of(c));
    CHECK_EQ(recv(s, b, 3, MSG_TRUNC), 5);
    CHECK_ERR(recv(s, b, 3, MSG_DONTWAIT), EAGAIN);
    CHECK_EQ(sendto(c, "", 0, 0, (struct sockaddr *)&a, sizeof(a)), 0);
    CHECK_EQ(recv(s, b, 3, 0), 0);
    static char big[70000];
    CHECK_EQ(sendto(c, big, 65507, 0, (struct sockaddr *)&a, sizeof(a)), 65507);
    CHECK_EQ(recv(s, big, sizeof(big), 0), 65507);
    CHECK_ERR(sendto(c, big, 65508, 0, (struct sockaddr *)&a, sizeof(a)), EMSGSIZE);
    a.sin_port = 0;
    CHECK_ERR(sendto(c, "x", 1, 0, (struct sockaddr *)&a, sizeof(a)), EINVAL);
    CHECK_ERR(sendto(c, "x", 1, 0, (struct sockaddr *)&a, 8), EINVAL);
    CHECK_ERR(listen(c, 1), EOPNOTSUPP);
    CHECK_ERR(accept(c, NULL, NULL), EOPNOTSUPP);
    close(s);
    close(c);
}

TEST(connected_refused)
{
    int s = bound("127.0.0.1", 0), c = udp4();
    struct sockaddr_in a = lo4(port_of(s)), got;
    socklen_t len = sizeof(got);
    char b[8];
    close(s);
    CHECK(connect(c, (struct sockaddr *)&a, sizeof(a)) == 0);
    CHECK(getsockname(c, (struct sockaddr *)&got, &len) == 0);
    CHECK_EQ(ntohl(got.sin_addr.s_addr), INADDR_LOOPBACK);
    CHECK_EQ(send(c, "x", 1, 0), 1);
    CHECK_ERR(send(c, "x", 1, 0), ECONNREFUSED);
    CHECK_EQ(send(c, "x", 1, 0), 1);
    CHECK_EQ(events_of(c), EPOLLOUT | EPOLLERR);
    CHECK_ERR(recv(c, b, 8, MSG_DONTWAIT), ECONNREFUSED);
    CHECK_ERR(recv(c, b, 8, MSG_DONTWAIT), EAGAIN);
    struct sockaddr_in u = {.sin_family = AF_UNSPEC};
    CHECK(connect(c, (struct sockaddr *)&u, sizeof(u)) == 0);
    CHECK_ERR(getpeername(c, (struct sockaddr *)&got, &len), ENOTCONN);
    CHECK(getsockname(c, (struct sockaddr *)&got, &len) == 0);
    CHECK_EQ(got.sin_port, 0);
    close(c);
    /* unconnected: nobody is told */
    c = udp4();
    CHECK_EQ(sendto(c, "x", 1, 0, (struct sockaddr *)&a, sizeof(a)), 1);
    CHECK_EQ(sendto(c, "x", 1, 0, (struct sockaddr *)&a, sizeof(a)), 1);
    close(c);
}

TEST(error_queue)
{
    int s = bound("127.0.0.1", 0), c = udp4();
    struct sockaddr_in a = lo4(port_of(s)), name;
    char b[16], ctl[256];
    close(s);
    CHECK(setopt_int(c, IPPROTO_IP, IP_RECVERR, 1) == 0);
    CHECK_EQ(sendto(c, "lost", 4, 0, (struct sockaddr *)&a, sizeof(a)), 4);
    CHECK_EQ(events_of(c), EPOLLOUT | EPOLLERR);
    struct iovec iov = {b, 16};
    struct msghdr m = {.msg_name = &name, .msg_namelen = sizeof(name), .msg_iov = &iov, .msg_iovlen = 1,
                       .msg_control = ctl, .msg_controllen = sizeof(ctl)};
    CHECK_EQ(recvmsg(c, &m, MSG_ERRQUEUE), 4);
    CHECK(m.msg_flags & MSG_ERRQUEUE);
    CHECK_EQ(name.sin_port, a.sin_port);
    struct cmsghdr *h = CMSG_FIRSTHDR(&m);
    CHECK(h && h->cmsg_level == IPPROTO_IP && h->cmsg_type == IP_RECVERR);
    struct sock_extended_err *ee = (void *)CMSG_DATA(h);
    CHECK_EQ(ee->ee_errno, ECONNREFUSED);
    CHECK_EQ(ee->ee_origin, SO_EE_ORIGIN_ICMP);
    CHECK(ee->ee_type == 3 && ee->ee_code == 3);
    CHECK_ERR(recvmsg(c, &m, MSG_ERRQUEUE), EAGAIN);
    close(c);
}

TEST(connected_filters)
{
    int s = bound("127.0.0.1", 0), c = bound("127.0.0.1", 0), o = udp4();
    struct sockaddr_in a = lo4(port_of(s)), ca = lo4(port_of(c));
    char b[8];
    CHECK(connect(s, (struct sockaddr *)&ca, sizeof(ca)) == 0);
    CHECK_EQ(sendto(o, "no", 2, 0, (struct sockaddr *)&a, sizeof(a)), 2);
    CHECK_EQ(sendto(c, "yes", 3, 0, (struct sockaddr *)&a, sizeof(a)), 3);
    CHECK_EQ(recv(s, b, 8, 0), 3);
    CHECK_ERR(recv(s, b, 8, MSG_DONTWAIT), EAGAIN);
    CHECK_EQ(write(s, "w", 1), 1);
    CHECK_EQ(read(c, b, 8), 1);
    close(s);
    close(c);
    close(o);
}

TEST(bind_rules)
{
    int a = bound("127.0.0.1", 0), b = udp4(), port = port_of(a);
    struct sockaddr_in x = lo4(port);
    CHECK_ERR(bind(b, (struct sockaddr *)&x, sizeof(x)), EADDRINUSE);
    setopt_int(b, SOL_SOCKET, SO_REUSEADDR, 1);
    CHECK_ERR(bind(b, (struct sockaddr *)&x, sizeof(x)), EADDRINUSE);
    setopt_int(a, SOL_SOCKET, SO_REUSEADDR, 1);
    CHECK(bind(b, (struct sockaddr *)&x, sizeof(x)) == 0);
    /* the last one bound receives */
    int c = udp4();
    char t[4];
    CHECK_EQ(sendto(c, "x", 1, 0, (struct sockaddr *)&x, sizeof(x)), 1);
    CHECK_EQ(recv(b, t, 4, MSG_DONTWAIT), 1);
    close(a);
    close(b);
    close(c);
}

TEST(reuseport)
{
    int s[3], port = 0, hits[3] = {0};
    for (int i = 0; i < 3; i++) {
        s[i] = udp4();
        struct sockaddr_in a = lo4(port);
        CHECK(setopt_int(s[i], SOL_SOCKET, SO_REUSEPORT, 1) == 0);
        CHECK(bind(s[i], (struct sockaddr *)&a, sizeof(a)) == 0);
        port = port_of(s[i]);
    }
    struct sockaddr_in a = lo4(port);
    for (int i = 0; i < 60; i++) {
        int c = udp4();
        CHECK_EQ(sendto(c, "x", 1, 0, (struct sockaddr *)&a, sizeof(a)), 1);
        close(c);
    }
    char b[4];
    for (int i = 0; i < 3; i++) {
        while (recv(s[i], b, 4, MSG_DONTWAIT) == 1)
            hits[i]++;
        close(s[i]);
    }
    CHECK_EQ(hits[0] + hits[1] + hits[2], 60);
    CHECK(hits[0] > 3 && hits[1] > 3 && hits[2] > 3);
}

TEST(pktinfo_ttl_tos)
{
    int s = bound("0.0.0.0", 0), c = udp4();
    struct sockaddr_in a = lo4(port_of(s));
    char b[8], ctl[256];
    CHECK(setopt_int(s, IPPROTO_IP, IP_PKTINFO, 1) == 0);
    CHECK(setopt_int(s, IPPROTO_IP, IP_RECVTTL, 1) == 0);
    CHECK(setopt_int(s, IPPROTO_IP, IP_RECVTOS, 1) == 0);
    CHECK(setopt_int(c, IPPROTO_IP, IP_TTL, 33) == 0);
    CHECK(setopt_int(c, IPPROTO_IP, IP_TOS, 0x10) == 0);
    CHECK_EQ(sendto(c, "x", 1, 0, (struct sockaddr *)&a, sizeof(a)), 1);
    struct iovec iov = {b, 8};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = ctl, .msg_controllen = 256};
    CHECK_EQ(recvmsg(s, &m, 0), 1);
    int seen = 0;
    for (struct cmsghdr *h = CMSG_FIRSTHDR(&m); h; h = CMSG_NXTHDR(&m, h)) {
        if (h->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo *pi = (void *)CMSG_DATA(h);
            CHECK_EQ(pi->ipi_ifindex, 1);
            CHECK_EQ(ntohl(pi->ipi_addr.s_addr), INADDR_LOOPBACK);
            seen |= 1;
        } else if (h->cmsg_type == IP_TTL) {
            CHECK_EQ(*(int *)(void *)CMSG_DATA(h), 33);
            seen |= 2;
        } else if (h->cmsg_type == IP_TOS) {
            CHECK_EQ(*(unsigned char *)CMSG_DATA(h), 0x10);
            CHECK_EQ(h->cmsg_len, CMSG_LEN(1));
            seen |= 4;
        }
    }
    CHECK_EQ(seen, 7);
    close(s);
    close(c);
}

TEST(ipv6)
{
    int s = socket(AF_INET6, SOCK_DGRAM, 0), c = socket(AF_INET6, SOCK_DGRAM, 0), v4 = udp4();
    struct sockaddr_in6 a = {.sin6_family = AF_INET6}, from;
    socklen_t len = sizeof(from);
    char b[8], t[64];
    CHECK(bind(s, (struct sockaddr *)&a, sizeof(a)) == 0);
    a = lo6(port_of(s));
    CHECK_EQ(sendto(c, "six", 3, 0, (struct sockaddr *)&a, sizeof(a)), 3);
    CHECK_EQ(recvfrom(s, b, 8, 0, (struct sockaddr *)&from, &len), 3);
    CHECK_STR(inet_ntop(AF_INET6, &from.sin6_addr, t, sizeof(t)), "::1");
    struct sockaddr_in a4 = lo4(port_of(s));
    CHECK_EQ(sendto(v4, "four", 4, 0, (struct sockaddr *)&a4, sizeof(a4)), 4);
    CHECK_EQ(recvfrom(s, b, 8, 0, (struct sockaddr *)&from, &len), 4);
    CHECK_STR(inet_ntop(AF_INET6, &from.sin6_addr, t, sizeof(t)), "::ffff:127.0.0.1");
    CHECK_EQ(sendto(s, "back", 4, 0, (struct sockaddr *)&from, len), 4);
    CHECK_EQ(recv(v4, b, 8, 0), 4);
    int only = socket(AF_INET6, SOCK_DGRAM, 0);
    setopt_int(only, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    CHECK_ERR(sendto(only, "x", 1, 0, (struct sockaddr *)&from, len), ENETUNREACH);
    close(only);
    close(s);
    close(c);
    close(v4);
}

TEST(shutdown_states)
{
    int s = bound("127.0.0.1", 0), c = udp4();
    struct sockaddr_in a = lo4(port_of(s));
    char b[4];
    CHECK_ERR(shutdown(c, SHUT_RD), ENOTCONN);
    close(c);
    c = udp4();
    CHECK(connect(c, (struct sockaddr *)&a, sizeof(a)) == 0);
    CHECK(shutdown(c, SHUT_WR) == 0);
    CHECK_ERR(send(c, "x", 1, MSG_NOSIGNAL), EPIPE);
    CHECK(shutdown(c, SHUT_RD) == 0);
    CHECK_EQ(recv(c, b, 4, 0), 0);
    CHECK_EQ(events_of(c), EV_ALL);
    close(c);
    close(s);
}

TEST(multicast_loop)
{
    int s = udp4(), c = udp4();
    struct sockaddr_in any = {.sin_family = AF_INET}, g = lo4(0);
    struct ip_mreqn mr = {.imr_ifindex = 1};
    char b[8];
    inet_pton(AF_INET, "239.1.2.3", &g.sin_addr);
    mr.imr_multiaddr = g.sin_addr;
    CHECK(bind(s, (struct sockaddr *)&any, sizeof(any)) == 0);
    g.sin_port = htons((uint16_t)port_of(s));
    CHECK(setsockopt(s, IPPROTO_IP, IP_ADD_MEMBERSHIP, &mr, sizeof(mr)) == 0);
    CHECK_ERR(setsockopt(s, IPPROTO_IP, IP_ADD_MEMBERSHIP, &mr, sizeof(mr)), EADDRINUSE);
    struct ip_mreqn out = {.imr_ifindex = 1, .imr_address.s_addr = htonl(INADDR_LOOPBACK)};
    CHECK(setsockopt(c, IPPROTO_IP, IP_MULTICAST_IF, &out, sizeof(out)) == 0);
    CHECK_EQ(getopt_int(c, IPPROTO_IP, IP_MULTICAST_TTL), 1);
    CHECK_EQ(sendto(c, "all", 3, 0, (struct sockaddr *)&g, sizeof(g)), 3);
    struct pollfd p = {s, POLLIN, 0};
    CHECK_EQ(poll(&p, 1, 1000), 1);
    CHECK_EQ(recv(s, b, 8, 0), 3);
    CHECK(setsockopt(s, IPPROTO_IP, IP_DROP_MEMBERSHIP, &mr, sizeof(mr)) == 0);
    CHECK_ERR(setsockopt(s, IPPROTO_IP, IP_DROP_MEMBERSHIP, &mr, sizeof(mr)), EADDRNOTAVAIL);
    mr.imr_multiaddr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK_ERR(setsockopt(s, IPPROTO_IP, IP_ADD_MEMBERSHIP, &mr, sizeof(mr)), EINVAL);
    close(s);
    close(c);
}

TEST(cork_and_segment)
{
    int s = bound("127.0.0.1", 0), c = udp4();
    struct sockaddr_in a = lo4(port_of(s));
    char b[64];
    CHECK(connect(c, (struct sockaddr *)&a, sizeof(a)) == 0);
    CHECK_EQ(send(c, "ab", 2, MSG_MORE), 2);
    CHECK_ERR(recv(s, b, 64, MSG_DONTWAIT), EAGAIN);
    CHECK_EQ(send(c, "cd", 2, 0), 2);
    CHECK_EQ(recv(s, b, 64, 0), 4);
    CHECK(setopt_int(c, IPPROTO_UDP, 103 /* UDP_SEGMENT */, 3) == 0);
    CHECK_EQ(send(c, "1234567", 7, 0), 7);
    CHECK_EQ(recv(s, b, 64, 0), 3);
    CHECK_EQ(recv(s, b, 64, 0), 3);
    CHECK_EQ(recv(s, b, 64, 0), 1);
    close(s);
    close(c);
}

TEST(receive_buffer_limit)
{
    int s = bound("127.0.0.1", 0), c = udp4(), n = 0;
    struct sockaddr_in a = lo4(port_of(s));
    static char b[1024];
    CHECK(setopt_int(s, SOL_SOCKET, SO_RCVBUF, 8192) == 0);
    CHECK_EQ(getopt_int(s, SOL_SOCKET, SO_RCVBUF), 16384);
    for (int i = 0; i < 100; i++)
        CHECK_EQ(sendto(c, b, 1024, 0, (struct sockaddr *)&a, sizeof(a)), 1024);
    while (recv(s, b, 1024, MSG_DONTWAIT) > 0)
        n++;
    CHECK(n >= 5 && n <= 16);
    close(s);
    close(c);
}

TEST(timestamps)
{
    int s = bound("127.0.0.1", 0), c = udp4();
    struct sockaddr_in a = lo4(port_of(s));
    char b[8], ctl[128];
    CHECK(setopt_int(s, SOL_SOCKET, SO_TIMESTAMPNS, 1) == 0);
    CHECK_EQ(getopt_int(s, SOL_SOCKET, SO_TIMESTAMPNS), 1);
    CHECK_EQ(getopt_int(s, SOL_SOCKET, SO_TIMESTAMP), 0);
    CHECK_EQ(sendto(c, "x", 1, 0, (struct sockaddr *)&a, sizeof(a)), 1);
    struct iovec iov = {b, 8};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = ctl, .msg_controllen = 128};
    CHECK_EQ(recvmsg(s, &m, 0), 1);
    struct cmsghdr *h = CMSG_FIRSTHDR(&m);
    CHECK(h && h->cmsg_level == SOL_SOCKET && h->cmsg_type == SO_TIMESTAMPNS);
    struct timespec ts, now;
    memcpy(&ts, CMSG_DATA(h), sizeof(ts));
    clock_gettime(CLOCK_REALTIME, &now);
    CHECK(now.tv_sec - ts.tv_sec <= 2 && now.tv_sec >= ts.tv_sec);
    close(s);
    close(c);
}
