/* Hooks; see hooks.h. */
#include "oci/hooks.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TAIL_MAX 300 /* bytes of a failing hook's output that the error repeats */

static s64 now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (s64)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* A file in memory with the state, for any number of readers to begin at its start. */
static int state_file(const char *state, struct err *e)
{
    size_t size = strlen(state);
    int fd = memfd_create("state", MFD_CLOEXEC);
    if (fd < 0 || pwrite(fd, state, size, 0) != (ssize_t)size) {
        err_errno(e, "cannot hand over the container's state");
        if (fd >= 0)
            close(fd);
        return -1;
    }
    return fd;
}

static int start(const struct oci_hook *h, int in, int out, pid_t *ret_pid)
{
    char *no_args[] = {h->path, NULL}, *no_env[] = {NULL};
    posix_spawn_file_actions_t fa;
    posix_spawnattr_t at;
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&fa);
    posix_spawnattr_init(&at);
    int r = posix_spawn_file_actions_adddup2(&fa, in, 0);
    if (!r)
        r = posix_spawn_file_actions_adddup2(&fa, out, 1);
    if (!r)
        r = posix_spawn_file_actions_adddup2(&fa, out, 2);
    if (!r)
        r = posix_spawn_file_actions_addclosefrom_np(&fa, 3);
    if (!r)
        r = posix_spawnattr_setflags(&at, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK |
                                              POSIX_SPAWN_SETSIGDEF);
    if (!r)
        r = posix_spawnattr_setsigmask(&at, &none);
    if (!r)
        r = posix_spawnattr_setsigdefault(&at, &all);
    if (!r)
        r = posix_spawn(ret_pid, h->path, &fa, &at, h->args.n ? h->args.v : no_args,
                        h->env.n ? h->env.v : no_env);
    posix_spawn_file_actions_destroy(&fa);
    posix_spawnattr_destroy(&at);
    errno = r;
    return r ? -1 : 0;
}

/* 0: *ret_status is its wait status; -1: it took too long and is no more. */
static int wait_for(pid_t pid, const struct oci_opt *timeout_s, int *ret_status)
{
    s64 deadline = timeout_s->is_set ? now_ms() + timeout_s->v * 1000 : 0;
    int pidfd = timeout_s->is_set ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
    bool is_late = false;
    while (pidfd >= 0) {
        s64 left = deadline - now_ms();
        struct pollfd p = {pidfd, POLLIN, 0};
        int n = poll(&p, 1, (int)MAX(MIN(left, (s64)INT32_MAX), (s64)0));
        if (n < 0 && errno == EINTR)
            continue;
        is_late = n == 0;
        break;
    }
    if (pidfd >= 0)
        close(pidfd);
    if (is_late)
        kill(-pid, SIGKILL); /* it leads a session of its own */
    while (waitpid(pid, ret_status, 0) < 0 && errno == EINTR)
        ;
    return is_late ? -1 : 0;
}

/* The end of what it wrote, on one line. */
static void read_tail(int fd, char *buf, size_t size)
{
    off_t end = lseek(fd, 0, SEEK_END);
    off_t from = end > (off_t)size - 1 ? end - (off_t)size + 1 : 0;
    ssize_t n = pread(fd, buf, size - 1, from);
    n = n < 0 ? 0 : n;
    while (n > 0 && (buf[n - 1] == '\n' || buf[n - 1] == ' '))
        n--;
    buf[n] = 0;
    for (char *p = buf; *p; p++)
        if ((unsigned char)*p < ' ')
            *p = ' ';
}

static int run_one(const struct oci_hook *h, const char *what, const char *state, struct err *e)
{
    char tail[TAIL_MAX];
    pid_t pid;
    int status = 0, r = 0;
    int in = state_file(state, e);
    if (in < 0)
        return -1;
    int out = memfd_create("output", MFD_CLOEXEC);
    if (out < 0) {
        close(in);
        return err_errno(e, "cannot run the %s hook '%s'", what, h->path);
    }
    (void)fcntl(out, F_SETFL, O_APPEND); /* its two descriptors are one file anyway */
    if (start(h, in, out, &pid) < 0) {
        r = err_errno(e, "cannot run the %s hook '%s'", what, h->path);
    } else if (wait_for(pid, &h->timeout_s, &status) < 0) {
        r = err_set(e,
                    "the %s hook '%s' took longer than its timeout of %lld seconds and was killed",
                    what, h->path, (long long)h->timeout_s.v);
    } else if (status != 0) {
        read_tail(out, tail, sizeof(tail));
        r = WIFSIGNALED(status) ? err_set(e, "the %s hook '%s' was ended by signal %d%s%s", what,
                                          h->path, WTERMSIG(status), *tail ? ": " : "", tail)
                                : err_set(e, "the %s hook '%s' failed with status %d%s%s", what,
                                          h->path, WEXITSTATUS(status), *tail ? ": " : "", tail);
    }
    close(in);
    close(out);
    return r;
}

int oci_hooks_run(const struct oci_hooks *hooks, enum oci_hook_kind kind, const char *state,
                  struct err *e)
{
    for (u32 i = 0; i < hooks->n; i++)
        if (run_one(&hooks->v[i], oci_hook_names[kind], state, e) < 0)
            return -1;
    return 0;
}

void oci_hooks_run_all(const struct oci_hooks *hooks, enum oci_hook_kind kind, const char *state,
                       void (*complain)(const char *text, void *arg), void *arg)
{
    for (u32 i = 0; i < hooks->n; i++) {
        struct err e = {0};
        if (run_one(&hooks->v[i], oci_hook_names[kind], state, &e) < 0)
            complain(e.msg, arg);
    }
}

void oci_hook_process(const struct oci_hook *hook, struct oci_process *ret_p, char *args_if_none[2])
{
    static char root[] = "/";
    args_if_none[0] = hook->path;
    args_if_none[1] = NULL;
    *ret_p = (struct oci_process){
        .args = hook->args.n ? hook->args : (struct oci_strs){args_if_none, 1},
        .env = hook->env,
        .cwd = root,
    };
}
