/*
 * Socket filters: a classic BPF program that sees every packet on its way into a sock's queue
 * and says how much of it to keep; 0 drops it.
 */
#ifndef NET_FILTER_H
#define NET_FILTER_H

#include "kern/bpf.h"
#include "net/sock.h"

#define FILTER_KEEP_ALL UINT32_MAX

/* SO_ATTACH_FILTER, SO_DETACH_FILTER, SO_LOCK_FILTER, SO_GET_FILTER. */
int filter_attach(struct sock *sk, const struct optval *val) must_check;
int filter_detach(struct sock *sk) must_check;
int filter_lock(struct sock *sk, s32 v) must_check;
int filter_read(struct sock *sk, struct optval *val) must_check;
/* SO_ATTACH_REUSEPORT_CBPF, SO_DETACH_REUSEPORT_BPF */
int filter_attach_reuseport(struct sock *sk, const struct optval *val) must_check;
int filter_detach_reuseport(struct sock *sk) must_check;

void filter_put(struct skfilter *f);
/* A child gets its listener's. */
void filter_inherit(struct sock *child, struct sock *from);

static inline bool filter_is_set(const struct sock *sk)
{
    return atomic_load_explicit(&sk->filter, memory_order_relaxed) != NULL;
}
/* Bytes of the packet (counted from p->data) to keep; FILTER_KEEP_ALL without a program. */
u32 filter_run(struct sock *sk, const struct bpf_packet *p);
/* For payloads without headers: UNIX and netlink messages. */
static inline u32 filter_run_bytes(struct sock *sk, const u8 *data, u32 size)
{
    struct bpf_packet p = {.buf = data, .size = size};
    return likely(!filter_is_set(sk)) ? FILTER_KEEP_ALL : filter_run(sk, &p);
}
/* Which of a reuseport group's socks a packet is for: an index, or UINT32_MAX: no program. */
u32 filter_pick(struct sock *sk, const u8 *payload, u32 size);

#endif
