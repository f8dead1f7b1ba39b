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
 * Lock order: the broker's lock (a request under way) is taken with no other lock of net held.
 */
#ifndef NET_HOST_HOST_H
#define NET_HOST_HOST_H

#include "fs/hostwatch.h"
#include "host/seccomp.h"
#include "net/sock.h"

struct hostnet;

/* The root namespace's: link is the broker's socket; max_socks host sockets at most exist. */
int hostnet_new(int link, u32 max_socks, struct hostnet **ret) must_check;

/* Ends the link, and with it the broker. Nothing else refers to h. */
void hostnet_free(struct hostnet *h);

/* resolver.c: the name server of a network that was taken over, in ns; link: the broker's socket,
 * consumed. Before the first task; then, once the filter is in force, its threads. */
int resolver_new(struct net_ns *ns, int link) must_check;
int resolver_start(void) must_check;

/* One of ns's host sockets; family, type and protocol are checked. */
int host_sock_create(struct net_ns *ns, u16 family, s32 type, s32 protocol,
                     struct sock **ret_sk) must_check;

/* ---- broker.c ------------------------------------------------------------------------------ */

/* A descriptor. */
int hostnet_socket(struct hostnet *h, s32 family, s32 type, s32 protocol) must_check;
/* A UDP socket that is connected to the name server. */
int hostnet_resolver(struct hostnet *h) must_check;
int hostnet_bind(struct hostnet *h, int fd, const union saddr *addr, u32 len) must_check;
/* What the host's kernel answers to a question of NETLINK_ROUTE: whole messages, charged to
 * NET_MEM_MAX. */
#define HOST_ANSWER_MAX (4U << 20)
struct host_answer {
    u8 *data; /* owned */
    u32 size, cap;
};
struct lx_nlmsghdr;
struct netdev_info;
/*
 * Asks. The answer's messages without its end, to be ended by host_answer_done; or the error that
 * it says, -LX_ENOBUFS, -LX_EIO. is_strict: as NETLINK_GET_STRICT_CHK.
 */
int hostnet_route(struct hostnet *h, const struct lx_nlmsghdr *req, bool is_strict,
                  struct host_answer *ret) must_check;
void host_answer_done(struct host_answer *a);
/* The message at *at, which advances; NULL: no more. */
const struct lx_nlmsghdr *host_answer_next(const struct host_answer *a, u64 *at) must_check;
/* For hostnet_route: more data; and the error at the end of an answer, which is cut off. */
int host_answer_add(struct host_answer *a, const void *data, u32 size) must_check;
int host_answer_error(struct host_answer *a) must_check;
/* The interface with this name, or with the next index after `after` when name is NULL. */
bool hostnet_netdev(struct hostnet *h, s32 after, const char *name,
                    struct netdev_info *ret) must_check;

/* Reads the host's /proc/net/NAME at off: bytes, 0 at the end. -LX_ENOENT: not one of the host's.
 */
s64 hostnet_proc_read(struct hostnet *h, const char *name, u64 off, void *buf, u32 size) must_check;

/* A place for one more socket: -LX_ENFILE. */
int hostnet_charge(struct hostnet *h) must_check;
void hostnet_uncharge(struct hostnet *h);

/* ---- among the files here ------------------------------------------------------------------ */

struct host_sock {
    struct sock sk;
    int fd; /* owned; immutable */
    struct hostwatch watch;
    union saddr
        peer; /* accepted: of whom, which a reset would make forget; immutable, as its size */
    u32 peer_len;
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
