/*
 * Loading and running rule sets; see xt.h.
 *
 * Loading goes over the rules three times: their sizes and offsets; the matches and targets; the
 * graph of rules, by a depth-first walk from each hook with a stack of its own. A rule's
 * edges are the next rule (unless it always ends or leaves the chain) and the rule it jumps to.
 */
#include "net/filter/xt.h"

#include <stdlib.h>
#include <string.h>

#include "net/filter/xt_ext.h"

#define FLAG_GOTO      2U
#define FLAGS_MASK     3U
#define INV_VIA_IN     0x01U
#define INV_VIA_OUT    0x02U
#define INV_SRC        0x08U
#define INV_DST        0x10U
#define INV_FRAG       0x20U
#define INV_MASK       0x7fU
#define FLAG_FRAG      1U
#define VERDICT_DROP   (-1)
#define VERDICT_ACCEPT (-2)
#define VERDICT_RETURN (-5)
#define NO_RULE        UINT32_MAX
#define EXT_HEAD       ((u32)sizeof(struct lx_xt_ext))
#define ENTRY_HEAD     ((u32)sizeof(struct lx_ipt_entry))

enum kind { KIND_STANDARD, KIND_ERROR, KIND_REJECT };

struct rule {
    u32 off;
    s32 verdict; /* KIND_STANDARD */
    u32 jump;    /* index of a rule, or NO_RULE */
    u32 reject;
    u8 kind;
    u8 hooks; /* by which it can be reached */
    bool is_unconditional;
    _Atomic u64 packets, bytes;
};

struct xt_table {
    struct xt_shape shape;
    u8 *blob;           /* owned */
    struct rule *rules; /* owned; shape.nrules of them, by offset */
};

static struct lx_ipt_entry entry_at(const struct xt_table *t, u32 off)
{
    struct lx_ipt_entry e;
    memcpy(&e, t->blob + off, sizeof(e));
    return e;
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
static bool is_unconditional(const struct lx_ipt_entry *e)
{
    static const struct lx_ipt_ip none;
    struct lx_ipt_ip ip = e->ip;
    ip.flags &= (u8)~FLAG_GOTO;
    return e->target_offset == ENTRY_HEAD && !memcmp(&ip, &none, sizeof(none));
}

/* Sizes and offsets of the rule at off; what stands before `left` is inside. */
static int check_layout(const struct xt_table *t, u32 off, u32 left)
{
    if (off % 8 || left < ENTRY_HEAD + EXT_HEAD)
        return -LX_EINVAL;
    struct lx_ipt_entry e = entry_at(t, off);
    const u8 *p = t->blob + off;
    if (e.next_offset > left || e.next_offset < ENTRY_HEAD + EXT_HEAD || e.next_offset % 8 ||
        e.target_offset < ENTRY_HEAD || e.target_offset % 8 ||
        e.target_offset + EXT_HEAD > e.next_offset)
        return -LX_EINVAL;
    if (e.ip.flags & ~FLAGS_MASK || e.ip.invflags & ~INV_MASK)
        return -LX_EINVAL;
    u32 at = ENTRY_HEAD;
    while (at < e.target_offset) {
        if (e.target_offset - at < EXT_HEAD)
            return -LX_EINVAL;
        struct lx_xt_ext m = ext_at(p + at);
        if (m.size < EXT_HEAD || m.size % 8 || m.size > e.target_offset - at ||
            !memchr(m.name, 0, sizeof(m.name)))
            return -LX_EINVAL;
        at += m.size;
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
    struct lx_ipt_entry e = entry_at(t, off);
    struct lx_xt_ext g = ext_at(t->blob + off + e.target_offset);
    s32 v;
    if (!is_unconditional(&e) || g.name[0] || g.size < EXT_HEAD + sizeof(v))
        return false;
    memcpy(&v, t->blob + off + e.target_offset + EXT_HEAD, sizeof(v));
    return v == VERDICT_DROP || v == VERDICT_ACCEPT;
}

static int check_hooks(const struct xt_table *t)
{
    for (u32 h = 0; h < XT_HOOKS; h++) {
        if (!(t->shape.valid_hooks >> h & 1))
            continue;
        u32 last = rule_at(t, t->shape.underflow[h]);
        if (rule_at(t, t->shape.entry[h]) == NO_RULE || last == NO_RULE || !is_policy(t, last))
            return -LX_EINVAL;
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

static int read_target(struct xt_table *t, struct rule *r, const struct lx_ipt_entry *e)
{
    const u8 *p = t->blob + r->off + e->target_offset;
    struct lx_xt_ext g = ext_at(p);
    u32 size = g.size - EXT_HEAD;
    p += EXT_HEAD;
    if (xt_target_revision(g.name) < g.revision)
        return -LX_ENOENT;
    if (!g.name[0]) {
        r->kind = KIND_STANDARD;
        return read_standard(t, r, p, size);
    }
    if (!strcmp(g.name, "ERROR")) {
        r->kind = KIND_ERROR;
        return size == XT_ALIGN(30) && memchr(p, 0, 30) ? 0 : -LX_EINVAL;
    }
    r->kind = KIND_REJECT;
    if (!xt_reject_check(size, p, &e->ip, r->hooks))
        return -LX_EINVAL;
    memcpy(&r->reject, p, sizeof(r->reject));
    return 0;
}

static int read_rule(struct xt_table *t, struct rule *r)
{
    struct lx_ipt_entry e = entry_at(t, r->off);
    const struct xt_match *found;
    r->jump = NO_RULE;
    r->is_unconditional = is_unconditional(&e);
    for (u32 at = ENTRY_HEAD; at < e.target_offset;) {
        const u8 *p = t->blob + r->off + at;
        struct lx_xt_ext m = ext_at(p);
        int err = xt_match_find(&m, p + EXT_HEAD, &e.ip, &found);
        if (err < 0)
            return err;
        at += m.size;
    }
    return read_target(t, r, &e);
}

/* The rules that can follow r: at most two. */
static u32 edges(const struct xt_table *t, u32 i, u32 ret[2])
{
    const struct rule *r = &t->rules[i];
    struct lx_ipt_entry e = entry_at(t, r->off);
    u32 n = 0;
    bool is_left = r->kind == KIND_STANDARD && r->is_unconditional &&
                   (r->verdict < 0 || e.ip.flags & FLAG_GOTO);
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

/* A REJECT is refused in a chain that other hooks than its own lead to. */
static int check_rejects(const struct xt_table *t)
{
    for (u32 i = 0; i < t->shape.nrules; i++) {
        const struct rule *r = &t->rules[i];
        struct lx_ipt_entry e = entry_at(t, r->off);
        if (r->kind == KIND_REJECT &&
            !xt_reject_check(8, t->blob + r->off + e.target_offset + EXT_HEAD, &e.ip, r->hooks))
            return -LX_EINVAL;
    }
    return 0;
}

int xt_load(const struct xt_shape *shape, const u8 *rules, struct xt_table **ret)
{
    if (!shape->nrules || !shape->size || shape->valid_hooks >> XT_HOOKS)
        return -LX_EINVAL;
    if (shape->nrules > XT_MAX_RULES || shape->size > XT_MAX_SIZE)
        return -LX_ENOMEM;
    struct xt_table *t = calloc(1, sizeof(*t));
    if (!t)
        return -LX_ENOMEM;
    t->shape = *shape;
    t->blob = malloc(shape->size);
    t->rules = calloc(shape->nrules, sizeof(*t->rules));
    int r = t->blob && t->rules ? 0 : -LX_ENOMEM;
    if (r == 0) {
        memcpy(t->blob, rules, shape->size);
        r = layout(t);
    }
    if (r == 0)
        r = check_hooks(t);
    for (u32 i = 0; r == 0 && i < shape->nrules; i++)
        r = read_rule(t, &t->rules[i]);
    if (r == 0)
        r = check_graph(t);
    if (r == 0)
        r = check_rejects(t);
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
    free(t);
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
        u32 first = rule_at(t, t->shape.entry[h]);
        if (t->shape.valid_hooks >> h & 1 && (t->shape.entry[h] != t->shape.underflow[h] ||
                                              t->rules[first].verdict != VERDICT_ACCEPT))
            hooks |= 1U << h;
    }
    return hooks;
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
        memcpy(ret + t->rules[i].off + offsetof(struct lx_ipt_entry, counters), &c, sizeof(c));
    }
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

static bool is_ip(const struct lx_ipt_ip *ip, const struct xt_packet *p)
{
    if (((p->src.w[3] & ip->smsk) == ip->src) == !!(ip->invflags & INV_SRC) ||
        ((p->dst.w[3] & ip->dmsk) == ip->dst) == !!(ip->invflags & INV_DST))
        return false;
    if (is_iface(p->in, ip->iniface, ip->iniface_mask) == !!(ip->invflags & INV_VIA_IN) ||
        is_iface(p->out, ip->outiface, ip->outiface_mask) == !!(ip->invflags & INV_VIA_OUT))
        return false;
    if (ip->proto && (ip->proto == p->protocol) == !!(ip->invflags & XT_INV_PROTO))
        return false;
    return !(ip->flags & FLAG_FRAG) || (p->frag_off != 0) != !!(ip->invflags & INV_FRAG);
}

static enum xt_answer is_match(const struct xt_table *t, const struct rule *r,
                               const struct lx_ipt_entry *e, const struct xt_packet *p)
{
    const struct xt_match *m;
    if (!is_ip(&e->ip, p))
        return XT_NO;
    for (u32 at = ENTRY_HEAD; at < e->target_offset;) {
        const u8 *x = t->blob + r->off + at;
        struct lx_xt_ext h = ext_at(x);
        if (xt_match_find(&h, x + EXT_HEAD, &e->ip, &m) < 0)
            return XT_HOTDROP; /* loading has found it */
        enum xt_answer a = m->run(x + EXT_HEAD, p);
        if (a != XT_YES)
            return a;
        at += h.size;
    }
    return XT_YES;
}

enum xt_verdict xt_run(struct xt_table *t, enum xt_hook hook, const struct xt_packet *p,
                       u32 *ret_reject)
{
    u32 back[XT_MAX_DEPTH], depth = 0;
    u32 policy = rule_at(t, t->shape.underflow[hook]), i = rule_at(t, t->shape.entry[hook]);
    for (u32 steps = 0; steps < XT_MAX_STEPS && i < t->shape.nrules; steps++) {
        struct rule *r = &t->rules[i];
        struct lx_ipt_entry e = entry_at(t, r->off);
        enum xt_answer a = is_match(t, r, &e, p);
        if (a == XT_HOTDROP)
            return XT_DROP;
        if (a == XT_NO) {
            i++;
            continue;
        }
        atomic_fetch_add_explicit(&r->packets, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&r->bytes, p->size, memory_order_relaxed);
        if (r->kind == KIND_ERROR)
            return XT_DROP;
        if (r->kind == KIND_REJECT) {
            *ret_reject = r->reject;
            return XT_REJECT;
        }
        if (r->verdict == VERDICT_RETURN) {
            i = depth ? back[--depth] : policy;
        } else if (r->verdict < 0) {
            return r->verdict == VERDICT_ACCEPT ? XT_ACCEPT : XT_DROP;
        } else {
            if (r->jump != i + 1 && !(e.ip.flags & FLAG_GOTO)) {
                if (depth == XT_MAX_DEPTH)
                    return XT_DROP;
                back[depth++] = i + 1;
            }
            i = r->jump;
        }
    }
    return XT_DROP;
}
