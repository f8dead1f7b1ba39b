/*
 * FUSE: what mappings of a file show: a copy of its contents in the sentry's memory, made when it
 * is mapped and the copy is not good any more, and kept up with what is written through the mount.
 * See fuse_int.h.
 */
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "abi/mm.h"
#include "fs/fuse_int.h"
#include "vfs/file.h"

#define MAX_MAPPED (1ULL << 30) /* bytes of a file that is mapped */

void fuse_data_stale(struct inode *i)
{
    atomic_fetch_add(&fuse_of(i)->data_gen, 1);
}

/* A change of contents by what is done here. False: there is no copy to keep up with it. */
static bool own_change(struct inode *i)
{
    struct fuse_inode *fi = fuse_of(i);
    mutex_lock(&fi->attr_lock);
    fi->is_own_change = true;
    mutex_unlock(&fi->attr_lock);
    bool has_copy = fi->map_fd >= 0;
    if (!has_copy)
        fuse_data_stale(i);
    return has_copy;
}

/* map_lock held: contents change by what is done here. True: the copy is to follow. */
static bool change_locked(struct fuse_inode *fi)
{
    u64 was = atomic_fetch_add(&fi->data_gen, 1);
    if (fi->map_fd < 0 || fi->map_gen != was)
        return false;
    fi->map_gen = was + 1;
    return true;
}

void fuse_data_written(struct inode *i, const void *buf, u64 size, u64 off)
{
    struct fuse_inode *fi = fuse_of(i);
    if (!own_change(i))
        return;
    MUTEX_GUARD(&fi->map_lock);
    if (change_locked(fi) &&
        (off + size > MAX_MAPPED || pwrite(fi->map_fd, buf, size, (off_t)off) != (ssize_t)size))
        fi->map_gen--;
}

void fuse_data_resized(struct inode *i, u64 size)
{
    struct fuse_inode *fi = fuse_of(i);
    if (!own_change(i))
        return;
    MUTEX_GUARD(&fi->map_lock);
    if (change_locked(fi) && (size > MAX_MAPPED || ftruncate(fi->map_fd, (off_t)size) < 0))
        fi->map_gen--;
}

void fuse_map_drop(struct fuse_inode *fi)
{
    MUTEX_GUARD(&fi->map_lock);
    if (fi->nopen > 0)
        return; /* opened again meanwhile */
    if (fi->map_fd >= 0)
        close(fi->map_fd);
    if (fi->map_fd_ro >= 0)
        close(fi->map_fd_ro);
    fi->map_fd = fi->map_fd_ro = -1;
}

/* ---- making the copy ------------------------------------------------------------------------ */

static int make_fds(struct fuse_inode *fi)
{
    if (fi->map_fd < 0) {
        int fd = memfd_create("fuse", MFD_CLOEXEC);
        if (fd < 0)
            return -LX_ENOMEM;
        fi->map_fd = fd;
    }
    if (fi->map_fd_ro < 0)
        fi->map_fd_ro = vfs_host_reopen_ro(fi->map_fd);
    return MIN(fi->map_fd_ro, 0);
}

static int fill(struct file *f, int fd)
{
    u32 cap = fuse_conn_of(f->inode->sb)->max_read;
    char *buf = malloc(cap);
    u64 at = 0;
    int r = buf ? 0 : -LX_ENOMEM;
    while (r == 0) {
        s64 n = fuse_read_piece(f, buf, cap, at);
        if (n < 0)
            r = (int)n;
        else if (at + (u64)n > MAX_MAPPED || pwrite(fd, buf, (size_t)n, (off_t)at) != n)
            r = -LX_ENOMEM;
        if (r == 0)
            at += (u64)n;
        if (n < (s64)cap)
            break;
    }
    free(buf);
    if (r == 0 && ftruncate(fd, (off_t)at) < 0)
        r = -LX_ENOMEM;
    return r;
}

/* Before the address space is locked: the copy is brought up to date. */
int fuse_map(struct file *f, u32 prot, u32 flags)
{
    struct inode *i = f->inode;
    struct fuse_inode *fi = fuse_of(i);
    bool is_direct = fuse_file_of(f)->open_flags & LX_FOPEN_DIRECT_IO;
    if ((flags & 15U) != LX_MAP_PRIVATE && ((f->mode & FMODE_WRITE) || is_direct))
        return -LX_ENODEV;
    int r = fuse_update(i);
    if (r == 0 && i->size > MAX_MAPPED)
        r = -LX_ENOMEM;
    if (r < 0)
        return r;
    MUTEX_GUARD(&fi->map_lock);
    u64 gen = fi->data_gen;
    if (fi->map_fd_ro >= 0 && fi->map_gen == gen && fuse_is_fresh(i) && !is_direct)
        return 0;
    r = make_fds(fi);
    if (r == 0)
        r = fill(f, fi->map_fd);
    fi->map_gen = r == 0 ? gen : gen - 1;
    return r;
}

int fuse_map_fd(struct file *f, u64 offset, u64 size, bool is_writable_shared, int *ret_fd,
                u64 *ret_offset)
{
    int fd = fuse_of(f->inode)->map_fd_ro; /* kept while f is */
    if (is_writable_shared || fd < 0)
        return -LX_ENODEV;
    *ret_fd = fd;
    *ret_offset = offset;
    return 0;
}
