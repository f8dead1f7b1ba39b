/*
 * Network namespaces and the memory account of all sockets.
 */
#include <stdlib.h>
#include <string.h>

#include "kern/kern_int.h"
#include "kern/parts.h"
#include "kern/task.h"
#include "net/filter/ct.h"
#include "net/filter/iptables.h"
#include "net/nft/run.h"
#include "net/net.h"
#include "net/parts.h"
#include "net/sock.h"
#include "net/stack/stack.h"
#include "net/tun.h"

struct net_ns *root_net_ns;
struct net_sysctl_hooks net_sysctl_hooks;

static struct mutex all_lock = MUTEX_INIT("net_all_ns"); /* leaf */
static struct list all_ns = LIST_INIT(all_ns);
static u32 nns; /* guarded by all_lock */

static _Atomic u64 mem_used;
static _Atomic u64 next_ns_cookie = 1;

bool net_mem_charge(u64 bytes)
{
    u64 old = atomic_fetch_add_explicit(&mem_used, bytes, memory_order_relaxed);
    if (likely(old + bytes <= NET_MEM_MAX))
        return true;
    atomic_fetch_sub_explicit(&mem_used, bytes, memory_order_relaxed);
    return false;
}

void net_mem_force(u64 bytes)
{
    atomic_fetch_add_explicit(&mem_used, bytes, memory_order_relaxed);
}

void net_mem_uncharge(u64 bytes)
{
    atomic_fetch_sub_explicit(&mem_used, bytes, memory_order_relaxed);
}

u64 net_mem_used(void)
{
    return atomic_load_explicit(&mem_used, memory_order_relaxed);
}

static const struct {
    const char *path;
    s64 init;
} sysctls[NSYS_COUNT] = {
    [NSYS_SOMAXCONN] = {"core/somaxconn", LX_SOMAXCONN},
    [NSYS_UNIX_QLEN] = {"unix/max_dgram_qlen", 10},
    [NSYS_PORT_LOW] = {"ipv4/ip_local_port_range", 32768},
    [NSYS_PORT_HIGH] = {NULL, 60999},
    [NSYS_UNPRIV_PORT] = {"ipv4/ip_unprivileged_port_start", 1024},
    [NSYS_TTL] = {"ipv4/ip_default_ttl", 64},
    [NSYS_NONLOCAL_BIND] = {"ipv4/ip_nonlocal_bind", 0},
    [NSYS_NONLOCAL_BIND6] = {"ipv6/ip_nonlocal_bind", 0},
    [NSYS_BINDV6ONLY] = {"ipv6/bindv6only", 0},
    [NSYS_PING_LOW] = {"ipv4/ping_group_range", 1},
    [NSYS_PING_HIGH] = {NULL, 0},
    [NSYS_SYN_RETRIES] = {"ipv4/tcp_syn_retries", 6},
    [NSYS_KEEPALIVE_TIME] = {"ipv4/tcp_keepalive_time", 7200},
    [NSYS_KEEPALIVE_INTVL] = {"ipv4/tcp_keepalive_intvl", 75},
    [NSYS_KEEPALIVE_PROBES] = {"ipv4/tcp_keepalive_probes", 9},
    [NSYS_FIN_TIMEOUT] = {"ipv4/tcp_fin_timeout", 60},
    [NSYS_TW_REUSE] = {"ipv4/tcp_tw_reuse", 2},
    [NSYS_WMEM_MAX] = {"core/wmem_max", 4194304},
    [NSYS_RMEM_MAX] = {"core/rmem_max", 4194304},
    [NSYS_ROUTE_LOCALNET] = {"ipv4/conf/lo/route_localnet", 0},
    [NSYS_IPV6_DISABLED] = {"ipv6/conf/all/disable_ipv6", 0},
    [NSYS_FORWARD4] = {"ipv4/ip_forward", 0},
    [NSYS_FORWARD4_ALL] = {"ipv4/conf/all/forwarding", 0},
    [NSYS_FORWARD6] = {"ipv6/conf/all/forwarding", 0},
    [NSYS_ECHO_IGNORE] = {"ipv4/icmp_echo_ignore_all", 0},
    [NSYS_ECHO_IGNORE_GROUPS] = {"ipv4/icmp_echo_ignore_broadcasts", 1},
    [NSYS_RETRIES2] = {"ipv4/tcp_retries2", 15},
    [NSYS_ORPHAN_RETRIES] = {"ipv4/tcp_orphan_retries", 0},
    [NSYS_SYNACK_RETRIES] = {"ipv4/tcp_synack_retries", 5},
    [NSYS_SYN_BACKLOG] = {"ipv4/tcp_max_syn_backlog", 1024},
    [NSYS_SYNCOOKIES] = {"ipv4/tcp_syncookies", 1},
    [NSYS_TIMESTAMPS] = {"ipv4/tcp_timestamps", 1},
    [NSYS_SACK] = {"ipv4/tcp_sack", 1},
    [NSYS_WINDOW_SCALING] = {"ipv4/tcp_window_scaling", 1},
    [NSYS_ECN] = {"ipv4/tcp_ecn", 2},
    [NSYS_SLOW_AFTER_IDLE] = {"ipv4/tcp_slow_start_after_idle", 1},
    [NSYS_MODERATE_RCVBUF] = {"ipv4/tcp_moderate_rcvbuf", 1},
    [NSYS_RP_FILTER] = {"ipv4/conf/all/rp_filter", 0},
    [NSYS_ACCEPT_LOCAL] = {"ipv4/conf/all/accept_local", 0},
};

const char *net_sysctl_path(enum net_sysctl_id id)
{
    return sysctls[id].path;
}

void net_sysctl_bind(struct net_ns *ns, enum net_sysctl_id id, _Atomic s64 *where)
{
    ns->sysctl[id] = where;
}

static void sysctl_defaults(struct net_ns *ns)
{
    for (int i = 0; i < NSYS_COUNT; i++) {
        ns->sysctl_own[i] = sysctls[i].init;
        ns->sysctl[i] = &ns->sysctl_own[i];
    }
}

/* ---- numbers that namespaces have for each other ------------------------------------------- */

s32 net_ns_find_id(const struct net_ns *ns, const struct net_ns *other)
{
    MUTEX_GUARD(&all_lock);
    for (u32 i = 0; i < NET_NS_IDS; i++)
        if (ns->ids[i] == other->cookie)
            return (s32)i;
    return -1;
}

s32 net_ns_id(struct net_ns *ns, const struct net_ns *other)
{
    s32 free_id = -1;
    MUTEX_GUARD(&all_lock);
    for (u32 i = NET_NS_IDS; i-- > 0;) {
        if (ns->ids[i] == other->cookie)
            return (s32)i;
        if (!ns->ids[i])
            free_id = (s32)i;
    }
    if (free_id >= 0)
        ns->ids[free_id] = other->cookie;
    return free_id;
}

bool net_ns_has_id(const struct net_ns *ns, s32 id)
{
    MUTEX_GUARD(&all_lock);
    return ns->ids[id] != 0;
}

int net_ns_set_id(struct net_ns *ns, const struct net_ns *other, s32 id)
{
    if (id < 0)
        return net_ns_id(ns, other) < 0 ? -LX_ENOSPC : 0;
    if (id >= (s32)NET_NS_IDS)
        return -LX_ENOSPC;
    MUTEX_GUARD(&all_lock);
    if (ns->ids[id])
        return -LX_EEXIST;
    ns->ids[id] = other->cookie;
    return 0;
}

static bool enter_list(struct net_ns *ns)
{
    MUTEX_GUARD(&all_lock);
    if (nns >= NET_NS_MAX)
        return false;
    nns++;
    list_add_tail(&all_ns, &ns->all_node);
    return true;
}

static void leave_list(struct net_ns *ns)
{
    struct net_ns *o;
    MUTEX_GUARD(&all_lock);
    if (list_empty(&ns->all_node))
        return;
    list_del(&ns->all_node);
    nns--;
    list_for_each (o, &all_ns, all_node)
        for (u32 i = 0; i < NET_NS_IDS; i++)
            if (o->ids[i] == ns->cookie)
                o->ids[i] = 0;
}

/* ---- life ---------------------------------------------------------------------------------- */

static void ns_free(struct net_ns *ns)
{
    if (!ns)
        return;
    if (ns->stack)
        stk_dev_destroy_all(ns->stack);
    leave_list(ns);
    netstack_free(ns->stack);
    unix_ns_free(ns->unix_ns);
    inet_ns_free(ns->inet_ns);
    netlink_ns_free(ns->netlink_ns);
    packet_ns_free(ns->packet_ns);
    ipt_ns_free(ns->ipt_ns);
    nft_ns_free(ns->nft_ns);
    ct_ns_free(ns->ct_ns);
    if (ns->sysctls)
        net_sysctl_hooks.detach(ns->sysctls);
    user_ns_put(ns->user_ns);
    free(ns);
}

/* The parts that may fail. */
static int fill(struct net_ns *ns)
{
    if (!enter_list(ns))
        return -LX_ENOSPC;
    ns->unix_ns = unix_ns_new();
    ns->inet_ns = inet_ns_new();
    ns->netlink_ns = netlink_ns_new();
    ns->packet_ns = packet_ns_new();
    ns->ipt_ns = ipt_ns_new();
    ns->ct_ns = ct_ns_new();
    ns->nft_ns = nft_ns_new(ns);
    if (!ns->unix_ns || !ns->inet_ns || !ns->netlink_ns || !ns->packet_ns || !ns->ipt_ns || !ns->ct_ns ||
        !ns->nft_ns)
        return -LX_ENOMEM;
    int r = net_sysctl_hooks.attach ? net_sysctl_hooks.attach(ns) : 0;
    return r < 0 ? r : netstack_new(ns, &ns->stack);
}

int net_ns_new(struct user_ns *uns, struct net_ns **ret_ns)
{
    struct net_ns *ns = calloc(1, sizeof(*ns));
    if (!ns)
        return -LX_ENOMEM;
    ref_init(&ns->ref);
    ns->ino = ns_ino_alloc();
    ns->cookie = atomic_fetch_add(&next_ns_cookie, 1);
    ns->user_ns = uns;
    user_ns_get(uns);
    sysctl_defaults(ns);
    mutex_init(&ns->socks_lock, "net_socks");
    list_init(&ns->socks);
    list_init(&ns->all_node);
    int r = fill(ns);
    if (r < 0) {
        ns_free(ns);
        return r;
    }
    *ret_ns = ns;
    return 0;
}

void net_ns_get(struct net_ns *ns)
{
    ref_get(&ns->ref);
}

void net_ns_put(struct net_ns *ns)
{
    if (ns && ref_put(&ns->ref))
        ns_free(ns);
}

struct net_ns *net_ns_current(void)
{
    struct task *t = task_current();
    return t && t->ns && t->ns->net ? t->ns->net : root_net_ns;
}

bool net_capable(const struct net_ns *ns, int cap)
{
    return task_current() ? ns_capable(ns->user_ns, cap) : vfs_capable(cap);
}

static struct user_ns *hook_ns_owner(struct net_ns *ns)
{
    return ns->user_ns;
}

static u64 hook_ns_ino(struct net_ns *ns)
{
    return ns->ino;
}

int net_init(void)
{
    int r = net_ns_new(&root_user_ns, &root_net_ns);
    if (r < 0)
        return r;
    r = stk_set_flags(root_net_ns->stack, LO_IFINDEX, LX_IFF_UP);
    if (r < 0)
        return r;
    tun_init();
    kern_hooks.root_net_ns = root_net_ns;
    kern_hooks.net_ns_get = net_ns_get;
    kern_hooks.net_ns_put = net_ns_put;
    kern_hooks.net_ns_new = net_ns_new;
    kern_hooks.net_ns_ino = hook_ns_ino;
    kern_hooks.net_ns_owner = hook_ns_owner;
    return 0;
}
