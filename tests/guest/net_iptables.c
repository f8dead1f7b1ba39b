/* The socket options of iptables-legacy. True on Linux; each test has a network namespace of its
 * own. */
#include "net_common.h" /* before what the kernel's headers would define a second time */

#include <linux/netfilter.h>
#include <linux/netfilter_ipv4/ip_tables.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

static struct ipt_getinfo info;

/* A raw socket in a new namespace, and what its table says of itself. */
static int start(void)
{
    socklen_t len = sizeof(info);
    if (unshare(CLONE_NEWNET) < 0)
        SKIP("no new network namespace");
    int s = socket(AF_INET, SOCK_RAW, IPPROTO_RAW);
    CHECK(s >= 0);
    memset(&info, 0, sizeof(info));
    strcpy(info.name, "filter");
    if (getsockopt(s, SOL_IP, IPT_SO_GET_INFO, &info, &len) < 0 && errno == ENOPROTOOPT)
        SKIP("no ip_tables here");
    CHECK(info.num_entries == 4 && info.size == 632 && info.valid_hooks == 0xe);
    return s;
}

static struct ipt_get_entries *entries(int s)
{
    socklen_t len = (socklen_t)(sizeof(struct ipt_get_entries) + info.size);
    struct ipt_get_entries *g = calloc(1, len);
    strcpy(g->name, "filter");
    g->size = info.size;
    CHECK(getsockopt(s, SOL_IP, IPT_SO_GET_ENTRIES, g, &len) == 0);
    return g;
}

static struct ipt_replace *replacement(const struct ipt_get_entries *g, socklen_t *len)
{
    static struct xt_counters old[4];
    *len = (socklen_t)(sizeof(struct ipt_replace) + info.size);
    struct ipt_replace *r = calloc(1, *len);
    strcpy(r->name, "filter");
    r->valid_hooks = info.valid_hooks;
    r->num_entries = info.num_entries;
    r->size = info.size;
    memcpy(r->hook_entry, info.hook_entry, sizeof(r->hook_entry));
    memcpy(r->underflow, info.underflow, sizeof(r->underflow));
    r->num_counters = 4;
    r->counters = old;
    memcpy(r->entries, g->entrytable, info.size);
    return r;
}

static int *verdict_of_first(struct ipt_replace *r)
{
    struct xt_standard_target *t = (void *)((char *)r->entries + r->entries[0].target_offset);
    return &t->verdict;
}

TEST(a_table_is_replaced)
{
    int s = start();
    socklen_t len;
    struct ipt_get_entries *g = entries(s);
    struct ipt_replace *r = replacement(g, &len);
    *verdict_of_first(r) = -NF_DROP - 1;
    CHECK(setsockopt(s, SOL_IP, IPT_SO_SET_REPLACE, r, len) == 0);
    struct ipt_get_entries *h = entries(s);
    CHECK(memcmp(h->entrytable, r->entries, info.size) == 0);
    CHECK(memcmp(h->entrytable, g->entrytable, info.size) != 0);
}

TEST(bad_tables_are_refused)
{
    int s = start();
    socklen_t len;
    struct ipt_get_entries *g = entries(s);
#define BAD(change, err)                                                                           \
    do {                                                                                           \
        struct ipt_replace *r = replacement(g, &len);                                              \
        change;                                                                                    \
        CHECK_ERR(setsockopt(s, SOL_IP, IPT_SO_SET_REPLACE, r, len), err);                         \
        free(r);                                                                                   \
    } while (0)
    BAD(r->num_counters = 5, EAGAIN);
    BAD(r->num_counters = 0, EINVAL);
    BAD(r->num_entries = 5, EINVAL);
    BAD(r->underflow[NF_INET_LOCAL_IN] = 8, EINVAL);
    BAD(r->name[0] = 'x', ENOENT);
    BAD(r->entries[0].next_offset = 8, EINVAL);
    BAD(r->entries[0].ip.flags = 0x80, EINVAL);
    BAD(*verdict_of_first(r) = 8, EINVAL); /* no policy any more */
    BAD((r->hook_entry[NF_INET_LOCAL_OUT] = 0, r->underflow[NF_INET_LOCAL_OUT] = 0), EINVAL);
    struct ipt_get_entries *h = entries(s);
    CHECK(memcmp(h->entrytable, g->entrytable, info.size) == 0);
}

TEST(questions)
{
    int s = start();
    struct ipt_getinfo i = {.name = "nosuch"};
    struct xt_get_revision v = {.name = "tcp"};
    socklen_t len = sizeof(i);
    CHECK_ERR(getsockopt(s, SOL_IP, IPT_SO_GET_INFO, &i, &len), ENOENT);
    len = sizeof(i) - 1;
    CHECK_ERR(getsockopt(s, SOL_IP, IPT_SO_GET_INFO, &i, &len), EINVAL);
    len = sizeof(v);
    CHECK(getsockopt(s, SOL_IP, IPT_SO_GET_REVISION_MATCH, &v, &len) == 0);
    CHECK_EQ(v.revision, 0);
    v.revision = 9;
    CHECK_ERR(getsockopt(s, SOL_IP, IPT_SO_GET_REVISION_MATCH, &v, &len), EPROTONOSUPPORT);
    strcpy(v.name, "nosuch");
    CHECK_ERR(getsockopt(s, SOL_IP, IPT_SO_GET_REVISION_TARGET, &v, &len), ENOENT);
}

TEST(privilege)
{
    int s = start();
    pid_t p = fork();
    if (p == 0) {
        socklen_t len = sizeof(info);
        if (setresuid(65534, 65534, 65534))
            _exit(2);
        _exit(getsockopt(s, SOL_IP, IPT_SO_GET_INFO, &info, &len) == -1 && errno == EPERM ? 0 : 1);
    }
    int st;
    CHECK(waitpid(p, &st, 0) == p && st == 0);
}
