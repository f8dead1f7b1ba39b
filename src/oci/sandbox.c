/*
 * Starting a sandbox.
 *
 * Both helpers are this very executable, run again from its fd with an empty
 * environment, so that neither inherits the command's memory or layout.
 *
 *   sentry  new user, pid, net, ipc, uts and mount namespaces. Its user
 *           namespace maps uid 0 to an unprivileged host uid: nobody when root
 *           starts it, the caller's own otherwise. It goes on to build an
 *           empty root, drop every capability and install its filter.
 *   gofer   new mount, pid, ipc and uts namespaces (and a user namespace when the
 *           caller is not root). Unless the tree is to be written, every mount
 *           in its namespace is made read-only first.
 *
 * Each child waits for one byte from us, sent once its id maps are written.
 */
#include "oci/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/mount.h>
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

#define NOBODY       65534
#define FD_HIGH      200 /* where descriptors are parked before they take their places */
#define MAX_FD_MOVES 80

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
    int (*prepare)(struct child_plan *plan); /* in the child, before fds move; errno on failure */
    const char *root;
    bool is_rw;
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

/* Puts every descriptor at its place and closes all others. */
static int move_fds(struct child_plan *p, int *self_fd)
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
    if (self < 0)
        return -1;
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
    return (int)syscall(SYS_close_range, place + 1, ~0U, 0);
}

/*
 * The gofer's view of the host: private, and read-only unless it is to write.
 * The root is opened afterwards, so that the descriptor belongs to these mounts.
 */
static int prepare_gofer(struct child_plan *plan)
{
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return -1;
    if (!plan->is_rw) {
        struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID};
        if (syscall(SYS_mount_setattr, AT_FDCWD, "/", AT_RECURSIVE, &attr, sizeof(attr)) < 0 &&
            errno != EPERM && errno != ENOSYS)
            return -1;
    }
    int root_fd = open(plan->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root_fd < 0)
        return -1;
    plan_move(plan, root_fd, BOOT_FD_GOFER_ROOT);
    int self = (int)syscall(SYS_open_tree, AT_FDCWD, "/proc/self/fd",
                            OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (self < 0)
        return -1;
    plan_move(plan, self, BOOT_FD_GOFER_SELF);
    /* An empty directory to chroot to; it also hides the host's /proc, the one that is sure to exist. */
    if (mount("none", "/proc", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY,
              "size=4k,nr_inodes=2,mode=555") < 0)
        return -1;
    int jail_fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (jail_fd < 0)
        return -1;
    plan_move(plan, jail_fd, BOOT_FD_GOFER_JAIL);
    return 0;
}

static noreturn_fn void child_main(struct child_plan *p, int self_fd, int sync_fd)
{
    char byte;
    char *const no_env[] = {NULL};
    const char *step = "wait for its parent";
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (read(sync_fd, &byte, 1) != 1)
        _exit(70);
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
    if (move_fds(p, &self_fd) < 0)
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
fail:
    dprintf(2, "cvisor: the %s cannot %s: %s\n", p->role, step, strerror(errno));
    _exit(70);
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

static int start_child(struct child_plan *p, int self_fd, pid_t *ret_pid, struct err *e)
{
    int sync[2];
    if (pipe2(sync, O_CLOEXEC) < 0)
        return err_errno(e, "cannot make a pipe");
    pid_t pid = (pid_t)syscall(SYS_clone, p->clone_flags | SIGCHLD, NULL, NULL, NULL, NULL);
    if (pid == 0) {
        close(sync[1]);
        child_main(p, self_fd, sync[0]);
    }
    int saved = errno;
    close(sync[0]);
    if (pid < 0) {
        close(sync[1]);
        errno = saved;
        if (saved == ENOSPC || saved == EUSERS || (saved == EPERM && !p->is_root_caller))
            return err_errno(e, "cannot start the %s: this kernel does not let this user make user "
                                "namespaces (see user.max_user_namespaces and "
                                "kernel.unprivileged_userns_clone)", p->role);
        return err_errno(e, "cannot start the %s in new namespaces", p->role);
    }
    if ((p->clone_flags & CLONE_NEWUSER) && write_maps(p, pid) < 0) {
        err_errno(e, "cannot write the id maps of the %s's user namespace", p->role);
        close(sync[1]);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        return -1;
    }
    /* A child that died already shows up when its socket closes. */
    if (write(sync[1], "x", 1) < 0)
        saved = errno;
    close(sync[1]);
    *ret_pid = pid;
    return 0;
}

static int write_config(struct bootcfg *boot, struct err *e)
{
    void *buf;
    size_t size;
    if (bootcfg_encode(boot, &buf, &size) < 0)
        return err_set(e, "the argument list or environment is too long");
    int fd = memfd_create("boot", MFD_CLOEXEC);
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

int sandbox_start(const struct sandbox_params *p, struct sandbox *ret_sb, struct err *e)
{
    int control[2] = {-1, -1}, lanes[BOOT_MAX_LANES][2], config = -1, root_fd = -1, r = -1;
    u32 nlanes = 0;
    struct sandbox sb = {-1, -1, -1};
    bool is_root = geteuid() == 0;
    int self_fd = sandbox_self_fd(e);
    if (self_fd < 0)
        return -1;

    p->boot->nlanes = p->nlanes;
    config = write_config(p->boot, e);
    if (config < 0)
        goto out;
    root_fd = open(p->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* says now what is wrong with it */
    if (root_fd < 0) {
        err_errno(e, "cannot open the root directory '%s'", p->root);
        goto out;
    }
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control) < 0) {
        err_errno(e, "cannot make the control socket");
        goto out;
    }
    for (; nlanes < p->nlanes; nlanes++) {
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, lanes[nlanes]) < 0) {
            err_errno(e, "cannot make the gofer's sockets");
            goto out;
        }
    }

    char lane_count[16], attach_flags[16];
    snprintf(lane_count, sizeof(lane_count), "%u", nlanes);
    snprintf(attach_flags, sizeof(attach_flags), "%s", p->is_rw ? "rw" : "ro");
    struct child_plan gofer = {
        .role = "gofer",
        .clone_flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS,
        .map_host_uid = geteuid(), .map_host_gid = getegid(),
        .map_inner_uid = geteuid(), .map_inner_gid = getegid(),
        .is_root_caller = is_root,
        .prepare = prepare_gofer, .root = p->root, .is_rw = p->is_rw,
        .argv = {"cvisor", "gofer", lane_count, attach_flags, NULL},
    };
    if (!is_root)
        gofer.clone_flags |= CLONE_NEWUSER;
    int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null_fd < 0) {
        err_errno(e, "cannot open /dev/null");
        goto out;
    }
    plan_move(&gofer, null_fd, 0);
    plan_move(&gofer, null_fd, 1);
    plan_move(&gofer, p->log_fd, 2);
    for (u32 i = 0; i < nlanes; i++)
        plan_move(&gofer, lanes[i][1], (int)(BOOT_FD_LANES + i));

    struct child_plan sentry = {
        .role = "sentry",
        .clone_flags = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS |
                       CLONE_NEWNET,
        .map_host_uid = is_root ? NOBODY : geteuid(), .map_host_gid = is_root ? NOBODY : getegid(),
        .is_root_caller = is_root,
        .argv = {"cvisor", "sentry", NULL},
    };
    for (int i = 0; i < 3; i++)
        plan_move(&sentry, p->stdio[i] >= 0 ? p->stdio[i] : null_fd, i);
    plan_move(&sentry, config, BOOT_FD_CONFIG);
    plan_move(&sentry, control[1], BOOT_FD_CONTROL);
    plan_move(&sentry, p->log_fd, BOOT_FD_LOG);
    plan_move(&sentry, p->strace_fd, BOOT_FD_STRACE);
    for (u32 i = 0; i < nlanes; i++)
        plan_move(&sentry, lanes[i][0], (int)(BOOT_FD_LANES + i));

    if (start_child(&sentry, self_fd, &sb.sentry, e) == 0 &&
        start_child(&gofer, self_fd, &sb.gofer, e) == 0) {
        sb.control = take_fd(control[0]);
        *ret_sb = sb;
        r = 0;
    } else {
        sandbox_destroy(&sb);
    }
    close(null_fd);
out:
    for (u32 i = 0; i < nlanes; i++) {
        close(lanes[i][0]);
        close(lanes[i][1]);
    }
    for (int i = 0; i < 2; i++)
        if (control[i] >= 0)
            close(control[i]);
    if (config >= 0)
        close(config);
    if (root_fd >= 0)
        close(root_fd);
    close(self_fd);
    return r;
}

static void end_child(pid_t pid)
{
    if (pid <= 0)
        return;
    kill(pid, SIGKILL);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
}

void sandbox_destroy(struct sandbox *sb)
{
    end_child(sb->sentry);
    end_child(sb->gofer);
    if (sb->control >= 0)
        close(sb->control);
    *sb = (struct sandbox){-1, -1, -1};
}
