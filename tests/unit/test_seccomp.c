/*
 * Filters, judged by an interpreter of their own programs: what is allowed and
 * what is not, without installing anything.
 */
#include "test.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <sched.h>
#include <sys/mman.h>

#include "abi/nr.h"
#include "host/seccomp.h"
#include "platform/internal.h"

static u32 load(const struct seccomp_data *d, u32 off)
{
    u32 v;
    CHECK(off % 4 == 0 && off + 4 <= sizeof(*d));
    memcpy(&v, (const u8 *)d + off, 4);
    return v;
}

static u32 run(const struct sock_filter *f, int n, const struct seccomp_data *d)
{
    u32 a = 0, x = 0;
    for (int pc = 0; pc < n; pc++) {
        u32 k = f[pc].k;
        bool is_true;
        switch (f[pc].code) {
        case BPF_LD | BPF_W | BPF_ABS:
            a = load(d, k);
            continue;
        case BPF_LD | BPF_IMM:
            a = k;
            continue;
        case BPF_MISC | BPF_TAX:
            x = a;
            continue;
        case BPF_ALU | BPF_AND | BPF_K:
            a &= k;
            continue;
        case BPF_ALU | BPF_LSH | BPF_X:
            a = x < 32 ? a << x : 0;
            continue;
        case BPF_RET | BPF_K:
            return k;
        case BPF_JMP | BPF_JEQ | BPF_K:
            is_true = a == k;
            break;
        case BPF_JMP | BPF_JGT | BPF_K:
            is_true = a > k;
            break;
        case BPF_JMP | BPF_JGE | BPF_K:
            is_true = a >= k;
            break;
        case BPF_JMP | BPF_JSET | BPF_K:
            is_true = (a & k) != 0;
            break;
        default:
            CHECK(!"an unknown instruction");
            return 0;
        }
        pc += is_true ? f[pc].jt : f[pc].jf;
        CHECK(pc < n);
    }
    CHECK(!"ran off the end");
    return 0;
}

static struct sock_filter prog[BPF_MAXINSNS];
static int prog_size;

static bool allows_from(u64 ip, u32 nr, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f)
{
    struct seccomp_data data = {(int)nr, AUDIT_ARCH_X86_64, ip, {a, b, c, d, e, f}};
    u32 r = run(prog, prog_size, &data);
    CHECK(r == SECCOMP_RET_ALLOW || r == SECCOMP_RET_TRAP);
    return r == SECCOMP_RET_ALLOW;
}

TEST(conditions)
{
    const struct seccomp_rule rules[] = {
        {.nr = 1, .conds = {{0, SECCOMP_EQ, 0x100000002UL, 0}}},
        {.nr = 2, .conds = {{0, SECCOMP_LE, 0x200000005UL, 0}}},
        {.nr = 3, .conds = {{1, SECCOMP_GE, 0x200000005UL, 0}}},
        {.nr = 4, .conds = {{0, SECCOMP_MASKED_EQ, 0x10, 0xfffffffffffffff0UL}}},
        {.nr = 5, .conds = {{0, SECCOMP_EQ32, 7, 0}}},
        {.nr = 6, .conds = {{0, SECCOMP_ONE_OF, 0x80000009, ~0x100UL}}},
        {.nr = 7, .conds = {{0, SECCOMP_LE, 7, 0}, {1, SECCOMP_GE, 0x100000000UL, 0}}},
        {.nr = 7, .conds = {{0, SECCOMP_EQ, 9, 0}}},
        {.nr = 8},
        {.nr = 9, .ip_min = 0x1000, .ip_end = 0x2000},
    };
    prog_size = seccomp_compile(rules, ARRAY_SIZE(rules), SECCOMP_RET_TRAP, prog, ARRAY_SIZE(prog));
    CHECK(prog_size > 0);
#define A(nr, a, b) allows_from(0x555555555555UL, nr, a, b, 0, 0, 0, 0)
    CHECK(A(1, 0x100000002UL, 0) && !A(1, 2, 0) && !A(1, 0x100000003UL, 0));
    CHECK(A(2, 0x200000005UL, 0) && A(2, 0x1ffffffffUL, 0) && A(2, 0, 0));
    CHECK(!A(2, 0x200000006UL, 0) && !A(2, 0x300000000UL, 0) && !A(2, ~0UL, 0));
    CHECK(A(3, 0, 0x200000005UL) && A(3, 0, 0x300000000UL) && A(3, 0, ~0UL));
    CHECK(!A(3, 0, 0x200000004UL) && !A(3, 0, 0x1ffffffffUL) && !A(3, 0, 0));
    CHECK(A(4, 0x1f, 0) && !A(4, 0x20, 0) && !A(4, 0x10000001fUL, 0));
    CHECK(A(5, 7, 0) && A(5, 0xf00000007UL, 0) && !A(5, 8, 0));
    CHECK(A(6, 0, 0) && A(6, 3, 0) && A(6, 31, 0) && A(6, 0x103, 0));
    CHECK(!A(6, 1, 0) && !A(6, 32, 0) && !A(6, 0x203, 0) && !A(6, 0x100000003UL, 0));
    CHECK(A(7, 7, 0x100000000UL) && !A(7, 7, 5) && A(7, 9, 0) && !A(7, 8, 0x100000000UL));
    CHECK(A(8, 0, 0) && !A(9, 0, 0) && !A(10, 0, 0));
    CHECK(allows_from(0x1000, 9, 0, 0, 0, 0, 0, 0) && !allows_from(0x2000, 9, 0, 0, 0, 0, 0, 0));
    CHECK(!allows_from(0x100001000UL, 9, 0, 0, 0, 0, 0, 0));
    struct seccomp_data other = {8, AUDIT_ARCH_I386, 0, {0}};
    CHECK_EQ(run(prog, prog_size, &other), SECCOMP_RET_TRAP);
}

#define IP         (STUB_TEXT + 0x123UL)
#define SECRET     0x1122334455667788UL
#define S(nr, ...) allows_from(IP, LX_NR_##nr, __VA_ARGS__)
#define HIGH       0x700000000000UL
#define ANON       (MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS)

TEST(stub_application)
{
    prog_size = filters_build(SECRET, prog, ARRAY_SIZE(prog));
    CHECK(prog_size > 0);
    CHECK(S(mmap, HIGH, 4096, 7, ANON, ~0UL, 0));
    CHECK(S(mmap, HIGH, 4096, 7, ANON | MAP_NORESERVE, ~0UL, 0));
    CHECK(!allows_from(HIGH, LX_NR_mmap, HIGH, 4096, 7, ANON, ~0UL, 0));
    CHECK(!S(mmap, 0x60000000, 4096, 7, ANON, ~0UL, 0));
    CHECK(!S(mmap, HIGH, 4096, 8, ANON, ~0UL, 0));
    CHECK(!S(mmap, HIGH, 4096, 7, MAP_PRIVATE | MAP_FIXED, 3, 0));
    CHECK(!S(mmap, HIGH, 4096, 7, MAP_SHARED | MAP_FIXED | MAP_ANONYMOUS, ~0UL, 0));
    CHECK(!S(mmap, HIGH, 4096, 7, MAP_PRIVATE | MAP_ANONYMOUS, ~0UL, 0));
    CHECK(S(munmap, HIGH, 4096, 0, 0, 0, 0) && !S(munmap, 0x80000000UL, 4096, 0, 0, 0, 0));
    CHECK(S(mprotect, HIGH, 4096, 7, 0, 0, 0) && !S(mprotect, 0x60020000, 4096, 3, 0, 0, 0));
    CHECK(!S(mprotect, HIGH, 4096, 0x1000003, 0, 0, 0));
    CHECK(S(madvise, HIGH, 4096, MADV_DONTNEED, 0, 0, 0));
    CHECK(!S(madvise, HIGH, 4096, 9 /* REMOVE */, 0, 0, 0));
    CHECK(!S(madvise, HIGH, 4096, 100 /* HWPOISON */, 0, 0, 0));
    CHECK(!S(madvise, HIGH, 4096, MADV_DONTFORK, 0, 0, 0));
    CHECK(S(futex, HIGH, 128, 0, 0, 0, 0) && S(futex, HIGH, 9 | 128 | 256, 0, 0, 0, 0));
    CHECK(!S(futex, HIGH, 6, 0, 0, 0, 0) && !S(futex, HIGH, 11, 0, 0, 0, 0));
    CHECK(S(rt_sigreturn, 0, 0, 0, 0, 0, 0) && S(exit, 0, 0, 0, 0, 0, 0));
    CHECK(S(clock_gettime, 3, 0, 0, 0, 0, 0) && !S(clock_gettime, 1, 0, 0, 0, 0, 0));
}

/* Every call but the application's needs the secret; and no other value will do. */
TEST(stub_helper)
{
    prog_size = filters_build(SECRET, prog, ARRAY_SIZE(prog));
    const u64 shared = MAP_SHARED | MAP_FIXED, lo = SECRET << 32, hi = SECRET >> 32 << 32;
    CHECK(S(mmap, 0x60020000, 4096, 1, shared | lo, 5 | hi, 0));
    CHECK(!S(mmap, 0x60020000, 4096, 1, shared, 5, 0));
    CHECK(!S(mmap, 0x60020000, 4096, 1, shared | lo, 5, 0));
    CHECK(!S(mmap, 0x60020000, 4096, 1, shared, 5 | hi, 0));
    CHECK(S(munmap, 0x80000000UL, 4096, 0, 0, 0, SECRET));
    CHECK(S(clone, FORK_FLAGS, 0, 0, 0, 0, SECRET) && S(clone, THREAD_FLAGS, 0, 0, 0, 0, SECRET));
    CHECK(!S(clone, FORK_FLAGS, 0, 0, 0, 0, 0) && !S(clone, 17, 0, 0, 0, 0, SECRET));
    CHECK(S(write, 5, platform_stub.one, 8, 0, 0, SECRET));
    CHECK(!S(write, 5, platform_stub.one, 8, 0, 0, 0) && !S(write, 5, HIGH, 8, 0, 0, SECRET));
    CHECK(S(sched_setaffinity, 0, 128, 0, 0, 0, SECRET));
    CHECK(!S(sched_setaffinity, 1, 128, 0, 0, 0, SECRET));
    CHECK(!S(seccomp, 1, 0, 0, 0, 0, SECRET));
    const u64 wrong[] = {0, SECRET + 1, SECRET ^ (1UL << 63), (u32)SECRET, SECRET << 32};
    for (u32 nr = 0; nr < 512; nr++) {
        bool is_app = nr == LX_NR_futex || nr == LX_NR_rt_sigreturn || nr == LX_NR_sched_yield ||
                      nr == LX_NR_exit || nr == LX_NR_sigaltstack || nr == LX_NR_rt_sigprocmask ||
                      nr == LX_NR_futex_waitv || nr == LX_NR_rseq;
        for (u32 i = 0; i < ARRAY_SIZE(wrong); i++) {
            bool is_allowed = allows_from(IP, nr, 0x60020000, 1, 8, shared, 5, wrong[i]);
            CHECK(!is_allowed || is_app);
        }
        /* From other text nothing at all, secret or not. */
        CHECK(!allows_from(HIGH, nr, HIGH, 4096, 3, ANON | lo, hi, SECRET));
    }
}
