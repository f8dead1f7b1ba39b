/* cvisor update: other limits for a container that runs. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "cli/oci.h"
#include "oci/cgroup.h"
#include "oci/json.h"

/* "-1", "1024", "64m", "1.5GiB": bytes. */
static int parse_size(const char *flag, const char *text, struct oci_opt *ret, struct err *e)
{
    static const char units[] = "bkmgtp";
    char *end;
    double v = strtod(text, &end);
    if (!strcmp(text, "-1")) {
        *ret = (struct oci_opt){true, -1};
        return 0;
    }
    const char *unit = *end ? strchr(units, *end | 0x20) : units;
    const char *rest = *end ? end + 1 : end;
    if (end == text || v < 0 || !unit || (*rest && strcasecmp(rest, "b") && strcasecmp(rest, "ib")))
        return err_set(e, "--%s takes a size such as 64m, not '%s'", flag, text);
    for (long i = unit - units; i > 0; i--)
        v *= 1024;
    if (v > 9e18)
        return err_set(e, "--%s: '%s' is too large", flag, text);
    *ret = (struct oci_opt){true, (s64)v};
    return 0;
}

static int parse_number(const char *flag, const char *text, struct oci_opt *ret, struct err *e)
{
    char *end;
    long long v = strtoll(text, &end, 10);
    if (end == text || *end)
        return err_set(e, "--%s takes a number, not '%s'", flag, text);
    *ret = (struct oci_opt){true, v};
    return 0;
}

static int read_file(const char *path, struct oci_resources_doc **ret_doc, struct err *e)
{
    char *text;
    size_t size;
    bool is_stdin = !strcmp(path, "-");
    const char *name = is_stdin ? "/dev/stdin" : path;
    if (json_read_file(AT_FDCWD, name, &text, &size, e) < 0)
        return -1;
    int r = oci_resources_parse(text, size, is_stdin ? "standard input" : path, ret_doc, e);
    free(text);
    return r;
}

struct texts {
    const char *file, *blkio_weight, *period, *quota, *share, *rt_period, *rt_runtime, *cpus, *mems,
        *memory, *reservation, *swap, *pids;
};

static int from_flags(const struct texts *t, struct oci_resources *r, struct err *e)
{
    const struct {
        const char *flag, *text;
        struct oci_opt *to;
        int (*parse)(const char *flag, const char *text, struct oci_opt *ret, struct err *e);
    } all[] = {
        {"blkio-weight", t->blkio_weight, &r->blkio.weight, parse_number},
        {"cpu-period", t->period, &r->cpu.period, parse_number},
        {"cpu-quota", t->quota, &r->cpu.quota, parse_number},
        {"cpu-share", t->share, &r->cpu.shares, parse_number},
        {"cpu-rt-period", t->rt_period, &r->cpu.rt_period, parse_number},
        {"cpu-rt-runtime", t->rt_runtime, &r->cpu.rt_runtime, parse_number},
        {"memory", t->memory, &r->memory.limit, parse_size},
        {"memory-reservation", t->reservation, &r->memory.reservation, parse_size},
        {"memory-swap", t->swap, &r->memory.swap, parse_size},
        {"pids-limit", t->pids, &r->pids, parse_number},
    };
    for (size_t i = 0; i < ARRAY_SIZE(all); i++)
        if (all[i].text && all[i].parse(all[i].flag, all[i].text, all[i].to, e) < 0)
            return -1;
    r->cpu.cpus = (char *)(uintptr_t)t->cpus;
    r->cpu.mems = (char *)(uintptr_t)t->mems;
    return 0;
}

int cmd_update(const struct global_opts *g, int argc, char **argv)
{
    struct oci_globals og;
    struct oci_resources own = {0};
    struct oci_resources_doc *doc = NULL;
    struct texts t = {0};
    struct err e = {0};
    const struct flag flags[] = {
        {"resources", 'r', FLAG_STR, &t.file},
        {"blkio-weight", 0, FLAG_STR, &t.blkio_weight},
        {"cpu-period", 0, FLAG_STR, &t.period},
        {"cpu-quota", 0, FLAG_STR, &t.quota},
        {"cpu-share", 0, FLAG_STR, &t.share},
        {"cpu-rt-period", 0, FLAG_STR, &t.rt_period},
        {"cpu-rt-runtime", 0, FLAG_STR, &t.rt_runtime},
        {"cpuset-cpus", 0, FLAG_STR, &t.cpus},
        {"cpuset-mems", 0, FLAG_STR, &t.mems},
        {"memory", 0, FLAG_STR, &t.memory},
        {"memory-reservation", 0, FLAG_STR, &t.reservation},
        {"memory-swap", 0, FLAG_STR, &t.swap},
        {"pids-limit", 0, FLAG_STR, &t.pids},
    };
    oci_globals_from(g, &og);
    int n = flags_parse(flags, ARRAY_SIZE(flags), argc, argv, true, &e);
    if (n < 0 || oci_need_args(n, 1, argv[0], "a container id", &e) < 0)
        return oci_fail(g, 1, &e);
    int r = t.file ? read_file(t.file, &doc, &e) : from_flags(&t, &own, &e);
    if (r == 0)
        r = oci_update(&og, argv[1], doc ? &doc->resources : &own, &e);
    oci_resources_free(doc);
    return r < 0 ? oci_fail(g, 1, &e) : 0;
}
