/* See pod.h. */
#include "oci/pod.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "oci/client.h"
#include "oci/state.h"

static const char *id_of(const struct oci_spec *spec)
{
    static const char *const names[][2] = {
        {"io.kubernetes.cri.container-type", "io.kubernetes.cri.sandbox-id"},
        {"io.kubernetes.cri-o.ContainerType", "io.kubernetes.cri-o.SandboxID"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        const char *type = oci_pairs_get(&spec->annotations, names[i][0]);
        if (type && !strcmp(type, "container"))
            return oci_pairs_get(&spec->annotations, names[i][1]);
    }
    return NULL;
}

static bool is_same_map(const struct oci_idmaps *a, const struct oci_idmaps *b)
{
    return a->n == b->n && (a->n == 0 || !memcmp(a->v, b->v, a->n * sizeof(*a->v)));
}

/* The kernel of a pod has one set of ids. */
static int check_maps(const struct oci_spec *spec, const struct oci_state *pod, struct err *e)
{
    struct oci_spec *first;
    if (oci_spec_load(pod->dir, "config.json", &first, e) < 0)
        return -1;
    const struct oci_linux *a = &spec->linux_, *b = &first->linux_;
    bool is_same =
        is_same_map(&a->uid_maps, &b->uid_maps) && is_same_map(&a->gid_maps, &b->gid_maps);
    oci_spec_free(first);
    return is_same ? 0
                   : err_set(e, "linux.uidMappings and gidMappings differ from those of the pod");
}

/*
 * The container of the pod whose pid namespace is meant by a path: that of its process on the host,
 * which stands for it there. What the path names is only looked at: the host's namespace is nothing
 * that a sandbox could join.
 */
static int find_pid_ns(const char *root, const struct oci_state *pod, const char *path,
                       char **ret_id, struct err *e)
{
    int pid, used = 0;
    char **ids;
    char *found = NULL;
    if (sscanf(path, "/proc/%d/ns/pid%n", &pid, &used) != 1 || path[used] || pid <= 0)
        return err_set(e,
                       "linux.namespaces: a pod's container joins a pid namespace by the "
                       "/proc/PID/ns/pid of another one, not by '%s'",
                       path);
    if (state_list(root, &ids, e) < 0)
        return -1;
    for (char **id = ids; *id; id++) {
        struct oci_state s;
        if (!found && state_load(root, *id, &s, NULL) == 0) {
            bool is_ours = !strcmp(s.id, pod->id) || (s.pod && !strcmp(s.pod, pod->id));
            if (is_ours && s.pid == pid && state_is_alive(&s))
                found = strdup(s.id);
            state_done(&s);
        }
        free(*id);
    }
    free(ids);
    *ret_id = found;
    return found ? 0
                 : err_set(e,
                           "linux.namespaces: process %d, whose pid namespace is to be joined, is "
                           "no container of the pod '%.100s'",
                           pid, pod->id);
}

#define NETNS_LINK "netns" /* in a container's directory: what its network namespace is called */

int pod_note_network(const struct oci_state *s, struct err *e)
{
    char path[40], name[64];
    snprintf(path, sizeof(path), "/proc/%d/ns/net", s->pid);
    ssize_t n = readlink(path, name, sizeof(name) - 1);
    if (n < 0)
        return err_errno(e, "cannot read '%s'", path);
    name[n] = 0;
    if (symlinkat(name, s->dir, NETNS_LINK) < 0)
        return err_errno(e, "cannot note the container's network namespace");
    return 0;
}

/* What links to a namespace say of it; false: it is the host's, or none. */
static bool name_network(const char *path, char *ret, size_t size)
{
    struct stat st, own, hosts;
    if (stat(path, &st) < 0 || stat("/proc/self/ns/net", &own) < 0 || own.st_dev != st.st_dev ||
        own.st_ino == st.st_ino ||
        (stat("/proc/1/ns/net", &hosts) == 0 && hosts.st_ino == st.st_ino))
        return false;
    snprintf(ret, size, "net:[%llu]", (unsigned long long)st.st_ino);
    return true;
}

/* The sandbox whose network the namespace at path is: a second one cannot take it over. *ret_id
 * NULL: none, or the namespace is the host's. */
static int find_by_network(const char *root, const char *path, char **ret_id, struct err *e)
{
    char name[64], link[1200], there[64];
    char **ids, *found = NULL;
    *ret_id = NULL;
    if (!name_network(path, name, sizeof(name)))
        return 0;
    int dir = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return errno == ENOENT ? 0 : err_errno(e, "cannot open the directory '%s'", root);
    if (state_list(root, &ids, e) < 0) {
        close(dir);
        return -1;
    }
    for (char **id = ids; *id; id++) {
        struct oci_state s;
        snprintf(link, sizeof(link), "%s/" NETNS_LINK, *id);
        ssize_t n = found ? -1 : readlinkat(dir, link, there, sizeof(there) - 1);
        if (n > 0 && (size_t)n == strlen(name) && !memcmp(there, name, (size_t)n) &&
            state_load(root, *id, &s, NULL) == 0) {
            if (state_is_alive(&s)) /* else the kernel gave the number to another one since */
                found = strdup(s.pod ? s.pod : s.id);
            state_done(&s);
        }
        free(*id);
    }
    free(ids);
    close(dir);
    *ret_id = found;
    return 0;
}

static int join(const char *root, const struct oci_spec *spec, const char *id, struct oci_pod *ret,
                struct err *e)
{
    const char *path = spec->linux_.ns[OCI_NS_PID].path;
    struct oci_state pod;
    if (state_load(root, id, &pod, e) < 0)
        return -1;
    struct oci_pod p = {.dir = -1, .link = -1};
    int r = -1;
    if (pod.pod || state_status(&pod) != OCI_ST_RUNNING)
        err_set(e, "it is not running");
    else if (check_maps(spec, &pod, e) == 0 &&
             (!path || find_pid_ns(root, &pod, path, &p.pid_ns_of, e) == 0) &&
             (p.link = client_connect(&pod, e)) >= 0) {
        p.id = strdup(id);
        r = p.id ? 0 : err_set(e, "out of memory");
    }
    if (r < 0) {
        free(p.pid_ns_of);
        if (p.link >= 0)
            close(p.link);
    } else {
        p.dir = take_fd(pod.dir);
        *ret = p;
    }
    state_done(&pod);
    return r;
}

int pod_find(const char *root, const struct oci_spec *spec, bool is_by_network, struct oci_pod *ret,
             struct err *e)
{
    const struct oci_namespace *ns = spec->linux_.ns;
    const char *id = id_of(spec), *path = ns[OCI_NS_PID].path;
    char *owner = NULL;
    *ret = (struct oci_pod){.dir = -1, .link = -1};
    if (id)
        return join(root, spec, id, ret, e) < 0
                   ? err_prefix(e, "cannot join the pod's sandbox '%.100s'", id)
                   : 0;
    if (is_by_network && ns[OCI_NS_NET].path && *ns[OCI_NS_NET].path &&
        find_by_network(root, ns[OCI_NS_NET].path, &owner, e) < 0)
        return -1;
    int r = 0;
    if (owner && join(root, spec, owner, ret, e) < 0)
        r = err_prefix(e, "cannot join the sandbox '%.100s', whose network namespace '%.200s' is",
                       owner, ns[OCI_NS_NET].path);
    else if (!owner && path)
        r = err_set(e, "linux.namespaces: a sandbox cannot join the pid namespace '%s'", path);
    free(owner);
    return r;
}
