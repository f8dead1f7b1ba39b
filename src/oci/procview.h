/*
 * /proc below a container's root, as the host sees it there: engines that list a container's
 * processes enter the mount namespace of its pid and read /proc (podman top). The container's
 * processes are none of the host's, so a FUSE file system of the attendant's shows them, with the
 * numbers that they have inside: the directories of the processes with stat, status, cmdline, comm
 * and ns/pid, uptime and stat. All is read-only.
 *
 * The attendant serves it between its other messages and never waits: opening the directory asks
 * the sentry over the link for what runs, its answer completes the call, and everything else is
 * answered from that.
 */
#ifndef OCI_PROCVIEW_H
#define OCI_PROCVIEW_H

#include "base/defs.h"
#include "wire/control.h"

/* Before the root changes: a descriptor for procview_mount, or -1, as where there is no FUSE. */
int procview_open(void);
/* On dir, a directory of the container's root. False: it cannot be; fd is closed. */
bool procview_mount(int fd, int dir);
/* The descriptor with requests, to poll when no answer is awaited; else -1. */
int procview_fd(void);
/* It is readable. */
void procview_serve(int link);
/* The sentry's answer to what was asked for. */
void procview_answer(int link, const struct ctl_msg *m);

#endif
