/*
 * madvise and msync: walks over ranges that may have holes. A hole is
 * reported at the end (-LX_ENOMEM), after the rest was done, as on Linux.
 *
 * Advice of three kinds: marks in the tree (DONTFORK …), which the host is told
 * too when it acts on them at fork or fault; orders about pages (DONTNEED,
 * FREE, POPULATE …), which the host carries out; and hints that
 * change nothing that a guest can see (SEQUENTIAL on anonymous memory, KSM).
 */
#include "mm/mm_internal.h"

/* ---- what each advice is -------------------------------------------------------------------- */

struct advice {
    bool is_known, is_host, is_via; /* tell the host; by a direct call */
    u32 clear, set;                 /* marks */
};

/* clang-format off */
static const struct advice advices[] = {
    [LX_MADV_NORMAL] = {true, true, false, VMA_SEQ_READ | VMA_RAND_READ, 0},
    [LX_MADV_RANDOM] = {true, true, false, VMA_SEQ_READ, VMA_RAND_READ},
    [LX_MADV_SEQUENTIAL] = {true, true, false, VMA_RAND_READ, VMA_SEQ_READ},
    [LX_MADV_WILLNEED] = {true, true, false, 0, 0},
    [LX_MADV_DONTNEED] = {true, true, true, 0, 0},
    [LX_MADV_FREE] = {true, true, true, 0, 0},
    [LX_MADV_REMOVE] = {true, false, false, 0, 0},
    [LX_MADV_DONTFORK] = {true, true, false, 0, VMA_DONTFORK},
    [LX_MADV_DOFORK] = {true, true, false, VMA_DONTFORK, 0},
    [LX_MADV_MERGEABLE] = {true, false, false, 0, VMA_MERGEABLE},
    [LX_MADV_UNMERGEABLE] = {true, false, false, VMA_MERGEABLE, 0},
    [LX_MADV_HUGEPAGE] = {true, true, false, VMA_NOHUGEPAGE, VMA_HUGEPAGE},
    [LX_MADV_NOHUGEPAGE] = {true, true, false, VMA_HUGEPAGE, VMA_NOHUGEPAGE},
    [LX_MADV_DONTDUMP] = {true, false, false, 0, VMA_DONTDUMP},
    [LX_MADV_DODUMP] = {true, false, false, VMA_DONTDUMP, 0},
    [LX_MADV_WIPEONFORK] = {true, true, false, 0, VMA_WIPEONFORK},
    [LX_MADV_KEEPONFORK] = {true, true, false, VMA_WIPEONFORK, 0},
    [LX_MADV_COLD] = {true, true, false, 0, 0},
    [LX_MADV_PAGEOUT] = {true, true, false, 0, 0},
    [LX_MADV_POPULATE_READ] = {true, true, false, 0, 0},
    [LX_MADV_POPULATE_WRITE] = {true, true, false, 0, 0},
    [LX_MADV_DONTNEED_LOCKED] = {true, true, false, 0, 0},
    [LX_MADV_COLLAPSE] = {true, true, false, 0, 0},
};
/* clang-format on */

/* Does the order destroy contents? */
static bool is_discard(int advice)
{
    return advice == LX_MADV_DONTNEED || advice == LX_MADV_FREE || advice == LX_MADV_REMOVE ||
           advice == LX_MADV_DONTNEED_LOCKED || advice == LX_MADV_DONTFORK ||
           advice == LX_MADV_WIPEONFORK;
}

static int check_one(const struct vma *v, int advice)
{
    bool is_locked = v->flags & VMA_LOCKED;
    if (vma_is_fixed_by_host(v))
        return advice == LX_MADV_WILLNEED || advice == LX_MADV_NORMAL ? 0 : -LX_EINVAL;
    /* mseal: what cannot be written may not be discarded either. */
    if (v->flags & VMA_SEALED && is_discard(advice) && !v->obj && !(v->flags & LX_PROT_WRITE))
        return -LX_EPERM;
    switch (advice) {
    case LX_MADV_DONTNEED:
    case LX_MADV_COLD:
    case LX_MADV_PAGEOUT:
        return is_locked ? -LX_EINVAL : 0;
    case LX_MADV_FREE:
        return v->obj ? -LX_EINVAL : 0;
    case LX_MADV_REMOVE:
        if (is_locked || !v->obj)
            return -LX_EINVAL;
        return (v->flags & (VMA_SHARED | LX_PROT_WRITE)) == (VMA_SHARED | LX_PROT_WRITE)
                   ? 0
                   : -LX_EACCES;
    case LX_MADV_WIPEONFORK:
        return v->obj ? -LX_EINVAL : 0;
    case LX_MADV_POPULATE_READ:
        return v->flags & LX_PROT_READ ? 0 : -LX_EINVAL;
    case LX_MADV_POPULATE_WRITE:
        return v->flags & LX_PROT_WRITE ? 0 : -LX_EINVAL;
    default:
        return 0;
    }
}

/* Read-ahead hints matter to the host for files only. */
static bool is_host_wanted(const struct vma *v, int advice)
{
    switch (advice) {
    case LX_MADV_NORMAL:
    case LX_MADV_RANDOM:
    case LX_MADV_SEQUENTIAL:
    case LX_MADV_WILLNEED:
        return v->obj;
    default:
        return advices[advice].is_host;
    }
}

/* MADV_REMOVE blocks in the object: without mm.lock, so the VMA may change meanwhile. */
static int remove_range(struct mm *mm, u64 start, u64 end)
{
    for (u64 at = start; at < end;) {
        mutex_lock(&mm->lock);
        struct vma *v = mm_find(mm, at);
        int r = v && v->start < end ? check_one(v, LX_MADV_REMOVE) : -LX_ENOMEM;
        if (r < 0) {
            mutex_unlock(&mm->lock);
            return r;
        }
        bool is_hole = v->start > at;
        at = MAX(at, v->start);
        u64 stop = MIN(v->end, end), offset = v->offset + (at - v->start);
        struct mappable *obj = v->obj;
        obj->ops->get(obj);
        mutex_unlock(&mm->lock);
        r = obj->ops->punch ? obj->ops->punch(obj, offset, stop - at) : -LX_EOPNOTSUPP;
        obj->ops->put(obj);
        if (r < 0)
            return r;
        if (is_hole)
            return -LX_ENOMEM;
        at = stop;
    }
    return 0;
}

static int advise_one(struct mm *mm, struct uctx *via, struct vma **v, u64 start, u64 end,
                      int advice, struct graveyard *g) REQUIRES(mm->lock)
{
    const struct advice *a = &advices[advice];
    int r = check_one(*v, advice);
    if (r < 0 || vma_is_fixed_by_host(*v))
        return r;
    if (is_host_wanted(*v, advice)) {
        r = aspace_advise(mm->as, a->is_via && !(*v)->obj ? via : NULL, start, end - start, advice);
        if (r < 0)
            return r;
    }
    u32 flags = ((*v)->flags & ~a->clear) | a->set;
    if (flags == (*v)->flags)
        return 0;
    r = vma_isolate(mm, v, start, end);
    if (r < 0)
        return r;
    vma_set_flags(mm, *v, flags);
    *v = vma_join(mm, *v, g);
    return 0;
}

int mm_advise(struct mm *mm, struct uctx *via, u64 addr, u64 size, int advice)
{
    u64 end;
    if (advice < 0 || advice >= (int)ARRAY_SIZE(advices) || !advices[advice].is_known)
        return -LX_EINVAL;
    if (addr & ~PAGE_MASK || (page_up(size) == 0 && size) ||
        add_overflows(addr, page_up(size), &end))
        return -LX_EINVAL;
    if (end == addr)
        return 0;
    if (advice == LX_MADV_REMOVE)
        return remove_range(mm, addr, end);
    bool is_populate = advice == LX_MADV_POPULATE_READ || advice == LX_MADV_POPULATE_WRITE;
    struct graveyard g = {0};
    int r = 0;
    bool is_holed = false;
    mutex_lock(&mm->lock);
    if (via)
        mm_late_flush(mm, via);
    struct vma *v = mm_find(mm, addr);
    for (u64 at = addr; at < end && r == 0;) {
        if (!v || v->start > at)
            is_holed = true;
        if (!v || v->start >= end || (is_holed && is_populate))
            break;
        at = MAX(at, v->start);
        u64 stop = MIN(v->end, end);
        r = advise_one(mm, via, &v, at, stop, advice, &g);
        at = stop;
        v = v->end > at ? v : mm_next(v);
    }
    mutex_unlock(&mm->lock);
    graveyard_clear(&g);
    return r < 0 ? r : is_holed ? -LX_ENOMEM : 0;
}

/* ---- msync --------------------------------------------------------------------------------- */

int mm_sync(struct mm *mm, u64 addr, u64 size, int flags)
{
    u64 end;
    if (flags & ~(LX_MS_ASYNC | LX_MS_INVALIDATE | LX_MS_SYNC) || addr & ~PAGE_MASK ||
        (flags & LX_MS_ASYNC && flags & LX_MS_SYNC))
        return -LX_EINVAL;
    if ((page_up(size) == 0 && size) || add_overflows(addr, page_up(size), &end))
        return -LX_ENOMEM;
    bool is_holed = false;
    for (u64 at = addr; at < end;) {
        mutex_lock(&mm->lock);
        struct vma *v = mm_find(mm, at);
        if (!v || v->start >= end) {
            mutex_unlock(&mm->lock);
            return -LX_ENOMEM;
        }
        is_holed |= v->start > at;
        at = MAX(at, v->start);
        if (flags & LX_MS_INVALIDATE && v->flags & VMA_LOCKED) {
            mutex_unlock(&mm->lock);
            return -LX_EBUSY;
        }
        u64 stop = MIN(v->end, end), offset = v->offset + (at - v->start);
        struct mappable *obj = flags & LX_MS_SYNC && v->flags & VMA_SHARED ? v->obj : NULL;
        if (obj && obj->ops->sync)
            obj->ops->get(obj);
        else
            obj = NULL;
        mutex_unlock(&mm->lock);
        if (obj) {
            int r = obj->ops->sync(obj, offset, stop - at);
            obj->ops->put(obj);
            if (r < 0)
                return r;
        }
        at = stop;
    }
    return is_holed ? -LX_ENOMEM : 0;
}
