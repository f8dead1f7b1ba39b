/*
 * Readiness of host descriptors: one thread in a host epoll_wait, the reactor, wakes wait queues.
 *
 * A descriptor is armed (edge-triggered, for all events) when somebody waits for it and disarmed by
 * the reactor when an event finds nobody waiting, so that an output pipe that drains costs nothing.
 * Arming reports what is ready at once, which makes the order "queue, arm, look, sleep" safe.
 */
#ifndef FS_HOSTWATCH_H
#define FS_HOSTWATCH_H

#include "base/wait.h"

struct hostwatch {
    int fd;             /* not owned */
    struct waitq *wait; /* woken; not owned; outlives the watch */
    struct mutex lock;
    bool is_armed;      /* the reactor watches fd; guarded by lock */
    bool is_registered; /* guarded by lock */
};

void hostwatch_init(struct hostwatch *w, int fd, struct waitq *wait);
/* Before fd is closed. */
void hostwatch_done(struct hostwatch *w);
/* Whoever waits on the queue gets woken by the host's events from now on. */
void hostwatch_arm(struct hostwatch *w);
/* Somebody who sleeps until the next edge may do so now: only then is there a reason to arm. */
static inline void hostwatch_arm_for_waiters(struct hostwatch *w)
{
    if (atomic_load(&w->wait->nwaiters) > 0)
        hostwatch_arm(w);
}

#endif
