/* mm: the tree against a model host, errnos, limits, growth, copies, uio. */
#include "abi/signal.h"
#include "fake_platform.h"
#include "mm/mm.h"
#include "mm/uio.h"
#include "test.h"

#define RW   (LX_PROT_READ | LX_PROT_WRITE)
#define ANON (LX_MAP_PRIVATE | LX_MAP_ANONYMOUS)
#define BASE 0x200000000UL

static struct mm *mm;
static struct aspace *as;

static void setup(void)
{
    if (mm)
        mm_put(mm);
    mm = NULL;
    CHECK_EQ(mm_new(true, &mm), 0);
    as = fake_last;
    mm_use(mm, NULL);
}

static s64 map_at(u64 addr, u64 size, u32 prot, u32 flags)
{
    struct mm_map_req req = {.addr = addr, .size = size, .prot = prot, .flags = flags};
    return mm_map(mm, NULL, &req);
}

static u64 check_subtree(struct rb_node *n)
{
    if (!n)
        return 0;
    const struct vma *v = rb_entry(n, struct vma, rb);
    u64 max = MAX(check_subtree(n->left), check_subtree(n->right));
    max = MAX(max, v->gap);
    CHECK_EQ(v->max_gap, max);
    return max;
}

/* The tree's own invariants, and that the host has exactly what the tree says. */
static void check_tree(void)
{
    u64 total = 0, prev_end = 0;
    u32 n = 0, seg = 0;
    mutex_lock(&mm->lock);
    for (struct rb_node *r = rb_first(&mm->vmas); r; r = rb_next(r), n++) {
        struct vma *v = rb_entry(r, struct vma, rb);
        CHECK(v->start < v->end && v->start >= prev_end && !((v->start | v->end) & 4095));
        u64 top = v->flags & VMA_GROWSDOWN ? v->start - 256 * PAGE_SIZE : v->start;
        CHECK_EQ(v->gap, top > prev_end ? top - prev_end : 0);
        prev_end = v->end;
        total += v->end - v->start;
        if (v->flags & (VMA_VDSO | VMA_VVAR))
            continue;
        u64 at = v->start;
        while (seg < as->nsegs && as->segs[seg].start < v->end) {
            const struct fake_seg *s = &as->segs[seg];
            CHECK(s->start <= at && s->end > at);
            CHECK_EQ(s->prot, v->flags & 7);
            CHECK_EQ(s->kind == ASPACE_PRIVATE_ANON, v->obj == NULL);
            if (v->obj)
                CHECK_EQ(s->offset, v->offset + (s->start - v->start));
            at = MIN(s->end, v->end);
            if (s->end > v->end) /* marks that the host does not split for */
                break;
            seg++;
        }
        CHECK_EQ(at, v->end);
    }
    CHECK_EQ(seg, as->nsegs);
    CHECK_EQ(n, mm->nvmas);
    CHECK_EQ(total, mm->total_size);
    check_subtree(mm->vmas.root);
    mutex_unlock(&mm->lock);
}

TEST(map_unmap_merge)
{
    setup();
    u32 base = mm->nvmas;
    s64 a = map_at(0, 0x4000, RW, ANON);
    CHECK(a > 0 && (u64)a + 0x4000 == mm->mmap_base);
    CHECK_EQ(map_at(0, 0x1000, RW, ANON), a - 0x1000);
    CHECK_EQ(mm->nvmas, base + 1);
    check_tree();
    CHECK_EQ(mm_unmap(mm, NULL, (u64)a + 0x1000, 0x1000), 0);
    CHECK_EQ(mm->nvmas, base + 2);
    check_tree();
    CHECK_EQ(map_at(0, 0x1000, RW, ANON), a + 0x1000);
    CHECK_EQ(mm->nvmas, base + 1);
    CHECK_EQ(mm_unmap(mm, NULL, (u64)a - 0x10000, 0x20000), 0);
    check_tree();
    CHECK_EQ(mm->nvmas, base);
}

TEST(map_errors)
{
    setup();
    CHECK_EQ(map_at(0, 0, RW, ANON), -LX_EINVAL);
    CHECK_EQ(map_at(0, UINT64_MAX, RW, ANON), -LX_ENOMEM);
    CHECK_EQ(map_at(0, 20UL << 40, RW, ANON), -LX_ENOMEM);
    CHECK(map_at(0, 20UL << 40, LX_PROT_NONE, ANON) > 0);
    CHECK(map_at(0, 20UL << 40, RW, ANON | LX_MAP_NORESERVE) > 0);
    CHECK_EQ(map_at(0, 20UL << 40, RW, LX_MAP_SHARED | LX_MAP_ANONYMOUS), -LX_ENOMEM);
    CHECK_EQ(map_at(0x1001, 0x1000, RW, ANON | LX_MAP_FIXED), -LX_EINVAL);
    CHECK_EQ(map_at(0x1000, 0x1000, RW, ANON | LX_MAP_FIXED), -LX_EPERM);
    CHECK_EQ(map_at(PLATFORM_MAX, 0x1000, RW, ANON | LX_MAP_FIXED), -LX_ENOMEM);
    CHECK_EQ(map_at(0x60000000, 0x1000, RW, ANON | LX_MAP_FIXED), -LX_ENOMEM);
    CHECK_EQ(map_at(0x5ffff000, 0x2000, RW, ANON | LX_MAP_FIXED), -LX_ENOMEM);
    CHECK_EQ(map_at(0x5ffff000, 0x1000, RW, ANON | LX_MAP_FIXED), 0x5ffff000);
    CHECK_EQ(map_at(0x5ffff000, 0x1000, RW, ANON | LX_MAP_FIXED_NOREPLACE), -LX_EEXIST);
    CHECK_EQ(map_at(BASE, 0x1000, RW, ANON | LX_MAP_FIXED_NOREPLACE), BASE);
    CHECK(map_at(0x70000000, 0x1000, RW, ANON) > 0x100000000);
    CHECK_EQ(map_at(0x30000000, 0x1000, RW, ANON), 0x30000000);
    CHECK_EQ(map_at(0, 0x1000, RW, ANON | LX_MAP_32BIT), 0x40000000);
    CHECK_EQ(map_at(0, 0x1000, RW, LX_MAP_SHARED | LX_MAP_ANONYMOUS | LX_MAP_GROWSDOWN),
             -LX_EINVAL);
    CHECK_EQ(mm_unmap(mm, NULL, 0x7ffd00004000, 0x1000), -LX_EPERM);
    CHECK_EQ(map_at(0x7ffd00004000, 0x1000, RW, ANON | LX_MAP_FIXED), -LX_EPERM);
    CHECK_EQ(mm_unmap(mm, NULL, BASE + 1, 0x1000), -LX_EINVAL);
    CHECK_EQ(mm_unmap(mm, NULL, BASE, 0), -LX_EINVAL);
    CHECK_EQ(mm_unmap(mm, NULL, BASE, UINT64_MAX), -LX_EINVAL);
    check_tree();
}

TEST(protect)
{
    setup();
    CHECK_EQ(map_at(BASE, 0x6000, RW, ANON | LX_MAP_FIXED), BASE);
    u32 n = mm->nvmas;
    CHECK_EQ(mm_protect(mm, NULL, BASE + 0x1000, 0x2000, LX_PROT_READ), 0);
    CHECK_EQ(mm->nvmas, n + 2);
    check_tree();
    CHECK_EQ(mm_protect(mm, NULL, BASE, 0x6000, RW), 0);
    CHECK_EQ(mm->nvmas, n);
    CHECK_EQ(mm_protect(mm, NULL, BASE + 0x4000, 0x4000, LX_PROT_NONE), -LX_ENOMEM);
    CHECK_EQ(mm->nvmas, n + 1);
    check_tree();
    CHECK_EQ(mm_protect(mm, NULL, BASE, 0, RW), 0);
    CHECK_EQ(mm_protect(mm, NULL, BASE + 1, 1, RW), -LX_EINVAL);
    CHECK_EQ(mm_protect(mm, NULL, BASE, 0x1000, 0x80), -LX_EINVAL);
    CHECK_EQ(mm_protect(mm, NULL, BASE, 0x1000, RW | LX_PROT_GROWSDOWN), -LX_EINVAL);
}

TEST(limits)
{
    setup();
    mm->limits.as = mm->total_size + 0x3000;
    CHECK_EQ(map_at(BASE, 0x4000, RW, ANON | LX_MAP_FIXED), -LX_ENOMEM);
    CHECK_EQ(map_at(BASE, 0x3000, RW, ANON | LX_MAP_FIXED), BASE);
    CHECK_EQ(map_at(BASE, 0x3000, RW, ANON | LX_MAP_FIXED), BASE);
    setup();
    mm->limits.data = 0x2000;
    CHECK_EQ(map_at(BASE, 0x3000, RW, ANON | LX_MAP_FIXED), -LX_ENOMEM);
    CHECK_EQ(map_at(BASE, 0x3000, LX_PROT_READ, ANON | LX_MAP_FIXED), BASE);
    CHECK_EQ(mm_protect(mm, NULL, BASE, 0x3000, RW), -LX_ENOMEM);
    setup();
    mm->limits.memlock = 0x2000;
    CHECK_EQ(map_at(BASE, 0x3000, RW, ANON | LX_MAP_FIXED | LX_MAP_LOCKED), -LX_EAGAIN);
    CHECK_EQ(map_at(BASE, 0x3000, RW, ANON | LX_MAP_FIXED), BASE);
    CHECK_EQ(mm_lock_range(mm, BASE, 0x3000, true, false), -LX_ENOMEM);
    CHECK_EQ(mm_lock_range(mm, BASE + 5, 0x1000, true, false), 0);
    CHECK_EQ(mm->locked_size, 0x2000);
    CHECK_EQ(mm_lock_range(mm, BASE, 0x2000, true, false), 0);
    CHECK_EQ(mm_advise(mm, NULL, BASE, 0x1000, LX_MADV_DONTNEED), -LX_EINVAL);
    CHECK_EQ(mm_lock_range(mm, BASE, 0x3000, false, false), 0);
    CHECK_EQ(mm->locked_size, 0);
    mm->limits.memlock = 0;
    CHECK_EQ(mm_lock_range(mm, BASE, 0x1000, true, false), -LX_EPERM);
    CHECK_EQ(mm_lock_all(mm, LX_MCL_ONFAULT), -LX_EINVAL);
    check_tree();
}

TEST(map_count)
{
    setup();
    u32 i;
    /* Every second page differs, so nothing merges. The model host is too small for more. */
    for (i = 0; i < 2000; i++)
        CHECK(map_at(BASE + i * 0x1000, 0x1000, i % 2 ? RW : LX_PROT_READ, ANON | LX_MAP_FIXED) >
              0);
    check_tree();
    for (i = 1; i < 2000; i += 2)
        CHECK_EQ(mm_unmap(mm, NULL, BASE + i * 0x1000, 0x1000), 0);
    check_tree();
    CHECK_EQ(mm_unmap(mm, NULL, BASE, 2000 * 0x1000), 0);
    check_tree();
}

TEST(brk)
{
    setup();
    mm->brk_start = mm->brk_end = BASE + 0x123;
    CHECK_EQ(mm_brk(mm, NULL, 0), BASE + 0x123);
    CHECK_EQ(mm_brk(mm, NULL, BASE + 0x200), BASE + 0x200);
    CHECK_EQ(mm_brk(mm, NULL, BASE + 0x5000), BASE + 0x5000);
    check_tree();
    CHECK_EQ(mm_brk(mm, NULL, BASE + 0x1800), BASE + 0x1800);
    check_tree();
    CHECK_EQ(map_at(BASE + 0x8000, 0x1000, RW, ANON | LX_MAP_FIXED), BASE + 0x8000);
    CHECK_EQ(mm_brk(mm, NULL, BASE + 0x8000), BASE + 0x1800);
    mm->limits.data = 0x3000;
    CHECK_EQ(mm_brk(mm, NULL, BASE + 0x4000), BASE + 0x1800);
    char name[64];
    mutex_lock(&mm->lock);
    mm_vma_name(mm, mm_find(mm, BASE + 0x1000), name, sizeof(name));
    mutex_unlock(&mm->lock);
    CHECK_STR(name, "[heap]");
}

TEST(remap)
{
    setup();
    CHECK_EQ(map_at(BASE, 0x4000, RW, ANON | LX_MAP_FIXED), BASE);
    CHECK_EQ(mm_write(mm, BASE + 0x3ff8, "abcdefgh", 8), 8);
    /* In place. */
    CHECK_EQ(mm_remap(mm, BASE, 0x4000, 0x6000, 0, 0), BASE);
    check_tree();
    CHECK_EQ(map_at(BASE + 0x6000, 0x1000, LX_PROT_NONE, ANON | LX_MAP_FIXED), BASE + 0x6000);
    CHECK_EQ(mm_remap(mm, BASE, 0x6000, 0x7000, 0, 0), -LX_ENOMEM);
    /* Moved. */
    s64 a = mm_remap(mm, BASE, 0x6000, 0x8000, LX_MREMAP_MAYMOVE, 0);
    CHECK(a > 0 && a != BASE);
    char buf[8];
    CHECK_EQ(mm_read(mm, (u64)a + 0x3ff8, buf, 8), 8);
    CHECK(!memcmp(buf, "abcdefgh", 8));
    CHECK_EQ(mm_read(mm, BASE, buf, 8), 0);
    check_tree();
    /* Over a seam that only the host has: mark two pieces on the host and move. */
    fake_cut(as, (u64)a + 0x3000);
    CHECK_EQ(mm_remap(mm, (u64)a, 0x8000, 0x8000, LX_MREMAP_MAYMOVE | LX_MREMAP_FIXED, BASE), BASE);
    CHECK_EQ(mm_read(mm, BASE + 0x3ff8, buf, 8), 8);
    CHECK(!memcmp(buf, "abcdefgh", 8));
    check_tree();
    /* Shrink, errors. */
    CHECK_EQ(mm_remap(mm, BASE, 0x8000, 0x4000, 0, 0), BASE);
    CHECK_EQ(mm_remap(mm, BASE, 0x8000, 0x9000, LX_MREMAP_MAYMOVE, 0), -LX_EFAULT);
    CHECK_EQ(mm_remap(mm, BASE, 0, 0x1000, LX_MREMAP_MAYMOVE, 0), -LX_EINVAL);
    CHECK_EQ(mm_remap(mm, BASE, 0x1000, 0, LX_MREMAP_MAYMOVE, 0), -LX_EINVAL);
    CHECK_EQ(mm_remap(mm, BASE, 0x1000, 0x1000, LX_MREMAP_FIXED, BASE), -LX_EINVAL);
    CHECK_EQ(mm_remap(mm, BASE, 0x2000, 0x1000, LX_MREMAP_FIXED | LX_MREMAP_MAYMOVE, BASE + 0x1000),
             -LX_EINVAL);
    CHECK_EQ(mm_remap(mm, BASE + 0x100000, 0x1000, 0x1000, 0, 0), -LX_EFAULT);
    s64 b = mm_remap(mm, BASE, 0x4000, 0x4000, LX_MREMAP_MAYMOVE | LX_MREMAP_DONTUNMAP, 0);
    CHECK(b > 0);
    mutex_lock(&mm->lock);
    CHECK(mm_find(mm, BASE)->start == BASE);
    mutex_unlock(&mm->lock);
    /* To the page behind itself: the two would be neighbours. */
    CHECK_EQ(mm_unmap(mm, NULL, BASE, 0x7000), 0);
    CHECK_EQ(map_at(BASE, 0x1000, RW, ANON | LX_MAP_FIXED), BASE);
    CHECK_EQ(mm_remap(mm, BASE, 0x1000, 0x1000, LX_MREMAP_MAYMOVE | LX_MREMAP_FIXED, BASE + 0x1000),
             BASE + 0x1000);
    check_tree();
    /* old_size 0 duplicates a shared mapping. */
    s64 s = map_at(0, 0x2000, RW, LX_MAP_SHARED | LX_MAP_ANONYMOUS);
    CHECK(s > 0);
    s64 s2 = mm_remap(mm, (u64)s, 0, 0x2000, LX_MREMAP_MAYMOVE, 0);
    CHECK(s2 > 0 && s2 != s);
    CHECK_EQ(mm_write(mm, (u64)s, "shared", 6), 6);
    CHECK_EQ(mm_read(mm, (u64)s2, buf, 6), 6);
    CHECK(!memcmp(buf, "shared", 6));
}

TEST(advise_and_sync)
{
    setup();
    CHECK_EQ(map_at(BASE, 0x4000, RW, ANON | LX_MAP_FIXED), BASE);
    CHECK_EQ(mm_advise(mm, NULL, BASE, 0x4000, LX_MADV_DONTNEED), 0);
    CHECK_EQ(mm_advise(mm, NULL, BASE, 0x5000, LX_MADV_DONTNEED), -LX_ENOMEM);
    CHECK_EQ(mm_advise(mm, NULL, BASE + 1, 0x1000, LX_MADV_DONTNEED), -LX_EINVAL);
    CHECK_EQ(mm_advise(mm, NULL, BASE, 0x1000, 77), -LX_EINVAL);
    CHECK_EQ(mm_advise(mm, NULL, BASE, 0, LX_MADV_DONTNEED), 0);
    CHECK_EQ(mm_advise(mm, NULL, BASE, 0x1000, LX_MADV_REMOVE), -LX_EINVAL);
    CHECK_EQ(mm_advise(mm, NULL, BASE, 0x1000, LX_MADV_DONTFORK), 0);
    CHECK_EQ(mm_advise(mm, NULL, BASE + 0x1000, 0x1000, LX_MADV_WIPEONFORK), 0);
    check_tree();
    s64 s = map_at(0, 0x2000, RW, LX_MAP_SHARED | LX_MAP_ANONYMOUS);
    CHECK_EQ(mm_advise(mm, NULL, (u64)s, 0x1000, LX_MADV_WIPEONFORK), -LX_EINVAL);
    CHECK_EQ(mm_advise(mm, NULL, (u64)s, 0x1000, LX_MADV_FREE), -LX_EINVAL);
    CHECK_EQ(mm_write(mm, (u64)s, "x", 1), 1);
    CHECK_EQ(mm_advise(mm, NULL, (u64)s, 0x1000, LX_MADV_REMOVE), 0);
    char c = 1;
    CHECK_EQ(mm_read(mm, (u64)s, &c, 1), 1);
    CHECK_EQ(c, 0);
    CHECK_EQ(mm_sync(mm, BASE, 0x1000, LX_MS_SYNC | LX_MS_ASYNC), -LX_EINVAL);
    CHECK_EQ(mm_sync(mm, BASE, 0x1000, LX_MS_SYNC), 0);
    CHECK_EQ(mm_sync(mm, BASE, 0x5000, LX_MS_SYNC), -LX_ENOMEM);
    u8 vec[4];
    CHECK_EQ(mm_mincore(mm, BASE, 0x4000, vec), 0);
    CHECK_EQ(mm_mincore(mm, BASE, 0x5000, vec), -LX_ENOMEM);
    CHECK_EQ(mm_mincore(mm, BASE + 1, 0x1000, vec), -LX_EINVAL);
    struct uctx *ctx;
    struct mm *child;
    CHECK_EQ(mm_fork(mm, NULL, &child, &ctx), 0);
    free(ctx);
    mutex_lock(&child->lock);
    CHECK_EQ(mm_find(child, BASE)->start, BASE + 0x1000);
    mutex_unlock(&child->lock);
    CHECK_EQ(child->total_size, mm->total_size - 0x1000);
    mm_put(child);
    /* A sealed mapping stays. */
    CHECK_EQ(mm_seal(mm, BASE + 0x2000, 0x1000), 0);
    CHECK_EQ(mm_unmap(mm, NULL, BASE, 0x4000), -LX_EPERM);
    CHECK_EQ(mm_protect(mm, NULL, BASE + 0x2000, 0x1000, LX_PROT_READ), -LX_EPERM);
    CHECK_EQ(mm_set_anon_name(mm, BASE, 0x1000, "arena"), 0);
    char name[64];
    mutex_lock(&mm->lock);
    mm_vma_name(mm, mm_find(mm, BASE), name, sizeof(name));
    mutex_unlock(&mm->lock);
    CHECK_STR(name, "[anon:arena]");
}

TEST(faults_and_growth)
{
    setup();
    int code = 0;
    struct uevent ev = {.kind = UEV_FAULT,
                        .signo = LX_SIGSEGV,
                        .code = LX_SEGV_MAPERR,
                        .trapno = 14,
                        .addr = BASE,
                        .err = 6};
    CHECK_EQ(mm_fault(mm, &ev, &code), LX_SIGSEGV);
    CHECK_EQ(code, LX_SEGV_MAPERR);
    CHECK_EQ(map_at(BASE, 0x1000, LX_PROT_NONE, ANON | LX_MAP_FIXED), BASE);
    ev.err = 4;
    CHECK_EQ(mm_fault(mm, &ev, &code), LX_SIGSEGV);
    CHECK_EQ(code, LX_SEGV_ACCERR);
    /* The tree allows it, the host lags behind: put right. */
    CHECK_EQ(map_at(BASE, 0x1000, RW, ANON | LX_MAP_FIXED), BASE);
    fake_clear(as, BASE, BASE + 0x1000);
    ev.err = 6;
    CHECK_EQ(mm_fault(mm, &ev, &code), 0);
    check_tree();
    as->segs[0].prot = 0;
    CHECK_EQ(mm_fault(mm, &ev, &code), 0);
    check_tree();
    /* A stack grows, exactly for MAP_GROWSDOWN, down to the guard gap of what is below. */
    u64 top = BASE + 0x10000000;
    CHECK_EQ(map_at(top - 0x1000, 0x1000, RW, ANON | LX_MAP_FIXED | LX_MAP_GROWSDOWN),
             top - 0x1000);
    ev.addr = top - 0x5000 + 8;
    CHECK_EQ(mm_fault(mm, &ev, &code), 0);
    mutex_lock(&mm->lock);
    CHECK_EQ(mm_find(mm, top - 1)->start, top - 0x5000);
    mutex_unlock(&mm->lock);
    check_tree();
    mm->limits.stack = 0x8000;
    ev.addr = top - 0x9000;
    CHECK_EQ(mm_fault(mm, &ev, &code), LX_SIGSEGV);
    ev.addr = top - 0x8000;
    CHECK_EQ(mm_fault(mm, &ev, &code), 0);
    mm->limits.stack = 8 << 20;
    CHECK_EQ(map_at(top - 0x200000, 0x1000, RW, ANON | LX_MAP_FIXED), top - 0x200000);
    ev.addr = top - 0x200000 + 0x1000;
    CHECK_EQ(mm_fault(mm, &ev, &code), LX_SIGSEGV);
    CHECK_EQ(code, LX_SEGV_MAPERR);
    ev.addr = top - 0x200000 + 0x101000;
    CHECK_EQ(mm_fault(mm, &ev, &code), 0);
    check_tree();
    /* A copy below the stack grows it too. */
    CHECK_EQ(copy_out(uaddr(top - 0x200000 + 0x101000 - 4), "abcdefgh", 8), -LX_EFAULT);
    CHECK_EQ(mm_unmap(mm, NULL, top - 0x200000, 0x1000), 0);
    CHECK_EQ(copy_out(uaddr(top - 0x200000 + 0x101000 - 4), "abcdefgh", 8), 0);
    /* No new mapping lands in the guard gap. */
    u64 low;
    mutex_lock(&mm->lock);
    low = mm_find(mm, top - 1)->start;
    mutex_unlock(&mm->lock);
    s64 a = map_at(low - 0x4000, 0x1000, RW, ANON);
    CHECK(a != (s64)low - 0x4000);
    CHECK_EQ(map_at(low - 0x1000, 0x1000, RW, ANON | LX_MAP_FIXED), low - 0x1000);
    check_tree();
    ev.signo = LX_SIGBUS;
    ev.code = LX_BUS_ADRERR;
    CHECK_EQ(mm_fault(mm, &ev, &code), LX_SIGBUS);
    CHECK_EQ(code, LX_BUS_ADRERR);
}

TEST(copies)
{
    setup();
    char buf[64];
    CHECK_EQ(map_at(BASE, 0x2000, RW, ANON | LX_MAP_FIXED), BASE);
    CHECK_EQ(copy_out(uaddr(BASE + 0x1ffc), "abcd", 5), -LX_EFAULT);
    CHECK_EQ(copy_out(uaddr(BASE + 0xffe), "hello", 6), 0);
    CHECK_EQ(copy_in_str(buf, uaddr(BASE + 0xffe), sizeof(buf)), 5);
    CHECK_STR(buf, "hello");
    CHECK_EQ(copy_in_str(buf, uaddr(BASE + 0xffe), 5), -LX_ENAMETOOLONG);
    CHECK_EQ(copy_out(uaddr(BASE + 0x1ffc), "abcd", 4), 0);
    CHECK_EQ(copy_in_str(buf, uaddr(BASE + 0x1ffc), sizeof(buf)), -LX_EFAULT);
    CHECK_EQ(copy_in(buf, uaddr(0x60000000), 1), -LX_EFAULT);
    CHECK_EQ(copy_in(buf, uaddr(UINT64_MAX), 8), -LX_EFAULT);
    CHECK_EQ(copy_in(buf, uaddr(0), 0), 0);
    u64 out[3] = {9, 9, 9};
    CHECK_EQ(clear_out(uaddr(BASE), 0x2000), 0);
    CHECK_EQ(copy_in_struct(out, 24, uaddr(BASE), 8), 0);
    CHECK(out[0] == 0 && out[1] == 0 && out[2] == 0);
    CHECK_EQ(copy_in_struct(out, 8, uaddr(BASE), 64), 0);
    CHECK_EQ(put_user((u8)1, uaddr(BASE + 63)), 0);
    CHECK_EQ(copy_in_struct(out, 8, uaddr(BASE), 64), -LX_E2BIG);
    /* Forced access passes protections, but not mappings. */
    CHECK_EQ(mm_protect(mm, NULL, BASE, 0x1000, LX_PROT_NONE), 0);
    CHECK_EQ(mm_read(mm, BASE + 63, buf, 1), 0);
    CHECK_EQ(mm_read_force(mm, BASE + 63, buf, 1), 1);
    CHECK_EQ(mm_write_force(mm, BASE + 0xfff, "xyz", 3), 3);
    CHECK_EQ(mm_read_force(mm, BASE + 0x1fff, buf, 2), 1);
    CHECK_EQ(mm_write_force(mm, 0x7ffd00004000, "x", 1), 0);
}

TEST(uio)
{
    setup();
    struct uio u;
    u64 iov[6] = {BASE + 0x100, 3, BASE + 0x200, 0, BASE + 0x300, 5};
    CHECK_EQ(map_at(BASE, 0x2000, RW, ANON | LX_MAP_FIXED), BASE);
    CHECK_EQ(copy_out(uaddr(BASE), iov, sizeof(iov)), 0);
    CHECK_EQ(uio_init_iovec(&u, uaddr(BASE), 3), 0);
    CHECK_EQ(u.left, 8);
    CHECK_EQ(uio_copy_to(&u, "abcdefghij", 10), 8);
    CHECK_EQ(u.left, 0);
    uio_revert(&u, 6);
    char buf[16] = {0};
    CHECK_EQ(uio_copy_from(&u, buf, 10), 6);
    CHECK_STR(buf, "cdefgh");
    uio_done(&u);
    CHECK_EQ(uio_init_iovec(&u, uaddr(BASE), 1025), -LX_EINVAL);
    CHECK_EQ(uio_init_iovec(&u, uaddr(BASE + 0x1ff8), 1), -LX_EFAULT);
    iov[1] = UINT64_MAX;
    CHECK_EQ(copy_out(uaddr(BASE), iov, sizeof(iov)), 0);
    CHECK_EQ(uio_init_iovec(&u, uaddr(BASE), 3), -LX_EINVAL);
    uio_init_user(&u, uaddr(BASE + 0x1ffc), 8);
    CHECK_EQ(uio_copy_to(&u, "abcdefgh", 8), 4);
    CHECK_EQ(uio_copy_to(&u, "efgh", 4), -LX_EFAULT);
    char big[100];
    uio_init_kernel(&u, big, sizeof(big));
    CHECK_EQ(uio_zero(&u, 50), 50);
    uio_advance(&u, 20);
    CHECK_EQ(u.left, 30);
    size_t size;
    CHECK(uio_bounce(&size) != NULL && size == 65536);
}

TEST(late_unmaps_are_not_given_to_others)
{
    setup();
    struct uctx a = {as}, b = {as};
    struct mm_map_req req = {.size = 0x4000, .prot = RW, .flags = ANON};
    s64 p = mm_map(mm, &a, &req);
    CHECK(p > 0);
    CHECK_EQ(mm_unmap(mm, &a, (u64)p, 0x4000), 0);
    s64 q = mm_map(mm, &b, &req);
    CHECK(q > 0 && q != p);
    CHECK_EQ(mm_map(mm, &a, &req), p);
    CHECK_EQ(mm_unmap(mm, &a, (u64)p, 0x4000), 0);
    mm_forget_ctx(mm, &a);
    CHECK_EQ(mm_map(mm, &b, &req), p);
    check_tree();
}

/* ---- a random walk against a page-by-page model --------------------------------------------- */

enum { WIN = 64 };
struct model_page {
    bool is_mapped;
    u32 prot;
    u8 tag; /* first byte of the page, when mapped */
};
static struct model_page model[WIN];
static u32 seed;

static u32 rnd(u32 n)
{
    seed = seed * 1664525 + 1013904223;
    return (seed >> 8) % n;
}

static void write_tags(u32 at, u32 n)
{
    for (u32 i = at; i < at + n; i++)
        if (model[i].prot & LX_PROT_WRITE) {
            model[i].tag = (u8)(1 + rnd(255));
            CHECK_EQ(mm_write(mm, BASE + i * PAGE_SIZE, &model[i].tag, 1), 1);
        }
}

static void step(void)
{
    u32 at = rnd(WIN), n = 1 + rnd(MIN(WIN - at, 12u)), prot = rnd(2) ? RW : LX_PROT_READ;
    u64 addr = BASE + at * PAGE_SIZE, size = n * PAGE_SIZE;
    bool is_full = true;
    for (u32 i = at; i < at + n; i++)
        is_full &= model[i].is_mapped;
    switch (rnd(4)) {
    case 0:
        CHECK_EQ(map_at(addr, size, prot, ANON | LX_MAP_FIXED), addr);
        for (u32 i = at; i < at + n; i++)
            model[i] = (struct model_page){true, prot, 0};
        write_tags(at, n);
        break;
    case 1:
        CHECK_EQ(mm_unmap(mm, NULL, addr, size), 0);
        memset(&model[at], 0, n * sizeof(model[0]));
        break;
    case 2:
        if (!is_full)
            break;
        CHECK_EQ(mm_protect(mm, NULL, addr, size, prot), 0);
        for (u32 i = at; i < at + n; i++)
            model[i].prot = prot;
        write_tags(at, n);
        break;
    case 3: {
        u32 to = rnd(WIN - n + 1);
        if (!is_full || (to < at + n && at < to + n))
            break;
        for (u32 i = at + 1; i < at + n; i++)
            if (model[i].prot != model[at].prot)
                return;
        CHECK_EQ(mm_remap(mm, addr, size, size, LX_MREMAP_MAYMOVE | LX_MREMAP_FIXED,
                          BASE + to * PAGE_SIZE),
                 BASE + to * PAGE_SIZE);
        memcpy(&model[to], &model[at], n * sizeof(model[0]));
        memset(&model[at], 0, n * sizeof(model[0]));
        break;
    }
    }
}

TEST(random_walk)
{
    setup();
    seed = 7;
    memset(model, 0, sizeof(model));
    for (int round = 0; round < 4000; round++) {
        step();
        if (round % 16)
            continue;
        check_tree();
        for (u32 i = 0; i < WIN; i++) {
            u8 tag = 0;
            CHECK_EQ(mm_read(mm, BASE + i * PAGE_SIZE, &tag, 1), model[i].is_mapped);
            CHECK_EQ(tag, model[i].tag);
        }
    }
}

/* Host calls that fail leave the tree and the host in agreement. */
TEST(host_failures)
{
    for (int fail = 1; fail < 60; fail++) {
        setup();
        seed = (u32)fail;
        for (int i = 0; i < 40; i++) {
            u32 at = rnd(WIN), n = 1 + rnd(MIN(WIN - at, 12u));
            as->fail_after = i == 39 ? 0 : i % fail == 0 ? 1 : 0;
            s64 r = 0;
            switch (rnd(2)) {
            case 0:
                r = map_at(BASE + at * PAGE_SIZE, n * PAGE_SIZE, RW, ANON | LX_MAP_FIXED);
                break;
            case 1:
                r = mm_unmap(mm, NULL, BASE + at * PAGE_SIZE, n * PAGE_SIZE);
                break;
            }
            CHECK(r >= 0 || r == -LX_ENOMEM);
            as->fail_after = 0;
            check_tree();
        }
    }
}
