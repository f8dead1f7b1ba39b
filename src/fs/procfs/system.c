/* /proc files about the machine. */
#include <stdio.h>
#include <string.h>

#include "kern/host_info.h"
#include "kern/loadavg.h"
#include "kern/time.h"
#include "kern/uname.h"
#include "procfs/proc_int.h"
#include "vfs/locks.h"
#include "vfs/special.h"

#define USER_HZ 100

static u64 ticks(u64 ns)
{
    return ns / (NSEC_PER_SEC / USER_HZ);
}

static u64 boot_ns(void)
{
    struct task *t = task_current();
    return (u64)(clock_boot_ns() + (t ? time_ns_boot_off(t) : 0));
}

/* ---- memory ------------------------------------------------------------------------------------------ */

int show_meminfo(struct seq *s, const struct pinode *pi)
{
    struct mem_now m;
    host_mem_now(&m);
    u64 used = m.total - m.free - m.buffers - m.cached;
    const struct {
        const char *label;
        u64 bytes;
    } rows[] = {
        {"MemTotal", m.total}, {"MemFree", m.free}, {"MemAvailable", m.available},
        {"Buffers", m.buffers}, {"Cached", m.cached}, {"SwapCached", 0},
        {"Active", used}, {"Inactive", 0}, {"Active(anon)", used},
        {"Inactive(anon)", 0}, {"Active(file)", 0}, {"Inactive(file)", 0},
        {"Unevictable", 0}, {"Mlocked", 0}, {"SwapTotal", 0},
        {"SwapFree", 0}, {"Dirty", 0}, {"Writeback", 0},
        {"AnonPages", used}, {"Mapped", 0}, {"Shmem", m.shared},
        {"KReclaimable", 0}, {"Slab", 0}, {"SReclaimable", 0},
        {"SUnreclaim", 0}, {"KernelStack", 0}, {"PageTables", 0},
        {"NFS_Unstable", 0}, {"Bounce", 0}, {"WritebackTmp", 0},
        {"CommitLimit", m.total / 2}, {"Committed_AS", used}, {"VmallocTotal", 34359738367UL << 10},
        {"VmallocUsed", 0}, {"VmallocChunk", 0}, {"Percpu", 0},
        {"AnonHugePages", 0}, {"ShmemHugePages", 0}, {"ShmemPmdMapped", 0},
        {"FileHugePages", 0}, {"FilePmdMapped", 0},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char label[24];
        snprintf(label, sizeof(label), "%s:", rows[i].label);
        seq_printf(s, "%-16s%8llu kB\n", label, (unsigned long long)(rows[i].bytes >> 10));
    }
    static const char *const huge[] = {"HugePages_Total:", "HugePages_Free:", "HugePages_Rsvd:",
                                       "HugePages_Surp:"};
    for (size_t i = 0; i < ARRAY_SIZE(huge); i++)
        seq_printf(s, "%-16s%8d\n", huge[i], 0);
    seq_printf(s, "%-16s%8d kB\n%-16s%8d kB\n", "Hugepagesize:", 2048, "Hugetlb:", 0);
    return 0;
}

int show_vmstat(struct seq *s, const struct pinode *pi)
{
    struct mem_now m;
    host_mem_now(&m);
    seq_printf(s, "nr_free_pages %llu\n", (unsigned long long)(m.free / PAGE_SIZE));
    seq_printf(s, "nr_anon_pages %llu\n", (unsigned long long)((m.total - m.free) / PAGE_SIZE));
    static const char *const zeros[] = {"nr_zone_inactive_anon", "nr_zone_active_anon", "nr_mapped",
                                        "nr_file_pages", "nr_dirty", "nr_writeback", "nr_shmem",
                                        "nr_slab_reclaimable", "nr_slab_unreclaimable", "pgpgin",
                                        "pgpgout", "pswpin", "pswpout", "pgfault", "pgmajfault",
                                        "oom_kill"};
    for (size_t i = 0; i < ARRAY_SIZE(zeros); i++)
        seq_printf(s, "%s 0\n", zeros[i]);
    return 0;
}

int show_zoneinfo(struct seq *s, const struct pinode *pi)
{
    struct mem_now m;
    host_mem_now(&m);
    seq_printf(s, "Node 0, zone   Normal\n  pages free     %llu\n        min      0\n        low      0\n"
                  "        high     0\n        spanned  %llu\n        present  %llu\n        managed  %llu\n",
               (unsigned long long)(m.free / PAGE_SIZE), (unsigned long long)(m.total / PAGE_SIZE),
               (unsigned long long)(m.total / PAGE_SIZE), (unsigned long long)(m.total / PAGE_SIZE));
    return 0;
}

int show_buddyinfo(struct seq *s, const struct pinode *pi)
{
    seq_puts(s, "Node 0, zone   Normal ");
    for (int i = 0; i < 11; i++)
        seq_printf(s, "%6d ", 0);
    seq_putc(s, '\n');
    return 0;
}

int show_swaps(struct seq *s, const struct pinode *pi)
{
    seq_puts(s, "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n");
    return 0;
}

int show_partitions(struct seq *s, const struct pinode *pi)
{
    seq_puts(s, "major minor  #blocks  name\n\n");
    return 0;
}

/* ---- processors -------------------------------------------------------------------------------------- */

/* The sandbox's CPU time is not known by cpu: each shows its share. */
static void put_cpu(struct seq *s, const char *name, const struct task_usage *u, u64 uptime, u32 ncpus,
                    u32 share)
{
    u64 user = ticks(u->utime_ns) / share, sys = ticks(u->stime_ns) / share;
    u64 all = ticks(uptime) * ncpus / share, idle = all > user + sys ? all - user - sys : 0;
    seq_printf(s, "%s %llu 0 %llu %llu 0 0 0 0 0 0\n", name, (unsigned long long)user,
               (unsigned long long)sys, (unsigned long long)idle);
}

int show_stat(struct seq *s, const struct pinode *pi)
{
    struct task_usage u;
    u32 ncpus = host_info.ncpus, running, total;
    u64 uptime = boot_ns();
    usage_total_now(&u);
    loadavg_count(&running, &total);
    put_cpu(s, "cpu ", &u, uptime, ncpus, 1);
    for (u32 i = 0; i < ncpus; i++) {
        char name[16];
        snprintf(name, sizeof(name), "cpu%u", i);
        put_cpu(s, name, &u, uptime, ncpus, ncpus);
    }
    s64 btime = (clock_real_ns() - (s64)uptime) / NSEC_PER_SEC;
    seq_printf(s, "intr 0\nctxt 0\nbtime %lld\nprocesses %d\nprocs_running %u\nprocs_blocked 0\n"
                  "softirq 0 0 0 0 0 0 0 0 0 0 0\n",
               (long long)btime, pid_ns_last(pi->ps->ns), MAX(running, 1U));
    return 0;
}

int show_uptime(struct seq *s, const struct pinode *pi)
{
    struct task_usage u;
    u64 up = boot_ns() / 10000000;
    usage_total_now(&u);
    u64 used = (u.utime_ns + u.stime_ns) / 10000000, all = up * host_info.ncpus;
    u64 idle = all > used ? all - used : 0;
    seq_printf(s, "%llu.%02llu %llu.%02llu\n", (unsigned long long)(up / 100),
               (unsigned long long)(up % 100), (unsigned long long)(idle / 100),
               (unsigned long long)(idle % 100));
    return 0;
}

int show_loadavg(struct seq *s, const struct pinode *pi)
{
    u64 l[3];
    u32 running, total;
    loadavg_now(l);
    loadavg_count(&running, &total);
    for (int i = 0; i < 3; i++) {
        u64 hundredths = (l[i] * 100 + LOADAVG_ONE / 2) / LOADAVG_ONE;
        seq_printf(s, "%llu.%02llu ", (unsigned long long)(hundredths / 100),
                   (unsigned long long)(hundredths % 100));
    }
    seq_printf(s, "%u/%u %d\n", MAX(running, 1U), total, pid_ns_last(pi->ps->ns));
    return 0;
}

static void put_cpu_header(struct seq *s, int width)
{
    seq_printf(s, "%*s", width, "");
    for (u32 i = 0; i < host_info.ncpus; i++)
        seq_printf(s, "CPU%-8u", i);
    seq_putc(s, '\n');
}

int show_interrupts(struct seq *s, const struct pinode *pi)
{
    put_cpu_header(s, 11);
    return 0;
}

int show_softirqs(struct seq *s, const struct pinode *pi)
{
    put_cpu_header(s, 20);
    return 0;
}

/* ---- the kernel --------------------------------------------------------------------------------------- */

int show_version(struct seq *s, const struct pinode *pi)
{
    seq_printf(s, "%s version %s (cvisor@cvisor) (cc) %s\n", KERN_SYSNAME, KERN_RELEASE, KERN_VERSION);
    return 0;
}

int show_cmdline_kernel(struct seq *s, const struct pinode *pi)
{
    seq_puts(s, "BOOT_IMAGE=/vmlinuz-" KERN_RELEASE " quiet\n");
    return 0;
}

int show_filesystems(struct seq *s, const struct pinode *pi)
{
    for (const struct fs_type *t = fs_types(); t; t = t->next)
        seq_printf(s, "%s\t%s\n", t->flags & FS_REQUIRES_DEV ? "" : "nodev", t->name);
    return 0;
}

int show_devices(struct seq *s, const struct pinode *pi)
{
    u32 major;
    const char *name;
    seq_puts(s, "Character devices:\n");
    for (u32 i = 0; chrdev_describe(i, &major, &name); i++)
        seq_printf(s, "%3u %s\n", major, name);
    seq_puts(s, "\nBlock devices:\n");
    return 0;
}

int show_cgroups(struct seq *s, const struct pinode *pi)
{
    static const char *const names[] = {"cpuset", "cpu", "cpuacct", "memory", "pids"};
    seq_puts(s, "#subsys_name\thierarchy\tnum_cgroups\tenabled\n");
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        seq_printf(s, "%s\t0\t1\t1\n", names[i]);
    return 0;
}

static void put_line(void *arg, const char *line)
{
    seq_puts(arg, line);
}

int show_locks(struct seq *s, const struct pinode *pi)
{
    locks_for_each_line(put_line, s);
    return 0;
}

int show_misc(struct seq *s, const struct pinode *pi)
{
    seq_puts(s, "0-0\tLinux           \t[kernel]\n"); /* execdomains */
    return 0;
}

int show_empty(struct seq *s, const struct pinode *pi)
{
    return 0;
}

int show_eperm(struct seq *s, const struct pinode *pi)
{
    return -LX_EPERM;
}
