/* net/stack/tcb: two machines on a line that loses, delays, reorders and repeats; virtual time. */
#include "net/stack/tcb.h"
#include "net/stack/wirefmt.h"
#include "test.h"

#define MS  NSEC_PER_MSEC
#define MTU 1500U

struct flying {
    s64 at;
    u64 order;
    int to;
    struct tcp_rx s;
    u8 *data;
    u8 sack_ok;
};
#define MAX_FLYING 8192
static s64 now_ns;
static struct flying air[MAX_FLYING];
static u32 nair;
static u64 norder, rnd_state;
static struct tcb ends[2];
static s64 timers[2];
static struct {
    u32 loss_permille, dup_permille, reorder_permille;
    s64 delay, jitter, rate_ns; /* rate: time a segment takes */
} line;
static s64 line_free[2];
static u64 nlost;

static u32 rnd(u32 n)
{
    rnd_state ^= rnd_state << 13;
    rnd_state ^= rnd_state >> 7;
    rnd_state ^= rnd_state << 17;
    return (u32)(rnd_state >> 33) % n;
}

/* A segment as it is on the wire, cut into pieces of gso_size. */
static void fly_one(int to, const struct tcp_tx *t, u32 off, u32 len, bool is_last)
{
    u8 wire[120] = {0}, *h = wire;
    wr32(h + 4, t->seq + off);
    wr32(h + 8, t->ack);
    h[12] = (u8)((20 + t->optlen) / 4 << 4);
    h[13] = is_last ? t->flags : t->flags & (u8) ~(TCPF_FIN | TCPF_PSH);
    wr16(h + 14, t->win);
    wr16(h + 18, t->urg);
    memcpy(h + 20, t->opts, t->optlen);
    if (rnd(1000) < line.loss_permille) {
        nlost++;
        return;
    }
    u32 copies = 1 + (rnd(1000) < line.dup_permille);
    for (u32 k = 0; k < copies; k++) {
        if (nair == MAX_FLYING)
            return;
        struct flying *f = &air[nair++];
        CHECK(tcp_parse(wire, 20 + t->optlen, &f->s));
        f->data = malloc(len ? len : 1);
        u32 skip = off, done = 0;
        for (u32 i = 0; i < t->ndata && done < len; i++) {
            u32 have = (u32)t->data[i].iov_len;
            if (skip >= have) {
                skip -= have;
                continue;
            }
            u32 n = MIN(have - skip, len - done);
            memcpy(f->data + done, (const u8 *)t->data[i].iov_base + skip, n);
            done += n;
            skip = 0;
        }
        CHECK_EQ(done, len);
        f->s.len = f->s.piece = len;
        f->to = to;
        line_free[to] = MAX(line_free[to], now_ns) + line.rate_ns;
        f->at = line_free[to] + line.delay + (line.jitter ? rnd((u32)line.jitter) : 0);
        if (rnd(1000) < line.reorder_permille)
            f->at += 1 * MS + rnd(3 * (u32)MS);
        f->order = norder++;
    }
}

static int fly(struct tcb *c, const struct tcp_tx *t)
{
    int to = c == &ends[0] ? 1 : 0;
    u32 off = 0;
    do {
        u32 n = t->gso_size ? MIN((u32)t->gso_size, t->len - off) : t->len;
        fly_one(to, t, off, n, off + n == t->len);
        off += n;
    } while (off < t->len);
    return 0;
}
static void arm_end(struct tcb *c, s64 t)
{
    timers[c == &ends[0] ? 0 : 1] = t;
}
static void no_state(struct tcb *c)
{
}
static const struct tcb_io line_io = {fly, arm_end, no_state};

static u64 sum_in, sum_out;

/* One transfer of size bytes from 0 to 1 in virtual time; returns how long it took. */
static s64 transfer(u64 size, u64 seed)
{
    u64 put_bytes = 0, got_bytes = 0, events = 0;
    bool is_closed = false;
    rnd_state = seed;
    nair = 0;
    nlost = 0;
    sum_in = sum_out = 0;
    now_ns = 1000 * NSEC_PER_SEC;
    line_free[0] = line_free[1] = 0;
    s64 began = now_ns;
    for (int i = 0; i < 2; i++) {
        memset(&ends[i], 0, sizeof(ends[i]));
        tcb_init(&ends[i], &line_io, bq_new(1 << 20), bq_new(256 << 10));
        ends[i].hdr_overhead = 40;
        ends[i].gso_max = 65000;
        timers[i] = NO_DEADLINE;
    }
    tcb_connect(&ends[0], 0xffffff00U, MTU, now_ns); /* wraps soon */
    bool is_accepted = false;
    for (;;) {
        u32 best = UINT32_MAX;
        for (u32 i = 0; i < nair; i++)
            if (best == UINT32_MAX || air[i].at < air[best].at ||
                (air[i].at == air[best].at && air[i].order < air[best].order))
                best = i;
        s64 t = MIN(timers[0], timers[1]);
        CHECK(events++ < 40000000);
        if (best != UINT32_MAX && air[best].at <= t) {
            struct flying f = air[best];
            air[best] = air[--nair];
            now_ns = MAX(now_ns, f.at);
            f.s.data = f.data;
            if (f.to == 1 && !is_accepted) {
                if (f.s.flags & TCPF_SYN) { /* the third segment is spared: the table of half-open
                                               ones is elsewhere */
                    struct tcb_accept a = {.iss = 77,
                                           .irs = f.s.seq,
                                           .mtu = MTU,
                                           .mss = f.s.mss_opt,
                                           .wscale = f.s.wscale,
                                           .has_ts = f.s.has_ts,
                                           .has_sack = f.s.has_sack_ok,
                                           .ts_recent = f.s.tsval,
                                           .win = 128};
                    is_accepted = true;
                    tcb_accept(&ends[1], &a, now_ns);
                    struct tcp_tx sa = {
                        .seq = 77, .ack = f.s.seq + 1, .flags = TCPF_SYN | TCPF_ACK, .win = 65535};
                    sa.optlen = tcp_put_syn_opts(sa.opts, 1460, TCP_WSCALE, true, f.s.has_ts,
                                                 tcb_ts(&ends[1], now_ns), f.s.tsval);
                    (void)fly(&ends[1], &sa);
                }
            } else if (f.to == 1 && f.s.flags & TCPF_SYN) {
                struct tcp_tx sa = {
                    .seq = 77, .ack = f.s.seq + 1, .flags = TCPF_SYN | TCPF_ACK, .win = 65535};
                sa.optlen = tcp_put_syn_opts(sa.opts, 1460, TCP_WSCALE, true, f.s.has_ts,
                                             tcb_ts(&ends[1], now_ns), f.s.tsval);
                (void)fly(&ends[1], &sa);
            } else {
                tcb_input(&ends[f.to], &f.s, now_ns);
            }
            free(f.data);
        } else if (t != NO_DEADLINE) {
            now_ns = MAX(now_ns, t);
            int who = timers[0] <= timers[1] ? 0 : 1;
            timers[who] = NO_DEADLINE;
            tcb_timer(&ends[who], now_ns);
        } else {
            break;
        }
        /* The programs at the ends. */
        if (ends[0].state == SOCK_ESTABLISHED || ends[0].state == SOCK_CLOSE_WAIT) {
            for (;;) {
                mutex_lock(&ends[0].tx->lock);
                u64 space = bq_space(ends[0].tx);
                mutex_unlock(&ends[0].tx->lock);
                u8 b[8192];
                u64 n = MIN(size - put_bytes, space);
                n = MIN(n, sizeof(b));
                if (!n)
                    break;
                for (u64 i = 0; i < n; i++) {
                    b[i] = (u8)((put_bytes + i) * 31 + ((put_bytes + i) >> 8));
                    sum_in = sum_in * 31 + b[i];
                }
                CHECK_EQ(bq_append(ends[0].tx, b, n), n);
                put_bytes += n;
                tcb_push(&ends[0], put_bytes < size, now_ns);
            }
            if (put_bytes == size && !is_closed) {
                is_closed = true;
                tcb_shutdown(&ends[0], now_ns);
            }
        }
        for (;;) {
            u8 b[8192];
            struct uio u;
            uio_init_kernel(&u, b, sizeof(b));
            mutex_lock(&ends[1].rx->rlock);
            s64 n = bq_copy(ends[1].rx, ends[1].rx->head, &u, sizeof(b));
            if (n > 0)
                (void)bq_consume(ends[1].rx, (u64)n, 0);
            mutex_unlock(&ends[1].rx->rlock);
            if (n <= 0)
                break;
            for (s64 i = 0; i < n; i++) {
                CHECK_EQ(b[i], (u8)((got_bytes + (u64)i) * 31 + ((got_bytes + (u64)i) >> 8)));
                sum_out = sum_out * 31 + b[i];
            }
            got_bytes += (u64)n;
            tcb_rcvd(&ends[1], now_ns);
        }
        if (ends[1].state == SOCK_CLOSE_WAIT)
            tcb_shutdown(&ends[1], now_ns);
        if (got_bytes == size && ends[0].state >= SOCK_TIME_WAIT && ends[0].state <= SOCK_CLOSED)
            break;
    }
    for (u32 i = 0; i < nair; i++)
        free(air[i].data);
    CHECK_EQ(got_bytes, size);
    CHECK_EQ(sum_in, sum_out);
    CHECK_EQ(ends[0].err, 0);
    CHECK_EQ(ends[1].err, 0);
    for (int i = 0; i < 2; i++)
        tcb_done(&ends[i]);
    return now_ns - began;
}

#define LINE(...)                                                                                  \
    memset(&line, 0, sizeof(line));                                                                \
    line = (__typeof__(line))                                                                      \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }

TEST(line_clean)
{
    LINE(.delay = 1 * MS, .rate_ns = 12000); /* 1 Gbit/s */
    s64 t = transfer(20 << 20, 1);
    printf("# clean: 20 MiB in %lld ms\n", (long long)(t / MS));
    CHECK(t < 400 * MS);
}

TEST(line_long)
{
    LINE(.delay = 50 * MS, .rate_ns = 12000);
    s64 t = transfer(50 << 20, 2);
    printf("# 100 ms round trip: 50 MiB in %lld ms\n", (long long)(t / MS));
    CHECK(t < 4000 * MS);
}

TEST(line_lossy)
{
    for (u64 seed = 1; seed <= 5; seed++) {
        LINE(.delay = 5 * MS, .rate_ns = 12000, .loss_permille = 10);
        s64 t = transfer(4 << 20, seed);
        printf("# 1 %% loss: 4 MiB in %lld ms, %llu lost\n", (long long)(t / MS),
               (unsigned long long)nlost);
        LINE(.delay = 5 * MS, .rate_ns = 12000, .loss_permille = 50);
        t = transfer(2 << 20, seed + 100);
        printf("# 5 %% loss: 2 MiB in %lld ms, %llu lost\n", (long long)(t / MS),
               (unsigned long long)nlost);
        CHECK(t < 60 * NSEC_PER_SEC);
    }
}

TEST(line_reordering_and_duplicates)
{
    for (u64 seed = 1; seed <= 5; seed++) {
        LINE(.delay = 10 * MS, .rate_ns = 12000, .reorder_permille = 250, .dup_permille = 20,
             .loss_permille = seed == 5 ? 20 : 0);
        s64 t = transfer(4 << 20, seed);
        printf("# reordering: 4 MiB in %lld ms\n", (long long)(t / MS));
        CHECK(t < 60 * NSEC_PER_SEC);
    }
}

TEST(line_awful)
{
    for (u64 seed = 1; seed <= 10; seed++) {
        LINE(.delay = 2 * MS, .jitter = 20 * MS, .rate_ns = 100000, .loss_permille = 200,
             .dup_permille = 100, .reorder_permille = 300);
        s64 t = transfer(100 << 10, seed);
        CHECK(t < 1000 * NSEC_PER_SEC);
    }
}
