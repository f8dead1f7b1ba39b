/*
 * mmap, munmap, mprotect and brk: checks in Linux's order, the tree, then the host.
 *
 * The tree and the host change together under mm.lock. A host call that fails
 * after the tree was changed is undone in the tree as far as that is possible,
 * and what is left is the honest error; mm_fault puts pages right whose host
 * mapping lags behind the tree.
 */
#include "mm/mm_internal.h"

/* ---- munmap -------------------------------------------------------------------------------- */

int mm_unmap_locked(struct mm *mm, struct uctx *via, u64 start, u64 end, enum unmap_host host,
                    struct graveyard *g)
{
    struct vma *first = mm_find(mm, start), *last = NULL;
    if (!first || first->start >= end)
        return 0;
    for (struct vma *v = first; v && v->start < end; v = mm_next(v)) {
        if (vma_is_fixed_by_host(v) || v->flags & VMA_SEALED)
            return -LX_EPERM;
        last = v;
    }
    /* Cutting a hole makes one more; cutting an edge in two is made up for by the removal. */
    if (first == last && first->start < start && first->end > end && mm->nvmas >= MM_MAX_MAPS)
        return -LX_ENOMEM;
    u64 host_start = MAX(first->start, start), host_end = MIN(last->end, end);
    struct vma *upper;
    if (last->end > end) {
        int r = vma_split(mm, last, end, &upper);
        if (r < 0)
            return r;
    }
    if (first->start < start) {
        int r = vma_split(mm, first, start, &upper);
        if (r < 0)
            return r;
        first = upper;
    }
    if (host == UNMAP_HOST) {
        int r = mm_host_unmap(mm, via, host_start, host_end);
        if (r < 0)
            return r;
    }
    for (struct vma *v = first, *next; v && v->start < end; v = next) {
        next = mm_next(v);
        vma_remove(mm, v, g);
    }
    return 0;
}

int mm_unmap(struct mm *mm, struct uctx *via, u64 addr, u64 size)
{
    if (addr & ~PAGE_MASK || size == 0 || size > PLATFORM_MAX || addr > PLATFORM_MAX - size)
        return -LX_EINVAL;
    u64 end = addr + page_up(size);
    if (end > PLATFORM_MAX)
        return -LX_EINVAL;
    struct graveyard g = {0};
    mutex_lock(&mm->lock);
    if (via)
        mm_late_flush(mm, via);
    int r = mm_unmap_locked(mm, via, addr, end, UNMAP_HOST, &g);
    mutex_unlock(&mm->lock);
    graveyard_clear(&g);
    return r;
}

/* ---- mmap ---------------------------------------------------------------------------------- */

/* Bytes of [start, end) that are mapped: they go when a fixed mapping takes their place. */
static u64 mapped_bytes(struct mm *mm, u64 start, u64 end) REQUIRES(mm->lock)
{
    u64 sum = 0;
    for (struct vma *v = mm_find(mm, start); v && v->start < end; v = mm_next(v))
        sum += MIN(v->end, end) - MAX(v->start, start);
    return sum;
}

/* Where the mapping goes: an address or an error. */
static s64 choose_place(struct mm *mm, struct uctx *via, const struct mm_map_req *req, u64 size)
    REQUIRES(mm->lock)
{
    bool is_fixed = req->flags & (LX_MAP_FIXED | LX_MAP_FIXED_NOREPLACE);
    if (size > PLATFORM_MAX)
        return -LX_ENOMEM;
    if (is_fixed) {
        if (req->addr > PLATFORM_MAX - size)
            return -LX_ENOMEM;
        if (req->addr & ~PAGE_MASK)
            return -LX_EINVAL;
        if (req->addr < PLATFORM_LOW_MIN)
            return -LX_EPERM;
        if (!range_is_mappable(req->addr, size))
            return req->flags & LX_MAP_FIXED_NOREPLACE ? -LX_EEXIST : -LX_ENOMEM;
        if (req->flags & LX_MAP_FIXED_NOREPLACE && !vma_is_free(mm, req->addr, req->addr + size))
            return -LX_EEXIST;
        return (s64)req->addr;
    }
    u64 hint = page_down(req->addr);
    if (hint && hint < PLATFORM_LOW_MIN)
        hint = PLATFORM_LOW_MIN;
    bool is_huge_aligned = !req->obj && size >= HUGE_PAGE_SIZE && size % HUGE_PAGE_SIZE == 0 &&
                           !(req->flags & LX_MAP_GROWSDOWN);
    u64 addr =
        mm_find_room(mm, via ? via : mm_current_ctx(), hint, size, req->flags, is_huge_aligned);
    return addr ? (s64)addr : -LX_ENOMEM;
}

static u32 flags_of_request(const struct mm *mm, const struct mm_map_req *req)
{
    u32 flags = (req->prot & VMA_PROT_MASK) | req->vma_flags | mm->def_flags;
    if (!req->obj)
        flags |= VMA_MAY_ALL;
    if ((req->flags & LX_MAP_TYPE) != LX_MAP_PRIVATE)
        flags |= VMA_SHARED;
    if (req->flags & LX_MAP_GROWSDOWN)
        flags |= VMA_GROWSDOWN;
    if (req->flags & LX_MAP_LOCKED)
        flags |= VMA_LOCKED;
    if (req->flags & LX_MAP_NORESERVE)
        flags |= VMA_NORESERVE;
    return flags;
}

/* Linux's order of checks, so that a request with several faults gets the same errno. */
static s64 map_locked(struct mm *mm, struct uctx *via, const struct mm_map_req *req, u64 size,
                      struct graveyard *g) REQUIRES(mm->lock)
{
    if (mm->nvmas > MM_MAX_MAPS)
        return -LX_ENOMEM;
    s64 place = choose_place(mm, via, req, size);
    if (place < 0)
        return place;
    u64 start = (u64)place, end = start + size;
    struct vma_kind k = {flags_of_request(mm, req), req->obj, req->obj ? req->offset : 0, NULL};
    if (req->flags & LX_MAP_LOCKED && mm->limits.memlock == 0)
        return -LX_EPERM;
    int r;
    if (k.flags & VMA_LOCKED && (r = mm_may_lock(mm, size)) < 0)
        return r;
    if (k.flags & VMA_GROWSDOWN && (req->obj || k.flags & VMA_SHARED))
        return -LX_EINVAL;
    u64 replaced = mapped_bytes(mm, start, end);
    if ((r = mm_may_grow(mm, size - replaced, k.flags)) < 0)
        return r;
    if (vma_flags_accountable(k.flags) && mm_is_overcommit(size))
        return -LX_ENOMEM;
    if (replaced && (r = mm_unmap_locked(mm, NULL, start, end, UNMAP_TREE_ONLY, g)) < 0)
        return r;
    if (mm->nvmas >= MM_MAX_MAPS && (r = -LX_ENOMEM))
        goto fail;
    u32 extra =
        req->flags & LX_MAP_POPULATE && !(req->flags & LX_MAP_NONBLOCK) ? LX_MAP_POPULATE : 0;
    if ((r = mm_host_map(mm, via, start, end, &k, extra)) < 0)
        goto fail;
    struct vma *v;
    if ((r = vma_add(mm, start, end, &k, g, &v)) < 0)
        goto fail;
    if (k.flags & VMA_LOCKED)
        mm_host_lock(mm, v, start, end);
    return place;
fail:
    mm_host_drop(mm, start, end);
    return r;
}

s64 mm_map(struct mm *mm, struct uctx *via, const struct mm_map_req *req)
{
    if (req->size == 0)
        return -LX_EINVAL;
    u64 size = page_up(req->size), sum;
    if (size == 0)
        return -LX_ENOMEM;
    if (req->obj && (add_overflows(req->offset, size, &sum) || sum > INT64_MAX))
        return -LX_EOVERFLOW;
    struct mm_map_req q = *req;
    struct mappable *shmem = NULL;
    if (!q.obj && (q.flags & LX_MAP_TYPE) != LX_MAP_PRIVATE && !(q.flags & LX_MAP_GROWSDOWN)) {
        if (size > PLATFORM_MAX || (!(q.flags & LX_MAP_NORESERVE) && mm_is_overcommit(size)))
            return -LX_ENOMEM;
        int r = shmem_object_new(size, &shmem);
        if (r < 0)
            return r;
        q.obj = shmem;
        q.offset = 0;
        q.vma_flags |= VMA_MAY_ALL;
    }
    struct graveyard g = {0};
    mutex_lock(&mm->lock);
    if (via)
        mm_late_flush(mm, via);
    s64 r = map_locked(mm, via, &q, size, &g);
    mutex_unlock(&mm->lock);
    graveyard_clear(&g);
    if (shmem)
        shmem->ops->put(shmem);
    return r;
}

s64 mm_find_free(struct mm *mm, u64 size, u64 align)
{
    u64 padded;
    align = MAX(align, PAGE_SIZE);
    if (add_overflows(page_up(size), align - PAGE_SIZE, &padded) || padded > PLATFORM_MAX)
        return -LX_ENOMEM;
    MUTEX_GUARD(&mm->lock);
    u64 addr = mm_find_room(mm, mm_current_ctx(), 0, padded, 0, false);
    return addr ? (s64)((addr + align - 1) & ~(align - 1)) : -LX_ENOMEM;
}

/* ---- mprotect ------------------------------------------------------------------------------ */

/* May v's part of the range get these permissions? */
static int check_protect(struct mm *mm, const struct vma *v, u64 size, u32 prot) REQUIRES(mm->lock)
{
    if (v->flags & VMA_VVAR && prot & ~LX_PROT_READ)
        return -LX_EACCES;
    if (vma_is_fixed_by_host(v) || v->flags & VMA_SEALED)
        return -LX_EPERM;
    if (prot & ~(v->flags >> 5) & VMA_PROT_MASK)
        return -LX_EACCES;
    u32 flags = (v->flags & ~VMA_PROT_MASK) | prot;
    u64 data;
    if (!vma_flags_is_data(v->flags) && vma_flags_is_data(flags) &&
        (add_overflows(mm->data_size, size, &data) || data > mm->limits.data))
        return -LX_ENOMEM;
    if (!vma_flags_accountable(v->flags) && vma_flags_accountable(flags) && mm_is_overcommit(size))
        return -LX_ENOMEM;
    return 0;
}

/*
 * Changes the tree from `start` on as far as it can; *ret_done is where it
 * stopped. Linux changes what lies before the first fault, too.
 */
static int protect_tree(struct mm *mm, struct vma *v, u64 start, u64 end, u32 prot,
                        struct graveyard *g, u64 *ret_done) REQUIRES(mm->lock)
{
    u64 at = start;
    while (at < end) {
        *ret_done = at;
        if (!v || v->start > at)
            return -LX_ENOMEM;
        u64 stop = MIN(v->end, end);
        int r = check_protect(mm, v, stop - at, prot);
        if (r < 0)
            return r;
        u32 flags = (v->flags & ~VMA_PROT_MASK) | prot;
        if (flags != v->flags) {
            r = vma_isolate(mm, &v, at, stop);
            if (r < 0)
                return r;
            vma_set_flags(mm, v, flags);
            v = vma_join(mm, v, g);
        }
        at = stop;
        v = v->end > at ? v : mm_next(v);
    }
    *ret_done = at;
    return 0;
}

int mm_protect(struct mm *mm, struct uctx *via, u64 addr, u64 size, u32 prot)
{
    u32 grows = prot & (LX_PROT_GROWSDOWN | LX_PROT_GROWSUP);
    prot &= ~grows;
    if (grows == (LX_PROT_GROWSDOWN | LX_PROT_GROWSUP) || addr & ~PAGE_MASK)
        return -LX_EINVAL;
    if (size == 0)
        return 0;
    u64 end;
    if (page_up(size) == 0 || add_overflows(addr, page_up(size), &end))
        return -LX_ENOMEM;
    if (prot & ~(VMA_PROT_MASK | LX_PROT_SEM))
        return -LX_EINVAL;
    prot &= VMA_PROT_MASK;
    struct graveyard g = {0};
    mutex_lock(&mm->lock);
    if (via)
        mm_late_flush(mm, via);
    struct vma *v = mm_find(mm, addr);
    int r = v && v->start < end ? 0 : -LX_ENOMEM;
    if (r == 0 && grows & LX_PROT_GROWSUP)
        r = -LX_EINVAL;
    if (r == 0 && grows & LX_PROT_GROWSDOWN) {
        addr = v->start;
        r = v->flags & VMA_GROWSDOWN ? 0 : -LX_EINVAL;
    }
    if (r == 0) {
        u64 done = addr;
        r = protect_tree(mm, v, addr, end, prot, &g, &done);
        if (done > addr) {
            int host = aspace_protect(mm->as, via, addr, done - addr, prot);
            r = host < 0 ? host : r;
        }
    }
    mutex_unlock(&mm->lock);
    graveyard_clear(&g);
    return r;
}

/* ---- brk ----------------------------------------------------------------------------------- */

/* Linux's RLIMIT_DATA for brk counts the data segment and the heap. */
static bool brk_exceeds_data(const struct mm *mm, u64 new_end)
{
    u64 size = new_end - mm->brk_start + (mm->end_data - mm->start_data);
    return mm->limits.data != UINT64_MAX && size > mm->limits.data;
}

static int brk_grow(struct mm *mm, struct uctx *via, u64 start, u64 end, struct graveyard *g)
    REQUIRES(mm->lock)
{
    struct vma_kind k = {.flags =
                             LX_PROT_READ | LX_PROT_WRITE | VMA_MAY_ALL | VMA_HEAP | mm->def_flags};
    u64 size = end - start;
    if (!range_is_mappable(start, size) || mm_late_conflicts(mm, via, start, end))
        return -LX_ENOMEM;
    const struct vma *next = mm_find(mm, start);
    u64 room = next && next->flags & VMA_GROWSDOWN ? STACK_GUARD_GAP : 0;
    if (next && next->start < end + PAGE_SIZE + room)
        return -LX_ENOMEM;
    int r = mm_may_grow(mm, size, k.flags);
    if (r == 0 && k.flags & VMA_LOCKED)
        r = mm_may_lock(mm, size);
    if (r < 0 || mm->nvmas >= MM_MAX_MAPS || mm_is_overcommit(size))
        return -LX_ENOMEM;
    r = mm_host_map(mm, via, start, end, &k, 0);
    if (r < 0)
        return r;
    struct vma *v;
    r = vma_add(mm, start, end, &k, g, &v);
    if (r < 0) {
        mm_host_drop(mm, start, end);
        return r;
    }
    if (k.flags & VMA_LOCKED)
        mm_host_lock(mm, v, start, end);
    return 0;
}

u64 mm_brk(struct mm *mm, struct uctx *via, u64 new_end)
{
    struct graveyard g = {0};
    mutex_lock(&mm->lock);
    if (via)
        mm_late_flush(mm, via);
    u64 old_page = page_up(mm->brk_end), new_page = page_up(new_end);
    int r = -LX_EINVAL;
    if (new_end >= mm->brk_start && new_end <= PLATFORM_MAX && !brk_exceeds_data(mm, new_end)) {
        r = 0;
        if (new_page < old_page)
            r = mm_unmap_locked(mm, via, new_page, old_page, UNMAP_HOST, &g);
        else if (new_page > old_page)
            r = brk_grow(mm, via, old_page, new_page, &g);
    }
    if (r == 0)
        mm->brk_end = new_end;
    u64 ret = mm->brk_end;
    mutex_unlock(&mm->lock);
    graveyard_clear(&g);
    return ret;
}
