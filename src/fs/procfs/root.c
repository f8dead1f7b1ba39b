/*
 * The file system type "proc" and its root: fixed files, self, thread-self, and a directory for
 * each process of the pid namespace of the mount.
 *
 * Nothing is cached: dentries go with their last use, so a process's names go with it and
 * numbers can be used again.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kern/kern_int.h"
#include "procfs/proc_int.h"

#define PROC_SUPER_MAGIC 0x9fa0
#define FIRST_PID_POS    256

/* ---- self ------------------------------------------------------------------------------------ */

static s64 self_readlink(const struct pinode *pi, char *buf, size_t size)
{
    struct task *t = task_current();
    s32 pid = t ? tgroup_pid_in(t->tg, pi->ps->ns) : 0;
    return pid ? snprintf(buf, size, "%d", pid) : -LX_ENOENT;
}

static s64 thread_self_readlink(const struct pinode *pi, char *buf, size_t size)
{
    struct task *t = task_current();
    s32 pid = t ? tgroup_pid_in(t->tg, pi->ps->ns) : 0;
    s32 tid = t ? task_tid_in(t, pi->ps->ns) : 0;
    return pid ? snprintf(buf, size, "%d/task/%d", pid, tid) : -LX_ENOENT;
}

static s64 mounts_readlink(const struct pinode *pi, char *buf, size_t size)
{
    return snprintf(buf, size, "self/mounts");
}

static s64 net_readlink(const struct pinode *pi, char *buf, size_t size)
{
    return snprintf(buf, size, "self/net");
}

/* ---- the table -------------------------------------------------------------------------------- */

#define PLINK(n, fn, sz) {.name = n, .mode = LX_S_IFLNK | 0777, .readlink = fn, .size = sz}

static const struct pnode irq_dir[] = {
    {.name = "default_smp_affinity", .mode = LX_S_IFREG | 0444, .show = show_empty},
};
static const struct pnode sysvipc_dir[] = {
    PREG("msg", 0444, show_sysvipc_msg),
    PREG("sem", 0444, show_sysvipc_sem),
    PREG("shm", 0444, show_sysvipc_shm),
};
static const struct pnode root_table[] = {
    PREG("buddyinfo", 0444, show_buddyinfo),
    PREG("cgroups", 0444, show_cgroups),
    PREG("cmdline", 0444, show_cmdline_kernel),
    PREG("consoles", 0444, show_empty),
    PREG("cpuinfo", 0444, show_cpuinfo),
    PREG("crypto", 0444, show_empty),
    PREG("devices", 0444, show_devices),
    PREG("diskstats", 0444, show_empty),
    PREG("execdomains", 0444, show_misc),
    PREG("filesystems", 0444, show_filesystems),
    {.name = "fs", .mode = LX_S_IFDIR | 0555},
    PREG("interrupts", 0444, show_interrupts),
    PREG("iomem", 0400, show_empty),
    PREG("ioports", 0400, show_empty),
    PDIR("irq", irq_dir),
    PREG("kallsyms", 0444, show_empty),
    PREG("key-users", 0444, show_key_users),
    PREG("keys", 0444, show_keys),
    PREG("kmsg", 0400, show_eperm),
    PREG("loadavg", 0444, show_loadavg),
    PREG("locks", 0444, show_locks),
    PREG("meminfo", 0444, show_meminfo),
    PREG("modules", 0444, show_empty),
    PLINK("mounts", mounts_readlink, 11),
    PLINK("net", net_readlink, 8),
    PREG("partitions", 0444, show_partitions),
    PLINK("self", self_readlink, 0),
    PREG("softirqs", 0444, show_softirqs),
    PREG("stat", 0444, show_stat),
    PREG("swaps", 0444, show_swaps),
    {.name = "sys", .mode = LX_S_IFDIR | 0555, .arg = &proc_sys_node},
    PDIR("sysvipc", sysvipc_dir),
    PLINK("thread-self", thread_self_readlink, 0),
    PREG("uptime", 0444, show_uptime),
    PREG("version", 0444, show_version),
    PREG("vmstat", 0444, show_vmstat),
    PREG("zoneinfo", 0444, show_zoneinfo),
};

/* ---- hidepid --------------------------------------------------------------------------------- */

enum { HIDE_OFF, HIDE_NO_ACCESS, HIDE_INVISIBLE, HIDE_NOT_PTRACEABLE = 4 };

/* May the current task see this process when hidepid is at least `level`? */
static bool may_see(const struct proc_super *ps, struct task *t, int level)
{
    int hide = atomic_load(&ps->hidepid);
    if (hide == HIDE_NOT_PTRACEABLE)
        return ptrace_may_access(t, false) == 0;
    if (hide < level)
        return true;
    u32 gid = atomic_load(&ps->gid);
    if (vfs_cred()->egid == gid || cred_in_group(vfs_cred(), gid))
        return true;
    return ptrace_may_access(t, false) == 0;
}

static int pid_permission(struct inode *i, u32 mask)
{
    const struct pinode *pi = pinode_of(i);
    struct task *t = pinode_task(pi);
    if (!t)
        return -LX_ESRCH;
    if (atomic_load(&pi->ps->hidepid) != HIDE_OFF) {
        bool may = may_see(pi->ps, t, HIDE_NO_ACCESS);
        bool is_hidden = !may && atomic_load(&pi->ps->hidepid) >= HIDE_INVISIBLE;
        if (!may) {
            task_put(t);
            return is_hidden ? -LX_ENOENT : -LX_EPERM;
        }
    }
    task_put(t);
    return inode_generic_permission(i, mask);
}

/* ---- directory operations -------------------------------------------------------------------- */

static bool is_in_subset(const struct pnode *n)
{
    return !strcmp(n->name, "self") || !strcmp(n->name, "thread-self");
}

/* The directory of a process, or (found by name only) of one of its threads. */
static int lookup_pid(struct inode *dir, struct dentry *d)
{
    struct proc_super *ps = proc_super_of(dir);
    s64 nr = parse_pid(d->name, d->name_size);
    struct pid *pid = nr > 0 ? pid_find(ps->ns, (s32)nr) : NULL;
    int r = -LX_ENOENT;
    if (pid) {
        struct pinode probe = {.pid = pid};
        struct task *t = pinode_task(&probe);
        if (t && may_see(ps, t, HIDE_INVISIBLE))
            r = pnode_instantiate(dir, d, &pid_node, pid, false, -1);
        if (t)
            task_put(t);
        pid_put(pid);
    }
    return r;
}

static int root_lookup(struct inode *dir, struct dentry *d)
{
    struct proc_super *ps = proc_super_of(dir);
    const struct pnode *n = pnode_child(&proc_root_node, d->name, d->name_size);
    if (!n)
        return lookup_pid(dir, d);
    if (ps->is_subset_pid && !is_in_subset(n))
        return -LX_ENOENT;
    return pnode_instantiate(dir, d, n->arg ? n->arg : n, NULL, false, -1);
}

static int emit_pids(struct file *f, struct dir_ctx *ctx)
{
    const struct proc_super *ps = proc_super_of(f->inode);
    s32 nr = (s32)MIN(f->pos - FIRST_PID_POS, (s64)INT32_MAX), found;
    struct tgroup *g;
    while ((g = tgroup_next(ps->ns, MAX(nr, 1), &found)) != NULL) {
        char name[16];
        int n = snprintf(name, sizeof(name), "%d", found);
        bool is_shown = may_see(ps, g->leader, HIDE_INVISIBLE);
        u64 ino = pnode_ino(&pid_node, g->pid, false, -1);
        tgroup_put(g);
        if (is_shown && !ctx->emit(ctx, name, (size_t)n, ino, LX_DT_DIR, (s64)found + FIRST_PID_POS + 1))
            return 0;
        nr = found + 1;
        f->pos = (s64)nr + FIRST_PID_POS;
    }
    return 0;
}

static int root_readdir(struct file *f, struct dir_ctx *ctx)
{
    if (f->pos < FIRST_PID_POS) {
        const struct proc_super *ps = proc_super_of(f->inode);
        if (!ps->is_subset_pid) {
            if (!pnode_emit_fixed(f, ctx, false))
                return 0;
        } else if (f->pos == 0) {
            f->pos = 2; /* "." and ".." are hidden with the rest: as Linux does */
        }
        f->pos = FIRST_PID_POS;
    }
    return emit_pids(f, ctx);
}

static int root_getattr(struct inode *i, struct kstat *st)
{
    inode_fill_stat(i, st);
    st->nlink += pid_ns_count(proc_super_of(i)->ns);
    return 0;
}

const struct inode_ops pid_iops = {
    .lookup = pnode_lookup, .permission = pid_permission, .setattr = pnode_setattr};
static const struct inode_ops root_iops = {
    .lookup = root_lookup, .getattr = root_getattr, .setattr = pnode_setattr};
static const struct file_ops root_fops = {.readdir = root_readdir, .seek = pdir_seek};
const struct pnode proc_root_node = {
    .name = "/",
    .mode = LX_S_IFDIR | 0555,
    .children = root_table,
    .nchildren = ARRAY_SIZE(root_table),
    .iops = &root_iops,
    .fops = &root_fops,
};

/* ---- super ------------------------------------------------------------------------------------ */

static int parse_hidepid(const char *v)
{
    static const struct {
        const char *name;
        int value;
    } names[] = {{"0", HIDE_OFF},           {"off", HIDE_OFF},         {"1", HIDE_NO_ACCESS},
                 {"noaccess", HIDE_NO_ACCESS}, {"2", HIDE_INVISIBLE}, {"invisible", HIDE_INVISIBLE},
                 {"4", HIDE_NOT_PTRACEABLE}, {"ptraceable", HIDE_NOT_PTRACEABLE}};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (!strcmp(v, names[i].name))
            return names[i].value;
    return -LX_EINVAL;
}

struct proc_opts {
    int hidepid;
    u32 gid;
    bool is_subset_pid;
};

static int parse_option(char *opt, struct proc_opts *o)
{
    u64 gid;
    if (!strncmp(opt, "hidepid=", 8)) {
        o->hidepid = parse_hidepid(opt + 8);
        return o->hidepid < 0 ? o->hidepid : 0;
    }
    if (!strncmp(opt, "gid=", 4)) {
        if (!parse_u64(opt + 4, &gid) || gid >= UINT32_MAX)
            return -LX_EINVAL;
        o->gid = make_kgid(vfs_cred()->user_ns ? vfs_cred()->user_ns : &root_user_ns, (u32)gid);
        return o->gid == UINT32_MAX ? -LX_EINVAL : 0;
    }
    if (!strcmp(opt, "subset=pid")) {
        o->is_subset_pid = true;
        return 0;
    }
    return -LX_EINVAL;
}

static int parse_options(const char *text, struct proc_opts *o)
{
    char *copy = strdup(text), *save = NULL;
    int r = copy ? 0 : -LX_ENOMEM;
    for (char *opt = copy ? strtok_r(copy, ",", &save) : NULL; opt && r == 0;
         opt = strtok_r(NULL, ",", &save))
        r = parse_option(opt, o);
    free(copy);
    return r;
}

static int proc_statfs(struct super *sb, struct kstatfs *ret)
{
    *ret = (struct kstatfs){
        .type = PROC_SUPER_MAGIC, .bsize = PAGE_SIZE, .frsize = PAGE_SIZE, .namelen = 255};
    return 0;
}

static void proc_evict(struct inode *i)
{
    struct pinode *pi = i->priv;
    if (!pi)
        return;
    if (pi->pid)
        pid_put(pi->pid);
    free(pi);
}

static void proc_kill(struct super *sb)
{
    struct proc_super *ps = sb->priv;
    pid_ns_put(ps->ns);
    free(ps);
}

static void proc_show_options(struct super *sb, char *buf, size_t size)
{
    const struct proc_super *ps = sb->priv;
    static const char *const names[] = {"off", "noaccess", "invisible", "", "ptraceable"};
    size_t n = 0;
    int hide = atomic_load(&ps->hidepid);
    u32 gid = atomic_load(&ps->gid);
    buf[0] = 0;
    if (gid != 0)
        n += (size_t)snprintf(buf, size, ",gid=%u", gid);
    if (hide != HIDE_OFF && n < size)
        n += (size_t)snprintf(buf + n, size - n, ",hidepid=%s", names[hide]);
    if (ps->is_subset_pid && n < size)
        snprintf(buf + n, size - n, ",subset=pid");
}

static int proc_remount(struct super *sb, u32 flags, const char *opts)
{
    struct proc_super *ps = sb->priv;
    struct proc_opts o = {atomic_load(&ps->hidepid), atomic_load(&ps->gid), ps->is_subset_pid};
    int r = parse_options(opts, &o);
    if (r < 0)
        return r;
    atomic_store(&ps->hidepid, o.hidepid);
    atomic_store(&ps->gid, o.gid);
    return 0;
}

const struct super_ops proc_super_ops = {
    .statfs = proc_statfs,
    .evict = proc_evict,
    .kill = proc_kill,
    .remount = proc_remount,
    .show_options = proc_show_options,
};

static bool proc_is_transient(struct dentry *d)
{
    return true;
}

/* A name that is in use (a working directory, a mount point) ends with its process. */
static int proc_revalidate(struct dentry *d)
{
    const struct pinode *pi = d->inode ? d->inode->priv : NULL;
    if (!pi || !pi->pid)
        return 1;
    struct task *t = pinode_task(pi);
    if (!t)
        return 0;
    task_put(t);
    return 1;
}

static const struct dentry_ops proc_dentry_ops = {.is_transient = proc_is_transient,
                                                  .revalidate = proc_revalidate};

_Thread_local struct pid_ns *proc_boot_ns;

static int proc_mount(const struct fs_type *type, u32 ms_flags, const char *source,
                      const char *opts, struct super **ret_sb)
{
    struct proc_opts o = {0};
    int r = parse_options(opts, &o);
    if (r < 0)
        return r;
    struct task *t = task_current();
    struct proc_super *ps = calloc(1, sizeof(*ps));
    struct super *sb = ps ? super_new(type, &proc_super_ops, source, ps) : NULL;
    if (!sb) {
        free(ps);
        return -LX_ENOMEM;
    }
    ps->ns = t ? task_pid_ns(t) : proc_boot_ns ? proc_boot_ns : &root_pid_ns;
    pid_ns_get(ps->ns);
    ps->hidepid = o.hidepid;
    ps->gid = o.gid;
    ps->is_subset_pid = o.is_subset_pid;
    sb->flags |= SB_REVALIDATE;
    sb->d_ops = &proc_dentry_ops;
    struct inode *root = pnode_inode(sb, &proc_root_node, NULL, false, -1);
    sb->root = root ? dentry_make_root(sb, root) : NULL;
    if (!sb->root) {
        super_put(sb);
        return -LX_ENOMEM;
    }
    *ret_sb = sb;
    return 0;
}

static struct fs_type proc_type = {.name = "proc", .flags = FS_USERNS_MOUNT, .mount = proc_mount};

int procfs_init(void)
{
    fs_register(&proc_type);
    int r = sysfs_init();
    return r < 0 ? r : cgroupfs_init();
}
