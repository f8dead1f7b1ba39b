/* Handlers: mounts by file descriptor, and by number. */
#include <stdlib.h>
#include <string.h>

#include "mm/mm.h"
#include "sys/fsutil.h"
#include "sys/sys.h"
#include "vfs/mount_fd.h"

#define NAME_MAX_SIZE 256U

/* A string of at most `max` bytes with its NUL; *ret owned. */
static int copy_text(u64 from, size_t max, char **ret)
{
    char *s = malloc(max);
    if (!s)
        return -LX_ENOMEM;
    s64 n = copy_in_str(s, uaddr(from), max);
    if (n < 0) {
        free(s);
        return n == -LX_ENAMETOOLONG ? -LX_EINVAL : (int)n;
    }
    *ret = s;
    return 0;
}

s64 sys_fsopen(struct task *t, const u64 a[6])
{
    char *type;
    struct file *f = NULL;
    if (!mount_may())
        return -LX_EPERM;
    if ((u32)a[1] & ~(u32)LX_FSOPEN_CLOEXEC)
        return -LX_EINVAL;
    int r = copy_text(a[0], PAGE_SIZE, &type);
    if (r < 0)
        return r;
    r = vfs_fsopen(type, &f);
    free(type);
    return fs_install(r, f, (u32)a[1] & LX_FSOPEN_CLOEXEC ? LX_O_CLOEXEC : 0);
}

s64 sys_fspick(struct task *t, const u64 a[6])
{
    u32 flags = (u32)a[2], at = 0;
    struct path p;
    struct file *f = NULL;
    if (!mount_may())
        return -LX_EPERM;
    if (flags & ~15U)
        return -LX_EINVAL;
    at |= flags & LX_FSPICK_SYMLINK_NOFOLLOW ? LX_AT_SYMLINK_NOFOLLOW : 0;
    at |= flags & LX_FSPICK_EMPTY_PATH ? LX_AT_EMPTY_PATH : 0;
    int r = fs_walk_at((int)a[0], uaddr(a[1]), at, &p);
    if (r < 0)
        return r;
    fs_path_top(&p);
    r = vfs_fspick(&p, &f);
    path_put(&p);
    return fs_install(r, f, flags & LX_FSPICK_CLOEXEC ? LX_O_CLOEXEC : 0);
}

/* What each command must and must not come with. */
static int check_fsconfig(u32 cmd, u64 key, u64 value, s32 aux)
{
    bool is_ok;
    switch (cmd) {
    case LX_FSCONFIG_SET_FLAG:
        is_ok = key && !value && !aux;
        break;
    case LX_FSCONFIG_SET_STRING:
        is_ok = key && value && !aux;
        break;
    case LX_FSCONFIG_SET_BINARY:
        is_ok = key && value && aux > 0 && aux <= 1 << 20;
        break;
    case LX_FSCONFIG_SET_PATH:
    case LX_FSCONFIG_SET_PATH_EMPTY:
        is_ok = key && value && (aux >= 0 || aux == LX_AT_FDCWD);
        break;
    case LX_FSCONFIG_SET_FD:
        is_ok = key && !value && aux >= 0;
        break;
    case LX_FSCONFIG_CMD_CREATE:
    case LX_FSCONFIG_CMD_CREATE_EXCL:
    case LX_FSCONFIG_CMD_RECONFIGURE:
        is_ok = !key && !value && !aux;
        break;
    default:
        return -LX_EOPNOTSUPP;
    }
    return is_ok ? 0 : -LX_EINVAL;
}

s64 sys_fsconfig(struct task *t, const u64 a[6])
{
    u32 cmd = (u32)a[1];
    char *key = NULL, *val = NULL;
    if ((s32)a[0] < 0)
        return -LX_EINVAL;
    int r = check_fsconfig(cmd, a[2], a[3], (s32)a[4]);
    if (r < 0)
        return r;
    struct file *f cleanup(file_put_p) = fd_get((int)a[0]);
    if (!f)
        return -LX_EBADF;
    if (!vfs_is_fscontext(f))
        return -LX_EINVAL;
    if (a[2])
        r = copy_text(a[2], NAME_MAX_SIZE, &key);
    if (r == 0 && cmd == LX_FSCONFIG_SET_STRING)
        r = copy_text(a[3], NAME_MAX_SIZE, &val);
    if (r == 0)
        r = vfs_fsconfig(f, cmd, key, val);
    free(key);
    free(val);
    return r;
}

s64 sys_fsmount(struct task *t, const u64 a[6])
{
    struct file *f = NULL;
    if (!mount_may())
        return -LX_EPERM;
    if ((u32)a[1] & ~(u32)LX_FSMOUNT_CLOEXEC)
        return -LX_EINVAL;
    struct file *context cleanup(file_put_p) = fd_get((int)a[0]);
    if (!context)
        return -LX_EBADF;
    int r = vfs_fsmount(context, (u32)a[2], &f);
    return fs_install(r, f, (u32)a[1] & LX_FSMOUNT_CLOEXEC ? LX_O_CLOEXEC : 0);
}

s64 sys_open_tree(struct task *t, const u64 a[6])
{
    u32 flags = (u32)a[2];
    struct path p;
    struct file *f = NULL;
    if (flags & ~(u32)(LX_AT_EMPTY_PATH | LX_AT_NO_AUTOMOUNT | LX_AT_RECURSIVE |
                       LX_AT_SYMLINK_NOFOLLOW | LX_OPEN_TREE_CLONE | LX_OPEN_TREE_CLOEXEC))
        return -LX_EINVAL;
    if ((flags & (LX_AT_RECURSIVE | LX_OPEN_TREE_CLONE)) == LX_AT_RECURSIVE)
        return -LX_EINVAL;
    if ((flags & LX_OPEN_TREE_CLONE) && !mount_may())
        return -LX_EPERM;
    int r =
        fs_walk_at((int)a[0], uaddr(a[1]), flags & (LX_AT_EMPTY_PATH | LX_AT_SYMLINK_NOFOLLOW), &p);
    if (r < 0)
        return r;
    if (flags & LX_OPEN_TREE_CLONE)
        r = vfs_clone_tree(&p, flags & LX_AT_RECURSIVE, &f);
    else
        r = file_open_path(&p, LX_O_PATH, &f);
    path_put(&p);
    return fs_install(r, f, flags & LX_OPEN_TREE_CLOEXEC);
}

static u32 move_at_flags(u32 flags, u32 follow, u32 empty)
{
    return (flags & follow ? 0 : LX_AT_SYMLINK_NOFOLLOW) | (flags & empty ? LX_AT_EMPTY_PATH : 0);
}

s64 sys_move_mount(struct task *t, const u64 a[6])
{
    u32 flags = (u32)a[4];
    struct path from = {0}, to = {0};
    if (!mount_may())
        return -LX_EPERM;
    if (flags & ~0x77U)
        return -LX_EINVAL;
    int r = fs_walk_at((int)a[0], uaddr(a[1]),
                       move_at_flags(flags, LX_MOVE_MOUNT_F_SYMLINKS, LX_MOVE_MOUNT_F_EMPTY_PATH),
                       &from);
    if (r == 0)
        r = fs_walk_at((int)a[2], uaddr(a[3]),
                       move_at_flags(flags, LX_MOVE_MOUNT_T_SYMLINKS, LX_MOVE_MOUNT_T_EMPTY_PATH),
                       &to);
    if (r == 0) {
        fs_path_top(&to);
        r = vfs_move_mount(&from, &to);
    }
    path_put(&from);
    path_put(&to);
    return r;
}

static int check_mount_attr(const struct lx_mount_attr *a)
{
    const u64 types = LX_MS_SHARED | LX_MS_PRIVATE | LX_MS_SLAVE | LX_MS_UNBINDABLE;
    u64 p = a->propagation, set_atime = a->attr_set & LX_MOUNT_ATTR__ATIME;
    if ((p & ~types) || (p & (p - 1)) || ((a->attr_set | a->attr_clr) & ~(u64)LX_MOUNT_ATTR_ALL))
        return -LX_EINVAL;
    if (a->attr_clr & LX_MOUNT_ATTR__ATIME) {
        if ((a->attr_clr & LX_MOUNT_ATTR__ATIME) != LX_MOUNT_ATTR__ATIME)
            return -LX_EINVAL;
        if (set_atime != 0 && set_atime != LX_MOUNT_ATTR_NOATIME &&
            set_atime != LX_MOUNT_ATTR_STRICTATIME)
            return -LX_EINVAL;
    } else if (set_atime) {
        return -LX_EINVAL;
    }
    /* None of our file systems can show other owners than its own. */
    return (a->attr_set | a->attr_clr) & LX_MOUNT_ATTR_IDMAP ? -LX_EINVAL : 0;
}

s64 sys_mount_setattr(struct task *t, const u64 a[6])
{
    u32 flags = (u32)a[2];
    struct lx_mount_attr attr;
    struct path p;
    if (flags &
        ~(u32)(LX_AT_EMPTY_PATH | LX_AT_RECURSIVE | LX_AT_SYMLINK_NOFOLLOW | LX_AT_NO_AUTOMOUNT))
        return -LX_EINVAL;
    if (a[4] > PAGE_SIZE)
        return -LX_E2BIG;
    if (a[4] < sizeof(attr))
        return -LX_EINVAL;
    if (!mount_may())
        return -LX_EPERM;
    int r = copy_in_struct(&attr, sizeof(attr), uaddr(a[3]), a[4]);
    if (r < 0 || !(attr.attr_set | attr.attr_clr | attr.propagation))
        return r;
    r = check_mount_attr(&attr);
    if (r == 0)
        r = fs_walk_at((int)a[0], uaddr(a[1]), flags & (LX_AT_EMPTY_PATH | LX_AT_SYMLINK_NOFOLLOW),
                       &p);
    if (r < 0)
        return r;
    fs_path_top(&p);
    r = vfs_mount_setattr(&p, &attr, flags & LX_AT_RECURSIVE);
    path_put(&p);
    return r;
}

/* ---- by number ----------------------------------------------------------------------------- */

#define REQ_MIN_SIZE 24U

static int copy_request(u64 from, struct lx_mnt_id_req *q)
{
    u32 size;
    int r = copy_in(&size, uaddr(from), sizeof(size));
    if (r < 0)
        return r;
    if (size > PAGE_SIZE)
        return -LX_E2BIG;
    if (size < REQ_MIN_SIZE)
        return -LX_EINVAL;
    *q = (struct lx_mnt_id_req){0};
    r = copy_in_struct(q, sizeof(*q), uaddr(from), size);
    if (r == 0 && (q->spare || q->mnt_id <= LX_MNT_ID_UNIQUE_BASE))
        r = -LX_EINVAL;
    /* Of other namespaces nothing is told. */
    if (r == 0 && q->mnt_ns_id && q->mnt_ns_id != vfs_current->mnt_ns->ino)
        r = -LX_ENOENT;
    return r;
}

s64 sys_statmount(struct task *t, const u64 a[6])
{
    struct lx_mnt_id_req q;
    struct lx_statmount st;
    size_t size = a[2];
    if ((u32)a[3])
        return -LX_EINVAL;
    int r = copy_request(a[0], &q);
    if (r < 0)
        return r;
    size_t room = size > sizeof(st) ? MIN(size - sizeof(st), (size_t)65536) : 0;
    char *buf = malloc(room + 1);
    if (!buf)
        return -LX_ENOMEM;
    s64 n = vfs_statmount(q.mnt_id, q.param, &st, buf, room);
    if (n >= 0) {
        r = copy_out(uaddr(a[1]), &st, MIN(size, sizeof(st)));
        if (r == 0 && n > 0)
            r = copy_out(uaddr(a[1] + sizeof(st)), buf, (size_t)n);
    }
    free(buf);
    return n < 0 ? n : r;
}

s64 sys_listmount(struct task *t, const u64 a[6])
{
    struct lx_mnt_id_req q;
    if ((u32)a[3] & ~(u32)LX_LISTMOUNT_REVERSE)
        return -LX_EINVAL;
    if (a[2] > 1000000)
        return -LX_EOVERFLOW;
    int r = copy_request(a[0], &q);
    if (r < 0)
        return r;
    if (q.param && q.param <= LX_MNT_ID_UNIQUE_BASE)
        return -LX_EINVAL;
    size_t count = MIN(a[2], 4096UL); /* a caller goes on from the last it has got */
    u64 *ids = malloc(count * sizeof(u64) + 1);
    if (!ids)
        return -LX_ENOMEM;
    s64 n = vfs_listmount(q.mnt_id, q.param, (u32)a[3] & LX_LISTMOUNT_REVERSE, ids, count);
    if (n > 0 && copy_out(uaddr(a[1]), ids, (size_t)n * sizeof(u64)) < 0)
        n = -LX_EFAULT;
    free(ids);
    return n;
}
