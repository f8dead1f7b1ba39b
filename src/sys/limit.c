/* Handlers: resource limits. */
#include "kern/rlimit.h"
#include "sys/sys.h"

s64 sys_getrlimit(struct task *t, const u64 a[6])
{
    struct lx_rlimit old;
    int r = rlimit_change(t, t->tg, (u32)a[0], NULL, &old);
    return r < 0 ? r : put_user(old, uaddr(a[1]));
}

s64 sys_setrlimit(struct task *t, const u64 a[6])
{
    struct lx_rlimit l, old;
    int r = get_user(l, uaddr(a[1]));
    return r < 0 ? r : rlimit_change(t, t->tg, (u32)a[0], &l, &old);
}

s64 sys_prlimit64(struct task *t, const u64 a[6])
{
    struct lx_rlimit l, old;
    int r = a[2] ? get_user(l, uaddr(a[2])) : 0;
    if (r < 0)
        return r;
    r = rlimit_of_pid(t, (s32)a[0], (u32)a[1], a[2] ? &l : NULL, &old);
    return r == 0 && a[3] ? put_user(old, uaddr(a[3])) : r;
}
