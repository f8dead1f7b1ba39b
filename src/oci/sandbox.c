/*
 * Starting a sandbox.
 *
 * All helpers are this very executable, run again from its fd with an empty
 * environment, so that none inherits the command's memory or layout.
 *
 *   sentry  new user, pid, net, ipc, uts and mount namespaces. Its user
 *           namespace maps uid 0 to an unprivileged host uid: nobody when root
 *           starts it, the caller's own otherwise. It goes on to build an
 *           empty root, drop every capability and install its filter.
 *   gofer   new mount, pid, ipc and uts namespaces (and a user namespace when the
 *           caller is not root). Unless the tree is to be written, every mount
 *           in its namespace is made read-only first. With id maps of a container's user
 *           namespace it goes on to a namespace of those, once it has its mounts: the ids
 *           that it speaks of are the container's from then on, and it is nobody else on
 *           the host.
 *   broker  with the host's network alone: as the gofer, without any files; it
 *           stays in the network namespace that the command is in.
 *
 * Each child waits for one byte from us, sent once its id maps are written. On
 * the same socket it says what went wrong when it does not get as far as its
 * program; its exec closes the socket without a word.
 */
#include "oci/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/mount.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/fdpass.h"
#include "oci/idmap.h"
#include "wire/control.h"

#define NOBODY       65534
#define FD_HIGH      512 /* where descriptors are parked before they take their places */
#define MAX_FD_MOVES (BOOT_MAX_TREES + BOOT_MAX_LANES + BOOT_MAX_PASSED + NETCFG_MAX_IFACES + 16)

struct fd_move {
    int from, to;
};

struct child_plan {
    const char *role;
    unsigned long clone_flags;
    struct fd_move moves[MAX_FD_MOVES];
    u32 nmoves;
    u32 map_host_uid, map_host_gid, map_inner_uid, map_inner_gid;
    bool is_root_caller;
    const struct bootcfg *maps; /* of a user namespace with more than our own id; NULL: none */
    pid_t pid;
    int link;                                /* in the child: to its parent */
    int (*prepare)(struct child_plan *plan); /* in the child, before fds move; errno on failure */
    const struct sandbox_params *params;
    const char *failed_on; /* what prepare failed on, or NULL */
    const char *argv[6];
};

int sandbox_self_fd(struct err *e)
{
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_errno(e, "cannot open /proc/self/exe (is /proc mounted?)");
    return fd;
}

static void plan_move(struct child_plan *p, int from, int to)
{
    if (p->nmoves < MAX_FD_MOVES)
        p->moves[p->nmoves++] = (struct fd_move){from, to};
}

/* What a child that fails sends. */
struct child_report {
    bool is_asking; /* for its id maps: it has a user namespace now, and waits */
    int err;
    char step[200];
};

/* Puts every descriptor at its place and closes all others, but for two that exec closes. */
static int move_fds(struct child_plan *p, int *self_fd, int *link_fd)
{
    int max = 2;
    for (u32 i = 0; i < p->nmoves; i++) {
        p->moves[i].from = fcntl(p->moves[i].from, F_DUPFD, FD_HIGH);
        if (p->moves[i].from < 0)
            return -1;
        if (p->moves[i].to > max)
            max = p->moves[i].to;
    }
    int self = fcntl(*self_fd, F_DUPFD_CLOEXEC, FD_HIGH);
    int link = fcntl(*link_fd, F_DUPFD_CLOEXEC, FD_HIGH);
    if (self < 0 || link < 0)
        return -1;
    *link_fd = link;
    for (int fd = 0; fd <= max; fd++) {
        int from = -1;
        for (u32 i = 0; i < p->nmoves; i++)
            if (p->moves[i].to == fd)
                from = p->moves[i].from;
        if (from >= 0) {
            if (dup2(from, fd) < 0)
                return -1;
        } else {
            close(fd);
        }
    }
    int place = max + 1;
    if (dup3(self, place, O_CLOEXEC) < 0)
        return -1;
    *self_fd = place;
    if (dup3(link, place + 1, O_CLOEXEC) < 0)
        return -1;
    *link_fd = place + 1;
    return (int)syscall(SYS_close_range, place + 2, ~0U, 0);
}

#define EMPTY_DIR "size=4k,nr_inodes=2,mode=555"

/* Covers the host's kernel file systems below the served root; what a root does not have is left
 * out. */
static int cover_kernel_files(const char *root)
{
    static const char *const names[] = {"proc", "sys", "dev"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        char path[PATH_MAX];
        if (snprintf(path, sizeof(path), "%s/%s", root, names[i]) >= (int)sizeof(path))
            continue;
        if (mount("none", path, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY, EMPTY_DIR) <
                0 &&
            errno != ENOENT && errno != ENOTDIR)
            return -1;
    }
    return 0;
}

/* A detached copy of the mounts at path, as the gofer is to see them; a descriptor, or -1. is_whole: with
 * what is mounted below. */
static int clone_tree(const char *path, bool is_whole, bool is_rw)
{
    int fd = (int)syscall(SYS_open_tree, AT_FDCWD, path,
                          OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (is_whole ? AT_RECURSIVE : 0));
    if (fd < 0)
        return -1;
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
                                          (is_rw ? 0 : MOUNT_ATTR_RDONLY)};
    if (syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof(attr)) < 0 &&
        errno != EPERM && errno != ENOSYS) {
        close(fd);
        return -1;
    }
    return fd;
}

/* To a user namespace with the container's maps, as its root. */
static int enter_maps(struct child_plan *plan)
{
    struct child_report ask = {.is_asking = true};
    char byte;
    if (unshare(CLONE_NEWUSER) < 0)
        return -1;
    if (send(plan->link, &ask, sizeof(ask), MSG_NOSIGNAL) < 0 || read(plan->link, &byte, 1) != 1)
        _exit(70); /* the parent knows why */
    if (setgroups(0, NULL) < 0 && errno != EPERM)
        return -1;
    return setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0 ? -1 : 0;
}

/*
 * An empty directory as the root: /proc is the one that is sure to exist. Here and not in
 * the child's program, which as an ordinary user has no capability after exec.
 */
static int enter_empty_root(struct child_plan *plan)
{
    if (mount("none", "/proc", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY, EMPTY_DIR) <
        0)
        return -1;
    /* Before the root changes: the kernel makes no user namespace below another root. */
    if (plan->maps && plan->is_root_caller && enter_maps(plan) < 0)
        return -1;
    return chdir("/proc") < 0 || chroot(".") < 0 ? -1 : 0;
}

/*
 * The gofer's view of the host: only the trees that it serves, private, without devices, and
 * read-only unless it is to write. Each is a detached copy of mounts: it has no parent, so that
 * ".." of a descriptor below it (the sentry has some with directfs) ends there.
 */
static int prepare_gofer(struct child_plan *plan)
{
    const struct sandbox_params *p = plan->params;
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return -1;
    int self =
        (int)syscall(SYS_open_tree, AT_FDCWD, "/proc/self/fd", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (self < 0)
        return -1;
    plan_move(plan, self, BOOT_FD_GOFER_SELF);
    if (p->is_host_root && cover_kernel_files(p->root) < 0)
        return -1;
    plan->failed_on = p->root;
    int root_fd = clone_tree(p->root, true, p->is_rw);
    if (root_fd < 0)
        return -1;
    plan_move(plan, root_fd, BOOT_FD_GOFER_ROOT);
    for (u32 i = 0; i < p->ntrees; i++) {
        plan->failed_on = p->trees[i].path;
        int fd = clone_tree(p->trees[i].path, p->trees[i].is_whole, !p->trees[i].is_read_only);
        if (fd < 0)
            return -1;
        plan_move(plan, fd, (int)(BOOT_FD_LANES + p->nlanes + i));
    }
    plan->failed_on = NULL;
    return enter_empty_root(plan);
}

static int prepare_broker(struct child_plan *plan)
{
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return -1;
    /* Of this process, whatever it becomes: its network namespace's. */
    int net = open("/proc/self/net", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (net < 0)
        return -1;
    plan_move(plan, net, BOOT_FD_BROKER_NET);
    return enter_empty_root(plan);
}

static noreturn_fn void child_main(struct child_plan *p, int self_fd, int link_fd)
{
    char byte;
    char *const no_env[] = {NULL};
    const char *step = "wait for its parent";
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    p->link = link_fd;
    if (read(link_fd, &byte, 1) != 1)
        _exit(70);
    struct rlimit nofile;
    if (getrlimit(RLIMIT_NOFILE, &nofile) == 0 && nofile.rlim_cur < nofile.rlim_max) {
        nofile.rlim_cur = nofile.rlim_max;
        setrlimit(RLIMIT_NOFILE, &nofile);
    }
    step = "take its identity";
    if (p->clone_flags & CLONE_NEWUSER) {
        if (p->is_root_caller && setgroups(0, NULL) < 0)
            goto fail;
        if (setresgid(p->map_inner_gid, p->map_inner_gid, p->map_inner_gid) < 0 ||
            setresuid(p->map_inner_uid, p->map_inner_uid, p->map_inner_uid) < 0)
            goto fail;
    }
    step = "prepare its mounts";
    if (p->prepare && p->prepare(p) < 0)
        goto fail;
    step = "place its descriptors";
    if (setsid() < 0 && errno != EPERM)
        goto fail;
    if (move_fds(p, &self_fd, &link_fd) < 0)
        goto fail;
    /* The sentry's first process needs the default dispositions whatever the caller ignored. */
    for (int s = 1; s < 32; s++)
        signal(s, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    step = "run its program";
    syscall(SYS_execveat, self_fd, "", (char *const *)(uintptr_t)p->argv, no_env, AT_EMPTY_PATH);
fail:;
    struct child_report report = {.err = errno};
    if (p->failed_on)
        snprintf(report.step, sizeof(report.step), "serve '%.150s'", p->failed_on);
    else
        snprintf(report.step, sizeof(report.step), "%s", step);
    _exit(send(link_fd, &report, sizeof(report), MSG_NOSIGNAL) < 0 ? 71 : 70);
}

static int write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t n = write(fd, text, strlen(text));
    int saved = errno;
    close(fd);
    errno = saved;
    return n == (ssize_t)strlen(text) ? 0 : -1;
}

static int write_maps(const struct child_plan *p, pid_t pid)
{
    char path[64], text[64];
    snprintf(path, sizeof(path), "/proc/%d/uid_map", pid);
    snprintf(text, sizeof(text), "%u %u 1\n", p->map_inner_uid, p->map_host_uid);
    if (write_file(path, text) < 0)
        return -1;
    if (!p->is_root_caller) {
        snprintf(path, sizeof(path), "/proc/%d/setgroups", pid);
        if (write_file(path, "deny") < 0)
            return -1;
    }
    snprintf(path, sizeof(path), "/proc/%d/gid_map", pid);
    snprintf(text, sizeof(text), "%u %u 1\n", p->map_inner_gid, p->map_host_gid);
    return write_file(path, text);
}

/* Whether the kernel and its settings let us confine anything, said before a process is made. */
static int check_kernel(struct err *e)
{
    u32 action = SECCOMP_RET_TRAP;
    if (syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) < 0)
        return err_errno(e, "cannot start the sandbox: this kernel has no seccomp filters "
                            "(CONFIG_SECCOMP_FILTER), which confine it");
    if (access("/proc/self/ns/user", F_OK) < 0)
        return err_errno(e, "cannot start the sandbox: this kernel has no user namespaces "
                            "(CONFIG_USER_NS), or /proc is not mounted");
    return 0;
}

/* Whether our own user namespace has an id besides ours for the sentry. */
static bool has_nobody(const char *map_path)
{
    FILE *f = fopen(map_path, "re");
    unsigned inner, outer, n;
    bool has = false;
    while (f && fscanf(f, "%u %u %u", &inner, &outer, &n) == 3)
        has |= NOBODY >= inner && NOBODY - inner < n;
    if (f)
        fclose(f);
    return has;
}

static void end_child(pid_t pid)
{
    if (pid <= 0)
        return;
    kill(pid, SIGKILL);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
}

/* Our user namespace is not the sentry's when root starts it: it sees other owners, and the answers
 * must be the gofer's. */
static void choose_files(const struct sandbox_params *p, bool is_root)
{
    if (is_root)
        p->boot->container.flags &= ~(u32)BOOT_DIRECTFS;
}

/* *ret_link is the socket to await_exec. */
static int start_child(struct child_plan *p, int self_fd, pid_t *ret_pid, int *ret_link,
                       struct err *e)
{
    int link[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, link) < 0)
        return err_errno(e, "cannot make a socket");
    pid_t pid = (pid_t)syscall(SYS_clone, p->clone_flags | SIGCHLD, NULL, NULL, NULL, NULL);
    if (pid == 0) {
        close(link[0]);
        child_main(p, self_fd, link[1]);
    }
    int saved = errno;
    close(link[1]);
    if (pid < 0) {
        close(link[0]);
        errno = saved;
        if (saved == EINVAL)
            return err_errno(e,
                             "cannot start the %s: this kernel lacks a kind of namespace "
                             "(user, pid, mount, net, ipc and uts are needed)",
                             p->role);
        if (saved == ENOSPC || saved == EUSERS || (saved == EPERM && !p->is_root_caller))
            return err_errno(e,
                             "cannot start the %s: this kernel does not let this user make user "
                             "namespaces (see user.max_user_namespaces and "
                             "kernel.unprivileged_userns_clone)",
                             p->role);
        return err_errno(e, "cannot start the %s in new namespaces", p->role);
    }
    int r = 0;
    if ((p->clone_flags & CLONE_NEWUSER) && p->maps)
        r = idmap_write(pid, p->maps, false, e);
    else if ((p->clone_flags & CLONE_NEWUSER) && write_maps(p, pid) < 0)
        r = err_errno(e, "cannot write the id maps of the %s's user namespace", p->role);
    if (r < 0) {
        close(link[0]);
        end_child(pid);
        return -1;
    }
    /* Where this is not allowed, the sentry offers its stubs instead (sentry/main.c). */
    char path[64], adj[16];
    snprintf(path, sizeof(path), "/proc/%d/oom_score_adj", pid);
    snprintf(adj, sizeof(adj), "%d", BOOT_OOM_PROTECTED);
    (void)write_file(path, adj);
    /* A child that has died already says nothing either; that shows at the control socket. */
    (void)!send(link[0], "x", 1, MSG_NOSIGNAL);
    *ret_pid = p->pid = pid;
    *ret_link = link[0];
    return 0;
}

static ssize_t receive_report(int link, struct child_report *ret)
{
    ssize_t n;
    while ((n = recv(link, ret, sizeof(*ret), 0)) < 0 && errno == EINTR)
        ;
    return n;
}

/* Until the child runs its program, or says why it cannot. Closes link. */
static int await_exec(const struct child_plan *p, int link, struct err *e)
{
    struct child_report report;
    ssize_t n = receive_report(link, &report);
    if (n == sizeof(report) && report.is_asking) {
        if (idmap_write(p->pid, p->maps, true, e) < 0) {
            close(link);
            return -1;
        }
        (void)!send(link, "x", 1, MSG_NOSIGNAL); /* one that has died says nothing, as below */
        n = receive_report(link, &report);
    }
    close(link);
    if (n != sizeof(report))
        return 0;
    report.step[sizeof(report.step) - 1] = 0;
    errno = report.err;
    return err_errno(e, "cannot start the sandbox: its %s cannot %s", p->role, report.step);
}

static int write_config(struct bootcfg *boot, struct err *e)
{
    void *buf;
    size_t size;
    if (bootcfg_encode(boot, &buf, &size) < 0)
        return err_set(e, "the argument list or environment is too long");
    int fd = memfd_create("boot", MFD_CLOEXEC);
    if (fd < 0 && errno == ENOSYS) {
        free(buf);
        return err_errno(e, "cannot start the sandbox: this kernel has no memfd_create");
    }
    if (fd < 0 || write(fd, buf, size) != (ssize_t)size) {
        err_errno(e, "cannot write the boot configuration");
        free(buf);
        if (fd >= 0)
            close(fd);
        return -1;
    }
    free(buf);
    return fd;
}

/* Which trees the gofer serves, in order: a letter each (cmd_gofer.c). */
static void describe_trees(const struct sandbox_params *p, char *text)
{
    *text++ = p->is_host_root ? (p->is_rw ? 'W' : 'R') : (p->is_rw ? 'w' : 'r');
    for (u32 i = 0; i < p->ntrees; i++)
        *text++ = p->trees[i].is_read_only ? 'r' : 'w';
    *text = 0;
}

struct lanes {
    int fds[BOOT_MAX_LANES][2]; /* the sentry's end, the gofer's */
    u32 n;
};

static int lanes_make(struct lanes *l, u32 n, struct err *e)
{
    for (l->n = 0; l->n < n; l->n++)
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, l->fds[l->n]) < 0)
            return err_errno(e, "cannot make the gofer's sockets");
    return 0;
}

static void lanes_close(struct lanes *l)
{
    for (u32 i = 0; i < l->n; i++) {
        close(l->fds[i][0]);
        close(l->fds[i][1]);
    }
    l->n = 0;
}

/* Who starts the sandbox, and what the gofer calls that. */
struct identity {
    bool is_root;
    u32 inner_uid, inner_gid;
    const struct bootcfg *maps; /* the gofer's, when they name more than our own id */
};

/* Also tells the sentry, by p->boot: to be called before that is encoded. */
static struct identity identify(const struct sandbox_params *p)
{
    struct bootcfg *boot = p->boot;
    struct identity id = {
        /* Root in a user namespace of one id is an ordinary user with another name. */
        .is_root =
            geteuid() == 0 && has_nobody("/proc/self/uid_map") && has_nobody("/proc/self/gid_map"),
        .inner_uid = geteuid(),
        .inner_gid = getegid(),
    };
    if (p->is_mapped &&
        (id.is_root || !idmap_single(boot, geteuid(), getegid(), &id.inner_uid, &id.inner_gid))) {
        id.maps = boot;
        id.inner_uid = id.inner_gid = 0;
        /* The sentry itself sees owners as its own namespace has them. */
        boot->container.flags &= ~BOOT_DIRECTFS;
    }
    boot->own_uid = id.inner_uid;
    boot->own_gid = id.inner_gid;
    return id;
}

static void plan_gofer(struct child_plan *c, const struct sandbox_params *p,
                       const struct lanes *lanes, int null_fd, const struct identity *id)
{
    static char lane_count[16], trees[BOOT_MAX_TREES + 1];
    snprintf(lane_count, sizeof(lane_count), "%u", lanes->n);
    describe_trees(p, trees);
    *c = (struct child_plan){
        .role = "gofer",
        .clone_flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS |
                       (id->is_root ? 0 : CLONE_NEWUSER),
        .map_host_uid = geteuid(),
        .map_host_gid = getegid(),
        .map_inner_uid = id->inner_uid,
        .map_inner_gid = id->inner_gid,
        .maps = id->maps,
        .is_root_caller = id->is_root,
        .prepare = prepare_gofer,
        .params = p,
        .argv = {"cvisor", "gofer", lane_count, trees, NULL},
    };
    plan_move(c, null_fd, 0);
    plan_move(c, null_fd, 1);
    plan_move(c, p->log_fd, 2);
    for (u32 i = 0; i < lanes->n; i++)
        plan_move(c, lanes->fds[i][1], (int)(BOOT_FD_LANES + i));
}

static void plan_broker(struct child_plan *c, const struct sandbox_params *p, int link, int null_fd,
                        bool is_root)
{
    *c = (struct child_plan){
        .role = "network broker",
        .clone_flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS |
                       (is_root ? 0 : CLONE_NEWUSER),
        .map_host_uid = geteuid(),
        .map_host_gid = getegid(),
        .map_inner_uid = geteuid(),
        .map_inner_gid = getegid(),
        .is_root_caller = is_root,
        .prepare = prepare_broker,
        .argv = {"cvisor", "broker", NULL},
    };
    plan_move(c, null_fd, 0);
    plan_move(c, null_fd, 1);
    plan_move(c, p->log_fd, 2);
    c->argv[2] = p->has_resolver ? (is_root ? "nr" : "r") : is_root ? "nb" : "-";
    plan_move(c, link, BOOT_FD_BROKER_LINK);
}

static void plan_sentry(struct child_plan *c, const struct sandbox_params *p,
                        const struct lanes *lanes, int null_fd, int config, int control,
                        int broker, bool is_root)
{
    *c = (struct child_plan){
        .role = "sentry",
        .clone_flags =
            CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET,
        .map_host_uid = is_root ? NOBODY : geteuid(),
        .map_host_gid = is_root ? NOBODY : getegid(),
        .is_root_caller = is_root,
        .argv = {"cvisor", "sentry", NULL},
    };
    for (int i = 0; i < 3; i++)
        plan_move(c, p->stdio[i] >= 0 ? p->stdio[i] : null_fd, i);
    plan_move(c, config, BOOT_FD_CONFIG);
    plan_move(c, control, BOOT_FD_CONTROL);
    plan_move(c, p->log_fd, BOOT_FD_LOG);
    plan_move(c, p->strace_fd, BOOT_FD_STRACE);
    if (p->listen_fd > 0)
        plan_move(c, p->listen_fd, BOOT_FD_LISTEN);
    if (p->console_fd > 0)
        plan_move(c, p->console_fd, BOOT_FD_CONSOLE);
    if (broker >= 0)
        plan_move(c, broker, BOOT_FD_BROKER);
    for (u32 i = 0; i < lanes->n; i++)
        plan_move(c, lanes->fds[i][0], (int)(BOOT_FD_LANES + i));
    for (u32 i = 0; i < p->npassed; i++)
        plan_move(c, p->passed[i], (int)(BOOT_FD_LANES + lanes->n + i));
    for (u32 i = 0; i < p->nnet_fds; i++)
        plan_move(c, p->net_fds[i], (int)(BOOT_FD_NET + i));
}

/* broker NULL: none. */
static int start_all(struct child_plan *sentry, struct child_plan *gofer, struct child_plan *broker,
                     int self_fd, struct sandbox *sb, struct err *e)
{
    struct child_plan *plans[] = {sentry, gofer, broker};
    pid_t *pids[] = {&sb->sentry, &sb->gofer, &sb->broker};
    int links[] = {-1, -1, -1};
    bool is_started = true;
    for (size_t i = 0; is_started && i < ARRAY_SIZE(plans) && plans[i]; i++)
        is_started = start_child(plans[i], self_fd, pids[i], &links[i], e) == 0;
    for (size_t i = 0; i < ARRAY_SIZE(plans); i++)
        if (links[i] >= 0 && await_exec(plans[i], links[i], is_started ? e : NULL) < 0)
            is_started = false;
    return is_started ? 0 : -1;
}

int sandbox_start(const struct sandbox_params *p, struct sandbox *ret_sb, struct err *e)
{
    int control[2] = {-1, -1}, link[2] = {-1, -1}, config = -1, root_fd = -1, null_fd = -1, r = -1;
    struct lanes lanes = {.n = 0};
    struct sandbox sb = SANDBOX_NONE;
    static struct child_plan gofer, sentry, broker; /* large */
    struct identity id = identify(p);
    bool has_broker = p->is_host_network || p->has_resolver;
    int self_fd = sandbox_self_fd(e);
    if (self_fd < 0)
        return -1;
    if (check_kernel(e) < 0)
        goto out;
    if (p->ntrees >= BOOT_MAX_TREES) {
        err_set(e, "more than %d bind mounts", BOOT_MAX_TREES - 1);
        goto out;
    }
    p->boot->container.nlanes = p->nlanes;
    p->boot->container.process.npassed = p->npassed;
    if (p->is_host_network)
        p->boot->flags |= BOOT_HOST_NET;
    else if (p->has_resolver)
        p->boot->flags |= BOOT_RESOLVER;
    choose_files(p, id.is_root);
    config = write_config(p->boot, e);
    if (config < 0)
        goto out;
    root_fd =
        open(p->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* says now what is wrong with it */
    if (root_fd < 0) {
        err_errno(e, "cannot open the root directory '%s'", p->root);
        goto out;
    }
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control) < 0) {
        err_errno(e, "cannot make the control socket");
        goto out;
    }
    if (has_broker && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, link) < 0) {
        err_errno(e, "cannot make the network broker's socket");
        goto out;
    }
    null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null_fd < 0) {
        err_errno(e, "cannot open /dev/null");
        goto out;
    }
    if (lanes_make(&lanes, p->nlanes, e) < 0)
        goto out;
    plan_gofer(&gofer, p, &lanes, null_fd, &id);
    plan_sentry(&sentry, p, &lanes, null_fd, config, control[1], link[0], id.is_root);
    plan_broker(&broker, p, link[1], null_fd, id.is_root);
    if (start_all(&sentry, &gofer, has_broker ? &broker : NULL, self_fd, &sb, e) == 0) {
        sb.control = take_fd(control[0]);
        *ret_sb = sb;
        r = 0;
    } else {
        sandbox_destroy(&sb);
    }
out:
    lanes_close(&lanes);
    const int fds[] = {control[0], control[1], link[0], link[1], config, root_fd, null_fd, self_fd};
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
        if (fds[i] >= 0)
            close(fds[i]);
    return r;
}

/* config, standard descriptors, lanes, passed ones: as CTL_CREATE has them. */
static int request_container(const struct sandbox_params *p, int control, const char *sandbox_id,
                             int config, const struct lanes *lanes, struct err *e)
{
    int fds[CTL_MAX_FDS], has = 0;
    u32 n = 0;
    fds[n++] = config;
    if (p->console_fd > 0) {
        fds[n++] = p->console_fd;
        has = CTL_HAS_CONSOLE;
    }
    for (int i = 0; i < 3 && !has; i++)
        fds[n++] = p->stdio[i];
    if (!has)
        has = 7;
    if (n + lanes->n + p->npassed + p->ncgroup_fds > CTL_MAX_FDS)
        return err_set(e, "too many descriptors are to be passed to the container");
    for (u32 i = 0; i < lanes->n; i++)
        fds[n++] = lanes->fds[i][0];
    for (u32 i = 0; i < p->npassed; i++)
        fds[n++] = p->passed[i];
    for (u32 i = 0; i < p->ncgroup_fds; i++)
        fds[n++] = p->cgroup_fds[i];
    u8 buf[CTL_MAX_ID + 64];
    struct ctl_msg m = {.type = CTL_CREATE,
                        .a = has,
                        .b = (s32)lanes->n,
                        .id = {sandbox_id, (u32)strlen(sandbox_id)}};
    size_t size = ctl_encode(&m, buf, sizeof(buf));
    int r = size > 0 ? host_send_fds(control, buf, size, fds, n) : -EMSGSIZE;
    if (r < 0) {
        errno = -r;
        return err_errno(e, "cannot talk to the pod's sentry");
    }
    return 0;
}

int sandbox_join(const struct sandbox_params *p, int control, const char *sandbox_id,
                 struct sandbox *ret_sb, struct err *e)
{
    static struct child_plan gofer; /* large */
    struct lanes lanes = {.n = 0};
    struct sandbox sb = SANDBOX_NONE;
    void *buf = NULL;
    size_t size;
    int link = -1, config = -1, null_fd = -1, r = -1;
    struct identity id = identify(p);
    int self_fd = sandbox_self_fd(e);
    if (self_fd < 0)
        return -1;
    p->boot->container.nlanes = p->nlanes;
    p->boot->container.process.npassed = p->npassed;
    p->boot->container.ncgroups = p->ncgroup_fds;
    choose_files(p, id.is_root);
    if (boot_container_encode(&p->boot->container, &buf, &size) < 0)
        err_set(e, "the argument list or environment is too long");
    else
        config = memfd_create("container", MFD_CLOEXEC);
    if (buf && (config < 0 || write(config, buf, size) != (ssize_t)size))
        err_errno(e, "cannot write the container's configuration");
    else if (buf && (null_fd = open("/dev/null", O_RDWR | O_CLOEXEC)) < 0)
        err_errno(e, "cannot open /dev/null");
    else if (buf && lanes_make(&lanes, p->nlanes, e) == 0) {
        plan_gofer(&gofer, p, &lanes, null_fd, &id);
        r = start_child(&gofer, self_fd, &sb.gofer, &link, e);
        if (r == 0)
            r = await_exec(&gofer, link, e);
        if (r == 0)
            r = request_container(p, control, sandbox_id, config, &lanes, e);
    }
    if (r < 0) {
        sandbox_destroy(&sb);
    } else {
        sb.control = control;
        *ret_sb = sb;
    }
    free(buf);
    lanes_close(&lanes);
    const int fds[] = {config, null_fd, self_fd};
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
        if (fds[i] >= 0)
            close(fds[i]);
    return r;
}

void sandbox_destroy(struct sandbox *sb)
{
    if (sb->sentry > 0 && sb->gofer > 0)
        kill(sb->gofer, SIGKILL); /* both end at the same time */
    end_child(sb->sentry);
    end_child(sb->gofer);
    end_child(sb->broker);
    if (sb->control >= 0)
        close(sb->control);
    *sb = SANDBOX_NONE;
}
