/*
 * Starts the processes of a sandbox: the sentry in namespaces of its own, with
 * an unprivileged host identity, the gofer beside it and, for the host's
 * network, a broker.
 */
#ifndef OCI_SANDBOX_H
#define OCI_SANDBOX_H

#include <sys/types.h>

#include "oci/err.h"
#include "wire/bootcfg.h"
#include "wire/netcfg.h"

/* A bind mount's source. */
struct sandbox_tree {
    const char *path;
    bool is_read_only;
    bool is_whole; /* with what is mounted below it */
};

struct sandbox_params {
    struct bootcfg *boot; /* container.nlanes and npassed are filled in */
    const char *root;     /* host directory that the gofer serves as tree 0 */
    bool is_rw;           /* the gofer may change it */
    bool is_mapped;       /* the gofer is to live in a user namespace with boot's id maps */
    bool is_host_root;    /* a whole machine's: what is in its /proc, /sys and /dev is not served */
    const struct sandbox_tree *trees; /* 1 and up */
    u32 ntrees;
    int stdio[3];              /* the application's; -1: none */
    int log_fd, strace_fd;     /* the sentry's and gofer's log, and --strace's lines */
    int listen_fd, console_fd; /* see BOOT_FD_*; 0: none */
    const int *passed;         /* become 3 and up of the application */
    u32 npassed;
    u32 nlanes;
    int net_fds[NETCFG_MAX_IFACES]; /* packet sockets, owned by the caller; see netns.h */
    u32 nnet_fds;
    bool has_resolver;    /* Docker's name server listens there; not with is_host_network */
    bool is_host_network; /* a broker makes the sandbox's sockets in the caller's network namespace */
    const int *cgroup_fds; /* sandbox_join: cgroup.procs of the container's groups */
    u32 ncgroup_fds;
};

struct sandbox {
    pid_t sentry, gofer, broker; /* -1: none */
    int control; /* link (wire/control.h); owned */
};
#define SANDBOX_NONE ((struct sandbox){-1, -1, -1, -1})

/* The program that becomes sentry and gofer: the running executable's fd. */
int sandbox_self_fd(struct err *e) must_check;
int sandbox_start(const struct sandbox_params *p, struct sandbox *ret_sb, struct err *e) must_check;
/*
 * A further container in a running sandbox: starts its gofer, and asks the sentry at `control` (a
 * fresh connection, consumed by success) for it. ret_sb->sentry is -1.
 */
int sandbox_join(const struct sandbox_params *p, int control, const char *sandbox_id,
                 struct sandbox *ret_sb, struct err *e) must_check;
/* Ends whatever still runs and reaps it. Bounded. */
void sandbox_destroy(struct sandbox *sb);

#endif
