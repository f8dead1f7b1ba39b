/* FUSE by its raw protocol: mounts whose server is this program's child (fuse_server.h). As root.
 */
#include <sys/socket.h>

#include "fuse_server.h"

static struct server srv;

#define NEED_FUSE()                                                                                \
    do {                                                                                           \
        if (geteuid() != 0 || access("/dev/fuse", R_OK | W_OK) < 0)                                \
            SKIP("FUSE here is root's");                                                           \
    } while (0)

static const char *mount_options;
static void (*with_srv)(struct server *);

static void mounted(void)
{
    CHECK_EQ(unshare(CLONE_NEWNS), 0);
    CHECK_EQ(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
    CHECK_EQ(fuse_start(&srv, mount_options), 0);
    with_srv(&srv);
}

/* fn in a mount namespace of its own, with a server that was started so. */
static void with_server(unsigned valid_s, unsigned want, unsigned open_flags, const char *options,
                        void (*fn)(struct server *))
{
    NEED_FUSE();
    srv = (struct server){.valid_s = valid_s, .want = want, .open_flags = open_flags};
    mount_options = options;
    with_srv = fn;
    as_user(0, 0, mounted);
}

#define WANT (FUSE_ATOMIC_O_TRUNC | FUSE_BIG_WRITES | FUSE_DO_READDIRPLUS | FUSE_AUTO_INVAL_DATA)

/* ---- files and names ----------------------------------------------------------------------- */

static void names(struct server *s)
{
    struct statfs sf;
    CHECK_EQ(mkdir("m/d", 0750), 0);
    CHECK_ERR(mkdir("m/d", 0750), EEXIST);
    write_file("m/d/a", "hello");
    CHECK_STR(read_file("m/d/a"), "hello");
    CHECK_EQ(stat_of("m/d/a").st_size, 5);
    CHECK_EQ(stat_of("m/d/a").st_mode, S_IFREG | 0644);
    CHECK_EQ(stat_of("m/d").st_mode, S_IFDIR | 0750);
    CHECK_EQ(rename("m/d/a", "m/b"), 0);
    CHECK_ERR(access("m/d/a", F_OK), ENOENT);
    CHECK_STR(read_file("m/b"), "hello");
    CHECK_EQ(symlink("d/../b", "m/l"), 0);
    CHECK_STR(read_file("m/l"), "hello");
    CHECK_STR(names_in("m"), "b d l");
    CHECK_EQ(unlink("m/l"), 0);
    CHECK_EQ(rmdir("m/d"), 0);
    CHECK_ERR(rmdir("m/d"), ENOENT);
    CHECK_STR(names_in("m"), "b");
    write_file("m/c", "other");
    CHECK_EQ(rename("m/c", "m/b"), 0);
    CHECK_STR(read_file("m/b"), "other");
    CHECK_ERR(link("m/b", "m/n"), EPERM); /* the server knows no links */
    CHECK_EQ(mkfifo("m/p", 0600), 0);
    CHECK_EQ(stat_of("m/p").st_mode, S_IFIFO | 0600);
    CHECK_EQ(statfs("m", &sf), 0);
    CHECK_EQ(sf.f_type, 0x65735546);
    CHECK_EQ(sf.f_namelen, 63);
    CHECK_EQ(chmod("m/b", 0400), 0);
    CHECK_EQ(stat_of("m/b").st_mode & 07777, 0400);
    CHECK_EQ(chown("m/b", 5, 6), 0);
    CHECK_EQ(stat_of("m/b").st_gid, 6);
    char tag[8];
    CHECK_EQ(getxattr("m/b", "user.tag", NULL, 0), 3);
    CHECK_EQ(getxattr("m/b", "user.tag", tag, sizeof(tag)), 3);
    CHECK_ERR(getxattr("m/b", "user.none", tag, sizeof(tag)), ENODATA);
    CHECK_ERR(setxattr("m/b", "user.tag", "x", 1, 0), EOPNOTSUPP);
    fuse_stop(s);
    CHECK(s->seen->ops[FUSE_READDIRPLUS] > 0);
    CHECK_EQ(s->seen->ops[FUSE_READDIR], 0);
    CHECK_EQ(s->seen->ops[FUSE_SETXATTR], 1);
}

TEST(names)
{
    with_server(0, WANT, 0, "", names);
}
TEST(names_that_stay_good)
{
    with_server(1000, WANT, 0, ",default_permissions,allow_other", names);
}

static void contents(struct server *s)
{
    static char buf[300000], got[300000];
    for (size_t i = 0; i < sizeof(buf); i++)
        buf[i] = (char)(i * 7 + i / 4096);
    int fd = open("m/f", O_CREAT | O_RDWR | O_EXCL, 0600);
    CHECK(fd >= 0);
    CHECK_EQ(write(fd, buf, sizeof(buf)), sizeof(buf));
    CHECK_EQ(pread(fd, got, sizeof(got), 0), sizeof(got));
    CHECK_EQ(memcmp(buf, got, sizeof(buf)), 0);
    CHECK_EQ(lseek(fd, -100, SEEK_END), sizeof(buf) - 100);
    CHECK_EQ(read(fd, got, 4096), 100);
    CHECK_EQ(read(fd, got, 4096), 0);
    CHECK_EQ(memcmp(buf + sizeof(buf) - 100, got, 100), 0);
    CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
    for (size_t at = 0; at < sizeof(buf); at += 1000) { /* in small pieces: read ahead */
        CHECK_EQ(read(fd, got, 1000), 1000);
        CHECK_EQ(memcmp(buf + at, got, 1000), 0);
    }
    CHECK_EQ(lseek(fd, 10, SEEK_SET), 10);
    CHECK_EQ(read(fd, got, 10), 10);
    CHECK_EQ(pwrite(fd, "changed", 7, 22), 7);
    CHECK_EQ(read(fd, got, 10), 10);
    CHECK_EQ(memcmp(got + 2, "changed", 7), 0);
    CHECK_EQ(ftruncate(fd, 24), 0);
    CHECK_EQ(pread(fd, got, 100, 20), 4);
    CHECK_EQ(ftruncate(fd, 30), 0);
    CHECK_EQ(pread(fd, got, 100, 20), 10);
    CHECK_EQ(memcmp(got + 4, "\0\0\0\0\0\0", 6), 0);
    CHECK_ERR(pwrite(fd, buf, 10, MAX_DATA), ENOSPC);
    CHECK_EQ(fsync(fd), 0); /* the server knows no such thing */
    CHECK_EQ(fsync(fd), 0);
    CHECK_EQ(s->seen->ops[FUSE_FSYNC], 1);
    CHECK_EQ(close(fd), 0);
    fd = open("m/f", O_WRONLY | O_APPEND);
    CHECK_EQ(write(fd, "end", 3), 3);
    CHECK_EQ(close(fd), 0);
    CHECK_EQ(stat_of("m/f").st_size, 33);
    unsigned before = s->seen->ops[FUSE_SETATTR];
    fd = open("m/f", O_RDWR | O_TRUNC);
    CHECK_EQ(s->seen->open_flags & O_TRUNC, O_TRUNC);
    CHECK_EQ(s->seen->ops[FUSE_SETATTR], before);
    CHECK_EQ(lseek(fd, 0, SEEK_END), 0);
    CHECK_EQ(unlink("m/f"), 0);
    CHECK_EQ(write(fd, "gone", 4), 4);
    CHECK_EQ(pread(fd, got, 4, 0), 4);
    CHECK_EQ(close(fd), 0);
    uint32_t v = 21;
    write_file("m/i", "");
    fd = open("m/i", O_RDONLY);
    CHECK_EQ(ioctl(fd, _IOWR('T', 1, uint32_t), &v), 5);
    CHECK_EQ(v, 42);
    CHECK_EQ(ioctl(fd, _IOR('T', 2, uint32_t), &v), 5);
    CHECK_EQ(v, 77);
    CHECK_ERR(ioctl(fd, _IOR('U', 2, uint32_t), &v), ENOTTY);
    CHECK_EQ(close(fd), 0);
    fuse_stop(s);
}

TEST(contents)
{
    with_server(0, WANT, 0, "", contents);
}
TEST(contents_that_stay_good)
{
    with_server(1000, WANT, FOPEN_KEEP_CACHE, "", contents);
}
TEST(contents_direct)
{
    with_server(1, WANT, FOPEN_DIRECT_IO, ",max_read=8192", contents);
}

static void mappings(struct server *s)
{
    static char page[4096];
    memset(page, 'a', sizeof(page));
    int fd = open("m/f", O_CREAT | O_RDWR, 0600);
    CHECK_EQ(write(fd, page, sizeof(page)), sizeof(page));
    CHECK_EQ(write(fd, "tail", 4), 4);
    int ro = open("m/f", O_RDONLY);
    volatile char *sh = mmap(NULL, 8192, PROT_READ, MAP_SHARED, ro, 0);
    CHECK(sh != MAP_FAILED);
    char *pr = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE, ro, 0);
    CHECK(pr != MAP_FAILED);
    CHECK_EQ(close(ro), 0);
    CHECK_EQ(sh[0], 'a');
    CHECK_EQ(memcmp(pr + 4096, "tail\0", 5), 0);
    pr[0] = 'p';
    CHECK_EQ(sh[0], 'a');
    CHECK_EQ(pwrite(fd, "b", 1, 1), 1);
    CHECK_EQ(sh[1], 'b');
    CHECK_EQ(ftruncate(fd, 4096), 0);
    CHECK_EQ(ftruncate(fd, 8192), 0);
    CHECK_EQ(sh[4096], 0);
    CHECK_EQ(munmap((void *)sh, 8192), 0);
    CHECK_EQ(munmap(pr, 8192), 0);
    CHECK_EQ(close(fd), 0);
    CHECK_EQ(system("cp /bin/true m/true"), 0); /* too long for the server, or run from it */
    fuse_stop(s);
}

TEST(mappings)
{
    with_server(1000, WANT, 0, "", mappings);
}

static void run_program(struct server *s)
{
    int st;
    write_file("m/sh", "#!/bin/sh\nexit 3\n");
    CHECK_ERR(execl("m/sh", "sh", NULL), EACCES);
    CHECK_EQ(chmod("m/sh", 0755), 0);
    pid_t pid = fork();
    if (pid == 0) {
        execl("m/sh", "sh", NULL);
        _exit(9);
    }
    CHECK_EQ(waitpid(pid, &st, 0), pid);
    CHECK_EQ(WEXITSTATUS(st), 3);
    fuse_stop(s);
}

TEST(run_program)
{
    with_server(0, WANT, 0, "", run_program);
}

/* ---- errors, interruptions, ends ----------------------------------------------------------- */

static void close_tells(struct server *s)
{
    int fd = open("m/full", O_CREAT | O_WRONLY, 0600);
    CHECK_EQ(write(fd, "x", 1), 1);
    int copy = dup(fd);
    CHECK_ERR(close(copy), EDQUOT);
    CHECK_ERR(fcntl(copy, F_GETFD), EBADF);
    CHECK_EQ(dup2(1, fd), fd); /* tells nobody */
    CHECK_EQ(close(fd), 0);
    CHECK_EQ(s->seen->ops[FUSE_FLUSH], 2);
    while (s->seen->ops[FUSE_RELEASE] == 0)
        sched_yield();
    fuse_stop(s);
    CHECK_EQ(s->seen->ops[FUSE_RELEASE], 1);
}

TEST(close_tells)
{
    with_server(0, WANT, 0, "", close_tells);
}

static void on_alarm(int signo)
{
}

static void interrupted(struct server *s)
{
    char c;
    write_file("m/hang", "text");
    int fd = open("m/hang", O_RDONLY);
    struct sigaction sa = {.sa_handler = on_alarm};
    CHECK_EQ(sigaction(SIGALRM, &sa, NULL), 0);
    struct itimerval it = {{0, 20000}, {0, 20000}};
    CHECK_EQ(setitimer(ITIMER_REAL, &it, NULL), 0);
    CHECK_ERR(read(fd, &c, 1), EINTR);
    it = (struct itimerval){0};
    CHECK_EQ(setitimer(ITIMER_REAL, &it, NULL), 0);
    CHECK(s->seen->interrupted != 0);
    CHECK_EQ(close(fd), 0);
    fuse_stop(s);
}

TEST(interrupted)
{
    with_server(1000, WANT, FOPEN_DIRECT_IO, "", interrupted);
}

static void server_dies(struct server *s)
{
    char c;
    int st;
    write_file("m/dies", "text");
    write_file("m/b", "text");
    int fd = open("m/dies", O_RDONLY), b = open("m/b", O_RDWR);
    CHECK_EQ(read(fd, &c, 1), -1);
    CHECK(errno == ECONNABORTED || errno == ENOTCONN);
    CHECK_EQ(waitpid(s->pid, &st, 0), s->pid);
    CHECK_ERR(read(b, &c, 1), ENOTCONN);
    CHECK_ERR(write(b, &c, 1), ENOTCONN);
    CHECK_ERR(stat("m/b", &(struct stat){0}), ENOTCONN);
    CHECK_ERR(open("m", O_RDONLY), ENOTCONN);
    CHECK_ERR(close(b), ENOTCONN);
    (void)close(fd);
    CHECK_EQ(umount("m"), 0);
}

TEST(server_dies)
{
    with_server(0, WANT, FOPEN_DIRECT_IO, "", server_dies);
}

/* Whoever waits is let go when the mount is forced away; who is killed dies then at the latest. */
static void forced(struct server *s)
{
    char c;
    int st, ready[2];
    write_file("m/hang", "text");
    CHECK_EQ(pipe(ready), 0);
    pid_t pid = fork();
    if (pid == 0) {
        int fd = open("m/hang", O_RDONLY);
        (void)!write(ready[1], "r", 1);
        _exit(read(fd, &c, 1) == -1 && errno == ECONNABORTED ? 0 : 1);
    }
    CHECK_EQ(read(ready[0], &c, 1), 1);
    while (s->seen->ops[FUSE_READ] == 0)
        sched_yield();
    int busy = open("m", O_PATH);
    CHECK_ERR(umount2("m", MNT_FORCE), EBUSY);
    CHECK_EQ(waitpid(pid, &st, 0), pid);
    CHECK_EQ(st, 0);
    CHECK_EQ(close(busy), 0);
    fuse_stop(s);
}

TEST(forced)
{
    with_server(1000, WANT, FOPEN_DIRECT_IO, "", forced);
}

/* ---- what is cached ------------------------------------------------------------------------ */

static void invalidated(struct server *s)
{
    char got[16] = "";
    write_file("m/f", "old");
    write_file("m/g", "g");
    int fd = open("m/f", O_RDONLY);
    CHECK_EQ(read(fd, got, sizeof(got)), 3);
    CHECK_EQ(stat_of("m/f").st_size, 3);
    unsigned before = s->seen->ops[FUSE_GETATTR] + s->seen->ops[FUSE_LOOKUP];
    for (int i = 0; i < 100; i++)
        CHECK_EQ(stat_of("m/g").st_size, 1);
    CHECK(s->seen->ops[FUSE_GETATTR] + s->seen->ops[FUSE_LOOKUP] - before <= 4);
    order(s, "dnewer");
    CHECK_EQ(stat_of("m/f").st_size, 5);
    CHECK_EQ(pread(fd, got, sizeof(got), 0), 5);
    CHECK_EQ(memcmp(got, "newer", 5), 0);
    const char *p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
    CHECK(p != MAP_FAILED);
    CHECK_EQ(memcmp(p, "newer", 6), 0);
    CHECK_EQ(munmap((void *)p, 4096), 0);
    order(s, "dagain!");
    p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
    CHECK_EQ(memcmp(p, "again!", 7), 0);
    CHECK_EQ(munmap((void *)p, 4096), 0);
    CHECK_EQ(close(fd), 0);
    CHECK_EQ(access("m/g", F_OK), 0);
    order(s, "rg");
    CHECK_ERR(access("m/g", F_OK), ENOENT);
    write_file("m/g", "another");
    CHECK_STR(read_file("m/g"), "another");
    fuse_stop(s);
}

TEST(invalidated)
{
    with_server(1000, WANT, FOPEN_KEEP_CACHE, "", invalidated);
}

static void found_changed(struct server *s)
{
    write_file("m/f", "old");
    CHECK_STR(read_file("m/f"), "old");
    order(s, "qnew text");
    CHECK_STR(read_file("m/f"), "new text");
    CHECK_EQ(stat_of("m/f").st_size, 8);
    fuse_stop(s);
}

TEST(found_changed)
{
    with_server(0, WANT, 0, "", found_changed);
}

static void forgotten(struct server *s)
{
    char name[32];
    for (int i = 0; i < 20; i++) {
        snprintf(name, sizeof(name), "m/f%d", i);
        write_file(name, "x");
        CHECK_EQ(unlink(name), 0);
    }
    /* Each was made anew from what the server may use again only when it has been forgotten. */
    for (int i = 0; i < 200; i++) {
        write_file("m/again", "x");
        CHECK_EQ(unlink("m/again"), 0);
    }
    CHECK(s->seen->nforgotten > 150);
    fuse_stop(s);
}

TEST(forgotten)
{
    with_server(1000, WANT, 0, "", forgotten);
}

/* ---- who may ------------------------------------------------------------------------------- */

static void others(struct server *s)
{
    int st;
    write_file("m/f", "x");
    CHECK_EQ(chmod(".", 0755), 0);
    pid_t pid = fork();
    if (pid == 0) {
        if (setgid(77) < 0 || setuid(77) < 0)
            _exit(1);
        _exit(access("m/f", F_OK) == -1 && errno == EACCES && stat("m", &(struct stat){0}) == -1 &&
                      errno == EACCES
                  ? 0
                  : 2);
    }
    CHECK_EQ(waitpid(pid, &st, 0), pid);
    CHECK_EQ(st, 0);
    write_file("m/no", "x");
    CHECK_EQ(access("m/f", R_OK), 0);
    CHECK_ERR(access("m/no", R_OK), EACCES);
    CHECK_STR(read_file("m/no"), "x"); /* only asked by access(2) */
    fuse_stop(s);
}

TEST(others)
{
    with_server(0, WANT, 0, "", others);
}

static void permissions(struct server *s)
{
    int st;
    write_file("m/f", "x");
    CHECK_EQ(chmod("m/f", 0600), 0);
    pid_t pid = fork();
    if (pid == 0) {
        if (setgid(77) < 0 || setuid(77) < 0)
            _exit(1);
        if (access("m/f", F_OK) < 0 || open("m/f", O_RDONLY) >= 0 || errno != EACCES)
            _exit(2);
        _exit(chmod("m/f", 0666) == -1 && errno == EPERM ? 0 : 3);
    }
    CHECK_EQ(waitpid(pid, &st, 0), pid);
    CHECK_EQ(st, 0);
    fuse_stop(s);
}

TEST(permissions)
{
    with_server(0, WANT, 0, ",default_permissions,allow_other", permissions);
}

static void own_rules(struct server *s)
{
    int st;
    write_file("m/f", "x");
    CHECK_EQ(chmod("m/f", 0600), 0);
    pid_t pid = fork();
    if (pid == 0) {
        if (setgid(77) < 0 || setuid(77) < 0)
            _exit(1);
        int fd = open("m/f", O_RDONLY); /* the server has nothing against it */
        _exit(fd >= 0 && s->seen->uid == 77 && chmod("m/f", 0666) == 0 ? 0 : 2);
    }
    CHECK_EQ(waitpid(pid, &st, 0), pid);
    CHECK_EQ(st, 0);
    CHECK_EQ(stat_of("m/f").st_mode & 0777, 0666);
    fuse_stop(s);
}

TEST(own_rules)
{
    with_server(0, WANT, 0, ",allow_other", own_rules);
}

static void in_user_namespace(void)
{
    int st;
    struct server *s = &srv;
    *s = (struct server){.want = WANT};
    CHECK_EQ(unshare(CLONE_NEWUSER | CLONE_NEWNS), 0);
    write_file("/proc/self/setgroups", "deny");
    write_file("/proc/self/uid_map", "0 0 1");
    write_file("/proc/self/gid_map", "0 0 1");
    CHECK_EQ(fuse_start(s, ""), 0);
    write_file("m/f", "x");
    CHECK_EQ(stat_of("m/f").st_uid, 0);
    CHECK_EQ(mkdir("o", 0755), 0);
    pid_t pid = fork();
    if (pid == 0)
        _exit(access("m/f", F_OK));
    CHECK_EQ(waitpid(pid, &st, 0), pid);
    CHECK_EQ(st, 0);
    fuse_stop(s);
}

TEST(in_user_namespace)
{
    NEED_FUSE();
    as_user(0, 0, in_user_namespace);
}

/* ---- the device ---------------------------------------------------------------------------- */

static int answer(int fd, uint64_t unique, int error, const void *body, size_t size, uint32_t len)
{
    struct fuse_out_header h = {.len = len, .error = error, .unique = unique};
    struct iovec v[2] = {{&h, sizeof(h)}, {(void *)body, size}};
    return (int)writev(fd, v, 2);
}

static void device(void)
{
    static char buf[1 << 20] __attribute__((aligned(8)));
    struct fuse_in_header *h = (void *)buf;
    char data[64];
    CHECK_EQ(unshare(CLONE_NEWNS), 0);
    CHECK_EQ(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
    (void)mkdir("m", 0755);
    int fd = open("/dev/fuse", O_RDWR | O_NONBLOCK), other = open("/dev/fuse", O_RDWR);
    CHECK(fd >= 0 && other >= 0);
    CHECK_ERR(read(fd, buf, sizeof(buf)), EPERM);
    CHECK_ERR(write(fd, buf, 16), EPERM);
    CHECK_EQ(ioctl(other, FUSE_DEV_IOC_CLONE, &fd), -1);
    CHECK(errno == EPERM || errno == EINVAL); /* by version */
    CHECK_ERR(mount("x", "m", "fuse", 0, "fd=0,rootmode=40000,user_id=0,group_id=0"), EINVAL);
    snprintf(data, sizeof(data), "fd=%d,rootmode=40000,user_id=0", fd);
    CHECK_ERR(mount("x", "m", "fuse", 0, data), EINVAL);
    snprintf(data, sizeof(data), "fd=%d,rootmode=40000,user_id=0,group_id=0,odd", fd);
    CHECK_ERR(mount("x", "m", "fuse", 0, data), EINVAL);
    snprintf(data, sizeof(data), "fd=%d,rootmode=40000,user_id=0,group_id=0", fd);
    CHECK_EQ(mount("x", "m", "fuse", 0, data), 0);
    struct pollfd p = {fd, POLLIN | POLLOUT, 0};
    CHECK_EQ(poll(&p, 1, -1), 1);
    CHECK_EQ(p.revents, POLLIN | POLLOUT);
    CHECK_ERR(read(fd, buf, 100), EINVAL);
    ssize_t n = read(fd, buf, sizeof(buf));
    CHECK(n >= 56);
    CHECK_EQ(h->opcode, FUSE_INIT);
    CHECK_EQ(h->len, n);
    CHECK_ERR(read(fd, buf + 4096, sizeof(buf) - 4096), EAGAIN);
    struct fuse_init_out o = {.major = 7, .minor = 31, .max_write = 4096};
    CHECK_ERR(answer(fd, h->unique, 0, &o, sizeof(o), 16 + sizeof(o) + 1), EINVAL);
    CHECK_ERR(answer(fd, h->unique, 5, NULL, 0, 16), EINVAL);
    CHECK_ERR(answer(fd, h->unique + 100, 0, NULL, 0, 16), ENOENT);
    CHECK_ERR(answer(fd, 0, 99, NULL, 0, 16), EINVAL);
    CHECK_EQ(answer(fd, h->unique, 0, &o, sizeof(o), 16 + sizeof(o)), 16 + (int)sizeof(o));
    CHECK_EQ(ioctl(other, FUSE_DEV_IOC_CLONE, &fd), 0);
    CHECK_ERR(ioctl(other, FUSE_DEV_IOC_CLONE, &fd), EINVAL);
    pid_t pid = fork();
    int st;
    if (pid == 0) { /* three that fail each in its way */
        close(fd);
        close(other);
        _exit(stat("m", &(struct stat){0}) == -1 && errno == EIO &&
                      stat("m", &(struct stat){0}) == -1 && errno == EIO &&
                      stat("m", &(struct stat){0}) == -1 && errno == EXDEV
                  ? 0
                  : 1);
    }
    p.events = POLLIN;
    CHECK_EQ(poll(&p, 1, -1), 1);
    CHECK_ERR(read(fd, (void *)8, sizeof(buf)), EFAULT); /* 1: the request is lost */
    CHECK(read(other, buf, sizeof(buf)) > 0);
    CHECK_EQ(h->opcode, FUSE_GETATTR);
    CHECK_ERR(answer(other, h->unique, 0, "short", 5, 21),
              EINVAL); /* 2: an answer of the wrong size */
    CHECK(read(other, buf, sizeof(buf)) > 0);
    CHECK_EQ(answer(other, h->unique, -EXDEV, NULL, 0, 16), 16);
    CHECK_EQ(waitpid(pid, &st, 0), pid);
    CHECK_EQ(st, 0);
    pid = fork();
    if (pid == 0) {
        close(fd);
        close(other);
        _exit(stat("m", &(struct stat){0}) == -1 && errno == ECONNABORTED ? 0 : 1);
    }
    CHECK(read(other, buf, sizeof(buf)) > 0);
    CHECK_EQ(close(other), 0); /* who had read it is gone */
    CHECK_EQ(waitpid(pid, &st, 0), pid);
    CHECK_EQ(st, 0);
    CHECK_EQ(umount2("m", MNT_DETACH), 0);
    CHECK_ERR(read(fd, buf, sizeof(buf)), ENODEV);
    CHECK_EQ(poll(&p, 1, 0), 1);
    CHECK(p.revents & POLLERR);
}

TEST(device)
{
    NEED_FUSE();
    as_user(0, 0, device);
}
