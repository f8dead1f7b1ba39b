/*
 * Listing a directory: a batch of entries that fills one answer, with
 * attributes beside them when asked, so that the Sentry needs no further round
 * trip for what a reader of directories asks next.
 *
 * Offsets are the host's own (d_off), so a listing can be resumed from any of them at any
 * later time and seeking works as on the host. Each batch reads through a
 * position of its own: the first through the fd that becomes the node's, later ones
 * through a fresh open of ".".
 */
#include <dirent.h>
#include <fcntl.h>
#include <linux/stat.h>
#include <string.h>
#include <sys/stat.h>

#include "abi/errno.h"
#include "abi/fs.h"
#include "gofer/lane.h"
#include "host/fdio.h"

struct host_dirent { /* linux_dirent64 */
    u64 ino;
    s64 off;
    u16 reclen;
    u8 type;
    char name[];
};

static bool is_dot(const char *name)
{
    return name[0] == '.' && (name[1] == 0 || (name[1] == '.' && name[2] == 0));
}

static u8 type_of_mode(u32 mode)
{
    return (u8)((mode & S_IFMT) >> 12); /* IFTODT */
}

static bool put_entry(struct lane *l, const struct obj *dir, const struct host_dirent *d,
                      struct wire_out *w)
{
    struct gp_dirent e = {.ino = d->ino, .next_off = d->off, .type = d->type};
    struct statx sx;
    e.name = (struct wire_bytes){d->name, (u32)strnlen(d->name, GP_MAX_NAME + 1)};
    if (e.name.size > GP_MAX_NAME || d->off < 0)
        return true; /* nothing that the protocol can name */
    bool wants_attr =
        (l->req.flags & GP_RD_ATTR_ALL) ||
        ((l->req.flags & GP_RD_ATTR_DIRS) && (d->type == LX_DT_DIR || d->type == LX_DT_UNKNOWN));
    if (is_dot(d->name)) {
        if (dir->n->is_root && !dir->name)
            e.ino = dir->n->ino;
    } else if (wants_attr && gobj_stat_child(dir, d->name, &sx, &e.attr) == 0) {
        e.has_attr = true;
        e.type = type_of_mode(sx.stx_mode);
        char target[GP_MAX_TARGET + 1];
        if (S_ISLNK(sx.stx_mode)) {
            s64 n = host_readlinkat(dir->fd, d->name, target, sizeof(target));
            if (n > 0 && n <= (s64)GP_MAX_TARGET)
                e.target = (struct wire_bytes){target, (u32)n};
        }
        return gp_dirent_put(w, &e);
    }
    return gp_dirent_put(w, &e);
}

/* Lists from dir->fd's position on: 1 when the end was reached, 0 when w is full, or an error. */
static int list(struct lane *l, const struct obj *dir, struct wire_out *w)
{
    size_t begin = w->size;
    for (;;) {
        s64 n = host_getdents(dir->fd, l->dents, sizeof(l->dents));
        if (n < 0)
            return w->size > begin ? 0 : (int)n;
        if (n == 0)
            return 1;
        s64 pos = 0;
        while (pos < n) {
            const struct host_dirent *d = (const void *)(l->dents + pos);
            if (!put_entry(l, dir, d, w))
                return 0;
            pos += d->reclen;
        }
    }
}

/* ---- listing ahead ------------------------------------------------------------------------- */

#define AHEAD_DEPTH 12

struct level { /* a directory whose listing is in the answer, while its subdirectories are looked
                  for */
    struct obj dir;
    struct wire_in in; /* its entries not yet looked at */
    struct node *made; /* counted, for dir.n of the levels below the first */
};

/* Appends the whole listing of the child of lv, or nothing. 1: *ret is its level; 0: skip it; <0:
 * stop. */
static int list_child(struct lane *l, const struct level *lv, const struct gp_dirent *e,
                      struct wire_out *w, struct level *ret)
{
    struct statx sx;
    struct gp_attr attr;
    struct obj o = lv->dir;
    o.name = e->name.p;
    int fd = gofer_open_below(o.a, o.fd, o.name, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0)
        return 0;
    size_t mark = w->size;
    struct gp_section *h = wire_reserve(w, sizeof(*h));
    int r = h ? gobj_stat_opened(&o, fd, &sx, &attr) : -LX_E2BIG;
    struct node *n = NULL;
    if (r == 0 && !(attr.flags & GP_A_MASKED))
        n = gnode_new(o.n, o.name, &sx, -1, o.n->attach);
    if (!n) {
        host_close(fd);
        w->size = mark;
        return r;
    }
    *ret = (struct level){.dir = {.n = n, .a = o.a, .fd = fd}, .made = n};
    r = list(l, &ret->dir, w);
    u32 size = (u32)(w->size - mark - sizeof(*h));
    if (r == 1) {
        struct gp_section head = {
            .dev = attr.dev, .ino = attr.ino, .node = gnode_id(n), .size = size, .mnt = attr.mnt};
        memcpy(h, &head, sizeof(head));
        wire_in_init(&ret->in, (u8 *)h + sizeof(*h), size);
        gnode_give_fd(n, fd);
        ret->dir.fd = gnode_fd_get(n);
        if (ret->dir.fd >= 0)
            return 1;
        gnode_put(n);
        return 0;
    }
    host_close(fd);
    w->size = mark;
    gnode_forget(gnode_id(n));
    gnode_put(n);
    return -LX_E2BIG;
}

static void level_done(struct level *lv)
{
    if (!lv->made)
        return;
    gnode_fd_put(lv->made);
    gnode_put(lv->made);
}

/*
 * Goes on from the listing of stack[0] as a tree walk would: each
 * subdirectory, and what is in it, before the next one. False: w is full.
 */
static bool list_below(struct lane *l, struct level *stack, struct wire_out *w)
{
    u32 depth = 1;
    int r = 0;
    while (depth > 0 && r >= 0) {
        struct gp_dirent e;
        struct level *lv = &stack[depth - 1];
        if (gp_dirent_next(&lv->in, &e) != 1) {
            level_done(lv);
            depth--;
            continue;
        }
        if (e.type != LX_DT_DIR || is_dot(e.name.p) || depth == AHEAD_DEPTH)
            continue;
        r = list_child(l, lv, &e, w, &stack[depth]);
        if (r == 1)
            depth++;
    }
    while (depth > 0)
        level_done(&stack[--depth]);
    return r >= 0;
}

/* What a walk reads after dir, whose `size` bytes of entries begin the list. */
static void list_ahead(struct lane *l, const struct obj *dir, size_t size, struct wire_out *w)
{
    struct level stack[AHEAD_DEPTH], parent = {0};
    stack[0] = (struct level){.dir = *dir};
    wire_in_init(&stack[0].in, l->list, size);
    bool has_room = list_below(l, stack, w);
    if (!has_room || l->req.nnames == 0)
        return;
    if (gobj_get(l->req.node2, l->req.names[0], &parent.dir) == 0) {
        for (u32 i = 0; has_room && i < l->req.nnames; i++) {
            struct gp_dirent e = {.name = l->req.names[i]};
            int r = list_child(l, &parent, &e, w, &stack[0]);
            has_room = r == 1 ? list_below(l, stack, w) : r == 0;
        }
    }
    gobj_done(&parent.dir);
}

/* Fills the answer. */
static int list_answer(struct lane *l, const struct obj *dir)
{
    struct wire_out w;
    wire_out_init(&w, l->list, sizeof(l->list));
    int r = list(l, dir, &w);
    if (r < 0)
        return r;
    size_t size = w.size;
    l->resp.count = r == 1;
    l->resp.data = (struct wire_bytes){l->list, (u32)size};
    if (r == 1 && (l->req.flags & GP_RD_TREE)) {
        w.cap = MIN(w.cap, size + l->req.count);
        list_ahead(l, dir, size, &w);
        l->resp.more = (struct wire_bytes){l->list + size, (u32)(w.size - size)};
    }
    return 0;
}

static int list_masked(struct lane *l, u64 ino)
{
    struct wire_out w;
    wire_out_init(&w, l->list, sizeof(l->list));
    for (s64 i = l->req.offset; i < 2; i++) {
        struct gp_dirent e = {.ino = ino, .next_off = i + 1, .type = LX_DT_DIR};
        e.name = (struct wire_bytes){"..", i == 0 ? 1 : 2};
        if (i == 0)
            e.name.p = ".";
        if (!gp_dirent_put(&w, &e))
            return -LX_EIO;
    }
    l->resp.count = 1;
    l->resp.data = (struct wire_bytes){l->list, (u32)w.size};
    return 0;
}

static int open_dir(const struct obj *o)
{
    u64 flags = O_RDONLY | O_DIRECTORY;
    return o->n->is_masked ? -LX_EXDEV
                           : gofer_open_below(o->a, o->fd, o->name ? o->name : ".", flags, 0);
}

/* The directory is o; a child gets a node first, which then lists itself. */
static int list_dir(struct lane *l, const struct obj *o)
{
    struct statx sx;
    int fd = open_dir(o);
    if (fd < 0 && fd != -LX_EXDEV)
        return fd;
    int r = fd < 0 ? gobj_stat(o, &sx, &l->resp.attr) : gobj_stat_opened(o, fd, &sx, &l->resp.attr);
    if (r == 0 && !S_ISDIR(sx.stx_mode))
        r = -LX_ENOTDIR;
    if (r < 0) {
        host_close(fd);
        return r;
    }
    bool is_masked = l->resp.attr.flags & GP_A_MASKED;
    struct obj dir = {.n = o->n, .a = o->a, .fd = fd};
    struct node *made cleanup(gnode_put_p) = NULL;
    if (o->name) {
        made = gnode_new(o->n, o->name, &sx, -1, o->n->attach);
        if (!made) {
            host_close(fd);
            return -LX_ENFILE;
        }
        made->is_masked = is_masked;
        dir.n = made;
    }
    l->resp.node = gnode_id(dir.n);
    if (is_masked) {
        host_close(fd);
        return list_masked(l, sx.stx_ino);
    }
    if (l->req.offset > 0) {
        s64 pos = host_lseek(fd, l->req.offset, SEEK_SET);
        r = pos < 0 ? (int)pos : 0;
    }
    if (r == 0)
        r = list_answer(l, &dir);
    if (r < 0 && made) {
        gnode_forget(gnode_id(made));
        l->resp.node = 0;
    }
    if (made)
        gnode_give_fd(made, fd); /* its position no longer matters: it now serves as a dirfd */
    else
        host_close(fd);
    return r;
}

int serve_readdir(struct lane *l)
{
    struct obj o;
    int r = gobj_get(l->req.node, l->req.name, &o);
    if (r == 0)
        r = list_dir(l, &o);
    gobj_done(&o);
    return r;
}
