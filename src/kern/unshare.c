/* unshare(2) and setns(2): a task changes its own sharing and its own namespaces. */
#include "kern/unshare.h"

#include "kern/cred.h"
#include "kern/nsfs.h"
#include "vfs/fast.h"

#define UNSHARE_FLAGS                                                                              \
    (LX_CLONE_THREAD | LX_CLONE_FS | LX_CLONE_SIGHAND | LX_CLONE_VM | LX_CLONE_FILES |             \
     LX_CLONE_SYSVSEM | LX_CLONE_NEWUSER | CLONE_NS_FLAGS)

static bool is_alone(struct task *t)
{
    MUTEX_GUARD(&t->tg->sig_lock);
    return t->tg->ntasks == 1;
}

static void swap_fs(struct task *t, struct fs_ctx *fs)
{
    mutex_lock(&t->ptr_lock);
    struct fs_ctx *old = t->fs;
    t->fs = fs;
    mutex_unlock(&t->ptr_lock);
    t->vt.fs = fs;
    fs_ctx_put(old);
}

static void swap_files(struct task *t, struct fdtable *files)
{
    mutex_lock(&t->ptr_lock);
    struct fdtable *old = t->files;
    t->files = files;
    mutex_unlock(&t->ptr_lock);
    t->vt.files = files;
    if (t->uctx)
        uctx_set_table(t->uctx, 0);
    fdtable_put(old);
}

static void swap_ns(struct task *t, struct nsproxy *ns)
{
    mutex_lock(&t->ptr_lock);
    struct nsproxy *old = t->ns;
    t->ns = ns;
    mutex_unlock(&t->ptr_lock);
    t->vt.mnt_ns = ns->mnt;
    nsproxy_put(old);
}

/* ---- unshare ------------------------------------------------------------------------------- */

static s64 check(struct task *t, u64 flags)
{
    if (flags & ~(u64)UNSHARE_FLAGS)
        return -LX_EINVAL;
    if ((flags & (LX_CLONE_THREAD | LX_CLONE_SIGHAND | LX_CLONE_VM)) && !is_alone(t))
        return -LX_EINVAL;
    if ((flags & (LX_CLONE_SIGHAND | LX_CLONE_VM)) && ref_read(&t->tg->sighand->ref) > 1)
        return -LX_EINVAL;
    if ((flags & LX_CLONE_VM) && (t->tg->is_mm_sharer || t->mm->nsharers))
        return -LX_EINVAL;
    return 0;
}

/* New objects, nothing of the task changed yet. */
struct fresh {
    struct cred *cred;
    struct fs_ctx *fs;
    struct fdtable *files;
    struct nsproxy *ns;
};

static s64 make_fresh(struct task *t, u64 flags, struct fresh *n)
{
    s64 r = 0;
    if (flags & LX_CLONE_NEWUSER) {
        struct user_ns *uns = NULL;
        r = user_ns_new(t->cred, &uns);
        if (r < 0)
            return r;
        n->cred = cred_copy(t->cred);
        if (!n->cred) {
            user_ns_put(uns);
            return -LX_ENOMEM;
        }
        cred_set_new_user_ns(n->cred, uns);
    } else if ((flags & CLONE_NS_FLAGS) && !ns_capable(t->cred->user_ns, LX_CAP_SYS_ADMIN)) {
        return -LX_EPERM;
    }
    if ((flags & LX_CLONE_FS) && (ref_read(&t->fs->ref) > 1 || (flags & LX_CLONE_NEWNS))) {
        n->fs = fs_ctx_copy(t->fs);
        if (!n->fs)
            return -LX_ENOMEM;
    }
    if (flags & LX_CLONE_FILES) {
        n->files = fdtable_copy(t->files, 1, 0);
        if (!n->files)
            return -LX_ENOMEM;
    }
    if (flags & CLONE_NS_FLAGS)
        r = nsproxy_copy(t->ns, flags & CLONE_NS_FLAGS, n->cred ? n->cred : t->cred,
                         n->fs ? n->fs : t->fs, &n->ns);
    return r;
}

s64 kern_unshare(struct task *t, u64 flags)
{
    if (flags & LX_CLONE_NEWUSER)
        flags |= LX_CLONE_THREAD | LX_CLONE_FS;
    if (flags & LX_CLONE_VM)
        flags |= LX_CLONE_SIGHAND;
    if (flags & LX_CLONE_SIGHAND)
        flags |= LX_CLONE_THREAD;
    if (flags & LX_CLONE_NEWNS)
        flags |= LX_CLONE_FS;
    struct fresh n = {0};
    s64 r = check(t, flags);
    if (r == 0)
        r = make_fresh(t, flags, &n);
    if (r < 0) {
        cred_put(n.cred);
        if (n.fs)
            fs_ctx_put(n.fs);
        if (n.files)
            fdtable_put(n.files);
        return r;
    }
    if (flags & (LX_CLONE_SYSVSEM | LX_CLONE_NEWIPC))
        sysvsem_exit(t);
    if (n.fs)
        swap_fs(t, n.fs);
    if (n.files)
        swap_files(t, n.files);
    if (n.cred)
        cred_commit(t, n.cred);
    if (n.ns)
        swap_ns(t, n.ns);
    task_publish(t);
    return 0;
}

/* ---- setns --------------------------------------------------------------------------------- */

/* What the task will be in when every namespace was good. */
struct nsset {
    struct nsproxy *p; /* owned */
    struct cred *cred; /* owned; NULL: the task's stay */
};

static s64 enter_user(struct task *t, struct nsset *s, struct user_ns *uns)
{
    if (uns == t->cred->user_ns || !is_alone(t) || ref_read(&t->fs->ref) > 1)
        return -LX_EINVAL;
    if (!ns_capable(uns, LX_CAP_SYS_ADMIN))
        return -LX_EPERM;
    struct cred *c = cred_copy(t->cred);
    if (!c)
        return -LX_ENOMEM;
    user_ns_get(uns);
    cred_set_new_user_ns(c, uns);
    s->cred = c;
    return 0;
}

static s64 enter_mnt(struct task *t, struct nsset *s, struct mnt_ns *mnt)
{
    if (!ns_capable(s->cred ? s->cred->user_ns : t->cred->user_ns, LX_CAP_SYS_CHROOT))
        return -LX_EPERM;
    if (ref_read(&t->fs->ref) > 1)
        return -LX_EINVAL;
    mnt_ns_get(mnt);
    mnt_ns_put(s->p->mnt);
    s->p->mnt = mnt;
    return 0;
}

static s64 enter_pid(struct task *t, struct nsset *s, struct pid_ns *ns)
{
    if (!pid_ns_is_below(ns, task_pid_ns(t)))
        return -LX_EINVAL;
    pid_ns_get(ns);
    pid_ns_put(s->p->pid_for_children);
    s->p->pid_for_children = ns;
    return 0;
}

static s64 enter_time(struct task *t, struct nsset *s, struct time_ns *ns)
{
    if (!is_alone(t))
        return -LX_EUSERS;
    time_ns_get(ns);
    time_ns_get(ns);
    time_ns_put(s->p->time);
    time_ns_put(s->p->time_for_children);
    s->p->time = s->p->time_for_children = ns;
    return 0;
}

/* Puts one namespace into the set. */
static s64 enter(struct task *t, struct nsset *s, u64 type, void *ns)
{
    if (type == LX_CLONE_NEWUSER)
        return enter_user(t, s, ns);
    struct user_ns *own = s->cred ? s->cred->user_ns : t->cred->user_ns;
    if (!ns_capable(ns_owner(type, ns), LX_CAP_SYS_ADMIN) || !ns_capable(own, LX_CAP_SYS_ADMIN))
        return -LX_EPERM;
    switch (type) {
    case LX_CLONE_NEWNS:
        return enter_mnt(t, s, ns);
    case LX_CLONE_NEWPID:
        return enter_pid(t, s, ns);
    case LX_CLONE_NEWTIME:
        return enter_time(t, s, ns);
    default:
        break;
    }
    void **slot = type == LX_CLONE_NEWUTS   ? (void **)&s->p->uts
                  : type == LX_CLONE_NEWIPC ? (void **)&s->p->ipc
                  : type == LX_CLONE_NEWNET ? (void **)&s->p->net
                                            : (void **)&s->p->cgroup;
    ns_get(type, ns);
    if (*slot)
        ns_put(type, *slot);
    *slot = ns;
    return 0;
}

/* Everything was allowed: nothing can fail any more. Consumes the set. */
static void commit(struct task *t, struct nsset *s)
{
    if (s->cred)
        cred_commit(t, s->cred);
    if (s->p->ipc != t->ns->ipc)
        sysvsem_exit(t);
    struct mnt_ns *mnt = s->p->mnt;
    if (mnt != t->ns->mnt) {
        struct path root = {.mnt = mnt->root, .dentry = mnt->root->root};
        struct path cwd = root;
        path_get(&root);
        path_get(&cwd);
        mutex_lock(&t->fs->lock);
        struct path old_root = t->fs->root, old_cwd = t->fs->cwd;
        t->fs->root = root;
        t->fs->cwd = cwd;
        mutex_unlock(&t->fs->lock);
        path_put(&old_root);
        path_put(&old_cwd);
    }
    swap_ns(t, s->p);
    task_publish(t);
}

/* The namespaces of the process behind a pidfd, in an order in which rights suffice. */
static s64 enter_all_of(struct task *t, struct nsset *s, struct pid *target, u64 types)
{
    if (!types || (types & ~(u64)(CLONE_NS_FLAGS | LX_CLONE_NEWUSER)))
        return -LX_EINVAL;
    rwlock_rdlock(&task_lock);
    struct task *other = target->task;
    if (other)
        task_get(other);
    rwlock_rdunlock(&task_lock);
    if (!other)
        return -LX_ESRCH;
    s64 r = ptrace_may_access(other, false);
    struct nsproxy *theirs = r == 0 ? task_get_ns(other) : NULL;
    const struct cred *cred = task_get_cred(other);
    struct pid_ns *pid_ns = task_pid_ns(other);
    if (r == 0 && !theirs)
        r = -LX_ESRCH;
    if (r == 0) {
        const struct {
            u64 type;
            void *ns;
        } order[] = {
            {LX_CLONE_NEWUSER, cred->user_ns}, {LX_CLONE_NEWNS, theirs->mnt},
            {LX_CLONE_NEWUTS, theirs->uts},    {LX_CLONE_NEWIPC, theirs->ipc},
            {LX_CLONE_NEWPID, pid_ns},         {LX_CLONE_NEWNET, theirs->net},
            {LX_CLONE_NEWTIME, theirs->time},  {LX_CLONE_NEWCGROUP, theirs->cgroup},
        };
        for (size_t i = 0; r == 0 && i < ARRAY_SIZE(order); i++) {
            if ((types & order[i].type) && order[i].ns)
                r = enter(t, s, order[i].type, order[i].ns);
        }
    }
    nsproxy_put(theirs);
    cred_put(cred);
    task_put(other);
    return r;
}

s64 kern_setns(struct task *t, struct file *f, u32 nstype)
{
    u64 type = 0;
    void *ns = NULL;
    struct pid *target = pidfd_pid(f);
    bool is_nsfs = nsfs_of_file(f, &type, &ns);
    if (!target && !is_nsfs)
        return -LX_EINVAL;
    if (is_nsfs && nstype && nstype != type)
        return -LX_EINVAL;
    struct nsset s = {.p = nsproxy_dup(t->ns)};
    if (!s.p)
        return -LX_ENOMEM;
    s64 r = is_nsfs ? enter(t, &s, type, ns) : enter_all_of(t, &s, target, nstype);
    if (r < 0) {
        nsproxy_put(s.p);
        cred_put(s.cred);
        return r;
    }
    commit(t, &s);
    return 0;
}
