/* Bridges: ports, learning, local traffic, what may be a port, loops that end. */
#include "net_link.h"

#define NPORTS 3

static int ns_of_port[NPORTS], host;

static void port_name(char *name, const char *prefix, int i)
{
    sprintf(name, "%s%d", prefix, i);
}

static void enslave(const char *port, const char *bridge)
{
    CHECK_EQ(set_link(port, IFLA_MASTER, if_nametoindex(bridge)), 0);
    CHECK_EQ(link_up(port, 1), 0);
}

/* A bridge with 10.8.0.1 and a namespace with 10.8.0.10+i behind each port. */
static void make_bridge(void)
{
    fresh_ns();
    host = own_ns();
    int r = add_link("bridge", "b0");
    if (r == -EOPNOTSUPP)
        SKIP("this kernel has no bridges");
    CHECK_EQ(r, 0);
    CHECK_EQ(link_up("b0", 1), 0);
    CHECK_EQ(add_addr("b0", "10.8.0.1", 24), 0);
    for (int i = 0; i < NPORTS; i++) {
        char name[16], addr[32];
        fresh_ns();
        ns_of_port[i] = own_ns();
        enter_ns(host);
        port_name(name, "p", i);
        CHECK_EQ(add_veth(name, "eth0", ns_of_port[i]), 0);
        enslave(name, "b0");
        enter_ns(ns_of_port[i]);
        sprintf(addr, "10.8.0.%d", 10 + i);
        CHECK_EQ(add_addr("eth0", addr, 24), 0);
        CHECK_EQ(link_up("eth0", 1), 0);
        enter_ns(host);
    }
}

static void drop_bridge(void)
{
    enter_ns(host);
    close(host);
    for (int i = 0; i < NPORTS; i++)
        close(ns_of_port[i]);
}

/* A bridge's port forwards when a timer has run on Linux: asked until it answers. */
static void await_path(int s, const char *addr)
{
    struct timeval tv = {0, 200000}, old = {20, 0};
    char b[8];
    CHECK(setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)) == 0);
    CHECK(connect_to(s, addr, 7000) == 0);
    int i = 0;
    do {
        (void)!send(s, "?", 1, 0);
    } while (recv(s, b, sizeof(b), 0) != 1 && ++i < 200);
    CHECK(i < 200);
    CHECK(setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &old, sizeof(old)) == 0);
}

static void *echo_main(void *arg)
{
    int s = *(int *)arg;
    struct sockaddr_storage from;
    char b[64];
    for (;;) {
        socklen_t len = sizeof(from);
        ssize_t n = recvfrom(s, b, sizeof(b), 0, (struct sockaddr *)&from, &len);
        if (n == 4 && !memcmp(b, "over", 4))
            return NULL;
        if (n > 0)
            (void)!sendto(s, b, (size_t)n, 0, (struct sockaddr *)&from, len);
    }
}

TEST(ports_reach_each_other)
{
    pthread_t th[NPORTS];
    int echo[NPORTS];
    make_bridge();
    for (int i = 0; i < NPORTS; i++) {
        enter_ns(ns_of_port[i]);
        echo[i] = sock_at(SOCK_DGRAM, "0.0.0.0", 7000);
        CHECK(pthread_create(&th[i], NULL, echo_main, &echo[i]) == 0);
    }
    for (int i = 0; i <= NPORTS; i++) { /* the last: the bridge's own host */
        enter_ns(i < NPORTS ? ns_of_port[i] : host);
        for (int k = 0; k < NPORTS; k++) {
            char addr[32];
            if (i == k)
                continue;
            sprintf(addr, "10.8.0.%d", 10 + k);
            int s = sock_at(SOCK_DGRAM, "0.0.0.0", 0);
            await_path(s, addr);
            close(s);
        }
    }
    enter_ns(host);
    int s = sock_at(SOCK_DGRAM, "0.0.0.0", 0);
    for (int i = 0; i < NPORTS; i++) {
        char addr[32];
        sprintf(addr, "10.8.0.%d", 10 + i);
        CHECK(connect_to(s, addr, 7000) == 0);
        CHECK_EQ(send(s, "over", 4, 0), 4);
        pthread_join(th[i], NULL);
        close(echo[i]);
    }
    close(s);
    drop_bridge();
}

TEST(a_port_that_leaves_is_not_reached)
{
    make_bridge();
    enter_ns(ns_of_port[0]);
    int a = sock_at(SOCK_DGRAM, "10.8.0.10", 7000);
    enter_ns(host);
    int b = sock_at(SOCK_DGRAM, "10.8.0.1", 0);
    pthread_t th;
    CHECK(pthread_create(&th, NULL, echo_main, &a) == 0);
    await_path(b, "10.8.0.10");
    CHECK_EQ(send(b, "over", 4, 0), 4);
    pthread_join(th, NULL);
    CHECK_EQ(set_link("p0", IFLA_MASTER, 0), 0);
    struct timeval tv = {0, 100000};
    char got[8];
    CHECK(setsockopt(a, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)) == 0);
    (void)!send(b, "lost", 4, 0);
    CHECK_ERR(recv(a, got, sizeof(got), 0), EAGAIN);
    close(a);
    close(b);
    drop_bridge();
}

TEST(what_may_be_a_port)
{
    make_bridge();
    CHECK_EQ(add_link("bridge", "b1"), 0);
    CHECK_EQ(set_link("b1", IFLA_MASTER, if_nametoindex("b0")), -ELOOP);
    CHECK_EQ(set_link("b0", IFLA_MASTER, if_nametoindex("b0")), -ELOOP);
    CHECK_EQ(set_link("lo", IFLA_MASTER, if_nametoindex("b0")), -EINVAL);
    CHECK_EQ(set_link("p0", IFLA_MASTER, 4711), -EINVAL);
    CHECK_EQ(set_link("p0", IFLA_MASTER, if_nametoindex("p1")), -EOPNOTSUPP);
    CHECK_EQ(del_link("b0"), 0); /* with ports in it */
    CHECK(if_nametoindex("p0"));
    drop_bridge();
}

/* Two bridges joined twice: what is sent to all goes round until the links are gone. */
TEST(a_loop_ends_with_its_links)
{
    make_bridge();
    CHECK_EQ(add_link("bridge", "b1"), 0);
    CHECK_EQ(add_veth("x0", "x1", -1), 0);
    CHECK_EQ(add_veth("y0", "y1", -1), 0);
    enslave("x0", "b0");
    enslave("x1", "b1");
    enslave("y0", "b0");
    enslave("y1", "b1");
    CHECK_EQ(link_up("b1", 1), 0);
    int s = socket(AF_INET, SOCK_DGRAM, 0);
    CHECK(setopt_int(s, SOL_SOCKET, SO_BROADCAST, 1) == 0);
    CHECK(connect_to(s, "10.8.0.255", 9) == 0);
    for (int i = 0; i < 50; i++)
        (void)!send(s, "round", 5, MSG_DONTWAIT);
    CHECK_EQ(del_link("x0"), 0);
    CHECK_EQ(del_link("y1"), 0);
    CHECK_EQ(if_nametoindex("x1"), 0);
    CHECK_EQ(if_nametoindex("y0"), 0);
    close(s);
    drop_bridge();
}
