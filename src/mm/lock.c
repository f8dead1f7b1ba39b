/*
 * mlock, munlock, mlockall and mincore, mseal, anonymous names: the calls that
 * walk a range of VMAs and mark them.
 *
 * Locked memory is accounted here, against the guest's own RLIMIT_MEMLOCK. The
 * host is asked to lock as well, but its limit for the stub is not the guest's
 * business: where it refuses, the pages are at least brought in.
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "mm/mm_internal.h"

/*
 * -LX_ENOMEM when a page cannot be there at all (no access, beyond the end of a file), which
 * mlock reports and the others ignore. A refusal by the host's limits is none.
 */
static int host_lock(struct mm *mm, const struct vma *v, u64 start, u64 end)
{
    bool is_onfault = v->flags & VMA_LOCKONFAULT;
    if (vma_is_fixed_by_host(v))
        return 0;
    if (!(v->flags & VMA_PROT_MASK))
        return is_onfault ? 0 : -LX_ENOMEM;
    if (aspace_mlock(mm->as, start, end - start, true, is_onfault) == 0 || is_onfault)
        return 0;
    bool is_cow = (v->flags & (VMA_SHARED | LX_PROT_WRITE)) == LX_PROT_WRITE;
    int r = aspace_advise(mm->as, NULL, start, end - start,
                          is_cow ? LX_MADV_POPULATE_WRITE : LX_MADV_POPULATE_READ);
    return r == -LX_EFAULT ? -LX_ENOMEM : 0;
}

void mm_host_lock(struct mm *mm, const struct vma *v, u64 start, u64 end)
{
    int r = host_lock(mm, v, start, end);
    if (r < 0)
        log_debug("mm: lock: error %d", -r);
}

/* A stub that stays locked costs memory, not correctness. */
void mm_host_unlock(struct mm *mm, u64 start, u64 end)
{
    int r = aspace_mlock(mm->as, start, end - start, false, false);
    if (r < 0)
        log_debug("mm: host munlock: error %d", -r);
}

/*
 * Gives every VMA of [start, end) the flags (old & ~clear) | set. Stops with -LX_ENOMEM
 * at a hole.
 */
static int mark_range(struct mm *mm, u64 start, u64 end, u32 clear, u32 set, struct graveyard *g)
    REQUIRES(mm->lock)
{
    struct vma *v = mm_find(mm, start);
    for (u64 at = start; at < end;) {
        if (!v || v->start > at)
            return -LX_ENOMEM;
        u64 stop = MIN(v->end, end);
        u32 flags = (v->flags & ~clear) | set;
        if (flags != v->flags && !vma_is_fixed_by_host(v)) {
            int r = vma_isolate(mm, &v, at, stop);
            if (r < 0)
                return r;
            vma_set_flags(mm, v, flags);
            v = vma_join(mm, v, g);
        }
        at = stop;
        v = v->end > at ? v : mm_next(v);
    }
    return 0;
}

static u64 locked_in(struct mm *mm, u64 start, u64 end) REQUIRES(mm->lock)
{
    u64 sum = 0;
    for (struct vma *v = mm_find(mm, start); v && v->start < end; v = mm_next(v))
        if (v->flags & VMA_LOCKED)
            sum += MIN(v->end, end) - MAX(v->start, start);
    return sum;
}

int mm_lock_range(struct mm *mm, u64 addr, u64 size, bool is_lock, bool is_onfault)
{
    if (is_lock && mm->limits.memlock == 0)
        return -LX_EPERM;
    u64 start = page_down(addr), sum, end;
    if (add_overflows(size, addr - start, &sum))
        return -LX_EINVAL;
    size = page_up(sum);
    if ((size == 0 && sum) || add_overflows(start, size, &end))
        return -LX_EINVAL;
    struct graveyard g = {0};
    mutex_lock(&mm->lock);
    int r = 0;
    if (is_lock && mm_may_lock(mm, size) < 0 &&
        mm_may_lock(mm, size - MIN(size, locked_in(mm, start, end))) < 0)
        r = -LX_ENOMEM;
    if (r == 0)
        r = mark_range(mm, start, end, VMA_LOCKED | VMA_LOCKONFAULT,
                       (is_lock ? VMA_LOCKED : 0) | (is_onfault ? VMA_LOCKONFAULT : 0), &g);
    if (r == 0 && !is_lock && start < end)
        mm_host_unlock(mm, start, end);
    if (r == 0 && is_lock)
        for (struct vma *v = mm_find(mm, start); v && v->start < end && r == 0; v = mm_next(v))
            r = host_lock(mm, v, MAX(v->start, start), MIN(v->end, end));
    mutex_unlock(&mm->lock);
    graveyard_clear(&g);
    return r;
}

int mm_lock_all(struct mm *mm, int flags)
{
    if (flags & ~(LX_MCL_CURRENT | LX_MCL_FUTURE | LX_MCL_ONFAULT) || flags == LX_MCL_ONFAULT)
        return -LX_EINVAL;
    if (flags && mm->limits.memlock == 0)
        return -LX_EPERM;
    struct graveyard g = {0};
    u32 set = VMA_LOCKED | (flags & LX_MCL_ONFAULT ? VMA_LOCKONFAULT : 0);
    int r = 0;
    mutex_lock(&mm->lock);
    if (flags & LX_MCL_CURRENT && mm->total_size > mm->limits.memlock) {
        r = -LX_ENOMEM;
        goto out;
    }
    mm->def_flags = flags & LX_MCL_FUTURE ? set : 0;
    if (flags && !(flags & LX_MCL_CURRENT))
        goto out;
    for (struct rb_node *n = rb_first(&mm->vmas); n; n = rb_next(n)) {
        struct vma *v = rb_entry(n, struct vma, rb);
        if (vma_is_fixed_by_host(v))
            continue;
        vma_set_flags(mm, v, (v->flags & ~(VMA_LOCKED | VMA_LOCKONFAULT)) | (flags ? set : 0));
        if (flags)
            mm_host_lock(mm, v, v->start, v->end);
        else
            mm_host_unlock(mm, v->start, v->end);
        n = &vma_join(mm, v, &g)->rb;
    }
out:
    mutex_unlock(&mm->lock);
    graveyard_clear(&g);
    return r;
}

int mm_mincore(struct mm *mm, u64 addr, u64 size, u8 *ret_vec)
{
    if (addr & ~PAGE_MASK)
        return -LX_EINVAL;
    u64 end;
    if (size > PLATFORM_MAX || add_overflows(addr, page_up(size), &end) || end > PLATFORM_MAX)
        return -LX_ENOMEM;
    if (size == 0)
        return 0;
    MUTEX_GUARD(&mm->lock);
    if (!vma_covers(mm, addr, end))
        return -LX_ENOMEM;
    return aspace_mincore(mm->as, addr, end - addr, ret_vec);
}

int mm_seal(struct mm *mm, u64 addr, u64 size)
{
    u64 end;
    if (addr & ~PAGE_MASK || (page_up(size) == 0 && size) ||
        add_overflows(addr, page_up(size), &end))
        return -LX_EINVAL;
    if (end == addr)
        return 0;
    struct graveyard g = {0};
    mutex_lock(&mm->lock);
    int r = vma_covers(mm, addr, end) ? mark_range(mm, addr, end, 0, VMA_SEALED, &g) : -LX_ENOMEM;
    mutex_unlock(&mm->lock);
    graveyard_clear(&g);
    return r;
}

int mm_set_policy(struct mm *mm, u64 addr, u64 size, u32 policy)
{
    u64 end = addr + size;
    struct graveyard g = {0};
    mutex_lock(&mm->lock);
    int r = vma_covers(mm, addr, end) ? 0 : -LX_EFAULT;
    struct vma *v = r == 0 ? mm_find(mm, addr) : NULL;
    for (; r == 0 && v && v->start < end; v = mm_next(v)) {
        if (v->policy == policy || vma_is_fixed_by_host(v))
            continue;
        r = vma_isolate(mm, &v, addr, end);
        if (r < 0)
            break;
        v->policy = policy;
        v = vma_join(mm, v, &g);
    }
    mutex_unlock(&mm->lock);
    graveyard_clear(&g);
    return r;
}

int mm_get_policy(struct mm *mm, u64 addr, u32 *ret_policy)
{
    MUTEX_GUARD(&mm->lock);
    const struct vma *v = mm_find(mm, addr);
    if (!v || v->start > addr)
        return -LX_EFAULT;
    *ret_policy = v->policy;
    return 0;
}

static int name_one(struct mm *mm, struct vma *v, u64 start, u64 end, const char *name,
                    struct graveyard *g, struct vma **ret_v) REQUIRES(mm->lock)
{
    if (v->obj || vma_is_fixed_by_host(v))
        return -LX_EBADF;
    char *copy = NULL;
    if (name && !(copy = strdup(name)))
        return -LX_ENOMEM;
    int r = vma_isolate(mm, &v, start, end);
    if (r < 0) {
        free(copy);
        return r;
    }
    free(v->anon_name);
    v->anon_name = copy;
    *ret_v = vma_join(mm, v, g);
    return 0;
}

int mm_set_anon_name(struct mm *mm, u64 addr, u64 size, const char *name)
{
    u64 end;
    if (addr & ~PAGE_MASK || (page_up(size) == 0 && size) ||
        add_overflows(addr, page_up(size), &end))
        return -LX_EINVAL;
    struct graveyard g = {0};
    int r = 0;
    bool is_holed = false;
    mutex_lock(&mm->lock);
    struct vma *v = mm_find(mm, addr);
    for (u64 at = addr; at < end && r == 0;) {
        if (!v || v->start >= end) {
            is_holed = true;
            break;
        }
        is_holed |= v->start > at;
        at = MAX(at, v->start);
        u64 stop = MIN(v->end, end);
        r = name_one(mm, v, at, stop, name, &g, &v);
        at = stop;
        v = v->end > at ? v : mm_next(v);
    }
    mutex_unlock(&mm->lock);
    graveyard_clear(&g);
    return r < 0 ? r : is_holed ? -LX_ENOMEM : 0;
}
