/*
 * xt_ext: matches and targets. Their data is checked when a table is loaded, so that running them
 * needs no check. What is shared with the user is the beginning of the kernel's structs, in the
 * ABI's form.
 */
#ifndef NET_FILTER_XT_EXT_H
#define NET_FILTER_XT_EXT_H

#include "net/filter/xt.h"

#define XT_ALIGN(n) (((n) + 7U) & ~7U)

enum xt_answer { XT_NO, XT_YES, XT_HOTDROP };

/* Where a match or target is used. */
struct xt_place {
    enum xt_family family;
    enum xt_table_id table;
    u32 hooks;    /* from which the rule can be reached */
    u16 protocol; /* that the rule names; 0: any, or all but one */
};

#define XT_IN_V4   1U
#define XT_IN_V6   2U
#define XT_IN_BOTH 3U

struct xt_match {
    const char *name;
    u8 families, revision;
    u8 protocol; /* the rule's; 0: any */
    u16 size;    /* of its data */
    bool is_tracking;
    bool (*check)(const u8 *data, const struct xt_place *at); /* NULL: any data will do */
    /* state: two words of this use's own, 0 at first. */
    enum xt_answer (*run)(const u8 *data, _Atomic u64 *state, const struct xt_packet *p);
};

struct xt_target {
    const char *name;
    u8 families, revision;
    u8 tables; /* a bit for each enum xt_table_id; 0: any */
    u8 hooks;  /* 0: any */
    u16 size;
    bool is_tracking;
    bool (*check)(const u8 *data, const struct xt_place *at);
    enum xt_verdict (*run)(const u8 *data, struct xt_packet *p);
};

extern const struct xt_match xt_matches[];
extern const u32 xt_nmatches;
extern const struct xt_target xt_targets[];
extern const u32 xt_ntargets;

static inline u16 xt_be16(const u8 *p)
{
    return (u16)(p[0] << 8 | p[1]);
}

/* (a ^ b) & mask: are they one? */
bool xt_addr_match(const struct lx_in6_addr *a, const struct lx_in6_addr *want,
                   const struct lx_in6_addr *mask);

#endif
