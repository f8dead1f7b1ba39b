/* The linux part of the specification. */
#include <string.h>
#include <sys/mount.h>
#include <sys/personality.h>

#include "oci/spec_int.h"

const char *const oci_ns_names[OCI_NNS] = {
    [OCI_NS_PID] = "pid",       [OCI_NS_NET] = "network", [OCI_NS_IPC] = "ipc",
    [OCI_NS_UTS] = "uts",       [OCI_NS_MNT] = "mount",   [OCI_NS_USER] = "user",
    [OCI_NS_CGROUP] = "cgroup", [OCI_NS_TIME] = "time",
};

static int check_idmap(struct json_rd *rd, void *obj)
{
    struct oci_idmap *m = obj;
    if (m->size == 0)
        return json_fail(rd, "size: a mapping of no ids");
    if ((u64)m->inner + m->size > UINT32_MAX || (u64)m->outer + m->size > UINT32_MAX)
        return json_fail(rd, "goes beyond the last id");
    return 0;
}
static const struct json_field idmap_fields[] = {
    FIELD_REQUIRED(struct oci_idmap, inner, "containerID", JSON_K_U32),
    FIELD_REQUIRED(struct oci_idmap, outer, "hostID", JSON_K_U32),
    FIELD_REQUIRED(struct oci_idmap, size, "size", JSON_K_U32),
};
const struct json_table json_idmap_table = TABLE(idmap_fields, struct oci_idmap, check_idmap);

/* ---- namespaces ---------------------------------------------------------------------------- */

struct ns_row {
    char *type, *path;
};
struct ns_rows {
    struct ns_row *v;
    u32 n;
};
static const struct json_field ns_fields[] = {
    FIELD_REQUIRED(struct ns_row, type, "type", JSON_K_STR),
    FIELD(struct ns_row, path, "path", JSON_K_STR),
};

static int check_ns(struct json_rd *rd, void *obj)
{
    struct ns_row *row = obj;
    if (row->path && !row->path[0])
        row->path = NULL;
    return row->path ? json_check_absolute(rd, "path", row->path) : 0;
}
static const struct json_table ns_table = TABLE(ns_fields, struct ns_row, check_ns);

static int read_namespaces(struct json_rd *rd, json_t *value, void *dst)
{
    struct oci_namespace *all = dst;
    struct ns_rows rows = {0};
    if (json_read_objs(rd, &ns_table, value, &rows) < 0)
        return -1;
    for (u32 i = 0; i < rows.n; i++) {
        u32 mark = json_push_index(rd, i);
        u32 k = 0;
        while (k < OCI_NNS && strcmp(oci_ns_names[k], rows.v[i].type))
            k++;
        if (k == OCI_NNS)
            return json_fail(rd, "'%.64s' is not a type of namespace", rows.v[i].type);
        if (all[k].is_set)
            return json_fail(rd, "the %s namespace is there twice", oci_ns_names[k]);
        all[k] = (struct oci_namespace){true, rows.v[i].path};
        json_pop(rd, mark);
    }
    return 0;
}

/* ---- devices ------------------------------------------------------------------------------- */

static int read_device_type(struct json_rd *rd, json_t *value, void *dst)
{
    char *s;
    if (json_str(rd, value, &s) < 0)
        return -1;
    if (!s[0] || s[1] || !strchr("cbup", s[0]))
        return json_fail(rd, "'%.16s' is not a type of device (c, b, u or p)", s);
    *(char *)dst = s[0] == 'u' ? 'c' : s[0];
    return 0;
}

/* An absent mode is 0666. */
static int read_device_mode(struct json_rd *rd, json_t *value, void *dst)
{
    u64 mode;
    if (json_u64(rd, value, UINT32_MAX, &mode) < 0)
        return -1;
    *(u32 *)dst = (u32)(mode & 07777) | 0x10000;
    return 0;
}

static int check_device(struct json_rd *rd, void *obj)
{
    struct oci_device *d = obj;
    d->mode = d->mode ? d->mode & 07777 : 0666;
    if (d->type != 'p' && (d->major < 0 || d->minor < 0 || d->major > 0xfff || d->minor > 0xfffff))
        return json_fail(rd, "%lld:%lld is not a device number", (long long)d->major,
                         (long long)d->minor);
    return json_check_absolute(rd, "path", d->path);
}
static const struct json_field device_fields[] = {
    FIELD_REQUIRED(struct oci_device, path, "path", JSON_K_STR),
    {.name = "type",
     .kind = JSON_K_CALL,
     .offset = offsetof(struct oci_device, type),
     .fn = read_device_type,
     .is_required = true},
    FIELD(struct oci_device, major, "major", JSON_K_S64),
    FIELD(struct oci_device, minor, "minor", JSON_K_S64),
    FIELD_CALL(struct oci_device, mode, "fileMode", read_device_mode),
    FIELD(struct oci_device, uid, "uid", JSON_K_U32),
    FIELD(struct oci_device, gid, "gid", JSON_K_U32),
};
static const struct json_table device_table = TABLE(device_fields, struct oci_device, check_device);

/* ---- seccomp ------------------------------------------------------------------------------- */

static const struct json_field arg_fields[] = {
    FIELD_REQUIRED(struct oci_seccomp_arg, index, "index", JSON_K_U32),
    FIELD_REQUIRED(struct oci_seccomp_arg, value, "value", JSON_K_U64),
    FIELD(struct oci_seccomp_arg, value_two, "valueTwo", JSON_K_U64),
    FIELD_REQUIRED(struct oci_seccomp_arg, op, "op", JSON_K_STR),
};

static int check_arg(struct json_rd *rd, void *obj)
{
    struct oci_seccomp_arg *a = obj;
    return a->index > 5
               ? json_fail(rd, "index: a system call has arguments 0 to 5, not %u", a->index)
               : 0;
}
static const struct json_table arg_table = TABLE(arg_fields, struct oci_seccomp_arg, check_arg);

static const struct json_field rule_fields[] = {
    FIELD_REQUIRED(struct oci_seccomp_rule, names, "names", JSON_K_STRS),
    FIELD_REQUIRED(struct oci_seccomp_rule, action, "action", JSON_K_STR),
    FIELD(struct oci_seccomp_rule, errno_ret, "errnoRet", JSON_K_OPT_U32),
    FIELD_OBJS(struct oci_seccomp_rule, args, "args", &arg_table),
};

static int check_rule(struct json_rd *rd, void *obj)
{
    struct oci_seccomp_rule *r = obj;
    return r->names.n == 0 ? json_fail(rd, "names: no system call is named") : 0;
}
static const struct json_table rule_table = TABLE(rule_fields, struct oci_seccomp_rule, check_rule);

static const struct json_field seccomp_fields[] = {
    FIELD_REQUIRED(struct oci_seccomp, default_action, "defaultAction", JSON_K_STR),
    FIELD(struct oci_seccomp, default_errno_ret, "defaultErrnoRet", JSON_K_OPT_U32),
    FIELD(struct oci_seccomp, architectures, "architectures", JSON_K_STRS),
    FIELD(struct oci_seccomp, flags, "flags", JSON_K_STRS),
    FIELD(struct oci_seccomp, listener_path, "listenerPath", JSON_K_STR),
    FIELD(struct oci_seccomp, listener_metadata, "listenerMetadata", JSON_K_STR),
    FIELD_OBJS(struct oci_seccomp, syscalls, "syscalls", &rule_table),
};
static const struct json_table seccomp_table = TABLE(seccomp_fields, struct oci_seccomp, NULL);

static int read_seccomp(struct json_rd *rd, json_t *value, void *dst)
{
    struct oci_seccomp *s = json_doc_alloc(rd->doc, sizeof(*s));
    if (!s)
        return json_no_memory(rd);
    *(struct oci_seccomp **)dst = s;
    return json_read(rd, &seccomp_table, value, s);
}

/* ---- the rest ------------------------------------------------------------------------------ */

static int read_propagation(struct json_rd *rd, json_t *value, void *dst)
{
    char *s;
    if (json_str(rd, value, &s) < 0)
        return -1;
    u32 flags = s[0] ? oci_propagation(s) : 0;
    if (s[0] && !flags)
        return json_fail(rd, "'%.64s' is not a kind of propagation", s);
    *(u32 *)dst = flags;
    return 0;
}

struct personality_row {
    char *domain;
    struct oci_strs flags;
};
static int read_personality(struct json_rd *rd, json_t *value, void *dst)
{
    static const struct json_field row_fields[] = {
        FIELD_REQUIRED(struct personality_row, domain, "domain", JSON_K_STR),
        FIELD(struct personality_row, flags, "flags", JSON_K_STRS),
    };
    static const struct json_table table = TABLE(row_fields, struct personality_row, NULL);
    struct personality_row row = {0};
    struct oci_opt *ret = dst;
    if (json_read(rd, &table, value, &row) < 0)
        return -1;
    if (row.flags.n)
        return json_fail(rd, "flags: the specification defines none, and none is supported");
    if (!strcmp(row.domain, "LINUX"))
        *ret = (struct oci_opt){true, PER_LINUX};
    else if (!strcmp(row.domain, "LINUX32"))
        *ret = (struct oci_opt){true, PER_LINUX32};
    else
        return json_fail(rd, "domain: '%.32s' is neither LINUX nor LINUX32", row.domain);
    return 0;
}

static int read_time_offset(struct json_rd *rd, json_t *value, struct oci_time_offset *ret)
{
    static const struct json_field offset_fields[] = {
        FIELD(struct oci_time_offset, secs, "secs", JSON_K_S64),
        FIELD(struct oci_time_offset, nanosecs, "nanosecs", JSON_K_U32),
    };
    static const struct json_table table = TABLE(offset_fields, struct oci_time_offset, NULL);
    if (json_read(rd, &table, value, ret) < 0)
        return -1;
    if (ret->nanosecs >= 1000000000)
        return json_fail(rd, "nanosecs: %u is a second or more", ret->nanosecs);
    ret->is_set = true;
    return 0;
}

static int read_time_offsets(struct json_rd *rd, json_t *value, void *dst)
{
    struct oci_linux *l = container_of(dst, struct oci_linux, monotonic);
    const char *key;
    json_t *v;
    if (!json_is_object(value))
        return json_wrong_type(rd, "an object", value);
    json_object_foreach(value, key, v)
    {
        u32 mark = json_push(rd, key);
        struct oci_time_offset *o = !strcmp(key, "monotonic")  ? &l->monotonic
                                    : !strcmp(key, "boottime") ? &l->boottime
                                                               : NULL;
        if (!o)
            return json_fail(rd, "is not a clock with an offset (monotonic, boottime)");
        if (read_time_offset(rd, v, o) < 0)
            return -1;
        json_pop(rd, mark);
    }
    return 0;
}

/* The host's cache and bandwidth control: an empty one asks for nothing. */
static int read_rdt(struct json_rd *rd, json_t *value, void *dst)
{
    (void)dst;
    if (json_is_object(value) && json_object_size(value) == 0)
        return 0;
    return json_fail(rd, "is not supported by this runtime");
}

static int check_paths(struct json_rd *rd, const char *member, const struct oci_strs *paths)
{
    u32 mark = json_push(rd, member);
    for (u32 i = 0; i < paths->n; i++) {
        u32 at = json_push_index(rd, i);
        if (paths->v[i][0] != '/')
            return json_fail(rd, "'%.200s' is not an absolute path", paths->v[i]);
        json_pop(rd, at);
    }
    json_pop(rd, mark);
    return 0;
}

static int check_linux(struct json_rd *rd, void *obj)
{
    struct oci_linux *l = obj;
    if (check_paths(rd, "maskedPaths", &l->masked_paths) < 0 ||
        check_paths(rd, "readonlyPaths", &l->readonly_paths) < 0)
        return -1;
    bool is_new_user = l->ns[OCI_NS_USER].is_set && !l->ns[OCI_NS_USER].path;
    if ((l->uid_maps.n || l->gid_maps.n) && !l->ns[OCI_NS_USER].is_set)
        return json_fail(rd, "uidMappings and gidMappings need a user namespace");
    if (is_new_user && (!l->uid_maps.n || !l->gid_maps.n))
        return json_fail(rd, "a new user namespace needs uidMappings and gidMappings");
    if ((l->monotonic.is_set || l->boottime.is_set) && !l->ns[OCI_NS_TIME].is_set)
        return json_fail(rd, "timeOffsets needs a time namespace");
    if (l->mount_label && l->mount_label[0] &&
        json_warn(rd,
                  "mountLabel '%.128s' has no meaning in the sandbox, whose kernel has no SELinux",
                  l->mount_label) < 0)
        return -1;
    return 0;
}

static const struct json_field fields[] = {
    FIELD_OBJS(struct oci_linux, uid_maps, "uidMappings", &json_idmap_table),
    FIELD_OBJS(struct oci_linux, gid_maps, "gidMappings", &json_idmap_table),
    FIELD(struct oci_linux, sysctl, "sysctl", JSON_K_PAIRS),
    FIELD_OBJ(struct oci_linux, resources, "resources", &json_resources_table),
    FIELD(struct oci_linux, cgroups_path, "cgroupsPath", JSON_K_STR),
    FIELD_CALL(struct oci_linux, ns, "namespaces", read_namespaces),
    FIELD_OBJS(struct oci_linux, devices, "devices", &device_table),
    FIELD_CALL(struct oci_linux, seccomp, "seccomp", read_seccomp),
    FIELD_CALL(struct oci_linux, rootfs_propagation, "rootfsPropagation", read_propagation),
    FIELD(struct oci_linux, masked_paths, "maskedPaths", JSON_K_STRS),
    FIELD(struct oci_linux, readonly_paths, "readonlyPaths", JSON_K_STRS),
    FIELD(struct oci_linux, mount_label, "mountLabel", JSON_K_STR),
    {.name = "intelRdt", .kind = JSON_K_CALL, .offset = 0, .fn = read_rdt},
    FIELD_CALL(struct oci_linux, personality, "personality", read_personality),
    FIELD_CALL(struct oci_linux, monotonic, "timeOffsets", read_time_offsets),
    FIELD_REFUSED("netDevices"),
    FIELD_REFUSED("memoryPolicy"),
};
const struct json_table json_linux_table = TABLE(fields, struct oci_linux, check_linux);
