/*
 * Directories of the gofer client: lookup, listing, revalidation.
 *
 * Listing asks for a batch of entries together with the attributes of
 * subdirectories (what a tree walk asks for next) and puts those into the dentry cache. Positions
 * are the host's directory offsets, so seekdir works as on the host.
 */
#include <stdlib.h>
#include <string.h>

#include "fs/gofer_priv.h"

/* ---- lookup -------------------------------------------------------------------------------- */

/* Asks for one name: 0 and *ret_i, which is NULL when the name does not exist. */
static int find_child(struct inode *dir, struct wire_bytes name, struct inode **ret_i)
{
    struct gofer_sb *s = gofer_sb_of(dir->sb);
    struct gofer_call call = {.req = {.op = GP_WALK, .nnames = 1}};
    int r = gofer_node_of(dir, &call.req.node);
    if (r < 0)
        return r;
    call.req.names[0] = name;
    r = gofer_call(s->conn, &call);
    *ret_i = NULL;
    if (r == 0 && call.resp->nattrs != 1)
        r = -LX_EIO;
    if (r == 0) {
        const struct gp_found *f = &call.resp->found[0];
        r = f->err ? -LX_EIO
                   : gofer_inode_make(dir->sb, &f->attr, dir, name, f->node, f->target, ret_i);
    } else if (r == -LX_ENOENT) {
        r = 0;
    }
    gofer_call_done(s->conn, &call);
    return r;
}

int gofer_lookup(struct inode *dir, struct dentry *d)
{
    struct inode *i;
    int r = find_child(dir, gofer_dname(d), &i);
    if (r == 0 && i)
        dentry_instantiate(d, i);
    return r;
}

/* Shared mode: is the name still what the cache says? Attributes are renewed on the way. */
static int shared_revalidate(struct dentry *d)
{
    struct dentry *parent = d->parent;
    if (parent == d)
        return gofer_refresh(d->inode) == 0;
    char name[GP_MAX_NAME + 1];
    dentry_get(parent);
    mutex_lock(&parent->lock);
    size_t size = d->name_size;
    memcpy(name, d->name, size);
    mutex_unlock(&parent->lock);
    struct inode *i;
    int r = find_child(parent->inode, (struct wire_bytes){name, (u32)size}, &i);
    if (r == 0) {
        r = i == d->inode;
        inode_put(i);
    } else if (r == -LX_ESTALE || r == -LX_ENOTDIR) {
        r = 0;
    }
    dentry_put(parent);
    return r;
}

const struct dentry_ops gofer_shared_dops = {.revalidate = shared_revalidate};

/* ---- listing ------------------------------------------------------------------------------- */

struct gofer_listing { /* of one open directory; guarded by file.pos_lock */
    char *buf;         /* owned: a batch of entries as they came; NULL: none */
    struct wire_in in; /* what is left of it */
    s64 pos;           /* the directory offset of the next entry in it */
    bool is_last;      /* nothing comes after this batch */
    bool is_valid;
};

static int dir_open(struct inode *i, struct file *f)
{
    f->priv = calloc(1, sizeof(struct gofer_listing));
    return f->priv ? 0 : -LX_ENOMEM;
}

static void dir_release(struct file *f)
{
    struct gofer_listing *l = f->priv;
    if (!l)
        return;
    free(l->buf);
    free(l);
}

/* Puts the entries that came with attributes into the dentry cache. */
static void prime(struct file *f, struct wire_in in, u32 seq)
{
    struct inode *dir = f->inode;
    struct gp_dirent e;
    /* Names may be made and removed while we look; then what we got says nothing certain. */
    if (!mutex_trylock(&dir->lock))
        return;
    if (atomic_load(&gofer_of(dir)->dir_seq) == seq) {
        while (gp_dirent_next(&in, &e) == 1) {
            struct inode *i;
            if (!e.has_attr)
                continue;
            struct dentry *d = dentry_peek(f->path.dentry, e.name.p, e.name.size);
            if (d) {
                dentry_put(d);
                continue;
            }
            if (gofer_inode_make(dir->sb, &e.attr, dir, e.name, 0, e.target, &i) == 0)
                dentry_prime(f->path.dentry, e.name.p, e.name.size, i);
        }
    }
    mutex_unlock(&dir->lock);
}

/* Fetches the batch that starts at offset pos. */
static int fetch(struct file *f, struct gofer_listing *l, s64 pos)
{
    struct inode *dir = f->inode;
    struct gofer_sb *s = gofer_sb_of(dir->sb);
    struct gofer_call call = {.req = {.op = GP_READDIR, .offset = pos}};
    u32 seq = atomic_load(&gofer_of(dir)->dir_seq);
    call.req.flags = gofer_is_shared(s) ? 0 : GP_RD_ATTR_DIRS;
    l->is_valid = false;
    free(take_ptr(l->buf));
    int r = gofer_call_on(dir, &call);
    if (r == 0)
        r = gofer_apply_attr(gofer_of(dir), &call.resp->attr);
    if (r == 0) {
        u32 size = call.resp->data.size;
        l->buf = malloc(size + 1);
        if (l->buf) {
            memcpy(l->buf, call.resp->data.p, size);
            wire_in_init(&l->in, l->buf, size);
            l->pos = pos;
            l->is_last = call.resp->count != 0;
            l->is_valid = true;
        } else {
            r = -LX_ENOMEM;
        }
        if (call.resp->node != call.req.node)
            gofer_give_node(gofer_of(dir), call.resp->node);
    }
    gofer_call_done(s->conn, &call);
    if (r == 0 && call.req.flags)
        prime(f, l->in, seq);
    /* A gofer that sends nothing and says that more will come would keep us here for ever. */
    if (r == 0 && l->in.size == 0 && !l->is_last)
        r = -LX_EIO;
    return r;
}

static int dir_readdir(struct file *f, struct dir_ctx *ctx)
{
    struct gofer_listing *l = f->priv;
    for (;;) {
        struct gp_dirent e;
        if (!l->is_valid || l->pos != f->pos) {
            int r = fetch(f, l, f->pos);
            if (r < 0)
                return r;
        }
        struct wire_in before = l->in;
        int r = l->buf ? gp_dirent_next(&l->in, &e) : 0;
        if (r < 0) {
            l->is_valid = false;
            return -LX_EIO;
        }
        if (r == 0) {
            free(take_ptr(l->buf));
            if (l->is_last)
                return 0;
            l->is_valid = false;
            continue;
        }
        if (!ctx->emit(ctx, e.name.p, e.name.size, e.ino, e.type, e.next_off)) {
            l->in = before;
            return 0;
        }
        f->pos = l->pos = e.next_off;
    }
}

static s64 dir_seek(struct file *f, s64 off, int whence)
{
    if (whence == LX_SEEK_CUR)
        off += f->pos;
    else if (whence != LX_SEEK_SET)
        return -LX_EINVAL;
    if (off < 0)
        return -LX_EINVAL;
    f->pos = off;
    return off;
}

static int dir_fsync(struct file *f, bool is_data_only)
{
    struct gofer_sb *s = gofer_sb_of(f->inode->sb);
    if (s->export_flags & GP_EXPORT_RDONLY)
        return 0;
    struct gofer_call call = {.req = {.op = GP_FSYNC, .flags = is_data_only}};
    int r = gofer_call_on(f->inode, &call);
    gofer_call_done(s->conn, &call);
    return r;
}

const struct file_ops gofer_dir_fops = {
    .open = dir_open,
    .release = dir_release,
    .readdir = dir_readdir,
    .seek = dir_seek,
    .fsync = dir_fsync,
};
