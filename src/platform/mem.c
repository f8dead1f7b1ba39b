/*
 * User memory: process_vm_readv and process_vm_writev, bounded to the guest's
 * areas. The forced forms ignore protections as a debugger does: what the plain
 * copy cannot reach goes word by word through ptrace on the helper thread, which makes the
 * private copies that FOLL_FORCE makes.
 */
#include <errno.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "abi/errno.h"
#include "base/log.h"
#include "platform/internal.h"
#include "platform/title.h"
#include "platform/patch.h"

/* How much of [addr, addr + size) is in the guest's area that holds addr. */
static size_t clip(u64 addr, size_t size)
{
    u64 end;
    if (addr >= PLATFORM_LOW_MIN && addr < PLATFORM_LOW_MAX)
        end = PLATFORM_LOW_MAX;
    else if (addr >= PLATFORM_MIN && addr < PLATFORM_MAX)
        end = PLATFORM_MAX;
    else
        return 0;
    return MIN(size, end - addr);
}

static size_t plain_read(struct aspace *as, u64 addr, void *buf, size_t size)
{
    aspace_settle(as);
    if (!size || as->pid <= 0)
        return 0;
    struct iovec local = {buf, size};
    struct iovec remote = {(void *)(uintptr_t)addr, size};
    ssize_t n = process_vm_readv(as->pid, &local, 1, &remote, 1, 0);
    return n < 0 ? 0 : (size_t)n;
}

static size_t plain_write(struct aspace *as, u64 addr, const void *buf, size_t size)
{
    aspace_settle(as);
    if (!size || as->pid <= 0)
        return 0;
    struct iovec local = {(void *)(uintptr_t)buf, size};
    struct iovec remote = {(void *)(uintptr_t)addr, size};
    ssize_t n = process_vm_writev(as->pid, &local, 1, &remote, 1, 0);
    return n < 0 ? 0 : (size_t)n;
}

void aspace_set_title(struct aspace *as, const char *text, size_t size)
{
    char title[ASPACE_TITLE_MAX + 1];
    size = MIN(size, (size_t)ASPACE_TITLE_MAX);
    memcpy(title, text, size);
    title[size] = 0;
    (void)!plain_write(as, STUB_TITLE, title, size + 1); /* only ps goes without it */
}

/* ---- the window
 * ------------------------------------------------------------------------------------ */

void window_flush(struct uctx *ctx)
{
    for (u32 i = 0; i < ctx->nwin; i++) {
        const struct stub_win *w = &ctx->win[i];
        if (w->out_lo < w->out_hi)
            (void)!plain_write(ctx->as, w->addr + w->out_lo, ctx->window + w->off + w->out_lo,
                               w->out_hi - w->out_lo);
    }
    ctx->nwin = 0;
}

/* The window piece that was copied in from all of [addr, addr + size). */
static const u8 *window_in(const struct uctx *ctx, u64 addr, size_t size)
{
    for (u32 i = 0; i < ctx->nwin; i++) {
        const struct stub_win *w = &ctx->win[i];
        if (addr >= w->addr && addr - w->addr <= w->in_size &&
            size <= w->in_size - (addr - w->addr) && w->out_lo >= w->out_hi)
            return ctx->window + w->off + (addr - w->addr);
    }
    return NULL;
}

/* Something in [addr, addr + size) was written to the window and is not in guest memory yet. */
static bool is_window_dirty(const struct uctx *ctx, u64 addr, size_t size)
{
    for (u32 i = 0; i < ctx->nwin; i++) {
        const struct stub_win *w = &ctx->win[i];
        if (w->out_lo < w->out_hi && addr < w->addr + w->out_hi &&
            addr + size > w->addr + w->out_lo)
            return true;
    }
    return false;
}

/* True when the bytes were left in the window, for the thread to copy out itself. */
static bool window_out(struct uctx *ctx, u64 addr, const void *buf, size_t size)
{
    for (u32 i = 0; i < ctx->nwin; i++) {
        struct stub_win *w = &ctx->win[i];
        if (addr < w->addr || addr - w->addr > w->out_cap || size > w->out_cap - (addr - w->addr))
            continue;
        u32 lo = (u32)(addr - w->addr), hi = lo + (u32)size;
        if (w->out_lo >= w->out_hi) {
            w->out_lo = lo;
            w->out_hi = hi;
        } else if (lo <= w->out_hi && hi >= w->out_lo) {
            w->out_lo = MIN(w->out_lo, lo);
            w->out_hi = MAX(w->out_hi, hi);
        } else {
            return false; /* a gap would be copied out as garbage */
        }
        memcpy(ctx->window + w->off + lo, buf, size);
        return true;
    }
    return false;
}

/* ---- plain
 * ------------------------------------------------------------------------------------------- */

size_t aspace_read(struct aspace *as, struct uctx *ctx, u64 addr, void *buf, size_t size)
{
    if (ctx && ctx->nwin && ctx->as == as) {
        const u8 *in = window_in(ctx, addr, size);
        if (in) {
            memcpy(buf, in, size);
            patches_hide(as->patches, addr, buf, size);
            return size;
        }
        if (is_window_dirty(ctx, addr, size))
            window_flush(ctx);
    }
    queue_flush(as);
    size_t got = plain_read(as, addr, buf, clip(addr, size));
    patches_hide(as->patches, addr, buf, got);
    return got;
}

size_t aspace_write(struct aspace *as, struct uctx *ctx, u64 addr, const void *buf, size_t size)
{
    if (ctx && ctx->nwin && ctx->as == as) {
        if (size && window_out(ctx, addr, buf, size)) {
            patches_undo(as, addr, addr + size);
            return size;
        }
        /* What was copied in, or waits to be copied out, must not hide or undo this. */
        window_flush(ctx);
    }
    queue_flush(as);
    size = clip(addr, size);
    patches_undo(as, addr, addr + size);
    return plain_write(as, addr, buf, size);
}

size_t aspace_read_str(struct aspace *as, struct uctx *ctx, u64 addr, char *buf, size_t size)
{
    size_t have = 0;
    if (ctx && ctx->nwin && ctx->as == as) {
        for (u32 i = 0; i < ctx->nwin; i++) {
            const struct stub_win *w = &ctx->win[i];
            if (w->addr != addr || w->out_cap || !w->in_size)
                continue;
            size_t n = MIN(size, (size_t)w->in_size);
            memcpy(buf, ctx->window + w->off, n);
            const char *nul = memchr(buf, 0, n);
            if (nul)
                return (size_t)(nul - buf) + 1;
            if (n == size)
                return size;
        }
    }
    size = clip(addr, size);
    while (have < size) {
        /* To the end of the page, at most 256 bytes at first: most strings are short. */
        size_t n = MIN(size - have, PAGE_SIZE - ((addr + have) & ~PAGE_MASK));
        n = MIN(n, have ? PAGE_SIZE : 256);
        size_t got = aspace_read(as, ctx, addr + have, buf + have, n);
        if (!got)
            return 0;
        const char *nul = memchr(buf + have, 0, got);
        if (nul)
            return (size_t)(nul - buf) + 1;
        have += got;
    }
    return have;
}

/* ---- shapes
 * ------------------------------------------------------------------------------------------ */

_Static_assert(USHAPE_IN_STR == SHAPE_STR && USHAPE_IN_BUF == SHAPE_IN &&
                   USHAPE_OUT_BUF == SHAPE_OUT && USHAPE_IN_FIXED == SHAPE_INFIX &&
                   USHAPE_OUT_FIXED == SHAPE_OUTFIX && USHAPE_INOUT_FIXED == SHAPE_INOUT,
               "one numbering");
_Static_assert(sizeof(struct stub_shape) * STUB_NR_SHAPES <= STUB_SHAPES_SIZE, "layout");

void platform_set_shapes(u32 nr, const struct ushape shapes[6])
{
    struct stub_shape *table = platform_shapes();
    if (!table || nr >= STUB_NR_SHAPES)
        return;
    struct stub_shape row = {0};
    for (u32 i = 0; i < 6 && row.count < STUB_MAX_WIN; i++) {
        const struct ushape *s = &shapes[i];
        if (s->kind == USHAPE_NONE || s->size_arg > 5)
            continue;
        u32 n = row.count++;
        row.args[n].arg = (u8)i;
        row.args[n].kind = s->kind;
        row.args[n].size_arg = s->size_arg;
        row.args[n].elem_size = s->elem_size;
    }
    table[nr] = row;
}

/* ---- forced
 * ----------------------------------------------------------------------------------------- */

/* Stops the helper thread under ptrace. */
static bool force_begin(struct aspace *as)
{
    siginfo_t info = {0};
    if (ptrace(PTRACE_SEIZE, as->pid, 0, 0) < 0)
        return false;
    if (ptrace(PTRACE_INTERRUPT, as->pid, 0, 0) == 0 &&
        /* Without reaping: the pid must stay ours until the space is freed. */
        waitid(P_PID, (id_t)as->pid, &info, WSTOPPED | WEXITED | WNOWAIT | __WALL) == 0 &&
        (info.si_code == CLD_TRAPPED || info.si_code == CLD_STOPPED))
        return true;
    ptrace(PTRACE_DETACH, as->pid, 0, 0);
    return false;
}

static bool force_word(struct aspace *as, u64 addr, u64 *ret_word)
{
    errno = 0;
    long v = ptrace(PTRACE_PEEKDATA, as->pid, (void *)(uintptr_t)addr, NULL);
    if (v == -1 && errno)
        return false;
    *ret_word = (u64)v;
    return true;
}

/* Copies between buf and guest memory word by word; is_write by which of the buffers is set. */
static size_t force_copy(struct aspace *as, u64 addr, void *to, const void *from, size_t size)
{
    aspace_settle(as); /* before its order list may be written */
    MUTEX_GUARD(&as->helper_lock);
    aspace_settle(as);
    if (atomic_load(&as->is_dead) || !force_begin(as))
        return 0;
    size_t done = 0;
    while (done < size) {
        u64 at = (addr + done) & ~7UL, word;
        size_t skip = (addr + done) & 7, n = MIN(8 - skip, size - done);
        if (!force_word(as, at, &word))
            break;
        if (to) {
            memcpy((u8 *)to + done, (u8 *)&word + skip, n);
        } else {
            memcpy((u8 *)&word + skip, (const u8 *)from + done, n);
            if (ptrace(PTRACE_POKEDATA, as->pid, (void *)(uintptr_t)at, (void *)word) < 0)
                break;
        }
        done += n;
    }
    ptrace(PTRACE_DETACH, as->pid, 0, 0);
    return done;
}

size_t aspace_read_force(struct aspace *as, u64 addr, void *buf, size_t size)
{
    size = clip(addr, size);
    size_t done = aspace_read(as, NULL, addr, buf, size);
    while (done < size) {
        size_t n = MIN(size - done, PAGE_SIZE - ((addr + done) & ~PAGE_MASK));
        size_t got = force_copy(as, addr + done, (u8 *)buf + done, NULL, n);
        done += got;
        if (got < n)
            break;
    }
    return done;
}

size_t aspace_write_force(struct aspace *as, u64 addr, const void *buf, size_t size)
{
    size = clip(addr, size);
    size_t done = aspace_write(as, NULL, addr, buf, size);
    while (done < size) {
        size_t n = MIN(size - done, PAGE_SIZE - ((addr + done) & ~PAGE_MASK));
        size_t got = force_copy(as, addr + done, NULL, (const u8 *)buf + done, n);
        done += got;
        if (got < n)
            break;
    }
    return done;
}
