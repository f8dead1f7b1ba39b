/*
 * Taking over a network namespace for a sandbox.
 */
#ifndef OCI_NETNS_H
#define OCI_NETNS_H

#include "oci/err.h"
#include "oci/sandbox.h"

/*
 * Takes the interfaces of the namespace at `path` (NULL: the caller's own) for the sandbox that p
 * is about to start: reads addresses, routes and neighbours, opens a packet socket for each
 * Ethernet interface that is up, and removes the addresses, so that the host no longer answers
 * there. Nothing is put back: the namespace is the sandbox's from then on. Refuses the host's own
 * namespace. egress: "deny", "allow:CIDR:PORT,…" or NULL. Fills p->net_fds and p->boot->net; on
 * failure nothing was changed or opened. The calling process must have one thread.
 */
int netns_take(const char *path, const char *egress, struct sandbox_params *p,
               struct err *e) must_check;
struct stat;
/* Is the namespace that the caller is in the one that it came from (left), or process 1's? */
bool netns_is_hosts(const struct stat *left) must_check;
/*
 * The same as netns_take for the namespace that the caller is in, once it has entered it for the
 * container. Nothing is done when that is the host's (netns_is_hosts) or has no interface but lo.
 */
int netns_take_entered(const struct stat *left, const char *egress, struct sandbox_params *p,
                       struct err *e) must_check;
/*
 * The same for the network namespace of process pid, of a sandbox that has started already: when an
 * interface there has an address. Fills p as netns_take does; the caller is back in its own.
 */
int netns_take_late(pid_t pid, const char *egress, struct sandbox_params *p,
                    struct err *e) must_check;
/* Does Docker's name server listen in the caller's namespace? */
bool netns_has_resolver(void) must_check;
/* For good. The calling process must have one thread. */
int netns_enter(const char *path, struct err *e) must_check;
/* Is the text of an --egress well formed? */
bool netns_is_egress(const char *text) must_check;

#endif
