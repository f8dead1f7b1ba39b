/*
 * POSIX message queues: mq_overview(7), and the file system of type mqueue.
 *
 * Each IPC namespace has one super. kern tells which one is the current task's, sends the
 * signals of mq_notify and counts bytes by user: mqueue_hooks.
 */
#ifndef FS_MQUEUE_H
#define FS_MQUEUE_H

#include "vfs/vfs.h"

struct lx_mq_attr {
    s64 flags, maxmsg, msgsize, curmsgs, reserved[4];
};

struct mqueue_hooks {
    /* The super of the current task's IPC namespace, referenced. */
    int (*super)(struct super **ret_sb);
    /* SI_MESGQ to a process (kid), from the current one. */
    void (*signal)(s32 pid, int signo, u64 value);
    /* Counts bytes against the current user's RLIMIT_MSGQUEUE; *ret_user for the release. -LX_EMFILE. */
    int (*charge)(u64 bytes, void **ret_user);
    void (*uncharge)(void *user, u64 bytes);
};
extern const struct mqueue_hooks *mqueue_hooks; /* set at start */

/* A super for a new IPC namespace. */
int mqueue_super_new(struct super **ret_sb) must_check;
/* The namespace goes: its queues lose their names; the reference is consumed. */
void mqueue_super_gone(struct super *sb);

/* The calls. name: without its '/', NUL-terminated. attr may be NULL. Returns a file. */
int mqueue_open(const char *name, u32 oflags, u32 mode, const struct lx_mq_attr *attr,
                struct file **ret_f) must_check;
int mqueue_unlink(const char *name) must_check;
/* deadline: CLOCK_REALTIME, INT64_MAX: none. text is ours; consumed (freed) on success. */
int mqueue_send(struct file *f, void *text, u64 size, u32 prio, s64 deadline_ns) must_check;
/* room: the caller's buffer size. *ret_text is the caller's to free. */
s64 mqueue_receive(struct file *f, u64 room, s64 deadline_ns, void **ret_text,
                   u32 *ret_prio) must_check;
/* Whom a process wants to be told by, once (mq_notify). */
#define MQ_COOKIE_SIZE 32
struct mq_notice {
    int kind; /* LX_SIGEV_* */
    int signo;
    u64 value;
    /* LX_SIGEV_THREAD: the cookie is posted to a socket, its last byte saying why. */
    struct file *sock; /* owned */
    void (*post)(struct file *sock, const void *data, u32 size);
    u8 cookie[MQ_COOKIE_SIZE];
};
/* n NULL: unregister. Takes n->sock over on success. */
int mqueue_notify(struct file *f, const struct mq_notice *n) must_check;
int mqueue_attr(struct file *f, const struct lx_mq_attr *new_attr, struct lx_mq_attr *ret_old) must_check;
u64 mqueue_msgsize(struct file *f); /* 0: not a queue */

extern _Atomic s64 sysctl_mq_queues_max, sysctl_mq_msg_max, sysctl_mq_msgsize_max, sysctl_mq_msg_default,
    sysctl_mq_msgsize_default;

int mqueue_init(void) must_check;

#endif
