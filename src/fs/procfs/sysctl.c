/*
 * /proc/sys. A value is fixed text, a number that lives here, or one that lives
 * elsewhere (host name, pid_max). Numbers that only show have no writer: they
 * are read-only here as in a container. What is written is kept and read back, and where it
 * means something to a room, that room reads it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "abi/sched.h"
#include "fs/mqueue.h"
#include "kern/aio.h"
#include "kern/klog.h"
#include "kern/host_info.h"
#include "kern/ipc.h"
#include "kern/kern_int.h"
#include "kern/uname.h"
#include "procfs/proc_int.h"
#include "procfs/sysctl.h"
#include "vfs/account.h"
#include "vfs/file.h"
#include "vfs/special.h"

/* ---- kinds of values ------------------------------------------------------------------------------------- */

static int show_text(struct seq *s, const struct pinode *pi)
{
    seq_printf(s, "%s\n", (const char *)pi->node->arg);
    return 0;
}

struct sysctl_num {
    _Atomic s64 *value;
    s64 min, max;
};

static int show_num(struct seq *s, const struct pinode *pi)
{
    const struct sysctl_num *n = pi->node->arg;
    seq_printf(s, "%lld\n", (long long)atomic_load(n->value));
    return 0;
}

static s64 write_num(struct file *f, const struct pinode *pi, char *buf, size_t size, s64 off)
{
    const struct sysctl_num *n = pi->node->arg;
    s64 v;
    if (off != 0)
        return (s64)size; /* as sysctl_writes_strict: only the first write counts */
    if (!parse_s64(buf, &v) || v < n->min || v > n->max)
        return -LX_EINVAL;
    atomic_store(n->value, v);
    return (s64)size;
}

/* A number that is kept and shown only. */
struct kept_num {
    _Atomic s64 value;
};

static int show_kept(struct seq *s, const struct pinode *pi)
{
    struct kept_num *n = (struct kept_num *)(uintptr_t)pi->node->arg;
    seq_printf(s, "%lld\n", (long long)atomic_load(&n->value));
    return 0;
}

static s64 write_kept(struct file *f, const struct pinode *pi, char *buf, size_t size, s64 off)
{
    struct kept_num *n = (struct kept_num *)(uintptr_t)pi->node->arg;
    s64 v;
    if (!parse_s64(buf, &v) || v < 0 || v > INT32_MAX)
        return -LX_EINVAL;
    atomic_store(&n->value, v);
    return (s64)size;
}

#define K(n, init)                                                                                 \
    {.name = n, .mode = LX_S_IFREG | 0644, .show = show_kept, .write = write_kept,                 \
     .arg = &(struct kept_num){init}}
#define T(n, text)    {.name = n, .mode = LX_S_IFREG | 0444, .show = show_text, .arg = text}
#define TW(n, text)   {.name = n, .mode = LX_S_IFREG | 0644, .show = show_text, .arg = text}
#define NUM(n, var, lo, hi)                                                                        \
    {.name = n, .mode = LX_S_IFREG | 0644, .show = show_num, .write = write_num,                   \
     .arg = &(const struct sysctl_num){var, lo, hi}}

/* ---- kernel/ ----------------------------------------------------------------------------------------------- */

static struct uts_ns *own_uts(void)
{
    struct task *t = task_current();
    return t && t->ns ? t->ns->uts : &root_uts_ns;
}

static int show_uts(struct seq *s, const char *field)
{
    struct uts_ns *ns = own_uts();
    MUTEX_GUARD(&ns->lock);
    seq_printf(s, "%s\n", field);
    return 0;
}

static int show_hostname(struct seq *s, const struct pinode *pi)
{
    return show_uts(s, own_uts()->nodename);
}

static int show_domainname(struct seq *s, const struct pinode *pi)
{
    return show_uts(s, own_uts()->domainname);
}

static s64 write_uts(char *field, char *buf, size_t size)
{
    struct uts_ns *ns = own_uts();
    if (!ns_capable(ns->user_ns, LX_CAP_SYS_ADMIN))
        return -LX_EPERM;
    size_t n = strcspn(buf, "\n");
    n = MIN(n, 64UL);
    mutex_lock(&ns->lock);
    memset(field, 0, 65);
    memcpy(field, buf, n);
    mutex_unlock(&ns->lock);
    uts_changed();
    return (s64)size;
}

/* poll(2) tells of changes since the last look: POLLERR|POLLPRI. */
struct uts_file {
    struct pfile text; /* first: the text operations use it */
    _Atomic u64 seen;
};

static int uts_open(struct inode *i, struct file *f)
{
    struct uts_file *uf = calloc(1, sizeof(*uf));
    if (!uf)
        return -LX_ENOMEM;
    mutex_init(&uf->text.lock, "proc_text");
    uf->seen = atomic_load(&uts_event);
    f->priv = uf;
    return 0;
}

static s64 uts_read(struct file *f, struct uio *to, s64 *off)
{
    return ptext_fops.read(f, to, off);
}

static s64 uts_write(struct file *f, struct uio *from, s64 *off)
{
    return ptext_fops.write(f, from, off);
}

static void uts_release(struct file *f)
{
    ptext_fops.release(f);
}

static u32 uts_poll(struct file *f)
{
    struct uts_file *uf = f->priv;
    u64 now = atomic_load(&uts_event);
    u32 ready = WAIT_IN | WAIT_RDNORM;
    return atomic_exchange(&uf->seen, now) != now ? ready | WAIT_ERR | WAIT_PRI : ready;
}

static struct waitq *uts_pollq(struct file *f)
{
    return &uts_wait;
}

static const struct file_ops uts_fops = {.open = uts_open,
                                         .read = uts_read,
                                         .write = uts_write,
                                         .seek = cursor_seek,
                                         .release = uts_release,
                                         .poll = uts_poll,
                                         .pollq = uts_pollq};
#define UTS(n, fn, w) {.name = n, .mode = LX_S_IFREG | 0644, .show = fn, .write = w, .fops = &uts_fops}

static s64 write_hostname(struct file *f, const struct pinode *pi, char *buf, size_t size, s64 off)
{
    return write_uts(own_uts()->nodename, buf, size);
}

static s64 write_domainname(struct file *f, const struct pinode *pi, char *buf, size_t size, s64 off)
{
    return write_uts(own_uts()->domainname, buf, size);
}

static void put_uuid(struct seq *s, const u8 u[16])
{
    for (int i = 0; i < 16; i++)
        seq_printf(s, i == 4 || i == 6 || i == 8 || i == 10 ? "-%02x" : "%02x", u[i]);
    seq_putc(s, '\n');
}

static void make_uuid(u8 u[16])
{
    if (getrandom(u, 16, GRND_NONBLOCK) != 16)
        memset(u, 0, 16);
    u[6] = (u[6] & 0x0f) | 0x40;
    u[8] = (u[8] & 0x3f) | 0x80;
}

static int show_uuid(struct seq *s, const struct pinode *pi)
{
    u8 u[16];
    make_uuid(u);
    put_uuid(s, u);
    return 0;
}

static int show_boot_id(struct seq *s, const struct pinode *pi)
{
    static struct mutex lock = MUTEX_INIT("boot_id");
    static u8 id[16]; /* guarded by lock */
    MUTEX_GUARD(&lock);
    if (id[6] == 0)
        make_uuid(id);
    put_uuid(s, id);
    return 0;
}

static int show_pid_max(struct seq *s, const struct pinode *pi)
{
    seq_printf(s, "%d\n", atomic_load(&pid_max));
    return 0;
}

static s64 write_pid_max(struct file *f, const struct pinode *pi, char *buf, size_t size, s64 off)
{
    s64 v;
    if (!parse_s64(buf, &v) || v < 301 || v > 4194304)
        return -LX_EINVAL;
    atomic_store(&pid_max, (s32)v);
    return (s64)size;
}

static int show_threads_max(struct seq *s, const struct pinode *pi)
{
    u64 n = host_info.mem_total / (8 * 16384);
    seq_printf(s, "%llu\n", (unsigned long long)MIN(n, 126000UL));
    return 0;
}

/* min default boot-time-default */
static int show_last_pid(struct seq *s, const struct pinode *pi)
{
    seq_printf(s, "%d\n", pid_ns_last(pi->ps->ns));
    return 0;
}

static _Atomic s64 core_uses_pid, kptr_restrict = 1, perf_paranoid = 2, panic_secs,
    panic_on_oops, randomize = 2, unpriv_bpf = 2, sched_autogroup, timer_migration = 1, nmi_watchdog,
    sysrq = 0, sched_child_runs_first, numa_balancing, print_fatal, hung_secs = 120;

static int show_u64(struct seq *s, const struct pinode *pi)
{
    const _Atomic u64 *const *p = pi->node->arg;
    seq_printf(s, "%llu\n", (unsigned long long)atomic_load(*p));
    return 0;
}

static s64 write_u64(struct file *f, const struct pinode *pi, char *buf, size_t size, s64 off)
{
    _Atomic u64 *const *p = pi->node->arg;
    u64 v;
    if (!parse_u64(buf, &v))
        return -LX_EINVAL;
    atomic_store(*p, v);
    return (s64)size;
}

#define U64(n, var)                                                                                \
    {.name = n, .mode = LX_S_IFREG | 0644, .show = show_u64, .write = write_u64,                   \
     .arg = &(_Atomic u64 *const){var}}

static int show_sem(struct seq *s, const struct pinode *pi)
{
    for (int i = 0; i < 4; i++)
        seq_printf(s, "%s%lld", i ? "\t" : "", (long long)atomic_load(&sysctl_sem[i]));
    seq_putc(s, '\n');
    return 0;
}

static s64 write_sem(struct file *f, const struct pinode *pi, char *buf, size_t size, s64 off)
{
    long long v[4];
    int n = sscanf(buf, "%lld %lld %lld %lld", &v[0], &v[1], &v[2], &v[3]);
    if (n < 1)
        return -LX_EINVAL;
    for (int i = 0; i < n; i++)
        if (v[i] < 0 || v[i] > INT32_MAX)
            return -LX_EINVAL;
    for (int i = 0; i < n; i++)
        atomic_store(&sysctl_sem[i], v[i]);
    return (s64)size;
}

static char core_pattern[128] = "core"; /* guarded by core_lock */
static struct mutex core_lock = MUTEX_INIT("core_pattern");

static int show_core_pattern(struct seq *s, const struct pinode *pi)
{
    MUTEX_GUARD(&core_lock);
    seq_printf(s, "%s\n", core_pattern);
    return 0;
}

static s64 write_core_pattern(struct file *f, const struct pinode *pi, char *buf, size_t size, s64 off)
{
    size_t n = strcspn(buf, "\n");
    if (n >= sizeof(core_pattern))
        return -LX_EINVAL;
    MUTEX_GUARD(&core_lock);
    memcpy(core_pattern, buf, n);
    core_pattern[n] = 0;
    return (s64)size;
}

static const struct pnode random_table[] = {
    PREG("boot_id", 0444, show_boot_id),
    T("entropy_avail", "256"),
    T("poolsize", "256"),
    K("urandom_min_reseed_secs", 60),
    PREG("uuid", 0444, show_uuid),
    K("write_wakeup_threshold", 256),
};

static const struct pnode keys_table[] = {
    K("gc_delay", 300),  K("maxbytes", 20000),         K("maxkeys", 200),
    K("persistent_keyring_expiry", 259200),
    K("root_maxbytes", 25000000), K("root_maxkeys", 1000000),
};

static const struct pnode seccomp_table[] = {
    T("actions_avail", "kill_process kill_thread trap errno user_notif trace log allow"),
    TW("actions_logged", "kill_process kill_thread trap errno user_notif trace log"),
};

static const struct pnode kernel_table[] = {
    T("arch", KERN_MACHINE),
    T("bootloader_type", "0"),
    T("cap_last_cap", "40"),
    PREGW("core_pattern", 0644, show_core_pattern, write_core_pattern),
    NUM("core_uses_pid", &core_uses_pid, 0, 1),
    NUM("dmesg_restrict", &klog_dmesg_restrict, 0, 1),
    UTS("domainname", show_domainname, write_domainname),
    UTS("hostname", show_hostname, write_hostname),
    NUM("hung_task_timeout_secs", &hung_secs, 0, INT64_MAX),
    PDIR("keys", keys_table),
    NUM("kptr_restrict", &kptr_restrict, 0, 2),
    T("modules_disabled", "1"),
    NUM("msgmax", &sysctl_msgmax, 0, INT32_MAX),
    NUM("msgmnb", &sysctl_msgmnb, 0, INT32_MAX),
    NUM("msgmni", &sysctl_msgmni, 0, 32000),
    T("ngroups_max", "65536"),
    NUM("nmi_watchdog", &nmi_watchdog, 0, 1),
    PREG("ns_last_pid", 0644, show_last_pid),
    NUM("numa_balancing", &numa_balancing, 0, 1),
    T("osrelease", KERN_RELEASE),
    T("ostype", KERN_SYSNAME),
    T("overflowgid", "65534"),
    T("overflowuid", "65534"),
    NUM("panic", &panic_secs, INT32_MIN, INT32_MAX),
    NUM("panic_on_oops", &panic_on_oops, 0, 1),
    NUM("perf_event_paranoid", &perf_paranoid, -1, 4),
    PREGW("pid_max", 0644, show_pid_max, write_pid_max),
    NUM("print-fatal-signals", &print_fatal, 0, 1),
    T("printk", "4\t4\t1\t7"),
    PDIR("random", random_table),
    NUM("randomize_va_space", &randomize, 0, 2),
    NUM("sched_autogroup_enabled", &sched_autogroup, 0, 1),
    NUM("sched_child_runs_first", &sched_child_runs_first, 0, 1),
    T("sched_rr_timeslice_ms", "100"),
    T("sched_rt_period_us", "1000000"),
    T("sched_rt_runtime_us", "950000"),
    PDIR("seccomp", seccomp_table),
    PREGW("sem", 0644, show_sem, write_sem),
    NUM("shm_rmid_forced", &sysctl_shm_rmid_forced, 0, 1),
    U64("shmall", &sysctl_shmall),
    U64("shmmax", &sysctl_shmmax),
    NUM("shmmni", &sysctl_shmmni, 0, 32768),
    NUM("sysrq", &sysrq, 0, 1023),
    T("tainted", "0"),
    PREG("threads-max", 0644, show_threads_max),
    NUM("timer_migration", &timer_migration, 0, 1),
    NUM("unprivileged_bpf_disabled", &unpriv_bpf, 0, 2),
    T("version", KERN_VERSION),
};

/* ---- fs/ -------------------------------------------------------------------------------------------------------- */

_Atomic s64 sysctl_nr_open = 1048576;
static _Atomic s64 suid_dumpable, file_max = INT64_MAX;

/* A number is rounded up to what F_SETPIPE_SZ would give for it. */
static s64 write_pipe_max(struct file *f, const struct pinode *pi, char *buf, size_t size, s64 off)
{
    s64 v, rounded = PAGE_SIZE;
    if (off != 0)
        return (s64)size;
    if (!parse_s64(buf, &v) || v < (s64)PAGE_SIZE || v > (s64)1 << 31)
        return -LX_EINVAL;
    while (rounded < v)
        rounded *= 2;
    atomic_store(&sysctl_pipe_max_size, rounded);
    return (s64)size;
}

static const struct pnode inotify_table[] = {
    NUM("max_queued_events", &sysctl_inotify_events, 0, INT32_MAX),
    NUM("max_user_instances", &sysctl_inotify_instances, 0, INT32_MAX),
    NUM("max_user_watches", &sysctl_inotify_watches, 0, INT32_MAX),
};
static const struct pnode mqueue_table[] = {
    NUM("msg_default", &sysctl_mq_msg_default, 1, 65536),
    NUM("msg_max", &sysctl_mq_msg_max, 1, 65536),
    NUM("msgsize_default", &sysctl_mq_msgsize_default, 128, 16777216),
    NUM("msgsize_max", &sysctl_mq_msgsize_max, 128, 16777216),
    NUM("queues_max", &sysctl_mq_queues_max, 0, INT32_MAX),
};
static const struct pnode epoll_table[] = {
    NUM("max_user_watches", &sysctl_epoll_watches, 0, INT64_MAX),
};
static const struct pnode fs_table[] = {
    NUM("aio-max-nr", &aio_max_nr, 0, 4194304),
    {.name = "aio-nr", .mode = LX_S_IFREG | 0444, .show = show_num,
     .arg = &(const struct sysctl_num){&aio_nr, 0, 0}},
    T("dentry-state", "0\t0\t45\t0\t0\t0"),
    PDIR("epoll", epoll_table),
    NUM("file-max", &file_max, 0, INT64_MAX),
    T("file-nr", "1024\t0\t9223372036854775807"),
    T("inode-nr", "1024\t0"),
    T("inode-state", "1024\t0\t0\t0\t0\t0\t0"),
    PDIR("inotify", inotify_table),
    NUM("lease-break-time", &sysctl_lease_break_time, 0, INT32_MAX),
    NUM("leases-enable", &sysctl_leases_enable, 0, 1),
    NUM("mount-max", &vfs_mount_max, 1, INT32_MAX),
    PDIR("mqueue", mqueue_table),
    NUM("nr_open", &sysctl_nr_open, 8, 2147483584),
    T("overflowgid", "65534"),
    T("overflowuid", "65534"),
    {.name = "pipe-max-size", .mode = LX_S_IFREG | 0644, .show = show_num, .write = write_pipe_max,
     .arg = &(const struct sysctl_num){&sysctl_pipe_max_size, 0, 0}},
    NUM("pipe-user-pages-hard", &sysctl_pipe_hard, 0, INT64_MAX),
    NUM("pipe-user-pages-soft", &sysctl_pipe_soft, 0, INT64_MAX),
    NUM("protected_fifos", &vfs_protected_fifos, 0, 2),
    NUM("protected_hardlinks", &vfs_protected_hardlinks, 0, 1),
    NUM("protected_regular", &vfs_protected_regular, 0, 2),
    NUM("protected_symlinks", &vfs_protected_symlinks, 0, 1),
    NUM("suid_dumpable", &suid_dumpable, 0, 2),
};

/* ---- vm/ -------------------------------------------------------------------------------------------------------- */

static _Atomic s64 overcommit, overcommit_ratio = 50, max_map = 65530, swappiness = 60, dirty_ratio = 20,
    dirty_bg = 10, min_free = 67584, panic_oom, oom_alloc, oom_dump = 1, drop_caches, zone_reclaim,
    vfs_pressure = 100, compaction = 20, page_cluster = 3, dirty_expire = 3000, dirty_wb = 500,
    admin_reserve = 8192, user_reserve = 131072, nr_hugepages, laptop, hp_shm_group, mmap_min = 65536,
    overcommit_kb;

static const struct pnode vm_table[] = {
    NUM("admin_reserve_kbytes", &admin_reserve, 0, INT64_MAX),
    NUM("compaction_proactiveness", &compaction, 0, 100),
    NUM("dirty_background_ratio", &dirty_bg, 0, 100),
    NUM("dirty_expire_centisecs", &dirty_expire, 0, INT32_MAX),
    NUM("dirty_ratio", &dirty_ratio, 0, 100),
    NUM("dirty_writeback_centisecs", &dirty_wb, 0, INT32_MAX),
    NUM("drop_caches", &drop_caches, 1, 4),
    NUM("hugetlb_shm_group", &hp_shm_group, 0, INT32_MAX),
    NUM("laptop_mode", &laptop, 0, INT32_MAX),
    T("legacy_va_layout", "0"),
    T("lowmem_reserve_ratio", "256\t256\t32\t0\t0"),
    NUM("max_map_count", &max_map, 0, INT32_MAX),
    NUM("min_free_kbytes", &min_free, 0, INT32_MAX),
    NUM("mmap_min_addr", &mmap_min, 0, INT64_MAX),
    T("mmap_rnd_bits", "28"),
    NUM("nr_hugepages", &nr_hugepages, 0, 0),
    NUM("nr_overcommit_hugepages", &nr_hugepages, 0, 0),
    NUM("oom_dump_tasks", &oom_dump, 0, 1),
    NUM("oom_kill_allocating_task", &oom_alloc, 0, 1),
    NUM("overcommit_kbytes", &overcommit_kb, 0, INT64_MAX),
    NUM("overcommit_memory", &overcommit, 0, 2),
    NUM("overcommit_ratio", &overcommit_ratio, 0, INT32_MAX),
    NUM("page-cluster", &page_cluster, 0, 31),
    NUM("panic_on_oom", &panic_oom, 0, 2),
    NUM("swappiness", &swappiness, 0, 200),
    NUM("user_reserve_kbytes", &user_reserve, 0, INT64_MAX),
    NUM("vfs_cache_pressure", &vfs_pressure, 0, INT32_MAX),
    NUM("zone_reclaim_mode", &zone_reclaim, 0, 7),
};

/* ---- user/, the root ---------------------------------------------------------------------------------------------- */

static const struct pnode user_table[] = {
    K("max_cgroup_namespaces", 63000), K("max_inotify_instances", 128),
    K("max_inotify_watches", 1048576), K("max_ipc_namespaces", 63000),
    K("max_mnt_namespaces", 63000),    K("max_net_namespaces", 63000),
    K("max_pid_namespaces", 63000),    K("max_time_namespaces", 63000),
    K("max_user_namespaces", 63000),   K("max_uts_namespaces", 63000),
};
static const struct pnode sys_table[] = {
    {.name = "abi", .mode = LX_S_IFDIR | 0555},
    {.name = "debug", .mode = LX_S_IFDIR | 0555},
    {.name = "dev", .mode = LX_S_IFDIR | 0555},
    PDIR("fs", fs_table),
    PDIR("kernel", kernel_table),
    {.name = "net", .mode = LX_S_IFDIR | 0555, .children = sysctl_net_table, .nchildren = SYSCTL_NET_SIZE},
    PDIR("user", user_table),
    PDIR("vm", vm_table),
};

const struct pnode proc_sys_node = {
    .name = "sys", .mode = LX_S_IFDIR | 0555, .children = sys_table, .nchildren = ARRAY_SIZE(sys_table)};
