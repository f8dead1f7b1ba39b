/*
 * The boot configuration: what the command line tells a sentry about a
 * sandbox, a container in it and a process in that. Each of the three is
 * encoded into a memfd of its own kind and read once.
 *
 * Strings are at most BOOT_MAX_STRING bytes; decoding bounds everything and
 * fails as a whole. Every pointer in a decoded struct is owned by it; NULL
 * strings become empty ones.
 */
#ifndef WIRE_BOOTCFG_H
#define WIRE_BOOTCFG_H

#include "base/defs.h"

/* Fixed descriptor numbers in a sentry, besides 0, 1, 2 which are the first program's. */
#define BOOT_FD_CONFIG  3
#define BOOT_FD_CONTROL 4
#define BOOT_FD_LOG     5
#define BOOT_FD_STRACE  6
#define BOOT_FD_LISTEN  7 /* with BOOT_LISTEN: where commands connect (wire/control.h) */
#define BOOT_FD_CONSOLE                                                                            \
    8 /* with BOOT_CONSOLE: the host's terminal that the program's is bridged to */
#define BOOT_FD_BROKER 9 /* with BOOT_HOST_NET or BOOT_RESOLVER: the network broker (netproto.h)   \
                          */
/* In a broker: 0 and 1 are /dev/null, 2 the log. */
#define BOOT_FD_BROKER_LINK 3
#define BOOT_FD_BROKER_NET  4 /* /proc/net of its namespace */
/* In a gofer: 0 and 1 are /dev/null, 2 the log. */
#define BOOT_FD_GOFER_ROOT 3
#define BOOT_FD_GOFER_SELF 4
/* In both; in a gofer, the trees besides the root come behind the lanes. */
#define BOOT_FD_LANES 10 /* the first; container.nlanes of them */
/* In a sentry: packet sockets of the interfaces that it takes over (netcfg.h); behind all others.
 */
#define BOOT_FD_NET 144

#define BOOT_OOM_PROTECTED (-900) /* at or below: a sentry that the host's kernel spares */

#define BOOT_MAX_STRING  (128 * 1024)
#define BOOT_MAX_STRINGS 65536
#define BOOT_MAX_MOUNTS  1024
#define BOOT_MAX_LANES   64
#define BOOT_MAX_TREES   256 /* what a gofer serves: the root and the sources of bind mounts */
#define BOOT_MAX_INSNS   65536
#define BOOT_MAX_NET     (2U << 20)
#define BOOT_MAX_IDMAPS  340 /* ranges of a user namespace, as in the kernel */
#define BOOT_MAX_PASSED  64  /* descriptors of the caller that a program gets, from 3 upward */

/* ---- a process ----------------------------------------------------------------------------- */

/* boot_process.flags */
#define BOOT_P_TTY          1U /* a pseudoterminal of the container as 0, 1, 2 and controlling terminal */
#define BOOT_P_PATH_SEARCH  2U /* argv[0] is looked up in PATH */
#define BOOT_P_MORTAL       4U /* though pid 1, signals have their default actions (cvisor do) */
#define BOOT_P_NO_NEW_PRIVS 8U
#define BOOT_P_CAPS         16U  /* caps are given; else all for uid 0 and none for others */
#define BOOT_P_UMASK        32U  /* umask is given; else 022 */
#define BOOT_P_NO_STDIN     256U /* the program has no descriptor 0; 512: no 1; 1024: no 2 */

struct boot_rlimit {
    u32 which; /* LX_RLIMIT_* */
    u64 cur, max;
};

struct boot_process {
    u32 flags;
    u32 uid, gid, umask;
    u32 rows, cols; /* terminal size, 0 unknown */
    s32 oom_score_adj;
    u32 npassed; /* descriptors that come after 0, 1, 2 */
    u64 cap_bounding, cap_effective, cap_permitted, cap_inheritable, cap_ambient;
    u32 seccomp_flags;                                     /* SECCOMP_FILTER_FLAG_* */
    u32 sched_policy, sched_priority, ioprio, personality; /* 0: as they are */
    s32 nice;
    u32 nargv, nenvp, ngroups, nrlimits, nseccomp;
    char *cwd;
    char **argv, **envp; /* NULL-terminated */
    u32 *groups;
    struct boot_rlimit *rlimits;
    u64 *seccomp; /* struct sock_filter each: a classic BPF program, installed before exec */
};

/* ---- a container --------------------------------------------------------------------------- */

/* boot_container.flags */
#define BOOT_RW               1U /* root is the gofer's tree itself, writable; else an overlay on it */
#define BOOT_ROOT_READONLY    2U /* the container sees its root read-only */
#define BOOT_DIRECTFS         4U
#define BOOT_ROOT_SHARED      8U /* with BOOT_RW: the host may change the root's tree at any time */
#define BOOT_DEV_NODES        16U /* fill /dev with the devices and links that every container has */
#define BOOT_MOUNTS_EXCLUSIVE 32U /* nobody else changes the trees of its bind mounts */
/* Of a further container: System V objects and queues, or names, that are not the sandbox's first
 * container's. */
#define BOOT_OWN_IPC 64U
#define BOOT_OWN_UTS 128U

/* boot_mount.kind */
#define BOOT_MOUNT_FS     0U /* a file system of the sentry: type, source, options */
#define BOOT_MOUNT_TREE   1U /* tree `attach` of the gofer */
#define BOOT_MOUNT_COPYUP 2U /* as FS, then filled with what was there */

struct boot_mount {
    char *type, *source, *target, *options;
    u32 kind;
    u32 flags;       /* MS_*; also MS_REC with the propagation below */
    u32 propagation; /* MS_SHARED, … with MS_REC; 0: none */
    s32 attach;      /* gofer tree for BOOT_MOUNT_TREE, else -1 */
};

struct boot_device {
    char *path;
    u32 mode; /* with S_IFCHR, S_IFBLK or S_IFIFO */
    u32 major, minor;
    u32 uid, gid;
};

/* What is allowed or not from here on, of what a list of these says in order. */
struct boot_dev_rule {
    u32 flags;        /* BOOT_DR_* */
    u32 major, minor; /* UINT32_MAX: all */
};
#define BOOT_DR_MKNOD 1U
#define BOOT_DR_READ  2U
#define BOOT_DR_WRITE 4U
#define BOOT_DR_ALLOW 8U
#define BOOT_DR_CHAR  16U
#define BOOT_DR_BLOCK 32U

struct boot_pair {
    char *name, *value;
};

struct boot_container {
    u32 flags;
    u32 nlanes;
    u32 ncgroups;     /* a pod's further container: the last descriptors are cgroup.procs of its own
                         groups */
    u64 overlay_size; /* bytes of the overlay's upper layer; 0: the default */
    u64 memory_limit; /* bytes; 0: none */
    u64 pids_limit;   /* tasks; 0: none */
    u64 cpu_quota_us, cpu_period_us; /* 0: none */
    u32 nmounts, ndevices, nmasked, nreadonly, nsysctls, ndev_rules;
    char *id, *hostname, *domainname;
    char
        *pid_ns_of; /* id of a container of the sandbox whose processes it shares; empty: its own */
    struct boot_mount *mounts;
    struct boot_device *devices;
    struct boot_dev_rule *dev_rules; /* none: everything is allowed */
    char **masked, **readonly;       /* paths */
    struct boot_pair *sysctls;
    struct boot_process process;
};

/* ---- a sandbox ----------------------------------------------------------------------------- */

/* bootcfg.flags */
#define BOOT_STRACE     1U
#define BOOT_PATCH_OFF  2U
#define BOOT_MM_HELPER  4U
#define BOOT_LISTEN     8U   /* commands may connect */
#define BOOT_CONSOLE    16U  /* the console is at BOOT_FD_CONSOLE; else 0 and 1 */
#define BOOT_WAIT_START 32U  /* the first program runs when CTL_START comes */
#define BOOT_RESOLVER   128U /* the broker connects to the name server of the network taken over */
#define BOOT_HOST_NET   64U  /* internet sockets are the host's, made by the broker */

/* A range of ids: of the sandbox's, and what its user namespace's parent calls them. */
struct boot_idmap {
    u32 first, lower, count;
};

struct bootcfg {
    u32 flags;
    u32 log_level;
    u32 own_uid,
        own_gid; /* what gofers call the owner whom the sentry itself sees as 0 (directfs) */
    u32 nuid_map, ngid_map;
    struct boot_idmap *uid_map, *gid_map; /* the only ids that there are; none: all are */
    u64 rlimit_nofile;                    /* host's hard limit, for the descriptor cache */
    struct boot_container container;      /* the first */
    u32 net_size;
    u8 *net; /* a netcfg, encoded; NULL: loopback only */
};

void boot_process_done(struct boot_process *p);
void boot_container_done(struct boot_container *c);
void bootcfg_done(struct bootcfg *c);
/* Encode into a malloc'ed buffer. -LX_ENOMEM, -LX_E2BIG. */
int bootcfg_encode(const struct bootcfg *c, void **ret_buf, size_t *ret_size) must_check;
int boot_container_encode(const struct boot_container *c, void **ret_buf,
                          size_t *ret_size) must_check;
int boot_process_encode(const struct boot_process *p, void **ret_buf, size_t *ret_size) must_check;
/* -LX_EINVAL when malformed, -LX_ENOMEM. */
int bootcfg_decode(const void *buf, size_t size, struct bootcfg *ret_c) must_check;
int boot_container_decode(const void *buf, size_t size, struct boot_container *ret_c) must_check;
int boot_process_decode(const void *buf, size_t size, struct boot_process *ret_p) must_check;

#endif
