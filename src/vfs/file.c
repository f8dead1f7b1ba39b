/*
 * Open files, the mappable that VMAs see of them, and fs contexts (root, cwd, umask).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "vfs/fcntl_ext.h"
#include "vfs/file.h"
#include "vfs/internal.h"
#include "vfs/locks.h"
#include "vfs/special.h"
#include "vfs/vfs.h"

/* ---- what can be mapped -------------------------------------------------------------------- */

static int map_host_fd(struct mappable *m, u64 offset, u64 size, bool is_writable_shared,
                       int *ret_fd, u64 *ret_offset)
{
    struct file *f = file_of_mappable(m);
    if (!f->ops->host_fd)
        return -LX_ENODEV;
    return f->ops->host_fd(f, offset, size, is_writable_shared, ret_fd, ret_offset);
}

static void map_get(struct mappable *m)
{
    file_get(file_of_mappable(m));
}

static void map_put(struct mappable *m)
{
    file_put(file_of_mappable(m));
}

static void map_describe(struct mappable *m, char *buf, size_t size, u64 *ret_dev, u64 *ret_ino)
{
    struct file *f = file_of_mappable(m);
    struct path root = {0};
    struct kstat st;
    if (vfs_current)
        fs_ctx_root(vfs_current->fs, &root);
    s64 n = vfs_path_string_any(&f->path, root.mnt ? &root : NULL, buf, size);
    path_put(&root);
    if (n < 0 && size > 0)
        buf[0] = '\0';
    *ret_dev = f->inode->sb->dev;
    *ret_ino = f->inode->ino;
    if (!(f->inode->sb->flags & SB_SERVED) && vfs_stat(&f->path, &st) == 0) {
        *ret_dev = st.dev;
        *ret_ino = st.ino;
    }
}

static int map_sync(struct mappable *m, u64 offset, u64 size)
{
    struct file *f = file_of_mappable(m);
    return f->ops->fsync ? f->ops->fsync(f, true) : 0;
}

/* An executable cannot be written while an mm runs it. */
static int map_deny_write(struct mappable *m)
{
    return inode_deny_write(file_of_mappable(m)->inode);
}

static void map_allow_write(struct mappable *m)
{
    inode_allow_write(file_of_mappable(m)->inode);
}

static int map_vma_opened(struct mappable *m, bool is_writable_shared)
{
    struct file *f = file_of_mappable(m);
    return f->ops->vma_opened ? f->ops->vma_opened(f, is_writable_shared) : 0;
}

static void map_vma_closed(struct mappable *m, bool is_writable_shared)
{
    struct file *f = file_of_mappable(m);
    if (f->ops->vma_closed)
        f->ops->vma_closed(f, is_writable_shared);
}

static int map_punch(struct mappable *m, u64 offset, u64 size)
{
    return vfs_fallocate(file_of_mappable(m), LX_FALLOC_FL_PUNCH_HOLE | LX_FALLOC_FL_KEEP_SIZE,
                         (s64)offset, (s64)size);
}

const struct mappable_ops file_mappable_ops = {
    .host_fd = map_host_fd,
    .get = map_get,
    .put = map_put,
    .describe = map_describe,
    .sync = map_sync,
    .vma_opened = map_vma_opened,
    .vma_closed = map_vma_closed,
    .deny_write = map_deny_write,
    .allow_write = map_allow_write,
    .punch = map_punch,
};

static int reopen_by_proc(int fd)
{
    char name[32];
    snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
    int ro = open(name, O_RDONLY | O_CLOEXEC);
    return ro < 0 ? -errno : ro;
}

int (*vfs_host_reopen_ro)(int fd) = reopen_by_proc;

/* ---- files --------------------------------------------------------------------------------- */

static const struct file_ops path_fops; /* O_PATH: nothing works */

/* path is consumed, also on failure. */
static struct file *file_alloc(struct path *p, u32 flags, u32 fmode)
{
    struct file *f = calloc(1, sizeof(*f));
    if (!f) {
        path_put(p);
        return NULL;
    }
    ref_init(&f->ref);
    f->path = *p;
    f->inode = p->dentry->inode;
    *p = (struct path){0};
    inode_get(f->inode);
    f->mode = fmode;
    f->flags = flags;
    mutex_init(&f->pos_lock, "file_pos");
    f->cred = vfs_cred();
    cred_get(f->cred);
    f->map.ops = &file_mappable_ops;
    list_init(&f->epoll_items);
    return f;
}

static void file_free(struct epoch_node *n)
{
    free(container_of(n, struct file, rcu));
}

/* Gives back what file_alloc and the write counts took. */
static void file_discard(struct file *f)
{
    if (f->mode & FMODE_WROTE) {
        inode_put_write(f->inode);
        atomic_fetch_sub(&f->path.mnt->nwriters, 1);
    }
    inode_put(f->inode);
    path_put(&f->path);
    cred_put(f->cred);
    epoch_defer(&f->rcu, file_free);
}

void file_get(struct file *f)
{
    ref_get(&f->ref);
}

void file_put(struct file *f)
{
    if (!f || !ref_put(&f->ref))
        return;
    if (!(f->mode & (FMODE_PATH | FMODE_NOTIFY_OFF)))
        vfs_notify(f->path.dentry, f->mode & FMODE_WRITE ? LX_IN_CLOSE_WRITE : LX_IN_CLOSE_NOWRITE);
    if (!list_empty(&f->epoll_items) && vfs_epoll_release)
        vfs_epoll_release(f);
    if (f->inode->locks)
        locks_release_file(f);
    if (f->fasync)
        fasync_release(f);
    if (f->ops->release)
        f->ops->release(f);
    file_discard(f);
}

/* FMODE_LSEEK and FMODE_PREAD go by the operations that open left. */
static void set_seek_mode(struct file *f)
{
    if (f->ops->seek)
        f->mode |= FMODE_LSEEK | FMODE_PREAD;
    else
        f->mode |= FMODE_STREAM;
}

static u32 access_mode(u32 flags)
{
    switch (flags & LX_O_ACCMODE) {
    case LX_O_RDONLY:
        return FMODE_READ;
    case LX_O_WRONLY:
        return FMODE_WRITE;
    case LX_O_RDWR:
        return FMODE_READ | FMODE_WRITE;
    default:
        return 0;
    }
}

int file_open_path(const struct path *p, u32 flags, struct file **ret_f)
{
    struct path own = *p;
    struct inode *i = p->dentry->inode;
    u32 trunc = flags & LX_O_TRUNC ? FMODE_TRUNC : 0;
    path_get(&own);
    flags &= ~(u32)(LX_O_CREAT | LX_O_EXCL | LX_O_TRUNC | LX_O_CLOEXEC);
    if (flags & LX_O_PATH) {
        struct file *f =
            file_alloc(&own, flags & (LX_O_PATH | LX_O_DIRECTORY | LX_O_NOFOLLOW), FMODE_PATH);
        if (!f)
            return -LX_ENOMEM;
        f->ops = &path_fops;
        *ret_f = f;
        return 0;
    }
    struct file *f = file_alloc(&own, flags, access_mode(flags) | trunc);
    if (!f)
        return -LX_ENOMEM;
    f->ops = i->fops ? i->fops : special_fops(i->mode);
    int r = 0;
    if (!f->ops || (!f->ops->open && dentry_is_anon(p->dentry)))
        r = -LX_ENXIO; /* as /proc/self/fd/N of an eventfd */
    if (r == 0 && (flags & LX_O_DIRECT) && !mode_is_reg(i->mode))
        r = -LX_EINVAL;
    if (r == 0 && (f->mode & FMODE_WRITE) && mode_is_reg(i->mode)) {
        r = mount_want_write(f->path.mnt);
        if (r == 0)
            r = inode_get_write(i);
        if (r == 0) {
            f->mode |= FMODE_WROTE;
            atomic_fetch_add(&f->path.mnt->nwriters, 1);
        }
    }
    if (r == 0 && f->ops->open)
        r = f->ops->open(i, f);
    if (r < 0) {
        file_discard(f);
        return r;
    }
    atomic_fetch_and(&f->flags, ~(u32)LX_O_NOCTTY); /* shown to open alone */
    set_seek_mode(f);
    vfs_notify(f->path.dentry, LX_IN_OPEN);
    *ret_f = f;
    return 0;
}

int file_new_at(struct path *p, const struct file_ops *ops, void *priv, u32 flags, u32 fmode,
                struct file **ret_f)
{
    struct file *f = file_alloc(p, flags & ~(u32)LX_O_CLOEXEC, fmode);
    if (!f)
        return -LX_ENOMEM;
    f->ops = ops;
    f->priv = priv;
    if (!(fmode & FMODE_STREAM))
        set_seek_mode(f);
    *ret_f = f;
    return 0;
}

/* ---- fs contexts --------------------------------------------------------------------------- */

static struct mutex all_fs_lock = MUTEX_INIT("fs_ctx_all");
static struct list all_fs = LIST_INIT(all_fs); /* guarded by all_fs_lock */

struct fs_ctx *fs_ctx_new(const struct path *root, const struct path *cwd, u32 umask)
{
    struct fs_ctx *fs = calloc(1, sizeof(*fs));
    if (!fs)
        return NULL;
    ref_init(&fs->ref);
    mutex_init(&fs->lock, "fs_ctx");
    fs->root = *root;
    fs->cwd = *cwd;
    path_get(root);
    path_get(cwd);
    fs->umask = umask;
    MUTEX_GUARD(&all_fs_lock);
    list_add_tail(&all_fs, &fs->node);
    return fs;
}

struct fs_ctx *fs_ctx_copy(struct fs_ctx *fs)
{
    struct path root, cwd;
    fs_ctx_root(fs, &root);
    fs_ctx_cwd(fs, &cwd);
    struct fs_ctx *copy = fs_ctx_new(&root, &cwd, fs->umask);
    path_put(&root);
    path_put(&cwd);
    return copy;
}

void fs_ctx_get(struct fs_ctx *fs)
{
    ref_get(&fs->ref);
}

void fs_ctx_put(struct fs_ctx *fs)
{
    if (!fs || !ref_put(&fs->ref))
        return;
    mutex_lock(&all_fs_lock);
    list_del(&fs->node);
    mutex_unlock(&all_fs_lock);
    path_put(&fs->root);
    path_put(&fs->cwd);
    free(fs);
}

void fs_ctx_root(struct fs_ctx *fs, struct path *ret)
{
    MUTEX_GUARD(&fs->lock);
    *ret = fs->root;
    path_get(ret);
}

void fs_ctx_cwd(struct fs_ctx *fs, struct path *ret)
{
    MUTEX_GUARD(&fs->lock);
    *ret = fs->cwd;
    path_get(ret);
}

static void set_path(struct fs_ctx *fs, struct path *field, const struct path *p)
{
    struct path old;
    path_get(p);
    mutex_lock(&fs->lock);
    old = *field;
    *field = *p;
    mutex_unlock(&fs->lock);
    path_put(&old);
}

void fs_ctx_set_root(struct fs_ctx *fs, const struct path *p)
{
    set_path(fs, &fs->root, p);
}

void fs_ctx_set_cwd(struct fs_ctx *fs, const struct path *p)
{
    set_path(fs, &fs->cwd, p);
}

void fs_ctx_replace_roots(const struct path *from, const struct path *to)
{
    struct fs_ctx *fs;
    u32 nreplaced = 0;
    mutex_lock(&all_fs_lock);
    list_for_each (fs, &all_fs, node) {
        mutex_lock(&fs->lock);
        for (int k = 0; k < 2; k++) {
            struct path *p = k ? &fs->cwd : &fs->root;
            if (p->mnt != from->mnt || p->dentry != from->dentry)
                continue;
            path_get(to);
            *p = *to;
            nreplaced++;
        }
        mutex_unlock(&fs->lock);
    }
    mutex_unlock(&all_fs_lock);
    while (nreplaced-- > 0) {
        struct path old = *from; /* each place held one reference */
        path_put(&old);
    }
}
