/* /proc/PID/fd and fdinfo: what a process has open. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "procfs/pid.h"

/* A file of the process, referenced; NULL: no such descriptor, or no such process. */
static struct file *file_of(const struct pinode *pi, int fd)
{
    struct task *t = pinode_task(pi);
    struct fdtable *ft = t ? task_get_files(t) : NULL;
    struct file *f = ft ? fdtable_get(ft, fd) : NULL;
    if (ft)
        fdtable_put(ft);
    task_put(t);
    return f;
}

/* ---- entries ----------------------------------------------------------------------------------- */

static s64 fd_readlink(const struct pinode *pi, char *buf, size_t size)
{
    struct file *f = file_of(pi, pi->nr);
    if (!f)
        return -LX_ENOENT;
    s64 n = path_as_seen(&f->path, buf, size);
    file_put(f);
    return n;
}

static int fd_follow(const struct pinode *pi, struct path *ret_path)
{
    struct file *f = file_of(pi, pi->nr);
    if (!f)
        return -LX_ENOENT;
    *ret_path = f->path;
    path_get(ret_path);
    file_put(f);
    return 0;
}

static int show_fdinfo(struct seq *s, const struct pinode *pi)
{
    char extra[2048] = "";
    struct task *t = pinode_task(pi);
    struct fdtable *ft = t ? task_get_files(t) : NULL;
    struct file *f = ft ? fdtable_get(ft, pi->nr) : NULL;
    int is_cloexec = f ? fdtable_cloexec(ft, pi->nr, -1) : 0;
    if (ft)
        fdtable_put(ft);
    task_put(t);
    if (!f)
        return -LX_ENOENT;
    u32 flags = atomic_load(&f->flags) | (is_cloexec > 0 ? LX_O_CLOEXEC : 0);
    s64 pos = __atomic_load_n(&f->pos, __ATOMIC_RELAXED); /* no lock: it may be the file that we are read through */
    seq_printf(s, "pos:\t%lld\nflags:\t0%o\nmnt_id:\t%d\nino:\t%llu\n", (long long)pos, flags,
               f->path.mnt->id, (unsigned long long)f->inode->ino);
    if (f->ops->show_fdinfo)
        f->ops->show_fdinfo(f, extra, sizeof(extra));
    extra[sizeof(extra) - 1] = 0;
    seq_puts(s, extra);
    file_put(f);
    return 0;
}

static const struct pnode fd_node = {
    .name = "fd", .mode = LX_S_IFLNK, .readlink = fd_readlink, .follow = fd_follow, .size = 64};
static const struct pnode fdinfo_node = {.name = "fdinfo", .mode = LX_S_IFREG | 0444, .show = show_fdinfo};

/* ---- the directories ---------------------------------------------------------------------------- */

static bool is_fd_dir(const struct pinode *pi)
{
    return pi->node->arg != NULL;
}

static int fd_lookup(struct inode *dir, struct dentry *d)
{
    const struct pinode *pi = pinode_of(dir);
    s64 fd = parse_pid(d->name, d->name_size);
    struct file *f = fd >= 0 ? file_of(pi, (int)fd) : NULL;
    if (!f)
        return -LX_ENOENT;
    const struct pnode *n = is_fd_dir(pi) ? &fd_node : &fdinfo_node;
    struct inode *i = pnode_inode(dir->sb, n, pi->pid, pi->is_thread, (s32)fd);
    if (i && is_fd_dir(pi))
        i->mode = LX_S_IFLNK | (f->mode & FMODE_READ ? 0500 : 0) | (f->mode & FMODE_WRITE ? 0300 : 0);
    file_put(f);
    if (!i)
        return -LX_ENOMEM;
    dentry_instantiate(d, i);
    return 0;
}

static int fd_readdir(struct file *f, struct dir_ctx *ctx)
{
    const struct pinode *pi = pinode_of(f->inode);
    const struct pnode *n = is_fd_dir(pi) ? &fd_node : &fdinfo_node;
    struct task *t = pinode_task(pi);
    if (!t)
        return -LX_ENOENT;
    if (f->pos < 2 && !pnode_emit_fixed(f, ctx, pi->is_thread)) {
        task_put(t);
        return 0;
    }
    struct fdtable *ft = task_get_files(t);
    int fd;
    while (ft && f->pos - 2 <= INT32_MAX && (fd = fdtable_next(ft, (int)(f->pos - 2))) >= 0) {
        char name[16];
        int size = snprintf(name, sizeof(name), "%d", fd);
        if (!ctx->emit(ctx, name, (size_t)size, pnode_ino(n, pi->pid, pi->is_thread, fd),
                       (n->mode & LX_S_IFMT) >> 12, (s64)fd + 3))
            break;
        f->pos = (s64)fd + 3;
    }
    if (ft)
        fdtable_put(ft);
    task_put(t);
    return 0;
}

/* A process may always look into its own, also when it is not dumpable. */
static int fd_permission(struct inode *i, u32 mask)
{
    int r = inode_generic_permission(i, mask);
    if (r == 0)
        return 0;
    struct task *t = pinode_task(pinode_of(i)), *self = task_current();
    if (t && self && t->tg == self->tg)
        r = 0;
    task_put(t);
    return r;
}

/* The size is the number of open files, since Linux 6.2. */
static int fd_getattr(struct inode *i, struct kstat *st)
{
    const struct pinode *pi = pinode_of(i);
    inode_fill_stat(i, st);
    if (!is_fd_dir(pi))
        return 0;
    struct task *t = pinode_task(pi);
    struct fdtable *ft = t ? task_get_files(t) : NULL;
    for (int fd = 0; ft && (fd = fdtable_next(ft, fd)) >= 0; fd++)
        st->size++;
    if (ft)
        fdtable_put(ft);
    task_put(t);
    return 0;
}

const struct inode_ops fd_dir_iops = {.lookup = fd_lookup,
                                      .permission = fd_permission,
                                      .getattr = fd_getattr,
                                      .setattr = pnode_setattr};
const struct file_ops fd_dir_fops = {.readdir = fd_readdir, .seek = pdir_seek};
