/*
 * What the sandbox shows of the machine; see the header.
 *
 * Guest cpu numbers are dense: a container that is bound to cpus 2 and 5 sees 0 and 1.
 * CPU numbers that the application reads for itself (rdpid, rseq) are the host's; both
 * agree unless the runtime bound the sandbox to some cpus only.
 */
#include "kern/host_info.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <time.h>
#include <unistd.h>

#include "base/ktimer.h"
#include "kern/parts.h"
#include "mm/mm.h"

struct host_info host_info = {.ncpus = 1, .host_cpus = 1, .mem_total = 1UL << 30};

/* A small file's text; false when it cannot be read. */
static bool read_small(const char *path, char *buf, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, buf, size - 1);
    close(fd);
    if (n < 0)
        return false;
    buf[n] = 0;
    return true;
}

/* A limit file's number; UINT64_MAX for "max" and for what cannot be read. */
static u64 read_limit(const char *path)
{
    char buf[64], *end;
    if (!read_small(path, buf, sizeof(buf)))
        return UINT64_MAX;
    errno = 0;
    unsigned long long v = strtoull(buf, &end, 10);
    return end == buf || errno ? UINT64_MAX : v;
}

/* The tightest memory limit of cgroup `dir` and those above it, below `root`. */
static u64 walk_limits(const char *root, char *dir, const char *file)
{
    u64 limit = UINT64_MAX;
    char path[4600];
    for (;;) {
        snprintf(path, sizeof(path), "%s%s/%s", root, dir, file);
        limit = MIN(limit, read_limit(path));
        char *slash = strrchr(dir, '/');
        if (!slash || dir[0] == 0)
            return limit;
        *slash = 0;
    }
}

static u64 cgroup_memory_limit(void)
{
    char buf[4096], *save = NULL;
    u64 limit = UINT64_MAX;
    if (!read_small("/proc/self/cgroup", buf, sizeof(buf)))
        return limit;
    /* lines "hierarchy:controllers:path"; hierarchy 0 is version 2 */
    for (char *line = strtok_r(buf, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        char *controllers = strchr(line, ':');
        char *dir = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!dir)
            continue;
        *dir++ = 0;
        if (!strncmp(line, "0:", 2))
            limit = MIN(limit, walk_limits("/sys/fs/cgroup", dir, "memory.max"));
        else if (!strcmp(controllers + 1, "memory"))
            limit = MIN(limit, walk_limits("/sys/fs/cgroup/memory", dir, "memory.limit_in_bytes"));
    }
    return limit;
}

static void gather_cpus(void)
{
    cpu_set_t set;
    u64 mask = 0;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof(set), &set) < 0)
        return;
    for (unsigned i = 0; i < 64; i++)
        if (CPU_ISSET(i, &set))
            mask |= 1ULL << i;
    if (!mask)
        return;
    host_info.host_cpus = mask;
    host_info.ncpus = (u32)__builtin_popcountll(mask);
}

static u64 host_memory; /* all that the machine has */

void host_info_set_mem_limit(u64 limit)
{
    bool is_limited = limit != 0 && limit < host_memory;
    atomic_store(&host_info.mem_limit, is_limited ? limit : 0);
    atomic_store(&host_info.mem_total, is_limited ? limit : host_memory);
}

void host_info_gather(void)
{
    struct sysinfo si;
    gather_cpus();
    if (sysinfo(&si) == 0)
        host_info.mem_total = (u64)si.totalram * si.mem_unit;
    host_memory = host_info.mem_total;
    mm_set_total_memory(host_memory); /* as on Linux: a limit is met by use, not by mmap */
    host_info.start_boot_ns = (u64)ktimer_now(KTIMER_BOOT);
    host_info.start_mono_ns = (u64)ktimer_now(KTIMER_MONO);
#ifdef __x86_64__
    host_info.start_tsc = __builtin_ia32_rdtsc();
#endif
    u64 limit = cgroup_memory_limit();
    host_info_set_mem_limit(limit == UINT64_MAX ? 0 : limit);
}

u64 cpus_to_guest(u64 host_mask)
{
    u64 guest = 0, bit = 1;
    for (u64 left = host_info.host_cpus; left; left &= left - 1, bit <<= 1)
        if (host_mask & left & -left)
            guest |= bit;
    return guest;
}

u64 cpus_to_host(u64 guest_mask)
{
    u64 host = 0, bit = 1;
    for (u64 left = host_info.host_cpus; left; left &= left - 1, bit <<= 1)
        if (guest_mask & bit)
            host |= left & -left;
    return host;
}

/*
 * The sandbox's view: its memory less what its processes use. What others on the host use is
 * not shown; what the page cache holds for us can be had back at any time.
 */
void host_mem_now(struct mem_now *ret)
{
    u64 total = atomic_load(&host_info.mem_total);
    u64 used = MIN(usage_memory_now(), total);
    *ret = (struct mem_now){
        .total = total,
        .free = total - used,
        .available = total - used,
    };
}
