/* See oci.h. */
#include "cli/oci.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

static void timestamp(char *buf, size_t size)
{
    struct timespec now;
    struct tm tm;
    clock_gettime(CLOCK_REALTIME, &now);
    strftime(buf, size, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now.tv_sec, &tm));
}

/* One line in the format of logrus, which engines parse. */
static char *log_line(const struct global_opts *g, const char *level, const char *msg)
{
    char when[40], *line = NULL;
    timestamp(when, sizeof(when));
    if (g->is_log_json) {
        json_t *o = json_pack("{s:s, s:s, s:s}", "level", level, "msg", msg, "time", when);
        char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;
        json_decref(o);
        if (text && asprintf(&line, "%s\n", text) < 0)
            line = NULL;
        free(text);
    } else {
        json_t *quoted = json_string(msg);
        char *text = quoted ? json_dumps(quoted, JSON_ENCODE_ANY) : NULL;
        json_decref(quoted);
        if (text && asprintf(&line, "time=\"%s\" level=%s msg=%s\n", when, level, text) < 0)
            line = NULL;
        free(text);
    }
    return line;
}

int oci_fail(const struct global_opts *g, int status, const struct err *e)
{
    char *line = log_line(g, "error", e->msg);
    if (!g->log_path) {
        fputs(line ? line : e->msg, stderr);
    } else {
        int fd = open(g->log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
        if (fd >= 0) {
            (void)!write(fd, line ? line : e->msg, strlen(line ? line : e->msg));
            close(fd);
        }
        fprintf(stderr, "%s\n", e->msg);
    }
    free(line);
    return status;
}

void oci_globals_from(const struct global_opts *g, struct oci_globals *ret)
{
    *ret = (struct oci_globals){
        .root = g->root,
        .boot_flags = (g->is_strace ? BOOT_STRACE : 0) | (g->is_patch_off ? BOOT_PATCH_OFF : 0) |
                      (g->is_mm_helper ? BOOT_MM_HELPER : 0),
        .container_flags = (g->is_directfs_off ? 0 : BOOT_DIRECTFS) |
                           (g->is_root_shared ? BOOT_ROOT_SHARED : 0) |
                           (g->is_mounts_exclusive ? BOOT_MOUNTS_EXCLUSIVE : 0),
        .log_level = g->is_debug ? 3 : 1,
        .nlanes = lane_count(),
        .log_path = g->debug_log_path,
        .strace_path = g->strace_path,
        .is_systemd_cgroup = g->is_systemd_cgroup,
        .network = g->is_network_none      ? NET_NONE
                   : g->is_network_host    ? NET_HOST
                   : g->is_network_sandbox ? NET_SANDBOX
                                           : NET_NAMESPACE,
        .egress = g->egress,
    };
}

int oci_need_args(int n, int wanted, const char *command, const char *what, struct err *e)
{
    if (n == wanted)
        return 0;
    if (n < wanted)
        return err_set(e, "'%s' needs %s", command, what);
    return err_set(e, "'%s' takes %s and nothing more", command, what);
}
