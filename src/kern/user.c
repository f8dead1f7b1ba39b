/* What is counted by real uid, across processes: tasks and queued signals against their limits. */
#include <stdlib.h>

#include "kern/kern_int.h"

#define NBUCKETS 64

static struct mutex users_lock = MUTEX_INIT("users");
static struct list buckets[NBUCKETS]; /* guarded by users_lock; a zero head is an empty list */

static struct list *bucket_of(u32 uid)
{
    struct list *b = &buckets[uid % NBUCKETS];
    if (!b->next)
        list_init(b);
    return b;
}

struct user_struct *user_get(u32 kuid)
{
    MUTEX_GUARD(&users_lock);
    struct list *b = bucket_of(kuid);
    struct user_struct *u;
    list_for_each(u, b, node) {
        if (u->uid == kuid && ref_get_unless_zero(&u->ref))
            return u;
    }
    u = calloc(1, sizeof(*u));
    if (!u)
        return NULL;
    ref_init(&u->ref);
    u->uid = kuid;
    list_add_head(b, &u->node);
    return u;
}

void user_ref(struct user_struct *u)
{
    ref_get(&u->ref);
}

void user_put(struct user_struct *u)
{
    if (!u || !ref_put(&u->ref))
        return;
    mutex_lock(&users_lock);
    list_del(&u->node);
    mutex_unlock(&users_lock);
    free(u);
}
