/* Building packets of what the loopback carried; see wire.h. */
#include "net/inet/wire.h"

#include <stdlib.h>
#include <string.h>

#include "net/filter.h"
#include "net/packet.h"

void put16(u8 *p, u16 v)
{
    p[0] = (u8)(v >> 8);
    p[1] = (u8)v;
}

u16 get16(const u8 *p)
{
    return (u16)(p[0] << 8 | p[1]);
}

void put32(u8 *p, u32 v)
{
    put16(p, (u16)(v >> 16));
    put16(p + 2, (u16)v);
}

static u64 sum16(const u8 *p, u32 size, u64 sum)
{
    for (; size > 1; p += 2, size -= 2)
        sum += (u32)p[0] << 8 | p[1];
    if (size)
        sum += (u32)p[0] << 8;
    return sum;
}

static u16 fold(u64 sum)
{
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (u16)~sum;
}

/* Of the transport, with its pseudo header (RFC 768, RFC 8200 8.1). */
static u16 transport_sum(const u8 *p, u32 size, u8 protocol, const struct dgram_cb *cb)
{
    bool is_v4 = ipaddr_is_v4(&cb->daddr);
    u32 at = is_v4 ? 12 : 0, n = is_v4 ? 4 : 16;
    u64 sum = sum16(cb->saddr.b + at, n, sum16(cb->daddr.b + at, n, (u64)size + protocol));
    return fold(sum16(p, size, sum));
}

void icmp_checksum(u8 *p, u32 size, const struct dgram_cb *cb)
{
    put16(p + 2, 0);
    put16(p + 2, ipaddr_is_v4(&cb->daddr) ? fold(sum16(p, size, 0))
                                          : transport_sum(p, size, LX_IPPROTO_ICMPV6, cb));
}

bool icmp_is_intact(const u8 *p, u32 size)
{
    return fold(sum16(p, size, 0)) == 0;
}

bool udp_is_intact(const u8 *p, u32 size, const struct dgram_cb *cb)
{
    if (!get16(p + 6)) /* none: right for IPv4 only (RFC 8200 8.1) */
        return ipaddr_is_v4(&cb->daddr);
    return transport_sum(p, size, LX_IPPROTO_UDP, cb) == 0;
}

void wire_checksum(u8 *p, u32 size, u32 off, u8 protocol, const struct dgram_cb *cb)
{
    put16(p + off, 0);
    put16(p + off, transport_sum(p, size, protocol, cb));
}

void ip_header(u8 *p, u32 total, u8 protocol, const struct dgram_cb *cb)
{
    memset(p, 0, WIRE_IP4);
    p[0] = 0x45;
    p[1] = cb->tos;
    put16(p + 2, (u16)total);
    put16(p + 4, (u16)net_random());
    p[8] = cb->ttl;
    p[9] = protocol;
    memcpy(p + 12, cb->saddr.b + 12, 4);
    memcpy(p + 16, cb->daddr.b + 12, 4);
    put16(p + 10, fold(sum16(p, WIRE_IP4, 0)));
}

void ip_finish(u8 *p, u32 head, u32 total)
{
    put16(p + 2, (u16)total);
    if (!get16(p + 4))
        put16(p + 4, (u16)net_random());
    put16(p + 10, 0);
    put16(p + 10, fold(sum16(p, head, 0)));
}

void ip6_header(u8 *p, u32 payload, u8 protocol, const struct dgram_cb *cb)
{
    put32(p, 0x60000000U | (u32)cb->tos << 20);
    put16(p + 4, (u16)payload);
    p[6] = protocol;
    p[7] = cb->ttl;
    memcpy(p + 8, cb->saddr.b, 16);
    memcpy(p + 24, cb->daddr.b, 16);
}

struct wire wire_new(const struct dgram_cb *cb, u8 protocol, const void *head, u32 head_size,
                     const void *payload, u32 size)
{
    bool is_v4 = ipaddr_is_v4(&cb->daddr);
    u32 ip = is_v4 ? WIRE_IP4 : WIRE_IP6, l4 = head_size + size;
    struct wire w = {.net = WIRE_ETH, .l4 = WIRE_ETH + ip, .size = WIRE_ETH + ip + l4};
    w.buf = calloc(1, w.size);
    if (!w.buf)
        return w;
    put16(w.buf + 12, is_v4 ? LX_ETH_P_IP : LX_ETH_P_IPV6);
    if (is_v4)
        ip_header(w.buf + w.net, ip + l4, protocol, cb);
    else
        ip6_header(w.buf + w.net, l4, protocol, cb);
    u8 *p = w.buf + w.l4;
    if (head_size)
        memcpy(p, head, head_size);
    if (size)
        memcpy(p + head_size, payload, size);
    if (protocol == LX_IPPROTO_UDP && l4 >= WIRE_UDP) {
        put16(p + 4, (u16)l4);
        put16(p + 6, 0);
        u16 sum = transport_sum(p, l4, protocol, cb);
        put16(p + 6, sum ? sum : 0xffff);
    } else if (protocol == LX_IPPROTO_TCP && l4 >= WIRE_TCP) {
        put16(p + 16, 0);
        put16(p + 16, transport_sum(p, l4, protocol, cb));
    }
    return w;
}

struct wire wire_udp(const struct dgram_cb *cb, const void *payload, u32 size)
{
    u8 head[WIRE_UDP] = {0};
    put16(head, cb->sport);
    put16(head + 2, cb->dport);
    return wire_new(cb, LX_IPPROTO_UDP, head, sizeof(head), payload, size);
}

void wire_free(struct wire *w)
{
    free(w->buf);
    w->buf = NULL;
}

void wire_show(struct net_ns *ns, const struct wire *w)
{
    if (!w->buf)
        return;
    struct packet_frame f = {
        .buf = w->buf,
        .size = w->size,
        .net = w->net,
        .protocol = get16(w->buf + 12),
        .ifindex = LO_IFINDEX,
        .hatype = LX_ARPHRD_LOOPBACK,
        .pkttype = LX_PACKET_OUTGOING,
    };
    packet_show(ns, &f, NULL);
    f.pkttype = LX_PACKET_HOST;
    packet_show(ns, &f, NULL);
}

s64 wire_filter_udp(struct sock *sk, const struct dgram_cb *cb, const void *payload, u32 size)
{
    struct wire w = wire_udp(cb, payload, size);
    if (!w.buf)
        return -1;
    struct bpf_packet p = {
        .buf = w.buf,
        .size = w.size,
        .net = w.net,
        .data = w.l4,
        .protocol = get16(w.buf + 12),
        .ifindex = LO_IFINDEX,
        .hatype = LX_ARPHRD_LOOPBACK,
    };
    u32 keep = filter_run(sk, &p);
    wire_free(&w);
    if (!keep)
        return -1;
    keep = MAX(keep, WIRE_UDP) - WIRE_UDP; /* the header always stays */
    return MIN(keep, size);
}
