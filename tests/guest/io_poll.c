/* poll, ppoll, select, pselect. */
#include <sys/select.h>

#include "io_common.h"

TEST(poll_fields)
{
    int p[2];
    CHECK_EQ(pipe(p), 0);
    struct pollfd f[5] = {
        {p[0], POLLIN, 0x55},
        {-1, POLLIN, 0x55},
        {p[1], POLLOUT, 0x55},
        {999, POLLIN | POLLOUT, 0x55},
        {p[1], 0, 0x55},
    };
    CHECK_EQ(poll(f, 5, 0), 2);
    short want[5] = {0, 0, POLLOUT, POLLNVAL, 0}, events[5] = {POLLIN, POLLIN, POLLOUT, POLLIN | POLLOUT, 0};
    for (int i = 0; i < 5; i++) {
        CHECK_EQ(f[i].revents, want[i]);
        CHECK_EQ(f[i].events, events[i]); /* never written */
    }
    CHECK_EQ(poll(NULL, 0, 0), 0);
    CHECK_ERR(poll(bad_ptr(), 1, 0), EFAULT);
    CHECK_ERR(syscall(SYS_poll, f, 1u << 31, 0), EINVAL);
    close(p[0]);
    close(p[1]);
}

TEST(poll_many)
{
    enum { N = 200 };
    struct pollfd f[N];
    int p[2];
    CHECK_EQ(pipe(p), 0);
    for (int i = 0; i < N; i++)
        f[i] = (struct pollfd){i % 2 ? p[0] : p[1], POLLIN | POLLOUT, 0};
    CHECK_EQ(poll(f, N, -1), N / 2);
    CHECK_EQ(write(p[1], "x", 1), 1);
    CHECK_EQ(poll(f, N, -1), N);
    for (int i = 0; i < N; i++)
        CHECK_EQ(f[i].revents, i % 2 ? POLLIN : POLLOUT);
    close(p[0]);
    close(p[1]);
}

TEST(regular_files_are_ready)
{
    int fd = open("poll.tmp", O_RDWR | O_CREAT, 0600), null = open("/dev/null", O_RDWR);
    CHECK_EQ(poll_of(fd, POLLIN | POLLOUT | POLLPRI), POLLIN | POLLOUT);
    CHECK_EQ(poll_of(fd, POLLRDNORM | POLLWRNORM), POLLRDNORM | POLLWRNORM);
    CHECK_EQ(poll_of(null, POLLIN | POLLOUT), POLLIN | POLLOUT);
    close(fd);
    close(null);
    unlink("poll.tmp");
}

TEST(poll_timeout)
{
    int p[2];
    CHECK_EQ(pipe(p), 0);
    struct pollfd f = {p[0], POLLIN, 0};
    double start = now_s();
    CHECK_EQ(poll(&f, 1, 50), 0);
    double took = now_s() - start;
    CHECK(took >= 0.049 && took < 2);
    struct timespec ts = {0, 50000000}, bad = {0, 1000000000}, neg = {-1, 0};
    start = now_s();
    CHECK_EQ(ppoll(&f, 1, &ts, NULL), 0);
    CHECK(now_s() - start >= 0.049);
    CHECK_ERR(ppoll(&f, 1, &bad, NULL), EINVAL);
    CHECK_ERR(ppoll(&f, 1, &neg, NULL), EINVAL);
    close(p[0]);
    close(p[1]);
}

static int wake_fd;
static volatile pid_t wake_tid;
static void *waker(void *arg)
{
    wait_asleep(wake_tid);
    if (write(wake_fd, "x", 1) != 1)
        return (void *)1;
    return NULL;
}

TEST(poll_wakes)
{
    int p[2], q[2];
    pthread_t t;
    CHECK_EQ(pipe(p), 0);
    CHECK_EQ(pipe(q), 0);
    wake_fd = q[1];
    wake_tid = (pid_t)syscall(SYS_gettid);
    pthread_create(&t, NULL, waker, NULL);
    struct pollfd f[2] = {{p[0], POLLIN, 0}, {q[0], POLLIN, 0}};
    CHECK_EQ(poll(f, 2, 5000), 1);
    CHECK_EQ(f[0].revents, 0);
    CHECK_EQ(f[1].revents, POLLIN);
    pthread_join(t, NULL);
    for (int i = 0; i < 2; i++) {
        close(p[i]);
        close(q[i]);
    }
}

TEST(ppoll_mask)
{
    sigset_t set, old, none;
    struct timespec ts = {5, 0};
    sigemptyset(&none);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    catch_signal(SIGUSR1, 0);
    sigprocmask(SIG_BLOCK, &set, &old);
    kill(getpid(), SIGUSR1);
    CHECK_ERR(ppoll(NULL, 0, &ts, &none), EINTR);
    CHECK_EQ(io_nsignals, 1);
    sigset_t now;
    sigprocmask(SIG_SETMASK, NULL, &now);
    CHECK(sigismember(&now, SIGUSR1));
    kill(getpid(), SIGUSR1);
    CHECK_ERR(pselect(0, NULL, NULL, NULL, &ts, &none), EINTR);
    CHECK_EQ(io_nsignals, 2);
    sigprocmask(SIG_SETMASK, &old, NULL);
    signal(SIGUSR1, SIG_DFL);
}

static void *kicker(void *arg)
{
    wait_asleep(wake_tid);
    pthread_kill(*(pthread_t *)arg, SIGUSR1);
    return NULL;
}

TEST(poll_is_interrupted_in_spite_of_restart)
{
    pthread_t t, self = pthread_self();
    catch_signal(SIGUSR1, SA_RESTART);
    wake_tid = (pid_t)syscall(SYS_gettid);
    pthread_create(&t, NULL, kicker, &self);
    CHECK_ERR(poll(NULL, 0, 5000), EINTR);
    pthread_join(t, NULL);
    signal(SIGUSR1, SIG_DFL);
}

static void stopped_child(void)
{
    /* A stop and a continue without a handler: the call goes on with what is left of its time. */
    double start = now_s();
    CHECK_EQ(poll(NULL, 0, 300), 0);
    double took = now_s() - start;
    CHECK(took >= 0.29 && took < 2);
}

TEST(poll_goes_on_after_a_stop)
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        test_jmp = NULL;
        stopped_child();
        _exit(0);
    }
    wait_asleep(pid);
    kill(pid, SIGSTOP);
    int status;
    CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
    CHECK(WIFSTOPPED(status));
    kill(pid, SIGCONT);
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK(WIFEXITED(status));
    CHECK_EQ(WEXITSTATUS(status), 0);
}

TEST(select_sets)
{
    int p[2];
    fd_set r, w, e;
    struct timeval tv = {0, 0};
    CHECK_EQ(pipe(p), 0);
    FD_ZERO(&r);
    FD_ZERO(&w);
    FD_ZERO(&e);
    FD_SET(p[0], &r);
    FD_SET(p[1], &w);
    FD_SET(p[0], &e);
    CHECK_EQ(select(p[1] + 1, &r, &w, &e, &tv), 1);
    CHECK(!FD_ISSET(p[0], &r) && FD_ISSET(p[1], &w) && !FD_ISSET(p[0], &e));
    CHECK_EQ(write(p[1], "x", 1), 1);
    FD_SET(p[0], &r);
    CHECK_EQ(select(p[1] + 1, &r, &w, NULL, NULL), 2);
    CHECK(FD_ISSET(p[0], &r) && FD_ISSET(p[1], &w));
    close(p[1]);
    char c;
    CHECK_EQ(read(p[0], &c, 1), 1);
    CHECK_EQ(select(p[0] + 1, &r, NULL, NULL, NULL), 1); /* end of file is readable */
    close(p[0]);
    CHECK_ERR(select(p[0] + 1, &r, NULL, NULL, &tv), EBADF);
    CHECK_ERR(select(-1, NULL, NULL, NULL, &tv), EINVAL);
    tv = (struct timeval){-1, 0};
    CHECK_ERR(select(0, NULL, NULL, NULL, &tv), EINVAL);
    CHECK_ERR(select(1, bad_ptr(), NULL, NULL, NULL), EFAULT);
}

TEST(select_updates_its_timeout)
{
    int p[2];
    fd_set r;
    struct timeval tv = {5, 0};
    CHECK_EQ(pipe(p), 0);
    CHECK_EQ(write(p[1], "x", 1), 1);
    FD_ZERO(&r);
    FD_SET(p[0], &r);
    CHECK_EQ(select(p[0] + 1, &r, NULL, NULL, &tv), 1);
    CHECK(tv.tv_sec == 4 && tv.tv_usec > 0);
    tv = (struct timeval){0, 30000};
    double start = now_s();
    CHECK_EQ(select(0, NULL, NULL, NULL, &tv), 0);
    CHECK(now_s() - start >= 0.029);
    CHECK_EQ(tv.tv_sec, 0);
    CHECK_EQ(tv.tv_usec, 0);
    close(p[0]);
    close(p[1]);
}
