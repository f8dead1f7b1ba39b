/*
 * sysfs: cpus with their topology, one memory node, network interfaces, and the directories that
 * programs expect to find. Read-only but for what proc's tables make writable. Missing names are
 * cached as negative, as in kernfs: creating gives EACCES or EPERM, not ENOENT.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kern/host_info.h"
#include "procfs/proc_int.h"

#define SYSFS_MAGIC 0x62656572

static u64 all_cpus(void)
{
    return host_info.ncpus >= 64 ? UINT64_MAX : (1ULL << host_info.ncpus) - 1;
}

static int show_text(struct seq *s, const struct pinode *pi)
{
    seq_printf(s, "%s\n", (const char *)pi->node->arg);
    return 0;
}

static int show_all_list(struct seq *s, const struct pinode *pi)
{
    seq_cpu_list(s, all_cpus());
    seq_putc(s, '\n');
    return 0;
}

static int show_all_mask(struct seq *s, const struct pinode *pi)
{
    seq_cpu_mask(s, all_cpus());
    seq_putc(s, '\n');
    return 0;
}

static int show_own_list(struct seq *s, const struct pinode *pi)
{
    seq_printf(s, "%d\n", pi->nr);
    return 0;
}

static int show_own_mask(struct seq *s, const struct pinode *pi)
{
    seq_cpu_mask(s, 1ULL << pi->nr);
    seq_putc(s, '\n');
    return 0;
}

static int show_kernel_max(struct seq *s, const struct pinode *pi)
{
    seq_puts(s, "63\n");
    return 0;
}

#define T(n, text) {.name = n, .mode = LX_S_IFREG | 0444, .show = show_text, .arg = text, .size = 4096}
#define F(n, fn)   {.name = n, .mode = LX_S_IFREG | 0444, .show = fn, .size = 4096}
#define EMPTY(n)   {.name = n, .mode = LX_S_IFDIR | 0755}
#define D(n, table)                                                                                \
    {.name = n, .mode = LX_S_IFDIR | 0755, .children = table, .nchildren = ARRAY_SIZE(table)}

/* ---- devices/system/cpu ------------------------------------------------------------------------------------ */

static const struct pnode topology_table[] = {
    F("cluster_cpus", show_own_mask),        F("cluster_cpus_list", show_own_list),
    T("cluster_id", "65535"),                F("core_cpus", show_own_mask),
    F("core_cpus_list", show_own_list),      F("core_id", show_own_list),
    F("core_siblings", show_all_mask),       F("core_siblings_list", show_all_list),
    F("die_cpus", show_all_mask),            F("die_cpus_list", show_all_list),
    T("die_id", "0"),                        F("package_cpus", show_all_mask),
    F("package_cpus_list", show_all_list),   T("physical_package_id", "0"),
    F("thread_siblings", show_own_mask),     F("thread_siblings_list", show_own_list),
};
static const struct pnode cpu_table[] = {
    D("topology", topology_table),
    T("online", "1"),
};
static const struct pnode cpu_node = {
    .name = "cpu", .mode = LX_S_IFDIR | 0755, .children = cpu_table, .nchildren = ARRAY_SIZE(cpu_table)};

static const struct pnode cpus_table[] = {
    T("isolated", ""),
    F("kernel_max", show_kernel_max),
    T("offline", ""),
    F("online", show_all_list),
    F("possible", show_all_list),
    F("present", show_all_list),
    EMPTY("cpufreq"),
    EMPTY("cpuidle"),
    EMPTY("vulnerabilities"),
};

static int numbered_lookup(struct inode *dir, struct dentry *d, const char *prefix, u32 count,
                           const struct pnode *each)
{
    const struct pinode *pi = pinode_of(dir);
    const struct pnode *n = pnode_child(pi->node, d->name, d->name_size);
    size_t size = strlen(prefix);
    if (n)
        return pnode_instantiate(dir, d, n, NULL, false, -1);
    if (d->name_size <= size || memcmp(d->name, prefix, size) != 0)
        return 0;
    s64 nr = parse_pid(d->name + size, d->name_size - size);
    if (nr < 0 || nr >= count)
        return 0;
    return pnode_instantiate(dir, d, each, NULL, false, (s32)nr);
}

static int numbered_readdir(struct file *f, struct dir_ctx *ctx, const char *prefix, u32 count,
                            const struct pnode *each)
{
    const struct pinode *pi = pinode_of(f->inode);
    s64 fixed = 2 + pi->node->nchildren;
    if (f->pos < fixed && !pnode_emit_fixed(f, ctx, false))
        return 0;
    for (; f->pos >= fixed && f->pos - fixed < count; f->pos++) {
        char name[32];
        s32 nr = (s32)(f->pos - fixed);
        int n = snprintf(name, sizeof(name), "%s%d", prefix, nr);
        if (!ctx->emit(ctx, name, (size_t)n, pnode_ino(each, NULL, false, nr),
                       (each->mode & LX_S_IFMT) >> 12, f->pos + 1))
            break;
    }
    return 0;
}

static int cpus_lookup(struct inode *dir, struct dentry *d)
{
    return numbered_lookup(dir, d, "cpu", host_info.ncpus, &cpu_node);
}

static int cpus_readdir(struct file *f, struct dir_ctx *ctx)
{
    return numbered_readdir(f, ctx, "cpu", host_info.ncpus, &cpu_node);
}

static const struct inode_ops cpus_iops = {.lookup = cpus_lookup, .setattr = pnode_setattr};
static const struct file_ops cpus_fops = {.readdir = cpus_readdir, .seek = pdir_seek};

/* ---- devices/system/node ------------------------------------------------------------------------------------ */

static int show_node_meminfo(struct seq *s, const struct pinode *pi)
{
    struct mem_now m;
    host_mem_now(&m);
    seq_printf(s, "Node 0 MemTotal:       %llu kB\nNode 0 MemFree:        %llu kB\nNode 0 MemUsed:        %llu kB\n",
               (unsigned long long)(m.total >> 10), (unsigned long long)(m.free >> 10),
               (unsigned long long)((m.total - m.free) >> 10));
    return 0;
}

static const struct pnode node0_table[] = {
    F("cpulist", show_all_list), F("cpumap", show_all_mask), T("distance", "10"),
    F("meminfo", show_node_meminfo), EMPTY("hugepages"),
};
static const struct pnode nodes_table[] = {
    T("has_cpu", "0"),  T("has_memory", "0"), T("has_normal_memory", "0"), D("node0", node0_table),
    T("online", "0"),   T("possible", "0"),
};
static const struct pnode system_table[] = {
    {.name = "cpu", .mode = LX_S_IFDIR | 0755, .children = cpus_table, .nchildren = ARRAY_SIZE(cpus_table),
     .iops = &cpus_iops, .fops = &cpus_fops},
    D("node", nodes_table),
};
#define NET(ops_of)                                                                                \
    {.name = "net", .mode = LX_S_IFDIR | 0755, .iops = &ops_of##_iops, .fops = &ops_of##_fops}
static const struct pnode virtual_table[] = {NET(virtual_net), EMPTY("dmi")};
static const struct pnode devices_table[] = {D("system", system_table), D("virtual", virtual_table)};

/* ---- the rest ------------------------------------------------------------------------------------------------- */

static const struct pnode thp_table[] = {
    T("defrag", "always defer defer+madvise [madvise] never"),
    T("enabled", "always [madvise] never"),
    T("hpage_pmd_size", "2097152"),
    T("shmem_enabled", "always within_size advise [never] deny force"),
    T("use_zero_page", "1"),
};
static const struct pnode mm_table[] = {D("transparent_hugepage", thp_table), EMPTY("hugepages"), EMPTY("ksm")};
static const struct pnode kernel_table[] = {
    D("mm", mm_table), EMPTY("debug"), EMPTY("tracing"), EMPTY("security"),
    T("profiling", "0"), T("fscaps", "1"),
};
static const struct pnode class_table[] = {
    EMPTY("block"), EMPTY("bdi"), EMPTY("mem"), EMPTY("misc"), NET(class_net), EMPTY("power_supply"),
    EMPTY("thermal"), EMPTY("tty"), EMPTY("drm"), EMPTY("hwmon"),
};
static const struct pnode bus_table[] = {EMPTY("cpu"), EMPTY("node"), EMPTY("pci"), EMPTY("usb")};
static const struct pnode dev_table[] = {EMPTY("block"), EMPTY("char")};
static const struct pnode fs_dir_table[] = {EMPTY("cgroup"), EMPTY("bpf"), EMPTY("fuse"), EMPTY("ext4")};
static const struct pnode module_table[] = {EMPTY("kernel")};
static const struct pnode root_table[] = {
    EMPTY("block"), D("bus", bus_table), D("class", class_table), D("dev", dev_table),
    D("devices", devices_table), EMPTY("firmware"), D("fs", fs_dir_table), EMPTY("hypervisor"),
    D("kernel", kernel_table), D("module", module_table), EMPTY("power"),
};
static const struct pnode root_node = {
    .name = "/", .mode = LX_S_IFDIR | 0555, .children = root_table, .nchildren = ARRAY_SIZE(root_table)};

/* ---- super ---------------------------------------------------------------------------------------------------- */

/* Below a numbered directory the number goes on to its files. */
static int sys_lookup(struct inode *dir, struct dentry *d)
{
    const struct pinode *pi = pinode_of(dir);
    const struct pnode *n = pnode_child(pi->node, d->name, d->name_size);
    return n ? pnode_instantiate(dir, d, n, NULL, false, pi->nr) : 0;
}

static const struct inode_ops sys_dir_iops = {.lookup = sys_lookup, .setattr = pnode_setattr};

const struct inode_ops *sysfs_dir_iops(void)
{
    return &sys_dir_iops;
}

static int sys_statfs(struct super *sb, struct kstatfs *ret)
{
    *ret = (struct kstatfs){
        .type = SYSFS_MAGIC, .bsize = PAGE_SIZE, .frsize = PAGE_SIZE, .namelen = 255};
    return 0;
}

void pnode_evict(struct inode *i)
{
    free(i->priv);
}

static void sys_kill(struct super *sb)
{
    if (sb->priv)
        kern_hooks.net_ns_put(sb->priv);
}

const struct super_ops sysfs_super_ops = {
    .statfs = sys_statfs, .evict = pnode_evict, .kill = sys_kill};

/* As on Linux a mount shows the interfaces of the namespace it was made in, referenced here. */
static int own_net(struct net_ns **ret_net)
{
    struct task *t = task_current();
    struct net_ns *net = t ? t->ns->net : kern_hooks.root_net_ns;
    if (net && t && !ns_capable(kern_hooks.net_ns_owner(net), LX_CAP_SYS_ADMIN))
        return -LX_EPERM;
    if (net)
        kern_hooks.net_ns_get(net);
    *ret_net = net;
    return 0;
}

static int sys_mount(const struct fs_type *type, u32 ms_flags, const char *source, const char *opts,
                     struct super **ret_sb)
{
    struct net_ns *net;
    int r = own_net(&net);
    if (r < 0)
        return r;
    struct super *sb = super_new(type, &sysfs_super_ops, source, net);
    if (!sb) {
        if (net)
            kern_hooks.net_ns_put(net);
        return -LX_ENOMEM;
    }
    struct inode *root = pnode_inode(sb, &root_node, NULL, false, -1);
    sb->root = root ? dentry_make_root(sb, root) : NULL;
    if (!sb->root) {
        super_put(sb);
        return -LX_ENOMEM;
    }
    *ret_sb = sb;
    return 0;
}

static struct fs_type sys_type = {.name = "sysfs", .flags = FS_USERNS_MOUNT, .mount = sys_mount};

int sysfs_init(void)
{
    fs_register(&sys_type);
    return 0;
}
