/*
 * nsfs. Dentries are named "type:[number]" below one hidden root and live while they are used. The
 * lookup that makes one finds the namespace in a variable of its thread: only nsfs_path looks
 * up here.
 */
#include "kern/nsfs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "abi/sched.h"
#include "kern/kern_int.h"

#define NS_GET_USERNS    0xb701
#define NS_GET_PARENT    0xb702
#define NS_GET_NSTYPE    0xb703
#define NS_GET_OWNER_UID 0xb704

static const struct ns_kind {
    u64 type;
    const char *name;
} kinds[] = {
    {LX_CLONE_NEWNS, "mnt"}, {LX_CLONE_NEWUTS, "uts"},   {LX_CLONE_NEWIPC, "ipc"},
    {LX_CLONE_NEWPID, "pid"}, {LX_CLONE_NEWNET, "net"},  {LX_CLONE_NEWUSER, "user"},
    {LX_CLONE_NEWTIME, "time"}, {LX_CLONE_NEWCGROUP, "cgroup"},
};

static struct mount *nsfs_mnt; /* set at start */
static _Thread_local void *pending_ns;
static _Thread_local u64 pending_type;

const char *ns_type_name(u64 type)
{
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
        if (kinds[i].type == type)
            return kinds[i].name;
    return "none";
}

void ns_get(u64 type, void *ns)
{
    switch (type) {
    case LX_CLONE_NEWNS:
        mnt_ns_get(ns);
        break;
    case LX_CLONE_NEWUTS:
        uts_ns_get(ns);
        break;
    case LX_CLONE_NEWIPC:
        ipc_ns_get(ns);
        break;
    case LX_CLONE_NEWPID:
        pid_ns_get(ns);
        break;
    case LX_CLONE_NEWNET:
        if (kern_hooks.net_ns_get)
            kern_hooks.net_ns_get(ns);
        break;
    case LX_CLONE_NEWUSER:
        user_ns_get(ns);
        break;
    case LX_CLONE_NEWTIME:
        time_ns_get(ns);
        break;
    case LX_CLONE_NEWCGROUP:
        cgroup_ns_get(ns);
        break;
    default:
        break;
    }
}

void ns_put(u64 type, void *ns)
{
    switch (type) {
    case LX_CLONE_NEWNS:
        mnt_ns_put(ns);
        break;
    case LX_CLONE_NEWUTS:
        uts_ns_put(ns);
        break;
    case LX_CLONE_NEWIPC:
        ipc_ns_put(ns);
        break;
    case LX_CLONE_NEWPID:
        pid_ns_put(ns);
        break;
    case LX_CLONE_NEWNET:
        if (kern_hooks.net_ns_put)
            kern_hooks.net_ns_put(ns);
        break;
    case LX_CLONE_NEWUSER:
        user_ns_put(ns);
        break;
    case LX_CLONE_NEWTIME:
        time_ns_put(ns);
        break;
    case LX_CLONE_NEWCGROUP:
        cgroup_ns_put(ns);
        break;
    default:
        break;
    }
}

u64 ns_ino(u64 type, void *ns)
{
    switch (type) {
    case LX_CLONE_NEWNS:
        return ((struct mnt_ns *)ns)->ino;
    case LX_CLONE_NEWUTS:
        return ((struct uts_ns *)ns)->ino;
    case LX_CLONE_NEWIPC:
        return ipc_ns_ino(ns);
    case LX_CLONE_NEWPID:
        return ((struct pid_ns *)ns)->ino;
    case LX_CLONE_NEWNET:
        return kern_hooks.net_ns_ino ? kern_hooks.net_ns_ino(ns) : 0;
    case LX_CLONE_NEWUSER:
        return ((struct user_ns *)ns)->ino;
    case LX_CLONE_NEWTIME:
        return time_ns_ino(ns);
    default:
        return cgroup_ns_ino(ns);
    }
}

struct user_ns *ns_owner(u64 type, void *ns)
{
    switch (type) {
    case LX_CLONE_NEWNS:
        return ((struct mnt_ns *)ns)->user_ns ? ((struct mnt_ns *)ns)->user_ns : &root_user_ns;
    case LX_CLONE_NEWUTS:
        return ((struct uts_ns *)ns)->user_ns;
    case LX_CLONE_NEWPID:
        return ((struct pid_ns *)ns)->user_ns;
    case LX_CLONE_NEWUSER:
        return ((struct user_ns *)ns)->parent;
    case LX_CLONE_NEWIPC:
        return ipc_ns_owner(ns);
    case LX_CLONE_NEWNET:
        return kern_hooks.net_ns_owner ? kern_hooks.net_ns_owner(ns) : &root_user_ns;
    case LX_CLONE_NEWTIME:
        return time_ns_owner(ns);
    default:
        return cgroup_ns_owner(ns);
    }
}

/* ---- the file system ------------------------------------------------------------------------ */

struct ns_inode {
    u64 type;
    void *ns; /* counted */
};

static void nsfs_evict(struct inode *i)
{
    struct ns_inode *n = i->priv;
    if (!n)
        return;
    ns_put(n->type, n->ns);
    free(n);
}

static int nsfs_statfs(struct super *sb, struct kstatfs *ret)
{
    *ret = (struct kstatfs){.type = 0x6e736673, .bsize = 4096, .frsize = 4096, .namelen = 255};
    return 0;
}

/* An fd of a related namespace. */
static s64 open_ns(u64 type, void *ns)
{
    struct path p;
    struct file *f;
    int r = nsfs_path(type, ns, &p);
    if (r < 0)
        return r;
    r = file_open_path(&p, LX_O_RDONLY, &f);
    path_put(&p);
    if (r < 0)
        return r;
    int fd = fd_install(f, 0, LX_O_CLOEXEC);
    if (fd < 0)
        file_put(f);
    return fd;
}

/* True when ns is the current task's user namespace or below it. */
static bool is_visible(const struct user_ns *ns)
{
    const struct user_ns *own = vfs_cred()->user_ns;
    for (; ns; ns = ns->parent)
        if (ns == own)
            return true;
    return false;
}

static s64 get_parent(const struct ns_inode *n)
{
    void *parent;
    if (n->type == LX_CLONE_NEWUSER)
        parent = ((struct user_ns *)n->ns)->parent;
    else if (n->type == LX_CLONE_NEWPID)
        parent = ((struct pid_ns *)n->ns)->parent;
    else
        return -LX_EINVAL;
    if (!parent || (n->type == LX_CLONE_NEWUSER && !is_visible(parent)))
        return -LX_EPERM;
    if (n->type == LX_CLONE_NEWPID && task_current() &&
        !pid_ns_is_below(parent, task_pid_ns(task_current())))
        return -LX_EPERM;
    ns_get(n->type, parent);
    return open_ns(n->type, parent);
}

static s64 nsfs_ioctl(struct file *f, u32 cmd, u64 arg)
{
    const struct ns_inode *n = f->inode->priv;
    struct user_ns *owner = ns_owner(n->type, n->ns);
    switch (cmd) {
    case NS_GET_USERNS:
        if (!owner || !is_visible(owner))
            return -LX_EPERM;
        user_ns_get(owner);
        return open_ns(LX_CLONE_NEWUSER, owner);
    case NS_GET_PARENT:
        return get_parent(n);
    case NS_GET_NSTYPE:
        return (s64)n->type;
    case NS_GET_OWNER_UID: {
        if (n->type != LX_CLONE_NEWUSER)
            return -LX_EINVAL;
        u32 uid = from_kuid(vfs_cred()->user_ns, ((struct user_ns *)n->ns)->owner_uid);
        return put_user(uid, uaddr(arg));
    }
    default:
        return -LX_ENOTTY;
    }
}

static const struct file_ops nsfs_fops = {.ioctl = nsfs_ioctl};
static const struct inode_ops nsfs_iops;

static int nsfs_lookup(struct inode *dir, struct dentry *d)
{
    struct ns_inode *n = calloc(1, sizeof(*n));
    if (!n || !pending_ns) {
        free(n);
        return pending_ns ? -LX_ENOMEM : -LX_ENOENT;
    }
    n->type = pending_type;
    n->ns = take_ptr(pending_ns);
    struct inode *i =
        inode_new(dir->sb, ns_ino(n->type, n->ns), LX_S_IFREG | 0444, &nsfs_iops, &nsfs_fops);
    if (!i) {
        ns_put(n->type, n->ns);
        free(n);
        return -LX_ENOMEM;
    }
    i->priv = n;
    dentry_instantiate(d, i);
    return 0;
}

static bool nsfs_is_transient(struct dentry *d)
{
    return true;
}

static const struct inode_ops nsfs_dir_iops = {.lookup = nsfs_lookup};
static const struct file_ops nsfs_dir_fops;
static const struct super_ops nsfs_super_ops = {.evict = nsfs_evict, .statfs = nsfs_statfs};
static const struct dentry_ops nsfs_dentry_ops = {.is_transient = nsfs_is_transient};
static const struct fs_type nsfs_type = {.name = "nsfs"};

int nsfs_path(u64 type, void *ns, struct path *ret_path)
{
    char name[32];
    struct dentry *d;
    snprintf(name, sizeof(name), "%s:[%llu]", ns_type_name(type),
             (unsigned long long)ns_ino(type, ns));
    pending_type = type;
    pending_ns = ns;
    int r = dentry_lookup(nsfs_mnt->root, name, strlen(name), &d);
    if (pending_ns) /* it was there already, or there was no memory */
        ns_put(type, take_ptr(pending_ns));
    if (r < 0)
        return r;
    mount_get(nsfs_mnt);
    *ret_path = (struct path){nsfs_mnt, d};
    return 0;
}

bool nsfs_of_file(struct file *f, u64 *ret_type, void **ret_ns)
{
    if (f->ops != &nsfs_fops)
        return false;
    const struct ns_inode *n = f->inode->priv;
    *ret_type = n->type;
    *ret_ns = n->ns;
    return true;
}

int nsfs_init(void)
{
    struct super *sb = super_new(&nsfs_type, &nsfs_super_ops, "nsfs", NULL);
    if (!sb)
        return -LX_ENOMEM;
    sb->flags |= SB_NAMED;
    sb->d_ops = &nsfs_dentry_ops;
    struct inode *i = inode_new(sb, 0, LX_S_IFDIR | 0555, &nsfs_dir_iops, &nsfs_dir_fops);
    if (!i || !(sb->root = dentry_make_root(sb, i)))
        return -LX_ENOMEM;
    nsfs_mnt = mount_new(sb, 0);
    super_put(sb);
    return nsfs_mnt ? 0 : -LX_ENOMEM;
}
