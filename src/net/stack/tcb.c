/*
 * The states of a connection: opening, segments that arrive (RFC 9293 3.10.7), closing.
 */
#include "net/stack/tcb.h"
#include "net/stack/wirefmt.h"

#define INIT_RTO_NS (1 * NSEC_PER_SEC)
#define DELACK_NS   (40 * NSEC_PER_MSEC)
#define PAWS_AGE_NS (24LL * 24 * 3600 * NSEC_PER_SEC)
#define CHALLENGE_NS                                                                               \
    (500 * NSEC_PER_MSEC) /* one challenge a connection in this time (RFC 5961 5) */
#define QUICK_ACKS   16
#define RCV_WND_INIT (256U << 10)
#define SND_BUF_MIN  (256U << 10)
#define SND_BUF_MAX  (16U << 20)

/* ---- life ---------------------------------------------------------------------------------- */

void tcb_init(struct tcb *c, const struct tcb_io *io, struct bq *rx, struct bq *tx)
{
    mutex_init(&c->lock, "tcb");
    c->io = io;
    c->rx = rx;
    c->tx = tx;
    c->state = SOCK_CLOSED;
    list_init(&c->ooo);
    list_init(&c->sent);
    c->t_rto = c->t_rack = c->t_tlp = c->t_delack = c->t_persist = c->t_keep = c->t_cork =
        c->t_life = c->armed_ns = NO_DEADLINE;
    c->rto_ns = INIT_RTO_NS;
    c->min_rtt_ns = INT64_MAX;
    c->rack_reo_mult = 1;
    c->max_retries = 15;
    c->orphan_retries = 8;
    c->syn_retries = 6;
    c->keepidle_s = 7200;
    c->keepintvl_s = 75;
    c->keepcnt = 9;
    c->fin_timeout_s = 60;
    c->mss_clamp = 65535;
    c->quick_acks = QUICK_ACKS;
    c->rcv_wnd_max = RCV_WND_INIT;
}

void tcb_done(struct tcb *c)
{
    tcb_drop_records(c);
    tcb_ooo_drop(c);
    bq_put(c->rx);
    bq_put(c->tx);
}

void tcb_set_state(struct tcb *c, enum sock_state s)
{
    c->state = s;
    c->events |= TCB_CHANGED;
    c->io->on_state(c);
}

void tcb_end(struct tcb *c, int err)
{
    if (c->state == SOCK_CLOSED)
        return;
    c->err = err;
    tcb_drop_records(c);
    tcb_ooo_drop(c);
    c->una = c->nxt;
    c->t_rto = c->t_rack = c->t_tlp = c->t_delack = c->t_persist = c->t_keep = c->t_cork =
        c->t_life = NO_DEADLINE;
    c->events |= TCB_CLOSED;
    tcb_set_state(c, SOCK_CLOSED);
}

static void start_numbers(struct tcb *c, u32 iss)
{
    c->iss = (1ULL << 32) + iss; /* nothing before it is ever below zero */
    c->una = c->iss;
    c->nxt = c->max_sent = c->iss + 1;
    c->snd_small = c->iss;
}

static void start_mtu(struct tcb *c, u32 mtu)
{
    c->path_mtu = mtu;
    c->adv_mss =
        MIN(mtu > c->hdr_overhead + TCP_MIN_MSS ? mtu - c->hdr_overhead : TCP_MIN_MSS, 65535U);
    if (c->mss_clamp < c->adv_mss)
        c->adv_mss = c->mss_clamp;
    c->rcv_mss = MIN(c->adv_mss, 536U);
}

void tcb_connect(struct tcb *c, u32 iss, u32 mtu, s64 now)
{
    start_numbers(c, iss);
    start_mtu(c, mtu);
    c->rcv_wscale = TCP_WSCALE;
    tcb_update_mss(c);
    tcb_set_state(c, SOCK_SYN_SENT);
    c->last_rx_ns = now;
    tcb_send_syn(c, now);
    if (c->state == SOCK_CLOSED)
        return;
    c->t_rto = now + c->rto_ns;
    tcb_rearm(c, now);
}

static void open_peer(struct tcb *c, u16 mss, s64 now)
{
    c->mss_clamp = MIN(c->mss_clamp, MAX(mss ? mss : 536U, TCP_MIN_MSS));
    tcb_update_mss(c);
    cc_init(c);
    c->last_rx_ns = c->last_data_rx_ns = c->drs_start_ns = now;
    c->drs_pos = c->rcv_nxt;
    c->rack_fack = c->una;
    c->nretries = 0;
    c->retries_since_ns = 0;
    c->backoff = 0;
    c->err = 0;
    if (c->is_keepalive)
        c->t_keep = now + (s64)c->keepidle_s * NSEC_PER_SEC;
}

void tcb_accept(struct tcb *c, const struct tcb_accept *a, s64 now)
{
    start_numbers(c, a->iss);
    start_mtu(c, a->mtu);
    c->una = c->iss + 1;
    c->irs = (1ULL << 32) + a->irs;
    c->rcv_nxt = c->irs + 1;
    c->rcv_adv = c->rcv_nxt + 65535;
    c->last_ack_sent = c->rcv_nxt;
    c->has_ts = a->has_ts;
    c->has_sack = a->has_sack;
    c->has_ecn = a->has_ecn;
    c->has_wscale = a->wscale >= 0;
    c->snd_wscale = c->has_wscale ? (u8)a->wscale : 0;
    c->rcv_wscale = c->has_wscale ? TCP_WSCALE : 0;
    c->ts_offset = a->ts_offset;
    c->ts_recent = a->ts_recent;
    c->ts_recent_ns = now;
    c->snd_wnd = c->max_wnd = (u64)a->win << c->snd_wscale;
    c->wl1 = c->rcv_nxt;
    c->wl2 = c->una;
    open_peer(c, a->mss, now);
    if (!c->has_wscale)
        c->rcv_wnd_max = MIN(c->rcv_wnd_max, 65535ULL);
    tcb_set_state(c, SOCK_ESTABLISHED);
    tcb_rearm(c, now);
}

/* ---- auto-tuning --------------------------------------------------------------------------- */

u64 tcb_tx_limit(const struct tcb *c)
{
    return MIN(MAX((u64)SND_BUF_MIN, 2 * c->cc.cwnd), (u64)SND_BUF_MAX);
}

static void grow_sndbuf(struct tcb *c)
{
    u64 want = tcb_tx_limit(c);
    if (c->is_sndbuf_fixed)
        return;
    mutex_lock(&c->tx->lock);
    if (c->tx->limit < want) {
        c->tx->limit = want;
        c->events |= TCB_WRITABLE; /* what a writer waits for has moved */
    }
    mutex_unlock(&c->tx->lock);
}

/* How long a window takes to come, by the peer's timestamps or by the window itself. */
static void measure_rcv_rtt(struct tcb *c, const struct tcp_rx *s, s64 now)
{
    if (!c->has_ts || !s->has_ts || !s->tsecr || s->len < c->rcv_mss)
        return;
    s64 rtt = (s64)(s32)(tcb_ts(c, now) - s->tsecr) * NSEC_PER_MSEC;
    rtt = MAX(rtt, NSEC_PER_MSEC / 2);
    if (rtt > 30 * NSEC_PER_SEC)
        return;
    if (!c->rcv_rtt_ns || rtt < c->rcv_rtt_ns)
        c->rcv_rtt_ns = rtt;
    else
        c->rcv_rtt_ns += (rtt - c->rcv_rtt_ns) / 8;
}

/* Dynamic right-sizing: twice what the reader took in a round trip should fit. */
static void right_size(struct tcb *c, s64 now)
{
    s64 rtt = c->rcv_rtt_ns ? c->rcv_rtt_ns : c->srtt_ns;
    if (c->is_rcvbuf_fixed || !c->has_wscale || !rtt || now - c->drs_start_ns < rtt)
        return;
    mutex_lock(&c->rx->lock);
    u64 taken = c->irs + 1 + c->rx->head;
    mutex_unlock(&c->rx->lock);
    u64 copied = taken > c->drs_pos ? taken - c->drs_pos : 0;
    u64 want = MIN(2 * copied + 16ULL * c->rcv_mss, (u64)TCP_WIN_MAX);
    if (want > c->rcv_wnd_max) {
        c->rcv_wnd_max = want;
        mutex_lock(&c->rx->lock);
        c->rx->limit = MAX(c->rx->limit, want);
        mutex_unlock(&c->rx->lock);
    }
    c->drs_pos = taken;
    c->drs_start_ns = now;
}

void tcb_rcvd(struct tcb *c, s64 now)
{
    if (c->state == SOCK_CLOSED || c->state == SOCK_SYN_SENT)
        return;
    right_size(c, now);
    u64 cur = c->rcv_adv > c->rcv_nxt ? c->rcv_adv - c->rcv_nxt : 0, space = tcb_rcv_space(c);
    if (cur * 2 <= c->rcv_wnd_max &&
        space >= MAX(2 * cur, MIN((u64)c->rcv_mss, c->rcv_wnd_max / 2)) && space > cur)
        tcb_send_ack(c, now);
    tcb_rearm(c, now);
}

/* ---- SYN_SENT ------------------------------------------------------------------------------ */

static void take_syn(struct tcb *c, const struct tcp_rx *s, s64 now)
{
    c->irs = (1ULL << 32) + s->seq;
    c->rcv_nxt = c->irs + 1;
    c->last_ack_sent = c->rcv_nxt;
    u64 win = MIN(c->rcv_wnd_max, 65535ULL); /* as the SYN said */
    c->rcv_adv = c->rcv_nxt + (c->window_clamp ? MIN(win, (u64)c->window_clamp) : win);
    c->has_ts = s->has_ts && !c->no_ts;
    c->has_sack = s->has_sack_ok && !c->no_sack;
    c->has_wscale = s->wscale >= 0 && !c->no_wscale;
    c->snd_wscale = c->has_wscale ? (u8)s->wscale : 0;
    c->rcv_wscale = c->has_wscale ? TCP_WSCALE : 0;
    if (!c->has_wscale)
        c->rcv_wnd_max = MIN(c->rcv_wnd_max, 65535ULL);
    if (c->has_ts) {
        c->ts_recent = s->tsval;
        c->ts_recent_ns = now;
    }
    c->snd_wnd = c->max_wnd = s->win; /* not scaled in a SYN */
    c->wl1 = c->irs;
    c->wl2 = c->una;
}

static void syn_sent(struct tcb *c, const struct tcp_rx *s, s64 now)
{
    bool has_ack = s->flags & TCPF_ACK;
    if (has_ack && tcb_unwrap(c->iss, s->ack) != c->iss + 1) {
        if (!(s->flags & TCPF_RST)) {
            struct tcp_tx t = {.seq = s->ack, .flags = TCPF_RST};
            (void)c->io->send(c, &t); /* the peer asks again */
        }
        return;
    }
    if (s->flags & TCPF_RST) {
        if (has_ack)
            tcb_end(c, LX_ECONNREFUSED);
        return;
    }
    if (!(s->flags & TCPF_SYN))
        return;
    if (has_ack && s->has_ts) {
        s64 rtt = (s64)(s32)(tcb_ts(c, now) - s->tsecr) * NSEC_PER_MSEC;
        if (!c->nretries)
            tcb_sample_rtt(c, now - c->last_tx_ns, now);
        else if (rtt >= 0)
            tcb_sample_rtt(c, rtt, now);
    } else if (has_ack && !c->nretries) {
        tcb_sample_rtt(c, now - c->last_tx_ns, now);
    }
    take_syn(c, s, now);
    if (!has_ack) { /* both ends open at once */
        open_peer(c, s->mss_opt, now);
        tcb_set_state(c, SOCK_SYN_RECV);
        tcb_send_syn(c, now);
        c->t_rto = now + c->rto_ns;
        tcb_rearm(c, now);
        return;
    }
    c->una = c->iss + 1;
    c->has_ecn = c->is_ecn_asked && (s->flags & (TCPF_ECE | TCPF_CWR)) == TCPF_ECE;
    c->t_rto = NO_DEADLINE;
    open_peer(c, s->mss_opt, now);
    tcb_set_state(c, SOCK_ESTABLISHED);
    c->events |= TCB_WRITABLE;
    tcb_send_ack(c, now);
    tcb_output(c, now);
    tcb_rearm(c, now);
}

/* ---- acceptable? --------------------------------------------------------------------------- */

static void challenge(struct tcb *c, s64 now)
{
    if (c->challenge_ns && now - c->challenge_ns < CHALLENGE_NS)
        return;
    c->challenge_ns = now;
    tcb_send_ack(c, now);
}

/* A segment that was here before: say so (RFC 2883), since our ACK may have been lost. */
static void old_segment(struct tcb *c, u64 seq, u64 end, s64 now)
{
    if (c->has_sack && seq < end && seq < c->rcv_nxt && c->dsack_start == c->dsack_end) {
        c->dsack_start = seq;
        c->dsack_end = MIN(end, c->rcv_nxt);
    }
    tcb_send_ack(c, now);
}

static bool is_acceptable(struct tcb *c, const struct tcp_rx *s, u64 seq, u64 end, s64 now)
{
    if (c->has_ts && s->has_ts && (s32)(s->tsval - c->ts_recent) < 0 &&
        now - c->ts_recent_ns < PAWS_AGE_NS && !(s->flags & TCPF_RST)) { /* RFC 7323 5.3 */
        /* A bare ACK that was overtaken is no news to anybody. */
        if (!(end == seq && seq == c->rcv_nxt))
            old_segment(c, seq, end, now);
        return false;
    }
    bool is_in = end >= c->last_ack_sent && seq <= MAX(c->rcv_adv, c->rcv_nxt);
    if (end > seq && (end <= c->rcv_nxt || seq >= c->rcv_adv)) {
        /* Data outside; a FIN or byte at a closed window is outside as well. */
        if (!(seq == c->rcv_nxt && end == seq))
            is_in = false;
    }
    if (is_in)
        return true;
    if (s->flags & TCPF_RST)
        return false;
    if (end == seq) /* a keepalive probe, or an ACK that was overtaken: no more than some */
        challenge(c, now);
    else
        old_segment(c, seq, end, now);
    return false;
}

static void got_rst(struct tcb *c, u64 seq, s64 now)
{
    if (seq != c->rcv_nxt) { /* RFC 5961 3.2 */
        challenge(c, now);
        return;
    }
    int err = c->state == SOCK_SYN_RECV     ? LX_ECONNREFUSED
              : c->state == SOCK_CLOSE_WAIT ? LX_EPIPE
                                            : LX_ECONNRESET;
    tcb_end(c, err);
}

/* ---- acknowledgements ---------------------------------------------------------------------- */

static void update_window(struct tcb *c, const struct tcp_rx *s, u64 seq, u64 ack)
{
    u64 win = (u64)s->win << c->snd_wscale;
    if (seq > c->wl1 || (seq == c->wl1 && (ack > c->wl2 || (ack == c->wl2 && win > c->snd_wnd)))) {
        c->snd_wnd = win;
        c->max_wnd = MAX(c->max_wnd, win);
        c->wl1 = seq;
        c->wl2 = ack;
        if (win && c->t_persist != NO_DEADLINE)
            c->nprobes = 0;
    }
}

static void take_ack(struct tcb *c, const struct tcp_rx *s, u64 ack, struct tcb_ackinfo *a, s64 now)
{
    u64 data_start = c->iss + 1, old = c->una;
    a->acked = ack - old;
    tcb_ack_records(c, ack, a, s->has_ts ? s->tsecr : 0, now);
    c->una = ack;
    u64 data_acked = MIN(ack, tcb_data_end(c)) - MAX(MIN(old, tcb_data_end(c)), data_start);
    if (data_acked) {
        c->bytes_acked += data_acked;
        if (bq_drop(c->tx, data_acked, c->tx->limit / 3 * 2))
            c->events |= TCB_WRITABLE;
    }
    if (c->is_fin_sent && ack > c->fin_pos)
        c->is_fin_acked = true;
    if (c->has_snd_up && c->snd_up <= ack)
        c->has_snd_up = false;
    c->backoff = 0;
    c->nretries = 0;
    c->retries_since_ns = 0;
    c->dupacks = 0;
    c->events |= TCB_PROGRESS;
    if (c->has_tlp && ack >= c->tlp_end) {
        if (c->is_tlp_retrans && !a->has_dsack &&
            c->ca == CA_OPEN) { /* the probe made good a loss */
            cc_on_loss(c, now);
            c->cc.cwnd = c->cc.ssthresh;
        }
        c->has_tlp = false;
    }
    tcb_restart_rto(c, now);
}

/* The peer tells of a mark: the window is reduced as for a loss, once a round trip (RFC
 * 3168 6.1.2). */
static void got_ece(struct tcb *c, u64 ack, s64 now)
{
    if (ack < c->ecn_high || c->ca != CA_OPEN)
        return;
    cc_on_loss(c, now);
    c->cc.cwnd = c->cc.ssthresh;
    c->ecn_high = c->nxt + 1;
    c->is_cwr_due = true;
}

/* A mark on what arrived, and the peer's word that it has reduced its window. */
static void take_marks(struct tcb *c, const struct tcp_rx *s)
{
    if (s->flags & TCPF_CWR)
        c->is_ece_due = false;
    if (s->is_ce) {
        c->is_ece_due = c->is_ce_seen = true;
        c->is_ack_due = true;
    }
}

/* False: the segment is to be dropped. */
static bool got_ack(struct tcb *c, const struct tcp_rx *s, u64 seq, u64 end, s64 now)
{
    u64 ack = tcb_unwrap(c->una, s->ack);
    struct tcb_ackinfo a = {.rtt_ns = -1};
    if (ack > c->nxt) { /* of what was never sent */
        if (c->state == SOCK_SYN_RECV)
            tcb_send_rst(c, ack, now);
        else
            challenge(c, now);
        return false;
    }
    if (ack + MAX(c->max_wnd, 65535ULL) < c->una) { /* RFC 5961 5.2 */
        challenge(c, now);
        return false;
    }
    if (c->state == SOCK_SYN_RECV) {
        if (ack != c->iss + 1)
            return false;
        c->una = ack;
        c->t_rto = NO_DEADLINE;
        c->backoff = 0;
        c->snd_wnd = c->max_wnd = (u64)s->win << c->snd_wscale;
        c->wl1 = seq;
        c->wl2 = ack;
        tcb_set_state(c, SOCK_ESTABLISHED);
        c->events |= TCB_WRITABLE;
        if (c->is_fin_queued)
            tcb_set_state(c, SOCK_FIN_WAIT1);
    }
    if (ack < c->una)
        return true;
    bool is_dup = ack == c->una && end == seq && c->nxt > c->una &&
                  (u64)s->win << c->snd_wscale == c->snd_wnd;
    if (s->nsacks && c->has_sack)
        tcb_sack_records(c, s, ack, &a, now);
    update_window(c, s, seq, ack);
    if (ack > c->una) {
        take_ack(c, s, ack, &a, now);
        is_dup = false;
    }
    c->dupacks += is_dup;
    if (a.rtt_ns >= 0)
        tcb_sample_rtt(c, a.rtt_ns, now);
    else if (a.acked && c->has_ts && s->has_ts && s->tsecr && a.is_retrans_acked) {
        s64 rtt = (s64)(s32)(tcb_ts(c, now) - s->tsecr) * NSEC_PER_MSEC;
        if (rtt >= 0 && rtt < 120 * NSEC_PER_SEC)
            tcb_sample_rtt(c, rtt, now);
    }
    c->delivered += (u32)((a.delivered + c->mss - 1) / c->mss);
    if (a.delivered || is_dup || a.has_dsack || c->ca != CA_OPEN)
        tcb_find_losses(c, &a, is_dup || a.is_new_sack, now);
    if (s->flags & TCPF_ECE && c->has_ecn)
        got_ece(c, ack, now);
    if (a.delivered && c->ca != CA_RECOVERY) {
        cc_on_ack(c, a.acked, a.rtt_ns, now);
        if (a.acked)
            c->is_cwnd_limited = tcb_pipe(c) + c->mss > c->cc.cwnd ||
                                 (c->cc.cwnd < c->cc.ssthresh && tcb_pipe(c) * 2 > c->cc.cwnd);
    }
    if (a.acked)
        grow_sndbuf(c);
    if (a.delivered)
        c->t_tlp = NO_DEADLINE;
    return true;
}

static void time_wait(struct tcb *c)
{
    c->t_rto = c->t_rack = c->t_tlp = c->t_persist = c->t_keep = c->t_cork = c->t_life =
        NO_DEADLINE;
    c->events |= TCB_CLOSED;
    tcb_set_state(c, SOCK_TIME_WAIT);
}

/* What the acknowledgement of our FIN means. False: the connection is over. */
static bool fin_acked(struct tcb *c, s64 now)
{
    switch (c->state) {
    case SOCK_FIN_WAIT1:
        tcb_set_state(c, SOCK_FIN_WAIT2);
        c->t_keep = NO_DEADLINE;
        if (c->is_orphan)
            c->t_life = now + (s64)c->fin_timeout_s * NSEC_PER_SEC;
        return true;
    case SOCK_CLOSING:
        time_wait(c);
        return false;
    case SOCK_LAST_ACK:
        tcb_end(c, 0);
        return false;
    default:
        return true;
    }
}

/* ---- data ---------------------------------------------------------------------------------- */

static void got_urgent(struct tcb *c, const struct tcp_rx *s, u64 seq)
{
    u64 at = seq + s->urg; /* the position after the urgent byte, as Linux has it */
    if (!s->urg || at <= c->rcv_nxt || (c->has_rcv_up && at <= c->rcv_up))
        return;
    c->has_rcv_up = true;
    c->rcv_up = at;
    c->events |= TCB_URGENT;
}

/* Has the urgent byte come in order? Marks it in the queue. */
static void mark_urgent(struct tcb *c, u64 seq, const u8 *data, u32 len)
{
    if (!c->has_rcv_up || c->rcv_up <= seq || c->rcv_up > seq + len)
        return;
    mutex_lock(&c->rx->lock);
    c->rx->oob = BQ_OOB_UNREAD;
    c->rx->oob_pos = c->rcv_up - 1 - (c->irs + 1);
    c->rx->oob_byte = data[c->rcv_up - 1 - seq];
    mutex_unlock(&c->rx->lock);
    c->has_rcv_up = false;
    c->events |= TCB_URGENT;
}

static void in_order(struct tcb *c, const u8 *data, u32 len)
{
    u64 seq = c->rcv_nxt, n = bq_append(c->rx, data, len);
    mark_urgent(c, seq, data, (u32)n);
    c->rcv_nxt += n;
    c->bytes_received += n;
    if (!list_empty(&c->ooo) && n == len)
        tcb_ooo_drain(c);
    if (n)
        c->events |= TCB_READABLE;
}

/* [seq, seq + len) overlaps the window. */
static void got_data(struct tcb *c, const struct tcp_rx *s, u64 seq, s64 now)
{
    const u8 *data = s->data;
    u64 end = seq + s->len;
    u32 len = s->len;
    c->data_segs_in++;
    c->last_data_rx_ns = now;
    c->rcv_mss = MAX(c->rcv_mss, MIN(s->piece, c->adv_mss));
    measure_rcv_rtt(c, s, now);
    if (seq < c->rcv_nxt) {
        if (c->has_sack) {
            c->dsack_start = seq;
            c->dsack_end = c->rcv_nxt;
        }
        data += c->rcv_nxt - seq;
        len -= (u32)(c->rcv_nxt - seq);
        seq = c->rcv_nxt;
        c->is_ack_due = true;
    }
    if (end > c->rcv_adv) {
        len -= (u32)(end - c->rcv_adv);
        end = c->rcv_adv;
    }
    if (seq > c->rcv_nxt) {
        c->nooo++;
        tcb_ooo_add(c, seq, data, len);
        c->is_ack_due = true; /* at once, so that the sender sees the hole */
        return;
    }
    bool had_ooo = !list_empty(&c->ooo);
    in_order(c, data, len);
    u32 piece = MAX(s->piece, 1U);
    c->unacked_segs += piece >= c->rcv_mss || s->len > piece ? (s->len + piece - 1) / piece : 0;
    if (c->quick_acks && piece >= c->rcv_mss) {
        c->quick_acks--;
        c->is_ack_due = true;
    }
    if (had_ooo || c->unacked_segs >= 2)
        c->is_ack_due = true;
    if (!c->is_ack_due && c->t_delack == NO_DEADLINE)
        c->t_delack = now + DELACK_NS;
}

static void got_fin(struct tcb *c, s64 now)
{
    c->rcv_nxt++;
    c->rcv_adv = MAX(c->rcv_adv, c->rcv_nxt);
    c->is_ack_due = true;
    c->events |= TCB_READABLE;
    switch (c->state) {
    case SOCK_ESTABLISHED:
        tcb_set_state(c, SOCK_CLOSE_WAIT);
        break;
    case SOCK_FIN_WAIT1:
        tcb_set_state(c, SOCK_CLOSING);
        break;
    case SOCK_FIN_WAIT2:
        tcb_send_ack(c, now);
        time_wait(c);
        break;
    default:
        break;
    }
}

/* ---- the rest of the states ---------------------------------------------------------------- */

static void general(struct tcb *c, const struct tcp_rx *s, s64 now)
{
    u64 seq = tcb_unwrap(c->rcv_nxt, s->seq);
    u64 end = seq + s->len + !!(s->flags & TCPF_SYN) + !!(s->flags & TCPF_FIN);
    if (c->state == SOCK_SYN_RECV && s->flags & TCPF_SYN && seq == c->irs &&
        !(s->flags & TCPF_RST)) {
        /* Both open at once: the peer's SYN again, or its answer to ours. */
        if (!(s->flags & TCPF_ACK))
            tcb_send_syn(c, now);
        else if (got_ack(c, s, seq, end, now) && c->state == SOCK_ESTABLISHED)
            tcb_send_ack(c, now);
        tcb_rearm(c, now);
        return;
    }
    if (!is_acceptable(c, s, seq, end, now))
        return;
    if (s->flags & TCPF_RST) {
        got_rst(c, seq, now);
        return;
    }
    if (s->flags & TCPF_SYN) {
        challenge(c, now);
        return;
    }
    if (!(s->flags & TCPF_ACK))
        return;
    if (s->has_ts && c->has_ts && seq <= c->last_ack_sent) { /* RFC 7323 4.3 */
        c->ts_recent = s->tsval;
        c->ts_recent_ns = now;
    }
    c->last_rx_ns = now;
    c->nkeep = 0;
    if (c->has_ecn && s->len)
        take_marks(c, s);
    if (!got_ack(c, s, seq, end, now))
        return;
    if (c->is_fin_acked && !fin_acked(c, now))
        return;
    bool is_reading =
        c->state == SOCK_ESTABLISHED || c->state == SOCK_FIN_WAIT1 || c->state == SOCK_FIN_WAIT2;
    if (is_reading) {
        if (c->is_orphan && s->len && seq + s->len > c->rcv_nxt) { /* nobody will read it */
            tcb_send_rst(c, c->nxt, now);
            tcb_end(c, 0);
            return;
        }
        if (s->flags & TCPF_URG)
            got_urgent(c, s, seq);
        if (s->len && seq + s->len > c->rcv_nxt && seq < c->rcv_adv)
            got_data(c, s, seq, now);
        u64 fin = seq + s->len;
        if (s->flags & TCPF_FIN && fin <= c->rcv_adv && !c->has_fin) {
            c->has_fin = true;
            c->fin_rcv_pos = fin;
            c->is_ack_due |= fin > c->rcv_nxt;
        }
        if (c->has_fin && c->rcv_nxt == c->fin_rcv_pos)
            got_fin(c, now);
        if (c->state == SOCK_TIME_WAIT)
            return;
    }
    tcb_output(c, now);
    if (c->is_ack_due && c->state != SOCK_CLOSED)
        tcb_send_ack(c, now);
    if (c->state != SOCK_CLOSED)
        tcb_rearm(c, now);
}

void tcb_input(struct tcb *c, const struct tcp_rx *s, s64 now)
{
    c->segs_in++;
    if (c->state == SOCK_SYN_SENT)
        syn_sent(c, s, now);
    else if (c->state != SOCK_CLOSED && c->state != SOCK_TIME_WAIT)
        general(c, s, now);
}

/* ---- the user's side ----------------------------------------------------------------------- */

void tcb_shutdown(struct tcb *c, s64 now)
{
    if (c->is_fin_queued)
        return;
    switch (c->state) {
    case SOCK_SYN_RECV:
        c->is_fin_queued = true;
        return;
    case SOCK_ESTABLISHED:
        c->is_fin_queued = true;
        tcb_set_state(c, SOCK_FIN_WAIT1);
        break;
    case SOCK_CLOSE_WAIT:
        c->is_fin_queued = true;
        tcb_set_state(c, SOCK_LAST_ACK);
        break;
    default:
        return;
    }
    tcb_push(c, false, now);
}

void tcb_abort(struct tcb *c, int err, s64 now)
{
    if (c->state != SOCK_CLOSED && c->state != SOCK_SYN_SENT && c->state != SOCK_TIME_WAIT)
        tcb_send_rst(c, c->nxt, now);
    tcb_end(c, err);
}

void tcb_close(struct tcb *c, bool has_unread, s64 now)
{
    c->is_orphan = true;
    if (c->state == SOCK_SYN_SENT) {
        tcb_end(c, 0);
        return;
    }
    if (has_unread) { /* RFC 2525 2.17 */
        tcb_abort(c, 0, now);
        return;
    }
    tcb_shutdown(c, now);
    if (c->state == SOCK_FIN_WAIT2) {
        c->t_life = now + (s64)c->fin_timeout_s * NSEC_PER_SEC;
        tcb_rearm(c, now);
    }
}

void tcb_opts_changed(struct tcb *c, s64 now)
{
    if (c->state == SOCK_CLOSED || c->state == SOCK_SYN_SENT || c->state == SOCK_TIME_WAIT)
        return;
    c->t_keep = c->is_keepalive
                    ? MAX(now + NSEC_PER_MSEC, c->last_rx_ns + (s64)c->keepidle_s * NSEC_PER_SEC)
                    : NO_DEADLINE;
    tcb_push(c, false, now);
}

void tcb_set_mtu(struct tcb *c, u32 mtu, s64 now)
{
    struct tcp_sent *r;
    if (mtu >= c->path_mtu || c->state == SOCK_CLOSED || c->state == SOCK_SYN_SENT)
        return;
    c->path_mtu = mtu;
    tcb_update_mss(c);
    /* What was too large is lost; that says nothing about congestion. */
    list_for_each (r, &c->sent, node) {
        if (!r->is_sacked && !r->is_lost) {
            r->is_lost = true;
            c->lost += r->end - r->start;
        }
    }
    tcb_push(c, false, now);
}

void tcb_soft_error(struct tcb *c, int err, bool is_hard, s64 now)
{
    (void)now;
    if (c->state == SOCK_SYN_SENT || c->state == SOCK_SYN_RECV)
        tcb_end(c, err);
    else if (c->state != SOCK_CLOSED && !is_hard)
        c->err = err; /* what a timeout reports in the end */
}
