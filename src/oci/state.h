/*
 * What is known of containers outside of their sandboxes: a directory for each below the root of
 * states, with
 *
 *   lock         held by the command that changes the container
 *   state.json   written once, by rename, when the container is made; its pid is final then
 *   config.json  the bundle's, as it was
 *   control      the socket that the sentry listens on (wire/control.h)
 *   log          what sentry and gofer have to say
 *
 * Whether a container runs is never written down: its pid's process says it, and its sentry. So a
 * command that dies at any point leaves nothing that lies.
 */
#ifndef OCI_STATE_H
#define OCI_STATE_H

#include <sys/types.h>

#include "oci/err.h"

#define OCI_VERSION "1.0.2"

enum oci_status { OCI_ST_CREATING, OCI_ST_CREATED, OCI_ST_RUNNING, OCI_ST_PAUSED, OCI_ST_STOPPED };
const char *oci_status_name(enum oci_status s);

struct oci_state {
    char *id, *bundle, *rootfs, *created; /* created: RFC 3339 */
    char *owner;                          /* user name, or number */
    pid_t pid;                            /* of the attendant (oci/attendant.h); 0: not yet */
    u64 pid_start;                        /* its start time, in clock ticks */
    char *cgroup;                         /* JSON text of cgroup.c's, or NULL */
    char **annotations;                   /* name, value, name, value, …, NULL */
    char *pod;       /* id of the container whose sandbox it is in; NULL: its own */
    int dir;         /* the container's directory; -1: none */
    int sandbox_dir; /* that of the sandbox's first container, which has the control socket */
};

/* The directory of all states: `root`, or the default of this user. Made when is_made. */
int state_root(const char *root, bool is_made, char **ret_path, struct err *e) must_check;

/* Makes the container's directory, locked. *ret_lock is to be closed when the container is
 * complete. */
int state_create(const char *root, const char *id, struct oci_state *ret, int *ret_lock,
                 struct err *e) must_check;
/* Loads what is there. -1 with e->status ENOENT: "container does not exist". Also a container whose
 * making was cut short is found, with pid 0. */
int state_load(const char *root, const char *id, struct oci_state *ret, struct err *e) must_check;
/* Waits for the container's lock, at most timeout_ms; a descriptor, or -1. */
int state_lock(const struct oci_state *s, int timeout_ms, struct err *e) must_check;
int state_save(struct oci_state *s, struct err *e) must_check;
/* Takes the container's directory away. */
int state_remove(const char *root, const char *id, struct err *e) must_check;
void state_done(struct oci_state *s);
/* Ids of all containers, sorted; NULL-terminated, malloc'ed. */
int state_list(const char *root, char ***ret_ids, struct err *e) must_check;

/* Whether the attendant lives (a zombie does not). */
bool state_is_alive(const struct oci_state *s);
/* As it is now; asks the sentry. */
enum oci_status state_status(const struct oci_state *s);
/* The state as the specification has it; malloc'ed. With is_list: runc's list shape (owner, …). */
char *state_json(const struct oci_state *s, enum oci_status status, bool is_indented,
                 struct err *e) must_check;

bool oci_id_is_ok(const char *id);
/* "state" of a process and its start time; false: no such process. */
bool proc_stat(pid_t pid, char *ret_state, u64 *ret_start);

#endif
