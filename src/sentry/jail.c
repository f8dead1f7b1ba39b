/*
 * The sentry's own confinement, in this order: an empty read-only root (no
 * host path is left to name), no capabilities, no_new_privs; then, once the
 * zygote exists and everything is set up, the filter of host calls.
 *
 * One door stays: a detached mount of this process's own /proc/self/fd, by
 * which tmpfs gets a read-only descriptor of a memfd. Its root is that
 * directory, so ".." leads nowhere.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "abi/tty.h"
#include "base/log.h"
#include "host/seccomp.h"
#include "net/host/host.h"
#include "sentry/sentry.h"
#include "sys/sys.h"
#include "vfs/file.h"

#ifndef OPEN_TREE_CLONE
#define OPEN_TREE_CLONE   1
#define OPEN_TREE_CLOEXEC O_CLOEXEC
#endif

static int self_fd_dir = -1;
static int self_fd_tree = -1; /* the mount that it is in */

static int reopen_read_only(int fd)
{
    char name[16];
    snprintf(name, sizeof(name), "%d", fd);
    int r = openat(self_fd_dir, name, O_RDONLY | O_CLOEXEC);
    return r < 0 ? -errno : r;
}

int jail_empty_root(const char **ret_step)
{
    *ret_step = "make its mounts private";
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return -errno;
    *ret_step = "keep a door to its own descriptors";
    int tree =
        (int)syscall(SYS_open_tree, AT_FDCWD, "/proc/self/fd", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (tree < 0)
        return -errno;
    self_fd_tree = tree;
    self_fd_dir = openat(tree, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (self_fd_dir < 0)
        return -errno;
    vfs_host_reopen_ro = reopen_read_only;
    *ret_step = "make an empty root";
    /* /proc is the one directory that is sure to exist. */
    if (mount("none", "/proc", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC,
              "size=4k,nr_inodes=2,mode=555") < 0 ||
        chdir("/proc") < 0 || syscall(SYS_pivot_root, ".", ".") < 0 ||
        umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
        return -errno;
    if (mount("none", "/", NULL,
              MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
        return -errno;
    return 0;
}

void jail_settle(void)
{
    if (self_fd_tree >= 0)
        close(self_fd_tree);
    self_fd_tree = -1;
}

int jail_drop_privileges(const char **ret_step)
{
    *ret_step = "drop its capabilities";
    for (int cap = 0; cap < 64; cap++)
        if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0) {
            if (errno == EINVAL && cap > 0) /* the host has no more */
                break;
            return -errno;
        }
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct none[2] = {{0}};
    if (syscall(SYS_capset, &head, none) < 0)
        return -errno;
    *ret_step = "set no_new_privs";
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -errno;
    return 0;
}

/* What pthread_create asks for: no process, no namespace. */
#define THREAD_CLONE                                                                               \
    (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM |            \
     CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID)

#define IOCTL(cmd)                                                                                 \
    {                                                                                              \
        .nr = SYS_ioctl, .conds = { {1, SECCOMP_EQ32, cmd, 0} }                                    \
    }

/*
 * Every host call that the sentry makes after boot, by the room that makes
 * it. Nothing here opens a path of the host's choosing (openat reaches the
 * empty root, own descriptors and, with directfs, below the served root),
 * makes a socket, or runs a program.
 */
static const struct seccomp_rule rules[] = {
    /* base, libc: memory, threads, locks, clocks, log */
    {.nr = SYS_futex},
    {.nr = SYS_mmap},
    {.nr = SYS_munmap},
    {.nr = SYS_mprotect},
    {.nr = SYS_madvise},
    {.nr = SYS_mremap},
    {.nr = SYS_brk},
    /* Its flags are in memory, which a filter cannot read: libc falls back to the call below. */
    {.nr = SYS_clone3, .action = SECCOMP_RET_ERRNO | ENOSYS},
    {.nr = SYS_clone, .conds = {{0, SECCOMP_EQ, THREAD_CLONE, 0}}},
    {.nr = SYS_exit},
    {.nr = SYS_exit_group},
    {.nr = SYS_set_robust_list},
    {.nr = SYS_rseq},
    {.nr = SYS_rt_sigprocmask},
    {.nr = SYS_rt_sigaction},
    {.nr = SYS_rt_sigreturn},
    {.nr = SYS_sigaltstack},
    {.nr = SYS_gettid},
    {.nr = SYS_getpid},
    {.nr = SYS_clock_gettime},
    {.nr = SYS_clock_getres},
    {.nr = SYS_clock_nanosleep},
    {.nr = SYS_nanosleep},
    {.nr = SYS_gettimeofday},
    {.nr = SYS_getrandom},
    {.nr = SYS_sched_yield},
    {.nr = SYS_restart_syscall},
    {.nr = SYS_sched_setaffinity},
    {.nr = SYS_sched_getaffinity},
    {.nr = SYS_getcpu},
    {.nr = SYS_membarrier},
    {.nr = SYS_sysinfo},
    {.nr = SYS_getrusage},
    {.nr = SYS_times},
    {.nr = SYS_prctl, .conds = {{0, SECCOMP_EQ32, PR_SET_TIMERSLACK, 0}}},
    {.nr = SYS_prctl, .conds = {{0, SECCOMP_EQ32, PR_SET_NAME, 0}}},
    {.nr = SYS_prctl, .conds = {{0, SECCOMP_EQ32, 0x53564d41 /* PR_SET_VMA: malloc's names */, 0}}},
    /* platform: stubs */
    {.nr = SYS_process_vm_readv},
    {.nr = SYS_process_vm_writev},
    {.nr = SYS_tgkill},
    {.nr = SYS_kill},
    {.nr = SYS_wait4},
    {.nr = SYS_waitid},
    {.nr = SYS_memfd_create},
    {.nr = SYS_ftruncate},
    {.nr = SYS_prlimit64},
    {.nr = SYS_pidfd_open},
    /* forced writes to protected guest pages (debuggers): PEEKDATA, POKEDATA, DETACH, SEIZE,
       INTERRUPT */
    {.nr = SYS_ptrace, .conds = {{0, SECCOMP_EQ, 2, 0}}},
    {.nr = SYS_ptrace, .conds = {{0, SECCOMP_EQ, 5, 0}}},
    {.nr = SYS_ptrace, .conds = {{0, SECCOMP_EQ, 17, 0}}},
    {.nr = SYS_ptrace, .conds = {{0, SECCOMP_EQ, 0x4206, 0}}},
    {.nr = SYS_ptrace, .conds = {{0, SECCOMP_EQ, 0x4207, 0}}},
    /* files behind descriptors: tmpfs, gofer client, host stdio */
    {.nr = SYS_read},
    {.nr = SYS_write},
    {.nr = SYS_readv},
    {.nr = SYS_writev},
    {.nr = SYS_pread64},
    {.nr = SYS_pwrite64},
    {.nr = SYS_preadv},
    {.nr = SYS_pwritev},
    {.nr = SYS_preadv2},
    {.nr = SYS_pwritev2},
    {.nr = SYS_lseek},
    {.nr = SYS_close},
    {.nr = SYS_fstat},
    {.nr = SYS_fstatfs},
    {.nr = SYS_fsync},
    {.nr = SYS_fdatasync},
    {.nr = SYS_sync_file_range},
    {.nr = SYS_fallocate},
    {.nr = SYS_fadvise64},
    {.nr = SYS_readahead},
    {.nr = SYS_copy_file_range},
    {.nr = SYS_dup},
    {.nr = SYS_fcntl},
    IOCTL(LX_TCGETS),
    IOCTL(LX_TCGETS2),
    IOCTL(LX_TCSETS2),
    IOCTL(LX_TCFLSH),
    IOCTL(LX_TCXONC),
    IOCTL(LX_TIOCGWINSZ),
    IOCTL(LX_TIOCSWINSZ),
    IOCTL(LX_TIOCOUTQ),
    IOCTL(LX_FIONREAD),
    {.nr = SYS_poll},
    {.nr = SYS_ppoll},
    {.nr = SYS_epoll_create1},
    {.nr = SYS_epoll_ctl},
    {.nr = SYS_epoll_wait},
    {.nr = SYS_epoll_pwait},
    {.nr = SYS_eventfd2},
    {.nr = SYS_timerfd_create},
    {.nr = SYS_timerfd_settime},
    {.nr = SYS_pipe2},
    {.nr = SYS_openat},
    {.nr = SYS_getdents64},
    {.nr = SYS_newfstatat},
    {.nr = SYS_statx},
    {.nr = SYS_readlinkat},
    {.nr = SYS_flistxattr},
    {.nr = SYS_fgetxattr},
    {.nr = SYS_fsetxattr},
    {.nr = SYS_fremovexattr},
    {.nr = SYS_fchmod},
    {.nr = SYS_fchown},
    {.nr = SYS_utimensat},
    {.nr = SYS_shutdown},
    /* wire: gofer lanes, control socket */
    {.nr = SYS_sendmsg},
    {.nr = SYS_recvmsg},
    {.nr = SYS_sendto},
    {.nr = SYS_recvfrom},
    /* net: frames of the interfaces that were taken over */
    {.nr = SYS_recvmmsg},
};
/* Only with directfs. */
static const struct seccomp_rule directfs_rules[] = {
    {.nr = SYS_openat2},
};

/* Only when commands may connect: on the listening socket and no other. */
static const struct seccomp_rule listen_rules[] = {
    {.nr = SYS_accept4, .conds = {{0, SECCOMP_EQ32, BOOT_FD_LISTEN, 0}}},
};

/* Those of the host's network are listed beside their callers: net/host/opt.c. */

static void on_sigsys(int sig, siginfo_t *info, void *uc)
{
    (void)sig;
    (void)uc;
    log_error("a host call outside the filter was stopped: number %d", info->si_syscall);
    _exit(71);
}

int jail_install_filter(bool is_directfs, bool is_listening, bool is_host_net)
{
    struct seccomp_rule all[ARRAY_SIZE(rules) + ARRAY_SIZE(directfs_rules) +
                            ARRAY_SIZE(listen_rules) + HOSTNET_MAX_RULES];
    size_t n = 0;
    for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
        all[n++] = rules[i];
    for (size_t i = 0; is_directfs && i < ARRAY_SIZE(directfs_rules); i++)
        all[n++] = directfs_rules[i];
    for (size_t i = 0; is_listening && i < ARRAY_SIZE(listen_rules); i++)
        all[n++] = listen_rules[i];
    if (is_host_net)
        n += hostnet_rules(all + n);
    struct sigaction sa = {.sa_sigaction = on_sigsys, .sa_flags = SA_SIGINFO};
    sigaction(SIGSYS, &sa, NULL);
    return seccomp_install(all, n, SECCOMP_RET_TRAP, true);
}

void jail_print_filter(int fd)
{
    seccomp_print(fd, "sentry", rules, ARRAY_SIZE(rules), SECCOMP_RET_TRAP, sys_name);
    seccomp_print(fd, "sentry, with directfs", directfs_rules, ARRAY_SIZE(directfs_rules),
                  SECCOMP_RET_TRAP, sys_name);
    seccomp_print(fd, "sentry of an OCI container", listen_rules, ARRAY_SIZE(listen_rules),
                  SECCOMP_RET_TRAP, sys_name);
    struct seccomp_rule host[HOSTNET_MAX_RULES];
    size_t n = hostnet_rules(host);
    seccomp_print(fd, "sentry with the host's network", host, n, SECCOMP_RET_TRAP, sys_name);
}
