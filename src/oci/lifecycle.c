/* See lifecycle.h. */
#include "oci/lifecycle.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "oci/cgroup.h"
#include "oci/console.h"
#include "oci/hooks.h"
#include "oci/idmap.h"
#include "oci/late_net.h"
#include "oci/pod.h"
#include "oci/translate.h"

#define LOCK_MS                                                                                    \
    10000 /* how long a command waits for another one that is at work on the container */
#define DEATH_MS 10000 /* how long a killed process may take to be gone */

/* ---- small things -------------------------------------------------------------------------- */

int oci_load(const struct oci_globals *g, const char *id, struct oci_state *ret, struct err *e)
{
    char *root;
    if (state_root(g->root, false, &root, e) < 0)
        return -1;
    int r = state_load(root, id, ret, e);
    free(root);
    return r;
}

int write_pid_file(const char *path, pid_t pid, struct err *e)
{
    char tmp[PATH_MAX], text[16];
    if (snprintf(tmp, sizeof(tmp), "%s.%d", path, getpid()) >= (int)sizeof(tmp))
        return err_set(e, "the pid file's path is too long");
    int fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    int n = snprintf(text, sizeof(text), "%d", pid);
    bool is_ok = fd >= 0 && write(fd, text, (size_t)n) == n;
    if (fd >= 0)
        close(fd);
    if (!is_ok || rename(tmp, path) < 0) {
        err_errno(e, "cannot write the pid file '%s'", path);
        unlink(tmp);
        return -1;
    }
    return 0;
}

/* The bundle's configuration, kept beside the state: later commands need it as it was. */
static int copy_config(const char *bundle, const struct oci_state *s, struct err *e)
{
    char path[PATH_MAX], buf[16384];
    if (snprintf(path, sizeof(path), "%s/config.json", bundle) >= (int)sizeof(path))
        return err_set(e, "the bundle's path is too long");
    int from = open(path, O_RDONLY | O_CLOEXEC), r = 0;
    int to = openat(s->dir, "config.json", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ssize_t n = -1;
    while (from >= 0 && to >= 0 && (n = read(from, buf, sizeof(buf))) > 0)
        if (write(to, buf, (size_t)n) != n) {
            n = -1;
            break;
        }
    if (n < 0)
        r = err_errno(e, "cannot copy '%s'", path);
    if (from >= 0)
        close(from);
    if (to >= 0)
        close(to);
    return r;
}

static char **annotations_of(const struct oci_spec *spec)
{
    char **a = calloc(2 * (size_t)spec->annotations.n + 1, sizeof(*a));
    for (u32 i = 0; a && i < spec->annotations.n; i++) {
        a[2 * i] = strdup(spec->annotations.v[i].name);
        a[2 * i + 1] = strdup(spec->annotations.v[i].value);
    }
    return a;
}

int oci_signal_number(const char *name)
{
    char *end;
    long n = strtol(name, &end, 10);
    if (end != name && !*end)
        return n >= 0 && n <= SIGRTMAX ? (int)n : -1;
    if (!strncasecmp(name, "SIG", 3))
        name += 3;
    if (!strncasecmp(name, "RTMIN", 5) || !strncasecmp(name, "RTMAX", 5)) {
        int base = !strncasecmp(name, "RTMIN", 5) ? 34 : 64;
        n = name[5] ? strtol(name + 5, &end, 10) : 0;
        if (name[5] && (*end || end == name + 5))
            return -1;
        return base + n >= 34 && base + n <= 64 ? (int)(base + n) : -1;
    }
    if (!strcasecmp(name, "IOT"))
        return SIGABRT;
    if (!strcasecmp(name, "CLD"))
        return SIGCHLD;
    if (!strcasecmp(name, "POLL"))
        return SIGIO;
    for (int s = 1; s < 32; s++) {
        const char *abbrev = sigabbrev_np(s);
        if (abbrev && !strcasecmp(abbrev, name))
            return s;
    }
    return -1;
}

static int open_log(const struct oci_globals *g, const struct oci_state *s, const char *path)
{
    (void)g;
    return path ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644)
                : openat(s->dir, "log", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

/* Waits for a process to be gone, or to be a zombie of somebody else's. */
static bool await_death(const struct oci_state *s, int timeout_ms)
{
    int fd = (int)syscall(SYS_pidfd_open, s->pid, 0);
    if (fd >= 0) {
        struct pollfd p = {fd, POLLIN, 0};
        if (state_is_alive(s))
            (void)!poll(&p, 1, timeout_ms);
        close(fd);
    }
    return !state_is_alive(s);
}

/* Kills the attendant, which takes the sandbox along. */
static int kill_attendant(const struct oci_state *s, struct err *e)
{
    int fd = (int)syscall(SYS_pidfd_open, s->pid, 0);
    if (fd < 0)
        return errno == ESRCH ? 0 : err_errno(e, "cannot get hold of process %d", s->pid);
    int r = 0;
    /* After the descriptor was had: it is this process, or one that has its number by chance. */
    if (state_is_alive(s) && syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0) < 0 &&
        errno != ESRCH)
        r = err_errno(e, "cannot kill process %d", s->pid);
    close(fd);
    return r;
}

/* ---- create -------------------------------------------------------------------------------- */

struct making {
    enum oci_network network;
    const char *egress;
    struct oci_spec *spec;
    struct oci_boot boot;
    struct bootcfg cfg;
    struct sandbox_params params;
    struct attendant_params attendant;
    int passed[BOOT_MAX_PASSED];
    int tty; /* the terminal side of the console's, or -1 */
    char *root;
    char bundle[PATH_MAX];
    pid_t pid;
    int sync, lock;
    struct oci_cgroup *cgroup;
    bool has_hooked; /* a hook may have run: poststop's are to follow */
};

static int load_bundle(const struct oci_create *c, struct making *m, struct err *e)
{
    if (!oci_id_is_ok(c->id))
        return err_set(e, "invalid container ID format: '%.100s'", c->id);
    if (!realpath(c->bundle ? c->bundle : ".", m->bundle))
        return err_errno(e, "cannot find the bundle '%s'", c->bundle ? c->bundle : ".");
    int dir = open(m->bundle, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return err_errno(e, "cannot open the bundle '%s'", m->bundle);
    int r = oci_spec_load(dir, "config.json", &m->spec, e);
    close(dir);
    if (r == 0)
        r = oci_to_boot(m->spec, m->bundle, c->id, &m->boot, e);
    if (r < 0)
        return r;
    bool is_tty = m->spec->process.is_terminal, is_away = !c->is_run || c->is_detached;
    if (is_tty && is_away && !c->console_socket)
        return err_set(
            e, "cannot allocate a terminal for a detached container without --console-socket");
    if (c->console_socket && (!is_tty || !is_away))
        return err_set(
            e, "cannot use --console-socket: the container is not detached, or has no terminal");
    return 0;
}

static bool is_taken_over(enum oci_network network)
{
    return network == NET_NAMESPACE || network == NET_SANDBOX;
}

/* What the bundle gives by a path is the sandbox's; what it gives without one is the container's.
 */
static u32 own_namespaces(const struct oci_namespace *ns)
{
    bool is_ipc = ns[OCI_NS_IPC].is_set && !ns[OCI_NS_IPC].path,
         is_uts = ns[OCI_NS_UTS].is_set && !ns[OCI_NS_UTS].path;
    if (!ns[OCI_NS_NET].path)
        return 0; /* a bundle that speaks of its pod by annotations alone */
    return (is_ipc ? BOOT_OWN_IPC : 0) | (is_uts ? BOOT_OWN_UTS : 0);
}

/* In a pod: whose sandbox, and whose processes. */
static int find_pod(struct making *m, struct oci_state *s, struct err *e)
{
    struct oci_pod pod;
    if (pod_find(m->root, m->spec, is_taken_over(m->network), &pod, e) < 0)
        return -1;
    const char *ipc = m->spec->linux_.ns[OCI_NS_IPC].path;
    if (!pod.id && ipc)
        return err_set(
            e,
            "linux.namespaces: the ipc namespace '%s' cannot be joined: its objects are another "
            "kernel's (a container that shares its owner's network namespace too is in its "
            "sandbox)",
            ipc);
    s->pod = pod.id;
    if (pod.id) {
        m->boot.container.flags |= own_namespaces(m->spec->linux_.ns);
        s->sandbox_dir = pod.dir;
        m->attendant.pod = s->pod;
        m->attendant.link = pod.link;
    }
    m->boot.container.pid_ns_of = pod.pid_ns_of;
    return 0;
}

static int make_params(const struct oci_globals *g, const struct oci_create *c, struct making *m,
                       const struct oci_state *s, struct err *e)
{
    struct rlimit nofile = {1024, 1024};
    getrlimit(RLIMIT_NOFILE, &nofile);
    struct boot_process *p = &m->boot.container.process;
    bool is_tty = p->flags & BOOT_P_TTY;
    m->tty = -1;
    if (is_tty && c->console_socket) {
        if (console_for_socket(c->console_socket, p->rows, p->cols, &m->tty, e) < 0)
            return -1;
    } else if (is_tty) {
        struct winsize ws;
        if (!isatty(STDIN_FILENO))
            return err_set(e, "the container wants a terminal: standard input is none");
        if (ioctl(STDIN_FILENO, TIOCGWINSZ, &ws) == 0) {
            p->rows = ws.ws_row;
            p->cols = ws.ws_col;
        }
        if (console_raw(STDIN_FILENO, e) < 0)
            return -1;
        m->attendant.tty = STDIN_FILENO;
    }
    m->boot.container.flags |= g->container_flags;
    m->cfg = (struct bootcfg){
        .flags = g->boot_flags | BOOT_LISTEN | (m->tty >= 0 ? BOOT_CONSOLE : 0) |
                 (c->is_run && !m->spec->hooks[OCI_HOOK_START_CONTAINER].n ? 0 : BOOT_WAIT_START),
        .log_level = g->log_level,
        .rlimit_nofile = nofile.rlim_max,
        .container = m->boot.container,
        .nuid_map = m->boot.nuid_map,
        .ngid_map = m->boot.ngid_map,
        .uid_map = m->boot.uid_map,
        .gid_map = m->boot.gid_map,
    };
    if (!m->boot.is_mapped && idmap_own(&m->cfg, e) < 0)
        return -1;
    int listener = s->pod ? 0 : client_listen(s, e);
    if (listener < 0)
        return -1;
    int log_fd = open_log(g, s, g->log_path);
    int strace_fd = g->strace_path ? open_log(g, s, g->strace_path) : log_fd;
    if (log_fd < 0 || strace_fd < 0)
        return err_errno(e, "cannot open the sandbox's log");
    if (c->npreserved > CTL_MAX_FDS)
        return err_set(e, "--preserve-fds: at most %u", CTL_MAX_FDS);
    for (u32 i = 0; i < c->npreserved; i++)
        m->passed[i] = 3 + (int)i;
    m->params = (struct sandbox_params){
        .boot = &m->cfg,
        .root = m->boot.root,
        .is_rw = m->cfg.container.flags & BOOT_RW,
        .is_mapped = m->boot.is_mapped,
        .trees = m->boot.trees,
        .ntrees = m->boot.ntrees,
        .stdio = {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO},
        .log_fd = log_fd,
        .strace_fd = strace_fd,
        .listen_fd = listener,
        .console_fd = m->tty >= 0 ? m->tty : 0,
        .passed = m->passed,
        .npassed = c->npreserved,
        .nlanes = g->nlanes,
    };
    /* Whoever waits for the end of our own output must not wait for the container's. */
    for (int i = 0; i < 3 && m->tty >= 0; i++)
        m->params.stdio[i] = -1;
    return 0;
}

static void close_params(struct making *m)
{
    if (m->params.listen_fd > 0)
        close(m->params.listen_fd);
    if (m->params.log_fd > 0)
        close(m->params.log_fd);
    if (m->params.strace_fd > 0 && m->params.strace_fd != m->params.log_fd)
        close(m->params.strace_fd);
    if (m->tty >= 0)
        close(m->tty);
    if (m->attendant.link >= 0)
        close(m->attendant.link);
}

/* ---- around the sandbox: cgroups and hooks --------------------------------------------------- */

static int run_hooks(const struct oci_spec *spec, const struct oci_state *s,
                     enum oci_hook_kind kind, enum oci_status status, struct err *e)
{
    if (!spec->hooks[kind].n)
        return 0;
    char *state = state_json(s, status, false, e);
    if (!state)
        return -1;
    int r = oci_hooks_run(&spec->hooks[kind], kind, state, e);
    free(state);
    return r;
}

/* Nothing hangs on poststop's hooks: a failing one is only told. */
static void complain_of_hook(const char *text, void *arg)
{
    (void)arg;
    fprintf(stderr, "cvisor: %s\n", text);
}

static void run_poststop(const struct oci_spec *spec, const struct oci_state *s)
{
    const struct oci_hooks *hooks = &spec->hooks[OCI_HOOK_POSTSTOP];
    char *state = hooks->n ? state_json(s, OCI_ST_STOPPED, false, NULL) : NULL;
    if (state)
        oci_hooks_run_all(hooks, OCI_HOOK_POSTSTOP, state, complain_of_hook, NULL);
    free(state);
}

/* Written down before they are made, so that whatever happens they can be removed. */
static int plan_cgroup(const struct oci_globals *g, const char *id, struct making *m,
                       struct oci_state *s, struct err *e)
{
    if (oci_cgroup_plan(m->spec, id, g->is_systemd_cgroup, &m->cgroup, e) < 0)
        return -1;
    s->cgroup = oci_cgroup_save(m->cgroup);
    return s->cgroup ? state_save(s, e) : err_set(e, "out of memory");
}

static int remove_cgroup(const struct oci_state *s, struct err *e)
{
    struct oci_cgroup *cg;
    if (!s->cgroup)
        return 0;
    if (oci_cgroup_load(s->cgroup, &cg, e) < 0)
        return -1;
    int r = oci_cgroup_destroy(cg, e);
    oci_cgroup_free(cg);
    return r;
}

/* The attendant has its namespaces and waits: nothing of the sandbox runs outside of the cgroups.
 */
static int surround(struct making *m, struct oci_state *s, struct err *e)
{
    static const enum oci_hook_kind before[] = {OCI_HOOK_PRESTART, OCI_HOOK_CREATE_RUNTIME,
                                                OCI_HOOK_CREATE_CONTAINER};
    if (oci_cgroup_make(m->cgroup, m->spec, m->pid, e) < 0)
        return -1;
    m->has_hooked = true;
    for (size_t i = 0; i < ARRAY_SIZE(before); i++)
        if (run_hooks(m->spec, s, before[i], OCI_ST_CREATING, e) < 0)
            return -1;
    return 0;
}

/* ---- startContainer's hooks, which are programs of the container ------------------------------
 */

static int memory_file(const void *data, size_t size, struct err *e)
{
    int fd = memfd_create("hook", MFD_CLOEXEC);
    if (fd < 0 || pwrite(fd, data, size, 0) != (ssize_t)size) {
        err_errno(e, "cannot make a memory file");
        if (fd >= 0)
            close(fd);
        return -1;
    }
    return fd;
}

/* Root of the container, with the capabilities that its program may have. */
static int hook_config(const struct oci_spec *spec, const struct oci_hook *hook, struct err *e)
{
    struct oci_process p;
    struct boot_process b;
    char *args[2];
    void *buf;
    size_t size;
    oci_hook_process(hook, &p, args);
    p.has_caps = spec->process.has_caps;
    p.caps.bounding = p.caps.permitted = p.caps.effective = spec->process.caps.bounding;
    if (oci_process_to_boot(&p, &b, e) < 0)
        return -1;
    int r = boot_process_encode(&b, &buf, &size);
    free(b.rlimits);
    if (r < 0)
        return err_set(e, "the hook '%s' has too many arguments", hook->path);
    int fd = memory_file(buf, size, e);
    free(buf);
    return fd;
}

/* Its wait status; the hang-up of the link ends one that takes too long. */
static int await_hook(int link, const struct oci_hook *hook, int *ret_status, struct err *e)
{
    static struct ctl_reply reply;
    s64 ms = hook->timeout_s.is_set ? MIN(hook->timeout_s.v, (s64)INT32_MAX / 1000) * 1000
                                    : CLIENT_FOREVER;
    if (client_receive(link, CLIENT_WAIT_MS, &reply, e) < 0)
        return err_prefix(e, "cannot run the startContainer hook '%s'", hook->path);
    if (client_receive(link, (int)ms, &reply, e) == 0) {
        *ret_status = reply.m.a;
        return 0;
    }
    return reply.is_timeout
               ? err_set(e,
                         "the startContainer hook '%s' took longer than its timeout of %lld "
                         "seconds and was killed",
                         hook->path, (long long)hook->timeout_s.v)
               : -1;
}

static int run_start_hook(const struct oci_spec *spec, const struct oci_hook *hook,
                          const struct oci_state *s, const char *state, struct err *e)
{
    int fds[4] = {-1, -1, -1, -1}, status = 0, link = -1, r = -1;
    fds[0] = hook_config(spec, hook, e);
    if (fds[0] >= 0)
        fds[1] = memory_file(state, strlen(state), e);
    if (fds[1] >= 0) {
        fds[2] = fds[3] = open("/dev/null", O_WRONLY | O_CLOEXEC);
        if (fds[2] < 0)
            err_errno(e, "cannot open /dev/null");
    }
    if (fds[2] >= 0)
        link = client_connect(s, e);
    if (link >= 0 &&
        client_send(link, CTL_EXEC, CTL_HAS_STDIN * 7, CTL_EXEC_EARLY, s->id, fds, 4, e) == 0)
        r = await_hook(link, hook, &status, e);
    if (r == 0 && status != 0)
        r = WIFSIGNALED(status) ? err_set(e, "the startContainer hook '%s' was ended by signal %d",
                                          hook->path, WTERMSIG(status))
                                : err_set(e, "the startContainer hook '%s' failed with status %d",
                                          hook->path, WEXITSTATUS(status));
    for (int i = 0; i < 3; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    if (link >= 0)
        close(link);
    return r;
}

/* A created container to a running one. */
static int start_with_hooks(const struct oci_spec *spec, const struct oci_state *s, struct err *e)
{
    static struct ctl_reply reply;
    const struct oci_hooks *hooks = &spec->hooks[OCI_HOOK_START_CONTAINER];
    char *state = hooks->n ? state_json(s, OCI_ST_CREATED, false, e) : NULL;
    if (hooks->n && !state)
        return -1;
    int r = 0;
    for (u32 i = 0; r == 0 && i < hooks->n; i++)
        r = run_start_hook(spec, &hooks->v[i], s, state, e);
    free(state);
    if (r == 0)
        r = client_request(s, CTL_START, 0, 0, CLIENT_WAIT_MS, &reply, e);
    return r < 0 ? r : run_hooks(spec, s, OCI_HOOK_POSTSTART, OCI_ST_RUNNING, e);
}

/* From the attendant's start to the ready container. */
static int bring_up(const struct oci_create *c, struct making *m, struct oci_state *s,
                    struct err *e)
{
    char state;
    m->attendant.ns = m->spec->linux_.ns;
    m->attendant.sandbox = &m->params;
    m->attendant.network = m->network;
    m->attendant.egress = m->egress;
    m->attendant.cgroup = m->cgroup;
    if (m->tty >= 0) {
        m->attendant.tty = m->tty;
        m->attendant.is_own_tty = true;
    }
    if (attendant_fork(&m->attendant, &m->pid, &m->sync, e) < 0)
        return -1;
    close_params(m);
    s->pid = m->pid;
    if (!proc_stat(m->pid, &state, &s->pid_start))
        return err_set(e, "the container's attendant died while it was starting");
    bool has_network = is_taken_over(m->network) && m->spec->linux_.ns[OCI_NS_NET].is_set;
    if (state_save(s, e) < 0 || sync_await(m->sync, SYNC_NAMESPACES, e) < 0 ||
        (has_network && pod_note_network(s, e) < 0) || surround(m, s, e) < 0)
        return -1;
    if (sync_send(m->sync, SYNC_GO) < 0)
        return err_set(e, "the container's attendant died while it was starting");
    if (sync_await(m->sync, SYNC_READY, e) < 0)
        return -1;
    /* In a pod every container waits for its start. */
    bool is_waiting = (m->cfg.flags & BOOT_WAIT_START) || s->pod;
    if (c->is_run &&
        (is_waiting ? start_with_hooks(m->spec, s, e)
                    : run_hooks(m->spec, s, OCI_HOOK_POSTSTART, OCI_ST_RUNNING, e)) < 0)
        return -1;
    if (c->pid_file && write_pid_file(c->pid_file, m->pid, e) < 0)
        return -1;
    if (sync_send(m->sync, SYNC_COMMIT) < 0)
        return err_set(e, "the container's attendant died while it was starting");
    return 0;
}

static void take_down(struct making *m)
{
    if (m->pid <= 0)
        return;
    kill(m->pid, SIGKILL);
    while (waitpid(m->pid, NULL, 0) < 0 && errno == EINTR)
        ;
}

int oci_create(const struct oci_globals *g, const struct oci_create *c, struct oci_created *ret,
               struct err *e)
{
    static struct making m = {.tty = -1, .sync = -1, .lock = -1};
    struct oci_state s = {.dir = -1, .sandbox_dir = -1};
    m.attendant.tty = m.attendant.link = -1;
    m.network = g->network;
    m.egress = g->egress;
    if (load_bundle(c, &m, e) < 0 || state_root(g->root, true, &m.root, e) < 0)
        return -1;
    if (state_create(m.root, c->id, &s, &m.lock, e) < 0)
        return -1;
    s.bundle = strdup(m.bundle);
    s.rootfs = strdup(m.boot.root);
    s.annotations = annotations_of(m.spec);
    int r = s.bundle && s.rootfs && s.annotations ? 0 : err_set(e, "out of memory");
    if (r == 0)
        r = copy_config(m.bundle, &s, e);
    if (r == 0)
        r = find_pod(&m, &s, e);
    if (r == 0)
        r = make_params(g, c, &m, &s, e);
    if (r == 0)
        r = plan_cgroup(g, c->id, &m, &s, e);
    if (r == 0)
        r = bring_up(c, &m, &s, e);
    if (r < 0) {
        take_down(&m);
        if (oci_cgroup_is_ours(m.cgroup)) /* else it may be another container's, which goes on */
            (void)!remove_cgroup(&s, NULL);
        if (m.has_hooked)
            run_poststop(m.spec, &s);
        (void)!state_remove(m.root, c->id, NULL); /* the first error counts */
        state_done(&s);
    } else {
        *ret = (struct oci_created){.state = s, .pid = m.pid};
    }
    oci_cgroup_free(m.cgroup);
    if (m.sync >= 0)
        close(m.sync);
    close(m.lock);
    return r;
}

/* ---- start, kill, pause, wait -------------------------------------------------------------- */

/* A hook that fails ends the container; a program that cannot be run has done so itself. */
static int start_created(const struct oci_globals *g, const struct oci_state *s, struct err *e)
{
    struct oci_spec *spec;
    if (oci_spec_load(s->dir, "config.json", &spec, e) < 0)
        return -1;
    int r = is_taken_over(g->network) ? late_net_take(s, spec, g->egress, e) : 0;
    if (r == 0)
        r = start_with_hooks(spec, s, e);
    if (r < 0)
        (void)!kill_attendant(s, NULL); /* the first failure is what counts */
    oci_spec_free(spec);
    return r;
}

int oci_start(const struct oci_globals *g, const char *id, struct err *e)
{
    struct oci_state s;
    if (oci_load(g, id, &s, e) < 0)
        return -1;
    int lock = state_lock(&s, LOCK_MS, e);
    if (lock < 0)
        return -1;
    int r = -1;
    switch (state_status(&s)) {
    case OCI_ST_CREATED:
        r = start_created(g, &s, e);
        break;
    case OCI_ST_STOPPED:
        err_set(e, "cannot start a container that has stopped");
        break;
    default:
        err_set(e, "cannot start an already running container");
    }
    close(lock);
    state_done(&s);
    return r;
}

int oci_kill(const struct oci_globals *g, const char *id, int signo, bool is_all, struct err *e)
{
    struct oci_state s;
    struct ctl_reply reply;
    if (oci_load(g, id, &s, e) < 0)
        return -1;
    int r = 0;
    enum oci_status status = state_status(&s);
    if (status == OCI_ST_STOPPED)
        r = is_all ? 0 : err_set(e, "container not running");
    else if (status == OCI_ST_CREATED && (signo == SIGKILL || signo == SIGTERM))
        r = kill_attendant(&s, e);
    else if (status == OCI_ST_CREATED)
        r = 0; /* as for a process that has not yet executed its program: nothing is there to take
                  it */
    else if (client_request(&s, CTL_SIGNAL, signo, is_all ? CTL_SIG_ALL : 0, CLIENT_WAIT_MS / 5,
                            &reply, e) < 0) {
        if (!state_is_alive(&s))
            r = err_set(e, "container not running");
        else
            r = signo == SIGKILL ? kill_attendant(&s, e) : -1;
    }
    state_done(&s);
    return r;
}

int oci_pause(const struct oci_globals *g, const char *id, bool is_pause, struct err *e)
{
    struct oci_state s;
    struct ctl_reply reply;
    if (oci_load(g, id, &s, e) < 0)
        return -1;
    enum oci_status status = state_status(&s);
    int r;
    if (is_pause && status != OCI_ST_RUNNING)
        r = err_set(e,
                    status == OCI_ST_PAUSED ? "container already paused" : "container not running");
    else if (!is_pause && status != OCI_ST_PAUSED)
        r = err_set(e, "container not paused");
    else
        r = client_request(&s, is_pause ? CTL_PAUSE : CTL_RESUME, 0, 0, CLIENT_WAIT_MS, &reply, e);
    state_done(&s);
    return r;
}

/* The host's cgroups, then what the guest's kernel shows and holds itself. */
int oci_update(const struct oci_globals *g, const char *id, const struct oci_resources *r,
               struct err *e)
{
    struct oci_state s;
    struct oci_cgroup *cg = NULL;
    struct ctl_reply reply;
    if (oci_load(g, id, &s, e) < 0)
        return -1;
    int lock = state_lock(&s, LOCK_MS, e), rc = -1;
    if (lock < 0)
        return -1;
    struct ctl_limits l = {
        .valid = (r->pids.is_set && r->pids.v ? CTL_L_TASKS : 0) |
                 (r->memory.limit.is_set && r->memory.limit.v ? CTL_L_MEMORY : 0) |
                 (r->cpu.quota.is_set && r->cpu.quota.v ? CTL_L_CPU_QUOTA : 0) |
                 (r->cpu.period.is_set && r->cpu.period.v ? CTL_L_CPU_PERIOD : 0),
        .max_tasks = (u64)MAX(r->pids.v, (s64)0),
        .memory = (u64)MAX(r->memory.limit.v, (s64)0),
        .cpu_quota_us = (u64)MAX(r->cpu.quota.v, (s64)0),
        .cpu_period_us = (u64)MAX(r->cpu.period.v, (s64)0),
    };
    if (state_status(&s) == OCI_ST_STOPPED)
        err_set(e, "container not running");
    else if (s.cgroup && oci_cgroup_load(s.cgroup, &cg, e) < 0)
        rc = -1;
    else
        rc = cg ? oci_cgroup_set(cg, r, e) : 0;
    if (rc == 0 && l.valid) {
        int fd = client_connect(&s, e);
        rc = fd < 0 ? -1 : client_send_data(fd, CTL_UPDATE, &l, sizeof(l), s.id, e);
        if (rc == 0)
            rc = client_receive(fd, CLIENT_WAIT_MS, &reply, e);
        if (fd >= 0)
            close(fd);
    }
    oci_cgroup_free(cg);
    close(lock);
    state_done(&s);
    return rc;
}

int oci_wait(const struct oci_globals *g, const char *id, int *ret_status, struct err *e)
{
    struct oci_state s;
    struct ctl_reply reply;
    if (oci_load(g, id, &s, e) < 0)
        return -1;
    int r = 0;
    if (state_status(&s) == OCI_ST_STOPPED)
        r = err_set(e, "container not running");
    else
        r = client_request(&s, CTL_WAIT, 0, 0, CLIENT_FOREVER, &reply, e);
    if (r == 0)
        *ret_status = reply.m.a;
    state_done(&s);
    return r;
}

/* ---- delete -------------------------------------------------------------------------------- */

int oci_delete(const struct oci_globals *g, const char *id, bool is_forced, struct err *e)
{
    struct oci_state s;
    char *root;
    if (state_root(g->root, false, &root, e) < 0)
        return -1;
    if (state_load(root, id, &s, e) < 0) {
        bool is_absent = e->status == ENOENT;
        free(root);
        return is_forced && is_absent ? 0 : -1;
    }
    enum oci_status status = state_status(&s);
    int r = 0;
    if (status == OCI_ST_CREATED) /* nothing of it has run: its end needs no force */
        is_forced = true;
    if (status != OCI_ST_STOPPED && !is_forced)
        r = err_set(e, "cannot delete container %s that is not stopped: %s", id,
                    oci_status_name(status));
    if (r == 0 && status != OCI_ST_STOPPED) {
        r = kill_attendant(&s, e);
        if (r == 0 && !await_death(&s, DEATH_MS))
            r = err_set(e, "process %d of container %s does not end", s.pid, id);
    }
    /* A command that was at work on it notices by now that the attendant is gone. */
    int lock = r == 0 ? state_lock(&s, is_forced ? 2000 : LOCK_MS, is_forced ? NULL : e) : -1;
    if (lock < 0 && !is_forced)
        r = -1;
    struct oci_spec *spec = NULL;
    if (r == 0)
        r = remove_cgroup(&s, e);
    if (r == 0) {
        if (oci_spec_load(s.dir, "config.json", &spec, NULL) < 0)
            spec = NULL; /* its making was cut short: no hook has run */
        r = state_remove(root, id, e);
    }
    if (r == 0 && spec)
        run_poststop(spec, &s);
    oci_spec_free(spec);
    if (lock >= 0)
        close(lock);
    state_done(&s);
    free(root);
    return r;
}
