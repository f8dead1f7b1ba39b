/*
 * Micro-benchmarks as a guest sees them. Prints "name nanoseconds" lines: the
 * median of several rounds. Arguments: names to run; none: all.
 */
#include <fcntl.h>
#include <linux/futex.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS 9

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Runs fn(n) ROUNDS times; median of the time of one of its n steps. */
static double measure(void (*fn)(long), long n)
{
    double t[ROUNDS];
    fn(n / 10 + 1);
    for (int i = 0; i < ROUNDS; i++) {
        double a = now_ns();
        fn(n);
        t[i] = (now_ns() - a) / (double)n;
    }
    qsort(t, ROUNDS, sizeof(t[0]), by_value);
    return t[ROUNDS / 2];
}

static void pin(int cpu)
{
    cpu_set_t s;
    CPU_ZERO(&s);
    CPU_SET(cpu, &s);
    sched_setaffinity(0, sizeof(s), &s);
}

static void do_getpid(long n)
{
    for (long i = 0; i < n; i++)
        getpid();
}

/* A call that no fast path answers: the Sentry's own work is nil. */
static void do_trivial(long n)
{
    for (long i = 0; i < n; i++)
        syscall(SYS_umask, 022);
}

static void do_touch(long n)
{
    char *p =
        mmap(NULL, (size_t)n * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    madvise(p, (size_t)n * 4096, MADV_NOHUGEPAGE);
    for (long i = 0; i < n; i++)
        p[i * 4096] = 1;
    munmap(p, (size_t)n * 4096);
}

static int ball;

static void futex_turn(int me, long n)
{
    for (long i = 0; i < n; i++) {
        while (__atomic_load_n(&ball, __ATOMIC_ACQUIRE) != me)
            syscall(SYS_futex, &ball, FUTEX_WAIT_PRIVATE, !me, NULL, NULL, 0);
        __atomic_store_n(&ball, !me, __ATOMIC_RELEASE);
        syscall(SYS_futex, &ball, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    }
}

static void *futex_peer(void *arg)
{
    pin(0);
    futex_turn(1, *(long *)arg);
    return NULL;
}

static void do_futex(long n)
{
    pthread_t th;
    ball = 0;
    pin(0);
    pthread_create(&th, NULL, futex_peer, &n);
    futex_turn(0, n);
    pthread_join(th, NULL);
    cpu_set_t all;
    memset(&all, 0xff, sizeof(all));
    sched_setaffinity(0, sizeof(all), &all);
}

static void do_fork(long n)
{
    for (long i = 0; i < n; i++) {
        pid_t pid = fork();
        if (pid == 0)
            _exit(0);
        waitpid(pid, NULL, 0);
    }
}

static const char *static_true;

static void do_fork_exec(long n)
{
    for (long i = 0; i < n; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            execl(static_true, "true", (char *)NULL);
            _exit(99);
        }
        waitpid(pid, NULL, 0);
    }
}

static void do_mmap(long n)
{
    for (long i = 0; i < n; i++) {
        void *p = mmap(NULL, 16384, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        munmap(p, 16384);
    }
}

static void do_sleep(long n)
{
    struct timespec ts = {0, 50000};
    for (long i = 0; i < n; i++)
        nanosleep(&ts, NULL);
}

static void do_stat(long n)
{
    struct stat st;
    for (long i = 0; i < n; i++)
        stat("/etc/passwd", &st);
}

static void do_open_close(long n)
{
    for (long i = 0; i < n; i++)
        close(open("/etc/passwd", O_RDONLY));
}

static void do_pread(long n)
{
    static char buf[4096];
    int fd = open("/bin/bash", O_RDONLY);
    for (long i = 0; i < n; i++)
        if (pread(fd, buf, sizeof(buf), (i % 64) * 4096) != (ssize_t)sizeof(buf))
            abort();
    close(fd);
}

static void do_write(long n)
{
    static char buf[4096];
    int fd = memfd_create("bench", 0);
    for (long i = 0; i < n; i++)
        if (pwrite(fd, buf, sizeof(buf), (i % 64) * 4096) != (ssize_t)sizeof(buf))
            abort();
    close(fd);
}

/* n round trips of one byte between this process and a child; fd[0] and fd[1] are the two sides. */
static void ping_pong(long n, const int in[2], const int out[2])
{
    char c = 0;
    pid_t pid = fork();
    if (pid == 0) {
        for (long i = 0; i < n; i++)
            if (read(in[1], &c, 1) != 1 || write(out[1], &c, 1) != 1)
                _exit(1);
        _exit(0);
    }
    for (long i = 0; i < n; i++)
        if (write(out[0], &c, 1) != 1 || read(in[0], &c, 1) != 1)
            abort();
    waitpid(pid, NULL, 0);
}

static void do_pipe(long n)
{
    int a[2], b[2];
    if (pipe(a) || pipe(b))
        abort();
    ping_pong(n, (int[]){b[0], a[0]}, (int[]){a[1], b[1]});
    for (int i = 0; i < 2; i++) {
        close(a[i]);
        close(b[i]);
    }
}

static void do_unix(long n)
{
    int p[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, p))
        abort();
    ping_pong(n, p, p);
    close(p[0]);
    close(p[1]);
}

/* A connection over the loopback: its two ends. */
static void tcp_pair(int p[2])
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(a);
    int l = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    p[0] = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(l, (struct sockaddr *)&a, len) || listen(l, 1) ||
        getsockname(l, (struct sockaddr *)&a, &len) || connect(p[0], (struct sockaddr *)&a, len))
        abort();
    p[1] = accept(l, NULL, NULL);
    for (int i = 0; i < 2; i++)
        setsockopt(p[i], IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    close(l);
}

static void do_tcp(long n)
{
    int p[2];
    tcp_pair(p);
    ping_pong(n, p, p);
    close(p[0]);
    close(p[1]);
}

static void do_tcp_bulk(long n)
{
    static char buf[65536];
    int p[2];
    tcp_pair(p);
    pid_t pid = fork();
    if (pid == 0) {
        close(p[0]);
        while (read(p[1], buf, sizeof(buf)) > 0)
            ;
        _exit(0);
    }
    close(p[1]);
    for (long i = 0; i < n; i++)
        if (write(p[0], buf, sizeof(buf)) != (ssize_t)sizeof(buf))
            abort();
    close(p[0]);
    waitpid(pid, NULL, 0);
}

/* The same with everything on one core. */
static void do_pipe_1(long n)
{
    pin(0);
    do_pipe(n);
}

static void do_tcp_1(long n)
{
    pin(0);
    do_tcp(n);
}

static void do_clock(long n)
{
    struct timespec t;
    for (long i = 0; i < n; i++)
        clock_gettime(CLOCK_MONOTONIC, &t);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*fn)(long);
        long n;
    } all[] = {
        {"getpid", do_getpid, 20000},
        {"trivial", do_trivial, 5000},
        {"page_touch", do_touch, 4096},
        {"futex", do_futex, 1000},
        {"fork", do_fork, 30},
        {"fork_exec", do_fork_exec, 20},
        {"mmap_munmap", do_mmap, 1000},
        {"nanosleep_50us", do_sleep, 100},
        {"stat", do_stat, 2000},
        {"open_close", do_open_close, 1000},
        {"pread_4k", do_pread, 2000},
        {"pipe", do_pipe, 500},
        {"clock_gettime", do_clock, 20000},
        {"unix_rtt", do_unix, 500},
        {"tcp_rtt", do_tcp, 500},
        {"tcp_bulk", do_tcp_bulk, 1000},
        {"write_4k", do_write, 2000},
        {"pipe_1core", do_pipe_1, 500},
        {"tcp_rtt_1core", do_tcp_1, 500}, /* these two last: they pin the process */
    };
    /* A 10 MB process, for fork. */
    size_t size = 10 << 20;
    char *ballast = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(ballast, 1, size);
    static_true = getenv("STATIC_TRUE") ? getenv("STATIC_TRUE") : "/bin/true";
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        int is_wanted = argc == 1;
        for (int k = 1; k < argc; k++)
            is_wanted |= !strcmp(argv[k], all[i].name);
        if (is_wanted)
            printf("%s %.1f\n", all[i].name, measure(all[i].fn, all[i].n));
        fflush(stdout);
    }
    return 0;
}
