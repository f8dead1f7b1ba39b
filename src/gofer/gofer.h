/*
 * The gofer: the one process of a sandbox that sees the container's files.
 *
 * gofer_main runs in a child that boot has put into its namespaces. It serves
 * the directories it was given to a Sentry that it does not trust: every
 * number, name and size is checked, a name is resolved one component at a time
 * below a directory fd (openat2 BENEATH, no symbolic links, no magic links),
 * and no mutation passes a read-only export.
 */
#ifndef GOFER_GOFER_H
#define GOFER_GOFER_H

#include "base/defs.h"

#define GOFER_MAX_ATTACH 256
#define GOFER_MAX_LANES  64

/* gofer_attach.flags */
#define GOFER_RDONLY 1U
#define GOFER_CROSS_MOUNTS                                                                         \
    2U                    /* the host's mounts below the directory are visible, except kernel file \
                             systems (proc, sysfs, cgroup, devpts …): those are empty */
#define GOFER_HOST_UDS 4U /* the guest may connect to UNIX sockets of the host */

struct gofer_attach {
    int dir_fd; /* consumed; O_PATH or O_RDONLY. May also be a regular file (a bind mount of one) */
    u32 flags;
    /* Names directly below dir_fd that are shown as empty directories; NULL-terminated, or NULL. */
    const char *const *masked;
};

struct gofer_config {
    const struct gofer_attach *attach;
    u32 nattach;
    const int *lane_fds; /* SOCK_SEQPACKET; consumed. The Sentry holds the other ends */
    u32 nlanes;
    /* The process's own /proc/self/fd, as the root of a detached mount, so that ".." leads nowhere;
     * or -1: then a few operations on unlinked and moved files are ESTALE. */
    int self_fd_dir;
    int jail_fd;  /* an empty directory to chroot to, or -1: boot has done it */
    u32 max_open; /* host fds kept open for directories; 0: half of RLIMIT_NOFILE, at most 4096 */
    bool is_filter_off; /* debugging only */
};

/* Serves until all lanes are closed; the process's exit status. */
int gofer_main(const struct gofer_config *cfg);
/* Prints the seccomp filter in words (docs/SECURITY.md). */
void gofer_print_filter(int fd, const char *(*name_of)(u32 nr));

#endif
