/*
 * Descriptor tables.
 *
 * A lookup takes no lock. The slots live in an array that is replaced as a whole when it grows
 * and freed by epoch; a reader takes a reference to the file that it found and then
 * checks that the slot still holds it. When the calling task is the only user of
 * its table nobody can change it meanwhile, and even that is not needed.
 *
 * Two bitmaps follow the slots: which are open, which close on exec. Both and the slots
 * change under the table's lock only.
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "vfs/fast.h"
#include "vfs/internal.h"
#include "vfs/locks.h"
#include "vfs/vfs.h"

#define MAX_FDS  (1U << 20) /* fs.nr_open */
#define MIN_SIZE 64

struct fdarray {
    struct epoch_node rcu;
    u32 size; /* slots, a multiple of 64 */
    u64 *open, *cloexec;
    struct file *_Atomic files[];
};

struct fdtable {
    struct ref ref;
    struct mutex lock;           /* a leaf */
    struct fdarray *_Atomic arr; /* written under lock */
    u32 next;                    /* guarded by lock: no free slot below it */
    u32 id;                      /* immutable */
    struct list fast;            /* fast.c's */
};

static _Atomic u32 last_id;

static void table_init(struct fdtable *t)
{
    ref_init(&t->ref);
    mutex_init(&t->lock, "fdtable");
    list_init(&t->fast);
    t->id = atomic_fetch_add(&last_id, 1) + 1;
}

struct list *fdtable_fast(struct fdtable *t)
{
    return &t->fast;
}

u32 fdtable_id(const struct fdtable *t)
{
    return t->id;
}

bool fdtable_is_at(struct fdtable *t, int fd, const struct file *f)
{
    epoch_enter();
    struct fdarray *a = atomic_load(&t->arr);
    bool is_it = (u32)fd < a->size && atomic_load(&a->files[fd]) == f;
    epoch_exit();
    return is_it;
}

static struct fdarray *array_new(u32 size)
{
    size_t words = size / 64;
    struct fdarray *a =
        calloc(1, sizeof(*a) + size * sizeof(a->files[0]) + 2 * words * sizeof(u64));
    if (!a)
        return NULL;
    a->size = size;
    a->open = (u64 *)(void *)((char *)a + sizeof(*a) + size * sizeof(a->files[0]));
    a->cloexec = a->open + words;
    return a;
}

static void array_free(struct epoch_node *n)
{
    free(container_of(n, struct fdarray, rcu));
}

static bool bit_get(const u64 *bits, u32 i)
{
    return bits[i / 64] >> (i % 64) & 1;
}

static void bit_set(u64 *bits, u32 i, bool value)
{
    if (value)
        bits[i / 64] |= 1ULL << (i % 64);
    else
        bits[i / 64] &= ~(1ULL << (i % 64));
}

/* The first bit with this value at or after `from`, or size. */
static u32 bit_find(const u64 *bits, u32 size, u32 from, bool value)
{
    for (u32 w = from / 64; w < size / 64; w++) {
        u64 v = value ? bits[w] : ~bits[w];
        if (w == from / 64)
            v &= ~0ULL << (from % 64);
        if (v)
            return w * 64 + (u32)__builtin_ctzll(v);
    }
    return size;
}

struct fdtable *fdtable_new(void)
{
    struct fdtable *t = calloc(1, sizeof(*t));
    if (!t)
        return NULL;
    table_init(t);
    t->arr = array_new(MIN_SIZE);
    if (!t->arr) {
        free(t);
        return NULL;
    }
    return t;
}

void fdtable_ref(struct fdtable *t)
{
    ref_get(&t->ref);
}

/* What close(2) does to the file that a slot held, and its value; consumes the slot's reference. */
static int close_file(struct fdtable *t, struct file *f)
{
    fast_drop_file(t, f);
    int r = f->ops->flush ? f->ops->flush(f) : 0;
    if (f->inode->locks && !(f->mode & FMODE_PATH))
        locks_close_fd(f, t);
    file_put(f);
    return r;
}

void fdtable_put(struct fdtable *t)
{
    if (!t || !ref_put(&t->ref))
        return;
    struct fdarray *a = t->arr;
    for (u32 fd = bit_find(a->open, a->size, 0, true); fd < a->size;
         fd = bit_find(a->open, a->size, fd + 1, true)) {
        struct file *f = a->files[fd];
        a->files[fd] = NULL;
        (void)close_file(t, f);
    }
    epoch_defer(&a->rcu, array_free);
    free(t);
}

struct fdtable *fdtable_copy(struct fdtable *old, u32 first_dropped, u32 last_dropped)
{
    struct fdtable *t = calloc(1, sizeof(*t));
    if (!t)
        return NULL;
    table_init(t);
    mutex_lock(&old->lock);
    struct fdarray *a = old->arr;
    u32 top = a->size;
    while (top > MIN_SIZE && !a->open[top / 64 - 1])
        top -= 64;
    struct fdarray *b = array_new(top);
    if (!b) {
        mutex_unlock(&old->lock);
        free(t);
        return NULL;
    }
    for (u32 fd = bit_find(a->open, top, 0, true); fd < top;
         fd = bit_find(a->open, top, fd + 1, true)) {
        if (fd >= first_dropped && fd <= last_dropped)
            continue;
        struct file *f = a->files[fd];
        file_get(f);
        b->files[fd] = f;
        bit_set(b->open, fd, true);
        bit_set(b->cloexec, fd, bit_get(a->cloexec, fd));
    }
    mutex_unlock(&old->lock);
    t->arr = b;
    return t;
}

/* ---- lookup -------------------------------------------------------------------------------- */

struct file *fdtable_get(struct fdtable *t, int fd)
{
    struct file *f;
    epoch_enter();
    for (;;) {
        struct fdarray *a = atomic_load_explicit(&t->arr, memory_order_acquire);
        if ((u32)fd >= a->size) {
            f = NULL;
            break;
        }
        f = atomic_load_explicit(&a->files[fd], memory_order_acquire);
        if (!f)
            break;
        if (!ref_get_unless_zero(&f->ref))
            continue; /* it is being closed: the slot changes at once */
        if (atomic_load(&a->files[fd]) == f && atomic_load(&t->arr) == a)
            break;
        epoch_exit();
        file_put(f);
        epoch_enter();
    }
    epoch_exit();
    return f;
}

struct file *fd_get_raw(int fd)
{
    struct fdtable *t = vfs_current ? vfs_current->files : NULL;
    if (!t)
        return NULL;
    if (ref_read(&t->ref) != 1)
        return fdtable_get(t, fd);
    struct fdarray *a = atomic_load_explicit(&t->arr, memory_order_relaxed);
    if ((u32)fd >= a->size)
        return NULL;
    struct file *f = atomic_load_explicit(&a->files[fd], memory_order_relaxed);
    if (f)
        file_get(f);
    return f;
}

struct file *fd_get(int fd)
{
    struct file *f = fd_get_raw(fd);
    if (f && (f->mode & FMODE_PATH)) {
        file_put(f);
        return NULL;
    }
    return f;
}

int fdtable_next(struct fdtable *t, int from)
{
    MUTEX_GUARD(&t->lock);
    struct fdarray *a = t->arr;
    if (from < 0 || (u32)from >= a->size)
        return -1;
    u32 fd = bit_find(a->open, a->size, (u32)from, true);
    return fd < a->size ? (int)fd : -1;
}

u32 fdtable_size(struct fdtable *t)
{
    MUTEX_GUARD(&t->lock);
    return atomic_load(&t->arr)->size;
}

/* ---- changes ------------------------------------------------------------------------------- */

/* Room for slot fd. Under lock. */
static int grow(struct fdtable *t, u32 fd)
{
    struct fdarray *a = t->arr;
    if (fd < a->size)
        return 0;
    if (fd >= MAX_FDS)
        return -LX_EMFILE;
    u32 size = a->size;
    while (size <= fd)
        size *= 2;
    struct fdarray *b = array_new(size);
    if (!b)
        return -LX_ENOMEM;
    for (u32 i = 0; i < a->size; i++)
        atomic_store_explicit(&b->files[i], a->files[i], memory_order_relaxed);
    memcpy(b->open, a->open, a->size / 8);
    memcpy(b->cloexec, a->cloexec, a->size / 8);
    t->arr = b;
    epoch_defer(&a->rcu, array_free);
    return 0;
}

int fdtable_install(struct fdtable *t, struct file *f, int min, u32 flags, u64 limit)
{
    MUTEX_GUARD(&t->lock);
    struct fdarray *a = t->arr;
    u32 from = MAX((u32)min, t->next);
    u32 fd = from < a->size ? bit_find(a->open, a->size, from, false) : from;
    if (fd >= limit)
        return -LX_EMFILE;
    int r = grow(t, fd);
    if (r < 0)
        return r;
    a = t->arr;
    bit_set(a->open, fd, true);
    bit_set(a->cloexec, fd, flags & LX_O_CLOEXEC);
    a->files[fd] = f;
    if (from == t->next)
        t->next = fd + 1;
    return (int)fd;
}

int fd_install(struct file *f, int min, u32 flags)
{
    return fdtable_install(vfs_current->files, f, min, flags, vfs_current->rlimit_nofile);
}

int fd_check_room(void)
{
    struct fdtable *t = vfs_current->files;
    MUTEX_GUARD(&t->lock);
    struct fdarray *a = t->arr;
    u32 fd = t->next < a->size ? bit_find(a->open, a->size, t->next, false) : t->next;
    return fd >= MIN(vfs_current->rlimit_nofile, (u64)MAX_FDS) ? -LX_EMFILE : 0;
}

int fdtable_install_at(struct fdtable *t, struct file *f, int fd, u32 flags, u64 limit)
{
    if (fd < 0 || (u64)fd >= limit)
        return -LX_EBADF;
    mutex_lock(&t->lock);
    int r = grow(t, (u32)fd);
    if (r < 0) {
        mutex_unlock(&t->lock);
        return r == -LX_EMFILE ? -LX_EBADF : r;
    }
    struct fdarray *a = t->arr;
    struct file *old = a->files[fd];
    bit_set(a->open, (u32)fd, true);
    bit_set(a->cloexec, (u32)fd, flags & LX_O_CLOEXEC);
    a->files[fd] = f;
    mutex_unlock(&t->lock);
    if (old)
        (void)close_file(t, old);
    return fd;
}

/* Empties a slot; the file, or NULL. Under lock. */
static struct file *take_slot(struct fdtable *t, u32 fd)
{
    struct fdarray *a = t->arr;
    if (fd >= a->size || !a->files[fd])
        return NULL;
    struct file *f = a->files[fd];
    a->files[fd] = NULL;
    bit_set(a->open, fd, false);
    bit_set(a->cloexec, fd, false);
    if (fd < t->next)
        t->next = fd;
    return f;
}

int fd_close(int fd)
{
    struct fdtable *t = vfs_current->files;
    if (fd < 0)
        return -LX_EBADF;
    mutex_lock(&t->lock);
    struct file *f = take_slot(t, (u32)fd);
    mutex_unlock(&t->lock);
    return f ? close_file(t, f) : -LX_EBADF;
}

int fdtable_close_range(struct fdtable *t, u32 first, u32 last, bool is_cloexec_only)
{
    for (u32 fd = first;;) {
        mutex_lock(&t->lock);
        struct fdarray *a = t->arr;
        struct file *f = NULL;
        if (fd < a->size)
            fd = bit_find(a->open, a->size, fd, true);
        bool is_done = fd >= a->size || fd > last;
        if (!is_done && is_cloexec_only)
            bit_set(a->cloexec, fd, true);
        else if (!is_done)
            f = take_slot(t, fd);
        mutex_unlock(&t->lock);
        if (f)
            (void)close_file(t, f);
        if (is_done || fd == last)
            return 0;
        fd++;
    }
}

int fdtable_cloexec(struct fdtable *t, int fd, int set)
{
    MUTEX_GUARD(&t->lock);
    struct fdarray *a = t->arr;
    if (fd < 0 || (u32)fd >= a->size || !a->files[fd])
        return -LX_EBADF;
    if (set < 0)
        return bit_get(a->cloexec, (u32)fd);
    bit_set(a->cloexec, (u32)fd, set);
    return 0;
}

void fdtable_do_cloexec(struct fdtable *t)
{
    for (u32 fd = 0;;) {
        mutex_lock(&t->lock);
        struct fdarray *a = t->arr;
        struct file *f = NULL;
        fd = fd < a->size ? bit_find(a->cloexec, a->size, fd, true) : a->size;
        if (fd < a->size)
            f = take_slot(t, fd);
        mutex_unlock(&t->lock);
        if (!f)
            return;
        (void)close_file(t, f);
    }
}
