/* eventfd, timerfd, signalfd: files that tell of something. */
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>

#include "io_common.h"

TEST(eventfd_counts)
{
    uint64_t v;
    int fd = eventfd(3, EFD_NONBLOCK | EFD_CLOEXEC);
    CHECK(fd >= 0);
    CHECK_EQ(poll_of(fd, POLLIN | POLLOUT), POLLIN | POLLOUT);
    CHECK_EQ(read(fd, &v, 8), 8);
    CHECK_EQ(v, 3);
    CHECK_ERR(read(fd, &v, 8), EAGAIN);
    CHECK_EQ(poll_of(fd, POLLIN | POLLOUT), POLLOUT);
    v = 5;
    CHECK_EQ(write(fd, &v, 8), 8);
    CHECK_EQ(write(fd, &v, 8), 8);
    CHECK_EQ(read(fd, &v, 8), 8);
    CHECK_EQ(v, 10);
    CHECK_ERR(read(fd, &v, 7), EINVAL);
    CHECK_ERR(write(fd, &v, 7), EINVAL);
    v = UINT64_MAX;
    CHECK_ERR(write(fd, &v, 8), EINVAL);
    v = UINT64_MAX - 1;
    CHECK_EQ(write(fd, &v, 8), 8);
    CHECK_EQ(poll_of(fd, POLLIN | POLLOUT), POLLIN);
    v = 1;
    CHECK_ERR(write(fd, &v, 8), EAGAIN);
    CHECK_EQ(lseek(fd, 0, SEEK_SET), 0); /* it has a position that nothing uses */
    close(fd);
    CHECK_ERR(eventfd(0, 0x10), EINVAL);
}

TEST(eventfd_semaphore)
{
    uint64_t v;
    int fd = eventfd(2, EFD_SEMAPHORE | EFD_NONBLOCK);
    CHECK_EQ(read(fd, &v, 8), 8);
    CHECK_EQ(v, 1);
    CHECK_EQ(read(fd, &v, 8), 8);
    CHECK_EQ(v, 1);
    CHECK_ERR(read(fd, &v, 8), EAGAIN);
    close(fd);
}

static void *semaphore_taker(void *arg)
{
    uint64_t v;
    for (int i = 0; i < 1000; i++)
        if (read(*(int *)arg, &v, 8) != 8 || v != 1)
            return (void *)1;
    return NULL;
}

TEST(eventfd_semaphore_crowd)
{
    int fd = eventfd(0, EFD_SEMAPHORE);
    pthread_t t[4];
    void *ret;
    for (int i = 0; i < 4; i++)
        pthread_create(&t[i], NULL, semaphore_taker, &fd);
    for (int i = 0; i < 1000; i++) {
        uint64_t v = 4;
        CHECK_EQ(write(fd, &v, 8), 8);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(t[i], &ret);
        CHECK(ret == NULL);
    }
    close(fd);
}

static int pong[2];
static void *ponger(void *arg)
{
    uint64_t v;
    for (int i = 0; i < 2000; i++) {
        if (read(pong[0], &v, 8) != 8 || write(pong[1], &v, 8) != 8)
            return (void *)1;
    }
    return NULL;
}

TEST(eventfd_ping_pong)
{
    pthread_t t;
    uint64_t v = 1;
    void *ret;
    pong[0] = eventfd(0, 0);
    pong[1] = eventfd(0, 0);
    pthread_create(&t, NULL, ponger, NULL);
    for (int i = 0; i < 2000; i++) {
        CHECK_EQ(write(pong[0], &v, 8), 8);
        CHECK_EQ(read(pong[1], &v, 8), 8);
        CHECK_EQ(v, 1);
    }
    pthread_join(t, &ret);
    CHECK(ret == NULL);
    close(pong[0]);
    close(pong[1]);
}

TEST(timerfd_one_shot)
{
    uint64_t v;
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    CHECK(fd >= 0);
    struct itimerspec its = {.it_value = {0, 50000000}}, now;
    double start = now_s();
    CHECK_EQ(timerfd_settime(fd, 0, &its, NULL), 0);
    CHECK_EQ(poll_of(fd, POLLIN), 0);
    CHECK_EQ(timerfd_gettime(fd, &now), 0);
    CHECK(now.it_value.tv_nsec > 0 && now.it_value.tv_nsec <= 50000000);
    CHECK_EQ(read(fd, &v, 8), 8);
    CHECK_EQ(v, 1);
    double took = now_s() - start;
    CHECK(took >= 0.049 && took < 2);
    CHECK_EQ(timerfd_gettime(fd, &now), 0);
    CHECK_EQ(now.it_value.tv_sec, 0);
    CHECK_EQ(now.it_value.tv_nsec, 0);
    set_nonblock(fd, 1);
    CHECK_ERR(read(fd, &v, 8), EAGAIN);
    CHECK_ERR(read(fd, &v, 4), EINVAL);
    CHECK_ERR(write(fd, &v, 8), EINVAL);
    close(fd);
}

TEST(timerfd_interval_counts)
{
    uint64_t v;
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    struct itimerspec its = {.it_value = {0, 10000000}, .it_interval = {0, 10000000}};
    CHECK_EQ(timerfd_settime(fd, 0, &its, NULL), 0);
    sleep_ms(55);
    CHECK_EQ(poll_of(fd, POLLIN), POLLIN);
    CHECK_EQ(read(fd, &v, 8), 8);
    CHECK(v >= 5 && v < 1000);
    struct pollfd p = {fd, POLLIN, 0};
    CHECK_EQ(poll(&p, 1, 5000), 1);
    CHECK_EQ(read(fd, &v, 8), 8);
    struct itimerspec old, zero = {0};
    CHECK_EQ(timerfd_settime(fd, 0, &zero, &old), 0);
    CHECK_EQ(old.it_interval.tv_nsec, 10000000);
    sleep_ms(15);
    CHECK_ERR(read(fd, &v, 8), EAGAIN);
    close(fd);
}

TEST(timerfd_absolute_and_errors)
{
    uint64_t v;
    struct timespec ts;
    int fd = timerfd_create(CLOCK_REALTIME, 0);
    clock_gettime(CLOCK_REALTIME, &ts);
    struct itimerspec its = {.it_value = ts};
    its.it_value.tv_sec -= 10;
    CHECK_EQ(timerfd_settime(fd, TFD_TIMER_ABSTIME, &its, NULL), 0);
    CHECK_EQ(read(fd, &v, 8), 8);
    CHECK_EQ(v, 1);
    its.it_value.tv_nsec = 1000000000;
    CHECK_ERR(timerfd_settime(fd, 0, &its, NULL), EINVAL);
    its.it_value.tv_nsec = 0;
    CHECK_ERR(timerfd_settime(fd, 0x80, &its, NULL), EINVAL);
    CHECK_ERR(timerfd_settime(fd, 0, bad_ptr(), NULL), EFAULT);
    CHECK_ERR(timerfd_settime(0, 0, &its, NULL), EINVAL);
    CHECK_ERR(timerfd_create(99, 0), EINVAL);
    CHECK_ERR(timerfd_create(CLOCK_MONOTONIC, 1), EINVAL);
    CHECK_ERR(timerfd_create(CLOCK_PROCESS_CPUTIME_ID, 0), EINVAL);
    close(fd);
    fd = timerfd_create(CLOCK_BOOTTIME, 0);
    CHECK(fd >= 0);
    close(fd);
}

TEST(signalfd_reads_signals)
{
    sigset_t set, old;
    struct signalfd_siginfo si[3];
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGRTMIN + 1);
    sigprocmask(SIG_BLOCK, &set, &old);
    int fd = signalfd(-1, &set, SFD_NONBLOCK);
    CHECK(fd >= 0);
    CHECK_EQ(poll_of(fd, POLLIN), 0);
    CHECK_ERR(read(fd, si, sizeof(si)), EAGAIN);
    CHECK_EQ(kill(getpid(), SIGUSR1), 0);
    CHECK_EQ(kill(getpid(), SIGUSR1), 0);
    CHECK_EQ(sigqueue(getpid(), SIGRTMIN + 1, (union sigval){.sival_int = 7}), 0);
    CHECK_EQ(sigqueue(getpid(), SIGRTMIN + 1, (union sigval){.sival_int = 8}), 0);
    CHECK_EQ(poll_of(fd, POLLIN), POLLIN);
    CHECK_EQ(read(fd, si, sizeof(si)), (ssize_t)sizeof(si));
    CHECK_EQ(si[0].ssi_signo, SIGUSR1);
    CHECK_EQ(si[0].ssi_pid, getpid());
    CHECK_EQ(si[0].ssi_code, SI_USER);
    CHECK_EQ(si[1].ssi_signo, SIGRTMIN + 1);
    CHECK_EQ(si[1].ssi_int, 7);
    CHECK_EQ(si[1].ssi_code, SI_QUEUE);
    CHECK_EQ(si[2].ssi_int, 8);
    CHECK_EQ(poll_of(fd, POLLIN), 0);
    CHECK_ERR(read(fd, si, 100), EINVAL);
    CHECK_ERR(signalfd(fd, &set, 0x10), EINVAL);
    CHECK_ERR(signalfd(0, &set, 0), EINVAL);
    close(fd);
    sigprocmask(SIG_SETMASK, &old, NULL);
}

static void *signal_sender(void *arg)
{
    wait_asleep(*(pid_t *)arg);
    kill(getpid(), SIGUSR2);
    return NULL;
}

TEST(signalfd_wakes_a_reader)
{
    sigset_t set, old;
    struct signalfd_siginfo si;
    pthread_t t;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    sigprocmask(SIG_BLOCK, &set, &old);
    int fd = signalfd(-1, &set, 0);
    pid_t tid = (pid_t)syscall(SYS_gettid);
    pthread_create(&t, NULL, signal_sender, &tid);
    CHECK_EQ(read(fd, &si, sizeof(si)), (ssize_t)sizeof(si));
    CHECK_EQ(si.ssi_signo, SIGUSR2);
    pthread_join(t, NULL);
    /* A changed mask takes another signal. */
    sigemptyset(&set);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL);
    CHECK_EQ(signalfd(fd, &set, 0), fd);
    kill(getpid(), SIGHUP);
    CHECK_EQ(read(fd, &si, sizeof(si)), (ssize_t)sizeof(si));
    CHECK_EQ(si.ssi_signo, SIGHUP);
    close(fd);
    sigprocmask(SIG_SETMASK, &old, NULL);
}

TEST(signalfd_sees_a_child_end)
{
    sigset_t set, old;
    struct signalfd_siginfo si;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, &old);
    int fd = signalfd(-1, &set, 0);
    pid_t pid = fork();
    if (pid == 0)
        _exit(7);
    struct pollfd p = {fd, POLLIN, 0};
    CHECK_EQ(poll(&p, 1, 5000), 1);
    CHECK_EQ(read(fd, &si, sizeof(si)), (ssize_t)sizeof(si));
    CHECK_EQ(si.ssi_signo, SIGCHLD);
    CHECK_EQ(si.ssi_pid, pid);
    CHECK_EQ(si.ssi_status, 7);
    CHECK_EQ(si.ssi_code, CLD_EXITED);
    CHECK_EQ(waitpid(pid, NULL, 0), pid);
    close(fd);
    sigprocmask(SIG_SETMASK, &old, NULL);
}
