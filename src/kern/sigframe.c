/*
 * Signal frames of x86-64, as Linux lays them out (arch/x86/include/asm/sigframe.h,
 * uapi asm/sigcontext.h):
 *
 *   high   [ xsave image, 64-byte aligned, with FP_XSTATE_MAGIC1 in its
 *            software bytes and FP_XSTATE_MAGIC2 behind it ]
 *          struct siginfo
 *          struct ucontext
 *   low    return address (the restorer)                    ← rsp, 16n + 8
 *
 * The frame goes below the red zone or on the alternate stack. What comes back
 * in rt_sigreturn is the guest's to forge: segments are ours, flags are masked,
 * and the vector image is checked and cleaned.
 */
#include <stdlib.h>
#include <string.h>

#include "kern/kern_int.h"

#define RED_ZONE          128
#define FP_XSTATE_MAGIC1  0x46505853U
#define FP_XSTATE_MAGIC2  0x46505845U
#define FXSAVE_SIZE       512
#define SW_BYTES_OFFSET   464
#define XSAVE_HEADER_SIZE 64
#define MXCSR_OFFSET      24

#define UC_FP_XSTATE         1
#define UC_SIGCONTEXT_SS     2
#define UC_STRICT_RESTORE_SS 4

#define EFLAGS_TF 0x100U
#define EFLAGS_DF 0x400U
#define EFLAGS_RF 0x10000U
/* CF PF AF ZF SF TF DF OF RF AC: what a program may set for itself */
#define EFLAGS_USER (0x1U | 0x4U | 0x10U | 0x40U | 0x80U | 0x100U | 0x400U | 0x800U | 0x10000U | 0x40000U)
#define EFLAGS_FIXED 0x202U

#define USER_CS 0x33
#define USER_SS 0x2b

#define LX_SS_AUTODISARM (1U << 31)

struct lx_sigcontext {
    u64 r8, r9, r10, r11, r12, r13, r14, r15;
    u64 rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, eflags;
    u16 cs, gs, fs, ss;
    u64 err, trapno, oldmask, cr2;
    u64 fpstate;
    u64 reserved[8];
};
_Static_assert(sizeof(struct lx_sigcontext) == 256, "sigcontext_64");

struct lx_ucontext {
    u64 flags, link;
    struct lx_stack stack;
    struct lx_sigcontext mcontext;
    sigset_lx sigmask;
};
_Static_assert(sizeof(struct lx_ucontext) == 304, "ucontext");

struct lx_rt_sigframe {
    u64 restorer;
    struct lx_ucontext uc;
    struct lx_siginfo info;
};
_Static_assert(sizeof(struct lx_rt_sigframe) == 440, "rt_sigframe");

struct lx_fpx_sw_bytes {
    u32 magic1, extended_size;
    u64 xfeatures;
    u32 xstate_size, padding[7];
};
_Static_assert(sizeof(struct lx_fpx_sw_bytes) == 48, "_fpx_sw_bytes");

/* ---- the alternate stack ------------------------------------------------------------------- */

static bool is_on_altstack(const struct task *t, u64 sp)
{
    if ((u32)t->altstack.flags & LX_SS_AUTODISARM)
        return false;
    return t->altstack.size != 0 && sp > t->altstack.sp && sp - t->altstack.sp <= t->altstack.size;
}

static int altstack_status(const struct task *t, u64 sp)
{
    if (t->altstack.size == 0)
        return LX_SS_DISABLE;
    return is_on_altstack(t, sp) ? LX_SS_ONSTACK : 0;
}

void altstack_get(const struct task *t, u64 sp, struct lx_stack *ret)
{
    memset(ret, 0, sizeof(*ret));
    ret->sp = t->altstack.sp;
    ret->size = t->altstack.size;
    ret->flags = altstack_status(t, sp) | (s32)((u32)t->altstack.flags & LX_SS_AUTODISARM);
}

int altstack_set(struct task *t, u64 sp, const struct lx_stack *ss, u64 min_size)
{
    u32 flags = (u32)ss->flags & LX_SS_AUTODISARM;
    u32 mode = (u32)ss->flags & ~LX_SS_AUTODISARM;
    if (is_on_altstack(t, sp))
        return -LX_EPERM;
    if (mode != LX_SS_DISABLE && mode != LX_SS_ONSTACK && mode != 0)
        return -LX_EINVAL;
    if (mode == LX_SS_DISABLE) {
        t->altstack = (struct lx_stack){.flags = (s32)(LX_SS_DISABLE | flags)};
        return 0;
    }
    if (ss->size < min_size)
        return -LX_ENOMEM;
    t->altstack = (struct lx_stack){.sp = ss->sp, .size = ss->size, .flags = (s32)(mode | flags)};
    return 0;
}

/* ---- set-up -------------------------------------------------------------------------------- */

static void fill_context(struct lx_sigcontext *c, const struct uregs *r, const struct task *t)
{
    c->r8 = r->r8;
    c->r9 = r->r9;
    c->r10 = r->r10;
    c->r11 = r->r11;
    c->r12 = r->r12;
    c->r13 = r->r13;
    c->r14 = r->r14;
    c->r15 = r->r15;
    c->rdi = r->rdi;
    c->rsi = r->rsi;
    c->rbp = r->rbp;
    c->rbx = r->rbx;
    c->rdx = r->rdx;
    c->rax = r->rax;
    c->rcx = r->rcx;
    c->rsp = r->rsp;
    c->rip = r->rip;
    c->eflags = r->eflags;
    c->cs = USER_CS;
    c->ss = USER_SS;
    c->err = t->fault_err;
    c->trapno = t->fault_trapno;
    c->cr2 = t->fault_addr;
}

/* Copies the vector state out at fp; 0 or -LX_EFAULT. */
static int put_xstate(struct task *t, u64 fp, u32 size)
{
    u8 *buf = malloc(size + sizeof(u32));
    if (!buf)
        return -LX_ENOMEM;
    int r = uctx_get_xstate(t->uctx, buf);
    if (r == 0) {
        struct lx_fpx_sw_bytes sw = {
            .magic1 = FP_XSTATE_MAGIC1,
            .extended_size = size + (u32)sizeof(u32),
            .xfeatures = platform_xcr0(),
            .xstate_size = size,
        };
        u32 magic2 = FP_XSTATE_MAGIC2;
        memcpy(buf + SW_BYTES_OFFSET, &sw, sizeof(sw));
        memcpy(buf + size, &magic2, sizeof(magic2));
        r = copy_out(uaddr(fp), buf, size + sizeof(u32));
    }
    free(buf);
    return r;
}

/* Where the frame goes; *ret_fp: the vector image. 0: the alternate stack would overflow. */
static u64 place_frame(struct task *t, const struct ksignal *ks, u64 sp, u32 xsize, u64 *ret_fp)
{
    bool was_on = is_on_altstack(t, sp), is_entering = false;
    sp -= RED_ZONE;
    if ((ks->act.flags & LX_SA_ONSTACK) && altstack_status(t, sp) == 0) {
        sp = t->altstack.sp + t->altstack.size;
        is_entering = true;
    }
    sp = (sp - (xsize + sizeof(u32))) & ~63ULL;
    *ret_fp = sp;
    sp -= sizeof(struct lx_rt_sigframe);
    sp = (sp & ~15ULL) - 8;
    if ((was_on || is_entering) && t->altstack.size != 0 &&
        !(sp > t->altstack.sp && sp - t->altstack.sp <= t->altstack.size))
        return 0;
    return sp;
}

static int setup_frame(struct task *t, const struct ksignal *ks)
{
    if (!(ks->act.flags & 0x4000000)) /* SA_RESTORER: without it there is no way back on x86-64 */
        return -LX_EFAULT;
    struct uregs *regs = uctx_regs(t->uctx);
    u32 xsize = platform_xstate_size();
    u64 fp = 0;
    u64 sp = place_frame(t, ks, regs->rsp, xsize, &fp);
    if (sp == 0)
        return -LX_EFAULT;

    struct lx_rt_sigframe f;
    memset(&f, 0, sizeof(f));
    f.restorer = ks->act.restorer;
    f.uc.flags = UC_FP_XSTATE | UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS;
    altstack_get(t, regs->rsp, &f.uc.stack);
    f.uc.stack.flags = t->altstack.flags; /* as Linux: what was set, not the status */
    fill_context(&f.uc.mcontext, regs, t);
    f.uc.mcontext.fpstate = fp;
    f.uc.sigmask = t->has_saved_mask ? t->saved_mask : t->blocked;
    f.uc.mcontext.oldmask = f.uc.sigmask;
    if (ks->act.flags & LX_SA_SIGINFO)
        f.info = ks->info;
    int r = put_xstate(t, fp, xsize);
    if (r == 0)
        r = copy_out(uaddr(sp), &f, sizeof(f));
    if (r < 0)
        return r;
    if ((u32)t->altstack.flags & LX_SS_AUTODISARM)
        t->altstack = (struct lx_stack){.flags = LX_SS_DISABLE};

    regs->rdi = (u64)ks->signo;
    regs->rsi = sp + offsetof(struct lx_rt_sigframe, info);
    regs->rdx = sp + offsetof(struct lx_rt_sigframe, uc);
    regs->rax = 0;
    regs->rip = ks->act.handler;
    regs->rsp = sp;
    regs->cs = USER_CS;
    regs->ss = USER_SS;
    regs->eflags &= ~(u64)(EFLAGS_DF | EFLAGS_RF | EFLAGS_TF);
    uctx_regs_changed(t->uctx);
    return uctx_set_xstate(t->uctx, NULL);
}

int sigframe_setup(struct task *t, const struct ksignal *ks)
{
    struct tgroup *g = t->tg;
    int r = setup_frame(t, ks);
    if (r < 0 && (r == -LX_ESRCH || aspace_is_dead(t->mm->as)))
        return -LX_ESRCH; /* nobody to run the handler: the death will be heard of */
    if (r < 0) {
        /* No stack to run the handler on. A handler for SIGSEGV itself cannot run either. */
        struct lx_siginfo info;
        siginfo_kernel(&info, LX_SIGSEGV);
        if (ks->signo == LX_SIGSEGV) {
            mutex_lock(&g->sighand->lock);
            g->sighand->action[LX_SIGSEGV - 1].handler = LX_SIG_DFL;
            mutex_unlock(&g->sighand->lock);
        }
        signal_force(t, &info);
        return -LX_EFAULT;
    }
    sigset_lx mask = t->blocked | ks->act.mask;
    if (!(ks->act.flags & LX_SA_NODEFER))
        mask |= SIGMASK(ks->signo);
    t->has_saved_mask = false;
    signal_set_blocked(t, mask);
    return 0;
}

/* ---- return -------------------------------------------------------------------------------- */

/* Reads and cleans the image at fp and makes it the thread's; fp 0: the initial state. */
static int get_xstate(struct task *t, u64 fp)
{
    if (fp == 0)
        return uctx_set_xstate(t->uctx, NULL);
    u32 size = platform_xstate_size();
    u8 *buf = calloc(1, size);
    if (!buf)
        return -LX_ENOMEM;
    int r = copy_in(buf, uaddr(fp), FXSAVE_SIZE);
    struct lx_fpx_sw_bytes sw;
    memcpy(&sw, buf + SW_BYTES_OFFSET, sizeof(sw));
    bool is_extended = false;
    if (r == 0 && size >= FXSAVE_SIZE + XSAVE_HEADER_SIZE && sw.magic1 == FP_XSTATE_MAGIC1 &&
        sw.xstate_size >= FXSAVE_SIZE + XSAVE_HEADER_SIZE && sw.xstate_size <= size &&
        sw.xstate_size <= sw.extended_size) {
        u32 magic2 = 0;
        r = copy_in(&magic2, uaddr(fp + sw.xstate_size), sizeof(magic2));
        is_extended = r == 0 && magic2 == FP_XSTATE_MAGIC2;
        if (is_extended)
            r = copy_in(buf, uaddr(fp), sw.xstate_size);
    }
    if (r == 0) {
        u64 header[XSAVE_HEADER_SIZE / sizeof(u64)] = {3}; /* x87 and SSE */
        if (is_extended) {
            u64 xstate_bv;
            memcpy(&xstate_bv, buf + FXSAVE_SIZE, sizeof(xstate_bv));
            header[0] = xstate_bv & sw.xfeatures & platform_xcr0();
        }
        memcpy(buf + FXSAVE_SIZE, header, sizeof(header));
        memset(buf + SW_BYTES_OFFSET, 0, sizeof(sw));
        u32 mxcsr, mask;
        memcpy(&mxcsr, buf + MXCSR_OFFSET, sizeof(mxcsr));
        memcpy(&mask, buf + MXCSR_OFFSET + sizeof(mxcsr), sizeof(mask));
        mxcsr &= 0xffffU;
        memcpy(buf + MXCSR_OFFSET, &mxcsr, sizeof(mxcsr));
        r = uctx_set_xstate(t->uctx, buf);
    }
    free(buf);
    return r;
}

static void take_context(struct uregs *r, const struct lx_sigcontext *c)
{
    r->r8 = c->r8;
    r->r9 = c->r9;
    r->r10 = c->r10;
    r->r11 = c->r11;
    r->r12 = c->r12;
    r->r13 = c->r13;
    r->r14 = c->r14;
    r->r15 = c->r15;
    r->rdi = c->rdi;
    r->rsi = c->rsi;
    r->rbp = c->rbp;
    r->rbx = c->rbx;
    r->rdx = c->rdx;
    r->rax = c->rax;
    r->rcx = c->rcx;
    r->rsp = c->rsp;
    r->rip = c->rip;
    r->eflags = ((r->eflags & ~(u64)EFLAGS_USER) | (c->eflags & EFLAGS_USER)) | EFLAGS_FIXED;
    r->cs = USER_CS;
    r->ss = USER_SS;
    r->orig_rax = UINT64_MAX;
}

s64 sigframe_return(struct task *t)
{
    struct uregs *regs = uctx_regs(t->uctx);
    u64 frame = regs->rsp - 8;
    struct lx_ucontext uc;
    int r = copy_in(&uc, uaddr(frame + offsetof(struct lx_rt_sigframe, uc)), sizeof(uc));
    if (r == 0) {
        signal_set_blocked(t, uc.sigmask);
        take_context(regs, &uc.mcontext);
        uctx_regs_changed(t->uctx);
        r = get_xstate(t, uc.mcontext.fpstate);
    }
    if (r < 0) {
        struct lx_siginfo info;
        siginfo_kernel(&info, LX_SIGSEGV);
        signal_force(t, &info);
        atomic_store(&t->is_kicked, true);
    } else {
        /* Restores the alternate stack, too; what it cannot set stays as it is. */
        ignore_result(altstack_set(t, regs->rsp, &uc.stack, KERNEL_MINSIGSTKSZ));
    }
    t->restart.fn = NULL;
    t->is_result_set = true;
    return (s64)regs->rax;
}
