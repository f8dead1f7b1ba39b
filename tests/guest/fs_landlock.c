/* Landlock: rulesets, layers, each right over files, ports, scopes, tracing. */
#include <arpa/inet.h>
#include <linux/landlock.h>
#include <netinet/in.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "proc_common.h"

#define FS_EXECUTE     (1ULL << 0)
#define FS_WRITE_FILE  (1ULL << 1)
#define FS_READ_FILE   (1ULL << 2)
#define FS_READ_DIR    (1ULL << 3)
#define FS_REMOVE_DIR  (1ULL << 4)
#define FS_REMOVE_FILE (1ULL << 5)
#define FS_MAKE_DIR    (1ULL << 7)
#define FS_MAKE_REG    (1ULL << 8)
#define FS_MAKE_FIFO   (1ULL << 10)
#define FS_MAKE_SYM    (1ULL << 12)
#define FS_REFER       (1ULL << 13)
#define FS_TRUNCATE    (1ULL << 14)
#define FS_IOCTL_DEV   (1ULL << 15)
#define NET_BIND       1ULL
#define NET_CONNECT    2ULL
#define SCOPE_UNIX     1ULL
#define SCOPE_SIGNAL   2ULL

struct attr {
    uint64_t fs, net, scope;
};

static int create(const struct attr *a, size_t size, unsigned flags)
{
    return (int)syscall(SYS_landlock_create_ruleset, a, size, flags);
}
static int add_rule(int fd, int type, const void *attr, unsigned flags)
{
    return (int)syscall(SYS_landlock_add_rule, fd, type, attr, flags);
}
static int restrict_self(int fd, unsigned flags)
{
    return (int)syscall(SYS_landlock_restrict_self, fd, flags);
}
static int allow(int rules, const char *path, uint64_t access)
{
    struct {
        uint64_t access;
        int fd;
    } __attribute__((packed)) a = {access, open(path, O_PATH)};
    int r = add_rule(rules, 1, &a, 0);
    close(a.fd);
    return r;
}
static int allow_port(int rules, unsigned port, uint64_t access)
{
    uint64_t a[2] = {access, port};
    return add_rule(rules, 2, a, 0);
}
static int rules_of(uint64_t fs, uint64_t net, uint64_t scope)
{
    struct attr a = {fs, net, scope};
    return create(&a, sizeof(a), 0);
}
static void enforce(int rules)
{
    EXPECT(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    EXPECT(restrict_self(rules, 0) == 0);
    close(rules);
}
static int abi(void)
{
    return create(NULL, 0, 1);
}
#define FAILS(call, err) EXPECT((call) == -1 && errno == (err))

static char top[64];

static void make_tree(void)
{
    strcpy(top, "/tmp/landlock-XXXXXX");
    if (!mkdtemp(top) || chdir(top) < 0)
        abort();
    mkdir("in", 0755), mkdir("in/sub", 0755), mkdir("out", 0755), mkdir("out/dir", 0755);
    close(open("in/file", O_CREAT | O_WRONLY, 0644));
    close(open("out/file", O_CREAT | O_WRONLY, 0644));
}
static void remove_tree(void)
{
    char cmd[128];
    if (chdir("/") == 0) {
        snprintf(cmd, sizeof(cmd), "rm -rf %s", top);
        if (system(cmd))
            abort();
    }
}

TEST(rulesets)
{
    struct attr a = {FS_READ_FILE, 0, 0};
    struct {
        struct attr a;
        uint64_t more;
    } big = {a, 0};
    CHECK(abi() >= 1);
    CHECK_ERR(create(&a, sizeof(a), 0x100), EINVAL);
    CHECK_ERR(create(&a, sizeof(a), 1), EINVAL);
    CHECK_ERR(create(&a, 4, 0), EINVAL);
    CHECK_ERR(create(&a, 5000, 0), E2BIG);
    CHECK_ERR(create((void *)8, sizeof(a), 0), EFAULT);
    int fd = create(&a, 8, 0);
    CHECK(fd >= 0);
    CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    close(fd);
    big.more = 1;
    CHECK_ERR(create(&big.a, sizeof(big), 0), E2BIG);
    a.fs = 0;
    CHECK_ERR(create(&a, sizeof(a), 0), ENOMSG);
    a.fs = 1ULL << 63;
    CHECK_ERR(create(&a, sizeof(a), 0), EINVAL);
    int rules = rules_of(FS_READ_FILE | FS_READ_DIR, abi() >= 4 ? NET_BIND : 0, 0);
    CHECK(rules >= 0);
    CHECK_ERR(allow(rules, "/tmp", 0), ENOMSG);
    CHECK_ERR(allow(rules, "/tmp", FS_WRITE_FILE), EINVAL);
    CHECK_ERR(allow(rules, "/dev/null", FS_READ_DIR), EINVAL); /* of directories only */
    CHECK_EQ(allow(rules, "/dev/null", FS_READ_FILE), 0);
    CHECK_ERR(allow(rules, "/nowhere", FS_READ_FILE), EBADF);
    CHECK_ERR(add_rule(rules, 99, &a, 0), EINVAL);
    CHECK_ERR(add_rule(rules, 1, (void *)8, 0), EFAULT);
    CHECK_ERR(add_rule(rules, 1, &a, 1), EINVAL);
    CHECK_ERR(add_rule(0x7fff, 1, &a, 0), EBADF);
    CHECK_ERR(add_rule(open("/dev/null", O_RDWR), 1, &a, 0), EBADFD);
    if (abi() >= 4) {
        CHECK_EQ(allow_port(rules, 80, NET_BIND), 0);
        CHECK_ERR(allow_port(rules, 65536, NET_BIND), EINVAL);
        CHECK_ERR(allow_port(rules, 80, NET_CONNECT), EINVAL);
        CHECK_ERR(allow_port(rules, 80, 0), ENOMSG);
    }
    close(rules);
}

static void entering(void *arg)
{
    int rules = rules_of(FS_READ_FILE, 0, 0);
    EXPECT(rules >= 0);
    if (getuid() == 0)
        EXPECT(setuid(1000) == 0);
    FAILS(restrict_self(rules, 0), EPERM);
    EXPECT(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    FAILS(restrict_self(rules, 0x8000), EINVAL);
    FAILS(restrict_self(-1, 0), EBADF);
    FAILS(restrict_self(0, 0), EBADFD);
    for (int i = 0; i < 16; i++)
        EXPECT(restrict_self(rules, 0) == 0);
    FAILS(restrict_self(rules, 0), E2BIG);
}

TEST(entering)
{
    CHECK_EQ(run_child(entering, NULL), 0);
}

static void opening(void *arg)
{
    int rules = rules_of(FS_READ_FILE | FS_WRITE_FILE | FS_READ_DIR, 0, 0);
    int before = open("out/file", O_RDWR);
    EXPECT(allow(rules, "in", FS_READ_FILE | FS_READ_DIR) == 0);
    EXPECT(allow(rules, "in/sub", FS_WRITE_FILE) == 0);
    enforce(rules);
    FAILS(open("out/file", O_RDONLY), EACCES);
    FAILS(open("out", O_RDONLY), EACCES);
    EXPECT(open("out/file", O_PATH) >= 0);
    EXPECT(open("in/file", O_RDONLY) >= 0);
    FAILS(open("in/file", O_WRONLY), EACCES);
    FAILS(open("in/file", O_RDWR), EACCES);
    EXPECT(open("in/sub", O_RDONLY) >= 0);
    EXPECT(open("in/sub/../file", O_RDONLY) >= 0);
    EXPECT(open("in/sub/new", O_WRONLY | O_CREAT, 0644) >= 0);
    EXPECT(write(before, "x", 1) == 1);
    EXPECT(access("out/file", R_OK) == 0);
    struct stat st;
    EXPECT(stat("out/file", &st) == 0);
    char self[64];
    snprintf(self, sizeof(self), "/proc/self/fd/%d", before);
    FAILS(open(self, O_RDONLY), EACCES);
    int p[2];
    EXPECT(pipe(p) == 0);
    /* what is added later is not in force */
    pid_t pid = fork();
    if (pid == 0) {
        EXPECT(open("out/file", O_RDONLY) == -1);
        _exit(0);
    }
    EXPECT(wait_status(pid) == 0);
    /* a second layer only takes away */
    int more = rules_of(FS_READ_FILE, 0, 0);
    EXPECT(allow(more, "in/sub", FS_READ_FILE) == 0);
    enforce(more);
    FAILS(open("in/file", O_RDONLY), EACCES);
    EXPECT(open("in/sub/new", O_RDONLY) >= 0);
    FAILS(mount("none", "in", "tmpfs", 0, NULL), EPERM);
}

TEST(opening)
{
    make_tree();
    CHECK_EQ(run_child(opening, NULL), 0);
    remove_tree();
}

static void naming(void *arg)
{
    uint64_t all =
        FS_MAKE_DIR | FS_MAKE_REG | FS_MAKE_FIFO | FS_MAKE_SYM | FS_REMOVE_DIR | FS_REMOVE_FILE;
    int rules = rules_of(all, 0, 0);
    EXPECT(allow(rules, "in", all) == 0);
    enforce(rules);
    FAILS(mkdir("out/d", 0755), EACCES);
    FAILS(mkdir("out/dir", 0755), EEXIST);
    FAILS(open("out/new", O_CREAT | O_WRONLY, 0644), EACCES);
    EXPECT(open("out/file", O_CREAT | O_WRONLY, 0644) >= 0); /* it is there */
    FAILS(mkfifo("out/fifo", 0644), EACCES);
    FAILS(symlink("x", "out/sym"), EACCES);
    FAILS(unlink("out/file"), EACCES);
    FAILS(rmdir("out/dir"), EACCES);
    FAILS(rename("out/file", "out/other"), EACCES);
    EXPECT(mkdir("in/d", 0755) == 0 && rmdir("in/d") == 0);
    EXPECT(mkfifo("in/fifo", 0644) == 0 && symlink("x", "in/sym") == 0);
    EXPECT(rename("in/fifo", "in/other") == 0 && unlink("in/other") == 0);
    EXPECT(link("in/file", "in/second") == 0);
    /* from one directory to another only by a right that this ruleset does not even know */
    FAILS(rename("in/file", "in/sub/file"), EXDEV);
    FAILS(link("in/file", "in/sub/file"), EXDEV);
    FAILS(rename("in/file", "out/moved"), EACCES);
    FAILS(link("out/file", "in/third"), EXDEV);
}

TEST(naming)
{
    make_tree();
    CHECK_EQ(run_child(naming, NULL), 0);
    remove_tree();
}

static void moving(void *arg)
{
    uint64_t all = FS_MAKE_REG | FS_MAKE_DIR | FS_REMOVE_FILE | FS_REMOVE_DIR | FS_REFER;
    int rules = rules_of(all | FS_EXECUTE, 0, 0);
    EXPECT(allow(rules, "in", all) == 0);
    EXPECT(allow(rules, "out", all | FS_EXECUTE) == 0);
    enforce(rules);
    EXPECT(rename("in/file", "in/sub/file") == 0);
    EXPECT(rename("in/sub/file", "in/file") == 0);
    FAILS(rename("in/file", "out/moved"), EXDEV); /* it would become executable */
    EXPECT(rename("out/file", "in/moved") == 0);
    EXPECT(rename("out/dir", "in/dir") == 0);
    FAILS(syscall(SYS_renameat2, AT_FDCWD, "in/moved", AT_FDCWD, "out/none", 2), ENOENT);
}

TEST(moving)
{
    if (abi() < 2)
        return;
    make_tree();
    CHECK_EQ(run_child(moving, NULL), 0);
    remove_tree();
}

static void shortening(void *arg)
{
    int rules = rules_of(FS_TRUNCATE, 0, 0);
    int before = open("out/file", O_RDWR);
    EXPECT(allow(rules, "in", FS_TRUNCATE) == 0);
    enforce(rules);
    FAILS(truncate("out/file", 0), EACCES);
    FAILS(open("out/file", O_WRONLY | O_TRUNC), EACCES);
    EXPECT(ftruncate(before, 5) == 0); /* opened when it was allowed */
    int fd = open("out/file", O_RDWR);
    EXPECT(fd >= 0);
    FAILS(ftruncate(fd, 0), EACCES);
    EXPECT(truncate("in/file", 3) == 0);
    fd = open("in/file", O_WRONLY | O_TRUNC);
    EXPECT(fd >= 0 && ftruncate(fd, 0) == 0);
}

TEST(shortening)
{
    if (abi() < 3)
        return;
    make_tree();
    CHECK_EQ(run_child(shortening, NULL), 0);
    remove_tree();
}

static void devices(void *arg)
{
    int n, rules = rules_of(FS_IOCTL_DEV, 0, 0);
    int before = open("/dev/null", O_RDWR);
    enforce(rules);
    int fd = open("/dev/null", O_RDWR);
    EXPECT(fd >= 0);
    FAILS(ioctl(fd, TCGETS, &n), EACCES);
    n = 1;
    EXPECT(ioctl(fd, FIONBIO, &n) == 0);
    EXPECT(ioctl(fd, FIOCLEX) == 0);
    FAILS(ioctl(before, TCGETS, &n), ENOTTY);
    int f = open("in/file", O_RDWR);
    FAILS(ioctl(f, TCGETS, &n), ENOTTY);
}

TEST(devices)
{
    if (abi() < 5)
        return;
    make_tree();
    CHECK_EQ(run_child(devices, NULL), 0);
    remove_tree();
}

static void executing(void *arg)
{
    char name[] = "true", *argv[] = {name, NULL};
    int rules = rules_of(FS_EXECUTE, 0, 0);
    EXPECT(allow(rules, "in", FS_EXECUTE) == 0);
    enforce(rules);
    FAILS(execv("/bin/true", argv), EACCES);
}

TEST(executing)
{
    make_tree();
    CHECK_EQ(run_child(executing, NULL), 0);
    remove_tree();
}

static void ports(void *arg)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int rules = rules_of(0, NET_BIND | NET_CONNECT, 0);
    EXPECT(allow_port(rules, 40123, NET_BIND) == 0);
    EXPECT(allow_port(rules, 40124, NET_CONNECT) == 0);
    enforce(rules);
    int s = socket(AF_INET, SOCK_STREAM, 0);
    sa.sin_port = htons(40125);
    FAILS(bind(s, (void *)&sa, sizeof(sa)), EACCES);
    FAILS(connect(s, (void *)&sa, sizeof(sa)), EACCES);
    sa.sin_port = htons(40123);
    FAILS(connect(s, (void *)&sa, sizeof(sa)), EACCES);
    sa.sin_port = htons(40124);
    FAILS(connect(s, (void *)&sa, sizeof(sa)), ECONNREFUSED);
    int one = 1, b = socket(AF_INET, SOCK_STREAM, 0), u = socket(AF_INET, SOCK_DGRAM, 0);
    setsockopt(b, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    sa.sin_port = htons(40123);
    EXPECT(bind(b, (void *)&sa, sizeof(sa)) == 0);
    sa.sin_port = htons(40125);
    EXPECT(bind(u, (void *)&sa, sizeof(sa)) == 0); /* TCP alone is asked about */
}

TEST(ports)
{
    if (abi() >= 4)
        CHECK_EQ(run_child(ports, NULL), 0);
}

static struct gate ready;

static void scopes(void *arg)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    memcpy(un.sun_path, "\0landlock test", 14);
    socklen_t len = offsetof(struct sockaddr_un, sun_path) + 14;
    int outside = socket(AF_UNIX, SOCK_STREAM, 0);
    EXPECT(bind(outside, (void *)&un, len) == 0 && listen(outside, 5) == 0);
    enforce(rules_of(0, 0, SCOPE_UNIX | SCOPE_SIGNAL));
    int c = socket(AF_UNIX, SOCK_STREAM, 0);
    FAILS(connect(c, (void *)&un, len), EPERM);
    FAILS(kill(getppid(), 0), EPERM);
    EXPECT(kill(getpid(), 0) == 0);
    close(outside);
    int inside = socket(AF_UNIX, SOCK_STREAM, 0);
    EXPECT(bind(inside, (void *)&un, len) == 0 && listen(inside, 5) == 0);
    EXPECT(connect(c, (void *)&un, len) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        enforce(rules_of(0, 0, SCOPE_SIGNAL));
        FAILS(kill(getppid(), 0), EPERM);
        gate_open(&ready);
        pause();
    }
    gate_wait(&ready);
    EXPECT(kill(pid, SIGKILL) == 0); /* an inner one is in reach */
    EXPECT(wait_status(pid) == SIGKILL);
}

TEST(scopes)
{
    if (abi() < 6)
        return;
    gate_init(&ready);
    CHECK_EQ(run_child(scopes, NULL), 0);
    gate_done(&ready);
}

static void tracing(void *arg)
{
    gate_init(&ready);
    pid_t outer = spawn((child_fn)(void *)pause, NULL);
    pid_t inner = fork();
    if (inner == 0) {
        enforce(rules_of(FS_EXECUTE, 0, 0));
        gate_open(&ready);
        for (;;)
            pause();
    }
    gate_wait(&ready);
    EXPECT(ptrace(PTRACE_SEIZE, inner, 0, 0) == 0); /* from the outside in */
    EXPECT(ptrace(PTRACE_DETACH, inner, 0, 0) == 0 || errno == ESRCH);
    enforce(rules_of(FS_EXECUTE, 0, 0));
    FAILS(ptrace(PTRACE_SEIZE, outer, 0, 0), EPERM);
    kill(inner, SIGKILL), kill(outer, SIGKILL);
    EXPECT(wait_status(outer) == SIGKILL && wait_status(inner) == SIGKILL);
}

TEST(tracing)
{
    CHECK_EQ(run_child(tracing, NULL), 0);
}
