/*
 * A view of the container's own control group: one directory, read-only, with what programs
 * look at to size themselves (memory.max, cpu.max, pids). Types "cgroup2" and
 * "cgroup". Groups cannot be made in it: mkdir is EPERM.
 */
#include <stdlib.h>
#include <string.h>

#include "kern/host_info.h"
#include "procfs/proc_int.h"

#define CGROUP2_SUPER_MAGIC 0x63677270
#define CGROUP_SUPER_MAGIC  0x27e0eb

static int show_text(struct seq *s, const struct pinode *pi)
{
    seq_printf(s, "%s\n", (const char *)pi->node->arg);
    return 0;
}

static int show_memory_max(struct seq *s, const struct pinode *pi)
{
    if (host_info.mem_limit)
        seq_printf(s, "%llu\n", (unsigned long long)host_info.mem_limit);
    else
        seq_puts(s, "max\n");
    return 0;
}

static int show_memory_limit(struct seq *s, const struct pinode *pi)
{
    u64 limit = host_info.mem_limit ? host_info.mem_limit : 0x7ffffffffffff000ULL;
    seq_printf(s, "%llu\n", (unsigned long long)limit);
    return 0;
}

static int show_memory_current(struct seq *s, const struct pinode *pi)
{
    seq_printf(s, "%llu\n", (unsigned long long)usage_memory_now());
    return 0;
}

static int show_memory_stat(struct seq *s, const struct pinode *pi)
{
    unsigned long long used = usage_memory_now();
    seq_printf(s, "anon %llu\nfile 0\nkernel 0\nkernel_stack 0\nshmem 0\ninactive_anon 0\nactive_anon %llu\n"
                  "inactive_file 0\nactive_file 0\nunevictable 0\npgfault 0\npgmajfault 0\n",
               used, used);
    return 0;
}

static int show_cpu_stat(struct seq *s, const struct pinode *pi)
{
    struct task_usage u;
    usage_total_now(&u);
    seq_printf(s, "usage_usec %llu\nuser_usec %llu\nsystem_usec %llu\nnr_periods 0\nnr_throttled 0\n"
                  "throttled_usec 0\n",
               (unsigned long long)((u.utime_ns + u.stime_ns) / 1000),
               (unsigned long long)(u.utime_ns / 1000), (unsigned long long)(u.stime_ns / 1000));
    return 0;
}

static int show_cpuset(struct seq *s, const struct pinode *pi)
{
    seq_cpu_list(s, host_info.ncpus >= 64 ? UINT64_MAX : (1ULL << host_info.ncpus) - 1);
    seq_putc(s, '\n');
    return 0;
}

/* Of the container that asks; NULL: there is none. */
static struct task_limits *own_limits(void)
{
    struct task *t = task_current();
    return t ? t->tg->limits : NULL;
}

static int show_pids_current(struct seq *s, const struct pinode *pi)
{
    struct task_limits *l = own_limits();
    seq_printf(s, "%llu\n",
               (unsigned long long)(l ? atomic_load(&l->ntasks) : pid_ns_count(&root_pid_ns)));
    return 0;
}

static int show_pids_max(struct seq *s, const struct pinode *pi)
{
    struct task_limits *l = own_limits();
    u64 max = l ? atomic_load(&l->max_tasks) : UINT64_MAX;
    if (max == UINT64_MAX)
        seq_puts(s, "max\n");
    else
        seq_printf(s, "%llu\n", (unsigned long long)max);
    return 0;
}

static u64 cpu_period(const struct task_limits *l)
{
    u64 period = l ? atomic_load(&l->cpu_period_us) : 0;
    return period ? period : 100000;
}

static int show_cpu_max(struct seq *s, const struct pinode *pi)
{
    struct task_limits *l = own_limits();
    u64 quota = l ? atomic_load(&l->cpu_quota_us) : 0;
    if (quota)
        seq_printf(s, "%llu ", (unsigned long long)quota);
    else
        seq_puts(s, "max ");
    seq_printf(s, "%llu\n", (unsigned long long)cpu_period(l));
    return 0;
}

static int show_cfs_quota(struct seq *s, const struct pinode *pi)
{
    struct task_limits *l = own_limits();
    u64 quota = l ? atomic_load(&l->cpu_quota_us) : 0;
    seq_printf(s, "%lld\n", quota ? (long long)quota : -1LL);
    return 0;
}

static int show_cfs_period(struct seq *s, const struct pinode *pi)
{
    seq_printf(s, "%llu\n", (unsigned long long)cpu_period(own_limits()));
    return 0;
}

static int show_procs(struct seq *s, const struct pinode *pi)
{
    struct task *self = task_current();
    struct pid_ns *ns = self ? task_pid_ns(self) : &root_pid_ns;
    s32 nr = (s32)MAX(s->cursor, 1UL), found;
    struct tgroup *g;
    while (!seq_is_full(s) && (g = tgroup_next(ns, nr, &found)) != NULL) {
        seq_printf(s, "%d\n", found);
        tgroup_put(g);
        nr = found + 1;
        s->cursor = (u64)nr;
    }
    if (!seq_is_full(s))
        s->cursor = SEQ_END;
    return 0;
}

static int show_uclamp(struct seq *s, const struct pinode *pi)
{
    seq_puts(s, "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n");
    return 0;
}

#define T(n, text) {.name = n, .mode = LX_S_IFREG | 0444, .show = show_text, .arg = text}
#define F(n, fn)   {.name = n, .mode = LX_S_IFREG | 0444, .show = fn}

static const struct pnode v2_table[] = {
    T("cgroup.controllers", "cpuset cpu memory pids"),
    T("cgroup.events", "populated 1\nfrozen 0"),
    T("cgroup.freeze", "0"),
    T("cgroup.max.depth", "max"),
    T("cgroup.max.descendants", "max"),
    F("cgroup.procs", show_procs),
    T("cgroup.stat", "nr_descendants 0\nnr_dying_descendants 0"),
    T("cgroup.subtree_control", ""),
    F("cgroup.threads", show_procs),
    T("cgroup.type", "domain"),
    F("cpu.max", show_cpu_max),
    F("cpu.pressure", show_uclamp),
    F("cpu.stat", show_cpu_stat),
    T("cpu.weight", "100"),
    F("cpuset.cpus.effective", show_cpuset),
    T("cpuset.mems.effective", "0"),
    F("memory.current", show_memory_current),
    T("memory.events", "low 0\nhigh 0\nmax 0\noom 0\noom_kill 0\noom_group_kill 0"),
    T("memory.high", "max"),
    T("memory.low", "0"),
    F("memory.max", show_memory_max),
    T("memory.min", "0"),
    F("memory.pressure", show_uclamp),
    F("memory.stat", show_memory_stat),
    T("memory.swap.current", "0"),
    T("memory.swap.max", "0"),
    F("pids.current", show_pids_current),
    F("pids.max", show_pids_max),
};
static const struct pnode v1_table[] = {
    F("cgroup.procs", show_procs),
    T("cgroup.clone_children", "0"),
    T("notify_on_release", "0"),
    F("tasks", show_procs),
    F("cpu.cfs_period_us", show_cfs_period),
    F("cpu.cfs_quota_us", show_cfs_quota),
    T("cpu.shares", "1024"),
    F("cpuset.cpus", show_cpuset),
    T("cpuset.mems", "0"),
    F("memory.limit_in_bytes", show_memory_limit),
    F("memory.usage_in_bytes", show_memory_current),
    F("memory.stat", show_memory_stat),
    F("pids.current", show_pids_current),
    F("pids.max", show_pids_max),
};
static const struct pnode v2_root = {
    .name = "/", .mode = LX_S_IFDIR | 0555, .children = v2_table, .nchildren = ARRAY_SIZE(v2_table)};
static const struct pnode v1_root = {
    .name = "/", .mode = LX_S_IFDIR | 0555, .children = v1_table, .nchildren = ARRAY_SIZE(v1_table)};

static int cg_statfs(struct super *sb, struct kstatfs *ret)
{
    bool is_v2 = !strcmp(sb->type->name, "cgroup2");
    *ret = (struct kstatfs){.type = is_v2 ? CGROUP2_SUPER_MAGIC : CGROUP_SUPER_MAGIC,
                            .bsize = PAGE_SIZE,
                            .frsize = PAGE_SIZE,
                            .namelen = 255};
    return 0;
}

static const struct super_ops cg_super_ops = {.statfs = cg_statfs, .evict = pnode_evict};

static int cg_mount(const struct fs_type *type, u32 ms_flags, const char *source, const char *opts,
                    struct super **ret_sb)
{
    struct super *sb = super_new(type, &cg_super_ops, source, NULL);
    if (!sb)
        return -LX_ENOMEM;
    const struct pnode *n = !strcmp(type->name, "cgroup2") ? &v2_root : &v1_root;
    struct inode *root = pnode_inode(sb, n, NULL, false, -1);
    sb->root = root ? dentry_make_root(sb, root) : NULL;
    if (!sb->root) {
        super_put(sb);
        return -LX_ENOMEM;
    }
    *ret_sb = sb;
    return 0;
}

static struct fs_type cgroup2_type = {.name = "cgroup2", .flags = FS_USERNS_MOUNT, .mount = cg_mount};
static struct fs_type cgroup_type = {.name = "cgroup", .flags = FS_USERNS_MOUNT, .mount = cg_mount};

int procfs_may_join_cgroup(int fd)
{
    struct file *f cleanup(file_put_p) = fd_get_raw(fd);
    if (!f || f->inode->sb->type != &cgroup2_type || (f->inode->mode & LX_S_IFMT) != LX_S_IFDIR)
        return -LX_EBADF;
    return inode_permission(f->inode, LX_W_OK);
}

int cgroupfs_init(void)
{
    fs_register(&cgroup2_type);
    fs_register(&cgroup_type);
    return 0;
}
