/* wire: the gofer protocol's codec: round trips, bounds, and nothing but errors on garbage. */
#include <linux/stat.h>

#include "abi/fs.h"
#include "test.h"
#include "wire/gofer_proto.h"

static struct wire_bytes str(const char *s)
{
    return (struct wire_bytes){s, (u32)strlen(s)};
}

static struct gp_attr good_attr(void)
{
    return (struct gp_attr){
        .dev = 5, .ino = 77, .nlink = 1, .size = 10, .mode = LX_S_IFREG | 0644, .blksize = 4096};
}

static u8 buf[GP_MAX_MSG + 16];
static struct gp_req req, back;
static struct gp_resp resp, resp_back;

TEST(request_round_trip_of_every_op)
{
    for (u16 op = 1; op < GP_NOPS; op++) {
        memset(&req, 0, sizeof(req));
        req = (struct gp_req){.op = op,
                              .seq = 1000U + op,
                              .node = 42,
                              .node2 = 43,
                              .name = str("name"),
                              .name2 = str("second"),
                              .victim = 44,
                              .moved = 45,
                              .mode = 0640,
                              .uid = 1,
                              .gid = 2,
                              .rdev = 9,
                              .offset = 12345,
                              .count = 100,
                              .data = str("user.data"),
                              .value = str("value"),
                              .nnames = 2,
                              .names = {str("a"), str("b")},
                              .nids = 2,
                              .ids = {7, 8}};
        req.flags = op == GP_OPEN ? GP_O_READ : 0;
        req.set = (struct gp_set){.valid = GP_S_MODE | GP_S_SIZE, .mode = 0755, .size = 99};
        size_t n = gp_req_encode(&req, buf, sizeof(buf));
        CHECK(n > 0);
        CHECK(gp_req_decode(buf, n, &back));
        CHECK_EQ(back.op, op);
        CHECK_EQ(back.seq, 1000 + op);
        if (op == GP_WALK) {
            CHECK_EQ(back.nnames, 2);
            CHECK_STR(back.names[1].p, "b");
        }
        if (op == GP_RENAME) {
            CHECK_STR(back.name.p, "name");
            CHECK_STR(back.name2.p, "second");
            CHECK_EQ(back.victim, 44);
            CHECK_EQ(back.moved, 45);
        }
        if (op == GP_SETATTR)
            CHECK_EQ(back.set.size, 99);
        if (op == GP_FORGET)
            CHECK_EQ(back.ids[1], 8);
        /* Every truncation and every extension is refused. */
        for (size_t cut = 0; cut < n; cut++)
            CHECK(!gp_req_decode(buf, cut, &back));
        buf[n] = 0;
        CHECK(!gp_req_decode(buf, n + 1, &back));
    }
}

static bool name_passes(const char *p, u32 size)
{
    memset(&req, 0, sizeof(req));
    req = (struct gp_req){.op = GP_MKDIR, .node = 1, .name = {p, size}};
    size_t n = gp_req_encode(&req, buf, sizeof(buf));
    return n > 0 && gp_req_decode(buf, n, &back);
}

TEST(names_are_single_components)
{
    char big[300];
    memset(big, 'x', sizeof(big));
    CHECK(name_passes("a", 1));
    CHECK(name_passes("...", 3));
    CHECK(name_passes(".x", 2));
    CHECK(name_passes(big, 255));
    CHECK(!name_passes(big, 256));
    CHECK(!name_passes("", 0));
    CHECK(!name_passes(".", 1));
    CHECK(!name_passes("..", 2));
    CHECK(!name_passes("a/b", 3));
    CHECK(!name_passes("/", 1));
    CHECK(!name_passes("a\0b", 3));
}

TEST(flags_and_modes_are_bounded)
{
    memset(&req, 0, sizeof(req));
    req = (struct gp_req){.op = GP_OPEN, .flags = 0x80000000U, .node = 1, .name = str("x")};
    CHECK(!gp_req_decode(buf, gp_req_encode(&req, buf, sizeof(buf)), &back));
    req = (struct gp_req){.op = GP_OPEN, .flags = GP_O_READ, .node = 1, .name = str("x")};
    req.nnames = req.nids = 1;
    req.names[0] = str("y");
    CHECK(gp_req_decode(buf, gp_req_encode(&req, buf, sizeof(buf)), &back));
    req.flags = GP_O_READ | GP_O_WRITE; /* others are for reading only */
    CHECK(!gp_req_decode(buf, gp_req_encode(&req, buf, sizeof(buf)), &back));
    req.flags = GP_O_READ;
    req.nids = 0; /* each in a directory */
    CHECK(!gp_req_decode(buf, gp_req_encode(&req, buf, sizeof(buf)), &back));
    req = (struct gp_req){.op = GP_MKDIR, .node = 1, .name = str("x"), .mode = 0170000};
    CHECK(!gp_req_decode(buf, gp_req_encode(&req, buf, sizeof(buf)), &back));
    req = (struct gp_req){.op = GP_READDIR, .node = 1, .name = str("x"), .offset = -1};
    CHECK(!gp_req_decode(buf, gp_req_encode(&req, buf, sizeof(buf)), &back));
    req = (struct gp_req){.op = GP_SETATTR, .node = 1, .set = {.valid = 0x8000}};
    CHECK(!gp_req_decode(buf, gp_req_encode(&req, buf, sizeof(buf)), &back));
    req = (struct gp_req){.op = GP_SYMLINK, .node = 1, .name = str("x"), .data = {"a\0b", 3}};
    CHECK(!gp_req_decode(buf, gp_req_encode(&req, buf, sizeof(buf)), &back));
}

TEST(answer_round_trip_of_every_op)
{
    for (u16 op = 1; op < GP_NOPS; op++) {
        memset(&resp, 0, sizeof(resp));
        resp.op = op;
        resp.seq = 3;
        resp.node = 9;
        resp.count = 4;
        resp.attr = good_attr();
        resp.data = str("data");
        resp.nattrs = 2;
        resp.found[0].attr = good_attr();
        resp.found[1].attr = good_attr();
        resp.found[1].attr.mode = LX_S_IFLNK | 0777;
        resp.found[1].target = str("to/there");
        size_t n = gp_resp_encode(&resp, buf, sizeof(buf));
        CHECK(n > 0);
        CHECK(gp_resp_decode(buf, n, &resp_back));
        CHECK_EQ(resp_back.seq, 3);
        for (size_t cut = 0; cut < n; cut++)
            CHECK(!gp_resp_decode(buf, cut, &resp_back));
        if (op == GP_WALK || op == GP_STATS) {
            CHECK(gp_resp_decode(buf, n, &resp_back));
            CHECK_EQ(resp_back.nattrs, 2);
            CHECK_STR(resp_back.found[1].target.p, "to/there");
        }
    }
}

static bool attr_passes(struct gp_attr a)
{
    memset(&resp, 0, offsetof(struct gp_resp, found));
    resp.op = GP_GETATTR;
    resp.attr = a;
    return gp_resp_decode(buf, gp_resp_encode(&resp, buf, sizeof(buf)), &resp_back);
}

TEST(attributes_are_checked)
{
    struct gp_attr a = good_attr();
    CHECK(attr_passes(a));
    a.mode = 0644; /* no type */
    CHECK(!attr_passes(a));
    a = good_attr();
    a.mode |= 0x80000000U;
    CHECK(!attr_passes(a));
    a = good_attr();
    a.size = 1ULL << 63;
    CHECK(!attr_passes(a));
    a = good_attr();
    a.mtime.nsec = 1000000000;
    CHECK(!attr_passes(a));
    a = good_attr();
    a.blksize = 0;
    CHECK(!attr_passes(a));
    a = good_attr();
    a.flags = 0x10;
    CHECK(!attr_passes(a));
}

TEST(listing_round_trip_and_bounds)
{
    struct wire_out w;
    struct wire_in in;
    struct gp_dirent e = {.ino = 1, .next_off = 10, .type = LX_DT_DIR, .name = str(".")};
    wire_out_init(&w, buf, 4096);
    CHECK(gp_dirent_put(&w, &e));
    e.name = str("file");
    e.has_attr = true;
    e.attr = good_attr();
    u32 count = 1;
    while (gp_dirent_put(&w, &e))
        count++;
    CHECK(w.size <= 4096);
    CHECK(count > 10);
    wire_in_init(&in, buf, w.size);
    for (u32 i = 0; i < count; i++)
        CHECK_EQ(gp_dirent_next(&in, &e), 1);
    CHECK_EQ(gp_dirent_next(&in, &e), 0);
    wire_in_init(&in, buf, w.size - 1);
    int r;
    while ((r = gp_dirent_next(&in, &e)) == 1) {
    }
    CHECK_EQ(r, -LX_EPROTO);
}

TEST(garbage_never_crosses_bounds)
{
    u64 seed = 88172645463325252ULL;
    for (int round = 0; round < 200000; round++) {
        size_t n = 0;
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        size_t want = seed % 200;
        u64 x = seed;
        for (; n < want; n++) {
            x = x * 6364136223846793005ULL + 1442695040888963407ULL;
            buf[n] = (u8)(x >> 56) & (round & 1 ? 0xff : 0x07);
        }
        if (n > 2) {
            buf[0] = (u8)(round % GP_NOPS);
            buf[1] = 0;
        }
        (void)!gp_req_decode(buf, n, &back);
        (void)!gp_resp_decode(buf, n, &resp_back);
        struct wire_in in;
        struct gp_dirent e;
        wire_in_init(&in, buf, n);
        while (gp_dirent_next(&in, &e) == 1) {
        }
    }
}
