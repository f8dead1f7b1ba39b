/* cvisor events: a container's statistics, once or again and again, and its want of memory. */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "cli/oci.h"
#include "oci/cgroup.h"

#define TICK_MS 200 /* how soon a kill for want of memory is told */

/* "5s", "500ms", "1m30s", as Go writes durations; ms, or -1. */
static s64 parse_duration(const char *text)
{
    static const struct {
        const char *unit;
        double ms;
    } units[] = {{"ns", 1e-6}, {"us", 1e-3}, {"ms", 1}, {"s", 1e3}, {"m", 60e3}, {"h", 3600e3}};
    double total = 0;
    if (!*text)
        return -1;
    while (*text) {
        char *end;
        double v = strtod(text, &end);
        size_t len = strspn(end, "nsumh"), i = 0;
        /* "1m30s": the letters up to the next digit */
        while (i < ARRAY_SIZE(units) &&
               (strlen(units[i].unit) != len || strncmp(end, units[i].unit, len)))
            i++;
        if (end == text || i == ARRAY_SIZE(units) || v < 0 || v > 1e9)
            return -1;
        total += v * units[i].ms;
        text = end + len;
    }
    return (s64)total;
}

/* ---- one line ------------------------------------------------------------------------------ */

static void put_memory(const char *name, u64 limit, u64 usage, u64 max, u64 failcnt)
{
    printf("\"%s\":{\"limit\":%" PRIu64, name, limit);
    if (usage)
        printf(",\"usage\":%" PRIu64, usage);
    if (max)
        printf(",\"max\":%" PRIu64, max);
    printf(",\"failcnt\":%" PRIu64 "}", failcnt);
}

static void put_io(const char *name, const struct oci_blkio_stats *list, const char *after)
{
    if (!list->n)
        return;
    printf("\"%s\":[", name);
    for (u32 i = 0; i < list->n; i++)
        printf("%s{\"major\":%" PRIu64 ",\"minor\":%" PRIu64 ",\"op\":\"%s\",\"value\":%" PRIu64
               "}",
               i ? "," : "", list->v[i].major, list->v[i].minor, list->v[i].op, list->v[i].value);
    printf("]%s", after);
}

static void put_cpu(const struct oci_cgroup_stats *s)
{
    printf("\"cpu\":{\"usage\":{\"total\":%" PRIu64, s->cpu_total);
    if (s->npercpu) {
        fputs(",\"percpu\":[", stdout);
        for (u32 i = 0; i < s->npercpu; i++)
            printf("%s%" PRIu64, i ? "," : "", s->percpu[i]);
        fputs("]", stdout);
    }
    printf(",\"kernel\":%" PRIu64 ",\"user\":%" PRIu64 "},\"throttling\":{", s->cpu_system,
           s->cpu_user);
    if (s->periods)
        printf("\"periods\":%" PRIu64 ",\"throttledPeriods\":%" PRIu64
               ",\"throttledTime\":%" PRIu64,
               s->periods, s->throttled_periods, s->throttled_time);
    fputs("}},\"cpuset\":{},", stdout);
}

static void put_stats(const char *id, const struct oci_cgroup_stats *s)
{
    printf("{\"type\":\"stats\",\"id\":\"%s\",\"data\":{", id);
    put_cpu(s);
    printf("\"memory\":{");
    if (s->mem_cache)
        printf("\"cache\":%" PRIu64 ",", s->mem_cache);
    put_memory("usage", s->mem_limit, s->mem_usage, s->mem_max, s->mem_failcnt);
    fputc(',', stdout);
    put_memory("swap", s->swap_limit, s->swap_usage, s->swap_max, s->swap_failcnt);
    fputc(',', stdout);
    put_memory("kernel", s->kernel_limit, s->kernel_usage, s->kernel_max, s->kernel_failcnt);
    fputs(",\"kernelTCP\":{\"limit\":0,\"failcnt\":0}", stdout);
    if (s->mem_raw.n) {
        fputs(",\"raw\":{", stdout);
        for (u32 i = 0; i < s->mem_raw.n; i++)
            printf("%s\"%s\":%s", i ? "," : "", s->mem_raw.v[i].name, s->mem_raw.v[i].value);
        fputc('}', stdout);
    }
    printf("},\"pids\":{\"current\":%" PRIu64, s->pids);
    if (s->pids_limit != UINT64_MAX)
        printf(",\"limit\":%" PRIu64, s->pids_limit);
    fputs("},\"blkio\":{", stdout);
    put_io("ioServiceBytesRecursive", &s->io_bytes, s->io_ops.n ? "," : "");
    put_io("ioServicedRecursive", &s->io_ops, "");
    puts("},\"hugetlb\":{},\"intel_rdt\":{},\"network_interfaces\":null}}");
    fflush(stdout);
}

/* What the cgroups count, and what only the sentry knows: its tasks. */
static int read_stats(const struct oci_state *st, const struct oci_cgroup *cg,
                      struct oci_cgroup_stats *ret, struct err *e)
{
    struct ctl_reply reply;
    struct ctl_stats inside;
    if (client_request(st, CTL_STATS, 0, 0, CLIENT_WAIT_MS, &reply, e) < 0)
        return -1;
    if (reply.m.data.size != sizeof(inside))
        return err_set(e, "the sandbox's statistics make no sense");
    memcpy(&inside, reply.m.data.p, sizeof(inside));
    *ret = (struct oci_cgroup_stats){.pids_limit = UINT64_MAX};
    if (cg)
        oci_cgroup_stats(cg, ret);
    if (!ret->cpu_total) {
        ret->cpu_user = inside.cpu_user_ns;
        ret->cpu_system = inside.cpu_system_ns;
        ret->cpu_total = inside.cpu_user_ns + inside.cpu_system_ns;
    }
    if (!ret->mem_usage)
        ret->mem_usage = inside.memory_bytes;
    ret->pids = inside.ntasks;
    if (ret->pids_limit != UINT64_MAX)
        ret->pids_limit = OCI_GUEST_TASKS(ret->pids_limit);
    return 0;
}

static int report(const struct oci_state *st, const struct oci_cgroup *cg, struct err *e)
{
    struct oci_cgroup_stats s;
    if (read_stats(st, cg, &s, e) < 0)
        return -1;
    put_stats(st->id, &s);
    oci_cgroup_stats_done(&s);
    return 0;
}

/* ---- the stream ---------------------------------------------------------------------------- */

static s64 now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (s64)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Until the container ends. */
static int stream(const struct oci_state *st, const struct oci_cgroup *cg, s64 interval_ms,
                  struct err *e)
{
    int pidfd = (int)syscall(SYS_pidfd_open, st->pid, 0);
    u64 seen = cg ? oci_cgroup_oom_kills(cg) : 0;
    s64 next = now_ms() + interval_ms;
    if (pidfd < 0)
        return err_errno(e, "cannot get hold of process %d", st->pid);
    for (;;) {
        s64 left = MAX(next - now_ms(), (s64)0);
        struct pollfd p = {pidfd, POLLIN, 0};
        int n = poll(&p, 1, (int)(cg ? MIN(left, (s64)TICK_MS) : MIN(left, (s64)INT32_MAX)));
        u64 kills = cg ? oci_cgroup_oom_kills(cg) : 0;
        for (; seen < kills; seen++) {
            printf("{\"type\":\"oom\",\"id\":\"%s\"}\n", st->id);
            fflush(stdout);
        }
        if (n > 0 || !state_is_alive(st))
            break;
        if (now_ms() < next)
            continue;
        next += interval_ms;
        if (report(st, cg, e) < 0) {
            if (!state_is_alive(st))
                break;
            close(pidfd);
            return -1;
        }
    }
    close(pidfd);
    return 0;
}

int cmd_events(const struct global_opts *g, int argc, char **argv)
{
    struct oci_globals og;
    struct oci_state st;
    struct oci_cgroup *cg = NULL;
    struct err e = {0};
    const char *interval = "5s";
    bool is_once = false;
    const struct flag flags[] = {
        {"interval", 0, FLAG_STR, &interval},
        {"stats", 0, FLAG_SWITCH, &is_once},
    };
    oci_globals_from(g, &og);
    int n = flags_parse(flags, ARRAY_SIZE(flags), argc, argv, true, &e);
    if (n < 0 || oci_need_args(n, 1, argv[0], "a container id", &e) < 0)
        return oci_fail(g, 1, &e);
    s64 interval_ms = parse_duration(interval);
    if (interval_ms <= 0) {
        err_set(&e, "--interval takes a time such as 5s, greater than 0, not '%s'", interval);
        return oci_fail(g, 1, &e);
    }
    if (oci_load(&og, argv[1], &st, &e) < 0)
        return oci_fail(g, 1, &e);
    int r = 0;
    if (state_status(&st) == OCI_ST_STOPPED)
        r = err_set(&e, "container with id %s is not running", argv[1]);
    if (r == 0 && st.cgroup)
        r = oci_cgroup_load(st.cgroup, &cg, &e);
    if (r == 0)
        r = is_once ? report(&st, cg, &e) : stream(&st, cg, interval_ms, &e);
    oci_cgroup_free(cg);
    state_done(&st);
    return r < 0 ? oci_fail(g, 1, &e) : 0;
}
