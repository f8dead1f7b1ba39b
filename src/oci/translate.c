/* See translate.h. */
#include "oci/translate.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "oci/idmap.h"
#include "oci/seccomp.h"

static char empty[] = "";

static char *in_bundle(const char *bundle, const char *path)
{
    char buf[PATH_MAX];
    if (*path == '/')
        return strdup(path);
    if (snprintf(buf, sizeof(buf), "%s/%s", bundle, path) >= (int)sizeof(buf))
        return NULL;
    return strdup(buf);
}

int oci_process_to_boot(const struct oci_process *p, struct boot_process *ret, struct err *e)
{
    struct boot_process b = {
        .flags = BOOT_P_PATH_SEARCH | BOOT_P_CAPS | (p->is_terminal ? BOOT_P_TTY : 0) |
                 (p->is_no_new_privs ? BOOT_P_NO_NEW_PRIVS : 0) |
                 (p->user.umask.is_set ? BOOT_P_UMASK : 0),
        .uid = p->user.uid,
        .gid = p->user.gid,
        .umask = (u32)p->user.umask.v,
        .rows = p->rows,
        .cols = p->cols,
        .oom_score_adj = p->oom_score_adj.is_set ? (s32)p->oom_score_adj.v : 0,
        .nargv = p->args.n,
        .argv = p->args.v,
        .nenvp = p->env.n,
        .envp = p->env.v,
        .ngroups = p->user.ngroups,
        .groups = p->user.groups,
        .cwd = p->cwd,
    };
    if (p->has_caps) {
        b.cap_bounding = p->caps.bounding;
        b.cap_effective = p->caps.effective;
        b.cap_permitted = p->caps.permitted;
        b.cap_inheritable = p->caps.inheritable;
        b.cap_ambient = p->caps.ambient;
    }
    if (p->has_scheduler) {
        if (p->scheduler.runtime_ns || p->scheduler.deadline_ns || p->scheduler.period_ns ||
            p->scheduler.policy == 6 /* SCHED_DEADLINE */)
            return err_set(e, "process.scheduler: SCHED_DEADLINE is not supported by this runtime");
        if (p->scheduler.flags)
            return err_set(e, "process.scheduler.flags are not supported by this runtime");
        b.sched_policy = p->scheduler.policy;
        b.sched_priority = (u32)p->scheduler.priority;
        b.nice = p->scheduler.nice;
    }
    if (p->io_class.is_set)
        b.ioprio = (u32)(p->io_class.v << 13 | p->io_priority.v); /* IOPRIO_PRIO_VALUE */
    if (p->args.n == 0)
        return err_set(e, "process.args: the process has no program to run");
    b.rlimits = calloc(p->rlimits.n + 1, sizeof(*b.rlimits));
    if (!b.rlimits)
        return err_set(e, "out of memory");
    for (u32 i = 0; i < p->rlimits.n; i++)
        b.rlimits[b.nrlimits++] = (struct boot_rlimit){p->rlimits.v[i].resource,
                                                       p->rlimits.v[i].soft, p->rlimits.v[i].hard};
    *ret = b;
    return 0;
}

static int add_bind(const struct oci_mount *m, const char *bundle, struct oci_boot *b,
                    struct boot_mount *to, struct err *e)
{
    if (!m->source)
        return err_set(e, "the mount on '%s' has no source", m->destination);
    if ((m->propagation & MS_SHARED) == MS_SHARED)
        return err_set(
            e,
            "the mount on '%s' asks for shared propagation: mounts made in a sandbox cannot "
            "reach the host (use private or slave)",
            m->destination);
    char *source = in_bundle(bundle, m->source);
    struct stat st;
    if (!source || stat(source, &st) < 0)
        return err_errno(e, "cannot find '%s', which is to be mounted on '%s'", m->source,
                         m->destination);
    if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode))
        return err_set(
            e, "'%s', which is to be mounted on '%s', is neither a directory nor a regular file",
            m->source, m->destination);
    if (b->ntrees + 1 >= BOOT_MAX_TREES)
        return err_set(e, "more than %d bind mounts", BOOT_MAX_TREES - 2);
    b->trees[b->ntrees++] = (struct sandbox_tree){source, (to->flags & MS_RDONLY) != 0, m->is_rec};
    to->kind = BOOT_MOUNT_TREE;
    to->attach = (s32)b->ntrees;
    return 0;
}

static int add_mounts(const struct oci_spec *spec, const char *bundle, struct oci_boot *b,
                      struct err *e)
{
    u32 n = spec->mounts.n;
    static char cgroup2[] = "cgroup2";
    struct boot_mount *mounts = calloc(n + 1, sizeof(*mounts));
    b->trees = calloc(n + 1, sizeof(*b->trees));
    if (!mounts || !b->trees)
        return err_set(e, "out of memory");
    for (u32 i = 0; i < n; i++) {
        const struct oci_mount *m = &spec->mounts.v[i];
        struct boot_mount *to = &mounts[i];
        *to = (struct boot_mount){
            .type = m->type ? m->type : empty,
            .source = m->source ? m->source : empty,
            .target = m->destination,
            .options = m->data ? m->data : empty,
            .kind = BOOT_MOUNT_FS,
            /* What is mounted below a bind mount's source is one with it here. */
            .flags = (m->flags | m->rec_set) & ~m->rec_cleared,
            .attach = -1,
        };
        if (m->kind == OCI_MOUNT_BIND) {
            if (add_bind(m, bundle, b, to, e) < 0)
                return -1;
        } else if (m->is_copyup) {
            to->kind = BOOT_MOUNT_COPYUP;
        } else if (!strcmp(to->type, "cgroup")) {
            to->type = cgroup2; /* the one hierarchy that the sandbox's kernel has */
            to->options = empty;
        }
        /* Private is what every mount in a sandbox is. */
        if (m->propagation & (MS_SLAVE | MS_UNBINDABLE))
            to->propagation = m->propagation;
    }
    b->container.mounts = mounts;
    b->container.nmounts = n;
    return 0;
}

static int add_devices(const struct oci_spec *spec, struct oci_boot *b, struct err *e)
{
    u32 n = spec->linux_.devices.n;
    struct boot_device *devices = calloc(n + 1, sizeof(*devices));
    if (!devices)
        return err_set(e, "out of memory");
    for (u32 i = 0; i < n; i++) {
        const struct oci_device *d = &spec->linux_.devices.v[i];
        u32 type = d->type == 'c' || d->type == 'u' ? S_IFCHR : d->type == 'b' ? S_IFBLK : S_IFIFO;
        devices[i] = (struct boot_device){.path = d->path,
                                          .mode = type | (d->mode & 07777),
                                          .major = (u32)d->major,
                                          .minor = (u32)d->minor,
                                          .uid = d->uid,
                                          .gid = d->gid};
    }
    b->container.devices = devices;
    b->container.ndevices = n;
    return 0;
}

static u32 rule_flags(const struct oci_device_rule *r)
{
    static const struct {
        char letter;
        u32 flag;
    } accesses[] = {{'m', BOOT_DR_MKNOD}, {'r', BOOT_DR_READ}, {'w', BOOT_DR_WRITE}};
    u32 flags = r->is_allow ? BOOT_DR_ALLOW : 0;
    for (size_t i = 0; i < ARRAY_SIZE(accesses); i++)
        if (strchr(r->access, accesses[i].letter))
            flags |= accesses[i].flag;
    if (r->type != 'b')
        flags |= BOOT_DR_CHAR;
    if (r->type != 'c')
        flags |= BOOT_DR_BLOCK;
    return flags;
}

/* Those of the bundle, then what every container may have whatever they say (config-linux.md,
 * "Default Devices"; nodes of any kind can be made, as with other runtimes). */
static int add_device_rules(const struct oci_resources *res, struct oci_boot *b, struct err *e)
{
    static const struct boot_dev_rule always[] = {
        {BOOT_DR_ALLOW | BOOT_DR_MKNOD | BOOT_DR_CHAR | BOOT_DR_BLOCK, UINT32_MAX, UINT32_MAX},
#define NODE(major_, minor_)                                                                       \
    {BOOT_DR_ALLOW | BOOT_DR_MKNOD | BOOT_DR_READ | BOOT_DR_WRITE | BOOT_DR_CHAR, major_, minor_}
        NODE(1, 3),
        NODE(1, 5),
        NODE(1, 7),
        NODE(1, 8),
        NODE(1, 9), /* null, zero, full, random, urandom */
        NODE(5, 0),
        NODE(5, 1),
        NODE(5, 2),
        NODE(136, UINT32_MAX), /* tty, console, ptmx, pts */
        NODE(10, 200),         /* net/tun */
#undef NODE
    };
    u32 n = res->devices.n;
    if (n == 0)
        return 0;
    struct boot_dev_rule *rules = calloc(n + ARRAY_SIZE(always), sizeof(*rules));
    if (!rules)
        return err_set(e, "out of memory");
    for (u32 i = 0; i < n; i++) {
        const struct oci_device_rule *r = &res->devices.v[i];
        bool is_all = r->type == 'a'; /* whose numbers mean nothing */
        rules[i] = (struct boot_dev_rule){
            rule_flags(r), is_all || !r->major.is_set ? UINT32_MAX : (u32)r->major.v,
            is_all || !r->minor.is_set ? UINT32_MAX : (u32)r->minor.v};
    }
    memcpy(rules + n, always, sizeof(always));
    b->container.dev_rules = rules;
    b->container.ndev_rules = n + ARRAY_SIZE(always);
    return 0;
}

static int add_sysctls(const struct oci_spec *spec, struct oci_boot *b, struct err *e)
{
    u32 n = spec->linux_.sysctl.n;
    struct boot_pair *pairs = calloc(n + 1, sizeof(*pairs));
    if (!pairs)
        return err_set(e, "out of memory");
    for (u32 i = 0; i < n; i++)
        pairs[i] =
            (struct boot_pair){spec->linux_.sysctl.v[i].name, spec->linux_.sysctl.v[i].value};
    b->container.sysctls = pairs;
    b->container.nsysctls = n;
    return 0;
}

int oci_filter_to_boot(const struct oci_linux *l, struct boot_process *p, struct err *e)
{
    struct oci_bpf bpf = {0};
    if (l->seccomp && oci_seccomp_compile(l->seccomp, &bpf, e) < 0)
        return -1;
    p->seccomp = bpf.insns;
    p->nseccomp = bpf.ninsns;
    p->seccomp_flags = bpf.flags;
    if (l->personality.is_set)
        p->personality = (u32)l->personality.v;
    return 0;
}

static void set_limits(const struct oci_resources *r, struct boot_container *c)
{
    c->memory_limit = r->memory.limit.v > 0 ? (u64)r->memory.limit.v : 0;
    c->pids_limit = r->pids.v > 0 ? (u64)r->pids.v : 0;
    c->cpu_quota_us = r->cpu.quota.v > 0 ? (u64)r->cpu.quota.v : 0;
    c->cpu_period_us = r->cpu.period.v > 0 ? (u64)r->cpu.period.v : 0;
}

/* What would have to be done and is not: refused by name. */
static int check_supported(const struct oci_spec *spec, struct err *e)
{
    const struct oci_linux *l = &spec->linux_;
    if (l->monotonic.is_set || l->boottime.is_set)
        return err_set(e, "linux.timeOffsets is not supported by this runtime");
    if ((l->rootfs_propagation & MS_SHARED) == MS_SHARED)
        return err_set(
            e, "linux.rootfsPropagation: 'shared' is not supported: mounts made in a sandbox "
               "cannot reach the host (use private or slave)");
    /* Processes and System V objects of a sandbox are its kernel's, whoever else there is. */
    static const enum oci_ns own[] = {OCI_NS_PID, OCI_NS_IPC, OCI_NS_MNT};
    for (size_t i = 0; i < ARRAY_SIZE(own); i++)
        if (!l->ns[own[i]].is_set)
            return err_set(
                e,
                "linux.namespaces: there is no %s namespace, and a sandbox cannot share the "
                "host's",
                oci_ns_names[own[i]]);
    /* A pod's containers can share processes: see pod.c. */
    static const enum oci_ns unjoined[] = {OCI_NS_MNT, OCI_NS_CGROUP, OCI_NS_TIME, OCI_NS_USER};
    for (size_t i = 0; i < ARRAY_SIZE(unjoined); i++)
        if (l->ns[unjoined[i]].path)
            return err_set(e, "linux.namespaces: a sandbox cannot join the %s namespace '%s'",
                           oci_ns_names[unjoined[i]], l->ns[unjoined[i]].path);
    for (u32 i = 0; i < spec->mounts.n; i++) {
        const struct oci_mount *m = &spec->mounts.v[i];
        if (m->is_idmap)
            return err_set(e, "mounts[%u]: id-mapped mounts are not supported by this runtime", i);
    }
    return 0;
}

/* The program's own ids must be among those of its user namespace. */
static int check_ids(const struct oci_process *p, const struct oci_boot *b, struct err *e)
{
    if (!idmap_has(b->uid_map, b->nuid_map, p->user.uid))
        return err_set(e, "process.user.uid: %u has no place in linux.uidMappings", p->user.uid);
    if (!idmap_has(b->gid_map, b->ngid_map, p->user.gid))
        return err_set(e, "process.user.gid: %u has no place in linux.gidMappings", p->user.gid);
    for (u32 i = 0; i < p->user.ngroups; i++)
        if (!idmap_has(b->gid_map, b->ngid_map, p->user.groups[i]))
            return err_set(e, "process.user.additionalGids: %u has no place in linux.gidMappings",
                           p->user.groups[i]);
    return 0;
}

static int add_idmaps(const struct oci_spec *spec, struct oci_boot *b, struct err *e)
{
    const struct oci_linux *l = &spec->linux_;
    b->is_mapped = l->ns[OCI_NS_USER].is_set;
    if (!b->is_mapped)
        return 0;
    if (idmap_from_spec(&l->uid_maps, "uidMappings", &b->nuid_map, &b->uid_map, e) < 0 ||
        idmap_from_spec(&l->gid_maps, "gidMappings", &b->ngid_map, &b->gid_map, e) < 0)
        return -1;
    return check_ids(&spec->process, b, e);
}

static int find_root(const struct oci_spec *spec, const char *bundle, struct oci_boot *b,
                     struct err *e)
{
    if (!spec->root_path)
        return err_set(e, "config.json: root.path is missing");
    char *path = in_bundle(bundle, spec->root_path);
    b->root = path ? realpath(path, NULL) : NULL;
    if (!b->root)
        return err_errno(e, "cannot find the root directory '%s'", spec->root_path);
    free(path);
    struct stat st;
    if (stat(b->root, &st) < 0 || !S_ISDIR(st.st_mode))
        return err_set(e, "the root '%s' is not a directory", b->root);
    return 0;
}

int oci_to_boot(const struct oci_spec *spec, const char *bundle, const char *id,
                struct oci_boot *ret, struct err *e)
{
    struct oci_boot b = {0};
    struct boot_container *c = &b.container;
    if (!spec->has_process)
        return err_set(e, "config.json: process is missing");
    if (find_root(spec, bundle, &b, e) < 0)
        return -1;
    c->flags = BOOT_DEV_NODES | (spec->is_root_readonly ? BOOT_ROOT_READONLY : BOOT_RW);
    c->id = strdup(id);
    c->hostname = spec->hostname;
    c->domainname = spec->domainname;
    c->nmasked = spec->linux_.masked_paths.n;
    c->masked = spec->linux_.masked_paths.v;
    c->nreadonly = spec->linux_.readonly_paths.n;
    c->readonly = spec->linux_.readonly_paths.v;
    if (!c->id)
        return err_set(e, "out of memory");
    set_limits(&spec->linux_.resources, c);
    if (check_supported(spec, e) < 0 || oci_process_to_boot(&spec->process, &c->process, e) < 0 ||
        oci_filter_to_boot(&spec->linux_, &c->process, e) < 0 ||
        add_mounts(spec, bundle, &b, e) < 0 || add_devices(spec, &b, e) < 0 ||
        add_device_rules(&spec->linux_.resources, &b, e) < 0 || add_sysctls(spec, &b, e) < 0 ||
        add_idmaps(spec, &b, e) < 0)
        return -1;
    *ret = b;
    return 0;
}
