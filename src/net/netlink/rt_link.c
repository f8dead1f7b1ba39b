/*
 * NETLINK_ROUTE: making, changing and removing links. Errors and their texts are Linux's. A
 * namespace that a request names is referenced before dev_lock is taken and released after it.
 */
#include <string.h>

#include "kern/kern_int.h"
#include "kern/nsfs.h"
#include "net/netdev.h"
#include "net/netlink/route.h"
#include "vfs/file.h"

#define HEAD sizeof(struct lx_ifinfomsg)

/* A name as an attribute carries it. -LX_EINVAL, -LX_ERANGE; 0 with "" when absent. */
static int find_name(const struct lx_nlmsghdr *req, u32 head, u16 type, char name[LX_IFNAMSIZ])
{
    u32 size = 0;
    const char *p = nl_find(req, head, type, 0, &size);
    memset(name, 0, LX_IFNAMSIZ);
    if (!p)
        return 0;
    size_t n = strnlen(p, size);
    if (n >= LX_IFNAMSIZ)
        return -LX_ERANGE;
    memcpy(name, p, n);
    return 0;
}

struct stk_iface *rt_find_link(struct net_ns *ns, const struct lx_nlmsghdr *req, int *ret_err)
{
    const struct lx_ifinfomsg *m = nl_payload(req, sizeof(*m));
    char name[LX_IFNAMSIZ] = "";
    struct stk_iface *f = NULL;
    *ret_err = -LX_EINVAL;
    if (!m)
        return NULL;
    if (m->index > 0) {
        f = stk_iface(ns->stack, m->index);
    } else {
        int r = find_name(req, HEAD, IFLA_IFNAME, name);
        if (r == 0 && !name[0])
            r = find_name(req, HEAD, IFLA_ALT_IFNAME, name);
        if (r < 0 || !name[0]) {
            *ret_err = r < 0 ? r : -LX_EINVAL;
            return NULL;
        }
        f = stk_iface_named(ns->stack, name);
    }
    if (!f)
        *ret_err = -LX_ENODEV;
    return f;
}

/* ---- other namespaces ---------------------------------------------------------------------- */

/* The namespace of a process or behind a descriptor, referenced. */
static int ns_of_pid(s32 pid, struct net_ns **ret)
{
    struct task *me = task_current();
    struct task *t = me ? task_find(task_pid_ns(me), pid) : NULL;
    struct nsproxy *p = t ? task_get_ns(t) : NULL;
    task_put(t);
    if (!p)
        return -LX_ESRCH;
    *ret = p->net;
    if (*ret)
        net_ns_get(*ret);
    nsproxy_put(p);
    return *ret ? 0 : -LX_ESRCH;
}

static int ns_of_fd(s32 fd, struct net_ns **ret)
{
    struct file *f = fd_get(fd);
    u64 type = 0;
    void *ns = NULL;
    if (!f)
        return -LX_EINVAL;
    bool is_ns = nsfs_of_file(f, &type, &ns) && type == LX_CLONE_NEWNET;
    if (is_ns) {
        *ret = ns;
        net_ns_get(*ret);
    }
    file_put(f);
    return is_ns ? 0 : -LX_EINVAL;
}

/* A namespace's number here: asked for, or given. */
int rt_nsid(struct net_ns *ns, const struct lx_nlmsghdr *req, struct nlbuf *b)
{
    const u32 head = 4; /* rtgenmsg, padded */
    struct net_ns *other = NULL;
    int r = -LX_EINVAL;
    if (nl_find(req, head, NETNSA_PID, 4, NULL))
        r = ns_of_pid((s32)rt_find_u32(req, head, NETNSA_PID), &other);
    else if (nl_find(req, head, NETNSA_FD, 4, NULL))
        r = ns_of_fd((s32)rt_find_u32(req, head, NETNSA_FD), &other);
    if (r < 0)
        return r;
    s32 id = net_ns_find_id(ns, other);
    if (req->type == LX_RTM_NEWNSID) {
        s32 want = (s32)rt_find_u32(req, head, NETNSA_NSID);
        r = id >= 0 ? -LX_EEXIST : net_ns_set_id(ns, other, want);
    } else {
        u8 *h = nl_begin(b, LX_RTM_NEWNSID, 0, head);
        if (h) {
            nl_attr_u32(b, NETNSA_NSID, (u32)id);
            (void)nl_end(b);
        }
    }
    net_ns_put(other);
    return r;
}

/* What IFLA_NET_NS_PID or _FD says; 0 with *ret NULL: neither. */
static int find_ns(const struct lx_nlmsghdr *req, u32 head, struct net_ns **ret)
{
    int r = 0;
    *ret = NULL;
    if (nl_find(req, head, IFLA_NET_NS_PID, 4, NULL))
        r = ns_of_pid((s32)rt_find_u32(req, head, IFLA_NET_NS_PID), ret);
    else if (nl_find(req, head, IFLA_NET_NS_FD, 4, NULL))
        r = ns_of_fd((s32)rt_find_u32(req, head, IFLA_NET_NS_FD), ret);
    if (r == 0 && *ret && !net_capable(*ret, LX_CAP_NET_ADMIN)) {
        net_ns_put(*ret);
        *ret = NULL;
        r = -LX_EPERM;
    }
    return r;
}

/* A nested attribute of a buffer of attributes. */
static const void *find_in(const u8 *p, u32 size, u16 type, u32 *ret_size)
{
    struct lx_nlattr a;
    while (p && size >= sizeof(a)) {
        memcpy(&a, p, sizeof(a));
        if (a.len < sizeof(a) || a.len > size)
            return NULL;
        if ((a.type & NLA_TYPE_MASK) == type) {
            *ret_size = a.len - (u32)sizeof(a);
            return p + sizeof(a);
        }
        u32 step = MIN(NL_ALIGN(a.len), size);
        p += step;
        size -= step;
    }
    return NULL;
}

/* ---- changing ------------------------------------------------------------------------------ */

static int set_mtu(struct stk_iface *f, const struct lx_nlmsghdr *req, u32 head, struct nlbuf *b)
{
    struct netdev_info d;
    if (!nl_find(req, head, IFLA_MTU, 4, NULL) || !netdev_get(f->stk->ns, f->index, &d))
        return 0;
    u32 mtu = rt_find_u32(req, head, IFLA_MTU);
    if (mtu < d.min_mtu)
        return rt_fail(b, -LX_EINVAL, "mtu less than device minimum");
    if (d.max_mtu && mtu > d.max_mtu)
        return rt_fail(b, -LX_EINVAL, "mtu greater than device maximum");
    return stk_dev_set_mtu(f, mtu);
}

static int set_mac(struct stk_iface *f, const struct lx_nlmsghdr *req, u32 head)
{
    u32 size = 0;
    const u8 *mac = nl_find(req, head, IFLA_ADDRESS, 0, &size);
    if (!mac)
        return 0;
    return size < 6 ? -LX_EINVAL : stk_dev_set_mac(f, mac);
}

static int set_master(struct stk_iface *f, const struct lx_nlmsghdr *req, u32 head, struct nlbuf *b)
{
    if (!nl_find(req, head, IFLA_MASTER, 4, NULL))
        return 0;
    return stk_dev_set_master(f, (s32)rt_find_u32(req, head, IFLA_MASTER), &b->extack);
}

/* The attributes and flags of a request, as far as they are there; the order is Linux's. */
static int apply(struct stk_iface *f, const struct lx_nlmsghdr *req, u32 head, const char *new_name,
                 const struct lx_ifinfomsg *m, struct nlbuf *b)
{
    int r = set_mac(f, req, head);
    if (r == 0)
        r = set_mtu(f, req, head, b);
    if (r == 0 && nl_find(req, head, IFLA_GROUP, 4, NULL))
        f->group = rt_find_u32(req, head, IFLA_GROUP);
    if (r == 0 && new_name)
        r = stk_dev_rename(f, new_name);
    if (r == 0)
        r = set_master(f, req, head, b);
    if (r == 0 && (m->flags || m->change)) {
        u32 old = f->flags;
        r = stk_set_flags(f->stk, f->index,
                          m->change ? (m->flags & m->change) | (old & ~m->change) : m->flags);
    }
    if (r == 0 && nl_find(req, head, LX_IFLA_TXQLEN, 4, NULL))
        f->txqlen = rt_find_u32(req, head, LX_IFLA_TXQLEN);
    return r;
}

/* PF_BRIDGE: of a port, whether it sends back what it received. */
static int set_port(struct stk_iface *f, const struct lx_nlmsghdr *req)
{
    u32 size = 0, n = 0;
    const u8 *p = nl_find(req, HEAD, LX_IFLA_PROTINFO, 0, &size);
    if (!f->master)
        return -LX_EINVAL;
    for (u16 type = 1; type <= LX_IFLA_BRPORT_MAX; type++)
        if (type != IFLA_BRPORT_MODE && find_in(p, size, type, &n))
            return -LX_EOPNOTSUPP;
    const u8 *mode = find_in(p, size, IFLA_BRPORT_MODE, &n);
    if (mode && n >= 1)
        f->is_hairpin = *mode != 0;
    return 0;
}

static int check_attrs(const struct lx_nlmsghdr *req)
{
    static const u16 refused[] = {LX_IFLA_MAP, LX_IFLA_PROTINFO};
    for (u32 i = 0; i < ARRAY_SIZE(refused); i++)
        if (nl_find(req, HEAD, refused[i], 0, NULL))
            return -LX_EOPNOTSUPP;
    return 0;
}

static int set_link(struct stk_iface *f, const struct lx_nlmsghdr *req, struct net_ns *to,
                    struct nlbuf *b)
{
    const struct lx_ifinfomsg *m = nl_payload(req, sizeof(*m));
    char name[LX_IFNAMSIZ];
    if (m->family == LX_PF_BRIDGE)
        return set_port(f, req);
    int r = check_attrs(req);
    if (r == 0)
        r = find_name(req, HEAD, IFLA_IFNAME, name);
    if (r < 0)
        return r;
    const char *new_name = m->index > 0 && name[0] ? name : NULL;
    if (to && to != f->stk->ns) {
        r = stk_dev_move(f, to->stack, new_name, &f, &b->extack);
        if (r < 0)
            return r;
        new_name = NULL;
    }
    return apply(f, req, HEAD, new_name, m, b);
}

/* ---- making -------------------------------------------------------------------------------- */

struct link_info {
    char kind[16];
    const u8 *data; /* what is nested in IFLA_INFO_DATA, or NULL */
    u32 size;
};

static void parse_info(const struct lx_nlmsghdr *req, struct link_info *ret)
{
    u32 size = 0, n = 0;
    const u8 *p = nl_find(req, HEAD, IFLA_LINKINFO, 0, &size);
    memset(ret, 0, sizeof(*ret));
    const char *kind = find_in(p, size, IFLA_INFO_KIND, &n);
    if (kind)
        memcpy(ret->kind, kind, strnlen(kind, MIN(n, (u32)sizeof(ret->kind) - 1)));
    ret->data = find_in(p, size, IFLA_INFO_DATA, &ret->size);
}

/* The second half of a veth's request, as a message of its own; malloc'ed. NULL: none. */
struct peer_req {
    struct lx_nlmsghdr h;
    u8 payload[1024];
};

static int peer_request(const struct link_info *info, struct peer_req *ret)
{
    u32 size = 0;
    const u8 *p = find_in(info->data, info->size, VETH_INFO_PEER, &size);
    memset(ret, 0, sizeof(*ret));
    if (!p) {
        ret->h.len = sizeof(ret->h) + HEAD;
        return 0;
    }
    if (size < HEAD || size > sizeof(ret->payload))
        return -LX_EINVAL;
    memcpy(ret->payload, p, size);
    ret->h.len = (u32)sizeof(ret->h) + size;
    return 0;
}

/* What a request says about a link to be made. */
static int parse_spec(const struct lx_nlmsghdr *req, struct stk_dev_spec *s)
{
    const struct lx_ifinfomsg *m = nl_payload(req, sizeof(*m));
    u32 size = 0;
    *s = (struct stk_dev_spec){.index = m->index};
    if (m->index < 0)
        return -LX_EINVAL;
    int r = find_name(req, HEAD, IFLA_IFNAME, s->name);
    if (r < 0)
        return r;
    const u8 *mac = nl_find(req, HEAD, IFLA_ADDRESS, 0, &size);
    if (mac && size != 6)
        return -LX_EINVAL;
    if (mac && (mac[0] & 1 || !(mac[0] | mac[1] | mac[2] | mac[3] | mac[4] | mac[5])))
        return -LX_EADDRNOTAVAIL;
    if (mac)
        memcpy(s->mac, mac, 6);
    s->has_mac = mac;
    return 0;
}

/* A bridge's own attributes: timers of what is not there may be set, what would act may not. */
static int check_bridge(const struct link_info *info)
{
    u32 size;
    for (u16 type = 1; type <= LX_IFLA_BR_MAX; type++) {
        const u8 *p = find_in(info->data, info->size, type, &size);
        bool is_idle = type <= IFLA_BR_AGEING_TIME || type == IFLA_BR_PRIORITY ||
                       type == IFLA_BR_MCAST_SNOOPING;
        bool is_off = (type == IFLA_BR_STP_STATE || type == IFLA_BR_VLAN_FILTERING) && p && !*p;
        if (p && !is_idle && !is_off)
            return -LX_EOPNOTSUPP;
    }
    return 0;
}

static int make_link(struct net_ns *to, struct net_ns *peer_ns, enum dev_kind kind,
                     const struct lx_nlmsghdr *req, struct peer_req *peer, struct nlbuf *b)
{
    const struct lx_ifinfomsg *m = nl_payload(req, sizeof(*m));
    const struct lx_ifinfomsg *pm = nl_payload(&peer->h, sizeof(*pm));
    struct stk_dev_spec s, ps;
    struct stk_iface *f, *pf = NULL;
    int r = parse_spec(req, &s);
    if (r == 0 && kind == DEV_VETH)
        r = parse_spec(&peer->h, &ps);
    if (r < 0)
        return r;
    r = stk_dev_create(to->stack, kind, &s, kind == DEV_VETH ? peer_ns->stack : NULL, &ps, &f, &pf);
    if (r < 0)
        return r;
    r = apply(f, req, HEAD, NULL, m, b);
    if (r == 0 && pf)
        r = apply(pf, &peer->h, HEAD, NULL, pm, b);
    if (r < 0)
        (void)!stk_dev_destroy(f); /* of a kind that can be */
    return r;
}

static int new_link(struct net_ns *ns, struct net_ns *to, const struct lx_nlmsghdr *req,
                    struct nlbuf *b)
{
    struct link_info info;
    struct peer_req peer = {0};
    struct net_ns *peer_ns = NULL;
    enum dev_kind kind;
    int r = check_attrs(req);
    parse_info(req, &info);
    if (r < 0)
        return r;
    if (!stk_dev_kind(info.kind, &kind))
        return rt_fail(b, -LX_EOPNOTSUPP, "Unknown device type");
    if (kind == DEV_VETH) {
        r = peer_request(&info, &peer);
        if (r == 0)
            r = find_ns(&peer.h, HEAD, &peer_ns);
    }
    if (kind == DEV_BRIDGE)
        r = check_bridge(&info);
    if (r < 0)
        return r;
    if (!to)
        to = ns;
    mutex_lock(&dev_lock);
    r = make_link(to, peer_ns ? peer_ns : to, kind, req, &peer, b);
    mutex_unlock(&dev_lock);
    net_ns_put(peer_ns);
    return r;
}

/* ---- requests ------------------------------------------------------------------------------ */

/* A link that is there already: what a request that would make it changes. */
static int new_existing(struct stk_iface *f, const struct lx_nlmsghdr *req, struct net_ns *to,
                        struct nlbuf *b)
{
    struct link_info info;
    enum dev_kind kind;
    if (req->flags & LX_NLM_F_EXCL)
        return -LX_EEXIST;
    if (req->flags & LX_NLM_F_REPLACE)
        return -LX_EOPNOTSUPP;
    parse_info(req, &info);
    if (info.kind[0] && (!stk_dev_kind(info.kind, &kind) || kind != f->kind))
        return -LX_EOPNOTSUPP;
    if (info.data && (f->kind != DEV_BRIDGE || check_bridge(&info) < 0))
        return -LX_EOPNOTSUPP;
    return set_link(f, req, to, b);
}

static int change(struct net_ns *ns, const struct lx_nlmsghdr *req, struct net_ns *to,
                  struct nlbuf *b, bool *ret_is_new)
{
    MUTEX_GUARD(&dev_lock);
    int r = 0;
    struct stk_iface *f = rt_find_link(ns, req, &r);
    if (req->type == LX_RTM_NEWLINK && !f && req->flags & LX_NLM_F_CREATE &&
        (r == -LX_ENODEV || r == -LX_EINVAL)) {
        *ret_is_new = true;
        return 0;
    }
    if (!f)
        return r == -LX_EINVAL && req->type == LX_RTM_NEWLINK ? -LX_ENODEV : r;
    if (req->type == LX_RTM_NEWLINK)
        return new_existing(f, req, to, b);
    return req->type == LX_RTM_DELLINK ? stk_dev_destroy(f) : set_link(f, req, to, b);
}

int rt_change_link(struct net_ns *ns, const struct lx_nlmsghdr *req, struct nlbuf *b)
{
    struct net_ns *to = NULL;
    bool is_new = false;
    if (!nl_payload(req, HEAD))
        return -LX_EINVAL;
    int r = find_ns(req, HEAD, &to);
    if (r == 0)
        r = change(ns, req, to, b, &is_new);
    if (r == 0 && is_new)
        r = new_link(ns, to, req, b);
    net_ns_put(to);
    return r;
}
