/*
 * Overlay: listing directories.
 *
 * A directory that lives in one lower layer only streams: entries and positions are
 * that layer's. Else entries are read in batches, layer by layer:
 *
 *   first the upper layer: names that no lower layer has;
 *   then each lower layer from the top: names that no layer above it (but the upper) has
 *   and the upper one does not hide.
 *
 * So a name belongs to the same layer's turn before and after its copy-up, and is neither missed
 * nor given twice if that happens meanwhile. Positions count entries; seeking to another place than
 * the current one starts over and skips.
 */
#include <stdlib.h>
#include <string.h>

#include "fs/overlay_int.h"
#include "fs/overlay_readdir.h"

#define BATCH_SIZE 8192U

struct entry { /* in a batch; the name follows */
    u64 ino;
    u32 type;
    u16 name_size, total;
};

struct ovl_listing {
    u32 turn;          /* 0: upper; k: lower k - 1 */
    struct file *real; /* of that layer, owned; NULL: to be opened */
    s64 index;         /* position of the next entry to give */
    u32 used, at;      /* of the batch: filled, and given so far */
    bool is_last;      /* nothing comes from this layer after the batch */
    u8 batch[BATCH_SIZE];
};

struct collect {
    struct dir_ctx ctx;
    struct ovl_listing *l;
};

static bool collect_emit(struct dir_ctx *c, const char *name, size_t size, u64 ino, u32 type,
                         s64 next_off)
{
    struct ovl_listing *l = container_of(c, struct collect, ctx)->l;
    size_t total = (sizeof(struct entry) + size + 7) & ~(size_t)7;
    if (name[0] == '.' && (size == 1 || (size == 2 && name[1] == '.')))
        return true;
    if (l->used + total > BATCH_SIZE)
        return false;
    struct entry e = {ino, type, (u16)size, (u16)total};
    memcpy(l->batch + l->used, &e, sizeof(e));
    memcpy(l->batch + l->used + sizeof(e), name, size);
    l->used += (u32)total;
    return true;
}

struct ovl_listing *ovl_listing_new(void)
{
    struct ovl_listing *l = malloc(sizeof(*l));
    if (l)
        memset(l, 0, offsetof(struct ovl_listing, batch));
    return l;
}

static void rewind_listing(struct ovl_listing *l)
{
    file_put(l->real);
    memset(l, 0, offsetof(struct ovl_listing, batch));
}

void ovl_listing_free(struct ovl_listing *l)
{
    if (!l)
        return;
    file_put(l->real);
    free(l);
}

/* Fills the batch with the next entries of the current turn; false: nothing is left at all. */
static int fill(struct ovl_listing *l, struct ovl_node *n, bool *ret_more)
{
    struct collect c = {{collect_emit}, l};
    u32 nlower = n->nlower;
    for (;;) {
        *ret_more = l->turn <= nlower;
        if (!*ret_more)
            return 0;
        if (!l->real) {
            const struct path *p = l->turn ? &n->lower[l->turn - 1] : &n->upper;
            if (!l->turn && !ovl_has_upper(n)) {
                l->turn++;
                continue;
            }
            int r = file_open_path(p, LX_O_RDONLY | LX_O_DIRECTORY, &l->real);
            if (r < 0)
                return r;
            l->is_last = false;
        }
        l->used = l->at = 0;
        if (!l->is_last) {
            s64 before = l->real->pos;
            int r = l->real->ops->readdir ? l->real->ops->readdir(l->real, &c.ctx) : -LX_ENOTDIR;
            if (r < 0)
                return r;
            l->is_last = l->used == 0 || l->real->pos == before;
        }
        if (l->used > 0)
            return 0;
        file_put(take_ptr(l->real));
        l->turn++;
    }
}

/* Should an entry of this turn be shown; fills in what it is. < 0: an error. */
static int judge(struct ovl_super *os, struct ovl_node *n, u32 turn, struct entry *e,
                 const char *name)
{
    struct path p;
    int r;
    u32 nabove = turn ? turn - 1 : n->nlower; /* lower layers to ask */
    if (turn == 0) {
        bool may_be_white = e->type == LX_S_IFCHR >> 12;
        if (may_be_white || n->is_impure) {
            r = ovl_child(&n->upper, name, e->name_size, &p);
            if (r < 0 || !p.dentry)
                return r;
            bool is_white = ovl_is_whiteout(os, p.dentry->inode, true);
            e->ino = ovl_upper_ino(os, p.dentry->inode);
            path_put(&p);
            if (is_white)
                return 0;
        } else {
            e->ino = ovl_lower_ino(os, os->nlowers, e->ino);
        }
    }
    for (u32 k = 0; k < nabove; k++) {
        r = ovl_child(&n->lower[k], name, e->name_size, &p);
        if (r < 0)
            return r;
        if (!p.dentry)
            continue;
        bool is_white = ovl_is_whiteout(os, p.dentry->inode, false);
        path_put(&p);
        if (turn == 0 && is_white)
            break; /* nothing to see below it: the upper's alone */
        return 0;
    }
    if (turn == 0)
        return 1;
    e->ino = ovl_lower_ino(os, turn - 1, e->ino);
    if (e->type == LX_S_IFCHR >> 12) {
        r = ovl_child(&n->lower[turn - 1], name, e->name_size, &p);
        if (r < 0 || !p.dentry)
            return r;
        bool is_white = ovl_is_whiteout(os, p.dentry->inode, false);
        path_put(&p);
        if (is_white)
            return 0;
    }
    if (!ovl_has_upper(n))
        return 1;
    r = ovl_child(&n->upper, name, e->name_size, &p);
    if (r < 0 || !p.dentry)
        return r < 0 ? r : 1;
    struct inode *ui = p.dentry->inode;
    bool is_white = ovl_is_whiteout(os, ui, true);
    e->ino = ovl_upper_ino(os, ui);
    e->type = (ui->mode & LX_S_IFMT) >> 12;
    path_put(&p);
    return !is_white;
}

/* Gives entries from `l->index` (≥ 2) on, until emit says stop. */
static int give(struct ovl_listing *l, struct inode *dir, s64 *pos, struct dir_ctx *ctx)
{
    struct ovl_super *os = ovl_sb(dir->sb);
    struct ovl_node *n = ovl_node(dir);
    for (;;) {
        bool has_more = true;
        int r = l->at < l->used ? 0 : fill(l, n, &has_more);
        if (r < 0 || !has_more)
            return r;
        struct entry e;
        const char *name = (const char *)l->batch + l->at + sizeof(e);
        memcpy(&e, l->batch + l->at, sizeof(e));
        r = judge(os, n, l->turn, &e, name);
        if (r < 0)
            return r;
        if (r > 0) {
            if (l->index >= *pos) {
                if (!ctx->emit(ctx, name, e.name_size, e.ino, e.type, l->index + 1))
                    return 0;
                *pos = l->index + 1;
            }
            l->index++;
        }
        l->at += e.total;
    }
}

int ovl_listing_read(struct ovl_listing *l, struct inode *dir, u64 parent_ino, s64 *pos,
                     struct dir_ctx *ctx)
{
    struct ovl_node *n = ovl_node(dir);
    if (*pos == 0) {
        rewind_listing(l);
        if (!ctx->emit(ctx, ".", 1, n->ino, LX_S_IFDIR >> 12, 1))
            return 0;
        *pos = 1;
    }
    if (*pos == 1) {
        if (!ctx->emit(ctx, "..", 2, parent_ino, LX_S_IFDIR >> 12, 2))
            return 0;
        *pos = 2;
    }
    if (l->index > *pos)
        rewind_listing(l);
    if (l->index < 2)
        l->index = 2;
    return give(l, dir, pos, ctx);
}

/* ---- emptiness ----------------------------------------------------------------------------- */

struct probe {
    struct dir_ctx ctx;
    bool is_found;
};

static bool probe_emit(struct dir_ctx *c, const char *name, size_t size, u64 ino, u32 type,
                       s64 next)
{
    container_of(c, struct probe, ctx)->is_found = true;
    return false;
}

/* Removes up to a batch of whiteouts from the upper directory; how many there were. */
static int clear_some(struct ovl_super *os, struct ovl_node *n)
{
    struct ovl_listing *l = ovl_listing_new();
    struct inode *udir = n->upper.dentry->inode;
    int count = 0, r;
    if (!l)
        return -LX_ENOMEM;
    struct collect c = {{collect_emit}, l};
    r = file_open_path(&n->upper, LX_O_RDONLY | LX_O_DIRECTORY, &l->real);
    if (r == 0)
        r = l->real->ops->readdir(l->real, &c.ctx);
    for (u32 at = 0; r == 0 && at < l->used;) {
        struct entry e;
        struct dentry *ud;
        memcpy(&e, l->batch + at, sizeof(e));
        const char *name = (const char *)l->batch + at + sizeof(e);
        at += e.total;
        mutex_lock(&udir->lock);
        r = dentry_lookup_locked(n->upper.dentry, name, e.name_size, &ud);
        if (r == 0) {
            if (ud->inode && ovl_is_whiteout(os, ud->inode, true)) {
                r = udir->ops->unlink(udir, ud);
                if (r == 0)
                    dentry_unlinked(ud);
                count++;
            }
            dentry_put(ud);
        }
        mutex_unlock(&udir->lock);
    }
    ovl_listing_free(l);
    return r < 0 ? r : count;
}

int ovl_clear_if_empty(struct inode *dir)
{
    struct ovl_node *n = ovl_node(dir);
    struct probe p = {{probe_emit}, false};
    struct ovl_listing *l = ovl_listing_new();
    s64 pos = 2;
    if (!l)
        return -LX_ENOMEM;
    int r = ovl_listing_read(l, dir, 0, &pos, &p.ctx);
    ovl_listing_free(l);
    if (r < 0)
        return r;
    if (p.is_found)
        return -LX_ENOTEMPTY;
    do {
        r = ovl_has_upper(n) ? clear_some(ovl_sb(dir->sb), n) : 0;
    } while (r > 0);
    return r;
}
