/*
 * Socket addresses and message headers as guests see them (x86-64).
 * Ports and IPv4 addresses are kept in network byte order, as in the ABI.
 */
#ifndef NET_SOCKADDR_H
#define NET_SOCKADDR_H

#include "base/defs.h"

struct lx_in6_addr {
    union {
        u8 b[16];
        u16 h[8];
        u32 w[4];
        u64 d[2];
    };
};

struct lx_sockaddr_in {
    u16 family;
    u16 port;
    u32 addr;
    u8 zero[8];
};
_Static_assert(sizeof(struct lx_sockaddr_in) == 16, "sockaddr_in");

struct __attribute__((packed, aligned(4))) lx_sockaddr_in6 {
    u16 family;
    u16 port;
    u32 flowinfo;
    struct lx_in6_addr addr;
    u32 scope_id;
};
_Static_assert(sizeof(struct lx_sockaddr_in6) == 28, "sockaddr_in6");
#define LX_SIN6_LEN_RFC2133 24 /* without scope_id */

#define LX_UNIX_PATH_MAX 108
struct lx_sockaddr_un {
    u16 family;
    char path[LX_UNIX_PATH_MAX];
};

struct lx_sockaddr_nl {
    u16 family;
    u16 pad;
    u32 pid;
    u32 groups;
};

struct lx_sockaddr_ll {
    u16 family;
    u16 protocol;
    s32 ifindex;
    u16 hatype;
    u8 pkttype;
    u8 halen;
    u8 addr[8];
};

/* Any address; what the kernel calls sockaddr_storage. One more byte ends a full UNIX path. */
union saddr {
    u16 family;
    struct lx_sockaddr_in in;
    struct lx_sockaddr_in6 in6;
    struct lx_sockaddr_un un;
    struct lx_sockaddr_nl nl;
    struct lx_sockaddr_ll ll;
    u8 bytes[128];
    u64 align;
};
_Static_assert(sizeof(union saddr) == 128, "sockaddr_storage");

struct lx_msghdr {
    u64 name;
    u32 namelen, pad0;
    u64 iov;
    u64 iovlen;
    u64 control;
    u64 controllen;
    u32 flags, pad1;
};
_Static_assert(sizeof(struct lx_msghdr) == 56, "msghdr");

struct lx_mmsghdr {
    struct lx_msghdr hdr;
    u32 len, pad;
};
_Static_assert(sizeof(struct lx_mmsghdr) == 64, "mmsghdr");

struct lx_cmsghdr {
    u64 len;
    s32 level, type;
};
#define CMSG_ALIGN_UP(n) (((n) + 7ULL) & ~7ULL)
#define CMSG_HDR_SIZE    sizeof(struct lx_cmsghdr)
#define CMSG_SPACE_OF(n) (CMSG_HDR_SIZE + CMSG_ALIGN_UP(n))

struct lx_ucred {
    s32 pid;
    u32 uid, gid;
};

struct lx_linger {
    s32 onoff, linger;
};

static inline u16 net16(u16 v) /* host to network and back */
{
    return __builtin_bswap16(v);
}

static inline u32 net32(u32 v)
{
    return __builtin_bswap32(v);
}

#endif
