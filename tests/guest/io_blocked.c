/*
 * Reads that have to wait, on a pipe, a UNIX stream and a TCP connection: whoever brings the bytes,
 * signals, time limits and other readers meet in every order, and no byte is lost or read twice.
 */
#include <netinet/in.h>
#include <stdatomic.h>
#include <sys/socket.h>

#include "io_common.h"

#define ITEMS 400

static void make_pipe(int p[2])
{
    CHECK_EQ(pipe(p), 0);
}

static void make_unix(int p[2])
{
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, p), 0);
}

static void make_tcp(int p[2])
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(a);
    int l = socket(AF_INET, SOCK_STREAM, 0);
    p[1] = socket(AF_INET, SOCK_STREAM, 0);
    CHECK_EQ(bind(l, (struct sockaddr *)&a, len), 0);
    CHECK_EQ(listen(l, 1), 0);
    CHECK_EQ(getsockname(l, (struct sockaddr *)&a, &len), 0);
    CHECK_EQ(connect(p[1], (struct sockaddr *)&a, len), 0);
    p[0] = accept(l, NULL, NULL);
    CHECK(p[0] >= 0);
    close(l);
}

/* Reads from p[0], writes to p[1]. */
static void (*const makers[])(int p[2]) = {make_pipe, make_unix, make_tcp};
#define NKINDS (sizeof(makers) / sizeof(makers[0]))

struct reader {
    int fd;
    pthread_t th;
    _Atomic int is_over;
    long n, sum, nbad; /* items read, their sum, those out of order */
    int err;
};

/* Items of four bytes until the end of file; EINTR and EAGAIN mean again. */
static void *read_items(void *arg)
{
    struct reader *r = arg;
    int v, last = -1;
    for (;;) {
        ssize_t n = read(r->fd, &v, sizeof(v));
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (n != sizeof(v)) {
            r->err = n == 0 ? 0 : n < 0 ? errno : -1;
            break;
        }
        r->nbad += v <= last;
        last = v;
        r->sum += v;
        r->n++;
    }
    atomic_store(&r->is_over, 1);
    return NULL;
}

static void write_items(int fd)
{
    for (int i = 0; i < ITEMS; i++)
        CHECK_EQ(write(fd, &i, sizeof(i)), sizeof(i));
    close(fd);
}

static void *disturb(void *arg)
{
    struct reader *r = arg;
    while (!atomic_load(&r->is_over)) {
        pthread_kill(r->th, SIGUSR1); /* joined only after this thread */
        sched_yield();
    }
    return NULL;
}

static void check_items(const struct reader *r)
{
    CHECK_EQ(r->err, 0);
    CHECK_EQ(r->n, ITEMS);
    CHECK_EQ(r->nbad, 0);
    CHECK_EQ(r->sum, (long)ITEMS * (ITEMS - 1) / 2);
}

static void with_signals(int flags)
{
    catch_signal(SIGUSR1, flags);
    for (size_t k = 0; k < NKINDS; k++) {
        int p[2];
        pthread_t th;
        makers[k](p);
        struct reader r = {.fd = p[0]};
        CHECK_EQ(pthread_create(&r.th, NULL, read_items, &r), 0);
        CHECK_EQ(pthread_create(&th, NULL, disturb, &r), 0);
        write_items(p[1]);
        pthread_join(th, NULL);
        pthread_join(r.th, NULL);
        check_items(&r);
        close(p[0]);
    }
    signal(SIGUSR1, SIG_DFL);
}

TEST(signals_lose_no_bytes)
{
    with_signals(0);
}

TEST(restarted_reads_lose_no_bytes)
{
    with_signals(SA_RESTART);
}

TEST(time_limits_lose_no_bytes)
{
    for (size_t k = 1; k < NKINDS; k++) {
        int p[2];
        struct timeval tv = {0, 1};
        makers[k](p);
        CHECK_EQ(setsockopt(p[0], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)), 0);
        struct reader r = {.fd = p[0]};
        CHECK_EQ(pthread_create(&r.th, NULL, read_items, &r), 0);
        write_items(p[1]);
        pthread_join(r.th, NULL);
        check_items(&r);
        close(p[0]);
    }
}

TEST(each_item_has_one_reader)
{
    for (size_t k = 0; k < NKINDS; k++) {
        int p[2];
        struct reader r[3];
        long n = 0, sum = 0;
        makers[k](p);
        for (int i = 0; i < 3; i++) {
            r[i] = (struct reader){.fd = p[0]};
            CHECK_EQ(pthread_create(&r[i].th, NULL, read_items, &r[i]), 0);
        }
        write_items(p[1]);
        for (int i = 0; i < 3; i++) {
            pthread_join(r[i].th, NULL);
            CHECK_EQ(r[i].err, 0);
            CHECK_EQ(r[i].nbad, 0);
            n += r[i].n;
            sum += r[i].sum;
        }
        CHECK_EQ(n, ITEMS);
        CHECK_EQ(sum, (long)ITEMS * (ITEMS - 1) / 2);
        close(p[0]);
    }
}

/* A child that has just been given its bytes, or is about to be, is killed: that is how it ends. */
TEST(killed_while_bytes_come)
{
    for (int i = 0; i < 30; i++) {
        int p[2], status;
        char c;
        makers[(size_t)i % NKINDS](p);
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            close(p[1]);
            for (;;)
                if (read(p[0], &c, 1) != 1)
                    pause();
        }
        CHECK_EQ(write(p[1], "ab", 1 + i % 2), 1 + i % 2);
        CHECK_EQ(kill(pid, SIGKILL), 0);
        CHECK_EQ(waitpid(pid, &status, 0), pid);
        CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        close(p[0]);
        close(p[1]);
    }
}

struct big {
    int fd;
    char *to;
    size_t size;
    ssize_t got;
    int err;
};

static void *read_big(void *arg)
{
    struct big *b = arg;
    b->got = read(b->fd, b->to, b->size);
    b->err = errno;
    return NULL;
}

/* Buffers of all sizes, also not aligned and across pages. */
TEST(bytes_arrive_in_big_buffers)
{
    static const size_t sizes[] = {1, 4095, 4096, 4097, 16384, 16385, 40000};
    static char from[40000], to[40000 + 16];
    for (size_t i = 0; i < sizeof(from); i++)
        from[i] = (char)(i * 7);
    for (size_t k = 0; k < NKINDS; k++) {
        for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
            int p[2];
            pthread_t th;
            makers[k](p);
            memset(to, 0, sizeof(to));
            struct big b = {.fd = p[0], .to = to + 3, .size = sizes[s]};
            CHECK_EQ(pthread_create(&th, NULL, read_big, &b), 0);
            CHECK_EQ(write(p[1], from, sizes[s]), (ssize_t)sizes[s]);
            pthread_join(th, NULL);
            CHECK(b.got > 0);
            while ((size_t)b.got < sizes[s]) {
                ssize_t n = read(p[0], to + 3 + b.got, sizes[s] - (size_t)b.got);
                CHECK(n > 0);
                b.got += n;
            }
            CHECK(!memcmp(to + 3, from, sizes[s]));
            CHECK_EQ(to[3 + sizes[s]], 0);
            close(p[0]);
            close(p[1]);
        }
    }
}

/* The fault is the reader's, whoever copies; what it did not take is there for the next. */
TEST(fault_while_bytes_come)
{
    for (size_t k = 0; k < NKINDS; k++) {
        for (int i = 0; i < 5; i++) {
            int p[2];
            pthread_t th;
            char c = 0;
            makers[k](p);
            struct big b = {.fd = p[0], .to = bad_ptr(), .size = 8};
            CHECK_EQ(pthread_create(&th, NULL, read_big, &b), 0);
            CHECK_EQ(write(p[1], "x", 1), 1);
            pthread_join(th, NULL);
            CHECK_EQ(b.got, -1);
            CHECK_EQ(b.err, EFAULT);
            CHECK_EQ(read(p[0], &c, 1), 1);
            CHECK_EQ(c, 'x');
            close(p[0]);
            close(p[1]);
        }
    }
}

static _Atomic int is_told;

static void *tell(void *arg)
{
    const int *p = arg;
    char c;
    long ngood = read(p[0], &c, 1) == 1;
    atomic_store(&is_told, 1);
    /* A call at once after the answered one, and the next wait. */
    ngood += write(p[1], &c, 1) == 1;
    ngood += read(p[0], &c, 1) == 0;
    return (void *)ngood;
}

/* Process and thread calls of the others while one is being answered. */
TEST(forks_while_bytes_come)
{
    for (int i = 0; i < 20; i++) {
        int a[2], b[2], status;
        pthread_t th;
        char c;
        makers[(size_t)i % NKINDS](a);
        makers[(size_t)i % NKINDS](b);
        int ends[2] = {a[0], b[1]};
        atomic_store(&is_told, 0);
        CHECK_EQ(pthread_create(&th, NULL, tell, ends), 0);
        CHECK_EQ(write(a[1], "x", 1), 1);
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0)
            _exit(0);
        CHECK_EQ(read(b[0], &c, 1), 1);
        CHECK_EQ(c, 'x');
        CHECK_EQ(atomic_load(&is_told), 1);
        close(a[1]);
        void *ngood;
        pthread_join(th, &ngood);
        CHECK_EQ((long)ngood, 3);
        CHECK_EQ(waitpid(pid, &status, 0), pid);
        CHECK_EQ(status, 0);
        close(a[0]);
        close(b[0]);
        close(b[1]);
    }
}
