/* Packets and the rule sets of their namespace; see hook.h. */
#include "net/filter/hook.h"

#include "net/filter/iptables.h"

#define LO "lo"

/* Codes of "destination unreachable" for ipt_reject_with; 4 and 7 are no such thing. */
static u8 reject_code(u32 with)
{
    static const u8 codes[] = {0, 1, 2, 3, NF_SILENT, 9, 10, NF_SILENT, 13};
    return with < ARRAY_SIZE(codes) ? codes[with] : NF_SILENT;
}

struct nf_fate nf_judge(struct net_ns *ns, enum xt_hook hook, struct xt_packet *p)
{
    struct nf_fate f = {.code = NF_SILENT};
    u32 with = 0;
    enum xt_verdict v = ipt_run(ns->ipt_ns, hook, p, &with);
    f.is_lost = v != XT_ACCEPT;
    f.is_out = f.is_lost && hook == XT_OUTPUT;
    if (v == XT_REJECT) {
        f.is_reset = with == XT_REJECT_TCP_RESET;
        f.code = reject_code(with);
    }
    return f;
}

struct nf_fate nf_loopback(struct net_ns *ns, const struct dgram_cb *cb, u8 protocol, const u8 *l4,
                           u32 l4_len, u32 size)
{
    bool is_v6 = !ipaddr_is_v4(&cb->daddr);
    struct nf_fate f = {.code = NF_SILENT};
    struct xt_packet p = {.src = cb->saddr,
                          .dst = cb->daddr,
                          .protocol = protocol,
                          .tos = cb->tos,
                          .ttl = cb->ttl,
                          .is_v6 = is_v6,
                          .in = "",
                          .out = LO,
                          .l4 = l4,
                          .l4_len = l4_len,
                          .size = (is_v6 ? 40 : 20) + l4_len + size};
    if (is_v6)
        return f;
    if (nf_is_on(ns, NF_OUT))
        f = nf_judge(ns, XT_OUTPUT, &p);
    if (f.is_lost || !nf_is_on(ns, NF_IN))
        return f;
    p.in = LO;
    p.out = "";
    return nf_judge(ns, XT_INPUT, &p);
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
