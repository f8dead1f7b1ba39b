/*
 * The attendant: the host process that stands for a container's first process, or for an exec.
 *
 * It is what the container's pid means to engines: it lives as long as that process, ends with its
 * status (and by its signal), is in the container's host namespaces and cgroup, passes on the
 * signals that it gets, and takes the sandbox along when it is killed. Of a container it is the
 * parent of sentry and gofer; of an exec, the one that holds the link.
 *
 * A command forks it and goes away once it has said "commit"; until then it dies with the command.
 */
#ifndef OCI_ATTENDANT_H
#define OCI_ATTENDANT_H

#include "oci/sandbox.h"
#include "oci/spec.h"

struct ctl_msg;

enum sync_type {
    /* attendant → command */
    SYNC_NAMESPACES = 1, /* its namespaces are made; waits for SYNC_GO */
    SYNC_READY,          /* the container waits for its start, or (run, exec) the program runs */
    SYNC_FAILED,         /* a: exit status, b: errno, text: a sentence */
    /* command → attendant */
    SYNC_GO,
    SYNC_COMMIT,
};
struct sync_msg {
    u32 type;
    s32 a, b;
    char text[1100]; /* NUL-terminated */
};

/* Where a sandbox's network is from. */
enum oci_network {
    NET_NAMESPACE, /* its namespace's interfaces are taken over; without one, as NET_HOST */
    NET_SANDBOX,   /* its namespace's interfaces are taken over; without one, loopback only */
    NET_HOST,      /* its internet sockets are sockets of the namespace, or of the host */
    NET_NONE,      /* loopback only */
};

struct attendant_params {
    const struct oci_namespace *ns;       /* of the spec; NULL: stays in the command's */
    struct sandbox_params *sandbox;       /* a container's; NULL: an exec */
    enum oci_network network;
    const char *egress;                   /* see netns.h */
    const char *pod;                      /* id of the container whose sandbox is joined, or NULL */
    const struct oci_cgroup *cgroup;      /* the container's, made before SYNC_GO; NULL: none */
    int link;        /* exec: the connection, with the request sent; pod: a fresh one; else -1 */
    int tty;         /* whose window size is passed on; -1: none */
    bool is_own_tty; /* it becomes the attendant's controlling terminal */
};

/* The new process and the socket to it. */
int attendant_fork(const struct attendant_params *p, pid_t *ret_pid, int *ret_sync,
                   struct err *e) must_check;
int sync_send(int sync, enum sync_type type) must_check;
/* Waits for `type`; on SYNC_FAILED e has the sentence and e->status the exit status. */
int sync_await(int sync, enum sync_type type, struct err *e) must_check;

/*
 * Serves a link until its process ends: signals (blocked, through sig_fd) and window sizes in,
 * CTL_EXITED or CTL_FAILED out (what it points to lasts until the next call). False: the sandbox is gone.
 */
bool attend_link(int link, int sig_fd, int tty, struct ctl_msg *ret_m) must_check;
/* The same for its wait status alone, that of a killed process when the sandbox is gone. */
int attend(int link, int sig_fd, int tty);

#define SIGNAL_BIT(s) (1ULL << ((s) - 1))
/* Blocks what can be passed on, ignores what is in `ignored` (SIGNAL_BIT); a signalfd, or -1. */
int attend_signals(u64 ignored);
/* Ends this process as that status says. */
noreturn_fn void die_as(int status);

#endif
