/* Expressions that remember: counter, limit, quota, last. */
#include <string.h>

#include "base/timer.h"
#include "net/nft/nft.h"

#define DEFAULT_BURST 5U

/* ---- counter ------------------------------------------------------------------------------- */

struct counter {
    struct nft_expr e;
    _Atomic u64 bytes, packets;
};

static int counter_init(struct nft_ctx *c, struct nft_expr *e, const struct nft_attr *tb)
{
    struct counter *x = container_of(e, struct counter, e);
    (void)c;
    x->bytes = nft_be64(&tb[LX_NFTA_COUNTER_BYTES]);
    x->packets = nft_be64(&tb[LX_NFTA_COUNTER_PACKETS]);
    return 0;
}

static void counter_eval(struct nft_expr *e, struct nft_regs *r, const struct nft_pkt *k)
{
    struct counter *x = container_of(e, struct counter, e);
    (void)r;
    if (!k->is_live)
        return;
    atomic_fetch_add_explicit(&x->packets, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&x->bytes, k->p->size, memory_order_relaxed);
}

static void counter_put(struct nlbuf *b, struct nft_expr *e, bool is_reset)
{
    struct counter *x = container_of(e, struct counter, e);
    u64 bytes = x->bytes, packets = x->packets;
    nft_put_be64(b, LX_NFTA_COUNTER_BYTES, bytes);
    nft_put_be64(b, LX_NFTA_COUNTER_PACKETS, packets);
    if (is_reset && !b->is_full) {
        atomic_fetch_sub(&x->bytes, bytes);
        atomic_fetch_sub(&x->packets, packets);
    }
}

const struct nft_expr_ops nft_ops_counter = {
    .name = "counter",
    .size = sizeof(struct counter),
    .nattrs = LX_NFTA_COUNTER_PACKETS,
    .is_stateful = true,
    .objtype = LX_NFT_OBJECT_COUNTER,
    .min = (const u8[]){[LX_NFTA_COUNTER_BYTES] = 8, [LX_NFTA_COUNTER_PACKETS] = 8},
    .init = counter_init,
    .eval = counter_eval,
    .put = counter_put,
};

/* ---- limit --------------------------------------------------------------------------------- */

/* A bucket of time: it fills as time goes by, and what passes takes out what it costs. */
struct limit {
    struct nft_expr e;
    struct mutex lock;
    u64 rate, nsecs, max_ns;
    u64 left_ns; /* guarded by lock */
    s64 last_ns;
    u32 burst;
    bool is_bytes, is_inverted;
};

static int limit_init(struct nft_ctx *c, struct nft_expr *e, const struct nft_attr *tb)
{
    struct limit *x = container_of(e, struct limit, e);
    u64 unit = nft_be64(&tb[LX_NFTA_LIMIT_UNIT]), all;
    u32 flags = nft_be32(&tb[LX_NFTA_LIMIT_FLAGS]), type = nft_be32(&tb[LX_NFTA_LIMIT_TYPE]);
    (void)c;
    if (!tb[LX_NFTA_LIMIT_RATE].p || !tb[LX_NFTA_LIMIT_UNIT].p)
        return -LX_EINVAL;
    if (type > LX_NFT_LIMIT_PKT_BYTES)
        return -LX_EOPNOTSUPP;
    if (flags & ~(u32)LX_NFT_LIMIT_F_INV)
        return -LX_EOPNOTSUPP;
    x->rate = nft_be64(&tb[LX_NFTA_LIMIT_RATE]);
    x->burst = nft_be32(&tb[LX_NFTA_LIMIT_BURST]);
    x->is_bytes = type == LX_NFT_LIMIT_PKT_BYTES;
    x->is_inverted = flags & LX_NFT_LIMIT_F_INV;
    if (!x->rate)
        return -LX_EINVAL;
    if (__builtin_mul_overflow(unit, (u64)NSEC_PER_SEC, &x->nsecs) || x->nsecs >= INT64_MAX ||
        x->nsecs < x->rate)
        return -LX_EOVERFLOW;
    if (!x->burst && !x->is_bytes)
        x->burst = DEFAULT_BURST;
    if (x->rate + x->burst < x->rate)
        return -LX_EOVERFLOW;
    if (!x->is_bytes) {
        if (__builtin_mul_overflow(x->nsecs / x->rate, (u64)x->burst, &x->max_ns))
            return -LX_EOVERFLOW;
    } else {
        if (__builtin_mul_overflow(x->nsecs, x->rate + x->burst, &all))
            return -LX_EOVERFLOW;
        x->max_ns = all / x->rate;
    }
    x->left_ns = x->max_ns;
    x->last_ns = clock_mono_ns();
    mutex_init(&x->lock, "nft_limit");
    return 0;
}

static u64 limit_cost(const struct limit *x, u32 size)
{
    if (!x->is_bytes)
        return x->nsecs / x->rate;
    return (u64)((unsigned __int128)x->nsecs * size / x->rate);
}

static void limit_eval(struct nft_expr *e, struct nft_regs *r, const struct nft_pkt *k)
{
    struct limit *x = container_of(e, struct limit, e);
    u64 cost = limit_cost(x, k->p->size);
    s64 now = clock_mono_ns();
    MUTEX_GUARD(&x->lock);
    u64 left = x->left_ns + (u64)MAX(now - x->last_ns, (s64)0);
    left = MIN(left, x->max_ns);
    bool is_over = left < cost;
    if (k->is_live) {
        x->last_ns = now;
        x->left_ns = is_over ? left : left - cost;
    }
    if (is_over != x->is_inverted)
        r->code = LX_NFT_BREAK;
}

static void limit_put(struct nlbuf *b, struct nft_expr *e, bool is_reset)
{
    struct limit *x = container_of(e, struct limit, e);
    (void)is_reset;
    nft_put_be64(b, LX_NFTA_LIMIT_RATE, x->rate);
    nft_put_be64(b, LX_NFTA_LIMIT_UNIT, x->nsecs / (u64)NSEC_PER_SEC);
    nft_put_be32(b, LX_NFTA_LIMIT_BURST, x->burst);
    nft_put_be32(b, LX_NFTA_LIMIT_TYPE, x->is_bytes);
    nft_put_be32(b, LX_NFTA_LIMIT_FLAGS, x->is_inverted ? LX_NFT_LIMIT_F_INV : 0);
}

const struct nft_expr_ops nft_ops_limit = {
    .name = "limit",
    .size = sizeof(struct limit),
    .nattrs = LX_NFTA_LIMIT_FLAGS,
    .is_stateful = true,
    .objtype = LX_NFT_OBJECT_LIMIT,
    .min = (const u8[]){[LX_NFTA_LIMIT_RATE] = 8,
                        [LX_NFTA_LIMIT_UNIT] = 8,
                        [LX_NFTA_LIMIT_BURST] = 4,
                        [LX_NFTA_LIMIT_TYPE] = 4,
                        [LX_NFTA_LIMIT_FLAGS] = 4},
    .init = limit_init,
    .eval = limit_eval,
    .put = limit_put,
};

/* ---- quota --------------------------------------------------------------------------------- */

struct quota {
    struct nft_expr e;
    u64 bytes;
    bool is_inverted;
    _Atomic u64 used;
};

static int quota_init(struct nft_ctx *c, struct nft_expr *e, const struct nft_attr *tb)
{
    struct quota *x = container_of(e, struct quota, e);
    u32 flags = nft_be32(&tb[LX_NFTA_QUOTA_FLAGS]);
    (void)c;
    if (!tb[LX_NFTA_QUOTA_BYTES].p)
        return -LX_EINVAL;
    x->bytes = nft_be64(&tb[LX_NFTA_QUOTA_BYTES]);
    if (x->bytes > INT64_MAX)
        return -LX_EOVERFLOW;
    x->used = nft_be64(&tb[LX_NFTA_QUOTA_CONSUMED]);
    if (x->used > x->bytes)
        return -LX_EINVAL;
    if (flags & ~(u32)LX_NFT_QUOTA_F_INV)
        return flags & ~(u32)(LX_NFT_QUOTA_F_INV | LX_NFT_QUOTA_F_DEPLETED) ? -LX_EINVAL
                                                                            : -LX_EOPNOTSUPP;
    x->is_inverted = flags & LX_NFT_QUOTA_F_INV;
    return 0;
}

static void quota_eval(struct nft_expr *e, struct nft_regs *r, const struct nft_pkt *k)
{
    struct quota *x = container_of(e, struct quota, e);
    u64 used = k->is_live ? atomic_fetch_add(&x->used, k->p->size) : (u64)x->used;
    bool is_over = used + k->p->size >= x->bytes;
    if (is_over != x->is_inverted)
        r->code = LX_NFT_BREAK;
}

static void quota_put(struct nlbuf *b, struct nft_expr *e, bool is_reset)
{
    struct quota *x = container_of(e, struct quota, e);
    u64 used = x->used, shown = MIN(used, x->bytes);
    u32 flags = (x->is_inverted ? LX_NFT_QUOTA_F_INV : 0U) |
                (used >= x->bytes ? LX_NFT_QUOTA_F_DEPLETED : 0U);
    nft_put_be64(b, LX_NFTA_QUOTA_BYTES, x->bytes);
    nft_put_be64(b, LX_NFTA_QUOTA_CONSUMED, shown);
    nft_put_be32(b, LX_NFTA_QUOTA_FLAGS, flags);
    if (is_reset && !b->is_full)
        atomic_fetch_sub(&x->used, used);
}

const struct nft_expr_ops nft_ops_quota = {
    .name = "quota",
    .size = sizeof(struct quota),
    .nattrs = LX_NFTA_QUOTA_CONSUMED,
    .is_stateful = true,
    .objtype = LX_NFT_OBJECT_QUOTA,
    .min =
        (const u8[]){
            [LX_NFTA_QUOTA_BYTES] = 8, [LX_NFTA_QUOTA_FLAGS] = 4, [LX_NFTA_QUOTA_CONSUMED] = 8},
    .init = quota_init,
    .eval = quota_eval,
    .put = quota_put,
};

/* ---- last ---------------------------------------------------------------------------------- */

struct last {
    struct nft_expr e;
    _Atomic s64 at_ns; /* 0: never */
};

static int last_init(struct nft_ctx *c, struct nft_expr *e, const struct nft_attr *tb)
{
    struct last *x = container_of(e, struct last, e);
    (void)c;
    if (nft_be32(&tb[LX_NFTA_LAST_SET]) && tb[LX_NFTA_LAST_MSECS].p) {
        u64 ago = MIN(nft_be64(&tb[LX_NFTA_LAST_MSECS]), (u64)INT64_MAX / (u64)NSEC_PER_MSEC);
        x->at_ns = clock_mono_ns() - (s64)(ago * (u64)NSEC_PER_MSEC);
    }
    return 0;
}

static void last_eval(struct nft_expr *e, struct nft_regs *r, const struct nft_pkt *k)
{
    struct last *x = container_of(e, struct last, e);
    (void)r;
    if (k->is_live)
        atomic_store_explicit(&x->at_ns, clock_mono_ns(), memory_order_relaxed);
}

static void last_put(struct nlbuf *b, struct nft_expr *e, bool is_reset)
{
    struct last *x = container_of(e, struct last, e);
    s64 at = x->at_ns;
    (void)is_reset;
    nft_put_be32(b, LX_NFTA_LAST_SET, at != 0);
    nft_put_be64(b, LX_NFTA_LAST_MSECS, at ? (u64)((clock_mono_ns() - at) / NSEC_PER_MSEC) : 0);
}

const struct nft_expr_ops nft_ops_last = {
    .name = "last",
    .size = sizeof(struct last),
    .nattrs = LX_NFTA_LAST_MSECS,
    .is_stateful = true,
    .min = (const u8[]){[LX_NFTA_LAST_SET] = 4, [LX_NFTA_LAST_MSECS] = 8},
    .init = last_init,
    .eval = last_eval,
    .put = last_put,
};
