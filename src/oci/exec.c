/* cvisor exec: a further process in a running container. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "oci/console.h"
#include "oci/lifecycle.h"
#include "oci/translate.h"

#define MAX_PRESERVED (CTL_MAX_FDS - 4)

static int parse_user(const char *text, struct boot_process *p, struct err *e)
{
    char *end;
    unsigned long long uid = strtoull(text, &end, 10), gid = p->gid;
    bool is_ok = end != text && uid < UINT32_MAX;
    if (is_ok && *end == ':') {
        const char *g = end + 1;
        gid = strtoull(g, &end, 10);
        is_ok = end != g && gid < UINT32_MAX;
    }
    if (!is_ok || *end)
        return err_set(e, "--user takes UID or UID:GID, not '%s'", text);
    p->uid = (u32)uid;
    p->gid = (u32)gid;
    return 0;
}

static int add_env(struct boot_process *p, const char *const *env, u32 n, struct err *e)
{
    char **all = calloc((size_t)p->nenvp + n + 1, sizeof(*all));
    if (!all)
        return err_set(e, "out of memory");
    u32 count = 0;
    for (u32 i = 0; i < p->nenvp; i++) {
        size_t size = strcspn(p->envp[i], "=");
        bool is_replaced = false;
        for (u32 j = 0; j < n; j++)
            is_replaced |= !strncmp(env[j], p->envp[i], size + 1);
        if (!is_replaced)
            all[count++] = p->envp[i];
    }
    for (u32 j = 0; j < n; j++) {
        if (!strchr(env[j], '='))
            return err_set(e, "--env takes NAME=VALUE, not '%s'", env[j]);
        all[count++] = (char *)(uintptr_t)env[j];
    }
    p->envp = all;
    p->nenvp = count;
    return 0;
}

static int add_groups(struct boot_process *p, const char *const *groups, u32 n, struct err *e)
{
    u32 *all = calloc((size_t)p->ngroups + n + 1, sizeof(*all));
    if (!all)
        return err_set(e, "out of memory");
    if (p->ngroups)
        memcpy(all, p->groups, p->ngroups * sizeof(*all));
    for (u32 i = 0; i < n; i++) {
        char *end;
        unsigned long long gid = strtoull(groups[i], &end, 10);
        if (end == groups[i] || *end || gid >= UINT32_MAX)
            return err_set(e, "--additional-gids takes numbers, not '%s'", groups[i]);
        all[p->ngroups + i] = (u32)gid;
    }
    p->groups = all;
    p->ngroups += n;
    return 0;
}

static int add_caps(struct boot_process *p, const char *const *caps, u32 n, struct err *e)
{
    for (u32 i = 0; i < n; i++) {
        int cap = oci_cap_number(caps[i]);
        if (cap < 0)
            return err_set(e, "--cap: '%s' is not a capability", caps[i]);
        u64 bit = 1ULL << cap;
        p->cap_bounding |= bit;
        p->cap_effective |= bit;
        p->cap_permitted |= bit;
        p->cap_inheritable |= bit;
        p->cap_ambient |= bit;
    }
    return 0;
}

/* The container's own process, changed as the flags say; or the one in a file. */
static int make_process(const struct oci_exec *x, const struct oci_state *s, struct boot_process *p,
                        struct err *e)
{
    struct oci_spec *spec;
    if (oci_spec_load(s->dir, "config.json", &spec, e) < 0)
        return -1;
    if (x->process_path) {
        struct oci_process_doc *doc;
        if (oci_process_load(AT_FDCWD, x->process_path, &doc, e) < 0)
            return -1;
        if (oci_process_to_boot(&doc->process, p, e) < 0)
            return -1;
    } else {
        spec->process.is_terminal = false;
        spec->process.rows = spec->process.cols = 0;
        if (oci_process_to_boot(&spec->process, p, e) < 0)
            return -1;
        p->argv = x->argv;
        p->nargv = x->argc;
        if (x->cwd)
            p->cwd = (char *)(uintptr_t)x->cwd;
    }
    if (oci_filter_to_boot(&spec->linux_, p, e) < 0)
        return -1;
    if (x->is_terminal)
        p->flags |= BOOT_P_TTY;
    if (x->is_no_new_privs)
        p->flags |= BOOT_P_NO_NEW_PRIVS;
    if (x->user && parse_user(x->user, p, e) < 0)
        return -1;
    if (add_env(p, x->env, x->nenv, e) < 0 || add_groups(p, x->groups, x->ngroups, e) < 0)
        return -1;
    return add_caps(p, x->caps, x->ncaps, e);
}

static int write_memfd(const struct boot_process *p, struct err *e)
{
    void *buf;
    size_t size;
    if (boot_process_encode(p, &buf, &size) < 0)
        return err_set(e, "the argument list or environment is too long");
    int fd = memfd_create("exec", MFD_CLOEXEC);
    if (fd < 0 || write(fd, buf, size) != (ssize_t)size) {
        err_errno(e, "cannot write the process's configuration");
        if (fd >= 0)
            close(fd);
        fd = -1;
    }
    free(buf);
    return fd;
}

/* Sends the request: the link, or -1. */
static int request(const struct oci_exec *x, const struct oci_state *s,
                   const struct boot_process *p, int tty, struct err *e)
{
    int fds[CTL_MAX_FDS], has = 0;
    u32 n = 1;
    fds[0] = write_memfd(p, e);
    if (fds[0] < 0)
        return -1;
    if (tty >= 0) {
        fds[n++] = tty;
        has = CTL_HAS_CONSOLE;
    } else {
        for (int i = 0; i < 3; i++) {
            if (fcntl(i, F_GETFD) < 0)
                continue;
            fds[n++] = i;
            has |= CTL_HAS_STDIN << i;
        }
    }
    for (u32 i = 0; i < x->npreserved; i++)
        fds[n++] = 3 + (int)i;
    int link = client_connect(s, e);
    if (link >= 0 && client_send(link, CTL_EXEC, has, 0, s->id, fds, n, e) < 0) {
        close(link);
        link = -1;
    }
    close(fds[0]);
    return link;
}

static int run_detached(const struct oci_exec *x, int link, int tty, struct err *e)
{
    struct attendant_params params = {.link = link, .tty = tty, .is_own_tty = tty >= 0};
    pid_t pid;
    int sync;
    if (attendant_fork(&params, &pid, &sync, e) < 0)
        return -1;
    close(link);
    int r = sync_await(sync, SYNC_READY, e);
    if (r == 0 && x->pid_file)
        r = write_pid_file(x->pid_file, pid, e);
    if (r == 0 && sync_send(sync, SYNC_COMMIT) < 0)
        r = err_set(e, "the process's attendant died");
    close(sync);
    if (r < 0) { /* without a commit it ends by itself */
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    return r;
}

static int run_here(const struct oci_exec *x, int link, bool is_terminal, int *ret_status,
                    struct err *e)
{
    static struct ctl_reply reply;
    int sig_fd = attend_signals(SIGNAL_BIT(SIGPIPE));
    if (sig_fd < 0)
        return err_errno(e, "cannot take signals");
    if (client_receive(link, CLIENT_FOREVER, &reply, e) < 0)
        return -1;
    if (x->pid_file && write_pid_file(x->pid_file, getpid(), e) < 0)
        return -1;
    *ret_status = attend(link, sig_fd, is_terminal ? STDIN_FILENO : -1);
    console_restore();
    return 0;
}

static int check_status(const struct oci_exec *x, const struct oci_state *s, struct err *e)
{
    switch (state_status(s)) {
    case OCI_ST_RUNNING:
        return 0;
    case OCI_ST_PAUSED:
        return x->is_paused_ignored
                   ? 0
                   : err_set(e,
                             "cannot exec in a paused container (use --ignore-paused to override)");
    case OCI_ST_STOPPED:
        return err_set(e, "cannot exec in a stopped container");
    default:
        return err_set(e, "cannot exec in a container that has not been started");
    }
}

int oci_exec(const struct oci_globals *g, const struct oci_exec *x, int *ret_status, struct err *e)
{
    struct oci_state s;
    struct boot_process p = {0};
    int tty = -1, link = -1;
    *ret_status = 0;
    if (oci_load(g, x->id, &s, e) < 0 || check_status(x, &s, e) < 0 ||
        make_process(x, &s, &p, e) < 0)
        return -1;
    bool is_terminal = p.flags & BOOT_P_TTY;
    if (x->console_socket && !(is_terminal && x->is_detached))
        return err_set(
            e, "cannot use --console-socket: the process is not detached, or has no terminal");
    if (is_terminal && x->is_detached && !x->console_socket)
        return err_set(
            e, "cannot allocate a terminal for a detached process without --console-socket");
    if (x->npreserved > MAX_PRESERVED)
        return err_set(e, "--preserve-fds: at most %u", MAX_PRESERVED);
    if (is_terminal && x->console_socket) {
        if (console_for_socket(x->console_socket, p.rows, p.cols, &tty, e) < 0)
            return -1;
    } else if (is_terminal) {
        struct winsize ws;
        if (!isatty(STDIN_FILENO))
            return err_set(e, "the process wants a terminal: standard input is none");
        if (ioctl(STDIN_FILENO, TIOCGWINSZ, &ws) == 0) {
            p.rows = ws.ws_row;
            p.cols = ws.ws_col;
        }
        if (console_raw(STDIN_FILENO, e) < 0)
            return -1;
    }
    p.npassed = x->npreserved;
    link = request(x, &s, &p, tty, e);
    if (link < 0)
        return -1;
    state_done(&s);
    return x->is_detached ? run_detached(x, link, tty, e)
                          : run_here(x, link, is_terminal, ret_status, e);
}
