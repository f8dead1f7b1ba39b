/*
 * The tables of a namespace: each is made with empty chains when it is first asked for. Lock:
 * ipt_ns.lock, held for reading while a packet is judged; user memory is copied without it.
 */
#include "net/filter/iptables.h"

#include <stdlib.h>
#include <string.h>

#include "net/filter/ct.h"
#include "net/filter/hook.h"

struct lx_ipt_getinfo {
    char name[32];
    u32 valid_hooks, entry[XT_HOOKS], underflow[XT_HOOKS], nrules, size;
};
struct lx_ipt_get_entries {
    char name[32];
    u32 size, pad;
};
struct lx_ipt_replace {
    char name[32];
    u32 valid_hooks, nrules, size, entry[XT_HOOKS], underflow[XT_HOOKS], ncounters;
    u64 counters;
};
struct lx_xt_counters_info {
    char name[32];
    u32 count, pad;
};
struct lx_xt_get_revision {
    char name[29];
    u8 revision;
};
_Static_assert(sizeof(struct lx_ipt_getinfo) == 84, "ipt_getinfo");
_Static_assert(sizeof(struct lx_ipt_replace) == 96, "ipt_replace");
_Static_assert(sizeof(struct lx_xt_get_revision) == 30, "xt_get_revision");

static const char *const names[] = {"raw", "mangle", "nat", "filter"};

struct ipt_ns {
    struct rwlock lock;
    struct xt_table
        *tables[XT_FAMILIES][XT_TABLES]; /* owned; guarded by lock; NULL: not asked for yet */
    u8 order[XT_FAMILIES][XT_TABLES];    /* of making; guarded by lock, as below */
    u8 count[XT_FAMILIES];
    _Atomic u32 hooks;            /* see ipt_hooks */
    bool has_natted[XT_FAMILIES]; /* there were rules in nat: what they decided holds on */
};

struct ipt_ns *ipt_ns_new(void)
{
    struct ipt_ns *n = calloc(1, sizeof(*n));
    if (n)
        rwlock_init(&n->lock, "iptables");
    return n;
}

u32 ipt_hooks(const struct ipt_ns *n)
{
    return atomic_load(&((struct ipt_ns *)(uintptr_t)n)->hooks);
}

static u64 cost(const struct xt_table *t)
{
    return 2ULL * xt_shape_of(t)->size; /* the bytes, and about as much for what was read of them */
}

static void drop(struct xt_table *t)
{
    if (t)
        net_mem_uncharge(cost(t));
    xt_free(t);
}

void ipt_ns_free(struct ipt_ns *n)
{
    for (u32 f = 0; n && f < XT_FAMILIES; f++) {
        for (u32 i = 0; i < XT_TABLES; i++)
            drop(n->tables[f][i]);
    }
    free(n);
}

const char *ipt_name(struct ipt_ns *n, enum xt_family family, u32 nth)
{
    rwlock_rdlock(&n->lock);
    const char *name =
        nth < n->count[family] ? names[n->order[family][n->count[family] - 1 - nth]] : NULL;
    rwlock_rdunlock(&n->lock);
    return name;
}

/* Tells packets where there is something to ask. REQUIRES the lock. */
static void publish(struct net_ns *ns)
{
    struct ipt_ns *n = ns->ipt_ns;
    u32 all = 0;
    for (u32 f = 0; f < XT_FAMILIES; f++) {
        u32 hooks = 0;
        bool is_tracking = false;
        for (u32 i = 0; i < XT_TABLES; i++) {
            const struct xt_table *t = n->tables[f][i];
            hooks |= t ? xt_active_hooks(t) : 0;
            is_tracking |= t && xt_needs_tracking(t);
        }
        const struct xt_table *nat = n->tables[f][XT_NAT];
        n->has_natted[f] |= nat && xt_active_hooks(nat);
        if (is_tracking || n->has_natted[f])
            hooks |= NF_ALL | NF_TRACK;
        if (nat && xt_active_hooks(nat) & XT_BIT(XT_OUTPUT))
            hooks |= NF_NAT_OUT;
        all |= hooks << (f * NF_FAMILY_SHIFT);
    }
    atomic_store(&n->hooks, all);
    nf_publish(ns);
}

/* Makes sure that the table of this name is there: its number, or -LX_ENOENT. */
static int find(struct ipt_ns *n, enum xt_family family, const char name[32])
{
    struct xt_table *t = NULL;
    u32 id = 0;
    while (id < XT_TABLES && strncmp(name, names[id], 32))
        id++;
    if (id == XT_TABLES)
        return -LX_ENOENT;
    rwlock_rdlock(&n->lock);
    bool is_there = n->tables[family][id];
    rwlock_rdunlock(&n->lock);
    if (is_there)
        return (int)id;
    int r = xt_load_empty(family, (enum xt_table_id)id, &t);
    if (r < 0)
        return r;
    net_mem_force(cost(t));
    rwlock_wrlock(&n->lock);
    if (!n->tables[family][id]) {
        n->tables[family][id] = take_ptr(t);
        n->order[family][n->count[family]++] = (u8)id;
    }
    rwlock_wrunlock(&n->lock);
    drop(t);
    return (int)id;
}

enum xt_verdict ipt_run(struct ipt_ns *n, enum xt_table_id id, struct xt_packet *p)
{
    enum xt_verdict v = XT_ACCEPT;
    rwlock_rdlock(&n->lock);
    struct xt_table *t = n->tables[p->is_v6 ? XT_V6 : XT_V4][id];
    if (t && xt_shape_of(t)->valid_hooks >> p->hook & 1)
        v = xt_run(t, p);
    rwlock_rdunlock(&n->lock);
    return v;
}

/* ---- reading ------------------------------------------------------------------------------- */

static int get_info(struct ipt_ns *n, enum xt_family family, struct optval *val)
{
    struct lx_ipt_getinfo g;
    if (val->len != sizeof(g))
        return -LX_EINVAL;
    int r = optval_read(val, &g, sizeof(g));
    if (r == 0)
        r = find(n, family, g.name);
    if (r < 0)
        return r;
    rwlock_rdlock(&n->lock);
    struct xt_shape s = *xt_shape_of(n->tables[family][r]);
    rwlock_rdunlock(&n->lock);
    memset(&g, 0, sizeof(g));
    memcpy(g.name, names[r], strlen(names[r]));
    g.valid_hooks = s.valid_hooks;
    memcpy(g.entry, s.entry, sizeof(g.entry));
    memcpy(g.underflow, s.underflow, sizeof(g.underflow));
    g.nrules = s.nrules;
    g.size = s.size;
    return optval_write(val, &g, sizeof(g));
}

static int get_entries(struct ipt_ns *n, enum xt_family family, struct optval *val)
{
    struct lx_ipt_get_entries g;
    int r = optval_read(val, &g, sizeof(g));
    if (r < 0)
        return r;
    if (val->len - sizeof(g) != g.size || g.size > XT_MAX_SIZE)
        return -LX_EINVAL;
    int id = find(n, family, g.name);
    if (id < 0)
        return id;
    u8 *b = malloc(sizeof(g) + g.size);
    if (!b)
        return -LX_ENOMEM;
    memcpy(b, &g, sizeof(g));
    rwlock_rdlock(&n->lock);
    if (xt_shape_of(n->tables[family][id])->size == g.size)
        xt_store(n->tables[family][id], b + sizeof(g));
    else
        r = -LX_EAGAIN;
    rwlock_rdunlock(&n->lock);
    if (r == 0)
        r = optval_write(val, b, (u32)sizeof(g) + g.size);
    free(b);
    return r;
}

static int get_revision(enum xt_family family, struct optval *val, bool is_target)
{
    struct lx_xt_get_revision g;
    if (val->len != sizeof(g))
        return -LX_EINVAL;
    int r = optval_read(val, &g, sizeof(g));
    if (r < 0)
        return r;
    g.name[sizeof(g.name) - 1] = 0;
    return is_target ? xt_target_revision(family, g.name, g.revision)
                     : xt_match_revision(family, g.name, g.revision);
}

bool ipt_is_option(enum xt_family family, s32 name)
{
    if (name == LX_IPT_SO_REPLACE || name == LX_IPT_SO_ADD_COUNTERS)
        return true;
    return family == XT_V4 ? name == LX_IPT_SO_REV_MATCH || name == LX_IPT_SO_REV_TARGET
                           : name == LX_IP6T_SO_REV_MATCH || name == LX_IP6T_SO_REV_TARGET;
}

int ipt_getsockopt(struct sock *sk, enum xt_family family, s32 name, struct optval *val)
{
    if (!net_capable(sk->ns, LX_CAP_NET_ADMIN))
        return -LX_EPERM;
    switch (name) {
    case LX_IPT_SO_INFO:
        return get_info(sk->ns->ipt_ns, family, val);
    case LX_IPT_SO_ENTRIES:
        return get_entries(sk->ns->ipt_ns, family, val);
    case LX_IPT_SO_REV_MATCH:
    case LX_IP6T_SO_REV_MATCH:
        return get_revision(family, val, false);
    case LX_IPT_SO_REV_TARGET:
    case LX_IP6T_SO_REV_TARGET:
        return get_revision(family, val, true);
    default:
        return -LX_ENOPROTOOPT;
    }
}

/* ---- replacing ----------------------------------------------------------------------------- */

static int read_table(enum xt_family family, enum xt_table_id id, const struct lx_ipt_replace *h,
                      const struct optval *val, struct xt_table **ret)
{
    struct xt_shape s = {.valid_hooks = h->valid_hooks, .nrules = h->nrules, .size = h->size};
    memcpy(s.entry, h->entry, sizeof(s.entry));
    memcpy(s.underflow, h->underflow, sizeof(s.underflow));
    u8 *b = malloc(h->size ? h->size : 1);
    if (!b)
        return -LX_ENOMEM;
    int r = optval_read_at(val, sizeof(*h), b, h->size);
    if (r == 0)
        r = xt_load(family, id, &s, b, ret);
    free(b);
    if (r == 0 && !net_mem_charge(cost(*ret))) {
        xt_free(*ret);
        r = -LX_ENOMEM;
    }
    return r;
}

/* Puts *t in the place of the table, which goes to *t, and tells its counters. */
static int exchange(struct net_ns *ns, enum xt_family family, int id, struct xt_table **t,
                    u32 ncounters, struct lx_xt_counters *ret)
{
    struct ipt_ns *n = ns->ipt_ns;
    int r = 0;
    rwlock_wrlock(&n->lock);
    struct xt_table *old = n->tables[family][id];
    if (xt_shape_of(old)->nrules == ncounters) {
        n->tables[family][id] = *t;
        *t = old;
        xt_counters(old, ret);
        publish(ns);
    } else {
        r = -LX_EAGAIN; /* somebody else was faster */
    }
    rwlock_wrunlock(&n->lock);
    return r;
}

static int replace(struct net_ns *ns, enum xt_family family, const struct optval *val)
{
    struct lx_ipt_replace h;
    struct xt_table *t = NULL;
    int r = optval_read(val, &h, sizeof(h));
    if (r < 0)
        return r;
    if (!h.ncounters)
        return -LX_EINVAL;
    if (h.size > XT_MAX_SIZE || h.ncounters > XT_MAX_RULES)
        return -LX_ENOMEM;
    int id = find(ns->ipt_ns, family, h.name);
    if (id < 0)
        return id;
    r = read_table(family, (enum xt_table_id)id, &h, val, &t);
    if (r == 0 && h.valid_hooks != xt_hooks_of((enum xt_table_id)id))
        r = -LX_EINVAL;
    struct lx_xt_counters *c = r == 0 ? calloc(h.ncounters, sizeof(*c)) : NULL;
    if (r == 0 && !c)
        r = -LX_ENOMEM;
    if (r == 0)
        r = exchange(ns, family, id, &t, h.ncounters, c);
    if (r == 0) /* the table is replaced whether its caller can read the old counters or not */
        (void)!copy_out(uaddr(h.counters), c, h.ncounters * sizeof(*c));
    free(c);
    drop(t);
    return r;
}

static int add_counters(struct ipt_ns *n, enum xt_family family, const struct optval *val)
{
    struct lx_xt_counters_info h;
    int r = optval_read(val, &h, sizeof(h));
    if (r < 0)
        return r;
    if (h.count > XT_MAX_RULES || val->len != sizeof(h) + h.count * sizeof(struct lx_xt_counters))
        return -LX_EINVAL;
    int id = find(n, family, h.name);
    if (id < 0)
        return id;
    struct lx_xt_counters *c = calloc(h.count + 1, sizeof(*c));
    if (!c)
        return -LX_ENOMEM;
    r = optval_read_at(val, sizeof(h), c, h.count * (u32)sizeof(*c));
    if (r == 0) {
        rwlock_rdlock(&n->lock);
        struct xt_table *t = n->tables[family][id];
        if (xt_shape_of(t)->nrules == h.count)
            xt_add_counters(t, c, h.count);
        else
            r = -LX_EINVAL;
        rwlock_rdunlock(&n->lock);
    }
    free(c);
    return r;
}

int ipt_setsockopt(struct sock *sk, enum xt_family family, s32 name, const struct optval *val)
{
    if (!net_capable(sk->ns, LX_CAP_NET_ADMIN))
        return -LX_EPERM;
    switch (name) {
    case LX_IPT_SO_REPLACE:
        return replace(sk->ns, family, val);
    case LX_IPT_SO_ADD_COUNTERS:
        return add_counters(sk->ns->ipt_ns, family, val);
    default:
        return -LX_ENOPROTOOPT;
    }
}
