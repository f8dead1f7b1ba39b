/*
 * poll, ppoll, select, pselect6.
 *
 * Each call becomes a set of entries (file, wanted events). It is scanned once
 * without touching any queue, which answers most calls; only then are waiters
 * queued, and the set is scanned again after each wake. poll writes revents alone, and only where
 * the guest's memory does not hold the value already: the neighbouring events field is never written.
 */
#include "sys/pollset.h"

#include <stdlib.h>
#include <string.h>

#define EV_ALWAYS (WAIT_ERR | WAIT_HUP)
#define SMALL_SET 8

struct lx_pollfd {
    s32 fd;
    u16 events, revents;
};

/* ---- sets ---------------------------------------------------------------------------------- */

static u32 scan(struct poll_entry *e, u32 n)
{
    u32 nready = 0;
    for (u32 i = 0; i < n; i++) {
        if (e[i].file)
            e[i].got = vfs_poll(e[i].file) & e[i].want;
        nready += e[i].got != 0;
    }
    return nready;
}

/* Wakers may name one half of a pair (IN without RDNORM): both count. */
static u32 widen(u32 ev)
{
    if (ev & (WAIT_IN | WAIT_RDNORM))
        ev |= WAIT_IN | WAIT_RDNORM;
    if (ev & (WAIT_OUT | WAIT_WRNORM))
        ev |= WAIT_OUT | WAIT_WRNORM;
    return ev;
}

s64 pollset_wait(struct poll_entry *e, u32 n, s64 deadline_ns)
{
    u32 nready = scan(e, n);
    if (nready > 0)
        return nready;
    if (deadline_ns == 0) /* even without a wait, a pending signal interrupts */
        return parker_is_interrupted(parker_self()) ? -LX_ERESTARTSYS : 0;
    int r = 0;
    for (u32 i = 0; i < n; i++) {
        e[i].q = e[i].file ? vfs_pollq(e[i].file) : NULL;
        waiter_init_thread(&e[i].w, widen(e[i].want));
        if (e[i].q)
            waitq_add(e[i].q, &e[i].w);
    }
    while ((nready = scan(e, n)) == 0 && r == 0)
        r = park_interruptible(deadline_ns);
    for (u32 i = 0; i < n; i++) {
        if (e[i].q)
            waitq_del(e[i].q, &e[i].w);
    }
    if (nready > 0 || r == -LX_ETIMEDOUT)
        return nready;
    return r;
}

static void drop_files(struct poll_entry *e, u32 n)
{
    for (u32 i = 0; i < n; i++) {
        if (e[i].file)
            file_put(e[i].file);
    }
}

/* ---- deadlines and masks ------------------------------------------------------------------- */

int deadline_from_parts(s64 sec, s64 nsec, s64 *ret_deadline)
{
    s64 total;
    if (sec < 0 || nsec < 0 || nsec >= NSEC_PER_SEC)
        return -LX_EINVAL;
    if (sec == 0 && nsec == 0)
        *ret_deadline = 0;
    else if (__builtin_mul_overflow(sec, NSEC_PER_SEC, &total) ||
             __builtin_add_overflow(total, nsec, &total))
        *ret_deadline = NO_DEADLINE;
    else
        *ret_deadline = deadline_after_ns(total);
    return 0;
}

int deadline_from_timespec(uaddr_t ts, s64 *ret_deadline)
{
    struct lx_timespec v;
    if (ts.v == 0) {
        *ret_deadline = NO_DEADLINE;
        return 0;
    }
    if (get_user(v, ts) < 0)
        return -LX_EFAULT;
    return deadline_from_parts(v.tv_sec, v.tv_nsec, ret_deadline);
}

int mask_enter(struct task *t, uaddr_t mask, u64 size)
{
    sigset_lx set;
    if (mask.v == 0)
        return 0;
    if (size != sizeof(set))
        return -LX_EINVAL;
    if (get_user(set, mask) < 0)
        return -LX_EFAULT;
    signal_set_temporary_mask(t, set);
    return 0;
}

void mask_leave(struct task *t, s64 r)
{
    bool is_interrupted = r == -LX_EINTR || r == -LX_ERESTARTNOHAND || r == -LX_ERESTARTSYS;
    if (!t->has_saved_mask || is_interrupted)
        return;
    t->has_saved_mask = false;
    signal_set_blocked(t, t->saved_mask);
}

/* What is left until the deadline, never negative. */
static struct lx_timespec time_left(s64 deadline_ns)
{
    s64 left = deadline_ns - clock_mono_ns();
    left = MAX(left, (s64)0);
    return (struct lx_timespec){left / NSEC_PER_SEC, left % NSEC_PER_SEC};
}

/* ---- poll ---------------------------------------------------------------------------------- */

static int write_revents(uaddr_t to, const struct lx_pollfd *fds, const struct poll_entry *e, u32 n)
{
    for (u32 i = 0; i < n; i++) {
        u16 revents = (u16)e[i].got;
        uaddr_t at = uaddr_add(to, (u64)i * sizeof(*fds) + offsetof(struct lx_pollfd, revents));
        if (revents != fds[i].revents && put_user(revents, at) < 0)
            return -LX_EFAULT;
    }
    return 0;
}

static s64 poll_set(uaddr_t to, struct lx_pollfd *fds, struct poll_entry *e, u32 n, s64 deadline_ns)
{
    if (n > 0 && copy_in(fds, to, n * sizeof(*fds)) < 0)
        return -LX_EFAULT;
    for (u32 i = 0; i < n; i++) {
        e[i] = (struct poll_entry){.want = fds[i].events | EV_ALWAYS};
        if (fds[i].fd < 0)
            continue;
        e[i].file = fd_get(fds[i].fd);
        e[i].got = e[i].file ? 0 : WAIT_NVAL;
    }
    s64 r = pollset_wait(e, n, deadline_ns);
    if (r >= 0 && write_revents(to, fds, e, n) < 0)
        r = -LX_EFAULT;
    drop_files(e, n);
    return r;
}

static s64 do_poll(uaddr_t to, u64 nfds, s64 deadline_ns)
{
    struct lx_pollfd small_fds[SMALL_SET];
    struct poll_entry small[SMALL_SET];
    u32 n = (u32)nfds;
    if (n > vfs_current->rlimit_nofile)
        return -LX_EINVAL;
    if (n <= SMALL_SET)
        return poll_set(to, small_fds, small, n, deadline_ns);
    struct poll_entry *e = malloc((u64)n * sizeof(*e));
    struct lx_pollfd *fds = malloc((u64)n * sizeof(*fds));
    s64 r = e && fds ? poll_set(to, fds, e, n, deadline_ns) : -LX_ENOMEM;
    free(e);
    free(fds);
    return r;
}

static s64 poll_again(struct task *t, struct restart_block *rb)
{
    u64 args[3] = {rb->arg[0], rb->arg[1], rb->arg[2]};
    s64 r = do_poll(uaddr(args[0]), args[1], (s64)args[2]);
    return r == -LX_ERESTARTSYS ? task_set_restart(t, poll_again, args, 3) : r;
}

s64 sys_poll(struct task *t, const u64 a[6])
{
    s32 timeout_ms = (s32)a[2];
    s64 deadline = timeout_ms < 0    ? NO_DEADLINE
                   : timeout_ms == 0 ? 0
                                     : deadline_after_ns(timeout_ms * NSEC_PER_MSEC);
    u64 args[3] = {a[0], a[1], (u64)deadline};
    s64 r = do_poll(uaddr(a[0]), (u32)a[1], deadline);
    return r == -LX_ERESTARTSYS ? task_set_restart(t, poll_again, args, 3) : r;
}

/* ppoll and pselect6: the timeout is updated to what is left, unless it was zero or infinite. */
static s64 finish_timespec(uaddr_t ts, s64 deadline_ns, s64 r)
{
    if (r == -LX_ERESTARTSYS)
        r = -LX_ERESTARTNOHAND;
    if (ts.v == 0 || deadline_ns == 0)
        return r;
    struct lx_timespec left = time_left(deadline_ns);
    /* A timeout that cannot be written cannot be restarted with: no EFAULT, but no restart. */
    if (put_user(left, ts) < 0 && r == -LX_ERESTARTNOHAND)
        r = -LX_EINTR;
    return r;
}

s64 sys_ppoll(struct task *t, const u64 a[6])
{
    s64 deadline;
    int e = deadline_from_timespec(uaddr(a[2]), &deadline);
    if (e == 0)
        e = mask_enter(t, uaddr(a[3]), a[4]);
    if (e < 0)
        return e;
    s64 r = do_poll(uaddr(a[0]), (u32)a[1], deadline);
    r = finish_timespec(uaddr(a[2]), deadline, r);
    mask_leave(t, r);
    return r;
}

/* ---- select -------------------------------------------------------------------------------- */

#define SEL_IN  (WAIT_RDNORM | WAIT_RDBAND | WAIT_IN | WAIT_HUP | WAIT_ERR | WAIT_NVAL)
#define SEL_OUT (WAIT_WRBAND | WAIT_WRNORM | WAIT_OUT | WAIT_ERR | WAIT_NVAL)
#define SEL_EX  (WAIT_PRI | WAIT_NVAL)

struct fd_bits { /* three sets of nwords words */
    u64 *in, *out, *ex;
    u32 nwords;
};

static bool has_bit(const u64 *set, u32 i)
{
    return (set[i / 64] >> (i % 64)) & 1;
}

/* The files named in the sets. Value: how many; -LX_EBADF, -LX_ENOMEM. */
static s64 open_set(const struct fd_bits *b, u32 nfds, struct poll_entry *e, u32 *fds)
{
    u32 n = 0;
    for (u32 w = 0; w < b->nwords; w++) {
        for (u64 bits = b->in[w] | b->out[w] | b->ex[w]; bits; bits &= bits - 1) {
            u32 fd = w * 64 + (u32)__builtin_ctzll(bits);
            if (fd >= nfds)
                break;
            struct file *f = fd_get((int)fd);
            if (!f) {
                drop_files(e, n);
                return -LX_EBADF;
            }
            u32 want = (has_bit(b->in, fd) ? SEL_IN : 0) | (has_bit(b->out, fd) ? SEL_OUT : 0) |
                       (has_bit(b->ex, fd) ? SEL_EX : 0);
            e[n] = (struct poll_entry){.file = f, .want = want};
            fds[n++] = fd;
        }
    }
    return n;
}

static u32 fill_result(struct fd_bits *b, const struct poll_entry *e, const u32 *fds, u32 n)
{
    struct fd_bits was = *b;
    u32 count = 0;
    for (u32 i = 0; i < n; i++) {
        u32 w = fds[i] / 64;
        u64 bit = 1ULL << (fds[i] % 64);
        u64 *sets[3] = {was.in, was.out, was.ex};
        u32 masks[3] = {SEL_IN, SEL_OUT, SEL_EX};
        for (int s = 0; s < 3; s++) {
            if (!(sets[s][w] & bit))
                continue;
            if (e[i].got & masks[s])
                count++;
            else
                sets[s][w] &= ~bit;
        }
    }
    return count;
}

static int copy_bits(u64 *to, uaddr_t from, u64 size)
{
    if (from.v == 0)
        return 0;
    return copy_in(to, from, size);
}

static s64 select_bits(const u64 a[6], u32 nfds, struct fd_bits *b, s64 deadline_ns)
{
    u64 size = (u64)b->nwords * 8;
    u32 n = 0, *fds;
    if (copy_bits(b->in, uaddr(a[1]), size) < 0 || copy_bits(b->out, uaddr(a[2]), size) < 0 ||
        copy_bits(b->ex, uaddr(a[3]), size) < 0)
        return -LX_EFAULT;
    for (u32 w = 0; w < b->nwords; w++)
        n += (u32)__builtin_popcountll(b->in[w] | b->out[w] | b->ex[w]);
    struct poll_entry small[SMALL_SET], *e = small;
    u32 small_fds[SMALL_SET];
    fds = small_fds;
    void *mem = n > SMALL_SET ? malloc((u64)n * (sizeof(*e) + sizeof(*fds))) : NULL;
    if (n > SMALL_SET && !mem)
        return -LX_ENOMEM;
    if (mem) {
        e = mem;
        fds = (void *)(e + n);
    }
    s64 r = open_set(b, nfds, e, fds);
    if (r >= 0) {
        n = (u32)r;
        r = pollset_wait(e, n, deadline_ns);
        drop_files(e, n);
    }
    if (r >= 0) {
        r = fill_result(b, e, fds, n);
        if ((a[1] && copy_out(uaddr(a[1]), b->in, size) < 0) ||
            (a[2] && copy_out(uaddr(a[2]), b->out, size) < 0) ||
            (a[3] && copy_out(uaddr(a[3]), b->ex, size) < 0))
            r = -LX_EFAULT;
    }
    free(mem);
    return r;
}

static s64 do_select(const u64 a[6], s64 deadline_ns)
{
    u64 small[3 * 4];
    s32 n = (s32)a[0];
    if (n < 0)
        return -LX_EINVAL;
    u32 nfds = MIN((u32)n, fdtable_size(vfs_current->files)), nwords = (nfds + 63) / 64;
    u64 *mem = nwords > 4 ? calloc(3 * (u64)nwords, sizeof(u64)) : small;
    if (!mem)
        return -LX_ENOMEM;
    memset(mem, 0, 3 * (u64)nwords * sizeof(u64));
    struct fd_bits b = {mem, mem + nwords, mem + 2 * (u64)nwords, nwords};
    s64 r = select_bits(a, nfds, &b, deadline_ns);
    if (mem != small)
        free(mem);
    return r == -LX_ERESTARTSYS ? -LX_ERESTARTNOHAND : r;
}

s64 sys_select(struct task *t, const u64 a[6])
{
    struct lx_timeval tv;
    s64 deadline = NO_DEADLINE, sec;
    if (a[4]) {
        if (get_user(tv, uaddr(a[4])) < 0)
            return -LX_EFAULT;
        if (__builtin_add_overflow(tv.tv_sec, tv.tv_usec / 1000000, &sec))
            return -LX_EINVAL;
        int e = deadline_from_parts(sec, tv.tv_usec % 1000000 * NSEC_PER_USEC, &deadline);
        if (e < 0)
            return e;
    }
    s64 r = do_select(a, deadline);
    if (!a[4] || deadline == 0)
        return r;
    struct lx_timespec left = time_left(deadline);
    tv = (struct lx_timeval){left.tv_sec, left.tv_nsec / NSEC_PER_USEC};
    if (put_user(tv, uaddr(a[4])) < 0 && r == -LX_ERESTARTNOHAND)
        r = -LX_EINTR;
    return r;
}

s64 sys_pselect6(struct task *t, const u64 a[6])
{
    struct {
        u64 mask, size;
    } sig = {0, 0};
    s64 deadline;
    if (a[5] && get_user(sig, uaddr(a[5])) < 0)
        return -LX_EFAULT;
    int e = deadline_from_timespec(uaddr(a[4]), &deadline);
    if (e == 0)
        e = mask_enter(t, uaddr(sig.mask), sig.size);
    if (e < 0)
        return e;
    s64 r = finish_timespec(uaddr(a[4]), deadline, do_select(a, deadline));
    mask_leave(t, r);
    return r;
}
