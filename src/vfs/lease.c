/*
 * Leases: F_SETLEASE. A read lease is broken by an open for writing or a
 * truncation, a write lease by any open. The holder is told by its signal and has
 * lease-break-time to give way; then the lease is taken from it.
 *
 * Not as Linux: who else has an inode open for reading is not counted, so a
 * write lease is granted only when nothing else refers to the inode at all.
 */
#include <stdlib.h>

#include "abi/sched.h"
#include "abi/signal.h"
#include "vfs/account.h"
#include "vfs/fcntl_ext.h"
#include "vfs/lock_int.h"

static struct lease *find_lease(struct file_locks *ls, const struct file *f) REQUIRES(ls->lock)
{
    struct lease *l;
    list_for_each(l, &ls->leases, node) {
        if (l->file == f)
            return l;
    }
    return NULL;
}

static void drop_locked(struct lease *l)
{
    list_del(&l->node);
    l->file->lease = 0;
    free(l);
}

void lease_drop(struct file_locks *ls, struct file *f)
{
    mutex_lock(&ls->lock);
    struct lease *l = find_lease(ls, f);
    if (l)
        drop_locked(l);
    mutex_unlock(&ls->lock);
    if (l)
        locks_wake(ls);
}

/* F_RDLCK of a lease being broken down to it, and so on: what the holder may keep. */
int lease_get(struct file *f)
{
    struct file_locks *ls = __atomic_load_n(&f->inode->locks, __ATOMIC_ACQUIRE);
    if (!ls)
        return LX_F_UNLCK;
    MUTEX_GUARD(&ls->lock);
    struct lease *l = find_lease(ls, f);
    return l ? l->target : LX_F_UNLCK;
}

static int may_lease(struct file *f, int type)
{
    struct inode *i = f->inode;
    if ((i->mode & LX_S_IFMT) != LX_S_IFREG)
        return -LX_EINVAL;
    if (vfs_cred()->fsuid != i->uid && !vfs_capable(LX_CAP_LEASE))
        return -LX_EACCES;
    s32 nwriters = atomic_load(&i->write_count);
    if (type == LX_F_RDLCK)
        return nwriters > 0 ? -LX_EAGAIN : 0;
    u32 own = 2; /* our file, and the dentry */
    return nwriters > ((f->mode & FMODE_WRITE) ? 1 : 0) || ref_read(&i->ref) > own ? -LX_EAGAIN : 0;
}

static int set_locked(struct file_locks *ls, struct file *f, int type, struct lease *fresh)
    REQUIRES(ls->lock)
{
    struct lease *mine = find_lease(ls, f), *l;
    list_for_each(l, &ls->leases, node) {
        if (l != mine && (type == LX_F_WRLCK || l->type == LX_F_WRLCK))
            return -LX_EAGAIN;
    }
    if (mine && mine->target != mine->type && type != mine->target)
        return -LX_EAGAIN;
    if (!mine) {
        mine = fresh;
        mine->file = f;
        list_add_tail(&ls->leases, &mine->node);
    } else {
        free(fresh);
    }
    mine->type = mine->target = (u8)type;
    f->lease = (u32)type + 1;
    return 0;
}

int lease_set(struct file *f, int type)
{
    if (type == LX_F_UNLCK) {
        struct file_locks *ls = __atomic_load_n(&f->inode->locks, __ATOMIC_ACQUIRE);
        if (!f->lease)
            return -LX_EAGAIN;
        lease_drop(ls, f);
        return 0;
    }
    if ((type != LX_F_RDLCK && type != LX_F_WRLCK) || !sysctl_leases_enable)
        return -LX_EINVAL;
    int r = may_lease(f, type);
    if (r < 0)
        return r;
    struct file_locks *ls = locks_get(f->inode);
    struct lease *fresh = calloc(1, sizeof(*fresh));
    if (!ls || !fresh) {
        free(fresh);
        return -LX_ENOLCK;
    }
    list_init(&fresh->node);
    mutex_lock(&ls->lock);
    r = set_locked(ls, f, type, fresh);
    mutex_unlock(&ls->lock);
    if (r < 0)
        free(fresh);
    else
        locks_wake(ls);
    return r;
}

/* ---- breaking ------------------------------------------------------------------------------ */

struct breaking {
    struct file_locks *ls;
    bool is_write;
    s64 deadline_ns; /* the next at which a lease is taken by force */
};

static bool conflicts(const struct lease *l, bool is_write)
{
    return l->type == LX_F_WRLCK || is_write;
}

/* Starts or forces the breaking of what is in the way; true when nothing is. */
static bool break_step(struct breaking *b)
{
    struct lease *l, *tmp;
    s64 now = clock_mono_ns();
    b->deadline_ns = NO_DEADLINE;
    MUTEX_GUARD(&b->ls->lock);
    list_for_each_safe(l, tmp, &b->ls->leases, node) {
        if (!conflicts(l, b->is_write))
            continue;
        u8 target = b->is_write ? LX_F_UNLCK : LX_F_RDLCK;
        bool is_new = l->target == l->type;
        if (is_new)
            l->break_deadline_ns = now + sysctl_lease_break_time * NSEC_PER_SEC;
        if (is_new || (l->target == LX_F_RDLCK && target == LX_F_UNLCK))
            l->target = target;
        if (is_new)
            fowner_signal(l->file, 0, LX_POLL_MSG, WAIT_MSG);
        if (now >= l->break_deadline_ns) {
            if (l->target == LX_F_UNLCK) {
                drop_locked(l);
                continue;
            }
            l->type = l->target;
            if (!conflicts(l, b->is_write))
                continue;
        }
        b->deadline_ns = MIN(b->deadline_ns, l->break_deadline_ns);
    }
    return b->deadline_ns == NO_DEADLINE;
}

int lease_break(struct inode *i, u32 flags)
{
    struct file_locks *ls = __atomic_load_n(&i->locks, __ATOMIC_ACQUIRE);
    if (!ls || list_empty(&ls->leases))
        return 0;
    bool is_write = (flags & LX_O_ACCMODE) != LX_O_RDONLY || (flags & LX_O_TRUNC);
    struct breaking b = {ls, is_write, NO_DEADLINE};
    if (break_step(&b))
        return 0;
    if (flags & LX_O_NONBLOCK)
        return -LX_EWOULDBLOCK;
    struct waiter w;
    int r = 0;
    waiter_init_thread(&w, WAIT_ALL);
    waitq_add(&ls->wait, &w);
    while (!break_step(&b) && r == 0) {
        r = park_interruptible(b.deadline_ns);
        if (r == -LX_ETIMEDOUT)
            r = 0;
    }
    waitq_del(&ls->wait, &w);
    return r;
}
