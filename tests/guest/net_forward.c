/* Forwarding between namespaces: a router in the middle, hop counts, narrow links, no way. */
#include "net_stream.h"

#include <linux/errqueue.h>
#include <netinet/ip_icmp.h>

static int left, router, right;

/* left 10.1.0.2 — r0 10.1.0.1 (router) r1 10.2.0.1 — right 10.2.0.2; the same with fd01:: and
 * fd02::. */
static void make_router(void)
{
    fresh_ns();
    left = own_ns();
    fresh_ns();
    right = own_ns();
    fresh_ns();
    router = own_ns();
    int r = add_veth("r0", "eth0", left);
    if (r == -EOPNOTSUPP)
        SKIP("this kernel has no such links");
    CHECK_EQ(r, 0);
    CHECK_EQ(add_veth("r1", "eth0", right), 0);
    if (write_file("/proc/sys/net/ipv4/ip_forward", "1\n") < 0 ||
        write_file("/proc/sys/net/ipv6/conf/all/forwarding", "1\n") < 0)
        SKIP("/proc/sys cannot be written here");
    CHECK_EQ(link_up("r0", 1), 0);
    CHECK_EQ(link_up("r1", 1), 0);
    CHECK_EQ(add_addr("r0", "10.1.0.1", 24), 0);
    CHECK_EQ(add_addr("r1", "10.2.0.1", 24), 0);
    for (int i = 0; i < 2; i++) {
        enter_ns(i ? right : left);
        CHECK_EQ(link_up("eth0", 1), 0);
        CHECK_EQ(add_addr("eth0", i ? "10.2.0.2" : "10.1.0.2", 24), 0);
        CHECK_EQ(add_route("", 0, i ? "10.2.0.1" : "10.1.0.1", NULL), 0);
        CHECK_EQ(add_addr("eth0", i ? "fd02::2" : "fd01::2", 64), 0);
    }
    enter_ns(router);
    CHECK_EQ(add_addr("r0", "fd01::1", 64), 0);
    CHECK_EQ(add_addr("r1", "fd02::1", 64), 0);
    enter_ns(left);
    CHECK_EQ(add_route("fd02::", 64, "fd01::1", NULL), 0);
    enter_ns(right);
    CHECK_EQ(add_route("fd01::", 64, "fd02::1", NULL), 0);
}

static void drop_router(void)
{
    close(left);
    close(router);
    close(right);
}

TEST(datagrams_pass)
{
    make_router();
    enter_ns(right);
    int b = sock_at(SOCK_DGRAM, "10.2.0.2", 5000), b6 = sock_at(SOCK_DGRAM, "fd02::2", 5000);
    CHECK(setopt_int(b, IPPROTO_IP, IP_RECVTTL, 1) == 0);
    enter_ns(left);
    int a = sock_at(SOCK_DGRAM, "10.1.0.2", 0), a6 = sock_at(SOCK_DGRAM, "fd01::2", 0);
    udp_both_ways(a, b, "10.2.0.2", 5000);
    udp_both_ways(a6, b6, "fd02::2", 5000);
    char data[16], control[64];
    struct iovec iov = {data, sizeof(data)};
    struct msghdr m = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = control,
                       .msg_controllen = sizeof(control)};
    CHECK_EQ(send(a, "ttl", 3, 0), 3);
    CHECK_EQ(recvmsg(b, &m, 0), 3);
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    CHECK(c && c->cmsg_type == IP_TTL);
    CHECK_EQ(*(int *)(void *)CMSG_DATA(c), 63);
    close(a);
    close(b);
    close(a6);
    close(b6);
    drop_router();
}

TEST(streams_pass)
{
    make_router();
    stream_between(left, right, "10.1.0.2", "10.2.0.2", 4 << 20);
    stream_between(left, right, "fd01::2", "fd02::2", 4 << 20);
    drop_router();
}

TEST(streams_pass_a_narrow_link)
{
    make_router();
    enter_ns(router);
    CHECK_EQ(set_link("r1", IFLA_MTU, 1300), 0);
    enter_ns(right);
    CHECK_EQ(set_link("eth0", IFLA_MTU, 1300), 0);
    stream_between(left, right, "10.1.0.2", "10.2.0.2", 4 << 20);
    stream_between(left, right, "fd01::2", "fd02::2", 4 << 20);
    drop_router();
}

TEST(large_datagrams_are_cut)
{
    static char big[1400], got[1500];
    make_router();
    enter_ns(router);
    CHECK_EQ(set_link("r1", IFLA_MTU, 600), 0);
    enter_ns(right);
    int b = sock_at(SOCK_DGRAM, "10.2.0.2", 5000);
    enter_ns(left);
    int a = sock_at(SOCK_DGRAM, "10.1.0.2", 0);
    CHECK(setopt_int(a, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT) == 0);
    CHECK(connect_to(a, "10.2.0.2", 5000) == 0);
    memset(big, 'z', sizeof(big));
    CHECK_EQ(send(a, big, sizeof(big), 0), sizeof(big));
    CHECK_EQ(recv(b, got, sizeof(got), 0), sizeof(big));
    CHECK(!memcmp(big, got, sizeof(big)));
    close(a);
    close(b);
    drop_router();
}

/* The error that comes back for what a sends: its type, code and errno. */
static struct sock_extended_err error_of(int a)
{
    char data[64], control[512];
    struct iovec iov = {data, sizeof(data)};
    struct msghdr m = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = control,
                       .msg_controllen = sizeof(control)};
    struct pollfd p = {a, 0, 0};
    struct sock_extended_err e = {0};
    CHECK_EQ(poll(&p, 1, 20000), 1);
    CHECK(recvmsg(a, &m, MSG_ERRQUEUE) >= 0);
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c))
        if (c->cmsg_type == IP_RECVERR || c->cmsg_type == IPV6_RECVERR)
            memcpy(&e, CMSG_DATA(c), sizeof(e));
    return e;
}

TEST(a_spent_packet_is_told_of)
{
    make_router();
    enter_ns(left);
    int a = sock_at(SOCK_DGRAM, "10.1.0.2", 0), a6 = sock_at(SOCK_DGRAM, "fd01::2", 0);
    CHECK(setopt_int(a, IPPROTO_IP, IP_TTL, 1) == 0);
    CHECK(setopt_int(a, IPPROTO_IP, IP_RECVERR, 1) == 0);
    CHECK(connect_to(a, "10.2.0.2", 33434) == 0);
    CHECK_EQ(send(a, "x", 1, 0), 1);
    struct sock_extended_err e = error_of(a);
    CHECK_EQ(e.ee_origin, SO_EE_ORIGIN_ICMP);
    CHECK_EQ(e.ee_type, ICMP_TIME_EXCEEDED);
    CHECK_EQ(e.ee_errno, EHOSTUNREACH);
    CHECK(setopt_int(a6, IPPROTO_IPV6, IPV6_UNICAST_HOPS, 1) == 0);
    CHECK(setopt_int(a6, IPPROTO_IPV6, IPV6_RECVERR, 1) == 0);
    CHECK(connect_to(a6, "fd02::2", 33434) == 0);
    CHECK_EQ(send(a6, "x", 1, 0), 1);
    e = error_of(a6);
    CHECK_EQ(e.ee_origin, SO_EE_ORIGIN_ICMP6);
    CHECK_EQ(e.ee_type, 3);
    close(a);
    close(a6);
    drop_router();
}

TEST(no_way_is_told_of)
{
    make_router();
    enter_ns(left);
    int a = sock_at(SOCK_DGRAM, "10.1.0.2", 0);
    CHECK(setopt_int(a, IPPROTO_IP, IP_RECVERR, 1) == 0);
    CHECK(connect_to(a, "10.99.0.1", 9) == 0);
    CHECK_EQ(send(a, "x", 1, 0), 1);
    struct sock_extended_err e = error_of(a);
    CHECK_EQ(e.ee_type, ICMP_DEST_UNREACH);
    CHECK_EQ(e.ee_code, ICMP_NET_UNREACH);
    CHECK_EQ(e.ee_errno, ENETUNREACH);
    close(a);
    drop_router();
}

TEST(off_means_off)
{
    make_router();
    enter_ns(router);
    CHECK(write_file("/proc/sys/net/ipv4/ip_forward", "0\n") == 0);
    enter_ns(right);
    int b = sock_at(SOCK_DGRAM, "10.2.0.2", 5000);
    enter_ns(left);
    int a = sock_at(SOCK_DGRAM, "10.1.0.2", 0);
    struct timeval tv = {0, 200000};
    char got[8];
    CHECK(setsockopt(b, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)) == 0);
    CHECK(connect_to(a, "10.2.0.2", 5000) == 0);
    CHECK_EQ(send(a, "x", 1, 0), 1);
    CHECK_ERR(recv(b, got, sizeof(got), 0), EAGAIN);
    close(a);
    close(b);
    drop_router();
}
