/*
 * What the files of terminals share.
 *
 *            master file                         terminal file (slave)
 *     write │           ▲ read              read ▲           │ write
 *           ▼           │                        │           ▼
 *      ┌─ backlog ──────┴─ out ◄──── echo ── line discipline ─ output processing ─┐
 *      └────────► line discipline (tty_ldisc.c): input → line buffer ─────────────┘
 *
 * A terminal of the host (stdio) is a tty too, for job control and ioctls; its
 * line discipline and buffers are the host's (`be` is set).
 */
#ifndef FS_TTY_INT_H
#define FS_TTY_INT_H

#include "abi/signal.h"
#include "abi/tty.h"
#include "fs/tty.h"
#include "vfs/task_ops.h"

#define LINE_SIZE    4096U /* the line buffer: N_TTY_BUF_SIZE; a power of two */
#define BACKLOG_SIZE 16384U /* typed but not yet looked at */
#define OUT_SIZE     16384U /* written or echoed but not yet read by the master; a power of two */

struct lx_winsize {
    u16 rows, cols, xpixel, ypixel;
};

struct ktermios { /* struct termios2 of the ABI */
    u32 iflag, oflag, cflag, lflag;
    u8 line, cc[LX_NCCS];
    u32 ispeed, ospeed;
};

struct tty;

/* A terminal of the host. Errors are negative LX_E*. None blocks. */
struct tty_backend {
    int (*get_termios)(struct tty *t, struct ktermios *ret) must_check;
    /* how: LX_TCSANOW, TCSADRAIN, TCSAFLUSH */
    int (*set_termios)(struct tty *t, const struct ktermios *k, int how) must_check;
    int (*get_winsize)(struct tty *t, struct lx_winsize *ret) must_check;
    int (*set_winsize)(struct tty *t, const struct lx_winsize *ws) must_check;
    /* FIONREAD, TIOCOUTQ: a number; TCFLSH, TCXONC, TCSBRK: 0. Absent commands: -LX_ENOTTY. */
    s64 (*control)(struct tty *t, u32 cmd, u64 arg) must_check;
    void (*release)(struct tty *t); /* the last reference has gone */
};

struct tty {
    struct ref ref;
    const struct tty_backend *be; /* NULL: a pty; immutable */
    void *be_priv;
    const struct file_ops *fops;  /* of terminal-side files; immutable */
    u32 index;                    /* of a pty; immutable */
    u64 dev;                      /* st_rdev; immutable */
    _Atomic s32 session, pgrp;    /* kids; 0 none; written under ctty_lock (tty_jobctl.c) */

    struct mutex lock;            /* guards all below */
    struct ktermios termios;
    struct lx_winsize winsize;
    bool is_locked;               /* TIOCSPTLCK: the terminal side cannot be opened yet */
    bool is_exclusive;            /* TIOCEXCL */
    bool is_stopped;              /* ^S or TCOOFF: no output */
    bool is_tco_stopped;          /* by TCOOFF: only TCOON starts it */
    bool is_packet;               /* TIOCPKT */
    u8 packet_status;             /* TIOCPKT_* to report */
    bool has_master;
    bool has_been_open;           /* the terminal side, since the master was opened */
    u32 nopen;                    /* terminal-side files that are not hung up */
    u32 hangup_gen;               /* files opened before the last hang-up are dead */

    /* Input. line[]: positions are free-running counters, masked when used. */
    u8 line[LINE_SIZE];
    u64 line_flags[LINE_SIZE / 64]; /* this character ends a line */
    u32 read_head, canon_head, read_tail; /* tail ≤ canon_head ≤ head */
    bool is_lnext, is_erasing;
    u8 *backlog;                  /* BACKLOG_SIZE, made at the first need */
    u32 backlog_off, backlog_len;

    /* Output */
    u8 *out;                      /* OUT_SIZE, made at the first need */
    u32 out_head, out_tail;
    u32 column, canon_column;

    struct waitq wait;            /* terminal side: input came, output has room, hung up */
    struct waitq master_wait;
    bool is_writing;              /* one write at a time on the terminal side */
};

/* A file of the terminal side. */
struct tty_file {
    struct tty *tty; /* owned */
    u32 gen;         /* hangup_gen at open */
    void *ext;       /* hostfd_tty.c's: the host fd behind this file */
};

/* Signals found while t->lock is held, sent after it is dropped. */
struct tty_signals {
    s32 pgrp;
    u64 set; /* bit signo-1 */
};
void tty_send_signals(const struct tty_signals *s);

#define I_FLAG(t, f) ((t)->termios.iflag & LX_##f)
#define O_FLAG(t, f) ((t)->termios.oflag & LX_##f)
#define L_FLAG(t, f) ((t)->termios.lflag & LX_##f)
#define C_CHAR(t, c) ((t)->termios.cc[LX_##c])

/* ---- tty.c --------------------------------------------------------------------------------- */

/* NULL: no memory. be NULL: a pty, with its buffers. */
struct tty *tty_new(const struct tty_backend *be, const struct file_ops *fops, u64 dev) must_check;
extern const struct ktermios tty_std_termios;
/* Makes f a terminal-side file of t: f->ops, f->priv; gives a session leader its terminal unless
 * O_NOCTTY. -LX_EIO, -LX_EBUSY, -LX_ENOMEM. */
int tty_open_file(struct tty *t, struct file *f, u32 flags) must_check;
void tty_release_file(struct file *f); /* frees f->priv */
/* The master side: its files' priv is a struct pty_master (devpts.c); these do the data. */
s64 tty_master_read(struct tty *t, struct file *f, struct uio *to) must_check;
s64 tty_master_write(struct tty *t, struct file *f, struct uio *from) must_check;
u32 tty_master_poll(struct tty *t);
void tty_master_closed(struct tty *t);
/* Tells both ends to look again: something happened under t->lock. */
void tty_wake(struct tty *t);
/* The master has gone, or vhangup: open files die, the session is told. */
void tty_hangup(struct tty *t);
bool tty_file_is_hung(const struct tty_file *tf);
struct tty_file *tty_file_of(struct file *f); /* of a terminal-side file, else NULL */
extern const struct file_ops pts_fops, ptmx_fops, hosttty_fops;

/* ---- tty_ldisc.c --------------------------------------------------------------------------- */

/* Typed characters; returns how many were taken. */
u32 ldisc_receive(struct tty *t, const u8 *buf, u32 size, struct tty_signals *sig) REQUIRES(t->lock);
/* Looks at what is waiting in the backlog. */
void ldisc_drain_backlog(struct tty *t, struct tty_signals *sig) REQUIRES(t->lock);
/* Output of a program, processed into out; how many were taken. */
u32 ldisc_output(struct tty *t, const u8 *buf, u32 size) REQUIRES(t->lock);
/* Moves up to size bytes to buf as a read of this mode would, one line at most in canonical mode.
 * *ret_is_line: a line (or end of file) ended: the read is complete. */
u32 ldisc_read(struct tty *t, u8 *buf, u32 size, bool *ret_is_line) REQUIRES(t->lock);
/* Bytes that a read could take; canonical mode: 0 while no line is complete. */
bool ldisc_has_input(struct tty *t, u32 min) REQUIRES(t->lock);
u32 ldisc_count_input(struct tty *t) REQUIRES(t->lock); /* FIONREAD */
void ldisc_flush_input(struct tty *t) REQUIRES(t->lock);
void ldisc_flush_output(struct tty *t) REQUIRES(t->lock);
/* After termios changed: canonical mode on or off, flow control. */
void ldisc_termios_changed(struct tty *t, const struct ktermios *old) REQUIRES(t->lock);
void ldisc_set_stopped(struct tty *t, bool is_stopped) REQUIRES(t->lock);
u32 out_used(const struct tty *t);
u32 out_room(const struct tty *t);

/* ---- tty_jobctl.c -------------------------------------------------------------------------- */

/* A background process touches its terminal: 0, -LX_EIO, or -LX_ERESTARTSYS after the signal. */
int tty_check_background(struct tty *t, int signo) must_check;
/* TIOCSCTTY, TIOCNOTTY, TIOCGPGRP, TIOCSPGRP, TIOCGSID. is_master: called on the other end. */
s64 tty_job_ioctl(struct tty *t, struct file *f, u32 cmd, u64 arg, bool is_master) must_check;
bool tty_is_job_ioctl(u32 cmd);
/* open(2) of a terminal: a session leader without one gets it. */
void tty_open_ctty(struct tty *t, struct file *f);

/* ---- tty_ioctl.c --------------------------------------------------------------------------- */

/* A pty's window size; SIGWINCH to the foreground group when it changed. */
void tty_resize(struct tty *t, const struct lx_winsize *ws);
/* ioctls of both ends, except those of a master alone. */
s64 tty_ioctl(struct tty *t, struct file *f, u32 cmd, u64 arg, bool is_master) must_check;

#endif
