/*
 * The table "filter" of a namespace: made with three empty chains when it is first asked for. Lock:
 * ipt_ns.lock, a leaf; user memory is copied without it.
 */
#include "net/filter/iptables.h"

#include <stdlib.h>
#include <string.h>

#define IPT_SO_REPLACE      64
#define IPT_SO_ADD_COUNTERS 65
#define IPT_SO_INFO         64
#define IPT_SO_ENTRIES      65
#define IPT_SO_REV_MATCH    66
#define IPT_SO_REV_TARGET   67
#define FILTER_HOOKS        (1U << XT_INPUT | 1U << XT_FORWARD | 1U << XT_OUTPUT)

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

struct ipt_ns {
    struct rwlock lock;      /* leaf */
    struct xt_table *filter; /* owned; guarded by lock; NULL: not asked for yet */
};

struct ipt_ns *ipt_ns_new(void)
{
    struct ipt_ns *n = calloc(1, sizeof(*n));
    if (n)
        rwlock_init(&n->lock, "iptables");
    return n;
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
    if (n)
        drop(n->filter);
    free(n);
}

bool ipt_has_filter(struct ipt_ns *n)
{
    rwlock_rdlock(&n->lock);
    bool is_there = n->filter;
    rwlock_rdunlock(&n->lock);
    return is_there;
}

/* Appends a rule with a target of this name and data. */
static u32 append(struct xt_shape *s, u8 *b, const char *target, const void *data, u32 size)
{
    u32 at = s->size, full = (32 + size + 7) & ~7U;
    struct lx_ipt_entry e = {.target_offset = sizeof(e), .next_offset = (u16)(sizeof(e) + full)};
    struct lx_xt_ext g = {.size = (u16)full};
    memcpy(g.name, target, strlen(target));
    memcpy(b + at, &e, sizeof(e));
    memcpy(b + at + sizeof(e), &g, sizeof(g));
    memcpy(b + at + sizeof(e) + sizeof(g), data, size);
    s->size += e.next_offset;
    s->nrules++;
    return at;
}

static int make_initial(struct xt_table **ret)
{
    static const s32 accept = -2;
    static const char error[30] = "ERROR";
    u8 b[1024] = {0};
    struct xt_shape s = {.valid_hooks = FILTER_HOOKS};
    for (u32 h = XT_INPUT; h <= XT_OUTPUT; h++)
        s.entry[h] = s.underflow[h] = append(&s, b, "", &accept, sizeof(accept));
    (void)append(&s, b, "ERROR", error, sizeof(error)); /* where it is does not matter */
    int r = xt_load(&s, b, ret);
    if (r == 0)
        net_mem_force(cost(*ret));
    return r;
}

/* Makes sure that the table of this name is there. */
static int find(struct ipt_ns *n, const char name[32])
{
    struct xt_table *t = NULL;
    if (strncmp(name, "filter", 32))
        return -LX_ENOENT;
    if (ipt_has_filter(n))
        return 0;
    int r = make_initial(&t);
    rwlock_wrlock(&n->lock);
    if (r == 0 && !n->filter)
        n->filter = take_ptr(t);
    rwlock_wrunlock(&n->lock);
    drop(t);
    return r;
}

/* ---- reading ------------------------------------------------------------------------------- */

static int get_info(struct ipt_ns *n, struct optval *val)
{
    struct lx_ipt_getinfo g;
    if (val->len != sizeof(g))
        return -LX_EINVAL;
    int r = optval_read(val, &g, sizeof(g));
    if (r == 0)
        r = find(n, g.name);
    if (r < 0)
        return r;
    rwlock_rdlock(&n->lock);
    struct xt_shape s = *xt_shape_of(n->filter);
    rwlock_rdunlock(&n->lock);
    memset(&g, 0, sizeof(g));
    memcpy(g.name, "filter", sizeof("filter"));
    g.valid_hooks = s.valid_hooks;
    memcpy(g.entry, s.entry, sizeof(g.entry));
    memcpy(g.underflow, s.underflow, sizeof(g.underflow));
    g.nrules = s.nrules;
    g.size = s.size;
    return optval_write(val, &g, sizeof(g));
}

static int get_entries(struct ipt_ns *n, struct optval *val)
{
    struct lx_ipt_get_entries g;
    int r = optval_read(val, &g, sizeof(g));
    if (r < 0)
        return r;
    if (val->len - sizeof(g) != g.size || g.size > XT_MAX_SIZE)
        return -LX_EINVAL;
    r = find(n, g.name);
    if (r < 0)
        return r;
    u8 *b = malloc(sizeof(g) + g.size);
    if (!b)
        return -LX_ENOMEM;
    memcpy(b, &g, sizeof(g));
    rwlock_rdlock(&n->lock);
    if (xt_shape_of(n->filter)->size == g.size)
        xt_store(n->filter, b + sizeof(g));
    else
        r = -LX_EAGAIN;
    rwlock_rdunlock(&n->lock);
    if (r == 0)
        r = optval_write(val, b, (u32)sizeof(g) + g.size);
    free(b);
    return r;
}

static int get_revision(struct optval *val, bool is_target)
{
    struct lx_xt_get_revision g;
    if (val->len != sizeof(g))
        return -LX_EINVAL;
    int r = optval_read(val, &g, sizeof(g));
    if (r < 0)
        return r;
    g.name[sizeof(g.name) - 1] = 0;
    int best = is_target ? xt_target_revision(g.name) : xt_match_revision(g.name);
    return best < 0 ? -LX_ENOENT : g.revision > best ? -LX_EPROTONOSUPPORT : 0;
}

int ipt_getsockopt(struct sock *sk, s32 name, struct optval *val)
{
    if (!net_capable(sk->ns, LX_CAP_NET_ADMIN))
        return -LX_EPERM;
    switch (name) {
    case IPT_SO_INFO:
        return get_info(sk->ns->ipt_ns, val);
    case IPT_SO_ENTRIES:
        return get_entries(sk->ns->ipt_ns, val);
    case IPT_SO_REV_MATCH:
    case IPT_SO_REV_TARGET:
        return get_revision(val, name == IPT_SO_REV_TARGET);
    default:
        return -LX_ENOPROTOOPT;
    }
}

enum xt_verdict ipt_run(struct ipt_ns *n, enum xt_hook hook, struct xt_packet *p, u32 *ret_reject)
{
    enum xt_verdict v = XT_ACCEPT;
    rwlock_rdlock(&n->lock);
    if (n->filter && xt_shape_of(n->filter)->valid_hooks >> hook & 1)
        v = xt_run(n->filter, hook, p, ret_reject);
    rwlock_rdunlock(&n->lock);
    return v;
}

/* ---- replacing ----------------------------------------------------------------------------- */

static int read_table(const struct lx_ipt_replace *h, const struct optval *val,
                      struct xt_table **ret)
{
    struct xt_shape s = {.valid_hooks = h->valid_hooks, .nrules = h->nrules, .size = h->size};
    memcpy(s.entry, h->entry, sizeof(s.entry));
    memcpy(s.underflow, h->underflow, sizeof(s.underflow));
    if (!h->ncounters)
        return -LX_EINVAL;
    if (h->size > XT_MAX_SIZE || h->ncounters > XT_MAX_RULES)
        return -LX_ENOMEM;
    u8 *b = malloc(h->size ? h->size : 1);
    if (!b)
        return -LX_ENOMEM;
    int r = optval_read_at(val, sizeof(*h), b, h->size);
    if (r == 0)
        r = xt_load(&s, b, ret);
    free(b);
    if (r == 0 && !net_mem_charge(cost(*ret))) {
        xt_free(*ret);
        r = -LX_ENOMEM;
    }
    return r;
}

static int replace(struct net_ns *ns, const struct optval *val)
{
    struct ipt_ns *n = ns->ipt_ns;
    struct lx_ipt_replace h;
    struct xt_table *t;
    int r = optval_read(val, &h, sizeof(h));
    if (r == 0)
        r = read_table(&h, val, &t);
    if (r < 0)
        return r;
    r = find(n, h.name);
    if (r == 0 && h.valid_hooks != FILTER_HOOKS)
        r = -LX_EINVAL;
    struct lx_xt_counters *c = r == 0 ? calloc(h.ncounters, sizeof(*c)) : NULL;
    if (r == 0 && !c)
        r = -LX_ENOMEM;
    if (r == 0) {
        rwlock_wrlock(&n->lock);
        if (xt_shape_of(n->filter)->nrules == h.ncounters) {
            struct xt_table *old = n->filter;
            n->filter = t;
            t = old;
            atomic_store(&ns->nf_hooks, xt_active_hooks(n->filter));
            xt_counters(old, c);
        } else {
            r = -LX_EAGAIN; /* somebody else was faster */
        }
        rwlock_wrunlock(&n->lock);
    }
    if (r == 0) /* the table is replaced whether its caller can read the old counters or not */
        (void)!copy_out(uaddr(h.counters), c, h.ncounters * sizeof(*c));
    free(c);
    drop(t);
    return r;
}

static int add_counters(struct ipt_ns *n, const struct optval *val)
{
    struct lx_xt_counters_info h;
    int r = optval_read(val, &h, sizeof(h));
    if (r < 0)
        return r;
    if (h.count > XT_MAX_RULES || val->len != sizeof(h) + h.count * sizeof(struct lx_xt_counters))
        return -LX_EINVAL;
    r = find(n, h.name);
    if (r < 0)
        return r;
    struct lx_xt_counters *c = calloc(h.count + 1, sizeof(*c));
    if (!c)
        return -LX_ENOMEM;
    r = optval_read_at(val, sizeof(h), c, h.count * (u32)sizeof(*c));
    if (r == 0) {
        rwlock_rdlock(&n->lock);
        if (xt_shape_of(n->filter)->nrules == h.count)
            xt_add_counters(n->filter, c, h.count);
        else
            r = -LX_EINVAL;
        rwlock_rdunlock(&n->lock);
    }
    free(c);
    return r;
}

int ipt_setsockopt(struct sock *sk, s32 name, const struct optval *val)
{
    if (!net_capable(sk->ns, LX_CAP_NET_ADMIN))
        return -LX_EPERM;
    switch (name) {
    case IPT_SO_REPLACE:
        return replace(sk->ns, val);
    case IPT_SO_ADD_COUNTERS:
        return add_counters(sk->ns->ipt_ns, val);
    default:
        return -LX_ENOPROTOOPT;
    }
}
