/*
 * Network interfaces in sysfs: a directory each below /sys/devices/virtual/net (the stack's links
 * are pairs or taps as far as a program can tell) and a symbolic link each in /sys/class/net, for
 * the namespace that the mount was made in. The net room describes them through a hook; nothing
 * is remembered between two looks but the interface's index. What a link does not have (a speed,
 * a carrier while it is down) is EINVAL on reading, as on Linux; settings cannot be changed here.
 */
#include <stdio.h>
#include <string.h>

#include "abi/link.h"
#include "procfs/proc_int.h"

static bool (*netdev_nth_fn)(struct net_ns *ns, u32 nth,
                             struct procfs_netdev *ret); /* set at start */

void procfs_set_netdevs(bool (*nth)(struct net_ns *ns, u32 nth, struct procfs_netdev *ret))
{
    netdev_nth_fn = nth;
}

static bool dev_nth(struct net_ns *ns, u32 nth, struct procfs_netdev *ret)
{
    return ns && netdev_nth_fn && netdev_nth_fn(ns, nth, ret);
}

static bool dev_by_index(struct net_ns *ns, s32 index, struct procfs_netdev *ret)
{
    for (u32 i = 0; dev_nth(ns, i, ret); i++)
        if (ret->index == index)
            return true;
    return false;
}

/* ---- the files of one ---------------------------------------------------------------------- */

enum attr {
    A_ADDR_LEN,
    A_ADDRESS,
    A_BROADCAST,
    A_CARRIER,
    A_DUPLEX,
    A_FLAGS,
    A_IFALIAS,
    A_IFINDEX,
    A_MTU,
    A_OPERSTATE,
    A_SPEED,
    A_TYPE,
    A_UEVENT,
};

static bool has_mac(const struct procfs_netdev *d)
{
    return d->type == LX_ARPHRD_LOOPBACK || d->type == LX_ARPHRD_ETHER;
}

static void put_mac(struct seq *s, const struct procfs_netdev *d, const u8 mac[6])
{
    if (has_mac(d))
        seq_printf(s, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4],
                   mac[5]);
    seq_putc(s, '\n');
}

static const char *operstate(const struct procfs_netdev *d)
{
    if (d->type == LX_ARPHRD_LOOPBACK)
        return "unknown";
    return d->flags & LX_IFF_UP ? "up" : "down";
}

static int show_attr(struct seq *s, const struct pinode *pi)
{
    static const u8 none[6], all[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    struct procfs_netdev d;
    if (!dev_by_index(pi->net, pi->nr, &d))
        return -LX_ENODEV;
    switch ((enum attr)(uintptr_t)pi->node->arg) {
    case A_ADDR_LEN:
        seq_printf(s, "%d\n", has_mac(&d) ? 6 : 0);
        return 0;
    case A_ADDRESS:
        put_mac(s, &d, d.mac);
        return 0;
    case A_BROADCAST:
        put_mac(s, &d, d.type == LX_ARPHRD_LOOPBACK ? none : all);
        return 0;
    case A_CARRIER:
        if (!(d.flags & LX_IFF_UP))
            return -LX_EINVAL;
        seq_puts(s, "1\n");
        return 0;
    case A_DUPLEX:
    case A_SPEED:
        return -LX_EINVAL;
    case A_FLAGS:
        seq_printf(s, "0x%x\n",
                   d.flags & ~(u32)(LX_IFF_RUNNING | LX_IFF_LOWER_UP | LX_IFF_DORMANT));
        return 0;
    case A_IFALIAS:
        return 0;
    case A_IFINDEX:
        seq_printf(s, "%d\n", d.index);
        return 0;
    case A_MTU:
        seq_printf(s, "%u\n", d.mtu);
        return 0;
    case A_OPERSTATE:
        seq_printf(s, "%s\n", operstate(&d));
        return 0;
    case A_TYPE:
        seq_printf(s, "%u\n", d.type);
        return 0;
    case A_UEVENT:
        seq_printf(s, "INTERFACE=%s\nIFINDEX=%d\n", d.name, d.index);
        return 0;
    }
    return -LX_EINVAL;
}

static int show_text(struct seq *s, const struct pinode *pi)
{
    struct procfs_netdev d;
    if (!dev_by_index(pi->net, pi->nr, &d))
        return -LX_ENODEV;
    seq_printf(s, "%s\n", (const char *)pi->node->arg);
    return 0;
}

/* arg: where in a procfs_netdev the count is; 0: never counted. */
static int show_count(struct seq *s, const struct pinode *pi)
{
    struct procfs_netdev d;
    u64 v = 0;
    if (!dev_by_index(pi->net, pi->nr, &d))
        return -LX_ENODEV;
    if (pi->node->arg)
        memcpy(&v, (const char *)&d + (uintptr_t)pi->node->arg, sizeof(v));
    seq_printf(s, "%llu\n", (unsigned long long)v);
    return 0;
}

static s64 refuse(struct file *f, const struct pinode *pi, char *buf, size_t size, s64 off)
{
    return pi->net && ns_capable(kern_hooks.net_ns_owner(pi->net), LX_CAP_NET_ADMIN)
               ? -LX_EOPNOTSUPP
               : -LX_EPERM;
}

static s64 subsystem_link(const struct pinode *pi, char *buf, size_t size)
{
    static const char to[] = "../../../../class/net";
    size_t n = MIN(size, sizeof(to) - 1);
    memcpy(buf, to, n);
    return (s64)n;
}

#define REG(n, m, fn, w, a)                                                                        \
    {                                                                                              \
        .name = n, .mode = LX_S_IFREG | (m), .show = fn, .write = w, .arg = a, .size = PAGE_SIZE   \
    }
#define ATTR(n, id)   REG(n, 0444, show_attr, NULL, (const void *)(uintptr_t)(id))
#define ATTR_W(n, id) REG(n, 0644, show_attr, refuse, (const void *)(uintptr_t)(id))
#define TEXT(n, text) REG(n, 0444, show_text, NULL, text)
#define COUNT(n, field)                                                                            \
    REG(n, 0444, show_count, NULL, (const void *)offsetof(struct procfs_netdev, field))
#define ZERO(n) REG(n, 0444, show_count, NULL, NULL)
#define SUB(n, tab)                                                                                \
    {                                                                                              \
        .name = n, .mode = LX_S_IFDIR | 0755, .children = tab, .nchildren = ARRAY_SIZE(tab)        \
    }
#define EMPTY(n)                                                                                   \
    {                                                                                              \
        .name = n, .mode = LX_S_IFDIR | 0755                                                       \
    }

static const struct pnode statistics_table[] = {
    ZERO("collisions"),
    COUNT("multicast", multicast),
    COUNT("rx_bytes", rx_bytes),
    ZERO("rx_compressed"),
    ZERO("rx_crc_errors"),
    COUNT("rx_dropped", rx_dropped),
    COUNT("rx_errors", rx_errors),
    ZERO("rx_fifo_errors"),
    ZERO("rx_frame_errors"),
    ZERO("rx_length_errors"),
    ZERO("rx_missed_errors"),
    ZERO("rx_nohandler"),
    ZERO("rx_over_errors"),
    COUNT("rx_packets", rx_packets),
    ZERO("tx_aborted_errors"),
    COUNT("tx_bytes", tx_bytes),
    ZERO("tx_carrier_errors"),
    ZERO("tx_compressed"),
    COUNT("tx_dropped", tx_dropped),
    ZERO("tx_errors"),
    ZERO("tx_fifo_errors"),
    ZERO("tx_heartbeat_errors"),
    COUNT("tx_packets", tx_packets),
    ZERO("tx_window_errors"),
};
static const struct pnode queues_table[] = {EMPTY("rx-0"), EMPTY("tx-0")};
static const struct pnode dev_table[] = {
    ATTR("addr_len", A_ADDR_LEN),
    ATTR("address", A_ADDRESS),
    ATTR("broadcast", A_BROADCAST),
    ATTR_W("carrier", A_CARRIER),
    TEXT("carrier_changes", "0"),
    TEXT("carrier_down_count", "0"),
    TEXT("carrier_up_count", "0"),
    TEXT("dev_id", "0x0"),
    TEXT("dev_port", "0"),
    TEXT("dormant", "0"),
    ATTR("duplex", A_DUPLEX),
    ATTR_W("flags", A_FLAGS),
    ATTR_W("ifalias", A_IFALIAS),
    ATTR("ifindex", A_IFINDEX),
    ATTR("iflink", A_IFINDEX),
    TEXT("link_mode", "0"),
    ATTR_W("mtu", A_MTU),
    REG("netdev_group", 0644, show_text, refuse, "0"),
    ATTR("operstate", A_OPERSTATE),
    SUB("queues", queues_table),
    ATTR("speed", A_SPEED),
    SUB("statistics", statistics_table),
    {.name = "subsystem", .mode = LX_S_IFLNK | 0777, .readlink = subsystem_link},
    TEXT("testing", "0"),
    REG("tx_queue_len", 0644, show_text, refuse, "1000"),
    ATTR("type", A_TYPE),
    ATTR("uevent", A_UEVENT),
};

/* ---- the two directories -------------------------------------------------------------------- */

static s64 class_link(const struct pinode *pi, char *buf, size_t size)
{
    struct procfs_netdev d;
    char to[64];
    if (!dev_by_index(pi->net, pi->nr, &d))
        return -LX_ENOENT;
    size_t n = (size_t)snprintf(to, sizeof(to), "../../devices/virtual/net/%s", d.name);
    n = MIN(n, size);
    memcpy(buf, to, n);
    return (s64)n;
}

static const struct pnode dev_node = SUB("net", dev_table);
static const struct pnode link_node = {
    .name = "net", .mode = LX_S_IFLNK | 0777, .readlink = class_link};

/* A name that is not there is not remembered: interfaces come and go. */
static int devs_lookup(struct inode *dir, struct dentry *d, const struct pnode *each)
{
    struct net_ns *net = pinode_of(dir)->net;
    struct procfs_netdev dev;
    for (u32 i = 0; dev_nth(net, i, &dev); i++)
        if (!strcmp(dev.name, d->name))
            return pnode_instantiate(dir, d, each, NULL, false, dev.index);
    return -LX_ENOENT;
}

static int devs_readdir(struct file *f, struct dir_ctx *ctx, const struct pnode *each)
{
    struct net_ns *net = pinode_of(f->inode)->net;
    struct procfs_netdev dev;
    if (f->pos < 2 && !pnode_emit_fixed(f, ctx, false))
        return 0;
    for (; f->pos >= 2 && f->pos < UINT32_MAX && dev_nth(net, (u32)(f->pos - 2), &dev); f->pos++)
        if (!ctx->emit(ctx, dev.name, strlen(dev.name), pnode_ino(each, NULL, false, dev.index),
                       (each->mode & LX_S_IFMT) >> 12, f->pos + 1))
            break;
    return 0;
}

static int class_lookup(struct inode *dir, struct dentry *d)
{
    return devs_lookup(dir, d, &link_node);
}

static int class_readdir(struct file *f, struct dir_ctx *ctx)
{
    return devs_readdir(f, ctx, &link_node);
}

static int virtual_lookup(struct inode *dir, struct dentry *d)
{
    return devs_lookup(dir, d, &dev_node);
}

static int virtual_readdir(struct file *f, struct dir_ctx *ctx)
{
    return devs_readdir(f, ctx, &dev_node);
}

const struct inode_ops class_net_iops = {.lookup = class_lookup, .setattr = pnode_setattr};
const struct file_ops class_net_fops = {.readdir = class_readdir, .seek = pdir_seek};
const struct inode_ops virtual_net_iops = {.lookup = virtual_lookup, .setattr = pnode_setattr};
const struct file_ops virtual_net_fops = {.readdir = virtual_readdir, .seek = pdir_seek};
