/* Handlers: mmap and kin on the caller's own space. */
#include "abi/fs.h"
#include "sys/sys.h"

#define LX_MAP_DROPPABLE     8 /* a mapping type, since Linux 6.11 */
#define LX_READ_IMPLIES_EXEC 0x0400000U
#define LX_MLOCK2_FLAGS      LX_MLOCK_ONFAULT
#define LEGACY_MAP_MASK                                                                            \
    (LX_MAP_SHARED | LX_MAP_PRIVATE | LX_MAP_FIXED | LX_MAP_ANONYMOUS | LX_MAP_DENYWRITE |         \
     LX_MAP_EXECUTABLE | LX_MAP_UNINITIALIZED | LX_MAP_GROWSDOWN | LX_MAP_LOCKED |                 \
     LX_MAP_NORESERVE | LX_MAP_POPULATE | LX_MAP_NONBLOCK | LX_MAP_STACK | LX_MAP_HUGETLB |        \
     LX_MAP_32BIT | LX_MAP_HUGE_2MB | LX_MAP_HUGE_1GB)
#define DEV_ZERO MKDEV(1, 5)

/* ---- mmap ---------------------------------------------------------------------------------- */

/* No huge pages are set aside, so a well-formed request finds the pool empty. */
static int refuse_hugetlb(u32 flags)
{
    u32 shift = (flags >> LX_MAP_HUGE_SHIFT) & LX_MAP_HUGE_MASK;
    return shift == 0 || shift == 21 || shift == 30 ? -LX_ENOMEM : -LX_EINVAL;
}

/* What do_mmap checks of a file, in its order; fills the request. */
static int check_file(struct file *f, struct mm_map_req *q)
{
    u32 type = q->flags & LX_MAP_TYPE, may = VMA_MAY_ALL;
    if (type == LX_MAP_SHARED_VALIDATE && q->flags & ~(u32)(LEGACY_MAP_MASK | LX_MAP_TYPE))
        return -LX_EOPNOTSUPP;
    if (type == LX_MAP_SHARED || type == LX_MAP_SHARED_VALIDATE) {
        if (q->prot & LX_PROT_WRITE && !(f->mode & FMODE_WRITE))
            return -LX_EACCES;
        if (f->inode->flags & INODE_APPEND && f->mode & FMODE_WRITE)
            return -LX_EACCES;
        if (!(f->mode & FMODE_WRITE))
            may &= ~VMA_MAYWRITE;
    } else if (type != LX_MAP_PRIVATE) {
        return -LX_EINVAL;
    }
    if (!(f->mode & FMODE_READ))
        return -LX_EACCES;
    if (f->path.mnt && f->path.mnt->flags & LX_MS_NOEXEC) {
        if (q->prot & LX_PROT_EXEC)
            return -LX_EPERM;
        may &= ~VMA_MAYEXEC;
    }
    if (!f->ops->host_fd)
        return -LX_ENODEV;
    if (q->flags & LX_MAP_GROWSDOWN)
        return -LX_EINVAL;
    q->vma_flags |= may;
    return f->ops->mmap ? f->ops->mmap(f, q->prot, q->flags) : 0;
}

static bool is_dev_zero(const struct file *f)
{
    return (f->inode->mode & LX_S_IFMT) == LX_S_IFCHR && f->inode->rdev == DEV_ZERO;
}

static s64 map_file(struct task *t, struct mm_map_req *q, int fd)
{
    struct file *f cleanup(file_put_p) = fd_get(fd);
    if (!f)
        return -LX_EBADF;
    if (q->flags & LX_MAP_HUGETLB)
        return -LX_EINVAL;
    if (q->size == 0)
        return -LX_EINVAL;
    if (is_dev_zero(f) && f->mode & FMODE_READ) /* anonymous memory by its old name */
        return mm_map(t->mm, t->uctx, q);
    int r = check_file(f, q);
    if (r < 0)
        return r;
    if (t->personality & LX_READ_IMPLIES_EXEC && q->prot & LX_PROT_READ &&
        q->vma_flags & VMA_MAYEXEC)
        q->prot |= LX_PROT_EXEC;
    q->obj = &f->map;
    return mm_map(t->mm, t->uctx, q);
}

/* Droppable memory is never dropped here, which it need not be; a child finds it zeroed. */
static s64 map_droppable(struct task *t, struct mm_map_req *q)
{
    q->flags = (q->flags & ~(u32)LX_MAP_TYPE) | LX_MAP_PRIVATE | LX_MAP_NORESERVE;
    q->vma_flags |= VMA_DONTDUMP;
    s64 addr = mm_map(t->mm, NULL, q);
    if (addr < 0)
        return addr;
    int r = mm_advise(t->mm, NULL, (u64)addr, q->size, LX_MADV_WIPEONFORK);
    if (r == 0)
        return addr;
    int u = mm_unmap(t->mm, NULL, (u64)addr, q->size);
    (void)u; /* the first error is the one to tell */
    return r;
}

s64 sys_mmap(struct task *t, const u64 a[6])
{
    struct mm_map_req q = {.addr = a[0],
                           .size = a[1],
                           .prot = (u32)a[2] & VMA_PROT_MASK,
                           .flags = (u32)a[3],
                           .offset = a[5]};
    u32 type = q.flags & LX_MAP_TYPE;
    if (a[5] & ~PAGE_MASK)
        return -LX_EINVAL;
    if (!(q.flags & LX_MAP_ANONYMOUS))
        return map_file(t, &q, (int)a[4]);
    if (q.flags & LX_MAP_HUGETLB)
        return refuse_hugetlb(q.flags);
    if (t->personality & LX_READ_IMPLIES_EXEC && q.prot & LX_PROT_READ)
        q.prot |= LX_PROT_EXEC;
    if (type == LX_MAP_DROPPABLE)
        return map_droppable(t, &q);
    if (type != LX_MAP_PRIVATE && type != LX_MAP_SHARED)
        return -LX_EINVAL;
    return mm_map(t->mm, t->uctx, &q);
}

s64 sys_munmap(struct task *t, const u64 a[6])
{
    return mm_unmap(t->mm, t->uctx, a[0], a[1]);
}

static s64 protect(struct task *t, u64 addr, u64 size, u64 prot)
{
    if (prot > UINT32_MAX)
        return -LX_EINVAL;
    if (t->personality & LX_READ_IMPLIES_EXEC && prot & LX_PROT_READ)
        prot |= LX_PROT_EXEC;
    return mm_protect(t->mm, t->uctx, addr, size, (u32)prot);
}

s64 sys_mprotect(struct task *t, const u64 a[6])
{
    return protect(t, a[0], a[1], a[2]);
}

s64 sys_mremap(struct task *t, const u64 a[6])
{
    if (a[3] > UINT32_MAX)
        return -LX_EINVAL;
    return mm_remap(t->mm, a[0], a[1], a[2], (u32)a[3], a[4]);
}

s64 sys_brk(struct task *t, const u64 a[6])
{
    return (s64)mm_brk(t->mm, t->uctx, a[0]);
}

/* ---- protection keys: as on a machine without them ------------------------------------------ */

s64 sys_pkey_mprotect(struct task *t, const u64 a[6])
{
    return (int)a[3] == -1 ? protect(t, a[0], a[1], a[2]) : -LX_EINVAL;
}

s64 sys_pkey_alloc(struct task *t, const u64 a[6])
{
    return a[0] || a[1] & ~(u64)LX_PKEY_ACCESS_MASK ? -LX_EINVAL : -LX_ENOSPC;
}

s64 sys_pkey_free(struct task *t, const u64 a[6])
{
    return -LX_EINVAL;
}

/* ---- advice, sync, residency ---------------------------------------------------------------- */

s64 sys_madvise(struct task *t, const u64 a[6])
{
    int advice = (int)a[2];
    if (advice == LX_MADV_HWPOISON || advice == LX_MADV_SOFT_OFFLINE)
        return vfs_capable(LX_CAP_SYS_ADMIN) ? -LX_EINVAL : -LX_EPERM;
    return mm_advise(t->mm, t->uctx, a[0], a[1], advice);
}

s64 sys_msync(struct task *t, const u64 a[6])
{
    return mm_sync(t->mm, a[0], a[1], (int)a[2]);
}

s64 sys_mincore(struct task *t, const u64 a[6])
{
    u8 vec[2048];
    u64 addr = a[0], size = a[1];
    uaddr_t out = uaddr(a[2]);
    if (addr & ~PAGE_MASK)
        return -LX_EINVAL;
    if (addr > PLATFORM_MAX || size > PLATFORM_MAX - addr)
        return -LX_ENOMEM;
    u64 npages = page_up(size) / PAGE_SIZE;
    while (npages) {
        u64 n = MIN(npages, sizeof(vec));
        int r = mm_mincore(t->mm, addr, n * PAGE_SIZE, vec);
        if (r == 0)
            r = copy_out(out, vec, n);
        if (r < 0)
            return r;
        if (parker_is_interrupted(&t->parker) && npages > n)
            return -LX_EINTR; /* terabytes of reservation: do not outlive a kill */
        npages -= n;
        addr += n * PAGE_SIZE;
        out = uaddr_add(out, n);
    }
    return 0;
}

/* ---- locking and sealing --------------------------------------------------------------------- */

s64 sys_mlock(struct task *t, const u64 a[6])
{
    return mm_lock_range(t->mm, a[0], a[1], true, false);
}

s64 sys_mlock2(struct task *t, const u64 a[6])
{
    if (a[2] & ~(u64)LX_MLOCK2_FLAGS)
        return -LX_EINVAL;
    return mm_lock_range(t->mm, a[0], a[1], true, a[2] & LX_MLOCK_ONFAULT);
}

s64 sys_munlock(struct task *t, const u64 a[6])
{
    return mm_lock_range(t->mm, a[0], a[1], false, false);
}

s64 sys_mlockall(struct task *t, const u64 a[6])
{
    return (int)a[0] == 0 ? -LX_EINVAL : mm_lock_all(t->mm, (int)a[0]);
}

s64 sys_munlockall(struct task *t, const u64 a[6])
{
    return mm_lock_all(t->mm, 0);
}

s64 sys_mseal(struct task *t, const u64 a[6])
{
    return a[2] ? -LX_EINVAL : mm_seal(t->mm, a[0], a[1]);
}

/* ---- remap_file_pages: as Linux emulates it, by a new mapping ----------------------------------
 */

/* The shared mapping that holds all of [addr, addr + size): its object, referenced. */
static int find_shared(struct mm *mm, u64 addr, u64 size, struct mm_map_req *q)
{
    MUTEX_GUARD(&mm->lock);
    struct vma *v = mm_find(mm, addr);
    if (!v || v->start > addr || !v->obj || !(v->flags & VMA_SHARED) || size > v->end - addr)
        return -LX_EINVAL;
    q->prot = v->flags & VMA_PROT_MASK;
    q->vma_flags = v->flags & VMA_MAY_ALL;
    q->obj = v->obj;
    v->obj->ops->get(v->obj);
    return 0;
}

s64 sys_remap_file_pages(struct task *t, const u64 a[6])
{
    u64 start = page_down(a[0]), size = page_down(a[1]), end, pgoff = a[3];
    if (a[2] || size == 0 || add_overflows(start, size, &end) || pgoff > INT64_MAX >> PAGE_SHIFT ||
        pgoff + (size >> PAGE_SHIFT) < pgoff)
        return -LX_EINVAL;
    struct mm_map_req q = {.addr = start, .size = size, .offset = pgoff << PAGE_SHIFT};
    int r = find_shared(t->mm, start, size, &q);
    if (r < 0)
        return r;
    q.flags = LX_MAP_SHARED | LX_MAP_FIXED | LX_MAP_POPULATE | ((u32)a[4] & LX_MAP_NONBLOCK);
    s64 addr = mm_map(t->mm, t->uctx, &q);
    q.obj->ops->put(q.obj);
    return addr < 0 ? addr : 0;
}
