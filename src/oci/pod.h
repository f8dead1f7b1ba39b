/*
 * Containers that share a sandbox: which one's, by the annotations of containerd's and CRI-O's CRI,
 * or by a network namespace that is a sandbox's already.
 */
#ifndef OCI_POD_H
#define OCI_POD_H

#include "oci/err.h"
#include "oci/spec.h"

struct oci_pod {
    char *id; /* of the pod's first container, whose sandbox it is; NULL: in no pod, or that one
                 itself */
    char *pid_ns_of; /* of the container whose processes are to be shared; NULL: none */
    int dir;         /* the first container's; owned */
    int link;        /* a connection to the sandbox; owned */
};

struct oci_state;

/* root: of states. is_by_network: sandboxes take network namespaces over. Refuses what a pod's
 * containers cannot have each for itself. */
int pod_find(const char *root, const struct oci_spec *spec, bool is_by_network, struct oci_pod *ret,
             struct err *e) must_check;
/* So that it is found by the network namespace of its attendant, which has one besides the host's.
 */
int pod_note_network(const struct oci_state *s, struct err *e) must_check;

#endif
