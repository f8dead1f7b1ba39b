/*
 * A task for unit tests of files: a tmpfs as root (or a root that the test gives), all
 * capabilities unless told otherwise, kernel-memory buffers.
 */
#ifndef VFS_ENV_H
#define VFS_ENV_H

#pragma GCC diagnostic ignored "-Wformat-truncation" /* test.h cuts long texts */

#include <string.h>

#include "abi/sched.h"
#include "fs/tmpfs.h"
#include "test.h"
#include "vfs/file.h"
#include "vfs/vfs.h"

static struct vfs_task env_task;
static struct cred *env_root_cred, *env_user_cred;
static int env_signal;

static void env_send_signal(int signo)
{
    env_signal = signo;
}

static void env_init_once(void)
{
    static bool is_done;
    if (is_done)
        return;
    is_done = true;
    CHECK_EQ(vfs_init(), 0);
    CHECK_EQ(tmpfs_init(), 0);
}

/* Makes the calling thread a task whose namespace has this super (consumed) at its root. */
static void env_start_on(struct super *sb)
{
    struct mnt_ns *ns;
    struct mount *m = mount_new(sb, LX_MS_RELATIME);
    super_put(sb);
    CHECK(m != NULL);
    CHECK_EQ(mnt_ns_new(m, &ns), 0);
    struct path root = {m, m->root};
    struct fs_ctx *fs = fs_ctx_new(&root, &root, 022);
    mount_put(m);
    env_root_cred = cred_new_root();
    env_user_cred = cred_new_root();
    env_user_cred->uid = env_user_cred->euid = env_user_cred->suid = env_user_cred->fsuid = 1000;
    env_user_cred->gid = env_user_cred->egid = env_user_cred->sgid = env_user_cred->fsgid = 1000;
    env_user_cred->cap_effective = env_user_cred->cap_permitted = 0;
    env_task = (struct vfs_task){
        .cred = env_root_cred,
        .fs = fs,
        .files = fdtable_new(),
        .mnt_ns = ns,
        .rlimit_fsize = UINT64_MAX,
        .rlimit_nofile = 1024,
        .pid = 1,
        .tgid = 1,
        .send_signal = env_send_signal,
    };
    vfs_current = &env_task;
    env_signal = 0;
}

static void env_start(void)
{
    struct super *sb;
    env_init_once();
    CHECK_EQ(tmpfs_type.mount(&tmpfs_type, 0, "root", "mode=755", &sb), 0);
    env_start_on(sb);
}

static void env_stop(void)
{
    fdtable_put(env_task.files);
    fs_ctx_put(env_task.fs);
    vfs_current = NULL;
    mnt_ns_put(env_task.mnt_ns);
    cred_put(env_root_cred);
    cred_put(env_user_cred);
    epoch_drain();
}

static void as_user(void)
{
    env_task.cred = env_user_cred;
}

static void as_root(void)
{
    env_task.cred = env_root_cred;
}

static void e_close(int fd)
{
    CHECK_EQ(fd_close(fd), 0);
}

static int e_open(const char *name, u32 flags, u32 mode)
{
    struct open_how how = {.flags = flags, .mode = mode};
    struct file *f;
    int r = vfs_open(LX_AT_FDCWD, name, &how, &f);
    if (r < 0)
        return r;
    r = fd_install(f, 0, flags & LX_O_CLOEXEC);
    if (r < 0)
        file_put(f);
    return r;
}

static s64 e_write(int fd, const void *buf, size_t size)
{
    struct uio u;
    struct file *f = fd_get(fd);
    if (!f)
        return -LX_EBADF;
    uio_init_kernel(&u, (void *)(uintptr_t)buf, size);
    s64 r = vfs_write(f, &u, NULL);
    file_put(f);
    return r;
}

static s64 e_read(int fd, void *buf, size_t size)
{
    struct uio u;
    struct file *f = fd_get(fd);
    if (!f)
        return -LX_EBADF;
    uio_init_kernel(&u, buf, size);
    s64 r = vfs_read(f, &u, NULL);
    file_put(f);
    return r;
}

static s64 e_seek(int fd, s64 off, int whence)
{
    struct file *f = fd_get(fd);
    s64 r = vfs_seek(f, off, whence);
    file_put(f);
    return r;
}

static int e_mkdir(const char *name, u32 mode)
{
    return vfs_mkdir(LX_AT_FDCWD, name, mode);
}

static int e_creat(const char *name, const char *text)
{
    int fd = e_open(name, LX_O_CREAT | LX_O_WRONLY | LX_O_TRUNC, 0644);
    if (fd < 0)
        return fd;
    s64 n = *text ? e_write(fd, text, strlen(text)) : 0;
    e_close(fd);
    return n < 0 ? (int)n : 0;
}

static int e_walk(const char *name, struct path *p)
{
    return vfs_walk(LX_AT_FDCWD, name, 0, p);
}

static int e_stat(const char *name, struct kstat *st)
{
    struct path p;
    int r = vfs_walk(LX_AT_FDCWD, name, WALK_FOLLOW, &p);
    if (r < 0)
        return r;
    r = vfs_stat(&p, st);
    path_put(&p);
    return r;
}

static int e_lstat(const char *name, struct kstat *st)
{
    struct path p;
    int r = e_walk(name, &p);
    if (r < 0)
        return r;
    r = vfs_stat(&p, st);
    path_put(&p);
    return r;
}

static int e_chmod(const char *name, u32 mode)
{
    struct path p;
    struct iattr a = {.valid = ATTR_MODE | ATTR_CTIME, .mode = mode};
    int r = vfs_walk(LX_AT_FDCWD, name, WALK_FOLLOW, &p);
    if (r < 0)
        return r;
    r = vfs_setattr(&p, &a);
    path_put(&p);
    return r;
}

static int e_chown(const char *name, u32 uid, u32 gid)
{
    struct path p;
    struct iattr a = {
        .valid = ATTR_UID | ATTR_GID | ATTR_CTIME | ATTR_KILL_PRIV, .uid = uid, .gid = gid};
    int r = vfs_walk(LX_AT_FDCWD, name, WALK_FOLLOW, &p);
    if (r < 0)
        return r;
    r = vfs_setattr(&p, &a);
    path_put(&p);
    return r;
}

static int e_rename(const char *a, const char *b, u32 flags)
{
    return vfs_rename(LX_AT_FDCWD, a, LX_AT_FDCWD, b, flags);
}

static int e_unlink(const char *name)
{
    return vfs_unlink(LX_AT_FDCWD, name);
}

static int e_rmdir(const char *name)
{
    return vfs_rmdir(LX_AT_FDCWD, name);
}

static int e_symlink(const char *target, const char *name)
{
    return vfs_symlink(target, LX_AT_FDCWD, name);
}

static int e_link(const char *a, const char *b)
{
    return vfs_link(LX_AT_FDCWD, a, LX_AT_FDCWD, b, 0);
}

static int e_mount(const char *src, const char *at, const char *type, u32 flags, const char *data)
{
    struct path p;
    int r = vfs_walk(LX_AT_FDCWD, at, WALK_FOLLOW, &p);
    if (r < 0)
        return r;
    r = vfs_mount(src, &p, type, flags, data);
    path_put(&p);
    return r;
}

static int e_umount(const char *at, u32 flags)
{
    struct path p;
    int r = vfs_walk(LX_AT_FDCWD, at, WALK_FOLLOW, &p);
    if (r < 0)
        return r;
    r = vfs_umount(&p, flags);
    path_put(&p);
    return r;
}

/* The names of a directory, sorted by how readdir gives them, separated by spaces, without dots. */
struct env_list {
    struct dir_ctx ctx;
    char *buf;
    size_t size, n;
    int max;
};

static bool env_emit(struct dir_ctx *c, const char *name, size_t size, u64 ino, u32 type, s64 next)
{
    struct env_list *l = container_of(c, struct env_list, ctx);
    if (l->max-- == 0)
        return false;
    if (name[0] == '.' && (size == 1 || (size == 2 && name[1] == '.')))
        return true;
    if (l->n + size + 2 > l->size)
        return false;
    if (l->n > 0)
        l->buf[l->n++] = ' ';
    memcpy(l->buf + l->n, name, size);
    l->n += size;
    l->buf[l->n] = '\0';
    return true;
}

static const char *e_ls(const char *name)
{
    static char buf[65536];
    struct env_list l = {.ctx = {.emit = env_emit}, .buf = buf, .size = sizeof(buf), .max = -1};
    int fd = e_open(name, LX_O_RDONLY | LX_O_DIRECTORY, 0);
    buf[0] = '\0';
    if (fd < 0)
        return "(cannot open)";
    struct file *f = fd_get(fd);
    mutex_lock(&f->pos_lock);
    int r = f->ops->readdir(f, &l.ctx);
    mutex_unlock(&f->pos_lock);
    file_put(f);
    e_close(fd);
    return r < 0 ? "(cannot read)" : buf;
}

static const char *e_cat(const char *name)
{
    static char buf[4096];
    int fd = e_open(name, LX_O_RDONLY, 0);
    if (fd < 0)
        return "(cannot open)";
    s64 n = e_read(fd, buf, sizeof(buf) - 1);
    e_close(fd);
    if (n < 0)
        return "(cannot read)";
    buf[n] = '\0';
    return buf;
}

static const char *e_path(const char *name)
{
    static char buf[4096];
    struct path p, root;
    if (e_walk(name, &p) < 0)
        return "(no walk)";
    fs_ctx_root(env_task.fs, &root);
    s64 n = vfs_path_string(&p, &root, buf, sizeof(buf));
    path_put(&p);
    path_put(&root);
    return n < 0 ? "(error)" : buf;
}

/* Some tests use only some of the helpers. */
__attribute__((unused)) static void *const env_used[] = {
    (void *)env_start, (void *)env_stop, (void *)as_user,  (void *)as_root, (void *)e_seek,
    (void *)e_mkdir,   (void *)e_creat,  (void *)e_stat,   (void *)e_lstat, (void *)e_chmod,
    (void *)e_chown,   (void *)e_rename, (void *)e_unlink, (void *)e_rmdir, (void *)e_symlink,
    (void *)e_link,    (void *)e_mount,  (void *)e_umount, (void *)e_ls,    (void *)e_cat,
    (void *)e_path,
};

#endif
