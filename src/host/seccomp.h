/*
 * A small builder of seccomp filters: a list of allow rules with argument and
 * instruction-pointer checks, compiled to BPF, and printed for people. Used
 * for the stub's, the Sentry's and the gofer's filters alike.
 *
 * A call matches a rule when the number and every condition match; the first matching
 * rule decides. Another architecture, or no match, takes the default action.
 */
#ifndef HOST_SECCOMP_H
#define HOST_SECCOMP_H

#include <linux/filter.h>
#include <linux/seccomp.h>

#include "base/defs.h"

enum seccomp_op {
    SECCOMP_EQ = 1,      /* all 64 bits */
    SECCOMP_MASKED_EQ,   /* (arg & mask) == value */
    SECCOMP_LE,          /* arg <= value, unsigned 64 */
    SECCOMP_GE,          /* arg >= value, unsigned 64 */
    SECCOMP_EQ32,        /* low 32 bits: for arguments that the host reads as int */
    SECCOMP_MASKED_EQ32, /* likewise */
    SECCOMP_ONE_OF,      /* arg & mask is below 32, and that bit is set in value */
};

struct seccomp_cond {
    u8 arg;
    u8 op; /* enum seccomp_op; 0 ends the list */
    u64 value, mask;
};

#define SECCOMP_MAX_CONDS 5

struct seccomp_rule {
    u32 nr;
    u32 action; /* 0: SECCOMP_RET_ALLOW */
    struct seccomp_cond conds[SECCOMP_MAX_CONDS];
    u64 ip_min, ip_end; /* when ip_end is not 0: only from [ip_min, ip_end); same high 32 bits */
};

/* Compiles to at most cap instructions; their number, or -LX_E2BIG. */
int seccomp_compile(const struct seccomp_rule *rules, size_t nrules, u32 default_action,
                    struct sock_filter *ret_insns, size_t cap) must_check;
/* One line a rule, to fd. name_of may return NULL. */
void seccomp_print(int fd, const char *title, const struct seccomp_rule *rules, size_t nrules,
                   u32 default_action, const char *(*name_of)(u32 nr));
/* Sets no_new_privs and installs the filter on the calling thread, or on all with is_tsync. */
int seccomp_install(const struct seccomp_rule *rules, size_t nrules, u32 default_action,
                    bool is_tsync) must_check;

#endif
