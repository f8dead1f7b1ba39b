/* cvisor create, run: a container from a bundle. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/oci.h"
#include "oci/console.h"

struct create_flags {
    struct oci_create c;
    s64 npreserved;
    bool is_kept; /* run: the stopped container stays */
};

static int parse(int argc, char **argv, struct create_flags *f, struct err *e)
{
    const struct flag flags[] = {
        {"bundle", 'b', FLAG_STR, &f->c.bundle},
        {"console-socket", 0, FLAG_STR, &f->c.console_socket},
        {"pid-file", 0, FLAG_STR, &f->c.pid_file},
        {"preserve-fds", 0, FLAG_INT, &f->npreserved},
        {"detach", 'd', FLAG_SWITCH, &f->c.is_detached},
        {"keep", 0, FLAG_SWITCH, &f->is_kept},
        {"no-pivot", 0, FLAG_IGNORED_SWITCH,
         NULL}, /* no root of the host's is left to pivot from */
        {"no-new-keyring", 0, FLAG_IGNORED_SWITCH, NULL}, /* no host keyring is ever shared */
        {"no-subreaper", 0, FLAG_IGNORED_SWITCH, NULL},   /* `run` never is one */
    };
    int n = flags_parse(flags, ARRAY_SIZE(flags), argc, argv, true, e);
    if (n < 0 || oci_need_args(n, 1, argv[0], "a container id", e) < 0)
        return -1;
    if (!f->c.is_run && (f->c.is_detached || f->is_kept))
        return err_set(e, "'create' has no flag '%s'", f->is_kept ? "--keep" : "--detach");
    if (f->npreserved < 0)
        return err_set(e, "--preserve-fds takes a number of at least 0");
    const char *listen_fds = getenv("LISTEN_FDS");
    f->c.npreserved = (u32)f->npreserved + (listen_fds ? (u32)strtoul(listen_fds, NULL, 10) : 0);
    f->c.id = argv[1];
    return 0;
}

int cmd_create(const struct global_opts *g, int argc, char **argv)
{
    struct create_flags f = {.c.is_detached = false};
    struct oci_globals og;
    struct oci_created made;
    struct err e = {0};
    oci_globals_from(g, &og);
    if (parse(argc, argv, &f, &e) < 0 || oci_create(&og, &f.c, &made, &e) < 0)
        return oci_fail(g, 1, &e);
    return 0;
}

/* Passes on what is sent to us until the attendant ends; its wait status. */
static int await(pid_t pid, int sig_fd)
{
    for (;;) {
        int status;
        pid_t r = waitpid(pid, &status, WNOHANG);
        if (r == pid)
            return status;
        if (r < 0 && errno != EINTR)
            return SIGKILL;
        struct signalfd_siginfo si;
        if (read(sig_fd, &si, sizeof(si)) == sizeof(si) && si.ssi_signo != SIGCHLD)
            kill(pid, (int)si.ssi_signo);
    }
}

int cmd_run(const struct global_opts *g, int argc, char **argv)
{
    struct create_flags f = {.c.is_run = true};
    struct oci_globals og;
    struct oci_created made;
    struct err e = {0};
    oci_globals_from(g, &og);
    if (parse(argc, argv, &f, &e) < 0)
        return oci_fail(g, 1, &e);
    int sig_fd = f.c.is_detached ? -1 : attend_signals(SIGNAL_BIT(SIGPIPE));
    int r = oci_create(&og, &f.c, &made, &e);
    if (r < 0) {
        console_restore();
        return oci_fail(g, 1, &e);
    }
    if (f.c.is_detached)
        return 0;
    int status = await(made.pid, sig_fd);
    console_restore();
    if (!f.is_kept && oci_delete(&og, f.c.id, true, &e) < 0)
        oci_fail(g, 1, &e);
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}
