/*
 * The set of namespaces that a task acts in. A set is shared and never changed
 * while shared: unshare and setns make a new one and swap it.
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "kern/kern_int.h"

struct uts_ns root_uts_ns = {
    .ref = {1}, /* never freed */
    .ino = NS_INO_ROOT_UTS,
    .user_ns = &root_user_ns,
    .lock = MUTEX_INIT("uts_ns"),
    .nodename = "cvisor",
    .domainname = "(none)",
};

_Atomic u64 uts_event;
struct waitq uts_wait = {MUTEX_INIT("uts_wait"), LIST_INIT(uts_wait.waiters), 0};

void uts_changed(void)
{
    atomic_fetch_add(&uts_event, 1);
    waitq_wake(&uts_wait, WAIT_ERR | WAIT_PRI);
}

void uts_ns_get(struct uts_ns *ns)
{
    ref_get(&ns->ref);
}

void uts_ns_put(struct uts_ns *ns)
{
    if (!ns || !ref_put(&ns->ref))
        return;
    user_ns_put(ns->user_ns);
    free(ns);
}

static struct uts_ns *uts_ns_copy(struct uts_ns *old, struct user_ns *uns)
{
    struct uts_ns *ns = calloc(1, sizeof(*ns));
    if (!ns)
        return NULL;
    ref_init(&ns->ref);
    mutex_init(&ns->lock, "uts_ns");
    ns->ino = ns_ino_alloc();
    ns->user_ns = uns;
    user_ns_get(uns);
    mutex_lock(&old->lock);
    memcpy(ns->nodename, old->nodename, sizeof(ns->nodename));
    memcpy(ns->domainname, old->domainname, sizeof(ns->domainname));
    mutex_unlock(&old->lock);
    return ns;
}

static void net_get(struct net_ns *net)
{
    if (net && kern_hooks.net_ns_get)
        kern_hooks.net_ns_get(net);
}

static void net_put(struct net_ns *net)
{
    if (net && kern_hooks.net_ns_put)
        kern_hooks.net_ns_put(net);
}

void nsproxy_get(struct nsproxy *p)
{
    ref_get(&p->ref);
}

void nsproxy_put(struct nsproxy *p)
{
    if (!p || !ref_put(&p->ref))
        return;
    uts_ns_put(p->uts);
    if (p->ipc)
        ipc_ns_put(p->ipc);
    if (p->mnt)
        mnt_ns_put(p->mnt);
    if (p->pid_for_children)
        pid_ns_put(p->pid_for_children);
    net_put(p->net);
    cgroup_ns_put(p->cgroup);
    if (p->time)
        time_ns_put(p->time);
    if (p->time_for_children)
        time_ns_put(p->time_for_children);
    free(p);
}

struct nsproxy *nsproxy_new_root(struct mnt_ns *mnt)
{
    struct nsproxy *p = calloc(1, sizeof(*p));
    if (!p)
        return NULL;
    ref_init(&p->ref);
    p->uts = &root_uts_ns;
    uts_ns_get(p->uts);
    p->ipc = root_ipc_ns;
    ipc_ns_get(p->ipc);
    p->mnt = mnt;
    if (mnt)
        mnt_ns_get(mnt);
    p->net = kern_hooks.root_net_ns;
    net_get(p->net);
    p->pid_for_children = &root_pid_ns;
    pid_ns_get(p->pid_for_children);
    p->cgroup = root_cgroup_ns;
    cgroup_ns_get(p->cgroup);
    p->time = p->time_for_children = root_time_ns;
    time_ns_get(p->time);
    time_ns_get(p->time_for_children);
    return p;
}

struct nsproxy *nsproxy_dup(const struct nsproxy *old)
{
    struct nsproxy *p = calloc(1, sizeof(*p));
    if (!p)
        return NULL;
    *p = *old;
    ref_init(&p->ref);
    uts_ns_get(p->uts);
    ipc_ns_get(p->ipc);
    if (p->mnt)
        mnt_ns_get(p->mnt);
    pid_ns_get(p->pid_for_children);
    net_get(p->net);
    cgroup_ns_get(p->cgroup);
    time_ns_get(p->time);
    time_ns_get(p->time_for_children);
    return p;
}

/* A copy of the mount namespace, with fs moved into it. */
static int copy_mnt(struct mnt_ns *old, struct fs_ctx *fs, struct user_ns *uns,
                    struct mnt_ns **ret_ns)
{
    struct path root, cwd;
    fs_ctx_root(fs, &root);
    fs_ctx_cwd(fs, &cwd);
    int r = mnt_ns_copy(old, &root, &cwd, ret_ns);
    if (r == 0) {
        if (uns != (old->user_ns ? old->user_ns : &root_user_ns))
            mnt_ns_lock(*ret_ns);
        mnt_ns_set_owner(*ret_ns, uns);
        struct path old_root, old_cwd;
        mutex_lock(&fs->lock);
        old_root = fs->root;
        old_cwd = fs->cwd;
        fs->root = root;
        fs->cwd = cwd;
        mutex_unlock(&fs->lock);
        root = old_root;
        cwd = old_cwd;
    }
    path_put(&root);
    path_put(&cwd);
    return r;
}

int nsproxy_copy(struct nsproxy *old, u64 flags, const struct cred *cred, struct fs_ctx *fs,
                 struct nsproxy **ret)
{
    struct nsproxy *p = nsproxy_dup(old);
    if (!p)
        return -LX_ENOMEM;
    int r = 0;
    if (flags & LX_CLONE_NEWUTS) {
        struct uts_ns *uts = uts_ns_copy(old->uts, cred->user_ns);
        if (uts) {
            uts_ns_put(p->uts);
            p->uts = uts;
        } else {
            r = -LX_ENOMEM;
        }
    }
    if (r == 0 && (flags & LX_CLONE_NEWIPC)) {
        struct ipc_ns *ipc = NULL;
        r = ipc_ns_new(cred->user_ns, &ipc);
        if (r == 0) {
            ipc_ns_put(p->ipc);
            p->ipc = ipc;
        }
    }
    if (r == 0 && (flags & LX_CLONE_NEWPID)) {
        struct pid_ns *pid_ns = NULL;
        r = pid_ns_new(old->pid_for_children, cred->user_ns, &pid_ns);
        if (r == 0) {
            pid_ns_put(p->pid_for_children);
            p->pid_for_children = pid_ns;
        }
    }
    if (r == 0 && (flags & LX_CLONE_NEWNET)) {
        struct net_ns *net = NULL;
        r = kern_hooks.net_ns_new ? kern_hooks.net_ns_new(cred->user_ns, &net) : -LX_EINVAL;
        if (r == 0) {
            net_put(p->net);
            p->net = net;
        }
    }
    if (r == 0 && (flags & LX_CLONE_NEWCGROUP)) {
        struct cgroup_ns *cgroup = cgroup_ns_new(cred->user_ns);
        if (cgroup) {
            cgroup_ns_put(p->cgroup);
            p->cgroup = cgroup;
        } else {
            r = -LX_ENOMEM;
        }
    }
    if (r == 0 && (flags & LX_CLONE_NEWTIME)) {
        struct time_ns *tns = time_ns_copy(old->time_for_children, cred->user_ns);
        if (tns) {
            time_ns_put(p->time_for_children);
            p->time_for_children = tns;
        } else {
            r = -LX_ENOMEM;
        }
    }
    if (r == 0 && (flags & LX_CLONE_NEWNS)) { /* last: it moves fs */
        struct mnt_ns *mnt = NULL;
        r = copy_mnt(old->mnt, fs, cred->user_ns, &mnt);
        if (r == 0) {
            mnt_ns_put(p->mnt);
            p->mnt = mnt;
        }
    }
    if (r < 0) {
        nsproxy_put(p);
        return r;
    }
    *ret = p;
    return 0;
}
