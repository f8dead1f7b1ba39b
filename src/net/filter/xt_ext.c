/* Matches: tcp, udp, icmp, comment; and what a REJECT may say. */
#include "net/filter/xt_ext.h"

#include <string.h>

#define TCP_INV_SRC   1U
#define TCP_INV_DST   2U
#define TCP_INV_FLAGS 4U
#define TCP_INV_OPT   8U
#define TCP_INV_MASK  15U
#define UDP_INV_MASK  3U
#define ICMP_INV      1U
#define ICMP_ANY      0xffU

#define PROTO_ICMP 1
#define PROTO_TCP  6
#define PROTO_UDP  17

#define REJECT_ECHOREPLY 4
#define REJECT_LAST      8 /* ICMP_ADMIN_PROHIBITED */

static u16 be16(const u8 *p)
{
    return (u16)(p[0] << 8 | p[1]);
}

static bool is_in(const u16 range[2], u16 port, bool is_inverted)
{
    return (port >= range[0] && port <= range[1]) != is_inverted;
}

/* Later pieces have no ports; a piece at byte 8 would overwrite the flags and is dropped. */
static enum xt_answer has_ports(const struct xt_packet *p, u32 need)
{
    if (p->frag_off)
        return p->protocol == PROTO_TCP && p->frag_off == 8 ? XT_HOTDROP : XT_NO;
    return p->l4_len < need ? XT_HOTDROP : XT_YES;
}

static bool has_option(const struct xt_packet *p, u8 option, bool is_inverted, bool *ret_is_bad)
{
    u32 end = (p->l4[12] >> 4) * 4U;
    *ret_is_bad = end > p->l4_len;
    for (u32 at = 20; at < end && !*ret_is_bad;) {
        if (p->l4[at] == option)
            return !is_inverted;
        if (p->l4[at] < 2)
            at++;
        else if (at + 1 < end)
            at += p->l4[at + 1] ? p->l4[at + 1] : 1;
        else
            break;
    }
    return is_inverted;
}

static bool tcp_check(const u8 *data)
{
    struct lx_xt_tcp m;
    memcpy(&m, data, sizeof(m));
    return !(m.invflags & ~TCP_INV_MASK);
}

static enum xt_answer tcp_run(const u8 *data, const struct xt_packet *p)
{
    struct lx_xt_tcp m;
    memcpy(&m, data, sizeof(m));
    enum xt_answer a = has_ports(p, 20);
    if (a != XT_YES)
        return a;
    if (!is_in(m.spts, be16(p->l4), m.invflags & TCP_INV_SRC) ||
        !is_in(m.dpts, be16(p->l4 + 2), m.invflags & TCP_INV_DST))
        return XT_NO;
    if (((p->l4[13] & m.flg_mask) == m.flg_cmp) == !!(m.invflags & TCP_INV_FLAGS))
        return XT_NO;
    if (!m.option)
        return XT_YES;
    if ((p->l4[12] >> 4) * 4U < 20)
        return XT_HOTDROP;
    bool is_bad, is_there = has_option(p, m.option, m.invflags & TCP_INV_OPT, &is_bad);
    return is_bad ? XT_HOTDROP : is_there ? XT_YES : XT_NO;
}

static bool udp_check(const u8 *data)
{
    struct lx_xt_udp m;
    memcpy(&m, data, sizeof(m));
    return !(m.invflags & ~UDP_INV_MASK);
}

static enum xt_answer udp_run(const u8 *data, const struct xt_packet *p)
{
    struct lx_xt_udp m;
    memcpy(&m, data, sizeof(m));
    enum xt_answer a = has_ports(p, 8);
    if (a != XT_YES)
        return a;
    return is_in(m.spts, be16(p->l4), m.invflags & TCP_INV_SRC) &&
                   is_in(m.dpts, be16(p->l4 + 2), m.invflags & TCP_INV_DST)
               ? XT_YES
               : XT_NO;
}

static bool icmp_check(const u8 *data)
{
    return !(data[3] & ~ICMP_INV);
}

static enum xt_answer icmp_run(const u8 *data, const struct xt_packet *p)
{
    struct lx_ipt_icmp m;
    memcpy(&m, data, sizeof(m));
    if (p->frag_off)
        return XT_NO;
    if (p->l4_len < 8)
        return XT_HOTDROP;
    bool is_match = m.type == ICMP_ANY ||
                    (p->l4[0] == m.type && p->l4[1] >= m.code[0] && p->l4[1] <= m.code[1]);
    return is_match != !!(m.invflags & ICMP_INV) ? XT_YES : XT_NO;
}

static bool comment_check(const u8 *data)
{
    (void)data; /* text, for people */
    return true;
}

static enum xt_answer comment_run(const u8 *data, const struct xt_packet *p)
{
    (void)data;
    (void)p;
    return XT_YES;
}

static const struct xt_match matches[] = {
    {"tcp", sizeof(struct lx_xt_tcp), PROTO_TCP, tcp_check, tcp_run},
    {"udp", sizeof(struct lx_xt_udp), PROTO_UDP, udp_check, udp_run},
    {"icmp", sizeof(struct lx_ipt_icmp), PROTO_ICMP, icmp_check, icmp_run},
    {"comment", 256, 0, comment_check, comment_run},
};

int xt_match_find(const struct lx_xt_ext *e, const u8 *data, const struct lx_ipt_ip *ip,
                  const struct xt_match **ret)
{
    for (size_t i = 0; i < ARRAY_SIZE(matches); i++) {
        const struct xt_match *m = &matches[i];
        if (strncmp(e->name, m->name, sizeof(e->name)) || e->revision)
            continue;
        if (e->size != sizeof(*e) + XT_ALIGN(m->size))
            return -LX_EINVAL;
        if (m->protocol && (ip->proto != m->protocol || ip->invflags & XT_INV_PROTO))
            return -LX_EINVAL;
        if (!m->check(data))
            return -LX_EINVAL;
        *ret = m;
        return 0;
    }
    return -LX_ENOENT;
}

bool xt_reject_check(u32 size, const u8 *data, const struct lx_ipt_ip *ip, u32 hooks)
{
    u32 with;
    if (size != XT_ALIGN(sizeof(with)))
        return false;
    memcpy(&with, data, sizeof(with));
    if (hooks & ~(1U << XT_INPUT | 1U << XT_FORWARD | 1U << XT_OUTPUT))
        return false;
    if (with == REJECT_ECHOREPLY || with > REJECT_LAST)
        return false;
    return with != XT_REJECT_TCP_RESET ||
           (ip->proto == PROTO_TCP && !(ip->invflags & XT_INV_PROTO));
}

int xt_match_revision(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(matches); i++) {
        if (!strcmp(name, matches[i].name))
            return 0;
    }
    return -1;
}

int xt_target_revision(const char *name)
{
    return !*name || !strcmp(name, "ERROR") || !strcmp(name, XT_TARGET_REJECT) ? 0 : -1;
}
