/* linux.resources of the specification, also what `update` reads. */
#include <string.h>

#include "oci/spec_int.h"

static int read_device_type(struct json_rd *rd, json_t *value, void *dst)
{
    char *s;
    if (json_str(rd, value, &s) < 0)
        return -1;
    if (s[0] && (!strchr("acb", s[0]) || s[1]))
        return json_fail(rd, "'%.16s' is not a type of device (a, c or b)", s);
    *(char *)dst = s[0] ? s[0] : 'a';
    return 0;
}

static int read_access(struct json_rd *rd, json_t *value, void *dst)
{
    char *s, *access = dst;
    if (json_str(rd, value, &s) < 0)
        return -1;
    size_t n = strlen(s);
    if (n > 3 || strspn(s, "rwm") != n)
        return json_fail(rd, "'%.16s' is not a device access (of r, w and m)", s);
    memcpy(access, s, n + 1);
    return 0;
}

static int check_rule(struct json_rd *rd, void *obj)
{
    struct oci_device_rule *r = obj;
    (void)rd;
    if (!r->type)
        r->type = 'a';
    if (r->major.is_set && r->major.v < 0)
        r->major.is_set = false; /* -1 is another way to say all */
    if (r->minor.is_set && r->minor.v < 0)
        r->minor.is_set = false;
    if (!r->access[0])
        memcpy(r->access, "rwm", 4);
    return 0;
}

static const struct json_field rule_fields[] = {
    FIELD_REQUIRED(struct oci_device_rule, is_allow, "allow", JSON_K_BOOL),
    FIELD_CALL(struct oci_device_rule, type, "type", read_device_type),
    FIELD(struct oci_device_rule, major, "major", JSON_K_OPT),
    FIELD(struct oci_device_rule, minor, "minor", JSON_K_OPT),
    FIELD_CALL(struct oci_device_rule, access, "access", read_access),
};
static const struct json_table rule_table = TABLE(rule_fields, struct oci_device_rule, check_rule);

#define MEMORY(member_) offsetof(struct oci_resources, memory.member_)
static const struct json_field memory_fields[] = {
    {.name = "limit", .kind = JSON_K_OPT, .offset = MEMORY(limit)},
    {.name = "reservation", .kind = JSON_K_OPT, .offset = MEMORY(reservation)},
    {.name = "swap", .kind = JSON_K_OPT, .offset = MEMORY(swap)},
    {.name = "kernel", .kind = JSON_K_OPT, .offset = MEMORY(kernel)},
    {.name = "kernelTCP", .kind = JSON_K_OPT, .offset = MEMORY(kernel_tcp)},
    {.name = "swappiness", .kind = JSON_K_OPT_U64, .offset = MEMORY(swappiness)},
    {.name = "disableOOMKiller", .kind = JSON_K_BOOL, .offset = MEMORY(is_oom_killer_off)},
    {.name = "useHierarchy", .kind = JSON_K_OPT_BOOL, .offset = MEMORY(use_hierarchy)},
    {.name = "checkBeforeUpdate", .kind = JSON_K_BOOL, .offset = MEMORY(is_check_before_update)},
};

static int check_memory(struct json_rd *rd, void *obj)
{
    struct oci_resources *r = obj;
    const struct {
        const char *name;
        struct oci_opt *o;
    } sizes[] = {{"limit", &r->memory.limit},
                 {"reservation", &r->memory.reservation},
                 {"swap", &r->memory.swap}};
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
        if (sizes[i].o->is_set && sizes[i].o->v < -1)
            return json_fail(rd, "%s: %lld is neither a size nor -1", sizes[i].name,
                             (long long)sizes[i].o->v);
    if (r->memory.swappiness.is_set && r->memory.swappiness.v > 100)
        return json_fail(rd, "swappiness: %lld is out of range (0 to 100)",
                         (long long)r->memory.swappiness.v);
    return 0;
}
static const struct json_table memory_table =
    TABLE(memory_fields, struct oci_resources, check_memory);

#define CPU(member_) offsetof(struct oci_resources, cpu.member_)
static const struct json_field cpu_fields[] = {
    {.name = "shares", .kind = JSON_K_OPT_U64, .offset = CPU(shares)},
    {.name = "quota", .kind = JSON_K_OPT, .offset = CPU(quota)},
    {.name = "burst", .kind = JSON_K_OPT_U64, .offset = CPU(burst)},
    {.name = "period", .kind = JSON_K_OPT_U64, .offset = CPU(period)},
    {.name = "realtimeRuntime", .kind = JSON_K_OPT, .offset = CPU(rt_runtime)},
    {.name = "realtimePeriod", .kind = JSON_K_OPT_U64, .offset = CPU(rt_period)},
    {.name = "cpus", .kind = JSON_K_STR, .offset = CPU(cpus)},
    {.name = "mems", .kind = JSON_K_STR, .offset = CPU(mems)},
    {.name = "idle", .kind = JSON_K_OPT, .offset = CPU(idle)},
};
static const struct json_table cpu_table = TABLE(cpu_fields, struct oci_resources, NULL);

static const struct json_field pids_fields[] = {
    FIELD_REQUIRED(struct oci_resources, pids, "limit", JSON_K_OPT),
};
static const struct json_table pids_table = TABLE(pids_fields, struct oci_resources, NULL);

static const struct json_field weight_fields[] = {
    FIELD_REQUIRED(struct oci_weight_device, major, "major", JSON_K_S64),
    FIELD_REQUIRED(struct oci_weight_device, minor, "minor", JSON_K_S64),
    FIELD(struct oci_weight_device, weight, "weight", JSON_K_OPT_U32),
    FIELD(struct oci_weight_device, leaf_weight, "leafWeight", JSON_K_OPT_U32),
};
static const struct json_table weight_table = TABLE(weight_fields, struct oci_weight_device, NULL);

static const struct json_field throttle_fields[] = {
    FIELD_REQUIRED(struct oci_throttle_device, major, "major", JSON_K_S64),
    FIELD_REQUIRED(struct oci_throttle_device, minor, "minor", JSON_K_S64),
    FIELD(struct oci_throttle_device, rate, "rate", JSON_K_U64),
};
static const struct json_table throttle_table =
    TABLE(throttle_fields, struct oci_throttle_device, NULL);

#define BLKIO(member_) offsetof(struct oci_resources, blkio.member_)
static const struct json_field blkio_fields[] = {
    {.name = "weight", .kind = JSON_K_OPT_U32, .offset = BLKIO(weight)},
    {.name = "leafWeight", .kind = JSON_K_OPT_U32, .offset = BLKIO(leaf_weight)},
    {.name = "weightDevice",
     .kind = JSON_K_OBJS,
     .offset = BLKIO(weight_devices),
     .table = &weight_table},
    {.name = "throttleReadBpsDevice",
     .kind = JSON_K_OBJS,
     .offset = BLKIO(read_bps),
     .table = &throttle_table},
    {.name = "throttleWriteBpsDevice",
     .kind = JSON_K_OBJS,
     .offset = BLKIO(write_bps),
     .table = &throttle_table},
    {.name = "throttleReadIOPSDevice",
     .kind = JSON_K_OBJS,
     .offset = BLKIO(read_iops),
     .table = &throttle_table},
    {.name = "throttleWriteIOPSDevice",
     .kind = JSON_K_OBJS,
     .offset = BLKIO(write_iops),
     .table = &throttle_table},
};
static const struct json_table blkio_table = TABLE(blkio_fields, struct oci_resources, NULL);

static const struct json_field hugepage_fields[] = {
    FIELD_REQUIRED(struct oci_hugepage_limit, page_size, "pageSize", JSON_K_STR),
    FIELD_REQUIRED(struct oci_hugepage_limit, limit, "limit", JSON_K_U64),
};

static int check_hugepage(struct json_rd *rd, void *obj)
{
    struct oci_hugepage_limit *h = obj;
    size_t n = strspn(h->page_size, "0123456789");
    if (n == 0 || n > 8 ||
        (strcmp(h->page_size + n, "KB") && strcmp(h->page_size + n, "MB") &&
         strcmp(h->page_size + n, "GB")))
        return json_fail(rd, "pageSize: '%.32s' is not a size such as 2MB", h->page_size);
    return 0;
}
static const struct json_table hugepage_table =
    TABLE(hugepage_fields, struct oci_hugepage_limit, check_hugepage);

static const struct json_field priority_fields[] = {
    FIELD_REQUIRED(struct oci_net_priority, name, "name", JSON_K_STR),
    FIELD_REQUIRED(struct oci_net_priority, priority, "priority", JSON_K_U32),
};
static const struct json_table priority_table =
    TABLE(priority_fields, struct oci_net_priority, NULL);

static const struct json_field network_fields[] = {
    {.name = "classID",
     .kind = JSON_K_OPT_U32,
     .offset = offsetof(struct oci_resources, network.class_id)},
    {.name = "priorities",
     .kind = JSON_K_OBJS,
     .offset = offsetof(struct oci_resources, network.priorities),
     .table = &priority_table},
};
static const struct json_table network_table = TABLE(network_fields, struct oci_resources, NULL);

static const struct json_field rdma_fields[] = {
    FIELD(struct oci_rdma, hca_handles, "hcaHandles", JSON_K_OPT_U32),
    FIELD(struct oci_rdma, hca_objects, "hcaObjects", JSON_K_OPT_U32),
};
static const struct json_table rdma_table = TABLE(rdma_fields, struct oci_rdma, NULL);

static int read_rdma(struct json_rd *rd, json_t *value, void *dst)
{
    struct oci_rdmas *list = dst;
    const char *key;
    json_t *v;
    if (!json_is_object(value))
        return json_wrong_type(rd, "an object", value);
    size_t n = json_object_size(value);
    list->v = n ? json_doc_alloc(rd->doc, n * sizeof(*list->v)) : NULL;
    if (n && !list->v)
        return json_no_memory(rd);
    json_object_foreach(value, key, v)
    {
        struct oci_rdma *r = &list->v[list->n++];
        u32 mark = json_push(rd, key);
        r->device = (char *)(uintptr_t)key;
        if (json_read(rd, &rdma_table, v, r) < 0)
            return -1;
        json_pop(rd, mark);
    }
    return 0;
}

/* A file name of a cgroup directory, and nothing that leads elsewhere. */
static int check_resources(struct json_rd *rd, void *obj)
{
    struct oci_resources *r = obj;
    for (u32 i = 0; i < r->unified.n; i++) {
        const char *name = r->unified.v[i].name;
        if (!name[0] || name[0] == '.' || strchr(name, '/'))
            return json_fail(rd, "unified: '%.64s' is not the name of a file of a cgroup", name);
    }
    return 0;
}

/* The members of memory, cpu, … are struct oci_resources's own: their tables count from its start.
 */
static const struct json_field fields[] = {
    FIELD_OBJS(struct oci_resources, devices, "devices", &rule_table),
    {.name = "memory", .kind = JSON_K_OBJ, .offset = 0, .table = &memory_table},
    {.name = "cpu", .kind = JSON_K_OBJ, .offset = 0, .table = &cpu_table},
    {.name = "pids", .kind = JSON_K_OBJ, .offset = 0, .table = &pids_table},
    {.name = "blockIO", .kind = JSON_K_OBJ, .offset = 0, .table = &blkio_table},
    FIELD_OBJS(struct oci_resources, hugepages, "hugepageLimits", &hugepage_table),
    {.name = "network", .kind = JSON_K_OBJ, .offset = 0, .table = &network_table},
    FIELD_CALL(struct oci_resources, rdma, "rdma", read_rdma),
    FIELD(struct oci_resources, unified, "unified", JSON_K_PAIRS),
};
const struct json_table json_resources_table = TABLE(fields, struct oci_resources, check_resources);
