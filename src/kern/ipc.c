/* System V IPC: namespaces, ids, keys, permissions. */
#include "kern/ipc.h"

#include <stdlib.h>
#include <string.h>

#include "abi/sched.h"
#include "fs/mqueue.h"
#include "kern/kern_int.h"

struct ipc_ns *root_ipc_ns;
_Atomic s64 sysctl_shmmni = 4096, sysctl_shm_rmid_forced, sysctl_msgmax = 8192, sysctl_msgmnb = 16384,
            sysctl_msgmni = 32000;
_Atomic u64 sysctl_shmmax = 18446744073692774399UL, sysctl_shmall = 18446744073692774399UL;
_Atomic s64 sysctl_sem[4] = {32000, 1024000000, 500, 32000};

/* ---- namespaces ----------------------------------------------------------------------------- */

static void ids_init(struct ipc_ids *ids, void (*free_obj)(struct ipc_obj *o))
{
    mutex_init(&ids->lock, "ipc_ids");
    ids->free_obj = free_obj;
}

int ipc_ns_new(struct user_ns *uns, struct ipc_ns **ret_ns)
{
    struct ipc_ns *ns = calloc(1, sizeof(*ns));
    if (!ns)
        return -LX_ENOMEM;
    ref_init(&ns->ref);
    ref_init(&ns->mem);
    ns->ino = root_ipc_ns ? ns_ino_alloc() : NS_INO_ROOT_IPC;
    ns->user_ns = uns;
    user_ns_get(uns);
    mutex_init(&ns->mq_lock, "ipc_mq");
    ids_init(&ns->shm, shm_free);
    ids_init(&ns->sem, sem_free);
    ids_init(&ns->msg, msg_free);
    *ret_ns = ns;
    return 0;
}

void ipc_ns_get(struct ipc_ns *ns)
{
    ref_get(&ns->ref);
}

static void ns_put_mem(struct ipc_ns *ns)
{
    if (!ref_put(&ns->mem))
        return;
    free(ns->shm.slots);
    free(ns->sem.slots);
    free(ns->msg.slots);
    user_ns_put(ns->user_ns);
    free(ns);
}

/* Nobody can find an object any more; one that is still mapped goes with its last mapping. */
static void ids_clear(struct ipc_ids *ids)
{
    for (u32 i = 0; i < IPC_MAX_IDS; i++) {
        struct ipc_obj *o;
        if (ipc_find_slot(ids, i, &o) < 0)
            continue;
        (void)ipc_unlink(o); /* false: its last mapping went at this moment */
        ipc_obj_put(o);
    }
}

void ipc_ns_put(struct ipc_ns *ns)
{
    if (!ns || !ref_put(&ns->ref))
        return;
    ids_clear(&ns->shm);
    ids_clear(&ns->sem);
    ids_clear(&ns->msg);
    mqueue_super_gone(take_ptr(ns->mq_sb));
    ns_put_mem(ns);
}

u64 ipc_ns_ino(const struct ipc_ns *ns)
{
    return ns->ino;
}

struct user_ns *ipc_ns_owner(const struct ipc_ns *ns)
{
    return ns->user_ns;
}

int ipc_init(void)
{
    ipc_mq_init();
    return ipc_ns_new(&root_user_ns, &root_ipc_ns);
}

/* ---- objects -------------------------------------------------------------------------------- */

s64 ipc_now(void)
{
    return clock_real_ns() / NSEC_PER_SEC;
}

s32 ipc_own_pid(struct task *t)
{
    return t->tg->pid->nr[0];
}

s32 ipc_show_pid(struct task *t, s32 pid)
{
    struct pid_ns *ns = task_pid_ns(t);
    if (ns == &root_pid_ns || pid == 0)
        return pid;
    struct pid *p = pid_find(&root_pid_ns, pid);
    s32 nr = p ? pid_nr_in(p, ns) : 0;
    if (p)
        pid_put(p);
    return nr;
}

void ipc_obj_init(struct ipc_obj *o)
{
    ref_init(&o->ref);
    mutex_init(&o->lock, "ipc_obj");
}

void ipc_obj_put(struct ipc_obj *o)
{
    if (!o || !ref_put(&o->ref))
        return;
    struct ipc_ns *ns = o->ns;
    o->ids->free_obj(o);
    ns_put_mem(ns);
}

int ipc_find_slot(struct ipc_ids *ids, u32 slot, struct ipc_obj **ret_o)
{
    MUTEX_GUARD(&ids->lock);
    if (slot >= ids->nslots || !ids->slots[slot])
        return -LX_EINVAL;
    *ret_o = ids->slots[slot];
    ref_get(&(*ret_o)->ref);
    return 0;
}

int ipc_find(struct ipc_ids *ids, s32 id, struct ipc_obj **ret_o)
{
    if (id < 0)
        return -LX_EINVAL;
    int r = ipc_find_slot(ids, (u32)id % IPC_MAX_IDS, ret_o);
    if (r == 0 && (*ret_o)->id != id) {
        ipc_obj_put(*ret_o);
        r = -LX_EINVAL;
    }
    return r;
}

s32 ipc_highest(struct ipc_ids *ids)
{
    MUTEX_GUARD(&ids->lock);
    s32 highest = -1;
    for (u32 i = 0; i < ids->nslots; i++)
        if (ids->slots[i])
            highest = (s32)i;
    return highest;
}

bool ipc_unlink(struct ipc_obj *o)
{
    struct ipc_ids *ids = o->ids;
    u32 slot = (u32)o->id % IPC_MAX_IDS;
    {
        MUTEX_GUARD(&ids->lock);
        if (slot >= ids->nslots || ids->slots[slot] != o)
            return false;
        ids->slots[slot] = NULL;
        ids->count--;
        o->key = LX_IPC_PRIVATE;
    }
    ipc_obj_put(o);
    return true;
}

/* ---- permissions ---------------------------------------------------------------------------- */

int ipc_permitted(struct task *t, const struct ipc_obj *o, u32 flags)
{
    const struct cred *c = t->cred;
    u32 wanted = (flags >> 6) | (flags >> 3) | flags, granted = o->mode;
    if (c->euid == o->cuid || c->euid == o->uid)
        granted >>= 6;
    else if (cred_in_group(c, o->cgid) || cred_in_group(c, o->gid))
        granted >>= 3;
    if ((wanted & ~granted & 7) && !ns_capable(ipc_ns_of(t)->user_ns, LX_CAP_IPC_OWNER))
        return -LX_EACCES;
    return 0;
}

int ipc_may_control(struct task *t, const struct ipc_obj *o)
{
    if (t->cred->euid == o->cuid || t->cred->euid == o->uid ||
        ns_capable(ipc_ns_of(t)->user_ns, LX_CAP_SYS_ADMIN))
        return 0;
    return -LX_EPERM;
}

void ipc_fill_perm(struct task *t, struct ipc_obj *o, struct lx_ipc_perm *ret)
{
    struct user_ns *ns = t->cred->user_ns;
    *ret = (struct lx_ipc_perm){
        .key = o->key,
        .uid = from_kuid(ns, o->uid),
        .gid = from_kgid(ns, o->gid),
        .cuid = from_kuid(ns, o->cuid),
        .cgid = from_kgid(ns, o->cgid),
        .mode = o->mode,
        .seq = (u16)((u32)o->id / IPC_MAX_IDS),
    };
}

int ipc_apply_perm(struct task *t, struct ipc_obj *o, const struct lx_ipc_perm *p)
{
    u32 uid = make_kuid(t->cred->user_ns, p->uid), gid = make_kgid(t->cred->user_ns, p->gid);
    if (uid == UINT32_MAX || gid == UINT32_MAX)
        return -LX_EINVAL;
    o->uid = uid;
    o->gid = gid;
    o->mode = (o->mode & ~0777U) | (p->mode & 0777);
    o->ctime = ipc_now();
    return 0;
}

/* ---- the get calls -------------------------------------------------------------------------- */

static int take_slot(struct ipc_ids *ids, u32 *ret_slot) REQUIRES(ids->lock)
{
    for (u32 i = 0; i < ids->nslots; i++) {
        if (!ids->slots[i]) {
            *ret_slot = i;
            return 0;
        }
    }
    u32 n = MAX(ids->nslots * 2, 16U);
    if (n > IPC_MAX_IDS)
        return -LX_ENOSPC;
    struct ipc_obj **p = realloc(ids->slots, n * sizeof(*p));
    if (!p)
        return -LX_ENOMEM;
    memset(p + ids->nslots, 0, (n - ids->nslots) * sizeof(*p));
    *ret_slot = ids->nslots;
    ids->slots = p;
    ids->nslots = n;
    return 0;
}

static s64 make_new(struct task *t, const struct ipc_get *g) REQUIRES(g->ids->lock)
{
    struct ipc_ids *ids = g->ids;
    struct ipc_obj *o;
    u32 slot;
    if (ids->count >= g->limit)
        return -LX_ENOSPC;
    int r = take_slot(ids, &slot);
    if (r == 0)
        r = g->make(ipc_ns_of(t), g, &o);
    if (r < 0)
        return r;
    o->ids = ids;
    o->ns = ipc_ns_of(t);
    ref_get(&o->ns->mem);
    o->id = (s32)(ids->seq * IPC_MAX_IDS + slot);
    ids->seq = (ids->seq + 1) % 65536;
    o->key = g->key;
    o->uid = o->cuid = t->cred->euid;
    o->gid = o->cgid = t->cred->egid;
    o->mode |= g->flags & 0777;
    o->ctime = ipc_now();
    ids->slots[slot] = o;
    ids->count++;
    return o->id;
}

s64 ipc_get(struct task *t, const struct ipc_get *g)
{
    struct ipc_ids *ids = g->ids;
    MUTEX_GUARD(&ids->lock);
    if (g->key == LX_IPC_PRIVATE)
        return make_new(t, g);
    for (u32 i = 0; i < ids->nslots; i++) {
        struct ipc_obj *o = ids->slots[i];
        if (!o || o->key != g->key)
            continue;
        if ((g->flags & (LX_IPC_CREAT | LX_IPC_EXCL)) == (LX_IPC_CREAT | LX_IPC_EXCL))
            return -LX_EEXIST;
        MUTEX_GUARD(&o->lock);
        int r = g->check(o, g);
        if (r == 0)
            r = ipc_permitted(t, o, g->flags);
        return r < 0 ? r : o->id;
    }
    return g->flags & LX_IPC_CREAT ? make_new(t, g) : -LX_ENOENT;
}
