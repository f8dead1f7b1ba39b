/*
 * netlink: requests to the kernel as messages: NETLINK_ROUTE, SOCK_DIAG and GENERIC answer,
 * NETFILTER likewise (netfilter.c),
 * KOBJECT_UEVENT is silent, and the rest do not exist (EPROTONOSUPPORT).
 *
 * A request is handled by the sender's thread; what it answers is queued at the sender's own sock.
 * A dump is produced a buffer at a time: the first with the request, more whenever the
 * queue has been read empty, so that a table of any size needs one buffer.
 */
#ifndef NET_NETLINK_NETLINK_H
#define NET_NETLINK_NETLINK_H

#include "net/host/host.h"
#include "net/mq.h"
#include "net/sock.h"

struct lx_nlmsghdr {
    u32 len;
    u16 type, flags;
    u32 seq, pid;
};
struct lx_nlattr {
    u16 len, type;
};
#define NLA_TYPE_MASK 0x3fff
#define NL_ALIGN(n)   (((n) + 3U) & ~3U)
#define NL_BUF_SIZE   3712U /* of one datagram of a dump: fits a reader's page */
#define NL_MAX_PROTO  32

/* A datagram being filled with messages. Everything after an overflow is refused. */
struct nlbuf {
    u8 *data; /* NL_BUF_SIZE bytes, or more for one large answer */
    u32 size, cap;
    u32 msg;      /* offset of the message that is open */
    u32 pid, seq; /* of the request */
    u16 flags;    /* NLM_F_MULTI in a dump */
    bool is_full;
    const char *extack; /* of a failure: static text for NLMSGERR_ATTR_MSG, or NULL */
    u32 extack_at;      /* and where the attribute to blame is, or 0 */
};
/* Opens a message with a fixed header; NULL: full. nl_end closes it, nl_cancel takes it back. */
void *nl_begin(struct nlbuf *b, u16 type, u16 flags, u32 hdr_size) must_check;
bool nl_end(struct nlbuf *b); /* false: it did not fit and is gone */
void nl_attr(struct nlbuf *b, u16 type, const void *data, u32 size);
void nl_attr_u8(struct nlbuf *b, u16 type, u8 v);
void nl_attr_u16(struct nlbuf *b, u16 type, u16 v);
void nl_attr_u32(struct nlbuf *b, u16 type, u32 v);
void nl_attr_str(struct nlbuf *b, u16 type, const char *s);
u32 nl_nest(struct nlbuf *b, u16 type);
void nl_nest_end(struct nlbuf *b, u32 at);

/* Finds an attribute after a fixed header of hdr_size; NULL when there is none of at least
 * min_size. */
const void *nl_find(const struct lx_nlmsghdr *req, u32 hdr_size, u16 type, u32 min_size,
                    u32 *ret_size);
/* The payload when it has hdr_size bytes, else NULL. */
const void *nl_payload(const struct lx_nlmsghdr *req, u32 hdr_size);

struct nl_sock;

/* A dump in progress. step fills b from *cursor and returns true when there is no more. */
struct nl_dump {
    bool (*step)(struct nl_sock *n, struct nl_dump *d, struct nlbuf *b);
    u64 cursor, what, arg[4]; /* what, arg: the step's own, from its start on */
    s32 err;      /* what NLMSG_DONE says; 0 or negative */
    bool is_over; /* step has said so; NLMSG_DONE is left */
    u32 pid, seq;
    union {
        u8 req[128]; /* the request's payload, as far as it fits */
        u64 align;
    };
    u32 req_size;
    struct host_answer host; /* owned: of the host's kernel, from which step fills */
};

struct nl_sock {
    struct sock sk;
    struct list node;                /* in netlink_ns.bound; guarded by its lock */
    u32 portid, dst_pid, dst_groups; /* guarded by sk.lock */
    bool is_bound;
    u64 groups;             /* guarded by sk.lock */
    _Atomic u32 opt;        /* bit n: SOL_NETLINK option n is on */
    struct mutex dump_lock; /* before sk.lock; one step of a dump at a time */
    bool is_dumping;        /* guarded by dump_lock, as dump */
    struct nl_dump dump;
    struct mq rxq;
};

static inline struct nl_sock *nl_sk(struct sock *sk)
{
    return container_of(sk, struct nl_sock, sk);
}

/* To every member of a group: from a socket, or from the kernel (NULL). Takes leaves only. */
void nl_broadcast(struct net_ns *ns, s32 protocol, u32 group, const struct nl_sock *from,
                  u32 except_pid, const void *data, u32 size);

/* Is anybody in the group? */
bool nl_has_listener(struct net_ns *ns, s32 protocol, u32 group);
/* Queues what b holds at n as one datagram. */
void nl_flush(struct nl_sock *n, struct nlbuf *b);
/* NLMSG_ERROR: err 0 is an acknowledgement. */
void nl_answer(struct nl_sock *n, struct nlbuf *b, const struct lx_nlmsghdr *req, int err);
/* The request that the thread is answering: its sender's port and number; 0: none. */
void nl_asker(u32 *ret_pid, u32 *ret_seq);

/*
 * One request. 0 with *ret_dump untouched: answered (into b) or nothing to say; sets ret_dump->step
 * to start a dump; negative: the error to report.
 */
typedef int (*nl_request_fn)(struct nl_sock *n, const struct lx_nlmsghdr *req, struct nlbuf *b,
                             struct nl_dump *ret_dump);
int nl_route_request(struct nl_sock *n, const struct lx_nlmsghdr *req, struct nlbuf *b,
                     struct nl_dump *ret_dump) must_check;
int nl_diag_request(struct nl_sock *n, const struct lx_nlmsghdr *req, struct nlbuf *b,
                    struct nl_dump *ret_dump) must_check;
int nl_netfilter_request(struct nl_sock *n, const struct lx_nlmsghdr *req, struct nlbuf *b,
                         struct nl_dump *ret_dump) must_check;
int nl_generic_request(struct nl_sock *n, const struct lx_nlmsghdr *req, struct nlbuf *b,
                       struct nl_dump *ret_dump) must_check;

#endif
