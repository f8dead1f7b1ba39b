/*
 * Control groups through systemd: a transient scope that is delegated to us, asked for over D-Bus
 * (org.freedesktop.systemd1(5)). The container's own group, "container", is below the scope's: what
 * is in a delegated group is ours, while systemd sets the scope's own attributes anew whenever it
 * likes, and would not know of our limits. With version 2 the scope itself also has to be without
 * processes.
 *
 *   /sys/fs/cgroup/<systemd's own>/a.slice/a-b.slice/prefix-name.scope/container
 *
 * Whoever is root of the machine speaks to the system's manager, anybody else to that of the user.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "oci/cgroup_int.h"
#include "oci/dbus.h"

#define MANAGER_PATH "/org/freedesktop/systemd1"
#define MANAGER      "org.freedesktop.systemd1.Manager"
#define JOB_MS       30000
#define SUBGROUP     "container"

/* ---- whom to speak to ----------------------------------------------------------------------- */

static bool is_machine_root(void)
{
    char text[64];
    unsigned long from, to, count;
    return geteuid() == 0 && cg_read("/proc/self", "uid_map", text, sizeof(text)) == 0 &&
           sscanf(text, "%lu %lu %lu", &from, &to, &count) == 3 && to == 0 && count == UINT32_MAX;
}

/* *ret NULL: nobody is there. */
static int open_at(const char *addresses, bool is_bus, struct dbus **ret, struct err *e)
{
    struct err why = {0};
    *ret = NULL;
    if (!*addresses || dbus_open(addresses, is_bus, ret, &why) == 0 || why.status == ENOENT)
        return 0;
    return err_set(e, "--systemd-cgroup: %s", why.msg);
}

/* The bus, or the manager's own socket where there is none. */
static int open_systemd(struct dbus **ret, bool *ret_is_bus, struct err *e)
{
    char bus[300] = "unix:path=/run/dbus/system_bus_socket",
         own[300] = "unix:path=/run/systemd/private";
    const char *run = getenv("XDG_RUNTIME_DIR");
    bool is_system = is_machine_root();
    if (!is_system) {
        snprintf(bus, sizeof(bus), run ? "unix:path=%.250s/bus" : "%.0s", run ? run : "");
        snprintf(own, sizeof(own), run ? "unix:path=%.250s/systemd/private" : "%.0s",
                 run ? run : "");
    }
    const char *named = getenv(is_system ? "DBUS_SYSTEM_BUS_ADDRESS" : "DBUS_SESSION_BUS_ADDRESS");
    if (open_at(named && *named ? named : bus, true, ret, e) < 0)
        return -1;
    *ret_is_bus = *ret != NULL;
    if (*ret)
        return 0;
    if (open_at(own, false, ret, e) < 0 || *ret)
        return *ret ? 0 : -1;
    if (is_system && access("/run/systemd/system", F_OK) < 0)
        return err_set(e,
                       "--systemd-cgroup: systemd does not run on this machine; leave the flag out "
                       "(Podman: --cgroup-manager=cgroupfs)");
    return err_set(
        e,
        "--systemd-cgroup: the %s systemd cannot be reached (%s); leave the flag out to do without "
        "(Podman: --cgroup-manager=cgroupfs)",
        is_system ? "system's" : "user's",
        is_system ? "no D-Bus, no /run/systemd/private"
                  : "DBUS_SESSION_BUS_ADDRESS and XDG_RUNTIME_DIR lead to none");
}

/* ---- names ---------------------------------------------------------------------------------- */

/* "a-b.slice" is in a.slice: the path, from the top. */
static int expand_slice(const char *slice, char *ret, size_t size, struct err *e)
{
    size_t n = strlen(slice), used = 0;
    ret[0] = 0;
    if (n < 7 || strcmp(slice + n - 6, ".slice") || strchr(slice, '/'))
        return err_set(e, "linux.cgroupsPath: '%.200s' is not the name of a slice", slice);
    if (!strcmp(slice, "-.slice"))
        return 0;
    n -= 6;
    if (slice[0] == '-' || slice[n - 1] == '-' || strstr(slice, "--"))
        return err_set(e, "linux.cgroupsPath: '%.200s' is not the name of a slice", slice);
    for (size_t i = 1; i <= n; i++) {
        if (i < n && slice[i] != '-')
            continue;
        int wrote = snprintf(ret + used, size - used, "/%.*s.slice", (int)i, slice);
        if (wrote < 0 || (size_t)wrote >= size - used)
            return err_set(e, "linux.cgroupsPath: the slice's name is too long");
        used += (size_t)wrote;
    }
    return 0;
}

struct place {
    char slice[256], unit[300], path[PATH_MAX];
};

/* "slice:prefix:name"; absent parts have defaults. */
static int read_path(const char *text, const char *id, struct place *ret, struct err *e)
{
    char prefix[128] = "cvisor";
    const char *name = id;
    snprintf(ret->slice, sizeof(ret->slice), is_machine_root() ? "system.slice" : "user.slice");
    if (text && *text) {
        const char *first = strchr(text, ':'), *second = first ? strchr(first + 1, ':') : NULL;
        if (!second || strchr(second + 1, ':') || !second[1])
            return err_set(
                e, "linux.cgroupsPath: with --systemd-cgroup it is slice:prefix:name, not '%.200s'",
                text);
        name = second + 1;
        if ((size_t)(first - text) >= sizeof(ret->slice) ||
            (size_t)(second - first) > sizeof(prefix))
            return err_set(e, "linux.cgroupsPath: '%.100s…' is too long", text);
        if (first > text)
            snprintf(ret->slice, sizeof(ret->slice), "%.*s", (int)(first - text), text);
        snprintf(prefix, sizeof(prefix), "%.*s", (int)(second - first - 1), first + 1);
    }
    size_t n = strlen(name);
    if (strchr(name, '/') || (n > 6 && !strcmp(name + n - 6, ".slice")))
        return err_set(e, "linux.cgroupsPath: '%.200s' cannot be the name of a scope", name);
    int wrote =
        snprintf(ret->unit, sizeof(ret->unit), "%s%s%s.scope", prefix, *prefix ? "-" : "", name);
    return wrote < 0 || wrote > 255 ? err_set(e, "linux.cgroupsPath: the scope's name is too long")
                                    : 0;
}

/* Where the manager's own groups begin, without the last slash. */
static int find_top(struct dbus *b, char *ret, size_t size, struct err *e)
{
    const char *group;
    dbus_body_start(b);
    dbus_add_str(b, MANAGER);
    dbus_add_str(b, "ControlGroup");
    if (dbus_call(b, MANAGER_PATH, "org.freedesktop.DBus.Properties", "Get", "ss", e) < 0)
        return -1;
    if (!dbus_get_variant_str(b, &group) || (*group && *group != '/') || strstr(group, ".."))
        return err_set(e, "systemd does not say where its cgroups are");
    snprintf(ret, size, "%s", strcmp(group, "/") ? group : "");
    size_t n = strlen(ret);
    if (n > 11 && !strcmp(ret + n - 11, "/init.scope")) /* of a manager in a container */
        ret[n - 11] = 0;
    return 0;
}

int cg_systemd_plan(struct oci_cgroup *cg, const char *cgroups_path, const char *id, struct err *e)
{
    struct place p;
    struct dbus *b;
    bool is_bus;
    char top[1024], slices[2048];
    if (read_path(cgroups_path, id, &p, e) < 0 ||
        expand_slice(p.slice, slices, sizeof(slices), e) < 0 || open_systemd(&b, &is_bus, e) < 0)
        return -1;
    int r = find_top(b, top, sizeof(top), e);
    dbus_close(b);
    for (u32 i = 0; r == 0 && i < cg->ndirs; i++)
        if (asprintf(&cg->dirs[i].path, "%s%s%s/%s/" SUBGROUP, cg->dirs[i].base, top, slices,
                     p.unit) < 0)
            r = err_set(e, "cannot make a cgroup: out of memory");
    cg->is_systemd = true;
    cg->unit = r == 0 ? strdup(p.unit) : NULL;
    cg->slice = r == 0 ? strdup(p.slice) : NULL;
    return r < 0 || (cg->unit && cg->slice) ? r : err_set(e, "cannot make a cgroup: out of memory");
}

/* ---- the scope ------------------------------------------------------------------------------- */

/* Signals about jobs come to us. */
static int subscribe(struct dbus *b, bool is_bus, struct err *e)
{
    dbus_body_start(b);
    if (dbus_call(b, MANAGER_PATH, MANAGER, "Subscribe", "", e) < 0)
        return -1;
    if (!is_bus)
        return 0;
    dbus_body_start(b);
    dbus_add_str(b, "type='signal',interface='" MANAGER "',member='JobRemoved'");
    return dbus_call(b, "/org/freedesktop/DBus", "org.freedesktop.DBus", "AddMatch", "s", e);
}

/* Until the job that the last call began is over. */
static int await_job(struct dbus *b, const char *unit, struct err *e)
{
    const char *text, *path, *of, *result;
    char job[256];
    u32 id;
    if (!dbus_get_str(b, &text))
        return err_set(e, "systemd's answer is malformed");
    snprintf(job, sizeof(job), "%s", text);
    for (;;) {
        if (dbus_await_signal(b, "JobRemoved", JOB_MS, e) < 0)
            return err_prefix(e, "systemd does not finish with the unit '%s'", unit);
        if (!dbus_get_u32(b, &id) || !dbus_get_str(b, &path) || !dbus_get_str(b, &of) ||
            !dbus_get_str(b, &result))
            return err_set(e, "systemd's signal is malformed");
        if (strcmp(path, job))
            continue;
        return strcmp(result, "done")
                   ? err_set(e, "systemd could not do its job on the unit '%s': %.64s", unit,
                             result)
                   : 0;
    }
}

static void begin_property(struct dbus *b, const char *name, const char *signature)
{
    dbus_struct_begin(b);
    dbus_add_str(b, name);
    dbus_add_signature(b, signature);
}

static void add_text(struct dbus *b, const char *name, const char *value)
{
    begin_property(b, name, "s");
    dbus_add_str(b, value);
}

static void add_bool(struct dbus *b, const char *name, bool value)
{
    begin_property(b, name, "b");
    dbus_add_u32(b, value);
}

static int start_scope(struct dbus *b, const struct oci_cgroup *cg, pid_t pid, struct err *e)
{
    dbus_body_start(b);
    dbus_add_str(b, cg->unit);
    dbus_add_str(b, "fail"); /* when another job is at work on it */
    u32 properties = dbus_array_begin(b, 8);
    add_text(b, "Description", "cvisor container");
    add_text(b, "Slice", cg->slice);
    add_text(b, "CollectMode", "inactive-or-failed");
    add_bool(b, "Delegate", true);
    add_bool(b, "DefaultDependencies", false);
    add_bool(b, "MemoryAccounting", true);
    add_bool(b, "CPUAccounting", true);
    add_bool(b, "IOAccounting", true);
    add_bool(b, "TasksAccounting", true);
    begin_property(b, "TasksMax", "t"); /* the default would be a part of the machine's */
    dbus_add_u64(b, UINT64_MAX);
    begin_property(b, "PIDs", "au");
    u32 pids = dbus_array_begin(b, 4);
    dbus_add_u32(b, (u32)pid);
    dbus_array_end(b, pids);
    dbus_array_end(b, properties);
    dbus_array_end(b, dbus_array_begin(b, 8)); /* no auxiliary units */
    if (dbus_call(b, MANAGER_PATH, MANAGER, "StartTransientUnit", "ssa(sv)a(sa(sv))", e) < 0)
        return -1;
    return await_job(b, cg->unit, e);
}

static int stop_scope(struct dbus *b, const char *unit, struct err *e)
{
    dbus_body_start(b);
    dbus_add_str(b, unit);
    dbus_add_str(b, "replace");
    if (dbus_call(b, MANAGER_PATH, MANAGER, "StopUnit", "ss", e) < 0)
        return -1;
    return await_job(b, unit, e);
}

static void forget_failure(struct dbus *b, const char *unit)
{
    dbus_body_start(b);
    dbus_add_str(b, unit);
    (void)!dbus_call(b, MANAGER_PATH, MANAGER, "ResetFailedUnit", "s",
                     NULL); /* mostly it has none */
}

int cg_systemd_start(const struct oci_cgroup *cg, pid_t pid, struct err *e)
{
    struct dbus *b;
    bool is_bus;
    if (open_systemd(&b, &is_bus, e) < 0)
        return -1;
    int r = subscribe(b, is_bus, e);
    if (r == 0)
        r = start_scope(b, cg, pid, e);
    if (r < 0 && !strcmp(dbus_error_name(b), "org.freedesktop.systemd1.UnitExists")) {
        forget_failure(b, cg->unit); /* of one that failed to end */
        r = start_scope(b, cg, pid, e);
    }
    dbus_close(b);
    return r < 0 ? err_prefix(e, "cannot make the scope '%s'", cg->unit) : 0;
}

void cg_systemd_stop(const struct oci_cgroup *cg)
{
    struct dbus *b;
    bool is_bus;
    if (!cg->unit || open_systemd(&b, &is_bus, NULL) < 0)
        return;
    /* Nothing is in it by now: it may be gone already, by itself. */
    if (subscribe(b, is_bus, NULL) == 0 && stop_scope(b, cg->unit, NULL) < 0)
        forget_failure(b, cg->unit);
    dbus_close(b);
}
