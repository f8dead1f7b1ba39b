/*
 * Contents of tmpfs files.
 *
 *   up to 32 KiB       one malloced buffer that doubles
 *   larger             segments of 2 MiB, in a tree by index; each is a slot of an arena:
 *                      address space reserved in large pieces, of which the host
 *                      provides pages as they are touched
 *   mapped once        a memfd (promotion): VMAs map it, we read and write it with pread and pwrite
 *
 * Which pages hold data is kept in bitmaps: for holes, st_blocks and the size limit. What is not in
 * a bitmap reads as zero because its memory is zero: fresh slots are, and whoever clears a bit
 * clears the page. Pages of a memfd that the guest touches through its mappings are charged at the
 * next change by a system call, not before.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "fs/tmpfs_int.h"
#include "vfs/file.h"

#define ARENA_SLOTS 128
#define ARENA_SIZE  (ARENA_SLOTS * TMPFS_SEG_SIZE)
#define MAX_ARENAS  (1U << 18)

/* ---- slots --------------------------------------------------------------------------------- */

static struct mutex slot_lock = MUTEX_INIT("tmpfs_slots");
static u8 **free_slots; /* guarded by slot_lock, as all below: a stack of slots of zero memory */
static size_t nfree, cap_free, narenas;

static int arena_add(void)
{
    if (narenas == MAX_ARENAS)
        return -LX_ENOMEM;
    size_t cap = (narenas + 1) * ARENA_SLOTS;
    if (cap > cap_free) {
        size_t want = cap * 2;
        u8 **p = realloc(free_slots, want * sizeof(*p));
        if (!p)
            return -LX_ENOMEM;
        free_slots = p;
        cap_free = want;
    }
    u8 *a = mmap(NULL, ARENA_SIZE, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (a == MAP_FAILED)
        return -LX_ENOMEM;
    /* A page at a time, or a sparse file would cost 2 MiB a byte. */
    (void)madvise(a, ARENA_SIZE, MADV_NOHUGEPAGE);
    narenas++;
    for (size_t i = ARENA_SLOTS; i-- > 0;)
        free_slots[nfree++] = a + i * TMPFS_SEG_SIZE;
    return 0;
}

static u8 *slot_get(void)
{
    MUTEX_GUARD(&slot_lock);
    if (nfree == 0 && arena_add() < 0)
        return NULL;
    return free_slots[--nfree];
}

static void zero_range(u8 *p, size_t size)
{
    u8 *a = (u8 *)(uintptr_t)page_up((uintptr_t)p),
       *b = (u8 *)(uintptr_t)page_down((uintptr_t)p + size);
    if (b <= a || b - a < 16 * (ptrdiff_t)PAGE_SIZE) {
        memset(p, 0, size);
        return;
    }
    memset(p, 0, (size_t)(a - p));
    memset(b, 0, (size_t)(p + size - b));
    if (madvise(a, (size_t)(b - a), MADV_DONTNEED) < 0)
        memset(a, 0, (size_t)(b - a));
}

static void slot_put(u8 *slot)
{
    if (madvise(slot, TMPFS_SEG_SIZE, MADV_DONTNEED) < 0)
        memset(slot, 0, TMPFS_SEG_SIZE);
    MUTEX_GUARD(&slot_lock);
    free_slots[nfree++] = slot;
}

/* ---- segments ------------------------------------------------------------------------------ */

static struct tmpfs_seg *seg_find(struct tmpfs_data *d, u64 index, struct rb_node **ret_parent,
                                  struct rb_node ***ret_link)
{
    struct rb_node **link = &d->segs.root, *parent = NULL;
    while (*link) {
        struct tmpfs_seg *s = rb_entry(*link, struct tmpfs_seg, rb);
        if (s->index == index)
            return s;
        parent = *link;
        link = index < s->index ? &parent->left : &parent->right;
    }
    if (ret_link) {
        *ret_parent = parent;
        *ret_link = link;
    }
    return NULL;
}

/* The segment, or the first behind it; NULL: none. */
static struct tmpfs_seg *seg_at_or_after(struct tmpfs_data *d, u64 index)
{
    struct rb_node *n = d->segs.root;
    struct tmpfs_seg *best = NULL;
    while (n) {
        struct tmpfs_seg *s = rb_entry(n, struct tmpfs_seg, rb);
        if (s->index >= index) {
            best = s;
            n = n->left;
        } else {
            n = n->right;
        }
    }
    return best;
}

static struct tmpfs_seg *seg_make(struct tmpfs_data *d, u64 index)
{
    struct rb_node *parent, **link;
    struct tmpfs_seg *s = seg_find(d, index, &parent, &link);
    if (s)
        return s;
    s = calloc(1, sizeof(*s));
    if (!s)
        return NULL;
    s->data = slot_get();
    if (!s->data) {
        free(s);
        return NULL;
    }
    s->index = index;
    rb_link(&d->segs, &s->rb, parent, link);
    return s;
}

static void seg_free(struct tmpfs_data *d, struct tmpfs_seg *s)
{
    rb_erase(&d->segs, &s->rb);
    d->npages -= s->npages;
    slot_put(s->data);
    free(s);
}

static bool bit_get(const u64 *bits, u64 n)
{
    return bits[n / 64] >> (n % 64) & 1;
}

/* Charges and marks the pages of [from, to) in a segment that are not there; how far it got. */
static u64 seg_claim(struct tmpfs_data *d, struct tmpfs_super *ts, struct tmpfs_seg *s, u64 from,
                     u64 to)
{
    for (u64 p = from / PAGE_SIZE; p * PAGE_SIZE < to; p++) {
        if (bit_get(s->bits, p))
            continue;
        if (tmpfs_charge_pages(ts, 1) < 0)
            return MAX(from, p * PAGE_SIZE);
        s->bits[p / 64] |= 1ULL << (p % 64);
        s->npages++;
        d->npages++;
    }
    return to;
}

/* Clears [from, to) of a segment; whole pages leave it. */
static void seg_clear(struct tmpfs_data *d, struct tmpfs_super *ts, struct tmpfs_seg *s, u64 from,
                      u64 to)
{
    zero_range(s->data + from, to - from);
    for (u64 p = page_up(from) / PAGE_SIZE; (p + 1) * PAGE_SIZE <= to; p++) {
        if (!bit_get(s->bits, p))
            continue;
        s->bits[p / 64] &= ~(1ULL << (p % 64));
        s->npages--;
        d->npages--;
        tmpfs_uncharge_pages(ts, 1);
    }
}

/* ---- the small form ------------------------------------------------------------------------ */

static int small_reserve(struct tmpfs_data *d, u32 size)
{
    if (size <= d->small_cap)
        return 0;
    u32 cap = MAX(d->small_cap * 2, 256U);
    while (cap < size)
        cap *= 2;
    u8 *p = realloc(d->small, cap);
    if (!p)
        return -LX_ENOSPC;
    memset(p + d->small_cap, 0, cap - d->small_cap);
    d->small = p;
    d->small_cap = cap;
    return 0;
}

static u64 small_claim(struct tmpfs_data *d, struct tmpfs_super *ts, u64 from, u64 to)
{
    for (u64 p = from / PAGE_SIZE; p * PAGE_SIZE < to; p++) {
        if (d->small_bits >> p & 1)
            continue;
        if (tmpfs_charge_pages(ts, 1) < 0)
            return MAX(from, p * PAGE_SIZE);
        d->small_bits |= 1U << p;
        d->npages++;
    }
    return to;
}

static void small_clear(struct tmpfs_data *d, struct tmpfs_super *ts, u64 from, u64 to)
{
    if (from < d->small_cap)
        memset(d->small + from, 0, MIN(to, (u64)d->small_cap) - from);
    for (u64 p = page_up(from) / PAGE_SIZE;
         p < TMPFS_SMALL / PAGE_SIZE && (p + 1) * PAGE_SIZE <= to; p++) {
        if (!(d->small_bits >> p & 1))
            continue;
        d->small_bits &= ~(1U << p);
        d->npages--;
        tmpfs_uncharge_pages(ts, 1);
    }
}

/* From the small form to segments. */
static int grow_out(struct tmpfs_data *d)
{
    if (!d->small)
        return 0;
    struct tmpfs_seg *s = seg_make(d, 0);
    if (!s)
        return -LX_ENOSPC;
    memcpy(s->data, d->small, d->small_cap);
    s->bits[0] = d->small_bits;
    s->npages = (u32)__builtin_popcount(d->small_bits);
    free(d->small);
    d->small = NULL;
    d->small_cap = d->small_bits = 0;
    return 0;
}

static bool is_small_enough(const struct tmpfs_data *d, u64 end)
{
    return !d->segs.root && end <= TMPFS_SMALL;
}

/* ---- reading and writing ------------------------------------------------------------------- */

void tmpfs_data_init(struct tmpfs_data *d)
{
    memset(d, 0, sizeof(*d));
    rwlock_init(&d->lock, "tmpfs_data");
    atomic_init(&d->memfd, -1);
    d->memfd_ro = -1;
}

void tmpfs_data_done(struct tmpfs_data *d, struct tmpfs_super *ts)
{
    u64 npages = d->npages;
    struct rb_node *n;
    while ((n = rb_first(&d->segs)))
        seg_free(d, rb_entry(n, struct tmpfs_seg, rb));
    free(d->small);
    tmpfs_uncharge_pages(ts, npages);
    if (d->memfd >= 0)
        close(d->memfd);
    if (d->memfd_ro >= 0)
        close(d->memfd_ro);
}

static s64 memfd_read(int fd, u64 off, u64 n, struct uio *to)
{
    u64 done = 0;
    while (done < n) {
        size_t size;
        void *buf = uio_bounce(&size);
        ssize_t got = pread(fd, buf, MIN(size, n - done), (off_t)(off + done));
        if (got < 0)
            return done ? (s64)done : -LX_EIO;
        if (got == 0)
            break;
        s64 r = uio_copy_to(to, buf, (u64)got);
        if (r < 0)
            return done ? (s64)done : r;
        done += (u64)r;
        if (r < got)
            break;
    }
    return (s64)done;
}

/* One stretch, at most to the end of its segment. */
static s64 read_stretch(struct tmpfs_data *d, u64 off, u64 n, struct uio *to)
{
    if (d->small) {
        if (off < d->small_cap)
            return uio_copy_to(to, d->small + off, MIN(n, d->small_cap - off));
        return uio_zero(to, n);
    }
    u64 in = off % TMPFS_SEG_SIZE;
    n = MIN(n, TMPFS_SEG_SIZE - in);
    struct tmpfs_seg *s = seg_find(d, off / TMPFS_SEG_SIZE, NULL, NULL);
    return s ? uio_copy_to(to, s->data + in, n) : uio_zero(to, n);
}

s64 tmpfs_data_read(struct tmpfs_data *d, u64 size, u64 off, struct uio *to)
{
    u64 done = 0;
    s64 r = 0;
    rwlock_rdlock(&d->lock);
    u64 n = off < size ? MIN(size - off, to->left) : 0;
    if (d->memfd >= 0) {
        r = memfd_read(d->memfd, off, n, to);
        rwlock_rdunlock(&d->lock);
        return r;
    }
    while (done < n) {
        u64 want = n - done, before = to->left;
        r = read_stretch(d, off + done, want, to);
        if (r < 0)
            break;
        done += (u64)r;
        if (before - to->left != (u64)r || r == 0)
            break;
    }
    rwlock_rdunlock(&d->lock);
    return done ? (s64)done : r;
}

/* Charges what the file has by now; the guest may have touched pages through its mappings. W. */
static void memfd_recount(struct tmpfs_data *d, struct tmpfs_super *ts)
{
    struct stat st;
    if (fstat(d->memfd, &st) < 0)
        return;
    u64 npages = (u64)st.st_blocks / (PAGE_SIZE / 512);
    atomic_fetch_add(&ts->used_pages, npages - d->npages);
    d->npages = npages;
}

static s64 memfd_write(struct tmpfs_data *d, u64 off, struct uio *from)
{
    u64 done = 0;
    while (from->left > 0) {
        size_t size;
        void *buf = uio_bounce(&size);
        s64 got = uio_copy_from(from, buf, MIN(size, from->left));
        if (got <= 0)
            return done ? (s64)done : got;
        ssize_t put = pwrite(d->memfd, buf, (size_t)got, (off_t)(off + done));
        if (put < got)
            uio_revert(from, (u64)(got - MAX(put, (ssize_t)0)));
        if (put <= 0)
            return done ? (s64)done : errno == EFBIG ? -LX_EFBIG : -LX_ENOSPC;
        done += (u64)put;
    }
    return (s64)done;
}

/* One stretch: the place for it in *ret_p, its size; < 0 when there is no room. */
static s64 write_place(struct tmpfs_data *d, struct tmpfs_super *ts, u64 off, u64 n, u8 **ret_p)
{
    u64 end;
    if (is_small_enough(d, off + n)) {
        int r = small_reserve(d, (u32)(off + n));
        if (r < 0)
            return r;
        end = small_claim(d, ts, off, off + n);
        *ret_p = d->small + off;
        return end > off ? (s64)(end - off) : -LX_ENOSPC;
    }
    int r = grow_out(d);
    if (r < 0)
        return r;
    u64 in = off % TMPFS_SEG_SIZE;
    n = MIN(n, TMPFS_SEG_SIZE - in);
    struct tmpfs_seg *s = seg_make(d, off / TMPFS_SEG_SIZE);
    if (!s)
        return -LX_ENOSPC;
    end = seg_claim(d, ts, s, in, in + n);
    *ret_p = s->data + in;
    if (end > in)
        return (s64)(end - in);
    if (s->npages == 0)
        seg_free(d, s);
    return -LX_ENOSPC;
}

s64 tmpfs_data_write(struct tmpfs_data *d, struct tmpfs_super *ts, u64 off, struct uio *from)
{
    u64 done = 0;
    s64 r = 0;
    rwlock_wrlock(&d->lock);
    if (d->memfd >= 0) {
        u64 max = atomic_load(&ts->max_pages);
        memfd_recount(d, ts);
        r = max && atomic_load(&ts->used_pages) > max ? -LX_ENOSPC : memfd_write(d, off, from);
        memfd_recount(d, ts);
        rwlock_wrunlock(&d->lock);
        return r;
    }
    while (from->left > 0) {
        u8 *p;
        s64 n = write_place(d, ts, off + done, from->left, &p);
        r = n < 0 ? n : uio_copy_from(from, p, (u64)n);
        if (r <= 0)
            break;
        done += (u64)r;
        if (r < n)
            break;
    }
    rwlock_wrunlock(&d->lock);
    return done ? (s64)done : r;
}

/* ---- shape --------------------------------------------------------------------------------- */

/* Clears [off, end) wherever it is. */
static void clear_range(struct tmpfs_data *d, struct tmpfs_super *ts, u64 off, u64 end)
{
    if (d->small || !d->segs.root) {
        if (off < TMPFS_SMALL)
            small_clear(d, ts, off, MIN(end, (u64)TMPFS_SMALL));
        return;
    }
    struct tmpfs_seg *s = seg_at_or_after(d, off / TMPFS_SEG_SIZE);
    while (s) {
        u64 base = s->index * TMPFS_SEG_SIZE;
        if (base >= end)
            break;
        struct rb_node *n = rb_next(&s->rb);
        u64 from = off > base ? off - base : 0;
        u64 to = MIN(end - base, TMPFS_SEG_SIZE);
        if (from == 0 && to == TMPFS_SEG_SIZE) {
            tmpfs_uncharge_pages(ts, s->npages);
            seg_free(d, s);
        } else {
            seg_clear(d, ts, s, from, to);
        }
        s = n ? rb_entry(n, struct tmpfs_seg, rb) : NULL;
    }
}

int tmpfs_data_truncate(struct tmpfs_data *d, struct tmpfs_super *ts, u64 old_size, u64 size)
{
    int r = 0;
    rwlock_wrlock(&d->lock);
    if (d->memfd >= 0) {
        if (ftruncate(d->memfd, (off_t)size) < 0)
            r = errno == EFBIG || errno == EINVAL ? -LX_EFBIG : -LX_ENOSPC;
        memfd_recount(d, ts);
    } else if (size < old_size) {
        clear_range(d, ts, size, page_up(old_size) < old_size ? UINT64_MAX : page_up(old_size));
        if (size == 0 && d->small) {
            free(d->small);
            d->small = NULL;
            d->small_cap = 0;
        }
    }
    rwlock_wrunlock(&d->lock);
    return r;
}

int tmpfs_data_punch(struct tmpfs_data *d, struct tmpfs_super *ts, u64 off, u64 end)
{
    int r = 0;
    rwlock_wrlock(&d->lock);
    if (d->memfd >= 0) {
        if (fallocate(d->memfd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)off,
                      (off_t)(end - off)) < 0)
            r = -LX_EIO;
        memfd_recount(d, ts);
    } else {
        clear_range(d, ts, off, end);
    }
    rwlock_wrunlock(&d->lock);
    return r;
}

int tmpfs_data_allocate(struct tmpfs_data *d, struct tmpfs_super *ts, u64 off, u64 end)
{
    int r = 0;
    u64 max = atomic_load(&ts->max_pages), used = atomic_load(&ts->used_pages);
    u64 want = (end - 1) / PAGE_SIZE - off / PAGE_SIZE + 1;
    /* At once when it cannot succeed, however much of the range is there already. */
    if (max && want > max - MIN(used, max) + d->npages)
        return -LX_ENOSPC;
    rwlock_wrlock(&d->lock);
    if (d->memfd >= 0) {
        if (fallocate(d->memfd, FALLOC_FL_KEEP_SIZE, (off_t)off, (off_t)(end - off)) < 0)
            r = -LX_ENOSPC;
        memfd_recount(d, ts);
    }
    for (u64 at = off; r == 0 && d->memfd < 0 && at < end;) {
        u8 *p;
        s64 n = write_place(d, ts, at, end - at, &p);
        if (n < 0)
            r = (int)n;
        else
            at += (u64)n;
    }
    rwlock_wrunlock(&d->lock);
    return r;
}

/* The first page at or after p (of npages) whose bit is `value`. */
static u64 scan_bits(const u64 *bits, u64 p, u64 npages, bool value)
{
    while (p < npages && bit_get(bits, p) != value)
        p++;
    return p;
}

s64 tmpfs_data_seek(struct tmpfs_data *d, u64 size, u64 off, bool is_hole)
{
    s64 r = -1;
    rwlock_rdlock(&d->lock);
    if (d->memfd >= 0) {
        r = lseek(d->memfd, (off_t)off, is_hole ? SEEK_HOLE : SEEK_DATA);
        rwlock_rdunlock(&d->lock);
        return r < 0 ? -LX_ENXIO : MIN(r, (s64)size);
    }
    u64 at = off;
    while (at < size) {
        u64 base = 0, span = TMPFS_SMALL, bits[TMPFS_SEG_PAGES / 64] = {d->small_bits};
        const u64 *b = bits;
        if (d->segs.root) {
            struct tmpfs_seg *s = seg_at_or_after(d, at / TMPFS_SEG_SIZE);
            if (!s || (is_hole && s->index != at / TMPFS_SEG_SIZE)) {
                at = is_hole ? at : size;
                break;
            }
            base = s->index * TMPFS_SEG_SIZE;
            span = TMPFS_SEG_SIZE;
            b = s->bits;
            at = MAX(at, base);
        } else if (at >= TMPFS_SMALL) {
            at = is_hole ? at : size;
            break;
        }
        u64 from = (at - base) / PAGE_SIZE, p = scan_bits(b, from, span / PAGE_SIZE, !is_hole);
        if (p > from)
            at = base + p * PAGE_SIZE;
        if (p < span / PAGE_SIZE)
            break;
    }
    rwlock_rdunlock(&d->lock);
    if (at >= size)
        return is_hole ? (s64)size : -LX_ENXIO;
    return (s64)at;
}

u64 tmpfs_data_pages(struct tmpfs_data *d)
{
    struct stat st;
    if (d->memfd >= 0 && fstat(d->memfd, &st) == 0)
        return (u64)st.st_blocks / (PAGE_SIZE / 512);
    return d->npages;
}

/* ---- promotion ----------------------------------------------------------------------------- */

static int put_all(int fd, const u8 *p, u64 n, u64 off)
{
    while (n > 0) {
        ssize_t w = pwrite(fd, p, n, (off_t)off);
        if (w <= 0)
            return -LX_ENOMEM;
        p += w;
        off += (u64)w;
        n -= (u64)w;
    }
    return 0;
}

static int copy_to_memfd(struct tmpfs_data *d, int fd, u64 size)
{
    if (d->small)
        return put_all(fd, d->small, MIN(size, (u64)d->small_cap), 0);
    for (struct rb_node *n = rb_first(&d->segs); n; n = rb_next(n)) {
        struct tmpfs_seg *s = rb_entry(n, struct tmpfs_seg, rb);
        u64 base = s->index * TMPFS_SEG_SIZE;
        for (u64 p = 0; p < TMPFS_SEG_PAGES;) {
            u64 from = scan_bits(s->bits, p, TMPFS_SEG_PAGES, true);
            p = scan_bits(s->bits, from, TMPFS_SEG_PAGES, false);
            u64 at = base + from * PAGE_SIZE, end = MIN(base + p * PAGE_SIZE, size);
            if (at >= end)
                continue;
            int r = put_all(fd, s->data + from * PAGE_SIZE, end - at, at);
            if (r < 0)
                return r;
        }
    }
    return 0;
}

int tmpfs_data_promote(struct tmpfs_data *d, u64 size)
{
    if (atomic_load_explicit(&d->memfd, memory_order_acquire) >= 0)
        return 0;
    rwlock_wrlock(&d->lock);
    int r = 0, fd = -1, ro = -1;
    if (d->memfd >= 0)
        goto out;
    fd = memfd_create("tmpfs", MFD_CLOEXEC);
    r = fd < 0 ? -LX_ENOMEM : 0;
    if (r == 0)
        ro = vfs_host_reopen_ro(fd);
    if (r == 0 && ro < 0) {
        log_once(LOG_ERROR, "tmpfs: no read-only descriptor for a mapped file (%d)", ro);
        r = ro == -LX_EMFILE || ro == -LX_ENFILE ? -LX_ENOMEM : -LX_EACCES;
    }
    if (r == 0 && ftruncate(fd, (off_t)size) < 0)
        r = -LX_ENOMEM;
    if (r == 0)
        r = copy_to_memfd(d, fd, size);
    if (r < 0) {
        if (fd >= 0)
            close(fd);
        if (ro >= 0)
            close(ro);
        goto out;
    }
    u64 npages = d->npages;
    struct rb_node *n;
    while ((n = rb_first(&d->segs)))
        seg_free(d, rb_entry(n, struct tmpfs_seg, rb));
    free(d->small);
    d->small = NULL;
    d->small_cap = d->small_bits = 0;
    d->npages = npages; /* what is charged stays so */
    d->memfd_ro = ro;
    atomic_store_explicit(&d->memfd, fd, memory_order_release);
out:
    rwlock_wrunlock(&d->lock);
    return r;
}
