/* What the network broker sends is data from outside: heads, and messages of the host's kernel. */
#include "net/host/host.h"
#include "net/netlink/netlink.h"
#include "test.h"
#include "wire/netproto.h"

TEST(sizes_must_agree)
{
    static struct netproto_msg m;
    m.head.size = 10;
    CHECK(netproto_is_whole(&m, sizeof(m.head) + 10, NETPROTO_MAX_DATA));
    CHECK(!netproto_is_whole(&m, sizeof(m.head) + 9, NETPROTO_MAX_DATA));
    CHECK(!netproto_is_whole(&m, sizeof(m.head) + 11, NETPROTO_MAX_DATA));
    CHECK(!netproto_is_whole(&m, sizeof(m.head) - 1, NETPROTO_MAX_DATA));
    CHECK(!netproto_is_whole(&m, 0, NETPROTO_MAX_DATA));
    CHECK(!netproto_is_whole(&m, sizeof(m.head) + 10, 9));
    m.head.size = UINT32_MAX - (u32)sizeof(m.head) + 1;
    CHECK(!netproto_is_whole(&m, 0, UINT32_MAX));
}

TEST(proc_files_are_listed)
{
    CHECK(netproto_is_proc_file("tcp", 3) && netproto_is_proc_file("route", 5));
    CHECK(!netproto_is_proc_file("unix", 4) && !netproto_is_proc_file("netlink", 7));
    CHECK(!netproto_is_proc_file("", 0) && !netproto_is_proc_file("tcp", 2) &&
          !netproto_is_proc_file("tcp\0", 4) && !netproto_is_proc_file("../1/maps", 9));
}

static void add(struct host_answer *a, u16 type, u32 len, const void *data, u32 size)
{
    u8 buf[256] = {0};
    struct lx_nlmsghdr h = {.len = len, .type = type};
    memcpy(buf, &h, sizeof(h));
    if (size)
        memcpy(buf + sizeof(h), data, size);
    CHECK(host_answer_add(a, buf, (u32)sizeof(h) + size) == 0);
}

TEST(answers_end)
{
    struct host_answer a = {0};
    s32 none = 0, denied = -LX_EPERM, odd = 7;
    u64 at = 0, used = net_mem_used();
    CHECK(host_answer_next(&a, &at) == NULL && host_answer_error(&a) == 0);
    add(&a, 16, 20, "abcd", 4);
    add(&a, 16, 17, "x", 1); /* the next one begins at a multiple of four */
    add(&a, LX_NLMSG_DONE, 20, &none, 4);
    CHECK(host_answer_error(&a) == 0);
    CHECK_EQ(host_answer_next(&a, &at)->len, 20);
    CHECK_EQ(host_answer_next(&a, &at)->len, 17);
    CHECK(host_answer_next(&a, &at) == NULL && host_answer_next(&a, &at) == NULL);
    CHECK(net_mem_used() > used);
    host_answer_done(&a);
    host_answer_done(&a);
    CHECK_EQ(net_mem_used(), used);
    add(&a, LX_NLMSG_ERROR, 20, &denied, 4);
    CHECK_EQ(host_answer_error(&a), -LX_EPERM);
    host_answer_done(&a);
    add(&a, LX_NLMSG_DONE, 20, &odd, 4);
    CHECK_EQ(host_answer_error(&a), -LX_EIO);
    host_answer_done(&a);
    add(&a, LX_NLMSG_DONE, 16, NULL, 0); /* no room for an error */
    CHECK_EQ(host_answer_error(&a), 0);
    host_answer_done(&a);
}

TEST(lengths_that_lie)
{
    static const u32 lens[] = {0, 1, 15, 21, 1000, UINT32_MAX, UINT32_MAX - 2};
    for (size_t i = 0; i < ARRAY_SIZE(lens); i++) {
        struct host_answer a = {0};
        u64 at = 0;
        add(&a, 16, lens[i], "abcd", 4);
        CHECK(host_answer_next(&a, &at) == NULL);
        CHECK_EQ(host_answer_error(&a), 0);
        host_answer_done(&a);
    }
}

TEST(answers_are_bounded)
{
    static u8 part[NETPROTO_MAX_DATA];
    struct host_answer a = {0};
    u64 used = net_mem_used();
    u32 n = 0;
    while (host_answer_add(&a, part, sizeof(part)) == 0)
        n++;
    CHECK_EQ(n, HOST_ANSWER_MAX / sizeof(part));
    host_answer_done(&a);
    CHECK_EQ(net_mem_used(), used);
}
