/*
 * Rewriting of system-call sites.
 *
 * A site that has trapped a few times is rewritten to jump through the site
 * table to a thunk, which goes on to the trampoline. Forms:
 *
 *   A  b8 imm32 0f 05             mov $nr,%eax; syscall
 *   B  48 c7 c0 imm32 0f 05       mov $nr,%rax; syscall: only the mov is rewritten
 *   C  0f 05 + movable instructions of at least 5 bytes, which the thunk executes
 *
 * All become ff 24 25 abs32 (7 bytes) with the table at 0x6060xxxx. In form A
 * the bytes left at the old `syscall` are then 60 60, which is no instruction
 * in 64-bit mode: a jump to it is a SIGILL that event handling turns into the
 * call that was meant. In form C the place after the `syscall` is a return
 * address: registers that are restored into it are sent to the thunk's copy.
 *
 * Hazards and answers
 *   other threads inside the bytes: with one thread (the usual case, and then
 *     the thread itself writes, on its way out) there is none. With more, the helper
 *     writes forms A and B in steps, with a core-serialising membarrier between:
 *     int3 on the first byte, then the `syscall`, then the rest, then the first byte. A
 *     thread that meets the int3 is sent back to try again. Form C waits for a
 *     moment when no other thread is in the application.
 *   signal frames, ptrace, sigreturn: registers are translated both ways,
 *     to_guest and to_host below.
 *   debuggers: reads of memory return the original bytes; a write into a
 *     patched site restores it first; while traced there are no patches.
 *   code that changes: only mappings that were made executable, private and
 *     not writable from the start are touched, and any change of the mapping
 *     ends the patch.
 */
#include <linux/membarrier.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include "abi/errno.h"
#include "abi/nr.h"
#include "platform/internal.h"
#include "platform/patch.h"

#define HIT_SLOTS   256
#define HITS_TO_ACT 3
#define HITS_RETRY  64 /* after a failed try */
#define JUMP_SIZE   7
#define RETURN_PART 32 /* offset in a form C thunk of the copied instructions */
#define MAX_COPIED  14
#define MAX_RANGES  512

enum form { FORM_A = 1, FORM_B, FORM_C };

struct patch {
    u64 start; /* first rewritten byte */
    u8 form, len, ncopied;
    bool is_live;
    u8 orig[JUMP_SIZE + MAX_COPIED];
    u8 bytes[JUMP_SIZE + MAX_COPIED];
    u8 code[STUB_THUNK_STRIDE];
};

struct range {
    u64 start, end;
    u32 prot;
};

struct patches {
    struct mutex lock;
    struct patch *all; /* guarded by lock; index is the thunk's; never shrinks */
    u32 nall;
    u32 *live;            /* guarded by lock: indices of live ones by start */
    _Atomic u32 nlive;    /* changed under lock */
    struct range *ranges; /* guarded by lock, like their numbers: patchable text */
    u32 nranges, cap_ranges;
    bool is_off; /* guarded by lock */
    u64 hit_site[HIT_SLOTS];
    u32 hit_count[HIT_SLOTS];
};

struct patches *patches_new(void)
{
    struct patches *ps = calloc(1, sizeof(*ps));
    if (ps)
        mutex_init(&ps->lock, "platform.patches");
    return ps;
}

void patches_free(struct patches *ps)
{
    if (!ps)
        return;
    free(ps->all);
    free(ps->live);
    free(ps->ranges);
    free(ps);
}

int patches_copy(struct patches *to, struct patches *from)
{
    MUTEX_GUARD(&from->lock);
    if (from->nall) {
        to->all = malloc(from->nall * sizeof(*to->all));
        to->live = malloc(from->nall * sizeof(*to->live));
        if (!to->all || !to->live)
            return -LX_ENOMEM;
        memcpy(to->all, from->all, from->nall * sizeof(*to->all));
        memcpy(to->live, from->live, from->nlive * sizeof(*to->live));
    }
    to->nall = from->nall;
    to->nlive = from->nlive;
    if (from->nranges) {
        to->ranges = malloc(from->nranges * sizeof(*to->ranges));
        if (!to->ranges)
            return -LX_ENOMEM;
        memcpy(to->ranges, from->ranges, from->nranges * sizeof(*to->ranges));
    }
    to->nranges = to->cap_ranges = from->nranges;
    to->is_off = from->is_off;
    return 0;
}

/* ---- lookups ----------------------------------------------------------------------------------
 */

/* Position in live of the first patch that ends after addr. */
static u32 live_pos(const struct patches *ps, u64 addr)
{
    u32 lo = 0, hi = ps->nlive;
    while (lo < hi) {
        u32 mid = (lo + hi) / 2;
        const struct patch *p = &ps->all[ps->live[mid]];
        if (p->start + p->len <= addr)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static struct patch *live_at(const struct patches *ps, u64 addr)
{
    u32 pos = live_pos(ps, addr);
    if (pos == ps->nlive)
        return NULL;
    struct patch *p = &ps->all[ps->live[pos]];
    return p->start <= addr ? p : NULL;
}

/* Address of the `syscall` instruction. */
static u64 site_of(const struct patch *p)
{
    return p->start + (p->form == FORM_A ? 5 : p->form == FORM_B ? 7 : 0);
}

static u64 thunk_of(u32 index)
{
    return STUB_THUNKS + (u64)index * STUB_THUNK_STRIDE;
}

static u64 thunk_to_guest(const struct patches *ps, u64 addr)
{
    u32 index = (u32)((addr - STUB_THUNKS) / STUB_THUNK_STRIDE);
    if (index >= ps->nall)
        return addr;
    const struct patch *p = &ps->all[index];
    u64 off = addr - thunk_of(index);
    if (p->form == FORM_C && off >= RETURN_PART)
        return p->start + 2 + MIN(off - RETURN_PART, p->ncopied);
    return off == 0 ? p->start : site_of(p);
}

void patches_to_guest(struct patches *ps, struct uregs *r)
{
    if (!ps->nall)
        return;
    bool is_fast = r->rip >= platform_stub.fast_begin && r->rip < platform_stub.fast_end;
    bool is_rip = r->rip - STUB_THUNKS < STUB_THUNKS_SIZE;
    bool is_rcx = r->rcx - STUB_THUNKS < STUB_THUNKS_SIZE;
    if (!is_fast && !is_rip && !is_rcx)
        return;
    MUTEX_GUARD(&ps->lock);
    if (is_rcx)
        r->rcx = thunk_to_guest(ps, r->rcx);
    if (is_rip) {
        r->rip = thunk_to_guest(ps, r->rip);
    } else if (is_fast) {
        /* In the middle of an in-stub answer, which has done nothing yet: before the call. */
        const struct patch *p = live_at(ps, r->rcx - 1);
        if (!p)
            p = live_at(ps, r->rcx - 3); /* form B: the bytes before the `syscall` */
        r->rip = p ? p->start : r->rcx;
    }
}

u64 patches_to_host(struct patches *ps, u64 rip)
{
    if (likely(!atomic_load_explicit(&ps->nlive, memory_order_relaxed)))
        return rip;
    MUTEX_GUARD(&ps->lock);
    const struct patch *p = live_at(ps, rip);
    if (!p)
        return rip;
    u32 index = (u32)(p - ps->all);
    if (p->form == FORM_A && rip == p->start + 5)
        return thunk_of(index) + 5;
    if (p->form == FORM_C && rip >= p->start + 2 && rip < p->start + 2 + p->ncopied)
        return thunk_of(index) + RETURN_PART + (rip - p->start - 2);
    return rip;
}

int patches_fault(struct patches *ps, int signo, u64 rip)
{
    if (likely(!atomic_load_explicit(&ps->nlive, memory_order_relaxed)))
        return PATCH_FAULT_NONE;
    MUTEX_GUARD(&ps->lock);
    if (signo == 4 /* SIGILL */) {
        const struct patch *p = live_at(ps, rip);
        return p && p->form == FORM_A && rip == p->start + 5 ? PATCH_FAULT_SYSCALL
                                                             : PATCH_FAULT_NONE;
    }
    if (signo == 5 /* SIGTRAP */) {
        const struct patch *p = live_at(ps, rip - 1);
        return p && p->start == rip - 1 ? PATCH_FAULT_RETRY : PATCH_FAULT_NONE;
    }
    return PATCH_FAULT_NONE;
}

void patches_hide(struct patches *ps, u64 addr, u8 *buf, size_t size)
{
    if (likely(!atomic_load_explicit(&ps->nlive, memory_order_relaxed)))
        return;
    MUTEX_GUARD(&ps->lock);
    for (u32 pos = live_pos(ps, addr); pos < ps->nlive; pos++) {
        const struct patch *p = &ps->all[ps->live[pos]];
        if (p->start >= addr + size)
            break;
        for (u32 i = 0; i < p->len; i++)
            if (p->start + i >= addr && p->start + i < addr + size)
                buf[p->start + i - addr] = p->orig[i];
    }
}

/* ---- ranges ---------------------------------------------------------------------------------- */

/* Whether there is room for one more. */
static bool ranges_grow(struct patches *ps)
{
    if (ps->nranges < ps->cap_ranges)
        return true;
    u32 cap = MIN(MAX(2 * ps->cap_ranges, 8U), MAX_RANGES);
    struct range *ranges = ps->nranges < cap ? realloc(ps->ranges, cap * sizeof(*ranges)) : NULL;
    if (!ranges)
        return false;
    ps->ranges = ranges;
    ps->cap_ranges = cap;
    return true;
}

static void ranges_remove(struct patches *ps, u64 start, u64 end)
{
    bool has_room = ranges_grow(ps);
    for (u32 i = 0; i < ps->nranges;) {
        struct range *r = &ps->ranges[i];
        if (r->end <= start || r->start >= end) {
            i++;
        } else if (r->start < start && r->end > end && has_room) {
            memmove(r + 1, r, (ps->nranges - i) * sizeof(*r));
            ps->nranges++;
            r[0].end = start;
            r[1].start = end;
            return; /* ranges do not overlap: no other has a part in it */
        } else if (r->start < start) {
            r->end = start;
            i++;
        } else if (r->end > end) {
            r->start = end;
            i++;
        } else {
            memmove(r, r + 1, (ps->nranges - i - 1) * sizeof(*r));
            ps->nranges--;
        }
    }
}

static const struct range *range_at(const struct patches *ps, u64 start, u64 end)
{
    for (u32 i = 0; i < ps->nranges; i++)
        if (ps->ranges[i].start <= start && end <= ps->ranges[i].end)
            return &ps->ranges[i];
    return NULL;
}

void patches_mapped(struct patches *ps, u64 addr, u64 size, u32 prot, bool is_private)
{
    if (!(prot & PROT_EXEC) && !ps->nranges)
        return;
    MUTEX_GUARD(&ps->lock);
    ranges_remove(ps, addr, addr + size);
    for (u32 pos = live_pos(ps, addr); pos < ps->nlive;) {
        struct patch *p = &ps->all[ps->live[pos]];
        if (p->start >= addr + size)
            break;
        p->is_live = false;
        memmove(&ps->live[pos], &ps->live[pos + 1], (ps->nlive - pos - 1) * sizeof(u32));
        ps->nlive--;
    }
    if (is_private && (prot & (PROT_EXEC | PROT_WRITE | PROT_READ)) == (PROT_EXEC | PROT_READ) &&
        ranges_grow(ps))
        ps->ranges[ps->nranges++] = (struct range){addr, addr + size, prot};
}

/* ---- decoding ----------------------------------------------------------------------------------
 */

/*
 * Length of a movable instruction at p: one of a few that compilers put behind
 * a system call, without rip-relative operands, branches or stack effect. 0: not one.
 */
static u32 movable(const u8 *p, u32 room)
{
    u32 n = 0;
    if (room < 8)
        return 0;
    if ((p[n] & 0xf0) == 0x40)
        n++;
    u8 op = p[n++];
    u32 imm = 0;
    switch (op) {
    case 0x90:
        return n;
    case 0x3d: /* cmp $imm32,%eax */
        return n + 4;
    case 0x89: /* mov */
    case 0x8b:
    case 0x85: /* test */
    case 0x31: /* xor */
    case 0x33:
    case 0x39: /* cmp */
    case 0x3b:
        break;
    case 0x83:
        imm = 1;
        break;
    case 0x81:
        imm = 4;
        break;
    default:
        return 0;
    }
    u8 modrm = p[n++], mod = modrm >> 6, rm = modrm & 7;
    if (mod != 3) {
        if (mod == 0 && rm == 5)
            return 0;
        if (rm == 4) {
            u8 sib = p[n++];
            if (mod == 0 && (sib & 7) == 5)
                return 0;
        }
        n += mod == 1 ? 1 : mod == 2 ? 4 : 0;
    }
    n += imm;
    return n <= room ? n : 0;
}

/* Fills p from the bytes around the site; text[8] is the `syscall`. False when not rewritable. */
static bool decode(struct patch *p, const u8 *text, u32 after, u64 site, u64 nr)
{
    u32 imm;
    memcpy(&imm, text + 3 + 1, 4);
    bool is_rex = (text[2] & 0xf0) == 0x40;
    if (text[3] == 0xb8 && !is_rex && imm == nr) {
        p->form = FORM_A;
        p->start = site - 5;
        p->len = JUMP_SIZE;
        memcpy(p->orig, text + 3, p->len);
        return true;
    }
    if (text[1] == 0x48 && text[2] == 0xc7 && text[3] == 0xc0 && imm == nr && imm < 0x80000000U) {
        p->form = FORM_B;
        p->start = site - 7;
        p->len = JUMP_SIZE;
        memcpy(p->orig, text + 1, p->len);
        return true;
    }
    u32 n = 0;
    while (n < JUMP_SIZE - 2) {
        u32 one = movable(text + 10 + n, after > n ? after - n : 0);
        if (!one || n + one > MAX_COPIED)
            return false;
        n += one;
    }
    p->form = FORM_C;
    p->start = site;
    p->ncopied = (u8)n;
    p->len = (u8)(2 + n);
    memcpy(p->orig, text + 8, p->len);
    return true;
}

static int fast_call(u64 nr)
{
    switch (nr) {
    case LX_NR_getpid:
        return FAST_GETPID;
    case LX_NR_gettid:
        return FAST_GETTID;
    case LX_NR_getppid:
        return FAST_GETPPID;
    case LX_NR_getuid:
        return FAST_GETUID;
    case LX_NR_geteuid:
        return FAST_GETEUID;
    case LX_NR_getgid:
        return FAST_GETGID;
    case LX_NR_getegid:
        return FAST_GETEGID;
    }
    return -1;
}

/* The thunk's code and the bytes of the site. */
static void assemble(struct patch *p, u32 index, u64 nr)
{
    u8 *c = p->code;
    u64 ret = p->form == FORM_C ? thunk_of(index) + RETURN_PART : site_of(p) + 2;
    memset(c, 0xcc, sizeof(p->code));
    if (p->form != FORM_C) {
        memcpy(c, p->orig, p->form == FORM_A ? 5 : 7);
        c += p->form == FORM_A ? 5 : 7;
    }
    *c++ = 0x48; /* movabs $ret,%rcx */
    *c++ = 0xb9;
    memcpy(c, &ret, 8);
    c += 8;
    int fast = p->form == FORM_C ? -1 : fast_call(nr);
    if (fast >= 0) { /* jmp *dispatch */
        u32 at = STUB_PROC + (u32)offsetof(struct stub_proc, dispatch) + 8 * (u32)fast;
        *c++ = 0xff;
        *c++ = 0x24;
        *c++ = 0x25;
        memcpy(c, &at, 4);
    } else {
        u32 rel = (u32)(platform_stub.trampoline - (thunk_of(index) + (u64)(c - p->code) + 5));
        *c++ = 0xe9;
        memcpy(c, &rel, 4);
    }
    if (p->form == FORM_C) {
        u64 back = p->start + p->len;
        c = p->code + RETURN_PART;
        memcpy(c, p->orig + 2, p->ncopied);
        c += p->ncopied;
        *c++ = 0xff; /* jmp *0(%rip) */
        *c++ = 0x25;
        memset(c, 0, 4);
        memcpy(c + 4, &back, 8);
    }
    u32 table = STUB_SITES + index * 8;
    memset(p->bytes, 0x90, sizeof(p->bytes));
    p->bytes[0] = 0xff;
    p->bytes[1] = 0x24;
    p->bytes[2] = 0x25;
    memcpy(p->bytes + 3, &table, 4);
}

/* ---- writing ----------------------------------------------------------------------------------
 */

static u32 op_store1(struct aspace *as, u32 i, u64 addr, u8 value) REQUIRES(as->helper_lock)
{
    order_set(as, i, OP_STORE1, 0, 0, addr, value, 0, 0, 0, 0);
    return i + 1;
}

static u32 op_barrier(struct aspace *as, u32 i) REQUIRES(as->helper_lock)
{
    order_set(as, i, OP_SYSCALL, 0, LX_NR_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE, 0,
              0, 0, 0, 0);
    return i + 1;
}

/*
 * Writes `to` over the patch's bytes by the helper, in steps that any thread
 * may run into; the site must not be form C unless nobody can be inside.
 */
static bool write_by_helper(struct aspace *as, const struct patch *p, const u8 *to, u32 prot)
    REQUIRES(as->helper_lock)
{
    u64 page = page_down(p->start), size = page_up(p->start + p->len) - page;
    u32 n = 0;
    order_set(as, n++, OP_SYSCALL, 0, LX_NR_membarrier,
              MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE, 0, 0, 0, 0, 0);
    order_set(as, n++, OP_SYSCALL, OP_STOP_ON_ERROR, LX_NR_mprotect, page, size, 7, 0, 0, 0);
    n = op_store1(as, n, p->start, 0xcc);
    n = op_barrier(as, n);
    if (p->form == FORM_A) {
        /* The old syscall: 0f 05 → 60 05 → 60 60 (and back), never 0f 60, which would execute. */
        bool is_restore = to[5] == 0x0f;
        u32 first = is_restore ? 6 : 5;
        n = op_store1(as, n, p->start + first, to[first]);
        n = op_barrier(as, n);
        n = op_store1(as, n, p->start + 11 - first, to[11 - first]);
    }
    for (u32 i = 1; i < p->len; i++)
        if (p->form != FORM_A || i < 5)
            n = op_store1(as, n, p->start + i, to[i]);
    n = op_barrier(as, n);
    n = op_store1(as, n, p->start, to[0]);
    n = op_barrier(as, n);
    order_set(as, n++, OP_SYSCALL, 0, LX_NR_mprotect, page, size, prot, 0, 0, 0);
    s64 values[STUB_MAX_OPS];
    return order_run(as, n, values) == 0 && values[1] == 0;
}

static bool write_thunk(struct aspace *as, const struct patch *p, u32 index)
{
    u64 at = thunk_of(index);
    struct iovec local[2] = {{(void *)(uintptr_t)p->code, sizeof(p->code)}, {&at, 8}};
    struct iovec remote[2] = {{(void *)(uintptr_t)at, sizeof(p->code)},
                              {(void *)(uintptr_t)(STUB_SITES + (u64)index * 8), 8}};
    return process_vm_writev(as->pid, local, 2, remote, 2, 0) == (ssize_t)(sizeof(p->code) + 8);
}

static void live_insert(struct patches *ps, u32 index)
{
    struct patch *p = &ps->all[index];
    u32 pos = live_pos(ps, p->start);
    memmove(&ps->live[pos + 1], &ps->live[pos], (ps->nlive - pos) * sizeof(u32));
    ps->live[pos] = index;
    ps->nlive++;
    p->is_live = true;
}

static void live_remove(struct patches *ps, u32 index)
{
    for (u32 i = 0; i < ps->nlive; i++) {
        if (ps->live[i] != index)
            continue;
        memmove(&ps->live[i], &ps->live[i + 1], (ps->nlive - i - 1) * sizeof(u32));
        ps->nlive--;
        break;
    }
    ps->all[index].is_live = false;
}

static bool has_live(struct patches *ps, u64 start, u64 end)
{
    MUTEX_GUARD(&ps->lock);
    u32 pos = live_pos(ps, start);
    return pos < ps->nlive && ps->all[ps->live[pos]].start < end;
}

/* Restores every live patch that touches [start, end). */
void patches_undo(struct aspace *as, u64 start, u64 end)
{
    struct patches *ps = as->patches;
    if (!atomic_load(&ps->nlive) || !has_live(ps, start, end))
        return;
    aspace_settle(as); /* before its order list may be written */
    MUTEX_GUARD(&as->helper_lock);
    for (;;) {
        struct patch copy;
        u32 index, prot;
        {
            MUTEX_GUARD(&ps->lock);
            u32 pos = live_pos(ps, start);
            if (pos == ps->nlive || ps->all[ps->live[pos]].start >= end)
                return;
            index = ps->live[pos];
            copy = ps->all[index];
            const struct range *r = range_at(ps, copy.start, copy.start + copy.len);
            prot = r ? r->prot : PROT_READ | PROT_EXEC;
        }
        /* Still live while it is written, so that a thread on the int3 is sent back. */
        (void)write_by_helper(as, &copy, copy.orig, prot);
        MUTEX_GUARD(&ps->lock);
        if (index < ps->nall && ps->all[index].is_live)
            live_remove(ps, index);
    }
}

void patches_set_off(struct aspace *as, bool is_off)
{
    struct patches *ps = as->patches;
    {
        MUTEX_GUARD(&ps->lock);
        ps->is_off = is_off;
    }
    if (is_off)
        patches_undo(as, 0, UINT64_MAX);
}

/* ---- deciding ---------------------------------------------------------------------------------
 */

static bool is_patchable_nr(u64 nr)
{
    switch (nr) {
    case LX_NR_clone: /* these need the signal frame anyway */
    case LX_NR_fork:
    case LX_NR_vfork:
    case LX_NR_clone3:
    case LX_NR_execve:
    case LX_NR_execveat:
    case LX_NR_rt_sigreturn:
    case LX_NR_exit:
    case LX_NR_exit_group:
    case LX_NR_munmap: /* of the site's own text: not worth the thought */
        return nr == LX_NR_munmap;
    }
    return true;
}

/* Counts a trap at the site; true when it is time to rewrite it. */
static bool count_hit(struct patches *ps, u64 site)
{
    u32 i = (u32)((site * 0x9e3779b97f4a7c15UL) >> 56) % HIT_SLOTS;
    if (ps->hit_site[i] != site) {
        ps->hit_site[i] = site;
        ps->hit_count[i] = 0;
    }
    u32 n = ++ps->hit_count[i];
    return n == HITS_TO_ACT || (n > HITS_TO_ACT && n % HITS_RETRY == 0);
}

void patches_trapped(struct uctx *ctx, u64 site, u64 nr)
{
    struct aspace *as = ctx->as;
    struct patches *ps = as->patches;
    if (platform_cfg.is_patching_off || !is_patchable_nr(nr) || ps->is_off)
        return;
    struct patch p = {0};
    u32 prot, index;
    bool is_single = atomic_load(&as->nthreads) == 1;
    {
        MUTEX_GUARD(&ps->lock);
        if (ps->is_off || live_at(ps, site) || !count_hit(ps, site))
            return;
        const struct range *r = range_at(ps, site - 8, site + 18);
        if (!r || ps->nall >= STUB_NR_SLOTS)
            return;
        prot = r->prot;
    }
    u8 text[8 + 2 + 16];
    struct iovec local = {text, sizeof(text)};
    struct iovec remote = {(void *)(uintptr_t)(site - 8), sizeof(text)};
    if (process_vm_readv(as->pid, &local, 1, &remote, 1, 0) != sizeof(text) || text[8] != 0x0f ||
        text[9] != 0x05)
        return;
    if (!decode(&p, text, 16, site, nr))
        return;
    if (p.form == FORM_C && !is_single && !app_gate_close(as, ctx))
        return;
    bool is_registered = false;
    {
        MUTEX_GUARD(&ps->lock);
        u32 pos = live_pos(ps, p.start);
        bool is_free = pos == ps->nlive || ps->all[ps->live[pos]].start >= p.start + p.len;
        if (is_free && range_at(ps, p.start, p.start + p.len)) {
            index = ps->nall;
            struct patch *all = realloc(ps->all, (index + 1) * sizeof(*all));
            if (all)
                ps->all = all;
            u32 *live = realloc(ps->live, (index + 1) * sizeof(*live));
            if (live)
                ps->live = live;
            if (all && live) {
                assemble(&p, index, nr);
                ps->all[index] = p;
                ps->nall = index + 1;
                live_insert(ps, index);
                is_registered = true;
            }
        }
    }
    if (is_registered && is_single && p.start >= PLATFORM_MIN && !platform_cfg.is_helper_mm_only) {
        struct stub_patch *q = &ctx->patch;
        *q = (struct stub_patch){.is_set = 1,
                                 .thunk = index,
                                 .addr = p.start,
                                 .page = page_down(p.start),
                                 .size = page_up(p.start + p.len) - page_down(p.start),
                                 .len = p.len,
                                 .prot = prot};
        memcpy(q->bytes, p.bytes, MIN(sizeof(q->bytes), (size_t)p.len));
        memcpy(q->code, p.code, sizeof(q->code));
    } else if (is_registered) {
        aspace_settle(as); /* before its order list may be written */
        MUTEX_GUARD(&as->helper_lock);
        if (!write_thunk(as, &p, index) || !write_by_helper(as, &p, p.bytes, prot)) {
            MUTEX_GUARD(&ps->lock);
            if (ps->all[index].is_live)
                live_remove(ps, index);
        }
    }
    if (p.form == FORM_C && !is_single)
        app_gate_open(as);
}

bool patches_is_live(struct patches *ps, u32 index)
{
    MUTEX_GUARD(&ps->lock);
    return index < ps->nall && ps->all[index].is_live;
}
