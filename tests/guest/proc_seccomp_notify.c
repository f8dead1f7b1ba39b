/* seccomp: every action, synchronised threads, what is refused, and calls that a supervisor
 * decides. */
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "proc_common.h"

#ifndef SECCOMP_FILTER_FLAG_TSYNC_ESRCH
#define SECCOMP_FILTER_FLAG_TSYNC_ESRCH (1UL << 4)
#endif
#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif

/* A filter with one answer for call nr, and ALLOW. */
static long filter(long nr, unsigned action, unsigned flags)
{
    struct sock_filter f[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)nr, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, action),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog prog = {4, f};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -1;
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &prog);
}

static __attribute__((noinline)) long ppid(void)
{
    return syscall(SYS_getppid);
}

/* ---- strict mode --------------------------------------------------------------------------- */

static void strict(void *arg)
{
    for (int i = 0; i < 10; i++)
        syscall(SYS_getpid);
    EXPECT(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) == 0);
    syscall(SYS_write, *(int *)arg, "x", 1);
    if (*(int *)arg < 0)
        syscall(SYS_getpid); /* so simple that it may be answered early */
    syscall(SYS_exit, 5);
}

TEST(strict_mode)
{
    int fd[2];
    char c;
    CHECK_EQ(pipe(fd), 0);
    CHECK_EQ(run_child(strict, &fd[1]), 5 << 8);
    CHECK_EQ(read(fd[0], &c, 1), 1);
    fd[1] = -1;
    CHECK_EQ(run_child(strict, &fd[1]), SIGKILL);
}

/* ---- actions ------------------------------------------------------------------------------- */

static void untraced(void *arg)
{
    EXPECT(filter(SYS_getppid, SECCOMP_RET_TRACE | 3, 0) == 0);
    errno = 0;
    EXPECT(ppid() == -1 && errno == ENOSYS);
}

static void logged(void *arg)
{
    EXPECT(filter(SYS_getppid, SECCOMP_RET_LOG, SECCOMP_FILTER_FLAG_LOG) == 0);
    EXPECT(ppid() > 0);
    /* LOG gives way to what is more severe, whichever came first */
    EXPECT(filter(SYS_getppid, SECCOMP_RET_ERRNO | 12, 0) == 0);
    EXPECT(ppid() == -1 && errno == 12);
    EXPECT(filter(SYS_getppid, SECCOMP_RET_LOG, 0) == 0);
    EXPECT(ppid() == -1 && errno == 12);
}

static void big_errno(void *arg)
{
    EXPECT(filter(SYS_getppid, SECCOMP_RET_ERRNO | 0xffff, 0) == 0);
    EXPECT(ppid() == -1 && errno == 4095);
}

static void *call_ppid(void *arg)
{
    ppid();
    return NULL;
}

static void in_thread(void *arg)
{
    pthread_t th;
    EXPECT(filter(SYS_getppid, *(unsigned *)arg, 0) == 0);
    EXPECT(pthread_create(&th, NULL, call_ppid, NULL) == 0);
    pthread_join(th, NULL);
    _exit(8);
}

TEST(actions)
{
    unsigned thread = SECCOMP_RET_KILL_THREAD, process = SECCOMP_RET_KILL_PROCESS;
    unsigned unknown = 0x00010000U;
    CHECK_EQ(run_child(untraced, NULL), 0);
    CHECK_EQ(run_child(logged, NULL), 0);
    CHECK_EQ(run_child(big_errno, NULL), 0);
    CHECK_EQ(run_child(in_thread, &thread), 8 << 8); /* the thread alone */
    CHECK_EQ(run_child(in_thread, &process) & 0x7f, SIGSYS);
    CHECK_EQ(run_child(in_thread, &unknown) & 0x7f, SIGSYS);
}

static void kill_alone(void *arg)
{
    filter(SYS_getppid, SECCOMP_RET_KILL_THREAD, 0);
    ppid();
}

TEST(kill_thread_of_one)
{
    CHECK_EQ(run_child(kill_alone, NULL) & 0x7f, SIGSYS);
}

static void traced(void *arg)
{
    EXPECT(ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0);
    raise(SIGSTOP);
    EXPECT(filter(SYS_getppid, SECCOMP_RET_TRACE | 0x1234, 0) == 0);
    EXPECT(ppid() == 4321); /* as the tracer has it */
    _exit(ppid() > 0 ? 3 : 4);
}

TEST(trace_action)
{
    int st;
    unsigned long msg = 0;
    pid_t pid = spawn(traced, NULL);
    CHECK_EQ(waitpid(pid, &st, 0), pid);
    CHECK_EQ(ptrace(PTRACE_SETOPTIONS, pid, NULL, (void *)PTRACE_O_TRACESECCOMP), 0);
    ptrace(PTRACE_CONT, pid, NULL, NULL);
    CHECK_EQ(waitpid(pid, &st, 0), pid);
    CHECK_EQ(st >> 8, SIGTRAP | PTRACE_EVENT_SECCOMP << 8);
    CHECK_EQ(ptrace(PTRACE_GETEVENTMSG, pid, NULL, &msg), 0);
    CHECK_EQ(msg, 0x1234);
    long off = 15 * 8; /* orig_rax: no call; rax: its answer */
    CHECK_EQ(ptrace(PTRACE_PEEKUSER, pid, (void *)off, NULL), SYS_getppid);
    CHECK_EQ(ptrace(PTRACE_POKEUSER, pid, (void *)off, (void *)-1L), 0);
    CHECK_EQ(ptrace(PTRACE_POKEUSER, pid, (void *)(10L * 8), (void *)4321L), 0);
    ptrace(PTRACE_CONT, pid, NULL, NULL);
    CHECK_EQ(waitpid(pid, &st, 0), pid);
    CHECK_EQ(st >> 8, SIGTRAP | PTRACE_EVENT_SECCOMP << 8);
    ptrace(PTRACE_CONT, pid, NULL, NULL); /* this time it is made */
    CHECK_EQ(waitpid(pid, &st, 0), pid);
    CHECK_EQ(st, 3 << 8);
}

/* ---- questions and refusals ---------------------------------------------------------------- */

TEST(actions_available)
{
    const unsigned all[] = {SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_KILL_THREAD, SECCOMP_RET_TRAP,
                            SECCOMP_RET_ERRNO,        SECCOMP_RET_USER_NOTIF,  SECCOMP_RET_TRACE,
                            SECCOMP_RET_LOG,          SECCOMP_RET_ALLOW};
    for (unsigned i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        CHECK_EQ(syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &all[i]), 0);
    unsigned bad = SECCOMP_RET_ERRNO | 1;
    CHECK_ERR(syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &bad), EOPNOTSUPP);
    CHECK_ERR(syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 1, &bad), EINVAL);
    CHECK_ERR(syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, NULL), EFAULT);
    struct seccomp_notif_sizes sizes;
    CHECK_EQ(syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes), 0);
    CHECK_EQ(sizes.seccomp_notif, sizeof(struct seccomp_notif));
    CHECK_EQ(sizes.seccomp_notif_resp, sizeof(struct seccomp_notif_resp));
    CHECK_EQ(sizes.seccomp_data, sizeof(struct seccomp_data));
    CHECK_ERR(syscall(SYS_seccomp, 99, 0, NULL), EINVAL);
}

static void refusals(void *arg)
{
    struct sock_filter ok[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    struct sock_filter bad[] = {BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0),
                                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    struct sock_filter open_end[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0)};
    struct sock_fprog prog = {1, ok}, none = {0, ok}, odd = {2, bad}, open = {1, open_end};
    struct sock_fprog lost = {1, (void *)8};
#define SET(flags, prog) syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, prog)
    EXPECT(setresuid(1234, 1234, 1234) == 0); /* no capabilities any more */
    EXPECT(SET(0, &prog) == -1 && errno == EACCES);
    EXPECT(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    EXPECT(SET(0, &none) == -1 && errno == EINVAL);
    EXPECT(SET(0, &odd) == -1 && errno == EINVAL);
    EXPECT(SET(0, &open) == -1 && errno == EINVAL);
    EXPECT(SET(0, &lost) == -1 && errno == EFAULT);
    EXPECT(SET(0, NULL) == -1 && errno == EFAULT);
    EXPECT(SET(1 << 20, &prog) == -1 && errno == EINVAL);
    EXPECT(SET(SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_NEW_LISTENER, &prog) == -1 &&
           errno == EINVAL);
    EXPECT(SET(SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, &prog) == -1 && errno == EINVAL);
    EXPECT(syscall(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 1, NULL) == -1 && errno == EINVAL);
    EXPECT(syscall(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 0, &prog) == -1 && errno == EINVAL);
    EXPECT(prctl(PR_GET_SECCOMP) == 0);
    EXPECT(SET(SECCOMP_FILTER_FLAG_SPEC_ALLOW, &prog) == 0);
    EXPECT(prctl(PR_GET_SECCOMP) == 2);
    EXPECT(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) == -1 && errno == EINVAL);
#undef SET
}

TEST(refusals)
{
    CHECK_EQ(run_child(refusals, NULL), 0);
}

/* ---- threads ------------------------------------------------------------------------------- */

struct pair {
    pthread_barrier_t barrier;
    int own_filter;
    pid_t tid;
    int result;
};

static void *second(void *arg)
{
    struct pair *p = arg;
    p->tid = (pid_t)syscall(SYS_gettid);
    if (p->own_filter)
        EXPECT(filter(SYS_getppid, SECCOMP_RET_ERRNO | 1, 0) == 0);
    pthread_barrier_wait(&p->barrier);
    pthread_barrier_wait(&p->barrier);
    p->result = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) << 8 | prctl(PR_GET_SECCOMP);
    return NULL;
}

static void with_thread(struct pair *p, pthread_t *ret_th)
{
    pthread_barrier_init(&p->barrier, NULL, 2);
    EXPECT(pthread_create(ret_th, NULL, second, p) == 0);
    pthread_barrier_wait(&p->barrier);
}

static void diverged(void *arg)
{
    struct pair p = {.own_filter = 1};
    pthread_t th;
    with_thread(&p, &th);
    EXPECT(filter(SYS_getuid, SECCOMP_RET_ERRNO | 2, SECCOMP_FILTER_FLAG_TSYNC) == p.tid);
    EXPECT(filter(SYS_getuid, SECCOMP_RET_ERRNO | 2,
                  SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_TSYNC_ESRCH) == -1 &&
           errno == ESRCH);
    EXPECT(filter(SYS_getuid, SECCOMP_RET_ERRNO | 2,
                  SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_TSYNC_ESRCH |
                      SECCOMP_FILTER_FLAG_NEW_LISTENER) == -1 &&
           errno == ESRCH);
    EXPECT(prctl(PR_GET_SECCOMP) == 0 && syscall(SYS_getuid) >= 0);
    int fd = open("/dev/null", O_RDONLY); /* the listener that was not has left no hole */
    EXPECT(fd >= 0);
    close(fd);
    pthread_barrier_wait(&p.barrier);
    pthread_join(th, NULL);
}

static void forced(void *arg)
{
    struct pair p = {0};
    pthread_t th;
    with_thread(&p, &th);
    EXPECT(filter(SYS_getuid, SECCOMP_RET_ERRNO | 2, SECCOMP_FILTER_FLAG_TSYNC) == 0);
    pthread_barrier_wait(&p.barrier);
    pthread_join(th, NULL);
    EXPECT(p.result == (1 << 8 | 2)); /* no_new_privs comes along */
}

TEST(tsync)
{
    CHECK_EQ(run_child(diverged, NULL), 0);
    CHECK_EQ(run_child(forced, NULL), 0);
}

/* ---- the supervisor ------------------------------------------------------------------------ */

static void send_fd(int sock, int fd)
{
    union {
        char buf[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } u = {0};
    struct iovec iov = {"x", 1};
    struct msghdr m = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &u, .msg_controllen = sizeof(u)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &fd, sizeof(fd));
    EXPECT(sendmsg(sock, &m, 0) == 1);
}

static int recv_fd(int sock)
{
    union {
        char buf[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } u = {0};
    char c;
    int fd = -1;
    struct iovec iov = {&c, 1};
    struct msghdr m = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &u, .msg_controllen = sizeof(u)};
    if (recvmsg(sock, &m, 0) == 1 && CMSG_FIRSTHDR(&m))
        memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(fd));
    return fd;
}

struct supervised {
    unsigned flags;
    void (*fn)(void);
    int sock[2];
};

static void be_supervised(void *arg)
{
    struct supervised *s = arg;
    long fd =
        filter(SYS_getppid, SECCOMP_RET_USER_NOTIF, SECCOMP_FILTER_FLAG_NEW_LISTENER | s->flags);
    EXPECT(fd >= 0);
    EXPECT(fcntl((int)fd, F_GETFD) == FD_CLOEXEC);
    send_fd(s->sock[1], (int)fd);
    close((int)fd);
    close(s->sock[0]);
    close(s->sock[1]);
    s->fn();
}

/* A child whose getppid calls come to *ret_listener. */
static pid_t supervise(void (*fn)(void), unsigned flags, int *ret_listener)
{
    struct supervised s = {.flags = flags, .fn = fn};
    CHECK_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, s.sock), 0);
    pid_t pid = spawn(be_supervised, &s);
    close(s.sock[1]);
    *ret_listener = recv_fd(s.sock[0]);
    close(s.sock[0]);
    CHECK(*ret_listener >= 0);
    return pid;
}

static struct seccomp_notif receive(int l)
{
    struct seccomp_notif n;
    memset(&n, 0, sizeof(n));
    CHECK_EQ(ioctl(l, SECCOMP_IOCTL_NOTIF_RECV, &n), 0);
    return n;
}

static int answer(int l, unsigned long long id, long long val, int error, unsigned flags)
{
    struct seccomp_notif_resp r = {.id = id, .val = val, .error = error, .flags = flags};
    return ioctl(l, SECCOMP_IOCTL_NOTIF_SEND, &r);
}

static pid_t parent_pid;

static void asks_three_times(void)
{
    EXPECT(syscall(SYS_getppid, 11, 22, 33) == 0x123456789LL);
    errno = 0;
    EXPECT(ppid() == -1 && errno == EXDEV);
    EXPECT(ppid() == parent_pid);
}

TEST(answers_of_a_supervisor)
{
    int l;
    parent_pid = getpid();
    pid_t pid = supervise(asks_three_times, 0, &l);
    struct seccomp_notif n = receive(l);
    CHECK_EQ(n.pid, pid);
    CHECK_EQ(n.flags, 0);
    CHECK_EQ(n.data.nr, SYS_getppid);
    CHECK_EQ(n.data.arch, AUDIT_ARCH_X86_64);
    CHECK_EQ(n.data.args[0], 11);
    CHECK_EQ(n.data.args[2], 33);
    CHECK_EQ(ioctl(l, SECCOMP_IOCTL_NOTIF_ID_VALID, &n.id), 0);
    CHECK_ERR(answer(l, n.id + 5, 0, 0, 0), ENOENT);
    CHECK_ERR(answer(l, n.id, 0, 0, 2), EINVAL);
    CHECK_ERR(answer(l, n.id, 1, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE), EINVAL);
    CHECK_EQ(answer(l, n.id, 0x123456789LL, 0, 0), 0);
    n = receive(l);
    CHECK_EQ(answer(l, n.id, 0, -EXDEV, 0), 0);
    struct seccomp_notif dirty = {.pid = 1};
    CHECK_ERR(ioctl(l, SECCOMP_IOCTL_NOTIF_RECV, &dirty), EINVAL);
    CHECK_ERR(ioctl(l, SECCOMP_IOCTL_NOTIF_RECV, NULL), EFAULT);
    n = receive(l);
    CHECK_EQ(answer(l, n.id, 0, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE), 0);
    CHECK_EQ(wait_status(pid), 0);
    CHECK_ERR(ioctl(l, SECCOMP_IOCTL_NOTIF_ID_VALID, &n.id), ENOENT);
    struct pollfd p = {l, POLLIN, 0};
    CHECK_EQ(poll(&p, 1, 5000), 1); /* nobody is left */
    CHECK(p.revents & POLLHUP);
    memset(&n, 0, sizeof(n));
    CHECK_ERR(ioctl(l, SECCOMP_IOCTL_NOTIF_RECV, &n), ENOENT);
    CHECK_ERR(ioctl(l, 0x1234, NULL), EINVAL);
    close(l);
}

static void asks_once(void)
{
    errno = 0;
    long r = ppid();
    _exit(r == -1 ? errno : r == 7 ? 100 : 101);
}

TEST(readiness_and_closing)
{
    int l;
    pid_t pid = supervise(asks_once, 0, &l);
    struct pollfd p = {l, POLLIN | POLLOUT, 0};
    CHECK_EQ(poll(&p, 1, 5000), 1);
    CHECK_EQ(p.revents, POLLIN);
    struct seccomp_notif n = receive(l);
    CHECK_EQ(poll(&p, 1, 5000), 1);
    CHECK_EQ(p.revents, POLLOUT);
    CHECK_EQ(ioctl(l, SECCOMP_IOCTL_NOTIF_ID_VALID, &n.id), 0);
    close(l); /* whoever waits is told ENOSYS */
    CHECK_EQ(wait_status(pid), ENOSYS << 8);
}

static void second_listener(void)
{
    EXPECT(filter(SYS_getuid, SECCOMP_RET_USER_NOTIF, SECCOMP_FILTER_FLAG_NEW_LISTENER) == -1 &&
           errno == EBUSY);
    EXPECT(filter(SYS_getuid, SECCOMP_RET_ERRNO | 5, 0) == 0);
    EXPECT(ppid() == 7);
}

TEST(one_listener_in_a_chain)
{
    int l;
    pid_t pid = supervise(second_listener, 0, &l);
    struct seccomp_notif n = receive(l);
    CHECK_EQ(answer(l, n.id, 7, 0, 0), 0);
    CHECK_EQ(wait_status(pid), 0);
    close(l);
}

static void uses_fds(void)
{
    struct stat st;
    long fd = ppid(); /* given one, with the answer */
    EXPECT(fd >= 0 && fstat((int)fd, &st) == 0 && S_ISFIFO(st.st_mode));
    EXPECT(fcntl((int)fd, F_GETFD) == FD_CLOEXEC);
    EXPECT(ppid() == 7);
    EXPECT(fstat(200, &st) == 0 && S_ISFIFO(st.st_mode));
    EXPECT(fcntl(200, F_GETFD) == 0);
}

TEST(added_descriptors)
{
    int l, p[2];
    CHECK_EQ(pipe(p), 0);
    pid_t pid = supervise(uses_fds, 0, &l);
    struct seccomp_notif n = receive(l);
    struct {
        struct seccomp_notif_addfd a;
        unsigned long long more;
    } x = {.a = {.id = n.id,
                 .srcfd = (unsigned)p[0],
                 .newfd_flags = O_CLOEXEC,
                 .flags = SECCOMP_ADDFD_FLAG_SEND}};
    struct seccomp_notif_addfd bad = x.a;
    bad.newfd = 5; /* without SETFD */
    CHECK_ERR(ioctl(l, SECCOMP_IOCTL_NOTIF_ADDFD, &bad), EINVAL);
    bad = x.a;
    bad.newfd_flags = O_NONBLOCK;
    CHECK_ERR(ioctl(l, SECCOMP_IOCTL_NOTIF_ADDFD, &bad), EINVAL);
    bad = x.a;
    bad.srcfd = 9999;
    CHECK_ERR(ioctl(l, SECCOMP_IOCTL_NOTIF_ADDFD, &bad), EBADF);
    bad = x.a;
    bad.id += 9;
    CHECK_ERR(ioctl(l, SECCOMP_IOCTL_NOTIF_ADDFD, &bad), ENOENT);
    unsigned long longer = _IOC(_IOC_WRITE, SECCOMP_IOC_MAGIC, 3, sizeof(x));
    unsigned long shorter = _IOC(_IOC_WRITE, SECCOMP_IOC_MAGIC, 3, 16);
    CHECK_ERR(ioctl(l, shorter, &x), EINVAL);
    x.more = 1;
    CHECK_ERR(ioctl(l, longer, &x), E2BIG);
    x.more = 0; /* a later, longer structure with nothing new in it */
    CHECK(ioctl(l, longer, &x) >= 0);
    n = receive(l);
    struct seccomp_notif_addfd at = {
        .id = n.id, .srcfd = (unsigned)p[0], .newfd = 200, .flags = SECCOMP_ADDFD_FLAG_SETFD};
    CHECK_EQ(ioctl(l, SECCOMP_IOCTL_NOTIF_ADDFD, &at), 200);
    CHECK_EQ(answer(l, n.id, 7, 0, 0), 0);
    CHECK_EQ(wait_status(pid), 0);
    close(p[0]);
    close(p[1]);
    close(l);
}

/* ---- signals while a call waits ------------------------------------------------------------ */

static volatile sig_atomic_t nhandled;

static void on_usr1(int sig)
{
    (void)sig;
    nhandled++;
}

static void asks_with_handler(void)
{
    struct sigaction sa = {.sa_handler = on_usr1};
    sigaction(SIGUSR1, &sa, NULL);
    errno = 0;
    long r = ppid();
    _exit(r == 7 ? 50 + nhandled : errno);
}

/* A signal takes a waiting call away from its supervisor. */
TEST(interrupted_wait)
{
    int l;
    pid_t pid = supervise(asks_with_handler, 0, &l);
    struct seccomp_notif n = receive(l);
    kill(pid, SIGUSR1);
    CHECK_EQ(wait_status(pid), EINTR << 8);
    CHECK_ERR(answer(l, n.id, 7, 0, 0), ENOENT);
    close(l);
}

/* With WAIT_KILLABLE_RECV, not once the supervisor has read of it. */
TEST(killable_wait)
{
    int l;
    pid_t pid = supervise(asks_with_handler, SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, &l);
    struct pollfd p = {l, POLLIN, 0};
    CHECK_EQ(poll(&p, 1, 5000), 1);
    kill(pid, SIGUSR1); /* not read yet: interrupted */
    CHECK_EQ(wait_status(pid), EINTR << 8);
    close(l);

    pid = supervise(asks_with_handler, SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, &l);
    struct seccomp_notif n = receive(l);
    kill(pid, SIGUSR1);
    sleep_ms(50);
    CHECK_EQ(ioctl(l, SECCOMP_IOCTL_NOTIF_ID_VALID, &n.id), 0);
    CHECK_EQ(answer(l, n.id, 7, 0, 0), 0);
    CHECK_EQ(wait_status(pid), 51 << 8); /* the answer, and the handler afterwards */
    close(l);

    pid = supervise(asks_with_handler, SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, &l);
    n = receive(l);
    kill(pid, SIGKILL);
    CHECK_EQ(wait_status(pid), SIGKILL);
    CHECK_ERR(answer(l, n.id, 7, 0, 0), ENOENT);
    close(l);
}
