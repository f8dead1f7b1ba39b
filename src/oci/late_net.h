/* Taking over what an engine puts into a container's network namespace between create and start. */
#ifndef OCI_LATE_NET_H
#define OCI_LATE_NET_H

#include "oci/err.h"
#include "oci/spec.h"
#include "oci/state.h"

/*
 * Of a created container that is about to start. Engines do so where the container has a user
 * namespace: they wait for the runtime to have made it. Nothing is done for other containers,
 * and when the namespace has no address besides the loopback's: what was taken over at create has
 * none left.
 */
int late_net_take(const struct oci_state *s, const struct oci_spec *spec, const char *egress,
                  struct err *e) must_check;

#endif
