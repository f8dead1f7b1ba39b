/* Handlers: opening, closing and duplicating descriptors, fcntl, ioctl. */
#include "abi/stat.h"
#include "sys/fsutil.h"
#include "sys/sys.h"
#include "vfs/fcntl_ext.h"

#define OPEN_KNOWN                                                                                 \
    (LX_O_ACCMODE | LX_O_CREAT | LX_O_EXCL | LX_O_NOCTTY | LX_O_TRUNC | LX_O_APPEND |              \
     LX_O_NONBLOCK | LX_O_SYNC | LX_O_DSYNC | LX_O_ASYNC | LX_O_DIRECT | LX_O_LARGEFILE |          \
     LX_O_DIRECTORY | LX_O_NOFOLLOW | LX_O_NOATIME | LX_O_CLOEXEC | LX_O_PATH | LX_O_TMPFILE)
#define PATH_KNOWN  (LX_O_DIRECTORY | LX_O_NOFOLLOW | LX_O_PATH | LX_O_CLOEXEC)
#define TMPFILE_BIT (LX_O_TMPFILE & ~LX_O_DIRECTORY)
#define FIOCLEX     0x5451U
#define FIONCLEX    0x5450U

static s64 do_open(int dirfd, u64 name, u32 flags, u32 mode)
{
    char buf[MAX_PATH];
    struct file *f = NULL;
    struct open_how how = {.flags = flags & OPEN_KNOWN};
    if (how.flags & LX_O_PATH)
        how.flags &= PATH_KNOWN;
    else
        how.flags |= LX_O_LARGEFILE;
    if (how.flags & (LX_O_CREAT | TMPFILE_BIT))
        how.mode = mode & 07777U;
    int r = fs_copy_path(buf, uaddr(name));
    if (r == 0)
        r = vfs_open(dirfd, buf, &how, &f);
    return fs_install(r, f, flags);
}

s64 sys_open(struct task *t, const u64 a[6])
{
    return do_open(LX_AT_FDCWD, a[0], (u32)a[1], (u32)a[2]);
}

s64 sys_openat(struct task *t, const u64 a[6])
{
    return do_open((int)a[0], a[1], (u32)a[2], (u32)a[3]);
}

s64 sys_creat(struct task *t, const u64 a[6])
{
    return do_open(LX_AT_FDCWD, a[0], LX_O_CREAT | LX_O_WRONLY | LX_O_TRUNC, (u32)a[1]);
}

/* openat2(2)'s own strictness; 0 and the walk flags. */
static int check_how(const struct lx_open_how *h, u32 *ret_walk)
{
    static const struct {
        u64 resolve;
        u32 walk;
    } map[] = {
        {LX_RESOLVE_NO_XDEV, WALK_NO_XDEV},         {LX_RESOLVE_NO_MAGICLINKS, WALK_NO_MAGIC},
        {LX_RESOLVE_NO_SYMLINKS, WALK_NO_SYMLINKS}, {LX_RESOLVE_BENEATH, WALK_BENEATH},
        {LX_RESOLVE_IN_ROOT, WALK_IN_ROOT},         {LX_RESOLVE_CACHED, WALK_CACHED},
    };
    u64 left = h->resolve;
    u32 walk = 0;
    for (size_t i = 0; i < ARRAY_SIZE(map); i++) {
        if (left & map[i].resolve)
            walk |= map[i].walk;
        left &= ~map[i].resolve;
    }
    if ((h->flags & ~(u64)OPEN_KNOWN) || left)
        return -LX_EINVAL;
    if ((walk & WALK_BENEATH) && (walk & WALK_IN_ROOT))
        return -LX_EINVAL;
    if (h->flags & (LX_O_CREAT | TMPFILE_BIT) ? h->mode & ~07777ULL : h->mode)
        return -LX_EINVAL;
    if ((h->flags & LX_O_PATH) && (h->flags & ~(u64)PATH_KNOWN))
        return -LX_EINVAL;
    if ((walk & WALK_CACHED) && (h->flags & (LX_O_CREAT | LX_O_TRUNC | TMPFILE_BIT)))
        return -LX_EAGAIN;
    *ret_walk = walk;
    return 0;
}

s64 sys_openat2(struct task *t, const u64 a[6])
{
    char buf[MAX_PATH];
    struct lx_open_how h;
    struct open_how how = {0};
    struct file *f = NULL;
    if (a[3] < sizeof(h))
        return -LX_EINVAL;
    if (a[3] > 4096)
        return -LX_E2BIG;
    int r = copy_in_struct(&h, sizeof(h), uaddr(a[2]), a[3]);
    if (r == 0)
        r = check_how(&h, &how.walk_flags);
    if (r == 0)
        r = fs_copy_path(buf, uaddr(a[1]));
    if (r < 0)
        return r;
    how.flags = (u32)h.flags | (h.flags & LX_O_PATH ? 0 : LX_O_LARGEFILE);
    how.mode = (u32)h.mode;
    r = vfs_open((int)a[0], buf, &how, &f);
    return fs_install(r, f, (u32)h.flags);
}

s64 sys_close(struct task *t, const u64 a[6])
{
    return fd_close((int)a[0]);
}

s64 sys_close_range(struct task *t, const u64 a[6])
{
    u32 first = (u32)a[0], last = (u32)a[1], flags = (u32)a[2];
    if ((flags & ~(u32)(LX_CLOSE_RANGE_UNSHARE | LX_CLOSE_RANGE_CLOEXEC)) || first > last)
        return -LX_EINVAL;
    if (flags & LX_CLOSE_RANGE_UNSHARE) {
        bool is_cloexec = flags & LX_CLOSE_RANGE_CLOEXEC;
        struct fdtable *own = fdtable_copy(t->files, is_cloexec ? 1 : first, is_cloexec ? 0 : last);
        if (!own)
            return -LX_ENOMEM;
        struct fdtable *old = t->files;
        t->files = own;
        t->vt.files = own;
        uctx_set_table(t->uctx, 0);
        fdtable_put(old);
        if (!is_cloexec)
            return 0;
    }
    return fdtable_close_range(t->files, first, last, flags & LX_CLOSE_RANGE_CLOEXEC);
}

/* ---- duplicates ---------------------------------------------------------------------------- */

s64 sys_dup(struct task *t, const u64 a[6])
{
    struct file *f = fd_get_raw((int)a[0]);
    return fs_install(f ? 0 : -LX_EBADF, f, 0);
}

static s64 dup_to(struct task *t, int old, int new, u32 flags)
{
    struct file *f = fd_get_raw(old);
    if (!f)
        return -LX_EBADF;
    int r = fdtable_install_at(t->files, f, new, flags, vfs_current->rlimit_nofile);
    if (r < 0)
        file_put(f);
    return r;
}

s64 sys_dup2(struct task *t, const u64 a[6])
{
    int old = (int)a[0], new = (int)a[1];
    if (old != new)
        return dup_to(t, old, new, 0);
    struct file *f cleanup(file_put_p) = fd_get_raw(old);
    return f ? new : -LX_EBADF;
}

s64 sys_dup3(struct task *t, const u64 a[6])
{
    if (((u32)a[2] & ~(u32)LX_O_CLOEXEC) || (int)a[0] == (int)a[1])
        return -LX_EINVAL;
    return dup_to(t, (int)a[0], (int)a[1], (u32)a[2]);
}

/* ---- fcntl, ioctl -------------------------------------------------------------------------- */

#define SETFL_BITS (LX_O_APPEND | LX_O_NONBLOCK | LX_O_DIRECT | LX_O_NOATIME | LX_O_ASYNC)

static s64 set_flags(struct file *f, int fd, u32 arg)
{
    u32 want = arg & SETFL_BITS, had = f->flags;
    if (!(want & LX_O_APPEND) && (had & LX_O_APPEND) && (f->inode->flags & INODE_APPEND))
        return -LX_EPERM;
    if ((want & ~had & LX_O_NOATIME) && !inode_owner_or_capable(f->inode))
        return -LX_EPERM;
    int r = f->ops->check_flags ? f->ops->check_flags(f, want) : 0;
    if (r < 0)
        return r;
    u32 old = had;
    while (!atomic_compare_exchange_weak(&f->flags, &old, (old & ~(u32)SETFL_BITS) | want))
        ;
    if ((old ^ want) & LX_O_ASYNC)
        r = fasync_update(f, fd, want & LX_O_ASYNC);
    return r;
}

static s64 dup_fd(struct file *f, u64 min, u32 flags)
{
    if ((u32)min >= vfs_current->rlimit_nofile || (s32)min < 0)
        return -LX_EINVAL;
    int fd = fd_install(f, (int)min, flags);
    if (fd >= 0)
        file_get(f); /* the table's; ours goes with the caller's cleanup */
    return fd;
}

s64 sys_fcntl(struct task *t, const u64 a[6])
{
    int fd = (int)a[0], cmd = (int)a[1];
    struct file *f cleanup(file_put_p) = fd_get_raw(fd);
    if (!f)
        return -LX_EBADF;
    switch (cmd) {
    case LX_F_DUPFD:
        return dup_fd(f, a[2], 0);
    case LX_F_DUPFD_CLOEXEC:
        return dup_fd(f, a[2], LX_O_CLOEXEC);
    case LX_F_GETFD:
        return fdtable_cloexec(t->files, fd, -1);
    case LX_F_SETFD:
        return fdtable_cloexec(t->files, fd, a[2] & LX_FD_CLOEXEC);
    case LX_F_GETFL:
        return (u32)f->flags;
    default:
        break;
    }
    if (f->mode & FMODE_PATH)
        return -LX_EBADF;
    if (cmd == LX_F_SETFL)
        return set_flags(f, fd, (u32)a[2]);
    return fcntl_ext(f, fd, cmd, a[2]);
}

s64 sys_ioctl(struct task *t, const u64 a[6])
{
    struct file *f cleanup(file_put_p) = fd_get((int)a[0]);
    if (!f)
        return -LX_EBADF;
    if ((u32)a[1] == FIOCLEX || (u32)a[1] == FIONCLEX)
        return fdtable_cloexec(t->files, (int)a[0], (u32)a[1] == FIOCLEX);
    return vfs_ioctl(f, (u32)a[1], a[2]);
}
