/*
 * System V shared memory.
 *
 * A segment is a memfd (shmem_object_new) behind a mappable of its own, which counts the
 * mappings (nattch). Removed while attached, it keeps its id (mode SHM_DEST, no
 * key) until the last mapping goes. A segment attached read-only is mapped from a
 * second, read-only descriptor of the memfd, so that the guest cannot make it writable.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "abi/mm.h"
#include "abi/sched.h"
#include "kern/ipc.h"
#include "kern/kern_int.h"
#include "vfs/file.h"

#define SHM_RDONLY     010000U
#define SHM_RND        020000U
#define SHM_REMAP      040000U
#define SHM_EXEC       0100000U
#define SHM_HUGETLB    04000U
#define SHM_DEST       01000U
#define SHM_LOCKED     02000U
#define SHM_LOCK       11
#define SHM_UNLOCK     12
#define SHM_STAT       13
#define SHM_INFO       14
#define SHM_STAT_ANY   15

struct shm {
    struct ipc_obj obj;       /* first; its lock guards all below */
    struct mappable map;      /* what VMAs refer to; each counts for obj */
    struct mappable *mem;     /* owned; immutable */
    u64 size;                 /* immutable */
    int ro_fd;                /* -1: not made yet */
    u64 nattch;
    s64 atime, dtime;
    s32 cpid, lpid;
};

struct lx_shmid_ds {
    struct lx_ipc_perm perm;
    u64 segsz;
    s64 atime, dtime, ctime;
    s32 cpid, lpid;
    u64 nattch, unused[2];
};
_Static_assert(sizeof(struct lx_shmid_ds) == 112, "shmid64_ds");

static struct shm *shm_of(struct ipc_obj *o)
{
    return container_of(o, struct shm, obj);
}

static struct shm *shm_of_map(struct mappable *m)
{
    return container_of(m, struct shm, map);
}

static u64 npages_of(u64 size)
{
    return (size + PAGE_SIZE - 1) / PAGE_SIZE;
}

void shm_free(struct ipc_obj *o)
{
    struct shm *s = shm_of(o);
    atomic_fetch_sub(&o->ns->shm_pages, npages_of(s->size));
    s->mem->ops->put(s->mem);
    if (s->ro_fd >= 0)
        close(s->ro_fd);
    free(s);
}

/* ---- the mappable ---------------------------------------------------------------------------- */

static int shm_host_fd(struct mappable *m, u64 offset, u64 size, bool is_writable_shared, int *ret_fd,
                       u64 *ret_offset)
{
    struct shm *s = shm_of_map(m);
    int r = s->mem->ops->host_fd(s->mem, offset, size, true, ret_fd, ret_offset);
    if (r < 0 || is_writable_shared)
        return r;
    MUTEX_GUARD(&s->obj.lock);
    if (s->ro_fd < 0) {
        int fd = vfs_host_reopen_ro(*ret_fd);
        if (fd < 0)
            return fd;
        s->ro_fd = fd;
    }
    *ret_fd = s->ro_fd;
    return 0;
}

static void shm_map_get(struct mappable *m)
{
    ref_get(&shm_of_map(m)->obj.ref);
}

static void shm_map_put(struct mappable *m)
{
    ipc_obj_put(&shm_of_map(m)->obj);
}

static void shm_map_describe(struct mappable *m, char *buf, size_t size, u64 *ret_dev, u64 *ret_ino)
{
    struct shm *s = shm_of_map(m);
    snprintf(buf, size, "/SYSV%08x (deleted)", (u32)s->obj.key);
    *ret_dev = 1;
    *ret_ino = (u64)s->obj.id;
}

static int shm_vma_opened(struct mappable *m, bool is_writable_shared)
{
    struct shm *s = shm_of_map(m);
    struct task *t = task_current();
    MUTEX_GUARD(&s->obj.lock);
    s->nattch++;
    s->atime = ipc_now();
    if (t)
        s->lpid = ipc_own_pid(t);
    return 0;
}

static void shm_vma_closed(struct mappable *m, bool is_writable_shared)
{
    struct shm *s = shm_of_map(m);
    struct task *t = task_current();
    mutex_lock(&s->obj.lock);
    bool is_last = --s->nattch == 0 && (s->obj.mode & SHM_DEST);
    s->dtime = ipc_now();
    if (t)
        s->lpid = ipc_own_pid(t);
    mutex_unlock(&s->obj.lock);
    if (is_last)
        (void)ipc_unlink(&s->obj); /* the mapping's own reference is still there */
}

static int shm_punch(struct mappable *m, u64 offset, u64 size)
{
    struct shm *s = shm_of_map(m);
    return s->mem->ops->punch ? s->mem->ops->punch(s->mem, offset, size) : -LX_EOPNOTSUPP;
}

static const struct mappable_ops shm_map_ops = {
    .host_fd = shm_host_fd,
    .get = shm_map_get,
    .put = shm_map_put,
    .describe = shm_map_describe,
    .vma_opened = shm_vma_opened,
    .vma_closed = shm_vma_closed,
    .punch = shm_punch,
};

/* ---- shmget ---------------------------------------------------------------------------------- */

static int shm_make(struct ipc_ns *ns, const struct ipc_get *g, struct ipc_obj **ret_o)
{
    u64 npages = npages_of(g->size);
    if (g->size < 1 || g->size > atomic_load(&sysctl_shmmax) || g->size > INT64_MAX - PAGE_SIZE)
        return -LX_EINVAL;
    if (atomic_load(&ns->shm_pages) + npages > atomic_load(&sysctl_shmall))
        return -LX_ENOSPC;
    if (g->flags & SHM_HUGETLB)
        return -LX_ENOMEM; /* the pool of huge pages is empty */
    struct shm *s = calloc(1, sizeof(*s));
    if (!s)
        return -LX_ENOMEM;
    int r = shmem_object_new(page_up(g->size), &s->mem);
    if (r < 0) {
        free(s);
        return r;
    }
    ipc_obj_init(&s->obj);
    s->map.ops = &shm_map_ops;
    s->size = g->size;
    s->ro_fd = -1;
    s->cpid = ipc_own_pid(task_current());
    atomic_fetch_add(&ns->shm_pages, npages);
    *ret_o = &s->obj;
    return 0;
}

static int shm_check(struct ipc_obj *o, const struct ipc_get *g)
{
    return shm_of(o)->size < g->size ? -LX_EINVAL : 0;
}

s64 shm_get_call(struct task *t, s32 key, u64 size, u32 flags)
{
    struct ipc_get g = {.ids = &ipc_ns_of(t)->shm,
                        .key = key,
                        .flags = flags,
                        .limit = (u64)atomic_load(&sysctl_shmmni),
                        .make = shm_make,
                        .check = shm_check,
                        .size = size};
    return ipc_get(t, &g);
}

/* ---- shmat, shmdt ---------------------------------------------------------------------------- */

static int decode_at(u64 *addr, u32 flags)
{
    if (*addr == 0)
        return flags & SHM_REMAP ? -LX_EINVAL : 0;
    if (*addr % PAGE_SIZE == 0)
        return 0;
    if (!(flags & SHM_RND))
        return -LX_EINVAL;
    *addr = page_down(*addr);
    return *addr == 0 && (flags & SHM_REMAP) ? -LX_EINVAL : 0;
}

s64 shm_at_call(struct task *t, s32 id, u64 addr, u32 flags)
{
    struct ipc_obj *o;
    s64 r = decode_at(&addr, flags);
    if (r < 0)
        return r;
    r = ipc_find(&ipc_ns_of(t)->shm, id, &o);
    if (r < 0)
        return r;
    bool is_ro = flags & SHM_RDONLY;
    u32 access = is_ro ? 0444 : 0666, prot = LX_PROT_READ | (is_ro ? 0 : LX_PROT_WRITE);
    if (flags & SHM_EXEC) {
        access |= 0111;
        prot |= LX_PROT_EXEC;
    }
    mutex_lock(&o->lock);
    r = ipc_permitted(t, o, access);
    mutex_unlock(&o->lock);
    if (r == 0) {
        struct mm_map_req req = {
            .addr = addr,
            .size = shm_of(o)->size,
            .prot = prot,
            .flags = LX_MAP_SHARED |
                     (!addr ? 0 : flags & SHM_REMAP ? LX_MAP_FIXED : LX_MAP_FIXED_NOREPLACE),
            .vma_flags = VMA_MAYREAD | VMA_MAYEXEC | (is_ro ? 0 : VMA_MAYWRITE),
            .obj = &shm_of(o)->map,
        };
        r = mm_map(t->mm, t->uctx, &req);
        if (r == -LX_EEXIST)
            r = -LX_EINVAL;
    }
    ipc_obj_put(o);
    return r;
}

/* The first mapping at or above `at` that belongs to the attachment at addr. */
static bool find_attached(struct mm *mm, u64 addr, u64 at, struct mappable *want, u64 *ret_start,
                          u64 *ret_end, struct mappable **ret_obj)
{
    MUTEX_GUARD(&mm->lock);
    for (struct vma *v = mm_find(mm, at); v; v = mm_next(v)) {
        if (!v->obj || v->obj->ops != &shm_map_ops || (want && v->obj != want))
            continue;
        if (v->start < addr || v->start - addr != v->offset)
            continue;
        *ret_start = v->start;
        *ret_end = v->end;
        *ret_obj = v->obj;
        return true;
    }
    return false;
}

s64 shm_dt_call(struct task *t, u64 addr)
{
    u64 at = addr, start, end, limit = UINT64_MAX;
    struct mappable *m, *want = NULL;
    s64 r = -LX_EINVAL;
    if (addr % PAGE_SIZE != 0)
        return r;
    while (at < limit && find_attached(t->mm, addr, at, want, &start, &end, &m)) {
        if (start >= limit)
            break;
        if (!want) {
            want = m;
            limit = addr + page_up(shm_of_map(m)->size);
        }
        r = mm_unmap(t->mm, NULL, start, end - start);
        if (r < 0)
            return r;
        at = end;
    }
    return r;
}

/* ---- shmctl ---------------------------------------------------------------------------------- */

static s64 shm_info_limits(struct task *t, uaddr_t buf)
{
    u64 info[9] = {atomic_load(&sysctl_shmmax), 1, (u64)atomic_load(&sysctl_shmmni),
                   (u64)atomic_load(&sysctl_shmmni), atomic_load(&sysctl_shmall)};
    int r = copy_out(buf, info, sizeof(info));
    return r < 0 ? r : MAX(ipc_highest(&ipc_ns_of(t)->shm), 0);
}

static s64 shm_info_usage(struct task *t, uaddr_t buf)
{
    struct ipc_ns *ns = ipc_ns_of(t);
    struct {
        s32 used_ids, pad;
        u64 tot, rss, swp, swap_attempts, swap_successes;
    } info = {.tot = atomic_load(&ns->shm_pages)};
    {
        MUTEX_GUARD(&ns->shm.lock);
        info.used_ids = (s32)ns->shm.count;
    }
    info.rss = info.tot;
    int r = copy_out(buf, &info, sizeof(info));
    return r < 0 ? r : MAX(ipc_highest(&ns->shm), 0);
}

static s64 shm_stat(struct task *t, struct ipc_obj *o, int cmd, uaddr_t buf)
{
    struct shm *s = shm_of(o);
    struct lx_shmid_ds ds = {.segsz = s->size};
    mutex_lock(&o->lock);
    int r = cmd == SHM_STAT_ANY ? 0 : ipc_permitted(t, o, 0444);
    ipc_fill_perm(t, o, &ds.perm);
    ds.atime = s->atime;
    ds.dtime = s->dtime;
    ds.ctime = o->ctime;
    s32 cpid = s->cpid, lpid = s->lpid;
    ds.nattch = s->nattch;
    mutex_unlock(&o->lock);
    if (r < 0)
        return r;
    ds.cpid = ipc_show_pid(t, cpid);
    ds.lpid = ipc_show_pid(t, lpid);
    r = put_user(ds, buf);
    return r < 0 ? r : cmd == LX_IPC_STAT ? 0 : o->id;
}

static s64 shm_remove(struct task *t, struct ipc_obj *o)
{
    mutex_lock(&o->lock);
    int r = ipc_may_control(t, o);
    bool is_idle = shm_of(o)->nattch == 0;
    if (r == 0)
        o->mode |= SHM_DEST;
    mutex_unlock(&o->lock);
    if (r < 0)
        return r;
    if (is_idle) {
        (void)ipc_unlink(o); /* false: somebody removed it at the same time */
    } else {
        MUTEX_GUARD(&o->ids->lock);
        o->key = LX_IPC_PRIVATE; /* cannot be found by key any more */
    }
    return 0;
}

static s64 shm_set(struct task *t, struct ipc_obj *o, uaddr_t buf)
{
    struct lx_shmid_ds ds;
    int r = get_user(ds, buf);
    if (r < 0)
        return r;
    MUTEX_GUARD(&o->lock);
    r = ipc_may_control(t, o);
    return r < 0 ? r : ipc_apply_perm(t, o, &ds.perm);
}

static s64 shm_lock(struct task *t, struct ipc_obj *o, int cmd)
{
    bool has_cap = ns_capable(ipc_ns_of(t)->user_ns, LX_CAP_IPC_LOCK);
    MUTEX_GUARD(&o->lock);
    if (!has_cap && t->cred->euid != o->uid && t->cred->euid != o->cuid)
        return -LX_EPERM;
    if (!has_cap && cmd == SHM_LOCK && task_rlimit(t, LX_RLIMIT_MEMLOCK) == 0)
        return -LX_EPERM;
    if (cmd == SHM_LOCK)
        o->mode |= SHM_LOCKED;
    else
        o->mode &= ~SHM_LOCKED;
    return 0;
}

s64 shm_ctl_call(struct task *t, s32 id, int cmd, uaddr_t buf)
{
    struct ipc_ids *ids = &ipc_ns_of(t)->shm;
    struct ipc_obj *o;
    if (cmd < 0 || id < 0)
        return -LX_EINVAL;
    if (cmd == LX_IPC_INFO)
        return shm_info_limits(t, buf);
    if (cmd == SHM_INFO)
        return shm_info_usage(t, buf);
    s64 r = cmd == SHM_STAT || cmd == SHM_STAT_ANY ? ipc_find_slot(ids, (u32)id, &o)
                                                   : ipc_find(ids, id, &o);
    if (r < 0)
        return r;
    switch (cmd) {
    case LX_IPC_STAT:
    case SHM_STAT:
    case SHM_STAT_ANY:
        r = shm_stat(t, o, cmd, buf);
        break;
    case LX_IPC_SET:
        r = shm_set(t, o, buf);
        break;
    case LX_IPC_RMID:
        r = shm_remove(t, o);
        break;
    case SHM_LOCK:
    case SHM_UNLOCK:
        r = shm_lock(t, o, cmd);
        break;
    default:
        r = -LX_EINVAL;
    }
    ipc_obj_put(o);
    return r;
}

bool shm_describe(struct ipc_ns *ns, u32 slot, struct shm_line *ret)
{
    struct ipc_obj *o;
    if (ipc_find_slot(&ns->shm, slot, &o) < 0)
        return false;
    struct shm *s = shm_of(o);
    mutex_lock(&o->lock);
    *ret = (struct shm_line){o->key, o->id,   s->cpid, s->lpid,  o->mode,   o->uid,   o->gid,
                             o->cuid, o->cgid, s->size, s->nattch, s->atime, s->dtime, o->ctime};
    mutex_unlock(&o->lock);
    ipc_obj_put(o);
    return true;
}
