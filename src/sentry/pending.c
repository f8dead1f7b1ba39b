/*
 * Stand-ins for functions that are being written, so that the sandbox links and boots meanwhile.
 * Whoever lands the real one removes the stand-in here ("multiple definition" at link time
 * says so). This file goes when it is empty.
 */
#include "sentry/pending.h"

#include "kern/parts.h"
#include "sentry/sentry.h"

/* fs/overlay.c: an overlay whose upper layer is a fresh tmpfs of that size (0: half of memory). */
int overlay_new_on_tmpfs(struct super *lower, u64 size, struct super **ret_sb)
{
    super_get(lower);
    *ret_sb = lower;
    return 0;
}

/* kern/ipc.c, kern/sysv_sem.c */
static char root_ipc_mem;
struct ipc_ns *root_ipc_ns = (struct ipc_ns *)(void *)&root_ipc_mem;

int ipc_init(void)
{
    return 0;
}

void ipc_ns_get(struct ipc_ns *ns)
{
}

void ipc_ns_put(struct ipc_ns *ns)
{
}

int ipc_ns_new(struct user_ns *uns, struct ipc_ns **ret_ns)
{
    return -LX_ENOSYS;
}

u64 ipc_ns_ino(const struct ipc_ns *ns)
{
    return NS_INO_ROOT_IPC;
}

void sysvsem_exit(struct task *t)
{
}

int sysvsem_share(struct task *parent, struct task *child)
{
    return 0;
}
