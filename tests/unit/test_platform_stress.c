/*
 * The platform under load and attack. PLATFORM_STRESS_SECONDS sets how long the
 * stress runs (default 4). At the end no process of ours may be left.
 */
#include "test.h"

#include <stdatomic.h>
#include <sys/wait.h>

#include "platform_util.h"

static double stress_seconds(void)
{
    const char *s = getenv("PLATFORM_STRESS_SECONDS");
    return s ? atof(s) : 4;
}

/* A thread's work, by r12: calls that check what comes back, in-stub calls, faults, forks. */
SNIPPET(work,
        "1: mov $1000,%eax\n lea (%r12,%r13),%rdi\n mov %r12,%rsi\n movq %r12,%xmm7\n syscall\n"
        "lea 1(%r13),%rcx\n cmp %rcx,%rax\n jne 9f\n movq %xmm7,%rcx\n cmp %rcx,%r12\n jne 9f\n"
        "mov %rax,%r13\n"
        "mov $39,%eax\n syscall\n cmp $77,%eax\n jne 9f\n"
        "mov %r13,%rax\n and $7,%eax\n cmp $3,%eax\n jne 2f\n"
        "movb $1,(%r14)\n" /* faults; skipped by the other side */
        "2: mov %r13,%rax\n and $63,%eax\n cmp $11,%eax\n jne 3f\n"
        "mov $57,%eax\n syscall\n test %rax,%rax\n jz 8f\n"
        "3: mov $24,%eax\n syscall\n jmp 1b\n"
        "8: mov $39,%eax\n syscall\n mov $60,%eax\n mov %r13,%rdi\n syscall\n"
        "9: ud2\n");

struct worker {
    struct aspace *as;
    struct uctx *ctx;
    u64 id, count;
    long ncalls, nfaults, nkicks, nforks;
    int is_bad, is_dead, is_done;
    struct uevent last;
};

static atomic_int is_stopping;
static atomic_long child_exits;

static void run_child(struct aspace *as, struct uctx *ctx, u64 want, int is_killing)
{
    struct uevent ev;
    for (;;) {
        uctx_run(ctx, &ev);
        if (ev.kind == UEV_KICK)
            continue;
        if (ev.kind == UEV_SYSCALL && ev.nr == 39) {
            if (is_killing)
                aspace_kill(as);
            uctx_set_result(ctx, 78);
            continue;
        }
        break;
    }
    if ((ev.kind == UEV_SYSCALL && ev.nr == 60 && ev.args[0] == want) ||
        (is_killing && ev.kind == UEV_DEAD && ev.wait_status == SIGKILL))
        atomic_fetch_add(&child_exits, 1);
    uctx_free(ctx);
    aspace_put(as);
}

static void *run_worker(void *arg)
{
    struct worker *w = arg;
    struct uevent ev;
    while (!atomic_load(&is_stopping) && !w->is_bad && !w->is_dead) {
        uctx_run(w->ctx, &ev);
        switch (ev.kind) {
        case UEV_KICK:
            w->nkicks++;
            if (w->nkicks % 3 == 0)
                uctx_regs_changed(w->ctx);
            break;
        case UEV_SYSCALL:
            if (ev.nr == 1000) {
                w->is_bad |= ev.args[0] != w->id + w->count || ev.args[1] != w->id;
                w->ncalls++;
                w->count++;
                uctx_set_result(w->ctx, (s64)w->count);
            } else if (ev.nr == 39) {
                uctx_set_result(w->ctx, 77);
            } else if (ev.nr == 24) {
                uctx_set_result(w->ctx, 0);
            } else if (ev.nr == 57) {
                struct aspace *as;
                struct uctx *ctx;
                int r = aspace_fork(w->as, w->ctx, &as, &ctx);
                uctx_set_result(w->ctx, 5);
                if (r < 0)
                    break;
                w->nforks++;
                uctx_set_result(ctx, 0);
                run_child(as, ctx, w->count, w->nforks % 4 == 1);
            } else {
                w->is_bad = 1;
            }
            break;
        case UEV_FAULT:
            if (ev.signo != SIGSEGV || ev.addr != 0x12345678000UL || ev.code != SEGV_MAPERR) {
                w->is_bad = 1;
                break;
            }
            w->nfaults++;
            uctx_regs(w->ctx)->rip += 4;
            uctx_regs_changed(w->ctx);
            break;
        case UEV_DEAD:
            w->is_dead = 1;
            break;
        default:
            w->is_bad = 1;
        }
        w->last = ev;
    }
    w->is_done = 1;
    return NULL;
}

#define NSPACES 8
#define NEACH   8

TEST(stress)
{
    static struct worker w[NSPACES][NEACH];
    static pthread_t t[NSPACES][NEACH];
    struct aspace_ids ids = {.pid = 77};
    unsigned seed = 1;
    long ndeaths = 0, ncalls = 0, nfaults = 0, nkicks = 0, nforks = 0;
    int nbad = 0;
    for (int i = 0; i < NSPACES; i++) {
        struct aspace *as = SPACE(work);
        aspace_set_ids(as, &ids);
        for (int j = 0; j < NEACH; j++) {
            struct uctx *ctx = thread_at(as, TEXT_START);
            struct uregs *r = uctx_regs(ctx);
            w[i][j] = (struct worker){.as = as, .ctx = ctx, .id = 1000 * (u64)(i * NEACH + j + 1)};
            r->r12 = w[i][j].id;
            r->r13 = 0;
            r->r14 = 0x12345678000UL;
            uctx_regs_changed(ctx);
            pthread_create(&t[i][j], NULL, run_worker, &w[i][j]);
        }
    }
    double end = seconds() + stress_seconds();
    while (seconds() < end) {
        usleep(200);
        int i = rand_r(&seed) % NSPACES, j = rand_r(&seed) % NEACH;
        uctx_kick(w[i][j].ctx);
        if (rand_r(&seed) % 2000 == 0 && i >= NSPACES / 2) {
            aspace_kill(w[i][0].as);
            ndeaths++;
        }
    }
    atomic_store(&is_stopping, 1);
    for (int i = 0; i < NSPACES; i++)
        for (int j = 0; j < NEACH; j++)
            while (!w[i][j].is_done) {
                uctx_kick(w[i][j].ctx);
                usleep(1000);
            }
    for (int i = 0; i < NSPACES; i++) {
        for (int j = 0; j < NEACH; j++) {
            struct worker *x = &w[i][j];
            pthread_join(t[i][j], NULL);
            if (x->is_bad && nbad++ < 5) {
                struct uregs *r = uctx_regs(x->ctx);
                fprintf(stderr,
                        "space %d thread %d: kind %d nr %u signo %d code %d addr %lx args %lx %lx "
                        "count %lu rip %lx rax %lx r13 %lx\n",
                        i, j, x->last.kind, x->last.nr, x->last.signo, x->last.code, x->last.addr,
                        x->last.args[0], x->last.args[1], x->count, r->rip, r->rax, r->r13);
            }
            if (x->is_dead && i < NSPACES / 2 && nbad++ < 5)
                fprintf(stderr, "space %d died: %x\n", i, x->last.wait_status);
            ncalls += x->ncalls;
            nfaults += x->nfaults;
            nkicks += x->nkicks;
            nforks += x->nforks;
        }
        struct aspace *as = w[i][0].as;
        for (int j = 0; j < NEACH; j++)
            uctx_free(w[i][j].ctx);
        aspace_put(as);
    }
    printf("# %ld calls, %ld faults, %ld kicks, %ld forks (%ld ended well), %ld kills\n", ncalls,
           nfaults, nkicks, nforks, atomic_load(&child_exits), ndeaths);
    CHECK_EQ(nbad, 0);
    CHECK(ncalls > 1000 && nfaults > 100 && nkicks > 10 && nforks > 10);
    CHECK_EQ(nforks, atomic_load(&child_exits));
}

#ifndef UNSAFE_SUD /* without a filter these calls would reach the host */

/*
 * A hostile program: a thread that jumps at the stub's own syscall instruction
 * with numbers and arguments of its choice, and one that scribbles over all
 * channels. A bystander process must not notice.
 */
SNIPPET(
    hostile, /* xorshift in r15; calls (r14) with random rax..r9 for ever */
    "1: mov %r15,%rax\n shl $13,%rax\n xor %rax,%r15\n mov %r15,%rax\n shr $7,%rax\n xor "
    "%rax,%r15\n"
    "mov %r15,%rax\n shl $17,%rax\n xor %rax,%r15\n"
    "mov %r15,%rax\n and $511,%eax\n"
    "mov %r15,%rdi\n shr $20,%rdi\n mov %r15,%rcx\n and $3,%ecx\n jnz 2f\n mov $0x100000000,%rdi\n"
    "2: cmp $1,%ecx\n jne 3f\n mov %r13,%rdi\n"
    "3: mov %r15,%rsi\n shr $12,%rsi\n and $0xffff,%esi\n mov %r15,%rdx\n shr $30,%rdx\n and "
    "$15,%edx\n"
    "mov $0x32,%r10d\n mov $-1,%r8\n xor %r9d,%r9d\n"
    "test %r12,%r12\n jnz 4f\n cmp $60,%eax\n je 1b\n cmp $202,%eax\n je 1b\n cmp $15,%eax\n je "
    "1b\n cmp $11,%eax\n je 1b\n "
    "cmp $9,%eax\n je 1b\n cmp $10,%eax\n je 1b\n cmp $131,%eax\n je 1b\n"
    "4: lea 1b(%rip),%rcx\n push %rcx\n jmp *%r14\n");
SNIPPET(scribble, "1: mov %r15,%rax\n shl $13,%rax\n xor %rax,%r15\n mov %r15,%rax\n shr $7,%rax\n "
                  "xor %rax,%r15\n"
                  "mov %r15,%rax\n shl $17,%rax\n xor %rax,%r15\n"
                  "mov %r15,%rax\n and $0x3f8,%eax\n mov %r15,(%r14,%rax)\n"
                  "mov $2000,%ecx\n 2: dec %ecx\n jnz 2b\n jmp 1b\n");

static void *run_hostile(void *arg)
{
    struct worker *w = arg;
    struct uevent ev;
    while (!atomic_load(&is_stopping)) {
        uctx_run(w->ctx, &ev);
        w->ncalls++;
        if (ev.kind == UEV_DEAD) {
            w->is_dead = 1;
            break;
        }
        if (ev.kind == UEV_FAULT) {
            w->nfaults++;
            struct uregs *r = uctx_regs(w->ctx);
            r->rip = TEXT_START;
            r->rsp = STACK + 0x8000;
            r->r13 = DATA;
            r->r15 |= 1;
            r->r14 = w->id;
            uctx_regs_changed(w->ctx);
        }
        uctx_set_result(w->ctx, -LX_ENOSYS);
    }
    w->is_done = 1;
    return NULL;
}

/* Where the stub's stub_syscall has its instruction: scanned for, as an attacker would. */
static u64 find_syscall(void)
{
    extern const unsigned char stub_image[];
    extern const unsigned long stub_image_size;
    for (unsigned long i = 200; i + 2 < stub_image_size; i++)
        if (stub_image[i] == 0x0f && stub_image[i + 1] == 0x05 && stub_image[i + 2] == 0xc3)
            return 0x60000000UL + i;
    return 0;
}

TEST(hostile)
{
    u64 at = find_syscall();
    CHECK(at != 0);
    struct aspace *good = SPACE(work);
    struct aspace_ids ids = {.pid = 77};
    aspace_set_ids(good, &ids);
    struct uctx *gctx = thread_at(good, TEXT_START);
    uctx_regs(gctx)->r12 = 5;
    uctx_regs(gctx)->r13 = 0;
    uctx_regs(gctx)->r14 = 0x12345678000UL;
    static struct worker g;
    g = (struct worker){.as = good, .ctx = gctx, .id = 5};
    pthread_t gt;
    atomic_store(&is_stopping, 0);
    pthread_create(&gt, NULL, run_worker, &g);
    double end = seconds() + stress_seconds();
    long nrounds = 0, nevents = 0, ndeaths = 0;
    size_t sum = 0;
    while (seconds() < end) {
        struct aspace *as = SPACE(hostile);
        static struct worker w[4];
        pthread_t t[4];
        int n = nrounds % 2 ? 4 : 2;
        char buf[256];
        memset(buf, 0xee, sizeof(buf));
        for (int i = 0; i < n; i++) {
            bool is_scribbler = i == n - 1;
            struct uctx *ctx = thread_at(as, is_scribbler ? CODE + 0x1000 : TEXT_START);
            struct uregs *r = uctx_regs(ctx);
            w[i] = (struct worker){.as = as, .ctx = ctx, .id = at};
            r->r15 = (u64)nrounds * 77 + (u64)i + 1;
            r->r14 = is_scribbler ? (nrounds % 3 == 0 ? 0x60022000UL : 0x80000000UL) : at;
            r->r13 = DATA;
            r->r12 = nrounds % 4 < 2; /* also what ends or loses the thread itself */
            uctx_regs_changed(ctx);
        }
        OK(aspace_write(as, NULL, CODE + 0x1000, scribble_begin,
                        (size_t)(scribble_end - scribble_begin)));
        for (int i = 0; i < n; i++)
            pthread_create(&t[i], NULL, run_hostile, &w[i]);
        for (int i = 0; i < 20; i++) {
            usleep(2000);
            sum += aspace_read(as, NULL, DATA, buf, sizeof(buf));
            sum += aspace_map(as, NULL, DATA + 0x100000, 0x1000, PROT_READ, ASPACE_PRIVATE_ANON, 0,
                              -1, 0) == 0;
            uctx_kick(w[0].ctx);
        }
        aspace_kill(as);
        for (int i = 0; i < n; i++) {
            pthread_join(t[i], NULL);
            nevents += w[i].ncalls;
            ndeaths += w[i].is_dead;
            uctx_free(w[i].ctx);
        }
        aspace_put(as);
        nrounds++;
        CHECK(!g.is_bad && !g.is_dead);
    }
    atomic_store(&is_stopping, 1);
    while (!g.is_done) {
        uctx_kick(gctx);
        usleep(1000);
    }
    pthread_join(gt, NULL);
    printf("# %ld rounds, %ld events, %ld ends; the bystander made %ld calls\n", nrounds, nevents,
           ndeaths, g.ncalls);
    CHECK(!g.is_bad && !g.is_dead);
    CHECK(g.ncalls > 100 && sum);
    uctx_free(gctx);
    aspace_put(good);
}

#endif

TEST(nothing_left)
{
    platform_shutdown();
    int status;
    CHECK_ERR(waitpid(-1, &status, __WALL | WNOHANG), ECHILD);
}
