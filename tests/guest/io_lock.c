/* flock, record locks, open file description locks, leases, owners and SIGIO. */
#include <sys/file.h>

#include "io_common.h"

#ifndef F_OFD_SETLK
#define F_OFD_GETLK  36
#define F_OFD_SETLK  37
#define F_OFD_SETLKW 38
#endif

static int fresh(const char *name)
{
    unlink(name);
    int fd = open(name, O_RDWR | O_CREAT, 0600);
    CHECK(fd >= 0);
    CHECK_EQ(ftruncate(fd, 1000), 0);
    return fd;
}

static int lock(int fd, int cmd, short type, off_t start, off_t len)
{
    struct flock fl = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len};
    return fcntl(fd, cmd, &fl);
}

/* Who holds what another process would meet: the type of the first conflicting lock. */
static struct flock seen;
static int probe_fd;
static short probe_type;
static off_t probe_start, probe_len;
static int probe_pipe[2];
static void probe_child(void)
{
    struct flock fl = {.l_type = probe_type, .l_whence = SEEK_SET, .l_start = probe_start, .l_len = probe_len};
    CHECK_EQ(fcntl(probe_fd, F_GETLK, &fl), 0);
    CHECK_EQ(write(probe_pipe[1], &fl, sizeof(fl)), (ssize_t)sizeof(fl));
}
static void probe(int fd, short type, off_t start, off_t len)
{
    probe_fd = fd;
    probe_type = type;
    probe_start = start;
    probe_len = len;
    CHECK_EQ(pipe(probe_pipe), 0);
    CHECK_EQ(in_child(probe_child), 0);
    CHECK_EQ(read(probe_pipe[0], &seen, sizeof(seen)), (ssize_t)sizeof(seen));
    close(probe_pipe[0]);
    close(probe_pipe[1]);
}

#define CHECK_SEEN(type, start, len)                                                               \
    do {                                                                                           \
        CHECK_EQ(seen.l_type, type);                                                               \
        CHECK_EQ(seen.l_start, start);                                                             \
        CHECK_EQ(seen.l_len, len);                                                                 \
        CHECK_EQ(seen.l_pid, getpid());                                                            \
    } while (0)

TEST(ranges_merge_and_split)
{
    int fd = fresh("lock1.tmp");
    CHECK_EQ(lock(fd, F_SETLK, F_WRLCK, 0, 100), 0);
    CHECK_EQ(lock(fd, F_SETLK, F_WRLCK, 100, 100), 0);
    probe(fd, F_RDLCK, 0, 0);
    CHECK_SEEN(F_WRLCK, 0, 200);
    CHECK_EQ(lock(fd, F_SETLK, F_UNLCK, 50, 100), 0);
    probe(fd, F_RDLCK, 0, 0);
    CHECK_SEEN(F_WRLCK, 0, 50);
    probe(fd, F_RDLCK, 60, 0);
    CHECK_SEEN(F_WRLCK, 150, 50);
    probe(fd, F_RDLCK, 50, 100);
    CHECK_EQ(seen.l_type, F_UNLCK);
    CHECK_EQ(lock(fd, F_SETLK, F_RDLCK, 10, 20), 0);
    probe(fd, F_RDLCK, 10, 20);
    CHECK_EQ(seen.l_type, F_UNLCK);
    probe(fd, F_WRLCK, 10, 20);
    CHECK_SEEN(F_RDLCK, 10, 20);
    probe(fd, F_RDLCK, 30, 0);
    CHECK_SEEN(F_WRLCK, 30, 20);
    CHECK_EQ(lock(fd, F_SETLK, F_WRLCK, 900, 0), 0);
    probe(fd, F_RDLCK, 5000, 1);
    CHECK_SEEN(F_WRLCK, 900, 0);
    CHECK_EQ(lock(fd, F_SETLK, F_UNLCK, 0, 0), 0);
    probe(fd, F_WRLCK, 0, 0);
    CHECK_EQ(seen.l_type, F_UNLCK);
    close(fd);
    unlink("lock1.tmp");
}

TEST(arguments)
{
    int fd = fresh("lock2.tmp"), ro = open("lock2.tmp", O_RDONLY);
    struct flock fl = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = -1};
    CHECK_ERR(fcntl(fd, F_SETLK, &fl), EINVAL);
    fl = (struct flock){.l_type = F_WRLCK, .l_whence = 9};
    CHECK_ERR(fcntl(fd, F_SETLK, &fl), EINVAL);
    fl = (struct flock){.l_type = 7, .l_whence = SEEK_SET};
    CHECK_ERR(fcntl(fd, F_SETLK, &fl), EINVAL);
    CHECK_ERR(fcntl(fd, F_SETLK, bad_ptr()), EFAULT);
    CHECK_ERR(lock(ro, F_SETLK, F_WRLCK, 0, 0), EBADF);
    CHECK_EQ(lock(ro, F_SETLK, F_RDLCK, 0, 0), 0);
    CHECK_EQ(lock(fd, F_SETLK, F_UNLCK, 0, 0), 0);
    /* Negative lengths end before the start; whence counts from the position or the end. */
    CHECK_EQ(lock(fd, F_SETLK, F_WRLCK, 100, -10), 0);
    probe(fd, F_RDLCK, 0, 0);
    CHECK_SEEN(F_WRLCK, 90, 10);
    CHECK_ERR(lock(fd, F_SETLK, F_WRLCK, 5, -10), EINVAL);
    CHECK_EQ(lock(fd, F_SETLK, F_UNLCK, 0, 0), 0);
    CHECK_EQ(lseek(fd, 500, SEEK_SET), 500);
    fl = (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_CUR, .l_start = 1, .l_len = 2};
    CHECK_EQ(fcntl(fd, F_SETLK, &fl), 0);
    probe(fd, F_RDLCK, 0, 0);
    CHECK_SEEN(F_WRLCK, 501, 2);
    fl = (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_END, .l_start = -10, .l_len = 5};
    CHECK_EQ(fcntl(fd, F_SETLK, &fl), 0);
    probe(fd, F_RDLCK, 600, 0);
    CHECK_SEEN(F_WRLCK, 990, 5);
    close(ro);
    close(fd);
    unlink("lock2.tmp");
}

TEST(close_drops_all_of_the_process)
{
    int fd = fresh("lock3.tmp"), other = open("lock3.tmp", O_RDWR);
    CHECK_EQ(lock(fd, F_SETLK, F_WRLCK, 0, 0), 0);
    probe(fd, F_RDLCK, 0, 0);
    CHECK_SEEN(F_WRLCK, 0, 0);
    close(other); /* any descriptor of the file */
    probe(fd, F_RDLCK, 0, 0);
    CHECK_EQ(seen.l_type, F_UNLCK);
    close(fd);
    unlink("lock3.tmp");
}

static int wait_fd;
static void waiting_child(void)
{
    CHECK_ERR(lock(wait_fd, F_SETLK, F_WRLCK, 0, 10), EAGAIN);
    CHECK_EQ(lock(wait_fd, F_SETLKW, F_WRLCK, 0, 10), 0);
}

TEST(waits_for_an_unlock)
{
    int fd = wait_fd = fresh("lock4.tmp"), status;
    CHECK_EQ(lock(fd, F_SETLK, F_WRLCK, 5, 1), 0);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        test_jmp = NULL;
        waiting_child();
        _exit(0);
    }
    wait_asleep(pid);
    CHECK_EQ(waitpid(pid, &status, WNOHANG), 0);
    CHECK_EQ(lock(fd, F_SETLK, F_UNLCK, 0, 0), 0);
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
    close(fd);
    unlink("lock4.tmp");
}

static void deadlock_child(void)
{
    CHECK_EQ(lock(wait_fd, F_SETLK, F_WRLCK, 1, 1), 0);
    CHECK_EQ(write(probe_pipe[1], "x", 1), 1);
    CHECK_EQ(lock(wait_fd, F_SETLKW, F_WRLCK, 0, 1), 0); /* waits for the parent */
}

TEST(deadlock_is_found)
{
    char c;
    int fd = wait_fd = fresh("lock5.tmp"), status;
    CHECK_EQ(pipe(probe_pipe), 0);
    CHECK_EQ(lock(fd, F_SETLK, F_WRLCK, 0, 1), 0);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        test_jmp = NULL;
        deadlock_child();
        _exit(0);
    }
    CHECK_EQ(read(probe_pipe[0], &c, 1), 1);
    wait_asleep(pid);
    CHECK_ERR(lock(fd, F_SETLKW, F_WRLCK, 1, 1), EDEADLK);
    CHECK_EQ(lock(fd, F_SETLK, F_UNLCK, 0, 0), 0);
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
    close(probe_pipe[0]);
    close(probe_pipe[1]);
    close(fd);
    unlink("lock5.tmp");
}

TEST(interrupted_wait)
{
    int fd = wait_fd = fresh("lock6.tmp"), p[2];
    char c;
    CHECK_EQ(pipe(p), 0);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        lock(fd, F_SETLK, F_WRLCK, 0, 0);
        if (write(p[1], "x", 1) != 1)
            _exit(1);
        pause();
        _exit(0);
    }
    CHECK_EQ(read(p[0], &c, 1), 1);
    catch_signal(SIGALRM, 0);
    alarm(1);
    CHECK_ERR(lock(fd, F_SETLKW, F_WRLCK, 0, 0), EINTR);
    signal(SIGALRM, SIG_DFL);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    CHECK_EQ(lock(fd, F_SETLK, F_WRLCK, 0, 0), 0); /* its death gave them up */
    close(p[0]);
    close(p[1]);
    close(fd);
    unlink("lock6.tmp");
}

TEST(ofd_locks)
{
    int a = fresh("lock7.tmp"), b = open("lock7.tmp", O_RDWR), d = dup(a);
    CHECK_EQ(lock(a, F_OFD_SETLK, F_WRLCK, 0, 10), 0);
    CHECK_ERR(lock(b, F_OFD_SETLK, F_WRLCK, 5, 10), EAGAIN);
    CHECK_ERR(lock(b, F_SETLK, F_WRLCK, 5, 10), EAGAIN);
    struct flock fl = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    CHECK_EQ(fcntl(b, F_OFD_GETLK, &fl), 0);
    CHECK_EQ(fl.l_type, F_WRLCK);
    CHECK_EQ(fl.l_pid, -1);
    fl = (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_pid = 1};
    CHECK_ERR(fcntl(b, F_OFD_SETLK, &fl), EINVAL);
    close(a); /* the open file lives on in d */
    CHECK_ERR(lock(b, F_OFD_SETLK, F_WRLCK, 5, 10), EAGAIN);
    close(d);
    CHECK_EQ(lock(b, F_OFD_SETLK, F_WRLCK, 5, 10), 0);
    close(b);
    unlink("lock7.tmp");
}

TEST(flock_rules)
{
    int a = fresh("lock8.tmp"), b = open("lock8.tmp", O_RDONLY), d = dup(a);
    CHECK_EQ(flock(a, LOCK_EX | LOCK_NB), 0);
    CHECK_EQ(flock(a, LOCK_EX), 0);
    CHECK_EQ(flock(d, LOCK_EX | LOCK_NB), 0); /* the same open file */
    CHECK_ERR(flock(b, LOCK_SH | LOCK_NB), EWOULDBLOCK);
    CHECK_EQ(flock(a, LOCK_SH), 0);
    CHECK_EQ(flock(b, LOCK_SH | LOCK_NB), 0);
    CHECK_ERR(flock(a, LOCK_EX | LOCK_NB), EWOULDBLOCK);
    CHECK_EQ(flock(b, LOCK_UN), 0);
    CHECK_EQ(flock(a, LOCK_EX | LOCK_NB), 0);
    CHECK_EQ(lock(b, F_SETLK, F_RDLCK, 0, 0), 0); /* another world */
    CHECK_ERR(flock(a, LOCK_SH | LOCK_EX), EINVAL);
    CHECK_ERR(flock(999, LOCK_SH), EBADF);
    close(a);
    CHECK_ERR(flock(b, LOCK_SH | LOCK_NB), EWOULDBLOCK);
    close(d);
    CHECK_EQ(flock(b, LOCK_EX | LOCK_NB), 0);
    close(b);
    unlink("lock8.tmp");
}

static void *flock_waiter(void *arg)
{
    int fd = open("lock9.tmp", O_RDONLY);
    *(volatile pid_t *)arg = (pid_t)syscall(SYS_gettid);
    int r = flock(fd, LOCK_EX);
    close(fd);
    return (void *)(intptr_t)r;
}

TEST(flock_waits)
{
    int a = fresh("lock9.tmp");
    pid_t tid = 0;
    pthread_t t;
    void *ret;
    CHECK_EQ(flock(a, LOCK_SH), 0);
    pthread_create(&t, NULL, flock_waiter, &tid);
    while (!*(volatile pid_t *)&tid)
        sleep_ms(1);
    wait_asleep(tid);
    CHECK_EQ(flock(a, LOCK_UN), 0);
    pthread_join(t, &ret);
    CHECK_EQ((intptr_t)ret, 0);
    close(a);
    unlink("lock9.tmp");
}

TEST(owners)
{
    int p[2];
    CHECK_EQ(pipe(p), 0);
    CHECK_EQ(fcntl(p[0], F_GETOWN), 0);
    CHECK_EQ(fcntl(p[0], F_SETOWN, getpid()), 0);
    CHECK_EQ(fcntl(p[0], F_GETOWN), getpid());
    struct f_owner_ex ex = {0};
    CHECK_EQ(fcntl(p[0], F_GETOWN_EX, &ex), 0);
    CHECK_EQ(ex.type, F_OWNER_PID);
    CHECK_EQ(ex.pid, getpid());
    ex = (struct f_owner_ex){F_OWNER_TID, (pid_t)syscall(SYS_gettid)};
    CHECK_EQ(fcntl(p[0], F_SETOWN_EX, &ex), 0);
    ex.type = F_OWNER_PGRP;
    ex.pid = getpgrp();
    if (ex.pid > 0) {
        CHECK_EQ(fcntl(p[0], F_SETOWN_EX, &ex), 0);
        ex.pid = 0;
        CHECK_EQ(fcntl(p[0], F_GETOWN_EX, &ex), 0);
        CHECK_EQ(ex.pid, getpgrp());
    }
    ex.type = 9;
    CHECK_ERR(fcntl(p[0], F_SETOWN_EX, &ex), EINVAL);
    CHECK_ERR(fcntl(p[0], F_SETOWN, 1 << 29), ESRCH);
    CHECK_EQ(fcntl(p[0], F_SETSIG, SIGRTMIN), 0);
    CHECK_EQ(fcntl(p[0], F_GETSIG), SIGRTMIN);
    CHECK_ERR(fcntl(p[0], F_SETSIG, 99), EINVAL);
    CHECK_EQ(fcntl(p[0], F_SETOWN, 0), 0);
    CHECK_EQ(fcntl(p[0], F_GETOWN), 0);
    close(p[0]);
    close(p[1]);
}

TEST(sigio)
{
    int p[2];
    siginfo_t si;
    sigset_t set, old;
    struct timespec ts = {5, 0};
    CHECK_EQ(pipe(p), 0);
    sigemptyset(&set);
    sigaddset(&set, SIGIO);
    sigaddset(&set, SIGRTMIN + 2);
    sigprocmask(SIG_BLOCK, &set, &old);
    CHECK_EQ(fcntl(p[0], F_SETOWN, getpid()), 0);
    CHECK_EQ(fcntl(p[0], F_SETFL, O_ASYNC), 0);
    CHECK_EQ(write(p[1], "x", 1), 1);
    CHECK_EQ(sigtimedwait(&set, &si, &ts), SIGIO);
    CHECK_EQ(fcntl(p[0], F_SETSIG, SIGRTMIN + 2), 0);
    CHECK_EQ(write(p[1], "x", 1), 1);
    CHECK_EQ(sigtimedwait(&set, &si, &ts), SIGRTMIN + 2);
    CHECK_EQ(si.si_fd, p[0]);
    CHECK_EQ(si.si_code, POLL_IN);
    CHECK(si.si_band & POLLIN);
    CHECK_EQ(fcntl(p[0], F_SETFL, 0), 0);
    CHECK_EQ(write(p[1], "x", 1), 1);
    ts.tv_sec = 0;
    ts.tv_nsec = 20000000;
    CHECK_ERR(sigtimedwait(&set, &si, &ts), EAGAIN);
    sigprocmask(SIG_SETMASK, &old, NULL);
    close(p[0]);
    close(p[1]);
}

TEST(leases)
{
    int fd = fresh("lease.tmp");
    close(fd);
    fd = open("lease.tmp", O_RDONLY);
    CHECK_EQ(fcntl(fd, F_GETLEASE), F_UNLCK);
    CHECK_ERR(fcntl(fd, F_SETLEASE, 9), EINVAL);
    CHECK_EQ(fcntl(fd, F_SETLEASE, F_RDLCK), 0);
    CHECK_EQ(fcntl(fd, F_GETLEASE), F_RDLCK);
    catch_signal(SIGIO, 0);
    int r = open("lease.tmp", O_RDONLY | O_NONBLOCK); /* no conflict */
    CHECK(r >= 0);
    close(r);
    CHECK_EQ(io_nsignals, 0);
    CHECK_ERR(open("lease.tmp", O_WRONLY | O_NONBLOCK), EWOULDBLOCK);
    for (int i = 0; i < 500 && !io_nsignals; i++)
        sleep_ms(2);
    CHECK_EQ(io_nsignals, 1);
    CHECK_EQ(fcntl(fd, F_SETLEASE, F_UNLCK), 0);
    int w = open("lease.tmp", O_WRONLY | O_NONBLOCK);
    CHECK(w >= 0);
    CHECK_ERR(fcntl(fd, F_SETLEASE, F_RDLCK), EAGAIN); /* open for writing */
    close(w);
    close(fd);
    signal(SIGIO, SIG_DFL);
    unlink("lease.tmp");
}
