/*
 * System V IPC: namespaces, and what shm, sem and msg have in common: ids,
 * keys, permissions.
 *
 * Lock order: ipc_ids.lock → ipc object's lock → waitq. No user copy under either.
 */
#ifndef KERN_IPC_H
#define KERN_IPC_H

#include "kern/task.h"

struct ipc_ns {
    struct ref ref;
    u64 ino;
    struct user_ns *user_ns; /* counted */
};

/* /proc/sys/kernel: the limits. */
extern _Atomic s64 sysctl_shmmni, sysctl_shm_rmid_forced, sysctl_msgmax, sysctl_msgmnb, sysctl_msgmni;
extern _Atomic u64 sysctl_shmmax, sysctl_shmall;
extern _Atomic s64 sysctl_sem[4]; /* SEMMSL, SEMMNS, SEMOPM, SEMMNI */

#endif
