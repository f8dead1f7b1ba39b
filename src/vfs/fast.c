/*
 * Preads that the stub answers itself: which, and until when. See fast.h.
 *
 * A registration is made under fast_lock and then checked: whoever ends one first makes his change
 * (the slot empty, a writer counted, a watch counted), then looks for registrations.
 *
 * Lock order: inode.lock → fast_lock → the platform's helper lock.
 */
#include <stdlib.h>

#include "platform/platform.h"
#include "vfs/fast.h"
#include "vfs/internal.h"
#include "vfs/notify.h"

#define TRIES 16U /* preads between two looks */

struct fast_reg {
    struct list node, table_node;
    struct file *file; /* not owned: the slot's */
    struct aspace *as; /* owned */
    u32 window;
    int fd;
};

static struct mutex fast_lock = MUTEX_INIT("vfs.fast");
static struct list regs = LIST_INIT(regs); /* guarded by fast_lock */
static _Atomic u32 nregs;                  /* written under fast_lock */

/* Takes r away, to be released without the lock. */
static void drop(struct fast_reg *r, struct list *dropped)
{
    aspace_file_hide(r->as, r->window);
    list_del(&r->node);
    list_del(&r->table_node);
    list_add_tail(dropped, &r->node);
    atomic_fetch_sub(&nregs, 1);
    atomic_fetch_sub(&r->file->nfast, 1);
    atomic_fetch_sub(&r->file->inode->nfast, 1);
}

static void release(struct list *dropped)
{
    struct fast_reg *r;
    while ((r = list_first(dropped, struct fast_reg, node))) {
        list_del(&r->node);
        aspace_put(r->as);
        free(r);
    }
}

/* Each of them NULL: any. */
static void drop_where(const struct inode *i, const struct aspace *as)
{
    struct list dropped = LIST_INIT(dropped);
    struct fast_reg *r, *next;
    if (!atomic_load(&nregs))
        return;
    mutex_lock(&fast_lock);
    list_for_each_safe (r, next, &regs, node) {
        if ((!i || r->file->inode == i) && (!as || r->as == as))
            drop(r, &dropped);
    }
    mutex_unlock(&fast_lock);
    release(&dropped);
}

void fast_drop_inode(struct inode *i)
{
    if (atomic_load(&i->nfast))
        drop_where(i, NULL);
}

void fast_drop_space(const struct aspace *as)
{
    drop_where(NULL, as);
}

void fast_drop_all(void)
{
    drop_where(NULL, NULL);
}

void fast_drop_file(struct fdtable *t, struct file *f)
{
    struct list dropped = LIST_INIT(dropped);
    struct fast_reg *r, *next;
    if (!atomic_load(&f->nfast))
        return;
    mutex_lock(&fast_lock);
    list_for_each_safe (r, next, fdtable_fast(t), table_node) {
        if (r->file == f)
            drop(r, &dropped);
    }
    mutex_unlock(&fast_lock);
    release(&dropped);
}

/* Nothing that the reads would have to tell or to move. */
static bool is_quiet(const struct file *f)
{
    u32 mf = f->path.mnt->flags;
    bool moves_atime = (mf & LX_MS_STRICTATIME) && !(mf & LX_MS_RDONLY) &&
                       !(f->flags & LX_O_NOATIME) && !(f->inode->sb->flags & SB_RDONLY);
    return !moves_atime && atomic_load(&f->inode->write_count) <= 0 && !notify_is_watching();
}

static void make(struct file *f, int fd, struct fdtable *t, struct aspace *as, struct uctx *ctx)
{
    struct list dropped = LIST_INIT(dropped);
    struct inode *i = f->inode;
    int host_fd;
    u64 size = atomic_load(&i->size);
    if (f->ops->stable_fd(f, &host_fd) < 0)
        return;
    struct fast_reg *r = calloc(1, sizeof(*r)), *old;
    if (!r)
        return;
    mutex_lock(&fast_lock);
    list_for_each (old, fdtable_fast(t), table_node) {
        if (old->fd == fd && old->as == as) { /* another thread's doing */
            uctx_set_table(ctx, fdtable_id(t));
            goto unneeded;
        }
    }
    int window = aspace_file_map(as, host_fd, size);
    if (window < 0)
        goto unneeded;
    aspace_get(as);
    *r = (struct fast_reg){.file = f, .as = as, .window = (u32)window, .fd = fd};
    list_add_tail(&regs, &r->node);
    list_add_tail(fdtable_fast(t), &r->table_node);
    atomic_fetch_add(&nregs, 1);
    atomic_fetch_add(&f->nfast, 1);
    atomic_fetch_add(&i->nfast, 1);
    if (is_quiet(f) && atomic_load(&i->size) == size && fdtable_is_at(t, fd, f)) {
        aspace_file_show(as, (u32)window, fdtable_id(t), fd, size);
        uctx_set_table(ctx, fdtable_id(t));
    } else {
        drop(r, &dropped);
    }
    mutex_unlock(&fast_lock);
    release(&dropped);
    return;
unneeded:
    mutex_unlock(&fast_lock);
    free(r);
}

void fast_note_pread(struct file *f, int fd, struct aspace *as, struct uctx *ctx)
{
    u32 n = atomic_fetch_add_explicit(&f->npreads, 1, memory_order_relaxed);
    if (likely((n + 1) % TRIES) || fd < 0 || fd > ASPACE_FILE_MAX_FD)
        return;
    if (!f->ops->stable_fd || !mode_is_reg(f->inode->mode) || !(f->mode & FMODE_READ) ||
        !atomic_load(&f->inode->size) || !is_quiet(f))
        return;
    make(f, fd, vfs_current->files, as, ctx);
}
