/*
 * xt: rule sets in the form in which iptables and ip6tables hand them to the kernel (struct
 * ipt_replace, ip6t_replace and what follows them), checked once when they are loaded and run on
 * packets afterwards.
 *
 * A table is immutable but for its counters and what a match remembers. Nothing of it is trusted
 * before xt_load has accepted it: every offset, every match and every target has been looked at
 * then, jumps lead to the beginning of a rule and never in a circle. What remains to be bounded
 * while running is time, since a set of chains without circles can still take exponentially many
 * steps: XT_MAX_STEPS.
 */
#ifndef NET_FILTER_XT_H
#define NET_FILTER_XT_H

#include "abi/errno.h"
#include "base/defs.h"
#include "net/sockaddr.h"

#define XT_HOOKS     5
#define XT_MAX_SIZE  (4U << 20) /* bytes of one table */
#define XT_MAX_RULES 32768U
#define XT_MAX_DEPTH 512U
#define XT_MAX_STEPS 65536U /* rules that one packet may be compared with; then it is dropped */

enum xt_hook { XT_PREROUTING, XT_INPUT, XT_FORWARD, XT_OUTPUT, XT_POSTROUTING };
enum xt_family { XT_V4, XT_V6, XT_FAMILIES };
enum xt_table_id { XT_RAW, XT_MANGLE, XT_NAT, XT_FILTER, XT_TABLES }; /* in the order of asking */

#define XT_BIT(hook) (1U << (hook))

struct net_ns;
struct ct;

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

struct lx_ip6t_ip {
    struct lx_in6_addr src, dst, smsk, dmsk;
    char iniface[16], outiface[16];
    u8 iniface_mask[16], outiface_mask[16];
    u16 proto;
    u8 tos, flags, invflags, pad[3];
};

/* What follows the family's part of a rule's head. */
struct lx_ipt_entry {
    struct lx_ipt_ip ip;
    u32 nfcache;
    u16 target_offset, next_offset;
    u32 comefrom;
    struct lx_xt_counters counters;
};
_Static_assert(sizeof(struct lx_ipt_entry) == 112, "ipt_entry");

struct lx_ip6t_entry {
    struct lx_ip6t_ip ip;
    u32 nfcache;
    u16 target_offset, next_offset;
    u32 comefrom;
    struct lx_xt_counters counters;
};
_Static_assert(sizeof(struct lx_ip6t_entry) == 168, "ip6t_entry");

/* Heads a match and a target alike. */
struct lx_xt_ext {
    u16 size;
    char name[29];
    u8 revision;
};
_Static_assert(sizeof(struct lx_xt_ext) == 32, "xt_entry_match");

/* What ipt_replace says of a table before its rules. */
struct xt_shape {
    u32 valid_hooks, nrules, size;
    u32 entry[XT_HOOKS], underflow[XT_HOOKS];
};

enum ct_state { CT_NONE, CT_INVALID, CT_ESTABLISHED, CT_RELATED, CT_NEW, CT_UNTRACKED };

/* What a packet carries from hook to hook. */
struct xt_info {
    struct ct *ct; /* referenced, or NULL */
    u8 state;      /* enum ct_state */
    u8 dir;        /* CT_REPLY: against the direction of its first packet */
    bool is_dry;   /* asked where it would go: nothing is counted or kept */
    u32 mark;
};

enum xt_csum {
    XT_CSUM_NONE,
    XT_CSUM_WHOLE,
    XT_CSUM_PSEUDO
}; /* the field holds the pseudo header's sum */

/* A packet at a hook. l4 is what is there of the transport header; frag_off in bytes. */
struct xt_packet {
    struct net_ns *ns;
    struct lx_in6_addr src, dst; /* IPv4 as ::ffff:a.b.c.d */
    u8 protocol, tos, ttl;
    bool is_v6;
    const char *in, *out; /* names of interfaces; "": none */
    u8 *l4;               /* NAT writes to it */
    u32 l4_len, frag_off;
    u32 size; /* of the IP packet */
    u8 csum;  /* enum xt_csum: the transport's, which NAT keeps right */
    bool has_owner;
    u32 uid, gid;  /* of the sender, as the namespace's user namespace numbers them */
    const u8 *mac; /* where it came from, or NULL */
    struct lx_in6_addr
        masq;          /* POSTROUTING: the address of the interface that it leaves by; or any */
    enum xt_hook hook; /* set by those who run tables, as what follows */
    struct xt_info i;
    bool is_reset; /* XT_REJECT: a TCP reset is the answer, */
    u8 code;       /* or "unreachable" with this code */
};

enum xt_verdict { XT_DROP, XT_ACCEPT, XT_REJECT, XT_CONTINUE };

struct xt_table;

/*
 * -LX_EINVAL: the table is malformed; -LX_ELOOP: jumps in a circle; -LX_ENOENT: a match or target
 * that is not here; -LX_ENOMEM: too large. rules: shape->size bytes.
 */
int xt_load(enum xt_family family, enum xt_table_id id, const struct xt_shape *shape,
            const u8 *rules, struct xt_table **ret) must_check;
/* The table as it is at first: hooks with the policy ACCEPT. */
int xt_load_empty(enum xt_family family, enum xt_table_id id, struct xt_table **ret) must_check;
void xt_free(struct xt_table *t);
u32 xt_hooks_of(enum xt_table_id id);
const struct xt_shape *xt_shape_of(const struct xt_table *t);
/* The hooks at which the table does more than accept everything: a bit each. */
u32 xt_active_hooks(const struct xt_table *t);
/* Does a rule ask for connections? */
bool xt_needs_tracking(const struct xt_table *t);
/* The rules as they were loaded, with the counters of now. ret: shape->size bytes. */
void xt_store(const struct xt_table *t, u8 *ret);
void xt_counters(const struct xt_table *t, struct lx_xt_counters *ret);
void xt_add_counters(struct xt_table *t, const struct lx_xt_counters *add, u32 count);
/* The table has the hook, which p names. Never XT_CONTINUE. */
enum xt_verdict xt_run(struct xt_table *t, struct xt_packet *p);
/* Keeps the transport's checksum, at l4 + at, right for bytes that change: of an even place. */
void xt_fix_csum(struct xt_packet *p, u32 at, const void *old, const void *new, u32 size);
/* What an address is to this host: a bit of those of the match addrtype, whose number is that of a
 * route's type. */
u32 xt_addr_type(const struct xt_packet *p, const struct lx_in6_addr *a);
/* Is the match or target here in this revision? 0; -LX_ENOENT; -LX_EPROTONOSUPPORT: in others only.
 */
int xt_match_revision(enum xt_family family, const char *name, u8 revision);
int xt_target_revision(enum xt_family family, const char *name, u8 revision);

#endif
