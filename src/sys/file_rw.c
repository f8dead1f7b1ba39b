/* Handlers: reading, writing, positions, writing back, space. */
#include <stdlib.h>

#include "sys/fsutil.h"
#include "sys/sys.h"
#include "vfs/fast.h"

#define COPY_CHUNK 65536U

static s64 read_uio(int fd, struct uio *u, s64 *off)
{
    struct file *f = fd_get(fd);
    if (!f)
        return -LX_EBADF;
    s64 r = vfs_read(f, u, off);
    file_put(f);
    return r;
}

static s64 write_uio(int fd, struct uio *u, s64 *off)
{
    struct file *f = fd_get(fd);
    if (!f)
        return -LX_EBADF;
    s64 r = vfs_write(f, u, off);
    file_put(f);
    return r;
}

s64 sys_read(struct task *t, const u64 a[6])
{
    struct uio u;
    uio_init_user(&u, uaddr(a[1]), MIN(a[2], MAX_RW_COUNT));
    return read_uio((int)a[0], &u, NULL);
}

s64 sys_write(struct task *t, const u64 a[6])
{
    struct uio u;
    uio_init_user(&u, uaddr(a[1]), MIN(a[2], MAX_RW_COUNT));
    return write_uio((int)a[0], &u, NULL);
}

s64 sys_pread64(struct task *t, const u64 a[6])
{
    struct uio u;
    s64 off = (s64)a[3];
    if (off < 0)
        return -LX_EINVAL;
    uio_init_user(&u, uaddr(a[1]), MIN(a[2], MAX_RW_COUNT));
    struct file *f cleanup(file_put_p) = fd_get((int)a[0]);
    if (!f)
        return -LX_EBADF;
    s64 r = vfs_read(f, &u, &off);
    if (r > 0)
        fast_note_pread(f, (int)a[0], t->mm->as, t->uctx);
    return r;
}

s64 sys_pwrite64(struct task *t, const u64 a[6])
{
    struct uio u;
    s64 off = (s64)a[3];
    if (off < 0)
        return -LX_EINVAL;
    uio_init_user(&u, uaddr(a[1]), MIN(a[2], MAX_RW_COUNT));
    return write_uio((int)a[0], &u, &off);
}

enum direction { DIR_READ, DIR_WRITE };

static s64 vectored(enum direction dir, const u64 a[6], s64 *off, u32 flags)
{
    struct uio u;
    struct file *f cleanup(file_put_p) = fd_get((int)a[0]);
    if (!f)
        return -LX_EBADF;
    if (off && !(f->mode & FMODE_PREAD))
        return -LX_ESPIPE;
    if (!(f->mode & (dir == DIR_READ ? FMODE_READ : FMODE_WRITE)))
        return -LX_EBADF;
    int e = uio_init_iovec(&u, uaddr(a[1]), a[2]);
    if (e < 0)
        return e;
    s64 r =
        dir == DIR_READ ? vfs_read_flags(f, &u, off, flags) : vfs_write_flags(f, &u, off, flags);
    uio_done(&u);
    return r;
}

s64 sys_readv(struct task *t, const u64 a[6])
{
    return vectored(DIR_READ, a, NULL, 0);
}

s64 sys_writev(struct task *t, const u64 a[6])
{
    return vectored(DIR_WRITE, a, NULL, 0);
}

s64 sys_preadv(struct task *t, const u64 a[6])
{
    s64 off = (s64)a[3];
    return off < 0 ? -LX_EINVAL : vectored(DIR_READ, a, &off, 0);
}

s64 sys_pwritev(struct task *t, const u64 a[6])
{
    s64 off = (s64)a[3];
    return off < 0 ? -LX_EINVAL : vectored(DIR_WRITE, a, &off, 0);
}

static s64 vectored2(enum direction dir, const u64 a[6])
{
    s64 off = (s64)a[3];
    if (off < -1)
        return -LX_EINVAL;
    return vectored(dir, a, off == -1 ? NULL : &off, (u32)a[5]);
}

s64 sys_preadv2(struct task *t, const u64 a[6])
{
    return vectored2(DIR_READ, a);
}

s64 sys_pwritev2(struct task *t, const u64 a[6])
{
    return vectored2(DIR_WRITE, a);
}

s64 sys_lseek(struct task *t, const u64 a[6])
{
    struct file *f cleanup(file_put_p) = fd_get((int)a[0]);
    return f ? vfs_seek(f, (s64)a[1], (int)(u32)a[2]) : -LX_EBADF;
}

/* ---- writing back -------------------------------------------------------------------------- */

static s64 do_fsync(int fd, bool is_data_only)
{
    struct file *f cleanup(file_put_p) = fd_get(fd);
    return f ? vfs_fsync(f, is_data_only) : -LX_EBADF;
}

s64 sys_fsync(struct task *t, const u64 a[6])
{
    return do_fsync((int)a[0], false);
}

s64 sys_fdatasync(struct task *t, const u64 a[6])
{
    return do_fsync((int)a[0], true);
}

static s64 sync_super(struct super *sb)
{
    return sb->ops && sb->ops->sync ? sb->ops->sync(sb) : 0;
}

s64 sys_syncfs(struct task *t, const u64 a[6])
{
    struct file *f cleanup(file_put_p) = fd_get((int)a[0]);
    return f ? sync_super(f->inode->sb) : -LX_EBADF;
}

struct sync_list {
    struct super *supers[64];
    u32 n;
};

static void collect_super(struct mount *m, void *arg)
{
    struct sync_list *l = arg;
    for (u32 i = 0; i < l->n; i++) {
        if (l->supers[i] == m->sb)
            return;
    }
    if (l->n < ARRAY_SIZE(l->supers)) {
        super_get(m->sb);
        l->supers[l->n++] = m->sb;
    }
}

s64 sys_sync(struct task *t, const u64 a[6])
{
    struct sync_list l = {.n = 0};
    mnt_ns_for_each(vfs_current->mnt_ns, collect_super, &l);
    for (u32 i = 0; i < l.n; i++) {
        s64 r = sync_super(l.supers[i]); /* sync(2) never fails */
        (void)r;
        super_put(l.supers[i]);
    }
    return 0;
}

static bool is_regular_or_dir(const struct file *f)
{
    u32 type = f->inode->mode & LX_S_IFMT;
    return type == LX_S_IFREG || type == LX_S_IFDIR || type == LX_S_IFBLK || type == LX_S_IFLNK;
}

s64 sys_sync_file_range(struct task *t, const u64 a[6])
{
    s64 off = (s64)a[1], len = (s64)a[2], end;
    if ((u32)a[3] & ~(u32)LX_SYNC_FILE_RANGE_WRITE_AND_WAIT)
        return -LX_EINVAL;
    if (off < 0 || len < 0 || __builtin_add_overflow(off, len, &end))
        return -LX_EINVAL;
    struct file *f cleanup(file_put_p) = fd_get((int)a[0]);
    if (!f)
        return -LX_EBADF;
    if (!is_regular_or_dir(f))
        return -LX_ESPIPE;
    return a[3] && f->ops->fsync ? f->ops->fsync(f, true) : 0;
}

s64 sys_fadvise64(struct task *t, const u64 a[6])
{
    struct file *f cleanup(file_put_p) = fd_get((int)a[0]);
    if (!f)
        return -LX_EBADF;
    if ((f->inode->mode & LX_S_IFMT) == LX_S_IFIFO)
        return -LX_ESPIPE;
    if ((u32)a[3] > LX_POSIX_FADV_NOREUSE || (s64)a[2] < 0)
        return -LX_EINVAL;
    return 0; /* advice: the host's page cache does as it sees fit */
}

s64 sys_readahead(struct task *t, const u64 a[6])
{
    struct file *f cleanup(file_put_p) = fd_get((int)a[0]);
    if (!f || !(f->mode & FMODE_READ))
        return -LX_EBADF;
    return (f->inode->mode & LX_S_IFMT) == LX_S_IFREG ? 0 : -LX_EINVAL;
}

s64 sys_fallocate(struct task *t, const u64 a[6])
{
    struct file *f cleanup(file_put_p) = fd_get((int)a[0]);
    return f ? vfs_fallocate(f, (u32)a[1], (s64)a[2], (s64)a[3]) : -LX_EBADF;
}

/* ---- copy_file_range ----------------------------------------------------------------------- */

/* One side's position: the guest's variable, or the file's own, which a host file keeps itself. */
struct side {
    struct file *f;
    uaddr_t ptr;
    s64 off;
};

static bool is_hosts(const struct side *s)
{
    return (s->f->mode & (FMODE_STREAM | FMODE_LSEEK)) == (FMODE_STREAM | FMODE_LSEEK);
}

static int side_begin(struct side *s)
{
    if (s->ptr.v)
        return get_user(s->off, s->ptr);
    s->off = is_hosts(s) ? vfs_seek(s->f, 0, LX_SEEK_CUR) : s->f->pos;
    return 0;
}

static int side_end(struct side *s, s64 moved)
{
    if (s->ptr.v)
        return put_user(s->off + moved, s->ptr);
    if (is_hosts(s)) {
        s64 r = vfs_seek(s->f, s->off + moved, LX_SEEK_SET);
        return r < 0 ? (int)r : 0;
    }
    MUTEX_GUARD(&s->f->pos_lock);
    s->f->pos = s->off + moved;
    return 0;
}

/* Within one file what the copy itself adds at the end is not copied on: *len ends at the old end,
 * and only then the ranges must not overlap. */
static int copy_within(const struct side *in, const struct side *out, u64 *len)
{
    struct kstat st;
    int r = vfs_stat(&in->f->path, &st);
    if (r < 0)
        return r;
    u64 from = (u64)in->off, to = (u64)out->off;
    *len = from >= st.size ? 0 : MIN(*len, st.size - from);
    return *len && from < to + *len && to < from + *len ? -LX_EINVAL : 0;
}

static int copy_check(const struct side *in, const struct side *out, u64 *len)
{
    u32 ti = in->f->inode->mode & LX_S_IFMT, to = out->f->inode->mode & LX_S_IFMT;
    if (ti == LX_S_IFDIR || to == LX_S_IFDIR)
        return -LX_EISDIR;
    if (ti != LX_S_IFREG || to != LX_S_IFREG)
        return -LX_EINVAL;
    if (!(in->f->mode & FMODE_READ) || !(out->f->mode & FMODE_WRITE) ||
        (out->f->flags & LX_O_APPEND))
        return -LX_EBADF;
    if (in->off < 0 || out->off < 0)
        return -LX_EINVAL;
    u64 end_in, end_out;
    if (add_overflows((u64)in->off, *len, &end_in) || add_overflows((u64)out->off, *len, &end_out))
        return -LX_EOVERFLOW;
    return in->f->inode == out->f->inode ? copy_within(in, out, len) : 0;
}

static s64 copy_data(struct side *in, struct side *out, u64 len)
{
    char *buf = malloc(COPY_CHUNK);
    s64 done = 0, r = 0;
    if (!buf)
        return -LX_ENOMEM;
    while ((u64)done < len) {
        r = file_pread(in->f, buf, MIN(len - (u64)done, COPY_CHUNK), in->off + done);
        if (r <= 0)
            break;
        s64 w = file_pwrite(out->f, buf, (size_t)r, out->off + done);
        if (w > 0)
            done += w;
        if (w < r) {
            r = w;
            break;
        }
    }
    free(buf);
    return done ? done : r;
}

s64 sys_copy_file_range(struct task *t, const u64 a[6])
{
    if (a[5])
        return -LX_EINVAL;
    struct file *fi cleanup(file_put_p) = fd_get((int)a[0]);
    struct file *fo cleanup(file_put_p) = fd_get((int)a[2]);
    if (!fi || !fo)
        return -LX_EBADF;
    struct side in = {fi, uaddr(a[1]), 0}, out = {fo, uaddr(a[3]), 0};
    if (side_begin(&in) < 0 || side_begin(&out) < 0)
        return -LX_EFAULT;
    u64 len = MIN(a[4], MAX_RW_COUNT);
    int r = copy_check(&in, &out, &len);
    if (r < 0)
        return r;
    s64 n = copy_data(&in, &out, len);
    if (n > 0 && (side_end(&in, n) < 0 || side_end(&out, n) < 0))
        return -LX_EFAULT;
    return n;
}
