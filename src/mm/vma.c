/*
 * The tree of VMAs: search, insertion with merging, splitting, and finding room.
 *
 * Each node knows the free bytes below it (less the guard gap of a stack) and
 * the most of that in its subtree, so that a place for a new mapping is found
 * in O(log n), from the top (the usual case) or from the bottom (MAP_32BIT and
 * when the top-down area is full).
 *
 * Late unmaps. An unmap made "via" the application thread happens on the host
 * only when that thread leaves its system call. Until then the range is free
 * in the tree but must not be given to another thread: its new mapping would
 * be torn out by the late munmap. So the range is noted with the thread, and
 * other threads' searches step around it; the note goes at the thread's next
 * call here, by which time it has left the earlier one. A thread may be given
 * its own late range again: its host calls happen in order. MAP_FIXED over a
 * late range needs no care: a program that does that has synchronised with the
 * return of the other thread's munmap.
 */
#include <stdlib.h>
#include <string.h>

#include "mm/mm_internal.h"

static struct vma *vma_of(struct rb_node *n)
{
    return n ? rb_entry(n, struct vma, rb) : NULL;
}

struct vma *mm_next(struct vma *v)
{
    return vma_of(rb_next(&v->rb));
}

struct vma *vma_prev(struct vma *v)
{
    return vma_of(rb_prev(&v->rb));
}

struct vma *mm_find(struct mm *mm, u64 addr)
{
    struct vma *best = NULL;
    for (struct rb_node *n = mm->vmas.root; n;) {
        struct vma *v = vma_of(n);
        if (v->end > addr) {
            best = v;
            if (v->start <= addr)
                break;
            n = n->left;
        } else {
            n = n->right;
        }
    }
    return best;
}

bool vma_covers(struct mm *mm, u64 start, u64 end)
{
    for (struct vma *v = mm_find(mm, start); v && v->start <= start; v = mm_next(v)) {
        if (v->end >= end)
            return true;
        start = v->end;
    }
    return false;
}

bool vma_is_free(struct mm *mm, u64 start, u64 end)
{
    const struct vma *v = mm_find(mm, start);
    return !v || v->start >= end;
}

/* ---- gaps ---------------------------------------------------------------------------------- */

/* The lowest address that a mapping below v must leave alone. */
static u64 guarded_start(const struct vma *v)
{
    if (!(v->flags & VMA_GROWSDOWN))
        return v->start;
    return v->start > STACK_GUARD_GAP ? v->start - STACK_GUARD_GAP : 0;
}

static void update_max_gap(struct rb_node *n)
{
    struct vma *v = vma_of(n);
    u64 max = v->gap;
    if (n->left)
        max = MAX(max, vma_of(n->left)->max_gap);
    if (n->right)
        max = MAX(max, vma_of(n->right)->max_gap);
    v->max_gap = max;
}

static u64 gap_below(struct vma *v)
{
    const struct vma *prev = vma_prev(v);
    u64 below = prev ? prev->end : 0, top = guarded_start(v);
    return top > below ? top - below : 0;
}

/* After v's start, flags or the end of its predecessor changed. */
static void refresh_gap(struct vma *v)
{
    if (!v)
        return;
    u64 gap = gap_below(v);
    if (gap == v->gap)
        return;
    v->gap = gap;
    rb_propagate(&v->rb, update_max_gap);
}

/* ---- accounting ---------------------------------------------------------------------------- */

static void account(struct mm *mm, u32 flags, s64 bytes)
{
    u64 n = (u64)bytes;
    mm->total_size += n;
    if (flags & VMA_LOCKED)
        mm->locked_size += n;
    if (flags & VMA_SHARED)
        mm->shared_size += n;
    if (vma_flags_is_data(flags))
        mm->data_size += n;
    else if (flags & VMA_GROWSDOWN)
        mm->stack_size += n;
    else if ((flags & (LX_PROT_EXEC | LX_PROT_WRITE)) == LX_PROT_EXEC)
        mm->exec_size += n;
    mm->peak_size = MAX(mm->peak_size, mm->total_size);
}

/* ---- making and freeing -------------------------------------------------------------------- */

static void vma_free(struct vma *v)
{
    if (!v)
        return;
    if (v->obj) {
        if (v->obj->ops->vma_closed)
            v->obj->ops->vma_closed(v->obj, vma_flags_writable_shared(v->flags));
        v->obj->ops->put(v->obj);
    }
    free(v->anon_name);
    free(v);
}

static int vma_new(u64 start, u64 end, const struct vma_kind *k, struct vma **ret_v)
{
    struct vma *v = calloc(1, sizeof(*v));
    if (!v)
        return -LX_ENOMEM;
    v->start = start;
    v->end = end;
    v->flags = k->flags;
    v->offset = k->offset;
    v->policy = k->policy;
    if (k->anon_name) {
        v->anon_name = strdup(k->anon_name);
        if (!v->anon_name) {
            free(v);
            return -LX_ENOMEM;
        }
    }
    if (k->obj) {
        if (k->obj->ops->vma_opened) {
            int r = k->obj->ops->vma_opened(k->obj, vma_flags_writable_shared(k->flags));
            if (r < 0) {
                free(v->anon_name);
                free(v);
                return r;
            }
        }
        k->obj->ops->get(k->obj);
        v->obj = k->obj;
    }
    *ret_v = v;
    return 0;
}

void graveyard_clear(struct graveyard *g)
{
    while (g->first) {
        struct vma *v = g->first;
        g->first = vma_of(v->rb.left);
        vma_free(v);
    }
}

/* ---- the tree ------------------------------------------------------------------------------ */

static void vma_link(struct mm *mm, struct vma *v)
{
    struct rb_node **link = &mm->vmas.root, *parent = NULL;
    while (*link) {
        parent = *link;
        link = v->start < vma_of(parent)->start ? &parent->left : &parent->right;
    }
    v->gap = 0;
    rb_link_augmented(&mm->vmas, &v->rb, parent, link, update_max_gap);
    refresh_gap(v);
    refresh_gap(mm_next(v));
    mm->nvmas++;
}

/* Out of the tree, accounting untouched. */
static void vma_unlink(struct mm *mm, struct vma *v, struct graveyard *g)
{
    struct vma *next = mm_next(v);
    rb_erase_augmented(&mm->vmas, &v->rb, update_max_gap);
    refresh_gap(next);
    mm->nvmas--;
    v->rb.left = g->first ? &g->first->rb : NULL;
    g->first = v;
}

void vma_remove(struct mm *mm, struct vma *v, struct graveyard *g)
{
    account(mm, v->flags, -(s64)(v->end - v->start));
    vma_unlink(mm, v, g);
}

void vma_set_flags(struct mm *mm, struct vma *v, u32 flags)
{
    s64 size = (s64)(v->end - v->start);
    account(mm, v->flags, -size);
    account(mm, flags, size);
    v->flags = flags;
    refresh_gap(v);
}

void vma_set_start(struct mm *mm, struct vma *v, u64 start)
{
    account(mm, v->flags, (s64)(v->start - start));
    if (v->obj)
        v->offset += start - v->start;
    v->start = start;
    refresh_gap(v);
}

static bool names_equal(const char *a, const char *b)
{
    return a == b || (a && b && !strcmp(a, b));
}

/* Does a mapping of kind k that starts at `start` continue v? */
static bool continues(const struct vma *v, u64 start, const struct vma_kind *k)
{
    return v->end == start && v->flags == k->flags && v->obj == k->obj &&
           (!v->obj || v->offset + (v->end - v->start) == k->offset) && v->policy == k->policy &&
           names_equal(v->anon_name, k->anon_name);
}

static struct vma_kind kind_of(const struct vma *v)
{
    return (struct vma_kind){v->flags, v->obj, v->offset, v->anon_name, v->policy};
}

/* The two are neighbours and alike: lower takes upper's range. */
static void absorb(struct mm *mm, struct vma *lower, struct vma *upper, struct graveyard *g)
{
    u64 end = upper->end;
    vma_unlink(mm, upper, g);
    lower->end = end;
    refresh_gap(mm_next(lower));
}

struct vma *vma_join(struct mm *mm, struct vma *v, struct graveyard *g)
{
    if (vma_is_fixed_by_host(v))
        return v;
    struct vma *prev = vma_prev(v), *next = mm_next(v);
    if (next) {
        struct vma_kind k = kind_of(next);
        if (continues(v, next->start, &k))
            absorb(mm, v, next, g);
    }
    if (prev) {
        struct vma_kind k = kind_of(v);
        if (continues(prev, v->start, &k)) {
            absorb(mm, prev, v, g);
            return prev;
        }
    }
    return v;
}

int vma_add(struct mm *mm, u64 start, u64 end, const struct vma_kind *k, struct graveyard *g,
            struct vma **ret_v)
{
    struct vma *next = mm_find(mm, start);
    struct vma *prev = next ? vma_prev(next) : vma_of(rb_last(&mm->vmas));
    assert(!next || next->start >= end);
    bool is_merge_ok = !(k->flags & (VMA_VDSO | VMA_VVAR));
    bool is_with_prev = is_merge_ok && prev && continues(prev, start, k);
    bool is_with_next = false;
    if (is_merge_ok && next && next->start == end) {
        struct vma probe = {.start = start,
                            .end = end,
                            .flags = k->flags,
                            .obj = k->obj,
                            .offset = k->offset,
                            .policy = k->policy};
        struct vma_kind nk = kind_of(next);
        is_with_next = names_equal(k->anon_name, nk.anon_name);
        nk.anon_name = NULL;
        is_with_next = is_with_next && continues(&probe, end, &nk);
    }
    struct vma *v = prev;
    if (is_with_prev) {
        prev->end = end;
        if (is_with_next)
            absorb(mm, prev, next, g);
        else
            refresh_gap(next);
    } else if (is_with_next) {
        v = next;
        v->start = start;
        v->offset = k->offset;
        refresh_gap(v);
    } else {
        int r = vma_new(start, end, k, &v);
        if (r < 0)
            return r;
        vma_link(mm, v);
    }
    account(mm, k->flags, (s64)(end - start));
    if (ret_v)
        *ret_v = v;
    return 0;
}

int vma_split(struct mm *mm, struct vma *v, u64 at, struct vma **ret_upper)
{
    assert(at > v->start && at < v->end);
    if (mm->nvmas >= MM_MAX_MAPS)
        return -LX_ENOMEM;
    struct vma_kind k = kind_of(v);
    if (k.obj)
        k.offset += at - v->start;
    struct vma *upper;
    int r = vma_new(at, v->end, &k, &upper);
    if (r < 0)
        return r;
    v->end = at;
    vma_link(mm, upper);
    *ret_upper = upper;
    return 0;
}

int vma_isolate(struct mm *mm, struct vma **v, u64 start, u64 end)
{
    struct vma *upper;
    if ((*v)->start < start) {
        int r = vma_split(mm, *v, start, &upper);
        if (r < 0)
            return r;
        *v = upper;
    }
    if ((*v)->end > end) {
        int r = vma_split(mm, *v, end, &upper);
        if (r < 0)
            return r;
    }
    return 0;
}

/* ---- finding room -------------------------------------------------------------------------- */

struct window {
    u64 low, high, size;
};

/* The highest place below `v`'s subtree's nodes inside the window; 0: none. */
static u64 search_down(struct rb_node *n, const struct window *w)
{
    struct vma *v = vma_of(n);
    if (!n || v->max_gap < w->size)
        return 0;
    if (v->end < w->high) {
        u64 r = search_down(n->right, w);
        if (r)
            return r;
    }
    u64 top = guarded_start(v), bottom = top > v->gap ? top - v->gap : 0;
    u64 high = MIN(top, w->high), low = MAX(bottom, w->low);
    if (v->gap >= w->size && high >= low && high - low >= w->size)
        return high - w->size;
    return v->start > w->low ? search_down(n->left, w) : 0;
}

static u64 search_up(struct rb_node *n, const struct window *w)
{
    struct vma *v = vma_of(n);
    if (!n || v->max_gap < w->size)
        return 0;
    if (v->start > w->low) {
        u64 r = search_up(n->left, w);
        if (r)
            return r;
    }
    u64 top = guarded_start(v), bottom = top > v->gap ? top - v->gap : 0;
    u64 high = MIN(top, w->high), low = MAX(bottom, w->low);
    if (v->gap >= w->size && high >= low && high - low >= w->size)
        return low;
    return v->end < w->high ? search_up(n->right, w) : 0;
}

static u64 search(struct mm *mm, const struct window *w, bool is_top_down)
{
    if (w->low >= w->high || w->high - w->low < w->size)
        return 0;
    const struct vma *last = vma_of(rb_last(&mm->vmas));
    u64 above = MAX(last ? last->end : 0, w->low);
    bool fits_above = above < w->high && w->high - above >= w->size;
    if (is_top_down)
        return fits_above ? w->high - w->size : search_down(mm->vmas.root, w);
    u64 r = search_up(mm->vmas.root, w);
    return r ? r : fits_above ? above : 0;
}

void mm_late_flush(struct mm *mm, struct uctx *ctx)
{
    for (u32 i = 0; i < mm->nlate;) {
        if (mm->late[i].ctx == ctx)
            mm->late[i] = mm->late[--mm->nlate];
        else
            i++;
    }
}

bool mm_late_note(struct mm *mm, struct uctx *ctx, u64 start, u64 end)
{
    if (mm->nlate == MM_MAX_LATE)
        return false;
    mm->late[mm->nlate++] = (struct mm_late){ctx, start, end};
    return true;
}

/* The late unmap of another thread that [start, end) meets, or NULL. */
static const struct mm_late *late_conflict(const struct mm *mm, const struct uctx *ctx, u64 start,
                                           u64 end)
{
    for (u32 i = 0; i < mm->nlate; i++) {
        const struct mm_late *l = &mm->late[i];
        if (l->ctx != ctx && l->start < end && start < l->end)
            return l;
    }
    return NULL;
}

bool mm_late_conflicts(const struct mm *mm, const struct uctx *ctx, u64 start, u64 end)
{
    return late_conflict(mm, ctx, start, end);
}

/* A place in [low, high) that meets no late unmap of others. */
static u64 search_clear(struct mm *mm, struct uctx *ctx, u64 low, u64 high, u64 size,
                        bool is_top_down)
{
    struct window w = {low, high, size};
    for (;;) {
        u64 addr = search(mm, &w, is_top_down);
        const struct mm_late *l = addr ? late_conflict(mm, ctx, addr, addr + size) : NULL;
        if (!l)
            return addr;
        if (is_top_down)
            w.high = l->start;
        else
            w.low = l->end;
    }
}

static bool hint_is_usable(struct mm *mm, struct uctx *ctx, u64 hint, u64 size)
{
    if (!hint || !range_is_mappable(hint, size))
        return false;
    struct vma *v = mm_find(mm, hint);
    if (v && guarded_start(v) < hint + size)
        return false;
    return !late_conflict(mm, ctx, hint, hint + size);
}

/* As search_clear in the usual area: top-down below mmap_base, else upwards from it. */
static u64 search_default(struct mm *mm, struct uctx *ctx, u64 size)
{
    u64 addr = search_clear(mm, ctx, PLATFORM_MIN, mm->mmap_base, size, true);
    return addr ? addr : search_clear(mm, ctx, PLATFORM_MIN, PLATFORM_MAX, size, false);
}

u64 mm_find_room(struct mm *mm, struct uctx *ctx, u64 hint, u64 size, u32 map_flags,
                 bool is_huge_aligned)
{
    if (map_flags & LX_MAP_32BIT) {
        /* Linux looks in [1 GiB, 2 GiB); the part of it that guests have, then what is below. */
        u64 addr = search_clear(mm, ctx, 0x40000000, PLATFORM_LOW_MAX, size, false);
        return addr ? addr : search_clear(mm, ctx, PLATFORM_LOW_MIN, 0x40000000, size, false);
    }
    if (hint_is_usable(mm, ctx, hint, size))
        return hint;
    if (is_huge_aligned) {
        u64 addr = search_default(mm, ctx, size + HUGE_PAGE_SIZE - PAGE_SIZE);
        if (addr)
            return (addr + HUGE_PAGE_SIZE - 1) & ~(HUGE_PAGE_SIZE - 1);
    }
    return search_default(mm, ctx, size);
}
