/*
 * Terminals as objects and files: the data paths of both ends of a pty.
 *
 * Bytes are copied between guest memory and a small buffer of ours outside
 * tty.lock, and moved through the line discipline under it. Signals that typed
 * characters raise are sent after the lock is dropped. Wakes go to both queues whenever
 * something moved; who is woken for nothing looks and sleeps on.
 */
#include <stdlib.h>
#include <string.h>

#include "abi/sched.h"
#include "fs/tty_int.h"

#define CHUNK 1024

#define EV_READ  (WAIT_IN | WAIT_RDNORM)
#define EV_WRITE (WAIT_OUT | WAIT_WRNORM)
#define EV_HUNG  (EV_READ | EV_WRITE | WAIT_ERR | WAIT_HUP)

const struct ktermios tty_std_termios = {
    .iflag = LX_ICRNL | LX_IXON,
    .oflag = LX_OPOST | LX_ONLCR,
    .cflag = LX_B38400 | LX_CS8 | LX_CREAD,
    .lflag = LX_ISIG | LX_ICANON | LX_ECHO | LX_ECHOE | LX_ECHOK | LX_ECHOCTL | LX_ECHOKE |
             LX_IEXTEN,
    .cc = {[LX_VINTR] = 003, [LX_VQUIT] = 034, [LX_VERASE] = 0177, [LX_VKILL] = 025,
           [LX_VEOF] = 004, [LX_VTIME] = 0, [LX_VMIN] = 1, [LX_VSTART] = 021, [LX_VSTOP] = 023,
           [LX_VSUSP] = 032, [LX_VREPRINT] = 022, [LX_VDISCARD] = 017, [LX_VWERASE] = 027,
           [LX_VLNEXT] = 026},
    .ispeed = 38400,
    .ospeed = 38400,
};

/* ---- life ---------------------------------------------------------------------------------- */

struct tty *tty_new(const struct tty_backend *be, const struct file_ops *fops, u64 dev)
{
    struct tty *t = calloc(1, sizeof(*t));
    if (!t)
        return NULL;
    if (!be) {
        t->backlog = malloc(BACKLOG_SIZE);
        t->out = malloc(OUT_SIZE);
        if (!t->backlog || !t->out) {
            free(t->backlog);
            free(t->out);
            free(t);
            return NULL;
        }
    }
    ref_init(&t->ref);
    t->be = be;
    t->fops = fops;
    t->dev = dev;
    t->termios = tty_std_termios;
    mutex_init(&t->lock, "tty");
    waitq_init(&t->wait);
    waitq_init(&t->master_wait);
    return t;
}

void tty_get(struct tty *t)
{
    ref_get(&t->ref);
}

void tty_put(struct tty *t)
{
    if (!t || !ref_put(&t->ref))
        return;
    if (t->be && t->be->release)
        t->be->release(t);
    waitq_done(&t->wait);
    waitq_done(&t->master_wait);
    free(t->backlog);
    free(t->out);
    free(t);
}

u64 tty_dev(const struct tty *t)
{
    return t->dev;
}

struct tty_file *tty_file_of(struct file *f)
{
    return f->ops == &pts_fops || f->ops == &hosttty_fops ? f->priv : NULL;
}

struct tty *tty_of_file(struct file *f)
{
    struct tty_file *tf = tty_file_of(f);
    return tf ? tf->tty : NULL;
}

bool tty_file_is_hung(const struct tty_file *tf)
{
    MUTEX_GUARD(&tf->tty->lock);
    return tf->gen != tf->tty->hangup_gen;
}

void tty_wake(struct tty *t)
{
    waitq_wake(&t->wait, EV_READ | EV_WRITE);
    waitq_wake(&t->master_wait, EV_READ | EV_WRITE | WAIT_PRI);
}

/* ---- opening and closing the terminal side ------------------------------------------------- */

static int begin_open(struct tty *t, struct tty_file *tf)
{
    MUTEX_GUARD(&t->lock);
    if (!t->be && (!t->has_master || t->is_locked))
        return -LX_EIO;
    if (t->is_exclusive && t->nopen > 0 && !vfs_capable(LX_CAP_SYS_ADMIN))
        return -LX_EBUSY;
    tf->gen = t->hangup_gen;
    t->nopen++;
    t->has_been_open = true;
    return 0;
}

int tty_open_file(struct tty *t, struct file *f, u32 flags)
{
    struct tty_file *tf = calloc(1, sizeof(*tf));
    if (!tf)
        return -LX_ENOMEM;
    tf->tty = t;
    int r = begin_open(t, tf);
    if (r < 0) {
        free(tf);
        return r;
    }
    tty_get(t);
    f->ops = t->fops;
    f->priv = tf;
    f->mode = (f->mode | FMODE_STREAM) & ~(FMODE_LSEEK | FMODE_PREAD);
    waitq_wake(&t->master_wait, EV_WRITE);
    if (!(flags & LX_O_NOCTTY))
        tty_open_ctty(t, f);
    return 0;
}

void tty_release_file(struct file *f)
{
    struct tty_file *tf = f->priv;
    struct tty *t = tf->tty;
    mutex_lock(&t->lock);
    bool is_last = tf->gen == t->hangup_gen && --t->nopen == 0;
    if (is_last)
        t->is_exclusive = false;
    mutex_unlock(&t->lock);
    if (is_last)
        waitq_wake(&t->master_wait, WAIT_ALL);
    free(tf);
    tty_put(t);
}

void tty_master_closed(struct tty *t)
{
    mutex_lock(&t->lock);
    t->has_master = false;
    mutex_unlock(&t->lock);
    tty_hangup(t);
}

/* ---- reading the terminal ------------------------------------------------------------------ */

enum { READ_GOT = 1, READ_WAIT = 0 };

/* One step of a read: READ_GOT with *ret_n bytes in buf, READ_WAIT, or an error (0x100: end). */
#define READ_END (-4096)
static int read_step(struct tty_file *tf, u8 *buf, u32 size, u32 min, u32 *ret_n,
                     bool *ret_is_line)
{
    struct tty *t = tf->tty;
    struct tty_signals sig = {0};
    int r = READ_GOT;
    mutex_lock(&t->lock);
    if (tf->gen != t->hangup_gen) {
        r = READ_END;
    } else if (!ldisc_has_input(t, min)) {
        r = READ_WAIT;
    } else {
        *ret_n = ldisc_read(t, buf, size, ret_is_line);
        ldisc_drain_backlog(t, &sig);
    }
    mutex_unlock(&t->lock);
    tty_send_signals(&sig);
    if (r == READ_GOT)
        tty_wake(t);
    return r;
}

static bool is_canonical_now(struct tty *t)
{
    MUTEX_GUARD(&t->lock);
    return L_FLAG(t, ICANON) && !L_FLAG(t, EXTPROC);
}

/* VMIN and VTIME; canonical mode waits for a line without a time limit. */
static void read_limits(struct tty *t, u32 *ret_min, s64 *ret_time_ns, bool *ret_is_canonical)
{
    MUTEX_GUARD(&t->lock);
    *ret_is_canonical = L_FLAG(t, ICANON) && !L_FLAG(t, EXTPROC);
    *ret_min = *ret_is_canonical ? 1 : C_CHAR(t, VMIN);
    *ret_time_ns = *ret_is_canonical ? 0 : C_CHAR(t, VTIME) * (NSEC_PER_SEC / 10);
}

struct tty_wait {
    struct tty_file *tf;
    bool is_canonical;
};

/* Something to look at: input, a hang-up, or another mode than we wait in. */
static bool should_look(const struct tty_wait *w)
{
    struct tty *t = w->tf->tty;
    MUTEX_GUARD(&t->lock);
    bool is_canonical = L_FLAG(t, ICANON) && !L_FLAG(t, EXTPROC);
    return w->tf->gen != t->hangup_gen || is_canonical != w->is_canonical || ldisc_has_input(t, 1);
}

/*
 * VMIN > 0: waits for the first byte as long as it takes, then, with VTIME, at most that
 * long between bytes, until VMIN bytes are there. VMIN = 0: waits for one byte for VTIME at most.
 */
static s64 pts_read(struct file *f, struct uio *to, s64 *off)
{
    struct tty_file *tf = f->priv;
    struct tty *t = tf->tty;
    s64 done = 0, time_ns;
    u32 min;
    bool is_canonical;
    if (tty_file_is_hung(tf))
        return 0;
    int r = tty_check_background(t, LX_SIGTTIN);
    if (r < 0)
        return r;
    read_limits(t, &min, &time_ns, &is_canonical);
    while (to->left > 0) {
        u8 buf[CHUNK];
        u32 n = 0;
        bool is_line = false;
        r = read_step(tf, buf, (u32)MIN(to->left, (u64)CHUNK), 1, &n, &is_line);
        if (r == READ_END)
            return done;
        if (r == READ_GOT) {
            if (n > 0 && uio_copy_to(to, buf, n) != (s64)n)
                return done ? done : -LX_EFAULT;
            done += n;
            if (is_line || (n == 0 && is_canonical))
                return done;
            continue;
        }
        if (done > 0 && (is_canonical || done >= (s64)min))
            return done;
        s64 deadline = NO_DEADLINE;
        if (min == 0 && time_ns == 0)
            return done;
        if (file_is_nonblock(f))
            return done ? done : -LX_EAGAIN;
        if (min == 0 || (time_ns != 0 && done > 0))
            deadline = deadline_after_ns(time_ns);
        struct tty_wait w = {tf, is_canonical};
        r = wait_event_interruptible(&t->wait, EV_READ | WAIT_HUP, should_look(&w), deadline);
        if (r == -LX_ETIMEDOUT)
            return done;
        if (r < 0)
            return done ? done : r;
        if (is_canonical_now(t) != is_canonical)
            read_limits(t, &min, &time_ns, &is_canonical);
        r = tty_check_background(t, LX_SIGTTIN);
        if (r < 0)
            return done ? done : r;
    }
    return done;
}

/* ---- writing the terminal ------------------------------------------------------------------ */

static bool begin_write(struct tty_file *tf)
{
    struct tty *t = tf->tty;
    MUTEX_GUARD(&t->lock);
    if (t->is_writing)
        return false;
    t->is_writing = true;
    return true;
}

static void end_write(struct tty *t)
{
    mutex_lock(&t->lock);
    t->is_writing = false;
    mutex_unlock(&t->lock);
    tty_wake(t);
}

/* True when output can move or never will. */
static bool has_room(struct tty_file *tf)
{
    struct tty *t = tf->tty;
    MUTEX_GUARD(&t->lock);
    return tf->gen != t->hangup_gen || (!t->is_stopped && out_room(t) >= 8);
}

/* Bytes taken, or -LX_EIO. */
static s64 write_step(struct tty_file *tf, const u8 *buf, u32 size)
{
    struct tty *t = tf->tty;
    mutex_lock(&t->lock);
    s64 n = tf->gen != t->hangup_gen ? -LX_EIO : (s64)ldisc_output(t, buf, size);
    mutex_unlock(&t->lock);
    if (n > 0)
        waitq_wake(&t->master_wait, EV_READ);
    return n;
}

static s64 write_all(struct file *f, struct uio *from)
{
    struct tty_file *tf = f->priv;
    s64 done = 0;
    while (from->left > 0) {
        u8 buf[CHUNK];
        u32 size = (u32)MIN(from->left, (u64)CHUNK), sent = 0;
        s64 got = uio_copy_from(from, buf, size);
        if (got <= 0)
            return done ? done : -LX_EFAULT;
        while (sent < got) {
            s64 n = write_step(tf, buf + sent, (u32)got - sent);
            if (n < 0)
                return done ? done : n;
            sent += (u32)n;
            done += n;
            if (n > 0)
                continue;
            if (file_is_nonblock(f))
                return done ? done : -LX_EAGAIN;
            int r = wait_event_interruptible(&tf->tty->wait, EV_WRITE | WAIT_HUP, has_room(tf),
                                             NO_DEADLINE);
            if (r < 0)
                return done ? done : r;
        }
    }
    return done;
}

static s64 pts_write(struct file *f, struct uio *from, s64 *off)
{
    struct tty_file *tf = f->priv;
    struct tty *t = tf->tty;
    if (tty_file_is_hung(tf))
        return -LX_EIO;
    int r = L_FLAG(t, TOSTOP) ? tty_check_background(t, LX_SIGTTOU) : 0;
    if (r < 0)
        return r;
    if (!begin_write(tf)) {
        if (file_is_nonblock(f))
            return -LX_EAGAIN;
        r = wait_event_interruptible(&t->wait, EV_WRITE, begin_write(tf), NO_DEADLINE);
        if (r < 0)
            return r;
    }
    s64 n = write_all(f, from);
    end_write(t);
    return n;
}

static u32 pts_poll(struct file *f)
{
    struct tty_file *tf = f->priv;
    struct tty *t = tf->tty;
    u32 ev = 0;
    MUTEX_GUARD(&t->lock);
    if (tf->gen != t->hangup_gen)
        return EV_HUNG;
    if (ldisc_has_input(t, C_CHAR(t, VTIME) ? 1 : C_CHAR(t, VMIN)))
        ev |= EV_READ;
    if (!t->is_stopped && out_room(t) >= 8)
        ev |= EV_WRITE;
    return ev;
}

static struct waitq *pts_pollq(struct file *f)
{
    struct tty_file *tf = f->priv;
    return &tf->tty->wait;
}

static s64 pts_ioctl(struct file *f, u32 cmd, u64 arg)
{
    struct tty_file *tf = f->priv;
    if (tty_file_is_hung(tf))
        return cmd == LX_TIOCSPGRP ? -LX_ENOTTY : -LX_EIO;
    return tty_ioctl(tf->tty, f, cmd, arg, false);
}

const struct file_ops pts_fops = {
    .read = pts_read,
    .write = pts_write,
    .poll = pts_poll,
    .pollq = pts_pollq,
    .ioctl = pts_ioctl,
    .release = tty_release_file,
};

/* ---- the master ---------------------------------------------------------------------------- */

static u32 take_out(struct tty *t, u8 *buf, u32 size) REQUIRES(t->lock)
{
    u32 n = MIN(size, out_used(t));
    for (u32 i = 0; i < n; i++)
        buf[i] = t->out[t->out_tail++ & (OUT_SIZE - 1)];
    return n;
}

static bool is_other_closed(const struct tty *t) REQUIRES(t->lock)
{
    return t->has_been_open && t->nopen == 0;
}

/* Bytes in buf; 0: nothing yet; -LX_EIO: nobody is there any more. *ret_is_status: a packet by itself. */
static s64 master_step(struct tty *t, u8 *buf, u32 size, bool is_first, bool *ret_is_status)
{
    MUTEX_GUARD(&t->lock);
    u32 n = 0;
    *ret_is_status = false;
    if (t->is_packet && is_first) {
        if (t->packet_status) {
            buf[0] = t->packet_status;
            t->packet_status = 0;
            *ret_is_status = true;
            return 1;
        }
        if (out_used(t) > 0)
            buf[n++] = LX_TIOCPKT_DATA;
    }
    n += take_out(t, buf + n, size - n);
    if (n == 0 && is_first && is_other_closed(t))
        return -LX_EIO;
    return n;
}

static bool master_should_look(struct tty *t)
{
    MUTEX_GUARD(&t->lock);
    return out_used(t) > 0 || is_other_closed(t) || (t->is_packet && t->packet_status);
}

s64 tty_master_read(struct tty *t, struct file *f, struct uio *to)
{
    s64 done = 0;
    while (to->left > 0) {
        u8 buf[CHUNK];
        bool is_status;
        u32 size = (u32)MIN(to->left, (u64)CHUNK);
        s64 n = master_step(t, buf, size, done == 0, &is_status);
        if (n < 0)
            return n;
        if (n > 0) {
            waitq_wake(&t->wait, EV_WRITE);
            if (uio_copy_to(to, buf, (u64)n) != n)
                return done ? done : -LX_EFAULT;
            done += n;
            if (is_status)
                return done;
            continue;
        }
        if (done > 0)
            return done;
        if (file_is_nonblock(f))
            return -LX_EAGAIN;
        int r = wait_event_interruptible(&t->master_wait, WAIT_ALL, master_should_look(t),
                                         NO_DEADLINE);
        if (r < 0)
            return r;
    }
    return done;
}

/* Typed characters: through the line discipline, or into the backlog behind others. */
static u32 type_chars(struct tty *t, const u8 *buf, u32 size)
{
    struct tty_signals sig = {0};
    mutex_lock(&t->lock);
    ldisc_drain_backlog(t, &sig);
    u32 n = t->backlog_len == 0 ? ldisc_receive(t, buf, size, &sig) : 0;
    u32 room = BACKLOG_SIZE - t->backlog_len, rest = MIN(room, size - n);
    if (rest > 0) {
        if (t->backlog_off + t->backlog_len + rest > BACKLOG_SIZE) {
            memmove(t->backlog, t->backlog + t->backlog_off, t->backlog_len);
            t->backlog_off = 0;
        }
        memcpy(t->backlog + t->backlog_off + t->backlog_len, buf + n, rest);
        t->backlog_len += rest;
    }
    mutex_unlock(&t->lock);
    tty_send_signals(&sig);
    tty_wake(t);
    return n + rest;
}

static bool has_backlog_room(struct tty *t)
{
    MUTEX_GUARD(&t->lock);
    return t->backlog_len < BACKLOG_SIZE;
}

s64 tty_master_write(struct tty *t, struct file *f, struct uio *from)
{
    s64 done = 0;
    while (from->left > 0) {
        u8 buf[CHUNK];
        u32 size = (u32)MIN(from->left, (u64)CHUNK), sent = 0;
        s64 got = uio_copy_from(from, buf, size);
        if (got <= 0)
            return done ? done : -LX_EFAULT;
        while (sent < got) {
            u32 n = type_chars(t, buf + sent, (u32)got - sent);
            sent += n;
            done += n;
            if (n > 0)
                continue;
            if (file_is_nonblock(f))
                return done ? done : -LX_EAGAIN;
            int r = wait_event_interruptible(&t->master_wait, WAIT_ALL, has_backlog_room(t),
                                             NO_DEADLINE);
            if (r < 0)
                return done ? done : r;
        }
    }
    return done;
}

u32 tty_master_poll(struct tty *t)
{
    u32 ev = 0;
    MUTEX_GUARD(&t->lock);
    if (out_used(t) > 0)
        ev |= EV_READ;
    if (t->is_packet && t->packet_status)
        ev |= WAIT_PRI | EV_READ;
    if (is_other_closed(t))
        ev |= WAIT_HUP;
    if (t->backlog_len < BACKLOG_SIZE)
        ev |= EV_WRITE;
    return ev;
}
