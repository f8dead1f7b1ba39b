/* Start of the kern room. */
#include "kern/klog.h"
#include "kern/kern_int.h"
#include "kern/nsfs.h"
#include "vfs/task_ops.h"

extern const struct vfs_task_ops kern_task_ops;

/* What the vfs asks about user namespaces. */
static bool ids_are_mapped(struct user_ns *ns, u32 uid, u32 gid)
{
    return from_kuid_raw(ns, uid) != UINT32_MAX && from_kgid_raw(ns, gid) != UINT32_MAX;
}

static bool capable_in(struct user_ns *ns, int cap)
{
    return ns_capable(ns ? ns : &root_user_ns, cap);
}

static bool is_below(struct user_ns *ns, struct user_ns *of)
{
    while (ns && ns != of)
        ns = ns->parent;
    return ns == of;
}

static u32 own_kuid(struct user_ns *ns, u32 uid)
{
    return make_kuid(ns ? ns : &root_user_ns, uid);
}

static u32 own_kgid(struct user_ns *ns, u32 gid)
{
    return make_kgid(ns ? ns : &root_user_ns, gid);
}

static u32 own_from_kuid(struct user_ns *ns, u32 kuid)
{
    return from_kuid_raw(ns ? ns : &root_user_ns, kuid);
}

static u32 own_from_kgid(struct user_ns *ns, u32 kgid)
{
    return from_kgid_raw(ns ? ns : &root_user_ns, kgid);
}

int kern_init(void)
{
    vfs_root_user_ns = &root_user_ns;
    vfs_ids_are_mapped = ids_are_mapped;
    vfs_capable_in = capable_in;
    vfs_user_ns_get = user_ns_get;
    vfs_user_ns_put = user_ns_put;
    vfs_user_ns_is_below = is_below;
    vfs_make_kuid = own_kuid;
    vfs_make_kgid = own_kgid;
    vfs_from_kuid = own_from_kuid;
    vfs_from_kgid = own_from_kgid;
    int r = pid_init();
    if (r == 0)
        r = ipc_init();
    if (r == 0)
        r = nsfs_init();
    if (r < 0)
        return r;
    vfs_task_ops = &kern_task_ops;
    aio_init();
    klog_init();
    return 0;
}
