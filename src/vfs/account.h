/*
 * What each user has of the things that /proc/sys/fs limits by user: inotify
 * instances and watches, epoll watches, pages of pipes. An account lives while something is charged
 * to it or holds it. The limits themselves are here too; procfs shows and writes them.
 */
#ifndef VFS_ACCOUNT_H
#define VFS_ACCOUNT_H

#include "vfs/vfs.h"

struct account {
    struct list node; /* guarded by the table's lock, as nrefs */
    u32 uid, nrefs;
    _Atomic s64 inotify_instances, inotify_watches, epoll_watches, pipe_pages;
};

/* The current task's user's, referenced; NULL: out of memory. */
struct account *account_get(void) must_check;
void account_ref(struct account *a);
void account_put(struct account *a);

/* Charges n if the count stays within max. */
static inline must_check bool account_charge(_Atomic s64 *count, s64 n, s64 max)
{
    if (atomic_fetch_add(count, n) + n <= max)
        return true;
    atomic_fetch_sub(count, n);
    return false;
}

extern _Atomic s64 sysctl_inotify_instances, sysctl_inotify_watches, sysctl_inotify_events,
    sysctl_epoll_watches, sysctl_lease_break_time, sysctl_leases_enable, sysctl_pipe_max_size,
    sysctl_pipe_soft, sysctl_pipe_hard;

#endif
