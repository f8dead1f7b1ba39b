/*
 * Credentials: copies, groups, and capability checks of the current task.
 */
#include "vfs/cred.h"

#include <stdlib.h>
#include <string.h>

#include "abi/sched.h"
#include "vfs/landlock.h"
#include "vfs/vfs.h"

_Thread_local struct vfs_task *vfs_current;
struct user_ns *vfs_root_user_ns;
bool (*vfs_ids_are_mapped)(struct user_ns *ns, u32 uid, u32 gid);

static u32 same_id(struct user_ns *ns, u32 id)
{
    return id;
}

static bool is_same_ns(struct user_ns *ns, struct user_ns *of)
{
    return ns == of;
}

bool (*vfs_user_ns_is_below)(struct user_ns *ns, struct user_ns *of) = is_same_ns;
u32 (*vfs_make_kuid)(struct user_ns *ns, u32 uid) = same_id;
u32 (*vfs_make_kgid)(struct user_ns *ns, u32 gid) = same_id;
u32 (*vfs_from_kuid)(struct user_ns *ns, u32 kuid) = same_id;
u32 (*vfs_from_kgid)(struct user_ns *ns, u32 kgid) = same_id;
bool (*vfs_capable_in)(struct user_ns *ns, int cap);
void (*vfs_user_ns_get)(struct user_ns *ns);
void (*vfs_user_ns_put)(struct user_ns *ns);

#define ALL_CAPS ((1ULL << (LX_CAP_LAST_CAP + 1)) - 1)

/* Threads without a task act as the kernel itself: root with everything. Never freed. */
static const struct cred kernel_cred = {
    .ref = {1},
    .cap_permitted = ALL_CAPS,
    .cap_effective = ALL_CAPS,
    .cap_bounding = ALL_CAPS,
};

struct cred *cred_new_root(void)
{
    struct cred *c = calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    ref_init(&c->ref);
    c->cap_permitted = c->cap_effective = c->cap_bounding = ALL_CAPS;
    c->user_ns = vfs_root_user_ns; /* which needs no reference */
    return c;
}

struct cred *cred_copy(const struct cred *old)
{
    struct cred *c = malloc(sizeof(*c));
    if (!c)
        return NULL;
    memcpy(c, old, sizeof(*c));
    ref_init(&c->ref);
    if (old->ngroups > 0) {
        c->groups = malloc(old->ngroups * sizeof(u32));
        if (!c->groups) {
            free(c);
            return NULL;
        }
        memcpy(c->groups, old->groups, old->ngroups * sizeof(u32));
    } else {
        c->groups = NULL;
    }
    landlock_get(c->domain);
    if (c->user_ns && vfs_user_ns_get)
        vfs_user_ns_get(c->user_ns);
    return c;
}

static struct cred *unconst(const struct cred *c)
{
    return (struct cred *)(uintptr_t)c;
}

void cred_get(const struct cred *c)
{
    if (c && c != &kernel_cred)
        ref_get(&unconst(c)->ref);
}

void cred_put(const struct cred *c)
{
    if (!c || c == &kernel_cred || !ref_put(&unconst(c)->ref))
        return;
    if (c->user_ns && vfs_user_ns_put)
        vfs_user_ns_put(c->user_ns);
    landlock_put(c->domain);
    free(c->groups);
    free(unconst(c));
}

const struct cred *vfs_cred(void)
{
    return vfs_current ? vfs_current->cred : &kernel_cred;
}

bool cred_in_group(const struct cred *c, u32 gid)
{
    if (c->fsgid == gid)
        return true;
    u32 lo = 0, hi = c->ngroups;
    while (lo < hi) {
        u32 mid = lo + (hi - lo) / 2;
        if (c->groups[mid] == gid)
            return true;
        if (c->groups[mid] < gid)
            lo = mid + 1;
        else
            hi = mid;
    }
    return false;
}

static bool is_in_root_ns(const struct cred *c)
{
    return !vfs_root_user_ns || !c->user_ns || c->user_ns == vfs_root_user_ns;
}

bool vfs_capable(int cap)
{
    const struct cred *c = vfs_cred();
    return cred_has_cap(c, cap) && is_in_root_ns(c);
}

bool vfs_ns_capable(int cap)
{
    return cred_has_cap(vfs_cred(), cap);
}

bool vfs_capable_over(int cap, u32 uid, u32 gid)
{
    const struct cred *c = vfs_cred();
    if (!cred_has_cap(c, cap))
        return false;
    return is_in_root_ns(c) || !vfs_ids_are_mapped || vfs_ids_are_mapped(c->user_ns, uid, gid);
}
