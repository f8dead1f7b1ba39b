/* See gofer_conn.h. */
#include "fs/gofer_conn.h"

#include <stdlib.h>

#include "abi/errno.h"
#include "base/list.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/ref.h"
#include "base/wait.h"
#include "host/fdio.h"
#include "host/fdpass.h"

#define MAX_LANES 64

struct gofer_lane {
    int fd;
    u32 seq;
    struct gofer_lane *next_free; /* guarded by conn.lock */
    struct gp_resp resp;
    u8 out[GP_MAX_MSG], in[GP_MAX_MSG];
};

struct gofer_conn {
    struct ref ref;
    struct list all;      /* guarded by conns_lock */
    _Atomic bool is_dead; /* set once */
    _Atomic u64 ncalls;
    u32 nlanes;
    struct gofer_lane **lanes; /* immutable */
    struct mutex lock;
    struct gofer_lane *free; /* guarded by lock */
    struct waitq wait;       /* for a free lane */
    struct mutex forget_lock;
    u32 nforget; /* guarded by forget_lock */
    u64 forget[GP_MAX_FORGET];
};

static struct mutex conns_lock = MUTEX_INIT("gofer_conns");
static struct list conns = LIST_INIT(conns); /* guarded by conns_lock */

/* ---- life cycle ---------------------------------------------------------------------------- */

static void conn_free(struct gofer_conn *c)
{
    for (u32 i = 0; c->lanes && i < c->nlanes; i++) {
        if (c->lanes[i])
            host_close(c->lanes[i]->fd);
        free(c->lanes[i]);
    }
    free(c->lanes);
    free(c);
}

static struct gofer_conn *conn_new(const int *fds, u32 nlanes)
{
    struct gofer_conn *c = calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    ref_init(&c->ref);
    mutex_init(&c->lock, "gofer_conn");
    mutex_init(&c->forget_lock, "gofer_forget");
    waitq_init(&c->wait);
    c->lanes = calloc(nlanes, sizeof(struct gofer_lane *));
    if (!c->lanes)
        goto fail;
    c->nlanes = nlanes;
    for (u32 i = 0; i < nlanes; i++) {
        c->lanes[i] = malloc(sizeof(struct gofer_lane));
        if (!c->lanes[i])
            goto fail;
        c->lanes[i]->fd = -1;
    }
    for (u32 i = 0; i < nlanes; i++) {
        c->lanes[i]->fd = fds[i];
        c->lanes[i]->seq = 0;
        c->lanes[i]->next_free = c->free;
        c->free = c->lanes[i];
    }
    return c;
fail:
    conn_free(c);
    return NULL;
}

int gofer_conn_get(const int *lane_fds, u32 nlanes, struct gofer_conn **ret_conn)
{
    if (nlanes == 0 || nlanes > MAX_LANES)
        return -LX_EINVAL;
    MUTEX_GUARD(&conns_lock);
    struct gofer_conn *c;
    list_for_each (c, &conns, all) {
        if (c->lanes[0]->fd == lane_fds[0]) {
            ref_get(&c->ref);
            *ret_conn = c;
            return 0;
        }
    }
    c = conn_new(lane_fds, nlanes);
    if (!c)
        return -LX_ENOMEM;
    list_add_tail(&conns, &c->all);
    *ret_conn = c;
    return 0;
}

void gofer_conn_put(struct gofer_conn *c)
{
    if (!c)
        return;
    mutex_lock(&conns_lock);
    bool is_last = ref_put(&c->ref);
    if (is_last)
        list_del(&c->all);
    mutex_unlock(&conns_lock);
    if (is_last)
        conn_free(c);
}

bool gofer_conn_is_dead(const struct gofer_conn *c)
{
    return atomic_load_explicit(&c->is_dead, memory_order_relaxed);
}

u64 gofer_conn_ncalls(const struct gofer_conn *c)
{
    return atomic_load_explicit(&c->ncalls, memory_order_relaxed);
}

static void conn_die(struct gofer_conn *c, const char *why)
{
    if (!atomic_exchange(&c->is_dead, true))
        log_error("the gofer %s: its files are gone (EIO)", why);
    for (u32 i = 0; i < c->nlanes; i++)
        host_shutdown(c->lanes[i]->fd); /* other threads may wait for answers */
    waitq_wake(&c->wait, WAIT_ALL);
}

/* ---- lanes --------------------------------------------------------------------------------- */

static struct gofer_lane *try_take_lane(struct gofer_conn *c)
{
    MUTEX_GUARD(&c->lock);
    struct gofer_lane *l = c->free;
    if (l)
        c->free = l->next_free;
    return l;
}

/* Waits for a free lane; NULL when the connection is dead. */
static struct gofer_lane *take_lane(struct gofer_conn *c)
{
    if (gofer_conn_is_dead(c))
        return NULL;
    struct gofer_lane *l = try_take_lane(c);
    if (l)
        return l;
    struct waiter w;
    waiter_init_thread(&w, WAIT_ALL);
    waitq_add_exclusive(&c->wait, &w);
    while (!gofer_conn_is_dead(c) && !(l = try_take_lane(c)))
        park_uninterruptible(NO_DEADLINE);
    waitq_del(&c->wait, &w);
    return l;
}

static void put_lane(struct gofer_conn *c, struct gofer_lane *l)
{
    mutex_lock(&c->lock);
    l->next_free = c->free;
    c->free = l;
    mutex_unlock(&c->lock);
    waitq_wake_n(&c->wait, WAIT_ALL, 1);
}

/* One request and its answer on a lane. -LX_EIO: the connection is dead now. */
static int round_trip(struct gofer_conn *c, struct gofer_lane *l, struct gofer_call *call)
{
    call->req.seq = ++l->seq;
    size_t size = gp_req_encode(&call->req, l->out, sizeof(l->out));
    if (size == 0)
        panic("gofer request %s does not encode", gp_op_name(call->req.op));
    atomic_fetch_add_explicit(&c->ncalls, 1, memory_order_relaxed);
    if (host_send_fds(l->fd, l->out, size, NULL, 0) < 0) {
        conn_die(c, "does not take requests");
        return -LX_EIO;
    }
    s64 n = host_recv_fds(l->fd, l->in, sizeof(l->in), call->fds, GP_MAX_FDS, &call->nfds);
    if (n <= 0) {
        conn_die(c, n == 0 ? "has gone" : "sent a message that is too large");
        return -LX_EIO;
    }
    if (!gp_resp_decode(l->in, (size_t)n, &l->resp) || l->resp.op != call->req.op ||
        l->resp.seq != call->req.seq || l->resp.nfds < call->nfds) {
        conn_die(c, "sent a malformed answer");
        return -LX_EIO;
    }
    return l->resp.nfds > call->nfds ? -LX_ENFILE : l->resp.err; /* no room here for the fds */
}

int gofer_call(struct gofer_conn *c, struct gofer_call *call)
{
    call->nfds = 0;
    call->resp = NULL;
    call->lane = take_lane(c);
    if (!call->lane)
        return -LX_EIO;
    call->resp = &call->lane->resp;
    return round_trip(c, call->lane, call);
}

void gofer_call_done(struct gofer_conn *c, struct gofer_call *call)
{
    while (call->nfds > 0)
        host_close(call->fds[--call->nfds]);
    if (call->lane)
        put_lane(c, call->lane);
    call->lane = NULL;
    call->resp = NULL;
}

int gofer_call_take_fd(struct gofer_call *call)
{
    return call->nfds > 0 ? call->fds[--call->nfds] : -1;
}

void gofer_forget(struct gofer_conn *c, u64 id)
{
    if (id == 0 || gofer_conn_is_dead(c))
        return;
    mutex_lock(&c->forget_lock);
    c->forget[c->nforget++] = id;
    if (c->nforget < GP_MAX_FORGET) {
        mutex_unlock(&c->forget_lock);
        return;
    }
    struct gofer_call call = {.req = {.op = GP_FORGET, .nids = c->nforget}};
    for (u32 i = 0; i < c->nforget; i++)
        call.req.ids[i] = c->forget[i];
    c->nforget = 0;
    mutex_unlock(&c->forget_lock);
    int r = gofer_call(c, &call);
    gofer_call_done(c, &call);
    if (r < 0)
        log_debug("forget: %d", r);
}
