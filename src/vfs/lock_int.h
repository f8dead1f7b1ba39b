/* What the files of advisory locks share. */
#ifndef VFS_LOCK_INT_H
#define VFS_LOCK_INT_H

#include "vfs/locks.h"

#define MAX_LOCKS 262144U /* of all kinds, for everybody */

enum lock_kind { LOCK_POSIX, LOCK_OFD, LOCK_FLOCK };

struct file_lock { /* a held lock; ranges for POSIX and OFD */
    struct list node;    /* guarded by file_locks.lock, as the rest */
    const void *owner;   /* POSIX: struct fdtable; OFD, flock: struct file. Compared only */
    enum lock_kind kind;
    bool is_write;
    s64 start, end;      /* [start, end]; INT64_MAX: to the end of the file */
    s32 pid;             /* tgid of the maker (kid), for F_GETLK and /proc/locks */
};

struct lease {
    struct list node;    /* guarded by file_locks.lock, as the rest */
    struct file *file;   /* not owned */
    u8 type;             /* LX_F_RDLCK, LX_F_WRLCK */
    u8 target;           /* being broken down to; == type: not being broken */
    s64 break_deadline_ns;
};

struct file_locks { /* one an inode, made on first use, freed with it */
    struct mutex lock;
    struct list posix;   /* guarded by lock: file_lock, POSIX and OFD */
    struct list flocks;  /* guarded by lock */
    struct list leases;  /* guarded by lock */
    struct list all_node; /* in all_locks; guarded by all_locks_mutex */
    u64 dev, ino;        /* immutable */
    struct waitq wait;   /* woken whenever something is released */
};

extern struct mutex all_locks_mutex;
extern struct list all_locks; /* guarded by all_locks_mutex */

/* The inode's, made when there is none; NULL: no memory. */
struct file_locks *locks_get(struct inode *i) must_check;
struct file_lock *lock_alloc(void) must_check; /* NULL: no memory or too many */
void lock_free(struct file_lock *l);           /* NULL is fine */
void locks_wake(struct file_locks *ls);

/* ---- lock_posix.c -------------------------------------------------------------------------- */

struct lock_range {
    const void *owner;
    enum lock_kind kind;
    int type; /* LX_F_RDLCK, LX_F_WRLCK, LX_F_UNLCK */
    s64 start, end;
    s32 pid;
};

/* F_SETLK, F_SETLKW. -LX_EAGAIN, -LX_EDEADLK, -LX_ENOLCK, -LX_ERESTARTSYS. */
int posix_lock(struct inode *i, const struct lock_range *r, bool is_waiting) must_check;
/* F_GETLK: true and *ret_lock, a copy, when r could not be had. */
bool posix_test(struct inode *i, const struct lock_range *r, struct file_lock *ret_lock);
void posix_drop_owner(struct file_locks *ls, const void *owner);

/* ---- lease.c ------------------------------------------------------------------------------- */

/* F_SETLEASE, F_GETLEASE. */
int lease_set(struct file *f, int type) must_check;
int lease_get(struct file *f);
void lease_drop(struct file_locks *ls, struct file *f);

#endif
