/* /proc of the machine, /proc/sys, sysfs. */
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "procfs_common.h"
#include "test.h"

static long cpu_user(void)
{
    long user;
    CHECK(slurp("/proc/stat") > 0);
    CHECK_EQ(sscanf(text, "cpu %ld", &user), 1);
    return user;
}

TEST(stat_moves)
{
    long a = cpu_user();
    struct timespec t0, t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t0);
    do
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    while ((t.tv_sec - t0.tv_sec) * 1000000000L + t.tv_nsec - t0.tv_nsec < 500000000L);
    for (volatile int i = 0; i < 300000000; i++)
        ;
    long b = cpu_user();
    CHECK(b - a >= 20);
    CHECK(strstr(text, "\ncpu0 ") != NULL);
    CHECK(strstr(text, "\nbtime ") != NULL);
    long btime = strtol(strstr(text, "\nbtime ") + 7, NULL, 10);
    struct timespec up;
    clock_gettime(CLOCK_BOOTTIME, &up);
    long want = time(NULL) - up.tv_sec;
    CHECK(btime >= want - 2 && btime <= want + 2);
}

TEST(meminfo_and_sysinfo)
{
    struct sysinfo si;
    long total, free_kib;
    CHECK(slurp("/proc/meminfo") > 0);
    CHECK_EQ(sscanf(text, "MemTotal: %ld kB\nMemFree: %ld kB", &total, &free_kib), 2);
    CHECK_EQ(sysinfo(&si), 0);
    CHECK_EQ(total, (long)(si.totalram * si.mem_unit >> 10));
    CHECK(free_kib > 0 && free_kib <= total);
    CHECK(strstr(text, "\nMemAvailable:") != NULL);
    CHECK(si.procs > 0);
    struct timespec up;
    clock_gettime(CLOCK_BOOTTIME, &up);
    CHECK(si.uptime >= up.tv_sec - 1 && si.uptime <= up.tv_sec + 1);
}

TEST(cpuinfo_matches)
{
    int n = 0;
    CHECK(slurp("/proc/cpuinfo") > 0);
    for (char *p = text; (p = strstr(p, "processor\t:")); p++)
        n++;
    CHECK_EQ(n, (int)sysconf(_SC_NPROCESSORS_ONLN));
    CHECK(strstr(text, "\nflags\t\t: fpu ") != NULL);
    CHECK(strstr(text, " sse2 ") != NULL);
    CHECK(strstr(text, "model name\t: ") != NULL);
}

TEST(small_files)
{
    struct utsname u;
    uname(&u);
    CHECK(slurp("/proc/version") > 0);
    CHECK(strstr(text, u.release) != NULL);
    CHECK(slurp("/proc/uptime") > 0);
    double up, idle;
    CHECK_EQ(sscanf(text, "%lf %lf", &up, &idle), 2);
    CHECK(slurp("/proc/loadavg") > 0);
    double l;
    int run, all, last;
    CHECK_EQ(sscanf(text, "%lf %*f %*f %d/%d %d", &l, &run, &all, &last), 4);
    CHECK(run >= 1 && all >= run);
    CHECK(slurp("/proc/filesystems") > 0);
    CHECK(strstr(text, "nodev\tproc\n") != NULL);
    CHECK(strstr(text, "nodev\ttmpfs\n") != NULL);
    CHECK(slurp("/proc/devices") > 0);
    CHECK(!strncmp(text, "Character devices:\n", 19));
    CHECK(slurp("/proc/swaps") > 0);
    CHECK(slurp("/proc/partitions") >= 0);
    CHECK(slurp("/proc/cmdline") >= 0);
    struct stat st;
    CHECK_EQ(stat("/proc/meminfo", &st), 0);
    CHECK_EQ(st.st_mode, S_IFREG | 0444);
    CHECK_EQ(st.st_size, 0);
    struct statfs sf;
    CHECK_EQ(statfs("/proc", &sf), 0);
    CHECK_EQ(sf.f_type, 0x9fa0);
}

TEST(kernel_values)
{
    struct utsname u;
    uname(&u);
    char want[256];
    CHECK(slurp("/proc/sys/kernel/osrelease") > 0);
    snprintf(want, sizeof(want), "%s\n", u.release);
    CHECK_STR(text, want);
    CHECK(slurp("/proc/sys/kernel/hostname") > 0);
    snprintf(want, sizeof(want), "%s\n", u.nodename);
    CHECK_STR(text, want);
    CHECK(slurp("/proc/sys/kernel/ostype") > 0);
    CHECK_STR(text, "Linux\n");
    CHECK(slurp("/proc/sys/kernel/pid_max") > 0);
    CHECK(strtol(text, NULL, 10) >= 301);
    CHECK_EQ(slurp("/proc/sys/kernel/random/uuid"), 37);
    char first[64];
    strcpy(first, text);
    CHECK_EQ(slurp("/proc/sys/kernel/random/uuid"), 37);
    CHECK(strcmp(first, text) != 0);
    CHECK_EQ(slurp("/proc/sys/kernel/random/boot_id"), 37);
    strcpy(first, text);
    CHECK_EQ(slurp("/proc/sys/kernel/random/boot_id"), 37);
    CHECK_STR(first, text);
    CHECK(slurp("/proc/sys/kernel/cap_last_cap") > 0);
    CHECK(slurp("/proc/sys/kernel/ngroups_max") > 0);
    CHECK_STR(text, "65536\n");
    CHECK(slurp("/proc/sys/vm/overcommit_memory") > 0);
    CHECK(slurp("/proc/sys/vm/max_map_count") > 0);
    CHECK(slurp("/proc/sys/vm/mmap_min_addr") > 0);
    CHECK(slurp("/proc/sys/fs/file-max") > 0);
    CHECK(slurp("/proc/sys/fs/nr_open") > 0);
    CHECK(slurp("/proc/sys/fs/pipe-max-size") > 0);
    CHECK(slurp("/proc/sys/fs/inotify/max_user_watches") > 0);
    CHECK(slurp("/proc/sys/net/core/somaxconn") > 0);
    CHECK(slurp("/proc/sys/net/ipv4/ip_local_port_range") > 0);
    CHECK_ERR(open("/proc/sys/kernel/nothing", O_RDONLY), ENOENT);
}

TEST(ipv6_can_be_disabled)
{
    if (geteuid() != 0)
        return;
    pid_t pid = fork();
    if (pid == 0) {
        int is_own = unshare(CLONE_NEWNET) == 0 || getenv("CVISOR_TEST_SANDBOX");
        int fd = open("/proc/sys/net/ipv6/conf/all/disable_ipv6", O_WRONLY);
        if (!is_own || fd < 0)
            _exit(0); /* not ours to change */
        if (write(fd, "1\n", 2) != 2)
            _exit(1);
        close(fd);
        if (slurp("/proc/sys/net/ipv6/conf/all/disable_ipv6") != 2 || strcmp(text, "1\n"))
            _exit(2);
        _exit(0);
    }
    int st;
    waitpid(pid, &st, 0);
    CHECK_EQ(st, 0);
}

TEST(sysfs_cpus)
{
    char online[256], path[128];
    CHECK(slurp("/sys/devices/system/cpu/online") > 0);
    strcpy(online, text);
    CHECK(slurp("/sys/devices/system/node/node0/cpulist") > 0);
    CHECK_STR(text, online);
    CHECK(slurp("/sys/devices/system/cpu/possible") > 0);
    CHECK(slurp("/sys/devices/system/cpu/present") > 0);
    int n = (int)sysconf(_SC_NPROCESSORS_ONLN);
    for (int i = 0; i < n; i++) {
        snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d/topology/core_id", i);
        CHECK(slurp(path) > 0);
        snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d/topology/physical_package_id", i);
        CHECK(slurp(path) > 0);
    }
    cpu_set_t set;
    CHECK_EQ(sched_getaffinity(0, sizeof(set), &set), 0);
    CHECK(CPU_COUNT(&set) >= 1 && CPU_COUNT(&set) <= sysconf(_SC_NPROCESSORS_CONF));
    struct statfs sf;
    CHECK_EQ(statfs("/sys", &sf), 0);
    CHECK_EQ(sf.f_type, 0x62656572);
    CHECK_ERR(open("/sys/nothing", O_RDONLY), ENOENT);
    CHECK_ERR(open("/sys/devices/system/cpu/cpu9999", O_RDONLY), ENOENT);
}

/* The loopback is there in every namespace, and its index is 1. */
TEST(sysfs_loopback)
{
    static const struct {
        const char *name, *want;
    } files[] = {
        {"addr_len", "6\n"},
        {"address", "00:00:00:00:00:00\n"},
        {"broadcast", "00:00:00:00:00:00\n"},
        {"ifindex", "1\n"},
        {"iflink", "1\n"},
        {"mtu", "65536\n"},
        {"type", "772\n"},
        {"tx_queue_len", "1000\n"},
        {"uevent", "INTERFACE=lo\nIFINDEX=1\n"},
        {"statistics/tx_window_errors", "0\n"},
    };
    char path[128], link[256];
    struct stat st, real;
    for (unsigned i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        snprintf(path, sizeof(path), "/sys/class/net/lo/%s", files[i].name);
        CHECK(slurp(path) > 0);
        CHECK_STR(text, files[i].want);
        CHECK_EQ(stat(path, &st), 0);
        CHECK_EQ(st.st_size, 4096);
    }
    CHECK_ERR(slurp("/sys/class/net/lo/speed"), EINVAL);
    CHECK_ERR(slurp("/sys/class/net/lo/duplex"), EINVAL);
    CHECK(slurp("/sys/class/net/lo/operstate") > 0);
    CHECK(!strcmp(text, "unknown\n") || !strcmp(text, "down\n"));
    CHECK(slurp("/sys/class/net/lo/statistics/rx_bytes") > 0);
    ssize_t n = readlink("/sys/class/net/lo", link, sizeof(link) - 1);
    CHECK(n > 0);
    link[n] = 0;
    CHECK_STR(link, "../../devices/virtual/net/lo");
    n = readlink("/sys/class/net/lo/subsystem", link, sizeof(link) - 1);
    CHECK(n > 0);
    link[n] = 0;
    CHECK_STR(link, "../../../../class/net");
    CHECK_EQ(stat("/sys/class/net/lo/subsystem/lo", &st), 0);
    CHECK_EQ(stat("/sys/devices/virtual/net/lo", &real), 0);
    CHECK_EQ(st.st_ino, real.st_ino);
    CHECK(S_ISDIR(st.st_mode));
    CHECK_ERR(stat("/sys/class/net/nothing0", &st), ENOENT);
    CHECK_ERR(stat("/sys/devices/virtual/net/nothing0", &st), ENOENT);
    for (int i = 0; i < 2; i++) {
        DIR *d = opendir(i ? "/sys/devices/virtual/net" : "/sys/class/net");
        struct dirent *e;
        int found = 0;
        CHECK(d != NULL);
        while ((e = readdir(d))) {
            if (strcmp(e->d_name, "lo"))
                continue;
            found++;
            CHECK_EQ(e->d_type, i ? DT_DIR : DT_LNK);
            CHECK_EQ(fstatat(dirfd(d), "lo", &st, AT_SYMLINK_NOFOLLOW), 0);
            CHECK_EQ(e->d_ino, st.st_ino);
        }
        CHECK_EQ(found, 1);
        closedir(d);
    }
}

/* A mount shows the interfaces of the namespace that it was made in, and goes on showing them. */
static int own_interfaces(void)
{
    if (unshare(CLONE_NEWNS | CLONE_NEWNET) < 0)
        return 0; /* not ours to make */
    if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 || mount("x", "/proc", "sysfs", 0, NULL) < 0)
        return 1;
    DIR *d = opendir("/proc/class/net");
    struct dirent *e;
    int n = 0;
    while (d && (e = readdir(d)))
        n += e->d_name[0] != '.' && !strcmp(e->d_name, "lo");
    if (n != 1 || slurp("/proc/class/net/lo/ifindex") != 2 || strcmp(text, "1\n"))
        return 2;
    if (unshare(CLONE_NEWNET) < 0 || slurp("/proc/class/net/lo/mtu") <= 0)
        return 3;
    return 0;
}

TEST(sysfs_is_of_a_network_namespace)
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(own_interfaces());
    int st;
    CHECK_EQ(waitpid(pid, &st, 0), pid);
    CHECK_EQ(st, 0);
}

TEST(every_name_can_be_listed_and_statted)
{
    static const char *const dirs[] = {"/proc", "/proc/self", "/proc/sys", "/proc/sys/kernel",
                                       "/proc/sys/fs", "/proc/sys/vm", "/proc/self/task",
                                       "/sys", "/sys/devices/system/cpu",
                                       "/sys/class/net/lo/", "/sys/class/net/lo/statistics"};
    for (unsigned i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
        DIR *d = opendir(dirs[i]);
        struct dirent *e;
        struct stat st;
        int n = 0;
        CHECK(d != NULL);
        while ((e = readdir(d))) {
            if (fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
                n++;
                CHECK(e->d_type == DT_UNKNOWN || e->d_type == (st.st_mode & S_IFMT) >> 12);
            }
        }
        CHECK(n >= 3);
        closedir(d);
    }
}
