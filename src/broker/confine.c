/* What the broker gives up before it reads its first request. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "broker/broker.h"
#include "host/seccomp.h"
#include "wire/bootcfg.h"

#define NOBODY 65534

static int set_caps(u64 keep, bool is_effective)
{
    struct __user_cap_header_struct h = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct d[2] = {{0}};
    for (int i = 0; i < 2; i++) {
        d[i].permitted = (u32)(keep >> (32 * i));
        d[i].effective = is_effective ? d[i].permitted : 0;
    }
    return syscall(SYS_capset, &h, d) < 0 ? -errno : 0;
}

static u64 permitted_caps(void)
{
    struct __user_cap_header_struct h = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct d[2] = {{0}};
    return syscall(SYS_capget, &h, d) < 0 ? 0 : d[0].permitted | (u64)d[1].permitted << 32;
}

int broker_drop(const struct broker_config *cfg)
{
    u64 keep = cfg->is_binder ? permitted_caps() & 1ULL << CAP_NET_BIND_SERVICE : 0;
    for (int c = 0; c <= 63; c++) /* fails past the last capability, and without SETPCAP */
        if (prctl(PR_CAPBSET_DROP, c, 0, 0, 0) < 0)
            break;
    (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); /* older kernels have none */
    if (cfg->is_root) {
        /* The new identity shall not take the permitted set along, but for what is kept. */
        if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0 || setgroups(0, NULL) < 0 ||
            setresgid(NOBODY, NOBODY, NOBODY) < 0 || setresuid(NOBODY, NOBODY, NOBODY) < 0)
            return -errno;
    }
    int r = set_caps(keep, true);
    if (r < 0)
        return r;
    /* The new identity clears the parent's death signal, and nobody's other processes may not look.
     */
    if (prctl(PR_SET_PDEATHSIG, 9, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return -errno;
    return 0;
}

#define SOCKET(family, kind, protocol)                                                             \
    {                                                                                              \
        .nr = SYS_socket, .conds = {                                                               \
            {0, SECCOMP_EQ32, family, 0},                                                          \
            {1, SECCOMP_EQ32, (kind) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0},                           \
            {2, SECCOMP_EQ32, protocol, 0}                                                         \
        }                                                                                          \
    }

static const struct seccomp_rule common_rules[] = {
    {.nr = SYS_recvmsg},
    {.nr = SYS_sendmsg},
    {.nr = SYS_sendto, .conds = {{4, SECCOMP_EQ, 0, 0}}}, /* send(): no address */
    {.nr = SYS_close},
    /* memory of libc */
    {.nr = SYS_brk},
    {.nr = SYS_munmap},
    {.nr = SYS_write}, /* the log */
    {.nr = SYS_clock_gettime},
    {.nr = SYS_rt_sigreturn},
    {.nr = SYS_exit_group},
};

static const struct seccomp_rule host_rules[] = {
    {.nr = SYS_recvfrom, .conds = {{4, SECCOMP_EQ, 0, 0}}},
    SOCKET(AF_INET, SOCK_STREAM, IPPROTO_TCP),
    SOCKET(AF_INET6, SOCK_STREAM, IPPROTO_TCP),
    SOCKET(AF_INET, SOCK_DGRAM, IPPROTO_UDP),
    SOCKET(AF_INET6, SOCK_DGRAM, IPPROTO_UDP),
    SOCKET(AF_INET, SOCK_DGRAM, IPPROTO_ICMP),
    SOCKET(AF_INET6, SOCK_DGRAM, IPPROTO_ICMPV6),
    {.nr = SYS_bind},
    {.nr = SYS_getsockopt,
     .conds = {{1, SECCOMP_EQ32, SOL_SOCKET, 0}, {2, SECCOMP_EQ32, SO_DOMAIN, 0}}},
    {.nr = SYS_openat,
     .conds = {{0, SECCOMP_EQ32, BOOT_FD_BROKER_NET, 0},
               {2, SECCOMP_EQ32, O_RDONLY | O_CLOEXEC | O_NOFOLLOW, 0}}},
};

static const struct seccomp_rule resolver_rules[] = {
    SOCKET(AF_INET, SOCK_DGRAM, IPPROTO_UDP),
    {.nr = SYS_connect},
};

int broker_filter(const struct broker_config *cfg)
{
    struct seccomp_rule all[ARRAY_SIZE(common_rules) + ARRAY_SIZE(host_rules)];
    const struct seccomp_rule *own = cfg->is_resolver ? resolver_rules : host_rules;
    size_t n = cfg->is_resolver ? ARRAY_SIZE(resolver_rules) : ARRAY_SIZE(host_rules);
    memcpy(all, common_rules, sizeof(common_rules));
    memcpy(all + ARRAY_SIZE(common_rules), own, n * sizeof(*own));
    return seccomp_install(all, ARRAY_SIZE(common_rules) + n, SECCOMP_RET_KILL_PROCESS, true);
}

void broker_print_filter(int fd, const char *(*name_of)(u32 nr))
{
    seccomp_print(fd, "network broker", common_rules, ARRAY_SIZE(common_rules),
                  SECCOMP_RET_KILL_PROCESS, name_of);
    seccomp_print(fd, "network broker, with the host's network", host_rules, ARRAY_SIZE(host_rules),
                  SECCOMP_RET_KILL_PROCESS, name_of);
    seccomp_print(fd, "network broker, for a Docker network's name server", resolver_rules,
                  ARRAY_SIZE(resolver_rules), SECCOMP_RET_KILL_PROCESS, name_of);
}
