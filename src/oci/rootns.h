/*
 * The mount namespace of a container's pid on the host.
 *
 * Engines enter it to copy files in and out, to look at them, to list /proc:
 * what they find at "/" must be the container's root, with its bind mounts, and
 * never the host's. What the sandbox makes itself (tmpfs, proc, ...) is not in it.
 */
#ifndef OCI_ROOTNS_H
#define OCI_ROOTNS_H

#include "oci/sandbox.h"

/* Puts the calling process there. An ordinary user's without the right to do so stays where it is. */
int rootns_enter(const struct sandbox_params *p, struct err *e) must_check;

#endif
