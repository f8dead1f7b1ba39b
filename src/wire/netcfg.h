/*
 * What a network namespace had when it was taken over: interfaces with the descriptors
 * of their packet sockets, addresses, routes, neighbours, and the egress policy. Read by the
 * command with netlink, carried as an opaque blob of the boot configuration.
 *
 * Addresses are 16 bytes in network order, IPv4 as ::ffff:a.b.c.d. Prefix lengths are the
 * family's own. Decoding bounds every count and fails as a whole.
 */
#ifndef WIRE_NETCFG_H
#define WIRE_NETCFG_H

#include "base/defs.h"

#define NETCFG_MAX_IFACES 16
#define NETCFG_MAX_ADDRS  256
#define NETCFG_MAX_ROUTES 4096
#define NETCFG_MAX_NEIGHS 1024
#define NETCFG_MAX_RULES  1024

struct netcfg_iface {
    s32 index, fd; /* fd: in the sentry */
    char name[16];
    u8 mac[6];
    u16 type; /* ARPHRD_* */
    u32 mtu, flags;
};
struct netcfg_addr {
    u8 addr[16], peer[16], bcast[4];
    s32 ifindex;
    u8 family, prefix_len, scope, flags;
};
struct netcfg_route {
    u8 dst[16], gateway[16], prefsrc[16];
    s32 oif;
    u32 metric, mtu, flags;
    u8 family, dst_len, table, protocol, scope, type, has_gateway, pad;
};
struct netcfg_neigh {
    u8 addr[16], mac[6];
    u8 family, pad;
    s32 ifindex;
};
/* A destination that the sandbox may reach. */
struct netcfg_rule {
    u8 addr[16];
    u8 family, prefix_len;
    u16 port_low, port_high; /* 0 to 65535: any, and then for protocols without ports too */
    u16 pad;
};

struct netcfg {
    u32 nifaces, naddrs, nroutes, nneighs, nrules;
    u32 is_egress_limited; /* only what a rule names may be reached */
    struct netcfg_iface *ifaces;
    struct netcfg_addr *addrs;
    struct netcfg_route *routes;
    struct netcfg_neigh *neighs;
    struct netcfg_rule *rules;
};

void netcfg_done(struct netcfg *c);
/* Encodes into a malloc'ed buffer. -LX_ENOMEM, -LX_E2BIG. */
int netcfg_encode(const struct netcfg *c, void **ret_buf, size_t *ret_size) must_check;
/* -LX_EINVAL when malformed, -LX_ENOMEM. */
int netcfg_decode(const void *buf, size_t size, struct netcfg *ret_c) must_check;
/* Parses "deny" or "allow:CIDR[:PORT[-PORT]],…" (IPv6 in brackets) into c. False: malformed. */
bool netcfg_parse_egress(struct netcfg *c, const char *text) must_check;

#endif
