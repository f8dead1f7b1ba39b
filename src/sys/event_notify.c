/* Handlers: inotify, flock, memfd_create. */
#include <string.h>

#include "fs/tmpfs.h"
#include "sys/sys.h"
#include "vfs/locks.h"
#include "vfs/notify.h"

static s64 install(int r, struct file *f, u32 flags)
{
    if (r < 0)
        return r;
    int fd = fd_install(f, 0, flags & LX_O_CLOEXEC);
    if (fd < 0)
        file_put(f);
    return fd;
}

s64 sys_inotify_init1(struct task *t, const u64 a[6])
{
    u32 flags = (u32)a[0];
    struct file *f = NULL;
    if (flags & ~(u32)(LX_IN_NONBLOCK | LX_IN_CLOEXEC))
        return -LX_EINVAL;
    int r = inotify_new(flags, &f);
    return install(r, f, flags);
}

s64 sys_inotify_init(struct task *t, const u64 a[6])
{
    const u64 none[6] = {0};
    return sys_inotify_init1(t, none);
}

s64 sys_inotify_add_watch(struct task *t, const u64 a[6])
{
    u32 mask = (u32)a[2];
    struct path p = {0};
    int r = inotify_check_mask(mask);
    if (r < 0)
        return r;
    struct file *f cleanup(file_put_p) = fd_get((int)a[0]);
    if (!f)
        return -LX_EBADF;
    if (!is_inotify(f))
        return -LX_EINVAL;
    u32 walk = (mask & LX_IN_DONT_FOLLOW ? 0 : WALK_FOLLOW) |
               (mask & LX_IN_ONLYDIR ? WALK_DIRECTORY : 0);
    r = vfs_walk_user(LX_AT_FDCWD, uaddr(a[1]), walk, &p);
    if (r < 0)
        return r;
    r = inotify_add(f, &p, mask);
    path_put(&p);
    return r;
}

s64 sys_inotify_rm_watch(struct task *t, const u64 a[6])
{
    struct file *f cleanup(file_put_p) = fd_get((int)a[0]);
    if (!f)
        return -LX_EBADF;
    return inotify_rm(f, (s32)a[1]);
}

s64 sys_flock(struct task *t, const u64 a[6])
{
    struct file *f cleanup(file_put_p) = fd_get((int)a[0]);
    if (!f)
        return -LX_EBADF;
    return vfs_flock(f, (int)a[1]);
}

#define MFD_NOEXEC_SEAL 8U
#define MFD_EXEC        16U
#define MFD_NAME_MAX    250 /* with the NUL; NAME_MAX less "memfd:" */

s64 sys_memfd_create(struct task *t, const u64 a[6])
{
    char name[MFD_NAME_MAX];
    u32 flags = (u32)a[1];
    struct file *f = NULL;
    if (flags & LX_MFD_HUGETLB)
        return -LX_ENOSYS;
    if (flags & ~(LX_MFD_CLOEXEC | LX_MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL | MFD_EXEC))
        return -LX_EINVAL;
    if ((flags & MFD_NOEXEC_SEAL) && (flags & MFD_EXEC))
        return -LX_EINVAL;
    s64 n = copy_in_str(name, uaddr(a[0]), sizeof(name));
    if (n < 0)
        return n == -LX_ENAMETOOLONG ? -LX_EINVAL : n;
    int r = tmpfs_memfd_new(name, flags, &f);
    return install(r, f, flags & LX_MFD_CLOEXEC ? LX_O_CLOEXEC : 0);
}
