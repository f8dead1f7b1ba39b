/* One file's contents under random operations, against a model in memory. */
#include <sys/sendfile.h>

#include "fs_random.h"

#define MAX_SIZE (160 << 10)

static struct {
    int fd, append, dup; /* of one file; dup shares fd's position */
    uint32_t size;
    unsigned char bytes[MAX_SIZE + 4096];
} m;
static unsigned char buf[MAX_SIZE + 4096];

static void open_all(void)
{
    m.fd = open("f", O_RDWR | O_CREAT, 0600);
    m.append = open("f", O_RDWR | O_APPEND);
    m.dup = dup(m.fd);
    CHECK(m.fd >= 0 && m.append >= 0 && m.dup >= 0);
}

static void close_all(void)
{
    CHECK(close(m.fd) == 0 && close(m.append) == 0 && close(m.dup) == 0);
}

static uint32_t fill(void)
{
    uint32_t n = 1 + rnd(rnd(4) ? 5000 : 40000);
    unsigned char c = (unsigned char)rnd(256);
    for (uint32_t i = 0; i < n; i++)
        buf[i] = (unsigned char)(c + i * 3);
    return n;
}

static void same(uint32_t off, const unsigned char *got, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        if (got[i] != m.bytes[off + i])
            CHECK_EQ(off + i, -1LL - got[i]); /* tells where */
    }
}

static uint32_t there(uint32_t off, uint32_t n)
{
    return off >= m.size ? 0 : m.size - off < n ? m.size - off : n;
}

static void model_write(uint32_t off, const void *p, uint32_t n)
{
    memcpy(m.bytes + off, p, n);
    if (off + n > m.size)
        m.size = off + n;
}

static void op_read(void)
{
    uint32_t off = rnd(MAX_SIZE), n = 1 + rnd(30000), want = there(off, n);
    switch (rnd(3)) {
    case 0:
        CHECK_EQ(pread(m.fd, buf, n, off), want);
        break;
    case 1:
        CHECK_EQ(lseek(m.fd, off, SEEK_SET), off);
        CHECK_EQ(read(m.dup, buf, n), want);
        CHECK_EQ(lseek(m.fd, 0, SEEK_CUR), off + want);
        break;
    default: {
        uint32_t a = n / 3, b = n / 2 - a;
        struct iovec v[3] = {{buf, a}, {buf + a, b}, {buf + a + b, n - a - b}};
        CHECK_EQ(preadv(m.append, v, 3, off), want);
    }
    }
    same(off, buf, want);
}

static void op_write(void)
{
    uint32_t n = fill(), off = rnd(MAX_SIZE - n);
    switch (rnd(3)) {
    case 0:
        CHECK_EQ(pwrite(m.fd, buf, n, off), n);
        break;
    case 1:
        CHECK_EQ(lseek(m.dup, off, SEEK_SET), off);
        CHECK_EQ(write(m.fd, buf, n), n);
        break;
    default: {
        struct iovec v[2] = {{buf, n / 2}, {buf + n / 2, n - n / 2}};
        CHECK_EQ(pwritev(m.fd, v, 2, off), n);
    }
    }
    model_write(off, buf, n);
}

static void op_append(void)
{
    uint32_t n = fill();
    if (m.size + n > MAX_SIZE)
        return;
    CHECK_EQ(write(m.append, buf, n), n);
    model_write(m.size, buf, n);
}

static void op_truncate(void)
{
    uint32_t n = rnd(3) ? rnd(MAX_SIZE) : rnd(m.size + 1);
    CHECK_EQ(rnd(2) ? ftruncate(m.fd, n) : truncate("f", n), 0);
    if (n < m.size)
        memset(m.bytes + n, 0, m.size - n);
    m.size = n;
}

static void op_fallocate(void)
{
    static const int modes[] = {0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE};
    int mode = modes[rnd(3)];
    uint32_t n = 1 + rnd(20000), off = rnd(MAX_SIZE - n);
    CHECK_EQ(fallocate(m.fd, mode, off, n), 0);
    if (mode & FALLOC_FL_PUNCH_HOLE)
        memset(m.bytes + off, 0, n);
    else if (mode == 0 && off + n > m.size)
        m.size = off + n;
}

static void op_map(void)
{
    uint32_t first = rnd(m.size + 1) & ~4095U, n = 1 + rnd(20000), want = there(first, n);
    if (want == 0)
        return;
    int is_shared = (int)rnd(2);
    unsigned char *p =
        mmap(NULL, want, PROT_READ | PROT_WRITE, is_shared ? MAP_SHARED : MAP_PRIVATE, m.fd, first);
    CHECK(p != MAP_FAILED);
    same(first, p, want);
    uint32_t at = rnd(want), len = 1 + rnd(want - at);
    memset(p + at, (int)rnd(256), len);
    if (is_shared)
        memcpy(m.bytes + first + at, p + at, len);
    if (rnd(2))
        CHECK_EQ(msync(p, want, MS_SYNC), 0);
    CHECK_EQ(munmap(p, want), 0);
}

static void op_copy(void)
{
    uint32_t n = 1 + rnd(20000), from = rnd(MAX_SIZE - n), to = rnd(MAX_SIZE - n);
    uint32_t want = there(from, n);
    if (from < to + n && to < from + n)
        return; /* overlaps: EINVAL */
    loff_t a = from, b = to;
    CHECK_EQ(copy_file_range(m.fd, &a, m.fd, &b, n, 0), want);
    if (want)
        model_write(to, memcpy(buf, m.bytes + from, want), want);
}

static void op_sendfile(void)
{
    uint32_t n = 1 + rnd(20000), from = rnd(MAX_SIZE), want = there(from, n);
    off_t a = from;
    int out = open("g", O_RDWR | O_CREAT | O_TRUNC, 0600);
    CHECK_EQ(sendfile(out, m.fd, &a, n), want);
    CHECK_EQ(a, from + want);
    CHECK_EQ(pread(out, buf, n, 0), want);
    same(from, buf, want);
    CHECK_EQ(close(out), 0);
}

static void op_holes(void)
{
    uint32_t at = rnd(MAX_SIZE);
    off_t data = lseek(m.fd, at, SEEK_DATA), hole = lseek(m.fd, at, SEEK_HOLE);
    if (at >= m.size) {
        CHECK(data == -1 && hole == -1);
        return;
    }
    CHECK(hole >= at && hole <= m.size);
    uint32_t end = data < 0 ? m.size : (uint32_t)data; /* what is skipped is zero */
    for (uint32_t i = at; i < end; i++)
        CHECK_EQ(m.bytes[i], 0);
}

static void op_reopen(void)
{
    struct stat st;
    CHECK_EQ(fstat(m.fd, &st), 0);
    CHECK_EQ(st.st_size, m.size);
    if (rnd(4) == 0)
        CHECK_EQ(fsync(m.fd), 0);
    close_all();
    CHECK_EQ(stat_of("f").st_size, m.size);
    open_all();
}

static void run(unsigned n)
{
    static void (*const ops[])(void) = {op_read,  op_read,   op_read,     op_write,     op_write,
                                        op_write, op_append, op_truncate, op_fallocate, op_map,
                                        op_map,   op_copy,   op_sendfile, op_holes,     op_reopen};
    unlink("f");
    memset(&m, 0, sizeof(m));
    open_all();
    for (unsigned i = 0; i < n; i++)
        ops[rnd(sizeof(ops) / sizeof(ops[0]))]();
    CHECK_EQ(pread(m.fd, buf, MAX_SIZE, 0), m.size);
    same(0, buf, m.size);
    close_all();
    unlink("f");
    unlink("g");
}

TEST(here)
{
    rnd_start(1);
    on(HERE, run, 4000);
}
TEST(tmpfs)
{
    rnd_start(2);
    on(TMPFS, run, 4000);
}
TEST(overlay)
{
    rnd_start(3);
    on(OVERLAY, run, 4000);
}
