/*
 * Application threads.
 *
 * A thread of the stub is always in one of two places: in the application, or
 * waiting in its channel for the Sentry. `state` says which; whoever moves it
 * wakes the other side if that sleeps. Everything in the channel may be forged
 * at any time: each word is read once, and a wrong one only misleads the guest
 * about itself.
 */
#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "abi/errno.h"
#include "abi/nr.h"
#include "base/log.h"
#include "base/spin.h"
#include "host/futex.h"
#include "platform/answer.h"
#include "platform/internal.h"
#include "platform/patch.h"

_Static_assert(sizeof(struct uregs) == sizeof(struct stub_regs), "one layout");

/* ---- slots
 * ------------------------------------------------------------------------------------------- */

/* True when the thread that last used the slot is gone. */
static bool is_slot_quiet(const struct slot *s)
{
    if (!s->unit)
        return true;
    const volatile struct stub_channel *ch = arena_ptr(s->unit);
    return ch->ctid == 0;
}

static int slot_grow(struct aspace *as, u32 want) REQUIRES(as->lock)
{
    if (want < as->nslots)
        return 0;
    if (want >= STUB_NR_SLOTS)
        return -LX_EAGAIN;
    struct slot *s = realloc(as->slots, (want + 1) * sizeof(*s));
    if (!s)
        return -LX_ENOMEM;
    memset(s + as->nslots, 0, (want + 1 - as->nslots) * sizeof(*s));
    as->slots = s;
    as->nslots = want + 1;
    return 0;
}

/* Takes slot `want`, or any free one when negative. */
int slot_take(struct aspace *as, s64 want, u32 *ret_slot)
{
    MUTEX_GUARD(&as->lock);
    u32 i;
    if (want >= 0) {
        i = (u32)want;
    } else {
        for (i = 0; i < as->nslots; i++)
            if (!as->slots[i].is_used && is_slot_quiet(&as->slots[i]))
                break;
    }
    int r = slot_grow(as, i);
    if (r < 0)
        return r;
    if (!as->slots[i].unit) {
        as->slots[i].unit = arena_alloc();
        if (!as->slots[i].unit)
            return -LX_EAGAIN;
    }
    as->slots[i].is_used = true;
    *ret_slot = i;
    return 0;
}

void slot_drop(struct aspace *as, u32 slot)
{
    MUTEX_GUARD(&as->lock);
    as->slots[slot].is_used = false;
}

/* ---- creation
 * ------------------------------------------------------------------------------------------ */

struct uctx *uctx_alloc(struct aspace *as, u32 slot)
{
    struct uctx *ctx = calloc(1, sizeof(*ctx));
    if (!ctx)
        return NULL;
    ctx->slot = slot;
    ctx->as = as;
    aspace_get(as);
    MUTEX_GUARD(&as->lock);
    ctx->unit = as->slots[slot].unit;
    u8 *p = arena_ptr(ctx->unit);
    memset(p, 0, PAGE_SIZE);
    ctx->ch = (struct stub_channel *)(void *)p;
    ctx->window = p + SLOT_WINDOW;
    ctx->ch->state = CH_SENTRY;
    ctx->ch->cpu = UINT32_MAX; /* none, until it hands over */
    ctx->credit = CREDIT_FIRST;
    ctx->stub_credit = 2;
    list_add_tail(&as->ctxs, &ctx->node);
    atomic_fetch_add(&as->nthreads, 1);
    return ctx;
}

int uctx_new(struct aspace *as, struct uctx *from, struct uctx **ret_ctx)
{
    struct uctx *spare = from ? NULL : spare_take(as);
    if (spare) {
        *ret_ctx = spare;
        return 0;
    }
    u32 slot;
    int r = slot_take(as, -1, &slot);
    if (r < 0)
        return r;
    struct uctx *ctx = uctx_alloc(as, slot);
    if (!ctx) {
        slot_drop(as, slot);
        return -LX_ENOMEM;
    }
    {
        aspace_settle(as); /* before its order list may be written */
        MUTEX_GUARD(&as->helper_lock);
        queue_flush_locked(as);
        u32 n = 0;
        u64 base = slot_addr(slot);
        if (!as->slots[slot].is_mapped) {
            order_set(as, n++, OP_SYSCALL, OP_STOP_ON_ERROR, LX_NR_mmap, base, STUB_SLOT_SIZE,
                      PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, (u64)-1, 0);
            order_set(as, n++, OP_SYSCALL, OP_STOP_ON_ERROR, LX_NR_mmap, base, SLOT_SHARED_SIZE,
                      PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, (u64)arena_fd(),
                      arena_offset(ctx->unit));
        }
        ctx->ch->ctid = 1;
        order_unbind(as, n++);
        order_set(as, n++, OP_THREAD, 0, 0, THREAD_FLAGS, base, OP_THREAD_BIRTH,
                  base + offsetof(struct stub_channel, ctid), 0, 0);
        s64 values[4];
        r = order_run(as, n, values);
        if (r == 0 && (values[n - 1] <= 0 || values[n - 1] > INT32_MAX))
            r = values[n - 1] < 0 && values[n - 1] >= -4095 ? (int)values[n - 1] : -LX_EAGAIN;
        if (r == -LX_EIO)
            r = -LX_ENOMEM; /* one of the maps before it was refused */
        if (r == 0) {
            as->slots[slot].is_mapped = true;
            ctx->tid = (pid_t)values[n - 1];
            /* A forged tid must not make us touch another process's thread. */
            if (syscall(SYS_tgkill, as->pid, ctx->tid, 0) < 0)
                r = -LX_EAGAIN;
        } else {
            ctx->ch->ctid = 0;
        }
    }
    if (r < 0) {
        uctx_free(ctx);
        return r;
    }
    if (from) {
        window_flush(from);
        ctx->regs = *uctx_regs(from);
        ctx->ch->arg = slot_addr(from->slot);
        (void)uctx_exchange(ctx, CMD_COPYX);
    } else {
        ctx->regs = (struct uregs){.cs = 0x33, .ss = 0x2b, .eflags = 0x202};
    }
    ctx->has_regs = true;
    ctx->is_dirty = true;
    *ret_ctx = ctx;
    return 0;
}

void uctx_free(struct uctx *ctx)
{
    if (!ctx)
        return;
    struct aspace *as = ctx->as;
    aspace_settle(as);
    queue_flush(as);
    queue_taken(ctx);
    {
        MUTEX_GUARD(&as->lock);
        list_del(&ctx->node);
    }
    atomic_fetch_sub(&as->nthreads, 1);
    if (ctx->tid && !atomic_load(&as->is_dead)) {
        ctx->ch->cmd = CMD_EXIT;
        __atomic_store_n(&ctx->ch->state, CH_APP, __ATOMIC_SEQ_CST);
        host_futex_wake(&ctx->ch->state, 1);
    }
    if (spin_for_us == &ctx->ch->spin)
        spin_for_us = NULL;
    slot_drop(as, ctx->slot);
    free(ctx);
    aspace_put(as);
}

struct aspace *uctx_aspace(const struct uctx *ctx)
{
    return ctx->as;
}

/* ---- running
 * ------------------------------------------------------------------------------------------- */

/* When the event came: a thread of ours that slept may have waited for a core, too. The stub's word
 * is the guest's: it moves nothing but its own spinning. */
static u64 event_time(const struct uctx *ctx)
{
    u64 now = __builtin_ia32_rdtsc(), posted = ctx->ch->posted;
    return ctx->nslept > 0 && posted != 0 && posted < now ? posted : now;
}

/*
 * Whether it pays for the application to spin for an answer is seen by what answers take, and so
 * also while it sleeps: a few calls that wait for a disk or another process do not end its spinning
 * for the short ones after them, each of which would cost twenty times as much.
 */
static void judge_answer(struct uctx *ctx, u32 limit)
{
    if (__builtin_ia32_rdtsc() - ctx->event_at < limit)
        ctx->stub_credit += ctx->stub_credit < 8;
    else
        ctx->stub_credit -= ctx->stub_credit > 0;
}

/* Gives the thread its command. */
static void hand_over(struct uctx *ctx, u32 cmd, u32 limit)
{
    volatile struct stub_channel *ch = ctx->ch;
    ch->cmd = cmd;
    if (cmd > CMD_NONE)
        ch->nwin = 0;
    ch->spin = ctx->credit > 0 && ctx->stub_credit > 0 ? limit : 0;
    __atomic_store_n(&ch->state, CH_APP, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&ch->is_app_waiting, __ATOMIC_SEQ_CST))
        host_futex_wake(&ch->state, 1);
}

static void await(struct uctx *ctx)
{
    wait_for_event(ctx);
    ctx->event_at = event_time(ctx);
    spin_for_us = &ctx->ch->spin;
}

bool uctx_exchange(struct uctx *ctx, u32 cmd)
{
    struct aspace *as = ctx->as;
    aspace_settle(as);
    if (atomic_load(&as->is_dead))
        return false;
    spin_for_us = NULL;
    u32 limit = wait_spin_cycles();
    judge_answer(ctx, limit);
    hand_over(ctx, cmd, limit);
    await(ctx);
    if (cmd > CMD_NONE)
        ctx->is_tramp = false; /* commands are obeyed in a signal frame */
    return !atomic_load(&as->is_dead);
}

/* ---- the gate: keeps everybody but one out of the application
 * ------------------------------------ */

static void gate_enter(struct uctx *ctx)
{
    struct aspace *as = ctx->as;
    for (;;) {
        atomic_store(&ctx->is_in_app, 1);
        if (likely(!__atomic_load_n(&as->gate, __ATOMIC_SEQ_CST)))
            return;
        atomic_store(&ctx->is_in_app, 0);
        host_futex_wait(&as->gate, 1, 10 * NSEC_PER_MSEC);
    }
}

/* Some thread runs application code: it is in the application and does not sleep in our futex. */
static bool is_anyone_inside(struct aspace *as, bool is_kicking)
{
    MUTEX_GUARD(&as->lock);
    bool is_inside = false;
    struct uctx *ctx;
    list_for_each (ctx, &as->ctxs, node) {
        if (!atomic_load(&ctx->is_in_app) || ctx->ch->is_in_futex)
            continue;
        is_inside = true;
        if (is_kicking)
            uctx_kick(ctx);
    }
    return is_inside;
}

bool app_gate_close(struct aspace *as, struct uctx *self)
{
    u32 open = 0;
    (void)self;
    if (!__atomic_compare_exchange_n(&as->gate, &open, 1, false, __ATOMIC_SEQ_CST,
                                     __ATOMIC_SEQ_CST))
        return false;
    for (int i = 0; i < 40; i++) {
        if (!is_anyone_inside(as, i == 0))
            return true;
        struct timespec ts = {0, 50000};
        nanosleep(&ts, NULL);
    }
    app_gate_open(as);
    return false;
}

void app_gate_open(struct aspace *as)
{
    __atomic_store_n(&as->gate, 0, __ATOMIC_SEQ_CST);
    host_futex_wake(&as->gate, INT32_MAX);
}

static u64 canonical_or_zero(u64 v)
{
    return v >= PLATFORM_MAX ? 0 : v;
}

/* Puts what the stub must restore into the channel; the command to give. */
static u32 prepare_resume(struct uctx *ctx)
{
    volatile struct stub_channel *ch = ctx->ch;
    struct patches *ps = ctx->as->patches;
    u32 cmd = CMD_NONE;
    if (ctx->is_dirty) {
        ctx->regs.fs_base = canonical_or_zero(ctx->regs.fs_base);
        ctx->regs.gs_base = canonical_or_zero(ctx->regs.gs_base);
        /* The trampoline finds its slot through %gs. This also drops a patch that this very
         * thread was to write. */
        if (unlikely(ctx->regs.gs_base) && !atomic_exchange(&ctx->as->has_gs, 1))
            patches_set_off(ctx->as, true);
    }
    ch->patch.is_set = 0;
    if (ctx->patch.is_set) {
        ctx->patch.is_set = 0;
        if (patches_is_live(ps, ctx->patch.thunk)) {
            memcpy((void *)(uintptr_t)&ch->patch, &ctx->patch, sizeof(ctx->patch));
            ch->patch.is_set = 1;
        }
    }
    /* The frame may resume in the middle of a site that has been rewritten since. */
    if (!ctx->is_tramp && !ctx->is_dirty) {
        u64 rip = ch->regs.rip;
        if (patches_to_host(ps, rip) != rip)
            uctx_regs_changed(ctx);
    }
    if (ctx->is_dirty) {
        struct uregs out = ctx->regs;
        out.rip = patches_to_host(ps, out.rip);
        memcpy((void *)(uintptr_t)&ch->regs, &out, sizeof(out));
        cmd = CMD_FULL;
    } else if (ctx->has_result) {
        ch->result = ctx->queue_err ? ctx->queue_err : ctx->result;
        cmd = CMD_RESULT;
    }
    u32 n = ctx->nmmcalls;
    if (n) {
        memcpy((void *)(uintptr_t)ch->mmcalls, ctx->mmcalls, n * sizeof(ctx->mmcalls[0]));
        ctx->nmmcalls = 0;
        queue_taken(ctx);
    }
    /* Not among the queued: those the helper may make; this is about the thread itself. */
    if (unlikely(ctx->rseq.nr) && n < STUB_MAX_MMCALLS) {
        memcpy((void *)(uintptr_t)&ch->mmcalls[n++], &ctx->rseq, sizeof(ctx->rseq));
        ctx->rseq.nr = 0;
    }
    ch->nmmcalls = n;
    for (u32 i = 0; i < ctx->nwin; i++) {
        ch->win[i].out_lo = ctx->win[i].out_lo;
        ch->win[i].out_hi = ctx->win[i].out_hi;
    }
    ch->nwin = ctx->nwin;
    ctx->nwin = 0;
    ctx->queue_err = 0;
    ctx->is_dirty = false;
    ctx->has_result = false;
    ctx->has_regs = false;
    return cmd;
}

/* A fault that our own rewriting caused. True: run the thread again. */
static bool repair_fault(struct uctx *ctx, struct uevent *ev)
{
    u64 rip = ctx->ch->regs.rip;
    int what = patches_fault(ctx->as->patches, ev->signo, rip);
    if (what == PATCH_FAULT_NONE)
        return false;
    struct uregs *r = uctx_regs(ctx);
    if (what == PATCH_FAULT_RETRY) {
        r->rip = rip - 1;
        ctx->is_dirty = true;
        return true;
    }
    *ev = (struct uevent){.kind = UEV_SYSCALL,
                          .nr = (u32)r->rax,
                          .args = {r->rdi, r->rsi, r->rdx, r->r10, r->r8, r->r9}};
    r->rip = rip + 2;
    r->orig_rax = ev->nr;
    r->rax = (u64)-LX_ENOSYS;
    r->rcx = r->rip;
    r->r11 = r->eflags;
    ctx->last_nr = ev->nr;
    ctx->is_syscall = true;
    ctx->is_dirty = true;
    return false;
}

/* Copies and checks the stub's description of the window. */
static void window_fetch(struct uctx *ctx)
{
    const volatile struct stub_channel *ch = ctx->ch;
    u32 n = ch->nwin;
    ctx->nwin = 0;
    for (u32 i = 0; i < n && i < STUB_MAX_WIN; i++) {
        struct stub_win w = {.addr = ch->win[i].addr,
                             .off = ch->win[i].off,
                             .in_size = ch->win[i].in_size,
                             .out_cap = ch->win[i].out_cap};
        if (w.off > SLOT_WINDOW_SIZE || w.in_size > SLOT_WINDOW_SIZE - w.off ||
            w.out_cap > SLOT_WINDOW_SIZE - w.off)
            return;
        ctx->win[ctx->nwin++] = w;
    }
}

/* True when there is nothing to tell and the thread must run on. */
static bool read_event(struct uctx *ctx, struct uevent *ev)
{
    const volatile struct stub_channel *ch = ctx->ch;
    u32 kind = ch->kind;
    ctx->is_syscall = false;
    ctx->nwin = 0;
    ctx->is_tramp = ch->is_tramp == 1;
    switch (kind) {
    case EV_SYSCALL:
    case EV_FUTEX:
        ev->kind = kind == EV_FUTEX ? UEV_FUTEX : UEV_SYSCALL;
        ev->nr = ctx->last_nr = ch->nr;
        for (int i = 0; i < 6; i++)
            ev->args[i] = ch->args[i];
        ctx->is_syscall = true;
        window_fetch(ctx);
        if (!ctx->is_tramp)
            patches_trapped(ctx, ch->regs.rip - 2, ev->nr);
        break;
    case EV_VSYSCALL:
        ev->kind = UEV_VSYSCALL;
        ev->nr = ctx->last_nr = ch->nr;
        if (ev->nr != LX_NR_time && ev->nr != LX_NR_gettimeofday && ev->nr != LX_NR_getcpu)
            ev->nr = LX_NR_getcpu; /* forged */
        for (int i = 0; i < 6; i++)
            ev->args[i] = ch->args[i];
        ctx->is_syscall = true;
        break;
    case EV_FAULT: {
        u32 signo = ch->fault_signo;
        ev->kind = UEV_FAULT;
        /* Only signals that a fault can be: the rest of the Sentry need not check. */
        ev->signo = signo == SIGBUS || signo == SIGILL || signo == SIGFPE || signo == SIGTRAP
                        ? (int)signo
                        : SIGSEGV;
        ev->code = (int)ch->fault_code;
        ev->addr = ch->fault_addr;
        ev->err = ch->fault_err;
        ev->trapno = (int)ch->fault_trapno;
        if (ev->signo == SIGILL || ev->signo == SIGTRAP)
            return repair_fault(ctx, ev);
        break;
    }
    default:
        ev->kind = UEV_KICK;
        break;
    }
    return false;
}

/* What the thread has come with. True: nothing to tell, it must run on. */
static bool take_event(struct uctx *ctx, bool is_alive, struct uevent *ret_ev)
{
    *ret_ev = (struct uevent){.kind = UEV_KICK};
    atomic_store(&ctx->is_in_app, 0);
    if (!is_alive) {
        ret_ev->kind = UEV_DEAD;
        ret_ev->wait_status = ctx->as->wait_status;
        ctx->is_syscall = false;
        return false;
    }
    if (read_event(ctx, ret_ev))
        return true; /* a kick meanwhile is still set, and ends the next round */
    atomic_store(&ctx->kick, 0);
    return false;
}

bool uctx_answer_begin(struct uctx *ctx)
{
    struct aspace *as = ctx->as;
    if (!atomic_load(&as->is_settled) || atomic_load(&as->is_dead) || !ctx->is_syscall ||
        ctx->is_dirty || ctx->nmmcalls || ctx->rseq.nr || ctx->patch.is_set)
        return false;
    atomic_store(&ctx->is_in_app, 1); /* from here on a kick goes to the stub, too */
    if (likely(!__atomic_load_n(&as->gate, __ATOMIC_SEQ_CST) && !atomic_load(&ctx->kick)))
        return true;
    atomic_store(&ctx->is_in_app, 0);
    return false;
}

void uctx_answer_cancel(struct uctx *ctx)
{
    atomic_store(&ctx->is_in_app, 0);
}

/* How long it took says nothing of what short calls take. */
void uctx_answer(struct uctx *ctx, s64 result)
{
    uctx_set_result(ctx, result);
    hand_over(ctx, prepare_resume(ctx), wait_spin_cycles());
}

void uctx_await(struct uctx *ctx, struct uevent *ret_ev)
{
    spin_for_us = NULL;
    await(ctx);
    if (take_event(ctx, !atomic_load(&ctx->as->is_dead), ret_ev))
        uctx_run(ctx, ret_ev);
}

void uctx_run(struct uctx *ctx, struct uevent *ret_ev)
{
    struct aspace *as = ctx->as;
    aspace_settle(as);
    for (;;) {
        *ret_ev = (struct uevent){.kind = UEV_KICK};
        gate_enter(ctx);
        if (atomic_exchange(&ctx->kick, 0) && !atomic_load(&as->is_dead)) {
            atomic_store(&ctx->is_in_app, 0);
            queue_flush(as);
            window_flush(ctx);
            ctx->is_syscall = false;
            return;
        }
        if (!take_event(ctx, uctx_exchange(ctx, prepare_resume(ctx)), ret_ev))
            return;
    }
}

/* Has the thread make the wait in ch->futex. -LX_EINTR: kicked, or the stub is gone. */
static long futex_exchange(struct uctx *ctx, u64 nr, s64 deadline_ns)
{
    volatile struct stub_channel *ch = ctx->ch;
    ch->futex.nr = nr;
    ch->futex.has_timeout = deadline_ns != INT64_MAX;
    ch->futex.timeout[0] = (u64)(deadline_ns < 0 ? 0 : deadline_ns) / NSEC_PER_SEC;
    ch->futex.timeout[1] = (u64)(deadline_ns < 0 ? 0 : deadline_ns) % NSEC_PER_SEC;
    ch->futex.result = -LX_EINTR;
    aspace_settle(ctx->as);
    atomic_store(&ctx->is_in_app, 1);
    long r = -LX_EINTR;
    if (!atomic_exchange(&ctx->kick, 0) && uctx_exchange(ctx, CMD_FUTEX))
        r = ch->futex.result;
    atomic_store(&ctx->is_in_app, 0);
    atomic_store(&ctx->kick, 0);
    return r;
}

long uctx_futex_wait(struct uctx *ctx, u64 uaddr, int op, u32 val, s64 deadline_ns, u32 bitset)
{
    volatile struct stub_channel *ch = ctx->ch;
    (void)uctx_regs(ctx);
    queue_flush(ctx->as);
    ch->futex.addr = uaddr;
    ch->futex.op = FUTEX_WAIT_BITSET | ((u32)op & (FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME));
    ch->futex.val = val;
    ch->futex.bitset = bitset;
    ch->futex.clock = 0;
    long r = futex_exchange(ctx, LX_NR_futex, deadline_ns);
    return r >= -4095 && r <= 0 ? r : -LX_EFAULT;
}

long uctx_futex_waitv(struct uctx *ctx, const struct lx_futex_waitv *waits, u32 count, int clock,
                      s64 deadline_ns)
{
    volatile struct stub_channel *ch = ctx->ch;
    if (count == 0 || count > LX_FUTEX_WAITV_MAX)
        return -LX_EINVAL;
    (void)uctx_regs(ctx);
    window_flush(ctx);
    queue_flush(ctx->as);
    memcpy(ctx->window, waits, count * sizeof(*waits));
    ch->futex.addr = slot_addr(ctx->slot) + SLOT_WINDOW;
    ch->futex.op = count;
    ch->futex.val = 0; /* flags */
    ch->futex.bitset = 0;
    ch->futex.clock = (u64)clock;
    long r = futex_exchange(ctx, LX_NR_futex_waitv, deadline_ns);
    return r >= -4095 && r < (long)count ? r : -LX_EFAULT;
}

/* ---- restartable sequences ----------------------------------------------------------------- */

bool platform_has_rseq(void)
{
    static _Atomic int has; /* 1: no, 2: yes */
    if (!atomic_load(&has)) {
        long r = syscall(SYS_rseq, NULL, 0, 0, 0); /* nothing that any host takes */
        atomic_store(&has, r < 0 && errno == ENOSYS ? 1 : 2);
    }
    return atomic_load(&has) == 2;
}

static struct stub_mmcall rseq_order(u64 addr, u32 flags, u32 sig)
{
    return (struct stub_mmcall){.nr = LX_NR_rseq, .args = {addr, LX_RSEQ_SIZE, flags, sig}};
}

void uctx_rseq(struct uctx *ctx, u64 addr, u32 flags, u32 sig)
{
    queue_flush(ctx->as); /* leaves room for one more */
    ctx->rseq = rseq_order(addr, flags, sig);
}

void uctx_rseq_end(struct uctx *ctx, u64 addr, u32 sig)
{
    volatile struct stub_channel *ch = ctx->ch;
    if (ctx->rseq.nr) { /* the host has not been told yet */
        ctx->rseq.nr = 0;
        return;
    }
    (void)uctx_regs(ctx);
    window_flush(ctx);
    queue_flush(ctx->as);
    struct stub_mmcall order = rseq_order(addr, LX_RSEQ_FLAG_UNREGISTER, sig);
    memcpy((void *)(uintptr_t)ch->mmcalls, &order, sizeof(order));
    ch->nmmcalls = 1;
    aspace_settle(ctx->as);
    (void)uctx_exchange(ctx, CMD_CALLS);
}

void uctx_set_result(struct uctx *ctx, s64 rax)
{
    ctx->result = rax;
    ctx->has_result = true;
    if (ctx->has_regs)
        ctx->regs.rax = (u64)rax;
}

struct uregs *uctx_regs(struct uctx *ctx)
{
    if (!ctx->has_regs) {
        memcpy(&ctx->regs, (const void *)(uintptr_t)&ctx->ch->regs, sizeof(ctx->regs));
        ctx->has_regs = true;
        if (ctx->is_syscall) {
            ctx->regs.orig_rax = ctx->last_nr;
            ctx->regs.rax = (u64)-LX_ENOSYS;
        } else {
            ctx->regs.orig_rax = (u64)-1;
        }
        if (ctx->has_result)
            ctx->regs.rax = (u64)ctx->result;
        patches_to_guest(ctx->as->patches, &ctx->regs);
    }
    return &ctx->regs;
}

void uctx_regs_changed(struct uctx *ctx)
{
    (void)uctx_regs(ctx);
    ctx->is_dirty = true;
}

/* ---- vector state
 * ----------------------------------------------------------------------------------------- */

int uctx_get_xstate(struct uctx *ctx, void *buf)
{
    (void)uctx_regs(ctx);
    window_flush(ctx); /* the state goes through the window too */
    if (!uctx_exchange(ctx, CMD_GETX))
        return -LX_ESRCH;
    u32 size = ctx->ch->xsize;
    u32 want = platform_xstate_size();
    memset(buf, 0, want);
    memcpy(buf, ctx->window, MIN(size, want));
    memset((u8 *)buf + 464, 0, 48); /* the host's own marks, and whatever the guest put there */
    return 0;
}

int uctx_set_xstate(struct uctx *ctx, const void *buf)
{
    (void)uctx_regs(ctx);
    window_flush(ctx);
    u32 size = platform_xstate_size();
    if (!buf)
        return uctx_exchange(ctx, CMD_INITX) ? 0 : -LX_ESRCH;
    memcpy(ctx->window, buf, size);
    /* Features that the host does not have would make it refuse the whole state. */
    u64 *header = (u64 *)(void *)(ctx->window + 512);
    header[0] &= platform_xcr0();
    memset(header + 1, 0, 56);
    u32 *mxcsr = (u32 *)(void *)(ctx->window + 24);
    *mxcsr &= 0xffff;
    return uctx_exchange(ctx, CMD_SETX) ? 0 : -LX_ESRCH;
}

/* ---- from other threads
 * ------------------------------------------------------------------------------------- */

void uctx_kick(struct uctx *ctx)
{
    atomic_store(&ctx->kick, 1);
    if (!atomic_load(&ctx->is_in_app) || !ctx->tid)
        return;
    syscall(SYS_tgkill, ctx->as->pid, ctx->tid, STUB_KICK_SIGNAL);
}

bool uctx_is_in_app(const struct uctx *ctx)
{
    return atomic_load_explicit(&((struct uctx *)(uintptr_t)ctx)->is_in_app, memory_order_relaxed);
}

bool uctx_is_in_futex(const struct uctx *ctx)
{
    return uctx_is_in_app(ctx) && ctx->ch->is_in_futex;
}

u64 uctx_cpu_ns(const struct uctx *ctx)
{
    if (atomic_load(&ctx->as->nthreads) <= 1)
        return aspace_cpu_ns(ctx->as);
    /* From now on threads publish it; what they say is bounded by what the process has used. */
    ctx->as->proc->is_timed = 1;
    u64 seen = ctx->ch->cpu_ns, total = aspace_cpu_ns(ctx->as);
    _Atomic u64 *best = &((struct uctx *)(uintptr_t)ctx)->cpu_ns;
    u64 old = atomic_load(best);
    if (seen > old && seen <= total)
        atomic_store(best, old = seen);
    return old;
}

int uctx_set_affinity(struct uctx *ctx, u64 cpu_mask)
{
    aspace_settle(ctx->as);
    if (!ctx->tid || syscall(SYS_tgkill, ctx->as->pid, ctx->tid, 0) < 0)
        return -LX_ESRCH;
    if (syscall(SYS_sched_setaffinity, ctx->tid, sizeof(cpu_mask), &cpu_mask) < 0)
        return -errno;
    return 0;
}

void uctx_set_tid(struct uctx *ctx, u32 tid)
{
    ctx->ch->tid = tid;
    if (tid)
        aspace_tids_known(ctx->as);
}
