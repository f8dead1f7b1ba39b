/*
 * Preads that the stub answers itself. A regular file that nobody has open for writing, and
 * that changes through the Sentry alone, is mapped into the process that often reads
 * it; from then on pread64 is a copy there. Whatever would make a difference to a reader (a writer,
 * a truncation, a watch, the descriptor closed) ends it first.
 */
#ifndef VFS_FAST_H
#define VFS_FAST_H

#include "vfs/vfs.h"

struct aspace;
struct uctx;

/* A pread of fd, which is f, has just come to the Sentry: now and then looks whether the
 * next ones need to. as and ctx: the caller's. */
void fast_note_pread(struct file *f, int fd, struct aspace *as, struct uctx *ctx);

/* A slot of t does not hold f any more. */
void fast_drop_file(struct fdtable *t, struct file *f);
/* i is about to be written, truncated or watched. */
void fast_drop_inode(struct inode *i);
/* A program leaves its address space. */
void fast_drop_space(const struct aspace *as);
/* Reads are of interest to somebody. */
void fast_drop_all(void);

#endif
