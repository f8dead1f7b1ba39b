/* gofer: the process itself, driven by raw requests over a connection. */
#include "abi/errno.h"
#include "abi/fs.h"
#include "fs/gofer_conn.h"
#include "gofer_fixture.h"
#include "host/fdio.h"

static struct gofer_fix fx;
static struct gofer_conn *conn;
static struct gofer_call call;
static u64 root;

static struct wire_bytes str(const char *s)
{
    return (struct wire_bytes){s, (u32)strlen(s)};
}

static void shell(const char *fmt)
{
    char cmd[1024];
    snprintf(cmd, sizeof(cmd), "cd %s && %s", fx.dir, fmt);
    CHECK_EQ(system(cmd), 0);
}

static int ask(void)
{
    return gofer_call(conn, &call);
}

static void done(void)
{
    gofer_call_done(conn, &call);
}

static void begin(u16 op, const char *name)
{
    memset(&call, 0, sizeof(call));
    call.req.op = op;
    call.req.node = root;
    call.req.name = str(name);
}

static void start(const char *dir, u32 flags, const char *const *masked)
{
    fix_start(&fx, dir, flags, masked);
    CHECK_EQ(gofer_conn_get(fx.lanes, FIX_LANES, &conn), 0);
    begin(GP_ATTACH, "");
    CHECK_EQ(ask(), 0);
    root = call.resp->node;
    CHECK(root != 0);
    CHECK_EQ(call.resp->attr.mode & LX_S_IFMT, LX_S_IFDIR);
    done();
}

static void stop(void)
{
    gofer_conn_put(conn);
    CHECK_EQ(fix_wait(&fx), 0);
    if (!strncmp(fx.dir, "/tmp/", 5))
        fix_remove(&fx);
}

TEST(walk_and_attributes)
{
    start("", GOFER_RDONLY, NULL);
    shell("mkdir -p a/b && echo hello >a/b/f && ln -s ../x a/b/l && ln a/b/f a/hard");
    begin(GP_WALK, "");
    call.req.nnames = 3;
    call.req.names[0] = str("a");
    call.req.names[1] = str("b");
    call.req.names[2] = str("f");
    CHECK_EQ(ask(), 0);
    CHECK_EQ(call.resp->nattrs, 3);
    CHECK(call.resp->found[0].node && call.resp->found[1].node && !call.resp->found[2].node);
    CHECK_EQ(call.resp->found[2].attr.size, 6);
    CHECK_EQ(call.resp->found[2].attr.nlink, 2);
    u64 b = call.resp->found[1].node;
    done();
    begin(GP_WALK, "");
    call.req.node = b;
    call.req.nnames = 1;
    call.req.names[0] = str("l");
    CHECK_EQ(ask(), 0);
    CHECK_EQ(call.resp->found[0].target.size, 4);
    CHECK(!memcmp(call.resp->found[0].target.p, "../x", 4));
    done();
    begin(GP_WALK, "");
    call.req.nnames = 2;
    call.req.names[0] = str("a");
    call.req.names[1] = str("none");
    CHECK_EQ(ask(), -LX_ENOENT);
    CHECK_EQ(call.resp->nattrs, 1);
    done();
    stop();
}

TEST(open_donates_a_fd)
{
    start("", GOFER_RDONLY, NULL);
    shell("echo hello >f; mkfifo p; ln -s f l; mkdir d");
    begin(GP_OPEN, "f");
    call.req.flags = GP_O_READ;
    CHECK_EQ(ask(), 0);
    int fd = gofer_call_take_fd(&call);
    CHECK(fd >= 0);
    char buf[16];
    CHECK_EQ(pread(fd, buf, sizeof(buf), 0), 6);
    CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    CHECK_EQ(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
    close(fd);
    done();
    static const struct {
        const char *name;
        u32 flags;
        int err;
    } bad[] = {{"p", GP_O_READ, LX_ENXIO},     {"l", GP_O_READ, LX_ELOOP},
               {"d", GP_O_READ, LX_EISDIR},    {"f", GP_O_READ | GP_O_WRITE, LX_EROFS},
               {"none", GP_O_READ, LX_ENOENT}, {"f", 0, LX_EINVAL}};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        begin(GP_OPEN, bad[i].name);
        call.req.flags = bad[i].flags;
        CHECK_EQ(ask(), -bad[i].err);
        CHECK_EQ(call.nfds, 0);
        done();
    }
    stop();
}

TEST(open_donates_fds_of_others)
{
    static const char *const others[] = {"g", "p", "l", "d", "none", "h", "big"};
    start("", GOFER_RDONLY, NULL);
    shell("echo f >f; echo gg >g; mkfifo p; ln -s f l; mkdir d; echo hhh >h; mkdir big");
    begin(GP_OPEN, "f");
    call.req.flags = GP_O_READ;
    call.req.nnames = call.req.nids = ARRAY_SIZE(others);
    for (u32 i = 0; i < ARRAY_SIZE(others); i++) {
        call.req.names[i] = str(others[i]);
        call.req.ids[i] = strcmp(others[i], "big") ? call.req.node : 0xdead0001ULL;
    }
    CHECK_EQ(ask(), 0);
    CHECK_EQ(call.nfds, 3);
    for (s64 size = 4; size >= 2; size--) { /* what was asked for is the first */
        struct stat st;
        int fd = gofer_call_take_fd(&call);
        CHECK_EQ(fstat(fd, &st), 0);
        CHECK_EQ(st.st_size, size);
        CHECK_EQ(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
        close(fd);
    }
    done();
    begin(GP_OPEN, "none");
    call.req.flags = GP_O_READ;
    call.req.nnames = call.req.nids = 1;
    call.req.names[0] = str("g");
    call.req.ids[0] = call.req.node;
    CHECK_EQ(ask(), -LX_ENOENT);
    CHECK_EQ(call.nfds, 0);
    done();
    stop();
}

static u32 list_all(u64 node, const char *name, u32 flags, u32 *ret_ncalls)
{
    s64 pos = 0;
    u32 count = 0;
    bool is_last = false;
    *ret_ncalls = 0;
    while (!is_last) {
        begin(GP_READDIR, name);
        call.req.node = node;
        call.req.flags = flags;
        call.req.offset = pos;
        CHECK_EQ(ask(), 0);
        struct wire_in in;
        struct gp_dirent e;
        wire_in_init(&in, call.resp->data.p, call.resp->data.size);
        int r;
        while ((r = gp_dirent_next(&in, &e)) == 1) {
            count++;
            pos = e.next_off;
            bool is_dot = e.name.p[0] == '.';
            CHECK_EQ(e.has_attr, (flags & GP_RD_ATTR_ALL) && !is_dot);
        }
        CHECK_EQ(r, 0);
        is_last = call.resp->count;
        (*ret_ncalls)++;
        done();
    }
    return count;
}

TEST(readdir_in_batches)
{
    u32 ncalls;
    start("", GOFER_RDONLY, NULL);
    shell("mkdir d && cd d && seq 1 3000 | xargs touch");
    CHECK_EQ(list_all(root, "d", 0, &ncalls), 3002);
    CHECK(ncalls > 1 && ncalls < 10);
    CHECK_EQ(list_all(root, "d", GP_RD_ATTR_ALL, &ncalls), 3002);
    CHECK(ncalls > 5);
    begin(GP_READDIR, "none");
    CHECK_EQ(ask(), -LX_ENOENT);
    done();
    stop();
}

TEST(read_only_export_refuses_changes)
{
    static const u16 ops[] = {GP_CREATE,  GP_MKDIR,  GP_MKNOD,   GP_SYMLINK,  GP_LINK,
                              GP_UNLINK,  GP_RENAME, GP_SETATTR, GP_SETXATTR, GP_REMOVEXATTR,
                              GP_TMPFILE, GP_FSYNC,  GP_SYNCFS};
    start("", GOFER_RDONLY, NULL);
    shell("echo x >f");
    for (size_t i = 0; i < ARRAY_SIZE(ops); i++) {
        begin(ops[i], "f");
        call.req.flags = ops[i] == GP_CREATE || ops[i] == GP_TMPFILE ? GP_O_READ | GP_O_WRITE : 0;
        call.req.mode = ops[i] == GP_MKNOD ? LX_S_IFIFO | 0600 : 0600;
        call.req.node2 = root;
        call.req.name2 = str("g");
        call.req.data = str("user.x");
        CHECK_EQ(ask(), -LX_EROFS);
        done();
    }
    shell("test $(ls | wc -l) = 1");
    stop();
}

TEST(escapes_are_refused)
{
    start("", 0, NULL);
    shell("ln -s / abs; ln -s .. up; mkdir d");
    static const char *const names[] = {"abs", "up"};
    for (size_t i = 0; i < 2; i++) {
        begin(GP_WALK, "");
        call.req.nnames = 2;
        call.req.names[0] = str(names[i]);
        call.req.names[1] = str("etc");
        CHECK_EQ(ask(), 0); /* stops at the link */
        CHECK_EQ(call.resp->nattrs, 1);
        done();
        begin(GP_READDIR, names[i]);
        int r = ask();
        CHECK(r == -LX_ELOOP || r == -LX_ENOTDIR);
        done();
        begin(GP_OPEN, names[i]);
        call.req.flags = GP_O_READ | GP_O_DIR;
        CHECK_EQ(ask(), -LX_ELOOP);
        done();
    }
    /* Ids that were never given, or were given back. */
    static const u64 bad[] = {0, 1, 0xffffffffffffffffULL, 0x100000099ULL, 0x200000001ULL};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        begin(GP_GETATTR, "d");
        call.req.node = bad[i];
        CHECK_EQ(ask(), -LX_ESTALE);
        done();
    }
    begin(GP_FORGET, "");
    call.req.nids = 1;
    call.req.ids[0] = root; /* the root's is for ever */
    CHECK_EQ(ask(), 0);
    done();
    begin(GP_GETATTR, "d");
    CHECK_EQ(ask(), 0);
    done();
    stop();
}

TEST(masked_names_and_kernel_file_systems_are_empty)
{
    static const char *const masked[] = {"dev", NULL};
    u32 ncalls;
    start("/", GOFER_RDONLY | GOFER_CROSS_MOUNTS, masked);
    CHECK_EQ(list_all(root, "dev", 0, &ncalls), 2);
    CHECK_EQ(list_all(root, "proc", 0, &ncalls), 2);
    CHECK_EQ(list_all(root, "sys", 0, &ncalls), 2);
    CHECK(list_all(root, "etc", 0, &ncalls) > 10);
    static const char *const deep[][2] = {{"proc", "self"}, {"dev", "null"}, {"sys", "kernel"}};
    for (size_t i = 0; i < ARRAY_SIZE(deep); i++) {
        begin(GP_WALK, "");
        call.req.nnames = 2;
        call.req.names[0] = str(deep[i][0]);
        call.req.names[1] = str(deep[i][1]);
        CHECK_EQ(ask(), 0);
        CHECK_EQ(call.resp->nattrs, 1);
        u64 id = call.resp->found[0].node;
        CHECK(call.resp->found[0].attr.flags & GP_A_MASKED);
        done();
        begin(GP_GETATTR, deep[i][1]);
        call.req.node = id;
        CHECK_EQ(ask(), -LX_ENOENT);
        done();
        begin(GP_OPEN, "");
        call.req.node = id;
        call.req.flags = GP_O_READ | GP_O_DIR;
        CHECK_EQ(ask(), -LX_EACCES);
        done();
        begin(GP_OPEN, deep[i][0]);
        call.req.flags = GP_O_READ | GP_O_DIR;
        CHECK_EQ(ask(), -LX_EACCES);
        done();
    }
    stop();
}

TEST(garbage_ends_the_lane_and_the_gofer)
{
    start("", 0, NULL);
    CHECK_EQ(host_send_fds(fx.lanes[0], "garbage!", 8, NULL, 0), 0);
    char c;
    u32 nfds;
    CHECK_EQ(host_recv_fds(fx.lanes[0], &c, 1, NULL, 0, &nfds), 0);
    static char big[200000];
    int r = host_send_fds(fx.lanes[1], big, sizeof(big), NULL, 0);
    CHECK(r == 0 || r == -LX_EMSGSIZE);
    int fd = open("/dev/null", O_RDONLY);
    CHECK_EQ(host_send_fds(fx.lanes[2], "x", 1, &fd, 1), 0);
    close(fd);
    CHECK_EQ(host_recv_fds(fx.lanes[2], &c, 1, NULL, 0, &nfds), 0);
    /* Whatever lane a call takes now: an error, and never a wait. */
    begin(GP_GETATTR, "");
    r = ask();
    done();
    begin(GP_GETATTR, "");
    r = ask();
    done();
    CHECK_EQ(r, -LX_EIO);
    stop();
}

TEST(a_dead_gofer_is_eio_and_donated_fds_live_on)
{
    start("", 0, NULL);
    shell("echo hello >f");
    begin(GP_OPEN, "f");
    call.req.flags = GP_O_READ;
    CHECK_EQ(ask(), 0);
    int fd = gofer_call_take_fd(&call);
    done();
    CHECK_EQ(kill(fx.pid, SIGKILL), 0);
    CHECK(WIFSIGNALED(fix_wait(&fx)));
    for (int i = 0; i < 5; i++) {
        begin(GP_GETATTR, "f");
        CHECK_EQ(ask(), -LX_EIO);
        done();
    }
    char buf[8];
    CHECK_EQ(pread(fd, buf, 8, 0), 6);
    close(fd);
    gofer_conn_put(conn);
    fix_remove(&fx);
}

TEST(changes)
{
    start("", 0, NULL);
    begin(GP_CREATE, "f");
    call.req.flags = GP_O_READ | GP_O_WRITE;
    call.req.mode = 04755;
    call.req.uid = 12;
    call.req.gid = 34;
    CHECK_EQ(ask(), 0);
    CHECK_EQ(call.resp->attr.mode, LX_S_IFREG | 04755);
    CHECK_EQ(call.resp->attr.uid, 12);
    CHECK_EQ(call.resp->attr.gid, 34);
    int fd = gofer_call_take_fd(&call);
    CHECK_EQ(pwrite(fd, "abc", 3, 0), 3);
    close(fd);
    done();
    CHECK_EQ((begin(GP_CREATE, "f"), call.req.flags = 3, ask()), -LX_EEXIST);
    done();
    begin(GP_MKDIR, "d");
    call.req.mode = 01777;
    CHECK_EQ(ask(), 0);
    CHECK_EQ(call.resp->attr.mode, LX_S_IFDIR | 01777);
    u64 d = call.resp->node;
    done();
    begin(GP_SYMLINK, "l");
    call.req.data = str("target");
    call.req.uid = 5;
    CHECK_EQ(ask(), 0);
    CHECK_EQ(call.resp->attr.uid, 5);
    done();
    begin(GP_LINK, "f");
    call.req.node2 = d;
    call.req.name2 = str("f2");
    CHECK_EQ(ask(), 0);
    CHECK_EQ(call.resp->attr.nlink, 2);
    done();
    begin(GP_RENAME, "d");
    call.req.node2 = root;
    call.req.name2 = str("e");
    call.req.moved = d;
    CHECK_EQ(ask(), 0);
    done();
    shell("test -f e/f2 && test ! -e d");
    begin(GP_GETATTR, "f2");
    call.req.node = d;
    CHECK_EQ(ask(), 0);
    done();
    begin(GP_SETATTR, "f");
    call.req.set = (struct gp_set){.valid = GP_S_MODE | GP_S_SIZE | GP_S_MTIME | GP_S_UID,
                                   .mode = 0600,
                                   .size = 1000,
                                   .uid = 7,
                                   .mtime = {99, 5, 0}};
    CHECK_EQ(ask(), 0);
    CHECK_EQ(call.resp->attr.mode, LX_S_IFREG | 0600);
    CHECK_EQ(call.resp->attr.size, 1000);
    CHECK_EQ(call.resp->attr.uid, 7);
    CHECK_EQ(call.resp->attr.mtime.sec, 99);
    done();
    /* An object in use stays reachable by its node after its name is gone. */
    begin(GP_UNLINK, "f");
    call.req.flags = GP_U_PIN;
    CHECK_EQ(ask(), 0);
    CHECK_EQ(call.resp->attr.nlink, 1);
    u64 orphan = call.resp->node;
    CHECK(orphan != 0);
    done();
    begin(GP_SETATTR, "");
    call.req.node = orphan;
    call.req.set = (struct gp_set){.valid = GP_S_MODE, .mode = 0444};
    CHECK_EQ(ask(), 0);
    done();
    begin(GP_OPEN, "");
    call.req.node = orphan;
    call.req.flags = GP_O_READ;
    CHECK_EQ(ask(), 0);
    done();
    begin(GP_UNLINK, "e");
    CHECK_EQ(ask(), -LX_EISDIR);
    done();
    begin(GP_UNLINK, "e");
    call.req.flags = GP_U_DIR;
    CHECK_EQ(ask(), -LX_ENOTEMPTY);
    done();
    begin(GP_TMPFILE, "");
    call.req.flags = GP_O_READ | GP_O_WRITE;
    call.req.mode = 0640;
    int r = ask();
    CHECK_EQ(r, 0);
    u64 tmp = call.resp->node;
    CHECK(tmp != 0);
    done();
    begin(GP_LINK, "");
    call.req.node = tmp;
    call.req.node2 = root;
    call.req.name2 = str("named");
    CHECK_EQ(ask(), 0);
    done();
    shell("test -f named");
    stop();
}

TEST(extended_attributes)
{
    start("", 0, NULL);
    shell("touch f");
    begin(GP_SETXATTR, "f");
    call.req.data = str("user.a");
    call.req.value = str("value");
    CHECK_EQ(ask(), 0);
    done();
    begin(GP_GETXATTR, "f");
    call.req.data = str("user.a");
    call.req.count = 100;
    CHECK_EQ(ask(), 0);
    CHECK_EQ(call.resp->count, 5);
    CHECK(!memcmp(call.resp->data.p, "value", 5));
    done();
    begin(GP_GETXATTR, "f");
    call.req.data = str("user.a");
    call.req.count = 2;
    CHECK_EQ(ask(), -LX_ERANGE);
    done();
    begin(GP_GETXATTR, "f");
    call.req.data = str("trusted.x");
    CHECK_EQ(ask(), -LX_EOPNOTSUPP);
    done();
    begin(GP_LISTXATTR, "f");
    call.req.count = 100;
    CHECK_EQ(ask(), 0);
    CHECK_EQ(call.resp->count, 7);
    done();
    begin(GP_REMOVEXATTR, "f");
    call.req.data = str("user.a");
    CHECK_EQ(ask(), 0);
    done();
    stop();
}

TEST(many_nodes_few_fds)
{
    start("", 0, NULL);
    shell("for i in $(seq 1 300); do mkdir -p d$i/x/y; touch d$i/x/y/f; done");
    static u64 ids[300];
    for (int i = 0; i < 300; i++) {
        char name[8];
        snprintf(name, sizeof(name), "d%d", i + 1);
        begin(GP_WALK, "");
        call.req.nnames = 3;
        call.req.names[0] = str(name);
        call.req.names[1] = str("x");
        call.req.names[2] = str("y");
        CHECK_EQ(ask(), 0);
        ids[i] = call.resp->found[2].node;
        done();
    }
    for (int i = 0; i < 300; i++) {
        begin(GP_GETATTR, "f");
        call.req.node = ids[i];
        CHECK_EQ(ask(), 0);
        done();
    }
    /* A directory that another took the place of is not silently the new one. */
    shell("mv d7 away && mkdir -p d7/x/y && touch d7/x/y/f");
    begin(GP_GETATTR, "f");
    call.req.node = ids[6];
    int r = ask();
    CHECK(r == 0 || r == -LX_ESTALE);
    done();
    stop();
}
