/*
 * The platform, driven as the rest of the Sentry drives it: small pieces of
 * position-independent machine code are copied into an address space and run.
 * A piece is written as a naked function of this program.
 */
#include "test.h"

#include <elf.h>
#include <sys/uio.h>

#include "platform_util.h"

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

/* The host's clock_gettime, by its address in rbx. */
SNIPPET(clock, "mov $1,%edi\n mov $0x200000000,%rsi\n sub $8,%rsp\n call *%rbx\n mov %rax,%rdi\n"
               "mov $60,%eax\n syscall\n");

static u64 vdso_symbol(struct aspace *as, u64 vdso, const char *name)
{
    static u8 image[0x4000];
    size_t n = aspace_read(as, NULL, vdso, image, sizeof(image));
    n = n ? n : aspace_read(as, NULL, vdso, image, 0x1000);
    const Elf64_Ehdr *eh = (const void *)image;
    const Elf64_Phdr *ph = (const void *)(image + eh->e_phoff);
    const Elf64_Sym *sym = NULL;
    const char *str = NULL;
    u32 nsyms = 0;
    for (int i = 0; i < eh->e_phnum; i++) {
        if (ph[i].p_type != PT_DYNAMIC)
            continue;
        for (const Elf64_Dyn *d = (const void *)(image + ph[i].p_offset); d->d_tag; d++) {
            if (d->d_tag == DT_SYMTAB)
                sym = (const void *)(image + d->d_un.d_ptr);
            else if (d->d_tag == DT_STRTAB)
                str = (const char *)image + d->d_un.d_ptr;
        }
    }
    if (!sym || !str)
        return 0;
    nsyms = (u32)(((const u8 *)str - (const u8 *)sym) / sizeof(*sym));
    for (u32 i = 0; i < nsyms && i < 64; i++)
        if (!strcmp(str + sym[i].st_name, name))
            return vdso + sym[i].st_value;
    return 0;
}

TEST(vdso)
{
    struct aspace *as = SPACE(clock);
    struct uctx *ctx = thread_at(as, TEXT_START);
    struct uevent ev;
    struct aspace_vdso vdso;
    aspace_vdso(as, &vdso);
    CHECK(vdso.vdso_size >= 0x1000);
    CHECK(vdso.vdso < 0x7e0000000000UL); /* not where ours is */
    u64 at = vdso_symbol(as, vdso.vdso, "__vdso_clock_gettime");
    CHECK(at != 0);
    uctx_regs(ctx)->rbx = at;
    uctx_regs_changed(ctx);
    uctx_run(ctx, &ev);
    CHECK_EQ(ev.kind, UEV_SYSCALL);
    CHECK_EQ(ev.nr, 60);
    CHECK_EQ(ev.args[0], 0);
    struct timespec ts, now;
    CHECK_EQ(aspace_read(as, NULL, DATA, &ts, sizeof(ts)), sizeof(ts));
    clock_gettime(CLOCK_MONOTONIC, &now);
    CHECK(ts.tv_sec <= now.tv_sec && ts.tv_sec + 5 > now.tv_sec);
    uctx_free(ctx);
    aspace_put(as);
}

/* ---- the window --------------------------------------------------------------------------------
 */

/* rdi string, rsi buffer of rdx, r10 out buffer of r8; then reports the out buffer's words. */
SNIPPET(window,
        "1: mov $499,%eax\n syscall\n mov (%r10),%rdi\n mov 8(%r10),%rsi\n mov %rax,%rdx\n"
        "mov $498,%eax\n syscall\n mov %r12,%rdi\n mov %r13,%rsi\n mov %r14,%rdx\n jmp 1b\n");

static void window_round(struct aspace *as, struct uctx *ctx, int i)
{
    struct uevent ev;
    char buf[64];
    u64 v = 0x1111 * (u64)(i + 1);
    uctx_run(ctx, &ev);
    CHECK_EQ(ev.kind, UEV_SYSCALL);
    CHECK_EQ(ev.nr, 499);
    CHECK_EQ(aspace_read_str(as, ctx, ev.args[0], buf, sizeof(buf)), 12);
    CHECK_STR(buf, "hello, stub");
    CHECK_EQ(aspace_read_str(as, ctx, ev.args[0], buf, 4), 4);
    CHECK_EQ(aspace_read(as, ctx, ev.args[1], buf, 32), 32);
    CHECK_EQ(buf[0], 'A');
    CHECK_EQ(buf[31], 'A' + 31);
    CHECK_EQ(aspace_read(as, ctx, ev.args[1] + 8, buf, 16), 16);
    CHECK_EQ(buf[0], 'A' + 8);
    CHECK_EQ(aspace_write(as, ctx, ev.args[3] + 8, &v, 8), 8);
    if (i % 3 == 0)
        CHECK_EQ(aspace_write(as, ctx, ev.args[3], &v, 8), 8);
    if (i % 3 == 1) {
        u64 back = 0;
        CHECK_EQ(aspace_read(as, ctx, ev.args[3] + 8, &back, 8), 8);
        CHECK_EQ(back, v);
    }
    if (i % 5 == 2) { /* a write elsewhere */
        CHECK_EQ(aspace_write(as, ctx, DATA + 0x8000, &v, 8), 8);
        CHECK_EQ(aspace_read_str(as, ctx, ev.args[0], buf, sizeof(buf)), 12);
    }
    if (i % 7 == 3) { /* seen by others before the thread has run again */
        uctx_kick(ctx);
        uctx_run(ctx, &ev);
        CHECK_EQ(ev.kind, UEV_KICK);
        u64 back = 0;
        CHECK_EQ(aspace_read(as, NULL, DATA + 0x2008, &back, 8), 8);
        CHECK_EQ(back, v);
    }
    if (i % 4 == 1)
        uctx_regs_changed(ctx);
    uctx_set_result(ctx, i);
    uctx_run(ctx, &ev);
    CHECK_EQ(ev.kind, UEV_SYSCALL);
    CHECK_EQ(ev.nr, 498);
    CHECK_EQ(ev.args[1], v);
    if (i % 3 == 0)
        CHECK_EQ(ev.args[0], v);
    CHECK_EQ(ev.args[2], i);
    uctx_set_result(ctx, 0);
}

TEST(windows)
{
    start();
    struct ushape shapes[6] = {
        {USHAPE_IN_STR, 0, 0}, {USHAPE_IN_BUF, 2, 1}, {USHAPE_NONE, 0, 0}, {USHAPE_OUT_BUF, 4, 1}};
    platform_set_shapes(499, shapes);
    struct aspace *as = SPACE(window);
    struct uctx *ctx = thread_at(as, TEXT_START);
    struct uregs *r = uctx_regs(ctx);
    char buf[64];
    for (int i = 0; i < 64; i++)
        buf[i] = (char)('A' + i);
    CHECK_EQ(aspace_write(as, NULL, DATA + 0x1000, "hello, stub", 12), 12);
    CHECK_EQ(aspace_write(as, NULL, DATA + 0x1100, buf, 64), 64);
    r->rdi = r->r12 = DATA + 0x1000;
    r->rsi = r->r13 = DATA + 0x1100;
    r->rdx = r->r14 = 64;
    r->r10 = DATA + 0x2000;
    r->r8 = 16;
    uctx_regs_changed(ctx);
    for (int i = 0; i < 200; i++)
        window_round(as, ctx, i);
    /* What the thread cannot reach is an ordinary fault here. */
    struct uevent ev;
    for (int i = 0; i < 20; i++) {
        uctx_run(ctx, &ev);
        CHECK_EQ(ev.nr, 499);
        r = uctx_regs(ctx);
        r->rip = TEXT_START;
        r->rdi = i % 2 ? 0x700000000000UL : 0x80000010UL;
        r->rsi = DATA + SIZE - 8;
        r->rdx = 64;
        r->r10 = DATA + SIZE;
        uctx_regs_changed(ctx);
        uctx_run(ctx, &ev);
        CHECK_EQ(ev.nr, 499);
        CHECK_EQ(aspace_read_str(as, ctx, ev.args[0], buf, sizeof(buf)), 0);
        CHECK_EQ(aspace_read(as, ctx, ev.args[1], buf, 64), 8);
        CHECK_EQ(aspace_write(as, ctx, ev.args[3], buf, 16), 0);
        r = uctx_regs(ctx);
        r->rip = TEXT_START;
        r->rdi = DATA + 0x1000;
        r->r10 = DATA + 0x2000;
        uctx_regs_changed(ctx);
    }
    uctx_free(ctx);
    aspace_put(as);
}

/* ---- rewritten sites ----------------------------------------------------------------------------
 */

SNIPPET(form_a, "1: mov $1000,%eax\n syscall\n 2: jmp 1b\n");
SNIPPET(form_b, "1: mov $1000,%rax\n syscall\n jmp 1b\n");
SNIPPET(form_c, "mov $1000,%ebx\n 1: mov %ebx,%eax\n syscall\n cmp $-4096,%rax\n ja 2f\n"
                "mov %rax,%r15\n jmp 1b\n 2: ud2\n");

static void fill(struct uregs *r)
{
    u64 *p[] = {&r->r14, &r->r13, &r->r12, &r->rbp, &r->r10,
                &r->r9,  &r->r8,  &r->rdx, &r->rsi, &r->rdi};
    for (u32 i = 0; i < ARRAY_SIZE(p); i++)
        *p[i] = 0x1111111100000000UL * (i + 1) + i;
}

static int same(const struct uregs *a, const struct uregs *b)
{
    return a->r14 == b->r14 && a->r13 == b->r13 && a->r12 == b->r12 && a->rbp == b->rbp &&
           a->r10 == b->r10 && a->r9 == b->r9 && a->r8 == b->r8 && a->rdx == b->rdx &&
           a->rsi == b->rsi && a->rdi == b->rdi && a->rsp == b->rsp && a->eflags == b->eflags &&
           a->fs_base == b->fs_base && a->gs_base == b->gs_base && a->cs == b->cs && a->ss == b->ss;
}

/* What the process itself has at addr, which reads through the platform do not show. */
static bool is_rewritten(struct aspace *as, u64 addr)
{
    u8 now[3] = {0};
    struct iovec local = {now, 3}, remote = {(void *)(uintptr_t)addr, 3};
    CHECK_EQ(process_vm_readv(aspace_host_pid(as), &local, 1, &remote, 1, 0), 3);
    return now[0] == 0xff && now[1] == 0x24 && now[2] == 0x25;
}

/* Runs a loop of one call; every event must look the same before and after the rewriting. */
static void check_form(const char *begin, const char *end, u64 call_offset)
{
    struct aspace *as = space(begin, end);
    struct uctx *ctx = thread_at(as, TEXT_START);
    struct uevent ev;
    u8 now[128];
    size_t size = (size_t)(end - begin);
    fill(uctx_regs(ctx));
    uctx_regs(ctx)->fs_base = DATA;
    uctx_regs(ctx)->eflags = 0x246 | 0x1; /* with carry */
    uctx_regs_changed(ctx);
    uctx_run(ctx, &ev);
    struct uregs first = *uctx_regs(ctx);
    for (u64 i = 0; i < 1000; i++) {
        CHECK_EQ(ev.kind, UEV_SYSCALL);
        CHECK_EQ(ev.nr, 1000);
        CHECK_EQ(ev.args[3], first.r10);
        if (i % 7 != 3) {
            struct uregs *r = uctx_regs(ctx);
            CHECK_EQ(r->rip, TEXT_START + call_offset + 2);
            CHECK_EQ(r->rcx, r->rip);
            CHECK_EQ(r->orig_rax, 1000);
            CHECK(same(r, &first) || begin == form_c_begin);
            if (begin == form_c_begin && i)
                CHECK_EQ(r->r15, i - 1);
        }
        if (i % 11 == 5)
            uctx_regs_changed(ctx); /* the full way back */
        if (i % 50 == 9) {
            CHECK_EQ(aspace_read(as, NULL, TEXT_START, now, size), size);
            CHECK_EQ(memcmp(now, begin, size), 0);
        }
        uctx_set_result(ctx, (s64)i);
        uctx_run(ctx, &ev);
    }
    u64 at = TEXT_START + (begin == form_c_begin ? call_offset : 0);
    CHECK(is_rewritten(as, at));
    /* Back to the original text while traced. */
    aspace_fastpath_off(as, FASTPATH_OFF_TRACED, true);
    CHECK(!is_rewritten(as, at));
    for (int i = 0; i < 10; i++) {
        CHECK_EQ(ev.kind, UEV_SYSCALL);
        CHECK_EQ(ev.nr, 1000);
        CHECK_EQ(uctx_regs(ctx)->rip, TEXT_START + call_offset + 2);
        uctx_set_result(ctx, 0);
        uctx_run(ctx, &ev);
    }
    uctx_free(ctx);
    aspace_put(as);
}

TEST(rewrite_a)
{
    check_form(form_a_begin, form_a_end, 5);
}

TEST(rewrite_b)
{
    check_form(form_b_begin, form_b_end, 7);
}

TEST(rewrite_c)
{
    check_form(form_c_begin, form_c_end, 7);
}

/* Programs are mapped in batches, some of them low. */
TEST(rewrite_of_what_a_batch_mapped)
{
    const u64 low = 0x400000;
    struct aspace *as = SPACE(form_a);
    struct uevent ev;
    u8 text[0x1000];
    CHECK_EQ(aspace_read(as, NULL, TEXT, text, sizeof(text)), sizeof(text));
    int fd = memfd_create("text", MFD_CLOEXEC);
    CHECK_EQ(write(fd, text, sizeof(text)), (ssize_t)sizeof(text));
    OK(aspace_batch_begin(as));
    OK(aspace_map(as, NULL, low, 0x1000, PROT_READ | PROT_EXEC, ASPACE_PRIVATE_FILE, 0, fd, 0));
    OK(aspace_map(as, NULL, TEXT, 0x1000, PROT_READ | PROT_EXEC, ASPACE_PRIVATE_FILE, 0, fd, 0));
    OK(aspace_batch_end(as));
    close(fd);
    const u64 places[] = {low + 0x40, TEXT_START};
    for (u32 k = 0; k < ARRAY_SIZE(places); k++) {
        struct uctx *ctx = thread_at(as, places[k]);
        for (int i = 0; i < 50; i++) {
            uctx_run(ctx, &ev);
            CHECK_EQ(ev.kind, UEV_SYSCALL);
            CHECK_EQ(ev.nr, 1000);
            CHECK_EQ(uctx_regs(ctx)->rip, places[k] + 7);
            uctx_set_result(ctx, 0);
        }
        CHECK(is_rewritten(as, places[k]));
        uctx_free(ctx);
    }
    aspace_put(as);
}

/* A thread that uses %gs itself: no trampolines from then on, and nothing else changes. */
SNIPPET(gs, "1: mov $1000,%eax\n syscall\n test %rax,%rax\n jz 1b\n 2: mov $1001,%eax\n mov "
            "%gs:0,%rdi\n syscall\n"
            "jmp 2b\n");

TEST(gs_base)
{
    struct aspace *as = SPACE(gs);
    struct uctx *ctx = thread_at(as, TEXT_START);
    struct uevent ev;
    u64 v = 0x1234567890;
    CHECK_EQ(aspace_write(as, NULL, DATA + 0x100, &v, 8), 8);
    for (int i = 0; i < 50; i++) {
        uctx_run(ctx, &ev);
        CHECK_EQ(ev.nr, 1000);
        uctx_set_result(ctx, 0);
    }
    uctx_set_result(ctx, 1);
    uctx_regs(ctx)->gs_base = DATA + 0x100;
    uctx_regs_changed(ctx);
    for (int i = 0; i < 50; i++) {
        uctx_run(ctx, &ev);
        CHECK_EQ(ev.kind, UEV_SYSCALL);
        CHECK_EQ(ev.nr, 1001);
        CHECK_EQ(ev.args[0], v);
        CHECK_EQ(uctx_regs(ctx)->gs_base, DATA + 0x100);
        uctx_set_result(ctx, 0);
    }
    uctx_free(ctx);
    aspace_put(as);
}

SNIPPET(wrgs, "mov $10,%ebx\n 1: mov $1000,%eax\n syscall\n dec %ebx\n jnz 1b\n mov "
              "$0x10000,%eax\n wrgsbase %rax\n"
              "mov $10,%ebx\n jmp 1b\n");

TEST(gs_base_by_instruction)
{
    struct aspace *as = SPACE(wrgs);
    struct uctx *ctx = thread_at(as, TEXT_START);
    struct uevent ev;
    for (int i = 0; i < 40; i++) {
        uctx_run(ctx, &ev);
        CHECK_EQ(ev.kind, UEV_SYSCALL);
        CHECK_EQ(ev.nr, 1000);
        CHECK_EQ(uctx_regs(ctx)->rip, TEXT_START + 12);
        uctx_set_result(ctx, 0);
    }
    uctx_free(ctx);
    aspace_put(as);
}

TEST(jump_into_the_middle)
{
    struct aspace *as = SPACE(form_a);
    struct uctx *ctx = thread_at(as, TEXT_START);
    struct uevent ev;
    for (u32 i = 0; i < 100; i++) {
        uctx_run(ctx, &ev);
        CHECK_EQ(ev.kind, UEV_SYSCALL);
        CHECK_EQ(ev.nr, i ? 2000 + i - 1 : 1000);
        CHECK_EQ(uctx_regs(ctx)->rip, TEXT_START + 7);
        /* As a restarted call: at the syscall instruction, with another number. */
        uctx_regs(ctx)->rip -= 2;
        uctx_regs(ctx)->rax = 2000 + i;
        uctx_regs_changed(ctx);
        if (i < 8) { /* first let it be rewritten */
            uctx_run(ctx, &ev);
            CHECK_EQ(ev.nr, 2000 + i);
            uctx_set_result(ctx, 0);
            for (int j = 0; j < 5; j++) {
                uctx_run(ctx, &ev);
                CHECK_EQ(ev.nr, 1000);
                uctx_set_result(ctx, 0);
            }
            uctx_regs(ctx)->rip -= 2;
            uctx_regs(ctx)->rax = 2000 + i;
            uctx_regs_changed(ctx);
        }
    }
    uctx_free(ctx);
    aspace_put(as);
}

/* Jumps of the application itself to the old `syscall`. */
SNIPPET(middle, "mov $20,%ebx\n 1: mov $1000,%eax\n 2: syscall\n dec %ebx\n jnz 1b\n"
                "mov $20,%ebx\n 3: mov $1001,%eax\n jmp 2b\n");

TEST(jump_by_the_application)
{
    struct aspace *as = SPACE(middle);
    struct uctx *ctx = thread_at(as, TEXT_START);
    struct uevent ev;
    int n1001 = 0;
    for (int i = 0; i < 100; i++) {
        uctx_run(ctx, &ev);
        CHECK_EQ(ev.kind, UEV_SYSCALL);
        CHECK_EQ(uctx_regs(ctx)->rip, TEXT_START + 5 + 7);
        n1001 += ev.nr == 1001;
        uctx_set_result(ctx, 0);
    }
    CHECK(n1001 > 1);
    uctx_free(ctx);
    aspace_put(as);
}

SNIPPET(pids, "mov $100000,%ebx\n xor %r15,%r15\n 1: mov $39,%eax\n syscall\n add %rax,%r15\n"
              "dec %ebx\n jnz 1b\n mov %r15,%rdi\n mov $60,%eax\n syscall\n");

TEST(in_stub_getpid)
{
    struct aspace *as = SPACE(pids);
    struct uctx *ctx = thread_at(as, TEXT_START);
    struct uevent ev;
    struct aspace_ids ids = {.pid = 7};
    int ncalls = 0;
    aspace_set_ids(as, &ids);
    for (;;) {
        uctx_run(ctx, &ev);
        CHECK_EQ(ev.kind, UEV_SYSCALL);
        if (ev.nr != 39)
            break;
        ncalls++;
        uctx_set_result(ctx, 7);
    }
    CHECK_EQ(ev.nr, 60);
    CHECK_EQ(ev.args[0], 700000);
    CHECK(ncalls < 10);
    uctx_free(ctx);
    aspace_put(as);
}

static volatile int stop_kicking;

static void *kick_often(void *arg)
{
    for (unsigned i = 0; !stop_kicking; i++) {
        uctx_kick(arg);
        usleep(i % 64);
    }
    return NULL;
}

SNIPPET(pids_forever, "1: mov $39,%eax\n syscall\n cmp $7,%rax\n jne 2f\n inc %r15\n"
                      "mov $1000,%eax\n mov %r15,%rdi\n syscall\n cmp %r15,%rax\n je 1b\n"
                      "2: ud2\n");

TEST(kicks_lose_nothing)
{
    struct aspace *as = SPACE(pids_forever);
    struct uctx *ctx = thread_at(as, TEXT_START);
    struct uevent ev;
    struct aspace_ids ids = {.pid = 7};
    aspace_set_ids(as, &ids);
    stop_kicking = 0;
    pthread_t t;
    pthread_create(&t, NULL, kick_often, ctx);
    u64 count = 0;
    int nkicks = 0;
    double end = seconds() + 1;
    int is_bad = 0;
    while (!is_bad && seconds() < end) {
        uctx_run(ctx, &ev);
        if (ev.kind == UEV_KICK) {
            nkicks++;
            struct uregs *r = uctx_regs(ctx);
            is_bad |= r->rip < TEXT_START || r->rip > TEXT_START + 100;
            if (nkicks % 3 == 0)
                uctx_regs_changed(ctx);
        } else if (ev.kind == UEV_SYSCALL && ev.nr == 39) {
            uctx_set_result(ctx, 7);
        } else if (ev.kind == UEV_SYSCALL && ev.nr == 1000) {
            is_bad |= ev.args[0] != ++count;
            uctx_set_result(ctx, (s64)count);
        } else {
            is_bad = 1;
        }
    }
    stop_kicking = 1;
    pthread_join(t, NULL);
    if (is_bad) {
        fprintf(stderr, "kind %d nr %u signo %d addr %lx arg %lu count %lu rip %lx rax %lx\n",
                ev.kind, ev.nr, ev.signo, ev.addr, ev.args[0], count, uctx_regs(ctx)->rip,
                uctx_regs(ctx)->rax);
    }
    CHECK(!is_bad);
    CHECK(nkicks > 10);
    CHECK(count > 100);
    uctx_free(ctx);
    aspace_put(as);
}

/* Ping-pong on two words, in the stub; then exit. rdi: own word, rsi: the other's, ebx: rounds. */
SNIPPET(pingpong,
        "mov %rdi,%r12\n mov %rsi,%r13\n"
        "1: cmpl $0,(%r12)\n jne 2f\n"
        "mov %r12,%rdi\n mov $128,%esi\n xor %edx,%edx\n xor %r10d,%r10d\n"
        "mov $202,%eax\n syscall\n jmp 1b\n"
        "2: movl $0,(%r12)\n movl $1,(%r13)\n mov %r13,%rdi\n mov $129,%esi\n mov $1,%edx\n"
        "mov $202,%eax\n syscall\n dec %ebx\n jnz 1b\n mov $60,%eax\n syscall\n");

struct futex_run {
    struct uctx *ctx;
    int nfutex, nkick, is_ok;
};

static void *run_futex(void *arg)
{
    struct futex_run *f = arg;
    struct uevent ev;
    for (;;) {
        uctx_run(f->ctx, &ev);
        if (ev.kind == UEV_SYSCALL && ev.nr == 202) {
            /* What the Sentry would do; here a spurious wake does. */
            f->nfutex++;
            if ((ev.args[1] & 127) == 1)
                uctx_set_result(f->ctx, aspace_futex(uctx_aspace(f->ctx), ev.args[0],
                                                     (int)ev.args[1], (u32)ev.args[2], 0, 0, 0));
            else
                uctx_set_result(f->ctx, -LX_EAGAIN);
        } else if (ev.kind == UEV_FUTEX) {
            f->nkick++;
            uctx_set_result(f->ctx, -LX_EINTR);
        } else if (ev.kind == UEV_KICK) {
            f->nkick++;
        } else {
            f->is_ok = ev.kind == UEV_SYSCALL && ev.nr == 60;
            return NULL;
        }
    }
}

TEST(in_stub_futex)
{
    struct aspace *as = SPACE(pingpong);
    struct futex_run f[2] = {{thread_at(as, TEXT_START), 0, 0, 0},
                             {thread_at(as, TEXT_START), 0, 0, 0}};
    pthread_t t[3];
    u32 one = 1;
    CHECK_EQ(aspace_write(as, NULL, DATA, &one, 4), 4);
    for (int i = 0; i < 2; i++) {
        struct uregs *r = uctx_regs(f[i].ctx);
        r->rdi = DATA + (u64)i * 64;
        r->rsi = DATA + (u64)(1 - i) * 64;
        r->rbx = 20000;
        uctx_regs_changed(f[i].ctx);
    }
    stop_kicking = 0;
    pthread_create(&t[2], NULL, kick_often, f[0].ctx);
    for (int i = 0; i < 2; i++)
        pthread_create(&t[i], NULL, run_futex, &f[i]);
    pthread_join(t[0], NULL);
    pthread_join(t[1], NULL);
    stop_kicking = 1;
    pthread_join(t[2], NULL);
    CHECK(f[0].is_ok && f[1].is_ok);
    CHECK(f[1].nfutex < 2000);
    uctx_free(f[0].ctx);
    uctx_free(f[1].ctx);
    aspace_put(as);
}

/* A fork through a site of form C, which may have been rewritten by other calls. */
SNIPPET(
    fork_c,
    "mov $1000,%ebx\n call 1f\n call 1f\n call 1f\n call 1f\n call 1f\n call 1f\n mov $57,%ebx\n"
    "movq %rbp,%xmm5\n call 1f\n movq %xmm5,%rdi\n mov %rax,%rsi\n mov $60,%eax\n syscall\n"
    "1: mov %ebx,%eax\n syscall\n cmp $-4096,%rax\n ja 2f\n ret\n 2: ud2\n");

TEST(fork_through_trampoline)
{
    struct aspace *as = SPACE(fork_c), *child_as;
    struct uctx *ctx = thread_at(as, TEXT_START), *child;
    struct uevent ev;
    uctx_regs(ctx)->rbp = 0xabcdef;
    uctx_regs_changed(ctx);
    for (int i = 0; i < 6; i++) {
        uctx_run(ctx, &ev);
        CHECK_EQ(ev.nr, 1000);
        uctx_set_result(ctx, 0);
    }
    uctx_run(ctx, &ev);
    CHECK_EQ(ev.kind, UEV_SYSCALL);
    CHECK_EQ(ev.nr, 57);
    CHECK_EQ(aspace_fork(as, ctx, &child_as, &child), 0);
    uctx_set_result(ctx, 5);
    uctx_set_result(child, 0);
    uctx_run(child, &ev);
    CHECK_EQ(ev.kind, UEV_SYSCALL);
    CHECK_EQ(ev.nr, 60);
    CHECK_EQ(ev.args[0], 0xabcdef);
    CHECK_EQ(ev.args[1], 0);
    uctx_run(ctx, &ev);
    CHECK_EQ(ev.nr, 60);
    CHECK_EQ(ev.args[0], 0xabcdef);
    CHECK_EQ(ev.args[1], 5);
    uctx_free(child);
    uctx_free(ctx);
    aspace_put(child_as);
    aspace_put(as);
}

/* Rewriting while many threads run through the site. */
static void *run_thousands(void *arg)
{
    struct futex_run *f = arg;
    struct uevent ev;
    u64 last = 0;
    f->is_ok = 1;
    for (int i = 0; i < 3000; i++) {
        uctx_run(f->ctx, &ev);
        if (ev.kind == UEV_KICK) {
            i--;
            continue;
        }
        if (ev.kind != UEV_SYSCALL || ev.nr != 1000 || (i && uctx_regs(f->ctx)->r15 != last)) {
            fprintf(stderr, "kind %d status %x nr %u signo %d code %d r15 %lx last %lx rip %lx\n",
                    ev.kind, ev.wait_status, ev.nr, ev.signo, ev.code, uctx_regs(f->ctx)->r15, last,
                    uctx_regs(f->ctx)->rip);
            f->is_ok = 0;
            break;
        }
        last = (u64)i;
        uctx_set_result(f->ctx, i);
    }
    return NULL;
}

SNIPPET(form_ac, "1: mov $1000,%eax\n syscall\n mov %rax,%r15\n jmp 1b\n");

static void check_threaded(const char *begin, const char *end)
{
    for (int round = 0; round < 3; round++) {
        struct aspace *as = space(begin, end);
        struct futex_run f[4];
        pthread_t t[4];
        for (int i = 0; i < 4; i++)
            f[i] = (struct futex_run){thread_at(as, TEXT_START), 0, 0, 0};
        for (int i = 0; i < 4; i++)
            pthread_create(&t[i], NULL, run_thousands, &f[i]);
        for (int i = 0; i < 4; i++)
            pthread_join(t[i], NULL);
        for (int i = 0; i < 4; i++) {
            CHECK(f[i].is_ok);
            uctx_free(f[i].ctx);
        }
        aspace_put(as);
    }
}

TEST(rewrite_a_threaded)
{
    check_threaded(form_ac_begin, form_ac_end);
}

TEST(rewrite_c_threaded)
{
    check_threaded(form_c_begin, form_c_end);
}

TEST(shutdown)
{
    start();
    platform_shutdown();
}
