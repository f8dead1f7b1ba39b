/* overlay: layers of tmpfs. */
#include "fs/overlay.h"
#include "vfs_env.h"

static struct super *make_tmpfs(void)
{
    struct super *sb;
    CHECK_EQ(tmpfs_type.mount(&tmpfs_type, 0, "l", "mode=755", &sb), 0);
    return sb;
}

/* Runs fill with a fresh tmpfs as root; its super stays. */
static struct super *make_layer(void (*fill)(void))
{
    struct super *sb = make_tmpfs();
    super_get(sb);
    env_start_on(sb);
    fill();
    env_stop();
    return sb;
}

static void fill_lower(void)
{
    CHECK_EQ(e_mkdir("dir", 0755), 0);
    CHECK_EQ(e_creat("dir/a", "low-a"), 0);
    CHECK_EQ(e_creat("dir/b", "low-b"), 0);
    CHECK_EQ(e_mkdir("dir/sub", 0750), 0);
    CHECK_EQ(e_creat("dir/sub/deep", "deep"), 0);
    CHECK_EQ(e_mkdir("empty", 0755), 0);
    CHECK_EQ(e_creat("file", "lower"), 0);
    CHECK_EQ(e_chmod("file", 04711), 0);
    CHECK_EQ(e_chown("file", 7, 8), 0);
    CHECK_EQ(e_symlink("dir/a", "link"), 0);
    CHECK_EQ(e_creat("h1", "hard"), 0);
    CHECK_EQ(e_link("h1", "h2"), 0);
    CHECK_EQ(e_link("h1", "dir/h3"), 0);
    CHECK_EQ(vfs_mknod(LX_AT_FDCWD, "fifo", LX_S_IFIFO | 0600, 0), 0);
    struct path p;
    CHECK_EQ(e_walk("file", &p), 0);
    CHECK_EQ(vfs_setxattr(&p, "user.x", "y", 1, 0), 0);
    CHECK_EQ(vfs_setxattr(&p, "security.selinux", "s", 1, 0), 0);
    path_put(&p);
}

static void start(void)
{
    struct super *sb, *lower;
    env_init_once();
    lower = make_layer(fill_lower);
    CHECK_EQ(overlay_new_on_tmpfs(lower, 0, &sb), 0);
    super_put(lower);
    env_start_on(sb);
}

TEST(reads_through)
{
    struct kstat st;
    start();
    CHECK_STR(e_cat("file"), "lower");
    CHECK_STR(e_cat("link"), "low-a");
    CHECK_STR(e_cat("link"), "low-a");
    CHECK_STR(e_ls("dir"), "a b sub h3");
    CHECK_EQ(e_stat("dir", &st), 0);
    CHECK_EQ(st.nlink, 3);
    CHECK_EQ(e_stat("none", &st), -LX_ENOENT);
    CHECK_EQ(e_stat("dir/sub", &st), 0);
    CHECK_EQ(st.mode, LX_S_IFDIR | 0750);
    env_stop();
}

TEST(copy_up)
{
    struct kstat before, after, dir_before, dir_after;
    struct path p;
    char buf[8];
    start();
    CHECK_EQ(e_stat("file", &before), 0);
    CHECK_EQ(e_stat("/", &dir_before), 0);
    int rd = e_open("file", LX_O_RDONLY, 0);
    int wr = e_open("file", LX_O_WRONLY | LX_O_APPEND, 0);
    CHECK_EQ(e_stat("file", &after), 0);
    CHECK_EQ(after.ino, before.ino);
    CHECK_EQ(after.dev, before.dev);
    CHECK_EQ(after.mode, before.mode);
    CHECK_EQ(after.uid, 7);
    CHECK_EQ(after.gid, 8);
    CHECK_EQ(after.mtime.sec, before.mtime.sec);
    CHECK_EQ(after.mtime.nsec, before.mtime.nsec);
    CHECK_EQ(e_stat("/", &dir_after), 0);
    CHECK_EQ(dir_after.mtime.nsec, dir_before.mtime.nsec);
    CHECK_EQ(e_write(wr, "++", 2), 2);
    CHECK_EQ(e_read(rd, buf, 8), 7); /* what was open before sees the change */
    CHECK_STR(e_cat("file"), "lower++");
    CHECK_EQ(e_walk("file", &p), 0);
    CHECK_EQ(vfs_getxattr(&p, "user.x", buf, 8), 1);
    CHECK_EQ(vfs_listxattr(&p, NULL, 0), 7 + 17);
    path_put(&p);
    CHECK_EQ(e_chmod("dir/sub/deep", 0600), 0);
    CHECK_STR(e_cat("dir/sub/deep"), "deep");
    CHECK_EQ(e_stat("dir/sub", &after), 0);
    CHECK_EQ(after.mode, LX_S_IFDIR | 0750);
    CHECK_EQ(after.nlink, 1); /* merged */
    env_stop();
}

TEST(whiteouts)
{
    struct kstat st;
    start();
    CHECK_EQ(e_unlink("file"), 0);
    CHECK_EQ(e_stat("file", &st), -LX_ENOENT);
    CHECK_EQ(e_unlink("file"), -LX_ENOENT);
    CHECK_EQ(e_creat("file", "new"), 0);
    CHECK_STR(e_cat("file"), "new");
    CHECK_EQ(e_unlink("file"), 0);
    CHECK_EQ(e_stat("file", &st), -LX_ENOENT);
    CHECK_EQ(e_rmdir("dir"), -LX_ENOTEMPTY);
    CHECK_EQ(e_unlink("dir/a"), 0);
    CHECK_STR(e_ls("dir"), "b sub h3");
    CHECK_EQ(e_creat("dir/c", "c"), 0);
    CHECK_STR(e_ls("dir"), "c b sub h3");
    CHECK_EQ(e_creat("dir/a", "again"), 0);
    CHECK_STR(e_ls("dir"), "c a b sub h3");
    CHECK_EQ(e_unlink("dir/a"), 0);
    CHECK_EQ(e_unlink("dir/b"), 0);
    CHECK_EQ(e_unlink("dir/c"), 0);
    CHECK_EQ(e_unlink("dir/h3"), 0);
    CHECK_EQ(e_unlink("dir/sub/deep"), 0);
    CHECK_EQ(e_rmdir("dir/sub"), 0);
    CHECK_STR(e_ls("dir"), "");
    CHECK_EQ(e_rmdir("dir"), 0);
    CHECK_EQ(e_stat("dir", &st), -LX_ENOENT);
    CHECK_EQ(e_mkdir("dir", 0700), 0); /* opaque: nothing of the old one shows */
    CHECK_STR(e_ls("dir"), "");
    CHECK_EQ(e_stat("dir/b", &st), -LX_ENOENT);
    CHECK_EQ(e_stat("dir", &st), 0);
    CHECK_EQ(st.nlink, 2);
    CHECK_EQ(e_rmdir("empty"), 0);
    CHECK_EQ(vfs_mknod(LX_AT_FDCWD, "empty", LX_S_IFCHR, 0), 0); /* the guest's own */
    CHECK_EQ(e_stat("empty", &st), 0);
    CHECK_EQ(st.mode & LX_S_IFMT, LX_S_IFCHR);
    env_stop();
}

TEST(hard_links)
{
    struct kstat a, b, c;
    start();
    CHECK_EQ(e_stat("h1", &a), 0);
    CHECK_EQ(e_stat("h2", &b), 0);
    CHECK_EQ(a.ino, b.ino);
    CHECK_EQ(a.nlink, 3);
    int fd = e_open("h2", LX_O_WRONLY | LX_O_APPEND, 0);
    CHECK_EQ(e_write(fd, "+", 1), 1);
    CHECK_STR(e_cat("h1"), "hard+");
    CHECK_STR(e_cat("dir/h3"), "hard+");
    CHECK_EQ(e_stat("dir/h3", &c), 0);
    CHECK_EQ(c.ino, a.ino);
    CHECK_EQ(c.nlink, 3);
    CHECK_EQ(e_unlink("h1"), 0);
    CHECK_EQ(e_stat("h2", &b), 0);
    CHECK_EQ(b.nlink, 2);
    CHECK_EQ(e_rename("dir/h3", "dir/h4", 0), 0);
    CHECK_STR(e_cat("dir/h4"), "hard+");
    CHECK_EQ(e_link("h2", "h5"), 0);
    CHECK_EQ(e_stat("h5", &b), 0);
    CHECK_EQ(b.nlink, 3);
    CHECK_EQ(b.ino, a.ino);
    CHECK_EQ(e_unlink("h2"), 0);
    CHECK_EQ(e_unlink("h5"), 0);
    CHECK_EQ(e_stat("dir/h4", &b), 0);
    CHECK_EQ(b.nlink, 1);
    e_close(fd);
    env_stop();
}

TEST(renames)
{
    struct kstat st, dir;
    start();
    CHECK_EQ(e_rename("file", "moved", 0), 0);
    CHECK_EQ(e_stat("file", &st), -LX_ENOENT);
    CHECK_STR(e_cat("moved"), "lower");
    CHECK_EQ(e_rename("moved", "dir/a", 0), 0);
    CHECK_STR(e_cat("dir/a"), "lower");
    CHECK_STR(e_ls("dir"), "a b sub h3");
    CHECK_EQ(e_stat("dir", &dir), 0);
    CHECK_EQ(e_rename("dir", "dir2", 0), 0); /* merged: by a redirect */
    CHECK_EQ(e_stat("dir", &st), -LX_ENOENT);
    CHECK_STR(e_ls("dir2"), "a b sub h3");
    CHECK_STR(e_cat("dir2/b"), "low-b");
    CHECK_STR(e_cat("dir2/sub/deep"), "deep");
    CHECK_EQ(e_stat("dir2", &st), 0);
    CHECK_EQ(st.ino, dir.ino);
    CHECK_EQ(e_mkdir("dir", 0755), 0);
    CHECK_STR(e_ls("dir"), "");
    CHECK_EQ(e_rename("dir2/sub", "empty", 0), 0); /* over an empty lower directory */
    CHECK_STR(e_ls("empty"), "deep");
    CHECK_EQ(e_mkdir("fresh", 0755), 0);
    CHECK_EQ(e_creat("fresh/f", "f"), 0);
    CHECK_EQ(e_rename("h1", "fresh", LX_RENAME_EXCHANGE), 0);
    CHECK_STR(e_cat("fresh"), "hard");
    CHECK_STR(e_ls("h1"), "f");
    CHECK_EQ(e_rename("h2", "w", LX_RENAME_WHITEOUT), 0);
    CHECK_EQ(e_lstat("h2", &st), 0);
    CHECK_EQ(st.mode & LX_S_IFMT, LX_S_IFCHR);
    CHECK_STR(e_cat("w"), "hard");
    CHECK_EQ(e_rename("w", "link", LX_RENAME_NOREPLACE), -LX_EEXIST);
    env_stop();
}

/* What the cache knew is found again from the layers. */
TEST(survives_forgetting)
{
    struct kstat st, a;
    char name[32];
    start();
    CHECK_EQ(e_stat("file", &a), 0);
    CHECK_EQ(e_chmod("file", 0640), 0);
    CHECK_EQ(e_unlink("dir/a"), 0);
    CHECK_EQ(e_rename("dir", "dir2", 0), 0);
    CHECK_EQ(e_creat("h1", "all"), 0);
    CHECK_EQ(e_rmdir("empty"), 0);
    CHECK_EQ(e_mkdir("empty", 0755), 0);
    for (int i = 0; i < 150000; i++) {
        snprintf(name, sizeof(name), "neg%d", i);
        CHECK_EQ(e_stat(name, &st), -LX_ENOENT);
    }
    CHECK_EQ(e_stat("file", &st), 0);
    CHECK_EQ(st.ino, a.ino);
    CHECK_EQ(st.mode, LX_S_IFREG | 0640);
    CHECK_STR(e_ls("dir2"), "b sub h3");
    CHECK_EQ(e_stat("dir", &st), -LX_ENOENT);
    CHECK_STR(e_cat("h2"), "all");
    CHECK_STR(e_ls("empty"), "");
    CHECK_STR(e_ls("/"), "dir2 empty file link h1 h2 fifo");
    env_stop();
}

TEST(unlinked_but_open)
{
    char buf[8];
    start();
    int fd = e_open("file", LX_O_RDONLY, 0);
    CHECK_EQ(e_unlink("file"), 0);
    CHECK_EQ(e_read(fd, buf, 8), 5);
    struct file *f = fd_get(fd);
    struct iattr at = {.valid = ATTR_MODE, .mode = 0600};
    struct kstat st;
    CHECK_EQ(vfs_setattr(&f->path, &at), 0); /* copied up without a name */
    CHECK_EQ(vfs_stat(&f->path, &st), 0);
    CHECK_EQ(st.mode, LX_S_IFREG | 0600);
    file_put(f);
    CHECK_STR(e_ls("/"), "dir empty link h1 h2 fifo");
    int t = e_open("dir", LX_O_TMPFILE | LX_O_RDWR, 0600);
    CHECK_EQ(e_write(t, "tmp", 3), 3);
    CHECK_EQ(vfs_link(t, "", LX_AT_FDCWD, "dir/t", LX_AT_EMPTY_PATH), 0);
    CHECK_STR(e_cat("dir/t"), "tmp");
    env_stop();
}

/* mount(2): three lowers, whiteouts and opaque directories in Linux's formats. */
TEST(mount_layers)
{
    struct kstat st;
    struct path p;
    env_start();
    fs_register(&overlay_type);
    const char *const dirs[] = {"l1",   "l2",   "l3",   "u",    "w",    "m",
                                "l1/d", "l2/d", "l3/d", "l3/o", "l1/o", "l2/o"};
    for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
        CHECK_EQ(e_mkdir(dirs[i], 0755), 0);
    CHECK_EQ(e_creat("l1/d/one", "1"), 0);
    CHECK_EQ(e_creat("l2/d/two", "2"), 0);
    CHECK_EQ(e_creat("l3/d/three", "3"), 0);
    CHECK_EQ(e_creat("l3/d/one", "hidden"), 0);
    CHECK_EQ(e_creat("l3/gone", "x"), 0);
    CHECK_EQ(vfs_mknod(LX_AT_FDCWD, "l2/gone", LX_S_IFCHR, 0), 0);
    CHECK_EQ(e_creat("l3/o/under", "x"), 0);
    CHECK_EQ(e_creat("l1/o/top", "x"), 0);
    CHECK_EQ(e_walk("l2/o", &p), 0);
    CHECK_EQ(vfs_setxattr(&p, "trusted.overlay.opaque", "y", 1, 0), 0);
    path_put(&p);
    CHECK_EQ(e_mount("overlay", "m", "overlay", 0, "lowerdir=/l1:/l2:/l3,upperdir=/u"), -LX_EINVAL);
    CHECK_EQ(e_mount("overlay", "m", "overlay", 0, "lowerdir=/none"), -LX_ENOENT);
    CHECK_EQ(e_mount("overlay", "m", "overlay", 0, "lowerdir=/l1:/l2:/l3,upperdir=/u,workdir=/w"),
             0);
    CHECK_STR(e_ls("m/d"), "one two three");
    CHECK_STR(e_cat("m/d/one"), "1");
    CHECK_STR(e_ls("m/o"), "top");
    CHECK_EQ(e_stat("m/gone", &st), -LX_ENOENT);
    CHECK_EQ(e_unlink("m/d/two"), 0);
    CHECK_EQ(e_lstat("u/d/two", &st), 0);
    CHECK_EQ(st.mode & LX_S_IFMT, LX_S_IFCHR);
    CHECK_STR(e_ls("m/d"), "one three");
    CHECK_EQ(e_creat("m/gone", "back"), 0);
    CHECK_STR(e_cat("u/gone"), "back");
    CHECK_EQ(e_umount("m", 0), 0);
    CHECK_EQ(e_mount("overlay", "m", "overlay", 0, "lowerdir=/u:/l1:/l2:/l3"), 0);
    CHECK_STR(e_ls("m/d"), "one three");
    CHECK_EQ(e_creat("m/x", ""), -LX_EROFS);
    CHECK_EQ(e_umount("m", 0), 0);
    /* An overlay on an overlay, and no deeper than is allowed. */
    CHECK_EQ(e_mount("overlay", "m", "overlay", 0, "lowerdir=/l1:/l2"), 0);
    CHECK_EQ(e_mkdir("m2", 0755), 0);
    CHECK_EQ(e_mount("overlay", "m2", "overlay", 0, "lowerdir=/m,upperdir=/u,workdir=/w"), 0);
    CHECK_STR(e_cat("m2/d/one"), "1");
    CHECK_EQ(e_creat("m2/d/one", "changed"), 0);
    CHECK_STR(e_cat("m2/d/one"), "changed");
    CHECK_STR(e_cat("m/d/one"), "1");
    env_stop();
}

/* A directory read in small steps while its entries are copied up is given whole. */
TEST(readdir_during_copy_up)
{
    char buf[4096];
    start();
    CHECK_EQ(e_creat("dir/new", "n"), 0);
    int fd = e_open("dir", LX_O_DIRECTORY, 0);
    struct file *f = fd_get(fd);
    struct env_list l = {.ctx = {.emit = env_emit}, .buf = buf, .size = sizeof(buf), .max = 4};
    CHECK_EQ(f->ops->readdir(f, &l.ctx), 0);
    CHECK_STR(buf, "new a");
    CHECK_EQ(e_chmod("dir/b", 0600), 0);
    CHECK_EQ(e_chmod("dir/a", 0600), 0);
    s64 at = f->pos;
    l.n = 0;
    l.max = -1;
    CHECK_EQ(f->ops->readdir(f, &l.ctx), 0);
    CHECK_STR(buf, "b sub h3");
    CHECK_EQ(e_seek(fd, at, LX_SEEK_SET), at);
    l.n = 0;
    CHECK_EQ(f->ops->readdir(f, &l.ctx), 0);
    CHECK_STR(buf, "b sub h3");
    file_put(f);
    env_stop();
}

TEST(deep_parents)
{
    struct super *sb, *lower;
    env_init_once();
    lower = make_tmpfs();
    super_get(lower);
    env_start_on(lower);
    for (int i = 0; i < 20000; i++) {
        struct path p;
        CHECK_EQ(e_mkdir("d", 0755), 0);
        CHECK_EQ(e_walk("d", &p), 0);
        fs_ctx_set_cwd(env_task.fs, &p);
        path_put(&p);
    }
    CHECK_EQ(e_creat("leaf", "x"), 0);
    env_stop();
    CHECK_EQ(overlay_new_on_tmpfs(lower, 0, &sb), 0);
    super_put(lower);
    env_start_on(sb);
    for (int i = 0; i < 20000; i++) {
        struct path p;
        CHECK_EQ(e_walk("d", &p), 0);
        fs_ctx_set_cwd(env_task.fs, &p);
        path_put(&p);
    }
    CHECK_STR(e_cat("leaf"), "x");
    env_stop();
}
