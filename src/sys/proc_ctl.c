/* Handlers: prctl, arch_prctl, personality. */
#include <string.h>

#include "kern/cred.h"
#include "kern/ptrace.h"
#include "kern/seccomp.h"
#include "sys/sys.h"

#define LX_PR_GET_AUXV 0x41555856
#define LX_PR_GET_MDWE 66
#define ANON_NAME_MAX  80

static s64 put_int(u64 addr, s32 v)
{
    return put_user(v, uaddr(addr));
}

static bool has_args(u64 x, u64 y, u64 z)
{
    return x || y || z;
}

static s64 set_name(struct task *t, u64 addr)
{
    char name[sizeof(t->comm)] = {0};
    s64 n = copy_in_str(name, uaddr(addr), sizeof(name));
    if (n == -LX_EFAULT)
        return n;
    name[sizeof(name) - 1] = '\0'; /* a longer one is cut */
    mutex_lock(&t->tg->sig_lock);
    memcpy(t->comm, name, sizeof(t->comm));
    mutex_unlock(&t->tg->sig_lock);
    return 0;
}

/* A subreaper's descendants must look for it when they are orphaned. */
static void mark_descendants(struct tgroup *g)
{
    struct tgroup *top = g, *c = g;
    for (;;) { /* a walk without recursion: the tree may be deep */
        struct tgroup *next = list_first(&c->children, struct tgroup, sibling);
        while (!next && c != top) {
            struct list *n = c->sibling.next;
            if (n != &c->parent->children)
                next = list_entry(n, struct tgroup, sibling);
            else
                c = c->parent;
        }
        if (!next)
            return;
        c = next;
        c->has_child_subreaper = true;
    }
}

static s64 set_subreaper(struct task *t, bool is_on)
{
    rwlock_wrlock(&task_lock);
    t->tg->is_subreaper = is_on;
    if (is_on)
        mark_descendants(t->tg);
    rwlock_wrunlock(&task_lock);
    return 0;
}

static bool is_anon_name_char(char c)
{
    return c >= 0x20 && c < 0x7f && !strchr("\\`$[]", c);
}

static s64 set_vma(struct task *t, u64 op, u64 addr, u64 size, u64 name_addr)
{
    char name[ANON_NAME_MAX];
    if (op != LX_PR_SET_VMA_ANON_NAME)
        return -LX_EINVAL;
    if (name_addr) {
        s64 n = copy_in_str(name, uaddr(name_addr), sizeof(name));
        if (n < 0)
            return n == -LX_ENAMETOOLONG ? -LX_EINVAL : n;
        for (s64 i = 0; i < n; i++) {
            if (!is_anon_name_char(name[i]))
                return -LX_EINVAL;
        }
    }
    return mm_set_anon_name(t->mm, addr, size, name_addr ? name : NULL);
}

static s64 set_mm(struct task *t, u64 op, u64 addr, u64 arg4, u64 arg5)
{
    if (arg5 || (arg4 && op != LX_PR_SET_MM_AUXV && op != LX_PR_SET_MM_MAP &&
                 op != LX_PR_SET_MM_MAP_SIZE))
        return -LX_EINVAL;
    if (!ns_capable(&root_user_ns, LX_CAP_SYS_RESOURCE))
        return -LX_EPERM;
    struct mm *mm = t->mm;
    u64 *const fields[] = {
        [LX_PR_SET_MM_START_CODE] = &mm->start_code, [LX_PR_SET_MM_END_CODE] = &mm->end_code,
        [LX_PR_SET_MM_START_DATA] = &mm->start_data, [LX_PR_SET_MM_END_DATA] = &mm->end_data,
        [LX_PR_SET_MM_START_STACK] = &mm->start_stack, [LX_PR_SET_MM_ARG_START] = &mm->arg_start,
        [LX_PR_SET_MM_ARG_END] = &mm->arg_end, [LX_PR_SET_MM_ENV_START] = &mm->env_start,
        [LX_PR_SET_MM_ENV_END] = &mm->env_end,
    };
    if (op >= ARRAY_SIZE(fields) || !fields[op])
        return -LX_EINVAL; /* the break, the executable and the maps are not moved */
    MUTEX_GUARD(&mm->lock);
    struct vma *v = mm_find(mm, addr);
    if (!v || v->start > addr)
        return -LX_EINVAL;
    *fields[op] = addr;
    return 0;
}

static s64 get_auxv(struct task *t, u64 addr, u64 size)
{
    u64 auxv[ARRAY_SIZE(t->mm->saved_auxv)];
    memcpy(auxv, t->mm->saved_auxv, sizeof(auxv));
    if (copy_out(uaddr(addr), auxv, MIN(size, sizeof(auxv))) < 0)
        return -LX_EFAULT;
    return sizeof(auxv);
}

static s64 spec_ctrl(u64 op, u64 which, u64 arg3)
{
    if (which > LX_PR_SPEC_L1D_FLUSH)
        return -LX_ENODEV;
    if (op == LX_PR_GET_SPECULATION_CTRL)
        return arg3 ? -LX_EINVAL : LX_PR_SPEC_NOT_AFFECTED; /* the host's matter */
    return -LX_ENXIO;
}

static s64 prctl_cred(struct task *t, int op, const u64 a[6])
{
    const struct cred *c = t->cred;
    switch (op) {
    case LX_PR_GET_KEEPCAPS:
        return (c->securebits & LX_SECBIT_KEEP_CAPS) != 0;
    case LX_PR_SET_KEEPCAPS:
        return cred_set_keepcaps(t, a[1]);
    case LX_PR_GET_SECUREBITS:
        return c->securebits;
    case LX_PR_SET_SECUREBITS:
        return cred_set_securebits(t, a[1]);
    case LX_PR_CAPBSET_READ:
        return a[1] > LX_CAP_LAST_CAP ? -LX_EINVAL : (s64)(c->cap_bounding >> a[1] & 1);
    case LX_PR_CAPBSET_DROP:
        return cred_drop_bounding(t, a[1]);
    case LX_PR_CAP_AMBIENT:
        return cred_ambient(t, a[1], a[2], a[3], a[4]);
    case LX_PR_SET_NO_NEW_PRIVS:
        return a[1] != 1 || has_args(a[2], a[3], a[4]) ? -LX_EINVAL : cred_set_no_new_privs(t);
    case LX_PR_GET_NO_NEW_PRIVS:
        return a[1] || has_args(a[2], a[3], a[4]) ? -LX_EINVAL : cred_has_no_new_privs(t);
    case LX_PR_GET_SECCOMP:
        return t->seccomp_mode;
    case LX_PR_SET_SECCOMP:
        return seccomp_set_mode(t, a[1], uaddr(a[2]));
    default:
        return -LX_ENOSYS; /* not one of these */
    }
}

static s64 prctl_task(struct task *t, int op, const u64 a[6])
{
    switch (op) {
    case LX_PR_SET_PDEATHSIG:
        if (a[1] > LX_NSIG)
            return -LX_EINVAL;
        t->pdeath_signal = (int)a[1];
        return 0;
    case LX_PR_GET_PDEATHSIG:
        return put_int(a[1], t->pdeath_signal);
    case LX_PR_SET_NAME:
        return set_name(t, a[1]);
    case LX_PR_GET_NAME:
        return copy_out(uaddr(a[1]), t->comm, sizeof(t->comm));
    case LX_PR_SET_TIMERSLACK:
        t->timer_slack_ns = (s64)a[1] <= 0 ? 50000 : a[1];
        return 0;
    case LX_PR_GET_TIMERSLACK:
        return (s64)t->timer_slack_ns;
    case LX_PR_SET_CHILD_SUBREAPER:
        return set_subreaper(t, a[1] != 0);
    case LX_PR_GET_CHILD_SUBREAPER:
        return put_int(a[1], t->tg->is_subreaper);
    case LX_PR_GET_TID_ADDRESS:
        return put_user(t->clear_child_tid, uaddr(a[1]));
    case LX_PR_GET_TSC:
        return put_int(a[1], LX_PR_TSC_ENABLE);
    case LX_PR_SET_TSC:
        return a[1] == LX_PR_TSC_ENABLE ? 0 : -LX_EINVAL;
    case LX_PR_TASK_PERF_EVENTS_DISABLE:
    case LX_PR_TASK_PERF_EVENTS_ENABLE:
        return 0; /* there are none to switch */
    case LX_PR_GET_TIMING:
        return LX_PR_TIMING_STATISTICAL;
    case LX_PR_SET_TIMING:
        return a[1] == LX_PR_TIMING_STATISTICAL ? 0 : -LX_EINVAL;
    case LX_PR_MCE_KILL_GET:
        return a[1] || has_args(a[2], a[3], a[4]) ? -LX_EINVAL : LX_PR_MCE_KILL_DEFAULT;
    case LX_PR_SET_IO_FLUSHER:
    case LX_PR_GET_IO_FLUSHER:
        if (!ns_capable(&root_user_ns, LX_CAP_SYS_RESOURCE))
            return -LX_EPERM;
        if (has_args(a[2], a[3], a[4]) || a[1] > (op == LX_PR_SET_IO_FLUSHER))
            return -LX_EINVAL;
        if (op == LX_PR_GET_IO_FLUSHER)
            return t->is_io_flusher;
        t->is_io_flusher = a[1];
        return 0;
    case LX_PR_GET_SPECULATION_CTRL:
    case LX_PR_SET_SPECULATION_CTRL:
        return spec_ctrl((u64)op, a[1], a[2]);
    default:
        return -LX_EINVAL;
    }
}

static s64 prctl_mm(struct task *t, int op, const u64 a[6])
{
    switch (op) {
    case LX_PR_GET_DUMPABLE:
        return t->mm->dumpable;
    case LX_PR_SET_DUMPABLE:
        if (a[1] > 1)
            return -LX_EINVAL;
        t->mm->dumpable = (u32)a[1];
        return 0;
    case LX_PR_SET_THP_DISABLE:
        if (has_args(a[2], a[3], a[4]))
            return -LX_EINVAL;
        t->is_thp_disabled = a[1] != 0;
        return 0;
    case LX_PR_GET_THP_DISABLE:
        return a[1] || has_args(a[2], a[3], a[4]) ? -LX_EINVAL : t->is_thp_disabled;
    case LX_PR_GET_MDWE:
        return a[1] || has_args(a[2], a[3], a[4]) ? -LX_EINVAL : 0;
    case LX_PR_SET_VMA:
        return set_vma(t, a[1], a[2], a[3], a[4]);
    case LX_PR_SET_MM:
        return set_mm(t, a[1], a[2], a[3], a[4]);
    case LX_PR_GET_AUXV:
        return has_args(a[3], a[4], 0) ? -LX_EINVAL : get_auxv(t, a[1], a[2]);
    default:
        return -LX_ENOSYS; /* not one of these */
    }
}

s64 sys_prctl(struct task *t, const u64 a[6])
{
    int op = (int)a[0];
    s64 r = prctl_cred(t, op, a);
    if (r == -LX_ENOSYS)
        r = prctl_mm(t, op, a);
    return r == -LX_ENOSYS ? prctl_task(t, op, a) : r;
}

/* ---- arch_prctl ---------------------------------------------------------------------------- */

#define XFEATURES_DYNAMIC (3ULL << 17) /* AMX tiles: on request only */
#define XFEATURE_MAX      18

static s64 set_base(struct task *t, u64 addr, bool is_fs)
{
    if (addr >= PLATFORM_MAX)
        return -LX_EPERM;
    struct uregs *regs = uctx_regs(t->uctx);
    *(is_fs ? &regs->fs_base : &regs->gs_base) = addr;
    uctx_regs_changed(t->uctx);
    return 0;
}

s64 sys_arch_prctl(struct task *t, const u64 a[6])
{
    switch ((int)a[0]) {
    case LX_ARCH_SET_FS:
        return set_base(t, a[1], true);
    case LX_ARCH_SET_GS:
        return set_base(t, a[1], false);
    case LX_ARCH_GET_FS:
        return put_user(uctx_regs(t->uctx)->fs_base, uaddr(a[1]));
    case LX_ARCH_GET_GS:
        return put_user(uctx_regs(t->uctx)->gs_base, uaddr(a[1]));
    case LX_ARCH_GET_CPUID:
        return 1;
    case LX_ARCH_SET_CPUID:
        return -LX_ENODEV;
    case LX_ARCH_GET_XCOMP_SUPP:
    case LX_ARCH_GET_XCOMP_PERM:
        return put_user((u64)(platform_xcr0() & ~XFEATURES_DYNAMIC), uaddr(a[1]));
    case LX_ARCH_REQ_XCOMP_PERM:
        if (a[1] > XFEATURE_MAX)
            return -LX_EINVAL;
        return (platform_xcr0() & ~XFEATURES_DYNAMIC) >> a[1] & 1 ? 0 : -LX_EOPNOTSUPP;
    default:
        return -LX_EINVAL;
    }
}

s64 sys_personality(struct task *t, const u64 a[6])
{
    u32 old = t->personality;
    if ((u32)a[0] != UINT32_MAX)
        t->personality = (u32)a[0];
    return old;
}

/* ---- seccomp, ptrace ----------------------------------------------------------------------- */

s64 sys_seccomp(struct task *t, const u64 a[6])
{
    return seccomp_call(t, (u32)a[0], (u32)a[1], uaddr(a[2]));
}

s64 sys_ptrace(struct task *t, const u64 a[6])
{
    return ptrace_call(t, (s64)a[0], (s32)a[1], a[2], a[3]);
}
