/* Handlers: extended attributes. */
#include <stdlib.h>
#include <string.h>

#include "sys/fsutil.h"
#include "sys/sys.h"
#include "vfs/acl.h"

/* The object of a call: by path, by path without following, by descriptor. */
enum by { BY_PATH, BY_LINK, BY_FD };

static int find(enum by by, u64 arg, struct path *ret)
{
    if (by != BY_FD)
        return vfs_walk_user(LX_AT_FDCWD, uaddr(arg), by == BY_PATH ? WALK_FOLLOW : 0, ret);
    struct file *f = fd_get((int)arg);
    if (!f)
        return -LX_EBADF;
    *ret = f->path;
    path_get(ret);
    file_put(f);
    return 0;
}

static int copy_name(char buf[LX_XATTR_NAME_MAX + 1], u64 name)
{
    s64 n = copy_in_str(buf, uaddr(name), LX_XATTR_NAME_MAX + 1);
    if (n == -LX_ENAMETOOLONG || n == 0)
        return -LX_ERANGE;
    return n < 0 ? (int)n : 0;
}

/* Ids in a list are the caller's, those of the vfs are not. */
static void translate_acl(const char *name, void *val, s64 size, bool is_in)
{
    bool is_default;
    struct lx_acl_entry e;
    const struct cred *c = vfs_cred();
    if (size < 4 || !acl_is_name(name, &is_default))
        return;
    for (char *at = (char *)val + 4; at + sizeof(e) <= (char *)val + size; at += sizeof(e)) {
        memcpy(&e, at, sizeof(e));
        if (e.tag == LX_ACL_USER)
            e.id = is_in ? make_kuid(c->user_ns, e.id) : from_kuid(c->user_ns, e.id);
        else if (e.tag == LX_ACL_GROUP)
            e.id = is_in ? make_kgid(c->user_ns, e.id) : from_kgid(c->user_ns, e.id);
        memcpy(at, &e, sizeof(e));
    }
}

static s64 do_set(enum by by, const u64 a[6])
{
    char name[LX_XATTR_NAME_MAX + 1];
    struct path p;
    u64 size = a[3];
    if ((u32)a[4] & ~(u32)(LX_XATTR_CREATE | LX_XATTR_REPLACE))
        return -LX_EINVAL;
    int r = copy_name(name, a[1]);
    if (r < 0)
        return r;
    if (size > LX_XATTR_SIZE_MAX)
        return -LX_E2BIG;
    void *val = malloc(size ? size : 1);
    if (!val)
        return -LX_ENOMEM;
    r = size ? copy_in(val, uaddr(a[2]), size) : 0;
    if (r == 0)
        translate_acl(name, val, (s64)size, true);
    if (r == 0)
        r = find(by, a[0], &p);
    if (r == 0) {
        r = vfs_setxattr(&p, name, val, size, (u32)a[4]);
        path_put(&p);
    }
    free(val);
    return r;
}

s64 sys_setxattr(struct task *t, const u64 a[6])
{
    return do_set(BY_PATH, a);
}

s64 sys_lsetxattr(struct task *t, const u64 a[6])
{
    return do_set(BY_LINK, a);
}

s64 sys_fsetxattr(struct task *t, const u64 a[6])
{
    return do_set(BY_FD, a);
}

/* name NULL: the list. */
static s64 fetch(const struct path *p, const char *name, u64 to, u64 size, u64 max)
{
    size = MIN(size, max);
    char *buf = malloc(size ? size : 1);
    if (!buf)
        return -LX_ENOMEM;
    s64 n = name ? vfs_getxattr(p, name, buf, size) : vfs_listxattr(p, buf, size);
    if (n > 0 && size > 0 && name)
        translate_acl(name, buf, n, false);
    if (n > 0 && size > 0 && copy_out(uaddr(to), buf, (size_t)n) < 0)
        n = -LX_EFAULT;
    else if (n == -LX_ERANGE && size == max)
        n = -LX_E2BIG;
    free(buf);
    return n;
}

static s64 do_get(enum by by, const u64 a[6])
{
    char name[LX_XATTR_NAME_MAX + 1];
    struct path p;
    int r = copy_name(name, a[1]);
    if (r == 0)
        r = find(by, a[0], &p);
    if (r < 0)
        return r;
    s64 n = fetch(&p, name, a[2], a[3], LX_XATTR_SIZE_MAX);
    path_put(&p);
    return n;
}

s64 sys_getxattr(struct task *t, const u64 a[6])
{
    return do_get(BY_PATH, a);
}

s64 sys_lgetxattr(struct task *t, const u64 a[6])
{
    return do_get(BY_LINK, a);
}

s64 sys_fgetxattr(struct task *t, const u64 a[6])
{
    return do_get(BY_FD, a);
}

static s64 do_list(enum by by, const u64 a[6])
{
    struct path p;
    int r = find(by, a[0], &p);
    if (r < 0)
        return r;
    s64 n = fetch(&p, NULL, a[1], a[2], LX_XATTR_LIST_MAX);
    path_put(&p);
    return n;
}

s64 sys_listxattr(struct task *t, const u64 a[6])
{
    return do_list(BY_PATH, a);
}

s64 sys_llistxattr(struct task *t, const u64 a[6])
{
    return do_list(BY_LINK, a);
}

s64 sys_flistxattr(struct task *t, const u64 a[6])
{
    return do_list(BY_FD, a);
}

static s64 do_remove(enum by by, const u64 a[6])
{
    char name[LX_XATTR_NAME_MAX + 1];
    struct path p;
    int r = copy_name(name, a[1]);
    if (r == 0)
        r = find(by, a[0], &p);
    if (r < 0)
        return r;
    r = vfs_removexattr(&p, name);
    path_put(&p);
    return r;
}

s64 sys_removexattr(struct task *t, const u64 a[6])
{
    return do_remove(BY_PATH, a);
}

s64 sys_lremovexattr(struct task *t, const u64 a[6])
{
    return do_remove(BY_LINK, a);
}

s64 sys_fremovexattr(struct task *t, const u64 a[6])
{
    return do_remove(BY_FD, a);
}
