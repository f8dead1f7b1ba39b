/* prctl, arch_prctl, uname, personality, getrandom and other small calls about a process. */
#include <asm/prctl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/utsname.h>

#include "proc_common.h"

TEST(names)
{
    char name[17] = {0};
    CHECK_EQ(prctl(PR_SET_NAME, "a name that is much too long"), 0);
    CHECK_EQ(prctl(PR_GET_NAME, name), 0);
    CHECK_STR(name, "a name that is ");
    CHECK_ERR(prctl(PR_SET_NAME, 8), EFAULT);
}

TEST(unknown_prctl)
{
    CHECK_ERR(prctl(0x7fffffff, 0, 0, 0, 0), EINVAL);
    CHECK_ERR(prctl(PR_SET_DUMPABLE, 2), EINVAL);
    CHECK_EQ(prctl(PR_SET_DUMPABLE, 0), 0);
    CHECK_EQ(prctl(PR_GET_DUMPABLE), 0);
    CHECK_EQ(prctl(PR_SET_DUMPABLE, 1), 0);
    CHECK_EQ(prctl(PR_SET_TIMERSLACK, 1000), 0);
    CHECK_EQ(prctl(PR_GET_TIMERSLACK), 1000);
    CHECK_EQ(prctl(PR_SET_TIMERSLACK, 0), 0);
    int tsc = 0;
    CHECK_EQ(prctl(PR_GET_TSC, &tsc), 0);
    CHECK_EQ(tsc, PR_TSC_ENABLE);
}

TEST(anonymous_names)
{
    char *p = mmap(NULL, 8192, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, p, 4096, "mine") < 0) {
        CHECK_EQ(errno, EINVAL); /* a kernel without them */
        return;
    }
    CHECK_ERR(prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, p, 4096, "a[b"), EINVAL);
    CHECK_ERR(prctl(PR_SET_VMA, 5, p, 4096, "x"), EINVAL);
    munmap(p, 8192);
}

static long read_gs(void)
{
    long v;
    __asm__ volatile("movq %%gs:0, %0" : "=r"(v));
    return v;
}

TEST(gs_base)
{
    static long block[4] = {0x1111, 0x2222};
    unsigned long was = 1, now = 0;
    CHECK_EQ(syscall(SYS_arch_prctl, ARCH_GET_GS, &was), 0);
    CHECK_EQ(was, 0);
    CHECK_EQ(syscall(SYS_arch_prctl, ARCH_SET_GS, block), 0);
    CHECK_EQ(read_gs(), 0x1111);
    CHECK_EQ(syscall(SYS_arch_prctl, ARCH_GET_GS, &now), 0);
    CHECK_EQ(now, (unsigned long)block);
    for (int i = 0; i < 100; i++) { /* calls go on working */
        CHECK(getppid() >= 0);
        CHECK_EQ(syscall(SYS_gettid), getpid());
        CHECK_EQ(read_gs(), 0x1111);
    }
    pid_t pid = fork();
    if (pid == 0)
        _exit(read_gs() == 0x1111 ? 0 : 1);
    CHECK_EQ(wait_status(pid), 0);
    CHECK_EQ(syscall(SYS_arch_prctl, ARCH_SET_GS, 0), 0);
    CHECK_ERR(syscall(SYS_arch_prctl, ARCH_SET_GS, 0x8000000000000000UL), EPERM);
    CHECK_ERR(syscall(SYS_arch_prctl, 0x77, 0), EINVAL);
}

TEST(fs_base)
{
    unsigned long fs = 0, self;
    CHECK_EQ(syscall(SYS_arch_prctl, ARCH_GET_FS, &fs), 0);
    __asm__ volatile("movq %%fs:0, %0" : "=r"(self));
    CHECK_EQ(fs, self);
    CHECK_EQ(syscall(SYS_arch_prctl, ARCH_SET_FS, fs), 0);
}

TEST(uname_says_linux)
{
    struct utsname u;
    int major = 0;
    CHECK_EQ(uname(&u), 0);
    CHECK_STR(u.sysname, "Linux");
    CHECK_STR(u.machine, "x86_64");
    CHECK_EQ(sscanf(u.release, "%d.", &major), 1);
    CHECK(major >= 5);
    CHECK_ERR(syscall(SYS_uname, 8), EFAULT);
}

static void new_uts(void *arg)
{
    struct utsname u;
    if (unshare(CLONE_NEWUTS) < 0)
        return;
    EXPECT(sethostname("inside", 6) == 0);
    EXPECT(uname(&u) == 0 && !strcmp(u.nodename, "inside"));
    EXPECT(sethostname("x", 65) == -1 && errno == EINVAL);
    EXPECT(setdomainname("dom", 3) == 0);
    EXPECT(uname(&u) == 0 && !strcmp(u.domainname, "dom"));
}

TEST(host_name_of_a_namespace)
{
    struct utsname before, after;
    uname(&before);
    CHECK_EQ(run_child(new_uts, NULL), 0);
    uname(&after);
    CHECK_STR(before.nodename, after.nodename);
}

static void new_pid_ns(void *arg)
{
    if (unshare(CLONE_NEWPID) < 0)
        return;
    pid_t pid = fork();
    if (pid == 0) {
        EXPECT(getpid() == 1);
        EXPECT(getppid() == 0);
        EXPECT(kill(1, SIGTERM) == 0); /* nothing happens to pid 1 */
        pid_t c = fork();
        if (c == 0) {
            EXPECT(getpid() == 2 && getppid() == 1);
            EXPECT(kill(1, SIGKILL) == 0); /* not even this */
            for (;;)
                pause();
        }
        EXPECT(c == 2);
        sleep_ms(30);
        _exit(9); /* takes the other along */
    }
    EXPECT(pid > 1);
    EXPECT(wait_status(pid) == 9 << 8);
    EXPECT(fork() == -1 && errno == ENOMEM); /* the namespace is over */
}

TEST(pid_namespace)
{
    CHECK_EQ(run_child(new_pid_ns, NULL), 0);
}

static void user_ns(void *arg)
{
    if (unshare(CLONE_NEWUSER) < 0)
        return;
    EXPECT(getuid() == 65534);
    EXPECT(unshare(CLONE_NEWUTS) == 0); /* with every capability in it */
    EXPECT(sethostname("u", 1) == 0);
}

TEST(user_namespace)
{
    CHECK_EQ(run_child(user_ns, NULL), 0);
}

TEST(unshare_arguments)
{
    CHECK_ERR(unshare(0x1), EINVAL);
    CHECK_EQ(unshare(0), 0);
    CHECK_ERR(setns(-1, 0), EBADF);
    CHECK_ERR(setns(0, 0), EINVAL);
}

TEST(personality_is_kept)
{
    int old = personality(0xffffffff);
    CHECK(old >= 0);
    CHECK_EQ(personality((unsigned long)old | ADDR_NO_RANDOMIZE), old);
    CHECK_EQ(personality(0xffffffff), old | ADDR_NO_RANDOMIZE);
    pid_t pid = fork();
    if (pid == 0)
        _exit(personality(0xffffffff) & ADDR_NO_RANDOMIZE ? 0 : 1);
    CHECK_EQ(wait_status(pid), 0);
    personality((unsigned long)old);
}

TEST(random_numbers)
{
    unsigned char a[64] = {0}, b[64] = {0};
    CHECK_EQ(getrandom(a, sizeof(a), 0), sizeof(a));
    CHECK_EQ(getrandom(b, sizeof(b), GRND_NONBLOCK), sizeof(b));
    CHECK(memcmp(a, b, sizeof(a)) != 0);
    CHECK_EQ(getrandom(a, 0, 0), 0);
    CHECK_ERR(getrandom(a, 1, 0x100), EINVAL);
    CHECK_ERR(getrandom(a, 1, GRND_RANDOM | 4), EINVAL);
    CHECK_ERR(syscall(SYS_getrandom, 8, 16, 0), EFAULT);
    char *big = malloc(100000);
    CHECK_EQ(getrandom(big, 100000, 0), 100000);
    free(big);
}

static void set_tid(void *arg)
{
    EXPECT(syscall(SYS_set_tid_address, arg) == getpid());
}

TEST(set_tid_address)
{
    int word = 5;
    CHECK_EQ(run_child(set_tid, &word), 0);
}

TEST(privileged_calls)
{
    CHECK(syscall(SYS_reboot, 0, 0, 0, 0) == -1);
    CHECK(errno == EPERM || errno == EINVAL);
}

/* An incident of another kernel: setpgid and setsid of processes that share signal handlers. */
static char stack_a[32768] __attribute__((aligned(16)));
static int shares_sighand(void *arg)
{
    for (int i = 0; i < 200; i++)
        setpgid(0, 0);
    return 0;
}

static void sighand_race(void *arg)
{
    pid_t pid = clone(shares_sighand, stack_a + sizeof(stack_a), CLONE_VM | CLONE_SIGHAND | SIGCHLD,
                      NULL);
    EXPECT(pid > 0);
    setsid();
    EXPECT(wait_status(pid) == 0);
}

TEST(setpgid_and_setsid_with_shared_handlers)
{
    for (int i = 0; i < 20; i++)
        CHECK_EQ(run_child(sighand_race, NULL), 0);
}

static void unprivileged_log(void *arg)
{
    char buf[64];
    EXPECT(setuid(65534) == 0);
    EXPECT(syscall(SYS_syslog, 2, buf, sizeof(buf)) == -1 && errno == EPERM);
    EXPECT(syscall(SYS_syslog, 5, NULL, 0) == -1 && errno == EPERM);
    EXPECT(syscall(SYS_syslog, 9, NULL, 0) == -1 && errno == EPERM);
    EXPECT(syscall(SYS_syslog, 99, NULL, 0) == -1 && errno == EPERM);
}

/* syslog(2): the kernel's log, for those who may see it. */
TEST(kernel_log)
{
    static char buf[1 << 20];
    if (getuid() == 0)
        CHECK_EQ(run_child(unprivileged_log, NULL), 0);
    long size = syscall(SYS_syslog, 10, NULL, 0);
    if (size < 0) {
        CHECK_EQ(errno, EPERM);
        return;
    }
    CHECK(size >= 4096);
    CHECK_ERR(syscall(SYS_syslog, 3, NULL, 10), EINVAL);
    CHECK_ERR(syscall(SYS_syslog, 3, buf, -1), EINVAL);
    CHECK_EQ(syscall(SYS_syslog, 3, buf, 0), 0);
    long n = syscall(SYS_syslog, 3, buf, sizeof(buf));
    CHECK(n >= 0 && n <= (long)sizeof(buf));
    if (n > 0) {
        CHECK_EQ(buf[0], '<');
        CHECK_EQ(buf[n - 1], '\n');
        CHECK_ERR(syscall(SYS_syslog, 3, (void *)8, n), EFAULT);
        long part = syscall(SYS_syslog, 3, buf, n - 1); /* whole lines only */
        CHECK(part < n && (part == 0 || buf[0] == '<'));
    }
    if (getuid() == 0 && syscall(SYS_syslog, 9, NULL, 0) >= 0) {
        CHECK_ERR(syscall(SYS_syslog, 8, NULL, 0), EINVAL);
        CHECK_ERR(syscall(SYS_syslog, 8, NULL, 9), EINVAL);
        CHECK_ERR(syscall(SYS_syslog, 11, NULL, 0), EINVAL);
        CHECK_ERR(syscall(SYS_syslog, -1, NULL, 0), EINVAL);
        CHECK_EQ(syscall(SYS_syslog, 0, NULL, 0), 0);
        CHECK_EQ(syscall(SYS_syslog, 1, NULL, 0), 0);
    }
}
