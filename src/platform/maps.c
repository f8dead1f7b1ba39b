/*
 * Mapping calls. Two ways: the helper makes the call at once, or (anonymous
 * memory) the call is queued with the calling
 * uctx and its own thread makes it on the way out. Everything else that looks
 * at or changes the address space flushes the queue first, so the order of
 * changes is the order of calls.
 */
#include <errno.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "abi/errno.h"
#include "abi/nr.h"
#include "platform/counts.h"
#include "platform/filters.h"
#include "platform/internal.h"
#include "platform/patch.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

/* Page-aligned, not empty, inside one of the guest's areas. */
static bool is_guest_range(u64 addr, u64 size)
{
    u64 end;
    if (!size || (addr & ~PAGE_MASK) || (size & ~PAGE_MASK) || add_overflows(addr, size, &end))
        return false;
    return (addr >= PLATFORM_LOW_MIN && end <= PLATFORM_LOW_MAX) ||
           (addr >= PLATFORM_MIN && end <= PLATFORM_MAX);
}

/* The uctx with calls queued by this thread and not made yet. */
static _Thread_local struct uctx *my_queue;

void queue_taken(struct uctx *ctx)
{
    if (my_queue == ctx)
        my_queue = NULL;
}

void queue_flush_locked(struct aspace *as)
{
    if (unlikely(as->batch))
        batch_flush_locked(as);
    struct uctx *ctx = my_queue;
    if (likely(!ctx) || ctx->as != as)
        return;
    s64 values[STUB_MAX_MMCALLS];
    u32 n = ctx->nmmcalls;
    for (u32 i = 0; i < n; i++) {
        const struct stub_mmcall *c = &ctx->mmcalls[i];
        order_set(as, i, OP_SYSCALL, 0, c->nr, c->args[0], c->args[1], c->args[2], c->args[3],
                  (u64)-1, 0);
    }
    ctx->nmmcalls = 0;
    my_queue = NULL;
    if (order_run(as, n, values) < 0)
        return;
    for (u32 i = 0; i < n; i++) {
        if (values[i] < 0 && values[i] >= -4095) {
            ctx->queue_err = (s32)values[i];
            break;
        }
    }
}

void queue_flush(struct aspace *as)
{
    if (likely((!my_queue || my_queue->as != as) && !as->batch))
        return;
    aspace_settle(as); /* before its order list may be written */
    MUTEX_GUARD(&as->helper_lock);
    queue_flush_locked(as);
}

/* True when queued. */
static bool try_queue(struct aspace *as, struct uctx *via, u32 nr, u64 a0, u64 a1, u64 a2, u64 a3)
{
    if (!via || via->as != as || !via->is_syscall || a0 < PLATFORM_MIN ||
        platform_cfg.is_helper_mm_only || via->nmmcalls == STUB_MAX_MMCALLS || as->batch ||
        (my_queue && my_queue != via))
        return false;
    /* An unmap too, also with other threads about: mm gives the addresses to nobody else before
     * this thread comes back (mm/vma.c, late unmaps). */
    struct stub_mmcall *c = &via->mmcalls[via->nmmcalls++];
    *c = (struct stub_mmcall){nr, 0, {a0, a1, a2, a3}};
    my_queue = via;
    return true;
}

/* ---- batches -------------------------------------------------------------------------------- */

struct map_batch {
    u32 n;
    int err; /* of the first call that failed */
    struct stub_op ops[STUB_MAX_OPS];
};

void batch_flush_locked(struct aspace *as)
{
    struct map_batch *b = as->batch;
    s64 values[STUB_MAX_OPS];
    u32 n = b->n;
    b->n = 0;
    if (n == 0 || b->err)
        return;
    for (u32 i = 0; i < n; i++) {
        const struct stub_op *op = &b->ops[i];
        order_set(as, i, OP_SYSCALL, OP_STOP_ON_ERROR, op->nr, op->args[0], op->args[1],
                  op->args[2], op->args[3], op->args[4], op->args[5]);
    }
    int r = order_run(as, n, values);
    if (r < 0)
        b->err = r;
    for (u32 i = 0; i < n && !b->err; i++) {
        const u64 *a = b->ops[i].args;
        if ((u64)values[i] != a[0])
            b->err = values[i] < 0 && values[i] >= -4095 ? (int)values[i] : -LX_EIO;
        else
            patches_mapped(as->patches, a[0], a[1], (u32)a[2], a[3] & MAP_PRIVATE);
    }
}

static bool try_batch(struct aspace *as, u64 addr, u64 size, u64 prot, u64 flags, u64 fd, u64 off)
{
    struct map_batch *b = as->batch;
    if (likely(!b))
        return false;
    if (b->n == STUB_MAX_OPS) {
        aspace_settle(as); /* before its order list may be written */
        MUTEX_GUARD(&as->helper_lock);
        batch_flush_locked(as);
    }
    b->ops[b->n++] = (struct stub_op){.nr = LX_NR_mmap, .args = {addr, size, prot, flags, fd, off}};
    return true;
}

int aspace_batch_begin(struct aspace *as)
{
    as->batch = calloc(1, sizeof(*as->batch));
    return as->batch ? 0 : -LX_ENOMEM;
}

int aspace_batch_end(struct aspace *as)
{
    aspace_settle(as); /* before its order list may be written */
    MUTEX_GUARD(&as->helper_lock);
    batch_flush_locked(as);
    int r = as->batch->err;
    free(as->batch);
    as->batch = NULL;
    return r;
}

static int map_result(s64 r, u64 addr)
{
    if ((u64)r == addr)
        return 0;
    return r < 0 && r >= -4095 ? (int)r : -LX_EIO;
}

static int call_result(s64 r)
{
    return r == 0 ? 0 : r < 0 && r >= -4095 ? (int)r : -LX_EIO;
}

int aspace_map(struct aspace *as, struct uctx *via, u64 addr, u64 size, u32 prot, int kind,
               u32 extra_map_flags, int host_fd, u64 offset)
{
    if (!is_guest_range(addr, size) || prot > 7)
        return -LX_EINVAL;
    u32 flags = MAP_FIXED | extra_map_flags;
    if (kind == ASPACE_PRIVATE_ANON) {
        flags |= MAP_PRIVATE | MAP_ANONYMOUS;
        flags &= ~(u32)MAP_STACK;
        if (!(extra_map_flags & ~(u32)(MAP_NORESERVE | MAP_STACK)) &&
            try_queue(as, via, LX_NR_mmap, addr, size, prot, flags)) {
            patches_mapped(as->patches, addr, size, prot, true);
            return 0;
        }
        host_fd = -1;
        offset = 0;
    } else {
        flags |= kind == ASPACE_SHARED_FILE ? MAP_SHARED : MAP_PRIVATE;
        if (try_batch(as, addr, size, prot, flags, (u64)host_fd, offset))
            return 0;
    }
    int r = map_result(helper_call(as, LX_NR_mmap, addr, size, prot, flags, (u64)host_fd, offset),
                       addr);
    if (r == 0)
        patches_mapped(as->patches, addr, size, prot, kind != ASPACE_SHARED_FILE);
    return r;
}

int aspace_unmap(struct aspace *as, struct uctx *via, u64 addr, u64 size)
{
    if (!is_guest_range(addr, size))
        return -LX_EINVAL;
    patches_mapped(as->patches, addr, size, 0, false);
    if (try_queue(as, via, LX_NR_munmap, addr, size, 0, 0))
        return 0;
    return call_result(helper_call(as, LX_NR_munmap, addr, size, 0, 0, 0, 0));
}

int aspace_protect(struct aspace *as, struct uctx *via, u64 addr, u64 size, u32 prot)
{
    if (!is_guest_range(addr, size) || prot > 7)
        return -LX_EINVAL;
    if ((prot & (PROT_READ | PROT_WRITE | PROT_EXEC)) != (PROT_READ | PROT_EXEC)) {
        /* Text that can be changed, or is text no longer. */
        patches_undo(as, addr, addr + size);
        patches_mapped(as->patches, addr, size, 0, false);
    }
    if (try_queue(as, via, LX_NR_mprotect, addr, size, prot, 0))
        return 0;
    return call_result(helper_call(as, LX_NR_mprotect, addr, size, prot, 0, 0, 0));
}

int aspace_advise(struct aspace *as, struct uctx *via, u64 addr, u64 size, int advice)
{
    if (!is_guest_range(addr, size))
        return -LX_EINVAL;
    patches_undo(as, addr, addr + size);
    if (filter_allows_advice(advice) &&
        try_queue(as, via, LX_NR_madvise, addr, size, (u64)advice, 0))
        return 0;
    return call_result(helper_call(as, LX_NR_madvise, addr, size, (u64)advice, 0, 0, 0));
}

int aspace_remap(struct aspace *as, u64 old_addr, u64 old_size, u64 new_addr, u64 new_size,
                 bool is_dontunmap)
{
    if ((old_size && !is_guest_range(old_addr, old_size)) || !is_guest_range(new_addr, new_size) ||
        (!old_size && !is_guest_range(old_addr, PAGE_SIZE)))
        return -LX_EINVAL;
    patches_undo(as, old_addr, old_addr + old_size);
    patches_mapped(as->patches, old_addr, old_size, 0, false);
    patches_mapped(as->patches, new_addr, new_size, 0, false);
    u64 flags = 0;
    if (new_addr != old_addr)
        flags = MREMAP_MAYMOVE | MREMAP_FIXED;
    if (is_dontunmap)
        flags = MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP;
    return map_result(
        helper_call(as, LX_NR_mremap, old_addr, old_size, new_size, flags, new_addr, 0), new_addr);
}

int aspace_mincore(struct aspace *as, u64 addr, u64 size, u8 *ret_vec)
{
    if (!is_guest_range(addr, size))
        return -LX_EINVAL;
    const u64 chunk = sizeof(as->res->bytes) * PAGE_SIZE;
    aspace_settle(as); /* before its order list may be written */
    MUTEX_GUARD(&as->helper_lock);
    queue_flush_locked(as);
    for (u64 at = 0; at < size; at += chunk) {
        u64 n = MIN(chunk, size - at);
        order_set(as, 0, OP_SYSCALL, 0, LX_NR_mincore, addr + at, n,
                  STUB_RESULT + offsetof(struct stub_results, bytes), 0, 0, 0);
        s64 value;
        int r = order_run(as, 1, &value);
        if (r == 0)
            r = call_result(value);
        if (r < 0)
            return r;
        for (u64 i = 0; i < n / PAGE_SIZE; i++)
            ret_vec[at / PAGE_SIZE + i] = as->res->bytes[i] & 1;
    }
    return 0;
}

void aspace_counts_refresh(struct aspace *as)
{
    _Static_assert(sizeof(struct rusage) <= sizeof(as->res->bytes), "results");
    aspace_settle(as); /* before its order list may be written */
    MUTEX_GUARD(&as->helper_lock);
    queue_flush_locked(as);
    order_set(as, 0, OP_SYSCALL, 0, LX_NR_getrusage, RUSAGE_SELF,
              STUB_RESULT + offsetof(struct stub_results, bytes), 0, 0, 0, 0);
    s64 value;
    if (order_run(as, 1, &value) < 0 || value < 0)
        return;
    struct rusage ru;
    memcpy(&ru, (const void *)(uintptr_t)as->res->bytes, sizeof(ru));
    atomic_store(&as->counts.minflt, (u64)ru.ru_minflt);
    atomic_store(&as->counts.majflt, (u64)ru.ru_majflt);
    atomic_store(&as->counts.nivcsw, (u64)ru.ru_nivcsw);
    atomic_store(&as->counts.maxrss_kib, (u64)ru.ru_maxrss);
}

void aspace_counts_last(const struct aspace *as, struct aspace_counts *ret)
{
    ret->minflt = atomic_load(&as->counts.minflt);
    ret->majflt = atomic_load(&as->counts.majflt);
    ret->nivcsw = atomic_load(&as->counts.nivcsw);
}

u64 aspace_maxrss_kib(const struct aspace *as)
{
    return atomic_load(&as->counts.maxrss_kib);
}

int aspace_msync(struct aspace *as, u64 addr, u64 size, int flags)
{
    if (!is_guest_range(addr, size))
        return -LX_EINVAL;
    return call_result(helper_call(as, LX_NR_msync, addr, size, (u64)flags, 0, 0, 0));
}

int aspace_membarrier(struct aspace *as, int cmd, u32 flags, s32 cpu)
{
    return call_result(helper_call(as, LX_NR_membarrier, (u64)cmd, flags, (u64)cpu, 0, 0, 0));
}

int aspace_mlock(struct aspace *as, u64 addr, u64 size, bool is_lock, bool is_onfault)
{
    if (!is_guest_range(addr, size))
        return -LX_EINVAL;
    if (!is_lock)
        return call_result(helper_call(as, LX_NR_munlock, addr, size, 0, 0, 0, 0));
    return call_result(helper_call(as, LX_NR_mlock2, addr, size, is_onfault ? 1 : 0, 0, 0, 0));
}

/* ---- futexes
 * ------------------------------------------------------------------------------------------ */

static bool is_guest_word(u64 addr, u64 size)
{
    u64 end;
    if (add_overflows(addr, size, &end) || (addr & (size - 1)))
        return false;
    return (addr >= PLATFORM_LOW_MIN && end <= PLATFORM_LOW_MAX) ||
           (addr >= PLATFORM_MIN && end <= PLATFORM_MAX);
}

/* Addresses below the first mapping are the guest's too: a private futex need not be mapped. */
static bool is_guest_futex(u64 uaddr)
{
    return uaddr < PLATFORM_LOW_MIN || is_guest_word(uaddr, 4);
}

long aspace_futex(struct aspace *as, u64 uaddr, int op, u32 val, u64 val2, u64 uaddr2, u32 val3)
{
    if (uaddr & 3)
        return -LX_EINVAL;
    if (!is_guest_futex(uaddr))
        return -LX_EFAULT;
    switch (op & ~(FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME)) {
    case FUTEX_WAKE:
    case FUTEX_WAKE_BITSET:
        break;
    case FUTEX_REQUEUE:
    case FUTEX_CMP_REQUEUE:
    case FUTEX_WAKE_OP:
        if (uaddr2 & 3)
            return -LX_EINVAL;
        if (!is_guest_futex(uaddr2))
            return -LX_EFAULT;
        break;
    default:
        return -LX_ENOSYS;
    }
    return helper_call(as, LX_NR_futex, uaddr, (u64)op, val, val2, uaddr2, val3);
}

int aspace_cmpxchg_u32(struct aspace *as, u64 addr, u32 expected, u32 desired, u32 *ret_old)
{
    if (!is_guest_word(addr, 4))
        return -LX_EFAULT;
    aspace_settle(as); /* before its order list may be written */
    MUTEX_GUARD(&as->helper_lock);
    queue_flush_locked(as);
    /*
     * The helper has no way to survive a fault, so the page is made writable and
     * present first. Only another thread's raw munmap in between can make it
     * fault all the same, and that ends the process that did it.
     */
    order_set(as, 0, OP_SYSCALL, OP_STOP_ON_ERROR, LX_NR_madvise, page_down(addr), PAGE_SIZE,
              MADV_POPULATE_WRITE, 0, 0, 0);
    order_set(as, 1, OP_CMPXCHG, 0, 0, addr, expected, desired, 0, 0, 0);
    s64 values[2];
    if (order_run(as, 2, values) < 0 || values[0] != 0 || values[1] < 0 || values[1] > UINT32_MAX)
        return -LX_EFAULT;
    *ret_old = (u32)values[1];
    return 0;
}
