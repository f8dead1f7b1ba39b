/* xt_ext: matches and targets. Checked when a table is loaded, so that running them needs no check.
 */
#ifndef NET_FILTER_XT_EXT_H
#define NET_FILTER_XT_EXT_H

#include "net/filter/xt.h"

#define XT_ALIGN(n)      (((n) + 7U) & ~7U)
#define XT_INV_PROTO     0x40U
#define XT_TARGET_REJECT "REJECT"

enum xt_answer { XT_NO, XT_YES, XT_HOTDROP };

struct xt_match {
    const char *name;
    u32 size;    /* of its data */
    u8 protocol; /* the rule's; 0: any */
    bool (*check)(const u8 *data);
    enum xt_answer (*run)(const u8 *data, const struct xt_packet *p);
};

/* The match that e asks for in a rule of this head. -LX_ENOENT, -LX_EINVAL. */
int xt_match_find(const struct lx_xt_ext *e, const u8 *data, const struct lx_ipt_ip *ip,
                  const struct xt_match **ret) must_check;
/* A REJECT's data in a table of these hooks. */
bool xt_reject_check(u32 size, const u8 *data, const struct lx_ipt_ip *ip, u32 hooks);

#endif
