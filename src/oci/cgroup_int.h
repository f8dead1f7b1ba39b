/* What the files of cgroups share. */
#ifndef OCI_CGROUP_INT_H
#define OCI_CGROUP_INT_H

#include "oci/cgroup.h"

enum cg_controller {
    CG_CPU,
    CG_CPUACCT,
    CG_CPUSET,
    CG_MEMORY,
    CG_PIDS,
    CG_BLKIO,
    CG_HUGETLB,
    CG_NET_CLS,
    CG_NET_PRIO,
    CG_RDMA,
    CG_DEVICES,
    CG_FREEZER,
    CG_PERF,
    CG_NAMED, /* "name=systemd": only there to be joined */
    CG_N
};

struct cg_dir { /* one hierarchy */
    bool is_v2;
    u32 controllers; /* as bits: those that are used here */
    char *path;      /* of the container's directory */
    char *base;      /* where the hierarchy is mounted; path begins with it */
};

#define CG_MAX_DIRS 20
struct oci_cgroup {
    bool is_systemd;
    bool is_ours;       /* made by oci_cgroup_make: nobody else is in them */
    char *unit, *slice; /* of systemd, or NULL; the slice only until it is made */
    u32 ndirs;
    struct cg_dir dirs[CG_MAX_DIRS];
};

/* The hierarchy that has the controller, or NULL. */
const struct cg_dir *cg_find(const struct oci_cgroup *cg, enum cg_controller c);
bool cg_has_file(const struct cg_dir *d, const char *file);
/* Both name the file in errors, and want the whole written. */
int cg_write(const struct cg_dir *d, const char *file, const char *text, struct err *e) must_check;
int cg_read(const char *dir, const char *file, char *buf, size_t size) must_check; /* -1: errno */

/* cgroup_systemd.c. In which the paths are, nothing is made yet. */
int cg_systemd_plan(struct oci_cgroup *cg, const char *cgroups_path, const char *id,
                    struct err *e) must_check;
/* Makes the scope, with the process in it. */
int cg_systemd_start(const struct oci_cgroup *cg, pid_t pid, struct err *e) must_check;
void cg_systemd_stop(const struct oci_cgroup *cg);

#endif
