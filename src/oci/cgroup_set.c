/* Control groups: limits. What version 2 calls otherwise is converted as other runtimes do. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "oci/cgroup_int.h"

static int set_s64(const struct cg_dir *d, const char *file, s64 v, struct err *e)
{
    char text[32];
    snprintf(text, sizeof(text), "%lld", (long long)v);
    return cg_write(d, file, text, e);
}

static int lacks(const char *what, struct err *e)
{
    return err_set(
        e, "linux.resources.%s cannot be set: this machine's cgroups have no such controller",
        what);
}

/* "max" for no limit, as version 2 has it. */
static int set_max(const struct cg_dir *d, const char *file, s64 v, struct err *e)
{
    return v < 0 ? cg_write(d, file, "max", e) : set_s64(d, file, v, e);
}

/* ---- memory -------------------------------------------------------------------------------- */

/* The limit of memory alone may never be above that of memory and swap, at any moment. */
static int set_memory_v1(const struct cg_dir *d, const struct oci_resources *r, struct err *e)
{
    static const char limit_file[] = "memory.limit_in_bytes",
                      swap_file[] = "memory.memsw.limit_in_bytes";
    bool has_swap = cg_has_file(d, swap_file);
    bool is_limit = r->memory.limit.is_set && r->memory.limit.v != 0;
    bool is_swap = r->memory.swap.is_set && r->memory.swap.v != 0;
    s64 limit = r->memory.limit.v, swap = r->memory.swap.v;
    if (is_limit && limit == -1 &&
        !r->memory.swap.is_set) { /* no limit on memory is none on both */
        swap = -1;
        is_swap = has_swap;
    }
    if (is_swap && !has_swap && swap != -1)
        return err_set(
            e, "linux.resources.memory.swap cannot be set: this kernel does not count swap");
    is_swap &= has_swap;
    if (is_limit && is_swap) {
        char now[64];
        u64 current =
            cg_read(d->path, limit_file, now, sizeof(now)) == 0 ? strtoull(now, NULL, 10) : 0;
        bool swap_first = swap == -1 || (u64)swap > current;
        if (swap_first && set_s64(d, swap_file, swap, e) < 0)
            return -1;
        if (set_s64(d, limit_file, limit, e) < 0)
            return -1;
        return swap_first ? 0 : set_s64(d, swap_file, swap, e);
    }
    if (is_limit && set_s64(d, limit_file, limit, e) < 0)
        return -1;
    return is_swap ? set_s64(d, swap_file, swap, e) : 0;
}

static int set_memory_v2(const struct cg_dir *d, const struct oci_resources *r, struct err *e)
{
    s64 limit = r->memory.limit.v, swap = r->memory.swap.v;
    if (r->memory.limit.is_set && limit != 0 && set_max(d, "memory.max", limit, e) < 0)
        return -1;
    if (r->memory.swap.is_set && swap != 0) {
        /* The specification's is memory and swap together. */
        if (swap > 0 && (!r->memory.limit.is_set || limit <= 0))
            return err_set(e, "linux.resources.memory.swap: needs a memory limit as well");
        if (swap > 0 && swap < limit)
            return err_set(e, "linux.resources.memory.swap: is below the memory limit");
        if (cg_has_file(d, "memory.swap.max")) {
            if (set_max(d, "memory.swap.max", swap < 0 ? -1 : swap - limit, e) < 0)
                return -1;
        } else if (swap != -1) {
            return err_set(
                e, "linux.resources.memory.swap cannot be set: this kernel does not count swap");
        }
    }
    if (r->memory.reservation.is_set && r->memory.reservation.v != 0)
        return set_max(d, "memory.low", r->memory.reservation.v, e);
    return 0;
}

static int set_memory(const struct oci_cgroup *cg, const struct oci_resources *r, struct err *e)
{
    const struct cg_dir *d = cg_find(cg, CG_MEMORY);
    bool is_asked = r->memory.limit.is_set || r->memory.swap.is_set ||
                    r->memory.reservation.is_set || r->memory.swappiness.is_set ||
                    r->memory.is_oom_killer_off;
    if (!is_asked)
        return 0;
    if (!d)
        return lacks("memory", e);
    if (d->is_v2) {
        if (r->memory.swappiness.is_set)
            return err_set(e, "linux.resources.memory.swappiness: cgroup version 2 has none");
        if (r->memory.is_oom_killer_off)
            return err_set(
                e, "linux.resources.memory.disableOOMKiller: cgroup version 2 cannot do it");
        return set_memory_v2(d, r, e);
    }
    if (set_memory_v1(d, r, e) < 0)
        return -1;
    if (r->memory.reservation.is_set && r->memory.reservation.v != 0 &&
        set_s64(d, "memory.soft_limit_in_bytes", r->memory.reservation.v, e) < 0)
        return -1;
    if (r->memory.swappiness.is_set &&
        set_s64(d, "memory.swappiness", r->memory.swappiness.v, e) < 0)
        return -1;
    return r->memory.is_oom_killer_off ? cg_write(d, "memory.oom_control", "1", e) : 0;
}

/* ---- cpu ----------------------------------------------------------------------------------- */

static int set_cpu_v1(const struct cg_dir *d, const struct oci_resources *r, struct err *e)
{
    const struct {
        const char *file;
        const struct oci_opt *v;
    } files[] = {
        /* The period first: a quota is checked against it. */
        {"cpu.shares", &r->cpu.shares},
        {"cpu.cfs_period_us", &r->cpu.period},
        {"cpu.cfs_quota_us", &r->cpu.quota},
        {"cpu.cfs_burst_us", &r->cpu.burst},
        {"cpu.rt_period_us", &r->cpu.rt_period},
        {"cpu.rt_runtime_us", &r->cpu.rt_runtime},
        {"cpu.idle", &r->cpu.idle},
    };
    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        if (!files[i].v->is_set || files[i].v->v == 0)
            continue;
        if (set_s64(d, files[i].file, files[i].v->v, e) < 0)
            return -1;
    }
    return 0;
}

static int set_cpu_v2(const struct cg_dir *d, const struct oci_resources *r, struct err *e)
{
    if ((r->cpu.rt_runtime.is_set && r->cpu.rt_runtime.v) ||
        (r->cpu.rt_period.is_set && r->cpu.rt_period.v))
        return err_set(
            e, "linux.resources.cpu: cgroup version 2 has no realtimeRuntime and realtimePeriod");
    if (r->cpu.idle.is_set && set_s64(d, "cpu.idle", r->cpu.idle.v, e) < 0)
        return -1;
    if (r->cpu.shares.is_set && r->cpu.shares.v != 0) {
        s64 shares = MAX(MIN(r->cpu.shares.v, (s64)262144), (s64)2);
        if (set_s64(d, "cpu.weight", 1 + (shares - 2) * 9999 / 262142, e) < 0)
            return -1;
    }
    if (r->cpu.quota.is_set || r->cpu.period.is_set) {
        char text[64], quota[32];
        snprintf(quota, sizeof(quota), "%lld", (long long)r->cpu.quota.v);
        bool is_limit = r->cpu.quota.is_set && r->cpu.quota.v > 0;
        s64 period = r->cpu.period.is_set && r->cpu.period.v > 0 ? r->cpu.period.v : 100000;
        snprintf(text, sizeof(text), "%s %lld", is_limit ? quota : "max", (long long)period);
        if (cg_write(d, "cpu.max", text, e) < 0)
            return -1;
    }
    if (r->cpu.burst.is_set)
        return set_s64(d, "cpu.max.burst", r->cpu.burst.v, e);
    return 0;
}

static int set_cpu(const struct oci_cgroup *cg, const struct oci_resources *r, struct err *e)
{
    const struct cg_dir *d = cg_find(cg, CG_CPU), *set = cg_find(cg, CG_CPUSET);
    bool is_asked = r->cpu.shares.is_set || r->cpu.quota.is_set || r->cpu.period.is_set ||
                    r->cpu.burst.is_set || r->cpu.rt_period.is_set || r->cpu.rt_runtime.is_set ||
                    r->cpu.idle.is_set;
    if (is_asked && !d)
        return lacks("cpu", e);
    if (is_asked && (d->is_v2 ? set_cpu_v2(d, r, e) : set_cpu_v1(d, r, e)) < 0)
        return -1;
    bool has_cpus = r->cpu.cpus && r->cpu.cpus[0], has_mems = r->cpu.mems && r->cpu.mems[0];
    if ((has_cpus || has_mems) && !set)
        return lacks("cpu.cpus", e);
    if (has_cpus && cg_write(set, "cpuset.cpus", r->cpu.cpus, e) < 0)
        return -1;
    return has_mems ? cg_write(set, "cpuset.mems", r->cpu.mems, e) : 0;
}

/* ---- the rest ------------------------------------------------------------------------------ */

static int set_pids(const struct oci_cgroup *cg, const struct oci_resources *r, struct err *e)
{
    const struct cg_dir *d = cg_find(cg, CG_PIDS);
    if (!r->pids.is_set || r->pids.v == 0)
        return 0;
    /* The guest's kernel counts its tasks; this stands behind it. Without it nothing is lost. */
    if (!d)
        return 0;
    if (r->pids.v < 0)
        return cg_write(d, "pids.max", "max", e);
    return set_s64(d, "pids.max", OCI_HOST_TASKS(MIN(r->pids.v, (s64)4194304)), e);
}

static int throttle(const struct cg_dir *d, const struct oci_throttle_devices *list,
                    const char *file, const char *key, struct err *e)
{
    for (u32 i = 0; i < list->n; i++) {
        char text[96];
        const struct oci_throttle_device *t = &list->v[i];
        if (d->is_v2)
            snprintf(text, sizeof(text), t->rate ? "%lld:%lld %s=%llu" : "%lld:%lld %s=max",
                     (long long)t->major, (long long)t->minor, key, (unsigned long long)t->rate);
        else
            snprintf(text, sizeof(text), "%lld:%lld %llu", (long long)t->major, (long long)t->minor,
                     (unsigned long long)t->rate);
        if (cg_write(d, d->is_v2 ? "io.max" : file, text, e) < 0)
            return -1;
    }
    return 0;
}

static int set_weights(const struct cg_dir *d, const struct oci_resources *r, struct err *e)
{
    bool is_bfq = cg_has_file(d, d->is_v2 ? "io.bfq.weight" : "blkio.bfq.weight");
    const char *file = d->is_v2 ? (is_bfq ? "io.bfq.weight" : "io.weight")
                                : (is_bfq ? "blkio.bfq.weight" : "blkio.weight");
    /* 10 to 1000 in the specification and for BFQ, 1 to 10000 for io.weight. */
    bool is_wide = d->is_v2 && !is_bfq;
    if (r->blkio.weight.is_set && r->blkio.weight.v != 0) {
        s64 w = is_wide ? 1 + (r->blkio.weight.v - 10) * 9999 / 990 : r->blkio.weight.v;
        if (set_s64(d, file, w, e) < 0)
            return -1;
    }
    if (r->blkio.leaf_weight.is_set && r->blkio.leaf_weight.v != 0)
        return err_set(e, "linux.resources.blockIO.leafWeight: no kernel that has cgroup filters "
                          "has it any more");
    for (u32 i = 0; i < r->blkio.weight_devices.n; i++) {
        char text[96];
        const struct oci_weight_device *w = &r->blkio.weight_devices.v[i];
        if (w->leaf_weight.is_set && w->leaf_weight.v != 0)
            return err_set(
                e, "linux.resources.blockIO.weightDevice[%u].leafWeight: is not supported", i);
        snprintf(text, sizeof(text), "%lld:%lld %lld", (long long)w->major, (long long)w->minor,
                 (long long)w->weight.v);
        if (cg_write(d,
                     d->is_v2 ? file
                     : is_bfq ? "blkio.bfq.weight_device"
                              : "blkio.weight_device",
                     text, e) < 0)
            return -1;
    }
    return 0;
}

static int set_blkio(const struct oci_cgroup *cg, const struct oci_resources *r, struct err *e)
{
    const struct cg_dir *d = cg_find(cg, CG_BLKIO);
    bool is_asked = (r->blkio.weight.is_set && r->blkio.weight.v) || r->blkio.leaf_weight.is_set ||
                    r->blkio.weight_devices.n || r->blkio.read_bps.n || r->blkio.write_bps.n ||
                    r->blkio.read_iops.n || r->blkio.write_iops.n;
    if (!is_asked)
        return 0;
    if (!d)
        return lacks("blockIO", e);
    if (set_weights(d, r, e) < 0 ||
        throttle(d, &r->blkio.read_bps, "blkio.throttle.read_bps_device", "rbps", e) < 0 ||
        throttle(d, &r->blkio.write_bps, "blkio.throttle.write_bps_device", "wbps", e) < 0 ||
        throttle(d, &r->blkio.read_iops, "blkio.throttle.read_iops_device", "riops", e) < 0)
        return -1;
    return throttle(d, &r->blkio.write_iops, "blkio.throttle.write_iops_device", "wiops", e);
}

static int set_hugepages(const struct oci_cgroup *cg, const struct oci_resources *r, struct err *e)
{
    const struct cg_dir *d = cg_find(cg, CG_HUGETLB);
    if (r->hugepages.n && !d)
        return lacks("hugepageLimits", e);
    for (u32 i = 0; i < r->hugepages.n; i++) {
        char file[64], text[32];
        const struct oci_hugepage_limit *h = &r->hugepages.v[i];
        snprintf(text, sizeof(text), "%llu", (unsigned long long)h->limit);
        snprintf(file, sizeof(file),
                 d->is_v2 ? "hugetlb.%.16s.max" : "hugetlb.%.16s.limit_in_bytes", h->page_size);
        if (cg_write(d, file, text, e) < 0)
            return -1;
        snprintf(file, sizeof(file),
                 d->is_v2 ? "hugetlb.%.16s.rsvd.max" : "hugetlb.%.16s.rsvd.limit_in_bytes",
                 h->page_size);
        if (cg_has_file(d, file) && cg_write(d, file, text, e) < 0)
            return -1;
    }
    return 0;
}

/* These act on packets of host sockets, which a sandbox with a network of its own has none of. */
static int set_network(const struct oci_cgroup *cg, const struct oci_resources *r, struct err *e)
{
    const struct cg_dir *d = cg_find(cg, CG_NET_CLS);
    if (r->network.class_id.is_set && r->network.class_id.v != 0) {
        if (!d)
            return lacks("network.classID", e);
        if (set_s64(d, "net_cls.classid", r->network.class_id.v, e) < 0)
            return -1;
    }
    d = cg_find(cg, CG_NET_PRIO);
    if (r->network.priorities.n && !d)
        return lacks("network.priorities", e);
    for (u32 i = 0; i < r->network.priorities.n; i++) {
        char text[96];
        snprintf(text, sizeof(text), "%.64s %u", r->network.priorities.v[i].name,
                 r->network.priorities.v[i].priority);
        if (cg_write(d, "net_prio.ifpriomap", text, e) < 0)
            return -1;
    }
    return 0;
}

static int set_rdma(const struct oci_cgroup *cg, const struct oci_resources *r, struct err *e)
{
    const struct cg_dir *d = cg_find(cg, CG_RDMA);
    if (r->rdma.n && !d)
        return lacks("rdma", e);
    for (u32 i = 0; i < r->rdma.n; i++) {
        char text[160], handles[24] = "max", objects[24] = "max";
        const struct oci_rdma *v = &r->rdma.v[i];
        if (v->hca_handles.is_set)
            snprintf(handles, sizeof(handles), "%lld", (long long)v->hca_handles.v);
        if (v->hca_objects.is_set)
            snprintf(objects, sizeof(objects), "%lld", (long long)v->hca_objects.v);
        snprintf(text, sizeof(text), "%.64s hca_handle=%s hca_object=%s", v->device, handles,
                 objects);
        if (cg_write(d, "rdma.max", text, e) < 0)
            return -1;
    }
    return 0;
}

static int set_unified(const struct oci_cgroup *cg, const struct oci_resources *r, struct err *e)
{
    const struct cg_dir *d = NULL;
    for (u32 i = 0; i < cg->ndirs; i++)
        if (cg->dirs[i].is_v2)
            d = &cg->dirs[i];
    for (u32 i = 0; i < r->unified.n; i++) {
        const char *file = r->unified.v[i].name;
        if (!d || !cg_has_file(d, file))
            return err_set(e, "linux.resources.unified: this machine's cgroups have no '%.64s'",
                           file);
        /* Its pids.max counts guest tasks as well. */
        char text[32];
        char *end;
        s64 n = strtoll(r->unified.v[i].value, &end, 10);
        const char *value = r->unified.v[i].value;
        if (!strcmp(file, "pids.max") && end != value && !*end) {
            snprintf(text, sizeof(text), "%lld", (long long)OCI_HOST_TASKS(MIN(n, (s64)4194304)));
            value = text;
        }
        if (cg_write(d, file, value, e) < 0)
            return -1;
    }
    return 0;
}

int oci_cgroup_set(const struct oci_cgroup *cg, const struct oci_resources *r, struct err *e)
{
    if (cg->ndirs == 0)
        return 0;
    if (set_memory(cg, r, e) < 0 || set_cpu(cg, r, e) < 0 || set_pids(cg, r, e) < 0 ||
        set_blkio(cg, r, e) < 0 || set_hugepages(cg, r, e) < 0 || set_network(cg, r, e) < 0 ||
        set_rdma(cg, r, e) < 0)
        return -1;
    return set_unified(cg, r, e);
}
