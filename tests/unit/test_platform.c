/*
 * The platform, driven as the rest of the Sentry drives it: small pieces of
 * position-independent machine code are copied into an address space and run.
 * A piece is written as a naked function of this program.
 */
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "abi/errno.h"
#include "abi/nr.h"
#include "base/log.h"
#include "platform/platform.h"
#include "test.h"

#define CODE  0x100000UL
#define DATA  0x200000000UL
#define STACK 0x300000000UL

#define SNIPPET(name, text)                                                                        \
    extern const char name##_begin[], name##_end[];                                                \
    __asm__(".pushsection .rodata\n" #name "_begin:\n" text "\n" #name "_end:\n.popsection\n")

static void start(void)
{
    static int is_started;
    if (is_started++)
        return;
    struct platform_config cfg = {0};
    CHECK_EQ(platform_init(&cfg), 0);
}

/* A space with the snippet at CODE, a page of data and a stack. */
static struct aspace *space(const char *begin, const char *end)
{
    start();
    struct aspace *as;
    CHECK_EQ(aspace_new(&as), 0);
    CHECK_EQ(aspace_map(as, NULL, CODE, 0x2000, PROT_READ | PROT_WRITE | PROT_EXEC,
                        ASPACE_PRIVATE_ANON, 0, -1, 0),
             0);
    CHECK_EQ(
        aspace_map(as, NULL, DATA, 0x10000, PROT_READ | PROT_WRITE, ASPACE_PRIVATE_ANON, 0, -1, 0),
        0);
    CHECK_EQ(
        aspace_map(as, NULL, STACK, 0x10000, PROT_READ | PROT_WRITE, ASPACE_PRIVATE_ANON, 0, -1, 0),
        0);
    size_t size = (size_t)(end - begin);
    CHECK_EQ(aspace_write(as, NULL, CODE, begin, size), size);
    return as;
}

static struct uctx *thread_at(struct aspace *as, u64 rip)
{
    struct uctx *ctx;
    CHECK_EQ(uctx_new(as, NULL, &ctx), 0);
    struct uregs *r = uctx_regs(ctx);
    r->rip = rip;
    r->rsp = STACK + 0x8000;
    uctx_regs_changed(ctx);
    return ctx;
}

#define SPACE(name) space(name##_begin, name##_end)

SNIPPET(calls, "mov $39,%eax\n mov $1,%edi\n mov $2,%esi\n mov $3,%edx\n mov $4,%r10d\n"
               "mov $5,%r8d\n mov $6,%r9d\n syscall\n"
               "mov %rax,%rdi\n mov $60,%eax\n syscall\n ud2\n");

TEST(syscalls)
{
    struct aspace *as = SPACE(calls);
    struct uctx *ctx = thread_at(as, CODE);
    struct uevent ev;
    aspace_fastpath_off(as, FASTPATH_OFF_STRACE, true);
    uctx_run(ctx, &ev);
    CHECK_EQ(ev.kind, UEV_SYSCALL);
    CHECK_EQ(ev.nr, 39);
    for (u64 i = 0; i < 6; i++)
        CHECK_EQ(ev.args[i], i + 1);
    struct uregs *r = uctx_regs(ctx);
    CHECK_EQ(r->orig_rax, 39);
    CHECK_EQ(r->rsp, STACK + 0x8000);
    uctx_set_result(ctx, 4711);
    uctx_run(ctx, &ev);
    CHECK_EQ(ev.kind, UEV_SYSCALL);
    CHECK_EQ(ev.nr, 60);
    CHECK_EQ(ev.args[0], 4711);
    uctx_set_result(ctx, 0);
    uctx_run(ctx, &ev);
    CHECK_EQ(ev.kind, UEV_FAULT);
    CHECK_EQ(ev.signo, SIGILL);
    uctx_free(ctx);
    aspace_put(as);
}

SNIPPET(fault, "mov (%rdi),%rax\n mov $1,%eax\n syscall\n");

TEST(faults)
{
    struct aspace *as = SPACE(fault);
    struct uctx *ctx = thread_at(as, CODE);
    struct uevent ev;
    uctx_regs(ctx)->rdi = 0x500000000UL;
    uctx_run(ctx, &ev);
    CHECK_EQ(ev.kind, UEV_FAULT);
    CHECK_EQ(ev.signo, SIGSEGV);
    CHECK_EQ(ev.code, SEGV_MAPERR);
    CHECK_EQ(ev.addr, 0x500000000UL);
    CHECK_EQ(uctx_regs(ctx)->rip, CODE);
    CHECK_EQ(aspace_map(as, NULL, 0x500000000UL, 0x1000, PROT_NONE, ASPACE_PRIVATE_ANON, 0, -1, 0),
             0);
    uctx_run(ctx, &ev);
    CHECK_EQ(ev.kind, UEV_FAULT);
    CHECK_EQ(ev.code, SEGV_ACCERR);
    CHECK_EQ(aspace_protect(as, NULL, 0x500000000UL, 0x1000, PROT_READ), 0);
    uctx_run(ctx, &ev);
    CHECK_EQ(ev.kind, UEV_SYSCALL);
    uctx_regs(ctx)->rip = 0x8000000000000000UL;
    uctx_regs_changed(ctx);
    uctx_run(ctx, &ev);
    CHECK_EQ(ev.kind, UEV_FAULT);
    CHECK_EQ(ev.signo, SIGSEGV);
    uctx_free(ctx);
    aspace_put(as);
}

SNIPPET(forker, "movq $77,(%rbx)\n mov $57,%eax\n syscall\n mov (%rbx),%rdi\n add %rax,%rdi\n"
                "movq $1,(%rbx)\n movq %xmm3,%rsi\n mov $60,%eax\n syscall\n");

TEST(fork)
{
    struct aspace *as = SPACE(forker), *child_as;
    struct uctx *ctx = thread_at(as, CODE), *child;
    struct uevent ev;
    u8 *x = malloc(platform_xstate_size());
    CHECK_EQ(uctx_get_xstate(ctx, x), 0);
    x[512] |= 2;
    memset(x + 160 + 48, 0x5a, 8); /* xmm3 */
    CHECK_EQ(uctx_set_xstate(ctx, x), 0);
    uctx_regs(ctx)->rbx = DATA;
    uctx_regs_changed(ctx);
    uctx_run(ctx, &ev);
    CHECK_EQ(ev.nr, 57);
    CHECK_EQ(aspace_fork(as, ctx, &child_as, &child), 0);
    uctx_set_result(child, 0);
    uctx_set_result(ctx, 100);
    uctx_run(ctx, &ev);
    CHECK_EQ(ev.kind, UEV_SYSCALL);
    CHECK_EQ(ev.args[0], 177);
    CHECK_EQ(ev.args[1], 0x5a5a5a5a5a5a5a5aUL);
    uctx_run(child, &ev);
    CHECK_EQ(ev.kind, UEV_SYSCALL);
    CHECK_EQ(ev.nr, 60);
    CHECK_EQ(ev.args[0], 77);
    CHECK_EQ(ev.args[1], 0x5a5a5a5a5a5a5a5aUL);
    uctx_free(child);
    aspace_put(child_as);
    uctx_free(ctx);
    aspace_put(as);
    free(x);
}

SNIPPET(loop, "1: jmp 1b\n");

static void *kick_later(void *arg)
{
    usleep(20000);
    uctx_kick(arg);
    return NULL;
}

static void *kill_later(void *arg)
{
    usleep(20000);
    aspace_kill(arg);
    return NULL;
}

TEST(kick)
{
    struct aspace *as = SPACE(loop);
    struct uctx *ctx = thread_at(as, CODE);
    struct uevent ev;
    pthread_t t;
    pthread_create(&t, NULL, kick_later, ctx);
    uctx_run(ctx, &ev);
    pthread_join(t, NULL);
    CHECK_EQ(ev.kind, UEV_KICK);
    CHECK_EQ(uctx_regs(ctx)->rip, CODE);
    uctx_kick(ctx);
    uctx_run(ctx, &ev);
    CHECK_EQ(ev.kind, UEV_KICK);
    pthread_create(&t, NULL, kill_later, as);
    uctx_run(ctx, &ev);
    pthread_join(t, NULL);
    CHECK_EQ(ev.kind, UEV_DEAD);
    CHECK_EQ(ev.wait_status, SIGKILL);
    uctx_free(ctx);
    aspace_put(as);
}

SNIPPET(two, "movq %xmm1,%rdi\n mov $1000,%eax\n syscall\n jmp two_begin\n");

TEST(threads)
{
    struct aspace *as = SPACE(two);
    struct uctx *a = thread_at(as, CODE), *b, *c;
    struct uevent ev;
    uctx_run(a, &ev);
    CHECK_EQ(ev.nr, 1000);
    CHECK_EQ(ev.args[0], 0);
    u8 *x = malloc(platform_xstate_size());
    CHECK_EQ(uctx_get_xstate(a, x), 0);
    x[512] |= 2;
    memset(x + 160 + 16, 0x11, 8);
    CHECK_EQ(uctx_set_xstate(a, x), 0);
    CHECK_EQ(uctx_new(as, a, &b), 0);
    for (int i = 0; i < 50; i++) {
        uctx_set_result(a, 0);
        uctx_run(a, &ev);
        CHECK_EQ(ev.kind, UEV_SYSCALL);
        CHECK_EQ(ev.args[0], 0x1111111111111111UL);
        uctx_set_result(b, 0);
        uctx_run(b, &ev);
        CHECK_EQ(ev.kind, UEV_SYSCALL);
        CHECK_EQ(ev.args[0], 0x1111111111111111UL);
        CHECK_EQ(uctx_new(as, NULL, &c), 0);
        uctx_regs(c)->rip = CODE;
        uctx_run(c, &ev);
        CHECK_EQ(ev.kind, UEV_SYSCALL);
        CHECK_EQ(ev.args[0], 0);
        uctx_free(c);
    }
    free(x);
    uctx_free(b);
    uctx_free(a);
    aspace_put(as);
}

TEST(memory)
{
    struct aspace *as = SPACE(loop);
    char buf[64] = "hello, stub";
    CHECK_EQ(aspace_write(as, NULL, DATA + 0xfffa, buf, 12), 6);
    CHECK_EQ(aspace_write(as, NULL, DATA + 0xff0, buf, 12), 12);
    memset(buf, 'x', sizeof(buf));
    CHECK_EQ(aspace_read_str(as, NULL, DATA + 0xff0, buf, sizeof(buf)), 12);
    CHECK_STR(buf, "hello, stub");
    CHECK_EQ(aspace_read(as, NULL, 0x60000000, buf, 8), 0);
    CHECK_EQ(aspace_write(as, NULL, 0x60020000, buf, 8), 0);
    CHECK_EQ(aspace_read(as, NULL, 0xffffffffffffff00UL, buf, 64), 0);
    u32 old, v = 5;
    CHECK_EQ(aspace_write(as, NULL, DATA, &v, 4), 4);
    CHECK_EQ(aspace_cmpxchg_u32(as, DATA, 5, 6, &old), 0);
    CHECK_EQ(old, 5);
    CHECK_EQ(aspace_cmpxchg_u32(as, DATA, 5, 7, &old), 0);
    CHECK_EQ(old, 6);
    CHECK_EQ(aspace_cmpxchg_u32(as, 0x700000000UL, 5, 7, &old), -LX_EFAULT);
    u8 vec[16];
    CHECK_EQ(aspace_mincore(as, DATA, 0x10000, vec), 0);
    CHECK_EQ(vec[0], 1);
    CHECK_EQ(vec[5], 0);
    CHECK_EQ(aspace_protect(as, NULL, DATA, 0x1000, PROT_READ), 0);
    CHECK_EQ(aspace_write(as, NULL, DATA, &v, 4), 0);
    CHECK_EQ(aspace_write_force(as, DATA + 3, "force", 5), 5);
    CHECK_EQ(aspace_read(as, NULL, DATA + 3, buf, 5), 5);
    CHECK_EQ(memcmp(buf, "force", 5), 0);
    CHECK_EQ(aspace_protect(as, NULL, DATA, 0x1000, PROT_NONE), 0);
    CHECK_EQ(aspace_read(as, NULL, DATA + 3, buf, 5), 0);
    CHECK_EQ(aspace_remap(as, DATA, 0x1000, DATA + 0x100000, 0x2000, false), 0);
    CHECK_EQ(aspace_futex(as, DATA + 0x4000, FUTEX_WAKE, 1, 0, 0, 0), 0);
    CHECK_EQ(aspace_unmap(as, NULL, DATA, 0x10000), 0);
    CHECK_EQ(aspace_mincore(as, DATA, 0x10000, vec), -LX_ENOMEM);
    aspace_put(as);
}

SNIPPET(mapper, "mov $9,%eax\n syscall\n test %rax,%rax\n js 1f\n movq $5,(%rax)\n"
                "1: mov %rax,%rdi\n mov $60,%eax\n syscall\n");

TEST(direct_maps)
{
    struct aspace *as = SPACE(mapper);
    struct uctx *ctx = thread_at(as, CODE);
    struct uevent ev;
    uctx_run(ctx, &ev);
    CHECK_EQ(ev.nr, 9);
    u64 at = 0x700000000000UL;
    CHECK_EQ(aspace_map(as, ctx, at, 0x4000, PROT_READ | PROT_WRITE, ASPACE_PRIVATE_ANON, 0, -1, 0),
             0);
    CHECK_EQ(aspace_protect(as, ctx, at + 0x1000, 0x1000, PROT_NONE), 0);
    uctx_set_result(ctx, (s64)at);
    uctx_run(ctx, &ev);
    CHECK_EQ(ev.kind, UEV_SYSCALL);
    CHECK_EQ(ev.args[0], at);
    u64 v;
    CHECK_EQ(aspace_read(as, ctx, at, &v, 8), 8);
    CHECK_EQ(v, 5);
    CHECK_EQ(aspace_read(as, ctx, at + 0x1000, &v, 8), 0);
    CHECK_EQ(aspace_read(as, ctx, at + 0x2000, &v, 8), 8);
    CHECK_EQ(aspace_unmap(as, ctx, at, 0x4000), 0);
    CHECK_EQ(aspace_read(as, ctx, at, &v, 8), 0); /* flushed */
    uctx_free(ctx);
    aspace_put(as);
}

SNIPPET(gone, "mov $1000,%eax\n syscall\n");

TEST(many_spaces)
{
    start();
    for (int i = 0; i < 200; i++) {
        struct aspace *as = SPACE(gone);
        struct uctx *ctx = thread_at(as, CODE);
        struct uevent ev;
        uctx_run(ctx, &ev);
        CHECK_EQ(ev.nr, 1000);
        if (i & 1)
            aspace_kill(as);
        uctx_free(ctx);
        aspace_put(as);
    }
}

TEST(shutdown)
{
    start();
    platform_shutdown();
}
