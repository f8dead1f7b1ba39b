/*
 * Congestion control: Reno (RFC 5681) and CUBIC (RFC 9438), with HyStart's delay test (RFC 9406 in
 * short) to leave slow start before the queue overflows. Windows are in bytes; CUBIC's curve is in
 * segments and seconds.
 */
#include "net/stack/tcb.h"

#define INIT_SEGS       10
#define CUBIC_BETA      0.7
#define CUBIC_C         0.4
#define HYSTART_SAMPLES 8
#define HYSTART_MIN_NS  (4 * NSEC_PER_MSEC)
#define HYSTART_MAX_NS  (16 * NSEC_PER_MSEC)

static double cube_root(double x)
{
    if (x <= 0)
        return 0;
    double y = x > 1 ? x / 3 : 1;
    for (int i = 0; i < 60; i++) {
        double z = (2 * y + x / (y * y)) / 3;
        if (z > y * 0.999999 && z < y * 1.000001)
            return z;
        y = z;
    }
    return y;
}

void cc_init(struct tcb *c)
{
    c->cc.cwnd = (u64)INIT_SEGS * c->mss;
    c->cc.ssthresh = UINT64_MAX;
    c->cc.epoch_ns = 0;
    c->cc.w_max = 0;
    c->cc.round_min_rtt = c->cc.last_min_rtt = INT64_MAX;
    c->cc.round_end = c->nxt;
    c->cc.round_samples = 0;
}

void tcb_set_cc(struct tcb *c, u32 algo)
{
    c->cc.algo = algo;
    c->cc.epoch_ns = 0;
}

/* Has the queue begun to grow? */
static void hystart(struct tcb *c, s64 rtt_ns)
{
    struct tcb_cc *cc = &c->cc;
    if (c->una >= cc->round_end) {
        cc->last_min_rtt = cc->round_min_rtt;
        cc->round_min_rtt = INT64_MAX;
        cc->round_samples = 0;
        cc->round_end = c->nxt;
    }
    if (rtt_ns < 0)
        return;
    cc->round_min_rtt = MIN(cc->round_min_rtt, rtt_ns);
    if (++cc->round_samples < HYSTART_SAMPLES || cc->last_min_rtt == INT64_MAX ||
        cc->cwnd < 16ULL * c->mss)
        return;
    s64 eta = MAX(HYSTART_MIN_NS, MIN(HYSTART_MAX_NS, cc->last_min_rtt / 8));
    if (cc->round_min_rtt >= cc->last_min_rtt + eta)
        cc->ssthresh = cc->cwnd;
}

static void grow_reno(struct tcb *c, u64 acked)
{
    struct tcb_cc *cc = &c->cc;
    cc->acked_frac += acked;
    if (cc->acked_frac >= cc->cwnd) {
        cc->acked_frac -= cc->cwnd;
        cc->cwnd += c->mss;
    }
}

static void grow_cubic(struct tcb *c, u64 acked, s64 now)
{
    struct tcb_cc *cc = &c->cc;
    double mss = c->mss, cwnd = (double)cc->cwnd / mss, segs = (double)acked / mss;
    double rtt = c->srtt_ns > 0 ? (double)c->srtt_ns / 1e9 : 0.1;
    if (!cc->epoch_ns) {
        cc->epoch_ns = now;
        cc->w_est = cwnd;
        cc->k = cwnd < cc->w_max ? cube_root((cc->w_max - cwnd) / CUBIC_C) : 0;
        cc->cubic_origin = MAX(cwnd, cc->w_max);
    }
    double t = (double)(now - cc->epoch_ns) / 1e9 + rtt - cc->k;
    double target = cc->cubic_origin + CUBIC_C * t * t * t;
    target = MIN(MAX(target, cwnd), 1.5 * cwnd);
    /* What Reno would have with CUBIC's factor (RFC 9438 4.3). */
    double alpha = cc->w_est < cc->w_max ? 3 * (1 - CUBIC_BETA) / (1 + CUBIC_BETA) : 1;
    cc->w_est += alpha * segs / cwnd;
    double grown = cwnd + (target - cwnd) / cwnd * segs;
    cc->cwnd = (u64)(MAX(grown, cc->w_est) * mss);
}

void cc_on_ack(struct tcb *c, u64 acked, s64 rtt_ns, s64 now)
{
    struct tcb_cc *cc = &c->cc;
    if (cc->cwnd < cc->ssthresh)
        hystart(c, rtt_ns);
    if (!c->is_cwnd_limited)
        return;
    if (cc->cwnd < cc->ssthresh) {
        u64 n = MIN(acked, cc->ssthresh - cc->cwnd);
        cc->cwnd += n;
        acked -= n;
        if (cc->cwnd < cc->ssthresh)
            acked = 0;
    }
    if (acked && cc->algo == 0)
        grow_cubic(c, acked, now);
    else if (acked)
        grow_reno(c, acked);
    cc->cwnd = MIN(cc->cwnd, 4ULL * TCP_WIN_MAX);
}

static u64 reduced(struct tcb *c)
{
    struct tcb_cc *cc = &c->cc;
    double cwnd = (double)cc->cwnd / c->mss;
    u64 floor = 2ULL * c->mss;
    if (cc->algo == 1)
        return MAX(cc->cwnd / 2, floor);
    /* Fast convergence. */
    cc->w_max = cwnd < cc->w_max ? cwnd * (1 + CUBIC_BETA) / 2 : cwnd;
    return MAX((u64)((double)cc->cwnd * CUBIC_BETA), floor);
}

void cc_on_loss(struct tcb *c, s64 now)
{
    (void)now;
    c->cc.ssthresh = reduced(c);
    c->cc.epoch_ns = 0;
    c->cc.acked_frac = 0;
}

void cc_on_timeout(struct tcb *c, s64 now)
{
    cc_on_loss(c, now);
    c->cc.cwnd = c->mss;
}

/* RFC 2861 in short: what was learnt about the path has gone stale. */
void cc_after_idle(struct tcb *c)
{
    u64 init = (u64)INIT_SEGS * c->mss;
    if (c->cc.cwnd <= init)
        return;
    c->cc.ssthresh = MAX(c->cc.ssthresh == UINT64_MAX ? 0 : c->cc.ssthresh, c->cc.cwnd * 3 / 4);
    c->cc.cwnd = init;
    c->cc.epoch_ns = 0;
}
