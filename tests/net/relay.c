/*
 * relay: a bad line between two interfaces. Frames that come in by one go out by the other, some
 * lost, late, repeated, out of order or changed. All by a seed.
 *
 *   net_relay IF1 IF2 [loss=PERMILLE] [dup=PERMILLE] [reorder=PERMILLE] [corrupt=PERMILLE]
 * [delay=US] [seed=N] net_relay plain IF     no segments larger than the MTU, no left-out checksums
 * from IF
 *
 * Prints "ready", then runs until it is ended.
 */
#include <errno.h>
#include <linux/ethtool.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define FRAME 2048
#define QUEUE 16384

struct held {
    int64_t at;
    uint64_t order;
    int to, size;
    unsigned char data[FRAME];
};

static struct held *heap[QUEUE];
static int nheap;
static uint64_t norder, state = 1;
static struct {
    const char *name;
    unsigned value;
} opts[] = {{"loss", 0}, {"dup", 0}, {"reorder", 0}, {"corrupt", 0}, {"delay", 0}, {"seed", 1}};
enum { LOSS, DUP, REORDER, CORRUPT, DELAY, SEED };

static unsigned rnd(unsigned n)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (unsigned)(state >> 33) % n;
}

static int64_t now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

static int before(const struct held *a, const struct held *b)
{
    return a->at < b->at || (a->at == b->at && a->order < b->order);
}

static void push(struct held *h)
{
    int i = nheap++;
    for (; i && before(h, heap[(i - 1) / 2]); i = (i - 1) / 2)
        heap[i] = heap[(i - 1) / 2];
    heap[i] = h;
}

static struct held *pop(void)
{
    struct held *top = heap[0], *last = heap[--nheap];
    int i = 0;
    for (;;) {
        int c = 2 * i + 1;
        if (c >= nheap)
            break;
        if (c + 1 < nheap && before(heap[c + 1], heap[c]))
            c++;
        if (!before(heap[c], last))
            break;
        heap[i] = heap[c];
        i = c;
    }
    heap[i] = last;
    return top;
}

static int open_iface(const char *name)
{
    int fd = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL)), one = 1, bytes = 8 << 20;
    struct sockaddr_ll ll = {.sll_family = AF_PACKET,
                             .sll_protocol = htons(ETH_P_ALL),
                             .sll_ifindex = (int)if_nametoindex(name)};
    if (fd < 0 || !ll.sll_ifindex || bind(fd, (struct sockaddr *)&ll, sizeof(ll)) < 0) {
        perror(name);
        exit(1);
    }
    setsockopt(fd, SOL_PACKET, 23 /* PACKET_IGNORE_OUTGOING */, &one, sizeof(one));
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes));
    setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes));
    return fd;
}

static int plain(const char *name)
{
    static const unsigned cmds[] = {ETHTOOL_SGSO, ETHTOOL_STSO, ETHTOOL_STXCSUM, ETHTOOL_SSG,
                                    ETHTOOL_SGRO};
    int fd = socket(AF_INET, SOCK_DGRAM, 0), r = 0;
    for (size_t i = 0; i < sizeof(cmds) / sizeof(cmds[0]); i++) {
        struct ethtool_value v = {.cmd = cmds[i], .data = 0};
        struct ifreq ifr = {.ifr_data = (void *)&v};
        snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
        if (ioctl(fd, SIOCETHTOOL, &ifr) < 0 && errno != EOPNOTSUPP)
            r = 1;
    }
    return r;
}

static void take(int to, const unsigned char *data, int size)
{
    if (rnd(1000) < opts[LOSS].value)
        return;
    int copies = 1 + (rnd(1000) < opts[DUP].value);
    while (copies-- && nheap < QUEUE) {
        struct held *h = malloc(sizeof(*h));
        if (!h)
            return;
        memcpy(h->data, data, (size_t)size);
        h->size = size;
        h->to = to;
        h->order = norder++;
        h->at = now_ns() + opts[DELAY].value * 1000LL;
        if (rnd(1000) < opts[REORDER].value)
            h->at += 500000 + rnd(2000000);
        if (size > 40 && rnd(1000) < opts[CORRUPT].value)
            h->data[34 + rnd((unsigned)size - 34)] ^= (unsigned char)(1 << rnd(8));
        push(h);
    }
}

int main(int argc, char **argv)
{
    int fds[2];
    if (argc == 3 && !strcmp(argv[1], "plain"))
        return plain(argv[2]);
    if (argc < 3)
        return 2;
    for (int i = 3; i < argc; i++) {
        int is_known = 0;
        for (size_t k = 0; k < sizeof(opts) / sizeof(opts[0]); k++) {
            size_t n = strlen(opts[k].name);
            if (!strncmp(argv[i], opts[k].name, n) && argv[i][n] == '=') {
                opts[k].value = (unsigned)strtoul(argv[i] + n + 1, NULL, 10);
                is_known = 1;
            }
        }
        if (!is_known)
            return 2;
    }
    state = opts[SEED].value * 0x9e3779b97f4a7c15ULL | 1;
    fds[0] = open_iface(argv[1]);
    fds[1] = open_iface(argv[2]);
    puts("ready");
    fflush(stdout);
    for (;;) {
        while (nheap && heap[0]->at <= now_ns()) {
            struct held *h = pop();
            if (send(fds[h->to], h->data, (size_t)h->size, 0) < 0 && errno != ENOBUFS &&
                errno != EMSGSIZE)
                perror("send");
            free(h);
        }
        struct pollfd p[2] = {{fds[0], POLLIN, 0}, {fds[1], POLLIN, 0}};
        struct timespec ts = {1, 0};
        if (nheap) {
            int64_t left = heap[0]->at - now_ns();
            ts = (struct timespec){0, left > 0 ? left < 999999999 ? left : 999999999 : 0};
        }
        if (ppoll(p, 2, &ts, NULL) <= 0)
            continue;
        for (int i = 0; i < 2; i++) {
            unsigned char buf[FRAME];
            ssize_t n;
            for (int k = 0;
                 k < 64 && (n = recv(fds[i], buf, sizeof(buf), MSG_DONTWAIT | MSG_TRUNC)) > 0;
                 k++) {
                if (n > FRAME) {
                    fprintf(stderr, "a frame of %zd bytes\n", n);
                    continue;
                }
                take(!i, buf, (int)n);
            }
        }
    }
}
