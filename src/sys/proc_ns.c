/* Handlers: namespaces, names of the machine, random numbers. */
#include <string.h>
#include <sys/random.h>

#include "kern/unshare.h"
#include "kern/uname.h"
#include "sys/sys.h"

s64 sys_unshare(struct task *t, const u64 a[6])
{
    return kern_unshare(t, a[0]);
}

s64 sys_setns(struct task *t, const u64 a[6])
{
    struct file *f cleanup(file_put_p) = fd_get((int)a[0]);
    return f ? kern_setns(t, f, (u32)a[1]) : -LX_EBADF;
}

/* ---- names --------------------------------------------------------------------------------- */

struct lx_utsname {
    char sysname[65], nodename[65], release[65], version[65], machine[65], domainname[65];
};
_Static_assert(sizeof(struct lx_utsname) == 390, "new_utsname");

#define PER_MASK    0xffU
#define PER_LINUX32 8U

s64 sys_uname(struct task *t, const u64 a[6])
{
    struct lx_utsname u;
    struct uts_ns *ns = t->ns->uts;
    memset(&u, 0, sizeof(u));
    strcpy(u.sysname, KERN_SYSNAME);
    strcpy(u.release, KERN_RELEASE);
    strcpy(u.version, KERN_VERSION);
    strcpy(u.machine, (t->personality & PER_MASK) == PER_LINUX32 ? "i686" : KERN_MACHINE);
    mutex_lock(&ns->lock);
    memcpy(u.nodename, ns->nodename, sizeof(u.nodename));
    memcpy(u.domainname, ns->domainname, sizeof(u.domainname));
    mutex_unlock(&ns->lock);
    return copy_out(uaddr(a[0]), &u, sizeof(u));
}

static s64 set_uts_name(struct task *t, const u64 a[6], char *dst)
{
    char name[65];
    struct uts_ns *ns = t->ns->uts;
    s32 size = (s32)a[1];
    if (!ns_capable(ns->user_ns, LX_CAP_SYS_ADMIN))
        return -LX_EPERM;
    if (size < 0 || size > 64)
        return -LX_EINVAL;
    memset(name, 0, sizeof(name));
    if (copy_in(name, uaddr(a[0]), (size_t)size) < 0)
        return -LX_EFAULT;
    mutex_lock(&ns->lock);
    memcpy(dst, name, sizeof(name));
    mutex_unlock(&ns->lock);
    uts_changed();
    return 0;
}

s64 sys_sethostname(struct task *t, const u64 a[6])
{
    return set_uts_name(t, a, t->ns->uts->nodename);
}

s64 sys_setdomainname(struct task *t, const u64 a[6])
{
    return set_uts_name(t, a, t->ns->uts->domainname);
}

/* ---- the rest ------------------------------------------------------------------------------ */

s64 sys_getrandom(struct task *t, const u64 a[6])
{
    u8 buf[256];
    u32 flags = (u32)a[2];
    u64 size = MIN(a[1], (u64)INT32_MAX), done = 0;
    if (flags & ~(u32)(LX_GRND_NONBLOCK | LX_GRND_RANDOM | LX_GRND_INSECURE))
        return -LX_EINVAL;
    if ((flags & (LX_GRND_RANDOM | LX_GRND_INSECURE)) == (LX_GRND_RANDOM | LX_GRND_INSECURE))
        return -LX_EINVAL;
    while (done < size) {
        size_t n = MIN(size - done, sizeof(buf));
        if (getrandom(buf, n, 0) != (ssize_t)n)
            return done ? (s64)done : -LX_EAGAIN;
        if (copy_out(uaddr(a[0] + done), buf, n) < 0)
            return done ? (s64)done : -LX_EFAULT;
        done += n;
        if (done % PAGE_SIZE == 0 && signal_is_pending(t))
            break; /* as Linux: a large request may be cut short */
    }
    return (s64)done;
}

s64 sys_reboot(struct task *t, const u64 a[6])
{
    return -LX_EPERM;
}

s64 sys_vhangup(struct task *t, const u64 a[6])
{
    return ns_capable(&root_user_ns, LX_CAP_SYS_TTY_CONFIG) ? 0 : -LX_EPERM;
}
