/*
 * cvisor: the command. Global flags, then a command with its own. A flag that
 * is not known is refused.
 */
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cli/cmd.h"
#include "cli/oci.h"
#include "oci/netns.h"

#define CVISOR_VERSION "0.1.0"

static const struct command commands[] = {
    {"do", "do [--root DIR] [--rw] [--env NAME=VALUE] [--cwd DIR] [--uid UID[:GID]] [--overlay-size SIZE] [--netns PATH] [-t] [--] CMD [ARG...]",
     "run a program in a new sandbox over this machine's files, unchanged by it", cmd_do, false},
    {"install", "install [--name NAME] [--path PATH] [--docker[=FILE]] [--containerd[=FILE]] [--podman[=FILE]] [--dry-run]",
     "make this program a runtime of the container clients on this machine", cmd_install, false},
    {"uninstall", "uninstall [--name NAME] [--docker[=FILE]] [--containerd[=FILE]] [--podman[=FILE]] [--dry-run]",
     "take it out of their configuration", cmd_uninstall, false},
    {"create", "create [--bundle DIR] [--console-socket PATH] [--pid-file FILE] [--preserve-fds N] ID",
     "make a container from an OCI bundle; its program waits for 'start'", cmd_create, false},
    {"start", "start ID", "run the program of a container that was created", cmd_start, false},
    {"run", "run [--detach] [--keep] [--bundle DIR] [--console-socket PATH] [--pid-file FILE] [--preserve-fds N] ID",
     "create and start; in the foreground, delete at its end", cmd_run, false},
    {"exec", "exec [--process FILE] [-t] [-d] [--pid-file FILE] [--console-socket PATH] [-e NAME=VALUE] [--cwd DIR] [-u UID[:GID]] [--cap CAP] [--additional-gids GID] [--preserve-fds N] [--no-new-privs] ID [CMD [ARG...]]",
     "run a further program in a container", cmd_exec, false},
    {"kill", "kill [--all] ID [SIGNAL]", "send a signal (TERM) to a container's first process, or to all", cmd_kill, false},
    {"delete", "delete [--force] ID", "remove what a stopped container has left", cmd_delete, false},
    {"state", "state ID", "print a container's state", cmd_state, false},
    {"list", "list [--format table|json] [-q]", "list the containers", cmd_list, false},
    {"ps", "ps [--format table|json] ID", "list a container's processes", cmd_ps, false},
    {"pause", "pause ID", "stop all processes of a container", cmd_pause, false},
    {"resume", "resume ID", "let them go on", cmd_resume, false},
    {"wait", "wait ID", "wait for a container's end and print its status", cmd_wait, false},
    {"events", "events [--stats] [--interval TIME] ID", "print a container's statistics and kills for want of memory", cmd_events, false},
    {"update", "update [-r FILE] [--memory SIZE] [--memory-reservation SIZE] [--memory-swap SIZE] [--cpu-period N] [--cpu-quota N] [--cpu-share N] [--cpuset-cpus LIST] [--cpuset-mems LIST] [--pids-limit N] [--blkio-weight N] ID",
     "change a container's limits", cmd_update, false},
    {"spec", "spec [--bundle DIR] [--rootless]", "write a first config.json", cmd_spec, false},
    {"features", "features", "print what of the OCI specification there is", cmd_features, false},
    {"syscalls", "syscalls [--markdown]", "print the table of system calls", cmd_syscalls, false},
    {"filters", "filters", "print the filters of host calls of a sandbox's processes", cmd_filters, false},
    {"sentry", "", "", cmd_sentry, true},
    {"gofer", "", "", cmd_gofer, true},
    {"broker", "", "", cmd_broker, true},
};

int complain(int status, const char *fmt, ...)
{
    va_list ap;
    fputs("cvisor: ", stderr);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    return status;
}

static void usage(FILE *f)
{
    fputs("usage: cvisor [FLAGS] COMMAND ...\n\ncommands:\n", f);
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
        if (!commands[i].is_hidden)
            fprintf(f, "  %s\n      %s\n", commands[i].usage, commands[i].help);
    fputs("\nflags:\n"
          "  --debug            log what the sandbox does to the log\n"
          "  --log FILE         where the log goes (default: standard error)\n"
          "  --log-format F     of --log: text or json (containers)\n"
          "  --debug-log FILE   log of a container's sandbox (default: in its state)\n"
          "  --root DIR         states of containers (default: /run/cvisor)\n"
          "  --systemd-cgroup   containers' cgroups are made by systemd\n"
          "  --strace           print every system call with its arguments\n"
          "  --strace-log FILE  where --strace prints (default: standard error)\n"
          "  --network none|sandbox|host  loopback only (the default), the interfaces of the network\n"
          "                     namespace on the sandbox's own network stack, or sockets of the host's\n"
          "  --egress deny|allow:CIDR[:PORT[-PORT]],...  what the sandbox may reach by that network\n"
          "  --mm helper|direct who makes memory calls in the host (default: direct)\n"
          "  --patch on|off     rewrite system-call instructions (default: on)\n"
          "  --directfs on|off  let the sentry itself look files up below the root (default: on)\n"
          "  --file-access exclusive|shared  whether others may change a writable root while the\n"
          "                     sandbox runs (default: exclusive)\n"
          "  --file-access-mounts exclusive|shared  the same of bind mounts (default: shared)\n"
          "  --version, --help\n",
          f);
}

/* Value of an option that takes one of two words: 0 the first, 1 the second, -1 neither. */
static int choice(const char *value, const char *first, const char *second)
{
    return !strcmp(value, first) ? 0 : !strcmp(value, second) ? 1 : -1;
}

int main(int argc, char **argv)
{
    enum { OPT_DEBUG = 256, OPT_LOG, OPT_STRACE, OPT_STRACE_LOG, OPT_NETWORK, OPT_EGRESS, OPT_MM, OPT_PATCH,
           OPT_DIRECTFS, OPT_VERSION, OPT_HELP, OPT_ROOT, OPT_LOG_FORMAT, OPT_DEBUG_LOG, OPT_SYSTEMD,
           OPT_ROOTLESS, OPT_FILE_ACCESS, OPT_FILE_ACCESS_MOUNTS };
    static const struct option options[] = {
        {"debug", no_argument, NULL, OPT_DEBUG},
        {"log", required_argument, NULL, OPT_LOG},
        {"strace", no_argument, NULL, OPT_STRACE},
        {"strace-log", required_argument, NULL, OPT_STRACE_LOG},
        {"network", required_argument, NULL, OPT_NETWORK},
        {"egress", required_argument, NULL, OPT_EGRESS},
        {"mm", required_argument, NULL, OPT_MM},
        {"patch", required_argument, NULL, OPT_PATCH},
        {"directfs", required_argument, NULL, OPT_DIRECTFS},
        {"file-access", required_argument, NULL, OPT_FILE_ACCESS},
        {"file-access-mounts", required_argument, NULL, OPT_FILE_ACCESS_MOUNTS},
        {"root", required_argument, NULL, OPT_ROOT},
        {"log-format", required_argument, NULL, OPT_LOG_FORMAT},
        {"debug-log", required_argument, NULL, OPT_DEBUG_LOG},
        {"systemd-cgroup", no_argument, NULL, OPT_SYSTEMD},
        {"rootless", required_argument, NULL, OPT_ROOTLESS},
        {"version", no_argument, NULL, OPT_VERSION},
        {"help", no_argument, NULL, OPT_HELP},
        {NULL, 0, NULL, 0},
    };
    struct global_opts g = {0};
    int opt, which;
    while ((opt = getopt_long(argc, argv, "+h", options, NULL)) != -1) {
        switch (opt) {
        case OPT_DEBUG:
            g.is_debug = true;
            break;
        case OPT_LOG:
            g.log_path = optarg;
            break;
        case OPT_STRACE:
            g.is_strace = true;
            break;
        case OPT_STRACE_LOG:
            g.is_strace = true;
            g.strace_path = optarg;
            break;
        case OPT_NETWORK:
            g.is_network_none = !strcmp(optarg, "none");
            g.is_network_sandbox = !strcmp(optarg, "sandbox");
            g.is_network_host = !strcmp(optarg, "host");
            if (!g.is_network_none && !g.is_network_sandbox && !g.is_network_host)
                return complain(2, "--network takes 'none' (loopback only), 'sandbox' or 'host', not '%s'", optarg);
            break;
        case OPT_EGRESS:
            if (!netns_is_egress(optarg))
                return complain(2, "--egress takes deny or allow:CIDR[:PORT[-PORT]],..., not '%s'", optarg);
            g.egress = optarg;
            break;
        case OPT_MM:
            which = choice(optarg, "direct", "helper");
            if (which < 0)
                return complain(2, "--mm takes 'direct' or 'helper', not '%s'", optarg);
            g.is_mm_helper = which == 1;
            break;
        case OPT_PATCH:
            which = choice(optarg, "on", "off");
            if (which < 0)
                return complain(2, "--patch takes 'on' or 'off', not '%s'", optarg);
            g.is_patch_off = which == 1;
            break;
        case OPT_DIRECTFS:
            which = choice(optarg, "on", "off");
            if (which < 0)
                return complain(2, "--directfs takes 'on' or 'off', not '%s'", optarg);
            g.is_directfs_off = which == 1;
            break;
        case OPT_FILE_ACCESS:
        case OPT_FILE_ACCESS_MOUNTS:
            which = choice(optarg, "exclusive", "shared");
            if (which < 0)
                return complain(2, "--file-access%s takes 'exclusive' or 'shared', not '%s'",
                                opt == OPT_FILE_ACCESS ? "" : "-mounts", optarg);
            if (opt == OPT_FILE_ACCESS_MOUNTS)
                g.is_mounts_exclusive = which == 0;
            else
                g.is_root_shared = which == 1;
            break;
        case OPT_ROOT:
            g.root = optarg;
            break;
        case OPT_LOG_FORMAT:
            which = choice(optarg, "text", "json");
            if (which < 0)
                return complain(2, "--log-format takes 'text' or 'json', not '%s'", optarg);
            g.is_log_json = which == 1;
            break;
        case OPT_DEBUG_LOG:
            g.debug_log_path = optarg;
            break;
        case OPT_SYSTEMD:
            g.is_systemd_cgroup = true;
            break;
        case OPT_ROOTLESS: /* whether a user has privileges is found out, not told */
            if (strcmp(optarg, "auto"))
                return complain(2, "--rootless takes 'auto', not '%s': what the user may do is found out", optarg);
            break;
        case OPT_VERSION:
#ifdef UNSAFE_SUD
            puts("cvisor " CVISOR_VERSION " (unsafe: built without host filters)");
#else
            puts("cvisor " CVISOR_VERSION);
#endif
            return 0;
        case OPT_HELP:
        case 'h':
            usage(stdout);
            return 0;
        default:
            return 2; /* getopt has said what is wrong */
        }
    }
    if (optind == argc) {
        usage(stderr);
        return 2;
    }
    const char *name = argv[optind];
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
        if (strcmp(commands[i].name, name))
            continue;
        argc -= optind;
        argv += optind;
        optind = 0; /* starts getopt over for the command */
        return commands[i].run(&g, argc, argv);
    }
    return complain(2, "'%s' is not a command; see 'cvisor --help'", name);
}
