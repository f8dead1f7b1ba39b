/*
 * Options of host sockets. What is in the list goes to the host as it is; everything else is not
 * there, or is kept in the sentry because it is about the sentry's own waiting. The list is what
 * the sentry's filter allows, too.
 *
 * Left out are options that hand the host's kernel programs, keys or pointers (socket filters,
 * TCP_ULP, TCP_MD5SIG, TCP_REPAIR, TCP_ZEROCOPY_RECEIVE, UDP_ENCAP, IPSEC policies, filters of
 * multicast sources by table) and those that take a capability which nobody here has on the host.
 *
 * Differs from Linux: close does not wait for SO_LINGER's time; the host's kernel goes on sending
 * what is left as it does without the option. A time of zero resets the connection as on Linux.
 */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "net/host/host.h"

#define VALUE_MAX 1024U

#define G 1U /* getsockopt */
#define S 2U /* setsockopt */

static const struct host_option {
    u16 level, name;
    u8 how;
} options[] = {
    {LX_SOL_SOCKET, LX_SO_REUSEADDR, G | S},
    {LX_SOL_SOCKET, LX_SO_TYPE, G},
    {LX_SOL_SOCKET, LX_SO_ERROR, G},
    {LX_SOL_SOCKET, LX_SO_DONTROUTE, G | S},
    {LX_SOL_SOCKET, LX_SO_BROADCAST, G | S},
    {LX_SOL_SOCKET, LX_SO_SNDBUF, G | S},
    {LX_SOL_SOCKET, LX_SO_RCVBUF, G | S},
    {LX_SOL_SOCKET, LX_SO_KEEPALIVE, G | S},
    {LX_SOL_SOCKET, LX_SO_OOBINLINE, G | S},
    {LX_SOL_SOCKET, LX_SO_NO_CHECK, G | S},
    {LX_SOL_SOCKET, LX_SO_PRIORITY, G | S},
    {LX_SOL_SOCKET, LX_SO_LINGER, S}, /* what it is stands in the sock */
    {LX_SOL_SOCKET, LX_SO_REUSEPORT, G | S},
    {LX_SOL_SOCKET, LX_SO_RCVLOWAT, G | S},
    {LX_SOL_SOCKET, LX_SO_SNDLOWAT, G},
    {LX_SOL_SOCKET, LX_SO_BINDTODEVICE, G | S},
    {LX_SOL_SOCKET, LX_SO_TIMESTAMP_OLD, G | S},
    {LX_SOL_SOCKET, LX_SO_ACCEPTCONN, G},
    {LX_SOL_SOCKET, LX_SO_TIMESTAMPNS_OLD, G | S},
    {LX_SOL_SOCKET, LX_SO_MARK, G},
    {LX_SOL_SOCKET, LX_SO_TIMESTAMPING_OLD, G | S},
    {LX_SOL_SOCKET, LX_SO_PROTOCOL, G},
    {LX_SOL_SOCKET, LX_SO_DOMAIN, G},
    {LX_SOL_SOCKET, LX_SO_RXQ_OVFL, G | S},
    {LX_SOL_SOCKET, LX_SO_PEEK_OFF, G | S},
    {LX_SOL_SOCKET, LX_SO_SELECT_ERR_QUEUE, G | S},
    {LX_SOL_SOCKET, LX_SO_BUSY_POLL, G},
    {LX_SOL_SOCKET, LX_SO_MAX_PACING_RATE, G | S},
    {LX_SOL_SOCKET, LX_SO_INCOMING_CPU, G | S},
    {LX_SOL_SOCKET, LX_SO_MEMINFO, G},
    {LX_SOL_SOCKET, LX_SO_COOKIE, G},
    {LX_SOL_SOCKET, LX_SO_BINDTOIFINDEX, G | S},
    {LX_SOL_SOCKET, LX_SO_TIMESTAMP_NEW, G | S},
    {LX_SOL_SOCKET, LX_SO_TIMESTAMPNS_NEW, G | S},
    {LX_SOL_SOCKET, LX_SO_TIMESTAMPING_NEW, G | S},
    {LX_SOL_SOCKET, LX_SO_BUF_LOCK, G | S},
    {LX_SOL_SOCKET, LX_SO_TXREHASH, G | S},

    {LX_IPPROTO_IP, LX_IP_TOS, G | S},
    {LX_IPPROTO_IP, LX_IP_TTL, G | S},
    {LX_IPPROTO_IP, LX_IP_PKTINFO, G | S},
    {LX_IPPROTO_IP, LX_IP_MTU_DISCOVER, G | S},
    {LX_IPPROTO_IP, LX_IP_RECVERR, G | S},
    {LX_IPPROTO_IP, LX_IP_RECVTTL, G | S},
    {LX_IPPROTO_IP, LX_IP_RECVTOS, G | S},
    {LX_IPPROTO_IP, LX_IP_MTU, G},
    {LX_IPPROTO_IP, LX_IP_FREEBIND, G | S},
    {LX_IPPROTO_IP, LX_IP_RECVORIGDSTADDR, G | S},
    {LX_IPPROTO_IP, LX_IP_MINTTL, G | S},
    {LX_IPPROTO_IP, LX_IP_BIND_ADDRESS_NO_PORT, G | S},
    {LX_IPPROTO_IP, LX_IP_RECVERR_RFC4884, G | S},
    {LX_IPPROTO_IP, LX_IP_MULTICAST_IF, G | S},
    {LX_IPPROTO_IP, LX_IP_MULTICAST_TTL, G | S},
    {LX_IPPROTO_IP, LX_IP_MULTICAST_LOOP, G | S},
    {LX_IPPROTO_IP, LX_IP_ADD_MEMBERSHIP, S},
    {LX_IPPROTO_IP, LX_IP_DROP_MEMBERSHIP, S},
    {LX_IPPROTO_IP, LX_IP_UNBLOCK_SOURCE, S},
    {LX_IPPROTO_IP, LX_IP_BLOCK_SOURCE, S},
    {LX_IPPROTO_IP, LX_IP_ADD_SOURCE_MEMBERSHIP, S},
    {LX_IPPROTO_IP, LX_IP_DROP_SOURCE_MEMBERSHIP, S},
    {LX_IPPROTO_IP, LX_MCAST_JOIN_GROUP, S},
    {LX_IPPROTO_IP, LX_MCAST_BLOCK_SOURCE, S},
    {LX_IPPROTO_IP, LX_MCAST_UNBLOCK_SOURCE, S},
    {LX_IPPROTO_IP, LX_MCAST_LEAVE_GROUP, S},
    {LX_IPPROTO_IP, LX_MCAST_JOIN_SOURCE_GROUP, S},
    {LX_IPPROTO_IP, LX_MCAST_LEAVE_SOURCE_GROUP, S},
    {LX_IPPROTO_IP, LX_IP_MULTICAST_ALL, G | S},
    {LX_IPPROTO_IP, LX_IP_UNICAST_IF, G | S},
    {LX_IPPROTO_IP, LX_IP_LOCAL_PORT_RANGE, G | S},
    {LX_IPPROTO_IP, LX_IP_PROTOCOL, G},
    {LX_IPPROTO_IP, 80, G}, /* SO_ORIGINAL_DST */

    {LX_IPPROTO_IPV6, LX_IPV6_UNICAST_HOPS, G | S},
    {LX_IPPROTO_IPV6, LX_IPV6_MULTICAST_IF, G | S},
    {LX_IPPROTO_IPV6, LX_IPV6_MULTICAST_HOPS, G | S},
    {LX_IPPROTO_IPV6, LX_IPV6_MULTICAST_LOOP, G | S},
    {LX_IPPROTO_IPV6, LX_IPV6_ADD_MEMBERSHIP, S},
    {LX_IPPROTO_IPV6, LX_IPV6_DROP_MEMBERSHIP, S},
    {LX_IPPROTO_IPV6, LX_IPV6_MTU_DISCOVER, G | S},
    {LX_IPPROTO_IPV6, LX_IPV6_MTU, G | S},
    {LX_IPPROTO_IPV6, LX_IPV6_RECVERR, G | S},
    {LX_IPPROTO_IPV6, LX_IPV6_V6ONLY, G | S},
    {LX_IPPROTO_IPV6, LX_IPV6_MULTICAST_ALL, G | S},
    {LX_IPPROTO_IPV6, LX_IPV6_RECVERR_RFC4884, G | S},
    {LX_IPPROTO_IPV6, LX_MCAST_JOIN_GROUP, S},
    {LX_IPPROTO_IPV6, LX_MCAST_BLOCK_SOURCE, S},
    {LX_IPPROTO_IPV6, LX_MCAST_UNBLOCK_SOURCE, S},
    {LX_IPPROTO_IPV6, LX_MCAST_LEAVE_GROUP, S},
    {LX_IPPROTO_IPV6, LX_MCAST_JOIN_SOURCE_GROUP, S},
    {LX_IPPROTO_IPV6, LX_MCAST_LEAVE_SOURCE_GROUP, S},
    {LX_IPPROTO_IPV6, LX_IPV6_RECVPKTINFO, G | S},
    {LX_IPPROTO_IPV6, LX_IPV6_RECVHOPLIMIT, G | S},
    {LX_IPPROTO_IPV6, LX_IPV6_RECVPATHMTU, G | S},
    {LX_IPPROTO_IPV6, LX_IPV6_PATHMTU, G},
    {LX_IPPROTO_IPV6, LX_IPV6_DONTFRAG, G | S},
    {LX_IPPROTO_IPV6, LX_IPV6_RECVTCLASS, G | S},
    {LX_IPPROTO_IPV6, LX_IPV6_TCLASS, G | S},
    {LX_IPPROTO_IPV6, LX_IPV6_AUTOFLOWLABEL, G | S},
    {LX_IPPROTO_IPV6, LX_IPV6_ADDR_PREFERENCES, G | S},
    {LX_IPPROTO_IPV6, LX_IPV6_MINHOPCOUNT, G | S},
    {LX_IPPROTO_IPV6, LX_IPV6_RECVORIGDSTADDR, G | S},
    {LX_IPPROTO_IPV6, LX_IPV6_UNICAST_IF, G | S},
    {LX_IPPROTO_IPV6, LX_IPV6_FREEBIND, G | S},
    {LX_IPPROTO_IPV6, 80, G}, /* IP6T_SO_ORIGINAL_DST */

    {LX_IPPROTO_TCP, LX_TCP_NODELAY, G | S},
    {LX_IPPROTO_TCP, LX_TCP_MAXSEG, G | S},
    {LX_IPPROTO_TCP, LX_TCP_CORK, G | S},
    {LX_IPPROTO_TCP, LX_TCP_KEEPIDLE, G | S},
    {LX_IPPROTO_TCP, LX_TCP_KEEPINTVL, G | S},
    {LX_IPPROTO_TCP, LX_TCP_KEEPCNT, G | S},
    {LX_IPPROTO_TCP, LX_TCP_SYNCNT, G | S},
    {LX_IPPROTO_TCP, LX_TCP_LINGER2, G | S},
    {LX_IPPROTO_TCP, LX_TCP_DEFER_ACCEPT, G | S},
    {LX_IPPROTO_TCP, LX_TCP_WINDOW_CLAMP, G | S},
    {LX_IPPROTO_TCP, LX_TCP_INFO, G},
    {LX_IPPROTO_TCP, LX_TCP_QUICKACK, G | S},
    {LX_IPPROTO_TCP, LX_TCP_CONGESTION, G | S},
    {LX_IPPROTO_TCP, LX_TCP_THIN_LINEAR_TIMEOUTS, G | S},
    {LX_IPPROTO_TCP, LX_TCP_THIN_DUPACK, G | S},
    {LX_IPPROTO_TCP, LX_TCP_USER_TIMEOUT, G | S},
    {LX_IPPROTO_TCP, LX_TCP_FASTOPEN, G | S},
    {LX_IPPROTO_TCP, LX_TCP_TIMESTAMP, G},
    {LX_IPPROTO_TCP, LX_TCP_NOTSENT_LOWAT, G | S},
    {LX_IPPROTO_TCP, LX_TCP_CC_INFO, G},
    {LX_IPPROTO_TCP, LX_TCP_SAVE_SYN, G | S},
    {LX_IPPROTO_TCP, LX_TCP_SAVED_SYN, G},
    {LX_IPPROTO_TCP, LX_TCP_INQ, G | S},

    {LX_IPPROTO_UDP, LX_UDP_CORK, G | S},
    {LX_IPPROTO_UDP, LX_UDP_NO_CHECK6_TX, G | S},
    {LX_IPPROTO_UDP, LX_UDP_NO_CHECK6_RX, G | S},
    {LX_IPPROTO_UDP, LX_UDP_SEGMENT, G | S},
    {LX_IPPROTO_UDP, LX_UDP_GRO, G | S},
};

static bool is_listed(s32 level, s32 name, u32 how)
{
    for (size_t i = 0; i < ARRAY_SIZE(options); i++)
        if (options[i].level == level && options[i].name == name)
            return options[i].how & how;
    return false;
}

/* About waiting, about who is at the other end, or about this namespace. */
static bool is_kept_here(s32 name)
{
    switch (name) {
    case LX_SO_RCVTIMEO_OLD:
    case LX_SO_RCVTIMEO_NEW:
    case LX_SO_SNDTIMEO_OLD:
    case LX_SO_SNDTIMEO_NEW:
    case LX_SO_PEERCRED:
    case LX_SO_PEERGROUPS:
    case LX_SO_PEERPIDFD:
    case LX_SO_PEERNAME:
    case LX_SO_PASSCRED:
    case LX_SO_PASSSEC:
    case LX_SO_PASSPIDFD:
    case LX_SO_NETNS_COOKIE:
        return true;
    default:
        return false;
    }
}

static int set_linger(struct sock *sk, const struct optval *val)
{
    struct linger now = {0};
    int r = sock_setsockopt_generic(sk, LX_SO_LINGER, val);
    if (r < 0)
        return r;
    now.l_onoff = sock_has(sk, SKF_LINGER) && sk->linger_s == 0;
    return setsockopt(host_sk(sk)->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)) < 0 ? -errno : 0;
}

int host_setsockopt(struct sock *sk, s32 level, s32 name, const struct optval *val)
{
    u8 buf[VALUE_MAX];
    u32 size = MIN(val->len, VALUE_MAX);
    if (level == LX_SOL_SOCKET && is_kept_here(name))
        return sock_setsockopt_generic(sk, name, val);
    if (level == LX_SOL_SOCKET && name == LX_SO_LINGER)
        return set_linger(sk, val);
    if (level == LX_SOL_SOCKET && name == LX_SO_DETACH_FILTER)
        return -LX_ENOENT; /* there never is one */
    if (!is_listed(level, name, S))
        return -LX_ENOPROTOOPT;
    int r = optval_read(val, buf, size);
    if (r < 0)
        return r;
    if (setsockopt(host_sk(sk)->fd, level, name, buf, size) < 0)
        return -errno;
    if (level == LX_SOL_SOCKET && name == LX_SO_RCVLOWAT && size >= sizeof(s32)) {
        s32 v;
        memcpy(&v, buf, sizeof(v));
        sk->rcvlowat = v < 0 ? INT32_MAX : v ? v : 1;
    }
    return 0;
}

int host_getsockopt(struct sock *sk, s32 level, s32 name, struct optval *val)
{
    u8 buf[VALUE_MAX];
    socklen_t size = MIN(val->len, VALUE_MAX);
    if (level == LX_SOL_SOCKET && (is_kept_here(name) || name == LX_SO_LINGER))
        return sock_getsockopt_generic(sk, name, val);
    if (!is_listed(level, name, G))
        return -LX_ENOPROTOOPT;
    if (level == LX_SOL_SOCKET && name == LX_SO_ERROR) {
        int e = sock_error(sk); /* of recvmmsg */
        if (e < 0)
            return optval_write_int(val, -e);
    }
    if (getsockopt(host_sk(sk)->fd, level, name, buf, &size) < 0)
        return -errno;
    return optval_write(val, buf, MIN(size, VALUE_MAX));
}

/* ---- the filter ---------------------------------------------------------------------------- */

/* A rule for each level and each 32 names that have one of the kind. */
static size_t option_rules(struct seccomp_rule *ret, u32 nr, u32 how)
{
    static const u16 levels[] = {LX_SOL_SOCKET, LX_IPPROTO_IP, LX_IPPROTO_IPV6, LX_IPPROTO_TCP,
                                 LX_IPPROTO_UDP};
    size_t n = 0;
    for (size_t l = 0; l < ARRAY_SIZE(levels); l++) {
        for (u32 block = 0; block < 128; block += 32) {
            u32 names = 0;
            for (size_t i = 0; i < ARRAY_SIZE(options); i++)
                if (options[i].level == levels[l] && options[i].how & how &&
                    (options[i].name & ~31U) == block)
                    names |= 1U << (options[i].name & 31);
            if (names)
                ret[n++] = (struct seccomp_rule){.nr = nr,
                                                 .conds = {{1, SECCOMP_EQ32, levels[l], 0},
                                                           {2, SECCOMP_MASKED_EQ32, block, ~31U},
                                                           {2, SECCOMP_ONE_OF, names, 31}}};
        }
    }
    return n;
}

#define IOCTL(cmd)                                                                                 \
    {                                                                                              \
        .nr = SYS_ioctl, .conds = { {1, SECCOMP_EQ32, cmd, 0} }                                    \
    }

size_t hostnet_rules(struct seccomp_rule ret[HOSTNET_MAX_RULES])
{
    static const struct seccomp_rule calls[] = {
        {.nr = SYS_connect},
        {.nr = SYS_bind},
        {.nr = SYS_listen},
        {.nr = SYS_accept4, .conds = {{3, SECCOMP_EQ32, SOCK_NONBLOCK | SOCK_CLOEXEC, 0}}},
        {.nr = SYS_getsockname},
        {.nr = SYS_getpeername},
        IOCTL(LX_SIOCATMARK),
        IOCTL(LX_SIOCOUTQNSD),
        IOCTL(LX_SIOCGSTAMP_OLD),
        IOCTL(LX_SIOCGSTAMPNS_OLD),
    };
    size_t n = 0;
    for (; n < ARRAY_SIZE(calls); n++)
        ret[n] = calls[n];
    n += option_rules(ret + n, SYS_getsockopt, G);
    return n + option_rules(ret + n, SYS_setsockopt, S);
}
