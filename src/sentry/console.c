/*
 * The console: a pseudoterminal of the sandbox whose master is bridged to the
 * host descriptors 0 and 1 by two threads. The command has put the host's
 * terminal into raw mode, so the line discipline that the application meets is
 * the sandbox's own: ^C becomes its SIGINT, and tty(1) names /dev/pts/0.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <unistd.h>

#include "base/log.h"
#include "fs/devpts.h"
#include "sentry/sentry.h"

#define CHUNK 4096

static struct file *master;
static _Atomic bool is_output_done;
static struct waitq output_wait;

int console_open(u32 rows, u32 cols, struct file **ret_slave)
{
    waitq_init(&output_wait);
    int r = devpts_open_pair(&master, ret_slave);
    if (r < 0)
        return r;
    if (rows && cols)
        devpts_set_size(master, rows, cols);
    return 0;
}

void console_resize(u32 rows, u32 cols)
{
    if (master)
        devpts_set_size(master, rows, cols);
}

static void *input_main(void *arg)
{
    char buf[CHUNK];
    for (;;) {
        ssize_t n = read(STDIN_FILENO, buf, sizeof(buf));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN) {
            struct pollfd p = {STDIN_FILENO, POLLIN, 0};
            poll(&p, 1, -1);
            continue;
        }
        if (n <= 0)
            return arg;
        for (ssize_t done = 0; done < n;) {
            struct uio from;
            uio_init_kernel(&from, buf + done, (u64)(n - done));
            s64 m = vfs_write(master, &from, NULL);
            if (m <= 0)
                return arg;
            done += m;
        }
    }
}

static void *output_main(void *arg)
{
    char buf[CHUNK];
    for (;;) {
        struct uio to;
        uio_init_kernel(&to, buf, sizeof(buf));
        s64 n = vfs_read(master, &to, NULL);
        if (n <= 0)
            break; /* every open terminal side is gone */
        for (s64 done = 0; done < n;) {
            ssize_t m = write(STDOUT_FILENO, buf + done, (size_t)(n - done));
            if (m < 0 && errno == EINTR)
                continue;
            if (m < 0 && errno == EAGAIN) {
                struct pollfd p = {STDOUT_FILENO, POLLOUT, 0};
                poll(&p, 1, -1);
                continue;
            }
            if (m <= 0)
                break;
            done += m;
        }
    }
    atomic_store(&is_output_done, true);
    waitq_wake(&output_wait, WAIT_IN);
    return arg;
}

void console_start(void)
{
    pthread_t th;
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 128 * 1024);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    if (pthread_create(&th, &attr, input_main, NULL) || pthread_create(&th, &attr, output_main, NULL))
        panic("cannot start the console's threads");
    pthread_attr_destroy(&attr);
}

void console_drain(void)
{
    if (!master)
        return;
    /* Processes that outlive the first one may keep the terminal open: do not wait for them. */
    (void)wait_event_interruptible(&output_wait, WAIT_IN, atomic_load(&is_output_done),
                                   deadline_after_ns(500 * NSEC_PER_MSEC));
}
