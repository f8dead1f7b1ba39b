/*
 * The line discipline (N_TTY): what happens to typed characters on their way
 * to a read, to written ones on their way to the master, and what is echoed.
 * termios(3) describes the flags; the order of checks is Linux's.
 *
 * Canonical mode collects a line between canon_head and read_head, where it can be edited; a
 * line end moves canon_head up and marks the character that ended the line. An end of file is
 * stored as NUL, marked. Reads stop at marks.
 *
 * Echo goes into the output as far as there is room and is dropped beyond.
 */
#include <ctype.h>
#include <string.h>

#include "fs/tty_int.h"

#define DISABLED '\0' /* _POSIX_VDISABLE: no such special character */

static inline u32 pos(u32 counter)
{
    return counter & (LINE_SIZE - 1);
}

static inline bool has_mark(const struct tty *t, u32 counter)
{
    return (t->line_flags[pos(counter) / 64] >> (pos(counter) % 64)) & 1;
}

static inline void set_mark(struct tty *t, u32 counter, bool is_set)
{
    u64 bit = 1ULL << (pos(counter) % 64);
    if (is_set)
        t->line_flags[pos(counter) / 64] |= bit;
    else
        t->line_flags[pos(counter) / 64] &= ~bit;
}

static inline bool is_special(const struct tty *t, u8 c, int which)
{
    return c != DISABLED && c == t->termios.cc[which];
}

/* A byte inside a UTF-8 character, when the terminal is told that it is UTF-8. */
static bool is_continuation(const struct tty *t, u8 c)
{
    return (t->termios.iflag & LX_IUTF8) && (c & 0xc0) == 0x80;
}

/* ---- output -------------------------------------------------------------------------------- */

u32 out_used(const struct tty *t)
{
    return t->out_head - t->out_tail;
}

u32 out_room(const struct tty *t)
{
    return OUT_SIZE - out_used(t);
}

static void out_byte(struct tty *t, u8 c)
{
    if (t->out && out_room(t) > 0)
        t->out[t->out_head++ & (OUT_SIZE - 1)] = c;
}

static void track_column(struct tty *t, u8 c)
{
    if (c == '\b')
        t->column -= t->column > 0;
    else if (!iscntrl(c) && !is_continuation(t, c))
        t->column++;
}

static void out_tab(struct tty *t)
{
    u32 n = 8 - (t->column & 7);
    t->column += n;
    if ((t->termios.oflag & LX_TAB3) != LX_TAB3) {
        out_byte(t, '\t');
        return;
    }
    while (n-- > 0)
        out_byte(t, ' ');
}

/* One character by the rules of OPOST; needs room for 8. */
static void out_char(struct tty *t, u8 c)
{
    if (!O_FLAG(t, OPOST)) {
        out_byte(t, c);
        return;
    }
    switch (c) {
    case '\n':
        if (O_FLAG(t, ONLRET))
            t->column = 0;
        if (O_FLAG(t, ONLCR)) {
            t->column = t->canon_column = 0;
            out_byte(t, '\r');
        }
        break;
    case '\r':
        if (O_FLAG(t, ONOCR) && t->column == 0)
            return;
        if (O_FLAG(t, OCRNL)) {
            c = '\n';
            if (O_FLAG(t, ONLRET))
                t->column = t->canon_column = 0;
            break;
        }
        t->column = t->canon_column = 0;
        break;
    case '\t':
        out_tab(t);
        return;
    default:
        if (O_FLAG(t, OLCUC))
            c = (u8)toupper(c);
        track_column(t, c);
    }
    out_byte(t, c);
}

u32 ldisc_output(struct tty *t, const u8 *buf, u32 size)
{
    u32 n = 0;
    if (t->is_stopped)
        return 0;
    while (n < size && out_room(t) >= 8)
        out_char(t, buf[n++]);
    return n;
}

/* ---- echo ---------------------------------------------------------------------------------- */

static void echo_raw(struct tty *t, u8 c)
{
    if (out_room(t) >= 8)
        out_char(t, c);
}

/* Control characters as ^X. */
static void echo_char(struct tty *t, u8 c)
{
    if (L_FLAG(t, ECHOCTL) && iscntrl(c) && c != '\t') {
        echo_raw(t, '^');
        echo_raw(t, c ^ 0100);
    } else {
        echo_raw(t, c);
    }
}

static void echo_string(struct tty *t, const char *s)
{
    while (*s)
        echo_raw(t, (u8)*s++);
}

static void finish_erasing(struct tty *t)
{
    if (t->is_erasing)
        echo_raw(t, '/');
    t->is_erasing = false;
}

static bool is_line_empty(const struct tty *t)
{
    return t->canon_head == t->read_head;
}

static void echo_input(struct tty *t, u8 c)
{
    if (is_line_empty(t))
        t->canon_column = t->column;
    echo_char(t, c);
}

/* ---- editing ------------------------------------------------------------------------------- */

/* Moves the cursor back over the tab that was just taken off. */
static void erase_tab(struct tty *t)
{
    u32 n = 0;
    bool is_after_tab = false;
    for (u32 p = t->read_head; p != t->canon_head;) {
        u8 c = t->line[pos(--p)];
        if (c == '\t') {
            is_after_tab = true;
            break;
        }
        if (iscntrl(c))
            n += L_FLAG(t, ECHOCTL) ? 2 : 0;
        else if (!is_continuation(t, c))
            n++;
    }
    if (!is_after_tab)
        n += t->canon_column;
    for (u32 back = 8 - (n & 7); back > 0; back--)
        echo_raw(t, '\b');
}

/* Shows that c was taken off. */
static void echo_erased(struct tty *t, u8 c, u32 taken, bool is_one)
{
    if (L_FLAG(t, ECHOPRT)) {
        if (!t->is_erasing)
            echo_raw(t, '\\');
        t->is_erasing = true;
        echo_char(t, c);
        for (u32 i = 1; i < taken; i++)
            echo_raw(t, t->line[pos(t->read_head + i)]);
    } else if (is_one && !L_FLAG(t, ECHOE)) {
        echo_char(t, C_CHAR(t, VERASE));
    } else if (c == '\t') {
        erase_tab(t);
    } else {
        if (iscntrl(c) && L_FLAG(t, ECHOCTL))
            echo_string(t, "\b \b");
        if (!iscntrl(c) || L_FLAG(t, ECHOCTL))
            echo_string(t, "\b \b");
    }
}

enum erase { ERASE_CHAR, ERASE_WORD, ERASE_LINE };

static void erase_all_blind(struct tty *t)
{
    t->read_head = t->canon_head;
    if (!L_FLAG(t, ECHO))
        return;
    finish_erasing(t);
    echo_char(t, C_CHAR(t, VKILL));
    if (L_FLAG(t, ECHOK))
        echo_raw(t, '\n');
}

static void erase(struct tty *t, enum erase how)
{
    bool has_alnum = false;
    if (is_line_empty(t))
        return;
    if (how == ERASE_LINE &&
        (!L_FLAG(t, ECHO) || !L_FLAG(t, ECHOK) || !L_FLAG(t, ECHOKE) || !L_FLAG(t, ECHOE))) {
        erase_all_blind(t);
        return;
    }
    while (!is_line_empty(t)) {
        u32 head = t->read_head;
        u8 c;
        do
            c = t->line[pos(--head)];
        while (is_continuation(t, c) && head != t->canon_head);
        if (is_continuation(t, c))
            break; /* not a whole character */
        if (how == ERASE_WORD) {
            if (isalnum(c) || c == '_')
                has_alnum = true;
            else if (has_alnum)
                break;
        }
        u32 taken = t->read_head - head;
        t->read_head = head;
        if (L_FLAG(t, ECHO))
            echo_erased(t, c, taken, how == ERASE_CHAR);
        if (how == ERASE_CHAR)
            break;
    }
    if (is_line_empty(t) && L_FLAG(t, ECHO))
        finish_erasing(t);
}

static void reprint(struct tty *t)
{
    finish_erasing(t);
    echo_char(t, C_CHAR(t, VREPRINT));
    echo_raw(t, '\n');
    for (u32 p = t->canon_head; p != t->read_head; p++)
        echo_char(t, t->line[pos(p)]);
}

/* ---- input --------------------------------------------------------------------------------- */

static u32 line_room(const struct tty *t)
{
    return LINE_SIZE - (t->read_head - t->read_tail);
}

static void put_char(struct tty *t, u8 c)
{
    if (line_room(t) == 0)
        return;
    set_mark(t, t->read_head, false);
    t->line[pos(t->read_head++)] = c;
}

static void end_line(struct tty *t, u8 c)
{
    /* A full line loses its last character to its end, so that it can be read. */
    if (line_room(t) == 0 && t->read_head != t->canon_head)
        t->read_head--;
    if (line_room(t) == 0)
        return;
    t->line[pos(t->read_head)] = c;
    set_mark(t, t->read_head, true);
    t->canon_head = ++t->read_head;
}

void ldisc_set_stopped(struct tty *t, bool is_stopped)
{
    if (t->is_stopped == is_stopped)
        return;
    t->is_stopped = is_stopped;
    if (t->is_packet) {
        t->packet_status &= (u8) ~(LX_TIOCPKT_STOP | LX_TIOCPKT_START);
        t->packet_status |= is_stopped ? LX_TIOCPKT_STOP : LX_TIOCPKT_START;
    }
}

static void signal_char(struct tty *t, u8 c, int signo, struct tty_signals *sig)
{
    s32 pgrp = atomic_load(&t->pgrp);
    if (pgrp != 0) {
        sig->pgrp = pgrp;
        sig->set |= 1ULL << (signo - 1);
    }
    if (!L_FLAG(t, NOFLSH)) {
        ldisc_flush_output(t);
        ldisc_flush_input(t);
    }
    if (I_FLAG(t, IXON) && !t->is_tco_stopped)
        ldisc_set_stopped(t, false);
    if (L_FLAG(t, ECHO))
        echo_char(t, c);
}

/* Flow control and signals; true when c was one of them. */
static bool receive_control(struct tty *t, u8 c, struct tty_signals *sig)
{
    if (I_FLAG(t, IXON)) {
        if (is_special(t, c, LX_VSTART)) {
            if (!t->is_tco_stopped)
                ldisc_set_stopped(t, false);
            return true;
        }
        if (is_special(t, c, LX_VSTOP)) {
            ldisc_set_stopped(t, true);
            return true;
        }
    }
    if (!L_FLAG(t, ISIG))
        return false;
    static const struct {
        u8 which, signo;
    } chars[] = {{LX_VINTR, LX_SIGINT}, {LX_VQUIT, LX_SIGQUIT}, {LX_VSUSP, LX_SIGTSTP}};
    for (size_t i = 0; i < ARRAY_SIZE(chars); i++) {
        if (is_special(t, c, chars[i].which)) {
            signal_char(t, c, chars[i].signo, sig);
            return true;
        }
    }
    return false;
}

/* Editing characters; true when c was one. */
static bool receive_editing(struct tty *t, u8 c)
{
    bool is_ext = L_FLAG(t, IEXTEN);
    if (is_special(t, c, LX_VERASE)) {
        erase(t, ERASE_CHAR);
    } else if (is_special(t, c, LX_VKILL)) {
        erase(t, ERASE_LINE);
    } else if (is_ext && is_special(t, c, LX_VWERASE)) {
        erase(t, ERASE_WORD);
    } else if (is_ext && is_special(t, c, LX_VLNEXT)) {
        t->is_lnext = true;
        if (L_FLAG(t, ECHO)) {
            finish_erasing(t);
            if (L_FLAG(t, ECHOCTL))
                echo_string(t, "^\b");
        }
    } else if (is_ext && L_FLAG(t, ECHO) && is_special(t, c, LX_VREPRINT)) {
        reprint(t);
    } else {
        return false;
    }
    return true;
}

/* Ends of lines; true when c was one. */
static bool receive_line_end(struct tty *t, u8 c)
{
    if (c == '\n') {
        if (L_FLAG(t, ECHO) || L_FLAG(t, ECHONL))
            echo_raw(t, '\n');
        end_line(t, c);
    } else if (is_special(t, c, LX_VEOF)) {
        end_line(t, DISABLED);
    } else if (is_special(t, c, LX_VEOL) || (L_FLAG(t, IEXTEN) && is_special(t, c, LX_VEOL2))) {
        if (L_FLAG(t, ECHO))
            echo_input(t, c);
        if (I_FLAG(t, PARMRK) && c == 0xff)
            put_char(t, c);
        end_line(t, c);
    } else {
        return false;
    }
    return true;
}

static void receive_plain(struct tty *t, u8 c)
{
    /* In canonical mode the last place is kept for the end of the line. */
    if (L_FLAG(t, ICANON) && line_room(t) <= 1)
        return;
    if (L_FLAG(t, ECHO)) {
        finish_erasing(t);
        if (c == '\n')
            echo_raw(t, '\n');
        else
            echo_input(t, c);
    }
    if (I_FLAG(t, PARMRK) && c == 0xff)
        put_char(t, c);
    put_char(t, c);
}

static void receive_char(struct tty *t, u8 c, struct tty_signals *sig)
{
    if (I_FLAG(t, ISTRIP))
        c &= 0x7f;
    if (I_FLAG(t, IUCLC) && L_FLAG(t, IEXTEN))
        c = (u8)tolower(c);
    if (L_FLAG(t, EXTPROC)) {
        put_char(t, c);
        return;
    }
    if (t->is_lnext) {
        t->is_lnext = false;
        receive_plain(t, c);
        return;
    }
    if (receive_control(t, c, sig))
        return;
    if (t->is_stopped && !t->is_tco_stopped && I_FLAG(t, IXON) && I_FLAG(t, IXANY))
        ldisc_set_stopped(t, false);
    if (c == '\r') {
        if (I_FLAG(t, IGNCR))
            return;
        if (I_FLAG(t, ICRNL))
            c = '\n';
    } else if (c == '\n' && I_FLAG(t, INLCR)) {
        c = '\r';
    }
    if (L_FLAG(t, ICANON) && (receive_editing(t, c) || receive_line_end(t, c)))
        return;
    receive_plain(t, c);
}

/* Characters with a meaning of their own get through a full buffer: ^C must. */
static bool is_urgent(const struct tty *t, u8 c)
{
    return (L_FLAG(t, ISIG) && (is_special(t, c, LX_VINTR) || is_special(t, c, LX_VQUIT) ||
                                is_special(t, c, LX_VSUSP))) ||
           (I_FLAG(t, IXON) && (is_special(t, c, LX_VSTART) || is_special(t, c, LX_VSTOP)));
}

/* Canonical mode takes everything while the line being typed is the only one: what does not fit
 * is lost. Otherwise what does not fit waits. */
static bool can_receive(const struct tty *t, u8 c)
{
    u32 needed = I_FLAG(t, PARMRK) ? 2 : 1; /* one place stays free for the end of a line */
    if (line_room(t) > needed || is_urgent(t, c))
        return true;
    return L_FLAG(t, ICANON) && t->canon_head == t->read_tail;
}

u32 ldisc_receive(struct tty *t, const u8 *buf, u32 size, struct tty_signals *sig)
{
    u32 n = 0;
    while (n < size && can_receive(t, buf[n]))
        receive_char(t, buf[n++], sig);
    return n;
}

void ldisc_drain_backlog(struct tty *t, struct tty_signals *sig)
{
    u32 len = t->backlog_len;
    if (len == 0)
        return;
    u32 n = ldisc_receive(t, t->backlog + t->backlog_off, len, sig);
    if (t->backlog_len == 0)
        return; /* a signal character flushed the rest */
    t->backlog_off += n;
    t->backlog_len -= n;
    if (t->backlog_len == 0)
        t->backlog_off = 0;
}

/* ---- reading ------------------------------------------------------------------------------- */

static bool is_canonical(const struct tty *t)
{
    return L_FLAG(t, ICANON) && !L_FLAG(t, EXTPROC);
}

bool ldisc_has_input(struct tty *t, u32 min)
{
    if (is_canonical(t))
        return t->canon_head != t->read_tail;
    return t->read_head - t->read_tail >= MAX(min, 1U);
}

static u32 read_line(struct tty *t, u8 *buf, u32 size, bool *ret_is_line)
{
    u32 n = 0;
    *ret_is_line = false;
    while (t->read_tail != t->canon_head) {
        u8 c = t->line[pos(t->read_tail)];
        bool is_end = has_mark(t, t->read_tail);
        bool is_eof = is_end && c == DISABLED;
        if (n == size && !is_eof)
            break; /* an end of file right behind the last byte goes with this read */
        t->read_tail++;
        if (!is_eof)
            buf[n++] = c;
        if (is_end) {
            *ret_is_line = true;
            break;
        }
    }
    return n;
}

u32 ldisc_read(struct tty *t, u8 *buf, u32 size, bool *ret_is_line)
{
    if (is_canonical(t))
        return read_line(t, buf, size, ret_is_line);
    u32 n = MIN(size, t->read_head - t->read_tail);
    *ret_is_line = false;
    for (u32 i = 0; i < n; i++)
        buf[i] = t->line[pos(t->read_tail++)];
    if (t->canon_head - t->read_tail > LINE_SIZE) /* passed it */
        t->canon_head = t->read_tail;
    return n;
}

u32 ldisc_count_input(struct tty *t)
{
    if (!is_canonical(t))
        return t->read_head - t->read_tail;
    u32 n = 0;
    for (u32 p = t->read_tail; p != t->canon_head; p++)
        n += !(has_mark(t, p) && t->line[pos(p)] == DISABLED);
    return n;
}

void ldisc_flush_input(struct tty *t)
{
    t->read_head = t->canon_head = t->read_tail = 0;
    t->backlog_len = t->backlog_off = 0;
    t->is_lnext = t->is_erasing = false;
    memset(t->line_flags, 0, sizeof(t->line_flags));
    if (t->is_packet)
        t->packet_status |= LX_TIOCPKT_FLUSHREAD;
}

void ldisc_flush_output(struct tty *t)
{
    t->out_tail = t->out_head;
    if (t->is_packet)
        t->packet_status |= LX_TIOCPKT_FLUSHWRITE;
}

/* Packet mode's "the master may do ^S and ^Q itself". */
static bool is_nostop(const struct ktermios *k)
{
    return !((k->iflag & LX_IXON) && k->cc[LX_VSTOP] == 023 && k->cc[LX_VSTART] == 021);
}

void ldisc_termios_changed(struct tty *t, const struct ktermios *old)
{
    bool was_canon = old->lflag & LX_ICANON, is_canon = L_FLAG(t, ICANON);
    if (was_canon != is_canon || ((old->lflag ^ t->termios.lflag) & LX_EXTPROC)) {
        memset(t->line_flags, 0, sizeof(t->line_flags));
        if (is_canon && t->read_head != t->read_tail) {
            /* What was typed so far is a line by itself. */
            set_mark(t, t->read_head - 1, true);
            t->canon_head = t->read_head;
        } else {
            t->canon_head = t->read_tail;
        }
        t->is_lnext = t->is_erasing = false;
    }
    if (!I_FLAG(t, IXON) && (old->iflag & LX_IXON) && !t->is_tco_stopped)
        ldisc_set_stopped(t, false);
    if (!t->is_packet)
        return;
    if (is_nostop(old) != is_nostop(&t->termios)) {
        t->packet_status &= (u8) ~(LX_TIOCPKT_DOSTOP | LX_TIOCPKT_NOSTOP);
        t->packet_status |= is_nostop(&t->termios) ? LX_TIOCPKT_NOSTOP : LX_TIOCPKT_DOSTOP;
    }
    if ((old->lflag | t->termios.lflag) & LX_EXTPROC)
        t->packet_status |= LX_TIOCPKT_IOCTL;
}
