/* FUSE: reading directories. See fuse_int.h. */
#include <stdlib.h>
#include <string.h>

#include "fs/fuse_int.h"
#include "vfs/special.h"

#define DIR_PIECE 32768U

struct reading {
    struct file *f;
    struct dir_ctx *ctx;
    bool is_plus, is_full;
    u32 seq;
    u64 version;
};

static bool is_dots(const char *name, u32 size)
{
    return name[0] == '.' && (size == 1 || (size == 2 && name[1] == '.'));
}

/* One entry; what READDIRPLUS said of it is ours also when the caller's buffer is full. */
static void take_entry(struct reading *r, const struct lx_fuse_entry_out *plus,
                       const struct lx_fuse_dirent *e, const char *name)
{
    if (!r->is_full)
        r->is_full = !r->ctx->emit(r->ctx, name, e->namelen, e->ino, e->type & 15U, (s64)e->off);
    if (!r->is_full)
        r->f->pos = (s64)e->off;
    if (plus && plus->nodeid && !is_dots(name, e->namelen))
        fuse_link_plus(r->f->path.dentry, plus, name, e->namelen, r->seq, r->version);
}

static int take_all(struct reading *r, const u8 *buf, size_t size)
{
    struct lx_fuse_entry_out plus;
    struct lx_fuse_dirent e;
    size_t head = r->is_plus ? sizeof(plus) : 0, at = 0;
    while (size - at >= head + sizeof(e)) {
        memcpy(&plus, buf + at, head);
        memcpy(&e, buf + at + head, sizeof(e));
        const char *name = (const char *)buf + at + head + sizeof(e);
        if (e.namelen == 0 || e.namelen > LX_NAME_MAX)
            return -LX_EIO;
        size_t step = (head + sizeof(e) + e.namelen + 7U) & ~(size_t)7;
        if (step > size - at)
            break; /* cut off: asked for again */
        if (memchr(name, '/', e.namelen) || memchr(name, '\0', e.namelen))
            return -LX_EIO;
        if (r->is_full && !r->is_plus)
            break;
        take_entry(r, r->is_plus ? &plus : NULL, &e, name);
        at += step;
    }
    return 0;
}

static bool wants_plus(struct fuse_conn *c, struct file *f)
{
    if (!(c->init_flags & LX_FUSE_DO_READDIRPLUS))
        return false;
    if (!(c->init_flags & LX_FUSE_READDIRPLUS_AUTO))
        return true;
    bool was_wanted = atomic_exchange(&fuse_of(f->inode)->wants_plus, false);
    return was_wanted || f->pos == 0;
}

static int dir_readdir(struct file *f, struct dir_ctx *ctx)
{
    struct fuse_conn *c = fuse_conn_of(f->inode->sb);
    u32 cap = MIN(c->max_read, DIR_PIECE);
    struct reading rd = {.f = f,
                         .ctx = ctx,
                         .is_plus = wants_plus(c, f),
                         .seq = atomic_load(&fuse_of(f->inode)->names_seq),
                         .version = fuse_attr_version(c)};
    struct lx_fuse_read_in in = {
        .fh = fuse_file_of(f)->fh, .offset = (u64)f->pos, .size = cap, .flags = f->flags};
    u8 *buf = malloc(cap);
    if (!buf)
        return -LX_ENOMEM;
    s64 n =
        fuse_call(c, &(struct fuse_args){.op = rd.is_plus ? LX_FUSE_READDIRPLUS : LX_FUSE_READDIR,
                                         .nodeid = fuse_of(f->inode)->nodeid,
                                         .in = {{&in, sizeof(in)}},
                                         .out = buf,
                                         .out_size = cap,
                                         .is_var = true});
    if (n > 0)
        n = take_all(&rd, buf, (size_t)n);
    free(buf);
    return n < 0 ? (int)n : 0;
}

static int dir_open(struct inode *i, struct file *f)
{
    return fuse_file_open(i, f, LX_FUSE_OPENDIR, FUSE_LACKS_OPENDIR);
}

static void dir_release(struct file *f)
{
    if (f->priv)
        fuse_file_close(f->inode, fuse_file_of(f), LX_FUSE_RELEASEDIR, f->flags);
}

static int dir_fsync(struct file *f, bool is_data_only)
{
    struct fuse_conn *c = fuse_conn_of(f->inode->sb);
    struct lx_fuse_fsync_in in = {.fh = fuse_file_of(f)->fh, .fsync_flags = is_data_only};
    if (fuse_lacks(c, FUSE_LACKS_FSYNCDIR))
        return 0;
    s64 r = fuse_call(c, &(struct fuse_args){.op = LX_FUSE_FSYNCDIR,
                                             .nodeid = fuse_of(f->inode)->nodeid,
                                             .in = {{&in, sizeof(in)}}});
    return fuse_is_lacking(c, r, FUSE_LACKS_FSYNCDIR) ? 0 : (int)r;
}

const struct file_ops fuse_dir_fops = {
    .open = dir_open,
    .release = dir_release,
    .readdir = dir_readdir,
    .seek = cursor_seek,
    .fsync = dir_fsync,
    .ioctl = fuse_ioctl,
};
