/* Control groups: what has been used. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "oci/cgroup_int.h"

#define TEXT_MAX 65536
#define MAX_CPUS 1024

/* A file with one number; "max" is UINT64_MAX. */
static u64 read_number(const struct cg_dir *d, const char *file)
{
    char buf[64];
    if (cg_read(d->path, file, buf, sizeof(buf)) < 0)
        return 0;
    if (!strncmp(buf, "max", 3))
        return UINT64_MAX;
    return strtoull(buf, NULL, 10);
}

/* Of lines "key value". */
static u64 find_key(const char *text, const char *key)
{
    size_t n = strlen(key);
    while (text && *text) {
        if (!strncmp(text, key, n) && text[n] == ' ')
            return strtoull(text + n + 1, NULL, 10);
        text = strchr(text, '\n');
        text = text ? text + 1 : NULL;
    }
    return 0;
}

static void read_percpu(const char *text, struct oci_cgroup_stats *s)
{
    s->percpu = calloc(MAX_CPUS, sizeof(*s->percpu));
    while (s->percpu && s->npercpu < MAX_CPUS) {
        char *end;
        u64 v = strtoull(text, &end, 10);
        if (end == text)
            break;
        s->percpu[s->npercpu++] = v;
        text = end;
    }
}

static void cpu_stats(const struct oci_cgroup *cg, char *buf, struct oci_cgroup_stats *s)
{
    const struct cg_dir *acct = cg_find(cg, CG_CPUACCT), *cpu = cg_find(cg, CG_CPU);
    if (acct && acct->is_v2 && cg_read(acct->path, "cpu.stat", buf, TEXT_MAX) == 0) {
        s->cpu_total = find_key(buf, "usage_usec") * 1000;
        s->cpu_user = find_key(buf, "user_usec") * 1000;
        s->cpu_system = find_key(buf, "system_usec") * 1000;
    } else if (acct && !acct->is_v2) {
        s->cpu_total = read_number(acct, "cpuacct.usage");
        s->cpu_user = read_number(acct, "cpuacct.usage_user");
        s->cpu_system = read_number(acct, "cpuacct.usage_sys");
        if (cg_read(acct->path, "cpuacct.usage_percpu", buf, TEXT_MAX) == 0)
            read_percpu(buf, s);
    }
    if (cpu && cg_read(cpu->path, "cpu.stat", buf, TEXT_MAX) == 0) {
        s->periods = find_key(buf, "nr_periods");
        s->throttled_periods = find_key(buf, "nr_throttled");
        s->throttled_time =
            cpu->is_v2 ? find_key(buf, "throttled_usec") * 1000 : find_key(buf, "throttled_time");
    }
}

static void read_raw(char *text, struct oci_pairs *ret)
{
    u32 room = 0;
    char *save = NULL;
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        char *space = strchr(line, ' ');
        if (!space)
            continue;
        *space = 0;
        if (ret->n == room) {
            room = room ? room * 2 : 64;
            struct oci_pair *v = realloc(ret->v, room * sizeof(*v));
            if (!v)
                return;
            ret->v = v;
        }
        struct oci_pair p = {strdup(line), strdup(space + 1)};
        if (!p.name || !p.value) {
            free(p.name);
            free(p.value);
            return;
        }
        ret->v[ret->n++] = p;
    }
}

static void memory_stats(const struct oci_cgroup *cg, char *buf, struct oci_cgroup_stats *s)
{
    const struct cg_dir *d = cg_find(cg, CG_MEMORY);
    if (!d)
        return;
    if (d->is_v2) {
        s->mem_usage = read_number(d, "memory.current");
        s->mem_limit = read_number(d, "memory.max");
        s->mem_max = read_number(d, "memory.peak");
        s->swap_usage = s->mem_usage + read_number(d, "memory.swap.current");
        u64 swap = read_number(d, "memory.swap.max");
        s->swap_limit =
            swap == UINT64_MAX || s->mem_limit == UINT64_MAX ? UINT64_MAX : s->mem_limit + swap;
        if (cg_read(d->path, "memory.events", buf, TEXT_MAX) == 0)
            s->mem_failcnt = find_key(buf, "max");
    } else {
        s->mem_usage = read_number(d, "memory.usage_in_bytes");
        s->mem_limit = read_number(d, "memory.limit_in_bytes");
        s->mem_max = read_number(d, "memory.max_usage_in_bytes");
        s->mem_failcnt = read_number(d, "memory.failcnt");
        s->swap_usage = read_number(d, "memory.memsw.usage_in_bytes");
        s->swap_limit = read_number(d, "memory.memsw.limit_in_bytes");
        s->swap_max = read_number(d, "memory.memsw.max_usage_in_bytes");
        s->swap_failcnt = read_number(d, "memory.memsw.failcnt");
        s->kernel_usage = read_number(d, "memory.kmem.usage_in_bytes");
        s->kernel_limit = read_number(d, "memory.kmem.limit_in_bytes");
        s->kernel_max = read_number(d, "memory.kmem.max_usage_in_bytes");
        s->kernel_failcnt = read_number(d, "memory.kmem.failcnt");
    }
    s->oom_kills = oci_cgroup_oom_kills(cg);
    if (cg_read(d->path, "memory.stat", buf, TEXT_MAX) == 0) {
        s->mem_cache = d->is_v2 ? find_key(buf, "file") : find_key(buf, "total_cache");
        read_raw(buf, &s->mem_raw);
    }
}

u64 oci_cgroup_oom_kills(const struct oci_cgroup *cg)
{
    char buf[1024];
    const struct cg_dir *d = cg_find(cg, CG_MEMORY);
    if (!d ||
        cg_read(d->path, d->is_v2 ? "memory.events" : "memory.oom_control", buf, sizeof(buf)) < 0)
        return 0;
    return find_key(buf, "oom_kill");
}

static void add_io(struct oci_blkio_stats *list, u64 major, u64 minor, const char *op, u64 value)
{
    struct oci_blkio_stat *v = realloc(list->v, (list->n + 1) * sizeof(*v));
    if (!v)
        return;
    list->v = v;
    struct oci_blkio_stat *one = &v[list->n++];
    *one = (struct oci_blkio_stat){.major = major, .minor = minor, .value = value};
    snprintf(one->op, sizeof(one->op), "%s", op);
}

/* Lines "8:0 Read 4096". */
static void read_blkio_v1(const struct cg_dir *d, const char *file, char *buf,
                          struct oci_blkio_stats *list)
{
    char *save = NULL, op[16];
    unsigned long long major, minor, value;
    if (cg_read(d->path, file, buf, TEXT_MAX) < 0)
        return;
    for (char *line = strtok_r(buf, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
        if (sscanf(line, "%llu:%llu %15s %llu", &major, &minor, op, &value) == 4)
            add_io(list, major, minor, op, value);
}

/* Lines "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6". */
static void read_io_v2(const struct cg_dir *d, char *buf, struct oci_cgroup_stats *s)
{
    static const struct {
        const char *key, *op;
        bool is_bytes;
    } keys[] = {
        {" rbytes=", "Read", true}, {" wbytes=", "Write", true}, {" dbytes=", "Discard", true},
        {" rios=", "Read", false},  {" wios=", "Write", false},  {" dios=", "Discard", false},
    };
    char *save = NULL;
    unsigned long long major, minor;
    if (cg_read(d->path, "io.stat", buf, TEXT_MAX) < 0)
        return;
    for (char *line = strtok_r(buf, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        if (sscanf(line, "%llu:%llu", &major, &minor) != 2)
            continue;
        for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
            const char *at = strstr(line, keys[i].key);
            if (at)
                add_io(keys[i].is_bytes ? &s->io_bytes : &s->io_ops, major, minor, keys[i].op,
                       strtoull(at + strlen(keys[i].key), NULL, 10));
        }
    }
}

void oci_cgroup_stats(const struct oci_cgroup *cg, struct oci_cgroup_stats *ret)
{
    struct oci_cgroup_stats s = {.pids_limit = UINT64_MAX};
    char *buf = malloc(TEXT_MAX);
    if (buf) {
        const struct cg_dir *d = cg_find(cg, CG_PIDS), *io = cg_find(cg, CG_BLKIO);
        cpu_stats(cg, buf, &s);
        memory_stats(cg, buf, &s);
        if (d) {
            s.pids = read_number(d, "pids.current");
            s.pids_limit = read_number(d, "pids.max");
        }
        if (io && io->is_v2) {
            read_io_v2(io, buf, &s);
        } else if (io) {
            read_blkio_v1(io, "blkio.throttle.io_service_bytes_recursive", buf, &s.io_bytes);
            read_blkio_v1(io, "blkio.throttle.io_serviced_recursive", buf, &s.io_ops);
        }
        free(buf);
    }
    *ret = s;
}

void oci_cgroup_stats_done(struct oci_cgroup_stats *s)
{
    for (u32 i = 0; i < s->mem_raw.n; i++) {
        free(s->mem_raw.v[i].name);
        free(s->mem_raw.v[i].value);
    }
    free(s->mem_raw.v);
    free(s->percpu);
    free(s->io_bytes.v);
    free(s->io_ops.v);
    *s = (struct oci_cgroup_stats){0};
}
