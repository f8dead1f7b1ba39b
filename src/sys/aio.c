/*
 * Handlers: Linux AIO. Reads, writes and syncs are done at once by the thread that submits them,
 * as Linux does what the page cache can answer; io_submit may therefore wait where a pipe or a
 * terminal would make it wait. Polls are under way until the file is ready (kern/aio.c).
 */
#include "kern/aio.h"

#include "fs/eventfd.h"
#include "sys/pollset.h"
#include "sys/sys.h"
#include "vfs/file.h"

enum {
    IOCB_PREAD,
    IOCB_PWRITE,
    IOCB_FSYNC,
    IOCB_FDSYNC,
    IOCB_POLL = 5,
    IOCB_NOOP,
    IOCB_PREADV,
    IOCB_PWRITEV
};
#define IOCB_FLAG_RESFD  1U
#define IOCB_FLAG_IOPRIO 2U

struct lx_iocb {
    u64 data;
    u32 key, rw_flags;
    u16 opcode;
    s16 reqprio;
    u32 fildes;
    u64 buf, nbytes;
    s64 offset;
    u64 reserved2;
    u32 flags, resfd;
};
_Static_assert(sizeof(struct lx_iocb) == 64, "struct iocb");

struct request {
    struct aio_ctx *ctx;
    struct lx_iocb cb;
    struct file *f, *resfd; /* owned */
    struct lx_io_event ev;
};

s64 sys_io_setup(struct task *t, const u64 a[6])
{
    u64 id;
    if (get_user(id, uaddr(a[1])) < 0)
        return -LX_EFAULT;
    if (id || (u32)a[0] == 0)
        return -LX_EINVAL;
    int r = aio_setup(t, (u32)a[0], &id);
    if (r < 0 || put_user(id, uaddr(a[1])) == 0)
        return r;
    struct aio_ctx *c = aio_find(t, id);
    if (c && aio_destroy(t, c, id) < 0) {
        /* another thread has destroyed it already */
    }
    aio_put(c);
    return -LX_EFAULT;
}

s64 sys_io_destroy(struct task *t, const u64 a[6])
{
    struct aio_ctx *c = aio_find(t, a[0]);
    s64 r = c ? aio_destroy(t, c, a[0]) : -LX_EINVAL;
    aio_put(c);
    return r;
}

/* ---- submitting ---------------------------------------------------------------------------- */

static s64 rw_init(const struct request *q, struct uio *u, bool is_vector)
{
    if (is_vector)
        return uio_init_iovec(u, uaddr(q->cb.buf), q->cb.nbytes);
    uio_init_user(u, uaddr(q->cb.buf), MIN(q->cb.nbytes, MAX_RW_COUNT));
    return 0;
}

/* The request's outcome goes into ev.res; a value below 0 refuses it. */
static s64 do_rw(struct request *q, bool is_write, bool is_vector)
{
    struct file *f = q->f;
    struct uio u;
    u32 flags = q->cb.rw_flags;
    if (flags & ~(u32)(LX_RWF_HIPRI | LX_RWF_DSYNC | LX_RWF_SYNC))
        return -LX_EOPNOTSUPP;
    if (!(f->mode & (is_write ? FMODE_WRITE : FMODE_READ)))
        return -LX_EBADF;
    if (is_write ? !f->ops->write : !f->ops->read)
        return -LX_EINVAL;
    s64 off = q->cb.offset;
    if (off < 0 && !(f->mode & FMODE_STREAM))
        return -LX_EINVAL;
    s64 r = rw_init(q, &u, is_vector);
    if (r < 0)
        return r;
    s64 *pos = f->mode & FMODE_PREAD ? &off : NULL;
    r = is_write ? vfs_write(f, &u, pos) : vfs_read(f, &u, pos);
    uio_done(&u);
    if (r > 0 && is_write && flags & (LX_RWF_DSYNC | LX_RWF_SYNC)) {
        int e = vfs_fsync(f, !(flags & LX_RWF_SYNC));
        r = e < 0 ? e : r;
    }
    q->ev.res = r <= -512 ? -LX_EINTR : r; /* no restart: the thread has gone on */
    return 0;
}

static s64 do_fsync(struct request *q, bool is_data_only)
{
    const struct lx_iocb *cb = &q->cb;
    if (cb->buf || cb->offset || cb->nbytes || cb->rw_flags || !q->f->ops->fsync)
        return -LX_EINVAL;
    q->ev.res = vfs_fsync(q->f, is_data_only);
    return 0;
}

/* Consumes the files when it succeeds. */
static s64 do_poll(struct request *q)
{
    const struct lx_iocb *cb = &q->cb;
    if ((u16)cb->buf != cb->buf || cb->offset || cb->nbytes || cb->rw_flags)
        return -LX_EINVAL;
    s64 r = aio_watch(q->ctx, q->f, (u32)cb->buf, &q->ev, q->resfd);
    if (r == 0)
        q->f = q->resfd = NULL;
    return r;
}

static s64 run(struct request *q)
{
    s64 r;
    switch (q->cb.opcode) {
    case IOCB_PREAD:
    case IOCB_PREADV:
        r = do_rw(q, false, q->cb.opcode == IOCB_PREADV);
        break;
    case IOCB_PWRITE:
    case IOCB_PWRITEV:
        r = do_rw(q, true, q->cb.opcode == IOCB_PWRITEV);
        break;
    case IOCB_FSYNC:
    case IOCB_FDSYNC:
        r = do_fsync(q, q->cb.opcode == IOCB_FDSYNC);
        break;
    case IOCB_POLL:
        return do_poll(q);
    default:
        return -LX_EINVAL;
    }
    if (r == 0)
        aio_complete(q->ctx, &q->ev, q->resfd);
    return r;
}

static s64 open_files(struct request *q)
{
    q->f = fd_get((int)q->cb.fildes);
    if (!q->f)
        return -LX_EBADF;
    if (q->cb.flags & IOCB_FLAG_RESFD) {
        q->resfd = fd_get((int)q->cb.resfd);
        if (!q->resfd)
            return -LX_EBADF;
        if (!is_eventfd(q->resfd))
            return -LX_EINVAL;
    }
    return 0;
}

static s64 submit_one(struct task *t, struct aio_ctx *c, u64 at)
{
    struct request q = {.ctx = c};
    u32 key = 0;
    if (copy_in(&q.cb, uaddr(at), sizeof(q.cb)) < 0)
        return -LX_EFAULT;
    if (q.cb.reserved2 || (s64)q.cb.nbytes < 0)
        return -LX_EINVAL;
    if (!aio_reserve(c))
        return -LX_EAGAIN;
    q.ev = (struct lx_io_event){.data = q.cb.data, .obj = at};
    s64 r = open_files(&q);
    if (r == 0 &&
        copy_out(uaddr_add(uaddr(at), offsetof(struct lx_iocb, key)), &key, sizeof(key)) < 0)
        r = -LX_EFAULT;
    if (r == 0)
        r = run(&q);
    if (r < 0)
        aio_unreserve(c);
    if (q.f)
        file_put(q.f);
    if (q.resfd)
        file_put(q.resfd);
    return r;
}

s64 sys_io_submit(struct task *t, const u64 a[6])
{
    s64 n = (s64)a[1], done = 0, r = 0;
    if (n < 0)
        return -LX_EINVAL;
    struct aio_ctx *c = aio_find(t, a[0]);
    if (!c)
        return -LX_EINVAL;
    for (; done < n && r == 0; done += r == 0) {
        u64 at;
        r = get_user(at, uaddr_add(uaddr(a[2]), (u64)done * sizeof(at)));
        if (r == 0)
            r = submit_one(t, c, at);
    }
    aio_put(c);
    return done ? done : r;
}

s64 sys_io_cancel(struct task *t, const u64 a[6])
{
    u32 key;
    if (get_user(key, uaddr_add(uaddr(a[1]), offsetof(struct lx_iocb, key))) < 0)
        return -LX_EFAULT;
    if (key)
        return -LX_EINVAL;
    struct aio_ctx *c = aio_find(t, a[0]);
    if (!c)
        return -LX_EINVAL;
    s64 r = aio_cancel(c, a[1]);
    aio_put(c);
    return r == 0 ? -LX_EINPROGRESS : r; /* the result comes as an event */
}

/* ---- collecting ---------------------------------------------------------------------------- */

static s64 get_events(struct task *t, const u64 a[6], s64 deadline_ns)
{
    s64 min = (s64)a[1], max = (s64)a[2];
    struct aio_ctx *c = aio_find(t, a[0]);
    if (!c)
        return -LX_EINVAL;
    s64 r = min < 0 || min > max ? -LX_EINVAL
                                 : aio_collect(c, (u64)min, (u64)max, uaddr(a[3]), deadline_ns);
    aio_put(c);
    return r;
}

/* Linux takes any numbers for a time here; what is past does not wait. */
static int read_timeout(u64 at, s64 *ret_deadline)
{
    struct lx_timespec ts;
    *ret_deadline = NO_DEADLINE;
    if (!at)
        return 0;
    if (get_user(ts, uaddr(at)) < 0)
        return -LX_EFAULT;
    s64 ns;
    if (__builtin_mul_overflow(ts.tv_sec, NSEC_PER_SEC, &ns) ||
        __builtin_add_overflow(ns, ts.tv_nsec, &ns))
        ns = ts.tv_sec < 0 ? 0 : INT64_MAX;
    *ret_deadline = ns > 0 ? deadline_after_ns(ns) : 0;
    return 0;
}

s64 sys_io_getevents(struct task *t, const u64 a[6])
{
    s64 deadline;
    int r = read_timeout(a[4], &deadline);
    return r < 0 ? r : get_events(t, a, deadline);
}

s64 sys_io_pgetevents(struct task *t, const u64 a[6])
{
    struct {
        u64 mask, size;
    } sig = {0};
    s64 deadline;
    int e = read_timeout(a[4], &deadline);
    if (e == 0 && a[5])
        e = get_user(sig, uaddr(a[5]));
    if (e == 0)
        e = mask_enter(t, uaddr(sig.mask), sig.size);
    if (e < 0)
        return e;
    s64 r = get_events(t, a, deadline);
    mask_leave(t, r);
    return r;
}
