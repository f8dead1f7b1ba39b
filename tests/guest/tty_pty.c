/* Pseudo-terminals: the line discipline, ioctls, job control. */
#include <sys/epoll.h>
#include <sys/sysmacros.h>
#include <termios.h>

#include "io_common.h"

static int master, slave;

static void open_pair(void)
{
    char name[64];
    int n, zero = 0;
    master = open("/dev/ptmx", O_RDWR | O_NOCTTY);
    CHECK(master >= 0);
    CHECK_EQ(ioctl(master, TIOCSPTLCK, &zero), 0);
    CHECK_EQ(ioctl(master, TIOCGPTN, &n), 0);
    snprintf(name, sizeof(name), "/dev/pts/%d", n);
    slave = open(name, O_RDWR | O_NOCTTY);
    CHECK(slave >= 0);
}

static void close_pair(void)
{
    close(slave);
    close(master);
}

static struct termios get(void)
{
    struct termios t;
    CHECK_EQ(tcgetattr(slave, &t), 0);
    return t;
}

static void set(struct termios t)
{
    CHECK_EQ(tcsetattr(slave, TCSANOW, &t), 0);
}

static void flags(tcflag_t lset, tcflag_t lclear)
{
    struct termios t = get();
    t.c_lflag = (t.c_lflag | lset) & ~lclear;
    set(t);
}

static void type(const char *s)
{
    CHECK_EQ(write(master, s, strlen(s)), (ssize_t)strlen(s));
}

/* What is there at fd, made visible; "" when there is nothing. */
static const char *take(int fd)
{
    static char shown[2048];
    char buf[512];
    size_t n = 0;
    struct pollfd p = {fd, POLLIN, 0};
    ssize_t r = 0;
    shown[0] = 0;
    /* What was typed is processed at once or very soon. */
    if (poll(&p, 1, 100) == 1 && (p.revents & POLLIN))
        r = read(fd, buf, sizeof(buf));
    if (r < 0)
        return "error";
    for (ssize_t i = 0; i < r; i++)
        n += (size_t)snprintf(shown + n, sizeof(shown) - n, buf[i] >= 32 && buf[i] < 127 ? "%c" : "\\%o",
                              (unsigned char)buf[i]);
    return shown;
}

TEST(names_and_locks)
{
    char name[64], c;
    int n, one = 1, zero = 0;
    struct stat st;
    int m = open("/dev/ptmx", O_RDWR | O_NOCTTY);
    CHECK(m >= 0);
    CHECK_EQ(ioctl(m, TIOCGPTN, &n), 0);
    snprintf(name, sizeof(name), "/dev/pts/%d", n);
    CHECK_EQ(stat(name, &st), 0);
    CHECK(S_ISCHR(st.st_mode));
    CHECK_EQ(st.st_rdev, makedev(136, n));
    CHECK_ERR(open(name, O_RDWR | O_NOCTTY), EIO); /* locked */
    CHECK_EQ(ioctl(m, TIOCSPTLCK, &zero), 0);
    int s = open(name, O_RDWR | O_NOCTTY);
    CHECK(s >= 0);
    CHECK(isatty(s) && isatty(m));
    CHECK_STR(ttyname(s), name);
    CHECK_EQ(ioctl(m, TIOCSPTLCK, &one), 0);
    CHECK_ERR(open(name, O_RDWR | O_NOCTTY), EIO);
    int peer = ioctl(m, 0x5441 /* TIOCGPTPEER */, O_RDWR | O_NOCTTY);
    CHECK(peer >= 0 || errno == EIO);
    if (peer >= 0)
        close(peer);
    int m2 = open("/dev/ptmx", O_RDWR | O_NOCTTY), n2;
    CHECK_EQ(ioctl(m2, TIOCGPTN, &n2), 0);
    CHECK(n2 != n);
    close(m2);
    close(m);
    CHECK_ERR(stat(name, &st), ENOENT);
    CHECK_EQ(read(s, &c, 1), 0); /* hung up */
    CHECK_ERR(write(s, "x", 1), EIO);
    CHECK_ERR(ioctl(s, TCGETS, &st), EIO);
    CHECK_EQ(poll_of(s, POLLIN | POLLOUT), POLLIN | POLLOUT | POLLERR | POLLHUP);
    close(s);
}

TEST(defaults)
{
    open_pair();
    struct termios t = get(), u;
    CHECK_EQ(t.c_iflag & (ICRNL | IXON), ICRNL | IXON);
    CHECK_EQ(t.c_oflag, OPOST | ONLCR);
    CHECK_EQ(t.c_lflag & (ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN),
             ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN);
    CHECK_EQ(t.c_cflag & CSIZE, CS8);
    CHECK_EQ(cfgetospeed(&t), B38400);
    CHECK_EQ(t.c_cc[VINTR], 3);
    CHECK_EQ(t.c_cc[VERASE], 127);
    CHECK_EQ(t.c_cc[VMIN], 1);
    CHECK_EQ(tcgetattr(master, &u), 0); /* both ends show one terminal */
    CHECK_EQ(u.c_lflag, t.c_lflag);
    u.c_lflag &= ~(tcflag_t)ECHO;
    CHECK_EQ(tcsetattr(master, TCSADRAIN, &u), 0);
    CHECK(!(get().c_lflag & ECHO));
    close_pair();
}

TEST(canonical_lines)
{
    char buf[64];
    open_pair();
    type("hello");
    CHECK_STR(take(master), "hello");
    CHECK_EQ(poll_of(slave, POLLIN), 0);
    int n;
    CHECK_EQ(ioctl(slave, FIONREAD, &n), 0);
    CHECK_EQ(n, 0);
    type("\r");
    CHECK_STR(take(master), "\\15\\12");
    CHECK_EQ(poll_of(slave, POLLIN), POLLIN);
    CHECK_EQ(ioctl(slave, FIONREAD, &n), 0);
    CHECK_EQ(n, 6);
    CHECK_EQ(read(slave, buf, 2), 2);
    CHECK_STR(take(slave), "llo\\12");
    type("one\ntwo\nthr");
    CHECK_STR(take(slave), "one\\12"); /* a line a read */
    CHECK_STR(take(slave), "two\\12");
    CHECK_STR(take(slave), "");
    type("\4"); /* end of file ends a line without a newline */
    CHECK_STR(take(slave), "thr");
    type("\4");
    CHECK_EQ(poll_of(slave, POLLIN), POLLIN);
    CHECK_EQ(read(slave, buf, 64), 0);
    CHECK_EQ(poll_of(slave, POLLIN), 0);
    close_pair();
}

TEST(editing)
{
    open_pair();
    type("ab\177c");
    CHECK_STR(take(master), "ab\\10 \\10c");
    type("\n");
    CHECK_STR(take(slave), "ac\\12");
    take(master);
    type("one two three\27\27x\n");
    CHECK_STR(take(slave), "one x\\12");
    take(master);
    type("gone\25kept\n");
    CHECK_STR(take(slave), "kept\\12");
    CHECK_STR(take(master), "gone\\10 \\10\\10 \\10\\10 \\10\\10 \\10kept\\15\\12");
    type("\177\177a\26\3b\n"); /* erase at the start; literal ^C */
    CHECK_STR(take(slave), "a\\3b\\12");
    CHECK_STR(take(master), "a^\\10^Cb\\15\\12");
    type("x\t\177y\n");
    CHECK_STR(take(slave), "xy\\12");
    CHECK_STR(take(master), "x\\11\\10\\10\\10\\10\\10\\10\\10y\\15\\12");
    type("abc\22d\n"); /* reprint */
    CHECK_STR(take(slave), "abcd\\12");
    CHECK_STR(take(master), "abc^R\\15\\12abcd\\15\\12");
    struct termios t = get();
    t.c_iflag |= IUTF8;
    set(t);
    type("\303\244\177b\n");
    CHECK_STR(take(slave), "b\\12");
    close_pair();
}

TEST(echo_flags)
{
    open_pair();
    flags(0, ECHO);
    type("x\n");
    CHECK_STR(take(master), "");
    CHECK_STR(take(slave), "x\\12");
    flags(ECHONL, 0);
    type("x\n");
    CHECK_STR(take(master), "\\15\\12");
    take(slave);
    flags(ECHO, ECHOCTL | ECHONL);
    type("\1\n");
    CHECK_STR(take(master), "\\1\\15\\12");
    take(slave);
    flags(ECHO | ECHOCTL, 0);
    type("\1\n");
    CHECK_STR(take(master), "^A\\15\\12");
    close_pair();
}

TEST(input_and_output_flags)
{
    open_pair();
    struct termios t = get();
    CHECK_EQ(write(slave, "a\nb", 3), 3);
    CHECK_STR(take(master), "a\\15\\12b");
    t.c_oflag = 0;
    set(t);
    CHECK_EQ(write(slave, "a\nb\t", 4), 4);
    CHECK_STR(take(master), "a\\12b\\11");
    t.c_oflag = OPOST | TAB3 | OCRNL;
    set(t);
    CHECK_EQ(write(slave, "\r\tx", 3), 3);
    CHECK_STR(take(master), "\\12       x");
    t.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    t.c_iflag = IGNCR | ISTRIP;
    set(t);
    type("a\r\311b");
    CHECK_STR(take(slave), "aIb");
    t.c_iflag = INLCR;
    set(t);
    type("\n");
    CHECK_STR(take(slave), "\\15");
    t.c_iflag = 0;
    set(t);
    type("\r");
    CHECK_STR(take(slave), "\\15");
    close_pair();
}

TEST(raw_min_and_time)
{
    char buf[16];
    open_pair();
    struct termios t = get();
    cfmakeraw(&t);
    t.c_cc[VMIN] = 0;
    t.c_cc[VTIME] = 0;
    set(t);
    CHECK_EQ(read(slave, buf, 16), 0);
    type("\3\4x");
    CHECK_EQ(read(slave, buf, 16), 3);
    t.c_cc[VTIME] = 1;
    set(t);
    double start = now_s();
    CHECK_EQ(read(slave, buf, 16), 0);
    double took = now_s() - start;
    CHECK(took >= 0.09 && took < 2);
    t.c_cc[VMIN] = 3;
    t.c_cc[VTIME] = 0;
    set(t);
    type("ab");
    CHECK_EQ(poll_of(slave, POLLIN), 0);
    type("c");
    CHECK_EQ(poll_of(slave, POLLIN), POLLIN);
    CHECK_EQ(read(slave, buf, 16), 3);
    t.c_cc[VTIME] = 1;
    set(t);
    type("ab");
    start = now_s();
    CHECK_EQ(read(slave, buf, 16), 2); /* the time between bytes ran out */
    CHECK(now_s() - start >= 0.09);
    set_nonblock(slave, 1);
    CHECK_ERR(read(slave, buf, 16), EAGAIN);
    close_pair();
}

TEST(mode_switch_keeps_input)
{
    open_pair();
    flags(0, ECHO);
    type("abc");
    sleep_ms(20);
    flags(0, ICANON);
    CHECK_STR(take(slave), "abc");
    type("de");
    sleep_ms(20);
    flags(ICANON, 0);
    CHECK_STR(take(slave), "de");
    struct termios t = get();
    type("lost");
    sleep_ms(20);
    CHECK_EQ(tcsetattr(slave, TCSAFLUSH, &t), 0);
    type("kept\n");
    CHECK_STR(take(slave), "kept\\12");
    type("gone\n");
    sleep_ms(20);
    CHECK_EQ(tcflush(slave, TCIFLUSH), 0);
    CHECK_STR(take(slave), "");
    CHECK_ERR(tcflush(slave, 9), EINVAL);
    close_pair();
}

TEST(flow_control)
{
    open_pair();
    set_nonblock(slave, 1);
    type("\23"); /* ^S */
    sleep_ms(20);
    CHECK_EQ(poll_of(slave, POLLOUT), 0);
    CHECK_ERR(write(slave, "x", 1), EAGAIN);
    type("\21"); /* ^Q */
    sleep_ms(20);
    CHECK_EQ(write(slave, "x", 1), 1);
    CHECK_STR(take(master), "x");
    CHECK_EQ(tcflow(slave, TCOOFF), 0);
    CHECK_ERR(write(slave, "y", 1), EAGAIN);
    CHECK_EQ(tcflow(slave, TCOON), 0);
    CHECK_EQ(write(slave, "y", 1), 1);
    CHECK_EQ(tcdrain(slave), 0);
    CHECK_ERR(tcflow(slave, 9), EINVAL);
    close_pair();
}

TEST(window_size)
{
    struct winsize w = {24, 80, 1, 2}, r = {0};
    open_pair();
    CHECK_EQ(ioctl(slave, TIOCGWINSZ, &r), 0);
    CHECK_EQ(r.ws_row, 0);
    CHECK_EQ(ioctl(master, TIOCSWINSZ, &w), 0);
    CHECK_EQ(ioctl(slave, TIOCGWINSZ, &r), 0);
    CHECK(!memcmp(&w, &r, sizeof(w)));
    CHECK_ERR(ioctl(slave, TIOCSWINSZ, bad_ptr()), EFAULT);
    close_pair();
}

TEST(packet_mode)
{
    char buf[16];
    int on = 1;
    open_pair();
    CHECK_EQ(ioctl(master, TIOCPKT, &on), 0);
    CHECK_ERR(ioctl(slave, TIOCPKT, &on), ENOTTY);
    CHECK_EQ(write(slave, "ab", 2), 2);
    CHECK_STR(take(master), "\\0ab");
    CHECK_EQ(tcflush(slave, TCIFLUSH), 0);
    CHECK_EQ(poll_of(master, POLLPRI) & POLLPRI, POLLPRI);
    CHECK_EQ(read(master, buf, 16), 1);
    CHECK_EQ(buf[0], TIOCPKT_FLUSHREAD);
    CHECK_EQ(poll_of(master, POLLPRI | POLLIN), 0);
    struct termios t = get();
    t.c_iflag &= ~(tcflag_t)IXON;
    set(t);
    CHECK_EQ(read(master, buf, 16), 1);
    CHECK_EQ(buf[0], TIOCPKT_NOSTOP);
    t.c_iflag |= IXON;
    set(t);
    CHECK_EQ(read(master, buf, 16), 1);
    CHECK_EQ(buf[0], TIOCPKT_DOSTOP);
    close_pair();
}

TEST(slave_closed)
{
    char c;
    open_pair();
    CHECK_EQ(poll_of(master, POLLIN | POLLOUT), POLLOUT);
    CHECK_EQ(write(slave, "bye", 3), 3);
    close(slave);
    CHECK_EQ(poll_of(master, POLLIN) & (POLLIN | POLLHUP), POLLIN | POLLHUP);
    CHECK_STR(take(master), "bye");
    CHECK_ERR(read(master, &c, 1), EIO);
    CHECK_EQ(poll_of(master, POLLIN), POLLHUP);
    char name[64];
    int n;
    CHECK_EQ(ioctl(master, TIOCGPTN, &n), 0);
    snprintf(name, sizeof(name), "/dev/pts/%d", n);
    slave = open(name, O_RDWR | O_NOCTTY);
    CHECK_EQ(poll_of(master, POLLIN), 0);
    type("x\n");
    CHECK_STR(take(slave), "x\\12");
    close_pair();
}

TEST(back_pressure)
{
    static char buf[65536];
    open_pair();
    flags(0, ECHO | ICANON);
    set_nonblock(master, 1);
    set_nonblock(slave, 1);
    memset(buf, 'a', sizeof(buf));
    long in = 0, out = 0;
    ssize_t n;
    do { /* what was taken goes on to the reader's side by and by, which makes room once more */
        while ((n = write(master, buf, sizeof(buf))) > 0)
            in += n;
        CHECK_EQ(errno, EAGAIN);
    } while (poll_of(master, POLLOUT) && in < 1 << 20);
    CHECK(in >= 4095 && in < 1 << 20);
    for (int tries = 0; out < in && tries < 200;) {
        n = read(slave, buf, sizeof(buf));
        if (n > 0) {
            out += n;
        } else {
            sleep_ms(5);
            tries++;
        }
    }
    CHECK_EQ(out, in);
    CHECK_EQ(poll_of(master, POLLOUT), POLLOUT);
    in = out = 0;
    while ((n = write(slave, buf, sizeof(buf))) > 0)
        in += n;
    CHECK_EQ(errno, EAGAIN);
    for (int tries = 0; out < in && tries < 200;) {
        n = read(master, buf, sizeof(buf));
        if (n > 0) {
            out += n;
        } else {
            sleep_ms(5);
            tries++;
        }
    }
    CHECK_EQ(out, in);
    close_pair();
}

TEST(long_line_is_cut)
{
    static char buf[10000];
    open_pair();
    flags(0, ECHO);
    memset(buf, 'x', sizeof(buf));
    CHECK_EQ(write(master, buf, 6000), 6000);
    type("\n");
    sleep_ms(50);
    CHECK_EQ(read(slave, buf, sizeof(buf)), 4096);
    CHECK_EQ(buf[4095], '\n');
    close_pair();
}

TEST(epoll_edges)
{
    struct epoll_event ev = {.events = EPOLLIN | EPOLLET}, out;
    open_pair();
    int ep = epoll_create1(0);
    CHECK_EQ(epoll_ctl(ep, EPOLL_CTL_ADD, slave, &ev), 0);
    CHECK_EQ(epoll_wait(ep, &out, 1, 0), 0);
    type("a");
    CHECK_EQ(epoll_wait(ep, &out, 1, 50), 0);
    type("\n");
    CHECK_EQ(epoll_wait(ep, &out, 1, 1000), 1);
    CHECK_EQ(out.events, EPOLLIN);
    close(ep);
    close_pair();
}

/* ---- sessions ------------------------------------------------------------------------------ */

static void own_session(void)
{
    char name[64];
    int n, zero = 0;
    CHECK(setsid() > 0);
    CHECK_ERR(open("/dev/tty", O_RDWR), ENXIO);
    master = open("/dev/ptmx", O_RDWR | O_NOCTTY);
    CHECK_EQ(ioctl(master, TIOCSPTLCK, &zero), 0);
    CHECK_EQ(ioctl(master, TIOCGPTN, &n), 0);
    snprintf(name, sizeof(name), "/dev/pts/%d", n);
    slave = open(name, O_RDWR | O_NOCTTY);
    CHECK(slave >= 0);
}

static void ctty_child(void)
{
    int pgrp;
    own_session();
    CHECK_ERR(open("/dev/tty", O_RDWR), ENXIO);
    CHECK_ERR(tcgetpgrp(slave), ENOTTY);
    CHECK_EQ(ioctl(slave, TIOCSCTTY, 0), 0);
    CHECK_EQ(ioctl(slave, TIOCSCTTY, 0), 0); /* it has it already */
    CHECK_EQ(tcgetpgrp(slave), getpid());
    CHECK_EQ(tcgetsid(slave), getpid());
    CHECK_EQ(ioctl(master, TIOCGPGRP, &pgrp), 0);
    CHECK_EQ(pgrp, getpid());
    int t = open("/dev/tty", O_RDWR);
    CHECK(t >= 0);
    CHECK_EQ(tcgetpgrp(t), getpid());
    CHECK_EQ(write(t, "x", 1), 1);
    CHECK_STR(take(master), "x");
    CHECK_ERR(tcsetpgrp(slave, 1 << 28), ESRCH);
    CHECK_ERR(tcsetpgrp(slave, -1), EINVAL);
    int other = open("/dev/ptmx", O_RDWR | O_NOCTTY);
    CHECK_ERR(tcsetpgrp(other, getpid()), ENOTTY);
    signal(SIGHUP, SIG_IGN); /* giving it up hangs the group up */
    CHECK_EQ(ioctl(t, TIOCNOTTY), 0);
    CHECK_ERR(open("/dev/tty", O_RDWR), ENXIO);
    CHECK_ERR(ioctl(slave, TIOCNOTTY), ENOTTY);
    /* An open without O_NOCTTY makes it the terminal again. */
    int n;
    char name[64];
    CHECK_EQ(ioctl(master, TIOCGPTN, &n), 0);
    snprintf(name, sizeof(name), "/dev/pts/%d", n);
    int s = open(name, O_RDWR);
    CHECK(s >= 0);
    CHECK_EQ(tcgetpgrp(s), getpid());
}

TEST(controlling_terminal)
{
    CHECK_EQ(in_child(ctty_child), 0);
}

static void keyboard_child(void)
{
    own_session();
    CHECK_EQ(ioctl(slave, TIOCSCTTY, 0), 0);
    static const struct {
        const char *keys;
        int signo;
        const char *echo;
    } k[] = {{"ab\3", SIGINT, "ab^C"}, {"\34", SIGQUIT, "^\\"}, {"\32", SIGTSTP, "^Z"}};
    for (int i = 0; i < 3; i++) {
        catch_signal(k[i].signo, 0);
        type(k[i].keys);
        for (int j = 0; j < 500 && !io_nsignals; j++)
            sleep_ms(2);
        CHECK_EQ(io_signo, k[i].signo);
        CHECK_STR(take(master), i == 0 ? "^C" : k[i].echo); /* the flush took the echo before it */
    }
    type("x\n");
    CHECK_STR(take(slave), "x\\12"); /* what was typed before the signal is gone */
    take(master);
    flags(NOFLSH, 0);
    io_nsignals = 0;
    type("kept\3\n");
    for (int j = 0; j < 500 && !io_nsignals; j++)
        sleep_ms(2);
    CHECK_STR(take(slave), "kept\\12");
    flags(0, ISIG);
    type("\3\n");
    CHECK_STR(take(slave), "\\3\\12");
    catch_signal(SIGWINCH, 0);
    struct winsize w = {10, 20, 0, 0};
    CHECK_EQ(ioctl(master, TIOCSWINSZ, &w), 0);
    for (int j = 0; j < 500 && !io_nsignals; j++)
        sleep_ms(2);
    CHECK_EQ(io_signo, SIGWINCH);
    CHECK_EQ(io_nsignals, 1);
    CHECK_EQ(ioctl(master, TIOCSWINSZ, &w), 0); /* no change, no signal */
    sleep_ms(20);
    CHECK_EQ(io_nsignals, 1);
}

TEST(keyboard_signals)
{
    CHECK_EQ(in_child(keyboard_child), 0);
}

/* Runs in a background group of a session with a terminal. */
static void background_reader(void)
{
    char c;
    signal(SIGTTIN, SIG_IGN);
    CHECK_ERR(read(slave, &c, 1), EIO);
    signal(SIGTTIN, SIG_DFL);
    /* Stopped by SIGTTIN; when continued in the foreground it reads. */
    CHECK_EQ(read(slave, &c, 1), 1);
    CHECK_EQ(c, 'z');
}

static void background_child(void)
{
    int status;
    own_session();
    CHECK_EQ(ioctl(slave, TIOCSCTTY, 0), 0);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        setpgid(0, 0);
        background_reader();
        _exit(0);
    }
    setpgid(pid, pid);
    CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
    CHECK(WIFSTOPPED(status));
    CHECK_EQ(WSTOPSIG(status), SIGTTIN);
    CHECK_EQ(tcsetpgrp(slave, pid), 0);
    CHECK_EQ(tcgetpgrp(slave), pid);
    type("z\n");
    CHECK_EQ(kill(-pid, SIGCONT), 0);
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    /* We are in the background now. With SIGTTOU blocked, taking the terminal back just works. */
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTTOU);
    sigaddset(&set, SIGTTIN);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    CHECK_EQ(tcsetpgrp(slave, getpid()), 0);
    sigset_t pend;
    sigpending(&pend);
    CHECK(!sigismember(&pend, SIGTTOU));
    CHECK_EQ(tcgetpgrp(slave), getpid());
}

TEST(background_access)
{
    CHECK_EQ(in_child(background_child), 0);
}

static void background_writer(void)
{
    /* Writing is free without TOSTOP, changing the terminal is not. */
    CHECK_EQ(write(slave, "w", 1), 1);
    struct termios t = get();
    CHECK_EQ(tcsetattr(slave, TCSANOW, &t), 0); /* stops until it is in the foreground */
}

static void tostop_child(void)
{
    int status;
    own_session();
    CHECK_EQ(ioctl(slave, TIOCSCTTY, 0), 0);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        setpgid(0, 0);
        background_writer();
        _exit(0);
    }
    setpgid(pid, pid);
    CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
    CHECK(WIFSTOPPED(status));
    CHECK_EQ(WSTOPSIG(status), SIGTTOU);
    CHECK_EQ(tcsetpgrp(slave, pid), 0);
    kill(pid, SIGCONT);
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

TEST(background_change)
{
    CHECK_EQ(in_child(tostop_child), 0);
}

static int hup_pipe[2];
static void hangup_leader(void)
{
    own_session();
    CHECK_EQ(ioctl(slave, TIOCSCTTY, 0), 0);
    catch_signal(SIGHUP, 0);
    catch_signal(SIGCONT, 0);
    io_nsignals = 0;
    close(master);
    for (int j = 0; j < 500 && io_nsignals < 2; j++)
        sleep_ms(2);
    CHECK_EQ(io_nsignals, 2);
    char c;
    CHECK_EQ(read(slave, &c, 1), 0);
    CHECK_ERR(open("/dev/tty", O_RDWR), ENXIO);
}

TEST(hangup_tells_the_leader)
{
    CHECK_EQ(in_child(hangup_leader), 0);
}

static void exit_leader(void)
{
    own_session();
    CHECK_EQ(ioctl(slave, TIOCSCTTY, 0), 0);
    pid_t pid = fork();
    if (pid == 0) {
        close(master);
        close(hup_pipe[0]);
        catch_signal(SIGHUP, 0);
        if (write(hup_pipe[1], "r", 1) != 1)
            _exit(1);
        for (int j = 0; j < 500 && !io_nsignals; j++)
            sleep_ms(2);
        char c = io_nsignals ? 'y' : 'n';
        if (write(hup_pipe[1], &c, 1) != 1)
            _exit(1);
        _exit(0);
    }
    char c;
    CHECK_EQ(read(hup_pipe[0], &c, 1), 1);
}

TEST(the_leaders_end_hangs_up_the_foreground)
{
    char c = 0;
    CHECK_EQ(pipe(hup_pipe), 0);
    CHECK_EQ(in_child(exit_leader), 0);
    CHECK_EQ(read(hup_pipe[0], &c, 1), 1);
    CHECK_EQ(c, 'y');
    close(hup_pipe[0]);
    close(hup_pipe[1]);
}

TEST(unknown_ioctls)
{
    int v;
    open_pair();
    CHECK_ERR(ioctl(slave, 0x12345, &v), ENOTTY);
    CHECK_ERR(ioctl(slave, TIOCGPTN, &v), ENOTTY);
    CHECK_EQ(ioctl(slave, TIOCGETD, &v), 0);
    CHECK_EQ(v, 0);
    v = 99;
    CHECK_ERR(ioctl(slave, TIOCSETD, &v), EINVAL);
    CHECK_EQ(ioctl(slave, TIOCOUTQ, &v), 0);
    CHECK_EQ(v, 0);
    CHECK_EQ(ioctl(slave, TIOCEXCL), 0);
    CHECK_EQ(ioctl(slave, TIOCGEXCL, &v), 0);
    CHECK_EQ(v, 1);
    CHECK_EQ(ioctl(slave, TIOCNXCL), 0);
    CHECK_ERR(lseek(slave, 0, SEEK_SET), ESPIPE);
    close_pair();
}
