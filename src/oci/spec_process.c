/* The process of the specification: of a container, or of an exec. */
#include <linux/ioprio.h>
#include <linux/sched.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>

#include "oci/spec_int.h"

static const char *const cap_names[] = {
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
};

int oci_cap_number(const char *name)
{
    if (!strncasecmp(name, "CAP_", 4))
        name += 4;
    for (size_t i = 0; i < ARRAY_SIZE(cap_names); i++)
        if (!strcasecmp(cap_names[i], name))
            return (int)i;
    return -1;
}

const char *oci_cap_name(int cap)
{
    static char text[ARRAY_SIZE(cap_names)][32];
    if (cap < 0 || (size_t)cap >= ARRAY_SIZE(cap_names))
        return NULL;
    snprintf(text[cap], sizeof(text[cap]), "CAP_%s", cap_names[cap]);
    return text[cap];
}

int oci_rlimit_number(const char *name)
{
    static const char *const names[] = {
        [RLIMIT_CPU] = "CPU",           [RLIMIT_FSIZE] = "FSIZE",
        [RLIMIT_DATA] = "DATA",         [RLIMIT_STACK] = "STACK",
        [RLIMIT_CORE] = "CORE",         [RLIMIT_RSS] = "RSS",
        [RLIMIT_NPROC] = "NPROC",       [RLIMIT_NOFILE] = "NOFILE",
        [RLIMIT_MEMLOCK] = "MEMLOCK",   [RLIMIT_AS] = "AS",
        [RLIMIT_LOCKS] = "LOCKS",       [RLIMIT_SIGPENDING] = "SIGPENDING",
        [RLIMIT_MSGQUEUE] = "MSGQUEUE", [RLIMIT_NICE] = "NICE",
        [RLIMIT_RTPRIO] = "RTPRIO",     [RLIMIT_RTTIME] = "RTTIME",
    };
    if (strncmp(name, "RLIMIT_", 7))
        return -1;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (names[i] && !strcmp(names[i], name + 7))
            return (int)i;
    return -1;
}

/* ---- capabilities -------------------------------------------------------------------------- */

static int read_cap_set(struct json_rd *rd, json_t *value, void *dst)
{
    u64 set = 0;
    size_t i;
    json_t *v;
    if (!json_is_array(value))
        return json_wrong_type(rd, "an array of strings", value);
    json_array_foreach(value, i, v)
    {
        char *name;
        u32 mark = json_push_index(rd, i);
        if (json_str(rd, v, &name) < 0)
            return -1;
        int cap = oci_cap_number(name);
        /* The specification asks for a warning, not an error. */
        if (cap >= 0)
            set |= 1ULL << cap;
        else if (json_warn(rd, "the capability '%.64s' is unknown and left out", name) < 0)
            return -1;
        json_pop(rd, mark);
    }
    *(u64 *)dst = set;
    return 0;
}

static const struct json_field cap_fields[] = {
    FIELD_CALL(struct oci_caps, bounding, "bounding", read_cap_set),
    FIELD_CALL(struct oci_caps, effective, "effective", read_cap_set),
    FIELD_CALL(struct oci_caps, inheritable, "inheritable", read_cap_set),
    FIELD_CALL(struct oci_caps, permitted, "permitted", read_cap_set),
    FIELD_CALL(struct oci_caps, ambient, "ambient", read_cap_set),
};

static int check_caps(struct json_rd *rd, void *obj)
{
    struct oci_caps *c = obj;
    /* What the kernel's capset(2) and prctl(2) would refuse; the runtime would fail half-way. */
    if (c->effective & ~c->permitted)
        return json_fail(rd, "effective holds a capability that permitted lacks");
    /* Linux drops these from the ambient set in silence, and so do other runtimes. */
    c->ambient &= c->permitted & c->inheritable;
    return 0;
}
static const struct json_table cap_table = TABLE(cap_fields, struct oci_caps, check_caps);

static int read_caps(struct json_rd *rd, json_t *value, void *dst)
{
    struct oci_process *p = container_of(dst, struct oci_process, caps);
    p->has_caps = true;
    return json_read(rd, &cap_table, value, dst);
}

/* ---- user, limits -------------------------------------------------------------------------- */

static int read_groups(struct json_rd *rd, json_t *value, void *dst)
{
    struct oci_user *u = container_of(dst, struct oci_user, groups);
    if (!json_is_array(value))
        return json_wrong_type(rd, "an array of numbers", value);
    size_t n = json_array_size(value), i;
    if (n > 65536)
        return json_fail(rd, "has more than 65536 groups");
    u->groups = json_doc_alloc(rd->doc, (n + 1) * sizeof(u32));
    if (!u->groups)
        return json_no_memory(rd);
    for (i = 0; i < n; i++) {
        u64 gid;
        u32 mark = json_push_index(rd, i);
        if (json_u64(rd, json_array_get(value, i), UINT32_MAX - 1, &gid) < 0)
            return -1;
        u->groups[i] = (u32)gid;
        json_pop(rd, mark);
    }
    u->ngroups = (u32)n;
    return 0;
}

static int check_user(struct json_rd *rd, void *obj)
{
    struct oci_user *u = obj;
    if (u->uid == UINT32_MAX || u->gid == UINT32_MAX)
        return json_fail(rd, "4294967295 is not an id");
    if (u->umask.is_set && u->umask.v > 0777)
        return json_fail(rd, "umask: %lld is more than 0777", (long long)u->umask.v);
    return 0;
}

static const struct json_field user_fields[] = {
    FIELD(struct oci_user, uid, "uid", JSON_K_U32),
    FIELD(struct oci_user, gid, "gid", JSON_K_U32),
    FIELD(struct oci_user, umask, "umask", JSON_K_OPT_U32),
    FIELD_CALL(struct oci_user, groups, "additionalGids", read_groups),
};
static const struct json_table user_table = TABLE(user_fields, struct oci_user, check_user);

static int read_rlimit_type(struct json_rd *rd, json_t *value, void *dst)
{
    char *name;
    if (json_str(rd, value, &name) < 0)
        return -1;
    int n = oci_rlimit_number(name);
    if (n < 0)
        return json_fail(rd, "'%.64s' is not a resource limit", name);
    *(u32 *)dst = (u32)n;
    return 0;
}

static int check_rlimit(struct json_rd *rd, void *obj)
{
    struct oci_rlimit *l = obj;
    if (l->soft > l->hard)
        return json_fail(rd, "soft (%llu) is above hard (%llu)", (unsigned long long)l->soft,
                         (unsigned long long)l->hard);
    return 0;
}

static const struct json_field rlimit_fields[] = {
    {.name = "type",
     .kind = JSON_K_CALL,
     .offset = offsetof(struct oci_rlimit, resource),
     .fn = read_rlimit_type,
     .is_required = true},
    FIELD(struct oci_rlimit, hard, "hard", JSON_K_U64),
    FIELD(struct oci_rlimit, soft, "soft", JSON_K_U64),
};
static const struct json_table rlimit_table = TABLE(rlimit_fields, struct oci_rlimit, check_rlimit);

static const struct json_field console_fields[] = {
    FIELD_REQUIRED(struct oci_process, rows, "height", JSON_K_U32),
    FIELD_REQUIRED(struct oci_process, cols, "width", JSON_K_U32),
};
static const struct json_table console_table = TABLE(console_fields, struct oci_process, NULL);

static int read_console(struct json_rd *rd, json_t *value, void *dst)
{
    struct oci_process *p = dst; /* offset 0: the fields are the process's own */
    if (json_read(rd, &console_table, value, p) < 0)
        return -1;
    if (p->rows > UINT16_MAX || p->cols > UINT16_MAX)
        return json_fail(rd, "a terminal has at most 65535 rows and columns");
    return 0;
}

/* ---- scheduling ---------------------------------------------------------------------------- */

static int read_policy(struct json_rd *rd, json_t *value, void *dst)
{
    static const struct {
        const char *name;
        u32 policy;
    } policies[] = {
        {"SCHED_OTHER", SCHED_NORMAL},      {"SCHED_FIFO", SCHED_FIFO}, {"SCHED_RR", SCHED_RR},
        {"SCHED_BATCH", SCHED_BATCH},       {"SCHED_ISO", 4},           {"SCHED_IDLE", SCHED_IDLE},
        {"SCHED_DEADLINE", SCHED_DEADLINE},
    };
    char *name;
    if (json_str(rd, value, &name) < 0)
        return -1;
    for (size_t i = 0; i < ARRAY_SIZE(policies); i++) {
        if (strcmp(policies[i].name, name))
            continue;
        if (policies[i].policy == 4)
            return json_fail(rd, "'SCHED_ISO' is not a policy of any Linux");
        *(u32 *)dst = policies[i].policy;
        return 0;
    }
    return json_fail(rd, "'%.64s' is not a scheduling policy", name);
}

static int read_sched_flags(struct json_rd *rd, json_t *value, void *dst)
{
    static const struct {
        const char *name;
        u64 flag;
    } flags[] = {
        {"SCHED_FLAG_RESET_ON_FORK", SCHED_FLAG_RESET_ON_FORK},
        {"SCHED_FLAG_RECLAIM", SCHED_FLAG_RECLAIM},
        {"SCHED_FLAG_DL_OVERRUN", SCHED_FLAG_DL_OVERRUN},
        {"SCHED_FLAG_KEEP_POLICY", SCHED_FLAG_KEEP_POLICY},
        {"SCHED_FLAG_KEEP_PARAMS", SCHED_FLAG_KEEP_PARAMS},
        {"SCHED_FLAG_UTIL_CLAMP_MIN", SCHED_FLAG_UTIL_CLAMP_MIN},
        {"SCHED_FLAG_UTIL_CLAMP_MAX", SCHED_FLAG_UTIL_CLAMP_MAX},
    };
    u64 all = 0;
    size_t i;
    json_t *v;
    if (!json_is_array(value))
        return json_wrong_type(rd, "an array of strings", value);
    json_array_foreach(value, i, v)
    {
        char *name;
        size_t k = 0;
        u32 mark = json_push_index(rd, i);
        if (json_str(rd, v, &name) < 0)
            return -1;
        while (k < ARRAY_SIZE(flags) && strcmp(flags[k].name, name))
            k++;
        if (k == ARRAY_SIZE(flags))
            return json_fail(rd, "'%.64s' is not a scheduling flag", name);
        all |= flags[k].flag;
        json_pop(rd, mark);
    }
    *(u64 *)dst = all;
    return 0;
}

static const struct json_field sched_fields[] = {
    {.name = "policy",
     .kind = JSON_K_CALL,
     .offset = offsetof(struct oci_scheduler, policy),
     .fn = read_policy,
     .is_required = true},
    FIELD(struct oci_scheduler, nice, "nice", JSON_K_S32),
    FIELD(struct oci_scheduler, priority, "priority", JSON_K_S32),
    FIELD_CALL(struct oci_scheduler, flags, "flags", read_sched_flags),
    FIELD(struct oci_scheduler, runtime_ns, "runtime", JSON_K_U64),
    FIELD(struct oci_scheduler, deadline_ns, "deadline", JSON_K_U64),
    FIELD(struct oci_scheduler, period_ns, "period", JSON_K_U64),
};

static int check_sched(struct json_rd *rd, void *obj)
{
    struct oci_scheduler *s = obj;
    bool is_rt = s->policy == SCHED_FIFO || s->policy == SCHED_RR;
    if (is_rt && (s->priority < 1 || s->priority > 99))
        return json_fail(rd, "priority: %d is out of range (1 to 99)", s->priority);
    if (!is_rt && s->priority)
        return json_fail(rd, "priority: only SCHED_FIFO and SCHED_RR have one");
    if (s->nice < -20 || s->nice > 19)
        return json_fail(rd, "nice: %d is out of range (-20 to 19)", s->nice);
    if (s->policy != SCHED_DEADLINE && (s->runtime_ns || s->deadline_ns || s->period_ns))
        return json_fail(rd, "only SCHED_DEADLINE has runtime, deadline and period");
    return 0;
}
static const struct json_table sched_table = TABLE(sched_fields, struct oci_scheduler, check_sched);

static int read_sched(struct json_rd *rd, json_t *value, void *dst)
{
    struct oci_process *p = container_of(dst, struct oci_process, scheduler);
    p->has_scheduler = true;
    return json_read(rd, &sched_table, value, dst);
}

static int read_ioprio(struct json_rd *rd, json_t *value, void *dst)
{
    static const char *const classes[] = {
        [IOPRIO_CLASS_RT] = "IOPRIO_CLASS_RT",
        [IOPRIO_CLASS_BE] = "IOPRIO_CLASS_BE",
        [IOPRIO_CLASS_IDLE] = "IOPRIO_CLASS_IDLE",
    };
    struct oci_process *p = container_of(dst, struct oci_process, io_class);
    struct {
        char *class_name;
        struct oci_opt priority;
    } io = {0};
    const struct json_field io_fields[] = {
        {.name = "class", .kind = JSON_K_STR, .offset = 0, .is_required = true},
        {.name = "priority", .kind = JSON_K_OPT, .offset = sizeof(char *)},
    };
    const struct json_table table = {.fields = io_fields, .nfields = 2, .size = sizeof(io)};
    if (json_read(rd, &table, value, &io) < 0)
        return -1;
    if (io.priority.v < 0 || io.priority.v > 7)
        return json_fail(rd, "priority: %lld is out of range (0 to 7)", (long long)io.priority.v);
    for (size_t i = IOPRIO_CLASS_RT; i < ARRAY_SIZE(classes); i++) {
        if (strcmp(classes[i], io.class_name))
            continue;
        p->io_class = (struct oci_opt){true, (s64)i};
        p->io_priority = (struct oci_opt){true, io.priority.v};
        return 0;
    }
    return json_fail(rd, "class: '%.64s' is not an I/O class", io.class_name);
}

/* ---- the process --------------------------------------------------------------------------- */

static int check_process(struct json_rd *rd, void *obj)
{
    struct oci_process *p = obj;
    if (!p->args.n)
        return json_fail(rd, "args is missing or empty: there is nothing to run");
    if (!p->args.v[0][0])
        return json_fail(rd, "args[0] is empty: there is nothing to run");
    if (json_check_absolute(rd, "cwd", p->cwd) < 0)
        return -1;
    if (p->oom_score_adj.is_set && (p->oom_score_adj.v < -1000 || p->oom_score_adj.v > 1000))
        return json_fail(rd, "oomScoreAdj: %lld is out of range (-1000 to 1000)",
                         (long long)p->oom_score_adj.v);
    for (u32 i = 0; i < p->rlimits.n; i++)
        for (u32 k = 0; k < i; k++)
            if (p->rlimits.v[i].resource == p->rlimits.v[k].resource)
                return json_fail(rd, "rlimits[%u]: this limit is there twice", i);
    if (p->apparmor_profile && p->apparmor_profile[0] &&
        json_warn(
            rd,
            "apparmorProfile '%.64s' has no meaning in the sandbox, whose kernel has no AppArmor",
            p->apparmor_profile) < 0)
        return -1;
    if (p->selinux_label && p->selinux_label[0] &&
        json_warn(
            rd, "selinuxLabel '%.128s' has no meaning in the sandbox, whose kernel has no SELinux",
            p->selinux_label) < 0)
        return -1;
    return 0;
}

static const struct json_field fields[] = {
    FIELD(struct oci_process, is_terminal, "terminal", JSON_K_BOOL),
    {.name = "consoleSize", .kind = JSON_K_CALL, .offset = 0, .fn = read_console},
    FIELD_OBJ(struct oci_process, user, "user", &user_table),
    FIELD(struct oci_process, args, "args", JSON_K_STRS),
    FIELD(struct oci_process, env, "env", JSON_K_STRS),
    FIELD_REQUIRED(struct oci_process, cwd, "cwd", JSON_K_STR),
    FIELD_CALL(struct oci_process, caps, "capabilities", read_caps),
    FIELD_OBJS(struct oci_process, rlimits, "rlimits", &rlimit_table),
    FIELD(struct oci_process, is_no_new_privs, "noNewPrivileges", JSON_K_BOOL),
    FIELD(struct oci_process, oom_score_adj, "oomScoreAdj", JSON_K_OPT),
    FIELD_CALL(struct oci_process, scheduler, "scheduler", read_sched),
    FIELD_CALL(struct oci_process, io_class, "ioPriority", read_ioprio),
    FIELD(struct oci_process, apparmor_profile, "apparmorProfile", JSON_K_STR),
    FIELD(struct oci_process, selinux_label, "selinuxLabel", JSON_K_STR),
    FIELD_REFUSED("execCPUAffinity"),
};
const struct json_table json_process_table = TABLE(fields, struct oci_process, check_process);
