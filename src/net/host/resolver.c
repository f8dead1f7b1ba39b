/*
 * The name server of a Docker network, for a sandbox that has taken its network namespace over.
 *
 * Docker's server listens in the container's namespace at 127.0.0.11, on a port to which a rule of
 * the host's sends port 53: on the host's stack, which the sandbox has left. So port 53 of that
 * address is taken here too, and every datagram that comes is passed on through a host socket that
 * the broker has connected there. One socket serves all: a query goes out under an identifier of
 * ours, by which its answer finds the way back. 256 queries can be under way; one more replaces the
 * oldest.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "net/host/host.h"
#include "net/inet/inet.h"

#define QUERIES      256U
#define MSG_ROOM     65536U
#define THREAD_STACK (256 * 1024)
#define DNS_HEAD     12U /* the shortest message; its first two bytes are the identifier */

struct query {
    bool is_open;
    u16 key, id;      /* identifiers: ours, the program's */
    union saddr from; /* whose it is */
    u32 from_len;
};

static struct resolver {
    struct sock *sk; /* 127.0.0.11:53 of the root namespace */
    int fd;
    struct mutex lock;
    struct query queries[QUERIES];        /* guarded by lock */
    u32 next;                             /* the oldest */
    u8 query[MSG_ROOM], answer[MSG_ROOM]; /* each its thread's */
} * resolver;

static u16 open_query(struct resolver *r, u16 id, const union saddr *from, u32 from_len)
{
    MUTEX_GUARD(&r->lock);
    u32 at = r->next++ % QUERIES;
    u16 key = (u16)((net_random() << 8) | at);
    r->queries[at] = (struct query){true, key, id, *from, from_len};
    return key;
}

/* Whose an answer is, once. */
static bool close_query(struct resolver *r, u16 key, struct query *ret)
{
    MUTEX_GUARD(&r->lock);
    struct query *q = &r->queries[key % QUERIES];
    if (!q->is_open || q->key != key)
        return false;
    q->is_open = false;
    *ret = *q;
    return true;
}

static noreturn_fn void *ask_main(void *arg)
{
    struct resolver *r = arg;
    for (;;) {
        struct uio uio;
        union saddr from;
        struct cmsg_out none = {0};
        struct smsg m = {.uio = &uio, .name = &from, .cmsg = &none};
        uio_init_kernel(&uio, r->query, sizeof(r->query));
        s64 n = sock_recvmsg(r->sk, &m);
        uio_done(&uio);
        if (n < DNS_HEAD)
            continue; /* no query; or an error of a message that we have sent */
        u16 id;
        memcpy(&id, r->query, sizeof(id));
        id = open_query(r, id, &from, m.name_len);
        memcpy(r->query, &id, sizeof(id));
        /* A server that is gone is silence. */
        (void)!send(r->fd, r->query, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
}

static noreturn_fn void *answer_main(void *arg)
{
    struct resolver *r = arg;
    struct pollfd p = {r->fd, POLLIN, 0};
    for (;;) {
        struct query q;
        struct uio uio;
        u16 key;
        (void)poll(&p, 1, -1);
        ssize_t n = recv(r->fd, r->answer, sizeof(r->answer), MSG_DONTWAIT);
        if (n < DNS_HEAD)
            continue;
        memcpy(&key, r->answer, sizeof(key));
        if (!close_query(r, key, &q))
            continue;
        memcpy(r->answer, &q.id, sizeof(q.id));
        struct smsg m = {.uio = &uio,
                         .name = &q.from,
                         .name_len = q.from_len,
                         .flags = LX_MSG_DONTWAIT | LX_MSG_NOSIGNAL};
        uio_init_kernel(&uio, r->answer, (u64)n);
        s64 sent = sock_sendmsg(r->sk, &m);
        uio_done(&uio);
        if (sent < 0)
            log_debug("an answer of the name server is lost: %d", (int)sent);
    }
}

int resolver_new(struct net_ns *ns, int link)
{
    struct hostnet *h;
    union saddr at = {.in = {.family = LX_AF_INET, .port = net16(53), .addr = net32(0x7f00000b)}};
    struct resolver *r = calloc(1, sizeof(*r));
    int e = r ? hostnet_new(link, 0, &h) : -LX_ENOMEM;
    if (e == 0) {
        e = r->fd = hostnet_resolver(h);
        hostnet_free(h); /* the broker has nothing else to do, and ends */
    }
    if (e >= 0)
        e = udp_create(ns, LX_AF_INET, &r->sk);
    if (e == 0)
        e = sock_bind(r->sk, &at, sizeof(at.in));
    if (e < 0)
        return e; /* the sandbox does not start */
    mutex_init(&r->lock, "resolver");
    resolver = r;
    return 0;
}

int resolver_start(void)
{
    pthread_t thread;
    pthread_attr_t attr;
    if (!resolver)
        return 0;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, THREAD_STACK);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    int r = pthread_create(&thread, &attr, ask_main, resolver);
    if (r == 0)
        r = pthread_create(&thread, &attr, answer_main, resolver);
    pthread_attr_destroy(&attr);
    return -r;
}
