/* Handlers: mount, umount2, pivot_root. */
#include <stdlib.h>
#include <string.h>

#include "sys/fsutil.h"
#include "sys/sys.h"

/* An optional string; *ret_s owned, NULL for a null pointer. */
static int copy_string(u64 from, char **ret_s)
{
    *ret_s = NULL;
    if (!from)
        return 0;
    char *s = malloc(MAX_PATH);
    if (!s)
        return -LX_ENOMEM;
    s64 n = copy_in_str(s, uaddr(from), MAX_PATH);
    if (n < 0) {
        free(s);
        return n == -LX_ENAMETOOLONG ? -LX_EINVAL : (int)n;
    }
    *ret_s = s;
    return 0;
}

/* mount(2)'s data: up to a page, of which the last byte counts as NUL. */
static int copy_data(u64 from, char **ret_s)
{
    *ret_s = NULL;
    if (!from)
        return 0;
    char *s = calloc(1, PAGE_SIZE);
    if (!s)
        return -LX_ENOMEM;
    s64 n = copy_in_str(s, uaddr(from), PAGE_SIZE);
    if (n < 0 && n != -LX_ENAMETOOLONG) {
        free(s);
        return (int)n;
    }
    s[PAGE_SIZE - 1] = '\0';
    *ret_s = s;
    return 0;
}

s64 sys_mount(struct task *t, const u64 a[6])
{
    char *source = NULL, *type = NULL, *data = NULL;
    struct path at = {0};
    int r = copy_string(a[2], &type);
    if (r == 0)
        r = copy_string(a[0], &source);
    if (r == 0)
        r = copy_data(a[4], &data);
    if (r == 0)
        r = vfs_walk_user(LX_AT_FDCWD, uaddr(a[1]), WALK_FOLLOW, &at);
    if (r == 0)
        r = vfs_mount(source, &at, type, (u32)a[3], data);
    path_put(&at);
    free(source);
    free(type);
    free(data);
    return r;
}

s64 sys_umount2(struct task *t, const u64 a[6])
{
    struct path at;
    u32 flags = (u32)a[1];
    if (flags & ~(u32)(LX_MNT_FORCE | LX_MNT_DETACH | LX_MNT_EXPIRE | LX_UMOUNT_NOFOLLOW))
        return -LX_EINVAL;
    int r =
        vfs_walk_user(LX_AT_FDCWD, uaddr(a[0]), flags & LX_UMOUNT_NOFOLLOW ? 0 : WALK_FOLLOW, &at);
    if (r < 0)
        return r;
    fs_path_top(&at);
    r = vfs_umount(&at, flags);
    path_put(&at);
    return r;
}

s64 sys_pivot_root(struct task *t, const u64 a[6])
{
    struct path new_root = {0}, put_old = {0};
    int r = vfs_walk_user(LX_AT_FDCWD, uaddr(a[0]), WALK_FOLLOW | WALK_DIRECTORY, &new_root);
    if (r == 0)
        r = vfs_walk_user(LX_AT_FDCWD, uaddr(a[1]), WALK_FOLLOW | WALK_DIRECTORY, &put_old);
    if (r == 0)
        r = vfs_pivot_root(&new_root, &put_old);
    path_put(&new_root);
    path_put(&put_old);
    return r;
}
