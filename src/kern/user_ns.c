/*
 * User namespaces: id maps, and what a capability in one is worth in another
 * (user_namespaces(7)). Maps hold kuids: ids of the root namespace; a map is
 * written once and then only read, so translation takes no lock.
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "kern/kern_int.h"
#include "kern/keys.h"
#include "kern/user_ns_map.h"

#define MAX_USER_NS_LEVEL 32
#define OVERFLOW_ID       65534U
#define ALL_CAPS          ((1ULL << (LX_CAP_LAST_CAP + 1)) - 1)

struct user_ns root_user_ns = {
    .ref = {1}, /* never freed */
    .ino = NS_INO_ROOT_USER,
    .lock = MUTEX_INIT("user_ns"),
    .nuid_map = 1,
    .ngid_map = 1,
    .uid_map = {{0, 0, UINT32_MAX}},
    .gid_map = {{0, 0, UINT32_MAX}},
};

bool user_ns_root_is_limited;

static bool has_all_ids(const struct user_ns *ns)
{
    return ns == &root_user_ns && !user_ns_root_is_limited;
}

static u32 map_down(const struct id_map_entry *map, const u32 *count, u32 id)
{
    u32 n = __atomic_load_n(count, __ATOMIC_ACQUIRE);
    for (u32 i = 0; i < n; i++) {
        if (id - map[i].first < map[i].count)
            return map[i].lower_first + (id - map[i].first);
    }
    return UINT32_MAX;
}

static u32 map_up(const struct id_map_entry *map, const u32 *count, u32 kid)
{
    u32 n = __atomic_load_n(count, __ATOMIC_ACQUIRE);
    for (u32 i = 0; i < n; i++) {
        if (kid - map[i].lower_first < map[i].count)
            return map[i].first + (kid - map[i].lower_first);
    }
    return UINT32_MAX;
}

u32 make_kuid(struct user_ns *ns, u32 uid)
{
    return has_all_ids(ns) ? uid : map_down(ns->uid_map, &ns->nuid_map, uid);
}

u32 make_kgid(struct user_ns *ns, u32 gid)
{
    return has_all_ids(ns) ? gid : map_down(ns->gid_map, &ns->ngid_map, gid);
}

u32 from_kuid_raw(struct user_ns *ns, u32 kuid)
{
    return has_all_ids(ns) ? kuid : map_up(ns->uid_map, &ns->nuid_map, kuid);
}

u32 from_kgid_raw(struct user_ns *ns, u32 kgid)
{
    return has_all_ids(ns) ? kgid : map_up(ns->gid_map, &ns->ngid_map, kgid);
}

u32 from_kuid(struct user_ns *ns, u32 kuid)
{
    u32 id = from_kuid_raw(ns, kuid);
    return id == UINT32_MAX ? OVERFLOW_ID : id;
}

u32 from_kgid(struct user_ns *ns, u32 kgid)
{
    u32 id = from_kgid_raw(ns, kgid);
    return id == UINT32_MAX ? OVERFLOW_ID : id;
}

void user_ns_get(struct user_ns *ns)
{
    if (ns != &root_user_ns) /* in every credential, and never freed: no count to fight for */
        ref_get(&ns->ref);
}

void user_ns_put(struct user_ns *ns)
{
    while (ns && ns != &root_user_ns && ref_put(&ns->ref)) {
        struct user_ns *parent = ns->parent;
        keys_user_ns_ends(ns);
        free(ns);
        ns = parent;
    }
}

int user_ns_new(const struct cred *owner, struct user_ns **ret_ns)
{
    struct user_ns *parent = owner->user_ns;
    if (parent->level >= MAX_USER_NS_LEVEL)
        return -LX_ENOSPC;
    if (from_kuid_raw(parent, owner->euid) == UINT32_MAX ||
        from_kgid_raw(parent, owner->egid) == UINT32_MAX)
        return -LX_EPERM;
    struct user_ns *ns = calloc(1, sizeof(*ns));
    if (!ns)
        return -LX_ENOMEM;
    ref_init(&ns->ref);
    mutex_init(&ns->lock, "user_ns");
    ns->parent = parent;
    user_ns_get(parent);
    ns->level = parent->level + 1;
    ns->ino = ns_ino_alloc();
    ns->owner_uid = owner->euid;
    ns->owner_gid = owner->egid;
    ns->is_setgroups_denied = parent->is_setgroups_denied;
    *ret_ns = ns;
    return 0;
}

void cred_set_new_user_ns(struct cred *c, struct user_ns *ns)
{
    user_ns_put(c->user_ns);
    c->user_ns = ns;
    c->securebits = 0;
    c->cap_inheritable = 0;
    c->cap_permitted = c->cap_effective = c->cap_bounding = ALL_CAPS;
    c->cap_ambient = 0;
}

/* ---- capabilities -------------------------------------------------------------------------- */

static bool cred_capable_in(const struct cred *c, struct user_ns *ns, int cap)
{
    for (;;) {
        if (ns == c->user_ns)
            return cred_has_cap(c, cap);
        if (ns->level <= c->user_ns->level)
            return false;
        if (ns->parent == c->user_ns && ns->owner_uid == c->euid)
            return true; /* the owner, from the parent namespace, has every capability */
        ns = ns->parent;
    }
}

bool task_capable_in(struct task *t, struct user_ns *ns, int cap)
{
    if (t == task_current())
        return cred_capable_in(t->cred, ns, cap);
    const struct cred *c = task_get_cred(t);
    bool is_capable = cred_capable_in(c, ns, cap);
    cred_put(c);
    return is_capable;
}

bool ns_capable(struct user_ns *ns, int cap)
{
    struct task *t = task_current();
    return !t || cred_capable_in(t->cred, ns, cap);
}
