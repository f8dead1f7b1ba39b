/*
 * Shared by the files of this room: the tree of VMAs (vma.c), room checks
 * (space.c) and the host side of a VMA (space.c).
 *
 * A VMA that leaves the tree goes to a `struct list`-like chain, the
 * graveyard, and is freed after mm.lock is dropped: dropping an object may close a
 * file, which blocks and takes locks of its own.
 */
#ifndef MM_MM_INTERNAL_H
#define MM_MM_INTERNAL_H

#include "mm/mm.h"

#define MM_MAX_MAPS     65530U
#define STACK_GUARD_GAP (256 * PAGE_SIZE)
#define HUGE_PAGE_SIZE  (2UL << 20)

/* VMAs taken out of the tree, chained by rb.left. */
struct graveyard {
    struct vma *first;
};
void graveyard_clear(struct graveyard *g); /* EXCLUDES(mm->lock) */

/* ---- vma.c --------------------------------------------------------------------------------- */

/* What a VMA is, without its place. */
struct vma_kind {
    u32 flags;
    struct mappable *obj; /* borrowed */
    u64 offset;
    const char *anon_name; /* borrowed */
    u32 policy;
};

static inline bool vma_flags_writable_shared(u32 flags)
{
    return (flags & (VMA_SHARED | VMA_MAYWRITE)) == (VMA_SHARED | VMA_MAYWRITE);
}
/* Overcommit counts private writable memory that was not asked for without reservation. */
static inline bool vma_flags_accountable(u32 flags)
{
    return (flags & (VMA_NORESERVE | VMA_SHARED | LX_PROT_WRITE)) == LX_PROT_WRITE;
}
static inline bool vma_flags_is_data(u32 flags)
{
    return (flags & (LX_PROT_WRITE | VMA_SHARED | VMA_GROWSDOWN)) == LX_PROT_WRITE;
}
static inline bool vma_is_fixed_by_host(const struct vma *v)
{
    return v->flags & (VMA_VDSO | VMA_VVAR);
}

/* Puts [start, end), which must be free, into the tree; merges with neighbours of the same kind. */
int vma_add(struct mm *mm, u64 start, u64 end, const struct vma_kind *k, struct graveyard *g,
            struct vma **ret_v) must_check REQUIRES(mm->lock);
/* Cuts v in two at `at`; *ret_upper is the new one. -LX_ENOMEM at the limit of VMAs. */
int vma_split(struct mm *mm, struct vma *v, u64 at, struct vma **ret_upper) must_check
    REQUIRES(mm->lock);
/*
 * Isolates [start, end) ∩ v in a VMA of its own and returns it; split failures leave v whole or
 * cut in two, which is harmless.
 */
int vma_isolate(struct mm *mm, struct vma **v, u64 start, u64 end) must_check REQUIRES(mm->lock);
/* Joins v with like neighbours; returns the VMA that now holds v's range. */
struct vma *vma_join(struct mm *mm, struct vma *v, struct graveyard *g) REQUIRES(mm->lock);
void vma_remove(struct mm *mm, struct vma *v, struct graveyard *g) REQUIRES(mm->lock);
void vma_set_flags(struct mm *mm, struct vma *v, u32 flags) REQUIRES(mm->lock);
/* Moves v's lower edge (stack growth). */
void vma_set_start(struct mm *mm, struct vma *v, u64 start) REQUIRES(mm->lock);
struct vma *vma_prev(struct vma *v);
/* True when the whole of [start, end) is mapped. */
bool vma_covers(struct mm *mm, u64 start, u64 end) REQUIRES(mm->lock);
/* True when nothing of [start, end) is mapped; guard gaps of stacks count as free. */
bool vma_is_free(struct mm *mm, u64 start, u64 end) REQUIRES(mm->lock);

/* A free place for size bytes; honours quarantined unmaps of other threads. 0: none. */
u64 mm_find_room(struct mm *mm, struct uctx *ctx, u64 hint, u64 size, u32 map_flags,
                 bool is_huge_aligned) REQUIRES(mm->lock);
/* True when another thread is still to unmap some of [start, end). */
bool mm_late_conflicts(const struct mm *mm, const struct uctx *ctx, u64 start, u64 end)
    REQUIRES(mm->lock);
void mm_late_flush(struct mm *mm, struct uctx *ctx) REQUIRES(mm->lock);
/* False: there is no room to note it; the unmap must then be complete on return. */
bool mm_late_note(struct mm *mm, struct uctx *ctx, u64 start, u64 end) REQUIRES(mm->lock);

/* ---- space.c ------------------------------------------------------------------------------- */

/* True when [addr, addr + size) lies in one of the areas that guests may map. */
static inline bool range_is_mappable(u64 addr, u64 size)
{
    return (addr >= PLATFORM_MIN && addr <= PLATFORM_MAX && size <= PLATFORM_MAX - addr) ||
           (addr >= PLATFORM_LOW_MIN && addr <= PLATFORM_LOW_MAX &&
            size <= PLATFORM_LOW_MAX - addr);
}

/* -LX_ENOMEM when `size` more bytes of this kind exceed RLIMIT_AS or RLIMIT_DATA. */
int mm_may_grow(struct mm *mm, u64 size, u32 flags) must_check REQUIRES(mm->lock);
/* -LX_EAGAIN when `size` more locked bytes exceed RLIMIT_MEMLOCK. */
int mm_may_lock(struct mm *mm, u64 size) must_check REQUIRES(mm->lock);
/* Overcommit, heuristic mode: only an obvious overcommit is refused. */
bool mm_is_overcommit(u64 size);

/* Makes the host mapping of [start, end) as the kind says. */
int mm_host_map(struct mm *mm, struct uctx *via, u64 start, u64 end, const struct vma_kind *k,
                u32 extra_flags) must_check REQUIRES(mm->lock);
/* After a failure: nothing may stay mapped on the host that the tree does not have. */
void mm_host_drop(struct mm *mm, u64 start, u64 end) REQUIRES(mm->lock);
/* Unmaps the host's [start, end), leaving out what is not the guest's to map. */
int mm_host_unmap(struct mm *mm, struct uctx *via, u64 start, u64 end) must_check
    REQUIRES(mm->lock);

/* ---- map.c --------------------------------------------------------------------------------- */

enum unmap_host { UNMAP_HOST, UNMAP_TREE_ONLY };
int mm_unmap_locked(struct mm *mm, struct uctx *via, u64 start, u64 end, enum unmap_host host,
                    struct graveyard *g) must_check REQUIRES(mm->lock);

/* ---- fault.c ------------------------------------------------------------------------------- */

/* Grows a stack so that addr is mapped; false when no growable VMA is near or it may not. */
bool mm_grow_stack(struct mm *mm, u64 addr) EXCLUDES(mm->lock);

/* ---- lock.c -------------------------------------------------------------------------------- */

/* Makes the host hold [start, end) in memory, as far as its limits allow: never fails. */
void mm_host_lock(struct mm *mm, const struct vma *v, u64 start, u64 end) REQUIRES(mm->lock);
void mm_host_unlock(struct mm *mm, u64 start, u64 end) REQUIRES(mm->lock);

#endif
