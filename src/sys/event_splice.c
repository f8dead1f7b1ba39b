/*
 * splice, tee, vmsplice, sendfile. Nothing is mapped between files: bytes go
 * through a buffer of the call's (not the thread's bounce buffer, which the
 * files use themselves), at most its size a step. What is taken from a pipe is consumed only after it has been written, so a destination that does not
 * take it loses nothing.
 */
#include <stdlib.h>

#include "fs/pipe.h"
#include "sys/sys.h"
#include "vfs/task_ops.h"

#define SPLICE_FLAGS                                                                               \
    (LX_SPLICE_F_MOVE | LX_SPLICE_F_NONBLOCK | LX_SPLICE_F_MORE | LX_SPLICE_F_GIFT)

#define BUF_SIZE 65536UL
#define MESSAGE_SIZE (1UL << 20)

static void free_p(u8 **p)
{
    free(*p);
}

/* One of the two ends of a copy: a file, at an offset of the caller's or its own position. */
struct end {
    struct file *f;
    bool has_off;
    s64 off;
};

/* Of an offset that the caller gave: it must not be negative, nor overflow with what may move. */
static bool is_bad_range(s64 off, u64 len)
{
    s64 sum;
    return off < 0 || (s64)len < 0 || __builtin_add_overflow(off, (s64)len, &sum);
}

static int end_offset(struct end *e, uaddr_t at, u64 len)
{
    if (at.v == 0)
        return 0;
    if (pipe_of(e->f))
        return -LX_ESPIPE;
    if (!(e->f->mode & FMODE_PREAD))
        return -LX_EINVAL;
    e->has_off = true;
    if (get_user(e->off, at) < 0)
        return -LX_EFAULT;
    return is_bad_range(e->off, len) ? -LX_EINVAL : 0;
}

static s64 end_read(struct end *e, void *buf, u64 size)
{
    struct uio u;
    uio_init_kernel(&u, buf, size);
    return vfs_read(e->f, &u, e->has_off ? &e->off : NULL);
}

static s64 end_write(struct end *e, void *buf, u64 size)
{
    struct uio u;
    uio_init_kernel(&u, buf, size);
    return vfs_write(e->f, &u, e->has_off ? &e->off : NULL);
}

static s64 splice_pipes(struct file *in, struct file *out, u64 len, bool is_nonblock, bool is_tee)
{
    s64 fits = pipe_room(out, is_nonblock);
    if (fits < 0)
        return fits;
    u64 room = MIN((u64)fits, BUF_SIZE), part = MIN(len, room);
    u8 *buf cleanup(free_p) = malloc(part);
    s64 n = buf ? pipe_peek(in, buf, part, is_nonblock) : -LX_ENOMEM;
    if (n <= 0)
        return n;
    n = pipe_push(out, buf, (u64)n, is_nonblock);
    if (n > 0 && !is_tee)
        pipe_consume(in, (u64)n);
    return n;
}

/* How much goes in one step: all, when the other end takes whole messages only. */
static u64 step_of(const struct file *f, u64 len)
{
    return MIN(len, f->mode & FMODE_MESSAGES ? MESSAGE_SIZE : BUF_SIZE);
}

static s64 splice_from_pipe(struct file *in, struct end *out, u64 len, bool is_nonblock)
{
    u64 part = step_of(out->f, len);
    u8 *buf cleanup(free_p) = malloc(part);
    s64 n = buf ? pipe_peek(in, buf, part, is_nonblock) : -LX_ENOMEM;
    if (n <= 0)
        return n;
    n = end_write(out, buf, (u64)n);
    if (n > 0)
        pipe_consume(in, (u64)n);
    return n;
}

static s64 splice_to_pipe(struct end *in, struct file *out, u64 len, bool is_nonblock)
{
    s64 fits = pipe_room(out, is_nonblock);
    if (fits < 0)
        return fits;
    u64 part = step_of(in->f, MIN(len, (u64)fits));
    u8 *buf cleanup(free_p) = malloc(part);
    /* A device of messages goes by its own flags alone. */
    bool can_wait = in->f->ops->poll && !(in->f->mode & FMODE_MESSAGES);
    if (is_nonblock && can_wait && !(vfs_poll(in->f) & (WAIT_IN | WAIT_HUP | WAIT_ERR)))
        return -LX_EAGAIN;
    s64 n = buf ? end_read(in, buf, part) : -LX_ENOMEM;
    /* What was read must not be lost: this waits if somebody else has filled the pipe meanwhile. */
    return n <= 0 ? n : pipe_push(out, buf, (u64)n, false);
}

static s64 splice_ends(struct end *in, struct end *out, u64 len, u32 flags)
{
    struct pipe *ip = pipe_of(in->f), *op = pipe_of(out->f);
    bool is_nonblock = flags & LX_SPLICE_F_NONBLOCK;
    if (ip && op) {
        if (ip == op)
            return -LX_EINVAL;
        is_nonblock |= file_is_nonblock(in->f) || file_is_nonblock(out->f);
        return splice_pipes(in->f, out->f, len, is_nonblock, false);
    }
    if (ip) {
        if (atomic_load(&out->f->flags) & LX_O_APPEND)
            return -LX_EINVAL;
        return splice_from_pipe(in->f, out, len, is_nonblock);
    }
    if (op)
        return splice_to_pipe(in, out->f, len, is_nonblock || file_is_nonblock(out->f));
    return -LX_EINVAL;
}

s64 sys_splice(struct task *t, const u64 a[6])
{
    u32 flags = (u32)a[5];
    if (flags & ~(u32)SPLICE_FLAGS)
        return -LX_EINVAL;
    if (a[4] == 0)
        return 0;
    struct file *fin cleanup(file_put_p) = fd_get((int)a[0]);
    struct file *fout cleanup(file_put_p) = fin ? fd_get((int)a[2]) : NULL;
    if (!fin || !fout || !(fin->mode & FMODE_READ) || !(fout->mode & FMODE_WRITE))
        return -LX_EBADF;
    struct end in = {.f = fin}, out = {.f = fout};
    int e = end_offset(&in, uaddr(a[1]), a[4]);
    if (e == 0)
        e = end_offset(&out, uaddr(a[3]), a[4]);
    if (e < 0)
        return e;
    s64 n = splice_ends(&in, &out, MIN(a[4], MAX_RW_COUNT), flags);
    if (n > 0 && ((in.has_off && put_user(in.off, uaddr(a[1])) < 0) ||
                  (out.has_off && put_user(out.off, uaddr(a[3])) < 0)))
        return -LX_EFAULT;
    return n;
}

s64 sys_tee(struct task *t, const u64 a[6])
{
    u32 flags = (u32)a[3];
    if (flags & ~(u32)SPLICE_FLAGS)
        return -LX_EINVAL;
    if (a[2] == 0)
        return 0;
    struct file *in cleanup(file_put_p) = fd_get((int)a[0]);
    struct file *out cleanup(file_put_p) = in ? fd_get((int)a[1]) : NULL;
    if (!in || !out || !(in->mode & FMODE_READ) || !(out->mode & FMODE_WRITE))
        return -LX_EBADF;
    struct pipe *ip = pipe_of(in), *op = pipe_of(out);
    if (!ip || !op || ip == op)
        return -LX_EINVAL;
    bool is_nonblock = (flags & LX_SPLICE_F_NONBLOCK) || file_is_nonblock(in) || file_is_nonblock(out);
    return splice_pipes(in, out, a[2], is_nonblock, true);
}

s64 sys_vmsplice(struct task *t, const u64 a[6])
{
    u32 flags = (u32)a[3];
    struct uio u;
    if (flags & ~(u32)SPLICE_FLAGS)
        return -LX_EINVAL;
    struct file *f cleanup(file_put_p) = fd_get((int)a[0]);
    if (!f || !pipe_of(f))
        return -LX_EBADF;
    int e = uio_init_iovec(&u, uaddr(a[1]), a[2]);
    if (e < 0)
        return e;
    bool is_nonblock = (flags & LX_SPLICE_F_NONBLOCK) || file_is_nonblock(f);
    s64 n;
    if (u.left == 0)
        n = 0;
    else if (f->mode & FMODE_WRITE)
        n = pipe_write_uio(f, &u, is_nonblock);
    else
        n = pipe_read_uio(f, &u, is_nonblock);
    uio_done(&u);
    return n;
}

/* ---- sendfile ------------------------------------------------------------------------------ */

static s64 send_all(struct end *in, struct end *out, u64 len)
{
    u64 room = MIN(len, BUF_SIZE);
    u8 *buf cleanup(free_p) = malloc(MAX(room, 1UL));
    s64 done = 0;
    if (!buf)
        return -LX_ENOMEM;
    while (len > 0) {
        s64 start = in->off;
        s64 n = end_read(in, buf, MIN(len, room));
        if (n <= 0)
            return done ? done : n;
        s64 sent = end_write(out, buf, (u64)n);
        in->off = start + MAX(sent, (s64)0);
        if (sent < 0)
            return done ? done : sent;
        done += sent;
        len -= (u64)sent;
        if (sent < n || vfs_task_ops->has_pending_interrupt())
            break;
    }
    return done;
}

/* The input's own position: read from there explicitly, moved by what was sent. */
static s64 send_from_position(struct end *in, struct end *out, u64 len)
{
    in->has_off = true;
    if (in->f->mode & FMODE_STREAM) { /* a host file keeps its position itself */
        in->off = vfs_seek(in->f, 0, LX_SEEK_CUR);
        s64 n = in->off < 0 ? in->off : send_all(in, out, len);
        s64 r = n > 0 ? vfs_seek(in->f, in->off, LX_SEEK_SET) : 0;
        return r < 0 ? r : n;
    }
    MUTEX_GUARD(&in->f->pos_lock);
    in->off = in->f->pos;
    s64 n = send_all(in, out, len);
    in->f->pos = in->off;
    return n;
}

s64 sys_sendfile(struct task *t, const u64 a[6])
{
    struct file *fin cleanup(file_put_p) = fd_get((int)a[1]);
    struct file *fout cleanup(file_put_p) = fin ? fd_get((int)a[0]) : NULL;
    struct end in = {.f = fin}, out = {.f = fout};
    if (a[2] && get_user(in.off, uaddr(a[2])) < 0)
        return -LX_EFAULT;
    if (!fin || !fout || !(fin->mode & FMODE_READ) || !(fout->mode & FMODE_WRITE))
        return -LX_EBADF;
    if (a[2] && !(fin->mode & FMODE_PREAD))
        return -LX_ESPIPE;
    bool is_dir = (fin->inode->mode & LX_S_IFMT) == LX_S_IFDIR;
    if (!(fin->mode & FMODE_LSEEK) || is_dir || is_bad_range(in.off, a[3]) ||
        (atomic_load(&fout->flags) & LX_O_APPEND))
        return -LX_EINVAL;
    u64 len = MIN(a[3], MAX_RW_COUNT);
    s64 n;
    in.has_off = a[2] != 0;
    if (a[2])
        n = send_all(&in, &out, len);
    else
        n = send_from_position(&in, &out, len);
    if (a[2] && put_user(in.off, uaddr(a[2])) < 0)
        return -LX_EFAULT;
    return n;
}
