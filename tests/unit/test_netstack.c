/*
 * net/stack: frames in, frames out. The interface is one end of a socket pair; what the stack sends
 * is read at the other. Then frames of every kind with bytes changed at random, from a fixed seed.
 */
#include <sys/socket.h>
#include <unistd.h>

#include "kern/kern_int.h"
#include "net/stack/stack.h"
#include "net/stack/tcb.h"
#include "test.h"
#include "wire/netcfg.h"

static struct netstack *stk;
static struct net_ns *ns;
static int far_end = -1;
static const u8 our_mac[6] = {2, 0, 0, 0, 0, 1}, their_mac[6] = {2, 0, 0, 0, 0, 2};
static const u8 us4[4] = {10, 0, 0, 1}, them4[4] = {10, 0, 0, 2};
static const u8 us6[16] = {0xfd, [15] = 1}, them6[16] = {0xfd, [15] = 2};

static void mapped(u8 out[16], const u8 v4[4])
{
    memset(out, 0, 16);
    out[10] = out[11] = 0xff;
    memcpy(out + 12, v4, 4);
}

static void set_up(void)
{
    static struct netcfg_iface ifaces[1];
    static struct netcfg_addr addrs[2];
    static struct netcfg_route routes[3];
    int sp[2], size = 1 << 20;
    if (stk)
        return;
    CHECK_EQ(socketpair(AF_UNIX, SOCK_DGRAM, 0, sp), 0);
    setsockopt(sp[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    far_end = sp[1];
    ifaces[0] = (struct netcfg_iface){.index = 2,
                                      .fd = sp[0],
                                      .name = "eth0",
                                      .type = 1,
                                      .mtu = 1500,
                                      .flags = LX_IFF_UP | LX_IFF_BROADCAST | LX_IFF_MULTICAST};
    memcpy(ifaces[0].mac, our_mac, 6);
    addrs[0] = (struct netcfg_addr){
        .ifindex = 2, .family = LX_AF_INET, .prefix_len = 24, .bcast = {10, 0, 0, 255}};
    mapped(addrs[0].addr, us4);
    mapped(addrs[0].peer, us4);
    addrs[1] = (struct netcfg_addr){.ifindex = 2, .family = LX_AF_INET6, .prefix_len = 64};
    memcpy(addrs[1].addr, us6, 16);
    memcpy(addrs[1].peer, us6, 16);
    routes[0] = (struct netcfg_route){
        .oif = 2, .family = LX_AF_INET, .dst_len = 24, .type = 1, .table = 254};
    mapped(routes[0].dst, (const u8[4]){10, 0, 0, 0});
    routes[1] = (struct netcfg_route){
        .oif = 2, .family = LX_AF_INET, .dst_len = 0, .type = 1, .table = 254, .has_gateway = 1};
    mapped(routes[1].dst, (const u8[4]){0});
    mapped(routes[1].gateway, (const u8[4]){10, 0, 0, 254});
    routes[2] = (struct netcfg_route){
        .oif = 2, .family = LX_AF_INET6, .dst_len = 64, .type = 1, .table = 254};
    routes[2].dst[0] = 0xfd;
    struct netcfg cfg = {.nifaces = 1,
                         .naddrs = 2,
                         .nroutes = 3,
                         .ifaces = ifaces,
                         .addrs = addrs,
                         .routes = routes};
    CHECK_EQ(net_ns_new(&root_user_ns, &ns), 0);
    stk = ns->stack;
    CHECK_EQ(netstack_configure(stk, &cfg), 0);
}

/* ---- frames -------------------------------------------------------------------------------- */

struct frame {
    u8 b[2048];
    u32 n;
};

static void feed(const struct frame *f)
{
    struct rxpkt p = {.ifc = stk_iface(stk, 2), .len = f->n};
    u8 *exact = malloc(f->n ? f->n : 1); /* a read beyond it is seen by a sanitiser */
    memcpy(exact, f->b, f->n);
    p.data = exact;
    if (f->n >= ETHER_HLEN)
        eth_input(&p);
    free(exact);
}

/* The next frame sent, without its virtio header; false: none. */
static bool sent(struct frame *f)
{
    u8 buf[70000];
    ssize_t n = recv(far_end, buf, sizeof(buf), MSG_DONTWAIT);
    if (n < 10)
        return false;
    f->n = MIN((u32)n - 10, (u32)sizeof(f->b));
    memcpy(f->b, buf + 10, f->n);
    return true;
}
static void drain(void)
{
    struct frame f;
    while (sent(&f))
        ;
}

static u8 *eth(struct frame *f, u16 type)
{
    memset(f, 0, sizeof(*f));
    memcpy(f->b, our_mac, 6);
    memcpy(f->b + 6, their_mac, 6);
    wr16(f->b + 12, type);
    f->n = ETHER_HLEN;
    return f->b + f->n;
}
static void ip4(struct frame *f, u8 protocol, const u8 *data, u32 size, u16 id, u16 frag)
{
    u8 *h = eth(f, ETHTYPE_IP);
    h[0] = 0x45;
    wr16(h + 2, 20 + size);
    wr16(h + 4, id);
    wr16(h + 6, frag);
    h[8] = 64;
    h[9] = protocol;
    memcpy(h + 12, them4, 4);
    memcpy(h + 16, us4, 4);
    csum_store(h + 10, csum_add(0, h, 20), true);
    memcpy(h + 20, data, size);
    f->n += 20 + size;
}
static void ip6(struct frame *f, u8 next, const u8 *data, u32 size)
{
    u8 *h = eth(f, ETHTYPE_IPV6);
    h[0] = 0x60;
    wr16(h + 4, size);
    h[6] = next;
    h[7] = 255;
    memcpy(h + 8, them6, 16);
    memcpy(h + 24, us6, 16);
    memcpy(h + 40, data, size);
    f->n += 40 + size;
}
static u64 pseudo(bool is_v6, u8 protocol, u32 size)
{
    u8 tail[8] = {0};
    wr32(tail, size);
    tail[7] = protocol;
    u64 s = csum_add(0, tail, 8);
    return is_v6 ? csum_add(csum_add(s, them6, 16), us6, 16)
                 : csum_add(csum_add(s, them4, 4), us4, 4);
}
static void arp_frame(struct frame *f, u16 op)
{
    u8 *a = eth(f, ETHTYPE_ARP);
    if (op == 1)
        memset(f->b, 0xff, 6);
    wr16(a, 1);
    wr16(a + 2, ETHTYPE_IP);
    a[4] = 6;
    a[5] = 4;
    wr16(a + 6, op);
    memcpy(a + 8, their_mac, 6);
    memcpy(a + 14, them4, 4);
    memcpy(a + 24, us4, 4);
    f->n += ARP_LEN;
}
static u32 echo(u8 *m, u32 payload, bool is_v6)
{
    memset(m, 0, 8);
    m[0] = is_v6 ? 128 : 8;
    wr16(m + 4, 7);
    for (u32 i = 0; i < payload; i++)
        m[8 + i] = (u8)i;
    csum_store(m + 2, csum_add(is_v6 ? pseudo(true, PROTO_ICMPV6, 8 + payload) : 0, m, 8 + payload),
               true);
    return 8 + payload;
}
static u32 udp(u8 *m, u32 payload, bool is_v6)
{
    memset(m, 0, 8 + payload);
    wr16(m, 1000);
    wr16(m + 2, 9);
    wr16(m + 4, 8 + payload);
    csum_store(m + 6, csum_add(pseudo(is_v6, PROTO_UDP, 8 + payload), m, 8 + payload), true);
    return 8 + payload;
}
static u32 syn(u8 *m, bool is_v6)
{
    memset(m, 0, 40);
    wr16(m, 1000);
    wr16(m + 2, 80);
    wr32(m + 4, 12345);
    m[12] = 10 << 4;
    m[13] = TCPF_SYN;
    wr16(m + 14, 65535);
    (void)tcp_put_syn_opts(m + 20, 1460, 7, true, true, 99, 0);
    csum_store(m + 16, csum_add(pseudo(is_v6, PROTO_TCP, 40), m, 40), true);
    return 40;
}
static u32 solicit(u8 *m)
{
    memset(m, 0, 32);
    m[0] = 135;
    memcpy(m + 8, us6, 16);
    m[24] = 1;
    m[25] = 1;
    memcpy(m + 26, their_mac, 6);
    csum_store(m + 2, csum_add(pseudo(true, PROTO_ICMPV6, 32), m, 32), true);
    return 32;
}

/* They are known from here on. */
static void introduce(void)
{
    struct frame f;
    arp_frame(&f, 1);
    feed(&f);
    u8 m[64];
    ip6(&f, PROTO_ICMPV6, m, solicit(m));
    feed(&f);
    drain();
}

/* ---- answers ------------------------------------------------------------------------------- */

TEST(arp_is_answered)
{
    struct frame f, r;
    set_up();
    arp_frame(&f, 1);
    feed(&f);
    CHECK(sent(&r));
    CHECK_EQ(rd16(r.b + 12), ETHTYPE_ARP);
    CHECK_EQ(rd16(r.b + 14 + 6), 2);
    CHECK(!memcmp(r.b + 14 + 8, our_mac, 6));
    CHECK(!memcmp(r.b + 14 + 14, us4, 4));
    struct neigh_info n;
    CHECK_EQ(neigh_list(stk, 0, &n, 1), 1);
    CHECK(!memcmp(n.mac, their_mac, 6));
}

TEST(echo_is_answered)
{
    struct frame f, r;
    u8 m[1500];
    set_up();
    introduce();
    ip4(&f, PROTO_ICMP, m, echo(m, 100, false), 1, 0);
    feed(&f);
    CHECK(sent(&r));
    CHECK_EQ(r.n, 14 + 20 + 108);
    CHECK_EQ(r.b[34], 0);
    CHECK_EQ(csum_fold(csum_add(0, r.b + 14, 20)), 0xffff);
    CHECK_EQ(csum_fold(csum_add(0, r.b + 34, 108)), 0xffff);
    CHECK(!memcmp(r.b + 42, m + 8, 100));
    ip6(&f, PROTO_ICMPV6, m, echo(m, 100, true));
    feed(&f);
    CHECK(sent(&r));
    CHECK_EQ(r.b[54], 129);
    m[3] ^= 1; /* a bad checksum is no request */
    ip4(&f, PROTO_ICMP, m, 108, 1, 0);
    feed(&f);
    CHECK(!sent(&r));
}

TEST(fragments_are_put_together_and_made)
{
    struct frame f, r;
    u8 m[3000];
    static const u32 order[3] = {2, 0, 1};
    set_up();
    introduce();
    u32 size = echo(m, 2492, false); /* 2,500: pieces of 1,000, 1,000 and 500 */
    for (u32 k = 0; k < 3; k++) {
        u32 off = order[k] * 1000, n = MIN(1000U, size - off);
        CHECK(!sent(&r));
        ip4(&f, PROTO_ICMP, m + off, n, 77, (u16)(off / 8 | (off + n < size ? IP4_MF : 0)));
        feed(&f);
    }
    CHECK(sent(&r)); /* the answer does not fit either */
    CHECK_EQ(rd16(r.b + 14 + 6), IP4_MF);
    u32 first = rd16(r.b + 14 + 2) - 20;
    CHECK(first <= 1480 && first % 8 == 0);
    CHECK(sent(&r));
    CHECK_EQ((rd16(r.b + 14 + 6) & IP4_OFFSET) * 8, first);
    CHECK_EQ(rd16(r.b + 14 + 2) - 20 + first, 2500);
    CHECK(!sent(&r));
    /* Overlap: dropped whole. */
    ip4(&f, PROTO_ICMP, m, 1000, 78, IP4_MF);
    feed(&f);
    ip4(&f, PROTO_ICMP, m + 992, 1000, 78, 992 / 8 | IP4_MF);
    feed(&f);
    ip4(&f, PROTO_ICMP, m + 1992, size - 1992, 78, 1992 / 8);
    feed(&f);
    CHECK(!sent(&r));
}

TEST(closed_ports_refuse)
{
    struct frame f, r;
    u8 m[200];
    set_up();
    introduce();
    ip4(&f, PROTO_UDP, m, udp(m, 20, false), 1, 0);
    feed(&f);
    CHECK(sent(&r));
    CHECK_EQ(r.b[34], 3);
    CHECK_EQ(r.b[35], 3);
    CHECK(!memcmp(r.b + 42, f.b + 14, 48));
    ip6(&f, PROTO_UDP, m, udp(m, 20, true));
    feed(&f);
    CHECK(sent(&r));
    CHECK_EQ(r.b[54], 1);
    CHECK_EQ(r.b[55], 4);
    ip4(&f, PROTO_TCP, m, syn(m, false), 1, 0);
    feed(&f);
    CHECK(sent(&r));
    CHECK_EQ(r.b[34 + 13], TCPF_RST | TCPF_ACK);
    CHECK_EQ(rd32(r.b + 34 + 8), 12346);
    /* A group's or broadcast's datagram is refused by nobody. */
    ip4(&f, PROTO_UDP, m, udp(m, 20, false), 1, 0);
    memset(f.b + 14 + 16, 0xff, 4);
    wr16(f.b + 14 + 10, 0);
    csum_store(f.b + 14 + 10, csum_add(0, f.b + 14, 20), true);
    feed(&f);
    CHECK(!sent(&r));
}

TEST(neighbour_discovery)
{
    struct frame f, r;
    u8 m[64];
    set_up();
    ip6(&f, PROTO_ICMPV6, m, solicit(m));
    feed(&f);
    CHECK(sent(&r));
    CHECK_EQ(r.b[54], 136);
    CHECK_EQ(r.b[21], 255);
    CHECK(!memcmp(r.b + 54 + 26, our_mac, 6));
    f.b[21] = 64; /* it came through a router: not a neighbour's */
    feed(&f);
    CHECK(!sent(&r));
}

TEST(forged_sources_are_dropped)
{
    static const u8 bad[][4] = {
        {10, 0, 0, 1}, {127, 0, 0, 1}, {224, 0, 0, 1}, {10, 0, 0, 255}, {255, 255, 255, 255}};
    struct frame f, r;
    u8 m[200];
    set_up();
    introduce();
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        ip4(&f, PROTO_ICMP, m, echo(m, 10, false), 1, 0);
        memcpy(f.b + 14 + 12, bad[i], 4);
        wr16(f.b + 14 + 10, 0);
        csum_store(f.b + 14 + 10, csum_add(0, f.b + 14, 20), true);
        feed(&f);
        CHECK(!sent(&r));
    }
}

TEST(egress_rules)
{
    struct netcfg c = {0};
    CHECK(netcfg_parse_egress(&c, "allow:10.1.0.0/16:80-90,[fd00::]/8:53,192.168.0.1"));
    CHECK_EQ(c.nrules, 3);
    CHECK_EQ(c.rules[0].prefix_len, 16);
    CHECK_EQ(c.rules[0].port_low, 80);
    CHECK_EQ(c.rules[0].port_high, 90);
    CHECK_EQ(c.rules[1].prefix_len, 8);
    CHECK_EQ(c.rules[2].port_high, 65535);
    netcfg_done(&c);
    static const char *const bad[] = {"",
                                      "allow:",
                                      "allow",
                                      "denied",
                                      "allow:10.0.0.0/33",
                                      "allow:10.0.0.0/8:70000",
                                      "allow:10.0.0.1:9-8",
                                      "allow:10.0.0",
                                      "allow:fd00::1",
                                      "allow:10.0.0.1:",
                                      "allow:10.0.0.1x"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        CHECK(!netcfg_parse_egress(&c, bad[i]));
        netcfg_done(&c);
    }
}

TEST(longest_prefix_wins)
{
    struct stk_path p;
    struct stk_route old, r = {.oif = 2, .family = LX_AF_INET, .dst_len = 32, .type = 7, .table = 254};
    ipaddr dst = ipaddr_v4(net32(0x0b000005)), src = ipaddr_v4(0);
    set_up();
    CHECK_EQ(stk_route(stk, &dst, 0, &src, &p), 0);
    CHECK_EQ(ipaddr_to_v4(&p.nexthop), net32(0x0a0000fe));
    CHECK_EQ(ipaddr_to_v4(&src), net32(0x0a000001));
    r.dst = dst;
    CHECK_EQ(stk_route_add(stk, &r), 0);
    CHECK_EQ(stk_route_add(stk, &r), -LX_EEXIST);
    CHECK_EQ(stk_route(stk, &dst, 0, &src, &p), -LX_EHOSTUNREACH);
    CHECK_EQ(stk_route_del(stk, &r, &old), 0);
    CHECK_EQ(stk_route_del(stk, &r, &old), -LX_ESRCH);
    CHECK_EQ(stk_route(stk, &dst, 0, &src, &p), 0);
}

/* ---- anything at all ----------------------------------------------------------------------- */

static u64 seed = 0x9e3779b97f4a7c15ULL;
static u32 rnd(u32 n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (u32)(seed >> 33) % n;
}

static void any_frame(struct frame *f)
{
    u8 m[1600];
    switch (rnd(12)) {
    case 0:
        arp_frame(f, (u16)(1 + rnd(2)));
        break;
    case 1:
        ip4(f, PROTO_ICMP, m, echo(m, rnd(600), false), (u16)rnd(50), 0);
        break;
    case 2:
        ip6(f, PROTO_ICMPV6, m, echo(m, rnd(600), true));
        break;
    case 3:
        ip4(f, PROTO_UDP, m, udp(m, rnd(600), false), 1, 0);
        break;
    case 4:
        ip6(f, PROTO_UDP, m, udp(m, rnd(600), true));
        break;
    case 5:
        ip4(f, PROTO_TCP, m, syn(m, false), 1, 0);
        break;
    case 6:
        ip6(f, PROTO_TCP, m, syn(m, true));
        break;
    case 7:
        ip6(f, PROTO_ICMPV6, m, solicit(m));
        break;
    case 8: { /* fragments */
        u32 n = echo(m, 600, false);
        ip4(f, PROTO_ICMP, m, rnd(2) ? n & ~7U : n, (u16)rnd(20),
            (u16)(rnd(200) | (rnd(3) ? IP4_MF : 0)));
        break;
    }
    case 9: { /* extension headers */
        m[0] = (u8)(rnd(2) ? PROTO_DSTOPTS : PROTO_FRAGMENT);
        for (u32 i = 1; i < 64; i++)
            m[i] = (u8)(rnd(4) ? 0 : rnd(256));
        ip6(f, (u8)(rnd(2) ? PROTO_HOPOPTS : PROTO_ROUTING), m, 64);
        break;
    }
    case 10: { /* errors that quote */
        struct frame q;
        u8 inner[64];
        bool is_v6 = rnd(2);
        memset(m, 0, 8);
        m[0] = (u8)(is_v6 ? 1 + rnd(4) : 3);
        m[1] = (u8)rnd(6);
        wr32(m + 4, rnd(2) ? 1280 : rnd(0x10000));
        if (is_v6)
            ip6(&q, PROTO_TCP, inner, syn(inner, true));
        else
            ip4(&q, PROTO_UDP, inner, udp(inner, 8, false), 1, 0);
        u32 n = MIN(q.n - 14, 100U);
        memcpy(m + 8, q.b + 14, n);
        csum_store(m + 2, csum_add(is_v6 ? pseudo(true, PROTO_ICMPV6, n + 8) : 0, m, n + 8), true);
        if (is_v6)
            ip6(f, PROTO_ICMPV6, m, n + 8);
        else
            ip4(f, PROTO_ICMP, m, n + 8, 1, 0);
        break;
    }
    default:
        eth(f, (u16)(rnd(2) ? ETHTYPE_IP : ETHTYPE_IPV6));
        for (u32 i = 0; i < 120; i++)
            f->b[f->n++] = (u8)rnd(256);
    }
}

TEST(random_frames)
{
    struct frame f;
    struct neigh_info n[8];
    set_up();
    for (u32 i = 0; i < 300000; i++) {
        any_frame(&f);
        for (u32 k = rnd(4); k; k--)
            f.b[ETHER_HLEN + rnd(MIN(f.n - ETHER_HLEN, 90U))] = (u8)rnd(256);
        if (!rnd(4))
            f.n = ETHER_HLEN + rnd(f.n - ETHER_HLEN + 1);
        if (f.n > ETHER_HLEN + 20 && rnd(2) &&
            rd16(f.b + 12) == ETHTYPE_IP) { /* deeper than the first checksum */
            wr16(f.b + 14 + 10, 0);
            csum_store(f.b + 14 + 10, csum_add(0, f.b + 14, MIN((f.b[14] & 15U) * 4, f.n - 14)),
                       true);
        }
        feed(&f);
        if (i % 64 == 0)
            drain();
    }
    drain();
    CHECK_EQ(neigh_list(stk, 1024, n, 8), 0);
    struct frame r;
    u8 m[200];
    introduce();
    ip4(&f, PROTO_ICMP, m, echo(m, 10, false), 1, 0);
    feed(&f);
    CHECK(sent(&r)); /* as well as ever */
    CHECK_EQ(r.b[34], 0);
}
