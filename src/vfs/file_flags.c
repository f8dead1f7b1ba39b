/* See file_flags.h. */
#include "vfs/file_flags.h"

#include "abi/sched.h"
#include "vfs/internal.h"

#define FS_IOC_GETFLAGS   0x80086601U
#define FS_IOC_SETFLAGS   0x40086602U
#define FS_IOC_FSGETXATTR 0x801c581fU
#define FS_IOC_FSSETXATTR 0x401c5820U

/* FS_*_FL and FS_XFLAG_*; the former are STATX_ATTR_*'s numbers where both exist. */
#define FS_COMPR_FL     0x4U
#define FS_IMMUTABLE_FL 0x10U
#define FS_APPEND_FL    0x20U
#define FS_NODUMP_FL    0x40U
#define FS_NOATIME_FL   0x80U
#define FS_ENCRYPT_FL   0x800U
#define FS_VERITY_FL    0x100000U
#define FS_STATX_FLS                                                                               \
    (FS_COMPR_FL | FS_IMMUTABLE_FL | FS_APPEND_FL | FS_NODUMP_FL | FS_ENCRYPT_FL | FS_VERITY_FL)
#define FS_XFLAG_IMMUTABLE 0x8U
#define FS_XFLAG_APPEND    0x10U
#define FS_XFLAG_NOATIME   0x40U
#define FS_XFLAG_NODUMP    0x80U

struct lx_fsxattr {
    u32 xflags, extsize, nextents, projid, cowextsize;
    u8 pad[8];
};

static const struct {
    u32 inode, fl, xflag;
} file_flags[] = {
    {INODE_APPEND, FS_APPEND_FL, FS_XFLAG_APPEND},
    {INODE_IMMUTABLE, FS_IMMUTABLE_FL, FS_XFLAG_IMMUTABLE},
    {INODE_NODUMP, FS_NODUMP_FL, FS_XFLAG_NODUMP},
    {INODE_NOATIME, FS_NOATIME_FL, FS_XFLAG_NOATIME},
};

void inode_set_file_flags(struct inode *i, u32 flags)
{
    u32 old = atomic_load(&i->flags);
    while (!atomic_compare_exchange_weak(&i->flags, &old, (old & ~(u32)INODE_FILE_FLAGS) | flags)) {
    }
}

/* FS_*_FL of a file: those that its file system keeps here, and what statx tells of the host's. */
static int get_flags(struct file *f, bool is_kept, u32 *ret_fl)
{
    struct inode *i = f->inode;
    struct kstat st;
    int r = vfs_stat(&f->path, &st);
    if (r < 0)
        return r;
    if (!is_kept && !(st.attributes_mask & FS_STATX_FLS))
        return -LX_ENOTTY;
    u32 fl = (u32)st.attributes & FS_STATX_FLS;
    for (size_t k = 0; is_kept && k < ARRAY_SIZE(file_flags); k++)
        fl |= i->flags & file_flags[k].inode ? file_flags[k].fl : 0;
    *ret_fl = fl;
    return 0;
}

typedef int set_fn(struct inode *i, u32 flags);

/* has_others: flags that no file system here keeps are asked for. */
static int set_flags(struct file *f, u32 flags, bool has_others, set_fn *set)
{
    struct inode *i = f->inode;
    int r = mount_want_write(f->path.mnt);
    if (r < 0)
        return r;
    if (!set)
        return -LX_ENOTTY;
    if (!inode_owner_or_capable(i))
        return -LX_EPERM;
    mutex_lock(&i->lock);
    if (((flags ^ i->flags) & (INODE_APPEND | INODE_IMMUTABLE)) &&
        !vfs_capable(LX_CAP_LINUX_IMMUTABLE))
        r = -LX_EPERM;
    else
        r = has_others ? -LX_EOPNOTSUPP : set(i, flags);
    mutex_unlock(&i->lock);
    return r;
}

static s64 ioctl_flags(struct file *f, u32 cmd, uaddr_t arg, set_fn *set)
{
    u32 fl, flags = 0;
    if (cmd == FS_IOC_GETFLAGS) {
        int r = get_flags(f, set, &fl);
        return r < 0 ? r : put_user(fl, arg);
    }
    if (get_user(fl, arg) < 0)
        return -LX_EFAULT;
    for (size_t k = 0; k < ARRAY_SIZE(file_flags); k++) {
        flags |= fl & file_flags[k].fl ? file_flags[k].inode : 0;
        fl &= ~file_flags[k].fl;
    }
    return set_flags(f, flags, fl != 0, set);
}

static s64 ioctl_xflags(struct file *f, u32 cmd, uaddr_t arg, set_fn *set)
{
    struct lx_fsxattr x = {0};
    u32 fl, flags = 0;
    if (cmd == FS_IOC_FSGETXATTR) {
        int r = get_flags(f, set, &fl);
        for (size_t k = 0; r == 0 && k < ARRAY_SIZE(file_flags); k++)
            x.xflags |= fl & file_flags[k].fl ? file_flags[k].xflag : 0;
        return r < 0 ? r : put_user(x, arg);
    }
    if (get_user(x, arg) < 0)
        return -LX_EFAULT;
    for (size_t k = 0; k < ARRAY_SIZE(file_flags); k++) {
        flags |= x.xflags & file_flags[k].xflag ? file_flags[k].inode : 0;
        x.xflags &= ~file_flags[k].xflag;
    }
    return set_flags(f, flags, x.xflags || x.extsize || x.projid || x.cowextsize, set);
}

s64 file_flags_ioctl(struct file *f, u32 cmd, u64 arg, int (*set)(struct inode *i, u32 flags))
{
    switch (cmd) {
    case FS_IOC_GETFLAGS:
    case FS_IOC_SETFLAGS:
        return ioctl_flags(f, cmd, uaddr(arg), set);
    case FS_IOC_FSGETXATTR:
    case FS_IOC_FSSETXATTR:
        return ioctl_xflags(f, cmd, uaddr(arg), set);
    default:
        return -LX_ENOTTY;
    }
}
