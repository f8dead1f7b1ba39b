/*
 * Network namespaces and the memory account of all sockets.
 */
#include <stdlib.h>
#include <string.h>

#include "kern/parts.h"
#include "kern/task.h"
#include "net/net.h"
#include "net/parts.h"
#include "net/sock.h"

struct net_ns *root_net_ns;

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

static void sysctl_defaults(struct net_sysctl *s)
{
    s->somaxconn = LX_SOMAXCONN;
    s->unix_max_dgram_qlen = 10;
    s->port_low = 32768;
    s->port_high = 60999;
    s->unprivileged_port_start = 1024;
    s->ip_default_ttl = 64;
    s->ping_group_low = 0; /* as container managers set it: everybody may ping */
    s->ping_group_high = INT32_MAX;
    s->tcp_syn_retries = 6;
    s->tcp_synack_retries = 5;
    s->tcp_retries2 = 15;
    s->tcp_keepalive_time = 7200;
    s->tcp_keepalive_intvl = 75;
    s->tcp_keepalive_probes = 9;
    s->tcp_fin_timeout = 60;
    s->tcp_tw_reuse = 2;
}

static void ns_free(struct net_ns *ns)
{
    if (!ns)
        return;
    unix_ns_free(ns->unix_ns);
    inet_ns_free(ns->inet_ns);
    netlink_ns_free(ns->netlink_ns);
    free(ns);
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
    sysctl_defaults(&ns->sysctl);
    mutex_init(&ns->socks_lock, "net_socks");
    list_init(&ns->socks);
    ns->unix_ns = unix_ns_new();
    ns->inet_ns = inet_ns_new();
    ns->netlink_ns = netlink_ns_new();
    if (!ns->unix_ns || !ns->inet_ns || !ns->netlink_ns) {
        ns_free(ns);
        return -LX_ENOMEM;
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
    return ns->user_ns ? ns_capable(ns->user_ns, cap) : vfs_capable(cap);
}

static int hook_ns_new(struct net_ns **ret_ns)
{
    return net_ns_new(vfs_cred()->user_ns, ret_ns);
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
    kern_hooks.net_ns_get = net_ns_get;
    kern_hooks.net_ns_put = net_ns_put;
    kern_hooks.net_ns_new = hook_ns_new;
    kern_hooks.net_ns_ino = hook_ns_ino;
    return 0;
}
