/*
 * A tracee's debug registers (PTRACE_POKEUSER into u_debugreg).
 *
 * The host's registers cannot be reached from here, so a thread with breakpoints in
 * its registers runs in single steps, whose traps nobody sees unless one of them was
 * hit: an instruction address is reached, or the watched bytes are others after an
 * instruction. Where this differs from a processor: a write that changes nothing is not
 * noticed (debuggers drop these), a write by a system call is (it is not on
 * a processor that ignores its kernel's), and watching reads or I/O is refused as it
 * would be where no register is left: -LX_ENOSPC.
 */
#include <string.h>

#include "kern/ptrace.h"

#define EFLAGS_TF  0x100U
#define DR6_STEP   0x4000U
#define DR6_FIXED  0xffff0ff0U
#define DR7_FIXED  0x400U
#define DR7_GD     0x2000U
#define NDEBUG_ADDRS 4

enum dr_type { DR_EXECUTE, DR_WRITE, DR_IO, DR_READ_WRITE };

static bool is_enabled(u64 dr7, u32 i)
{
    return dr7 >> (2 * i) & 3;
}

static enum dr_type type_of(u64 dr7, u32 i)
{
    return dr7 >> (16 + 4 * i) & 3;
}

static u32 size_of(u64 dr7, u32 i)
{
    static const u8 sizes[] = {1, 2, 8, 4};
    return sizes[dr7 >> (18 + 4 * i) & 3];
}

static int check(const u64 *addr, u64 dr7)
{
    for (u32 i = 0; i < NDEBUG_ADDRS; i++) {
        if (!is_enabled(dr7, i))
            continue;
        u32 size = size_of(dr7, i);
        enum dr_type type = type_of(dr7, i);
        if (addr[i] % size || addr[i] >= PLATFORM_MAX || (type == DR_EXECUTE && size != 1))
            return -LX_EINVAL;
        if (type == DR_IO || type == DR_READ_WRITE)
            return -LX_ENOSPC;
    }
    return 0;
}

u64 ptrace_get_debugreg(const struct ptrace_state *ps, u32 n)
{
    if (n < NDEBUG_ADDRS)
        return ps->dr[n];
    return n == 6 ? ps->dr6 ^ DR6_FIXED : n == 7 ? ps->dr7 : 0;
}

int ptrace_set_debugreg(struct ptrace_state *ps, u32 n, u64 value)
{
    u64 addr[NDEBUG_ADDRS];
    int r;
    memcpy(addr, ps->dr, sizeof(addr));
    if (n < NDEBUG_ADDRS) {
        addr[n] = value;
        r = value >= PLATFORM_MAX ? -LX_EINVAL : check(addr, ps->dr7);
        if (r == 0)
            ps->dr[n] = value;
        return r;
    }
    switch (n) {
    case 6:
        ps->dr6 = value ^ DR6_FIXED;
        return 0;
    case 7:
        value &= ~(u64)(DR7_FIXED | DR7_GD);
        r = check(addr, value);
        if (r == 0)
            ps->dr7 = value;
        return r;
    default:
        return -LX_EIO;
    }
}

bool ptrace_is_watching(const struct task *t)
{
    return ptrace_is_traced(t) && t->ptrace->dr7 & 0xff;
}

static u64 read_watched(struct task *t, u32 i)
{
    u64 value = 0;
    u32 size = size_of(t->ptrace->dr7, i);
    if (aspace_read_force(t->mm->as, t->ptrace->dr[i], &value, size) != size)
        return 0; /* not mapped (any more): as if it were zero */
    return value;
}

void ptrace_watch_begin(struct task *t)
{
    struct ptrace_state *ps = t->ptrace;
    for (u32 i = 0; i < NDEBUG_ADDRS; i++)
        if (is_enabled(ps->dr7, i) && type_of(ps->dr7, i) == DR_WRITE)
            ps->watched[i] = read_watched(t, i);
}

/* The registers that the step has hit, as bits. */
static u32 find_hits(struct task *t)
{
    struct ptrace_state *ps = t->ptrace;
    u32 hits = 0;
    for (u32 i = 0; i < NDEBUG_ADDRS; i++) {
        if (!is_enabled(ps->dr7, i))
            continue;
        bool is_hit = type_of(ps->dr7, i) == DR_EXECUTE ? uctx_regs(t->uctx)->rip == ps->dr[i]
                                                        : read_watched(t, i) != ps->watched[i];
        hits |= (u32)is_hit << i;
    }
    return hits;
}

bool ptrace_watch_end(struct task *t, bool is_stepped, struct lx_siginfo *info)
{
    struct ptrace_state *ps = t->ptrace;
    if (!ptrace_is_watching(t) || info->si_code != LX_TRAP_TRACE)
        return true;
    if (uctx_regs(t->uctx)->eflags & EFLAGS_TF)
        is_stepped = true; /* the program's own */
    u32 hits = find_hits(t);
    ps->dr6 = hits | (is_stepped ? DR6_STEP : 0);
    if (hits && !is_stepped)
        info->si_code = LX_TRAP_HWBKPT;
    return hits || is_stepped;
}
