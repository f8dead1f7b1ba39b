/* Messages that the kernel puts into a program's netlink socket without being asked there. */
#ifndef NET_NETLINK_POST_H
#define NET_NETLINK_POST_H

#include "base/defs.h"

struct file;

/* 0; -LX_ENOTSOCK, -LX_EINVAL: no netlink socket. */
int netlink_post_check(struct file *f) must_check;
/* One datagram from the kernel. f has passed the check. No locks. */
void netlink_post(struct file *f, const void *data, u32 size);

#endif
