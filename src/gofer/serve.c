/*
 * Serving one request: naming objects, attributes, and the operations that
 * only read. Everything that changes files is in change.c.
 */
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/stat.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "abi/errno.h"
#include "base/log.h"
#include "gofer/lane.h"
#include "host/fdio.h"

#define STATX_WANT (STATX_BASIC_STATS | STATX_BTIME | STATX_MNT_ID)
#define STATX_HOW  (AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT)

int gofer_proc_self_fd = -1;

void gofer_fd_name(int fd, char ret[16])
{
    snprintf(ret, 16, "%d", fd);
}

/* ---- objects ------------------------------------------------------------------------------- */

int gobj_get(u64 id, struct wire_bytes name, struct obj *o)
{
    *o = (struct obj)OBJ_NONE;
    o->n = gnode_get(id);
    if (!o->n)
        return -LX_ESTALE;
    o->a = &gofer_attaches[o->n->attach];
    if (name.size > 0) {
        if (!o->n->is_dir)
            return -LX_ENOTDIR;
        if (o->n->is_masked)
            return -LX_ENOENT;
        o->name = name.p;
    }
    o->fd = gnode_fd_get(o->n);
    return o->fd < 0 ? o->fd : 0;
}

int gobj_get_rw(u64 id, struct wire_bytes name, struct obj *o)
{
    int r = gobj_get(id, name, o);
    if (r == 0 && (o->a->flags & GOFER_RDONLY))
        r = -LX_EROFS;
    return r;
}

void gobj_done(struct obj *o)
{
    if (!o->n)
        return;
    if (o->fd >= 0)
        gnode_fd_put(o->n);
    gnode_put(o->n);
    *o = (struct obj)OBJ_NONE;
}

/* File systems through which the host kernel itself would be reached. */
static bool is_kernel_fs(s64 type)
{
    switch ((u32)type) {
    case PROC_SUPER_MAGIC:
    case SYSFS_MAGIC:
    case CGROUP_SUPER_MAGIC:
    case CGROUP2_SUPER_MAGIC:
    case DEVPTS_SUPER_MAGIC:
    case DEBUGFS_MAGIC:
    case TRACEFS_MAGIC:
    case SECURITYFS_MAGIC:
    case BPF_FS_MAGIC:
    case BINFMTFS_MAGIC:
    case EFIVARFS_MAGIC:
    case PSTOREFS_MAGIC:
    case SELINUX_MAGIC:
    case AUTOFS_SUPER_MAGIC:
    case NSFS_MAGIC:
    case 0x19800202: /* mqueue */
    case 0x65735543: /* fusectl */
    case 0x62656570: /* configfs */
        return true;
    }
    return false;
}

/* Is (dir, name), found with these attributes, a directory whose contents the Sentry must not see?
 */
static bool is_withheld(const struct obj *dir, const char *name, const struct statx *sx)
{
    if (dir->n->is_root && dir->a->masked) {
        for (const char *const *m = dir->a->masked; *m; m++) {
            if (!strcmp(*m, name))
                return true;
        }
    }
    if (sx->stx_mnt_id == dir->n->mnt_id)
        return false;
    if (!(dir->a->flags & GOFER_CROSS_MOUNTS))
        return true;
    struct statfs sf;
    int fd = gofer_open_below(dir->a, dir->fd, name, O_PATH, 0);
    bool is_bad = fd < 0 || host_fstatfs(fd, &sf) < 0 || is_kernel_fs(sf.f_type);
    host_close(fd);
    return is_bad;
}

int gobj_stat_child(const struct obj *dir, const char *name, struct statx *sx, struct gp_attr *ret)
{
    int r = host_statxat(dir->fd, name, STATX_HOW, STATX_WANT, sx);
    if (r < 0)
        return r;
    gp_attr_from_statx(ret, sx);
    if (dir->n->is_root || sx->stx_mnt_id != dir->n->mnt_id) {
        if (is_withheld(dir, name, sx))
            ret->flags |= GP_A_MASKED;
    }
    return 0;
}

int gobj_stat(const struct obj *o, struct statx *sx, struct gp_attr *ret)
{
    if (o->name)
        return gobj_stat_child(o, o->name, sx, ret);
    int r = host_fstatx(o->fd, STATX_WANT, sx);
    if (r < 0)
        return r;
    gp_attr_from_statx(ret, sx);
    if (o->n->is_masked)
        ret->flags |= GP_A_MASKED;
    return 0;
}

int gobj_stat_opened(const struct obj *o, int fd, struct statx *sx, struct gp_attr *ret)
{
    int r = host_fstatx(fd, STATX_WANT, sx);
    if (r < 0)
        return r;
    gp_attr_from_statx(ret, sx);
    if (o->name ? is_withheld(o, o->name, sx) : o->n->is_masked)
        ret->flags |= GP_A_MASKED;
    return 0;
}

int gofer_fd_attr(int fd, struct gp_attr *ret)
{
    struct statx sx;
    int r = host_fstatx(fd, STATX_WANT, &sx);
    if (r == 0)
        gp_attr_from_statx(ret, &sx);
    return r;
}

/* Opens a node that is not a directory again, with other flags. */
static int reopen(const struct obj *o, u64 flags)
{
    if (gofer_proc_self_fd >= 0) {
        char name[16];
        gofer_fd_name(o->fd, name);
        return host_openat2(gofer_proc_self_fd, name, flags & ~(u64)O_NOFOLLOW, 0, 0);
    }
    char name[256];
    struct node *parent cleanup(gnode_put_p) = NULL;
    int r = gnode_place(o->n, &parent, name);
    if (r < 0)
        return r;
    int dirfd = gnode_fd_get(parent);
    if (dirfd < 0)
        return dirfd;
    int fd = gofer_open_below(o->a, dirfd, name, flags, 0);
    gnode_fd_put(parent);
    struct statx sx;
    if (fd >= 0 && (host_fstatx(fd, STATX_INO, &sx) < 0 || sx.stx_ino != o->n->ino)) {
        host_close(fd);
        return -LX_ESTALE;
    }
    return fd;
}

int gobj_open(const struct obj *o, u64 flags)
{
    struct statx sx, after;
    struct gp_attr attr;
    if (o->name && (flags & O_PATH))
        return gofer_open_below(o->a, o->fd, o->name, flags, 0);
    int r = gobj_stat(o, &sx, &attr);
    if (r < 0)
        return r;
    /* Opening a device or a FIFO of the host would have effects there. */
    bool is_dir = S_ISDIR(sx.stx_mode);
    if (!is_dir && !S_ISREG(sx.stx_mode))
        return S_ISLNK(sx.stx_mode) ? -LX_ELOOP : -LX_ENXIO;
    if ((attr.flags & GP_A_MASKED) && !is_dir)
        return -LX_EACCES;
    flags |= O_NONBLOCK | O_NOCTTY | O_NOFOLLOW;
    int fd = o->name  ? gofer_open_below(o->a, o->fd, o->name, flags, 0)
             : is_dir ? gofer_open_below(o->a, o->fd, ".", flags & ~(u64)O_NOFOLLOW, 0)
                      : reopen(o, flags);
    if (fd < 0)
        return fd == -LX_EXDEV ? -LX_EACCES : fd;
    r = host_fstatx(fd, STATX_INO | STATX_TYPE, &after);
    if (r < 0 || after.stx_ino != sx.stx_ino ||
        (after.stx_mode & S_IFMT) != (sx.stx_mode & S_IFMT)) {
        host_close(fd);
        return -LX_ESTALE;
    }
    return fd;
}

/* ---- operations ---------------------------------------------------------------------------- */

static int op_attach(struct lane *l)
{
    if (l->req.offset >= gofer_nattaches)
        return -LX_ENOENT;
    const struct attach *a = &gofer_attaches[l->req.offset];
    struct obj o = {.n = a->root, .a = a, .fd = gnode_fd_get(a->root)};
    struct statx sx;
    if (o.fd < 0)
        return o.fd;
    int r = gobj_stat(&o, &sx, &l->resp.attr);
    gnode_fd_put(a->root);
    l->resp.node = gnode_id(a->root);
    l->resp.count = (a->flags & GOFER_RDONLY ? GP_EXPORT_RDONLY : 0) |
                    (a->flags & GOFER_HOST_UDS ? GP_EXPORT_UDS : 0);
    return r;
}

static int op_forget(struct lane *l)
{
    for (u32 i = 0; i < l->req.nids; i++)
        gnode_forget(l->req.ids[i]);
    return 0;
}

/* The target of a symbolic link, if the lane has space left for it. */
static struct wire_bytes link_target(struct lane *l, int dirfd, const char *name)
{
    char *p = l->links + l->links_size;
    size_t space = LINK_SPACE - l->links_size;
    s64 n = space > 1 ? host_readlinkat(dirfd, name, p, space - 1) : -1;
    if (n <= 0 || (size_t)n >= space - 1 || n > (s64)GP_MAX_TARGET)
        return (struct wire_bytes){"", 0};
    l->links_size += (u32)n;
    return (struct wire_bytes){p, (u32)n};
}

static int stat_found(struct lane *l, const struct obj *dir, const char *name, struct gp_found *f,
                      struct statx *sx)
{
    f->node = 0;
    f->target = (struct wire_bytes){"", 0};
    f->err = gobj_stat_child(dir, name, sx, &f->attr);
    if (f->err == 0 && S_ISLNK(sx->stx_mode))
        f->target = link_target(l, dir->fd, name);
    return f->err;
}

/* A read fd of a file just looked at, as a gift: what cannot be had is left out. */
static void donate_read_fd(struct lane *l, const struct obj *dir, const char *name,
                           const struct gp_found *f)
{
    struct statx sx;
    if (f->attr.flags & GP_A_MASKED)
        return;
    int fd = gofer_open_below(dir->a, dir->fd, name, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
    if (fd < 0)
        return;
    if (host_fstatx(fd, STATX_TYPE | STATX_INO, &sx) == 0 && S_ISREG(sx.stx_mode) &&
        sx.stx_ino == f->attr.ino)
        l->fds[l->nfds++] = fd;
    else
        host_close(fd);
}

static int op_walk(struct lane *l)
{
    struct obj dir;
    struct statx sx;
    int r = gobj_get(l->req.node, l->req.names[0], &dir);
    for (u32 i = 0; r == 0 && i < l->req.nnames; i++) {
        const char *name = l->req.names[i].p;
        struct gp_found *f = &l->resp.found[i];
        r = stat_found(l, &dir, name, f, &sx);
        if (r < 0)
            break;
        l->resp.nattrs = i + 1;
        if (S_ISREG(sx.stx_mode) && (l->req.flags & GP_W_OPEN) && i + 1 == l->req.nnames)
            donate_read_fd(l, &dir, name, f);
        if (!S_ISDIR(sx.stx_mode))
            break;
        struct node *child = gnode_new(dir.n, name, &sx, -1, dir.n->attach);
        if (!child) {
            r = -LX_ENFILE;
            l->resp.nattrs = i;
            break;
        }
        child->is_masked = f->attr.flags & GP_A_MASKED;
        f->node = gnode_id(child);
        if (i + 1 == l->req.nnames || child->is_masked) {
            gnode_put(child);
            break;
        }
        const struct attach *a = dir.a;
        gobj_done(&dir);
        dir = (struct obj){.n = child, .a = a, .fd = gnode_fd_get(child)};
        r = dir.fd < 0 ? dir.fd : 0;
    }
    gobj_done(&dir);
    return r;
}

static int op_stats(struct lane *l)
{
    struct obj dir;
    struct statx sx;
    int r = gobj_get(l->req.node, l->req.names[0], &dir);
    if (r == 0) {
        for (u32 i = 0; i < l->req.nnames; i++)
            (void)stat_found(l, &dir, l->req.names[i].p, &l->resp.found[i], &sx);
        l->resp.nattrs = l->req.nnames;
    }
    gobj_done(&dir);
    return r;
}

static int op_getattr(struct lane *l)
{
    struct obj o;
    struct statx sx;
    int r = gobj_get(l->req.node, l->req.name, &o);
    if (r == 0)
        r = gobj_stat(&o, &sx, &l->resp.attr);
    gobj_done(&o);
    return r;
}

/* Gives the answer an id for the object of an open fd; a directory's fd is kept with it. */
static int answer_node(struct lane *l, const struct obj *o, const struct statx *sx, int fd)
{
    if (!o->name) {
        l->resp.node = gnode_id(o->n);
        host_close(fd);
        return 0;
    }
    struct node *n = gnode_new(o->n, o->name, sx, fd, o->n->attach);
    l->resp.node = gnode_id(n);
    gnode_put(n);
    return n ? 0 : -LX_ENFILE;
}

static int open_flags(const struct obj *o, u32 flags, u64 *ret)
{
    u32 rw = flags & (GP_O_READ | GP_O_WRITE);
    if ((flags & (GP_O_WRITE | GP_O_TRUNC)) && (o->a->flags & GOFER_RDONLY))
        return -LX_EROFS;
    if (rw == 0 || ((flags & GP_O_TRUNC) && !(rw & GP_O_WRITE)))
        return -LX_EINVAL;
    *ret = rw == GP_O_READ ? O_RDONLY : rw == GP_O_WRITE ? O_WRONLY : O_RDWR;
    if (flags & GP_O_TRUNC)
        *ret |= O_TRUNC;
    if (flags & GP_O_DIRECT)
        *ret |= O_DIRECT;
    if (flags & GP_O_DIR)
        *ret |= O_DIRECTORY;
    return 0;
}

static int do_open(struct lane *l, const struct obj *o)
{
    struct statx sx;
    u64 flags;
    int r = open_flags(o, l->req.flags, &flags);
    if (r < 0)
        return r;
    if (o->n->is_masked && !o->name)
        return -LX_EACCES;
    int fd = gobj_open(o, flags);
    if (fd < 0)
        return fd;
    r = host_fstatx(fd, STATX_WANT, &sx);
    if (r == 0 && S_ISDIR(sx.stx_mode) && !(l->req.flags & GP_O_DIR))
        r = -LX_EISDIR;
    /* A directory's fd lets the Sentry look by itself: never into what is withheld. */
    if (r == 0 && (l->req.flags & GP_O_DIR) && o->name && is_withheld(o, o->name, &sx))
        r = -LX_EACCES;
    if (r == 0) {
        gp_attr_from_statx(&l->resp.attr, &sx);
        if (l->req.flags & GP_O_NODE)
            r = answer_node(l, o, &sx, -1);
    }
    if (r < 0) {
        host_close(fd);
        return r;
    }
    l->fds[l->nfds++] = fd;
    return 0;
}

/* What the Sentry expects to be opened next. */
static void donate_others(struct lane *l)
{
    for (u32 i = 0; i < l->req.nnames && l->nfds < GP_MAX_FDS; i++) {
        struct obj o;
        struct statx sx;
        struct gp_found f;
        if (gobj_get(l->req.ids[i], l->req.names[i], &o) == 0 && gobj_stat(&o, &sx, &f.attr) == 0 &&
            S_ISREG(sx.stx_mode))
            donate_read_fd(l, &o, o.name, &f);
        gobj_done(&o);
    }
}

static int op_open(struct lane *l)
{
    struct obj o;
    int r = gobj_get(l->req.node, l->req.name, &o);
    if (r == 0)
        r = do_open(l, &o);
    gobj_done(&o);
    if (r == 0)
        donate_others(l);
    return r;
}

static int op_readlink(struct lane *l)
{
    struct obj o;
    int r = gobj_get(l->req.node, l->req.name, &o);
    if (r == 0) {
        s64 n = host_readlinkat(o.fd, o.name ? o.name : "", l->list, GP_MAX_TARGET + 1);
        if (n <= 0 || n > (s64)GP_MAX_TARGET)
            r = n < 0 ? (int)n : -LX_ENAMETOOLONG;
        else
            l->resp.data = (struct wire_bytes){l->list, (u32)n};
    }
    gobj_done(&o);
    return r;
}

static int op_statfs(struct lane *l)
{
    struct obj o;
    struct statfs sf;
    int r = gobj_get(l->req.node, (struct wire_bytes){"", 0}, &o);
    if (r == 0)
        r = host_fstatfs(o.fd, &sf);
    if (r == 0) {
        l->resp.statfs = (struct gp_statfs){
            .type = (u32)sf.f_type,
            .bsize = (u64)sf.f_bsize,
            .blocks = sf.f_blocks,
            .bfree = sf.f_bfree,
            .bavail = sf.f_bavail,
            .files = sf.f_files,
            .ffree = sf.f_ffree,
            .namelen = (u64)sf.f_namelen,
            .frsize = (u64)sf.f_frsize,
            .flags = (u64)sf.f_flags,
        };
    }
    gobj_done(&o);
    return r;
}

static int op_fsync(struct lane *l)
{
    struct obj o;
    int r = gobj_get_rw(l->req.node, l->req.name, &o);
    if (r == 0) {
        int fd = gobj_open(&o, O_RDONLY);
        r = fd < 0 ? fd : host_fsync(fd, l->req.flags & 1);
        host_close(fd);
    }
    gobj_done(&o);
    return r;
}

static int op_syncfs(struct lane *l)
{
    struct obj o;
    int r = gobj_get_rw(l->req.node, (struct wire_bytes){"", 0}, &o);
    if (r == 0) {
        int fd = gobj_open(&o, O_RDONLY);
        r = fd < 0 ? fd : host_syncfs(fd);
        host_close(fd);
    }
    gobj_done(&o);
    return r;
}

/* ---- dispatch ------------------------------------------------------------------------------ */

static const gofer_op_fn op_table[GP_NOPS] = {
    [GP_ATTACH] = op_attach,
    [GP_FORGET] = op_forget,
    [GP_WALK] = op_walk,
    [GP_STATS] = op_stats,
    [GP_GETATTR] = op_getattr,
    [GP_READDIR] = serve_readdir,
    [GP_OPEN] = op_open,
    [GP_CREATE] = serve_create,
    [GP_MKDIR] = serve_mkdir,
    [GP_MKNOD] = serve_mknod,
    [GP_SYMLINK] = serve_symlink,
    [GP_LINK] = serve_link,
    [GP_UNLINK] = serve_unlink,
    [GP_RENAME] = serve_rename,
    [GP_SETATTR] = serve_setattr,
    [GP_STATFS] = op_statfs,
    [GP_READLINK] = op_readlink,
    [GP_GETXATTR] = serve_getxattr,
    [GP_SETXATTR] = serve_setxattr,
    [GP_LISTXATTR] = serve_listxattr,
    [GP_REMOVEXATTR] = serve_removexattr,
    [GP_TMPFILE] = serve_tmpfile,
    [GP_FSYNC] = op_fsync,
    [GP_SYNCFS] = op_syncfs,
    [GP_CONNECT] = serve_connect,
};

size_t gofer_serve(struct lane *l, size_t size)
{
    l->nfds = 0;
    l->links_size = 0;
    if (!gp_req_decode(l->in, size, &l->req)) {
        log_warn("malformed request (%zu bytes, op %s): hanging up", size, gp_op_name(l->req.op));
        return 0;
    }
    memset(&l->resp, 0, offsetof(struct gp_resp, found));
    int r = op_table[l->req.op](l);
    l->resp.op = l->req.op;
    l->resp.seq = l->req.seq;
    l->resp.err = r < 0 ? r : 0;
    l->resp.nfds = (u16)l->nfds;
    log_debug("%s node %llx name %.*s: %d", gp_op_name(l->req.op), (unsigned long long)l->req.node,
              (int)l->req.name.size, l->req.name.p ? l->req.name.p : "", r);
    size_t n = gp_resp_encode(&l->resp, l->out, sizeof(l->out));
    if (n == 0) { /* links that were long: without them it fits */
        for (u32 i = 0; i < l->resp.nattrs; i++)
            l->resp.found[i].target = (struct wire_bytes){"", 0};
        n = gp_resp_encode(&l->resp, l->out, sizeof(l->out));
    }
    return n;
}
