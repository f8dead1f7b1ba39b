/*
 * TCP output: segments with data, acknowledgements, retransmission, probes, and the timers that
 * cause them.
 */
#include "net/stack/tcb.h"
#include "net/stack/wirefmt.h"

#define MAX_RTO_NS (120 * NSEC_PER_SEC)
#define CORK_NS    (200 * NSEC_PER_MSEC)
#define RETRY_NS   (1 * NSEC_PER_MSEC) /* the link took nothing */
#define MAX_URG    65535U

static s64 backed_off(const struct tcb *c, u32 n)
{
    s64 t = c->rto_ns << MIN(n, 12U);
    return MIN(t, MAX_RTO_NS);
}

/* ---- options, windows ---------------------------------------------------------------------- */

u32 tcp_put_syn_opts(u8 *o, u16 mss, s32 wscale, bool has_sack, bool has_ts, u32 tsval, u32 tsecr)
{
    u32 n = 4;
    o[0] = 2;
    o[1] = 4;
    wr16(o + 2, mss);
    if (has_ts) {
        o[n] = has_sack ? 4 : 1;
        o[n + 1] = has_sack ? 2 : 1;
        o[n + 2] = 8;
        o[n + 3] = 10;
        wr32(o + n + 4, tsval);
        wr32(o + n + 8, tsecr);
        n += 12;
    } else if (has_sack) {
        o[n] = o[n + 1] = 1;
        o[n + 2] = 4;
        o[n + 3] = 2;
        n += 4;
    }
    if (wscale >= 0) {
        o[n] = 1;
        o[n + 1] = 3;
        o[n + 2] = 3;
        o[n + 3] = (u8)wscale;
        n += 4;
    }
    return n;
}

void tcb_update_mss(struct tcb *c)
{
    u32 room =
        c->path_mtu > c->hdr_overhead + TCP_MIN_MSS ? c->path_mtu - c->hdr_overhead : TCP_MIN_MSS;
    room = MIN(room, c->mss_clamp);
    c->mss =
        room > (c->has_ts ? 12U : 0U) + TCP_MIN_MSS ? room - (c->has_ts ? 12U : 0U) : TCP_MIN_MSS;
}

/* Bytes that may still come beyond rcv_nxt. */
u64 tcb_rcv_space(const struct tcb *c)
{
    mutex_lock(&c->rx->lock);
    u64 used = bq_used(c->rx);
    mutex_unlock(&c->rx->lock);
    used += c->ooo_bytes;
    return used < c->rcv_wnd_max ? c->rcv_wnd_max - used : 0;
}

/* Decides the window to announce and moves rcv_adv; what was announced stays acceptable. */
static u16 pick_window(struct tcb *c)
{
    u64 cur = c->rcv_adv > c->rcv_nxt ? c->rcv_adv - c->rcv_nxt : 0, space = tcb_rcv_space(c);
    u64 step = MIN((u64)c->rcv_mss, c->rcv_wnd_max / 2), unit = 1ULL << c->rcv_wscale;
    if (c->window_clamp) {
        space = MIN(space, (u64)c->window_clamp);
        step = MIN(step, (u64)c->window_clamp / 2);
    }
    if (space < cur + step) /* RFC 9293 3.8.6.2.2: no small steps */
        space = cur;
    u64 win = MAX(space, cur) / unit; /* rounded up, it would creep beyond what there is room for */
    win = MIN(win, 65535ULL);
    c->rcv_adv = MAX(c->rcv_adv, c->rcv_nxt + win * unit);
    return (u16)win;
}

static void fill(struct tcb *c, struct tcp_tx *t, u64 seq, u8 flags, s64 now)
{
    t->seq = (u32)seq;
    t->flags = flags;
    t->ack = flags & TCPF_ACK ? (u32)c->rcv_nxt : 0;
    t->win = pick_window(c);
    t->urg = 0;
    t->optlen = t->ndata = t->len = 0;
    t->gso_size = 0;
    t->is_ect = false;
    if (c->is_ece_due && (flags & (TCPF_ACK | TCPF_RST)) == TCPF_ACK)
        t->flags |= TCPF_ECE;
    if (c->has_ts) {
        u8 *o = t->opts;
        o[0] = o[1] = 1;
        o[2] = 8;
        o[3] = 10;
        wr32(o + 4, tcb_ts(c, now));
        wr32(o + 8, c->ts_recent);
        t->optlen = 12;
    }
}

static void acked_now(struct tcb *c)
{
    c->last_ack_sent = c->rcv_nxt;
    c->unacked_segs = 0;
    c->is_ack_due = false;
    c->t_delack = NO_DEADLINE;
    c->dsack_start = c->dsack_end = 0;
}

static int emit(struct tcb *c, const struct tcp_tx *t, s64 now)
{
    int r = c->io->send(c, t);
    if (r == -LX_EAGAIN)
        return r;
    c->last_tx_ns = now;
    c->segs_out++;
    if (t->flags & TCPF_ACK)
        acked_now(c);
    return r;
}

void tcb_send_ack(struct tcb *c, s64 now)
{
    struct tcp_tx t;
    fill(c, &t, c->nxt, TCPF_ACK, now);
    if (c->has_sack)
        t.optlen += tcb_put_sacks(c, t.opts + t.optlen, TCP_OPT_MAX - t.optlen);
    if (emit(c, &t, now) == -LX_EAGAIN)
        c->t_delack = now + RETRY_NS;
}

void tcb_send_rst(struct tcb *c, u64 seq, s64 now)
{
    struct tcp_tx t;
    fill(c, &t, seq, TCPF_RST | TCPF_ACK, now);
    t.win = 0;
    (void)emit(c, &t, now); /* the peer learns it from its next segment otherwise */
}

void tcb_send_syn(struct tcb *c, s64 now)
{
    struct tcp_tx t;
    bool is_answer = c->state == SOCK_SYN_RECV;
    c->is_ecn_asked &= !is_answer && !c->nretries; /* RFC 3168 6.1.1.1: some drop such SYNs */
    fill(c, &t, c->iss, is_answer ? TCPF_SYN | TCPF_ACK : TCPF_SYN, now);
    if (c->is_ecn_asked)
        t.flags |= TCPF_ECE | TCPF_CWR;
    t.optlen = tcp_put_syn_opts(
        t.opts, (u16)c->adv_mss, (is_answer ? c->has_wscale : !c->no_wscale) ? TCP_WSCALE : -1,
        is_answer ? c->has_sack : !c->no_sack, is_answer ? c->has_ts : !c->no_ts, tcb_ts(c, now),
        is_answer ? c->ts_recent : 0);
    u64 win = MIN(c->rcv_wnd_max, 65535ULL); /* never scaled in a SYN */
    if (c->window_clamp)
        win = MIN(win, (u64)c->window_clamp);
    t.win = (u16)win;
    c->rcv_adv = is_answer ? MAX(c->rcv_adv, c->rcv_nxt + win) : 0;
    (void)emit(c, &t, now); /* sent again by the timer */
}

/* A segment below the window: the peer answers with where it stands. */
static void send_probe(struct tcb *c, s64 now)
{
    struct tcp_tx t;
    fill(c, &t, c->una - 1, TCPF_ACK, now);
    (void)emit(c, &t, now); /* sent again by the timer */
}

/* ---- data ---------------------------------------------------------------------------------- */

/* Sends [start, end), a FIN at fin_pos included. Returns the position reached, or 0: the link is
 * full. */
static u64 send_range(struct tcb *c, u64 start, u64 end, s64 now)
{
    struct tcp_tx t;
    u64 data_end = tcb_data_end(c), stop = MIN(end, data_end);
    u32 want = stop > start ? (u32)(stop - start) : 0;
    fill(c, &t, start, TCPF_ACK, now);
    if (want) {
        t.len = (u32)bq_peek(c->tx, start - (c->iss + 1), want, t.data, TCP_IOV, &t.ndata);
        if (t.len < want && t.len > c->mss)
            t.len -= t.len % c->mss; /* the gather list is full: whole segments */
        u32 sum = 0;
        for (u32 i = 0; i < t.ndata; i++) {
            u32 n = MIN((u32)t.data[i].iov_len, t.len - sum);
            t.data[i].iov_len = n;
            sum += n;
            if (sum == t.len)
                t.ndata = i + 1;
        }
    }
    u64 reached = start + t.len;
    if (c->is_fin_queued && reached == data_end && end > data_end) {
        t.flags |= TCPF_FIN;
        reached++;
    }
    if (t.len && reached >= data_end)
        t.flags |= TCPF_PSH;
    if (c->has_snd_up && c->snd_up > start && c->snd_up - start <= MAX_URG) {
        t.flags |= TCPF_URG;
        t.urg = (u16)(c->snd_up - start);
    }
    if (t.len > c->mss)
        t.gso_size = (u16)c->mss;
    bool is_new = start >= c->nxt;
    t.is_ect = c->has_ecn && t.len && is_new; /* what is sent again is not marked */
    if (c->is_cwr_due && t.is_ect)
        t.flags |= TCPF_CWR;
    int r = emit(c, &t, now);
    if (r == -LX_EAGAIN)
        return 0;
    if (t.flags & TCPF_CWR)
        c->is_cwr_due = false;
    if (r == -LX_EMSGSIZE)
        c->t_rack =
            now + RETRY_NS; /* the path has shrunk; tcb_set_mtu has been or will be called */
    c->bytes_sent += t.len;
    c->data_segs_out += t.len ? (t.len + c->mss - 1) / c->mss : 0;
    c->last_data_tx_ns = now;
    return reached;
}

void tcb_retransmit(struct tcb *c, struct tcp_sent *r, s64 now)
{
    u64 len = r->end - r->start, max = MAX(c->gso_max / c->mss * c->mss, c->mss);
    if (len > max && !tcb_split(c, r, r->start + max))
        return;
    u64 reached = send_range(c, r->start, r->end, now);
    if (!reached) {
        c->t_cork = now + RETRY_NS;
        return;
    }
    if (reached < r->end)
        (void)tcb_split(
            c, r, reached); /* without memory the rest counts as sent and is found lost again */
    len = r->end - r->start;
    r->xmit_ns = now;
    r->was_retrans = true;
    if (r->is_lost && !r->is_retrans) {
        r->is_retrans = true;
        c->retrans += len;
    }
    c->undo_retrans += len;
    c->prr_out += len;
    c->bytes_retrans += len;
    c->total_retrans += (u32)((len + c->mss - 1) / c->mss);
}

static bool has_unsent(const struct tcb *c)
{
    return !c->is_fin_sent && (tcb_data_end(c) > c->nxt || c->is_fin_queued);
}

/* May a segment of less than mss, the last there is, go now? */
static bool may_send_small(struct tcb *c, bool is_more)
{
    if (c->is_fin_queued)
        return true;
    if (is_more || c->is_cork)
        return false;
    return c->is_nodelay || c->nxt == c->una || c->snd_small <= c->una; /* Nagle, Minshall's form */
}

/* How much new data may go; 0: nothing. */
static u64 new_data(struct tcb *c, u64 room, bool is_more)
{
    u64 unsent = tcb_data_end(c) - c->nxt, edge = c->una + c->snd_wnd;
    u64 win = edge > c->nxt ? edge - c->nxt : 0;
    u64 len = min3(unsent, win, c->gso_max), cw = MAX(room / c->mss, 1ULL) * c->mss;
    len = MIN(len, cw);
    if (len <
        unsent) { /* cut by a limit: whole segments, but for a window that is small by nature */
        if (len >= c->mss)
            return len - len % c->mss;
        return len && (len >= c->max_wnd / 2 || c->nxt == c->una) && len == win ? len : 0;
    }
    if (len % c->mss && !may_send_small(c, is_more))
        len -= len % c->mss;
    return len;
}

/* After an answerless while the window is measured anew. */
static void check_idle(struct tcb *c, s64 now)
{
    if (!c->no_idle_restart && c->nxt == c->una && c->last_data_tx_ns &&
        now - c->last_data_tx_ns > c->rto_ns)
        cc_after_idle(c);
}

static bool is_sending_state(enum sock_state s)
{
    return s == SOCK_ESTABLISHED || s == SOCK_CLOSE_WAIT || s == SOCK_FIN_WAIT1 ||
           s == SOCK_CLOSING || s == SOCK_LAST_ACK;
}

static void output(struct tcb *c, bool is_more, s64 now)
{
    if (!is_sending_state(c->state))
        return;
    check_idle(c, now);
    bool is_any = false;
    for (u32 budget = 0; budget < 256; budget++) {
        u64 pipe = tcb_pipe(c), room = c->cc.cwnd > pipe ? c->cc.cwnd - pipe : 0;
        struct tcp_sent *r = tcb_next_lost(c);
        if (room < c->mss && pipe) {
            c->is_cwnd_limited |= r || has_unsent(c);
            break;
        }
        if (r) {
            u64 max = MAX(room / c->mss, 1ULL) * c->mss;
            if (r->end - r->start > max && !tcb_split(c, r, r->start + max))
                break;
            u64 before = c->retrans;
            tcb_retransmit(c, r, now);
            if (c->retrans == before)
                break;
            is_any = true;
            continue;
        }
        if (!has_unsent(c) || c->nsent >= TCB_MAX_RECORDS)
            break;
        u64 len = new_data(c, room, is_more);
        bool is_fin = c->is_fin_queued && c->nxt + len == tcb_data_end(c);
        if (!len && !is_fin)
            break;
        u64 start = c->nxt, reached = send_range(c, start, start + len + is_fin, now);
        if (!reached) {
            c->t_cork = now + RETRY_NS;
            break;
        }
        c->nxt = c->max_sent = reached;
        if (is_fin && reached == start + len + 1) {
            c->is_fin_sent = true;
            c->fin_pos = reached - 1;
        }
        if ((reached - start) % c->mss)
            c->snd_small = reached;
        tcb_record(c, start, reached, now);
        if (c->state == SOCK_CLOSED)
            return;
        if (c->ca == CA_RECOVERY)
            c->prr_out += reached - start;
        if (c->t_rto == NO_DEADLINE)
            tcb_restart_rto(c, now);
        is_any = true;
    }
    if (is_any && c->has_sack && c->srtt_ns && c->ca == CA_OPEN && !c->has_tlp && c->nxt > c->una) {
        s64 pto =
            2 * c->srtt_ns + (c->nxt - c->una <= c->mss ? 200 * NSEC_PER_MSEC : 2 * NSEC_PER_MSEC);
        c->t_tlp = MIN(now + pto, c->t_rto);
    }
    /* Data waits and nothing is on its way: the window is closed. */
    if (has_unsent(c) && c->nxt == c->una && tcb_data_end(c) > c->nxt &&
        c->una + c->snd_wnd <= c->nxt) {
        if (c->t_persist == NO_DEADLINE)
            c->t_persist = now + backed_off(c, c->nprobes);
    } else if (c->nxt > c->una || !has_unsent(c)) {
        c->t_persist = NO_DEADLINE;
    } else if (tcb_data_end(c) > c->nxt && c->t_persist == NO_DEADLINE && !c->is_cork && !is_more) {
        c->t_persist = now + c->rto_ns; /* a small window: its silly piece goes after a while */
    }
    if (has_unsent(c) && (c->is_cork || is_more) && c->t_cork == NO_DEADLINE)
        c->t_cork = now + CORK_NS;
}

void tcb_output(struct tcb *c, s64 now)
{
    output(c, false, now);
}

void tcb_push(struct tcb *c, bool is_more, s64 now)
{
    output(c, is_more, now);
    tcb_rearm(c, now);
}

void tcb_urgent(struct tcb *c, s64 now)
{
    c->has_snd_up = true;
    c->snd_up = tcb_data_end(c);
    tcb_push(c, false, now);
}

/* ---- timers -------------------------------------------------------------------------------- */

void tcb_restart_rto(struct tcb *c, s64 now)
{
    if (c->una == c->nxt) {
        c->t_rto = c->t_tlp = NO_DEADLINE;
        return;
    }
    c->t_rto = now + backed_off(c, c->backoff);
}

void tcb_rearm(struct tcb *c, s64 now)
{
    (void)now;
    const s64 all[] = {c->t_rto,     c->t_rack, c->t_tlp,  c->t_delack,
                       c->t_persist, c->t_keep, c->t_cork, c->t_life};
    s64 t = NO_DEADLINE;
    for (size_t i = 0; i < ARRAY_SIZE(all); i++)
        t = MIN(t, all[i]);
    if (t < c->armed_ns) {
        c->armed_ns = t;
        c->io->arm(c, t);
    }
}

/* Has it gone on for too long without an answer? Ends the connection then. */
static bool has_given_up(struct tcb *c, u32 tries, s64 now)
{
    u32 max = c->is_orphan ? MIN(c->orphan_retries, c->max_retries) : c->max_retries;
    bool is_over = tries > max;
    if (!c->retries_since_ns)
        c->retries_since_ns = now;
    if (c->user_timeout_ms)
        is_over = now - c->retries_since_ns >= (s64)c->user_timeout_ms * NSEC_PER_MSEC;
    if (is_over)
        tcb_end(c, c->err ? c->err : LX_ETIMEDOUT);
    return is_over;
}

static void syn_timer(struct tcb *c, s64 now)
{
    if (!c->retries_since_ns)
        c->retries_since_ns = now - c->rto_ns;
    if (c->user_timeout_ms ? now - c->retries_since_ns >= (s64)c->user_timeout_ms * NSEC_PER_MSEC
                           : c->nretries >= c->syn_retries) {
        tcb_end(c, c->err ? c->err : LX_ETIMEDOUT);
        return;
    }
    c->nretries++;
    c->total_retrans++;
    c->backoff++;
    tcb_send_syn(c, now);
    c->t_rto = now + backed_off(c, c->backoff);
}

static void rto_timer(struct tcb *c, s64 now)
{
    c->t_rto = NO_DEADLINE;
    if (c->state == SOCK_SYN_SENT || c->state == SOCK_SYN_RECV) {
        syn_timer(c, now);
        return;
    }
    if (c->una == c->nxt || has_given_up(c, ++c->nretries, now))
        return;
    if (c->ca != CA_LOSS) {
        c->undo_cwnd = c->cc.cwnd;
        c->undo_ssthresh = c->cc.ssthresh;
        c->undo_retrans = 0;
        c->can_undo = true;
        cc_on_timeout(c, now);
    } else {
        c->cc.cwnd = c->mss;
    }
    c->ca = CA_LOSS;
    c->high_seq = c->nxt;
    c->has_tlp = false;
    c->t_tlp = c->t_rack = NO_DEADLINE;
    c->dupacks = 0;
    tcb_all_lost(c);
    c->backoff++;
    output(c, false, now);
    tcb_restart_rto(c, now);
}

static void tlp_timer(struct tcb *c, s64 now)
{
    c->t_tlp = NO_DEADLINE;
    if (c->una == c->nxt || c->ca != CA_OPEN || c->has_tlp)
        return;
    u64 unsent = tcb_data_end(c) - MIN(c->nxt, tcb_data_end(c)), edge = c->una + c->snd_wnd;
    c->is_tlp_retrans = true;
    if (!c->is_fin_sent && unsent && edge > c->nxt) {
        u64 len = min3(unsent, edge - c->nxt, c->mss), start = c->nxt;
        u64 reached = send_range(c, start, start + len, now);
        if (reached) {
            c->nxt = c->max_sent = reached;
            tcb_record(c, start, reached, now);
            c->is_tlp_retrans = false;
        }
    } else {
        struct tcp_sent *r = list_last(&c->sent, struct tcp_sent, node);
        if (r && !r->is_sacked) {
            if (r->end - r->start > c->mss) {
                struct tcp_sent *b = tcb_split(c, r, r->end - c->mss);
                r = b ? b : r;
            }
            tcb_retransmit(c, r, now);
        }
    }
    if (c->state == SOCK_CLOSED)
        return;
    c->has_tlp = true;
    c->tlp_end = c->nxt;
    tcb_restart_rto(c, now);
}

static void persist_timer(struct tcb *c, s64 now)
{
    c->t_persist = NO_DEADLINE;
    if (c->nxt > c->una || !has_unsent(c))
        return;
    if (c->una + c->snd_wnd > c->nxt) { /* a piece smaller than we would like */
        u64 len = min3(tcb_data_end(c) - c->nxt, c->una + c->snd_wnd - c->nxt, c->mss),
            start = c->nxt;
        u64 reached = len ? send_range(c, start, start + len, now) : 0;
        if (reached) {
            c->nxt = c->max_sent = reached;
            tcb_record(c, start, reached, now);
            tcb_restart_rto(c, now);
        }
        return;
    }
    c->nprobes++;
    bool is_limited = c->is_orphan || c->user_timeout_ms;
    if (is_limited && has_given_up(c, c->nprobes, now))
        return;
    send_probe(c, now);
    c->t_persist = now + backed_off(c, c->nprobes);
}

static void keep_timer(struct tcb *c, s64 now)
{
    c->t_keep = NO_DEADLINE;
    if (!c->is_keepalive || (!is_sending_state(c->state) && c->state != SOCK_FIN_WAIT2))
        return;
    s64 idle = now - c->last_rx_ns, due = (s64)c->keepidle_s * NSEC_PER_SEC;
    if (c->nxt > c->una || idle < due) {
        c->t_keep = MAX(c->last_rx_ns + due, now + NSEC_PER_MSEC);
        if (c->nxt > c->una)
            c->t_keep = now + due;
        return;
    }
    bool is_over = c->user_timeout_ms ? idle >= (s64)c->user_timeout_ms * NSEC_PER_MSEC && c->nkeep
                                      : c->nkeep >= c->keepcnt;
    if (is_over) {
        tcb_send_rst(c, c->nxt, now);
        tcb_end(c, LX_ETIMEDOUT);
        return;
    }
    c->nkeep++;
    send_probe(c, now);
    c->t_keep = now + (s64)c->keepintvl_s * NSEC_PER_SEC;
}

void tcb_timer(struct tcb *c, s64 now)
{
    c->armed_ns = NO_DEADLINE;
    if (c->t_delack <= now) {
        c->t_delack = NO_DEADLINE;
        tcb_send_ack(c, now);
    }
    if (c->t_rack <= now) {
        c->t_rack = NO_DEADLINE;
        tcb_rack_timer(c, now);
        output(c, false, now);
    }
    if (c->t_tlp <= now)
        tlp_timer(c, now);
    if (c->t_rto <= now)
        rto_timer(c, now);
    if (c->t_persist <= now)
        persist_timer(c, now);
    if (c->t_cork <= now) {
        bool was_cork = c->is_cork;
        c->t_cork = NO_DEADLINE;
        c->is_cork = false;
        output(c, false, now);
        c->is_cork = was_cork;
    }
    if (c->t_keep <= now)
        keep_timer(c, now);
    if (c->t_life <= now) {
        c->t_life = NO_DEADLINE;
        tcb_end(c, 0);
    }
    if (c->state != SOCK_CLOSED)
        tcb_rearm(c, now);
}
