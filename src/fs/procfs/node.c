/* Inodes and directories made from tables of nodes. */
#include <stdlib.h>
#include <string.h>

#include "kern/kern_int.h"
#include "procfs/proc_int.h"
#include "vfs/special.h"

/* ---- numbers and inodes --------------------------------------------------------------------- */

/*
 * Inode numbers are stable while the thing is there: the node's address in this program in the low
 * half (tables are constant and fewer than 2^32 bytes apart), the process above.
 */
u64 pnode_ino(const struct pnode *n, const struct pid *pid, bool is_thread, s32 nr)
{
    if (n == &proc_root_node)
        return 1;
    u64 low = (u32)(uintptr_t)n;
    if (nr >= 0)
        low = (u32)((u32)nr * 2654435761U) ^ low;
    return low | (pid ? (u64)pid->nr[0] : 0) << 32 | (u64)is_thread << 62;
}

/* Whose a process's files are: its effective ids, or root's when it may not be dumped. */
static void set_owner(struct inode *i, const struct pinode *pi)
{
    i->uid = i->gid = 0;
    if (!pi->pid || (pi->node->flags & PN_ROOT_OWNED))
        return;
    struct task *t = pinode_task(pi);
    if (!t)
        return;
    bool is_open_dir = (i->mode & (LX_S_IFMT | 07777)) == (LX_S_IFDIR | 0555);
    struct mm *mm = task_get_mm(t);
    if (is_open_dir || !mm || mm->dumpable == 1) {
        const struct cred *c = task_get_cred(t);
        i->uid = c->euid;
        i->gid = c->egid;
        cred_put(c);
    }
    if (mm)
        mm_put(mm);
    task_put(t);
}

static const struct inode_ops *default_iops(const struct super *sb, const struct pnode *n)
{
    switch (n->mode & LX_S_IFMT) {
    case LX_S_IFDIR:
        return sb->ops == &proc_super_ops ? &pdir_iops : sysfs_dir_iops();
    case LX_S_IFLNK:
        return n->follow ? &pmagic_iops : &plink_iops;
    default:
        return &pfile_iops;
    }
}

struct inode *pnode_inode(struct super *sb, const struct pnode *n, struct pid *pid, bool is_thread,
                          s32 nr)
{
    struct pinode *pi = calloc(1, sizeof(*pi));
    if (!pi)
        return NULL;
    pi->node = n;
    pi->is_thread = is_thread;
    pi->nr = nr;
    pi->ps = sb->ops == &proc_super_ops ? sb->priv : NULL;
    pi->net = sb->ops == &sysfs_super_ops ? sb->priv : NULL;
    bool is_dir = pnode_is_dir(n);
    struct inode *i = inode_new(sb, pnode_ino(n, pid, is_thread, nr), n->mode,
                                n->iops ? n->iops : default_iops(sb, n),
                                n->fops ? n->fops : is_dir ? &pdir_fops : &ptext_fops);
    if (!i) {
        free(pi);
        return NULL;
    }
    if (pid)
        pid_get(pid);
    pi->pid = pid;
    i->priv = pi;
    i->size = n->size;
    if (is_dir) {
        u32 nlink = 2;
        for (u32 k = 0; k < n->nchildren; k++)
            nlink += pnode_is_dir(&n->children[k]);
        i->nlink = nlink;
    }
    set_owner(i, pi);
    return i;
}

int pnode_instantiate(struct inode *dir, struct dentry *d, const struct pnode *n, struct pid *pid,
                      bool is_thread, s32 nr)
{
    struct inode *i = pnode_inode(dir->sb, n, pid, is_thread, nr);
    if (!i)
        return -LX_ENOMEM;
    dentry_instantiate(d, i);
    return 0;
}

const struct pnode *pnode_child(const struct pnode *dir, const char *name, size_t size)
{
    for (u32 k = 0; k < dir->nchildren; k++) {
        const struct pnode *n = &dir->children[k];
        if (strlen(n->name) == size && !memcmp(n->name, name, size))
            return n;
    }
    return NULL;
}

static bool is_shown(const struct pnode *n, bool is_thread)
{
    return !(n->flags & (is_thread ? PN_NO_THREAD : PN_ONLY_THREAD));
}

/* ---- operations ----------------------------------------------------------------------------- */

int pnode_setattr(struct inode *i, const struct iattr *a)
{
    /* sizes and times are ignored: open(O_TRUNC) and touch succeed where writing is allowed */
    return a->valid & (ATTR_MODE | ATTR_UID | ATTR_GID) ? -LX_EPERM : 0;
}

int pnode_lookup(struct inode *dir, struct dentry *d)
{
    const struct pinode *pi = pinode_of(dir);
    const struct pnode *n = pnode_child(pi->node, d->name, d->name_size);
    if (!n || !is_shown(n, pi->is_thread))
        return -LX_ENOENT;
    return pnode_instantiate(dir, d, n, pi->pid, pi->is_thread, -1);
}

bool pnode_emit_fixed(struct file *f, struct dir_ctx *ctx, bool is_thread)
{
    const struct pinode *pi = pinode_of(f->inode);
    const struct pnode *dir = pi->node;
    struct inode *up = f->path.dentry->parent->inode;
    if (f->pos == 0) {
        if (!ctx->emit(ctx, ".", 1, f->inode->ino, LX_DT_DIR, 1))
            return false;
        f->pos = 1;
    }
    if (f->pos == 1) {
        if (!ctx->emit(ctx, "..", 2, up->ino, LX_DT_DIR, 2))
            return false;
        f->pos = 2;
    }
    for (; f->pos < 2 + dir->nchildren; f->pos++) {
        const struct pnode *n = &dir->children[f->pos - 2];
        if (is_shown(n, is_thread) &&
            !ctx->emit(ctx, n->name, strlen(n->name), pnode_ino(n, pi->pid, is_thread, pi->nr),
                       (n->mode & LX_S_IFMT) >> 12, f->pos + 1))
            return false;
    }
    return true;
}

static int dir_readdir(struct file *f, struct dir_ctx *ctx)
{
    const struct pinode *pi = pinode_of(f->inode);
    if (pi->pid) {
        struct task *t = pinode_task(pi);
        if (!t)
            return -LX_ENOENT;
        task_put(t);
    }
    (void)pnode_emit_fixed(f, ctx, pi->is_thread);
    return 0;
}

s64 pdir_seek(struct file *f, s64 off, int whence)
{
    if (whence != LX_SEEK_END)
        return cursor_seek(f, off, whence);
    if (__builtin_add_overflow((s64)f->inode->size, off, &off) || off < 0)
        return -LX_EINVAL;
    return f->pos = off;
}

static s64 link_readlink(struct inode *i, char *buf, size_t size)
{
    const struct pinode *pi = pinode_of(i);
    return pi->node->readlink(pi, buf, size);
}

static int may_follow(const struct pinode *pi)
{
    struct task *t = pinode_task(pi);
    if (!t)
        return -LX_ENOENT;
    int r = ptrace_may_access(t, false);
    task_put(t);
    return r < 0 ? -LX_EACCES : 0;
}

static s64 magic_readlink(struct inode *i, char *buf, size_t size)
{
    const struct pinode *pi = pinode_of(i);
    int r = may_follow(pi);
    return r < 0 ? r : pi->node->readlink(pi, buf, size);
}

static int magic_follow(struct inode *i, struct path *ret_path)
{
    const struct pinode *pi = pinode_of(i);
    int r = may_follow(pi);
    return r < 0 ? r : pi->node->follow(pi, ret_path);
}

const struct inode_ops pdir_iops = {.lookup = pnode_lookup, .setattr = pnode_setattr};
const struct file_ops pdir_fops = {.readdir = dir_readdir, .seek = pdir_seek};
const struct inode_ops plink_iops = {.readlink = link_readlink, .setattr = pnode_setattr};
const struct inode_ops pmagic_iops = {
    .readlink = magic_readlink, .follow = magic_follow, .setattr = pnode_setattr};
const struct inode_ops pfile_iops = {.setattr = pnode_setattr};

/* ---- processes ------------------------------------------------------------------------------ */

/* A thread of g that still runs, for a process whose first one has ended. Under task_lock. */
static struct task *live_thread(struct tgroup *g)
{
    struct task *t, *found = g->leader;
    list_for_each(t, &g->tasks, tg_node) {
        if (t->mm) {
            found = t;
            break;
        }
    }
    return found;
}

struct task *pinode_task(const struct pinode *pi)
{
    struct pid *p = pi->pid;
    struct task *t = NULL;
    rwlock_rdlock(&task_lock);
    if (!pi->is_thread && p->tgroup)
        t = p->tgroup->leader->mm ? p->tgroup->leader : live_thread(p->tgroup);
    else
        t = p->task;
    if (t)
        task_get(t);
    rwlock_rdunlock(&task_lock);
    return t;
}

struct mm *pinode_mm(const struct pinode *pi)
{
    struct task *t = pinode_task(pi);
    if (!t)
        return NULL;
    struct mm *mm = task_get_mm(t);
    task_put(t);
    return mm;
}

struct pid_ns *pinode_ns(const struct pinode *pi)
{
    return pi->ps->ns;
}
