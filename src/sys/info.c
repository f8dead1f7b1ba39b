/* Handlers: what the machine looks like. */
#include "kern/host_info.h"
#include "kern/klog.h"
#include "kern/loadavg.h"
#include "kern/parts.h"
#include "kern/time.h"
#include "sys/sys.h"

struct lx_sysinfo {
    s64 uptime;
    u64 loads[3];
    u64 totalram, freeram, sharedram, bufferram, totalswap, freeswap;
    u16 procs, pad0;
    u32 pad1;
    u64 totalhigh, freehigh;
    u32 mem_unit, pad2;
};
_Static_assert(sizeof(struct lx_sysinfo) == 112, "sysinfo");

s64 sys_sysinfo(struct task *t, const u64 a[6])
{
    struct mem_now m;
    host_mem_now(&m);
    struct lx_sysinfo si = {
        .uptime = (clock_boot_ns() + time_ns_boot_off(t) + NSEC_PER_SEC - 1) / NSEC_PER_SEC,
        .totalram = m.total,
        .freeram = m.free,
        .sharedram = m.shared,
        .bufferram = m.buffers,
        .procs = (u16)MIN(pid_ns_count(task_pid_ns(t)), (u32)UINT16_MAX),
        .mem_unit = 1,
    };
    loadavg_now(si.loads); /* in units of 1/65536 both there and here */
    return put_user(si, uaddr(a[0]));
}

s64 sys_syslog(struct task *t, const u64 a[6])
{
    return klog_call(t, (int)a[0], uaddr(a[1]), (int)a[2]);
}
