/*
 * Terminals: the line discipline (tty_ldisc.c), job control (tty_jobctl.c), ioctls (tty_ioctl.c)
 * and pseudo-terminals (devpts.c). A `tty` is the terminal side; what feeds it is its master.
 *
 * Lock order: tty.lock → waitq. task_lock (kern) may not be taken under tty.lock.
 */
#ifndef FS_TTY_H
#define FS_TTY_H

#include "vfs/vfs.h"

struct tty;

void tty_get(struct tty *t);
void tty_put(struct tty *t); /* NULL is fine */
/* The terminal behind an open file (a pty's terminal side, /dev/tty, the host's terminal as stdio);
 * NULL when it is none. Not counted: the file holds it. */
struct tty *tty_of_file(struct file *f);
/* st_rdev of the terminal, for /proc/PID/stat's tty_nr. */
u64 tty_dev(const struct tty *t);
/* Foreground process group (kid) for tpgid; 0 none. */
s32 tty_fg_pgrp(struct tty *t);
/*
 * The leader of the session ends: SIGHUP to the foreground group, and the terminal is
 * nobody's any more. The caller then makes the session's processes forget it.
 */
void tty_session_exit(struct tty *t, s32 session);
/* Makes t the controlling terminal of `session` with foreground group `pgrp` without further checks
 * (the first process of a container). The caller then stores it where get_ctty finds it. */
void tty_set_session(struct tty *t, s32 session, s32 pgrp);

#endif
