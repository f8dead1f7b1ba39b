/* Handlers: other processes' memory, and barriers across threads. */
#include "abi/fs.h"
#include "kern/kill.h"
#include "kern/parts.h"
#include "mm/uio.h"
#include "sys/sys.h"

/* ---- process_vm_readv, process_vm_writev ------------------------------------------------------
 */

#define MAX_IOV 1024

enum vm_dir { VM_READ, VM_WRITE };

/* The process's space; ptrace's rule decides. */
static int find_space(struct task *t, s32 pid, struct mm **ret_mm)
{
    struct task *other = task_find(task_pid_ns(t), pid);
    if (!other)
        return -LX_ESRCH;
    int r = ptrace_may_access(other, true);
    struct mm *mm = r == 0 ? task_get_mm(other) : NULL;
    task_put(other);
    if (r < 0)
        return -LX_EPERM;
    if (!mm)
        return -LX_ESRCH;
    *ret_mm = mm;
    return 0;
}

/* Up to a bounce buffer's worth: bytes moved; short at a fault on either side. */
static s64 move_some(struct mm *mm, u64 addr, u64 size, struct uio *local, enum vm_dir dir)
{
    size_t room;
    char *buf = uio_bounce(&room);
    size_t n = MIN(size, room);
    n = MIN(n, local->left);
    if (dir == VM_READ) {
        n = mm_read(mm, addr, buf, n);
        return n ? uio_copy_to(local, buf, n) : -LX_EFAULT;
    }
    s64 got = uio_copy_from(local, buf, n);
    if (got <= 0)
        return got;
    size_t put = mm_write(mm, addr, buf, (size_t)got);
    uio_revert(local, (u64)got - put);
    return put ? (s64)put : -LX_EFAULT;
}

static s64 move_all(struct task *t, struct mm *mm, const u64 a[6], struct uio *local,
                    enum vm_dir dir)
{
    s64 done = 0, r = 0;
    for (u64 i = 0; i < a[4] && local->left && r >= 0; i++) {
        struct uio_seg seg;
        r = copy_in(&seg, uaddr(a[3] + i * sizeof(seg)), sizeof(seg));
        if (r == 0 && seg.size > INT64_MAX)
            r = -LX_EINVAL;
        while (r >= 0 && seg.size && local->left) {
            u64 want = MIN(seg.size, local->left);
            r = move_some(mm, seg.base, seg.size, local, dir);
            if (r <= 0)
                return done ? done : r;
            done += r;
            seg.base += (u64)r;
            seg.size -= (u64)r;
            if (parker_is_interrupted(&t->parker) && (u64)r < want)
                return done;
        }
    }
    return done ? done : r < 0 ? r : 0;
}

static s64 process_vm(struct task *t, const u64 a[6], enum vm_dir dir)
{
    struct uio local;
    struct mm *mm;
    if (a[5] || a[4] > MAX_IOV)
        return -LX_EINVAL;
    int e = uio_init_iovec(&local, uaddr(a[1]), a[2]);
    if (e < 0)
        return e;
    s64 r = 0;
    if (local.left && a[4]) {
        r = find_space(t, (s32)a[0], &mm);
        if (r == 0) {
            r = move_all(t, mm, a, &local, dir);
            mm_put(mm);
        }
    }
    uio_done(&local);
    return r;
}

s64 sys_process_vm_readv(struct task *t, const u64 a[6])
{
    return process_vm(t, a, VM_READ);
}

s64 sys_process_vm_writev(struct task *t, const u64 a[6])
{
    return process_vm(t, a, VM_WRITE);
}

/* ---- process_madvise --------------------------------------------------------------------------
 */

static int find_space_of_pidfd(int fd, struct mm **ret_mm)
{
    struct file *f cleanup(file_put_p) = fd_get(fd);
    struct pid *p = f ? pidfd_pid(f) : NULL;
    if (!p)
        return -LX_EBADF;
    rwlock_rdlock(&task_lock);
    struct task *other = p->task;
    if (other)
        task_get(other);
    rwlock_rdunlock(&task_lock);
    if (!other)
        return -LX_ESRCH;
    int r = ptrace_may_access(other, false);
    struct mm *mm = r == 0 ? task_get_mm(other) : NULL;
    task_put(other);
    if (r == 0 && !mm)
        r = -LX_ESRCH;
    if (r == 0)
        *ret_mm = mm;
    return r;
}

/* What one process may advise about another's memory: nothing that changes its contents. */
static bool is_remote_advice(int advice)
{
    return advice == LX_MADV_COLD || advice == LX_MADV_PAGEOUT || advice == LX_MADV_WILLNEED ||
           advice == LX_MADV_COLLAPSE;
}

static s64 advise_all(struct mm *mm, const struct uio *ranges, int advice)
{
    s64 done = 0;
    for (u32 i = 0; i < ranges->nsegs; i++) {
        const struct uio_seg *s = &ranges->segs[i];
        int r = mm_advise(mm, NULL, s->base, s->size, advice);
        if (r < 0)
            return done ? done : r;
        done += (s64)s->size;
    }
    return done;
}

s64 sys_process_madvise(struct task *t, const u64 a[6])
{
    struct uio ranges;
    struct mm *mm;
    int advice = (int)a[3];
    if (a[4])
        return -LX_EINVAL;
    int r = uio_init_iovec(&ranges, uaddr(a[1]), a[2]);
    if (r < 0)
        return r;
    s64 done = find_space_of_pidfd((int)a[0], &mm);
    if (done == 0) {
        if (mm != t->mm && !is_remote_advice(advice))
            done = -LX_EINVAL;
        else if (mm != t->mm && !vfs_capable(LX_CAP_SYS_NICE))
            done = -LX_EPERM;
        else
            done = advise_all(mm, &ranges, advice);
        mm_put(mm);
    }
    uio_done(&ranges);
    return done;
}

/* ---- membarrier ------------------------------------------------------------------------------ */

#define MB_GLOBAL            1U
#define MB_GLOBAL_EXPEDITED  2U
#define MB_REG_GLOBAL        4U
#define MB_PRIVATE           8U
#define MB_REG_PRIVATE       16U
#define MB_SYNC_CORE         32U
#define MB_REG_SYNC_CORE     64U
#define MB_RSEQ              128U
#define MB_REG_RSEQ          256U
#define MB_GET_REGISTRATIONS 512U
#define MB_SUPPORTED                                                                               \
    (MB_GLOBAL | MB_GLOBAL_EXPEDITED | MB_REG_GLOBAL | MB_PRIVATE | MB_REG_PRIVATE |               \
     MB_SYNC_CORE | MB_REG_SYNC_CORE | MB_GET_REGISTRATIONS)
#define MB_FLAG_CPU 1U /* of MB_RSEQ: on one cpu only */

/* The host makes the barrier in the stub, and keeps its own registrations beside ours. */
static s64 membarrier_register(struct mm *mm, u32 cmd)
{
    int r = aspace_membarrier(mm->as, (int)cmd, 0, 0);
    if (r == 0)
        atomic_fetch_or(&mm->membarrier, cmd);
    return r;
}

s64 sys_membarrier(struct task *t, const u64 a[6])
{
    u32 cmd = (u32)a[0], have = atomic_load(&t->mm->membarrier);
    u32 flags = (u32)a[1];
    if (flags & ~(cmd == MB_RSEQ ? MB_FLAG_CPU : 0) || cmd & (cmd - 1))
        return -LX_EINVAL;
    if ((cmd == MB_RSEQ || cmd == MB_REG_RSEQ) && !platform_has_rseq())
        return -LX_EINVAL;
    switch (cmd) {
    case 0:
        return MB_SUPPORTED | (platform_has_rseq() ? MB_RSEQ | MB_REG_RSEQ : 0);
    case MB_REG_GLOBAL:
    case MB_REG_PRIVATE:
    case MB_REG_SYNC_CORE:
    case MB_REG_RSEQ:
        return membarrier_register(t->mm, cmd);
    case MB_GET_REGISTRATIONS:
        return have;
    case MB_PRIVATE:
    case MB_SYNC_CORE:
        /* Registration for sync-core is of its own; each registers as the bit above it. */
        return have & (cmd << 1) ? aspace_membarrier(t->mm->as, (int)cmd, 0, 0) : -LX_EPERM;
    case MB_RSEQ:
        return have & MB_REG_RSEQ ? aspace_membarrier(t->mm->as, (int)cmd, flags, (s32)a[2])
                                  : -LX_EPERM;
    case MB_GLOBAL:
    case MB_GLOBAL_EXPEDITED:
        return aspace_membarrier(t->mm->as, (int)cmd, 0, 0);
    default:
        return -LX_EINVAL;
    }
}
