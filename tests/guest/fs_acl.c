/* POSIX access control lists: values, permission, inheritance, chmod. On a tmpfs and on what / is.
 */
#include <sched.h>

#include "fs_common.h"

#define ACCESS  "system.posix_acl_access"
#define DEFAULT "system.posix_acl_default"

struct entry {
    uint16_t tag, perm;
    uint32_t id;
};
struct list {
    uint32_t version;
    struct entry e[8];
};
#define U_OBJ(p)                                                                                   \
    {                                                                                              \
        1, p, -1U                                                                                  \
    }
#define USER(i, p)                                                                                 \
    {                                                                                              \
        2, p, i                                                                                    \
    }
#define G_OBJ(p)                                                                                   \
    {                                                                                              \
        4, p, -1U                                                                                  \
    }
#define GROUP(i, p)                                                                                \
    {                                                                                              \
        8, p, i                                                                                    \
    }
#define MASK(p)                                                                                    \
    {                                                                                              \
        16, p, -1U                                                                                 \
    }
#define OTHER(p)                                                                                   \
    {                                                                                              \
        32, p, -1U                                                                                 \
    }
#define LIST(...) (&(struct list){2, {__VA_ARGS__}})
#define SIZE(n)   (4 + 8 * (size_t)(n))

static void enter(void)
{
    if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0)
        SKIP("needs a mount namespace");
    CHECK_EQ(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
    CHECK(mkdir("acl", 0755) == 0 || errno == EEXIST);
    CHECK_EQ(chmod(".", 0755), 0);
    CHECK_EQ(mount("acl", "acl", "tmpfs", 0, "mode=755"), 0);
    CHECK_EQ(chdir("acl"), 0);
}

static void leave(void)
{
    CHECK_EQ(chdir(".."), 0);
    CHECK_EQ(umount2("acl", MNT_DETACH), 0);
}

static unsigned mode_of(const char *name)
{
    return stat_of(name).st_mode & 07777;
}

/* open(2) as another user: 0 or the errno. */
static int open_as(uid_t uid, gid_t gid, const char *name, int flags)
{
    int st;
    pid_t pid = fork();
    if (pid == 0) {
        if (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
            _exit(100);
        _exit(open(name, flags) < 0 ? errno : 0);
    }
    CHECK_EQ(waitpid(pid, &st, 0), pid);
    return WEXITSTATUS(st);
}

TEST(values)
{
    char buf[256];
    enter();
    write_file("f", "x");
    chmod("f", 0640);
    CHECK_ERR(getxattr("f", ACCESS, buf, sizeof(buf)), ENODATA);
    CHECK_EQ(setxattr("f", ACCESS, LIST(U_OBJ(6), USER(1000, 7), G_OBJ(4), MASK(6), OTHER(1)),
                      SIZE(5), 0),
             0);
    CHECK_EQ(mode_of("f"), 0661);
    CHECK_EQ(getxattr("f", ACCESS, NULL, 0), (ssize_t)SIZE(5));
    CHECK_ERR(getxattr("f", ACCESS, buf, 10), ERANGE);
    CHECK_EQ(getxattr("f", ACCESS, buf, sizeof(buf)), (ssize_t)SIZE(5));
    CHECK_EQ(memcmp(buf, LIST(U_OBJ(6), USER(1000, 7), G_OBJ(4), MASK(6), OTHER(1)), SIZE(5)), 0);
    CHECK_EQ(listxattr("f", buf, sizeof(buf)), (ssize_t)sizeof(ACCESS));
    CHECK_STR(buf, ACCESS);
    CHECK_ERR(setxattr("f", DEFAULT, LIST(U_OBJ(6), G_OBJ(4), OTHER(0)), SIZE(3), 0), EACCES);
    CHECK_EQ(chmod("f", 0700), 0);
    CHECK_EQ(getxattr("f", ACCESS, buf, sizeof(buf)), (ssize_t)SIZE(5));
    CHECK_EQ(memcmp(buf, LIST(U_OBJ(7), USER(1000, 7), G_OBJ(4), MASK(0), OTHER(0)), SIZE(5)), 0);
    /* One that says no more than a mode is a mode. */
    CHECK_EQ(setxattr("f", ACCESS, LIST(U_OBJ(6), G_OBJ(4), OTHER(0)), SIZE(3), 0), 0);
    CHECK_EQ(mode_of("f"), 0640);
    CHECK_ERR(getxattr("f", ACCESS, buf, sizeof(buf)), ENODATA);
    CHECK_EQ(setxattr("f", ACCESS, LIST(U_OBJ(6), GROUP(5, 7), G_OBJ(4), MASK(6), OTHER(0)),
                      SIZE(1), 0) == -1 &&
                 errno == EINVAL,
             1);
    CHECK_ERR(setxattr("f", ACCESS, LIST(U_OBJ(6), USER(1, 7), G_OBJ(4), OTHER(0)), SIZE(4), 0),
              EINVAL);
    CHECK_ERR(setxattr("f", ACCESS, LIST(G_OBJ(6), U_OBJ(4), OTHER(0)), SIZE(3), 0), EINVAL);
    CHECK_ERR(setxattr("f", ACCESS, LIST(U_OBJ(8), G_OBJ(4), OTHER(0)), SIZE(3), 0), EINVAL);
    CHECK_ERR(setxattr("f", ACCESS, "x", 1, 0), EINVAL);
    CHECK_ERR(setxattr("f", ACCESS, "\1\0\0\0abcdefgh", 12, 0), EOPNOTSUPP);
    CHECK_EQ(removexattr("f", ACCESS), 0);
    leave();
}

TEST(permission)
{
    enter();
    write_file("f", "x");
    CHECK_EQ(setxattr("f", ACCESS,
                      LIST(U_OBJ(6), USER(1000, 6), USER(1001, 0), G_OBJ(0), GROUP(2000, 4),
                           MASK(6), OTHER(4)),
                      SIZE(7), 0),
             0);
    CHECK_EQ(open_as(1000, 1, "f", O_RDWR), 0);
    CHECK_EQ(open_as(1001, 1, "f", O_RDONLY), EACCES);
    CHECK_EQ(open_as(1001, 2000, "f", O_RDONLY), EACCES);
    CHECK_EQ(open_as(1002, 2000, "f", O_RDONLY), 0);
    CHECK_EQ(open_as(1002, 2000, "f", O_WRONLY), EACCES);
    CHECK_EQ(open_as(1002, 1, "f", O_RDONLY), 0);
    CHECK_EQ(open_as(1002, 0, "f", O_RDONLY), EACCES); /* in the owning group */
    CHECK_EQ(chmod("f", 0644), 0);                     /* the mask is now 4 */
    CHECK_EQ(open_as(1000, 1, "f", O_RDONLY), 0);
    CHECK_EQ(open_as(1000, 1, "f", O_RDWR), EACCES);
    CHECK_EQ(mkdir("d", 0700), 0);
    write_file("d/in", "y");
    CHECK_EQ(open_as(1000, 1, "d/in", O_RDONLY), EACCES);
    CHECK_EQ(setxattr("d", ACCESS, LIST(U_OBJ(7), USER(1000, 1), G_OBJ(0), MASK(7), OTHER(0)),
                      SIZE(5), 0),
             0);
    CHECK_EQ(open_as(1000, 1, "d/in", O_RDONLY), 0);
    CHECK_EQ(open_as(1000, 1, "d", O_RDONLY), EACCES);
    leave();
}

TEST(inheritance)
{
    char buf[256];
    enter();
    umask(077);
    CHECK_EQ(mkdir("d", 0755), 0);
    CHECK_EQ(setxattr("d", DEFAULT, LIST(U_OBJ(7), USER(1000, 7), G_OBJ(5), MASK(7), OTHER(5)),
                      SIZE(5), 0),
             0);
    write_file("d/f", "x");
    CHECK_EQ(mode_of("d/f"), 0644);
    CHECK_EQ(getxattr("d/f", ACCESS, buf, sizeof(buf)), (ssize_t)SIZE(5));
    CHECK_EQ(memcmp(buf, LIST(U_OBJ(6), USER(1000, 7), G_OBJ(5), MASK(4), OTHER(4)), SIZE(5)), 0);
    CHECK_EQ(mkdir("d/s", 0777), 0);
    CHECK_EQ(mode_of("d/s"), 0775);
    CHECK_EQ(getxattr("d/s", DEFAULT, buf, sizeof(buf)), (ssize_t)SIZE(5));
    CHECK_EQ(getxattr("d/s", ACCESS, buf, sizeof(buf)), (ssize_t)SIZE(5));
    CHECK_EQ(symlink("f", "d/l"), 0);
    CHECK_EQ(mknod("d/p", S_IFIFO | 0600, 0), 0);
    CHECK_EQ(mode_of("d/p"), 0600);
    CHECK_EQ(removexattr("d", DEFAULT), 0);
    write_file("d/g", "x");
    CHECK_EQ(mode_of("d/g"), 0600);
    umask(022);
    leave();
}

TEST(privilege)
{
    int st;
    enter();
    write_file("f", "x");
    pid_t pid = fork();
    if (pid == 0) {
        int ok = setresuid(1000, 1000, 1000) == 0;
        ok &= setxattr("f", ACCESS, LIST(U_OBJ(6), G_OBJ(4), OTHER(0)), SIZE(3), 0) == -1 &&
              errno == EPERM;
        ok &= getxattr("f", ACCESS, NULL, 0) == -1 && errno == ENODATA;
        _exit(!ok);
    }
    CHECK_EQ(waitpid(pid, &st, 0), pid);
    CHECK_EQ(st, 0);
    leave();
}
