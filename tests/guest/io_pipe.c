/* Pipes and FIFOs: pipe(7), fifo(7). */
#include <sys/uio.h>

#include "io_common.h"

#ifndef F_SETPIPE_SZ
#define F_SETPIPE_SZ 1031
#define F_GETPIPE_SZ 1032
#endif

TEST(data_and_end_of_file)
{
    int p[2];
    char buf[16];
    CHECK_EQ(pipe(p), 0);
    CHECK_EQ(write(p[1], "hello", 5), 5);
    CHECK_EQ(read(p[0], buf, 2), 2);
    CHECK_EQ(read(p[0], buf + 2, 14), 3);
    CHECK(!memcmp(buf, "hello", 5));
    CHECK_EQ(write(p[1], "", 0), 0);
    close(p[1]);
    CHECK_EQ(read(p[0], buf, 1), 0);
    CHECK_EQ(read(p[0], buf, 0), 0);
    close(p[0]);
}

TEST(broken_pipe_signals)
{
    int p[2];
    CHECK_EQ(pipe(p), 0);
    close(p[0]);
    catch_signal(SIGPIPE, 0);
    CHECK_ERR(write(p[1], "x", 1), EPIPE);
    CHECK_EQ(io_nsignals, 1);
    signal(SIGPIPE, SIG_IGN);
    CHECK_ERR(write(p[1], "x", 1), EPIPE);
    signal(SIGPIPE, SIG_DFL);
    close(p[1]);
}

TEST(wrong_ends_and_flags)
{
    int p[2];
    char c;
    CHECK_EQ(pipe2(p, O_CLOEXEC | O_NONBLOCK), 0);
    CHECK_ERR(read(p[1], &c, 1), EBADF);
    CHECK_ERR(write(p[0], &c, 1), EBADF);
    CHECK_ERR(read(p[0], &c, 1), EAGAIN);
    CHECK_EQ(fcntl(p[0], F_GETFD), FD_CLOEXEC);
    CHECK_EQ(fcntl(p[0], F_GETFL) & (O_ACCMODE | O_NONBLOCK), O_RDONLY | O_NONBLOCK);
    CHECK_EQ(fcntl(p[1], F_GETFL) & (O_ACCMODE | O_NONBLOCK), O_WRONLY | O_NONBLOCK);
    CHECK_ERR(lseek(p[0], 0, SEEK_CUR), ESPIPE);
    CHECK_ERR(pread(p[0], &c, 1, 0), ESPIPE);
    CHECK_ERR(pipe2(p, 0x7), EINVAL);
    CHECK_ERR(pipe(bad_ptr()), EFAULT);
    struct stat st, st2;
    CHECK_EQ(fstat(p[0], &st), 0);
    CHECK_EQ(fstat(p[1], &st2), 0);
    CHECK(S_ISFIFO(st.st_mode));
    CHECK_EQ(st.st_ino, st2.st_ino);
    close(p[0]);
    close(p[1]);
}

TEST(capacity_is_in_pages)
{
    int p[2];
    char page[4096];
    memset(page, 'a', sizeof(page));
    CHECK_EQ(pipe2(p, O_NONBLOCK), 0);
    CHECK_EQ(fcntl(p[0], F_GETPIPE_SZ), 65536);
    for (int i = 0; i < 16; i++)
        CHECK_EQ(write(p[1], page, sizeof(page)), 4096);
    CHECK_ERR(write(p[1], page, 1), EAGAIN);
    CHECK_EQ(poll_of(p[1], POLLOUT), 0);
    CHECK_EQ(read(p[0], page, 4095), 4095);
    CHECK_EQ(poll_of(p[1], POLLOUT), 0); /* no page is free yet */
    CHECK_EQ(read(p[0], page, 1), 1);
    CHECK_EQ(poll_of(p[1], POLLOUT), POLLOUT);
    CHECK_EQ(write(p[1], page, 4096), 4096);
    int n;
    CHECK_EQ(ioctl(p[0], FIONREAD, &n), 0);
    CHECK_EQ(n, 65536);
    close(p[0]);
    close(p[1]);
    /* Single bytes join a page. */
    CHECK_EQ(pipe2(p, O_NONBLOCK), 0);
    int count = 0;
    while (write(p[1], "x", 1) == 1)
        count++;
    CHECK_EQ(count, 65536);
    /* Pieces that do not fit the rest of a page take one each. */
    close(p[0]);
    close(p[1]);
    CHECK_EQ(pipe2(p, O_NONBLOCK), 0);
    count = 0;
    while (write(p[1], page, 3000) == 3000)
        count++;
    CHECK_EQ(count, 16);
    CHECK_ERR(write(p[1], page, 3000), EAGAIN);
    close(p[0]);
    close(p[1]);
}

TEST(atomic_or_partial)
{
    int p[2];
    static char big[100000];
    CHECK_EQ(pipe2(p, O_NONBLOCK), 0);
    CHECK_EQ(write(p[1], big, sizeof(big)), 65536);
    CHECK_EQ(read(p[0], big, 10000), 10000);
    CHECK_EQ(write(p[1], big, 4096), 4096);
    CHECK_EQ(write(p[1], big, 6000), 4096);
    close(p[0]);
    close(p[1]);
}

TEST(set_size)
{
    int p[2];
    static char buf[65536];
    CHECK_EQ(pipe2(p, O_NONBLOCK), 0);
    CHECK_EQ(fcntl(p[0], F_SETPIPE_SZ, 4096), 4096);
    CHECK_EQ(fcntl(p[1], F_GETPIPE_SZ), 4096);
    CHECK_EQ(write(p[1], buf, sizeof(buf)), 4096);
    CHECK_EQ(fcntl(p[0], F_SETPIPE_SZ, 5000), 8192);
    CHECK_EQ(write(p[1], buf, sizeof(buf)), 4096);
    CHECK_ERR(fcntl(p[0], F_SETPIPE_SZ, 4096), EBUSY);
    CHECK_EQ(fcntl(p[0], F_SETPIPE_SZ, 1 << 20), 1 << 20);
    CHECK_EQ(read(p[0], buf, 100), 100);
    CHECK_EQ(fcntl(p[0], F_SETPIPE_SZ, 65536), 65536);
    int n, null = open("/dev/null", O_RDWR);
    CHECK_EQ(ioctl(p[0], FIONREAD, &n), 0);
    CHECK_EQ(n, 8092);
    CHECK_ERR(fcntl(null, F_GETPIPE_SZ), EBADF);
    close(null);
    close(p[0]);
    close(p[1]);
}

TEST(packets)
{
    int p[2];
    char buf[8192] = {0};
    CHECK_EQ(pipe2(p, O_NONBLOCK | O_DIRECT), 0);
    CHECK(fcntl(p[1], F_GETFL) & O_DIRECT);
    CHECK_EQ(write(p[1], "one", 3), 3);
    CHECK_EQ(write(p[1], "three", 5), 5);
    CHECK_EQ(write(p[1], buf, 5000), 5000);
    CHECK_EQ(read(p[0], buf, sizeof(buf)), 3);
    CHECK_EQ(read(p[0], buf, 2), 2); /* the rest of the packet is lost */
    CHECK_EQ(read(p[0], buf, sizeof(buf)), 4096);
    CHECK_EQ(read(p[0], buf, sizeof(buf)), 904);
    CHECK_ERR(read(p[0], buf, sizeof(buf)), EAGAIN);
    close(p[0]);
    close(p[1]);
}

TEST(poll_events)
{
    int p[2];
    CHECK_EQ(pipe(p), 0);
    CHECK_EQ(poll_of(p[0], POLLIN | POLLOUT), 0);
    CHECK_EQ(poll_of(p[1], POLLIN | POLLOUT), POLLOUT);
    CHECK_EQ(write(p[1], "x", 1), 1);
    CHECK_EQ(poll_of(p[0], POLLIN | POLLRDNORM), POLLIN | POLLRDNORM);
    CHECK_EQ(poll_of(p[0], POLLRDNORM), POLLRDNORM);
    close(p[1]);
    CHECK_EQ(poll_of(p[0], POLLIN), POLLIN | POLLHUP);
    char c;
    CHECK_EQ(read(p[0], &c, 1), 1);
    CHECK_EQ(poll_of(p[0], POLLIN), POLLHUP);
    CHECK_EQ(poll_of(p[0], 0), POLLHUP);
    close(p[0]);
    CHECK_EQ(pipe(p), 0);
    close(p[0]);
    CHECK_EQ(poll_of(p[1], POLLOUT), POLLOUT | POLLERR);
    CHECK_EQ(poll_of(p[1], 0), POLLERR);
    close(p[1]);
}

TEST(vectors)
{
    int p[2];
    char a[4] = "abc", b[4] = "def", c[8] = {0};
    struct iovec w[2] = {{a, 3}, {b, 3}}, r[3] = {{c, 1}, {NULL, 0}, {c + 1, 7}};
    CHECK_EQ(pipe(p), 0);
    CHECK_EQ(writev(p[1], w, 2), 6);
    CHECK_EQ(readv(p[0], r, 3), 6);
    CHECK_STR(c, "abcdef");
    close(p[0]);
    close(p[1]);
}

TEST(bad_buffers)
{
    int p[2];
    CHECK_EQ(pipe2(p, O_NONBLOCK), 0);
    CHECK_ERR(write(p[1], bad_ptr(), 10), EFAULT);
    CHECK_EQ(write(p[1], "hello", 5), 5);
    CHECK_ERR(read(p[0], bad_ptr(), 5), EFAULT);
    char buf[8];
    CHECK_EQ(read(p[0], buf, 8), 5);
    close(p[0]);
    close(p[1]);
}

static int stream_fd[2];
static void *stream_writer(void *arg)
{
    unsigned char buf[7777];
    unsigned n = 0;
    for (int i = 0; i < 500; i++) {
        size_t size = (size_t)(i * 31 % 7777) + 1;
        for (size_t j = 0; j < size; j++)
            buf[j] = (unsigned char)(n++ % 251);
        for (size_t done = 0; done < size;) {
            ssize_t w = write(stream_fd[1], buf + done, size - done);
            if (w <= 0)
                return (void *)1;
            done += (size_t)w;
        }
    }
    close(stream_fd[1]);
    return NULL;
}

TEST(stream_keeps_order)
{
    pthread_t t;
    unsigned char buf[5000];
    unsigned n = 0;
    ssize_t r;
    void *ret;
    CHECK_EQ(pipe(stream_fd), 0);
    CHECK_EQ(pthread_create(&t, NULL, stream_writer, NULL), 0);
    while ((r = read(stream_fd[0], buf, (n % 5000) + 1)) > 0) {
        for (ssize_t j = 0; j < r; j++, n++)
            CHECK_EQ(buf[j], n % 251);
    }
    CHECK_EQ(r, 0);
    pthread_join(t, &ret);
    CHECK(ret == NULL);
    close(stream_fd[0]);
}

/* Many readers and writers: every byte arrives once and nobody sleeps for ever. */
enum { NREADERS = 4, NWRITERS = 4, NBYTES = 20000 };
static int crowd_fd[2];
static void *crowd_reader(void *arg)
{
    long *count = arg;
    char buf[100];
    ssize_t r;
    while ((r = read(crowd_fd[0], buf, sizeof(buf))) > 0)
        *count += r;
    return NULL;
}
static void *crowd_writer(void *arg)
{
    for (int i = 0; i < NBYTES / 10; i++)
        if (write(crowd_fd[1], "0123456789", 10) != 10)
            return (void *)1;
    return NULL;
}

TEST(crowd)
{
    pthread_t r[NREADERS], w[NWRITERS];
    long counts[NREADERS] = {0}, sum = 0;
    CHECK_EQ(pipe(crowd_fd), 0);
    for (int i = 0; i < NREADERS; i++)
        pthread_create(&r[i], NULL, crowd_reader, &counts[i]);
    for (int i = 0; i < NWRITERS; i++)
        pthread_create(&w[i], NULL, crowd_writer, NULL);
    for (int i = 0; i < NWRITERS; i++)
        pthread_join(w[i], NULL);
    close(crowd_fd[1]);
    for (int i = 0; i < NREADERS; i++) {
        pthread_join(r[i], NULL);
        sum += counts[i];
    }
    CHECK_EQ(sum, NWRITERS * NBYTES);
    close(crowd_fd[0]);
}

static int intr_fd;
static void *intr_read(void *arg)
{
    char c;
    *(pid_t *)arg = (pid_t)syscall(SYS_gettid);
    errno = 0;
    ssize_t r = read(intr_fd, &c, 1);
    return (void *)(intptr_t)(r < 0 ? -errno : r);
}

TEST(signals_interrupt_or_restart)
{
    int p[2];
    pthread_t t;
    volatile pid_t tid = 0;
    void *ret;
    CHECK_EQ(pipe(p), 0);
    intr_fd = p[0];
    catch_signal(SIGUSR1, 0);
    pthread_create(&t, NULL, intr_read, (void *)(uintptr_t)&tid);
    while (!tid)
        sleep_ms(1);
    wait_asleep(tid);
    pthread_kill(t, SIGUSR1);
    pthread_join(t, &ret);
    CHECK_EQ((intptr_t)ret, -EINTR);
    catch_signal(SIGUSR1, SA_RESTART);
    tid = 0;
    pthread_create(&t, NULL, intr_read, (void *)(uintptr_t)&tid);
    while (!tid)
        sleep_ms(1);
    wait_asleep(tid);
    pthread_kill(t, SIGUSR1);
    while (!io_nsignals)
        sleep_ms(1);
    CHECK_EQ(write(p[1], "x", 1), 1);
    pthread_join(t, &ret);
    CHECK_EQ((intptr_t)ret, 1);
    signal(SIGUSR1, SIG_DFL);
    close(p[0]);
    close(p[1]);
}

TEST(dup_shares_flags_and_ends)
{
    int p[2];
    char c;
    CHECK_EQ(pipe(p), 0);
    int d = dup(p[1]);
    set_nonblock(d, 1);
    CHECK(fcntl(p[1], F_GETFL) & O_NONBLOCK);
    close(p[1]);
    set_nonblock(p[0], 1);
    CHECK_ERR(read(p[0], &c, 1), EAGAIN);
    close(d);
    CHECK_EQ(read(p[0], &c, 1), 0);
    close(p[0]);
}

/* ---- FIFOs ---- */

TEST(fifo_open_rules)
{
    char c;
    unlink("fifo.tmp");
    CHECK_EQ(mkfifo("fifo.tmp", 0600), 0);
    CHECK_ERR(open("fifo.tmp", O_WRONLY | O_NONBLOCK), ENXIO);
    int r = open("fifo.tmp", O_RDONLY | O_NONBLOCK);
    CHECK(r >= 0);
    CHECK_EQ(read(r, &c, 1), 0); /* no writer: end of file */
    CHECK_EQ(poll_of(r, POLLIN), 0); /* but no hang-up before the first one came */
    int w = open("fifo.tmp", O_WRONLY | O_NONBLOCK);
    CHECK(w >= 0);
    CHECK_ERR(read(r, &c, 1), EAGAIN);
    CHECK_EQ(write(w, "x", 1), 1);
    CHECK_EQ(poll_of(r, POLLIN), POLLIN);
    CHECK_EQ(read(r, &c, 1), 1);
    close(w);
    CHECK_EQ(poll_of(r, POLLIN), POLLHUP);
    CHECK_EQ(read(r, &c, 1), 0);
    close(r);
    int rw = open("fifo.tmp", O_RDWR);
    CHECK(rw >= 0);
    CHECK_EQ(write(rw, "y", 1), 1);
    CHECK_EQ(read(rw, &c, 1), 1);
    CHECK_EQ(poll_of(rw, POLLIN | POLLOUT), POLLOUT);
    close(rw);
    /* What was written is gone with the last close. */
    rw = open("fifo.tmp", O_RDWR | O_NONBLOCK);
    CHECK_EQ(write(rw, "z", 1), 1);
    close(rw);
    r = open("fifo.tmp", O_RDONLY | O_NONBLOCK);
    CHECK_EQ(read(r, &c, 1), 0);
    close(r);
    CHECK_EQ(unlink("fifo.tmp"), 0);
}

static void *fifo_writer(void *arg)
{
    int w = open("fifo2.tmp", O_WRONLY);
    if (w < 0 || write(w, "hello", 5) != 5)
        return (void *)1;
    close(w);
    return NULL;
}

TEST(fifo_open_waits_for_partner)
{
    pthread_t t;
    char buf[8];
    void *ret;
    unlink("fifo2.tmp");
    CHECK_EQ(mkfifo("fifo2.tmp", 0600), 0);
    pthread_create(&t, NULL, fifo_writer, NULL);
    int r = open("fifo2.tmp", O_RDONLY);
    CHECK(r >= 0);
    CHECK_EQ(read(r, buf, 8), 5);
    CHECK_EQ(read(r, buf, 8), 0);
    pthread_join(t, &ret);
    CHECK(ret == NULL);
    close(r);
    CHECK_EQ(unlink("fifo2.tmp"), 0);
}

TEST(fifo_open_is_interruptible)
{
    unlink("fifo3.tmp");
    CHECK_EQ(mkfifo("fifo3.tmp", 0600), 0);
    catch_signal(SIGALRM, 0);
    struct itimerspec its = {.it_value = {0, 50000000}};
    timer_t tm;
    struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM};
    CHECK_EQ(timer_create(CLOCK_MONOTONIC, &ev, &tm), 0);
    CHECK_EQ(timer_settime(tm, 0, &its, NULL), 0);
    CHECK_ERR(open("fifo3.tmp", O_RDONLY), EINTR);
    timer_delete(tm);
    signal(SIGALRM, SIG_DFL);
    CHECK_EQ(unlink("fifo3.tmp"), 0);
}

TEST(pipe_through_proc_fd)
{
    int p[2];
    char path[64], c;
    CHECK_EQ(pipe(p), 0);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", p[1]);
    int w = open(path, O_WRONLY);
    CHECK(w >= 0);
    CHECK_EQ(write(w, "q", 1), 1);
    CHECK_EQ(read(p[0], &c, 1), 1);
    char link[64];
    ssize_t n = readlink(path, link, sizeof(link) - 1);
    CHECK(n > 0);
    link[n] = 0;
    CHECK(!strncmp(link, "pipe:[", 6));
    close(w);
    close(p[0]);
    close(p[1]);
}
