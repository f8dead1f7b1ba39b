/* Long names, long paths, many entries, many descriptors, files cut short under those who use them.
 */
#include <sys/resource.h>
#include <sys/socket.h>

#include "fs_common.h"

TEST(long_names)
{
    char name[300];
    struct stat st;
    memset(name, 'n', sizeof(name));
    name[255] = 0;
    write_file(name, "x");
    CHECK_EQ(stat(name, &st), 0);
    CHECK_EQ(rename(name, "short"), 0);
    CHECK_EQ(link("short", name), 0);
    CHECK_EQ(unlink(name), 0);
    CHECK_EQ(mkdir(name, 0755), 0);
    CHECK_EQ(rmdir(name), 0);
    CHECK_EQ(symlink(name, "link"), 0);
    CHECK_ERR(stat("link", &st), ENOENT);
    name[255] = 'n';
    name[256] = 0;
    CHECK_ERR(open(name, O_CREAT | O_RDWR, 0600), ENAMETOOLONG);
    CHECK_ERR(mkdir(name, 0755), ENAMETOOLONG);
    CHECK_ERR(rename("short", name), ENAMETOOLONG);
    CHECK_ERR(link("short", name), ENAMETOOLONG);
    CHECK_ERR(symlink("short", name), ENAMETOOLONG);
    CHECK_ERR(stat(name, &st), ENAMETOOLONG);
    CHECK_ERR(unlink(name), ENAMETOOLONG);
    CHECK_EQ(unlink("link"), 0);
    CHECK_EQ(unlink("short"), 0);
}

TEST(long_paths)
{
    static char path[5000], got[4200];
    size_t n = 0;
    int cwd = open(".", O_RDONLY), depth = 0;
    struct stat st;
    while (n < 4000) { /* twenty names of 199 */
        memset(path + n, 'd', 199);
        path[n + 199] = 0;
        CHECK_EQ(mkdir(path, 0755), 0);
        path[n + 199] = '/';
        n += 200;
    }
    memset(path + n, 'f', 4095 - n);
    path[4095] = 0;
    CHECK_EQ(close(open(path, O_CREAT | O_WRONLY, 0600)), 0);
    CHECK_EQ(stat(path, &st), 0);
    CHECK_EQ(unlink(path), 0);
    path[4095] = 'f';
    path[4096] = 0;
    CHECK_ERR(stat(path, &st), ENAMETOOLONG);
    CHECK_ERR(open(path, O_CREAT | O_WRONLY, 0600), ENAMETOOLONG);
    /* Deeper than a path can say, by steps. */
    path[n] = 0;
    CHECK_EQ(chdir(path), 0);
    for (; depth < 20; depth++) {
        path[199] = 0;
        CHECK_EQ(mkdir(path, 0755), 0);
        CHECK_EQ(chdir(path), 0);
    }
    CHECK_ERR(syscall(SYS_getcwd, got, sizeof(got)), ENAMETOOLONG);
    for (; depth > 0; depth--) {
        CHECK_EQ(chdir(".."), 0);
        CHECK_EQ(rmdir(path), 0);
    }
    CHECK_EQ(fchdir(cwd), 0);
    CHECK_EQ(close(cwd), 0);
    CHECK_EQ(system("rm -rf ddd*"), 0);
}

#define NENTRIES 20000

TEST(many_entries)
{
    char name[64];
    static char seen[NENTRIES];
    int n = 0, nremoved = 0;
    CHECK_EQ(mkdir("many", 0755), 0);
    int dir = open("many", O_RDONLY | O_DIRECTORY);
    for (int i = 0; i < NENTRIES; i++) {
        snprintf(name, sizeof(name), "entry-%d", i);
        int fd = openat(dir, name, O_CREAT | O_EXCL | O_WRONLY, 0600);
        CHECK(fd >= 0);
        CHECK_EQ(close(fd), 0);
    }
    DIR *d = opendir("many");
    long middle = -1;
    for (struct dirent *e; (e = readdir(d));) {
        if (e->d_name[0] == '.')
            continue;
        int i = atoi(e->d_name + 6);
        CHECK(i >= 0 && i < NENTRIES && !seen[i]);
        seen[i] = 1;
        if (++n == NENTRIES / 2)
            middle = telldir(d);
    }
    CHECK_EQ(n, NENTRIES);
    seekdir(d, middle);
    for (n = 0; readdir(d); n++)
        ;
    CHECK(n >= NENTRIES / 2);
    rewinddir(d);
    for (struct dirent *e;
         (e = readdir(d));) { /* what is removed behind the reader hides nothing before him */
        if (e->d_name[0] == '.')
            continue;
        CHECK_EQ(unlinkat(dir, e->d_name, 0), 0);
        nremoved++;
    }
    CHECK_EQ(nremoved, NENTRIES);
    closedir(d);
    CHECK_EQ(close(dir), 0);
    CHECK_EQ(rmdir("many"), 0);
}

TEST(many_descriptors)
{
    struct rlimit was, rl;
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &was), 0);
    rl = was;
    rl.rlim_cur = rl.rlim_max < 20000 ? rl.rlim_max : 20000;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &rl), 0);
    write_file("f", "0123456789");
    int first = open("f", O_RDONLY), n = 0, fd, last = first;
    while ((fd = n % 2 ? dup(first) : open("f", O_RDONLY)) >= 0) {
        last = fd;
        n++;
    }
    CHECK_EQ(errno, EMFILE);
    CHECK_EQ(last, (int)rl.rlim_cur - 1);
    CHECK_ERR(socket(AF_UNIX, SOCK_STREAM, 0), EMFILE);
    char c;
    CHECK_EQ(pread(last, &c, 1, 7), 1);
    CHECK_EQ(c, '7');
    CHECK_EQ(syscall(SYS_close_range, first, ~0U, 0), 0);
    CHECK_ERR(fcntl(last, F_GETFD), EBADF);
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &was), 0);
    CHECK_EQ(unlink("f"), 0);
}

/* A file is cut short under two mappings of it: who touches what is gone gets SIGBUS, nobody else.
 */
static void cut_short(int flags)
{
    int st, go[2];
    char c;
    int fd = open("f", O_CREAT | O_RDWR | O_TRUNC, 0600);
    CHECK_EQ(ftruncate(fd, 3 * 4096), 0);
    CHECK_EQ(pwrite(fd, "abc", 3, 8192), 3);
    CHECK_EQ(pipe(go), 0);
    volatile char *mine = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    pid_t pid = fork();
    if (pid == 0) {
        volatile char *p = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, flags, fd, 0);
        if (p == MAP_FAILED || p[8192] != 'a' || read(go[0], &c, 1) != 1)
            _exit(1);
        if (p[0])
            _exit(2);
        _exit(p[8192] == 'a' ? 3 : 4);
    }
    CHECK_EQ(mine[8192], 'a');
    CHECK_EQ(ftruncate(fd, 4096), 0);
    CHECK_EQ(write(go[1], "g", 1), 1);
    CHECK_EQ(waitpid(pid, &st, 0), pid);
    CHECK(WIFSIGNALED(st));
    CHECK_EQ(WTERMSIG(st), SIGBUS);
    mine[0] = 'm';
    CHECK_EQ(pread(fd, &c, 1, 0), 1);
    CHECK_EQ(c, 'm');
    CHECK_EQ(ftruncate(fd, 3 * 4096), 0); /* grown again: zero, and there */
    CHECK_EQ(mine[8192], 0);
    CHECK_EQ(munmap((void *)mine, 3 * 4096), 0);
    CHECK_EQ(close(fd), 0);
    CHECK_EQ(close(go[0]) | close(go[1]), 0);
    CHECK_EQ(unlink("f"), 0);
}

TEST(cut_short_under_mappings)
{
    cut_short(MAP_SHARED);
    cut_short(MAP_PRIVATE);
}
