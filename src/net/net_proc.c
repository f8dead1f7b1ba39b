/*
 * /proc/net as Linux 6 prints it. Lists of socks go by cookie: a cursor holds the cookie of the
 * last one printed and how many lines there were, so a list may change between two reads and
 * none that stays is missed.
 */
#include "net/net_proc.h"
#include "net/filter/iptables.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "net/host/host.h"
#include "net/inet/tcp.h"
#include "net/stack/stack.h"
#include "net/unix/unix.h"

#define BATCH        16
#define COOKIE_BITS  40
#define COOKIE_MASK  ((1ULL << COOKIE_BITS) - 1)
#define LINE_BITS    22
#define CURSOR_WAITS (1ULL << 62) /* TIME_WAIT entries follow; the cookie field counts them */

void np_emit(const struct net_proc_out *o, const char *fmt, ...)
{
    char line[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    o->puts(o->arg, line);
}

/* Lines of IPv4 are padded, those of IPv6 and of raw sockets are not. */
#define TCP_WIDTH(family)           ((family) == LX_AF_INET ? 149 : 0)
#define DGRAM_WIDTH(family, is_raw) ((family) == LX_AF_INET && !(is_raw) ? 127 : 0)

/* A line padded with spaces to `width` before its newline. */
static void emit_padded(const struct net_proc_out *o, int width, const char *line)
{
    np_emit(o, "%-*s\n", width, line);
}

static u32 uid_for_reader(u32 kuid)
{
    struct user_ns *uns = vfs_cred()->user_ns;
    return uns ? from_kuid(uns, kuid) : kuid;
}

/* ---- lists of socks ------------------------------------------------------------------------ */

typedef bool (*line_fn)(const struct net_proc_out *o, struct sock *sk,
                        u32 nr); /* false: not shown */

/* Prints the socks after the cursor; true when that was all of them. */
static bool walk(struct net_ns *ns, u16 family, s32 protocol, const struct net_proc_out *o,
                 u64 *cursor, line_fn fn)
{
    u64 cookie = *cursor & COOKIE_MASK;
    u32 nr = (u32)(*cursor >> COOKIE_BITS) & ((1U << LINE_BITS) - 1);
    struct sock *found[BATCH];
    for (;;) {
        u32 count = net_collect(ns, cookie, family, protocol, found, BATCH);
        for (u32 k = 0; k < count; k++) {
            nr += fn(o, found[k], nr);
            cookie = found[k]->cookie;
            sock_put(found[k]);
        }
        *cursor = (u64)nr << COOKIE_BITS | cookie;
        if (count < BATCH)
            return true;
        if (o->is_full(o->arg))
            return false;
    }
}

static void addr_text(char *buf, size_t size, u16 family, const ipaddr *a, u16 port)
{
    if (family == LX_AF_INET)
        snprintf(buf, size, "%08X:%04X", ipaddr_to_v4(a), port);
    else
        snprintf(buf, size, "%08X%08X%08X%08X:%04X", a->w[0], a->w[1], a->w[2], a->w[3], port);
}

static void inet_addrs(struct inet_sock *i, char local[48], char remote[48])
{
    MUTEX_GUARD(&i->sk.lock);
    const ipaddr *src = ipaddr_is_any(&i->saddr) ? &i->rcv_saddr : &i->saddr;
    ipaddr any = {0};
    bool is_bare = i->sk.family == LX_AF_INET6 && ipaddr_is_any(src);
    addr_text(local, 48, i->sk.family, is_bare ? &any : src, i->sport);
    addr_text(remote, 48, i->sk.family, &i->daddr, i->dport);
}

static bool tcp_line(const struct net_proc_out *o, struct sock *sk, u32 nr)
{
    char local[48], remote[48], line[256];
    u32 state = sock_state(sk), rx = 0, tx = 0;
    if (state == SOCK_CLOSED)
        return false;
    inet_addrs(inet_sk(sk), local, remote);
    if (state == SOCK_LISTEN) {
        MUTEX_GUARD(&sk->lock);
        rx = tcp_sk(sk)->nqueued;
    } else {
        rx = (u32)MAX(tcp_inq(sk), 0);
        tx = (u32)MAX(tcp_outq(sk), 0);
    }
    const char *tail = state == SOCK_LISTEN ? "100 0 0 10 0" : "20 4 30 10 -1";
    snprintf(line, sizeof(line),
             "%4u: %s %s %02X %08X:%08X 00:00000000 00000000 %5u %8d %llu 1 %016d %s", nr, local,
             remote, state, tx, rx, uid_for_reader(sk->uid), 0, (unsigned long long)sk->ino, 0,
             tail);
    emit_padded(o, TCP_WIDTH(sk->family), line);
    return true;
}

/* TIME_WAIT entries of a family; true at the end. */
static bool walk_waits(struct net_ns *ns, u16 family, const struct net_proc_out *o, u64 *cursor)
{
    struct inet_table *t = &ns->inet_ns->tcp;
    u64 from = *cursor & COOKIE_MASK, at = 0;
    u32 nr = (u32)(*cursor >> COOKIE_BITS) & ((1U << LINE_BITS) - 1);
    char local[48], remote[48], line[256];
    struct tcp_wait *w;
    s64 now = clock_mono_ns();
    MUTEX_GUARD(&t->lock);
    tcp_wait_expire(t);
    list_for_each (w, &t->wait_fifo, fifo_node) {
        if (at++ < from || w->family != family)
            continue;
        if (o->is_full(o->arg))
            return false;
        addr_text(local, sizeof(local), family, &w->saddr, w->sport);
        addr_text(remote, sizeof(remote), family, &w->daddr, w->dport);
        u64 ticks = (u64)(MAX(w->expires_ns - now, (s64)0) / (NSEC_PER_SEC / 100));
        snprintf(line, sizeof(line), "%4u: %s %s %02X %08X:%08X 03:%08llX %08X %5d %8d 0 3 %016d",
                 nr++, local, remote, w->state, 0, 0, (unsigned long long)ticks, 0, 0, 0, 0);
        emit_padded(o, TCP_WIDTH(family), line);
        *cursor = CURSOR_WAITS | (u64)nr << COOKIE_BITS | at;
    }
    return true;
}

static void print_tcp_family(struct net_ns *ns, const struct net_proc_out *o, u64 *cursor,
                             u16 family)
{
    if (*cursor == 0)
        emit_padded(o, TCP_WIDTH(family),
                    family == LX_AF_INET
                        ? "  sl  local_address rem_address   st tx_queue rx_queue tr "
                          "tm->when retrnsmt   uid  timeout inode"
                        : "  sl  local_address                         remote_address"
                          "                        st tx_queue rx_queue tr tm->when "
                          "retrnsmt   uid  timeout inode");
    if (!(*cursor & CURSOR_WAITS)) {
        if (!walk(ns, family, LX_IPPROTO_TCP, o, cursor, tcp_line))
            return;
        *cursor = CURSOR_WAITS | (*cursor & ~COOKIE_MASK);
    }
    if (walk_waits(ns, family, o, cursor))
        *cursor = NET_PROC_END;
}

static void print_tcp(struct net_ns *ns, const struct net_proc_out *o, u64 *cursor)
{
    print_tcp_family(ns, o, cursor, LX_AF_INET);
}

static void print_tcp6(struct net_ns *ns, const struct net_proc_out *o, u64 *cursor)
{
    print_tcp_family(ns, o, cursor, LX_AF_INET6);
}

static bool dgram_line(const struct net_proc_out *o, struct sock *sk, u32 nr)
{
    char local[48], remote[48], line[256];
    struct inet_sock *i = inet_sk(sk);
    if (sk->type == LX_SOCK_DGRAM && !i->bucket)
        return false;
    inet_addrs(i, local, remote);
    if (sk->type == LX_SOCK_RAW) { /* the protocol stands for the port */
        snprintf(strrchr(local, ':'), 6, ":%04X", (u16)sk->protocol);
        snprintf(strrchr(remote, ':'), 6, ":%04X", 0);
    }
    snprintf(line, sizeof(line),
             "%5u: %s %s %02X %08X:%08X 00:00000000 00000000 %5u %8d %llu 2 %016d %u", nr, local,
             remote, sock_state(sk), sk->wmem, sk->rmem, uid_for_reader(sk->uid), 0,
             (unsigned long long)sk->ino, 0, sk->drops);
    emit_padded(o, DGRAM_WIDTH(sk->family, sk->type == LX_SOCK_RAW), line);
    return true;
}

static bool raw_line(const struct net_proc_out *o, struct sock *sk, u32 nr)
{
    return sk->type == LX_SOCK_RAW && dgram_line(o, sk, nr);
}

static bool not_raw_line(const struct net_proc_out *o, struct sock *sk, u32 nr)
{
    return sk->type != LX_SOCK_RAW && dgram_line(o, sk, nr);
}

static void print_dgrams(struct net_ns *ns, const struct net_proc_out *o, u64 *cursor, u16 family,
                         s32 protocol, line_fn fn)
{
    if (*cursor == 0)
        emit_padded(o, DGRAM_WIDTH(family, fn == raw_line),
                    fn == raw_line && family == LX_AF_INET
                        ? "  sl  local_address rem_address   st tx_queue rx_queue tr "
                          "tm->when retrnsmt   uid  timeout inode ref pointer drops"
                    : family == LX_AF_INET
                        ? "   sl  local_address rem_address   st tx_queue rx_queue tr "
                          "tm->when retrnsmt   uid  timeout inode ref pointer drops"
                        : "  sl  local_address                         remote_address"
                          "                        st tx_queue rx_queue tr tm->when "
                          "retrnsmt   uid  timeout inode ref pointer drops");
    if (walk(ns, family, protocol, o, cursor, fn))
        *cursor = NET_PROC_END;
}

#define DGRAM_FILE(name, family, protocol, fn)                                                     \
    static void print_##name(struct net_ns *ns, const struct net_proc_out *o, u64 *cursor)         \
    {                                                                                              \
        print_dgrams(ns, o, cursor, family, protocol, fn);                                         \
    }
DGRAM_FILE(udp, LX_AF_INET, LX_IPPROTO_UDP, not_raw_line)
DGRAM_FILE(udp6, LX_AF_INET6, LX_IPPROTO_UDP, not_raw_line)
DGRAM_FILE(icmp, LX_AF_INET, LX_IPPROTO_ICMP, not_raw_line)
DGRAM_FILE(icmp6, LX_AF_INET6, LX_IPPROTO_ICMPV6, not_raw_line)
DGRAM_FILE(raw, LX_AF_INET, -1, raw_line)
DGRAM_FILE(raw6, LX_AF_INET6, -1, raw_line)

static bool unix_line(const struct net_proc_out *o, struct sock *sk, u32 nr)
{
    char path[LX_UNIX_PATH_MAX + 2] = "";
    u32 state = sock_state(sk);
    bool is_up = state == SOCK_ESTABLISHED, has_file = sk->ino;
    struct unix_addr *a = unix_addr_of(unix_sk(sk));
    if (a) {
        size_t n = a->len - offsetof(struct lx_sockaddr_un, path);
        memcpy(path, a->un.path, MIN(n, sizeof(path) - 1));
        if (!path[0]) {
            for (size_t k = 0; k < n && k < sizeof(path) - 1; k++)
                path[k] = path[k] ? path[k] : '@';
        }
    }
    np_emit(o, "%016d: %08X %08X %08X %04X %02X %5llu%s%s\n", 0, 2U + (is_up != 0), 0,
            state == SOCK_LISTEN ? 0x10000U : 0, sk->type,
            has_file ? (is_up ? 3 : 1) : (is_up ? 2 : 4), (unsigned long long)sk->ino,
            path[0] ? " " : "", path);
    return true;
}

static void print_unix(struct net_ns *ns, const struct net_proc_out *o, u64 *cursor)
{
    if (*cursor == 0)
        o->puts(o->arg, "Num       RefCount Protocol Flags    Type St Inode Path\n");
    if (walk(ns, LX_AF_UNIX, -1, o, cursor, unix_line))
        *cursor = NET_PROC_END;
}

static bool netlink_line(const struct net_proc_out *o, struct sock *sk, u32 nr)
{
    union saddr a = {0};
    u32 len;
    if (sk->ops->getname(sk, &a, &len) < 0)
        return false;
    np_emit(o, "%016d %-3d %-10u %08x %-8u %-8u %-5d %-8d %-8u %-8llu\n", 0, sk->protocol, a.nl.pid,
            a.nl.groups, sk->rmem, sk->wmem, 0, 2, sk->drops, (unsigned long long)sk->ino);
    return true;
}

static void print_netlink(struct net_ns *ns, const struct net_proc_out *o, u64 *cursor)
{
    if (*cursor == 0)
        o->puts(o->arg, "sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    "
                        "Drops    Inode\n");
    if (walk(ns, LX_AF_NETLINK, -1, o, cursor, netlink_line))
        *cursor = NET_PROC_END;
}

/* ---- interfaces, routes -------------------------------------------------------------------- */

#define TEXT_FILE(name, text)                                                                      \
    static void print_##name(struct net_ns *ns, const struct net_proc_out *o, u64 *cursor)         \
    {                                                                                              \
        o->puts(o->arg, text);                                                                     \
        *cursor = NET_PROC_END;                                                                    \
    }

TEXT_FILE(packet, "sk               RefCnt Type Proto  Iface R Rmem   User   Inode\n")
TEXT_FILE(ptype, "Type Device      Function\n")
TEXT_FILE(igmp, "Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter\n"
                "1\tlo        :     1      V3\n"
                "\t\t\t\t010000E0     1 0:00000000\t\t0\n")
TEXT_FILE(nothing, "")
TEXT_FILE(wireless,
          "Inter-| sta-|   Quality        |   Discarded packets               | Missed | WE\n"
          " face | tus | link level noise |  nwid  crypt   frag  retry   misc | beacon | 22\n")

static void print_route(struct net_ns *ns, const struct net_proc_out *o, u64 *cursor)
{
    if (*cursor == 0)
        emit_padded(o, 127,
                    "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\t"
                    "Window\tIRTT");
    stk_proc_route(ns, o, cursor);
}

static void print_if_inet6(struct net_ns *ns, const struct net_proc_out *o, u64 *cursor)
{
    if (net_sysctl(ns, NSYS_IPV6_DISABLED))
        *cursor = NET_PROC_END;
    else
        stk_proc_if_inet6(ns, o, cursor);
}

static void print_ipv6_route(struct net_ns *ns, const struct net_proc_out *o, u64 *cursor)
{
#define ZERO "00000000000000000000000000000000"
#define ONE  "00000000000000000000000000000001"
    if (*cursor == 0 && ns->stack->has_lo6 && !net_sysctl(ns, NSYS_IPV6_DISABLED))
        o->puts(o->arg,
                ONE " 80 " ZERO " 00 " ZERO " 00000100 00000001 00000000 00000001       lo\n" ONE
                    " 80 " ZERO " 00 " ZERO " 00000000 00000004 00000000 80200001       lo\n" ZERO
                    " 00 " ZERO " 00 " ZERO " ffffffff 00000001 00000000 00200200       lo\n");
    stk_proc_ipv6_route(ns, o, cursor);
}

/* ---- counters ------------------------------------------------------------------------------ */

static unsigned long long get(const _Atomic u64 *v)
{
    return atomic_load_explicit(v, memory_order_relaxed);
}

struct counts {
    u32 tcp, tcp_alloc, tcp_up, udp, raw, used;
};

static struct counts count_socks(struct net_ns *ns, u16 family)
{
    struct counts c = {.used = ns->nsocks};
    struct sock *found[BATCH];
    u64 cookie = 0;
    u32 n;
    do {
        n = net_collect(ns, cookie, family, -1, found, BATCH);
        for (u32 k = 0; k < n; k++) {
            struct sock *sk = found[k];
            u32 state = sock_state(sk);
            if (sk->type == LX_SOCK_RAW) {
                c.raw++;
            } else if (sk->protocol == LX_IPPROTO_TCP) {
                c.tcp_alloc++;
                c.tcp += state != SOCK_CLOSED;
                c.tcp_up += state == SOCK_ESTABLISHED || state == SOCK_CLOSE_WAIT;
            } else if (sk->protocol == LX_IPPROTO_UDP) {
                c.udp += inet_sk(sk)->bucket != NULL;
            }
            cookie = sk->cookie;
            sock_put(sk);
        }
    } while (n == BATCH);
    return c;
}

static void print_sockstat(struct net_ns *ns, const struct net_proc_out *o, u64 *cursor)
{
    struct counts c = count_socks(ns, LX_AF_INET);
    np_emit(o,
            "sockets: used %u\nTCP: inuse %u orphan 0 tw %u alloc %u mem 0\nUDP: inuse %u mem 0\n",
            c.used, c.tcp, ns->inet_ns->tcp.nwaits, c.tcp_alloc, c.udp);
    np_emit(o, "UDPLITE: inuse 0\nRAW: inuse %u\nFRAG: inuse 0 memory 0\n", c.raw);
    *cursor = NET_PROC_END;
}

static void print_sockstat6(struct net_ns *ns, const struct net_proc_out *o, u64 *cursor)
{
    struct counts c = count_socks(ns, LX_AF_INET6);
    np_emit(o,
            "TCP6: inuse %u\nUDP6: inuse %u\nUDPLITE6: inuse 0\nRAW6: inuse %u\n"
            "FRAG6: inuse 0 memory 0\n",
            c.tcp, c.udp, c.raw);
    *cursor = NET_PROC_END;
}

static void print_snmp(struct net_ns *ns, const struct net_proc_out *o, u64 *cursor)
{
    struct inet_ns *n = ns->inet_ns;
    struct counts c4 = count_socks(ns, LX_AF_INET), c6 = count_socks(ns, LX_AF_INET6);
    np_emit(
        o, "Ip: Forwarding DefaultTTL InReceives InHdrErrors InAddrErrors ForwDatagrams "
           "InUnknownProtos InDiscards InDelivers OutRequests OutDiscards OutNoRoutes ReasmTimeout "
           "ReasmReqds ReasmOKs ReasmFails FragOKs FragFails FragCreates OutTransmits\n");
    const struct netstack *k = ns->stack; /* what went by packets: both families together */
    np_emit(o, "Ip: %d %lld %llu %llu %llu %llu 0 %llu %llu %llu %llu %llu 0 ",
            net_sysctl(ns, NSYS_FORWARD4) ? 1 : 2, (long long)net_sysctl(ns, NSYS_TTL),
            get(&k->ip_in), get(&k->ip_in_hdr_errors), get(&k->ip_in_addr_errors),
            get(&k->ip_forwarded), get(&k->ip_in_discards), get(&k->ip_in_delivers),
            get(&k->ip_out), get(&k->ip_out_discards), get(&k->ip_no_routes));
    np_emit(o, "%llu %llu %llu %llu %llu %llu %llu\n", get(&k->ip_reasm_reqds),
            get(&k->ip_reasm_oks), get(&k->ip_reasm_fails), get(&k->ip_frag_oks),
            get(&k->ip_frag_fails), get(&k->ip_frag_creates),
            get(&k->ip_out) + get(&k->ip_forwarded));
    np_emit(
        o, "Icmp: InMsgs InErrors InCsumErrors InDestUnreachs InTimeExcds InParmProbs InSrcQuenchs "
           "InRedirects InEchos InEchoReps InTimestamps InTimestampReps InAddrMasks InAddrMaskReps "
           "OutMsgs OutErrors OutRateLimitGlobal OutRateLimitHost OutDestUnreachs OutTimeExcds "
           "OutParmProbs OutSrcQuenchs OutRedirects OutEchos OutEchoReps OutTimestamps "
           "OutTimestampReps OutAddrMasks OutAddrMaskReps\n");
    np_emit(
        o, "Icmp: %llu %llu 0 %llu 0 0 0 0 %llu 0 0 0 0 0 %llu 0 0 0 %llu 0 0 0 0 0 %llu 0 0 0 0\n",
        get(&k->icmp_in), get(&k->icmp_in_errors), get(&n->udp_no_ports) + get(&k->icmp_in_unreach),
        get(&k->icmp_in_echos), get(&n->udp_no_ports) + get(&k->icmp_out),
        get(&n->udp_no_ports) + get(&k->icmp_out_unreach), get(&k->icmp_out_echo_reps));
    np_emit(o, "Tcp: RtoAlgorithm RtoMin RtoMax MaxConn ActiveOpens PassiveOpens AttemptFails "
               "EstabResets CurrEstab InSegs OutSegs RetransSegs InErrs OutRsts InCsumErrors\n");
    np_emit(o, "Tcp: 1 200 120000 -1 %llu %llu %llu %llu %u %llu %llu %llu %llu %llu 0\n",
            get(&n->tcp_active_opens), get(&n->tcp_passive_opens), get(&n->tcp_attempt_fails),
            get(&n->tcp_estab_resets), c4.tcp_up + c6.tcp_up, get(&n->tcp_in_segs),
            get(&n->tcp_out_segs), get(&k->tcp_retrans_segs), get(&k->tcp_in_errs),
            get(&n->tcp_out_rsts));
    np_emit(o,
            "Udp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors InCsumErrors "
            "IgnoredMulti MemErrors\n");
    np_emit(o, "Udp: %llu %llu %llu %llu %llu 0 0 0 0\n", get(&n->udp_in), get(&n->udp_no_ports),
            get(&n->udp_rcvbuf_errors), get(&n->udp_out), get(&n->udp_rcvbuf_errors));
    np_emit(o, "UdpLite: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors "
               "InCsumErrors IgnoredMulti MemErrors\nUdpLite: 0 0 0 0 0 0 0 0 0\n");
    *cursor = NET_PROC_END;
}

static void print_netstat(struct net_ns *ns, const struct net_proc_out *o, u64 *cursor)
{
    struct inet_ns *n = ns->inet_ns;
    np_emit(o,
            "TcpExt: SyncookiesSent SyncookiesRecv SyncookiesFailed EmbryonicRsts PruneCalled TW "
            "TWRecycled TWKilled DelayedACKs DelayedACKLocked DelayedACKLost ListenOverflows "
            "ListenDrops TCPTimeouts\n");
    np_emit(o, "TcpExt: 0 0 0 0 0 %u 0 0 0 0 0 %llu %llu %llu\n", n->tcp.nwaits,
            get(&n->tcp_listen_overflows), get(&n->tcp_listen_overflows),
            get(&ns->stack->tcp_timeouts));
    np_emit(o,
            "IpExt: InNoRoutes InTruncatedPkts InMcastPkts OutMcastPkts InBcastPkts OutBcastPkts "
            "InOctets OutOctets\nIpExt: 0 0 0 0 0 0 0 0\n");
    *cursor = NET_PROC_END;
}

static void print_table_names(struct net_ns *ns, const struct net_proc_out *o, u64 *cursor,
                              enum xt_family family)
{
    const char *name;
    for (u32 i = 0; (name = ipt_name(ns->ipt_ns, family, i)); i++)
        np_emit(o, "%s\n", name);
    *cursor = NET_PROC_END;
}

static void print_ip_tables_names(struct net_ns *ns, const struct net_proc_out *o, u64 *cursor)
{
    print_table_names(ns, o, cursor, XT_V4);
}

static void print_ip6_tables_names(struct net_ns *ns, const struct net_proc_out *o, u64 *cursor)
{
    print_table_names(ns, o, cursor, XT_V6);
}

const struct net_proc_file net_proc_files[] = {
    {"arp", stk_proc_arp},
    {"dev", stk_proc_dev},
    {"dev_mcast", print_nothing},
    {"icmp", print_icmp},
    {"icmp6", print_icmp6},
    {"if_inet6", print_if_inet6},
    {"igmp", print_igmp},
    {"ipv6_route", print_ipv6_route},
    {"netlink", print_netlink},
    {"ip6_tables_names", print_ip6_tables_names},
    {"ip_tables_names", print_ip_tables_names},
    {"netstat", print_netstat},
    {"packet", print_packet},
    {"ptype", print_ptype},
    {"raw", print_raw},
    {"raw6", print_raw6},
    {"route", print_route},
    {"snmp", print_snmp},
    {"sockstat", print_sockstat},
    {"sockstat6", print_sockstat6},
    {"tcp", print_tcp},
    {"tcp6", print_tcp6},
    {"udp", print_udp},
    {"udp6", print_udp6},
    {"unix", print_unix},
    {"wireless", print_wireless},
};
const u32 net_proc_nfiles = ARRAY_SIZE(net_proc_files);

void net_proc_print(const struct net_proc_file *f, struct net_ns *ns,
                    const struct net_proc_out *out, u64 *cursor)
{
    char text[4097];
    do {
        s64 n = ns->host ? hostnet_proc_read(ns->host, f->name, *cursor, text, sizeof(text) - 1)
                         : -LX_ENOENT;
        if (n == -LX_ENOENT) {
            f->print(ns, out, cursor);
            return;
        }
        if (n <= 0) {
            *cursor = NET_PROC_END;
            return;
        }
        text[n] = 0;
        out->puts(out->arg, text);
        *cursor += (u64)n;
    } while (!out->is_full(out->arg));
}
