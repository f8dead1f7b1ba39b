/* Helpers of the file tests. Every test works in the directory where it was started, on names of its own. */
#ifndef FS_COMMON_H
#define FS_COMMON_H

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <grp.h>
#include <limits.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "test.h"

#define UNUSED __attribute__((unused))

#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE 1
#define RENAME_EXCHANGE  2
#define RENAME_WHITEOUT  4
#endif

UNUSED static void write_file(const char *name, const char *text)
{
    int fd = open(name, O_CREAT | O_WRONLY | O_TRUNC, 0644);
    CHECK(fd >= 0);
    CHECK_EQ(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    CHECK_EQ(close(fd), 0);
}

UNUSED static const char *read_file(const char *name)
{
    static char buf[2][4096];
    static int turn;
    char *b = buf[turn ^= 1];
    int fd = open(name, O_RDONLY);
    if (fd < 0)
        return "(cannot open)";
    ssize_t n = read(fd, b, 4095);
    close(fd);
    b[n > 0 ? n : 0] = 0;
    return b;
}

UNUSED static struct stat stat_of(const char *name)
{
    struct stat st;
    CHECK_EQ(lstat(name, &st), 0);
    return st;
}

UNUSED static int rename2(const char *a, const char *b, unsigned flags)
{
    return (int)syscall(SYS_renameat2, AT_FDCWD, a, AT_FDCWD, b, flags);
}

/* The names of a directory, sorted, separated by spaces. */
static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}
UNUSED static const char *names_in(const char *dir)
{
    static char out[8192];
    char *names[256];
    int n = 0;
    DIR *d = opendir(dir);
    CHECK(d != NULL);
    struct dirent *e;
    while ((e = readdir(d)) && n < 256) {
        if (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
            names[n++] = strdup(e->d_name);
    }
    closedir(d);
    qsort(names, (size_t)n, sizeof(names[0]), by_name);
    out[0] = 0;
    for (int i = 0; i < n; i++) {
        if (i)
            strcat(out, " ");
        strcat(out, names[i]);
        free(names[i]);
    }
    return out;
}

/* A fresh directory, entered. */
UNUSED static void fresh_dir(const char *name)
{
    static char top[PATH_MAX];
    char cmd[PATH_MAX + 32];
    if (!top[0])
        CHECK(getcwd(top, sizeof(top)) != NULL);
    CHECK_EQ(chdir(top), 0);
    snprintf(cmd, sizeof(cmd), "rm -rf '%s'", name);
    CHECK_EQ(system(cmd), 0);
    CHECK_EQ(mkdir(name, 0755), 0);
    CHECK_EQ(chdir(name), 0);
}

/* Runs fn in a child with these ids (and no capabilities unless root); its failed checks are ours. */
UNUSED static void as_user(uid_t uid, gid_t gid, void (*fn)(void))
{
    int p[2];
    CHECK_EQ(pipe(p), 0);
    pid_t pid = fork();
    if (pid == 0) {
        if (uid && (setgroups(0, NULL) || setresgid(gid, gid, gid) || setresuid(uid, uid, uid)))
            _exit(97);
        jmp_buf jmp;
        test_jmp = &jmp;
        if (setjmp(jmp) == 0) {
            fn();
            _exit(0);
        }
        ssize_t n = write(p[1], test_msg, strlen(test_msg) + 1);
        (void)n;
        _exit(1);
    }
    close(p[1]);
    int st;
    CHECK_EQ(waitpid(pid, &st, 0), pid);
    if (st != 0) {
        ssize_t n = read(p[0], test_msg, sizeof(test_msg) - 1);
        if (n <= 0)
            snprintf(test_msg, sizeof(test_msg), "child status %x", st);
        close(p[0]);
        test_fail();
    }
    close(p[0]);
}

/* Tests of privilege need root; elsewhere they say so and pass. */
#define NEED_ROOT()                                                                                \
    do {                                                                                           \
        if (geteuid() != 0)                                                                        \
            return;                                                                                \
    } while (0)

#endif
