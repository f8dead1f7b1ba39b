/* Host fds, record locks against a model, terminals without a guest. */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "fs/dev.h"
#include "fs/devpts.h"
#include "fs/eventfd.h"
#include "fs/hostfd.h"
#include "fs/pipe.h"
#include "fs/tty_int.h"
#include "vfs/lock_int.h"
#include "vfs_env.h"

static void io_start(void)
{
    static bool is_done;
    signal(SIGPIPE, SIG_IGN);
    env_start();
    if (!is_done)
        dev_init();
    is_done = true;
}

static s64 f_read(struct file *f, void *buf, size_t size)
{
    struct uio u;
    uio_init_kernel(&u, buf, size);
    return vfs_read(f, &u, NULL);
}

static s64 f_write(struct file *f, const void *buf, size_t size)
{
    struct uio u;
    uio_init_kernel(&u, (void *)(uintptr_t)buf, size);
    return vfs_write(f, &u, NULL);
}

/* ---- host fds ------------------------------------------------------------------------------ */

static void *late_writer(void *arg)
{
    usleep(30000);
    if (write(*(int *)arg, "late", 4) != 4)
        return (void *)1;
    return NULL;
}

TEST(host_pipe)
{
    int p[2];
    char buf[16];
    struct file *r, *w;
    pthread_t t;
    io_start();
    CHECK_EQ(pipe(p), 0);
    int own_w = dup(p[1]);
    CHECK_EQ(hostfd_new(p[0], 0, &r), 0);
    CHECK_EQ(hostfd_new(p[1], 0, &w), 0);
    CHECK_EQ(f_write(r, "x", 1), -LX_EBADF);
    CHECK_EQ(vfs_poll(r), 0);
    CHECK_EQ(vfs_poll(w) & WAIT_OUT, WAIT_OUT);
    CHECK_EQ(f_write(w, "hello", 5), 5);
    CHECK_EQ(vfs_poll(r) & WAIT_IN, WAIT_IN);
    CHECK_EQ(f_read(r, buf, 16), 5);
    atomic_fetch_or(&r->flags, LX_O_NONBLOCK);
    CHECK_EQ(f_read(r, buf, 16), -LX_EAGAIN);
    CHECK_EQ(fcntl(p[0], F_GETFL) & O_NONBLOCK, 0); /* the host's flag is not ours */
    atomic_fetch_and(&r->flags, ~(u32)LX_O_NONBLOCK);
    pthread_create(&t, NULL, late_writer, &own_w);
    CHECK_EQ(f_read(r, buf, 16), 4); /* waits, woken by the reactor */
    pthread_join(t, NULL);
    close(own_w);
    file_put(w);
    CHECK_EQ(f_read(r, buf, 16), 0);
    CHECK_EQ(vfs_poll(r) & WAIT_HUP, WAIT_HUP);
    file_put(r);
    CHECK_EQ(pipe(p), 0);
    CHECK_EQ(hostfd_new(p[1], 0, &w), 0);
    close(p[0]);
    CHECK_EQ(f_write(w, "x", 1), -LX_EPIPE);
    CHECK_EQ(env_signal, 13);
    file_put(w);
    env_stop();
}

static void *drainer(void *arg)
{
    char buf[5000];
    long sum = 0;
    ssize_t n;
    while ((n = read(*(int *)arg, buf, sizeof(buf))) > 0)
        sum += n;
    return (void *)sum;
}

TEST(host_pipe_fills_and_drains)
{
    enum { SIZE = 3 << 20 };
    int p[2];
    struct file *w;
    pthread_t t;
    void *sum;
    char *big = calloc(1, SIZE);
    io_start();
    CHECK_EQ(pipe(p), 0);
    CHECK_EQ(hostfd_new(p[1], 0, &w), 0);
    pthread_create(&t, NULL, drainer, &p[0]);
    CHECK_EQ(f_write(w, big, SIZE), SIZE);
    file_put(w);
    pthread_join(t, &sum);
    CHECK_EQ((long)sum, SIZE);
    close(p[0]);
    free(big);
    env_stop();
}

TEST(host_socket_pair)
{
    int s[2];
    char buf[16];
    struct file *f;
    io_start();
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, s), 0);
    CHECK_EQ(hostfd_new(s[0], LX_O_NONBLOCK, &f), 0);
    CHECK_EQ(f_read(f, buf, 16), -LX_EAGAIN);
    CHECK_EQ(f_write(f, "ping", 4), 4);
    CHECK_EQ(read(s[1], buf, 16), 4);
    CHECK_EQ(write(s[1], "pong", 4), 4);
    CHECK_EQ(f_read(f, buf, 16), 4);
    close(s[1]);
    CHECK_EQ(f_read(f, buf, 16), 0);
    CHECK_EQ(f_write(f, "x", 1), -LX_EPIPE);
    file_put(f);
    env_stop();
}

TEST(host_file_keeps_the_hosts_position)
{
    char name[] = "/tmp/test_io.XXXXXX", buf[16] = {0};
    struct file *f, *g;
    struct kstat st;
    s64 off = 2;
    io_start();
    int fd = mkstemp(name), twin = dup(fd);
    unlink(name);
    CHECK_EQ(write(fd, "hello world", 11), 11);
    CHECK_EQ(lseek(fd, 6, SEEK_SET), 6);
    CHECK_EQ(hostfd_new(fd, 0, &f), 0);
    CHECK_EQ(f_read(f, buf, 2), 2);
    CHECK(!memcmp(buf, "wo", 2));
    CHECK_EQ(lseek(twin, 0, SEEK_CUR), 8);
    CHECK_EQ(hostfd_new(dup(twin), 0, &g), 0); /* stdout and stderr in one file */
    CHECK_EQ(f_write(g, "AB", 2), 2);
    CHECK_EQ(f_write(f, "C", 1), 1);
    CHECK_EQ(vfs_seek(f, 0, LX_SEEK_CUR), 11);
    CHECK_EQ(vfs_seek(f, 0, LX_SEEK_SET), 0);
    CHECK_EQ(file_pread(f, buf, 3, off), 3);
    CHECK(!memcmp(buf, "llo", 3));
    CHECK_EQ(f_read(f, buf, 16), 11);
    CHECK(!memcmp(buf, "hello woABC", 11));
    CHECK_EQ(vfs_stat(&f->path, &st), 0);
    CHECK_EQ(st.size, 11);
    CHECK_EQ(st.mode & LX_S_IFMT, LX_S_IFREG);
    CHECK_EQ(vfs_truncate(&f->path, 3), 0);
    CHECK_EQ(vfs_stat(&f->path, &st), 0);
    CHECK_EQ(st.size, 3);
    /* Opened again, as /dev/stdout is; not with more rights than the host gave. */
    struct file *again;
    CHECK_EQ(file_open_path(&f->path, LX_O_RDWR, &again), 0);
    CHECK_EQ(file_pread(again, buf, 16, 0), 3);
    file_put(again);
    file_put(f);
    file_put(g);
    close(twin);
    int ro = open("/dev/null", O_RDONLY);
    CHECK_EQ(hostfd_new(ro, 0, &f), 0);
    CHECK_EQ(f_write(f, "x", 1), -LX_EBADF);
    CHECK_EQ(f_read(f, buf, 1), 0);
    CHECK_EQ(file_open_path(&f->path, LX_O_RDWR, &again), -LX_EACCES);
    file_put(f);
    int dir = open("/", O_RDONLY);
    CHECK_EQ(hostfd_new(dir, 0, &f), -LX_EINVAL);
    CHECK_EQ(close(dir), 0);
    env_stop();
}

TEST(host_terminal)
{
    char buf[32];
    struct file *f, *g;
    struct ktermios k;
    io_start();
    int m = posix_openpt(O_RDWR | O_NOCTTY);
    CHECK(m >= 0);
    CHECK_EQ(grantpt(m), 0);
    CHECK_EQ(unlockpt(m), 0);
    int s = open(ptsname(m), O_RDWR | O_NOCTTY), s2 = dup(s);
    CHECK_EQ(hostfd_new(s, 0, &f), 0);
    CHECK_EQ(hostfd_new(s2, 0, &g), 0);
    struct tty *t = tty_of_file(f);
    CHECK(t != NULL);
    CHECK(tty_of_file(g) == t); /* one terminal, whatever the descriptor */
    CHECK_EQ(t->be->get_termios(t, &k), 0);
    CHECK(k.lflag & LX_ICANON);
    k.lflag &= ~(u32)LX_ECHO;
    CHECK_EQ(t->be->set_termios(t, &k, LX_TCSAFLUSH), 0);
    struct termios host;
    CHECK_EQ(tcgetattr(m, &host), 0);
    CHECK(!(host.c_lflag & ECHO));
    struct lx_winsize ws = {7, 9, 0, 0};
    CHECK_EQ(t->be->set_winsize(t, &ws), 0);
    struct winsize hws;
    CHECK_EQ(ioctl(m, TIOCGWINSZ, &hws), 0);
    CHECK_EQ(hws.ws_row, 7);
    CHECK_EQ(write(m, "hi\n", 3), 3);
    CHECK_EQ(f_read(f, buf, 32), 3);
    CHECK_EQ(f_write(g, "yo", 2), 2);
    CHECK_EQ(read(m, buf, 32), 2);
    atomic_fetch_or(&f->flags, LX_O_NONBLOCK);
    CHECK_EQ(f_read(f, buf, 32), -LX_EAGAIN);
    CHECK_EQ(t->be->control(t, LX_TIOCSTI, 0), -LX_ENOTTY); /* not on the list */
    file_put(f);
    file_put(g);
    close(m);
    env_stop();
}

/* ---- record locks against a model ---------------------------------------------------------- */

enum { SPAN = 48, NOWNERS = 3 };

static void check_model(struct inode *i, u8 model[NOWNERS][SPAN], const int *owners)
{
    for (int me = 0; me < NOWNERS; me++) {
        for (s64 at = 0; at < SPAN; at++) {
            for (int type = LX_F_RDLCK; type <= LX_F_WRLCK; type++) {
                bool is_blocked = false;
                for (int o = 0; o < NOWNERS; o++)
                    is_blocked |= o != me && (model[o][at] == 2 || (model[o][at] == 1 && type == LX_F_WRLCK));
                struct lock_range r = {&owners[me], LOCK_POSIX, type, at, at, 1};
                struct file_lock found;
                CHECK_EQ(posix_test(i, &r, &found), is_blocked);
            }
        }
    }
}

TEST(record_locks_follow_a_model)
{
    static u8 model[NOWNERS][SPAN];
    static int owners[NOWNERS];
    u32 seed = 12345;
    io_start();
    CHECK_EQ(e_creat("/f", "x"), 0);
    int fd = e_open("/f", LX_O_RDWR, 0);
    struct file *f = fd_get(fd);
    for (int round = 0; round < 4000; round++) {
        seed = seed * 1103515245 + 12345;
        u32 rnd = seed >> 8;
        int me = (int)(rnd % NOWNERS), type = (int)(rnd / 4 % 3);
        s64 start = rnd / 16 % SPAN, end = start + rnd / 1024 % (SPAN - (u32)start);
        struct lock_range r = {&owners[me], LOCK_POSIX, type, start, end, 1};
        bool is_blocked = false;
        for (int o = 0; o < NOWNERS && type != LX_F_UNLCK; o++)
            for (s64 at = start; at <= end; at++)
                is_blocked |= o != me && (model[o][at] == 2 || (model[o][at] == 1 && type == LX_F_WRLCK));
        CHECK_EQ(posix_lock(f->inode, &r, false), is_blocked ? -LX_EAGAIN : 0);
        for (s64 at = start; at <= end && !is_blocked; at++)
            model[me][at] = type == LX_F_UNLCK ? 0 : type == LX_F_RDLCK ? 1 : 2;
        if (round % 50 == 0)
            check_model(f->inode, model, owners);
    }
    /* Neighbours of a kind are one: an owner never has more records than changes of state. */
    u32 nrecords = 0, nruns = 0;
    struct file_lock *l;
    list_for_each(l, &f->inode->locks->posix, node)
        nrecords++;
    for (int o = 0; o < NOWNERS; o++)
        for (int at = 0; at < SPAN; at++)
            nruns += model[o][at] && (at == 0 || model[o][at - 1] != model[o][at]);
    CHECK_EQ(nrecords, nruns);
    for (int o = 0; o < NOWNERS; o++)
        posix_drop_owner(f->inode->locks, &owners[o]);
    file_put(f);
    e_close(fd);
    env_stop();
}

/* ---- pipes against a model ----------------------------------------------------------------- */

TEST(pipe_follows_a_model)
{
    static u8 buf[200000];
    u32 seed = 99, head = 0, tail = 0;
    struct file *r, *w;
    io_start();
    CHECK_EQ(pipe_new(LX_O_NONBLOCK, &r, &w), 0);
    for (int round = 0; round < 20000; round++) {
        seed = seed * 1103515245 + 12345;
        u32 size = (seed >> 8) % (round % 7 == 0 ? 90000 : 6000) + 1;
        bool is_write = (seed >> 28) & 1;
        if (is_write) {
            for (u32 i = 0; i < size; i++)
                buf[i] = (u8)((head + i) * 7);
            s64 n = f_write(w, buf, size);
            CHECK(n > 0 || n == -LX_EAGAIN);
            CHECK(size > LX_PIPE_BUF || n == (s64)size || n == -LX_EAGAIN); /* whole or not at all */
            head += n > 0 ? (u32)n : 0;
        } else {
            s64 n = f_read(r, buf, size);
            if (head == tail) {
                CHECK_EQ(n, -LX_EAGAIN);
                continue;
            }
            CHECK_EQ(n, MIN(size, head - tail));
            for (u32 i = 0; i < (u32)n; i++)
                CHECK_EQ(buf[i], (u8)((tail + i) * 7));
            tail += (u32)n;
        }
        CHECK_EQ(vfs_poll(r) & WAIT_IN, head != tail ? WAIT_IN : 0);
        if (round % 1000 == 999)
            CHECK(pipe_of(r) && r->ops->fcntl(r, LX_F_SETPIPE_SZ, round & 1 ? 65536 : 131072) != 0);
    }
    file_put(r);
    file_put(w);
    env_stop();
}

/* ---- terminals ----------------------------------------------------------------------------- */

TEST(devpts_names_come_and_go)
{
    struct path pts;
    struct file *m, *s;
    struct kstat st;
    u32 index;
    char buf[16];
    io_start();
    CHECK_EQ(e_mkdir("/pts", 0755), 0);
    CHECK_EQ(e_mount("none", "/pts", "devpts", 0, "gid=5,mode=620,ptmxmode=666,bad"), -LX_EINVAL);
    CHECK_EQ(e_mount("none", "/pts", "devpts", 0, "gid=5,mode=620,ptmxmode=666"), 0);
    CHECK_STR(e_ls("/pts"), "ptmx");
    CHECK_EQ(e_stat("/pts/0", &st), -LX_ENOENT);
    CHECK_EQ(e_walk("/pts", &pts), 0);
    CHECK_EQ(devpts_new_pty(&pts, &m, &index), 0);
    CHECK_EQ(index, 0);
    CHECK_STR(e_ls("/pts"), "ptmx 0");
    CHECK_EQ(e_stat("/pts/0", &st), 0);
    CHECK_EQ(st.mode, LX_S_IFCHR | 0620);
    CHECK_EQ(st.gid, 5);
    CHECK_EQ(devpts_open_peer(m, LX_O_RDWR | LX_O_NOCTTY, &s), 0);
    CHECK_EQ(f_write(m, "ls\r", 3), 3);
    CHECK_EQ(f_read(s, buf, 16), 3);
    CHECK(!memcmp(buf, "ls\n", 3));
    CHECK_EQ(f_read(m, buf, 16), 4);
    CHECK(!memcmp(buf, "ls\r\n", 4));
    file_put(m);
    CHECK_EQ(f_read(s, buf, 16), 0);
    CHECK_EQ(e_stat("/pts/0", &st), -LX_ENOENT);
    CHECK_STR(e_ls("/pts"), "ptmx");
    file_put(s);
    path_put(&pts);
    CHECK_EQ(e_umount("/pts", 0), 0);
    env_stop();
}

/* Random keys at random modes: nothing is ever out of bounds, and the line buffer's marks are sane. */
TEST(line_discipline_survives_noise)
{
    u32 seed = 7;
    struct tty *t = tty_new(NULL, &pts_fops, 0);
    io_start();
    t->has_master = true;
    for (int round = 0; round < 3000; round++) {
        u8 buf[300];
        struct tty_signals sig = {0};
        bool is_line;
        for (size_t i = 0; i < sizeof(buf); i++) {
            seed = seed * 1103515245 + 12345;
            buf[i] = (u8)(seed >> 16);
        }
        mutex_lock(&t->lock);
        if (round % 5 == 0) {
            struct ktermios old = t->termios;
            t->termios.lflag = seed >> 8 & 0x1ffff;
            t->termios.iflag = seed >> 3 & 0x7fff;
            t->termios.oflag = seed >> 5 & 0xffff;
            ldisc_termios_changed(t, &old);
        }
        (void)ldisc_receive(t, buf, sizeof(buf), &sig);
        (void)ldisc_output(t, buf, 50);
        u32 n = ldisc_read(t, buf, seed % sizeof(buf), &is_line);
        CHECK(n <= sizeof(buf));
        CHECK(t->read_head - t->read_tail <= LINE_SIZE);
        CHECK(t->canon_head - t->read_tail <= t->read_head - t->read_tail);
        CHECK(out_used(t) <= OUT_SIZE);
        CHECK(ldisc_count_input(t) <= LINE_SIZE);
        if (round % 3 == 0)
            ldisc_flush_output(t);
        mutex_unlock(&t->lock);
    }
    tty_put(t);
    env_stop();
}
