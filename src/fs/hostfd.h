/*
 * Files around host fds: the sandbox's stdio, and what is passed in beside it.
 *
 * The host's open file description stays as it is: its O_NONBLOCK flag is not ours to
 * change (it is shared with the caller's shell), its position is the file's position. No host call
 * here blocks for long: data is asked for without waiting, and waiting is done on our
 * own wait queue, which one Sentry thread with a host epoll wakes.
 */
#ifndef FS_HOSTFD_H
#define FS_HOSTFD_H

#include "host/seccomp.h"
#include "vfs/vfs.h"

/*
 * A file around host fd, which it owns from success on. The access mode is the host's; flags adds
 * LX_O_NONBLOCK or LX_O_APPEND for the guest's view. Kinds: regular file, pipe, socket, terminal,
 * other character device; -LX_EINVAL for directories and block devices.
 */
int hostfd_new(int fd, u32 flags, struct file **ret_f) must_check;

/* The host calls that this file makes, for the Sentry's filter. */
extern const struct seccomp_rule hostfd_rules[];
extern const size_t hostfd_nrules;

#endif
