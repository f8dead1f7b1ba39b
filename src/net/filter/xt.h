/*
 * xt: rule sets in the form in which iptables hands them to the kernel (IPv4: struct ipt_replace
 * and what follows it), checked once when they are loaded and run on packets afterwards.
 *
 * A table is immutable but for its counters. Nothing of it is trusted before xt_load has accepted
 * it: every offset, every match and every target has been looked at then, jumps lead to the
 * beginning of a rule and never in a circle. What remains to be bounded while running is time,
 * since a set of chains without circles can still take exponentially many steps: XT_MAX_STEPS.
 */
#ifndef NET_FILTER_XT_H
#define NET_FILTER_XT_H

#include "abi/errno.h"
#include "net/sockaddr.h"
#include "base/defs.h"

#define XT_HOOKS     5
#define XT_MAX_SIZE  (4U << 20) /* bytes of one table */
#define XT_MAX_RULES 32768U
#define XT_MAX_DEPTH 512U
#define XT_MAX_STEPS 65536U /* rules that one packet may be compared with; then it is dropped */

enum xt_hook { XT_PREROUTING, XT_INPUT, XT_FORWARD, XT_OUTPUT, XT_POSTROUTING };

struct lx_xt_counters {
    u64 packets, bytes;
};

struct lx_ipt_ip {
    u32 src, dst, smsk, dmsk; /* network order */
    char iniface[16], outiface[16];
    u8 iniface_mask[16], outiface_mask[16];
    u16 proto;
    u8 flags, invflags;
};

struct lx_ipt_entry {
    struct lx_ipt_ip ip;
    u32 nfcache;
    u16 target_offset, next_offset;
    u32 comefrom;
    struct lx_xt_counters counters;
};
_Static_assert(sizeof(struct lx_ipt_entry) == 112, "ipt_entry");

/* Heads a match and a target alike. */
struct lx_xt_ext {
    u16 size;
    char name[29];
    u8 revision;
};
_Static_assert(sizeof(struct lx_xt_ext) == 32, "xt_entry_match");

struct lx_xt_tcp {
    u16 spts[2], dpts[2];
    u8 option, flg_mask, flg_cmp, invflags;
};
struct lx_xt_udp {
    u16 spts[2], dpts[2];
    u8 invflags, pad;
};
struct lx_ipt_icmp {
    u8 type, code[2], invflags;
};

/* What ipt_replace says of a table before its rules. */
struct xt_shape {
    u32 valid_hooks, nrules, size;
    u32 entry[XT_HOOKS], underflow[XT_HOOKS];
};

/* A packet at a hook. l4 is what is there of the transport header; frag_off in bytes. */
struct xt_packet {
    struct lx_in6_addr src, dst; /* IPv4 as ::ffff:a.b.c.d */
    u8 protocol, tos, ttl;
    bool is_v6;
    const char *in, *out; /* names of interfaces; "": none */
    const u8 *l4;
    u32 l4_len, frag_off;
    u32 size; /* of the IP packet */
};

#define XT_REJECT_TCP_RESET 7

enum xt_verdict { XT_DROP, XT_ACCEPT, XT_REJECT };

struct xt_table;

/*
 * -LX_EINVAL: the table is malformed; -LX_ELOOP: jumps in a circle; -LX_ENOENT: a match or target
 * that is not here; -LX_ENOMEM: too large. rules: shape->size bytes.
 */
int xt_load(const struct xt_shape *shape, const u8 *rules, struct xt_table **ret) must_check;
void xt_free(struct xt_table *t);
const struct xt_shape *xt_shape_of(const struct xt_table *t);
/* The hooks at which the table does more than accept everything: a bit each. */
u32 xt_active_hooks(const struct xt_table *t);
/* The rules as they were loaded, with the counters of now. ret: shape->size bytes. */
void xt_store(const struct xt_table *t, u8 *ret);
void xt_counters(const struct xt_table *t, struct lx_xt_counters *ret);
void xt_add_counters(struct xt_table *t, const struct lx_xt_counters *add, u32 count);
/* The table has this hook. ret_reject: with XT_REJECT, ipt_reject_with. */
enum xt_verdict xt_run(struct xt_table *t, enum xt_hook hook, const struct xt_packet *p,
                       u32 *ret_reject);
/* The highest revision of a match or target; -1: not here. */
int xt_match_revision(const char *name);
int xt_target_revision(const char *name);

#endif
