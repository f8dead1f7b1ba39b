/*
 * The stub's two seccomp filters. Every thread of a stub has the helper's
 * (inherited from the zygote); application threads add the strict one before
 * application code runs. Whatever the application does, it can at most jump at
 * the stub's own `syscall` instruction with registers of its choice: the
 * strict filter is the complete list of what that can reach.
 *
 * No default kills: filters stack and the most severe action wins, and a trap
 * is how a system call reaches the Sentry at all.
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
    /* WAIT, WAKE, WAIT_BITSET, WAKE_BITSET; private or not, either clock. */
    {.nr = LX_NR_futex,
     .conds = {{1, SECCOMP_ONE_OF, BIT(0) | BIT(1) | BIT(9) | BIT(10), ~0x180UL}},
     FROM_TEXT},
    {.nr = LX_NR_rt_sigreturn, FROM_TEXT},
    {.nr = LX_NR_sched_yield, FROM_TEXT},
    {.nr = LX_NR_exit, FROM_TEXT},
    {.nr = LX_NR_sigaltstack, FROM_TEXT},
    {.nr = LX_NR_rt_sigprocmask, FROM_TEXT},
    {.nr = LX_NR_clock_gettime, .conds = {{0, SECCOMP_ONE_OF, BIT(2) | BIT(3), ~0UL}}, FROM_TEXT},
    /* The rest is left out with --mm=helper. */
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
#define NR_APP_RULES_NO_MM 7

static struct seccomp_rule helper_rules[] = {
    {.nr = LX_NR_futex, FROM_TEXT},
    {.nr = LX_NR_rt_sigreturn, FROM_TEXT},
    {.nr = LX_NR_rt_sigprocmask, FROM_TEXT},
    {.nr = LX_NR_sched_yield, FROM_TEXT},
    {.nr = LX_NR_clock_gettime, FROM_TEXT},
    {.nr = LX_NR_mmap, FROM_TEXT},
    {.nr = LX_NR_munmap, FROM_TEXT},
    {.nr = LX_NR_mprotect, FROM_TEXT},
    {.nr = LX_NR_madvise, FROM_TEXT},
    {.nr = LX_NR_mremap, FROM_TEXT},
    {.nr = LX_NR_mincore, FROM_TEXT},
    {.nr = LX_NR_msync, FROM_TEXT},
    {.nr = LX_NR_mlock, FROM_TEXT},
    {.nr = LX_NR_mlock2, FROM_TEXT},
    {.nr = LX_NR_munlock, FROM_TEXT},
    {.nr = LX_NR_clone, .conds = {{0, SECCOMP_EQ, FORK_FLAGS, 0}}, FROM_TEXT},
    {.nr = LX_NR_clone, .conds = {{0, SECCOMP_EQ, THREAD_FLAGS, 0}}, FROM_TEXT},
    {.nr = LX_NR_seccomp,
     .conds = {{0, SECCOMP_EQ, SECCOMP_SET_MODE_FILTER, 0},
               {1, SECCOMP_EQ, 0, 0},
               {2, SECCOMP_EQ, STUB_CONST + CST_FPROG_APP, 0}},
     FROM_TEXT},
    {.nr = LX_NR_prctl,
     .conds = {{0, SECCOMP_EQ, 1 /* PR_SET_PDEATHSIG */, 0}, {1, SECCOMP_EQ, 9, 0}},
     FROM_TEXT},
    {.nr = LX_NR_sigaltstack, FROM_TEXT},
    {.nr = LX_NR_membarrier, FROM_TEXT},
    {.nr = LX_NR_sched_setaffinity, .conds = {{0, SECCOMP_EQ, 0, 0}}, FROM_TEXT},
    /* Eight constant bytes in the text, to the eventfd that the order page names. */
    {.nr = LX_NR_write, .conds = {{1, SECCOMP_EQ, 0, 0}, {2, SECCOMP_EQ, 8, 0}}, FROM_TEXT},
    {.nr = LX_NR_exit, FROM_TEXT},
    {.nr = LX_NR_exit_group, FROM_TEXT},
};

static size_t nr_app_rules(void)
{
    return platform_cfg.is_helper_mm_only ? NR_APP_RULES_NO_MM : ARRAY_SIZE(app_rules);
}

bool filter_allows_advice(int advice)
{
    return advice >= 0 && advice < 32 && (ADVICES & BIT(advice));
}

int filters_write(struct stub_const *c)
{
    size_t room =
        (STUB_CONST_SIZE - 256 - offsetof(struct stub_const, filters)) / sizeof(struct sock_filter);
    struct sock_filter *insns = (struct sock_filter *)(void *)c->filters;
    u64 at = STUB_CONST + offsetof(struct stub_const, filters);
    for (size_t i = 0; i < ARRAY_SIZE(helper_rules); i++)
        if (helper_rules[i].nr == LX_NR_write)
            helper_rules[i].conds[0].value = platform_stub.one;
    int nhelper =
        seccomp_compile(helper_rules, ARRAY_SIZE(helper_rules), SECCOMP_RET_TRAP, insns, room);
    if (nhelper < 0)
        return nhelper;
    int napp = seccomp_compile(app_rules, nr_app_rules(), SECCOMP_RET_TRAP, insns + nhelper,
                               room - (size_t)nhelper);
    if (napp < 0)
        return napp;
    c->helper = (struct stub_fprog){(u16)nhelper, at};
    c->app = (struct stub_fprog){(u16)napp, at + (u64)nhelper * sizeof(*insns)};
    return 0;
}

void platform_filters_dump(int fd, const char *(*name_of)(u32 nr))
{
    seccomp_print(fd, "stub, every thread", helper_rules, ARRAY_SIZE(helper_rules),
                  SECCOMP_RET_TRAP, name_of);
    seccomp_print(fd, "stub, application threads in addition", app_rules, nr_app_rules(),
                  SECCOMP_RET_TRAP, name_of);
}
