/* Rule sets of iptables: what is refused, what rules say of packets, and bytes at random. */
#include "net/filter/xt.h"

#include <stdlib.h>
#include <string.h>

#include "net/filter/ct.h"
#include "net/filter/xt_ext.h"
#include "net/net.h"
#include "net/stack/stack.h"
#include "test.h"

struct lx_xt_tcp {
    u16 spts[2], dpts[2];
    u8 option, flg_mask, flg_cmp, invflags;
};

struct set {
    u8 b[65536];
    struct xt_shape s;
};

static u8 *add(struct set *x, u8 proto, const char *match, const void *mdata, u16 msize,
               const char *target, const void *tdata, u16 tsize, u8 flags)
{
    u8 *at = x->b + x->s.size;
    u16 mfull = match ? (u16)(32 + ((msize + 7) & ~7)) : 0;
    u16 tfull = (u16)(32 + ((tsize + 7) & ~7));
    struct lx_ipt_entry e = {.target_offset = (u16)(112 + mfull),
                             .next_offset = (u16)(112 + mfull + tfull)};
    e.ip.proto = proto;
    e.ip.flags = flags;
    memset(at, 0, e.next_offset);
    memcpy(at, &e, sizeof(e));
    if (match) {
        struct lx_xt_ext m = {.size = mfull};
        strcpy(m.name, match);
        memcpy(at + 112, &m, sizeof(m));
        memcpy(at + 144, mdata, msize);
    }
    struct lx_xt_ext g = {.size = tfull};
    strcpy(g.name, target);
    memcpy(at + e.target_offset, &g, sizeof(g));
    memcpy(at + e.target_offset + 32, tdata, tsize);
    x->s.size += e.next_offset;
    x->s.nrules++;
    return at;
}

static u32 verdict(struct set *x, s32 v, u8 flags)
{
    u32 off = x->s.size;
    (void)add(x, 0, NULL, NULL, 0, "", &v, sizeof(v), flags);
    return off;
}

static u32 error(struct set *x, const char *name)
{
    char text[30] = {0};
    u32 off = x->s.size;
    strcpy(text, name);
    (void)add(x, 0, NULL, NULL, 0, "ERROR", text, sizeof(text), 0);
    return off;
}

static void dport(struct set *x, u16 port, s32 v)
{
    struct lx_xt_tcp m = {{0, 65535}, {port, port}, 0, 0, 0, 0};
    (void)add(x, 6, "tcp", &m, sizeof(m), "", &v, sizeof(v), 0);
}

/* INPUT: tcp dport 80 to a chain which drops it after returning port 81; policy ACCEPT. */
static void sample(struct set *x)
{
    memset(x, 0, sizeof(*x));
    x->s.valid_hooks = 1U << XT_INPUT;
    dport(x, 80, 0); /* to be a jump */
    u32 jump = 0;
    x->s.underflow[XT_INPUT] = verdict(x, -2, 0);
    error(x, "chain");
    s32 chain = (s32)x->s.size;
    dport(x, 81, -5);
    verdict(x, -1, 0);
    error(x, "ERROR");
    memcpy(x->b + jump + 112 + 48 + 32, &chain, sizeof(chain));
}

static struct xt_packet packet(u8 tcp[20], u16 port)
{
    memset(tcp, 0, 20);
    tcp[2] = (u8)(port >> 8);
    tcp[3] = (u8)port;
    tcp[12] = 0x50;
    tcp[13] = 2;
    return (struct xt_packet){
        .ns = NULL, .hook = XT_INPUT, .protocol = 6, .in = "lo", .out = "", .l4 = tcp, .l4_len = 20, .size = 40};
}

TEST(verdicts)
{
    static struct set x;
    struct xt_table *t;
    u8 tcp[20];
    sample(&x);
    CHECK(xt_load(XT_V4, XT_FILTER, &x.s, x.b, &t) == 0);
    struct xt_packet p = packet(tcp, 80);
    CHECK(xt_run(t, &p) == XT_DROP);
    p = packet(tcp, 81);
    CHECK(xt_run(t, &p) == XT_ACCEPT);
    p.protocol = 17;
    CHECK(xt_run(t, &p) == XT_ACCEPT);
    p = packet(tcp, 80);
    p.l4_len = 12; /* a header that is cut off is dropped, as a piece that would overwrite flags */
    CHECK(xt_run(t, &p) == XT_DROP);
    p.frag_off = 8;
    CHECK(xt_run(t, &p) == XT_DROP);
    p.frag_off = 16;
    CHECK(xt_run(t, &p) == XT_ACCEPT);
    struct lx_xt_counters c[6];
    xt_counters(t, c);
    CHECK(c[0].packets == 1 && c[0].bytes == 40 && c[1].packets == 3 && c[4].packets == 1);
    xt_free(t);
}

static int load(const struct set *x)
{
    struct xt_table *t;
    int r = xt_load(XT_V4, XT_FILTER, &x->s, x->b, &t);
    if (r == 0)
        xt_free(t);
    return r;
}

TEST(refused)
{
    static struct set x;
    s32 v;
    sample(&x);
    x.s.nrules++;
    CHECK(load(&x) == -LX_EINVAL);
    sample(&x);
    x.s.size -= 8;
    CHECK(load(&x) == -LX_EINVAL);
    sample(&x);
    x.s.underflow[XT_INPUT] = 0; /* no policy */
    CHECK(load(&x) == -LX_EINVAL);
    sample(&x);
    x.s.entry[XT_INPUT] = 8;
    CHECK(load(&x) == -LX_EINVAL);
    sample(&x);
    v = 8; /* into a rule */
    memcpy(x.b + 192, &v, sizeof(v));
    CHECK(load(&x) == -LX_ELOOP);
    v = 0;
    memcpy(x.b + 192, &v, sizeof(v));
    CHECK(load(&x) == -LX_EINVAL);
    sample(&x);
    v = 528; /* the chain's first rule to itself */
    memcpy(x.b + 528 + 192, &v, sizeof(v));
    CHECK(load(&x) == -LX_ELOOP);
    sample(&x);
    strcpy((char *)x.b + 112 + 2, "nosuch");
    CHECK(load(&x) == -LX_ENOENT);
    sample(&x);
    x.b[offsetof(struct lx_ipt_ip, proto)] = 17; /* the tcp match in a rule for UDP */
    CHECK(load(&x) == -LX_EINVAL);
}

/* Chains that each jump twice to the next would take 2^60 steps. */
TEST(exponential)
{
    static struct set x;
    memset(&x, 0, sizeof(x));
    x.s.valid_hooks = 1U << XT_INPUT;
    u32 size = 152;
    verdict(&x, (s32)(2 * size), 0);
    x.s.underflow[XT_INPUT] = verdict(&x, -2, 0);
    for (u32 k = 0; k < 60; k++) {
        u32 next = x.s.size + 3 * size;
        verdict(&x, (s32)next, 0);
        verdict(&x, (s32)next, 0);
        verdict(&x, -5, 0);
    }
    verdict(&x, -5, 0);
    error(&x, "ERROR");
    struct xt_table *t;
    u8 tcp[20];
    CHECK(xt_load(XT_V4, XT_FILTER, &x.s, x.b, &t) == 0);
    struct xt_packet p = packet(tcp, 80);
    CHECK(xt_run(t, &p) == XT_DROP);
    xt_free(t);
}

static u32 seed = 12345;
static u32 rnd(void)
{
    seed = seed * 1664525U + 1013904223U;
    return seed >> 8;
}

/* Mutations of a good table: refused, or run on packets without leaving its bytes. */
TEST(mutations)
{
    static struct set x;
    u32 nloaded = 0;
    for (u32 round = 0; round < 100000; round++) {
        sample(&x);
        for (u32 n = rnd() % 4 + 1; n; n--) {
            u32 at = rnd() % (x.s.size + (u32)sizeof(x.s));
            u8 v = (u8)(rnd() % 3 ? 1U << rnd() % 8 : rnd());
            if (at < x.s.size)
                x.b[at] ^= v;
            else
                ((u8 *)&x.s)[at - x.s.size] ^= v;
            if (x.s.size > sizeof(x.b))
                x.s.size = sizeof(x.b);
        }
        u8 *exact = malloc(x.s.size ? x.s.size : 1); /* so that a sanitizer sees the end */
        struct xt_table *t;
        memcpy(exact, x.b, x.s.size);
        enum xt_table_id table = rnd() % 4 ? XT_FILTER : (enum xt_table_id)(rnd() % XT_TABLES);
        int r = xt_load(rnd() % 8 ? XT_V4 : XT_V6, table, &x.s, exact, &t);
        if (r == 0) {
            u8 tcp[20];
            nloaded++;
            for (u32 k = 0; k < 4; k++) {
                struct xt_packet p = packet(tcp, (u16)(79 + k));
                p.l4_len = rnd() % 21;
                for (u32 h = 0; h < XT_HOOKS; h++) {
                    p.hook = h;
                    if (x.s.valid_hooks >> h & 1)
                        (void)xt_run(t, &p);
                }
            }
            xt_store(t, exact);
            xt_free(t);
        }
        free(exact);
    }
    CHECK(nloaded > 1000);
}

/* Appends a rule to b: with m (and random data), without (NULL); target g, or (NULL) this verdict or ERROR. */
static u32 append(enum xt_family family, u8 *b, struct xt_shape *s, u8 protocol, const struct xt_match *m,
                  const struct xt_target *g, bool is_error)
{
    u32 head = family == XT_V4 ? sizeof(struct lx_ipt_entry) : sizeof(struct lx_ip6t_entry);
    u32 off = s->size, msize = m ? 32 + XT_ALIGN(m->size) : 0;
    u32 tsize = 32 + (is_error ? 32 : g ? XT_ALIGN(g->size) : 8);
    u16 offsets[2] = {(u16)(head + msize), (u16)(head + msize + tsize)};
    u8 *at = b + off, *t = at + head + msize;
    struct lx_xt_ext e = {.size = (u16)msize};
    s32 accept = -2;
    at[family == XT_V4 ? 80 : 128] = protocol;
    if (family == XT_V6 && protocol)
        at[131] = 1;
    memcpy(at + (family == XT_V4 ? 88 : 140), offsets, sizeof(offsets));
    if (m) {
        strcpy(e.name, m->name);
        e.revision = m->revision;
        memcpy(at + head, &e, sizeof(e));
        for (u32 i = 0; i < m->size; i++)
            at[head + 32 + i] = rnd() % 4 ? 0 : (u8)rnd();
    }
    e = (struct lx_xt_ext){.size = (u16)tsize};
    if (is_error) {
        strcpy(e.name, "ERROR");
        strcpy((char *)t + 32, "ERROR");
    } else if (g) {
        strcpy(e.name, g->name);
        e.revision = g->revision;
        for (u32 i = 0; i < g->size; i++)
            t[32 + i] = rnd() % 4 ? 0 : (u8)rnd();
    } else {
        memcpy(t + 32, &accept, sizeof(accept));
    }
    memcpy(t, &e, sizeof(e));
    s->size += offsets[1];
    s->nrules++;
    return off;
}

/* A rule with a match or a target of random data, at one hook of an otherwise empty table. */
static int load_random(enum xt_family family, enum xt_table_id id, const struct xt_match *m,
                       const struct xt_target *g, struct xt_table **ret)
{
    static u8 b[8192];
    struct xt_shape s = {.valid_hooks = xt_hooks_of(id)};
    u32 chosen = rnd() % XT_HOOKS;
    memset(b, 0, sizeof(b));
    for (u32 h = 0; h < XT_HOOKS; h++) {
        if (!(s.valid_hooks >> h & 1))
            continue;
        s.entry[h] = s.size;
        if (h == chosen)
            (void)append(family, b, &s, m && m->protocol ? m->protocol : rnd() % 2 ? 6 : 17, m, g, false);
        s.underflow[h] = append(family, b, &s, 0, NULL, NULL, false);
    }
    (void)append(family, b, &s, 0, NULL, NULL, true);
    u8 *exact = malloc(s.size);
    memcpy(exact, b, s.size);
    int r = xt_load(family, id, &s, exact, ret);
    free(exact);
    return r;
}

static void run_on_random(struct xt_table *t, enum xt_family family, enum xt_table_id id, struct net_ns *ns)
{
    u8 l4[64];
    for (u32 i = 0; i < sizeof(l4); i++)
        l4[i] = (u8)rnd();
    for (u32 h = 0; h < XT_HOOKS; h++) {
        u32 len = rnd() % 65;
        u8 *exact = malloc(len ? len : 1);
        memcpy(exact, l4, len);
        struct xt_packet p = {.ns = ns, .hook = h, .is_v6 = family == XT_V6, .in = "lo", .out = "eth0",
                              .protocol = rnd() % 2 ? 6 : 17, .l4 = exact, .l4_len = len, .size = 20 + len,
                              .has_owner = rnd() % 2, .csum = (u8)(rnd() % 3)};
        for (u32 i = 0; i < 16; i++)
            p.src.b[i] = p.dst.b[i] = (u8)rnd();
        if (xt_hooks_of(id) >> h & 1)
            (void)xt_run(t, &p);
        free(exact);
    }
}

TEST(extensions)
{
    static struct net_ns ns;
    u32 nloaded = 0;
    for (u32 i = 0; i < NSYS_COUNT; i++)
        ns.sysctl[i] = &ns.sysctl_own[i];
    CHECK(netstack_new(&ns, &ns.stack) == 0);
    for (u32 round = 0; round < 40000; round++) {
        bool is_match = rnd() % 2;
        const struct xt_match *m = is_match ? &xt_matches[rnd() % xt_nmatches] : NULL;
        const struct xt_target *g = is_match ? NULL : &xt_targets[rnd() % xt_ntargets];
        enum xt_family family = (enum xt_family)(rnd() % 2);
        enum xt_table_id id = (enum xt_table_id)(rnd() % XT_TABLES);
        struct xt_table *t;
        if (load_random(family, id, m, g, &t) < 0)
            continue;
        nloaded++;
        run_on_random(t, family, id, &ns);
        xt_free(t);
    }
    CHECK(nloaded > 3000);
}

TEST(empty_tables)
{
    static const u32 sizes[XT_FAMILIES][XT_TABLES] = {{480, 936, 784, 632}, {648, 1272, 1064, 856}};
    for (u32 f = 0; f < XT_FAMILIES; f++) {
        for (u32 id = 0; id < XT_TABLES; id++) {
            struct xt_table *t;
            CHECK(xt_load_empty((enum xt_family)f, (enum xt_table_id)id, &t) == 0);
            CHECK(xt_shape_of(t)->size == sizes[f][id] && !xt_active_hooks(t) && !xt_needs_tracking(t));
            xt_free(t);
        }
    }
}
