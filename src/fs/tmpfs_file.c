/*
 * tmpfs files: the operations of open files, seals, and memfds (files of an internal tmpfs
 * mount that no namespace shows).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/tmpfs_int.h"
#include "vfs/file.h"

#define F_SEAL_EXEC      0x20U
#define SEALS_WRITE      (LX_F_SEAL_WRITE | LX_F_SEAL_FUTURE_WRITE)
#define MFD_NOEXEC_SEAL_ 8U

static struct tmpfs_data *data_of(const struct inode *i)
{
    return &tmpfs_node(i)->data;
}

static s64 file_read(struct file *f, struct uio *to, s64 *off)
{
    struct inode *i = f->inode;
    s64 n = tmpfs_data_read(data_of(i), atomic_load(&i->size), (u64)*off, to);
    if (n >= 0)
        file_accessed(f);
    if (n > 0)
        *off += n;
    return n;
}

static s64 file_write(struct file *f, struct uio *from, s64 *off)
{
    struct inode *i = f->inode;
    struct tmpfs_node *t = tmpfs_node(i);
    if (from->left == 0)
        return 0;
    MUTEX_GUARD(&i->lock);
    u64 size = atomic_load(&i->size), pos = file_io_flags(f) & LX_O_APPEND ? size : (u64)*off;
    if (t->seals & SEALS_WRITE)
        return -LX_EPERM;
    u64 end;
    if (add_overflows(pos, from->left, &end) || end > INT64_MAX)
        return -LX_EFBIG;
    if (end > size && (t->seals & LX_F_SEAL_GROW))
        return -LX_EPERM;
    s64 n = tmpfs_data_write(&t->data, tmpfs_sb(i->sb), pos, from);
    if (n <= 0)
        return n;
    if (pos + (u64)n > size)
        atomic_store(&i->size, pos + (u64)n);
    inode_touch(i, false, true, true);
    *off = (s64)pos + n;
    return n;
}

static s64 file_seek(struct file *f, s64 off, int whence)
{
    struct inode *i = f->inode;
    u64 size = atomic_load(&i->size);
    if (whence != LX_SEEK_DATA && whence != LX_SEEK_HOLE)
        return generic_seek(f, off, whence);
    if (off < 0 || (u64)off >= size)
        return -LX_ENXIO;
    s64 r = tmpfs_data_seek(data_of(i), size, (u64)off, whence == LX_SEEK_HOLE);
    if (r >= 0)
        f->pos = r;
    return r;
}

static int file_mmap(struct file *f, u32 prot, u32 flags)
{
    struct inode *i = f->inode;
    struct tmpfs_node *t = tmpfs_node(i);
    bool is_shared = (flags & LX_MAP_TYPE) != LX_MAP_PRIVATE;
    if (is_shared && (prot & LX_PROT_WRITE) && (t->seals & SEALS_WRITE))
        return -LX_EPERM;
    MUTEX_GUARD(&i->lock);
    file_accessed(f);
    return tmpfs_data_promote(&t->data, atomic_load(&i->size));
}

/* Promotion has been done by mmap; here only for callers inside the Sentry that map without it. */
static int file_host_fd(struct file *f, u64 offset, u64 size, bool is_writable_shared, int *ret_fd,
                        u64 *ret_offset)
{
    struct inode *i = f->inode;
    struct tmpfs_data *d = data_of(i);
    if (atomic_load(&d->memfd) < 0) {
        MUTEX_GUARD(&i->lock);
        int r = tmpfs_data_promote(d, atomic_load(&i->size));
        if (r < 0)
            return r;
    }
    *ret_fd = is_writable_shared ? atomic_load(&d->memfd) : d->memfd_ro;
    *ret_offset = offset;
    return 0;
}

static int file_stable_fd(struct file *f, int *ret_fd)
{
    u64 offset;
    return file_host_fd(f, 0, atomic_load(&f->inode->size), false, ret_fd, &offset);
}

static int file_vma_opened(struct file *f, bool is_writable_shared)
{
    struct tmpfs_node *t = tmpfs_node(f->inode);
    if (!is_writable_shared)
        return 0;
    atomic_fetch_add(&t->nwritable_maps, 1);
    if (t->seals & LX_F_SEAL_WRITE) {
        atomic_fetch_sub(&t->nwritable_maps, 1);
        return -LX_EPERM;
    }
    return 0;
}

static void file_vma_closed(struct file *f, bool is_writable_shared)
{
    if (is_writable_shared)
        atomic_fetch_sub(&tmpfs_node(f->inode)->nwritable_maps, 1);
}

static int file_fsync(struct file *f, bool is_data_only)
{
    return 0;
}

static int file_fallocate(struct file *f, u32 mode, s64 off, s64 len)
{
    struct inode *i = f->inode;
    struct tmpfs_node *t = tmpfs_node(i);
    struct tmpfs_super *ts = tmpfs_sb(i->sb);
    u64 start = (u64)off, end = start + (u64)len;
    u32 op = mode & ~(u32)LX_FALLOC_FL_KEEP_SIZE;
    if (op & ~(u32)(LX_FALLOC_FL_PUNCH_HOLE))
        return -LX_EOPNOTSUPP;
    MUTEX_GUARD(&i->lock);
    u64 size = atomic_load(&i->size);
    if (op & LX_FALLOC_FL_PUNCH_HOLE) {
        if (t->seals & SEALS_WRITE)
            return -LX_EPERM;
        int r = start < page_up(size)
                    ? tmpfs_data_punch(&t->data, ts, start, MIN(end, page_up(size)))
                    : 0;
        if (r == 0)
            inode_touch(i, false, true, true);
        return r;
    }
    bool is_growing = !(mode & LX_FALLOC_FL_KEEP_SIZE) && end > size;
    if (is_growing && (t->seals & LX_F_SEAL_GROW))
        return -LX_EPERM;
    int r = tmpfs_data_allocate(&t->data, ts, start, end);
    if (r == 0 && is_growing)
        r = tmpfs_data_truncate(&t->data, ts, size, end);
    if (r < 0)
        return r;
    if (is_growing)
        atomic_store(&i->size, end);
    inode_touch(i, false, false, true);
    return 0;
}

/* ---- seals --------------------------------------------------------------------------------- */

static s64 add_seals(struct file *f, u64 arg)
{
    struct inode *i = f->inode;
    struct tmpfs_node *t = tmpfs_node(i);
    u32 known = LX_F_SEAL_SEAL | LX_F_SEAL_SHRINK | LX_F_SEAL_GROW | LX_F_SEAL_WRITE |
                LX_F_SEAL_FUTURE_WRITE | F_SEAL_EXEC;
    if (!(f->mode & FMODE_WRITE))
        return -LX_EPERM;
    if (arg & ~(u64)known)
        return -LX_EINVAL;
    MUTEX_GUARD(&i->lock);
    u32 seals = t->seals;
    if (seals & LX_F_SEAL_SEAL)
        return -LX_EPERM;
    if ((arg & LX_F_SEAL_WRITE) && !(seals & LX_F_SEAL_WRITE)) {
        atomic_fetch_or(&t->seals, LX_F_SEAL_WRITE); /* from here on vma_opened refuses */
        if (atomic_load(&t->nwritable_maps) > 0) {
            atomic_fetch_and(&t->seals, ~(u32)LX_F_SEAL_WRITE);
            return -LX_EBUSY;
        }
    }
    if ((arg & F_SEAL_EXEC) && (i->mode & 0111U))
        arg |= LX_F_SEAL_SHRINK | LX_F_SEAL_GROW | LX_F_SEAL_WRITE | LX_F_SEAL_FUTURE_WRITE;
    atomic_fetch_or(&t->seals, (u32)arg);
    return 0;
}

static s64 file_fcntl(struct file *f, int cmd, u64 arg)
{
    switch (cmd) {
    case LX_F_GET_SEALS:
        return tmpfs_node(f->inode)->seals;
    case LX_F_ADD_SEALS:
        return add_seals(f, arg);
    default:
        return -LX_EBADF; /* pipe sizes */
    }
}

const struct file_ops tmpfs_file_fops = {
    .ioctl = tmpfs_ioctl,
    .read = file_read,
    .write = file_write,
    .seek = file_seek,
    .mmap = file_mmap,
    .host_fd = file_host_fd,
    .stable_fd = file_stable_fd,
    .vma_opened = file_vma_opened,
    .vma_closed = file_vma_closed,
    .fsync = file_fsync,
    .fallocate = file_fallocate,
    .fcntl = file_fcntl,
};

/* ---- memfd --------------------------------------------------------------------------------- */

static struct mount *memfd_mnt; /* set at start */

int tmpfs_memfd_init(void)
{
    struct super *sb;
    int r = tmpfs_type.mount(&tmpfs_type, 0, "tmpfs", "size=0,nr_inodes=0", &sb);
    if (r < 0)
        return r;
    sb->flags |= SB_NODEV_INTERNAL;
    memfd_mnt = mount_new(sb, 0);
    super_put(sb);
    return memfd_mnt ? 0 : -LX_ENOMEM;
}

int tmpfs_memfd_new(const char *name, u32 mfd_flags, struct file **ret_f)
{
    struct inode *i, *dir = memfd_mnt->root->inode;
    char text[300];
    bool is_noexec = mfd_flags & MFD_NOEXEC_SEAL_;
    int n = snprintf(text, sizeof(text), "memfd:%s", name);
    int r = tmpfs_inode_new(memfd_mnt->sb, dir, LX_S_IFREG | (is_noexec ? 0666U : 0777U), 0, &i);
    if (r < 0)
        return r;
    struct tmpfs_node *t = tmpfs_node(i);
    atomic_store(&i->nlink, 0);
    if (is_noexec)
        t->seals = F_SEAL_EXEC;
    else
        t->seals = mfd_flags & LX_MFD_ALLOW_SEALING ? 0 : LX_F_SEAL_SEAL;
    struct dentry *d = dentry_alloc_unhashed(memfd_mnt->root, text, (size_t)n);
    if (!d) {
        inode_put(i);
        return -LX_ENOMEM;
    }
    dentry_instantiate(d, i);
    struct path p = {memfd_mnt, d};
    mount_get(memfd_mnt);
    r = file_open_path(&p, LX_O_RDWR | LX_O_LARGEFILE, ret_f);
    path_put(&p);
    if (r == 0 && ((*ret_f)->mode & FMODE_WROTE)) { /* as Linux: it may be executed while it is open */
        inode_put_write(i);
        atomic_fetch_sub(&memfd_mnt->nwriters, 1);
        (*ret_f)->mode &= ~FMODE_WROTE;
    }
    return r;
}
