/*
 * Locks of an inode: the container of all kinds, and flock(2).
 *
 * Whoever must wait queues on the inode's one queue and tries again when
 * anything was released. A flock that changes its kind gives the old one up first, as
 * flock(2) documents.
 */
#include <stdio.h>
#include <stdlib.h>

#include "vfs/lock_int.h"

struct mutex all_locks_mutex = MUTEX_INIT("locks.all");
struct list all_locks = LIST_INIT(all_locks);
static _Atomic u32 nlocks;
static struct mutex create_mutex = MUTEX_INIT("locks.create");

/* ---- the container ------------------------------------------------------------------------- */

static inline struct file_locks *peek(struct inode *i)
{
    return __atomic_load_n(&i->locks, __ATOMIC_ACQUIRE);
}

struct file_locks *locks_get(struct inode *i)
{
    struct file_locks *ls = peek(i);
    if (ls)
        return ls;
    MUTEX_GUARD(&create_mutex);
    if ((ls = peek(i)) != NULL)
        return ls;
    ls = calloc(1, sizeof(*ls));
    if (!ls)
        return NULL;
    mutex_init(&ls->lock, "locks");
    list_init(&ls->posix);
    list_init(&ls->flocks);
    list_init(&ls->leases);
    waitq_init(&ls->wait);
    ls->dev = i->sb->dev;
    ls->ino = i->ino;
    mutex_lock(&all_locks_mutex);
    list_add_tail(&all_locks, &ls->all_node);
    mutex_unlock(&all_locks_mutex);
    __atomic_store_n(&i->locks, ls, __ATOMIC_RELEASE);
    return ls;
}

struct file_lock *lock_alloc(void)
{
    if (atomic_fetch_add(&nlocks, 1) >= MAX_LOCKS) {
        atomic_fetch_sub(&nlocks, 1);
        return NULL;
    }
    struct file_lock *l = calloc(1, sizeof(*l));
    if (!l)
        atomic_fetch_sub(&nlocks, 1);
    else
        list_init(&l->node);
    return l;
}

void lock_free(struct file_lock *l)
{
    if (!l)
        return;
    free(l);
    atomic_fetch_sub(&nlocks, 1);
}

void locks_wake(struct file_locks *ls)
{
    waitq_wake(&ls->wait, WAIT_ALL);
}

/* ---- flock --------------------------------------------------------------------------------- */

static struct file_lock *find_flock(struct file_locks *ls, const struct file *f)
{
    struct file_lock *l;
    list_for_each(l, &ls->flocks, node) {
        if (l->owner == f)
            return l;
    }
    return NULL;
}

static bool can_flock(struct file_locks *ls, const struct file *f, bool is_write)
{
    struct file_lock *l;
    list_for_each(l, &ls->flocks, node) {
        if (l->owner != f && (is_write || l->is_write))
            return false;
    }
    return true;
}

static bool drop_flock(struct file_locks *ls, const struct file *f)
{
    mutex_lock(&ls->lock);
    struct file_lock *l = find_flock(ls, f);
    if (l)
        list_del(&l->node);
    mutex_unlock(&ls->lock);
    if (!l)
        return false;
    lock_free(l);
    locks_wake(ls);
    return true;
}

/* Takes *l into the list when nobody is in the way (another thread may have locked f meanwhile). */
static bool try_flock(struct file_locks *ls, const struct file *f, struct file_lock **l)
{
    MUTEX_GUARD(&ls->lock);
    if (!can_flock(ls, f, (*l)->is_write))
        return false;
    struct file_lock *mine = find_flock(ls, f);
    if (mine) {
        mine->is_write = (*l)->is_write;
        return true;
    }
    list_add_tail(&ls->flocks, &(*l)->node);
    *l = NULL;
    return true;
}

static bool holds_flock(struct file_locks *ls, const struct file *f, bool is_write)
{
    MUTEX_GUARD(&ls->lock);
    struct file_lock *l = find_flock(ls, f);
    return l && l->is_write == is_write;
}

int vfs_flock(struct file *f, int op)
{
    bool is_waiting = !(op & LX_LOCK_NB), is_write = false;
    switch (op & ~LX_LOCK_NB) {
    case LX_LOCK_UN:
        if (peek(f->inode))
            (void)drop_flock(peek(f->inode), f); /* none held: success too */
        return 0;
    case LX_LOCK_EX:
        is_write = true;
        break;
    case LX_LOCK_SH:
        break;
    default:
        return -LX_EINVAL;
    }
    if (!(f->mode & (FMODE_READ | FMODE_WRITE)))
        return -LX_EBADF;
    struct file_locks *ls = locks_get(f->inode);
    if (!ls)
        return -LX_ENOLCK;
    if (holds_flock(ls, f, is_write))
        return 0;
    (void)drop_flock(ls, f);
    struct file_lock *l = lock_alloc();
    if (!l)
        return -LX_ENOLCK;
    l->owner = f;
    l->kind = LOCK_FLOCK;
    l->is_write = is_write;
    l->end = INT64_MAX;
    l->pid = vfs_current ? vfs_current->tgid : 0;
    int r = 0;
    if (!try_flock(ls, f, &l)) {
        if (!is_waiting)
            r = -LX_EWOULDBLOCK;
        else
            r = wait_event_interruptible(&ls->wait, WAIT_ALL, try_flock(ls, f, &l), NO_DEADLINE);
    }
    if (l)
        lock_free(l);
    return r;
}

/* ---- the ends of files --------------------------------------------------------------------- */

void locks_close_fd(struct file *f, struct fdtable *table)
{
    struct file_locks *ls = peek(f->inode);
    if (ls)
        posix_drop_owner(ls, table);
}

void locks_release_file(struct file *f)
{
    struct file_locks *ls = peek(f->inode);
    if (!ls)
        return;
    (void)drop_flock(ls, f);
    posix_drop_owner(ls, f);
    lease_drop(ls, f);
}

void locks_free(struct inode *i)
{
    struct file_locks *ls = peek(i);
    if (!ls)
        return;
    struct file_lock *l, *tmp;
    mutex_lock(&all_locks_mutex);
    list_del(&ls->all_node);
    mutex_unlock(&all_locks_mutex);
    list_for_each_safe(l, tmp, &ls->posix, node)
        lock_free(l);
    list_for_each_safe(l, tmp, &ls->flocks, node)
        lock_free(l);
    waitq_done(&ls->wait);
    free(ls);
    i->locks = NULL;
}

/* ---- /proc/locks --------------------------------------------------------------------------- */

struct line_ctx {
    void (*emit)(void *arg, const char *line);
    void *arg;
    u32 n;
};

static void emit_list(struct line_ctx *c, struct file_locks *ls, struct list *head)
{
    static const char *const kinds[] = {"POSIX ", "OFDLCK", "FLOCK "};
    struct file_lock *l;
    list_for_each(l, head, node) {
        char line[160], end[24] = "EOF";
        if (l->end != INT64_MAX)
            snprintf(end, sizeof(end), "%lld", (long long)l->end);
        snprintf(line, sizeof(line), "%u: %s ADVISORY  %s %d %02x:%02x:%llu %lld %s\n", ++c->n,
                 kinds[l->kind], l->is_write ? "WRITE" : "READ ", l->kind == LOCK_OFD ? -1 : l->pid,
                 DEV_MAJOR(ls->dev), DEV_MINOR(ls->dev), (unsigned long long)ls->ino,
                 (long long)l->start, end);
        c->emit(c->arg, line);
    }
}

void locks_for_each_line(void (*emit)(void *arg, const char *line), void *arg)
{
    struct line_ctx c = {emit, arg, 0};
    struct file_locks *ls;
    MUTEX_GUARD(&all_locks_mutex);
    list_for_each(ls, &all_locks, all_node) {
        MUTEX_GUARD(&ls->lock);
        emit_list(&c, ls, &ls->posix);
        emit_list(&c, ls, &ls->flocks);
    }
}
