/* What the gofer gives up before it reads its first request. */
#ifndef GOFER_CONFINE_H
#define GOFER_CONFINE_H

#include "gofer/gofer.h"

/* Raises the soft limit of open files to the hard one; the limit. */
u32 confine_nofile(void);
/* chroot to the jail, capabilities down to those that serving needs. Before threads start: both are
 * inherited by them. */
int confine_caps(const struct gofer_config *cfg, bool is_writable) must_check;
/* no_new_privs and the filter, on all threads. */
int confine_filter(bool is_writable) must_check;

#endif
