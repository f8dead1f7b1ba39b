/*
 * tcb: one TCP connection's protocol machine (RFC 9293), without sockets, links or clocks.
 *
 * Theory
 *   Sequence numbers are kept unwrapped, as u64: a wire number is taken relative to a position near
 *   it, so comparisons are ordinary. The byte at send position p is byte p - (iss + 1) of the send
 *   queue. The queue's head is what was acknowledged, so its own counters do the bookkeeping.
 *
 *   Sent segments stand in `sent`, in order, as records of up to 64 KiB; SACK, RACK (RFC 8985) and
 *   retransmission work on these and split them when they must. Out-of-order data stands in `ooo`
 * as ranges, most recently touched first, which is the order of SACK blocks (RFC 2018).
 *
 *   Every entry point runs under tcb.lock and is given the time. Wanted effects come back as
 *   events (tcb_take_events) and as calls of `io` under the lock: send a segment, arm the timer,
 *   say that the state changed.
 *
 * Where it differs from Linux: no pacing, no Fast Open, no ECN, no F-RTO; loss recovery without
 * SACK is NewReno.
 */
#ifndef NET_STACK_TCB_H
#define NET_STACK_TCB_H

#include <sys/uio.h>

#include "net/bq.h"
#include "net/sock.h"

#define TCPF_FIN 0x01
#define TCPF_SYN 0x02
#define TCPF_RST 0x04
#define TCPF_PSH 0x08
#define TCPF_ACK 0x10
#define TCPF_URG 0x20
#define TCPF_ECE 0x40
#define TCPF_CWR 0x80

#define TCP_MAX_SACKS   4
#define TCP_OPT_MAX     40
#define TCP_IOV         32
#define TCP_WIN_MAX     (16U << 20) /* what auto-tuning may reach, each way */
#define TCP_WSCALE      9           /* 65535 << 9 covers it */
#define TCP_MIN_MSS     48
#define TCB_MAX_RECORDS 4096U
#define TCB_MAX_RANGES  256U

/* A segment that arrived, parsed and checked (tcp_seg.c). */
struct tcp_rx {
    u32 seq, ack;
    u8 flags;
    u32 win; /* as on the wire */
    u16 urg;
    u16 mss, mss_opt; /* mss_opt: 0 when the option was not there */
    s8 wscale;        /* -1: not there */
    bool has_ts, has_sack_ok;
    u32 tsval, tsecr;
    u32 nsacks;
    u32 sacks[TCP_MAX_SACKS][2];
    const u8 *data;
    u32 len;
    bool is_ce; /* a router on the way has marked it (RFC 3168) */
    u32 piece; /* size of the segments that this one was put together from, or its own */
};

/* A segment to send. */
struct tcp_tx {
    u32 seq, ack;
    u8 flags;
    u16 win, urg;
    u8 opts[TCP_OPT_MAX];
    u32 optlen;
    struct iovec data[TCP_IOV];
    u32 ndata, len;
    u16 gso_size; /* 0: one segment */
    bool is_ect;  /* routers may mark it instead of dropping it */
};

struct tcb;
struct tcb_io {
    /* 0; -LX_EAGAIN: try again later; others count as lost. -LX_EMSGSIZE: the path's MTU has
     * shrunk. */
    int (*send)(struct tcb *c, const struct tcp_tx *s);
    void (*arm)(struct tcb *c, s64 deadline_ns);
    /* c->state changed (c->err may have too). */
    void (*on_state)(struct tcb *c);
};

/* tcb_take_events */
#define TCB_READABLE 1U
#define TCB_WRITABLE 2U
#define TCB_CHANGED  4U /* state, error: everybody */
#define TCB_URGENT   8U
#define TCB_CLOSED   16U /* the machine is done: give it up */
#define TCB_PROGRESS 32U /* the peer acknowledged something new */

enum tcb_ca { CA_OPEN, CA_RECOVERY, CA_LOSS };

/* Congestion control; all sizes in bytes. */
struct tcb_cc {
    u32 algo; /* index of tcp_opt.c's names: 0 cubic, 1 reno */
    u64 cwnd, ssthresh;
    /* CUBIC, in segments and seconds */
    double w_max, k, w_est, cubic_origin;
    s64 epoch_ns;
    u64 acked_frac;
    /* HyStart: delay of this round against the last */
    s64 round_min_rtt, last_min_rtt;
    u64 round_end;
    u32 round_samples;
};

struct tcp_sent; /* a record of the scoreboard */
struct tcp_range;

struct tcb {
    struct mutex lock;
    const struct tcb_io *io; /* immutable */
    enum sock_state state;   /* guarded by lock, as all below */
    int err;                 /* positive: why it ended */
    u32 events;
    struct bq *rx, *tx; /* owned */

    /* options of the socket, set before and during the connection */
    bool is_nodelay, is_cork, is_keepalive, is_quickack_off, is_orphan, is_rcv_shut;
    bool is_sndbuf_fixed, is_rcvbuf_fixed;
    bool no_ts, no_sack, no_wscale, no_idle_restart; /* what is neither offered nor taken */
    bool is_ecn_asked;                               /* by a SYN of ours */
    u32 window_clamp;                                /* of what is announced; 0: none */
    u32 keepidle_s, keepintvl_s, keepcnt, user_timeout_ms, syn_retries, fin_timeout_s;
    u32 max_retries, orphan_retries, mss_clamp; /* 15, 8 */
    u32 hdr_overhead;           /* IP and TCP headers without options */
    u32 gso_max;                /* payload of one send; the mss when the link cuts nothing */

    /* sending */
    u64 iss, una, nxt, max_sent; /* nxt < max_sent never: retransmission goes by records */
    u64 wl1, wl2, snd_wnd, max_wnd;
    u64 fin_pos; /* position of the FIN */
    bool is_fin_queued, is_fin_sent, is_fin_acked;
    u8 snd_wscale, rcv_wscale;
    u32 mss, path_mtu; /* mss: payload of a full segment, options taken off */
    u64 snd_up;        /* urgent pointer: the position after the urgent byte */
    bool has_snd_up;
    u64 snd_small; /* end of the last segment smaller than mss: Nagle */

    /* receiving */
    u64 irs, rcv_nxt, rcv_adv; /* rcv_adv: right edge that was announced */
    u64 last_ack_sent, rcv_copied_mark;
    u32 adv_mss, rcv_mss;
    u64 rcv_wnd_max; /* bytes that may be queued: auto-tuned */
    s64 rcv_rtt_ns, drs_start_ns;
    u64 drs_pos;
    u32 rcv_rtt_ts;
    u32 unacked_segs; /* full segments received since the last ACK sent */
    u32 quick_acks;
    bool is_ack_due;
    u64 fin_rcv_pos;
    bool has_fin; /* a FIN was seen, at fin_rcv_pos */
    u64 rcv_up;
    bool has_rcv_up;
    struct list ooo; /* tcp_range, most recent first */
    u32 nranges;
    u64 ooo_bytes;
    u64 dsack_start, dsack_end; /* to report; equal: none */

    /* options of the connection */
    bool has_ts, has_sack, has_wscale;
    /* ECN: agreed; the peer is to be told of a mark until it says CWR; it is to be told CWR; marks
     * before this position were answered. */
    bool has_ecn, is_ece_due, is_cwr_due, is_ce_seen;
    u64 ecn_high;
    u32 ts_offset, ts_recent;
    s64 ts_recent_ns;

    /* round trips */
    s64 srtt_ns, rttvar_ns, rto_ns, min_rtt_ns, min_rtt_at_ns;
    u32 backoff;

    /* scoreboard */
    struct list sent;
    u32 nsent;
    u64 sacked, lost, retrans; /* bytes: with the peer; given up; sent again and on the way */
    u32 dupacks;
    enum tcb_ca ca;
    u64 high_seq; /* recovery ends when una reaches it */
    u64 undo_cwnd, undo_ssthresh, undo_retrans;
    bool can_undo;
    /* PRR (RFC 6937) */
    u64 prr_delivered, prr_out, recover_fs;
    /* RACK */
    s64 rack_xmit_ns, rack_rtt_ns;
    u64 rack_end, rack_fack;
    u32 rack_reo_mult, rack_dsacks_seen;
    bool has_reordering;
    bool has_tlp;
    u64 tlp_end;
    bool is_tlp_retrans;
    struct tcb_cc cc;
    bool is_cwnd_limited;

    /* timers: absolute, NO_DEADLINE when off */
    s64 t_rto, t_rack, t_tlp, t_delack, t_persist, t_keep, t_cork, t_life;
    s64 armed_ns; /* what io->arm was last told */
    u32 nretries, nprobes, nkeep;
    s64 retries_since_ns; /* of the first retransmission in a row */
    s64 last_rx_ns, last_tx_ns, last_data_rx_ns, last_data_tx_ns;
    s64 challenge_ns;

    /* TCP_INFO */
    u64 bytes_acked, bytes_received, bytes_sent, bytes_retrans;
    u32 segs_in, segs_out, data_segs_in, data_segs_out, total_retrans, nooo, ndsacks, delivered;
};

/* rx and tx are consumed. Zeroed memory. */
void tcb_init(struct tcb *c, const struct tcb_io *io, struct bq *rx, struct bq *tx);
void tcb_done(struct tcb *c);

static inline u32 tcb_take_events(struct tcb *c)
{
    u32 e = c->events;
    c->events = 0;
    return e;
}

/* All REQUIRE c->lock. mtu: of the path. */
void tcb_connect(struct tcb *c, u32 iss, u32 mtu, s64 now);
/* The server's side after a handshake that somebody else kept: what was agreed. */
struct tcb_accept {
    u32 iss, irs;
    u32 mtu;
    u16 mss;
    s8 wscale; /* -1: no scaling */
    bool has_ts, has_sack, has_ecn;
    u32 ts_offset, ts_recent, win;
};
void tcb_accept(struct tcb *c, const struct tcb_accept *a, s64 now);
void tcb_input(struct tcb *c, const struct tcp_rx *s, s64 now);
void tcb_timer(struct tcb *c, s64 now);
/* The sender has put bytes into tx. is_more: more come at once. */
void tcb_push(struct tcb *c, bool is_more, s64 now);
/* The last byte in tx is urgent. */
void tcb_urgent(struct tcb *c, s64 now);
/* The reader has taken bytes out of rx. */
void tcb_rcvd(struct tcb *c, s64 now);
void tcb_shutdown(struct tcb *c, s64 now);               /* a FIN after what is queued */
void tcb_close(struct tcb *c, bool has_unread, s64 now); /* nobody is there any more */
void tcb_abort(struct tcb *c, int err, s64 now);         /* a RST */
void tcb_opts_changed(struct tcb *c, s64 now);     /* keepalive, user timeout, cork, nodelay */
void tcb_set_mtu(struct tcb *c, u32 mtu, s64 now); /* the path's MTU is smaller: ICMP */
void tcb_soft_error(struct tcb *c, int err, bool is_hard, s64 now);
void tcb_set_cc(struct tcb *c, u32 algo);
u64 tcb_tx_limit(const struct tcb *c);

/* ---- between the parts --------------------------------------------------------------------- */

struct tcp_sent {
    struct list node;
    u64 start, end;
    s64 xmit_ns;
    bool is_sacked, is_lost, is_retrans, was_retrans;
};

static inline u64 tcb_pipe(const struct tcb *c) /* bytes on the way */
{
    u64 out = c->nxt - c->una + c->retrans, in = c->sacked + c->lost;
    return out > in ? out - in : 0;
}
static inline u32 tcb_ts(const struct tcb *c, s64 now)
{
    return (u32)(now / NSEC_PER_MSEC) + c->ts_offset;
}
static inline u64 tcb_data_end(const struct tcb *c) /* the position after the last byte queued */
{
    return c->iss + 1 + c->tx->tail;
}
static inline u64 min3(u64 a, u64 b, u64 c)
{
    u64 ab = MIN(a, b);
    return MIN(ab, c);
}
static inline u64 tcb_unwrap(u64 near, u32 wire)
{
    return near + (u64)(s64)(s32)(wire - (u32)near);
}
void tcb_set_state(struct tcb *c, enum sock_state s);
void tcb_end(struct tcb *c, int err); /* CLOSED without a word to the peer */

/* tcb_out.c */
void tcb_output(struct tcb *c, s64 now);
void tcb_send_ack(struct tcb *c, s64 now);
void tcb_send_rst(struct tcb *c, u64 seq, s64 now);
void tcb_send_syn(struct tcb *c, s64 now);
void tcb_rearm(struct tcb *c, s64 now);
u64 tcb_rcv_space(const struct tcb *c);
void tcb_restart_rto(struct tcb *c, s64 now);
void tcb_retransmit(struct tcb *c, struct tcp_sent *r, s64 now);
u32 tcp_put_syn_opts(u8 *o, u16 mss, s32 wscale, bool has_sack, bool has_ts, u32 tsval, u32 tsecr);
void tcb_update_mss(struct tcb *c);

/* tcb_loss.c: the scoreboard and what is lost */
struct tcb_ackinfo {
    u64 delivered; /* bytes newly acknowledged or SACKed */
    u64 acked;     /* by the cumulative number */
    s64 rtt_ns;    /* a sample, or -1 */
    bool is_new_sack, is_retrans_acked, has_dsack;
};
void tcb_record(struct tcb *c, u64 start, u64 end, s64 now);
void tcb_drop_records(struct tcb *c);
void tcb_ack_records(struct tcb *c, u64 ack, struct tcb_ackinfo *a, u32 tsecr, s64 now);
void tcb_sack_records(struct tcb *c, const struct tcp_rx *s, u64 ack, struct tcb_ackinfo *a,
                      s64 now);
void tcb_find_losses(struct tcb *c, const struct tcb_ackinfo *a, bool is_dupack, s64 now);
void tcb_rack_timer(struct tcb *c, s64 now);
void tcb_all_lost(struct tcb *c);
struct tcp_sent *tcb_next_lost(struct tcb *c);
struct tcp_sent *tcb_split(struct tcb *c, struct tcp_sent *r, u64 at);
void tcb_sample_rtt(struct tcb *c, s64 rtt_ns, s64 now);

/* tcb_ooo.c */
/* Keeps data that is beyond rcv_nxt. */
void tcb_ooo_add(struct tcb *c, u64 seq, const u8 *data, u32 len);
/* Moves what has become in order to rx. */
void tcb_ooo_drain(struct tcb *c);
void tcb_ooo_drop(struct tcb *c);
u32 tcb_put_sacks(const struct tcb *c, u8 *opts, u32 room); /* bytes written */

/* tcb_cc.c */
void cc_init(struct tcb *c);
void cc_on_ack(struct tcb *c, u64 acked, s64 rtt_ns, s64 now);
void cc_on_loss(struct tcb *c, s64 now); /* sets ssthresh */
void cc_on_timeout(struct tcb *c, s64 now);
void cc_after_idle(struct tcb *c);

/* tcp_seg.c. tcp_parse: `p` holds a TCP header and data; false: malformed. */
bool tcp_parse(const u8 *p, u32 size, struct tcp_rx *ret) must_check;

#endif
