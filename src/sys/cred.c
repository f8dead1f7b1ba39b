/* Handlers: credentials and capabilities. */
#include "kern/cred.h"

#include <stdlib.h>
#include <string.h>

#include "sys/sys.h"

#define NS (t->cred->user_ns)

s64 sys_getuid(struct task *t, const u64 a[6])
{
    return from_kuid(NS, t->cred->uid);
}

s64 sys_geteuid(struct task *t, const u64 a[6])
{
    return from_kuid(NS, t->cred->euid);
}

s64 sys_getgid(struct task *t, const u64 a[6])
{
    return from_kgid(NS, t->cred->gid);
}

s64 sys_getegid(struct task *t, const u64 a[6])
{
    return from_kgid(NS, t->cred->egid);
}

static s64 put_three(const u64 a[6], u32 x, u32 y, u32 z)
{
    if (put_user(x, uaddr(a[0])) < 0 || put_user(y, uaddr(a[1])) < 0 ||
        put_user(z, uaddr(a[2])) < 0)
        return -LX_EFAULT;
    return 0;
}

s64 sys_getresuid(struct task *t, const u64 a[6])
{
    const struct cred *c = t->cred;
    return put_three(a, from_kuid(NS, c->uid), from_kuid(NS, c->euid), from_kuid(NS, c->suid));
}

s64 sys_getresgid(struct task *t, const u64 a[6])
{
    const struct cred *c = t->cred;
    return put_three(a, from_kgid(NS, c->gid), from_kgid(NS, c->egid), from_kgid(NS, c->sgid));
}

s64 sys_setuid(struct task *t, const u64 a[6])
{
    return cred_setuid(t, (u32)a[0]);
}

s64 sys_setgid(struct task *t, const u64 a[6])
{
    return cred_setgid(t, (u32)a[0]);
}

s64 sys_setreuid(struct task *t, const u64 a[6])
{
    return cred_setreuid(t, (u32)a[0], (u32)a[1]);
}

s64 sys_setregid(struct task *t, const u64 a[6])
{
    return cred_setregid(t, (u32)a[0], (u32)a[1]);
}

s64 sys_setresuid(struct task *t, const u64 a[6])
{
    return cred_setresuid(t, (u32)a[0], (u32)a[1], (u32)a[2]);
}

s64 sys_setresgid(struct task *t, const u64 a[6])
{
    return cred_setresgid(t, (u32)a[0], (u32)a[1], (u32)a[2]);
}

s64 sys_setfsuid(struct task *t, const u64 a[6])
{
    return cred_setfsuid(t, (u32)a[0]);
}

s64 sys_setfsgid(struct task *t, const u64 a[6])
{
    return cred_setfsgid(t, (u32)a[0]);
}

/* ---- groups -------------------------------------------------------------------------------- */

s64 sys_getgroups(struct task *t, const u64 a[6])
{
    const struct cred *c = t->cred;
    int size = (int)a[0];
    if (size < 0)
        return -LX_EINVAL;
    if (size == 0)
        return c->ngroups;
    if (c->ngroups > (u32)size)
        return -LX_EINVAL;
    for (u32 i = 0; i < c->ngroups; i++) {
        u32 gid = from_kgid(NS, c->groups[i]);
        if (put_user(gid, uaddr(a[1] + i * sizeof(gid))) < 0)
            return -LX_EFAULT;
    }
    return c->ngroups;
}

s64 sys_setgroups(struct task *t, const u64 a[6])
{
    u32 n = (u32)a[0];
    if (!ns_capable(NS, LX_CAP_SETGID) || NS->is_setgroups_denied ||
        __atomic_load_n(&NS->ngid_map, __ATOMIC_ACQUIRE) == 0)
        return -LX_EPERM;
    if (n > CRED_MAX_GROUPS)
        return -LX_EINVAL;
    u32 *groups = n ? malloc(n * sizeof(u32)) : NULL;
    if (n && !groups)
        return -LX_ENOMEM;
    int r = n ? copy_in(groups, uaddr(a[1]), n * sizeof(u32)) : 0;
    for (u32 i = 0; r == 0 && i < n; i++) {
        groups[i] = make_kgid(NS, groups[i]);
        if (groups[i] == UINT32_MAX)
            r = -LX_EINVAL;
    }
    if (r < 0) {
        free(groups);
        return r;
    }
    return cred_setgroups(t, groups, n);
}

/* ---- capabilities -------------------------------------------------------------------------- */

struct cap_header {
    u32 version;
    s32 pid;
};
struct cap_data {
    u32 effective, permitted, inheritable;
};

/* Number of cap_data elements that go with the header's version; as Linux, an unknown one is
 * answered with the preferred one. */
static s64 read_cap_header(u64 addr, struct cap_header *ret, u32 *ret_count)
{
    if (copy_in(ret, uaddr(addr), sizeof(*ret)) < 0)
        return -LX_EFAULT;
    switch (ret->version) {
    case LX__LINUX_CAPABILITY_VERSION_1:
        *ret_count = 1;
        return 0;
    case LX__LINUX_CAPABILITY_VERSION_2:
    case LX__LINUX_CAPABILITY_VERSION_3:
        *ret_count = 2;
        return 0;
    default: {
        u32 preferred = LX__LINUX_CAPABILITY_VERSION_3;
        return put_user(preferred, uaddr(addr)) < 0 ? -LX_EFAULT : -LX_EINVAL;
    }
    }
}

s64 sys_capget(struct task *t, const u64 a[6])
{
    struct cap_header h;
    u32 count = 0;
    s64 r = read_cap_header(a[0], &h, &count);
    if (r < 0 || !a[1])
        return !a[1] && r == -LX_EINVAL ? 0 : r;
    if (h.pid < 0)
        return -LX_EINVAL;
    const struct cred *c;
    if (h.pid == 0) {
        cred_get(t->cred);
        c = t->cred;
    } else {
        struct task *other = task_find(task_pid_ns(t), h.pid);
        if (!other)
            return -LX_ESRCH;
        c = task_get_cred(other);
        task_put(other);
    }
    struct cap_data d[2];
    for (u32 i = 0; i < 2; i++)
        d[i] = (struct cap_data){(u32)(c->cap_effective >> (32 * i)),
                                 (u32)(c->cap_permitted >> (32 * i)),
                                 (u32)(c->cap_inheritable >> (32 * i))};
    cred_put(c);
    return copy_out(uaddr(a[1]), d, count * sizeof(d[0]));
}

s64 sys_capset(struct task *t, const u64 a[6])
{
    struct cap_header h;
    u32 count = 0;
    s64 r = read_cap_header(a[0], &h, &count);
    if (r < 0)
        return r;
    if (h.pid != 0 && h.pid != task_tid_in(t, task_pid_ns(t)))
        return -LX_EPERM;
    struct cap_data d[2];
    memset(d, 0, sizeof(d));
    if (copy_in(d, uaddr(a[1]), count * sizeof(d[0])) < 0)
        return -LX_EFAULT;
    struct cap_sets want = {
        .effective = d[0].effective | (u64)d[1].effective << 32,
        .permitted = d[0].permitted | (u64)d[1].permitted << 32,
        .inheritable = d[0].inheritable | (u64)d[1].inheritable << 32,
    };
    return cred_capset(t, &want);
}
