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
#include "vfs/ahead.h"
#include "vfs/special.h"

/* ---- lookup -------------------------------------------------------------------------------- */

/* Keeps the read fd that came with a lookup. */
static void keep_fd(struct gofer_call *call, struct inode *i)
{
    int fd = gofer_call_take_fd(call);
    if (fd >= 0 && gofer_fd_check(fd) == 0)
        gofer_fd_put(gofer_fd_cache(gofer_of(i), fd));
}

/*
 * Lookup ahead: a path is asked for as a whole. The walk that looks up its
 * first name has told the rest (vfs/ahead.h); what the gofer found below goes to the dentry
 * cache, where the walk meets it next. Only in exclusive mode. Of a directory below
 * the one that is locked, the answer is believed if nothing of ours has changed since it was asked
 * for and nobody changes the directory at this moment.
 */

#define MAX_AHEAD 8U /* names */

/* Fills names[1..] with what the walk will want below `name`; how many. */
static u32 names_ahead(const struct gofer_sb *s, struct wire_bytes name, struct wire_bytes *names)
{
    const char *p = vfs_ahead.rest;
    u32 n = 0;
    if (!p || gofer_is_shared(s) || vfs_ahead.size != name.size ||
        memcmp(vfs_ahead.name, name.p, name.size))
        return 0;
    while (*p && n < MAX_AHEAD) {
        struct wire_bytes next = {p, (u32)strcspn(p, "/")};
        if (!gp_name_is_ok(next))
            break;
        names[++n] = next;
        p += next.size;
        p += strspn(p, "/");
    }
    return n;
}

/* Puts name, found as f or (NULL) missing, below the directory at: its dentry, referenced, or NULL.
 * *ret_i: its inode, valid with the dentry. */
static struct dentry *prime_below(struct dentry *at, struct inode *dir, struct wire_bytes name,
                                  const struct gp_found *f, u32 seq, struct inode **ret_i)
{
    struct gofer_sb *s = gofer_sb_of(dir->sb);
    struct dentry *d = NULL;
    struct inode *i = NULL;
    bool is_locked = mutex_trylock(&dir->lock);
    if (is_locked && atomic_load(&s->change_seq) == seq && !(dir->flags & INODE_DEAD)) {
        if (!f || gofer_inode_make(dir->sb, &f->attr, dir, name, f->node, f->target, &i) == 0)
            d = dentry_prime_get(at, name.p, name.size, i);
    } else if (f) {
        gofer_forget(s->conn, f->node);
    }
    if (is_locked)
        mutex_unlock(&dir->lock);
    if (d && d->inode != i) { /* somebody was faster, and found something else */
        dentry_put(d);
        d = NULL;
    }
    *ret_i = i;
    return d;
}

/* The answer about names[1..], below what top will be: the inode `first`. */
static void take_ahead(struct gofer_call *call, int err, struct dentry *top, struct inode *first,
                       u32 seq)
{
    const struct gp_req *q = &call->req;
    const struct gp_resp *resp = call->resp;
    struct inode *i = first;
    struct dentry *at = top;
    u32 n = MIN(resp->nattrs, q->nnames), k = 1;
    bool is_dir = true;
    dentry_get(at);
    for (; k < n && at && is_dir; k++) {
        struct dentry *d = prime_below(at, i, q->names[k], &resp->found[k], seq, &i);
        dentry_put(at);
        at = d;
        is_dir = d && (i->mode & LX_S_IFMT) == LX_S_IFDIR;
    }
    bool is_whole = at && k == n;
    for (; k < n; k++)
        gofer_forget(gofer_sb_of(first->sb)->conn, resp->found[k].node);
    if (is_whole && n == q->nnames)
        keep_fd(call, i);
    else if (is_whole && is_dir && err == -LX_ENOENT)
        dentry_put(prime_below(at, i, q->names[n], NULL, seq, &i));
    dentry_put(at);
}

/*
 * Asks for one name: 0 and *ret_i, which is NULL when the name does not exist.
 * flags: GP_W_*. d: what is being looked up, for what is looked up ahead; or NULL.
 */
static int find_child(struct inode *dir, struct wire_bytes name, u32 flags, struct dentry *d,
                      struct inode **ret_i)
{
    struct gofer_sb *s = gofer_sb_of(dir->sb);
    struct gofer_call call = {.req = {.op = GP_WALK, .flags = flags, .nnames = 1}};
    int r = gofer_node_of(dir, &call.req.node);
    if (r < 0)
        return r;
    call.req.names[0] = name;
    call.req.nnames += d ? names_ahead(s, name, call.req.names) : 0;
    u32 seq = atomic_load(&s->change_seq);
    r = gofer_call_dir(s, &call);
    *ret_i = NULL;
    if (r == -LX_ENFILE && (flags & GP_W_OPEN)) { /* no room for the fd: it was not asked for */
        gofer_call_done(s->conn, &call);
        return find_child(dir, name, 0, NULL, ret_i);
    }
    bool is_found = r != -LX_EIO && call.resp && call.resp->nattrs > 0;
    if (r == 0 && !is_found)
        r = -LX_EIO;
    if (is_found) {
        const struct gp_found *f = &call.resp->found[0];
        int err = r;
        r = f->err ? -LX_EIO
                   : gofer_inode_make(dir->sb, &f->attr, dir, name, f->node, f->target, ret_i);
        if (r == 0 && call.req.nnames > 1)
            take_ahead(&call, err, d, *ret_i, seq);
        else if (r == 0)
            keep_fd(&call, *ret_i);
    } else if (r == -LX_ENOENT) {
        r = 0;
    }
    gofer_call_done(s->conn, &call);
    return r;
}

/* Asks for name and, in the same round trip, for others of the directory, which go to the dentry
 * cache. */
static int find_with_neighbours(struct dentry *parent, struct wire_bytes name,
                                const struct gofer_hint *hint, struct inode **ret_i)
{
    struct inode *dir = parent->inode;
    struct gofer_sb *s = gofer_sb_of(dir->sb);
    struct gofer_call call = {.req = {.op = GP_STATS, .nnames = hint->nnames + 1}};
    struct inode *i;
    int r = gofer_node_of(dir, &call.req.node);
    if (r < 0)
        return r;
    call.req.names[0] = name;
    memcpy(call.req.names + 1, hint->names, hint->nnames * sizeof(hint->names[0]));
    r = gofer_call_dir(s, &call);
    *ret_i = NULL;
    if (r == 0 && call.resp->nattrs != call.req.nnames)
        r = -LX_EIO;
    for (u32 k = 0; r == 0 && k < call.req.nnames; k++) {
        const struct gp_found *f = &call.resp->found[k];
        struct wire_bytes at = call.req.names[k];
        if (k == 0 && f->err)
            r = f->err == -LX_ENOENT ? 0 : f->err;
        if (f->err)
            continue;
        if (k == 0) {
            r = gofer_inode_make(dir->sb, &f->attr, dir, at, 0, f->target, ret_i);
            continue;
        }
        struct dentry *d = dentry_peek(parent, at.p, at.size);
        if (d)
            dentry_put(d);
        else if (gofer_inode_make(dir->sb, &f->attr, dir, at, 0, f->target, &i) == 0)
            dentry_prime(parent, at.p, at.size, i);
    }
    gofer_call_done(s->conn, &call);
    return r;
}

/* Shared mode: is the name still what the cache says? Attributes are renewed on the way. */
static int shared_revalidate(struct dentry *d)
{
    if (d->parent == d)
        return gofer_refresh(d->inode) == 0;
    char name[LX_NAME_MAX + 1];
    size_t size;
    struct dentry *parent = dentry_get_place(d, name, &size);
    struct inode *i;
    struct wire_bytes n = {name, (u32)size};
    int r = gofer_direct_find(parent->inode, n, &i);
    if (r == -LX_EAGAIN)
        r = find_child(parent->inode, n, 0, NULL, &i);
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

struct dir_cursor {          /* of one open directory; guarded by file.pos_lock */
    struct gofer_list *list; /* owned: a batch of entries; NULL: none */
    struct wire_in in;       /* what is left of it */
    s64 pos;                 /* the directory offset of the next entry in it */
    bool is_last;            /* nothing comes after this batch */
    bool is_valid;
    struct gofer_direct *direct; /* with directfs, instead of all that; owned */
};

static int dir_open(struct inode *i, struct file *f)
{
    struct dir_cursor *c = calloc(1, sizeof(*c));
    if (!c)
        return -LX_ENOMEM;
    c->direct = gofer_direct_opendir(i);
    f->priv = c;
    return 0;
}

static void dir_release(struct file *f)
{
    struct dir_cursor *c = f->priv;
    if (!c)
        return;
    gofer_list_put(c->list);
    gofer_direct_close(c->direct);
    free(c);
}

/*
 * Puts the subdirectories, which came with attributes, into the dentry cache: a walk comes back to
 * them after everything below the first ones. Other attributes answer lookups from the kept
 * listing.
 */
static void prime(struct file *f, struct wire_in in, u32 seq)
{
    struct inode *dir = f->inode;
    struct gp_dirent e;
    /* Names may be made and removed while we look; then what we got says nothing certain. */
    if (!mutex_trylock(&dir->lock))
        return;
    if (atomic_load(&gofer_sb_of(dir->sb)->change_seq) == seq) {
        while (gp_dirent_next(&in, &e) == 1) {
            struct inode *i;
            if (!e.has_attr || e.type != LX_DT_DIR || !gp_name_is_ok(e.name))
                continue;
            struct dentry *d = dentry_peek(f->path.dentry, e.name.p, e.name.size);
            if (d) {
                dentry_put(d);
                continue;
            }
            if (gofer_inode_make(dir->sb, &e.attr, dir, e.name, 0, e.target, &i) < 0)
                break;
            dentry_prime(f->path.dentry, e.name.p, e.name.size, i);
        }
    }
    mutex_unlock(&dir->lock);
}

/* Asks for the batch that starts at offset pos. flags: GP_RD_*; with GP_RD_TREE it counts as a step
 * of a walk. */
static int ask_batch(struct inode *dir, s64 pos, u32 flags, struct gofer_list **ret_list,
                     bool *ret_last)
{
    struct gofer_sb *s = gofer_sb_of(dir->sb);
    struct gofer_inode *gi = gofer_of(dir);
    struct gofer_call call = {.req = {.op = GP_READDIR, .offset = pos}};
    u32 seq = atomic_load(&s->change_seq);
    call.req.flags = flags;
    if (flags & GP_RD_TREE)
        call.req.count = gofer_list_ahead(s, gi);
    struct gofer_list *siblings = NULL;
    if (call.req.count > 0)
        siblings = gofer_list_siblings(s, gi, &call.req);
    else
        call.req.flags &= ~GP_RD_TREE;
    int r = gofer_call_on(dir, &call);
    if (r == 0)
        r = gofer_apply_attr(gi, &call.resp->attr);
    if (r == 0) {
        *ret_last = call.resp->count != 0;
        *ret_list = gofer_list_new(s, gi, seq, call.resp, pos, call.req.flags & GP_RD_ATTR_ALL);
        /* A gofer that sends nothing and says that more will come would keep us here for ever. */
        if (!*ret_list)
            r = -LX_ENOMEM;
        else if ((*ret_list)->size == 0 && !*ret_last)
            r = -LX_EIO;
        if (call.resp->node != call.req.node)
            gofer_give_node(gi, call.resp->node);
    }
    gofer_call_done(s->conn, &call);
    gofer_list_put(siblings);
    return r;
}

/*
 * Names of a directory are being looked up one by one. When that has cost about
 * as much as a listing with all attributes would, the listing is worth having: at worst the cost is
 * doubled. A round trip is taken for the time of eleven entries; a directory of one block has few.
 * When such listings have paid, the next is asked for by the first round trip.
 */
static bool is_worth_listing(struct inode *dir)
{
    struct gofer_inode *gi = gofer_of(dir);
    u64 size = atomic_load_explicit(&dir->size, memory_order_relaxed);
    u32 seq = atomic_load_explicit(&gofer_sb_of(dir->sb)->change_seq, memory_order_relaxed);
    if (gi->lookup_seq != seq) { /* among changes of ours a listing would not live long */
        gi->lookup_seq = seq;
        gi->nlookups = 0;
    }
    u64 min = gofer_list_lookups_pay(gofer_sb_of(dir->sb)) ? 1 : 4;
    return ++gi->nlookups >= (size <= 4096 ? min : min + size / 500);
}

static int find_listed(struct inode *dir, struct wire_bytes name, struct gofer_hint *hint)
{
    struct gofer_list *l;
    bool is_last;
    gofer_of(dir)->nlookups = 0;
    int r = ask_batch(dir, 0, GP_RD_ATTR_ALL, &l, &is_last);
    if (r < 0)
        return r == -LX_EACCES ? 0 : r; /* a directory that can be searched but not read */
    gofer_list_for_lookups(gofer_sb_of(dir->sb), l);
    gofer_list_put(l);
    gofer_list_hint(gofer_sb_of(dir->sb), gofer_of(dir), name, hint);
    return 0;
}

int gofer_lookup(struct inode *dir, struct dentry *d)
{
    struct gofer_sb *s = gofer_sb_of(dir->sb);
    struct wire_bytes name = gofer_dname(d);
    struct inode *i = NULL;
    struct gofer_hint hint;
    int r = gofer_direct_find(dir, name, &i);
    if (r == -LX_EAGAIN) {
        struct wire_bytes names[MAX_AHEAD + 1];
        /* What is entered next needs a round trip in any case. */
        bool has_ahead = names_ahead(s, name, names) > 0;
        gofer_list_hint(s, gofer_of(dir), name, &hint);
        r = 0;
        if (!hint.is_absent && has_ahead) {
            hint.is_found = false;
            hint.nnames = 0;
        } else if (!hint.is_absent && !hint.is_found && !gofer_is_shared(s) &&
                   is_worth_listing(dir)) {
            gofer_list_put(hint.list);
            r = find_listed(dir, name, &hint);
        }
        if (r < 0 || hint.is_absent)
            ;
        else if (hint.is_found)
            r = gofer_inode_make(dir->sb, &hint.e.attr, dir, name, 0, hint.e.target, &i);
        else if (hint.nnames > 0)
            r = find_with_neighbours(d->parent, name, &hint, &i);
        else
            r = find_child(dir, name, gofer_is_shared(s) ? 0 : GP_W_OPEN, d, &i);
        gofer_list_put(hint.list);
    }
    if (r == 0 && i)
        dentry_instantiate(d, i);
    return r;
}

static int fetch(struct file *f, struct dir_cursor *c, s64 pos)
{
    struct gofer_sb *s = gofer_sb_of(f->inode->sb);
    c->is_valid = false;
    gofer_list_put(take_ptr(c->list));
    if (pos == 0 && !gofer_is_shared(s))
        c->list = gofer_list_find(s, gofer_of(f->inode));
    if (c->list) {
        c->is_last = true;
        (void)gofer_list_ahead(s, gofer_of(f->inode));
    } else {
        u32 flags = gofer_is_shared(s) ? 0 : gofer_list_wanted(s) | (pos == 0 ? GP_RD_TREE : 0);
        int r = ask_batch(f->inode, pos, flags, &c->list, &c->is_last);
        if (r < 0)
            return r;
    }
    wire_in_init(&c->in, c->list->data, c->list->size);
    c->pos = pos;
    c->is_valid = true;
    if (!gofer_is_shared(s))
        prime(f, c->in, c->list->seq);
    return 0;
}

static int dir_readdir(struct file *f, struct dir_ctx *ctx)
{
    struct dir_cursor *c = f->priv;
    if (c->direct)
        return gofer_direct_readdir(c->direct, f, ctx);
    for (;;) {
        struct gp_dirent e;
        if (!c->is_valid || c->pos != f->pos) {
            int r = fetch(f, c, f->pos);
            if (r < 0)
                return r;
        }
        struct wire_in before = c->in;
        int r = c->list ? gp_dirent_next(&c->in, &e) : 0;
        if (r < 0) {
            c->is_valid = false;
            return -LX_EIO;
        }
        if (r == 0) {
            gofer_list_put(take_ptr(c->list));
            if (c->is_last)
                return 0;
            c->is_valid = false;
            continue;
        }
        if (!ctx->emit(ctx, e.name.p, e.name.size, e.ino, e.type, e.next_off)) {
            c->in = before;
            return 0;
        }
        f->pos = c->pos = e.next_off;
    }
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
    .ioctl = gofer_ioctl,
    .open = dir_open,
    .release = dir_release,
    .readdir = dir_readdir,
    .seek = cursor_seek,
    .fsync = dir_fsync,
};
