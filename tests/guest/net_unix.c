/* UNIX sockets: connections, names, errors, readiness. True on Linux. */
#include "net_link.h"

static struct sockaddr_un un_path(const char *p)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    strncpy(a.sun_path, p, sizeof(a.sun_path) - 1);
    return a;
}

static socklen_t un_abstract(struct sockaddr_un *a, const char *name)
{
    memset(a, 0, sizeof(*a));
    a->sun_family = AF_UNIX;
    memcpy(a->sun_path + 1, name, strlen(name));
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name));
}

static int listener(const char *name, int type, int backlog)
{
    struct sockaddr_un a;
    socklen_t len = un_abstract(&a, name);
    int s = socket(AF_UNIX, type, 0);
    CHECK(s >= 0 && bind(s, (struct sockaddr *)&a, len) == 0 && listen(s, backlog) == 0);
    return s;
}

static int dial(const char *name, int type)
{
    struct sockaddr_un a;
    socklen_t len = un_abstract(&a, name);
    int s = socket(AF_UNIX, type, 0);
    if (connect(s, (struct sockaddr *)&a, len) < 0) {
        int e = errno;
        close(s);
        errno = e;
        return -1;
    }
    return s;
}

TEST(create_errors)
{
    CHECK_ERR(socket(AF_UNIX, SOCK_STREAM, 5), EPROTONOSUPPORT);
    CHECK_ERR(socket(AF_UNIX, SOCK_RDM, 0), ESOCKTNOSUPPORT);
    CHECK_ERR(socket(AF_UNIX, 12, 0), EINVAL);
    CHECK_ERR(socket(99, SOCK_STREAM, 0), EAFNOSUPPORT);
    CHECK_ERR(socket(AF_UNIX, SOCK_STREAM | 0x100, 0), EINVAL);
    int s = socket(AF_UNIX, SOCK_RAW, 0);
    CHECK(s >= 0);
    CHECK_EQ(getopt_int(s, SOL_SOCKET, SO_TYPE), SOCK_DGRAM);
    close(s);
    int p[2];
    CHECK_ERR(socketpair(AF_INET, SOCK_STREAM, 0, p), EOPNOTSUPP);
    CHECK_ERR(socketpair(AF_UNIX, SOCK_STREAM, 0, NULL), EFAULT);
    s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    CHECK_EQ(fcntl(s, F_GETFD), FD_CLOEXEC);
    CHECK_EQ(fcntl(s, F_GETFL), O_RDWR | O_NONBLOCK);
    struct stat st;
    CHECK(fstat(s, &st) == 0 && S_ISSOCK(st.st_mode) && (st.st_mode & 0777) == 0777);
    CHECK_ERR(lseek(s, 0, SEEK_SET), ESPIPE);
    close(s);
    CHECK_ERR(listen(0x7ffffff, 1), EBADF);
    int pi[2];
    CHECK(pipe(pi) == 0);
    CHECK_ERR(listen(pi[0], 1), ENOTSOCK);
    close(pi[0]);
    close(pi[1]);
}

TEST(pair_stream_drain_then_events)
{
    int s[2];
    char b[64];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0);
    CHECK_EQ(events_of(s[0]), EPOLLOUT);
    CHECK_EQ(write(s[1], "hello", 5), 5);
    CHECK_EQ(events_of(s[0]), EPOLLIN | EPOLLOUT);
    close(s[1]);
    CHECK_EQ(events_of(s[0]), EV_ALL);
    CHECK_EQ(read(s[0], b, 64), 5);
    CHECK_EQ(events_of(s[0]), 8213);
    CHECK_EQ(read(s[0], b, 64), 0);
    signal(SIGPIPE, SIG_IGN);
    CHECK_ERR(write(s[0], "x", 1), EPIPE);
    CHECK_ERR(send(s[0], "x", 1, MSG_NOSIGNAL), EPIPE);
    close(s[0]);
}

TEST(sigpipe)
{
    int s[2], st;
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0);
    close(s[1]);
    pid_t p = fork();
    if (p == 0) {
        signal(SIGPIPE, SIG_DFL);
        send(s[0], "x", 1, MSG_NOSIGNAL);
        if (write(s[0], "x", 1) < 0)
            _exit(3);
        _exit(4);
    }
    CHECK(waitpid(p, &st, 0) == p);
    CHECK(WIFSIGNALED(st) && WTERMSIG(st) == SIGPIPE);
    close(s[0]);
}

TEST(unread_close_is_reset)
{
    int s[2];
    char b[8];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0);
    CHECK_EQ(write(s[0], "abc", 3), 3);
    CHECK_EQ(write(s[1], "de", 2), 2);
    close(s[1]);
    CHECK_EQ(events_of(s[0]), EV_ALL | EPOLLERR);
    CHECK_EQ(read(s[0], b, 8), 2);
    CHECK_ERR(read(s[0], b, 8), ECONNRESET);
    CHECK_EQ(read(s[0], b, 8), 0);
    close(s[0]);
}

TEST(shutdown_halves)
{
    int s[2];
    char b[8];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0);
    CHECK_ERR(shutdown(s[0], 3), EINVAL);
    CHECK(shutdown(s[0], SHUT_WR) == 0);
    CHECK_ERR(send(s[0], "x", 1, MSG_NOSIGNAL), EPIPE);
    CHECK_EQ(recv(s[1], b, 8, 0), 0);
    CHECK_EQ(events_of(s[1]), EPOLLIN | EPOLLOUT | EPOLLRDHUP);
    CHECK_EQ(events_of(s[0]), EPOLLOUT);
    CHECK_EQ(send(s[1], "back", 4, 0), 4);
    CHECK_EQ(recv(s[0], b, 8, 0), 4);
    CHECK(shutdown(s[0], SHUT_RD) == 0);
    CHECK_ERR(send(s[1], "x", 1, MSG_NOSIGNAL), EPIPE);
    CHECK_EQ(events_of(s[0]), EV_ALL);
    close(s[0]);
    close(s[1]);
}

TEST(unconnected_states)
{
    int s = socket(AF_UNIX, SOCK_STREAM, 0);
    char b[4];
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    socklen_t len = sizeof(a);
    CHECK_EQ(events_of(s), EPOLLOUT | EPOLLHUP);
    CHECK_ERR(read(s, b, 4), EINVAL);
    CHECK_ERR(send(s, b, 4, MSG_NOSIGNAL), ENOTCONN);
    CHECK_ERR(getpeername(s, (struct sockaddr *)&a, &len), ENOTCONN);
    CHECK_ERR(listen(s, 1), EINVAL);
    CHECK_ERR(accept(s, NULL, NULL), EINVAL);
    len = sizeof(a);
    CHECK(getsockname(s, (struct sockaddr *)&a, &len) == 0);
    CHECK_EQ(len, 2);
    CHECK_EQ(a.sun_family, AF_UNIX);
    close(s);
    s = socket(AF_UNIX, SOCK_DGRAM, 0);
    CHECK_EQ(events_of(s), EPOLLOUT);
    CHECK_ERR(send(s, b, 4, 0), ENOTCONN);
    CHECK_ERR(listen(s, 1), EOPNOTSUPP);
    CHECK_ERR(recv(s, b, 4, MSG_DONTWAIT), EAGAIN);
    close(s);
    s = socket(AF_UNIX, SOCK_SEQPACKET, 0);
    CHECK_EQ(events_of(s), EPOLLOUT | EPOLLHUP);
    CHECK_ERR(recv(s, b, 4, MSG_DONTWAIT), ENOTCONN);
    CHECK_ERR(send(s, b, 4, MSG_NOSIGNAL), ENOTCONN);
    close(s);
}

TEST(connect_accept_names)
{
    struct sockaddr_un a, got;
    socklen_t alen = un_abstract(&a, "cv-names"), len = sizeof(got);
    int l = listener("cv-names", SOCK_STREAM, 5);
    CHECK_EQ(getopt_int(l, SOL_SOCKET, SO_ACCEPTCONN), 1);
    CHECK_EQ(events_of(l), 0);
    int c = dial("cv-names", SOCK_STREAM);
    CHECK(c >= 0);
    CHECK_EQ(getopt_int(c, SOL_SOCKET, SO_ACCEPTCONN), 0);
    CHECK_EQ(events_of(l), EPOLLIN);
    CHECK_EQ(write(c, "early", 5), 5);
    int s = accept(l, (struct sockaddr *)&got, &len);
    CHECK(s >= 0);
    CHECK_EQ(len, 2);
    len = sizeof(got);
    CHECK(getpeername(c, (struct sockaddr *)&got, &len) == 0);
    CHECK_EQ(len, alen);
    CHECK(memcmp(&got, &a, alen) == 0);
    len = sizeof(got);
    CHECK(getsockname(s, (struct sockaddr *)&got, &len) == 0);
    CHECK_EQ(len, alen);
    char b[8];
    CHECK_EQ(read(s, b, 8), 5);
    CHECK_ERR(connect(c, (struct sockaddr *)&a, alen), EISCONN);
    CHECK_ERR(connect(l, (struct sockaddr *)&a, alen), EINVAL);
    CHECK_ERR(sendto(c, "x", 1, MSG_NOSIGNAL, (struct sockaddr *)&a, alen), EISCONN);
    close(l);
    CHECK(dial("cv-names", SOCK_STREAM) < 0 && errno == ECONNREFUSED);
    close(s);
    close(c);
    CHECK(dial("cv-nobody", SOCK_STREAM) < 0 && errno == ECONNREFUSED);
    l = listener("cv-type", SOCK_SEQPACKET, 1);
    CHECK(dial("cv-type", SOCK_STREAM) < 0 && errno == ECONNREFUSED); /* a name for each type */
    close(l);
    /* bound, not listening */
    alen = un_abstract(&a, "cv-notlistening");
    s = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK(bind(s, (struct sockaddr *)&a, alen) == 0);
    CHECK(dial("cv-notlistening", SOCK_STREAM) < 0 && errno == ECONNREFUSED);
    CHECK_ERR(bind(s, (struct sockaddr *)&a, alen), EINVAL);
    int s2 = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK_ERR(bind(s2, (struct sockaddr *)&a, alen), EADDRINUSE);
    close(s2);
    close(s);
}

TEST(listener_close_resets_queued)
{
    char b[4];
    int l = listener("cv-reset", SOCK_STREAM, 5);
    int c = dial("cv-reset", SOCK_STREAM);
    CHECK(c >= 0);
    close(l);
    CHECK_ERR(read(c, b, 4), ECONNRESET);
    CHECK_EQ(read(c, b, 4), 0);
    CHECK_ERR(send(c, b, 4, MSG_NOSIGNAL), EPIPE);
    close(c);
}

TEST(backlog_and_timeouts)
{
    struct sockaddr_un a;
    socklen_t alen = un_abstract(&a, "cv-backlog");
    int l = listener("cv-backlog", SOCK_STREAM, 0);
    int c = dial("cv-backlog", SOCK_STREAM);
    CHECK(c >= 0);
    int d = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    CHECK_ERR(connect(d, (struct sockaddr *)&a, alen), EAGAIN);
    nonblock(d, 0);
    struct timeval tv = {0, 60000}, got;
    socklen_t len = sizeof(got);
    CHECK(setsockopt(d, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)) == 0);
    CHECK(getsockopt(d, SOL_SOCKET, SO_SNDTIMEO, &got, &len) == 0);
    CHECK(got.tv_sec == 0 && got.tv_usec == 60000);
    long t0 = now_ms();
    CHECK_ERR(connect(d, (struct sockaddr *)&a, alen), EAGAIN);
    CHECK(now_ms() - t0 >= 55);
    close(d);
    CHECK(setsockopt(c, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)) == 0);
    t0 = now_ms();
    char b[4];
    CHECK_ERR(read(c, b, 4), EAGAIN);
    CHECK(now_ms() - t0 >= 55);
    CHECK(setsockopt(l, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)) == 0);
    int s = accept(l, NULL, NULL);
    CHECK(s >= 0);
    CHECK_ERR(accept(l, NULL, NULL), EAGAIN);
    close(s);
    close(c);
    close(l);
}

static void *dial_thread(void *arg)
{
    return (void *)(intptr_t)dial(arg, SOCK_STREAM);
}

TEST(blocked_connect_goes_on)
{
    char name[] = "cv-block";
    pthread_t th;
    void *r;
    int l = listener(name, SOCK_STREAM, 0);
    int c = dial(name, SOCK_STREAM);
    CHECK(pthread_create(&th, NULL, dial_thread, name) == 0);
    sleep_ms(30);
    int s = accept(l, NULL, NULL);
    CHECK(s >= 0);
    pthread_join(th, &r);
    CHECK((int)(intptr_t)r >= 0);
    close((int)(intptr_t)r);
    close(s);
    close(c);
    close(l);
}

TEST(paths)
{
    char dir[] = "/tmp/cv-unix-XXXXXX", path[64];
    CHECK(mkdtemp(dir) != NULL);
    snprintf(path, sizeof(path), "%s/s", dir);
    struct sockaddr_un a = un_path(path), got;
    socklen_t len = sizeof(got);
    int l = socket(AF_UNIX, SOCK_STREAM, 0);
    umask(022);
    CHECK(bind(l, (struct sockaddr *)&a, sizeof(a)) == 0);
    struct stat st;
    CHECK(stat(path, &st) == 0 && S_ISSOCK(st.st_mode));
    CHECK_EQ(st.st_mode & 0777, 0755);
    CHECK(getsockname(l, (struct sockaddr *)&got, &len) == 0);
    CHECK_EQ(len, offsetof(struct sockaddr_un, sun_path) + strlen(path) + 1);
    CHECK_STR(got.sun_path, path);
    int s = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK_ERR(connect(s, (struct sockaddr *)&a, sizeof(a)), ECONNREFUSED);
    CHECK(listen(l, 1) == 0);
    CHECK(connect(s, (struct sockaddr *)&a, sizeof(a)) == 0);
    int s2 = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK_ERR(bind(s2, (struct sockaddr *)&a, sizeof(a)), EADDRINUSE);
    CHECK_ERR(open(path, O_RDWR), ENXIO);
    struct sockaddr_un none = un_path("/tmp/cv-no-such-socket");
    CHECK_ERR(connect(s2, (struct sockaddr *)&none, sizeof(none)), ENOENT);
    struct sockaddr_un d = un_path(dir);
    CHECK_ERR(connect(s2, (struct sockaddr *)&d, sizeof(d)), ECONNREFUSED);
    int dg = socket(AF_UNIX, SOCK_DGRAM, 0);
    CHECK_ERR(connect(dg, (struct sockaddr *)&a, sizeof(a)), EPROTOTYPE);
    close(dg);
    CHECK(unlink(path) == 0);
    CHECK_ERR(connect(s2, (struct sockaddr *)&a, sizeof(a)), ENOENT);
    close(s2);
    close(s);
    close(l);
    struct sockaddr_un bad = un_path("/tmp/cv-nodir-xyz/s");
    s = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK_ERR(bind(s, (struct sockaddr *)&bad, sizeof(bad)), ENOENT);
    CHECK_ERR(bind(s, (struct sockaddr *)&bad, 1), EINVAL);
    CHECK_ERR(bind(s, (struct sockaddr *)&bad, 200), EINVAL);
    close(s);
    rmdir(dir);
}

TEST(path_restricted_by_fchmod)
{
    char dir[] = "/tmp/cv-unix-XXXXXX", path[64];
    CHECK(mkdtemp(dir) != NULL);
    snprintf(path, sizeof(path), "%s/s", dir);
    struct sockaddr_un a = un_path(path);
    struct stat st;
    int l = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK(fchmod(l, 0700) == 0);
    CHECK(bind(l, (struct sockaddr *)&a, sizeof(a)) == 0);
    CHECK(stat(path, &st) == 0);
    CHECK_EQ(st.st_mode & 0777, 0700);
    close(l);
    unlink(path);
    rmdir(dir);
}

TEST(autobind)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX}, got;
    socklen_t len = sizeof(got);
    int s = socket(AF_UNIX, SOCK_DGRAM, 0);
    CHECK(bind(s, (struct sockaddr *)&a, 2) == 0);
    CHECK(getsockname(s, (struct sockaddr *)&got, &len) == 0);
    CHECK_EQ(len, 8);
    CHECK_EQ(got.sun_path[0], 0);
    close(s);
}

TEST(dgram)
{
    struct sockaddr_un a, b, from;
    socklen_t alen = un_abstract(&a, "cv-dg-a"), blen = un_abstract(&b, "cv-dg-b"), len = sizeof(from);
    char buf[16];
    int s = socket(AF_UNIX, SOCK_DGRAM, 0), t = socket(AF_UNIX, SOCK_DGRAM, 0);
    CHECK(bind(s, (struct sockaddr *)&a, alen) == 0);
    CHECK_EQ(sendto(t, "one", 3, 0, (struct sockaddr *)&a, alen), 3);
    CHECK_EQ(recvfrom(s, buf, 16, 0, (struct sockaddr *)&from, &len), 3);
    CHECK_EQ(len, 0);
    CHECK(bind(t, (struct sockaddr *)&b, blen) == 0);
    CHECK_EQ(sendto(t, "two!", 4, 0, (struct sockaddr *)&a, alen), 4);
    len = sizeof(from);
    CHECK_EQ(recvfrom(s, buf, 2, MSG_PEEK, (struct sockaddr *)&from, &len), 2);
    CHECK_EQ(len, blen);
    CHECK_EQ(recv(s, buf, 2, MSG_PEEK | MSG_TRUNC), 4);
    int n = 0;
    CHECK(ioctl(s, FIONREAD, &n) == 0);
    CHECK_EQ(n, 4);
    struct iovec iov = {buf, 2};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
    CHECK_EQ(recvmsg(s, &m, 0), 2);
    CHECK_EQ(m.msg_flags, MSG_TRUNC);
    /* empty datagrams */
    CHECK_EQ(sendto(t, "", 0, 0, (struct sockaddr *)&a, alen), 0);
    CHECK_EQ(recv(s, buf, 16, 0), 0);
    /* connected */
    CHECK(connect(t, (struct sockaddr *)&a, alen) == 0);
    CHECK_EQ(write(t, "x", 1), 1);
    CHECK_EQ(read(s, buf, 16), 1);
    CHECK(connect(s, (struct sockaddr *)&b, blen) == 0);
    int u = socket(AF_UNIX, SOCK_DGRAM, 0);
    CHECK_ERR(sendto(u, "x", 1, 0, (struct sockaddr *)&a, alen), EPERM);
    CHECK_ERR(connect(u, (struct sockaddr *)&a, alen), EPERM);
    close(u);
    char *big = calloc(1, 300000);
    CHECK_ERR(send(t, big, 300000, 0), EMSGSIZE);
    free(big);
    close(s);
    CHECK_ERR(send(t, "x", 1, 0), ECONNREFUSED);
    CHECK_ERR(send(t, "x", 1, 0), ENOTCONN);
    CHECK_ERR(sendto(t, "x", 1, 0, (struct sockaddr *)&a, alen), ECONNREFUSED);
    close(t);
}

TEST(dgram_queue_limit)
{
    struct sockaddr_un a;
    socklen_t alen = un_abstract(&a, "cv-dgq");
    int home = own_ns();
    fresh_ns(); /* where net.unix.max_dgram_qlen is 10, whatever this machine's is */
    int s = socket(AF_UNIX, SOCK_DGRAM, 0), t = socket(AF_UNIX, SOCK_DGRAM, 0), n = 0;
    enter_ns(home);
    close(home);
    char b[4];
    CHECK(bind(s, (struct sockaddr *)&a, alen) == 0);
    CHECK(connect(t, (struct sockaddr *)&a, alen) == 0);
    CHECK_EQ(events_of(t), EPOLLOUT);
    while (send(t, "x", 1, MSG_DONTWAIT) == 1)
        n++;
    CHECK_EQ(errno, EAGAIN);
    CHECK_EQ(n, 11);
    CHECK_EQ(events_of(t), 0);
    int ep = epoll_create1(0);
    struct epoll_event ev = {.events = EPOLLOUT | EPOLLET};
    CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, t, &ev) == 0);
    CHECK_EQ(epoll_wait(ep, &ev, 1, 0), 0);
    CHECK_EQ(recv(s, b, 4, 0), 1);
    CHECK_EQ(epoll_wait(ep, &ev, 1, 100), 1);
    close(ep);
    close(s);
    close(t);
}

TEST(seqpacket)
{
    int l = listener("cv-seq", SOCK_SEQPACKET, 2), c = dial("cv-seq", SOCK_SEQPACKET);
    char b[16];
    CHECK(c >= 0);
    int s = accept(l, NULL, NULL);
    CHECK_EQ(send(c, "abc", 3, 0), 3);
    CHECK_EQ(send(c, "defg", 4, 0), 4);
    CHECK_EQ(recv(s, b, 2, 0), 2);
    CHECK_EQ(recv(s, b, 16, 0), 4);
    close(c);
    CHECK_EQ(recv(s, b, 16, 0), 0);
    CHECK_EQ(events_of(s), EV_ALL);
    CHECK_ERR(send(s, "x", 1, MSG_NOSIGNAL), EPIPE);
    close(s);
    close(l);
}

TEST(stream_flags)
{
    int s[2], n;
    char b[16];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0);
    CHECK_ERR(recv(s[0], b, 4, MSG_DONTWAIT), EAGAIN);
    CHECK_EQ(send(s[1], "abcdef", 6, 0), 6);
    CHECK_EQ(recv(s[0], b, 3, MSG_PEEK), 3);
    CHECK_EQ(recv(s[0], b, 16, MSG_PEEK), 6);
    CHECK(ioctl(s[0], FIONREAD, &n) == 0 && n == 6);
    CHECK(ioctl(s[1], TIOCOUTQ, &n) == 0 && n > 0);
    CHECK_EQ(recv(s[0], b, 16, MSG_WAITALL | MSG_DONTWAIT), 6);
    CHECK_EQ(send(s[1], "ab", 2, 0), 2);
    pid_t p = fork();
    if (p == 0) {
        sleep_ms(40);
        _exit(write(s[1], "cd", 2) == 2 ? 0 : 1);
    }
    CHECK_EQ(recv(s[0], b, 4, MSG_WAITALL), 4);
    CHECK(memcmp(b, "abcd", 4) == 0);
    waitpid(p, NULL, 0);
    CHECK_ERR(recv(s[0], b, 4, MSG_OOB), EINVAL);
    CHECK_EQ(send(s[1], "xyz", 3, MSG_OOB), 3);
    CHECK_EQ(events_of(s[0]) & EPOLLPRI, EPOLLPRI);
    CHECK_EQ(recv(s[0], b, 16, 0), 2);
    CHECK_EQ(recv(s[0], b, 1, MSG_OOB), 1);
    CHECK_EQ(b[0], 'z');
    close(s[0]);
    close(s[1]);
}

TEST(peek_offset)
{
    int s[2];
    char b[8] = "";
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0);
    CHECK(setopt_int(s[0], SOL_SOCKET, SO_PEEK_OFF, 1) == 0);
    CHECK_EQ(send(s[1], "abcdef", 6, 0), 6);
    CHECK_EQ(recv(s[0], b, 2, MSG_PEEK), 2);
    CHECK(memcmp(b, "bc", 2) == 0);
    CHECK_EQ(recv(s[0], b, 2, MSG_PEEK), 2);
    CHECK(memcmp(b, "de", 2) == 0);
    CHECK_EQ(recv(s[0], b, 3, 0), 3);
    CHECK(memcmp(b, "abc", 3) == 0);
    CHECK_EQ(getopt_int(s[0], SOL_SOCKET, SO_PEEK_OFF), 2);
    close(s[0]);
    close(s[1]);
}

static void *write_much(void *arg)
{
    int fd = *(int *)arg;
    char *big = malloc(3 << 20);
    for (size_t i = 0; i < 3 << 20; i++)
        big[i] = (char)(i * 7 + (i >> 12));
    ssize_t n = write(fd, big, 3 << 20);
    free(big);
    return (void *)n;
}

TEST(bulk_integrity)
{
    int s[2];
    pthread_t th;
    void *r;
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0);
    CHECK(pthread_create(&th, NULL, write_much, &s[1]) == 0);
    size_t at = 0;
    static char b[50000];
    while (at < 3 << 20) {
        ssize_t n = read(s[0], b, at % 50000 + 1);
        CHECK(n > 0);
        for (ssize_t i = 0; i < n; i++, at++)
            CHECK(b[i] == (char)(at * 7 + (at >> 12)));
    }
    pthread_join(th, &r);
    CHECK_EQ((long)r, 3 << 20);
    close(s[0]);
    close(s[1]);
}

TEST(mmsg)
{
    int s[2];
    CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, s) == 0);
    struct mmsghdr m[3];
    struct iovec iov[3];
    char b[3][8] = {"a", "bb", "ccc"}, r[4][8];
    memset(m, 0, sizeof(m));
    for (int i = 0; i < 3; i++) {
        iov[i] = (struct iovec){b[i], (size_t)i + 1};
        m[i].msg_hdr.msg_iov = &iov[i];
        m[i].msg_hdr.msg_iovlen = 1;
    }
    CHECK_EQ(sendmmsg(s[0], m, 3, 0), 3);
    CHECK_EQ(m[2].msg_len, 3);
    struct mmsghdr q[4];
    struct iovec qv[4];
    memset(q, 0, sizeof(q));
    for (int i = 0; i < 4; i++) {
        qv[i] = (struct iovec){r[i], 8};
        q[i].msg_hdr.msg_iov = &qv[i];
        q[i].msg_hdr.msg_iovlen = 1;
    }
    CHECK_EQ(recvmmsg(s[1], q, 4, MSG_WAITFORONE, NULL), 3);
    CHECK_EQ(q[1].msg_len, 2);
    CHECK_ERR(recvmmsg(s[1], q, 4, MSG_DONTWAIT, NULL), EAGAIN);
    close(s[0]);
    close(s[1]);
}

static void on_alarm(int sig)
{
}

TEST(interrupted)
{
    int s[2];
    char b[4];
    struct sigaction sa = {.sa_handler = on_alarm};
    struct itimerval it = {.it_value = {0, 40000}};
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0);
    CHECK(sigaction(SIGALRM, &sa, NULL) == 0);
    CHECK(setitimer(ITIMER_REAL, &it, NULL) == 0);
    CHECK_ERR(read(s[0], b, 4), EINTR);
    /* SA_RESTART restarts, but not with a timeout set */
    sa.sa_flags = SA_RESTART;
    CHECK(sigaction(SIGALRM, &sa, NULL) == 0);
    struct timeval tv = {5, 0};
    CHECK(setsockopt(s[0], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)) == 0);
    CHECK(setitimer(ITIMER_REAL, &it, NULL) == 0);
    CHECK_ERR(read(s[0], b, 4), EINTR);
    close(s[0]);
    close(s[1]);
}
