/*
 * The life of containers: what the commands create, start, run, exec, kill, delete and kin do. All
 * of them work on a container's state (state.h), its attendant (attendant.h) and its sentry
 * (client.h).
 */
#ifndef OCI_LIFECYCLE_H
#define OCI_LIFECYCLE_H

#include "oci/attendant.h"
#include "oci/client.h"
#include "oci/spec.h"
#include "oci/state.h"

/* What every sandbox gets from the command's global flags. */
struct oci_globals {
    const char *root;    /* of states; NULL: the default */
    u32 boot_flags;      /* BOOT_STRACE, … */
    u32 container_flags; /* BOOT_DIRECTFS, BOOT_ROOT_SHARED, BOOT_MOUNTS_EXCLUSIVE */
    u32 log_level, nlanes;
    const char *log_path; /* of sentry and gofer; NULL: in the container's directory */
    const char *strace_path;
    bool is_systemd_cgroup;
    enum oci_network network;
    const char *egress; /* as --egress says it, or NULL */
};

struct oci_create {
    const char *id, *bundle, *pid_file, *console_socket;
    bool is_run;      /* start it at once */
    bool is_detached; /* nobody of us waits for it (create always) */
    u32 npreserved;   /* descriptors 3 and up for the program */
};

/* A container that was made. What waits for it: its attendant is this process's child. */
struct oci_created {
    struct oci_state state;
    pid_t pid;
};

int oci_create(const struct oci_globals *g, const struct oci_create *c, struct oci_created *ret,
               struct err *e) must_check;
int oci_start(const struct oci_globals *g, const char *id, struct err *e) must_check;

struct oci_exec {
    const char *id, *process_path, *pid_file, *console_socket, *cwd, *user;
    bool is_terminal, is_detached, is_no_new_privs, is_paused_ignored;
    const char *const *env, *const *caps, *const *groups;
    u32 nenv, ncaps, ngroups, npreserved;
    char **argv;
    u32 argc;
};
/* In the foreground *ret_status is the program's wait status. */
int oci_exec(const struct oci_globals *g, const struct oci_exec *x, int *ret_status,
             struct err *e) must_check;

int oci_kill(const struct oci_globals *g, const char *id, int signo, bool is_all,
             struct err *e) must_check;
int oci_delete(const struct oci_globals *g, const char *id, bool is_forced,
               struct err *e) must_check;
int oci_pause(const struct oci_globals *g, const char *id, bool is_pause, struct err *e) must_check;
int oci_update(const struct oci_globals *g, const char *id, const struct oci_resources *r,
               struct err *e) must_check;
/* Blocks until the container has stopped; its wait status. */
int oci_wait(const struct oci_globals *g, const char *id, int *ret_status,
             struct err *e) must_check;
int oci_load(const struct oci_globals *g, const char *id, struct oci_state *ret,
             struct err *e) must_check;
/* By rename, as engines expect. */
int write_pid_file(const char *path, pid_t pid, struct err *e) must_check;
/* -1: unknown. "TERM", "SIGTERM", "15", "RTMIN+3". */
int oci_signal_number(const char *name);

#endif
