/*
 * Attaching, keeping and running socket filters. A program is immutable and counted; a sock's
 * pointer to it is guarded by sk.filter_lock, a leaf, which a run holds only to take a reference.
 */
#include "net/filter.h"

#include <stdlib.h>
#include <string.h>

struct skfilter {
    struct ref ref;
    u32 count;
    struct lx_sock_filter insns[];
};

struct lx_sock_fprog {
    u16 len, pad[3];
    u64 filter;
};

void filter_put(struct skfilter *f)
{
    if (f && ref_put(&f->ref))
        free(f);
}

static int read_program(const struct optval *val, struct skfilter **ret_f)
{
    struct lx_sock_fprog fp;
    if (val->len != sizeof(fp))
        return -LX_EINVAL;
    int r = optval_read(val, &fp, sizeof(fp));
    if (r < 0)
        return r;
    if (!fp.filter || fp.len == 0 || fp.len > LX_BPF_MAXINSNS)
        return -LX_EINVAL;
    struct skfilter *f = malloc(sizeof(*f) + fp.len * sizeof(f->insns[0]));
    if (!f)
        return -LX_ENOMEM;
    ref_init(&f->ref);
    f->count = fp.len;
    r = copy_in(f->insns, uaddr(fp.filter), fp.len * sizeof(f->insns[0]));
    if (r == 0)
        r = bpf_check_packet(f->insns, fp.len);
    if (r < 0)
        filter_put(f);
    else
        *ret_f = f;
    return r;
}

static struct skfilter *take(struct sock *sk, _Atomic(struct skfilter *) *where)
{
    MUTEX_GUARD(&sk->filter_lock);
    struct skfilter *f = atomic_load(where);
    if (f)
        ref_get(&f->ref);
    return f;
}

/* Puts f (consumed) in place of what was there, which is dropped; false: nothing was there. */
static bool replace(struct sock *sk, _Atomic(struct skfilter *) *where, struct skfilter *f)
{
    mutex_lock(&sk->filter_lock);
    struct skfilter *old = atomic_exchange(where, f);
    mutex_unlock(&sk->filter_lock);
    filter_put(old);
    return old;
}

int filter_attach(struct sock *sk, const struct optval *val)
{
    struct skfilter *f;
    if (sock_has(sk, SKF_FILTER_LOCK))
        return -LX_EPERM;
    int r = read_program(val, &f);
    if (r == 0)
        (void)replace(sk, &sk->filter, f); /* whether there was one before makes no difference */
    return r;
}

int filter_detach(struct sock *sk)
{
    if (sock_has(sk, SKF_FILTER_LOCK))
        return -LX_EPERM;
    if (!replace(sk, &sk->filter, NULL))
        return -LX_ENOENT;
    if (sk->ops->opt_changed)
        sk->ops->opt_changed(sk);
    return 0;
}

int filter_lock(struct sock *sk, s32 v)
{
    if (sock_has(sk, SKF_FILTER_LOCK) && !v)
        return -LX_EPERM;
    sock_set_flag(sk, SKF_FILTER_LOCK, v != 0);
    return 0;
}

/* The size, in and out, counts instructions. */
int filter_read(struct sock *sk, struct optval *val)
{
    struct skfilter *f = take(sk, &sk->filter);
    u32 room = val->len;
    int r = 0;
    val->len = f ? f->count : 0;
    if (f && room) {
        if (room < f->count)
            r = -LX_EINVAL;
        else if (!val->kern)
            r = copy_out(val->user, f->insns, f->count * sizeof(f->insns[0]));
    }
    filter_put(f);
    return r;
}

int filter_attach_reuseport(struct sock *sk, const struct optval *val)
{
    struct skfilter *f;
    int r = read_program(val, &f);
    if (r < 0)
        return r;
    if (!sock_has(sk, SKF_REUSEPORT)) {
        filter_put(f);
        return -LX_EINVAL;
    }
    (void)replace(sk, &sk->reuse_filter, f); /* as above */
    return 0;
}

int filter_detach_reuseport(struct sock *sk)
{
    if (!sock_has(sk, SKF_REUSEPORT))
        return -LX_ENOENT;
    return replace(sk, &sk->reuse_filter, NULL) ? 0 : -LX_ENOENT;
}

void filter_inherit(struct sock *child, struct sock *from)
{
    if (likely(!filter_is_set(from)))
        return;
    (void)replace(child, &child->filter, take(from, &from->filter)); /* it had none */
}

u32 filter_run(struct sock *sk, const struct bpf_packet *p)
{
    struct skfilter *f = take(sk, &sk->filter);
    u32 keep = f ? bpf_run_packet(f->insns, p) : FILTER_KEEP_ALL;
    filter_put(f);
    return keep;
}

u32 filter_pick(struct sock *sk, const u8 *payload, u32 size)
{
    if (likely(!atomic_load_explicit(&sk->reuse_filter, memory_order_relaxed)))
        return UINT32_MAX;
    struct skfilter *f = take(sk, &sk->reuse_filter);
    struct bpf_packet p = {.buf = payload, .size = size};
    u32 pick = f ? bpf_run_packet(f->insns, &p) : UINT32_MAX;
    filter_put(f);
    return pick;
}
