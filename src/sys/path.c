/* Handlers: directories, names, links, the working directory. */
#include <stdlib.h>
#include <string.h>

#include "abi/sched.h"
#include "sys/fsutil.h"
#include "sys/sys.h"

/* ---- making and removing names ------------------------------------------------------------- */

static s64 do_mkdir(int dirfd, u64 name, u32 mode)
{
    char buf[MAX_PATH];
    int r = fs_copy_path(buf, uaddr(name));
    return r < 0 ? r : vfs_mkdir(dirfd, buf, mode);
}

s64 sys_mkdir(struct task *t, const u64 a[6])
{
    return do_mkdir(LX_AT_FDCWD, a[0], (u32)a[1]);
}

s64 sys_mkdirat(struct task *t, const u64 a[6])
{
    return do_mkdir((int)a[0], a[1], (u32)a[2]);
}

static s64 do_mknod(int dirfd, u64 name, u32 mode, u64 dev)
{
    char buf[MAX_PATH];
    int r = fs_copy_path(buf, uaddr(name));
    return r < 0 ? r : vfs_mknod(dirfd, buf, mode, (u32)dev);
}

s64 sys_mknod(struct task *t, const u64 a[6])
{
    return do_mknod(LX_AT_FDCWD, a[0], (u32)a[1], a[2]);
}

s64 sys_mknodat(struct task *t, const u64 a[6])
{
    return do_mknod((int)a[0], a[1], (u32)a[2], a[3]);
}

static s64 do_unlink(int dirfd, u64 name, u32 flags)
{
    char buf[MAX_PATH];
    if (flags & ~(u32)LX_AT_REMOVEDIR)
        return -LX_EINVAL;
    int r = fs_copy_path(buf, uaddr(name));
    if (r < 0)
        return r;
    return flags & LX_AT_REMOVEDIR ? vfs_rmdir(dirfd, buf) : vfs_unlink(dirfd, buf);
}

s64 sys_rmdir(struct task *t, const u64 a[6])
{
    return do_unlink(LX_AT_FDCWD, a[0], LX_AT_REMOVEDIR);
}

s64 sys_unlink(struct task *t, const u64 a[6])
{
    return do_unlink(LX_AT_FDCWD, a[0], 0);
}

s64 sys_unlinkat(struct task *t, const u64 a[6])
{
    return do_unlink((int)a[0], a[1], (u32)a[2]);
}

static s64 do_rename(int odfd, u64 oname, int ndfd, u64 nname, u32 flags)
{
    char obuf[MAX_PATH], nbuf[MAX_PATH];
    int r = fs_copy_path(obuf, uaddr(oname));
    if (r == 0)
        r = fs_copy_path(nbuf, uaddr(nname));
    return r < 0 ? r : vfs_rename(odfd, obuf, ndfd, nbuf, flags);
}

s64 sys_rename(struct task *t, const u64 a[6])
{
    return do_rename(LX_AT_FDCWD, a[0], LX_AT_FDCWD, a[1], 0);
}

s64 sys_renameat(struct task *t, const u64 a[6])
{
    return do_rename((int)a[0], a[1], (int)a[2], a[3], 0);
}

s64 sys_renameat2(struct task *t, const u64 a[6])
{
    return do_rename((int)a[0], a[1], (int)a[2], a[3], (u32)a[4]);
}

static s64 do_link(int odfd, u64 oname, int ndfd, u64 nname, u32 flags)
{
    char obuf[MAX_PATH], nbuf[MAX_PATH];
    int r = fs_copy_path(obuf, uaddr(oname));
    if (r == 0)
        r = fs_copy_path(nbuf, uaddr(nname));
    return r < 0 ? r : vfs_link(odfd, obuf, ndfd, nbuf, flags);
}

s64 sys_link(struct task *t, const u64 a[6])
{
    return do_link(LX_AT_FDCWD, a[0], LX_AT_FDCWD, a[1], 0);
}

s64 sys_linkat(struct task *t, const u64 a[6])
{
    return do_link((int)a[0], a[1], (int)a[2], a[3], (u32)a[4]);
}

static s64 do_symlink(u64 target, int dirfd, u64 name)
{
    char tbuf[MAX_PATH], nbuf[MAX_PATH];
    int r = fs_copy_path(tbuf, uaddr(target));
    if (r == 0)
        r = fs_copy_path(nbuf, uaddr(name));
    return r < 0 ? r : vfs_symlink(tbuf, dirfd, nbuf);
}

s64 sys_symlink(struct task *t, const u64 a[6])
{
    return do_symlink(a[0], LX_AT_FDCWD, a[1]);
}

s64 sys_symlinkat(struct task *t, const u64 a[6])
{
    return do_symlink(a[0], (int)a[1], a[2]);
}

static s64 do_readlink(int dirfd, u64 name, u64 to, s32 size, bool is_at)
{
    char text[MAX_PATH + 1];
    struct path p;
    if (size <= 0)
        return -LX_EINVAL;
    u32 flags = LX_AT_SYMLINK_NOFOLLOW | (is_at ? LX_AT_EMPTY_PATH : 0);
    if (is_at && !name)
        return -LX_EFAULT;
    int r = fs_walk_at(dirfd, uaddr(name), flags, &p);
    if (r < 0)
        return r;
    bool is_link = (p.dentry->inode->mode & LX_S_IFMT) == LX_S_IFLNK;
    s64 n = is_link ? vfs_readlink(&p, text, MAX_PATH) : -LX_EINVAL;
    path_put(&p);
    if (n < 0)
        return n;
    n = MIN(n, (s64)size);
    return copy_out(uaddr(to), text, (size_t)n) < 0 ? -LX_EFAULT : n;
}

s64 sys_readlink(struct task *t, const u64 a[6])
{
    return do_readlink(LX_AT_FDCWD, a[0], a[1], (s32)a[2], false);
}

s64 sys_readlinkat(struct task *t, const u64 a[6])
{
    return do_readlink((int)a[0], a[1], a[2], (s32)a[3], true);
}

/* ---- reading directories ------------------------------------------------------------------- */

#define GETDENTS_MAX 32768U

struct getdents {
    struct dir_ctx ctx;
    u8 *buf;
    u32 size, used;
    s64 start;         /* where the file stood before */
    bool is_old;       /* getdents(2): the type comes last */
    bool is_too_small; /* not even one entry fits */
};

struct lx_dirent64 {
    u64 d_ino;
    s64 d_off;
    u16 d_reclen;
    u8 d_type;
    char d_name[];
};

static bool emit_entry(struct dir_ctx *c, const char *name, size_t size, u64 ino, u32 type,
                       s64 next_off)
{
    struct getdents *g = container_of(c, struct getdents, ctx);
    size_t head = g->is_old ? 18 : offsetof(struct lx_dirent64, d_name);
    size_t len = (head + size + 1 + (g->is_old ? 1 : 0) + 7) & ~(size_t)7;
    if (g->used + len > g->size) {
        g->is_too_small = g->used == 0;
        return false;
    }
    u8 *p = g->buf + g->used;
    struct lx_dirent64 h = {
        .d_ino = ino, .d_off = next_off, .d_reclen = (u16)len, .d_type = (u8)type};
    memset(p, 0, len);
    memcpy(p, &h, head);
    memcpy(p + head, name, size);
    if (g->is_old)
        p[len - 1] = (u8)type;
    g->used += (u32)len;
    return true;
}

/* The guest's buffer ends in a fault: whole entries before it count, the position goes behind them.
 */
static s64 copy_what_fits(struct file *f, struct getdents *g, uaddr_t to)
{
    u32 at = 0;
    s64 next = -1;
    while (at < g->used) {
        struct lx_dirent64 h;
        memcpy(&h, g->buf + at, offsetof(struct lx_dirent64, d_type));
        if (copy_out(uaddr_add(to, at), g->buf + at, h.d_reclen) < 0)
            break;
        at += h.d_reclen;
        next = h.d_off;
    }
    f->pos = at > 0 ? next : g->start;
    return at > 0 ? (s64)at : -LX_EFAULT;
}

static s64 read_entries(struct file *f, struct getdents *g, uaddr_t to)
{
    if ((f->inode->mode & LX_S_IFMT) != LX_S_IFDIR || !f->ops->readdir)
        return -LX_ENOTDIR;
    if (f->inode->flags & INODE_DEAD)
        return -LX_ENOENT;
    MUTEX_GUARD(&f->pos_lock);
    g->start = f->pos;
    int r = f->ops->readdir(f, &g->ctx);
    vfs_notify(f->path.dentry, LX_IN_ACCESS);
    if (g->used == 0)
        return r < 0 ? r : g->is_too_small ? -LX_EINVAL : 0;
    if (copy_out(to, g->buf, g->used) == 0)
        return g->used;
    return copy_what_fits(f, g, to);
}

static s64 do_getdents(const u64 a[6], bool is_old)
{
    struct file *f cleanup(file_put_p) = fd_get((int)a[0]);
    if (!f)
        return -LX_EBADF;
    if ((s32)a[2] < 0)
        return -LX_EINVAL;
    struct getdents g = {
        .ctx = {.emit = emit_entry}, .size = MIN((u32)a[2], GETDENTS_MAX), .is_old = is_old};
    g.buf = malloc(g.size ? g.size : 1);
    if (!g.buf)
        return -LX_ENOMEM;
    s64 n = read_entries(f, &g, uaddr(a[1]));
    free(g.buf);
    return n;
}

s64 sys_getdents(struct task *t, const u64 a[6])
{
    return do_getdents(a, true);
}

s64 sys_getdents64(struct task *t, const u64 a[6])
{
    return do_getdents(a, false);
}

/* ---- where the task is --------------------------------------------------------------------- */

s64 sys_getcwd(struct task *t, const u64 a[6])
{
    char buf[MAX_PATH];
    struct path root, cwd;
    fs_ctx_root(t->fs, &root);
    fs_ctx_cwd(t->fs, &cwd);
    s64 n = -LX_ENOENT;
    bool is_removed = cwd.dentry->parent != cwd.dentry && !cwd.dentry->is_hashed;
    if (!is_removed)
        n = vfs_path_string(&cwd, &root, buf, sizeof(buf));
    path_put(&root);
    path_put(&cwd);
    if (n < 0)
        return n;
    if ((u64)n + 1 > a[1])
        return -LX_ERANGE;
    return copy_out(uaddr(a[0]), buf, (size_t)n + 1) < 0 ? -LX_EFAULT : n + 1;
}

/* A directory that the task may search. */
static int check_dir(const struct path *p)
{
    struct inode *i = p->dentry->inode;
    if ((i->mode & LX_S_IFMT) != LX_S_IFDIR)
        return -LX_ENOTDIR;
    int r = inode_permission(i, LX_X_OK);
    return r == 0 && i->ops->access ? i->ops->access(i, LX_X_OK) : r;
}

s64 sys_chdir(struct task *t, const u64 a[6])
{
    struct path p;
    int r = vfs_walk_user(LX_AT_FDCWD, uaddr(a[0]), WALK_FOLLOW | WALK_DIRECTORY, &p);
    if (r < 0)
        return r;
    r = check_dir(&p);
    if (r == 0)
        fs_ctx_set_cwd(t->fs, &p);
    path_put(&p);
    return r;
}

s64 sys_fchdir(struct task *t, const u64 a[6])
{
    struct file *f cleanup(file_put_p) = fd_get_raw((int)a[0]);
    if (!f)
        return -LX_EBADF;
    int r = check_dir(&f->path);
    if (r == 0)
        fs_ctx_set_cwd(t->fs, &f->path);
    return r;
}

s64 sys_chroot(struct task *t, const u64 a[6])
{
    struct path p;
    int r = vfs_walk_user(LX_AT_FDCWD, uaddr(a[0]), WALK_FOLLOW | WALK_DIRECTORY, &p);
    if (r < 0)
        return r;
    r = check_dir(&p);
    if (r == 0 && !vfs_ns_capable(LX_CAP_SYS_CHROOT))
        r = -LX_EPERM;
    if (r == 0)
        fs_ctx_set_root(t->fs, &p);
    path_put(&p);
    return r;
}

s64 sys_umask(struct task *t, const u64 a[6])
{
    MUTEX_GUARD(&t->fs->lock);
    u32 old = t->fs->umask;
    t->fs->umask = (u32)a[0] & 0777U;
    return old;
}

/* No file system here gives handles that could be opened later. */
s64 sys_name_to_handle_at(struct task *t, const u64 a[6])
{
    struct path p;
    u32 flags = (u32)a[4];
    if (flags & ~(u32)(LX_AT_SYMLINK_FOLLOW | LX_AT_EMPTY_PATH))
        return -LX_EINVAL;
    u32 at = flags & LX_AT_SYMLINK_FOLLOW ? 0 : LX_AT_SYMLINK_NOFOLLOW;
    int r = fs_walk_at((int)a[0], uaddr(a[1]), at | (flags & LX_AT_EMPTY_PATH), &p);
    if (r < 0)
        return r;
    path_put(&p);
    return -LX_EOPNOTSUPP;
}
