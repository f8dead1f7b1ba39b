/* See hostwatch.h. */
#include "fs/hostwatch.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/log.h"

static struct mutex reactor_lock = MUTEX_INIT("hostwatch.reactor");
static int reactor_fd = -1; /* guarded by reactor_lock */
/* A watch ends only when the reactor is not handling an event: it holds this. */
static struct mutex handling_lock = MUTEX_INIT("hostwatch.handling");

#define ARMED (EPOLLIN | EPOLLOUT | EPOLLPRI | EPOLLRDHUP | EPOLLET)

static void handle(struct hostwatch *w, u32 events)
{
    waitq_wake(w->wait,
               events | WAIT_RDNORM * !!(events & WAIT_IN) | WAIT_WRNORM * !!(events & WAIT_OUT));
    MUTEX_GUARD(&w->lock);
    if (!w->is_armed || atomic_load(&w->wait->nwaiters) > 0)
        return;
    struct epoll_event ev = {.events = 0, .data.ptr = w};
    if (epoll_ctl(reactor_fd, EPOLL_CTL_MOD, w->fd, &ev) == 0)
        w->is_armed = false;
}

/*
 * Sleeps on the epoll fd itself and takes events only with handling_lock held: what hostwatch_done
 * has taken out of the set under that lock is in no event any more.
 */
static noreturn_fn void *reactor_main(void *arg)
{
    struct pollfd p = {reactor_fd, POLLIN, 0};
    for (;;) {
        struct epoll_event evs[16];
        (void)poll(&p, 1, -1);
        mutex_lock(&handling_lock);
        int n = epoll_wait(reactor_fd, evs, ARRAY_SIZE(evs), 0);
        for (int i = 0; i < n; i++)
            handle(evs[i].data.ptr, evs[i].events);
        mutex_unlock(&handling_lock);
    }
}

static bool start_reactor(void)
{
    pthread_t thread;
    sigset_t all, old;
    MUTEX_GUARD(&reactor_lock);
    if (reactor_fd >= 0)
        return true;
    reactor_fd = epoll_create1(EPOLL_CLOEXEC);
    if (reactor_fd < 0)
        return false;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int r = pthread_create(&thread, NULL, reactor_main, NULL);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (r != 0) {
        close(reactor_fd);
        reactor_fd = -1;
        return false;
    }
    pthread_detach(thread);
    return true;
}

void hostwatch_init(struct hostwatch *w, int fd, struct waitq *wait)
{
    *w = (struct hostwatch){.fd = fd, .wait = wait};
    mutex_init(&w->lock, "hostwatch");
}

void hostwatch_arm(struct hostwatch *w)
{
    if (!start_reactor())
        return;
    MUTEX_GUARD(&w->lock);
    if (w->is_armed)
        return;
    struct epoll_event ev = {.events = ARMED, .data.ptr = w};
    int op = w->is_registered ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    if (epoll_ctl(reactor_fd, op, w->fd, &ev) == 0)
        w->is_armed = w->is_registered = true;
    else
        log_warn("host fd %d cannot be watched: errno %d", w->fd, errno);
}

void hostwatch_done(struct hostwatch *w)
{
    if (!w->is_registered)
        return;
    MUTEX_GUARD(&handling_lock);
    (void)epoll_ctl(reactor_fd, EPOLL_CTL_DEL, w->fd, NULL);
}
