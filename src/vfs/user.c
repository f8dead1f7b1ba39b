/* The forms that copy their path in from the calling task's memory. */
#include "vfs/vfs.h"

int vfs_walk_user(int dirfd, uaddr_t name, u32 walk_flags, struct path *ret_path)
{
    char buf[MAX_PATH];
    s64 n = copy_in_str(buf, name, sizeof(buf));
    return n < 0 ? (int)n : vfs_walk(dirfd, buf, walk_flags, ret_path);
}
