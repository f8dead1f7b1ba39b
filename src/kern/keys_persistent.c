/*
 * Persistent keyrings (keyctl_get_persistent(2)): one a user in each user namespace, which
 * stays when the user's last process goes and until nobody has asked for it for three days.
 *
 * Who has such a keyring is listed here and not in the users' or the namespaces' own
 * records: few programs (Kerberos) ask for one. The list is bounded, and what a keyring
 * holds counts against the quota of its user.
 */
#include <stdio.h>
#include <stdlib.h>

#include "kern/keys_int.h"

#define POS(p)         ((u32)(p) << 24)
#define USR(p)         ((u32)(p) << 16)
#define MAX_PERSISTENT 1024U
#define LIFE_NS        (3 * 24 * 3600 * NSEC_PER_SEC)

struct persistent {
    struct list node;
    const struct user_ns *ns; /* not counted: its end takes the entry away */
    u32 uid;
    struct key *ring; /* counted */
};

static struct list all = LIST_INIT(all); /* guarded by keys_lock */
static _Atomic u32 nall;                 /* written under keys_lock */

static void forget(struct persistent *p) REQUIRES(keys_lock)
{
    list_del(&p->node);
    atomic_fetch_sub(&nall, 1);
    key_put(p->ring);
    free(p);
}

void keys_user_ns_ends(const struct user_ns *ns)
{
    if (likely(atomic_load(&nall) == 0))
        return;
    struct persistent *p, *next;
    MUTEX_GUARD(&keys_lock);
    list_for_each_safe(p, next, &all, node) {
        if (p->ns == ns)
            forget(p);
    }
}

static struct persistent *find(const struct user_ns *ns, u32 uid) REQUIRES(keys_lock)
{
    struct persistent *p, *next, *found = NULL;
    list_for_each_safe(p, next, &all, node) {
        if (key_validate(p->ring) < 0)
            forget(p);
        else if (p->ns == ns && p->uid == uid)
            found = p;
    }
    return found;
}

static int make(struct user_ns *ns, u32 uid, struct persistent **ret) REQUIRES(keys_lock)
{
    char name[32];
    if (atomic_load(&nall) >= MAX_PERSISTENT)
        return -LX_EDQUOT;
    struct persistent *p = calloc(1, sizeof(*p));
    if (!p)
        return -LX_ENOMEM;
    snprintf(name, sizeof(name), "_persistent.%u", from_kuid(ns, uid));
    int r = key_new(KEY_TYPE_KEYRING, name, uid, UINT32_MAX,
                    POS(KEY_ALL & ~KEY_SETATTR) | USR(KEY_VIEW | KEY_READ), &p->ring);
    if (r < 0) {
        free(p);
        return r;
    }
    p->ns = ns;
    p->uid = uid;
    list_add_tail(&all, &p->node);
    atomic_fetch_add(&nall, 1);
    *ret = p;
    return 0;
}

s64 keys_get_persistent(struct task *t, u32 uid, s32 dest_id)
{
    struct user_ns *ns = t->cred->user_ns;
    struct key *dest;
    if (uid != t->cred->uid && uid != t->cred->euid && !ns_capable(ns, LX_CAP_SETUID))
        return -LX_EPERM;
    MUTEX_GUARD(&keys_lock);
    int r = keys_lookup_ring(t, dest_id, KEY_WRITE, &dest);
    if (r < 0)
        return r;
    struct persistent *p = find(ns, uid);
    r = p ? 0 : make(ns, uid, &p);
    if (r < 0)
        return r;
    struct key_ref ref = {p->ring, true};
    r = key_permits(&ref, t->cred, KEY_LINK);
    if (r == 0)
        r = keyring_link_new(dest, p->ring);
    if (r < 0)
        return r;
    p->ring->expiry_ns = clock_real_ns() + LIFE_NS;
    return p->ring->serial;
}
