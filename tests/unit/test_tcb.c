/* net/stack/tcb: scripts of segments in virtual time. */
#include "net/stack/tcb.h"
#include "net/stack/wirefmt.h"
#include "test.h"

#define MS  NSEC_PER_MSEC
#define ISS 1000U
#define IRS 5000U
#define MTU 1500U
#define MSS 1448U

#define MAX_OUT 4096

static struct {
    struct tcp_tx seg[MAX_OUT];
    u8 data[MAX_OUT][64]; /* how the payload begins */
    u32 n, read;
    int refuse; /* sends to answer with EAGAIN */
} out;
static s64 now_ns;
static struct tcb tcb;

static int cap_send(struct tcb *c, const struct tcp_tx *t)
{
    if (out.refuse) {
        out.refuse--;
        return -LX_EAGAIN;
    }
    CHECK(out.n < MAX_OUT);
    out.seg[out.n] = *t;
    u32 sum = 0;
    for (u32 i = 0; i < t->ndata; i++)
        sum += (u32)t->data[i].iov_len;
    CHECK_EQ(sum, t->len);
    if (t->len)
        memcpy(out.data[out.n], t->data[0].iov_base, MIN(t->data[0].iov_len, (size_t)64));
    out.n++;
    return 0;
}
static void no_arm(struct tcb *c, s64 t)
{
}
static void no_state(struct tcb *c)
{
}
static const struct tcb_io cap_io = {cap_send, no_arm, no_state};

static void fresh(void)
{
    memset(&tcb, 0, sizeof(tcb));
    memset(&out, 0, sizeof(out));
    now_ns = 1000 * NSEC_PER_SEC;
    tcb_init(&tcb, &cap_io, bq_new(1 << 20), bq_new(1 << 24));
    tcb.hdr_overhead = 40;
    tcb.gso_max = 65000;
}

static struct tcp_tx *next(void)
{
    CHECK(out.read < out.n);
    return &out.seg[out.read++];
}
static void expect(u32 seq, u32 ack, u8 flags, u32 len)
{
    struct tcp_tx *t = next();
    CHECK_EQ(t->seq, seq);
    CHECK_EQ(t->ack, ack);
    CHECK_EQ(t->flags, flags);
    CHECK_EQ(t->len, len);
}
static void quiet(void)
{
    CHECK_EQ(out.read, out.n);
}

static u8 payload[70000];
struct in {
    u32 seq, ack;
    u8 flags;
    u32 len, win;
    u32 nsacks, sacks[4][2];
    u32 tsval, tsecr;
    u16 mss;
    s8 wscale;
    bool sack_ok;
    u16 urg;
    u32 at; /* where in `payload` the data begins */
    bool ce;
};
static void give(struct in i)
{
    struct tcp_rx s = {.seq = i.seq,
                       .ack = i.ack,
                       .flags = i.flags,
                       .win = i.win ? i.win : 65535,
                       .len = i.len,
                       .data = payload + i.at,
                       .piece = MIN(i.len, MSS),
                       .nsacks = i.nsacks,
                       .wscale = i.wscale,
                       .mss_opt = i.mss,
                       .has_sack_ok = i.sack_ok,
                       .urg = i.urg,
                       .is_ce = i.ce};
    if (i.tsval) {
        s.has_ts = true;
        s.tsval = i.tsval;
        s.tsecr = i.tsecr;
    }
    memcpy(s.sacks, i.sacks, sizeof(i.sacks));
    if (i.win == UINT32_MAX)
        s.win = 0;
    tcb_input(&tcb, &s, now_ns);
}
static void pass(s64 ns) /* time passes; timers fire in order */
{
    s64 end = now_ns + ns;
    for (;;) {
        const s64 all[] = {tcb.t_rto,     tcb.t_rack, tcb.t_tlp,  tcb.t_delack,
                           tcb.t_persist, tcb.t_keep, tcb.t_cork, tcb.t_life};
        s64 t = NO_DEADLINE;
        for (size_t k = 0; k < ARRAY_SIZE(all); k++)
            t = MIN(t, all[k]);
        if (t > end || tcb.state == SOCK_CLOSED)
            break;
        now_ns = MAX(t, now_ns);
        tcb_timer(&tcb, now_ns);
    }
    now_ns = end;
}
static void put(u32 n, u32 at)
{
    CHECK_EQ(bq_append(tcb.tx, payload + at, n), n);
    tcb_push(&tcb, false, now_ns);
}

/* Opens actively; without timestamps, with SACK and scaling (of 7 by the peer). */
static void open_up(void)
{
    fresh();
    tcb.syn_retries = 6;
    tcb_connect(&tcb, ISS, MTU, now_ns);
    struct tcp_tx *t = next();
    CHECK_EQ(t->flags, TCPF_SYN);
    CHECK_EQ(t->seq, ISS);
    CHECK_EQ(t->opts[0], 2);
    CHECK_EQ(rd16(t->opts + 2), 1460);
    pass(10 * MS);
    give((struct in){.seq = IRS,
                     .ack = ISS + 1,
                     .flags = TCPF_SYN | TCPF_ACK,
                     .mss = 1460,
                     .wscale = 7,
                     .sack_ok = true});
    expect(ISS + 1, IRS + 1, TCPF_ACK, 0);
    CHECK_EQ(tcb.state, SOCK_ESTABLISHED);
    quiet();
}
static void end(void)
{
    tcb_done(&tcb);
}
#define A  TCPF_ACK
#define AP (TCPF_ACK | TCPF_PSH)
#define M  1460U /* no timestamps in these */

static void fill_payload(void)
{
    for (u32 i = 0; i < sizeof(payload); i++)
        payload[i] = (u8)(i * 7 + i / 251);
}

TEST(handshake)
{
    fill_payload();
    open_up();
    CHECK_EQ(tcb.mss, 1460);
    CHECK_EQ(tcb.snd_wscale, 7);
    CHECK(tcb.srtt_ns == 10 * MS);
    end();
}

TEST(syn_is_repeated_and_given_up)
{
    fresh();
    tcb.syn_retries = 3;
    tcb_connect(&tcb, ISS, MTU, now_ns);
    next();
    pass(1000 * MS);
    CHECK_EQ(next()->flags, TCPF_SYN);
    pass(2000 * MS);
    CHECK_EQ(next()->flags, TCPF_SYN);
    pass(4000 * MS);
    CHECK_EQ(next()->flags, TCPF_SYN);
    pass(7000 * MS);
    quiet();
    CHECK_EQ(tcb.state, SOCK_SYN_SENT);
    pass(1000 * MS);
    CHECK_EQ(tcb.state, SOCK_CLOSED);
    CHECK_EQ(tcb.err, LX_ETIMEDOUT);
    end();
}

TEST(syn_refused_and_bad_ack)
{
    fresh();
    tcb_connect(&tcb, ISS, MTU, now_ns);
    next();
    give((struct in){.seq = IRS, .ack = ISS + 77, .flags = TCPF_SYN | A, .wscale = -1});
    expect(ISS + 77, 0, TCPF_RST, 0);
    give((struct in){.seq = 0, .ack = ISS + 77, .flags = TCPF_RST | A});
    CHECK_EQ(tcb.state, SOCK_SYN_SENT);
    give((struct in){.seq = 0, .ack = ISS + 1, .flags = TCPF_RST | A});
    CHECK_EQ(tcb.state, SOCK_CLOSED);
    CHECK_EQ(tcb.err, LX_ECONNREFUSED);
    end();
}

TEST(simultaneous_open)
{
    fresh();
    tcb_connect(&tcb, ISS, MTU, now_ns);
    next();
    give((struct in){.seq = IRS, .flags = TCPF_SYN, .mss = 1460, .wscale = -1});
    CHECK_EQ(tcb.state, SOCK_SYN_RECV);
    expect(ISS, IRS + 1, TCPF_SYN | A, 0);
    give((struct in){.seq = IRS, .ack = ISS + 1, .flags = TCPF_SYN | A, .mss = 1460, .wscale = -1});
    CHECK_EQ(tcb.state, SOCK_ESTABLISHED);
    end();
}

TEST(data_both_ways_and_delayed_ack)
{
    open_up();
    put(100, 0);
    expect(ISS + 1, IRS + 1, AP, 100);
    CHECK(!memcmp(out.data[out.read - 1], payload, 64));
    pass(10 * MS);
    give((struct in){.seq = IRS + 1, .ack = ISS + 101, .flags = A});
    quiet();
    give((struct in){.seq = IRS + 1, .ack = ISS + 101, .flags = AP, .len = 10});
    quiet(); /* a small piece waits */
    pass(39 * MS);
    quiet();
    pass(2 * MS);
    expect(ISS + 101, IRS + 11, A, 0);
    CHECK_EQ(tcb_take_events(&tcb) & TCB_READABLE, TCB_READABLE);
    end();
}

TEST(ack_rides_on_data)
{
    open_up();
    give((struct in){.seq = IRS + 1, .ack = ISS + 1, .flags = AP, .len = 10});
    put(5, 0);
    expect(ISS + 1, IRS + 11, AP, 5);
    pass(100 * MS);
    end();
}

TEST(every_second_full_segment_is_acked)
{
    open_up();
    tcb.quick_acks = 0;
    for (u32 i = 0; i < 4; i++)
        give((struct in){.seq = IRS + 1 + i * 1448, .ack = ISS + 1, .flags = A, .len = 1448});
    expect(ISS + 1, IRS + 1 + 2 * 1448, A, 0);
    expect(ISS + 1, IRS + 1 + 4 * 1448, A, 0);
    quiet();
    end();
}

TEST(nagle_holds_small_segments)
{
    open_up();
    put(10, 0);
    expect(ISS + 1, IRS + 1, AP, 10);
    put(10, 10);
    put(10, 20);
    quiet();
    give((struct in){.seq = IRS + 1, .ack = ISS + 11, .flags = A});
    expect(ISS + 11, IRS + 1, AP, 20);
    tcb.is_nodelay = true;
    put(10, 30);
    expect(ISS + 31, IRS + 1, AP, 10);
    end();
}

TEST(cork_and_more)
{
    open_up();
    tcb.is_cork = true;
    put(10, 0);
    quiet();
    pass(199 * MS);
    quiet();
    pass(2 * MS);
    expect(ISS + 1, IRS + 1, AP, 10);
    give((struct in){.seq = IRS + 1, .ack = ISS + 11, .flags = A});
    tcb.is_cork = false;
    CHECK_EQ(bq_append(tcb.tx, payload, 2000), 2000);
    tcb_push(&tcb, true, now_ns);
    expect(ISS + 11, IRS + 1, A, M); /* the whole segment; the rest waits */
    quiet();
    tcb_push(&tcb, false, now_ns);
    end();
}

TEST(retransmission_timeout_backs_off)
{
    open_up();
    tcb.has_sack = false; /* no tail loss probe */
    put(100, 0);
    expect(ISS + 1, IRS + 1, AP, 100);
    s64 rto = tcb.rto_ns;
    CHECK(rto >= 200 * MS && rto <= 400 * MS);
    pass(rto);
    expect(ISS + 1, IRS + 1, AP, 100);
    pass(2 * rto - MS);
    quiet();
    pass(2 * MS);
    expect(ISS + 1, IRS + 1, AP, 100);
    CHECK_EQ(tcb.cc.cwnd, tcb.mss);
    give((struct in){.seq = IRS + 1, .ack = ISS + 101, .flags = A});
    CHECK_EQ(tcb.backoff, 0);
    CHECK_EQ(tcb.t_rto, NO_DEADLINE);
    end();
}

TEST(gives_up_after_retries_or_user_timeout)
{
    open_up();
    put(100, 0);
    pass(2000 * NSEC_PER_SEC);
    CHECK_EQ(tcb.state, SOCK_CLOSED);
    CHECK_EQ(tcb.err, LX_ETIMEDOUT);
    end();
    open_up();
    tcb.user_timeout_ms = 3000;
    put(100, 0);
    pass(2500 * MS);
    CHECK_EQ(tcb.state, SOCK_ESTABLISHED);
    pass(8 * NSEC_PER_SEC);
    CHECK_EQ(tcb.state, SOCK_CLOSED);
    end();
}

TEST(initial_window_and_slow_start)
{
    open_up();
    give((struct in){.seq = IRS + 1, .ack = ISS + 1, .flags = A, .win = 60000});
    put(60000, 0);
    u32 sent = 0;
    while (out.read < out.n)
        sent += next()->len;
    CHECK_EQ(sent, 10 * M);
    pass(10 * MS);
    give((struct in){.seq = IRS + 1, .ack = ISS + 1 + 2 * M, .flags = A, .win = 60000});
    sent = 0;
    while (out.read < out.n)
        sent += next()->len;
    CHECK_EQ(sent, 4 * M);
    end();
}

/* Ten segments out; the given one is lost, later ones are SACKed. */
TEST(sack_recovery_by_rack)
{
    open_up();
    give((struct in){.seq = IRS + 1, .ack = ISS + 1, .flags = A, .win = 60000});
    put(10 * M, 0);
    while (out.read < out.n)
        next();
    pass(10 * MS);
    u64 cwnd = tcb.cc.cwnd;
    u32 s = ISS + 1;
    for (u32 k = 2; k <= 4; k++)
        give((struct in){.seq = IRS + 1,
                         .ack = s,
                         .flags = A,
                         .win = 60000,
                         .nsacks = 1,
                         .sacks = {{s + M, s + k * M}}});
    expect(s, IRS + 1, A, M); /* the hole, once */
    quiet();
    CHECK_EQ(tcb.ca, CA_RECOVERY);
    CHECK(tcb.cc.ssthresh < cwnd && tcb.cc.ssthresh >= cwnd / 2);
    for (u32 k = 5; k <= 10; k++)
        give((struct in){.seq = IRS + 1,
                         .ack = s,
                         .flags = A,
                         .win = 60000,
                         .nsacks = 1,
                         .sacks = {{s + M, s + k * M}}});
    quiet();
    pass(10 * MS);
    give((struct in){.seq = IRS + 1, .ack = s + 10 * M, .flags = A, .win = 60000});
    CHECK_EQ(tcb.ca, CA_OPEN);
    CHECK_EQ(tcb.sacked, 0);
    CHECK_EQ(tcb.lost, 0);
    CHECK_EQ(tcb.retrans, 0);
    CHECK_EQ(tcb.nsent, 0);
    end();
}

TEST(newreno_without_sack)
{
    open_up();
    tcb.has_sack = false;
    give((struct in){.seq = IRS + 1, .ack = ISS + 1, .flags = A, .win = 60000});
    put(10 * M, 0);
    while (out.read < out.n)
        next();
    pass(10 * MS);
    for (u32 k = 0; k < 3; k++)
        give((struct in){.seq = IRS + 1, .ack = ISS + 1, .flags = A, .win = 60000});
    expect(ISS + 1, IRS + 1, A, M);
    CHECK_EQ(tcb.ca, CA_RECOVERY);
    give((struct in){
        .seq = IRS + 1, .ack = ISS + 1 + 4 * M, .flags = A, .win = 60000}); /* partial */
    expect(ISS + 1 + 4 * M, IRS + 1, A, M);
    give((struct in){.seq = IRS + 1, .ack = ISS + 1 + 10 * M, .flags = A, .win = 60000});
    CHECK_EQ(tcb.ca, CA_OPEN);
    end();
}

TEST(tail_loss_probe)
{
    open_up();
    give((struct in){.seq = IRS + 1, .ack = ISS + 1, .flags = A, .win = 60000});
    put(3 * M, 0);
    while (out.read < out.n)
        next();
    pass(30 * MS); /* 2 * srtt + 2 */
    struct tcp_tx *t = next();
    CHECK_EQ(t->seq, ISS + 1 + 2 * M);
    CHECK_EQ(t->len, M);
    quiet();
    end();
}

TEST(reordered_data_and_sack_blocks)
{
    open_up();
    give((struct in){.seq = IRS + 1 + 1000, .ack = ISS + 1, .flags = A, .len = 1000, .at = 1000});
    struct tcp_tx *t = next();
    CHECK_EQ(t->ack, IRS + 1);
    CHECK_EQ(t->optlen, 12);
    CHECK_EQ(t->opts[2], 5);
    CHECK_EQ(rd32(t->opts + 4), IRS + 1001);
    CHECK_EQ(rd32(t->opts + 8), IRS + 2001);
    give((struct in){.seq = IRS + 1 + 3000, .ack = ISS + 1, .flags = A, .len = 1000, .at = 3000});
    t = next();
    CHECK_EQ(t->opts[3], 18);
    CHECK_EQ(rd32(t->opts + 4), IRS + 3001); /* the newest first */
    give((struct in){.seq = IRS + 1 + 2000, .ack = ISS + 1, .flags = A, .len = 1000, .at = 2000});
    t = next();
    CHECK_EQ(t->opts[3], 10);
    CHECK_EQ(rd32(t->opts + 8), IRS + 4001);
    give((struct in){.seq = IRS + 1, .ack = ISS + 1, .flags = A, .len = 1000});
    expect(ISS + 1, IRS + 4001, A, 0);
    CHECK_EQ(tcb.nranges, 0);
    u8 got[4000];
    struct uio u;
    uio_init_kernel(&u, got, sizeof(got));
    mutex_lock(&tcb.rx->rlock);
    CHECK_EQ(bq_copy(tcb.rx, 0, &u, sizeof(got)), 4000);
    mutex_unlock(&tcb.rx->rlock);
    CHECK(!memcmp(got, payload, 4000));
    /* The same again: a duplicate SACK. */
    give((struct in){.seq = IRS + 1 + 500, .ack = ISS + 1, .flags = A, .len = 500});
    t = next();
    CHECK_EQ(rd32(t->opts + 4), IRS + 501);
    CHECK_EQ(rd32(t->opts + 8), IRS + 1001);
    end();
}

TEST(ranges_are_bounded)
{
    open_up();
    for (u32 i = 0; i < 1000; i++)
        give((struct in){.seq = IRS + 3 + i * 2, .ack = ISS + 1, .flags = A, .len = 1});
    CHECK(tcb.nranges <= TCB_MAX_RANGES);
    end();
}

TEST(overlapping_pieces)
{
    open_up();
    give((struct in){.seq = IRS + 1 + 100, .ack = ISS + 1, .flags = A, .len = 200, .at = 100});
    give((struct in){.seq = IRS + 1 + 500, .ack = ISS + 1, .flags = A, .len = 100, .at = 500});
    give((struct in){.seq = IRS + 1 + 50, .ack = ISS + 1, .flags = A, .len = 900, .at = 50});
    CHECK_EQ(tcb.nranges, 1);
    CHECK_EQ(tcb.ooo_bytes, 900);
    give((struct in){.seq = IRS + 1, .ack = ISS + 1, .flags = A, .len = 60});
    CHECK_EQ(tcb.rcv_nxt - (tcb.irs + 1), 950);
    CHECK_EQ(tcb.ooo_bytes, 0);
    u8 got[950];
    struct uio u;
    uio_init_kernel(&u, got, sizeof(got));
    mutex_lock(&tcb.rx->rlock);
    CHECK_EQ(bq_copy(tcb.rx, 0, &u, sizeof(got)), 950);
    mutex_unlock(&tcb.rx->rlock);
    CHECK(!memcmp(got, payload, 950));
    end();
}

TEST(zero_window_is_probed)
{
    open_up();
    give((struct in){.seq = IRS + 1, .ack = ISS + 1, .flags = A, .win = UINT32_MAX});
    put(100, 0);
    quiet();
    pass(tcb.rto_ns + MS);
    expect(ISS, IRS + 1, A, 0);
    pass(2 * tcb.rto_ns + MS);
    expect(ISS, IRS + 1, A, 0);
    give((struct in){.seq = IRS + 1, .ack = ISS + 1, .flags = A, .win = 10});
    expect(ISS + 1, IRS + 1, AP, 100);
    end();
}

TEST(window_is_never_taken_back_and_reopens)
{
    open_up();
    tcb.is_rcvbuf_fixed = true;
    tcb.rcv_wnd_max = 8192;
    u32 at = 0, all = (u32)(tcb.rcv_adv - tcb.rcv_nxt);
    while (at < all) { /* what was announced before is taken */
        u32 n = MIN(1448U, all - at);
        give((struct in){
            .seq = IRS + 1 + at, .ack = ISS + 1, .flags = A, .len = n, .at = at % 60000});
        at += n;
    }
    pass(100 * MS);
    CHECK_EQ(tcb.rcv_nxt - (tcb.irs + 1), all);
    CHECK_EQ(out.seg[out.n - 1].win, 0);
    out.read = out.n;
    give((struct in){.seq = IRS + 1 + at, .ack = ISS + 1, .flags = A, .len = 1});
    expect(ISS + 1, IRS + 1 + at, A, 0); /* full: not taken */
    mutex_lock(&tcb.rx->rlock);
    (void)bq_consume(tcb.rx, all, 0);
    mutex_unlock(&tcb.rx->rlock);
    tcb_rcvd(&tcb, now_ns);
    CHECK_EQ(next()->win, 8192 >> TCP_WSCALE);
    end();
}

TEST(challenge_acks)
{
    open_up();
    give((struct in){.seq = IRS + 2, .ack = ISS + 1, .flags = TCPF_RST});
    expect(ISS + 1, IRS + 1, A, 0);
    CHECK_EQ(tcb.state, SOCK_ESTABLISHED);
    give((struct in){.seq = IRS + 2, .ack = ISS + 1, .flags = TCPF_RST});
    quiet(); /* one in half a second */
    pass(600 * MS);
    give((struct in){.seq = IRS + 1, .ack = ISS + 1, .flags = TCPF_SYN});
    expect(ISS + 1, IRS + 1, A, 0);
    give((struct in){.seq = IRS + 1, .ack = ISS + 1, .flags = TCPF_RST});
    CHECK_EQ(tcb.state, SOCK_CLOSED);
    CHECK_EQ(tcb.err, LX_ECONNRESET);
    end();
}

TEST(ack_of_the_future_is_no_ack)
{
    open_up();
    put(100, 0);
    next();
    give((struct in){.seq = IRS + 1, .ack = ISS + 5000, .flags = A});
    CHECK_EQ(tcb.una, tcb.iss + 1);
    give((struct in){.seq = IRS + 1, .ack = ISS - 200000, .flags = A, .len = 10});
    CHECK_EQ(tcb.rcv_nxt, tcb.irs + 1);
    end();
}

TEST(paws)
{
    fresh();
    tcb_connect(&tcb, ISS, MTU, now_ns);
    next();
    give((struct in){.seq = IRS,
                     .ack = ISS + 1,
                     .flags = TCPF_SYN | A,
                     .mss = 1460,
                     .wscale = 7,
                     .sack_ok = true,
                     .tsval = 100,
                     .tsecr = tcb_ts(&tcb, now_ns)});
    next();
    CHECK_EQ(tcb.mss, MSS);
    give((struct in){
        .seq = IRS + 1, .ack = ISS + 1, .flags = A, .len = 10, .tsval = 200, .tsecr = 1});
    CHECK_EQ(tcb.ts_recent, 200);
    out.read = out.n;
    give((struct in){
        .seq = IRS + 11, .ack = ISS + 1, .flags = A, .len = 10, .tsval = 150, .tsecr = 1});
    CHECK_EQ(next()->ack, IRS + 11); /* old: answered, not taken */
    CHECK_EQ(tcb.rcv_nxt - tcb.irs, 11);
    /* Without the option it is taken. */
    give((struct in){.seq = IRS + 11, .ack = ISS + 1, .flags = A, .len = 10});
    CHECK_EQ(tcb.rcv_nxt - tcb.irs, 21);
    end();
}

TEST(close_active_to_time_wait)
{
    open_up();
    put(10, 0);
    next();
    tcb_shutdown(&tcb, now_ns);
    expect(ISS + 11, IRS + 1, TCPF_FIN | A, 0);
    CHECK_EQ(tcb.state, SOCK_FIN_WAIT1);
    give((struct in){.seq = IRS + 1, .ack = ISS + 12, .flags = A});
    CHECK_EQ(tcb.state, SOCK_FIN_WAIT2);
    give((struct in){.seq = IRS + 1, .ack = ISS + 12, .flags = A, .len = 20});
    give((struct in){.seq = IRS + 21, .ack = ISS + 12, .flags = TCPF_FIN | A});
    CHECK_EQ(out.seg[out.n - 1].ack, IRS + 22);
    CHECK_EQ(tcb.state, SOCK_TIME_WAIT);
    CHECK(tcb_take_events(&tcb) & TCB_CLOSED);
    end();
}

TEST(close_passive)
{
    open_up();
    give((struct in){.seq = IRS + 1, .ack = ISS + 1, .flags = TCPF_FIN | A, .len = 5});
    expect(ISS + 1, IRS + 7, A, 0);
    CHECK_EQ(tcb.state, SOCK_CLOSE_WAIT);
    put(10, 0);
    expect(ISS + 1, IRS + 7, AP, 10);
    tcb_shutdown(&tcb, now_ns);
    expect(ISS + 11, IRS + 7, TCPF_FIN | A, 0);
    CHECK_EQ(tcb.state, SOCK_LAST_ACK);
    give((struct in){.seq = IRS + 7, .ack = ISS + 12, .flags = A});
    CHECK_EQ(tcb.state, SOCK_CLOSED);
    CHECK_EQ(tcb.err, 0);
    end();
}

TEST(close_simultaneous)
{
    open_up();
    tcb_shutdown(&tcb, now_ns);
    next();
    give((struct in){.seq = IRS + 1, .ack = ISS + 1, .flags = TCPF_FIN | A});
    CHECK_EQ(tcb.state, SOCK_CLOSING);
    expect(ISS + 2, IRS + 2, A, 0);
    give((struct in){.seq = IRS + 2, .ack = ISS + 2, .flags = A});
    CHECK_EQ(tcb.state, SOCK_TIME_WAIT);
    end();
}

TEST(fin_out_of_order_waits_for_data)
{
    open_up();
    give((struct in){.seq = IRS + 11, .ack = ISS + 1, .flags = TCPF_FIN | A, .len = 10, .at = 10});
    CHECK_EQ(tcb.state, SOCK_ESTABLISHED);
    give((struct in){.seq = IRS + 1, .ack = ISS + 1, .flags = A, .len = 10});
    CHECK_EQ(tcb.state, SOCK_CLOSE_WAIT);
    CHECK_EQ(out.seg[out.n - 1].ack, IRS + 22);
    end();
}

TEST(fin_is_sent_again_with_its_data)
{
    open_up();
    tcb.has_sack = false;
    put(10, 0);
    tcb_shutdown(&tcb, now_ns);
    out.read = out.n;
    pass(tcb.rto_ns + MS);
    u32 seen = 0;
    while (out.read < out.n) {
        struct tcp_tx *t = next();
        seen += t->len + !!(t->flags & TCPF_FIN);
    }
    CHECK(seen >= 10);
    give((struct in){.seq = IRS + 1, .ack = ISS + 11, .flags = A});
    pass(tcb.rto_ns * 4);
    CHECK(out.seg[out.n - 1].flags & TCPF_FIN);
    CHECK_EQ(out.seg[out.n - 1].seq, ISS + 11);
    end();
}

TEST(orphan_is_reset_by_data)
{
    open_up();
    tcb_close(&tcb, false, now_ns);
    out.read = out.n;
    give((struct in){.seq = IRS + 1, .ack = ISS + 1, .flags = A, .len = 10});
    CHECK(next()->flags & TCPF_RST);
    CHECK_EQ(tcb.state, SOCK_CLOSED);
    end();
    open_up(); /* unread bytes at close: a reset at once */
    give((struct in){.seq = IRS + 1, .ack = ISS + 1, .flags = A, .len = 10});
    tcb_close(&tcb, true, now_ns);
    CHECK(out.seg[out.n - 1].flags & TCPF_RST);
    end();
    open_up(); /* FIN_WAIT2 does not last */
    tcb_close(&tcb, false, now_ns);
    give((struct in){.seq = IRS + 1, .ack = ISS + 2, .flags = A});
    CHECK_EQ(tcb.state, SOCK_FIN_WAIT2);
    pass(61 * NSEC_PER_SEC);
    CHECK_EQ(tcb.state, SOCK_CLOSED);
    end();
}

TEST(keepalive)
{
    open_up();
    tcb.is_keepalive = true;
    tcb.keepidle_s = 10;
    tcb.keepintvl_s = 1;
    tcb.keepcnt = 3;
    tcb_opts_changed(&tcb, now_ns);
    pass(10 * NSEC_PER_SEC + MS);
    expect(ISS, IRS + 1, A, 0);
    give((struct in){.seq = IRS + 1, .ack = ISS + 1, .flags = A});
    pass(9 * NSEC_PER_SEC);
    quiet();
    pass(2 * NSEC_PER_SEC);
    expect(ISS, IRS + 1, A, 0);
    pass(4 * NSEC_PER_SEC);
    CHECK_EQ(tcb.state, SOCK_CLOSED);
    CHECK_EQ(tcb.err, LX_ETIMEDOUT);
    end();
}

TEST(urgent)
{
    open_up();
    CHECK_EQ(bq_append(tcb.tx, payload, 10), 10);
    tcb_urgent(&tcb, now_ns);
    struct tcp_tx *t = next();
    CHECK(t->flags & TCPF_URG);
    CHECK_EQ(t->urg, 10);
    give((struct in){.seq = IRS + 1, .ack = ISS + 11, .flags = A | TCPF_URG, .len = 10, .urg = 10});
    CHECK_EQ(tcb.rx->oob, BQ_OOB_UNREAD);
    CHECK_EQ(tcb.rx->oob_pos, 9);
    CHECK_EQ(tcb.rx->oob_byte, payload[9]);
    CHECK(tcb_take_events(&tcb) & TCB_URGENT);
    end();
}

TEST(link_that_takes_nothing)
{
    open_up();
    out.refuse = 3;
    put(10, 0);
    quiet();
    pass(10 * MS);
    expect(ISS + 1, IRS + 1, AP, 10);
    end();
}

TEST(path_mtu_shrinks)
{
    open_up();
    give((struct in){.seq = IRS + 1, .ack = ISS + 1, .flags = A, .win = 60000});
    put(4 * M, 0);
    out.read = out.n;
    tcb_set_mtu(&tcb, 600, now_ns);
    CHECK_EQ(tcb.mss, 560);
    CHECK(out.n > out.read);
    while (out.read < out.n) {
        struct tcp_tx *t = next();
        CHECK(t->len <= 560 || t->gso_size == 560);
    }
    end();
}

TEST(parser)
{
    struct tcp_rx s;
    u8 h[60] = {[12] = 5 << 4};
    CHECK(!tcp_parse(h, 19, &s));
    CHECK(tcp_parse(h, 20, &s));
    h[12] = 4 << 4;
    CHECK(!tcp_parse(h, 20, &s));
    h[12] = 15 << 4;
    CHECK(!tcp_parse(h, 59, &s));
    CHECK(tcp_parse(h, 60, &s));
    u64 seed = 88172645463325252ULL;
    for (u32 i = 0; i < 2000000; i++) { /* any bytes: no more than what is there is read */
        u8 b[64];
        for (u32 k = 0; k < 8; k++) {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            memcpy(b + k * 8, &seed, 8);
        }
        u32 size = b[63] % 64;
        if (tcp_parse(b, size, &s)) {
            CHECK(s.data + s.len == b + size);
            CHECK(s.nsacks <= TCP_MAX_SACKS);
        }
    }
}

/* RFC 3168: a mark is told until the sender says that it has heard, which reduces its window once. */
TEST(ecn)
{
    fresh();
    tcb.is_ecn_asked = true;
    tcb_connect(&tcb, ISS, MTU, now_ns);
    CHECK_EQ(next()->flags, TCPF_SYN | TCPF_ECE | TCPF_CWR);
    pass(10 * MS);
    give((struct in){.seq = IRS,
                     .ack = ISS + 1,
                     .flags = TCPF_SYN | A | TCPF_ECE,
                     .mss = 1460,
                     .wscale = 7,
                     .sack_ok = true});
    CHECK(!next()->is_ect && tcb.has_ecn);
    give((struct in){.seq = IRS + 1, .ack = ISS + 1, .flags = A, .len = 100, .ce = true});
    expect(ISS + 1, IRS + 101, A | TCPF_ECE, 0);
    give((struct in){.seq = IRS + 101, .ack = ISS + 1, .flags = A, .len = 100, .ce = true});
    expect(ISS + 1, IRS + 201, A | TCPF_ECE, 0);
    give((struct in){.seq = IRS + 201, .ack = ISS + 1, .flags = A | TCPF_CWR, .len = 100});
    put(1, 0);
    struct tcp_tx *t = next();
    while (!t->len)
        t = next();
    CHECK(t->is_ect && t->flags == AP);
    u64 cwnd = tcb.cc.cwnd;
    give((struct in){.seq = IRS + 301, .ack = ISS + 2, .flags = A | TCPF_ECE});
    CHECK(tcb.cc.cwnd < cwnd);
    cwnd = tcb.cc.cwnd;
    put(1, 0);
    CHECK_EQ(next()->flags, AP | TCPF_CWR);
    put(1, 0);
    give((struct in){.seq = IRS + 301, .ack = ISS + 2, .flags = A | TCPF_ECE});
    CHECK_EQ(tcb.cc.cwnd, cwnd); /* of the same round trip */
    end();
}

TEST(ecn_is_not_had)
{
    fresh();
    tcb.is_ecn_asked = true;
    tcb_connect(&tcb, ISS, MTU, now_ns);
    next();
    pass(1000 * MS);
    CHECK_EQ(next()->flags, TCPF_SYN); /* some drop the other */
    give((struct in){.seq = IRS, .ack = ISS + 1, .flags = TCPF_SYN | A | TCPF_ECE, .mss = 1460, .wscale = -1});
    CHECK(!tcb.has_ecn);
    next();
    put(1, 0);
    CHECK(!next()->is_ect);
    end();
}

TEST(window_clamp)
{
    fresh();
    tcb.window_clamp = 2000;
    tcb_connect(&tcb, ISS, MTU, now_ns);
    CHECK_EQ(next()->win, 2000);
    give((struct in){.seq = IRS, .ack = ISS + 1, .flags = TCPF_SYN | A, .mss = 1460, .wscale = -1});
    CHECK_EQ(next()->win, 2000);
    for (u32 i = 0; i < 20; i++) {
        give((struct in){.seq = IRS + 1 + i * 1000, .ack = ISS + 1, .flags = A, .len = 1000});
        pass(50 * MS);
        while (out.read < out.n)
            CHECK(next()->win <= 2000);
        CHECK(tcb.rcv_adv >= tcb.rcv_nxt + 1000);
    }
    end();
}
