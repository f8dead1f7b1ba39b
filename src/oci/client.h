/* The command's side of control connections (wire/control.h). */
#ifndef OCI_CLIENT_H
#define OCI_CLIENT_H

#include "oci/state.h"
#include "wire/control.h"

#define CLIENT_QUICK_MS 1000  /* a question that a sandbox in order answers at once */
#define CLIENT_WAIT_MS  10000 /* an order whose outcome takes the sandbox a moment */
#define CLIENT_FOREVER  (-1)

struct ctl_reply {
    struct ctl_msg m; /* points into buf */
    bool is_timeout;
    u8 buf[CTL_MAX_MSG];
};

/* Listens at the container's "control"; a descriptor. */
int client_listen(const struct oci_state *s, struct err *e) must_check;
/* A connection to the container's sentry. */
int client_connect(const struct oci_state *s, struct err *e) must_check;
int client_send(int fd, u32 type, s32 a, s32 b, const char *id, const int *fds, u32 nfds,
                struct err *e) must_check;
/* The same with data, without descriptors. */
int client_send_data(int fd, u32 type, const void *data, size_t size, const char *id,
                     struct err *e) must_check;
/* The next message; -1 also for CTL_FAILED, whose sentence is then e's (and whose status
 * e->status). */
int client_receive(int fd, int timeout_ms, struct ctl_reply *ret, struct err *e) must_check;
/* Connect, one message, its answer. */
int client_request(const struct oci_state *s, u32 type, s32 a, s32 b, int timeout_ms,
                   struct ctl_reply *ret, struct err *e) must_check;

#endif
