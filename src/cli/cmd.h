/* cli: what the commands share. One file a command. */
#ifndef CLI_CMD_H
#define CLI_CMD_H

#include "base/defs.h"
#include "oci/err.h"

/* Exit statuses that are the command's own, as shells and env(1) have them. */
#define EXIT_SANDBOX      125 /* the sandbox could not be made or died */
#define EXIT_CANNOT_EXEC  126
#define EXIT_NOT_FOUND    127

struct global_opts {
    bool is_debug, is_strace, is_patch_off, is_mm_helper, is_directfs_off;
    const char *log_path, *strace_path;
    bool is_root_shared, is_mounts_exclusive; /* --file-access, --file-access-mounts */
    /* of an OCI runtime */
    const char *root, *debug_log_path;
    bool is_log_json, is_systemd_cgroup;
    bool is_network_sandbox, is_network_host;
    bool is_network_none; /* asked for: containers have their namespace's interfaces otherwise */
    const char *egress; /* NULL: no limit */
};

struct command {
    const char *name, *usage, *help;
    int (*run)(const struct global_opts *g, int argc, char **argv); /* exit status */
    bool is_hidden;
};

/* Prints "cvisor: sentence" to stderr and returns the status. */
int complain(int status, const char *fmt, ...) printf_like(2, 3);

u32 lane_count(void); /* of a gofer, for this machine */

int cmd_do(const struct global_opts *g, int argc, char **argv);
int cmd_install(const struct global_opts *g, int argc, char **argv);
int cmd_uninstall(const struct global_opts *g, int argc, char **argv);
int cmd_syscalls(const struct global_opts *g, int argc, char **argv);
int cmd_filters(const struct global_opts *g, int argc, char **argv);
int cmd_sentry(const struct global_opts *g, int argc, char **argv);
int cmd_broker(const struct global_opts *g, int argc, char **argv);
int cmd_gofer(const struct global_opts *g, int argc, char **argv);

#endif
