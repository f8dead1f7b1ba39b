/* Helpers of the I/O guest tests: time, sleeping threads, signals. */
#ifndef IO_COMMON_H
#define IO_COMMON_H

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "test.h"

#define UNUSED __attribute__((unused))

/* An address where nothing is; not a constant, so that compilers do not argue. */
UNUSED static void *bad_ptr(void)
{
    static void *volatile p = (void *)8;
    return p;
}

UNUSED static double now_s(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec + ts.tv_nsec / 1e9;
}

UNUSED static void sleep_ms(int ms)
{
    struct timespec ts = {ms / 1000, ms % 1000 * 1000000L};
    nanosleep(&ts, NULL);
}

/* The state letter of a thread: waits until it sleeps, so that tests need no guesses about time. */
UNUSED static void wait_asleep(pid_t tid)
{
    char path[64], buf[256];
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)tid);
    for (int i = 0; i < 2000; i++) {
        int fd = open(path, O_RDONLY);
        ssize_t n = fd >= 0 ? read(fd, buf, sizeof(buf) - 1) : -1;
        if (fd >= 0)
            close(fd);
        if (n <= 0) {
            sleep_ms(30); /* no /proc here */
            return;
        }
        buf[n] = 0;
        char *p = strrchr(buf, ')');
        if (p && p[2] == 'S')
            return;
        sleep_ms(1);
    }
}

static volatile sig_atomic_t io_nsignals, io_signo;
UNUSED static void io_on_signal(int signo)
{
    io_nsignals++;
    io_signo = signo;
}

UNUSED static void catch_signal(int signo, int flags)
{
    struct sigaction sa = {.sa_handler = io_on_signal, .sa_flags = flags};
    CHECK_EQ(sigaction(signo, &sa, NULL), 0);
    io_nsignals = 0;
}

/* Runs fn in a child and gives its exit status (255: killed). */
UNUSED static int in_child(void (*fn)(void))
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        test_jmp = NULL; /* a failed CHECK ends the child with 99 */
        fn();
        _exit(0);
    }
    int status;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return 254;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

UNUSED static short poll_of(int fd, short events)
{
    struct pollfd p = {fd, events, 0};
    int r = poll(&p, 1, 0);
    return r < 0 ? -1 : p.revents;
}

UNUSED static void set_nonblock(int fd, int on)
{
    int fl = fcntl(fd, F_GETFL);
    CHECK(fl >= 0);
    CHECK_EQ(fcntl(fd, F_SETFL, on ? fl | O_NONBLOCK : fl & ~O_NONBLOCK), 0);
}

#endif
