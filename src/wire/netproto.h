/*
 * What a sentry asks of its network broker (src/broker), on a SOCK_SEQPACKET pair, one request at a
 * time: a message of a head and data each way. Both ends are this program; the one treats what
 * comes from the other as hostile all the same.
 */
#ifndef WIRE_NETPROTO_H
#define WIRE_NETPROTO_H

#include "base/defs.h"

enum netproto_op {
    /* Sockets of family, type and protocol: the answer brings `count` of them, or fewer. */
    NETPROTO_SOCKET = 1,
    /* Binds the internet socket that comes along to the address in data, with the broker's
     * privilege to take low ports. */
    NETPROTO_BIND,
    /* A read-only NETLINK_ROUTE request in data: answered by as many messages as the host's kernel
     * sends, each with NETPROTO_MORE but the last, which has no data. */
    NETPROTO_ROUTE,
    /* The file of /proc/net that data names: the answer brings it as a descriptor. */
    NETPROTO_PROC,
    /* A UDP socket that is connected to Docker's name server in the namespace, 127.0.0.11 port 53:
     * of a broker for that alone, which answers nothing else. */
    NETPROTO_RESOLVER,
};

#define NETPROTO_MORE   1U /* answer: others follow */
#define NETPROTO_STRICT 2U /* NETPROTO_ROUTE: as NETLINK_GET_STRICT_CHK says */

struct netproto_head {
    u32 op;  /* request: netproto_op */
    s32 err; /* answer: 0 or -LX_E* */
    s32 family, type, protocol;
    u32 flags; /* NETPROTO_* */
    u32 count; /* NETPROTO_SOCKET */
    u32 size;  /* of the data */
};

#define NETPROTO_MAX_DATA    32768U
#define NETPROTO_MAX_SOCKETS 8U
#define NETPROTO_MAX_ASK     1024U /* data of a request */

struct netproto_msg {
    struct netproto_head head;
    u8 data[NETPROTO_MAX_DATA];
};

/* Is a message of size bytes what its head says, with at most max bytes of data? */
static inline bool netproto_is_whole(const struct netproto_msg *m, size_t size, u32 max)
{
    return size >= sizeof(m->head) && m->head.size <= max && size == sizeof(m->head) + m->head.size;
}

static inline size_t netproto_size(const struct netproto_msg *m)
{
    return sizeof(m->head) + m->head.size;
}

/* The files of /proc/net that a broker opens. */
bool netproto_is_proc_file(const char *name, size_t size) must_check;

#endif
