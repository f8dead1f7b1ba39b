/*
 * The OCI runtime configuration (config.json of a bundle, process.json of an
 * exec, the resources of an update) as plain structs.
 *
 * A document is hostile: everything in it is checked for type and range before
 * anything uses it. An error is one sentence that names the field
 * ("config.json: process.rlimits[2].hard: …"), or the line and column where
 * the JSON is broken. What the specification does not know is ignored, as it
 * demands; what it knows and this runtime cannot do is refused by name. What is true but has no
 * meaning inside a sandbox (an AppArmor profile: the guest's kernel has none) is in `warnings`.
 *
 * Strings and arrays live as long as the document that holds them; an absent
 * string is NULL, an absent array has n == 0, an absent number has is_set false.
 */
#ifndef OCI_SPEC_H
#define OCI_SPEC_H

#include "oci/err.h"

struct oci_opt { /* a number that may be absent */
    bool is_set;
    s64 v;
};
struct oci_strs {
    char **v; /* NULL-terminated when n > 0 */
    u32 n;
};
struct oci_pair {
    char *name, *value;
};
struct oci_pairs {
    struct oci_pair *v;
    u32 n;
};
const char *oci_pairs_get(const struct oci_pairs *p, const char *name); /* NULL: absent */

struct oci_idmap {
    u32 inner, outer, size; /* containerID, hostID, size */
};
struct oci_idmaps {
    struct oci_idmap *v;
    u32 n;
};

/* ---- mounts -------------------------------------------------------------------------------- */

enum oci_mount_kind { OCI_MOUNT_FS, OCI_MOUNT_BIND };

struct oci_mount {
    char *destination, *type, *source;
    struct oci_strs options;
    struct oci_idmaps uid_maps, gid_maps;
    /* From the options: */
    enum oci_mount_kind kind;
    bool is_rec; /* rbind */
    u32 flags;   /* MS_RDONLY, MS_NOSUID, … that are set */
    u32 cleared; /* … that are cleared ("rw", "suid", …): a remount would need to know */
    u32 rec_set, rec_cleared; /* "rro" and kin: for the whole tree of an rbind */
    u32 propagation;          /* MS_PRIVATE, MS_SLAVE, … | MS_REC; 0: the default */
    bool is_copyup;           /* tmpcopyup */
    bool is_idmap, is_ridmap;
    char *data; /* the rest, comma-separated, for the file system */
};
struct oci_mounts {
    struct oci_mount *v;
    u32 n;
};

/* ---- process ------------------------------------------------------------------------------- */

struct oci_rlimit {
    u32 resource; /* RLIMIT_* */
    u64 hard, soft;
};
struct oci_rlimits {
    struct oci_rlimit *v;
    u32 n;
};
struct oci_caps { /* bit N is capability N */
    u64 bounding, effective, inheritable, permitted, ambient;
};
struct oci_scheduler {
    u32 policy; /* SCHED_* */
    s32 nice, priority;
    u64 flags; /* SCHED_FLAG_* */
    u64 runtime_ns, deadline_ns, period_ns;
};
struct oci_user {
    u32 uid, gid;
    struct oci_opt umask;
    u32 *groups; /* additionalGids */
    u32 ngroups;
};
struct oci_process {
    bool is_terminal;
    u32 rows, cols; /* consoleSize; 0: unknown */
    struct oci_user user;
    struct oci_strs args, env;
    char *cwd;
    bool has_caps;
    struct oci_caps caps;
    struct oci_rlimits rlimits;
    bool is_no_new_privs;
    struct oci_opt oom_score_adj;
    bool has_scheduler;
    struct oci_scheduler scheduler;
    struct oci_opt io_class, io_priority; /* IOPRIO_CLASS_* and 0 to 7 */
    char *apparmor_profile, *selinux_label;
};

/* ---- hooks --------------------------------------------------------------------------------- */

struct oci_hook {
    char *path;
    struct oci_strs args, env;
    struct oci_opt timeout_s;
};
struct oci_hooks {
    struct oci_hook *v;
    u32 n;
};
enum oci_hook_kind {
    OCI_HOOK_PRESTART,
    OCI_HOOK_CREATE_RUNTIME,
    OCI_HOOK_CREATE_CONTAINER,
    OCI_HOOK_START_CONTAINER,
    OCI_HOOK_POSTSTART,
    OCI_HOOK_POSTSTOP,
    OCI_NHOOKS
};
extern const char *const oci_hook_names[OCI_NHOOKS]; /* "prestart", … */

/* ---- linux --------------------------------------------------------------------------------- */

enum oci_ns {
    OCI_NS_PID,
    OCI_NS_NET,
    OCI_NS_IPC,
    OCI_NS_UTS,
    OCI_NS_MNT,
    OCI_NS_USER,
    OCI_NS_CGROUP,
    OCI_NS_TIME,
    OCI_NNS
};
extern const char *const oci_ns_names[OCI_NNS]; /* "pid", "network", … */

struct oci_namespace {
    bool is_set;
    char *path; /* join this one; NULL: a new one */
};

struct oci_device {
    char *path;
    char type; /* 'c', 'b', 'p' */
    s64 major, minor;
    u32 mode; /* permission bits; 0666 when absent */
    u32 uid, gid;
};
struct oci_devices {
    struct oci_device *v;
    u32 n;
};

struct oci_device_rule {
    bool is_allow;
    char type;                   /* 'a', 'c', 'b' */
    struct oci_opt major, minor; /* absent: all */
    char access[4];              /* of "rwm" */
};
struct oci_device_rules {
    struct oci_device_rule *v;
    u32 n;
};
struct oci_weight_device {
    s64 major, minor;
    struct oci_opt weight, leaf_weight;
};
struct oci_weight_devices {
    struct oci_weight_device *v;
    u32 n;
};
struct oci_throttle_device {
    s64 major, minor;
    u64 rate;
};
struct oci_throttle_devices {
    struct oci_throttle_device *v;
    u32 n;
};
struct oci_hugepage_limit {
    char *page_size; /* "2MB" */
    u64 limit;
};
struct oci_hugepage_limits {
    struct oci_hugepage_limit *v;
    u32 n;
};
struct oci_net_priority {
    char *name;
    u32 priority;
};
struct oci_net_priorities {
    struct oci_net_priority *v;
    u32 n;
};
struct oci_rdma {
    char *device;
    struct oci_opt hca_handles, hca_objects;
};
struct oci_rdmas {
    struct oci_rdma *v;
    u32 n;
};
struct oci_resources {
    struct oci_device_rules devices;
    struct { /* bytes; -1: no limit */
        struct oci_opt limit, reservation, swap, kernel, kernel_tcp, swappiness;
        bool is_oom_killer_off, is_check_before_update;
        struct oci_opt use_hierarchy;
    } memory;
    struct {
        struct oci_opt shares, quota, burst, period, rt_runtime, rt_period, idle; /* times in µs */
        char *cpus, *mems;
    } cpu;
    struct oci_opt pids; /* <= 0: no limit */
    struct {
        struct oci_opt weight, leaf_weight;
        struct oci_weight_devices weight_devices;
        struct oci_throttle_devices read_bps, write_bps, read_iops, write_iops;
    } blkio;
    struct oci_hugepage_limits hugepages;
    struct {
        struct oci_opt class_id;
        struct oci_net_priorities priorities;
    } network;
    struct oci_rdmas rdma;
    struct oci_pairs unified;
};

struct oci_seccomp_arg {
    u32 index;
    u64 value, value_two;
    char *op; /* "SCMP_CMP_EQ", … */
};
struct oci_seccomp_args {
    struct oci_seccomp_arg *v;
    u32 n;
};
struct oci_seccomp_rule {
    struct oci_strs names;
    char *action; /* "SCMP_ACT_ALLOW", … */
    struct oci_opt errno_ret;
    struct oci_seccomp_args args;
};
struct oci_seccomp_rules {
    struct oci_seccomp_rule *v;
    u32 n;
};
struct oci_seccomp {
    char *default_action;
    struct oci_opt default_errno_ret;
    struct oci_strs architectures, flags;
    char *listener_path, *listener_metadata;
    struct oci_seccomp_rules syscalls;
};

struct oci_time_offset {
    bool is_set;
    s64 secs;
    u32 nanosecs;
};

struct oci_linux {
    struct oci_idmaps uid_maps, gid_maps;
    struct oci_pairs sysctl;
    struct oci_resources resources;
    char *cgroups_path;
    struct oci_namespace ns[OCI_NNS];
    struct oci_devices devices;
    struct oci_seccomp *seccomp; /* NULL: none */
    u32 rootfs_propagation;      /* MS_PRIVATE, … | MS_REC; 0: the default */
    struct oci_strs masked_paths, readonly_paths;
    char *mount_label;
    struct oci_opt personality; /* PER_* */
    struct oci_time_offset monotonic, boottime;
};

/* ---- the whole ----------------------------------------------------------------------------- */

struct oci_spec {
    char *version;
    char *root_path; /* as written: relative to the bundle, or absolute */
    bool is_root_readonly;
    bool has_process;
    struct oci_process process;
    char *hostname, *domainname;
    struct oci_mounts mounts;
    struct oci_hooks hooks[OCI_NHOOKS];
    struct oci_pairs annotations;
    struct oci_linux linux_;
    struct oci_strs warnings; /* sentences for the log */

    struct oci_doc *doc; /* owns all of the above */
};

/* Reads and checks dir_fd/path (AT_FDCWD: as open(2)). `path` is also the name in errors. */
int oci_spec_load(int dir_fd, const char *path, struct oci_spec **ret_spec,
                  struct err *e) must_check;
int oci_spec_parse(const char *text, size_t size, const char *name, struct oci_spec **ret_spec,
                   struct err *e) must_check;
void oci_spec_free(struct oci_spec *spec);

/* A process alone: exec --process. Freed with its document. */
struct oci_process_doc {
    struct oci_process process;
    struct oci_strs warnings;
    struct oci_doc *doc;
};
int oci_process_load(int dir_fd, const char *path, struct oci_process_doc **ret_p,
                     struct err *e) must_check;
int oci_process_parse(const char *text, size_t size, const char *name,
                      struct oci_process_doc **ret_p, struct err *e) must_check;
void oci_process_free(struct oci_process_doc *p);

/* Resources alone: update -r. */
struct oci_resources_doc {
    struct oci_resources resources;
    struct oci_doc *doc;
};
int oci_resources_parse(const char *text, size_t size, const char *name,
                        struct oci_resources_doc **ret_r, struct err *e) must_check;
void oci_resources_free(struct oci_resources_doc *r);

/* "CAP_CHOWN" (or "chown", any case) to its number; -1: unknown. */
int oci_cap_number(const char *name);
const char *oci_cap_name(int cap); /* NULL: none */
/* Words that a mount's options may be, besides those for its file system; how many. */
u32 oci_mount_option_names(const char **ret, u32 max);
/* "RLIMIT_NOFILE" to its number; -1: unknown. */
int oci_rlimit_number(const char *name);

#endif
