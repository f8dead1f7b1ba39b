/*
 * Extended attributes: the rules of each name space (xattr(7)); storage is the file system's.
 */
#include <string.h>

#include "abi/sched.h"
#include "vfs/acl.h"
#include "vfs/internal.h"
#include "vfs/vfs.h"

#define CAPS_NAME "security.capability"

static bool has_prefix(const char *name, const char *prefix)
{
    return !strncmp(name, prefix, strlen(prefix));
}

static int permission(const struct path *p, const char *name, u32 mask)
{
    struct inode *i = p->dentry->inode;
    if (mask & LX_W_OK) {
        int r = mount_want_write(p->mnt);
        if (r < 0)
            return r;
        if (i->flags & (INODE_IMMUTABLE | INODE_APPEND))
            return -LX_EPERM;
    }
    if (has_prefix(name, "security.")) {
        if (!(mask & LX_W_OK))
            return 0;
        int cap = !strcmp(name, CAPS_NAME) ? LX_CAP_SETFCAP : LX_CAP_SYS_ADMIN;
        return vfs_capable_over(cap, i->uid, i->gid) ? 0 : -LX_EPERM;
    }
    if (has_prefix(name, "system."))
        return mask & LX_W_OK && !inode_owner_or_capable(i) ? -LX_EPERM : 0;
    if (has_prefix(name, "trusted.")) {
        if (!vfs_capable(LX_CAP_SYS_ADMIN))
            return mask & LX_W_OK ? -LX_EPERM : -LX_ENODATA;
        return 0;
    }
    if (has_prefix(name, "user.")) {
        if (!mode_is_reg(i->mode) && !mode_is_dir(i->mode))
            return mask & LX_W_OK ? -LX_EPERM : -LX_ENODATA;
        if (mode_is_dir(i->mode) && (i->mode & LX_S_ISVTX) && (mask & LX_W_OK) &&
            !inode_owner_or_capable(i))
            return -LX_EPERM;
        return inode_permission(i, mask);
    }
    return -LX_EOPNOTSUPP;
}

static int check_name(const char *name)
{
    size_t n = strlen(name);
    return n == 0 || n > LX_XATTR_NAME_MAX ? -LX_ERANGE : 0;
}

static s64 get_acl(struct inode *i, bool is_default, void *buf, size_t size)
{
    struct acl *a = i->ops->set_acl ? inode_get_acl(i, is_default) : NULL;
    if (!a)
        return i->ops->set_acl && !mode_is_lnk(i->mode) ? -LX_ENODATA : -LX_EOPNOTSUPP;
    s64 n = acl_to_value(a, buf, size);
    acl_put(a);
    return n;
}

static int set_acl(const struct path *p, const char *name, bool is_default, const void *val,
                   size_t size)
{
    struct inode *i = p->dentry->inode;
    struct acl *a;
    int r = acl_from_value(val, size, &a);
    if (r == 0)
        r = mount_want_write(p->mnt);
    if (r == 0 && is_default && i->ops->set_acl && mode_is_reg(i->mode)) {
        bool is_none = !a; /* which is what everything but a directory has */
        acl_put(a);
        return is_none ? 0 : -LX_EACCES;
    }
    if (r == 0)
        r = permission(p, name, LX_W_OK);
    if (r == 0 && (!i->ops->set_acl || mode_is_lnk(i->mode)))
        r = -LX_EOPNOTSUPP;
    if (r == 0) {
        mutex_lock(&i->lock);
        r = i->ops->set_acl(i, is_default, a);
        mutex_unlock(&i->lock);
    }
    acl_put(a);
    if (r == 0)
        vfs_notify(p->dentry, LX_IN_ATTRIB);
    return r;
}

/* Names of lists come first. What they need, whether or not it fits. */
static size_t list_acls(struct inode *i, char *buf, size_t size)
{
    size_t n = 0;
    for (int k = 0; k < 2; k++) {
        const char *name = k ? ACL_XATTR_DEFAULT : ACL_XATTR_ACCESS;
        size_t len = strlen(name) + 1;
        if (!(k ? i->default_acl : i->acl))
            continue;
        if (n + len <= size)
            memcpy(buf + n, name, len);
        n += len;
    }
    return n;
}

s64 vfs_getxattr(const struct path *p, const char *name, void *buf, size_t size)
{
    struct inode *i = p->dentry->inode;
    int r = check_name(name);
    if (r == 0)
        r = permission(p, name, LX_R_OK);
    if (r < 0)
        return r;
    bool is_default;
    if (acl_is_name(name, &is_default))
        return get_acl(i, is_default, buf, size);
    return i->ops->getxattr ? i->ops->getxattr(i, name, buf, size) : -LX_EOPNOTSUPP;
}

int vfs_setxattr(const struct path *p, const char *name, const void *val, size_t size, u32 flags)
{
    struct inode *i = p->dentry->inode;
    if (flags & ~(u32)(LX_XATTR_CREATE | LX_XATTR_REPLACE))
        return -LX_EINVAL;
    int r = check_name(name);
    if (r == 0 && size > LX_XATTR_SIZE_MAX)
        r = -LX_E2BIG;
    bool is_default;
    if (r == 0 && acl_is_name(name, &is_default))
        return set_acl(p, name, is_default, val, size);
    if (r == 0)
        r = permission(p, name, LX_W_OK);
    if (r < 0)
        return r;
    if (!i->ops->setxattr)
        return -LX_EOPNOTSUPP;
    mutex_lock(&i->lock);
    r = i->ops->setxattr(i, name, val, size, flags);
    if (r == 0 && !strcmp(name, CAPS_NAME))
        i->flags |= INODE_PRIV_XATTR;
    mutex_unlock(&i->lock);
    if (r == 0)
        vfs_notify(p->dentry, LX_IN_ATTRIB);
    return r;
}

s64 vfs_listxattr(const struct path *p, char *buf, size_t size)
{
    struct inode *i = p->dentry->inode;
    size_t nacl = list_acls(i, buf, size);
    if (!i->ops->listxattr)
        return -LX_EOPNOTSUPP;
    if (size > 0 && nacl >= size)
        return nacl > size || i->ops->listxattr(i, NULL, 0) > 0 ? -LX_ERANGE : (s64)nacl;
    s64 n = i->ops->listxattr(i, size > 0 ? buf + nacl : NULL, size - MIN(nacl, size));
    return n < 0 ? n : n + (s64)nacl;
}

int vfs_removexattr(const struct path *p, const char *name)
{
    struct inode *i = p->dentry->inode;
    int r = check_name(name);
    bool is_default;
    if (r == 0 && acl_is_name(name, &is_default))
        return set_acl(p, name, is_default, NULL, 0);
    if (r == 0)
        r = permission(p, name, LX_W_OK);
    if (r < 0)
        return r;
    if (!i->ops->removexattr)
        return -LX_EOPNOTSUPP;
    mutex_lock(&i->lock);
    r = i->ops->removexattr(i, name);
    mutex_unlock(&i->lock);
    if (r == 0)
        vfs_notify(p->dentry, LX_IN_ATTRIB);
    return r;
}

s64 vfs_readlink(const struct path *p, char *buf, size_t size)
{
    struct inode *i = p->dentry->inode;
    if (!i->ops->readlink)
        return -LX_EINVAL;
    path_accessed(p);
    return i->ops->readlink(i, buf, size);
}
