/*
 * The stub's seccomp filter. One for all, installed once in the zygote and
 * inherited: a filter of its own for each application thread would cost 40 µs
 * a thread, and the host kernel's allocator of filters can deadlock when
 * thousands are freed at once, which a guest that forks could bring about.
 *
 * Whatever the application does, it can at most jump at the stub's own
 * `syscall` instruction with registers of its choice: app_rules is the
 * complete list of what that can reach. The helper's rules ask for 64 random bits that only
 * the helper's registers hold, in an argument that the call ignores.
 *
 * No default kills: a trap is how a system call reaches the Sentry at all.
 */
#include <linux/sched.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>

#include "abi/errno.h"
#include "abi/nr.h"
#include "host/seccomp.h"
#include "platform/filters.h"
#include "platform/internal.h"

#define FROM_TEXT .ip_min = STUB_TEXT, .ip_end = STUB_CONST

#define BIT(n) (1UL << (n))

/* The advice that threads may give: never REMOVE, HWPOISON or what changes forks and dumps. */
#define ADVICES                                                                                    \
    (BIT(MADV_NORMAL) | BIT(MADV_RANDOM) | BIT(MADV_SEQUENTIAL) | BIT(MADV_WILLNEED) |             \
     BIT(MADV_DONTNEED) | BIT(MADV_FREE) | BIT(MADV_HUGEPAGE) | BIT(MADV_NOHUGEPAGE))

static const struct seccomp_rule app_rules[] = {
    /* Left out where the host lets programs use FSGSBASE. ARCH_SET_GS, ARCH_SET_FS. */
    {.nr = LX_NR_arch_prctl, .conds = {{0, SECCOMP_ONE_OF, BIT(1) | BIT(2), ~0x1000UL}}, FROM_TEXT},
    /* WAIT, WAKE, REQUEUE, CMP_REQUEUE, WAKE_OP, WAIT_BITSET, WAKE_BITSET. */
    {.nr = LX_NR_futex,
     .conds = {{1, SECCOMP_ONE_OF, BIT(0) | BIT(1) | BIT(3) | BIT(4) | BIT(5) | BIT(9) | BIT(10),
                ~0x180UL}},
     FROM_TEXT},
    {.nr = LX_NR_rt_sigreturn, FROM_TEXT},
    {.nr = LX_NR_sched_yield, FROM_TEXT},
    {.nr = LX_NR_exit, FROM_TEXT},
    {.nr = LX_NR_sigaltstack, FROM_TEXT},
    {.nr = LX_NR_rt_sigprocmask, FROM_TEXT},
    {.nr = LX_NR_clock_gettime, .conds = {{0, SECCOMP_ONE_OF, BIT(2) | BIT(3), ~0UL}}, FROM_TEXT},
    /* Waits only, on words of the thread's own address space. */
    {.nr = LX_NR_futex_waitv, FROM_TEXT},
    /* What the host writes there, and where it goes on, is the thread's own memory. */
    {.nr = LX_NR_rseq, FROM_TEXT},
    /* The last NR_MM_RULES are left out with --mm=helper. */
    {.nr = LX_NR_mmap,
     .conds = {{0, SECCOMP_GE, PLATFORM_MIN, 0},
               {2, SECCOMP_LE, 7, 0},
               {3, SECCOMP_MASKED_EQ, MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS,
                ~(u64)MAP_NORESERVE}},
     FROM_TEXT},
    {.nr = LX_NR_munmap, .conds = {{0, SECCOMP_GE, PLATFORM_MIN, 0}}, FROM_TEXT},
    {.nr = LX_NR_mprotect,
     .conds = {{0, SECCOMP_GE, PLATFORM_MIN, 0}, {2, SECCOMP_LE, 7, 0}},
     FROM_TEXT},
    {.nr = LX_NR_madvise,
     .conds = {{0, SECCOMP_GE, PLATFORM_MIN, 0}, {2, SECCOMP_ONE_OF, ADVICES, ~0UL}},
     FROM_TEXT},
};
#define NR_MM_RULES 4

/* The secret is put in at start-up: r9 is the argument that these calls do not use. */
#define SECRET                                                                                     \
    {                                                                                              \
        5, SECCOMP_EQ, 0, 0                                                                        \
    }

static struct seccomp_rule helper_rules[] = {
    {.nr = LX_NR_mmap,
     .conds = {{3, SECCOMP_MASKED_EQ, 0, 0xffffffff00000000UL},
               {4, SECCOMP_MASKED_EQ, 0, 0xffffffff00000000UL}},
     FROM_TEXT},
    {.nr = LX_NR_munmap, .conds = {SECRET}, FROM_TEXT},
    {.nr = LX_NR_mprotect, .conds = {SECRET}, FROM_TEXT},
    {.nr = LX_NR_madvise, .conds = {SECRET}, FROM_TEXT},
    /* Eight constant bytes in the text, to the eventfd that the order page names. */
    {.nr = LX_NR_write, .conds = {SECRET, {1, SECCOMP_EQ, 0, 0}, {2, SECCOMP_EQ, 8, 0}}, FROM_TEXT},
    {.nr = LX_NR_sched_setaffinity, .conds = {SECRET, {0, SECCOMP_EQ, 0, 0}}, FROM_TEXT},
    {.nr = LX_NR_clone, .conds = {SECRET, {0, SECCOMP_EQ, FORK_FLAGS, 0}}, FROM_TEXT},
    {.nr = LX_NR_clone, .conds = {SECRET, {0, SECCOMP_EQ, THREAD_FLAGS, 0}}, FROM_TEXT},
    {.nr = LX_NR_prctl,
     .conds = {SECRET, {0, SECCOMP_EQ, 1 /* PR_SET_PDEATHSIG */, 0}, {1, SECCOMP_EQ, 9, 0}},
     FROM_TEXT},
    {.nr = LX_NR_mremap, .conds = {SECRET}, FROM_TEXT},
    {.nr = LX_NR_mincore, .conds = {SECRET}, FROM_TEXT},
    {.nr = LX_NR_msync, .conds = {SECRET}, FROM_TEXT},
    {.nr = LX_NR_getrusage, .conds = {SECRET, {0, SECCOMP_EQ, 0 /* RUSAGE_SELF */, 0}}, FROM_TEXT},
    {.nr = LX_NR_mlock, .conds = {SECRET}, FROM_TEXT},
    {.nr = LX_NR_mlock2, .conds = {SECRET}, FROM_TEXT},
    {.nr = LX_NR_munlock, .conds = {SECRET}, FROM_TEXT},
    {.nr = LX_NR_membarrier, .conds = {SECRET}, FROM_TEXT},
    {.nr = LX_NR_exit_group, .conds = {SECRET}, FROM_TEXT},
};

static size_t first_app_rule(void)
{
    return platform_has_fsgsbase() ? 1 : 0;
}

static size_t nr_app_rules(void)
{
    return ARRAY_SIZE(app_rules) - (platform_cfg.is_helper_mm_only ? NR_MM_RULES : 0);
}

bool filter_allows_advice(int advice)
{
    return advice >= 0 && advice < 32 && (ADVICES & BIT(advice));
}

int filters_build(u64 secret, struct sock_filter *ret_insns, size_t cap)
{
    struct seccomp_rule rules[ARRAY_SIZE(app_rules) + ARRAY_SIZE(helper_rules)];
    size_t n = 0;
    for (size_t i = first_app_rule(); i < nr_app_rules(); i++)
        rules[n++] = app_rules[i];
    for (size_t i = 0; i < ARRAY_SIZE(helper_rules); i++) {
        struct seccomp_rule *r = &rules[n++];
        *r = helper_rules[i];
        if (r->nr == LX_NR_mmap) {
            r->conds[0].value = secret << 32;
            r->conds[1].value = secret & 0xffffffff00000000UL;
        } else {
            r->conds[0].value = secret;
        }
        if (r->nr == LX_NR_write)
            r->conds[1].value = platform_stub.one;
    }
    return seccomp_compile(rules, n, SECCOMP_RET_TRAP, ret_insns, cap);
}

void platform_filters_dump(int fd, const char *(*name_of)(u32 nr))
{
    seccomp_print(fd, "stub, every thread", app_rules + first_app_rule(),
                  nr_app_rules() - first_app_rule(), SECCOMP_RET_TRAP, name_of);
    seccomp_print(
        fd,
        "stub, helper thread in addition: only with its secret in arg5 (for mmap in the high "
        "halves of arg3 and arg4), shown as 0",
        helper_rules, ARRAY_SIZE(helper_rules), SECCOMP_RET_TRAP, name_of);
}
