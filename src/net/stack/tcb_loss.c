/*
 * The scoreboard: what was sent, what of it the peer has, and what is taken for lost.
 *
 * A record is in one of these states: on the way; SACKed; lost; lost and sent again (is_retrans).
 * The sums sacked, lost and retrans follow every change, so that the pipe is a subtraction. Loss is
 * found by time (RACK, RFC 8985 6): a segment is lost when one that was sent later has arrived and
 * a window for reordering has passed since.
 */
#include <stdlib.h>

#include "net/stack/tcb.h"

#define MIN_RTO_NS     (200 * NSEC_PER_MSEC)
#define MAX_RTO_NS     (120 * NSEC_PER_SEC)
#define MIN_RTT_WINDOW (300 * NSEC_PER_SEC)
#define DUP_THRESH     3

static u64 len_of(const struct tcp_sent *r)
{
    return r->end - r->start;
}

void tcb_record(struct tcb *c, u64 start, u64 end, s64 now)
{
    struct tcp_sent *r = calloc(1, sizeof(*r)), *last = list_last(&c->sent, struct tcp_sent, node);
    if (!r &&
        last) { /* no memory: the last record grows, and is sent again as a whole if it must be */
        last->end = end;
        last->xmit_ns = now;
        c->sacked += last->is_sacked ? end - start : 0;
        c->lost += last->is_lost ? end - start : 0;
        c->retrans += last->is_retrans ? end - start : 0;
        return;
    }
    if (!r) {
        tcb_end(c, LX_ENOBUFS);
        return;
    }
    r->start = start;
    r->end = end;
    r->xmit_ns = now;
    list_add_tail(&c->sent, &r->node);
    c->nsent++;
}

static void drop(struct tcb *c, struct tcp_sent *r)
{
    c->sacked -= r->is_sacked ? len_of(r) : 0;
    c->lost -= r->is_lost ? len_of(r) : 0;
    c->retrans -= r->is_retrans ? len_of(r) : 0;
    list_del(&r->node);
    c->nsent--;
    free(r);
}

void tcb_drop_records(struct tcb *c)
{
    struct tcp_sent *r;
    while ((r = list_first(&c->sent, struct tcp_sent, node)))
        drop(c, r);
}

/* Cuts r at `at`, which is inside it; returns the second part. NULL: no memory, or too many
 * records. */
struct tcp_sent *tcb_split(struct tcb *c, struct tcp_sent *r, u64 at)
{
    struct tcp_sent *b = c->nsent < TCB_MAX_RECORDS ? malloc(sizeof(*b)) : NULL;
    if (!b)
        return NULL;
    *b = *r;
    b->start = r->end = at;
    list_insert_(&b->node, &r->node, r->node.next);
    c->nsent++;
    return b;
}

/* ---- round trips --------------------------------------------------------------------------- */

void tcb_sample_rtt(struct tcb *c, s64 rtt, s64 now)
{
    rtt = MAX(rtt, (s64)1000);
    if (rtt <= c->min_rtt_ns || now - c->min_rtt_at_ns > MIN_RTT_WINDOW) {
        c->min_rtt_ns = rtt;
        c->min_rtt_at_ns = now;
    }
    if (!c->srtt_ns) { /* RFC 6298 2.2 */
        c->srtt_ns = rtt;
        c->rttvar_ns = rtt / 2;
    } else {
        s64 diff = c->srtt_ns > rtt ? c->srtt_ns - rtt : rtt - c->srtt_ns;
        c->rttvar_ns += (diff - c->rttvar_ns) / 4;
        c->srtt_ns += (rtt - c->srtt_ns) / 8;
    }
    /* The floor is for the variance, as on Linux: a peer's delayed acknowledgement must not time
     * out. */
    c->rto_ns = c->srtt_ns + MAX(4 * c->rttvar_ns, MIN_RTO_NS);
    c->rto_ns = MIN(c->rto_ns, MAX_RTO_NS);
}

/* ---- what arrives -------------------------------------------------------------------------- */

/* r has been delivered. */
static void rack_update(struct tcb *c, const struct tcp_sent *r, u32 tsecr, s64 now)
{
    s64 rtt = now - r->xmit_ns;
    if (r->was_retrans) { /* was it the first copy or the second that arrived? */
        if (c->has_ts && tsecr && (s32)(tsecr - tcb_ts(c, r->xmit_ns)) < 0)
            return;
        if (rtt < c->min_rtt_ns)
            return;
    }
    c->rack_rtt_ns = rtt;
    if (r->xmit_ns > c->rack_xmit_ns || (r->xmit_ns == c->rack_xmit_ns && r->end > c->rack_end)) {
        c->rack_xmit_ns = r->xmit_ns;
        c->rack_end = r->end;
    }
    if (r->end > c->rack_fack)
        c->rack_fack = r->end;
    else if (!r->was_retrans && r->end < c->rack_fack)
        c->has_reordering = true;
}

static void take_rtt(const struct tcp_sent *r, struct tcb_ackinfo *a, s64 now)
{
    if (r->was_retrans)
        return; /* Karn */
    s64 rtt = now - r->xmit_ns;
    if (a->rtt_ns < 0 || rtt < a->rtt_ns)
        a->rtt_ns = rtt;
}

/* The cumulative acknowledgement moved to ack. */
void tcb_ack_records(struct tcb *c, u64 ack, struct tcb_ackinfo *a, u32 tsecr, s64 now)
{
    struct tcp_sent *r;
    while ((r = list_first(&c->sent, struct tcp_sent, node)) && r->start < ack) {
        if (r->end > ack && !tcb_split(c, r, ack)) {
            /* cannot be cut: the front part is acknowledged by moving its start */
            u64 n = ack - r->start;
            c->sacked -= r->is_sacked ? n : 0;
            c->lost -= r->is_lost ? n : 0;
            c->retrans -= r->is_retrans ? n : 0;
            a->delivered += r->is_sacked ? 0 : n;
            r->start = ack;
            return;
        }
        if (!r->is_sacked) {
            a->delivered += len_of(r);
            take_rtt(r, a, now);
            rack_update(c, r, tsecr, now);
            if (r->was_retrans) {
                a->is_retrans_acked = true;
                /* Eifel (RFC 3522): the answer was on its way before we sent again. */
                if (c->has_ts && tsecr && (s32)(tsecr - tcb_ts(c, r->xmit_ns)) < 0 && c->can_undo &&
                    c->ca != CA_OPEN)
                    c->undo_retrans = 0;
            }
        }
        drop(c, r);
    }
}

static void mark_sacked(struct tcb *c, struct tcp_sent *r, struct tcb_ackinfo *a, u32 tsecr,
                        s64 now)
{
    if (r->is_lost)
        c->lost -= len_of(r);
    if (r->is_retrans)
        c->retrans -= len_of(r);
    take_rtt(r, a, now);
    rack_update(c, r, tsecr, now);
    r->is_lost = r->is_retrans = false;
    r->is_sacked = true;
    c->sacked += len_of(r);
    a->delivered += len_of(r);
    a->is_new_sack = true;
}

static void sack_block(struct tcb *c, u64 start, u64 end, struct tcb_ackinfo *a, u32 tsecr, s64 now)
{
    struct tcp_sent *r, *tmp, *prev = NULL;
    list_for_each_safe (r, tmp, &c->sent, node) {
        if (r->start >= end)
            break;
        if (r->end <= start || r->is_sacked) {
            if (prev && prev->is_sacked && r->is_sacked && prev->end == r->start) {
                prev->end = r->end; /* one record is enough for what is with the peer */
                prev->was_retrans |= r->was_retrans;
                list_del(&r->node);
                c->nsent--;
                free(r);
                continue;
            }
            prev = r;
            continue;
        }
        if (r->start < start) {
            struct tcp_sent *b = tcb_split(c, r, start);
            if (!b)
                return;
            prev = r;
            r = b;
            tmp = list_entry(r->node.next, struct tcp_sent, node);
        }
        if (r->end > end) {
            struct tcp_sent *b = tcb_split(c, r, end);
            if (!b)
                return;
            tmp = b;
        }
        mark_sacked(c, r, a, tsecr, now);
        prev = r;
    }
}

/* RFC 2883: the first block below the cumulative number, or inside the second. */
static bool is_dsack(const struct tcp_rx *s, u64 start, u64 end, u64 ack, u64 una)
{
    if (end <= ack)
        return true;
    if (s->nsacks < 2)
        return false;
    u64 s2 = tcb_unwrap(una, s->sacks[1][0]), e2 = tcb_unwrap(una, s->sacks[1][1]);
    return start >= s2 && end <= e2;
}

void tcb_sack_records(struct tcb *c, const struct tcp_rx *s, u64 ack, struct tcb_ackinfo *a,
                      s64 now)
{
    for (u32 i = 0; i < s->nsacks; i++) {
        u64 start = tcb_unwrap(c->una, s->sacks[i][0]), end = tcb_unwrap(c->una, s->sacks[i][1]);
        if (end <= start || end > c->nxt || end - start > (1ULL << 30))
            continue;
        if (i == 0 && is_dsack(s, start, end, ack, c->una)) {
            a->has_dsack = true;
            c->ndsacks++;
            c->rack_dsacks_seen++;
            c->undo_retrans -= MIN(c->undo_retrans, end - start);
            if (c->ca != CA_OPEN || c->rack_dsacks_seen >= 1)
                c->rack_reo_mult = MIN(c->rack_reo_mult + 1, 16U);
            continue;
        }
        if (start >= ack)
            sack_block(c, start, end, a, s->has_ts ? s->tsecr : 0, now);
    }
}

/* ---- losses -------------------------------------------------------------------------------- */

static void mark_lost(struct tcb *c, struct tcp_sent *r)
{
    if (!r->is_lost) {
        r->is_lost = true;
        c->lost += len_of(r);
    }
    if (r->is_retrans) {
        r->is_retrans = false;
        c->retrans -= len_of(r);
    }
}

void tcb_all_lost(struct tcb *c)
{
    struct tcp_sent *r = list_first(&c->sent, struct tcp_sent, node);
    bool is_reneging = r && r->is_sacked; /* what was SACKed first would have been acknowledged */
    list_for_each (r, &c->sent, node) {
        if (is_reneging && r->is_sacked) {
            r->is_sacked = false;
            c->sacked -= len_of(r);
        }
        if (!r->is_sacked)
            mark_lost(c, r);
    }
}

struct tcp_sent *tcb_next_lost(struct tcb *c)
{
    struct tcp_sent *r;
    if (c->lost == c->retrans)
        return NULL;
    list_for_each (r, &c->sent, node) {
        if (r->is_lost && !r->is_retrans)
            return r;
    }
    return NULL;
}

static s64 reo_window(const struct tcb *c)
{
    if (!c->has_reordering && (c->ca != CA_OPEN || c->sacked >= (u64)DUP_THRESH * c->mss))
        return 0;
    if (c->min_rtt_ns == INT64_MAX)
        return 0;
    return MIN(c->min_rtt_ns / 4 * c->rack_reo_mult, c->srtt_ns);
}

static void rack_detect(struct tcb *c, s64 now)
{
    struct tcp_sent *r;
    s64 wait = 0, reo = reo_window(c);
    c->t_rack = NO_DEADLINE;
    if (!c->rack_xmit_ns)
        return;
    list_for_each (r, &c->sent, node) {
        if (r->is_sacked || (r->is_lost && !r->is_retrans))
            continue;
        if (r->xmit_ns > c->rack_xmit_ns || (r->xmit_ns == c->rack_xmit_ns && r->end > c->rack_end))
            continue;
        s64 left = r->xmit_ns + c->rack_rtt_ns + reo - now;
        if (left <= 0)
            mark_lost(c, r);
        else
            wait = MAX(wait, left);
    }
    if (wait)
        c->t_rack = now + wait + NSEC_PER_MSEC / 8;
}

static void enter_recovery(struct tcb *c, s64 now)
{
    c->ca = CA_RECOVERY;
    c->high_seq = c->nxt;
    c->undo_cwnd = c->cc.cwnd;
    c->undo_ssthresh = c->cc.ssthresh;
    c->undo_retrans = 0;
    c->can_undo = true;
    c->recover_fs = MAX(c->nxt - c->una, (u64)c->mss);
    c->prr_delivered = c->prr_out = 0;
    cc_on_loss(c, now);
}

static void leave_recovery(struct tcb *c)
{
    if (c->ca == CA_RECOVERY)
        c->cc.cwnd = MAX(MIN(c->cc.cwnd, c->cc.ssthresh), 2ULL * c->mss);
    c->ca = CA_OPEN;
    c->can_undo = false;
    c->dupacks = 0;
}

/* Nothing was lost after all. */
static void undo(struct tcb *c)
{
    struct tcp_sent *r;
    c->cc.cwnd = MAX(c->cc.cwnd, c->undo_cwnd);
    c->cc.ssthresh = MAX(c->cc.ssthresh, c->undo_ssthresh);
    list_for_each (r, &c->sent, node) {
        if (r->is_lost && !r->is_retrans) {
            r->is_lost = false;
            c->lost -= len_of(r);
        }
    }
    c->has_reordering = true;
    c->backoff = 0;
    c->ca = CA_OPEN;
    c->can_undo = false;
}

static void prr(struct tcb *c, u64 delivered)
{
    u64 pipe = tcb_pipe(c), out = 0, ssthresh = c->cc.ssthresh;
    c->prr_delivered += delivered;
    if (pipe > ssthresh) {
        u64 want = (c->prr_delivered * ssthresh + c->recover_fs - 1) / c->recover_fs;
        out = want > c->prr_out ? want - c->prr_out : 0;
    } else {
        u64 limit =
            MAX(c->prr_delivered > c->prr_out ? c->prr_delivered - c->prr_out : 0, delivered) +
            c->mss;
        out = MIN(ssthresh - pipe, limit);
    }
    if (!c->prr_out)
        out = MAX(out, (u64)c->mss); /* the first segment goes out at once */
    c->cc.cwnd = pipe + out;
}

/* The front of what was sent, without SACK. */
static void head_lost(struct tcb *c)
{
    struct tcp_sent *r = list_first(&c->sent, struct tcp_sent, node);
    if (!r)
        return;
    if (len_of(r) > c->mss)
        (void)tcb_split(c, r, r->start + c->mss); /* without memory all of it goes */
    mark_lost(c, r);
}

void tcb_find_losses(struct tcb *c, const struct tcb_ackinfo *a, bool is_dupack, s64 now)
{
    if (c->can_undo && c->ca != CA_OPEN && !c->undo_retrans &&
        (a->has_dsack || a->is_retrans_acked) && c->total_retrans)
        undo(c);
    if (c->ca != CA_OPEN && c->una >= c->high_seq)
        leave_recovery(c);
    if (c->has_sack) {
        if (c->sacked || c->ca != CA_OPEN)
            rack_detect(c, now);
        else
            c->t_rack = NO_DEADLINE;
    } else if (c->ca == CA_OPEN && is_dupack && c->dupacks >= DUP_THRESH) {
        head_lost(c);
    } else if (c->ca == CA_RECOVERY) {
        if (a->acked)
            head_lost(c);
        else if (is_dupack)
            c->cc.cwnd += c->mss;
    }
    if (c->lost > c->retrans && c->ca == CA_OPEN)
        enter_recovery(c, now);
    if (c->ca == CA_RECOVERY && (c->has_sack || a->acked))
        prr(c, a->delivered);
}

void tcb_rack_timer(struct tcb *c, s64 now)
{
    struct tcb_ackinfo none = {.rtt_ns = -1};
    u64 before = c->lost - c->retrans;
    rack_detect(c, now);
    if (c->lost - c->retrans <= before)
        return;
    if (c->ca == CA_OPEN)
        enter_recovery(c, now);
    if (c->ca == CA_RECOVERY)
        prr(c, none.delivered + c->mss);
}
