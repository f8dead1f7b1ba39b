/* Ancillary data of UNIX sockets. True on Linux. */
#include <sys/resource.h>

#include "net_common.h"

union control {
    char buf[512];
    struct cmsghdr align;
};

static ssize_t send_fds(int s, const int *fds, int n, const char *data, size_t len)
{
    union control u;
    struct iovec iov = {(void *)(uintptr_t)data, len};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = u.buf};
    memset(&u, 0, sizeof(u));
    m.msg_controllen = CMSG_SPACE((size_t)n * sizeof(int));
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN((size_t)n * sizeof(int));
    memcpy(CMSG_DATA(c), fds, (size_t)n * sizeof(int));
    return sendmsg(s, &m, 0);
}

/* Receives up to len bytes; *nfds descriptors into fds. */
static ssize_t recv_fds(int s, char *data, size_t len, int *fds, int *nfds, int flags, int *ret_flags,
                        size_t room)
{
    union control u;
    struct iovec iov = {data, len};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = u.buf, .msg_controllen = room};
    ssize_t n = recvmsg(s, &m, flags);
    *nfds = 0;
    if (ret_flags)
        *ret_flags = m.msg_flags;
    if (n < 0)
        return n;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        *nfds = (int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        memcpy(fds, CMSG_DATA(c), (size_t)*nfds * sizeof(int));
    }
    return n;
}

static int count_fds(void)
{
    int n = 0;
    for (int i = 0; i < 512; i++)
        n += fcntl(i, F_GETFD) >= 0;
    return n;
}

TEST(pass_one)
{
    int s[2], p[2], got[8], n, fl;
    char b[8];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0 && pipe(p) == 0);
    CHECK_EQ(send_fds(s[0], &p[1], 1, "x", 1), 1);
    close(p[1]);
    CHECK_EQ(recv_fds(s[1], b, 8, got, &n, MSG_CMSG_CLOEXEC, &fl, 512), 1);
    CHECK_EQ(n, 1);
    CHECK_EQ(fl, MSG_CMSG_CLOEXEC);
    CHECK_EQ(fcntl(got[0], F_GETFD), FD_CLOEXEC);
    CHECK_EQ(write(got[0], "hey", 3), 3);
    CHECK_EQ(read(p[0], b, 8), 3);
    close(got[0]);
    CHECK_EQ(read(p[0], b, 8), 0);
    close(p[0]);
    close(s[0]);
    close(s[1]);
}

TEST(boundaries)
{
    int s[2], got[8], n;
    char b[64];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0);
    /* bytes before a message with files are read with it; bytes after are not */
    CHECK_EQ(write(s[0], "aa", 2), 2);
    CHECK_EQ(send_fds(s[0], &s[0], 1, "bb", 2), 2);
    CHECK_EQ(write(s[0], "cc", 2), 2);
    CHECK_EQ(recv_fds(s[1], b, 64, got, &n, 0, NULL, 512), 4);
    CHECK_EQ(n, 1);
    close(got[0]);
    CHECK_EQ(recv_fds(s[1], b, 64, got, &n, 0, NULL, 512), 2);
    CHECK_EQ(n, 0);
    /* a plain read drops the files */
    int before = count_fds();
    CHECK_EQ(send_fds(s[0], &s[0], 1, "bb", 2), 2);
    CHECK_EQ(read(s[1], b, 64), 2);
    CHECK_EQ(count_fds(), before);
    /* peeking duplicates them */
    CHECK_EQ(send_fds(s[0], &s[0], 1, "bb", 2), 2);
    CHECK_EQ(recv_fds(s[1], b, 64, got, &n, MSG_PEEK, NULL, 512), 2);
    CHECK_EQ(n, 1);
    close(got[0]);
    CHECK_EQ(recv_fds(s[1], b, 1, got, &n, 0, NULL, 512), 1);
    CHECK_EQ(n, 1);
    close(got[0]);
    CHECK_EQ(recv_fds(s[1], b, 64, got, &n, 0, NULL, 512), 1);
    CHECK_EQ(n, 0);
    close(s[0]);
    close(s[1]);
}

TEST(truncation_and_errors)
{
    int s[2], fds[300], got[300], n, fl;
    char b[8];
    CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, s) == 0);
    for (int i = 0; i < 300; i++)
        fds[i] = s[0];
    int before = count_fds();
    CHECK_EQ(send_fds(s[0], fds, 3, "x", 1), 1);
    CHECK_EQ(recv_fds(s[1], b, 8, got, &n, 0, &fl, CMSG_LEN(2 * sizeof(int))), 1);
    CHECK_EQ(n, 2);
    CHECK_EQ(fl, MSG_CTRUNC);
    close(got[0]);
    close(got[1]);
    CHECK_EQ(count_fds(), before);
    CHECK_EQ(send_fds(s[0], fds, 1, "x", 1), 1);
    CHECK_EQ(recv_fds(s[1], b, 8, got, &n, 0, &fl, 0), 1);
    CHECK_EQ(fl, MSG_CTRUNC);
    int bad = 9999;
    CHECK_ERR(send_fds(s[0], &bad, 1, "x", 1), EBADF);
    char ctl[2048];
    struct iovec iov = {b, 1};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = ctl};
    memset(ctl, 0, sizeof(ctl));
    m.msg_controllen = CMSG_SPACE(254 * sizeof(int));
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(254 * sizeof(int));
    memcpy(CMSG_DATA(c), fds, 254 * sizeof(int));
    CHECK_ERR(sendmsg(s[0], &m, 0), EINVAL);
    c->cmsg_type = 99;
    CHECK_ERR(sendmsg(s[0], &m, 0), EINVAL);
    c->cmsg_len = 5;
    CHECK_ERR(sendmsg(s[0], &m, 0), EINVAL);
    m.msg_controllen = 1UL << 31;
    CHECK_ERR(sendmsg(s[0], &m, 0), ENOBUFS);
    CHECK_EQ(count_fds(), before);
    close(s[0]);
    close(s[1]);
}

static ssize_t recv_cred(int s, struct ucred *uc, int *has, int flags)
{
    union control u;
    char b[64];
    struct iovec iov = {b, 64};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = u.buf, .msg_controllen = 512};
    ssize_t n = recvmsg(s, &m, flags);
    *has = 0;
    for (struct cmsghdr *c = n >= 0 ? CMSG_FIRSTHDR(&m) : NULL; c; c = CMSG_NXTHDR(&m, c)) {
        if (c->cmsg_type == SCM_CREDENTIALS) {
            memcpy(uc, CMSG_DATA(c), sizeof(*uc));
            *has = 1;
        }
    }
    return n;
}

TEST(credentials)
{
    int s[2], has;
    struct ucred uc;
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0);
    CHECK_EQ(write(s[0], "a", 1), 1); /* before the option: nobody's */
    CHECK(setopt_int(s[1], SOL_SOCKET, SO_PASSCRED, 1) == 0);
    CHECK_EQ(getopt_int(s[1], SOL_SOCKET, SO_PASSCRED), 1);
    CHECK_EQ(write(s[0], "b", 1), 1);
    CHECK_EQ(recv_cred(s[1], &uc, &has, 0), 1);
    CHECK(has && uc.pid == 0 && uc.uid == 65534 && uc.gid == 65534);
    CHECK_EQ(recv_cred(s[1], &uc, &has, 0), 1);
    CHECK(has && uc.pid == getpid() && uc.uid == getuid() && uc.gid == getgid());
    /* two processes' bytes do not mix */
    CHECK_EQ(write(s[0], "p", 1), 1);
    pid_t p = fork();
    if (p == 0)
        _exit(write(s[0], "cc", 2) == 2 ? 0 : 1);
    waitpid(p, NULL, 0);
    CHECK_EQ(recv_cred(s[1], &uc, &has, 0), 1);
    CHECK_EQ(uc.pid, getpid());
    CHECK_EQ(recv_cred(s[1], &uc, &has, 0), 2);
    CHECK_EQ(uc.pid, p);
    struct ucred peer;
    socklen_t len = sizeof(peer);
    CHECK(getsockopt(s[0], SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0);
    CHECK(peer.pid == getpid() && peer.uid == geteuid());
    close(s[0]);
    close(s[1]);
    int t = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK(getsockopt(t, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0);
    CHECK(peer.pid == 0 && peer.uid == (uid_t)-1 && peer.gid == (gid_t)-1);
    close(t);
}

TEST(forged_credentials)
{
    int s[2];
    union control u;
    char b = 'x';
    struct iovec iov = {&b, 1};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = u.buf,
                       .msg_controllen = CMSG_SPACE(sizeof(struct ucred))};
    CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, s) == 0);
    memset(&u, 0, sizeof(u));
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_CREDENTIALS;
    c->cmsg_len = CMSG_LEN(sizeof(struct ucred));
    struct ucred mine = {getpid(), getuid(), getgid()};
    memcpy(CMSG_DATA(c), &mine, sizeof(mine));
    CHECK_EQ(sendmsg(s[0], &m, 0), 1);
    pid_t p = fork();
    if (p == 0) {
        if (setresgid(1234, 1234, 1234) || setresuid(1234, 1234, 1234))
            _exit(9);
        struct ucred bad = {getpid(), 0, 1234};
        memcpy(CMSG_DATA(c), &bad, sizeof(bad));
        if (sendmsg(s[0], &m, 0) >= 0 || errno != EPERM)
            _exit(1);
        bad = (struct ucred){1, 1234, 1234};
        memcpy(CMSG_DATA(c), &bad, sizeof(bad));
        if (sendmsg(s[0], &m, 0) >= 0 || errno != EPERM)
            _exit(2);
        bad = (struct ucred){getpid(), 1234, 1234};
        memcpy(CMSG_DATA(c), &bad, sizeof(bad));
        _exit(sendmsg(s[0], &m, 0) == 1 ? 0 : 3);
    }
    int st;
    waitpid(p, &st, 0);
    if (geteuid() == 0)
        CHECK(WIFEXITED(st) && WEXITSTATUS(st) == 0);
    close(s[0]);
    close(s[1]);
}

TEST(passcred_with_rights)
{
    int s[2], p[2];
    union control u;
    char b[8];
    struct iovec iov = {b, 8};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = u.buf, .msg_controllen = 512};
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0 && pipe(p) == 0);
    CHECK(setopt_int(s[1], SOL_SOCKET, SO_PASSCRED, 1) == 0);
    CHECK_EQ(send_fds(s[0], p, 2, "data", 4), 4);
    CHECK_EQ(recvmsg(s[1], &m, 0), 4);
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    CHECK(c && c->cmsg_type == SCM_CREDENTIALS);
    c = CMSG_NXTHDR(&m, c);
    CHECK(c && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(2 * sizeof(int)));
    int got[2];
    memcpy(got, CMSG_DATA(c), sizeof(got));
    close(got[0]);
    close(got[1]);
    close(p[0]);
    close(p[1]);
    close(s[0]);
    close(s[1]);
}

TEST(closed_unread)
{
    int s[2], p[2];
    char b[4];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0 && pipe(p) == 0);
    CHECK_EQ(send_fds(s[0], &p[1], 1, "x", 1), 1);
    close(p[1]);
    close(s[1]);
    close(s[0]);
    CHECK_EQ(read(p[0], b, 4), 0); /* the flight's end closed the writer */
    close(p[0]);
}

TEST(cycle_is_collected)
{
    int s[2], p[2];
    char b[4];
    CHECK(pipe(p) == 0);
    for (int i = 0; i < 50; i++) {
        CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0);
        int fds[3] = {s[0], s[1], p[1]};
        CHECK_EQ(send_fds(s[0], fds, 3, "x", 1), 1);
        CHECK_EQ(send_fds(s[1], fds, 3, "x", 1), 1);
        close(s[0]);
        close(s[1]);
    }
    close(p[1]);
    nonblock(p[0], 1);
    ssize_t n = -1;
    for (int i = 0; i < 200 && n != 0; i++) { /* collection may be a moment late */
        n = read(p[0], b, 4);
        if (n < 0)
            sleep_ms(10);
        socketpair(AF_UNIX, SOCK_STREAM, 0, s);
        close(s[0]);
        close(s[1]);
    }
    CHECK_EQ(n, 0);
    close(p[0]);
}

TEST(listener_in_its_own_backlog)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int p[2];
    char b[4];
    CHECK(pipe(p) == 0);
    memcpy(a.sun_path + 1, "cv-gc-listen", 12);
    int l = socket(AF_UNIX, SOCK_STREAM, 0), c = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK(bind(l, (struct sockaddr *)&a, 15) == 0 && listen(l, 5) == 0);
    CHECK(connect(c, (struct sockaddr *)&a, 15) == 0);
    int fds[3] = {l, c, p[1]};
    CHECK_EQ(send_fds(c, fds, 3, "x", 1), 1);
    close(l);
    close(c);
    close(p[1]);
    nonblock(p[0], 1);
    ssize_t n = -1;
    for (int i = 0; i < 200 && n != 0; i++) {
        int s[2];
        n = read(p[0], b, 4);
        if (n < 0)
            sleep_ms(10);
        socketpair(AF_UNIX, SOCK_STREAM, 0, s);
        close(s[0]);
        close(s[1]);
    }
    CHECK_EQ(n, 0);
    close(p[0]);
}

TEST(deep_chain_frees)
{
    /* each socket waits in the queue of the next: closing the last frees all, without recursion */
    int prev[2], s[2];
    CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, prev) == 0);
    for (int i = 0; i < 3000; i++) {
        CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, s) == 0);
        CHECK_EQ(send_fds(s[0], prev, 2, "x", 1), 1);
        close(prev[0]);
        close(prev[1]);
        prev[0] = s[0];
        prev[1] = s[1];
    }
    close(prev[0]);
    close(prev[1]);
    CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, s) == 0);
    close(s[0]);
    close(s[1]);
}

TEST(inflight_limit)
{
    if (geteuid() != 0)
        return;
    pid_t p = fork();
    if (p == 0) {
        struct rlimit rl = {64, 64};
        int s[2], n = 0;
        if (setrlimit(RLIMIT_NOFILE, &rl) || setresgid(4321, 4321, 4321) || setresuid(4321, 4321, 4321))
            _exit(9);
        if (socketpair(AF_UNIX, SOCK_DGRAM, 0, s))
            _exit(8);
        for (; n < 200; n++) {
            if (send_fds(s[0], &s[0], 1, "x", 1) != 1)
                break;
        }
        _exit(errno == ETOOMANYREFS && n >= 64 && n <= 66 ? 0 : errno == EAGAIN ? 7 : 1);
    }
    int st;
    waitpid(p, &st, 0);
    CHECK(WIFEXITED(st));
    CHECK_EQ(WEXITSTATUS(st), 0);
}

TEST(peergroups)
{
    int s[2];
    gid_t g[64];
    socklen_t len = sizeof(g);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0);
    int n = getgroups(0, NULL);
    CHECK(getsockopt(s[0], SOL_SOCKET, SO_PEERGROUPS, g, &len) == 0);
    CHECK_EQ(len, (unsigned)n * sizeof(gid_t));
    if (n > 0) {
        len = 0;
        CHECK_ERR(getsockopt(s[0], SOL_SOCKET, SO_PEERGROUPS, g, &len), ERANGE);
        CHECK_EQ(len, (unsigned)n * sizeof(gid_t));
    }
    close(s[0]);
    close(s[1]);
    int t = socket(AF_UNIX, SOCK_STREAM, 0);
    len = sizeof(g);
    CHECK_ERR(getsockopt(t, SOL_SOCKET, SO_PEERGROUPS, g, &len), ENODATA);
    close(t);
}
