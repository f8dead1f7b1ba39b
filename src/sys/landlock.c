/* Handlers: landlock_create_ruleset, landlock_add_rule, landlock_restrict_self. */
#include "vfs/landlock.h"

#include "kern/cred.h"
#include "sys/fsutil.h"
#include "sys/sys.h"

#define CREATE_VERSION    1U
#define RULE_PATH_BENEATH 1
#define RULE_NET_PORT     2

struct lx_landlock_ruleset_attr {
    u64 fs, net, scope;
};

s64 sys_landlock_create_ruleset(struct task *t, const u64 a[6])
{
    struct lx_landlock_ruleset_attr at;
    u64 size = a[1];
    u32 flags = (u32)a[2];
    if (flags)
        return flags == CREATE_VERSION && !a[0] && !size ? LANDLOCK_ABI : -LX_EINVAL;
    if (size < sizeof(at.fs))
        return -LX_EINVAL;
    if (size > PAGE_SIZE)
        return -LX_E2BIG;
    int r = copy_in_struct(&at, sizeof(at), uaddr(a[0]), size);
    if (r < 0)
        return r;
    if (at.fs & ~LL_FS_ALL || at.net & ~LL_NET_ALL || at.scope & ~LL_SCOPE_ALL)
        return -LX_EINVAL;
    if (!at.fs && !at.net && !at.scope)
        return -LX_ENOMSG;
    struct file *f = NULL;
    r = landlock_ruleset_new(at.fs, at.net, at.scope, &f);
    return fs_install(r, f, LX_O_CLOEXEC);
}

static s64 add_path(struct file *rules, u64 at)
{
    struct {
        u64 access;
        s32 fd;
    } __attribute__((packed)) attr;
    if (get_user(attr, uaddr(at)) < 0)
        return -LX_EFAULT;
    if (!attr.access)
        return -LX_ENOMSG;
    struct file *f cleanup(file_put_p) = fd_get_raw(attr.fd);
    if (!f)
        return -LX_EBADF;
    return landlock_add_path(rules, &f->path, attr.access);
}

static s64 add_port(struct file *rules, u64 at)
{
    struct {
        u64 access, port;
    } attr;
    if (get_user(attr, uaddr(at)) < 0)
        return -LX_EFAULT;
    if (!attr.access)
        return -LX_ENOMSG;
    return attr.port > UINT16_MAX ? -LX_EINVAL
                                  : landlock_add_port(rules, (u16)attr.port, attr.access);
}

s64 sys_landlock_add_rule(struct task *t, const u64 a[6])
{
    if ((u32)a[3])
        return -LX_EINVAL;
    struct file *f cleanup(file_put_p) = fd_get((int)a[0]);
    if (!f)
        return -LX_EBADF;
    if (!landlock_is_ruleset(f))
        return -LX_EBADFD;
    switch ((u32)a[1]) {
    case RULE_PATH_BENEATH:
        return add_path(f, a[2]);
    case RULE_NET_PORT:
        return add_port(f, a[2]);
    default:
        return -LX_EINVAL;
    }
}

s64 sys_landlock_restrict_self(struct task *t, const u64 a[6])
{
    if (!t->cred->is_no_new_privs && !ns_capable(t->cred->user_ns, LX_CAP_SYS_ADMIN))
        return -LX_EPERM;
    if ((u32)a[1])
        return -LX_EINVAL;
    struct file *f cleanup(file_put_p) = fd_get((int)a[0]);
    if (!f)
        return -LX_EBADF;
    if (!landlock_is_ruleset(f))
        return -LX_EBADFD;
    return cred_restrict(t, f);
}
