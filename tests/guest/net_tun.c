/* /dev/net/tun: packets and frames by a descriptor, both kinds, with and without headers. */
#include "net_stream.h"

#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <sys/sysmacros.h>

static int open_tun(int flags)
{
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | flags);
    if (fd < 0 && errno == ENOENT) {
        mkdir("/dev/net", 0755);
        if (mknod("/dev/net/tun", S_IFCHR | 0666, makedev(10, 200)) < 0)
            SKIP("no /dev/net/tun can be made here");
        fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | flags);
    }
    if (fd < 0)
        SKIP("no /dev/net/tun here");
    return fd;
}

static int set_iff(int fd, const char *name, int flags)
{
    struct ifreq r = {.ifr_flags = (short)flags};
    strncpy(r.ifr_name, name, IFNAMSIZ - 1);
    return ioctl(fd, TUNSETIFF, &r);
}

static int make_tun(const char *name, int flags, const char *addr)
{
    int fd = open_tun(0);
    CHECK(set_iff(fd, name, flags) == 0);
    CHECK(write_file("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1\n") == 0);
    if (addr)
        CHECK_EQ(add_addr(name, addr, 24), 0);
    CHECK_EQ(link_up(name, 1), 0);
    return fd;
}

/* The next packet of IPv4 and this protocol, at `off` in b. */
static ssize_t next_ip(int fd, unsigned char *b, size_t size, int off, int protocol)
{
    for (;;) {
        ssize_t n = read(fd, b, size);
        CHECK(n > 0);
        if (n >= off + 20 && b[off] >> 4 == 4 && b[off + 9] == protocol)
            return n;
    }
}

/* Source and destination change places, of addresses and ports; sums stay right. */
static void turn_back(unsigned char *ip)
{
    unsigned char t[4];
    memcpy(t, ip + 12, 4);
    memcpy(ip + 12, ip + 16, 4);
    memcpy(ip + 16, t, 4);
    memcpy(t, ip + 20, 2);
    memcpy(ip + 20, ip + 22, 2);
    memcpy(ip + 22, t, 2);
}

TEST(packets_by_a_tun)
{
    unsigned char b[2048];
    char got[16];
    fresh_ns();
    int fd = make_tun("tun7", IFF_TUN | IFF_NO_PI, "10.7.0.1");
    int s = sock_at(SOCK_DGRAM, "10.7.0.1", 0);
    CHECK(connect_to(s, "10.7.0.2", 7) == 0);
    CHECK_EQ(send(s, "there", 5, 0), 5);
    ssize_t n = next_ip(fd, b, sizeof(b), 0, IPPROTO_UDP);
    CHECK_EQ(n, 33);
    CHECK(!memcmp(b + 28, "there", 5));
    turn_back(b);
    CHECK_EQ(write(fd, b, (size_t)n), n);
    CHECK_EQ(recv(s, got, sizeof(got), 0), 5);
    CHECK(link_flags("tun7") & IFF_POINTOPOINT);
    CHECK_ERR(write(fd, "\1garbage", 8), EINVAL); /* of no version */
    close(fd);
    CHECK_EQ(if_nametoindex("tun7"), 0);
    close(s);
}

TEST(packets_with_information)
{
    unsigned char b[2048];
    char got[16];
    fresh_ns();
    int fd = make_tun("tun7", IFF_TUN, "10.7.0.1");
    int s = sock_at(SOCK_DGRAM, "10.7.0.1", 0);
    CHECK(connect_to(s, "10.7.0.2", 7) == 0);
    CHECK_EQ(send(s, "there", 5, 0), 5);
    ssize_t n = next_ip(fd, b, sizeof(b), 4, IPPROTO_UDP);
    CHECK_EQ(n, 37);
    CHECK(b[0] == 0 && b[1] == 0 && b[2] == 8 && b[3] == 0);
    turn_back(b + 4);
    CHECK_EQ(write(fd, b, (size_t)n), n);
    CHECK_EQ(recv(s, got, sizeof(got), 0), 5);
    CHECK_EQ(send(s, "there", 5, 0), 5);
    CHECK_EQ(read(fd, b, 20), 20); /* the rest of it is gone, and said to be */
    CHECK_EQ(*(unsigned short *)(void *)b, TUN_PKT_STRIP);
    close(fd);
    close(s);
}

TEST(headers_say_what_is_left)
{
    unsigned char b[2048];
    char got[16];
    fresh_ns();
    int fd = make_tun("tun7", IFF_TUN | IFF_NO_PI | IFF_VNET_HDR, "10.7.0.1");
    int s = sock_at(SOCK_DGRAM, "10.7.0.1", 0), size = 0;
    CHECK(ioctl(fd, TUNGETVNETHDRSZ, &size) == 0);
    CHECK_EQ(size, sizeof(struct virtio_net_hdr));
    CHECK(ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM) == 0);
    CHECK(connect_to(s, "10.7.0.2", 7) == 0);
    CHECK_EQ(send(s, "there", 5, 0), 5);
    ssize_t n = next_ip(fd, b, sizeof(b), size, IPPROTO_UDP);
    struct virtio_net_hdr *v = (void *)b;
    CHECK_EQ(n, 33 + size);
    CHECK_EQ(v->flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
    CHECK_EQ(v->csum_start, 20);
    CHECK_EQ(v->csum_offset, 6);
    turn_back(b + size);
    CHECK_EQ(write(fd, b, (size_t)n), n);
    CHECK_EQ(recv(s, got, sizeof(got), 0), 5);
    v->csum_start = 60000; /* nonsense is refused */
    CHECK_ERR(write(fd, b, (size_t)n), EINVAL);
    v->csum_start = 20;
    v->gso_type = 77;
    CHECK_ERR(write(fd, b, (size_t)n), EINVAL);
    close(fd);
    close(s);
}

TEST(frames_by_a_tap)
{
    unsigned char b[2048], mac[6] = {2, 0, 0, 0, 0, 9};
    char got[16];
    fresh_ns();
    int fd = make_tun("tap7", IFF_TAP | IFF_NO_PI, "10.7.0.1");
    int s = sock_at(SOCK_DGRAM, "10.7.0.1", 0);
    CHECK(connect_to(s, "10.7.0.2", 7) == 0);
    CHECK_EQ(send(s, "there", 5, 0), 5);
    do
        CHECK(read(fd, b, sizeof(b)) > 0);
    while (!(b[12] == 8 && b[13] == 6)); /* who has 10.7.0.2? */
    memcpy(b, b + 6, 6);
    memcpy(b + 6, mac, 6);
    b[21] = 2;
    memcpy(b + 32, b + 22, 10);
    memcpy(b + 22, mac, 6);
    memcpy(b + 28, "\12\7\0\2", 4);
    CHECK_EQ(write(fd, b, 42), 42);
    ssize_t n = next_ip(fd, b, sizeof(b), 14, IPPROTO_UDP);
    CHECK_EQ(n, 47);
    CHECK(!memcmp(b, mac, 6));
    memcpy(b, b + 6, 6);
    memcpy(b + 6, mac, 6);
    turn_back(b + 14);
    CHECK_EQ(write(fd, b, (size_t)n), n);
    CHECK_EQ(recv(s, got, sizeof(got), 0), 5);
    close(fd);
    close(s);
}

TEST(readiness_and_states)
{
    unsigned char b[2048];
    fresh_ns();
    int fd = open_tun(O_NONBLOCK);
    struct ifreq r = {0};
    struct pollfd p = {fd, POLLIN | POLLOUT, 0};
    CHECK_ERR(read(fd, b, sizeof(b)), EBADFD);
    CHECK_ERR(write(fd, b, 20), EBADFD);
    CHECK_ERR(ioctl(fd, TUNGETIFF, &r), EBADFD);
    CHECK_EQ(poll(&p, 1, 0), 1);
    CHECK_EQ(p.revents, POLLERR);
    CHECK_ERR(set_iff(fd, "tun7", IFF_NO_PI), EINVAL);
    CHECK(set_iff(fd, "tun7", IFF_TUN | IFF_NO_PI) == 0);
    CHECK_ERR(set_iff(fd, "tun8", IFF_TUN | IFF_NO_PI), EEXIST);
    int other = open_tun(0);
    CHECK_ERR(set_iff(other, "tun7", IFF_TUN | IFF_NO_PI), EBUSY);
    CHECK_ERR(set_iff(other, "tun7", IFF_TAP | IFF_NO_PI), EINVAL);
    CHECK_ERR(set_iff(other, "lo", IFF_TUN | IFF_NO_PI), EINVAL);
    CHECK(ioctl(fd, TUNGETIFF, &r) == 0);
    CHECK_STR(r.ifr_name, "tun7");
    CHECK_ERR(read(fd, b, sizeof(b)), EAGAIN);
    memset(b, 0, 20);
    b[0] = 0x45;
    CHECK_ERR(write(fd, b, 20), EIO); /* it is down */
    CHECK(write_file("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1\n") == 0);
    CHECK_EQ(add_addr("tun7", "10.7.0.1", 24), 0);
    CHECK_EQ(link_up("tun7", 1), 0);
    int s = sock_at(SOCK_DGRAM, "10.7.0.1", 0);
    CHECK(connect_to(s, "10.7.0.2", 7) == 0);
    CHECK_EQ(send(s, "there", 5, 0), 5);
    CHECK_EQ(poll(&p, 1, 20000), 1);
    CHECK(p.revents & POLLIN);
    CHECK_EQ(del_link("tun7"), 0);
    CHECK(poll(&p, 1, 0) == 1 && p.revents & POLLERR);
    close(s);
    close(fd);
    close(other);
}

TEST(a_persistent_one_stays)
{
    fresh_ns();
    int fd = open_tun(0);
    CHECK(set_iff(fd, "tap7", IFF_TAP | IFF_NO_PI) == 0);
    CHECK(ioctl(fd, TUNSETPERSIST, 1) == 0);
    close(fd);
    CHECK(if_nametoindex("tap7"));
    fd = open_tun(0);
    CHECK(set_iff(fd, "tap7", IFF_TAP | IFF_NO_PI) == 0);
    CHECK(ioctl(fd, TUNSETPERSIST, 0) == 0);
    close(fd);
    CHECK_EQ(if_nametoindex("tap7"), 0);
}

/* ---- a wire of two descriptors ------------------------------------------------------------- */

static int wire[2];

static void *carry(void *arg)
{
    int from = *(int *)arg, to = from == wire[0] ? wire[1] : wire[0];
    static __thread unsigned char b[70000];
    for (;;) {
        ssize_t n = read(from, b, sizeof(b));
        if (n <= 0)
            return NULL;
        (void)!write(to, b, (size_t)n);
    }
}

TEST(a_stream_over_two)
{
    pthread_t th[2];
    fresh_ns();
    int here = own_ns();
    wire[0] = make_tun("tun7", IFF_TUN | IFF_NO_PI, "10.7.0.1");
    fresh_ns();
    wire[1] = make_tun("tun7", IFF_TUN | IFF_NO_PI, "10.7.0.2");
    for (int i = 0; i < 2; i++)
        CHECK(pthread_create(&th[i], NULL, carry, &wire[i]) == 0);
    int there = own_ns();
    stream_between(here, there, "10.7.0.1", "10.7.0.2", 2 << 20);
    CHECK_EQ(del_link("tun7"), 0); /* its reader finds it gone */
    enter_ns(there);
    CHECK_EQ(del_link("tun7"), 0);
    pthread_join(th[0], NULL);
    pthread_join(th[1], NULL);
    close(wire[0]);
    close(wire[1]);
    close(here);
    close(there);
}

/* A link without headers: what a packet socket sends is the packet. */
TEST(packet_sockets)
{
    unsigned char b[2048];
    char ip[30] = {0x45, [3] = 30, [8] = 9, [9] = 253, [12] = 10, 7, 0, 1, 10, 7, 0, 2};
    fresh_ns();
    int fd = make_tun("tun7", IFF_TUN | IFF_NO_PI, "10.7.0.1");
    int p = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_IP));
    struct sockaddr_ll to = {
        .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IP), .sll_ifindex = (int)if_nametoindex("tun7")};
    CHECK_EQ(sendto(p, ip, sizeof(ip), 0, (struct sockaddr *)&to, sizeof(to)), sizeof(ip));
    CHECK_EQ(next_ip(fd, b, sizeof(b), 0, 253), sizeof(ip));
    CHECK(!memcmp(b, ip, sizeof(ip)));
    close(p);
    close(fd);
}
