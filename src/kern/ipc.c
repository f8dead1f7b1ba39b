/* IPC namespaces. */
#include "kern/ipc.h"

#include <stdlib.h>

#include "kern/kern_int.h"

struct ipc_ns *root_ipc_ns;
_Atomic s64 sysctl_shmmni = 4096, sysctl_shm_rmid_forced, sysctl_msgmax = 8192, sysctl_msgmnb = 16384,
            sysctl_msgmni = 32000;
_Atomic u64 sysctl_shmmax = 18446744073692774399UL, sysctl_shmall = 18446744073692774399UL;
_Atomic s64 sysctl_sem[4] = {32000, 1024000000, 500, 32000};

int ipc_ns_new(struct user_ns *uns, struct ipc_ns **ret_ns)
{
    struct ipc_ns *ns = calloc(1, sizeof(*ns));
    if (!ns)
        return -LX_ENOMEM;
    ref_init(&ns->ref);
    ns->ino = root_ipc_ns ? ns_ino_alloc() : NS_INO_ROOT_IPC;
    ns->user_ns = uns;
    user_ns_get(uns);
    *ret_ns = ns;
    return 0;
}

void ipc_ns_get(struct ipc_ns *ns)
{
    ref_get(&ns->ref);
}

void ipc_ns_put(struct ipc_ns *ns)
{
    if (!ns || !ref_put(&ns->ref))
        return;
    user_ns_put(ns->user_ns);
    free(ns);
}

u64 ipc_ns_ino(const struct ipc_ns *ns)
{
    return ns->ino;
}

int ipc_init(void)
{
    return ipc_ns_new(&root_user_ns, &root_ipc_ns);
}

int sysvsem_share(struct task *parent, struct task *child)
{
    return 0;
}

void sysvsem_exit(struct task *t)
{
}
