/*
 * Address spaces as a whole: making, copying, freeing, layout, limits, and the
 * host side of a VMA.
 *
 * Layout, from the top: the stack at a random place in the last 16 GiB and a
 * bit; below it a gap as large as the stack may become; below that mmap_base,
 * from where mappings go down to 4 GiB. The 2.5 GiB under 4 GiB hold the stub
 * and belong to no guest; below them is the low area, for executables
 * linked there, MAP_32BIT and fixed requests. The host's vDSO is where the stub
 * has it, as VMAs that nobody can change (as with sealed system mappings on Linux).
 *
 * Differs from Linux: an unlimited stack does not select the bottom-up layout;
 * it gets the largest gap instead.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/log.h"
#include "mm/mm_internal.h"

#define STACK_RANDOM_PAGES 0x3fffffUL  /* as Linux: 16 GiB */
#define MMAP_RANDOM_PAGES  (1UL << 28) /* as Linux: 1 TiB */
#define MIN_STACK_GAP      (128UL << 20)
#define DEFAULT_STACK      (8UL << 20)

static _Atomic u64 total_memory; /* 0: not set, ask the host */

void mm_set_total_memory(u64 bytes)
{
    atomic_store_explicit(&total_memory, bytes, memory_order_relaxed);
}

u64 mm_total_memory(void)
{
    u64 bytes = atomic_load_explicit(&total_memory, memory_order_relaxed);
    if (!bytes) {
        long pages = sysconf(_SC_PHYS_PAGES);
        bytes = pages > 0 ? (u64)pages * PAGE_SIZE : 1UL << 30;
        mm_set_total_memory(bytes);
    }
    return bytes;
}

/* Uniform enough for layout; falls back to no randomness when the host has none to give. */
static u64 random_below(u64 bound)
{
    u64 r = 0;
    if (getrandom(&r, sizeof(r), GRND_NONBLOCK) != (ssize_t)sizeof(r))
        log_once(LOG_WARN, "mm: no host randomness for address layout");
    return bound ? r % bound : 0;
}

void mm_set_layout(struct mm *mm, const struct mm_limits *limits)
{
    mm->limits = *limits;
    u64 random = mm->is_aslr_off ? 0 : random_below(MMAP_RANDOM_PAGES) << PAGE_SHIFT;
    u64 pad = STACK_GUARD_GAP + (mm->is_aslr_off ? 0 : STACK_RANDOM_PAGES << PAGE_SHIFT);
    u64 gap = limits->stack;
    if (!add_overflows(gap, pad, &gap))
        gap = MAX(gap, MIN_STACK_GAP);
    else
        gap = UINT64_MAX;
    gap = MIN(gap, PLATFORM_MAX / 6 * 5);
    mm->mmap_base = page_down(PLATFORM_MAX - gap - random);
}

static int add_host_pages(struct mm *mm, u64 start, u64 size, u32 flags)
{
    struct graveyard g = {0};
    if (size == 0)
        return 0;
    /* The platform's word, but cheap to check: it decides what guests cannot touch. */
    if ((start | size) & ~PAGE_MASK || !range_is_mappable(start, size) ||
        !vma_is_free(mm, start, start + size))
        return -LX_EINVAL;
    struct vma_kind k = {.flags = flags | VMA_MAYREAD | VMA_MAYEXEC | VMA_DONTDUMP};
    return vma_add(mm, start, start + size, &k, &g, NULL);
}

static struct mm *mm_alloc(void)
{
    struct mm *mm = calloc(1, sizeof(*mm));
    if (!mm)
        return NULL;
    ref_init(&mm->ref);
    list_init(&mm->aio);
    mutex_init(&mm->lock, "mm");
    mm->dumpable = 1;
    mm->limits = (struct mm_limits){UINT64_MAX, UINT64_MAX, DEFAULT_STACK, UINT64_MAX};
    return mm;
}

int mm_new(bool is_aslr_off, struct mm **ret_mm)
{
    struct mm *mm = mm_alloc();
    if (!mm)
        return -LX_ENOMEM;
    mm->is_aslr_off = is_aslr_off;
    struct mm_limits limits = mm->limits;
    mm_set_layout(mm, &limits);
    int r = aspace_new(&mm->as);
    if (r < 0) {
        mm_put(mm);
        return r;
    }
    struct aspace_vdso vdso = {0};
    aspace_vdso(mm->as, &vdso);
    mutex_lock(&mm->lock);
    r = add_host_pages(mm, vdso.vvar, vdso.vvar_size, LX_PROT_READ | VMA_VVAR);
    if (r == 0)
        r = add_host_pages(mm, vdso.vdso, vdso.vdso_size, LX_PROT_READ | LX_PROT_EXEC | VMA_VDSO);
    mutex_unlock(&mm->lock);
    if (r < 0) {
        mm_put(mm);
        return r;
    }
    *ret_mm = mm;
    return 0;
}

/* The child's tree: what fork(2) and madvise(2) say it inherits. */
static int copy_vmas(struct mm *child, struct mm *parent)
{
    struct graveyard g = {0}; /* stays empty: copies never merge more than the originals */
    int r = 0;
    for (struct rb_node *n = rb_first(&parent->vmas); n && r == 0; n = rb_next(n)) {
        const struct vma *v = rb_entry(n, struct vma, rb);
        if (v->flags & VMA_DONTFORK)
            continue;
        struct vma_kind k = {v->flags & ~(VMA_LOCKED | VMA_LOCKONFAULT | VMA_UFFD), v->obj,
                             v->offset, v->anon_name, v->policy};
        r = vma_add(child, v->start, v->end, &k, &g, NULL);
    }
    graveyard_clear(&g);
    return r;
}

static void copy_layout(struct mm *child, const struct mm *parent)
{
    child->is_aslr_off = parent->is_aslr_off;
    child->mmap_base = parent->mmap_base;
    child->brk_start = parent->brk_start;
    child->brk_end = parent->brk_end;
    child->start_code = parent->start_code;
    child->end_code = parent->end_code;
    child->start_data = parent->start_data;
    child->end_data = parent->end_data;
    child->start_stack = parent->start_stack;
    child->arg_start = parent->arg_start;
    child->arg_end = parent->arg_end;
    child->env_start = parent->env_start;
    child->env_end = parent->env_end;
    memcpy(child->saved_auxv, parent->saved_auxv, sizeof(child->saved_auxv));
    child->dumpable = parent->dumpable;
    child->limits = parent->limits;
    atomic_store(&child->membarrier, atomic_load(&parent->membarrier));
}

int mm_fork(struct mm *parent, struct uctx *caller, struct mm **ret_mm, struct uctx **ret_ctx)
{
    struct mm *child = mm_alloc();
    if (!child)
        return -LX_ENOMEM;
    mutex_lock(&parent->lock);
    mm_late_flush(parent, caller);
    copy_layout(child, parent);
    int r = copy_vmas(child, parent);
    if (r == 0 && parent->exe)
        r = mm_set_exe(child, parent->exe);
    if (r == 0)
        r = aspace_fork(parent->as, caller, &child->as, ret_ctx);
    mutex_unlock(&parent->lock);
    if (r < 0) {
        mm_put(child);
        return r;
    }
    *ret_mm = child;
    return 0;
}

int mm_set_exe(struct mm *mm, struct mappable *exe)
{
    assert(!mm->exe);
    if (exe->ops->deny_write) {
        int r = exe->ops->deny_write(exe);
        if (r < 0)
            return r;
    }
    exe->ops->get(exe);
    mm->exe = exe;
    return 0;
}

void mm_get(struct mm *mm)
{
    ref_get(&mm->ref);
}

void (*mm_aio_exit)(struct mm *mm);

void mm_put(struct mm *mm)
{
    if (!mm || !ref_put(&mm->ref))
        return;
    if (mm_aio_exit)
        mm_aio_exit(mm);
    /* The host process goes first, so that no object is let go while still mapped. */
    if (mm->as)
        aspace_put(mm->as);
    struct graveyard g = {0};
    mutex_lock(&mm->lock);
    for (struct rb_node *n; (n = rb_first(&mm->vmas));)
        vma_remove(mm, rb_entry(n, struct vma, rb), &g);
    mutex_unlock(&mm->lock);
    graveyard_clear(&g);
    if (mm->exe) {
        if (mm->exe->ops->allow_write)
            mm->exe->ops->allow_write(mm->exe);
        mm->exe->ops->put(mm->exe);
    }
    free(mm);
}

void mm_forget_ctx(struct mm *mm, struct uctx *ctx)
{
    MUTEX_GUARD(&mm->lock);
    mm_late_flush(mm, ctx);
}

/* ---- limits -------------------------------------------------------------------------------- */

int mm_may_grow(struct mm *mm, u64 size, u32 flags)
{
    u64 sum;
    if (add_overflows(mm->total_size, size, &sum) || sum > mm->limits.as)
        return -LX_ENOMEM;
    if (vma_flags_is_data(flags) &&
        (add_overflows(mm->data_size, size, &sum) || sum > mm->limits.data))
        return -LX_ENOMEM;
    return 0;
}

int mm_may_lock(struct mm *mm, u64 size)
{
    u64 sum;
    return add_overflows(mm->locked_size, size, &sum) || sum > mm->limits.memlock ? -LX_EAGAIN : 0;
}

bool mm_is_overcommit(u64 size)
{
    return size > mm_total_memory();
}

/* ---- the host side ------------------------------------------------------------------------- */

int mm_host_map(struct mm *mm, struct uctx *via, u64 start, u64 end, const struct vma_kind *k,
                u32 extra_flags)
{
    u32 prot = k->flags & VMA_PROT_MASK;
    if (!k->obj) {
        /* A direct call carries no extra flags; the host need only be told of a reservation that
         * its own heuristic would refuse. */
        if ((k->flags & VMA_NORESERVE) && mm_is_overcommit(end - start))
            extra_flags |= LX_MAP_NORESERVE;
        return aspace_map(mm->as, extra_flags ? NULL : via, start, end - start, prot,
                          ASPACE_PRIVATE_ANON, extra_flags, -1, 0);
    }
    int fd;
    u64 offset;
    int r = k->obj->ops->host_fd(k->obj, k->offset, end - start,
                                 vma_flags_writable_shared(k->flags), &fd, &offset);
    if (r < 0)
        return r;
    int kind = k->flags & VMA_SHARED ? ASPACE_SHARED_FILE : ASPACE_PRIVATE_FILE;
    return aspace_map(mm->as, NULL, start, end - start, prot, kind, extra_flags, fd, offset);
}

int mm_host_unmap(struct mm *mm, struct uctx *via, u64 start, u64 end)
{
    if (start < PLATFORM_LOW_MAX) {
        u64 low_end = MIN(end, PLATFORM_LOW_MAX);
        int r = aspace_unmap(mm->as, NULL, start, low_end - start);
        if (r < 0)
            return r;
    }
    start = MAX(start, PLATFORM_MIN);
    if (start >= end)
        return 0;
    if (via && !mm_late_note(mm, via, start, end))
        via = NULL;
    return aspace_unmap(mm->as, via, start, end - start);
}

void mm_host_drop(struct mm *mm, u64 start, u64 end)
{
    int r = mm_host_unmap(mm, NULL, start, end);
    if (r < 0)
        log_warn("mm: host unmap after a failure: error %d", -r);
}

/* ---- names --------------------------------------------------------------------------------- */

void mm_vma_name(struct mm *mm, struct vma *v, char *buf, size_t size)
{
    buf[0] = 0;
    if (v->obj) {
        u64 dev, ino;
        if (v->anon_name)
            snprintf(buf, size, "[anon_shmem:%s]", v->anon_name);
        else if (v->obj->ops->describe)
            v->obj->ops->describe(v->obj, buf, size, &dev, &ino);
        return;
    }
    if (v->flags & VMA_VDSO)
        snprintf(buf, size, "[vdso]");
    else if (v->flags & VMA_VVAR)
        snprintf(buf, size, "[vvar]");
    else if (v->start < mm->brk_end && v->end > mm->brk_start)
        snprintf(buf, size, "[heap]");
    else if (v->start <= mm->start_stack && v->end >= mm->start_stack && mm->start_stack)
        snprintf(buf, size, "[stack]");
    else if (v->anon_name)
        snprintf(buf, size, "[anon:%s]", v->anon_name);
}
