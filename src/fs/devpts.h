/* devpts: pseudo-terminals and the file system of their names. */
#ifndef FS_DEVPTS_H
#define FS_DEVPTS_H

#include "vfs/vfs.h"

void devpts_init(void); /* at start: registers the type and /dev/ptmx */

/*
 * A new pty of the devpts that is mounted at pts (its root): the master as a file, unlocked, and
 * its number. For the terminal that the control side attaches to a container.
 */
int devpts_new_pty(const struct path *pts, struct file **ret_master, u32 *ret_index) must_check;
/* Both ends of a new pty of the devpts mounted at /dev/pts of the current task. */
int devpts_open_pair(struct file **ret_master, struct file **ret_slave) must_check;
/* Window size, from outside: SIGWINCH to the foreground group when it changed. */
void devpts_set_size(struct file *master, u32 rows, u32 cols);
/* The terminal side of a master file (TIOCGPTPEER), with open flags LX_O_*. */
int devpts_open_peer(struct file *master, u32 flags, struct file **ret_f) must_check;

#endif
