/* Linux AIO: contexts, reads and writes, polls, eventfds, what is refused. */
#include <linux/aio_abi.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/uio.h>

#include "proc_common.h"

static int setup(unsigned n, aio_context_t *c)
{
    return (int)syscall(SYS_io_setup, n, c);
}
static int destroy(aio_context_t c)
{
    return (int)syscall(SYS_io_destroy, c);
}
static long submit(aio_context_t c, long n, struct iocb **v)
{
    return syscall(SYS_io_submit, c, n, v);
}
static long events(aio_context_t c, long min, long max, struct io_event *ev, struct timespec *ts)
{
    return syscall(SYS_io_getevents, c, min, max, ev, ts);
}
static long cancel(aio_context_t c, struct iocb *cb, struct io_event *ev)
{
    return syscall(SYS_io_cancel, c, cb, ev);
}

static struct iocb request(int op, int fd, void *buf, size_t n, long long off)
{
    struct iocb cb = {.aio_lio_opcode = (unsigned short)op, .aio_fildes = (unsigned)fd};
    cb.aio_buf = (uintptr_t)buf;
    cb.aio_nbytes = n;
    cb.aio_offset = off;
    cb.aio_data = 0x1234;
    return cb;
}

static int temp_file(void)
{
    char name[] = "/tmp/aio-XXXXXX";
    int fd = mkstemp(name);
    if (fd >= 0)
        unlink(name);
    return fd;
}

TEST(contexts)
{
    aio_context_t c = 0, bad = 1;
    CHECK_ERR(setup(0, &c), EINVAL);
    CHECK_ERR(setup(1, &bad), EINVAL);
    CHECK_ERR(setup(1, NULL), EFAULT);
    CHECK_ERR(setup(0x10000000, &c), EINVAL);
    CHECK_ERR(setup(0x1000000 / 4, &c), EAGAIN);
    CHECK_EQ(setup(16, &c), 0);
    CHECK(c != 0);
    CHECK_EQ(destroy(c), 0);
    CHECK_ERR(destroy(c), EINVAL);
    CHECK_ERR(destroy(0x1000), EINVAL);
    CHECK_ERR(submit(c, 0, NULL), EINVAL);
    CHECK_ERR(events(c, 0, 0, NULL, NULL), EINVAL);
}

TEST(write_and_read)
{
    aio_context_t c = 0;
    struct io_event ev[4];
    char in[8] = "", text[] = "abcdefg";
    int fd = temp_file();
    CHECK_EQ(setup(8, &c), 0);
    struct iocb w = request(IOCB_CMD_PWRITE, fd, text, 7, 3), *v[4] = {&w};
    CHECK_EQ(submit(c, 0, v), 0);
    CHECK_EQ(submit(c, 1, v), 1);
    CHECK_EQ(events(c, 1, 4, ev, NULL), 1);
    CHECK_EQ(ev[0].data, 0x1234);
    CHECK_EQ(ev[0].obj, (uintptr_t)&w);
    CHECK_EQ(ev[0].res, 7);
    CHECK_EQ(ev[0].res2, 0);
    struct iovec iov[2] = {{in, 2}, {in + 2, 5}};
    struct iocb r = request(IOCB_CMD_PREADV, fd, iov, 2, 3),
                s = request(IOCB_CMD_FSYNC, fd, NULL, 0, 0);
    struct iocb beyond = request(IOCB_CMD_PREAD, fd, in, 8, 100);
    v[0] = &r, v[1] = &s, v[2] = &beyond;
    CHECK_EQ(submit(c, 3, v), 3);
    long n = 0;
    while (n < 3) {
        long k = events(c, 1, 3 - n, ev + n, NULL);
        CHECK(k > 0);
        n += k;
    }
    for (int i = 0; i < 3; i++)
        CHECK_EQ(ev[i].res, ev[i].obj == (uintptr_t)&r ? 7 : 0);
    CHECK_STR(in, "abcdefg");
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 0);
    struct timespec zero = {0, 0}, some = {0, 20000000};
    CHECK_EQ(events(c, 1, 4, ev, &zero), 0);
    long before = now_ms();
    CHECK_EQ(events(c, 1, 4, ev, &some), 0);
    CHECK(now_ms() - before >= 19);
    CHECK_EQ(events(c, 0, 4, ev, NULL), 0);
    CHECK_ERR(events(c, 2, 1, ev, NULL), EINVAL);
    CHECK_ERR(events(c, -1, 1, ev, NULL), EINVAL);
    CHECK_EQ(destroy(c), 0);
    close(fd);
}

TEST(what_is_refused)
{
    aio_context_t c = 0;
    struct io_event ev[4];
    char buf[8] = "";
    int fd = temp_file(), p[2];
    CHECK_EQ(pipe(p), 0);
    CHECK_EQ(setup(2, &c), 0);
    struct iocb cb = request(IOCB_CMD_PREAD, 9999, buf, 8, 0), *v[4] = {&cb};
    CHECK_ERR(submit(c, 1, v), EBADF);
    CHECK_ERR(submit(c, -1, v), EINVAL);
    CHECK_ERR(submit(c, 1, NULL), EFAULT);
    v[0] = (void *)8;
    CHECK_ERR(submit(c, 1, v), EFAULT);
    v[0] = &cb;
    cb = request(IOCB_CMD_NOOP, fd, buf, 8, 0);
    CHECK_ERR(submit(c, 1, v), EINVAL);
    cb = request(99, fd, buf, 8, 0);
    CHECK_ERR(submit(c, 1, v), EINVAL);
    cb = request(IOCB_CMD_PREAD, fd, buf, 8, -1);
    CHECK_ERR(submit(c, 1, v), EINVAL);
    cb = request(IOCB_CMD_PREAD, fd, buf, (size_t)-1, 0);
    CHECK_ERR(submit(c, 1, v), EINVAL);
    cb = request(IOCB_CMD_PREAD, p[1], buf, 8, 0);
    CHECK_ERR(submit(c, 1, v), EBADF);
    cb = request(IOCB_CMD_FSYNC, fd, buf, 0, 0);
    CHECK_ERR(submit(c, 1, v), EINVAL);
    cb = request(IOCB_CMD_PREAD, fd, buf, 8, 0);
    cb.aio_flags = IOCB_FLAG_RESFD;
    cb.aio_resfd = (unsigned)fd;
    CHECK_ERR(submit(c, 1, v), EINVAL);
    cb.aio_resfd = 9999;
    CHECK_ERR(submit(c, 1, v), EBADF);
    cb = request(IOCB_CMD_PREAD, fd, buf, 8, 0);
    cb.aio_reserved2 = 1;
    CHECK_ERR(submit(c, 1, v), EINVAL);
    cb = request(IOCB_CMD_PREAD, fd, buf, 8, 0);
    cb.aio_rw_flags = 0x4000;
    CHECK_ERR(submit(c, 1, v), EOPNOTSUPP);
    /* the good ones before a bad one count */
    struct iocb good = request(IOCB_CMD_PWRITE, fd, buf, 8, 0);
    cb = request(IOCB_CMD_PREAD, 9999, buf, 8, 0);
    v[0] = &good, v[1] = &cb;
    CHECK_EQ(submit(c, 2, v), 1);
    CHECK_EQ(events(c, 1, 4, ev, NULL), 1);
    /* a bad buffer is the request's result */
    cb = request(IOCB_CMD_PREAD, fd, (void *)8, 8, 0);
    v[0] = &cb;
    CHECK_EQ(submit(c, 1, v), 1);
    CHECK_ERR(events(c, 1, 4, (void *)8, NULL), EFAULT);
    CHECK_EQ(events(c, 1, 4, ev, NULL), 1);
    CHECK_EQ(ev[0].res, -EFAULT);
    CHECK_EQ(destroy(c), 0);
    close(fd), close(p[0]), close(p[1]);
}

TEST(polls_complete_when_ready)
{
    aio_context_t c = 0;
    struct io_event ev[4];
    int p[2], e = eventfd(0, 0);
    uint64_t n = 0;
    CHECK_EQ(pipe(p), 0);
    CHECK_EQ(setup(8, &c), 0);
    struct iocb cb = request(IOCB_CMD_POLL, p[0], (void *)(uintptr_t)POLLIN, 0, 0), *v[1] = {&cb};
    cb.aio_flags = IOCB_FLAG_RESFD;
    cb.aio_resfd = (unsigned)e;
    CHECK_EQ(submit(c, 1, v), 1);
    struct timespec zero = {0, 0};
    CHECK_EQ(events(c, 1, 4, ev, &zero), 0);
    CHECK_EQ(write(p[1], "x", 1), 1);
    CHECK_EQ(events(c, 1, 4, ev, NULL), 1);
    CHECK(ev[0].res & POLLIN); /* with what else the waker names */
    CHECK_EQ(read(e, &n, 8), 8);
    CHECK_EQ(n, 1);
    /* ready at once */
    CHECK_EQ(submit(c, 1, v), 1);
    CHECK_EQ(events(c, 1, 4, ev, NULL), 1);
    CHECK_EQ(ev[0].res, POLLIN);
    /* the end of the other side */
    char byte;
    CHECK_EQ(read(p[0], &byte, 1), 1);
    CHECK_EQ(submit(c, 1, v), 1);
    close(p[1]);
    CHECK_EQ(events(c, 1, 4, ev, NULL), 1);
    CHECK_EQ(ev[0].res, POLLHUP);
    cb = request(IOCB_CMD_POLL, p[0], (void *)(uintptr_t)POLLIN, 1, 0);
    CHECK_ERR(submit(c, 1, v), EINVAL);
    CHECK_EQ(destroy(c), 0);
    close(p[0]), close(e);
}

TEST(polls_are_cancelled)
{
    aio_context_t c = 0;
    struct io_event ev[4];
    int p[2];
    CHECK_EQ(pipe(p), 0);
    CHECK_EQ(setup(2, &c), 0);
    struct iocb a = request(IOCB_CMD_POLL, p[0], (void *)(uintptr_t)POLLIN, 0, 0), b = a, d = a;
    struct iocb *v[3] = {&a, &b, &d};
    CHECK_ERR(cancel(c, &a, ev), EINVAL);
    CHECK_EQ(submit(c, 1, v), 1);
    CHECK_ERR(cancel(c, &a, ev), EINPROGRESS);
    CHECK_EQ(events(c, 1, 4, ev, NULL), 1);
    CHECK_EQ(ev[0].obj, (uintptr_t)&a);
    CHECK_EQ(ev[0].res, 0);
    CHECK_ERR(cancel(c, &a, ev), EINVAL);
    CHECK_ERR(cancel(c, (void *)8, ev), EFAULT);
    CHECK_EQ(submit(c, 2, v), 2);
    CHECK_EQ(destroy(c), 0); /* with watches under way */
    CHECK_EQ(write(p[1], "x", 1), 1);
    close(p[0]), close(p[1]);
}

/* Watching one eventfd and counting up another, in a ring. */
TEST(completions_in_a_ring)
{
    aio_context_t c = 0;
    struct io_event ev[8];
    int e[2] = {eventfd(0, 0), eventfd(0, 0)};
    uint64_t one = 1;
    CHECK_EQ(setup(8, &c), 0);
    struct iocb cb[2], *v[2] = {&cb[0], &cb[1]};
    for (int i = 0; i < 2; i++) {
        cb[i] = request(IOCB_CMD_POLL, e[i], (void *)(uintptr_t)POLLIN, 0, 0);
        cb[i].aio_flags = IOCB_FLAG_RESFD;
        cb[i].aio_resfd = (unsigned)e[1 - i];
    }
    CHECK_EQ(submit(c, 2, v), 2);
    CHECK_EQ(write(e[0], &one, 8), 8);
    CHECK_EQ(events(c, 2, 8, ev, NULL), 2);
    CHECK_EQ(destroy(c), 0);
    close(e[0]), close(e[1]);
}

struct ring {
    unsigned id, nr, head, tail, magic, compat, incompat, header_length;
    struct io_event events[];
};

/* As libaio does: without a call. */
static int take_from_ring(volatile struct ring *r, struct io_event *ev)
{
    unsigned head = r->head;
    if (head == __atomic_load_n(&r->tail, __ATOMIC_ACQUIRE))
        return 0;
    memcpy(ev, (void *)&r->events[head], sizeof(*ev));
    __atomic_store_n(&r->head, (head + 1) % r->nr, __ATOMIC_RELEASE);
    return 1;
}

TEST(completions_are_taken_from_the_ring)
{
    aio_context_t c = 0;
    struct io_event ev[8];
    struct timespec zero = {0, 0};
    char text[] = "abc";
    int fd = temp_file();
    CHECK_EQ(setup(4, &c), 0);
    volatile struct ring *r = (struct ring *)(uintptr_t)c;
    CHECK_EQ(r->magic, 0xa10a10a1U);
    CHECK_EQ(r->header_length, sizeof(struct ring));
    CHECK_EQ(r->compat, 1);
    CHECK_EQ(r->incompat, 0);
    CHECK(r->nr >= 4);
    CHECK_EQ(take_from_ring(r, ev), 0);
    struct iocb w = request(IOCB_CMD_PWRITE, fd, text, 3, 0), *v[4] = {&w, &w, &w, &w};
    for (int i = 0; i < 1000; i++) { /* round and round */
        w.aio_data = (unsigned)i;
        CHECK_EQ(submit(c, 1 + i % 3, v), 1 + i % 3);
        for (int k = 0; k < 1 + i % 3; k++) {
            CHECK_EQ(take_from_ring(r, ev), 1);
            CHECK(ev[0].data == (unsigned)i && ev[0].obj == (uintptr_t)&w && ev[0].res == 3);
        }
        CHECK_EQ(take_from_ring(r, ev), 0);
        if (i % 7 == 0)
            CHECK_EQ(events(c, 0, 8, ev, &zero), 0);
    }
    /* Some by oneself, the others by the call. */
    CHECK_EQ(submit(c, 3, v), 3);
    CHECK_EQ(take_from_ring(r, ev), 1);
    CHECK_EQ(events(c, 0, 8, ev, &zero), 2);
    CHECK_EQ(r->head, r->tail);
    CHECK_EQ(submit(c, 2, v), 2);
    CHECK_EQ(events(c, 1, 1, ev, &zero), 1);
    CHECK_EQ(take_from_ring(r, ev), 1);
    CHECK_EQ(events(c, 0, 8, ev, &zero), 0);
    r->tail = 0x7fffffff; /* nonsense is one's own loss */
    r->nr = 0;
    CHECK_EQ(destroy(c), 0);
    close(fd);
}

TEST(the_ring_names_the_context)
{
    aio_context_t c = 0;
    struct io_event ev[4];
    struct timespec zero = {0, 0};
    long page = sysconf(_SC_PAGESIZE);
    char line[512], name[64] = "";
    CHECK_EQ(setup(8, &c), 0);
    FILE *maps = fopen("/proc/self/maps", "r");
    while (fgets(line, sizeof(line), maps))
        if (strtoull(line, NULL, 16) == c)
            sscanf(line, "%*s %*s %*s %*s %*s %63[^\n]", name);
    fclose(maps);
    CHECK_STR(name, "/[aio] (deleted)");
    void *ring = (void *)(uintptr_t)c;
    CHECK(mremap(ring, (size_t)page, (size_t)page * 64, MREMAP_MAYMOVE) == MAP_FAILED);
    CHECK_EQ(errno, EFAULT);
    void *place = mmap(NULL, (size_t)page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    void *moved = mremap(ring, (size_t)page, (size_t)page, MREMAP_MAYMOVE | MREMAP_FIXED, place);
    CHECK(moved == place);
    CHECK_ERR(events(c, 0, 4, ev, &zero), EINVAL);
    CHECK_EQ(events((uintptr_t)moved, 0, 4, ev, &zero), 0);
    pid_t pid = fork();
    if (pid == 0) {
        EXPECT(events((uintptr_t)moved, 0, 4, ev, &zero) == -1 && errno == EINVAL);
        _exit(0);
    }
    CHECK_EQ(wait_status(pid), 0);
    CHECK_EQ(mprotect(moved, (size_t)page, PROT_NONE), 0);
    CHECK_ERR(events((uintptr_t)moved, 0, 4, ev, &zero), EINVAL);
    CHECK_EQ(munmap(moved, (size_t)page), 0);
    CHECK_ERR(events((uintptr_t)moved, 0, 4, ev, &zero), EINVAL);
    CHECK_ERR(destroy((uintptr_t)moved), EINVAL);
}

static void on_alarm(int signo)
{
}

TEST(signals_interrupt)
{
    aio_context_t c = 0;
    struct io_event ev[4];
    struct sigaction sa = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    CHECK_EQ(setup(8, &c), 0);
    sigaction(SIGALRM, &sa, NULL);
    struct itimerval it = {{0, 0}, {0, 20000}};
    setitimer(ITIMER_REAL, &it, NULL);
    CHECK_ERR(events(c, 1, 4, ev, NULL), EINTR);
    CHECK_EQ(destroy(c), 0);
}

static void *destroyer(void *arg)
{
    sleep_ms(30);
    destroy(*(aio_context_t *)arg);
    return NULL;
}

TEST(destroy_wakes_who_waits)
{
    aio_context_t c = 0;
    struct io_event ev[4];
    pthread_t th;
    CHECK_EQ(setup(8, &c), 0);
    CHECK_EQ(pthread_create(&th, NULL, destroyer, &c), 0);
    CHECK_ERR(events(c, 1, 4, ev, NULL), EINVAL);
    CHECK_EQ(pthread_join(th, NULL), 0);
}

/* Watches made, triggered, cancelled and thrown away at once by several threads. */
static aio_context_t shared;
static int noise[2];

static void *watcher(void *arg)
{
    struct io_event ev[4];
    struct timespec zero = {0, 0};
    for (int i = 0; i < 300; i++) {
        struct iocb cb = request(IOCB_CMD_POLL, noise[0], (void *)(uintptr_t)POLLIN, 0, 0);
        struct iocb *v[1] = {&cb};
        (void)!submit(shared, 1, v);
        if (i & 1)
            cancel(shared, &cb, ev);
        events(shared, 0, 4, ev, &zero);
    }
    return NULL;
}

static void *writer(void *arg)
{
    char c;
    for (int i = 0; i < 500; i++) {
        (void)!write(noise[1], "x", 1);
        (void)!read(noise[0], &c, 1);
    }
    return NULL;
}

TEST(watches_race)
{
    pthread_t th[4];
    for (int round = 0; round < 3; round++) {
        shared = 0;
        CHECK_EQ(pipe2(noise, O_NONBLOCK), 0);
        CHECK_EQ(setup(64, &shared), 0);
        for (int i = 0; i < 4; i++)
            CHECK_EQ(pthread_create(&th[i], NULL, i < 3 ? watcher : writer, NULL), 0);
        if (round == 2)
            destroy(shared);
        for (int i = 0; i < 4; i++)
            CHECK_EQ(pthread_join(th[i], NULL), 0);
        if (round == 1)
            CHECK_EQ(destroy(shared), 0);
        close(noise[0]), close(noise[1]);
    }
}
