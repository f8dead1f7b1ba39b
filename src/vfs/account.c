/* See account.h. */
#include "vfs/account.h"

#include <stdlib.h>

_Atomic s64 sysctl_inotify_instances = 128, sysctl_inotify_watches = 524288,
            sysctl_inotify_events = 16384, sysctl_epoll_watches = 524288,
            sysctl_lease_break_time = 45, sysctl_leases_enable = 1, sysctl_pipe_max_size = 1 << 20,
            sysctl_pipe_soft = 16384, sysctl_pipe_hard;

#define NBUCKETS 64

static struct mutex table_lock = MUTEX_INIT("account"); /* leaf */
static struct list buckets[NBUCKETS];                   /* guarded by table_lock */

struct account *account_get(void)
{
    u32 uid = vfs_cred()->uid;
    struct list *b = &buckets[uid % NBUCKETS];
    struct account *a;
    MUTEX_GUARD(&table_lock);
    if (!b->next)
        list_init(b);
    list_for_each (a, b, node) {
        if (a->uid == uid) {
            a->nrefs++;
            return a;
        }
    }
    a = calloc(1, sizeof(*a));
    if (!a)
        return NULL;
    a->uid = uid;
    a->nrefs = 1;
    list_add_head(b, &a->node);
    return a;
}

void account_ref(struct account *a)
{
    MUTEX_GUARD(&table_lock);
    a->nrefs++;
}

void account_put(struct account *a)
{
    if (!a)
        return;
    mutex_lock(&table_lock);
    bool is_last = --a->nrefs == 0;
    if (is_last)
        list_del(&a->node);
    mutex_unlock(&table_lock);
    if (is_last)
        free(a);
}
