/* wait4 and waitid with all their flags; SIGCHLD and its dispositions; pidfds. */
#include <poll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <pthread.h>

#include "proc_common.h"

#ifndef P_PIDFD
#define P_PIDFD 3
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

static void exit_code(void *arg)
{
    _exit((int)(intptr_t)arg);
}

static void wait_forever(void *arg)
{
    for (;;)
        pause();
}

TEST(no_children)
{
    int st;
    siginfo_t info;
    CHECK_ERR(wait(&st), ECHILD);
    CHECK_ERR(waitpid(getpid(), &st, 0), ECHILD);
    CHECK_ERR(waitpid(-1, &st, WNOHANG), ECHILD);
    CHECK_ERR(waitid(P_ALL, 0, &info, WEXITED), ECHILD);
    CHECK_ERR(waitpid(INT32_MIN, &st, 0), ESRCH);
}

TEST(refused_options)
{
    int st;
    siginfo_t info;
    CHECK_ERR(waitpid(-1, &st, 0x10), EINVAL);
    CHECK_ERR(waitid(P_ALL, 0, &info, 0), EINVAL);
    CHECK_ERR(waitid(P_ALL, 0, &info, WEXITED | 0x10), EINVAL);
    CHECK_ERR(waitid(9, 0, &info, WEXITED), EINVAL);
    CHECK_ERR(waitid(P_PID, 0, &info, WEXITED), EINVAL);
    CHECK_ERR(waitid(P_PIDFD, 1000, &info, WEXITED), EBADF);
    CHECK_ERR(waitid(P_PIDFD, 1, &info, WEXITED), EBADF);
}

TEST(nohang)
{
    int st = 77;
    siginfo_t info;
    pid_t pid = spawn(wait_forever, NULL);
    CHECK_EQ(waitpid(pid, &st, WNOHANG), 0);
    CHECK_EQ(st, 77);
    memset(&info, 0xff, sizeof(info));
    CHECK_EQ(waitid(P_PID, pid, &info, WEXITED | WNOHANG), 0);
    CHECK_EQ(info.si_pid, 0);
    CHECK_EQ(info.si_signo, 0);
    kill(pid, SIGKILL);
    CHECK_EQ(wait_status(pid), SIGKILL);
}

TEST(nowait_leaves_the_zombie)
{
    siginfo_t info;
    pid_t pid = spawn(exit_code, (void *)5);
    for (int i = 0; i < 3; i++) {
        memset(&info, 0, sizeof(info));
        CHECK_EQ(waitid(P_PID, pid, &info, WEXITED | WNOWAIT), 0);
        CHECK_EQ(info.si_signo, SIGCHLD);
        CHECK_EQ(info.si_code, CLD_EXITED);
        CHECK_EQ(info.si_pid, pid);
        CHECK_EQ(info.si_uid, getuid());
        CHECK_EQ(info.si_status, 5);
    }
    CHECK_EQ(kill(pid, 0), 0); /* a zombie can be signalled */
    CHECK_EQ(wait_status(pid), 5 << 8);
    CHECK_ERR(kill(pid, 0), ESRCH);
}

TEST(killed_status)
{
    static const int signals[] = {SIGTERM, SIGKILL, SIGUSR1, SIGALRM, SIGHUP, SIGPIPE, 40};
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
        siginfo_t info;
        pid_t pid = spawn(wait_forever, NULL);
        kill(pid, signals[i]);
        CHECK_EQ(waitid(P_PID, pid, &info, WEXITED | WNOWAIT), 0);
        CHECK_EQ(info.si_code, CLD_KILLED);
        CHECK_EQ(info.si_status, signals[i]);
        CHECK_EQ(wait_status(pid), signals[i]);
    }
}

TEST(stop_and_continue)
{
    int st;
    siginfo_t info;
    pid_t pid = spawn(wait_forever, NULL);
    CHECK_EQ(setpgid(pid, pid), 0); /* a group that is not orphaned: SIGTSTP acts */
    kill(pid, SIGSTOP);
    CHECK_EQ(waitpid(pid, &st, WUNTRACED), pid);
    CHECK(WIFSTOPPED(st));
    CHECK_EQ(WSTOPSIG(st), SIGSTOP);
    CHECK_EQ(waitpid(pid, &st, WUNTRACED | WNOHANG), 0); /* told once */
    kill(pid, SIGCONT);
    CHECK_EQ(waitpid(pid, &st, WCONTINUED), pid);
    CHECK(WIFCONTINUED(st));
    kill(pid, SIGTSTP);
    memset(&info, 0, sizeof(info));
    CHECK_EQ(waitid(P_PID, pid, &info, WSTOPPED | WNOWAIT), 0);
    CHECK_EQ(info.si_code, CLD_STOPPED);
    CHECK_EQ(info.si_status, SIGTSTP);
    CHECK_EQ(waitid(P_PID, pid, &info, WSTOPPED), 0);
    CHECK_EQ(waitid(P_PID, pid, &info, WSTOPPED | WNOHANG), 0);
    CHECK_EQ(info.si_pid, 0);
    kill(pid, SIGCONT);
    CHECK_EQ(waitid(P_PID, pid, &info, WCONTINUED), 0);
    CHECK_EQ(info.si_code, CLD_CONTINUED);
    CHECK_EQ(info.si_status, SIGCONT);
    kill(pid, SIGSTOP);
    CHECK_EQ(waitpid(pid, &st, WUNTRACED), pid);
    kill(pid, SIGKILL); /* kills a stopped process */
    CHECK_EQ(wait_status(pid), SIGKILL);
}

TEST(stopped_process_takes_signals_when_continued)
{
    int st;
    pid_t pid = spawn(wait_forever, NULL);
    kill(pid, SIGSTOP);
    CHECK_EQ(waitpid(pid, &st, WUNTRACED), pid);
    kill(pid, SIGUSR1);
    sleep_ms(20);
    CHECK_EQ(waitpid(pid, &st, WNOHANG), 0);
    kill(pid, SIGCONT);
    CHECK_EQ(wait_status(pid), SIGUSR1);
}

static void *idle(void *arg)
{
    for (;;)
        sleep_ms(5);
    return NULL;
}

static void threads_forever(void *arg)
{
    pthread_t th[3];
    for (int i = 0; i < 3; i++)
        EXPECT(pthread_create(&th[i], NULL, idle, NULL) == 0);
    gate_open(arg);
    idle(NULL);
}

TEST(stop_of_many_threads)
{
    struct gate g;
    int st;
    gate_init(&g);
    pid_t pid = spawn(threads_forever, &g);
    CHECK(gate_wait(&g));
    for (int i = 0; i < 5; i++) {
        kill(pid, SIGSTOP);
        CHECK_EQ(waitpid(pid, &st, WUNTRACED), pid);
        CHECK_EQ(WSTOPSIG(st), SIGSTOP);
        kill(pid, SIGCONT);
        CHECK_EQ(waitpid(pid, &st, WCONTINUED), pid);
    }
    kill(pid, SIGKILL);
    CHECK_EQ(wait_status(pid), SIGKILL);
    gate_done(&g);
}

TEST(by_group)
{
    int st;
    pid_t a = spawn(wait_forever, NULL), b = spawn(wait_forever, NULL);
    CHECK_EQ(setpgid(a, a), 0);
    CHECK_EQ(setpgid(b, a), 0);
    CHECK_ERR(waitpid(0, &st, WNOHANG), ECHILD); /* none in our group */
    CHECK_EQ(waitpid(-a, &st, WNOHANG), 0);
    CHECK_EQ(kill(-a, SIGTERM), 0);
    pid_t x = waitpid(-a, &st, 0), y = waitpid(-a, &st, 0);
    CHECK((x == a && y == b) || (x == b && y == a));
    CHECK_ERR(waitpid(-a, &st, 0), ECHILD);
    siginfo_t info;
    CHECK_ERR(waitid(P_PGID, a, &info, WEXITED), ECHILD);
}

TEST(rusage)
{
    struct rusage ru;
    int st;
    memset(&ru, 0xff, sizeof(ru));
    pid_t pid = fork();
    if (pid == 0) {
        struct timespec used = {0, 0}; /* of its own time, however busy the machine is */
        while (used.tv_sec == 0 && used.tv_nsec < 50000000)
            clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
        _exit(0);
    }
    CHECK_EQ(wait4(pid, &st, 0, &ru), pid);
    long us = ru.ru_utime.tv_sec * 1000000L + ru.ru_utime.tv_usec + ru.ru_stime.tv_sec * 1000000L +
              ru.ru_stime.tv_usec;
    CHECK(us >= 45000 && us < 5000000);
}

/* ---- SIGCHLD ------------------------------------------------------------------------------- */

static volatile int nchld;
static siginfo_t chld_info;

static void on_chld(int signo, siginfo_t *info, void *uc)
{
    nchld++;
    chld_info = *info;
}

static void set_chld(void (*fn)(int, siginfo_t *, void *), int flags)
{
    struct sigaction sa;
    memset(&sa, 0, sizeof(sa));
    sa.sa_sigaction = fn;
    sa.sa_flags = flags | SA_SIGINFO;
    sigaction(SIGCHLD, &sa, NULL);
}

TEST(sigchld_tells)
{
    set_chld(on_chld, SA_RESTART);
    nchld = 0;
    pid_t pid = spawn(exit_code, (void *)3);
    CHECK_EQ(wait_status(pid), 3 << 8);
    CHECK_EQ(nchld, 1);
    CHECK_EQ(chld_info.si_signo, SIGCHLD);
    CHECK_EQ(chld_info.si_code, CLD_EXITED);
    CHECK_EQ(chld_info.si_pid, pid);
    CHECK_EQ(chld_info.si_status, 3);
    CHECK_EQ(chld_info.si_uid, getuid());
    signal(SIGCHLD, SIG_DFL);
}

TEST(sigchld_of_stops)
{
    int st;
    set_chld(on_chld, SA_RESTART);
    pid_t pid = spawn(wait_forever, NULL);
    nchld = 0;
    kill(pid, SIGSTOP);
    CHECK_EQ(waitpid(pid, &st, WUNTRACED), pid);
    CHECK_EQ(nchld, 1);
    CHECK_EQ(chld_info.si_code, CLD_STOPPED);
    CHECK_EQ(chld_info.si_status, SIGSTOP);
    set_chld(on_chld, SA_RESTART | SA_NOCLDSTOP);
    kill(pid, SIGCONT);
    CHECK_EQ(waitpid(pid, &st, WCONTINUED), pid);
    CHECK_EQ(nchld, 1); /* not with SA_NOCLDSTOP */
    kill(pid, SIGKILL);
    CHECK_EQ(wait_status(pid), SIGKILL);
    CHECK_EQ(nchld, 2);
    signal(SIGCHLD, SIG_DFL);
}

TEST(sigchld_ignored_reaps)
{
    signal(SIGCHLD, SIG_IGN);
    pid_t pid = spawn(exit_code, NULL);
    int st;
    CHECK_ERR(waitpid(pid, &st, 0), ECHILD); /* waits until it is gone */
    CHECK_ERR(kill(pid, 0), ESRCH);
    signal(SIGCHLD, SIG_DFL);
    set_chld(on_chld, SA_NOCLDWAIT | SA_RESTART);
    nchld = 0;
    pid = spawn(exit_code, NULL);
    CHECK_ERR(waitpid(pid, &st, 0), ECHILD);
    CHECK_EQ(nchld, 1);
    signal(SIGCHLD, SIG_DFL);
}

static void on_alarm(int signo)
{
}

TEST(interrupted)
{
    struct sigaction sa;
    int st;
    memset(&sa, 0, sizeof(sa));
    sa.sa_handler = on_alarm;
    sigaction(SIGALRM, &sa, NULL);
    pid_t pid = spawn(wait_forever, NULL);
    alarm(1);
    CHECK_ERR(waitpid(pid, &st, 0), EINTR);
    kill(pid, SIGKILL);
    CHECK_EQ(wait_status(pid), SIGKILL);
    signal(SIGALRM, SIG_DFL);
}

/* ---- threads ------------------------------------------------------------------------------- */

static void *wait_for(void *arg)
{
    int st = -1;
    if (waitpid(*(pid_t *)arg, &st, 0) != *(pid_t *)arg)
        return (void *)-1L;
    return (void *)(intptr_t)st;
}

TEST(another_thread_waits)
{
    pthread_t th;
    void *r;
    pid_t pid = spawn(exit_code, (void *)8);
    CHECK_EQ(pthread_create(&th, NULL, wait_for, &pid), 0);
    pthread_join(th, &r);
    CHECK_EQ((intptr_t)r, 8 << 8);
}

static void *not_mine(void *arg)
{
    int st;
    errno = 0;
    long r = waitpid(*(pid_t *)arg, &st, __WNOTHREAD | WNOHANG);
    return (void *)(intptr_t)(r == -1 && errno == ECHILD);
}

TEST(wnothread)
{
    pthread_t th;
    void *r;
    pid_t pid = spawn(wait_forever, NULL);
    CHECK_EQ(pthread_create(&th, NULL, not_mine, &pid), 0);
    pthread_join(th, &r);
    CHECK(r != NULL);
    int st;
    CHECK_EQ(waitpid(pid, &st, __WNOTHREAD | WNOHANG), 0);
    kill(pid, SIGKILL);
    CHECK_EQ(wait_status(pid), SIGKILL);
}

/* ---- pidfds -------------------------------------------------------------------------------- */

TEST(pidfd)
{
    pid_t pid = spawn(wait_forever, NULL);
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    CHECK(fd >= 0);
    CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
    struct pollfd p = {fd, POLLIN, 0};
    CHECK_EQ(poll(&p, 1, 0), 0);
    CHECK_EQ(syscall(424 /* pidfd_send_signal */, fd, 0, NULL, 0), 0);
    CHECK_EQ(syscall(424, fd, SIGTERM, NULL, 0), 0);
    CHECK_EQ(poll(&p, 1, 2000), 1);
    CHECK(p.revents & POLLIN);
    siginfo_t info;
    CHECK_EQ(waitid(P_PIDFD, fd, &info, WEXITED), 0);
    CHECK_EQ(info.si_pid, pid);
    CHECK_EQ(info.si_status, SIGTERM);
    CHECK_ERR(syscall(424, fd, 0, NULL, 0), ESRCH);
    CHECK_ERR(waitid(P_PIDFD, fd, &info, WEXITED), ECHILD);
    close(fd);
    CHECK_ERR(syscall(SYS_pidfd_open, pid, 0), ESRCH);
    CHECK_ERR(syscall(SYS_pidfd_open, -1, 0), EINVAL);
    CHECK_ERR(syscall(SYS_pidfd_open, getpid(), 1), EINVAL);
    CHECK_ERR(syscall(424, 1, 0, NULL, 0), EBADF);
}

TEST(pidfd_nonblock)
{
    siginfo_t info;
    pid_t pid = spawn(wait_forever, NULL);
    int fd = (int)syscall(SYS_pidfd_open, pid, O_NONBLOCK);
    CHECK(fd >= 0);
    CHECK_ERR(waitid(P_PIDFD, fd, &info, WEXITED), EAGAIN);
    kill(pid, SIGKILL);
    CHECK_EQ(wait_status(pid), SIGKILL);
    close(fd);
}

TEST(pidfd_getfd)
{
    int p[2];
    char c = 0;
    CHECK_EQ(pipe(p), 0);
    pid_t pid = spawn(wait_forever, NULL);
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    close(p[1]); /* only the child has it now */
    int got = (int)syscall(438 /* pidfd_getfd */, fd, p[1], 0);
    CHECK(got >= 0);
    CHECK_EQ(write(got, "y", 1), 1);
    CHECK_EQ(read(p[0], &c, 1), 1);
    CHECK_EQ(c, 'y');
    CHECK_ERR(syscall(438, fd, 999, 0), EBADF);
    CHECK_ERR(syscall(438, fd, 0, 1), EINVAL);
    kill(pid, SIGKILL);
    CHECK_EQ(wait_status(pid), SIGKILL);
    CHECK_ERR(syscall(438, fd, 0, 0), ESRCH);
    close(fd);
    close(got);
    close(p[0]);
}

TEST(an_ended_child_has_no_stops)
{
    siginfo_t info;
    pid_t pid = spawn(exit_code, NULL);
    CHECK_EQ(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
    CHECK_ERR(waitid(P_PID, (id_t)pid, &info, WSTOPPED), ECHILD);
    CHECK_ERR(waitid(P_ALL, 0, &info, WSTOPPED | WCONTINUED | WNOHANG), ECHILD);
    CHECK_EQ(wait_status(pid), 0);
}

static void hold_memory(void *arg)
{
    size_t size = 64UL << 20;
    char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EXPECT(p != MAP_FAILED);
    for (size_t i = 0; i < size; i += 4096)
        p[i] = 1;
    gate_open(arg);
    for (;;)
        pause();
}

#ifndef SYS_process_mrelease
#define SYS_process_mrelease 448
#endif
TEST(memory_of_the_killed)
{
    struct gate g;
    gate_init(&g);
    pid_t pid = spawn(hold_memory, &g);
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    CHECK(gate_wait(&g));
    if (syscall(SYS_process_mrelease, -1, 0) < 0 && errno == ENOSYS) { /* a host before 5.15 */
        kill(pid, SIGKILL);
        wait_status(pid);
        return;
    }
    CHECK_ERR(syscall(SYS_process_mrelease, fd, 0), EINVAL); /* it lives */
    CHECK_ERR(syscall(SYS_process_mrelease, fd, 1), EINVAL);
    CHECK_ERR(syscall(SYS_process_mrelease, g.fd[0], 0), EBADF);
    CHECK_ERR(syscall(SYS_process_mrelease, -1, 0), EBADF);
    CHECK_EQ(kill(pid, SIGKILL), 0);
    long r = syscall(SYS_process_mrelease, fd, 0);
    CHECK(r == 0 || errno == ESRCH || errno == EAGAIN);
    CHECK_EQ(wait_status(pid), SIGKILL);
    CHECK_ERR(syscall(SYS_process_mrelease, fd, 0), ESRCH);
    close(fd);
    gate_done(&g);
}

/* The older name of a process: its directory in /proc. */
TEST(signals_by_proc_directory)
{
    char path[64];
    struct gate g;
    gate_init(&g);
    pid_t pid = spawn(hold_memory, &g);
    snprintf(path, sizeof(path), "/proc/%d", pid);
    int dir = open(path, O_RDONLY | O_DIRECTORY);
    snprintf(path, sizeof(path), "/proc/%d/task/%d", pid, pid);
    int thread = open(path, O_RDONLY | O_DIRECTORY), root = open("/proc", O_RDONLY | O_DIRECTORY);
    CHECK(dir >= 0 && thread >= 0 && root >= 0 && gate_wait(&g));
    CHECK_EQ(syscall(SYS_pidfd_send_signal, dir, 0, NULL, 0), 0);
    CHECK_ERR(syscall(SYS_pidfd_send_signal, thread, 0, NULL, 0), EBADF);
    CHECK_ERR(syscall(SYS_pidfd_send_signal, root, 0, NULL, 0), EBADF);
    CHECK_ERR(syscall(SYS_pidfd_send_signal, g.fd[0], 0, NULL, 0), EBADF);
    CHECK_ERR(syscall(SYS_pidfd_getfd, dir, 0, 0), EBADF); /* for signals only */
    CHECK_EQ(syscall(SYS_pidfd_send_signal, dir, SIGTERM, NULL, 0), 0);
    CHECK_EQ(wait_status(pid), SIGTERM);
    CHECK_ERR(syscall(SYS_pidfd_send_signal, dir, 0, NULL, 0), ESRCH);
    close(dir), close(thread), close(root);
    gate_done(&g);
}
