/* Protocol headers by offset, and checksums. Everything is read and written byte by byte or by
 * memcpy. */
#ifndef NET_STACK_WIREFMT_H
#define NET_STACK_WIREFMT_H

#include <string.h>

#include "base/defs.h"

#define ETHER_HLEN   14U
#define ETHTYPE_IP   0x0800U
#define ETHTYPE_ARP  0x0806U
#define ETHTYPE_IPV6 0x86ddU
#define ETHTYPE_VLAN 0x8100U

#define IP4_HLEN  20U
#define IP6_HLEN  40U
#define UDP_HLEN  8U
#define TCP_HLEN  20U
#define ICMP_HLEN 8U
#define ARP_LEN   28U

#define IP4_DF     0x4000U
#define IP4_MF     0x2000U
#define IP4_OFFSET 0x1fffU

#define PROTO_HOPOPTS  0
#define PROTO_ICMP     1
#define PROTO_IGMP     2
#define PROTO_TCP      6
#define PROTO_UDP      17
#define PROTO_ROUTING  43
#define PROTO_FRAGMENT 44
#define PROTO_ICMPV6   58
#define PROTO_NONE     59
#define PROTO_DSTOPTS  60

static inline u16 rd16(const u8 *p)
{
    return (u16)(p[0] << 8 | p[1]);
}
static inline u32 rd32(const u8 *p)
{
    return (u32)p[0] << 24 | (u32)p[1] << 16 | (u32)p[2] << 8 | p[3];
}
static inline void wr16(u8 *p, u32 v)
{
    p[0] = (u8)(v >> 8);
    p[1] = (u8)v;
}
static inline void wr32(u8 *p, u32 v)
{
    p[0] = (u8)(v >> 24);
    p[1] = (u8)(v >> 16);
    p[2] = (u8)(v >> 8);
    p[3] = (u8)v;
}

/*
 * Ones' complement sums, in memory order (a sum of native 16-bit words; RFC 1071 2(B)), unfolded. A
 * part of odd size may only be the last.
 */
static inline u64 csum_add(u64 sum, const void *data, size_t size)
{
    const u8 *p = data;
    u64 carry = 0;
    for (; size >= 32; p += 32, size -= 32) {
        u64 v[4];
        memcpy(v, p, 32);
        for (int i = 0; i < 4; i++) {
            sum += v[i];
            carry += sum < v[i];
        }
    }
    for (; size >= 4; p += 4, size -= 4) {
        u32 v;
        memcpy(&v, p, 4);
        sum += v;
        carry += sum < v;
    }
    if (size >= 2) {
        u16 v;
        memcpy(&v, p, 2);
        sum += v;
        carry += sum < v;
        p += 2;
        size -= 2;
    }
    if (size) {
        sum += *p;
        carry += sum < *p;
    }
    sum += carry;
    return sum < carry ? sum + 1 : sum;
}
/* Memory order, not inverted. */
static inline u16 csum_fold(u64 sum)
{
    sum = (sum & 0xffffffff) + (sum >> 32);
    sum = (sum & 0xffffffff) + (sum >> 32);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return (u16)sum;
}
static inline void csum_store(u8 *p, u64 sum, bool is_inverted)
{
    u16 v = csum_fold(sum);
    v = is_inverted ? (u16)~v : v;
    memcpy(p, &v, 2);
}

#endif
