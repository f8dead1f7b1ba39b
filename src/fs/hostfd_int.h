/* What hostfd.c, hostfd_io.c and hostfd_tty.c share. */
#ifndef FS_HOSTFD_INT_H
#define FS_HOSTFD_INT_H

#include "fs/hostfd.h"
#include "fs/hostwatch.h"

struct tty;

enum hostfd_kind {
    HOSTFD_REG,  /* never blocks, has a position */
    HOSTFD_PIPE,
    HOSTFD_SOCK,
    HOSTFD_TTY,
    HOSTFD_CHR,  /* such as /dev/null: never blocks */
};

struct hostfd {
    struct ref ref;           /* each open file's; dropped under the inode's lock */
    int fd;                   /* owned */
    enum hostfd_kind kind;    /* immutable */
    u32 fmode;                /* FMODE_READ, FMODE_WRITE: the host's access mode; immutable */
    struct hostwatch watch;
    bool is_nowait_off;       /* RWF_NOWAIT is not supported; racy, only a hint */
    struct waitq wait;
    struct tty *tty;          /* HOSTFD_TTY: owned */
};

/* Ends h, which nothing refers to. NULL is fine. */
void hostfd_free(struct hostfd *h);
/* A file's reference goes; with the last one the inode forgets h. */
void hostfd_release_ref(struct file *f, struct hostfd *h);
int hostfd_open(struct inode *i, struct file *f);
/* Takes fd over on success. */
int hostfd_alloc(int fd, struct hostfd **ret_h) must_check;

/* ---- hostfd_io.c --------------------------------------------------------------------------- */

/* Without waiting. Bytes, 0 at the end, -LX_EAGAIN, other errors of the host. off < 0: at the host's position. */
s64 host_try_read(struct hostfd *h, void *buf, size_t size, s64 off);
s64 host_try_write(struct hostfd *h, const void *buf, size_t size, s64 off);
u32 host_poll_now(struct hostfd *h, u32 events); /* WAIT_* */
/* Whoever waits on h->wait gets woken by the host's events from now on. */
void hostfd_arm(struct hostfd *h);
/* Waits until host_poll_now has one of events. 0, -LX_ERESTARTSYS, -LX_ETIMEDOUT. */
int hostfd_wait(struct hostfd *h, u32 events, s64 deadline_ns) must_check;
/* Whole reads and writes with waiting unless is_nonblock; off NULL: the host's position. */
s64 hostfd_read_uio(struct hostfd *h, struct uio *to, s64 *off, bool is_nonblock) must_check;
s64 hostfd_write_uio(struct hostfd *h, struct uio *from, s64 *off, bool is_nonblock) must_check;

/* ---- hostfd_tty.c -------------------------------------------------------------------------- */

/* The tty of the terminal behind host fd, one for all fds of it; a reference. fd stays the caller's. */
int hosttty_get(int fd, struct tty **ret_t) must_check;

#endif
