/* Measurements of the platform, printed; nothing is checked. Numbers are ns per operation. */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform_util.h"

SNIPPET(getpids, "mov $5000000,%ebx\n 1: mov $39,%eax\n syscall\n dec %ebx\n jnz 1b\n"
                 "mov $60,%eax\n syscall\n");
SNIPPET(calls, "1: mov $1000,%eax\n syscall\n jmp 1b\n");
SNIPPET(touch, "1: movb $1,(%rdi)\n add $4096,%rdi\n dec %ebx\n jnz 1b\n mov $60,%eax\n syscall\n");
SNIPPET(maps, "1: mov $9,%eax\n syscall\n movb $1,(%r14)\n mov $11,%eax\n syscall\n jmp 1b\n");
SNIPPET(forks, "1: mov $57,%eax\n syscall\n test %rax,%rax\n jnz 1b\n mov $60,%eax\n syscall\n");
SNIPPET(pingpong,
        "mov %rdi,%r12\n mov %rsi,%r13\n"
        "1: cmpl $0,(%r12)\n jne 2f\n"
        "mov %r12,%rdi\n mov $128,%esi\n xor %edx,%edx\n xor %r10d,%r10d\n"
        "mov $202,%eax\n syscall\n jmp 1b\n"
        "2: movl $0,(%r12)\n movl $1,(%r13)\n mov %r13,%rdi\n mov $129,%esi\n mov $1,%edx\n"
        "mov $202,%eax\n syscall\n dec %ebx\n jnz 1b\n mov $60,%eax\n syscall\n");

static void report(const char *what, double begin, u64 n)
{
    printf("%-44s %10.1f ns\n", what, (seconds() - begin) * 1e9 / (double)n);
}

static void bench_getpid(void)
{
    struct aspace *as = SPACE(getpids);
    struct uctx *ctx = thread_at(as, TEXT_START);
    struct uevent ev;
    struct aspace_ids ids = {.pid = 7};
    aspace_set_ids(as, &ids);
    for (int i = 0; i < 3; i++) {
        uctx_run(ctx, &ev);
        uctx_set_result(ctx, 7);
    }
    double begin = seconds();
    uctx_run(ctx, &ev);
    report("getpid, rewritten", begin, 5000000);
    uctx_free(ctx);
    aspace_put(as);
}

static void bench_call(const char *what, u64 rip, u64 n)
{
    struct aspace *as = SPACE(calls);
    struct uctx *ctx = thread_at(as, rip);
    struct uevent ev;
    for (int i = 0; i < 1000; i++) {
        uctx_run(ctx, &ev);
        uctx_set_result(ctx, 0);
    }
    double begin = seconds();
    for (u64 i = 0; i < n; i++) {
        uctx_run(ctx, &ev);
        uctx_set_result(ctx, 0);
    }
    report(what, begin, n);
    uctx_free(ctx);
    aspace_put(as);
}

static void bench_touch(void)
{
    struct aspace *as = SPACE(touch);
    struct uctx *ctx = thread_at(as, TEXT_START);
    struct uevent ev;
    u64 n = 16384;
    OK(aspace_map(as, NULL, 0x600000000000UL, n * 4096, PROT_READ | PROT_WRITE, ASPACE_PRIVATE_ANON,
                  0, -1, 0));
    OK(aspace_advise(as, NULL, 0x600000000000UL, n * 4096, MADV_NOHUGEPAGE));
    uctx_regs(ctx)->rdi = 0x600000000000UL;
    uctx_regs(ctx)->rbx = n;
    uctx_regs_changed(ctx);
    double begin = seconds();
    uctx_run(ctx, &ev);
    report("touch of a page", begin, n);
    uctx_free(ctx);
    aspace_put(as);
}

static void bench_maps(void)
{
    struct aspace *as = SPACE(maps);
    struct uctx *ctx = thread_at(as, TEXT_START);
    struct uevent ev;
    u64 at = 0x600000000000UL, n = 20000;
    uctx_regs(ctx)->r14 = at;
    uctx_regs_changed(ctx);
    double begin = seconds();
    for (u64 i = 0; i < n; i++) {
        uctx_run(ctx, &ev);
        OK(aspace_map(as, ctx, at, 0x4000, PROT_READ | PROT_WRITE, ASPACE_PRIVATE_ANON, 0, -1, 0));
        uctx_set_result(ctx, (s64)at);
        uctx_run(ctx, &ev);
        OK(aspace_unmap(as, ctx, at, 0x4000));
        uctx_set_result(ctx, 0);
    }
    report("mmap + touch + munmap of 16 KiB", begin, n);
    begin = seconds();
    for (u64 i = 0; i < n; i++) {
        char *p = mmap(NULL, 0x4000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        p[0] = 1;
        munmap(p, 0x4000);
    }
    report("  native", begin, n);
    uctx_free(ctx);
    aspace_put(as);
}

static void bench_fork(u64 mib)
{
    struct aspace *as = SPACE(forks), *child_as;
    struct uctx *ctx = thread_at(as, TEXT_START), *child;
    struct uevent ev;
    u64 n = 300, at = 0x600000000000UL;
    double in_fork = 0, in_child = 0;
    OK(aspace_map(as, NULL, at, (mib + 1) << 20, PROT_READ | PROT_WRITE, ASPACE_PRIVATE_ANON, 0, -1,
                  0));
    char *buf = malloc(1 << 20);
    memset(buf, 1, 1 << 20);
    for (u64 i = 0; i < mib; i++)
        if (aspace_write(as, NULL, at + (i << 20), buf, 1 << 20) != 1 << 20)
            abort();
    free(buf);
    double begin = seconds();
    for (u64 i = 0; i < n; i++) {
        uctx_run(ctx, &ev);
        if (ev.nr != 57)
            abort();
        double a = seconds();
        OK(aspace_fork(as, ctx, &child_as, &child));
        double b = seconds();
        in_fork += b - a;
        uctx_set_result(child, 0);
        uctx_run(child, &ev);
        in_child += seconds() - b;
        uctx_free(child);
        aspace_put(child_as);
        uctx_set_result(ctx, 5);
    }
    printf("fork + child's exit, %3lu MiB: %10.1f ns (fork %.0f, child to its first call %.0f)\n",
           mib, (seconds() - begin) * 1e9 / (double)n, in_fork * 1e9 / (double)n,
           in_child * 1e9 / (double)n);
    uctx_free(ctx);
    aspace_put(as);
}

static void bench_space(void)
{
    double begin = seconds();
    u64 n = 200;
    for (u64 i = 0; i < n; i++) {
        struct aspace *as = NULL;
        OK(aspace_new(&as));
        aspace_put(as);
    }
    report("aspace_new + put", begin, n);
}

static void bench_copies(void)
{
    struct aspace *as = SPACE(calls);
    char buf[4096];
    double begin = seconds();
    u64 n = 100000;
    for (u64 i = 0; i < n; i++)
        OK(aspace_read(as, NULL, DATA, buf, 64));
    report("aspace_read of 64 bytes", begin, n);
    begin = seconds();
    for (u64 i = 0; i < n; i++)
        OK(aspace_write(as, NULL, DATA, buf, 4096));
    report("aspace_write of 4 KiB", begin, n);
    aspace_put(as);
}

static void bench_helper(void)
{
    struct aspace *as = SPACE(calls);
    double begin = seconds();
    u64 n = 20000;
    for (u64 i = 0; i < n; i++)
        OK(aspace_futex(as, DATA, FUTEX_WAKE, 1, 0, 0, 0));
    report("call by the helper", begin, n);
    aspace_put(as);
}

static void *run_to_exit(void *arg)
{
    struct uevent ev;
    for (;;) {
        uctx_run(arg, &ev);
        if (ev.kind != UEV_SYSCALL || ev.nr == 60)
            return NULL;
        if (ev.nr == 202)
            uctx_set_result(
                arg, aspace_futex(uctx_aspace(arg), ev.args[0], FUTEX_WAKE_PRIVATE, 1, 0, 0, 0));
    }
}

static void bench_futex(void)
{
    struct aspace *as = SPACE(pingpong);
    struct uctx *ctx[2] = {thread_at(as, TEXT_START), thread_at(as, TEXT_START)};
    pthread_t t[2];
    u32 one = 1;
    u64 n = 50000;
    OK(aspace_write(as, NULL, DATA, &one, 4));
    for (u64 i = 0; i < 2; i++) {
        uctx_regs(ctx[i])->rdi = DATA + i * 64;
        uctx_regs(ctx[i])->rsi = DATA + (1 - i) * 64;
        uctx_regs(ctx[i])->rbx = n;
        uctx_regs_changed(ctx[i]);
        OK(uctx_set_affinity(ctx[i], 1));
    }
    double begin = seconds();
    for (int i = 0; i < 2; i++)
        pthread_create(&t[i], NULL, run_to_exit, ctx[i]);
    for (int i = 0; i < 2; i++)
        pthread_join(t[i], NULL);
    report("private futex ping-pong, one core", begin, n);
    for (int i = 0; i < 2; i++)
        uctx_free(ctx[i]);
    aspace_put(as);
}

static void *burn(void *arg)
{
    volatile int *stop = arg;
    while (!*stop)
        ;
    return NULL;
}

int main(int argc, char **argv)
{
    start();
    if (argc > 1 && !strcmp(argv[1], "maps")) {
        for (int i = 0; i < 20; i++)
            bench_maps();
        return 0;
    }
    if (argc > 1 && !strcmp(argv[1], "fork")) {
        for (int i = 0; i < 10; i++)
            bench_fork(0);
        platform_shutdown();
        return 0;
    }
    bench_getpid();
    bench_call("trivial call, rewritten, cores as they are", TEXT_START, 200000);
    bench_call("trivial call, trapping", CODE, 50000);
    int stop = 0;
    pthread_t t[2];
    for (int i = 0; i < 2; i++)
        pthread_create(&t[i], NULL, burn, &stop);
    bench_call("trivial call, rewritten, all cores busy", TEXT_START, 5000);
    stop = 1;
    for (int i = 0; i < 2; i++)
        pthread_join(t[i], NULL);
    bench_helper();
    bench_touch();
    bench_maps();
    bench_fork(0);
    bench_fork(10);
    bench_space();
    bench_copies();
    bench_futex();
    platform_shutdown();
    return 0;
}
