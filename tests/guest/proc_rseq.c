/* rseq(2): registration, cpu numbers, aborts; membarrier's commands for it. By the raw call. */
#include <errno.h>
#include <linux/membarrier.h>
#include <linux/rseq.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test.h"

#define SIG 0x53053053U

static __thread struct rseq area __attribute__((aligned(32)));

static long do_rseq(struct rseq *r, uint32_t size, int flags, uint32_t sig)
{
    return syscall(SYS_rseq, r, size, flags, sig);
}

/* The C library's own registration goes, so that there is a place for ours. */
static void drop_libc(void)
{
    if (__rseq_size)
        (void)do_rseq((struct rseq *)((char *)__builtin_thread_pointer() + __rseq_offset), 32,
                      RSEQ_FLAG_UNREGISTER, RSEQ_SIG);
}

static int reg(void)
{
    drop_libc();
    (void)do_rseq(&area, 32, RSEQ_FLAG_UNREGISTER, SIG); /* of the test before */
    memset(&area, 0, sizeof(area));
    area.cpu_id = (uint32_t)-1;
    return (int)do_rseq(&area, 32, 0, SIG);
}

TEST(libc_has_it)
{
    CHECK(__rseq_size > 0);
    CHECK((int)((struct rseq *)((char *)__builtin_thread_pointer() + __rseq_offset))->cpu_id >= 0);
    CHECK(sched_getcpu() >= 0);
}

TEST(errors)
{
    drop_libc();
    CHECK_ERR(do_rseq(&area, 32, RSEQ_FLAG_UNREGISTER, SIG), EINVAL);
    CHECK_ERR(do_rseq(&area, 32, 2, SIG), EINVAL);
    CHECK_ERR(do_rseq(&area, 31, 0, SIG), EINVAL);
    CHECK_ERR(do_rseq((struct rseq *)((char *)&area + 1), 32, 0, SIG), EINVAL);
    CHECK_ERR(do_rseq((struct rseq *)0xffff800000000000UL, 32, 0, SIG), EFAULT);
    CHECK_EQ(reg(), 0);
    CHECK_ERR(do_rseq(&area, 32, 0, SIG), EBUSY);
    CHECK_ERR(do_rseq(&area, 32, 0, SIG + 1), EPERM);
    CHECK_ERR(do_rseq(&area + 1, 32, 0, SIG), EINVAL);
    CHECK_ERR(do_rseq(&area, 32, RSEQ_FLAG_UNREGISTER, SIG + 1), EPERM);
    CHECK_ERR(do_rseq(&area, 64, RSEQ_FLAG_UNREGISTER, SIG), EINVAL);
    CHECK_EQ(do_rseq(&area, 32, RSEQ_FLAG_UNREGISTER, SIG), 0);
    CHECK_EQ((int)area.cpu_id, -1);
    CHECK_EQ(reg(), 0);
}

TEST(cpu_follows)
{
    cpu_set_t all, one;
    CHECK_EQ(reg(), 0);
    CHECK_EQ(sched_getaffinity(0, sizeof(all), &all), 0);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &all))
            continue;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        CHECK_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
        CHECK_EQ((int)*(volatile uint32_t *)&area.cpu_id, cpu);
        CHECK_EQ((int)*(volatile uint32_t *)&area.cpu_id_start, cpu);
    }
}

/* Stays in a sequence until it is aborted; the count of turns made. */
static uint64_t spin_until_abort(struct rseq *r)
{
    uint64_t n = 0;
    __asm__ volatile(".pushsection .data.rel, \"aw\"\n"
                     ".balign 32\n"
                     "3: .long 0, 0\n"
                     ".quad 1f, 2f - 1f, 4f\n"
                     ".popsection\n"
                     "lea 3b(%%rip), %%rax\n"
                     "mov %%rax, 8(%[r])\n"
                     "1: incq %[n]\n"
                     "jmp 1b\n"
                     "2:\n"
                     ".byte 0x0f, 0xb9, 0x3d\n"
                     ".long 0x53053053\n"
                     "4:\n"
                     : [n] "+r"(n)
                     : [r] "r"(r)
                     : "rax", "memory", "cc");
    return n;
}

static void on_alarm(int signo)
{
}

TEST(signal_aborts)
{
    struct sigaction sa = {.sa_handler = on_alarm};
    sigaction(SIGALRM, &sa, NULL);
    CHECK_EQ(reg(), 0);
    for (int i = 0; i < 3; i++) {
        ualarm(20000, 0);
        (void)spin_until_abort(&area);
        CHECK_EQ(area.rseq_cs, 0);
    }
    ualarm(0, 0);
}

static volatile int is_spinning, is_done;

static void *spinner(void *arg)
{
    if (reg() != 0)
        return (void *)1;
    while (!is_done) {
        is_spinning = 1;
        (void)spin_until_abort(&area);
    }
    return NULL;
}

TEST(membarrier_aborts)
{
    long have = syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0);
    CHECK(have & MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ);
    CHECK_EQ(syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ, 0, 0), 0);
    CHECK_ERR(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ, 2, 0), EINVAL);
    CHECK_ERR(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 1, 0), EINVAL);
    pthread_t th;
    void *r;
    CHECK_EQ(pthread_create(&th, NULL, spinner, NULL), 0);
    while (!is_spinning)
        sched_yield();
    is_done = 1;
    /* The spinner ends when one of its sequences is aborted after that. */
    for (;;) {
        CHECK_EQ(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ, 0, 0), 0);
        if (pthread_tryjoin_np(th, &r) == 0)
            break;
    }
    CHECK(r == NULL);
}

TEST(fork_has_it)
{
    CHECK_EQ(reg(), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct sigaction sa = {.sa_handler = on_alarm};
        sigaction(SIGALRM, &sa, NULL);
        if (do_rseq(&area, 32, 0, SIG) != -1 || errno != EBUSY)
            _exit(1);
        ualarm(20000, 0);
        (void)spin_until_abort(&area);
        _exit(do_rseq(&area, 32, RSEQ_FLAG_UNREGISTER, SIG) == 0 ? 0 : 2);
    }
    int status;
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
}

static void *cpu_is_true(void *arg)
{
    /* The stack, and with it the area, was another thread's a moment ago. */
    for (int i = 0; i < 50; i++) {
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET(sched_getcpu(), &one);
        if (sched_setaffinity(0, sizeof(one), &one) < 0 || !CPU_ISSET(sched_getcpu(), &one))
            return (void *)1;
    }
    return NULL;
}

TEST(areas_of_ended_threads)
{
    for (int i = 0; i < 100; i++) {
        pthread_t th[2];
        void *r[2];
        for (int k = 0; k < 2; k++)
            CHECK_EQ(pthread_create(&th[k], NULL, cpu_is_true, NULL), 0);
        for (int k = 0; k < 2; k++)
            CHECK_EQ(pthread_join(th[k], &r[k]), 0);
        CHECK(!r[0] && !r[1]);
    }
}

static void *ends_after_unregistering(void *arg)
{
    drop_libc();
    void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (do_rseq(p, 32, 0, SIG) != 0 || do_rseq(p, 32, RSEQ_FLAG_UNREGISTER, SIG) != 0)
        return (void *)1;
    munmap(p, 4096);
    for (int i = 0; i < 100; i++)
        sched_yield();
    return NULL;
}

TEST(unregistered_memory_is_free)
{
    pthread_t th;
    void *r;
    CHECK_EQ(pthread_create(&th, NULL, ends_after_unregistering, NULL), 0);
    CHECK_EQ(pthread_join(th, &r), 0);
    CHECK(r == NULL);
}

