/*
 * Address spaces: creation, fork, the helper's orders, and the end.
 *
 * An order list is written to the read-only order page and its number
 * published; the helper runs it and publishes the number in the result page. The
 * guest can forge results, and then it has lied to its own kernel about its own memory: results
 * are taken as that and no more. The one that could reach further, the pid of
 * a forked child, is checked: the process of that pid must be our child and
 * must show, at the read-only address of the process page, the unit that this
 * fork made.
 */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "abi/errno.h"
#include "abi/nr.h"
#include "base/log.h"
#include "host/futex.h"
#include "platform/internal.h"
#include "platform/patch.h"

#define SETTLE_TIMEOUT_NS (10 * NSEC_PER_SEC)

static s64 now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec;
}

/* Points the fast calls' sites at their answers, or at the trampoline. */
static void dispatch_update(struct aspace *as)
{
    u32 off = __atomic_load_n(&as->proc->fastpath_off, __ATOMIC_SEQ_CST);
    for (u32 i = 0; i < STUB_NR_FAST; i++) {
        bool is_fast = !off && (i == FAST_GETTID ? as->has_tids : as->has_ids);
        as->proc->dispatch[i] = is_fast ? platform_stub.fast[i] : platform_stub.trampoline;
    }
}

struct aspace *aspace_alloc(void)
{
    struct aspace *as = calloc(1, sizeof(*as));
    if (!as)
        return NULL;
    as->patches = patches_new();
    as->unit = as->patches ? arena_alloc() : 0;
    if (!as->unit) {
        patches_free(as->patches);
        free(as);
        return NULL;
    }
    u8 *p = arena_ptr(as->unit);
    as->proc = (struct stub_proc *)(void *)p;
    as->ord = (struct stub_orders *)(void *)(p + 0x1000);
    as->files = (struct stub_files *)(void *)(p + 0x2000);
    as->res = (struct stub_results *)(void *)(p + 0x3000);
    as->proc->unit = as->unit;
    as->pid = -1;
    as->pidfd = -1;
    as->helper_cpu = -1;
    as->efd = eventfd(0, EFD_CLOEXEC);
    if (as->efd < 0) {
        arena_free(as->unit);
        patches_free(as->patches);
        free(as);
        return NULL;
    }
    as->ord->efd = (u32)as->efd;
    size_t mask_size;
    const void *mask = wait_all_cpus(&mask_size);
    memcpy((void *)(uintptr_t)as->ord->cpu_mask, mask, MIN(mask_size, sizeof(as->ord->cpu_mask)));
    mutex_init(&as->settle_lock, "platform.settle");
    ref_init(&as->ref);
    mutex_init(&as->helper_lock, "platform.helper");
    mutex_init(&as->lock, "platform.aspace");
    list_init(&as->ctxs);
    dispatch_update(as);
    return as;
}

/* No process, or a dead one: reaps it and gives everything back. */
void aspace_free(struct aspace *as)
{
    if (as->pid > 0) {
        siginfo_t info;
        while (waitid(P_PID, (id_t)as->pid, &info, WEXITED | __WALL) < 0 && errno == EINTR)
            ;
    }
    if (as->pidfd >= 0)
        close(as->pidfd);
    close(as->efd);
    for (u32 i = 0; i < as->nslots && !as->is_quarantined; i++)
        arena_free(as->slots[i].unit);
    free(as->slots);
    free(as->spare);
    free(as->batch);
    patches_free(as->patches);
    if (!as->is_quarantined)
        arena_free(as->unit);
    free(as);
}

void aspace_get(struct aspace *as)
{
    ref_get(&as->ref);
}

void aspace_put(struct aspace *as)
{
    if (as && ref_put(&as->ref))
        reaper_abandon(as);
}

void aspace_kill(struct aspace *as)
{
    aspace_settle(as);
    if (as->pid > 0)
        kill(as->pid, SIGKILL); /* at worst our own zombie: the pid is ours until aspace_free */
}

bool aspace_is_dead(const struct aspace *as)
{
    return atomic_load(&as->is_dead);
}

int aspace_host_pid(const struct aspace *as)
{
    aspace_settle((struct aspace *)(uintptr_t)as);
    return as->pid;
}

u64 aspace_cpu_ns(const struct aspace *as)
{
    struct timespec ts;
    aspace_settle((struct aspace *)(uintptr_t)as);
    if (as->pid <= 0)
        return 0;
    clockid_t clock = (clockid_t)((~(u32)as->pid << 3) | 2); /* CPUCLOCK_SCHED of a process */
    if (clock_gettime(clock, &ts) < 0)
        return 0;
    return (u64)ts.tv_sec * NSEC_PER_SEC + (u64)ts.tv_nsec;
}

void aspace_vdso(const struct aspace *as, struct aspace_vdso *ret)
{
    (void)as;
    *ret = platform_vdso;
}

/* ---- orders
 * -------------------------------------------------------------------------------------- */

void order_set(struct aspace *as, u32 i, u32 kind, u32 flags, u64 nr, u64 a0, u64 a1, u64 a2,
               u64 a3, u64 a4, u64 a5)
{
    volatile struct stub_op *op = &as->ord->ops[i];
    op->kind = kind;
    op->flags = flags;
    op->nr = nr;
    op->args[0] = a0;
    op->args[1] = a1;
    op->args[2] = a2;
    op->args[3] = a3;
    op->args[4] = a4;
    op->args[5] = a5;
    as->res->value[i] = -LX_EIO;
}

/* Publishes the orders that order_set wrote. */
static u32 order_post(struct aspace *as, u32 count)
{
    as->ord->count = count;
    as->seq++;
    __atomic_store_n(&as->ord->seq, as->seq, __ATOMIC_SEQ_CST);
    return as->seq;
}

/*
 * The helper runs where we are: we sleep meanwhile, and a wake on the same core
 * costs a switch instead of an interrupt to another one.
 */
static void bind_helper(struct aspace *as) REQUIRES(as->helper_lock)
{
    int cpu = sched_getcpu();
    if (cpu < 0 || cpu == as->helper_cpu || cpu >= CPU_SETSIZE)
        return;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    if (sched_setaffinity(as->pid, sizeof(one), &one) == 0)
        as->helper_cpu = cpu;
}

void order_unbind(struct aspace *as, u32 i)
{
    order_set(as, i, OP_SYSCALL, 0, LX_NR_sched_setaffinity, 0, sizeof(as->ord->cpu_mask),
              STUB_ORDER + offsetof(struct stub_orders, cpu_mask), 0, 0, 0);
}

int order_run(struct aspace *as, u32 count, s64 *ret_values)
{
    aspace_settle(as);
    if (atomic_load(&as->is_dead))
        return -LX_ESRCH;
    /* The first one's process is still setting itself up, and does that beside us. */
    if (as->seq)
        bind_helper(as);
    for (u32 i = 0; i < count; i++)
        if (as->ord->ops[i].nr == LX_NR_sched_setaffinity && as->ord->ops[i].kind == OP_SYSCALL)
            as->helper_cpu = -1;
    order_post(as, count);
    host_futex_wake(&as->ord->seq, 1);
    u64 n;
    while (read(as->efd, &n, sizeof(n)) < 0 && errno == EINTR)
        ;
    if (atomic_load(&as->is_dead))
        return -LX_ESRCH;
    for (u32 i = 0; i < count; i++)
        ret_values[i] = as->res->value[i];
    return 0;
}

s64 helper_call(struct aspace *as, u64 nr, u64 a0, u64 a1, u64 a2, u64 a3, u64 a4, u64 a5)
{
    aspace_settle(as); /* before its order list may be written */
    MUTEX_GUARD(&as->helper_lock);
    queue_flush_locked(as);
    order_set(as, 0, OP_SYSCALL, 0, nr, a0, a1, a2, a3, a4, a5);
    s64 value;
    int r = order_run(as, 1, &value);
    return r < 0 ? r : value;
}

/* ---- creation
 * -------------------------------------------------------------------------------------- */

/* The process that the forged or honest number names is the child that this fork made. */
static bool is_our_child(const struct aspace *child, s64 pid)
{
    if (pid <= 1 || pid > INT32_MAX)
        return false;
    siginfo_t info;
    if (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT | __WALL) < 0)
        return false;
    u64 unit = 0;
    struct iovec local = {&unit, sizeof(unit)};
    struct iovec remote = {(void *)(uintptr_t)STUB_PROC, sizeof(unit)};
    return process_vm_readv((pid_t)pid, &local, 1, &remote, 1, 0) == sizeof(unit) &&
           unit == child->unit;
}

/* Waits until the child's helper has run its first list. False: there is no such child. */
static bool await_child(struct aspace *as)
{
    s64 give_up = now_ns() + SETTLE_TIMEOUT_NS;
    struct pollfd pfd = {as->efd, POLLIN, 0};
    while (poll(&pfd, 1, 200) <= 0) {
        siginfo_t info = {0};
        if (now_ns() > give_up ||
            waitid(P_PID, (id_t)as->claimed_pid, &info, WEXITED | WNOHANG | WNOWAIT | __WALL) < 0)
            return false;
        if (info.si_pid)
            break; /* it has died: before or after it attached, is_our_child will tell */
    }
    u64 n;
    if (poll(&pfd, 1, 0) > 0 && read(as->efd, &n, sizeof(n)) < 0)
        return false;
    return true;
}

static bool settle(struct aspace *as)
{
    if (as->claimed_pid <= 1 || as->claimed_pid > INT32_MAX || !await_child(as) ||
        !is_our_child(as, as->claimed_pid))
        return false;
    as->pid = (pid_t)as->claimed_pid;
    struct uctx *ctx = as->first_ctx;
    if (ctx) {
        s64 tid = as->res->value[as->first_count - 1];
        /* A forged tid must not make us touch another process's thread. */
        if (tid > 0 && tid <= INT32_MAX && syscall(SYS_tgkill, as->pid, tid, 0) == 0)
            ctx->tid = (pid_t)tid;
        else
            kill(as->pid, SIGKILL);
    }
    return reaper_watch(as) == 0;
}

void aspace_settle_slow(struct aspace *as)
{
    MUTEX_GUARD(&as->settle_lock);
    if (atomic_load(&as->is_settled))
        return;
    if (!settle(as)) {
        log_warn("platform: a forked stub (%ld) is not there; its process counts as killed",
                 (long)as->claimed_pid);
        if (as->pid > 0)
            kill(as->pid, SIGKILL);
        else
            as->is_quarantined = true;
        as->wait_status = SIGKILL;
        atomic_store(&as->is_dead, 1);
    }
    atomic_store_explicit(&as->is_settled, 1, memory_order_release);
}

/*
 * Forks `parent` into the half-built `child`, whose first order list of `count`
 * entries is already written, the last of them that of its thread, when it has one.
 * The child is only claimed to exist afterwards: aspace_settle makes sure.
 */
static int fork_into(struct aspace *parent, struct aspace *child, u32 count, struct uctx *ctx)
    REQUIRES(parent->helper_lock)
{
    MUTEX_GUARD(&child->helper_lock);
    order_post(child, count);
    s64 pid;
    int r;
    u32 mark;
    /* Only whom we believe is asked again: see below. */
    do {
        mark = reaper_mark();
        order_set(parent, 0, OP_FORK, 0, 0, FORK_FLAGS, (u64)arena_fd(), arena_offset(child->unit),
                  0, 0, 0);
        r = order_run(parent, 1, &pid);
    } while (r == 0 && pid == -LX_EAGAIN && atomic_load(&parent->nthreads) <= 1 &&
             reaper_wait_freed(mark));
    if (r < 0 || pid < 0) {
        /*
         * Nobody lies about this in a process whose only thread waits for us. Else there
         * may be a child after all, which would attach to the units at any time.
         */
        child->is_quarantined = atomic_load(&parent->nthreads) > 1;
        atomic_store(&child->is_dead, 1);
        atomic_store(&child->is_settled, 1);
        return r < 0 ? r : pid >= -4095 ? (int)pid : -LX_EAGAIN;
    }
    child->claimed_pid = pid;
    child->first_count = count;
    child->first_ctx = ctx;
    return 0;
}

static void set_pdeathsig_order(struct aspace *as, u32 i)
{
    order_set(as, i, OP_SYSCALL, 0, LX_NR_prctl, 1, SIGKILL, 0, 0, 0, 0);
}

int aspace_new_cold(struct aspace *z, struct aspace **ret_as)
{
    struct aspace *as = aspace_alloc();
    if (!as)
        return -LX_ENOMEM;
    int r;
    {
        aspace_settle(z); /* before its order list may be written */
        MUTEX_GUARD(&z->helper_lock);
        order_unbind(as, 0);
        set_pdeathsig_order(as, 1);
        r = fork_into(z, as, 2, NULL);
    }
    if (r < 0) {
        aspace_put(as);
        return r;
    }
    *ret_as = as;
    return 0;
}

/* Drops an aspace that never became a process. */
static void aspace_discard(struct aspace *as)
{
    atomic_store(&as->is_dead, 1);
    atomic_store(&as->is_settled, 1);
    aspace_put(as);
}

static void copy_proc_page(struct aspace *to, const struct aspace *from)
{
    u64 unit = to->unit;
    memcpy((void *)(uintptr_t)to->proc, (const void *)(uintptr_t)from->proc,
           sizeof(struct stub_proc));
    to->proc->unit = unit;
}

int aspace_fork(struct aspace *parent, struct uctx *caller, struct aspace **ret_as,
                struct uctx **ret_ctx)
{
    (void)uctx_regs(caller);
    window_flush(caller);
    struct aspace *as = aspace_alloc();
    if (!as)
        return -LX_ENOMEM;
    if (patches_copy(as->patches, parent->patches) < 0) {
        aspace_discard(as);
        return -LX_ENOMEM;
    }
    copy_proc_page(as, parent);
    as->has_gs = parent->has_gs;
    as->has_ids = parent->has_ids;
    as->has_tids = parent->has_tids;
    u32 slot;
    int r = slot_take(as, caller->slot, &slot);
    struct uctx *ctx = r == 0 ? uctx_alloc(as, slot) : NULL;
    if (!ctx) {
        aspace_discard(as);
        return -LX_ENOMEM;
    }
    aspace_settle(parent); /* before its order list may be written */
    MUTEX_GUARD(&parent->helper_lock);
    queue_flush_locked(parent);
    u32 n = 0;
    u64 base = slot_addr(slot);
    order_unbind(as, n++);
    set_pdeathsig_order(as, n++);
    order_set(as, n++, OP_SYSCALL, OP_STOP_ON_ERROR, LX_NR_mmap, base, SLOT_SHARED_SIZE,
              PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, (u64)arena_fd(),
              arena_offset(ctx->unit));
    /* Other threads' slots are of no use to the child. */
    u32 nslots = __atomic_load_n(&parent->nslots, __ATOMIC_RELAXED);
    if (slot > 0)
        order_set(as, n++, OP_SYSCALL, 0, LX_NR_munmap, STUB_SLOTS, base - STUB_SLOTS, 0, 0, 0, 0);
    if (slot + 1 < nslots)
        order_set(as, n++, OP_SYSCALL, 0, LX_NR_munmap, slot_addr(slot + 1),
                  (u64)(nslots - slot - 1) * STUB_SLOT_SIZE, 0, 0, 0, 0);
    ctx->ch->ctid = 1;
    order_set(as, n++, OP_THREAD, 0, 0, THREAD_FLAGS, base, OP_THREAD_CONTINUE,
              base + offsetof(struct stub_channel, ctid), 0, 0);
    as->slots[slot].is_mapped = true;
    r = fork_into(parent, as, n, ctx);
    if (r < 0) {
        uctx_free(ctx);
        aspace_put(as);
        return r;
    }
    ctx->regs = caller->regs;
    ctx->has_regs = true;
    ctx->is_dirty = true;
    ctx->is_syscall = caller->is_syscall;
    ctx->last_nr = caller->last_nr;
    spare_expect();
    *ret_as = as;
    *ret_ctx = ctx;
    return 0;
}

/* ---- identity
 * ---------------------------------------------------------------------------------------- */

void aspace_set_ids(struct aspace *as, const struct aspace_ids *ids)
{
    volatile struct stub_proc *p = as->proc;
    MUTEX_GUARD(&as->lock);
    p->pid = ids->pid;
    p->ppid = ids->ppid;
    p->uid = ids->uid;
    p->euid = ids->euid;
    p->gid = ids->gid;
    p->egid = ids->egid;
    p->pgid = ids->pgid;
    p->sid = ids->sid;
    as->has_ids = true;
    dispatch_update(as);
}

void aspace_fastpath_off(struct aspace *as, u32 reasons, bool is_off)
{
    if (is_off)
        __atomic_fetch_or(&as->proc->fastpath_off, reasons, __ATOMIC_SEQ_CST);
    else
        __atomic_fetch_and(&as->proc->fastpath_off, ~reasons, __ATOMIC_SEQ_CST);
    {
        MUTEX_GUARD(&as->lock);
        dispatch_update(as);
    }
    if (reasons & FASTPATH_OFF_TRACED)
        patches_set_off(as, is_off || atomic_load(&as->has_gs));
}

/* The process's threads have their ids in their channels: gettid may be answered there. */
void aspace_tids_known(struct aspace *as)
{
    MUTEX_GUARD(&as->lock);
    if (as->has_tids)
        return;
    as->has_tids = true;
    dispatch_update(as);
}
