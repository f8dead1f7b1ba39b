/* Clocks and sleeping. */
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <sys/times.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "test.h"

static long long now_ns(clockid_t c)
{
    struct timespec ts;
    CHECK_EQ(syscall(SYS_clock_gettime, c, &ts), 0);
    return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

static void on_signal(int signo)
{
}

static void handle(int signo, int flags)
{
    struct sigaction sa = {.sa_handler = on_signal, .sa_flags = flags};
    sigaction(signo, &sa, NULL);
}

static void spin_ms(int ms)
{
    long long end = now_ns(CLOCK_THREAD_CPUTIME_ID) + ms * 1000000LL;
    while (now_ns(CLOCK_THREAD_CPUTIME_ID) < end)
        for (volatile int i = 0; i < 20000; i++)
            ;
}

TEST(all_clocks_advance)
{
    static const clockid_t ids[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_MONOTONIC_RAW,
                                    CLOCK_BOOTTIME, CLOCK_TAI};
    for (unsigned i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
        long long a = now_ns(ids[i]);
        usleep(2000);
        long long b = now_ns(ids[i]);
        CHECK(b - a >= 2000000);
        CHECK(b - a < 2000000000LL);
    }
    CHECK(now_ns(CLOCK_REALTIME_COARSE) <= now_ns(CLOCK_REALTIME));
    CHECK(now_ns(CLOCK_MONOTONIC_COARSE) <= now_ns(CLOCK_MONOTONIC));
}

TEST(vdso_and_call_agree)
{
    struct timespec v;
    clock_gettime(CLOCK_MONOTONIC, &v);
    long long a = v.tv_sec * 1000000000LL + v.tv_nsec, b = now_ns(CLOCK_MONOTONIC);
    clock_gettime(CLOCK_MONOTONIC, &v);
    long long c = v.tv_sec * 1000000000LL + v.tv_nsec;
    CHECK(a <= b && b <= c);
}

TEST(bad_clocks)
{
    struct timespec ts;
    CHECK_ERR(syscall(SYS_clock_gettime, 10, &ts), EINVAL);
    CHECK_ERR(syscall(SYS_clock_gettime, 12, &ts), EINVAL);
    CHECK_ERR(syscall(SYS_clock_gettime, 100, &ts), EINVAL);
    CHECK_ERR(syscall(SYS_clock_getres, 100, &ts), EINVAL);
    CHECK_ERR(syscall(SYS_clock_gettime, CLOCK_REALTIME, 8), EFAULT);
    CHECK_EQ(syscall(SYS_clock_getres, CLOCK_MONOTONIC, NULL), 0);
    CHECK_EQ(syscall(SYS_clock_getres, CLOCK_MONOTONIC, &ts), 0);
    CHECK_EQ(ts.tv_nsec, 1);
    CHECK_ERR(syscall(SYS_clock_settime, CLOCK_MONOTONIC, &ts), EINVAL);
    CHECK_ERR(syscall(SYS_clock_nanosleep, 10, 0, &ts, NULL), EINVAL);
    CHECK_ERR(syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC_RAW, 0, &ts, NULL), EOPNOTSUPP);
    CHECK_ERR(syscall(SYS_clock_nanosleep, CLOCK_THREAD_CPUTIME_ID, 0, &ts, NULL), EOPNOTSUPP);
    ts = (struct timespec){0, 1000000000};
    CHECK_ERR(syscall(SYS_nanosleep, &ts, NULL), EINVAL);
    ts = (struct timespec){-1, 0};
    CHECK_ERR(syscall(SYS_nanosleep, &ts, NULL), EINVAL);
    CHECK_ERR(syscall(SYS_nanosleep, NULL, NULL), EFAULT);
}

TEST(cpu_clocks)
{
    long long p = now_ns(CLOCK_PROCESS_CPUTIME_ID), t = now_ns(CLOCK_THREAD_CPUTIME_ID);
    spin_ms(30);
    long long p2 = now_ns(CLOCK_PROCESS_CPUTIME_ID), t2 = now_ns(CLOCK_THREAD_CPUTIME_ID);
    CHECK(t2 - t >= 30000000);
    CHECK(p2 - p >= 30000000);
    clockid_t own;
    CHECK_EQ(clock_getcpuclockid(getpid(), &own), 0);
    CHECK(now_ns(own) >= p2);
    clockid_t self;
    CHECK_EQ(pthread_getcpuclockid(pthread_self(), &self), 0);
    CHECK(now_ns(self) >= t2);
    /* a clock of a process that is not there */
    CHECK_ERR(syscall(SYS_clock_gettime, (~(clockid_t)0x3fffff << 3) | 2, NULL), EINVAL);
}

TEST(cpu_clock_stands_while_sleeping)
{
    long long a = now_ns(CLOCK_PROCESS_CPUTIME_ID);
    usleep(100000);
    CHECK(now_ns(CLOCK_PROCESS_CPUTIME_ID) - a < 60000000);
}

TEST(rusage_and_times)
{
    struct rusage a, b;
    struct tms tms;
    CHECK_EQ(getrusage(RUSAGE_SELF, &a), 0);
    spin_ms(60);
    CHECK_EQ(getrusage(RUSAGE_SELF, &b), 0);
    CHECK((b.ru_utime.tv_sec - a.ru_utime.tv_sec) * 1000000LL + b.ru_utime.tv_usec -
              a.ru_utime.tv_usec >= 10000);
    CHECK(b.ru_maxrss > 0);
    CHECK(times(&tms) != -1);
    CHECK(tms.tms_utime + tms.tms_stime >= 5);
    CHECK_ERR(getrusage(5, &a), EINVAL);
    CHECK_EQ(getrusage(RUSAGE_THREAD, &b), 0);
}

TEST(children_usage)
{
    struct rusage a, b;
    getrusage(RUSAGE_CHILDREN, &a);
    pid_t pid = fork();
    if (pid == 0) {
        spin_ms(50);
        _exit(0);
    }
    CHECK_EQ(waitpid(pid, NULL, 0), pid);
    getrusage(RUSAGE_CHILDREN, &b);
    long long used = (b.ru_utime.tv_sec - a.ru_utime.tv_sec + b.ru_stime.tv_sec - a.ru_stime.tv_sec) *
                         1000000LL +
                     b.ru_utime.tv_usec - a.ru_utime.tv_usec + b.ru_stime.tv_usec - a.ru_stime.tv_usec;
    CHECK(used >= 40000);
}

TEST(sleep_lasts)
{
    long long a = now_ns(CLOCK_MONOTONIC);
    struct timespec ts = {0, 20000000};
    CHECK_EQ(nanosleep(&ts, NULL), 0);
    long long d = now_ns(CLOCK_MONOTONIC) - a;
    CHECK(d >= 20000000 && d < 500000000);
    static const clockid_t ids[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_TAI};
    for (unsigned i = 0; i < 4; i++) {
        a = now_ns(ids[i]);
        long long at = a + 10000000;
        ts = (struct timespec){at / 1000000000, at % 1000000000};
        CHECK_EQ(clock_nanosleep(ids[i], TIMER_ABSTIME, &ts, NULL), 0);
        CHECK(now_ns(ids[i]) >= at);
        CHECK(now_ns(ids[i]) < at + 500000000);
    }
    ts = (struct timespec){1, 0}; /* long past */
    CHECK_EQ(clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &ts, NULL), 0);
}

static void *interrupter(void *arg)
{
    usleep(50000);
    pthread_kill(*(pthread_t *)arg, SIGUSR1);
    return NULL;
}

TEST(sleep_is_interrupted)
{
    pthread_t self = pthread_self(), th;
    handle(SIGUSR1, SA_RESTART);
    CHECK_EQ(pthread_create(&th, NULL, interrupter, &self), 0);
    struct timespec ts = {10, 0}, rem = {0, 0};
    CHECK_ERR(nanosleep(&ts, &rem), EINTR);
    CHECK(rem.tv_sec == 9);
    pthread_join(th, NULL);
    CHECK_EQ(pthread_create(&th, NULL, interrupter, &self), 0);
    clock_gettime(CLOCK_MONOTONIC, &ts);
    ts.tv_sec += 10;
    CHECK_EQ(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL), EINTR);
    pthread_join(th, NULL);
}

TEST(sleep_goes_on_after_stop)
{
    pid_t pid = fork();
    if (pid == 0) {
        struct timespec ts = {0, 300000000};
        long long a = now_ns(CLOCK_MONOTONIC);
        int r = nanosleep(&ts, NULL);
        long long d = now_ns(CLOCK_MONOTONIC) - a;
        _exit(r == 0 && d >= 300000000 && d < 2000000000LL ? 0 : 1);
    }
    usleep(50000);
    kill(pid, SIGSTOP);
    int st;
    CHECK_EQ(waitpid(pid, &st, WUNTRACED), pid);
    CHECK(WIFSTOPPED(st));
    usleep(50000);
    kill(pid, SIGCONT);
    CHECK_EQ(waitpid(pid, &st, 0), pid);
    CHECK(WIFEXITED(st));
    CHECK_EQ(WEXITSTATUS(st), 0);
}

static void *burner(void *arg)
{
    spin_ms(100);
    return NULL;
}

TEST(sleep_on_cpu_time)
{
    pthread_t th;
    CHECK_EQ(pthread_create(&th, NULL, burner, NULL), 0);
    struct timespec ts;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    long long at = ts.tv_sec * 1000000000LL + ts.tv_nsec + 40000000;
    ts = (struct timespec){at / 1000000000, at % 1000000000};
    CHECK_EQ(clock_nanosleep(CLOCK_PROCESS_CPUTIME_ID, TIMER_ABSTIME, &ts, NULL), 0);
    CHECK(now_ns(CLOCK_PROCESS_CPUTIME_ID) >= at);
    pthread_join(th, NULL);
}

TEST(adjtimex_reads)
{
    struct timex tx = {0};
    CHECK(adjtimex(&tx) >= 0);
    CHECK(tx.tick >= 9000 && tx.tick <= 11000);
    tx.modes = 0x100000 >> 20 << 31; /* none */
    CHECK_ERR(syscall(SYS_clock_adjtime, CLOCK_MONOTONIC, &tx), EOPNOTSUPP);
}

TEST(time_and_gettimeofday)
{
    time_t t = (time_t)syscall(SYS_time, NULL), t2;
    CHECK_EQ(syscall(SYS_time, &t2), t2);
    CHECK(t2 - t <= 1);
    struct timeval tv;
    CHECK_EQ(syscall(SYS_gettimeofday, &tv, NULL), 0);
    CHECK(tv.tv_sec - t <= 1);
    CHECK_ERR(syscall(SYS_gettimeofday, 8, NULL), EFAULT);
}

/* Old programs call these addresses themselves; the page is there where the host has it. */
#define VSYSCALL 0xffffffffff600000UL
static int has_vsyscall(void)
{
    char line[256];
    int has = 0;
    FILE *f = fopen("/proc/self/maps", "r");
    while (f && fgets(line, sizeof(line), f))
        has |= strtoul(line, NULL, 16) == VSYSCALL && strstr(line, "[vsyscall]") != NULL;
    if (f)
        fclose(f);
    return has;
}

TEST(vsyscall_page)
{
    if (!has_vsyscall())
        return;
    long (*v_gettimeofday)(struct timeval *, void *) = (void *)VSYSCALL;
    long (*v_time)(time_t *) = (void *)(VSYSCALL + 0x400);
    long (*v_getcpu)(unsigned *, unsigned *, void *) = (void *)(VSYSCALL + 0x800);
    struct timeval tv = {0, 0};
    time_t before = time(NULL), t = 0;
    unsigned cpu = ~0U;
    for (int i = 0; i < 100; i++) {
        CHECK_EQ(v_gettimeofday(&tv, NULL), 0);
        CHECK(tv.tv_sec >= before && tv.tv_sec <= before + 60);
        CHECK_EQ(v_time(&t), t);
        CHECK(t >= before && t <= before + 60);
        CHECK_EQ(v_getcpu(&cpu, NULL, NULL), 0);
        CHECK(cpu < 65536);
    }
    for (int i = 0; i < 3; i++) { /* a bad pointer is no error but a fault */
        pid_t pid = fork();
        if (pid == 0) {
            if (i == 0)
                v_gettimeofday((void *)1, NULL);
            else if (i == 1)
                v_time((void *)1);
            else
                v_getcpu((void *)1, NULL, NULL);
            _exit(0);
        }
        int st;
        CHECK_EQ(waitpid(pid, &st, 0), pid);
        CHECK(WIFSIGNALED(st) && WTERMSIG(st) == SIGSEGV);
    }
}

/* ---- what getrusage counts beside time --------------------------------------------------------- */

#define NPAGES 600
static void touch_pages(void)
{
    char *p = mmap(NULL, NPAGES * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    madvise(p, NPAGES * 4096, MADV_NOHUGEPAGE);
    for (int i = 0; i < NPAGES; i++)
        p[i * 4096L] = 1;
    munmap(p, NPAGES * 4096);
}

/* The number behind a word in a file of /proc/self; field > 0: the one of /proc/self/stat. */
static unsigned long long proc_number(const char *name, const char *word, int field)
{
    char text[8192] = "", *p;
    FILE *f = fopen(name, "r");
    size_t n = f ? fread(text, 1, sizeof(text) - 1, f) : 0;
    if (f)
        fclose(f);
    text[n] = 0;
    p = word ? strstr(text, word) : strrchr(text, ')');
    if (!p)
        return 0;
    if (word)
        return strtoull(p + strlen(word), NULL, 10);
    for (int i = 2; i < field && p; i++)
        p = strchr(p + 1, ' ');
    return p ? strtoull(p, NULL, 10) : 0;
}

TEST(faults_are_counted)
{
    struct rusage before, after, child;
    CHECK_EQ(getrusage(RUSAGE_SELF, &before), 0);
    unsigned long long stat_before = proc_number("/proc/self/stat", NULL, 10);
    touch_pages();
    CHECK_EQ(getrusage(RUSAGE_SELF, &after), 0);
    CHECK(after.ru_minflt - before.ru_minflt >= NPAGES);
    CHECK(after.ru_minflt - before.ru_minflt < 20 * NPAGES);
    CHECK(proc_number("/proc/self/stat", NULL, 10) - stat_before >= NPAGES);
    CHECK_EQ(getrusage(RUSAGE_THREAD, &after), 0);
    CHECK(after.ru_minflt >= before.ru_minflt + NPAGES);

    CHECK_EQ(getrusage(RUSAGE_CHILDREN, &before), 0);
    pid_t pid = fork();
    if (pid == 0) {
        spin_ms(5); /* short ones need not be counted */
        touch_pages();
        _exit(0);
    }
    int st;
    CHECK_EQ(wait4(pid, &st, 0, &child), pid);
    CHECK(child.ru_minflt >= NPAGES);
    CHECK_EQ(getrusage(RUSAGE_CHILDREN, &after), 0);
    CHECK_EQ(after.ru_minflt - before.ru_minflt, child.ru_minflt);
    CHECK_EQ(proc_number("/proc/self/stat", NULL, 11), after.ru_minflt);
}

TEST(switches_are_counted)
{
    struct rusage before, after;
    struct timespec ts = {0, 1000000};
    unsigned long long s0 = proc_number("/proc/self/status", "\nvoluntary_ctxt_switches:", 0);
    CHECK_EQ(getrusage(RUSAGE_SELF, &before), 0);
    for (int i = 0; i < 30; i++)
        nanosleep(&ts, NULL);
    CHECK_EQ(getrusage(RUSAGE_SELF, &after), 0);
    CHECK(after.ru_nvcsw - before.ru_nvcsw >= 30);
    CHECK(proc_number("/proc/self/status", "\nvoluntary_ctxt_switches:", 0) - s0 >= 30);
    CHECK(after.ru_nivcsw >= before.ru_nivcsw);
}
