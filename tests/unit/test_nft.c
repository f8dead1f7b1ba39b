/*
 * nf_tables: batches that hold and batches that do not, and messages at random: whatever they say,
 * nothing is left of a namespace when it goes.
 */
#include "net/nft/nft.h"

#include <stdlib.h>
#include <string.h>

#include "net/filter/ct.h"
#include "net/filter/iptables.h"
#include "net/filter/xt_ext.h"
#include "net/nft/batch.h"
#include "net/nft/run.h"
#include "net/parts.h"
#include "net/stack/stack.h"
#include "test.h"

static struct net_ns ns;
static struct nl_sock *nl;
static u64 seed = 88172645463325252ULL;

static u32 rnd(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (u32)(seed >> 16);
}

static void set_up(void)
{
    struct sock *sk;
    if (ns.stack)
        return;
    for (u32 i = 0; i < NSYS_COUNT; i++)
        ns.sysctl[i] = &ns.sysctl_own[i];
    ref_init(&ns.ref);
    mutex_init(&ns.socks_lock, "net_socks");
    list_init(&ns.socks);
    CHECK(netstack_new(&ns, &ns.stack) == 0);
    CHECK((ns.ipt_ns = ipt_ns_new()) != NULL);
    CHECK((ns.ct_ns = ct_ns_new()) != NULL);
    CHECK((ns.netlink_ns = netlink_ns_new()) != NULL);
    ns.sysctl_own[NSYS_WMEM_MAX] = ns.sysctl_own[NSYS_RMEM_MAX] = 212992;
    CHECK(netlink_create(&ns, LX_SOCK_RAW, LX_NETLINK_NETFILTER, &sk) == 0);
    nl = nl_sk(sk);
}

/* ---- messages ------------------------------------------------------------------------------ */

static u8 buf[65536];
static u32 used;

static void put(const void *p, u32 n)
{
    if (used + NL_ALIGN(n) > sizeof(buf))
        return;
    if (n)
        memcpy(buf + used, p, n);
    memset(buf + used + n, 0, NL_ALIGN(n) - n);
    used += NL_ALIGN(n);
}

static u32 begin(u32 type, u16 flags, u8 family)
{
    u32 at = used;
    struct lx_nlmsghdr h = {
        .type = (u16)(type < 256 ? LX_NFNL_SUBSYS_NFTABLES << 8 | type : type - 256),
        .flags = (u16)(flags | LX_NLM_F_REQUEST)};
    struct lx_nfgenmsg g = {.family = family};
    if (type >= 256)
        g.res_id = net16(LX_NFNL_SUBSYS_NFTABLES);
    put(&h, sizeof(h));
    put(&g, sizeof(g));
    return at;
}

static void end(u32 at)
{
    u32 len = used - at;
    memcpy(buf + at, &len, sizeof(len));
}

static void attr(u16 type, const void *p, u32 n)
{
    struct lx_nlattr a = {(u16)(sizeof(a) + n), type};
    put(&a, sizeof(a));
    put(p, n);
}

static void text(u16 type, const char *s)
{
    attr(type, s, (u32)strlen(s) + 1);
}

static void be32(u16 type, u32 v)
{
    v = net32(v);
    attr(type, &v, sizeof(v));
}

static void be64(u16 type, u64 v)
{
    v = __builtin_bswap64(v);
    attr(type, &v, sizeof(v));
}

static u32 nest(u16 type)
{
    u32 at = used;
    attr((u16)(type | 0x8000), NULL, 0);
    return at;
}

static void unnest(u32 at)
{
    u16 len = (u16)(used - at);
    memcpy(buf + at, &len, sizeof(len));
}

static void verdict(u16 type, s32 code, const char *chain)
{
    u32 a = nest(type), b = nest(LX_NFTA_DATA_VERDICT);
    be32(LX_NFTA_VERDICT_CODE, (u32)code);
    if (chain)
        text(LX_NFTA_VERDICT_CHAIN, chain);
    unnest(b);
    unnest(a);
}

static void start(void)
{
    used = 0;
    end(begin(256 + LX_NFNL_MSG_BATCH_BEGIN, 0, 0));
}

/* Hands the batch over: does it hold? */
static bool commit(void)
{
    static u8 room[65536];
    struct nlbuf m = {.data = room, .cap = sizeof(room)};
    u32 gen = ns.nft_ns->gen;
    end(begin(256 + LX_NFNL_MSG_BATCH_END, 0, 0));
    nft_batch(nl, &m, buf, used);
    mq_purge(&nl->rxq);
    return ns.nft_ns->gen != gen;
}

static void table(const char *name)
{
    u32 at = begin(LX_NFT_MSG_NEWTABLE, LX_NLM_F_CREATE, NFT_INET);
    text(LX_NFTA_TABLE_NAME, name);
    end(at);
}

static void chain(const char *t, const char *name, s32 hook, s32 priority)
{
    u32 at = begin(LX_NFT_MSG_NEWCHAIN, LX_NLM_F_CREATE, NFT_INET);
    text(LX_NFTA_CHAIN_TABLE, t);
    text(LX_NFTA_CHAIN_NAME, name);
    if (hook >= 0) {
        u32 h = nest(LX_NFTA_CHAIN_HOOK);
        be32(LX_NFTA_HOOK_HOOKNUM, (u32)hook);
        be32(LX_NFTA_HOOK_PRIORITY, (u32)priority);
        unnest(h);
    }
    end(at);
}

static void jump(const char *t, const char *from, s32 code, const char *to)
{
    u32 at = begin(LX_NFT_MSG_NEWRULE, LX_NLM_F_CREATE | LX_NLM_F_APPEND, NFT_INET);
    text(LX_NFTA_RULE_TABLE, t);
    text(LX_NFTA_RULE_CHAIN, from);
    u32 l = nest(LX_NFTA_RULE_EXPRESSIONS), e = nest(LX_NFTA_LIST_ELEM);
    text(LX_NFTA_EXPR_NAME, "immediate");
    u32 d = nest(LX_NFTA_EXPR_DATA);
    be32(LX_NFTA_IMMEDIATE_DREG, LX_NFT_REG_VERDICT);
    verdict(LX_NFTA_IMMEDIATE_DATA, code, to);
    unnest(d);
    unnest(e);
    unnest(l);
    end(at);
}

static enum xt_verdict ask(enum xt_hook hook)
{
    u8 l4[40] = {0, 80, 0, 90, [12] = 5 << 4, [13] = 2};
    struct xt_packet p = {.ns = &ns,
                          .hook = hook,
                          .in = "lo",
                          .out = "",
                          .protocol = 6,
                          .l4 = l4,
                          .l4_len = sizeof(l4),
                          .size = 60,
                          .src = {.h = {[5] = 0xffff}},
                          .dst = {.h = {[5] = 0xffff}}};
    enum xt_verdict v = nft_run(ns.nft_ns, &p, INT64_MIN, INT64_MAX);
    nf_done(&p);
    return v;
}

/* ---- tests --------------------------------------------------------------------------------- */

static void fresh(void)
{
    set_up();
    nft_ns_free(ns.nft_ns);
    ns.nft_ns = nft_ns_new(&ns);
    CHECK(ns.nft_ns != NULL);
}

/* With a namespace, all of its memory goes. */
static void gone(void)
{
    u64 mem = ns.nft_ns->mem, before = net_mem_used();
    nft_ns_free(ns.nft_ns);
    ns.nft_ns = NULL;
    CHECK_EQ(before - net_mem_used(), mem);
}

TEST(verdicts)
{
    fresh();
    start();
    table("t");
    chain("t", "a", -1, 0);
    chain("t", "b", -1, 0);
    chain("t", "base", XT_INPUT, 0);
    jump("t", "base", LX_NFT_JUMP, "a");
    jump("t", "a", LX_NFT_GOTO, "b");
    jump("t", "a", NFT_V_DROP, NULL);
    jump("t", "b", LX_NFT_RETURN, NULL);
    CHECK(commit());
    CHECK_EQ(ask(XT_INPUT), XT_ACCEPT);
    CHECK_EQ(ask(XT_OUTPUT), XT_ACCEPT);
    start();
    jump("t", "base", NFT_V_DROP, NULL);
    CHECK(commit());
    CHECK_EQ(ask(XT_INPUT), XT_DROP);
    gone();
}

TEST(loops_and_depth)
{
    char a[8], b[8];
    fresh();
    start();
    table("t");
    chain("t", "base", XT_INPUT, 0);
    for (u32 i = 0; i < 20; i++) {
        snprintf(a, sizeof(a), "c%u", i);
        chain("t", a, -1, 0);
    }
    CHECK(commit());
    start();
    jump("t", "base", LX_NFT_JUMP, "c0");
    jump("t", "c0", LX_NFT_JUMP, "c1");
    jump("t", "c1", LX_NFT_JUMP, "c0");
    CHECK(!commit());
    CHECK_EQ(ns.nft_ns->hooks, 0);
    start();
    for (u32 i = 0; i < 14; i++) {
        snprintf(a, sizeof(a), "c%u", i);
        snprintf(b, sizeof(b), "c%u", i + 1);
        jump("t", a, LX_NFT_JUMP, b);
    }
    jump("t", "base", LX_NFT_JUMP, "c0");
    CHECK(commit());
    start();
    jump("t", "c14", LX_NFT_JUMP, "c15");
    CHECK(!commit());
    start();
    jump("t", "c14", NFT_V_DROP, NULL);
    CHECK(commit());
    CHECK_EQ(ask(XT_INPUT), XT_DROP);
    gone();
}

TEST(undone)
{
    fresh();
    start();
    table("t");
    chain("t", "base", XT_INPUT, 0);
    jump("t", "base", NFT_V_DROP, NULL);
    CHECK(commit());
    u64 mem = ns.nft_ns->mem;
    start();
    u32 at = begin(LX_NFT_MSG_DELTABLE, 0, NFT_INET);
    text(LX_NFTA_TABLE_NAME, "t");
    end(at);
    table("t");
    table("u");
    chain("t", "base", XT_OUTPUT, 0);
    jump("t", "base", NFT_V_DROP, NULL);
    jump("t", "nosuch", NFT_V_DROP, NULL);
    CHECK(!commit());
    CHECK_EQ(ns.nft_ns->mem, mem);
    CHECK_EQ(ask(XT_INPUT), XT_DROP);
    CHECK_EQ(ask(XT_OUTPUT), XT_ACCEPT);
    gone();
}

/* ---- at random ----------------------------------------------------------------------------- */

static const char *const exprs[] = {
    "immediate", "cmp",     "bitwise", "byteorder", "range",  "counter", "limit",  "quota",
    "last",      "meta",    "payload", "exthdr",    "ct",     "fib",     "numgen", "hash",
    "rt",        "lookup",  "dynset",  "objref",    "reject", "log",     "nat",    "masq",
    "redir",     "notrack", "match",   "target",    "nosuch",
};
static const char *const names[] = {"a", "b", "c", "d"};

static const char *any(void)
{
    return names[rnd() % ARRAY_SIZE(names)];
}

static void value(u16 type, u32 n)
{
    u8 b[80];
    u32 at = nest(type);
    for (u32 i = 0; i < n; i++)
        b[i] = (u8)(rnd() % 3);
    attr(LX_NFTA_DATA_VALUE, b, n);
    unnest(at);
}

static void some_data(u16 type)
{
    static const s32 codes[] = {0, 1, -1, -2, -3, -4, -5, 3};
    if (rnd() % 3)
        value(type, rnd() % 2 ? 4 : rnd() % 70);
    else
        verdict(type, codes[rnd() % ARRAY_SIZE(codes)], rnd() % 2 ? any() : NULL);
}

/* An attribute of an expression: a number, a name, data, a long number or bytes. */
static void some_attr(u16 type, u32 depth);

static void some_expr(u16 type, u32 depth)
{
    const char *name = exprs[rnd() % ARRAY_SIZE(exprs)];
    u32 at = nest(type);
    text(LX_NFTA_EXPR_NAME, name);
    u32 d = nest(LX_NFTA_EXPR_DATA);
    if (!strcmp(name, "match") || !strcmp(name, "target")) {
        bool is_match = name[0] == 'm';
        u32 i = rnd() % (is_match ? xt_nmatches : xt_ntargets);
        u8 b[300];
        for (u32 k = 0; k < sizeof(b); k++)
            b[k] = rnd() % 4 ? 0 : (u8)rnd();
        text(1, is_match ? xt_matches[i].name : xt_targets[i].name);
        be32(2, is_match ? xt_matches[i].revision : xt_targets[i].revision);
        attr(3, b, XT_ALIGN(is_match ? xt_matches[i].size : xt_targets[i].size));
    } else {
        for (u16 k = 1; k < 10; k++) {
            if (rnd() % 4)
                some_attr(k, depth);
        }
    }
    unnest(d);
    unnest(at);
}

static void some_attr(u16 type, u32 depth)
{
    switch (rnd() % 8) {
    case 0:
        text(type, any());
        break;
    case 1:
        some_data(type);
        break;
    case 2:
        be64(type, rnd() % 100);
        break;
    case 3:
        if (depth < 3)
            some_expr(type, depth + 1);
        break;
    case 4:
        be32(type, rnd());
        break;
    default:
        be32(type, rnd() % 20);
    }
}

static void some_elem(void)
{
    u32 e = nest(LX_NFTA_LIST_ELEM);
    if (rnd() % 8)
        value(LX_NFTA_SET_ELEM_KEY, rnd() % 5 ? 4 : 8);
    if (rnd() % 2)
        some_data(LX_NFTA_SET_ELEM_DATA);
    if (rnd() % 4 == 0)
        be32(LX_NFTA_SET_ELEM_FLAGS, rnd() % 4);
    if (rnd() % 4 == 0)
        be64(LX_NFTA_SET_ELEM_TIMEOUT, rnd() % 3);
    if (rnd() % 8 == 0)
        some_expr(LX_NFTA_SET_ELEM_EXPR, 1);
    if (rnd() % 4 == 0)
        text(LX_NFTA_SET_ELEM_OBJREF, any());
    if (rnd() % 8 == 0)
        value(LX_NFTA_SET_ELEM_KEY_END, 8);
    unnest(e);
}

static void some_set(void)
{
    text(LX_NFTA_SET_TABLE, any());
    text(LX_NFTA_SET_NAME, rnd() % 4 ? any() : "__set%d");
    be32(LX_NFTA_SET_FLAGS, rnd() % 2 ? 1U << rnd() % 10 : rnd() % 512);
    be32(LX_NFTA_SET_KEY_TYPE, 1);
    be32(LX_NFTA_SET_KEY_LEN, rnd() % 5 ? 4 : 8);
    be32(LX_NFTA_SET_ID, rnd() % 4);
    if (rnd() % 2)
        be32(LX_NFTA_SET_DATA_TYPE, rnd() % 2 ? 0xffffff00U : 5);
    if (rnd() % 2)
        be32(LX_NFTA_SET_DATA_LEN, 4);
    if (rnd() % 4 == 0)
        be32(LX_NFTA_SET_OBJ_TYPE, 1 + rnd() % 4);
    if (rnd() % 4 == 0)
        some_expr(LX_NFTA_SET_EXPR, 1);
    if (rnd() % 4 == 0) {
        u32 d = nest(LX_NFTA_SET_DESC), l = nest(LX_NFTA_SET_DESC_CONCAT);
        for (u32 i = 0; i < 2; i++) {
            u32 f = nest(LX_NFTA_LIST_ELEM);
            be32(LX_NFTA_SET_FIELD_LEN, 4);
            unnest(f);
        }
        unnest(l);
        unnest(d);
    }
}

static void some_message(void)
{
    static const u8 families[] = {NFT_INET, NFT_INET, NFT_IPV4, NFT_IPV6, NFT_UNSPEC, NFT_BRIDGE};
    u32 type = rnd() % 3 ? (u32[]){3, 6, 6, 9, 12, 12, 18}[rnd() % 7] : rnd() % 34;
    u32 at = begin(type,
                   (u16)((rnd() % 4 ? LX_NLM_F_CREATE : 0) | (rnd() % 2 ? LX_NLM_F_APPEND : 0) |
                         (rnd() % 16 ? 0 : LX_NLM_F_REPLACE) | (rnd() % 16 ? 0 : LX_NLM_F_ECHO)),
                   families[rnd() % 3 ? 0 : rnd() % ARRAY_SIZE(families)]);
    u32 list;
    if (type == LX_NFT_MSG_NEWSET) {
        some_set();
    } else if (type == LX_NFT_MSG_NEWOBJ) {
        text(LX_NFTA_OBJ_TABLE, any());
        text(LX_NFTA_OBJ_NAME, any());
        be32(LX_NFTA_OBJ_TYPE, 1 + rnd() % 4);
        list = nest(LX_NFTA_OBJ_DATA);
        be64(1, 1 + rnd() % 9);
        be64(2, rnd() % 9);
        unnest(list);
    } else {
        text(1, any());
        if (type == LX_NFT_MSG_NEWCHAIN)
            text(LX_NFTA_CHAIN_NAME, any());
        else if (rnd() % 4)
            text(2, any());
        if (type == LX_NFT_MSG_NEWCHAIN && rnd() % 2) {
            list = nest(LX_NFTA_CHAIN_HOOK);
            be32(LX_NFTA_HOOK_HOOKNUM, rnd() % 6);
            be32(LX_NFTA_HOOK_PRIORITY, rnd() % 3 * 100 - 100);
            unnest(list);
            if (rnd() % 2)
                text(LX_NFTA_CHAIN_TYPE, rnd() % 2 ? "nat" : "filter");
        }
        if (rnd() % 3 == 0 && type != LX_NFT_MSG_NEWRULE && type != LX_NFT_MSG_NEWSETELEM)
            be64(3, 1 + rnd() % 30);
        if (type == LX_NFT_MSG_NEWRULE && rnd() % 8 == 0)
            be64(LX_NFTA_RULE_HANDLE, 1 + rnd() % 30);
        if (type == LX_NFT_MSG_NEWRULE && rnd() % 8 == 0)
            be64(LX_NFTA_RULE_POSITION, 1 + rnd() % 30);
        if (type == LX_NFT_MSG_NEWRULE) {
            list = nest(LX_NFTA_RULE_EXPRESSIONS);
            for (u32 i = rnd() % 4; i; i--)
                some_expr(LX_NFTA_LIST_ELEM, 0);
            unnest(list);
        }
        if (type == LX_NFT_MSG_NEWSETELEM || type == LX_NFT_MSG_DELSETELEM ||
            type == LX_NFT_MSG_GETSETELEM) {
            if (rnd() % 4 == 0)
                be32(LX_NFTA_SET_ELEM_LIST_SET_ID, rnd() % 4);
            list = nest(LX_NFTA_SET_ELEM_LIST_ELEMENTS);
            for (u32 i = rnd() % 4; i; i--)
                some_elem();
            unnest(list);
        }
    }
    end(at);
}

/* Asks for what is there, by every kind of message, to its end. */
static void read_all(void)
{
    static u8 room[65536];
    u8 copy[256];
    for (u32 type = 0; type < 34; type++) {
        used = 0;
        u32 at = begin(type, rnd() % 2 ? LX_NLM_F_DUMP : 0, (u8)(rnd() % 3));
        if (rnd() % 2)
            text(1, any());
        if (rnd() % 2)
            text(2, any());
        end(at);
        memcpy(copy, buf, used);
        struct nlbuf m = {.data = room, .cap = sizeof(room)};
        struct nl_dump d = {0};
        const struct lx_nlmsghdr *req = (const void *)copy;
        int r = nft_request(nl, req, &m, &d);
        d.req_size = (u32)(req->len - sizeof(*req));
        memcpy(d.req, req + 1, MIN(d.req_size, (u32)sizeof(d.req)));
        for (u32 i = 0; r == 0 && d.step && i < 100; i++) {
            m.size = 0;
            if (d.step(nl, &d, &m))
                break;
        }
    }
}

static void packets(void)
{
    static const char *const ifaces[] = {"lo", "", "eth0"};
    for (u32 i = 0; i < 10; i++) {
        u32 len = rnd() % 65;
        u8 *exact = malloc(len ? len : 1), mac[6] = {2};
        for (u32 k = 0; k < len; k++)
            exact[k] = (u8)rnd();
        struct xt_packet p = {.is_v6 = rnd() % 2,
                              .in = ifaces[rnd() % 3],
                              .out = ifaces[rnd() % 3],
                              .protocol = rnd() % 2 ? 6 : 17,
                              .l4 = exact,
                              .l4_len = len,
                              .size = 40 + len,
                              .has_owner = rnd() % 2,
                              .csum = (u8)(rnd() % 3),
                              .mac = rnd() % 2 ? mac : NULL,
                              .frag_off = rnd() % 8 ? 0 : 8};
        for (u32 k = 0; k < 16; k++)
            p.src.b[k] = p.dst.b[k] = (u8)rnd();
        if (!p.is_v6) {
            memset(p.src.b, 0, 12);
            p.src.h[5] = 0xffff;
            memcpy(p.dst.b, p.src.b, 12);
        }
        p.i.is_dry = rnd() % 8 == 0;
        (void)!nf_judge(&ns, (enum xt_hook)(rnd() % XT_HOOKS), &p).is_lost;
        nf_done(&p);
        free(exact);
    }
}

TEST(random_messages)
{
    u32 held = 0;
    fresh();
    for (u32 round = 0; round < 20000; round++) {
        if (round % 500 == 0)
            fresh();
        start();
        if (round % 50 == 0) {
            for (u32 i = 0; i < ARRAY_SIZE(names); i++)
                table(names[i]);
        } else {
            for (u32 i = 1 + rnd() % (rnd() % 2 ? 1 : 5); i; i--)
                some_message();
        }
        for (u32 i = rnd() % 4 ? 0 : rnd() % 4; i && used > 40; i--) /* bytes that change */
            buf[20 + rnd() % (used - 20)] ^= (u8)(1U << rnd() % 8);
        if (rnd() % 16 == 0)
            used -= rnd() % (used - 20);
        u8 *exact = malloc(used);
        memcpy(exact, buf, used);
        held += commit();
        free(exact);
        if (round % 4 == 0)
            packets();
        if (round % 16 == 0)
            read_all();
        CHECK(ns.nft_ns->mem <= NFT_MAX_MEM);
    }
    CHECK(held > 1000);
    gone();
}

/* More than a namespace may have is refused, and what there was stays. */
TEST(bounded)
{
    fresh();
    start();
    table("t");
    chain("t", "base", XT_INPUT, 0);
    jump("t", "base", NFT_V_DROP, NULL);
    CHECK(commit());
    for (u32 i = 0; i < 4000; i++) {
        start();
        while (used < 60000)
            jump("t", "base", NFT_V_ACCEPT, NULL);
        if (!commit())
            break;
        CHECK(i < 3999);
    }
    CHECK(ns.nft_ns->mem <= NFT_MAX_MEM);
    CHECK_EQ(ask(XT_INPUT), XT_DROP);
    gone();
}

