/* seccomp filters: chains, inheritance, and calls that an implementation may answer early. */
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "test.h"

/* Installs a filter: `action` for call nr (with first argument arg, when is_arg), else allow. */
static int deny(long nr, unsigned action, int is_arg, unsigned arg)
{
    struct sock_filter f[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)nr, 0, is_arg ? 3 : 1),
        is_arg ? (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
                                              offsetof(struct seccomp_data, args))
               : (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, action),
        is_arg ? (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, arg, 0, 1)
               : (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, action),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog prog = {sizeof(f) / sizeof(f[0]), f};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -1;
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog);
}

/* Runs fn in a child: its return value, or 256 + the signal that ended it. */
static int in_child(int (*fn)(void))
{
    int status;
    pid_t pid = fork();
    if (pid == 0)
        _exit(fn());
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        return -1;
    return WIFSIGNALED(status) ? 256 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* One site each, called often enough to have become whatever it becomes. */
static __attribute__((noinline)) long ask_ppid(void)
{
    return syscall(SYS_getppid);
}

static int chain(void)
{
    char buf[100];
    pid_t parent = getppid();
    for (int i = 0; i < 20; i++)
        if (ask_ppid() != parent)
            return 1;
    if (deny(SYS_getcwd, SECCOMP_RET_ERRNO | 99, 0, 0) < 0)
        return 2;
    if (syscall(SYS_getcwd, buf, sizeof(buf)) != -1 || errno != 99)
        return 3;
    if (ask_ppid() != parent || getpid() <= 0)
        return 4;
    if (deny(SYS_getppid, SECCOMP_RET_ERRNO | 98, 0, 0) < 0)
        return 5;
    for (int i = 0; i < 20; i++) {
        errno = 0;
        if (ask_ppid() != -1 || errno != 98)
            return 6;
    }
    if (syscall(SYS_getcwd, buf, sizeof(buf)) != -1 || errno != 99)
        return 7;
    /* A later filter that allows more changes nothing. */
    if (deny(SYS_uname, SECCOMP_RET_ERRNO | 97, 0, 0) < 0 || ask_ppid() != -1)
        return 8;
    return 0;
}
TEST(chain_of_filters)
{
    CHECK_EQ(in_child(chain), 0);
}

static int inherited_child(void)
{
    errno = 0;
    return ask_ppid() == -1 && errno == 77 ? 0 : 1;
}
static int inherited(void)
{
    for (int i = 0; i < 20; i++)
        ask_ppid();
    if (deny(SYS_getppid, SECCOMP_RET_ERRNO | 77, 0, 0) < 0)
        return 2;
    return in_child(inherited_child);
}
TEST(filters_follow_forks)
{
    CHECK_EQ(in_child(inherited), 0);
}

static int by_argument(void)
{
    if (deny(SYS_clock_gettime, SECCOMP_RET_ERRNO | 55, 1, CLOCK_PROCESS_CPUTIME_ID) < 0)
        return 1;
    struct timespec ts;
    if (syscall(SYS_clock_gettime, CLOCK_PROCESS_CPUTIME_ID, &ts) != -1 || errno != 55)
        return 2;
    return syscall(SYS_clock_gettime, CLOCK_THREAD_CPUTIME_ID, &ts) ? 3 : 0;
}
TEST(a_rule_on_an_argument)
{
    CHECK_EQ(in_child(by_argument), 0);
}

static int yield_denied(void)
{
    for (int i = 0; i < 20; i++)
        sched_yield();
    if (deny(SYS_sched_yield, SECCOMP_RET_ERRNO | 33, 0, 0) < 0)
        return 1;
    return sched_yield() == -1 && errno == 33 ? 0 : 2;
}
static int futex_denied(void)
{
    static int word = 1;
    for (int i = 0; i < 20; i++)
        syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    if (deny(SYS_futex, SECCOMP_RET_ERRNO | 34, 0, 0) < 0)
        return 1;
    return syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0) == -1 && errno == 34 ? 0
                                                                                                : 2;
}
TEST(quick_calls_are_seen)
{
    CHECK_EQ(in_child(yield_denied), 0);
    CHECK_EQ(in_child(futex_denied), 0);
}

static int killed(void)
{
    deny(SYS_getppid, SECCOMP_RET_KILL_PROCESS, 0, 0);
    ask_ppid();
    return 0;
}
static void on_sys(int sig, siginfo_t *si, void *uc)
{
    (void)sig;
    (void)uc;
    _exit(si->si_syscall == SYS_getppid && si->si_errno == 5 && si->si_code == 1 /* SYS_SECCOMP */ ? 42
                                                                                           : 43);
}
static int trapped(void)
{
    struct sigaction sa = {.sa_sigaction = on_sys, .sa_flags = SA_SIGINFO};
    sigaction(SIGSYS, &sa, NULL);
    deny(SYS_getppid, SECCOMP_RET_TRAP | 5, 0, 0);
    ask_ppid();
    return 0;
}
static int nothing(void)
{
    if (deny(SYS_getppid, SECCOMP_RET_ERRNO, 0, 0) < 0)
        return 1;
    return ask_ppid() == 0 ? 0 : 2; /* errno 0: a success */
}
TEST(answers)
{
    CHECK_EQ(in_child(killed), 256 + SIGSYS);
    CHECK_EQ(in_child(trapped), 42);
    CHECK_EQ(in_child(nothing), 0);
}

static int thread_ok;
static void *other(void *arg)
{
    pthread_barrier_t *b = arg;
    pthread_barrier_wait(b);
    pthread_barrier_wait(b);
    thread_ok = ask_ppid() == -1 && errno == 66;
    return NULL;
}
static int tsync(void)
{
    pthread_t th;
    pthread_barrier_t b;
    pthread_barrier_init(&b, NULL, 2);
    if (pthread_create(&th, NULL, other, &b))
        return 1;
    pthread_barrier_wait(&b);
    struct sock_filter f[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 66),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog prog = {4, f};
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &prog))
        return 2;
    pthread_barrier_wait(&b);
    pthread_join(th, NULL);
    return thread_ok ? 0 : 3;
}
TEST(all_threads_at_once)
{
    CHECK_EQ(in_child(tsync), 0);
}
