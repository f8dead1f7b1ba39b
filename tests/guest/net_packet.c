/* Packet and raw sockets on the loopback. True on Linux; takes CAP_NET_RAW. */
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <netinet/udp.h>
#include <sys/mman.h>

#include "net_common.h"

static int lo_index(void)
{
    return (int)if_nametoindex("lo");
}

/* Bound to lo. The interface is shared with everything else on a native host: look only for own
 * ports. */
static int packet_on_lo(int type, int protocol)
{
    int s = socket(AF_PACKET, type, 0);
    struct sockaddr_ll a = {.sll_family = AF_PACKET,
                            .sll_protocol = htons((uint16_t)protocol),
                            .sll_ifindex = lo_index()};
    CHECK(s >= 0);
    CHECK(bind(s, (struct sockaddr *)&a, sizeof(a)) == 0);
    return s;
}

static int udp_pair(int *port)
{
    int s = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in a = lo4(0);
    CHECK(bind(s, (struct sockaddr *)&a, sizeof(a)) == 0);
    *port = port_of(s);
    a = lo4(*port);
    CHECK(connect(s, (struct sockaddr *)&a, sizeof(a)) == 0); /* to itself */
    return s;
}

/* The next frame on s with this UDP port as destination; its size, or -1 when there is none. */
static ssize_t next_udp(int s, int skip_eth, int port, unsigned char *b, size_t size,
                        struct sockaddr_ll *from)
{
    for (int i = 0; i < 200; i++) {
        socklen_t len = sizeof(*from);
        ssize_t n = recvfrom(s, b, size, MSG_DONTWAIT, (struct sockaddr *)from, &len);
        if (n < 0 && errno == EAGAIN) {
            sleep_ms(5);
            continue;
        }
        CHECK(n >= 0);
        CHECK_EQ(len, sizeof(struct sockaddr_ll));
        unsigned char *ip = b + (skip_eth ? 14 : 0);
        if (ip[0] == 0x45 && ip[9] == IPPROTO_UDP && (ip[22] << 8 | ip[23]) == port)
            return n;
    }
    return -1;
}

TEST(create_and_bind)
{
    CHECK_ERR(socket(AF_PACKET, SOCK_STREAM, 0), ESOCKTNOSUPPORT);
    int s = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL));
    CHECK(s >= 0);
    struct sockaddr_ll a = {.sll_family = AF_PACKET, .sll_ifindex = 9999};
    CHECK_ERR(bind(s, (struct sockaddr *)&a, sizeof(a)), ENODEV);
    CHECK_ERR(bind(s, (struct sockaddr *)&a, 10), EINVAL);
    a.sll_family = AF_INET;
    CHECK_ERR(bind(s, (struct sockaddr *)&a, sizeof(a)), EINVAL);
    a = (struct sockaddr_ll){.sll_family = AF_PACKET, .sll_ifindex = lo_index()};
    CHECK(bind(s, (struct sockaddr *)&a, sizeof(a)) == 0);
    socklen_t len = sizeof(a);
    CHECK(getsockname(s, (struct sockaddr *)&a, &len) == 0);
    CHECK_EQ(len, 18);
    CHECK(a.sll_ifindex == lo_index() && a.sll_hatype == ARPHRD_LOOPBACK && a.sll_halen == 6 &&
          a.sll_protocol == htons(ETH_P_ALL));
    CHECK_ERR(listen(s, 1), EOPNOTSUPP);
    CHECK_ERR(connect(s, (struct sockaddr *)&a, sizeof(a)), EOPNOTSUPP);
    CHECK_ERR(getpeername(s, (struct sockaddr *)&a, &len), EOPNOTSUPP);
    CHECK_ERR(recv(s, &a, sizeof(a), MSG_OOB), EINVAL);
    close(s);
}

TEST(sees_udp_both_ways)
{
    int port, s = packet_on_lo(SOCK_RAW, ETH_P_ALL), u = udp_pair(&port);
    unsigned char b[256];
    struct sockaddr_ll from;
    CHECK_EQ(send(u, "hello", 5, 0), 5);
    CHECK_EQ(next_udp(s, 1, port, b, sizeof(b), &from), 14 + 20 + 8 + 5);
    CHECK_EQ(from.sll_pkttype, PACKET_OUTGOING);
    CHECK_EQ(next_udp(s, 1, port, b, sizeof(b), &from), 14 + 20 + 8 + 5);
    CHECK_EQ(from.sll_pkttype, PACKET_HOST);
    CHECK(from.sll_family == AF_PACKET && from.sll_hatype == ARPHRD_LOOPBACK &&
          from.sll_halen == 6 && from.sll_ifindex == lo_index() &&
          from.sll_protocol == htons(ETH_P_IP));
    CHECK(b[12] == 8 && b[13] == 0);
    CHECK(!memcmp(b + 42, "hello", 5));
    CHECK_EQ(b[14 + 16], 127);
    close(s);
    close(u);
}

TEST(cooked_by_protocol)
{
    int port, s = packet_on_lo(SOCK_DGRAM, ETH_P_IP), u = udp_pair(&port);
    unsigned char b[256];
    struct sockaddr_ll from;
    CHECK_EQ(send(u, "hello", 5, 0), 5);
    CHECK_EQ(next_udp(s, 0, port, b, sizeof(b), &from), 20 + 8 + 5);
    CHECK_EQ(from.sll_pkttype, PACKET_HOST); /* only what comes in has a protocol */
    CHECK_EQ(recv(u, b, sizeof(b), 0), 5);
    close(s);
    close(u);
}

TEST(filter_and_statistics)
{
    int port, s = socket(AF_PACKET, SOCK_RAW, 0), u = udp_pair(&port);
    unsigned char b[256];
    struct sockaddr_ll from;
    struct sock_filter code[] = {BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 12),
                                 BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETH_P_IP, 0, 4),
                                 BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 14),
                                 BPF_STMT(BPF_LD | BPF_H | BPF_IND, 16),
                                 BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)port, 0, 1),
                                 BPF_STMT(BPF_RET | BPF_K, 40),
                                 BPF_STMT(BPF_RET | BPF_K, 0)};
    struct sock_fprog p = {7, code};
    CHECK(setsockopt(s, SOL_SOCKET, SO_ATTACH_FILTER, &p, sizeof(p)) == 0);
    struct sockaddr_ll a = {
        .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = lo_index()};
    CHECK(setopt_int(s, SOL_PACKET, PACKET_AUXDATA, 1) == 0);
    CHECK(bind(s, (struct sockaddr *)&a, sizeof(a)) == 0);
    CHECK_EQ(send(u, "hello", 5, 0), 5);
    CHECK_EQ(next_udp(s, 1, port, b, sizeof(b), &from), 40);
    union {
        char buf[CMSG_SPACE(sizeof(struct tpacket_auxdata))];
        struct cmsghdr align;
    } c;
    struct iovec v = {b, 20};
    struct msghdr m = {
        .msg_iov = &v, .msg_iovlen = 1, .msg_control = &c, .msg_controllen = sizeof(c)};
    CHECK_EQ(recvmsg(s, &m, 0), 20);
    CHECK(m.msg_flags & MSG_TRUNC);
    struct cmsghdr *h = CMSG_FIRSTHDR(&m);
    CHECK(h && h->cmsg_level == SOL_PACKET && h->cmsg_type == PACKET_AUXDATA);
    struct tpacket_auxdata aux;
    memcpy(&aux, CMSG_DATA(h), sizeof(aux));
    CHECK_EQ(aux.tp_len, 47);
    CHECK_EQ(aux.tp_snaplen, 40);
    CHECK_EQ(aux.tp_net, 14);
    struct tpacket_stats st;
    socklen_t len = sizeof(st);
    CHECK(getsockopt(s, SOL_PACKET, PACKET_STATISTICS, &st, &len) == 0);
    CHECK_EQ(st.tp_packets, 2);
    CHECK(getsockopt(s, SOL_PACKET, PACKET_STATISTICS, &st, &len) == 0);
    CHECK_EQ(st.tp_packets, 0);
    close(s);
    close(u);
}

TEST(tcp_handshake_seen)
{
    int port, l = tcp_listener(5, &port), s = packet_on_lo(SOCK_DGRAM, ETH_P_IP);
    unsigned char b[256];
    int c = tcp_connect_to(port), a = accept(l, NULL, NULL), flags[3], n = 0;
    CHECK(a >= 0);
    uint32_t seq = 0, ack = 0;
    for (int i = 0; i < 200 && n < 3; i++) {
        ssize_t r = recv(s, b, sizeof(b), MSG_DONTWAIT);
        if (r < 0) {
            sleep_ms(5);
            continue;
        }
        int sp = b[20] << 8 | b[21], dp = b[22] << 8 | b[23];
        if (b[9] != IPPROTO_TCP || (sp != port && dp != port))
            continue;
        flags[n++] = b[33];
        if (n == 1)
            memcpy(&seq, b + 24, 4);
        if (n == 2)
            memcpy(&ack, b + 28, 4);
    }
    CHECK_EQ(n, 3);
    CHECK_EQ(flags[0] & 0x3f, 0x02);
    CHECK_EQ(flags[1] & 0x3f, 0x12);
    CHECK_EQ(flags[2] & 0x3f, 0x10);
    CHECK_EQ(ntohl(ack), ntohl(seq) + 1);
    close(s);
    close(a);
    close(c);
    close(l);
}

static unsigned short sum_of(const unsigned char *p, int n, unsigned long sum)
{
    for (int i = 0; i < n; i += 2)
        sum += (unsigned)(p[i] << 8 | (i + 1 < n ? p[i + 1] : 0));
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (unsigned short)~sum;
}

static void put16(unsigned char *p, unsigned v)
{
    p[0] = (unsigned char)(v >> 8);
    p[1] = (unsigned char)v;
}

TEST(send_udp)
{
    int port, s = packet_on_lo(SOCK_DGRAM, 0), u = socket(AF_INET6, SOCK_DGRAM, 0);
    struct sockaddr_in6 in = lo6(0);
    CHECK(bind(u, (struct sockaddr *)&in, sizeof(in)) == 0);
    port = port_of(u);
    unsigned char b[51] = {0x60, 0, 0, 0, 0, 11, IPPROTO_UDP, 64};
    b[8 + 15] = b[24 + 15] = 1;
    put16(b + 40, 0x1234);
    put16(b + 42, (unsigned)port);
    put16(b + 44, 11);
    memcpy(b + 48, "abc", 3);
    put16(b + 46, sum_of(b + 8, 43, 11 + IPPROTO_UDP));
    struct sockaddr_ll to = {.sll_family = AF_PACKET,
                             .sll_protocol = htons(ETH_P_IPV6),
                             .sll_ifindex = lo_index(),
                             .sll_halen = 6};
    CHECK_EQ(sendto(s, b, 51, 0, (struct sockaddr *)&to, sizeof(to)), 51);
    struct timeval tv = {5, 0};
    CHECK(setsockopt(u, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)) == 0);
    char r[16];
    socklen_t len = sizeof(in);
    CHECK_EQ(recvfrom(u, r, sizeof(r), 0, (struct sockaddr *)&in, &len), 3);
    CHECK_EQ(ntohs(in.sin6_port), 0x1234);
    CHECK(!memcmp(r, "abc", 3));
    to.sll_ifindex = 0;
    CHECK_ERR(sendto(s, b, 51, 0, (struct sockaddr *)&to, sizeof(to)), ENXIO);
    close(s);
    close(u);
}

static void ring(int version)
{
    int port, s = socket(AF_PACKET, SOCK_RAW, 0), u = udp_pair(&port);
    struct sockaddr_ll a = {
        .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = lo_index()};
    struct sock_filter code[] = {BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 12),
                                 BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETH_P_IP, 0, 4),
                                 BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 14),
                                 BPF_STMT(BPF_LD | BPF_H | BPF_IND, 16),
                                 BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)port, 0, 1),
                                 BPF_STMT(BPF_RET | BPF_K, 4000),
                                 BPF_STMT(BPF_RET | BPF_K, 0)};
    struct sock_fprog fp = {7, code};
    CHECK(setsockopt(s, SOL_SOCKET, SO_ATTACH_FILTER, &fp, sizeof(fp)) == 0);
    CHECK(setopt_int(s, SOL_PACKET, PACKET_VERSION, version) == 0);
    struct tpacket_req3 q = {.tp_block_size = 4096,
                             .tp_block_nr = 4,
                             .tp_frame_size = 2048,
                             .tp_frame_nr = 8,
                             .tp_retire_blk_tov = 10};
    socklen_t qlen = version == TPACKET_V3 ? sizeof(q) : sizeof(struct tpacket_req);
    q.tp_frame_nr = 7;
    CHECK_ERR(setsockopt(s, SOL_PACKET, PACKET_RX_RING, &q, qlen), EINVAL);
    q.tp_frame_nr = 8;
    CHECK(setsockopt(s, SOL_PACKET, PACKET_RX_RING, &q, qlen) == 0);
    CHECK_ERR(setsockopt(s, SOL_PACKET, PACKET_RX_RING, &q, qlen), EBUSY);
    CHECK_ERR(setopt_int(s, SOL_PACKET, PACKET_VERSION, 0), EBUSY);
    unsigned char *p = mmap(NULL, 4 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, s, 0);
    CHECK(p != MAP_FAILED);
    CHECK(bind(s, (struct sockaddr *)&a, sizeof(a)) == 0);
    struct pollfd pf = {s, POLLIN, 0};
    CHECK_EQ(poll(&pf, 1, 0), 0);
    CHECK_EQ(send(u, "hello", 5, 0), 5);
    CHECK_EQ(poll(&pf, 1, 5000), 1);
    CHECK(pf.revents & POLLIN);
    unsigned char *frame;
    unsigned snaplen, mac, net;
    if (version == TPACKET_V3) {
        struct tpacket_block_desc *d = (void *)p;
        CHECK(d->hdr.bh1.block_status & TP_STATUS_USER);
        CHECK_EQ(d->hdr.bh1.num_pkts, 2);
        struct tpacket3_hdr *h = (void *)(p + d->hdr.bh1.offset_to_first_pkt);
        CHECK(h->tp_next_offset);
        snaplen = h->tp_snaplen, mac = h->tp_mac, net = h->tp_net;
        frame = (unsigned char *)h;
    } else if (version == TPACKET_V2) {
        struct tpacket2_hdr *h = (void *)p, *h2 = (void *)(p + 2048);
        CHECK(h->tp_status & TP_STATUS_USER);
        CHECK(h2->tp_status & TP_STATUS_USER);
        snaplen = h->tp_snaplen, mac = h->tp_mac, net = h->tp_net;
        frame = p;
    } else {
        struct tpacket_hdr *h = (void *)p;
        CHECK(h->tp_status & TP_STATUS_USER);
        snaplen = h->tp_snaplen, mac = h->tp_mac, net = h->tp_net;
        frame = p;
    }
    CHECK_EQ(snaplen, 47);
    CHECK_EQ(net, mac + 14);
    CHECK_EQ(net, version == TPACKET_V3 ? 96 : 80);
    CHECK(!memcmp(frame + mac + 42, "hello", 5));
    CHECK_ERR(setsockopt(s, SOL_PACKET, PACKET_RX_RING, &(struct tpacket_req3){0}, qlen), EBUSY);
    munmap(p, 4 * 4096);
    CHECK(setsockopt(s, SOL_PACKET, PACKET_RX_RING, &(struct tpacket_req3){0}, qlen) == 0);
    close(s);
    close(u);
}

TEST(ring_v1)
{
    ring(TPACKET_V1);
}

TEST(ring_v2)
{
    ring(TPACKET_V2);
}

TEST(ring_v3)
{
    ring(TPACKET_V3);
}

TEST(raw_udp_and_icmp_error)
{
    int port, r = socket(AF_INET, SOCK_RAW, IPPROTO_UDP),
              i = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
    int u = udp_pair(&port);
    unsigned char b[256];
    struct timeval tv = {5, 0};
    CHECK(r >= 0 && i >= 0);
    setsockopt(r, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
    setsockopt(i, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
    CHECK_EQ(send(u, "hello", 5, 0), 5);
    do
        CHECK(recv(r, b, sizeof(b), 0) > 0);
    while ((b[22] << 8 | b[23]) != port);
    CHECK(!memcmp(b + 28, "hello", 5));
    close(u);
    u = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in a = lo4(port);
    CHECK_EQ(sendto(u, "again", 5, 0, (struct sockaddr *)&a, sizeof(a)), 5);
    ssize_t n;
    do {
        n = recv(i, b, sizeof(b), 0);
        CHECK(n > 0);
    } while (b[20] != ICMP_DEST_UNREACH);
    CHECK_EQ(n, 20 + 8 + 20 + 8 + 5);
    CHECK_EQ(b[21], ICMP_PORT_UNREACH);
    CHECK_EQ(b[28 + 22] << 8 | b[28 + 23], port);
    close(u);
    close(r);
    close(i);
}

/* What raw sockets of IPv6 take and tell. */
TEST(raw_ipv6)
{
    struct sockaddr_in6 lo = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT}, got;
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(got);
    char packet[40] = {0x60, [6] = 253, [7] = 9, [23] = 1, [39] = 1};
    int s = socket(AF_INET6, SOCK_RAW, 253), on = 1;
    if (s < 0 && (errno == EPERM || errno == EAFNOSUPPORT))
        SKIP("no raw sockets of IPv6");
    CHECK(s >= 0 && bind(s, (struct sockaddr *)&lo, sizeof(lo)) == 0);
    CHECK(getsockname(s, (struct sockaddr *)&got, &len) == 0 && ntohs(got.sin6_port) == 253);
    CHECK_ERR(connect(s, (struct sockaddr *)&v4, sizeof(lo)), EAFNOSUPPORT);
    CHECK_ERR(sendto(s, "x", 1, 0, (struct sockaddr *)&v4, sizeof(v4)), EINVAL);
    CHECK_ERR(setsockopt(s, IPPROTO_IP, IP_TTL, &on, sizeof(on)), ENOPROTOOPT);
    CHECK(connect(s, (struct sockaddr *)&lo, sizeof(lo)) == 0 && shutdown(s, SHUT_WR) == 0);
    CHECK_EQ(write(s, "still", 5), 5); /* no protocol that could be shut */
    CHECK(recv(s, packet + 34, 5, 0) == 5 && !memcmp(packet + 34, "still", 5));
    /* With a header of the sender's. */
    int r = socket(AF_INET6, SOCK_RAW, IPPROTO_RAW);
    memset(packet + 34, 0, 5);
    CHECK_ERR(sendto(r, packet, 39, 0, (struct sockaddr *)&lo, sizeof(lo)), EINVAL);
    CHECK_EQ(sendto(r, packet, 40, 0, (struct sockaddr *)&lo, sizeof(lo)), 40);
    CHECK_EQ(recv(s, packet, sizeof(packet), 0), 0);
    close(r);
    close(s);
}
