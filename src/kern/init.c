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

int kern_init(void)
{
    vfs_root_user_ns = &root_user_ns;
    vfs_ids_are_mapped = ids_are_mapped;
    vfs_capable_in = capable_in;
    vfs_user_ns_get = user_ns_get;
    vfs_user_ns_put = user_ns_put;
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
