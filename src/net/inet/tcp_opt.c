/*
 * Options of IPPROTO_TCP. Timers and congestion have no effect between queues; their values
 * are checked, kept and read back as Linux does.
 */
#include <stdlib.h>
#include <string.h>

#include "net/inet/tcp.h"
#include "net/netlink/netlink.h"

#define MAX_KEEPIDLE   32767
#define MAX_KEEPINTVL  32767
#define MAX_KEEPCNT    127
#define MAX_SYNCNT     127
#define TCP_CA_NAME    16
#define LO_MSS         65483 /* loopback MTU less headers and timestamps */
#define RTO_MAX_S      120
#define INET_DIAG_INFO 2

static const char *const cc_names[] = {"cubic", "reno"};

struct lx_tcp_info {
    u8 state, ca_state, retransmits, probes, backoff, options, wscale, app_limited;
    u32 rto, ato, snd_mss, rcv_mss;
    u32 unacked, sacked, lost, retrans, fackets;
    u32 last_data_sent, last_ack_sent, last_data_recv, last_ack_recv;
    u32 pmtu, rcv_ssthresh, rtt, rttvar, snd_ssthresh, snd_cwnd, advmss, reordering;
    u32 rcv_rtt, rcv_space, total_retrans;
    u64 pacing_rate, max_pacing_rate, bytes_acked, bytes_received;
    u32 segs_out, segs_in, notsent_bytes, min_rtt, data_segs_in, data_segs_out;
    u64 delivery_rate, busy_time, rwnd_limited, sndbuf_limited;
    u32 delivered, delivered_ce;
    u64 bytes_sent, bytes_retrans;
    u32 dsack_dups, reord_seen, rcv_ooopack, snd_wnd, rcv_wnd, rehash;
    u16 total_rto, total_rto_recoveries;
    u32 total_rto_time;
};
_Static_assert(sizeof(struct lx_tcp_info) == 248, "tcp_info");

static bool is_open(u32 state)
{
    return state != SOCK_CLOSED && state != SOCK_LISTEN && state != SOCK_SYN_SENT;
}

static void fill_remote_info(struct stk_conn *conn, struct lx_tcp_info *ti)
{
    struct stk_tcp_stat s;
    stk_tcp_stat(conn, &s);
    *ti = (struct lx_tcp_info){
        .state = ti->state, .ca_state = s.ca_state, .retransmits = s.retransmits, .probes = s.probes,
        .backoff = s.backoff, .options = s.options, .wscale = (u8)(s.snd_wscale | s.rcv_wscale << 4),
        .rto = s.rto_us, .ato = 40000, .snd_mss = s.mss, .rcv_mss = s.rcv_mss, .unacked = s.unacked,
        .sacked = s.sacked, .lost = s.lost, .retrans = s.retrans, .last_data_sent = s.last_tx_ms,
        .last_data_recv = s.last_rx_ms, .last_ack_recv = s.last_ack_ms, .pmtu = s.pmtu,
        .rcv_ssthresh = s.rcv_space, .rtt = s.rtt_us, .rttvar = s.rttvar_us, .snd_ssthresh = s.ssthresh,
        .snd_cwnd = s.cwnd, .advmss = s.adv_mss, .reordering = 3, .rcv_rtt = s.rcv_rtt_us,
        .rcv_space = s.rcv_space, .total_retrans = s.total_retrans, .pacing_rate = UINT64_MAX,
        .max_pacing_rate = ti->max_pacing_rate, .bytes_acked = s.bytes_acked,
        .bytes_received = s.bytes_received, .segs_out = s.segs_out, .segs_in = s.segs_in,
        .notsent_bytes = (u32)stk_tcp_unsent(conn), .min_rtt = s.min_rtt_us, .data_segs_in = s.data_segs_in,
        .data_segs_out = s.data_segs_out, .delivered = s.delivered, .bytes_sent = s.bytes_sent,
        .bytes_retrans = s.bytes_retrans, .dsack_dups = s.dsack_dups, .rcv_ooopack = s.rcv_ooopack,
        .snd_wnd = s.snd_wnd, .rcv_wnd = s.rcv_wnd,
    };
}

static void fill_info(struct tcp_sock *t, struct lx_tcp_info *ti)
{
    struct sock *sk = &t->in.sk;
    u32 state = sock_state(sk);
    *ti = (struct lx_tcp_info){
        .state = (u8)state,
        .rto = 1000000,
        .snd_mss = 536,
        .rcv_mss = 88,
        .pmtu = 0,
        .rtt = 0,
        .rttvar = 250000,
        .snd_ssthresh = INT32_MAX,
        .snd_cwnd = 10,
        .reordering = 3,
        .max_pacing_rate = sk->max_pacing_rate,
        .pacing_rate = UINT64_MAX,
        .min_rtt = UINT32_MAX,
    };
    if (state == SOCK_LISTEN) {
        mutex_lock(&sk->lock);
        ti->unacked = t->nqueued;
        ti->sacked = (u32)t->backlog;
        mutex_unlock(&sk->lock);
        return;
    }
    if (!is_open(state))
        return;
    u64 in = t->bytes_in, out = t->bytes_out;
    u32 ms = (u32)((clock_mono_ns() - t->created_ns) / NSEC_PER_MSEC);
    ti->options = 7; /* timestamps, SACK, window scaling */
    ti->wscale = 0x77;
    ti->rto = 201000;
    ti->ato = 40000;
    ti->snd_mss = 32741;
    ti->rcv_mss = 536;
    ti->advmss = LO_MSS;
    ti->pmtu = LO_MTU - 1;
    ti->rtt = 20;
    ti->rttvar = 10;
    ti->min_rtt = 10;
    ti->rcv_ssthresh = TCP_WINDOW_INIT;
    ti->rcv_space = TCP_WINDOW_INIT;
    ti->last_data_sent = ti->last_data_recv = ti->last_ack_recv = ms;
    ti->bytes_acked = out + 1;
    ti->bytes_received = in;
    ti->bytes_sent = out;
    ti->segs_in = ti->data_segs_in = (u32)(in / 32768 + 1);
    ti->segs_out = ti->data_segs_out = (u32)(out / 32768 + 1);
    ti->delivered = ti->segs_out;
    ti->snd_wnd = ti->rcv_wnd = TCP_WINDOW_INIT;
    struct tcp_end *e cleanup(tcp_end_put_p) = tcp_take(t);
    if (e && e->conn) {
        fill_remote_info(e->conn, ti);
        return;
    }
    s32 outq = tcp_outq(sk);
    ti->notsent_bytes = outq > 0 ? (u32)outq : 0;
}

/* Seconds of TCP_DEFER_ACCEPT as a number of retries, and back: powers of two, as Linux rounds. */
static s32 secs_to_retrans(s32 secs)
{
    s32 n = 0;
    if (secs > 0) {
        s32 timeout = 1, period = 1;
        for (n = 1; secs > period && n < 255; n++) {
            timeout = MIN(timeout * 2, RTO_MAX_S);
            period += timeout;
        }
    }
    return n;
}

static s32 retrans_to_secs(s32 n)
{
    s32 period = 0;
    if (n > 0) {
        s32 timeout = 1;
        for (period = 1; --n;) {
            timeout = MIN(timeout * 2, RTO_MAX_S);
            period += timeout;
        }
    }
    return period;
}

s32 tcp_defer_seconds(const struct tcp_sock *l)
{
    return retrans_to_secs(l->defer_accept);
}

static int set_congestion(struct tcp_sock *t, const struct optval *val)
{
    char name[TCP_CA_NAME] = "";
    if (val->len < 1)
        return -LX_EINVAL;
    int r = optval_read(val, name, MIN(val->len, (u32)TCP_CA_NAME - 1));
    if (r < 0)
        return r;
    for (size_t i = 0; i < ARRAY_SIZE(cc_names); i++) {
        if (!strcmp(name, cc_names[i])) {
            t->cc = (s32)i;
            return 0;
        }
    }
    return -LX_ENOENT;
}

static int in_range(_Atomic s32 *field, s32 v, s32 low, s32 high)
{
    if (v < low || v > high)
        return -LX_EINVAL;
    *field = v;
    return 0;
}

static int set_linger2(struct tcp_sock *t, s32 v)
{
    /* Negative: none at all; beyond the maximum: the default. */
    t->linger2 = v < 0 ? -1 : v > RTO_MAX_S ? 0 : v;
    return 0;
}

static int set_maxseg(struct tcp_sock *t, s32 v)
{
    if (v && (v < 88 || v > 32767))
        return -LX_EINVAL;
    t->maxseg = v;
    return 0;
}

static int set_window_clamp(struct tcp_sock *t, s32 v)
{
    if (v <= 0) {
        if (sock_state(&t->in.sk) != SOCK_CLOSED)
            return -LX_EINVAL;
        t->window_clamp = 0;
        return 0;
    }
    t->window_clamp = MAX(v, SOCK_MIN_RCVBUF / 2);
    return 0;
}

static int set_fastopen(struct tcp_sock *t, s32 v)
{
    u32 state = sock_state(&t->in.sk);
    if (v < 0 || (state != SOCK_CLOSED && state != SOCK_LISTEN))
        return -LX_EINVAL;
    t->fastopen_qlen = MIN(v, (s32)net_sysctl(t->in.sk.ns, NSYS_SOMAXCONN));
    return 0;
}

static int tcp_set(struct tcp_sock *t, s32 name, s32 v)
{
    switch (name) {
    case LX_TCP_NODELAY:
        t->is_nodelay = v != 0;
        return 0;
    case LX_TCP_MAXSEG:
        return set_maxseg(t, v);
    case LX_TCP_CORK:
        t->is_cork = v != 0;
        return 0;
    case LX_TCP_KEEPIDLE:
        return in_range(&t->keepidle, v, 1, MAX_KEEPIDLE);
    case LX_TCP_KEEPINTVL:
        return in_range(&t->keepintvl, v, 1, MAX_KEEPINTVL);
    case LX_TCP_KEEPCNT:
        return in_range(&t->keepcnt, v, 1, MAX_KEEPCNT);
    case LX_TCP_SYNCNT:
        return in_range(&t->syncnt, v, 1, MAX_SYNCNT);
    case LX_TCP_LINGER2:
        return set_linger2(t, v);
    case LX_TCP_DEFER_ACCEPT:
        t->defer_accept = secs_to_retrans(v);
        return 0;
    case LX_TCP_WINDOW_CLAMP:
        return set_window_clamp(t, v);
    case LX_TCP_QUICKACK:
        t->is_quickack_off = !(v & 1);
        return 0;
    case LX_TCP_THIN_LINEAR_TIMEOUTS:
    case LX_TCP_THIN_DUPACK:
        if (v < 0 || v > 1)
            return -LX_EINVAL;
        if (name == LX_TCP_THIN_LINEAR_TIMEOUTS)
            t->is_thin_lto = v;
        return 0;
    case LX_TCP_USER_TIMEOUT:
        return in_range(&t->user_timeout, v, 0, INT32_MAX);
    case LX_TCP_REPAIR:
        return net_capable(t->in.sk.ns, LX_CAP_NET_ADMIN) ? -LX_EOPNOTSUPP : -LX_EPERM;
    case LX_TCP_FASTOPEN:
        return set_fastopen(t, v);
    case LX_TCP_FASTOPEN_CONNECT:
        if (v < 0 || v > 1)
            return -LX_EINVAL;
        if (sock_state(&t->in.sk) != SOCK_CLOSED)
            return -LX_EINVAL;
        t->is_fastopen_connect = v;
        return 0;
    case LX_TCP_TIMESTAMP:
        return -LX_EPERM; /* only in repair mode */
    case LX_TCP_INQ:
        if (v < 0 || v > 1)
            return -LX_EINVAL;
        t->is_inq = v;
        return 0;
    default:
        return -LX_ENOPROTOOPT;
    }
}

/* A connection over the stack acts upon them. */
static void opts_changed(struct tcp_sock *t)
{
    struct tcp_end *e cleanup(tcp_end_put_p) = tcp_take(t);
    if (e && e->conn)
        stk_tcp_opts(e->conn);
}

int tcp_setsockopt(struct sock *sk, s32 level, s32 name, const struct optval *val)
{
    s32 v;
    if (level != LX_IPPROTO_TCP)
        return inet_setsockopt(sk, level, name, val);
    if (name == LX_TCP_CONGESTION) {
        int e = set_congestion(tcp_sk(sk), val);
        if (e == 0)
            opts_changed(tcp_sk(sk));
        return e;
    }
    if (name == LX_TCP_ULP) /* kernel TLS */
        return val->len < 1 ? -LX_EINVAL : -LX_ENOENT;
    int r = optval_int(val, &v);
    if (r == 0)
        r = tcp_set(tcp_sk(sk), name, v);
    if (r == 0)
        opts_changed(tcp_sk(sk));
    return r;
}

/* ---- reading ------------------------------------------------------------------------------- */

static int get_name(struct optval *val, const char *s)
{
    char name[TCP_CA_NAME] = "";
    strncpy(name, s, sizeof(name) - 1);
    return optval_write(val, name, sizeof(name));
}

static int tcp_get(struct tcp_sock *t, s32 name, s32 *ret)
{
    const struct net_ns *ns = t->in.sk.ns;
    u32 state = sock_state(&t->in.sk);
    s32 v;
    switch (name) {
    case LX_TCP_NODELAY:
        v = t->is_nodelay;
        break;
    case LX_TCP_MAXSEG:
        v = is_open(state) ? (t->maxseg ? MIN(t->maxseg - 12, 32768) : 32741)
                           : (t->maxseg ? t->maxseg : 536);
        break;
    case LX_TCP_CORK:
        v = t->is_cork;
        break;
    case LX_TCP_KEEPIDLE:
        v = t->keepidle ? t->keepidle : (s32)net_sysctl(ns, NSYS_KEEPALIVE_TIME);
        break;
    case LX_TCP_KEEPINTVL:
        v = t->keepintvl ? t->keepintvl : (s32)net_sysctl(ns, NSYS_KEEPALIVE_INTVL);
        break;
    case LX_TCP_KEEPCNT:
        v = t->keepcnt ? t->keepcnt : (s32)net_sysctl(ns, NSYS_KEEPALIVE_PROBES);
        break;
    case LX_TCP_SYNCNT:
        v = t->syncnt ? t->syncnt : (s32)net_sysctl(ns, NSYS_SYN_RETRIES);
        break;
    case LX_TCP_LINGER2:
        v = t->linger2 ? t->linger2 : (s32)net_sysctl(ns, NSYS_FIN_TIMEOUT);
        break;
    case LX_TCP_DEFER_ACCEPT:
        v = retrans_to_secs(t->defer_accept);
        break;
    case LX_TCP_WINDOW_CLAMP:
        v = t->window_clamp ? t->window_clamp : is_open(state) ? TCP_WINDOW_INIT : 0;
        break;
    case LX_TCP_QUICKACK:
        v = !t->is_quickack_off;
        break;
    case LX_TCP_THIN_LINEAR_TIMEOUTS:
        v = t->is_thin_lto;
        break;
    case LX_TCP_THIN_DUPACK:
        v = 0;
        break;
    case LX_TCP_USER_TIMEOUT:
        v = t->user_timeout;
        break;
    case LX_TCP_REPAIR:
        v = 0;
        break;
    case LX_TCP_FASTOPEN:
        v = t->fastopen_qlen;
        break;
    case LX_TCP_FASTOPEN_CONNECT:
        v = t->is_fastopen_connect;
        break;
    case LX_TCP_FASTOPEN_NO_COOKIE:
        v = 0;
        break;
    case LX_TCP_TIMESTAMP:
        v = (s32)(clock_mono_ns() / NSEC_PER_MSEC);
        break;
    case LX_TCP_INQ:
        v = t->is_inq;
        break;
    case LX_TCP_TX_DELAY:
        v = 0;
        break;
    default:
        return -LX_ENOPROTOOPT;
    }
    *ret = v;
    return 0;
}

void tcp_put_info(struct nlbuf *b, struct sock *sk)
{
    struct lx_tcp_info info;
    fill_info(tcp_sk(sk), &info);
    nl_attr(b, INET_DIAG_INFO, &info, sizeof(info));
}

int tcp_getsockopt(struct sock *sk, s32 level, s32 name, struct optval *val)
{
    struct tcp_sock *t = tcp_sk(sk);
    struct lx_tcp_info info;
    s32 v = 0;
    if (level != LX_IPPROTO_TCP)
        return inet_getsockopt(sk, level, name, val);
    switch (name) {
    case LX_TCP_INFO:
        fill_info(t, &info);
        return optval_write(val, &info, sizeof(info));
    case LX_TCP_CONGESTION:
        return get_name(val, cc_names[t->cc]);
    case LX_TCP_CC_INFO:
    case LX_TCP_ULP:
        val->len = 0;
        return 0;
    }
    int r = tcp_get(t, name, &v);
    return r < 0 ? r : optval_write_int(val, v);
}
