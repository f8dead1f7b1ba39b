/* Network namespaces: what each has for itself, links between them, and what goes with one. */
#include <stdbool.h>

#include <linux/fib_rules.h>

#include "net_stream.h"

static void skip_without(const char *kind)
{
    int r = add_link(kind, "probe0");
    if (r == -EOPNOTSUPP)
        SKIP("this kernel has no such links");
    CHECK_EQ(r, 0);
    CHECK_EQ(del_link("probe0"), 0);
}

TEST(loopback_begins_down)
{
    fresh_ns();
    CHECK_EQ(link_flags("lo"), IFF_LOOPBACK);
    int s = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in a = lo4(9);
    CHECK_ERR(connect(s, (struct sockaddr *)&a, sizeof(a)), ENETUNREACH);
    close(s);
    s = socket(AF_INET, SOCK_DGRAM, 0);
    CHECK_EQ(link_up("lo", 1), 0);
    CHECK(link_flags("lo") & IFF_UP);
    CHECK(bind(s, (struct sockaddr *)&a, sizeof(a)) == 0);
    close(s);
    int c[2];
    tcp_pair(c);
    close(c[0]);
    close(c[1]);
}

TEST(ports_and_names_are_its_own)
{
    fresh_ns();
    struct sockaddr_un un = {.sun_family = AF_UNIX, .sun_path = "\0net_ns test"};
    socklen_t len = offsetof(struct sockaddr_un, sun_path) + 12;
    CHECK_EQ(link_up("lo", 1), 0);
    int t = sock_at(SOCK_STREAM, "127.0.0.1", 7070), u = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK(listen(t, 1) == 0);
    CHECK(bind(u, (struct sockaddr *)&un, len) == 0 && listen(u, 1) == 0);
    fresh_ns();
    CHECK_EQ(link_up("lo", 1), 0);
    int c = socket(AF_INET, SOCK_STREAM, 0);
    CHECK_ERR(connect_to(c, "127.0.0.1", 7070), ECONNREFUSED);
    int v = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK_ERR(connect(v, (struct sockaddr *)&un, len), ECONNREFUSED);
    CHECK(bind(v, (struct sockaddr *)&un, len) == 0);
    close(sock_at(SOCK_STREAM, "127.0.0.1", 7070));
    close(c);
    close(t);
    close(u);
    close(v);
}

static long number_in(const char *path)
{
    char b[64] = "";
    int fd = open(path, O_RDONLY);
    CHECK(fd >= 0);
    CHECK(read(fd, b, sizeof(b) - 1) > 0);
    close(fd);
    return strtol(b, NULL, 10);
}

TEST(sysctls_are_its_own)
{
    const char *path = "/proc/sys/net/ipv4/ip_default_ttl";
    fresh_ns();
    int first = own_ns();
    if (write_file(path, "33\n") < 0)
        SKIP("/proc/sys cannot be written here");
    fresh_ns();
    CHECK_EQ(number_in(path), 64);
    CHECK(write_file(path, "44\n") == 0);
    int second = own_ns();
    enter_ns(first);
    CHECK_EQ(number_in(path), 33);
    enter_ns(second);
    CHECK_EQ(number_in(path), 44);
    CHECK_EQ(getopt_int(socket(AF_INET, SOCK_DGRAM, 0), IPPROTO_IP, IP_TTL), 44);
    close(first);
    close(second);
}

/* Two namespaces joined by a pair: v0 with 10.9.0.1 and fd09::1 here, v1 with …2 there. */
static void two(int *ret_here, int *ret_there)
{
    fresh_ns();
    skip_without("veth");
    int there = own_ns();
    fresh_ns();
    int here = own_ns();
    CHECK_EQ(add_veth("v0", "v1", there), 0);
    CHECK_EQ(add_addr("v0", "10.9.0.1", 24), 0);
    CHECK_EQ(link_up("v0", 1), 0);
    enter_ns(there);
    CHECK_EQ(add_addr("v1", "10.9.0.2", 24), 0);
    CHECK_EQ(link_up("v1", 1), 0);
    CHECK_EQ(add_addr("v1", "fd09::2", 64), 0);
    enter_ns(here);
    CHECK_EQ(add_addr("v0", "fd09::1", 64), 0);
    *ret_here = here;
    *ret_there = there;
}

TEST(datagrams_over_veth)
{
    int here, there;
    two(&here, &there);
    int a = sock_at(SOCK_DGRAM, "10.9.0.1", 0), a6 = sock_at(SOCK_DGRAM, "fd09::1", 0);
    enter_ns(there);
    int b = sock_at(SOCK_DGRAM, "10.9.0.2", 5000), b6 = sock_at(SOCK_DGRAM, "fd09::2", 5000);
    udp_both_ways(a, b, "10.9.0.2", 5000);
    udp_both_ways(a6, b6, "fd09::2", 5000);
    char big[9000], got[9001];
    memset(big, 'x', sizeof(big)); /* in pieces */
    CHECK_EQ(send(a, big, sizeof(big), 0), sizeof(big));
    CHECK_EQ(recv(b, got, sizeof(got), 0), sizeof(big));
    CHECK(!memcmp(big, got, sizeof(big)));
    CHECK_EQ(send(a6, big, sizeof(big), 0), sizeof(big));
    CHECK_EQ(recv(b6, got, sizeof(got), 0), sizeof(big));
    close(a);
    close(b);
    close(a6);
    close(b6);
    close(here);
    close(there);
}

TEST(streams_over_veth)
{
    int here, there;
    two(&here, &there);
    stream_between(here, there, "10.9.0.1", "10.9.0.2", 8 << 20);
    stream_between(here, there, "fd09::1", "fd09::2", 8 << 20);
    close(here);
    close(there);
}

TEST(a_link_moves)
{
    int here, there;
    two(&here, &there);
    fresh_ns();
    int third = own_ns();
    enter_ns(here);
    unsigned index = if_nametoindex("v0");
    CHECK_EQ(set_link("v0", IFLA_NET_NS_FD, (unsigned)third), 0);
    CHECK_EQ(if_nametoindex("v0"), 0);
    enter_ns(third);
    CHECK_EQ(if_nametoindex("v0"), index); /* nobody had it here */
    CHECK(!(link_flags("v0") & IFF_UP));
    CHECK_EQ(add_addr("v0", "10.9.0.7", 24), 0); /* it came without */
    CHECK_EQ(link_up("v0", 1), 0);
    int a = sock_at(SOCK_DGRAM, "10.9.0.7", 0);
    enter_ns(there);
    int b = sock_at(SOCK_DGRAM, "10.9.0.2", 5000);
    udp_both_ways(a, b, "10.9.0.2", 5000);
    CHECK_EQ(set_link("lo", IFLA_NET_NS_FD, (unsigned)third), -EINVAL);
    CHECK_EQ(set_link("v1", IFLA_NET_NS_PID, 0x7ffffff), -ESRCH);
    close(a);
    close(b);
    close(here);
    close(there);
    close(third);
}

/* Waits for the message that an interface is gone. */
static void await_dellink(int s, int index)
{
    union {
        char b[16384];
        struct nlmsghdr h;
    } r;
    for (;;) {
        ssize_t n = recv(s, &r, sizeof(r), 0);
        CHECK(n > 0);
        for (struct nlmsghdr *h = &r.h; NLMSG_OK(h, n); h = NLMSG_NEXT(h, n))
            if (h->nlmsg_type == RTM_DELLINK &&
                ((struct ifinfomsg *)NLMSG_DATA(h))->ifi_index == index)
                return;
    }
}

TEST(links_go_with_their_namespace)
{
    int here, there;
    two(&here, &there);
    close(there); /* nobody is in it */
    int s = nl_open(RTMGRP_LINK);
    int index = (int)if_nametoindex("v0");
    if (index)
        await_dellink(s, index);
    CHECK_EQ(if_nametoindex("v0"), 0);
    close(s);
    close(here);
}

TEST(a_pair_goes_together)
{
    int here, there;
    two(&here, &there);
    CHECK_EQ(del_link("v0"), 0);
    enter_ns(there);
    CHECK_EQ(if_nametoindex("v1"), 0);
    CHECK_EQ(del_link("v1"), -ENODEV);
    CHECK_EQ(del_link("lo"), -EOPNOTSUPP);
    close(here);
    close(there);
}

struct flood {
    int sock;
    volatile int is_over;
};

static void *flood(void *arg)
{
    struct flood *f = arg;
    while (!f->is_over)
        (void)!send(f->sock, "flood", 5, MSG_DONTWAIT);
    return NULL;
}

TEST(removal_while_packets_fly)
{
    int here, there;
    two(&here, &there);
    for (int i = 0; i < 20; i++) {
        struct flood f = {.sock = socket(AF_INET, SOCK_DGRAM, 0)};
        pthread_t th;
        CHECK(connect_to(f.sock, "10.9.0.2", 9) == 0);
        CHECK(pthread_create(&th, NULL, flood, &f) == 0);
        int is_ok =
            i & 1 ? del_link("v0") == 0 : set_link("v0", IFLA_NET_NS_FD, (unsigned)there) == 0;
        f.is_over = 1;
        pthread_join(th, NULL);
        close(f.sock);
        CHECK(is_ok);
        if (!(i & 1)) {
            enter_ns(there);
            CHECK_EQ(del_link("v0"), 0);
            enter_ns(here);
        }
        CHECK_EQ(add_veth("v0", "v1", there), 0);
        CHECK_EQ(add_addr("v0", "10.9.0.1", 24), 0);
        CHECK_EQ(link_up("v0", 1), 0);
        enter_ns(there);
        CHECK_EQ(link_up("v1", 1), 0);
        enter_ns(here);
    }
    close(here);
    close(there);
}

TEST(namespaces_come_and_go)
{
    fresh_ns();
    skip_without("veth");
    for (int i = 0; i < 200; i++) {
        fresh_ns();
        CHECK_EQ(add_veth("v0", "v1", -1), 0);
        CHECK_EQ(link_up("v0", 1), 0);
        CHECK_EQ(link_up("v1", 1), 0);
    }
}

static int change_rule(int type, int action, int table, unsigned priority, const char *to, int len)
{
    struct nlreq q;
    unsigned char a[4];
    struct fib_rule_hdr h = {.family = AF_INET,
                             .dst_len = (unsigned char)len,
                             .table = (unsigned char)table,
                             .action = (unsigned char)action};
    nlq_init(&q, type, type == RTM_NEWRULE ? NLM_F_CREATE | NLM_F_EXCL : 0, &h, sizeof(h));
    nlq_u32(&q, FRA_PRIORITY, priority);
    CHECK_EQ(inet_pton(AF_INET, to, a), 1);
    nlq_attr(&q, FRA_DST, a, sizeof(a));
    return nlq_do(&q);
}

/* A datagram socket's connect, which finds a way or none. */
static int way_to(const char *addr)
{
    int s = socket(AF_INET, SOCK_DGRAM, 0);
    int r = connect_to(s, addr, 9) == 0 ? 0 : errno;
    close(s);
    return r;
}

TEST(rules_choose_the_table)
{
    fresh_ns();
    skip_without("veth");
    CHECK_EQ(add_veth("v0", "v1", -1), 0);
    CHECK_EQ(add_addr("v0", "10.9.0.1", 24), 0);
    CHECK_EQ(link_up("v0", 1), 0);
    CHECK_EQ(link_up("v1", 1), 0);
    CHECK_EQ(way_to("10.44.0.1"), ENETUNREACH);
    CHECK_EQ(add_route("", 0, "10.9.0.9", NULL), 0);
    CHECK_EQ(way_to("10.44.0.1"), 0);
    int r = change_rule(RTM_NEWRULE, FR_ACT_PROHIBIT, 0, 500, "10.44.0.0", 16);
    if (r == -EOPNOTSUPP || r == -EAFNOSUPPORT)
        SKIP("this kernel has no policy rules");
    CHECK_EQ(r, 0);
    CHECK_EQ(change_rule(RTM_NEWRULE, FR_ACT_PROHIBIT, 0, 500, "10.44.0.0", 16), -EEXIST);
    CHECK_EQ(way_to("10.44.0.1"), EACCES);
    CHECK_EQ(way_to("10.45.0.1"), 0);
    CHECK_EQ(change_rule(RTM_NEWRULE, FR_ACT_TO_TBL, 100, 400, "10.44.0.0", 16), 0);
    CHECK_EQ(way_to("10.44.0.1"), EACCES); /* the table has nothing: the next rule */
    CHECK_EQ(change_rule(RTM_DELRULE, FR_ACT_PROHIBIT, 0, 500, "10.44.0.0", 16), 0);
    CHECK_EQ(change_rule(RTM_DELRULE, FR_ACT_PROHIBIT, 0, 500, "10.44.0.0", 16), -ENOENT);
    CHECK_EQ(way_to("10.44.0.1"), 0);
}

TEST(links_are_limited)
{
    fresh_ns();
    skip_without("veth");
    int n = 0, r = 0;
    while (n < 600 && (r = add_link("bridge", "b%d")) == 0)
        n++;
    if (r != 0) { /* Linux makes them all */
        CHECK(n > 50);
        CHECK(r == -ENFILE || r == -ENOMEM);
    }
    fresh_ns(); /* and they are given back */
    CHECK_EQ(add_link("bridge", "b0"), 0);
}
