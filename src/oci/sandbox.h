/*
 * Starts the processes of a sandbox: the sentry in namespaces of its own, with
 * an unprivileged host identity, and the gofer beside it.
 */
#ifndef OCI_SANDBOX_H
#define OCI_SANDBOX_H

#include <sys/types.h>

#include "oci/err.h"
#include "wire/bootcfg.h"

struct sandbox_params {
    struct bootcfg *boot;  /* nlanes is filled in */
    const char *root;      /* host directory that the gofer serves */
    bool is_rw;            /* the gofer may change it */
    int stdio[3];          /* the application's */
    int log_fd, strace_fd; /* the sentry's and gofer's log, and --strace's lines */
    u32 nlanes;
};

struct sandbox {
    pid_t sentry, gofer;
    int control; /* ctl_msg socket; owned */
};

/* The program that becomes sentry and gofer: the running executable's fd. */
int sandbox_self_fd(struct err *e) must_check;
int sandbox_start(const struct sandbox_params *p, struct sandbox *ret_sb, struct err *e) must_check;
/* Ends whatever still runs and reaps it. Bounded. */
void sandbox_destroy(struct sandbox *sb);

#endif
