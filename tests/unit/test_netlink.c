/*
 * The decoders of netlink requests (route, sock_diag, generic) under requests with bytes changed at
 * random, from a fixed seed. Every request is a buffer of exactly its size, so that a sanitiser
 * sees a read beyond it; what is answered stays inside the answer's buffer and is well-formed.
 */
#include "kern/kern_int.h"
#include "net/netdev.h"
#include "net/netlink/netlink.h"
#include "net/netlink/route.h"
#include "net/parts.h"
#include "net/stack/stack.h"
#include "test.h"

static u64 seed = 0x2545f4914f6cdd1dULL;
static u32 rnd(u32 n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (u32)(seed >> 33) % n;
}

static struct net_ns *ns;
static void set_up(void)
{
    if (ns)
        return;
    CHECK_EQ(net_ns_new(&root_user_ns, &ns), 0);
    mutex_lock(&dev_lock);
    CHECK_EQ(stk_set_flags(ns->stack, LO_IFINDEX, LX_IFF_UP), 0);
    mutex_unlock(&dev_lock);
}

/* ---- requests that mean something ----------------------------------------------------------- */

struct req {
    u8 b[1024];
    u32 n;
};

static void *begin(struct req *q, u16 type, u16 flags, u32 head)
{
    struct lx_nlmsghdr h = {0, type, flags, 7, 0};
    memset(q, 0, sizeof(*q));
    memcpy(q->b, &h, sizeof(h));
    q->n = sizeof(h) + NL_ALIGN(head);
    return q->b + sizeof(h);
}
static u32 attr(struct req *q, u16 type, const void *data, u32 size)
{
    struct lx_nlattr a = {(u16)(sizeof(a) + size), type};
    u32 at = q->n;
    if (q->n + sizeof(a) + NL_ALIGN(size) > sizeof(q->b))
        return at;
    memcpy(q->b + at, &a, sizeof(a));
    if (size)
        memcpy(q->b + at + sizeof(a), data, size);
    q->n += sizeof(a) + NL_ALIGN(size);
    return at;
}
static void end_nest(struct req *q, u32 at)
{
    u16 len = (u16)(q->n - at);
    memcpy(q->b + at, &len, sizeof(len));
}
static void attr_u32(struct req *q, u16 type, u32 v)
{
    attr(q, type, &v, sizeof(v));
}

static void link_request(struct req *q)
{
    static const char *const kinds[] = {"veth", "bridge", "dummy", "vlan", "tun", "nosuch"};
    static const u16 types[] = {LX_RTM_NEWLINK, LX_RTM_SETLINK, LX_RTM_DELLINK, LX_RTM_GETLINK};
    static const u8 mac[6] = {2, 1, 2, 3, 4, 5};
    u16 flags[] = {0, LX_NLM_F_CREATE, LX_NLM_F_CREATE | LX_NLM_F_EXCL, LX_NLM_F_REPLACE};
    struct lx_ifinfomsg *m = begin(q, types[rnd(4)], flags[rnd(4)], sizeof(*m));
    m->family = rnd(8) ? 0 : LX_PF_BRIDGE;
    m->index = rnd(2) ? 0 : (s32)rnd(6);
    m->flags = m->change = rnd(2);
    char name[16];
    snprintf(name, sizeof(name), "n%u", rnd(6));
    if (rnd(3))
        attr(q, IFLA_IFNAME, name, (u32)strlen(name) + 1);
    if (!rnd(4))
        attr(q, IFLA_ADDRESS, mac, 6);
    if (!rnd(4))
        attr_u32(q, IFLA_MTU, rnd(3000));
    if (!rnd(4))
        attr_u32(q, IFLA_MASTER, rnd(6));
    if (rnd(2))
        attr_u32(q, IFLA_LINK, rnd(6));
    u32 info = attr(q, IFLA_LINKINFO, NULL, 0);
    const char *kind = kinds[rnd(6)];
    attr(q, IFLA_INFO_KIND, kind, (u32)strlen(kind));
    u32 data = attr(q, IFLA_INFO_DATA, NULL, 0);
    if (rnd(2)) {
        u32 peer = attr(q, VETH_INFO_PEER, NULL, 0);
        struct lx_ifinfomsg pm = {0};
        memcpy(q->b + q->n, &pm, sizeof(pm));
        q->n += sizeof(pm);
        snprintf(name, sizeof(name), "p%u", rnd(6));
        attr(q, IFLA_IFNAME, name, (u32)strlen(name) + 1);
        end_nest(q, peer);
    } else {
        attr_u32(q, (u16)(1 + rnd(8)), rnd(64));
    }
    end_nest(q, data);
    end_nest(q, info);
}

static void an_addr(struct req *q, u16 type, u8 family)
{
    u8 a[16] = {0xfd, [15] = (u8)rnd(8)};
    if (family == LX_AF_INET)
        a[0] = 10, a[3] = (u8)rnd(8);
    attr(q, type, a, family == LX_AF_INET ? 4 : 16);
}

static void addr_request(struct req *q)
{
    static const u16 types[] = {LX_RTM_NEWADDR, LX_RTM_DELADDR, LX_RTM_GETADDR};
    u8 family = rnd(2) ? LX_AF_INET : LX_AF_INET6;
    struct lx_ifaddrmsg *m =
        begin(q, types[rnd(3)], rnd(2) ? LX_NLM_F_CREATE : LX_NLM_F_REPLACE, sizeof(*m));
    m->family = family;
    m->prefixlen = (u8)rnd(family == LX_AF_INET ? 34 : 130);
    m->index = rnd(6);
    an_addr(q, IFA_LOCAL, family);
    if (rnd(2))
        an_addr(q, IFA_ADDRESS, family);
    if (rnd(2)) {
        u32 life[4] = {rnd(2) ? UINT32_MAX : rnd(3), rnd(2) ? UINT32_MAX : rnd(3)};
        attr(q, IFA_CACHEINFO, life, sizeof(life));
    }
    if (!rnd(4))
        attr(q, IFA_LABEL, "lo:1", 5);
    if (!rnd(4))
        attr_u32(q, IFA_FLAGS, rnd(0x1000));
}

static void route_request(struct req *q)
{
    static const u16 types[] = {LX_RTM_NEWROUTE, LX_RTM_DELROUTE, LX_RTM_GETROUTE};
    u8 family = rnd(2) ? LX_AF_INET : LX_AF_INET6;
    struct lx_rtmsg *m =
        begin(q, types[rnd(3)], rnd(2) ? LX_NLM_F_CREATE : LX_NLM_F_CREATE | LX_NLM_F_REPLACE,
              sizeof(*m));
    m->family = family;
    m->dst_len = (u8)rnd(family == LX_AF_INET ? 34 : 130);
    m->table = (u8)(rnd(2) ? 254 : rnd(256));
    m->type = (u8)(rnd(2) ? 1 : rnd(12));
    if (rnd(2))
        an_addr(q, RTA_DST, family);
    if (rnd(2))
        an_addr(q, RTA_GATEWAY, family);
    if (rnd(2))
        attr_u32(q, RTA_OIF, rnd(6));
    if (!rnd(3)) {
        u32 at = attr(q, RTA_METRICS, NULL, 0);
        attr_u32(q, (u16)(1 + rnd(16)), rnd(70000));
        end_nest(q, at);
    }
    if (!rnd(3)) {
        u32 at = attr(q, RTA_MULTIPATH, NULL, 0);
        for (u32 k = 1 + rnd(4); k; k--) {
            struct {
                u16 len;
                u8 flags, hops;
                s32 ifindex;
            } hop = {8, (u8)rnd(8), (u8)rnd(5), (s32)rnd(6)};
            u32 from = q->n;
            memcpy(q->b + q->n, &hop, sizeof(hop));
            q->n += sizeof(hop);
            an_addr(q, RTA_GATEWAY, family);
            hop.len = (u16)(q->n - from);
            memcpy(q->b + from, &hop, sizeof(hop));
        }
        end_nest(q, at);
    }
}

static void rule_request(struct req *q)
{
    u8 family = rnd(2) ? LX_AF_INET : LX_AF_INET6;
    struct lx_rtmsg *m =
        begin(q, rnd(3) ? LX_RTM_NEWRULE : LX_RTM_DELRULE, LX_NLM_F_CREATE, sizeof(*m));
    m->family = family;
    m->type = (u8)(rnd(2) ? 1 : rnd(10));
    m->table = (u8)rnd(256);
    m->src_len = (u8)rnd(34);
    for (u32 k = rnd(4); k; k--)
        attr_u32(q, (u16)rnd(26), rnd(5));
    an_addr(q, FRA_SRC, family);
}

static void neigh_request(struct req *q)
{
    static const u16 types[] = {LX_RTM_NEWNEIGH, LX_RTM_DELNEIGH, LX_RTM_GETNEIGH};
    u8 family = rnd(2) ? LX_AF_INET : LX_AF_INET6;
    struct lx_ndmsg *m = begin(q, types[rnd(3)], LX_NLM_F_CREATE, sizeof(*m));
    m->family = family;
    m->ifindex = (s32)rnd(6);
    m->state = (u16)(rnd(2) ? 0x80 : rnd(256));
    an_addr(q, NDA_DST, family);
    attr(q, NDA_LLADDR, "\2\0\0\0\0\1", 6);
}

static void dump_request(struct req *q)
{
    u8 *p = begin(q, (u16)(LX_RTM_GETLINK + 4 * rnd(24)), LX_NLM_F_DUMP, 1 + rnd(28));
    p[0] = (u8)(rnd(2) ? 0 : rnd(40));
}

static void any_route(struct req *q)
{
    switch (rnd(7)) {
    case 0:
        link_request(q);
        break;
    case 1:
        addr_request(q);
        break;
    case 2:
        route_request(q);
        break;
    case 3:
        rule_request(q);
        break;
    case 4:
        neigh_request(q);
        break;
    case 5:
        dump_request(q);
        break;
    default: { /* a type of any kind with random attributes */
        u8 *p = begin(q, (u16)(16 + rnd(110)), (u16)rnd(0x1000), 4 + 4 * rnd(8));
        for (u32 i = 16; i < q->n; i++)
            *p++ = (u8)(rnd(2) ? 0 : rnd(256));
        for (u32 k = rnd(6); k; k--) {
            u8 data[32];
            for (u32 i = 0; i < sizeof(data); i++)
                data[i] = (u8)rnd(256);
            attr(q, (u16)rnd(64), data, rnd(33));
        }
    }
    }
}

/* tcp, udp and unix lists, with programs that choose among them */
static void any_diag(struct req *q)
{
    u8 *p =
        begin(q, rnd(8) ? 20 : (u16)(16 + rnd(8)), rnd(3) ? LX_NLM_F_DUMP : 0, rnd(2) ? 56 : 24);
    static const u8 families[] = {LX_AF_INET, LX_AF_INET6, LX_AF_UNIX, LX_AF_PACKET, LX_AF_NETLINK};
    p[0] = families[rnd(5)];
    p[1] = rnd(2) ? 6 : 17;
    for (u32 i = 2; i < q->n - 16; i++)
        p[i] = (u8)(rnd(3) ? 0 : rnd(256));
    if (rnd(2)) { /* INET_DIAG_REQ_BYTECODE */
        u8 code[64];
        u32 n = 4 * (1 + rnd(16));
        for (u32 i = 0; i < n; i++)
            code[i] = (u8)(rnd(3) ? rnd(16) : rnd(256));
        attr(q, 1, code, n);
    }
}

static void any_generic(struct req *q)
{
    u8 *p = begin(q, rnd(4) ? 16 : (u16)rnd(64), (u16)(rnd(2) ? LX_NLM_F_DUMP : rnd(0x1000)), 4);
    p[0] = (u8)(rnd(2) ? 3 : rnd(12));
    u16 id = (u16)(16 + rnd(3));
    if (rnd(2))
        attr(q, 1, &id, sizeof(id));
    static const char name[8] = "nlctrl";
    if (rnd(2))
        attr(q, 2, name, 1 + rnd(sizeof(name)));
}

/* ---- asking ---------------------------------------------------------------------------------- */

static void check_answer(const struct nlbuf *b)
{
    CHECK(b->size <= b->cap);
    for (u32 at = 0; at < b->size;) {
        struct lx_nlmsghdr h;
        CHECK(b->size - at >= sizeof(h));
        memcpy(&h, b->data + at, sizeof(h));
        CHECK(h.len >= sizeof(h) && h.len <= b->size - at);
        at += NL_ALIGN(h.len);
    }
}

static int ask(struct nl_sock *n, nl_request_fn fn, struct req *q)
{
    u32 len = q->n;
    memcpy(q->b, &len, sizeof(len)); /* which netlink.c has checked */
    u8 *exact = malloc(q->n), *out = malloc(NL_BUF_SIZE);
    memcpy(exact, q->b, q->n);
    struct nlbuf b = {.data = out, .cap = NL_BUF_SIZE, .seq = 7, .pid = 1};
    struct nl_dump d = {0};
    const struct lx_nlmsghdr *h = (const void *)exact;
    int r = h->type >= LX_NLMSG_MIN_TYPE ? fn(n, h, &b, &d) : 0;
    CHECK(r <= 0);
    check_answer(&b);
    if (r == 0 && d.step) {
        d.req_size = MIN(q->n - (u32)sizeof(*h), (u32)sizeof(d.req));
        memcpy(d.req, exact + sizeof(*h), d.req_size);
        for (u32 k = 0;; k++) { /* a dump ends */
            b.size = 0;
            b.is_full = false;
            bool is_over = d.step(n, &d, &b);
            check_answer(&b);
            if (is_over)
                break;
            CHECK(k < 10000);
        }
    }
    host_answer_done(&d.host);
    free(out);
    free(exact);
    return r;
}

static void change_some(struct req *q)
{
    for (u32 k = rnd(4); k; k--)
        q->b[sizeof(struct lx_nlmsghdr) + rnd(q->n - (u32)sizeof(struct lx_nlmsghdr))] =
            (u8)(rnd(2) ? rnd(256) : rnd(8));
    if (!rnd(8))
        q->n = (u32)sizeof(struct lx_nlmsghdr) + rnd(q->n - (u32)sizeof(struct lx_nlmsghdr) + 1);
}

static void run(s32 protocol, nl_request_fn fn, void (*make)(struct req *), u32 rounds)
{
    struct sock *sk;
    struct req q;
    u32 naccepted = 0;
    CHECK_EQ(netlink_create(ns, LX_SOCK_RAW, protocol, &sk), 0);
    for (u32 i = 0; i < rounds; i++) {
        make(&q);
        change_some(&q);
        naccepted += ask(nl_sk(sk), fn, &q) == 0;
    }
    CHECK(naccepted > rounds / 20); /* not all were turned away at the door */
    sock_put(sk);
}

TEST(route)
{
    set_up();
    run(LX_NETLINK_ROUTE, nl_route_request, any_route, 60000);
    /* As well as ever: what was made can be listed, and a link made. */
    struct sock *sk;
    struct req q;
    CHECK_EQ(netlink_create(ns, LX_SOCK_RAW, LX_NETLINK_ROUTE, &sk), 0);
    begin(&q, LX_RTM_GETLINK, LX_NLM_F_DUMP, 16);
    CHECK_EQ(ask(nl_sk(sk), nl_route_request, &q), 0);
    CHECK(stk_iface(ns->stack, LO_IFINDEX) == stk_lo(ns->stack));
    sock_put(sk);
}

TEST(sock_diag)
{
    set_up();
    run(LX_NETLINK_SOCK_DIAG, nl_diag_request, any_diag, 60000);
}

TEST(generic)
{
    set_up();
    run(LX_NETLINK_GENERIC, nl_generic_request, any_generic, 30000);
}
