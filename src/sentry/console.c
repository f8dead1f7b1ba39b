/*
 * Consoles: a pseudoterminal of a container whose master is bridged to a
 * terminal of the host by two threads. Whoever made it has put the host's terminal into
 * raw mode, so the line discipline that the application meets is the
 * container's own: ^C becomes its SIGINT, and tty(1) names /dev/pts/N.
 *
 * The threads and the owner count references; the last of the two threads
 * closes the master, which hangs up whatever still has the terminal open.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/log.h"
#include "fs/devpts.h"
#include "sentry/sentry.h"

#define CHUNK      4096
#define DRAIN_TIME (500 * NSEC_PER_MSEC)

struct console {
    struct ref ref;
    int in, out, stop;
    bool is_own_terminal; /* the host's terminal is for us alone: its end is a hang-up */
    struct mutex lock;
    struct file *master;       /* guarded by lock; NULL once both threads have ended */
    u32 nthreads;              /* guarded by lock */
    struct parker *parkers[2]; /* of the threads, while they run; guarded by lock */
    _Atomic bool is_output_done;
    struct waitq output_wait;
};

static void console_put(struct console *c)
{
    if (!ref_put(&c->ref))
        return;
    if (c->master)
        file_put(c->master); /* was never started */
    close(c->in);
    if (c->out != c->in)
        close(c->out);
    close(c->stop);
    waitq_done(&c->output_wait);
    free(c);
}

int console_new(int in, int out, bool is_own_terminal, u32 rows, u32 cols, struct console **ret_c,
                struct file **ret_slave)
{
    struct console *c = calloc(1, sizeof(*c));
    if (!c)
        return -LX_ENOMEM;
    ref_init(&c->ref);
    mutex_init(&c->lock, "console");
    waitq_init(&c->output_wait);
    c->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int r = c->stop < 0 ? -errno : devpts_open_pair(&c->master, ret_slave);
    if (r < 0) {
        if (c->stop >= 0)
            close(c->stop);
        free(c);
        return r;
    }
    c->in = in;
    c->out = out;
    c->is_own_terminal = is_own_terminal;
    if (rows && cols)
        devpts_set_size(c->master, rows, cols);
    *ret_c = c;
    return 0;
}

void console_resize(struct console *c, u32 rows, u32 cols)
{
    if (!c)
        return;
    MUTEX_GUARD(&c->lock);
    if (c->master && rows && cols)
        devpts_set_size(c->master, rows, cols);
}

/* Until fd is ready for `events`; false: stop. */
static bool await(const struct console *c, int fd, short events)
{
    for (;;) {
        struct pollfd p[] = {{c->stop, POLLIN, 0}, {fd, events, 0}};
        int n = poll(p, 2, -1);
        if (n < 0 && errno != EINTR)
            return false;
        if (n > 0)
            return !p[0].revents;
    }
}

/* Ends both threads' work. */
static void stop(struct console *c)
{
    u64 one = 1;
    if (write(c->stop, &one, sizeof(one)) < 0)
        log_debug("a console was told to stop twice");
    MUTEX_GUARD(&c->lock);
    for (size_t i = 0; i < ARRAY_SIZE(c->parkers); i++)
        if (c->parkers[i])
            parker_interrupt(c->parkers[i]);
}

static void thread_begins(struct console *c, int which)
{
    MUTEX_GUARD(&c->lock);
    c->parkers[which] = parker_self();
}

static void thread_ends(struct console *c, int which)
{
    struct file *master = NULL;
    mutex_lock(&c->lock);
    c->parkers[which] = NULL;
    if (--c->nthreads == 0)
        master = take_ptr(c->master);
    mutex_unlock(&c->lock);
    if (master)
        file_put(master);
    console_put(c);
}

static void *input_main(void *arg)
{
    struct console *c = arg;
    char buf[CHUNK];
    thread_begins(c, 0);
    while (await(c, c->in, POLLIN)) {
        ssize_t n = read(c->in, buf, sizeof(buf));
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (n <= 0) {
            if (c->is_own_terminal)
                stop(c);
            break;
        }
        for (ssize_t done = 0; done < n;) {
            struct uio from;
            uio_init_kernel(&from, buf + done, (u64)(n - done));
            s64 m = vfs_write(c->master, &from, NULL);
            if (m <= 0)
                break;
            done += m;
        }
    }
    thread_ends(c, 0);
    return NULL;
}

static bool put_out(const struct console *c, const char *buf, s64 n)
{
    for (s64 done = 0; done < n;) {
        ssize_t m = write(c->out, buf + done, (size_t)(n - done));
        if (m < 0 && errno == EINTR)
            continue;
        if (m < 0 && errno == EAGAIN) {
            if (!await(c, c->out, POLLOUT))
                return false;
            continue;
        }
        if (m <= 0)
            return false;
        done += m;
    }
    return true;
}

static void *output_main(void *arg)
{
    struct console *c = arg;
    char buf[CHUNK];
    thread_begins(c, 1);
    for (;;) {
        struct uio to;
        uio_init_kernel(&to, buf, sizeof(buf));
        s64 n = vfs_read(c->master, &to, NULL);
        if (n <= 0)
            break; /* every open terminal side is gone, or we are to stop */
        if (!put_out(c, buf, n))
            break;
    }
    atomic_store(&c->is_output_done, true);
    waitq_wake(&c->output_wait, WAIT_IN);
    thread_ends(c, 1);
    return NULL;
}

int console_start(struct console *c)
{
    pthread_t th;
    pthread_attr_t attr;
    void *(*const mains[])(void *) = {output_main, input_main};
    int r = 0;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 128 * 1024);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    mutex_lock(&c->lock);
    for (size_t i = 0; i < ARRAY_SIZE(mains) && r == 0; i++) {
        ref_get(&c->ref);
        c->nthreads++;
        if (pthread_create(&th, &attr, mains[i], c)) {
            c->nthreads--;
            console_put(c); /* not the last: the owner's is left */
            r = -LX_EAGAIN;
        }
    }
    mutex_unlock(&c->lock);
    pthread_attr_destroy(&attr);
    if (r < 0)
        stop(c);
    return r;
}

void console_end(struct console *c)
{
    if (!c)
        return;
    mutex_lock(&c->lock);
    bool is_running = c->nthreads > 0;
    mutex_unlock(&c->lock);
    /* Processes that outlive the first one may keep the terminal open: do not wait for them. */
    if (is_running) {
        (void)wait_event_interruptible(&c->output_wait, WAIT_IN, atomic_load(&c->is_output_done),
                                       deadline_after_ns(DRAIN_TIME));
        stop(c);
    }
    console_put(c);
}
