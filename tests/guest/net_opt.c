/* Socket options that bring something back: stamps, notices, urgent data, deferral, GSO and GRO.
 * True on Linux. */
#include "net_common.h"

#include <linux/errqueue.h>
#include <linux/net_tstamp.h>
#include <linux/sockios.h>
#include <netinet/udp.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

union control {
    char buf[512];
    struct cmsghdr align;
};

static int udp_on_lo(void)
{
    int s = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in a = lo4(0);
    CHECK(s >= 0 && bind(s, (struct sockaddr *)&a, sizeof(a)) == 0);
    return s;
}

static void udp_connected(int p[2])
{
    p[0] = udp_on_lo();
    p[1] = udp_on_lo();
    struct sockaddr_in a = lo4(port_of(p[1]));
    CHECK(connect(p[0], (struct sockaddr *)&a, sizeof(a)) == 0);
}

/* recvmsg with control data; the message stays in *m. */
static ssize_t receive(int s, char *b, size_t size, union control *c, struct msghdr *m, int flags)
{
    static struct iovec v;
    v = (struct iovec){b, size};
    *m = (struct msghdr){
        .msg_iov = &v, .msg_iovlen = 1, .msg_control = c, .msg_controllen = sizeof(*c)};
    return recvmsg(s, m, flags);
}

static struct cmsghdr *find_cmsg(struct msghdr *m, int level, int type)
{
    for (struct cmsghdr *h = CMSG_FIRSTHDR(m); h; h = CMSG_NXTHDR(m, h)) {
        if (h->cmsg_level == level && h->cmsg_type == type)
            return h;
    }
    return NULL;
}

static int is_recent(const struct timespec *ts)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec - ts->tv_sec >= 0 && now.tv_sec - ts->tv_sec < 60;
}

TEST(gstamp)
{
    int p[2];
    char b[8];
    struct timeval tv, tv2;
    struct timespec ts;
    udp_connected(p);
    CHECK_EQ(send(p[0], "a", 1, 0), 1);
    CHECK_EQ(recv(p[1], b, 8, 0), 1);
    CHECK(ioctl(p[1], SIOCGSTAMP, &tv) == 0);
    CHECK(ioctl(p[1], SIOCGSTAMP, &tv2) == 0);
    CHECK(tv.tv_sec == tv2.tv_sec && tv.tv_usec == tv2.tv_usec);
    CHECK(ioctl(p[1], SIOCGSTAMPNS, &ts) == 0);
    CHECK(is_recent(&ts));
    CHECK_EQ(ts.tv_nsec / 1000, tv.tv_usec);
    CHECK_ERR(ioctl(p[0], SIOCGSTAMP, &tv), ENOENT);
    close(p[0]);
    close(p[1]);
}

/* Linux begins to stamp what arrives a moment after the option that asks for it: its work queue
 * does that. Sends until a stamp comes. */
static void await_stamps(const int p[2])
{
    char b[8];
    union control c;
    struct msghdr m;
    struct timespec pause = {0, 5000000};
    for (int i = 0; i < 2000; i++) {
        CHECK_EQ(send(p[0], "-", 1, 0), 1);
        CHECK_EQ(receive(p[1], b, 8, &c, &m, 0), 1);
        if (find_cmsg(&m, SOL_SOCKET, SCM_TIMESTAMPING))
            return;
        nanosleep(&pause, NULL);
    }
    CHECK(!"no packet was stamped");
}

TEST(timestamping_receive)
{
    int p[2];
    char b[8];
    union control c;
    struct msghdr m;
    udp_connected(p);
    int f = SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE;
    CHECK(setopt_int(p[1], SOL_SOCKET, SO_TIMESTAMPING, f) == 0);
    CHECK_EQ(getopt_int(p[1], SOL_SOCKET, SO_TIMESTAMPING), f);
    CHECK_ERR(setopt_int(p[1], SOL_SOCKET, SO_TIMESTAMPING, 1 << 30), EINVAL);
    await_stamps(p);
    CHECK_EQ(send(p[0], "a", 1, 0), 1);
    CHECK_EQ(receive(p[1], b, 8, &c, &m, 0), 1);
    struct cmsghdr *h = find_cmsg(&m, SOL_SOCKET, SCM_TIMESTAMPING);
    CHECK(h && h->cmsg_len == CMSG_LEN(3 * sizeof(struct timespec)));
    struct timespec ts[3];
    memcpy(ts, CMSG_DATA(h), sizeof(ts));
    CHECK(is_recent(&ts[0]));
    CHECK(ts[1].tv_sec == 0 && ts[2].tv_sec == 0);
    close(p[0]);
    close(p[1]);
}

TEST(timestamping_send)
{
    int p[2];
    char b[256];
    union control c;
    struct msghdr m;
    udp_connected(p);
    int f = SOF_TIMESTAMPING_TX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE | SOF_TIMESTAMPING_OPT_ID;
    CHECK(setopt_int(p[0], SOL_SOCKET, SO_TIMESTAMPING, f) == 0);
    for (unsigned i = 0; i < 2; i++) {
        CHECK_EQ(send(p[0], "abc", 3, 0), 3);
        struct pollfd pf = {p[0], POLLPRI, 0};
        CHECK_EQ(poll(&pf, 1, 5000), 1);
        CHECK_EQ(pf.revents, POLLERR);
        CHECK_EQ(receive(p[0], b, sizeof(b), &c, &m, MSG_ERRQUEUE), 14 + 20 + 8 + 3);
        CHECK(!memcmp(b + 42, "abc", 3));
        CHECK_EQ(m.msg_flags, MSG_ERRQUEUE);
        struct cmsghdr *h = find_cmsg(&m, SOL_SOCKET, SCM_TIMESTAMPING);
        CHECK(h);
        struct timespec ts;
        memcpy(&ts, CMSG_DATA(h), sizeof(ts));
        CHECK(is_recent(&ts));
        h = find_cmsg(&m, SOL_IP, IP_RECVERR);
        CHECK(h);
        struct sock_extended_err ee;
        memcpy(&ee, CMSG_DATA(h), sizeof(ee));
        CHECK_EQ(ee.ee_errno, ENOMSG);
        CHECK_EQ(ee.ee_origin, SO_EE_ORIGIN_TIMESTAMPING);
        CHECK_EQ(ee.ee_info, SCM_TSTAMP_SND);
        CHECK_EQ(ee.ee_data, i);
        CHECK_EQ(getopt_int(p[0], SOL_SOCKET, SO_ERROR), 0);
    }
    CHECK_ERR(recv(p[0], b, sizeof(b), MSG_ERRQUEUE), EAGAIN);
    close(p[0]);
    close(p[1]);
}

TEST(zerocopy_notices)
{
    int c2[2];
    char b[8], data[3000] = {0};
    union control c;
    struct msghdr m;
    tcp_pair(c2);
    CHECK_EQ(send(c2[0], data, sizeof(data), MSG_ZEROCOPY),
             sizeof(data)); /* without the option: a flag ignored */
    CHECK_ERR(recv(c2[0], b, 8, MSG_ERRQUEUE), EAGAIN);
    CHECK(setopt_int(c2[0], SOL_SOCKET, SO_ZEROCOPY, 1) == 0);
    CHECK_EQ(getopt_int(c2[0], SOL_SOCKET, SO_ZEROCOPY), 1);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(send(c2[0], data, sizeof(data), MSG_ZEROCOPY), sizeof(data));
    CHECK_EQ(send(c2[0], data, 1, 0), 1);
    size_t got = 0;
    while (got < 4 * sizeof(data) + 1) {
        char sink[4096];
        ssize_t n = recv(c2[1], sink, sizeof(sink), 0);
        CHECK(n > 0);
        got += (size_t)n;
    }
    unsigned next = 0;
    while (next < 3) {
        struct pollfd pf = {c2[0], 0, 0};
        CHECK_EQ(poll(&pf, 1, 5000), 1);
        CHECK(pf.revents & POLLERR);
        CHECK_EQ(receive(c2[0], b, sizeof(b), &c, &m, MSG_ERRQUEUE), 0);
        CHECK(m.msg_flags & MSG_ERRQUEUE);
        struct cmsghdr *h = find_cmsg(&m, SOL_IP, IP_RECVERR);
        CHECK(h);
        struct sock_extended_err ee;
        memcpy(&ee, CMSG_DATA(h), sizeof(ee));
        CHECK_EQ(ee.ee_errno, 0);
        CHECK_EQ(ee.ee_origin, SO_EE_ORIGIN_ZEROCOPY);
        CHECK_EQ(ee.ee_code, SO_EE_CODE_ZEROCOPY_COPIED);
        CHECK_EQ(ee.ee_info, next);
        CHECK(ee.ee_data >= ee.ee_info && ee.ee_data < 3);
        next = ee.ee_data + 1;
    }
    CHECK_EQ(events_of(c2[0]), EPOLLOUT);
    close(c2[0]);
    close(c2[1]);
}

TEST(udp_gro)
{
    int p[2];
    char b[4096], data[1000];
    union control c;
    struct msghdr m;
    udp_connected(p);
    memset(data, 'x', sizeof(data));
    CHECK(setopt_int(p[0], SOL_UDP, UDP_SEGMENT, 300) == 0);
    CHECK_EQ(send(p[0], data, sizeof(data), 0), sizeof(data));
    for (int i = 0; i < 4; i++)
        CHECK_EQ(recv(p[1], b, sizeof(b), MSG_DONTWAIT), i < 3 ? 300 : 100);
    CHECK(setopt_int(p[1], SOL_UDP, UDP_GRO, 1) == 0);
    CHECK_EQ(send(p[0], data, sizeof(data), 0), sizeof(data));
    CHECK_EQ(receive(p[1], b, sizeof(b), &c, &m, MSG_DONTWAIT), sizeof(data));
    struct cmsghdr *h = find_cmsg(&m, SOL_UDP, UDP_GRO);
    CHECK(h);
    int gso;
    memcpy(&gso, CMSG_DATA(h), sizeof(gso));
    CHECK_EQ(gso, 300);
    CHECK(setopt_int(p[0], SOL_UDP, UDP_SEGMENT, 0) == 0);
    CHECK_EQ(send(p[0], data, 10, 0), 10);
    CHECK_EQ(receive(p[1], b, sizeof(b), &c, &m, MSG_DONTWAIT), 10);
    CHECK(!find_cmsg(&m, SOL_UDP, UDP_GRO));
    CHECK(setopt_int(p[0], SOL_UDP, UDP_SEGMENT, 1) == 0);
    CHECK_ERR(send(p[0], data, sizeof(data), 0), EINVAL); /* too many segments */
    close(p[0]);
    close(p[1]);
}

static volatile sig_atomic_t urgs;

static void on_urg(int signo)
{
    urgs++;
}

static void urgent(int a, int b)
{
    char buf[16];
    struct sigaction sa = {.sa_handler = on_urg};
    CHECK(sigaction(SIGURG, &sa, NULL) == 0);
    urgs = 0;
    CHECK_EQ(send(a, "abX", 3, MSG_OOB), 3);
    sleep_ms(20);
    CHECK_EQ(urgs, 0); /* no owner */
    CHECK(fcntl(b, F_SETOWN, getpid()) == 0);
    int at;
    CHECK(ioctl(b, SIOCATMARK, &at) == 0);
    CHECK_EQ(at, 0);
    struct pollfd pf = {b, POLLPRI | POLLIN, 0};
    CHECK_EQ(poll(&pf, 1, 1000), 1);
    CHECK_EQ(pf.revents, POLLPRI | POLLIN);
    CHECK_EQ(recv(b, buf, sizeof(buf), 0), 2); /* up to the mark */
    CHECK(ioctl(b, SIOCATMARK, &at) == 0);
    CHECK_EQ(at, 1);
    CHECK_EQ(recv(b, buf, sizeof(buf), MSG_OOB), 1);
    CHECK_EQ(buf[0], 'X');
    CHECK_ERR(recv(b, buf, sizeof(buf), MSG_OOB), EINVAL);
    CHECK_EQ(send(a, "Y", 1, MSG_OOB), 1);
    for (int i = 0; i < 200 && !urgs; i++)
        sleep_ms(5);
    CHECK_EQ(urgs, 1);
    CHECK_EQ(recv(b, buf, sizeof(buf), MSG_OOB), 1);
    CHECK_EQ(buf[0], 'Y');
}

TEST(urgent_tcp)
{
    int c[2];
    tcp_pair(c);
    urgent(c[0], c[1]);
    close(c[0]);
    close(c[1]);
}

TEST(defer_accept)
{
    int port, l = tcp_listener(5, &port);
    CHECK(setopt_int(l, IPPROTO_TCP, TCP_DEFER_ACCEPT, 1) == 0);
    CHECK_EQ(getopt_int(l, IPPROTO_TCP, TCP_DEFER_ACCEPT), 1);
    int c = tcp_connect_to(port);
    nonblock(l, 1);
    CHECK_ERR(accept(l, NULL, NULL), EAGAIN);
    CHECK_EQ(events_of(l), 0);
    CHECK_EQ(send(c, "x", 1, 0), 1);
    struct pollfd pf = {l, POLLIN, 0};
    CHECK_EQ(poll(&pf, 1, 5000), 1);
    int a = accept(l, NULL, NULL);
    CHECK(a >= 0);
    char b[4];
    CHECK_EQ(recv(a, b, 4, 0), 1);
    close(a);
    close(c);
    c = tcp_connect_to(port); /* without data it comes when the time is up */
    long t = now_ms();
    CHECK_EQ(poll(&pf, 1, 5000), 1);
    CHECK(now_ms() - t > 700);
    a = accept(l, NULL, NULL);
    CHECK(a >= 0);
    close(a);
    close(c);
    close(l);
}

TEST(timestamp_on_stream)
{
    int c2[2];
    char b[8];
    union control c;
    struct msghdr m;
    tcp_pair(c2);
    CHECK(setopt_int(c2[1], SOL_SOCKET, SO_TIMESTAMP, 1) == 0);
    sleep_ms(100); /* Linux begins to stamp from a work queue */
    CHECK_EQ(send(c2[0], "a", 1, 0), 1);
    CHECK_EQ(receive(c2[1], b, 8, &c, &m, 0), 1);
    struct cmsghdr *h = find_cmsg(&m, SOL_SOCKET, SO_TIMESTAMP);
    CHECK(h && h->cmsg_len == CMSG_LEN(sizeof(struct timeval)));
    close(c2[0]);
    close(c2[1]);
}

/* Two bytes and a close from many clients: no reader sees the end before the bytes. */
static void *clients(void *arg)
{
    int port = *(int *)arg;
    for (int i = 0; i < 1500; i++) {
        int c = tcp_connect_to(port);
        if (send(c, "ab", 2, 0) != 2)
            break;
        close(c);
    }
    return NULL;
}

TEST(bytes_before_end)
{
    int port, l = tcp_listener(128, &port);
    pthread_t t;
    CHECK(pthread_create(&t, NULL, clients, &port) == 0);
    for (int i = 0; i < 1500; i++) {
        int a = accept(l, NULL, NULL);
        char b[4];
        CHECK(a >= 0);
        CHECK_EQ(recv(a, b, 4, 0), 2);
        CHECK_EQ(recv(a, b, 4, 0), 0);
        close(a);
    }
    pthread_join(t, NULL);
    close(l);
}
