/* seccomp(2): strict mode, filters, and what their answers do. */
#include "kern/seccomp.h"

#include <stdlib.h>
#include <string.h>

#include "abi/nr.h"
#include "base/log.h"
#include "kern/cred.h"

#define AUDIT_ARCH_X86_64 0xC000003EU
#define SYS_SECCOMP       1     /* si_code */
#define MAX_PATH_INSNS    32768 /* of one task's chain; each filter pays a toll of 4 */
#define FILTER_TOLL       4
#define MAX_ERRNO         4095

void seccomp_get(struct seccomp_filter *f)
{
    if (f)
        atomic_fetch_add(&f->nusers, 1);
}

u32 seccomp_count(struct task *t)
{
    u32 n = 0;
    MUTEX_GUARD(&t->tg->sig_lock);
    for (struct seccomp_filter *f = t->seccomp; f; f = f->prev)
        n++;
    return n;
}

void seccomp_filter_unref(struct seccomp_filter *f)
{
    if (ref_put(&f->ref))
        free(f);
}

void seccomp_put(struct seccomp_filter *f)
{
    while (f && atomic_fetch_sub(&f->nusers, 1) == 1) {
        struct seccomp_filter *prev = take_ptr(f->prev);
        seccomp_listener_orphan(f);
        seccomp_filter_unref(f);
        f = prev;
    }
}

void seccomp_inherit(struct task *child, struct task *t)
{
    struct seccomp_filter *old = child->seccomp;
    if (cred_has_no_new_privs(t))
        atomic_store(&child->is_nnp_forced, true);
    child->seccomp_mode = t->seccomp_mode;
    child->seccomp = t->seccomp;
    seccomp_get(child->seccomp);
    seccomp_put(old);
    if (child->seccomp_mode)
        atomic_fetch_or(&child->call_work, CALL_WORK_SECCOMP);
}

/* ---- running ------------------------------------------------------------------------------- */

/* The smaller, the more severe (killing is negative). */
static s32 severity(u32 ret)
{
    return (s32)(ret & LX_SECCOMP_RET_ACTION_FULL);
}

static u32 run_chain(struct task *t, const struct lx_seccomp_data *d, struct seccomp_filter **ret_f)
{
    u32 ret = LX_SECCOMP_RET_ALLOW;
    *ret_f = NULL;
    for (struct seccomp_filter *f = t->seccomp; f; f = f->prev) {
        u32 one = bpf_run(f->insns, d);
        if (severity(one) < severity(ret)) {
            ret = one;
            *ret_f = f;
        }
    }
    return ret;
}

static bool is_always_allowed(const struct seccomp_filter *f, u32 nr)
{
    return nr < SECCOMP_CACHED && f->allows[nr / 64] >> (nr % 64) & 1;
}

/* Of f alone, which has been checked. */
static void find_always_allowed(struct seccomp_filter *f)
{
    for (u32 nr = 0; nr < SECCOMP_CACHED; nr++) {
        if (bpf_allows_always(f->insns, nr, AUDIT_ARCH_X86_64))
            f->allows[nr / 64] |= 1ULL << (nr % 64);
    }
}

bool seccomp_is_fast(const struct task *t)
{
    static const u16 answered[] = {
        LX_NR_futex, LX_NR_sched_yield, LX_NR_clock_gettime, LX_NR_getpid, LX_NR_gettid,
        LX_NR_getppid, LX_NR_getuid, LX_NR_geteuid, LX_NR_getgid, LX_NR_getegid,
        LX_NR_pread64,
    };
    if (t->seccomp_mode == LX_SECCOMP_MODE_DISABLED)
        return true;
    if (t->seccomp_mode != LX_SECCOMP_MODE_FILTER)
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(answered); i++) {
        if (!is_always_allowed(t->seccomp, answered[i]))
            return false;
    }
    return true;
}

static void fill_siginfo(struct lx_siginfo *info, const struct lx_seccomp_data *d, u32 data)
{
    memset(info, 0, sizeof(*info));
    info->si_signo = LX_SIGSYS;
    info->si_code = SYS_SECCOMP;
    info->si_errno = (s32)data;
    info->sys.call_addr = d->instruction_pointer;
    info->sys.syscall = d->nr;
    info->sys.arch = d->arch;
}

static bool strict_allows(struct task *t, u32 nr)
{
    if (nr == LX_NR_read || nr == LX_NR_write || nr == LX_NR_exit || nr == LX_NR_rt_sigreturn)
        return true;
    task_exit_thread(t, LX_SIGKILL);
}

static noreturn_fn void kill_by_filter(struct task *t, u32 action)
{
    mutex_lock(&t->tg->sig_lock);
    bool is_alone = t->tg->ntasks == 1;
    mutex_unlock(&t->tg->sig_lock);
    if (action != LX_SECCOMP_RET_KILL_THREAD || is_alone)
        tgroup_exit_start(t->tg, LX_SIGSYS);
    task_exit_thread(t, LX_SIGSYS);
}

bool seccomp_allows(struct task *t, struct uevent *ev, s64 *ret_result)
{
    if (t->seccomp_mode == LX_SECCOMP_MODE_STRICT)
        return strict_allows(t, ev->nr);
    if (is_always_allowed(t->seccomp, ev->nr))
        return true;
    struct lx_seccomp_data d = {.nr = (s32)ev->nr, .arch = AUDIT_ARCH_X86_64};
    bool is_traced_again = false;
    for (;;) {
        struct seccomp_filter *f;
        struct lx_siginfo info;
        d.nr = (s32)ev->nr;
        d.instruction_pointer = uctx_regs(t->uctx)->rip;
        memcpy(d.args, ev->args, sizeof(d.args));
        u32 ret = run_chain(t, &d, &f);
        u32 data = ret & LX_SECCOMP_RET_DATA;
        switch (ret & LX_SECCOMP_RET_ACTION_FULL) {
        case LX_SECCOMP_RET_ALLOW:
            return true;
        case LX_SECCOMP_RET_LOG:
            log_info("seccomp: task %d (%s) calls %d", t->pid->nr[0], t->comm, d.nr);
            return true;
        case LX_SECCOMP_RET_ERRNO:
            *ret_result = -(s64)MIN(data, (u32)MAX_ERRNO);
            return false;
        case LX_SECCOMP_RET_TRAP:
            fill_siginfo(&info, &d, data);
            signal_force(t, &info);
            *ret_result = d.nr; /* the registers are as before the call, but for rip */
            return false;
        case LX_SECCOMP_RET_USER_NOTIF:
            return seccomp_notify(t, f, &d, ret_result);
        case LX_SECCOMP_RET_TRACE:
            if (is_traced_again)
                return true; /* asked once: the tracer has decided */
            if (!ptrace_seccomp_event(t, data, ev, ret_result))
                return false;
            is_traced_again = true;
            continue; /* it may have changed the call: once more, without asking it again */
        default: /* KILL_THREAD, KILL_PROCESS, unknown */
            log_debug("seccomp: task %d (%s) is killed for call %d", t->pid->nr[0], t->comm, d.nr);
            kill_by_filter(t, ret & LX_SECCOMP_RET_ACTION_FULL);
        }
    }
}

/* ---- installing ---------------------------------------------------------------------------- */

struct lx_sock_fprog {
    u16 len, pad[3];
    u64 filter;
};

static struct seccomp_filter *filter_alloc(u32 ninsns)
{
    struct seccomp_filter *f = calloc(1, sizeof(*f) + ninsns * sizeof(f->insns[0]));
    if (!f)
        return NULL;
    ref_init(&f->ref);
    f->nusers = 1;
    mutex_init(&f->lock, "seccomp_filter");
    f->ninsns = ninsns;
    return f;
}

static s64 read_filter(struct task *t, uaddr_t prog, struct seccomp_filter **ret_f)
{
    struct lx_sock_fprog fp;
    if (get_user(fp, prog) < 0)
        return -LX_EFAULT;
    if (fp.len == 0 || fp.len > LX_BPF_MAXINSNS)
        return -LX_EINVAL;
    struct seccomp_filter *f = filter_alloc(fp.len);
    if (!f)
        return -LX_ENOMEM;
    s64 r = copy_in(f->insns, uaddr(fp.filter), fp.len * sizeof(f->insns[0]));
    if (r == 0)
        r = bpf_check(f->insns, fp.len);
    if (r < 0) {
        free(f);
        return r;
    }
    find_always_allowed(f);
    *ret_f = f;
    return 0;
}

static bool is_in_chain(const struct seccomp_filter *f, const struct seccomp_filter *chain)
{
    for (; chain; chain = chain->prev) {
        if (chain == f)
            return true;
    }
    return f == NULL;
}

/* Only one filter of a chain can be listened to. */
static bool has_listener(struct seccomp_filter *chain)
{
    for (; chain; chain = chain->prev) {
        MUTEX_GUARD(&chain->lock);
        if (chain->listener)
            return true;
    }
    return false;
}

/* Under sig_lock: the thread whose filters are not ours' ancestors, or NULL. */
static struct task *find_diverged(struct task *t)
{
    struct task *i;
    list_for_each(i, &t->tg->tasks, tg_node) {
        if (i == t || i->is_exit_requested)
            continue;
        if (i->seccomp_mode == LX_SECCOMP_MODE_DISABLED ||
            (i->seccomp_mode == LX_SECCOMP_MODE_FILTER && is_in_chain(i->seccomp, t->seccomp)))
            continue;
        return i;
    }
    return NULL;
}

static void sync_threads(struct task *t)
{
    struct task *i;
    list_for_each(i, &t->tg->tasks, tg_node) {
        if (i != t && !i->is_exit_requested)
            seccomp_inherit(i, t);
    }
}

/* Puts f in front of the chain (consumes it). The tid of a thread that cannot follow is positive. */
static s64 attach(struct task *t, struct seccomp_filter *f, u32 flags)
{
    struct task *diverged = NULL;
    s32 tid = 0;
    bool is_tsync = flags & LX_SECCOMP_FILTER_FLAG_TSYNC;
    mutex_lock(&t->tg->sig_lock);
    if (is_tsync)
        diverged = find_diverged(t);
    if (diverged) {
        tid = task_tid_in(diverged, task_pid_ns(t));
    } else {
        for (u32 i = 0; t->seccomp && i < ARRAY_SIZE(f->allows); i++)
            f->allows[i] &= t->seccomp->allows[i];
        f->prev = t->seccomp; /* takes over the task's reference */
        f->depth = f->ninsns + FILTER_TOLL + (f->prev ? f->prev->depth : 0);
        t->seccomp = f;
        t->seccomp_mode = LX_SECCOMP_MODE_FILTER;
        atomic_fetch_or(&t->call_work, CALL_WORK_SECCOMP);
        if (is_tsync)
            sync_threads(t);
    }
    mutex_unlock(&t->tg->sig_lock);
    if (diverged) {
        seccomp_put(f);
        return flags & LX_SECCOMP_FILTER_FLAG_TSYNC_ESRCH ? -LX_ESRCH : tid;
    }
    if (!seccomp_is_fast(t))
        aspace_fastpath_off(t->mm->as, FASTPATH_OFF_SECCOMP, true);
    return 0;
}

int seccomp_begin(struct task *t, const struct lx_sock_filter *insns, u32 count, u32 flags)
{
    int r = bpf_check(insns, count);
    if (r < 0)
        return r;
    struct seccomp_filter *f = filter_alloc(count);
    if (!f)
        return -LX_ENOMEM;
    memcpy(f->insns, insns, count * sizeof(*insns));
    f->is_logging = flags & LX_SECCOMP_FILTER_FLAG_LOG;
    f->depth = count + FILTER_TOLL;
    find_always_allowed(f);
    t->seccomp = f;
    t->seccomp_mode = LX_SECCOMP_MODE_FILTER;
    atomic_fetch_or(&t->call_work, CALL_WORK_SECCOMP);
    return 0;
}

static s64 set_filter(struct task *t, u32 flags, uaddr_t prog)
{
    const u32 known = LX_SECCOMP_FILTER_FLAG_TSYNC | LX_SECCOMP_FILTER_FLAG_LOG |
                      LX_SECCOMP_FILTER_FLAG_SPEC_ALLOW | LX_SECCOMP_FILTER_FLAG_NEW_LISTENER |
                      LX_SECCOMP_FILTER_FLAG_TSYNC_ESRCH |
                      LX_SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
    bool is_listened = flags & LX_SECCOMP_FILTER_FLAG_NEW_LISTENER;
    if (flags & ~known)
        return -LX_EINVAL;
    if ((flags & LX_SECCOMP_FILTER_FLAG_TSYNC) && is_listened &&
        !(flags & LX_SECCOMP_FILTER_FLAG_TSYNC_ESRCH))
        return -LX_EINVAL; /* both would return a number */
    if ((flags & LX_SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV) && !is_listened)
        return -LX_EINVAL;
    struct seccomp_filter *f = NULL;
    s64 r = read_filter(t, prog, &f);
    if (r < 0)
        return r;
    if (!cred_has_no_new_privs(t) && !ns_capable(t->cred->user_ns, LX_CAP_SYS_ADMIN))
        r = -LX_EACCES;
    else if (t->seccomp_mode == LX_SECCOMP_MODE_STRICT)
        r = -LX_EINVAL;
    else if (f->ninsns + FILTER_TOLL + (t->seccomp ? t->seccomp->depth : 0) > MAX_PATH_INSNS)
        r = -LX_ENOMEM;
    else if (is_listened && has_listener(t->seccomp))
        r = -LX_EBUSY;
    f->is_logging = flags & LX_SECCOMP_FILTER_FLAG_LOG;
    struct file *listener = NULL;
    int fd = -1;
    if (r == 0 && is_listened) {
        r = seccomp_listener_new(f, flags, &listener);
        if (r == 0) {
            fd = fd_install(listener, 0, LX_O_CLOEXEC);
            if (fd < 0) {
                r = fd;
                file_put(listener);
            }
        }
    }
    if (r < 0) {
        seccomp_put(f);
        return r;
    }
    r = attach(t, f, flags);
    if (r != 0 && fd >= 0)
        ignore_result(fd_close(fd)); /* it was there a moment ago */
    return r != 0 ? r : is_listened ? fd : 0;
}

static s64 set_strict(struct task *t)
{
    if (t->seccomp_mode == LX_SECCOMP_MODE_FILTER)
        return -LX_EINVAL;
    mutex_lock(&t->tg->sig_lock);
    t->seccomp_mode = LX_SECCOMP_MODE_STRICT;
    mutex_unlock(&t->tg->sig_lock);
    atomic_fetch_or(&t->call_work, CALL_WORK_SECCOMP);
    aspace_fastpath_off(t->mm->as, FASTPATH_OFF_SECCOMP, true);
    return 0;
}

static s64 action_available(uaddr_t arg)
{
    u32 action;
    if (get_user(action, arg) < 0)
        return -LX_EFAULT;
    switch (action) {
    case LX_SECCOMP_RET_KILL_PROCESS:
    case LX_SECCOMP_RET_KILL_THREAD:
    case LX_SECCOMP_RET_TRAP:
    case LX_SECCOMP_RET_ERRNO:
    case LX_SECCOMP_RET_USER_NOTIF:
    case LX_SECCOMP_RET_TRACE:
    case LX_SECCOMP_RET_LOG:
    case LX_SECCOMP_RET_ALLOW:
        return 0;
    default:
        return -LX_EOPNOTSUPP;
    }
}

s64 seccomp_call(struct task *t, u32 op, u32 flags, uaddr_t args)
{
    switch (op) {
    case LX_SECCOMP_SET_MODE_STRICT:
        return flags || args.v ? -LX_EINVAL : set_strict(t);
    case LX_SECCOMP_SET_MODE_FILTER:
        return set_filter(t, flags, args);
    case LX_SECCOMP_GET_ACTION_AVAIL:
        return flags ? -LX_EINVAL : action_available(args);
    case LX_SECCOMP_GET_NOTIF_SIZES: {
        const u16 sizes[3] = {80, 24, 64}; /* seccomp_notif, seccomp_notif_resp, seccomp_data */
        return flags ? -LX_EINVAL : copy_out(args, sizes, sizeof(sizes));
    }
    default:
        return -LX_EINVAL;
    }
}

s64 seccomp_set_mode(struct task *t, u64 mode, uaddr_t prog)
{
    switch (mode) {
    case LX_SECCOMP_MODE_STRICT:
        return set_strict(t);
    case LX_SECCOMP_MODE_FILTER:
        return set_filter(t, 0, prog);
    default:
        return -LX_EINVAL;
    }
}
