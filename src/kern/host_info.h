/*
 * What the sandbox shows of the machine: gathered once at start, while the Sentry can still
 * open files, with the limits of its own cgroup applied. Constant afterwards, but for those limits.
 */
#ifndef KERN_HOST_INFO_H
#define KERN_HOST_INFO_H

#include "base/defs.h"

struct host_info {
    u32 ncpus;         /* usable ones; guests see them as 0 to ncpus-1 */
    u64 host_cpus;     /* the host's numbers of these, as a mask */
    _Atomic u64 mem_total; /* bytes: of the host, or the cgroup's limit */
    _Atomic u64 mem_limit; /* the cgroup's limit; 0: none */
    u64 start_boot_ns; /* CLOCK_BOOTTIME when the sandbox began */
    u64 start_tsc;     /* time stamp counter at start_mono_ns */
    u64 start_mono_ns;
};
extern struct host_info host_info;

/* Before the Sentry gives up its files. Never fails: what cannot be read gets a cautious value. */
void host_info_gather(void);

/* The cgroup's limit was changed; 0: it has none of its own any more. */
void host_info_set_mem_limit(u64 limit);

/* Present values, by host calls that the Sentry keeps. */
struct mem_now {
    u64 total, free, available, shared, buffers, cached; /* bytes */
};
void host_mem_now(struct mem_now *ret);
/* The guest's view of a mask of the host's cpus, and back. */
u64 cpus_to_guest(u64 host_mask);
u64 cpus_to_host(u64 guest_mask);

#endif
