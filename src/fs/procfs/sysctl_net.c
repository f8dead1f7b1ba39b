/*
 * /proc/sys/net. Each network namespace has its own values (a sysctl_net_set), but for those that
 * Linux keeps for all: the limits of socket buffers. Values that the network stack reads are
 * offered to it by name (procfs_sysctl_net). A file shows the values of the namespace of whoever
 * reads it.
 */
#include <stdlib.h>
#include <string.h>

#include "kern/kern_int.h"
#include "procfs/sysctl.h"

struct net_num {
    s64 init, min, max;
    bool is_global;
    u32 slot; /* in the set's values; set at start */
};
struct net_pair {
    s64 init[2], min, max;
    u32 slot; /* and the one after it */
};
#define TEXT_SIZE 96
struct net_text {
    const char *init;
    u32 slot; /* in the set's texts */
};

struct sysctl_net_set {
    struct mutex lock;        /* leaf: texts */
    char (*texts)[TEXT_SIZE]; /* guarded by lock */
    _Atomic s64 values[];
};

static u32 nvalues, ntexts;              /* set at start */
static struct sysctl_net_set *first_set; /* the first namespace's; also has what is for all */
static struct sysctl_net_set *(*set_of_fn)(struct net_ns *ns);

/* ---- a namespace's ------------------------------------------------------------------------- */

static struct sysctl_net_set *own_set(void)
{
    struct task *t = task_current();
    struct net_ns *ns = t && t->ns && t->ns->net ? t->ns->net : kern_hooks.root_net_ns;
    struct sysctl_net_set *s = ns && set_of_fn ? set_of_fn(ns) : NULL;
    return s ? s : first_set;
}

static _Atomic s64 *value_of(const struct net_num *n)
{
    struct sysctl_net_set *s = n->is_global ? first_set : own_set();
    return &s->values[n->slot];
}

static int show_net_num(struct seq *s, const struct pinode *pi)
{
    seq_printf(s, "%lld\n", (long long)atomic_load(value_of(pi->node->arg)));
    return 0;
}

static s64 write_net_num(struct file *f, const struct pinode *pi, char *buf, size_t size, s64 off)
{
    const struct net_num *n = pi->node->arg;
    s64 v;
    if (!parse_s64(buf, &v) || v < n->min || v > n->max)
        return -LX_EINVAL;
    atomic_store(value_of(n), v);
    return (s64)size;
}

static int show_net_pair(struct seq *s, const struct pinode *pi)
{
    const struct net_pair *n = pi->node->arg;
    _Atomic s64 *v = &own_set()->values[n->slot];
    seq_printf(s, "%lld\t%lld\n", (long long)atomic_load(v), (long long)atomic_load(v + 1));
    return 0;
}

static s64 write_net_pair(struct file *f, const struct pinode *pi, char *buf, size_t size, s64 off)
{
    const struct net_pair *n = pi->node->arg;
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
    _Atomic s64 *v = &own_set()->values[n->slot];
    atomic_store(v, a);
    atomic_store(v + 1, b);
    return (s64)size;
}

static int show_net_text(struct seq *s, const struct pinode *pi)
{
    const struct net_text *n = pi->node->arg;
    struct sysctl_net_set *set = own_set();
    MUTEX_GUARD(&set->lock);
    seq_printf(s, "%s\n", set->texts[n->slot]);
    return 0;
}

static s64 write_net_text(struct file *f, const struct pinode *pi, char *buf, size_t size, s64 off)
{
    const struct net_text *n = pi->node->arg;
    struct sysctl_net_set *set = own_set();
    size_t len = strcspn(buf, "\n");
    if (len >= TEXT_SIZE)
        return -LX_EINVAL;
    MUTEX_GUARD(&set->lock);
    memcpy(set->texts[n->slot], buf, len);
    set->texts[n->slot][len] = 0;
    return (s64)size;
}

/* ---- the table ----------------------------------------------------------------------------- */

#define N(n, init, lo, hi)                                                                         \
    {                                                                                              \
        .name = n, .mode = LX_S_IFREG | 0644, .show = show_net_num, .write = write_net_num,        \
        .arg = &(struct net_num)                                                                   \
        {                                                                                          \
            init, lo, hi                                                                           \
        }                                                                                          \
    }
#define G(n, init) /* for all namespaces */                                                        \
    {                                                                                              \
        .name = n, .mode = LX_S_IFREG | 0644, .show = show_net_num, .write = write_net_num,        \
        .arg = &(struct net_num)                                                                   \
        {                                                                                          \
            init, INT32_MIN, INT32_MAX, .is_global = true                                          \
        }                                                                                          \
    }
#define B(n, init) N(n, init, 0, 1)
#define I(n, init) N(n, init, INT32_MIN, INT32_MAX)
#define P(n, first, second, lo, hi)                                                                \
    {                                                                                              \
        .name = n, .mode = LX_S_IFREG | 0644, .show = show_net_pair, .write = write_net_pair,      \
        .arg = &(struct net_pair)                                                                  \
        {                                                                                          \
            {first, second}, lo, hi                                                                \
        }                                                                                          \
    }
#define S(n, init)                                                                                 \
    {                                                                                              \
        .name = n, .mode = LX_S_IFREG | 0644, .show = show_net_text, .write = write_net_text,      \
        .arg = &(struct net_text)                                                                  \
        {                                                                                          \
            init                                                                                   \
        }                                                                                          \
    }

static const struct pnode core_table[] = {
    S("default_qdisc", "fq_codel"), G("netdev_max_backlog", 1000), G("optmem_max", 131072),
    G("rmem_default", 212992),      G("rmem_max", 4194304),        I("somaxconn", 4096),
    G("wmem_default", 212992),      G("wmem_max", 4194304),
};

#define IPV4_CONF                                                                                  \
    {                                                                                              \
        B("accept_local", 0), B("accept_redirects", 1), B("accept_source_route", 0),               \
            I("arp_announce", 0), I("arp_filter", 0), I("arp_ignore", 0), I("arp_notify", 0),      \
            B("forwarding", 0), B("log_martians", 0), B("proxy_arp", 0), B("route_localnet", 0),   \
            N("rp_filter", 0, 0, 2), B("secure_redirects", 1), B("send_redirects", 1),             \
    }
static const struct pnode ipv4_all[] = IPV4_CONF, ipv4_default[] = IPV4_CONF, ipv4_lo[] = IPV4_CONF,
                          ipv4_eth0[] = IPV4_CONF;
static const struct pnode ipv4_conf[] = {PDIR("all", ipv4_all), PDIR("default", ipv4_default),
                                         PDIR("eth0", ipv4_eth0), PDIR("lo", ipv4_lo)};
static const struct pnode ipv4_table[] = {
    PDIR("conf", ipv4_conf),
    B("icmp_echo_ignore_all", 0),
    B("icmp_echo_ignore_broadcasts", 1),
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
    N("tcp_ecn", 2, 0, 2),
    I("tcp_fastopen", 1),
    I("tcp_fin_timeout", 60),
    I("tcp_keepalive_intvl", 75),
    I("tcp_keepalive_probes", 9),
    I("tcp_keepalive_time", 7200),
    I("tcp_max_syn_backlog", 1024),
    I("tcp_max_tw_buckets", 131072),
    B("tcp_moderate_rcvbuf", 1),
    I("tcp_mtu_probing", 0),
    B("tcp_no_metrics_save", 0),
    N("tcp_orphan_retries", 0, 0, 255),
    N("tcp_recovery", 1, 0, 255),
    I("tcp_retries1", 3),
    N("tcp_retries2", 15, 0, 255),
    S("tcp_rmem", "4096\t131072\t6291456"),
    B("tcp_sack", 1),
    I("tcp_slow_start_after_idle", 1),
    N("tcp_syn_retries", 6, 1, 127),
    N("tcp_synack_retries", 5, 0, 255),
    N("tcp_syncookies", 1, 0, 255),
    N("tcp_timestamps", 1, 0, 255),
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
            B("disable_ipv6", 0), B("forwarding", 0), I("hop_limit", 64), I("mtu", 1280),          \
            I("use_tempaddr", 0),                                                                  \
    }
static const struct pnode ipv6_all[] = IPV6_CONF, ipv6_default[] = IPV6_CONF, ipv6_lo[] = IPV6_CONF,
                          ipv6_eth0[] = IPV6_CONF;
static const struct pnode ipv6_conf[] = {PDIR("all", ipv6_all), PDIR("default", ipv6_default),
                                         PDIR("eth0", ipv6_eth0), PDIR("lo", ipv6_lo)};
static const struct pnode ipv6_table[] = {
    N("auto_flowlabels", 1, 0, 3),
    B("bindv6only", 0),
    PDIR("conf", ipv6_conf),
    I("ip6frag_time", 60),
    B("ip_nonlocal_bind", 0),
};
static const struct pnode unix_table[] = {I("max_dgram_qlen", 512)};

const struct pnode sysctl_net_table[SYSCTL_NET_SIZE] = {
    PDIR("core", core_table), PDIR("ipv4", ipv4_table), PDIR("ipv6", ipv6_table),
    PDIR("unix", unix_table)};

/* ---- sets ---------------------------------------------------------------------------------- */

/* Visits every file: numbers them, or fills a set with what they begin with. */
static void each_file(const struct pnode *t, u32 count, struct sysctl_net_set *set)
{
    for (u32 i = 0; i < count; i++) {
        void *arg = (void *)(uintptr_t)t[i].arg;
        if (pnode_is_dir(&t[i])) {
            each_file(t[i].children, t[i].nchildren, set);
        } else if (t[i].show == show_net_num) {
            struct net_num *n = arg;
            if (set)
                set->values[n->slot] = n->init;
            else
                n->slot = nvalues++;
        } else if (t[i].show == show_net_pair) {
            struct net_pair *n = arg;
            if (set) {
                set->values[n->slot] = n->init[0];
                set->values[n->slot + 1] = n->init[1];
            } else {
                n->slot = nvalues;
                nvalues += 2;
            }
        } else {
            struct net_text *n = arg;
            if (set)
                strcpy(set->texts[n->slot], n->init); /* all are shorter */
            else
                n->slot = ntexts++;
        }
    }
}

struct sysctl_net_set *procfs_sysctl_net_new(void)
{
    if (!nvalues) /* the first is made before there are other threads */
        each_file(sysctl_net_table, SYSCTL_NET_SIZE, NULL);
    struct sysctl_net_set *s = calloc(1, sizeof(*s) + nvalues * sizeof(s->values[0]));
    if (!s)
        return NULL;
    s->texts = calloc(ntexts, sizeof(*s->texts));
    if (!s->texts) {
        free(s);
        return NULL;
    }
    mutex_init(&s->lock, "sysctl_net");
    each_file(sysctl_net_table, SYSCTL_NET_SIZE, s);
    if (!first_set)
        first_set = s;
    return s;
}

void procfs_sysctl_net_free(struct sysctl_net_set *s)
{
    if (!s || s == first_set)
        return;
    free(s->texts);
    free(s);
}

void procfs_set_sysctl_net(struct sysctl_net_set *(*set_of)(struct net_ns *ns))
{
    set_of_fn = set_of;
}

/* path: below net, as "ipv4/ip_forward". */
_Atomic s64 *procfs_sysctl_net(struct sysctl_net_set *set, const char *path)
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
        if (!pnode_is_dir(found)) {
            if (found->show == show_net_num && !path[n]) {
                const struct net_num *num = found->arg;
                return &(num->is_global ? first_set : set)->values[num->slot];
            }
            if (found->show == show_net_pair && !path[n])
                return &set->values[((const struct net_pair *)found->arg)->slot];
            return NULL;
        }
        table = found->children;
        count = found->nchildren;
        path += n + (path[n] == '/');
    }
    return NULL;
}
