/* TCP over the loopback. True on Linux. */
#include "net_common.h"

#define REFUSED_EVENTS (EV_ALL | EPOLLERR)

static int bind4(int s, const char *ip, int port)
{
    struct sockaddr_in a = lo4(port);
    inet_pton(AF_INET, ip, &a.sin_addr);
    return bind(s, (struct sockaddr *)&a, sizeof(a));
}

static int connect4(int s, const char *ip, int port)
{
    struct sockaddr_in a = lo4(port);
    inet_pton(AF_INET, ip, &a.sin_addr);
    return connect(s, (struct sockaddr *)&a, sizeof(a));
}

static int tcp4(void)
{
    int s = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(s >= 0);
    return s;
}

static int unused_port(void)
{
    int s = tcp4();
    CHECK(bind4(s, "127.0.0.1", 0) == 0);
    int p = port_of(s);
    close(s);
    return p;
}

TEST(create_errors)
{
    CHECK_ERR(socket(AF_INET, SOCK_STREAM, IPPROTO_UDP), EPROTONOSUPPORT);
    CHECK_ERR(socket(AF_INET, SOCK_DGRAM, IPPROTO_TCP), EPROTONOSUPPORT);
    CHECK_ERR(socket(AF_INET, SOCK_SEQPACKET, 0), ESOCKTNOSUPPORT);
    CHECK_ERR(socket(AF_INET, SOCK_STREAM, 300), EINVAL);
    CHECK_ERR(socket(AF_INET, SOCK_STREAM, -1), EINVAL);
}

TEST(fresh_states)
{
    int s = tcp4();
    char b[4];
    struct sockaddr_in a;
    socklen_t len = sizeof(a);
    CHECK_EQ(events_of(s), EPOLLOUT | EPOLLHUP);
    CHECK_ERR(recv(s, b, 4, 0), ENOTCONN);
    CHECK_ERR(send(s, b, 4, MSG_NOSIGNAL), EPIPE);
    CHECK_ERR(shutdown(s, SHUT_RDWR), ENOTCONN);
    CHECK_ERR(getpeername(s, (struct sockaddr *)&a, &len), ENOTCONN);
    CHECK_ERR(accept(s, NULL, NULL), EINVAL);
    len = sizeof(a);
    CHECK(getsockname(s, (struct sockaddr *)&a, &len) == 0);
    CHECK(len == sizeof(a) && a.sin_family == AF_INET && a.sin_port == 0 && a.sin_addr.s_addr == 0);
    CHECK_ERR(connect(s, (struct sockaddr *)&a, 4), EINVAL);
    a.sin_family = AF_INET6;
    CHECK_ERR(connect(s, (struct sockaddr *)&a, sizeof(a)), EAFNOSUPPORT);
    close(s);
}

TEST(refused)
{
    int s = tcp4(), port = unused_port();
    CHECK_ERR(connect4(s, "127.0.0.1", port), ECONNREFUSED);
    CHECK_ERR(connect4(s, "127.0.0.1", port), ECONNREFUSED);
    close(s);
    s = tcp4();
    nonblock(s, 1);
    CHECK_ERR(connect4(s, "127.0.0.1", port), EINPROGRESS);
    CHECK_EQ(events_of(s), REFUSED_EVENTS);
    CHECK_EQ(getopt_int(s, SOL_SOCKET, SO_ERROR), ECONNREFUSED);
    CHECK_EQ(getopt_int(s, SOL_SOCKET, SO_ERROR), 0);
    CHECK_ERR(connect4(s, "127.0.0.1", port), ECONNABORTED);
    close(s);
    s = tcp4();
    nonblock(s, 1);
    CHECK_ERR(connect4(s, "127.0.0.1", port), EINPROGRESS);
    char b[4];
    CHECK_ERR(recv(s, b, 4, 0), ECONNREFUSED);
    CHECK_EQ(recv(s, b, 4, 0), 0);
    close(s);
}

TEST(nonblocking_connect)
{
    int port, l = tcp_listener(5, &port), s = tcp4();
    nonblock(s, 1);
    CHECK_ERR(connect4(s, "127.0.0.1", port), EINPROGRESS);
    CHECK_EQ(events_of(s), EPOLLOUT);
    CHECK_EQ(getopt_int(s, SOL_SOCKET, SO_ERROR), 0);
    CHECK(connect4(s, "127.0.0.1", port) == 0);
    CHECK_ERR(connect4(s, "127.0.0.1", port), EISCONN);
    CHECK_EQ(events_of(l), EPOLLIN);
    close(s);
    close(l);
}

TEST(drain_then_events)
{
    int c[2];
    char b[64];
    tcp_pair(c);
    CHECK_EQ(events_of(c[0]), EPOLLOUT);
    CHECK_EQ(write(c[1], "hello", 5), 5);
    CHECK_EQ(events_of(c[0]), EPOLLIN | EPOLLOUT);
    close(c[1]);
    CHECK_EQ(events_of(c[0]), EPOLLIN | EPOLLOUT | EPOLLRDHUP);
    CHECK_EQ(read(c[0], b, 64), 5);
    CHECK_EQ(read(c[0], b, 64), 0);
    CHECK(shutdown(c[0], SHUT_WR) == 0);
    CHECK_EQ(events_of(c[0]), 8213);
    close(c[0]);
}

TEST(write_after_peer_close)
{
    int c[2];
    char b[8];
    tcp_pair(c);
    close(c[1]);
    sleep_ms(5);
    CHECK_EQ(send(c[0], "x", 1, MSG_NOSIGNAL), 1);
    sleep_ms(5);
    CHECK_EQ(events_of(c[0]), EV_ALL | EPOLLERR);
    CHECK_ERR(send(c[0], "x", 1, MSG_NOSIGNAL), EPIPE);
    CHECK_EQ(recv(c[0], b, 8, 0), 0);
    close(c[0]);
}

TEST(unread_close_is_reset)
{
    int c[2];
    char b[8];
    tcp_pair(c);
    CHECK_EQ(write(c[0], "abc", 3), 3);
    sleep_ms(5);
    CHECK_EQ(write(c[1], "de", 2), 2);
    close(c[1]);
    sleep_ms(5);
    CHECK_EQ(events_of(c[0]), EV_ALL | EPOLLERR);
    CHECK_EQ(read(c[0], b, 8), 2);
    CHECK_ERR(read(c[0], b, 8), ECONNRESET);
    CHECK_EQ(read(c[0], b, 8), 0);
    CHECK_ERR(send(c[0], "x", 1, MSG_NOSIGNAL), EPIPE);
    close(c[0]);
}

TEST(linger_zero_is_reset)
{
    int c[2];
    struct linger l = {1, 0}, got;
    socklen_t len = sizeof(got);
    char b[8];
    tcp_pair(c);
    CHECK(setsockopt(c[1], SOL_SOCKET, SO_LINGER, &l, sizeof(l)) == 0);
    CHECK(getsockopt(c[1], SOL_SOCKET, SO_LINGER, &got, &len) == 0);
    CHECK(got.l_onoff == 1 && got.l_linger == 0);
    close(c[1]);
    sleep_ms(5);
    CHECK_ERR(read(c[0], b, 8), ECONNRESET);
    close(c[0]);
}

TEST(half_close)
{
    int c[2];
    char b[8];
    tcp_pair(c);
    CHECK(shutdown(c[0], SHUT_WR) == 0);
    CHECK_EQ(recv(c[1], b, 8, 0), 0);
    CHECK_EQ(events_of(c[1]), EPOLLIN | EPOLLOUT | EPOLLRDHUP);
    CHECK_EQ(send(c[1], "reply", 5, 0), 5);
    CHECK_EQ(recv(c[0], b, 8, 0), 5);
    CHECK_ERR(send(c[0], "x", 1, MSG_NOSIGNAL), EPIPE);
    close(c[1]);
    CHECK_EQ(recv(c[0], b, 8, 0), 0);
    struct sockaddr_in a;
    socklen_t len = sizeof(a);
    sleep_ms(5);
    CHECK_ERR(getpeername(c[0], (struct sockaddr *)&a, &len), ENOTCONN);
    close(c[0]);
}

TEST(shutdown_read_only)
{
    int c[2];
    char b[8];
    tcp_pair(c);
    CHECK(shutdown(c[0], SHUT_RD) == 0);
    CHECK_EQ(recv(c[0], b, 8, 0), 0);
    CHECK_EQ(send(c[1], "data", 4, 0), 4);
    sleep_ms(5);
    CHECK_EQ(recv(c[0], b, 8, 0), 4);
    CHECK_EQ(recv(c[0], b, 8, 0), 0);
    CHECK_EQ(send(c[0], "out", 3, 0), 3);
    CHECK_EQ(recv(c[1], b, 8, 0), 3);
    close(c[0]);
    close(c[1]);
}

TEST(names)
{
    int port, l = tcp_listener(5, &port), c = tcp_connect_to(port);
    struct sockaddr_in a, p;
    socklen_t len = sizeof(a);
    int s = accept(l, (struct sockaddr *)&p, &len);
    CHECK(s >= 0 && len == sizeof(p));
    CHECK(getsockname(c, (struct sockaddr *)&a, &len) == 0);
    CHECK(a.sin_port == p.sin_port && a.sin_addr.s_addr == htonl(INADDR_LOOPBACK));
    CHECK(getpeername(c, (struct sockaddr *)&a, &len) == 0);
    CHECK_EQ(ntohs(a.sin_port), port);
    CHECK(getsockname(s, (struct sockaddr *)&a, &len) == 0);
    CHECK_EQ(ntohs(a.sin_port), port);
    len = 4;
    CHECK(getpeername(s, (struct sockaddr *)&a, &len) == 0);
    CHECK_EQ(len, 16);
    len = (socklen_t)-1;
    CHECK_ERR(getpeername(s, (struct sockaddr *)&a, &len), EINVAL);
    close(c);
    close(s);
    close(l);
}

TEST(other_loopback_addresses)
{
    int port, l = tcp4(), c = tcp4();
    struct sockaddr_in a;
    socklen_t len = sizeof(a);
    CHECK(bind4(l, "0.0.0.0", 0) == 0 && listen(l, 5) == 0);
    port = port_of(l);
    CHECK(connect4(c, "127.1.2.3", port) == 0);
    CHECK(getpeername(c, (struct sockaddr *)&a, &len) == 0);
    CHECK_EQ(ntohl(a.sin_addr.s_addr), 0x7f010203);
    CHECK(getsockname(c, (struct sockaddr *)&a, &len) == 0);
    CHECK_EQ(ntohl(a.sin_addr.s_addr), 0x7f000001);
    int s = accept(l, NULL, NULL);
    CHECK(getsockname(s, (struct sockaddr *)&a, &len) == 0);
    CHECK_EQ(ntohl(a.sin_addr.s_addr), 0x7f010203);
    close(s);
    close(c);
    c = tcp4();
    CHECK(connect4(c, "0.0.0.0", port) == 0);
    CHECK(getpeername(c, (struct sockaddr *)&a, &len) == 0);
    CHECK_EQ(ntohl(a.sin_addr.s_addr), 0x7f000001);
    close(c);
    close(l);
    l = tcp4();
    CHECK(bind4(l, "127.0.0.5", 0) == 0 && listen(l, 5) == 0);
    port = port_of(l);
    c = tcp4();
    CHECK_ERR(connect4(c, "127.0.0.1", port), ECONNREFUSED);
    CHECK(connect4(c, "127.0.0.5", port) == 0);
    close(c);
    close(l);
}

TEST(bind_rules)
{
    int a = tcp4(), b = tcp4(), port, first_ephemeral, last_ephemeral;
    FILE *range = fopen("/proc/sys/net/ipv4/ip_local_port_range", "r");
    CHECK(range && fscanf(range, "%d %d", &first_ephemeral, &last_ephemeral) == 2);
    fclose(range);
    CHECK(bind4(a, "127.0.0.1", 0) == 0);
    port = port_of(a);
    CHECK(port >= first_ephemeral && port <= last_ephemeral);
    CHECK_ERR(bind4(a, "127.0.0.1", 0), EINVAL);
    CHECK_ERR(bind4(b, "127.0.0.1", port), EADDRINUSE);
    CHECK_ERR(bind4(b, "0.0.0.0", port), EADDRINUSE);
    CHECK(bind4(b, "127.0.0.2", port) == 0);
    close(a);
    close(b);
    /* SO_REUSEADDR on both: two may bind, one may listen */
    a = tcp4();
    b = tcp4();
    setopt_int(a, SOL_SOCKET, SO_REUSEADDR, 1);
    setopt_int(b, SOL_SOCKET, SO_REUSEADDR, 1);
    CHECK(bind4(a, "127.0.0.1", 0) == 0);
    port = port_of(a);
    CHECK(bind4(b, "127.0.0.1", port) == 0);
    CHECK(listen(a, 1) == 0);
    CHECK_ERR(listen(b, 1), EADDRINUSE);
    int c = tcp4();
    setopt_int(c, SOL_SOCKET, SO_REUSEADDR, 1);
    CHECK_ERR(bind4(c, "127.0.0.1", port), EADDRINUSE);
    close(a);
    close(b);
    close(c);
    a = tcp4();
    CHECK_ERR(bind4(a, "203.0.113.9", 0), EADDRNOTAVAIL);
    struct sockaddr_in x = lo4(0);
    CHECK_ERR(bind(a, (struct sockaddr *)&x, 8), EINVAL);
    x.sin_family = AF_INET6;
    CHECK_ERR(bind(a, (struct sockaddr *)&x, sizeof(x)), EAFNOSUPPORT);
    x = (struct sockaddr_in){.sin_family = AF_UNSPEC};
    CHECK(bind(a, (struct sockaddr *)&x, sizeof(x)) == 0);
    close(a);
    a = tcp4();
    CHECK(setopt_int(a, IPPROTO_IP, IP_FREEBIND, 1) == 0);
    CHECK(bind4(a, "203.0.113.9", 0) == 0);
    close(a);
}

TEST(time_wait)
{
    int port, l = tcp4(), c = tcp4();
    CHECK(bind4(l, "127.0.0.1", 0) == 0 && listen(l, 5) == 0);
    port = port_of(l);
    CHECK(connect4(c, "127.0.0.1", port) == 0);
    int s = accept(l, NULL, NULL);
    close(s); /* the server closes first: its port waits */
    char b[4];
    CHECK_EQ(read(c, b, 4), 0);
    close(c);
    close(l);
    sleep_ms(5);
    l = tcp4();
    CHECK_ERR(bind4(l, "127.0.0.1", port), EADDRINUSE);
    close(l);
    /* with SO_REUSEADDR on both generations it is free */
    l = tcp4();
    setopt_int(l, SOL_SOCKET, SO_REUSEADDR, 1);
    CHECK(bind4(l, "127.0.0.1", 0) == 0 && listen(l, 5) == 0);
    port = port_of(l);
    c = tcp4();
    CHECK(connect4(c, "127.0.0.1", port) == 0);
    s = accept(l, NULL, NULL);
    close(s);
    CHECK_EQ(read(c, b, 4), 0);
    close(c);
    close(l);
    l = tcp4();
    setopt_int(l, SOL_SOCKET, SO_REUSEADDR, 1);
    CHECK(bind4(l, "127.0.0.1", port) == 0);
    close(l);
}

TEST(bound_port_same_tuple)
{
    int port, l = tcp_listener(5, &port), c = tcp4(), d = tcp4();
    setopt_int(c, SOL_SOCKET, SO_REUSEADDR, 1);
    setopt_int(d, SOL_SOCKET, SO_REUSEADDR, 1);
    CHECK(bind4(c, "127.0.0.1", 0) == 0);
    CHECK(bind4(d, "127.0.0.1", port_of(c)) == 0);
    CHECK(connect4(c, "127.0.0.1", port) == 0);
    CHECK_ERR(connect4(d, "127.0.0.1", port), EADDRNOTAVAIL);
    close(d);
    close(c);
    close(l);
}

TEST(reuseport_balances)
{
    int l[4], port = 0, hits[4] = {0};
    for (int i = 0; i < 4; i++) {
        l[i] = tcp4();
        CHECK(setopt_int(l[i], SOL_SOCKET, SO_REUSEPORT, 1) == 0);
        CHECK(bind4(l[i], "127.0.0.1", port) == 0);
        port = port_of(l[i]);
        CHECK(listen(l[i], 100) == 0);
        nonblock(l[i], 1);
    }
    int lone = tcp4();
    CHECK_ERR(bind4(lone, "127.0.0.1", port), EADDRINUSE);
    close(lone);
    int c[80];
    for (int i = 0; i < 80; i++)
        c[i] = tcp_connect_to(port);
    for (int i = 0; i < 4; i++) {
        int s;
        while ((s = accept(l[i], NULL, NULL)) >= 0) {
            hits[i]++;
            close(s);
        }
        close(l[i]);
    }
    for (int i = 0; i < 80; i++)
        close(c[i]);
    CHECK_EQ(hits[0] + hits[1] + hits[2] + hits[3], 80);
    for (int i = 0; i < 4; i++)
        CHECK(hits[i] >= 4);
}

static int tcp6(int only)
{
    int s = socket(AF_INET6, SOCK_STREAM, 0);
    CHECK(s >= 0);
    if (only >= 0)
        CHECK(setopt_int(s, IPPROTO_IPV6, IPV6_V6ONLY, only) == 0);
    return s;
}

static int bind6(int s, const char *ip, int port)
{
    struct sockaddr_in6 a = lo6(port);
    inet_pton(AF_INET6, ip, &a.sin6_addr);
    return bind(s, (struct sockaddr *)&a, sizeof(a));
}

static int connect6(int s, const char *ip, int port)
{
    struct sockaddr_in6 a = lo6(port);
    inet_pton(AF_INET6, ip, &a.sin6_addr);
    return connect(s, (struct sockaddr *)&a, sizeof(a));
}

TEST(ipv6_dual_stack)
{
    int l = tcp6(0), c, s, port;
    struct sockaddr_in6 a;
    socklen_t len = sizeof(a);
    char t[64];
    CHECK(bind6(l, "::", 0) == 0 && listen(l, 5) == 0);
    port = port_of(l);
    CHECK_ERR(setopt_int(l, IPPROTO_IPV6, IPV6_V6ONLY, 1), EINVAL);
    c = tcp_connect_to(port);
    s = accept(l, (struct sockaddr *)&a, &len);
    CHECK(s >= 0);
    CHECK_STR(inet_ntop(AF_INET6, &a.sin6_addr, t, sizeof(t)), "::ffff:127.0.0.1");
    close(s);
    close(c);
    c = tcp6(-1);
    CHECK(connect6(c, "::", port) == 0);
    CHECK(getpeername(c, (struct sockaddr *)&a, &len) == 0);
    CHECK_STR(inet_ntop(AF_INET6, &a.sin6_addr, t, sizeof(t)), "::1");
    close(c);
    c = tcp6(-1);
    CHECK(connect6(c, "::ffff:127.0.0.1", port) == 0);
    CHECK(getsockname(c, (struct sockaddr *)&a, &len) == 0);
    CHECK_STR(inet_ntop(AF_INET6, &a.sin6_addr, t, sizeof(t)), "::ffff:127.0.0.1");
    close(c);
    c = tcp4();
    CHECK_ERR(bind4(c, "127.0.0.1", port), EADDRINUSE);
    close(c);
    close(l);
    l = tcp6(1);
    CHECK(bind6(l, "::", 0) == 0 && listen(l, 5) == 0);
    port = port_of(l);
    c = tcp4();
    CHECK_ERR(connect4(c, "127.0.0.1", port), ECONNREFUSED);
    CHECK(bind4(c, "127.0.0.1", port) == 0);
    close(c);
    c = tcp6(1);
    CHECK_ERR(connect6(c, "::ffff:127.0.0.1", port), ENETUNREACH);
    close(c);
    close(l);
    c = tcp6(-1);
    CHECK_ERR(bind6(c, "2001:db8::1", 0), EADDRNOTAVAIL);
    CHECK_ERR(bind6(c, "fe80::1", 0), EINVAL);
    close(c);
}

TEST(backlog_full_waits)
{
    int port, l = tcp_listener(0, &port), c = tcp_connect_to(port), d = tcp4();
    nonblock(d, 1);
    CHECK_ERR(connect4(d, "127.0.0.1", port), EINPROGRESS);
    CHECK_EQ(events_of(d), 0);
    CHECK_ERR(connect4(d, "127.0.0.1", port), EALREADY);
    int s = accept(l, NULL, NULL);
    CHECK(s >= 0);
    struct pollfd p = {d, POLLOUT, 0};
    CHECK_EQ(poll(&p, 1, 5000), 1);
    CHECK_EQ(getopt_int(d, SOL_SOCKET, SO_ERROR), 0);
    close(s);
    close(c);
    close(d);
    close(l);
}

TEST(listener_close_resets_queued)
{
    int port, l = tcp_listener(5, &port), c = tcp_connect_to(port);
    char b[4];
    close(l);
    sleep_ms(5);
    CHECK_ERR(read(c, b, 4), ECONNRESET);
    close(c);
}

static void *accept_thread(void *arg)
{
    int r = accept(*(int *)arg, NULL, NULL);
    return (void *)(intptr_t)(r < 0 ? -errno : r);
}

TEST(shutdown_listener_wakes_accept)
{
    int port, l = tcp_listener(5, &port);
    pthread_t th;
    void *r;
    CHECK(pthread_create(&th, NULL, accept_thread, &l) == 0);
    sleep_ms(30);
    CHECK(shutdown(l, SHUT_RD) == 0);
    pthread_join(th, &r);
    CHECK_EQ((long)r, -EINVAL);
    close(l);
}

TEST(disconnect_and_reuse)
{
    int c[2], port, l = tcp_listener(5, &port);
    struct sockaddr_in u = {.sin_family = AF_UNSPEC};
    char b[4];
    c[0] = tcp_connect_to(port);
    c[1] = accept(l, NULL, NULL);
    CHECK(connect(c[0], (struct sockaddr *)&u, sizeof(u)) == 0);
    sleep_ms(5);
    CHECK_ERR(read(c[1], b, 4), ECONNRESET);
    close(c[1]);
    getopt_int(c[0], SOL_SOCKET, SO_ERROR);
    CHECK(connect4(c[0], "127.0.0.1", port) == 0);
    c[1] = accept(l, NULL, NULL);
    CHECK_EQ(write(c[0], "ok", 2), 2);
    CHECK_EQ(read(c[1], b, 4), 2);
    close(c[0]);
    close(c[1]);
    close(l);
}

TEST(self_connect)
{
    int s = tcp4(), port;
    char b[8];
    CHECK(bind4(s, "127.0.0.1", 0) == 0);
    port = port_of(s);
    CHECK(connect4(s, "127.0.0.1", port) == 0);
    CHECK_EQ(write(s, "self", 4), 4);
    CHECK_EQ(read(s, b, 8), 4);
    close(s);
}

TEST(recv_flags)
{
    int c[2], n;
    char b[16];
    tcp_pair(c);
    CHECK_ERR(recv(c[0], b, 4, MSG_DONTWAIT), EAGAIN);
    CHECK_EQ(send(c[1], "abcdef", 6, 0), 6);
    CHECK_EQ(recv(c[0], b, 3, MSG_PEEK), 3);
    CHECK(ioctl(c[0], FIONREAD, &n) == 0);
    CHECK_EQ(n, 6);
    CHECK_EQ(recv(c[0], b, 2, MSG_TRUNC), 2);
    CHECK_EQ(recv(c[0], b, 16, 0), 4);
    CHECK(memcmp(b, "cdef", 4) == 0);
    struct timeval tv = {0, 40000};
    CHECK(setsockopt(c[0], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)) == 0);
    CHECK_EQ(send(c[1], "xy", 2, 0), 2);
    CHECK_EQ(recv(c[0], b, 4, MSG_WAITALL), 2);
    CHECK_ERR(recv(c[0], b, 4, MSG_WAITALL), EAGAIN);
    /* the name of a stream's sender is not told */
    struct sockaddr_in a;
    socklen_t len = sizeof(a);
    CHECK_EQ(send(c[1], "z", 1, 0), 1);
    CHECK_EQ(recvfrom(c[0], b, 4, 0, (struct sockaddr *)&a, &len), 1);
    CHECK_EQ(len, 0);
    CHECK(setopt_int(c[0], SOL_SOCKET, SO_RCVLOWAT, 3) == 0);
    CHECK_EQ(send(c[1], "12", 2, 0), 2);
    CHECK_EQ(events_of(c[0]), EPOLLOUT);
    CHECK_EQ(send(c[1], "3", 1, 0), 1);
    CHECK_EQ(events_of(c[0]), EPOLLIN | EPOLLOUT);
    close(c[0]);
    close(c[1]);
}

TEST(urgent)
{
    int c[2], at;
    char b[16];
    tcp_pair(c);
    CHECK_ERR(recv(c[0], b, 1, MSG_OOB), EINVAL);
    CHECK_EQ(send(c[1], "abcU", 4, MSG_OOB), 4);
    CHECK_EQ(send(c[1], "def", 3, 0), 3);
    sleep_ms(5);
    CHECK_EQ(events_of(c[0]), EPOLLIN | EPOLLOUT | EPOLLPRI);
    CHECK(ioctl(c[0], SIOCATMARK, &at) == 0 && at == 0);
    CHECK_EQ(recv(c[0], b, 16, 0), 3);
    CHECK(ioctl(c[0], SIOCATMARK, &at) == 0 && at == 1);
    CHECK_EQ(recv(c[0], b, 16, MSG_OOB), 1);
    CHECK_EQ(b[0], 'U');
    CHECK_ERR(recv(c[0], b, 16, MSG_OOB), EINVAL);
    CHECK_EQ(recv(c[0], b, 16, 0), 3);
    CHECK(memcmp(b, "def", 3) == 0);
    CHECK(setopt_int(c[0], SOL_SOCKET, SO_OOBINLINE, 1) == 0);
    CHECK_EQ(send(c[1], "xV", 2, MSG_OOB), 2);
    sleep_ms(5);
    CHECK_EQ(recv(c[0], b, 16, 0), 1);
    CHECK_EQ(recv(c[0], b, 16, 0), 1);
    CHECK_EQ(b[0], 'V');
    close(c[0]);
    close(c[1]);
}

TEST(full_and_writable_again)
{
    int c[2];
    static char big[65536];
    long total = 0, got = 0;
    tcp_pair(c);
    nonblock(c[0], 1);
    nonblock(c[1], 1);
    for (ssize_t n; (n = write(c[0], big, sizeof(big))) > 0;)
        total += n;
    CHECK_EQ(errno, EAGAIN);
    CHECK(total > 500000);
    CHECK_EQ(events_of(c[0]), 0);
    int ep = epoll_create1(0);
    struct epoll_event ev = {.events = EPOLLOUT | EPOLLET};
    CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, c[0], &ev) == 0);
    CHECK_EQ(epoll_wait(ep, &ev, 1, 0), 0);
    for (int i = 0; i < 2000 && got < total; i++) {
        ssize_t n = read(c[1], big, sizeof(big));
        if (n > 0)
            got += n;
        else
            sleep_ms(1);
    }
    CHECK_EQ(got, total);
    CHECK_EQ(epoll_wait(ep, &ev, 1, 1000), 1);
    close(ep);
    close(c[0]);
    close(c[1]);
}

struct pump {
    int fd;
    long size;
};

static void *pump_thread(void *arg)
{
    struct pump *p = arg;
    char *buf = malloc((size_t)p->size);
    for (long i = 0; i < p->size; i++)
        buf[i] = (char)(i * 13 + (i >> 11));
    long at = 0;
    while (at < p->size) {
        ssize_t n = write(p->fd, buf + at, (size_t)(p->size - at));
        if (n <= 0)
            break;
        at += n;
    }
    free(buf);
    shutdown(p->fd, SHUT_WR);
    return (void *)at;
}

TEST(bulk_both_ways)
{
    int c[2];
    enum { SIZE = 8 << 20 };
    pthread_t th[2];
    tcp_pair(c);
    struct pump p[2] = {{c[0], SIZE}, {c[1], SIZE}};
    for (int i = 0; i < 2; i++)
        CHECK(pthread_create(&th[i], NULL, pump_thread, &p[i]) == 0);
    static char b[100000];
    long at[2] = {0, 0};
    struct pollfd f[2] = {{c[0], POLLIN, 0}, {c[1], POLLIN, 0}};
    while (f[0].fd >= 0 || f[1].fd >= 0) {
        CHECK(poll(f, 2, 10000) > 0);
        for (int i = 0; i < 2; i++) {
            if (f[i].fd < 0 || !f[i].revents)
                continue;
            ssize_t n = read(f[i].fd, b, (size_t)(at[i] % 99999) + 1);
            CHECK(n >= 0);
            for (long k = 0; k < n; k++, at[i]++)
                CHECK(b[k] == (char)(at[i] * 13 + (at[i] >> 11)));
            if (n == 0)
                f[i].fd = -1;
        }
    }
    CHECK_EQ(at[0], SIZE);
    CHECK_EQ(at[1], SIZE);
    for (int i = 0; i < 2; i++)
        pthread_join(th[i], NULL);
    close(c[0]);
    close(c[1]);
}

TEST(many_short_connections)
{
    int port, l = tcp_listener(50, &port);
    char b[4];
    for (int i = 0; i < 2000; i++) {
        int c = tcp_connect_to(port), s = accept(l, NULL, NULL);
        CHECK(s >= 0);
        CHECK_EQ(write(c, "hi", 2), 2);
        CHECK_EQ(read(s, b, 4), 2);
        close(c);
        CHECK_EQ(read(s, b, 4), 0);
        close(s);
    }
    close(l);
}

TEST(options_read_back)
{
    int s = tcp4();
    CHECK(setopt_int(s, IPPROTO_TCP, TCP_NODELAY, 1) == 0);
    CHECK_EQ(getopt_int(s, IPPROTO_TCP, TCP_NODELAY), 1);
    CHECK(setopt_int(s, IPPROTO_TCP, TCP_SYNCNT, 3) == 0);
    CHECK_EQ(getopt_int(s, IPPROTO_TCP, TCP_SYNCNT), 3);
    CHECK_ERR(setopt_int(s, IPPROTO_TCP, TCP_SYNCNT, 0), EINVAL);
    CHECK(setopt_int(s, IPPROTO_TCP, TCP_KEEPIDLE, 17) == 0);
    CHECK_EQ(getopt_int(s, IPPROTO_TCP, TCP_KEEPIDLE), 17);
    CHECK_ERR(setopt_int(s, IPPROTO_TCP, TCP_KEEPIDLE, 0), EINVAL);
    CHECK_ERR(setopt_int(s, IPPROTO_TCP, TCP_KEEPIDLE, 32768), EINVAL);
    CHECK_EQ(getopt_int(s, IPPROTO_TCP, TCP_KEEPINTVL), 75);
    CHECK_EQ(getopt_int(s, IPPROTO_TCP, TCP_KEEPCNT), 9);
    CHECK(setopt_int(s, IPPROTO_TCP, TCP_CORK, 1) == 0);
    CHECK_EQ(getopt_int(s, IPPROTO_TCP, TCP_CORK), 1);
    CHECK(setopt_int(s, IPPROTO_TCP, TCP_USER_TIMEOUT, 5000) == 0);
    CHECK_EQ(getopt_int(s, IPPROTO_TCP, TCP_USER_TIMEOUT), 5000);
    CHECK_EQ(getopt_int(s, IPPROTO_TCP, TCP_LINGER2), 60);
    CHECK(setopt_int(s, IPPROTO_TCP, TCP_DEFER_ACCEPT, 5) == 0);
    CHECK_EQ(getopt_int(s, IPPROTO_TCP, TCP_DEFER_ACCEPT), 7);
    char cc[16];
    socklen_t len = sizeof(cc);
    CHECK(getsockopt(s, IPPROTO_TCP, TCP_CONGESTION, cc, &len) == 0 && len == 16);
    CHECK(setsockopt(s, IPPROTO_TCP, TCP_CONGESTION, "reno", 4) == 0);
    CHECK(getsockopt(s, IPPROTO_TCP, TCP_CONGESTION, cc, &len) == 0);
    CHECK_STR(cc, "reno");
    CHECK_ERR(setsockopt(s, IPPROTO_TCP, TCP_CONGESTION, "nosuch", 6), ENOENT);
    struct tcp_info ti;
    len = sizeof(ti);
    CHECK(getsockopt(s, IPPROTO_TCP, TCP_INFO, &ti, &len) == 0);
    CHECK_EQ(ti.tcpi_state, TCP_CLOSE);
    CHECK_ERR(setopt_int(s, IPPROTO_TCP, 9999, 1), ENOPROTOOPT);
    CHECK_ERR(setsockopt(s, IPPROTO_TCP, TCP_NODELAY, cc, 2), EINVAL);
    CHECK_ERR(setsockopt(s, IPPROTO_TCP, TCP_NODELAY, (void *)8, 4), EFAULT);
    CHECK_EQ(getopt_int(s, SOL_SOCKET, SO_PROTOCOL), IPPROTO_TCP);
    CHECK_EQ(getopt_int(s, SOL_SOCKET, SO_DOMAIN), AF_INET);
    close(s);
    int c[2];
    tcp_pair(c);
    len = sizeof(ti);
    CHECK(getsockopt(c[0], IPPROTO_TCP, TCP_INFO, &ti, &len) == 0);
    CHECK_EQ(ti.tcpi_state, TCP_ESTABLISHED);
    close(c[0]);
    close(c[1]);
}

TEST(accepted_child_inherits)
{
    int port, l = tcp_listener(5, &port);
    setopt_int(l, SOL_SOCKET, SO_KEEPALIVE, 1);
    setopt_int(l, IPPROTO_TCP, TCP_NODELAY, 1);
    setopt_int(l, IPPROTO_TCP, TCP_KEEPIDLE, 33);
    nonblock(l, 1);
    int c = tcp_connect_to(port), s = accept4(l, NULL, NULL, SOCK_CLOEXEC);
    CHECK(s >= 0);
    CHECK_EQ(fcntl(s, F_GETFL) & O_NONBLOCK, 0);
    CHECK_EQ(fcntl(s, F_GETFD), FD_CLOEXEC);
    CHECK_EQ(getopt_int(s, SOL_SOCKET, SO_KEEPALIVE), 1);
    CHECK_EQ(getopt_int(s, IPPROTO_TCP, TCP_NODELAY), 1);
    CHECK_EQ(getopt_int(s, IPPROTO_TCP, TCP_KEEPIDLE), 33);
    CHECK_ERR(accept4(l, NULL, NULL, 1), EINVAL);
    close(c);
    close(s);
    close(l);
}

TEST(accept_without_descriptors)
{
    int port, l = tcp_listener(5, &port), fds[1100], n = 0;
    int c = tcp_connect_to(port);
    nonblock(l, 1);
    while (n < 1100 && (fds[n] = dup(l)) >= 0)
        n++;
    if (n < 1100)
        CHECK_ERR(accept(l, NULL, NULL), EMFILE);
    for (int i = 0; i < n; i++)
        close(fds[i]);
    int s = accept(l, NULL, NULL); /* the connection is still there */
    CHECK(s >= 0);
    close(s);
    close(c);
    close(l);
}
