/*
 * rseq(2): restartable sequences are the host's, registered by the stub's own thread for the
 * application's area. The host writes the cpu there and aborts sequences on preemption, on
 * migration and on the host signals with which the Sentry interrupts a thread; so a guest signal,
 * which comes by such a signal, aborts one too, before its frame is made. A system call inside
 * a sequence is a bug of the program, as on Linux; in the stub's text no sequence is active.
 *
 * Checked here first, so that what the host is told succeeds and the record in the task is true:
 * fork makes the registration again in the copy. Only the original 32 bytes are taken,
 * as by Linux before 6.3; no auxiliary vector promises more.
 *
 * The Sentry clears a dead thread's id while its host thread still has a few instructions of
 * the stub to run; its area, which others may then use again, is given back before that.
 */
#include "kern/kern_int.h"

s64 rseq_call(struct task *t, u64 addr, u32 size, u32 flags, u32 sig)
{
    bool is_end = flags & LX_RSEQ_FLAG_UNREGISTER;
    if (!platform_has_rseq())
        return -LX_ENOSYS;
    if (flags & ~(u32)LX_RSEQ_FLAG_UNREGISTER)
        return -LX_EINVAL;
    if (t->rseq_addr || is_end) {
        if (!t->rseq_addr || t->rseq_addr != addr || size != LX_RSEQ_SIZE)
            return -LX_EINVAL;
        if (t->rseq_sig != sig)
            return -LX_EPERM;
        if (!is_end)
            return -LX_EBUSY;
    } else {
        if (size != LX_RSEQ_SIZE || addr % LX_RSEQ_SIZE)
            return -LX_EINVAL;
        if (!addr || addr > PLATFORM_MAX - LX_RSEQ_SIZE ||
            (addr >= PLATFORM_LOW_MAX && addr < PLATFORM_MIN))
            return -LX_EFAULT;
    }
    uctx_rseq(t->uctx, addr, flags, sig);
    t->rseq_addr = is_end ? 0 : addr;
    t->rseq_sig = sig;
    return 0;
}

void rseq_started(struct task *t)
{
    if (t->rseq_addr)
        uctx_rseq(t->uctx, t->rseq_addr, 0, t->rseq_sig);
}

void rseq_leave(struct task *t)
{
    u64 addr = t->rseq_addr;
    struct tgroup *g = t->tg;
    t->rseq_addr = 0;
    if (!addr)
        return;
    mutex_lock(&g->sig_lock);
    bool is_last = (g->nlive <= 1 || g->is_exiting) && !g->is_mm_sharer;
    mutex_unlock(&g->sig_lock);
    if (!is_last || t->mm->nsharers)
        uctx_rseq_end(t->uctx, addr, t->rseq_sig);
}
