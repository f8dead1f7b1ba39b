/*
 * Handler: kcmp(2). What is compared is where the kernel's objects are, multiplied by an odd number
 * of this start, so that the answers order objects without telling addresses.
 */
#include <sys/random.h>

#include "fs/epoll.h"
#include "kern/parts.h"
#include "sys/sys.h"

enum {
    KCMP_FILE,
    KCMP_VM,
    KCMP_FILES,
    KCMP_FS,
    KCMP_SIGHAND,
    KCMP_IO,
    KCMP_SYSVSEM,
    KCMP_EPOLL_TFD
};

struct lx_kcmp_epoll_slot {
    u32 efd, tfd, toff;
};

static u64 scramble(const void *p)
{
    static _Atomic u64 factor;
    u64 f = atomic_load(&factor);
    if (f == 0) {
        u64 none = 0;
        if (getrandom(&f, sizeof(f), 0) != sizeof(f))
            f = 0x9e3779b97f4a7c15ULL;
        f |= 1;
        if (!atomic_compare_exchange_strong(&factor, &none, f))
            f = none;
    }
    return (u64)(uintptr_t)p * f;
}

/* 0: the same, 1: a before b, 2: b before a. */
static s64 compare(const void *a, const void *b)
{
    u64 x = scramble(a), y = scramble(b);
    return (x < y) | ((x > y) << 1);
}

static struct file *file_of(struct task *t, u64 fd)
{
    struct fdtable *files = fd <= INT32_MAX ? task_get_files(t) : NULL;
    struct file *f = files ? fdtable_get(files, (int)fd) : NULL;
    if (files)
        fdtable_put(files);
    return f;
}

static s64 compare_files(struct task *t1, struct task *t2, u64 fd1, u64 fd2)
{
    struct file *f1 cleanup(file_put_p) = file_of(t1, fd1);
    struct file *f2 cleanup(file_put_p) = file_of(t2, fd2);
    return f1 && f2 ? compare(f1, f2) : -LX_EBADF;
}

static s64 compare_watched(struct task *t1, struct task *t2, u64 fd1, u64 slot_addr)
{
    struct lx_kcmp_epoll_slot slot;
    if (copy_in(&slot, uaddr(slot_addr), sizeof(slot)) < 0)
        return -LX_EFAULT;
    struct file *f1 cleanup(file_put_p) = file_of(t1, fd1);
    struct file *ep cleanup(file_put_p) = f1 ? file_of(t2, slot.efd) : NULL;
    if (!ep)
        return -LX_EBADF;
    const void *watched;
    int r = epoll_watched(ep, (int)slot.tfd, slot.toff, &watched);
    return r < 0 ? r : compare(f1, watched);
}

#define COMPARE(get, put, t1, t2)                                                                  \
    ({                                                                                             \
        __auto_type x_ = get(t1);                                                                  \
        __auto_type y_ = get(t2);                                                                  \
        s64 r_ = compare(x_, y_);                                                                  \
        if (x_)                                                                                    \
            put(x_);                                                                               \
        if (y_)                                                                                    \
            put(y_);                                                                               \
        r_;                                                                                        \
    })

static s64 compare_tasks(struct task *t1, struct task *t2, int type, u64 idx1, u64 idx2)
{
    switch (type) {
    case KCMP_FILE:
        return compare_files(t1, t2, idx1, idx2);
    case KCMP_VM:
        return COMPARE(task_get_mm, mm_put, t1, t2);
    case KCMP_FILES:
        return COMPARE(task_get_files, fdtable_put, t1, t2);
    case KCMP_FS:
        return COMPARE(task_get_fs, fs_ctx_put, t1, t2);
    case KCMP_SIGHAND:
        return compare(t1->tg->sighand, t2->tg->sighand);
    case KCMP_IO:
        return 0; /* no task has an I/O context */
    case KCMP_SYSVSEM:
        return compare(t1->sem_undo, t2->sem_undo);
    case KCMP_EPOLL_TFD:
        return compare_watched(t1, t2, idx1, idx2);
    default:
        return -LX_EINVAL;
    }
}

s64 sys_kcmp(struct task *t, const u64 a[6])
{
    struct task *t1 = task_find(task_pid_ns(t), (s32)a[0]);
    struct task *t2 = task_find(task_pid_ns(t), (s32)a[1]);
    s64 r = t1 && t2 ? 0 : -LX_ESRCH;
    if (r == 0)
        r = ptrace_may_access(t1, false);
    if (r == 0)
        r = ptrace_may_access(t2, false);
    if (r == 0)
        r = compare_tasks(t1, t2, (int)a[2], a[3], a[4]);
    task_put(t1);
    task_put(t2);
    return r == -LX_EACCES ? -LX_EPERM : r;
}
