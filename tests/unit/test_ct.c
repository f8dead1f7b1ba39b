/* The table of connections: states, NAT, bounds, and packets at random. */
#include "net/filter/ct.h"

#include <stdlib.h>
#include <string.h>

#include "net/inet/inet.h"
#include "net/stack/wirefmt.h"
#include "test.h"

static u8 head[64];

static struct xt_packet packet(u8 protocol, u32 src, u16 sport, u32 dst, u16 dport, u8 flags)
{
    memset(head, 0, sizeof(head));
    head[0] = (u8)(sport >> 8);
    head[1] = (u8)sport;
    head[2] = (u8)(dport >> 8);
    head[3] = (u8)dport;
    head[12] = 0x50;
    head[13] = flags;
    return (struct xt_packet){.src = ipaddr_v4(net32(src)), .dst = ipaddr_v4(net32(dst)), .protocol = protocol,
                              .in = "", .out = "", .l4 = head, .l4_len = protocol == 6 ? 20 : 8, .size = 40};
}

/* The state that the packet has; it is let through. */
static u8 pass(struct ct_ns *n, struct xt_packet p)
{
    ct_track(n, &p);
    (void)ct_translate(&p, CT_DESTINATION);
    (void)ct_translate(&p, CT_SOURCE);
    bool is_in = ct_confirm(n, &p);
    ct_release(&p.i);
    return is_in ? p.i.state : CT_NONE;
}

#define A 0x0a000001U
#define B 0x0a000002U
#define C 0x0a000003U

TEST(states)
{
    struct ct_ns *n = ct_ns_new();
    CHECK(pass(n, packet(17, A, 1000, B, 53, 0)) == CT_NEW);
    CHECK(pass(n, packet(17, A, 1000, B, 53, 0)) == CT_NEW);
    CHECK(pass(n, packet(17, B, 53, A, 1001, 0)) == CT_NEW); /* another one */
    CHECK(pass(n, packet(17, B, 53, A, 1000, 0)) == CT_ESTABLISHED);
    CHECK(pass(n, packet(17, A, 1000, B, 53, 0)) == CT_ESTABLISHED);
    CHECK(pass(n, packet(6, A, 1000, B, 80, 0x12)) == CT_INVALID); /* an answer to nothing */
    CHECK(pass(n, packet(6, A, 1000, B, 80, 0x04)) == CT_INVALID);
    CHECK(pass(n, packet(6, A, 1000, B, 80, 0x02)) == CT_NEW);
    CHECK(pass(n, packet(6, B, 80, A, 1000, 0x12)) == CT_ESTABLISHED);
    CHECK(pass(n, packet(6, A, 1000, B, 80, 0x10)) == CT_ESTABLISHED);
    CHECK(pass(n, packet(6, A, 1000, B, 80, 0x11)) == CT_ESTABLISHED);
    CHECK(pass(n, packet(6, B, 80, A, 1000, 0x11)) == CT_ESTABLISHED);
    CHECK(pass(n, packet(6, A, 1000, B, 80, 0x02)) == CT_NEW); /* it was over: the next begins */
    CHECK(ct_count(n) == 3);
    ct_ns_free(n);
}

TEST(nat)
{
    struct ct_ns *n = ct_ns_new();
    struct ct_range r = {.has_addr = true, .has_port = true, .min = ipaddr_v4(net32(C)),
                         .max = ipaddr_v4(net32(C)), .port_min = 8080, .port_max = 8080};
    struct xt_packet p = packet(6, A, 1000, B, 80, 2);
    ct_track(n, &p);
    CHECK(ct_nat_begin(&p, CT_DESTINATION) && !ct_nat_begin(&p, CT_DESTINATION));
    CHECK(ct_nat(n, &p, CT_DESTINATION, &r));
    CHECK(ct_translate(&p, CT_DESTINATION) && !ct_translate(&p, CT_SOURCE));
    CHECK(ipaddr_equal(&p.dst, &r.min) && head[2] == 8080 >> 8 && head[3] == (8080 & 0xff));
    CHECK(ct_confirm(n, &p));
    ct_release(&p.i);
    p = packet(6, C, 8080, A, 1000, 0x12); /* the answer comes from where they asked */
    ct_track(n, &p);
    CHECK(p.i.state == CT_ESTABLISHED && p.i.dir == CT_REPLY);
    CHECK(!ct_translate(&p, CT_DESTINATION) && ct_translate(&p, CT_SOURCE));
    struct lx_in6_addr b = ipaddr_v4(net32(B)), got;
    CHECK(ipaddr_equal(&p.src, &b) && head[0] == 0 && head[1] == 80);
    ct_release(&p.i);
    struct ct_tuple local = {.src = r.min, .sport = 8080, .dst = ipaddr_v4(net32(A)), .dport = 1000, .protocol = 6};
    u16 port;
    CHECK(ct_original_dst(n, &local, &got, &port) && ipaddr_equal(&got, &b) && port == 80);
    /* a second client that SNAT makes the first gets another port */
    struct ct_range s = {.has_addr = true, .min = ipaddr_v4(net32(A)), .max = ipaddr_v4(net32(A))};
    p = packet(6, B, 1000, C, 8080, 2);
    ct_track(n, &p);
    CHECK(ct_nat(n, &p, CT_SOURCE, &s) && ct_translate(&p, CT_SOURCE));
    CHECK((head[0] << 8 | head[1]) != 1000 && (head[0] << 8 | head[1]) >= 600);
    CHECK(ct_confirm(n, &p));
    ct_release(&p.i);
    ct_ns_free(n);
}

/* An error about a packet that NAT changed quotes what was sent, and its checksum is right. */
TEST(errors)
{
    struct ct_ns *n = ct_ns_new();
    struct ct_range r = {.has_addr = true, .has_port = true, .min = ipaddr_v4(net32(C)),
                         .max = ipaddr_v4(net32(C)), .port_min = 5000, .port_max = 5000};
    struct xt_packet p = packet(17, A, 1000, B, 53, 0);
    ct_track(n, &p);
    CHECK(ct_nat(n, &p, CT_SOURCE, &r) && ct_translate(&p, CT_SOURCE) && ct_confirm(n, &p));
    ct_release(&p.i);
    u8 m[8 + 20 + 8] = {3, 3};
    const u32 c = net32(C), b = net32(B), a = net32(A);
    m[8] = 0x45;
    m[8 + 9] = 17;
    memcpy(m + 8 + 12, &c, 4);
    memcpy(m + 8 + 16, &b, 4);
    csum_store(m + 8 + 10, csum_add(0, m + 8, 20), true);
    wr16(m + 28, 5000);
    wr16(m + 30, 53);
    csum_store(m + 2, csum_add(0, m, sizeof(m)), true);
    p = (struct xt_packet){.src = ipaddr_v4(b), .dst = ipaddr_v4(c), .protocol = 1, .in = "", .out = "",
                           .l4 = m, .l4_len = sizeof(m), .size = 56};
    ct_track(n, &p);
    CHECK(p.i.state == CT_RELATED && ct_translate(&p, CT_DESTINATION));
    CHECK(!ct_translate(&p, CT_DESTINATION) && !ct_translate(&p, CT_SOURCE));
    ct_release(&p.i);
    CHECK(p.dst.w[3] == a && !memcmp(m + 8 + 12, &a, 4) && rd16(m + 28) == 1000);
    CHECK(csum_fold(csum_add(0, m + 8, 20)) == 0xffff && csum_fold(csum_add(0, m, sizeof(m))) == 0xffff);
    ct_ns_free(n);
}

TEST(bound)
{
    struct ct_ns *n = ct_ns_new();
    for (u32 i = 0; i < CT_MAX + 1000; i++) /* none is answered: the old give way */
        CHECK(pass(n, packet(17, A + (i >> 12), (u16)(i & 0xfff), B, 53, 0)) == CT_NEW);
    CHECK(ct_count(n) <= CT_MAX);
    ct_ns_free(n);
    n = ct_ns_new();
    u32 nlost = 0;
    for (u32 i = 0; i < CT_MAX + 100; i++) { /* all are in use: the new do not get in */
        u32 a = 0x0a010001U + (i >> 12);
        u16 port = (u16)(i & 0xfff);
        nlost += pass(n, packet(17, a, port, B, 53, 0)) == CT_NONE;
        (void)pass(n, packet(17, B, 53, a, port, 0));
        (void)pass(n, packet(17, a, port, B, 53, 0));
    }
    CHECK(ct_count(n) == CT_MAX && nlost >= 100);
    ct_ns_free(n);
}

static u32 seed = 99;
static u32 rnd(void)
{
    seed = seed * 1664525U + 1013904223U;
    return seed >> 8;
}

TEST(random_packets)
{
    struct ct_ns *n = ct_ns_new();
    static const u8 protocols[] = {1, 6, 17, 58, 47};
    for (u32 i = 0; i < 200000; i++) {
        u32 len = rnd() % 65;
        u8 *l4 = malloc(len ? len : 1);
        for (u32 k = 0; k < len; k++)
            l4[k] = rnd() % 3 ? (u8)(rnd() % 20) : (u8)rnd();
        struct xt_packet p = {.src = ipaddr_v4(net32(A + rnd() % 4)), .dst = ipaddr_v4(net32(A + rnd() % 4)),
                              .protocol = protocols[rnd() % 5], .in = "", .out = "", .l4 = l4, .l4_len = len,
                              .csum = (u8)(rnd() % 3)};
        p.is_v6 = p.protocol == 58;
        ct_track(n, &p);
        struct ct_range r = {.has_addr = rnd() % 2, .has_port = rnd() % 2, .min = ipaddr_v4(net32(A)),
                             .max = ipaddr_v4(net32(C)), .port_min = 5, .port_max = 7};
        enum ct_manip m = rnd() % 2 ? CT_SOURCE : CT_DESTINATION;
        if (rnd() % 4 == 0 && ct_nat_begin(&p, m))
            (void)!ct_nat(n, &p, m, &r);
        (void)ct_translate(&p, CT_DESTINATION);
        (void)ct_translate(&p, CT_SOURCE);
        if (rnd() % 8)
            (void)!ct_confirm(n, &p);
        ct_release(&p.i);
        free(l4);
    }
    CHECK(ct_count(n) <= CT_MAX);
    ct_ns_free(n);
}
