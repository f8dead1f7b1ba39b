/* What the handlers of file calls share; the contract is in the header. */
#include "sys/fsutil.h"

#include "sys/sys.h"
#include "vfs/internal.h"

int fs_copy_path(char *buf, uaddr_t name)
{
    s64 n = copy_in_str(buf, name, MAX_PATH);
    return n < 0 ? (int)n : 0;
}

int fs_walk_at(int dirfd, uaddr_t name, u32 at_flags, struct path *ret_path)
{
    char buf[MAX_PATH];
    u32 wf = at_flags & LX_AT_SYMLINK_NOFOLLOW ? 0 : WALK_FOLLOW;
    buf[0] = '\0';
    if (name.v || !(at_flags & LX_AT_EMPTY_PATH)) {
        int r = fs_copy_path(buf, name);
        if (r < 0)
            return r;
    }
    if (buf[0] || !(at_flags & LX_AT_EMPTY_PATH))
        return vfs_walk(dirfd, buf, wf, ret_path);
    if (dirfd == LX_AT_FDCWD) {
        fs_ctx_cwd(vfs_current->fs, ret_path);
        return 0;
    }
    struct file *f = fd_get_raw(dirfd);
    if (!f)
        return -LX_EBADF;
    *ret_path = f->path;
    path_get(ret_path);
    file_put(f);
    return 0;
}

s64 fs_install(int r, struct file *f, u32 flags)
{
    if (r < 0)
        return r;
    int fd = fd_install(f, 0, flags & LX_O_CLOEXEC);
    if (fd < 0)
        file_put(f);
    return fd;
}

void fs_path_top(struct path *p)
{
    struct mount *m;
    while ((m = mount_on(p))) {
        path_put(p);
        dentry_get(m->root);
        *p = (struct path){m, m->root};
    }
}
