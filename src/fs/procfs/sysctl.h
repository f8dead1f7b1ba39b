/* Values of /proc/sys that other rooms read, and its table for net. */
#ifndef PROCFS_SYSCTL_H
#define PROCFS_SYSCTL_H

#include "procfs/proc_int.h"

#define SYSCTL_NET_SIZE 4
extern const struct pnode sysctl_net_table[SYSCTL_NET_SIZE]; /* sysctl_net.c */

/* kern/ipc.h has those of System V IPC. */
extern _Atomic s64 sysctl_nr_open;

#endif
