/*
 * The operations that change files. Each is refused on a read-only export by
 * gobj_get_rw before anything is looked at. New objects get the owner that the
 * Sentry asks for; an object whose owner cannot be set is taken away again.
 */
#include <fcntl.h>
#include <linux/stat.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>

#include "abi/errno.h"
#include "abi/fs.h"
#include "base/log.h"
#include "gofer/lane.h"
#include "host/fdio.h"
#include "host/fsat.h"

static const struct wire_bytes no_name = {"", 0};

/*
 * Gives a new object its owner and the mode bits that creation did not (set-id bits are lost to
 * chown and to directories). fd may be O_PATH. Fills the answer's attributes.
 */
static int settle(struct lane *l, int fd, bool is_symlink)
{
    const struct gp_req *q = &l->req;
    struct gp_attr *a = &l->resp.attr;
    int r = gofer_fd_attr(fd, a);
    if (r < 0)
        return r;
    bool is_changed = false;
    if (a->uid != q->uid || a->gid != q->gid) {
        r = host_chown_fd(fd, q->uid, q->gid);
        if (r < 0)
            return r == -LX_EINVAL ? -LX_EPERM : r; /* an id that is not mapped */
        is_changed = true;
        r = gofer_fd_attr(fd, a);
    }
    if (r == 0 && !is_symlink && ((a->mode ^ q->mode) & 07777)) {
        r = host_chmod_fd(fd, q->mode & 07777, gofer_proc_self_fd);
        is_changed = true;
    }
    return r == 0 && is_changed ? gofer_fd_attr(fd, a) : r;
}

/* Takes away what could not be finished; the error that is reported is the first one. */
static void undo(const struct obj *o, int flags)
{
    int r = host_unlinkat(o->fd, o->name, flags);
    if (r < 0)
        log_debug("cannot take %s away: %d", o->name, -r);
}

static int fd_statx(int fd, struct statx *sx)
{
    return host_fstatx(fd, STATX_BASIC_STATS | STATX_BTIME | STATX_MNT_ID, sx);
}

/* Donates fd, after giving the answer a node when it was asked for. */
static int donate(struct lane *l, const struct obj *o, int fd)
{
    if ((l->req.flags & GP_O_NODE) && o->name) {
        struct statx sx;
        int r = fd_statx(fd, &sx);
        struct node *n = r == 0 ? gnode_new(o->n, o->name, &sx, -1, o->n->attach) : NULL;
        if (!n)
            return r < 0 ? r : -LX_ENFILE;
        l->resp.node = gnode_id(n);
        gnode_put(n);
    }
    l->fds[l->nfds++] = fd;
    return 0;
}

static int access_flags(u32 flags)
{
    u32 rw = flags & (GP_O_READ | GP_O_WRITE);
    return (rw == GP_O_READ    ? O_RDONLY
            : rw == GP_O_WRITE ? O_WRONLY
                               : O_RDWR) |
           (flags & GP_O_DIRECT ? O_DIRECT : 0);
}

int serve_create(struct lane *l)
{
    struct obj o;
    int fd = -1, r = gobj_get_rw(l->req.node, l->req.name, &o);
    if (r < 0)
        goto out;
    fd =
        gofer_open_below(o.a, o.fd, o.name,
                         (u64)access_flags(l->req.flags) | O_CREAT | O_EXCL | O_NONBLOCK | O_NOCTTY,
                         l->req.mode & 07777);
    r = fd < 0 ? fd : settle(l, fd, false);
    if (r == 0)
        r = donate(l, &o, fd);
    if (r < 0 && fd >= 0)
        undo(&o, 0);
    if (r == 0)
        fd = -1;
out:
    host_close(fd);
    gobj_done(&o);
    return r;
}

int serve_tmpfile(struct lane *l)
{
    struct obj o;
    int fd = -1, r = gobj_get_rw(l->req.node, no_name, &o);
    if (r < 0)
        goto out;
    if (o.n->is_masked || !o.n->is_dir) {
        r = o.n->is_dir ? -LX_EACCES : -LX_ENOTDIR;
        goto out;
    }
    fd = host_openat2(o.fd, ".", O_TMPFILE | O_RDWR | (l->req.flags & GP_O_EXCL ? O_EXCL : 0),
                      l->req.mode & 07777, 0);
    r = fd < 0 ? fd : settle(l, fd, false);
    if (r == 0) {
        struct statx sx;
        r = fd_statx(fd, &sx);
        int keep = r == 0 ? host_dup(fd) : -1;
        struct node *n = keep >= 0 ? gnode_new(NULL, NULL, &sx, keep, o.n->attach) : NULL;
        if (n) {
            l->resp.node = gnode_id(n);
            l->fds[l->nfds++] = take_fd(fd);
        } else if (r == 0) {
            r = keep < 0 ? keep : -LX_ENFILE;
        }
        gnode_put(n);
    }
out:
    host_close(fd);
    gobj_done(&o);
    return r;
}

int serve_mkdir(struct lane *l)
{
    struct obj o;
    struct statx sx;
    int fd = -1, r = gobj_get_rw(l->req.node, l->req.name, &o);
    if (r == 0)
        r = host_mkdirat(o.fd, o.name, l->req.mode & 07777);
    if (r < 0)
        goto out;
    fd = gofer_open_below(o.a, o.fd, o.name, O_PATH | O_DIRECTORY, 0);
    r = fd < 0 ? fd : settle(l, fd, false);
    if (r == 0)
        r = fd_statx(fd, &sx);
    if (r < 0) {
        undo(&o, AT_REMOVEDIR);
        goto out;
    }
    struct node *n = gnode_new(o.n, o.name, &sx, take_fd(fd), o.n->attach);
    l->resp.node = gnode_id(n); /* 0 when the table is full: the Sentry asks again */
    gnode_put(n);
out:
    host_close(fd);
    gobj_done(&o);
    return r;
}

/* Host dev_t of a huge-encoded one. */
static u64 host_dev(u64 d)
{
    return makedev((u32)(((d >> 8) & 0xfff) | ((d >> 32) & ~0xfffULL)),
                   (u32)((d & 0xff) | ((d >> 12) & ~0xffULL)));
}

static int settle_named(struct lane *l, const struct obj *o, bool is_symlink)
{
    int fd = gofer_open_below(o->a, o->fd, o->name, O_PATH, 0);
    int r = fd < 0 ? fd : settle(l, fd, is_symlink);
    host_close(fd);
    if (r < 0)
        undo(o, 0);
    return r;
}

int serve_mknod(struct lane *l)
{
    struct obj o;
    u32 type = l->req.mode & S_IFMT;
    if (type != S_IFIFO && type != S_IFSOCK && type != S_IFREG && type != S_IFCHR &&
        type != S_IFBLK)
        return -LX_EINVAL;
    int r = gobj_get_rw(l->req.node, l->req.name, &o);
    if (r == 0)
        r = host_mknodat(o.fd, o.name, l->req.mode & (S_IFMT | 07777), host_dev(l->req.rdev));
    if (r == 0)
        r = settle_named(l, &o, false);
    gobj_done(&o);
    return r;
}

int serve_symlink(struct lane *l)
{
    struct obj o;
    int r = gobj_get_rw(l->req.node, l->req.name, &o);
    if (r == 0)
        r = host_symlinkat(l->req.data.p, o.fd, o.name);
    if (r == 0)
        r = settle_named(l, &o, true);
    gobj_done(&o);
    return r;
}

/* linkat of a node itself: through its own fd where the host lets us, else by its place. */
static int link_node(const struct obj *o, const struct obj *to)
{
    if (gofer_proc_self_fd >= 0) {
        char name[16];
        gofer_fd_name(o->fd, name);
        return host_linkat(gofer_proc_self_fd, name, to->fd, to->name, AT_SYMLINK_FOLLOW);
    }
    char name[256];
    struct node *parent cleanup(gnode_put_p) = NULL;
    int r = gnode_place(o->n, &parent, name);
    if (r < 0)
        return host_linkat(o->fd, "", to->fd, to->name, AT_EMPTY_PATH);
    int dirfd = gnode_fd_get(parent);
    if (dirfd < 0)
        return dirfd;
    r = host_linkat(dirfd, name, to->fd, to->name, 0);
    gnode_fd_put(parent);
    return r;
}

int serve_link(struct lane *l)
{
    struct obj o, to = OBJ_NONE;
    struct statx sx;
    int r = gobj_get_rw(l->req.node, l->req.name, &o);
    if (r == 0)
        r = gobj_get_rw(l->req.node2, l->req.name2, &to);
    if (r == 0 && o.n->attach != to.n->attach)
        r = -LX_EXDEV;
    if (r == 0)
        r = o.name ? host_linkat(o.fd, o.name, to.fd, to.name, 0) : link_node(&o, &to);
    if (r == 0)
        r = gobj_stat(&to, &sx, &l->resp.attr);
    gobj_done(&o);
    gobj_done(&to);
    return r;
}

/*
 * An object has lost its place. When the Sentry has a node of it or wants one
 * (is_pinned), it stays reachable through fd, which is consumed.
 */
static void orphan(struct lane *l, const struct obj *o, u64 victim, bool is_pinned, int fd)
{
    struct node *v = victim ? gnode_get(victim) : NULL;
    struct statx sx;
    if (fd < 0 || host_fstatx(fd, STATX_BASIC_STATS | STATX_BTIME | STATX_MNT_ID, &sx) < 0) {
        gnode_put(v);
        host_close(fd);
        return;
    }
    gp_attr_from_statx(&l->resp.attr, &sx);
    bool is_same = v && v->ino == sx.stx_ino && !v->is_root;
    if (is_same) {
        gnode_orphan(v, take_fd(fd));
        l->resp.node = gnode_id(v);
    } else if (is_pinned) {
        struct node *n = gnode_new(NULL, NULL, &sx, take_fd(fd), o->n->attach);
        l->resp.node = gnode_id(n);
        gnode_put(n);
    }
    gnode_put(v);
    host_close(fd);
}

int serve_unlink(struct lane *l)
{
    struct obj o;
    int fd = -1, r = gobj_get_rw(l->req.node, l->req.name, &o);
    if (r < 0)
        goto out;
    fd = gofer_open_below(o.a, o.fd, o.name, O_PATH, 0);
    gnode_moves_begin();
    r = fd < 0 ? fd : host_unlinkat(o.fd, o.name, l->req.flags & GP_U_DIR ? AT_REMOVEDIR : 0);
    if (r == 0) {
        r = gofer_fd_attr(fd, &l->resp.attr);
        orphan(l, &o, l->req.victim, l->req.flags & GP_U_PIN, take_fd(fd));
    }
    gnode_moves_end();
out:
    host_close(fd);
    gobj_done(&o);
    return r;
}

static int do_rename(struct lane *l, const struct obj *from, const struct obj *to)
{
    u32 flags = l->req.flags & ~GP_R_PIN;
    bool is_exchange = flags & LX_RENAME_EXCHANGE;
    int fd = -1;
    if (!is_exchange && (l->req.victim || (l->req.flags & GP_R_PIN)))
        fd = gofer_open_below(to->a, to->fd, to->name, O_PATH, 0); /* none: nothing is replaced */
    int r = host_renameat2(from->fd, from->name, to->fd, to->name, flags);
    if (r < 0) {
        host_close(fd);
        return r;
    }
    struct node *moved = l->req.moved ? gnode_get(l->req.moved) : NULL;
    if (moved && !moved->is_root)
        gnode_moved(moved, to->n, to->name);
    gnode_put(moved);
    if (is_exchange) {
        struct node *other = l->req.victim ? gnode_get(l->req.victim) : NULL;
        if (other && !other->is_root)
            gnode_moved(other, from->n, from->name);
        gnode_put(other);
    } else if (fd >= 0) {
        orphan(l, to, l->req.victim, l->req.flags & GP_R_PIN, take_fd(fd));
    }
    return 0;
}

int serve_rename(struct lane *l)
{
    struct obj from, to = OBJ_NONE;
    int r = gobj_get_rw(l->req.node, l->req.name, &from);
    if (r == 0)
        r = gobj_get_rw(l->req.node2, l->req.name2, &to);
    if (r == 0 && from.n->attach != to.n->attach)
        r = -LX_EXDEV;
    if (r == 0) {
        gnode_moves_begin();
        r = do_rename(l, &from, &to);
        gnode_moves_end();
    }
    gobj_done(&from);
    gobj_done(&to);
    return r;
}

/* ---- attributes ---------------------------------------------------------------------------- */

static struct timespec set_time(const struct gp_time *t, bool is_set, bool is_now)
{
    if (!is_set && !is_now)
        return (struct timespec){0, UTIME_OMIT};
    return is_now ? (struct timespec){0, UTIME_NOW} : (struct timespec){t->sec, t->nsec};
}

static int set_attr(const struct obj *o, int fd, const struct gp_set *s)
{
    int r = 0;
    if (s->valid & (GP_S_UID | GP_S_GID)) {
        r = host_chown_fd(fd, s->valid & GP_S_UID ? s->uid : UINT32_MAX,
                          s->valid & GP_S_GID ? s->gid : UINT32_MAX);
        if (r == -LX_EINVAL)
            r = -LX_EPERM; /* an id that is not mapped */
    }
    if (r == 0 && (s->valid & GP_S_MODE))
        r = host_chmod_fd(fd, s->mode, gofer_proc_self_fd);
    if (r == 0 && (s->valid & GP_S_SIZE)) {
        int wfd = gobj_open(o, O_WRONLY);
        r = wfd < 0 ? wfd : host_ftruncate(wfd, (s64)s->size);
        host_close(wfd);
    }
    u32 times = GP_S_ATIME | GP_S_MTIME | GP_S_ATIME_NOW | GP_S_MTIME_NOW;
    if (r == 0 && (s->valid & times)) {
        struct timespec ts[2] = {
            set_time(&s->atime, s->valid & GP_S_ATIME, s->valid & GP_S_ATIME_NOW),
            set_time(&s->mtime, s->valid & GP_S_MTIME, s->valid & GP_S_MTIME_NOW),
        };
        r = host_utimens_fd(fd, ts);
    }
    return r;
}

int serve_setattr(struct lane *l)
{
    struct obj o;
    struct statx sx;
    int fd = -1, r = gobj_get_rw(l->req.node, l->req.name, &o);
    if (r < 0)
        goto out;
    fd = o.name ? gofer_open_below(o.a, o.fd, o.name, O_PATH, 0) : o.fd;
    r = fd < 0 ? fd : set_attr(&o, fd, &l->req.set);
    if (r == 0)
        r = o.name ? gofer_fd_attr(fd, &l->resp.attr) : gobj_stat(&o, &sx, &l->resp.attr);
out:
    if (fd != o.fd)
        host_close(fd);
    gobj_done(&o);
    return r;
}

/* ---- extended attributes ------------------------------------------------------------------- */

/* The names that exist for a guest; the rest would be the host's own (trusted.*, security.selinux
 * …). */
static bool xattr_is_served(const char *name)
{
    return !strncmp(name, "user.", 5) || !strcmp(name, "security.capability");
}

static int xattr_open(struct lane *l, bool is_write, struct obj *o)
{
    int r =
        is_write ? gobj_get_rw(l->req.node, l->req.name, o) : gobj_get(l->req.node, l->req.name, o);
    if (r < 0)
        return r;
    if (l->req.op != GP_LISTXATTR && !xattr_is_served(l->req.data.p))
        return -LX_EOPNOTSUPP;
    int fd = gobj_open(o, O_RDONLY);
    if (fd == -LX_ENXIO || fd == -LX_ELOOP) /* neither file nor directory: it has none */
        return l->req.op == GP_SETXATTR ? -LX_EPERM : -LX_ENODATA;
    return fd;
}

int serve_getxattr(struct lane *l)
{
    struct obj o;
    int r = 0, fd = xattr_open(l, false, &o);
    if (fd < 0) {
        gobj_done(&o);
        return fd;
    }
    s64 n = host_fgetxattr(fd, l->req.data.p, l->list, l->req.count);
    if (n < 0)
        r = (int)n;
    l->resp.count = n > 0 ? (u32)n : 0;
    l->resp.data = (struct wire_bytes){l->list, l->req.count ? l->resp.count : 0};
    host_close(fd);
    gobj_done(&o);
    return r;
}

int serve_setxattr(struct lane *l)
{
    struct obj o;
    int fd = xattr_open(l, true, &o);
    int r = fd < 0 ? fd
                   : host_fsetxattr(fd, l->req.data.p, l->req.value.p, l->req.value.size,
                                    (int)l->req.flags);
    host_close(fd);
    gobj_done(&o);
    return r;
}

int serve_listxattr(struct lane *l)
{
    struct obj o;
    int fd = xattr_open(l, false, &o);
    int r = fd == -LX_ENODATA ? 0 : fd;
    u32 size = 0;
    s64 n = fd >= 0 ? host_flistxattr(fd, l->list, GP_MAX_VALUE) : 0;
    if (n < 0)
        r = n == -LX_EOPNOTSUPP ? 0 : (int)n;
    for (s64 i = 0; i < n;) {
        size_t len = strnlen(l->list + i, (size_t)(n - i)) + 1;
        if (i + (s64)len > n)
            break;
        if (xattr_is_served(l->list + i)) {
            memmove(l->list + size, l->list + i, len);
            size += (u32)len;
        }
        i += (s64)len;
    }
    if (r > 0)
        r = 0;
    if (l->req.count && size > l->req.count)
        r = -LX_ERANGE;
    l->resp.count = size;
    l->resp.data = (struct wire_bytes){l->list, l->req.count ? size : 0};
    host_close(fd);
    gobj_done(&o);
    return r;
}

int serve_removexattr(struct lane *l)
{
    struct obj o;
    int fd = xattr_open(l, true, &o);
    int r = fd < 0 ? fd : host_fremovexattr(fd, l->req.data.p);
    host_close(fd);
    gobj_done(&o);
    return r;
}

int serve_connect(struct lane *l)
{
    struct obj o;
    int r = gobj_get(l->req.node, l->req.name, &o);
    if (r == 0)
        r = o.a->flags & GOFER_HOST_UDS ? -LX_EOPNOTSUPP : -LX_ECONNREFUSED;
    gobj_done(&o);
    return r;
}
