/*
 * What files need to know of tasks: sessions, process groups, signals.
 *
 * The vfs and fs rooms stand below kern; kern fills this table at start
 * (vfs_task_ops = &...). Until then, and on threads without a task, the default
 * table answers: no session, nothing pending, no such process.
 *
 * "kid" is a process, group or session number in the root pid namespace:
 * what files store. "vid" is the same as the current task's pid namespace
 * shows it: what system calls take and return.
 *
 * In the other direction kern calls signalfd_wake (fs/signalfd.h) when it queues a signal, and
 * tty_get, tty_put, tty_session_exit (fs/tty.h) for controlling terminals.
 *
 * No op is called with a leaf lock held, except where it says "leaf": those
 * may be called from a wait queue's callback and must not block or wake
 * through the queue that is being woken.
 */
#ifndef VFS_TASK_OPS_H
#define VFS_TASK_OPS_H

#include "base/defs.h"
#include "vfs/cred.h"

struct tty;

enum vfs_who { VFS_WHO_TID, VFS_WHO_PID, VFS_WHO_PGRP }; /* the values of LX_F_OWNER_* */

/* signalfd(2)'s record: 128 bytes as the guest sees them; kern fills it from a siginfo. */
struct lx_signalfd_siginfo {
    u32 ssi_signo;
    s32 ssi_errno, ssi_code;
    u32 ssi_pid, ssi_uid;
    s32 ssi_fd;
    u32 ssi_tid, ssi_band, ssi_overrun, ssi_trapno;
    s32 ssi_status, ssi_int;
    u64 ssi_ptr, ssi_utime, ssi_stime, ssi_addr;
    u16 ssi_addr_lsb, pad2;
    s32 ssi_syscall;
    u64 ssi_call_addr;
    u32 ssi_arch;
    u8 pad[28];
};
_Static_assert(sizeof(struct lx_signalfd_siginfo) == 128, "signalfd_siginfo");

struct vfs_task_ops {
    /* The current task's session and process group; 0: none (no task). */
    s32 (*session)(void);
    s32 (*pgrp)(void);
    bool (*is_session_leader)(void);

    /* Of a group: its session, or -LX_ESRCH when no process is in it. */
    s32 (*pgrp_session)(s32 pgrp);
    bool (*is_pgrp_orphaned)(s32 pgrp);

    /* vid ↔ kid. to_kid: -LX_ESRCH when there is none. to_vid: 0 when it is not visible. */
    s32 (*to_kid)(enum vfs_who who, s32 vid);
    s32 (*to_vid)(enum vfs_who who, s32 kid);

    /* As from the kernel (SI_KERNEL), no permission checks; unknown ids are ignored. leaf. */
    void (*signal_pgrp)(s32 pgrp, int signo);
    void (*signal_pid)(s32 pid, int signo);
    /* SIGHUP then SIGCONT to the leader of the session, and every thread group of it forgets its
     * controlling terminal (dropping its reference with tty_put). fg_pgrp is told when the leader ends. */
    void (*session_hangup)(s32 session, struct tty *tty, s32 fg_pgrp);
    /* Only the forgetting (the leader gave its terminal up, or it was stolen). */
    void (*session_clear_tty)(s32 session, struct tty *tty);

    /* True when signo is blocked by the calling thread or ignored by its process. */
    bool (*is_signal_ignored_or_blocked)(int signo);
    /* True when a signal that would interrupt a sleep is pending for the calling thread. */
    bool (*has_pending_interrupt)(void);
    /* True when the calling thread is being killed or has begun to exit: nobody is told what its calls give. */
    bool (*is_dying)(void);

    /*
     * The controlling terminal of the current thread group. get: a counted reference
     * (tty_put), or NULL. set: takes a reference of its own when tty is
     * not NULL and drops the one that was there. fork inherits it; setsid clears it: kern's doing.
     */
    struct tty *(*get_ctty)(void);
    void (*set_ctty)(struct tty *tty);

    /* signalfd. Bit signo-1. Pending for the calling thread: its own and its process's. */
    u64 (*pending_signals)(void);
    /* Takes the first pending signal in mask; 0 when there is none, else its number. */
    int (*dequeue_signal)(u64 mask, struct lx_signalfd_siginfo *ret_info);
    s32 (*tgid)(void);

    /*
     * SIGIO and kin to an owner (F_SETOWN). signo 0: SIGIO as from the kernel; else a queued
     * siginfo with si_code `code` (LX_POLL_*), si_band and si_fd. The permission is checked as
     * kill(2) would with owner_cred. leaf.
     */
    void (*send_sigio)(enum vfs_who who, s32 kid, const struct cred *owner_cred, int signo, int code,
                       u32 band, int fd);
};

extern const struct vfs_task_ops *vfs_task_ops; /* never NULL; set once, before the first task */

#endif
