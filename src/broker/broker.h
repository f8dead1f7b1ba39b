/*
 * broker: the process that makes a sandbox's sockets in the host's network namespace
 * (--network=host), or the one to a Docker network's name server. It is the only one of a sandbox
 * in that namespace, has none of the host's files, and of capabilities CAP_NET_BIND_SERVICE at
 * most. The sentry gets each socket as a descriptor and does the rest itself (docs/decisions/0013).
 */
#ifndef BROKER_BROKER_H
#define BROKER_BROKER_H

#include "base/defs.h"

struct broker_config {
    int link_fd;      /* to the sentry (wire/netproto.h) */
    int net_dir_fd;   /* /proc/net of the namespace, or -1 */
    bool is_root;     /* becomes nobody */
    bool is_resolver; /* connects to the name server, and does nothing else */
    bool is_binder;   /* keeps CAP_NET_BIND_SERVICE, if it has it */
};

/* Serves until the sentry hangs up; exit status. */
int broker_main(const struct broker_config *cfg);
/* Prints the broker's filter, for docs/SECURITY.md. */
void broker_print_filter(int fd, const char *(*name_of)(u32 nr));

/* confine.c: identity and capabilities, then the filter. 0 or -LX_E*. */
int broker_drop(const struct broker_config *cfg) must_check;
int broker_filter(const struct broker_config *cfg) must_check;

#endif
