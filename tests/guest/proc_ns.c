/* Namespaces entered and compared, and kcmp. Without root little of it can be tried. */
#include <linux/kcmp.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include "proc_common.h"

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif
#ifndef NS_GET_USERNS
#define NS_GET_USERNS 0xb701
#endif

static ino_t ns_ino(const char *name)
{
    struct stat st;
    char path[64];
    snprintf(path, sizeof(path), "/proc/self/ns/%s", name);
    return stat(path, &st) < 0 ? 0 : st.st_ino;
}

static int pidfd_open_(pid_t pid)
{
    return (int)syscall(SYS_pidfd_open, pid, 0);
}

static void cgroup_ns(void *arg)
{
    ino_t before = ns_ino("cgroup");
    char name[64] = "", want[64];
    EXPECT(before != 0);
    int old = open("/proc/self/ns/cgroup", O_RDONLY);
    EXPECT(old >= 0);
    EXPECT(unshare(CLONE_NEWCGROUP) == 0);
    ino_t inside = ns_ino("cgroup");
    EXPECT(inside != before);
    snprintf(want, sizeof(want), "cgroup:[%lu]", (unsigned long)inside);
    EXPECT(readlink("/proc/self/ns/cgroup", name, sizeof(name) - 1) > 0 && !strcmp(name, want));
    EXPECT(setns(old, CLONE_NEWUTS) == -1 && errno == EINVAL);
    EXPECT(setns(old, CLONE_NEWCGROUP) == 0);
    EXPECT(ns_ino("cgroup") == before);
}

TEST(cgroup_namespaces)
{
    if (getuid() == 0)
        CHECK_EQ(run_child(cgroup_ns, NULL), 0);
}

static void needs_privilege(void *arg)
{
    EXPECT(setuid(1000) == 0);
    static const int flags[] = {CLONE_NEWUTS, CLONE_NEWIPC,    CLONE_NEWPID, CLONE_NEWNS,
                                CLONE_NEWNET, CLONE_NEWCGROUP, CLONE_NEWTIME};
    static const char *const names[] = {"uts", "ipc", "net", "cgroup", "mnt", "pid"};
    for (size_t i = 0; i < sizeof(flags) / sizeof(*flags); i++)
        EXPECT(unshare(flags[i]) == -1 && errno == EPERM);
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        char path[64];
        snprintf(path, sizeof(path), "/proc/self/ns/%s", names[i]);
        int fd = open(path, O_RDONLY);
        EXPECT(fd >= 0);
        EXPECT(setns(fd, 0) == -1 && errno == EPERM);
        close(fd);
    }
}

TEST(namespaces_need_privilege)
{
    if (getuid() == 0)
        CHECK_EQ(run_child(needs_privilege, NULL), 0);
}

/* A privileged user of an inner user namespace may not enter what belongs to the outer one. */
static void inner_root(void *arg)
{
    int uts = open("/proc/self/ns/uts", O_RDONLY), net = open("/proc/self/ns/net", O_RDONLY);
    int cg = open("/proc/self/ns/cgroup", O_RDONLY);
    if (unshare(CLONE_NEWUSER) < 0)
        return;
    EXPECT(setns(uts, 0) == -1 && errno == EPERM);
    EXPECT(setns(net, 0) == -1 && errno == EPERM);
    EXPECT(setns(cg, 0) == -1 && errno == EPERM);
    EXPECT(unshare(CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWCGROUP) == 0);
    int own = open("/proc/self/ns/uts", O_RDONLY);
    EXPECT(own >= 0 && setns(own, CLONE_NEWUTS) == 0);
    struct stat a, b;
    int owner = ioctl(own, NS_GET_USERNS);
    EXPECT(owner >= 0 && fstat(owner, &a) == 0 && stat("/proc/self/ns/user", &b) == 0);
    EXPECT(a.st_ino == b.st_ino);
    EXPECT(ioctl(uts, NS_GET_USERNS) == -1 && errno == EPERM); /* out of sight */
}

TEST(an_inner_root_stays_inside)
{
    if (getuid() == 0)
        CHECK_EQ(run_child(inner_root, NULL), 0);
}

static struct gate ready, leave;

static void inside(void *arg)
{
    EXPECT(unshare(CLONE_NEWUSER | CLONE_NEWUTS | CLONE_NEWIPC) == 0);
    EXPECT(sethostname("inner", 5) == 0);
    gate_open(&ready);
    gate_wait(&leave);
}

static void enter_all(void *arg)
{
    pid_t pid = *(pid_t *)arg;
    int fd = pidfd_open_(pid);
    ino_t user = ns_ino("user");
    struct utsname u;
    EXPECT(fd >= 0);
    EXPECT(setns(fd, 0) == -1 && errno == EINVAL);
    EXPECT(setns(fd, CLONE_VM) == -1 && errno == EINVAL);
    EXPECT(setns(fd, CLONE_NEWUSER | CLONE_NEWUTS | CLONE_NEWIPC) == 0);
    EXPECT(ns_ino("user") != user);
    EXPECT(uname(&u) == 0 && !strcmp(u.nodename, "inner"));
    EXPECT(setns(fd, CLONE_NEWUSER) == -1 && errno == EINVAL); /* in it already */
}

/* One that may not be entered leaves all as they were. */
static void enter_nothing(void *arg)
{
    pid_t pid = *(pid_t *)arg;
    int fd = pidfd_open_(pid);
    ino_t user = ns_ino("user"), uts = ns_ino("uts");
    EXPECT(fd >= 0);
    EXPECT(setuid(1000) == 0);
    EXPECT(setns(fd, CLONE_NEWUSER | CLONE_NEWUTS) == -1);
    EXPECT(ns_ino("user") == user && ns_ino("uts") == uts);
}

TEST(setns_of_a_pidfd)
{
    if (getuid() != 0)
        return;
    gate_init(&ready);
    gate_init(&leave);
    pid_t pid = spawn(inside, NULL);
    CHECK(gate_wait(&ready));
    CHECK_EQ(run_child(enter_all, &pid), 0);
    CHECK_EQ(run_child(enter_nothing, &pid), 0);
    gate_open(&leave);
    CHECK_EQ(wait_status(pid), 0);
    gate_done(&ready);
    gate_done(&leave);
}

static void user_ns_of_none(void *arg)
{
    for (int i = 0; i < 20; i++)
        if (unshare(CLONE_NEWUSER) < 0) {
            EXPECT(errno == EPERM || errno == ENOSPC); /* ids that are not mapped */
            return;
        }
}

/* The last process of a namespace whose init is gone is reaped by a parent from outside of it. */
static void reaped_from_outside(void *arg)
{
    pid_t init = (pid_t)syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, 0, 0, 0, 0);
    EXPECT(init >= 0);
    if (init == 0) {
        for (;;)
            pause();
    }
    pid_t outside = fork();
    EXPECT(outside >= 0);
    if (outside == 0) {
        int fd = pidfd_open_(init);
        EXPECT(fd >= 0 && setns(fd, CLONE_NEWPID) == 0);
        pid_t inside = fork();
        EXPECT(inside >= 0);
        if (inside == 0) {
            for (;;)
                pause();
        }
        siginfo_t si;
        EXPECT(kill(init, SIGKILL) == 0);
        EXPECT(waitid(P_PID, (id_t)inside, &si, WEXITED | WNOWAIT) == 0);
        EXPECT(si.si_code == CLD_KILLED && si.si_status == SIGKILL);
        sleep_ms(20); /* init has looked, and waits for this one */
        EXPECT(waitpid(inside, NULL, WNOHANG) == inside);
        _exit(0);
    }
    int st;
    EXPECT(waitpid(init, &st, 0) == init && WIFSIGNALED(st) && WTERMSIG(st) == SIGKILL);
    EXPECT(waitpid(outside, &st, 0) == outside && st == 0);
}

TEST(end_of_a_pid_namespace)
{
    if (getuid() == 0)
        CHECK_EQ(run_child(reaped_from_outside, NULL), 0);
}

TEST(many_user_namespaces)
{
    for (int i = 0; i < 50; i++)
        CHECK_EQ(run_child(user_ns_of_none, NULL), 0);
}

static long kcmp_(pid_t a, pid_t b, int type, unsigned long x, unsigned long y)
{
    return syscall(SYS_kcmp, a, b, type, x, y);
}

TEST(kcmp)
{
    pid_t me = getpid();
    int p[2];
    CHECK_EQ(pipe(p), 0);
    int d = dup(p[0]);
    CHECK_EQ(kcmp_(me, me, KCMP_FILE, p[0], d), 0);
    long ab = kcmp_(me, me, KCMP_FILE, p[0], p[1]), ba = kcmp_(me, me, KCMP_FILE, p[1], p[0]);
    CHECK((ab == 1 && ba == 2) || (ab == 2 && ba == 1));
    CHECK_ERR(kcmp_(me, me, KCMP_FILE, p[0], 9999), EBADF);
    CHECK_ERR(kcmp_(me, me, 99, 0, 0), EINVAL);
    CHECK_ERR(kcmp_(me, 0x3ffffff, KCMP_VM, 0, 0), ESRCH);
    gate_init(&leave);
    pid_t c = fork();
    if (c == 0) {
        gate_wait(&leave);
        _exit(0);
    }
    CHECK_EQ(kcmp_(me, c, KCMP_FILE, p[0], p[0]), 0);
    CHECK(kcmp_(me, c, KCMP_VM, 0, 0) > 0);
    CHECK(kcmp_(me, c, KCMP_FILES, 0, 0) > 0);
    CHECK(kcmp_(me, c, KCMP_FS, 0, 0) > 0);
    CHECK(kcmp_(me, c, KCMP_SIGHAND, 0, 0) > 0);
    CHECK_EQ(kcmp_(me, c, KCMP_SYSVSEM, 0, 0), 0);
    CHECK_EQ(kcmp_(me, me, KCMP_VM, 0, 0), 0);
    int ep = epoll_create1(0);
    struct epoll_event ev = {.events = EPOLLIN};
    CHECK_EQ(epoll_ctl(ep, EPOLL_CTL_ADD, p[0], &ev), 0);
    struct kcmp_epoll_slot slot = {(unsigned)ep, (unsigned)p[0], 0};
    CHECK_EQ(kcmp_(me, me, KCMP_EPOLL_TFD, d, (unsigned long)&slot), 0);
    CHECK(kcmp_(me, me, KCMP_EPOLL_TFD, p[1], (unsigned long)&slot) > 0);
    slot.toff = 1;
    CHECK_ERR(kcmp_(me, me, KCMP_EPOLL_TFD, d, (unsigned long)&slot), ENOENT);
    slot.toff = 0;
    slot.efd = (unsigned)p[1];
    CHECK_ERR(kcmp_(me, me, KCMP_EPOLL_TFD, d, (unsigned long)&slot), EINVAL);
    CHECK_ERR(kcmp_(me, me, KCMP_EPOLL_TFD, d, 8), EFAULT);
    gate_open(&leave);
    CHECK_EQ(wait_status(c), 0);
    gate_done(&leave);
    close(p[0]), close(p[1]), close(d), close(ep);
}

static void kcmp_of_a_stranger(void *arg)
{
    EXPECT(setuid(1000) == 0);
    EXPECT(kcmp_(getpid(), getppid(), KCMP_VM, 0, 0) == -1 && errno == EPERM);
}

TEST(kcmp_needs_permission)
{
    if (getuid() == 0)
        CHECK_EQ(run_child(kcmp_of_a_stranger, NULL), 0);
}
