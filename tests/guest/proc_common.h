/* What the tests of processes and signals share: children that check things for themselves. */
#ifndef PROC_COMMON_H
#define PROC_COMMON_H

#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "test.h"

/* In a child: says what failed and ends it. */
#define EXPECT(cond)                                                                               \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            dprintf(2, "%s:%d: child: %s (errno %d)\n", __FILE__, __LINE__, #cond, errno);         \
            _exit(99);                                                                             \
        }                                                                                          \
    } while (0)

typedef void (*child_fn)(void *arg);

__attribute__((unused)) static pid_t spawn(child_fn fn, void *arg)
{
    pid_t pid = fork();
    if (pid == 0) {
        fn(arg);
        _exit(0);
    }
    return pid;
}

__attribute__((unused)) static int wait_status(pid_t pid)
{
    int st = -1;
    while (waitpid(pid, &st, 0) < 0 && errno == EINTR)
        ;
    return st;
}

/* Runs fn in a child; its wait status. */
__attribute__((unused)) static int run_child(child_fn fn, void *arg)
{
    pid_t pid = spawn(fn, arg);
    return pid < 0 ? -1 : wait_status(pid);
}

__attribute__((unused)) static void sleep_ms(int ms)
{
    struct timespec ts = {ms / 1000, (ms % 1000) * 1000000L};
    while (nanosleep(&ts, &ts) < 0 && errno == EINTR)
        ;
}

__attribute__((unused)) static long now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* A pipe as a gate: one side waits until the other opens it (or dies). */
struct gate {
    int fd[2];
};
__attribute__((unused)) static void gate_init(struct gate *g)
{
    if (pipe(g->fd) < 0)
        abort();
}
__attribute__((unused)) static void gate_open(struct gate *g)
{
    if (write(g->fd[1], "x", 1) != 1)
        abort();
}
__attribute__((unused)) static int gate_wait(struct gate *g)
{
    char c;
    ssize_t r;
    do
        r = read(g->fd[0], &c, 1);
    while (r < 0 && errno == EINTR);
    return r == 1;
}
__attribute__((unused)) static void gate_done(struct gate *g)
{
    close(g->fd[0]);
    close(g->fd[1]);
}

#endif
