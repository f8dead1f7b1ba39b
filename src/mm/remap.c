/*
 * mremap: growing, shrinking and moving a mapping.
 *
 * A move on the host is one mremap. The host may know as several mappings what
 * the tree has as one (its own merging also looks at anon_vma, for instance
 * after a fork), and refuses to move those together; then the range is halved
 * until the pieces fit, which costs a logarithm of its pages for each seam.
 */
#include "mm/mm_internal.h"

struct remap {
    u64 old, old_size, new_size, new_addr;
    u32 flags;
};

/* Moves the host's pages; halves when it meets a seam. */
static int host_move(struct mm *mm, u64 from, u64 to, u64 size, bool is_dontunmap)
{
    int r = aspace_remap(mm->as, from, size, to, size, is_dontunmap);
    if ((r != -LX_EFAULT && r != -LX_EINVAL) || size == PAGE_SIZE)
        return r;
    u64 half = page_down(size / 2);
    r = host_move(mm, from, to, half, is_dontunmap);
    if (r < 0)
        return r;
    return host_move(mm, from + half, to + half, size - half, is_dontunmap);
}

static struct vma_kind kind_at(const struct vma *v, u64 addr)
{
    return (struct vma_kind){v->flags, v->obj, v->obj ? v->offset + (addr - v->start) : 0,
                             v->anon_name, v->policy};
}

/* Linux's vma_to_resize: may the mapping at r->old become new_size bytes? */
static int check_resize(struct mm *mm, const struct vma *v, const struct remap *r)
    REQUIRES(mm->lock)
{
    if (vma_is_fixed_by_host(v) || v->flags & VMA_SEALED)
        return -LX_EPERM;
    if (r->old_size == 0 && !(v->flags & VMA_SHARED))
        return -LX_EINVAL;
    if (r->old_size > v->end - r->old)
        return -LX_EFAULT;
    bool is_fixed_size = v->obj && v->obj->ops->is_fixed_size;
    if (is_fixed_size && r->flags & LX_MREMAP_DONTUNMAP)
        return -LX_EINVAL;
    if (r->new_size <= r->old_size)
        return 0;
    if (is_fixed_size)
        return -LX_EFAULT;
    u64 sum;
    if (v->obj &&
        (add_overflows(v->offset + (r->old - v->start), r->new_size, &sum) || sum > INT64_MAX))
        return -LX_EINVAL;
    u64 more = r->new_size - r->old_size;
    int e;
    if (v->flags & VMA_LOCKED && (e = mm_may_lock(mm, more)) < 0)
        return e;
    if ((e = mm_may_grow(mm, more, v->flags)) < 0)
        return e;
    if (vma_flags_accountable(v->flags) && mm_is_overcommit(more))
        return -LX_ENOMEM;
    return 0;
}

/* Maps `more` bytes behind v, which ends at the old range's end and has room after it. */
static int grow_in_place(struct mm *mm, struct vma *v, u64 more, struct graveyard *g)
    REQUIRES(mm->lock)
{
    u64 start = v->end, end = start + more;
    struct vma_kind k = kind_at(v, start);
    int r = mm_host_map(mm, NULL, start, end, &k, 0);
    if (r < 0)
        return r;
    struct vma *grown;
    r = vma_add(mm, start, end, &k, g, &grown);
    if (r < 0) {
        mm_host_drop(mm, start, end);
        return r;
    }
    if (k.flags & VMA_LOCKED)
        mm_host_lock(mm, grown, start, end);
    return 0;
}

/*
 * Moves [old, old + old_size), all in v, to new_addr, which is free, making it
 * new_size (>= old_size) bytes there.
 */
static s64 move_to(struct mm *mm, struct vma *v, const struct remap *rq, u64 new_addr,
                   struct graveyard *g) REQUIRES(mm->lock)
{
    bool is_dontunmap = rq->flags & LX_MREMAP_DONTUNMAP;
    struct vma_kind k = kind_at(v, rq->old);
    if (mm->nvmas + 3 > MM_MAX_MAPS)
        return -LX_ENOMEM;
    int r = 0;
    if (rq->old_size == 0) {
        /* A second mapping of the same shared pages. */
        r = mm_host_map(mm, NULL, new_addr, new_addr + rq->new_size, &k, 0);
        if (r == 0)
            r = vma_add(mm, new_addr, new_addr + rq->new_size, &k, g, NULL);
        return r < 0 ? r : (s64)new_addr;
    }
    if ((r = vma_isolate(mm, &v, rq->old, rq->old + rq->old_size)) < 0)
        return r;
    u64 tail = new_addr + rq->old_size, end = new_addr + rq->new_size;
    struct vma_kind tail_kind = k;
    if (k.obj)
        tail_kind.offset += rq->old_size;
    if (tail < end && (r = mm_host_map(mm, NULL, tail, end, &tail_kind, 0)) < 0)
        return r;
    r = host_move(mm, rq->old, new_addr, rq->old_size, is_dontunmap);
    /* v goes before the new one comes, lest they merge; k's borrowed parts live on in g. */
    struct vma *moved;
    if (r == 0) {
        if (is_dontunmap)
            vma_set_flags(mm, v, v->flags & ~(VMA_LOCKED | VMA_LOCKONFAULT));
        else
            vma_remove(mm, v, g);
        r = vma_add(mm, new_addr, end, &k, g, &moved);
    }
    if (r < 0) {
        mm_host_drop(mm, new_addr, end);
        return r;
    }
    if (moved->flags & VMA_LOCKED)
        mm_host_lock(mm, moved, new_addr, end);
    return (s64)new_addr;
}

/* MREMAP_FIXED and MREMAP_DONTUNMAP. */
static s64 remap_to(struct mm *mm, struct remap *rq, struct graveyard *g) REQUIRES(mm->lock)
{
    bool is_fixed = rq->flags & LX_MREMAP_FIXED;
    if (rq->new_size > PLATFORM_MAX || rq->new_addr & ~PAGE_MASK ||
        rq->new_addr > PLATFORM_MAX - rq->new_size ||
        (rq->old < rq->new_addr + rq->new_size && rq->new_addr < rq->old + rq->old_size))
        return -LX_EINVAL;
    if (is_fixed) {
        if (rq->new_addr < PLATFORM_LOW_MIN)
            return -LX_EPERM;
        if (!range_is_mappable(rq->new_addr, rq->new_size))
            return -LX_ENOMEM;
        int r = mm_unmap_locked(mm, NULL, rq->new_addr, rq->new_addr + rq->new_size, UNMAP_HOST, g);
        if (r < 0)
            return r;
    }
    if (rq->old_size > rq->new_size) {
        int r = mm_unmap_locked(mm, NULL, rq->old + rq->new_size, rq->old + rq->old_size,
                                UNMAP_HOST, g);
        if (r < 0)
            return r;
        rq->old_size = rq->new_size;
    }
    struct vma *v = mm_find(mm, rq->old);
    if (!v || v->start > rq->old)
        return -LX_EFAULT;
    int r = check_resize(mm, v, rq);
    if (r == 0 && rq->flags & LX_MREMAP_DONTUNMAP)
        r = mm_may_grow(mm, rq->old_size, v->flags);
    if (r < 0)
        return r;
    u64 place = rq->new_addr;
    if (!is_fixed)
        place = mm_find_room(mm, mm_current_ctx(), page_down(rq->new_addr), rq->new_size, 0, false);
    return place ? move_to(mm, v, rq, place, g) : -LX_ENOMEM;
}

static s64 remap_locked(struct mm *mm, struct remap *rq, struct graveyard *g) REQUIRES(mm->lock)
{
    struct vma *v = mm_find(mm, rq->old);
    if (!v || v->start > rq->old)
        return -LX_EFAULT;
    if (rq->flags & (LX_MREMAP_FIXED | LX_MREMAP_DONTUNMAP))
        return remap_to(mm, rq, g);
    if (rq->old_size >= rq->new_size) {
        int r = 0;
        if (vma_is_fixed_by_host(v) || v->flags & VMA_SEALED)
            return -LX_EPERM;
        if (rq->old_size > rq->new_size)
            r = mm_unmap_locked(mm, NULL, rq->old + rq->new_size, rq->old + rq->old_size,
                                UNMAP_HOST, g);
        return r < 0 ? r : (s64)rq->old;
    }
    int r = check_resize(mm, v, rq);
    if (r < 0)
        return r;
    u64 end = rq->old + rq->old_size, more = rq->new_size - rq->old_size;
    if (end == v->end && rq->old_size && range_is_mappable(end, more) &&
        vma_is_free(mm, end, end + more) &&
        !mm_late_conflicts(mm, mm_current_ctx(), end, end + more)) {
        const struct vma *next = mm_next(v);
        u64 guard = next && next->flags & VMA_GROWSDOWN ? STACK_GUARD_GAP : 0;
        if (!next || next->start - end >= more + guard) {
            r = grow_in_place(mm, v, more, g);
            return r < 0 ? r : (s64)rq->old;
        }
    }
    if (!(rq->flags & LX_MREMAP_MAYMOVE))
        return -LX_ENOMEM;
    u64 place = mm_find_room(mm, mm_current_ctx(), 0, rq->new_size, 0, false);
    return place ? move_to(mm, v, rq, place, g) : -LX_ENOMEM;
}

s64 mm_remap(struct mm *mm, u64 old_addr, u64 old_size, u64 new_size, u32 flags, u64 new_addr)
{
    struct remap rq = {old_addr, page_up(old_size), page_up(new_size), new_addr, flags};
    if (flags & ~(u32)(LX_MREMAP_MAYMOVE | LX_MREMAP_FIXED | LX_MREMAP_DONTUNMAP))
        return -LX_EINVAL;
    if (flags & (LX_MREMAP_FIXED | LX_MREMAP_DONTUNMAP) && !(flags & LX_MREMAP_MAYMOVE))
        return -LX_EINVAL;
    if (flags & LX_MREMAP_DONTUNMAP && rq.old_size != rq.new_size)
        return -LX_EINVAL;
    if (old_addr & ~PAGE_MASK || rq.new_size == 0 || old_addr > PLATFORM_MAX)
        return old_addr > PLATFORM_MAX && !(old_addr & ~PAGE_MASK) && rq.new_size ? -LX_EFAULT
                                                                                  : -LX_EINVAL;
    if (rq.old_size > PLATFORM_MAX || rq.new_size > PLATFORM_MAX)
        return flags & LX_MREMAP_FIXED ? -LX_EINVAL : -LX_ENOMEM;
    struct graveyard g = {0};
    mutex_lock(&mm->lock);
    if (mm == mm_current())
        mm_late_flush(mm, mm_current_ctx());
    s64 r = remap_locked(mm, &rq, &g);
    mutex_unlock(&mm->lock);
    graveyard_clear(&g);
    return r;
}
