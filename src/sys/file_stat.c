/* Handlers: attributes: stat, statx, statfs, access, chmod, chown, times, truncate. */
#include "abi/sched.h"
#include "abi/stat.h"
#include "abi/time.h"
#include "abi/mount.h"
#include "sys/fsutil.h"
#include "sys/sys.h"

#define UTIME_NOW_  0x3fffffffL
#define UTIME_OMIT_ 0x3ffffffeL

static struct user_ns *own_ns(void)
{
    struct user_ns *ns = vfs_cred()->user_ns;
    return ns ? ns : &root_user_ns;
}

/* ---- stat ---------------------------------------------------------------------------------- */

static s64 put_stat(const struct kstat *k, u64 to)
{
    struct user_ns *ns = own_ns();
    struct lx_stat st = {
        .st_dev = k->dev,
        .st_ino = k->ino,
        .st_nlink = k->nlink,
        .st_mode = k->mode,
        .st_uid = from_kuid(ns, k->uid),
        .st_gid = from_kgid(ns, k->gid),
        .st_rdev = k->rdev,
        .st_size = (s64)k->size,
        .st_blksize = k->blksize,
        .st_blocks = (s64)k->blocks,
        .st_atime_sec = k->atime.sec,
        .st_atime_nsec = k->atime.nsec,
        .st_mtime_sec = k->mtime.sec,
        .st_mtime_nsec = k->mtime.nsec,
        .st_ctime_sec = k->ctime.sec,
        .st_ctime_nsec = k->ctime.nsec,
    };
    return copy_out(uaddr(to), &st, sizeof(st));
}

static s64 do_stat(int dirfd, u64 name, u32 at_flags, u64 to)
{
    struct path p;
    struct kstat k;
    int r = fs_walk_at(dirfd, uaddr(name), at_flags, &p);
    if (r < 0)
        return r;
    r = vfs_stat(&p, &k);
    path_put(&p);
    return r < 0 ? r : put_stat(&k, to);
}

s64 sys_stat(struct task *t, const u64 a[6])
{
    return do_stat(LX_AT_FDCWD, a[0], 0, a[1]);
}

s64 sys_lstat(struct task *t, const u64 a[6])
{
    return do_stat(LX_AT_FDCWD, a[0], LX_AT_SYMLINK_NOFOLLOW, a[1]);
}

s64 sys_newfstatat(struct task *t, const u64 a[6])
{
    if ((u32)a[3] & ~(u32)(LX_AT_SYMLINK_NOFOLLOW | LX_AT_NO_AUTOMOUNT | LX_AT_EMPTY_PATH))
        return -LX_EINVAL;
    return do_stat((int)a[0], a[1], (u32)a[3], a[2]);
}

s64 sys_fstat(struct task *t, const u64 a[6])
{
    struct kstat k;
    struct file *f cleanup(file_put_p) = fd_get_raw((int)a[0]);
    if (!f)
        return -LX_EBADF;
    int r = vfs_stat(&f->path, &k);
    return r < 0 ? r : put_stat(&k, a[1]);
}

static struct lx_statx_timestamp statx_time(struct ktime k)
{
    return (struct lx_statx_timestamp){.tv_sec = k.sec, .tv_nsec = k.nsec};
}

static s64 put_statx(const struct kstat *k, const struct path *p, u32 mask, u64 to)
{
    struct user_ns *ns = own_ns();
    struct lx_statx st = {
        .stx_mask = LX_STATX_BASIC_STATS | LX_STATX_MNT_ID | (k->has_btime ? LX_STATX_BTIME : 0),
        .stx_blksize = k->blksize,
        .stx_attributes = k->attributes,
        .stx_attributes_mask = k->attributes_mask,
        .stx_nlink = (u32)k->nlink,
        .stx_uid = from_kuid(ns, k->uid),
        .stx_gid = from_kgid(ns, k->gid),
        .stx_mode = (u16)k->mode,
        .stx_ino = k->ino,
        .stx_size = k->size,
        .stx_blocks = k->blocks,
        .stx_atime = statx_time(k->atime),
        .stx_mtime = statx_time(k->mtime),
        .stx_ctime = statx_time(k->ctime),
        .stx_rdev_major = DEV_MAJOR(k->rdev),
        .stx_rdev_minor = DEV_MINOR(k->rdev),
        .stx_dev_major = DEV_MAJOR(k->dev),
        .stx_dev_minor = DEV_MINOR(k->dev),
        .stx_mnt_id = (u64)p->mnt->id,
    };
    if (k->has_btime)
        st.stx_btime = statx_time(k->btime);
    if (mask & LX_STATX_MNT_ID_UNIQUE) {
        st.stx_mask = (st.stx_mask & ~(u32)LX_STATX_MNT_ID) | LX_STATX_MNT_ID_UNIQUE;
        st.stx_mnt_id += LX_MNT_ID_UNIQUE_BASE;
    }
    return copy_out(uaddr(to), &st, sizeof(st));
}

s64 sys_statx(struct task *t, const u64 a[6])
{
    u32 flags = (u32)a[2];
    struct path p;
    struct kstat k;
    if ((u32)a[3] & LX_STATX__RESERVED)
        return -LX_EINVAL;
    if ((flags & ~(u32)(LX_AT_SYMLINK_NOFOLLOW | LX_AT_NO_AUTOMOUNT | LX_AT_EMPTY_PATH |
                        LX_AT_STATX_SYNC_TYPE)) ||
        (flags & LX_AT_STATX_SYNC_TYPE) == LX_AT_STATX_SYNC_TYPE)
        return -LX_EINVAL;
    int r = fs_walk_at((int)a[0], uaddr(a[1]), flags, &p);
    if (r < 0)
        return r;
    s64 ret = vfs_stat(&p, &k);
    if (ret == 0)
        ret = put_statx(&k, &p, (u32)a[3], a[4]);
    path_put(&p);
    return ret;
}

static s64 put_statfs(const struct path *p, u64 to)
{
    struct kstatfs k;
    int r = vfs_statfs(p, &k);
    if (r < 0)
        return r;
    struct lx_statfs st = {
        .f_type = (s64)k.type,
        .f_bsize = (s64)k.bsize,
        .f_blocks = k.blocks,
        .f_bfree = k.bfree,
        .f_bavail = k.bavail,
        .f_files = k.files,
        .f_ffree = k.ffree,
        .f_fsid = {(s32)p->dentry->sb->dev, (s32)(p->dentry->sb->dev >> 32)},
        .f_namelen = (s64)k.namelen,
        .f_frsize = (s64)k.frsize,
        .f_flags = (s64)k.flags,
    };
    return copy_out(uaddr(to), &st, sizeof(st));
}

s64 sys_statfs(struct task *t, const u64 a[6])
{
    struct path p;
    int r = vfs_walk_user(LX_AT_FDCWD, uaddr(a[0]), WALK_FOLLOW, &p);
    if (r < 0)
        return r;
    s64 ret = put_statfs(&p, a[1]);
    path_put(&p);
    return ret;
}

s64 sys_fstatfs(struct task *t, const u64 a[6])
{
    struct file *f cleanup(file_put_p) = fd_get_raw((int)a[0]);
    return f ? put_statfs(&f->path, a[1]) : -LX_EBADF;
}

/* ---- access -------------------------------------------------------------------------------- */

/* The capabilities that access(2) counts: those that the real user would have after setuid. */
static u64 real_caps(const struct cred *c)
{
    if (c->securebits & (1U << LX_SECURE_NO_SETUID_FIXUP))
        return c->cap_effective;
    return c->uid == make_kuid(own_ns(), 0) ? c->cap_permitted : 0;
}

static s64 do_access(int dirfd, u64 name, u32 mode, u32 flags)
{
    const struct cred *old = vfs_current->cred;
    struct cred *real = NULL;
    struct path p;
    if (mode & ~7U)
        return -LX_EINVAL;
    if (flags & ~(u32)(LX_AT_EACCESS | LX_AT_SYMLINK_NOFOLLOW | LX_AT_EMPTY_PATH))
        return -LX_EINVAL;
    if (!(flags & LX_AT_EACCESS) && (old->fsuid != old->uid || old->fsgid != old->gid ||
                                     real_caps(old) != old->cap_effective)) {
        real = cred_copy(old);
        if (!real)
            return -LX_ENOMEM;
        real->fsuid = real->uid;
        real->fsgid = real->gid;
        real->cap_effective = real_caps(old);
        vfs_current->cred = real;
    }
    int r = fs_walk_at(dirfd, uaddr(name), flags & ~(u32)LX_AT_EACCESS, &p);
    if (r == 0) {
        r = vfs_access(&p, mode);
        path_put(&p);
    }
    vfs_current->cred = old;
    cred_put(real);
    return r;
}

s64 sys_access(struct task *t, const u64 a[6])
{
    return do_access(LX_AT_FDCWD, a[0], (u32)a[1], 0);
}

s64 sys_faccessat(struct task *t, const u64 a[6])
{
    return do_access((int)a[0], a[1], (u32)a[2], 0);
}

s64 sys_faccessat2(struct task *t, const u64 a[6])
{
    return do_access((int)a[0], a[1], (u32)a[2], (u32)a[3]);
}

/* ---- mode and owner ------------------------------------------------------------------------ */

static s64 set_mode(const struct path *p, u32 mode, struct file *f)
{
    struct iattr at = {.valid = ATTR_MODE | ATTR_CTIME, .mode = mode & 07777U, .file = f};
    if ((p->dentry->inode->mode & LX_S_IFMT) == LX_S_IFLNK)
        return -LX_EOPNOTSUPP;
    return vfs_setattr(p, &at);
}

static s64 do_chmod(int dirfd, u64 name, u32 mode, u32 at_flags)
{
    struct path p;
    int r = fs_walk_at(dirfd, uaddr(name), at_flags, &p);
    if (r < 0)
        return r;
    s64 ret = set_mode(&p, mode, NULL);
    path_put(&p);
    return ret;
}

s64 sys_chmod(struct task *t, const u64 a[6])
{
    return do_chmod(LX_AT_FDCWD, a[0], (u32)a[1], 0);
}

s64 sys_fchmodat(struct task *t, const u64 a[6])
{
    return do_chmod((int)a[0], a[1], (u32)a[2], 0);
}

s64 sys_fchmodat2(struct task *t, const u64 a[6])
{
    if ((u32)a[3] & ~(u32)(LX_AT_SYMLINK_NOFOLLOW | LX_AT_EMPTY_PATH))
        return -LX_EINVAL;
    return do_chmod((int)a[0], a[1], (u32)a[2], (u32)a[3]);
}

s64 sys_fchmod(struct task *t, const u64 a[6])
{
    struct file *f cleanup(file_put_p) = fd_get((int)a[0]);
    return f ? set_mode(&f->path, (u32)a[1], f) : -LX_EBADF;
}

static s64 set_owner(const struct path *p, u32 uid, u32 gid, struct file *f)
{
    struct iattr at = {.valid = ATTR_CTIME, .file = f};
    if (uid != UINT32_MAX) {
        at.valid |= ATTR_UID;
        at.uid = make_kuid(own_ns(), uid);
        if (at.uid == UINT32_MAX)
            return -LX_EINVAL;
    }
    if (gid != UINT32_MAX) {
        at.valid |= ATTR_GID;
        at.gid = make_kgid(own_ns(), gid);
        if (at.gid == UINT32_MAX)
            return -LX_EINVAL;
    }
    if ((p->dentry->inode->mode & LX_S_IFMT) != LX_S_IFDIR)
        at.valid |= ATTR_KILL_PRIV;
    return vfs_setattr(p, &at);
}

static s64 do_chown(int dirfd, u64 name, u32 uid, u32 gid, u32 at_flags)
{
    struct path p;
    if (at_flags & ~(u32)(LX_AT_SYMLINK_NOFOLLOW | LX_AT_EMPTY_PATH))
        return -LX_EINVAL;
    int r = fs_walk_at(dirfd, uaddr(name), at_flags, &p);
    if (r < 0)
        return r;
    s64 ret = set_owner(&p, uid, gid, NULL);
    path_put(&p);
    return ret;
}

s64 sys_chown(struct task *t, const u64 a[6])
{
    return do_chown(LX_AT_FDCWD, a[0], (u32)a[1], (u32)a[2], 0);
}

s64 sys_lchown(struct task *t, const u64 a[6])
{
    return do_chown(LX_AT_FDCWD, a[0], (u32)a[1], (u32)a[2], LX_AT_SYMLINK_NOFOLLOW);
}

s64 sys_fchownat(struct task *t, const u64 a[6])
{
    return do_chown((int)a[0], a[1], (u32)a[2], (u32)a[3], (u32)a[4]);
}

s64 sys_fchown(struct task *t, const u64 a[6])
{
    struct file *f cleanup(file_put_p) = fd_get((int)a[0]);
    return f ? set_owner(&f->path, (u32)a[1], (u32)a[2], f) : -LX_EBADF;
}

/* ---- times --------------------------------------------------------------------------------- */

/* One of the two timespecs; false: invalid. */
static bool time_to_attr(const struct lx_timespec *ts, u32 bit, u32 now_bit, struct iattr *at)
{
    struct ktime *k = bit == ATTR_ATIME ? &at->atime : &at->mtime;
    if (ts->tv_nsec == UTIME_OMIT_)
        return true;
    at->valid |= bit;
    if (ts->tv_nsec == UTIME_NOW_) {
        at->valid |= now_bit;
        return true;
    }
    if (ts->tv_nsec < 0 || ts->tv_nsec >= NSEC_PER_SEC)
        return false;
    *k = (struct ktime){ts->tv_sec, (u32)ts->tv_nsec};
    return true;
}

/* ts NULL: both now. */
static s64 set_times(int dirfd, u64 name, const struct lx_timespec *ts, u32 at_flags)
{
    struct iattr at = {.valid = ATTR_CTIME};
    struct path p;
    if (!ts)
        at.valid |= ATTR_ATIME | ATTR_ATIME_NOW | ATTR_MTIME | ATTR_MTIME_NOW;
    else if (!time_to_attr(&ts[0], ATTR_ATIME, ATTR_ATIME_NOW, &at) ||
             !time_to_attr(&ts[1], ATTR_MTIME, ATTR_MTIME_NOW, &at))
        return -LX_EINVAL;
    if (at_flags & ~(u32)(LX_AT_SYMLINK_NOFOLLOW | LX_AT_EMPTY_PATH))
        return -LX_EINVAL;
    if (!name && dirfd != LX_AT_FDCWD) { /* futimens */
        struct file *f cleanup(file_put_p) = at_flags ? NULL : fd_get(dirfd);
        if (!f)
            return at_flags ? -LX_EINVAL : -LX_EBADF;
        return at.valid == ATTR_CTIME ? 0 : vfs_setattr(&f->path, &at);
    }
    if (at.valid == ATTR_CTIME)
        return 0; /* nothing to do, and nothing is looked at */
    int r = fs_walk_at(dirfd, uaddr(name), at_flags, &p);
    if (r < 0)
        return r;
    r = vfs_setattr(&p, &at);
    path_put(&p);
    return r;
}

s64 sys_utimensat(struct task *t, const u64 a[6])
{
    struct lx_timespec ts[2];
    if (!a[2])
        return set_times((int)a[0], a[1], NULL, (u32)a[3]);
    if (get_user(ts, uaddr(a[2])) < 0)
        return -LX_EFAULT;
    return set_times((int)a[0], a[1], ts, (u32)a[3]);
}

static s64 times_of_timeval(int dirfd, u64 name, u64 tvs)
{
    struct lx_timeval tv[2];
    struct lx_timespec ts[2];
    if (!tvs)
        return set_times(dirfd, name, NULL, 0);
    if (get_user(tv, uaddr(tvs)) < 0)
        return -LX_EFAULT;
    for (int i = 0; i < 2; i++) {
        if (tv[i].tv_usec < 0 || tv[i].tv_usec >= 1000000)
            return -LX_EINVAL;
        ts[i] = (struct lx_timespec){tv[i].tv_sec, tv[i].tv_usec * NSEC_PER_USEC};
    }
    return set_times(dirfd, name, ts, 0);
}

s64 sys_utimes(struct task *t, const u64 a[6])
{
    return times_of_timeval(LX_AT_FDCWD, a[0], a[1]);
}

s64 sys_futimesat(struct task *t, const u64 a[6])
{
    return times_of_timeval((int)a[0], a[1], a[2]);
}

s64 sys_utime(struct task *t, const u64 a[6])
{
    s64 secs[2];
    if (!a[1])
        return set_times(LX_AT_FDCWD, a[0], NULL, 0);
    if (get_user(secs, uaddr(a[1])) < 0)
        return -LX_EFAULT;
    struct lx_timespec ts[2] = {{secs[0], 0}, {secs[1], 0}};
    return set_times(LX_AT_FDCWD, a[0], ts, 0);
}

/* ---- size ---------------------------------------------------------------------------------- */

s64 sys_truncate(struct task *t, const u64 a[6])
{
    struct path p;
    if ((s64)a[1] < 0)
        return -LX_EINVAL;
    int r = vfs_walk_user(LX_AT_FDCWD, uaddr(a[0]), WALK_FOLLOW, &p);
    if (r < 0)
        return r;
    r = vfs_truncate(&p, a[1]);
    path_put(&p);
    return r;
}

s64 sys_ftruncate(struct task *t, const u64 a[6])
{
    if ((s64)a[1] < 0)
        return -LX_EINVAL;
    struct file *f cleanup(file_put_p) = fd_get((int)a[0]);
    return f ? vfs_ftruncate(f, (s64)a[1]) : -LX_EBADF;
}
