/*
 * mm on the real platform: stubs whose one thread runs a snippet of machine
 * code, with a little dispatcher here in the place of the system-call table.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform_util.h"
#undef SIZE

#include "abi/mm.h"
#include "abi/signal.h"
#include "mm/mm.h"
#include "test.h"

#define RW    (LX_PROT_READ | LX_PROT_WRITE)
#define ANON  (LX_MAP_PRIVATE | LX_MAP_ANONYMOUS)
#define PLACE 0x500000000UL

/* mmap(0, 16 KiB); touch; munmap: for ever */
SNIPPET(churn, "1: xor %edi,%edi\n mov $0x4000,%esi\n mov $3,%edx\n mov $0x22,%r10d\n"
               "mov $-1,%r8\n xor %r9d,%r9d\n mov $9,%eax\n syscall\n"
               "movb $1,(%rax)\n mov %rax,%rdi\n mov $0x4000,%esi\n mov $11,%eax\n syscall\n"
               "jmp 1b\n");
/* touches r12, tells, and so on downwards by rbx */
SNIPPET(walk, "1: movb $1,(%r12)\n sub %rbx,%r12\n dec %r13\n jnz 1b\n mov $60,%eax\n syscall\n");
/* reads *r12, exits with it */
SNIPPET(peek, "1: movzbl (%r12),%edi\n mov $60,%eax\n syscall\n jmp 1b\n");

struct guest {
    struct mm *mm;
    struct uctx *ctx;
};

static void map_code(struct guest *g, const char *begin, const char *end)
{
    size_t size = (size_t)(end - begin);
    struct mm_map_req req = {.addr = TEXT, .size = 0x1000, .prot = 7, .flags = ANON | LX_MAP_FIXED};
    start();
    CHECK_EQ(mm_new(false, &g->mm), 0);
    CHECK_EQ(mm_map(g->mm, NULL, &req), TEXT);
    CHECK_EQ(mm_write(g->mm, TEXT, begin, size), size);
    CHECK_EQ(uctx_new(g->mm->as, NULL, &g->ctx), 0);
    uctx_regs(g->ctx)->rip = TEXT;
    uctx_regs_changed(g->ctx);
    mm_use(g->mm, g->ctx);
}

#define GUEST(g, name) map_code(g, name##_begin, name##_end)

static void done(struct guest *g)
{
    mm_use(NULL, NULL);
    uctx_free(g->ctx);
    mm_put(g->mm);
}

static s64 dispatch(struct guest *g, const struct uevent *ev)
{
    const u64 *a = ev->args;
    struct mm_map_req req = {.addr = a[0], .size = a[1], .prot = (u32)a[2], .flags = (u32)a[3]};
    switch (ev->nr) {
    case LX_NR_mmap:
        return mm_map(g->mm, g->ctx, &req);
    case LX_NR_munmap:
        return mm_unmap(g->mm, g->ctx, a[0], a[1]);
    default:
        return -LX_ENOSYS;
    }
}

/* Until exit (its argument) or a signal (-signo); faults are mended. nfaults: how often. */
static s64 run(struct guest *g, int *nfaults, int *ret_code)
{
    struct uevent ev;
    *nfaults = 0;
    for (int i = 0; i < 100000; i++) {
        uctx_run(g->ctx, &ev);
        if (ev.kind == UEV_SYSCALL && ev.nr == LX_NR_exit) {
            uctx_set_result(g->ctx, 0);
            return (s64)ev.args[0];
        } else if (ev.kind == UEV_SYSCALL) {
            uctx_set_result(g->ctx, dispatch(g, &ev));
        } else if (ev.kind == UEV_FAULT) {
            ++*nfaults;
            int signo = mm_fault(g->mm, &ev, ret_code);
            if (signo)
                return -signo;
        } else {
            return -1000;
        }
    }
    return -2000;
}

static s64 map_at(struct mm *mm, u64 addr, u64 size, u32 prot, u32 flags)
{
    struct mm_map_req req = {.addr = addr, .size = size, .prot = prot, .flags = flags};
    return mm_map(mm, NULL, &req);
}

TEST(churn_and_measure)
{
    struct guest g;
    struct uevent ev;
    GUEST(&g, churn);
    u32 nvmas = g.mm->nvmas;
    enum { N = 5000 };
    double begin = 0;
    for (int i = 0; i < 2 * N + 200; i++) {
        if (i == 200)
            begin = seconds();
        uctx_run(g.ctx, &ev);
        CHECK(ev.kind == UEV_SYSCALL);
        uctx_set_result(g.ctx, dispatch(&g, &ev));
    }
    double guest_ns = (seconds() - begin) * 1e9 / N;
    begin = seconds();
    for (int i = 0; i < N; i++) {
        char *p = mmap(NULL, 0x4000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        p[0] = 1;
        munmap(p, 0x4000);
    }
    printf("# mmap + touch + munmap of 16 KiB: %.0f ns, native %.0f ns\n", guest_ns,
           (seconds() - begin) * 1e9 / N);
    CHECK_EQ(g.mm->nvmas, nvmas);
    done(&g);
}

TEST(stack_growth)
{
    struct guest g;
    int nfaults, code;
    GUEST(&g, walk);
    u64 top = 0x7f0000000000;
    g.mm->limits.stack = 8 << 20;
    struct mm_map_req req = {.addr = top - 0x20000,
                             .size = 0x20000,
                             .prot = RW,
                             .flags = ANON | LX_MAP_FIXED | LX_MAP_GROWSDOWN,
                             .vma_flags = VMA_STACK};
    CHECK_EQ(mm_map(g.mm, NULL, &req), top - 0x20000);
    uctx_regs(g.ctx)->r12 = top - 8;
    uctx_regs(g.ctx)->rbx = 0x1000;
    uctx_regs(g.ctx)->r13 = 2048;
    uctx_regs_changed(g.ctx);
    CHECK_EQ(run(&g, &nfaults, &code) >= 0, 1);
    CHECK(nfaults > 0 && nfaults < 40);
    done(&g);
}

TEST(fault_codes)
{
    struct guest g;
    int nfaults, code;
    GUEST(&g, peek);
    CHECK_EQ(map_at(g.mm, PLACE, 0x1000, LX_PROT_NONE, ANON | LX_MAP_FIXED), PLACE);
    uctx_regs(g.ctx)->r12 = PLACE;
    uctx_regs_changed(g.ctx);
    CHECK_EQ(run(&g, &nfaults, &code), -LX_SIGSEGV);
    CHECK_EQ(code, LX_SEGV_ACCERR);
    CHECK_EQ(mm_unmap(g.mm, NULL, PLACE, 0x1000), 0);
    CHECK_EQ(run(&g, &nfaults, &code), -LX_SIGSEGV);
    CHECK_EQ(code, LX_SEGV_MAPERR);
    /* Beyond the end of an object. */
    struct mappable *m;
    CHECK_EQ(shmem_object_new(0, &m), 0);
    struct mm_map_req req = {.addr = PLACE,
                             .size = 0x1000,
                             .prot = RW,
                             .flags = LX_MAP_SHARED | LX_MAP_FIXED,
                             .obj = m,
                             .vma_flags = VMA_MAY_ALL};
    CHECK_EQ(mm_map(g.mm, NULL, &req), PLACE);
    m->ops->put(m);
    CHECK_EQ(run(&g, &nfaults, &code), -LX_SIGBUS);
    CHECK_EQ(code, LX_BUS_ADRERR);
    /* The host lost a page that the tree has. */
    CHECK_EQ(map_at(g.mm, PLACE, 0x1000, RW, ANON | LX_MAP_FIXED), PLACE);
    CHECK_EQ(aspace_unmap(g.mm->as, NULL, PLACE, 0x1000), 0);
    CHECK_EQ(run(&g, &nfaults, &code), 0);
    CHECK_EQ(nfaults, 1);
    CHECK_EQ(aspace_protect(g.mm->as, NULL, PLACE, 0x1000, 0), 0);
    CHECK_EQ(run(&g, &nfaults, &code), 0);
    CHECK_EQ(nfaults, 1);
    done(&g);
}

TEST(fork_copies)
{
    struct guest g, c;
    int nfaults, code;
    char v = 7;
    struct uevent ev;
    GUEST(&g, peek);
    CHECK_EQ(map_at(g.mm, PLACE, 0x3000, RW, ANON | LX_MAP_FIXED), PLACE);
    CHECK_EQ(
        map_at(g.mm, PLACE + 0x3000, 0x1000, RW, LX_MAP_SHARED | LX_MAP_ANONYMOUS | LX_MAP_FIXED),
        PLACE + 0x3000);
    for (u64 i = 0; i < 4; i++)
        CHECK_EQ(mm_write(g.mm, PLACE + i * 0x1000, &v, 1), 1);
    CHECK_EQ(mm_advise(g.mm, NULL, PLACE + 0x1000, 0x1000, LX_MADV_DONTFORK), 0);
    CHECK_EQ(mm_advise(g.mm, NULL, PLACE + 0x2000, 0x1000, LX_MADV_WIPEONFORK), 0);
    uctx_regs(g.ctx)->r12 = PLACE;
    uctx_regs_changed(g.ctx);
    uctx_run(g.ctx, &ev); /* at its exit: inside a system call */
    CHECK(ev.kind == UEV_SYSCALL && ev.args[0] == 7);
    CHECK_EQ(mm_fork(g.mm, g.ctx, &c.mm, &c.ctx), 0);
    uctx_set_result(g.ctx, 0);
    v = 9;
    CHECK_EQ(mm_write(g.mm, PLACE, &v, 1), 1);
    CHECK_EQ(mm_write(c.mm, PLACE + 0x3000, &v, 1), 1);
    CHECK_EQ(mm_read(g.mm, PLACE + 0x3000, &v, 1), 1);
    CHECK_EQ(v, 9);
    CHECK_EQ(mm_read(c.mm, PLACE, &v, 1), 1);
    CHECK_EQ(v, 7);
    CHECK_EQ(mm_read(c.mm, PLACE + 0x1000, &v, 1), 0);
    CHECK_EQ(mm_read(c.mm, PLACE + 0x2000, &v, 1), 1);
    CHECK_EQ(v, 0);
    uctx_set_result(c.ctx, 0);
    CHECK_EQ(run(&c, &nfaults, &code), 7);
    CHECK_EQ(run(&g, &nfaults, &code), 9);
    /* A seam on the host that the tree does not have: the child's copy joined with new memory. */
    CHECK_EQ(mm_unmap(c.mm, NULL, PLACE + 0x1000, 0x3000), 0);
    CHECK_EQ(map_at(c.mm, PLACE + 0x1000, 0x3000, RW, ANON | LX_MAP_FIXED), PLACE + 0x1000);
    v = 5;
    CHECK_EQ(mm_write(c.mm, PLACE + 0x1000, &v, 1), 1);
    CHECK_EQ(mm_remap(c.mm, PLACE, 0x4000, 0x8000, LX_MREMAP_MAYMOVE | LX_MREMAP_FIXED,
                      PLACE + 0x100000),
             PLACE + 0x100000);
    CHECK_EQ(mm_read(c.mm, PLACE + 0x100000, &v, 1), 1);
    CHECK_EQ(v, 7);
    CHECK_EQ(mm_read(c.mm, PLACE + 0x101000, &v, 1), 1);
    CHECK_EQ(v, 5);
    mm_use(NULL, NULL);
    uctx_free(c.ctx);
    mm_put(c.mm);
    done(&g);
}

TEST(big_reservations)
{
    struct guest g;
    GUEST(&g, peek);
    CHECK_EQ(map_at(g.mm, 0, 20UL << 40, RW, ANON), -LX_ENOMEM);
    s64 p = map_at(g.mm, 0, 20UL << 40, LX_PROT_NONE, ANON);
    CHECK(p > 0);
    CHECK_EQ(mm_unmap(g.mm, NULL, (u64)p, 20UL << 40), 0);
    p = map_at(g.mm, 0, 1UL << 40, RW, ANON | LX_MAP_NORESERVE);
    CHECK(p > 0);
    CHECK_EQ(mm_unmap(g.mm, NULL, (u64)p, 1UL << 40), 0);
    char c = 1;
    CHECK_EQ(map_at(g.mm, PLACE, 0x1000, LX_PROT_READ, ANON | LX_MAP_FIXED), PLACE);
    CHECK_EQ(mm_write(g.mm, PLACE, &c, 1), 0);
    CHECK_EQ(mm_write_force(g.mm, PLACE, &c, 1), 1);
    CHECK_EQ(mm_protect(g.mm, NULL, PLACE, 0x1000, LX_PROT_NONE), 0);
    c = 0;
    CHECK_EQ(mm_read(g.mm, PLACE, &c, 1), 0);
    CHECK_EQ(mm_read_force(g.mm, PLACE, &c, 1), 1);
    CHECK_EQ(c, 1);
    CHECK_EQ(aspace_membarrier(g.mm->as, 16, 0, 0), 0);
    CHECK_EQ(aspace_membarrier(g.mm->as, 8, 0, 0), 0);
    done(&g);
}

TEST(batches)
{
    struct guest g;
    char c = 0;
    GUEST(&g, peek);
    CHECK_EQ(aspace_batch_begin(g.mm->as), 0);
    for (u64 i = 0; i < 150; i++)
        CHECK_EQ(map_at(g.mm, PLACE + i * 0x2000, 0x1000, RW, ANON | LX_MAP_FIXED),
                 PLACE + i * 0x2000);
    CHECK_EQ(mm_write(g.mm, PLACE + 149 * 0x2000, "x", 1), 1);
    CHECK_EQ(mm_protect(g.mm, NULL, PLACE, 0x1000, LX_PROT_READ), 0);
    CHECK_EQ(map_at(g.mm, PLACE + 0x400000, 0x1000, RW, ANON | LX_MAP_FIXED), PLACE + 0x400000);
    CHECK_EQ(aspace_batch_end(g.mm->as), 0);
    CHECK_EQ(mm_read(g.mm, PLACE + 0x400000, &c, 1), 1);
    CHECK_EQ(aspace_batch_begin(g.mm->as), 0);
    CHECK_EQ(aspace_map(g.mm->as, NULL, PLACE, 0x1000, RW, ASPACE_PRIVATE_FILE, 0, 9999, 0), 0);
    CHECK_EQ(map_at(g.mm, PLACE + 0x500000, 0x1000, RW, ANON | LX_MAP_FIXED), PLACE + 0x500000);
    CHECK_EQ(aspace_batch_end(g.mm->as), -LX_EBADF);
    done(&g);
}
