/* Interval timers, POSIX timers, alarms. */
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "test.h"

static volatile sig_atomic_t nsignals;
static siginfo_t last_info;

static void on_signal(int signo, siginfo_t *info, void *uc)
{
    last_info = *info;
    nsignals++;
}

static void handle(int signo)
{
    struct sigaction sa = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
    sigaction(signo, &sa, NULL);
    nsignals = 0;
}

static long long now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

static void wait_signals(int n)
{
    long long end = now_ns() + 5000000000LL;
    while (nsignals < n && now_ns() < end)
        usleep(1000);
    CHECK(nsignals >= n);
}

static void spin_until(int n)
{
    long long end = now_ns() + 5000000000LL;
    while (nsignals < n && now_ns() < end)
        ;
    CHECK(nsignals >= n);
}

TEST(alarm)
{
    handle(SIGALRM);
    CHECK_EQ(alarm(100), 0);
    CHECK_EQ(alarm(1), 100);
    long long a = now_ns();
    pause();
    CHECK(now_ns() - a > 900000000LL);
    CHECK_EQ(nsignals, 1);
    CHECK_EQ(alarm(0), 0);
}

TEST(itimer_real)
{
    struct itimerval it = {{0, 5000}, {0, 5000}}, old;
    handle(SIGALRM);
    CHECK_EQ(setitimer(ITIMER_REAL, &it, &old), 0);
    CHECK_EQ(old.it_value.tv_usec, 0);
    wait_signals(5);
    CHECK_EQ(getitimer(ITIMER_REAL, &old), 0);
    CHECK_EQ(old.it_interval.tv_usec, 5000);
    CHECK(old.it_value.tv_usec > 0 && old.it_value.tv_usec <= 5000);
    it = (struct itimerval){0};
    CHECK_EQ(setitimer(ITIMER_REAL, &it, &old), 0);
    nsignals = 0;
    usleep(30000);
    CHECK_EQ(nsignals, 0);
    CHECK_ERR(setitimer(7, &it, NULL), EINVAL);
    CHECK_ERR(getitimer(7, &it), EINVAL);
    it.it_value.tv_usec = 1000000;
    CHECK_ERR(setitimer(ITIMER_REAL, &it, NULL), EINVAL);
}

TEST(itimer_cpu)
{
    struct itimerval it = {{0, 10000}, {0, 10000}}, zero = {0};
    handle(SIGPROF);
    CHECK_EQ(setitimer(ITIMER_PROF, &it, NULL), 0);
    spin_until(3);
    CHECK_EQ(setitimer(ITIMER_PROF, &zero, NULL), 0);
    handle(SIGVTALRM);
    CHECK_EQ(setitimer(ITIMER_VIRTUAL, &it, NULL), 0);
    spin_until(3);
    CHECK_EQ(setitimer(ITIMER_VIRTUAL, &zero, &it), 0);
    CHECK_EQ(it.it_interval.tv_usec, 10000);
    nsignals = 0;
    spin_until(0);
    usleep(20000);
    CHECK_EQ(nsignals, 0);
}

TEST(itimer_not_inherited)
{
    struct itimerval it = {{0, 0}, {100, 0}}, got;
    CHECK_EQ(setitimer(ITIMER_REAL, &it, NULL), 0);
    pid_t pid = fork();
    if (pid == 0) {
        getitimer(ITIMER_REAL, &got);
        _exit(got.it_value.tv_sec != 0);
    }
    int st;
    CHECK_EQ(waitpid(pid, &st, 0), pid);
    CHECK_EQ(st, 0);
    it.it_value.tv_sec = 0;
    setitimer(ITIMER_REAL, &it, NULL);
}

TEST(posix_timer_signal)
{
    timer_t id;
    struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    ev.sigev_value.sival_int = 1234;
    handle(SIGUSR1);
    CHECK_EQ(timer_create(CLOCK_MONOTONIC, &ev, &id), 0);
    struct itimerspec its = {{0, 0}, {0, 10000000}};
    CHECK_EQ(timer_settime(id, 0, &its, NULL), 0);
    wait_signals(1);
    CHECK_EQ(last_info.si_code, SI_TIMER);
    CHECK_EQ(last_info.si_value.sival_int, 1234);
    CHECK_EQ(last_info.si_overrun, 0);
    CHECK_EQ(timer_gettime(id, &its), 0);
    CHECK_EQ(its.it_value.tv_nsec, 0);
    CHECK_EQ(timer_delete(id), 0);
    CHECK_ERR(timer_delete(id), EINVAL);
    CHECK_ERR(timer_gettime(id, &its), EINVAL);
}

TEST(posix_timer_overrun)
{
    timer_t id;
    struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN};
    handle(SIGRTMIN);
    CHECK_EQ(timer_create(CLOCK_MONOTONIC, &ev, &id), 0);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN);
    sigprocmask(SIG_BLOCK, &set, NULL);
    struct itimerspec its = {{0, 10000000}, {0, 10000000}};
    CHECK_EQ(timer_settime(id, 0, &its, NULL), 0);
    usleep(105000);
    siginfo_t info;
    struct timespec zero = {0, 0};
    CHECK_EQ(sigtimedwait(&set, &info, &zero), SIGRTMIN);
    CHECK(info.si_overrun >= 8 && info.si_overrun <= 40);
    CHECK_EQ(timer_getoverrun(id), info.si_overrun);
    CHECK_EQ(timer_gettime(id, &its), 0);
    CHECK_EQ(its.it_interval.tv_nsec, 10000000);
    CHECK(its.it_value.tv_nsec > 0 && its.it_value.tv_nsec <= 10000000);
    CHECK_EQ(timer_delete(id), 0);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
}

TEST(posix_timer_none)
{
    timer_t id;
    struct sigevent ev = {.sigev_notify = SIGEV_NONE};
    CHECK_EQ(timer_create(CLOCK_REALTIME, &ev, &id), 0);
    struct itimerspec its = {{0, 20000000}, {0, 20000000}}, got;
    CHECK_EQ(timer_settime(id, 0, &its, NULL), 0);
    usleep(50000);
    CHECK_EQ(timer_gettime(id, &got), 0);
    CHECK(got.it_value.tv_nsec > 0 && got.it_value.tv_nsec <= 20000000);
    its = (struct itimerspec){{0, 0}, {0, 1000000}};
    CHECK_EQ(timer_settime(id, 0, &its, &got), 0);
    usleep(5000);
    CHECK_EQ(timer_gettime(id, &got), 0);
    CHECK_EQ(got.it_value.tv_nsec, 0);
    timer_delete(id);
}

static pid_t seen_tid;

static void on_tid(int signo, siginfo_t *info, void *uc)
{
    seen_tid = (pid_t)syscall(SYS_gettid);
    nsignals++;
}

static void *timer_thread(void *arg)
{
    timer_t id;
    pid_t tid = (pid_t)syscall(SYS_gettid);
    struct sigevent ev = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR2};
    ev._sigev_un._tid = tid;
    if (timer_create(CLOCK_MONOTONIC, &ev, &id) != 0)
        return "create";
    struct itimerspec its = {{0, 0}, {0, 5000000}};
    timer_settime(id, 0, &its, NULL);
    for (int i = 0; i < 1000 && !nsignals; i++)
        usleep(1000);
    timer_delete(id);
    return seen_tid == tid ? NULL : "thread";
}

TEST(posix_timer_thread)
{
    struct sigaction sa = {.sa_sigaction = on_tid, .sa_flags = SA_SIGINFO};
    sigaction(SIGUSR2, &sa, NULL);
    nsignals = 0;
    pthread_t th;
    void *what;
    CHECK_EQ(pthread_create(&th, NULL, timer_thread, NULL), 0);
    pthread_join(th, &what);
    CHECK(what == NULL);
}

TEST(posix_timer_cpu)
{
    timer_t id;
    struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    handle(SIGUSR1);
    CHECK_EQ(timer_create(CLOCK_PROCESS_CPUTIME_ID, &ev, &id), 0);
    struct itimerspec its = {{0, 5000000}, {0, 20000000}};
    CHECK_EQ(timer_settime(id, 0, &its, NULL), 0);
    spin_until(3);
    CHECK_EQ(timer_delete(id), 0);
    CHECK_EQ(timer_create(CLOCK_THREAD_CPUTIME_ID, &ev, &id), 0);
    nsignals = 0;
    CHECK_EQ(timer_settime(id, 0, &its, NULL), 0);
    usleep(60000);
    CHECK_EQ(nsignals, 0);
    spin_until(1);
    CHECK_EQ(timer_delete(id), 0);
}

TEST(posix_timer_abs_and_errors)
{
    timer_t id;
    struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    struct itimerspec its = {{0, 0}, {1, 0}};
    handle(SIGUSR1);
    CHECK_EQ(timer_create(CLOCK_REALTIME, &ev, &id), 0);
    CHECK_EQ(timer_settime(id, TIMER_ABSTIME, &its, NULL), 0); /* long past: at once */
    wait_signals(1);
    its.it_value.tv_nsec = 1000000000;
    CHECK_ERR(timer_settime(id, 0, &its, NULL), EINVAL);
    CHECK_ERR(syscall(SYS_timer_settime, id, 0, NULL, NULL), EINVAL);
    timer_delete(id);
    ev.sigev_signo = 65;
    CHECK_ERR(timer_create(CLOCK_REALTIME, &ev, &id), EINVAL);
    ev.sigev_signo = SIGUSR1;
    ev.sigev_notify = 77;
    CHECK_ERR(syscall(SYS_timer_create, CLOCK_REALTIME, &ev, &id), EINVAL);
    ev.sigev_notify = SIGEV_THREAD_ID;
    ev._sigev_un._tid = 1 << 30;
    CHECK_ERR(syscall(SYS_timer_create, CLOCK_REALTIME, &ev, &id), EINVAL);
    CHECK_ERR(syscall(SYS_timer_create, CLOCK_MONOTONIC_RAW, NULL, &id), EOPNOTSUPP);
    CHECK_ERR(syscall(SYS_timer_create, 99, NULL, &id), EINVAL);
    CHECK_ERR(syscall(SYS_timer_create, CLOCK_REALTIME, NULL, 8), EFAULT);
}

TEST(many_timers)
{
    timer_t ids[200];
    handle(SIGRTMIN + 1);
    struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 1};
    for (int i = 0; i < 200; i++) {
        CHECK_EQ(timer_create(CLOCK_MONOTONIC, &ev, &ids[i]), 0);
        struct itimerspec its = {{0, 0}, {0, 1000000 + i * 50000}};
        CHECK_EQ(timer_settime(ids[i], 0, &its, NULL), 0);
    }
    wait_signals(200);
    CHECK_EQ(nsignals, 200);
    for (int i = 0; i < 200; i++)
        CHECK_EQ(timer_delete(ids[i]), 0);
}

TEST(ignored_timer_signal)
{
    timer_t id;
    struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    signal(SIGUSR1, SIG_IGN);
    CHECK_EQ(timer_create(CLOCK_MONOTONIC, &ev, &id), 0);
    struct itimerspec its = {{0, 2000000}, {0, 2000000}};
    CHECK_EQ(timer_settime(id, 0, &its, NULL), 0);
    usleep(20000);
    handle(SIGUSR1);
    wait_signals(2);
    CHECK_EQ(timer_delete(id), 0);
}

TEST(cpu_limit)
{
    pid_t pid = fork();
    if (pid == 0) {
        struct rlimit l = {1, 2};
        signal(SIGXCPU, SIG_DFL);
        setrlimit(RLIMIT_CPU, &l);
        for (;;)
            ;
    }
    int st;
    CHECK_EQ(waitpid(pid, &st, 0), pid);
    CHECK(WIFSIGNALED(st));
    CHECK_EQ(WTERMSIG(st), SIGXCPU);
}
