/*
 * User memory: copies between guest spaces and ours.
 *
 * Addresses outside the areas that a guest may map fault without being tried,
 * so no copy can read or write the stub's own pages. A copy that stops short below
 * a growable stack grows it and goes on, as the kernel's own faults do.
 */
#include <string.h>

#include "host/futex.h"
#include "mm/mm_internal.h"

static _Thread_local struct mm *current_mm;
static _Thread_local struct uctx *current_ctx;

void mm_use(struct mm *mm, struct uctx *ctx)
{
    current_mm = mm;
    current_ctx = ctx;
}

struct mm *mm_current(void)
{
    return current_mm;
}

struct uctx *mm_current_ctx(void)
{
    return current_ctx;
}

/* How much of [addr, addr + size) from addr on lies in a guest area. */
static size_t clip(u64 addr, size_t size)
{
    u64 end;
    if (addr >= PLATFORM_MIN && addr < PLATFORM_MAX)
        end = PLATFORM_MAX;
    else if (addr >= PLATFORM_LOW_MIN && addr < PLATFORM_LOW_MAX)
        end = PLATFORM_LOW_MAX;
    else
        return 0;
    return MIN(size, end - addr);
}

size_t mm_copy_from(struct mm *mm, struct uctx *ctx, u64 addr, void *buf, size_t size)
{
    size = clip(addr, size);
    if (!mm || size == 0)
        return 0;
    size_t done = aspace_read(mm->as, ctx, addr, buf, size);
    while (unlikely(done < size)) {
        if (!mm_grow_stack(mm, addr + done))
            break;
        size_t more = aspace_read(mm->as, ctx, addr + done, (char *)buf + done, size - done);
        if (more == 0)
            break;
        done += more;
    }
    return done;
}

/*
 * When a group of the host has no memory left, its kernel kills somebody and lets a fault of a
 * program wait until that one's memory is back; a copy from outside it gives up on the way. So a
 * page that the program has and may write, and that the host did not take, is tried again for as
 * long as that may last.
 */
#define MEMORY_TRIES  500U
#define MEMORY_TRY_NS 1000000

static bool may_write(struct mm *mm, u64 addr, bool *ret_is_anon)
{
    MUTEX_GUARD(&mm->lock);
    const struct vma *v = mm_find(mm, addr);
    *ret_is_anon = v && !v->obj;
    return v && v->start <= addr && (v->flags & LX_PROT_WRITE);
}

static bool await_memory(struct mm *mm, u64 addr, u32 *ntries)
{
    static volatile u32 nobody_wakes;
    bool is_anon;
    char c;
    if (*ntries >= MEMORY_TRIES || aspace_is_dead(mm->as) || !may_write(mm, addr, &is_anon))
        return false;
    if (!is_anon && aspace_read(mm->as, NULL, addr, &c, 1) == 0)
        return false; /* past a file's end */
    ++*ntries;
    (void)host_futex_wait(&nobody_wakes, 0, MEMORY_TRY_NS);
    return true;
}

size_t mm_copy_to(struct mm *mm, struct uctx *ctx, u64 addr, const void *buf, size_t size)
{
    u32 ntries = 0;
    size = clip(addr, size);
    if (!mm || size == 0)
        return 0;
    size_t done = aspace_write(mm->as, ctx, addr, buf, size);
    while (unlikely(done < size)) {
        bool is_grown = mm_grow_stack(mm, addr + done);
        if (!is_grown && !await_memory(mm, addr + done, &ntries))
            break;
        size_t more = aspace_write(mm->as, ctx, addr + done, (const char *)buf + done, size - done);
        if (more == 0 && is_grown)
            break;
        done += more;
    }
    return done;
}

int copy_in(void *dst, uaddr_t src, size_t size)
{
    return mm_copy_from(current_mm, current_ctx, src.v, dst, size) == size ? 0 : -LX_EFAULT;
}

int copy_out(uaddr_t dst, const void *src, size_t size)
{
    return mm_copy_to(current_mm, current_ctx, dst.v, src, size) == size ? 0 : -LX_EFAULT;
}

int clear_out(uaddr_t dst, size_t size)
{
    static const char zeros[4096];
    while (size) {
        size_t n = MIN(size, sizeof(zeros));
        int r = copy_out(dst, zeros, n);
        if (r < 0)
            return r;
        dst = uaddr_add(dst, n);
        size -= n;
    }
    return 0;
}

s64 copy_in_str(char *dst, uaddr_t src, size_t size)
{
    size_t max = clip(src.v, size);
    if (!current_mm || size == 0 || max == 0)
        return size ? -LX_EFAULT : -LX_ENAMETOOLONG;
    size_t n = aspace_read_str(current_mm->as, current_ctx, src.v, dst, max);
    if (n == 0 || n > max)
        return -LX_EFAULT;
    if (dst[n - 1] == 0)
        return (s64)n - 1;
    return n == size ? -LX_ENAMETOOLONG : -LX_EFAULT;
}

int copy_in_struct(void *dst, size_t ksize, uaddr_t src, size_t usize)
{
    size_t n = MIN(ksize, usize);
    memset((char *)dst + n, 0, ksize - n);
    int r = copy_in(dst, src, n);
    if (r < 0 || usize <= ksize)
        return r;
    /* Callers cap usize at a page, as Linux does; this loop is bounded all the same. */
    if (usize > ksize + PAGE_SIZE)
        return -LX_E2BIG;
    for (size_t at = ksize; at < usize;) {
        char rest[256];
        size_t part = MIN(usize - at, sizeof(rest));
        if ((r = copy_in(rest, uaddr_add(src, at), part)) < 0)
            return r;
        for (size_t i = 0; i < part; i++)
            if (rest[i])
                return -LX_E2BIG;
        at += part;
    }
    return 0;
}

/* ---- other spaces -------------------------------------------------------------------------- */

size_t mm_read(struct mm *mm, u64 addr, void *buf, size_t size)
{
    return mm_copy_from(mm, NULL, addr, buf, size);
}

size_t mm_write(struct mm *mm, u64 addr, const void *buf, size_t size)
{
    return mm_copy_to(mm, NULL, addr, buf, size);
}

/* Bytes from addr on, at most size, that lie in one VMA which a forced access may touch. */
static size_t forced_extent(struct mm *mm, u64 addr, size_t size, bool is_write)
{
    MUTEX_GUARD(&mm->lock);
    const struct vma *v = mm_find(mm, addr);
    if (!v || v->start > addr)
        return 0;
    bool is_ok = v->flags & (is_write ? LX_PROT_WRITE : LX_PROT_READ);
    /* Past the protection: a private page is copied; a shared one must be writable as it is. */
    if (!is_ok && is_write)
        is_ok = v->flags & VMA_MAYWRITE && !(v->flags & VMA_SHARED);
    else if (!is_ok)
        is_ok = v->flags & VMA_MAYREAD;
    return is_ok && !(is_write && v->flags & (VMA_VDSO | VMA_VVAR)) ? MIN(size, v->end - addr) : 0;
}

size_t mm_read_force(struct mm *mm, u64 addr, void *buf, size_t size)
{
    size_t done = 0;
    size = clip(addr, size);
    while (done < size) {
        size_t n = forced_extent(mm, addr + done, size - done, false);
        size_t got = n ? aspace_read_force(mm->as, addr + done, (char *)buf + done, n) : 0;
        done += MIN(got, n);
        if (n == 0 || got < n)
            break;
    }
    return done;
}

size_t mm_write_force(struct mm *mm, u64 addr, const void *buf, size_t size)
{
    size_t done = 0;
    size = clip(addr, size);
    while (done < size) {
        size_t n = forced_extent(mm, addr + done, size - done, true);
        size_t put = n ? aspace_write_force(mm->as, addr + done, (const char *)buf + done, n) : 0;
        done += MIN(put, n);
        if (n == 0 || put < n)
            break;
    }
    return done;
}
