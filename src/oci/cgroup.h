/*
 * Control groups of the host, for a sandbox's processes: version 1, version 2 and both at once.
 *
 * A container has a directory of its own in each hierarchy that has a
 * controller. Its processes join before they start, so that everything that
 * they ever use is counted; limits are set before that. The guest's kernel enforces what can be
 * seen from inside (numbers of tasks); the host's limits stand behind it, scaled for what the
 * sandbox itself needs, so that they are never met first.
 *
 * A caller that may not make cgroups gets none, unless limits were asked for.
 */
#ifndef OCI_CGROUP_H
#define OCI_CGROUP_H

#include <sys/types.h>

#include "oci/spec.h"

struct oci_cgroup;

/*
 * Where the container's cgroups are to be: at linux.cgroupsPath (absent: a name of the container's
 * own below the caller's). Nothing is made yet, so that it can be written down first.
 * is_systemd: through systemd, whose cgroupsPath is "slice:prefix:name".
 */
int oci_cgroup_plan(const struct oci_spec *spec, const char *id, bool is_systemd,
                    struct oci_cgroup **ret_cg, struct err *e) must_check;
/* Makes them, sets linux.resources and moves pid in with all its threads (0: nobody). -1 leaves
 * nothing behind, but for a scope of systemd's, which oci_cgroup_destroy ends. Those that cannot be
 * made, and are not needed, are taken out of cg. */
int oci_cgroup_make(struct oci_cgroup *cg, const struct oci_spec *spec, pid_t pid,
                    struct err *e) must_check;
/* Whether oci_cgroup_make got so far that they are the container's, and not another one's who was
 * there first. NULL: no. */
bool oci_cgroup_is_ours(const struct oci_cgroup *cg);
/* Moves a process with all its threads in. */
int oci_cgroup_join(const struct oci_cgroup *cg, pid_t pid, struct err *e) must_check;
/* cgroup.procs of each that was made (cg may be a copy from before), to be written by somebody
 * else; how many, at most max, owned by the caller. -1: one cannot be opened. */
int oci_cgroup_open_procs(const struct oci_cgroup *cg, int *ret_fds, u32 max,
                          struct err *e) must_check;
/* Sets what r names, and leaves the rest. */
int oci_cgroup_set(const struct oci_cgroup *cg, const struct oci_resources *r,
                   struct err *e) must_check;
/* Kills what is still inside and removes the directories; bounded in time. */
int oci_cgroup_destroy(struct oci_cgroup *cg, struct err *e) must_check;
void oci_cgroup_free(struct oci_cgroup *cg);

/* For the state file: JSON, malloc'ed; and back (text is not trusted). */
char *oci_cgroup_save(const struct oci_cgroup *cg) must_check;
int oci_cgroup_load(const char *text, struct oci_cgroup **ret_cg, struct err *e) must_check;

/* The directory of controller "memory", "cpu", …; NULL: none. For clients that ask where it is. */
const char *oci_cgroup_dir(const struct oci_cgroup *cg, const char *controller);
/* Processes inside, below it too; *ret_pids is malloc'ed. */
int oci_cgroup_pids(const struct oci_cgroup *cg, pid_t **ret_pids, u32 *ret_n,
                    struct err *e) must_check;

struct oci_blkio_stat {
    u64 major, minor, value;
    char op[16]; /* "Read", "Write", … */
};
struct oci_blkio_stats {
    struct oci_blkio_stat *v; /* malloc'ed */
    u32 n;
};
struct oci_cgroup_stats { /* bytes, ns; limits as the kernel says them, UINT64_MAX for "max" */
    u64 cpu_total, cpu_user, cpu_system;
    u64 *percpu; /* malloc'ed */
    u32 npercpu;
    u64 periods, throttled_periods, throttled_time;
    u64 mem_usage, mem_limit, mem_max, mem_failcnt, mem_cache;
    u64 swap_usage, swap_limit, swap_max, swap_failcnt;
    u64 kernel_usage, kernel_limit, kernel_max, kernel_failcnt;
    u64 oom_kills;
    struct oci_pairs mem_raw; /* memory.stat; malloc'ed */
    u64 pids, pids_limit;
    struct oci_blkio_stats io_bytes, io_ops;
};
/* What cannot be read is 0. */
void oci_cgroup_stats(const struct oci_cgroup *cg, struct oci_cgroup_stats *ret);
void oci_cgroup_stats_done(struct oci_cgroup_stats *s);
/* Processes of the container that the host has killed for want of memory. */
u64 oci_cgroup_oom_kills(const struct oci_cgroup *cg);

/* Host tasks that a sandbox of so many guest tasks may need. */
#define OCI_HOST_TASKS(guest_tasks) ((guest_tasks)*4 + 512)
#define OCI_GUEST_TASKS(host_tasks) ((host_tasks) < 512 ? 0 : ((host_tasks)-512) / 4)

#endif
