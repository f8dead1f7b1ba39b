/*
 * fcntl(2) beyond descriptors and flags: locks, owners and signals, pipe
 * sizes, seals, leases. F_NOTIFY (dnotify) and write hints are not there: EINVAL, as a
 * kernel built without them answers.
 *
 * SIGIO: an owner's callback sits on the file's wait queue. It runs under that
 * queue's lock, where no signal may be sent, so it notes the events and leaves the sending to the
 * end of the waker's system call or its next sleep (park_work); on a thread without a task, to a
 * timer that is due at once.
 */
#include "vfs/fcntl_ext.h"

#include <stdlib.h>

#include "abi/signal.h"
#include "base/ktimer.h"
#include "vfs/lock_int.h"
#include "vfs/task_ops.h"

/* ---- owners -------------------------------------------------------------------------------- */

struct fowner {
    struct ref ref;           /* the file's, and each place in a deferred list */
    struct mutex lock;
    enum vfs_who who;         /* guarded by lock, as all but events */
    s32 kid;                  /* 0: none */
    const struct cred *cred;  /* of who set it; owned */
    int signo;                /* F_SETSIG; 0: SIGIO */
    int fd;                   /* for si_fd: where O_ASYNC was set */
    bool is_watching;
    struct waitq *q;
    struct waiter w;
    struct ktimer kt;
    _Atomic u32 events;
};

static struct mutex create_mutex = MUTEX_INIT("fowner.create");

static struct fowner *peek_owner(struct file *f)
{
    return __atomic_load_n(&f->fasync, __ATOMIC_ACQUIRE);
}

static int code_of(u32 ev)
{
    if (ev & (WAIT_IN | WAIT_RDNORM))
        return LX_POLL_IN;
    if (ev & WAIT_HUP)
        return LX_POLL_HUP;
    if (ev & WAIT_ERR)
        return LX_POLL_ERR;
    if (ev & WAIT_PRI)
        return LX_POLL_PRI;
    return LX_POLL_OUT;
}

static void send_to_owner(struct fowner *o, int signo, int code, u32 band)
{
    mutex_lock(&o->lock);
    enum vfs_who who = o->who;
    s32 kid = o->kid;
    const struct cred *cred = o->cred;
    int fd = o->fd;
    if (signo == 0)
        signo = o->signo;
    if (cred)
        cred_get(cred);
    mutex_unlock(&o->lock);
    if (cred && kid != 0)
        vfs_task_ops->send_sigio(who, kid, cred, signo, code, band, fd);
    if (cred)
        cred_put(cred);
}

static void owner_put(struct fowner *o)
{
    if (!ref_put(&o->ref))
        return;
    if (o->cred)
        cred_put(o->cred);
    free(o);
}

static void send_noted(struct fowner *o)
{
    u32 ev = atomic_exchange(&o->events, 0);
    if (ev)
        send_to_owner(o, 0, code_of(ev), ev);
}

static void owner_due(struct ktimer *kt)
{
    send_noted(kt->arg);
}

#define MAX_DEFERRED 8U
static _Thread_local struct fowner *deferred[MAX_DEFERRED];
static _Thread_local u32 ndeferred;

static void run_deferred(void)
{
    park_has_work = false;
    while (ndeferred > 0) {
        struct fowner *o = deferred[--ndeferred];
        send_noted(o);
        owner_put(o);
    }
}

static void owner_woken(struct waiter *w, u32 events)
{
    struct fowner *o = w->arg;
    if (atomic_fetch_or(&o->events, events & 0xffff) != 0)
        return; /* somebody is about to send */
    if (vfs_current && ndeferred < MAX_DEFERRED) {
        ref_get(&o->ref);
        deferred[ndeferred++] = o;
        atomic_store(&park_work, run_deferred);
        park_has_work = true;
    } else {
        ktimer_start(&o->kt, ktimer_now(KTIMER_MONO));
    }
}

static struct fowner *get_owner(struct file *f)
{
    struct fowner *o = peek_owner(f);
    if (o)
        return o;
    MUTEX_GUARD(&create_mutex);
    if ((o = peek_owner(f)) != NULL)
        return o;
    o = calloc(1, sizeof(*o));
    if (!o)
        return NULL;
    ref_init(&o->ref);
    mutex_init(&o->lock, "fowner");
    ktimer_init(&o->kt, KTIMER_MONO, owner_due, o);
    o->fd = -1;
    __atomic_store_n(&f->fasync, o, __ATOMIC_RELEASE);
    return o;
}

void fasync_release(struct file *f)
{
    struct fowner *o = f->fasync;
    if (!o)
        return;
    if (o->is_watching)
        waitq_del(o->q, &o->w);
    ktimer_cancel_sync(&o->kt);
    f->fasync = NULL;
    owner_put(o);
}

int fasync_update(struct file *f, int fd, bool is_on)
{
    if (!is_on && !peek_owner(f))
        return 0;
    struct fowner *o = get_owner(f);
    if (!o)
        return -LX_ENOMEM;
    mutex_lock(&o->lock);
    bool is_new = is_on && !o->is_watching;
    if (is_new) {
        o->fd = fd;
        o->q = vfs_pollq(f);
        o->is_watching = o->q != NULL;
        waiter_init_fn(&o->w, WAIT_ALL, owner_woken, o);
        if (o->q)
            waitq_add(o->q, &o->w);
    } else if (!is_on && o->is_watching) {
        waitq_del(o->q, &o->w);
        o->is_watching = false;
    }
    mutex_unlock(&o->lock);
    if (is_new)
        (void)vfs_poll(f); /* what is behind a host descriptor tells of events from now on */
    return 0;
}

static int set_owner(struct file *f, enum vfs_who who, s32 vid)
{
    s32 kid = 0;
    if (vid != 0) {
        kid = vfs_task_ops->to_kid(who, vid);
        if (kid <= 0)
            return -LX_ESRCH;
    }
    struct fowner *o = get_owner(f);
    if (!o)
        return -LX_ENOMEM;
    const struct cred *cred = vfs_cred(), *old;
    cred_get(cred);
    mutex_lock(&o->lock);
    old = o->cred;
    o->who = who;
    o->kid = kid;
    o->cred = cred;
    mutex_unlock(&o->lock);
    if (old)
        cred_put(old);
    return 0;
}

int fowner_set(struct file *f, s32 vid)
{
    if (vid == INT32_MIN)
        return -LX_EINVAL;
    return vid < 0 ? set_owner(f, VFS_WHO_PGRP, -vid) : set_owner(f, VFS_WHO_PID, vid);
}

/* The owner as the current task sees it: its kind and number, 0 for none. */
static s32 owner_vid(struct file *f, enum vfs_who *ret_who)
{
    struct fowner *o = peek_owner(f);
    *ret_who = VFS_WHO_TID;
    if (!o)
        return 0;
    mutex_lock(&o->lock);
    s32 kid = o->kid;
    *ret_who = o->who;
    mutex_unlock(&o->lock);
    return kid ? vfs_task_ops->to_vid(*ret_who, kid) : 0;
}

s32 fowner_get(struct file *f)
{
    enum vfs_who who;
    s32 vid = owner_vid(f, &who);
    return who == VFS_WHO_PGRP ? -vid : vid;
}

void fowner_signal(struct file *f, int signo, int code, u32 band)
{
    struct fowner *o = peek_owner(f);
    if (o)
        send_to_owner(o, signo, code, band);
}

struct lx_f_owner_ex {
    s32 type, pid;
};

static s64 owner_ex(struct file *f, int cmd, uaddr_t arg)
{
    struct lx_f_owner_ex ex;
    if (cmd == LX_F_GETOWN_EX) {
        enum vfs_who who;
        ex.pid = owner_vid(f, &who);
        ex.type = (s32)who;
        return put_user(ex, arg);
    }
    if (get_user(ex, arg) < 0)
        return -LX_EFAULT;
    if (ex.type < LX_F_OWNER_TID || ex.type > LX_F_OWNER_PGRP)
        return -LX_EINVAL;
    return set_owner(f, (enum vfs_who)ex.type, ex.pid);
}

static s64 owner_signo(struct file *f, int cmd, u64 arg)
{
    struct fowner *o = peek_owner(f);
    if (cmd == LX_F_GETSIG)
        return o ? o->signo : 0;
    if (arg > LX_NSIG)
        return -LX_EINVAL;
    if (!o && arg == 0)
        return 0;
    o = get_owner(f);
    if (!o)
        return -LX_ENOMEM;
    MUTEX_GUARD(&o->lock);
    o->signo = (int)arg;
    return 0;
}

/* ---- locks --------------------------------------------------------------------------------- */

struct lx_flock {
    s16 type, whence;
    u32 pad0;
    s64 start, len;
    s32 pid;
    u32 pad1;
};

static int range_of(struct file *f, const struct lx_flock *fl, s64 *ret_start, s64 *ret_end)
{
    s64 base = 0, start, end = INT64_MAX;
    if (fl->whence == LX_SEEK_CUR)
        base = f->pos;
    else if (fl->whence == LX_SEEK_END)
        base = (s64)atomic_load(&f->inode->size);
    else if (fl->whence != LX_SEEK_SET)
        return -LX_EINVAL;
    if (__builtin_add_overflow(base, fl->start, &start))
        return fl->start > 0 ? -LX_EOVERFLOW : -LX_EINVAL;
    if (start < 0)
        return -LX_EINVAL;
    if (fl->len > 0 && __builtin_add_overflow(start, fl->len - 1, &end))
        return -LX_EOVERFLOW;
    if (fl->len < 0) {
        end = start - 1;
        if (__builtin_add_overflow(start, fl->len, &start) || start < 0)
            return -LX_EINVAL;
    }
    *ret_start = start;
    *ret_end = end;
    return 0;
}

static bool is_ofd_cmd(int cmd)
{
    return cmd == LX_F_OFD_GETLK || cmd == LX_F_OFD_SETLK || cmd == LX_F_OFD_SETLKW;
}

static int lock_request(struct file *f, int cmd, const struct lx_flock *fl, struct lock_range *r)
{
    if (fl->type != LX_F_RDLCK && fl->type != LX_F_WRLCK && fl->type != LX_F_UNLCK)
        return -LX_EINVAL;
    *r = (struct lock_range){.type = fl->type,
                             .kind = is_ofd_cmd(cmd) ? LOCK_OFD : LOCK_POSIX,
                             .pid = vfs_current->tgid};
    r->owner = r->kind == LOCK_OFD ? (const void *)f : (const void *)vfs_current->files;
    if (r->kind == LOCK_OFD && fl->pid != 0)
        return -LX_EINVAL;
    return range_of(f, fl, &r->start, &r->end);
}

static s64 get_lock(struct file *f, int cmd, uaddr_t arg)
{
    struct lx_flock fl;
    struct lock_range r;
    struct file_lock found;
    if (get_user(fl, arg) < 0)
        return -LX_EFAULT;
    if (cmd == LX_F_GETLK && fl.type == LX_F_UNLCK)
        return -LX_EINVAL;
    int e = lock_request(f, cmd, &fl, &r);
    if (e < 0)
        return e;
    if (!posix_test(f->inode, &r, &found)) {
        fl.type = LX_F_UNLCK;
        return put_user(fl, arg);
    }
    fl.type = found.is_write ? LX_F_WRLCK : LX_F_RDLCK;
    fl.whence = LX_SEEK_SET;
    fl.start = found.start;
    fl.len = found.end == INT64_MAX ? 0 : found.end - found.start + 1;
    fl.pid = found.kind == LOCK_OFD ? -1 : vfs_task_ops->to_vid(VFS_WHO_PID, found.pid);
    return put_user(fl, arg);
}

static s64 set_lock(struct file *f, int fd, int cmd, uaddr_t arg)
{
    struct lx_flock fl;
    struct lock_range r;
    if (get_user(fl, arg) < 0)
        return -LX_EFAULT;
    int e = lock_request(f, cmd, &fl, &r);
    if (e < 0)
        return e;
    if ((r.type == LX_F_RDLCK && !(f->mode & FMODE_READ)) ||
        (r.type == LX_F_WRLCK && !(f->mode & FMODE_WRITE)))
        return -LX_EBADF;
    e = posix_lock(f->inode, &r, cmd == LX_F_SETLKW || cmd == LX_F_OFD_SETLKW);
    if (e < 0 || r.kind == LOCK_OFD || r.type == LX_F_UNLCK)
        return e;
    /* Closed by another thread meanwhile: its close saw no lock, so this one must not stay. */
    struct file *now cleanup(file_put_p) = fd_get(fd);
    if (now == f)
        return 0;
    r.type = LX_F_UNLCK;
    e = posix_lock(f->inode, &r, false);
    return e < 0 ? e : -LX_EBADF;
}

/* ---- all of it ----------------------------------------------------------------------------- */

static s64 set_lease(struct file *f, u64 arg)
{
    int r = lease_set(f, (int)arg);
    /* The holder is told of a break by SIGIO: without an owner, that is who took the lease. */
    if (r == 0 && (int)arg != LX_F_UNLCK && fowner_get(f) == 0)
        (void)!set_owner(f, VFS_WHO_PID, vfs_task_ops->to_vid(VFS_WHO_PID, vfs_current->tgid));
    return r;
}

s64 fcntl_ext(struct file *f, int fd, int cmd, u64 arg)
{
    switch (cmd) {
    case LX_F_GETLK:
    case LX_F_OFD_GETLK:
        return get_lock(f, cmd, uaddr(arg));
    case LX_F_SETLK:
    case LX_F_SETLKW:
    case LX_F_OFD_SETLK:
    case LX_F_OFD_SETLKW:
        return set_lock(f, fd, cmd, uaddr(arg));
    case LX_F_SETOWN:
        return fowner_set(f, (s32)arg);
    case LX_F_GETOWN:
        return fowner_get(f);
    case LX_F_SETOWN_EX:
    case LX_F_GETOWN_EX:
        return owner_ex(f, cmd, uaddr(arg));
    case LX_F_SETSIG:
    case LX_F_GETSIG:
        return owner_signo(f, cmd, arg);
    case LX_F_SETPIPE_SZ:
    case LX_F_GETPIPE_SZ:
        return f->ops->fcntl ? f->ops->fcntl(f, cmd, arg) : -LX_EBADF;
    case LX_F_ADD_SEALS:
    case LX_F_GET_SEALS:
        return f->ops->fcntl ? f->ops->fcntl(f, cmd, arg) : -LX_EINVAL;
    case LX_F_SETLEASE:
        return set_lease(f, arg);
    case LX_F_GETLEASE:
        return lease_get(f);
    default:
        return -LX_EINVAL;
    }
}
