/*
 * Cgroup namespaces. All processes are in the root group until groups can be made, so a namespace
 * is what /proc/PID/ns/cgroup and setns(2) know it by, and who owns it.
 */
#include <stdlib.h>

#include "kern/kern_int.h"

struct cgroup_ns {
    struct ref ref;
    u64 ino;                 /* immutable */
    struct user_ns *user_ns; /* owned, immutable */
};

static struct cgroup_ns root_storage = {
    .ref = {1}, /* never freed */
    .ino = NS_INO_ROOT_CGROUP,
    .user_ns = &root_user_ns,
};
struct cgroup_ns *const root_cgroup_ns = &root_storage;

struct cgroup_ns *cgroup_ns_new(struct user_ns *uns)
{
    struct cgroup_ns *ns = calloc(1, sizeof(*ns));
    if (!ns)
        return NULL;
    ref_init(&ns->ref);
    ns->ino = ns_ino_alloc();
    ns->user_ns = uns;
    user_ns_get(uns);
    return ns;
}

void cgroup_ns_get(struct cgroup_ns *ns)
{
    ref_get(&ns->ref);
}

void cgroup_ns_put(struct cgroup_ns *ns)
{
    if (!ns || !ref_put(&ns->ref))
        return;
    user_ns_put(ns->user_ns);
    free(ns);
}

u64 cgroup_ns_ino(const struct cgroup_ns *ns)
{
    return ns->ino;
}

struct user_ns *cgroup_ns_owner(const struct cgroup_ns *ns)
{
    return ns->user_ns;
}
