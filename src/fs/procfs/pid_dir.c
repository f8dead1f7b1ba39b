/* /proc/PID and /proc/PID/task/TID: the tables, and the directory of threads. */
#include <stdio.h>
#include <string.h>

#include "kern/kern_int.h"
#include "procfs/pid.h"
#include "procfs/procfs.h"

/* ---- task/ ------------------------------------------------------------------------------------ */

static int task_lookup(struct inode *dir, struct dentry *d)
{
    const struct pinode *pi = pinode_of(dir);
    s64 nr = parse_pid(d->name, d->name_size);
    struct pid *pid = nr > 0 ? pid_find(pi->ps->ns, (s32)nr) : NULL;
    int r = -LX_ENOENT;
    if (pid) {
        struct pinode probe = {.pid = pid, .is_thread = true};
        struct task *t = pinode_task(&probe), *of = pinode_task(pi);
        if (t && of && t->tg == of->tg)
            r = pnode_instantiate(dir, d, &tid_node, pid, true, -1);
        task_put(t);
        task_put(of);
        pid_put(pid);
    }
    return r;
}

/* Threads in the order of their numbers: the smallest that is at least `from`. */
struct next_tid {
    const struct pid_ns *ns;
    s32 from, found;
};

static void consider_tid(struct task *t, void *arg)
{
    struct next_tid *n = arg;
    s32 tid = task_tid_in(t, n->ns);
    if (tid >= n->from && (n->found == 0 || tid < n->found))
        n->found = tid;
}

static int task_readdir(struct file *f, struct dir_ctx *ctx)
{
    const struct pinode *pi = pinode_of(f->inode);
    struct task *t = pinode_task(pi);
    if (!t)
        return -LX_ENOENT;
    bool is_started = f->pos >= 2 || pnode_emit_fixed(f, ctx, false);
    while (is_started) {
        char name[16];
        struct next_tid n = {.ns = pi->ps->ns, .from = (s32)MAX(MIN(f->pos - 2, (s64)INT32_MAX), (s64)1)};
        tgroup_for_each_task(t->tg, consider_tid, &n);
        if (n.found == 0)
            break;
        int size = snprintf(name, sizeof(name), "%d", n.found);
        struct pid *pid = pid_find(pi->ps->ns, n.found);
        u64 ino = pnode_ino(&tid_node, pid, true, -1);
        if (pid)
            pid_put(pid);
        if (!ctx->emit(ctx, name, (size_t)size, ino, LX_DT_DIR, (s64)n.found + 3))
            break;
        f->pos = (s64)n.found + 3;
    }
    task_put(t);
    return 0;
}

static int task_getattr(struct inode *i, struct kstat *st)
{
    struct task *t = pinode_task(pinode_of(i));
    inode_fill_stat(i, st);
    if (t)
        st->nlink += t->tg->ntasks;
    task_put(t);
    return 0;
}

static const struct inode_ops task_iops = {
    .lookup = task_lookup, .getattr = task_getattr, .setattr = pnode_setattr};
static const struct file_ops task_fops = {.readdir = task_readdir, .seek = pdir_seek};

/* ---- cwd, root, exe ----------------------------------------------------------------------------- */

typedef int (*path_of_fn)(struct task *t, struct path *ret);

static int path_of_cwd(struct task *t, struct path *ret)
{
    struct fs_ctx *fs = task_get_fs(t);
    if (!fs)
        return -LX_ENOENT;
    fs_ctx_cwd(fs, ret);
    fs_ctx_put(fs);
    return 0;
}

static int path_of_root(struct task *t, struct path *ret)
{
    struct fs_ctx *fs = task_get_fs(t);
    if (!fs)
        return -LX_ENOENT;
    fs_ctx_root(fs, ret);
    fs_ctx_put(fs);
    return 0;
}

static int path_of_exe(struct task *t, struct path *ret)
{
    struct mm *mm = task_get_mm(t);
    if (!mm)
        return -LX_ENOENT;
    int r = -LX_ENOENT;
    mutex_lock(&mm->lock);
    struct mappable *exe = mm->exe;
    if (exe)
        exe->ops->get(exe);
    mutex_unlock(&mm->lock);
    if (exe && exe->ops == &file_mappable_ops) {
        *ret = file_of_mappable(exe)->path;
        path_get(ret);
        r = 0;
    }
    if (exe)
        exe->ops->put(exe);
    mm_put(mm);
    return r;
}

static int link_path(const struct pinode *pi, struct path *ret)
{
    path_of_fn fn = *(const path_of_fn *)pi->node->arg;
    struct task *t = pinode_task(pi);
    if (!t)
        return -LX_ENOENT;
    int r = fn(t, ret);
    task_put(t);
    return r;
}

s64 path_as_seen(const struct path *p, char *buf, size_t size)
{
    struct path root = {0};
    if (vfs_current && vfs_current->fs)
        fs_ctx_root(vfs_current->fs, &root);
    s64 n = vfs_path_string_any(p, root.mnt ? &root : NULL, buf, size);
    path_put(&root);
    return n;
}

static s64 link_text(const struct pinode *pi, char *buf, size_t size)
{
    struct path p = {0};
    int r = link_path(pi, &p);
    if (r < 0)
        return r;
    s64 n = path_as_seen(&p, buf, size);
    path_put(&p);
    return n;
}

static const path_of_fn cwd_fn = path_of_cwd, root_fn = path_of_root, exe_fn = path_of_exe;
#define PMAGIC(n, argp)                                                                            \
    {.name = n, .mode = LX_S_IFLNK | 0777, .readlink = link_text, .follow = link_path, .arg = argp}

/* ---- the tables ---------------------------------------------------------------------------------- */

#define PFLAGS(n, m, fl, fn)     {.name = n, .mode = LX_S_IFREG | (m), .flags = fl, .show = fn}
#define PFLAGSW(n, m, fl, fn, w) {.name = n, .mode = LX_S_IFREG | (m), .flags = fl, .show = fn, .write = w}

static const struct pnode attr_table[] = {
    PREG("current", 0666, show_einval),  PREG("prev", 0444, show_einval),
    PREG("exec", 0666, show_einval),     PREG("fscreate", 0666, show_einval),
    PREG("keycreate", 0666, show_einval), PREG("sockcreate", 0666, show_einval),
};

static const struct pnode pid_table[] = {
    {.name = "task", .mode = LX_S_IFDIR | 0555, .flags = PN_NO_THREAD, .iops = &task_iops, .fops = &task_fops},
    {.name = "fd", .mode = LX_S_IFDIR | 0500, .iops = &fd_dir_iops, .fops = &fd_dir_fops, .arg = "fd"},
    {.name = "fdinfo", .mode = LX_S_IFDIR | 0555, .iops = &fd_dir_iops, .fops = &fd_dir_fops, .arg = NULL},
    {.name = "ns", .mode = LX_S_IFDIR | 0511, .children = ns_table, .nchildren = NS_TABLE_SIZE},
    {.name = "net", .mode = LX_S_IFDIR | 0555, .iops = &net_dir_iops, .fops = &net_dir_fops},
    PFLAGS("environ", 0400, PN_READ_MM, show_environ),
    PFLAGS("auxv", 0400, PN_READ_MM, show_auxv),
    PREG("status", 0444, show_pid_status),
    PFLAGS("personality", 0400, PN_READ_CHECK, show_personality),
    PREG("limits", 0444, show_limits),
    PREG("sched", 0644, show_sched),
    PREGW("timens_offsets", 0644, show_timens_offsets, write_timens_offsets),
    PREGW("comm", 0644, show_comm, write_comm),
    PFLAGS("syscall", 0400, PN_READ_CHECK, show_syscall),
    PREG("cmdline", 0444, show_cmdline),
    PREG("stat", 0444, show_pid_stat),
    PREG("statm", 0444, show_statm),
    PFLAGS("maps", 0444, PN_READ_MM, show_maps),
    PREG("children", 0444, show_children),
    {.name = "mem", .mode = LX_S_IFREG | 0600, .fops = &mem_fops},
    PMAGIC("cwd", &cwd_fn),
    PMAGIC("root", &root_fn),
    PMAGIC("exe", &exe_fn),
    {.name = "mounts", .mode = LX_S_IFREG | 0444, .show = show_mounts, .fops = &mounts_fops},
    {.name = "mountinfo", .mode = LX_S_IFREG | 0444, .show = show_mountinfo, .fops = &mounts_fops},
    {.name = "mountstats", .mode = LX_S_IFREG | 0400, .flags = PN_NO_THREAD, .show = show_mountstats, .fops = &mounts_fops},
    PFLAGS("smaps", 0444, PN_READ_MM, show_smaps),
    PFLAGS("smaps_rollup", 0444, PN_READ_MM, show_smaps_rollup),
    {.name = "pagemap", .mode = LX_S_IFREG | 0400, .fops = &pagemap_fops},
    {.name = "attr", .mode = LX_S_IFDIR | 0555, .children = attr_table, .nchildren = ARRAY_SIZE(attr_table)},
    PREG("wchan", 0444, show_wchan),
    PFLAGS("stack", 0400, PN_ROOT_OWNED, show_eacces),
    PREG("schedstat", 0444, show_schedstat),
    PREG("cpuset", 0444, show_cpuset),
    PREG("cgroup", 0444, show_cgroup),
    PREG("oom_score", 0444, show_oom_score),
    PREGW("oom_adj", 0644, show_oom_adj, write_oom_adj),
    PREGW("oom_score_adj", 0644, show_oom_score_adj, write_oom_score_adj),
    PREGW("loginuid", 0644, show_loginuid, write_loginuid),
    PREG("sessionid", 0444, show_loginuid),
    PREGW("coredump_filter", 0644, show_coredump_filter, write_coredump_filter),
    PFLAGS("io", 0400, PN_READ_CHECK, show_io),
    PFLAGSW("uid_map", 0644, PN_USER_NS, show_uid_map, write_uid_map),
    PFLAGSW("gid_map", 0644, PN_USER_NS, show_gid_map, write_gid_map),
    PREG("projid_map", 0644, show_projid_map),
    PREGW("setgroups", 0644, show_setgroups, write_setgroups),
    PFLAGS("timers", 0444, PN_NO_THREAD, show_timers),
    PFLAGSW("timerslack_ns", 0666, PN_NO_THREAD, show_timerslack, write_timerslack),
    PREG("arch_status", 0444, show_empty),
};

const struct pnode pid_node = {.name = "PID",
                               .mode = LX_S_IFDIR | 0555,
                               .children = pid_table,
                               .nchildren = ARRAY_SIZE(pid_table),
                               .iops = &pid_iops};
const struct pnode tid_node = {.name = "TID",
                               .mode = LX_S_IFDIR | 0555,
                               .children = pid_table,
                               .nchildren = ARRAY_SIZE(pid_table),
                               .iops = &pid_iops};

struct pid *procfs_pid_of_dir(struct file *f)
{
    if (f->inode->ops != &pid_iops)
        return NULL;
    const struct pinode *pi = pinode_of(f->inode);
    return pi->node == &pid_node ? pi->pid : NULL;
}
