/* Classic BPF: programs of seccomp and of socket filters (linux/filter.h). */
#ifndef KERN_BPF_H
#define KERN_BPF_H

#include "abi/errno.h"
#include "base/defs.h"

struct lx_sock_filter {
    u16 code;
    u8 jt, jf;
    u32 k;
};
#define LX_BPF_MAXINSNS 4096

/* Offsets of socket filters that are no offsets into the packet. */
#define LX_SKF_AD_OFF  0xfffff000U /* -0x1000: what the kernel knows about the packet */
#define LX_SKF_NET_OFF 0xfff00000U /* -0x100000: from the network header */
#define LX_SKF_LL_OFF  0xffe00000U /* -0x200000: from the link header */
enum {
    LX_SKF_AD_PROTOCOL = 0,
    LX_SKF_AD_PKTTYPE = 4,
    LX_SKF_AD_IFINDEX = 8,
    LX_SKF_AD_MARK = 20,
    LX_SKF_AD_HATYPE = 28,
    LX_SKF_AD_ALU_XOR_X = 40,
    LX_SKF_AD_MAX = 64,
};

struct lx_seccomp_data;

/* A packet as a socket filter sees it: offsets count from `data` within buf. */
struct bpf_packet {
    const u8 *buf;
    u32 size;            /* of buf */
    u32 link, net, data; /* offsets into buf, at most size */
    u32 protocol, pkttype, ifindex, hatype, mark;
};

/* 0, or -LX_EINVAL: not a program that seccomp (a socket) takes. A checked program always ends. */
int bpf_check(const struct lx_sock_filter *insns, u32 count) must_check;
int bpf_check_packet(const struct lx_sock_filter *insns, u32 count) must_check;
u32 bpf_run(const struct lx_sock_filter *insns, const struct lx_seccomp_data *d);
/* True when a checked program allows call nr whatever its arguments are. */
bool bpf_allows_always(const struct lx_sock_filter *insns, u32 nr, u32 arch) must_check;
u32 bpf_run_packet(const struct lx_sock_filter *insns, const struct bpf_packet *p);

#endif
