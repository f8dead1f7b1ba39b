/* Socket filters (classic BPF) on datagrams, streams, UNIX and netlink. True on Linux. */
#include <linux/filter.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include "net_common.h"

static int attach(int s, const struct sock_filter *code, unsigned short n)
{
    struct sock_fprog p = {n, (struct sock_filter *)(uintptr_t)code};
    return setsockopt(s, SOL_SOCKET, SO_ATTACH_FILTER, &p, sizeof(p));
}

#define ATTACH(s, ...)                                                                             \
    ({                                                                                             \
        struct sock_filter c_[] = {__VA_ARGS__};                                                   \
        attach(s, c_, sizeof(c_) / sizeof(c_[0]));                                                 \
    })
#define RETURN(k) BPF_STMT(BPF_RET | BPF_K, k)

static int udp_on_lo(void)
{
    int s = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in a = lo4(0);
    CHECK(s >= 0 && bind(s, (struct sockaddr *)&a, sizeof(a)) == 0);
    return s;
}

static void send_to(int from, int port, const char *text)
{
    struct sockaddr_in a = lo4(port);
    CHECK_EQ(sendto(from, text, strlen(text), 0, (struct sockaddr *)&a, sizeof(a)), strlen(text));
}

TEST(attach_errors)
{
    int s = udp_on_lo();
    struct sock_filter ok[] = {RETURN(0)}, bad[] = {BPF_STMT(BPF_LD | BPF_W | BPF_LEN, 0)};
    struct sock_fprog p = {1, ok};
    CHECK_ERR(setsockopt(s, SOL_SOCKET, SO_ATTACH_FILTER, &p, 4), EINVAL);
    CHECK_ERR(attach(s, ok, 0), EINVAL);
    CHECK_ERR(attach(s, bad, 1), EINVAL);
    CHECK_ERR(ATTACH(s, BPF_STMT(BPF_LD | BPF_MEM, 3), RETURN(1)), EINVAL);
    CHECK_ERR(ATTACH(s, BPF_STMT(BPF_ALU | BPF_DIV | BPF_K, 0), RETURN(1)), EINVAL);
    CHECK_ERR(ATTACH(s, BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 1, 5, 0), RETURN(1)), EINVAL);
    int v = 0;
    CHECK_ERR(setsockopt(s, SOL_SOCKET, SO_DETACH_FILTER, &v, sizeof(v)), ENOENT);
    CHECK(attach(s, ok, 1) == 0);
    CHECK(setopt_int(s, SOL_SOCKET, SO_LOCK_FILTER, 1) == 0);
    CHECK_EQ(getopt_int(s, SOL_SOCKET, SO_LOCK_FILTER), 1);
    CHECK_ERR(setopt_int(s, SOL_SOCKET, SO_LOCK_FILTER, 0), EPERM);
    CHECK_ERR(attach(s, ok, 1), EPERM);
    CHECK_ERR(setsockopt(s, SOL_SOCKET, SO_DETACH_FILTER, &v, sizeof(v)), EPERM);
    close(s);
}

TEST(get_filter)
{
    int s = udp_on_lo();
    struct sock_filter got[4];
    socklen_t len = 0;
    CHECK(getsockopt(s, SOL_SOCKET, SO_GET_FILTER, NULL, &len) == 0 && len == 0);
    CHECK(ATTACH(s, BPF_STMT(BPF_LD | BPF_W | BPF_LEN, 0), BPF_STMT(BPF_RET | BPF_A, 0)) == 0);
    len = 0;
    CHECK(getsockopt(s, SOL_SOCKET, SO_GET_FILTER, got, &len) == 0);
    CHECK_EQ(len, 2);
    len = 1;
    CHECK_ERR(getsockopt(s, SOL_SOCKET, SO_GET_FILTER, got, &len), EINVAL);
    len = 4;
    CHECK(getsockopt(s, SOL_SOCKET, SO_GET_FILTER, got, &len) == 0);
    CHECK_EQ(len, 2);
    CHECK_EQ(got[1].code, BPF_RET | BPF_A);
    close(s);
}

TEST(udp_by_payload)
{
    int r = udp_on_lo(), s = udp_on_lo(), port = port_of(r);
    char b[32];
    /* The UDP header is 8 bytes: keep datagrams whose first byte is 'y'. */
    CHECK(ATTACH(r, BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 8),
                 BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 'y', 0, 1), RETURN(0xffff), RETURN(0)) == 0);
    send_to(s, port, "no");
    send_to(s, port, "yes");
    CHECK_EQ(recv(r, b, sizeof(b), MSG_DONTWAIT), 3);
    CHECK_ERR(recv(r, b, sizeof(b), MSG_DONTWAIT), EAGAIN);
    send_to(s, port, "");
    CHECK_ERR(recv(r, b, sizeof(b), MSG_DONTWAIT), EAGAIN);
    /* A program that reads beyond the packet drops it. */
    CHECK(ATTACH(r, BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 100), RETURN(0xffff)) == 0);
    send_to(s, port, "yes");
    CHECK_ERR(recv(r, b, sizeof(b), MSG_DONTWAIT), EAGAIN);
    close(r);
    close(s);
}

TEST(udp_headers_and_truncation)
{
    int r = udp_on_lo(), s = udp_on_lo(), port = port_of(r);
    char b[32];
    /* Destination port from the header; protocol from the network header; the length. */
    CHECK(ATTACH(r, BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 2),
                 BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)port, 0, 5),
                 BPF_STMT(BPF_LD | BPF_B | BPF_ABS, (unsigned)SKF_NET_OFF + 9),
                 BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_UDP, 0, 3),
                 BPF_STMT(BPF_LD | BPF_W | BPF_LEN, 0), BPF_STMT(BPF_ALU | BPF_SUB | BPF_K, 2),
                 BPF_STMT(BPF_RET | BPF_A, 0), RETURN(0)) == 0);
    send_to(s, port, "abcdef");
    CHECK_EQ(recv(r, b, sizeof(b), MSG_DONTWAIT), 4);
    CHECK(!memcmp(b, "abcd", 4));
    /* The header is always kept. */
    CHECK(ATTACH(r, RETURN(1)) == 0);
    send_to(s, port, "abcdef");
    CHECK_EQ(recv(r, b, sizeof(b), MSG_DONTWAIT), 0);
    CHECK(ATTACH(r, BPF_STMT(BPF_LD | BPF_H | BPF_ABS, (unsigned)SKF_AD_OFF + SKF_AD_PROTOCOL),
                 BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x0800, 0, 1), RETURN(0xffff),
                 RETURN(0)) == 0);
    send_to(s, port, "abcdef");
    CHECK_EQ(recv(r, b, sizeof(b), MSG_DONTWAIT), 6);
    close(r);
    close(s);
}

TEST(indexed_and_memory)
{
    int r = udp_on_lo(), s = udp_on_lo(), port = port_of(r);
    char b[32];
    /* x = byte 8; keep when byte 8 + x equals 'z'. */
    CHECK(ATTACH(r, BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 8), BPF_STMT(BPF_ST, 1),
                 BPF_STMT(BPF_LDX | BPF_MEM, 1), BPF_STMT(BPF_LD | BPF_B | BPF_IND, 8),
                 BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, 200),
                 BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 'z', 0, 1), RETURN(0xffff), RETURN(0)) == 0);
    send_to(s, port, "\2az");
    send_to(s, port, "\2zy");
    CHECK_EQ(recv(r, b, sizeof(b), MSG_DONTWAIT), 3);
    CHECK(b[2] == 'z');
    CHECK_ERR(recv(r, b, sizeof(b), MSG_DONTWAIT), EAGAIN);
    /* The header length of IPv4. */
    CHECK(ATTACH(r, BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, (unsigned)SKF_NET_OFF),
                 BPF_STMT(BPF_MISC | BPF_TXA, 0), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 20, 0, 1),
                 RETURN(0xffff), RETURN(0)) == 0);
    send_to(s, port, "hello");
    CHECK_EQ(recv(r, b, sizeof(b), MSG_DONTWAIT), 5);
    close(r);
    close(s);
}

TEST(unix_datagram)
{
    int p[2];
    char b[16];
    CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, p) == 0);
    CHECK(ATTACH(p[1], BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0),
                 BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 'a', 0, 1), RETURN(2), RETURN(0)) == 0);
    CHECK_EQ(send(p[0], "bcd", 3, 0), 3);
    CHECK_EQ(send(p[0], "abcd", 4, 0), 4);
    CHECK_EQ(recv(p[1], b, sizeof(b), MSG_DONTWAIT), 2);
    CHECK_ERR(recv(p[1], b, sizeof(b), MSG_DONTWAIT), EAGAIN);
    close(p[0]);
    close(p[1]);
}

TEST(tcp_held_back)
{
    int c[2];
    char b[16];
    tcp_pair(c);
    CHECK(ATTACH(c[1], RETURN(0)) == 0);
    CHECK_EQ(send(c[0], "abc", 3, 0), 3);
    sleep_ms(20);
    CHECK_ERR(recv(c[1], b, sizeof(b), MSG_DONTWAIT), EAGAIN);
    CHECK_EQ(events_of(c[1]), EPOLLOUT);
    int v = 0;
    CHECK(setsockopt(c[1], SOL_SOCKET, SO_DETACH_FILTER, &v, sizeof(v)) == 0);
    CHECK_EQ(recv(c[1], b, 3, MSG_WAITALL), 3); /* the retransmission brings it */
    CHECK(!memcmp(b, "abc", 3));
    CHECK_EQ(send(c[0], "d", 1, 0), 1);
    CHECK_EQ(recv(c[1], b, sizeof(b), 0), 1);
    close(c[0]);
    close(c[1]);
}

TEST(tcp_listener_inherits)
{
    int port, l = tcp_listener(5, &port);
    struct sock_filter got[2];
    socklen_t len = 2;
    CHECK(ATTACH(l, RETURN(0xffffffff)) == 0);
    int c = tcp_connect_to(port), a = accept(l, NULL, NULL);
    CHECK(a >= 0);
    CHECK(getsockopt(a, SOL_SOCKET, SO_GET_FILTER, got, &len) == 0);
    CHECK_EQ(len, 1);
    close(a);
    close(c);
    close(l);
}

TEST(tcp_syn_dropped)
{
    int port, l = tcp_listener(5, &port), s = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in a = lo4(port);
    CHECK(ATTACH(l, RETURN(0)) == 0);
    nonblock(s, 1);
    CHECK_ERR(connect(s, (struct sockaddr *)&a, sizeof(a)), EINPROGRESS);
    sleep_ms(20);
    CHECK_EQ(events_of(s), 0);
    int v = 0;
    CHECK(setsockopt(l, SOL_SOCKET, SO_DETACH_FILTER, &v, sizeof(v)) == 0);
    struct pollfd p = {s, POLLOUT, 0};
    CHECK_EQ(poll(&p, 1, 5000), 1);
    CHECK_EQ(p.revents, POLLOUT);
    close(s);
    close(l);
}

TEST(netlink_messages)
{
    int s = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
    struct {
        struct nlmsghdr h;
        struct rtgenmsg g;
    } q = {{sizeof(q), RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, 1, 0}, {AF_UNSPEC}};
    char b[16384];
    CHECK(s >= 0);
    CHECK(ATTACH(s, RETURN(0)) == 0);
    CHECK_EQ(send(s, &q, sizeof(q), 0), sizeof(q));
    CHECK_ERR(recv(s, b, sizeof(b), MSG_DONTWAIT), EAGAIN);
    close(s);
}

TEST(reuseport_program)
{
    int s[3], from = udp_on_lo(), port = 0;
    char b[8];
    for (int i = 0; i < 3; i++) {
        s[i] = socket(AF_INET, SOCK_DGRAM, 0);
        CHECK(setopt_int(s[i], SOL_SOCKET, SO_REUSEPORT, 1) == 0);
        struct sockaddr_in a = lo4(port);
        CHECK(bind(s[i], (struct sockaddr *)&a, sizeof(a)) == 0);
        port = port_of(s[i]);
    }
    /* The payload's first byte names the sock, in the order of binding. */
    struct sock_filter code[] = {BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0),
                                 BPF_STMT(BPF_RET | BPF_A, 0)};
    struct sock_fprog p = {2, code};
    CHECK(setsockopt(s[0], SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &p, sizeof(p)) == 0);
    for (int i = 0; i < 3; i++) {
        char c = (char)i;
        struct sockaddr_in a = lo4(port);
        CHECK_EQ(sendto(from, &c, 1, 0, (struct sockaddr *)&a, sizeof(a)), 1);
        for (int k = 0; k < 3; k++) {
            if (k == i)
                CHECK_EQ(recv(s[k], b, sizeof(b), MSG_DONTWAIT), 1);
            else
                CHECK_ERR(recv(s[k], b, sizeof(b), MSG_DONTWAIT), EAGAIN);
        }
    }
    for (int i = 0; i < 3; i++)
        close(s[i]);
    close(from);
}

TEST(reuseport_spreads)
{
    int s[4], port = 0, got[4] = {0}, total = 0;
    char b[8];
    for (int i = 0; i < 4; i++) {
        s[i] = socket(AF_INET, SOCK_DGRAM, 0);
        CHECK(setopt_int(s[i], SOL_SOCKET, SO_REUSEPORT, 1) == 0);
        struct sockaddr_in a = lo4(port);
        CHECK(bind(s[i], (struct sockaddr *)&a, sizeof(a)) == 0);
        port = port_of(s[i]);
    }
    for (int i = 0; i < 400; i++) {
        int from = socket(AF_INET, SOCK_DGRAM, 0);
        send_to(from, port, "x");
        close(from);
    }
    for (int i = 0; i < 4; i++) {
        while (recv(s[i], b, sizeof(b), MSG_DONTWAIT) == 1)
            got[i]++;
        CHECK(got[i] > 40);
        total += got[i];
        close(s[i]);
    }
    CHECK_EQ(total, 400);
}
