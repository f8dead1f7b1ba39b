/*
 * futex(2): decoding, plain operations, robust lists. See futex.h for how these meet the
 * answers of the stub.
 *
 * An interrupted wait restarts as Linux's does: without a timeout by running the
 * call again, with one through restart_syscall(2) and its absolute deadline. A
 * relative wait that was sleeping in the stub has left no start time; when it
 * is interrupted and no handler runs, it begins anew: it may then last longer by what it
 * had waited already.
 */
#include "kern/futex.h"

#include "abi/time.h"
#include "kern/parts.h"
#include "kern/time.h"

#define ROBUST_LIST_LIMIT 2048

static bool is_private_op(u32 op)
{
    return op & LX_FUTEX_PRIVATE_FLAG;
}

/* ---- plain waits --------------------------------------------------------------------------- */

enum { WAIT_UADDR, WAIT_OP, WAIT_VAL, WAIT_DEADLINE, WAIT_BITSET, WAIT_NARGS };

static s64 wait_restart(struct task *t, struct restart_block *rb);

/* The answer to an interrupted wait: args as the restart block wants them. */
static s64 wait_interrupted(struct task *t, const u64 *args)
{
    if ((s64)args[WAIT_DEADLINE] == NO_DEADLINE)
        return -LX_ERESTARTSYS;
    return task_set_restart(t, wait_restart, args, WAIT_NARGS);
}

static s64 do_wait(struct task *t, const u64 *args)
{
    s64 r = uctx_futex_wait(t->uctx, args[WAIT_UADDR], (int)args[WAIT_OP], (u32)args[WAIT_VAL],
                            (s64)args[WAIT_DEADLINE], (u32)args[WAIT_BITSET]);
    return r == -LX_EINTR ? wait_interrupted(t, args) : r;
}

static s64 wait_restart(struct task *t, struct restart_block *rb)
{
    u64 args[WAIT_NARGS];
    for (int i = 0; i < WAIT_NARGS; i++)
        args[i] = rb->arg[i];
    return do_wait(t, args);
}

/* Checks a wait's arguments and fills the restart form. */
static int decode_wait(struct task *t, const u64 a[6], u64 *ret_args)
{
    u32 op = (u32)a[1], cmd = op & 0x7f;
    u32 bitset = cmd == LX_FUTEX_WAIT ? LX_FUTEX_BITSET_MATCH_ANY : (u32)a[5];
    s64 deadline = NO_DEADLINE;
    if (a[3]) {
        s64 ns;
        int r = copy_in_timespec(uaddr(a[3]), &ns);
        if (r < 0)
            return r;
        if (cmd == LX_FUTEX_WAIT)
            deadline = deadline_after_ns(ns);
        else
            deadline = op & LX_FUTEX_CLOCK_REALTIME ? ns : time_ns_mono_to_host(t, ns);
    }
    if (bitset == 0 || a[0] % 4 != 0)
        return -LX_EINVAL;
    ret_args[WAIT_UADDR] = a[0];
    ret_args[WAIT_OP] = LX_FUTEX_WAIT_BITSET | (op & (LX_FUTEX_PRIVATE_FLAG | LX_FUTEX_CLOCK_REALTIME));
    ret_args[WAIT_VAL] = (u32)a[2];
    ret_args[WAIT_DEADLINE] = (u64)deadline;
    ret_args[WAIT_BITSET] = bitset;
    return 0;
}

static s64 futex_wait(struct task *t, const u64 a[6])
{
    u64 args[WAIT_NARGS];
    int r = decode_wait(t, a, args);
    return r < 0 ? r : do_wait(t, args);
}

s64 futex_interrupted(struct task *t, const struct uevent *ev)
{
    u64 args[WAIT_NARGS];
    int r = decode_wait(t, ev->args, args);
    return r < 0 ? r : wait_interrupted(t, args);
}

/* ---- the call ------------------------------------------------------------------------------ */

/* Deadline of a PI operation; these take absolute times only. */
static int decode_pi_deadline(struct task *t, const u64 a[6], bool is_real,
                              struct futex_deadline *ret_dl)
{
    *ret_dl = (struct futex_deadline){NO_DEADLINE, false};
    if (!a[3])
        return 0;
    s64 ns;
    int r = copy_in_timespec(uaddr(a[3]), &ns);
    if (r < 0)
        return r;
    *ret_dl = (struct futex_deadline){is_real ? ns : time_ns_mono_to_host(t, ns), is_real};
    return 0;
}

static s64 pi_call(struct task *t, const u64 a[6])
{
    u32 op = (u32)a[1], cmd = op & 0x7f;
    bool is_private = is_private_op(op);
    struct futex_deadline dl;
    int r;
    if (a[0] % 4 != 0)
        return -LX_EINVAL;
    switch (cmd) {
    case LX_FUTEX_LOCK_PI:
    case LX_FUTEX_LOCK_PI2:
        r = decode_pi_deadline(t, a, cmd == LX_FUTEX_LOCK_PI || (op & LX_FUTEX_CLOCK_REALTIME), &dl);
        return r < 0 ? r : futex_lock_pi(t, a[0], is_private, dl);
    case LX_FUTEX_TRYLOCK_PI:
        return futex_trylock_pi(t, a[0], is_private);
    case LX_FUTEX_UNLOCK_PI:
        return futex_unlock_pi(t, a[0], is_private);
    case LX_FUTEX_WAIT_REQUEUE_PI:
        r = decode_pi_deadline(t, a, op & LX_FUTEX_CLOCK_REALTIME, &dl);
        return r < 0 ? r : futex_wait_requeue_pi(t, a[0], is_private, (u32)a[2], dl, a[4]);
    default:
        return futex_cmp_requeue_pi(t, a[0], is_private, (u32)a[2], (u32)a[3], a[4], (u32)a[5]);
    }
}

s64 futex_call(struct task *t, const u64 a[6])
{
    u32 op = (u32)a[1], cmd = op & 0x7f;
    if ((op & LX_FUTEX_CLOCK_REALTIME) && cmd != LX_FUTEX_WAIT_BITSET &&
        cmd != LX_FUTEX_WAIT_REQUEUE_PI && cmd != LX_FUTEX_LOCK_PI2)
        return -LX_ENOSYS;
    if (op & ~(0x7fU | LX_FUTEX_PRIVATE_FLAG | LX_FUTEX_CLOCK_REALTIME))
        return -LX_ENOSYS;
    switch (cmd) {
    case LX_FUTEX_WAIT:
    case LX_FUTEX_WAIT_BITSET:
        return futex_wait(t, a);
    case LX_FUTEX_WAKE:
    case LX_FUTEX_WAKE_BITSET:
        if (futex_pi_has_waiters(t, a[0], is_private_op(op)))
            return -LX_EINVAL;
        return aspace_futex(t->mm->as, a[0], (int)op, (u32)a[2], 0, 0, (u32)a[5]);
    case LX_FUTEX_REQUEUE:
    case LX_FUTEX_CMP_REQUEUE:
    case LX_FUTEX_WAKE_OP:
        return aspace_futex(t->mm->as, a[0], (int)op, (u32)a[2], (u32)a[3], a[4], (u32)a[5]);
    case LX_FUTEX_LOCK_PI:
    case LX_FUTEX_LOCK_PI2:
    case LX_FUTEX_TRYLOCK_PI:
    case LX_FUTEX_UNLOCK_PI:
    case LX_FUTEX_WAIT_REQUEUE_PI:
    case LX_FUTEX_CMP_REQUEUE_PI:
        return pi_call(t, a);
    default:
        return -LX_ENOSYS;
    }
}

/* ---- the calls of their own (Linux 6.7) ---------------------------------------------------- */

#define FUTEX2_SIZE_MASK 0x03U
#define FUTEX2_SIZE_U32  0x02U
#define FUTEX2_PRIVATE   0x80U

/* The flags of futex(2) for those of a futex2 call, or -LX_EINVAL: words of 32 bits, no NUMA words. */
static int decode_flags2(u32 flags)
{
    if ((flags & ~(FUTEX2_SIZE_MASK | FUTEX2_PRIVATE)) ||
        (flags & FUTEX2_SIZE_MASK) != FUTEX2_SIZE_U32)
        return -LX_EINVAL;
    return flags & FUTEX2_PRIVATE ? LX_FUTEX_PRIVATE_FLAG : 0;
}

/* The absolute time at ts, if any, as the host's clock of that number has it. */
static int deadline2(struct task *t, u64 ts, s32 clock, s64 *ret)
{
    *ret = NO_DEADLINE;
    if (!ts)
        return 0;
    if (clock != LX_CLOCK_REALTIME && clock != LX_CLOCK_MONOTONIC)
        return -LX_EINVAL;
    int r = copy_in_timespec(uaddr(ts), ret);
    if (r == 0 && clock == LX_CLOCK_MONOTONIC)
        *ret = time_ns_mono_to_host(t, *ret);
    return r;
}

s64 futex2_wake(struct task *t, u64 uaddr, u64 mask, s32 nr, u32 flags)
{
    int op = decode_flags2(flags);
    if (op < 0 || mask == 0 || mask > UINT32_MAX || uaddr % 4 != 0)
        return -LX_EINVAL;
    if (nr == 0)
        return 0; /* unlike FUTEX_WAKE, which wakes one */
    if (futex_pi_has_waiters(t, uaddr, op & LX_FUTEX_PRIVATE_FLAG))
        return -LX_EINVAL;
    return aspace_futex(t->mm->as, uaddr, LX_FUTEX_WAKE_BITSET | op, (u32)nr, 0, 0, (u32)mask);
}

s64 futex2_wait(struct task *t, const u64 a[6])
{
    int op = decode_flags2((u32)a[3]);
    s64 deadline;
    s32 clock = (s32)a[5];
    if (op < 0 || a[1] > UINT32_MAX || a[2] > UINT32_MAX)
        return -LX_EINVAL;
    s64 r = deadline2(t, a[4], clock, &deadline);
    if (r < 0)
        return r;
    if (a[4] && clock == LX_CLOCK_REALTIME)
        op |= LX_FUTEX_CLOCK_REALTIME;
    if (a[2] == 0 || a[0] % 4 != 0)
        return -LX_EINVAL;
    r = uctx_futex_wait(t->uctx, a[0], LX_FUTEX_WAIT_BITSET | op, (u32)a[1], deadline, (u32)a[2]);
    return r == -LX_EINTR ? -LX_ERESTARTSYS : r; /* made again as a whole: its time is absolute */
}

s64 futex2_requeue(struct task *t, uaddr_t waiters, u32 flags, s32 nr_wake, s32 nr_requeue)
{
    struct lx_futex_waitv w[2];
    int op[2];
    if (flags || !waiters.v)
        return -LX_EINVAL;
    if (copy_in(w, waiters, sizeof(w)) < 0)
        return -LX_EFAULT;
    for (int i = 0; i < 2; i++) {
        op[i] = decode_flags2(w[i].flags);
        if (op[i] < 0 || w[i].reserved || w[i].val > UINT32_MAX || w[i].uaddr % 4 != 0)
            return -LX_EINVAL;
    }
    if (nr_wake < 0 || nr_requeue < 0 || op[0] != op[1])
        return -LX_EINVAL; /* between private and shared words there is nothing to move */
    return aspace_futex(t->mm->as, w[0].uaddr, LX_FUTEX_CMP_REQUEUE | op[0], (u32)nr_wake,
                        (u32)nr_requeue, w[1].uaddr, (u32)w[0].val);
}

s64 futex2_waitv(struct task *t, const u64 a[6])
{
    struct lx_futex_waitv w[LX_FUTEX_WAITV_MAX];
    u64 count = (u32)a[1];
    s64 deadline;
    s32 clock = (s32)a[4];
    if ((u32)a[2] || count == 0 || count > ARRAY_SIZE(w) || !a[0])
        return -LX_EINVAL;
    s64 r = deadline2(t, a[3], clock, &deadline);
    if (r < 0)
        return r;
    if (copy_in(w, uaddr(a[0]), count * sizeof(w[0])) < 0)
        return -LX_EFAULT;
    for (u64 i = 0; i < count; i++) {
        if (decode_flags2(w[i].flags) < 0 || w[i].reserved || w[i].val > UINT32_MAX)
            return -LX_EINVAL;
    }
    r = uctx_futex_waitv(t->uctx, w, (u32)count, clock, deadline);
    return r == -LX_EINTR ? -LX_ERESTARTSYS : r;
}

/* ---- robust lists -------------------------------------------------------------------------- */

static bool read_u64(struct task *t, u64 addr, u64 *ret)
{
    return mm_read(t->mm, addr, ret, sizeof(*ret)) == sizeof(*ret);
}

static bool wake_one(struct task *t, u64 addr)
{
    return aspace_futex(t->mm->as, addr, LX_FUTEX_WAKE, 1, 0, 0, 0) >= 0;
}

/*
 * One lock of a dead thread: marks it and wakes a waiter. False: stop walking (a fault).
 * is_pending: the entry of list_op_pending, which may have been released already.
 */
static bool mark_dead(struct task *t, u64 addr, bool is_pi, bool is_pending)
{
    u32 tid = (u32)task_tid_in(t, task_pid_ns(t));
    u32 word;
    if (addr % 4 != 0 || mm_read(t->mm, addr, &word, sizeof(word)) != sizeof(word))
        return false;
    /* The owner may have written 0 and died before the wake: then wake one. */
    if (is_pending && !is_pi && word == 0) {
        return wake_one(t, addr);
    }
    for (;;) {
        if ((word & LX_FUTEX_TID_MASK) != tid)
            return true;
        u32 seen, dead = (word & LX_FUTEX_WAITERS) | LX_FUTEX_OWNER_DIED;
        if (aspace_cmpxchg_u32(t->mm->as, addr, word, dead, &seen) < 0)
            return false;
        if (seen == word)
            break;
        word = seen;
    }
    return is_pi || !(word & LX_FUTEX_WAITERS) || wake_one(t, addr);
}

/* Walks the list of set_robust_list(2). Everything in it is the guest's: bounded, and any fault ends it. */
static void walk_robust_list(struct task *t, u64 head)
{
    u64 h[3]; /* first entry, offset of the futex word from an entry, pending entry */
    if (mm_read(t->mm, head, h, sizeof(h)) != sizeof(h))
        return;
    u64 entry = h[0], offset = h[1], pending = h[2];
    for (int n = 0; (entry & ~1ULL) != head && n < ROBUST_LIST_LIMIT; n++) {
        /* the next pointer first: the entry may be freed once it is marked */
        u64 next;
        bool has_next = read_u64(t, entry & ~1ULL, &next);
        if ((entry & ~1ULL) != (pending & ~1ULL) &&
            !mark_dead(t, (entry & ~1ULL) + offset, entry & 1, false))
            return;
        if (!has_next)
            return;
        entry = next;
    }
    if (pending & ~1ULL)
        (void)mark_dead(t, (pending & ~1ULL) + offset, pending & 1, true); /* the last one */
}

void futex_exit_task(struct task *t)
{
    u64 head = t->robust_list;
    t->robust_list = 0;
    if (head && t->mm)
        walk_robust_list(t, head);
    futex_pi_exit(t);
}
