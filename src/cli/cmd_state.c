/* cvisor state, list, ps: commands that look. */
#include <dirent.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/oci.h"
#include "oci/cgroup.h"

int cmd_state(const struct global_opts *g, int argc, char **argv)
{
    struct oci_globals og;
    struct oci_state s;
    struct err e = {0};
    oci_globals_from(g, &og);
    int n = flags_parse(NULL, 0, argc, argv, true, &e);
    if (n < 0 || oci_need_args(n, 1, argv[0], "a container id", &e) < 0 ||
        oci_load(&og, argv[1], &s, &e) < 0)
        return oci_fail(g, 1, &e);
    char *text = state_json(&s, state_status(&s), true, &e);
    if (!text)
        return oci_fail(g, 1, &e);
    puts(text);
    return 0;
}

static int format_of(const char *format, bool *ret_is_json, struct err *e)
{
    if (strcmp(format, "json") && strcmp(format, "table"))
        return err_set(e, "invalid format option: '%s' (table and json are known)", format);
    *ret_is_json = !strcmp(format, "json");
    return 0;
}

/* ---- list ---------------------------------------------------------------------------------- */

#define NCOLUMNS 6

/* As wide as the widest, and at least 12 with three spaces behind. */
static void print_table(char *(*rows)[NCOLUMNS], size_t nrows)
{
    for (size_t r = 0; r < nrows; r++) {
        for (int c = 0; c < NCOLUMNS; c++) {
            size_t width = 9;
            for (size_t i = 0; i < nrows; i++)
                width = MAX(width, strlen(rows[i][c]));
            if (c == NCOLUMNS - 1)
                printf("%s\n", rows[r][c]);
            else
                printf("%-*s", (int)width + 3, rows[r][c]);
        }
    }
}

static void fill_row(char **row, const struct oci_state *s, enum oci_status status)
{
    char pid[16];
    snprintf(pid, sizeof(pid), "%d", status == OCI_ST_STOPPED ? 0 : s->pid);
    row[0] = s->id;
    row[1] = strdup(pid);
    row[2] = (char *)(uintptr_t)oci_status_name(status);
    row[3] = s->bundle ? s->bundle : (char *)(uintptr_t) "";
    row[4] = s->created ? s->created : (char *)(uintptr_t) "";
    row[5] = s->owner ? s->owner : (char *)(uintptr_t) "";
}

static int print_list(const struct oci_globals *og, char **ids, size_t n, bool is_json,
                      struct err *e)
{
    char *(*rows)[NCOLUMNS] = calloc(n + 1, sizeof(*rows));
    size_t nrows = 1;
    bool is_first = true;
    if (!rows)
        return err_set(e, "out of memory");
    static const char *const titles[NCOLUMNS] = {"ID",     "PID",     "STATUS",
                                                 "BUNDLE", "CREATED", "OWNER"};
    for (int c = 0; c < NCOLUMNS; c++)
        rows[0][c] = (char *)(uintptr_t)titles[c];
    for (size_t i = 0; i < n; i++) {
        struct oci_state s;
        if (oci_load(og, ids[i], &s, e) < 0)
            continue; /* deleted meanwhile */
        enum oci_status status = state_status(&s);
        if (!is_json) {
            fill_row(rows[nrows++], &s, status);
            continue;
        }
        char *text = state_json(&s, status, false, e);
        if (!text)
            return -1;
        printf("%s%s", is_first ? "[" : ",", text);
        is_first = false;
        free(text);
    }
    if (is_json)
        puts(is_first ? "null" : "]");
    else
        print_table(rows, nrows);
    return 0;
}

int cmd_list(const struct global_opts *g, int argc, char **argv)
{
    struct oci_globals og;
    struct err e = {0};
    const char *format = "table";
    bool is_quiet = false, is_json = false;
    char *root, **ids;
    size_t n = 0;
    const struct flag flags[] = {{"format", 'f', FLAG_STR, &format},
                                 {"quiet", 'q', FLAG_SWITCH, &is_quiet}};
    oci_globals_from(g, &og);
    int nargs = flags_parse(flags, ARRAY_SIZE(flags), argc, argv, true, &e);
    if (nargs < 0 || oci_need_args(nargs, 0, argv[0], "no arguments", &e) < 0 ||
        format_of(format, &is_json, &e) < 0 || state_root(og.root, false, &root, &e) < 0 ||
        state_list(root, &ids, &e) < 0)
        return oci_fail(g, 1, &e);
    while (ids[n])
        n++;
    if (is_quiet) {
        for (size_t i = 0; i < n; i++)
            puts(ids[i]);
        return 0;
    }
    return print_list(&og, ids, n, is_json, &e) < 0 ? oci_fail(g, 1, &e) : 0;
}

/* ---- ps ------------------------------------------------------------------------------------ */

static void print_time(u64 ns)
{
    u64 s = ns / NSEC_PER_SEC;
    printf(" %02llu:%02llu:%02llu", (unsigned long long)(s / 3600),
           (unsigned long long)(s / 60 % 60), (unsigned long long)(s % 60));
}

static void print_procs(const struct ctl_proc *procs, size_t n)
{
    printf("UID          PID    PPID NLWP TTY          TIME CMD\n");
    for (size_t i = 0; i < n; i++) {
        char tty[20] = "?";
        if (procs[i].tty >= 0)
            snprintf(tty, sizeof(tty), "pts/%d", procs[i].tty);
        printf("%-8u %7d %7d %4u %-8s", procs[i].uid, procs[i].pid, procs[i].ppid, procs[i].ntasks,
               tty);
        print_time(procs[i].cpu_ns);
        printf(" %.*s\n", (int)sizeof(procs[i].cmd), procs[i].cmd);
    }
}

static void print_if_stub(pid_t pid)
{
    char path[40], comm[32];
    snprintf(path, sizeof(path), "/proc/%d/comm", pid);
    FILE *c = fopen(path, "re");
    if (c && fgets(comm, sizeof(comm), c) && !strcmp(comm, "cvisor-stub\n"))
        printf(",%d", pid);
    if (c)
        fclose(c);
}

/* Those of a pod's further container: children of the pod's sentry, but in its own control groups. */
static void print_stubs_in(const char *cgroup)
{
    struct oci_cgroup *cg;
    pid_t *pids;
    u32 n;
    if (oci_cgroup_load(cgroup, &cg, NULL) < 0)
        return;
    if (oci_cgroup_pids(cg, &pids, &n, NULL) == 0) {
        for (u32 i = 0; i < n; i++)
            print_if_stub(pids[i]);
        free(pids);
    }
    oci_cgroup_free(cg);
}

/* The host processes below one that run programs of the container. Engines want the host's numbers
 * in JSON: they look these up in /proc. */
static void print_stubs(pid_t pid)
{
    char path[300];
    snprintf(path, sizeof(path), "/proc/%d/task", pid);
    DIR *tasks = opendir(path);
    for (struct dirent *d; tasks && (d = readdir(tasks));) {
        int child;
        snprintf(path, sizeof(path), "/proc/%d/task/%.20s/children", pid, d->d_name);
        FILE *f = *d->d_name == '.' ? NULL : fopen(path, "re");
        while (f && fscanf(f, "%d", &child) == 1) {
            print_if_stub(child);
            print_stubs(child);
        }
        if (f)
            fclose(f);
    }
    if (tasks)
        closedir(tasks);
}

int cmd_ps(const struct global_opts *g, int argc, char **argv)
{
    static struct ctl_reply reply;
    struct oci_globals og;
    struct oci_state s;
    struct err e = {0};
    const char *format = "table";
    bool is_json = false;
    const struct flag flags[] = {{"format", 'f', FLAG_STR, &format}};
    oci_globals_from(g, &og);
    int n = flags_parse(flags, ARRAY_SIZE(flags), argc, argv, false, &e);
    if (n >= 0 && n < 1)
        n = err_set(&e, "'ps' needs a container id");
    if (n >= 0 && n > 1)
        n = err_set(&e, "'ps' takes no options of ps(1): the processes are not the host's");
    if (n < 0 || format_of(format, &is_json, &e) < 0 || oci_load(&og, argv[1], &s, &e) < 0)
        return oci_fail(g, 1, &e);
    if (state_status(&s) == OCI_ST_STOPPED) {
        err_set(&e, "container not running");
        return oci_fail(g, 1, &e);
    }
    if (client_request(&s, CTL_PS, 0, 0, CLIENT_WAIT_MS, &reply, &e) < 0)
        return oci_fail(g, 1, &e);
    size_t nprocs = reply.m.data.size / sizeof(struct ctl_proc);
    struct ctl_proc *procs = calloc(nprocs + 1, sizeof(*procs)); /* the message's are not aligned */
    if (!procs)
        return complain(1, "out of memory");
    memcpy(procs, reply.m.data.p, nprocs * sizeof(*procs));
    if (!is_json) {
        print_procs(procs, nprocs);
        return 0;
    }
    printf("[%d", s.pid);
    print_stubs(s.pid);
    if (s.pod && s.cgroup)
        print_stubs_in(s.cgroup);
    puts("]");
    return 0;
}
