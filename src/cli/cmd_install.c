/*
 * cvisor install, uninstall: the runtime in the configuration of Docker,
 * containerd and Podman. A file is replaced in one step, by one that keeps
 * its owner and mode; no daemon is restarted.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cmd.h"
#include "oci/clientconf.h"
#include "oci/json.h"

static const struct client_info {
    const char *name, *program, *dir, *file, *after;
} clients[] = {
    [CLIENT_DOCKER] = {"docker", "dockerd", "/etc/docker", "/etc/docker/daemon.json",
                       "reload dockerd (SIGHUP)"},
    [CLIENT_CONTAINERD] = {"containerd", "containerd", "/etc/containerd",
                           "/etc/containerd/config.toml", "restart containerd"},
    [CLIENT_PODMAN] = {"podman", "podman", "/etc/containers",
                       "/etc/containers/containers.conf.d/cvisor.conf", NULL},
};

struct install_opts {
    bool is_install, is_dry_run, is_chosen[ARRAY_SIZE(clients)];
    const char *file[ARRAY_SIZE(clients)], *runtime, *path;
};

static bool is_on_path(const char *program)
{
    static const char *const dirs[] = {"/usr/local/sbin", "/usr/local/bin", "/usr/sbin",
                                       "/usr/bin",        "/sbin",          "/bin"};
    char path[64];
    for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
        snprintf(path, sizeof(path), "%s/%s", dirs[i], program);
        if (access(path, X_OK) == 0)
            return true;
    }
    return false;
}

/* The directories above a file, 0755 where they are missing. */
static int make_parents(const char *file, struct err *e)
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof(path), "%s", file) >= (int)sizeof(path))
        return err_set(e, "the path is too long");
    for (char *p = strchr(path + 1, '/'); p; p = strchr(p + 1, '/')) {
        *p = 0;
        if (mkdir(path, 0755) < 0 && errno != EEXIST)
            return err_errno(e, "cannot make %s", path);
        *p = '/';
    }
    return 0;
}

static int write_all(int fd, const char *text)
{
    size_t n = strlen(text);
    while (n > 0) {
        ssize_t w = write(fd, text, n);
        if (w < 0 && errno != EINTR)
            return -1;
        text += MAX(w, 0);
        n -= (size_t)MAX(w, 0);
    }
    return fsync(fd);
}

static int replace_file(const char *file, const struct stat *old, const char *text, struct err *e)
{
    char temp[PATH_MAX];
    if (snprintf(temp, sizeof(temp), "%s.XXXXXX", file) >= (int)sizeof(temp))
        return err_set(e, "the path is too long");
    int fd = mkostemp(temp, O_CLOEXEC);
    if (fd < 0)
        return err_errno(e, "cannot make a file beside %s", file);
    bool is_done = (!old || fchown(fd, old->st_uid, old->st_gid) == 0) &&
                   fchmod(fd, old ? old->st_mode & 07777 : 0644) == 0 && write_all(fd, text) == 0 &&
                   rename(temp, file) == 0;
    if (!is_done) {
        err_errno(e, "cannot write %s", file);
        unlink(temp);
    }
    close(fd);
    return is_done ? 0 : -1;
}

static int configure(const struct install_opts *o, enum client client, struct err *e)
{
    char real[PATH_MAX];
    const char *file = o->file[client];
    struct stat st;
    char *old = NULL, *text = NULL;
    size_t size;
    if (realpath(file, real)) /* a link stays one */
        file = real;
    bool is_there = stat(file, &st) == 0;
    if (!is_there && errno != ENOENT)
        return err_errno(e, "cannot read %s", file);
    if (is_there && json_read_file(AT_FDCWD, file, &old, &size, e) < 0)
        return -1;
    struct clientconf c = {client, file, o->runtime, o->path};
    int r =
        o->is_install ? clientconf_add(&c, old, &text, e) : clientconf_remove(&c, old, &text, e);
    if (r < 0) {
        free(old);
        return -1;
    }
    const char *name = clients[client].name;
    bool is_same = text && old ? !strcmp(text, old) : !text && !old;
    if (is_same) {
        printf("%s: %s %s '%s'\n", name, file, o->is_install ? "already has" : "does not have",
               o->runtime);
    } else if (o->is_dry_run) {
        printf("%s: %s would be %s\n%s", name, file, text ? "this:" : "removed", text ? text : "");
    } else {
        if (!text)
            r = unlink(file) < 0 ? err_errno(e, "cannot remove %s", file) : 0;
        else if (make_parents(file, e) < 0 ||
                 replace_file(file, is_there ? &st : NULL, text, e) < 0)
            r = -1;
        if (r == 0)
            printf("%s: '%s' is %s %s%s%s\n", name, o->runtime,
                   o->is_install ? "now in" : "gone from", file,
                   clients[client].after ? "; to take effect: " : "",
                   clients[client].after ? clients[client].after : "");
    }
    free(old);
    free(text);
    return r;
}

/* Where an ordinary user's Podman looks. */
static const char *own_podman_conf(void)
{
    static char path[PATH_MAX];
    const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    if (config && *config == '/')
        snprintf(path, sizeof(path), "%s/containers/containers.conf.d/cvisor.conf", config);
    else
        snprintf(path, sizeof(path), "%s/.config/containers/containers.conf.d/cvisor.conf",
                 home ? home : "");
    return path;
}

static bool is_good_name(const char *s)
{
    size_t n = strlen(s);
    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)s[i]) && s[i] != '-' && s[i] != '_')
            return false;
    return n > 0 && n <= 64;
}

static int parse(int argc, char **argv, struct install_opts *o)
{
    enum { OPT_NAME = 256, OPT_PATH, OPT_DRY_RUN, OPT_CLIENT };
    static const struct option options[] = {
        {"name", required_argument, NULL, OPT_NAME},
        {"path", required_argument, NULL, OPT_PATH},
        {"dry-run", no_argument, NULL, OPT_DRY_RUN},
        {"docker", optional_argument, NULL, OPT_CLIENT + CLIENT_DOCKER},
        {"containerd", optional_argument, NULL, OPT_CLIENT + CLIENT_CONTAINERD},
        {"podman", optional_argument, NULL, OPT_CLIENT + CLIENT_PODMAN},
        {NULL, 0, NULL, 0},
    };
    int opt;
    while ((opt = getopt_long(argc, argv, "+", options, NULL)) != -1) {
        switch (opt) {
        case OPT_NAME:
            if (!is_good_name(optarg))
                return complain(2, "--name takes letters, digits, '-' and '_', not '%s'", optarg);
            o->runtime = optarg;
            break;
        case OPT_PATH:
            if (*optarg != '/')
                return complain(2, "--path takes an absolute path, not '%s'", optarg);
            o->path = optarg;
            break;
        case OPT_DRY_RUN:
            o->is_dry_run = true;
            break;
        case OPT_CLIENT + CLIENT_DOCKER:
        case OPT_CLIENT + CLIENT_CONTAINERD:
        case OPT_CLIENT + CLIENT_PODMAN:
            if (optarg && *optarg != '/')
                return complain(2, "--%s takes an absolute path, not '%s'",
                                clients[opt - OPT_CLIENT].name, optarg);
            o->is_chosen[opt - OPT_CLIENT] = true;
            if (optarg)
                o->file[opt - OPT_CLIENT] = optarg;
            break;
        default:
            return 2;
        }
    }
    if (optind < argc)
        return complain(2, "%s takes no argument '%s'", argv[0], argv[optind]);
    return 0;
}

static int run(int argc, char **argv, bool is_install)
{
    static char self[PATH_MAX];
    struct install_opts o = {.is_install = is_install, .runtime = "cvisor"};
    for (size_t i = 0; i < ARRAY_SIZE(clients); i++)
        o.file[i] = clients[i].file;
    bool is_root = geteuid() == 0;
    if (!is_root)
        o.file[CLIENT_PODMAN] = own_podman_conf();
    int r = parse(argc, argv, &o);
    if (r)
        return r;
    if (!o.path) {
        if (!realpath("/proc/self/exe", self))
            return complain(1, "cannot tell this program's path (%s); give it with --path",
                            strerror(errno));
        o.path = self;
    }
    if (is_install && access(o.path, X_OK) < 0)
        return complain(1, "%s is not a program that can be run: %s", o.path, strerror(errno));
    bool is_any = false;
    for (size_t i = 0; i < ARRAY_SIZE(clients); i++)
        is_any |= o.is_chosen[i];
    for (size_t i = 0; i < ARRAY_SIZE(clients) && !is_any; i++)
        o.is_chosen[i] = (is_root || i == CLIENT_PODMAN) &&
                         (is_on_path(clients[i].program) || access(clients[i].dir, F_OK) == 0);
    is_any = false;
    int status = 0;
    for (size_t i = 0; i < ARRAY_SIZE(clients); i++) {
        struct err e;
        if (!o.is_chosen[i])
            continue;
        is_any = true;
        if (configure(&o, (enum client)i, &e) < 0)
            status = complain(1, "%s: %s", clients[i].name, e.msg);
    }
    if (!is_any)
        return complain(1, "found none of Docker, containerd and Podman; "
                           "name one with --docker, --containerd or --podman");
    return status;
}

int cmd_install(const struct global_opts *g, int argc, char **argv)
{
    (void)g;
    return run(argc, argv, true);
}

int cmd_uninstall(const struct global_opts *g, int argc, char **argv)
{
    (void)g;
    return run(argc, argv, false);
}
