/*
 * A model of platform.h's address spaces for unit tests: mappings are a sorted
 * array of segments, private pages a table of page copies. Everything that mm
 * tells the host is applied at once, so that tests can compare the tree with the host.
 */
#ifndef FAKE_PLATFORM_H
#define FAKE_PLATFORM_H

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "abi/errno.h"
#include "platform/platform.h"

struct fake_seg {
    u64 start, end;
    u32 prot;
    int kind, fd;
    u64 offset;
};

#define FAKE_MAX_SEGS  4096
#define FAKE_MAX_PAGES 8192

struct fake_page {
    u64 addr; /* 0: free slot */
    char *data;
};

struct aspace {
    u32 nsegs;
    struct fake_seg segs[FAKE_MAX_SEGS];
    struct fake_page pages[FAKE_MAX_PAGES];
    u64 ncalls;
    int fail_after; /* > 0: count down, then every mapping call fails with ENOMEM */
};

struct uctx {
    struct aspace *as;
};

static struct aspace *fake_last; /* the aspace made last */

static int fake_fail(struct aspace *as)
{
    as->ncalls++;
    if (as->fail_after > 0 && --as->fail_after == 0) {
        as->fail_after = 0;
        return -LX_ENOMEM;
    }
    return 0;
}

static void fake_pages_drop(struct aspace *as, u64 start, u64 end)
{
    for (u32 i = 0; i < FAKE_MAX_PAGES; i++)
        if (as->pages[i].addr >= start && as->pages[i].addr < end && as->pages[i].addr) {
            free(as->pages[i].data);
            as->pages[i] = (struct fake_page){0};
        }
}

static struct fake_page *fake_page_find(struct aspace *as, u64 addr)
{
    for (u32 i = 0; i < FAKE_MAX_PAGES; i++)
        if (as->pages[i].addr == addr)
            return &as->pages[i];
    return NULL;
}

static void fake_insert(struct aspace *as, u32 at, struct fake_seg s)
{
    if (as->nsegs == FAKE_MAX_SEGS)
        abort();
    memmove(&as->segs[at + 1], &as->segs[at], (as->nsegs - at) * sizeof(s));
    as->segs[at] = s;
    as->nsegs++;
}

/* Cuts whatever straddles addr. */
static void fake_cut(struct aspace *as, u64 addr)
{
    for (u32 i = 0; i < as->nsegs; i++) {
        struct fake_seg *s = &as->segs[i];
        if (s->start < addr && addr < s->end) {
            struct fake_seg up = *s;
            up.offset += addr - s->start;
            up.start = addr;
            s->end = addr;
            fake_insert(as, i + 1, up);
            return;
        }
    }
}

static void fake_clear(struct aspace *as, u64 start, u64 end)
{
    fake_cut(as, start);
    fake_cut(as, end);
    u32 n = 0;
    for (u32 i = 0; i < as->nsegs; i++)
        if (as->segs[i].start < start || as->segs[i].start >= end)
            as->segs[n++] = as->segs[i];
    as->nsegs = n;
}

static void fake_add(struct aspace *as, struct fake_seg s)
{
    u32 at = 0;
    while (at < as->nsegs && as->segs[at].start < s.start)
        at++;
    fake_insert(as, at, s);
}

static struct fake_seg *fake_seg_at(struct aspace *as, u64 addr)
{
    for (u32 i = 0; i < as->nsegs; i++)
        if (as->segs[i].start <= addr && addr < as->segs[i].end)
            return &as->segs[i];
    return NULL;
}

int aspace_new(struct aspace **ret_as)
{
    *ret_as = fake_last = calloc(1, sizeof(**ret_as));
    return *ret_as ? 0 : -LX_ENOMEM;
}

int aspace_fork(struct aspace *parent, struct uctx *caller, struct aspace **ret_as,
                struct uctx **ret_ctx)
{
    struct aspace *as = calloc(1, sizeof(*as));
    if (!as)
        return -LX_ENOMEM;
    memcpy(as->segs, parent->segs, sizeof(as->segs));
    as->nsegs = parent->nsegs;
    for (u32 i = 0; i < FAKE_MAX_PAGES; i++)
        if (parent->pages[i].addr) {
            as->pages[i].addr = parent->pages[i].addr;
            as->pages[i].data = malloc(PAGE_SIZE);
            memcpy(as->pages[i].data, parent->pages[i].data, PAGE_SIZE);
        }
    *ret_as = fake_last = as;
    *ret_ctx = calloc(1, sizeof(**ret_ctx));
    (*ret_ctx)->as = as;
    return 0;
}

bool aspace_is_dead(const struct aspace *as)
{
    return false;
}

void aspace_get(struct aspace *as)
{
}

void aspace_put(struct aspace *as)
{
    fake_pages_drop(as, 0, UINT64_MAX);
    free(as);
}

void aspace_vdso(const struct aspace *as, struct aspace_vdso *ret)
{
    *ret = (struct aspace_vdso){0x7ffd00000000, 0x4000, 0x7ffd00004000, 0x2000};
}

int aspace_map(struct aspace *as, struct uctx *via, u64 addr, u64 size, u32 prot, int kind,
               u32 extra_map_flags, int host_fd, u64 offset)
{
    if (fake_fail(as))
        return -LX_ENOMEM;
    fake_clear(as, addr, addr + size);
    fake_pages_drop(as, addr, addr + size);
    fake_add(as, (struct fake_seg){addr, addr + size, prot, kind, host_fd, offset});
    return 0;
}

int aspace_unmap(struct aspace *as, struct uctx *via, u64 addr, u64 size)
{
    if (fake_fail(as))
        return -LX_ENOMEM;
    fake_clear(as, addr, addr + size);
    fake_pages_drop(as, addr, addr + size);
    return 0;
}

int aspace_protect(struct aspace *as, struct uctx *via, u64 addr, u64 size, u32 prot)
{
    if (fake_fail(as))
        return -LX_ENOMEM;
    fake_cut(as, addr);
    fake_cut(as, addr + size);
    u64 covered = 0;
    for (u32 i = 0; i < as->nsegs; i++)
        if (as->segs[i].start >= addr && as->segs[i].end <= addr + size) {
            as->segs[i].prot = prot;
            covered += as->segs[i].end - as->segs[i].start;
        }
    return covered == size ? 0 : -LX_ENOMEM;
}

int aspace_advise(struct aspace *as, struct uctx *via, u64 addr, u64 size, int advice)
{
    as->ncalls++;
    if (advice == 4)
        fake_pages_drop(as, addr, addr + size);
    return 0;
}

/* Moves within one segment only, as the host does. */
int aspace_remap(struct aspace *as, u64 old_addr, u64 old_size, u64 new_addr, u64 new_size,
                 bool is_dontunmap)
{
    if (fake_fail(as))
        return -LX_ENOMEM;
    struct fake_seg *s = fake_seg_at(as, old_addr);
    if (!s || s->end < old_addr + old_size)
        return -LX_EFAULT;
    struct fake_seg moved = *s;
    moved.offset += old_addr - s->start;
    moved.start = new_addr;
    moved.end = new_addr + new_size;
    fake_clear(as, new_addr, new_addr + new_size);
    fake_pages_drop(as, new_addr, new_addr + new_size);
    for (u32 i = 0; i < FAKE_MAX_PAGES; i++)
        if (as->pages[i].addr >= old_addr && as->pages[i].addr < old_addr + old_size &&
            as->pages[i].addr)
            as->pages[i].addr += new_addr - old_addr;
    if (!is_dontunmap)
        fake_clear(as, old_addr, old_addr + old_size);
    fake_add(as, moved);
    return 0;
}

int aspace_mincore(struct aspace *as, u64 addr, u64 size, u8 *ret_vec)
{
    for (u64 at = addr; at < addr + size; at += PAGE_SIZE) {
        if (!fake_seg_at(as, at))
            return -LX_ENOMEM;
        ret_vec[(at - addr) / PAGE_SIZE] = fake_page_find(as, at) != NULL;
    }
    return 0;
}

int aspace_msync(struct aspace *as, u64 addr, u64 size, int flags)
{
    return 0;
}

int aspace_batch_begin(struct aspace *as)
{
    return 0;
}

int aspace_batch_end(struct aspace *as)
{
    return 0;
}

int aspace_mlock(struct aspace *as, u64 addr, u64 size, bool is_lock, bool is_onfault)
{
    return 0;
}

/* One page's worth or less, inside one page. */
static bool fake_access(struct aspace *as, u64 addr, void *rbuf, const void *wbuf, size_t n,
                        bool is_force)
{
    struct fake_seg *s = fake_seg_at(as, addr);
    if (!s || (!is_force && !(s->prot & (wbuf ? 2 : 1))))
        return false;
    u64 page = addr & PAGE_MASK, in = addr - page;
    off_t off = (off_t)(s->offset + (addr - s->start));
    if (s->kind == ASPACE_SHARED_FILE)
        return (wbuf ? pwrite(s->fd, wbuf, n, off) : pread(s->fd, rbuf, n, off)) == (ssize_t)n;
    struct fake_page *p = fake_page_find(as, page);
    if (!p && wbuf) {
        p = fake_page_find(as, 0);
        if (!p)
            abort();
        p->addr = page;
        p->data = calloc(1, PAGE_SIZE);
        if (s->kind == ASPACE_PRIVATE_FILE && pread(s->fd, p->data, PAGE_SIZE, off - (off_t)in) < 0)
            return false;
    }
    if (wbuf) {
        memcpy(p->data + in, wbuf, n);
    } else if (p) {
        memcpy(rbuf, p->data + in, n);
    } else {
        memset(rbuf, 0, n);
        if (s->kind == ASPACE_PRIVATE_FILE && pread(s->fd, rbuf, n, off) < 0)
            return false;
    }
    return true;
}

static size_t fake_copy(struct aspace *as, u64 addr, char *rbuf, const char *wbuf, size_t size,
                        bool is_force)
{
    size_t done = 0;
    while (done < size) {
        size_t n = MIN(size - done, PAGE_SIZE - ((addr + done) & ~PAGE_MASK));
        if (!fake_access(as, addr + done, rbuf ? rbuf + done : NULL, wbuf ? wbuf + done : NULL, n,
                         is_force))
            break;
        done += n;
    }
    return done;
}

size_t aspace_read(struct aspace *as, struct uctx *ctx, u64 addr, void *buf, size_t size)
{
    return fake_copy(as, addr, buf, NULL, size, false);
}

size_t aspace_write(struct aspace *as, struct uctx *ctx, u64 addr, const void *buf, size_t size)
{
    return fake_copy(as, addr, NULL, buf, size, false);
}

size_t aspace_read_force(struct aspace *as, u64 addr, void *buf, size_t size)
{
    return fake_copy(as, addr, buf, NULL, size, true);
}

size_t aspace_write_force(struct aspace *as, u64 addr, const void *buf, size_t size)
{
    return fake_copy(as, addr, NULL, buf, size, true);
}

size_t aspace_read_str(struct aspace *as, struct uctx *ctx, u64 addr, char *buf, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (fake_copy(as, addr + i, buf + i, NULL, 1, false) != 1)
            return 0;
        if (!buf[i])
            return i + 1;
    }
    return size;
}

#endif
