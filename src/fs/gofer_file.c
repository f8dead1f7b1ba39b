/*
 * Open regular files of the gofer client. The gofer donates a host fd once;
 * after that reading, writing, truncating, syncing and mapping are the host's
 * own calls on it and never cross the gofer again.
 *
 * Fds are shared: every file open for reading only uses its inode's read fd, which stays in the
 * inode for the next open (an LRU bounds how many are kept idle); files open for writing share one
 * writable fd that lives as long as any of them. All I/O names its offset, so sharing is invisible.
 * A mapping that the guest may not write through gets the read fd, always: the host kernel then
 * holds a hostile mprotect back.
 */
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/stat.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "fs/gofer_priv.h"
#include "host/fdio.h"
#include "vfs/file.h"
#include "vfs/file_flags.h"

#define SHRINK_SCAN 64U /* fds in use that are passed over before giving up */

struct gofer_file {
    struct gofer_fd *io;  /* reads and writes */
    struct gofer_fd *map; /* of a file that is open for writing: its read fd, once needed; atomic */
    bool is_writer;
    _Atomic u64 seen_err; /* io->sync_err as this file has been told of it */
};

/* ---- host fds ------------------------------------------------------------------------------ */

void gofer_fd_put(struct gofer_fd *f)
{
    if (!f || !ref_put(&f->ref))
        return;
    host_close(f->fd);
    free(f);
}

static struct gofer_fd *fd_wrap(int fd, bool is_readable, bool is_writable)
{
    struct gofer_fd *f = malloc(sizeof(*f));
    if (!f) {
        host_close(fd);
        return NULL;
    }
    ref_init(&f->ref);
    f->fd = fd;
    f->sync_err = 0;
    f->is_readable = is_readable;
    f->is_writable = is_writable;
    return f;
}

struct gofer_fd *gofer_fd_new(int fd)
{
    return fd_wrap(fd, true, false);
}

struct gofer_fd *gofer_fd_any(struct gofer_inode *gi)
{
    MUTEX_GUARD(&gi->lock);
    struct gofer_fd *f = gi->wr ? gi->wr : gi->rd;
    if (f)
        ref_get(&f->ref);
    return f;
}

/* Takes gi out of the LRU and its read fd away; *ret_f is to be put outside the locks. */
static void lru_take(struct gofer_sb *s, struct gofer_inode *gi, struct gofer_fd **ret_f)
{
    list_del(&gi->fd_lru);
    s->nfds--;
    *ret_f = gi->rd;
    gi->rd = NULL;
}

void gofer_fd_shrink(struct gofer_sb *s, u32 max)
{
    for (;;) {
        struct gofer_fd *victim = NULL;
        struct gofer_inode *gi;
        mutex_lock(&s->fd_lock);
        for (u32 n = 0; n < SHRINK_SCAN && s->nfds > max && !victim; n++) {
            gi = list_first(&s->fd_lru, struct gofer_inode, fd_lru);
            MUTEX_GUARD(&gi->lock);
            if (ref_read(&gi->rd->ref) == 1) { /* the cache's own */
                lru_take(s, gi, &victim);
            } else {
                list_del(&gi->fd_lru);
                list_add_tail(&s->fd_lru, &gi->fd_lru);
            }
        }
        mutex_unlock(&s->fd_lock);
        if (!victim)
            return;
        gofer_fd_put(victim);
    }
}

void gofer_fd_forget(struct gofer_inode *gi)
{
    struct gofer_sb *s = gofer_sb_of(gi->inode->sb);
    struct gofer_fd *f = NULL;
    mutex_lock(&s->fd_lock);
    mutex_lock(&gi->lock);
    if (gi->rd)
        lru_take(s, gi, &f);
    struct gofer_fd *wr = take_ptr(gi->wr);
    mutex_unlock(&gi->lock);
    mutex_unlock(&s->fd_lock);
    gofer_fd_put(f);
    gofer_fd_put(wr);
}

/* Makes f the inode's read fd, unless another one was faster; the one to use, referenced. Consumes
 * f. */
static struct gofer_fd *cache_read_fd(struct gofer_inode *gi, struct gofer_fd *f)
{
    struct gofer_sb *s = gofer_sb_of(gi->inode->sb);
    mutex_lock(&s->fd_lock);
    mutex_lock(&gi->lock);
    if (!gi->rd) {
        gi->rd = f;
        list_add_tail(&s->fd_lru, &gi->fd_lru);
        s->nfds++;
        ref_get(&f->ref);
    } else {
        gofer_fd_put(f);
        f = gi->rd;
        ref_get(&f->ref);
    }
    mutex_unlock(&gi->lock);
    mutex_unlock(&s->fd_lock);
    gofer_fd_shrink(s, GOFER_MAX_IDLE_FDS);
    return f;
}

struct gofer_fd *gofer_fd_cache(struct gofer_inode *gi, int fd)
{
    struct gofer_fd *f = fd_wrap(fd, true, false);
    return f ? cache_read_fd(gi, f) : NULL;
}

int gofer_fd_check(int fd)
{
    struct statx sx;
    int r = host_fstatx(fd, STATX_TYPE, &sx);
    if (r == 0 && S_ISREG(sx.stx_mode))
        return 0;
    host_close(fd);
    return r < 0 ? r : -LX_EIO;
}

/* Asks the gofer for an fd. The host must have opened the very object, and a regular file. */
static int ask_fd(struct inode *i, u32 flags, int *ret_fd)
{
    struct gofer_sb *s = gofer_sb_of(i->sb);
    int r = -LX_EIO;
    for (int round = 0; round < 2; round++) {
        struct gofer_call call = {.req = {.op = GP_OPEN, .flags = flags}};
        struct gofer_opens next = {0};
        u32 seq = atomic_load(&s->change_seq);
        if (round == 0 && flags == GP_O_READ && !gofer_is_shared(s))
            gofer_list_opens(s, gofer_of(i), &call.req, &next);
        r = gofer_call_on(i, &call);
        gofer_list_opens_put(&next);
        while (call.nfds > 1)
            gofer_ahead_put(s, gofer_call_take_fd(&call), seq);
        if (r == 0)
            r = gofer_apply_attr(gofer_of(i), &call.resp->attr);
        int fd = r == 0 ? gofer_call_take_fd(&call) : -1;
        if (r == 0 && fd < 0)
            r = -LX_EIO;
        gofer_call_done(s->conn, &call);
        if (r == 0)
            r = gofer_fd_check(fd);
        if (r == 0)
            *ret_fd = fd;
        if (r != -LX_ENFILE && r != -LX_EMFILE)
            break;
        gofer_ahead_drop_all(s);
        gofer_fd_shrink(s, 0); /* no room in our own table: give idle ones up, try again */
    }
    return r;
}

static int get_read_fd(struct inode *i, struct gofer_fd **ret_f)
{
    struct gofer_inode *gi = gofer_of(i);
    struct gofer_sb *s = gofer_sb_of(i->sb);
    mutex_lock(&gi->lock);
    struct gofer_fd *f = gi->rd;
    if (f)
        ref_get(&f->ref);
    mutex_unlock(&gi->lock);
    if (f) {
        mutex_lock(&s->fd_lock);
        if (!list_empty(&gi->fd_lru)) {
            list_del(&gi->fd_lru);
            list_add_tail(&s->fd_lru, &gi->fd_lru);
        }
        mutex_unlock(&s->fd_lock);
        *ret_f = f;
        return 0;
    }
    int fd = gofer_ahead_take(s, gi), r = 0;
    if (fd < 0)
        fd = gofer_direct_open(i);
    if (fd == -LX_EAGAIN)
        r = ask_fd(i, GP_O_READ, &fd);
    else if (fd < 0)
        r = fd;
    if (r < 0)
        return r;
    *ret_f = gofer_fd_cache(gi, fd);
    return *ret_f ? 0 : -LX_ENOMEM;
}

/* Counts a writer and gives it the shared writable fd, if there is one that does. */
static struct gofer_fd *join_writers(struct gofer_inode *gi, bool needs_read,
                                     struct gofer_fd *fresh)
{
    MUTEX_GUARD(&gi->lock);
    if (fresh && (!gi->wr || (fresh->is_readable && !gi->wr->is_readable))) {
        struct gofer_fd *old = gi->wr;
        gi->wr = fresh;
        ref_get(&fresh->ref); /* one for the inode, one for the caller */
        gi->nwriters++;
        gofer_fd_put(old);
        return fresh;
    }
    if (!gi->wr || (needs_read && !gi->wr->is_readable))
        return NULL;
    gofer_fd_put(fresh);
    ref_get(&gi->wr->ref);
    gi->nwriters++;
    return gi->wr;
}

static void leave_writers(struct gofer_inode *gi)
{
    struct gofer_fd *f = NULL;
    mutex_lock(&gi->lock);
    if (--gi->nwriters == 0)
        f = take_ptr(gi->wr);
    mutex_unlock(&gi->lock);
    gofer_fd_put(f);
}

static int get_write_fd(struct inode *i, bool needs_read, struct gofer_fd **ret_f)
{
    struct gofer_inode *gi = gofer_of(i);
    int fd;
    *ret_f = join_writers(gi, needs_read, NULL);
    if (*ret_f)
        return 0;
    bool is_readable = true;
    int r = ask_fd(i, GP_O_READ | GP_O_WRITE, &fd);
    if (r == -LX_EACCES && !needs_read) { /* a file that the gofer itself may only write */
        is_readable = false;
        r = ask_fd(i, GP_O_WRITE, &fd);
    }
    if (r < 0)
        return r;
    struct gofer_fd *f = fd_wrap(fd, is_readable, true);
    if (!f)
        return -LX_ENOMEM;
    *ret_f = join_writers(gi, needs_read, f);
    return 0;
}

int gofer_fd_adopt(struct gofer_inode *gi, int fd)
{
    struct gofer_fd *f = fd_wrap(fd, true, true);
    if (!f)
        return -LX_ENOMEM;
    /* Waits in the inode for the open that follows creation; evict drops it if none comes. */
    struct gofer_fd *old;
    mutex_lock(&gi->lock);
    old = gi->wr;
    gi->wr = f;
    mutex_unlock(&gi->lock);
    gofer_fd_put(old);
    return 0;
}

/* ---- open, release ------------------------------------------------------------------------- */

/* The fd that creation left behind, when nobody writes: it must not outlive the reader's interest.
 */
static void drop_idle_writer(struct gofer_inode *gi)
{
    struct gofer_fd *f = NULL;
    mutex_lock(&gi->lock);
    if (gi->nwriters == 0)
        f = take_ptr(gi->wr);
    mutex_unlock(&gi->lock);
    gofer_fd_put(f);
}

static int reg_open(struct inode *i, struct file *f)
{
    struct gofer_file *gf = calloc(1, sizeof(*gf));
    if (!gf)
        return -LX_ENOMEM;
    int r;
    if (f->mode & FMODE_WRITE) {
        r = get_write_fd(i, f->mode & FMODE_READ, &gf->io);
        gf->is_writer = true;
    } else {
        r = get_read_fd(i, &gf->io);
        drop_idle_writer(gofer_of(i));
    }
    if (r < 0) {
        free(gf);
        return r;
    }
    gf->seen_err = atomic_load(&gf->io->sync_err);
    f->priv = gf;
    f->mode |= FMODE_NOWAIT;
    return 0;
}

static void reg_release(struct file *f)
{
    struct gofer_file *gf = f->priv;
    if (!gf)
        return;
    gofer_fd_put(gf->io);
    gofer_fd_put(gf->map);
    if (gf->is_writer) {
        gofer_mark_stale(f->inode); /* the host stamps times of mapped writes late */
        gofer_changed(gofer_sb_of(f->inode->sb));
        leave_writers(gofer_of(f->inode));
    }
    free(gf);
}

/* ---- reading and writing ------------------------------------------------------------------- */

static struct gofer_file *file_of(const struct file *f)
{
    return f->priv;
}

/* Would the host move atime for this read (relatime)? Then what we have is old. */
static void note_read(struct inode *i)
{
    if (gofer_sb_of(i->sb)->export_flags & GP_EXPORT_RDONLY)
        return;
    struct ktime a = i->atime, m = i->mtime;
    if (a.sec < m.sec || (a.sec == m.sec && a.nsec <= m.nsec) ||
        a.sec < ktime_now().sec - 24 * 60 * 60)
        gofer_mark_stale(i);
}

/* RWF_NOWAIT: the host is to say whether it would wait. O_NONBLOCK means nothing to a file. */
static bool is_nowait(void)
{
    return vfs_io_set & LX_O_NONBLOCK;
}

static s64 reg_read(struct file *f, struct uio *to, s64 *off)
{
    size_t cap;
    s64 done = 0, r = 0;
    while (to->left > 0) {
        char *buf = uio_bounce(&cap);
        size_t want = MIN((u64)cap, to->left);
        int fd = file_of(f)->io->fd;
        s64 n =
            is_nowait() ? host_pread_nowait(fd, buf, want, *off) : host_pread(fd, buf, want, *off);
        if (n <= 0) {
            r = n;
            break;
        }
        r = uio_copy_to(to, buf, (u64)n);
        if (r < 0)
            break;
        *off += r;
        done += r;
        if ((size_t)r < want)
            break;
    }
    note_read(f->inode);
    return done > 0 ? done : r;
}

static void grow_size(struct inode *i, u64 end)
{
    u64 size = atomic_load(&i->size);
    atomic_fetch_add(&gofer_of(i)->size_seq, 1);
    while (end > size && !atomic_compare_exchange_weak(&i->size, &size, end)) {
    }
}

static u32 write_flags(const struct file *f)
{
    u32 flags = file_io_flags(f), rwf = 0;
    if ((flags & LX_O_SYNC) == LX_O_SYNC)
        rwf |= RWF_SYNC;
    else if (flags & LX_O_DSYNC)
        rwf |= RWF_DSYNC;
    if (flags & LX_O_APPEND)
        rwf |= RWF_APPEND;
    return is_nowait() ? rwf | RWF_NOWAIT : rwf;
}

/* One piece; advances *off. An append happens at the host's end of file, wherever that is by now.
 */
static s64 write_piece(struct file *f, const void *buf, size_t size, s64 *off, u32 rwf)
{
    struct gofer_inode *gi = gofer_of(f->inode);
    int fd = file_of(f)->io->fd;
    if (!(rwf & RWF_APPEND)) {
        s64 n = host_pwrite(fd, buf, size, *off, rwf);
        if (n > 0)
            *off += n;
        return n;
    }
    MUTEX_GUARD(&gi->append_lock);
    s64 n = host_pwrite(fd, buf, size, 0, rwf);
    struct statx sx;
    if (n > 0 && host_fstatx(fd, STATX_SIZE, &sx) == 0)
        *off = (s64)sx.stx_size;
    return n;
}

static s64 reg_write(struct file *f, struct uio *from, s64 *off)
{
    u32 rwf = write_flags(f);
    size_t cap;
    s64 done = 0, r = 0;
    while (from->left > 0) {
        char *buf = uio_bounce(&cap);
        s64 n = uio_copy_from(from, buf, MIN((u64)cap, from->left));
        if (n <= 0) {
            r = n;
            break;
        }
        r = write_piece(f, buf, (size_t)n, off, rwf);
        if (r > 0)
            done += r;
        if (r < n) {
            uio_revert(from, (u64)(n - MAX(r, (s64)0)));
            break;
        }
    }
    if (done > 0) {
        grow_size(f->inode, (u64)*off);
        gofer_mark_stale(f->inode);
    }
    return done > 0 ? done : r;
}

static s64 reg_seek(struct file *f, s64 off, int whence)
{
    if (whence == LX_SEEK_DATA || whence == LX_SEEK_HOLE) {
        s64 pos =
            host_lseek(file_of(f)->io->fd, off, whence == LX_SEEK_DATA ? SEEK_DATA : SEEK_HOLE);
        if (pos >= 0)
            f->pos = pos;
        return pos;
    }
    if (whence == LX_SEEK_END && gofer_is_shared(gofer_sb_of(f->inode->sb))) {
        int r = gofer_refresh(f->inode);
        if (r < 0)
            return r;
    }
    return generic_seek(f, off, whence);
}

/* The result r of a sync as f is to be told: an error that another file of this fd met, too. */
static int tell_sync(struct gofer_file *gf, int r)
{
    u64 err = atomic_load(&gf->io->sync_err);
    if (r == -LX_EIO || r == -LX_ENOSPC || r == -LX_EDQUOT) {
        u64 next;
        do {
            next = ((err >> 32) + 1) << 32 | (u32)-r;
        } while (!atomic_compare_exchange_weak(&gf->io->sync_err, &err, next));
        atomic_store(&gf->seen_err, next);
    } else if (r == 0 && atomic_exchange(&gf->seen_err, err) != err) {
        r = -(int)(u32)err;
    }
    return r;
}

static int reg_fsync(struct file *f, bool is_data_only)
{
    if (!file_of(f)->is_writer && (gofer_sb_of(f->inode->sb)->export_flags & GP_EXPORT_RDONLY))
        return 0;
    return tell_sync(file_of(f), host_fsync(file_of(f)->io->fd, is_data_only));
}

static int reg_fallocate(struct file *f, u32 mode, s64 off, s64 len)
{
    int r = host_fallocate(file_of(f)->io->fd, (int)mode, off, len);
    if (r == 0) {
        gofer_mark_stale(f->inode);
        struct statx sx; /* collapse and insert move the end as well */
        atomic_fetch_add(&gofer_of(f->inode)->size_seq, 1);
        if (host_fstatx(file_of(f)->io->fd, STATX_SIZE, &sx) == 0)
            atomic_store(&f->inode->size, sx.stx_size);
    }
    return r;
}

/* ---- mapping ------------------------------------------------------------------------------- */

static int reg_host_fd(struct file *f, u64 offset, u64 size, bool is_writable_shared, int *ret_fd,
                       u64 *ret_offset)
{
    struct gofer_file *gf = f->priv;
    *ret_offset = offset;
    if (is_writable_shared) {
        if (!gf->io->is_writable || !gf->io->is_readable)
            return -LX_EACCES;
        *ret_fd = gf->io->fd;
        return 0;
    }
    if (!gf->io->is_writable) {
        note_read(f->inode);
        *ret_fd = gf->io->fd;
        return 0;
    }
    struct gofer_fd *map = __atomic_load_n(&gf->map, __ATOMIC_ACQUIRE);
    if (!map) {
        struct gofer_fd *none = NULL;
        int r = get_read_fd(f->inode, &map);
        if (r < 0)
            return r;
        if (!__atomic_compare_exchange_n(&gf->map, &none, map, false, __ATOMIC_ACQ_REL,
                                         __ATOMIC_ACQUIRE)) {
            gofer_fd_put(map);
            map = none;
        }
    }
    *ret_fd = map->fd;
    return 0;
}

static int reg_stable_fd(struct file *f, int *ret_fd)
{
    u64 offset;
    if (gofer_is_shared(gofer_sb_of(f->inode->sb)))
        return -LX_ENODEV;
    return reg_host_fd(f, 0, atomic_load(&f->inode->size), false, ret_fd, &offset);
}

s64 gofer_ioctl(struct file *f, u32 cmd, u64 arg)
{
    return file_flags_ioctl(f, cmd, arg, NULL);
}

const struct file_ops gofer_reg_fops = {
    .ioctl = gofer_ioctl,
    .open = reg_open,
    .release = reg_release,
    .read = reg_read,
    .write = reg_write,
    .seek = reg_seek,
    .fsync = reg_fsync,
    .fallocate = reg_fallocate,
    .host_fd = reg_host_fd,
    .stable_fd = reg_stable_fd,
};
