/*
 * Loading and running rule sets; see xt.h.
 *
 * Loading goes over the rules in steps: their sizes and offsets; the jumps; the graph of rules, by
 * a depth-first walk from each hook with a stack of its own, which tells from where each rule is
 * reached; the matches and targets. A rule's edges are the next rule (unless it always ends or
 * leaves the chain) and the rule it jumps to.
 */
#include "net/filter/xt.h"

#include <stdlib.h>
#include <string.h>

#include "net/filter/xt_ext.h"

#define INV_VIA_IN     0x01U
#define INV_VIA_OUT    0x02U
#define INV_TOS        0x04U /* IPv6 */
#define INV_SRC        0x08U
#define INV_DST        0x10U
#define INV_FRAG       0x20U
#define INV_PROTO      0x40U
#define INV_MASK       0x7fU
#define FLAG_FRAG      1U
#define FLAG_GOTO      2U
#define FLAG6_PROTO    1U
#define FLAG6_TOS      2U
#define FLAG6_GOTO     4U
#define VERDICT_DROP   (-1)
#define VERDICT_ACCEPT (-2)
#define VERDICT_RETURN (-5)
#define NO_RULE        UINT32_MAX
#define EXT_HEAD       ((u32)sizeof(struct lx_xt_ext))
#define ERROR_SIZE     30U

enum kind { KIND_STANDARD, KIND_ERROR, KIND_EXT };

struct use {
    const struct xt_match *m;
    u32 off; /* of its data */
    _Atomic u64 state[2];
};

struct rule {
    u32 off;
    s32 verdict; /* KIND_STANDARD */
    u32 jump;    /* index of a rule, or NO_RULE */
    u32 first_use, nuses;
    const struct xt_target *target; /* KIND_EXT */
    u32 target_off;                 /* of its data */
    u8 kind;
    u8 hooks; /* by which it can be reached */
    bool is_unconditional, is_goto;
    _Atomic u64 packets, bytes;
};

struct xt_table {
    struct xt_shape shape;
    enum xt_family family;
    enum xt_table_id id;
    u8 *blob;           /* owned */
    struct rule *rules; /* owned; shape.nrules of them, by offset */
    struct use *uses;   /* owned */
    u32 nuses;
    bool is_tracking;
};

/* The parts of a rule's head that both families have. */
struct entry {
    u16 target_offset, next_offset, protocol;
    u8 flags, invflags;
    bool is_goto, is_protocol_used;
};

static u32 entry_head(const struct xt_table *t)
{
    return t->family == XT_V4 ? sizeof(struct lx_ipt_entry) : sizeof(struct lx_ip6t_entry);
}

static u32 counters_at(const struct xt_table *t)
{
    return t->family == XT_V4 ? offsetof(struct lx_ipt_entry, counters)
                              : offsetof(struct lx_ip6t_entry, counters);
}

static struct entry entry_at(const struct xt_table *t, u32 off)
{
    struct entry r;
    if (t->family == XT_V4) {
        struct lx_ipt_entry e;
        memcpy(&e, t->blob + off, sizeof(e));
        r = (struct entry){e.target_offset, e.next_offset,          e.ip.proto, e.ip.flags,
                           e.ip.invflags,   e.ip.flags & FLAG_GOTO, true};
    } else {
        struct lx_ip6t_entry e;
        memcpy(&e, t->blob + off, sizeof(e));
        r = (struct entry){
            e.target_offset,         e.next_offset,           e.ip.proto, e.ip.flags, e.ip.invflags,
            e.ip.flags & FLAG6_GOTO, e.ip.flags & FLAG6_PROTO};
    }
    return r;
}

static struct lx_xt_ext ext_at(const u8 *p)
{
    struct lx_xt_ext e;
    memcpy(&e, p, sizeof(e));
    return e;
}

/* The rule that begins at off, or NO_RULE. */
static u32 rule_at(const struct xt_table *t, u32 off)
{
    u32 low = 0, high = t->shape.nrules;
    while (low < high) {
        u32 mid = (low + high) / 2;
        if (t->rules[mid].off < off)
            low = mid + 1;
        else
            high = mid;
    }
    return low < t->shape.nrules && t->rules[low].off == off ? low : NO_RULE;
}

/* ---- loading ------------------------------------------------------------------------------- */

/* Does the rule apply to every packet? */
static bool is_unconditional(const struct xt_table *t, u32 off, const struct entry *e)
{
    static const struct lx_ipt_ip none4;
    static const struct lx_ip6t_ip none6;
    if (e->target_offset != entry_head(t))
        return false;
    if (t->family == XT_V4) {
        struct lx_ipt_ip ip;
        memcpy(&ip, t->blob + off, sizeof(ip));
        ip.flags &= (u8)~FLAG_GOTO;
        return !memcmp(&ip, &none4, sizeof(ip));
    }
    struct lx_ip6t_ip ip;
    memcpy(&ip, t->blob + off, sizeof(ip));
    ip.flags &= (u8)~FLAG6_GOTO;
    return !memcmp(&ip, &none6, sizeof(ip));
}

/* Sizes and offsets of the rule at off; what stands before `left` is inside. Counts the matches. */
static int check_layout(struct xt_table *t, u32 off, u32 left)
{
    u32 head = entry_head(t);
    if (off % 8 || left < head + EXT_HEAD)
        return -LX_EINVAL;
    struct entry e = entry_at(t, off);
    const u8 *p = t->blob + off;
    if (e.next_offset > left || e.next_offset < head + EXT_HEAD || e.next_offset % 8 ||
        e.target_offset < head || e.target_offset % 8 || e.target_offset + EXT_HEAD > e.next_offset)
        return -LX_EINVAL;
    if (e.flags &
            ~(t->family == XT_V4 ? FLAG_FRAG | FLAG_GOTO : FLAG6_PROTO | FLAG6_TOS | FLAG6_GOTO) ||
        e.invflags & ~INV_MASK)
        return -LX_EINVAL;
    u32 at = head;
    while (at < e.target_offset) {
        if (e.target_offset - at < EXT_HEAD)
            return -LX_EINVAL;
        struct lx_xt_ext m = ext_at(p + at);
        if (m.size < EXT_HEAD || m.size % 8 || m.size > e.target_offset - at ||
            !memchr(m.name, 0, sizeof(m.name)))
            return -LX_EINVAL;
        at += m.size;
        t->nuses++;
    }
    struct lx_xt_ext g = ext_at(p + e.target_offset);
    if (g.size < EXT_HEAD || (u32)e.target_offset + g.size != e.next_offset ||
        !memchr(g.name, 0, sizeof(g.name)))
        return -LX_EINVAL;
    return 0;
}

static int layout(struct xt_table *t)
{
    u32 off = 0, n = 0;
    while (off < t->shape.size) {
        if (n == t->shape.nrules)
            return -LX_EINVAL;
        int r = check_layout(t, off, t->shape.size - off);
        if (r < 0)
            return r;
        t->rules[n++].off = off;
        off += entry_at(t, off).next_offset;
    }
    return n == t->shape.nrules ? 0 : -LX_EINVAL;
}

/* Is the rule a chain's policy? Its target has not been looked at yet. */
static bool is_policy(const struct xt_table *t, u32 i)
{
    u32 off = t->rules[i].off;
    struct entry e = entry_at(t, off);
    struct lx_xt_ext g = ext_at(t->blob + off + e.target_offset);
    s32 v;
    if (!is_unconditional(t, off, &e) || g.name[0] || g.size < EXT_HEAD + sizeof(v))
        return false;
    memcpy(&v, t->blob + off + e.target_offset + EXT_HEAD, sizeof(v));
    return v == VERDICT_DROP || v == VERDICT_ACCEPT;
}

static int check_hooks(const struct xt_table *t)
{
    s64 entry = -1, underflow = -1;
    for (u32 h = 0; h < XT_HOOKS; h++) {
        if (!(t->shape.valid_hooks >> h & 1))
            continue;
        u32 last = rule_at(t, t->shape.underflow[h]);
        if (rule_at(t, t->shape.entry[h]) == NO_RULE || last == NO_RULE || !is_policy(t, last))
            return -LX_EINVAL;
        if (t->shape.entry[h] <= entry || t->shape.underflow[h] <= underflow)
            return -LX_EINVAL; /* chains stand in the order of their hooks, none twice */
        entry = t->shape.entry[h];
        underflow = t->shape.underflow[h];
    }
    return 0;
}

static int read_standard(struct xt_table *t, struct rule *r, const u8 *data, u32 size)
{
    if (size != XT_ALIGN(sizeof(r->verdict)))
        return -LX_EINVAL;
    memcpy(&r->verdict, data, sizeof(r->verdict));
    if (r->verdict > 0) { /* 0 would be the first rule of all, which is no chain of a user's */
        r->jump = rule_at(t, (u32)r->verdict);
        return r->jump == NO_RULE ? -LX_ELOOP : 0; /* as Linux says it */
    }
    return r->verdict == VERDICT_DROP || r->verdict == VERDICT_ACCEPT ||
                   r->verdict == VERDICT_RETURN
               ? 0
               : -LX_EINVAL;
}

/* What kind of target, and where it leads. */
static int read_jump(struct xt_table *t, struct rule *r)
{
    struct entry e = entry_at(t, r->off);
    const u8 *p = t->blob + r->off + e.target_offset;
    struct lx_xt_ext g = ext_at(p);
    u32 size = g.size - EXT_HEAD;
    r->jump = NO_RULE;
    r->target_off = r->off + e.target_offset + EXT_HEAD;
    r->is_unconditional = is_unconditional(t, r->off, &e);
    r->is_goto = e.is_goto;
    p += EXT_HEAD;
    if (!g.name[0] && !g.revision) {
        r->kind = KIND_STANDARD;
        return read_standard(t, r, p, size);
    }
    if (!strcmp(g.name, "ERROR") && !g.revision) {
        r->kind = KIND_ERROR;
        return size == XT_ALIGN(ERROR_SIZE) && memchr(p, 0, ERROR_SIZE) ? 0 : -LX_EINVAL;
    }
    r->kind = KIND_EXT;
    return 0;
}

/* The rules that can follow r: at most two. */
static u32 edges(const struct xt_table *t, u32 i, u32 ret[2])
{
    const struct rule *r = &t->rules[i];
    u32 n = 0;
    bool is_left =
        r->kind == KIND_STANDARD && r->is_unconditional && (r->verdict < 0 || r->is_goto);
    if (r->jump != NO_RULE)
        ret[n++] = r->jump;
    if (r->kind != KIND_ERROR && !is_left)
        ret[n++] = i + 1;
    return n;
}

/* Walks all that a hook reaches. grey and seen: a byte a rule. stack: a word and a byte a rule. */
static int walk(struct xt_table *t, u32 from, u8 hook_bit, u8 *color, u32 *stack, u8 *step)
{
    enum { WHITE, GREY, BLACK };
    u32 depth = 0, next[2];
    memset(color, WHITE, t->shape.nrules);
    stack[0] = from;
    step[0] = 0;
    color[from] = GREY;
    for (;;) {
        u32 i = stack[depth], n = edges(t, i, next);
        if (step[depth] == n) {
            color[i] = BLACK;
            t->rules[i].hooks |= hook_bit;
            if (!depth--)
                return 0;
            continue;
        }
        u32 to = next[step[depth]++];
        if (to >= t->shape.nrules)
            return -LX_EINVAL; /* falls off the end */
        if (color[to] == GREY)
            return -LX_ELOOP;
        if (color[to] == BLACK)
            continue;
        color[to] = GREY;
        stack[++depth] = to;
        step[depth] = 0;
    }
}

static int check_graph(struct xt_table *t)
{
    u32 n = t->shape.nrules;
    u8 *bytes = malloc((size_t)n * 2);
    u32 *stack = malloc((size_t)n * sizeof(*stack));
    int r = bytes && stack ? 0 : -LX_ENOMEM;
    for (u32 h = 0; r == 0 && h < XT_HOOKS; h++) {
        if (!(t->shape.valid_hooks >> h & 1))
            continue;
        r = walk(t, rule_at(t, t->shape.entry[h]), (u8)(1U << h), bytes, stack, bytes + n);
    }
    free(bytes);
    free(stack);
    return r;
}

static int find_match(const struct lx_xt_ext *e, const u8 *data, const struct xt_place *at,
                      const struct xt_match **ret)
{
    for (u32 i = 0; i < xt_nmatches; i++) {
        const struct xt_match *m = &xt_matches[i];
        if (strcmp(e->name, m->name) || e->revision != m->revision ||
            !(m->families >> at->family & 1))
            continue;
        if (e->size != EXT_HEAD + XT_ALIGN(m->size) ||
            (m->protocol && at->protocol != m->protocol) || (m->check && !m->check(data, at)))
            return -LX_EINVAL;
        *ret = m;
        return 0;
    }
    return -LX_ENOENT;
}

static int find_target(const struct lx_xt_ext *e, const u8 *data, const struct xt_place *at,
                       const struct xt_target **ret)
{
    for (u32 i = 0; i < xt_ntargets; i++) {
        const struct xt_target *g = &xt_targets[i];
        if (strcmp(e->name, g->name) || e->revision != g->revision ||
            !(g->families >> at->family & 1))
            continue;
        if (e->size != EXT_HEAD + XT_ALIGN(g->size) ||
            (g->tables && !(g->tables >> at->table & 1)) || (g->hooks && at->hooks & ~g->hooks) ||
            (g->check && !g->check(data, at)))
            return -LX_EINVAL;
        *ret = g;
        return 0;
    }
    return -LX_ENOENT;
}

static int read_rule(struct xt_table *t, struct rule *r, u32 *nuses)
{
    struct entry e = entry_at(t, r->off);
    struct xt_place at = {.family = t->family, .table = t->id, .hooks = r->hooks};
    if (e.is_protocol_used && !(e.invflags & INV_PROTO))
        at.protocol = e.protocol;
    r->first_use = *nuses;
    for (u32 off = entry_head(t); off < e.target_offset;) {
        const u8 *p = t->blob + r->off + off;
        struct lx_xt_ext m = ext_at(p);
        struct use *u = &t->uses[(*nuses)++];
        int err = find_match(&m, p + EXT_HEAD, &at, &u->m);
        if (err < 0)
            return err;
        u->off = r->off + off + EXT_HEAD;
        t->is_tracking |= u->m->is_tracking;
        off += m.size;
    }
    r->nuses = *nuses - r->first_use;
    if (r->kind != KIND_EXT)
        return 0;
    struct lx_xt_ext g = ext_at(t->blob + r->target_off - EXT_HEAD);
    int err = find_target(&g, t->blob + r->target_off, &at, &r->target);
    if (err == 0)
        t->is_tracking |= r->target->is_tracking;
    return err;
}

static int read_table(struct xt_table *t)
{
    u32 nuses = 0;
    int r = layout(t);
    if (r == 0)
        r = check_hooks(t);
    if (r == 0 && !(t->uses = calloc(t->nuses + 1, sizeof(*t->uses))))
        r = -LX_ENOMEM;
    for (u32 i = 0; r == 0 && i < t->shape.nrules; i++)
        r = read_jump(t, &t->rules[i]);
    if (r == 0)
        r = check_graph(t);
    for (u32 i = 0; r == 0 && i < t->shape.nrules; i++)
        r = read_rule(t, &t->rules[i], &nuses);
    return r;
}

int xt_load(enum xt_family family, enum xt_table_id id, const struct xt_shape *shape,
            const u8 *rules, struct xt_table **ret)
{
    if (!shape->nrules || !shape->size || shape->valid_hooks >> XT_HOOKS)
        return -LX_EINVAL;
    if (shape->nrules > XT_MAX_RULES || shape->size > XT_MAX_SIZE)
        return -LX_ENOMEM;
    struct xt_table *t = calloc(1, sizeof(*t));
    if (!t)
        return -LX_ENOMEM;
    t->shape = *shape;
    t->family = family;
    t->id = id;
    t->blob = malloc(shape->size);
    t->rules = calloc(shape->nrules, sizeof(*t->rules));
    int r = t->blob && t->rules ? 0 : -LX_ENOMEM;
    if (r == 0) {
        memcpy(t->blob, rules, shape->size);
        r = read_table(t);
    }
    if (r < 0)
        xt_free(t);
    else
        *ret = t;
    return r;
}

void xt_free(struct xt_table *t)
{
    if (!t)
        return;
    free(t->blob);
    free(t->rules);
    free(t->uses);
    free(t);
}

/* ---- empty tables -------------------------------------------------------------------------- */

u32 xt_hooks_of(enum xt_table_id id)
{
    static const u8 hooks[] = {
        [XT_RAW] = XT_BIT(XT_PREROUTING) | XT_BIT(XT_OUTPUT),
        [XT_MANGLE] = (1U << XT_HOOKS) - 1,
        [XT_NAT] = ((1U << XT_HOOKS) - 1) & ~XT_BIT(XT_FORWARD),
        [XT_FILTER] = XT_BIT(XT_INPUT) | XT_BIT(XT_FORWARD) | XT_BIT(XT_OUTPUT),
    };
    return hooks[id];
}

/* Appends a rule with a target of this name and data. */
static u32 append(enum xt_family family, struct xt_shape *s, u8 *b, const char *target,
                  const void *data, u32 size)
{
    u32 at = s->size, full = (EXT_HEAD + size + 7) & ~7U;
    u32 head = family == XT_V4 ? sizeof(struct lx_ipt_entry) : sizeof(struct lx_ip6t_entry);
    u16 offsets[2] = {(u16)head, (u16)(head + full)};
    struct lx_xt_ext g = {.size = (u16)full};
    memcpy(g.name, target, strlen(target));
    memcpy(b + at +
               (family == XT_V4 ? offsetof(struct lx_ipt_entry, target_offset)
                                : offsetof(struct lx_ip6t_entry, target_offset)),
           offsets, sizeof(offsets));
    memcpy(b + at + head, &g, sizeof(g));
    memcpy(b + at + head + EXT_HEAD, data, size);
    s->size += offsets[1];
    s->nrules++;
    return at;
}

int xt_load_empty(enum xt_family family, enum xt_table_id id, struct xt_table **ret)
{
    static const s32 accept = VERDICT_ACCEPT;
    static const char error[ERROR_SIZE] = "ERROR";
    u8 b[2048] = {0};
    struct xt_shape s = {.valid_hooks = xt_hooks_of(id)};
    for (u32 h = 0; h < XT_HOOKS; h++) {
        if (s.valid_hooks >> h & 1)
            s.entry[h] = s.underflow[h] = append(family, &s, b, "", &accept, sizeof(accept));
    }
    (void)append(family, &s, b, "ERROR", error, sizeof(error)); /* where it is does not matter */
    return xt_load(family, id, &s, b, ret);
}

/* ---- reading ------------------------------------------------------------------------------- */

const struct xt_shape *xt_shape_of(const struct xt_table *t)
{
    return &t->shape;
}

u32 xt_active_hooks(const struct xt_table *t)
{
    u32 hooks = 0;
    for (u32 h = 0; h < XT_HOOKS; h++) {
        if (!(t->shape.valid_hooks >> h & 1))
            continue;
        u32 first = rule_at(t, t->shape.entry[h]);
        if (t->shape.entry[h] != t->shape.underflow[h] || t->rules[first].verdict != VERDICT_ACCEPT)
            hooks |= 1U << h;
    }
    return hooks;
}

bool xt_needs_tracking(const struct xt_table *t)
{
    return t->is_tracking || (t->id == XT_NAT && xt_active_hooks(t));
}

static struct lx_xt_counters counters_of(const struct rule *r)
{
    return (struct lx_xt_counters){atomic_load_explicit(&r->packets, memory_order_relaxed),
                                   atomic_load_explicit(&r->bytes, memory_order_relaxed)};
}

void xt_counters(const struct xt_table *t, struct lx_xt_counters *ret)
{
    for (u32 i = 0; i < t->shape.nrules; i++)
        ret[i] = counters_of(&t->rules[i]);
}

void xt_add_counters(struct xt_table *t, const struct lx_xt_counters *add, u32 count)
{
    for (u32 i = 0; i < MIN(count, t->shape.nrules); i++) {
        atomic_fetch_add_explicit(&t->rules[i].packets, add[i].packets, memory_order_relaxed);
        atomic_fetch_add_explicit(&t->rules[i].bytes, add[i].bytes, memory_order_relaxed);
    }
}

void xt_store(const struct xt_table *t, u8 *ret)
{
    memcpy(ret, t->blob, t->shape.size);
    for (u32 i = 0; i < t->shape.nrules; i++) {
        struct lx_xt_counters c = counters_of(&t->rules[i]);
        memcpy(ret + t->rules[i].off + counters_at(t), &c, sizeof(c));
    }
}

static int revision(int best, bool has_it)
{
    return best < 0 ? -LX_ENOENT : has_it ? 0 : -LX_EPROTONOSUPPORT;
}

int xt_match_revision(enum xt_family family, const char *name, u8 rev)
{
    int best = -1;
    bool has_it = false;
    for (u32 i = 0; i < xt_nmatches; i++) {
        const struct xt_match *m = &xt_matches[i];
        if (strcmp(name, m->name) || !(m->families >> family & 1))
            continue;
        best = MAX(best, (int)m->revision);
        has_it |= m->revision == rev;
    }
    return revision(best, has_it);
}

int xt_target_revision(enum xt_family family, const char *name, u8 rev)
{
    int best = !*name || !strcmp(name, "ERROR") ? 0 : -1;
    bool has_it = best == 0 && rev == 0;
    for (u32 i = 0; i < xt_ntargets; i++) {
        const struct xt_target *g = &xt_targets[i];
        if (strcmp(name, g->name) || !(g->families >> family & 1))
            continue;
        best = MAX(best, (int)g->revision);
        has_it |= g->revision == rev;
    }
    return revision(best, has_it);
}

/* ---- running ------------------------------------------------------------------------------- */

static bool is_iface(const char *name, const char *want, const u8 *mask)
{
    char n[16] = {0};
    strncpy(n, name, sizeof(n) - 1);
    for (u32 i = 0; i < sizeof(n); i++) {
        if ((n[i] ^ want[i]) & mask[i])
            return false;
    }
    return true;
}

static bool is_ip4(const struct lx_ipt_ip *ip, const struct xt_packet *p)
{
    if (((p->src.w[3] & ip->smsk) == ip->src) == !!(ip->invflags & INV_SRC) ||
        ((p->dst.w[3] & ip->dmsk) == ip->dst) == !!(ip->invflags & INV_DST))
        return false;
    if (is_iface(p->in, ip->iniface, ip->iniface_mask) == !!(ip->invflags & INV_VIA_IN) ||
        is_iface(p->out, ip->outiface, ip->outiface_mask) == !!(ip->invflags & INV_VIA_OUT))
        return false;
    if (ip->proto && (ip->proto == p->protocol) == !!(ip->invflags & INV_PROTO))
        return false;
    return !(ip->flags & FLAG_FRAG) || (p->frag_off != 0) != !!(ip->invflags & INV_FRAG);
}

bool xt_addr_match(const struct lx_in6_addr *a, const struct lx_in6_addr *want,
                   const struct lx_in6_addr *mask)
{
    return !(((a->d[0] ^ want->d[0]) & mask->d[0]) | ((a->d[1] ^ want->d[1]) & mask->d[1]));
}

static bool is_ip6(const struct lx_ip6t_ip *ip, const struct xt_packet *p)
{
    if (xt_addr_match(&p->src, &ip->src, &ip->smsk) == !!(ip->invflags & INV_SRC) ||
        xt_addr_match(&p->dst, &ip->dst, &ip->dmsk) == !!(ip->invflags & INV_DST))
        return false;
    if (is_iface(p->in, ip->iniface, ip->iniface_mask) == !!(ip->invflags & INV_VIA_IN) ||
        is_iface(p->out, ip->outiface, ip->outiface_mask) == !!(ip->invflags & INV_VIA_OUT))
        return false;
    if (!(ip->flags & FLAG6_PROTO))
        return true;
    if (ip->proto == p->protocol)
        return !(ip->invflags & INV_PROTO);
    return !ip->proto || ip->invflags & INV_PROTO;
}

static bool is_ip(const struct xt_table *t, u32 off, const struct xt_packet *p)
{
    if (t->family == XT_V4) {
        struct lx_ipt_ip ip;
        memcpy(&ip, t->blob + off, sizeof(ip));
        return is_ip4(&ip, p);
    }
    struct lx_ip6t_ip ip;
    memcpy(&ip, t->blob + off, sizeof(ip));
    return is_ip6(&ip, p);
}

static enum xt_answer is_match(const struct xt_table *t, const struct rule *r,
                               const struct xt_packet *p)
{
    if (!is_ip(t, r->off, p))
        return XT_NO;
    for (u32 i = 0; i < r->nuses; i++) {
        struct use *u = &t->uses[r->first_use + i];
        enum xt_answer a = u->m->run(t->blob + u->off, u->state, p);
        if (a != XT_YES)
            return a;
    }
    return XT_YES;
}

enum xt_verdict xt_run(struct xt_table *t, struct xt_packet *p)
{
    u32 back[XT_MAX_DEPTH], depth = 0;
    u32 policy = rule_at(t, t->shape.underflow[p->hook]), i = rule_at(t, t->shape.entry[p->hook]);
    for (u32 steps = 0; steps < XT_MAX_STEPS && i < t->shape.nrules; steps++) {
        struct rule *r = &t->rules[i];
        enum xt_answer a = is_match(t, r, p);
        if (a == XT_HOTDROP)
            return XT_DROP;
        if (a == XT_NO) {
            i++;
            continue;
        }
        if (!p->i.is_dry) {
            atomic_fetch_add_explicit(&r->packets, 1, memory_order_relaxed);
            atomic_fetch_add_explicit(&r->bytes, p->size, memory_order_relaxed);
        }
        if (r->kind == KIND_ERROR)
            return XT_DROP;
        if (r->kind == KIND_EXT) {
            enum xt_verdict v = r->target->run(t->blob + r->target_off, p);
            if (v != XT_CONTINUE)
                return v;
            i++;
        } else if (r->verdict == VERDICT_RETURN) {
            i = depth ? back[--depth] : policy;
        } else if (r->verdict < 0) {
            return r->verdict == VERDICT_ACCEPT ? XT_ACCEPT : XT_DROP;
        } else {
            if (r->jump != i + 1 && !r->is_goto) {
                if (depth == XT_MAX_DEPTH)
                    return XT_DROP;
                back[depth++] = i + 1;
            }
            i = r->jump;
        }
    }
    return XT_DROP;
}
