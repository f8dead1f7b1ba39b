/* POSIX message queues. */
#include <fcntl.h>
#include <mqueue.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "test.h"

static char name[64];

static mqd_t make(int flags, long maxmsg, long msgsize)
{
    struct mq_attr a = {.mq_maxmsg = maxmsg, .mq_msgsize = msgsize};
    snprintf(name, sizeof(name), "/cv_test_%d", getpid());
    mq_unlink(name);
    return mq_open(name, O_CREAT | O_EXCL | flags, 0600, &a);
}


TEST(send_receive)
{
    mqd_t q = make(O_RDWR, 4, 32);
    char buf[32];
    unsigned prio;
    CHECK(q != (mqd_t)-1);
    CHECK_EQ(mq_send(q, "low", 4, 1), 0);
    CHECK_EQ(mq_send(q, "high", 5, 9), 0);
    CHECK_EQ(mq_send(q, "low2", 5, 1), 0);
    struct mq_attr a;
    CHECK_EQ(mq_getattr(q, &a), 0);
    CHECK(a.mq_maxmsg == 4 && a.mq_msgsize == 32 && a.mq_curmsgs == 3 && a.mq_flags == 0);
    CHECK_EQ(mq_receive(q, buf, 32, &prio), 5);
    CHECK_STR(buf, "high");
    CHECK_EQ(prio, 9);
    CHECK_EQ(mq_receive(q, buf, 32, &prio), 4);
    CHECK_STR(buf, "low");
    CHECK_EQ(mq_receive(q, buf, 32, NULL), 5);
    CHECK_STR(buf, "low2");
    CHECK_ERR(mq_receive(q, buf, 31, NULL), EMSGSIZE);
    CHECK_ERR(mq_send(q, buf, 33, 0), EMSGSIZE);
    CHECK_ERR(mq_send(q, buf, 1, 32768), EINVAL);
    CHECK_EQ(mq_close(q), 0);
    CHECK_ERR(mq_send(q, buf, 1, 0), EBADF);
    CHECK_EQ(mq_unlink(name), 0);
    CHECK_ERR(mq_unlink(name), ENOENT);
}

TEST(open_errors)
{
    mqd_t q = make(O_RDWR, 4, 32);
    CHECK(q != (mqd_t)-1);
    CHECK_ERR(mq_open(name, O_CREAT | O_EXCL | O_RDWR, 0600, NULL), EEXIST);
    mqd_t r = mq_open(name, O_RDONLY);
    CHECK(r != (mqd_t)-1);
    CHECK_ERR(mq_send(r, "x", 1, 0), EBADF);
    mq_close(r);
    CHECK_EQ(mq_unlink(name), 0);
    CHECK_ERR(mq_open(name, O_RDWR), ENOENT);
    CHECK_EQ(mq_send(q, "still there", 11, 0), 0);
    mq_close(q);
    struct mq_attr a = {.mq_maxmsg = 0, .mq_msgsize = 1};
    CHECK_ERR(mq_open(name, O_CREAT | O_RDWR, 0600, &a), EINVAL);
    a.mq_maxmsg = 1 << 30;
    CHECK_ERR(mq_open(name, O_CREAT | O_RDWR, 0600, &a), EINVAL);
    CHECK_ERR(syscall(SYS_mq_open, "a/b", O_CREAT | O_RDWR, 0600, NULL), EACCES);
}

TEST(nonblock_and_timeouts)
{
    mqd_t q = make(O_RDWR | O_NONBLOCK, 1, 8);
    char buf[8];
    CHECK_ERR(mq_receive(q, buf, 8, NULL), EAGAIN);
    CHECK_EQ(mq_send(q, "a", 1, 0), 0);
    CHECK_ERR(mq_send(q, "b", 1, 0), EAGAIN);
    struct mq_attr a = {0}, old;
    CHECK_EQ(mq_setattr(q, &a, &old), 0);
    CHECK_EQ(old.mq_flags, O_NONBLOCK);
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    ts.tv_nsec += 20000000;
    if (ts.tv_nsec >= 1000000000) {
        ts.tv_sec++;
        ts.tv_nsec -= 1000000000;
    }
    CHECK_ERR(mq_timedsend(q, "b", 1, 0, &ts), ETIMEDOUT);
    CHECK_EQ(mq_timedreceive(q, buf, 8, NULL, &ts), 1);
    CHECK_ERR(mq_timedreceive(q, buf, 8, NULL, &ts), ETIMEDOUT);
    ts.tv_nsec = 1000000000;
    CHECK_ERR(mq_timedreceive(q, buf, 8, NULL, &ts), EINVAL);
    mq_close(q);
    mq_unlink(name);
}

TEST(blocks_across_processes)
{
    mqd_t q = make(O_RDWR, 2, 16);
    char buf[16];
    pid_t pid = fork();
    if (pid == 0) {
        for (int i = 0; i < 200; i++)
            if (mq_send(q, (char *)&i, sizeof(i), 0) != 0)
                _exit(1);
        _exit(0);
    }
    for (int i = 0; i < 200; i++) {
        int v;
        CHECK_EQ(mq_receive(q, buf, 16, NULL), sizeof(int));
        memcpy(&v, buf, sizeof(v));
        CHECK_EQ(v, i);
    }
    int st;
    CHECK_EQ(waitpid(pid, &st, 0), pid);
    CHECK_EQ(st, 0);
    mq_close(q);
    mq_unlink(name);
}

static volatile sig_atomic_t nsignals;
static volatile siginfo_t seen;

static void on_signal(int signo, siginfo_t *info, void *uc)
{
    *(siginfo_t *)&seen = *info;
    nsignals++;
}

TEST(notify)
{
    mqd_t q = make(O_RDWR, 4, 16);
    char buf[16];
    struct sigaction sa = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
    sigaction(SIGUSR1, &sa, NULL);
    struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    ev.sigev_value.sival_int = 77;
    CHECK_EQ(mq_notify(q, &ev), 0);
    CHECK_ERR(mq_notify(q, &ev), EBUSY);
    CHECK_EQ(mq_send(q, "x", 1, 0), 0);
    for (int i = 0; i < 1000 && !nsignals; i++)
        usleep(1000);
    CHECK_EQ(nsignals, 1);
    CHECK_EQ(seen.si_code, SI_MESGQ);
    CHECK_EQ(seen.si_value.sival_int, 77);
    CHECK_EQ(seen.si_pid, getpid());
    CHECK_EQ(mq_send(q, "y", 1, 0), 0); /* once only, and the queue is not empty */
    usleep(10000);
    CHECK_EQ(nsignals, 1);
    CHECK_EQ(mq_notify(q, &ev), 0);
    CHECK_EQ(mq_notify(q, NULL), 0);
    CHECK_EQ(mq_receive(q, buf, 16, NULL), 1);
    mq_close(q);
    mq_unlink(name);
}

static pthread_mutex_t thread_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t thread_ran = PTHREAD_COND_INITIALIZER;
static int nthread_notices, thread_value;

static void in_thread(union sigval v)
{
    pthread_mutex_lock(&thread_lock);
    thread_value = v.sival_int;
    nthread_notices++;
    pthread_cond_signal(&thread_ran);
    pthread_mutex_unlock(&thread_lock);
}

/* SIGEV_THREAD as the C library makes it. */
TEST(notify_by_thread)
{
    mqd_t q = make(O_RDWR, 4, 16);
    char buf[16];
    struct sigevent ev = {.sigev_notify = SIGEV_THREAD, .sigev_notify_function = in_thread};
    for (int i = 0; i < 20; i++) {
        ev.sigev_value.sival_int = 100 + i;
        CHECK_EQ(mq_notify(q, &ev), 0);
        CHECK_ERR(mq_notify(q, &ev), EBUSY);
        CHECK_EQ(mq_send(q, "x", 1, 0), 0);
        pthread_mutex_lock(&thread_lock);
        while (nthread_notices <= i)
            pthread_cond_wait(&thread_ran, &thread_lock);
        pthread_mutex_unlock(&thread_lock);
        CHECK_EQ(thread_value, 100 + i);
        CHECK_EQ(mq_receive(q, buf, 16, NULL), 1);
    }
    CHECK_EQ(mq_notify(q, &ev), 0);
    CHECK_EQ(mq_notify(q, NULL), 0);
    mq_close(q);
    mq_unlink(name);
}

struct raw_event {
    void *value;
    int signo, notify, pad[14];
};

/* What lies under it: a cookie for a netlink socket, whose last byte tells why. */
TEST(notify_by_socket)
{
    mqd_t q = make(O_RDWR, 4, 16);
    unsigned char cookie[32] = "a cookie of 32 bytes, as we", got[64];
    int nl = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0), un = socket(AF_UNIX, SOCK_DGRAM, 0);
    struct raw_event ev = {cookie, nl, SIGEV_THREAD, {0}};
    CHECK_EQ(syscall(SYS_mq_notify, q, &ev), 0);
    CHECK_ERR(syscall(SYS_mq_notify, q, &ev), EBUSY);
    CHECK_EQ(mq_send(q, "x", 1, 0), 0);
    CHECK_EQ(recv(nl, got, sizeof(got), 0), 32);
    CHECK(!memcmp(got, cookie, 31) && got[31] == 1);
    CHECK_ERR(recv(nl, got, sizeof(got), MSG_DONTWAIT), EAGAIN);
    CHECK_EQ(syscall(SYS_mq_notify, q, &ev), 0);
    CHECK_EQ(syscall(SYS_mq_notify, q, NULL), 0);
    CHECK_EQ(recv(nl, got, sizeof(got), 0), 32);
    CHECK_EQ(got[31], 2);
    CHECK_EQ(syscall(SYS_mq_notify, q, &ev), 0);
    mq_close(q);
    CHECK_EQ(recv(nl, got, sizeof(got), 0), 32);
    CHECK_EQ(got[31], 2);
    q = mq_open(name, O_RDWR);
    ev.signo = un;
    CHECK_ERR(syscall(SYS_mq_notify, q, &ev), EINVAL);
    ev.signo = (int)q;
    CHECK_ERR(syscall(SYS_mq_notify, q, &ev), ENOTSOCK);
    ev.signo = 999;
    CHECK_ERR(syscall(SYS_mq_notify, q, &ev), EBADF);
    ev.value = (void *)8;
    CHECK_ERR(syscall(SYS_mq_notify, q, &ev), EFAULT);
    close(nl), close(un);
    mq_close(q);
    mq_unlink(name);
}

TEST(poll)
{
    mqd_t q = make(O_RDWR, 1, 16);
    struct pollfd p = {.fd = (int)q, .events = POLLIN | POLLOUT};
    CHECK_EQ(poll(&p, 1, 0), 1);
    CHECK_EQ(p.revents, POLLOUT);
    mq_send(q, "x", 1, 0);
    CHECK_EQ(poll(&p, 1, 0), 1);
    CHECK_EQ(p.revents, POLLIN);
    struct stat st;
    CHECK_EQ(fstat((int)q, &st), 0);
    CHECK(S_ISREG(st.st_mode));
    CHECK_EQ(st.st_size, 80);
    char buf[128];
    ssize_t n = pread((int)q, buf, sizeof(buf) - 1, 0);
    CHECK(n > 0);
    buf[n] = 0;
    CHECK(!strncmp(buf, "QSIZE:1 ", 8));
    mq_close(q);
    mq_unlink(name);
}
