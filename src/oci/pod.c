/* See pod.h. */
#include "oci/pod.h"

#include <errno.h>
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

int pod_find(const char *root, const struct oci_spec *spec, struct oci_pod *ret, struct err *e)
{
    struct oci_state pod;
    const char *id = id_of(spec), *path = spec->linux_.ns[OCI_NS_PID].path;
    *ret = (struct oci_pod){.dir = -1, .link = -1};
    if (!id)
        return path ? err_set(e, "linux.namespaces: a sandbox cannot join the pid namespace '%s'",
                              path)
                    : 0;
    if (state_load(root, id, &pod, e) < 0)
        return err_prefix(e, "cannot find the pod's sandbox '%.100s'", id);
    struct oci_pod p = {.dir = -1, .link = -1};
    int r = -1;
    if (pod.pod || state_status(&pod) != OCI_ST_RUNNING)
        err_set(e, "the pod's sandbox '%.100s' is not running", id);
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
