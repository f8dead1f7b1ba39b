/*
 * The reaper: one thread that learns of every stub's end through its pidfd,
 * marks the aspace dead and wakes whoever waits for it. It costs nothing while
 * nobody dies. The zombie itself is kept until the aspace is freed, so that
 * its pid cannot name another process while anyone may still use it.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "abi/errno.h"
#include "base/log.h"
#include "host/futex.h"
#include "platform/internal.h"

static struct {
    pthread_t thread;
    int epoll_fd, stop_fd;
    struct mutex lock;
    u32 nwatched;        /* guarded by lock */
    u32 ndying;          /* abandoned, not yet freed; guarded by lock */
    volatile u32 nfreed; /* futex: changes with each of those that is */
    bool is_stopping;    /* guarded by lock */
} reaper = {.epoll_fd = -1, .stop_fd = -1, .lock = MUTEX_INIT("platform.registry")};
static struct aspace *by_unit[NR_UNITS]; /* guarded by reaper.lock: watched stubs by control unit */

static int to_wait_status(const siginfo_t *info)
{
    switch (info->si_code) {
    case CLD_EXITED:
        return (info->si_status & 0xff) << 8;
    case CLD_DUMPED:
        return (info->si_status & 0x7f) | 0x80;
    default:
        return info->si_status & 0x7f;
    }
}

/* Everybody who waits for this stub sees that it is gone. */
static void announce_death(struct aspace *as)
{
    atomic_store(&as->is_dead, 1);
    u64 one = 1;
    if (write(as->efd, &one, sizeof(one)) < 0)
        log_warn("platform: a stub's end cannot be told");
    /* Nobody in the stub changes the state any more, so the new value cannot be missed. */
    MUTEX_GUARD(&as->lock);
    struct uctx *ctx;
    list_for_each (ctx, &as->ctxs, node) {
        __atomic_store_n(&ctx->ch->state, CH_SENTRY, __ATOMIC_SEQ_CST);
        host_futex_wake(&ctx->ch->state, INT32_MAX);
    }
}

static void handle_exit(u32 unit)
{
    struct aspace *as;
    {
        MUTEX_GUARD(&reaper.lock);
        as = unit < NR_UNITS ? by_unit[unit] : NULL;
        if (!as)
            return;
        siginfo_t info = {0};
        if (waitid(P_PID, (id_t)as->pid, &info, WEXITED | WNOHANG | WNOWAIT | __WALL) < 0 ||
            info.si_pid != as->pid)
            return;
        by_unit[unit] = NULL;
        reaper.nwatched--;
        epoll_ctl(reaper.epoll_fd, EPOLL_CTL_DEL, as->pidfd, NULL);
        as->wait_status = to_wait_status(&info);
        if (!as->is_abandoned && ref_get_unless_zero(&as->ref)) {
            /* announced below, with a reference and without the lock */
        } else if (as->is_abandoned) {
            atomic_store(&as->is_dead, 1);
            goto abandoned;
        } else {
            /* the last reference is being dropped: reaper_abandon will find it dead */
            atomic_store(&as->is_dead, 1);
            return;
        }
    }
    announce_death(as);
    aspace_put(as);
    return;
abandoned:
    aspace_free(as);
    {
        MUTEX_GUARD(&reaper.lock);
        reaper.ndying--;
    }
    __atomic_add_fetch(&reaper.nfreed, 1, __ATOMIC_SEQ_CST);
    host_futex_wake(&reaper.nfreed, INT32_MAX);
}

u32 reaper_mark(void)
{
    return __atomic_load_n(&reaper.nfreed, __ATOMIC_SEQ_CST);
}

bool reaper_wait_freed(u32 mark)
{
    {
        MUTEX_GUARD(&reaper.lock);
        if (reaper.ndying == 0)
            return reaper_mark() != mark;
    }
    while (reaper_mark() == mark)
        (void)host_futex_wait(&reaper.nfreed, mark, -1);
    return true;
}

static void *reaper_main(void *arg)
{
    (void)arg;
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    for (;;) {
        struct epoll_event evs[16];
        int n = epoll_wait(reaper.epoll_fd, evs, ARRAY_SIZE(evs), -1);
        for (int i = 0; i < n; i++)
            if (evs[i].data.u32)
                handle_exit(evs[i].data.u32);
        MUTEX_GUARD(&reaper.lock);
        if (reaper.is_stopping && reaper.nwatched == 0)
            return NULL;
    }
}

int reaper_start(void)
{
    reaper.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    reaper.stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (reaper.epoll_fd < 0 || reaper.stop_fd < 0)
        return -errno;
    struct epoll_event ev = {.events = EPOLLIN | EPOLLET, .data.u32 = 0};
    if (epoll_ctl(reaper.epoll_fd, EPOLL_CTL_ADD, reaper.stop_fd, &ev) < 0)
        return -errno;
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 64 << 10);
    int r = -pthread_create(&reaper.thread, &attr, reaper_main, NULL);
    pthread_attr_destroy(&attr);
    return r;
}

/* Returns when every stub that was abandoned has ended. */
void reaper_stop(void)
{
    {
        MUTEX_GUARD(&reaper.lock);
        reaper.is_stopping = true;
        for (u32 i = 0; i < NR_UNITS && reaper.nwatched; i++)
            if (by_unit[i])
                kill(by_unit[i]->pid, SIGKILL);
    }
    u64 one = 1;
    if (write(reaper.stop_fd, &one, sizeof(one)) < 0)
        log_warn("platform: reaper cannot be stopped");
    pthread_join(reaper.thread, NULL);
}

int reaper_watch(struct aspace *as)
{
    as->pidfd = (int)syscall(SYS_pidfd_open, as->pid, 0);
    if (as->pidfd < 0)
        return -errno;
    MUTEX_GUARD(&reaper.lock);
    by_unit[as->unit] = as;
    reaper.nwatched++;
    struct epoll_event ev = {.events = EPOLLIN, .data.u32 = as->unit};
    if (epoll_ctl(reaper.epoll_fd, EPOLL_CTL_ADD, as->pidfd, &ev) < 0) {
        int r = -errno;
        by_unit[as->unit] = NULL;
        reaper.nwatched--;
        return r;
    }
    return 0;
}

void reaper_abandon(struct aspace *as)
{
    aspace_settle(as);
    {
        MUTEX_GUARD(&reaper.lock);
        if (!atomic_load(&as->is_dead) && by_unit[as->unit] == as) {
            as->is_abandoned = true;
            reaper.ndying++;
            kill(as->pid, SIGKILL);
            return;
        }
    }
    aspace_free(as);
}
