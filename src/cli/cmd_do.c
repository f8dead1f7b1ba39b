/*
 * cvisor do: one program in a new sandbox. This process stays outside: it
 * forwards signals and the terminal's size, and passes the exit status on.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "cli/cmd.h"
#include "oci/attendant.h"
#include "oci/console.h"
#include "oci/netns.h"
#include "oci/sandbox.h"
#include "wire/control.h"

#define DEFAULT_PATH "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

struct do_opts {
    const char *root, *cwd;
    bool is_rw, is_tty;
    u32 uid, gid;
    u64 overlay_size; /* bytes; 0: the default */
    const char *netns; /* NULL: the caller's */
    char **env;       /* NULL-terminated */
    u32 nenv;
    char **argv;
};

static int add_env(struct do_opts *o, const char *entry)
{
    size_t n = strcspn(entry, "=");
    char **slot = NULL;
    for (u32 i = 0; i < o->nenv; i++)
        if (!strncmp(o->env[i], entry, n + 1))
            slot = &o->env[i];
    if (!slot) {
        char **env = realloc(o->env, (o->nenv + 2) * sizeof(*env));
        if (!env)
            return -1;
        o->env = env;
        slot = &env[o->nenv++];
        env[o->nenv] = NULL;
        *slot = NULL;
    }
    free(*slot);
    *slot = strdup(entry);
    return *slot ? 0 : -1;
}

/* What the program finds in its environment: nothing of ours but the terminal's kind. */
static int default_env(struct do_opts *o, bool is_tty)
{
    char entry[512];
    const char *home = o->uid == 0 ? "/root" : "/";
    FILE *f = fopen("/etc/passwd", "re");
    if (f) {
        struct passwd *pw;
        while ((pw = fgetpwent(f)))
            if (pw->pw_uid == o->uid) {
                home = pw->pw_dir;
                break;
            }
    }
    snprintf(entry, sizeof(entry), "HOME=%s", home);
    if (f)
        fclose(f);
    if (add_env(o, DEFAULT_PATH) < 0 || add_env(o, entry) < 0)
        return -1;
    const char *term = getenv("TERM");
    if (is_tty && term) {
        snprintf(entry, sizeof(entry), "TERM=%s", term);
        return add_env(o, entry);
    }
    return 0;
}

static bool parse_uid(const char *s, u32 *ret_uid, u32 *ret_gid)
{
    char *end;
    unsigned long uid = strtoul(s, &end, 10), gid = uid;
    if (end == s || uid >= UINT32_MAX)
        return false;
    if (*end == ':') {
        s = end + 1;
        gid = strtoul(s, &end, 10);
        if (end == s || gid >= UINT32_MAX)
            return false;
    }
    *ret_uid = (u32)uid;
    *ret_gid = (u32)gid;
    return *end == 0;
}

/* "64M": bytes with an optional K, M or G. */
static bool parse_size(const char *s, u64 *ret_size)
{
    char *end;
    errno = 0;
    unsigned long long v = strtoull(s, &end, 10);
    int shift = *end == 'K' ? 10 : *end == 'M' ? 20 : *end == 'G' ? 30 : 0;
    if (end == s || errno || v == 0 || v > UINT64_MAX >> (shift + 1) || end[shift != 0] ||
        *s == '-')
        return false;
    *ret_size = v << shift;
    return true;
}

static int parse(int argc, char **argv, struct do_opts *o)
{
    enum { OPT_ROOT = 256, OPT_RW, OPT_ENV, OPT_CWD, OPT_UID, OPT_OVERLAY_SIZE, OPT_NETNS };
    static const struct option options[] = {
        {"root", required_argument, NULL, OPT_ROOT},
        {"rw", no_argument, NULL, OPT_RW},
        {"env", required_argument, NULL, OPT_ENV},
        {"cwd", required_argument, NULL, OPT_CWD},
        {"uid", required_argument, NULL, OPT_UID},
        {"tty", no_argument, NULL, 't'},
        {"overlay-size", required_argument, NULL, OPT_OVERLAY_SIZE},
        {"netns", required_argument, NULL, OPT_NETNS},
        {NULL, 0, NULL, 0},
    };
    static char *env_seen[256];
    u32 nenv_seen = 0;
    int opt;
    while ((opt = getopt_long(argc, argv, "+t", options, NULL)) != -1) {
        switch (opt) {
        case OPT_ROOT:
            o->root = optarg;
            break;
        case OPT_RW:
            o->is_rw = true;
            break;
        case OPT_ENV:
            if (!strchr(optarg, '=') || *optarg == '=')
                return complain(2, "--env takes NAME=VALUE, not '%s'", optarg);
            if (nenv_seen == ARRAY_SIZE(env_seen))
                return complain(2, "more than %zu --env options", ARRAY_SIZE(env_seen));
            env_seen[nenv_seen++] = optarg;
            break;
        case OPT_CWD:
            if (*optarg != '/')
                return complain(2, "--cwd takes an absolute path, not '%s'", optarg);
            o->cwd = optarg;
            break;
        case OPT_UID:
            if (!parse_uid(optarg, &o->uid, &o->gid))
                return complain(2, "--uid takes UID or UID:GID, not '%s'", optarg);
            break;
        case OPT_OVERLAY_SIZE:
            if (!parse_size(optarg, &o->overlay_size))
                return complain(
                    2, "--overlay-size takes bytes, or a number with K, M or G, not '%s'", optarg);
            break;
        case OPT_NETNS:
            o->netns = optarg;
            break;
        case 't':
            o->is_tty = true;
            break;
        default:
            return 2;
        }
    }
    if (optind == argc)
        return complain(2, "do needs a program to run: cvisor do [FLAGS] -- CMD [ARG...]");
    o->argv = argv + optind;
    if (o->overlay_size && o->is_rw)
        return complain(2, "--overlay-size does not go with --rw, which has no overlay");
    if (o->is_tty && !isatty(STDIN_FILENO))
        return complain(2, "-t needs a terminal on standard input");
    if (isatty(STDIN_FILENO) && isatty(STDOUT_FILENO))
        o->is_tty = true;
    if (default_env(o, o->is_tty) < 0)
        return complain(EXIT_SANDBOX, "out of memory");
    for (u32 i = 0; i < nenv_seen; i++)
        if (add_env(o, env_seen[i]) < 0)
            return complain(EXIT_SANDBOX, "out of memory");
    return 0;
}

/* What stands above the root besides the files themselves. */
static struct boot_mount *standard_mounts(u32 *ret_n)
{
    static char proc[] = "proc", sysfs[] = "sysfs", dev[] = "devtmpfs", devpts[] = "devpts",
                tmpfs[] = "tmpfs", mqueue[] = "mqueue", t_proc[] = "/proc", t_sys[] = "/sys",
                t_dev[] = "/dev", t_pts[] = "/dev/pts", t_shm[] = "/dev/shm",
                t_mq[] = "/dev/mqueue", none[] = "", pts_opts[] = "gid=5,mode=620,ptmxmode=666",
                shm_opts[] = "mode=1777";
    static struct boot_mount mounts[] = {
        {proc, proc, t_proc, none, BOOT_MOUNT_FS, MS_NOSUID | MS_NODEV | MS_NOEXEC, 0, -1},
        {sysfs, sysfs, t_sys, none, BOOT_MOUNT_FS, MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY, 0, -1},
        {dev, dev, t_dev, none, BOOT_MOUNT_FS, MS_NOSUID, 0, -1},
        {devpts, devpts, t_pts, pts_opts, BOOT_MOUNT_FS, MS_NOSUID | MS_NOEXEC, 0, -1},
        {tmpfs, tmpfs, t_shm, shm_opts, BOOT_MOUNT_FS, MS_NOSUID | MS_NODEV, 0, -1},
        {mqueue, mqueue, t_mq, none, BOOT_MOUNT_FS, MS_NOSUID | MS_NODEV | MS_NOEXEC, 0, -1},
    };
    *ret_n = ARRAY_SIZE(mounts);
    return mounts;
}

/* Of the gofer's: as many requests as can be at work at a time. */
u32 lane_count(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n < 2 ? 2 : n > 4 ? 4 : (u32)n;
}

/* Those that our caller ignores, by bit signal - 1. One file is cheaper than 64 calls. */
static u64 ignored_signals(void)
{
    FILE *f = fopen("/proc/self/status", "re");
    char line[256];
    unsigned long mask = 0;
    while (f && fgets(line, sizeof(line), f) && sscanf(line, "SigIgn: %lx", &mask) != 1)
        ;
    if (f)
        fclose(f);
    return mask;
}

static int open_log(const char *path)
{
    return path ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644)
                : fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
}

static int gone(struct sandbox *sb)
{
    int status = 0;
    pid_t r = waitpid(sb->sentry, &status, 0);
    sb->sentry = -1;
    sandbox_destroy(sb);
    console_restore();
    if (r > 0 && WIFSIGNALED(status))
        return complain(EXIT_SANDBOX, "the sandbox died: its sentry was ended by signal %d (%s)",
                        WTERMSIG(status), strsignal(WTERMSIG(status)));
    return complain(EXIT_SANDBOX, "the sandbox ended before its program did (status %d)",
                    r > 0 ? WEXITSTATUS(status) : -1);
}

/* Until the sandbox reports its end. Dies as the program did, so that our own parent sees the same. */
static int attend_sandbox(struct sandbox *sb, int sig_fd, bool is_tty)
{
    struct ctl_msg m;
    if (!attend_link(sb->control, sig_fd, is_tty ? STDIN_FILENO : -1, &m))
        return gone(sb);
    sandbox_destroy(sb);
    console_restore();
    if (m.type == CTL_FAILED)
        return complain(m.a, "%s", m.data.p);
    if (WIFSIGNALED(m.a))
        die_as(m.a);
    return WEXITSTATUS(m.a);
}

/* A standard descriptor that is closed stays so for the program; meanwhile nothing of ours may get
 * its number. Returns them as bits. */
static u32 hold_stdio(void)
{
    u32 closed = 0;
    for (int fd = 0; fd < 3; fd++)
        if (fcntl(fd, F_GETFD) < 0)
            closed |= 1U << fd;
    for (int fd = closed ? open("/dev/null", O_RDWR) : 3; fd >= 0 && fd < 2;)
        fd = open("/dev/null", O_RDWR);
    return closed;
}

int cmd_do(const struct global_opts *g, int argc, char **argv)
{
    static char hostname[] = "cvisor";
    u32 closed_stdio = hold_stdio();
    struct do_opts o = {.root = "/", .uid = geteuid(), .gid = getegid()};
    struct err e = {0};
    int r = parse(argc, argv, &o);
    if (r)
        return r;

    if (g->egress && !g->is_network_sandbox)
        return complain(2, "--egress goes with --network=sandbox");
    if (o.netns && !g->is_network_sandbox && !g->is_network_host)
        return complain(2, "--netns goes with --network=sandbox or --network=host");

    if (g->is_root_shared && !o.is_rw)
        return complain(2, "--file-access shared goes with --rw: without it an overlay covers the root");

    char cwd[4096];
    if (!o.cwd)
        o.cwd = !strcmp(o.root, "/") && getcwd(cwd, sizeof(cwd)) && cwd[0] == '/' ? cwd : "/";
    struct rlimit nofile = {1024, 1024};
    getrlimit(RLIMIT_NOFILE, &nofile);
    struct winsize ws = {0};
    if (o.is_tty)
        ioctl(STDIN_FILENO, TIOCGWINSZ, &ws);

    struct bootcfg boot = {
        .flags = (g->is_strace ? BOOT_STRACE : 0) | (g->is_patch_off ? BOOT_PATCH_OFF : 0) |
                 (g->is_mm_helper ? BOOT_MM_HELPER : 0),
        .log_level = g->is_debug ? 3 : 1,
        .rlimit_nofile = nofile.rlim_max,
        .container = {
            .flags = (o.is_rw ? BOOT_RW : 0) | (g->is_directfs_off ? 0 : BOOT_DIRECTFS) |
                     (g->is_root_shared ? BOOT_ROOT_SHARED : 0),
            .overlay_size = o.overlay_size,
            .hostname = hostname,
            .process = {
                .flags = (o.is_tty ? BOOT_P_TTY : 0) | BOOT_P_PATH_SEARCH | BOOT_P_MORTAL |
                         closed_stdio * BOOT_P_NO_STDIN,
                .uid = o.uid, .gid = o.gid,
                .rows = ws.ws_row, .cols = ws.ws_col,
                .nenvp = o.nenv, .envp = o.env,
                .argv = o.argv,
            },
        },
    };
    struct boot_process *process = &boot.container.process;
    process->cwd = strdup(o.cwd);
    while (process->argv[process->nargv])
        process->nargv++;
    boot.container.mounts = standard_mounts(&boot.container.nmounts);

    int log_fd = open_log(g->log_path);
    if (log_fd < 0)
        return complain(EXIT_SANDBOX, "cannot open the log '%s': %s",
                        g->log_path ? g->log_path : "standard error", strerror(errno));
    int strace_fd = g->strace_path ? open_log(g->strace_path) : log_fd;
    if (strace_fd < 0)
        return complain(EXIT_SANDBOX, "cannot open '%s': %s", g->strace_path, strerror(errno));

    /* What our caller ignores (nohup, a background job) is not for the program either. */
    int sig_fd = attend_signals(ignored_signals() | (o.is_tty ? 0 : SIGNAL_BIT(SIGWINCH)));
    if (sig_fd < 0)
        return complain(EXIT_SANDBOX, "signalfd: %s", strerror(errno));

    struct sandbox_params params = {
        .boot = &boot, .root = o.root, .is_rw = o.is_rw, .is_host_root = true,
        .stdio = {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO},
        .log_fd = log_fd,
        .strace_fd = strace_fd,
        .nlanes = lane_count(),
        .is_host_network = g->is_network_host,
    };
    for (int i = 0; i < 3; i++)
        if (closed_stdio & 1U << i)
            params.stdio[i] = -1;
    if (o.is_tty && console_raw(STDIN_FILENO, &e) < 0)
        return complain(EXIT_SANDBOX, "%s", e.msg);
    if (g->is_network_sandbox && netns_take(o.netns, g->egress, &params, &e) < 0) {
        console_restore();
        return complain(EXIT_SANDBOX, "%s", e.msg);
    }
    if (g->is_network_host && o.netns && netns_enter(o.netns, &e) < 0) {
        console_restore();
        return complain(EXIT_SANDBOX, "%s", e.msg);
    }
    struct sandbox sb;
    if (sandbox_start(&params, &sb, &e) < 0) {
        console_restore();
        return complain(EXIT_SANDBOX, "%s", e.msg);
    }
    return attend_sandbox(&sb, sig_fd, o.is_tty);
}
