/* FUSE: changes of attributes, extended attributes, ioctl. See fuse_int.h. */
#include <stdlib.h>
#include <string.h>

#include "fs/fuse_int.h"

/* ---- setattr -------------------------------------------------------------------------------- */

static void resized(struct inode *i, u64 size)
{
    fuse_set_size(i, size);
    fuse_data_resized(i, size);
    fuse_mark_stale(i);
}

int fuse_setattr(struct inode *i, const struct iattr *a)
{
    struct fuse_conn *c = fuse_conn_of(i->sb);
    struct lx_fuse_setattr_in in = {
        .size = a->size,
        .mode = a->mode,
        .uid = a->valid & ATTR_UID ? vfs_from_kuid(c->user_ns, a->uid) : 0,
        .gid = a->valid & ATTR_GID ? vfs_from_kgid(c->user_ns, a->gid) : 0,
        .atime = (u64)a->atime.sec,
        .atimensec = a->atime.nsec,
        .mtime = (u64)a->mtime.sec,
        .mtimensec = a->mtime.nsec,
    };
    static const struct {
        u32 from, to;
    } bits[] = {{ATTR_MODE, LX_FATTR_MODE},
                {ATTR_UID, LX_FATTR_UID},
                {ATTR_GID, LX_FATTR_GID},
                {ATTR_SIZE, LX_FATTR_SIZE},
                {ATTR_ATIME, LX_FATTR_ATIME},
                {ATTR_MTIME, LX_FATTR_MTIME},
                {ATTR_ATIME_NOW, LX_FATTR_ATIME_NOW},
                {ATTR_MTIME_NOW, LX_FATTR_MTIME_NOW}};
    bool is_size = a->valid & ATTR_SIZE;
    int may = fuse_may(c);
    if (may < 0)
        return may;
    if (is_size && (a->valid & ATTR_OPEN_TRUNC) && (c->init_flags & LX_FUSE_ATOMIC_O_TRUNC)) {
        resized(i, a->size); /* OPEN has done it */
        return 0;
    }
    for (size_t k = 0; k < ARRAY_SIZE(bits); k++)
        in.valid |= a->valid & bits[k].from ? bits[k].to : 0;
    if (is_size && a->file && a->file->inode == i && a->file->priv) {
        in.valid |= LX_FATTR_FH;
        in.fh = ((struct fuse_file *)a->file->priv)->fh;
    }
    if (!(in.valid & ~(u32)LX_FATTR_FH))
        return 0;
    struct lx_fuse_attr_out out;
    s64 r = fuse_call(c, &(struct fuse_args){.op = LX_FUSE_SETATTR,
                                             .nodeid = fuse_of(i)->nodeid,
                                             .in = {{&in, sizeof(in)}},
                                             .out = &out,
                                             .out_size = sizeof(out)});
    if (r < 0) {
        if (r == -LX_EINTR)
            fuse_mark_stale(i);
        return (int)r;
    }
    if (is_size)
        resized(i, a->size);
    u64 version = fuse_attr_version(c);
    return fuse_store_attr(i, &out.attr, out.attr_valid, out.attr_valid_nsec, version);
}

/* ---- extended attributes -------------------------------------------------------------------- */

static s64 xattr_error(struct fuse_conn *c, s64 r, u32 lacks)
{
    return fuse_is_lacking(c, r, lacks) ? -LX_EOPNOTSUPP : r;
}

/* Size 0 asks how much there is: the answer is a struct then. */
static s64 xattr_read(struct inode *i, u32 op, struct fuse_in name, void *buf, size_t size)
{
    struct fuse_conn *c = fuse_conn_of(i->sb);
    struct lx_fuse_xattr_in in = {.size = (u32)MIN(size, (size_t)LX_XATTR_SIZE_MAX)};
    struct lx_fuse_xattr_out out;
    u32 lacks = op == LX_FUSE_GETXATTR ? FUSE_LACKS_GETXATTR : FUSE_LACKS_LISTXATTR;
    if (fuse_lacks(c, lacks))
        return -LX_EOPNOTSUPP;
    int may = fuse_may(c);
    if (may < 0)
        return may;
    s64 r = fuse_call(c, &(struct fuse_args){.op = op,
                                             .nodeid = fuse_of(i)->nodeid,
                                             .in = {{&in, sizeof(in)}, name},
                                             .out = size ? buf : &out,
                                             .out_size = size ? in.size : sizeof(out),
                                             .is_var = size > 0});
    if (r < 0)
        return xattr_error(c, r, lacks);
    return size ? r : (s64)MIN(out.size, (u32)LX_XATTR_SIZE_MAX);
}

s64 fuse_getxattr(struct inode *i, const char *name, void *buf, size_t size)
{
    /* Who mounts in his own user namespace must not give capabilities to the programs of others. */
    if (fuse_conn_of(i->sb)->user_ns && !strcmp(name, "security.capability"))
        return -LX_ENODATA;
    return xattr_read(i, LX_FUSE_GETXATTR, (struct fuse_in){name, strlen(name) + 1}, buf, size);
}

s64 fuse_listxattr(struct inode *i, char *buf, size_t size)
{
    s64 n = xattr_read(i, LX_FUSE_LISTXATTR, (struct fuse_in){NULL, 0}, buf, size);
    if (n > 0 && size && buf[n - 1])
        return -LX_EIO;
    return n;
}

int fuse_setxattr(struct inode *i, const char *name, const void *val, size_t size, u32 flags)
{
    struct fuse_conn *c = fuse_conn_of(i->sb);
    struct lx_fuse_xattr_in in = {.size = (u32)size, .flags = flags};
    if (fuse_lacks(c, FUSE_LACKS_SETXATTR))
        return -LX_EOPNOTSUPP;
    s64 r = fuse_call(
        c, &(struct fuse_args){.op = LX_FUSE_SETXATTR,
                               .nodeid = fuse_of(i)->nodeid,
                               .in = {{&in, sizeof(in)}, {name, strlen(name) + 1}, {val, size}}});
    fuse_mark_stale(i);
    return (int)xattr_error(c, r, FUSE_LACKS_SETXATTR);
}

int fuse_removexattr(struct inode *i, const char *name)
{
    struct fuse_conn *c = fuse_conn_of(i->sb);
    if (fuse_lacks(c, FUSE_LACKS_RMXATTR))
        return -LX_EOPNOTSUPP;
    s64 r = fuse_call(c, &(struct fuse_args){.op = LX_FUSE_REMOVEXATTR,
                                             .nodeid = fuse_of(i)->nodeid,
                                             .in = {{name, strlen(name) + 1}}});
    fuse_mark_stale(i);
    return (int)xattr_error(c, r, FUSE_LACKS_RMXATTR);
}

/* ---- ioctl ---------------------------------------------------------------------------------- */

#define IOC_SIZE(cmd)     (((cmd) >> 16) & 0x3fffU)
#define IOC_IS_WRITE(cmd) ((cmd) >> 30 & 1U)
#define IOC_IS_READ(cmd)  ((cmd) >> 31 & 1U)

/* Only what the number tells of its argument is moved, as for every file system that is not a
 * character device's. */
s64 fuse_ioctl(struct file *f, u32 cmd, u64 arg)
{
    struct fuse_conn *c = fuse_conn_of(f->inode->sb);
    bool is_dir = (f->inode->mode & LX_S_IFMT) == LX_S_IFDIR;
    bool is_flags = cmd == LX_FS_IOC_GETFLAGS || cmd == LX_FS_IOC_SETFLAGS;
    u32 size = is_flags ? 4 : IOC_SIZE(cmd);
    struct lx_fuse_ioctl_in in = {.fh = fuse_file_of(f)->fh,
                                  .flags = is_dir ? LX_FUSE_IOCTL_DIR : 0,
                                  .cmd = cmd,
                                  .arg = arg,
                                  .in_size = IOC_IS_WRITE(cmd) ? size : 0,
                                  .out_size = IOC_IS_READ(cmd) ? size : 0};
    struct lx_fuse_ioctl_out out;
    if (is_dir && !(c->init_flags & LX_FUSE_HAS_IOCTL_DIR))
        return -LX_ENOTTY;
    int may = fuse_may(c);
    if (may < 0)
        return may;
    u8 *buf = malloc(sizeof(out) + size);
    if (!buf)
        return -LX_ENOMEM;
    s64 r = in.in_size ? copy_in(buf, uaddr(arg), in.in_size) : 0;
    if (r == 0)
        r = fuse_call(c, &(struct fuse_args){.op = LX_FUSE_IOCTL,
                                             .nodeid = fuse_of(f->inode)->nodeid,
                                             .in = {{&in, sizeof(in)}, {buf, in.in_size}},
                                             .out = buf,
                                             .out_size = (u32)sizeof(out) + in.out_size,
                                             .is_var = true});
    u32 got = r >= (s64)sizeof(out) ? (u32)(r - (s64)sizeof(out)) : 0;
    if (r >= 0 && r < (s64)sizeof(out))
        r = -LX_EIO;
    if (r >= 0) {
        memcpy(&out, buf, sizeof(out));
        r = out.flags & LX_FUSE_IOCTL_RETRY ? -LX_EIO : out.result;
        if (r >= 0 && got && copy_out(uaddr(arg), buf + sizeof(out), got) < 0)
            r = -LX_EFAULT;
        if (r < -4095)
            r = -LX_EIO;
    }
    free(buf);
    return r == -LX_ENOSYS ? -LX_ENOTTY : r;
}
