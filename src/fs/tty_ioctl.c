/*
 * ioctls of terminals: ioctl_tty(2). They name the terminal, whichever end of
 * a pty they are called on. For a terminal of the host the backend answers;
 * job control is ours in any case.
 */
#include <string.h>

#include "abi/sched.h"
#include "fs/tty_int.h"

struct lx_termios { /* TCGETS */
    u32 iflag, oflag, cflag, lflag;
    u8 line, cc[LX_NCCS];
};
struct lx_termios2 { /* TCGETS2 */
    struct lx_termios t;
    u32 ispeed, ospeed;
};
struct lx_termio { /* TCGETA */
    u16 iflag, oflag, cflag, lflag;
    u8 line, cc[8];
};
_Static_assert(sizeof(struct lx_termios) == 36 && sizeof(struct lx_termios2) == 44, "termios");

/* ---- termios ------------------------------------------------------------------------------- */

static int get_termios(struct tty *t, struct ktermios *ret)
{
    if (t->be)
        return t->be->get_termios(t, ret);
    MUTEX_GUARD(&t->lock);
    *ret = t->termios;
    return 0;
}

static int apply_termios(struct tty *t, const struct ktermios *k, int how)
{
    if (t->be)
        return t->be->set_termios(t, k, how);
    /* Nothing to drain: a pty's output has been transmitted once the master can read it. */
    mutex_lock(&t->lock);
    struct ktermios old = t->termios;
    if (how == LX_TCSAFLUSH)
        ldisc_flush_input(t);
    t->termios = *k;
    /* A pty is always 8 bits without parity; the rest of cflag is remembered. */
    t->termios.cflag = (k->cflag & ~(u32)(LX_CSIZE | LX_PARENB)) | LX_CS8 | LX_CREAD;
    ldisc_termios_changed(t, &old);
    mutex_unlock(&t->lock);
    tty_wake(t);
    return 0;
}

static const struct {
    u32 code, baud;
} speeds[] = {
    {LX_B50, 50}, {LX_B75, 75}, {LX_B110, 110}, {LX_B134, 134}, {LX_B150, 150}, {LX_B200, 200},
    {LX_B300, 300}, {LX_B600, 600}, {LX_B1200, 1200}, {LX_B1800, 1800}, {LX_B2400, 2400},
    {LX_B4800, 4800}, {LX_B9600, 9600}, {LX_B19200, 19200}, {LX_B38400, 38400},
    {LX_B57600, 57600}, {LX_B115200, 115200}, {LX_B230400, 230400}, {LX_B460800, 460800},
    {LX_B500000, 500000}, {LX_B576000, 576000}, {LX_B921600, 921600}, {LX_B1000000, 1000000},
    {LX_B1152000, 1152000}, {LX_B1500000, 1500000}, {LX_B2000000, 2000000},
    {LX_B2500000, 2500000}, {LX_B3000000, 3000000}, {LX_B3500000, 3500000},
    {LX_B4000000, 4000000},
};

/* The speeds that a termios without speed fields names by code. */
static void speeds_from_cflag(struct ktermios *k)
{
    u32 out = k->cflag & LX_CBAUD, in = (k->cflag >> LX_IBSHIFT) & LX_CBAUD;
    for (size_t i = 0; i < ARRAY_SIZE(speeds); i++) {
        if (speeds[i].code == out)
            k->ospeed = speeds[i].baud;
        if (speeds[i].code == in)
            k->ispeed = speeds[i].baud;
    }
    if (out == LX_B0)
        k->ospeed = 0;
    if (in == LX_B0)
        k->ispeed = k->ospeed;
}

static s64 get_any_termios(struct tty *t, u32 cmd, uaddr_t arg)
{
    struct ktermios k;
    int r = get_termios(t, &k);
    if (r < 0)
        return r;
    if (cmd == LX_TCGETA) {
        struct lx_termio a = {(u16)k.iflag, (u16)k.oflag, (u16)k.cflag, (u16)k.lflag, k.line, {0}};
        memcpy(a.cc, k.cc, sizeof(a.cc));
        return put_user(a, arg);
    }
    struct lx_termios2 v = {{k.iflag, k.oflag, k.cflag, k.lflag, k.line, {0}}, k.ispeed, k.ospeed};
    memcpy(v.t.cc, k.cc, sizeof(v.t.cc));
    return copy_out(arg, &v, cmd == LX_TCGETS ? sizeof(v.t) : sizeof(v));
}

static int how_of(u32 cmd)
{
    switch (cmd) {
    case LX_TCSETS:
    case LX_TCSETS2:
    case LX_TCSETA:
        return LX_TCSANOW;
    case LX_TCSETSW:
    case LX_TCSETSW2:
    case LX_TCSETAW:
        return LX_TCSADRAIN;
    default:
        return LX_TCSAFLUSH;
    }
}

static s64 set_any_termios(struct tty *t, u32 cmd, uaddr_t arg)
{
    struct ktermios k;
    int r = get_termios(t, &k);
    if (r < 0)
        return r;
    if (cmd == LX_TCSETA || cmd == LX_TCSETAW || cmd == LX_TCSETAF) {
        struct lx_termio a;
        if (get_user(a, arg) < 0)
            return -LX_EFAULT;
        k.iflag = (k.iflag & 0xffff0000U) | a.iflag;
        k.oflag = (k.oflag & 0xffff0000U) | a.oflag;
        k.cflag = (k.cflag & 0xffff0000U) | a.cflag;
        k.lflag = (k.lflag & 0xffff0000U) | a.lflag;
        k.line = a.line;
        memcpy(k.cc, a.cc, sizeof(a.cc));
        speeds_from_cflag(&k);
        return apply_termios(t, &k, how_of(cmd));
    }
    struct lx_termios2 v = {.ispeed = k.ispeed, .ospeed = k.ospeed};
    bool has_speeds = cmd == LX_TCSETS2 || cmd == LX_TCSETSW2 || cmd == LX_TCSETSF2;
    if (copy_in(&v, arg, has_speeds ? sizeof(v) : sizeof(v.t)) < 0)
        return -LX_EFAULT;
    k = (struct ktermios){v.t.iflag, v.t.oflag, v.t.cflag, v.t.lflag, v.t.line, {0}, v.ispeed,
                          v.ospeed};
    memcpy(k.cc, v.t.cc, sizeof(k.cc));
    if (!has_speeds || (k.cflag & LX_CBAUD) != LX_CBAUDEX /* BOTHER */)
        speeds_from_cflag(&k);
    return apply_termios(t, &k, how_of(cmd));
}

/* ---- window size --------------------------------------------------------------------------- */

static s64 get_winsize(struct tty *t, uaddr_t arg)
{
    struct lx_winsize ws;
    int r = 0;
    if (t->be) {
        r = t->be->get_winsize(t, &ws);
    } else {
        MUTEX_GUARD(&t->lock);
        ws = t->winsize;
    }
    return r < 0 ? r : put_user(ws, arg);
}

void tty_resize(struct tty *t, const struct lx_winsize *ws)
{
    mutex_lock(&t->lock);
    bool is_new = memcmp(&t->winsize, ws, sizeof(*ws)) != 0;
    t->winsize = *ws;
    mutex_unlock(&t->lock);
    s32 fg = atomic_load(&t->pgrp);
    if (is_new && fg != 0)
        vfs_task_ops->signal_pgrp(fg, LX_SIGWINCH);
}

static s64 set_winsize(struct tty *t, uaddr_t arg)
{
    struct lx_winsize ws;
    if (get_user(ws, arg) < 0)
        return -LX_EFAULT;
    if (t->be)
        return t->be->set_winsize(t, &ws);
    tty_resize(t, &ws);
    return 0;
}

/* ---- flow and queues ----------------------------------------------------------------------- */

static s64 flow(struct tty *t, u64 arg)
{
    mutex_lock(&t->lock);
    s64 r = 0;
    switch ((int)arg) {
    case LX_TCOOFF:
        t->is_tco_stopped = true;
        ldisc_set_stopped(t, true);
        break;
    case LX_TCOON:
        if (t->is_tco_stopped) {
            t->is_tco_stopped = false;
            ldisc_set_stopped(t, false);
        }
        break;
    case LX_TCIOFF: /* a STOP or START character towards the master */
    case LX_TCION: {
        u8 c = C_CHAR(t, VSTOP);
        if ((int)arg == LX_TCION)
            c = C_CHAR(t, VSTART);
        if (c && out_room(t) > 0)
            t->out[t->out_head++ & (OUT_SIZE - 1)] = c;
        break;
    }
    default:
        r = -LX_EINVAL;
    }
    mutex_unlock(&t->lock);
    tty_wake(t);
    return r;
}

/* Of the end it is called on: a master's input is what the terminal has written. */
static s64 flush(struct tty *t, u64 arg, bool is_master)
{
    int which = (int)arg;
    if (which != LX_TCIFLUSH && which != LX_TCOFLUSH && which != LX_TCIOFLUSH)
        return -LX_EINVAL;
    bool is_input = which != LX_TCOFLUSH, is_output = which != LX_TCIFLUSH;
    mutex_lock(&t->lock);
    if (is_master) {
        if (is_input)
            t->out_tail = t->out_head;
        if (is_output)
            t->backlog_len = t->backlog_off = 0;
    } else {
        if (is_input)
            ldisc_flush_input(t);
        if (is_output)
            ldisc_flush_output(t);
    }
    mutex_unlock(&t->lock);
    tty_wake(t);
    return 0;
}

static s64 count_input(struct tty *t, bool is_master, uaddr_t arg)
{
    mutex_lock(&t->lock);
    u32 n = is_master ? out_used(t) : ldisc_count_input(t);
    mutex_unlock(&t->lock);
    return put_user((s32)n, arg);
}

/* Input and output control; the host's terminal answers for itself. */
static s64 queue_ioctl(struct tty *t, u32 cmd, u64 arg, bool is_master)
{
    if (t->be) {
        s64 r = t->be->control(t, cmd, arg);
        bool is_count = cmd == LX_FIONREAD || cmd == LX_TIOCOUTQ;
        return r < 0 || !is_count ? r : put_user((s32)r, uaddr(arg));
    }
    switch (cmd) {
    case LX_TCXONC:
        return flow(t, arg);
    case LX_TCFLSH:
        return flush(t, arg, is_master);
    case LX_TCSBRK:
    case LX_TCSBRKP:
    case LX_TIOCSBRK:
    case LX_TIOCCBRK:
        return 0; /* a pty has no line to hold in a break, as on Linux */
    case LX_FIONREAD:
        return count_input(t, is_master, uaddr(arg));
    case LX_TIOCOUTQ:
        return put_user((s32)0, uaddr(arg)); /* what was written is with the master */
    default:
        return -LX_ENOTTY;
    }
}

static s64 type_char(struct tty *t, uaddr_t arg)
{
    u8 c;
    struct tty_signals sig = {0};
    if (!vfs_capable(LX_CAP_SYS_ADMIN) || t->be)
        return -LX_EIO; /* dev.tty.legacy_tiocsti is off */
    if (get_user(c, arg) < 0)
        return -LX_EFAULT;
    mutex_lock(&t->lock);
    (void)ldisc_receive(t, &c, 1, &sig);
    mutex_unlock(&t->lock);
    tty_send_signals(&sig);
    tty_wake(t);
    return 0;
}

static s64 set_exclusive(struct tty *t, bool is_exclusive)
{
    MUTEX_GUARD(&t->lock);
    t->is_exclusive = is_exclusive;
    return 0;
}

/* ---- all of them --------------------------------------------------------------------------- */

/* Those that a background process may not do without SIGTTOU. */
static bool is_foreground_only(u32 cmd)
{
    switch (cmd) {
    case LX_TCSETS:
    case LX_TCSETSW:
    case LX_TCSETSF:
    case LX_TCSETS2:
    case LX_TCSETSW2:
    case LX_TCSETSF2:
    case LX_TCSETA:
    case LX_TCSETAW:
    case LX_TCSETAF:
    case LX_TCXONC:
    case LX_TCFLSH:
    case LX_TCSBRK:
    case LX_TCSBRKP:
    case LX_TIOCSBRK:
    case LX_TIOCCBRK:
    case LX_TIOCSETD:
        return true;
    default:
        return false;
    }
}

static s64 misc_ioctl(struct tty *t, u32 cmd, uaddr_t arg)
{
    s32 v;
    switch (cmd) {
    case LX_TIOCEXCL:
        return set_exclusive(t, true);
    case LX_TIOCNXCL:
        return set_exclusive(t, false);
    case LX_TIOCGEXCL:
        return put_user((s32)t->is_exclusive, arg);
    case LX_TIOCGDEV:
        return put_user((u32)t->dev, arg);
    case LX_TIOCGETD:
        return put_user((s32)LX_N_TTY, arg);
    case LX_TIOCSETD:
        if (get_user(v, arg) < 0)
            return -LX_EFAULT;
        return v == LX_N_TTY ? 0 : -LX_EINVAL;
    case LX_TIOCSTI:
        return type_char(t, arg);
    case LX_TIOCVHANGUP:
        if (!vfs_capable(LX_CAP_SYS_ADMIN))
            return -LX_EPERM;
        tty_hangup(t);
        return 0;
    default:
        return -LX_ENOTTY;
    }
}

s64 tty_ioctl(struct tty *t, struct file *f, u32 cmd, u64 arg, bool is_master)
{
    if (tty_is_job_ioctl(cmd))
        return tty_job_ioctl(t, f, cmd, arg, is_master);
    if (is_foreground_only(cmd)) {
        int r = tty_check_background(t, LX_SIGTTOU);
        if (r < 0)
            return r;
    }
    switch (cmd) {
    case LX_TCGETS:
    case LX_TCGETS2:
    case LX_TCGETA:
        return get_any_termios(t, cmd, uaddr(arg));
    case LX_TCSETS:
    case LX_TCSETSW:
    case LX_TCSETSF:
    case LX_TCSETS2:
    case LX_TCSETSW2:
    case LX_TCSETSF2:
    case LX_TCSETA:
    case LX_TCSETAW:
    case LX_TCSETAF:
        return set_any_termios(t, cmd, uaddr(arg));
    case LX_TIOCGWINSZ:
        return get_winsize(t, uaddr(arg));
    case LX_TIOCSWINSZ:
        return set_winsize(t, uaddr(arg));
    case LX_TCXONC:
    case LX_TCFLSH:
    case LX_TCSBRK:
    case LX_TCSBRKP:
    case LX_TIOCSBRK:
    case LX_TIOCCBRK:
    case LX_FIONREAD:
    case LX_TIOCOUTQ:
        return queue_ioctl(t, cmd, arg, is_master);
    default:
        return misc_ioctl(t, cmd, uaddr(arg));
    }
}
