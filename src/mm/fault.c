/*
 * Faults in application code.
 *
 * Most page faults never come here: the host kernel serves them in the stub.
 * What comes is what the host could not serve: an access that the tree refuses
 * (a signal, with the code from the tree), the page under a stack (growth), and
 * accesses that the tree allows but the host mapping does not, because a change
 * made via another application thread has not reached the host yet or
 * failed there. The last kind is put right here, once, and the instruction
 * is tried again.
 *
 * Differs from Linux: the main stack grows in steps larger than a page, so that
 * deep recursion costs a handful of events; VMAs of MAP_GROWSDOWN grow exactly.
 */
#include "abi/signal.h"
#include "mm/mm_internal.h"

#define TRAP_PAGE_FAULT 14
#define PF_PRESENT      1U
#define PF_WRITE        2U
#define PF_INSTR        16U
#define STACK_STEP_MIN  (64UL << 10)
#define STACK_STEP_MAX  (1UL << 20)

/* ---- stack growth -------------------------------------------------------------------------- */

/* How far down v may reach: rlimit, guard gap, area, RLIMIT_AS. */
static u64 lowest_start(struct mm *mm, struct vma *v) REQUIRES(mm->lock)
{
    u64 lowest = v->start >= PLATFORM_MIN ? PLATFORM_MIN : PLATFORM_LOW_MIN;
    const struct vma *prev = vma_prev(v);
    if (prev) {
        bool is_accessible = prev->flags & VMA_PROT_MASK && !(prev->flags & VMA_GROWSDOWN);
        lowest = MAX(lowest, prev->end + (is_accessible ? STACK_GUARD_GAP : 0));
    }
    if (mm->limits.stack < v->end)
        lowest = MAX(lowest, page_up(v->end - mm->limits.stack));
    u64 room = mm->limits.as > mm->total_size ? page_down(mm->limits.as - mm->total_size) : 0;
    if (room < v->start)
        lowest = MAX(lowest, v->start - room);
    if (v->flags & VMA_LOCKED) {
        room = mm->limits.memlock > mm->locked_size
                   ? page_down(mm->limits.memlock - mm->locked_size)
                   : 0;
        if (room < v->start)
            lowest = MAX(lowest, v->start - room);
    }
    return lowest;
}

static bool grow_locked(struct mm *mm, u64 addr) REQUIRES(mm->lock)
{
    struct vma *v = mm_find(mm, addr);
    if (!v || (v->start <= addr) || !(v->flags & VMA_GROWSDOWN) || v->flags & VMA_SEALED)
        return v && v->start <= addr; /* grown by another thread meanwhile */
    u64 start = page_down(addr), lowest = lowest_start(mm, v);
    if (start < lowest)
        return false;
    if (v->flags & VMA_STACK) {
        u64 step = MIN(MAX(page_down((v->end - v->start) / 2), STACK_STEP_MIN), STACK_STEP_MAX);
        start = start > lowest + step ? start - step : lowest;
    }
    struct vma_kind k = {.flags = v->flags};
    if (mm_host_map(mm, NULL, start, v->start, &k, 0) < 0)
        return false;
    u64 old_start = v->start;
    vma_set_start(mm, v, start);
    if (v->flags & VMA_LOCKED)
        mm_host_lock(mm, v, start, old_start);
    return true;
}

bool mm_grow_stack(struct mm *mm, u64 addr)
{
    MUTEX_GUARD(&mm->lock);
    return grow_locked(mm, addr);
}

/* ---- faults -------------------------------------------------------------------------------- */

static bool access_is_allowed(const struct vma *v, u64 err)
{
    if (err & PF_WRITE)
        return v->flags & LX_PROT_WRITE;
    if (err & PF_INSTR)
        return v->flags & LX_PROT_EXEC;
    /* x86 has no execute-only or write-only pages: any permission lets a read pass. */
    return v->flags & VMA_PROT_MASK;
}

/* The host's page at addr becomes what the tree says. Errors: the host is out of something. */
static int repair(struct mm *mm, struct vma *v, u64 addr) REQUIRES(mm->lock)
{
    u64 page = page_down(addr);
    u8 resident;
    int r = aspace_mincore(mm->as, page, PAGE_SIZE, &resident);
    if (r == 0)
        return aspace_protect(mm->as, NULL, page, PAGE_SIZE, v->flags & VMA_PROT_MASK);
    if (r != -LX_ENOMEM)
        return r;
    struct vma_kind k = {v->flags, v->obj, v->obj ? v->offset + (page - v->start) : 0, NULL};
    return mm_host_map(mm, NULL, page, page + PAGE_SIZE, &k, 0);
}

static int page_fault(struct mm *mm, const struct uevent *ev, int *ret_code)
{
    MUTEX_GUARD(&mm->lock);
    struct vma *v = mm_find(mm, ev->addr);
    *ret_code = LX_SEGV_MAPERR;
    if (!v)
        return LX_SIGSEGV;
    if (v->start > ev->addr) {
        if (!(v->flags & VMA_GROWSDOWN) || !grow_locked(mm, ev->addr))
            return LX_SIGSEGV;
        v = mm_find(mm, ev->addr);
        if (access_is_allowed(v, ev->err))
            return 0;
    }
    *ret_code = LX_SEGV_ACCERR;
    if (!access_is_allowed(v, ev->err) || vma_is_fixed_by_host(v))
        return LX_SIGSEGV;
    if (repair(mm, v, ev->addr) < 0) {
        /* The host has no mapping to give: Linux would have failed the mmap, or killed for memory.
         */
        *ret_code = LX_BUS_ADRERR;
        return LX_SIGBUS;
    }
    return 0;
}

int mm_fault(struct mm *mm, const struct uevent *ev, int *ret_code)
{
    bool is_tree_matter = ev->signo == LX_SIGSEGV && ev->trapno == TRAP_PAGE_FAULT &&
                          (ev->code == LX_SEGV_MAPERR || ev->code == LX_SEGV_ACCERR);
    if (is_tree_matter)
        return page_fault(mm, ev, ret_code);
    /* General protection, bus errors past the end of a file, protection keys: as the host says. */
    *ret_code = ev->code;
    return ev->signo >= 1 && ev->signo <= 31 ? ev->signo : LX_SIGSEGV;
}
