/*
 * Hooks of the specification: programs of the host, run by the runtime with
 * the container's state on standard input.
 *
 * All but startContainer run in the runtime's namespaces: the namespace of a container is the
 * sandbox's, and no program of the host runs in there. startContainer is a program of the
 * container: whoever starts the container executes it there, before the container's own
 * (oci_hook_process makes it a process of the specification).
 *
 * What a failure means is the caller's to do (runtime-spec, "Lifecycle"): before poststart and for
 * it, the container is stopped and poststop follows; of poststop, nothing.
 */
#ifndef OCI_HOOKS_H
#define OCI_HOOKS_H

#include "oci/spec.h"

/*
 * Runs the hooks of one kind in order, each with `state` (JSON) on its standard input and nothing
 * but its own environment. Stops at the first that cannot be run, fails, or takes longer than its
 * timeout (it is killed with all that it started); e says which, why, and what it wrote last.
 */
int oci_hooks_run(const struct oci_hooks *hooks, enum oci_hook_kind kind, const char *state,
                  struct err *e) must_check;
/* The same to the last hook, whatever fails: `complain` is told of each. For poststop. */
void oci_hooks_run_all(const struct oci_hooks *hooks, enum oci_hook_kind kind, const char *state,
                       void (*complain)(const char *text, void *arg), void *arg);

/* A startContainer hook as a process of the container: its program, arguments and environment,
 * root. The strings stay the hook's. */
void oci_hook_process(const struct oci_hook *hook, struct oci_process *ret_p,
                      char *args_if_none[2]);

#endif
