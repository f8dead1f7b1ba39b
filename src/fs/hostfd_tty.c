/*
 * The host's terminal as a terminal of the sandbox: the host keeps the line
 * discipline, its buffers and the window size; sessions, foreground groups and
 * what background processes may do are ours. Only the ioctls below reach the host.
 *
 * Signals from the keyboard arrive at the command outside, which passes them on to
 * the foreground group.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/hostfd_int.h"
#include "fs/tty_int.h"

struct lx_termios2 {
    u32 iflag, oflag, cflag, lflag;
    u8 line, cc[LX_NCCS];
    u32 ispeed, ospeed;
};
_Static_assert(sizeof(struct lx_termios2) == sizeof(struct ktermios), "read in place");

struct hosttty { /* tty.be_priv */
    struct list node;    /* in hostttys; guarded by hostttys_lock */
    struct tty *tty;
    dev_t dev, rdev;     /* which terminal */
    ino_t ino;
    struct hostfd *own;  /* for /dev/tty and ioctls; owned */
};

static struct mutex hostttys_lock = MUTEX_INIT("hosttty");
static struct list hostttys = LIST_INIT(hostttys); /* guarded by hostttys_lock */

/* ---- backend ------------------------------------------------------------------------------- */

static int host_fd_of(struct tty *t)
{
    struct hosttty *ht = t->be_priv;
    return ht->own->fd;
}

static int hosttty_get_termios(struct tty *t, struct ktermios *ret)
{
    return ioctl(host_fd_of(t), LX_TCGETS2, ret) < 0 ? -errno : 0;
}

/* Never the draining forms, which wait on the host: a terminal that is stopped would stop us. */
static int hosttty_set_termios(struct tty *t, const struct ktermios *k, int how)
{
    struct ktermios copy = *k;
    if (how == LX_TCSAFLUSH && ioctl(host_fd_of(t), LX_TCFLSH, LX_TCIFLUSH) < 0)
        return -errno;
    if (ioctl(host_fd_of(t), LX_TCSETS2, &copy) < 0)
        return -errno;
    MUTEX_GUARD(&t->lock);
    t->termios = copy;
    return 0;
}

static int hosttty_get_winsize(struct tty *t, struct lx_winsize *ret)
{
    return ioctl(host_fd_of(t), LX_TIOCGWINSZ, ret) < 0 ? -errno : 0;
}

static int hosttty_set_winsize(struct tty *t, const struct lx_winsize *ws)
{
    struct lx_winsize copy = *ws;
    return ioctl(host_fd_of(t), LX_TIOCSWINSZ, &copy) < 0 ? -errno : 0;
}

static s64 hosttty_control(struct tty *t, u32 cmd, u64 arg)
{
    int n = 0;
    switch (cmd) {
    case LX_FIONREAD:
    case LX_TIOCOUTQ:
        return ioctl(host_fd_of(t), cmd, &n) < 0 ? -errno : n;
    case LX_TCFLSH:
    case LX_TCXONC:
        if (arg > 3)
            return -LX_EINVAL;
        return ioctl(host_fd_of(t), cmd, arg) < 0 ? -errno : 0;
    case LX_TCSBRK:
        return arg ? 0 : -LX_ENOTTY; /* a drain: what was written is on its way; no breaks */
    default:
        return -LX_ENOTTY;
    }
}

static void hosttty_release(struct tty *t)
{
    struct hosttty *ht = t->be_priv;
    mutex_lock(&hostttys_lock);
    list_del(&ht->node);
    mutex_unlock(&hostttys_lock);
    hostfd_free(ht->own);
    free(ht);
}

static const struct tty_backend hosttty_backend = {
    .get_termios = hosttty_get_termios,
    .set_termios = hosttty_set_termios,
    .get_winsize = hosttty_get_winsize,
    .set_winsize = hosttty_set_winsize,
    .control = hosttty_control,
    .release = hosttty_release,
};

/* ---- finding and making -------------------------------------------------------------------- */

static struct tty *find_locked(const struct stat *st) REQUIRES(hostttys_lock)
{
    struct hosttty *ht;
    list_for_each(ht, &hostttys, node) {
        if (ht->dev == st->st_dev && ht->ino == st->st_ino && ht->rdev == st->st_rdev &&
            ref_get_unless_zero(&ht->tty->ref))
            return ht->tty;
    }
    return NULL;
}

static struct tty *make_locked(int fd, const struct stat *st) REQUIRES(hostttys_lock)
{
    struct hosttty *ht = calloc(1, sizeof(*ht));
    int own = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (!ht || own < 0 || hostfd_alloc(own, &ht->own) < 0) {
        if (own >= 0)
            close(own);
        free(ht);
        return NULL;
    }
    /* As a pts of the host: programs that look at the major take it for a terminal. */
    struct tty *t = tty_new(&hosttty_backend, &hosttty_fops, MKDEV(136, 0));
    if (!t) {
        hostfd_free(ht->own);
        free(ht);
        return NULL;
    }
    *ht = (struct hosttty){.tty = t, .dev = st->st_dev, .rdev = st->st_rdev, .ino = st->st_ino,
                           .own = ht->own};
    t->be_priv = ht;
    list_add_tail(&hostttys, &ht->node);
    return t;
}

int hosttty_get(int fd, struct tty **ret_t)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return -errno;
    mutex_lock(&hostttys_lock);
    struct tty *t = find_locked(&st);
    if (!t)
        t = make_locked(fd, &st);
    mutex_unlock(&hostttys_lock);
    if (!t)
        return -LX_ENOMEM;
    struct ktermios k;
    if (hosttty_get_termios(t, &k) == 0) {
        MUTEX_GUARD(&t->lock);
        t->termios = k;
    }
    *ret_t = t;
    return 0;
}

/* ---- file operations ----------------------------------------------------------------------- */

static struct hostfd *fd_behind(struct file *f)
{
    struct tty_file *tf = f->priv;
    struct hosttty *ht = tf->tty->be_priv;
    return tf->ext ? tf->ext : ht->own; /* own: opened through /dev/tty */
}

/* Non-canonical mode with VMIN 0: how long a read waits for its first byte; else for ever. */
static s64 first_byte_deadline(struct tty *t)
{
    MUTEX_GUARD(&t->lock);
    if (L_FLAG(t, ICANON) || C_CHAR(t, VMIN) > 0)
        return NO_DEADLINE;
    return C_CHAR(t, VTIME) ? deadline_after_ns(C_CHAR(t, VTIME) * (NSEC_PER_SEC / 10)) : 0;
}

static s64 hosttty_read(struct file *f, struct uio *to, s64 *off)
{
    struct tty_file *tf = f->priv;
    struct hostfd *h = fd_behind(f);
    if (tty_file_is_hung(tf) || to->left == 0)
        return 0;
    int r = tty_check_background(tf->tty, LX_SIGTTIN);
    if (r < 0)
        return r;
    s64 deadline = first_byte_deadline(tf->tty);
    if (deadline != NO_DEADLINE && !(host_poll_now(h, WAIT_IN) & (WAIT_IN | WAIT_HUP | WAIT_ERR))) {
        r = deadline == 0 || file_is_nonblock(f) ? -LX_ETIMEDOUT : hostfd_wait(h, WAIT_IN, deadline);
        if (r == -LX_ETIMEDOUT)
            return 0;
        if (r < 0)
            return r;
    }
    return hostfd_read_uio(h, to, NULL, file_is_nonblock(f));
}

static s64 hosttty_write(struct file *f, struct uio *from, s64 *off)
{
    struct tty_file *tf = f->priv;
    if (tty_file_is_hung(tf))
        return -LX_EIO;
    int r = L_FLAG(tf->tty, TOSTOP) ? tty_check_background(tf->tty, LX_SIGTTOU) : 0;
    if (r < 0)
        return r;
    return hostfd_write_uio(fd_behind(f), from, NULL, file_is_nonblock(f));
}

static u32 hosttty_poll(struct file *f)
{
    struct tty_file *tf = f->priv;
    struct hostfd *h = fd_behind(f);
    u32 out = WAIT_OUT | WAIT_WRNORM, in = WAIT_IN | WAIT_RDNORM;
    if (tty_file_is_hung(tf))
        return in | out | WAIT_ERR | WAIT_HUP;
    if (atomic_load(&h->wait.nwaiters) > 0)
        hostfd_arm(h);
    return host_poll_now(h, in | out | WAIT_PRI);
}

static struct waitq *hosttty_pollq(struct file *f)
{
    return &fd_behind(f)->wait;
}

static s64 hosttty_ioctl(struct file *f, u32 cmd, u64 arg)
{
    struct tty_file *tf = f->priv;
    if (tty_file_is_hung(tf))
        return cmd == LX_TIOCSPGRP ? -LX_ENOTTY : -LX_EIO;
    return tty_ioctl(tf->tty, f, cmd, arg, false);
}

static void hosttty_release_file(struct file *f)
{
    struct tty_file *tf = f->priv;
    struct hostfd *h = tf->ext;
    tty_release_file(f);
    if (h)
        hostfd_release_ref(f, h);
}

const struct file_ops hosttty_fops = {
    .read = hosttty_read,
    .write = hosttty_write,
    .poll = hosttty_poll,
    .pollq = hosttty_pollq,
    .ioctl = hosttty_ioctl,
    .open = hostfd_open,
    .release = hosttty_release_file,
};
