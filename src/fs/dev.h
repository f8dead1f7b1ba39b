/* Devices and the contents of /dev. */
#ifndef FS_DEV_H
#define FS_DEV_H

#include "vfs/vfs.h"

struct tty;

/* At start, after vfs_init: pipes, epoll, all drivers, devpts, the type "devtmpfs". */
void dev_init(void);

/* A mapping of /dev/zero is anonymous memory: mmap(2) asks this and maps none. */
bool dev_is_zero(const struct file *f);

/*
 * Fills the root of a writable file system (a fresh tmpfs) as a container's /dev: null, zero,
 * full, random, urandom, tty, console (only with has_console), ptmx → pts/ptmx, pts, shm,
 * mqueue, fd, stdin, stdout, stderr. What exists already stays.
 */
int dev_populate(struct super *sb, bool has_console) must_check;
/* What /dev/console opens; NULL: ENXIO, until set. Takes a reference. */
void dev_set_console(struct tty *t);

#endif
