/*
 * /proc/sys/net. Values that the network stack reads are offered to it by name
 * (procfs_sysctl_net); they are the sandbox's, not one namespace's.
 */
#include <string.h>

#include "procfs/sysctl.h"

struct net_num {
    _Atomic s64 value;
    s64 min, max;
};

static int show_net_num(struct seq *s, const struct pinode *pi)
{
    const struct net_num *n = pi->node->arg;
    seq_printf(s, "%lld\n", (long long)atomic_load(&((struct net_num *)(uintptr_t)n)->value));
    return 0;
}

static s64 write_net_num(struct file *f, const struct pinode *pi, char *buf, size_t size, s64 off)
{
    struct net_num *n = (struct net_num *)(uintptr_t)pi->node->arg;
    s64 v;
    if (!parse_s64(buf, &v) || v < n->min || v > n->max)
        return -LX_EINVAL;
    atomic_store(&n->value, v);
    return (s64)size;
}

struct net_pair {
    _Atomic s64 value[2];
    s64 min, max;
};

static int show_net_pair(struct seq *s, const struct pinode *pi)
{
    struct net_pair *n = (struct net_pair *)(uintptr_t)pi->node->arg;
    seq_printf(s, "%lld\t%lld\n", (long long)atomic_load(&n->value[0]),
               (long long)atomic_load(&n->value[1]));
    return 0;
}

static s64 write_net_pair(struct file *f, const struct pinode *pi, char *buf, size_t size, s64 off)
{
    struct net_pair *n = (struct net_pair *)(uintptr_t)pi->node->arg;
    size_t gap = strspn(buf, " \t"), first = strcspn(buf + gap, " \t\n");
    char *second = buf + gap + first;
    s64 a, b;
    if (*second != ' ' && *second != '\t')
        return -LX_EINVAL;
    *second++ = 0;
    second += strspn(second, " \t");
    if (!parse_s64(buf + gap, &a) || !parse_s64(second, &b) || a < n->min || b < n->min ||
        a > n->max || b > n->max)
        return -LX_EINVAL;
    atomic_store(&n->value[0], a);
    atomic_store(&n->value[1], b);
    return (s64)size;
}

struct net_text {
    struct mutex lock;
    char text[96]; /* guarded by lock */
};

static int show_net_text(struct seq *s, const struct pinode *pi)
{
    struct net_text *n = (struct net_text *)(uintptr_t)pi->node->arg;
    MUTEX_GUARD(&n->lock);
    seq_printf(s, "%s\n", n->text);
    return 0;
}

static s64 write_net_text(struct file *f, const struct pinode *pi, char *buf, size_t size, s64 off)
{
    struct net_text *n = (struct net_text *)(uintptr_t)pi->node->arg;
    size_t len = strcspn(buf, "\n");
    if (len >= sizeof(n->text))
        return -LX_EINVAL;
    MUTEX_GUARD(&n->lock);
    memcpy(n->text, buf, len);
    n->text[len] = 0;
    return (s64)size;
}

#define N(n, init, lo, hi)                                                                         \
    {.name = n, .mode = LX_S_IFREG | 0644, .show = show_net_num, .write = write_net_num,           \
     .arg = &(struct net_num){init, lo, hi}}
#define B(n, init)  N(n, init, 0, 1)
#define I(n, init)  N(n, init, INT32_MIN, INT32_MAX)
#define P(n, first, second, lo, hi)                                                                \
    {.name = n, .mode = LX_S_IFREG | 0644, .show = show_net_pair, .write = write_net_pair,         \
     .arg = &(struct net_pair){{first, second}, lo, hi}}
#define S(n, init)                                                                                 \
    {.name = n, .mode = LX_S_IFREG | 0644, .show = show_net_text, .write = write_net_text,         \
     .arg = &(struct net_text){MUTEX_INIT("sysctl_net"), init}}

static const struct pnode core_table[] = {
    S("default_qdisc", "fq_codel"), I("netdev_max_backlog", 1000), I("optmem_max", 131072),
    I("rmem_default", 212992),      I("rmem_max", 4194304),         I("somaxconn", 4096),
    I("wmem_default", 212992),      I("wmem_max", 4194304),
};

#define IPV4_CONF                                                                                  \
    {                                                                                              \
        B("accept_local", 0), B("accept_redirects", 1), B("accept_source_route", 0),               \
        I("arp_announce", 0), I("arp_filter", 0), I("arp_ignore", 0), I("arp_notify", 0),          \
        B("forwarding", 0), B("log_martians", 0), B("proxy_arp", 0), B("route_localnet", 0),       \
        N("rp_filter", 0, 0, 2), B("secure_redirects", 1), B("send_redirects", 1),                 \
    }
static const struct pnode ipv4_all[] = IPV4_CONF, ipv4_default[] = IPV4_CONF, ipv4_lo[] = IPV4_CONF,
                          ipv4_eth0[] = IPV4_CONF;
static const struct pnode ipv4_conf[] = {
    PDIR("all", ipv4_all), PDIR("default", ipv4_default), PDIR("eth0", ipv4_eth0), PDIR("lo", ipv4_lo)};
static const struct pnode ipv4_table[] = {
    PDIR("conf", ipv4_conf),
    I("icmp_echo_ignore_all", 0),
    I("icmp_echo_ignore_broadcasts", 1),
    I("ip_default_ttl", 64),
    B("ip_forward", 0),
    P("ip_local_port_range", 32768, 60999, 1, 65535),
    S("ip_local_reserved_ports", ""),
    B("ip_nonlocal_bind", 0),
    I("ip_unprivileged_port_start", 1024),
    P("ping_group_range", 1, 0, 0, INT32_MAX),
    I("tcp_abort_on_overflow", 0),
    S("tcp_allowed_congestion_control", "reno cubic"),
    S("tcp_available_congestion_control", "reno cubic"),
    S("tcp_congestion_control", "cubic"),
    I("tcp_ecn", 2),
    I("tcp_fastopen", 1),
    I("tcp_fin_timeout", 60),
    I("tcp_keepalive_intvl", 75),
    I("tcp_keepalive_probes", 9),
    I("tcp_keepalive_time", 7200),
    I("tcp_max_syn_backlog", 512),
    I("tcp_max_tw_buckets", 131072),
    B("tcp_moderate_rcvbuf", 1),
    I("tcp_mtu_probing", 0),
    B("tcp_no_metrics_save", 0),
    I("tcp_orphan_retries", 0),
    I("tcp_retries1", 3),
    I("tcp_retries2", 15),
    S("tcp_rmem", "4096\t131072\t6291456"),
    B("tcp_sack", 1),
    I("tcp_slow_start_after_idle", 1),
    I("tcp_syn_retries", 6),
    I("tcp_synack_retries", 5),
    I("tcp_syncookies", 1),
    I("tcp_timestamps", 1),
    I("tcp_tw_reuse", 2),
    B("tcp_window_scaling", 1),
    S("tcp_wmem", "4096\t16384\t4194304"),
    S("udp_mem", "188319\t251094\t376638"),
    I("udp_rmem_min", 4096),
    I("udp_wmem_min", 4096),
};

#define IPV6_CONF                                                                                  \
    {                                                                                              \
        I("accept_dad", 1), I("accept_ra", 1), B("accept_redirects", 1), B("autoconf", 1),         \
        B("disable_ipv6", 0), B("forwarding", 0), I("hop_limit", 64), I("mtu", 1280),              \
        I("use_tempaddr", 0),                                                                      \
    }
static const struct pnode ipv6_all[] = IPV6_CONF, ipv6_default[] = IPV6_CONF, ipv6_lo[] = IPV6_CONF,
                          ipv6_eth0[] = IPV6_CONF;
static const struct pnode ipv6_conf[] = {
    PDIR("all", ipv6_all), PDIR("default", ipv6_default), PDIR("eth0", ipv6_eth0), PDIR("lo", ipv6_lo)};
static const struct pnode ipv6_table[] = {
    B("bindv6only", 0),
    PDIR("conf", ipv6_conf),
    B("ip_nonlocal_bind", 0),
};
static const struct pnode unix_table[] = {I("max_dgram_qlen", 512)};

const struct pnode sysctl_net_table[SYSCTL_NET_SIZE] = {
    PDIR("core", core_table), PDIR("ipv4", ipv4_table), PDIR("ipv6", ipv6_table), PDIR("unix", unix_table)};

/* path: below net, as "ipv4/ip_forward". */
_Atomic s64 *procfs_sysctl_net(const char *path)
{
    const struct pnode *table = sysctl_net_table;
    u32 count = SYSCTL_NET_SIZE;
    while (*path) {
        size_t n = strcspn(path, "/");
        const struct pnode *found = NULL;
        for (u32 i = 0; i < count; i++)
            if (strlen(table[i].name) == n && !memcmp(table[i].name, path, n))
                found = &table[i];
        if (!found)
            return NULL;
        if (found->show == show_net_num && !path[n])
            return &((struct net_num *)(uintptr_t)found->arg)->value;
        if (found->show == show_net_pair && !path[n])
            return ((struct net_pair *)(uintptr_t)found->arg)->value;
        table = found->children;
        count = found->nchildren;
        path += n + (path[n] == '/');
    }
    return NULL;
}
