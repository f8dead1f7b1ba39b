/* epoll(7). */
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "io_common.h"

static int add(int ep, int fd, uint32_t events)
{
    struct epoll_event ev = {.events = events, .data.u64 = 0x1234567800000000ULL | (unsigned)fd};
    return epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev);
}

static int mod(int ep, int fd, uint32_t events)
{
    struct epoll_event ev = {.events = events, .data.fd = fd};
    return epoll_ctl(ep, EPOLL_CTL_MOD, fd, &ev);
}

/* The events of one ready file now, or 0. */
static uint32_t one(int ep, int timeout)
{
    struct epoll_event ev[4];
    int n = epoll_wait(ep, ev, 4, timeout);
    CHECK(n == 0 || n == 1);
    return n ? ev[0].events : 0;
}

static void put(int fd)
{
    uint64_t v = 1;
    CHECK_EQ(write(fd, &v, 8), 8);
}

static void get(int fd)
{
    uint64_t v;
    CHECK_EQ(read(fd, &v, 8), 8);
}

TEST(errors)
{
    struct epoll_event ev = {.events = EPOLLIN};
    int ep = epoll_create1(EPOLL_CLOEXEC), p[2];
    CHECK(ep >= 0);
    CHECK_EQ(pipe(p), 0);
    CHECK_ERR(epoll_create1(1), EINVAL);
    CHECK_ERR(epoll_create(0), EINVAL);
    CHECK_ERR(epoll_ctl(ep, EPOLL_CTL_ADD, 999, &ev), EBADF);
    CHECK_ERR(epoll_ctl(999, EPOLL_CTL_ADD, p[0], &ev), EBADF);
    CHECK_ERR(epoll_ctl(p[0], EPOLL_CTL_ADD, p[1], &ev), EINVAL);
    CHECK_ERR(epoll_ctl(ep, EPOLL_CTL_ADD, ep, &ev), EINVAL);
    CHECK_ERR(epoll_ctl(ep, 99, p[0], &ev), EINVAL);
    CHECK_ERR(epoll_ctl(ep, EPOLL_CTL_MOD, p[0], &ev), ENOENT);
    CHECK_ERR(epoll_ctl(ep, EPOLL_CTL_DEL, p[0], NULL), ENOENT);
    CHECK_ERR(epoll_ctl(ep, EPOLL_CTL_ADD, p[0], NULL), EFAULT);
    CHECK_EQ(add(ep, p[0], EPOLLIN), 0);
    CHECK_ERR(add(ep, p[0], EPOLLIN), EEXIST);
    CHECK_EQ(epoll_ctl(ep, EPOLL_CTL_DEL, p[0], NULL), 0);
    int file = open("epoll.tmp", O_RDWR | O_CREAT, 0600);
    CHECK_ERR(add(ep, file, EPOLLIN), EPERM);
    int null = open("/dev/null", O_RDWR);
    CHECK_ERR(add(ep, null, EPOLLIN), EPERM);
    int dir = open(".", O_RDONLY);
    CHECK_ERR(add(ep, dir, EPOLLIN), EPERM);
    struct epoll_event out[2];
    CHECK_ERR(epoll_wait(ep, out, 0, 0), EINVAL);
    CHECK_ERR(syscall(SYS_epoll_wait, ep, out, -1, 0), EINVAL);
    CHECK_ERR(epoll_wait(p[0], out, 1, 0), EINVAL);
    CHECK_ERR(epoll_wait(999, out, 1, 0), EBADF);
    close(dir);
    close(null);
    close(file);
    unlink("epoll.tmp");
    close(p[0]);
    close(p[1]);
    close(ep);
}

TEST(level_and_edge)
{
    int ep = epoll_create1(0), fd = eventfd(0, 0);
    CHECK_EQ(add(ep, fd, EPOLLIN), 0);
    CHECK_EQ(one(ep, 0), 0);
    put(fd);
    CHECK_EQ(one(ep, 0), EPOLLIN);
    CHECK_EQ(one(ep, 0), EPOLLIN);
    get(fd);
    CHECK_EQ(one(ep, 0), 0);
    CHECK_EQ(mod(ep, fd, EPOLLIN | EPOLLET), 0);
    put(fd);
    CHECK_EQ(one(ep, 0), EPOLLIN);
    CHECK_EQ(one(ep, 0), 0);
    put(fd); /* every write is an edge */
    CHECK_EQ(one(ep, 0), EPOLLIN);
    CHECK_EQ(one(ep, 0), 0);
    CHECK_EQ(mod(ep, fd, EPOLLIN | EPOLLET), 0); /* a MOD looks again */
    CHECK_EQ(one(ep, 0), EPOLLIN);
    close(fd);
    close(ep);
}

TEST(one_shot)
{
    int ep = epoll_create1(0), fd = eventfd(1, 0);
    CHECK_EQ(add(ep, fd, EPOLLIN | EPOLLONESHOT), 0);
    CHECK_EQ(one(ep, 0), EPOLLIN);
    CHECK_EQ(one(ep, 0), 0);
    put(fd);
    CHECK_EQ(one(ep, 0), 0);
    CHECK_EQ(mod(ep, fd, EPOLLIN | EPOLLONESHOT), 0);
    CHECK_EQ(one(ep, 0), EPOLLIN);
    CHECK_EQ(one(ep, 0), 0);
    close(fd);
    close(ep);
}

TEST(hangup_is_always_told)
{
    int ep = epoll_create1(0), p[2];
    CHECK_EQ(pipe(p), 0);
    CHECK_EQ(add(ep, p[0], 0), 0);
    CHECK_EQ(write(p[1], "x", 1), 1);
    CHECK_EQ(one(ep, 0), 0);
    close(p[1]);
    CHECK_EQ(one(ep, 0), EPOLLHUP);
    CHECK_EQ(mod(ep, p[0], EPOLLIN), 0);
    CHECK_EQ(one(ep, 0), EPOLLIN | EPOLLHUP);
    close(p[0]);
    CHECK_EQ(one(ep, 0), 0);
    close(ep);
}

TEST(data_comes_back)
{
    int ep = epoll_create1(0), fd = eventfd(1, 0);
    struct epoll_event ev = {.events = EPOLLIN, .data.u64 = 0xdeadbeefcafef00dULL}, out;
    CHECK_EQ(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev), 0);
    CHECK_EQ(epoll_wait(ep, &out, 1, -1), 1);
    CHECK_EQ(out.data.u64, 0xdeadbeefcafef00dULL);
    CHECK_EQ(out.events, EPOLLIN);
    close(fd);
    close(ep);
}

TEST(close_removes_unless_dupped)
{
    int ep = epoll_create1(0), fd = eventfd(1, 0), d = dup(fd);
    CHECK_EQ(add(ep, fd, EPOLLIN), 0);
    close(fd);
    CHECK_EQ(one(ep, 0), EPOLLIN); /* the open file lives */
    close(d);
    CHECK_EQ(one(ep, 0), 0);
    /* Two descriptors of one file are two watches. */
    fd = eventfd(1, 0);
    d = dup(fd);
    CHECK_EQ(add(ep, fd, EPOLLIN), 0);
    CHECK_EQ(add(ep, d, EPOLLIN), 0);
    struct epoll_event out[4];
    CHECK_EQ(epoll_wait(ep, out, 4, 0), 2);
    close(fd);
    close(d);
    CHECK_EQ(epoll_wait(ep, out, 4, 0), 0);
    close(ep);
}

TEST(more_ready_than_asked)
{
    enum { N = 100 };
    int ep = epoll_create1(0), fds[N];
    struct epoll_event out[N];
    char seen[N] = {0};
    for (int i = 0; i < N; i++) {
        fds[i] = eventfd(1, 0);
        struct epoll_event ev = {.events = EPOLLIN, .data.u32 = (uint32_t)i};
        CHECK_EQ(epoll_ctl(ep, EPOLL_CTL_ADD, fds[i], &ev), 0);
    }
    /* Level-triggered ones take turns: ten waits of ten see them all. */
    for (int i = 0; i < 10; i++) {
        CHECK_EQ(epoll_wait(ep, out, 10, 0), 10);
        for (int j = 0; j < 10; j++)
            seen[out[j].data.u32]++;
    }
    for (int i = 0; i < N; i++)
        CHECK_EQ(seen[i], 1);
    CHECK_EQ(epoll_wait(ep, out, N, 0), N);
    memset(seen, 0, sizeof(seen));
    for (int i = 0; i < N; i++)
        CHECK_EQ(seen[out[i].data.u32]++, 0);
    for (int i = 0; i < N; i++)
        close(fds[i]);
    close(ep);
}

TEST(nested)
{
    int outer = epoll_create1(0), inner = epoll_create1(0), fd = eventfd(0, 0);
    CHECK_EQ(add(outer, inner, EPOLLIN), 0);
    CHECK_EQ(add(inner, fd, EPOLLIN), 0);
    CHECK_EQ(one(outer, 0), 0);
    CHECK_EQ(poll_of(outer, POLLIN), 0);
    put(fd);
    CHECK_EQ(poll_of(inner, POLLIN), POLLIN);
    CHECK_EQ(poll_of(outer, POLLIN), POLLIN);
    CHECK_EQ(one(outer, 0), EPOLLIN);
    CHECK_EQ(one(inner, 0), EPOLLIN);
    get(fd);
    CHECK_EQ(one(outer, 0), 0);
    CHECK_EQ(poll_of(outer, POLLIN), 0);
    close(fd);
    close(inner);
    close(outer);
}

TEST(loops_and_depth)
{
    int e[7];
    for (int i = 0; i < 7; i++)
        e[i] = epoll_create1(0);
    CHECK_EQ(add(e[0], e[1], EPOLLIN), 0);
    CHECK_EQ(add(e[1], e[2], EPOLLIN), 0);
    CHECK_ERR(add(e[2], e[0], EPOLLIN), ELOOP);
    CHECK_ERR(add(e[1], e[0], EPOLLIN), ELOOP);
    CHECK_EQ(add(e[2], e[3], EPOLLIN), 0);
    CHECK_EQ(add(e[3], e[4], EPOLLIN), 0);
    int r = add(e[4], e[5], EPOLLIN);
    if (r == 0) /* kernels before 6.13 counted one way only */
        r = add(e[5], e[6], EPOLLIN);
    CHECK_EQ(r, -1);
    CHECK_EQ(errno, ELOOP);
    int fd = eventfd(1, 0);
    CHECK_EQ(add(e[3], fd, EPOLLIN), 0);
    CHECK_EQ(one(e[0], 0), EPOLLIN);
    close(fd);
    for (int i = 0; i < 7; i++)
        close(e[i]);
}

TEST(exclusive_rules)
{
    int ep = epoll_create1(0), inner = epoll_create1(0), fd = eventfd(0, 0);
    CHECK_EQ(add(ep, fd, EPOLLIN | EPOLLEXCLUSIVE), 0);
    CHECK_ERR(mod(ep, fd, EPOLLIN), EINVAL);
    CHECK_ERR(mod(ep, fd, EPOLLIN | EPOLLEXCLUSIVE), EINVAL);
    CHECK_ERR(add(ep, inner, EPOLLIN | EPOLLEXCLUSIVE), EINVAL);
    CHECK_EQ(epoll_ctl(ep, EPOLL_CTL_DEL, fd, NULL), 0);
    CHECK_ERR(add(ep, fd, EPOLLIN | EPOLLONESHOT | EPOLLEXCLUSIVE), EINVAL);
    CHECK_ERR(add(ep, fd, EPOLLPRI | EPOLLEXCLUSIVE), EINVAL);
    close(fd);
    close(inner);
    close(ep);
}

TEST(timeouts)
{
    int ep = epoll_create1(0);
    struct epoll_event ev;
    double start = now_s();
    CHECK_EQ(epoll_wait(ep, &ev, 1, 60), 0);
    double took = now_s() - start;
    CHECK(took >= 0.059 && took < 2);
#ifdef SYS_epoll_pwait2
    struct timespec ts = {0, 20000000}, bad = {0, 2000000000};
    start = now_s();
    CHECK_EQ(syscall(SYS_epoll_pwait2, ep, &ev, 1, &ts, NULL, 8), 0);
    CHECK(now_s() - start >= 0.019);
    CHECK_ERR(syscall(SYS_epoll_pwait2, ep, &ev, 1, &bad, NULL, 8), EINVAL);
#endif
    close(ep);
}

struct sleeper {
    int ep;
    volatile pid_t tid;
    struct epoll_event ev;
};
static void *sleep_in_wait(void *arg)
{
    struct sleeper *s = arg;
    s->tid = (pid_t)syscall(SYS_gettid);
    errno = 0;
    int r = epoll_wait(s->ep, &s->ev, 1, 5000);
    return (void *)(intptr_t)(r < 0 ? -errno : r);
}

TEST(wakes_a_sleeper)
{
    struct sleeper s = {.ep = epoll_create1(0)};
    int fd = eventfd(0, 0);
    pthread_t t;
    void *ret;
    CHECK_EQ(add(s.ep, fd, EPOLLIN), 0);
    pthread_create(&t, NULL, sleep_in_wait, &s);
    while (!s.tid)
        sleep_ms(1);
    wait_asleep(s.tid);
    put(fd);
    pthread_join(t, &ret);
    CHECK_EQ((intptr_t)ret, 1);
    CHECK_EQ(s.ev.events, EPOLLIN);
    /* A watch added while somebody sleeps wakes, too. */
    CHECK_EQ(epoll_ctl(s.ep, EPOLL_CTL_DEL, fd, NULL), 0);
    s.tid = 0;
    pthread_create(&t, NULL, sleep_in_wait, &s);
    while (!s.tid)
        sleep_ms(1);
    wait_asleep(s.tid);
    CHECK_EQ(add(s.ep, fd, EPOLLIN), 0);
    pthread_join(t, &ret);
    CHECK_EQ((intptr_t)ret, 1);
    close(fd);
    close(s.ep);
}

TEST(signal_interrupts_always)
{
    struct sleeper s = {.ep = epoll_create1(0)};
    pthread_t t;
    void *ret;
    catch_signal(SIGUSR1, SA_RESTART);
    pthread_create(&t, NULL, sleep_in_wait, &s);
    while (!s.tid)
        sleep_ms(1);
    wait_asleep(s.tid);
    pthread_kill(t, SIGUSR1);
    pthread_join(t, &ret);
    CHECK_EQ((intptr_t)ret, -EINTR);
    signal(SIGUSR1, SIG_DFL);
    close(s.ep);
}

TEST(pwait_mask)
{
    int ep = epoll_create1(0);
    struct epoll_event ev;
    sigset_t set, old, none;
    sigemptyset(&none);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    catch_signal(SIGUSR1, 0);
    sigprocmask(SIG_BLOCK, &set, &old);
    kill(getpid(), SIGUSR1);
    CHECK_EQ(io_nsignals, 0);
    CHECK_ERR(epoll_pwait(ep, &ev, 1, 5000, &none), EINTR);
    CHECK_EQ(io_nsignals, 1);
    sigset_t now;
    sigprocmask(SIG_SETMASK, NULL, &now);
    CHECK(sigismember(&now, SIGUSR1));
    /* Ready files win over a signal that the mask lets in: it stays pending. */
    int fd = eventfd(1, 0);
    CHECK_EQ(add(ep, fd, EPOLLIN), 0);
    kill(getpid(), SIGUSR1);
    CHECK_EQ(epoll_pwait(ep, &ev, 1, 5000, &none), 1);
    sigset_t pend;
    sigpending(&pend);
    CHECK(sigismember(&pend, SIGUSR1));
    CHECK_EQ(io_nsignals, 1);
    sigprocmask(SIG_SETMASK, &old, NULL);
    CHECK_EQ(io_nsignals, 2);
    signal(SIGUSR1, SIG_DFL);
    close(fd);
    close(ep);
}

/* A thousand rounds with several waiters on one edge-triggered eventfd: no event is lost. */
static int crowd_ep, crowd_fd;
static volatile long crowd_sum;
static void *crowd_main(void *arg)
{
    struct epoll_event ev;
    for (;;) {
        if (epoll_wait(crowd_ep, &ev, 1, 5000) != 1)
            return (void *)1;
        uint64_t v;
        while (read(crowd_fd, &v, 8) == 8) {
            if (__sync_add_and_fetch(&crowd_sum, (long)v) >= 10000) {
                put(crowd_fd); /* wakes the next to end */
                return NULL;
            }
        }
    }
}

TEST(edge_crowd)
{
    pthread_t t[3];
    void *ret;
    crowd_ep = epoll_create1(0);
    crowd_fd = eventfd(0, EFD_NONBLOCK);
    crowd_sum = 0;
    CHECK_EQ(add(crowd_ep, crowd_fd, EPOLLIN | EPOLLET), 0);
    for (int i = 0; i < 3; i++)
        pthread_create(&t[i], NULL, crowd_main, NULL);
    for (int i = 0; i < 10000; i++)
        put(crowd_fd);
    for (int i = 0; i < 3; i++) {
        pthread_join(t[i], &ret);
        CHECK(ret == NULL);
    }
    close(crowd_fd);
    close(crowd_ep);
}

TEST(del_while_ready)
{
    int ep = epoll_create1(0), a = eventfd(1, 0), b = eventfd(1, 0);
    CHECK_EQ(add(ep, a, EPOLLIN), 0);
    CHECK_EQ(add(ep, b, EPOLLIN), 0);
    CHECK_EQ(epoll_ctl(ep, EPOLL_CTL_DEL, a, NULL), 0);
    CHECK_EQ(one(ep, 0), EPOLLIN);
    close(b);
    CHECK_EQ(one(ep, 0), 0);
    close(a);
    close(ep);
}

TEST(socketpair_after_both_closed)
{
    int s[2], ep = epoll_create1(0);
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, s), 0);
    CHECK_EQ(add(ep, s[0], EPOLLIN | EPOLLOUT | EPOLLRDHUP), 0);
    CHECK_EQ(one(ep, 0), EPOLLOUT);
    close(s[1]);
    CHECK_EQ(one(ep, 0), EPOLLIN | EPOLLOUT | EPOLLHUP | EPOLLRDHUP); /* 8213 */
    close(s[0]);
    close(ep);
}

TEST(bad_buffer_loses_nothing)
{
    int ep = epoll_create1(0), fd = eventfd(1, 0);
    CHECK_EQ(add(ep, fd, EPOLLIN | EPOLLET), 0);
    CHECK_ERR(epoll_wait(ep, bad_ptr(), 4, 0), EFAULT);
    CHECK_EQ(one(ep, 0), EPOLLIN);
    close(fd);
    close(ep);
}
