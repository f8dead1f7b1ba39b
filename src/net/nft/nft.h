/*
 * nft: nf_tables, the rule sets that nft and iptables-nft load over NETLINK_NETFILTER.
 *
 * Theory
 *   A namespace has tables (of a family), a table has chains, sets and objects, a chain has rules,
 *   a rule is a list of expressions that work on 16 words of registers and one verdict. Base chains
 *   hang at a hook with a priority; filter/hook.c runs them between the tables of iptables.
 *
 *   A batch is carried out in place, message by message, under the write lock, so that no packet
 *   and no reader sees half of it; every step leaves a record (struct nft_op) by which it is undone
 *   in reverse, or, at the end, told to listeners and its leavings freed. What is deleted is taken
 *   out of its list at once and freed at commit only.
 *
 *   A batch whose jumps go in a circle or too deep is undone and gone through again, each
 *   message looked at by itself, so that the error is said of the one that caused it.
 *
 * Everything in a message is checked when it is loaded, so that running needs no check but of the
 * packet. Bounded: NFT_MAX_MEM bytes in a namespace, charged to the memory of the queues;
 * NFT_MAX_STEPS rules that one packet is compared with.
 *
 * Lock order: nft_ns.commit → nft_ns.lock (rwlock, read while a packet is judged) → nft_set.lock
 *   → ct_ns.lock | stack_cfg | netlink_ns.lock.
 */
#ifndef NET_NFT_NFT_H
#define NET_NFT_NFT_H

#include "abi/nftables.h"
#include "base/list.h"
#include "base/lock.h"
#include "base/rbtree.h"
#include "net/filter/hook.h"
#include "net/netlink/netlink.h"

#define NFT_MAX_MEM    (48ULL << 20)
#define NFT_MAX_STEPS  65536U
#define NFT_MAX_DEPTH  16U
#define NFT_MAX_EXPRS  128U
#define NFT_MAX_HOOKED 1024U  /* base chains at one hook */
#define NFT_MAX_ELEMS  65536U /* of a set that packets add to and that says no size */
#define NFT_MAX_TABLES 4096U
#define NFT_BUCKETS    64U
#define NFT_NREGS      20U
#define NFT_KEY_MAX    64U
#define NFT_NAME_MAX   256U

/* Families of tables. */
enum {
    NFT_UNSPEC = 0,
    NFT_INET = 1,
    NFT_IPV4 = 2,
    NFT_ARP = 3,
    NFT_NETDEV = 5,
    NFT_BRIDGE = 7,
    NFT_IPV6 = 10
};

enum nft_type { NFT_FILTER, NFT_ROUTE, NFT_NAT, NFT_NTYPES };

/* Verdicts besides those of enum xt_verdict's meaning. */
enum { NFT_V_DROP = 0, NFT_V_ACCEPT = 1, NFT_V_REJECT = 100 };

struct lx_nfgenmsg {
    u8 family, version;
    u16 res_id; /* network order */
};

struct nft_ns;
struct nft_table;
struct nft_chain;
struct nft_set;
struct nft_obj;
struct nft_batch;
struct nft_expr;

/* ---- attributes (attr.c) ------------------------------------------------------------------- */

struct nft_attr {
    const u8 *p; /* NULL: it is not there */
    u32 len;
};

/* What a message is handled with. */
struct nft_ctx {
    struct net_ns *net;
    struct nft_ns *n;
    struct nft_batch *batch; /* NULL: a request outside of batches */
    const struct lx_nlmsghdr *req;
    u8 family;
    u32 portid;
    u16 flags; /* of the request */
    struct nft_table *table;
    struct nft_chain *chain;
    const u8 *bad;    /* the attribute that is to blame, for NLMSGERR_ATTR_OFFS */
    const char *text; /* for NLMSGERR_ATTR_MSG */
    /* NFTA_RULE_COMPAT */
    u8 compat_proto;
    bool is_compat_inverted;
};

/* Fills tb[0..max] from attributes; min[type]: the least size. -LX_ERANGE, -LX_EINVAL. */
int nft_parse(const u8 *p, u32 len, struct nft_attr *tb, const u8 *min, u32 max) must_check;
int nft_parse_in(const struct nft_attr *a, struct nft_attr *tb, const u8 *min, u32 max) must_check;
u32 nft_be32(const struct nft_attr *a); /* 0 when it is not there */
u64 nft_be64(const struct nft_attr *a);
/* A name, 0-terminated in ret. -LX_EINVAL: none; -LX_ERANGE. */
int nft_name(const struct nft_attr *a, char ret[NFT_NAME_MAX]) must_check;
static inline int nft_blame(struct nft_ctx *c, const struct nft_attr *a, int err)
{
    if (err < 0)
        c->bad = a->p;
    return err;
}
/* Walks a list of nested attributes: the next one; false at the end. */
bool nft_each(const struct nft_attr *list, u32 *at, u16 *ret_type, struct nft_attr *ret);

void nft_put_be16(struct nlbuf *b, u16 type, u16 v);
void nft_put_be32(struct nlbuf *b, u16 type, u32 v);
void nft_put_be64(struct nlbuf *b, u16 type, u64 v);
u32 nft_nest(struct nlbuf *b, u16 type);
void *nft_begin(struct nlbuf *b, struct nft_ns *n, u32 msg, u16 flags, u8 family);

struct nft_data {
    union {
        u32 d[NFT_KEY_MAX / 4];
        u8 b[NFT_KEY_MAX];
        struct {
            s32 code; /* NFT_V_* or LX_NFT_* */
            struct nft_chain *chain;
        } v;
    };
};

/* NFTA_DATA_*: a value of at most NFT_KEY_MAX bytes, or (is_verdict) a verdict, whose chain is not
 * counted yet. */
int nft_data_value(const struct nft_attr *a, struct nft_data *ret, u32 *ret_len) must_check;
int nft_data_verdict(struct nft_ctx *c, const struct nft_attr *a, struct nft_data *ret) must_check;
bool nft_data_is_verdict(const struct nft_attr *a);
void nft_put_value(struct nlbuf *b, u16 type, const void *v, u32 len);
void nft_put_verdict(struct nlbuf *b, u16 type, const struct nft_data *d);

/* A register's index in nft_regs.d for len bytes. -LX_ERANGE, -LX_EINVAL. */
int nft_reg(const struct nft_attr *a, u32 len, u8 *ret) must_check;
void nft_put_reg(struct nlbuf *b, u16 type, u8 reg);

/* ---- memory -------------------------------------------------------------------------------- */

/* Zeroed and counted to the namespace; NULL: over the limit. nft_free takes NULL. */
void *nft_alloc(struct nft_ns *n, u64 size) must_check;
void nft_free(void *p);
void *nft_memdup(struct nft_ns *n, const void *p, u32 size) must_check;

/* ---- objects ------------------------------------------------------------------------------- */

struct nft_blob {
    u32 len;
    u8 *p; /* owned, or NULL */
};
int nft_blob_set(struct nft_ns *n, struct nft_blob *b, const struct nft_attr *a) must_check;
void nft_put_blob(struct nlbuf *b, u16 type, const struct nft_blob *v);

struct nft_table {
    struct list node; /* nft_ns.tables */
    char *name;
    u8 family;
    u32 flags, owner;
    u32 use; /* chains, sets, objects */
    u64 handle, last_handle;
    struct nft_blob udata;
    struct list chains, sets, objs;
    struct list chain_hash[NFT_BUCKETS];
    bool must_validate;
};

struct nft_chain {
    struct list node, hash_node;
    struct nft_table *table;
    char *name;
    u64 handle;
    u32 use; /* rules in it, jumps to it */
    u32 nrules;
    struct nft_blob udata;
    struct list rules;
    u32 id; /* by which its batch calls it */
    bool is_base, has_counters;
    u8 type, hook, policy;
    s32 priority;
    struct list base_node[XT_FAMILIES]; /* of nft_ns.base */
    _Atomic u64 packets, bytes;
    u32 seen_pass, seen_level; /* of the last validation that came by */
};

struct nft_rule {
    struct list node;
    struct nft_chain *chain;
    u64 handle;
    u32 id;
    u32 nexprs;
    struct nft_blob udata;
    struct nft_expr *exprs[]; /* owned */
};

struct nft_elem {
    struct nft_elem *hash_next;
    struct rb_node node; /* of an interval set's tree */
    u64 timeout_ms;
    s64 expires_ns; /* 0: never; guarded by nft_set.lock */
    struct nft_obj *obj;
    struct nft_expr **exprs; /* owned */
    u32 nexprs;
    u32 flags; /* LX_NFT_SET_ELEM_* */
    bool has_end, is_linked;
    bool is_deleted; /* in the running batch */
    struct nft_data data;
    struct nft_blob udata;
    u8 key[]; /* klen, and klen more of its end */
};

struct nft_set {
    struct list node;
    struct list *prev;     /* where it stood, while it is taken out */
    bool is_out, in_batch; /* in_batch: made by the batch that runs */
    struct nft_table *table;
    struct nft_ns *n;
    char *name;
    u64 handle;
    u32 id, flags, use, nbound;
    u32 ktype, klen, dtype, dlen, objtype, policy, size, gc_ms;
    u32 nfields;
    u8 fields[16];
    u64 timeout_ms;
    struct nft_blob udata;
    struct nft_expr **exprs; /* templates of what every element gets */
    u32 nexprs;
    struct mutex lock; /* guards what follows where packets change the set (is_live) */
    bool is_live;
    struct nft_elem **buckets;
    u32 nbuckets, nelems;
    struct rb_tree tree;
    struct nft_elem *catchall;
    s64 swept_ns;
};

struct nft_obj {
    struct list node;
    struct nft_table *table;
    char *name;
    u64 handle;
    u32 type, use;
    struct nft_blob udata;
    struct nft_expr *expr; /* owned: does the work */
};

struct nft_ns {
    struct mutex commit; /* a batch at a time */
    struct rwlock lock;  /* guards all below */
    struct net_ns *net;
    struct list tables;
    u32 ntables;
    _Atomic u32 gen;
    u64 last_table;
    u64 secret[2];
    struct list base[XT_FAMILIES][XT_HOOKS]; /* nft_chain.base_node, in the order of running */
    _Atomic u32 hooks;                       /* as net_ns.nf_hooks */
    _Atomic u32 busy;                        /* where chains have something to say, likewise */
    u32 ntracking;                           /* expressions that ask for connections */
    bool has_natted;
    u32 pass, budget; /* of validation */
    _Atomic u64 mem;
};

/* ---- expressions --------------------------------------------------------------------------- */

struct nft_regs {
    u32 d[NFT_NREGS]; /* the first four are not used: the verdict stands beside */
    s32 code;
    struct nft_chain *chain;
};

/* A packet under way through a chain. */
struct nft_pkt {
    struct xt_packet *p;
    const struct nft_chain *base;
    bool is_live; /* counted; not only asked where it would go */
};

struct nft_expr_ops {
    const char *name;
    u16 size, nattrs;
    bool is_stateful; /* may stand in an element or an object */
    bool is_tracking; /* asks for connections; or, if set, what asks_ct says */
    bool (*asks_ct)(struct nft_expr *e);
    bool has_rules; /* of where it may stand: validate */
    u32 objtype;
    const u8 *min; /* sizes of attributes */
    int (*init)(struct nft_ctx *c, struct nft_expr *e, const struct nft_attr *tb);
    void (*done)(struct nft_expr *e); /* frees what init made */
    void (*eval)(struct nft_expr *e, struct nft_regs *r, const struct nft_pkt *k);
    void (*put)(struct nlbuf *b, struct nft_expr *e, bool is_reset);
    /* hook: of a base chain that reaches it. */
    int (*validate)(struct nft_expr *e, const struct nft_chain *base);
    /* It leaves the rule set, or comes back: counts of what it refers to. */
    void (*link)(struct nft_expr *e);
    void (*unlink)(struct nft_expr *e);
};

struct nft_expr {
    const struct nft_expr_ops *ops;
};

extern const struct nft_expr_ops nft_ops_immediate, nft_ops_cmp, nft_ops_bitwise, nft_ops_byteorder,
    nft_ops_range, nft_ops_counter, nft_ops_limit, nft_ops_quota, nft_ops_last, nft_ops_meta,
    nft_ops_payload, nft_ops_exthdr, nft_ops_ct, nft_ops_fib, nft_ops_numgen, nft_ops_hash,
    nft_ops_rt, nft_ops_lookup, nft_ops_dynset, nft_ops_objref, nft_ops_reject, nft_ops_log,
    nft_ops_nat, nft_ops_masq, nft_ops_redir, nft_ops_notrack, nft_ops_match, nft_ops_target;

/* From NFTA_EXPR_NAME and NFTA_EXPR_DATA; it is linked. */
int nft_expr_new(struct nft_ctx *c, const struct nft_attr *a, struct nft_expr **ret) must_check;
/* By its operations and the attributes of its data. */
int nft_expr_make(struct nft_ctx *c, const struct nft_expr_ops *ops, const struct nft_attr *data,
                  struct nft_expr **ret) must_check;
/* e is not linked (any more). */
void nft_expr_free(struct nft_ns *n, struct nft_expr *e);
void nft_expr_link(struct nft_ns *n, struct nft_expr *e);
void nft_expr_unlink(struct nft_ns *n, struct nft_expr *e);
void nft_expr_put(struct nlbuf *b, u16 type, struct nft_expr *e, bool is_reset);
/* A stateful expression anew, as it was loaded. */
struct nft_expr *nft_expr_clone(struct nft_ns *n, const struct nft_expr *e) must_check;
/* NFTA_*_EXPR and NFTA_*_EXPRESSIONS: stateful ones. */
int nft_exprs_new(struct nft_ctx *c, const struct nft_attr *one, const struct nft_attr *list,
                  struct nft_expr ***ret, u32 *ret_n) must_check;
void nft_exprs_free(struct nft_ns *n, struct nft_expr **e, u32 count);
void nft_exprs_put(struct nlbuf *b, u16 one, u16 list, struct nft_expr **e, u32 count,
                   bool is_reset);
/* The chain that an immediate verdict jumps to, or NULL. */
struct nft_chain *nft_immediate_chain(struct nft_expr *e);
/* The set that an expression uses, or NULL. */
struct nft_set *nft_bound_set(struct nft_expr *e);
/* The set whose elements hold verdicts for it, or NULL. */
struct nft_set *nft_lookup_vmap(struct nft_expr *e);

/* ---- tables, chains, rules (table.c, chain.c, rule.c) -------------------------------------- */

typedef int (*nft_fn)(struct nft_ctx *c, const struct nft_attr *tb);

int nft_new_table(struct nft_ctx *c, const struct nft_attr *tb);
int nft_del_table(struct nft_ctx *c, const struct nft_attr *tb);
int nft_new_chain(struct nft_ctx *c, const struct nft_attr *tb);
int nft_del_chain(struct nft_ctx *c, const struct nft_attr *tb);
int nft_new_rule(struct nft_ctx *c, const struct nft_attr *tb);
int nft_del_rule(struct nft_ctx *c, const struct nft_attr *tb);
int nft_new_set(struct nft_ctx *c, const struct nft_attr *tb);
int nft_del_set(struct nft_ctx *c, const struct nft_attr *tb);
int nft_new_elem(struct nft_ctx *c, const struct nft_attr *tb);
int nft_del_elem(struct nft_ctx *c, const struct nft_attr *tb);
int nft_new_obj(struct nft_ctx *c, const struct nft_attr *tb);
int nft_del_obj(struct nft_ctx *c, const struct nft_attr *tb);

/* c->table by its name. -LX_ENOENT, -LX_EPERM: another's. */
int nft_find_table(struct nft_ctx *c, const struct nft_attr *a) must_check;
struct nft_table *nft_table_nth(struct nft_ns *n, u8 family, u64 *nth);
struct nft_chain *nft_chain_named(struct nft_ns *n, const struct nft_table *t, const char *name);
int nft_find_chain(struct nft_ctx *c, const struct nft_attr *a, struct nft_chain **ret) must_check;
struct nft_chain *nft_chain_by_id(struct nft_ctx *c, u32 id);
struct nft_set *nft_set_named(const struct nft_table *t, const char *name);
/* By name, or by the id that a message of the same batch gave it. */
int nft_find_set(struct nft_ctx *c, const struct nft_attr *name, const struct nft_attr *id,
                 struct nft_set **ret) must_check;
struct nft_obj *nft_obj_named(const struct nft_table *t, const char *name, u32 type);
struct nft_rule *nft_rule_by_handle(const struct nft_chain *c, u64 handle);

int nft_chain_remove(struct nft_ctx *c, struct nft_chain *ch) must_check;
int nft_rules_remove(struct nft_ctx *c, struct nft_chain *ch) must_check;
int nft_set_remove(struct nft_ctx *c, struct nft_set *s) must_check;
int nft_obj_remove(struct nft_ctx *c, struct nft_obj *o) must_check;

void nft_table_free(struct nft_ns *n, struct nft_table *t); /* empty */
void nft_chain_free(struct nft_chain *c);                   /* empty */
void nft_rule_free(struct nft_ns *n, struct nft_rule *r);   /* unlinked */
void nft_set_free(struct nft_ns *n, struct nft_set *s);     /* elements unlinked */
void nft_obj_free(struct nft_ns *n, struct nft_obj *o);
void nft_rule_link(struct nft_ns *n, struct nft_rule *r);
void nft_rule_unlink(struct nft_ns *n, struct nft_rule *r);
/* Into or out of the lists of its hook. */
void nft_base_add(struct nft_ns *n, struct nft_chain *c);

void nft_put_table(struct nlbuf *b, struct nft_ns *n, u32 msg, u16 flags,
                   const struct nft_table *t);
void nft_put_chain(struct nlbuf *b, struct nft_ns *n, u32 msg, u16 flags,
                   const struct nft_chain *c);
void nft_put_rule(struct nlbuf *b, struct nft_ns *n, u32 msg, u16 flags, const struct nft_rule *r,
                  bool is_reset);
void nft_put_set(struct nlbuf *b, struct nft_ns *n, u32 msg, u16 flags, const struct nft_set *s);
void nft_put_obj(struct nlbuf *b, struct nft_ns *n, u32 msg, u16 flags, const struct nft_obj *o,
                 bool is_reset);

/* ---- sets (store.c, elem.c) ---------------------------------------------------------------- */

/* What a packet's key finds, or NULL. Holds for as long as the set's lock is held, if is_live. */
struct nft_elem *nft_set_lookup(struct nft_set *s, const u8 *key);
static inline void nft_set_lock(struct nft_set *s) NO_THREAD_ANALYSIS
{
    if (s->is_live)
        mutex_lock(&s->lock);
}
static inline void nft_set_unlock(struct nft_set *s) NO_THREAD_ANALYSIS
{
    if (s->is_live)
        mutex_unlock(&s->lock);
}
/* The element with exactly this key; end NULL: none; flags: LX_NFT_SET_ELEM_*. */
struct nft_elem *nft_store_find(struct nft_set *s, const u8 *key, const u8 *end, u32 flags);
struct nft_elem *nft_store_end(struct nft_set *s, const u8 *key);
int nft_store_add(struct nft_set *s, struct nft_elem *e) must_check;
void nft_store_del(struct nft_set *s, struct nft_elem *e);
/* Does it overlap its neighbours? */
bool nft_store_overlaps(struct nft_set *s, const struct nft_elem *e);
void nft_store_sweep(struct nft_set *s, s64 now);
struct nft_elem *nft_store_next(struct nft_set *s, u32 *bucket, u32 *nth);
bool nft_elem_is_over(const struct nft_elem *e, s64 now);
struct nft_elem *nft_elem_new(struct nft_set *s, const u8 *key, const u8 *end) must_check;
void nft_elem_free(struct nft_ns *n, struct nft_elem *e); /* unlinked */
/* Counts of the chain or object that it names. */
void nft_elem_link(struct nft_set *s, struct nft_elem *e);
void nft_elem_unlink(struct nft_set *s, struct nft_elem *e);
void nft_elems_link(struct nft_set *s);
void nft_elems_unlink(struct nft_set *s);
void nft_put_elem(struct nlbuf *b, struct nft_set *s, const struct nft_elem *e, bool is_reset);
void *nft_begin_elems(struct nlbuf *b, struct nft_ns *n, u32 msg, u16 flags,
                      const struct nft_set *s, u32 *ret_nest);
int nft_get_elem(struct nft_ctx *c, const struct nft_attr *tb, struct nlbuf *b);
/* A set comes out of its table with the rule that it was made for, and goes back. */
void nft_set_take_out(struct nft_set *s);
void nft_set_put_back(struct nft_set *s);

/* ---- batches (batch.c) --------------------------------------------------------------------- */

enum nft_op_kind {
    NFT_ADD_TABLE,
    NFT_DEL_TABLE,
    NFT_UPD_TABLE,
    NFT_ADD_CHAIN,
    NFT_DEL_CHAIN,
    NFT_UPD_CHAIN,
    NFT_ADD_RULE,
    NFT_DEL_RULE,
    NFT_ADD_SET,
    NFT_DEL_SET,
    NFT_ADD_ELEM,
    NFT_DEL_ELEM,
    NFT_UPD_ELEM,
    NFT_ADD_OBJ,
    NFT_DEL_OBJ,
    NFT_UPD_OBJ
};

struct nft_op {
    u8 kind;
    bool is_quiet; /* nobody is told */
    u16 flags;     /* of the request */
    u32 msg;       /* its number in the batch */
    u32 seq;
    union {
        struct nft_table *table;
        struct nft_chain *chain;
        struct nft_rule *rule;
        struct nft_set *set;
        struct nft_obj *obj;
    };
    struct nft_elem *elem; /* of set */
    struct list *prev, *base_prev[XT_FAMILIES];
    void *old; /* what the object had before; owned */
    u64 old_v[2];
};

/* A record of what is about to be done; it stays valid until the next. */
int nft_op_new(struct nft_ctx *c, enum nft_op_kind kind, struct nft_op **ret) must_check;

void nft_chain_rename(struct nft_ns *n, struct nft_chain *ch, char *name);
void nft_chain_restore(struct nft_ns *n, const struct nft_op *op);

void nft_put_gen(struct nlbuf *b, struct nft_ns *n);
/* Jumps and what stands where in the tables that must be looked at. */
int nft_validate(struct nft_ns *n) must_check;
void nft_publish(struct nft_ns *n);
extern const u8 nft_min_obj[], nft_min_rule[], nft_min_set[], nft_min_list[], nft_min_table[],
    nft_min_chain[];

/* ---- running (eval.c) ---------------------------------------------------------------------- */

/* base's rules about a packet; the caller holds the lock. */
enum xt_verdict nft_run_chain(struct nft_chain *base, struct xt_packet *p);

#endif
