/*
 * sock: what is behind a socket file.
 *
 * Life cycle: sock_init by its family's create → sock_file makes the file that owns the first
 * reference → file release calls ops->release, which takes the sock out of
 * its tables and away from its peer → the last sock_put calls ops->destroy. A sock on a backlog has
 * no file yet. Peers, queued messages and tables hold references.
 *
 * ops->release and ops->destroy run with no locks held.
 */
#ifndef NET_SOCK_H
#define NET_SOCK_H

#include "base/wait.h"
#include "mm/uio.h"
#include "net/net.h"
#include "net/scm.h"
#include "net/sockaddr.h"
#include "vfs/vfs.h"

/* sock.state, for every family: the numbers of /proc/net and of TCP_INFO. */
enum sock_state {
    SOCK_ESTABLISHED = 1,
    SOCK_SYN_SENT,
    SOCK_SYN_RECV,
    SOCK_FIN_WAIT1,
    SOCK_FIN_WAIT2,
    SOCK_TIME_WAIT,
    SOCK_CLOSED,
    SOCK_CLOSE_WAIT,
    SOCK_LAST_ACK,
    SOCK_LISTEN,
    SOCK_CLOSING,
};

#define SHUT_RCV  1U
#define SHUT_SND  2U
#define SHUT_MASK 3U

#define WAIT_READABLE (WAIT_IN | WAIT_RDNORM)
#define WAIT_WRITABLE (WAIT_OUT | WAIT_WRNORM)

#define SOCK_BUF_DEFAULT 212992 /* net.core.{r,w}mem_{default,max} */
#define SOCK_MIN_SNDBUF  4608
#define SOCK_MIN_RCVBUF  2304

/* A message on its way through a socket, in kernel form. */
struct smsg {
    struct uio *uio;
    union saddr *name;      /* send: destination; receive: filled, or NULL */
    u32 name_len;           /* send: 0: none. receive: 0 on entry; what was filled */
    const u8 *control;      /* send */
    u32 control_len;
    struct cmsg_out *cmsg;  /* receive, never NULL there */
    u32 flags;              /* LX_MSG_*; LX_MSG_DONTWAIT covers O_NONBLOCK too */
    u32 ret_flags;          /* receive: msg_flags */
};

/* The value of an option: in a guest or ours. */
struct optval {
    u8 *kern;      /* ours, or NULL */
    uaddr_t user;
    u32 len;       /* set: its size. get: the room; on return the size written */
};
/* The first `size` bytes of a value; -LX_EINVAL when it is shorter, -LX_EFAULT. */
int optval_read(const struct optval *o, void *dst, u32 size) must_check;
int optval_read_at(const struct optval *o, u32 off, void *dst, u32 size) must_check;
static inline must_check int optval_int(const struct optval *o, s32 *ret)
{
    return optval_read(o, ret, sizeof(*ret));
}
/* Writes min(len, size) bytes and sets len to that. */
int optval_write(struct optval *o, const void *src, u32 size) must_check;
int optval_write_int(struct optval *o, s32 v) must_check;

struct sock_ops {
    const char *name; /* for debug printing */
    bool is_host;     /* a socket of the host's (host/host.h): all options are the family's, and no
                       * list of this namespace shows it */
    /* addr has at least 2 bytes (len >= 2 is the family's to check); zero-padded to its union. */
    int (*bind)(struct sock *sk, const union saddr *addr, u32 len) must_check;
    int (*connect)(struct sock *sk, const union saddr *addr, u32 len, bool is_nonblock) must_check;
    int (*listen)(struct sock *sk, s32 backlog) must_check;
    /* A connected sock with one reference. Blocking by the timeout. */
    int (*accept)(struct sock *sk, bool is_nonblock, struct sock **ret_child) must_check;
    int (*getname)(struct sock *sk, union saddr *ret, u32 *ret_len) must_check;
    int (*getpeer)(struct sock *sk, union saddr *ret, u32 *ret_len) must_check;
    int (*pair)(struct sock *a, struct sock *b) must_check;
    s64 (*sendmsg)(struct sock *sk, struct smsg *m) must_check;
    s64 (*recvmsg)(struct sock *sk, struct smsg *m) must_check;
    int (*shutdown)(struct sock *sk, u32 how) must_check; /* how: SHUT_RCV | SHUT_SND */
    /* Levels other than SOL_SOCKET, and those SOL_SOCKET names that only the family knows:
     * -LX_ENOPROTOOPT for the unknown. Absent: LX_EOPNOTSUPP. */
    int (*setsockopt)(struct sock *sk, s32 level, s32 name, const struct optval *val) must_check;
    int (*getsockopt)(struct sock *sk, s32 level, s32 name, struct optval *val) must_check;
    u32 (*poll)(struct sock *sk);
    s64 (*ioctl)(struct sock *sk, u32 cmd, u64 arg) must_check; /* -LX_ENOIOCTLCMD: not mine */
    /* A buffer size, rcvlowat or other generic option changed. Optional. */
    void (*opt_changed)(struct sock *sk);
    void (*release)(struct sock *sk);
    void (*destroy)(struct sock *sk); /* frees what the family added; the core frees the sock */
    /* Garbage collection; for families whose messages carry files. */
    void (*for_each_files)(struct sock *sk, void (*fn)(struct scm_files *, void *), void *arg);
    void (*purge)(struct sock *sk);
    /* mmap of the socket: as file_ops.host_fd; told of VMAs made and gone. */
    int (*host_fd)(struct sock *sk, u64 offset, u64 size, bool is_writable_shared, int *ret_fd,
                   u64 *ret_offset) must_check;
    void (*mapped)(struct sock *sk, bool is_more);
};

#define LX_ENOIOCTLCMD 515

/* sock.flags: boolean options; changed with atomic or/and-not. */
#define SKF_DEBUG       (1U << 0)
#define SKF_REUSEADDR   (1U << 1)
#define SKF_REUSEPORT   (1U << 2)
#define SKF_KEEPALIVE   (1U << 3)
#define SKF_BROADCAST   (1U << 4)
#define SKF_DONTROUTE   (1U << 5)
#define SKF_OOBINLINE   (1U << 6)
#define SKF_PASSCRED    (1U << 7)
#define SKF_PASSPIDFD   (1U << 8)
#define SKF_PASSSEC     (1U << 9)
#define SKF_TSTAMP      (1U << 10) /* SO_TIMESTAMP */
#define SKF_TSTAMPNS    (1U << 11)
#define SKF_TSTAMP_NEW  (1U << 12) /* the 64-bit variants, which are the same layout here */
#define SKF_NO_CHECK    (1U << 13)
#define SKF_RXQ_OVFL    (1U << 14)
#define SKF_WIFI_STATUS (1U << 15)
#define SKF_NOFCS       (1U << 16)
#define SKF_ERR_QUEUE   (1U << 17) /* SO_SELECT_ERR_QUEUE */
#define SKF_LINGER      (1U << 18)
#define SKF_ZEROCOPY    (1U << 19)
#define SKF_SNDBUF_LOCK (1U << 20)
#define SKF_RCVBUF_LOCK (1U << 21)
#define SKF_FILTER_LOCK (1U << 22)
#define SKF_RCVMARK     (1U << 23)
#define SKF_BUSY_PREFER (1U << 24)
#define SKF_DEAD        (1U << 25) /* its file is gone */
#define SKF_HAS_PEERCRED (1U << 26)
#define SKF_STAMPING    (1U << 27) /* SIOCGSTAMP was asked for: stamp everything */

/* SO_TIMESTAMPING's flags that mean something here: software stamps. */
#define LX_SOF_TX_SOFTWARE (1U << 1)
#define LX_SOF_RX_SOFTWARE (1U << 3)
#define LX_SOF_SOFTWARE    (1U << 4)
#define LX_SOF_OPT_ID      (1U << 7)
#define LX_SOF_TX_SCHED    (1U << 8)
#define LX_SOF_TX_ACK      (1U << 9)
#define LX_SOF_OPT_TSONLY  (1U << 11)
#define LX_SOF_TX_ANY      (LX_SOF_TX_SOFTWARE | LX_SOF_TX_SCHED | LX_SOF_TX_ACK)

struct skfilter;

struct sock {
    struct ref ref;
    const struct sock_ops *ops; /* immutable */
    u16 family;                 /* immutable, as type */
    u16 type;                   /* LX_SOCK_* without flags */
    s32 protocol;               /* immutable after creation */
    struct net_ns *ns;          /* owned */
    struct list ns_node;        /* guarded by ns->socks_lock */
    u64 cookie;                 /* SO_COOKIE; immutable */
    _Atomic u64 ino;            /* of the file's inode; 0 without a file */
    struct file *file;          /* not owned; valid while it lives: from sock_file to release;
                                 * cleared under lock */
    u32 uid, gid;               /* kuid and kgid of the creator; immutable */
    const struct landlock_domain *domain; /* of the creator, owned, or NULL; immutable */
    struct waitq wq;

    struct mutex lock;
    _Atomic u32 state;          /* enum sock_state; written under lock */
    _Atomic u32 shutdown;       /* SHUT_*; written under lock or by the peer with or */
    _Atomic s32 err;            /* SO_ERROR, positive; taken by exchange */
    _Atomic s32 err_soft;       /* reported by SO_ERROR only */

    _Atomic u32 flags;          /* SKF_* */
    /* Options: each an independent value. */
    _Atomic s32 sndbuf, rcvbuf, rcvlowat;
    _Atomic s64 sndtimeo_ns, rcvtimeo_ns; /* negative: none */
    _Atomic u64 linger_s;
    _Atomic s32 priority, peek_off, bound_dev, incoming_cpu, busy_poll, busy_poll_budget;
    _Atomic u32 mark, tsflags, tskey;
    _Atomic u64 max_pacing_rate, txtime;
    _Atomic s32 txrehash;
    _Atomic s64 last_stamp_ns; /* SIOCGSTAMP; -1: nothing was received, 0: received without a stamp */

    _Atomic u32 wmem, rmem;     /* bytes of messages: sent and not yet taken; waiting here (mq.h) */
    _Atomic u32 drops;          /* messages that found no room */

    struct mutex filter_lock;   /* leaf */
    _Atomic(struct skfilter *) filter, reuse_filter; /* owned; written under filter_lock; filter.h */

    struct scm_who peercred;    /* guarded by lock; owned */
    const struct cred *peer_groups; /* owned, or NULL: credentials for SO_PEERGROUPS */

    /* Garbage collection: guarded by the gc lock. */
    struct list gc_node;
    u32 inflight, gc_count;
    bool gc_is_candidate, gc_is_queued;
};

/* Fills a zeroed sock. On failure (limits) the caller frees the memory. */
int sock_init(struct sock *sk, const struct sock_ops *ops, struct net_ns *ns, u16 family, u16 type,
              s32 protocol) must_check;
static inline void sock_get(struct sock *sk)
{
    ref_get(&sk->ref);
}
void sock_put(struct sock *sk);
/* A file for sk; consumes the reference on success. flags: LX_SOCK_NONBLOCK. */
int sock_file(struct sock *sk, u32 flags, struct file **ret_f) must_check;
/* NULL when f is no socket. */
struct sock *sock_of_file(struct file *f);

int sock_create(s32 family, s32 type, s32 protocol, struct sock **ret_sk) must_check;

/* The operations, after copying in; flags are checked here. */
int sock_socket(s32 family, s32 type, s32 protocol, struct file **ret_f) must_check;
int sock_socketpair(s32 family, s32 type, s32 protocol, struct file *ret_f[2]) must_check;
int sock_accept(struct sock *sk, u32 flags, bool is_nonblock, struct file **ret_f,
                union saddr *ret_peer, u32 *ret_peer_len) must_check;
int sock_bind(struct sock *sk, const union saddr *addr, u32 len) must_check;
int sock_connect(struct sock *sk, const union saddr *addr, u32 len, bool is_nonblock) must_check;
int sock_listen(struct sock *sk, s32 backlog) must_check;
int sock_shutdown(struct sock *sk, s32 how) must_check;
s64 sock_sendmsg(struct sock *sk, struct smsg *m) must_check;
s64 sock_recvmsg(struct sock *sk, struct smsg *m) must_check;
int sock_setsockopt(struct sock *sk, s32 level, s32 name, const struct optval *val) must_check;
int sock_getsockopt(struct sock *sk, s32 level, s32 name, struct optval *val) must_check;
/* SOL_SOCKET (sockopt.c). */
int sock_setsockopt_generic(struct sock *sk, s32 name, const struct optval *val) must_check;
int sock_getsockopt_generic(struct sock *sk, s32 name, struct optval *val) must_check;

/* Families: create checks type and protocol. */
int unix_create(struct net_ns *ns, s32 type, s32 protocol, struct sock **ret_sk) must_check;
int inet_create(struct net_ns *ns, u16 family, s32 type, s32 protocol,
                struct sock **ret_sk) must_check;
int netlink_create(struct net_ns *ns, s32 type, s32 protocol, struct sock **ret_sk) must_check;
int packet_create(struct net_ns *ns, s32 type, s32 protocol, struct sock **ret_sk) must_check;

/* ---- for protocols ------------------------------------------------------------------------- */

static inline u32 sock_flags(const struct sock *sk)
{
    return atomic_load_explicit(&sk->flags, memory_order_relaxed);
}
static inline bool sock_has(const struct sock *sk, u32 flag)
{
    return sock_flags(sk) & flag;
}
static inline void sock_set_flag(struct sock *sk, u32 flag, bool is_on)
{
    if (is_on)
        atomic_fetch_or_explicit(&sk->flags, flag, memory_order_relaxed);
    else
        atomic_fetch_and_explicit(&sk->flags, ~flag, memory_order_relaxed);
}
static inline u32 sock_state(const struct sock *sk)
{
    return atomic_load_explicit(&sk->state, memory_order_acquire);
}
static inline void sock_set_state(struct sock *sk, enum sock_state s)
{
    atomic_store_explicit(&sk->state, s, memory_order_release);
}
static inline u32 sock_shut(const struct sock *sk)
{
    return atomic_load_explicit(&sk->shutdown, memory_order_acquire);
}
/* Takes the pending error: 0 or -errno. */
static inline int sock_error(struct sock *sk)
{
    if (likely(atomic_load_explicit(&sk->err, memory_order_relaxed) == 0))
        return 0;
    return -atomic_exchange(&sk->err, 0);
}
/* Urgent data came: SIGURG to the owner of the sock's file. */
void sock_urgent(struct sock *sk);
/* Sets SO_ERROR and wakes everybody. */
void sock_report(struct sock *sk, int err);

/* Deadlines of a blocking operation; is_nonblock gives 0, which has passed. */
s64 sock_recv_deadline(const struct sock *sk, bool is_nonblock);
s64 sock_send_deadline(const struct sock *sk, bool is_nonblock);
/* What an ended wait means: r of wait_event_interruptible, and the deadline it had. */
static inline int sock_wait_error(int r, s64 deadline_ns)
{
    if (r == -LX_ETIMEDOUT)
        return -LX_EAGAIN;
    return r == -LX_ERESTARTSYS && deadline_ns != NO_DEADLINE ? -LX_EINTR : r;
}
/* -LX_EPIPE after sending SIGPIPE, unless MSG_NOSIGNAL. */
s64 sock_epipe(const struct smsg *m);
/* SO_PEERCRED of sk from the calling task, or from another sock's. REQUIRES sk->lock. */
void sock_set_peercred_current(struct sock *sk);
void sock_copy_peercred(struct sock *sk, struct sock *from);

/* SO_TIMESTAMP and kin for a message that arrived at stamp_ns (CLOCK_REALTIME; 0: now). */
void sock_put_timestamp(struct sock *sk, struct cmsg_out *c, s64 stamp_ns);
/* SCM_TIMESTAMPING with a software stamp. */
void sock_put_scm_timestamping(struct cmsg_out *c, s64 stamp_ns);
/* SIOCGSTAMP and SIOCGSTAMPNS. */
s64 sock_get_stamp(struct sock *sk, bool is_ns, uaddr_t to) must_check;
s64 sock_real_ns(void); /* CLOCK_REALTIME */
/* Current time for a queued message when the sock wants it, else 0. */
s64 sock_stamp(const struct sock *sk);

/* Does the current task have the capability in the sock's namespace's owner? */
bool net_capable(const struct net_ns *ns, int cap);

/*
 * The next socks of a family and protocol (negative: any), in order of their cookies, referenced:
 * those with a cookie above `after`. How many, at most max.
 */
u32 net_collect(struct net_ns *ns, u64 after, u16 family, s32 protocol, struct sock **ret_socks,
                u32 max);

#endif
