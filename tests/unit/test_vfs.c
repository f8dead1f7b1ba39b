/* The vfs core on tmpfs: walks, permissions, names, rename, mounts, descriptors. */
#include <pthread.h>

#include "vfs_env.h"

TEST(walk_basics)
{
    struct kstat st;
    env_start();
    CHECK_EQ(e_mkdir("a", 0755), 0);
    CHECK_EQ(e_mkdir("a", 0755), -LX_EEXIST);
    CHECK_EQ(e_mkdir("/a/b/", 0755), 0);
    CHECK_EQ(e_creat("a/b/f", "hello"), 0);
    CHECK_STR(e_cat("/a/b/f"), "hello");
    CHECK_STR(e_cat("a/../a/./b//f"), "hello");
    CHECK_STR(e_cat("../../a/b/f"), "hello");
    CHECK_EQ(e_stat("a/b/f/", &st), -LX_ENOTDIR);
    CHECK_EQ(e_stat("a/b/f/x", &st), -LX_ENOTDIR);
    CHECK_EQ(e_stat("a/b/none", &st), -LX_ENOENT);
    CHECK_EQ(e_stat("a/none/x", &st), -LX_ENOENT);
    CHECK_EQ(e_stat("", &st), -LX_ENOENT);
    CHECK_EQ(e_stat("/", &st), 0);
    CHECK_EQ(e_stat("a/b/", &st), 0);
    CHECK_EQ(st.nlink, 2);
    CHECK_EQ(e_stat("a", &st), 0);
    CHECK_EQ(st.nlink, 3);
    char name[300];
    memset(name, 'x', sizeof(name));
    name[256] = '\0';
    CHECK_EQ(e_creat(name, ""), -LX_ENAMETOOLONG);
    CHECK_EQ(e_stat(name, &st), -LX_ENAMETOOLONG);
    CHECK_EQ(e_mkdir(name, 0755), -LX_ENAMETOOLONG);
    name[255] = '\0';
    CHECK_EQ(e_creat(name, ""), 0);
    CHECK_STR(e_path("a/b/f"), "/a/b/f");
    env_stop();
}

TEST(symlinks)
{
    struct kstat st;
    char name[64], target[64];
    env_start();
    CHECK_EQ(e_mkdir("d", 0755), 0);
    CHECK_EQ(e_creat("d/f", "text"), 0);
    CHECK_EQ(e_symlink("d", "l"), 0);
    CHECK_EQ(e_symlink("/d/f", "abs"), 0);
    CHECK_EQ(e_symlink("l/f", "two"), 0);
    CHECK_EQ(e_symlink("self", "self"), 0);
    CHECK_EQ(e_symlink("nowhere", "dangling"), 0);
    CHECK_EQ(e_symlink("", "x"), -LX_ENOENT);
    for (int k = 0; k < 2; k++) { /* the second time from the cache */
        CHECK_STR(e_cat("l/f"), "text");
        CHECK_STR(e_cat("abs"), "text");
        CHECK_STR(e_cat("two"), "text");
        CHECK_STR(e_cat("l/../two"), "text");
        CHECK_EQ(e_stat("self", &st), -LX_ELOOP);
        CHECK_EQ(e_stat("dangling", &st), -LX_ENOENT);
        CHECK_EQ(e_lstat("dangling", &st), 0);
        CHECK_EQ(st.size, 7);
        CHECK_EQ(e_lstat("l", &st), 0);
        CHECK_EQ(st.mode, LX_S_IFLNK | 0777);
        CHECK_EQ(e_lstat("l/", &st), 0);
        CHECK_EQ(st.mode & LX_S_IFMT, LX_S_IFDIR);
        CHECK_EQ(e_lstat("abs/", &st), -LX_ENOTDIR);
        CHECK_EQ(e_open("l", LX_O_NOFOLLOW, 0), -LX_ELOOP);
        CHECK_EQ(e_open("l", LX_O_NOFOLLOW | LX_O_DIRECTORY, 0), -LX_ENOTDIR);
        CHECK_EQ(e_open("self", LX_O_CREAT | LX_O_WRONLY, 0644), -LX_ELOOP);
        CHECK_EQ(e_open("dangling", LX_O_CREAT | LX_O_EXCL | LX_O_WRONLY, 0644), -LX_EEXIST);
    }
    CHECK(e_open("dangling", LX_O_CREAT | LX_O_WRONLY, 0644) >= 0);
    CHECK_EQ(e_stat("nowhere", &st), 0);
    /* 40 links are followed, 41 are not. */
    strcpy(target, "d/f");
    for (int i = 0; i < 42; i++) {
        snprintf(name, sizeof(name), "n%d", i);
        CHECK_EQ(e_symlink(target, name), 0);
        strcpy(target, name);
    }
    CHECK_STR(e_cat("n39"), "text");
    CHECK_EQ(e_stat("n40", &st), -LX_ELOOP);
    CHECK_STR(e_cat("n39"), "text");
    env_stop();
}

TEST(permissions)
{
    struct kstat st;
    env_start();
    CHECK_EQ(e_mkdir("priv", 0700), 0);
    CHECK_EQ(e_creat("priv/f", "x"), 0);
    CHECK_EQ(e_mkdir("tmp", 0777), 0);
    CHECK_EQ(e_chmod("tmp", 01777), 0);
    CHECK_EQ(e_creat("tmp/roots", "x"), 0);
    CHECK_EQ(e_creat("ro", "x"), 0);
    as_user();
    CHECK_EQ(e_stat("priv/f", &st), -LX_EACCES);
    CHECK_EQ(e_stat("priv/none", &st), -LX_EACCES);
    CHECK_EQ(e_creat("x", ""), -LX_EACCES);
    CHECK_EQ(e_creat("tmp/mine", "m"), 0);
    CHECK_EQ(e_unlink("tmp/roots"), -LX_EPERM);
    CHECK_EQ(e_rename("tmp/roots", "tmp/r2", 0), -LX_EPERM);
    CHECK_EQ(e_rename("tmp/mine", "tmp/roots", 0), -LX_EPERM);
    CHECK_EQ(e_open("ro", LX_O_WRONLY, 0), -LX_EACCES);
    CHECK_EQ(e_open("ro", LX_O_RDONLY | LX_O_TRUNC, 0), -LX_EACCES);
    CHECK_EQ(e_chmod("ro", 0666), -LX_EPERM);
    CHECK_EQ(e_chown("tmp/mine", 0, 0), -LX_EPERM);
    CHECK_EQ(e_chown("tmp/mine", 1000, 1000), 0);
    CHECK_EQ(e_chmod("tmp/mine", 04755), 0);
    CHECK_EQ(e_stat("tmp/mine", &st), 0);
    CHECK_EQ(st.mode, LX_S_IFREG | 04755);
    int fd = e_open("tmp/mine", LX_O_WRONLY, 0);
    CHECK_EQ(e_write(fd, "y", 1), 1); /* a write drops set-user-ID */
    CHECK_EQ(e_stat("tmp/mine", &st), 0);
    CHECK_EQ(st.mode, LX_S_IFREG | 0755);
    CHECK_EQ(e_open("ro", LX_O_RDONLY | LX_O_NOATIME, 0), -LX_EPERM);
    as_root();
    CHECK_EQ(e_chmod("tmp/mine", 06755), 0);
    CHECK_EQ(e_chown("tmp/mine", 5, 5), 0);
    CHECK_EQ(e_stat("tmp/mine", &st), 0);
    CHECK_EQ(st.mode, LX_S_IFREG | 0755);
    CHECK_EQ(e_unlink("tmp/mine"), 0);
    env_stop();
}

TEST(unlink_and_rmdir)
{
    struct kstat st;
    char buf[16];
    env_start();
    CHECK_EQ(e_mkdir("d", 0755), 0);
    CHECK_EQ(e_creat("d/f", "abc"), 0);
    CHECK_EQ(e_rmdir("d"), -LX_ENOTEMPTY);
    CHECK_EQ(e_unlink("d"), -LX_EISDIR);
    CHECK_EQ(e_rmdir("d/f"), -LX_ENOTDIR);
    CHECK_EQ(e_unlink("d/f/"), -LX_ENOTDIR);
    CHECK_EQ(e_unlink("d/"), -LX_EISDIR);
    CHECK_EQ(e_rmdir("d/."), -LX_EINVAL);
    CHECK_EQ(e_rmdir("d/.."), -LX_ENOTEMPTY);
    CHECK_EQ(e_rmdir("/"), -LX_EBUSY);
    CHECK_EQ(e_unlink("/"), -LX_EISDIR);
    CHECK_EQ(e_unlink("none"), -LX_ENOENT);
    CHECK_EQ(e_mkdir(".", 0755), -LX_EEXIST);
    int fd = e_open("d/f", LX_O_RDWR, 0);
    int dfd = e_open("d", LX_O_DIRECTORY, 0);
    CHECK_EQ(e_unlink("d/f"), 0);
    CHECK_EQ(e_stat("d/f", &st), -LX_ENOENT);
    CHECK_EQ(e_read(fd, buf, 16), 3);
    CHECK_EQ(e_rmdir("d"), 0);
    CHECK_EQ(vfs_mkdir(dfd, "x", 0755), -LX_ENOENT);
    struct open_how how = {.flags = LX_O_CREAT | LX_O_WRONLY, .mode = 0644};
    struct file *f;
    CHECK_EQ(vfs_open(dfd, "x", &how, &f), -LX_ENOENT);
    CHECK_EQ(vfs_open(dfd, "..", &(struct open_how){0}, &f), 0);
    file_put(f);
    f = fd_get(dfd);
    char path[64];
    CHECK_EQ(vfs_path_string(&f->path, NULL, path, sizeof(path)), 12);
    CHECK_STR(path, "/d (deleted)");
    file_put(f);
    env_stop();
}

TEST(links)
{
    struct kstat a, b;
    env_start();
    CHECK_EQ(e_creat("a", "one"), 0);
    CHECK_EQ(e_link("a", "b"), 0);
    CHECK_EQ(e_link("a", "b"), -LX_EEXIST);
    CHECK_EQ(e_link("none", "c"), -LX_ENOENT);
    CHECK_EQ(e_link("a", "c/"), -LX_ENOENT);
    CHECK_EQ(e_mkdir("d", 0755), 0);
    CHECK_EQ(e_link("d", "e"), -LX_EPERM);
    CHECK_EQ(e_creat("b", "twice"), 0);
    CHECK_EQ(e_stat("a", &a), 0);
    CHECK_EQ(e_stat("b", &b), 0);
    CHECK_EQ(a.ino, b.ino);
    CHECK_EQ(a.size, 5);
    CHECK_EQ(b.size, 5);
    CHECK_EQ(a.nlink, 2);
    CHECK_EQ(e_chmod("b", 0600), 0);
    CHECK_EQ(e_stat("a", &a), 0);
    CHECK_EQ(a.mode & 0777, 0600);
    CHECK_STR(e_cat("a"), "twice");
    CHECK_EQ(e_rename("a", "b", 0), 0); /* the same file: nothing happens */
    CHECK_EQ(e_stat("a", &a), 0);
    CHECK_EQ(e_unlink("a"), 0);
    CHECK_EQ(e_stat("b", &b), 0);
    CHECK_EQ(b.nlink, 1);
    env_stop();
}

TEST(renames)
{
    struct kstat st;
    env_start();
    CHECK_EQ(e_creat("a", "A"), 0);
    CHECK_EQ(e_creat("b", "B"), 0);
    CHECK_EQ(e_rename("a", "b", LX_RENAME_NOREPLACE), -LX_EEXIST);
    CHECK_EQ(e_rename("a", "b", LX_RENAME_EXCHANGE), 0);
    CHECK_STR(e_cat("a"), "B");
    CHECK_STR(e_cat("b"), "A");
    CHECK_EQ(e_rename("a", "b", LX_RENAME_EXCHANGE | LX_RENAME_NOREPLACE), -LX_EINVAL);
    CHECK_EQ(e_rename("a", "none", LX_RENAME_EXCHANGE), -LX_ENOENT);
    CHECK_EQ(e_rename("none", "x", 0), -LX_ENOENT);
    CHECK_EQ(e_mkdir("d", 0755), 0);
    CHECK_EQ(e_mkdir("d/e", 0755), 0);
    CHECK_EQ(e_rename("a", "d", 0), -LX_EISDIR);
    CHECK_EQ(e_rename("d", "a", 0), -LX_ENOTDIR);
    CHECK_EQ(e_rename("d", "d/e/x", 0), -LX_EINVAL);
    CHECK_EQ(e_rename("d/e", "d", 0), -LX_ENOTEMPTY);
    CHECK_EQ(e_rename("a", "x/", 0), -LX_ENOTDIR);
    CHECK_EQ(e_rename("a/", "x", 0), -LX_ENOTDIR);
    CHECK_EQ(e_rename("d", "x/", 0), 0);
    CHECK_EQ(e_rename("x", "d", 0), 0);
    CHECK_EQ(e_rename("d/.", "x", 0), -LX_EBUSY);
    CHECK_EQ(e_rename("a", "d/..", 0), -LX_EBUSY);
    CHECK_EQ(e_rename("a", "d", LX_RENAME_EXCHANGE), 0); /* a file against a directory */
    CHECK_EQ(e_stat("a/e", &st), 0);
    CHECK_STR(e_cat("d"), "B");
    CHECK_EQ(e_rename("a", "d", LX_RENAME_EXCHANGE), 0);
    CHECK_EQ(e_mkdir("t", 0755), 0);
    CHECK_EQ(e_rename("d/e", "t/e", 0), 0);
    CHECK_EQ(e_stat("t", &st), 0);
    CHECK_EQ(st.nlink, 3);
    CHECK_EQ(e_stat("d", &st), 0);
    CHECK_EQ(st.nlink, 2);
    CHECK_STR(e_path("t/e"), "/t/e");
    CHECK_EQ(e_mkdir("t2", 0755), 0);
    CHECK_EQ(e_rename("d", "t2", 0), 0); /* onto an empty directory */
    CHECK_EQ(e_stat("d", &st), -LX_ENOENT);
    CHECK_EQ(e_creat("w", "W"), 0);
    CHECK_EQ(e_rename("w", "t/w", LX_RENAME_WHITEOUT), 0);
    CHECK_EQ(e_lstat("w", &st), 0);
    CHECK_EQ(st.mode, (u32)LX_S_IFCHR);
    CHECK_EQ(st.rdev, 0);
    CHECK_STR(e_cat("t/w"), "W");
    env_stop();
}

TEST(open_flags)
{
    struct kstat st;
    char buf[8];
    env_start();
    CHECK_EQ(e_mkdir("d", 0755), 0);
    CHECK_EQ(e_creat("f", "0123456789"), 0);
    CHECK_EQ(e_open("d", LX_O_WRONLY, 0), -LX_EISDIR);
    CHECK_EQ(e_open("d", LX_O_CREAT, 0644), -LX_EISDIR);
    CHECK_EQ(e_open("d/", LX_O_CREAT | LX_O_WRONLY, 0644), -LX_EISDIR);
    CHECK_EQ(e_open("new/", LX_O_CREAT | LX_O_WRONLY, 0644), -LX_EISDIR);
    CHECK_EQ(e_open("f", LX_O_DIRECTORY, 0), -LX_ENOTDIR);
    CHECK_EQ(e_open("f", LX_O_CREAT | LX_O_EXCL, 0644), -LX_EEXIST);
    CHECK_EQ(e_open("f", LX_O_CREAT | LX_O_DIRECTORY, 0644), -LX_EINVAL);
    int fd = e_open("f", LX_O_WRONLY | LX_O_APPEND, 0);
    CHECK_EQ(e_write(fd, "ab", 2), 2);
    CHECK_EQ(e_seek(fd, 0, LX_SEEK_CUR), 12);
    CHECK_EQ(e_read(fd, buf, 1), -LX_EBADF);
    fd = e_open("f", LX_O_PATH, 0);
    CHECK_EQ(e_read(fd, buf, 1), -LX_EBADF);
    fd = e_open("f", LX_O_RDWR | LX_O_TRUNC, 0);
    CHECK_EQ(e_stat("f", &st), 0);
    CHECK_EQ(st.size, 0);
    CHECK_EQ(e_open("d", LX_O_TMPFILE | LX_O_RDONLY, 0600), -LX_EINVAL);
    fd = e_open("d", LX_O_TMPFILE | LX_O_RDWR, 0600);
    CHECK(fd >= 0);
    CHECK_EQ(e_write(fd, "tmp", 3), 3);
    CHECK_EQ(vfs_link(fd, "", LX_AT_FDCWD, "named", LX_AT_EMPTY_PATH), 0);
    CHECK_STR(e_cat("named"), "tmp");
    CHECK_EQ(e_stat("named", &st), 0);
    CHECK_EQ(st.nlink, 1);
    CHECK_EQ(st.mode, LX_S_IFREG | 0600);
    fd = e_open("d", LX_O_TMPFILE | LX_O_RDWR | LX_O_EXCL, 0600);
    CHECK_EQ(vfs_link(fd, "", LX_AT_FDCWD, "named2", LX_AT_EMPTY_PATH), -LX_ENOENT);
    struct path p;
    CHECK_EQ(e_walk("named", &p), 0);
    CHECK_EQ(inode_deny_write(p.dentry->inode), -LX_ETXTBSY);
    CHECK_EQ(fdtable_close_range(env_task.files, 0, ~0U, false), 0);
    CHECK_EQ(inode_deny_write(p.dentry->inode), 0);
    CHECK_EQ(e_open("named", LX_O_WRONLY, 0), -LX_ETXTBSY);
    CHECK_EQ(e_open("named", LX_O_TRUNC, 0), -LX_ETXTBSY);
    CHECK_EQ(vfs_truncate(&p, 0), -LX_ETXTBSY);
    inode_allow_write(p.dentry->inode);
    path_put(&p);
    env_stop();
}

TEST(limits)
{
    struct kstat st;
    env_start();
    int fd = e_open("f", LX_O_CREAT | LX_O_RDWR, 0644);
    env_task.rlimit_fsize = 6;
    CHECK_EQ(e_write(fd, "0123", 4), 4);
    CHECK_EQ(e_write(fd, "4567", 4), 2);
    CHECK_EQ(env_signal, 0);
    CHECK_EQ(e_write(fd, "8", 1), -LX_EFBIG);
    CHECK_EQ(env_signal, 25);
    struct file *f = fd_get(fd);
    CHECK_EQ(vfs_ftruncate(f, 7), -LX_EFBIG);
    CHECK_EQ(vfs_ftruncate(f, 3), 0);
    file_put(f);
    CHECK_EQ(e_stat("f", &st), 0);
    CHECK_EQ(st.size, 3);
    env_task.rlimit_nofile = 4;
    for (int i = 0; i < 3; i++)
        CHECK(e_open("f", LX_O_RDONLY, 0) >= 0);
    CHECK_EQ(e_open("f", LX_O_RDONLY, 0), -LX_EMFILE);
    CHECK_EQ(fd_close(1), 0);
    CHECK_EQ(fd_close(1), -LX_EBADF);
    CHECK_EQ(e_open("f", LX_O_RDONLY, 0), 1);
    env_stop();
}

TEST(fd_tables)
{
    env_start();
    struct fdtable *t = env_task.files;
    env_task.rlimit_nofile = 100000;
    CHECK_EQ(e_creat("f", "x"), 0);
    int a = e_open("f", LX_O_CLOEXEC, 0), b = e_open("f", 0, 0);
    CHECK_EQ(a, 0);
    CHECK_EQ(b, 1);
    CHECK_EQ(fdtable_cloexec(t, a, -1), 1);
    CHECK_EQ(fdtable_cloexec(t, b, -1), 0);
    CHECK_EQ(fdtable_cloexec(t, 7, -1), -LX_EBADF);
    struct file *f = fd_get(b);
    CHECK_EQ(fdtable_install_at(t, f, 5000, 0, 100000), 5000);
    f = fd_get(b);
    CHECK_EQ(fd_install(f, 5000, LX_O_CLOEXEC), 5001);
    struct fdtable *c = fdtable_copy(t, 5001, 5001);
    CHECK_EQ(fdtable_next(c, 2), 5000);
    CHECK_EQ(fdtable_next(c, 5001), -1);
    fdtable_do_cloexec(t);
    CHECK_EQ(fdtable_next(t, 0), 1);
    CHECK_EQ(fdtable_next(t, 2), 5000);
    f = fdtable_get(c, 0);
    CHECK(f != NULL);
    file_put(f);
    fdtable_put(c);
    CHECK_EQ(fdtable_close_range(t, 0, 4999, false), 0);
    CHECK_EQ(fdtable_next(t, 0), 5000);
    CHECK(fdtable_get(t, 70000) == NULL);
    env_stop();
}

TEST(scoped_walks)
{
    struct path base, p;
    env_start();
    CHECK_EQ(e_mkdir("d", 0755), 0);
    CHECK_EQ(e_mkdir("d/e", 0755), 0);
    CHECK_EQ(e_creat("d/e/f", "x"), 0);
    CHECK_EQ(e_creat("top", "x"), 0);
    CHECK_EQ(e_symlink("/e/f", "d/abs"), 0);
    CHECK_EQ(e_symlink("../top", "d/up"), 0);
    CHECK_EQ(e_symlink("e", "d/in"), 0);
    CHECK_EQ(e_walk("d", &base), 0);
    CHECK_EQ(vfs_walk_at(&base, "../top", WALK_BENEATH, &p), -LX_EXDEV);
    CHECK_EQ(vfs_walk_at(&base, "e/../../top", WALK_BENEATH, &p), -LX_EXDEV);
    CHECK_EQ(vfs_walk_at(&base, "/d", WALK_BENEATH, &p), -LX_EXDEV);
    CHECK_EQ(vfs_walk_at(&base, "up", WALK_BENEATH | WALK_FOLLOW, &p), -LX_EXDEV);
    CHECK_EQ(vfs_walk_at(&base, "abs", WALK_BENEATH | WALK_FOLLOW, &p), -LX_EXDEV);
    CHECK_EQ(vfs_walk_at(&base, "e/../in/f", WALK_BENEATH, &p), 0);
    path_put(&p);
    CHECK_EQ(vfs_walk_at(&base, "abs", WALK_IN_ROOT | WALK_FOLLOW, &p), 0);
    path_put(&p);
    CHECK_EQ(vfs_walk_at(&base, "../../e", WALK_IN_ROOT, &p), 0);
    path_put(&p);
    CHECK_EQ(vfs_walk_at(&base, "up", WALK_IN_ROOT | WALK_FOLLOW, &p), -LX_ENOENT);
    CHECK_EQ(vfs_walk_at(&base, "in/f", WALK_NO_SYMLINKS, &p), -LX_ELOOP);
    CHECK_EQ(vfs_walk_at(&base, "in", WALK_NO_SYMLINKS, &p), 0);
    path_put(&p);
    CHECK_EQ(e_mkdir("m", 0755), 0);
    CHECK_EQ(e_mount("none", "/m", "tmpfs", 0, ""), 0);
    CHECK_EQ(vfs_walk(LX_AT_FDCWD, "m", WALK_NO_XDEV, &p), -LX_EXDEV);
    CHECK_EQ(vfs_walk(LX_AT_FDCWD, "d/e", WALK_NO_XDEV, &p), 0);
    path_put(&p);
    path_put(&base);
    env_stop();
}

TEST(mounts)
{
    struct kstat st, root;
    env_start();
    CHECK_EQ(e_mkdir("m", 0755), 0);
    CHECK_EQ(e_mkdir("n", 0755), 0);
    CHECK_EQ(e_creat("m/under", ""), 0);
    CHECK_EQ(e_mount("none", "m", "nofs", 0, ""), -LX_ENODEV);
    CHECK_EQ(e_mount("none", "m", "tmpfs", 0, "bogus=1"), -LX_EINVAL);
    CHECK_EQ(e_mount("none", "m", "tmpfs", 0, "size=1m,mode=700"), 0);
    CHECK_EQ(e_stat("m", &st), 0);
    CHECK_EQ(st.mode, LX_S_IFDIR | 0700);
    CHECK_EQ(e_stat("/", &root), 0);
    CHECK(st.dev != root.dev);
    CHECK_EQ(e_stat("m/under", &st), -LX_ENOENT);
    CHECK_EQ(e_creat("m/f", "in"), 0);
    CHECK_EQ(e_link("m/f", "f"), -LX_EXDEV);
    CHECK_EQ(e_rename("m/f", "f", 0), -LX_EXDEV);
    CHECK_EQ(e_rmdir("m"), -LX_EBUSY);
    CHECK_EQ(e_rename("m", "m2", 0), -LX_EBUSY);
    CHECK_STR(e_path("m/f"), "/m/f");
    CHECK_STR(e_cat("m/../m/f"), "in");
    CHECK_EQ(e_mount("/m", "n", NULL, LX_MS_BIND, NULL), 0);
    CHECK_STR(e_cat("n/f"), "in");
    CHECK_EQ(e_rename("m/f", "n/g", 0), -LX_EXDEV); /* one file system, two mounts */
    CHECK_EQ(e_mount(NULL, "n", NULL, LX_MS_REMOUNT | LX_MS_BIND | LX_MS_RDONLY, NULL), 0);
    CHECK_EQ(e_creat("n/x", ""), -LX_EROFS);
    CHECK_EQ(e_creat("n/f", ""), -LX_EROFS);
    CHECK_EQ(e_unlink("n/f"), -LX_EROFS);
    CHECK_EQ(e_mkdir("n/f", 0755), -LX_EEXIST);
    CHECK_EQ(e_chmod("n/f", 0600), -LX_EROFS);
    CHECK_EQ(e_creat("m/x", ""), 0);
    int fd = e_open("m/f", LX_O_RDONLY, 0);
    CHECK_EQ(e_umount("m", 0), -LX_EBUSY);
    CHECK_EQ(e_umount("m", LX_MNT_DETACH), 0);
    CHECK_EQ(e_stat("m/under", &st), 0);
    char buf[8];
    CHECK_EQ(e_read(fd, buf, 8), 2);
    e_close(fd);
    CHECK_EQ(e_umount("m", 0), -LX_EINVAL);
    CHECK_EQ(e_umount("n", 0), 0);
    as_user();
    CHECK_EQ(e_mount("none", "m", "tmpfs", 0, ""), -LX_EPERM);
    CHECK_EQ(e_umount("m", 0), -LX_EPERM);
    as_root();
    env_stop();
}

TEST(propagation)
{
    struct kstat st;
    env_start();
    CHECK_EQ(e_mkdir("a", 0755), 0);
    CHECK_EQ(e_mkdir("b", 0755), 0);
    CHECK_EQ(e_mkdir("c", 0755), 0);
    CHECK_EQ(e_mount("none", "a", "tmpfs", 0, ""), 0);
    CHECK_EQ(e_mkdir("a/sub", 0755), 0);
    CHECK_EQ(e_mount(NULL, "a", NULL, LX_MS_SHARED, NULL), 0);
    CHECK_EQ(e_mount("/a", "b", NULL, LX_MS_BIND, NULL), 0);
    CHECK_EQ(e_mount("/a", "c", NULL, LX_MS_BIND, NULL), 0);
    CHECK_EQ(e_mount(NULL, "c", NULL, LX_MS_SLAVE, NULL), 0);
    CHECK_EQ(e_mount("none", "a/sub", "tmpfs", 0, ""), 0);
    CHECK_EQ(e_creat("a/sub/f", "x"), 0);
    CHECK_STR(e_cat("b/sub/f"), "x");
    CHECK_STR(e_cat("c/sub/f"), "x");
    CHECK_EQ(e_umount("b/sub", 0), 0);
    CHECK_EQ(e_stat("a/sub/f", &st), -LX_ENOENT);
    CHECK_EQ(e_stat("c/sub/f", &st), -LX_ENOENT);
    /* From the slave nothing goes back. */
    CHECK_EQ(e_mount("none", "c/sub", "tmpfs", 0, ""), 0);
    CHECK_EQ(e_creat("c/sub/g", "x"), 0);
    CHECK_EQ(e_stat("a/sub/g", &st), -LX_ENOENT);
    CHECK_EQ(e_mount(NULL, "a", NULL, LX_MS_PRIVATE, NULL), 0);
    CHECK_EQ(e_mount("none", "a/sub", "tmpfs", 0, ""), 0);
    CHECK_EQ(e_creat("a/sub/h", "x"), 0);
    CHECK_EQ(e_stat("b/sub/h", &st), -LX_ENOENT);
    CHECK_EQ(e_mount(NULL, "a", NULL, LX_MS_UNBINDABLE, NULL), 0);
    CHECK_EQ(e_mount("/a", "b/sub", NULL, LX_MS_BIND, NULL), -LX_EINVAL);
    env_stop();
}

TEST(rbind_and_move)
{
    struct kstat st;
    env_start();
    CHECK_EQ(e_mkdir("a", 0755), 0);
    CHECK_EQ(e_mkdir("b", 0755), 0);
    CHECK_EQ(e_mkdir("c", 0755), 0);
    CHECK_EQ(e_mount("none", "a", "tmpfs", 0, ""), 0);
    CHECK_EQ(e_mkdir("a/s", 0755), 0);
    CHECK_EQ(e_mount("none", "a/s", "tmpfs", 0, ""), 0);
    CHECK_EQ(e_creat("a/s/f", "x"), 0);
    CHECK_EQ(e_mount("/a", "b", NULL, LX_MS_BIND, NULL), 0);
    CHECK_EQ(e_stat("b/s/f", &st), -LX_ENOENT);
    CHECK_EQ(e_umount("b", 0), 0);
    CHECK_EQ(e_mount("/a", "b", NULL, LX_MS_BIND | LX_MS_REC, NULL), 0);
    CHECK_EQ(e_stat("b/s/f", &st), 0);
    CHECK_EQ(e_umount("b", 0), -LX_EBUSY);
    CHECK_EQ(e_mount("/b", "c", NULL, LX_MS_MOVE, NULL), 0);
    CHECK_EQ(e_stat("b/s", &st), -LX_ENOENT);
    CHECK_EQ(e_stat("c/s/f", &st), 0);
    CHECK_STR(e_path("c/s/f"), "/c/s/f");
    CHECK_EQ(e_mount("/c", "c/s", NULL, LX_MS_MOVE, NULL), -LX_ELOOP);
    CHECK_EQ(e_umount("c", LX_MNT_DETACH), 0);
    CHECK_EQ(e_stat("c/s", &st), -LX_ENOENT);
    env_stop();
}

TEST(pivot)
{
    struct kstat st;
    struct path nr, po;
    env_start();
    CHECK_EQ(e_creat("old", ""), 0);
    CHECK_EQ(e_mkdir("new", 0755), 0);
    CHECK_EQ(e_mount("none", "new", "tmpfs", 0, ""), 0);
    CHECK_EQ(e_mkdir("new/put", 0755), 0);
    CHECK_EQ(e_creat("new/here", ""), 0);
    CHECK_EQ(vfs_walk(LX_AT_FDCWD, "new", WALK_FOLLOW, &nr), 0);
    CHECK_EQ(vfs_walk(LX_AT_FDCWD, "new/put", WALK_FOLLOW, &po), 0);
    CHECK_EQ(vfs_pivot_root(&nr, &po), 0);
    path_put(&nr);
    path_put(&po);
    CHECK_EQ(e_stat("/here", &st), 0);
    CHECK_EQ(e_stat("/put/old", &st), 0);
    CHECK_EQ(e_umount("/put", LX_MNT_DETACH), 0);
    CHECK_EQ(e_stat("/put/old", &st), -LX_ENOENT);
    CHECK_STR(e_path("/here"), "/here");
    env_stop();
}

TEST(namespace_copy)
{
    struct kstat st;
    struct mnt_ns *copy, *old;
    env_start();
    CHECK_EQ(e_mkdir("m", 0755), 0);
    CHECK_EQ(e_mount("none", "m", "tmpfs", 0, ""), 0);
    CHECK_EQ(e_creat("m/f", "x"), 0);
    struct path root, cwd;
    fs_ctx_root(env_task.fs, &root);
    fs_ctx_cwd(env_task.fs, &cwd);
    CHECK_EQ(mnt_ns_copy(env_task.mnt_ns, &root, &cwd, &copy), 0);
    CHECK(root.mnt == copy->root);
    struct fs_ctx *fs = fs_ctx_new(&root, &cwd, 022), *ofs = env_task.fs;
    path_put(&root);
    path_put(&cwd);
    old = env_task.mnt_ns;
    env_task.mnt_ns = copy;
    env_task.fs = fs;
    CHECK_STR(e_cat("/m/f"), "x");
    CHECK_EQ(e_umount("/m", 0), 0);
    CHECK_EQ(e_stat("/m/f", &st), -LX_ENOENT);
    env_task.mnt_ns = old;
    env_task.fs = ofs;
    CHECK_STR(e_cat("/m/f"), "x");
    fs_ctx_put(fs);
    mnt_ns_put(copy);
    env_stop();
}

TEST(xattrs)
{
    struct path p;
    char buf[64];
    env_start();
    CHECK_EQ(e_creat("f", ""), 0);
    CHECK_EQ(e_walk("f", &p), 0);
    CHECK_EQ(vfs_getxattr(&p, "user.a", buf, 64), -LX_ENODATA);
    CHECK_EQ(vfs_setxattr(&p, "user.a", "val", 3, LX_XATTR_REPLACE), -LX_ENODATA);
    CHECK_EQ(vfs_setxattr(&p, "user.a", "val", 3, 0), 0);
    CHECK_EQ(vfs_setxattr(&p, "user.a", "val", 3, LX_XATTR_CREATE), -LX_EEXIST);
    CHECK_EQ(vfs_getxattr(&p, "user.a", NULL, 0), 3);
    CHECK_EQ(vfs_getxattr(&p, "user.a", buf, 2), -LX_ERANGE);
    CHECK_EQ(vfs_setxattr(&p, "bogus.a", "v", 1, 0), -LX_EOPNOTSUPP);
    CHECK_EQ(vfs_setxattr(&p, "trusted.t", "v", 1, 0), 0);
    CHECK_EQ(vfs_listxattr(&p, NULL, 0), 17);
    CHECK_EQ(vfs_listxattr(&p, buf, 64), 17);
    as_user();
    CHECK_EQ(vfs_listxattr(&p, buf, 64), 7);
    CHECK_EQ(vfs_getxattr(&p, "trusted.t", buf, 64), -LX_ENODATA);
    CHECK_EQ(vfs_setxattr(&p, "trusted.t", "v", 1, 0), -LX_EPERM);
    CHECK_EQ(vfs_setxattr(&p, "user.a", "v", 1, 0), -LX_EACCES);
    as_root();
    CHECK_EQ(vfs_removexattr(&p, "user.a"), 0);
    CHECK_EQ(vfs_removexattr(&p, "user.a"), -LX_ENODATA);
    path_put(&p);
    env_stop();
}

#define NR_STABLE 64

static struct path stable[NR_STABLE];
static _Atomic bool is_enough;

static void *look_again(void *arg)
{
    vfs_current = arg;
    while (!atomic_load(&is_enough)) {
        for (int i = 0; i < NR_STABLE; i++) {
            char name[16];
            struct path p;
            snprintf(name, sizeof(name), "s%d", i);
            CHECK_EQ(e_walk(name, &p), 0);
            CHECK(p.dentry == stable[i].dentry);
            path_put(&p);
        }
    }
    return NULL;
}

/* Its table grows under readers: a name that is in use is found, and there is one of it. */
TEST(names_while_growing)
{
    pthread_t readers[2];
    char name[16];
    struct kstat st;
    env_start();
    for (int i = 0; i < NR_STABLE; i++) {
        snprintf(name, sizeof(name), "s%d", i);
        CHECK_EQ(e_creat(name, ""), 0);
        CHECK_EQ(e_walk(name, &stable[i]), 0);
    }
    for (int i = 0; i < 2; i++)
        CHECK_EQ(pthread_create(&readers[i], NULL, look_again, vfs_current), 0);
    for (int i = 0; i < 20000; i++) {
        snprintf(name, sizeof(name), "n%d", i);
        CHECK_EQ(e_stat(name, &st), -LX_ENOENT);
    }
    atomic_store(&is_enough, true);
    for (int i = 0; i < 2; i++)
        CHECK_EQ(pthread_join(readers[i], NULL), 0);
    for (int i = 0; i < NR_STABLE; i++)
        path_put(&stable[i]);
    env_stop();
}

/* The cache stays bounded and forgets nothing that matters. */
TEST(many_names)
{
    char name[64];
    struct kstat st;
    env_start();
    for (int i = 0; i < 100000; i++) {
        snprintf(name, sizeof(name), "neg%d", i);
        CHECK_EQ(e_stat(name, &st), -LX_ENOENT);
    }
    CHECK_EQ(e_mkdir("d", 0755), 0);
    for (int i = 0; i < 20000; i++) {
        snprintf(name, sizeof(name), "d/f%d", i);
        CHECK_EQ(e_creat(name, ""), 0);
    }
    for (int i = 0; i < 70000; i++) {
        snprintf(name, sizeof(name), "neg%d", i);
        CHECK_EQ(e_stat(name, &st), -LX_ENOENT);
    }
    for (int i = 0; i < 20000; i++) {
        snprintf(name, sizeof(name), "d/f%d", i);
        CHECK_EQ(e_unlink(name), 0);
    }
    CHECK_EQ(e_rmdir("d"), 0);
    env_stop();
}

/* A tree deeper than any recursion would bear. */
TEST(deep_tree)
{
    env_start();
    for (int i = 0; i < 30000; i++) {
        struct path p;
        CHECK_EQ(e_mkdir("d", 0755), 0);
        CHECK_EQ(e_walk("d", &p), 0);
        fs_ctx_set_cwd(env_task.fs, &p);
        path_put(&p);
    }
    char buf[128];
    struct path cwd;
    fs_ctx_cwd(env_task.fs, &cwd);
    CHECK_EQ(vfs_path_string(&cwd, NULL, buf, sizeof(buf)), -LX_ENAMETOOLONG);
    path_put(&cwd);
    env_stop();
}
