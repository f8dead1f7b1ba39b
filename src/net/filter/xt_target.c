/* Targets besides verdicts and jumps. */
#include <string.h>

#include "net/filter/ct.h"
#include "net/filter/hook.h"
#include "net/filter/xt_ext.h"
#include "net/inet/inet.h"
#include "net/stack/wirefmt.h"

#define IN_RAW    (1U << XT_RAW)
#define IN_NAT    (1U << XT_NAT)
#define IN_FILTER (1U << XT_FILTER)

/* ---- REJECT, LOG --------------------------------------------------------------------------- */

#define REJECT4_ECHOREPLY 4
#define REJECT4_RESET     7
#define REJECT4_LAST      8
#define REJECT6_ECHOREPLY 5
#define REJECT6_RESET     6
#define REJECT6_LAST      8

static bool reject_check(const u8 *data, const struct xt_place *at)
{
    u32 with;
    bool is_v4 = at->family == XT_V4;
    memcpy(&with, data, sizeof(with));
    if (with == (is_v4 ? REJECT4_ECHOREPLY : REJECT6_ECHOREPLY) ||
        with > (is_v4 ? REJECT4_LAST : REJECT6_LAST))
        return false;
    return with != (is_v4 ? REJECT4_RESET : REJECT6_RESET) || at->protocol == PROTO_TCP;
}

static enum xt_verdict reject_run(const u8 *data, struct xt_packet *p)
{
    static const u8 codes4[] = {0, 1, 2, 3, NF_SILENT, 9, 10, NF_SILENT, 13};
    static const u8 codes6[] = {0, 1, 2, 3, 4, NF_SILENT, NF_SILENT, 5, 6};
    u32 with;
    memcpy(&with, data, sizeof(with));
    p->is_reset = with == (p->is_v6 ? REJECT6_RESET : REJECT4_RESET);
    p->code = p->is_v6 ? codes6[with] : codes4[with];
    return XT_REJECT;
}

struct lx_xt_log {
    u8 level, flags;
    char prefix[30];
};

static bool log_check(const u8 *data, const struct xt_place *at)
{
    struct lx_xt_log m;
    (void)at;
    memcpy(&m, data, sizeof(m));
    return m.level < 8 && !m.prefix[sizeof(m.prefix) - 1];
}

/* As on Linux in a namespace that is not the first (net.netfilter.nf_log_all_netns is 0): nothing
 * is written. */
static enum xt_verdict log_run(const u8 *data, struct xt_packet *p)
{
    (void)data;
    (void)p;
    return XT_CONTINUE;
}

/* ---- MARK, CONNMARK, NOTRACK --------------------------------------------------------------- */

struct lx_xt_mark_tg {
    u32 mark, mask;
};

static enum xt_verdict mark_run(const u8 *data, struct xt_packet *p)
{
    struct lx_xt_mark_tg m;
    memcpy(&m, data, sizeof(m));
    p->i.mark = (p->i.mark & ~m.mask) ^ m.mark;
    return XT_CONTINUE;
}

struct lx_xt_connmark_tg {
    u32 ctmark, ctmask, nfmask;
    u8 mode; /* set, save, restore */
};

static bool connmark_check(const u8 *data, const struct xt_place *at)
{
    (void)at;
    return data[offsetof(struct lx_xt_connmark_tg, mode)] <= 2;
}

static enum xt_verdict connmark_run(const u8 *data, struct xt_packet *p)
{
    struct lx_xt_connmark_tg m;
    memcpy(&m, data, sizeof(m));
    u32 mark = ct_mark(p);
    if (!p->i.ct)
        return XT_CONTINUE;
    if (m.mode == 0)
        ct_set_mark(p, (mark & ~m.ctmask) ^ m.ctmark);
    else if (m.mode == 1)
        ct_set_mark(p, (mark & ~m.ctmask) ^ (p->i.mark & m.nfmask));
    else
        p->i.mark = (p->i.mark & ~m.nfmask) ^ (mark & m.ctmask);
    return XT_CONTINUE;
}

static enum xt_verdict notrack_run(const u8 *data, struct xt_packet *p)
{
    (void)data;
    if (!p->i.ct && p->i.state == CT_NONE)
        p->i.state = CT_UNTRACKED;
    return XT_CONTINUE;
}

/* CT: of what it can say, "do not track" alone is here. */
struct lx_xt_ct {
    u16 flags, zone;
    u32 ct_events, exp_events;
    char helper[16], timeout[32];
    u64 ct;
};
_Static_assert(sizeof(struct lx_xt_ct) == 72, "xt_ct_target_info_v1");

struct lx_xt_ct0 {
    u16 flags, zone;
    u32 ct_events, exp_events;
    char helper[16];
    u64 ct;
};
_Static_assert(sizeof(struct lx_xt_ct0) == 40, "xt_ct_target_info");

static bool ct0_check(const u8 *data, const struct xt_place *at)
{
    struct lx_xt_ct0 m;
    (void)at;
    memcpy(&m, data, sizeof(m));
    return m.flags == 1 && !m.zone && !m.ct_events && !m.exp_events && !m.helper[0];
}

static bool ct_check(const u8 *data, const struct xt_place *at)
{
    struct lx_xt_ct m;
    (void)at;
    memcpy(&m, data, sizeof(m));
    return m.flags == 1 && !m.zone && !m.ct_events && !m.exp_events && !m.helper[0] &&
           !m.timeout[0];
}

/* ---- NAT ----------------------------------------------------------------------------------- */

#define RANGE_ADDR 1U
#define RANGE_PORT 2U
#define RANGE_FLAGS                                                                                \
    0x7fU /* random, persistent, fully random, offset, netmap: the first three are taken as they   \
             are */
#define RANGE_REFUSED 0x60U
#define HOOKS_DST     (XT_BIT(XT_PREROUTING) | XT_BIT(XT_OUTPUT))
#define HOOKS_SRC     (XT_BIT(XT_POSTROUTING) | XT_BIT(XT_INPUT))

struct lx_nat_range4 {
    u32 count, flags;
    u32 min, max; /* network order */
    u16 port_min, port_max;
};
_Static_assert(sizeof(struct lx_nat_range4) == 20, "nf_nat_ipv4_multi_range_compat");
struct lx_nat_range {
    u32 flags;
    u8 min[16], max[16]; /* of IPv4, the first word */
    u16 port_min, port_max;
};
_Static_assert(sizeof(struct lx_nat_range) == 40, "nf_nat_range");
#define NAT_RANGE2_SIZE 44U /* and the port that an offset counts from, which is refused */

static struct ct_range range4(const u8 *data)
{
    struct lx_nat_range4 m;
    memcpy(&m, data, sizeof(m));
    return (struct ct_range){.has_addr = m.flags & RANGE_ADDR,
                             .has_port = m.flags & RANGE_PORT,
                             .min = ipaddr_v4(m.min),
                             .max = ipaddr_v4(m.max),
                             .port_min = net16(m.port_min),
                             .port_max = net16(m.port_max)};
}

static ipaddr addr_of(const u8 addr[16], bool is_v6)
{
    u32 v4;
    ipaddr a;
    memcpy(&v4, addr, sizeof(v4));
    memcpy(a.b, addr, sizeof(a.b));
    return is_v6 ? a : ipaddr_v4(v4);
}

static struct ct_range range(const u8 *data, bool is_v6)
{
    struct lx_nat_range m;
    memcpy(&m, data, sizeof(m));
    return (struct ct_range){.has_addr = m.flags & RANGE_ADDR,
                             .has_port = m.flags & RANGE_PORT,
                             .min = addr_of(m.min, is_v6),
                             .max = addr_of(m.max, is_v6),
                             .port_min = net16(m.port_min),
                             .port_max = net16(m.port_max)};
}

static bool is_range(u32 flags, const struct ct_range *r)
{
    return !(flags & ~RANGE_FLAGS) && !(flags & RANGE_REFUSED) &&
           (!r->has_port || r->port_min <= r->port_max);
}

static bool range4_check(const u8 *data, const struct xt_place *at)
{
    struct lx_nat_range4 m;
    (void)at;
    memcpy(&m, data, sizeof(m));
    struct ct_range r = range4(data);
    return m.count == 1 && is_range(m.flags, &r);
}

static bool range_check(const u8 *data, const struct xt_place *at)
{
    u32 flags;
    memcpy(&flags, data, sizeof(flags));
    struct ct_range r = range(data, at->family == XT_V6);
    return is_range(flags, &r);
}

static enum xt_verdict nat(struct xt_packet *p, enum ct_manip m, const struct ct_range *r)
{
    return ct_nat(p->ns->ct_ns, p, m, r) ? XT_ACCEPT : XT_DROP;
}

static enum xt_verdict dnat4_run(const u8 *data, struct xt_packet *p)
{
    struct ct_range r = range4(data);
    return nat(p, CT_DESTINATION, &r);
}

static enum xt_verdict dnat_run(const u8 *data, struct xt_packet *p)
{
    struct ct_range r = range(data, p->is_v6);
    return nat(p, CT_DESTINATION, &r);
}

static enum xt_verdict snat4_run(const u8 *data, struct xt_packet *p)
{
    struct ct_range r = range4(data);
    return nat(p, CT_SOURCE, &r);
}

static enum xt_verdict snat_run(const u8 *data, struct xt_packet *p)
{
    struct ct_range r = range(data, p->is_v6);
    return nat(p, CT_SOURCE, &r);
}

/* To this host: of OUTPUT to the loopback, else to the interface that it came by. */
static enum xt_verdict redirect_run(const u8 *data, struct xt_packet *p)
{
    struct ct_range r = p->is_v6 ? range(data, true) : range4(data);
    struct lx_in6_addr lo6 = {.b = {[15] = 1}};
    r.has_addr = true;
    if (p->hook == XT_OUTPUT)
        r.min = p->is_v6 ? lo6 : ipaddr_v4(net32(LX_INADDR_LOOPBACK));
    else
        r.min = p->masq;
    r.max = r.min;
    return ipaddr_is_any(&r.min) ? XT_DROP : nat(p, CT_DESTINATION, &r);
}

static enum xt_verdict masquerade_run(const u8 *data, struct xt_packet *p)
{
    struct ct_range r = p->is_v6 ? range(data, true) : range4(data);
    r.has_addr = true;
    r.min = r.max = p->masq;
    return ipaddr_is_any(&r.min) ? XT_DROP : nat(p, CT_SOURCE, &r);
}

const struct xt_target xt_targets[] = {
    {"REJECT", XT_IN_BOTH, 0, IN_FILTER, XT_BIT(XT_INPUT) | XT_BIT(XT_FORWARD) | XT_BIT(XT_OUTPUT),
     4, false, reject_check, reject_run},
    {"LOG", XT_IN_BOTH, 0, 0, 0, sizeof(struct lx_xt_log), false, log_check, log_run},
    {"MARK", XT_IN_BOTH, 2, 0, 0, sizeof(struct lx_xt_mark_tg), false, NULL, mark_run},
    {"CONNMARK", XT_IN_BOTH, 1, 0, 0, sizeof(struct lx_xt_connmark_tg), true, connmark_check,
     connmark_run},
    {"NOTRACK", XT_IN_BOTH, 0, IN_RAW, 0, 0, false, NULL, notrack_run},
    {"CT", XT_IN_BOTH, 0, IN_RAW, 0, sizeof(struct lx_xt_ct0), false, ct0_check, notrack_run},
    {"CT", XT_IN_BOTH, 1, IN_RAW, 0, sizeof(struct lx_xt_ct), false, ct_check, notrack_run},
    {"CT", XT_IN_BOTH, 2, IN_RAW, 0, sizeof(struct lx_xt_ct), false, ct_check, notrack_run},
    {"DNAT", XT_IN_V4, 0, IN_NAT, HOOKS_DST, sizeof(struct lx_nat_range4), true, range4_check,
     dnat4_run},
    {"DNAT", XT_IN_BOTH, 1, IN_NAT, HOOKS_DST, sizeof(struct lx_nat_range), true, range_check,
     dnat_run},
    {"DNAT", XT_IN_BOTH, 2, IN_NAT, HOOKS_DST, NAT_RANGE2_SIZE, true, range_check, dnat_run},
    {"SNAT", XT_IN_V4, 0, IN_NAT, HOOKS_SRC, sizeof(struct lx_nat_range4), true, range4_check,
     snat4_run},
    {"SNAT", XT_IN_BOTH, 1, IN_NAT, HOOKS_SRC, sizeof(struct lx_nat_range), true, range_check,
     snat_run},
    {"SNAT", XT_IN_BOTH, 2, IN_NAT, HOOKS_SRC, NAT_RANGE2_SIZE, true, range_check, snat_run},
    {"REDIRECT", XT_IN_V4, 0, IN_NAT, HOOKS_DST, sizeof(struct lx_nat_range4), true, range4_check,
     redirect_run},
    {"REDIRECT", XT_IN_V6, 0, IN_NAT, HOOKS_DST, sizeof(struct lx_nat_range), true, range_check,
     redirect_run},
    {"MASQUERADE", XT_IN_V4, 0, IN_NAT, XT_BIT(XT_POSTROUTING), sizeof(struct lx_nat_range4), true,
     range4_check, masquerade_run},
    {"MASQUERADE", XT_IN_V6, 0, IN_NAT, XT_BIT(XT_POSTROUTING), sizeof(struct lx_nat_range), true,
     range_check, masquerade_run},
};
const u32 xt_ntargets = ARRAY_SIZE(xt_targets);
