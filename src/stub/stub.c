/*
 * The stub's C: host signal handlers of an application thread. Freestanding,
 * general registers only, no writable data: everything lives in the slot, found from
 * the stack pointer, which is in the slot's alternate stack here.
 *
 * Nothing here is trusted by anybody: the application can jump anywhere in
 * this text and scribble over the slot, and harms only itself.
 */
#include "stub/layout.h"

typedef uint64_t u64;
typedef uint32_t u32;

#define NR_mmap           9
#define NR_rt_sigprocmask 14
#define NR_pread64        17
#define NR_mprotect       10
#define NR_sched_yield    24
#define NR_clone          56
#define NR_fork           57
#define NR_vfork          58
#define NR_exit           60
#define NR_arch_prctl     158
#define NR_clone3         435
#define NR_clock_gettime  228
#define NR_futex          202
#define SIG_SYS           31
#define VSYSCALL_PAGE     0xffffffffff600000UL
#ifdef UNSAFE_SUD
#define SYS_CODE 2 /* SYS_USER_DISPATCH */
#else
#define SYS_CODE 1 /* SYS_SECCOMP */
#endif
#define SIG_SEGV    11
#define SIG_BUS     7
#define ARCH_X86_64 0xc000003eU

struct siginfo {
    int signo, errno_, code, pad;
    union {
        u64 addr;
        struct {
            u64 call_addr;
            int syscall;
            u32 arch;
        } sys;
    };
};

/* struct sigcontext of x86-64, in the kernel's order. */
struct sigcontext {
    u64 r8, r9, r10, r11, r12, r13, r14, r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, eflags;
    uint16_t cs, gs, fs, ss;
    u64 err, trapno, oldmask, cr2;
    uint8_t *fpstate;
    u64 reserved[8];
};

struct ucontext {
    u64 flags;
    void *link;
    u64 stack[3];
    struct sigcontext mc;
    u64 sigmask;
};

long stub_syscall(long nr, ...);
void stub_handover(char *slot);
void stub_await(char *slot);
void stub_post(char *slot);
void stub_wait(char *slot);
void stub_handler(int signo, struct siginfo *info, struct ucontext *uc);
long stub_futex_wait(u64 uaddr, u64 op, u64 val, u64 timeout, u64 uaddr2, u64 val3, u32 *kick,
                     u64 nr);
u64 stub_copy(void *to, const void *from, u64 size);
u64 stub_copy_str(char *to, const char *from, u64 max);
int stub_probe(void *addr);
int stub_tramp(char *slot, u64 *f);
int stub_tramp_kick(char *slot, u64 *f);
extern const char stub_birth[], stub_text_end[], stub_demote[], stub_trampoline_gs[],
    stub_trampoline_slot[], tramp_exit[], tramp_exit_end[], stub_futex_wait_end[],
    stub_futex_wait_kicked[], stub_fast_begin[], stub_fast_end[], stub_copy_insn[],
    stub_copy_insn_end[], stub_copy_str_fault[], stub_copy_str_end[], stub_probe_insn[],
    stub_probe_fault[];

#define channel_of(slot) ((volatile struct stub_channel *)(slot))
#define private_of(slot) ((struct stub_private *)((slot) + SLOT_PRIVATE))

static inline u64 rdfsbase(void)
{
    u64 v;
    __asm__ volatile("rdfsbase %0" : "=r"(v));
    return v;
}

static inline u64 rdgsbase(void)
{
    u64 v;
    __asm__ volatile("rdgsbase %0" : "=r"(v));
    return v;
}

#define ARCH_SET_GS 0x1001
#define ARCH_SET_FS 0x1002

static int has_fsgsbase(void)
{
    return (int)((const volatile struct stub_const *)STUB_CONST)->has_fsgsbase;
}

static void copy_bytes(void *to, const void *from, u64 size)
{
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(size) : : "memory");
}

/* As the host's vDSO does it where there is no RDPID: the limit of a segment of the host's own. */
static u32 which_cpu(void)
{
    u32 limit = 0;
    __asm__ volatile("lsl %1, %0" : "+r"(limit) : "r"(0x7b));
    return limit & 0xfff;
}

static inline u64 rdtsc(void)
{
    u32 lo, hi;
    __asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
    return ((u64)hi << 32) | lo;
}

void stub_post(char *slot)
{
    volatile struct stub_channel *ch = channel_of(slot);
    ch->cpu = which_cpu();
    if (((const volatile struct stub_proc *)STUB_PROC)->is_timed) {
        u64 ts[2] = {0, 0};
        stub_syscall(NR_clock_gettime, 3L, (u64)ts, 0L, 0L, 0L, 0L);
        ch->cpu_ns = ts[0] * 1000000000 + ts[1];
    }
    __atomic_store_n(&ch->state, CH_SENTRY, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&ch->is_sentry_waiting, __ATOMIC_SEQ_CST)) {
        ch->posted = rdtsc();
        stub_syscall(NR_futex, (u64)&ch->state, 1, 1, 0, 0, 0);
    }
}

void stub_wait(char *slot)
{
    volatile struct stub_channel *ch = channel_of(slot);
    if (ch->spin) { /* the Sentry ends it when the answer will take its time */
        u64 begin = rdtsc();
        do {
            if (__atomic_load_n(&ch->state, __ATOMIC_ACQUIRE) == CH_APP)
                return;
            __asm__ volatile("pause");
        } while (rdtsc() - begin < ch->spin);
    }
    while (__atomic_load_n(&ch->state, __ATOMIC_ACQUIRE) != CH_APP) {
        __atomic_store_n(&ch->is_app_waiting, 1, __ATOMIC_SEQ_CST);
        if (__atomic_load_n(&ch->state, __ATOMIC_SEQ_CST) != CH_APP)
            stub_syscall(NR_futex, (u64)&ch->state, 0, CH_SENTRY, 0, 0, 0);
        __atomic_store_n(&ch->is_app_waiting, 0, __ATOMIC_SEQ_CST);
    }
}

/* ---- vector state ---------------------------------------------------------------------------- */

#define FP_SW_OFFSET   464 /* struct _fpx_sw_bytes in the legacy area */
#define FP_XSTATE_SIZE 16  /* offset of xstate_size in it */
#define FP_MAGIC1      0x46505853U

/* Size of the xsave image in a signal frame, bounded by the window. */
static u64 frame_xsize(const uint8_t *fp)
{
    u32 magic = *(const u32 *)(fp + FP_SW_OFFSET);
    u32 size = *(const u32 *)(fp + FP_SW_OFFSET + FP_XSTATE_SIZE);
    if (magic != FP_MAGIC1 || size < 576 || size > SLOT_WINDOW_SIZE)
        return 512;
    return size;
}

/* Everything but the kernel's own bytes at the end of the legacy area. */
static void copy_xstate(uint8_t *to, const uint8_t *from, u64 size)
{
    copy_bytes(to, from, FP_SW_OFFSET);
    if (size > 512)
        copy_bytes(to + 512, from + 512, size - 512);
}

static void init_xstate(uint8_t *fp)
{
    u64 size = frame_xsize(fp);
    if (size > 512)
        *(u64 *)(fp + 512) = 0;
    else
        *(uint16_t *)fp = 0x37f;
    *(u32 *)(fp + 24) = 0x1f80;
}

/* A futex wait that the Sentry asks for. Kicks must reach it, and are blocked in handlers. */
static void do_futex(char *slot)
{
    volatile struct stub_channel *ch = channel_of(slot);
    struct stub_private *prv = private_of(slot);
    const u64 mask = 1UL << (STUB_KICK_SIGNAL - 1);
    stub_syscall(NR_rt_sigprocmask, 1L /* SIG_UNBLOCK */, (u64)&mask, 0L, 8L, 0L, 0L);
    ch->is_in_futex = 1;
    long r = stub_futex_wait(ch->futex.addr, ch->futex.op, ch->futex.val,
                             ch->futex.has_timeout ? (u64)ch->futex.timeout : 0, ch->futex.clock,
                             ch->futex.bitset, &prv->kick_pending, ch->futex.nr);
    ch->is_in_futex = 0;
    stub_syscall(NR_rt_sigprocmask, 0L /* SIG_BLOCK */, (u64)&mask, 0L, 8L, 0L, 0L);
    if (r == -4)
        prv->kick_pending = 0;
    ch->futex.result = r;
}

/* The queued mm calls; the first error is the guest's result. 0 or the error. */
static long do_mmcalls(volatile struct stub_channel *ch)
{
    u32 count = ch->nmmcalls;
    long err = 0;
    for (u32 i = 0; i < count && i < STUB_MAX_MMCALLS; i++) {
        volatile struct stub_mmcall *c = &ch->mmcalls[i];
        long r = stub_syscall(c->nr, c->args[0], c->args[1], c->args[2], c->args[3],
                              (u64)(c->nr == NR_mmap ? -1 : 0), 0L);
        if (r < 0 && r >= -4095 && !err)
            err = r;
    }
    ch->nmmcalls = 0;
    return err;
}

static void do_command(char *slot, struct ucontext *uc)
{
    volatile struct stub_channel *ch = channel_of(slot);
    uint8_t *fp = uc->mc.fpstate;
    u64 size = frame_xsize(fp);
    switch (ch->cmd) {
    case CMD_GETX:
        copy_xstate((uint8_t *)slot + SLOT_WINDOW, fp, size);
        ch->xsize = (u32)size;
        break;
    case CMD_SETX:
        copy_xstate(fp, (const uint8_t *)slot + SLOT_WINDOW, size);
        break;
    case CMD_INITX:
        init_xstate(fp);
        break;
    case CMD_COPYX: {
        struct ucontext *other = private_of((char *)ch->arg)->uc;
        if (frame_xsize(other->mc.fpstate) == size)
            copy_xstate(fp, other->mc.fpstate, size);
        break;
    }
    case CMD_FUTEX:
        do_futex(slot);
        break;
    case CMD_CALLS:
        do_mmcalls(ch);
        break;
    case CMD_EXIT:
        stub_syscall(NR_exit, 0, 0, 0, 0, 0, 0);
        break;
    }
    ch->kind = EV_DONE;
}

/* ---- registers ------------------------------------------------------------------------------- */

static void save_regs(volatile struct stub_regs *r, const struct sigcontext *mc, const char *slot)
{
    r->r15 = mc->r15;
    r->r14 = mc->r14;
    r->r13 = mc->r13;
    r->r12 = mc->r12;
    r->rbp = mc->rbp;
    r->rbx = mc->rbx;
    r->r11 = mc->r11;
    r->r10 = mc->r10;
    r->r9 = mc->r9;
    r->r8 = mc->r8;
    r->rax = mc->rax;
    r->rcx = mc->rcx;
    r->rdx = mc->rdx;
    r->rsi = mc->rsi;
    r->rdi = mc->rdi;
    r->orig_rax = (u64)-1;
    r->rip = mc->rip;
    r->cs = mc->cs;
    r->eflags = mc->eflags;
    r->rsp = mc->rsp;
    r->ss = mc->ss;
    const struct stub_private *prv = private_of(slot);
    r->fs_base = has_fsgsbase() ? rdfsbase() : prv->fs_base;
    u64 gs = has_fsgsbase() ? rdgsbase() : prv->gs_base;
    r->gs_base = gs == (u64)slot ? 0 : gs;
    r->ds = r->es = r->fs = r->gs = 0;
}

static void load_regs(struct sigcontext *mc, const volatile struct stub_regs *r, char *slot)
{
    mc->r15 = r->r15;
    mc->r14 = r->r14;
    mc->r13 = r->r13;
    mc->r12 = r->r12;
    mc->rbp = r->rbp;
    mc->rbx = r->rbx;
    mc->r11 = r->r11;
    mc->r10 = r->r10;
    mc->r9 = r->r9;
    mc->r8 = r->r8;
    mc->rax = r->rax;
    mc->rcx = r->rcx;
    mc->rdx = r->rdx;
    mc->rsi = r->rsi;
    mc->rdi = r->rdi;
    mc->rip = r->rip;
    mc->eflags = r->eflags;
    mc->rsp = r->rsp;
    /* The Sentry keeps bases canonical; a forged one faults here and ends this process. */
    u64 fs = r->fs_base, gs = r->gs_base ? r->gs_base : (u64)slot;
    if (has_fsgsbase()) {
        __asm__ volatile("wrfsbase %0" : : "r"(fs));
        __asm__ volatile("wrgsbase %0" : : "r"(gs));
        return;
    }
    struct stub_private *prv = private_of(slot);
    if (fs != prv->fs_base)
        stub_syscall(NR_arch_prctl, (u64)ARCH_SET_FS, fs, 0L, 0L, 0L, 0L);
    if (gs != prv->gs_base)
        stub_syscall(NR_arch_prctl, (u64)ARCH_SET_GS, gs, 0L, 0L, 0L, 0L);
    prv->fs_base = fs;
    prv->gs_base = gs;
}

/* ---- the window
 * ---------------------------------------------------------------------------------- */

/* Guest memory only: anything else is left to the Sentry, which refuses it. */
static int is_guest(u64 addr, u64 size)
{
    u64 end = addr + size;
    if (end < addr)
        return 0;
    return addr >= STUB_SLOTS_END || (addr >= 0x10000 && end <= STUB_TEXT);
}

/* How many of the first `size` bytes at addr can be written, up to WIN_MAX_OUT. */
static u32 probe(u64 addr, u64 size)
{
    u64 end = addr + (size < WIN_MAX_OUT ? size : WIN_MAX_OUT);
    u64 at = addr;
    while (at < end) {
        if (stub_probe((void *)at))
            break;
        at = (at + 4096) & ~4095UL;
    }
    return (u32)((at < end ? at : end) - addr);
}

/* Copies in what the call's shapes say. What does not fit or faults is simply not there. */
static void fill_windows(char *slot)
{
    volatile struct stub_channel *ch = channel_of(slot);
    const volatile struct stub_shape *shape =
        (const volatile struct stub_shape *)STUB_SHAPES + ch->nr % STUB_NR_SHAPES;
    char *window = slot + SLOT_WINDOW;
    u32 n = 0, off = 0, count = shape->count;
    ch->nwin = 0;
    if (ch->nr >= STUB_NR_SHAPES)
        return;
    for (u32 i = 0; i < count && i < STUB_MAX_WIN; i++) {
        volatile struct stub_win *w = &ch->win[n];
        u32 kind = shape->args[i].kind;
        u64 addr = ch->args[shape->args[i].arg % 6], size = shape->args[i].elem_size;
        u64 in = 0, cap = 0;
        if (kind == SHAPE_IN || kind == SHAPE_OUT) {
            u64 nelem = ch->args[shape->args[i].size_arg % 6];
            if (nelem > 0x10000)
                nelem = 0x10000;
            size *= nelem;
        }
        if (kind == SHAPE_STR) {
            if (addr < 0x10000 || !is_guest(addr, 1))
                continue;
            in = stub_copy_str(window + off, (const char *)addr, WIN_MAX_STR);
        } else if (!size || !is_guest(addr, size)) {
            continue;
        }
        if ((kind == SHAPE_IN || kind == SHAPE_INFIX || kind == SHAPE_INOUT) && size <= WIN_MAX_IN)
            in = size - stub_copy(window + off, (const void *)addr, size);
        if (kind == SHAPE_OUT || kind == SHAPE_OUTFIX || kind == SHAPE_INOUT)
            cap = probe(addr, size);
        if (!in && !cap)
            continue;
        w->addr = addr;
        w->off = off;
        w->in_size = (u32)in;
        w->out_cap = (u32)cap;
        w->out_lo = w->out_hi = 0;
        off += (u32)(((in > cap ? in : cap) + 63) & ~63UL);
        n++;
    }
    ch->nwin = n;
}

/* Copies out what the Sentry left in the window. */
static void drain_windows(char *slot)
{
    volatile struct stub_channel *ch = channel_of(slot);
    for (u32 i = 0; i < ch->nwin && i < STUB_MAX_WIN; i++) {
        volatile struct stub_win *w = &ch->win[i];
        u64 lo = w->out_lo, hi = w->out_hi;
        if (lo < hi)
            stub_copy((void *)(w->addr + lo), slot + SLOT_WINDOW + w->off + lo, hi - lo);
    }
    ch->nwin = 0;
}

/* Rewrites a site. Only ever while this is the process's only application thread. */
static void do_patch(volatile struct stub_channel *ch)
{
    volatile struct stub_patch *p = &ch->patch;
    u64 thunk = p->thunk % STUB_NR_SLOTS;
    u64 code = STUB_THUNKS + thunk * STUB_THUNK_STRIDE;
    p->is_set = 0;
    copy_bytes((void *)code, (const void *)p->code, STUB_THUNK_STRIDE);
    *(volatile u64 *)(STUB_SITES + thunk * 8) = code;
    if (stub_syscall(NR_mprotect, p->page, p->size, 7, 0, 0, 0L) != 0)
        return;
    copy_bytes((void *)p->addr, (const void *)p->bytes, p->len);
    stub_syscall(NR_mprotect, p->page, p->size, p->prot, 0, 0, 0L);
}

/* ---- the trampoline
 * ------------------------------------------------------------------------------ */

/* The frame on the trampoline's stack, in the order of pops. */
enum { F_RAX, F_R9, F_R8, F_R10, F_RDX, F_RSI, F_RDI };

/* After the Sentry's answer: 0 to leave with f's registers, 1 to go on from a signal frame. */
static int tramp_answer(char *slot, u64 *f)
{
    volatile struct stub_channel *ch = channel_of(slot);
    u32 cmd = ch->cmd;
    if (cmd != CMD_RESULT && cmd != CMD_NONE) {
        private_of(slot)->demotion = DEMOTE_COMMAND;
        return 1;
    }
    if (cmd == CMD_RESULT)
        f[F_RAX] = (u64)ch->result;
    if (ch->nwin)
        drain_windows(slot);
    if (ch->nmmcalls) {
        long err = do_mmcalls(ch);
        if (err)
            f[F_RAX] = (u64)err;
    }
    return 0;
}

static int tramp_handover(char *slot, u64 *f, u32 kind)
{
    volatile struct stub_channel *ch = channel_of(slot);
    ch->kind = kind;
    ch->is_tramp = 1;
    ch->nr = (u32)f[F_RAX];
    ch->args[0] = f[F_RDI];
    ch->args[1] = f[F_RSI];
    ch->args[2] = f[F_RDX];
    ch->args[3] = f[F_R10];
    ch->args[4] = f[F_R8];
    ch->args[5] = f[F_R9];
    if (kind == EV_SYSCALL)
        fill_windows(slot);
    else
        ch->nwin = 0;
    stub_post(slot);
    stub_wait(slot);
    return tramp_answer(slot, f);
}

/* True when the call was answered here; its result is in f. */
static int tramp_futex(char *slot, u64 *f, int *ret_is_kicked)
{
    volatile struct stub_channel *ch = channel_of(slot);
    u32 op = (u32)f[F_RSI] & ~0x180U;
    long r;
    if (op == 1 || op == 10) {
        r = stub_syscall(NR_futex, f[F_RDI], (u32)f[F_RSI], f[F_RDX], f[F_R10], f[F_R8], f[F_R9]);
    } else if (op == 0 || op == 9) {
        ch->is_in_futex = 1;
        r = stub_futex_wait(f[F_RDI], (u32)f[F_RSI], f[F_RDX], f[F_R10], f[F_R8], f[F_R9],
                            &private_of(slot)->kick_pending, NR_futex);
        ch->is_in_futex = 0;
        if (r == -4) {
            private_of(slot)->kick_pending = 0;
            *ret_is_kicked = 1;
            return 0;
        }
    } else {
        return 0;
    }
    f[F_RAX] = (u64)r;
    return 1;
}

/* Identity, for sites whose number is not in the instruction. True when answered. */
static int tramp_identity(char *slot, const volatile struct stub_proc *proc, u64 nr, u64 *ret_value)
{
    u32 which;
    switch (nr) {
    case 39:
        which = FAST_GETPID;
        *ret_value = proc->pid;
        break;
    case 186:
        which = FAST_GETTID;
        *ret_value = channel_of(slot)->tid;
        break;
    case 110:
        which = FAST_GETPPID;
        *ret_value = proc->ppid;
        break;
    case 102:
        which = FAST_GETUID;
        *ret_value = proc->uid;
        break;
    case 107:
        which = FAST_GETEUID;
        *ret_value = proc->euid;
        break;
    case 104:
        which = FAST_GETGID;
        *ret_value = proc->gid;
        break;
    case 108:
        which = FAST_GETEGID;
        *ret_value = proc->egid;
        break;
    default:
        return 0;
    }
    /* The Sentry points the call's site at the short answer once it has told the values. */
    u64 site = proc->dispatch[which];
    return site >= (u64)stub_fast_begin && site < (u64)stub_fast_end;
}

/*
 * pread64 of a file that the Sentry has mapped here. True when answered: everything that is not
 * plain, a fault of either side included, is the Sentry's.
 */
static int tramp_pread(const char *slot, u64 *f)
{
    const volatile struct stub_files *t = (const volatile struct stub_files *)STUB_FILES;
    u32 fd = (u32)f[F_RDI], table = ((const volatile struct stub_channel *)slot)->table;
    u64 to = f[F_RSI], n = f[F_RDX], off = f[F_R10];
    u32 index = fd < STUB_FILES_FDS ? t->by_fd[fd] : 0;
    if (!index || index > STUB_FILES_MAX || !table)
        return 0;
    const volatile struct stub_file *e = &t->file[index - 1];
    u32 seq = __atomic_load_n(&e->seq, __ATOMIC_ACQUIRE);
    u64 size = e->size;
    if ((seq & 1) || e->fd != (int32_t)fd || e->table != table || off >> 63)
        return 0;
    if (off >= size)
        n = 0;
    else if (n > size - off)
        n = size - off;
    if (n > STUB_FILES_COPY || (n && !is_guest(to, n)))
        return 0;
    if (n && stub_copy((void *)to, (const void *)(e->addr + off), n))
        return 0;
    __asm__ volatile("lfence" : : : "memory");
    if (e->seq != seq)
        return 0;
    f[F_RAX] = n;
    return 1;
}

int stub_tramp(char *slot, u64 *f)
{
    const volatile struct stub_proc *proc = (const volatile struct stub_proc *)STUB_PROC;
    u64 nr = f[F_RAX];
    int is_kicked = 0;
    if (nr == NR_clone || nr == NR_fork || nr == NR_vfork || nr == NR_clone3) {
        private_of(slot)->demotion = DEMOTE_SYSCALL;
        return 1;
    }
    if (!proc->fastpath_off) {
        switch (nr) {
        case NR_futex:
            if (tramp_futex(slot, f, &is_kicked))
                return 0;
            break;
        case NR_pread64:
            if (tramp_pread(slot, f))
                return 0;
            break;
        case NR_sched_yield:
            f[F_RAX] = (u64)stub_syscall(NR_sched_yield, 0L, 0L, 0L, 0L, 0L, 0L);
            return 0;
        case NR_clock_gettime:
            /* An address that the host refuses is refused for the guest. */
            if (f[F_RDI] == 2 || f[F_RDI] == 3) {
                f[F_RAX] = (u64)stub_syscall(NR_clock_gettime, f[F_RDI], f[F_RSI], 0L, 0L, 0L, 0L);
                return 0;
            }
            break;
        default: {
            u64 value;
            if (tramp_identity(slot, proc, nr, &value)) {
                f[F_RAX] = value;
                return 0;
            }
        }
        }
    }
    return tramp_handover(slot, f, is_kicked ? EV_FUTEX : EV_SYSCALL);
}

int stub_tramp_kick(char *slot, u64 *f)
{
    volatile struct stub_channel *ch = channel_of(slot);
    private_of(slot)->kick_pending = 0;
    ch->regs.rax = f[F_RAX];
    return tramp_handover(slot, f, EV_KICK);
}

/* ---- signals
 * -------------------------------------------------------------------------------------- */

static inline int is_in(u64 rip, const char *begin, const char *end)
{
    return rip >= (u64)begin && rip < (u64)end;
}

/* A kick that hit stub text: makes sure that the way out sees it. */
static void defer_kick(char *slot, struct sigcontext *mc)
{
    private_of(slot)->kick_pending = 1;
    if (is_in(mc->rip, tramp_exit, tramp_exit_end)) {
        mc->rip = (u64)tramp_exit;
        mc->rsp = (u64)slot + SLOT_STACK_TOP - TRAMP_FRAME;
        mc->r11 = (u64)slot;
    } else if (is_in(mc->rip, (const char *)stub_futex_wait, stub_futex_wait_end)) {
        mc->rip = (u64)stub_futex_wait_kicked;
    }
}

/* A fault of a copy on the application's behalf. */
static int fix_copy(struct sigcontext *mc)
{
    if (is_in(mc->rip, stub_copy_insn, stub_copy_insn_end))
        mc->rip = (u64)stub_copy_insn_end;
    else if (is_in(mc->rip, (const char *)stub_copy_str, stub_copy_str_end))
        mc->rip = (u64)stub_copy_str_fault;
    else if (mc->rip == (u64)stub_probe_insn)
        mc->rip = (u64)stub_probe_fault;
    else
        return 0;
    return 1;
}

static void fill_syscall(volatile struct stub_channel *ch, const struct sigcontext *mc)
{
    ch->kind = EV_SYSCALL;
    ch->nr = (u32)mc->rax;
    ch->args[0] = mc->rdi;
    ch->args[1] = mc->rsi;
    ch->args[2] = mc->rdx;
    ch->args[3] = mc->r10;
    ch->args[4] = mc->r8;
    ch->args[5] = mc->r9;
    ch->regs.orig_rax = (u32)mc->rax;
}

static void fill_fault(volatile struct stub_channel *ch, int signo, const struct siginfo *info,
                       const struct sigcontext *mc)
{
    ch->kind = EV_FAULT;
    ch->fault_signo = (u32)signo;
    ch->fault_code = (u32)info->code;
    ch->fault_addr = info->addr;
    ch->fault_trapno = (u32)mc->trapno;
    ch->fault_err = mc->err;
    if (signo == SIG_SYS) { /* int $0x80: as on a host without 32-bit emulation */
        ch->fault_signo = SIG_SEGV;
        ch->fault_code = 0x80;
        ch->fault_addr = 0;
        ch->fault_trapno = 13;
    }
}

void stub_handler(int signo, struct siginfo *info, struct ucontext *uc)
{
    char *slot = (char *)((u64)__builtin_frame_address(0) & ~(u64)(STUB_SLOT_SIZE - 1));
    volatile struct stub_channel *ch = channel_of(slot);
    struct stub_private *prv = private_of(slot);
    struct sigcontext *mc = &uc->mc;
    int is_text = mc->rip >= STUB_TEXT && mc->rip < (u64)stub_text_end;
    if (is_text && (signo == SIG_SEGV || signo == SIG_BUS) && fix_copy(mc))
        return;
    prv->uc = uc;
    if (is_text && mc->rip == (u64)stub_birth) {
        init_xstate(mc->fpstate);
        mc->eflags = 0x202;
        uc->sigmask = 0; /* kicks were blocked until there was a stack for them */
        stub_await(slot);
    } else if (is_text && mc->rip == (u64)stub_demote) {
        load_regs(mc, &ch->regs, slot);
        ch->is_tramp = 0;
        if (prv->demotion == DEMOTE_SYSCALL) {
            fill_syscall(ch, mc);
            ch->nwin = 0;
            stub_handover(slot);
        }
    } else {
        if (is_text && signo == STUB_KICK_SIGNAL &&
            !is_in(mc->rip, stub_fast_begin, stub_fast_end)) {
            defer_kick(slot, mc);
            return;
        }
        if (is_text && (mc->rip == (u64)stub_trampoline_gs || mc->rip == (u64)stub_trampoline_slot))
            mc->rip = mc->rcx;
        else
            is_text = 0;
        save_regs(&ch->regs, mc, slot);
        ch->is_tramp = 0;
        ch->nwin = 0;
        if (is_text ||
            (signo == SIG_SYS && info->code == SYS_CODE && info->sys.arch == ARCH_X86_64)) {
            fill_syscall(ch, mc);
            if (!is_text && info->sys.call_addr >= VSYSCALL_PAGE)
                ch->kind = EV_VSYSCALL; /* nothing to patch, and no way to report a bad pointer */
            else
                fill_windows(slot);
        } else if (signo == STUB_KICK_SIGNAL)
            ch->kind = EV_KICK;
        else
            fill_fault(ch, signo, info, mc);
        stub_handover(slot);
    }
    for (;;) {
        while (ch->cmd > CMD_NONE) {
            do_command(slot, uc);
            stub_handover(slot);
        }
        /* ch->cmd may be forged under our feet; every value ends here all the same. */
        if (ch->nwin)
            drain_windows(slot);
        if (ch->cmd == CMD_FULL)
            load_regs(mc, &ch->regs, slot);
        else if (ch->cmd == CMD_RESULT)
            mc->rax = (u64)ch->result;
        if (ch->nmmcalls) {
            long err = do_mmcalls(ch);
            if (err)
                mc->rax = (u64)err;
        }
        if (ch->patch.is_set)
            do_patch(ch);
        if (!prv->kick_pending)
            return;
        /* A kick came while this thread was still in the trampoline. */
        prv->kick_pending = 0;
        save_regs(&ch->regs, mc, slot);
        ch->kind = EV_KICK;
        stub_handover(slot);
    }
}
