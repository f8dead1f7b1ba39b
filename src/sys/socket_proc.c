/*
 * Where proc and net meet: the files of /proc/net and /proc/sys/net, the interfaces of sysfs. The
 * rooms do not know each other.
 */
#include <string.h>

#include "net/net_proc.h"
#include "net/netdev.h"
#include "procfs/procfs.h"
#include "sys/socket.h"

static void put_line(void *arg, const char *text)
{
    seq_puts(arg, text);
}

static bool is_full(void *arg)
{
    return seq_is_full(arg);
}

static int show_file(struct seq *s, struct net_ns *net, u64 *cursor, const void *arg)
{
    const struct net_proc_file *f = arg;
    struct net_proc_out out = {put_line, is_full, s};
    if (net)
        net_proc_print(f, net, &out, cursor);
    else
        *cursor = NET_PROC_END;
    return 0;
}

static bool nth_netdev(struct net_ns *ns, u32 nth, struct procfs_netdev *ret)
{
    struct netdev_info d;
    if (!netdev_nth(ns, nth, &d))
        return false;
    *ret = (struct procfs_netdev){
        .index = d.index,
        .flags = d.flags,
        .mtu = d.mtu,
        .type = d.type,
        .rx_bytes = d.rx_bytes,
        .rx_packets = d.rx_packets,
        .rx_errors = d.rx_errors,
        .rx_dropped = d.rx_dropped,
        .multicast = d.rx_multicast,
        .tx_bytes = d.tx_bytes,
        .tx_packets = d.tx_packets,
        .tx_dropped = d.tx_dropped,
    };
    memcpy(ret->name, d.name, sizeof(ret->name));
    ret->name[sizeof(ret->name) - 1] = 0;
    memcpy(ret->mac, d.mac, sizeof(ret->mac));
    return true;
}

static int attach_sysctls(struct net_ns *ns)
{
    struct sysctl_net_set *set = procfs_sysctl_net_new();
    if (!set)
        return -LX_ENOMEM;
    ns->sysctls = set;
    for (int id = 0; id < NSYS_COUNT; id++) {
        const char *path = net_sysctl_path(id);
        _Atomic s64 *v = path ? procfs_sysctl_net(set, path) : NULL;
        bool is_shared = path && !strncmp(path, "core/", 5) && ns != root_net_ns;
        bool is_pair = id + 1 < NSYS_COUNT && !net_sysctl_path(id + 1);
        if (!v)
            continue;
        if (!is_shared || id == NSYS_SOMAXCONN)
            *v = net_sysctl(ns, id);
        net_sysctl_bind(ns, id, v);
        if (!is_pair)
            continue;
        v[1] = net_sysctl(ns, id + 1);
        net_sysctl_bind(ns, id + 1, v + 1);
    }
    return 0;
}

static void detach_sysctls(void *sysctls)
{
    procfs_sysctl_net_free(sysctls);
}

static struct sysctl_net_set *sysctls_of(struct net_ns *ns)
{
    return ns->sysctls;
}

int socket_proc_init(void)
{
    static struct procfs_net_file files[64];
    u32 n = MIN(net_proc_nfiles, (u32)ARRAY_SIZE(files));
    for (u32 i = 0; i < n; i++)
        files[i] = (struct procfs_net_file){net_proc_files[i].name, show_file, &net_proc_files[i]};
    procfs_set_net_files(files, n);
    procfs_set_netdevs(nth_netdev);
    net_sysctl_hooks = (struct net_sysctl_hooks){attach_sysctls, detach_sysctls};
    procfs_set_sysctl_net(sysctls_of);
    return attach_sysctls(root_net_ns);
}
