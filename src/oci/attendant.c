/* See attendant.h. */
#include "oci/attendant.h"

#include "oci/cgroup.h"
#include "oci/netns.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "oci/procview.h"
#include "oci/rootns.h"
#include "wire/control.h"

#define MAX_CGROUPS 16 /* hierarchies of version 1, and version 2's */

/* ---- serving a link ------------------------------------------------------------------------ */

static void tell(int link, u32 type, s32 a, s32 b)
{
    u8 buf[256];
    struct ctl_msg m = {.type = type, .a = a, .b = b};
    size_t n = ctl_encode(&m, buf, sizeof(buf));
    /* A sandbox that has just ended takes no more messages; its end is reported elsewhere. */
    if (send(link, buf, n, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        return;
}

static void tell_size(int link, int tty)
{
    struct winsize ws;
    if (tty >= 0 && ioctl(tty, TIOCGWINSZ, &ws) == 0)
        tell(link, CTL_WINSIZE, ws.ws_row, ws.ws_col);
}

int attend_signals(u64 ignored)
{
    sigset_t set;
    sigfillset(&set);
    const int kept[] = {SIGSEGV, SIGBUS,  SIGILL,  SIGFPE,  SIGTRAP, SIGABRT,
                        SIGSYS,  SIGTTIN, SIGTTOU, SIGTSTP, SIGCONT};
    for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
        sigdelset(&set, kept[i]);
    for (int s = 1; s <= SIGRTMAX; s++) {
        if (s == SIGCHLD || !(ignored & SIGNAL_BIT(s)))
            continue;
        signal(s, SIG_IGN);
        sigdelset(&set, s);
    }
    signal(SIGCHLD, SIG_DFL); /* ignored, children could not be waited for */
    sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC);
}

static void on_signal(int link, int sig_fd, int tty)
{
    struct signalfd_siginfo si;
    if (read(sig_fd, &si, sizeof(si)) != sizeof(si))
        return;
    if (si.ssi_signo == SIGWINCH && tty >= 0)
        tell_size(link, tty);
    else if (si.ssi_signo != SIGCHLD)
        tell(link, CTL_SIGNAL, (s32)si.ssi_signo, 0);
}

bool attend_link(int link, int sig_fd, int tty, struct ctl_msg *ret_m)
{
    static u8 buf[CTL_MAX_MSG];
    for (;;) {
        struct pollfd fds[] = {{link, POLLIN, 0}, {sig_fd, POLLIN, 0}, {procview_fd(), POLLIN, 0}};
        if (poll(fds, 3, -1) < 0)
            continue;
        if (fds[2].revents)
            procview_serve(link);
        if (fds[1].revents & POLLIN)
            on_signal(link, sig_fd, tty);
        if (!(fds[0].revents & (POLLIN | POLLHUP | POLLERR)))
            continue;
        ssize_t n = recv(link, buf, sizeof(buf), 0);
        if (n <= 0 || !ctl_decode(buf, (size_t)n, ret_m))
            return false;
        if (ret_m->type == CTL_EXITED || ret_m->type == CTL_FAILED)
            return true;
        if (ret_m->type == CTL_STARTED)
            tell_size(link, tty);
        else if (ret_m->type == CTL_VIEW)
            procview_answer(link, ret_m);
    }
}

int attend(int link, int sig_fd, int tty)
{
    struct ctl_msg m;
    if (!attend_link(link, sig_fd, tty, &m))
        return SIGKILL; /* the sandbox is gone, and everything in it */
    return m.type == CTL_EXITED ? m.a : (m.a & 0xff) << 8;
}

void die_as(int status)
{
    if (!WIFSIGNALED(status))
        _exit(WEXITSTATUS(status));
    struct rlimit no_core = {0, 0};
    int sig = WTERMSIG(status);
    setrlimit(RLIMIT_CORE, &no_core);
    signal(sig, SIG_DFL);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, sig);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    kill(getpid(), sig);
    _exit(128 + sig);
}

/* ---- the handshake ------------------------------------------------------------------------- */

int sync_send(int sync, enum sync_type type)
{
    struct sync_msg m = {.type = type};
    return send(sync, &m, offsetof(struct sync_msg, text) + 1, MSG_NOSIGNAL) < 0 ? -1 : 0;
}

static noreturn_fn void give_up(int sync, int status, int err, const char *text)
{
    struct sync_msg m = {.type = SYNC_FAILED, .a = status, .b = err};
    snprintf(m.text, sizeof(m.text), "%s", text);
    _exit(send(sync, &m, sizeof(m), MSG_NOSIGNAL) < 0 ? 71 : 1);
}

static bool receive(int sync, struct sync_msg *m)
{
    ssize_t n;
    memset(m, 0, sizeof(*m));
    while ((n = recv(sync, m, sizeof(*m), 0)) < 0 && errno == EINTR)
        ;
    m->text[sizeof(m->text) - 1] = 0;
    return n > 0;
}

int sync_await(int sync, enum sync_type type, struct err *e)
{
    struct sync_msg m;
    if (!receive(sync, &m))
        return err_set(e, "the container's attendant died while it was starting");
    if (m.type == type)
        return 0;
    err_set(e, "%s", m.text);
    if (e)
        e->status = m.a;
    return -1;
}

/* The command's word; without it there is nobody to do anything for. */
static void await_command(int sync, enum sync_type type)
{
    struct sync_msg m;
    if (!receive(sync, &m) || m.type != type)
        _exit(1);
}

/* ---- namespaces ---------------------------------------------------------------------------- */

/* The host namespaces that engines look for behind the container's pid. */
static int enter_namespaces(const struct oci_namespace *ns, struct err *e)
{
    static const struct {
        enum oci_ns kind;
        int flag;
    } kinds[] = {
        {OCI_NS_NET, CLONE_NEWNET}, {OCI_NS_IPC, CLONE_NEWIPC}, {OCI_NS_UTS, CLONE_NEWUTS}};
    int flags = 0;
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        const struct oci_namespace *n = &ns[kinds[i].kind];
        if (!n->is_set)
            continue;
        if (!n->path || !*n->path) {
            flags |= kinds[i].flag;
            continue;
        }
        int fd = open(n->path, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || setns(fd, kinds[i].flag) < 0) {
            err_errno(e, "cannot join the %s namespace '%s'", oci_ns_names[kinds[i].kind], n->path);
            if (fd >= 0)
                close(fd);
            return -1;
        }
        close(fd);
    }
    /* An ordinary user's are the sandbox's own. */
    if (flags && unshare(flags) < 0 && errno != EPERM)
        return err_errno(e, "cannot make the container's namespaces");
    return 0;
}

/* ---- the process --------------------------------------------------------------------------- */

/* Keeps nothing open but these. */
static int keep_fds(int *fds, size_t n)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0)
        return -1;
    for (size_t i = 0; i < n; i++) {
        if (fds[i] < 0)
            continue;
        fds[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 100);
        if (fds[i] < 0)
            return -1;
    }
    for (int fd = 0; fd < 3; fd++)
        if (dup2(null, fd) < 0)
            return -1;
    int next = 3;
    for (size_t i = 0; i < n; i++) {
        if (fds[i] < 0)
            continue;
        if (dup3(fds[i], next, O_CLOEXEC) < 0)
            return -1;
        fds[i] = next++;
    }
    return (int)syscall(SYS_close_range, next, ~0U, 0);
}

/* Until the container is ready, or its program runs. */
static void await_sandbox(int link, int sync, int tty)
{
    static u8 buf[CTL_MAX_MSG];
    struct ctl_msg m;
    ssize_t n;
    while ((n = recv(link, buf, sizeof(buf), 0)) < 0 && errno == EINTR)
        ;
    if (n <= 0 || !ctl_decode(buf, (size_t)n, &m))
        give_up(sync, 125, 0, "the sandbox died while it was starting");
    if (m.type == CTL_FAILED)
        give_up(sync, m.a, m.b, m.data.p);
    if (m.type == CTL_STARTED)
        tell_size(link, tty);
    if (sync_send(sync, SYNC_READY) < 0)
        _exit(1);
}

/* Asked for; or the container is to be where the host is: by no namespace, or by the path of the host's.
 * left: the command's. */
static bool has_host_network(const struct attendant_params *p, const struct stat *left)
{
    const struct oci_namespace *net = p->ns ? &p->ns[OCI_NS_NET] : NULL;
    if (p->network != NET_NAMESPACE)
        return p->network == NET_HOST;
    return !net || !net->is_set || (net->path && *net->path && netns_is_hosts(left));
}

/* The container's programs are children of the pod's sentry: that puts them into the container's
 * control groups, as it is given their doors. */
static int join_pod(const struct attendant_params *p, struct sandbox *ret_sb, struct err *e)
{
    static int fds[MAX_CGROUPS];
    int n = p->cgroup ? oci_cgroup_open_procs(p->cgroup, fds, ARRAY_SIZE(fds), e) : 0;
    if (n < 0)
        return -1;
    p->sandbox->cgroup_fds = fds;
    p->sandbox->ncgroup_fds = (u32)n;
    int r = sandbox_join(p->sandbox, p->link, p->pod, ret_sb, e);
    while (n > 0)
        close(fds[--n]);
    return r;
}

static noreturn_fn void attendant_main(const struct attendant_params *p, int sync)
{
    struct err e = {0};
    struct sandbox sb = SANDBOX_NONE;
    prctl(PR_SET_NAME, p->sandbox ? "cvisor-init" : "cvisor-exec");
    if (setsid() < 0 && errno != EPERM)
        give_up(sync, 125, errno, "cannot begin a session");
    int sig_fd = attend_signals(SIGNAL_BIT(SIGPIPE));
    if (sig_fd < 0)
        give_up(sync, 125, errno, "cannot take signals");
    if (p->is_own_tty && ioctl(p->tty, TIOCSCTTY, 0) < 0)
        give_up(sync, 125, errno, "cannot take the container's terminal");
    if (p->sandbox) {
        struct stat left; /* the command's network namespace: the host's */
        if (stat("/proc/self/ns/net", &left) < 0)
            give_up(sync, 125, errno, "cannot examine the network namespace");
        if (p->ns && enter_namespaces(p->ns, &e) < 0)
            give_up(sync, 125, e.status, e.msg);
        /* Without a name of its own a container has that of its uts namespace. */
        static char hostname[65];
        struct boot_container *c = &p->sandbox->boot->container;
        if ((!c->hostname || !*c->hostname) && gethostname(hostname, sizeof(hostname) - 1) == 0)
            c->hostname = hostname;
        if (sync_send(sync, SYNC_NAMESPACES) < 0)
            _exit(1);
        await_command(sync, SYNC_GO);
        /* By now an engine has put into it what the container is to have. */
        if (!p->pod && (p->network == NET_NAMESPACE || p->network == NET_SANDBOX) && p->ns && p->ns[OCI_NS_NET].is_set &&
            netns_take_entered(&left, p->egress, p->sandbox, &e) < 0)
            give_up(sync, 125, e.status, e.msg);
        p->sandbox->has_resolver = p->sandbox->boot->net && netns_has_resolver();
        p->sandbox->is_host_network = has_host_network(p, &left);
        if (p->sandbox->is_host_network && p->egress && !p->pod)
            give_up(sync, 125, 0,
                    "--egress limits the sandbox's own network stack, and this container has the host's");
        if ((p->pod ? join_pod(p, &sb, &e) : sandbox_start(p->sandbox, &sb, &e)) < 0)
            give_up(sync, 125, e.status, e.msg);
    }
    int fds[] = {p->sandbox ? sb.control : p->link, sync, sig_fd, p->tty};
    if (keep_fds(fds, ARRAY_SIZE(fds)) < 0)
        give_up(sync, 125, errno, "cannot place the attendant's descriptors");
    if (chdir("/") < 0)
        give_up(fds[1], 125, errno, "cannot leave the working directory");
    if (p->sandbox && p->ns && p->ns[OCI_NS_MNT].is_set && rootns_enter(p->sandbox, &e) < 0)
        give_up(fds[1], 125, e.status, e.msg);
    await_sandbox(fds[0], fds[1], fds[3]);
    await_command(fds[1], SYNC_COMMIT);
    close(fds[1]);
    int status = attend(fds[0], fds[2], fds[3]);
    if (p->sandbox) {
        sb.control = -1;
        sandbox_destroy(&sb);
    }
    die_as(status);
}

int attendant_fork(const struct attendant_params *p, pid_t *ret_pid, int *ret_sync, struct err *e)
{
    int sync[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sync) < 0)
        return err_errno(e, "cannot make a socket");
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        close(sync[0]);
        attendant_main(p, sync[1]);
    }
    int saved = errno;
    close(sync[1]);
    if (pid < 0) {
        close(sync[0]);
        errno = saved;
        return err_errno(e, "cannot start the container's attendant");
    }
    *ret_pid = pid;
    *ret_sync = sync[0];
    return 0;
}
