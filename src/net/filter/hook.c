/* Packets and the rule sets of their namespace; see hook.h. */
#include "net/filter/hook.h"

#include "kern/task.h"
#include "net/filter/ct.h"
#include "net/filter/iptables.h"
#include "net/nft/run.h"
#include "net/stack/stack.h"

static bool is_tracking(const struct net_ns *ns, const struct xt_packet *p)
{
    u32 bit = p->is_v6 ? NF_TRACK << NF_FAMILY_SHIFT : NF_TRACK;
    return atomic_load_explicit(&ns->nf_hooks, memory_order_relaxed) & bit;
}

/* The first of both kinds' chains that decides has decided. */
static enum xt_verdict run_nat(struct net_ns *ns, struct xt_packet *p, enum ct_manip m)
{
    enum xt_verdict v = XT_ACCEPT;
    s64 at = m == CT_SOURCE ? NFT_PRIO_SNAT : NFT_PRIO_DNAT;
    if (ct_nat_begin(p, m)) {
        v = nft_run_nat(ns->nft_ns, p, INT64_MIN, at);
        if (v == XT_ACCEPT && !ct_nat_is_set(p, m))
            v = ipt_run(ns->ipt_ns, XT_NAT, p);
        if (v == XT_ACCEPT && !ct_nat_is_set(p, m))
            v = nft_run_nat(ns->nft_ns, p, at, INT64_MAX);
    }
    if (v == XT_ACCEPT)
        (void)ct_translate(p, m);
    return v;
}

static enum xt_verdict step_ct(struct net_ns *ns, struct xt_packet *p, bool is_tracked)
{
    if (is_tracked)
        ct_track(ns->ct_ns, p);
    return XT_ACCEPT;
}

static enum xt_verdict step_nat(struct net_ns *ns, struct xt_packet *p, bool is_tracked)
{
    bool is_dst = p->hook == XT_PREROUTING || p->hook == XT_OUTPUT;
    return is_tracked ? run_nat(ns, p, is_dst ? CT_DESTINATION : CT_SOURCE) : XT_ACCEPT;
}

static enum xt_verdict step_raw(struct net_ns *ns, struct xt_packet *p, bool is_tracked)
{
    (void)is_tracked;
    return ipt_run(ns->ipt_ns, XT_RAW, p);
}

static enum xt_verdict step_mangle(struct net_ns *ns, struct xt_packet *p, bool is_tracked)
{
    (void)is_tracked;
    return ipt_run(ns->ipt_ns, XT_MANGLE, p);
}

static enum xt_verdict step_filter(struct net_ns *ns, struct xt_packet *p, bool is_tracked)
{
    (void)is_tracked;
    return ipt_run(ns->ipt_ns, XT_FILTER, p);
}

static enum xt_verdict step_confirm(struct net_ns *ns, struct xt_packet *p, bool is_tracked)
{
    return !is_tracked || ct_confirm(ns->ct_ns, p) ? XT_ACCEPT : XT_DROP;
}

#define FIRST (XT_BIT(XT_PREROUTING) | XT_BIT(XT_OUTPUT))
#define LAST  (XT_BIT(XT_INPUT) | XT_BIT(XT_POSTROUTING))

/*
 * In the order of priorities. Chains of nf_tables with a step's own priority run before it, as if
 * they had been made later, but tracking goes before them.
 */
static const struct {
    s64 priority;
    u32 hooks;
    enum xt_verdict (*run)(struct net_ns *ns, struct xt_packet *p, bool is_tracked);
} steps[] = {
    {NFT_PRIO_RAW, FIRST, step_raw},         {NFT_PRIO_CT - 1, FIRST, step_ct},
    {NFT_PRIO_MANGLE, NF_ALL, step_mangle},  {NFT_PRIO_DNAT, FIRST, step_nat},
    {NFT_PRIO_FILTER, NF_ALL, step_filter},  {NFT_PRIO_SNAT, LAST, step_nat},
    {INT64_MAX, LAST, step_confirm},
};

static enum xt_verdict ask(struct net_ns *ns, struct xt_packet *p)
{
    bool is_tracked = is_tracking(ns, p);
    enum xt_verdict v = XT_ACCEPT;
    s64 from = INT64_MIN;
    for (u32 i = 0; i < ARRAY_SIZE(steps) && v == XT_ACCEPT; i++) {
        v = nft_run(ns->nft_ns, p, from, steps[i].priority);
        if (v == XT_ACCEPT && steps[i].hooks >> p->hook & 1)
            v = steps[i].run(ns, p, is_tracked);
        from = steps[i].priority;
    }
    return v;
}

void nf_publish(struct net_ns *ns)
{
    u32 all;
    do { /* again, if the other has changed meanwhile */
        all = ipt_hooks(ns->ipt_ns) | nft_hooks(ns->nft_ns);
        atomic_store(&ns->nf_hooks, all);
    } while (all != (ipt_hooks(ns->ipt_ns) | nft_hooks(ns->nft_ns)));
}

struct nf_fate nf_judge(struct net_ns *ns, enum xt_hook hook, struct xt_packet *p)
{
    struct nf_fate f = {.code = NF_SILENT};
    p->ns = ns;
    p->hook = hook;
    enum xt_verdict v = ask(ns, p);
    f.is_lost = v != XT_ACCEPT;
    f.is_out = f.is_lost && (hook == XT_OUTPUT || hook == XT_POSTROUTING);
    if (v == XT_REJECT) {
        f.is_reset = p->is_reset;
        f.code = p->code;
    }
    return f;
}

void nf_done(struct xt_packet *p)
{
    ct_release(&p->i);
}

void nf_release(struct xt_info *i)
{
    ct_release(i);
}

void nf_set_owner(struct xt_packet *p, const struct sock *sk)
{
    if (!sk)
        return;
    const struct user_ns *uns = sk->ns->user_ns;
    p->has_owner = true;
    p->uid = from_kuid((struct user_ns *)(uintptr_t)uns, sk->uid);
    p->gid = from_kgid((struct user_ns *)(uintptr_t)uns, sk->gid);
    p->i.mark = sk->mark;
}

static struct xt_packet packet_of(const struct dgram_cb *cb, u8 protocol, u8 *l4, u32 l4_len,
                                  u32 size)
{
    bool is_v6 = !ipaddr_is_v4(&cb->daddr);
    struct xt_packet p = {.src = cb->saddr,
                          .dst = cb->daddr,
                          .protocol = protocol,
                          .tos = cb->tos,
                          .ttl = cb->ttl,
                          .is_v6 = is_v6,
                          .in = "",
                          .out = "",
                          .l4 = l4,
                          .l4_len = l4_len,
                          .size = (is_v6 ? IP6_HLEN : IP4_HLEN) + l4_len + size};
    if (is_v6)
        p.masq.b[15] = 1;
    else
        p.masq = ipaddr_v4(net32(LX_INADDR_LOOPBACK));
    return p;
}

/* The interface that a packet is routed to before NAT, which may bring it home. path: room for it.
 */
static const char *out_name(struct net_ns *ns, const struct dgram_cb *cb, struct stk_path *path)
{
    ipaddr src = cb->saddr;
    if (!inet_is_remote(ns, &cb->daddr, 0) || stk_route(ns->stack, &cb->daddr, 0, &src, path) < 0)
        return stk_lo(ns->stack)->name;
    return path->ifc->name;
}

/* Has NAT sent a packet of the loopback elsewhere? It is lost: Linux would refuse its source there.
 */
static bool is_astray(struct net_ns *ns, const ipaddr *dst)
{
    return !ipaddr_is_local(ns, dst) && !ipaddr_is_multicast(dst) && !ipaddr_is_broadcast(dst);
}

struct nf_fate nf_loopback(struct net_ns *ns, const struct sock *from, struct dgram_cb *cb,
                           u8 protocol, u8 *l4, u32 l4_len, u32 size, enum nf_why why)
{
    static const enum xt_hook way[] = {XT_OUTPUT, XT_POSTROUTING, XT_PREROUTING, XT_INPUT};
    struct stk_path path = {0};
    const char *lo = stk_lo(ns->stack)->name;
    struct nf_fate f = {.code = NF_SILENT};
    struct xt_packet p = packet_of(cb, protocol, l4, l4_len, size);
    nf_set_owner(&p, from);
    p.i.state = why == NF_ANSWER ? CT_RELATED : CT_NONE;
    for (u32 i = 0; i < ARRAY_SIZE(way) && !f.is_lost; i++) {
        p.in = i < 2 ? "" : lo;
        p.out = i == 0 ? out_name(ns, cb, &path) : i == 1 ? lo : "";
        if (nf_is_on(ns, XT_BIT(way[i])))
            f = nf_judge(ns, way[i], &p);
        if (i == 0)
            f.is_lost |= is_astray(ns, &p.dst);
        if (i == 1) /* who sent it is not known where it comes in; what it is marked with is */
            p.has_owner = false;
    }
    if (!f.is_lost) {
        cb->saddr = p.src;
        cb->daddr = p.dst;
        if ((protocol == PROTO_TCP || protocol == PROTO_UDP) && l4_len >= 4) {
            cb->sport = rd16(l4);
            cb->dport = rd16(l4 + 2);
        }
    }
    nf_done(&p);
    return f;
}

bool nf_turns_home(struct net_ns *ns, const struct sock *from, const struct dgram_cb *cb,
                   u8 protocol)
{
    struct stk_path path = {0};
    u8 l4[TCP_HLEN] = {[12] = 5 << 4, [13] = 2}; /* a SYN, of TCP */
    wr16(l4, cb->sport);
    wr16(l4 + 2, cb->dport);
    struct xt_packet p =
        packet_of(cb, protocol, l4, protocol == PROTO_TCP ? TCP_HLEN : UDP_HLEN, 0);
    nf_set_owner(&p, from);
    p.i.is_dry = true;
    p.out = out_name(ns, cb, &path);
    struct nf_fate f = nf_judge(ns, XT_OUTPUT, &p);
    nf_done(&p);
    return !f.is_lost && ipaddr_is_local(ns, &p.dst);
}

/* As Linux's icmp_err_convert has them. */
int nf_errno(bool is_v6, u8 code, bool *ret_is_hard)
{
    static const struct {
        u8 err;
        bool is_hard;
    } v4[] =
        {
            {LX_ENETUNREACH, false},  {LX_EHOSTUNREACH, false}, {LX_ENOPROTOOPT, true},
            {LX_ECONNREFUSED, true},  {LX_EMSGSIZE, false},     {LX_EOPNOTSUPP, false},
            {LX_ENETUNREACH, true},   {LX_EHOSTDOWN, true},     {LX_ENONET, true},
            {LX_ENETUNREACH, true},   {LX_EHOSTUNREACH, true},  {LX_ENETUNREACH, false},
            {LX_EHOSTUNREACH, false}, {LX_EHOSTUNREACH, true},  {LX_EHOSTUNREACH, true},
            {LX_EHOSTUNREACH, true},
        },
      v6[] = {
          {LX_ENETUNREACH, false},  {LX_EACCES, true},       {LX_EHOSTUNREACH, false},
          {LX_EHOSTUNREACH, false}, {LX_ECONNREFUSED, true}, {LX_EACCES, true},
          {LX_EACCES, true},
      };
    if (code >= (is_v6 ? ARRAY_SIZE(v6) : ARRAY_SIZE(v4))) {
        *ret_is_hard = false;
        return is_v6 ? LX_EPROTO : LX_EHOSTUNREACH;
    }
    *ret_is_hard = is_v6 ? v6[code].is_hard : v4[code].is_hard;
    return is_v6 ? v6[code].err : v4[code].err;
}
