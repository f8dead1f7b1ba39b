/* A task's view of the vfs for tests: root credentials, a namespace on one super, no guest. */
#ifndef VFS_FIXTURE_H
#define VFS_FIXTURE_H

#include "abi/fs.h"
#include "test.h"
#include "vfs/vfs.h"

static struct vfs_task vfix_task;

/* Makes sb the root of a fresh namespace and the calling thread a task in it. Consumes sb. */
__attribute__((unused)) static void vfix_enter(struct super *sb, u32 mount_flags)
{
    static bool is_initialised;
    if (!is_initialised)
        CHECK_EQ(vfs_init(), 0);
    is_initialised = true;
    struct mount *m = mount_new(sb, mount_flags);
    CHECK(m != NULL);
    struct mnt_ns *ns;
    CHECK_EQ(mnt_ns_new(m, &ns), 0);
    struct path root = {m, sb->root};
    vfix_task.cred = cred_new_root();
    vfix_task.fs = fs_ctx_new(&root, &root, 022);
    vfix_task.files = fdtable_new();
    vfix_task.mnt_ns = ns;
    vfix_task.rlimit_fsize = vfix_task.rlimit_nofile = UINT64_MAX;
    CHECK(vfix_task.cred && vfix_task.fs && vfix_task.files);
    vfs_current = &vfix_task;
    mount_put(m);
    super_put(sb);
}

/* Everything goes; the super too, unless the test still holds it. */
__attribute__((unused)) static void vfix_leave(void)
{
    vfs_current = NULL;
    fdtable_put(vfix_task.files);
    fs_ctx_put(vfix_task.fs);
    mnt_ns_put(vfix_task.mnt_ns);
    cred_put(vfix_task.cred);
}

__attribute__((unused)) static int vfix_open(const char *name, u32 flags, u32 mode,
                                             struct file **ret_f)
{
    struct open_how how = {.flags = flags, .mode = mode};
    return vfs_open(LX_AT_FDCWD, name, &how, ret_f);
}

__attribute__((unused)) static int vfix_stat(const char *name, u32 walk_flags, struct kstat *ret)
{
    struct path p;
    int r = vfs_walk(LX_AT_FDCWD, name, walk_flags, &p);
    if (r < 0)
        return r;
    r = vfs_stat(&p, ret);
    path_put(&p);
    return r;
}

struct vfix_entry {
    char name[256];
    u64 ino;
    u32 type;
    s64 next_off;
};
struct vfix_list {
    struct dir_ctx ctx;
    struct vfix_entry *entries;
    u32 count, max, left; /* left: take that many more in this call */
};

__attribute__((unused)) static bool vfix_emit(struct dir_ctx *c, const char *name, size_t size,
                                              u64 ino, u32 type, s64 next_off)
{
    struct vfix_list *l = container_of(c, struct vfix_list, ctx);
    if (l->left == 0 || l->count == l->max)
        return false;
    struct vfix_entry *e = &l->entries[l->count++];
    memcpy(e->name, name, size);
    e->name[size] = 0;
    e->ino = ino;
    e->type = type;
    e->next_off = next_off;
    l->left--;
    return true;
}

/* One readdir call that takes at most `max` entries; their number. */
__attribute__((unused)) static int vfix_readdir(struct file *f, struct vfix_entry *ret, u32 max)
{
    struct vfix_list l = {.ctx = {vfix_emit}, .entries = ret, .max = max, .left = max};
    mutex_lock(&f->pos_lock);
    int r = f->ops->readdir(f, &l.ctx);
    mutex_unlock(&f->pos_lock);
    return r < 0 ? r : (int)l.count;
}

#endif
