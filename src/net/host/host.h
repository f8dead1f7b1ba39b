/*
 * host: internet sockets that are sockets of the host's (--network=host).
 *
 * Theory
 *   A namespace with a `hostnet` has no internet stack of ours. Each INET or INET6 sock is a host
 *   socket that the broker has made in the host's network namespace (wire/netproto.h); everything
 *   after that is a host call of the sentry's own on its descriptor, and none of them waits: an
 *   operation that would is tried again when the reactor (fs/hostwatch.h) has woken the sock's wait
 *   queue. Time limits, O_NONBLOCK and signals are therefore the sentry's, as everywhere.
 *
 *   What a guest hands in reaches the host only by a list: options by level and name (opt.c, which
 *   makes the sentry's filter too), ancillary data by level and type, flags by mask (msg.c). An
 *   address is bytes to the host, on a socket that the broker has made.
 *
 *   Links, addresses, routes and /proc/net are asked of the broker (broker.c), read only.
 *
 * Lock order: broker lock (a request under way) is taken with no other lock of net held.
 */
#ifndef NET_HOST_HOST_H
#define NET_HOST_HOST_H

#include "fs/hostwatch.h"
#include "host/seccomp.h"
#include "net/sock.h"

struct hostnet;

/* The root namespace's: link is the broker's socket; max_socks host sockets at most exist. */
int hostnet_new(int link, u32 max_socks, struct hostnet **ret) must_check;

/* One of ns's host sockets; family, type and protocol are checked. */
int host_sock_create(struct net_ns *ns, u16 family, s32 type, s32 protocol,
                     struct sock **ret_sk) must_check;

/* ---- broker.c ------------------------------------------------------------------------------ */

/* A descriptor. */
int hostnet_socket(struct hostnet *h, s32 family, s32 type, s32 protocol) must_check;
int hostnet_bind(struct hostnet *h, int fd, const union saddr *addr, u32 len) must_check;
/* A place for one more socket: -LX_ENFILE. */
int hostnet_charge(struct hostnet *h) must_check;
void hostnet_uncharge(struct hostnet *h);

/* ---- among the files here ------------------------------------------------------------------ */

struct host_sock {
    struct sock sk;
    int fd; /* owned; immutable */
    struct hostwatch watch;
};

static inline struct host_sock *host_sk(struct sock *sk)
{
    return container_of(sk, struct host_sock, sk);
}

/* Calls fn until it is not -LX_EAGAIN, or the deadline (0: at once) has passed. -LX_EAGAIN then. */
typedef s64 (*host_try_fn)(struct host_sock *h, void *arg);
s64 host_retry(struct host_sock *h, u32 events, s64 deadline_ns, host_try_fn fn,
               void *arg) must_check;
u32 host_poll(struct sock *sk);

s64 host_sendmsg(struct sock *sk, struct smsg *m) must_check;
s64 host_recvmsg(struct sock *sk, struct smsg *m) must_check;
int host_setsockopt(struct sock *sk, s32 level, s32 name, const struct optval *val) must_check;
int host_getsockopt(struct sock *sk, s32 level, s32 name, struct optval *val) must_check;

/* The host calls that this folder makes besides those that the sentry has anyway. Their number. */
#define HOSTNET_MAX_RULES 48
size_t hostnet_rules(struct seccomp_rule ret[HOSTNET_MAX_RULES]);

#endif
