/* FUSE: open files. See fuse_int.h. */
#include <stdlib.h>
#include <string.h>

#include "abi/mm.h"
#include "fs/fuse_int.h"
#include "vfs/file.h"
#include "vfs/task_ops.h"

#define MAX_AHEAD_ALL (64U << 20) /* bytes read ahead of all open files */

/* What is next in a file, as the server had it when its contents were those of data_gen. */
struct fuse_ahead {
    u64 off, gen;
    u32 size;
    u8 data[];
};

static _Atomic u32 nahead_bytes;
static _Atomic u64 next_creation;
static _Thread_local u64 my_creation;

struct fuse_file *fuse_file_new(void)
{
    struct fuse_file *ff = calloc(1, sizeof(*ff));
    if (ff)
        mutex_init(&ff->ahead_lock, "fuse_ahead");
    return ff;
}

static void ahead_free(struct fuse_ahead *a)
{
    if (a)
        atomic_fetch_sub(&nahead_bytes, FUSE_MAX_IO);
    free(a);
}

static struct fuse_ahead *ahead_new(void)
{
    if (atomic_fetch_add(&nahead_bytes, FUSE_MAX_IO) + FUSE_MAX_IO > MAX_AHEAD_ALL) {
        atomic_fetch_sub(&nahead_bytes, FUSE_MAX_IO);
        return NULL;
    }
    struct fuse_ahead *a = malloc(sizeof(*a) + FUSE_MAX_IO);
    if (!a)
        atomic_fetch_sub(&nahead_bytes, FUSE_MAX_IO);
    else
        a->size = 0;
    return a;
}

/* Whoever reads has it to himself meanwhile: he may have to wait. */
static struct fuse_ahead *ahead_take(struct fuse_file *ff)
{
    MUTEX_GUARD(&ff->ahead_lock);
    return take_ptr(ff->ahead);
}

static void ahead_give(struct fuse_file *ff, struct fuse_ahead *a)
{
    mutex_lock(&ff->ahead_lock);
    struct fuse_ahead *old = ff->ahead;
    ff->ahead = a;
    mutex_unlock(&ff->ahead_lock);
    ahead_free(old);
}

void fuse_file_free(struct fuse_file *ff)
{
    ahead_free(ff->ahead);
    free(ff);
}

static struct fuse_conn *conn_of(const struct file *f)
{
    return fuse_conn_of(f->inode->sb);
}

static bool is_direct(const struct file *f)
{
    return (fuse_file_of(f)->open_flags & LX_FOPEN_DIRECT_IO) || (file_io_flags(f) & LX_O_DIRECT);
}

/* ---- open, close --------------------------------------------------------------------------- */

void fuse_file_created(struct inode *i, struct fuse_file *ff)
{
    struct fuse_inode *fi = fuse_of(i);
    my_creation = atomic_fetch_add(&next_creation, 1) + 1;
    mutex_lock(&fi->created_lock);
    struct fuse_file *old = fi->created;
    fi->created = ff;
    fi->created_by = my_creation;
    mutex_unlock(&fi->created_lock);
    if (old)
        fuse_file_close(i, old, LX_FUSE_RELEASE, 0);
}

/* What CREATE has opened for this very open. */
static struct fuse_file *take_created(struct fuse_inode *fi)
{
    u64 mine = my_creation;
    my_creation = 0;
    if (!mine)
        return NULL;
    MUTEX_GUARD(&fi->created_lock);
    return fi->created && fi->created_by == mine ? take_ptr(fi->created) : NULL;
}

static int ask_open(struct inode *i, struct file *f, struct fuse_file *ff, u32 op, u32 lacks)
{
    struct fuse_conn *c = fuse_conn_of(i->sb);
    struct lx_fuse_open_in in = {.flags = f->flags & ~(u32)LX_O_NOCTTY};
    struct lx_fuse_open_out out;
    u32 may_lack = op == LX_FUSE_OPEN ? LX_FUSE_NO_OPEN_SUPPORT : LX_FUSE_NO_OPENDIR_SUPPORT;
    if (fuse_lacks(c, lacks)) {
        ff->open_flags = LX_FOPEN_KEEP_CACHE;
        return 0;
    }
    if ((f->mode & FMODE_TRUNC) && (c->init_flags & LX_FUSE_ATOMIC_O_TRUNC))
        in.flags |= LX_O_TRUNC;
    s64 r = fuse_call(c, &(struct fuse_args){.op = op,
                                             .nodeid = fuse_of(i)->nodeid,
                                             .in = {{&in, sizeof(in)}},
                                             .out = &out,
                                             .out_size = sizeof(out)});
    if (r < 0 && (c->init_flags & may_lack) && fuse_is_lacking(c, r, lacks)) {
        ff->open_flags = LX_FOPEN_KEEP_CACHE;
        return 0;
    }
    if (r < 0)
        return (int)r;
    ff->fh = out.fh;
    ff->open_flags = out.open_flags;
    return 0;
}

int fuse_file_open(struct inode *i, struct file *f, u32 op, u32 lacks)
{
    struct fuse_file *ff = op == LX_FUSE_OPEN ? take_created(fuse_of(i)) : NULL;
    if (!ff) {
        int r = fuse_may(fuse_conn_of(i->sb));
        if (r < 0)
            return r;
        ff = fuse_file_new();
        if (!ff)
            return -LX_ENOMEM;
        r = ask_open(i, f, ff, op, lacks);
        if (r < 0) {
            fuse_file_free(ff);
            return r;
        }
    }
    f->priv = ff;
    if (!(ff->open_flags & LX_FOPEN_KEEP_CACHE))
        fuse_data_stale(i);
    return 0;
}

static bool is_without_position(const struct file *f)
{
    return fuse_file_of(f)->open_flags & (LX_FOPEN_NONSEEKABLE | LX_FOPEN_STREAM);
}

static const struct file_ops stream_fops;

static int reg_open(struct inode *i, struct file *f)
{
    int r = fuse_file_open(i, f, LX_FUSE_OPEN, FUSE_LACKS_OPEN);
    if (r < 0)
        return r;
    atomic_fetch_add(&fuse_of(i)->nopen, 1);
    if (is_without_position(f))
        f->ops = &stream_fops;
    return 0;
}

void fuse_file_close(struct inode *i, struct fuse_file *ff, u32 op, u32 flags)
{
    struct fuse_conn *c = fuse_conn_of(i->sb);
    struct lx_fuse_release_in in = {.fh = ff->fh, .flags = flags};
    u32 lacks = op == LX_FUSE_RELEASE ? FUSE_LACKS_OPEN : FUSE_LACKS_OPENDIR;
    if (!fuse_lacks(c, lacks))
        fuse_post(c, &(struct fuse_args){
                         .op = op, .nodeid = fuse_of(i)->nodeid, .in = {{&in, sizeof(in)}}});
    fuse_file_free(ff);
}

static void reg_release(struct file *f)
{
    struct fuse_inode *fi = fuse_of(f->inode);
    if (!f->priv)
        return;
    fuse_file_close(f->inode, fuse_file_of(f), LX_FUSE_RELEASE, f->flags);
    if (atomic_fetch_sub(&fi->nopen, 1) == 1)
        fuse_map_drop(fi);
}

/* Who ends does not wait for it, and could not tell anybody what came of it. */
static int reg_flush(struct file *f)
{
    struct fuse_conn *c = conn_of(f);
    struct lx_fuse_flush_in in = {.fh = fuse_file_of(f)->fh,
                                  .lock_owner = vfs_current ? (u64)(u32)vfs_current->tgid : 0};
    struct fuse_args a = {
        .op = LX_FUSE_FLUSH, .nodeid = fuse_of(f->inode)->nodeid, .in = {{&in, sizeof(in)}}};
    if (fuse_lacks(c, FUSE_LACKS_FLUSH))
        return 0;
    if (!vfs_current || vfs_task_ops->is_dying()) {
        fuse_post(c, &a);
        return 0;
    }
    s64 r = fuse_call(c, &a);
    return fuse_is_lacking(c, r, FUSE_LACKS_FLUSH) ? 0 : (int)r;
}

/* ---- reading ------------------------------------------------------------------------------- */

s64 fuse_read_piece(struct file *f, void *buf, u32 size, u64 off)
{
    struct lx_fuse_read_in in = {
        .fh = fuse_file_of(f)->fh, .offset = off, .size = size, .flags = file_io_flags(f)};
    return fuse_call(conn_of(f), &(struct fuse_args){.op = LX_FUSE_READ,
                                                     .nodeid = fuse_of(f->inode)->nodeid,
                                                     .in = {{&in, sizeof(in)}},
                                                     .out = buf,
                                                     .out_size = size,
                                                     .is_var = true});
}

/* What the caller asks for and no more, piece by piece. */
static s64 read_direct(struct file *f, struct uio *to, u64 pos)
{
    u32 cap = conn_of(f)->max_read;
    s64 done = 0, r = 0;
    char *buf = malloc(MIN((u64)cap, to->left) + 1);
    if (!buf)
        return -LX_ENOMEM;
    while (to->left > 0) {
        u32 want = (u32)MIN((u64)cap, to->left);
        r = fuse_read_piece(f, buf, want, pos + (u64)done);
        if (r <= 0)
            break;
        r = uio_copy_to(to, buf, (u64)r);
        if (r < 0)
            break;
        done += r;
        if (r < (s64)want)
            break;
    }
    free(buf);
    return done > 0 ? done : r;
}

/* What `a` has of pos, at most most bytes. */
static s64 copy_ahead(const struct fuse_ahead *a, struct uio *to, u64 pos, u64 most)
{
    return uio_copy_to(to, a->data + (pos - a->off), MIN(most, a->off + a->size - pos));
}

static bool has_ahead(const struct fuse_ahead *a, struct inode *i, u64 pos)
{
    return a && a->size && a->gen == fuse_of(i)->data_gen && pos >= a->off &&
           pos < a->off + a->size && fuse_is_fresh(i);
}

/* The file is read on from where the last read ended: a large piece is asked for. */
static s64 fetch_ahead(struct file *f, struct fuse_ahead *a, u64 pos)
{
    u64 gen = fuse_of(f->inode)->data_gen;
    s64 n = fuse_read_piece(f, a->data, conn_of(f)->max_read, pos);
    a->off = pos;
    a->gen = gen;
    a->size = n > 0 ? (u32)n : 0;
    return n;
}

static s64 read_ahead(struct file *f, struct uio *to, u64 pos, u64 most, bool is_sequential)
{
    struct inode *i = f->inode;
    struct fuse_ahead *a = ahead_take(fuse_file_of(f));
    s64 done = 0, r = 0;
    while (most > 0) {
        u64 at = pos + (u64)done;
        if (has_ahead(a, i, at)) {
            r = copy_ahead(a, to, at, most);
        } else if (!is_sequential || most >= conn_of(f)->max_read || (!a && !(a = ahead_new()))) {
            u64 left = to->left;
            to->left = MIN(left, most);
            u64 want = to->left;
            r = read_direct(f, to, at);
            to->left += left - want;
            if (r > 0)
                done += r;
            break;
        } else {
            r = fetch_ahead(f, a, at);
            if (r > 0)
                r = uio_copy_to(to, a->data, MIN(most, a->size));
        }
        if (r <= 0)
            break;
        done += r;
        most -= (u64)r;
    }
    ahead_give(fuse_file_of(f), a);
    return done > 0 ? done : r;
}

/* As Linux's page cache would: no further than the size that the attributes tell. */
static s64 read_cached(struct file *f, struct uio *to, u64 pos)
{
    struct inode *i = f->inode;
    struct fuse_file *ff = fuse_file_of(f);
    int r = pos + to->left > i->size || (conn_of(f)->init_flags & LX_FUSE_AUTO_INVAL_DATA)
                ? fuse_update(i)
                : 0;
    if (r < 0)
        return r;
    u64 size = i->size;
    if (pos >= size)
        return 0;
    u64 most = MIN(to->left, size - pos);
    bool is_sequential = ff->next_off == pos && fuse_is_fresh(i);
    s64 n = read_ahead(f, to, pos, most, is_sequential);
    if (n > 0)
        ff->next_off = pos + (u64)n;
    return n;
}

static s64 reg_read(struct file *f, struct uio *to, s64 *off)
{
    struct fuse_inode *fi = fuse_of(f->inode);
    u64 pos = off ? (u64)*off : 0;
    if (to->left == 0)
        return 0;
    s64 n = is_direct(f) ? read_direct(f, to, pos) : read_cached(f, to, pos);
    if (n > 0 && off)
        *off += n;
    if (n > 0 && !(f->flags & LX_O_NOATIME)) {
        MUTEX_GUARD(&fi->attr_lock);
        fi->is_atime_stale = true;
    }
    return n;
}

/* ---- writing ------------------------------------------------------------------------------- */

static s64 write_piece(struct file *f, const void *buf, u32 size, u64 off)
{
    struct lx_fuse_write_in in = {
        .fh = fuse_file_of(f)->fh, .offset = off, .size = size, .flags = file_io_flags(f)};
    struct lx_fuse_write_out out;
    s64 r = fuse_call(conn_of(f), &(struct fuse_args){.op = LX_FUSE_WRITE,
                                                      .nodeid = fuse_of(f->inode)->nodeid,
                                                      .in = {{&in, sizeof(in)}, {buf, size}},
                                                      .out = &out,
                                                      .out_size = sizeof(out)});
    if (r < 0)
        return r;
    if (out.size > size)
        return -LX_EIO;
    if (out.size)
        fuse_data_written(f->inode, buf, out.size, off);
    return (s64)out.size;
}

static s64 write_all(struct file *f, struct uio *from, s64 *pos)
{
    u32 cap = conn_of(f)->max_write;
    s64 done = 0, r = 0;
    char *buf = malloc(MIN((u64)cap, from->left) + 1);
    if (!buf)
        return -LX_ENOMEM;
    while (from->left > 0) {
        s64 n = uio_copy_from(from, buf, MIN((u64)cap, from->left));
        if (n <= 0) {
            r = n;
            break;
        }
        r = write_piece(f, buf, (u32)n, (u64)*pos);
        if (r > 0) {
            *pos += r;
            done += r;
        }
        if (r < n) {
            uio_revert(from, (u64)(n - MAX(r, (s64)0)));
            break;
        }
    }
    free(buf);
    return done > 0 ? done : r;
}

static s64 reg_write(struct file *f, struct uio *from, s64 *off)
{
    struct inode *i = f->inode;
    s64 pos = off ? *off : 0, r = 0;
    MUTEX_GUARD(&i->lock);
    if (file_io_flags(f) & LX_O_APPEND) {
        r = fuse_update(i);
        pos = (s64)i->size;
    }
    if (r == 0)
        r = write_all(f, from, &pos);
    if (off && r > 0)
        *off = pos;
    if (r > 0 && (u64)pos > i->size)
        fuse_set_size(i, (u64)pos);
    if (r == -LX_EINTR)
        fuse_data_stale(i); /* the server may have taken it */
    fuse_mark_stale(i);
    return r;
}

/* ---- the rest ------------------------------------------------------------------------------ */

static s64 seek_data(struct file *f, s64 off, int whence)
{
    struct lx_fuse_lseek_in in = {
        .fh = fuse_file_of(f)->fh, .offset = (u64)off, .whence = (u32)whence};
    s64 pos = 0;
    s64 r = fuse_call(conn_of(f), &(struct fuse_args){.op = LX_FUSE_LSEEK,
                                                      .nodeid = fuse_of(f->inode)->nodeid,
                                                      .in = {{&in, sizeof(in)}},
                                                      .out = &pos,
                                                      .out_size = sizeof(pos)});
    return r < 0 ? r : pos < 0 ? -LX_EIO : pos;
}

static s64 reg_seek(struct file *f, s64 off, int whence)
{
    struct fuse_conn *c = conn_of(f);
    if ((whence == LX_SEEK_DATA || whence == LX_SEEK_HOLE) && !fuse_lacks(c, FUSE_LACKS_LSEEK)) {
        s64 r = seek_data(f, off, whence);
        if (!fuse_is_lacking(c, r, FUSE_LACKS_LSEEK)) {
            if (r >= 0)
                f->pos = r;
            return r;
        }
    }
    int r = whence >= LX_SEEK_END ? fuse_update(f->inode) : 0;
    return r < 0 ? r : generic_seek(f, off, whence);
}

static int reg_fsync(struct file *f, bool is_data_only)
{
    struct fuse_conn *c = conn_of(f);
    struct lx_fuse_fsync_in in = {.fh = fuse_file_of(f)->fh, .fsync_flags = is_data_only};
    if (fuse_lacks(c, FUSE_LACKS_FSYNC))
        return 0;
    s64 r = fuse_call(c, &(struct fuse_args){.op = LX_FUSE_FSYNC,
                                             .nodeid = fuse_of(f->inode)->nodeid,
                                             .in = {{&in, sizeof(in)}}});
    return fuse_is_lacking(c, r, FUSE_LACKS_FSYNC) ? 0 : (int)r;
}

static int reg_fallocate(struct file *f, u32 mode, s64 off, s64 len)
{
    struct fuse_conn *c = conn_of(f);
    struct inode *i = f->inode;
    struct lx_fuse_fallocate_in in = {
        .fh = fuse_file_of(f)->fh, .offset = (u64)off, .length = (u64)len, .mode = mode};
    if (fuse_lacks(c, FUSE_LACKS_FALLOCATE))
        return -LX_EOPNOTSUPP;
    if (mode & ~(u32)(LX_FALLOC_FL_KEEP_SIZE | LX_FALLOC_FL_PUNCH_HOLE | LX_FALLOC_FL_ZERO_RANGE))
        return -LX_EOPNOTSUPP;
    MUTEX_GUARD(&i->lock);
    s64 r = fuse_call(c, &(struct fuse_args){.op = LX_FUSE_FALLOCATE,
                                             .nodeid = fuse_of(i)->nodeid,
                                             .in = {{&in, sizeof(in)}}});
    if (r >= 0 && !(mode & LX_FALLOC_FL_KEEP_SIZE) && (u64)(off + len) > i->size)
        fuse_set_size(i, (u64)(off + len));
    fuse_data_stale(i);
    fuse_mark_stale(i);
    return fuse_is_lacking(c, r, FUSE_LACKS_FALLOCATE) ? -LX_EOPNOTSUPP : (int)r;
}

#define COMMON_FOPS                                                                                \
    .open = reg_open, .release = reg_release, .flush = reg_flush, .read = reg_read,                \
    .write = reg_write, .fsync = reg_fsync, .fallocate = reg_fallocate, .mmap = fuse_map,          \
    .host_fd = fuse_map_fd, .ioctl = fuse_ioctl

const struct file_ops fuse_reg_fops = {COMMON_FOPS, .seek = reg_seek};
static const struct file_ops stream_fops = {COMMON_FOPS};
