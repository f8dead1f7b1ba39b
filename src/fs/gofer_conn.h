/*
 * The Sentry's end of a gofer connection: a pool of lanes. A thread takes a
 * free lane for one round trip and keeps it until it is done with the answer, which
 * stays in the lane's buffer.
 *
 * A gofer that dies, hangs up or answers with anything that does not decode
 * makes the connection dead for good: this and every later call is -LX_EIO.
 *
 * Locks: conn.lock is a leaf. A call blocks and is not interruptible, as disk
 * I/O is not; no leaf lock may be held around it.
 */
#ifndef FS_GOFER_CONN_H
#define FS_GOFER_CONN_H

#include "base/defs.h"
#include "wire/gofer_proto.h"

struct gofer_conn;
struct gofer_lane;

struct gofer_call {
    struct gp_req req;          /* the caller's to fill; op first */
    const struct gp_resp *resp; /* after gofer_call: valid until gofer_call_done */
    int fds[GP_MAX_FDS];        /* donated; those not taken are closed by gofer_call_done */
    u32 nfds;
    struct gofer_lane *lane;
};

/* The connection over these lanes: a new one, or one more reference to it when the first fd is
 * already known. The fds are the connection's from then on. */
int gofer_conn_get(const int *lane_fds, u32 nlanes, struct gofer_conn **ret_conn) must_check;
void gofer_conn_put(struct gofer_conn *c);
bool gofer_conn_is_dead(const struct gofer_conn *c);

/*
 * One round trip: 0 or the gofer's error; -LX_EIO when it is gone; -LX_ENFILE also when
 * fds came that this process has no room for. gofer_call_done is due in any case; call->resp may be
 * read only after a return of 0 (and, for GP_WALK, of another error than -LX_EIO).
 */
int gofer_call(struct gofer_conn *c, struct gofer_call *call) must_check;
void gofer_call_done(struct gofer_conn *c, struct gofer_call *call);
/* The donated fd, now the caller's; -1: none came. */
int gofer_call_take_fd(struct gofer_call *call);
/* Gives a node id back; sent together with others when some have gathered. May block. */
void gofer_forget(struct gofer_conn *c, u64 id);

/* Calls made so far, for tests and metrics. */
u64 gofer_conn_ncalls(const struct gofer_conn *c);

#endif
