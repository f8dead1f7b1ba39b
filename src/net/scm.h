/*
 * Ancillary data of sockets: files and credentials that travel beside bytes.
 *
 * A `struct scm` owns what it carries. Files in a queue are "in flight": they are
 * counted against their sender's user and, for UNIX sockets, on the sock, so that
 * cycles of sockets that only hold each other can be found and freed (scm_gc).
 *
 * Life cycle: scm_send fills one from a control buffer → scm_launch puts its files in flight when
 * the message is queued → the receiver takes it out and scm_land ends the flight → scm_recv
 * installs and reports → scm_done. scm_done of a flying scm lands it first.
 *
 * scm_done only puts files on a list of the thread's own; scm_drain drops them at the end of the
 * operation, without locks and without recursion: a chain of sockets in each other's queues
 * is freed in a loop and not on the stack.
 */
#ifndef NET_SCM_H
#define NET_SCM_H

#include "net/sockaddr.h"
#include "base/list.h"
#include "kern/task.h"

#define SCM_MAX_FD       253
#define SCM_INFLIGHT_MAX 262144U /* files in flight in the sandbox */
#define SCM_CONTROL_MAX  131072U /* bytes of control data in one send: net.core.optmem_max */
#define CMSG_OUT_MAX     16384U  /* bytes of control data in one receive */

struct sock;

/* Who somebody was: kuids, and the process by a reference that keeps its number. */
struct scm_who {
    struct tgroup *tg; /* owned; NULL: nobody (pid 0) */
    u32 uid, gid;      /* (u32)-1: nobody */
    s32 pid;           /* number in its own namespace: outlives the process */
};
#define SCM_WHO_NOBODY ((struct scm_who){NULL, (u32)-1, (u32)-1, 0})
struct scm_who scm_who_current(void); /* effective ids of the calling task */
struct scm_who scm_who_current_real(void); /* real ids: what a message carries by default */
struct scm_who scm_who_copy(const struct scm_who *w);
void scm_who_done(struct scm_who *w);
static inline bool scm_who_equal(const struct scm_who *a, const struct scm_who *b)
{
    return a->tg == b->tg && a->uid == b->uid && a->gid == b->gid;
}
/* As the current task sees it: the process number in its pid namespace, ids in its user namespace. */
void scm_who_to_ucred(const struct scm_who *w, struct lx_ucred *ret);

struct scm_files {
    struct list node; /* on the thread's list of files to be dropped */
    bool is_flying;   /* guarded by the gc lock */
    struct user_struct *user; /* owned: whom the flight counts against */
    u32 count;
    struct file *files[]; /* owned */
};

struct scm {
    struct scm_files *files; /* owned or NULL */
    struct scm_who who;      /* has_who */
    bool has_who;            /* sender's credentials are known */
};

void scm_init(struct scm *s);
void scm_done(struct scm *s);
/* A copy with references of its own (MSG_PEEK). -LX_ENOMEM. The caller keeps `from` in its queue. */
int scm_peek(const struct scm *from, struct scm *ret) must_check;

/*
 * The next entry of a control buffer at *off, which advances. 1, 0 at the end, or -LX_EINVAL for
 * one that does not fit.
 */
int cmsg_next(const u8 *control, u32 size, u32 *off, struct lx_cmsghdr *ret_hdr,
              const u8 **ret_data, u32 *ret_size) must_check;

/*
 * Reads the SOL_SOCKET entries of a control buffer (ours) into an initialised scm; other levels are
 * skipped. Errors as sendmsg(2): LX_EINVAL, LX_EBADF, LX_EPERM, LX_ESRCH, LX_ENOMEM.
 */
int scm_send(const u8 *control, u32 size, bool is_rights_allowed, struct scm *ret) must_check;

/* Files go into flight. -LX_ETOOMANYREFS. */
int scm_launch(struct scm *s) must_check;
void scm_land(struct scm *s);

/* What a receive hands back in its control buffer. */
struct cmsg_out {
    u8 *buf;    /* owned by the caller; NULL: none was given */
    u32 size;   /* of the guest's buffer, capped at CMSG_OUT_MAX */
    u32 used;
    u32 flags;  /* LX_MSG_CTRUNC once something did not fit */
    bool is_cloexec; /* MSG_CMSG_CLOEXEC */
};
void cmsg_put(struct cmsg_out *c, s32 level, s32 type, const void *data, u32 size);
/* Credentials if SO_PASSCRED, then files, then a pidfd if SO_PASSPIDFD; consumes s. */
void scm_recv(struct sock *sk, struct cmsg_out *c, struct scm *s);

/* A socket was closed: the next scm_drain looks for cycles that nothing but flights hold. */
void scm_gc(void);
u32 scm_inflight_count(void);
/* Drops the files that this thread has let go of; at the end of an operation, no locks held. */
void scm_drain(void);

#endif
